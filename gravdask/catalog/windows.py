"""When, and how strongly, each station should feel each event.

A window runs from the first arrival of any phase to the later of the 2.5 km/s group arrival and half an hour after
the first arrival, plus a coda that grows with the magnitude. An event counts at a station ("visible") where the
surface wave of 20 s that its magnitude predicts stands clearly above the station's own noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gravdask.catalog.travel_times import first_arrival_s
from gravdask.errors import CatalogError, StationError

KM_PER_DEGREE = math.pi * 6371.0 / 180.0
"""Length of a degree on a sphere of the mean Earth radius, 111.195 km."""
SECOND_NS = 1_000_000_000
WAVE_PERIOD_S = 20.0
"""Period of the surface wave that the surface-wave magnitude Ms is defined on."""
LEAST_DISTANCE_DEG = 2.0
"""The Ms formula is defined from 2 to 160 degrees (Bormann et al. 2013, NMSOP-2 chapter 3)."""
EVENT_COLUMNS = ("event_id", "time_ns", "latitude", "longitude", "depth_km", "magnitude")


@dataclass(frozen=True)
class WindowSettings:
    """How long an event is expected to be felt, and where.

    Attributes
    ----------
    group_velocity_km_s
        Slowest surface wave that still counts [km/s].
    least_s
        Least time from the first arrival to the coda [s].
    coda_s, coda_m7_s, coda_m85_s
        Coda added to every window, from magnitude 7 and from magnitude 8.5 [s].
    visibility_ratio
        Predicted acceleration over the station's rms from which on an event is visible.
    default_rms
        Noise of a station whose rms is unknown, e.g. a channel in counts [nm s⁻²].
    """

    group_velocity_km_s: float = 2.5
    least_s: float = 1800.0
    coda_s: float = 1800.0
    coda_m7_s: float = 21_600.0
    coda_m85_s: float = 172_800.0
    visibility_ratio: float = 3.0
    default_rms: float = 300.0


def distance_deg(
    latitude_1: ArrayLike, longitude_1: ArrayLike, latitude_2: ArrayLike, longitude_2: ArrayLike
) -> NDArray[np.float64]:
    """Great-circle distance on a sphere [degrees], accurate at all distances (Vincenty's form of the angle).

    Parameters
    ----------
    latitude_1, longitude_1, latitude_2, longitude_2
        Geographic coordinates of the two points [degrees]; shapes that broadcast.
    """
    phi_1, phi_2 = np.radians(latitude_1), np.radians(latitude_2)
    delta = np.radians(np.asarray(longitude_2, dtype=np.float64) - np.asarray(longitude_1, dtype=np.float64))
    sin_1, cos_1, sin_2, cos_2 = np.sin(phi_1), np.cos(phi_1), np.sin(phi_2), np.cos(phi_2)
    across = np.hypot(cos_2 * np.sin(delta), cos_1 * sin_2 - sin_1 * cos_2 * np.cos(delta))
    along = sin_1 * sin_2 + cos_1 * cos_2 * np.cos(delta)
    result: NDArray[np.float64] = np.degrees(np.arctan2(across, along))
    return result


def predicted_acceleration(magnitude: ArrayLike, distance_deg: ArrayLike) -> NDArray[np.float64]:
    """Peak acceleration of the 20 s surface wave that a magnitude predicts [nm s⁻²].

    From Ms = log10(A/T) + 1.66 log10 Δ + 3.3 (Vanek et al. 1962; A in µm, T in s, Δ in degrees) with T = 20 s, the
    acceleration being A (2π/T)². Any magnitude is taken for Ms. Depth does not enter: a deep event makes weaker
    surface waves than this, so it is rather called visible than overlooked. Distances below 2 degrees, where the
    formula is not defined, count as 2.

    Parameters
    ----------
    magnitude, distance_deg
        Magnitudes and epicentral distances [degrees]; shapes that broadcast.
    """
    distance = np.maximum(np.asarray(distance_deg, dtype=np.float64), LEAST_DISTANCE_DEG)
    amplitude_over_period = 10.0 ** (np.asarray(magnitude, dtype=np.float64) - 1.66 * np.log10(distance) - 3.3)
    displacement_nm = 1000.0 * amplitude_over_period * WAVE_PERIOD_S
    result: NDArray[np.float64] = displacement_nm * (2 * math.pi / WAVE_PERIOD_S) ** 2
    return result


def window_length_s(
    magnitude: ArrayLike, distance_deg: ArrayLike, first_s: ArrayLike, settings: WindowSettings
) -> NDArray[np.float64]:
    """Time from origin to the end of the window [s].

    Parameters
    ----------
    magnitude, distance_deg, first_s
        Magnitudes, epicentral distances [degrees] and times from origin to the first arrival [s].
    settings
        Velocities and codas.
    """
    size = np.asarray(magnitude, dtype=np.float64)
    group = np.asarray(distance_deg, dtype=np.float64) * KM_PER_DEGREE / settings.group_velocity_km_s
    coda = np.where(size >= 8.5, settings.coda_m85_s, np.where(size >= 7.0, settings.coda_m7_s, settings.coda_s))
    return np.maximum(group, np.asarray(first_s, dtype=np.float64) + settings.least_s) + coda


def predicted_windows(
    events: pd.DataFrame,
    channels: pd.DataFrame,
    rms: Mapping[str, float] | None = None,
    settings: WindowSettings | None = None,
) -> pd.DataFrame:
    """Predict when every channel feels every event.

    Parameters
    ----------
    events
        Columns event_id, time_ns, latitude, longitude, depth_km, magnitude, as in `Catalog.events`.
    channels
        Columns channel (str), latitude, longitude [degrees].
    rms
        The channel's own noise [nm s⁻²]. Where it is missing or NaN (channels in counts), ``settings.default_rms`` is
        taken and the row marked ``rms_assumed``.
    settings
        Defaults are those of `WindowSettings`.

    Returns
    -------
    DataFrame
        One row per channel and event, channel by channel in the order given, events in theirs: channel, event_id,
        time_ns, magnitude, distance_deg, first_arrival_ns, end_ns (int64, ns since 1970), predicted_acceleration
        [nm s⁻²], visible (bool), rms_assumed (bool).

    Raises
    ------
    CatalogError, StationError
        If a column is missing; StationError also if a channel has no coordinates.
    """
    settings = settings or WindowSettings()
    _require(events, EVENT_COLUMNS, CatalogError, "events")
    _require(channels, ("channel", "latitude", "longitude"), StationError, "channels")
    names = channels["channel"].astype(str).to_numpy(dtype=object)
    latitude = channels["latitude"].to_numpy(dtype=np.float64)[:, None]
    longitude = channels["longitude"].to_numpy(dtype=np.float64)[:, None]
    lost = ~np.isfinite(latitude + longitude)[:, 0]
    if lost.any():
        msg = f"no coordinates for {', '.join(names[lost])}: add them to the station table, or leave the channel out"
        raise StationError(msg)
    magnitude = events["magnitude"].to_numpy(dtype=np.float64)[None, :]
    origin = events["time_ns"].to_numpy(dtype=np.int64)
    degrees = distance_deg(
        events["latitude"].to_numpy(dtype=np.float64)[None, :],
        events["longitude"].to_numpy(dtype=np.float64)[None, :],
        latitude,
        longitude,
    )
    first = first_arrival_s(degrees, events["depth_km"].to_numpy(dtype=np.float64)[None, :])
    last = window_length_s(magnitude, degrees, first, settings)
    acceleration = predicted_acceleration(magnitude, degrees)
    noise = np.array([float((rms or {}).get(name, math.nan)) for name in names])
    assumed = ~np.isfinite(noise)
    level = np.where(assumed, settings.default_rms, noise)[:, None]
    count = len(origin)
    return pd.DataFrame(
        {
            "channel": np.repeat(names, count),
            "event_id": np.tile(events["event_id"].to_numpy(dtype=object), len(names)),
            "time_ns": np.tile(origin, len(names)),
            "magnitude": np.tile(magnitude[0], len(names)),
            "distance_deg": degrees.ravel(),
            "first_arrival_ns": (origin + _nanoseconds(first)).ravel(),
            "end_ns": (origin + _nanoseconds(last)).ravel(),
            "predicted_acceleration": acceleration.ravel(),
            "visible": (acceleration >= settings.visibility_ratio * level).ravel(),
            "rms_assumed": np.repeat(assumed, count),
        }
    )


def _nanoseconds(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole nanoseconds of times in seconds."""
    return np.rint(seconds * SECOND_NS).astype(np.int64)


def _require(frame: pd.DataFrame, columns: tuple[str, ...], error: type[Exception], what: str) -> None:
    """Check the columns of a table.

    Raises
    ------
    Exception
        The given class, if a column is missing.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        msg = f"the table of {what} lacks the columns {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}"
        raise error(msg)

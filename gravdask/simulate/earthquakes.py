"""Earthquakes of a simulated network: a seeded list, travel times, and what a gravimeter far away records."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import fft

FloatArray = npt.NDArray[np.float64]

MAGNITUDES = (5.8, 7.8)
"""Smallest and largest magnitude of the list."""
ZONES: tuple[tuple[str, float, float, float], ...] = (
    ("Kuril Islands", 46.9, 152.6, 35.0),
    ("Fiji region", -18.2, -177.9, 40.0),
    ("southern Sumatra, Indonesia", -4.8, 102.6, 30.0),
    ("near the coast of central Chile", -31.4, -71.9, 28.0),
    ("off the east coast of Honshu, Japan", 37.9, 143.2, 22.0),
    ("Vanuatu", -16.4, 167.9, 30.0),
    ("Banda Sea", -6.4, 129.6, 45.0),
    ("Kermadec Islands, New Zealand", -30.2, -177.5, 25.0),
    ("Mindanao, Philippines", 7.1, 126.6, 40.0),
    ("Andreanof Islands, Aleutian Islands, Alaska", 51.6, -176.1, 30.0),
    ("New Britain region, Papua New Guinea", -5.6, 151.7, 35.0),
    ("northern Mid-Atlantic Ridge", 31.2, -41.1, 10.0),
    ("Hindu Kush region, Afghanistan", 36.4, 70.6, 60.0),
    ("near the coast of Oaxaca, Mexico", 15.9, -96.8, 22.0),
    ("Iran-Iraq border region", 34.3, 45.7, 15.0),
    ("South Sandwich Islands region", -57.4, -25.8, 30.0),
    ("Taiwan", 23.9, 121.9, 20.0),
    ("southern Qinghai, China", 34.7, 98.4, 10.0),
    ("near the east coast of Kamchatka, Russia", 53.2, 160.1, 40.0),
    ("northern Peru", -5.3, -80.9, 35.0),
    ("Solomon Islands", -9.8, 160.4, 28.0),
    ("Crete, Greece", 34.7, 25.7, 20.0),
    ("Pacific-Antarctic Ridge", -55.2, -128.6, 10.0),
    ("Java, Indonesia", -8.9, 110.4, 50.0),
)
"""Where earthquakes happen: name, latitude and longitude [degrees], depth [km]."""

KM_PER_DEGREE = 6371.0 * math.pi / 180
_SLOWEST_KM_S = 2.5
_FASTEST_KM_S = 4.5
_PERIODS_S = (6.0, 250.0)
_NEAREST_DEGREES = 4.0
_GRID_DEGREES = np.arange(0.0, 181.0, 10.0)
# First compressional and first shear onset [s] in the model iasp91 at a depth of 15 km, every ten degrees.
_FIRST_S = np.array(
    [3, 143, 272, 368, 454, 534, 606, 671, 729, 779, 824, 869, 913, 957, 1002, 1046, 1198, 1207, 1209], dtype=float
)
_SHEAR_S = np.array(
    [4, 256, 497, 666, 820, 964, 1099, 1222, 1333, 1409, 1462, 1507, 1545, 1577, 1597, 1612, 1623, 1630, 1632],
    dtype=float,
)


def draw_events(rng: np.random.Generator, count: int, start_ns: int, days: int) -> pd.DataFrame:
    """Draw a list of earthquakes, spread evenly over the record; large ones are rarer.

    Parameters
    ----------
    rng
        Source of randomness.
    count
        Number of earthquakes, zero allowed.
    start_ns
        Start of the record [ns since 1970 UTC].
    days
        Length of the record.

    Returns
    -------
    DataFrame
        Columns event_id, time_ns, latitude, longitude, depth [km], magnitude, place; in order of time.
    """
    if count == 0:
        columns = ["event_id", "time_ns", "latitude", "longitude", "depth", "magnitude", "place"]
        return pd.DataFrame({name: [] for name in columns}).astype({"time_ns": np.int64, "magnitude": float})
    slot = (np.arange(count) + rng.uniform(0.15, 0.75, count)) / count
    # Origin times are whole milliseconds, which is what the catalogue's text can hold.
    time_ns = start_ns + (slot * days * 86_400_000).astype(np.int64) * 1_000_000
    low, high = MAGNITUDES
    magnitude = low + (high - low) * ((np.arange(count) + 0.5) / count) ** 1.5
    magnitude = np.round(rng.permutation(magnitude), 1)
    zone = np.concatenate([rng.permutation(len(ZONES)) for _ in range(-(-count // len(ZONES)))])[:count]
    shift = rng.uniform(-1.5, 1.5, (2, count))
    return pd.DataFrame(
        {
            "event_id": [f"gd{index + 1:06d}" for index in range(count)],
            "time_ns": time_ns,
            "latitude": np.round([ZONES[z][1] for z in zone] + shift[0], 3),
            "longitude": np.round((np.array([ZONES[z][2] for z in zone]) + shift[1] + 180) % 360 - 180, 3),
            "depth": [ZONES[z][3] for z in zone],
            "magnitude": magnitude,
            "place": [ZONES[z][0] for z in zone],
        }
    )


def distance_degrees(latitude_1: float, longitude_1: float, latitude_2: float, longitude_2: float) -> float:
    """Angle between two places on a sphere [degrees], by the haversine formula."""
    a, b = math.radians(latitude_1), math.radians(latitude_2)
    half = math.radians(longitude_2 - longitude_1) / 2
    chord = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(half) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(chord))))


def first_arrival(distance: float) -> float:
    """Time from the origin to the first arrival [s] at a distance [degrees]."""
    return float(np.interp(distance, _GRID_DEGREES, _FIRST_S))


def shear_arrival(distance: float) -> float:
    """Time from the origin to the first shear arrival [s] at a distance [degrees]."""
    return float(np.interp(distance, _GRID_DEGREES, _SHEAR_S))


def last_arrival(distance: float) -> float:
    """Time from the origin to the surface waves at 2.5 km/s [s] at a distance [degrees]."""
    return distance * KM_PER_DEGREE / _SLOWEST_KM_S


def coda_seconds(magnitude: float) -> float:
    """Length of the coda [s]: half an hour, six hours from magnitude 7."""
    return 6 * 3600.0 if magnitude >= 7 else 1800.0


def window_end(distance: float, magnitude: float) -> float:
    """Time from the origin [s] to the end of an earthquake's interval: surface waves or 30 min, then the coda."""
    return max(last_arrival(distance), first_arrival(distance) + 1800) + coda_seconds(magnitude)


def surface_wave_acceleration(distance: float, magnitude: float) -> float:
    """Predicted acceleration of the 20 s surface wave [nm s⁻²], from Ms = log10(A/T) + 1.66 log10 Δ + 3.3.

    Parameters
    ----------
    distance
        Distance [degrees]; below 4 degrees the formula is held at its value there.
    magnitude
        Surface-wave magnitude.
    """
    ratio = 10 ** (magnitude - 1.66 * math.log10(max(distance, _NEAREST_DEGREES)) - 3.3)
    amplitude_um = 20 * ratio
    return amplitude_um * 1e3 * (2 * math.pi / 20) ** 2


def wave_train(rng: np.random.Generator, distance: float, magnitude: float, rate: float, seconds: float) -> FloatArray:
    """Vertical acceleration after an earthquake [nm s⁻²]: body waves, a dispersed surface wave, and the coda.

    Nothing precedes the first arrival, and nothing outlasts the end of the interval.

    Parameters
    ----------
    rng
        Source of randomness.
    distance
        Distance [degrees].
    magnitude
        Magnitude; large earthquakes are richer in long periods.
    rate
        Sampling rate [Hz].
    seconds
        Length of the answer [s] from the origin time.

    Returns
    -------
    ndarray of float64, (ceil(seconds · rate),)
        The record from the origin time on.
    """
    n = math.ceil(seconds * rate)
    size = int(fft.next_fast_len(2 * n, real=True))
    time = np.arange(n) / rate
    peak = surface_wave_acceleration(distance, magnitude) * rng.lognormal(0, 0.15)
    first, shear = first_arrival(distance), shear_arrival(distance)
    record = _surface_wave(distance, magnitude, rate, size, rng.uniform(0, 2 * math.pi))[:n]
    for onset, share, duration, periods in ((first, 0.12, 60.0, (2.5, 15.0)), (shear, 0.25, 150.0, (8.0, 40.0))):
        after = np.maximum(time - onset, 0) / duration
        record += share * after * np.exp(1 - after) * _band_noise(rng, size, rate, periods)[:n]
    arrival = distance * KM_PER_DEGREE / 3.2
    after = np.maximum(time - arrival, 0)
    envelope = np.minimum(after / 120, 1) * np.exp(-after / (coda_seconds(magnitude) / 4))
    record += 0.12 * envelope * _band_noise(rng, size, rate, (10.0, 60.0))[:n]
    end = window_end(distance, magnitude)
    fading = np.clip((end - time) / (coda_seconds(magnitude) / 2), 0, 1)
    window = np.clip((time - first) / 5, 0, 1) * np.sin(0.5 * np.pi * fading) ** 2
    train: FloatArray = peak * record * window
    return train


def _band_noise(rng: np.random.Generator, size: int, rate: float, periods: tuple[float, float]) -> FloatArray:
    """Gaussian noise of unit variance within a band of periods [s]; zero if the band lies above Nyquist."""
    frequency = np.fft.rfftfreq(size, 1 / rate)
    inside = (frequency >= 1 / periods[1]) & (frequency <= 1 / periods[0])
    spectrum = np.zeros(frequency.size, dtype=complex)
    parts = rng.standard_normal((2, frequency.size))
    if not inside.any():
        return np.zeros(size)
    spectrum[inside] = (parts[0] + 1j * parts[1])[inside]
    noise: FloatArray = fft.irfft(spectrum, n=size) * (size / (2 * math.sqrt(np.count_nonzero(inside))))
    return noise


def _surface_wave(distance: float, magnitude: float, rate: float, size: int, phase: float) -> FloatArray:
    """Dispersed wave train of unit envelope at 20 s, by stationary phase: the group delay gives the phase.

    Group velocity rises smoothly from 2.5 km/s at 6 s to 4.5 km/s at 250 s, so every period has its own arrival.
    """
    frequency = np.fft.rfftfreq(size, 1 / rate)
    period = 1 / np.maximum(frequency, 1e-6)
    position = np.log(period / _PERIODS_S[0]) / np.log(_PERIODS_S[1] / _PERIODS_S[0])
    inside = (position > 0) & (position < 1)
    velocity = _SLOWEST_KM_S + (_FASTEST_KM_S - _SLOWEST_KM_S) * np.clip(position, 0, 1)
    delay = max(distance, _NEAREST_DEGREES) * KM_PER_DEGREE / velocity
    step = frequency[1]
    angle = 2 * np.pi * np.cumsum(delay) * step
    slope = np.abs(np.gradient(delay, step))
    falling = max(1.0, 2.4 - 0.6 * (magnitude - 6))
    envelope = np.where(period > 20, (20 / period) ** falling, (period / 20) ** 2.5)
    edge = np.sin(0.5 * np.pi * np.clip(np.minimum(position, 1 - position) / 0.15, 0, 1)) ** 2
    spectrum = np.where(inside, envelope * edge * np.sqrt(slope) / 2, 0) * np.exp(-1j * (angle + phase))
    wave: FloatArray = fft.irfft(spectrum, n=size) * (size * step)
    return wave


def as_catalogue(events: pd.DataFrame) -> pd.DataFrame:
    """Turn a list of earthquakes into the rows of a USGS ComCat CSV file (22 columns, times as text in UTC)."""
    blank = [""] * len(events)
    times = [_comcat_time(int(t)) for t in events["time_ns"]]
    columns: dict[str, Any] = {
        "time": times,
        "latitude": events["latitude"].to_list(),
        "longitude": events["longitude"].to_list(),
        "depth": events["depth"].to_list(),
        "mag": events["magnitude"].to_list(),
        "magType": ["mww"] * len(events),
        **dict.fromkeys(("nst", "gap", "dmin", "rms"), blank),
        "net": ["gd"] * len(events),
        "id": events["event_id"].to_list(),
        "updated": times,
        "place": events["place"].to_list(),
        "type": ["earthquake"] * len(events),
        **dict.fromkeys(("horizontalError", "depthError", "magError", "magNst"), blank),
        "status": ["reviewed"] * len(events),
        "locationSource": ["gd"] * len(events),
        "magSource": ["gd"] * len(events),
    }
    return pd.DataFrame(columns)


def _comcat_time(time_ns: int) -> str:
    """Write a time [ns since 1970 UTC] as ComCat does, with milliseconds and a Z."""
    return str(np.datetime64(time_ns // 1_000_000, "ms")) + "Z"

"""The theoretical tide: vertical lunisolar gravity on a rigid Earth, built in and fast.

The tide is the difference between the attraction of a body at the station and at the Earth's centre, along the
ellipsoid's normal. It is taken in closed form, so that every degree of the potential is in it (the Moon's second and
third degree matter; what lies above is below 1 nm s⁻²). Real gravimeters show about 1.16 times as much: the elastic
Earth. Sign as in a record: positive where gravity grows, so negative with the Moon overhead.

The constant part (the permanent tide, up to some 300 nm s⁻²) is contained.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import PreprocessError
from gravdask.grid import SECOND_NS
from gravdask.preprocess import ephemeris, eterna

Array = NDArray[np.float64]
TideModel = Literal["builtin", "pygtide"]
TIDE_MODELS: tuple[TideModel, ...] = ("builtin", "pygtide")
"""Where the theoretical tide comes from."""

GM_MOON = 4.902_800e12
"""Gravitational parameter of the Moon [m³ s⁻²]."""
GM_SUN = 1.327_124_400e20
"""Gravitational parameter of the Sun [m³ s⁻²]."""
SEMI_MAJOR_AXIS = 6_378_137.0
"""Equatorial radius of the GRS80 ellipsoid [m]."""
FLATTENING = 1 / 298.257222101
"""Flattening of the GRS80 ellipsoid."""

NODE_SECONDS = 600
"""Distance of the nodes between which the tide is interpolated [s]; they lie on multiples of it since 1970."""
_DAY_NODES = 86_400 // NODE_SECONDS
_BLOCK = 1 << 16

# Coefficients of the polynomial through six nodes at -2 ... 3, by ascending power of the position within [0, 1):
# row = power, column = node. Lagrange's formula, times the common denominator 120.
_LAGRANGE = (
    (0, 0, 120, 0, 0, 0),
    (6, -60, -40, 120, -30, 4),
    (-5, 80, -150, 80, -5, 0),
    (-5, -5, 50, -70, 35, -5),
    (5, -20, 30, -20, 5, 0),
    (-1, 5, -10, 10, -5, 1),
)


def _station(latitude: float, longitude: float, elevation: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Earth-fixed position [m] and upward normal of the ellipsoid at a station (degrees, degrees, metres)."""
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    squared = FLATTENING * (2 - FLATTENING)
    normal_radius = SEMI_MAJOR_AXIS / np.sqrt(1 - squared * np.sin(phi) ** 2)
    up = (np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi))
    height = normal_radius + elevation
    polar = normal_radius * (1 - squared) + elevation
    return (height * up[0], height * up[1], polar * up[2]), up


def _body(
    gm: float, direction: tuple[Array, Array, Array], distance: Array, station: tuple[float, ...], up: tuple[float, ...]
) -> Array:
    """Upward tidal acceleration [m s⁻²] of a body in an Earth-fixed direction at a distance [m]."""
    away = [distance * axis - place for axis, place in zip(direction, station, strict=True)]
    reach = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2)
    here = (away[0] * up[0] + away[1] * up[1] + away[2] * up[2]) / reach**3
    centre = (direction[0] * up[0] + direction[1] * up[1] + direction[2] * up[2]) / distance**2
    upward: Array = gm * (here - centre)
    return upward


def tide_at_nodes(unix_seconds: NDArray[np.int64], latitude: float, longitude: float, elevation: float) -> Array:
    """Tide [nm s⁻²] evaluated directly, without interpolation, at whole seconds since 1970, shape (n,)."""
    universal = (unix_seconds - ephemeris.J2000_UNIX_SECONDS) / ephemeris.CENTURY_SECONDS
    t = universal + ephemeris.delta_t(universal) / ephemeris.CENTURY_SECONDS
    turn, tilt = ephemeris.sidereal_time(unix_seconds), ephemeris.obliquity(t)
    station, up = _station(latitude, longitude, elevation)
    moon_longitude, moon_latitude, moon_distance = ephemeris.moon(t)
    sun_longitude, sun_distance = ephemeris.sun(t)
    total = np.zeros(unix_seconds.shape)
    for gm, lon, lat, distance in (
        (GM_MOON, moon_longitude, moon_latitude, moon_distance),
        (GM_SUN, sun_longitude, np.zeros_like(t), sun_distance),
    ):
        x, y, z = ephemeris.equatorial(lon, lat, tilt)
        fixed = (x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn), z)
        total -= 1e9 * _body(gm, fixed, 1e3 * distance, station, up)
    return total


def tide(
    times_ns: NDArray[np.int64], latitude: float, longitude: float, elevation: float = 0.0, model: TideModel = "builtin"
) -> Array:
    """Vertical tidal gravity of Moon and Sun on a rigid Earth.

    Evaluated every 10 minutes (on multiples of 10 minutes since 1970, so that no result depends on where a span
    starts) and interpolated by a polynomial through six nodes, which adds less than 1e-4 nm s⁻².

    Parameters
    ----------
    times_ns
        Times in nanoseconds since 1970-01-01 UTC, in any order, shape (n,).
    latitude, longitude
        Geographic coordinates [degree], north and east positive.
    elevation
        Height above the ellipsoid [m].
    model
        ``"builtin"``, or ``"pygtide"`` (see `gravdask.preprocess.eterna`), whose waves have the elastic Earth's
        amplitudes relative to the main wave of their kind.

    Returns
    -------
    tide
        [nm s⁻²], shape (n,); positive where gravity grows.

    Raises
    ------
    PreprocessError
        If there is no such model, or pygtide is asked for and not installed.
    """
    if model not in TIDE_MODELS:
        msg = f"preprocess.tide_model is {model!r}; expected one of {', '.join(TIDE_MODELS)}"
        raise PreprocessError(msg)
    place = (latitude, longitude, elevation)
    times = np.asarray(times_ns, dtype=np.int64)
    out = np.empty(times.shape, dtype=np.float64)
    for start in range(0, times.size, _BLOCK):
        out[start : start + _BLOCK] = _interpolated(times[start : start + _BLOCK], place, model)
    return out


def _interpolated(times: NDArray[np.int64], place: tuple[float, float, float], model: TideModel) -> Array:
    """Tide of a short block of times, from nodes that always cover whole days."""
    node, within = np.divmod(times, NODE_SECONDS * SECOND_NS)
    # Whole days of nodes: the same node is then computed at the same place of a vector register in every run.
    first = (int(node.min()) - 2) // _DAY_NODES * _DAY_NODES
    last = -(-(int(node.max()) + 4) // _DAY_NODES) * _DAY_NODES
    if model == "pygtide":
        values = eterna.tide_at_nodes(first, last, NODE_SECONDS, *place)
    else:
        values = tide_at_nodes(np.arange(first, last, dtype=np.int64) * NODE_SECONDS, *place)
    cells = values.size - 5
    position = within / (NODE_SECONDS * SECOND_NS)
    cell = node - (first + 2)
    result = np.zeros(times.shape)
    for row in reversed(_LAGRANGE):
        power = sum(weight / 120 * values[k : k + cells] for k, weight in enumerate(row) if weight)
        result = result * position + np.asarray(power)[cell]
    return result

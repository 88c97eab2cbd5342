"""Where the Moon and the Sun stand: truncated series, accurate to some ten seconds of arc.

The series are those of J. Meeus, *Astronomical Algorithms* (2nd edition, 1998), chapters 22, 25 and 47, themselves a
truncation of ELP-2000/82 and of Newcomb's Sun. An error of 10 arc seconds in the Moon's place changes the tide by
about 0.1 nm s⁻². Nutation is left out: it turns the ecliptic and the sidereal time together, and what remains is
smaller still.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ASTRONOMICAL_UNIT_KM = 149_597_870.7
J2000_UNIX_SECONDS = 946_728_000
"""2000-01-01T12:00:00 in seconds since 1970."""
CENTURY_SECONDS = 36_525 * 86_400

# Multiples of D, M, M', F; sine coefficient of the longitude [1e-6 degree]; cosine coefficient of the distance [m].
_MOON_LONGITUDE_DISTANCE: tuple[tuple[int, int, int, int, int, int], ...] = (
    (0, 0, 1, 0, 6288774, -20905355),
    (2, 0, -1, 0, 1274027, -3699111),
    (2, 0, 0, 0, 658314, -2955968),
    (0, 0, 2, 0, 213618, -569925),
    (0, 1, 0, 0, -185116, 48888),
    (0, 0, 0, 2, -114332, -3149),
    (2, 0, -2, 0, 58793, 246158),
    (2, -1, -1, 0, 57066, -152138),
    (2, 0, 1, 0, 53322, -170733),
    (2, -1, 0, 0, 45758, -204586),
    (0, 1, -1, 0, -40923, -129620),
    (1, 0, 0, 0, -34720, 108743),
    (0, 1, 1, 0, -30383, 104755),
    (2, 0, 0, -2, 15327, 10321),
    (0, 0, 1, 2, -12528, 0),
    (0, 0, 1, -2, 10980, 79661),
    (4, 0, -1, 0, 10675, -34782),
    (0, 0, 3, 0, 10034, -23210),
    (4, 0, -2, 0, 8548, -21636),
    (2, 1, -1, 0, -7888, 24208),
    (2, 1, 0, 0, -6766, 30824),
    (1, 0, -1, 0, -5163, -8379),
    (1, 1, 0, 0, 4987, -16675),
    (2, -1, 1, 0, 4036, -12831),
    (2, 0, 2, 0, 3994, -10445),
    (4, 0, 0, 0, 3861, -11650),
    (2, 0, -3, 0, 3665, 14403),
    (0, 1, -2, 0, -2689, -7003),
    (2, 0, -1, 2, -2602, 0),
    (2, -1, -2, 0, 2390, 10056),
    (1, 0, 1, 0, -2348, 6322),
    (2, -2, 0, 0, 2236, -9884),
    (0, 1, 2, 0, -2120, 5751),
    (0, 2, 0, 0, -2069, 0),
    (2, -2, -1, 0, 2048, -4950),
    (2, 0, 1, -2, -1773, 4130),
    (2, 0, 0, 2, -1595, 0),
    (4, -1, -1, 0, 1215, -3958),
    (0, 0, 2, 2, -1110, 0),
    (3, 0, -1, 0, -892, 3258),
    (2, 1, 1, 0, -810, 2616),
    (4, -1, -2, 0, 759, -1897),
    (0, 2, -1, 0, -713, -2117),
    (2, 2, -1, 0, -700, 2354),
    (2, 1, -2, 0, 691, 0),
    (2, -1, 0, -2, 596, 0),
    (4, 0, 1, 0, 549, -1423),
    (0, 0, 4, 0, 537, -1117),
    (4, -1, 0, 0, 520, -1571),
    (1, 0, -2, 0, -487, -1739),
    (2, 1, 0, -2, -399, 0),
    (0, 0, 2, -2, -381, -4421),
    (1, 1, 1, 0, 351, 0),
    (3, 0, -2, 0, -340, 0),
    (4, 0, -3, 0, 330, 0),
    (2, -1, 2, 0, 327, 0),
    (0, 2, 1, 0, -323, 1165),
    (1, 1, -1, 0, 299, 0),
    (2, 0, 3, 0, 294, 0),
    (2, 0, -1, -2, 0, 8752),
)

# Multiples of D, M, M', F; sine coefficient of the latitude [1e-6 degree].
_MOON_LATITUDE: tuple[tuple[int, int, int, int, int], ...] = (
    (0, 0, 0, 1, 5128122),
    (0, 0, 1, 1, 280602),
    (0, 0, 1, -1, 277693),
    (2, 0, 0, -1, 173237),
    (2, 0, -1, 1, 55413),
    (2, 0, -1, -1, 46271),
    (2, 0, 0, 1, 32573),
    (0, 0, 2, 1, 17198),
    (2, 0, 1, -1, 9266),
    (0, 0, 2, -1, 8822),
    (2, -1, 0, -1, 8216),
    (2, 0, -2, -1, 4324),
    (2, 0, 1, 1, 4200),
    (2, 1, 0, -1, -3359),
    (2, -1, -1, 1, 2463),
    (2, -1, 0, 1, 2211),
    (2, -1, -1, -1, 2065),
    (0, 1, -1, -1, -1870),
    (4, 0, -1, -1, 1828),
    (0, 1, 0, 1, -1794),
    (0, 0, 0, 3, -1749),
    (0, 1, -1, 1, -1565),
    (1, 0, 0, 1, -1491),
    (0, 1, 1, 1, -1475),
    (0, 1, 1, -1, -1410),
    (0, 1, 0, -1, -1344),
    (1, 0, 0, -1, -1335),
    (0, 0, 3, 1, 1107),
    (4, 0, 0, -1, 1021),
    (4, 0, -1, 1, 833),
    (0, 0, 1, -3, 777),
    (4, 0, -2, 1, 671),
    (2, 0, 0, -3, 607),
    (2, 0, 2, -1, 596),
    (2, -1, 1, -1, 491),
    (2, 0, -2, 1, -451),
    (0, 0, 3, -1, 439),
    (2, 0, 2, 1, 422),
    (2, 0, -3, -1, 421),
    (2, 1, -1, 1, -366),
    (2, 1, 0, 1, -351),
    (4, 0, 0, 1, 331),
    (2, -1, 1, 1, 315),
    (2, -2, 0, -1, 302),
    (0, 0, 1, 3, -283),
    (2, 1, 1, -1, -229),
    (1, 1, 0, -1, 223),
    (1, 1, 0, 1, 223),
    (0, 1, -2, -1, -220),
    (2, 1, -1, -1, -220),
    (1, 0, 1, 1, -185),
    (2, -1, -2, -1, 181),
    (0, 1, 2, 1, -177),
    (4, 0, -2, -1, 176),
    (4, -1, -1, -1, 166),
    (1, 0, 1, -1, -164),
    (4, 0, 1, -1, 132),
    (1, 0, -1, -1, -119),
    (4, -1, 0, -1, 115),
    (2, -2, 0, 1, 107),
)

# Terrestrial Time minus Universal Time [s] (IERS; extrapolated after 2025, where one second costs 0.01 nm s⁻²).
_DELTA_T_YEAR = (1950.0, 1960.0, 1970.0, 1980.0, 1990.0, 2000.0, 2010.0, 2020.0, 2025.0, 2050.0, 2150.0)
_DELTA_T_SECONDS = (29.1, 33.2, 40.2, 50.5, 56.9, 63.8, 66.1, 69.4, 69.1, 80.0, 200.0)


def delta_t(centuries: Array) -> Array:
    """Terrestrial Time minus Universal Time [s] at Julian centuries since J2000, shape (n,)."""
    return np.interp(2000.0 + 100.0 * centuries, _DELTA_T_YEAR, _DELTA_T_SECONDS)


def _horner(t: Array, *coefficients: float) -> Array:
    """Polynomial in ``t`` with ascending coefficients."""
    total = np.full_like(t, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * t + coefficient
    return total


def moon(t: Array) -> tuple[Array, Array, Array]:
    """Geocentric place of the Moon, mean equinox of date (Meeus, chapter 47).

    Parameters
    ----------
    t
        Terrestrial Time in Julian centuries since J2000, shape (n,).

    Returns
    -------
    longitude, latitude
        Ecliptic longitude and latitude [rad], shape (n,).
    distance
        Distance between the centres [km], shape (n,).
    """
    mean_longitude = _horner(t, 218.3164477, 481267.88123421, -0.0015786, 1 / 538841)
    elongation = np.deg2rad(_horner(t, 297.8501921, 445267.1114034, -0.0018819, 1 / 545868) % 360)
    sun_anomaly = np.deg2rad(_horner(t, 357.5291092, 35999.0502909, -0.0001536) % 360)
    anomaly = np.deg2rad(_horner(t, 134.9633964, 477198.8675055, 0.0087414, 1 / 69699) % 360)
    node_argument = np.deg2rad(_horner(t, 93.2720950, 483202.0175233, -0.0036539, -1 / 3526000) % 360)
    eccentricity = _horner(t, 1.0, -0.002516, -0.0000074)
    damping = (np.ones_like(t), eccentricity, eccentricity * eccentricity)

    longitude, distance, latitude = np.zeros_like(t), np.zeros_like(t), np.zeros_like(t)
    for d, m, p, f, sine, cosine in _MOON_LONGITUDE_DISTANCE:
        argument = d * elongation + m * sun_anomaly + p * anomaly + f * node_argument
        longitude += sine * damping[abs(m)] * np.sin(argument)
        distance += cosine * damping[abs(m)] * np.cos(argument)
    for d, m, p, f, sine in _MOON_LATITUDE:
        argument = d * elongation + m * sun_anomaly + p * anomaly + f * node_argument
        latitude += sine * damping[abs(m)] * np.sin(argument)

    whole = np.deg2rad(mean_longitude % 360)
    venus = np.deg2rad(_horner(t, 119.75, 131.849))
    jupiter = np.deg2rad(_horner(t, 53.09, 479264.290))
    third = np.deg2rad(_horner(t, 313.45, 481266.484))
    longitude += 3958 * np.sin(venus) + 1962 * np.sin(whole - node_argument) + 318 * np.sin(jupiter)
    latitude += -2235 * np.sin(whole) + 382 * np.sin(third) + 175 * np.sin(venus - node_argument)
    latitude += 175 * np.sin(venus + node_argument) + 127 * np.sin(whole - anomaly) - 115 * np.sin(whole + anomaly)
    return (
        np.deg2rad((mean_longitude + 1e-6 * longitude) % 360),
        np.deg2rad(1e-6 * latitude),
        385000.56 + 1e-3 * distance,
    )


def sun(t: Array) -> tuple[Array, Array]:
    """Geocentric true longitude [rad] and distance [km] of the Sun, mean equinox of date (Meeus, chapter 25).

    Parameters
    ----------
    t
        Terrestrial Time in Julian centuries since J2000, shape (n,).
    """
    anomaly = np.deg2rad(_horner(t, 357.52911, 35999.05029, -0.0001537) % 360)
    centre = (
        _horner(t, 1.914602, -0.004817, -0.000014) * np.sin(anomaly)
        + _horner(t, 0.019993, -0.000101) * np.sin(2 * anomaly)
        + 0.000289 * np.sin(3 * anomaly)
    )
    eccentricity = _horner(t, 0.016708634, -0.000042037, -0.0000001267)
    distance = 1.000001018 * (1 - eccentricity**2) / (1 + eccentricity * np.cos(anomaly + np.deg2rad(centre)))
    longitude = np.deg2rad((_horner(t, 280.46646, 36000.76983, 0.0003032) + centre) % 360)
    return longitude, ASTRONOMICAL_UNIT_KM * distance


def obliquity(t: Array) -> Array:
    """Mean obliquity of the ecliptic [rad] at Julian centuries since J2000 (Meeus, formula 22.2)."""
    return np.deg2rad(_horner(t, 23.4392911111, -0.0130041667, -1.6389e-7, 5.036e-7))


def sidereal_time(unix_seconds: NDArray[np.int64]) -> Array:
    """Mean sidereal time at Greenwich [rad] (Meeus, formula 12.4).

    The whole days are taken off in integers before anything becomes floating point.

    Parameters
    ----------
    unix_seconds
        Universal Time in seconds since 1970, shape (n,).
    """
    seconds = unix_seconds - J2000_UNIX_SECONDS
    days, rest = np.divmod(seconds, 86_400)
    t = seconds / CENTURY_SECONDS
    turned = 0.98564736629 * days + 360.98564736629 / 86_400 * rest
    return np.deg2rad((280.46061837 + turned + _horner(t, 0.0, 0.0, 0.000387933, -1 / 38_710_000)) % 360)


def equatorial(longitude: Array, latitude: Array, inclination: Array) -> tuple[Array, Array, Array]:
    """Unit vector in the equatorial frame of date from ecliptic coordinates [rad]; three arrays of shape (n,)."""
    x = np.cos(latitude) * np.cos(longitude)
    y = np.cos(latitude) * np.sin(longitude)
    z = np.sin(latitude)
    return (
        x,
        y * np.cos(inclination) - z * np.sin(inclination),
        y * np.sin(inclination) + z * np.cos(inclination),
    )

"""What a gravimeter records between earthquakes: tide, drift, air pressure, instrument noise, microseism.

Pure functions of arrays and a random generator. Accelerations are in nm s⁻², pressure in hPa, times in seconds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.interpolate import CubicSpline

FloatArray = npt.NDArray[np.float64]

ADMITTANCE = -3.0
"""Effect of air pressure on gravity [nm s⁻² per hPa]."""
SNM_BAND_S = (200.0, 600.0)
"""Periods over which the seismic noise magnitude averages the power spectral density [s]."""

_EARTH_RADIUS_M = 6_371_000.0
_ASTRONOMICAL_UNIT_M = 1.495978707e11
_GM_MOON = 4.9028e12
_GM_SUN = 1.32712e20
_TIDAL_FACTOR = 1.16
_TIDE_STEP_S = 600.0
_J2000_S = 946_728_000.0


def coloured_noise(
    rng: np.random.Generator, n: int, rate: float, density: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Draw stationary Gaussian noise of a given spectrum, made at once over the whole record.

    Parameters
    ----------
    rng
        Source of randomness.
    n
        Number of samples.
    rate
        Sampling rate [Hz].
    density
        One-sided power spectral density [unit² Hz⁻¹] of frequencies [Hz], all positive.

    Returns
    -------
    ndarray of float64, (n,)
        The noise, of mean zero, periodic in ``n``.
    """
    frequency = np.fft.rfftfreq(n, 1 / rate)
    parts = rng.standard_normal((2, frequency.size), dtype=np.float32)
    amplitude = np.zeros(frequency.size, dtype=np.float32)
    amplitude[1:] = np.sqrt(density(np.asarray(frequency[1:], dtype=np.float64)) * (n * rate / 4))
    spectrum = np.empty(frequency.size, dtype=np.complex64)
    spectrum.real = parts[0] * amplitude
    spectrum.imag = parts[1] * amplitude
    noise: FloatArray = fft.irfft(spectrum, n=n, overwrite_x=True).astype(np.float64)
    return noise


def instrument_density(frequency: FloatArray, white: float, corner: float) -> FloatArray:
    """One-sided noise of a spring gravimeter at its site [(nm s⁻²)² Hz⁻¹]: white, and rising as 1/f² below a corner.

    Parameters
    ----------
    frequency
        Frequencies [Hz], positive.
    white
        Level of the white part [nm s⁻² Hz^-1/2]; 30 is a quiet spring gravimeter's own.
    corner
        Frequency [Hz] at which both parts are equal; the rise ends at 1e-5 Hz.
    """
    return white**2 * (1 + (corner / np.maximum(frequency, 1e-5)) ** 2)


def expected_noise_magnitude(white: float, corner: float) -> float:
    """Seismic noise magnitude of `instrument_density`: log10 of its mean over 200 to 600 s, + 0.5 for nm s⁻²."""
    low, high = 1 / SNM_BAND_S[1], 1 / SNM_BAND_S[0]
    mean = white**2 * (1 + corner**2 / (low * high))
    return float(np.log10(mean) + 0.5)


def pressure_density(frequency: FloatArray) -> FloatArray:
    """One-sided spectrum of air pressure [hPa² Hz⁻¹]: weather of about 5 hPa over four days, falling as f⁻³."""
    knee = 1 / (4 * 86_400)
    return 25 * knee**2 / (knee**2 + frequency**2) ** 1.5 + 1e-6


def microseism_density(frequency: FloatArray) -> FloatArray:
    """One-sided spectrum of unit variance [Hz⁻¹]: the double-frequency peak at 5 s and the weak primary at 14 s."""
    peak = np.zeros_like(frequency)
    for centre, width, share in ((0.2, 0.2, 0.93), (0.07, 0.15, 0.07)):
        shape = np.exp(-0.5 * (np.log(frequency / centre) / width) ** 2)
        peak += share * shape / (centre * width * np.sqrt(2 * np.pi) * np.exp(0.5 * width**2))
    return peak


def slow_level(rng: np.random.Generator, n: int, rate: float, spread: float) -> FloatArray:
    """Draw a level around 1 that wanders over days, such as the sea's: exp of a smooth curve through daily values.

    Parameters
    ----------
    rng
        Source of randomness.
    n
        Number of samples.
    rate
        Sampling rate [Hz].
    spread
        Standard deviation of the level's natural logarithm.
    """
    days = int(np.ceil(n / rate / 86_400)) + 4
    value = np.empty(days)
    value[0] = rng.normal()
    for day in range(1, days):
        value[day] = 0.7 * value[day - 1] + np.sqrt(1 - 0.49) * rng.normal()
    curve = CubicSpline(np.arange(days), spread * value)
    level: FloatArray = np.exp(curve(np.arange(n) / (rate * 86_400) + 1))
    return level


def drift(n: int, rate: float, per_day: float, relaxation: float) -> FloatArray:
    """Drift of a spring [nm s⁻²]: linear, and a relaxation with a time constant of ten days.

    Parameters
    ----------
    n
        Number of samples.
    rate
        Sampling rate [Hz].
    per_day
        Linear part [nm s⁻² per day].
    relaxation
        Size of the relaxing part [nm s⁻²].
    """
    days = np.arange(n) / (rate * 86_400)
    return per_day * days + relaxation * (1 - np.exp(-days / 10))


def air_pressure(rng: np.random.Generator, n: int, rate: float, elevation: float) -> FloatArray:
    """Draw the air pressure [hPa] at a height [m]: the normal value, weather, and the semidiurnal wave of 1 hPa."""
    normal = normal_pressure(elevation)
    hours = np.arange(n) / (rate * 3600)
    wave = np.cos(2 * np.pi * (hours / 12 - rng.uniform()))
    return normal + coloured_noise(rng, n, rate, pressure_density) + wave


def normal_pressure(elevation: float) -> float:
    """Air pressure of the standard atmosphere [hPa] at a height [m]."""
    return float(1013.25 * (1 - 0.0065 * elevation / 288.15) ** 5.2559)


def solid_tide(start_s: float, n: int, rate: float, latitude: float, longitude: float) -> FloatArray:
    """Gravity effect of the Moon and the Sun on an elastic Earth [nm s⁻²], positive downwards like gravity itself.

    The rigid-Earth tide of degree 2 (and 3 for the Moon) from low-precision positions (Meeus, Astronomical
    Algorithms, abridged), times 1.16; computed every ten minutes and joined by a cubic spline.

    Parameters
    ----------
    start_s
        Time of the first sample [s since 1970 UTC].
    n
        Number of samples.
    rate
        Sampling rate [Hz].
    latitude, longitude
        Place [degrees].
    """
    coarse = start_s + _TIDE_STEP_S * np.arange(-2, np.ceil(n / rate / _TIDE_STEP_S) + 4)
    curve = CubicSpline(coarse - start_s, _rigid_tide(coarse, latitude, longitude) * _TIDAL_FACTOR)
    tide: FloatArray = curve(np.arange(n) / rate)
    return tide


def _rigid_tide(time_s: FloatArray, latitude: float, longitude: float) -> FloatArray:
    """Tidal gravity on a rigid spherical Earth [nm s⁻²] at times [s since 1970 UTC]."""
    days = (time_s - _J2000_S) / 86_400
    sidereal = np.radians(280.46061837 + 360.98564736629 * days + longitude)
    sine, cosine = np.sin(np.radians(latitude)), np.cos(np.radians(latitude))
    total = np.zeros_like(time_s)
    for gm, (longitude_e, latitude_e, distance) in ((_GM_MOON, _moon(days)), (_GM_SUN, _sun(days))):
        right_ascension, declination = _equatorial(longitude_e, latitude_e, days)
        zenith = sine * np.sin(declination) + cosine * np.cos(declination) * np.cos(sidereal - right_ascension)
        ratio = _EARTH_RADIUS_M / distance
        total -= gm / distance**2 * (ratio * (3 * zenith**2 - 1) + 1.5 * ratio**2 * (5 * zenith**3 - 3 * zenith))
    return total * 1e9


def _sun(days: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Ecliptic longitude and latitude [rad] and distance [m] of the Sun, days since J2000."""
    anomaly = np.radians(357.529 + 0.98560028 * days)
    mean = np.radians(280.459 + 0.98564736 * days)
    longitude = mean + np.radians(1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    distance = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2 * anomaly)
    return longitude, np.zeros_like(days), distance * _ASTRONOMICAL_UNIT_M


def _moon(days: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Ecliptic longitude and latitude [rad] and distance [m] of the Moon, days since J2000."""
    mean = np.radians(218.3165 + 13.17639648 * days)
    elongation = np.radians(297.8502 + 12.19074912 * days)
    sun = np.radians(357.5291 + 0.98560028 * days)
    moon = np.radians(134.9634 + 13.06499295 * days)
    node = np.radians(93.2721 + 13.22935024 * days)
    longitude = (
        6.289 * np.sin(moon)
        + 1.274 * np.sin(2 * elongation - moon)
        + 0.658 * np.sin(2 * elongation)
        + 0.214 * np.sin(2 * moon)
        - 0.185 * np.sin(sun)
        - 0.114 * np.sin(2 * node)
        + 0.059 * np.sin(2 * elongation - 2 * moon)
        + 0.057 * np.sin(2 * elongation - sun - moon)
        + 0.053 * np.sin(2 * elongation + moon)
    )
    latitude = 5.128 * np.sin(node) + 0.281 * np.sin(moon + node) + 0.278 * np.sin(moon - node)
    distance = (
        385_000.6e3
        - 20_905.4e3 * np.cos(moon)
        - 3_699.1e3 * np.cos(2 * elongation - moon)
        - 2_956.0e3 * np.cos(2 * elongation)
        - 569.9e3 * np.cos(2 * moon)
    )
    return mean + np.radians(longitude), np.radians(latitude), distance


def _equatorial(longitude: FloatArray, latitude: FloatArray, days: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Right ascension and declination [rad] of an ecliptic position [rad], days since J2000."""
    obliquity = np.radians(23.439 - 3.6e-7 * days)
    y = np.sin(longitude) * np.cos(obliquity) - np.tan(latitude) * np.sin(obliquity)
    declination = np.arcsin(
        np.sin(latitude) * np.cos(obliquity) + np.cos(latitude) * np.sin(obliquity) * np.sin(longitude)
    )
    return np.arctan2(y, np.cos(longitude)), declination


def tapered_burst(
    rng: np.random.Generator, n: int, rate: float, rms: float, periods_s: tuple[float, float]
) -> FloatArray:
    """Draw a burst of band-limited noise that rises and falls over a tenth of its length at each end.

    Parameters
    ----------
    rng
        Source of randomness.
    n
        Number of samples.
    rate
        Sampling rate [Hz].
    rms
        Root mean square in the middle of the burst.
    periods_s
        Shortest and longest period [s].
    """
    low, high = 1 / periods_s[1], 1 / periods_s[0]

    def band(frequency: FloatArray) -> FloatArray:
        """Flat within the band, one octave of slope outside, of unit variance."""
        outside = np.log2(np.maximum(low / frequency, 1)) + np.log2(np.maximum(frequency / high, 1))
        shape: FloatArray = np.exp(-8 * outside**2) / (high - low)
        return shape

    edge = np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / max(0.1 * n, 1), 0, 1)
    burst: FloatArray = rms * coloured_noise(rng, n, rate, band) * np.sin(0.5 * np.pi * edge) ** 2
    return burst

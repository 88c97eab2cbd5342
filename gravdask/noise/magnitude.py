"""Seismic, sub-seismic and tidal noise magnitudes.

SNM = log10(mean PSD over periods of 200 s to 600 s, in µGal² Hz⁻¹) + 2.5; SSNM the same over 1 h to 6 h, TNM over
periods above 6 h (Banka & Crossley). With the PSD in (nm s⁻²)² Hz⁻¹, as here, the constant is +0.5. SNM = 0 is -185 dB
relative to (m s⁻²)² Hz⁻¹.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import NoiseError
from gravdask.noise.spectrum import daily_psd

Array = NDArray[np.float64]
Band = Literal["SNM", "SSNM", "TNM"]

CONSTANT = 0.5
"""Added to log10 of a mean PSD in (nm s⁻²)² Hz⁻¹; 2.5 in µGal² Hz⁻¹, 18.5 in (m s⁻²)² Hz⁻¹."""
PERIODS: dict[str, tuple[float, float]] = {"SNM": (200.0, 600.0), "SSNM": (3600.0, 21600.0), "TNM": (21600.0, math.inf)}
"""Shortest and longest period of each band [s]; both belong to it, but TNM begins above 6 h."""
TIDAL_WINDOW_DAYS = 30
"""Least length of a window for TNM: the polynomial of a day keeps 0, 0 and 6 % of the power at 24, 12 and 8 h."""
_SLACK = 1e-6


def band_bins(duration: float, band: Band = "SNM") -> tuple[int, int]:
    """First and last Fourier bin of a band, both included, by integers: k = ceil(nΔt / 600) … floor(nΔt / 200) for SNM.

    Comparing floating-point frequencies loses the bin at 1/600 Hz on some machines, which moves a day by up to 0.009.

    Parameters
    ----------
    duration
        Length nΔt of the transform [s].
    band
        ``"SNM"``, ``"SSNM"`` or ``"TNM"``.

    Raises
    ------
    NoiseError
        If the band is unknown, or is TNM and the window shorter than 30 days.
    """
    if band not in PERIODS:
        msg = f"unknown noise magnitude {band!r}; expected one of {', '.join(PERIODS)}"
        raise NoiseError(msg)
    shortest, longest = PERIODS[band]
    first = max(math.ceil(duration / longest - _SLACK), 1)
    if band == "TNM":
        if duration < TIDAL_WINDOW_DAYS * 86_400 * (1 - 1e-9):
            msg = (
                f"a tidal noise magnitude needs a window of {TIDAL_WINDOW_DAYS} days or more with only a linear drift "
                f"removed, got {duration / 86_400:.4g} days: the polynomial of a single day removes the band itself. "
                "Use gravdask.noise.tidal_noise_magnitude on a longer window"
            )
            raise NoiseError(msg)
        return first, math.ceil(duration / shortest - _SLACK) - 1
    return first, math.floor(duration / shortest + _SLACK)


def noise_magnitude(frequency: Array, psd: Array, band: Band = "SNM") -> float:
    """Noise magnitude of a spectrum: log10 of the linear mean over the band, plus 0.5.

    Parameters
    ----------
    frequency
        As given by `gravdask.noise.daily_psd`: evenly spaced from zero [Hz], shape (m,).
    psd
        [(nm s⁻²)² Hz⁻¹], shape (m,).
    band
        ``"SNM"`` (200-600 s), ``"SSNM"`` (1-6 h) or ``"TNM"`` (above 6 h; windows of 30 days or more only).

    Returns
    -------
    magnitude
        NaN where the spectrum is NaN, and where its sampling or length does not resolve the whole band (hourly data
        have no SNM): what a record cannot tell is missing, as a gap is.

    Raises
    ------
    NoiseError
        If the band is unknown, the frequencies are not evenly spaced from zero, or TNM is asked of less than 30 days.
    """
    frequency, psd = np.asarray(frequency, dtype=np.float64), np.asarray(psd, dtype=np.float64)
    if frequency.ndim != 1 or frequency.shape != psd.shape or frequency.size < 2:
        msg = f"expected frequencies and densities of one shape (m,), got {frequency.shape} and {psd.shape}"
        raise NoiseError(msg)
    duration = (frequency.size - 1) / float(frequency[-1]) if frequency[-1] > 0 else 0.0
    spacing = np.abs(np.diff(frequency) * duration - 1)
    if frequency[0] != 0 or duration <= 0 or spacing.max() > _SLACK:
        msg = "expected frequencies evenly spaced from zero, as daily_psd gives them (full resolution, not band means)"
        raise NoiseError(msg)
    first, last = band_bins(duration, band)
    if last > frequency.size - 1 or last < first:
        return math.nan
    mean = float(psd[first : last + 1].mean())
    if mean == 0:
        return -math.inf
    return math.log10(mean) + CONSTANT


class TidalNoise(NamedTuple):
    """Tidal noise magnitude of a long window.

    Attributes
    ----------
    magnitude
        TNM.
    longest_period
        Longest period in the mean, the length of the window [s]; a TNM without it cannot be compared.
    valid_fraction
        Share of valid samples in the window.
    """

    magnitude: float
    longest_period: float
    valid_fraction: float


def tidal_noise_magnitude(residual: Array, sampling_rate: float, min_valid: float = 0.9) -> TidalNoise:
    """TNM of a window of 30 days or more.

    Parameters
    ----------
    residual
        Gravity without tide [nm s⁻²], NaN where missing, shape (n,); the linear drift is removed here.
    sampling_rate
        [Hz].
    min_valid
        Least share of valid samples; below, the magnitude is NaN.

    Raises
    ------
    NoiseError
        If the window is shorter than 30 days.
    """
    record = np.asarray(residual, dtype=np.float64)
    frequency, psd = daily_psd(record, sampling_rate, degree=1)
    magnitude = noise_magnitude(frequency, psd, "TNM")
    valid = float(np.isfinite(record).mean())
    return TidalNoise(magnitude if valid >= min_valid else math.nan, float(1 / frequency[1]), valid)

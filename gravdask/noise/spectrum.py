"""The power spectrum of one day of residual gravity, by one written-down convention.

A polynomial of degree 9 (Legendre, on [-1, 1] over the day, fitted to the valid samples) is subtracted; runs of at most
5 missing samples are bridged linearly in what remains, longer gaps are zero; a periodic Hann window is applied and its
power restored from Σw² over the samples that are present; no zero padding; one-sided: every bin is doubled but zero and
Nyquist. Conventions alone move published noise magnitudes by 0.2 to 0.6, so each deviation is an explicit option.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import NoiseError
from gravdask.gaps import valid_runs
from gravdask.grid import Rate

Array = NDArray[np.float64]
Sided = Literal["one", "two"]
Window = Literal["hann", "none"]

DAILY_DEGREE = 9
MAX_BRIDGE = 5
"""Longest run of missing samples that is bridged linearly."""


@lru_cache(maxsize=4)
def _whole_basis(samples: int, degree: int) -> Array:
    """Orthonormal polynomials on a day without gaps, shape (samples, degree + 1); read-only, kept per process."""
    basis = _orthonormal(np.linspace(-1.0, 1.0, samples), degree)
    basis.flags.writeable = False
    return basis


def _orthonormal(position: Array, degree: int) -> Array:
    """Orthonormal basis of the polynomials up to a degree at positions in [-1, 1], from Legendre's."""
    return np.linalg.qr(np.polynomial.legendre.legvander(position, degree))[0]


def remove_polynomial(gravity: Array, degree: int = DAILY_DEGREE) -> Array:
    """Subtract the least-squares polynomial of the valid samples.

    Parameters
    ----------
    gravity
        Samples of one day or window, NaN where missing, shape (n,).
    degree
        Of the polynomial, on [-1, 1] over the whole window, gaps included.

    Returns
    -------
    residual
        Shape (n,), NaN where missing; all NaN where no more valid samples than coefficients exist.
    """
    record = np.asarray(gravity, dtype=np.float64)
    valid = np.isfinite(record)
    residual = np.full(record.shape, np.nan)
    if np.count_nonzero(valid) <= degree + 1:
        return residual
    present = record[valid] - record[valid].mean()
    if present.size == record.size:
        basis = _whole_basis(record.size, degree)
    else:
        basis = _orthonormal(np.linspace(-1.0, 1.0, record.size)[valid], degree)
    residual[valid] = present - basis @ (basis.T @ present)
    return residual


def bridge_short_gaps(record: Array, longest: int = MAX_BRIDGE) -> Array:
    """Bridge runs of at most ``longest`` missing samples by straight lines (not at the ends), shape (n,)."""
    bridged = np.array(record, dtype=np.float64)
    for start, stop in valid_runs(~np.isfinite(bridged)):
        if stop - start <= longest and start > 0 and stop < bridged.size:
            ends = bridged[start - 1], bridged[stop]
            bridged[start:stop] = np.interp(np.arange(start, stop), (start - 1, stop), ends)
    return bridged


def window_weights(samples: int, window: Window = "hann") -> Array:
    """Periodic Hann window (or ones), shape (samples,)."""
    if window not in ("hann", "none"):
        msg = f"unknown window {window!r}; expected 'hann' or 'none'"
        raise NoiseError(msg)
    if window == "none":
        return np.ones(samples)
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)


def daily_psd(
    gravity: Array,
    sampling_rate: float,
    *,
    degree: int = DAILY_DEGREE,
    sided: Sided = "one",
    window: Window = "hann",
    max_bridge: int = MAX_BRIDGE,
) -> tuple[Array, Array]:
    """Power spectral density of one day, at full resolution.

    Parameters
    ----------
    gravity
        One day of gravity, raw or residual [nm s⁻²], NaN where missing, shape (n,).
    sampling_rate
        [Hz]; snapped to its nominal value (`gravdask.grid.Rate`).
    degree
        Of the polynomial taken off.
    sided
        ``"one"`` or ``"two"`` (not doubled; 0.301 lower in noise magnitudes).
    window
        ``"hann"`` (periodic) or ``"none"``.
    max_bridge
        Longest run of missing samples that is bridged linearly.

    Returns
    -------
    frequency
        k / (n Δt) [Hz], shape (n // 2 + 1,).
    psd
        [(nm s⁻²)² Hz⁻¹], shape (n // 2 + 1,); all NaN where too few samples are valid for the polynomial.

    Raises
    ------
    NoiseError
        If the record is not one-dimensional or an option is unknown.
    GridError
        If the sampling rate is not a positive number.
    """
    record = np.asarray(gravity, dtype=np.float64)
    if record.ndim != 1 or record.size < 2:
        msg = f"expected one day of gravity, a one-dimensional array of 2 samples or more, got shape {record.shape}"
        raise NoiseError(msg)
    residual = remove_polynomial(record, degree)
    return residual_psd(residual, sampling_rate, sided=sided, window=window, max_bridge=max_bridge)


def residual_psd(
    residual: Array,
    sampling_rate: float,
    *,
    sided: Sided = "one",
    window: Window = "hann",
    max_bridge: int = MAX_BRIDGE,
) -> tuple[Array, Array]:
    """`daily_psd` of a record from which the polynomial is already subtracted (NaN where missing)."""
    if sided not in ("one", "two"):
        msg = f"unknown value {sided!r} of sided; expected 'one' or 'two'"
        raise NoiseError(msg)
    samples = residual.size
    rate = Rate.from_hz(sampling_rate)
    frequency: Array = np.arange(samples // 2 + 1, dtype=np.float64) * (rate.samples / (samples * rate.seconds))
    whole = bridge_short_gaps(residual, max_bridge)
    present = np.isfinite(whole)
    weights = window_weights(samples, window)
    power = float(np.sum(weights[present] ** 2))
    if power == 0.0:
        return frequency, np.full(frequency.shape, np.nan)
    transform = np.fft.rfft(np.where(present, whole, 0.0) * weights)
    psd: Array = (transform.real**2 + transform.imag**2) / (rate.hz * power)
    if sided == "one":
        psd[1 : (samples + 1) // 2] *= 2.0  # all but zero and, for an even number of samples, Nyquist
    return frequency, psd

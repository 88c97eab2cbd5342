"""Noise magnitudes as the published code of Gou computes them, for comparison with figures made by it.

Its spectra do not restore the power that the window takes and are diluted by zero padding, so its numbers are too low
by a constant: 0.579 for the one-minute and 0.181 for the one-second procedure. The procedures are re-told here from
their description; both want a gap-free series cut into days by row count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import NoiseError

Array = NDArray[np.float64]

MINUTE_DAY, MINUTE_PADDED = 1440, 2048
SECOND_DAY, SECOND_PADDED = 86_400, 131_072
DEGREE = 9
_CONSTANT_UGAL = 2.5


def gou_min(residual_ugal: Array) -> Array:
    """SNM of one-minute data, mode ``gou-min``.

    The straight line and then the polynomial of degree 9 of the *whole record* are removed; every 1440 rows in the
    file's own order (gaps closed up) are a day; symmetric Hann window; zeros are appended to 2048 samples and only then
    is the mean removed; the mean density over 1/600 < f < 1/200 Hz, ends excluded. On record 334 it agrees with the
    published code to 1e-6, whatever tide was taken off.

    Parameters
    ----------
    residual_ugal
        Gravity with tide and air removed [µGal], rows as in the file, shape (n,).

    Returns
    -------
    snm
        One value per 1440 rows (an incomplete last day is left out), shape (n // 1440,).

    Raises
    ------
    NoiseError
        If there is less than one day or a value is missing.
    """
    rows = _checked(residual_ugal, MINUTE_DAY)
    flat = _without_polynomial(_without_polynomial(rows, 1), DEGREE)
    days = flat[: rows.size // MINUTE_DAY * MINUTE_DAY].reshape(-1, MINUTE_DAY)
    return _padded_magnitude(days * np.hanning(MINUTE_DAY), MINUTE_PADDED, 60.0)


def gou_sec(residual_ugal: Array) -> Array:
    """SNM of one-second data, mode ``gou-sec``: polynomial per day, Hann times sqrt(1/0.375), padded to 131072.

    Parameters
    ----------
    residual_ugal
        Gravity with tide and air removed [µGal], rows as in the file, shape (n,).

    Returns
    -------
    snm
        One value per 86400 rows, shape (n // 86400,).

    Raises
    ------
    NoiseError
        If there is less than one day or a value is missing.
    """
    rows = _checked(residual_ugal, SECOND_DAY)
    days = rows[: rows.size // SECOND_DAY * SECOND_DAY].reshape(-1, SECOND_DAY)
    flat = np.stack([_without_polynomial(day, DEGREE) for day in days])
    return _padded_magnitude(flat * (np.hanning(SECOND_DAY) * np.sqrt(1 / 0.375)), SECOND_PADDED, 1.0)


def _checked(values: Array, day: int) -> Array:
    """Return the rows as float64 after refusing gaps and records shorter than a day."""
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 1 or rows.size < day:
        msg = f"the compatibility modes need at least one day of {day} rows, got shape {rows.shape}"
        raise NoiseError(msg)
    if not np.isfinite(rows).all():
        msg = (
            f"the compatibility modes know no gaps, and {np.count_nonzero(~np.isfinite(rows))} rows have no value: "
            "give the rows that the file holds, closed up"
        )
        raise NoiseError(msg)
    return rows


def _without_polynomial(rows: Array, degree: int) -> Array:
    """Subtract the least-squares polynomial over the rows' own order."""
    position = np.linspace(-1.0, 1.0, rows.size)
    basis = np.linalg.qr(np.polynomial.legendre.legvander(position, degree))[0]
    centred = rows - rows.mean()
    return np.asarray(centred - basis @ (basis.T @ centred))


def _padded_magnitude(windowed: Array, padded: int, interval: float) -> Array:
    """Noise magnitude [from µGal] of windowed days, shape (days,), with their density as that code defines it."""
    series = np.zeros((windowed.shape[0], padded))
    series[:, : windowed.shape[1]] = windowed
    series -= series.mean(axis=1, keepdims=True)
    density = 2 * np.abs(np.fft.rfft(series)) ** 2 * interval / padded
    bins = np.arange(density.shape[1])
    # 1/600 < k / (padded * interval) < 1/200, in exact numbers; no bin of a power of two falls on an end.
    inside = (600 * bins > padded * interval) & (200 * bins < padded * interval)
    return np.asarray(np.log10(density[:, inside].mean(axis=1)) + _CONSTANT_UGAL)

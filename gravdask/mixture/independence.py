"""How many independent times stand behind rows that follow one another, and blocks of time to test a mixture on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Index, VectorLike

_LONGEST = 1000
"""Steps that a series may span for each of its times: beyond that nearly all of it is gaps."""


def _unknown(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether times are missing."""
    return np.isnat(values) if values.dtype.kind in "Mm" else np.isnan(values.astype(np.float64))


def time_blocks(times: VectorLike, n_blocks: int, guard: float = 0.0) -> Index:
    """Return labels of consecutive blocks of time, 0 to n_blocks - 1, with -1 for rows in the guard gaps between.

    Parameters
    ----------
    times
        (n_rows,) numbers in any order and unit (frame indices, nanoseconds); stations may share times.
    n_blocks
        Number of blocks, at least 2, of about equal numbers of distinct times.
    guard
        Least time between rows of different blocks, in the unit of `times`; at least the frames' reach.

    Raises
    ------
    MixtureError
        Fewer distinct times than blocks, or a guard that leaves a block empty.
    """
    values = np.asarray(times)
    if values.ndim != 1 or values.dtype.kind not in "iufMm" or _unknown(values).any():
        msg = (
            f"times must be numbers or datetimes, one a row and none missing, got shape {values.shape}, {values.dtype}"
        )
        raise MixtureError(msg)
    if not guard >= 0:
        msg = f"guard must not be below 0, got {guard!r}"
        raise MixtureError(msg)
    distinct = np.unique(values)
    if n_blocks < 2 or len(distinct) < n_blocks:
        msg = f"{len(distinct)} distinct times cannot make n_blocks={n_blocks} blocks; give 2 or more, and more times"
        raise MixtureError(msg)
    firsts = distinct[[len(distinct) * k // n_blocks for k in range(n_blocks)]]
    labels = np.searchsorted(firsts, values, side="right") - 1
    # The rows just after each boundary are the gap: what precedes a block may lie as near as one step to it.
    labels[(labels > 0) & (values - firsts[labels] < guard)] = -1
    empty = sorted(set(range(n_blocks)) - set(np.unique(labels).tolist()))
    if empty:
        msg = f"A guard of {guard} leaves no rows in block(s) {empty}: choose a shorter guard or fewer blocks"
        raise MixtureError(msg)
    return labels.astype(np.int64)


def effective_size(scores: VectorLike, times: VectorLike) -> float:
    """Return the effective number of independent times behind a series of scores.

    Scores of one time (several stations) are averaged, so stations never multiply the size. n_eff = m / τ with m the
    number of distinct times and τ = 1 + 2 Σ ρ(lag) up to the first lag where the autocorrelation ρ is not positive
    (gaps are left out of the sums). Times need a common step.

    Parameters
    ----------
    scores
        (n_rows,) log-likelihoods.
    times
        (n_rows,) numbers on a regular grid, gaps allowed.

    Raises
    ------
    MixtureError
        Scores or times are missing, differ in length, or the times have no common step.
    """
    scores, times = np.asarray(scores, dtype=np.float64), np.asarray(times)
    if scores.shape != times.shape or scores.ndim != 1 or _unknown(times).any() or not np.isfinite(scores).all():
        msg = (
            f"scores and times must be of one length and none missing, got {scores.shape} with "
            f"{int((~np.isfinite(scores)).sum())} not finite, and {times.shape}"
        )
        raise MixtureError(msg)
    distinct, place = np.unique(np.asarray(times), return_inverse=True)
    if len(distinct) < 3:
        return float(len(distinct))
    series = np.bincount(place, weights=np.asarray(scores)) / np.bincount(place)
    series -= series.mean()
    steps = (distinct - distinct[0]) / np.diff(distinct).min()
    if np.abs(steps - np.rint(steps)).max() > 0.1 or steps[-1] > _LONGEST * len(distinct):
        msg = (
            f"times have no common step: the least is {np.diff(distinct).min()}, and {len(distinct)} distinct times "
            f"span {steps[-1]:.3g} of it. Give the numbers of frames on their grid"
        )
        raise MixtureError(msg)
    position = np.rint(steps).astype(np.int64)
    width = 2 * (int(position[-1]) + 1)
    values, mask = np.zeros(width), np.zeros(width)
    values[position], mask[position] = series, 1.0
    lags = len(values) // 2
    power = np.fft.irfft(np.abs(np.fft.rfft(values)) ** 2, width)[:lags]
    pairs = np.rint(np.fft.irfft(np.abs(np.fft.rfft(mask)) ** 2, width)[:lags])
    variance = power[0] / pairs[0]
    if variance <= 0.0:
        return float(len(distinct))
    correlation = np.where(pairs > 0, power / np.maximum(pairs, 1.0), 0.0)[1:] / variance
    stop = int(np.argmax(correlation <= 0.0)) if (correlation <= 0.0).any() else len(correlation)
    return float(len(distinct) / max(1.0, 1.0 + 2.0 * correlation[:stop].sum()))

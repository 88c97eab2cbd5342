"""Runs of valid samples between gaps: find them, take off their trend, taper their edges.

A gap is never filled with invented samples. Where a transform needs numbers everywhere, each contiguous run is first
brought to mean and trend zero, its edges towards gaps are tapered, and only then is the gap set to zero: the smallest
disturbance that an absent stretch can be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def valid_runs(valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Find the contiguous runs of valid samples.

    Parameters
    ----------
    valid
        True where a sample is present, shape (n,).

    Returns
    -------
    runs
        Start and stop (exclusive) of every run, shape (n_runs, 2).
    """
    edges = np.flatnonzero(np.diff(valid.astype(np.int8), prepend=0, append=0))
    return edges.reshape(-1, 2).astype(np.int64)


def remove_trend(run: NDArray[np.float64]) -> NDArray[np.float64]:
    """Subtract the least-squares straight line of a run (its mean alone if it has fewer than three samples)."""
    centred: NDArray[np.float64] = run - run.mean()
    if run.size < 3:
        return centred
    position = np.arange(run.size) - (run.size - 1) / 2
    centred -= position * (position @ centred / (position @ position))
    return centred


def taper_weights(samples: int) -> NDArray[np.float64]:
    """Rising half of a cosine taper, strictly between 0 and 1, shape (samples,)."""
    weights: NDArray[np.float64] = np.sin(0.5 * np.pi * (np.arange(samples) + 0.5) / max(samples, 1)) ** 2
    return weights


def fill_gaps(record: NDArray[np.float64], taper: int, detrend: bool = True) -> NDArray[np.float64]:
    """Make a record finite everywhere: runs free of mean and trend, tapered towards gaps, zero in the gaps.

    Parameters
    ----------
    record
        Samples with NaN where one is missing, shape (n,); float64, so that a large constant offset costs nothing.
    taper
        Length of the taper at each edge that adjoins a gap [samples]; at most half of a run. The ends of the record
        itself are not gaps and stay as they are.
    detrend
        Also take off the straight line of each run, not only its mean.

    Returns
    -------
    filled
        A new array of the same shape without NaN.
    """
    filled = np.zeros(record.shape, dtype=np.float64)
    for start, stop in valid_runs(np.isfinite(record)):
        run = np.asarray(record[start:stop], dtype=np.float64)
        run = remove_trend(run) if detrend else run - run.mean()
        width = min(taper, run.size // 2)
        if start > 0 and width:
            run[:width] *= taper_weights(width)
        if stop < record.size and width:
            run[-width:] *= taper_weights(width)[::-1]
        filled[start:stop] = run
    return filled

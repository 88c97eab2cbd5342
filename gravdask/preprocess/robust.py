"""Medians of short blocks of a record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gravdask.compiling import compile_kernel, source_digest

Array = NDArray[np.float64]

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a Gaussian over the median of its absolute deviations."""


def block_medians(
    values: Array, times_ns: NDArray[np.int64], block_ns: int, least: int = 3
) -> tuple[NDArray[np.int64], Array]:
    """Medians of the valid samples of each block of time, blocks on multiples of their length since 1970.

    Parameters
    ----------
    values
        Samples, NaN where missing, shape (n,).
    times_ns
        Their times [ns since 1970], ascending, shape (n,).
    block_ns
        Length of a block [ns].
    least
        Blocks with fewer valid samples are left out.

    Returns
    -------
    centres
        Mean time of each block's valid samples [ns], shape (b,).
    medians
        Shape (b,).
    """
    valid = np.isfinite(values)
    kept, stamps = values[valid], times_ns[valid]
    if not kept.size:
        return np.empty(0, np.int64), np.empty(0)
    block = stamps // block_ns
    starts = np.flatnonzero(np.diff(block, prepend=block[0] - 1))
    counts = np.diff(starts, append=block.size)
    within = np.add.reduceat(stamps - block * block_ns, starts) // counts
    centres = block[starts] * block_ns + within
    enough = counts >= least
    return centres[enough], _medians(kept, starts[enough], counts[enough])


def _medians_kernel(values: Array, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> Array:
    """Median of each stretch of a row, shape (stretches,)."""
    medians = np.empty(starts.size)
    for k in range(starts.size):
        medians[k] = np.median(values[starts[k] : starts[k] + counts[k]])
    return medians


_medians = compile_kernel(_medians_kernel, source_digest("gravdask.preprocess", ("robust",)))

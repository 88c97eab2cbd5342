"""Sums of monoids over blocks of rows, on Dask: each block on a worker, then a tree whose shape is the block order's.

Whatever has a zero and a `+` can be summed so: moments, histograms of medians, values collected for exact medians. The
same blocks in the same order are always added in the same pairs, hence give the same bits on any number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self, TypeVar

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FAN_IN = 8
"""Sums that are added by one task."""


class Monoid(Protocol):
    """What can be added up."""

    def __add__(self, other: Self, /) -> Self:
        """Return the sum of both."""


M = TypeVar("M", bound=Monoid)


def add_in_order(first: M, parts: Sequence[M]) -> M:
    """Return first + parts[0] + parts[1] + …, from left to right."""
    total = first
    for part in parts:
        total = total + part
    return total


def tree_sum(parts: Sequence[Any], zero: M) -> Any:  # noqa: ANN401
    """Return a delayed sum of delayed monoids, added `FAN_IN` at a time in the order given; of none, the zero.

    Parameters
    ----------
    parts
        Delayed objects (or plain ones) that belong to the monoid of ``zero``.
    zero
        Its identity.
    """
    if not parts:
        return dask.delayed(zero, pure=False)
    add = dask.delayed(add_in_order, pure=False)
    level = list(parts)
    while True:
        level = [add(level[n], level[n + 1 : n + FAN_IN]) for n in range(0, len(level), FAN_IN)]
        if len(level) == 1:
            return level[0]


def sum_blocks(rows: Any, from_block: Callable[[Array], M], zero: M) -> M:  # noqa: ANN401
    """Sum a function of each block of rows.

    Parameters
    ----------
    rows
        Dask array (n_rows, n_columns) of any chunking, unknown and empty chunks too, or a NumPy array (one block).
    from_block
        Makes the monoid of a block (n, n_columns) of rows.
    zero
        Its identity.
    """
    if not isinstance(rows, da.Array):
        return zero + from_block(np.asarray(rows))
    if rows.numblocks[1] > 1:
        rows = rows.rechunk({1: -1})
    lifted = dask.delayed(from_block, pure=False)
    (total,) = dask.compute(tree_sum([lifted(block) for block in rows.to_delayed().ravel()], zero))
    found: M = total
    return found

"""A seeded sample that takes the same share of every stratum, whatever the chunks.

Ranks are drawn within each stratum, over all rows in order: they depend on the seed and on the strata's sizes only.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils.random import sample_without_replacement

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float, Handle, Index, Rows
from gravdask.mixture.blocks import RowBlocks

Counts = dict[Hashable, int]
"""Rows by stratum."""

_KINDS = "biuUSMO"
"""Kinds of labels: bool, integers, words, dates, objects. Not floats, of which NaN equals nothing."""


def _usable(groups: Rows, rows: Rows, weights: Float | None) -> Rows:
    """Return the labels of the rows with a weight above 0, checked."""
    labels = np.asarray(groups)
    if labels.dtype.kind not in _KINDS:
        msg = f"groups must be integers, words or dates, (n_rows,), got dtype {labels.dtype}: convert them to integers"
        raise MixtureError(msg)
    if len(labels) != len(rows):
        msg = f"groups has {len(labels)} values for the {len(rows)} rows of one chunk: chunk both alike"
        raise MixtureError(msg)
    return labels if weights is None else labels[weights > 0.0]


def count_groups(rows: Rows, weights: Float | None, groups: Rows) -> Counts:
    """Return how many rows with a weight above 0 each stratum has in one block.

    Raises
    ------
    MixtureError
        Labels that are no integers, words or dates, not one a row, or not comparable with each other.
    """
    labels = _usable(groups, rows, weights)
    try:
        found, counts = np.unique(labels, return_counts=True)
    except TypeError as error:
        msg = f"groups must be labels of one kind that can be sorted, but {error}: convert them to words or integers"
        raise MixtureError(msg) from error
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def ranks_of(rows: Rows, weights: Float | None, asked: tuple[Rows, Mapping[Hashable, Index]]) -> Index:
    """Return the places among the rows with a weight above 0 that ranks within strata stand for, ascending.

    Parameters
    ----------
    rows, weights
        One block.
    asked
        Its labels, and for each stratum the ranks that are wanted of its rows in this block.
    """
    labels = _usable(asked[0], rows, weights)
    names, inverse = np.unique(labels, return_inverse=True)
    by_group = np.argsort(inverse, kind="stable")
    firsts = np.searchsorted(inverse[by_group], np.arange(len(names)))
    parts = [
        by_group[first + asked[1][name]] for name, first in zip(names.tolist(), firsts, strict=True) if name in asked[1]
    ]
    return np.sort(np.concatenate(parts)).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)


def allot(counts: Sequence[int], n_wanted: int) -> Index:
    """Return how many rows to take of strata with these counts: the same share of each, `n_wanted` in all.

    What is left after rounding down goes to the largest remainders, the earlier of equal ones first: no stratum is off
    its share by a row.
    """
    total = sum(counts)
    # whole numbers: Python's do not overflow, and no rounding can favour a stratum
    exact = [divmod(count * n_wanted, total) for count in counts]
    taken = [whole for whole, _ in exact]
    order = sorted(range(len(counts)), key=lambda g: (-exact[g][1], g))
    for g in order[: n_wanted - sum(taken)]:
        taken[g] += 1
    return np.array(taken, dtype=np.int64)


def draw_from_groups(
    blocks: RowBlocks, groups: Sequence[Handle], n_wanted: int, random_state: np.random.RandomState
) -> list[Index]:
    """Return for each block which of its rows (counted among those with a weight above 0) make up the sample.

    Parameters
    ----------
    blocks
        Complete rows.
    groups
        Labels of each block's rows.
    n_wanted
        Rows of the sample; where there are no more than that, all are taken and the generator is left alone.
    random_state
        Consumed once a stratum, in ascending order of the labels.

    Raises
    ------
    MixtureError
        See `count_groups`.
    """
    found: list[Counts] = blocks.map(count_groups, each=groups)
    sizes = [sum(counts.values()) for counts in found]
    if sum(sizes) <= n_wanted:
        return [np.arange(size) for size in sizes]
    names = _sorted_names(found)
    totals = [sum(counts.get(name, 0) for counts in found) for name in names]
    asked: list[dict[Hashable, Index]] = [{} for _ in found]
    for name, total, share in zip(names, totals, allot(totals, n_wanted), strict=True):
        ranks = np.sort(sample_without_replacement(total, int(share), random_state=random_state))
        edges = np.cumsum([counts.get(name, 0) for counts in found])
        for block, part in enumerate(np.split(ranks, np.searchsorted(ranks, edges[:-1]))):
            if len(part):
                asked[block][name] = part - (edges[block] - found[block][name])
    return blocks.map(ranks_of, each=list(zip(groups, asked, strict=True)))


def _sorted_names(found: Sequence[Counts]) -> list[Any]:
    """Return the labels of all blocks in ascending order."""
    names: set[Any] = set().union(*found)
    try:
        return sorted(names)
    except TypeError as error:
        msg = f"groups must be labels of one kind that can be sorted, but {error}: convert them to words or integers"
        raise MixtureError(msg) from error

"""Exact medians in two passes: a histogram says which cell holds the median, a second pass looks only into that cell.

So rows of years are never in memory together, and the answer is numpy.median's to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import ModelError
from gravdask.features.columns import Columns, log_columns
from gravdask.features.histogram import LOGARITHM_CELLS, PATH_CELLS, SLICE_ROWS, Cells, MedianHistogram, add_counts
from gravdask.features.reduction import sum_blocks

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Middle:
    """Where the median of each column lies: cells of the two middle values and their ranks within them.

    Attributes
    ----------
    cells
        The division.
    cell, rank
        Shape (n_columns, 2), as `MedianHistogram.middle_ranks` gives them.
    """

    cells: Cells
    cell: Index
    rank: Index

    @classmethod
    def of(cls, histogram: MedianHistogram) -> Middle:
        """Return where a histogram says that the medians lie."""
        return cls(histogram.cells, *histogram.middle_ranks())


@dataclass(frozen=True)
class MiddleValues:
    """The distinct values in the cells that hold the medians, and how often each occurs: a monoid.

    It holds as much as the cells do: with single-precision coefficients and `PATH_CELLS` never more than 2^14 distinct
    values a cell, with others about the share of all values that a thousandth around the median holds.

    Attributes
    ----------
    columns, values, counts
        Ascending by column, then by value; shape (n_distinct,).
    """

    columns: Index
    values: Array
    counts: Index

    @classmethod
    def zero(cls) -> MiddleValues:
        """Return the values of no rows: the identity of `+`."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, np.empty(0), nothing)

    @classmethod
    def from_block(cls, rows: NDArray[np.floating], middle: Middle) -> MiddleValues:
        """Return the values of a block (n, n_columns) that lie in the cells looked for."""
        total = cls.zero()
        for start in range(0, len(rows), SLICE_ROWS):
            total = total + cls._of_slice(rows[start : start + SLICE_ROWS], middle)
        return total

    @classmethod
    def _of_slice(cls, rows: NDArray[np.floating], middle: Middle) -> MiddleValues:
        """Return the values of few rows."""
        columns, values, counts = [], [], []
        for column in np.flatnonzero(middle.rank[:, 0] >= 0):
            x = rows[~np.isnan(rows[:, column]), column].astype(np.float64)
            # Adding zero makes the two zeros one.
            found, count = np.unique(x[np.isin(middle.cells.index(x), middle.cell[column])] + 0.0, return_counts=True)
            columns.append(np.full(found.size, column, np.int64))
            values.append(found)
            counts.append(count.astype(np.int64))
        if not values:
            return cls.zero()
        return cls(np.concatenate(columns), np.concatenate(values), np.concatenate(counts))

    def __add__(self, other: MiddleValues) -> MiddleValues:
        """Return the values of both sets of rows."""
        columns = np.concatenate([self.columns, other.columns])
        values = np.concatenate([self.values, other.values])
        counts = np.concatenate([self.counts, other.counts])
        order = np.lexsort((values, columns))
        columns, values = columns[order], values[order]
        # A number for each distinct pair of column and value, ascending.
        step = (columns[1:] != columns[:-1]) | (values[1:] != values[:-1])
        number = np.concatenate([[0], np.cumsum(step)])[: values.size].astype(np.int64)
        _, added = add_counts((number,), (counts[order],))
        firsts = np.flatnonzero(np.concatenate([[True], step]))[: added.size]
        return MiddleValues(columns[firsts], values[firsts], added)

    def medians(self, middle: Middle) -> Array:
        """Exact median of each column, shape (n_columns,), NaN for one without values.

        Raises
        ------
        ModelError
            If the rows were not those of the histogram: a value looked for is not there.
        """
        found = np.full(len(middle.rank), np.nan)
        for column in np.flatnonzero(middle.rank[:, 0] >= 0):
            own = slice(*np.searchsorted(self.columns, [column, column + 1]))
            values, counts = self.values[own], self.counts[own]
            cell = middle.cells.index(values)
            ends = []
            for which in (0, 1):
                inside = cell == middle.cell[column, which]
                place = int(np.searchsorted(np.cumsum(counts[inside]), middle.rank[column, which], side="right"))
                if place >= int(inside.sum()):
                    msg = f"column {column} holds other values than the histogram counted: use the same rows in both"
                    raise ModelError(msg)
                ends.append(values[inside][place])
            # As numpy.median does it: the mean of two, which is the value itself where they are one.
            found[column] = np.mean(ends)
        return found


def medians_of(rows: Any, cells: Cells = PATH_CELLS, exact: bool = False) -> Array:  # noqa: ANN401
    """Median of each column over all its values that are not NaN, in bounded memory.

    Parameters
    ----------
    rows
        Dask array (n_rows, n_columns) of any chunking, or a NumPy array.
    cells
        Division of the histogram: `PATH_CELLS` for coefficients, `LOGARITHM_CELLS` for logarithms.
    exact
        Whether a second pass over the rows finds the exact medians (numpy.median of float64 values, to the bit);
        otherwise they are good to ``cells.error``.

    Returns
    -------
    medians
        Shape (n_columns,), NaN for a column without values.
    """
    count: Callable[[Array], MedianHistogram] = partial(MedianHistogram.from_block, cells=cells)
    histogram = sum_blocks(rows, count, MedianHistogram.zero(rows.shape[1], cells))
    if not exact:
        return histogram.medians()
    middle = Middle.of(histogram)
    look: Callable[[Array], MiddleValues] = partial(MiddleValues.from_block, middle=middle)
    return sum_blocks(rows, look, MiddleValues.zero()).medians(middle)


@dataclass(frozen=True)
class ChannelMedians:
    """What normalises a channel.

    Attributes
    ----------
    path
        Median of each path over the channel's valid frames, shape (n_paths,).
    column
        Median of each logarithmic column, shape (n_columns,).
    rows
        Valid frames of each part.
    """

    path: Array
    column: Array
    rows: tuple[int, ...]


def channel_medians(
    parts: Sequence[Callable[[], NDArray[np.floating]]], columns: Columns, exact: bool = True
) -> ChannelMedians:
    """Medians of a channel's paths and columns, with one part of its frames in memory at a time.

    Parameters
    ----------
    parts
        Functions that read the coefficients (frame, path) of a part, NaN rows where a frame has none. Each is called
        two times, four times for exact medians.
    columns
        Which paths become which columns.
    exact
        Whether the medians are those of `columns.path_medians` and `columns.column_medians` of all valid frames
        together, to the bit; otherwise they are good to `PATH_CELLS` and `LOGARITHM_CELLS`.

    Raises
    ------
    ModelError
        If there are no parts.
    """
    if not parts:
        msg = "medians of a channel need at least one part of its frames, got none"
        raise ModelError(msg)
    path, rows = _medians_of_parts([partial(_valid, read) for read in parts], PATH_CELLS, exact)
    logarithms = [partial(_logarithms, read, path, columns) for read in parts]
    column, _ = _medians_of_parts(logarithms, LOGARITHM_CELLS, exact)
    return ChannelMedians(path, column, rows)


def _valid(read: Callable[[], NDArray[np.floating]]) -> NDArray[np.floating]:
    """Coefficients of a part's valid frames."""
    coefficients = read()
    valid: NDArray[np.floating] = coefficients[np.isfinite(coefficients).all(axis=1)]
    return valid


def _logarithms(read: Callable[[], NDArray[np.floating]], medians: Array, columns: Columns) -> Array:
    """Logarithmic columns of a part's valid frames."""
    return log_columns(_valid(read), medians, columns)


def _medians_of_parts(
    parts: Sequence[Callable[[], NDArray[np.floating]]], cells: Cells, exact: bool
) -> tuple[Array, tuple[int, ...]]:
    """Median of each column over the rows of all parts, and the rows of each."""
    # Parts are read within calls, so that nothing holds on to one while the next is read.
    rows, histogram = _counted(parts[0], cells)
    counts = [rows]
    for read in parts[1:]:
        rows, found = _counted(read, cells)
        counts.append(rows)
        histogram = histogram + found
    if not exact:
        return histogram.medians(), tuple(counts)
    middle, looked = Middle.of(histogram), MiddleValues.zero()
    for read in parts:
        looked = looked + MiddleValues.from_block(read(), middle)
    return looked.medians(middle), tuple(counts)


def _counted(read: Callable[[], NDArray[np.floating]], cells: Cells) -> tuple[int, MedianHistogram]:
    """Rows of a part, and their histogram."""
    block = read()
    return len(block), MedianHistogram.from_block(block, cells)

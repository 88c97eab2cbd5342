"""Medians of any number of rows in bounded memory: mergeable histograms with fixed cells.

A cell is read off the bits of a float: |x| plus a floor, rounded to float64, and its leading bits are the number of the
cell. So cells are as wide as a fixed share of |x| + floor: logarithmic above the floor, even below it, alike on either
side of zero. Only sums and shifts of exact numbers are involved, no logarithm, hence a value falls into the same cell
on every machine and in any chunk, and two halves merge to the whole exactly, count by count. Only cells that hold
something are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravdask.errors import ModelError

Array = NDArray[np.float64]
Index = NDArray[np.int64]
MANTISSA_BITS = 52
SLICE_ROWS = 1 << 13
"""Rows that are counted at a time: it bounds the temporary copies."""


@dataclass(frozen=True)
class Cells:
    """A fixed division of the real line.

    Cell 0 is zero alone. Cells 1, 2, … hold 0 < x, each as wide as 2^-``bits`` of |x| + floor or less; -1, -2, … mirror
    them. The outermost, ``± last``, hold whatever lies beyond the range, infinity included.

    Attributes
    ----------
    floor_exponent
        The floor is 2 to this power, in units of x.
    octaves
        The range ends where |x| + floor is 2^octaves floors.
    bits
        An octave of |x| + floor is divided into 2^bits cells.
    """

    floor_exponent: int
    octaves: int
    bits: int

    def __post_init__(self) -> None:
        """Refuse what float64 cannot hold."""
        low, high = self.floor_exponent, self.floor_exponent + self.octaves
        if not (-1022 <= low < high <= 1022 and 1 <= self.bits <= MANTISSA_BITS and self.octaves << self.bits < 2**40):
            msg = f"cells from 2^{low} to 2^{high} with {self.bits} bits each octave are beyond float64; take fewer"
            raise ModelError(msg)

    @property
    def floor(self) -> float:
        """Below it cells are even, above it logarithmic."""
        return 2.0**self.floor_exponent

    @property
    def last(self) -> int:
        """Number of the cell of everything beyond the range."""
        return (self.octaves << self.bits) + 1

    def error(self, value: ArrayLike) -> Array:
        """Largest distance of a value within the range from the middle of its cell."""
        return np.asarray((np.abs(value) + self.floor) * 2.0 ** -(self.bits + 1))

    def index(self, values: NDArray[np.floating]) -> Index:
        """Cell of each value, none of them NaN."""
        exact = np.abs(values.astype(np.float64, copy=False))
        raised: Index = (exact + self.floor).view(np.int64) >> (MANTISSA_BITS - self.bits)
        first = (self.floor_exponent + 1023) << self.bits
        cell = np.minimum(raised - first + 1, self.last)
        cell[exact == 0] = 0
        return np.where(np.signbit(values), -cell, cell)

    def middle(self, cell: ArrayLike) -> Array:
        """Middle of each cell; infinite for the outermost ones."""
        number = np.asarray(cell, np.int64)
        size = np.abs(number)
        first = (self.floor_exponent + 1023) << self.bits
        edges = [((size + step + first) << (MANTISSA_BITS - self.bits)).view(np.float64) for step in (-1, 0)]
        middle = 0.5 * (edges[0] + edges[1]) - self.floor
        middle = np.where(size == 0, 0.0, np.where(size >= self.last, np.inf, middle))
        return np.asarray(np.copysign(middle, number))


PATH_CELLS = Cells(floor_exponent=-100, octaves=200, bits=9)
"""For coefficients of either order, in any unit: a median is good to 2^-10, 0.098 %, from 8e-31 to 1.3e30."""
LOGARITHM_CELLS = Cells(floor_exponent=4, octaves=6, bits=15)
"""For natural logarithms: a median m is good to (|m| + 16) / 65536, 0.02 to 0.1 % of the value, for |m| up to 49."""


@dataclass(frozen=True)
class MedianHistogram:
    """Counts of the values of each column in fixed cells: a monoid, from which medians follow.

    It holds 16 bytes for each cell that is not empty: no more than there are values, nor than 2 ``cells.last`` + 1 a
    column, however many the rows.

    Attributes
    ----------
    cells
        The division.
    missing
        Values of each column that were NaN, shape (n_columns,).
    keys
        Column and cell in one number, ascending: column (2 last + 1) + cell + last, shape (n_occupied,).
    counts
        Values in each of them, shape (n_occupied,).
    """

    cells: Cells
    missing: Index
    keys: Index
    counts: Index

    @classmethod
    def zero(cls, n_columns: int, cells: Cells) -> MedianHistogram:
        """Return the histogram of no rows: the identity of `+`."""
        nothing = np.empty(0, np.int64)
        return cls(cells, np.zeros(n_columns, np.int64), nothing, nothing)

    @classmethod
    def from_block(cls, rows: NDArray[np.floating], cells: Cells) -> MedianHistogram:
        """Return the histogram of a block (n, n_columns) of any float type; NaN are counted as missing."""
        total = cls.zero(rows.shape[1], cells)
        for start in range(0, len(rows), SLICE_ROWS):
            total = total + cls._of_slice(rows[start : start + SLICE_ROWS], cells)
        return total

    @classmethod
    def _of_slice(cls, rows: NDArray[np.floating], cells: Cells) -> MedianHistogram:
        """Return the histogram of few rows."""
        present = ~np.isnan(rows)
        keys, counts = [], []
        for column in range(rows.shape[1]):
            found = cells.index(np.ascontiguousarray(rows[present[:, column], column]))
            occupied, count = np.unique(found, return_counts=True)
            keys.append(_key(cells, column, occupied))
            counts.append(count.astype(np.int64))
        missing = np.asarray((~present).sum(axis=0), np.int64)
        nothing = [np.empty(0, np.int64)]
        return cls(cells, missing, np.concatenate(keys or nothing), np.concatenate(counts or nothing))

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return int(self.missing.size)

    @property
    def present(self) -> Index:
        """Values of each column that were counted, shape (n_columns,)."""
        starts = np.append(self._starts, self.keys.size)
        sums = np.concatenate([[0], np.cumsum(self.counts)])
        return np.asarray(np.diff(sums[starts]), np.int64)

    @property
    def _starts(self) -> Index:
        """Where each column begins among the keys."""
        firsts = np.arange(self.n_columns, dtype=np.int64) * _width(self.cells)
        return np.searchsorted(self.keys, firsts)

    def __add__(self, other: MedianHistogram) -> MedianHistogram:
        """Return the histogram of both sets of rows.

        Raises
        ------
        ModelError
            If their cells or numbers of columns differ.
        """
        if (self.cells, self.n_columns) != (other.cells, other.n_columns):
            msg = (
                f"histograms of {self.n_columns} columns in {self.cells} and of {other.n_columns} in {other.cells} "
                "cannot be added: make both with the same"
            )
            raise ModelError(msg)
        keys, counts = add_counts((self.keys, other.keys), (self.counts, other.counts))
        return MedianHistogram(self.cells, self.missing + other.missing, keys, counts)

    def middle_ranks(self) -> tuple[Index, Index]:
        """Cells of the two middle values of each column, and their ranks among the values of those cells.

        Returns
        -------
        cell
            Shape (n_columns, 2), the same cell twice where the number of values is odd; 0 for a column without values.
        rank
            From 0, shape (n_columns, 2); -1 for a column without values.
        """
        present = self.present
        if not self.keys.size:
            return np.zeros((self.n_columns, 2), np.int64), np.full((self.n_columns, 2), -1)
        starts = self._starts
        sums = np.concatenate([[0], np.cumsum(self.counts)])
        wanted = np.stack([(present - 1) // 2, present // 2], axis=1)
        total_rank = np.minimum(sums[starts][:, None] + wanted, sums[-1] - 1)
        place = np.searchsorted(sums, total_rank, side="right") - 1
        columns = np.arange(self.n_columns, dtype=np.int64)[:, None]
        empty = (present == 0)[:, None]
        cell = np.where(empty, 0, self.keys[place] - columns * _width(self.cells) - self.cells.last)
        return cell, np.where(empty, -1, total_rank - sums[place])

    def medians(self) -> Array:
        """Median of each column, shape (n_columns,), NaN for one without values.

        It is off by no more than ``cells.error`` of the mean size of the two middle values; infinite where one of them
        lies beyond the range of the cells.
        """
        cell, rank = self.middle_ranks()
        ends = self.cells.middle(cell)
        with np.errstate(invalid="ignore"):
            middle = np.where(cell[:, 0] == cell[:, 1], ends[:, 0], 0.5 * (ends[:, 0] + ends[:, 1]))
        return np.asarray(np.where(rank[:, 0] < 0, np.nan, middle))

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return plain arrays to be stored, that `from_arrays` reads."""
        cells = np.array([self.cells.floor_exponent, self.cells.octaves, self.cells.bits], dtype=np.int64)
        return {"cells": cells, "missing": self.missing, "keys": self.keys, "counts": self.counts}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ArrayLike]) -> MedianHistogram:
        """Return the histogram that `to_arrays` gave."""
        cells = Cells(*(int(n) for n in np.asarray(arrays["cells"])))
        missing, keys, counts = (np.asarray(arrays[name], np.int64) for name in ("missing", "keys", "counts"))
        return cls(cells, missing, keys, counts)


def _width(cells: Cells) -> int:
    """Cells of a column."""
    return 2 * cells.last + 1


def _key(cells: Cells, column: int, cell: Index) -> Index:
    """Column and cell in one number."""
    return column * _width(cells) + cell + cells.last


def add_counts(keys: tuple[Index, ...], counts: tuple[Index, ...]) -> tuple[Index, Index]:
    """Merge ascending keys, and add the counts of those that are equal."""
    joined, together = np.concatenate(keys), np.concatenate(counts)
    if not joined.size:
        return joined, together
    order = np.argsort(joined, kind="stable")
    joined, together = joined[order], together[order]
    firsts = np.flatnonzero(np.concatenate([[True], joined[1:] != joined[:-1]]))
    return joined[firsts], np.add.reduceat(together, firsts)

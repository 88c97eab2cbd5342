"""A span of stored arrays as a lazy array: trimmed, decoded where needed, read only where it is sliced.

Thin Dask on top of Zarr. Dask chunks are a few Zarr chunks each and lie on the absolute grid, so that no Zarr chunk is
read by two of them and a day out of a decade costs a few chunks.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np
import zarr
from numpy.typing import NDArray

CHUNKS_A_PIECE = 4
"""Zarr chunks that one Dask chunk covers: more would read more than is asked for, fewer make Dask's graphs long."""


@dataclass(frozen=True)
class Decoding:
    """From stored numbers to the numbers of the source, or on to physical units.

    Attributes
    ----------
    decimals
        True value = number x 10^-decimals.
    pieces
        (from sample, to sample, factor, offset) of the calibration; None leaves the numbers of the source.
    """

    decimals: int = 0
    pieces: tuple[tuple[int, int, float, float], ...] | None = None

    def dtype(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        """Type of the result: that of stored floats unless they are calibrated, else float64."""
        return stored if stored.kind == "f" and self.pieces is None else np.dtype(np.float64)

    def apply(self, numbers: NDArray[Any], start: int, missing: float | None) -> NDArray[Any]:
        """Decode consecutive samples.

        Parameters
        ----------
        numbers
            Stored numbers, shape (n,).
        start
            Sample index of the first.
        missing
            The integer that stands for a missing sample; None where NaN does.

        Returns
        -------
        values
            Shape (n,), NaN where a sample is missing or, of a calibrated record, no calibration holds.
        """
        values = numbers.astype(self.dtype(numbers.dtype))
        if missing is not None:
            values[numbers == missing] = np.nan
        if self.decimals > 0:
            # Divided, not multiplied: 1234 / 10^3 is the double nearest to 1.234, as the source wrote it.
            values /= 10.0**self.decimals
        elif self.decimals < 0:
            values *= 10.0**-self.decimals
        if self.pieces is None:
            return values
        physical = np.full(len(values), np.nan)
        for first, last, factor, offset in self.pieces:
            part = slice(min(max(first - start, 0), len(values)), min(max(last - start, 0), len(values)))
            physical[part] = values[part] * factor + offset
        return physical


@dataclass(frozen=True, eq=False)
class Window:
    """Items ``[start, stop)`` of a stored array, as far as it reaches.

    Attributes
    ----------
    array
        The stored array, of any number of axes; the first is cut.
    start, stop
        Items of the first axis.
    decoding
        How its numbers are decoded; None leaves them as stored.
    """

    array: zarr.Array[Any]
    start: int
    stop: int
    decoding: Decoding | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the span."""
        return (self.stop - self.start, *self.array.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        stored = np.dtype(self.array.dtype)
        return stored if self.decoding is None else self.decoding.dtype(stored)

    def read(self, first: int, last: int) -> NDArray[Any]:
        """Values of the items ``[first, last)`` of the span, all further axes."""
        values = np.asarray(self.array[self.start + first : self.start + last])
        if self.decoding is None:
            return values
        missing = self.array.fill_value if values.dtype.kind == "i" else None
        return self.decoding.apply(values, self.start + first, missing)


class Stack:
    """Windows of one length over each other: shape (n_windows, *shape of each). What Dask slices and reads.

    Parameters
    ----------
    windows
        Windows of one shape.
    single
        Whether the first axis is left out, for one window only.
    """

    def __init__(self, windows: tuple[Window, ...], single: bool = False) -> None:
        self.windows = windows
        self.single = single
        self.dtype = np.result_type(*(w.dtype for w in windows))
        self.shape = windows[0].shape if single else (len(windows), *windows[0].shape)
        self.ndim = len(self.shape)

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read what whole slices select; Dask asks for nothing else."""
        rows = slice(0, 1) if self.single else key[0]
        items, *rest = key if self.single else key[1:]
        first, last, step = items.indices(self.windows[0].shape[0])
        read = [w.read(first, last)[(slice(None, None, step), *rest)] for w in self.windows[rows]]
        return read[0].astype(self.dtype, copy=False) if self.single else np.stack(read).astype(self.dtype, copy=False)

    def lazy(self) -> da.Array:
        """Return the Dask array: chunks of one window, a few Zarr chunks long, on the absolute grid."""
        window = self.windows[0]
        length = CHUNKS_A_PIECE * window.array.chunks[0]
        edges = [window.start, *range((window.start // length + 1) * length, window.stop, length), window.stop]
        pieces = tuple(b - a for a, b in pairwise(edges))
        chunks = (pieces, *((n,) for n in window.shape[1:]))
        # A name of its own each time: the store may have changed since an equal span was opened.
        name = f"{window.array.path.strip('/').replace('/', '-')}-{uuid.uuid4().hex}"
        return da.from_array(
            self,
            chunks=chunks if self.single else ((1,) * len(self.windows), *chunks),
            name=name,
            asarray=False,
            fancy=False,
            meta=np.empty((0,) * self.ndim, self.dtype),
        )

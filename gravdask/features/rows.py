"""Where each row of the feature matrix comes from: which frames of which channel, in which order.

The matrix is made of parts, each a run of consecutive frames of one channel of which some enter. A `RowIndex` is the
only place where rows are counted: rows are gathered by it, located by it and scattered back by it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravdask.errors import ModelError
from gravdask.features.columns import sampled

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RowPart:
    """Consecutive frames of one channel, and which of them enter the matrix.

    Attributes
    ----------
    channel
        Name of the channel.
    start
        Absolute number of the first frame.
    enters
        True for each frame that is a row, shape (n_frames,); kept as a copy that cannot be written to.
    """

    channel: str
    start: int
    enters: Mask

    def __post_init__(self) -> None:
        """Keep a copy of the mask, of one dimension and of booleans, that nobody can change."""
        mask = np.array(self.enters)
        if mask.dtype != np.bool_ or mask.ndim != 1:
            msg = (
                f"{self.channel}: a mask of frames is of booleans, one a frame, got {mask.dtype} of shape {mask.shape}"
            )
            raise ModelError(msg)
        mask.setflags(write=False)
        object.__setattr__(self, "enters", mask)
        object.__setattr__(self, "start", int(self.start))

    @property
    def stop(self) -> int:
        """Absolute number of the last frame + 1."""
        return self.start + int(self.enters.size)

    @cached_property
    def frames(self) -> Index:
        """Absolute numbers of the frames that enter, ascending, shape (count,)."""
        numbers = self.start + np.flatnonzero(self.enters).astype(np.int64)
        numbers.setflags(write=False)
        return numbers

    @property
    def count(self) -> int:
        """Rows of the part."""
        return int(self.frames.size)


@dataclass(frozen=True, eq=False)
class RowIndex:
    """The parts of a feature matrix, in the order of its rows.

    Attributes
    ----------
    parts
        In the order of their rows; parts without rows and any order are allowed, overlapping ones are not.

    Raises
    ------
    ModelError
        If two parts hold the same frame of a channel.
    """

    parts: tuple[RowPart, ...]

    def __post_init__(self) -> None:
        """Refuse overlapping parts: a frame would have two rows."""
        object.__setattr__(self, "parts", tuple(self.parts))
        for channel, numbers in self._by_channel.items():
            for before, after in pairwise(numbers):
                if self.parts[after].start < self.parts[before].stop:
                    one, other = self.parts[before], self.parts[after]
                    msg = (
                        f"{channel}: frames {one.start} to {one.stop - 1} and {other.start} to {other.stop - 1} are "
                        "two parts that overlap; each frame belongs to one part"
                    )
                    raise ModelError(msg)

    @classmethod
    def from_masks(cls, masks: Iterable[tuple[str, int, Mask]]) -> RowIndex:
        """Make an index from channel, first frame and mask of each part."""
        return cls(tuple(RowPart(*mask) for mask in masks))

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.offsets[-1])

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Rows of each part; dask.array.concatenate drops those without, so its block n need not be part n."""
        return tuple(part.count for part in self.parts)

    @cached_property
    def offsets(self) -> Index:
        """First row of each part, and the number of rows, shape (n_parts + 1,)."""
        return np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)]).astype(np.int64)

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, sorted."""
        return tuple(sorted({part.channel for part in self.parts}))

    @cached_property
    def _by_channel(self) -> dict[str, list[int]]:
        """Numbers of the parts of each channel that hold frames, by their first frame."""
        found: dict[str, list[int]] = {}
        for number in sorted(range(len(self.parts)), key=lambda n: self.parts[n].start):
            if self.parts[number].enters.size:
                found.setdefault(self.parts[number].channel, []).append(number)
        return found

    @cached_property
    def frame(self) -> Index:
        """Absolute frame number of each row, shape (n_rows,)."""
        return np.concatenate([np.empty(0, np.int64), *(part.frames for part in self.parts)])

    @cached_property
    def channel(self) -> Index:
        """Number of each row's channel in ``channels``, shape (n_rows,)."""
        place = {name: number for number, name in enumerate(self.channels)}
        return np.repeat(np.array([place[p.channel] for p in self.parts], dtype=np.int64), self.counts)

    def rows_of(self, part: int) -> slice:
        """Rows of a part."""
        return slice(int(self.offsets[part]), int(self.offsets[part + 1]))

    def locate(self, row: int) -> tuple[str, int]:
        """Channel and absolute frame number of a row.

        Raises
        ------
        IndexError
            If there is no such row.
        """
        if not 0 <= row < len(self):
            msg = f"row {row} of a matrix of {len(self)} rows"
            raise IndexError(msg)
        number = int(np.searchsorted(self.offsets, row, side="right")) - 1
        part = self.parts[number]
        return part.channel, int(part.frames[row - self.offsets[number]])

    def row_of(self, channel: str, frame: int) -> int:
        """Row of a frame of a channel, -1 if it does not enter."""
        for number in self._by_channel.get(channel, []):
            part = self.parts[number]
            if part.start <= frame < part.stop:
                if not part.enters[frame - part.start]:
                    return -1
                return int(self.offsets[number] + np.searchsorted(part.frames, frame))
        return -1

    def gather(self, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Put the frames that enter together as rows.

        Parameters
        ----------
        arrays
            Of each part, with one entry for each of its frames, shape (n_frames, …).

        Raises
        ------
        ModelError
            If an array does not have the frames of its part.
        """
        if len(arrays) != len(self.parts) or not self.parts:
            msg = f"an array for each of {len(self.parts)} parts (at least one) is needed, got {len(arrays)}"
            raise ModelError(msg)
        for part, array in zip(self.parts, arrays, strict=True):
            if len(array) != part.enters.size:
                msg = (
                    f"{part.channel}: the part from frame {part.start} has {part.enters.size} frames, got {len(array)}"
                )
                raise ModelError(msg)
        return np.concatenate([array[part.enters] for part, array in zip(self.parts, arrays, strict=True)])

    def scatter_back(self, values: NDArray[Any], fill: ArrayLike) -> dict[str, tuple[Index, NDArray[Any]]]:
        """Give the values of rows back to the frames that they come from.

        Parameters
        ----------
        values
            One entry for each row, shape (n_rows, …).
        fill
            What frames get that did not enter.

        Returns
        -------
        series
            For each channel the absolute numbers of all frames of its parts, ascending, and what they get, aligned,
            whatever the order of the parts is. The type is that of the values.

        Raises
        ------
        ModelError
            If there are more or fewer values than rows, or their type cannot hold the fill.
        """
        if len(values) != len(self):
            msg = f"the matrix has {len(self)} rows, got {len(values)} values"
            raise ModelError(msg)
        filler = np.asarray(fill)
        if not np.can_cast(filler.dtype, values.dtype, "same_kind"):
            msg = f"values of {values.dtype} cannot be filled with {fill!r}; take another fill or type"
            raise ModelError(msg)
        found = {name: (np.empty(0, np.int64), values[:0]) for name in self.channels}
        for channel, numbers in self._by_channel.items():
            frames, series = [], []
            for number in numbers:
                part = self.parts[number]
                given = np.full((part.enters.size, *values.shape[1:]), filler, values.dtype)
                given[part.enters] = values[self.rows_of(number)]
                frames.append(np.arange(part.start, part.stop, dtype=np.int64))
                series.append(given)
            found[channel] = np.concatenate(frames), np.concatenate(series)
        return found

    def restrict(self, keep: Mask) -> RowIndex:
        """Return the index of the rows where ``keep``, shape (n_rows,), is true: same parts, fewer rows.

        Raises
        ------
        ModelError
            If there are more or fewer booleans than rows.
        """
        if len(keep) != len(self) or keep.dtype != np.bool_:
            msg = f"one boolean for each of {len(self)} rows is needed, got {len(keep)} of {keep.dtype}"
            raise ModelError(msg)
        parts = []
        for number, part in enumerate(self.parts):
            mask = part.enters.copy()
            mask[part.enters] = keep[self.rows_of(number)]
            parts.append(RowPart(part.channel, part.start, mask))
        return RowIndex(tuple(parts))

    def sampled(self, seed: int, share: float) -> RowIndex:
        """Return the index of a stratified sample, by a hash of channel and frame (`columns.sampled`).

        Every stratum of channel and time enters at the same share, and no row depends on parts or their order.
        """
        chosen = [sampled(zlib.crc32(p.channel.encode()) + (seed << 32), p.frames, share) for p in self.parts]
        return self.restrict(np.concatenate([np.empty(0, np.bool_), *chosen]))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays to be stored, that `from_arrays` reads; masks as bits."""
        names = np.array([self.channels.index(p.channel) for p in self.parts], dtype=np.int64)
        masks = [np.empty(0, np.bool_), *(p.enters for p in self.parts)]
        return {
            "channels": np.array(self.channels, dtype=np.str_),
            "channel": names,
            "start": np.array([p.start for p in self.parts], dtype=np.int64),
            "length": np.array([p.enters.size for p in self.parts], dtype=np.int64),
            "enters": np.packbits(np.concatenate(masks)),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ArrayLike]) -> RowIndex:
        """Return the index that `to_arrays` gave."""
        names, number, start, length = (np.asarray(arrays[n]) for n in ("channels", "channel", "start", "length"))
        bits = np.unpackbits(np.asarray(arrays["enters"], np.uint8), count=int(length.sum())).astype(np.bool_)
        masks = np.split(bits, np.cumsum(length))[: len(length)]
        return cls.from_masks((str(names[n]), int(s), m) for n, s, m in zip(number, start, masks, strict=True))

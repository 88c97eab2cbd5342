"""The rows that a model is fitted to: which frames of which channels, and their columns or features on the workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

from gravdask.features.columns import Columns, log_columns, normalise
from gravdask.features.projection import Projection
from gravdask.features.rows import RowIndex
from gravdask.stages.model import Medians
from gravdask.store.layout import open_root, read_span, sub_array
from gravdask.store.place import Place

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """Frames of one channel in one unit.

    Attributes
    ----------
    store, channel, unit
        Where they are.
    start, stop
        Range of frames that may hold coefficients.
    """

    store: Place
    channel: str
    unit: int
    start: int
    stop: int

    def coefficients(self) -> NDArray[np.float32]:
        """Coefficients (frame, path), NaN rows where a frame has none."""
        array = sub_array(open_root(self.store), f"{self.channel}/scattering/coefficients")
        return read_span(array, self.start, self.stop)

    def valid(self) -> Mask:
        """Whether a frame has coefficients, shape (frames,)."""
        return np.asarray(np.isfinite(self.coefficients()).all(axis=1))


@dataclass(frozen=True)
class FitRows:
    """Rows of the feature matrix.

    Attributes
    ----------
    index
        Which frame of which channel each row is.
    parts, medians
        Part of the store, and normalisation of its channel, for each part of the index.
    columns
        Which paths become which columns.
    """

    index: RowIndex
    parts: tuple[Part, ...]
    medians: tuple[Medians, ...]
    columns: Columns

    @classmethod
    def of(cls, found: Sequence[tuple[Part, Mask, Medians]], columns: Columns) -> FitRows:
        """All frames that have coefficients; parts without any are left out."""
        used = [entry for entry in found if entry[1].any()]
        index = RowIndex.from_masks((part.channel, part.start, mask) for part, mask, _ in used)
        return cls(index, tuple(part for part, *_ in used), tuple(medians for *_, medians in used), columns)

    def sampled(self, seed: int, share: float) -> FitRows:
        """A share of the rows, the same in every stratum of channel and time."""
        return replace(self, index=self.index.sampled(seed, share))

    def array(self, projection: Projection | None = None) -> da.Array:
        """Columns, or features, as a Dask array, one block a part."""
        width = len(self.columns) if projection is None else len(projection.components)
        blocks = [
            da.from_delayed(task, (count, width), np.float64)
            for task, count in zip(self._tasks(projection), self.index.counts, strict=True)
            if count
        ]
        return da.concatenate(blocks)

    def compute(self, projection: Projection | None = None) -> Array:
        """Columns, or features, in the memory of this process, (n_rows, width)."""
        return np.concatenate(dask.compute(*self._tasks(projection)))

    def _tasks(self, projection: Projection | None) -> list[Any]:
        """Columns, or features, of each part, to be computed."""
        lifted = dask.delayed(_rows, pure=False)
        entries = zip(self.parts, self.index.parts, self.medians, strict=True)
        return [lifted(part, there.enters, medians, self.columns, projection) for part, there, medians in entries]


def _rows(part: Part, enters: Mask, medians: Medians, columns: Columns, projection: Projection | None) -> Array:
    """Normalised logarithmic columns, or features, of the frames of a part that enter."""
    logarithms = log_columns(part.coefficients()[enters], medians.path, columns)
    normal = normalise(logarithms, medians.column)
    return normal if projection is None else projection.transform(normal)

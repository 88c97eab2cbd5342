"""A lazy, exact index over evenly spaced times: xarray selects by time without one stored time stamp.

A decade at 1 Hz would be 2.5 GB of stamps. They follow from three integers, so they are computed where they are asked
for: ``time(i) = base + floor((offset + i step) / divisor)`` in whole nanoseconds, with ``step / divisor`` the exact
interval. Selections follow pandas: slices hold both ends, a partial date such as ``"2011-03"`` stands for its whole
span, and a single time has to be there to the nanosecond unless ``method="nearest"`` (or ``pad``, ``backfill``).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.core.coordinate_transform import CoordinateTransform
from xarray.core.indexes import CoordinateTransformIndex, Index, PandasIndex
from xarray.core.indexing import IndexSelResult

from gravdask.errors import GridError
from gravdask.store.timerange import TimeRange, bounds_ns, refuse_many


class _TimeTransform(CoordinateTransform):
    """What xarray asks of a coordinate that is computed: labels of positions."""

    def __init__(self, times: TimeRange, name: Hashable, dim: str) -> None:
        super().__init__((name,), {dim: times.size}, dtype=np.dtype("datetime64[ns]"))
        self.times = times

    def forward(self, dim_positions: dict[str, Any]) -> dict[Hashable, Any]:
        """Times of positions."""
        positions = np.asarray(dim_positions[self.dims[0]], np.int64)
        positions = np.where(positions < 0, positions + self.times.size, positions)
        return {self.coord_names[0]: self.times.times_ns(positions).view("datetime64[ns]")}

    def reverse(self, coord_labels: dict[Hashable, Any]) -> dict[str, Any]:
        """Positions of times, the nearest ones."""
        labels = np.asarray(coord_labels[self.coord_names[0]])
        found = [self.times.position(bounds_ns(t)[0], "nearest") for t in labels.ravel()]
        return {self.dims[0]: np.reshape(np.array(found, np.int64), labels.shape)}

    def equals(self, other: CoordinateTransform, **kwargs: Any) -> bool:  # noqa: ANN401
        """Whether both give the same times along the same dimension."""
        del kwargs
        return isinstance(other, _TimeTransform) and self.dims == other.dims and self.times.same(other.times)

    def generate_coords(self, dims: tuple[str, ...] | None = None) -> dict[Hashable, Any]:
        """All times; an error where they are too many."""
        del dims
        refuse_many(self.times.size)
        return self.forward({self.dims[0]: np.arange(self.times.size)})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.times!r})"


def _plain(label: Any) -> Any:  # noqa: ANN401
    """Values of an xarray object; anything else as it is."""
    return label.values if isinstance(label, xr.Variable | xr.DataArray) else label


def _shown(times: TimeRange, index: int) -> str:
    """One stamp as text."""
    return str(np.datetime64(times.time_ns(index), "ns"))


class TimeIndex(CoordinateTransformIndex):
    """Index of the coordinate ``time`` along samples, frames or days.

    Attributes
    ----------
    times
        The stamps.

    Notes
    -----
    Selecting by single positions or a list of times gives an ordinary pandas index. Times on another grid cannot be
    joined with these: ``other.sel(time=mine.time, method="nearest")`` brings them here. What wants an ordinary index
    gets one from ``.drop_indexes("time").set_xindex("time")``; to resample frames or days, or align them with a series
    of one's own, ``.drop_indexes("time").swap_dims(frame="time")`` (xarray's swap_dims leaves any other index broken).
    """

    transform: _TimeTransform

    @classmethod
    def over(cls, times: TimeRange, dim: str, name: Hashable = "time") -> TimeIndex:
        """Return the index of these times along a dimension."""
        return cls(_TimeTransform(times, name, dim))

    def coordinates(self, **attributes: Any) -> xr.Coordinates:  # noqa: ANN401
        """Return the lazy coordinate with its index, ready to be assigned to a Dataset."""
        variables = self.create_variables()
        variables[self.name].attrs.update(attributes)
        return xr.Coordinates(variables, indexes={self.name: self})

    @property
    def times(self) -> TimeRange:
        """The stamps."""
        return self.transform.times

    @property
    def name(self) -> Hashable:
        """Name of the coordinate."""
        return self.transform.coord_names[0]

    @property
    def dim(self) -> str:
        """Dimension that the coordinate lies along."""
        return self.transform.dims[0]

    def isel(self, indexers: Mapping[Any, Any]) -> Index | None:
        """Index of the positions selected: lazy again for a slice, an ordinary one for an array."""
        chosen = indexers[self.dim]
        if isinstance(chosen, slice):
            return TimeIndex.over(self.times.part(chosen), self.dim, self.name)
        if isinstance(chosen, xr.Variable):
            if chosen.dims != (self.dim,):
                return None
            chosen = chosen.values
        positions = np.asarray(chosen)
        if positions.ndim != 1:
            return None
        if positions.dtype.kind == "b":
            positions = np.flatnonzero(positions)
        positions = positions.astype(np.int64)
        positions = np.where(positions < 0, positions + self.times.size, positions)
        stamps = self.times.times_ns(positions).view("datetime64[ns]")
        return PandasIndex(pd.DatetimeIndex(stamps, name=self.name), self.dim)

    def sel(self, labels: dict[Any, Any], method: str | None = None, tolerance: Any = None) -> IndexSelResult:  # noqa: ANN401
        """Positions of a time, a span or an array of times, as pandas would find them.

        Raises
        ------
        KeyError
            If a time is not there to the nanosecond and no method is given, or is farther than the tolerance.
        """
        (label,) = labels.values()
        if isinstance(label, slice):
            if method is not None:
                msg = f"method={method!r} does not go with a slice of times"
                raise NotImplementedError(msg)
            return IndexSelResult({self.dim: self._span(label)})
        limit = None if tolerance is None else pd.Timedelta(tolerance).value
        if isinstance(label, str) and method is None:
            low, high = bounds_ns(label)
            if high - low >= self.times.resolution_ns:
                found = self._between(low, high)
                if found.start == found.stop:
                    raise KeyError(label)
                return IndexSelResult({self.dim: found})
        wanted = _plain(label)
        if np.ndim(wanted) == 0:
            return IndexSelResult({self.dim: self._one(wanted, method, limit)})
        wanted = np.asarray(wanted)
        flat = np.array([self._one(t, method, limit) for t in wanted.ravel()], np.int64)
        positions: Any = flat.reshape(wanted.shape)
        if isinstance(label, xr.Variable):
            positions = xr.Variable(label.dims, positions)
        elif isinstance(label, xr.DataArray):
            positions = xr.DataArray(positions, coords=label.coords, dims=label.dims)
        return IndexSelResult({self.dim: positions})

    def _one(self, label: object, method: str | None, limit: int | None) -> int:
        """Position of one time, or a KeyError."""
        time_ns, _ = bounds_ns(label)
        found = self.times.position(time_ns, method)
        if found < 0 or (limit is not None and abs(self.times.time_ns(found) - time_ns) > limit):
            span = f"from {_shown(self.times, 0)} to {_shown(self.times, self.times.size - 1)}"
            msg = (
                f"{label}: no {self.dim} of the {self.times.size} {span} stands there; give a span or method='nearest'"
            )
            raise KeyError(msg)
        return found

    def _span(self, label: slice) -> slice:
        """Positions of a slice of times, both ends within."""
        ends = [None if t is None else bounds_ns(_plain(t)) for t in (label.start, label.stop)]
        if self.times.step < 0:
            low, high = ends[1], ends[0]
        else:
            low, high = ends
        found = self._between(None if low is None else low[0], None if high is None else high[1])
        return slice(found.start, found.stop, label.step)

    def _between(self, low_ns: int | None, high_ns: int | None) -> slice:
        """Positions of the stamps in [low, high] (None: without bound)."""
        times = self.times
        first, last = (low_ns, high_ns) if times.step > 0 else (high_ns, low_ns)
        start = 0 if first is None else times.before(first)
        stop = times.size if last is None else times.until(last)
        return slice(start, max(start, stop))

    def join(self, other: Any, how: str = "inner") -> TimeIndex:  # noqa: ANN401
        """Stamps of both (inner) or of either (outer), with those between them, on one grid.

        Raises
        ------
        GridError
            If the two lie on different grids: other intervals, or other phases.
        """
        mine, theirs = self.times, other.times
        shift = mine.shift_to(theirs)
        if shift is None or mine.step < 0:
            own, others = (f"{t.step / t.divisor / 1e9:g} s from {_shown(t, 0)}" for t in (mine, theirs))
            msg = (
                f"times every {own} and every {others} lie on different grids and cannot be aligned; "
                "bring one to the other with .sel(time=..., method='nearest')"
            )
            raise GridError(msg)
        if how == "outer":
            start, stop = min(0, shift), max(mine.size, shift + theirs.size)
        else:
            start, stop = max(0, shift), min(mine.size, shift + theirs.size)
        offset = mine.offset + start * mine.step
        joined = TimeRange(mine.base, offset, mine.step, mine.divisor, max(stop - start, 0))
        return TimeIndex.over(joined, self.dim, self.name)

    def reindex_like(self, other: Any) -> dict[Hashable, Any]:  # noqa: ANN401
        """Position here of every stamp of the other index, -1 where there is none.

        Raises
        ------
        StoreError
            If the other holds more than `MAX_STAMPS`: xarray wants one number each.
        """
        wanted: TimeRange = other.times
        refuse_many(wanted.size)
        shift = self.times.shift_to(wanted)
        if shift is None:
            stamps = wanted.times_ns(np.arange(wanted.size))
            return {self.dim: np.array([self.times.position(int(t)) for t in stamps], np.int64)}
        positions = np.arange(shift, shift + wanted.size)
        return {self.dim: np.where((positions >= 0) & (positions < self.times.size), positions, -1)}

    @classmethod
    def concat(  # type: ignore[override]
        cls, indexes: Sequence[TimeIndex], dim: Hashable, positions: Iterable[Iterable[int]] | None = None
    ) -> Index:
        """Join ranges end to end: lazy again where each begins one step after the last, else an ordinary index."""
        first = indexes[0]
        whole = first.times
        for index in indexes[1:]:
            if positions is not None or whole.shift_to(index.times) != whole.size:
                break
            whole = TimeRange(whole.base, whole.offset, whole.step, whole.divisor, whole.size + index.times.size)
        else:
            return cls.over(whole, first.dim, first.name)
        ordinary = [PandasIndex(i.to_pandas_index(), dim) for i in indexes]
        return PandasIndex.concat(ordinary, dim, positions)

    def equals(self, other: Index, *, exclude: frozenset[Hashable] | None = None) -> bool:
        """Whether the other index holds the same stamps."""
        del exclude
        return isinstance(other, TimeIndex) and self.transform.equals(other.transform)

    def rename(self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]) -> TimeIndex:
        """Return the same stamps under another name or along a renamed dimension."""
        dim = str(dims_dict.get(self.dim, self.dim))
        return TimeIndex.over(self.times, dim, name_dict.get(self.name, self.name))

    def to_pandas_index(self) -> pd.DatetimeIndex:
        """All stamps as a pandas index; an error above `MAX_STAMPS`."""
        return pd.DatetimeIndex(self.transform.generate_coords()[self.name], name=self.name)

    def _repr_inline_(self, max_width: int) -> str:
        del max_width
        return repr(self)

    def __repr__(self) -> str:
        times = self.times
        span = f"{_shown(times, 0)}, " if times.size else ""
        return f"{type(self).__name__}({span}every {times.step / times.divisor / 1e9:g} s, {times.size})"

"""What is taken as a record: arrays of real numbers, time last, gaps as NaN; anything else is refused in words."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple, TypeAlias

import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gravdask.errors import ScatteringError

Samples: TypeAlias = Any
"""A NumPy or Dask array of samples."""


class Record(NamedTuple):
    """A record as it is transformed.

    Attributes
    ----------
    samples
        Shape (n,) or (channels, n); integers as they are, NaN where a floating-point one is missing.
    start
        Absolute index of the first sample.
    channels
        Name of the first dimension, and its coordinate if it has one; '' and None for one channel.
    times
        Times of the samples, shape (n,), or None.
    """

    samples: Samples
    start: int
    channels: tuple[str, xr.DataArray | None]
    times: NDArray[np.datetime64] | None


def as_record(record: Any, start: int | None) -> Record:  # noqa: ANN401
    """Look at what was given as a record.

    Raises
    ------
    ScatteringError
        It is no array of real numbers of one or two dimensions with time last, it is empty, or its chunks have unknown
        sizes; or ``start`` is no whole number.
    """
    times = None
    channels: tuple[str, xr.DataArray | None] = ("channel", None)
    given: Any = start
    if isinstance(record, xr.DataArray):
        named = "time" in record.dims
        if record.ndim == 2:
            record = record.transpose(..., "time") if named else record
            name = record.dims[0]
            channels = (str(name), record[name] if name in record.coords else None)
        given = record.attrs.get("start", 0) if start is None else start
        last = record.dims[-1] if record.ndim else ""
        if last in record.coords and record[last].dtype.kind == "M":
            times = record[last].values
        data = record.data
    else:
        named, data = False, record
    samples = _numbers(data)
    _check_shape(samples, named)
    return Record(samples, _start(0 if given is None else given), channels if samples.ndim == 2 else ("", None), times)


def without_mask(samples: NDArray[Any]) -> NDArray[Any]:
    """Samples with NaN where a masked array hides one."""
    if isinstance(samples, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(samples)
        plain = np.asarray(samples.data)
        return np.where(hidden, np.nan, plain.astype(np.float64)) if hidden.any() else plain
    return samples


def _numbers(data: Any) -> Samples:  # noqa: ANN401
    """Array of real numbers."""
    if not isinstance(data, dask.array.Array):
        if isinstance(data, (str, bytes, xr.Dataset, dict)) or not (hasattr(data, "__array__") or np.iterable(data)):
            _refuse(f"got {type(data).__name__}; give the samples themselves (of an obspy trace, its data)")
        try:
            data = without_mask(data if isinstance(data, np.ndarray) else np.asarray(data))
            data = data.astype(np.float64) if data.dtype.kind == "O" else data
        except (TypeError, ValueError) as error:
            _refuse(f"got {type(data).__name__} that makes no array of numbers ({error})")
    if data.dtype.kind not in "biuf":
        _refuse(f"got samples of type {data.dtype}; real numbers are expected, NaN where one is missing")
    found: Samples = data
    return found


def _check_shape(samples: Samples, named: bool) -> None:
    """Refuse what is no record, or lies the wrong way round."""
    if any(size != size for size in samples.shape):
        _refuse("its chunks have unknown sizes; call compute_chunk_sizes() on it first")
    if samples.ndim not in {1, 2} or 0 in samples.shape:
        _refuse(
            "a record has at least one sample, shape (n,), or several channels of the same times, shape "
            f"(channels, n); got shape {samples.shape}"
        )
    if samples.ndim == 2 and not named and samples.shape[0] > samples.shape[1]:
        _refuse(
            f"got shape {samples.shape}: more channels than samples. Time comes last; transpose it, or name its "
            "dimensions (an xarray.DataArray with the dimension 'time')"
        )


def _start(value: Any) -> int:  # noqa: ANN401
    """Absolute index of the first sample."""
    try:
        start = operator.index(value)
    except TypeError:
        _refuse(f"start is {value!r}; the absolute index of the first sample is a whole number")
    if abs(start) >= 1 << 62:
        _refuse(f"start is {value!r}, too far from sample 0")
    return start


def _refuse(what: str) -> Any:  # noqa: ANN401
    """Say what is wrong with a record."""
    msg = f"transform_record takes a record, shape (n,) or (channels, n): {what}"
    raise ScatteringError(msg)

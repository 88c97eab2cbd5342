"""Whole records: segments on the absolute grid, each reading its own halo; Dask only lifts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import dask
import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gravdask.grid import frames_covering
from gravdask.scattering.inputs import Record, as_record, without_mask
from gravdask.scattering.network import ScatteringNetwork

Read = Callable[[int, int], NDArray[np.float64]]
"""Gives the samples of an absolute range ``[start, stop)``, NaN where one is missing or outside the record."""

TASK_SAMPLES = 1 << 20
"""Samples that one Dask task transforms, about: its graph stays small, its memory too."""


class Segment(NamedTuple):
    """The transform of consecutive frames.

    Attributes
    ----------
    first_frame
        Absolute number of the first frame.
    coefficients
        Shape (n_paths, frames), float32.
    valid_fraction
        Shape (frames,), float32.
    """

    first_frame: int
    coefficients: NDArray[np.float32]
    valid_fraction: NDArray[np.float32]


def segment_window(network: ScatteringNetwork, segment: int) -> tuple[int, int]:
    """Absolute sample range ``[start, stop)`` of a segment's window.

    Segment s holds the frames ``[s * segment_frames, (s + 1) * segment_frames)``; its window may begin before sample 0.
    """
    start = segment * network.segment_samples - network.halo
    return start, start + network.window_samples


def segments_covering(network: ScatteringNetwork, first_frame: int, last_frame: int) -> range:
    """Segments that together hold the frames ``[first_frame, last_frame)``."""
    return range(*frames_covering(network.segment_frames, first_frame, last_frame))


def transform_span(network: ScatteringNetwork, read: Read, first_frame: int, last_frame: int) -> Iterator[Segment]:
    """Transform the frames ``[first_frame, last_frame)``, segment by segment on absolute boundaries.

    Parameters
    ----------
    network
        The network.
    read
        Reads an absolute sample range; it is asked for ranges that reach beyond the record.
    first_frame, last_frame
        Absolute frame numbers.

    Yields
    ------
    segment
        The frames of one segment that lie in the span, in order.
    """
    frames = network.segment_frames
    for segment in segments_covering(network, first_frame, last_frame):
        begin = segment * frames
        coefficients, fraction = network.transform_window(read(*segment_window(network, segment)))
        part = slice(max(first_frame - begin, 0), min(last_frame - begin, frames))
        yield Segment(begin + part.start, coefficients[:, part], fraction[part])


def reader_of(samples: NDArray[Any], start: int) -> Read:
    """Read from samples in memory whose first one has the absolute index ``start``; NaN beyond them."""

    def read(first: int, last: int) -> NDArray[np.float64]:
        """Copy what there is of ``[first, last)`` into NaN."""
        window = np.full(last - first, np.nan)
        plain = without_mask(samples)
        low, high = max(first, start), min(last, start + samples.size)
        if low < high:
            window[low - first : high - first] = plain[low - start : high - start]
        return window

    return read


def _transform_block(
    network: ScatteringNetwork, samples: NDArray[Any], start: int, first_frame: int, last_frame: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Transform the frames of one Dask block from the samples it can see, those from index ``start`` on."""
    parts = list(transform_span(network, reader_of(samples, start), first_frame, last_frame))
    return np.concatenate([p.coefficients for p in parts], axis=1), np.concatenate([p.valid_fraction for p in parts])


def transform_record(
    network: ScatteringNetwork, record: xr.DataArray | dask.array.Array | NDArray[Any], start: int | None = None
) -> xr.Dataset:
    """Transform a whole record lazily, whatever its chunks.

    Segments lie on the absolute grid and each reads its own halo, so that no value depends on the chunks. What lies
    outside the record is a gap like any other.

    Parameters
    ----------
    network
        The network.
    record
        Samples, shape (n,), or of several channels of the same times, such as the components of a station, (channels,
        n); NaN, or masked, where one is missing. Integers are taken as they are. An `xarray.DataArray` may have its
        dimension ``time`` anywhere. Channels share the network's plan.
    start
        Absolute index of the first sample, which says where frames begin; by default the record's attribute ``start``,
        else 0.

    Returns
    -------
    dataset
        ``coefficients`` (path, frame) and ``valid_fraction`` (frame), backed by Dask, for every frame that the record
        touches; with several channels, both have a first dimension of the record's own name, or "channel". Coordinates
        ``frame`` (absolute number), ``time`` (at which each frame begins, if the record's samples have times),
        ``order``, ``frequency_1``, ``bandwidth_1`` ... [Hz], ``reach`` [s].

    Raises
    ------
    ScatteringError
        If the record is no array of real numbers of one or two dimensions, time last, or is empty.
    """
    found = as_record(record, start)
    if found.samples.ndim == 2:
        return _channels(network, found)
    origin, data = found.start, found.samples
    # a name made of its digest would cost a large record more than some of its transform
    samples = data if isinstance(data, dask.array.Array) else dask.array.from_array(data, name=False)
    coefficients, fractions = [], []
    first, last = frames_covering(network.frame_samples, origin, origin + samples.shape[0])
    for low, high in _task_frames(network, first, last):
        one, other = _lift(network, samples, origin, low, high)
        coefficients.append(one)
        fractions.append(other)
    table = network.paths
    names = [n for n in table.data_vars if not str(n).startswith("j_")]
    return xr.Dataset(
        {
            "coefficients": (("path", "frame"), dask.array.concatenate(coefficients, axis=1)),
            "valid_fraction": (("frame",), dask.array.concatenate(fractions)),
        },
        coords={
            "frame": np.arange(first, last),
            **_times(network, found, first, last),
            **{name: table[name] for name in names},
        },
        attrs={
            "network": network.digest,
            "frame_samples": network.frame_samples,
            "sampling_rate": network.sampling_rate,
        },
    )


def _times(network: ScatteringNetwork, record: Record, first: int, last: int) -> dict[str, Any]:
    """Times at which frames begin, if the record's samples have times: a coordinate beside the frames' numbers."""
    if record.times is None:
        return {}
    begin = np.arange(first, last) * network.frame_samples - record.start
    offset = np.rint(begin * (1e9 / network.sampling_rate)).astype("timedelta64[ns]")
    return {"time": ("frame", record.times[0].astype("datetime64[ns]") + offset)}


def _channels(network: ScatteringNetwork, record: Record) -> xr.Dataset:
    """Transform several channels of the same times."""
    dim, labels = record.channels
    parts = [transform_record(network, _one(record, number), record.start) for number in range(record.samples.shape[0])]
    both = xr.concat(parts, dim=dim, coords="minimal", compat="override")
    return both if labels is None else both.assign_coords({dim: labels})


def _one(record: Record, number: int) -> xr.DataArray:
    """One of several channels."""
    times = {} if record.times is None else {"time": record.times}
    return xr.DataArray(record.samples[number], dims=("time",), coords=times)


def _task_frames(network: ScatteringNetwork, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Cut a span of frames into the spans of single tasks, on absolute segment boundaries."""
    frames = network.segment_frames * max(TASK_SAMPLES // network.segment_samples, 1)
    for task in range(*frames_covering(frames, first, last)):
        yield max(task * frames, first), min((task + 1) * frames, last)


def _lift(
    network: ScatteringNetwork, samples: dask.array.Array, origin: int, first: int, last: int
) -> tuple[dask.array.Array, dask.array.Array]:
    """Make the lazy coefficients and valid fractions of the frames ``[first, last)``."""
    segments = segments_covering(network, first, last)
    low = max(segment_window(network, segments[0])[0] - origin, 0)
    high = min(segment_window(network, segments[-1])[1] - origin, samples.shape[0])
    both = dask.delayed(_transform_block, nout=2, pure=True)(network, samples[low:high], origin + low, first, last)
    shape = (network.n_paths, last - first)
    return (
        dask.array.from_delayed(both[0], shape, dtype=np.float32),
        dask.array.from_delayed(both[1], shape[1:], dtype=np.float32),
    )

"""Which frames hold samples at which the sensor or the digitizer was possibly at its limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gravdask.config import PreprocessConfig
from gravdask.preprocess.clipping import flat_tops, over_limit
from gravdask.preprocess.decimate import factor_between
from gravdask.preprocess.deconvolution import filter_span, velocity_filter
from gravdask.stages.channels import Channel, RecordReader

Array = NDArray[np.float64]

FLAT_TOP, OVER_LIMIT = 1, 2
"""Bits of a frame's flag: several equal extreme samples in a row; a velocity near the sensor's limit."""
PIECE_SAMPLES = 1 << 22
"""Samples of the record that are looked at at once, about."""


def clipped_frames(
    reader: RecordReader, frame_samples: int, first: int, last: int, share: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Flag the frames ``[first, last)``.

    Parameters
    ----------
    reader
        Of the channel or of its view; the record itself is looked at, before decimation.
    frame_samples
        Samples of a frame at the rate of the features.
    first, last
        Absolute numbers of frames.
    share
        Valid fraction of the frames from the first on; those without a sample are not read.

    Returns
    -------
    flags
        Sums of `FLAT_TOP` and `OVER_LIMIT`, shape (last - first,). A frame is judged by its own samples alone.
    """
    flags = np.zeros(last - first, np.uint8)
    if not reader.settings.clipping:
        return flags
    size = frame_samples * factor_between(reader.channel.record.rate, reader.channel.rate)
    step, limit = max(PIECE_SAMPLES // size, 1), float(reader.channel.velocity_limit or np.inf)
    for begin in range(first, last, step):
        end = min(begin + step, last)
        if not (share[begin - first : end - first] > 0).any():
            continue
        numbers = reader.source(begin * size, end * size)
        speeds = _velocity(reader, numbers, begin * size)
        for frame in range(begin, end):
            part = slice((frame - begin) * size, (frame - begin + 1) * size)
            if flat_tops(numbers[part]).any():
                flags[frame - first] |= FLAT_TOP
            if speeds is not None and over_limit(_centred(speeds[part]), limit).any():
                flags[frame - first] |= OVER_LIMIT
    return flags


def limit_note(channel: Channel, settings: PreprocessConfig) -> str:
    """Why a velocity limit that is stated of a channel is not looked at, '' if it is or none is stated."""
    recorded = channel.record
    if not recorded.velocity_limit:
        return ""
    if not settings.clipping:
        return f"{recorded.name}: its velocity_limit is not looked at: preprocess.clipping is off"
    if _has_velocity(recorded) or recorded.quantity in {"velocity", "acceleration"}:
        return ""
    return (
        f"{recorded.name}: its velocity_limit is not looked at: its record is in {recorded.quantity} and no response "
        "to velocity is known; give its metadata, or state unit and scale in [[archive.channels]]"
    )


def _has_velocity(recorded: Channel) -> bool:
    """Whether a response says what a channel's numbers are in ground velocity."""
    return recorded.kind == "seismic" and any(e.of_velocity for e in recorded.responses)


def _centred(values: Array) -> Array:
    """Values of a frame without their level."""
    present = values[np.isfinite(values)]
    return values - np.median(present) if present.size else values


def _velocity(reader: RecordReader, numbers: Array, start: int) -> Array | None:
    """Ground velocity [nm s⁻¹] of samples of the record, whose offset means nothing; None without a limit or a scale.

    A velocity sensor's numbers over its sensitivity, where the metadata have a response; a calibrated velocity as it
    is; an acceleration integrated within the band of the configuration.
    """
    recorded = reader.channel.record
    if not recorded.velocity_limit:
        return None
    stop = start + numbers.size
    if _has_velocity(recorded):
        times = recorded.times_ns(start, stop)
        speeds = np.full(numbers.shape, np.nan)
        for epoch in recorded.responses:
            inside = (times >= epoch.start_ns) & (times < epoch.end_ns)
            if epoch.of_velocity and inside.any():
                speeds[inside] = numbers[inside] / epoch.counts_per_unit
        return speeds
    if recorded.quantity == "velocity":
        return reader.physical(start, stop)
    if recorded.quantity == "acceleration":
        made = velocity_filter(recorded.rate.hz, reader.settings.band)
        return filter_span(made, reader.physical, start, stop)
    return None

"""scatter: residual gravity to scattering coefficients, one row a frame.

A unit is one shard of frames of one channel; its parts are the network's segments on the absolute grid of frames. A
segment reads its own halo from the record, so that its values depend on nothing but the record and the network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from gravdask.config import ScatteringConfig, digest
from gravdask.grid import Blocks, Rate, frame_blocks, frames_covering, record_blocks, sample_at
from gravdask.scattering import ScatteringNetwork
from gravdask.scattering.blocks import segment_window
from gravdask.stages.base import VERSIONS, Context, Plan, Task, group_cells, known_units, make_task
from gravdask.stages.channels import Channel, RecordReader
from gravdask.stages.noise import span_cells, treatment
from gravdask.store.layout import create_array, open_root, put_table, read_span, sub_array, write_unit
from gravdask.store.ledger import Record

TARGET_SECONDS = 4096
LEAST_FRAME = 256


def default_frame(rate: Rate) -> int:
    """Samples of a frame where none is configured: a power of two, 4096 at 1 Hz, at least 256."""
    return int(max(2 ** round(math.log2(TARGET_SECONDS * rate.hz)), LEAST_FRAME))


def network_for(rate: Rate, settings: ScatteringConfig) -> ScatteringNetwork:
    """Network of the configuration for a sampling rate: J = log2 T - 4 unless stated, Q as stated."""
    frame = settings.frame_samples or default_frame(rate)
    octaves = settings.octaves or int(math.log2(frame)) - 4
    return ScatteringNetwork(
        rate.hz,
        octaves,
        settings.wavelets_per_octave,
        T=frame,
        pooling=settings.pooling,
        min_valid=settings.min_valid,
    )


def plan(context: Context) -> Plan:
    """Find the segments whose record, pressure or treatment changed."""
    made: list[Task | None] = []
    notes: list[str] = []
    for channel in context.signals():
        network = network_for(channel.rate, context.config.scattering)
        blocks = frame_blocks(channel.rate, network.frame_samples, network.n_paths)
        reader = context.reader(channel)
        settings = digest(VERSIONS["scatter"], network.digest, context.config.scattering.min_valid, treatment(reader))
        segments = _segments(context, channel, network)
        cells = span_cells(context, channel, segments, partial(segment_window, network), beside=1)
        units = group_cells(cells, partial(_units_of, network, blocks))
        inside = _span_of_segments(context, channel, network)
        if not segments:
            notes.append(
                f"{channel.name}: no frame of {network.frame_samples / channel.rate.hz:g} s has enough samples"
            )
        for unit in sorted(units.keys() | known_units(context, "scatter", channel.name)):
            payload = {"reader": reader, "blocks": blocks, "scattering": context.config.scattering}
            mine = units.get(unit, {})
            made.append(make_task(context, "scatter", channel.name, unit, mine, settings, payload, inside))
    return Plan.of(made, notes)


def _units_of(network: ScatteringNetwork, blocks: Blocks, segment: int) -> range:
    """Units that a segment has frames in: two where it crosses the edge of a shard."""
    first = segment * network.segment_frames
    return blocks.units_covering(first, first + network.segment_frames)


def _segments(context: Context, channel: Channel, network: ScatteringNetwork) -> list[int]:
    """Segments of which any frame holds a part of the record."""
    chunk = record_blocks(channel.rate).chunk
    low, high = channel.extent
    segments: set[int] = set()
    for number in context.record_content(channel):
        start, stop = max(number * chunk, low), min((number + 1) * chunk, high)
        if start < stop:
            first, last = frames_covering(network.frame_samples, start, stop)
            segments.update(range(first // network.segment_frames, (last - 1) // network.segment_frames + 1))
    return sorted(segments)


def _span_of_segments(context: Context, channel: Channel, network: ScatteringNetwork) -> Callable[[int], bool]:
    """Whether a segment lies in the configured span of time, any part of it."""
    first_ns, last_ns = context.config.archive.span_ns()
    size = network.segment_samples
    first = 0 if first_ns is None else sample_at(channel.rate, first_ns) // size
    last = None if last_ns is None else -(-sample_at(channel.rate, last_ns) // size)
    return lambda segment: first <= segment and (last is None or segment < last)


def work(task: Task) -> Record:
    """Transform the stale segments of one unit."""
    begun = time.monotonic()
    reader: RecordReader = task.payload["reader"]
    blocks: Blocks = task.payload["blocks"]
    network = network_for(reader.channel.rate, task.payload["scattering"])
    root = open_root(reader.store, create=True)
    coefficients = sub_array(root, f"{task.channel}/scattering/coefficients")
    valid = sub_array(root, f"{task.channel}/scattering/valid_fraction")
    start, stop = blocks.unit_span(task.unit)
    if task.payload["fresh"]:
        values = np.full((blocks.shard, network.n_paths), np.nan, np.float32)
        fractions = np.zeros(blocks.shard, np.float32)
    else:
        values, fractions = read_span(coefficients, start, stop), read_span(valid, start, stop)
    for segment in task.stale:
        first = segment * network.segment_frames
        rows, share = _segment(reader, network, segment, str(segment) in task.cells)
        low, high = max(first, start), min(first + network.segment_frames, stop)
        values[low - start : high - start] = rows[low - first : high - first]
        fractions[low - start : high - start] = share[low - first : high - first]
    write_unit(coefficients, start, values)
    write_unit(valid, start, fractions)
    frames = int(np.isfinite(values[:, 0]).sum())
    present = np.flatnonzero(fractions > 0)
    extent = [int(start + present[0]), int(start + present[-1] + 1)] if present.size else []
    info = {"settings": task.payload["settings"], "frames": frames, "extent": extent}
    return task.record("done" if task.cells else "empty", info=info, seconds=time.monotonic() - begun)


def _segment(reader: RecordReader, network: ScatteringNetwork, segment: int, present: bool) -> tuple[Any, Any]:
    """Coefficients (frame, path) and valid fractions of one segment; missing where its record is gone."""
    if not present:
        empty = np.full((network.segment_frames, network.n_paths), np.nan, np.float32)
        return empty, np.zeros(network.segment_frames, np.float32)
    coefficients, fractions = network.transform_window(reader.residual(*segment_window(network, segment)))
    return coefficients.T, fractions


def _path_tables(network: ScatteringNetwork) -> dict[str, str]:
    """What is written down of the paths, with its unit."""
    orders = range(1, max(network.max_order, 2) + 1)
    frequencies = {f"{name}_{n}": "Hz" for name in ("frequency", "bandwidth") for n in orders}
    return {"order": "1", **frequencies, "reach": "s"}


def prepare(context: Context, tasks: list[Task]) -> None:
    """Make the arrays of the channels that the tasks write to, and write down what the paths are."""
    root = context.root(create=True)
    for name in sorted({t.channel for t in tasks}):
        channel = context.channels[name]
        network = network_for(channel.rate, context.config.scattering)
        blocks = frame_blocks(channel.rate, network.frame_samples, network.n_paths)
        group = root.require_group(f"{name}/scattering")
        about: dict[str, Any] = {
            "long_name": "scattering coefficients",
            "units": {"acceleration": "nm s-2", "velocity": "nm s-1"}.get(channel.quantity, "count"),
            "coordinates": " ".join(_path_tables(network)),
        }
        dims, tail = ("frame", "path"), (network.n_paths,)
        create_array(group, "coefficients", blocks, dims, "float32", tail=tail, attributes=about)
        about = {"long_name": "share of valid samples in the frame", "units": "1"}
        create_array(group, "valid_fraction", blocks, ("frame",), "float32", fill=0.0, attributes=about)
        group.attrs.update(
            {"network": network.digest, "frame_samples": network.frame_samples, "rate": str(channel.rate)}
        )
        paths = network.paths
        for table, unit in _path_tables(network).items():
            put_table(group, table, np.asarray(paths[table].values), ("path",), units=unit)

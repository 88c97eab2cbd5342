"""scatter: residual gravity to scattering coefficients, one row a frame.

A unit is one shard of frames of one channel; its parts are the network's segments on the absolute grid of frames. A
segment reads its own halo from the record, so that its values depend on nothing but the record and the network.
Samples, frames and rates are those of the features: a fast record is decimated first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from gravdask.config import ScatteringConfig, digest
from gravdask.grid import Blocks, Rate, frame_blocks, frames_covering, record_blocks, sample_at
from gravdask.preprocess.decimate import factor_between
from gravdask.scattering import ScatteringNetwork
from gravdask.scattering.blocks import segment_window
from gravdask.stages.base import VERSIONS, ChannelTasks, Context, Plan, Task, group_cells, known_units, make_task
from gravdask.stages.channels import Channel, RecordReader, chain_of, feature_channel, response_fault
from gravdask.stages.clipped import FLAT_TOP, OVER_LIMIT, clipped_frames, limit_note
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
    notes: list[str] = []
    return Plan.of((ChannelTasks(c.name, partial(_tasks, context, c, notes)) for c in context.signals()), notes)


def _tasks(context: Context, recorded: Channel, notes: list[str]) -> Iterator[Task | None]:
    """Compare the units of a channel with the ledger; adds what a person should know of it to the notes."""
    channel = feature_channel(recorded, context.config.preprocess)
    network = network_for(channel.rate, context.config.scattering)
    blocks = frame_blocks(channel.rate, network.frame_samples, network.n_paths)
    reader = context.reader(channel)
    settings = _settings(network, context.config.scattering.min_valid, reader)
    if fault := response_fault(recorded, context.config.preprocess):
        notes.append(f"{channel.name}: its response is left in its record: {fault}")
    if unused := limit_note(recorded, context.config.preprocess):
        notes.append(unused)
    segments = _segments(context, channel, network)
    cells = span_cells(context, channel, segments, partial(segment_window, network), beside=1)
    units = group_cells(cells, partial(_units_of, network, blocks))
    inside = _span_of_segments(context, channel, network)
    if not segments:
        notes.append(f"{channel.name}: no frame of {network.frame_samples / channel.rate.hz:g} s has enough samples")
    payload = {"reader": reader, "blocks": blocks, "scattering": context.config.scattering}
    for unit in sorted(units.keys() | known_units(context, "scatter", channel.name)):
        yield make_task(context, "scatter", channel.name, unit, units.get(unit, {}), settings, payload, inside)


def _settings(network: ScatteringNetwork, min_valid: float, reader: RecordReader) -> str:
    """Digest of what all segments of a channel depend on."""
    limit = reader.channel.velocity_limit
    flags = ([limit] if limit else []) if reader.settings.clipping else ["no flags"]
    return digest(VERSIONS["scatter"], network.digest, min_valid, treatment(reader), *flags)


def _units_of(network: ScatteringNetwork, blocks: Blocks, segment: int) -> range:
    """Units that a segment has frames in: two where it crosses the edge of a shard."""
    first = segment * network.segment_frames
    return blocks.units_covering(first, first + network.segment_frames)


def _segments(context: Context, channel: Channel, network: ScatteringNetwork) -> list[int]:
    """Segments of which any frame holds a part of the record."""
    recorded = channel.record
    chunk = record_blocks(recorded.rate).chunk
    low, high = recorded.extent
    frame = network.frame_samples * factor_between(recorded.rate, channel.rate)
    segments: set[int] = set()
    for number in context.record_content(channel):
        start, stop = max(number * chunk, low), min((number + 1) * chunk, high)
        if start < stop:
            first, last = frames_covering(frame, start, stop)
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
    """Transform the stale segments of one unit.

    A unit beyond the array is one of another rate or frame that was configured before; nothing of it is left.
    """
    begun = time.monotonic()
    reader: RecordReader = task.payload["reader"]
    blocks: Blocks = task.payload["blocks"]
    network = network_for(reader.channel.rate, task.payload["scattering"])
    root = open_root(reader.store, write=True)
    coefficients = sub_array(root, f"{task.channel}/scattering/coefficients")
    valid = sub_array(root, f"{task.channel}/scattering/valid_fraction")
    clipped = sub_array(root, f"{task.channel}/scattering/clipped")
    start, stop = blocks.unit_span(task.unit)
    if not task.cells and start >= blocks.length:
        return task.record("empty", info={"settings": task.payload["settings"], "frames": 0, "extent": []})
    if task.payload["fresh"]:
        values = np.full((blocks.shard, network.n_paths), np.nan, np.float32)
        fractions, flags = np.zeros(blocks.shard, np.float32), np.zeros(blocks.shard, np.uint8)
    else:
        values, fractions, flags = (read_span(a, start, stop) for a in (coefficients, valid, clipped))
    for segment in task.stale:
        first = segment * network.segment_frames
        rows, share = _segment(reader, network, segment, str(segment) in task.cells)
        low, high = max(first, start), min(first + network.segment_frames, stop)
        values[low - start : high - start] = rows[low - first : high - first]
        fractions[low - start : high - start] = share[low - first : high - first]
        flags[low - start : high - start] = clipped_frames(
            reader, network.frame_samples, low, high, share[low - first :]
        )
    size = write_unit(coefficients, start, values)
    write_unit(valid, start, fractions)
    write_unit(clipped, start, flags)
    frames = int(np.isfinite(values[:, 0]).sum())
    present = np.flatnonzero(fractions > 0)
    extent = [int(start + present[0]), int(start + present[-1] + 1)] if present.size else []
    info = {"settings": task.payload["settings"], "frames": frames, "extent": extent, "bytes": size}
    if flags.any():
        info["clipped"] = int(np.count_nonzero(flags))
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
        channel = feature_channel(context.channels[name], context.config.preprocess)
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
        about = {
            "long_name": "possibly clipped samples in the frame",
            "flag_masks": [FLAT_TOP, OVER_LIMIT],
            "flag_meanings": "flat_top velocity_limit",
        }
        create_array(group, "clipped", blocks, ("frame",), "uint8", fill=0, attributes=about)
        group.attrs.update(
            {
                "network": network.digest,
                "frame_samples": network.frame_samples,
                "rate": str(channel.rate),
                "chain": [step for step, _ in chain_of(channel, context.config.preprocess)],
            }
        )
        paths = network.paths
        for table, unit in _path_tables(network).items():
            put_table(group, table, np.asarray(paths[table].values), ("path",), units=unit)


def finish(context: Context, records: list[Record]) -> list[str]:
    """Tell which channels have frames with possibly clipped samples; they keep their coefficients."""
    notes = []
    for name in sorted({r.channel for r in records}):
        mine = [r.info for r in context.ledger.of_stage("scatter", name) if r.finished]
        frames = sum(int(info.get("frames", 0)) for info in mine)
        if clipped := sum(int(info.get("clipped", 0)) for info in mine):
            notes.append(f"{name}: {clipped} of {frames} frames hold possibly clipped samples (scattering/clipped)")
    return notes

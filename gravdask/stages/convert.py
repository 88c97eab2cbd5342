"""convert: archive files to the channels' records, losslessly, onto the absolute grid.

A unit is one shard of one channel. Its parts are the shard's chunks; a part's digest is made of every trace that
touches it, so that a new, replaced or removed file redoes exactly the chunks that it touches. Where traces overlap,
a sample is taken from the trace whose nearer end is farther away (filtered records are wrong near their ends), and
between equals from the file of the lower digest.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.reader import ReadOptions
from gravdask.archive.remote import UnreachableError, open_source
from gravdask.archive.traces import Trace
from gravdask.config import digest
from gravdask.errors import ReadError
from gravdask.grid import Blocks, Rate, record_blocks, sample_at
from gravdask.stages.base import (
    VERSIONS,
    ChannelTasks,
    Context,
    Extent,
    Plan,
    Task,
    anywhere,
    content_digest,
    known_units,
    make_task,
)
from gravdask.stages.placement import ChannelPlan, span_text
from gravdask.stages.placements import Placement, Placements
from gravdask.store.layout import missing_value, open_root, read_span, sub_array, write_unit
from gravdask.store.ledger import Record
from gravdask.store.shards import read_shard


def plan(context: Context, channels: list[ChannelPlan], options: ReadOptions) -> Plan:
    """Find the units whose files changed.

    Parameters
    ----------
    context
        Of the run.
    channels
        The archive on the grid, for the chosen channels.
    options
        How the files are read.
    """
    return Plan.of(
        (ChannelTasks(c.name, partial(_tasks, context, c, options), partial(_count, context, c)) for c in channels),
        [note for channel in channels for note in channel.notes],
    )


def _tasks(context: Context, channel: ChannelPlan, options: ReadOptions) -> Iterator[Task | None]:
    """Compare the units of a channel with the ledger."""
    blocks = record_blocks(channel.rate)
    settings = digest(VERSIONS["convert"], channel.dtype, channel.decimals)
    placements = Placements.of(channel.placements)
    units = _cells(placements, blocks)
    inside = _span_of_chunks(context, channel.rate, blocks)

    def payload(unit: int) -> dict[str, Any]:
        """What the worker needs; only made where there is something to do."""
        start, stop = blocks.unit_span(unit)
        return {
            "store": context.store,
            "options": options,
            "blocks": blocks,
            "dtype": channel.dtype,
            "decimals": channel.decimals,
            "span": span_text(channel.rate, start, stop),
            "placements": placements.within(start, stop),
        }

    for unit in sorted(units.keys() | known_units(context, "convert", channel.name)):
        yield make_task(context, "convert", channel.name, unit, units.get(unit, {}), settings, payload, inside)


def _count(context: Context, channel: ChannelPlan) -> Extent | None:
    """Count what is to be done of a channel that the ledger does not know: all there is, within the span of the run."""
    if context.ledger.knows("convert", channel.name):
        return None
    blocks = record_blocks(channel.rate)
    chunks = Placements.of(channel.placements).chunks(blocks.chunk)
    first, last = _bounds(context, channel.rate, blocks)
    numbers = chunks // (blocks.shard // blocks.chunk)
    begins = np.flatnonzero(np.diff(numbers, prepend=-1))
    inside = (chunks >= first) & (chunks < last)
    parts = np.add.reduceat(inside, begins, dtype=np.int64) if begins.size else np.zeros(0, np.int64)
    return Extent(numbers[begins[parts > 0]], parts[parts > 0], int(np.count_nonzero(parts == 0)))


def _cells(placements: Placements, blocks: Blocks) -> dict[int, dict[str, str]]:
    """Digest, for every chunk that a trace touches, of all traces that touch it; by unit, each in order."""
    per_unit = blocks.shard // blocks.chunk
    units: dict[int, dict[str, str]] = {}
    for first, last, made in placements.runs(blocks.chunk):
        for unit in range(first // per_unit, -(-last // per_unit)):
            mine = range(max(first, unit * per_unit), min(last, (unit + 1) * per_unit))
            units.setdefault(unit, {}).update(dict.fromkeys(map(str, mine), made))
    return units


def _bounds(context: Context, rate: Rate, blocks: Blocks) -> tuple[int, int]:
    """First chunk of the configured span of time, and the one after its last."""
    first_ns, last_ns = context.config.archive.span_ns()
    first = 0 if first_ns is None else sample_at(rate, first_ns) // blocks.chunk
    last = blocks.length if last_ns is None else -(-sample_at(rate, last_ns) // blocks.chunk)
    return first, last


def _span_of_chunks(context: Context, rate: Rate, blocks: Blocks) -> Callable[[int], bool]:
    """Whether a chunk lies in the configured span of time, any part of it."""
    if context.config.archive.span_ns() == (None, None):
        return anywhere
    first, last = _bounds(context, rate, blocks)
    return lambda chunk: first <= chunk < last


def work(task: Task) -> Record:
    """Write one shard of one channel's record."""
    begun = time.monotonic()
    payload = task.payload
    blocks: Blocks = payload["blocks"]
    start, _ = blocks.unit_span(task.unit)
    array = sub_array(open_root(payload["store"], write=True), f"{task.channel}/raw/record")
    missing = missing_value(array.dtype)
    stale = np.zeros(blocks.shard // blocks.chunk, bool)
    stale[[c - start // blocks.chunk for c in task.stale]] = True
    if payload["fresh"] or stale.all():
        samples = np.full(blocks.shard, missing, array.dtype)
    else:
        samples = read_shard(array, start)
        samples.reshape(-1, blocks.chunk)[stale] = missing
    merger = _Merger(samples, stale, start, missing)
    problems = _merge_files(task, merger)
    spans = [(p.start // blocks.chunk, -(-p.stop // blocks.chunk)) for p in merger.unread]
    left = [chunk for chunk in task.stale if any(first <= chunk < last for first, last in spans)]
    for chunk in () if payload["fresh"] else left:
        part = slice(chunk * blocks.chunk - start, (chunk + 1) * blocks.chunk - start)
        samples[part] = read_span(array, chunk * blocks.chunk, (chunk + 1) * blocks.chunk)
    size = write_unit(array, start, samples)
    content = _content(samples, blocks.chunk, start, missing)
    return task.without(left).record(
        "done" if content else "empty",
        content=content,
        info={
            "settings": payload["settings"],
            "bytes": size,
            "problems": problems,
            "overlapping": merger.overlapping,
            "differing": merger.differing,
        },
        seconds=time.monotonic() - begun,
    )


def _content(samples: NDArray[Any], chunk: int, start: int, missing: float) -> dict[str, str]:
    """Digest of every chunk that holds a sample, by chunk number."""
    content = {}
    for n, part in enumerate(samples.reshape(-1, chunk)):
        if _present(part[:1], missing).any() or _present(part, missing).any():
            content[str(start // chunk + n)] = content_digest(part)
    return content


def _present(values: NDArray[Any], missing: float) -> NDArray[np.bool_]:
    """Where there is a sample."""
    return np.asarray(np.isfinite(values) if values.dtype.kind == "f" else values != missing, dtype=np.bool_)


def _merge_files(task: Task, merger: _Merger) -> list[dict[str, Any]]:
    """Read every file once, in the order of the digests, and merge its traces; unreadable files are listed."""
    problems: list[dict[str, Any]] = []
    by_file: dict[tuple[str, str], list[Placement]] = {}
    for placement in task.payload["placements"]:
        if merger.wants(placement):
            by_file.setdefault((placement.digest, placement.path), []).append(placement)
    merger.expect(task.payload["placements"])
    seen: set[str] = set()
    for (file_digest, path), placements in sorted(by_file.items()):
        if file_digest in seen:
            continue
        try:
            _merge_file(task, merger, path, placements, problems)
            seen.add(file_digest)
        except UnreachableError as error:
            merger.unread += placements
            cure = f"its days of {task.channel} stay as they are; run again when it can be read"
            problems.append({"where": path, "line": 0, "what": error.what, "cure": cure})
        except (ReadError, OSError) as error:
            # a damaged file's own words begin with its path, which is told anyway
            line, what = (error.line or 0, error.what) if isinstance(error, DamagedFileError) else (0, str(error))
            problems.append({"where": path, "line": line, "what": what, "cure": f"left out of {task.channel}"})
    merger.unread = [p for p in merger.unread if p.digest not in seen]
    return problems


def _merge_file(
    task: Task, merger: _Merger, path: str, placements: list[Placement], problems: list[dict[str, Any]]
) -> None:
    """Read a file and merge its traces; none of it is held any more when the next file is read."""
    wanted = {placement.number: merger.wanted(placement) for placement in placements}
    traces = open_source(path, task.payload["options"], wanted=wanted)
    for placement in sorted(placements, key=lambda p: p.number):
        trace = _trace(traces, placement, path)
        first, stop = wanted[placement.number]
        values = np.asarray(trace.values)[first - trace.held[0] : stop - trace.held[0]]
        numbers = _numbers(values, trace.decimals, merger.samples.dtype, task.payload["decimals"])
        merger.merge(placement, numbers, first)
        problems += _unkeepable(numbers, trace, path)


def _trace(traces: list[Trace], placement: Placement, path: str) -> Trace:
    """Pick the trace that the index speaks of.

    Raises
    ------
    ReadError
        If the file holds another one now.
    """
    if placement.number >= len(traces) or traces[placement.number].npts != placement.npts:
        msg = f"{path}: the file changed since it was scanned; run again"
        raise ReadError(msg)
    return traces[placement.number]


def _numbers(values: NDArray[Any], places: int, dtype: np.dtype[Any], decimals: int) -> NDArray[Any]:
    """Bring numbers of some decimal places to the channel's type and decimals, exactly; they may be the same array."""
    factor = 10 ** (decimals - places) if dtype.kind == "i" else 1
    if factor == 1 and (dtype.kind == "i" or not places):
        return values.astype(dtype, copy=False)
    numbers = values.astype(dtype)
    if dtype.kind == "i":
        numbers *= dtype.type(factor)
    else:
        numbers /= dtype.type(10.0**places)
    return numbers


def _unkeepable(numbers: NDArray[Any], trace: Trace, path: str) -> list[dict[str, Any]]:
    """List integers that cannot be told from a missing sample; digitisers write them for a sample they do not have."""
    if numbers.dtype.kind != "i" or numbers.min() != missing_value(numbers.dtype):
        return []
    count = int(np.count_nonzero(numbers == missing_value(numbers.dtype)))
    what = f"{count} samples of {trace.channel} are {missing_value(numbers.dtype)}, which stands for a missing sample"
    return [{"where": path, "line": 0, "what": what, "cure": "they are left out; the rest of the file is used"}]


class _Merger:
    """Puts traces into the samples of a unit and resolves overlaps, independent of the order of what is read.

    Parameters
    ----------
    samples
        The unit's samples, changed in place; missing wherever they may be changed.
    open_mask
        Which of the equal parts of the samples may be changed, shape (parts,).
    start
        Sample index of the first.
    missing
        Value of a missing sample.
    """

    def __init__(self, samples: NDArray[Any], open_mask: NDArray[np.bool_], start: int, missing: float) -> None:
        self.samples = samples
        self.overlapping = 0
        self.differing = 0
        # of files that cannot be reached now: the chunks that these touch keep what they have until a later run
        self.unread: list[Placement] = []
        edges = np.flatnonzero(np.diff(open_mask, prepend=False, append=False)) * (samples.size // open_mask.size)
        self._open = edges.reshape(-1, 2).tolist()
        self._start = start
        self._missing = missing
        self._shared = [(0, samples.size)]
        # one more than how far the nearer end of its trace is; memory comes with the first overlap that is written
        self._edge: NDArray[np.int32] = np.zeros(samples.size, np.int32)

    def _within(self, placement: Placement) -> tuple[int, int]:
        """Part of the unit that a placement covers."""
        start, stop = placement.start - self._start, placement.stop - self._start
        return max(start, 0), max(min(stop, self.samples.size), 0)

    def expect(self, placements: Iterable[Placement]) -> None:
        """Say beforehand what may be merged: where only one of them lies, its samples are taken without comparing."""
        distinct = {(p.digest, p.number, p.start, p.npts): self._within(p) for p in placements}
        shared: list[tuple[int, int]] = []
        reached = 0
        for start, stop in sorted(distinct.values()):
            if start < min(reached, stop):
                first = max(start, shared[-1][1]) if shared else start
                if first < min(reached, stop):
                    shared.append((first, min(reached, stop)))
            reached = max(reached, stop)
        self._shared = shared

    def _parts(self, placement: Placement) -> Iterator[tuple[int, int, bool]]:
        """Parts of the unit that a placement covers and that may be changed, and whether others may cover them too."""
        first, last = self._within(placement)
        for opened, closed in self._open:
            at, stop = max(first, opened), min(last, closed)
            for one, other in self._shared[bisect_right(self._shared, at, key=itemgetter(1)) :]:
                if at >= stop or one >= stop:
                    break
                if at < one:
                    yield at, one, False
                yield max(at, one), min(other, stop), True
                at = other
            if at < stop:
                yield at, stop, False

    def wants(self, placement: Placement) -> bool:
        """Whether any sample of a placement may be changed."""
        return any(True for _ in self._parts(placement))

    def wanted(self, placement: Placement) -> tuple[int, int]:
        """Samples of a placement's trace, from and up to, outside which none may be changed."""
        parts = [(first, last) for first, last, _ in self._parts(placement)]
        offset = self._start - placement.start
        return parts[0][0] + offset, parts[-1][1] + offset

    def merge(self, placement: Placement, numbers: NDArray[Any], held: int = 0) -> None:
        """Take the samples of a trace wherever its nearer end is farther than that of what is there.

        Parameters
        ----------
        placement
            Of the trace.
        numbers
            Its samples, all that are wanted among them.
        held
            Which sample of the trace is the first of them.
        """
        for first, last, shared in self._parts(placement):
            offset = first + self._start - placement.start
            incoming = numbers[offset - held : offset - held + last - first]
            if shared:
                self._compare(first, incoming, offset, placement.npts)
            elif incoming.dtype.kind == "f":
                np.copyto(self.samples[first:last], incoming, where=np.isfinite(incoming))
            else:
                self.samples[first:last] = incoming

    def _compare(self, first: int, incoming: NDArray[Any], offset: int, npts: int) -> None:
        """Take samples that others may claim as well, from the given one of a trace on."""
        part = slice(first, first + len(incoming))
        inside = np.arange(offset, offset + len(incoming), dtype=np.int64)
        edge = (np.minimum(inside, npts - 1 - inside) + 1).astype(np.int32)
        present = _present(incoming, self._missing)
        covered = present & (self._edge[part] > 0)
        self.overlapping += int(covered.sum())
        self.differing += int((covered & (self.samples[part] != incoming)).sum())
        better = present & (edge > self._edge[part])
        self.samples[part][better] = incoming[better]
        self._edge[part][better] = edge[better]


COUNTED = ("overlapping", "differing")
"""Findings of the units that `overlap_notes` tells of."""


def overlap_notes(records: Iterable[Record]) -> list[str]:
    """Tell of channels with samples that stand several times, by how many of them differ, and which were taken."""
    totals: dict[str, tuple[int, int]] = {}
    for record in records:
        if record.info.get("overlapping"):
            over, differ = totals.get(record.channel, (0, 0))
            totals[record.channel] = (over + record.info["overlapping"], differ + record.info["differing"])
    rule = (
        "; the one farther from the ends of its unbroken stretch was taken, between equals that of the file of the "
        "lower digest, or the first of a file"
    )
    return [
        f"{name}: {over} samples are there more than once, in several files or twice in one, {differ} of them with "
        f"other values{rule if differ else ''}"
        for name, (over, differ) in totals.items()
    ]

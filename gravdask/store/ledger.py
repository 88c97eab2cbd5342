"""The ledger: which units are finished, from which inputs, and with what findings.

Results are appended in segments, JSON-lines objects that are each written whole or not at all: at once where units come
slowly, so that a killed client loses nothing that is through, and together where they come fast, every few seconds. A
unit that is about to overwrite a shard is first recorded as begun: a crash in the middle cannot leave an older record
vouching for newer or broken values. Many segments are compacted to few Parquet objects, while a client works and at its
end.

A segment that cannot be read any more may have said of any unit of its stage that it was begun. Whatever older
objects say of finished units is therefore in doubt, and such units are done again; newer records stand.

A ledger of millions of units is not held in memory: a channel's records are made of their lines when it is asked for.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from gravdask.config import digest
from gravdask.store.place import Place
from gravdask.store.segments import Record, line_of, record_of, stamp_of
from gravdask.store.stage_records import StageRecords

__all__ = ["Ledger", "Record"]

FLUSH_SECONDS = 3.0
FLUSH_RECORDS = 1000
"""A segment is written when the last one is that old, or so many records wait."""
FLUSH_SHARE = 0.02
FLUSH_CREDIT = 0.25
"""Earlier, as long as segments take no more than this share of the client's time; what is saved of it, at most [s]."""
COMPACT_SEGMENTS = 40
CACHE_ENTRIES = 1_000_000
"""Digests in the records that are held ready, of all channels that were asked for last."""
DAMAGED = ".damaged"
"""End of the name of an object that was set aside."""

Units = dict[int, Record]


class Ledger:
    """The records of one store, read channel by channel, appended to in segments.

    Parameters
    ----------
    folder
        Folder ``ledger`` of the store; it need not exist.
    guard
        Called before anything is written: raises where this client must not write any more.

    Raises
    ------
    StoreError
        If a record is of another form than this gravdask's, naming the object.
    """

    def __init__(self, folder: Place | Path | str, guard: Callable[[], None] | None = None) -> None:
        self._folder = Place.of(folder)
        self._guard = guard
        self._stages: dict[str, StageRecords] = {}
        self._pending: list[Record] = []
        self._flushed = time.monotonic()
        self._budget = _Budget(self._flushed)
        self._cache = _Cache()
        self._scratch: Place | None = None
        for stage in self._folder.folders():
            self._stage(stage).refresh()
        self._stamp = max((records.stamp for records in self._stages.values()), default=0)

    def _stage(self, stage: str) -> StageRecords:
        """Lines of a stage."""
        if stage not in self._stages:
            folder = self._folder / stage
            self._stages[stage] = StageRecords(folder, lambda: _objects(folder), self._spare)
        return self._stages[stage]

    def _spare(self) -> Place:
        """Folder for what would be too much for this client's memory; it goes with the ledger."""
        if self._scratch is None:
            path = tempfile.mkdtemp(prefix="gravdask-ledger-")
            weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
            self._scratch = Place.of(path)
        return self._scratch

    def _units(self, stage: str, channel: str, scan: bool = False) -> Units:
        """Latest record of each unit of a channel.

        Parameters
        ----------
        scan
            Whether all channels are gone through: then those that are held ready stay.
        """
        known = self._cache.get(stage, channel)
        if known is None:
            known = self._read(stage, channel)
            self._cache.put(stage, channel, known, evict=not scan)
        return known

    def _read(self, stage: str, channel: str) -> Units:
        """Make the records of a channel of their lines."""
        found: Units = {}
        records = self._stages.get(stage)
        if records is not None:
            limit = records.limit(channel)
            for unit, row in records.rows(channel).items():
                record = record_of(row.line, records.folder)
                found[unit] = _doubted(record) if row.order < limit else record
        for record in self._pending:
            if (record.stage, record.channel) == (stage, channel):
                found[record.unit] = record
        return found

    def get(self, stage: str, channel: str, unit: int) -> Record | None:
        """Return the latest record of a unit, or None."""
        return self._units(stage, channel).get(unit)

    def knows(self, stage: str, channel: str) -> bool:
        """Whether there is any record of a channel."""
        records = self._stages.get(stage)
        pending = any((r.stage, r.channel) == (stage, channel) for r in self._pending)
        return pending or (records is not None and records.knows(channel))

    def channels(self, stage: str) -> list[str]:
        """Channels that a stage has any record of, sorted."""
        records = self._stages.get(stage)
        held = records.channels() if records is not None else set()
        return sorted(held | {r.channel for r in self._pending if r.stage == stage})

    def of_stage(self, stage: str, channel: str | None = None) -> Iterator[Record]:
        """All records of a stage, or of one channel in it, in the order of channel and unit."""
        for name in self.channels(stage) if channel is None else [channel]:
            units = self._units(stage, name, scan=channel is None)
            yield from [units[n] for n in sorted(units)]

    def digest(self, *stages: str) -> str:
        """Digest of how every unit of some stages stands and what it follows from, made channel by channel."""
        found = []
        for stage in stages:
            for name in self.channels(stage):
                units = self._units(stage, name, scan=True)
                found.append(digest(stage, name, [(n, units[n].fingerprint, units[n].status) for n in sorted(units)]))
        return digest(found)

    @property
    def damaged(self) -> list[str]:
        """Objects that cannot be read, in words."""
        return [
            f"{self._folder / stage / name}: damaged ledger object ({reason}); it is set aside by the next run, and "
            "the units of the stage that nothing newer vouches for are done again"
            for stage, records in self._stages.items()
            for name, reason in records.damaged.items()
        ]

    def heal(self) -> list[str]:
        """Set damaged objects aside, once their consequences are written down; says what was done.

        For clients that hold a lease.
        """
        notes = self.damaged
        for stage, records in list(self._stages.items()):
            if not records.damaged:
                continue
            for channel in sorted(records.channels()):
                self.begin(self._consequences(records, stage, channel))
            for name in list(records.damaged):
                with contextlib.suppress(FileNotFoundError):  # another client was faster
                    (records.folder / f"{name}{DAMAGED}").write((records.folder / name).read())
                    (records.folder / name).delete()
            records.refresh()
            self._cache.forget(stage)
        return notes

    def _consequences(self, records: StageRecords, stage: str, channel: str) -> list[Record]:
        """Records of a channel that nothing would tell of any more without the damaged objects: doubts, and their own.

        The latest line of a unit may stand in what can still be read of a damaged object, and revoke an older one.
        """
        limit, theirs = records.limit(channel), records.damaged_rows(channel)
        found = []
        for row in records.rows(channel).values():
            record = record_of(row.line, records.folder)
            doubted = _doubted(record) if row.order < limit else record
            if doubted is not record or row in theirs:
                found.append(doubted)
        return found

    def begin(self, records: Iterable[Record]) -> None:
        """Record units as begun and write that down before any of them touches its shard."""
        self._pending.extend(records)
        self.flush()

    def add(self, record: Record) -> None:
        """Record a result; written down at once if that costs little, else with others within a few seconds."""
        self._pending.append(record)
        self._cache.keep(record)
        now = time.monotonic()
        if self._budget.allows(now) or now - self._flushed > FLUSH_SECONDS or len(self._pending) >= FLUSH_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as one segment a stage, each whole or not at all.

        A stage that was written is not written again when a later one fails, and what failed stays pending. Segments of
        this client are compacted now and then.
        """
        begun = time.monotonic()
        if self._pending and self._guard is not None:
            self._guard()
        for stage in sorted({r.stage for r in self._pending}):
            chosen = [r for r in self._pending if r.stage == stage]
            records = self._stage(stage)
            records.write(self._next_stamp(), [(r.channel, r.unit, line_of(r)) for r in chosen])
            for record in chosen:
                self._cache.keep(record)
            self._pending = [r for r in self._pending if r.stage != stage]
            records.gather()
        self._flushed = time.monotonic()
        self._budget.spend(self._flushed - begun)

    def _next_stamp(self) -> str:
        """Name of the next segment: after all that this client knows of, even if a clock went back."""
        self._stamp = max(time.time_ns(), self._stamp + 1)
        return f"{self._stamp:020d}-{uuid.uuid4().hex[:8]}"

    def compact(self) -> None:
        """Put many segments of a stage, and compacted objects that grew many, into few objects."""
        self.flush()
        for stage in self._folder.folders():
            self._stage(stage).compact(COMPACT_SEGMENTS)


class _Budget:
    """Time that may go into writing records down early: a share of what passes, some of it saved up."""

    def __init__(self, now: float) -> None:
        self._seen, self._credit, self._cost = now, 0.0, 0.0

    def allows(self, now: float) -> bool:
        """Whether there is enough for what it took lately."""
        self._credit = min(self._credit + FLUSH_SHARE * (now - self._seen), FLUSH_CREDIT)
        self._seen = now
        return self._credit >= self._cost

    def spend(self, seconds: float) -> None:
        """Take off what it took."""
        self._credit -= seconds
        self._cost = seconds if not self._cost else 0.8 * self._cost + 0.2 * seconds


class _Cache:
    """Records of the channels that were asked for last, up to a number of digests in them."""

    def __init__(self) -> None:
        self._channels: OrderedDict[tuple[str, str], Units] = OrderedDict()
        self._sizes: dict[tuple[str, str], int] = {}
        self._size = 0

    def get(self, stage: str, channel: str) -> Units | None:
        """Records of a channel, None if they are not held."""
        key = stage, channel
        if key in self._channels:
            self._channels.move_to_end(key)
        return self._channels.get(key)

    def put(self, stage: str, channel: str, units: Units, evict: bool) -> None:
        """Hold the records of a channel, in place of others if need be and ``evict`` says so."""
        size = sum(_entries(record) for record in units.values())
        if not evict and self._size + size > CACHE_ENTRIES:
            return
        self._channels[stage, channel] = units
        self._sizes[stage, channel] = size
        self._size += size
        self._evict()

    def _evict(self) -> None:
        """Let go of channels that were not asked for lately."""
        while self._size > CACHE_ENTRIES and len(self._channels) > 1:
            oldest, _ = self._channels.popitem(last=False)
            self._size -= self._sizes.pop(oldest)

    def keep(self, record: Record) -> None:
        """Take a record as the latest of its unit, if its channel is held."""
        key = record.stage, record.channel
        units = self._channels.get(key)
        if units is not None:
            known = units.get(record.unit)
            more = _entries(record) - (_entries(known) if known is not None else 0)
            units[record.unit] = record
            self._sizes[key] += more
            self._size += more
            self._evict()

    def forget(self, stage: str) -> None:
        """Let go of a stage."""
        for key in [key for key in self._channels if key[0] == stage]:
            del self._channels[key]
            self._size -= self._sizes.pop(key)


def _entries(record: Record) -> int:
    """What a record weighs, in digests."""
    return 10 + len(record.cells) + len(record.content)


def _doubted(record: Record) -> Record:
    """Take a finished unit for begun; estimates of a whole channel (negative units) vouch for no shard."""
    return replace(record, status="begun") if record.finished and record.unit >= 0 else record


def _objects(folder: Place) -> list[str]:
    """Segments and compacted objects of a stage, the oldest first; of one stamp the compacted one first."""
    found = [e.name for e in folder.entries() if e.name.endswith((".jsonl", ".parquet"))]
    return sorted(found, key=lambda n: (stamp_of(n), n.endswith(".jsonl"), n))

"""The ledger: which units are finished, from which inputs, and with what findings.

Results are appended in segments, one JSON-lines object every few seconds, each written whole or not at all, so that a
killed client loses seconds of bookkeeping and never leaves half a segment. A unit that is about to overwrite a shard
is first recorded as begun: a crash in the middle cannot leave an older record vouching for newer or broken values.
Many segments are compacted to one Parquet object a stage.

A segment that cannot be read any more may have said of any unit of its stage that it was begun. Whatever older
objects say of finished units is therefore in doubt, and such units are done again; newer records stand.
"""

from __future__ import annotations

import contextlib
import io
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from gravdask.errors import StoreError
from gravdask.store.place import Place

FLUSH_SECONDS = 3.0
FLUSH_RECORDS = 1000
COMPACT_SEGMENTS = 40
READ_ATTEMPTS = 5
DAMAGED = ".damaged"
"""End of the name of an object that was set aside."""


@dataclass(frozen=True)
class Record:
    """What the ledger knows of one unit.

    Attributes
    ----------
    stage, channel, unit
        The unit: a stage, a channel (or '*' for the whole network) and the number of its span.
    fingerprint
        Digest of everything that the unit's values follow from.
    status
        ``begun``, ``done``, ``empty`` (nothing to write, which Zarr cannot show) or ``quarantined``.
    cells
        Digests of the inputs of the unit's parts (chunks, days, segments), so that a later run redoes only parts.
    content
        Digests of what was written, part by part, '' where nothing is; the inputs of the stages below.
    info
        Findings: problems, counts, estimates.
    seconds
        Time the unit took.
    """

    stage: str
    channel: str
    unit: int
    fingerprint: str
    status: str
    cells: dict[str, str] = field(default_factory=dict)
    content: dict[str, str] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str, int]:
        """The unit this record is about."""
        return self.stage, self.channel, self.unit

    @property
    def finished(self) -> bool:
        """Whether the unit's values are whole in the store."""
        return self.status in {"done", "empty"}


Records = dict[tuple[str, str, int], Record]


@dataclass
class _Found:
    """What the objects of a stage say together.

    Attributes
    ----------
    records
        Latest record of each unit.
    damaged
        Objects that cannot be read, with the reason.
    doubtful
        Units whose latest record is older than a damaged object.
    """

    records: Records = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    doubtful: set[tuple[str, str, int]] = field(default_factory=set)


class Ledger:
    """The records of one store, loaded whole, appended to in segments.

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
        self._records: dict[str, dict[str, dict[int, Record]]] = {}
        self._pending: list[Record] = []
        self._flushed = time.monotonic()
        self._stamp = 0
        self._damaged: list[tuple[str, str, str]] = []
        self._doubtful: list[Record] = []
        for stage in self._folder.folders():
            found = _settled(self._folder / stage)
            self._damaged += [(stage, name, reason) for name, reason in found.damaged.items()]
            for key, record in found.records.items():
                # Estimates of a whole channel (negative units) vouch for no shard.
                doubtful = key in found.doubtful and record.finished and record.unit >= 0
                kept = replace(record, status="begun") if doubtful else record
                self._keep(kept)
                self._doubtful += [kept] if doubtful else []
            names = _objects(self._folder / stage)
            self._stamp = max([self._stamp, *map(_stamp, names)])

    def _keep(self, record: Record) -> None:
        """Take a record as the latest of its unit."""
        self._records.setdefault(record.stage, {}).setdefault(record.channel, {})[record.unit] = record

    def get(self, stage: str, channel: str, unit: int) -> Record | None:
        """Return the latest record of a unit, or None."""
        return self._records.get(stage, {}).get(channel, {}).get(unit)

    def of_stage(self, stage: str, channel: str | None = None) -> Iterator[Record]:
        """All records of a stage, or of one channel in it, in the order of channel and unit."""
        by_channel = self._records.get(stage, {})
        for name in sorted(by_channel) if channel is None else [channel]:
            units = by_channel.get(name, {})
            yield from [units[n] for n in sorted(units)]

    @property
    def damaged(self) -> list[str]:
        """Objects that cannot be read, in words."""
        return [
            f"{self._folder / stage / name}: damaged ledger object ({reason}); it is set aside by the next run, and "
            "the units of the stage that nothing newer vouches for are done again"
            for stage, name, reason in self._damaged
        ]

    def heal(self) -> list[str]:
        """Set damaged objects aside, once their consequences are written down; says what was done.

        For clients that hold a lease.
        """
        notes = self.damaged
        if self._damaged:
            self._pending.extend(self._doubtful)
            self.flush()
            for stage, name, _ in self._damaged:
                with contextlib.suppress(FileNotFoundError):  # another client was faster
                    (self._folder / stage / f"{name}{DAMAGED}").write((self._folder / stage / name).read())
                    (self._folder / stage / name).delete()
            self._damaged, self._doubtful = [], []
        return notes

    def begin(self, records: Iterable[Record]) -> None:
        """Record units as begun and write that down before any of them touches its shard."""
        self._pending.extend(records)
        self.flush()

    def add(self, record: Record) -> None:
        """Record a result; written down with others within a few seconds."""
        self._pending.append(record)
        self._keep(record)
        if len(self._pending) >= FLUSH_RECORDS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as one segment a stage, each whole or not at all.

        A stage that was written is not written again when a later one fails, and what failed stays pending.
        """
        if self._pending and self._guard is not None:
            self._guard()
        for stage in sorted({r.stage for r in self._pending}):
            chosen = [r for r in self._pending if r.stage == stage]
            lines = [_line(r) for r in chosen]
            (self._folder / stage / f"{self._next_stamp()}.jsonl").write(("\n".join(lines) + "\n").encode())
            for record in chosen:
                self._keep(record)
            self._pending = [r for r in self._pending if r.stage != stage]
        self._flushed = time.monotonic()

    def _next_stamp(self) -> str:
        """Name of the next segment: after all that this client knows of, even if a clock went back."""
        self._stamp = max(time.time_ns(), self._stamp + 1)
        return f"{self._stamp:020d}-{uuid.uuid4().hex[:8]}"

    def compact(self) -> None:
        """Put many segments of a stage into one Parquet object.

        What is compacted is what lies in the store, other clients' segments included, and only what was read is
        removed; a second client that compacts at the same time can therefore lose nothing. A stage with a damaged
        object is left as it is until that is set aside.
        """
        self.flush()
        for stage in self._folder.folders():
            folder = self._folder / stage
            names = _objects(folder)
            if sum(n.endswith(".jsonl") for n in names) < COMPACT_SEGMENTS:
                continue
            try:
                found = _merged(folder, names)
            except FileNotFoundError:
                continue  # another client compacts this stage just now
            if found.damaged:
                continue
            rows = [_line(r) for r in found.records.values()]
            name = f"{_stamp(names[-1]):020d}-{uuid.uuid4().hex[:8]}.parquet"
            (folder / name).write(pd.DataFrame({"record": rows}).to_parquet(compression="zstd"))
            for old in names:
                (folder / old).delete()


def _line(record: Record) -> str:
    """One record as a line of a segment."""
    return json.dumps(asdict(record), separators=(",", ":"))


def _stamp(name: str) -> int:
    """Time that a segment's name begins with [ns]; that of a compacted object is its newest segment's."""
    head = name.split("-")[0]
    return int(head) if head.isdigit() else 0


def _objects(folder: Place) -> list[str]:
    """Segments and compacted objects of a stage, the oldest first; of one stamp the compacted one first."""
    found = [e.name for e in folder.entries() if e.name.endswith((".jsonl", ".parquet"))]
    return sorted(found, key=lambda n: (_stamp(n), n.endswith(".jsonl"), n))


def _settled(folder: Place) -> _Found:
    """What a stage's objects say, also while another client compacts it."""
    for _ in range(READ_ATTEMPTS):
        try:
            return _merged(folder, _objects(folder))
        except FileNotFoundError:
            continue
    msg = f"{folder}: its objects vanish while they are read; another client seems to compact it again and again"
    raise StoreError(msg)


def _merged(folder: Place, names: list[str]) -> _Found:
    """Latest record of every unit in objects that are given in their order."""
    found = _Found()
    for name, content in zip(names, folder.read_many(names), strict=True):
        records: list[Record] = []
        reason = _read(folder / name, content, records)
        if reason:
            found.damaged[name] = reason
            found.doubtful = set(found.records)
        for record in records:
            found.records[record.key] = record
            # What a damaged object still says counts, but nobody knows what came after it there.
            (found.doubtful.add if reason else found.doubtful.discard)(record.key)
    return found


def _read(place: Place, content: bytes, records: list[Record]) -> str:
    """Add the records of an object to a list, as far as it can be read; tells why it cannot be read to its end."""
    try:
        if place.name.endswith(".parquet"):
            from pyarrow import parquet

            lines = parquet.read_table(io.BytesIO(content), columns=["record"])["record"].to_pylist()
        else:
            lines = content.decode("utf-8").splitlines()
            if not lines:
                return "it is empty"
        for line in lines:
            records.append(_parse(line, place))
    except (ValueError, KeyError, OSError) as error:
        return str(error).split("\n")[0] or type(error).__name__
    return ""


def _parse(line: str, place: Place) -> Record:
    """Read one line of a segment.

    Raises
    ------
    ValueError
        If it is damaged.
    StoreError
        If it is of another form.
    """
    values = json.loads(line)
    try:
        return Record(**values)
    except TypeError as error:
        msg = f"{place}: a ledger record of another form ({error}); use the gravdask that wrote it"
        raise StoreError(msg) from error

"""The ledger: which units are finished, from which inputs, and with what findings.

Results are appended in segments, one JSON-lines object every few seconds, each written beside and moved into place,
so that a killed client loses seconds of bookkeeping and never leaves half a segment. A unit that is about to
overwrite a shard is first recorded as begun: a crash in the middle cannot leave an older record vouching for newer or
broken values. Many segments are compacted to one Parquet object a stage.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from gravdask.errors import StoreError

FLUSH_SECONDS = 3.0
FLUSH_RECORDS = 1000
COMPACT_SEGMENTS = 40
READ_ATTEMPTS = 5


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


class Ledger:
    """The records of one store, loaded whole, appended to in segments.

    Parameters
    ----------
    folder
        Folder ``ledger`` of the store; it need not exist.

    Raises
    ------
    StoreError
        If a segment is damaged, naming it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[tuple[str, str, int], Record] = {}
        self._pending: list[Record] = []
        self._flushed = time.monotonic()
        self._stamp = 0
        for stage in sorted(p for p in folder.iterdir() if p.is_dir()) if folder.exists() else ():
            self._records |= _settled(stage)
            self._stamp = max([self._stamp, *(_stamp(p) for p in _objects(stage))])

    def get(self, stage: str, channel: str, unit: int) -> Record | None:
        """Return the latest record of a unit, or None."""
        return self._records.get((stage, channel, unit))

    def of_stage(self, stage: str) -> Iterator[Record]:
        """All records of a stage, in the order of channel and unit."""
        return iter(sorted((r for r in self._records.values() if r.stage == stage), key=lambda r: (r.channel, r.unit)))

    def begin(self, records: Iterable[Record]) -> None:
        """Record units as begun and write that down before any of them touches its shard."""
        self._pending.extend(records)
        self.flush()

    def add(self, record: Record) -> None:
        """Record a result; written down with others within a few seconds."""
        self._pending.append(record)
        self._records[record.key] = record
        if len(self._pending) >= FLUSH_RECORDS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as one segment a stage, each whole or not at all."""
        for stage in sorted({r.stage for r in self._pending}):
            lines = [_line(r) for r in self._pending if r.stage == stage]
            _replace(self._folder / stage / f"{self._next_stamp()}.jsonl", ("\n".join(lines) + "\n").encode())
        self._records.update({r.key: r for r in self._pending})
        self._pending.clear()
        self._flushed = time.monotonic()

    def _next_stamp(self) -> str:
        """Name of the next segment: after all that this client knows of, even if a clock went back."""
        self._stamp = max(time.time_ns(), self._stamp + 1)
        return f"{self._stamp:020d}-{uuid.uuid4().hex[:8]}"

    def compact(self) -> None:
        """Put many segments of a stage into one Parquet object.

        What is compacted is what lies on disk, other clients' segments included, and only what was read is removed;
        a second client that compacts at the same time can therefore lose nothing.
        """
        self.flush()
        for folder in sorted(p for p in self._folder.iterdir() if p.is_dir()) if self._folder.exists() else ():
            objects = _objects(folder)
            if sum(p.suffix == ".jsonl" for p in objects) < COMPACT_SEGMENTS:
                continue
            try:
                rows = [_line(r) for r in _merged(objects).values()]
            except FileNotFoundError:
                continue  # another client compacts this stage just now
            name = f"{_stamp(objects[-1]):020d}-{uuid.uuid4().hex[:8]}.parquet"
            _replace(folder / name, pd.DataFrame({"record": rows}).to_parquet(compression="zstd"))
            for path in objects:
                path.unlink(missing_ok=True)


def _line(record: Record) -> str:
    """One record as a line of a segment."""
    return json.dumps(asdict(record), separators=(",", ":"))


def _stamp(path: Path) -> int:
    """Time that a segment's name begins with [ns]; that of a compacted object is its newest segment's."""
    head = path.name.split("-")[0]
    return int(head) if head.isdigit() else 0


def _objects(folder: Path) -> list[Path]:
    """Segments and compacted objects of a stage, the oldest first; of one stamp the compacted one first."""
    found = [p for p in folder.iterdir() if p.suffix in {".jsonl", ".parquet"}]
    return sorted(found, key=lambda p: (_stamp(p), p.suffix == ".jsonl", p.name))


def _settled(folder: Path) -> dict[tuple[str, str, int], Record]:
    """Latest record of every unit of a stage, also while another client compacts it."""
    for _ in range(READ_ATTEMPTS):
        try:
            return _merged(_objects(folder))
        except FileNotFoundError:
            continue
    msg = f"{folder}: its objects vanish while they are read; another client seems to compact it again and again"
    raise StoreError(msg)


def _merged(objects: list[Path]) -> dict[tuple[str, str, int], Record]:
    """Latest record of every unit in objects that are given in their order."""
    records: dict[tuple[str, str, int], Record] = {}
    for path in objects:
        for line in _lines(path):
            record = _parse(line, path)
            records[record.key] = record
    return records


def _lines(path: Path) -> list[str]:
    """All records of a segment or compacted object, one a line.

    Raises
    ------
    StoreError
        If a compacted object is damaged.
    """
    if path.suffix == ".jsonl":
        return path.read_text(encoding="utf-8").splitlines()
    try:
        return [str(line) for line in pd.read_parquet(path)["record"]]
    except (ValueError, KeyError) as error:
        msg = f"{path}: damaged ledger object ({error}); remove the file: its units will be done again"
        raise StoreError(msg) from error


def _parse(line: str, path: Path) -> Record:
    """Read one line of a segment.

    Raises
    ------
    StoreError
        If it is damaged or of another form.
    """
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        msg = f"{path}: damaged ledger segment ({error}); remove the file: its units will be done again"
        raise StoreError(msg) from error
    try:
        return Record(**values)
    except TypeError as error:
        msg = f"{path}: a ledger record of another form ({error}); use the gravdask that wrote it"
        raise StoreError(msg) from error


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there, so that it is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)

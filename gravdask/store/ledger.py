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
        for path in sorted(folder.glob("*/*.parquet")):
            for row in pd.read_parquet(path)["record"]:
                self._take(json.loads(row), path)
        for path in sorted(folder.glob("*/*.jsonl"), key=lambda p: p.name):
            for line in path.read_text(encoding="utf-8").splitlines():
                self._take(self._parse(line, path), path)

    @staticmethod
    def _parse(line: str, path: Path) -> dict[str, Any]:
        """Read one line of a segment."""
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            msg = f"{path}: damaged ledger segment ({error}); remove the file: its units will be done again"
            raise StoreError(msg) from error
        return dict(values)

    def _take(self, values: dict[str, Any], path: Path) -> None:
        """Keep a record, the later one of two about the same unit."""
        try:
            record = Record(**values)
        except TypeError as error:
            msg = f"{path}: a ledger record of another form ({error}); use the gravdask that wrote it"
            raise StoreError(msg) from error
        self._records[record.key] = record

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
        for stage in {r.stage for r in self._pending}:
            lines = [json.dumps(asdict(r), separators=(",", ":")) for r in self._pending if r.stage == stage]
            name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.jsonl"
            _replace(self._folder / stage / name, ("\n".join(lines) + "\n").encode())
        self._records.update({r.key: r for r in self._pending})
        self._pending.clear()
        self._flushed = time.monotonic()

    def compact(self) -> None:
        """Put many segments of a stage into one Parquet object; only for a client that holds the whole store."""
        self.flush()
        for folder in (p for p in self._folder.iterdir() if p.is_dir()) if self._folder.exists() else ():
            segments = sorted(folder.glob("*.jsonl"))
            if len(segments) < COMPACT_SEGMENTS:
                continue
            rows = [json.dumps(asdict(r), separators=(",", ":")) for r in self.of_stage(folder.name)]
            partial = folder / f"{uuid.uuid4().hex}.partial"
            pd.DataFrame({"record": rows}).to_parquet(partial, compression="zstd")
            os.replace(partial, folder / "compacted.parquet")
            for segment in segments:
                segment.unlink()


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there, so that it is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)

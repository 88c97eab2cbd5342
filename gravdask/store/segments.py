"""Records of finished units, the lines they are written in, and the segments that such lines come in.

A segment is one JSON-lines object, written whole or not at all, whose name ends in the digest of its content. Which of
two records of a unit is the later one is told by their order: a number that every line has from the stamp of its
segment, wherever it is moved to later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Protocol

from xxhash import xxh3_64_hexdigest

from gravdask.errors import StoreError
from gravdask.store.place import Place


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


FIELDS = tuple(f.name for f in fields(Record))
_DIGEST = re.compile(r"-(?P<digest>[0-9a-f]{16})\.(jsonl|parquet)$")


class Row(NamedTuple):
    """A line of the ledger.

    Attributes
    ----------
    unit
        Number of the unit.
    order
        The higher one of two counts.
    line
        The record as JSON.
    """

    unit: int
    order: int
    line: str


class Source(Protocol):
    """Whatever holds lines of one stage."""

    @property
    def channels(self) -> Iterable[str]:
        """Channels that it speaks of."""
        ...

    def rows(self, channel: str) -> list[Row]:
        """Lines about a channel, later ones of equal order last."""
        ...


def line_of(record: Record) -> str:
    """One record as a line of a segment."""
    return json.dumps({name: getattr(record, name) for name in FIELDS}, separators=(",", ":"))


def record_of(line: str, where: Place | str) -> Record:
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
        msg = f"{where}: a ledger record of another form ({error}); use the gravdask that wrote it"
        raise StoreError(msg) from error


def stamp_of(name: str) -> int:
    """Time that a segment's name begins with [ns]; that of a compacted object is its newest segment's."""
    head = name.split("-")[0]
    return int(head) if head.isdigit() else 0


def fault_of(name: str, content: bytes) -> str:
    """Tell by the digest in an object's name whether its content is not what was written, '' if it is or has none."""
    match = _DIGEST.search(name)
    whole = match is None or xxh3_64_hexdigest(content) == match["digest"]
    return "" if whole else f"its {len(content)} bytes are not those that were written"


class Segment:
    """Lines of one object, held in memory.

    Parameters
    ----------
    name
        Of the object, or whatever the lines come from.
    order
        Of its lines.
    """

    def __init__(self, name: str, order: int) -> None:
        self.name = name
        self.size = 0
        self._order = order
        self._rows: dict[str, list[Row]] = {}

    @property
    def channels(self) -> Iterable[str]:
        """Channels that it speaks of."""
        return self._rows.keys()

    def rows(self, channel: str) -> list[Row]:
        """Lines about a channel."""
        return self._rows.get(channel, [])

    def add(self, channel: str, unit: int, line: str) -> None:
        """Add a line."""
        self._rows.setdefault(channel, []).append(Row(unit, self._order, line))
        self.size += len(line)


def read_segment(place: Place, content: bytes) -> tuple[Segment, str]:
    """Read a segment as far as it can be read; tells why it cannot be read to its end."""
    segment = Segment(place.name, 2 * stamp_of(place.name) + 1)
    try:
        lines = content.decode("utf-8").splitlines()
    except ValueError as error:
        return segment, str(error)
    reason = _take(segment, lines, place) if lines else "it is empty"
    return segment, reason or fault_of(place.name, content)


def read_old_parquet(place: Place, content: bytes) -> tuple[Segment, str]:
    """Read an object with nothing but lines in it, of all its segments together: of no line the own order is known."""
    import pyarrow as pa
    from pyarrow import parquet

    segment = Segment(place.name, 2 * stamp_of(place.name))
    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        for batch in file.iter_batches(columns=["record"]):
            if reason := _take(segment, batch.column(0).to_pylist(), place):
                return segment, reason
    except (ValueError, KeyError, OSError) as error:
        return segment, _first_line(error)
    return segment, ""


def _take(segment: Segment, lines: list[str], place: Place) -> str:
    """Add lines to a segment; tells why one cannot be read."""
    try:
        for line in lines:
            record = record_of(line, place)
            segment.add(record.channel, record.unit, line)
    except (ValueError, KeyError) as error:
        return _first_line(error)
    return ""


def _first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return str(error).split("\n")[0] or type(error).__name__


def latest(sources: Iterable[Source], channel: str) -> dict[int, Row]:
    """Latest line of each unit of a channel, of equal ones that of the later source, in the order of the units."""
    found: dict[int, Row] = {}
    for source in sources:
        for row in source.rows(channel):
            known = found.get(row.unit)
            if known is None or row.order >= known.order:
                found[row.unit] = row
    return {unit: found[unit] for unit in sorted(found)}

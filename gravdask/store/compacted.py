"""Many lines of the ledger in few objects: Parquet, sorted by channel and unit, in parts of bounded size.

All parts of one compaction share the beginning of their names, and no channel is in two of them. A part's name ends in
the digest of its content, so that a single wrong bit is noticed whenever it is read; its row groups are cut so that
one channel can be read without the rest.
"""

from __future__ import annotations

import re
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from xxhash import xxh3_64_hexdigest

from gravdask.errors import StoreError
from gravdask.store.place import Place
from gravdask.store.segments import FIELDS, Row, Source, fault_of, latest

PART_BYTES = 8 * 2**20
"""A part is closed with the channel that makes it this large."""
GROUP_BYTES = 2**20
"""Bytes of lines in a row group, or more where one line is longer."""
OPEN_BYTES = 6 * PART_BYTES
"""Parts whose content is held in memory at once, together, beside those of a compaction."""
_NAME = re.compile(r"^(?P<run>\d{20}-[0-9a-f]{8})-\d{4,}-[0-9a-f]{16}\.parquet$")
_FIELDS = " ".join(FIELDS)


def run_of(name: str) -> str:
    """Beginning of the name that the parts of one compaction share, '' for other objects."""
    match = _NAME.match(name)
    return match["run"] if match else ""


class DamagedError(StoreError):
    """A part is not what it was when the ledger was opened."""


class Part:
    """One part, of which only the channels are held in memory.

    Parameters
    ----------
    place
        Of the object.
    rows
        Number of rows of each channel, in the order of the rows.
    edges
        First row of each row group, and the number of all rows.
    size
        Bytes.
    """

    def __init__(self, place: Place, rows: Iterable[tuple[str, int]], edges: Sequence[int], size: int) -> None:
        self.place, self.size = place, size
        self._edges = np.array(edges, np.int64)
        self._spans: dict[str, tuple[int, int]] = {}
        first = 0
        for channel, count in rows:
            self._spans[channel] = (first, first + count)
            first += count

    @property
    def name(self) -> str:
        """Of the object."""
        return self.place.name

    @property
    def channels(self) -> Iterable[str]:
        """Channels that it speaks of."""
        return self._spans.keys()

    def rows(self, channel: str, files: Files) -> list[Row]:
        """Lines about a channel; none if it does not speak of it."""
        if channel not in self._spans:
            return []
        first, last = self._spans[channel]
        begin = int(np.searchsorted(self._edges, first, "right")) - 1
        end = int(np.searchsorted(self._edges, last, "left"))
        table = files.of(self).read_row_groups(
            list(range(begin, end)), columns=["unit", "order", "record"], use_threads=False
        )
        table = table.slice(first - int(self._edges[begin]), last - first)
        columns = (table[name].to_pylist() for name in ("unit", "order", "record"))
        return [Row(*values) for values in zip(*columns, strict=True)]


class Files:
    """Contents of the parts that were looked into last, one at least.

    Parameters
    ----------
    most
        Bytes of those beyond the one.
    """

    def __init__(self, most: int = OPEN_BYTES) -> None:
        self._most = most
        self._open: OrderedDict[Place, Any] = OrderedDict()
        self._sizes: dict[Place, int] = {}

    def of(self, part: Part) -> Any:  # noqa: ANN401 - pyarrow is untyped
        """Parquet file of a part.

        Raises
        ------
        FileNotFoundError
            If it is gone: another client has compacted it.
        DamagedError
            If it is damaged.
        """
        if part.place not in self._open:
            content = part.place.read()
            if reason := fault_of(part.name, content):
                msg = f"{part.place}: damaged ledger object ({reason}); run again, and it is set aside"
                raise DamagedError(msg)
            self._open[part.place] = _file(content)
            self._sizes[part.place] = len(content)
            while len(self._open) > 1 and sum(self._sizes.values()) > self._most:
                del self._sizes[self._open.popitem(last=False)[0]]
        self._open.move_to_end(part.place)
        return self._open[part.place]


def _file(content: bytes) -> Any:  # noqa: ANN401
    """Open a Parquet file in memory."""
    import pyarrow as pa
    from pyarrow import parquet

    return parquet.ParquetFile(pa.BufferReader(content))


def read_part(place: Place, content: bytes) -> Part:
    """Make a part of its content, which is known to be whole.

    Raises
    ------
    StoreError
        If its records are of another form.
    """
    file = _file(content)
    about = (file.schema_arrow.metadata or {}).get(b"gravdask", b"").decode()
    if about != _FIELDS:
        msg = f"{place}: ledger records of another form ({about}); use the gravdask that wrote it"
        raise StoreError(msg)
    counts = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    names = file.read(columns=["channel"], use_threads=False)["channel"].to_pylist()
    rows = [(channel, sum(1 for _ in group)) for channel, group in groupby(names)]
    return Part(place, rows, np.concatenate([[0], np.cumsum(counts)]).tolist(), len(content))


class _Writer:
    """Writes the parts of one compaction."""

    def __init__(self, folder: Place, stamp: int) -> None:
        self._folder = folder
        self._run = f"{stamp:020d}-{uuid.uuid4().hex[:8]}"
        self.parts: list[Part] = []
        self._begin()

    def _begin(self) -> None:
        """Begin a part."""
        self._sink: Any = None
        self._writer: Any = None
        self._rows: list[tuple[str, int]] = []
        self._edges = [0]
        self._waiting: list[tuple[str, Row]] = []
        self._bytes = 0

    def add(self, channel: str, rows: Iterable[Row]) -> None:
        """Add all lines of a channel; channels come in their order."""
        count = 0
        for row in rows:
            self._waiting.append((channel, row))
            self._bytes += len(row.line)
            count += 1
            if self._bytes >= GROUP_BYTES:
                self._write_group()
        if count:
            self._rows.append((channel, count))
        if self._sink is not None and self._sink.tell() + self._bytes // 2 >= PART_BYTES:
            self.close()

    def _write_group(self) -> None:
        """Write what waits as one row group."""
        import pyarrow as pa
        from pyarrow import parquet

        types = {"channel": pa.string(), "unit": pa.int64(), "order": pa.int64(), "record": pa.string()}
        schema = pa.schema(types.items(), metadata={"gravdask": _FIELDS})
        if self._writer is None:
            self._sink = pa.BufferOutputStream()
            plain = {"channel": True, "unit": False, "order": True, "record": False}
            dictionary = [name for name, repeats in plain.items() if repeats]
            self._writer = parquet.ParquetWriter(self._sink, schema, compression="zstd", use_dictionary=dictionary)
        columns = [[c for c, _ in self._waiting], *zip(*(row for _, row in self._waiting), strict=True)]
        arrays = [pa.array(values, kind) for values, kind in zip(columns, types.values(), strict=True)]
        self._writer.write_table(pa.table(arrays, schema=schema), row_group_size=len(self._waiting))
        self._edges.append(self._edges[-1] + len(self._waiting))
        self._waiting, self._bytes = [], 0

    def close(self) -> None:
        """Write the part that was begun, whole or not at all."""
        if self._waiting:
            self._write_group()
        if self._writer is None:
            return
        self._writer.close()
        content = self._sink.getvalue().to_pybytes()
        name = f"{self._run}-{len(self.parts):04d}-{xxh3_64_hexdigest(content)}.parquet"
        (self._folder / name).write(content)
        self.parts.append(Part(self._folder / name, self._rows, self._edges, len(content)))
        self._begin()


class _Opened:
    """A part as a source of a compaction: its content is held until the next part of its run is looked into."""

    def __init__(self, part: Part, files: Files) -> None:
        self._part, self._files = part, files

    @property
    def channels(self) -> Iterable[str]:
        """Channels that it speaks of."""
        return self._part.channels

    def rows(self, channel: str) -> list[Row]:
        """Lines about a channel."""
        return self._part.rows(channel, self._files)


def opened(parts: Iterable[Part], files: Files | None = None) -> list[Source]:
    """Parts as sources of lines, of each run of which one part at a time is held in memory."""
    held: dict[str, Files] = {}
    return [_Opened(part, files or held.setdefault(run_of(part.name), Files(0))) for part in parts]


def write_run(folder: Place, stamp: int, sources: Sequence[Source]) -> list[Part]:
    """Write the latest line of every unit into new parts, with one channel in memory at a time.

    Parameters
    ----------
    folder
        Where to.
    stamp
        Of the newest of the lines [ns].
    sources
        What to write, of equal order the later one.

    Raises
    ------
    FileNotFoundError
        If a part is gone: another client compacts just now.
    DamagedError
        If a part is damaged.
    """
    holding: dict[str, list[Source]] = {}
    for source in sources:
        for channel in source.channels:
            holding.setdefault(channel, []).append(source)
    writer = _Writer(folder, stamp)
    for channel in sorted(holding):
        writer.add(channel, latest(holding[channel], channel).values())
    writer.close()
    return writer.parts

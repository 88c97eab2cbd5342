"""Plain tables, CSV and the like, as the person who owns them says in the configuration that they are laid out."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.decimal_text import Decimals, RaggedTextError, Tokens, parse_column
from gravdask.archive.naming import given_station, kind_of, kind_of_code, name_channels, station_from_name
from gravdask.archive.number_rows import line_blocks
from gravdask.archive.reader import Source, read_head
from gravdask.archive.row_traces import Rows, row_traces
from gravdask.archive.table_format import TableFormat
from gravdask.archive.table_text import column_texts, open_table, read_names, split_rows, with_missing
from gravdask.archive.table_times import table_times
from gravdask.archive.text_rows import ColumnData, cut_notes, pack
from gravdask.archive.traces import ChannelId, Kind, Note, Trace, sanitise
from gravdask.errors import NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

_COMMA = re.compile(r"'[-+]?\d*,\d+(?:[eEdD][-+]?\d+)?'")
"""A word that is a number if its comma is the decimal one."""
ADVICE = "correct the line, or the layout under [[archive.tables]]"


@dataclass(frozen=True)
class _Table:
    """The rows of a file: their station, and all that a trace is made of."""

    stations: NDArray[np.int32]
    names: tuple[str, ...]
    times_ns: NDArray[np.int64]
    lines: NDArray[np.int64]
    columns: tuple[ColumnData, ...]
    notes: list[Note]


class TableReader:
    """Reader of the files that a layout under ``[[archive.tables]]`` fits by its pattern of names."""

    def read(self, source: Source) -> Iterator[Trace]:
        """Yield the traces of a table; see `gravdask.archive.Reader`."""
        layout = next((table for table in source.options.tables if table.fits(source.path)), None)
        if layout is None:
            msg = f"{source.path}: no layout under [[archive.tables]] fits its name"
            raise NotThisFormatError(msg)
        path = source.path
        head = read_head(path)
        if b"\0" in head and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DamagedFileError(path, None, f"is no text, but its name fits {layout.files!r}", ADVICE)
        try:
            with open_table(path) as file:
                table = _read_table(source, layout, file)
        except RaggedTextError as error:
            raise DamagedFileError(path, error.line, error.what, ADVICE) from error
        # Pattern, clock and station decide whose values these are and when; the values are the same.
        making = replace(layout, files="", clock_offset_s=None, station="")
        recipe = "table " + blake2b(repr(astuple(making)).encode(), digest_size=8).hexdigest()
        for trace in _yield_stations(source, layout, table):
            yield replace(trace, recipe=f"{recipe} {trace.recipe}".strip())


@dataclass
class _Columns:
    """Which columns of a table are what: its names, and the number of each column that the layout speaks of."""

    names: tuple[str, ...]
    time: list[int]
    channels: list[int]
    station: int | None


def _columns(source: Source, layout: TableFormat, names: tuple[str, ...], count: int) -> _Columns:
    """Find the columns that the layout speaks of."""

    def place(column: str) -> int:
        """Number of a column, counted from 0, that is named or numbered from 1."""
        if column in names:
            return names.index(column)
        number = int(column) - 1 if column.isdecimal() else -1
        if not 0 <= number < count:
            known = f"its columns are {', '.join(names)}" if names else f"it has {count} columns"
            known += " (header_rows counts comments and empty lines, too)" if names else ""
            what = f"has no column {column!r}: {known}"
            raise DamagedFileError(source.path, None, what, "correct the layout under [[archive.tables]]")
        return number

    station = place(layout.station_column) if layout.station_column else None
    return _Columns(names, [place(c) for c in layout.time], [place(c) for c, _, _ in layout.channels], station)


@dataclass
class _Parts:
    """What is kept of the blocks that were read: of each its times, lines, stations and numbers."""

    times: list[NDArray[np.int64]]
    lines: list[NDArray[np.int64]]
    stations: list[NDArray[np.int32]]
    numbers: list[list[Decimals]]


def _read_table(source: Source, layout: TableFormat, file: BinaryIO) -> _Table:
    """Read times, stations and values of the rows."""
    path = source.path
    names = read_names(file, layout.separator, layout.header_rows, layout.comment)
    columns: _Columns | None = None
    parts = _Parts([], [], [], [[] for _ in layout.channels])
    codes: dict[str, int] = {}
    line, cut, count, before, utc, odd = layout.header_rows + 1, None, None, "", None, False
    for block in line_blocks(file):
        tokens, cut = split_rows(block, line, layout.separator, layout.comment, count, before)
        line += block.count(b"\n")
        if not tokens.rows:
            continue
        count, before = tokens.columns, tokens.word(-1, -1)
        columns = columns or _columns(source, layout, names, count)
        more = slice(len(names), count)
        odd |= bool(names) and bool((tokens.starts[:, more] != tokens.stops[:, more]).any())
        parts.lines.append(tokens.lines)
        times, in_utc = _times(source, layout, columns, tokens)
        if utc not in {None, in_utc}:
            what = "only some of its times state their offset from UTC"
            raise DamagedFileError(path, int(tokens.lines[0]), what, ADVICE)
        utc = in_utc
        parts.times.append(times)
        for number, place in enumerate(columns.channels):
            with _named(names, place):
                view = with_missing(tokens, place, layout.missing, layout.decimal_comma)
                parts.numbers[number].append(parse_column(view, 0))
        parts.stations.append(_codes(source, columns, tokens, codes))
    if columns is None:
        raise DamagedFileError(path, None, "holds no rows", "remove it or fetch it again")
    offset = layout.clock_offset_s
    if offset is None:
        offset = 0.0 if utc else source.options.clock_offset_s
    if odd:
        _refuse_odd_names(path, layout, names, count or 0)
    return _Table(
        stations=np.concatenate(parts.stations),
        names=tuple(codes) or (_station(source, layout),),
        times_ns=np.concatenate(parts.times) - round(offset * SECOND_NS),
        lines=np.concatenate(parts.lines),
        columns=_values(source, layout, columns, parts.numbers),
        notes=cut_notes(cut),
    )


def _times(source: Source, layout: TableFormat, columns: _Columns, tokens: Tokens) -> tuple[NDArray[np.int64], bool]:
    """Times of rows [ns since 1970, clock of the file], and whether they are UTC by themselves."""
    with _named(columns.names, columns.time[0]):
        times, bad, utc = table_times(tokens, columns.time, layout.time_format)
    if bad.any():
        row = int(bad.argmax())
        words = " ".join(tokens.word(row, n) for n in columns.time)
        expected = layout.time_format or "an ISO 8601 time such as 2021-06-07T16:00:16"
        what = f"{words!r} is no time, expected {expected}"
        raise DamagedFileError(source.path, int(tokens.lines[row]), what, ADVICE)
    return times, utc


def _values(
    source: Source, layout: TableFormat, columns: _Columns, numbers: list[list[Decimals]]
) -> tuple[ColumnData, ...]:
    """Columns of values from those of the blocks, which are let go."""
    made = []
    for (column, code, unit), place in zip(layout.channels, columns.channels, strict=True):
        kind = _kind(columns.names[place] if place < len(columns.names) else column, code, unit)
        stated = unit or (source.options.unit if kind == "gravity" else None)
        made.append(pack(Decimals.joined(numbers.pop(0)), (), kind, stated))
    return tuple(made)


@contextmanager
def _named(names: tuple[str, ...], place: int) -> Iterator[None]:
    """Let an error about the words of a column, which may be read as the only one of a view, name it as in the file."""
    try:
        yield
    except RaggedTextError as error:
        name = f" ({names[place]!r})" if place < len(names) else ""
        found = re.sub(r" in column \d+$", "", error.what.removesuffix(", expected a number"))
        comma = "; if numbers are written with a comma, state decimal_comma = true" if _COMMA.search(found) else ""
        raise RaggedTextError(error.line, f"{found} in column {place + 1}{name}, expected a number{comma}") from error


def _refuse_odd_names(path: Path, layout: TableFormat, names: tuple[str, ...], columns: int) -> None:
    """Refuse rows that have more columns than the names by which they are found: a number cut at its comma, say."""
    given = (*layout.time, *(column for column, _, _ in layout.channels), layout.station_column)
    if not set(given) & set(names):
        return
    what = f"its rows have {columns} columns, but the row of names has {len(names)} ({', '.join(names)})"
    cure = (
        "check separator and header_rows under [[archive.tables]]; numbers that are written with a comma need another "
        "separator and decimal_comma = true; columns without a name are left out if the others are stated by number"
    )
    raise DamagedFileError(path, layout.header_rows, what, cure)


def _kind(column: str, code: str, unit: str) -> Kind:
    """What a column measures: by its unit or name, else by its channel code."""
    kind = kind_of(unit or None, column)
    coded = kind_of_code(code.rpartition(".")[2])
    return coded if kind == "other" and coded in {"gravity", "pressure"} else kind


def _codes(source: Source, columns: _Columns, tokens: Tokens, codes: dict[str, int]) -> NDArray[np.int32]:
    """Number of the station of each row; codes that are new are added to those known."""
    if columns.station is None:
        return np.zeros(tokens.rows, dtype=np.int32)
    texts = column_texts(tokens, [columns.station])
    known = {text: sanitise(text) for text in dict.fromkeys(texts)}
    if "" in known.values():
        line = next(int(tokens.lines[n]) for n, text in enumerate(texts) if not known[text])
        raise DamagedFileError(source.path, line, "names no station", ADVICE)
    number = {text: codes.setdefault(code, len(codes)) for text, code in known.items()}
    return np.array([number[text] for text in texts], dtype=np.int32)


def _station(source: Source, layout: TableFormat) -> str:
    """Station of a table without a column of them."""
    path, options = source.path, source.options
    return layout.station or given_station(path, options.station, options.station_codes) or station_from_name(path)


def _yield_stations(source: Source, layout: TableFormat, table: _Table) -> Iterator[Trace]:
    """Yield the traces of every station, in the order in which they appear."""
    kinds = [column.kind for column in table.columns]
    notes = table.notes
    for number, station in enumerate(table.names):
        mine = table.stations == number

        def name(rate: Rate, station: str = station) -> list[ChannelId]:
            made = name_channels(source.options.network, [station] * len(kinds), kinds, rate)
            return _coded(made, [code for _, code, _ in layout.channels])

        rows = Rows(table.times_ns, table.lines, table.columns)
        if len(table.names) > 1:
            columns = tuple(replace(c, values=c.values[mine], missing=c.missing[mine]) for c in table.columns)
            if all(column.missing.all() for column in columns):
                continue
            rows = Rows(table.times_ns[mine], table.lines[mine], columns)
        yield from row_traces(source, rows, name, notes)
        notes = []


def _coded(made: list[ChannelId], codes: list[str]) -> list[ChannelId]:
    """Channels with the codes that the layout states, ``CHA`` or ``LOC.CHA``."""
    channels = []
    for channel, code in zip(made, codes, strict=True):
        location, _, stated = code.rpartition(".")
        channels.append(replace(channel, location=location, code=stated) if stated else channel)
    twice = [str(channel) for channel, count in Counter(channels).items() if count > 1]
    # Two columns of one name would overwrite each other: they are told apart by their location.
    seen: Counter[str] = Counter()
    for n, channel in enumerate(channels):
        if str(channel) in twice:
            channels[n] = replace(channel, location=f"{seen[str(channel)]:02d}")
            seen[str(channel)] += 1
    return channels

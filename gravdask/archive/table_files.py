"""Plain tables, CSV and the like, as the person who owns them says in the configuration that they are laid out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.decimal_text import RaggedTextError, parse_column
from gravdask.archive.naming import kind_of, kind_of_code, known_station, name_channels, station_from_name
from gravdask.archive.naming import station_from_regex as station_by_pattern
from gravdask.archive.reader import Source
from gravdask.archive.row_traces import Rows, row_traces
from gravdask.archive.table_format import TableFormat
from gravdask.archive.table_text import TableText, column_texts, decode, split_table, with_missing
from gravdask.archive.table_times import table_times
from gravdask.archive.text_rows import ColumnData, pack
from gravdask.archive.traces import ChannelId, Kind, Note, Trace, sanitise
from gravdask.errors import NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

ADVICE = "correct the line, or the layout under [[archive.tables]]"


@dataclass(frozen=True)
class _Table:
    """The rows of a file: their station, and all that a trace is made of."""

    stations: NDArray[np.int64]
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
        data = decode(path.read_bytes())
        if b"\0" in data[:8192]:
            raise DamagedFileError(path, None, f"is no text, but its name fits {layout.files!r}", ADVICE)
        try:
            text = split_table(data, layout.separator, layout.header_rows, layout.comment)
            if not text.tokens.rows:
                raise DamagedFileError(path, None, "holds no rows", "remove it or fetch it again")
            table = _read_table(source, layout, text)
        except RaggedTextError as error:
            raise DamagedFileError(path, error.line, error.what, ADVICE) from error
        # Pattern, clock and station decide whose values these are and when; the values are the same.
        making = replace(layout, files="", clock_offset_s=None, station="")
        recipe = "table " + blake2b(repr(astuple(making)).encode(), digest_size=8).hexdigest()
        for trace in _yield_stations(source, layout, table):
            yield replace(trace, recipe=f"{recipe} {trace.recipe}".strip())


def _place(source: Source, text: TableText, column: str) -> int:
    """Number of a column, counted from 0, that is named or numbered from 1."""
    if column in text.names:
        return text.names.index(column)
    number = int(column) - 1 if column.isdecimal() else -1
    if not 0 <= number < text.tokens.columns:
        known = f"its columns are {', '.join(text.names)}" if text.names else f"it has {text.tokens.columns} columns"
        what = f"has no column {column!r}: {known}"
        raise DamagedFileError(source.path, None, what, "correct the layout under [[archive.tables]]")
    return number


def _read_table(source: Source, layout: TableFormat, text: TableText) -> _Table:
    """Read times, stations and values of the rows."""
    tokens = text.tokens
    time_columns = [_place(source, text, column) for column in layout.time]
    times, bad, utc = table_times(tokens, time_columns, layout.time_format)
    if bad.any():
        row = int(bad.argmax())
        words = " ".join(tokens.word(row, n) for n in time_columns)
        expected = layout.time_format or "an ISO 8601 time such as 2021-06-07T16:00:16"
        what = f"{words!r} is no time, expected {expected}"
        raise DamagedFileError(source.path, int(tokens.lines[row]), what, ADVICE)
    offset = layout.clock_offset_s
    if offset is None:
        offset = 0.0 if utc else source.options.clock_offset_s
    columns = []
    for column, code, unit in layout.channels:
        place = _place(source, text, column)
        numbers = parse_column(with_missing(tokens, place, layout.missing, layout.decimal_comma), 0)
        kind = _kind(text.names[place] if place < len(text.names) else column, code, unit)
        stated = unit or (source.options.unit if kind == "gravity" else None)
        columns.append(pack(numbers, (), kind, stated))
    names, stations = _stations(source, layout, text)
    notes = []
    if text.cut_line is not None:
        notes.append(Note("the last line is cut off and was left out", text.cut_line, "fetch the file again"))
    shifted = times - round(offset * SECOND_NS)
    return _Table(stations, names, shifted, tokens.lines, tuple(columns), notes)


def _kind(column: str, code: str, unit: str) -> Kind:
    """What a column measures: by its unit or name, else by its channel code."""
    kind = kind_of(unit or None, column)
    coded = kind_of_code(code.rpartition(".")[2])
    return coded if kind == "other" and coded in {"gravity", "pressure"} else kind


def _stations(source: Source, layout: TableFormat, text: TableText) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Station codes, and which of them each row is of."""
    path, options = source.path, source.options
    if layout.station_column:
        texts = column_texts(text.tokens, [_place(source, text, layout.station_column)])
        codes = [sanitise(word) for word in texts]
        if "" in codes:
            line = int(text.tokens.lines[codes.index("")])
            raise DamagedFileError(path, line, "names no station", ADVICE)
        names = tuple(dict.fromkeys(codes))
        number = {code: n for n, code in enumerate(names)}
        return names, np.array([number[code] for code in codes], dtype=np.int64)
    found = layout.station or station_by_pattern(path, options.station) or known_station(path, options.station_codes)
    return (found or station_from_name(path),), np.zeros(text.tokens.rows, dtype=np.int64)


def _yield_stations(source: Source, layout: TableFormat, table: _Table) -> Iterator[Trace]:
    """Yield the traces of every station, in the order in which they appear."""
    kinds = [column.kind for column in table.columns]
    notes = table.notes
    for number, station in enumerate(table.names):
        mine = table.stations == number

        def name(rate: Rate, station: str = station) -> list[ChannelId]:
            made = name_channels(source.options.network, [station] * len(kinds), kinds, rate)
            return _coded(made, [code for _, code, _ in layout.channels])

        columns = tuple(replace(c, values=c.values[mine], missing=c.missing[mine]) for c in table.columns)
        if all(column.missing.all() for column in columns) and len(table.names) > 1:
            continue
        yield from row_traces(source, Rows(table.times_ns[mine], table.lines[mine], columns), name, notes)
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

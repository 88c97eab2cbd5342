"""TSoft text files, with their header or as bare rows of date, gravity and pressure.

A headed file starts with ``[TSF-file]``; its sections are tags in brackets, then ``[DATA]`` and one row a sample. Bare
rows are ``Y M D h m s gravity`` and perhaps ``pressure``, in mGal and hPa, as some loggers append them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.decimal_text import RaggedTextError, Tokens, parse_column, tokenise
from gravdask.archive.naming import given_station, kind_of, name_channels, station_from_name, station_from_regex
from gravdask.archive.number_rows import TimeForm, line_blocks, read_rows
from gravdask.archive.reader import Source, read_head
from gravdask.archive.row_traces import Rows, row_traces
from gravdask.archive.text_rows import DEFAULT_FILLS, calendar_ns, cut_notes, decimal_notes, pack, second_ns
from gravdask.archive.traces import ChannelId, Kind, Note, Trace, sanitise
from gravdask.errors import NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

TIME_COLUMNS = 6
_TAG = re.compile(rb"^[ \t]*\[([A-Za-z-]+)\][ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_DATA = re.compile(rb"^[ \t]*\[DATA\][^\n]*", re.MULTILINE | re.IGNORECASE)
_PREDICTED = re.compile(r"\b(?:theor|synthe|predict|model)", re.IGNORECASE)
"""Beginnings of the words by which TSoft users name columns that were computed."""
_HEAD = 8192
_BARE_ROW = re.compile(
    rb"\s*(?:19|20|21)\d\d(?:\s+\d{1,2}){4}\s+\d{1,2}(?:\.\d*)?(?:\s+[-+]?(?:\d[\d.]*|\.\d+)(?:[eE][-+]?\d+)?){1,2}\s*$"
)
_EXPECTED = (
    "expected [TSF-file] with [CHANNELS] and [DATA], or rows of year month day hour minute second gravity pressure"
)


@dataclass(frozen=True)
class _Layout:
    """What the rows of a file hold: station, kind and unit of every column, and how they are written.

    `predicted` names those columns of gravity that were computed, not measured.
    """

    stations: tuple[str, ...]
    predicted: tuple[str, ...]
    kinds: tuple[Kind, ...]
    units: tuple[str | None, ...]
    fills: tuple[float, ...]
    increment_s: float | None
    stated_rows: int | None
    first_line: int


class TsoftReader:
    """Reader of TSoft files (``.tsf``), headed or bare."""

    def read(self, source: Source) -> Iterator[Trace]:
        """Yield the traces of a TSoft file; see `gravdask.archive.Reader`."""
        headed = _recognise(source.path)
        with source.path.open("rb") as file:
            layout = _headed_layout(source, file) if headed else _bare_layout(source, file)
            rows, notes = _read_rows(source, layout, file)

        def name(rate: Rate) -> list[ChannelId]:
            return name_channels(source.options.network, layout.stations, layout.kinds, rate)

        yield from row_traces(source, rows, name, notes, stated_s=layout.increment_s)


def _recognise(path: Path) -> bool:
    """Whether a TSoft file has a header; raises if it is no TSoft file at all."""
    head = read_head(path).removeprefix(b"\xef\xbb\xbf")
    named = path.suffix.lower() == ".tsf"
    if b"\0" not in head:
        if head.lstrip()[:10].lower() == b"[tsf-file]":
            return True
        rows = [line for line in head.split(b"\n")[:-1] if line.strip()] or [head]
        if _BARE_ROW.match(rows[0]) and (named or _evenly_dated(rows[:4])):
            return False
    if named:
        first = head.lstrip()[:40].split(b"\n")[0].decode("latin-1").strip()
        what = f"named .tsf but is no TSoft file: begins with {first!r}; {_EXPECTED}" if head else "is empty"
        raise DamagedFileError(path, 1, what, "rename it, or fetch it again")
    msg = f"{path}: not a TSoft file"
    raise NotThisFormatError(msg)


def _evenly_dated(rows: list[bytes]) -> bool:
    """Whether rows look like samples, not like events: a few of them, all equally far apart in time."""
    if len(rows) < 3 or not all(_BARE_ROW.match(row) for row in rows):
        return False
    try:
        times, _ = _row_times(tokenise(b"\n".join(rows) + b"\n", 1)[0])
    except RaggedTextError:
        return False
    steps = np.diff(times)
    return bool(steps[0] > 0 and np.ptp(steps) * 100 <= steps[0])


def _bare_layout(source: Source, file: BinaryIO) -> _Layout:
    """Layout of rows without a header, before the first of which the file is left; their count tells the columns."""
    path, options = source.path, source.options
    head = file.read(_HEAD)
    body = head.removeprefix(b"\xef\xbb\xbf")
    file.seek(len(head) - len(body))
    first = next(line for line in body.split(b"\n", 50) if line.strip())
    measured = len(first.split()) - TIME_COLUMNS
    station = given_station(path, options.station, options.station_codes) or station_from_name(path)
    kinds: tuple[Kind, ...] = ("gravity", "pressure")
    units = (options.unit or "mGal", "hPa")
    return _Layout((station,) * measured, (), kinds[:measured], units[:measured], DEFAULT_FILLS, None, None, 1)


def _headed_layout(source: Source, file: BinaryIO) -> _Layout:
    """Layout of a headed file, from its tags; the file is left behind the last of them."""
    path = source.path
    data = _header(path, file)
    tags = list(_TAG.finditer(data))
    file.seek(tags[-1].end())
    sections: dict[str, list[str]] = {}
    for tag, following in zip(tags, [*tags[1:], None], strict=True):
        text = tag[2] + b"\n" + data[tag.end() : following.start() if following else tag.end()]
        sections[tag[1].decode("ascii").upper()] = [s for line in _decode(text).splitlines() if (s := line.strip())]
    names = sections.get("CHANNELS", [])
    units: list[str | None] = [*sections.get("UNITS", [])]
    if not names:
        raise DamagedFileError(path, 1, f"names no channels; {_EXPECTED}", "add the tag [CHANNELS]")
    if units and len(units) != len(names):
        what = f"names {len(names)} channels but {len(units)} units"
        raise DamagedFileError(path, 1, what, "give one unit per channel")
    time_format = (sections.get("TIMEFORMAT") or ["DATETIME"])[0].upper()
    if time_format not in {"DATETIME", "DATETIMEFLT"}:
        what = f"has the time format {time_format!r}, expected DATETIME or DATETIMEFLT"
        raise DamagedFileError(path, 1, what, "export it from TSoft with dates")
    units = units or [None] * len(names)
    parts = [[part.strip() for part in name.split(":")] for name in names]
    kinds = tuple(kind_of(unit, part[-1]) for unit, part in zip(units, parts, strict=True))
    stated = (
        source.options.unit if unit is None and kind == "gravity" else unit
        for unit, kind in zip(units, kinds, strict=True)
    )
    override = station_from_regex(path, source.options.station)
    stations = tuple(override or sanitise(part[0]) or station_from_name(path) for part in parts)
    fill = _number(path, sections, "UNDETVAL")
    count = _number(path, sections, "COUNTINFO")
    return _Layout(
        stations=stations,
        predicted=tuple(
            name for name, kind in zip(names, kinds, strict=True) if kind == "gravity" and _PREDICTED.search(name)
        ),
        kinds=kinds,
        units=tuple(stated),
        fills=DEFAULT_FILLS if fill is None else (fill,),
        increment_s=_number(path, sections, "INCREMENT"),
        stated_rows=None if count is None else int(count),
        first_line=data.count(b"\n", 0, tags[-1].end()) + 1,
    )


def _header(path: Path, file: BinaryIO) -> bytes:
    """A file up to the end of the line of its tag [DATA]."""
    data = b""
    for block in line_blocks(file):
        data += block
        match = _DATA.search(data)
        if match is not None:
            return data[: match.end()]
    raise DamagedFileError(path, data.count(b"\n") + 1, "ends before the tag [DATA]", "fetch the file again")


def _decode(text: bytes) -> str:
    """Text of a header, in UTF-8 or else in the old western code page."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _number(path: Path, sections: dict[str, list[str]], tag: str) -> float | None:
    """Number behind a tag, or None if it is absent."""
    text = sections.get(tag)
    if not text:
        return None
    try:
        return float(text[0])
    except ValueError as error:
        raise DamagedFileError(path, 1, f"[{tag}] {text[0]!r} is not a number", "correct the header") from error


def _row_times(tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Times of the rows [ns since 1970, clock of the file], and where they are no times."""
    columns = [parse_column(tokens, n) for n in range(TIME_COLUMNS)]
    whole = np.logical_and.reduce([column.power == 0 for column in columns[:-1]])
    year, month, day, hour, minute = (column.mantissa for column in columns[:-1])
    times, bad = calendar_ns((year, month, day), hour, minute, second_ns(columns[-1]))
    return times, bad | ~whole


TIME_FORM = TimeForm(TIME_COLUMNS, _row_times, "year month day hour minute second")


def _read_rows(source: Source, layout: _Layout, file: BinaryIO) -> tuple[Rows, list[Note]]:
    """Read the rows; gives them and the remarks on a cut last line and on a row count that differs from the stated."""
    path = source.path
    try:
        read = read_rows(line_blocks(file), layout.first_line, TIME_FORM, TIME_COLUMNS + len(layout.kinds))
    except RaggedTextError as error:
        raise DamagedFileError(path, error.line, error.what, "repair or remove the line") from error
    count = read.times_ns.size
    if not count:
        raise DamagedFileError(path, layout.first_line, "holds no rows", "remove it or fetch it again")
    notes = cut_notes(read.cut_line)
    if layout.stated_rows is not None and layout.stated_rows != count:
        what = f"holds {count} rows, [COUNTINFO] states {layout.stated_rows}"
        notes.append(Note(what, cure="fetch the file again if it should be complete"))
    if layout.predicted:
        what = f"by their names these columns are predictions, no records: {', '.join(layout.predicted)}"
        notes.append(Note(what, cure="state kind = 'other' for them in [[archive.channels]], or leave the file out"))
    fills = {*layout.fills, *DEFAULT_FILLS}
    notes += decimal_notes(read.lines, read.columns, fills)
    columns = tuple(
        pack(column, fills, kind, unit)
        for column, kind, unit in zip(read.columns, layout.kinds, layout.units, strict=True)
    )
    return Rows(read.times_ns - round(source.options.clock_offset_s * SECOND_NS), read.lines, columns), notes

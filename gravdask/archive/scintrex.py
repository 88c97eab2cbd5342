"""Text files of Scintrex CG-5 gravimeters: one row a reading, with headers wherever the meter was set up anew.

A header is a block of comments, ``/`` or ``#`` or indented ``key: value``; its last line names the columns, of which
the first two are either line and station or latitude and longitude. The readings themselves may be marked with ``#``
too. Gravity is in mGal with the meter's own corrections applied: where the header says ``Tide Correction: YES`` the
column TIDE has been added already. ``GMT DIFF.`` are the hours to add to reach UTC.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.decimal_text import RaggedTextError, Tokens, parse_column, tokenise, without_cut_row
from gravdask.archive.irregular import grid_interval_ns
from gravdask.archive.naming import band_code, given_station
from gravdask.archive.reader import Source, read_head
from gravdask.archive.row_traces import Rows, row_traces
from gravdask.archive.scintrex_header import COLUMNS, MOST_GMT_HOURS, Header, read_header_line
from gravdask.archive.text_rows import DEFAULT_FILLS, ColumnData, calendar_ns, cut_notes, pack, second_ns
from gravdask.archive.traces import ChannelId, Kind, Note, Trace, sanitise
from gravdask.errors import GridError, NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

MEASURED: tuple[tuple[str, str, Kind, str], ...] = (
    ("GRAV", "GZ", "gravity", "mGal"),
    ("TIDE", "YT", "other", "mGal of tide"),
    ("TEMP", "KI", "other", "mK"),
    ("TILTX", "AX", "other", "arcsec"),
    ("TILTY", "AY", "other", "arcsec"),
    ("SD", "YS", "other", "mGal of scatter"),
)
"""Columns that become channels: name, instrument letters of the channel code, kind and unit.

What is in mGal but is no gravity says so in its unit: nothing may take it for a record of gravity.
"""
_ROW = re.compile(
    rb"^[#\s]*(?:[-+]?[\d.]+[NSEWnsew]?[ \t]+){11}\d\d?:\d\d:\d\d(?:\.\d+)?[ \t]+[\d.]+[ \t]+\S+"
    rb"[ \t]+\d{4}/[ \d]\d/[ \d]\d\s*$",
    re.MULTILINE,
)
_TITLE = re.compile(rb"(?:LINE|LAT)\S*-(?:STATION|LONG)\S*-+ALT\.?-+GRAV", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f]")
_REMARK = re.compile(rb"\s*(?:Line|Station|Note)\b|\s*$", re.IGNORECASE)
_DATA_START = re.compile(rb"[-+\d.]")
_SEPARATORS = bytes.maketrans(b":/", b"  ")
_SLASH_BLANK = re.compile(rb"(?<=[:/]) (?=\d)")
_TIME_WORDS = 6
_DEGREES = 0.01
"""Readings that are nearer to the middle of all (1 km) were taken at one place: the meter's own fixes scatter."""
_Point = tuple[str, tuple[float, ...]]
"""Station code, and the numbers of line and station or the coordinates; none where they are not known."""


@dataclass
class _Section:
    """Readings below one header, with what is above them."""

    header: Header
    first_line: int
    rows: list[bytes]
    lines: list[int]


@dataclass(frozen=True)
class _Readings:
    """The readings of one section: times and measured columns."""

    header: Header
    times_ns: NDArray[np.int64]
    lines: NDArray[np.int64]
    columns: tuple[ColumnData, ...]
    places: NDArray[np.float64]


class ScintrexReader:
    """Reader of CG-5 text files."""

    def read(self, source: Source) -> Iterator[Trace]:
        """Yield the traces of a CG-5 file; see `gravdask.archive.Reader`."""
        head = read_head(source.path)
        text = b"\0" not in head  # the patterns take their time on binary files
        if not (b"CG-5 SURVEY" in head or (text and (_TITLE.search(head) or _ROW.search(head)))):
            msg = f"{source.path}: not a CG-5 file"
            raise NotThisFormatError(msg)
        notes: list[Note] = []
        sections = _sections(source, notes)
        readings = [_parse(source, section, notes) for section in sections]
        yield from _yield_places(source, [r for r in readings if r is not None], notes)


def _sections(source: Source, notes: list[Note]) -> list[_Section]:
    """Tell headers from readings, line by line."""
    header, changed = Header(), True
    sections: list[_Section] = []
    odd: list[int] = []
    data = source.path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if control := _CONTROL.search(data):
        what = f"found a control character of code {control[0][0]}, expected plain text"
        place = data.count(b"\n", 0, control.start()) + 1
        raise DamagedFileError(source.path, place, what, "fetch the file again")
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        text = line.lstrip(b"# \t")
        if line.lstrip()[:1] != b"/" and _DATA_START.match(text) and len(text.split()) > 1:
            if changed:
                sections.append(_Section(header, number, [], []))
                changed = False
            sections[-1].rows.append(text)
            sections[-1].lines.append(number)
            continue
        known = read_header_line(header, text.decode("latin-1"))
        if known is None:
            odd += [] if _REMARK.match(text) else [number]
        elif known != header:
            _check_zone(source, known, number)
            header, changed = known, True
    if odd:
        notes.append(Note(f"{len(odd)} lines are neither readings nor part of a header and were left out", odd[0]))
    if not sections:
        raise DamagedFileError(source.path, None, "a CG-5 file without readings", "remove it or fetch it again")
    return sections


def _check_zone(source: Source, header: Header, line: int) -> None:
    """Refuse a difference to UTC that no place on Earth has, at the line that states it."""
    hours = header.gmt_hours or 0.0
    if abs(hours) > MOST_GMT_HOURS:
        what = f"found GMT DIFF. {hours:g} h, expected between {-MOST_GMT_HOURS:g} and {MOST_GMT_HOURS:g} h"
        raise DamagedFileError(source.path, line, what, "correct the header")


def _parse(source: Source, section: _Section, notes: list[Note]) -> _Readings | None:
    """Read the numbers of a section; None if nothing is left but a cut line."""
    columns = section.header.columns or COLUMNS
    place = {name: n for n, name in enumerate(columns)}
    place = {name: n + 2 * (n > place["TIME"]) for name, n in place.items()}  # a time is three words
    # A blank after a separator stands for a zero: 2023/ 4/ 6.
    body = b"".join(_SLASH_BLANK.sub(b"0", row).translate(_SEPARATORS) for row in section.rows)
    try:
        tokens, cut = without_cut_row(*tokenise(body, 1, len(columns) + 4), body)
        notes += cut_notes(None if cut is None else section.lines[-1])
        if not tokens.rows:
            return None
        words = [parse_column(tokens, n) for n in (*_triple(place["DATE"]), *_triple(place["TIME"]))]
        measured = [(item, parse_column(tokens, place[item[0]])) for item in MEASURED if item[0] in place]
        places = _places(section.header, place, tokens)
    except RaggedTextError as error:
        what = error.what
        if what.startswith("found") and "columns" in what:
            what = f"{section.rows[error.line - 1].strip().decode('latin-1')!r} has not the {len(columns)} columns"
        raise DamagedFileError(source.path, section.lines[error.line - 1], what, "repair or remove the line") from error
    times, bad = calendar_ns(
        (words[0].mantissa, words[1].mantissa, words[2].mantissa),
        words[3].mantissa,
        words[4].mantissa,
        second_ns(words[5]),
    )
    if bad.any():
        row = int(bad.argmax())
        what = "its DATE and TIME are no date and time, expected hh:mm:ss and yyyy/mm/dd"
        raise DamagedFileError(source.path, section.lines[row], what, "repair or remove the line")
    data = tuple(pack(column, DEFAULT_FILLS, kind, unit) for (_, _, kind, unit), column in measured)
    offset = _clock_offset_s(source, section, notes)
    lines = np.array(section.lines[: tokens.rows], dtype=np.int64)
    return _Readings(section.header, times - round(offset * SECOND_NS), lines, data, places)


def _triple(first: int) -> tuple[int, int, int]:
    """Three columns that follow each other."""
    return first, first + 1, first + 2


def _places(header: Header, place: dict[str, int], tokens: Tokens) -> NDArray[np.float64]:
    """Latitude or line, longitude or station, and elevation of every reading, shape (rows, 3)."""
    text = tokens.text.copy()
    for letter in b"NSEWnsew":  # line numbers of old firmware carry their direction
        text[text == letter] = 48
    plain = replace(tokens, text=text)
    names = ("LAT", "LONG", "ALT") if "LAT" in place else ("LINE", "STATION", "ALT")
    if not header.columns or any(name not in place for name in names):
        return np.full((tokens.rows, 3), np.nan)
    return np.stack([parse_column(plain, place[name]).floats() for name in names], axis=1)


def _clock_offset_s(source: Source, section: _Section, notes: list[Note]) -> float:
    """Clock of the file minus UTC [s]: what the header states, else what the options say."""
    stated, told = section.header.gmt_hours, source.options.clock_offset_s
    if stated is None:
        return told
    offset = -3600.0 * stated
    if told and told != offset:
        what = f"the header states GMT DIFF. {stated:g} h, the archive a clock of UTC{told / 3600:+g} h"
        notes.append(Note(what, section.first_line, "the header was believed"))
    return offset


def _station(source: Source, header: Header) -> str:
    """Station: by the options, by a known code in the file name, else by the meter's serial number."""
    found = given_station(source.path, source.options.station, source.options.station_codes)
    return found or f"CG5_{sanitise(header.serial) or 'unknown'}"


@dataclass
class _Group:
    """Readings at one place with one setting of the tide: parts of sections."""

    point: _Point
    tide: bool
    parts: list[tuple[_Readings, NDArray[np.bool_]]]

    @property
    def count(self) -> int:
        """Number of readings."""
        return sum(int(mask.sum()) for _, mask in self.parts)


def _groups(source: Source, readings: list[_Readings]) -> list[_Group]:
    """Sort readings by place, in the order in which places were first occupied."""
    groups: dict[tuple[_Point, bool], _Group] = {}
    spots = [part.places[:, :2] for part in readings if part.header.geographic]
    middle = np.median(np.concatenate(spots), axis=0) if spots else np.zeros(2)
    for part in readings:
        if part.header.geographic:
            marks = np.round((part.places[:, :2] - middle) / (2 * _DEGREES)) * 2 * _DEGREES + np.round(middle, 2)
        else:
            marks = part.places[:, :2]
        unique, first, member = np.unique(marks, axis=0, return_index=True, return_inverse=True)
        for n in first.argsort():
            numbers = () if np.isnan(unique[n]).any() else tuple(np.round(unique[n], 7).tolist())
            point = (_station(source, part.header), numbers)
            group = groups.setdefault((point, part.header.tide_applied), _Group(point, part.header.tide_applied, []))
            group.parts.append((part, member.ravel() == n))
    return list(groups.values())


def _names(groups: list[_Group]) -> dict[_Point, str]:
    """Station of every point: the plain code for where a meter was read most and where no place is stated."""
    totals: Counter[_Point] = Counter()
    for group in groups:
        totals[group.point] += group.count
    names: dict[_Point, str] = {}
    for code in {point[0] for point in totals}:
        mine = [point for point in totals if point[0] == code]
        main = max((p for p in mine if p[1]), key=lambda p: totals[p], default=mine[0])
        for point in mine:
            plain = point == main or not point[1]
            words = "_".join(f"{value:g}" for value in point[1]).replace(".", "p").replace("-", "m")
            names[point] = code if plain else f"{code}_{words}"
    return names


def _yield_places(source: Source, readings: list[_Readings], notes: list[Note]) -> Iterator[Trace]:
    """Yield the traces of every place, in the order in which places were first occupied."""
    groups = _groups(source, readings)
    names = _names(groups)
    if len(set(names.values())) > len({station for station, _ in names}):
        notes.append(Note(f"readings at {len(names)} places: each is a station of its own"))
    once = [group for group in groups if group.count < 2]
    if len(once) == len(groups):
        raise DamagedFileError(source.path, None, "no place was read more than once", "this is a survey, not a record")
    if once:
        notes.append(Note(f"{len(once)} places were read only once and were left out"))
    every = np.concatenate([part.times_ns for part in readings])
    for group in groups:
        if group.count >= 2:
            yield from _place(source, group, names[group.point], every, notes)
            notes = []


def _place(
    source: Source,
    group: _Group,
    station: str,
    every_ns: NDArray[np.int64],
    notes: list[Note],
) -> Iterator[Trace]:
    """Yield the traces of the readings at one place."""
    parts = group.parts
    header = parts[0][0].header
    names = [item for item in MEASURED if item[0] in (header.columns or COLUMNS)]
    rows = Rows(
        times_ns=np.concatenate([part.times_ns[mask] for part, mask in parts]),
        lines=np.concatenate([part.lines[mask] for part, mask in parts]),
        columns=tuple(_joined([_taken(part.columns[n], mask) for part, mask in parts]) for n in range(len(names))),
    )

    def name(rate: Rate) -> list[ChannelId]:
        return [ChannelId(source.options.network, station, "", band_code(rate) + code) for _, code, _, _ in names]

    spots = np.concatenate([part.places[mask] for part, mask in parts])
    latitude, longitude, elevation = header.latitude, header.longitude, None
    if header.geographic:
        latitude, longitude = (float(np.median(spots[:, n])) for n in range(2))
    if np.isfinite(spots[:, 2]).all():
        elevation = float(np.median(spots[:, 2]))
    try:
        interval_s = grid_interval_ns(every_ns) / SECOND_NS
    except GridError as error:
        raise DamagedFileError(source.path, None, str(error), "this is no continuous record") from error
    wanted = source.options.irregular_interval_s or interval_s
    whole = replace(source, options=replace(source.options, irregular_interval_s=wanted))
    for trace in row_traces(whole, rows, name, notes, logger=True):
        applied = group.tide and trace.kind == "gravity"
        yield replace(trace, latitude=latitude, longitude=longitude, elevation=elevation, tide_applied=applied)


def _taken(column: ColumnData, mask: NDArray[np.bool_]) -> ColumnData:
    """Rows of a column."""
    return replace(column, values=column.values[mask], missing=column.missing[mask])


def _joined(columns: list[ColumnData]) -> ColumnData:
    """Join the parts of a column, at the most decimals of any."""
    places = max(column.decimals for column in columns)
    if all(column.values.dtype.kind == "i" for column in columns):
        values = np.concatenate([c.values.astype(np.int64) * 10 ** (places - c.decimals) for c in columns])
        fits = np.abs(values).max(initial=0) <= np.iinfo(np.int32).max
        values, decimals = values.astype(np.int32) if fits else values, places
    else:
        values, decimals = np.concatenate([c.values / 10.0**c.decimals for c in columns]), 0
    missing = np.concatenate([column.missing for column in columns])
    return ColumnData(values, missing, decimals, columns[0].kind, columns[0].unit)

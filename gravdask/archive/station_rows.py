"""Rows of the Chinese gravity archives: a whole day of one item of one station in each.

A row is ``STATIONID ITEMID STARTDATE`` and then 86,400 (a second each), 1,440 (a minute) or 24 (an hour) values,
separated by blanks, with ``NULL`` where there is none. Item 2121 is gravity, 2128 air pressure; other items become
channels named by their number. Days begin at midnight of the files' clock, which is often UTC+8.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.decimal_text import RaggedTextError, parse_column, tokenise
from gravdask.archive.naming import name_channels
from gravdask.archive.reader import Source, read_head
from gravdask.archive.text_rows import ColumnData, calendar_ns, pack, with_notes
from gravdask.archive.traces import ChannelId, Kind, Note, Trace
from gravdask.errors import NotThisFormatError
from gravdask.grid import DAY_SECONDS, SECOND_NS, Rate

ITEMS: dict[str, tuple[Kind, str | None]] = {"2121": ("gravity", None), "2128": ("pressure", "hPa")}
"""Kind and unit of the items that are known; gravity has the unit that the archive's options state."""
DAY_LENGTHS = (86_400, 1_440, 24)
"""Numbers of values that make a day; another number is damage, not another rate."""
_START = re.compile(rb"\s*(\S+)[ \t]+(\d{3,5})[ \t]+(\d{8}|\d{4}[-/]\d\d[-/]\d\d)(?:[ \t]+|\s*$)")
_VALUES = re.compile(rb"(?:(?:NULL|[-+]?\d[\d.]*(?:[eE][-+]?\d+)?)[ \t]+){20}", re.IGNORECASE)
_NULL = re.compile(rb"\bNULL\b", re.IGNORECASE)
_TITLES = re.compile(rb"\s*STATION_?ID\b", re.IGNORECASE)
_LONGEST_LINE = 1 << 23


class StationRowsReader:
    """Reader of files with a day of one item in each row."""

    def read(self, source: Source) -> Iterator[Trace]:
        """Yield the traces of such a file; see `gravdask.archive.Reader`."""
        head = read_head(source.path).removeprefix(b"\xef\xbb\xbf")
        if _TITLES.match(head):
            head = head.partition(b"\n")[2]
        start = _START.match(head)
        if start is None or not _VALUES.match(head, start.end()):
            msg = f"{source.path}: not rows of days"
            raise NotThisFormatError(msg)
        notes: list[Note] = []
        traces = list(_days(source, notes))
        yield from with_notes(traces, notes, DamagedFileError(source.path, None, "every value is missing", "remove it"))


def _days(source: Source, notes: list[Note]) -> Iterator[Trace]:
    """Yield the traces of every row."""
    path = source.path
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(_LONGEST_LINE)
            if not line:
                return
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not line.strip() or (number == 1 and _TITLES.match(line)):
                continue
            start = _START.match(line)
            if start is None:
                what = f"begins with {line[:40].decode('latin-1').strip()!r}, expected STATIONID ITEMID STARTDATE"
                raise DamagedFileError(path, number, what, "repair or remove the line")
            if not line.endswith(b"\n") and len(line[start.end() :].split()) not in DAY_LENGTHS:
                notes.append(Note("the last line is cut off and was left out", number, "fetch the file again"))
                return
            yield from _day(source, line, start, number)


def _day(source: Source, line: bytes, start: re.Match[bytes], number: int) -> Iterator[Trace]:
    """Yield the traces of one row: one for every stretch without NULL."""
    path, options = source.path, source.options
    station, item, date = (group.decode("latin-1") for group in start.groups())
    day_ns = _date_ns(path, number, date) - round(options.clock_offset_s * SECOND_NS)
    kind, unit = ITEMS.get(item, ("other", None))
    column = _values(path, number, line[start.end() :], kind, options.unit if kind == "gravity" else unit)
    rate = Rate(column.values.size, DAY_SECONDS)
    channel = name_channels(options.network, [station], [kind], rate)[0]
    if item not in ITEMS:
        channel = ChannelId(options.network, station, "", item)
    edges = np.flatnonzero(np.diff(column.missing.astype(np.int8), prepend=1, append=1))
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield Trace(
            channel=channel,
            rate=rate,
            start_ns=day_ns + first * DAY_SECONDS * SECOND_NS // column.values.size,
            npts=stop - first,
            values=None if source.head_only else column.values[first:stop],
            dtype=column.values.dtype.name,
            decimals=column.decimals,
            unit=column.unit,
            kind=kind,
            stated_rate_hz=rate.hz,
        )


def _date_ns(path: Path, number: int, date: str) -> int:
    """Midnight of a date [ns since 1970, clock of the file]."""
    digits = re.sub(r"\D", "", date)
    year, month, day = (np.array([int(part)]) for part in (digits[:4], digits[4:6], digits[6:]))
    zero = np.zeros(1, dtype=np.int64)
    times, bad = calendar_ns((year, month, day), zero, zero, zero)
    if bad.any():
        raise DamagedFileError(path, number, f"STARTDATE {date!r} is no date", "repair or remove the line")
    return int(times[0])


def _values(path: Path, number: int, text: bytes, kind: Kind, unit: str | None) -> ColumnData:
    """Values of a row."""
    body = b"\n".join(_NULL.sub(b"nan", text).split()) + b"\n"
    try:
        tokens, _ = tokenise(body, 1, 1)
        count = tokens.rows
        if count not in DAY_LENGTHS:
            what = f"holds {count} values, expected {', '.join(f'{n:,}' for n in DAY_LENGTHS)} to make a day"
            raise DamagedFileError(path, number, what, "repair or remove the line")
        parsed = parse_column(tokens, 0)
    except RaggedTextError as error:
        what = error.what.replace("in column 1", f"as value {error.line}")
        raise DamagedFileError(path, number, what, "repair or remove the line") from error
    column = pack(parsed, (), kind, unit)
    if not text.endswith(b"\n") and tokens.last_is_cut():
        column.missing[-1] = True
    return column

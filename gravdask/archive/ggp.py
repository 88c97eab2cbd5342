"""GGP, IGETS and ETERNA (PRETERNA) files: blocks of ``yyyymmdd hhmmss gravity pressure``.

A free header ends with a line ``C*****``. Each block has a line with the instrument, a line ``77777777`` with an
offset per column, the rows, and a line ``99999999``; ``88888888`` ends the file. Either may be absent at the end; where
the offsets or the whole line ``77777777`` are, the offsets are zero. IGETS files of all levels are of this form:
seconds and minutes in volts (level 1), corrected minutes (level 2), and residuals with the effects that were taken out
beside them (level 3), as their line of titles says: ``yyyymmdd hhmmss gravity(V) pressure(hPa)``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravdask.archive import number_kernels
from gravdask.archive.damage import DamagedFileError
from gravdask.archive.decimal_text import Decimals, RaggedTextError, Tokens, parse_column, smallest, tokenise
from gravdask.archive.ggp_header import column_layout, header_notes, separate_times
from gravdask.archive.naming import known_station, name_channels, station_from_name, station_from_regex
from gravdask.archive.reader import Source, read_head
from gravdask.archive.row_traces import Rows, row_traces
from gravdask.archive.text_rows import DEFAULT_FILLS, ColumnData, calendar_ns
from gravdask.archive.traces import ChannelId, Kind, Note, Trace, sanitise
from gravdask.errors import NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

TIME_COLUMNS = 2
FILLS = (*DEFAULT_FILLS, 999.999999)
"""Values of missing samples: those of all text formats, and that of seconds written as F10.6."""
_HEADER_END = re.compile(rb"^C\*{3,}[^\n]*\n?", re.MULTILINE)
_BLOCK = re.compile(rb"^[ \t]*77777777[^\n]*\n?", re.MULTILINE)
_BLOCK_END = re.compile(rb"^[ \t]*(?:99999999|88888888)[^\n]*", re.MULTILINE)
_TITLES = re.compile(rb"^[ \t]*yyyymmdd[ \t]+hhmmss[^\n]*\n?", re.MULTILINE | re.IGNORECASE)
_ROW = re.compile(rb"^[ \t]*\d{8}[ \t]+\d+[ \t]+[-+.\d]", re.MULTILINE)
_IGETS_CODE = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{3}(?:-\d)?(?![A-Za-z0-9])")
_RUN_TOGETHER = re.compile(rb"(?<=\d)-(?=[\d.])")
"""Fortran's F10.3 leaves no blank before a number of ten characters."""
_PLACEHOLDERS = frozenset({"", "instr", "instrument", "sg", "gravimeter"})
_COORDINATES = tuple(
    re.compile(rb"^\s*" + name + rb"[^:\n]*:\s*([-+]?\d+\.?\d*)", re.MULTILINE | re.IGNORECASE)
    for name in (rb"(?:N\.?\s*)?Latitude", rb"(?:E\.?\s*)?Longitude", rb"(?:Height|Elevation)")
)
"""Lines of the header with latitude, longitude and elevation."""


@dataclass(frozen=True)
class _Block:
    """One block: its instrument line, its offsets and its rows."""

    instrument: str
    offset_line: int
    offsets: Tokens
    rows: Tokens


class GgpReader:
    """Reader of GGP, IGETS and ETERNA block files."""

    def read(self, source: Source) -> Iterator[Trace]:
        """Yield the traces of a file of blocks; see `gravdask.archive.Reader`."""
        path = source.path
        head = read_head(path, 16384)
        if b"\0" in head or not (_HEADER_END.search(head) or _BLOCK.search(head) or _TITLES.search(head)):
            if path.suffix.lower() == ".ggp":
                what = "named .ggp but has neither a line C***** that ends the header nor a block 77777777"
                raise DamagedFileError(path, 1, what, "rename it, or fetch it again")
            msg = f"{path}: not a GGP file"
            raise NotThisFormatError(msg)
        data = path.read_bytes()
        try:
            blocks, notes = _split_blocks(path, data)
            data = _beginning(data)  # the rows are copied
            yield from _read_blocks(source, data, blocks, notes)
        except RaggedTextError as error:
            raise DamagedFileError(path, error.line, error.what, "repair or remove the line") from error


def _split_blocks(path: Path, data: bytes) -> tuple[list[_Block], list[Note]]:
    """Find the blocks of a file and their words."""
    marks = list(_marks(data, b"77777777", _BLOCK)) or _row_start(data)
    notes: list[Note] = []
    blocks = []
    for mark, following in itertools.zip_longest(marks, marks[1:]):
        end = following.start() if following else len(data)
        closing = _closing(data, mark.end(), end)
        if closing:
            stop = closing.start()
            if lost := len(_ROW.findall(data, closing.end(), end)):
                line = data.count(b"\n", 0, closing.end()) + 2
                notes.append(
                    Note(f"{lost} rows stand behind the end of their block and were left out", line, "repair it")
                )
        elif following:  # no end mark: the last line before the next block is its instrument line
            stop = data.rfind(b"\n", 0, end - 1) + 1
        else:
            stop = len(data)
        line = data.count(b"\n", 0, mark.start()) + 1
        rows, cut_line = _block_rows(_separate(data[mark.end() : stop]), line + 1)
        if cut_line is not None:
            notes.append(Note("the last line is cut off and was left out", cut_line, "fetch the file again"))
        title = data[: mark.start()].rstrip().rsplit(b"\n", 1)[-1]
        if _ROW.match(title):  # rows where the instrument should be: lines were swapped or lost
            notes.append(Note("a row stands before 77777777 and was left out", line - 1, "put it behind that line"))
            title = b""
        before = title.decode("latin-1").strip()
        if rows.rows:
            offsets = mark[0].rstrip() + b"\n" if b"77777777" in mark[0] else b"77777777\n"
            blocks.append(_Block(before if _BLOCK.match(mark[0]) else "", line, tokenise(offsets, line)[0], rows))
    if not blocks:
        raise DamagedFileError(path, data.count(b"\n") + 1, "holds no rows after 77777777", "fetch the file again")
    return blocks, notes


def _beginning(data: bytes) -> bytes:
    """Header of a file up to its first block, and whatever else tells of the whole file."""
    first_block = next(_marks(data, b"77777777", _BLOCK), None) or _closing(data, 0, len(data))
    return data[: max(first_block.end() if first_block else 0, 16384)]


def _marks(
    data: bytes, word: bytes, pattern: re.Pattern[bytes], start: int = 0, stop: int | None = None
) -> Iterator[re.Match[bytes]]:
    """Lines that begin with a word of digits; a pattern alone would look at every line of the file."""
    place = data.find(word, start, stop)
    while place >= 0:
        begin = data.rfind(b"\n", 0, place) + 1
        match = pattern.match(data, max(begin, start))
        if match:
            yield match
        place = data.find(word, match.end() if match else place + 1, stop)


def _closing(data: bytes, start: int, stop: int) -> re.Match[bytes] | None:
    """First line 99999999 or 88888888 of a part of the file."""
    first = (next(_marks(data, word, _BLOCK_END, start, stop), None) for word in (b"99999999", b"88888888"))
    found = [mark for mark in first if mark is not None]
    return min(found, key=lambda mark: mark.start()) if found else None


def _row_start(data: bytes) -> list[re.Match[bytes]]:
    """The end of the header of a file without blocks, if rows follow at once."""
    ends = (*list(_HEADER_END.finditer(data))[-1:], *list(_TITLES.finditer(data))[-1:])
    return [mark for mark in ends if _ROW.match(data, mark.end())][:1]


def _block_rows(body: bytes, first_line: int) -> tuple[Tokens, int | None]:
    """Words of the rows of a block, and the line that is cut off at their end."""
    try:
        rows, cut_line = tokenise(body, first_line)
    except RaggedTextError:
        free = separate_times(body)
        if free is None:
            raise
        body = free
        rows, cut_line = tokenise(body, first_line)
    if cut_line is None and not body.endswith(b"\n") and rows.last_is_cut():
        cut_line, rows = int(rows.lines[-1]), rows.without_last()
    return rows, cut_line


def _separate(body: bytes) -> bytes:
    """Put a blank before each minus that follows a digit at once."""
    touching = number_kernels.runs_together(np.frombuffer(body, np.uint8))  # far cheaper than the pattern, rarely true
    return _RUN_TOGETHER.sub(b" -", body) if touching else body


def _block_times(path: Path, rows: Tokens) -> NDArray[np.int64]:
    """Times of the rows of a block [ns since 1970, clock of the file]."""
    date, clock = parse_column(rows, 0), parse_column(rows, 1)
    day, second = date.mantissa, clock.mantissa
    times, bad = calendar_ns(
        (day // 10000, day // 100 % 100, day % 100),
        second // 10000,
        second // 100 % 100,
        second % 100 * SECOND_NS,
    )
    bad |= (date.power != 0) | (clock.power != 0)
    if bad.any():
        row = int(bad.argmax())
        what = f"'{rows.word(row, 0)} {rows.word(row, 1)}' is no date and time, expected yyyymmdd hhmmss"
        raise DamagedFileError(path, int(rows.lines[row]), what, "repair or remove the line")
    return times


def _join_column(blocks: list[_Block], column: int, kind: Kind, unit: str | None) -> ColumnData:
    """Add each block's offset to its values and join the blocks, without loss where integers hold it."""
    values = [parse_column(block.rows, TIME_COLUMNS + column) for block in blocks]
    offsets = [parse_column(block.offsets, 1 + column) for block in blocks]
    missing = [value.missing | value.equals_any(FILLS) for value in values]
    always = np.ones(1, dtype=bool)
    places = max(
        *(value.places(~gone) for value, gone in zip(values, missing, strict=True)),
        *(offset.places(always) for offset in offsets),
    )
    joined: list[NDArray[np.int64]] = []
    for value, gone, offset in zip(values, missing, offsets, strict=True):
        scaled, shift = value.integers(places, ~gone), offset.integers(places, always)
        if scaled is None or shift is None:
            return _join_floats(values, offsets, np.concatenate(missing), kind, unit)
        joined.append(scaled + shift[0])
    return ColumnData(smallest(np.concatenate(joined)), np.concatenate(missing), places, kind, unit)


def _join_floats(
    values: list[Decimals], offsets: list[Decimals], missing: NDArray[np.bool_], kind: Kind, unit: str | None
) -> ColumnData:
    """Do what `_join_column` does in float64, for numbers with more digits than an integer holds."""
    sums = [value.floats() + offset.floats()[0] for value, offset in zip(values, offsets, strict=True)]
    return ColumnData(np.concatenate(sums), missing, 0, kind, unit)


def _station(source: Source, instrument: str) -> str:
    """Station: by the options, by the code of the network in the file name, by the instrument, by the file name."""
    found = station_from_regex(source.path, source.options.station)
    found = found or known_station(source.path, source.options.station_codes)
    if found:
        return found
    code = _IGETS_CODE.search(source.path.name.split(".", 1)[0])
    if code:
        return code[0]
    name = re.split(r"\s+[-+]?\d*\.\d*", instrument, maxsplit=1)[0]
    return station_from_name(source.path) if name.lower() in _PLACEHOLDERS else sanitise(name)


def _scale_notes(blocks: list[_Block]) -> list[Note]:
    """Remark on instrument lines that state a scale factor or differ in their instrument."""
    notes = []
    scaled = [
        b
        for b in blocks
        if (m := re.search(r"\s([-+]?\d*\.\d*)", b.instrument)) and m[1] not in {".", ""} and float(m[1]) != 1
    ]
    if scaled:
        what = f"the instrument line states a scale factor: {scaled[0].instrument!r}; it was not applied"
        notes.append(Note(what, scaled[0].offset_line - 1, "state the factor in the calibration table if it is due"))
    names = {b.instrument.split()[0] for b in blocks if b.instrument}
    if len(names) > 1:
        notes.append(
            Note(f"blocks of several instruments: {', '.join(sorted(names))}", cure="split the file if they differ")
        )
    return notes


def _read_blocks(source: Source, data: bytes, blocks: list[_Block], notes: list[Note]) -> Iterator[Trace]:
    """Join the blocks and yield their traces; every block starts a new one."""
    path, options = source.path, source.options
    columns = blocks[0].rows.columns - TIME_COLUMNS
    blocks = [replace(b, offsets=_no_offsets(b, columns)) if b.offsets.columns == 1 else b for b in blocks]
    for block in blocks:
        if block.rows.columns - TIME_COLUMNS != columns or columns < 1 or block.offsets.columns - 1 < columns:
            found = f"{block.rows.columns - TIME_COLUMNS} value columns and {block.offsets.columns - 1} offsets"
            what = f"the block has {found}, expected {max(columns, 1)} of each"
            raise DamagedFileError(path, block.offset_line, what, "repair the block")
    first_block = next(_marks(data, b"77777777", _BLOCK), None) or _closing(data, 0, len(data))
    header = data[: first_block.start()] if first_block else data[:16384]
    layout = column_layout(path, header, columns, options.unit)
    times = [_block_times(path, block.rows) for block in blocks]
    station = _station(source, blocks[0].instrument)

    def name(rate: Rate) -> list[ChannelId]:
        return layout.name(name_channels(options.network, [station] * columns, layout.kinds, rate))

    rows = Rows(
        times_ns=np.concatenate(times) - round(options.clock_offset_s * SECOND_NS),
        lines=np.concatenate([block.rows.lines for block in blocks]),
        columns=tuple(_join_column(blocks, n, kind, layout.units[n]) for n, kind in enumerate(layout.kinds)),
        starts=tuple(np.cumsum([0, *(len(t) for t in times[:-1])]).tolist()),
        tide_applied=layout.residual,
    )
    notes = [*notes, *_scale_notes(blocks), *header_notes(header)]
    latitude, longitude, elevation = (
        float(m[1]) if (m := pattern.search(data[:16384])) else None for pattern in _COORDINATES
    )
    for trace in row_traces(source, rows, name, notes):
        yield replace(trace, latitude=latitude, longitude=longitude, elevation=elevation)


def _no_offsets(block: _Block, columns: int) -> Tokens:
    """Offsets of zero for a block that states none."""
    return tokenise(b"77777777" + b" 0" * columns + b"\n", block.offset_line)[0]

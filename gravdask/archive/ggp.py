"""GGP, IGETS and ETERNA (PRETERNA) files: blocks of ``yyyymmdd hhmmss gravity pressure``.

A free header ends with a line ``C*****``. Each block has a line with the instrument, a line ``77777777`` with an
offset per column, the rows, and a line ``99999999``; ``88888888`` ends the file. Either may be absent at the end.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.decimal_text import Decimals, RaggedTextError, Tokens, parse_column, smallest, tokenise
from gravdask.archive.naming import known_station, name_channels, station_from_name, station_from_regex
from gravdask.archive.reader import Source, read_head
from gravdask.archive.text_rows import (
    DEFAULT_FILLS,
    ColumnData,
    build_traces,
    calendar_ns,
    clock_notes,
    regular_runs,
    sampling_interval_ns,
    with_notes,
)
from gravdask.archive.traces import Kind, Note, Trace, sanitise
from gravdask.errors import GridError, NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

TIME_COLUMNS = 2
_KINDS: tuple[Kind, ...] = ("gravity", "pressure", "other")
_HEADER_END = re.compile(rb"^C\*{3,}[^\n]*\n?", re.MULTILINE)
_BLOCK = re.compile(rb"^[ \t]*77777777[^\n]*\n?", re.MULTILINE)
_BLOCK_END = re.compile(rb"^[ \t]*(?:99999999|88888888)[^\n]*", re.MULTILINE)
_IGETS_CODE = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{3}(?:-\d)?(?![A-Za-z0-9])")
_RUN_TOGETHER = re.compile(rb"(?<=\d)-(?=[\d.])")
"""Fortran's F10.3 leaves no blank before a number of ten characters."""
_PLACEHOLDERS = frozenset({"", "instr", "instrument", "sg", "gravimeter"})
_COORDINATES = tuple(
    re.compile(rb"^\s*" + name + rb"[^:\n]*:\s*([-+]?\d+\.?\d*)", re.MULTILINE | re.IGNORECASE)
    for name in (rb"N\.?\s*Latitude", rb"E\.?\s*Longitude", rb"(?:Height|Elevation)")
)
"""Lines of the header with latitude, longitude and elevation."""
_COLUMN_UNITS = re.compile(rb"^\s*yyyymmdd[^\n]*", re.MULTILINE | re.IGNORECASE)


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
        if b"\0" in head or not (_HEADER_END.search(head) or _BLOCK.search(head)):
            if path.suffix.lower() == ".ggp":
                what = "named .ggp but has neither a line C***** that ends the header nor a block 77777777"
                raise DamagedFileError(path, 1, what, "rename it, or fetch it again")
            msg = f"{path}: not a GGP file"
            raise NotThisFormatError(msg)
        data = path.read_bytes()
        try:
            blocks, notes = _split_blocks(path, data)
            yield from _read_blocks(source, data, blocks, notes)
        except RaggedTextError as error:
            raise DamagedFileError(path, error.line, error.what, "repair or remove the line") from error


def _split_blocks(path: Path, data: bytes) -> tuple[list[_Block], list[Note]]:
    """Find the blocks of a file and their words."""
    marks = list(_BLOCK.finditer(data))
    notes: list[Note] = []
    blocks = []
    for mark, following in itertools.zip_longest(marks, marks[1:]):
        end = following.start() if following else len(data)
        closing = _BLOCK_END.search(data, mark.end(), end)
        if closing:
            stop = closing.start()
        elif following:  # no end mark: the last line before the next block is its instrument line
            stop = data.rfind(b"\n", 0, end - 1) + 1
        else:
            stop = len(data)
        line = data.count(b"\n", 0, mark.start()) + 1
        body = _separate(data[mark.end() : stop])
        rows, cut_line = tokenise(body, line + 1)
        if cut_line is None and not body.endswith(b"\n") and rows.last_is_cut():
            cut_line, rows = int(rows.lines[-1]), rows.without_last()
        if cut_line is not None:
            notes.append(Note("the last line is cut off and was left out", cut_line, "fetch the file again"))
        before = data[: mark.start()].rstrip().rsplit(b"\n", 1)[-1].decode("latin-1").strip()
        if rows.rows:
            blocks.append(_Block(before, line, tokenise(mark[0].rstrip() + b"\n", line)[0], rows))
    if not blocks:
        raise DamagedFileError(path, data.count(b"\n") + 1, "holds no rows after 77777777", "fetch the file again")
    return blocks, notes


def _separate(body: bytes) -> bytes:
    """Put a blank before each minus that follows a digit at once."""
    text = np.frombuffer(body, dtype=np.uint8)
    touching = (text[1:] == 45) & (text[:-1] >= 48) & (text[:-1] <= 57)  # far cheaper than the pattern, rarely true
    return _RUN_TOGETHER.sub(b" -", body) if touching.any() else body


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
    missing = [value.missing | value.equals_any(DEFAULT_FILLS) for value in values]
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


def _units(source: Source, header: bytes, columns: int) -> list[str | None]:
    """Units of the columns: as the line ``yyyymmdd hhmmss gravity(V) ...`` of the header says, else nm/s^2 and hPa."""
    units: list[str | None] = [source.options.unit or "nm/s^2", "hPa", *[None] * columns][:columns]
    titles = _COLUMN_UNITS.search(header)
    if titles:
        stated = re.findall(r"\(([^()]*)\)", titles[0].decode("latin-1"))
        units[: len(stated)] = [unit.strip() or None for unit in stated[:columns]]
    return units


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
    for block in blocks:
        if block.rows.columns - TIME_COLUMNS != columns or columns < 1 or block.offsets.columns - 1 < columns:
            found = f"{block.rows.columns - TIME_COLUMNS} value columns and {block.offsets.columns - 1} offsets"
            what = f"the block has {found}, expected {max(columns, 1)} of each"
            raise DamagedFileError(path, block.offset_line, what, "repair the block")
    kinds = [_KINDS[min(n, 2)] for n in range(columns)]
    units = _units(source, data[: max(data.find(b"77777777"), 0)], columns)
    times = [_block_times(path, block.rows) for block in blocks]
    shift = round(options.clock_offset_s * SECOND_NS)
    joined_times = np.concatenate(times) - shift
    try:
        interval, _ = sampling_interval_ns(joined_times, None)
        rate = Rate.from_hz(SECOND_NS / interval)
        starts = np.cumsum([0, *(len(t) for t in times[:-1])])
        runs = np.concatenate([regular_runs(t, rate) + start for t, start in zip(times, starts, strict=True)])
    except GridError as error:
        raise DamagedFileError(path, None, str(error), "resample it to an even interval first") from error
    lines = np.concatenate([block.rows.lines for block in blocks])
    notes = [*notes, *_scale_notes(blocks), *clock_notes(joined_times, lines)]
    station = _station(source, blocks[0].instrument)
    channels = name_channels(options.network, [station] * columns, kinds, rate)
    data_columns = [_join_column(blocks, n, kind, units[n]) for n, kind in enumerate(kinds)]
    pairs = list(zip(channels, data_columns, strict=True))
    latitude, longitude, elevation = (
        float(m[1]) if (m := pattern.search(data[:16384])) else None for pattern in _COORDINATES
    )
    traces = build_traces(pairs, joined_times, runs, rate, interval_ns=interval, head_only=source.head_only)
    nothing = DamagedFileError(path, None, "every value is missing", "remove it")
    for trace in with_notes(traces, notes, nothing):
        yield replace(trace, latitude=latitude, longitude=longitude, elevation=elevation)

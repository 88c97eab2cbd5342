"""GGP, IGETS and ETERNA (PRETERNA) files: blocks of ``yyyymmdd hhmmss gravity pressure``.

A free header ends with a line ``C*****``. Each block has a line with the instrument, a line ``77777777`` with an
offset per column, the rows, and a line ``99999999``; ``88888888`` ends the file. Either may be absent at the end; where
the offsets or the whole line ``77777777`` are, the offsets are zero. IGETS files of all levels are of this form:
seconds and minutes in volts (level 1), corrected minutes (level 2), and residuals with the effects that were taken out
beside them (level 3), as their line of titles says: ``yyyymmdd hhmmss gravity(V) pressure(hPa)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from gravdask.archive import number_kernels
from gravdask.archive.damage import DamagedFileError
from gravdask.archive.decimal_text import Decimals, RaggedTextError, Tokens, parse_column, smallest, tokenise
from gravdask.archive.ggp_blocks import BLOCK, HEADER_END, ROW, TITLES, Extent, find_extents
from gravdask.archive.ggp_header import Layout, column_layout, header_notes, separate_times
from gravdask.archive.naming import given_station, name_channels, station_from_name
from gravdask.archive.number_rows import NumberRows, TimeForm, line_blocks, read_rows
from gravdask.archive.reader import Source, read_head
from gravdask.archive.row_traces import Rows, row_traces
from gravdask.archive.text_rows import DEFAULT_FILLS, ColumnData, calendar_ns, cut_notes, decimal_notes
from gravdask.archive.traces import ChannelId, Kind, Note, Trace, sanitise
from gravdask.errors import NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

FILLS = (*DEFAULT_FILLS, 999.999999)
"""Values of missing samples: those of all text formats, and that of seconds written as F10.6."""
_IGETS_CODE = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{3}(?:-\d)?(?![A-Za-z0-9])")
_RUN_TOGETHER = re.compile(rb"(?<=\d)-(?=[\d.])")
"""Fortran's F10.3 leaves no blank before a number of ten characters."""
_CUT_TIME = re.compile(rb"^[ \t]*\d{8}[ \t]+\d{1,5}-", re.MULTILINE)
"""A time of day that runs into a value before it has its six digits: what time it was is gone."""
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
    rows: NumberRows


class GgpReader:
    """Reader of GGP, IGETS and ETERNA block files."""

    def read(self, source: Source) -> Iterator[Trace]:
        """Yield the traces of a file of blocks; see `gravdask.archive.Reader`."""
        path = source.path
        head = read_head(path, 16384)
        if b"\0" in head or not (HEADER_END.search(head) or BLOCK.search(head) or TITLES.search(head)):
            if path.suffix.lower() == ".ggp":
                what = "named .ggp but has neither a line C***** that ends the header nor a block 77777777"
                raise DamagedFileError(path, 1, what, "rename it, or fetch it again")
            msg = f"{path}: not a GGP file"
            raise NotThisFormatError(msg)
        with path.open("rb") as file:
            extents, header = find_extents(file)
            blocks, notes = _read_blocks(path, file, extents)
        columns = len(blocks[0].rows.columns)
        layout = column_layout(path, header, columns, source.options.unit)
        station = _station(source, blocks[0].instrument)
        notes = [*notes, *_scale_notes(blocks), *header_notes(header)]
        rows = _join_blocks(source, layout, blocks)
        del blocks  # the rows are copied

        def name(rate: Rate) -> list[ChannelId]:
            return layout.name(name_channels(source.options.network, [station] * columns, layout.kinds, rate))

        latitude, longitude, elevation = (
            float(m[1]) if (m := pattern.search(head)) else None for pattern in _COORDINATES
        )
        for trace in row_traces(source, rows, name, notes):
            yield replace(trace, latitude=latitude, longitude=longitude, elevation=elevation)


def _read_blocks(path: Path, file: BinaryIO, extents: list[Extent]) -> tuple[list[_Block], list[Note]]:
    """Read the rows of every block that has any."""
    blocks: list[_Block] = []
    notes: list[Note] = []
    for extent in extents:
        if extent.lost:
            what = f"{extent.lost} rows stand behind the end of their block and were left out"
            notes.append(Note(what, extent.lost_line, "repair it"))
        file.seek(extent.start)
        try:
            rows = read_rows(line_blocks(file, extent.stop), extent.line + 1, TIME_FORM, split=_split)
            offsets = tokenise(extent.offsets.rstrip() or b"77777777", extent.line)[0]
        except RaggedTextError as error:
            raise DamagedFileError(path, error.line, error.what, "repair or remove the line") from error
        notes += [*cut_notes(rows.cut_line), *decimal_notes(rows.lines, rows.columns, FILLS)]
        title = extent.title
        if ROW.match(title):  # rows where the instrument should be: lines were swapped or lost
            what = "a row stands before 77777777 and was left out"
            notes.append(Note(what, extent.line - 1, "put it behind that line"))
            title = b""
        if rows.times_ns.size:
            columns = len(rows.columns)
            if offsets.columns == 1:  # none is stated
                offsets = tokenise(b"77777777" + b" 0" * columns, extent.line)[0]
            blocks.append(_Block(title.decode("latin-1").strip(), extent.line, offsets, rows))
            _check_columns(path, blocks)
    if not blocks:
        line = _count_lines(file)
        raise DamagedFileError(path, line, "holds no rows after 77777777", "fetch the file again")
    return blocks, notes


def _check_columns(path: Path, blocks: list[_Block]) -> None:
    """Refuse a block that has other columns than the first, or fewer offsets."""
    columns, block = len(blocks[0].rows.columns), blocks[-1]
    if len(block.rows.columns) != columns or columns < 1 or block.offsets.columns - 1 < columns:
        found = f"{len(block.rows.columns)} value columns and {block.offsets.columns - 1} offsets"
        what = f"the block has {found}, expected {max(columns, 1)} of each"
        raise DamagedFileError(path, block.offset_line, what, "repair the block")


def _count_lines(file: BinaryIO) -> int:
    """Number of a file's last line."""
    file.seek(0)
    return sum(block.count(b"\n") for block in line_blocks(file)) + 1


def _split(body: bytes, first_line: int, columns: int | None) -> tuple[Tokens, int | None]:
    """Words of rows that may have been written by Fortran, in fixed columns."""
    body = _separate(body)
    try:
        return tokenise(body, first_line, columns)
    except RaggedTextError:
        free = separate_times(body)
        if free is None:
            raise
        return tokenise(free, first_line, columns)


def _separate(body: bytes) -> bytes:
    """Put a blank before each minus that follows a digit at once, but behind a time of day that has lost digits."""
    touching = number_kernels.runs_together(np.frombuffer(body, np.uint8))  # far cheaper than the pattern, rarely true
    if not touching:
        return body
    cut = {match.end() - 1 for match in _CUT_TIME.finditer(body)}
    if not cut:
        return _RUN_TOGETHER.sub(b" -", body)
    return _RUN_TOGETHER.sub(lambda minus: b"-" if minus.start() in cut else b" -", body)


def _times(rows: Tokens) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Times of rows [ns since 1970, clock of the file], and where they are no times."""
    date, clock = parse_column(rows, 0), parse_column(rows, 1)
    day, second = date.mantissa, clock.mantissa
    times, bad = calendar_ns(
        (day // 10000, day // 100 % 100, day % 100),
        second // 10000,
        second // 100 % 100,
        second % 100 * SECOND_NS,
    )
    return times, bad | (date.power != 0) | (clock.power != 0)


TIME_FORM = TimeForm(2, _times, "yyyymmdd hhmmss")


def _join_blocks(source: Source, layout: Layout, blocks: list[_Block]) -> Rows:
    """One sequence of rows; every block starts a new trace."""
    times = [block.rows.times_ns for block in blocks]
    return Rows(
        times_ns=np.concatenate(times) - round(source.options.clock_offset_s * SECOND_NS),
        lines=np.concatenate([block.rows.lines for block in blocks]),
        columns=tuple(_join_column(blocks, n, kind, layout.units[n]) for n, kind in enumerate(layout.kinds)),
        starts=tuple(np.cumsum([0, *(len(t) for t in times[:-1])]).tolist()),
        tide_applied=layout.residual,
    )


def _join_column(blocks: list[_Block], column: int, kind: Kind, unit: str | None) -> ColumnData:
    """Add each block's offset to its values and join the blocks, without loss where integers hold it."""
    values = [block.rows.columns[column] for block in blocks]
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
    found = given_station(source.path, source.options.station, source.options.station_codes)
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

"""Bare rows of LaCoste loggers: ``yy mm dd hh mm ss counts``, without a header, about every half minute.

Such loggers jitter by a second or two, pause for hours and have their clocks set back; what is done about that is the
rule for irregular rows. Where the converter is saturated it stands at about 32725 counts for hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.decimal_text import RaggedTextError, Tokens, parse_column, tokenise
from gravdask.archive.naming import given_station, name_channels, station_from_name
from gravdask.archive.number_rows import TimeForm, line_blocks, read_rows
from gravdask.archive.reader import Source, read_head
from gravdask.archive.row_traces import Rows, row_traces
from gravdask.archive.text_rows import ColumnData, calendar_ns, cut_notes, pack
from gravdask.archive.traces import ChannelId, Note, Trace
from gravdask.errors import NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

TIME_COLUMNS = 6
DIGITS = 2
"""Digits of each of them."""
SATURATED = 32_725
"""Counts of the saturated converter, give or take `SATURATED_WITHIN` of its own noise."""
SATURATED_WITHIN = 15
SATURATED_ROWS = 10
"""Rows in sequence from which such counts are taken for saturation: gravity passes through them sooner."""
CENTURY = 70
"""Two-digit years from here on are of the 20th century, those before of the 21st."""
_ROW = re.compile(rb"\s*\d\d\s+\d\d\s+\d\d\s+\d\d\s+\d\d\s+\d\d\s+[-+]?\d+(?:\.\d*)?\s*$")
_LOOKED_AT = 20
_MARK = b"\xef\xbb\xbf"


class LacosteReader:
    """Reader of the bare rows of LaCoste loggers."""

    def read(self, source: Source) -> Iterator[Trace]:
        """Yield the traces of such a file; see `gravdask.archive.Reader`."""
        path, options = source.path, source.options
        head = read_head(path, 1024).removeprefix(_MARK)
        if not _recognised(head):
            msg = f"{path}: not rows of a LaCoste logger"
            raise NotThisFormatError(msg)
        try:
            with path.open("rb") as file:
                file.seek(len(_MARK) if file.read(len(_MARK)) == _MARK else 0)
                read = read_rows(line_blocks(file), 1, TIME_FORM, TIME_COLUMNS + 1)
            counts = pack(read.columns[0], (), "gravity", options.unit or "counts")
        except RaggedTextError as error:
            raise DamagedFileError(path, error.line, error.what, "repair or remove the line") from error
        notes = cut_notes(read.cut_line)
        counts = _without_saturation(counts, read.lines, notes)
        if counts.missing.all():
            what = f"the converter is saturated in every row, at about {SATURATED} counts"
            raise DamagedFileError(path, int(read.lines[0]), what, "it holds no gravity: leave it out")
        station = given_station(path, options.station, options.station_codes) or station_from_name(path)

        def name(rate: Rate) -> list[ChannelId]:
            return name_channels(options.network, [station], ["gravity"], rate)

        rows = Rows(read.times_ns - round(options.clock_offset_s * SECOND_NS), read.lines, (counts,))
        yield from row_traces(source, rows, name, notes, logger=True)


def _recognised(head: bytes) -> bool:
    """Whether the first rows are of this form, are dates, and most are equally far apart within a fifth."""
    lines = [line for line in head.split(b"\n") if line.strip()]
    rows = lines[: min(_LOOKED_AT, len(lines) - 1)] if len(head) >= 1024 else lines[:_LOOKED_AT]
    if len(rows) < 3 or not all(_ROW.match(row) for row in rows[:-1]):
        return False
    try:
        times, bad = _times(tokenise(b"\n".join(rows[:-1]) + b"\n", 1, TIME_COLUMNS + 1)[0])
    except RaggedTextError:
        return False
    steps = np.diff(times)
    usual = float(np.median(steps))
    near = np.abs(steps - usual) <= 0.2 * usual
    return not bad.any() and 0 < usual <= 3600 * SECOND_NS and bool(2 * np.count_nonzero(near) >= steps.size)


def _times(tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Times of the rows [ns since 1970, clock of the file], and where they are no times."""
    columns = [parse_column(tokens, n) for n in range(TIME_COLUMNS)]
    year, month, day, hour, minute, second = (column.mantissa for column in columns)
    year = year + np.where(year < CENTURY, 2000, 1900)
    times, bad = calendar_ns((year, month, day), hour, minute, second * SECOND_NS)
    # a row that has lost its beginning must not be one of another year
    cut = (tokens.stops - tokens.starts != DIGITS)[:, :TIME_COLUMNS].any(axis=1)
    return times, bad | cut | np.logical_or.reduce([column.power != 0 for column in columns])


TIME_FORM = TimeForm(TIME_COLUMNS, _times, "yy mm dd hh mm ss")


def _without_saturation(counts: ColumnData, lines: NDArray[np.int64], notes: list[Note]) -> ColumnData:
    """Take long stretches of the saturated converter as missing, with a note that counts them."""
    near = np.abs(counts.values - SATURATED * 10**counts.decimals) <= SATURATED_WITHIN * 10**counts.decimals
    edges = np.flatnonzero(np.diff(near.astype(np.int8), prepend=0, append=0))
    starts, stops = edges[::2], edges[1::2]
    long = stops - starts >= SATURATED_ROWS
    if not long.any():
        return counts
    missing = counts.missing.copy()
    for start, stop in zip(starts[long].tolist(), stops[long].tolist(), strict=True):
        missing[start:stop] = True
    count = int((stops - starts)[long].sum())
    what = (
        f"{count} rows in {int(long.sum())} stretches stand at {SATURATED} counts (within {SATURATED_WITHIN}), as a "
        "saturated converter does; they were taken as missing"
    )
    notes.append(Note(what, int(lines[starts[long][0]]), "mark the span in the operator's log"))
    return replace(counts, missing=missing)

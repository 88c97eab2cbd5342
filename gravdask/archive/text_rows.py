"""Rows of dated numbers to traces: what the text formats have in common.

A reader hands over columns (`ColumnData`) and the clock of the rows; here rows are cut where the clock leaves the
sampling grid or a value is missing, and every remaining stretch becomes a trace.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.archive import number_kernels
from gravdask.archive.decimal_text import Decimals, smallest
from gravdask.archive.traces import ChannelId, Kind, Note, Trace
from gravdask.errors import GridError, ReadError
from gravdask.grid import PHASE_TOLERANCE, SECOND_NS, Rate, utc_text

DEFAULT_FILLS = (9999.999, 99999.999)
"""Values that stand for a missing sample in TSoft, GGP and IGETS files."""
MANY_ROWS = 100
"""Rows from which a column has a usual number of decimals."""
FEW_ODD = 0.01
"""Share of its numbers up to which those that have others are worth a note: whoever leaves off zeros has a tenth."""
_LONGEST_WINDOW = 1 << 18
"""Rows that are held against the grid at once."""
_POWERS = 10 ** np.arange(10, dtype=np.int64)


@dataclass(frozen=True)
class ColumnData:
    """One measured column of a text file.

    Attributes
    ----------
    values
        int32, int64 or float64, shape (rows,).
    missing
        True where there is no value, shape (rows,).
    decimals
        Decimal places of integer values.
    kind
        What is measured.
    unit
        As written, or None.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_]
    decimals: int
    kind: Kind
    unit: str | None


def calendar_ns(
    date: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    hour: NDArray[np.int64],
    minute: NDArray[np.int64],
    second_ns: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Times of calendar dates [ns since 1970], and where they are no dates (hour 24 and second 60 are allowed)."""
    times, bad = np.empty(hour.size, np.int64), np.empty(hour.size, np.bool_)
    year, month, day, hour, minute, second_ns = (
        np.ascontiguousarray(column, dtype=np.int64) for column in (*date, hour, minute, second_ns)
    )
    number_kernels.calendar(year, month, day, hour, minute, second_ns, times, bad)
    return times, bad


def second_ns(column: Decimals) -> NDArray[np.int64]:
    """Seconds, possibly with decimals, in whole nanoseconds; -1 where finer."""
    shift = 9 + column.power
    fits = (shift >= 0) & (column.digits <= 12)
    return np.where(fits, column.mantissa * _POWERS[np.clip(shift, 0, 9)], -1)


def pack(column: Decimals, fills: Iterable[float], kind: Kind, unit: str | None) -> ColumnData:
    """Store a column as integers and a power of ten if that loses nothing, else as float64."""
    missing = column.missing | column.equals_any(fills)
    valid = ~missing
    places = column.places(valid)
    integers = column.integers(places, valid)
    if integers is None:
        return ColumnData(column.floats(), missing, 0, kind, unit)
    return ColumnData(smallest(integers), missing, places, kind, unit)


def sampling_interval_ns(times_ns: NDArray[np.int64], stated_s: float | None) -> tuple[int, Note | None]:
    """Interval of the rows: the stated one unless the rows say otherwise, else their smallest or median difference.

    Raises
    ------
    GridError
        If there is neither a stated interval nor a second, later row.
    """
    stated = round(stated_s * SECOND_NS) if stated_s else 0
    steps, counts = np.unique(np.diff(times_ns), return_counts=True)
    steps, counts = steps[steps > 0], counts[steps > 0]
    if not steps.size:
        if stated > 0:
            return stated, None
        msg = "the sampling interval is neither stated nor seen, as there is no second, later row"
        raise GridError(msg)
    middle = _usual_step(steps, counts)
    if stated <= 0:
        return middle, None
    if abs(middle - stated) <= PHASE_TOLERANCE * stated:
        return stated, None
    what = f"the stated increment is {stated / SECOND_NS:g} s, the rows are {middle / SECOND_NS:g} s apart"
    return middle, Note(what, cure="the rows were believed; correct the header")


def _usual_step(steps: NDArray[np.int64], counts: NDArray[np.int64]) -> int:
    """Mean of the smallest of the ascending steps if all are multiples of that within 1 %, else the median of all.

    The mean, since stamps that are rounded (a day with six decimals) have steps of two lengths.
    """
    ratio = steps / steps[0]
    if np.abs(ratio - np.rint(ratio)).max() <= PHASE_TOLERANCE:
        single = np.rint(ratio) == 1
        return round(float(np.average(steps[single], weights=counts[single])))
    reached = np.cumsum(counts)
    return int(steps[np.searchsorted(reached, (reached[-1] - 1) // 2, side="right")])


def regular_runs(times_ns: NDArray[np.int64], rate: Rate) -> NDArray[np.int64]:
    """Cut rows into runs whose every row lies within 1 % of an interval on the grid of the run's first row.

    Parameters
    ----------
    times_ns
        Times of the rows [ns since 1970], shape (rows,).
    rate
        Nominal sampling rate.

    Returns
    -------
    runs
        First row and row after the last, shape (n_runs, 2).

    Raises
    ------
    GridError
        If there are more than 100 runs and more than one run in twenty rows: the rows are not evenly spaced.
    """
    interval = rate.interval_ns
    tolerance = float(PHASE_TOLERANCE * interval)
    steps = np.diff(times_ns)
    shortest, longest = math.ceil(interval - tolerance), math.floor(interval + tolerance)
    breaks = np.flatnonzero((steps < shortest) | (steps > longest)) + 1
    del steps  # a row's eight bytes count where there are millions
    bounds = [0, *breaks.tolist(), times_ns.size]
    runs: list[tuple[int, int]] = []
    limit = max(100, times_ns.size // 20)
    for first, last in itertools.pairwise(bounds):
        start = first
        while start < last:
            stop = _first_off_grid(times_ns, start, last, rate, tolerance)
            runs.append((start, stop))
            start = stop
            if len(runs) > limit:
                msg = f"the rows are not evenly spaced: more than {limit} stretches in {times_ns.size} rows at {rate}"
                raise GridError(msg)
    return np.array(runs, dtype=np.int64).reshape(-1, 2)


def _first_off_grid(times_ns: NDArray[np.int64], start: int, last: int, rate: Rate, tolerance: float) -> int:
    """First row after ``start`` that is off the grid through it, else ``last``; looks in windows of growing length."""
    window, low = 1024, start
    while low < last:
        high = min(low + window, last)
        expected = np.arange(low - start, high - start, dtype=np.int64) * (rate.seconds * SECOND_NS) // rate.samples
        off = np.abs(times_ns[low:high] - times_ns[start] - expected) > tolerance
        if off.any():
            return low + int(off.argmax())
        low, window = high, min(2 * window, _LONGEST_WINDOW)
    return last


def cut_notes(line: int | None) -> list[Note]:
    """Remark on a last line that is cut off; none if there is no such line."""
    return [] if line is None else [Note("the last line is cut off and was left out", line, "fetch the file again")]


def decimal_notes(lines: NDArray[np.int64], columns: Sequence[Decimals], fills: Collection[float] = ()) -> list[Note]:
    """Remark on numbers with more or fewer decimals than nearly all others of their column: characters may be lost."""
    notes = []
    for column in columns:
        if column.exponential or column.power.size < MANY_ROWS or column.power.min() == column.power.max():
            continue
        usual = int(np.bincount(-column.power.astype(np.int64).clip(max=0)).argmax())
        odd = (column.power != -usual) & ~column.missing
        if 0 < int(odd.sum()) <= FEW_ODD * odd.size:
            odd &= ~column.equals_any(fills)
        if 0 < int(odd.sum()) <= FEW_ODD * odd.size:
            row = int(odd.argmax())
            has = f"the first {max(0, -int(column.power[row]))} where {usual} are usual"
            what = f"{int(odd.sum())} numbers have other decimals than the rest of their column, {has}"
            notes.append(Note(what, int(lines[row]), "compare the line with the original: characters may be lost"))
    return notes


def clock_notes(times_ns: NDArray[np.int64], lines: NDArray[np.int64]) -> list[Note]:
    """Remarks on rows that repeat a time or step back in it, one each with the first place and the count."""
    steps = np.diff(times_ns)
    notes = []
    kinds = ((steps == 0, False, "repeat the time of the row before"), (steps < 0, True, "step back in time"))
    for found, back, what in kinds:
        if found.any():
            row = int(found.argmax()) + 1
            first = f", the first from {utc_text(times_ns[row - 1])} to {utc_text(times_ns[row])}" if back else ""
            cure = "a new trace starts at each of them"
            notes.append(Note(f"{int(found.sum())} rows {what}{first}", int(lines[row]), cure))
    return notes


def build_traces(
    columns: list[tuple[ChannelId, ColumnData]],
    times_ns: NDArray[np.int64],
    runs: NDArray[np.int64],
    rate: Rate,
    *,
    interval_ns: int,
    head_only: bool,
) -> Iterator[Trace]:
    """Yield the traces of all columns, column by column in the order of rows.

    Raises
    ------
    ReadError
        If a column is not what `Trace` wants.
    """
    for channel, column in columns:
        edges = np.zeros(times_ns.size + 1, dtype=bool)
        edges[runs.ravel()] = True
        edges[1:-1] |= column.missing[1:] != column.missing[:-1]
        bounds = np.flatnonzero(edges)
        for start, stop in itertools.pairwise(bounds.tolist()):
            if column.missing[start]:
                continue
            yield Trace(
                channel=channel,
                rate=rate,
                start_ns=int(times_ns[start]),
                npts=stop - start,
                values=None if head_only else column.values[start:stop],
                dtype=column.values.dtype.name,
                decimals=column.decimals,
                unit=column.unit,
                kind=column.kind,
                stated_rate_hz=SECOND_NS / interval_ns,
            )


def with_notes(traces: Iterable[Trace], notes: list[Note], otherwise: ReadError) -> Iterator[Trace]:
    """Attach the notes of a file to its first trace.

    Raises
    ------
    ReadError
        The given one, if there is no trace at all.
    """
    first = True
    for trace in traces:
        yield replace(trace, notes=(*trace.notes, *notes)) if first and notes else trace
        first = False
    if first:
        raise otherwise

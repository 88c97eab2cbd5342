"""Dated rows to traces, regular or not: the one way that all readers of text take.

Rows that keep to a grid are cut into runs and stay as they are, to the last digit. Rows that do not are brought to the
absolute grid by the rule that the archive's options state, and what that did is told in the notes of the first trace.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.irregular import (
    GAP_STEPS,
    OrderedRows,
    Resampling,
    Rule,
    grid_interval_ns,
    interpolation_error,
    order_rows,
    refuse_unsorted,
    resample,
    usual_step_ns,
)
from gravdask.archive.reader import Source
from gravdask.archive.summer_time import summer_time_note
from gravdask.archive.text_rows import (
    ColumnData,
    build_traces,
    clock_notes,
    regular_runs,
    sampling_interval_ns,
    with_notes,
)
from gravdask.archive.traces import ChannelId, Note, Trace
from gravdask.errors import GridError
from gravdask.grid import PHASE_TOLERANCE, SECOND_NS, Rate

Namer = Callable[[Rate], Sequence[ChannelId]]
FEW_RUNS = 3
"""Steps off the grid that a record may have before it counts as irregular; one in twenty in longer ones."""


@dataclass(frozen=True)
class Rows:
    """Rows of a text file.

    Attributes
    ----------
    times_ns
        Times [ns since 1970 UTC], shape (rows,).
    lines
        Line of each row within the file, counted from 1, shape (rows,).
    columns
        What was measured.
    starts
        Rows at which a trace starts in any case, ascending, the first row included.
    tide_applied
        Whether the file says of a column that the tide is taken out; empty if of none.
    """

    times_ns: NDArray[np.int64]
    lines: NDArray[np.int64]
    columns: tuple[ColumnData, ...]
    starts: tuple[int, ...] = (0,)
    tide_applied: tuple[bool, ...] = ()


def row_traces(
    source: Source,
    rows: Rows,
    name: Namer,
    notes: Sequence[Note] = (),
    *,
    stated_s: float | None = None,
    logger: bool = False,
) -> Iterator[Trace]:
    """Yield the traces of dated rows, column by column.

    Parameters
    ----------
    source
        The file and what is known of it: the rule for irregular stamps is among its options.
    rows
        What was read.
    name
        Gives the channels of the columns for a sampling rate.
    notes
        Remarks to attach to the first trace.
    stated_s
        Sampling interval that the file states [s].
    logger
        Whether rows that are off the grid are to be expected: then a single one makes the record irregular.

    Raises
    ------
    DamagedFileError
        If the rows fit no grid, or are irregular and the rule is to refuse them, or hold no value at all.
    """
    traces = _traces(source, rows, name, list(notes), stated_s, logger)
    yield from _with_tide(traces, name, rows.tide_applied) if any(rows.tide_applied) else traces


def _traces(
    source: Source, rows: Rows, name: Namer, notes: list[Note], stated_s: float | None, logger: bool
) -> Iterator[Trace]:
    """Do what `row_traces` does, but for what the file says of the tide."""
    rule = _rule(source)
    try:
        refuse_unsorted(rows.times_ns)
        interval, remark = sampling_interval_ns(rows.times_ns, stated_s)
        rate = Rate.from_hz(SECOND_NS / interval)
        runs, reason = _runs(rows, rate, interval, logger, rule)
        if runs is None:
            traces, told = _resampled(source, rows, name, rule, reason)
        else:
            pairs = list(zip(name(rate), rows.columns, strict=True))
            traces = build_traces(pairs, rows.times_ns, runs, rate, interval_ns=interval, head_only=source.head_only)
            told = [remark] if remark else []
            told += clock_notes(rows.times_ns, rows.lines)
        summer = summer_time_note(rows.times_ns, rows.lines)
        told += [summer] if summer else []
    except GridError as error:
        cure = "bring it to an even interval, in the order of time, first"
        if rule == "refuse":
            cure += ", or set archive.irregular to 'linear' or 'nearest'"
        raise DamagedFileError(source.path, None, str(error), cure) from error
    nothing = DamagedFileError(source.path, None, "every value is missing", "remove it")
    yield from with_notes(traces, [*notes, *told], nothing)


def _with_tide(traces: Iterator[Trace], name: Namer, applied: tuple[bool, ...]) -> Iterator[Trace]:
    """Mark the traces of the columns of which the tide is taken out."""
    marked: frozenset[ChannelId] | None = None
    for trace in traces:
        if marked is None:  # all traces of a file have one rate
            marked = frozenset(c for c, flag in zip(name(trace.rate), applied, strict=True) if flag)
        yield replace(trace, tide_applied=True) if trace.channel in marked else trace


def _rule(source: Source) -> Rule:
    """Rule for irregular stamps that the options of a source name."""
    rules: dict[str, Rule] = {"linear": "linear", "nearest": "nearest", "refuse": "refuse"}
    return rules[source.options.irregular]


def _runs(rows: Rows, rate: Rate, interval_ns: int, logger: bool, rule: Rule) -> tuple[NDArray[np.int64] | None, str]:
    """Runs of rows on the grid of their first row; None and the reason if the rows are irregular."""
    times = rows.times_ns
    bounds = [*rows.starts, times.size]
    try:
        parts = [regular_runs(times[a:b], rate) + a for a, b in itertools.pairwise(bounds)]
    except GridError as error:
        return None, str(error)
    runs = np.concatenate(parts)
    few = 0 if logger else max(FEW_RUNS, times.size // 20)
    if len(runs) > len(rows.starts) + few and (off := _off_grid(times, interval_ns)) > few:
        reason = f"the rows are not evenly spaced: {off} of {times.size - 1} steps are not {rate}"
        return None, reason
    if rule != "refuse" and rate.seconds > 1 and (86_400 * rate.samples) % rate.seconds:
        return None, f"the rows are {rate} apart, which does not divide a day"
    return runs, ""


def _off_grid(times_ns: NDArray[np.int64], interval_ns: int) -> int:
    """Number of forward steps, gaps apart, that are not the interval within 1 %.

    A gap of any length may follow by a restart of the logger; what comes after it is as even as what was before.
    """
    ratio = np.diff(times_ns) / interval_ns
    return int(np.count_nonzero((ratio > 0) & (ratio <= GAP_STEPS) & (np.abs(ratio - 1) > PHASE_TOLERANCE)))


def _resampled(source: Source, rows: Rows, name: Namer, rule: Rule, reason: str) -> tuple[Iterator[Trace], list[Note]]:
    """Bring irregular rows to the absolute grid; gives the traces and what there is to say."""
    if rule == "refuse":
        raise GridError(reason)
    times = rows.times_ns
    interval = grid_interval_ns(times, source.options.irregular_interval_s)
    usual = usual_step_ns(times, interval)
    ordered = order_rows(times, usual, np.array(rows.starts, dtype=np.int64))
    rate = Rate(SECOND_NS, interval)
    traces: list[Trace] = []
    errors: list[str] = []
    shift, unused = np.zeros(1), 0
    for channel, column in zip(name(rate), rows.columns, strict=True):
        section = np.where(column.missing, -1, ordered.section)
        placed = resample(times, section, interval, usual, rule)
        traces += _column_traces(channel, column, placed, rate, rule, source.head_only)
        if rule == "linear":
            scaled = np.where(column.missing, 0, column.values).astype(np.float64) / 10.0**column.decimals
            largest, rms = interpolation_error(placed, times, scaled, section)
            errors.append(f"{channel.code} {largest:.2g} (rms {rms:.2g}) {column.unit or ''}".rstrip())
        elif placed.shift_ns.size > shift.size:
            shift = placed.shift_ns / SECOND_NS
        unused = max(unused, placed.unused)
    if rule == "linear":
        error = f"interpolated between neighbours, estimated error at most {', '.join(errors)}"
    else:
        error = f"nearest row taken, off by {np.abs(shift).max():.3g} s at most (rms {_rms(shift):.3g} s)"
    what = f"{reason}: brought to a grid of {rate}, {error}"
    return iter(traces), [Note(what), *_row_notes(rows, ordered, unused)]


def _rms(values: NDArray[np.float64]) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(values**2)))


def _column_traces(
    channel: ChannelId, column: ColumnData, placed: Resampling, rate: Rate, rule: Rule, head_only: bool
) -> Iterator[Trace]:
    """Traces of one resampled column; values that were interpolated are float64 in the column's unit."""
    values, decimals = placed.apply(column.values), column.decimals
    if not placed.exact:
        values, decimals = values / 10.0**decimals, 0
    for start, stop in placed.runs.tolist():
        yield Trace(
            channel=channel,
            rate=rate,
            start_ns=placed.start_ns(start),
            npts=stop - start,
            values=None if head_only else values[start:stop],
            dtype=values.dtype.name,
            decimals=decimals,
            unit=column.unit,
            kind=column.kind,
            stated_rate_hz=rate.hz,
            recipe="" if placed.exact and not placed.shift_ns.any() else f"{rule} {rate}",
        )


def _row_notes(rows: Rows, ordered: OrderedRows, unused: int) -> list[Note]:
    """Remarks on the rows of an irregular record that were not used, each with the first line and the count."""
    told = (
        (ordered.repeated, "repeat the time of the row before and were left out"),
        (ordered.jumps, "step back in time; a section starts at each, and the later rows of the file are believed"),
        (ordered.superseded, "were left out because later rows claim their time again"),
    )
    notes = [Note(f"{found.size} rows {what}", int(rows.lines[found[0]])) for found, what in told if found.size]
    if unused:
        notes.append(Note(f"{unused} rows have no part in any sample: alone between gaps, or two rows for one sample"))
    return notes

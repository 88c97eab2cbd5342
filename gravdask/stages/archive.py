"""From the archive's index and the metadata to the channels of the store."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.carry import all_roots, carry_over, refuse_emptied
from gravdask.archive.index import ArchiveIndex, options_digest, scan
from gravdask.archive.metadata_formats import metadata_format
from gravdask.archive.operator_log import LogRow
from gravdask.archive.reader import ReadOptions
from gravdask.archive.remote import local_copy, naming
from gravdask.archive.stations import StationEntry, StationTable
from gravdask.archive.stations_csv import is_station_table
from gravdask.archive.table_format import table_formats
from gravdask.config import ArchiveConfig
from gravdask.errors import ConfigError, GridError, ReadError, StationError, UnitsError
from gravdask.execution import Runner
from gravdask.grid import DAY_NS, ORIGIN_NS, SECOND_NS, SPAN_DAYS, Rate, record_blocks, utc_text
from gravdask.preprocess.units import parse_unit
from gravdask.stages.base import Context
from gravdask.stages.description import create_channels, describe, evidence, link_pressure, trim_extents
from gravdask.stages.index_file import load_index, save_index
from gravdask.stages.placement import ChannelPlan, whole_archive
from gravdask.stages.scanning import Share, absence_notes, duplicate_notes, examples, removal_notes, spread, teller
from gravdask.stages.selection import matches
from gravdask.stages.stated import Stated, check_entries, corrected, load_log
from gravdask.stages.trace_table import TraceTable
from gravdask.store.board import Board
from gravdask.store.place import Place

__all__ = [
    "Placed",
    "create_channels",
    "describe",
    "duplicate_notes",
    "emptied",
    "evidence",
    "index_path",
    "known_index",
    "link_pressure",
    "plan_channels",
    "read_options",
    "scan_archive",
    "station_table",
    "trim_extents",
    "with_archive_metadata",
]


def station_table(settings: ArchiveConfig) -> tuple[StationTable, list[str]]:
    """Coordinates and sensitivities from the user's files.

    What else the user states of channels, in the configuration and the operator's log, is checked here too.

    Returns
    -------
    table, notes
        Files of a folder that tell of no stations, or are damaged, are left out with a note.

    Raises
    ------
    StationError
        If a file that the user named cannot be read or is wrong, or no file of a folder is of use.
    ConfigError, ReadError
        If an entry of ``[[archive.channels]]`` or a line of the operator's log is wrong.
    """
    check_entries(settings)
    load_log(settings)
    entries: list[StationEntry] = []
    notes: list[str] = []
    for name in settings.station_files:
        path = Path(os.path.expanduser(name))
        found, said = _of_folder(path) if path.is_dir() else (StationTable.from_file(path).entries, [])
        entries += found
        notes += said
    return StationTable(entries), notes


def _of_folder(folder: Path) -> tuple[list[StationEntry], list[str]]:
    """What the files of a folder tell of stations, and notes on those left out; hidden ones do not count.

    Raises
    ------
    StationError
        If none is of use, or the folder cannot be listed.
    """
    try:
        held = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        msg = f"{folder}: the folder of station files cannot be listed: {error.strerror}; check its permissions"
        raise StationError(msg) from error
    told = [path for path in held if metadata_format(path) or is_station_table(path)]
    if not told:
        msg = (
            f"{folder}: none of the {len(held)} files in this folder tells of stations; expected StationXML, RESP, "
            "dataless SEED or CSV with the columns station, latitude, longitude; name the folder that holds them"
        )
        raise StationError(msg)
    entries: list[StationEntry] = []
    faults: list[str] = []
    for path in told:
        try:
            entries += StationTable.from_file(path).entries
        except StationError as error:
            faults.append(str(error))
    if not entries:
        msg = f"{folder}: none of the files in this folder that tell of stations can be used: {examples(faults)}"
        raise StationError(msg)
    notes = [f"{fault}; this file of the folder is left out" for fault in faults]
    if others := [path.name for path in held if path not in told]:
        notes.append(f"{folder}: left out are files that tell of no stations: {examples(others)}")
    return entries, notes


def with_archive_metadata(
    table: StationTable, metadata_files: tuple[Path | str, ...]
) -> tuple[StationTable, list[str]]:
    """Add what metadata found in the archive say, after what the table holds.

    Parameters
    ----------
    table
        From the user's files; those of them that lie in the archive are not read again.
    metadata_files
        The archive's, in their order.

    Returns
    -------
    table, notes
        Metadata that cannot be read are left out with a note.
    """
    entries, notes = list(table.entries), []
    own = {os.path.abspath(entry.metadata.source) for entry in entries}
    for place in metadata_files:
        if str(place) in own:
            continue
        try:
            with local_copy(str(place)) as path, naming(str(place), path):
                entries += StationTable.from_file(path).entries
        except (StationError, ReadError) as error:
            notes.append(str(error))
    return StationTable(entries), notes


def read_options(settings: ArchiveConfig, table: StationTable) -> ReadOptions:
    """How the archive's files are read.

    Raises
    ------
    ConfigError
        If ``archive.units`` is no known unit.
    """
    if settings.units:
        try:
            parse_unit(settings.units)
        except UnitsError as error:
            msg = f"archive.units: {error}"
            raise ConfigError(msg) from error
    return ReadOptions(
        clock_offset_s=settings.clock_offset_s,
        unit=settings.units or None,
        station_codes=table.codes,
        station=settings.station_pattern or None,
        network=settings.network,
        irregular=settings.irregular,
        irregular_interval_s=settings.irregular_interval,
        tables=table_formats(settings.tables),
    )


def index_path(context: Context) -> Place:
    """Where the store keeps the index of its archive."""
    return context.store / "ledger" / "index.parquet"


def known_index(context: Context) -> ArchiveIndex | None:
    """Index of the last scan, None if there is none that can be read."""
    try:
        return load_index(index_path(context)) if index_path(context).exists() else None
    except ReadError as error:
        context.progress.say(f"scanning anew: {error}")
        return None


def scan_archive(
    context: Context, table: StationTable, keep: bool = True, runner: Runner | None = None
) -> tuple[ArchiveIndex, list[str]]:
    """Scan the archive, looking only into files that changed since the last time, and keep the index.

    Folders that earlier runs added to the store still belong to its archive; gives notes on those that cannot be
    reached, of which everything is kept as it is.

    Parameters
    ----------
    context
        Of the run.
    table
        Stations, whose codes are looked for in file names.
    keep
        Whether to keep the index; not when only looking.
    runner
        Looks into the files if they are many.

    Raises
    ------
    ConfigError
        If no archive is named.
    ReadError
        If a root is missing, holds no record at all, or none of those it held before.
    """
    settings = context.config.archive
    if not settings.paths:
        msg = "no archive is named: give its folder, or set archive.paths in the configuration"
        raise ConfigError(msg)
    previous = known_index(context)
    roots, absent = all_roots(settings.paths, previous, settings.forget)
    options = read_options(settings, table)
    place = index_path(context)
    checkpoint = partial(save_index, place) if keep else None
    tell = teller(context.progress.say)
    alone = context.part == (0, 1) or not keep
    subject = f"{options_digest(options)}{'' if settings.digests else '-stat'}"
    share = None if alone else Share(Board(context.store, subject, context.guard), context.part)
    index = scan(roots, options, previous, tell, spread(runner, share), settings.digests, checkpoint)
    refuse_emptied(index, previous)
    index = carry_over(index, previous, absent)
    if keep and (previous is None or not index.equals(previous)):
        save_index(place, index)
    if keep and alone:
        Board.take_down(context.store)  # that of jobs that shared the files
    told = [*absence_notes(index, absent), *removal_notes(previous, index), *duplicate_notes(index, absent)]
    return index, told


@dataclass(frozen=True)
class Placed:
    """The archive on the grid.

    Attributes
    ----------
    plans
        What the index says of each chosen channel.
    notes
        Channels that fit no grid.
    problems
        Rows of the quarantine list: traces at times that the store does not cover.
    """

    plans: list[ChannelPlan]
    notes: list[str]
    problems: list[dict[str, Any]]


def plan_channels(context: Context, index: ArchiveIndex) -> Placed:
    """Place the traces of the chosen channels on their grids.

    Raises
    ------
    ReadError
        If nothing is left of the archive for the chosen stations and times.
    """
    settings = context.config.archive
    table = TraceTable.of_index(index)
    names = table.words["channel"]
    wanted = (settings.select, context.patterns)
    chosen = np.array([all(matches(name, patterns) for patterns in wanted) for name in names.texts], bool)
    rows = np.flatnonzero(chosen[names.codes])
    log = load_log(settings)
    stated = {name: Stated.of(name, settings, log) for name in names.different(rows)}
    _correct(table, index, rows, stated, read_options(settings, StationTable()))
    if not _any_within(table, rows, *settings.span_ns()):
        span = f" between {settings.start or 'the beginning'} and {settings.end or 'the end'}"
        meant = f"stations {', '.join(settings.select)}"
        meant += "" if "*" in context.patterns else f" and the channels {', '.join(context.patterns)}"
        msg = f"no record of the {meant}{span}; see 'gravdask scan'"
        raise ReadError(msg)
    rows, notes = _fitting(table, rows)
    rows, problems = _covered(table, rows)
    notes += _unmatched(settings, log, {*names.texts} | set(context.channels))
    return Placed(whole_archive(table, context.channels, stated, rows), notes, problems)


def _correct(
    table: TraceTable,
    index: ArchiveIndex,
    rows: NDArray[np.int64],
    stated: dict[str, Stated],
    options: ReadOptions,
) -> None:
    """Put the clocks and delays that a person states into the start times of a table."""
    keys = ("clock", "time_delay_s")
    concerned = {name: said for name, said in stated.items() if any(said.first(key) is not None for key in keys)}
    names = table.words["channel"]
    mine = rows[np.isin(names.codes[rows], [n for n, text in enumerate(names.texts) if text in concerned])]
    if not mine.size:
        return
    traces = index.traces[["file", "channel", "start_ns", "npts", "rate"]].take(mine)
    traces = traces.merge(index.files[["file", "format"]], on="file", how="left").assign(path=table.path(mine))
    moved = corrected(traces, concerned, options)
    for key, kind in (("start_ns", np.int64), ("shift_ns", np.int64), ("across", np.bool_)):
        column = table.numbers[key].copy() if key in table.numbers else np.zeros(len(table), kind)
        column[mine] = moved[key].to_numpy()
        table.numbers[key] = column


def _unmatched(settings: ArchiveConfig, log: tuple[LogRow, ...], names: set[str]) -> list[str]:
    """Patterns that a person wrote and no channel of the archive or the store fits: slips of the pen."""
    plain = {name.split("@")[0] for name in names} | names
    written = [(f"[[archive.channels]] {e.pattern!r}", e.pattern) for e in settings.channels]
    written += [(f"line {row.line} of {row.source} ({row.pattern!r})", row.pattern) for row in log]
    return [
        f"{what} fits no channel{_nearest(pattern, plain)}; correct it, or see the names with 'gravdask scan'"
        for what, pattern in written
        if not any(matches(name, (pattern,)) for name in plain)
    ]


def _nearest(pattern: str, names: set[str]) -> str:
    """Ask whether a name of the same form was meant, if one is near."""
    parts = pattern.count(".") + 1
    forms = {".".join(n.split(".")[:2]) if parts == 2 else n.split(".")[1] if parts == 1 else n for n in names}
    near = difflib.get_close_matches(pattern, sorted(forms), n=1, cutoff=0.4)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _intervals(table: TraceTable) -> NDArray[np.float64]:
    """Time from sample to sample of every rate of a table [ns]."""
    return np.array([float(Rate.parse(rate).interval_ns) for rate in table.words["rate"].texts])


def _any_within(table: TraceTable, rows: NDArray[np.int64], first_ns: int | None, last_ns: int | None) -> bool:
    """Whether any trace lies in a span of time."""
    start = table.numbers["start_ns"][rows]
    length = table.numbers["npts"][rows] * _intervals(table)[table.words["rate"].codes[rows]]
    before = start < (np.iinfo(np.int64).max if last_ns is None else last_ns)
    after = start + length > (-np.inf if first_ns is None else first_ns)
    return bool((before & after).any())


def _covered(table: TraceTable, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
    """Leave out traces at times that the store does not cover, and list them."""
    end_ns = ORIGIN_NS + SPAN_DAYS * DAY_NS
    rates = table.words["rate"]
    exact = [Rate.parse(rate).interval_ns for rate in rates.texts]
    start, npts = table.numbers["start_ns"][rows], table.numbers["npts"][rows]
    stop = start + npts * _intervals(table)[rates.codes[rows]]
    inside = (start >= ORIGIN_NS) & (stop <= end_ns)
    for near in np.flatnonzero(np.abs(stop - end_ns) < SECOND_NS).tolist():  # where the rounding of a float may matter
        ends = int(start[near]) + int(npts[near]) * exact[rates.codes[rows[near]]]
        inside[near] = start[near] >= ORIGIN_NS and ends <= end_ns
    left = rows[~inside]
    told = zip(table.path(left), table.words["channel"].taken(left), start[~inside].tolist(), strict=True)
    problems = [
        {
            "where": path,
            "line": 0,
            "what": f"a trace of {channel} begins at {utc_text(when)}, outside the years 1950 to 2151 of the store",
            "cure": "correct the clock of the file",
        }
        for path, channel, when in told
    ]
    return rows[inside], problems


def _fitting(table: TraceTable, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[str]]:
    """Leave out rates that put no whole number of samples into a day, with a note on each channel."""
    notes = []
    rates, names = table.words["rate"], table.words["channel"]
    for rate in sorted(rates.different(rows)):
        try:
            record_blocks(Rate.parse(rate))
        except GridError as error:
            theirs = rates.codes[rows] == rates.texts.index(rate)
            notes.append(f"{', '.join(sorted(names.different(rows[theirs])))}: left out: {error}")
            rows = rows[~theirs]
    return rows, notes


def emptied(context: Context, plans: list[ChannelPlan]) -> list[ChannelPlan]:
    """Chosen channels of the store that no file of the archive holds any more: their units will be emptied."""
    planned = {plan.name for plan in plans}
    gone = [c for c in context.chosen() if c.name not in planned]
    return [
        ChannelPlan(c.name, c.rate, list(c.phases), c.dtype, c.decimals, c.kind, (), (None, None, None), [])
        for c in gone
    ]

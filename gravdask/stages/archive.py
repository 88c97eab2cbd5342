"""From the archive's index and the metadata to the channels of the store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gravdask.archive.carry import all_roots, carry_over, refuse_emptied
from gravdask.archive.index import ArchiveIndex, scan
from gravdask.archive.reader import ReadOptions
from gravdask.archive.stations import StationTable
from gravdask.archive.traces import ChannelId
from gravdask.config import ArchiveConfig
from gravdask.errors import ConfigError, GridError, ReadError, StationError, UnitsError
from gravdask.grid import DAY_NS, ORIGIN_NS, SPAN_DAYS, Rate, record_blocks, utc_text
from gravdask.preprocess.units import parse_unit
from gravdask.stages.base import Context
from gravdask.stages.channels import INTERNAL_UNITS, Calibration, Channel
from gravdask.stages.placement import ChannelPlan, whole_archive
from gravdask.stages.selection import matches
from gravdask.store.layout import create_array, missing_value

ALWAYS = (np.iinfo(np.int64).min, np.iinfo(np.int64).max)


def station_table(settings: ArchiveConfig, metadata_files: tuple[Path, ...] = ()) -> tuple[StationTable, list[str]]:
    """Coordinates and sensitivities: the user's file first, then StationXML found in the archive.

    Returns
    -------
    table, notes
        StationXML of the archive that cannot be read is left out with a note.

    Raises
    ------
    StationError
        If the user's own file cannot be read or is wrong.
    """
    table, notes = StationTable(), []
    if settings.stations:
        path = Path(settings.stations).expanduser()
        xml = path.suffix.lower() == ".xml"
        table = StationTable.from_stationxml(path) if xml else StationTable.from_csv(path)
    for path in metadata_files:
        try:
            table = table + StationTable.from_stationxml(path)
        except StationError as error:
            notes.append(str(error))
    return table, notes


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
    )


def index_path(context: Context) -> Path:
    """Where the store keeps the index of its archive."""
    return context.store / "ledger" / "index.parquet"


def known_index(context: Context) -> ArchiveIndex | None:
    """Index of the last scan, None if there is none that can be read."""
    try:
        return ArchiveIndex.load(index_path(context)) if index_path(context).exists() else None
    except ReadError as error:
        context.progress.say(f"scanning anew: {error}")
        return None


def scan_archive(context: Context, table: StationTable, keep: bool = True) -> tuple[ArchiveIndex, list[str]]:
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
    roots, absent = all_roots([Path(p).expanduser() for p in settings.paths], previous, settings.forget)
    options = read_options(settings, table)
    said = 0

    def report(done: int, total: int, path: str) -> None:
        nonlocal said
        del path
        if total >= 200 and done * 10 // total > said:
            said = done * 10 // total
            context.progress.say(f"scan: {done} of {total} files")

    index = scan(roots, options, previous, report)
    refuse_emptied(index, previous)
    index = carry_over(index, previous, absent)
    if keep:
        index.save(index_path(context))
    return index, [
        f"{root}: cannot be reached now; what came from it is kept as it is (drop it for good with archive.forget)"
        for root in absent
    ]


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
    paths = index.files[["file", "root", "path", "digest"]].copy()
    paths["path"] = [str(Path(r, p)) for r, p in zip(paths["root"], paths["path"], strict=True)]
    traces = index.traces.merge(paths[["file", "path", "digest"]], on="file")
    traces = traces[[matches(c, context.config.archive.select) for c in traces["channel"]]]
    traces = traces[[matches(c, context.patterns) for c in traces["channel"]]]
    if not _any_within(traces, *context.config.archive.span_ns()):
        settings = context.config.archive
        span = f" between {settings.start or 'the beginning'} and {settings.end or 'the end'}"
        msg = f"no record of the stations {', '.join(settings.select)}{span}; see 'gravdask scan'"
        raise ReadError(msg)
    good, notes = _fitting(traces)
    good, problems = _covered(good)
    return Placed(whole_archive(good, context.channels), notes, problems)


def _any_within(traces: pd.DataFrame, first_ns: int | None, last_ns: int | None) -> bool:
    """Whether any trace lies in a span of time."""
    if traces.empty:
        return False
    seconds = traces["npts"] / np.array([Rate.parse(r).hz for r in traces["rate"]])
    before = traces["start_ns"] < (np.iinfo(np.int64).max if last_ns is None else last_ns)
    after = traces["start_ns"] + seconds * 1e9 > (-np.inf if first_ns is None else first_ns)
    return bool((before & after).any())


def _covered(traces: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Leave out traces at times that the store does not cover, and list them."""
    end_ns = ORIGIN_NS + SPAN_DAYS * DAY_NS
    rates = {text: Rate.parse(text).interval_ns for text in set(traces["rate"])}
    spans = zip(traces["start_ns"], traces["npts"], traces["rate"], strict=True)
    inside = np.array(
        [start >= ORIGIN_NS and start + npts * rates[rate] <= end_ns for start, npts, rate in spans], bool
    )
    problems = [
        {
            "where": path,
            "line": 0,
            "what": f"a trace of {channel} begins at {utc_text(start)}, outside the years 1950 to 2151 of the store",
            "cure": "correct the clock of the file",
        }
        for path, channel, start in traces.loc[~inside, ["path", "channel", "start_ns"]].to_numpy()
    ]
    return traces[inside], problems


def _fitting(traces: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Leave out rates that put no whole number of samples into a day, with a note on each channel."""
    notes, bad = [], set()
    for rate in sorted(set(traces["rate"])):
        try:
            record_blocks(Rate.parse(rate))
        except GridError as error:
            bad.add(rate)
            channels = ", ".join(sorted(set(traces.loc[traces["rate"] == rate, "channel"])))
            notes.append(f"{channels}: left out: {error}")
    return traces[~traces["rate"].isin(bad)], notes


def emptied(context: Context, plans: list[ChannelPlan]) -> list[ChannelPlan]:
    """Chosen channels of the store that no file of the archive holds any more: their units will be emptied."""
    planned = {plan.name for plan in plans}
    gone = [c for c in context.chosen() if c.name not in planned]
    return [
        ChannelPlan(c.name, c.rate, list(c.phases), c.dtype, c.decimals, c.kind, (), (None, None, None), [])
        for c in gone
    ]


def describe(plan: ChannelPlan, table: StationTable) -> tuple[Channel, list[str]]:
    """Join what files and metadata say of a channel; gives notes on what is unknown or contradictory."""
    identity = ChannelId.parse(plan.name.split("@")[0])
    extent = (min(p.start for p in plan.placements), max(p.stop for p in plan.placements))
    notes: list[str] = []
    latitude, longitude, elevation = plan.location
    try:
        known = table.lookup(identity)
    except StationError as error:
        notes.append(str(error))
        known = None
    if known is not None and known.has_coordinates:
        latitude, longitude = known.latitude, known.longitude
        elevation = known.elevation if known.elevation is not None else elevation
    quantity, unit, calibrations = _calibration(plan, identity, table, notes)
    channel = Channel(
        name=plan.name,
        rate=plan.rate,
        phases=tuple(plan.phases),
        dtype=plan.dtype,
        decimals=plan.decimals,
        kind=plan.kind,
        quantity=quantity,
        source_unit=unit,
        latitude=latitude,
        longitude=longitude,
        elevation=elevation,
        calibrations=calibrations,
        pressure="",
        extent=extent,
    )
    if not channel.located and plan.kind in {"gravity", "seismic"}:
        notes.append(
            f"{plan.name}: no coordinates, so no tide is subtracted and no earthquake window predicted; "
            "give them with --stations (CSV or StationXML)"
        )
    return channel, notes


def _calibration(
    plan: ChannelPlan, identity: ChannelId, table: StationTable, notes: list[str]
) -> tuple[str, str, tuple[Calibration, ...]]:
    """Quantity, stated unit and calibration table of a channel."""
    stated = plan.units[0] if plan.units else ""
    if len(plan.units) > 1:
        notes.append(f"{plan.name}: its files state several units ({', '.join(plan.units)}); {stated} is taken")
    try:
        unit = parse_unit(stated) if stated else None
    except UnitsError as error:
        notes.append(f"{plan.name}: {error}; its record stays in the numbers of the source")
        unit = None
    if unit is not None and unit.kind != "counts":
        entry = Calibration(*ALWAYS, unit.factor, 0.0, INTERNAL_UNITS[unit.kind])
        return unit.kind, stated, (entry,)
    entries = []
    for item in table.entries:
        about = item.metadata
        if not (item.fits(identity) and about.sensitivity and about.input_unit):
            continue
        try:
            physical = parse_unit(about.input_unit)
        except UnitsError:
            continue
        if physical.kind in {"acceleration", "pressure"}:
            start = ALWAYS[0] if about.start_ns is None else about.start_ns
            end = ALWAYS[1] if about.end_ns is None else about.end_ns
            factor = physical.factor / about.sensitivity
            entries.append((physical.kind, Calibration(start, end, factor, 0.0, INTERNAL_UNITS[physical.kind])))
    kinds = {kind for kind, _ in entries}
    if len(kinds) == 1:
        return kinds.pop(), stated or "counts", _disjoint([e for _, e in entries])
    return "counts", stated or "counts", (Calibration(*ALWAYS, 1.0, 0.0, "counts"),)


def _disjoint(entries: list[Calibration]) -> tuple[Calibration, ...]:
    """Epochs in their order, each cut where the next begins; one that repeats another is dropped."""
    ordered = sorted(set(entries), key=lambda e: e.start_ns)
    kept: list[Calibration] = []
    for entry in ordered:
        if kept and kept[-1].end_ns > entry.start_ns:
            if kept[-1].factor == entry.factor:
                kept[-1] = replace(kept[-1], end_ns=max(kept[-1].end_ns, entry.end_ns))
                continue
            kept[-1] = replace(kept[-1], end_ns=entry.start_ns)
        kept.append(entry)
    return tuple(kept)


def link_pressure(channels: dict[str, Channel]) -> dict[str, Channel]:
    """Link every channel to its station's air pressure: that of the same rate first, then by name."""
    barometers = sorted((c for c in channels.values() if c.quantity == "pressure"), key=lambda c: c.name)
    linked = {}
    for name, channel in channels.items():
        own = [(b.rate != channel.rate, b.name) for b in barometers if b.station == channel.station]
        linked[name] = replace(channel, pressure=min(own)[1] if own and channel.kind == "gravity" else "")
    return linked


def create_channels(context: Context, plans: list[ChannelPlan], table: StationTable) -> list[str]:
    """Write what is known of the planned channels into the store and make their records; gives notes."""
    notes: list[str] = []
    found = dict(context.channels)
    for plan in plans:
        channel, remarks = describe(plan, table)
        notes += remarks
        known = context.channels.get(plan.name)
        if known is not None:
            extent = (min(known.extent[0], channel.extent[0]), max(known.extent[1], channel.extent[1]))
            channel = replace(channel, extent=extent)
            if (known.dtype, known.decimals) != (channel.dtype, channel.decimals):
                notes.append(
                    f"{plan.name}: wider numbers ({channel.dtype}, {channel.decimals} decimals) need the whole record "
                    "to be written again"
                )
        found[plan.name] = channel
    root = context.root(create=True)
    for name, channel in link_pressure(found).items():
        if channel == context.channels.get(name):
            continue
        raw = root.require_group(f"{name}/raw")
        attributes: dict[str, Any] = {"long_name": "record", "units": channel.source_unit, "coordinates": ""}
        if channel.dtype.startswith("int"):
            attributes |= {"scale_factor": 10.0**-channel.decimals, "missing_value": missing_value(channel.dtype)}
        create_array(raw, "record", record_blocks(channel.rate), ("time",), channel.dtype, attributes=attributes)
        raw.attrs.put({"channel": channel.to_attributes()})
    context.reload()
    return notes

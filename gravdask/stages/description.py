"""From what files, metadata and a person say to the channels of the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import zarr

from gravdask.archive.operator_log import LogRow
from gravdask.archive.stations import StationEntry, StationTable
from gravdask.archive.traces import MOTION, ChannelId
from gravdask.errors import StationError
from gravdask.grid import record_blocks
from gravdask.preprocess.units import parse_unit
from gravdask.stages.base import Context
from gravdask.stages.calibrating import NO_MOTION, calibrate_channel
from gravdask.stages.channels import Channel
from gravdask.stages.locating import locate_channel
from gravdask.stages.placement import ChannelPlan
from gravdask.stages.stated import Stated, load_log
from gravdask.store.layout import create_array, missing_value
from gravdask.store.place import Place

NEAR_SHOWN = 3
"""Entries of the station table that a note names at most."""
NEAR_CODE = 0.6
"""How alike station codes must be for a note to name one: two letters of three."""


def describe(plan: ChannelPlan, table: StationTable, spare: Sequence[str] = ()) -> tuple[Channel, list[str]]:
    """Join what files, metadata and a person say of a channel; gives notes on what is unknown or contradictory.

    Parameters
    ----------
    plan
        Of the channel.
    table
        All that is known of stations.
    spare
        Stations of the table without records (`spare_stations`), one of which may have been meant.
    """
    place = locate_channel(plan, table)
    worth = calibrate_channel(plan, table)
    kind = _kind(plan, table, worth.quantity)
    limit, applied = plan.stated.first("velocity_limit"), plan.stated.first("tide_applied")
    channel = Channel(
        name=plan.name,
        rate=plan.rate,
        phases=tuple(plan.phases),
        dtype=plan.dtype,
        decimals=plan.decimals,
        kind=kind,
        quantity=worth.quantity,
        source_unit=worth.source_unit,
        latitude=place.latitude,
        longitude=place.longitude,
        elevation=place.elevation,
        calibrations=worth.table,
        pressure="",
        extent=plan.extent,
        tide_applied=plan.tide_applied if applied is None else bool(applied),
        places=place.epochs,
        responses=worth.responses if kind == "seismic" else (),
        masks=plan.stated.masks(),
        log_steps=plan.stated.steps() if kind == "gravity" else (),
        velocity_limit=None if limit is None else limit * parse_unit("m/s").factor,
    )
    notes = [*place.notes, *worth.notes]
    if not channel.located and kind in MOTION:
        notes.append(
            f"{plan.name}: no coordinates{_beside(plan.name, table, spare)}, so no tide is subtracted and no "
            "earthquake window predicted; give them with --stations (CSV, StationXML or dataless SEED) or in "
            "[[archive.channels]]"
        )
    return channel, list(dict.fromkeys(notes))


def spare_stations(plans: Iterable[ChannelPlan], table: StationTable) -> list[str]:
    """Stations of a table with coordinates and without records, sorted."""
    used = {ChannelId.parse(plan.name.split("@")[0]).station for plan in plans}
    return sorted({e.station for e in table.entries if e.metadata.has_coordinates} - used)


def _beside(name: str, table: StationTable, spare: Sequence[str]) -> str:
    """What the station table has that may have been meant for a channel that no entry fits, in words.

    Those of one network that is misnamed get the same words, so that they can be told as one.
    """
    channel = ChannelId.parse(name.split("@")[0])
    own = [e for e in table.entries if e.metadata.has_coordinates and e.station == channel.station]
    words = list(dict.fromkeys(f"only for {_differing(e, channel)}" for e in own if not e.fits(channel)))
    like = get_close_matches(channel.station, spare, NEAR_SHOWN, NEAR_CODE)
    if like and not own:
        return f" (the station table has no {channel.station}; it has {', '.join(like)}, without records)"
    return f" (the station table has the station {' or '.join(words[:NEAR_SHOWN])})" if words else ""


def _differing(entry: StationEntry, channel: ChannelId) -> str:
    """In what an entry of a channel's station does not fit the channel."""
    parts = (
        ("network", entry.network, channel.network),
        ("location", entry.location, channel.location),
        ("channel", entry.code, channel.code),
    )
    return ", ".join(f"{what} {its or '--'}" for what, its, wanted in parts if its not in {None, wanted})


def _kind(plan: ChannelPlan, table: StationTable, quantity: str) -> str:
    """Kind of a channel: as a person states it, else by what its metadata measure, else by its name."""
    stated = plan.stated.first("kind")
    if stated is not None:
        return str(stated)
    if quantity == "pressure":
        return "pressure"
    if quantity == "acceleration" and plan.kind == "other":
        return "gravity"
    try:
        gains = table.gains(ChannelId.parse(plan.name.split("@")[0]))
    except StationError:
        gains = []
    units = {str(s.value.input_unit).upper() for s in gains}
    return "other" if quantity == "counts" and units and units <= NO_MOTION else plan.kind


def evidence(stated: Stated) -> dict[str, Any]:
    """What a person stated of a channel, as attributes that are kept beside its record."""
    entries = [json.dumps(e.model_dump(mode="json", exclude_none=True), ensure_ascii=False) for e in stated.entries]
    found = {"stated": entries, "operator_log": [str(row) for row in stated.log]}
    return {key: lines for key, lines in found.items() if lines}


def link_pressure(
    channels: dict[str, Channel], stated: Mapping[str, str] | None = None, notes: list[str] | None = None
) -> dict[str, Channel]:
    """Link every channel to its station's air pressure: that of the same rate first, then by name.

    Parameters
    ----------
    channels
        All channels of the store.
    stated
        Names of the barometers that a person states, by channel; '' for none at all.
    notes
        Filled with what is wrong about those.
    """
    barometers = sorted((c for c in channels.values() if c.quantity == "pressure"), key=lambda c: c.name)
    linked = {}
    for name, channel in channels.items():
        own = [(b.rate != channel.rate, b.name) for b in barometers if b.station == channel.station]
        chosen = min(own)[1] if own and channel.kind == "gravity" else ""
        wanted = (stated or {}).get(name)
        if wanted is not None and channel.kind != "pressure":
            if wanted and wanted not in {b.name for b in barometers} and notes is not None:
                notes.append(
                    f"{name}: [[archive.channels]] names the air pressure {wanted}, which the store does not hold; "
                    f"{chosen or 'none'} is used"
                )
            else:
                chosen = wanted
        linked[name] = replace(channel, pressure=chosen)
    return linked


@dataclass(frozen=True)
class _Described:
    """A channel as it is to stand in the store, and what a person stated of it."""

    channel: Channel
    evidence: dict[str, Any]


def create_channels(context: Context, plans: list[ChannelPlan], table: StationTable) -> list[str]:
    """Write what is known of the planned channels into the store and make their records; gives notes."""
    log = load_log(context.config.archive)
    notes: list[str] = []
    different = _different(context, plans, table, log, notes)

    def still() -> bool:
        """Look again whether anything is to be written: another job may have written the same meanwhile."""
        nonlocal different
        context.reload()
        different = _different(context, plans, table, log, [])
        return bool(different)

    if different:
        with context.turn(still) as needed:
            root = context.root(create=True)
            for item in different if needed else ():
                _write_channel(root, item)
        if needed:  # a store of a thousand channels takes seconds to open
            context.reload()
    keep_log(context, log)
    return notes


def _different(
    context: Context, plans: list[ChannelPlan], table: StationTable, log: tuple[LogRow, ...], notes: list[str]
) -> list[_Described]:
    """Channels that the store does not describe as they are now; adds notes on them."""
    found = dict(context.channels)
    spare = spare_stations(plans, table)
    for plan in plans:
        channel, remarks = describe(plan, table, spare)
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
    root = context.root()
    said = {name: Stated.of(name, context.config.archive, log) for name in found}
    pressure = {name: str(wanted) for name, s in said.items() if (wanted := s.first("pressure")) is not None}
    planned = {plan.name for plan in plans}
    different = []
    for name, channel in link_pressure(found, pressure, notes).items():
        kept = evidence(said[name])
        same = channel == context.channels.get(name)
        if same and _record_is_lost(context.store, name):
            notes.append(f"{name}: the metadata of its record were damaged or gone and are made again")
            same = False
        # What was stated is looked up only where something is: an attribute read a channel would cost a remote store.
        if not same or (kept and name in planned and _evidence_in(root, name) != kept):
            different.append(_Described(channel, kept))
    return different


def _write_channel(root: zarr.Group, item: _Described) -> None:
    """Make a channel's group and record, and describe it."""
    channel = item.channel
    raw = root.require_group(f"{channel.name}/raw")
    attributes: dict[str, Any] = {"long_name": "record", "units": channel.source_unit, "coordinates": ""}
    if channel.dtype.startswith("int"):
        attributes |= {"scale_factor": 10.0**-channel.decimals, "missing_value": missing_value(channel.dtype)}
    create_array(raw, "record", record_blocks(channel.rate), ("time",), channel.dtype, attributes=attributes)
    raw.attrs.put({"channel": channel.to_attributes(), **item.evidence})


def trim_extents(context: Context, plans: list[ChannelPlan]) -> None:
    """Bring the extents of channels in the store back to what they hold, once files are gone and their chunks emptied.

    An extent reaches over all files of the archive and over the chunks beside them that still hold samples: those that
    this run was not to touch.
    """
    trimmed: dict[str, Channel] = {}
    for plan in plans:
        channel = context.channels.get(plan.name)
        if channel is None or not plan.placements:
            continue
        start, stop = plan.extent
        if (start, stop) == channel.extent:
            continue
        chunk = record_blocks(channel.rate).chunk
        held = context.record_content(channel)
        if held and min(held) < start // chunk:
            start = max(min(held) * chunk, channel.extent[0])
        if held and max(held) >= -(-stop // chunk):
            stop = min((max(held) + 1) * chunk, channel.extent[1])
        if (start, stop) != channel.extent:
            trimmed[plan.name] = replace(channel, extent=(start, stop))
    if not trimmed:  # a store of a thousand channels takes seconds to open
        return
    root = context.root(create=True)
    with context.turn():
        for name, channel in trimmed.items():
            root[f"{name}/raw"].attrs.update({"channel": channel.to_attributes()})
    context.reload()


def _evidence_in(root: zarr.Group, name: str) -> dict[str, Any]:
    """What the store keeps of what a person stated of a channel."""
    return {key: value for key, value in dict(root[f"{name}/raw"].attrs).items() if key in {"stated", "operator_log"}}


def _record_is_lost(store: Place, name: str) -> bool:
    """Whether the metadata of a record cannot be read; they are then removed. Only looked for where that costs nothing.

    The shards stay: they are those of the record that is described anew.
    """
    place = store / name / "raw/record/zarr.json"
    if store.local is None:
        return False
    try:
        whole = "shape" in json.loads(place.read())
    except (FileNotFoundError, ValueError):
        whole = False
    if not whole:
        place.delete()
    return not whole


def keep_log(context: Context, log: tuple[LogRow, ...]) -> None:
    """Keep a copy of the operator's log in the store, as evidence for what was masked and corrected."""
    if not log:
        return
    place = context.store / "tables" / "operator_log.csv"
    content = Path(log[0].source).read_bytes()
    if not place.exists() or place.read() != content:
        place.write(content)

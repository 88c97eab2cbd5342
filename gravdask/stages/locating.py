"""Where a channel stood when: what a person states, else metadata, else the headers of its files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from gravdask.archive.epochs import ALWAYS
from gravdask.archive.stations import CONFLICT_KM, ChannelMetadata, StationTable, distance_km
from gravdask.archive.traces import ChannelId
from gravdask.errors import StationError
from gravdask.grid import utc_text
from gravdask.stages.placement import ChannelPlan
from gravdask.stages.record_spans import record_span


@dataclass(frozen=True)
class Located:
    """Where a channel stands.

    Attributes
    ----------
    latitude, longitude, elevation
        At the end of the record [degree, m], None where unknown.
    epochs
        (start, end [ns since 1970], latitude, longitude, elevation) that cover all time; empty for a single place.
    notes
        What a person should know.
    """

    latitude: float | None
    longitude: float | None
    elevation: float | None
    epochs: tuple[tuple[int, int, float, float, float | None], ...]
    notes: tuple[str, ...]


def locate_channel(plan: ChannelPlan, table: StationTable) -> Located:
    """Find the places of a channel; before the first and after the last epoch the nearest one holds."""
    identity = ChannelId.parse(plan.name.split("@")[0])
    notes: list[str] = []
    try:
        known = table.places(identity)
    except StationError as error:
        notes.append(str(error))
        known = []
    header = ChannelMetadata(*plan.location, source="the headers of its files")
    edges = {*ALWAYS, *plan.stated.edges(("latitude", "elevation"))}
    edges |= {edge for stretch in known for edge in (stretch.start_ns, stretch.end_ns)}
    begin, end = record_span(plan)
    found: list[ChannelMetadata] = []
    said: dict[str, str] = {}
    for first, last in pairwise(sorted(edges)):
        beside = next((s.value for s in known if s.start_ns <= first and last <= s.end_ns), None)
        stated = _stated(plan, first, last)
        sources = [s for s in (stated, beside, header) if s is not None and s.has_coordinates]
        if not sources:
            continue
        elevations = [_stated_elevation(plan, first, last), *(s.elevation for s in sources)]
        elevation = next((e for e in elevations if e is not None), None)
        found.append(replace(sources[0], elevation=elevation, start_ns=first, end_ns=last))
        if first < end and last > begin:
            for other in sources[1:]:
                _compare(plan, sources[0], other, max(first, begin), said)
    notes += said.values()
    if not found:
        return Located(None, None, plan.location[2], (), tuple(notes))
    epochs = _filled(found)
    at = end - 1
    own = next(e for e in epochs if e[0] <= at < e[1] or e is epochs[-1])
    return Located(own[2], own[3], own[4], epochs if len(epochs) > 1 else (), tuple(notes))


def _stated(plan: ChannelPlan, first: int, last: int) -> ChannelMetadata | None:
    """Coordinates that a person states for a stretch of time."""
    entry = plan.stated.at("latitude", first, last)
    if entry is None or entry.latitude is None or entry.longitude is None:
        return None
    longitude = (entry.longitude + 180) % 360 - 180 if entry.longitude >= 180 else entry.longitude
    return ChannelMetadata(entry.latitude, longitude, entry.elevation, source=f"[[archive.channels]] {entry.pattern}")


def _stated_elevation(plan: ChannelPlan, first: int, last: int) -> float | None:
    """Elevation that a person states for a stretch of time, with or without coordinates."""
    entry = plan.stated.at("elevation", first, last)
    return None if entry is None else entry.elevation


def _compare(
    plan: ChannelPlan, used: ChannelMetadata, other: ChannelMetadata, time_ns: int, said: dict[str, str]
) -> None:
    """Note two sources that put a channel at places too far apart, once for each pair."""
    distance = distance_km(used, other)
    if distance > CONFLICT_KM:
        one, two = (f"{m.latitude}, {m.longitude} ({_short(m.source)})" for m in (used, other))
        said.setdefault(
            f"{one} {two}",
            f"{plan.name}: {one} and {two} lie {distance:.1f} km apart (from {utc_text(time_ns)} on); the former is "
            "used; correct one of them",
        )


def _short(source: str) -> str:
    """Name of a file, or what else a source is called."""
    return Path(source).name if "[[" not in source else source


def _filled(found: list[ChannelMetadata]) -> tuple[tuple[int, int, float, float, float | None], ...]:
    """Epochs that cover all time, those at one place made one."""
    epochs: list[tuple[int, int, float, float, float | None]] = []
    for about in found:
        place = (float(about.latitude or 0.0), float(about.longitude or 0.0), about.elevation)
        start, end = about.span
        if epochs and epochs[-1][2:] == place:
            epochs[-1] = (epochs[-1][0], end, *place)
            continue
        if epochs:
            epochs[-1] = (epochs[-1][0], start, *epochs[-1][2:])
        epochs.append((start if epochs else ALWAYS[0], end, *place))
    epochs[-1] = (epochs[-1][0], ALWAYS[1], *epochs[-1][2:])
    return tuple(epochs)

"""What a catalogue is inside: checked events, the problems met on the way, and the digest of the events."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

DEFAULT_DEPTH_KM = 10.0
"""Focal depth taken where a catalogue gives none, the usual convention for shallow events of unresolved depth."""
LIMITS = {
    "latitude": (-90.0, 90.0, "degrees"),
    "longitude": (-180.0, 360.0, "degrees"),
    "depth": (-10.0, 800.0, "km"),
    "magnitude": (-5.0, 10.0, ""),
}
"""Smallest and largest value that is believed, with its unit; what lies outside is listed as a problem."""
YEARS = (1700, 2260)
"""Years whose times fit into int64 nanoseconds."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Problem:
    """Something in a catalogue that could not be taken as it stands.

    Attributes
    ----------
    path
        The file.
    line
        Line number in it, counted from 1; None where the format does not tell.
    what
        What was found and what was expected.
    cure
        What was done about it, or what the user can do.
    left_out
        Whether the event is missing from the catalogue because of it.
    """

    path: str
    line: int | None
    what: str
    cure: str
    left_out: bool = True


class Event(NamedTuple):
    """One checked event, in the order of the columns of `Catalog.events`."""

    event_id: str
    time_ns: int
    latitude: float
    longitude: float
    depth_km: float
    magnitude: float
    magnitude_type: str
    place: str


class BrokenEventError(ValueError):
    """One event of a catalogue cannot be used; it becomes a `Problem`, never an end of the reading."""


@dataclass(frozen=True)
class Catalog:
    """The events of one catalogue file.

    Attributes
    ----------
    events
        One row per event, sorted by time, then id: event_id (str), time_ns (int64, ns since 1970 UTC), latitude,
        longitude [degrees, east positive, -180 to 180], depth_km [km], magnitude, magnitude_type (str), place (str).
    problems
        What was left out or filled in, in the order of the file.
    digest
        SHA-256 of the events as read: equal events give an equal digest, whatever the format or the order of rows.
    """

    events: pd.DataFrame
    problems: list[Problem]
    digest: str


def number(text: str, name: str) -> float:
    """Read a finite number within the limits of a quantity.

    Raises
    ------
    BrokenEventError
        If the text is no number, or the number is outside `LIMITS`.
    """
    low, high, unit = LIMITS[name]
    try:
        value = float(text)
    except ValueError:
        msg = f"{name} {text.strip()!r} is not a number"
        raise BrokenEventError(msg) from None
    if not low <= value <= high:
        msg = f"{name} {text.strip()} lies outside {low:g} to {high:g} {unit}".rstrip()
        raise BrokenEventError(msg)
    return value


def time_from_iso(text: str) -> int:
    """Read an ISO 8601 time [ns since 1970]; UTC unless it carries an offset.

    Raises
    ------
    BrokenEventError
        If it is not a time, or lies outside the years that nanoseconds in int64 can count.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        msg = f"time {text.strip()!r} is not of the form 2011-03-11T05:46:24.120Z"
        raise BrokenEventError(msg) from None
    return time_from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def time_from_datetime(moment: datetime) -> int:
    """Time of an aware datetime [ns since 1970].

    Raises
    ------
    BrokenEventError
        If it lies outside `YEARS`.
    """
    if not YEARS[0] <= moment.year <= YEARS[1]:
        msg = f"year {moment.year} lies outside {YEARS[0]} to {YEARS[1]}"
        raise BrokenEventError(msg)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def time_from_parts(year: str, month: str, day: str, hour: str, minute: str, second: str) -> int:
    """Read a time from its parts [ns since 1970]; 60.0 seconds are the next minute, as rounding makes them.

    Raises
    ------
    BrokenEventError
        If a part is no number or the parts make no time.
    """
    try:
        start = datetime(int(year), int(month), int(day), int(hour), int(minute), tzinfo=UTC)
        seconds = float(second)
    except ValueError as error:
        given = " ".join(part.strip() for part in (year, month, day, hour, minute, second))
        msg = f"time {given!r} is not year month day hour minute second ({error})"
        raise BrokenEventError(msg) from None
    if not 0 <= seconds < 61:
        msg = f"second {second.strip()} lies outside 0 to 61"
        raise BrokenEventError(msg)
    return time_from_datetime(start) + round(seconds * 1e6) * 1000


def signed_longitude(longitude: float) -> float:
    """Longitude brought into [-180, 180] degrees; a value already there is kept as it is."""
    return longitude - 360.0 if longitude > 180 else longitude


def assemble(found: Iterable[tuple[int | None, Event]], problems: list[Problem], path: str) -> Catalog:
    """Sort the events, keep one of each id, and put their digest beside them.

    Parameters
    ----------
    found
        Line number and event, in the order of the file.
    problems
        What the reader met; repeated events that contradict each other are added.
    path
        The file, for the problems.
    """
    kept: dict[str, Event] = {}
    problems = list(problems)
    for line, event in found:
        first = kept.setdefault(event.event_id, event)
        if first != event:
            what = f"event {event.event_id} occurs again with other values"
            problems.append(Problem(path, line, what, "the first one is kept; remove the one that is out of date"))
    ordered = sorted(kept.values(), key=lambda event: (event.time_ns, event.event_id))
    events = pd.DataFrame(ordered, columns=list(Event._fields)).astype(
        {
            "time_ns": "int64",
            "latitude": "float64",
            "longitude": "float64",
            "depth_km": "float64",
            "magnitude": "float64",
        }
    )
    problems.sort(key=lambda problem: math.inf if problem.line is None else problem.line)
    return Catalog(events, problems, events_digest(ordered))


def events_digest(events: Iterable[Event]) -> str:
    """SHA-256 of events in their order: the bytes of their numbers and of their text, exactly."""
    sha = hashlib.sha256()
    for event in events:
        sha.update(np.array(event.time_ns, dtype="<i8").tobytes())
        sha.update(np.array(event[2:6], dtype="<f8").tobytes())
        sha.update("\x1f".join((event.event_id, event.magnitude_type, event.place)).encode() + b"\x1e")
    return sha.hexdigest()

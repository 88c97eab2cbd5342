"""Catalogues as QuakeML, and the Global CMT project's NDK, through obspy."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

from obspy import read_events
from obspy.io.ndk.core import ObsPyNDKException

from gravdask.catalog.model import (
    DEFAULT_DEPTH_KM,
    BrokenEventError,
    Catalog,
    Event,
    Problem,
    assemble,
    number,
    signed_longitude,
    time_from_iso,
)
from gravdask.errors import CatalogError

_UNREADABLE = (ObsPyNDKException, SyntaxError, ValueError, TypeError, LookupError, AttributeError, RuntimeError)
"""What obspy raises over broken files, by experience; lxml's own error is a SyntaxError."""
_NUMBERED = re.compile(r"eventid=([^&;#]+)", re.IGNORECASE)


def read_with_obspy(path: str, content: bytes, form: str) -> Catalog:
    """Read a QuakeML or NDK file.

    The time and place of rupture are wanted, so a centroid (69 s late for Tohoku 2011) counts only where an event has
    no other origin; and the preferred magnitude, else a moment magnitude, else the first.

    Parameters
    ----------
    path
        The file, for messages.
    content
        All its bytes.
    form
        ``"QUAKEML"`` or ``"NDK"``, as obspy calls them.

    Raises
    ------
    CatalogError
        If obspy cannot read the file as that format at all.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a value obspy cannot read becomes None, which is listed below
        try:
            source = list(read_events(io.BytesIO(content), format=form))
        except _UNREADABLE as error:
            msg = f"{path}: broken or cut off, cannot be read as {form}; download it again, or use USGS ComCat CSV"
            raise CatalogError(msg) from error
    text = content.decode("utf-8", errors="replace")
    full = [str(event.resource_id) for event in source]
    short = [_short_id(name) for name in full]
    names = short if len(set(short)) == len(set(full)) else full
    found: list[tuple[int | None, Event]] = []
    problems: list[Problem] = []
    for entry, name, resource in zip(source, names, full, strict=True):
        line = _line_of(text, resource)
        try:
            event, note = _event(entry, name)
        except BrokenEventError as error:
            problems.append(Problem(path, line, f"event {name}: {error}", "the event is left out; correct the file"))
            continue
        if note:
            problems.append(Problem(path, line, note, f"{DEFAULT_DEPTH_KM:g} km is assumed", left_out=False))
        found.append((line, event))
    return assemble(found, problems, path)


def _event(entry: Any, name: str) -> tuple[Event, str]:  # noqa: ANN401 (obspy has no types)
    """Turn an obspy event into ours and a note, empty if there is nothing to note.

    Raises
    ------
    BrokenEventError
        If it has no origin, origin time, coordinates or magnitude.
    """
    origin = _best_origin(entry)
    magnitude = _best_magnitude(entry)
    if origin is None or origin.time is None:
        msg = "it has no origin with a time"
        raise BrokenEventError(msg)
    if origin.latitude is None or origin.longitude is None:
        msg = "its origin has no coordinates"
        raise BrokenEventError(msg)
    if magnitude is None:
        msg = "it has no magnitude"
        raise BrokenEventError(msg)
    depth = DEFAULT_DEPTH_KM if origin.depth is None else number(repr(origin.depth / 1000), "depth")
    event = Event(
        name,
        time_from_iso(str(origin.time)),
        number(repr(float(origin.latitude)), "latitude"),
        signed_longitude(number(repr(float(origin.longitude)), "longitude")),
        depth,
        number(repr(float(magnitude.mag)), "magnitude"),
        magnitude.magnitude_type or "",
        next((d.text.strip() for d in entry.event_descriptions if d.text and d.type != "earthquake name"), ""),
    )
    return event, f"event {name} has no depth" if origin.depth is None else ""


def _best_origin(entry: Any) -> Any:  # noqa: ANN401 (obspy has no types)
    """Origin of the rupture: the preferred one, unless that is a centroid and another is at hand."""
    preferred = entry.preferred_origin()
    candidates = ([preferred] if preferred else []) + list(entry.origins)
    ruptures = [origin for origin in candidates if origin.origin_type != "centroid"]
    return next(iter(ruptures or candidates), None)


def _best_magnitude(entry: Any) -> Any:  # noqa: ANN401 (obspy has no types)
    """Preferred magnitude, else the first moment magnitude, else the first; Global CMT writes 0.0 for none."""
    preferred = [entry.preferred_magnitude()] if entry.preferred_magnitude() else []
    moment = [m for m in entry.magnitudes if (m.magnitude_type or "").lower().startswith("mw")]
    return next((m for m in [*preferred, *moment, *entry.magnitudes] if m.mag), None)


def _short_id(resource: str) -> str:
    """Give the part of a resource identifier that tells the event: its eventid, else what follows the last slash."""
    match = _NUMBERED.search(resource)
    return match.group(1) if match else resource.removesuffix("/event").rsplit("/", 1)[-1]


def _line_of(text: str, resource: str) -> int | None:
    """Line in which a resource identifier first occurs; None where the file does not hold it literally."""
    place = text.find(resource)
    return None if place < 0 else text.count("\n", 0, place) + 1

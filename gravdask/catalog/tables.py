"""Catalogues as comma-separated tables: USGS ComCat and ISC-GEM (as published, and with the time in parts)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

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
    time_from_parts,
)


@dataclass(frozen=True)
class Layout:
    """Which columns of a table hold what, by lower-case column name.

    Attributes
    ----------
    name
        What to call the format.
    time
        One column with an ISO time, or six with year, month, day, hour, minute and second.
    place
        None where the table has no such column.
    magnitude_type
        A column, or a constant after ``=``.
    """

    name: str
    time: tuple[str, ...]
    latitude: str
    longitude: str
    depth: str
    magnitude: str
    event_id: str
    magnitude_type: str
    place: str | None

    def columns(self) -> tuple[str, ...]:
        """Columns that a header must have to be of this layout."""
        return (*self.time, self.latitude, self.longitude, self.depth, self.magnitude, self.event_id)


LAYOUTS = (
    Layout("USGS ComCat", ("time",), "latitude", "longitude", "depth", "mag", "id", "magtype", "place"),
    Layout(
        "ISC-GEM with the time in parts",
        ("year", "month", "day", "hour", "minute", "second"),
        "latitude",
        "longitude",
        "depth",
        "magnitude",
        "eventid",
        "=mw",
        None,
    ),
    Layout("ISC-GEM", ("date",), "lat", "lon", "depth", "mw", "eventid", "=mw", None),
)


def find_layout(lines: list[str]) -> tuple[Layout, list[str], int] | None:
    """Find the header among the comment lines (``#``) and the first line that is none.

    Returns
    -------
    tuple or None
        The layout, the column names in lower case, and the number of lines up to and with the header.
    """
    for count, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        names = [cell.strip().lower() for cell in _cells(line.lstrip("# \t"))]
        for layout in LAYOUTS:
            if set(layout.columns()) <= set(names):
                return layout, names, count
        if not line.lstrip().startswith("#"):
            return None
    return None


def read_table(path: str, lines: list[str], layout: Layout, names: list[str], body: int) -> Catalog:
    """Read the rows below a header; a row that cannot be used is listed with its line, and the next is read.

    Empty lines, comments and repeated headers (of files put together) are passed over.

    Parameters
    ----------
    path
        The file, for the problems.
    lines
        All its lines.
    layout, names, body
        What `find_layout` returned.
    """
    problems: list[Problem] = []

    def events() -> Iterator[tuple[int | None, Event]]:
        for line, text in enumerate(lines[body:], start=body + 1):
            cells = _cells(text)
            if not text.strip() or text.startswith("#") or [cell.strip().lower() for cell in cells] == names:
                continue
            try:
                event, note = _event(layout, names, cells)
            except BrokenEventError as error:
                problems.append(Problem(path, line, str(error), "the event is left out; correct or remove the line"))
                continue
            if note:
                problems.append(Problem(path, line, note, f"{DEFAULT_DEPTH_KM:g} km is assumed", left_out=False))
            yield line, event

    found = list(events())
    return assemble(found, problems, path)


def _event(layout: Layout, names: list[str], cells: list[str]) -> tuple[Event, str]:
    """Turn the cells of a row into an event and a note, empty if there is nothing to note.

    Raises
    ------
    BrokenEventError
        If the row has another number of cells than the header, or a value is missing or impossible.
    """
    if len(cells) != len(names):
        msg = f"{len(cells)} values where the header has {len(names)} columns"
        raise BrokenEventError(msg)
    row = dict(zip(reversed(names), reversed(cells), strict=True))  # of two columns of one name the first counts
    event_id = row[layout.event_id].strip()
    if not event_id:
        msg = f"no event id in column {layout.event_id!r}"
        raise BrokenEventError(msg)
    if not row[layout.magnitude].strip():
        msg = f"event {event_id} has no magnitude"
        raise BrokenEventError(msg)
    times = [row[name] for name in layout.time]
    time_ns = time_from_iso(times[0]) if len(times) == 1 else time_from_parts(*times)
    depth = row[layout.depth].strip()
    kind = layout.magnitude_type
    event = Event(
        event_id,
        time_ns,
        number(row[layout.latitude], "latitude"),
        signed_longitude(number(row[layout.longitude], "longitude")),
        number(depth, "depth") if depth else DEFAULT_DEPTH_KM,
        number(row[layout.magnitude], "magnitude"),
        kind[1:] if kind.startswith("=") else row.get(kind, "").strip(),
        row.get(layout.place, "").strip() if layout.place else "",
    )
    return event, "" if depth else f"event {event_id} has no depth"


def _cells(line: str) -> list[str]:
    """Split one line; lines are taken singly so that a lost quotation mark spoils one event, not the rest."""
    return next(csv.reader([line]), [])

"""Tables of station coordinates as people keep them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gravdask.archive.csv_tables import Columns, finite_number, in_words, numbered_lines
from gravdask.archive.traces import sanitise
from gravdask.errors import StationError
from gravdask.grid import utc_ns

_TITLES = {
    "network": ("network", "net", "network_code", "knetwk"),
    "station": ("station", "sta", "stationid", "station_id", "station_code", "code", "site", "kstnm", "name"),
    "location": ("location", "loc", "location_code", "khole"),
    "code": ("channel", "cha", "chan", "channel_code", "kcmpnm"),
    "latitude": ("latitude", "lat", "stla", "latitude_deg"),
    "longitude": ("longitude", "lon", "long", "lng", "stlo", "longitude_deg"),
    "elevation": ("elevation", "elev", "height", "altitude", "alt", "stel", "elevation_m", "height_m"),
    "start": ("start", "from", "starttime", "start_time", "start_date", "startdate", "valid_from"),
    "end": ("end", "to", "endtime", "end_time", "end_date", "enddate", "valid_to"),
}
_HEAD_BYTES = 8192


@dataclass(frozen=True)
class CsvRow:
    """One station of a table; None in the pattern fits all, None as a time [ns since 1970] is open."""

    network: str | None
    station: str
    location: str | None
    code: str | None
    latitude: float
    longitude: float
    elevation: float | None
    start_ns: int | None = None
    end_ns: int | None = None


def read_csv_rows(path: Path) -> list[CsvRow]:
    """Read the rows of a station table.

    Raises
    ------
    StationError
        If the file cannot be read, a column is missing, or rows are wrong (all of them are named).
    """
    lines = numbered_lines(path, "the table of stations", StationError)
    columns, place = _header(lines)
    if columns is None:
        first = f"line {lines[0][0]} {lines[0][1][:60]!r}" if lines else "nothing"
        msg = f"{path}: found {first}, expected a header with the columns station, latitude, longitude (and elevation)"
        raise StationError(msg)
    rows, faults = [], []
    for number, line in lines[place + 1 :]:
        if line.lstrip().startswith("#"):
            continue
        try:
            rows.append(_row(columns.cells(line)))
        except ValueError as error:
            faults.append((number, str(error)))
    if faults:
        msg = f"{path}: {in_words(faults)}; correct the table"
        raise StationError(msg)
    if not rows:
        msg = f"{path}: holds no stations; expected a row per station below the header"
        raise StationError(msg)
    return rows


def is_station_table(path: Path) -> bool:
    """Whether the first kilobytes of a file hold the header of a table of stations; not if it cannot be opened."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return False
    return _header([(number, line) for number, line in enumerate(head.splitlines(), 1) if line.strip()])[0] is not None


def _header(lines: list[tuple[int, str]]) -> tuple[Columns | None, int]:
    """Columns, by the header, and its place among the lines; only comments may stand before it."""
    for place, (_, line) in enumerate(lines):
        columns = Columns.of(line.lstrip("# \t"), _TITLES)
        if {"station", "latitude", "longitude"} <= columns.places.keys():
            return columns, place
        if not line.lstrip().startswith("#"):
            break
    return None, 0


def _row(cells: Mapping[str, str]) -> CsvRow:
    """Check one row; raises ValueError with what is wrong."""
    network, station = cells["network"], cells["station"]
    if "." in station and not network:
        network, station = station.split(".", 1)
    if not station or sanitise(station) != station or sanitise(network) != network:
        msg = f"station {cells['station']!r} in network {network!r}, expected codes of A-Z, a-z, 0-9, _ and -"
        raise ValueError(msg)
    latitude, longitude = finite_number(cells["latitude"], "latitude"), finite_number(cells["longitude"], "longitude")
    if not -90 <= latitude <= 90:
        hint = "; latitude and longitude may be swapped" if abs(longitude) <= 90 else ""
        msg = f"latitude {latitude} lies outside -90 to 90{hint}"
        raise ValueError(msg)
    if not -180 <= longitude <= 360:
        msg = f"longitude {longitude} lies outside -180 to 360"
        raise ValueError(msg)
    elevation = finite_number(cells["elevation"], "elevation") if cells["elevation"] else None
    start, end = _time(cells["start"], "start"), _time(cells["end"], "end")
    if start is not None and end is not None and start >= end:
        msg = f"start {cells['start']} is not before end {cells['end']}"
        raise ValueError(msg)
    location = cells["location"] or None
    return CsvRow(
        network=network if network not in {"", "*"} else None,
        station=station,
        location="" if location and not location.strip("-") else location if location != "*" else None,
        code=cells["code"] if cells["code"] not in {"", "*"} else None,
        latitude=latitude,
        longitude=(longitude + 180) % 360 - 180 if longitude >= 180 else longitude,
        elevation=elevation,
        start_ns=start,
        end_ns=end,
    )


def _time(text: str, name: str) -> int | None:
    """Read a time [ns since 1970]; None if it is empty or so far off that it stands for an open end."""
    try:
        return utc_ns(text) if text else None
    except ValueError as error:
        msg = f"{name} {text!r} is no time; {error}"
        raise ValueError(msg) from error

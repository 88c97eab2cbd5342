"""Tables of station coordinates as people keep them."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gravdask.archive.traces import sanitise
from gravdask.errors import StationError

_NAMES = {
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
_SEPARATORS = ",;\t|"
_MOST_SHOWN = 5
_ISO = re.compile(r"^\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?)?)?$")
_OPEN_S = 9_200_000_000
"""Seconds from 1970 beyond which int64 nanoseconds do not reach: a year 2599 means that an epoch is open."""


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
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        msg = f"{path}: cannot be read: {error}; check the path"
        raise StationError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise StationError(msg) from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    separator, columns, rest = _header(path, lines)
    rows, faults = [], []
    for number, line in rest:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
        try:
            rows.append(_row(cells, columns))
        except ValueError as error:
            faults.append(f"row {number}: {error}")
    if faults:
        more = f" (and {len(faults) - _MOST_SHOWN} more)" if len(faults) > _MOST_SHOWN else ""
        msg = f"{path}: {'; '.join(faults[:_MOST_SHOWN])}{more}; correct the table"
        raise StationError(msg)
    if not rows:
        msg = f"{path}: holds no stations; expected a row per station below the header"
        raise StationError(msg)
    return rows


def _header(path: Path, lines: list[tuple[int, str]]) -> tuple[str, dict[str, int], list[tuple[int, str]]]:
    """Find the header line, its separator and the columns, and the lines below it that are no comments."""
    for place, (_, line) in enumerate(lines):
        bare = line.lstrip("# \t")
        separator = max(_SEPARATORS, key=bare.count)
        titles = [cell.strip().strip('"').lower() for cell in bare.split(separator)]
        titles = [title.split("(")[0].split("[")[0].strip().replace(" ", "_") for title in titles]
        columns = {
            name: next(titles.index(title) for title in known if title in titles)
            for name, known in _NAMES.items()
            if any(title in titles for title in known)
        }
        if {"station", "latitude", "longitude"} <= columns.keys():
            return separator, columns, [item for item in lines[place + 1 :] if not item[1].lstrip().startswith("#")]
        if not line.lstrip().startswith("#"):
            break
    first = f"line {lines[0][0]} {lines[0][1][:60]!r}" if lines else "nothing"
    msg = f"{path}: found {first}, expected a header with the columns station, latitude, longitude (and elevation)"
    raise StationError(msg)


def _row(cells: list[str], columns: dict[str, int]) -> CsvRow:
    """Check one row; raises ValueError with what is wrong."""

    def cell(name: str) -> str:
        at = columns.get(name)
        return cells[at] if at is not None and at < len(cells) else ""

    network, station = cell("network"), cell("station")
    if "." in station and not network:
        network, station = station.split(".", 1)
    if not station or sanitise(station) != station or sanitise(network) != network:
        msg = f"station {cell('station')!r} in network {network!r}, expected codes of A-Z, a-z, 0-9, _ and -"
        raise ValueError(msg)
    latitude, longitude = _number(cell("latitude"), "latitude"), _number(cell("longitude"), "longitude")
    if not -90 <= latitude <= 90:
        hint = "; latitude and longitude may be swapped" if abs(longitude) <= 90 else ""
        msg = f"latitude {latitude} lies outside -90 to 90{hint}"
        raise ValueError(msg)
    if not -180 <= longitude <= 360:
        msg = f"longitude {longitude} lies outside -180 to 360"
        raise ValueError(msg)
    elevation = _number(cell("elevation"), "elevation") if cell("elevation") else None
    start, end = _time(cell("start"), "start"), _time(cell("end"), "end")
    if start is not None and end is not None and start >= end:
        msg = f"start {cell('start')} is not before end {cell('end')}"
        raise ValueError(msg)
    location = cell("location") or None
    return CsvRow(
        network=network if network not in {"", "*"} else None,
        station=station,
        location="" if location and not location.strip("-") else location if location != "*" else None,
        code=cell("code") if cell("code") not in {"", "*"} else None,
        latitude=latitude,
        longitude=(longitude + 180) % 360 - 180 if longitude >= 180 else longitude,
        elevation=elevation,
        start_ns=start,
        end_ns=end,
    )


def _number(text: str, name: str) -> float:
    """Read a finite number; raises ValueError with what is wrong."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        hint = " (write a decimal point)" if "," in text else ""
        msg = f"{name} {text!r} is no number{hint}"
        raise ValueError(msg)
    return value


def _time(text: str, name: str) -> int | None:
    """Read an ISO 8601 time [ns since 1970]; None if it is empty or so far off that it stands for an open end."""
    plain = text.removesuffix("Z").replace(" ", "T", 1)
    if not plain:
        return None
    try:
        second = int(np.datetime64(plain if _ISO.match(plain) else "no time", "s").astype(np.int64))
    except ValueError:
        msg = f"{name} {text!r} is no time; expected ISO 8601 in UTC such as 2021-07-15"
        raise ValueError(msg) from None
    return int(np.datetime64(plain, "ns").astype(np.int64)) if abs(second) < _OPEN_S else None

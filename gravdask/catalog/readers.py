"""Read an earthquake catalogue, its format told by its content."""

from __future__ import annotations

import re
from os import PathLike, fspath
from pathlib import Path

from gravdask.catalog.model import Catalog
from gravdask.catalog.tables import find_layout, read_table
from gravdask.errors import CatalogError

_NDK_LINE = re.compile(rb"^.{4,5}\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2}\.\d ")
_EXPECTED = (
    "expected USGS ComCat CSV (header with time, latitude, longitude, depth, mag, id), ISC-GEM CSV (header with "
    "eventID, year ... second, latitude, longitude, depth, magnitude, or with date, lat, lon, depth, mw, eventid), "
    "QuakeML, or NDK"
)


def read_catalog(path: str | PathLike[str]) -> Catalog:
    """Read an earthquake catalogue: USGS ComCat CSV, ISC-GEM CSV, QuakeML or NDK, told by its content.

    A row or event that cannot be used is listed in ``problems`` and left out; an event without depth is taken at
    10 km and listed; events of one id are kept once (the first).

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Catalog
        Events sorted by time, then id; problems; digest of the events.

    Raises
    ------
    CatalogError
        If the file cannot be opened, is empty, or is of no known form.
    """
    name = fspath(path)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        msg = f"{name}: the earthquake catalogue cannot be opened: {error}; check the path"
        raise CatalogError(msg) from error
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        msg = f"{name}: the earthquake catalogue is empty; {_EXPECTED}"
        raise CatalogError(msg)
    if start.startswith(b"<"):
        return _read_markup(name, content, start)
    if _NDK_LINE.match(start):
        return _obspy_catalog(name, content, "NDK")
    lines = re.split("\r\n|\n|\r", content.decode("utf-8-sig", errors="replace"))
    layout = find_layout(lines)
    if layout is None:
        first = next(line for line in lines if line.strip())
        msg = f"{name}: no earthquake catalogue of a known form; its first line is {first[:80]!r}; {_EXPECTED}"
        raise CatalogError(msg)
    return read_table(name, lines, *layout)


def _read_markup(name: str, content: bytes, start: bytes) -> Catalog:
    """Read XML if it is QuakeML.

    Raises
    ------
    CatalogError
        If the markup is something else (StationXML, a web page that says the download failed).
    """
    if not all(mark in content for mark in (b"quakeml.org/xmlns", b"eventParameters")):
        msg = f"{name}: markup that is no QuakeML, it starts with {start[:60]!r}; {_EXPECTED}"
        raise CatalogError(msg)
    return _obspy_catalog(name, content, "QUAKEML")


def _obspy_catalog(name: str, content: bytes, form: str) -> Catalog:
    """Read through obspy, imported here because tables do not need it and it takes a second to import."""
    from gravdask.catalog.quakeml import read_with_obspy

    return read_with_obspy(name, content, form)

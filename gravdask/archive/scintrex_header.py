"""Headers of CG-5 files, line by line."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

COLUMNS = (
    "LINE", "STATION", "ALT", "GRAV", "SD", "TILTX", "TILTY", "TEMP", "TIDE",
    "DUR", "REJ", "TIME", "DEC.TIME+DATE", "TERRAIN", "DATE",
)  # fmt: skip
"""Columns of a file whose line of titles is lost."""
_NEEDED = {"GRAV", "TIME", "DATE"}
MOST_GMT_HOURS = 14.0
"""No zone of the Earth is further from UTC [h]."""
_PAIR = re.compile(r"^/?\s*([A-Za-z][^:]*?)\s*:\s*(.*?)\s*$")
_MINUTES = re.compile(r"^[-+]?\d+:([0-5]\d)\b")
_NUMBER = re.compile(r"^([-+]?\d+(?:[.,]\d*)?)\s*([NSEWnsew]?)")


@dataclass(frozen=True)
class Header:
    """What is set at some place of a file.

    Attributes
    ----------
    columns
        Names of the columns, empty while no line of titles was seen.
    serial
        Serial number of the meter.
    latitude, longitude
        Of the survey, degrees north and east; None where it states none or 0.
    gmt_hours
        Hours to add to reach UTC, None if not stated.
    tide_applied
        Whether the tide correction has been added to gravity.
    """

    columns: tuple[str, ...] = ()
    serial: str = ""
    latitude: float | None = None
    longitude: float | None = None
    gmt_hours: float | None = None
    tide_applied: bool = False

    @property
    def geographic(self) -> bool:
        """Whether the first two columns are latitude and longitude."""
        return "LAT" in self.columns


def read_header_line(header: Header, text: str) -> Header | None:
    """Take one line of a header into account.

    Parameters
    ----------
    header
        What the lines before say.
    text
        The line, without the marks ``#`` and blanks before it. A decimal comma is a point.

    Returns
    -------
    header
        With the line's statement, the same if the line states nothing of use, None if it is no line of a header.
    """
    titles = _titles(text)
    if titles:
        return replace(header, columns=titles)
    pair = _PAIR.match(text)
    if pair is None:
        return header if text.startswith("/") or not text.strip() else None
    key, value = pair[1].upper(), pair[2]
    number = _NUMBER.match(value)
    if key == "INSTRUMENT S/N":
        return replace(header, serial=value)
    if key == "TIDE CORRECTION":
        return replace(header, tide_applied=value.upper().startswith("Y"))
    if key in {"LAT", "LONG", "GMT DIFF."} and number:
        signed = float(number[1].replace(",", ".")) * (-1 if number[2].upper() in {"S", "W"} else 1)
        if key == "GMT DIFF.":
            minutes = _MINUTES.match(value)
            further = float(minutes[1]) / 60 if minutes else 0.0
            return replace(header, gmt_hours=signed + (-further if value.startswith("-") else further))
        stated = signed if signed else None
        return replace(header, latitude=stated) if key == "LAT" else replace(header, longitude=stated)
    return header


def _titles(text: str) -> tuple[str, ...]:
    """Names of the columns if this is the line of titles, else nothing."""
    if "GRAV" not in text.upper() or "--" not in text:
        return ()
    names = tuple(
        word.strip().rstrip(".").upper() for word in re.split(r"-+", text.strip().lstrip("/")) if word.strip()
    )
    return names if set(names) >= _NEEDED else ()

"""What the header of a GGP or IGETS file says of its columns and its instrument."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gravdask.archive.naming import kind_of
from gravdask.archive.traces import ChannelId, Kind, Note, sanitise

_TITLES = re.compile(r"^\s*yyyymmdd\s+hhmmss(?P<columns>[^\n]*)", re.MULTILINE | re.IGNORECASE)
_UNITS = re.compile(r"^\s*yyyymmdd[^\n]*", re.MULTILINE | re.IGNORECASE)
_TITLE = re.compile(r"(?P<name>[^\s()]+)[ \t]*(?:\((?P<unit>[^()]*)\))?")
_KINDS: tuple[Kind, ...] = ("gravity", "pressure", "other")
_GRAVITY = re.compile(r"^(res(_|$|id)|g_|grav)", re.IGNORECASE)
_RESIDUAL = re.compile(r"^res(_|$|id)", re.IGNORECASE)
_PRESSURE = re.compile(r"^(p_|press|baro)", re.IGNORECASE)
_FIXED = re.compile(
    rb"^(\d{4}(?:[ \d]\d){2})[ \t]((?:[ \d]\d){3}| {2}\d{4}| {3}\d{3}| {4}\d\d| {5}\d)(?=[ \t\d.+-])", re.MULTILINE
)
"""Date and time in the fixed columns that Fortran writes, (I4,2I2,1X,3I2) or (I8,1X,I6)."""
_STATED = tuple(
    (re.compile(rf"^\s*{words}[^:\n]*:\s*([^\n]*\S)", re.MULTILINE | re.IGNORECASE), what, key)
    for words, what, key in (
        (r"Gravity\s*Cal", "gravity calibration", "scale"),
        (r"Pressure\s*Cal", "pressure calibration", "scale"),
        (r"Time\s*Delay", "time delay", "time_delay_s"),
    )
)
"""Lines of the header that state what a person has to enter, what they state, and the key that takes it."""


@dataclass(frozen=True)
class Layout:
    """The value columns of a file.

    Attributes
    ----------
    kinds, units
        What they measure, and in what; None where the unit is not stated.
    codes
        Channel codes that the titles give, empty where they follow from rate and kind.
    residual
        Whether the tide has been taken out, as the title says.
    """

    kinds: tuple[Kind, ...]
    units: tuple[str | None, ...]
    codes: tuple[str, ...]
    residual: tuple[bool, ...]

    def name(self, channels: Sequence[ChannelId]) -> list[ChannelId]:
        """Channels with the codes of their titles in place of those made from rate and kind."""
        pairs = zip(channels, self.codes, strict=True)
        return [replace(channel, code=code, location="") if code else channel for channel, code in pairs]


def column_layout(path: Path, header: bytes, columns: int, unit: str | None) -> Layout:
    """Find out what the columns hold: by the line of titles, else gravity, pressure and others in this order.

    Parameters
    ----------
    path
        The file; columns of an auxiliary file (``.aux``) are neither gravity nor pressure unless a title says so.
    header
        All before the first block.
    columns
        Number of value columns.
    unit
        Unit of gravity where the file states none; nm/s^2 if that is None too.
    """
    text = header.decode("latin-1")
    auxiliary = path.suffix.lower() == ".aux"
    kinds: list[Kind] = ["other" if auxiliary else _KINDS[min(n, 2)] for n in range(columns)]
    units: list[str | None] = [None] * columns
    codes, residual = [""] * columns, [False] * columns
    line = _TITLES.search(text)
    titles = list(_TITLE.finditer(line["columns"])) if line else []
    if len(titles) == columns:
        found = [_kind(title["name"], title["unit"]) for title in titles]
        kinds = found if auxiliary or "gravity" in found else ["gravity", *found[1:]]
        units = [(title["unit"] or "").strip() or None for title in titles]
        names = [sanitise(title["name"]) for title in titles]
        codes = [n if k == "other" and names.count(n) == 1 else "" for n, k in zip(names, kinds, strict=True)]
        residual = [bool(_RESIDUAL.match(title["name"])) for title in titles]
    elif stated_line := _UNITS.search(text):
        stated = re.findall(r"\(([^()]*)\)", stated_line[0])[:columns]
        units[: len(stated)] = [word.strip() or None for word in stated]
    usual = {"gravity": unit or "nm/s^2", "pressure": "hPa"}
    units = [found or usual.get(kind) for found, kind in zip(units, kinds, strict=True)]
    return Layout(tuple(kinds), tuple(units), tuple(codes), tuple(residual))


def _kind(name: str, unit: str | None) -> Kind:
    """What a column measures, by its title, else by its unit (effects on gravity are not gravity)."""
    if _GRAVITY.match(name):
        return "gravity"
    kind = kind_of(unit, name)
    return "pressure" if _PRESSURE.match(name) or kind == "pressure" else "other"


def header_notes(header: bytes) -> list[Note]:
    """Remarks on calibrations and delays that the header states: they are not applied to the numbers kept."""
    text = header.decode("latin-1")
    notes = []
    for pattern, what, key in _STATED:
        if match := pattern.search(text):
            line = text.count("\n", 0, match.start(1)) + 1
            stated = " ".join(match[1].split())
            cure = f"enter it as {key} under [[archive.channels]] if it is due"
            notes.append(Note(f"the header states a {what} of {stated}; it was not applied", line, cure))
    return notes


def separate_times(body: bytes) -> bytes | None:
    """Bring dates and times that stand in fixed columns to free form: blanks within them are zeros.

    Fortran's 3I2 writes 01:00:05 as `` 1 0 5``, and leaves no blank before a value that fills its field.

    Returns
    -------
    body
        The same rows, with zeros for such blanks and a blank after each time; None if any row is not of this form.
    """
    rows = sum(1 for line in body.splitlines() if line.strip())
    free, found = _FIXED.subn(lambda m: m[1].replace(b" ", b"0") + b" " + m[2].replace(b" ", b"0") + b" ", body)
    return free if found == rows else None

"""Names that text formats leave unsaid: station from a file name, channel code from rate and unit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gravdask.archive.traces import ChannelId, Kind, sanitise
from gravdask.errors import ReadError
from gravdask.grid import Rate

_INSTRUMENT_CODES: dict[Kind, str] = {"gravity": "GZ", "pressure": "DO", "other": "YO", "seismic": "YO"}
_PRESSURE_UNITS = frozenset({"hpa", "mbar", "mb", "kpa", "pa", "bar", "mmhg", "torr"})
_GRAVITY_UNIT = re.compile(r"^([munµμ]|micro|milli|nano)?(gal|m/s(\^|\*\*)?2|m\.?s\^?-2|m\*s\^?-2)s?$", re.IGNORECASE)
_CLASSES = re.compile(r"[A-Za-z]+|\d+")
_DIGITS = re.compile(r"(?<!\d)(\d{4})[-_](\d{2})[-_](\d{2})(?!\d)|(?<!\d)(\d{4})[-_](\d{2})(?!\d)|(?<!\d)\d{6,8}(?!\d)")
_YEAR = re.compile(r"(?<![A-Za-z0-9])(19|20)\d{2}(?![A-Za-z0-9])")


def band_code(rate: Rate) -> str:
    """SEED band letter of a rate: L from 1 Hz, V from 0.1 Hz, U from 0.01 Hz, R below."""
    limits = (("L", 1.0), ("V", 0.1), ("U", 0.01))
    return next((letter for letter, least in limits if rate.hz >= least), "R")


def kind_of(unit: str | None, quantity: str = "") -> Kind:
    """What a channel measures, from its unit or, failing that, from the name of its quantity."""
    compact = (unit or "").replace(" ", "").lower()
    if compact in _PRESSURE_UNITS:
        return "pressure"
    if _GRAVITY_UNIT.match(compact):
        return "gravity"
    name = quantity.lower()
    if "press" in name or "baro" in name:
        return "pressure"
    return "gravity" if "grav" in name else "other"


def kind_of_code(code: str) -> Kind:
    """What a SEED channel code says that the channel measures, by its instrument letter."""
    letter = code[1:2].upper() if len(code) == 3 else ""
    if letter == "G":
        return "gravity"
    return "pressure" if letter == "D" else "seismic"


def name_channels(network: str, stations: Sequence[str], kinds: Sequence[Kind], rate: Rate) -> list[ChannelId]:
    """Name the columns of a text file; several of one kind at a station are told apart by location 00, 01, ..."""
    codes = [band_code(rate) + _INSTRUMENT_CODES[kind] for kind in kinds]
    several = Counter(zip(stations, codes, strict=True))
    seen: Counter[tuple[str, str]] = Counter()
    channels = []
    for key in zip(stations, codes, strict=True):
        location = f"{seen[key]:02d}" if several[key] > 1 else ""
        seen[key] += 1
        channels.append(ChannelId(network, key[0], location, key[1]))
    return channels


def station_from_regex(path: Path, pattern: str | None) -> str | None:
    """Station that the pattern's group ``station`` finds in the file name; None without a pattern.

    Raises
    ------
    ReadError
        If the pattern has no such group or does not match the name.
    """
    if pattern is None:
        return None
    try:
        expression = re.compile(pattern)
    except re.error as error:
        msg = f"the station pattern {pattern!r} is no regular expression: {error}"
        raise ReadError(msg) from error
    if "station" not in expression.groupindex:
        msg = f"the station pattern {pattern!r} has no group (?P<station>...)"
        raise ReadError(msg)
    match = expression.search(path.name)
    if match is None or not sanitise(match["station"] or ""):
        msg = f"{path}: the station pattern {pattern!r} finds no station in the file name; correct the pattern"
        raise ReadError(msg)
    return sanitise(match["station"])


def known_station(path: Path, codes: Sequence[str]) -> str | None:
    """Longest known station code that stands in the file name between changes of character class."""
    name = path.name
    edges = {edge for match in _CLASSES.finditer(name) for edge in match.span()}
    for code in sorted(set(codes), key=lambda c: (-len(c), c)):
        for match in re.finditer(re.escape(code), name, re.IGNORECASE) if code else ():
            if match.start() in edges and match.end() in edges:
                return code
    return None


def given_station(path: Path, pattern: str | None, codes: Sequence[str]) -> str | None:
    """Station of a file by what its owner says: the pattern, else a known code in its name; None if neither tells.

    Raises
    ------
    ReadError
        As `station_from_regex` does.
    """
    return station_from_regex(path, pattern) or known_station(path, codes)


def station_from_name(path: Path) -> str:
    """File name up to its first dot without what looks like a date, else the name of the folder.

    Dates are 6 to 8 digits that form one (yyyymmdd, yymmdd, yyyymm, yyyyddd; a day 00 stands for a whole month), such
    digits with - or _ between them, and years standing alone: files of one station must not become stations each.
    """
    stem = path.name.split(".", 1)[0]
    bare = _DIGITS.sub(lambda m: " " if _is_date(re.sub(r"\D", "", m[0])) else m[0], stem)
    without_years = _YEAR.sub(" ", bare.replace("_", " "))
    chosen = without_years if sanitise(without_years) else bare
    words = [word for word in (sanitise(part).strip("-") for part in chosen.split()) if word]
    return "_".join(words) or sanitise(path.absolute().parent.name) or "STATION"


def _is_date(digits: str) -> bool:
    """Whether a string of 6 to 8 digits can be a date."""
    century = digits[:2] in {"19", "20"}
    if len(digits) == 8:
        return century and 1 <= int(digits[4:6]) <= 12 and int(digits[6:]) <= 31
    if len(digits) == 7:
        return century and 1 <= int(digits[4:]) <= 366
    month = century and 1 <= int(digits[4:]) <= 12
    return month or (1 <= int(digits[2:4]) <= 12 and int(digits[4:]) <= 31)

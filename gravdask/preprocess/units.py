"""Units of measurement: what a stated unit means and what brings it to the units used inside.

Inside, acceleration is in nm s⁻², velocity in nm s⁻¹ and pressure in hPa. Upper and lower case are not told apart,
because SEED writes ``M/S**2``; no unit met in archives becomes ambiguous by that.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from gravdask.errors import UnitsError

Kind = Literal["acceleration", "velocity", "pressure", "counts"]


@dataclass(frozen=True)
class Unit:
    """A unit of measurement.

    Attributes
    ----------
    name
        The unit as written in the field, such as ``"nm s⁻²"`` or ``"µGal"``.
    kind
        The quantity. ``"counts"`` stands for every raw output whose physical meaning is not known (volts too).
    factor
        Multiply by it to get nm s⁻², nm s⁻¹ or hPa; 1 for counts.
    """

    name: str
    kind: Kind
    factor: float


_LENGTH = {"": 1e9, "k": 1e12, "c": 1e7, "m": 1e6, "u": 1e3, "n": 1.0, "p": 1e-3}
_GAL = {"": 1e7, "m": 1e4, "u": 10.0, "n": 1e-2}
_WRITTEN_OUT = {"milli": "m", "micro": "u", "nano": "n"}
_PRESSURE = {"pa": 1e-2, "hpa": 1.0, "kpa": 10.0, "mbar": 1.0, "mb": 1.0, "millibar": 1.0, "bar": 1e3}
_PRESSURE_NAMES = {"pa": "Pa", "hpa": "hPa", "kpa": "kPa", "mb": "mbar", "millibar": "mbar"}
_COUNTS = {"count", "counts", "digit", "digits", "v", "mv", "volt", "volts"}

_METRES = re.compile(r"(?P<prefix>[kcmunp]?)m(?:/|\.|·)?(?P<rest>.*)")
_PER_SECOND_SQUARED = {"s2", "s^2", "s**2", "s/s", "s-2", "s^-2", "s**-2", "sec2", "sec^2", "sec**2", "(s2)", "(s**2)"}
_PER_SECOND = {"s", "s-1", "s^-1", "s**-1", "sec"}
KNOWN = "m/s², nm/s², µm/s², mm/s², Gal, mGal, µGal, nGal; m/s, µm/s, nm/s; hPa, mbar, Pa, kPa, bar; counts, V"
"""The units that `parse_unit` understands, for messages and help."""


def _canonical(text: str) -> str:
    """Bring spellings together: no spaces, lower case, plain digits, ``u`` for micro, an ASCII minus."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"\s+", "", plain).replace("μ", "u").replace("\N{MINUS SIGN}", "-").replace("[", "").replace("]", "")


def _written(prefix: str, symbol: str) -> str:
    """Put a prefix before a unit, micro as µ."""
    return ("µ" if prefix == "u" else prefix) + symbol


def parse_unit(text: str) -> Unit:
    """Read a unit as archives write it.

    Parameters
    ----------
    text
        For instance ``"M/S**2"``, ``"nm/s^2"``, ``"m s-2"``, ``"µGal"``, ``"hPa"``, ``"counts"``.

    Returns
    -------
    unit
        Its name, kind and factor.

    Raises
    ------
    UnitsError
        If the unit is not known; the message lists those that are.
    """
    word = _canonical(text)
    if word in _PRESSURE:
        return Unit(_PRESSURE_NAMES.get(word, word), "pressure", _PRESSURE[word])
    if word in _COUNTS:
        return Unit("counts" if word[0] in "cd" else "V", "counts", 1.0)
    if word.endswith(("gal", "gals")):
        prefix = word.removesuffix("s").removesuffix("gal")
        prefix = _WRITTEN_OUT.get(prefix, prefix)
        if prefix in _GAL:
            return Unit(_written(prefix, "Gal"), "acceleration", _GAL[prefix])
    match = _METRES.fullmatch(word)
    if match:
        prefix, rest = match["prefix"], match["rest"]
        if rest in _PER_SECOND_SQUARED:
            return Unit(_written(prefix, "m s⁻²"), "acceleration", _LENGTH[prefix])
        if rest in _PER_SECOND:
            return Unit(_written(prefix, "m s⁻¹"), "velocity", _LENGTH[prefix])
    msg = (
        f"unknown unit {text!r}; known are {KNOWN}. State the channel's unit in the station table or the configuration"
    )
    raise UnitsError(msg)

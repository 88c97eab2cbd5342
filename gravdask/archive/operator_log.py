"""The operator's log: when somebody worked at a station, when its level stepped, when it was calibrated.

A CSV table, one line an event. Columns are found by name: channel (or station; a shell pattern STA, NET.STA or
NET.STA.LOC.CHA), start, end, kind, value, unit, remark. Times are UTC. Kinds:

=============  ========================================================================================
maintenance    from start to end the samples say nothing of gravity; they are masked, not removed
step           at start the level changed by value [unit]; without a value the step is estimated
calibration    from start on (to end, or to the next calibration) one number is worth value [unit]
note           kept, of no effect
=============  ========================================================================================
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gravdask.errors import ReadError

KINDS = ("maintenance", "step", "calibration", "note")
"""What an event can be."""
_NAMES = {
    "pattern": ("channel", "station", "channels", "stations", "pattern", "code", "site"),
    "start": ("start", "from", "begin", "time", "start_utc", "time_utc", "date"),
    "end": ("end", "to", "until", "stop", "end_utc"),
    "kind": ("kind", "type", "event", "what"),
    "value": ("value", "size", "factor", "amount"),
    "unit": ("unit", "units"),
    "remark": ("remark", "remarks", "comment", "note", "text", "description"),
}
_NEEDED = ("pattern", "start", "kind")
_ALIASES = {"calib": "calibration", "remark": "note", "offset": "step", "repair": "maintenance"}
_SEPARATORS = ",;\t|"
_MOST_SHOWN = 5
_ISO = re.compile(r"^\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?)?)?)?$")
_LAST_S = 9_200_000_000
"""Seconds from 1970 beyond which int64 nanoseconds do not reach."""


@dataclass(frozen=True)
class LogRow:
    """One event of the log.

    Attributes
    ----------
    pattern
        Shell pattern of the channels that it concerns.
    start_ns, end_ns
        When [ns since 1970]; the end is None where none is stated.
    kind
        One of `KINDS`.
    value, unit
        Size of a step or factor of a calibration, None if not stated; its unit, '' if none is stated.
    remark
        What the operator wrote.
    line
        Line of the file.
    source
        The file.
    """

    pattern: str
    start_ns: int
    end_ns: int | None
    kind: str
    value: float | None
    unit: str
    remark: str
    line: int
    source: str

    def __str__(self) -> str:
        """Give the event in one line."""
        times = _stamp(self.start_ns) + (f" to {_stamp(self.end_ns)}" if self.end_ns is not None else "")
        value = f" {self.value:g} {self.unit}".rstrip() if self.value is not None else ""
        return f"{times}: {self.kind}{value}{f': {self.remark}' if self.remark else ''} (line {self.line})"


def read_operator_log(path: Path | str) -> tuple[LogRow, ...]:
    """Read an operator's log.

    Parameters
    ----------
    path
        UTF-8 text; comma, semicolon, tab or ``|`` between the columns; lines that begin with ``#`` are comments.

    Returns
    -------
    rows
        In the order of the file.

    Raises
    ------
    ReadError
        If the file cannot be read, a column is missing or rows are wrong; names the file and every wrong line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        msg = f"{path}: the operator's log cannot be read: {error}; correct archive.log"
        raise ReadError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: the operator's log is not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise ReadError(msg) from error
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip() and line.lstrip()[0] != "#"]
    separator, columns = _header(path, lines)
    rows: list[LogRow] = []
    faults: list[str] = []
    for number, line in lines[1:]:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
        try:
            rows.append(_row(cells, columns, number, str(path)))
        except ValueError as error:
            faults.append(f"line {number}: {error}")
    faults += _contradictions(rows)
    if faults:
        more = f" (and {len(faults) - _MOST_SHOWN} more)" if len(faults) > _MOST_SHOWN else ""
        msg = f"{path}: {'; '.join(faults[:_MOST_SHOWN])}{more}; correct the operator's log"
        raise ReadError(msg)
    return tuple(rows)


def _header(path: Path, lines: list[tuple[int, str]]) -> tuple[str, dict[str, int]]:
    """Separator and columns, from the first line."""
    line = lines[0][1] if lines else ""
    separator = max(_SEPARATORS, key=line.count)
    titles = [cell.strip().strip('"').lower() for cell in line.split(separator)]
    titles = [title.split("(")[0].split("[")[0].strip().replace(" ", "_") for title in titles]
    columns: dict[str, int] = {}
    for name, known in _NAMES.items():
        found = [titles.index(title) for title in known if title in titles]
        if found and found[0] not in columns.values():
            columns[name] = found[0]
    missing = [name if name != "pattern" else "channel" for name in _NEEDED if name not in columns]
    if missing:
        where = f"line {lines[0][0]} {line[:60]!r}" if lines else "nothing"
        msg = (
            f"{path}: found {where} where the operator's log should have its header; the column"
            f"{'s' if len(missing) > 1 else ''} {', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing; "
            "expected channel, start, end, kind, value, unit, remark"
        )
        raise ReadError(msg)
    return separator, columns


def _row(cells: list[str], columns: dict[str, int], line: int, source: str) -> LogRow:
    """Check one line; raises ValueError with what is wrong."""

    def cell(name: str) -> str:
        at = columns.get(name)
        return cells[at] if at is not None and at < len(cells) else ""

    kind = _ALIASES.get(cell("kind").lower(), cell("kind").lower())
    if kind not in KINDS:
        msg = f"kind {cell('kind')!r}; expected one of {', '.join(KINDS)}"
        raise ValueError(msg)
    pattern = cell("pattern")
    if not pattern or " " in pattern or pattern.count(".") not in {0, 1, 3}:
        msg = f"channel {pattern!r}; expected a shell pattern STA, NET.STA or NET.STA.LOC.CHA"
        raise ValueError(msg)
    start, end = _time(cell("start"), "start"), _time(cell("end"), "end") if cell("end") else None
    if end is not None and end <= start:
        msg = f"end {cell('end')} is not after start {cell('start')}"
        raise ValueError(msg)
    value = _number(cell("value")) if cell("value") else None
    _complete(kind, end, value, cell("unit"))
    return LogRow(pattern, start, end, kind, value, cell("unit"), cell("remark"), line, source)


def _complete(kind: str, end: int | None, value: float | None, unit: str) -> None:
    """Refuse an event that lacks what its kind needs; raises ValueError."""
    if kind == "maintenance" and end is None:
        msg = "maintenance without an end; state when it was over, as every sample from its start on would be lost"
        raise ValueError(msg)
    if kind == "step" and value is not None and not unit:
        msg = f"a step of {value:g} without a unit; state one (uGal, nm/s2), or no size to have it estimated"
        raise ValueError(msg)
    if kind == "calibration" and not value:
        found = "a factor of 0" if value == 0 else "no factor"
        msg = f"calibration with {found}; state in value what one number is worth, in unit"
        raise ValueError(msg)


def _time(text: str, name: str) -> int:
    """Read an ISO 8601 time as UTC [ns since 1970]; raises ValueError with what is wrong."""
    plain = text.strip().removesuffix("Z").replace(" ", "T", 1)
    try:
        plain = plain if _ISO.match(plain) else ""  # NumPy would take a zone, with a warning
        second = int(np.datetime64(plain, "s").astype(np.int64))
        exact = int(np.datetime64(plain, "ns").astype(np.int64))
    except ValueError:
        second = exact = _LAST_S + 1
    if not plain or abs(second) > _LAST_S:
        hint = " (with a zone: write it in UTC)" if "+" in text else ""
        msg = f"{name} {text!r} is no time{hint}; expected ISO 8601 in UTC such as 2021-07-15T08:30"
        raise ValueError(msg)
    return exact


def _number(text: str) -> float:
    """Read a finite number; raises ValueError with what is wrong."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        hint = " (write a decimal point)" if "," in text else ""
        msg = f"value {text!r} is no number{hint}"
        raise ValueError(msg)
    return value


def _contradictions(rows: list[LogRow]) -> list[str]:
    """Calibrations of one pattern that begin at one time, or overlap with stated ends, and differ."""
    faults = []
    for number, first in enumerate(rows):
        for second in rows[number + 1 :]:
            both = first.kind == second.kind == "calibration" and first.pattern == second.pattern
            if not both or (first.value, first.unit) == (second.value, second.unit):
                continue
            early, late = sorted((first, second), key=lambda r: r.start_ns)
            if early.start_ns == late.start_ns or (early.end_ns is not None and early.end_ns > late.start_ns):
                faults.append(
                    f"line {second.line}: calibrates {second.pattern} with {second.value:g} at a time for which line "
                    f"{first.line} says {first.value:g}; state where the one ends and the other begins"
                )
    return faults


def concerning(
    rows: tuple[LogRow, ...], name: str, matches: Callable[[str, tuple[str, ...]], bool]
) -> tuple[LogRow, ...]:
    """Events whose pattern fits a channel, in the order of their times."""
    return tuple(sorted((r for r in rows if matches(name, (r.pattern,))), key=lambda r: (r.start_ns, r.line)))


def _stamp(time_ns: int) -> str:
    """Time to the second."""
    return str(np.datetime64(time_ns, "ns").astype("datetime64[s]"))

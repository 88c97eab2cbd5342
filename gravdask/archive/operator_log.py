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

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gravdask.archive.csv_tables import Columns, finite_number, in_words, numbered_lines
from gravdask.errors import ReadError
from gravdask.grid import utc_ns, utc_text

KINDS = ("maintenance", "step", "calibration", "note")
"""What an event can be."""
_TITLES = {
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
Value = TypeVar("Value")


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
        times = utc_text(self.start_ns) + (f" to {utc_text(self.end_ns)}" if self.end_ns is not None else "")
        value = f" {self.value:g} {self.unit}".rstrip() if self.value is not None else ""
        return f"{times}: {self.kind}{value}{f': {self.remark}' if self.remark else ''} (line {self.line})"


def read_operator_log(path: Path | str, unit_kind: Callable[[str], str] | None = None) -> tuple[LogRow, ...]:
    """Read an operator's log.

    Parameters
    ----------
    path
        UTF-8 text; comma, semicolon, tab or ``|`` between the columns; lines that begin with ``#`` are comments.
    unit_kind
        Gives the quantity of a unit, such as ``acceleration``, and raises ValueError for a unit that does not exist;
        without it units are taken as they are.

    Returns
    -------
    rows
        In the order of the file.

    Raises
    ------
    ReadError
        If the file cannot be read, a column is missing or rows are wrong; names the file and all that is wrong.
    """
    path = Path(path)
    lines = numbered_lines(path, "the operator's log", ReadError)
    lines = [(number, line) for number, line in lines if line.lstrip()[0] != "#"]
    columns = _header(path, lines)
    rows: list[LogRow] = []
    faults: list[tuple[int, str]] = []
    for number, line in lines[1:]:
        row, wrong = _row(columns, number, line, str(path), unit_kind)
        rows += [] if row is None else [row]
        faults += [(number, what) for what in wrong]
    faults += _contradictions(rows)
    if faults:
        msg = f"{path}: {in_words(faults)}; correct the operator's log"
        raise ReadError(msg)
    return tuple(rows)


def _header(path: Path, lines: list[tuple[int, str]]) -> Columns:
    """Columns, from the first line."""
    columns = Columns.of(lines[0][1] if lines else "", _TITLES)
    missing = [name if name != "pattern" else "channel" for name in _NEEDED if name not in columns.places]
    if missing:
        where = f"line {lines[0][0]} {lines[0][1][:60]!r}" if lines else "nothing"
        msg = (
            f"{path}: found {where} where the operator's log should have its header; the column"
            f"{'s' if len(missing) > 1 else ''} {', '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing; "
            "expected channel, start, end, kind, value, unit, remark"
        )
        raise ReadError(msg)
    return columns


def _row(
    columns: Columns, number: int, line: str, source: str, unit_kind: Callable[[str], str] | None
) -> tuple[LogRow | None, list[str]]:
    """Read one line, None if its cells make no event, and all that is wrong with it."""
    faults: list[str] = []

    def tried(read: Callable[..., Value], *arguments: str) -> Value | None:
        try:
            return read(*arguments)
        except ValueError as error:
            faults.append(str(error))
            return None

    cells = tried(columns.cells, line)
    if cells is None:
        return None, faults
    kind, pattern = tried(_kind, cells["kind"]), tried(_pattern, cells["pattern"])
    start = tried(_time, cells["start"], "start")
    end = tried(_time, cells["end"], "end") if cells["end"] else None
    value = tried(finite_number, cells["value"], "value") if cells["value"] else None
    readable, unit = not faults, cells["unit"]
    quantity = tried(unit_kind, unit) if unit and unit_kind is not None else None
    if not readable or kind is None or pattern is None or start is None:
        return None, faults
    row = LogRow(pattern, start, end, kind, value, unit, cells["remark"], number, source)
    wrong = _senseless(row, quantity)
    return None if wrong else row, [*faults, *wrong]


def _kind(text: str) -> str:
    """Read the kind of an event; raises ValueError with what is wrong."""
    kind = _ALIASES.get(text.lower(), text.lower())
    if kind not in KINDS:
        msg = f"kind {text!r}; expected one of {', '.join(KINDS)}"
        raise ValueError(msg)
    return kind


def _pattern(text: str) -> str:
    """Read a pattern of channels; raises ValueError with what is wrong."""
    if not text or " " in text or text.count(".") not in {0, 1, 3}:
        msg = f"channel {text!r}; expected a shell pattern STA, NET.STA or NET.STA.LOC.CHA"
        raise ValueError(msg)
    return text


def _time(text: str, name: str) -> int:
    """Read a time [ns since 1970]; raises ValueError with what is wrong."""
    try:
        time_ns = utc_ns(text)
    except ValueError as error:
        msg = f"{name} {text!r} is no time; {error}"
        raise ValueError(msg) from error
    if time_ns is None:
        msg = f"{name} {text!r} lies outside the years 1678 to 2261"
        raise ValueError(msg)
    return time_ns


def _senseless(row: LogRow, quantity: str | None) -> list[str]:
    """What an event lacks that its kind needs, and what of it contradicts itself; its unit's quantity where known."""
    wrong = []
    if row.end_ns is not None and row.end_ns <= row.start_ns:
        wrong.append(f"end {utc_text(row.end_ns)} is not after start {utc_text(row.start_ns)}")
    if row.kind == "maintenance" and row.end_ns is None:
        wrong.append(
            "maintenance without an end; state when it was over, as every sample from its start on would be lost"
        )
    if row.kind == "step" and row.value is not None:
        if not row.unit:
            wrong.append(
                f"a step of {row.value:g} without a unit; state one (uGal, nm/s2), or no size to have it estimated"
            )
        elif quantity not in {None, "acceleration"}:
            wrong.append(f"a step of gravity in {row.unit!r}; expected a unit of acceleration such as uGal or nm/s2")
    if row.kind == "calibration" and not row.value:
        found = "a factor of 0" if row.value == 0 else "no factor"
        wrong.append(f"calibration with {found}; state in value what one number is worth, in unit")
    return wrong


def _contradictions(rows: list[LogRow]) -> list[tuple[int, str]]:
    """Calibrations of one pattern that begin at one time, or overlap with stated ends, and differ; with their lines."""
    faults = []
    for number, first in enumerate(rows):
        for second in rows[number + 1 :]:
            both = first.kind == second.kind == "calibration" and first.pattern == second.pattern
            if not both or (first.value, first.unit) == (second.value, second.unit):
                continue
            early, late = sorted((first, second), key=lambda r: r.start_ns)
            if early.start_ns == late.start_ns or (early.end_ns is not None and early.end_ns > late.start_ns):
                what = (
                    f"calibrates {second.pattern} with {second.value:g} at a time for which line {first.line} says "
                    f"{first.value:g}; state where the one ends and the other begins"
                )
                faults.append((second.line, what))
    return faults


def concerning(
    rows: tuple[LogRow, ...], name: str, matches: Callable[[str, tuple[str, ...]], bool]
) -> tuple[LogRow, ...]:
    """Events whose pattern fits a channel, in the order of their times."""
    return tuple(sorted((r for r in rows if matches(name, (r.pattern,))), key=lambda r: (r.start_ns, r.line)))

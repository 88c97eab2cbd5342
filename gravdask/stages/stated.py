"""What a person states of a channel: the entries ``[[archive.channels]]`` and the operator's log, made one.

Of several entries that match a channel the first that states a key wins, key by key. Scale, offset and unit that are
stated for a station (not for a channel by all four parts of its name) concern only the channels that they can be meant
for: a unit of pressure the barometers, everything else gravimeters and seismometers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gravdask.archive.epochs import ALWAYS
from gravdask.archive.operator_log import LogRow, concerning, read_operator_log
from gravdask.archive.reader import ReadOptions
from gravdask.archive.traces import MOTION
from gravdask.config import ArchiveConfig
from gravdask.config.channels import ChannelConfig, clock_seconds
from gravdask.errors import ConfigError, UnitsError
from gravdask.grid import SECOND_NS, Rate
from gravdask.preprocess.units import parse_unit
from gravdask.stages.selection import matches

UTC_FORMATS = frozenset({"waveform", "scintrex"})
"""Readers that do not apply ``archive.clock``: their files are in UTC, or state their clock themselves."""


@dataclass(frozen=True)
class Stated:
    """What a person states of one channel.

    Attributes
    ----------
    entries
        Entries of the configuration whose pattern matches, in their order.
    log
        Events of the operator's log that concern it, in the order of their times.
    """

    entries: tuple[ChannelConfig, ...] = ()
    log: tuple[LogRow, ...] = ()

    @classmethod
    def of(cls, name: str, settings: ArchiveConfig, log: tuple[LogRow, ...]) -> Stated:
        """Pick what concerns a channel of the store, whatever its rate."""
        plain = name.split("@")[0]
        entries = tuple(e for e in settings.channels if matches(name, (e.pattern,)) or matches(plain, (e.pattern,)))
        return cls(entries, concerning(log, plain, matches))

    def first(self, key: str) -> Any:  # noqa: ANN401 - a key's own type
        """Value of a key that holds for the whole record, from the first entry that states it; None if none does."""
        return next((value for e in self.entries if (value := getattr(e, key)) is not None), None)

    def at(self, key: str, start_ns: int, end_ns: int, kind: str = "") -> ChannelConfig | None:
        """First entry that states a key for a stretch of time.

        Parameters
        ----------
        key
            Its name.
        start_ns, end_ns
            The stretch [ns since 1970]; it lies within or outside of every entry.
        kind
            Kind of the channel: entries for stations that cannot be meant for it are left out.
        """
        for entry in self.entries:
            first, last = span_of(entry)
            holds = first <= start_ns and end_ns <= last and getattr(entry, key) is not None
            if holds and (not kind or meant_for(entry.pattern, entry.unit, kind)):
                return entry
        return None

    def edges(self, keys: Iterable[str]) -> set[int]:
        """Times at which an entry with any of these keys begins or ends."""
        wanted = set(keys)
        return {
            edge
            for e in self.entries
            if any(getattr(e, key) is not None for key in wanted)
            for edge in span_of(e)
            if edge not in ALWAYS
        }

    def calibrations(self, kind: str) -> list[tuple[int, int, LogRow]]:
        """Calibrations of the log that concern a channel of this kind, each to its end or where the next begins."""
        rows = [r for r in self.log if r.kind == "calibration" and meant_for(r.pattern, r.unit, kind)]
        found = []
        for number, row in enumerate(rows):
            stop = rows[number + 1].start_ns if number + 1 < len(rows) else ALWAYS[1]
            if row.end_ns is not None:
                stop = min(stop, row.end_ns)
            if row.start_ns < stop:
                found.append((row.start_ns, stop, row))
        return found

    def masks(self) -> tuple[tuple[int, int, str], ...]:
        """Spans in which somebody worked at the station [ns since 1970], with what the log says."""
        rows = (r for r in self.log if r.kind == "maintenance" and r.end_ns is not None)
        return tuple((r.start_ns, int(r.end_ns or 0), r.remark or "maintenance") for r in rows)

    def steps(self) -> tuple[tuple[int, float | None], ...]:
        """Steps of the log: time [ns since 1970] and size [nm s-2], None where it is to be estimated."""
        rows = (r for r in self.log if r.kind == "step")
        return tuple((r.start_ns, None if r.value is None else r.value * parse_unit(r.unit).factor) for r in rows)


def span_of(entry: ChannelConfig) -> tuple[int, int]:
    """Times for which an entry holds [ns since 1970], the ends of time where it is open."""
    first, last = entry.span_ns()
    return ALWAYS[0] if first is None else first, ALWAYS[1] if last is None else last


def meant_for(pattern: str, unit: str | None, kind: str) -> bool:
    """Whether a scale or unit stated under a pattern can be meant for a channel of a kind."""
    if pattern.count(".") == 3:
        return True
    if unit and parse_unit(unit).kind == "pressure":
        return kind == "pressure"
    return kind in MOTION


def load_log(settings: ArchiveConfig) -> tuple[LogRow, ...]:
    """Read the operator's log, if one is named, and check its units.

    Raises
    ------
    ReadError
        If the log cannot be read or lines are wrong; all that is wrong is told together.
    """
    if not settings.log:
        return ()
    return read_operator_log(Path(os.path.expanduser(settings.log)), lambda unit: parse_unit(unit).kind)


def check_entries(settings: ArchiveConfig) -> None:
    """Refuse units that do not exist.

    Raises
    ------
    ConfigError
        Names the entry.
    """
    for number, entry in enumerate(settings.channels, 1):
        try:
            if entry.unit:
                parse_unit(entry.unit)
        except UnitsError as error:
            msg = f"archive.channels, entry {number} ({entry.pattern}): {error}"
            raise ConfigError(msg) from error


def applied_clock_s(reader: str, path: str, options: ReadOptions) -> float:
    """Clock offset that a reader has already taken off the stamps of a file [s]."""
    if reader in UTC_FORMATS:
        return 0.0
    layout = next((t for t in options.tables if t.fits(Path(path))), None) if reader == "table" else None
    if layout is None:
        return options.clock_offset_s
    if layout.clock_offset_s is not None:
        return layout.clock_offset_s
    return 0.0 if layout.time_format == "unix" else options.clock_offset_s


def corrected(traces: pd.DataFrame, stated: Mapping[str, Stated], options: ReadOptions) -> pd.DataFrame:
    """Put the clocks and delays that a person states into the start times of traces.

    Parameters
    ----------
    traces
        Rows of the index with ``path`` and ``format`` of their files.
    stated
        What is stated, by channel.
    options
        How the files were read.

    Returns
    -------
    traces
        A copy with other ``start_ns``, and columns ``shift_ns`` (what was added) and ``across`` (whether a stated clock
        or delay begins or ends within the trace). A trace belongs to the entry that holds at its corrected start; it
        is never cut.
    """
    concerned = {n for n, s in stated.items() if s.first("clock") is not None or s.first("time_delay_s") is not None}
    shifts, across = np.zeros(len(traces), np.int64), np.zeros(len(traces), bool)
    edges = {name: stated[name].edges(("clock", "time_delay_s")) for name in concerned}
    intervals = {rate: Rate.parse(str(rate)).interval_ns for rate in set(traces["rate"])}
    known: dict[tuple[str, float], int] = {}
    columns = traces[["channel", "format", "path", "start_ns", "npts", "rate"]].to_numpy()
    for row in np.flatnonzero(traces["channel"].isin(sorted(concerned))):
        channel, reader, path, start, npts, rate = columns[row]
        applied = applied_clock_s(str(reader), str(path), options)
        if not edges[channel]:  # what holds for all time is the same for every trace
            if (channel, applied) not in known:
                known[channel, applied] = shift_ns(stated[channel], int(start), applied)
            shifts[row] = known[channel, applied]
            continue
        shifts[row] = shift_ns(stated[channel], int(start), applied)
        first = int(start) + int(shifts[row])
        last = first + int((int(npts) - 1) * intervals[rate])
        across[row] = any(first < edge <= last for edge in edges[channel])
    return traces.assign(start_ns=traces["start_ns"].to_numpy(np.int64) + shifts, shift_ns=shifts, across=across)


def shift_ns(stated: Stated, start_ns: int, applied_s: float) -> int:
    """What is added to the start of a trace [ns].

    Parameters
    ----------
    stated
        Of its channel.
    start_ns
        Start of the trace as it was read [ns since 1970].
    applied_s
        Clock offset that was taken off when it was read [s].
    """

    def by_clock(entry: ChannelConfig) -> int:
        return round((applied_s - clock_seconds(entry.clock or "+00:00")) * SECOND_NS)

    def by_delay(entry: ChannelConfig) -> int:
        return -round((entry.time_delay_s or 0.0) * SECOND_NS)

    shift = 0
    for key, amount in (("clock", by_clock), ("time_delay_s", by_delay)):
        for entry in stated.entries:
            first, last = span_of(entry)
            if getattr(entry, key) is not None and first <= start_ns + shift + amount(entry) < last:
                shift += amount(entry)
                break
    return shift

"""Where every trace of the archive stands on its channel's grid, decided from the index alone.

Nothing here depends on paths, modification times or the order of a scan: traces are looked at in the order of their
start times and digests. A channel's phase is that of the store if it has one, else that of its earliest trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gravdask.grid import ORIGIN_NS, Grid, Rate, utc_text
from gravdask.stages.channels import Channel
from gravdask.stages.placements import Placement, Placements
from gravdask.stages.stated import Stated
from gravdask.stages.trace_table import TraceTable

Columns = Mapping[str, NDArray[Any]]
"""Columns of numbers of a table of traces, by name."""


@dataclass
class ChannelPlan:
    """What the index says of one channel of the store.

    Attributes
    ----------
    name, rate
        Name in the store and sampling rate.
    phases
        (from sample, phase [ns]) of each span of constant phase.
    dtype, decimals
        How the numbers will be kept.
    kind, unit
        Kind of the channel and the units that the files state.
    location
        (latitude, longitude, elevation) that the files state, None where they do not.
    placements
        All traces, in the order of their places.
    notes
        What a person should know.
    stated
        What a person states of the channel.
    tide_applied
        Whether the files state that the tide has been taken out.
    """

    name: str
    rate: Rate
    phases: list[tuple[int, int]]
    dtype: str
    decimals: int
    kind: str
    units: tuple[str, ...]
    location: tuple[float | None, float | None, float | None]
    placements: Sequence[Placement]
    notes: list[str] = field(default_factory=list)
    stated: Stated = field(default_factory=Stated)
    tide_applied: bool = False

    @cached_property
    def extent(self) -> tuple[int, int]:
        """Sample index of the first sample of all placements, and after the last; (0, 0) without any."""
        placed = Placements.of(self.placements)
        return (int(placed.start.min()), int(placed.stop.max())) if len(placed) else (0, 0)


def widest(types: Iterable[tuple[str, int]]) -> tuple[str, int]:
    """Type and decimals that hold all traces of a channel without loss.

    Parameters
    ----------
    types
        (dtype, decimals) of the traces. Integers of unequal decimals are brought to the most decimals, as int64;
        integers beside floats become float64.
    """
    found = set(types)
    decimals = max(d for _, d in found)
    names = {n for n, _ in found}
    if names <= {"int32", "int64"}:
        same = len({d for _, d in found}) == 1
        return ("int32" if names == {"int32"} and same else "int64"), decimals
    return ("float32" if names == {"float32"} else "float64"), 0


def assign_names(traces: pd.DataFrame, existing: Mapping[str, Channel]) -> dict[tuple[str, str], str]:
    """Name in the store of every (channel, rate): a second rate of a channel is a channel of its own.

    The plain name belongs to the rate that the store has it with, else to that of the channel's earliest trace.
    """
    names: dict[tuple[str, str], str] = {}
    ordered = traces.sort_values(["start_ns", "rate"], kind="stable")[["channel", "rate"]].drop_duplicates()
    rates_of: dict[str, list[str]] = {}
    for channel, rate in zip(ordered["channel"].tolist(), ordered["rate"].tolist(), strict=True):
        rates_of.setdefault(channel, []).append(rate)
    for channel, rates in sorted(rates_of.items()):
        plain = str(existing[str(channel)].rate) if str(channel) in existing else rates[0]
        for rate in rates:
            names[str(channel), rate] = str(channel) if rate == plain else f"{channel}@{rate}"
    return names


def place(
    name: str, rate: Rate, traces: pd.DataFrame, known: Channel | None, stated: Stated | None = None
) -> ChannelPlan:
    """Put the traces of one channel on its grid.

    Parameters
    ----------
    name, rate
        The channel.
    traces
        Rows of the index, with ``path`` and ``digest`` of their files.
    known
        The channel as the store has it: its first phase is kept while any trace stands on it. (None does after a
        delay was stated or corrected: then the channel gets the phase that it would have in a new store.)
    stated
        What a person states of the channel; its clock and delay are in the start times already.
    """
    table = TraceTable.of(traces)
    return _place(name, rate, table, np.arange(len(table)), known, stated or Stated())


def _place(
    name: str, rate: Rate, table: TraceTable, rows: NDArray[np.int64], known: Channel | None, stated: Stated
) -> ChannelPlan:
    """Do what `place` does, for some rows of a table."""
    rows = rows[table.in_order(rows, table.numbers["start_ns"][rows])]
    numbers = {key: values[rows] for key, values in table.numbers.items()}
    starts = numbers["start_ns"].tolist()
    grid = _first_grid(rate, starts, known)
    tolerance = grid.snap_tolerance_ns()
    phases = [(0, grid.phase_ns)]
    notes, snapped = [], []
    index = np.zeros(rows.size, np.int64)
    for place, start_ns in enumerate(starts):
        index[place], deviation = grid.locate(start_ns)
        if abs(deviation) > tolerance:
            grid = Grid.through(rate, start_ns)
            index[place], deviation = grid.locate(start_ns)
            phases.append((int(index[place]), grid.phase_ns))
            when = utc_text(start_ns)
            notes.append(f"{name}: from {when} the samples stand {grid.phase_ns * 1e-9:+.6f} s off whole intervals")
        elif deviation:
            snapped.append(abs(deviation))
    if snapped:
        notes.append(
            f"{name}: {len(snapped)} traces snapped to the channel's grid, by {max(snapped) * 1e-9:.6f} s at most"
        )
    dtype, decimals = widest(_types(table, rows))
    if known is not None and known.dtype == "int64" and dtype == "int32" and decimals == known.decimals:
        dtype = "int64"
    notes += _moved(name, numbers, table, rows)
    applied = _tide_applied(name, numbers, notes)
    order = table.in_order(rows, index)
    npts, number = (numbers[key][order].astype(np.int64) for key in ("npts", "number"))
    recipe = table.words["recipe"].taken
    return ChannelPlan(
        name=name,
        rate=rate,
        phases=_merge(phases),
        dtype=dtype,
        decimals=decimals,
        kind=table.words["kind"].taken(rows[:1])[0],
        units=tuple(sorted(table.words["unit"].different(rows) - {""})),
        location=(_only(numbers["latitude"]), _only(numbers["longitude"]), _only(numbers["elevation"])),
        placements=Placements(index[order], npts, number, rows[order], table.path, table.digest, recipe),
        notes=notes,
        stated=stated,
        tide_applied=applied,
    )


def _types(table: TraceTable, rows: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Type and decimals that traces have, each pair once."""
    pairs = np.unique(np.stack([table.words["dtype"].codes[rows], table.numbers["decimals"][rows]], axis=1), axis=0)
    return [(table.words["dtype"].texts[code], decimals) for code, decimals in pairs.tolist()]


def _moved(name: str, numbers: Columns, table: TraceTable, rows: NDArray[np.int64]) -> list[str]:
    """Tell of traces whose time stamps were moved because a person states a clock or a delay."""
    if "shift_ns" not in numbers or not numbers["shift_ns"].any():
        return []
    shifts = numbers["shift_ns"][numbers["shift_ns"] != 0].tolist()
    amounts = ", ".join(f"{shift * 1e-9:+.9g} s" for shift in sorted(set(shifts))[:3])
    notes = [
        f"{name}: the stamps of {len(shifts)} of {rows.size} traces are moved by {amounts}, as "
        "[[archive.channels]] states"
    ]
    across = numbers["across"].astype(bool)
    if across.any():
        path, count = table.path(rows[across][:1])[0], int(across.sum())
        notes.append(
            f"{name}: a stated clock or delay begins or ends within {count} traces (the first is of {path}); each was "
            "placed as a whole, by its first sample; cut the files there, or move the stated time"
        )
    return notes


def _first_grid(rate: Rate, starts: list[int], known: Channel | None) -> Grid:
    """Grid of the store while any trace stands on it, else that of the earliest trace."""
    if known is not None:
        tolerance = known.grid.snap_tolerance_ns()
        if any(abs(known.grid.locate(int(start))[1]) <= tolerance for start in starts):
            return known.grid
    return Grid.through(rate, int(starts[0]))


def _tide_applied(name: str, numbers: Columns, notes: list[str]) -> bool:
    """Whether the files state that the tide has been taken out; where they differ, the majority of samples decides."""
    if "tide_applied" not in numbers:
        return False
    applied = int(numbers["npts"][numbers["tide_applied"].astype(bool)].sum())
    total = int(numbers["npts"].sum())
    if 0 < applied < total:
        notes.append(
            f"{name}: of {total} samples {applied} are in files whose tide has been taken out; "
            f"{'all' if 2 * applied > total else 'none'} are taken for that; give the channel's files one treatment"
        )
    return 2 * applied > total


def _merge(phases: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Drop spans that repeat the phase before them."""
    return [p for n, p in enumerate(phases) if n == 0 or p[1] != phases[n - 1][1]]


def _only(column: NDArray[Any]) -> float | None:
    """Median of the finite values of a column, None if there are none."""
    values = column.astype(np.float64)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else None


def whole_archive(
    traces: pd.DataFrame | TraceTable,
    existing: Mapping[str, Channel],
    stated: Mapping[str, Stated] | None = None,
    rows: NDArray[np.int64] | None = None,
) -> list[ChannelPlan]:
    """Place every trace of the index.

    Parameters
    ----------
    traces
        Rows of the index, of rates that put a whole number of samples into a day; clocks and delays are in their
        start times.
    existing
        Channels of the store.
    stated
        What a person states, by channel.
    rows
        Which rows of the table; all unless given.
    """
    table = traces if isinstance(traces, TraceTable) else TraceTable.of(traces)
    groups = table.groups(np.arange(len(table)) if rows is None else rows)
    first = [int(table.numbers["start_ns"][mine].min()) for mine in groups.values()]
    pairs = pd.DataFrame({"channel": [c for c, _ in groups], "rate": [r for _, r in groups], "start_ns": first})
    plans = []
    for (channel, rate_text), name in sorted(assign_names(pairs, existing).items(), key=lambda item: item[1]):
        said = (stated or {}).get(channel) or Stated()
        mine = groups[channel, rate_text]
        plans.append(_place(name, Rate.parse(rate_text), table, mine, existing.get(name), said))
    return plans


def span_text(rate: Rate, start: int, stop: int) -> str:
    """A sample range as UTC times to the second."""
    interval = rate.interval_ns
    return " to ".join(utc_text(ORIGIN_NS + int(k * interval)) for k in (start, stop))

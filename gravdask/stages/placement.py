"""Where every trace of the archive stands on its channel's grid, decided from the index alone.

Nothing here depends on paths, modification times or the order of a scan: traces are looked at in the order of their
start times and digests. A channel's phase is that of the store if it has one, else that of its earliest trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from gravdask.grid import ORIGIN_NS, Grid, Rate, utc_text
from gravdask.stages.channels import Channel


@dataclass(frozen=True)
class Placement:
    """A trace's place on its channel's grid.

    Attributes
    ----------
    path, digest, number
        File, digest of its content, and number of the trace within it.
    start, npts
        Sample index of the first sample, and how many there are.
    """

    path: str
    digest: str
    number: int
    start: int
    npts: int

    @property
    def stop(self) -> int:
        """Sample index after the last."""
        return self.start + self.npts


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
    """

    name: str
    rate: Rate
    phases: list[tuple[int, int]]
    dtype: str
    decimals: int
    kind: str
    units: tuple[str, ...]
    location: tuple[float | None, float | None, float | None]
    placements: list[Placement]
    notes: list[str] = field(default_factory=list)


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
    for channel, group in traces.groupby("channel", sort=True):
        rates = list(group.sort_values(["start_ns", "rate"], kind="stable")["rate"].drop_duplicates())
        plain = str(existing[str(channel)].rate) if str(channel) in existing else rates[0]
        for rate in rates:
            names[str(channel), rate] = str(channel) if rate == plain else f"{channel}@{rate}"
    return names


def place(name: str, rate: Rate, traces: pd.DataFrame, known: Channel | None) -> ChannelPlan:
    """Put the traces of one channel on its grid.

    Parameters
    ----------
    name, rate
        The channel.
    traces
        Rows of the index, with ``path`` and ``digest`` of their files.
    known
        The channel as the store has it: its first phase is kept.
    """
    rows = traces.sort_values(["start_ns", "digest", "number"], kind="stable")
    grid = known.grid if known is not None else Grid.through(rate, int(rows["start_ns"].iloc[0]))
    tolerance = grid.snap_tolerance_ns()
    phases = [(0, grid.phase_ns)]
    notes, placements, snapped = [], [], []
    for path, digest, number, start_ns, npts in rows[["path", "digest", "number", "start_ns", "npts"]].to_numpy():
        index, deviation = grid.locate(int(start_ns))
        if abs(deviation) > tolerance:
            grid = Grid.through(rate, int(start_ns))
            index, deviation = grid.locate(int(start_ns))
            phases.append((index, grid.phase_ns))
            when = utc_text(start_ns)
            notes.append(f"{name}: from {when} the samples stand {grid.phase_ns * 1e-9:+.6f} s off whole intervals")
        elif deviation:
            snapped.append(abs(deviation))
        placements.append(Placement(str(path), str(digest), int(number), index, int(npts)))
    if snapped:
        notes.append(
            f"{name}: {len(snapped)} traces snapped to the channel's grid, by {max(snapped) * 1e-9:.6f} s at most"
        )
    dtype, decimals = widest(zip(rows["dtype"], rows["decimals"], strict=True))
    if known is not None and known.dtype == "int64" and dtype == "int32" and decimals == known.decimals:
        dtype = "int64"
    units = tuple(sorted({str(u) for u in rows["unit"] if isinstance(u, str) and u}))
    location = tuple(_only(rows[c]) for c in ("latitude", "longitude", "elevation"))
    kind = str(rows["kind"].iloc[0])
    placements.sort(key=lambda p: (p.start, p.digest, p.number))
    return ChannelPlan(name, rate, _merge(phases), dtype, decimals, kind, units, location, placements, notes)  # type: ignore[arg-type]


def _merge(phases: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Drop spans that repeat the phase before them."""
    return [p for n, p in enumerate(phases) if n == 0 or p[1] != phases[n - 1][1]]


def _only(column: pd.Series) -> float | None:
    """Median of the finite values of a column, None if there are none."""
    values = pd.to_numeric(column, errors="coerce").dropna()
    return float(values.median()) if len(values) else None


def whole_archive(traces: pd.DataFrame, existing: Mapping[str, Channel]) -> list[ChannelPlan]:
    """Place every trace of the index; rates that put no whole number of samples into a day are left out with a note."""
    names = assign_names(traces, existing)
    plans = []
    for (channel, rate_text), name in sorted(names.items(), key=lambda item: item[1]):
        rows = traces[(traces["channel"] == channel) & (traces["rate"] == rate_text)]
        plans.append(place(name, Rate.parse(rate_text), rows, existing.get(name)))
    return plans


def span_text(rate: Rate, start: int, stop: int) -> str:
    """A sample range as UTC times to the second."""
    interval = rate.interval_ns
    return " to ".join(utc_text(ORIGIN_NS + int(k * interval)) for k in (start, stop))

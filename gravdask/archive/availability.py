"""When there are samples: spans of time from the traces of an index, and their sums by channel and year."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gravdask.grid import DAY_NS, Rate

TABLE_COLUMNS = ("channel", "year", "percent", "days", "gaps", "longest_gap_s")
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)(?:[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])|[-_.]?([0-3]\d\d)(?!\d))"
)
"""yyyymmdd or yyyyddd, with or without marks between the parts."""


def intervals(traces: pd.DataFrame) -> NDArray[np.int64]:
    """Start and end (exclusive) of each trace [ns since 1970], shape (traces, 2).

    Parameters
    ----------
    traces
        Rows with start_ns, npts and rate.
    """
    start, npts = traces["start_ns"].to_numpy(np.int64), traces["npts"].to_numpy(np.int64)
    codes, rates = pd.factorize(traces["rate"])
    steps = [Rate.parse(str(rate)).interval_ns for rate in rates]
    samples = np.array([step.numerator for step in steps], np.float64)[codes] if len(steps) else np.zeros(0)
    parts = np.array([step.denominator for step in steps], np.float64)[codes] if len(steps) else np.ones(0)
    length = np.rint(npts * (samples / parts)).astype(np.int64)
    return np.stack([start, start + length], axis=1)


def merged(spans: NDArray[np.int64], join_ns: int = 0) -> NDArray[np.int64]:
    """Sort spans and join those that overlap, touch, or lie at most so far apart.

    Parameters
    ----------
    spans
        Starts and ends, shape (n, 2).
    join_ns
        Widest gap [ns] that is none.

    Returns
    -------
    joined
        Shape (m, 2), m <= n, sorted.
    """
    if not len(spans):
        return np.zeros((0, 2), np.int64)
    ordered = spans[np.argsort(spans[:, 0], kind="stable")]
    reached = np.maximum.accumulate(ordered[:, 1])
    first = np.flatnonzero(np.concatenate([[True], ordered[1:, 0] > reached[:-1] + join_ns]))
    return np.stack([ordered[first, 0], reached[np.append(first[1:] - 1, len(ordered) - 1)]], axis=1)


def clipped(spans: NDArray[np.int64], to: NDArray[np.int64]) -> NDArray[np.int64]:
    """Part of some spans that lies within others; both are sorted and disjoint, shape (n, 2)."""
    pieces = []
    for start, stop in to.tolist():
        low, high = np.searchsorted(spans[:, 1], start, "right"), np.searchsorted(spans[:, 0], stop, "left")
        inside = spans[low:high].clip(start, stop)
        pieces.append(inside[inside[:, 1] > inside[:, 0]])
    return np.concatenate(pieces) if pieces else np.zeros((0, 2), np.int64)


def coverage(traces: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    """Spans with samples of every channel; what two traces leave between them is a gap from half a sample on.

    Parameters
    ----------
    traces
        Rows with channel, rate, start_ns and npts. A channel with several rates is covered where any of them is.

    Returns
    -------
    spans
        Per channel, sorted: starts and ends (exclusive) [ns since 1970], disjoint, shape (spans, 2).
    """
    found = {}
    for channel, group in traces.groupby("channel", sort=True):
        shortest = min(Rate.parse(str(rate)).interval_ns for rate in set(group["rate"]))
        found[str(channel)] = merged(intervals(group), int(shortest // 2))
    return found


def availability(spans: Mapping[str, NDArray[np.int64]]) -> pd.DataFrame:
    """Availability of each channel in each year that it was running.

    Parameters
    ----------
    spans
        As `coverage` gives them.

    Returns
    -------
    table
        channel, year, percent (of the part of the year between the channel's first and last sample), days (with
        samples, in sum), gaps (that the year has a part of), longest_gap_s (its whole length [s], 0 without one).
    """
    rows = []
    for channel, found in spans.items():
        if not len(found):
            continue
        first, last = int(found[0, 0]), int(found[-1, 1])
        gaps = np.stack([found[:-1, 1], found[1:, 0]], axis=1)
        for year in range(_year(first), _year(last - 1) + 1):
            begin, end = max(_new_year(year), first), min(_new_year(year + 1), last)
            inside = clipped(found, np.array([[begin, end]]))
            held = int((inside[:, 1] - inside[:, 0]).sum())
            mine = gaps[(gaps[:, 0] < end) & (gaps[:, 1] > begin)]
            longest = float((mine[:, 1] - mine[:, 0]).max()) * 1e-9 if len(mine) else 0.0
            rows.append((channel, year, 100 * held / (end - begin), held / DAY_NS, len(mine), longest))
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS))


def availability_lines(table: pd.DataFrame) -> list[str]:
    """Write an availability table for a terminal, a line for each channel and year below a heading."""
    if table.empty:
        return []
    lines = [
        "availability, % of the time from a channel's first to its last sample of the year",
        f"{'channel':<20} {'year':>4}  {'%':>6} {'days':>8} {'gaps':>6}  longest gap",
    ]
    for row in table.to_dict("records"):
        # a gap must not disappear by rounding: 100 is said of a whole year only
        percent = 100.0 if not row["gaps"] else min(row["percent"], 99.99)
        lines.append(
            f"{row['channel']:<20} {row['year']:>4}  {percent:>6.2f} {row['days']:>8.2f} {row['gaps']:>6}  "
            f"{duration_text(row['longest_gap_s']) if row['gaps'] else '-'}"
        )
    return lines


def duration_text(seconds: float) -> str:
    """A duration as a person says it: ``40 s``, ``12.5 min``, ``3.2 h`` or ``17.0 days``."""
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:g} s"


def _year(time_ns: int) -> int:
    """Calendar year of a time."""
    return int(str(np.datetime64(time_ns, "ns").astype("datetime64[Y]")))


def _new_year(year: int) -> int:
    """First instant of a calendar year [ns since 1970]."""
    return int(np.datetime64(f"{year:04d}-01-01", "ns").astype(np.int64))


def date_in_name(location: str) -> int | None:
    """Time [ns since 1970] of the last date in a file's name, else in its folders', None without one.

    For files that cannot be read: their name is then all that says when they are from. Understands yyyymmdd and
    yyyyddd (day of year), with ``-``, ``_`` or ``.`` between the parts.
    """
    for part in reversed(PurePosixPath(location).parts):
        for match in reversed(list(_DATE.finditer(part))):
            year, month, day, of_year = match.groups()
            first = np.datetime64(f"{year}-{month or '01'}-01", "D")
            when = first + np.timedelta64(int(day or of_year) - 1, "D")
            if int(day or of_year) and str(when)[: 7 if month else 4] == (f"{year}-{month}" if month else year):
                return int(when.astype("datetime64[ns]").astype(np.int64))
    return None


def channels_in_name(location: str, channels: list[str]) -> list[str]:
    """Channels whose station code stands as a word of a file's name, or else of its folders'."""
    stations = {channel: channel.split(".")[1] if channel.count(".") >= 3 else channel for channel in channels}
    for part in reversed(PurePosixPath(location).parts):
        words = {word.upper() for word in re.split(r"[^A-Za-z0-9]+", part)}
        named = [channel for channel in channels if stations[channel].upper() in words]
        if named:
            return [c for c in named if c.rsplit(".", 1)[-1].split("@")[0].upper() in words] or named
    return []

"""Irregular stamps to the absolute grid by a stated rule, with its error.

Loggers jitter by seconds, cycle in 87 to 92 s, repeat stamps and have their clocks set back. What is done about it:

* A row that repeats the stamp of the row before is left out.
* Where the clock steps back a new section begins. Where two sections claim the same time the later rows of the file
  are kept: the clock was set back because it had been wrong. Rows of earlier sections nearer than half a step to a
  stretch of a later one are left out.
* Rows farther apart than 1.5 usual steps have a gap between them, which stays a gap.
* The grid is the absolute one: whole intervals since 1950-01-01 UTC, whatever the first row is.
* ``linear`` interpolates between the two rows around a grid time, ``nearest`` takes the nearer of the two unchanged.

Everything that decides depends on the rows around a grid time alone (and on the interval), so the same rows cut into
other files give the same samples, but for those between the last row of one file and the first of the next.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import GridError
from gravdask.grid import DAY_NS, DAY_SECONDS, ORIGIN_NS, PHASE_TOLERANCE, SECOND_NS

Rule = Literal["linear", "nearest", "refuse"]
GAP_STEPS = 1.5
"""Usual steps between two rows beyond which there is a gap between them."""
MAX_JUMPS = 1000
_INTERVALS_NS = tuple(
    sorted(
        [n * SECOND_NS for n in range(1, DAY_SECONDS + 1) if DAY_SECONDS % n == 0]
        + [SECOND_NS // n for n in range(2, 1001) if SECOND_NS % n == 0]
    )
)
"""Intervals that divide a day and are whole nanoseconds."""


def positive_steps(times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Steps from row to row that go forward in time [ns], in the order of rows."""
    steps = np.diff(times_ns)
    return steps[steps > 0]


def refuse_unsorted(times_ns: NDArray[np.int64]) -> None:
    """Raise if rows do not run forward in time: a logger's clock jumps back now and then, not every few rows.

    Raises
    ------
    GridError
        If more than two steps and more than one in ten go backwards.
    """
    back = int(np.count_nonzero(np.diff(times_ns) < 0))
    if back > 2 and back * 10 > times_ns.size:
        msg = f"{back} of {times_ns.size - 1} steps from row to row go back in time: sort the rows by their time"
        raise GridError(msg)


def grid_interval_ns(times_ns: NDArray[np.int64], wanted_s: float = 0.0) -> int:
    """Interval of the grid: the wanted one, else the interval dividing a day that is nearest to the median step.

    Raises
    ------
    GridError
        If no row follows another, if the wanted interval divides no day, or if less than half of the steps are near
        their median: such rows have no usual step.
    """
    steps = positive_steps(times_ns)
    refuse_unsorted(times_ns)
    if not steps.size:
        msg = "the sampling interval is neither stated nor seen, as there is no second, later row"
        raise GridError(msg)
    middle = float(np.median(steps))
    near = np.count_nonzero(np.abs(steps - middle) <= 0.5 * middle)
    if 2 * near < steps.size:
        msg = f"the rows have no usual step: less than half of the steps are within 50 % of {middle / SECOND_NS:g} s"
        raise GridError(msg)
    if wanted_s > 0:
        wanted = round(wanted_s * SECOND_NS)
        if wanted < 1 or DAY_NS % wanted:
            msg = f"an interval of {wanted_s:g} s puts no whole number of samples into a day; expected such as 30 or 60"
            raise GridError(msg)
        return wanted
    return min(_INTERVALS_NS, key=lambda interval: (abs(np.log(interval / middle)), interval))


def usual_step_ns(times_ns: NDArray[np.int64], interval_ns: int) -> float:
    """Step that gaps are measured by: the grid's interval if the rows keep to it by half, else their median step."""
    middle = float(np.median(positive_steps(times_ns)))
    return float(interval_ns) if 2 / 3 <= middle / interval_ns <= 3 / 2 else middle


@dataclass(frozen=True)
class OrderedRows:
    """Which rows are used, and why others are not.

    Attributes
    ----------
    section
        Section of each row, counted from 0 in the order of the file; -1 where the row is left out. Shape (rows,).
    repeated
        Rows that repeat the stamp before.
    jumps
        First rows after a step back in time.
    superseded
        Rows whose time is claimed again by a later section.
    """

    section: NDArray[np.int64]
    repeated: NDArray[np.int64]
    jumps: NDArray[np.int64]
    superseded: NDArray[np.int64]


def order_rows(times_ns: NDArray[np.int64], usual_ns: float, starts: NDArray[np.int64] | None = None) -> OrderedRows:
    """Find the sections of the rows and resolve where they overlap in time: the later rows of the file are kept.

    Parameters
    ----------
    times_ns
        Times of the rows [ns since 1970], shape (rows,).
    usual_ns
        Usual step [ns].
    starts
        Rows at which a section starts for other reasons, such as another place or instrument.

    Raises
    ------
    GridError
        If the clock steps back more than 1000 times: no order can be trusted.
    """
    repeated = np.flatnonzero(np.diff(times_ns) == 0) + 1
    used = np.ones(times_ns.size, dtype=bool)
    used[repeated] = False
    rows = np.flatnonzero(used)
    jumps = rows[1:][np.diff(times_ns[rows]) < 0]
    if jumps.size > MAX_JUMPS:
        msg = f"the clock steps back {jumps.size} times, at first in row {int(jumps[0]) + 1}; no order can be trusted"
        raise GridError(msg)
    begins = np.zeros(times_ns.size, dtype=bool)
    begins[jumps] = True
    if starts is not None:
        begins[starts[(starts > 0) & (starts < times_ns.size)]] = True
    section = np.cumsum(begins)
    section[~used] = -1
    superseded = _superseded(times_ns, section, jumps, usual_ns)
    section[superseded] = -1
    return OrderedRows(section, repeated, jumps, superseded)


def _superseded(
    times_ns: NDArray[np.int64], section: NDArray[np.int64], jumps: NDArray[np.int64], usual_ns: float
) -> NDArray[np.int64]:
    """Rows before a backward step whose time lies in, or within half a step of, a stretch of rows after it."""
    found: list[NDArray[np.int64]] = []
    covered = np.empty((0, 2))
    bounds = [0, *jumps.tolist(), times_ns.size]
    for first, stop in reversed(list(itertools.pairwise(bounds))):
        rows = np.arange(first, stop)[section[first:stop] >= 0]
        if covered.size:
            # Stretches are merged and sorted: a time is covered if the last one that begins before it still holds it.
            place = np.searchsorted(covered[:, 0], times_ns[rows], side="right") - 1
            inside = (place >= 0) & (times_ns[rows] <= covered[np.maximum(place, 0), 1])
            found.append(rows[inside])
            rows = rows[~inside]
        if first and rows.size:
            edges = np.flatnonzero(np.diff(times_ns[rows]) > GAP_STEPS * usual_ns)
            lower = times_ns[rows[np.concatenate([[0], edges + 1])]] - 0.5 * usual_ns
            upper = times_ns[rows[np.concatenate([edges, [rows.size - 1]])]] + 0.5 * usual_ns
            covered = _merged(np.concatenate([covered, np.stack([lower, upper], axis=1)]))
    return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)


def _merged(spans: NDArray[np.float64]) -> NDArray[np.float64]:
    """Union of spans as disjoint spans in their order, shape (n, 2)."""
    ordered = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    first = np.concatenate([[True], ordered[1:, 0] > reach[:-1]])
    last = np.concatenate([first[1:], [True]])
    return np.stack([ordered[first, 0], reach[last]], axis=1)


@dataclass(frozen=True)
class Resampling:
    """Where the samples of a grid come from.

    Attributes
    ----------
    interval_ns
        Interval of the grid [ns].
    slots
        Sample numbers on the absolute grid, ascending, each once, shape (n,).
    left, right
        Rows before and after each sample; equal where one row is taken as it is.
    weight
        Share of the right row, 0 where one row is taken as it is.
    shift_ns
        Time of the sample minus that of the row taken as it is [ns]; 0 where interpolated.
    unused
        Rows of which nothing is in the result.
    """

    interval_ns: int
    slots: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    weight: NDArray[np.float64]
    shift_ns: NDArray[np.int64]
    unused: int

    @property
    def exact(self) -> bool:
        """Whether every sample is the value of a row."""
        return bool((self.left == self.right).all())

    @property
    def runs(self) -> NDArray[np.int64]:
        """First sample and sample after the last of each gap-free run, shape (n_runs, 2)."""
        breaks = np.flatnonzero(np.diff(self.slots) != 1) + 1
        bounds = np.concatenate([[0], breaks, [self.slots.size]])
        return np.stack([bounds[:-1], bounds[1:]], axis=1) if self.slots.size else np.empty((0, 2), dtype=np.int64)

    def start_ns(self, sample: int) -> int:
        """Time of a sample [ns since 1970]."""
        return ORIGIN_NS + int(self.slots[sample]) * self.interval_ns

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the samples: of the type of the rows' values if all are taken as they are, else float64."""
        if self.exact:
            return values[self.left]
        left, right = values[self.left].astype(np.float64), values[self.right].astype(np.float64)
        return left + (right - left) * self.weight


def resample(
    times_ns: NDArray[np.int64], section: NDArray[np.int64], interval_ns: int, usual_ns: float, rule: Rule
) -> Resampling:
    """Find the rows that each grid time is made from.

    Parameters
    ----------
    times_ns, section
        Times of the rows [ns since 1970] and their sections, -1 where a row is not used, shape (rows,).
    interval_ns
        Interval of the grid [ns].
    usual_ns
        Usual step of the rows [ns].
    rule
        ``"linear"`` or ``"nearest"``. A grid time within 1 % of an interval outside a stretch takes its end.

    Returns
    -------
    resampling
        Samples in the order of time; where two stretches claim one, the nearer row is taken, else the later one.
    """
    rows = np.flatnonzero(section >= 0)
    edges = (np.diff(section[rows]) != 0) | (np.diff(times_ns[rows]) > GAP_STEPS * usual_ns)
    bounds = [0, *(np.flatnonzero(edges) + 1).tolist(), rows.size] if rows.size else []
    margin = int(interval_ns * PHASE_TOLERANCE) if rule == "linear" else interval_ns // 2
    parts = [_stretch(times_ns, rows[a:b], interval_ns, margin, rule) for a, b in itertools.pairwise(bounds)]
    joined = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    if not joined:
        joined = [np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)]
    slots, left, right, weight = joined
    shift = np.where(left == right, ORIGIN_NS + slots * interval_ns - times_ns[left], 0)
    order = np.lexsort((left, -np.abs(shift), slots))
    last = np.append(np.diff(slots[order]) != 0, True) if order.size else np.empty(0, dtype=bool)
    kept = order[last]
    slots, left, right, weight, shift = slots[kept], left[kept], right[kept], weight[kept], shift[kept]
    unused = rows.size - np.union1d(left, right).size
    return Resampling(interval_ns, slots, left, right, weight, shift, unused)


def _stretch(
    times_ns: NDArray[np.int64], rows: NDArray[np.int64], interval_ns: int, margin: int, rule: Rule
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Samples of one stretch without a gap: slots, rows before and after, share of the row after."""
    times = times_ns[rows] - ORIGIN_NS
    first = -((margin - int(times[0])) // interval_ns)
    last = (int(times[-1]) + margin) // interval_ns
    slots = np.arange(first, last + 1, dtype=np.int64)
    grid = np.clip(slots * interval_ns, times[0], times[-1])
    before = np.clip(np.searchsorted(times, grid, side="right") - 1, 0, times.size - 1)
    after = np.where(grid == times[before], before, np.minimum(before + 1, times.size - 1))
    span = np.maximum(times[after] - times[before], 1)
    weight = (grid - times[before]) / span
    if rule == "nearest":  # of two rows equally near, the earlier
        before = np.where(times[after] - grid < grid - times[before], after, before)
        after, weight = before, np.zeros(slots.size)
    return slots, rows[before], rows[after], weight


def interpolation_error(
    resampling: Resampling, times_ns: NDArray[np.int64], values: NDArray[np.float64], section: NDArray[np.int64]
) -> tuple[float, float]:
    """Largest and rms error of linear interpolation, estimated from the curvature of the rows.

    Between rows at a and b the error at t is (t - a)(b - t) |f''| / 2. The second divided difference of three rows
    next to each other is f''/2 somewhere between them; the larger one of both rows around t is taken. Where a stretch
    has two rows only, half their difference stands for it. White noise counts as curvature: the estimate says how
    well a sample is known from its neighbours, not only how smooth the truth is.

    Parameters
    ----------
    resampling
        Made by `resample`.
    times_ns, values, section
        Of the rows, as given to `resample`, shape (rows,).

    Returns
    -------
    largest, rms
        In the unit of the values, over the interpolated samples; zeros if there are none.
    """
    used = np.flatnonzero(resampling.left != resampling.right)
    if not used.size:
        return 0.0, 0.0
    rows = np.flatnonzero(section >= 0)
    seconds = (times_ns[rows] - times_ns[rows[0]]) / SECOND_NS
    steps = np.diff(seconds)
    joined = (np.diff(section[rows]) == 0) & (steps > 0)
    widths = np.where(joined, steps, 1.0)
    slopes = np.where(joined, np.diff(values[rows]) / widths, 0.0)
    curved = np.zeros(rows.size)
    inner = joined[1:] & joined[:-1]
    curved[1:-1][inner] = np.abs(np.diff(slopes) / (widths[1:] + widths[:-1]))[inner]
    place = np.searchsorted(rows, resampling.left[used])
    beside = np.minimum(place + 1, rows.size - 1)
    lonely = ~_has_third(joined, place)
    curvature = np.maximum(curved[place], curved[beside])
    left, right = times_ns[resampling.left[used]], times_ns[resampling.right[used]]
    grid = np.clip(ORIGIN_NS + resampling.slots[used] * resampling.interval_ns, left, right)
    reach = (grid - left) / SECOND_NS * ((right - grid) / SECOND_NS)
    difference = np.abs(values[resampling.right[used]] - values[resampling.left[used]])
    error = np.where(lonely, difference / 2, reach * curvature)
    return float(error.max()), float(np.sqrt(np.mean(error**2)))


def _has_third(joined: NDArray[np.bool_], place: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a pair of rows (``place`` and the next) has a third row of its section on either side."""
    padded = np.concatenate([[False], joined, [False]])
    after = np.minimum(place + 2, padded.size - 1)
    return np.asarray(padded[place] | padded[after])

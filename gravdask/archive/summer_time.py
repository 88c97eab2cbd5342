"""Rows of a logger whose clock keeps summer time: an hour is missing in spring, and one is there twice in autumn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.traces import Note
from gravdask.grid import SECOND_NS

HOUR_NS = 3600 * SECOND_NS
TOLERANCE_NS = 60 * SECOND_NS
"""Farthest that a jump may be from an hour."""
CLEAR_STEP_NS = 600 * SECOND_NS
"""Interval of rows up to which one jump alone says something: rows of half hours lose an hour in many ways."""
MONTHS = frozenset({2, 3, 4, 5, 9, 10, 11})
"""Months in which any country has changed its clocks."""
_SATURDAY = 5
_NAMED = 4
_CURE = (
    "set the logger to UTC, or to a time without summer time; for these rows, split the file at the jumps and state "
    "the clock of each season in [[archive.channels]] with start and end"
)


def summer_time_note(times_ns: NDArray[np.int64], lines: NDArray[np.int64] | None = None) -> Note | None:
    """Say that a clock seems to keep summer time, None if nothing speaks for it.

    Parameters
    ----------
    times_ns
        Times of the rows in the order of the file [ns since 1970, clock of the file or a fixed offset from it].
    lines
        Lines of the rows, for the note.

    Notes
    -----
    Looked for are jumps by one hour, to the minute, forward or back, at a full or half hour of a Saturday or Sunday
    (Saturday, for the clock of the file may be hours ahead of UTC) in the months in which clocks are changed. Rows
    farther apart than ten minutes must show both.
    """
    if times_ns.size < 3:
        return None
    steps = np.diff(times_ns)
    ahead = steps[steps > 0]
    if not ahead.size:
        return None
    step = int(np.median(ahead))
    near = min(step // 2, TOLERANCE_NS)
    forward = _usual(times_ns, np.flatnonzero(np.abs(steps - step - HOUR_NS) <= near), step)
    back = _usual(times_ns, np.flatnonzero(np.abs(steps - step + HOUR_NS) <= near), step)
    if not (forward.size and back.size) and (step > CLEAR_STEP_NS or not (forward.size or back.size)):
        return None
    words = [
        f"an hour {way} at {_named(times_ns[rows])}" for way, rows in (("on", forward), ("back", back)) if rows.size
    ]
    seems = "seems to keep" if forward.size and back.size else "may keep"
    first = int(min(rows[0] for rows in (forward, back) if rows.size))
    what = f"the clock goes {' and '.join(words)}: it {seems} summer time"
    return Note(what, 0 if lines is None else int(lines[first + 1]), _CURE)


def _usual(times_ns: NDArray[np.int64], rows: NDArray[np.intp], step: int) -> NDArray[np.intp]:
    """Rows before a jump that lie where clocks are changed."""
    due = times_ns[rows] + step
    days = due.astype("datetime64[ns]").astype("datetime64[D]")
    months = days.astype("datetime64[M]").astype(np.int64) % 12 + 1
    weekday = (days.astype(np.int64) + 3) % 7  # Monday is 0; 1970 began on a Thursday
    half = HOUR_NS // 2
    past = (due + half // 2) % half - half // 2
    keep = np.isin(months, sorted(MONTHS)) & (weekday >= _SATURDAY) & (np.abs(past) <= max(step, TOLERANCE_NS))
    return rows[keep]


def _named(times_ns: NDArray[np.int64]) -> str:
    """First of some times, and how many more there are."""
    shown = [str(t) for t in times_ns[:_NAMED].astype("datetime64[ns]").astype("datetime64[s]")]
    more = f" and {times_ns.size - _NAMED} more" if times_ns.size > _NAMED else ""
    return ", ".join(shown) + more

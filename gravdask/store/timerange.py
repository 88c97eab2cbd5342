"""Evenly spaced times as five integers: what samples, frames and days stand at, and where a time lies among them.

Exact for any rational rate and any length: positions come from whole numbers only, so a time is found at the same
place as among stamps that are written out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gravdask.errors import GridError, StoreError
from gravdask.grid import DAY_NS, ORIGIN_NS, SECOND_NS, Rate

MAX_STAMPS = 50_000_000
"""Most time stamps that are computed at once; more is nearly always a forgotten selection (0.4 GB)."""
_UNIT_NS = {"ns": 1, "us": 1000, "ms": 10**6, "s": SECOND_NS, "min": 60 * SECOND_NS, "h": 3600 * SECOND_NS, "D": DAY_NS}


def refuse_many(count: int) -> None:
    """Refuse to compute more than `MAX_STAMPS` time stamps at once.

    Raises
    ------
    StoreError
        If there are more.
    """
    if count > MAX_STAMPS:
        msg = (
            f"{count} time stamps were asked for at once ({count * 8 / 1e9:.1f} GB), the limit is {MAX_STAMPS}; "
            "select a span first, for example .sel(time='2011-03-11')"
        )
        raise StoreError(msg)


def bounds_ns(label: object) -> tuple[int, int]:
    """First and last nanosecond that a time stands for: the same one but for a partial date such as ``"2011-03"``.

    Raises
    ------
    KeyError
        If it is no time (NaT).
    TypeError
        If it is a number or another thing that does not name a time by itself.
    """
    if isinstance(label, np.ndarray) and label.ndim == 0:
        label = label[()]
    if isinstance(label, str):
        stamp = _stamp_with_zone(label)
        if stamp is None:
            period = pd.Period(label)
            return _as_ns(period.start_time), _as_ns((period + 1).start_time) - 1
    elif isinstance(label, np.datetime64 | date):
        stamp = pd.Timestamp(label)
    else:
        msg = f"{label!r} is not a time; give a datetime64, a datetime or a text such as '2011-03-11T05:46'"
        raise TypeError(msg)
    if pd.isna(stamp):
        raise KeyError(label)
    only = _as_ns(stamp)
    return only, only


def _stamp_with_zone(text: str) -> pd.Timestamp | None:
    """Time of a text that states a time zone; None if it states none."""
    try:
        stamp = pd.Timestamp(text)
    except ValueError:
        return None
    return None if stamp.tzinfo is None else stamp


def _as_ns(stamp: pd.Timestamp) -> int:
    """Nanoseconds since 1970 UTC, also of years that 64 bits of nanoseconds do not reach."""
    value = stamp.tz_convert(None).asm8 if stamp.tzinfo is not None else stamp.asm8
    return int(value.astype(np.int64)) * _UNIT_NS[np.datetime_data(value)[0]]


@dataclass(frozen=True)
class TimeRange:
    """Evenly spaced times: stamp ``i`` is ``base + floor((offset + i step) / divisor)``.

    Attributes
    ----------
    base
        Whole nanoseconds since 1970.
    offset, step, divisor
        Position of stamp 0 after ``base`` and interval, both in ``divisor``-ths of a nanosecond. The step is negative
        in a reversed range of two stamps or more.
    size
        Number of stamps.
    """

    base: int
    offset: int
    step: int
    divisor: int
    size: int

    def __post_init__(self) -> None:
        """Bring the numbers to their one canonical form, so that equal ranges compare equal."""
        if self.divisor < 1 or abs(self.step) < self.divisor or self.size < 0:
            msg = f"times need an interval of at least 1 ns and no negative number of them, got {self!r}"
            raise GridError(msg)
        common = math.gcd(self.step, self.divisor)
        shift, offset = divmod(self.offset // common, self.divisor // common)
        for name, value in (
            ("base", self.base + shift),
            ("offset", offset),
            ("step", self.step // common if self.size > 1 else abs(self.step) // common),
            ("divisor", self.divisor // common),
            ("size", self.size),
        ):
            # Python's integers, which do not overflow where NumPy's would.
            object.__setattr__(self, name, int(value))

    @classmethod
    def of_samples(cls, rate: Rate, phase_ns: int, start: int, stop: int) -> TimeRange:
        """Times of the samples ``[start, stop)``, equal to `gravdask.grid.Grid.times_ns`."""
        step = rate.seconds * SECOND_NS
        return cls(ORIGIN_NS + phase_ns, start * step, step, rate.samples, stop - start)

    @classmethod
    def of_frames(cls, rate: Rate, phase_ns: int, frame_samples: int, start: int, stop: int) -> TimeRange:
        """Centres of the frames ``[start, stop)``, equal to `gravdask.grid.frame_centre_ns`."""
        half = rate.seconds * SECOND_NS
        offset = (2 * start * frame_samples + frame_samples - 1) * half
        return cls(ORIGIN_NS + phase_ns, offset, 2 * frame_samples * half, 2 * rate.samples, stop - start)

    @classmethod
    def of_days(cls, start: int, stop: int) -> TimeRange:
        """Noon (UTC) of the days ``[start, stop)``."""
        return cls(ORIGIN_NS + DAY_NS // 2, start * DAY_NS, DAY_NS, 1, stop - start)

    def time_ns(self, index: int) -> int:
        """Stamp of one index, in or beyond the range [ns since 1970]."""
        return self.base + (self.offset + index * self.step) // self.divisor

    def times_ns(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Stamps of many indices, equal to `time_ns` of each.

        Raises
        ------
        StoreError
            If there are more than `MAX_STAMPS` of them.
        """
        refuse_many(index.size)
        whole, rest = divmod(self.step, self.divisor)
        return self.base + index * whole + (self.offset + index * rest) // self.divisor

    def before(self, time_ns: int) -> int:
        """Number of stamps before a time (after it, in a reversed range): a position from 0 to size."""
        if self.step < 0:
            # stamp > t  <=>  offset + i step >= (t - base + 1) divisor
            count = ((time_ns - self.base + 1) * self.divisor - self.offset) // self.step + 1
        else:
            # stamp < t  <=>  offset + i step < (t - base) divisor, exactly: t is a whole number
            count = -(((time_ns - self.base) * self.divisor - self.offset) // -self.step)
        return min(max(count, 0), self.size)

    def until(self, time_ns: int) -> int:
        """Number of stamps up to and with a time (down to and with it, in a reversed range)."""
        return self.before(time_ns + (1 if self.step > 0 else -1))

    def position(self, time_ns: int, method: str | None = None) -> int:
        """Position of a time; -1 if it is not there.

        Parameters
        ----------
        method
            None for the exact time; ``nearest`` (of two as near the later), ``pad`` or ``ffill`` (the last before or
            at it), ``backfill`` or ``bfill`` (the first after or at it).
        """
        low, high = self.before(time_ns), self.until(time_ns)
        if high > low:
            return low
        # Nothing stands at the time itself: its neighbours are low - 1 and low, earlier first unless reversed.
        earlier, later = (low - 1, low) if self.step > 0 else (low, low - 1)
        earlier, later = (p if 0 <= p < self.size else -1 for p in (earlier, later))
        if method in {"pad", "ffill"}:
            return earlier
        if method in {"backfill", "bfill"}:
            return later
        if method != "nearest":
            return -1
        if earlier < 0 or later < 0:
            return max(earlier, later)
        return earlier if time_ns - self.time_ns(earlier) < self.time_ns(later) - time_ns else later

    def part(self, selection: slice) -> TimeRange:
        """Range of the stamps that a slice of positions selects."""
        chosen = range(self.size)[selection]
        offset = self.offset + chosen.start * self.step
        return TimeRange(self.base, offset, self.step * chosen.step, self.divisor, len(chosen))

    def shift_to(self, other: TimeRange) -> int | None:
        """Whole steps from this range's first stamp to the other's; None if they lie on different grids."""
        if (self.step, self.divisor) != (other.step, other.divisor):
            return None
        distance = (other.base - self.base) * self.divisor + other.offset - self.offset
        steps, rest = divmod(distance, self.step)
        return None if rest else steps

    def same(self, other: TimeRange) -> bool:
        """Whether both hold the same stamps."""
        if self.size < 2 or other.size < 2:
            return self.size == other.size and (self.size == 0 or self.time_ns(0) == other.time_ns(0))
        return self == other

    @property
    def resolution_ns(self) -> int:
        """Largest of day, hour, minute, ... nanosecond that every stamp is a whole number of [ns]."""
        exact = self.divisor == 1 or self.size < 2
        step = 0 if self.size < 2 else self.step
        for unit in reversed(_UNIT_NS.values()):
            if exact and self.time_ns(0) % unit == 0 and step % unit == 0:
                return unit
        return 1

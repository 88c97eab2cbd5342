"""Whether the noise of a station rises or falls, with the season taken out and an honest uncertainty.

The trend is the median of the slopes between pairs of days (Theil and Sen), which a few loud days do not move. Where
the record is long enough, only pairs a whole number of years apart are used (after Hirsch, Slack and Smith 1982),
because the noise of spring gravimeters is strongly seasonal. Its uncertainty comes from leaving out one block of
consecutive days after another (jackknife), so that slow swings are not taken for independent evidence.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

YEAR_DAYS = 365.25
SAME_SEASON_DAYS = 15
"""Two days belong to one season when their distance is a whole number of years within this many days."""
BLOCKS = 12
"""Blocks of the jackknife; the interval uses Student's t with 11 degrees of freedom."""
_STUDENT_95 = 2.201
SAMPLING_SCATTER = 0.036
"""Standard deviation of the SNM of one day of stationary white noise (0.043 where the spectrum falls as 1/f²)."""
MAX_DAYS = 4000


class Trend(NamedTuple):
    """Trend of a noise magnitude.

    Attributes
    ----------
    slope
        Change per year of 365.25 days; NaN with fewer than 24 days.
    low, high
        Interval of 95 % confidence.
    median
        Of all days: what stations and periods of unequal length are compared by.
    scatter
        Robust standard deviation of the days around the trend (1.4826 times the median absolute deviation).
    days
        Days with a magnitude.
    season_removed
        True if the slope rests on pairs of one season; otherwise (less than two years) a seasonal swing and a trend
        cannot be told apart, and no trend should be claimed.
    """

    slope: float
    low: float
    high: float
    median: float
    scatter: float
    days: int
    season_removed: bool

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out zero and the season was removed."""
        return self.season_removed and (self.low > 0 or self.high < 0)


def magnitude_trend(day: NDArray[np.int64], magnitude: Array) -> Trend:
    """Estimate the trend of daily noise magnitudes.

    Parameters
    ----------
    day
        Number of each day, counted from any origin, ascending, shape (n,).
    magnitude
        SNM or SSNM of each day, NaN where there is none, shape (n,). Of more than 4000 days with a magnitude, every
        second, third, … is used for the slope.
    """
    known = np.isfinite(magnitude)
    days, values = np.asarray(day)[known].astype(np.float64), np.asarray(magnitude, dtype=np.float64)[known]
    count = days.size
    median = float(np.median(values)) if count else math.nan
    if count < 2 * BLOCKS:
        return Trend(math.nan, math.nan, math.nan, median, math.nan, count, False)
    thin = -(-count // MAX_DAYS)
    slopes, first, second, seasonal = _pair_slopes(days[::thin], values[::thin])
    slope = float(np.median(slopes))

    block = np.arange(days[::thin].size) * BLOCKS // days[::thin].size
    without = np.array([np.median(slopes[(block[first] != b) & (block[second] != b)]) for b in range(BLOCKS)])
    error = math.sqrt((BLOCKS - 1) / BLOCKS * float(np.sum((without - without.mean()) ** 2)))
    rest = values - slope * days / YEAR_DAYS
    scatter = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    reach = _STUDENT_95 * error
    return Trend(slope, slope - reach, slope + reach, median, scatter, count, seasonal)


def _pair_slopes(days: Array, values: Array) -> tuple[Array, NDArray[np.int64], NDArray[np.int64], bool]:
    """Slopes per year between pairs of days, the pairs' indices, and whether they are pairs of one season."""
    first, second = np.triu_indices(days.size, 1)
    distance = days[second] - days[first]
    turns = np.round(distance / YEAR_DAYS)
    same = (turns >= 1) & (np.abs(distance - turns * YEAR_DAYS) <= SAME_SEASON_DAYS)
    # A whole year must be seen twice, so that every season has its pair whichever block is left out.
    seasonal = bool(days[-1] - days[0] >= 2 * YEAR_DAYS and np.count_nonzero(same) >= days.size)
    keep = same if seasonal else distance > 0
    first, second, distance = first[keep], second[keep], distance[keep]
    return (values[second] - values[first]) / distance * YEAR_DAYS, first, second, seasonal

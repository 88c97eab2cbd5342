"""A gravimeter's tidal factor and pressure admittance month by month: a check of its calibration.

The tide is the same in every month (its factor changes by less than a thousandth), so a month in which the factor
departs from the others tells of a wrong scale, a wrong clock, or an instrument in trouble. The admittance of the air
does change with the weather's size, but not by much.

`MonthlyAdmittance` is a monoid like `gravdask.preprocess.admittance.Admittance`, of which it holds one a month.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravdask.grid import DAY_NS
from gravdask.preprocess.admittance import Admittance, AdmittanceEstimate

Array = NDArray[np.float64]

LEAST_DAYS = 10
"""Days of a month from which its estimate counts."""
LEAST_SIGNIFICANCE = 4.0
"""Least departure of a month, as a multiple of the error, that is noted."""
LEAST_FACTOR_CHANGE = 0.01
"""Least departure of the tidal factor that is noted: one percent of the scale."""
LEAST_ADMITTANCE_CHANGE = 1.0
"""Least departure of the admittance that is noted [nm s⁻² hPa⁻¹]."""


class Departure(NamedTuple):
    """A month that differs from the other months of its channel.

    Attributes
    ----------
    month
        ``YYYY-MM``.
    quantity
        ``tidal_factor`` or ``admittance``.
    value, error
        Of the month.
    others, others_error
        Of the other months together, without those that depart more.
    significance
        Difference over its error.
    """

    month: str
    quantity: str
    value: float
    error: float
    others: float
    others_error: float
    significance: float


@dataclass(frozen=True)
class MonthlyAdmittance:
    """Sums of the regression for each calendar month (UTC).

    Attributes
    ----------
    months
        ``YYYY-MM`` -> the sums of that month; months without a day are not there.
    """

    months: Mapping[str, Admittance] = field(default_factory=dict)

    @classmethod
    def zero(cls) -> MonthlyAdmittance:
        """The neutral element: no data."""
        return cls({})

    @classmethod
    def from_block(
        cls, gravity: Array, times_ns: NDArray[np.int64], tide: Array, pressure: Array | None = None, **limits: float
    ) -> MonthlyAdmittance:
        """Sum over one block of whole UTC days.

        Parameters
        ----------
        gravity, times_ns, tide, pressure, **limits
            As `Admittance.from_block` takes them.
        """
        if not times_ns.size:
            return cls.zero()
        days = times_ns // DAY_NS
        first = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
        months = days[first].astype("datetime64[D]").astype("datetime64[M]")
        begins = first[np.flatnonzero(np.diff(months.astype(np.int64), prepend=-1))]
        found = {}
        for start, stop in zip(begins, [*begins[1:], days.size], strict=True):
            part = slice(int(start), int(stop))
            air = None if pressure is None else pressure[part]
            sums = Admittance.from_block(gravity[part], times_ns[part], tide[part], air, **limits)
            if sums.days:
                found[str(days[start].astype("datetime64[D]").astype("datetime64[M]"))] = sums
        return cls(found)

    def __add__(self, other: MonthlyAdmittance) -> MonthlyAdmittance:
        """Merge two sums month by month."""
        merged = dict(self.months)
        for month, sums in other.months.items():
            merged[month] = merged[month] + sums if month in merged else sums
        return MonthlyAdmittance({month: merged[month] for month in sorted(merged)})

    def total(self, without: str = "") -> Admittance:
        """Sum of all months, in their order.

        Parameters
        ----------
        without
            A month to leave out.
        """
        return sum((self.months[m] for m in sorted(self.months) if m != without), Admittance.zero())

    def finalize(self, least_days: int = LEAST_DAYS) -> dict[str, AdmittanceEstimate]:
        """Estimates of the months that have days enough, in their order."""
        return {m: self.months[m].finalize() for m in sorted(self.months) if self.months[m].days >= least_days}

    def departures(self, least_days: int = LEAST_DAYS) -> list[Departure]:
        """Months whose tidal factor or admittance differs significantly from that of the others, in their order.

        The one that differs most is told first apart, and the others are then compared without it, so that a month
        with a wrong scale makes no other month look wrong.
        """
        found: list[Departure] = []
        for quantity in ("tidal_factor", "admittance"):
            left = MonthlyAdmittance(dict(self.months))
            while worst := left._worst(quantity, least_days):
                found.append(worst)
                left = MonthlyAdmittance({m: sums for m, sums in left.months.items() if m != worst.month})
        return sorted(found)

    def _worst(self, quantity: str, least_days: int) -> Departure | None:
        """The month in which a quantity differs most significantly from that of the others, if any does."""
        least = LEAST_FACTOR_CHANGE if quantity == "tidal_factor" else LEAST_ADMITTANCE_CHANGE
        worst: Departure | None = None
        for month, mine in self.finalize(least_days).items():
            rest = self.total(without=month)
            if rest.days < least_days:
                continue
            others = rest.finalize()
            value, error = getattr(mine, quantity), getattr(mine, f"{quantity}_error")
            other, other_error = getattr(others, quantity), getattr(others, f"{quantity}_error")
            spread = math.hypot(error, other_error)
            significance = abs(value - other) / spread if spread > 0 else 0.0
            departs = abs(value - other) >= least and significance >= LEAST_SIGNIFICANCE
            if departs and (worst is None or significance > worst.significance):
                worst = Departure(month, quantity, value, error, other, other_error, significance)
        return worst

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists, for JSON; floats survive exactly."""
        return {month: sums.to_dict() for month, sums in self.months.items()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> MonthlyAdmittance:
        """Read back what `to_dict` gave."""
        return cls({str(month): Admittance.from_dict(sums) for month, sums in sorted(stored.items())})

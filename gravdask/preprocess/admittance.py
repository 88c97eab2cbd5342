"""Tidal factor, air-pressure admittance and drift of a channel, estimated from all of its record.

What is regressed are **second differences of hourly means** within UTC days: a spring gravimeter's drift is an
integrated noise, which they whiten; a constant and a steady drift drop out; the tide (its factor to a few thousandths
from a month) and the air (periods of some hours) stay. The steady drift then comes from the first differences.

`Admittance` is a monoid: `zero`, `from_block`, ``+``, `finalize`, and `to_dict` / `from_dict` to store it. Blocks hold
whole UTC days (on the absolute hour grid), so it does not matter how the record was cut. Standard errors are robust:
the scatter of whole days' scores (a sandwich estimate with days as clusters), because neighbouring hours are not
independent and a formula that takes them for such claims several times too much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.grid import SECOND_NS

Array = NDArray[np.float64]

HOUR_NS = 3600 * SECOND_NS
NOMINAL_TIDAL_FACTOR = 1.16
NOMINAL_PRESSURE_ADMITTANCE = -3.0
_FIELDS = ("gram", "gram_moment", "level", "level_moment")
# Upper halves of the symmetric matrices; where the half of a flattened 3 x 3 matrix stands in it, and it in the half.
_HALF_3, _HALF_4, _HALF_6 = np.triu_indices(3), np.triu_indices(4), np.triu_indices(6)
_FLAT_HALF = np.array([0, 1, 2, 4, 5, 8])
_FLAT_PLACE = np.array([0, 1, 2, 1, 3, 4, 2, 4, 5])


@dataclass(frozen=True)
class AdmittanceEstimate:
    """What the regression gives; NaN where the data do not determine a value.

    Attributes
    ----------
    tidal_factor, tidal_factor_error
        Amplitude of the observed tide over that of `gravdask.preprocess.tides.tide` (rigid Earth); about 1.16.
    admittance, admittance_error
        [nm s⁻² hPa⁻¹]; about -3. NaN without pressure.
    drift, drift_error
        Mean rate left after tide and air [nm s⁻² day⁻¹].
    residual
        Root mean square of the second differences that stay unexplained [nm s⁻²].
    hours, days
        Second differences and days used.
    """

    tidal_factor: float
    tidal_factor_error: float
    admittance: float
    admittance_error: float
    drift: float
    drift_error: float
    residual: float
    hours: int
    days: int


@dataclass(frozen=True)
class Admittance:
    """Mergeable sums of the regression (columns: tide, pressure, gravity).

    Attributes
    ----------
    days, hours
        Whole days and second differences summed.
    gram
        Products of the second differences, shape (3, 3).
    gram_moment
        Sum over days of the outer product of the day's flattened ``gram``, shape (9, 9).
    level
        Sums of the first differences of tide, pressure and gravity, and their number, shape (4,).
    level_moment
        Sum over days of the outer product of the day's ``level``, shape (4, 4).
    """

    days: int
    hours: int
    gram: Array
    gram_moment: Array
    level: Array
    level_moment: Array

    @classmethod
    def zero(cls) -> Admittance:
        """The neutral element: no data."""
        return cls(0, 0, np.zeros((3, 3)), np.zeros((9, 9)), np.zeros(4), np.zeros((4, 4)))

    @classmethod
    def from_block(
        cls,
        gravity: Array,
        times_ns: NDArray[np.int64],
        tide: Array,
        pressure: Array | None = None,
        *,
        min_valid: float = 0.9,
        limit: float = 1000.0,
    ) -> Admittance:
        """Sum over one block of whole UTC days.

        Parameters
        ----------
        gravity
            [nm s⁻²], NaN where missing, evenly sampled at least once an hour, shape (n,).
        times_ns
            Times of the samples [ns since 1970], ascending, shape (n,).
        tide
            Theoretical tide at those times [nm s⁻²], shape (n,).
        pressure
            [hPa], NaN where missing, shape (n,); None if the channel has none.
        min_valid
            An hour counts when at least this share of its samples is valid.
        limit
            A second difference further than this from the nominal tide and air [nm s⁻²] is left out: a step or a
            great earthquake. Fixed, so that the sum stays a sum.
        """
        columns = [tide, np.zeros_like(tide) if pressure is None else pressure, gravity]
        hours, means = _hourly_means(np.stack(columns), times_ns, min_valid)
        total = cls.zero()
        if hours.size == 0:
            return total
        for day in np.unique(hours // 24):
            table = np.full((24, 3), np.nan)
            today = hours // 24 == day
            table[hours[today] % 24] = means[today]
            total = total + cls._of_day(table, limit)
        return total

    @classmethod
    def _of_day(cls, table: Array, limit: float) -> Admittance:
        """Sum over one day, from its 24 hourly means of tide, pressure and gravity."""
        second = np.diff(table, 2, axis=0)
        nominal = second @ np.array([-NOMINAL_TIDAL_FACTOR, -NOMINAL_PRESSURE_ADMITTANCE, 1.0])
        usable = np.abs(nominal) <= limit  # False for NaN
        if not usable.any():
            return cls.zero()
        second = second[usable]
        # A first difference is used where it belongs to a usable second difference.
        edge = np.zeros(table.shape[0] - 1, dtype=bool)
        edge[:-1] |= usable
        edge[1:] |= usable
        first = np.diff(table, axis=0)[edge]
        gram = second.T @ second
        level = np.append(first.sum(axis=0), first.shape[0])
        flat = gram.ravel()
        return cls(1, second.shape[0], gram, np.outer(flat, flat), level, np.outer(level, level))

    def __add__(self, other: Admittance) -> Admittance:
        """Merge two sums."""
        merged = {name: getattr(self, name) + getattr(other, name) for name in _FIELDS}
        return Admittance(self.days + other.days, self.hours + other.hours, **merged)

    def finalize(self) -> AdmittanceEstimate:
        """Solve the normal equations (of tide alone where the pressure never varies)."""
        nothing = float("nan")
        used = [column for column in (0, 1) if self.gram[column, column] > 0]
        if self.days < 2 or 0 not in used:
            return AdmittanceEstimate(
                nothing, nothing, nothing, nothing, nothing, nothing, nothing, self.hours, self.days
            )
        inverse = np.linalg.pinv(self.gram[np.ix_(used, used)], hermitian=True)
        slope = np.zeros(3)
        slope[used] = inverse @ self.gram[used, 2]
        contrast = np.array([-slope[0], -slope[1], 1.0])
        # The score of a day is gram[used] @ contrast; its outer product is summed without knowing the slope.
        moment = self.gram_moment.reshape(3, 3, 3, 3)
        scores = np.einsum("iajb,a,b->ij", moment, contrast, contrast)[np.ix_(used, used)]
        correction = self.days / (self.days - 1)
        errors = np.full(2, nothing)
        errors[used] = np.sqrt(np.diag(inverse @ scores @ inverse) * correction)

        rate = self.level[:3] @ contrast / self.level[3]
        weights = np.append(contrast, -rate)
        rate_error = np.sqrt(weights @ self.level_moment @ weights * correction) / self.level[3]
        residual = np.sqrt(max(contrast @ self.gram @ contrast, 0.0) / self.hours)
        return AdmittanceEstimate(
            tidal_factor=float(slope[0]),
            tidal_factor_error=float(errors[0]),
            admittance=float(slope[1]) if 1 in used else nothing,
            admittance_error=float(errors[1]),
            drift=float(24 * rate),
            drift_error=float(24 * rate_error),
            residual=float(residual),
            hours=self.hours,
            days=self.days,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists, for JSON, without the halves that symmetry gives; floats survive exactly."""
        halves = {
            "gram": self.gram[_HALF_3].tolist(),
            "gram_moment": self.gram_moment[np.ix_(_FLAT_HALF, _FLAT_HALF)][_HALF_6].tolist(),
            "level": self.level.tolist(),
            "level_moment": self.level_moment[_HALF_4].tolist(),
        }
        return {"days": self.days, "hours": self.hours, **halves}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Admittance:
        """Read back what `to_dict` gave, or the full matrices that it gave once."""
        sums = {name: np.array(stored[name], dtype=np.float64) for name in _FIELDS}
        if sums["gram"].ndim == 1:
            sums["gram"] = _symmetric(sums["gram"], _HALF_3)
            sums["gram_moment"] = _symmetric(sums["gram_moment"], _HALF_6)[np.ix_(_FLAT_PLACE, _FLAT_PLACE)]
            sums["level_moment"] = _symmetric(sums["level_moment"], _HALF_4)
        return cls(int(stored["days"]), int(stored["hours"]), **sums)


def _symmetric(half: Array, places: tuple[NDArray[np.intp], NDArray[np.intp]]) -> Array:
    """Symmetric matrix from its upper half."""
    size = int(places[0][-1]) + 1
    full = np.empty((size, size))
    full[places] = half
    full[places[::-1]] = half
    return full


def _hourly_means(columns: Array, times_ns: NDArray[np.int64], min_valid: float) -> tuple[NDArray[np.int64], Array]:
    """Means of full enough hours: hour numbers since 1970, shape (h,), and means, shape (h, columns)."""
    if times_ns.size < 2:
        return np.empty(0, dtype=np.int64), np.empty((0, columns.shape[0]))
    expected = HOUR_NS / float(np.median(np.diff(times_ns)))
    hour = times_ns // HOUR_NS
    begins = np.diff(hour, prepend=hour[0] - 1) != 0
    hours, place = hour[begins], np.cumsum(begins) - 1
    valid = np.isfinite(columns).all(axis=0)
    count = np.bincount(place[valid], minlength=hours.size)
    sums = [np.bincount(place[valid], column[valid], minlength=hours.size) for column in columns]
    enough = (count >= min_valid * expected) & (count > 0)
    means = np.stack(sums, axis=1)[enough] / count[enough, None]
    return hours[enough], means

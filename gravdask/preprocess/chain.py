"""From a channel's own numbers to residual gravity: a short chain of named steps.

The noise branch uses the residual as it is (gravity unrepaired, gaps open). The feature branch uses the same residual;
what it does about gaps (edges tapered to their level, steps across them off) is `gravdask.gaps.level_gaps`.
Everything is float64: record 334 stands at 5.9e7 nm s⁻², where float32 steps by 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravdask.grid import DAY_NS
from gravdask.preprocess.pressure import NOMINAL_ADMITTANCE, pressure_effect
from gravdask.preprocess.tides import TideModel
from gravdask.preprocess.tides import tide as theoretical_tide

Array = NDArray[np.float64]

NOMINAL_TIDAL_FACTOR = 1.16
"""Amplitude of the tide on the elastic Earth over that on a rigid one, where none was regressed."""
MissingPressure = Literal["mask", "day"]


@dataclass(frozen=True)
class Segment:
    """A stretch of one channel and what is known about it.

    Attributes
    ----------
    values
        The source's own numbers, NaN where missing, shape (n,).
    times_ns
        Times of the samples [ns since 1970], shape (n,).
    factor
        What brings the values to nm s⁻² (nm s⁻¹ for a velocity channel); None where it is not known (counts).
    acceleration
        False for velocity: tide and air are then left alone.
    latitude, longitude
        [degree]; None where unknown, and no tide is taken off then.
    elevation
        [m]; None counts as 0, which only moves a constant.
    pressure
        Air pressure at the times of the samples, already repaired [hPa], NaN where missing, shape (n,); None if the
        channel has none.
    """

    values: Array
    times_ns: NDArray[np.int64]
    factor: float | None = None
    acceleration: bool = True
    latitude: float | None = None
    longitude: float | None = None
    elevation: float | None = None
    pressure: Array | None = None


@dataclass(frozen=True)
class ChainOptions:
    """What the chain does.

    Attributes
    ----------
    tide
        Take the theoretical tide off; False for a record whose tide was taken off already, or that never held one (a
        seismometer's, band-passed).
    tidal_factor
        Amplitude factor of the rigid Earth's tide.
    admittance
        [nm s⁻² hPa⁻¹].
    missing_pressure
        What happens where gravity is there and pressure is not. ``"mask"``: the sample is missing. ``"day"``: UTC days
        with less than nine tenths of their pressure go without the correction as a whole, so that no step arises
        within a day; on the other days such samples are missing. Days are judged whole: give whole days.
    tide_model
        Where the theoretical tide comes from; see `gravdask.preprocess.tides.tide`.
    """

    tide: bool = True
    tidal_factor: float = NOMINAL_TIDAL_FACTOR
    admittance: float = NOMINAL_ADMITTANCE
    missing_pressure: MissingPressure = "mask"
    tide_model: TideModel = "builtin"


class Residual(NamedTuple):
    """Residual gravity and how it came about.

    Attributes
    ----------
    values
        [nm s⁻²] (source units where the factor is unknown), NaN in gaps, shape (n,).
    steps
        Names of the steps that were applied, in order.
    """

    values: Array
    steps: tuple[str, ...]


Step = Callable[[Array, Segment, ChainOptions], Array | None]
"""A step takes the values so far and returns new ones, or None where it does not apply."""

MIN_DAY_PRESSURE = 0.9


def calibrate(values: Array, segment: Segment, options: ChainOptions) -> Array | None:
    """Bring the source's numbers to nm s⁻²."""
    del options
    return None if segment.factor is None else values * segment.factor


def subtract_tide(values: Array, segment: Segment, options: ChainOptions) -> Array | None:
    """Subtract the theoretical tide times its factor, where position and unit are known."""
    if not options.tide or not _is_calibrated_acceleration(segment):
        return None
    if segment.latitude is None or segment.longitude is None:
        return None
    place = segment.latitude, segment.longitude, segment.elevation or 0.0
    rigid = theoretical_tide(segment.times_ns, *place, options.tide_model)
    return values - options.tidal_factor * rigid


def subtract_pressure(values: Array, segment: Segment, options: ChainOptions) -> Array | None:
    """Subtract the effect of the air, where there is a pressure record."""
    if segment.pressure is None or not _is_calibrated_acceleration(segment):
        return None
    effect = pressure_effect(segment.pressure, segment.elevation or 0.0, options.admittance)
    if options.missing_pressure == "day":
        effect = np.where(_days_without_pressure(segment.times_ns, segment.pressure), 0.0, effect)
    return values - effect


CHAIN: tuple[tuple[str, Step], ...] = (
    ("calibrate", calibrate),
    ("tide", subtract_tide),
    ("pressure", subtract_pressure),
)
"""The steps of both branches, in order."""


def run_chain(
    segment: Segment, options: ChainOptions | None = None, chain: tuple[tuple[str, Step], ...] = CHAIN
) -> Residual:
    """Send a segment through the steps.

    Parameters
    ----------
    segment
        The stretch of record; not written to.
    options
        What to do; the defaults of `ChainOptions` if None.
    chain
        The steps; a different tuple of (name, function) changes the chain.
    """
    options = options or ChainOptions()
    values = np.array(segment.values, dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    applied = []
    for name, step in chain:
        result = step(values, segment, options)
        if result is not None:
            values = result
            applied.append(name)
    return Residual(values, tuple(applied))


def residual(
    values: Array,
    times_ns: NDArray[np.int64],
    *,
    factor: float | None,
    latitude: float | None = None,
    longitude: float | None = None,
    elevation: float | None = None,
    pressure_hpa: Array | None = None,
    acceleration: bool = True,
    tidal_factor: float = NOMINAL_TIDAL_FACTOR,
    admittance: float = NOMINAL_ADMITTANCE,
    tide: bool = True,
    missing_pressure: MissingPressure = "mask",
    tide_model: TideModel = "builtin",
) -> Residual:
    """Residual gravity of a stretch of record: `run_chain` with plain parameters.

    See `Segment` and `ChainOptions` for what they mean.
    """
    segment = Segment(values, times_ns, factor, acceleration, latitude, longitude, elevation, pressure_hpa)
    return run_chain(segment, ChainOptions(tide, tidal_factor, admittance, missing_pressure, tide_model))


def _is_calibrated_acceleration(segment: Segment) -> bool:
    """Whether nm s⁻² may be subtracted from the values."""
    return segment.factor is not None and segment.acceleration


def _days_without_pressure(times_ns: NDArray[np.int64], pressure: Array) -> NDArray[np.bool_]:
    """Mark the samples of UTC days that have less than nine tenths of their pressure, shape (n,)."""
    _, place = np.unique(times_ns // DAY_NS, return_inverse=True)
    share = np.bincount(place, np.isfinite(pressure)) / np.bincount(place)
    return np.asarray(share < MIN_DAY_PRESSURE)[place]

"""Air pressure and what it does to gravity.

The pressure record is the only one that is ever repaired: it is smooth, and a short bridge in it puts nothing into the
band of interest, whereas a bridge in gravity would.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gravdask.gaps import valid_runs

Array = NDArray[np.float64]

NOMINAL_ADMITTANCE = -3.0
"""Effect of the air on gravity [nm s⁻² hPa⁻¹] where none was regressed: -0.3 µGal/hPa."""


def normal_pressure(elevation: float) -> float:
    """Pressure of the standard atmosphere [hPa] at a height [m]: 1013.25 (1 - 0.0065 H / 288.15)^5.2559 (DIN 5450)."""
    return float(1013.25 * (1 - 0.0065 * elevation / 288.15) ** 5.2559)


def pressure_effect(pressure: Array, elevation: float, admittance: float = NOMINAL_ADMITTANCE) -> Array:
    """Effect of the air on gravity [nm s⁻²], to be subtracted from a record.

    With the nominal admittance the residual is g + 3 (p - p_n) nm s⁻², in other words g + 0.3 (p - p_n) µGal.

    Parameters
    ----------
    pressure
        Air pressure at the station [hPa], NaN where missing, shape (n,).
    elevation
        Height of the station [m], for the normal pressure p_n.
    admittance
        [nm s⁻² hPa⁻¹], negative.
    """
    return admittance * (np.asarray(pressure, dtype=np.float64) - normal_pressure(elevation))


def repair_pressure(pressure: Array, max_gap: int) -> Array:
    """Bridge short gaps of an evenly sampled pressure record by straight lines.

    Parameters
    ----------
    pressure
        Air pressure, NaN where missing, shape (n,).
    max_gap
        Longest run of missing samples that is bridged. Longer runs, and runs at either end, stay missing, so that a
        sample's value depends on no more than its neighbours within ``max_gap + 1`` samples.

    Returns
    -------
    repaired
        A new array, shape (n,).
    """
    repaired = np.array(pressure, dtype=np.float64)
    finite = np.isfinite(repaired)
    repaired[~finite] = np.nan
    for start, stop in valid_runs(~finite):
        if stop - start > max_gap or start == 0 or stop == repaired.size:
            continue
        left, right = repaired[start - 1], repaired[stop]
        share = np.arange(1, stop - start + 1) / (stop - start + 1)
        repaired[start:stop] = left + share * (right - left)
    return repaired


def pressure_at(
    times_ns: NDArray[np.int64], pressure_times_ns: NDArray[np.int64], pressure: Array, max_gap_ns: int
) -> Array:
    """Pressure at the times of a gravity record of another rate or phase, by linear interpolation.

    Parameters
    ----------
    times_ns
        Times wanted [ns since 1970], shape (n,).
    pressure_times_ns
        Times of the pressure samples, ascending, shape (m,).
    pressure
        The samples [hPa], NaN where missing, shape (m,).
    max_gap_ns
        Longest distance between two valid pressure samples that is bridged; farther apart the result is NaN, and so
        it is before the first and after the last sample.

    Returns
    -------
    pressure
        [hPa], shape (n,).
    """
    finite = np.isfinite(pressure)
    nodes, values = pressure_times_ns[finite], np.asarray(pressure, dtype=np.float64)[finite]
    if nodes.size == 0:
        return np.full(times_ns.shape, np.nan)
    right = np.clip(np.searchsorted(nodes, times_ns, side="left"), 0, nodes.size - 1)
    exact = nodes[right] == times_ns
    left = np.clip(right - 1, 0, None)
    gap = nodes[right] - nodes[left]
    inside = (times_ns >= nodes[0]) & (times_ns <= nodes[-1]) & (gap <= max_gap_ns)
    share = (times_ns - nodes[left]) / np.maximum(gap, 1)
    between = values[left] + share * (values[right] - values[left])
    return np.where(exact, values[right], np.where(inside & (gap > 0), between, np.nan))

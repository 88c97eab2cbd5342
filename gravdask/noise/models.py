"""Peterson's new low and high noise models, for comparison with spectra.

J. Peterson (1993), *Observations and modeling of seismic background noise*, U.S. Geological Survey Open-File Report
93-322, tables 3 and 4: straight lines A + B log10(period) between break points, in dB relative to 1 (m s⁻²)² Hz⁻¹.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Period from which a line holds [s], A, B.
_LOW = (
    (0.10, -162.36, 5.64),
    (0.17, -166.70, 0.00),
    (0.40, -170.00, -8.30),
    (0.80, -166.40, 28.90),
    (1.24, -168.60, 52.48),
    (2.40, -159.98, 29.81),
    (4.30, -141.10, 0.00),
    (5.00, -71.36, -99.77),
    (6.00, -97.26, -66.49),
    (10.00, -132.18, -31.57),
    (12.00, -205.27, 36.16),
    (15.60, -37.65, -104.33),
    (21.90, -114.37, -47.10),
    (31.60, -160.58, -16.28),
    (45.00, -187.50, 0.00),
    (70.00, -216.47, 15.70),
    (101.00, -185.00, 0.00),
    (154.00, -168.34, -7.61),
    (328.00, -217.43, 11.90),
    (600.00, -258.28, 26.60),
    (10000.00, -346.88, 48.75),
)
_HIGH = (
    (0.10, -108.73, -17.23),
    (0.22, -150.34, -80.50),
    (0.32, -122.31, -23.87),
    (0.80, -116.85, 32.51),
    (3.80, -108.48, 18.08),
    (4.60, -74.66, -32.95),
    (6.30, 0.66, -127.18),
    (7.90, -93.37, -22.42),
    (15.40, 73.54, -162.98),
    (20.00, -151.52, 10.01),
    (354.80, -206.66, 31.63),
)
_LONGEST = 100_000.0


def _model(period: Array | float, table: tuple[tuple[float, float, float], ...]) -> Array:
    """Evaluate a table at periods [s]; (nm s⁻²)² Hz⁻¹, NaN outside 0.1 s to 10⁵ s."""
    periods = np.asarray(period, dtype=np.float64)
    starts, offsets, slopes = (np.array(column) for column in zip(*table, strict=True))
    inside = (periods >= starts[0]) & (periods <= _LONGEST)
    safe = np.where(inside, periods, starts[0])
    line = np.searchsorted(starts, safe, side="right") - 1
    decibel = offsets[line] + slopes[line] * np.log10(safe)
    return np.where(inside, 10 ** (decibel / 10 + 18), np.nan)


def nlnm(period: Array | float) -> Array:
    """New low noise model at periods [s]: [(nm s⁻²)² Hz⁻¹], NaN outside 0.1 s to 10⁵ s, shape of ``period``."""
    return _model(period, _LOW)


def nhnm(period: Array | float) -> Array:
    """New high noise model at periods [s]: [(nm s⁻²)² Hz⁻¹], NaN outside 0.1 s to 10⁵ s, shape of ``period``."""
    return _model(period, _HIGH)

"""Samples at which a sensor or its digitizer was possibly at its limit.

Two signs, of which either is enough: a ground velocity as large as the sensor can follow (which a later band-pass does
not hide, while it rounds the flat tops), and flat tops: several equal samples in a row that stand out as an extreme.
A flag tells that a sample may be clipped; it takes nothing away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gravdask.gaps import valid_runs

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

FLAT_SAMPLES = 4
"""Least equal samples in a row of a flat top."""
FLAT_EXCURSION = 8.0
"""Height of a flat top above the level of its surroundings, in their median absolute deviation, that is enough."""
NEAR_EXTREME = 0.9
"""Least height of a flat top as a share of the largest deviation to its side: a limit is exceeded nowhere."""
STEEP_STEPS = 4
"""Least height of a flat top above a sample beside it, in steps of the record's resolution. The turn of a slow tide in
coarse numbers is flat, too, but nothing falls off it."""
FEW_LEVELS = 32
"""Distinct numbers in a stretch up to which they do not tell the resolution."""
NEAR_LIMIT = 0.95
"""Share of the sensor's velocity limit from which on a sample is flagged."""


def over_limit(velocity: Array, limit: float) -> Mask:
    """Flag samples whose velocity nears the sensor's limit.

    Parameters
    ----------
    velocity
        Ground velocity [nm s⁻¹], without the record's offset, NaN where missing, shape (n,).
    limit
        Largest velocity that the sensor follows [nm s⁻¹].

    Returns
    -------
    flagged
        Shape (n,); a missing sample is not flagged.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(velocity) >= NEAR_LIMIT * limit)


def flat_tops(values: Array, least: int = FLAT_SAMPLES, excursion: float = FLAT_EXCURSION) -> Mask:
    """Flag flat tops: runs of equal samples that are an extreme far from the level around them.

    Parameters
    ----------
    values
        The source's own numbers over a stretch that tells the level, such as a frame; NaN where missing, shape (n,).
    least
        Samples of the shortest run.
    excursion
        Distance of the run from the median of the stretch, in its median absolute deviation, from which a run is
        flagged. A lower one is flagged where the record swings back to just the same level: in a wave train that fills
        the stretch nothing stands out of it.

    Returns
    -------
    flagged
        Shape (n,). A run is an extreme if it is near the largest deviation to its side, and what comes before and after
        it lies nearer to the median, or beyond the stretch or a gap: a channel that saturates often loses samples too.
    """
    flagged = np.zeros(values.shape, bool)
    if values.size < least:
        return flagged
    equal = values[1:] == values[:-1]
    if not equal.any():
        return flagged
    runs = valid_runs(equal)
    runs = runs[runs[:, 1] - runs[:, 0] >= least - 1]
    if not len(runs):
        return flagged
    finite = values[np.isfinite(values)]
    median = float(np.median(finite))
    spread = float(np.median(np.abs(finite - median)))
    above = values - median
    levels = np.unique(finite)
    resolution = float(np.diff(levels).min()) if levels.size > FEW_LEVELS else 0.0
    highest, lowest = float(finite.max()) - median, float(finite.min()) - median
    tops = []
    for start, stop in runs:
        height = above[start]
        if height == 0 or abs(height) < NEAR_EXTREME * abs(highest if height > 0 else lowest):
            continue
        # A missing neighbour is no hindrance, a higher one is: then this is a stair, no top.
        sides = [abs(height) - above[k] * np.sign(height) for k in (start - 1, stop + 1) if 0 <= k < values.size]
        sides = [side for side in sides if np.isfinite(side)]
        if all(side > 0 for side in sides) and (not sides or max(sides) >= STEEP_STEPS * resolution):
            tops.append((int(start), int(stop) + 1))
    for start, stop in tops:
        if abs(above[start]) > excursion * spread or _comes_again(above, start, tops):
            flagged[start:stop] = True
    return flagged


def _comes_again(above: Array, start: int, tops: list[tuple[int, int]]) -> bool:
    """Whether the record reaches another top of just this height, having been below half of it in between."""
    height, sign = abs(above[start]), np.sign(above[start])
    for other, _ in tops:
        if other != start and above[other] == above[start]:
            low, high = sorted((start, other))
            if (above[low:high] * sign < height / 2).any():
                return True
    return False


def spans(flagged: Mask, start: int = 0) -> list[tuple[int, int]]:
    """Stretches ``[from, to)`` of flagged samples, as absolute numbers if the first sample's is given."""
    return [(start + int(a), start + int(b)) for a, b in valid_runs(flagged)]

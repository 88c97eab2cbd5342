"""Steps: sudden, lasting changes of level that the instrument makes and the ground does not.

Only steps that the operator's log names are ever taken out (`subtract_steps`), with the size that the log gives or one
estimated from the residual on both sides (`estimate_step`). Others that stand far above 1 µGal are listed as suspicions
with time, size and significance (`suspect_steps`) and left alone: a step corrected wrongly is a drift for ever. The
level after a gap differs by as much as the instrument drifted meanwhile, and that is no step.

Both look at medians of short blocks of residual gravity, so that neither a wild sample nor the waves of an earthquake
have a say, and compare blocks in pairs that lie symmetrically about the step: an even change (a curved drift, the crest
of what is left of the tide) drops out of such pairs, and a straight drift is the slope of their differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import PreprocessError
from gravdask.grid import SECOND_NS, utc_text
from gravdask.preprocess.robust import MAD_TO_SIGMA, block_medians

Array = NDArray[np.float64]

BLOCK_NS = 900 * SECOND_NS
"""Length of the blocks whose medians are compared [ns]; they lie on multiples of it since 1970."""
PAIRS = 12
"""Blocks on either side of a step: three hours of record."""
HALO_NS = (PAIRS + 1) * BLOCK_NS
"""No sample farther than this from a time has a say in whether a step is suspected there [ns]."""
LEAST_SIZE = 100.0
"""Smallest step that is suspected [nm s⁻²]: ten times the µGal above which steps matter."""
LEAST_SIGNIFICANCE = 10.0
"""Smallest size, as a multiple of its error, of a step that is suspected."""
_MOST_AWAY = 4 * PAIRS
"""Blocks within which those of one side must lie: a log's step often stands in a gap that the work made."""
_LEAST_PAIRS = 6


class Step(NamedTuple):
    """A step of a record.

    Attributes
    ----------
    time_ns
        The first sample after it is at or after this time [ns since 1970].
    size
        Level after it less level before it [nm s⁻²].
    """

    time_ns: int
    size: float


class StepSize(NamedTuple):
    """A step's size as the record shows it.

    Attributes
    ----------
    size, error
        [nm s⁻²]; NaN where too little record lies on one side.
    """

    size: float
    error: float

    @property
    def significance(self) -> float:
        """Size over error, without sign; 0 where there is no estimate."""
        return abs(self.size) / self.error if self.error > 0 else 0.0


class Suspicion(NamedTuple):
    """A step that the record seems to have and no log names.

    Attributes
    ----------
    time_ns
        Where it is, to a block [ns since 1970].
    size, error
        [nm s⁻²].
    significance
        Size over error, without sign.
    """

    time_ns: int
    size: float
    error: float
    significance: float


def subtract_steps(values: Array, times_ns: NDArray[np.int64], steps: Iterable[Sequence[float]]) -> Array:
    """Take steps out: each one's size is subtracted from its time on.

    Parameters
    ----------
    values
        [nm s⁻²], NaN where missing, shape (n,).
    times_ns
        Times of the samples [ns since 1970], in any order, shape (n,).
    steps
        `Step` or any pairs of time [ns since 1970] and size [nm s⁻²], in any order.

    Returns
    -------
    levelled
        A new array, shape (n,). A value does not depend on which other samples were given.

    Raises
    ------
    PreprocessError
        If a size is not finite.
    """
    ordered = sorted((int(when), float(size)) for when, size in steps)
    for when, size in ordered:
        if not np.isfinite(size):
            msg = f"the step at {utc_text(when)} has the size {size}; give a number of nm s⁻², or leave the step out"
            raise PreprocessError(msg)
    levelled = np.array(values, dtype=np.float64)
    if ordered:
        before = np.searchsorted(np.array([when for when, _ in ordered], np.int64), times_ns, side="right")
        levelled -= np.concatenate([[0.0], np.cumsum([size for _, size in ordered])])[before]
    return levelled


def estimate_step(
    residual: Array, times_ns: NDArray[np.int64], time_ns: int, *, guard_ns: int = 120 * SECOND_NS
) -> StepSize:
    """Size of a step at a known time, drift allowed.

    Parameters
    ----------
    residual
        Residual gravity (tide and air taken off) around the step [nm s⁻²], NaN where missing, shape (n,).
    times_ns
        Times of the samples [ns since 1970], ascending, shape (n,).
    time_ns
        When the step happened.
    guard_ns
        Samples closer to it than this are left out: hands on the instrument.

    Returns
    -------
    step
        Size and its error; NaN where one side has less than an hour and a half of record within twelve hours.
    """
    nothing = StepSize(float("nan"), float("nan"))
    centres, medians = [], []
    for side in (-1, 1):
        mine = (side * (times_ns - time_ns) >= guard_ns) & (side * (times_ns - time_ns) <= _MOST_AWAY * BLOCK_NS)
        # blocks counted from the step, so that none of them holds samples of both sides
        when, level = block_medians(residual[mine], times_ns[mine] - time_ns, BLOCK_NS, least=1)
        order = np.argsort(side * when)[:PAIRS]
        centres.append(when[order] / BLOCK_NS)
        medians.append(level[order])
    count = min(len(centres[0]), len(centres[1]))
    if count < _LEAST_PAIRS:
        return nothing
    apart = centres[1][:count] - centres[0][:count]
    size, error = _pairwise(apart[None], (medians[1][:count] - medians[0][:count])[None])
    return StepSize(float(size[0]), float(error[0]))


def _pairwise(apart: Array, differences: Array) -> tuple[Array, Array]:
    """Level left at no distance, and its error, of pairs of blocks by their distance; both of shape (m, pairs).

    The slope is the median of the pairs' slopes (Theil and Sen), the level the median of what it leaves. The error is
    the scatter about that line, propagated as by least squares, with a factor for what medians lose (1.25) and one
    for neighbouring blocks that are not independent (2).
    """
    count = apart.shape[1]
    first, second = np.triu_indices(count, 1)
    slopes = (differences[:, second] - differences[:, first]) / (apart[:, second] - apart[:, first])
    slope = np.median(slopes, axis=1)
    level = differences - slope[:, None] * apart
    size = np.median(level, axis=1)
    left = level - size[:, None]
    scatter = np.maximum(MAD_TO_SIGMA * np.median(np.abs(left), axis=1), 0.5 * np.sqrt(np.mean(left**2, axis=1)))
    mean = apart.mean(axis=1)
    spread = ((apart - mean[:, None]) ** 2).sum(axis=1)
    return size, 2.5 * scatter * np.sqrt(1 / count + mean**2 / spread)


def suspect_steps(
    residual: Array,
    times_ns: NDArray[np.int64],
    *,
    least_size: float = LEAST_SIZE,
    least_significance: float = LEAST_SIGNIFICANCE,
    known_ns: Sequence[int] = (),
) -> list[Suspicion]:
    """List the places where residual gravity seems to step; nothing is corrected by it.

    A place is looked at where twelve blocks of a quarter of an hour stand without a gap on either side: across a gap
    drift and step cannot be told apart. Its step counts where it is large, and large against its error, which the
    scatter of the pairs of blocks gives: waves and what is left of the tide move the blocks too.

    Parameters
    ----------
    residual
        Residual gravity (tide and air taken off) [nm s⁻²], NaN where missing, shape (n,).
    times_ns
        Times of the samples [ns since 1970], ascending, shape (n,).
    least_size
        [nm s⁻²].
    least_significance
        Least size over error.
    known_ns
        Times of steps that the log names already; no suspicion falls within two hours of them.

    Returns
    -------
    suspicions
        In the order of time; of neighbours within three hours the most significant.
    """
    centres, medians = block_medians(residual, times_ns, BLOCK_NS)
    block = centres // BLOCK_NS
    if block.size < 2 * PAIRS:
        return []
    # place i lies between blocks i + PAIRS - 1 and i + PAIRS
    whole = np.flatnonzero(block[2 * PAIRS - 1 :] - block[: block.size - 2 * PAIRS + 1] == 2 * PAIRS - 1)
    if not whole.size:
        return []
    reach = np.arange(PAIRS)
    right, left = whole[:, None] + PAIRS + reach, whole[:, None] + PAIRS - 1 - reach
    apart = (centres[right] - centres[left]) / BLOCK_NS
    size, error = _pairwise(apart, medians[right] - medians[left])
    significance = np.abs(size) / np.maximum(error, 1e-9)
    candidates = np.flatnonzero((np.abs(size) >= least_size) & (significance >= least_significance))
    found: list[Suspicion] = []
    taken = np.array(sorted(known_ns), np.int64)
    for k in candidates[np.argsort(-significance[candidates], kind="stable")]:
        when = int(block[whole[k] + PAIRS] * BLOCK_NS)
        if taken.size and np.abs(taken - when).min() < PAIRS * BLOCK_NS:
            continue
        taken = np.append(taken, when)
        found.append(Suspicion(when, float(size[k]), float(error[k]), float(significance[k])))
    return sorted(found)

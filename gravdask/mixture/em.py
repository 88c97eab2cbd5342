"""The EM loop: E-steps on the blocks, M-steps here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float
from gravdask.mixture.blocks import RowBlocks
from gravdask.mixture.parameters import GaussianParameters
from gravdask.mixture.reseed import LeastLikely, collapsed_components, reseeded
from gravdask.mixture.statistics import SufficientStatistics

_RESEEDS_PER_COMPONENT = 3
"""Restarts of collapsed components in one run, per component: more would loop over rows that nothing explains."""


@dataclass(frozen=True)
class EMSettings:
    """When EM stops and how it regularises.

    Attributes
    ----------
    tol
        EM has converged when the mean log-likelihood changes by less than this between iterations.
    reg_covar
        Added to the diagonal of every covariance.
    max_iter
        Iterations at most; 0 returns the start.
    """

    tol: float
    reg_covar: float
    max_iter: int


@dataclass(frozen=True)
class EMRun:
    """What one run of EM came to.

    Attributes
    ----------
    parameters
        The last mixture.
    statistics
        The sums that made it, or None where no iteration was done.
    lower_bounds
        Mean log-likelihood per unit of weight at the E-step of each iteration.
    converged
        Whether the change fell below `tol`.
    reseeded
        (iteration, component) of every component that was started again.
    """

    parameters: GaussianParameters
    statistics: SufficientStatistics | None
    lower_bounds: tuple[float, ...]
    converged: bool
    reseeded: tuple[tuple[int, int], ...]

    @property
    def lower_bound(self) -> float:
        """The last mean log-likelihood, -inf where no iteration was done."""
        return self.lower_bounds[-1] if self.lower_bounds else -math.inf


def run_em(
    blocks: RowBlocks, start: GaussianParameters, centre: Float, settings: EMSettings, previous: float = -math.inf
) -> EMRun:
    """Iterate from a start until the mean log-likelihood changes by less than `tol`.

    Parameters
    ----------
    blocks
        The rows.
    start
        The mixture of the first E-step.
    centre
        (n_features,), near the mean of the rows, fixed for the whole run.
    settings
        Tolerance, regularisation, number of iterations.
    previous
        Mean log-likelihood before the first iteration (of a warm start).

    Raises
    ------
    MixtureError
        The log-likelihood is not finite, or a covariance is not positive definite.
    """
    parameters, statistics = start, None
    bounds: list[float] = []
    started_again: list[tuple[int, int]] = []
    converged = False
    for iteration in range(1, settings.max_iter + 1):
        statistics = blocks.reduce(SufficientStatistics.from_block, parameters.density(centre))
        bound = statistics.log_likelihood / statistics.weight
        if not math.isfinite(bound):
            msg = (
                f"The log-likelihood is {bound} at iteration {iteration}: values or start parameters are too far apart "
                "for float64. Scale the features to comparable, moderate variance, or choose another start"
            )
            raise MixtureError(msg)
        bounds.append(bound)
        collapsed = collapsed_components(statistics)
        budget = _RESEEDS_PER_COMPONENT * parameters.n_components - len(started_again)
        # Not in the last iteration: the result would then hold a component that no E-step has seen.
        if 0 < len(collapsed) <= budget and iteration < settings.max_iter:
            parameters = _reseed(blocks, parameters, statistics, collapsed, len(started_again), settings.reg_covar)
            started_again += [(iteration, int(k)) for k in collapsed]
            previous = -math.inf
            continue
        parameters = statistics.finalize(settings.reg_covar)
        if abs(bound - previous) < settings.tol:
            converged = True
            break
        previous = bound
    return EMRun(parameters, statistics, tuple(bounds), converged, tuple(started_again))


def _reseed(
    blocks: RowBlocks,
    parameters: GaussianParameters,
    statistics: SufficientStatistics,
    collapsed: NDArray[np.intp],
    n_before: int,
    reg_covar: float,
) -> GaussianParameters:
    """Start collapsed components from the least likely rows, passing over as many as were used before in this run."""
    n_wanted = n_before + len(collapsed)
    least: LeastLikely = blocks.reduce(LeastLikely.from_block, parameters.density(statistics.centre), n_wanted)
    n_found = len(least.rows)
    centres = least.rows[np.arange(n_before, n_wanted) % n_found]
    return reseeded(statistics, collapsed, centres, reg_covar)

"""The EM loop: E-steps on the blocks, M-steps here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float
from gravdask.mixture.blocks import RowBlocks
from gravdask.mixture.kernels import Density
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


class EMState:
    """A run of EM between iterations: sums go in, the next mixture comes out.

    Parameters
    ----------
    start
        The mixture of the first E-step.
    centre
        (n_features,), near the mean of the rows, fixed for the whole run.
    settings
        Tolerance, regularisation, number of iterations.
    previous
        Mean log-likelihood before the first iteration (of a warm start).

    Attributes
    ----------
    parameters
        The present mixture.
    wanted
        Least likely rows that `reseed` must be given before the next iteration; 0 for none.
    failure
        Why the run cannot go on, or None.
    """

    def __init__(
        self, start: GaussianParameters, centre: Float, settings: EMSettings, previous: float = -math.inf
    ) -> None:
        self.parameters, self.centre, self.settings = start, centre, settings
        self.wanted = 0
        self.failure: MixtureError | None = None
        self._previous = previous
        self._statistics: SufficientStatistics | None = None
        self._bounds: list[float] = []
        self._started_again: list[tuple[int, int]] = []
        self._collapsed: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self._converged = False

    @property
    def active(self) -> bool:
        """Whether another iteration is due."""
        return not self._converged and self.failure is None and len(self._bounds) < self.settings.max_iter

    def density(self) -> Density:
        """What the next E-step needs."""
        return self.parameters.density(self.centre)

    def take(self, statistics: SufficientStatistics) -> None:
        """Do the M-step of one iteration, or ask for rows to start collapsed components from.

        Raises
        ------
        MixtureError
            The log-likelihood is not finite, or a covariance is not positive definite.
        """
        bound = statistics.log_likelihood / statistics.weight
        iteration = len(self._bounds) + 1
        if not math.isfinite(bound):
            msg = (
                f"The log-likelihood is {bound} at iteration {iteration}: values or start parameters are too far apart "
                "for float64. Scale the features to comparable, moderate variance, or choose another start"
            )
            raise MixtureError(msg)
        self._statistics = statistics
        self._bounds.append(bound)
        collapsed = collapsed_components(statistics)
        before = len(self._started_again)
        budget = _RESEEDS_PER_COMPONENT * self.parameters.n_components - before
        # not in the last iteration: the result would then hold a component that no E-step has seen
        if 0 < len(collapsed) <= budget and iteration < self.settings.max_iter:
            self._collapsed, self.wanted = collapsed, before + len(collapsed)
            return
        self.parameters = statistics.finalize(self.settings.reg_covar)
        self._converged = abs(bound - self._previous) < self.settings.tol
        self._previous = bound

    def reseed(self, least: LeastLikely) -> None:
        """Start collapsed components from the least likely rows, passing over as many as were used before."""
        if self._statistics is None:
            return
        centres = least.rows[np.arange(len(self._started_again), self.wanted) % len(least.rows)]
        self.parameters = reseeded(self._statistics, self._collapsed, centres, self.settings.reg_covar)
        self._started_again += [(len(self._bounds), int(k)) for k in self._collapsed]
        self._previous, self.wanted = -math.inf, 0

    def result(self) -> EMRun:
        """What the run came to."""
        return EMRun(
            self.parameters, self._statistics, tuple(self._bounds), self._converged, tuple(self._started_again)
        )


def run_em(
    blocks: RowBlocks, start: GaussianParameters, centre: Float, settings: EMSettings, previous: float = -math.inf
) -> EMRun:
    """Iterate from a start until the mean log-likelihood changes by less than `tol`.

    Parameters
    ----------
    blocks
        The rows.
    start, centre, settings, previous
        See `EMState`.

    Raises
    ------
    MixtureError
        The log-likelihood is not finite, or a covariance is not positive definite.
    """
    state = EMState(start, centre, settings, previous)
    while state.active:
        state.take(blocks.reduce(SufficientStatistics.from_block, state.density()))
        if state.wanted:
            state.reseed(blocks.reduce(LeastLikely.from_block, state.density(), state.wanted))
    return state.result()

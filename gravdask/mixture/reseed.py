"""A component that lost its rows starts again where the mixture explains the rows worst.

A component is collapsed when its count N_k is below n_features + 1: so few rows span no covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gravdask.mixture import kernels
from gravdask.mixture.arrays import Float, Rows
from gravdask.mixture.kernels import Density
from gravdask.mixture.parameters import GaussianParameters
from gravdask.mixture.statistics import SufficientStatistics


@dataclass(frozen=True)
class LeastLikely:
    """The rows of lowest log-likelihood, lowest first: a monoid that keeps at most `size` rows."""

    size: int
    log_likelihoods: Float
    rows: Float

    @classmethod
    def from_block(cls, rows: Rows, weights: Float | None, density: Density, size: int) -> LeastLikely:
        """Return the `size` least likely rows of one block; rows of weight 0 do not count."""
        used = np.asarray(rows if weights is None else rows[weights > 0.0], dtype=np.float64)
        scores = kernels.log_likelihoods(used, density)
        order = np.argsort(scores, kind="stable")[:size]
        return cls(size, scores[order], used[order])

    def __add__(self, other: LeastLikely) -> LeastLikely:
        """Return the least likely rows of both; of equal ones, those of the left operand come first."""
        scores = np.concatenate([self.log_likelihoods, other.log_likelihoods])
        order = np.argsort(scores, kind="stable")[: self.size]
        return LeastLikely(self.size, scores[order], np.concatenate([self.rows, other.rows])[order])


def collapsed_components(statistics: SufficientStatistics) -> NDArray[np.intp]:
    """Return the components whose count is below n_features + 1.

    None, where the whole weight is below n_components times that: then no mixture of this size could do better.
    """
    least = statistics.n_features + 1.0
    if statistics.weight < least * statistics.n_components:
        return np.zeros(0, dtype=np.intp)
    tolerance = 1e-6  # a cluster of exactly n_features + 1 rows must not collapse by rounding
    return np.flatnonzero(statistics.counts < least - tolerance)


def reseeded(
    statistics: SufficientStatistics, collapsed: NDArray[np.intp], centres: Float, reg_covar: float
) -> GaussianParameters:
    """Return the M-step's mixture with the collapsed components started afresh.

    A fresh component has a least likely row as mean, the covariance of all rows, and the weight 1 / n_components; the
    other weights shrink to make room.

    Parameters
    ----------
    statistics
        Of the iteration in which the components collapsed.
    collapsed
        Their indices, (n_collapsed,).
    centres
        New means, (n_collapsed, n_features).
    reg_covar
        Added to the diagonal of covariances.
    """
    weights, means, covariances = statistics.moments(reg_covar)
    means[collapsed] = centres
    share = 1.0 / statistics.n_components
    weights[collapsed] = 0.0
    rest = weights.sum()
    if rest > 0.0:
        weights *= (1.0 - share * len(collapsed)) / rest
    weights[collapsed] = share
    weights /= weights.sum()
    if statistics.covariance_type != "tied":
        covariances[collapsed] = statistics.pooled().moments(reg_covar)[2][0]
    return GaussianParameters.from_covariances(statistics.covariance_type, weights, means, covariances, reg_covar)

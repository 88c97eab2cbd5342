"""Which component of a new mixture is which of an old one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import linear_sum_assignment

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float, Index
from gravdask.mixture.parameters import GaussianParameters


@dataclass(frozen=True)
class ComponentMatch:
    """How the components of a new mixture were ordered after an old one.

    Attributes
    ----------
    permutation
        (n_components,): place i now holds what was component permutation[i].
    old_component
        (n_components,): the old component at each place, -1 for none.
    distances
        (n_components,): Bhattacharyya distance to it, NaN where there is none; 0 means equal.
    unmatched_old
        Old components that have no partner.
    """

    permutation: Index
    old_component: Index
    distances: Float
    unmatched_old: tuple[int, ...]


def bhattacharyya_distances(new: GaussianParameters, old: GaussianParameters) -> Float:
    """Return the Bhattacharyya distance of every pair of components, (n_new, n_old).

    D = ⅛ (µ₁ - µ₂)ᵀ Σ⁻¹ (µ₁ - µ₂) + ½ ln(det Σ / √(det Σ₁ det Σ₂)) with Σ = (Σ₁ + Σ₂) / 2 (Kailath 1967).
    """
    first, second = new.covariance_matrices(), old.covariance_matrices()
    log_det_first = np.linalg.slogdet(first)[1]
    log_det_second = np.linalg.slogdet(second)[1]
    out = np.empty((len(first), len(second)))
    for i in range(len(first)):
        for j in range(len(second)):
            lower = cholesky(0.5 * (first[i] + second[j]), lower=True)
            whitened = solve_triangular(lower, new.means[i] - old.means[j], lower=True)
            log_det = 2.0 * np.log(np.diagonal(lower)).sum()
            out[i, j] = 0.125 * whitened @ whitened + 0.5 * (log_det - 0.5 * (log_det_first[i] + log_det_second[j]))
    return out


def match_components(new: GaussianParameters, old: GaussianParameters) -> ComponentMatch:
    """Pair components by the assignment of least total Bhattacharyya distance (the Hungarian method).

    Places follow the old order; components without a partner come last, heaviest first.

    Raises
    ------
    MixtureError
        The two mixtures have different numbers of features.
    """
    if new.n_features != old.n_features:
        msg = (
            f"Cannot match a mixture of {new.n_features} features to one of {old.n_features}: "
            "both must be fitted to the same features"
        )
        raise MixtureError(msg)
    cost = bhattacharyya_distances(new, old)
    rows, columns = linear_sum_assignment(cost)
    by_old = np.argsort(columns)
    rows, columns = rows[by_old], columns[by_old]
    alone = np.setdiff1d(np.arange(new.n_components), rows)
    alone = alone[np.argsort(-new.weights[alone], kind="stable")]
    return ComponentMatch(
        permutation=np.concatenate([rows, alone]).astype(np.int64),
        old_component=np.concatenate([columns, np.full(len(alone), -1)]).astype(np.int64),
        distances=np.concatenate([cost[rows, columns], np.full(len(alone), np.nan)]),
        unmatched_old=tuple(int(k) for k in np.setdiff1d(np.arange(old.n_components), columns)),
    )

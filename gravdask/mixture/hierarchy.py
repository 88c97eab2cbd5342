"""Which components belong together: a tree of merges, to be cut coarse or fine.

Two components are replaced by the one Gaussian of their common weight, mean and covariance, so a mixture keeps its
overall moments however far it is reduced. Joined first is the pair that loses least: the cost is an upper bound on the
Kullback-Leibler divergence from the mixture before to the mixture after (Runnalls 2007, IEEE Transactions on Aerospace
and Electronic Systems 43, 989-999, doi:10.1109/TAES.2007.4383588):

    B(i, j) = 1/2 [(w_i + w_j) log det S_ij - w_i log det S_i - w_j log det S_j]   in nats a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float, Index
from gravdask.mixture.gaussian_mixture import GaussianMixture
from gravdask.mixture.parameters import GaussianParameters

_STARTS = ("weights_init", "means_init", "precisions_init", "labels_init", "model_init")


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """The tree of merges of a mixture's components.

    Attributes
    ----------
    table
        (n_components - 1, 4), laid out as SciPy's linkage: the two that are joined (below n_components a component,
        else n_components + the row that made it), the height, and the number of components together. Heights never fall
        (each is the largest cost so far), so ``scipy.cluster.hierarchy.dendrogram(table)`` draws it.
    cost
        (n_components - 1,): B of each merge, nats a row; unlike the heights it may fall.
    weights, means, covariances
        The components: (n_components,), (n_components, n_features), (n_components, n_features, n_features).
    settings
        Constructor's parameters of the mixture.
    feature_names
        Names of the columns, or None.
    """

    table: Float
    cost: Float
    weights: Float
    means: Float
    covariances: Float
    settings: Mapping[str, Any]
    feature_names: tuple[str, ...] | None

    @property
    def n_components(self) -> int:
        """Number of components of the mixture."""
        return len(self.weights)

    def cut(self, n: int) -> Index:
        """Return the group of each component, (n_components,), where n groups are left: 0 is the heaviest group.

        ``cut(n)[model.predict(X)]`` gives the rows' groups. With n = n_components every component is its own group.

        Parameters
        ----------
        n
            Number of groups, 1 to n_components.

        Raises
        ------
        MixtureError
            n outside its limits.
        """
        size = self.n_components
        if isinstance(n, bool | np.bool_) or not isinstance(n, int | np.integer) or not 1 <= n <= size:
            msg = f"n must be an integer from 1 to the number of components, {size}, got {n!r}"
            raise MixtureError(msg)
        members = [[k] for k in range(size)]
        joined: set[int] = set()
        for first, second in self.table[: size - n, :2].astype(int).tolist():
            members.append(members[first] + members[second])
            joined |= {first, second}
        groups = [group for node, group in enumerate(members) if node not in joined]
        groups.sort(key=lambda group: (-float(self.weights[group].sum()), min(group)))
        labels = np.empty(size, dtype=np.int64)
        for label, group in enumerate(groups):
            labels[group] = label
        return labels

    def merged(self, n: int) -> GaussianMixture:
        """Return a fitted mixture of n components with full covariances: component g is group g of `cut`.

        Each has the weight, mean and covariance of its group. It answers as a fitted mixture does, but holds no
        sufficient statistics: `fit` it (with ``warm_start=True`` to go on from here) before `partial_fit`.

        Raises
        ------
        MixtureError
            n outside its limits.
        """
        labels = self.cut(n)
        parts = [_joined(*(values[labels == g] for values in self._components())) for g in range(n)]
        weights, means, covariances = (np.stack([part[i] for part in parts]) for i in range(3))
        changed = {"n_components": n, "covariance_type": "full", **dict.fromkeys(_STARTS)}
        model = GaussianMixture(**{**self.settings, **changed})
        model.n_features_in_ = self.means.shape[1]
        if self.feature_names is not None:
            model.feature_names_in_ = np.array(self.feature_names, dtype=object)
        model._adopt(GaussianParameters.from_covariances("full", weights / weights.sum(), means, covariances), None)
        model.converged_, model.n_iter_, model.reseeded_, model.n_skipped_ = False, 0, [], 0
        model.lower_bound_, model.lower_bounds_ = -np.inf, []
        return model

    def _components(self) -> tuple[Float, Float, Float]:
        """Return weights, means and covariances."""
        return self.weights, self.means, self.covariances


def _joined(weights: Float, means: Float, covariances: Float) -> tuple[Float, Float, Float]:
    """Return weight, mean and covariance of some components as one."""
    weight = np.asarray(weights.sum())
    # components without weight have no moments to keep: they count alike
    share = weights / weight if weight > 0.0 else np.full(len(weights), 1.0 / len(weights))
    mean = share @ means
    apart = means - mean
    covariance = np.tensordot(share, covariances, axes=1) + (share[:, None] * apart).T @ apart
    return weight, mean, 0.5 * (covariance + covariance.T)


def _cost(weights: Float, log_dets: Float, covariance: Float) -> float:
    """Return B of a pair with these weights and log determinants, and this common covariance."""
    log_det = float(np.linalg.slogdet(covariance)[1])
    # log det is concave: below 0 is rounding
    return max(0.0, 0.5 * float(weights.sum() * log_det - weights @ log_dets))


def hierarchy(model: GaussianMixture) -> Hierarchy:
    """Join the components of a fitted mixture one pair at a time, the pair of least cost first.

    It works on the parameters alone: no rows are needed.

    Parameters
    ----------
    model
        Fitted, of any covariance type.

    Returns
    -------
    Hierarchy
        The tree; of one component it has no merges.

    Raises
    ------
    NotFittedError
        The mixture is not fitted.
    """
    check_is_fitted(model)
    parameters = model._parameters()
    weights, means, covariances = (
        parameters.weights.copy(),
        parameters.means.copy(),
        parameters.covariance_matrices(),
    )
    table, cost = _merges(weights, means, covariances)
    names = getattr(model, "feature_names_in_", None)
    return Hierarchy(
        table,
        cost,
        weights,
        means,
        covariances,
        model.get_params(deep=False),
        None if names is None else tuple(str(name) for name in names),
    )


def _merges(weights: Float, means: Float, covariances: Float) -> tuple[Float, Float]:
    """Return the table and the cost of all merges (see `Hierarchy`)."""
    size = len(weights)
    nodes = {k: (weights[k], means[k], covariances[k]) for k in range(size)}
    log_dets = {k: float(np.linalg.slogdet(covariances[k])[1]) for k in range(size)}
    counts = dict.fromkeys(range(size), 1)

    def pair(i: int, j: int) -> float:
        both = tuple(np.stack([a, b]) for a, b in zip(nodes[i], nodes[j], strict=True))
        return _cost(both[0], np.array([log_dets[i], log_dets[j]]), _joined(*both)[2])

    costs = {(i, j): pair(i, j) for j in range(size) for i in range(j)}
    table, raw, height = np.zeros((size - 1, 4)), np.zeros(size - 1), 0.0
    for step in range(size - 1):
        (i, j), least = min(costs.items(), key=lambda item: (item[1], item[0]))
        new = size + step
        nodes[new] = _joined(*(np.stack([a, b]) for a, b in zip(nodes[i], nodes[j], strict=True)))
        log_dets[new] = float(np.linalg.slogdet(nodes[new][2])[1])
        counts[new] = counts[i] + counts[j]
        height = max(height, least)
        table[step], raw[step] = (i, j, height, counts[new]), least
        costs = {key: value for key, value in costs.items() if not {i, j} & set(key)}
        del nodes[i], nodes[j]
        costs |= {(k, new): pair(k, new) for k in sorted(nodes) if k != new}
    return table, raw

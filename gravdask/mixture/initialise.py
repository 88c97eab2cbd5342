"""Where EM starts: scikit-learn's four methods on a seeded sample of the rows.

The sample is drawn by row index over the whole array (or over each stratum of it), so it depends on the seed and the
number of rows, not on the chunks. Up to `SAMPLE_ROWS` rows it is the array itself, and the start is scikit-learn's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.utils.random import sample_without_replacement

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float, Handle
from gravdask.mixture.blocks import RowBlocks
from gravdask.mixture.parameters import GaussianParameters, cholesky_of_precisions, covariances_of_factors
from gravdask.mixture.statistics import SufficientStatistics
from gravdask.mixture.strata import draw_from_groups
from gravdask.mixture.survey import take_rows

INIT_METHODS = ("kmeans", "k-means++", "random", "random_from_data")
"""The methods of `init_params`, named as in scikit-learn."""

SAMPLE_ROWS = 1 << 16
"""Rows that a start is made from, at most."""


@dataclass(frozen=True)
class Start:
    """How a fit starts.

    Attributes
    ----------
    covariance_type
        "full", "tied", "diag" or "spherical".
    n_components
        Number of components.
    method
        One of `INIT_METHODS`.
    reg_covar
        Added to the diagonal of the first covariances.
    weights, means, precisions
        Start values that replace those of the method, checked, or None.
    """

    covariance_type: str
    n_components: int
    method: str
    reg_covar: float
    weights: Float | None
    means: Float | None
    precisions: Float | None

    @property
    def is_given(self) -> bool:
        """Whether all three start values are given, so that no method is needed."""
        return self.weights is not None and self.means is not None and self.precisions is not None


def draw_sample(
    blocks: RowBlocks,
    sizes: Sequence[int],
    random_state: np.random.RandomState,
    groups: Sequence[Handle] | None = None,
) -> tuple[Float, Float | None]:
    """Return at most `SAMPLE_ROWS` rows, in order, with their weights; rows of weight 0 never enter.

    Parameters
    ----------
    blocks
        Complete rows.
    sizes
        Rows with a weight above 0 of each block.
    random_state
        Generator; more rows than the sample holds consume it.
    groups
        Labels of the rows of each block: every label then enters at the same share (see `draw_from_groups`). None: all
        rows are of one group.
    """
    total = sum(sizes)
    if groups is not None:
        local = draw_from_groups(blocks, groups, SAMPLE_ROWS, random_state)
    else:
        chosen = np.arange(total)
        if total > SAMPLE_ROWS:
            chosen = np.sort(sample_without_replacement(total, SAMPLE_ROWS, random_state=random_state))
        starts = np.cumsum([0, *sizes[:-1]])
        cuts = np.split(chosen, np.searchsorted(chosen, starts[1:]))
        local = [cut - start for cut, start in zip(cuts, starts, strict=True)]
    parts = blocks.map(take_rows, each=local)
    rows = np.concatenate([part[0] for part in parts])
    return rows, None if blocks.weights is None else np.concatenate([part[1] for part in parts])


def start_responsibilities(
    rows: Float, weights: Float | None, n_components: int, method: str, random_state: np.random.RandomState
) -> Float:
    """Return first responsibilities, (n_rows, n_components), row weights included.

    "kmeans": 1 for the row's cluster; "random": uniform, normalised per row; "k-means++" and "random_from_data": 1 for
    one row per component, 0 elsewhere (the first covariances are then `reg_covar` alone).
    """
    n_rows = len(rows)
    share = np.zeros((n_rows, n_components))
    if method == "kmeans":
        model = KMeans(n_clusters=n_components, n_init=1, random_state=random_state)
        share[np.arange(n_rows), model.fit(rows, sample_weight=weights).labels_] = 1.0
    elif method == "random":
        share = random_state.uniform(size=(n_rows, n_components))
        share /= share.sum(axis=1, keepdims=True)
    elif method == "k-means++":
        _, index = kmeans_plusplus(rows, n_components, sample_weight=weights, random_state=random_state)
        share[index, np.arange(n_components)] = 1.0
    else:
        chance = None if weights is None else weights / weights.sum()
        index = random_state.choice(n_rows, size=n_components, replace=False, p=chance)
        share[index, np.arange(n_components)] = 1.0
    return share if weights is None else share * weights[:, None]


def start_parameters(
    start: Start, sample: tuple[Float, Float | None] | None, centre: Float, random_state: np.random.RandomState
) -> GaussianParameters:
    """Return the mixture of iteration 0.

    Parameters
    ----------
    start
        Method and given values.
    sample
        Rows (n_rows, n_features) and their weights; None where `start.is_given`.
    centre
        (n_features,), about which the sums are taken.
    random_state
        The generator of the fit, consumed as scikit-learn consumes it.

    Raises
    ------
    MixtureError
        The sample has fewer rows than components, or a first covariance is not positive definite.
    """
    kind = start.covariance_type
    weights, means, covariances = start.weights, start.means, None
    if sample is not None:
        rows, row_weights = sample
        if len(rows) < start.n_components:
            msg = (
                f"The sample for the start has {len(rows)} rows with a weight above 0, fewer than n_components = "
                f"{start.n_components}. Give weights_init, means_init and precisions_init, or fewer components"
            )
            raise MixtureError(msg)
        share = start_responsibilities(rows, row_weights, start.n_components, start.method, random_state)
        statistics = SufficientStatistics.from_responsibilities(rows, share, kind, centre)
        found = statistics.moments(start.reg_covar)
        weights = found[0] if weights is None else weights
        means = found[1] if means is None else means
        covariances = found[2]
    if weights is None or means is None:
        msg = "Without a sample, weights_init, means_init and precisions_init must all be given"
        raise MixtureError(msg)
    if start.precisions is not None:
        factors = cholesky_of_precisions(start.precisions, kind)
        return GaussianParameters(kind, weights, means, covariances_of_factors(factors, kind), factors)
    if covariances is None:
        msg = "Without a sample, precisions_init must be given"
        raise MixtureError(msg)
    return GaussianParameters.from_covariances(kind, weights, means, covariances, start.reg_covar)

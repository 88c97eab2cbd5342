"""Starts that need no random method: from labels of the rows, and from an earlier mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce as fold
from operator import add
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from sklearn.mixture import GaussianMixture as SklearnMixture

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float, Handle, Rows, VectorLike
from gravdask.mixture.blocks import RowBlocks, is_lazy
from gravdask.mixture.inference import FittedMixture
from gravdask.mixture.initialise import Start
from gravdask.mixture.parameters import (
    GaussianParameters,
    cholesky_of_precisions,
    covariance_shape,
    covariances_of_factors,
    precision_cholesky,
)
from gravdask.mixture.statistics import SufficientStatistics

ModelLike: TypeAlias = Any
"""A fitted mixture of this package or of scikit-learn, the path of a saved one, or None."""

_STRIP_ROWS = 4096
"""Rows whose hard responsibilities are written out at a time."""


@dataclass(frozen=True)
class _Labelling:
    """What turns the labels of a block into statistics."""

    covariance_type: str
    n_components: int
    centre: Float


def label_vector(labels_init: VectorLike) -> VectorLike:
    """Return start labels as an array, lazy if they are, or refuse them by their type.

    Raises
    ------
    MixtureError
        They are not integers.
    """
    labels = labels_init if is_lazy(labels_init) else np.asarray(labels_init)
    if labels.dtype.kind not in "iu":
        msg = (
            f"labels_init must hold integers, a component or -1 for each row, got dtype {labels.dtype}: "
            "convert them with astype(int), -1 where there is no opinion"
        )
        raise MixtureError(msg)
    return labels


def _block_statistics(
    rows: Rows, weights: Float | None, plan: _Labelling, labelled: tuple[Rows, int]
) -> SufficientStatistics:
    """Return the statistics of one block from its labels; `labelled` holds them and the number of its first row."""
    labels = np.asarray(labelled[0])
    if len(labels) != len(rows):
        msg = f"labels_init has {len(labels)} values for the {len(rows)} rows of one chunk: chunk both alike"
        raise MixtureError(msg)
    wrong = (labels < -1) | (labels >= plan.n_components)
    if wrong.any():
        first = int(np.argmax(wrong))
        msg = (
            f"labels_init holds {labels[first]} in row {labelled[1] + first}: labels are 0 to n_components - 1 = "
            f"{plan.n_components - 1}, or -1 for a row without an opinion"
        )
        raise MixtureError(msg)
    used = labels >= 0
    found = [SufficientStatistics.zero(plan.covariance_type, plan.n_components, plan.centre)]
    for begin in range(0, len(rows), _STRIP_ROWS):
        part = np.flatnonzero(used[begin : begin + _STRIP_ROWS]) + begin
        share = np.zeros((len(part), plan.n_components))
        share[np.arange(len(part)), labels[part]] = 1.0 if weights is None else weights[part]
        finite = np.isfinite(rows[part]).all(axis=1)
        found.append(
            SufficientStatistics.from_responsibilities(
                rows[part][finite], share[finite], plan.covariance_type, plan.centre
            )
        )
    return fold(add, found)


def parameters_of_labels(
    blocks: RowBlocks, labels: Sequence[Handle], sizes: Sequence[int], start: Start, centre: Float
) -> GaussianParameters:
    """Return the mixture of one M-step over all rows whose label is not -1, each wholly of its component.

    Parameters
    ----------
    blocks
        The rows; those with NaN or infinity take no part.
    labels
        Labels of each block's rows, 0 to n_components - 1 or -1.
    sizes
        Rows of each block, for the errors.
    start
        Covariance type, number of components, regularisation, and start values that replace those of the labels.
    centre
        (n_features,), about which the sums are taken.

    Raises
    ------
    MixtureError
        A label out of range, a component without rows, or a covariance that is not positive definite.
    """
    plan = _Labelling(start.covariance_type, start.n_components, centre)
    firsts = np.cumsum([0, *sizes[:-1]]).tolist()
    labelled = list(zip(labels, firsts, strict=True))
    statistics: SufficientStatistics = blocks.reduce(_block_statistics, plan, each=labelled)
    empty = np.flatnonzero(statistics.counts <= 0.0)
    if empty.size:
        shown = ", ".join(str(k) for k in empty[:10]) + (", ..." if empty.size > 10 else "")
        msg = (
            f"labels_init gives no row with a weight above 0 to component(s) {shown}: each of the {start.n_components} "
            "needs at least one. Give labels to some of their rows, or fewer components"
        )
        raise MixtureError(msg)
    weights, means, covariances = statistics.moments(start.reg_covar)
    return _with_given(start, weights, means, *_factored(start, covariances))


def _factored(start: Start, covariances: Float) -> tuple[Float, Float]:
    """Return covariances and the factors of their inverse, of the given start precisions if there are any."""
    kind = start.covariance_type
    if start.precisions is None:
        return covariances, precision_cholesky(covariances, kind, start.reg_covar)
    factors = cholesky_of_precisions(start.precisions, kind)
    return covariances_of_factors(factors, kind), factors


def _with_given(start: Start, weights: Float, means: Float, covariances: Float, factors: Float) -> GaussianParameters:
    """Return a mixture with the weights and means that were given in the place of these."""
    return GaussianParameters(
        start.covariance_type,
        weights if start.weights is None else start.weights,
        means if start.means is None else start.means,
        covariances,
        factors,
    )


def converted(parameters: GaussianParameters, covariance_type: str) -> GaussianParameters:
    """Return the mixture of another covariance type that has the same weights, means and, as far as it can, moments.

    "tied" takes the mean of the covariances by weight, "diag" their diagonals, "spherical" the mean of the diagonal:
    what an M-step would make of rows drawn from the mixture. "full" loses nothing.
    """
    if parameters.covariance_type == covariance_type:
        return parameters
    matrices = parameters.covariance_matrices()
    diagonals = np.diagonal(matrices, axis1=1, axis2=2)
    covariances: Float = {
        "full": matrices,
        "tied": np.tensordot(parameters.weights, matrices, axes=1),
        "diag": diagonals.copy(),
        "spherical": diagonals.mean(axis=1),
    }[covariance_type]
    return GaussianParameters.from_covariances(covariance_type, parameters.weights, parameters.means, covariances)


def parameters_of_model(
    model_init: ModelLike, load: Callable[[PathLike[str] | str], FittedMixture], start: Start, n_features: int
) -> GaussianParameters:
    """Return an earlier mixture's parameters as a start.

    Parameters
    ----------
    model_init
        A fitted GaussianMixture, scikit-learn's included, or the path of one that was saved.
    load
        Reads a saved one.
    start
        Covariance type and number of components that are needed, and start values that replace the model's.
    n_features
        Columns of X.

    Raises
    ------
    MixtureError
        It is no fitted mixture, or one of other components or features.
    ModelError
        The file is missing, damaged or of another format.
    """
    model = load(model_init) if isinstance(model_init, str | PathLike) else model_init
    if not isinstance(model, FittedMixture | SklearnMixture):
        msg = f"model_init must be a fitted GaussianMixture or the path of a saved one, got {type(model).__name__}"
        raise MixtureError(msg)
    if not hasattr(model, "means_"):
        msg = "model_init is a mixture that is not fitted yet: fit it first, or leave model_init at None"
        raise MixtureError(msg)
    size = model.means_.shape
    if size != (start.n_components, n_features):
        msg = (
            f"model_init has {size[0]} components of {size[1]} features, but n_components={start.n_components} and "
            f"X has {n_features} features: set n_components={size[0]}, or give a model of the same features"
        )
        raise MixtureError(msg)
    if model.covariances_.shape != covariance_shape(model.covariance_type, *size):
        msg = (
            f"model_init says covariance_type={model.covariance_type!r} but its covariances have shape "
            f"{model.covariances_.shape}: its parameters were changed after the fit; change them back"
        )
        raise MixtureError(msg)
    old = GaussianParameters(
        model.covariance_type, model.weights_, model.means_, model.covariances_, model.precisions_cholesky_
    )
    found = converted(old, start.covariance_type)
    shape = (found.covariances, found.precisions_cholesky)
    if start.precisions is not None:
        shape = _factored(start, found.covariances)
    return _with_given(start, found.weights, found.means, *shape)

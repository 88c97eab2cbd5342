"""What a fit does around EM: it looks at the rows, makes starts, runs from each, and says what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from sklearn.utils import check_random_state

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float, Handle, MatrixLike, VectorLike
from gravdask.mixture.blocks import RowBlocks, cut_vector, row_blocks
from gravdask.mixture.em import EMRun, EMSettings, run_em
from gravdask.mixture.initialise import Start, draw_sample, start_parameters
from gravdask.mixture.parameters import (
    GaussianParameters,
    check_means,
    check_precisions,
    check_weights,
    covariance_shape,
)
from gravdask.mixture.starts import label_vector, parameters_of_labels, parameters_of_model
from gravdask.mixture.survey import Survey, survey_block, without_spread

if TYPE_CHECKING:
    from gravdask.mixture.gaussian_mixture import GaussianMixture


T = TypeVar("T")

_SINGULAR = "Fitting the mixture failed"
"""How the error of a covariance that is not positive definite begins."""


@dataclass(frozen=True)
class Prepared:
    """Rows that EM can work on, and what is known of them.

    Attributes
    ----------
    blocks
        Complete rows with their weights.
    survey
        Of all rows, those that were skipped included.
    sizes
        Complete rows of each block.
    usable
        Of these, the rows with a weight above 0.
    groups, labels
        Strata and start labels of the complete rows of each block, or None.
    """

    blocks: RowBlocks
    survey: Survey
    sizes: tuple[int, ...]
    usable: tuple[int, ...]
    groups: tuple[Handle, ...] | None
    labels: tuple[Handle, ...] | None

    @property
    def centre(self) -> Float:
        """Weighted mean of the complete rows, (n_features,)."""
        return self.survey.total / self.survey.weight


def prepare(
    X: MatrixLike,
    sample_weight: VectorLike,
    *,
    least_rows: int,
    skip: bool,
    groups: VectorLike = None,
    labels: VectorLike = None,
) -> Prepared:
    """Look at all rows once, refuse what cannot be fitted, and leave out what is to be skipped.

    Parameters
    ----------
    X, sample_weight
        As in `row_blocks`.
    least_rows
        Rows with a weight above 0 that are needed.
    skip
        Whether rows with NaN or infinity are left out rather than refused.
    groups, labels
        One value per row, or None.

    Raises
    ------
    MixtureError
        See `Survey.check`; also where groups or labels are not one value for each row.
    """
    blocks = row_blocks(X, sample_weight)
    parts: list[Survey] = blocks.map(survey_block)
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    whole.check(least_rows, skip=skip)
    sizes = [part.rows for part in parts]
    cut = {
        name: None if values is None else cut_vector(blocks, values, sizes, name)
        for name, values in (("groups", groups), ("labels_init", labels))
    }
    if whole.bad_rows:
        cut = {name: None if values is None else blocks.complete_values(values) for name, values in cut.items()}
        blocks = blocks.complete()
    complete = tuple(part.rows - part.bad_rows for part in parts)
    usable = tuple(part.rows_with_weight for part in parts)
    return Prepared(blocks.hold(sum(complete)), whole, complete, usable, cut["groups"], cut["labels_init"])


@dataclass(frozen=True)
class Starter:
    """Makes start parameters, one set a call.

    Attributes
    ----------
    start
        Method and given values.
    prepared
        The rows.
    fixed
        The start that every call gives, where none is drawn.
    """

    start: Start
    prepared: Prepared
    fixed: GaussianParameters | None
    _samples: list[tuple[Float, Float | None]] = field(default_factory=list)

    def __call__(self, generator: np.random.RandomState) -> GaussianParameters:
        """Return start parameters; the sample is drawn at the first call."""
        if self.fixed is not None:
            return self.fixed
        p = self.prepared
        if not self._samples:
            self._samples.append(draw_sample(p.blocks, p.usable, generator, p.groups))
        return start_parameters(self.start, self._samples[0], p.centre, generator)


def starter(model: GaussianMixture, prepared: Prepared) -> Starter:
    """Return what makes the starts of a fit.

    Raises
    ------
    MixtureError
        Start values that do not fit the rows or each other.
    """
    k, d, kind = model.n_components, prepared.blocks.n_features, model.covariance_type
    start = Start(
        kind,
        k,
        model.init_params,
        model.reg_covar,
        None if model.weights_init is None else check_weights(model.weights_init, k),
        None if model.means_init is None else check_means(model.means_init, k, d),
        None if model.precisions_init is None else check_precisions(model.precisions_init, kind, k, d),
    )
    fixed = None
    if start.is_given:
        fixed = start_parameters(start, None, prepared.centre, check_random_state(0))
    elif prepared.labels is not None:
        fixed = parameters_of_labels(prepared.blocks, prepared.labels, prepared.sizes, start, prepared.centre)
    elif model.model_init is not None:
        fixed = parameters_of_model(model.model_init, type(model).load, start, d)
    return Starter(start, prepared, fixed)


def start_labels(model: GaussianMixture) -> VectorLike:
    """Return the labels that a fit starts from, checked by type, or None.

    Raises
    ------
    MixtureError
        They are not integers, or a start from an earlier model is asked for too.
    """
    if model.labels_init is None:
        return None
    if model.model_init is not None:
        msg = "labels_init and model_init are two starts: give one of them and leave the other at None"
        raise MixtureError(msg)
    return label_vector(model.labels_init)


def best_run(model: GaussianMixture, prepared: Prepared) -> EMRun:
    """Run EM from every start and return the run of the largest lower bound.

    Raises
    ------
    MixtureError
        A start or a covariance is unusable; where columns without spread are the reason, they are named.
    """
    settings = EMSettings(model.tol, model.reg_covar, model.max_iter)
    blocks, centre = prepared.blocks, prepared.centre
    if model.warm_start and hasattr(model, "means_"):
        start = warm_parameters(model, blocks.n_features)
        return explained(lambda: run_em(blocks, start, centre, settings, previous=model.lower_bound_), model, prepared)
    generator = check_random_state(model.random_state)

    def run() -> EMRun:
        make = starter(model, prepared)
        best = run_em(blocks, make(generator), centre, settings)
        # a start that is not drawn would give the same run again
        for _ in range(1, model.n_init if make.fixed is None else 1):
            other = run_em(blocks, make(generator), centre, settings)
            if other.lower_bound > best.lower_bound:
                best = other
        return best

    return explained(run, model, prepared)


def explained(run: Callable[[], T], model: GaussianMixture, prepared: Prepared) -> T:
    """Run, and name the columns that leave every covariance singular where that is why it fails.

    With ``reg_covar=0`` they are looked for before: rounding can make a variance of 1e-20 of what is none, and the run
    would then end well with a mixture that means nothing.

    Raises
    ------
    MixtureError
        As the run does, with what was found.
    """
    if model.reg_covar == 0.0 and model.max_iter > 0:
        found = _without_spread(model, prepared, 1e-14)
        if found:
            msg = (
                f"{_SINGULAR}: component 0 has an ill-defined covariance, as every other would: over all rows {found}. "
                "Leave them out, or increase reg_covar (now 0)"
            )
            raise MixtureError(msg)
    try:
        return run()
    except MixtureError as error:
        found = _without_spread(model, prepared, 1e-10) if str(error).startswith(_SINGULAR) else ""
        if not found:
            raise
        msg = f"{error} Over all rows {found}: leave them out, or increase reg_covar"
        raise MixtureError(msg) from error


def _without_spread(model: GaussianMixture, prepared: Prepared, least_own: float) -> str:
    """Say in words which columns make covariances of the model's type singular; nothing where there are none."""
    flat, dependent = without_spread(prepared.blocks, prepared.survey, least_own)
    if model.covariance_type == "spherical" and len(flat) < prepared.blocks.n_features:
        flat = []
    if model.covariance_type not in ("full", "tied"):
        dependent = []
    names = getattr(model, "feature_names_in_", None)
    found = [
        f"{_columns(columns, names)} {what}"
        for columns, what in ((flat, "constant"), (dependent, "combinations of others"))
        if columns
    ]
    return " and ".join(found)


def _columns(columns: Sequence[int], names: Sequence[str] | None) -> str:
    """Say columns in words, a few of them."""
    shown = ", ".join(str(j) if names is None else f"{j} ({names[j]})" for j in columns[:8])
    more = f" and {len(columns) - 8} more" if len(columns) > 8 else ""
    return f"column {shown} is" if len(columns) == 1 else f"columns {shown}{more} are"


def warm_parameters(model: GaussianMixture, n_features: int) -> GaussianParameters:
    """Return the last fit's mixture, or say why it is no start for this one.

    Raises
    ------
    MixtureError
        The settings or the rows have another size than the last fit.
    """
    k, kind = model.n_components, model.covariance_type
    asked = covariance_shape(kind, k, n_features)
    if model.means_.shape != (k, n_features) or model.covariances_.shape != asked:
        msg = (
            f"warm_start goes on from a fit of {len(model.means_)} components, {model.means_.shape[1]} features and "
            f"covariances {model.covariances_.shape}, but n_components={k}, X has "
            f"{n_features} features and {kind!r} covariances are {asked}. "
            "Set warm_start=False to start anew"
        )
        raise MixtureError(msg)
    return model._parameters()


def shortcomings(run: EMRun, n_features: int, max_iter: int) -> list[str]:
    """Say what went less than well in a run."""
    found = []
    if run.reseeded:
        shown = [f"{component} (iteration {iteration})" for iteration, component in run.reseeded[:3]]
        more = len(run.reseeded) - len(shown)
        places = ", ".join(shown) + (f" and {more} more times" if more else "")
        found.append(
            f"Components collapsed below {n_features + 1} rows and were started again from the least "
            f"likely rows: {places}. Fewer components may describe the rows as well"
        )
    if not run.converged and max_iter > 0:
        found.append(
            f"Best performing initialization did not converge in max_iter={max_iter} iterations. Try "
            "different init parameters, or increase max_iter, tol, or check for degenerate data."
        )
    return found

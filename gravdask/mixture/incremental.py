"""Adding data to a mixture: stepwise EM and the merging of two fits. Both work on sufficient statistics alone."""

from __future__ import annotations

from dataclasses import replace

from gravdask.errors import MixtureError
from gravdask.mixture.blocks import RowBlocks
from gravdask.mixture.matching import match_components
from gravdask.mixture.parameters import GaussianParameters
from gravdask.mixture.statistics import SufficientStatistics
from gravdask.mixture.survey import Survey


def step_size(weight_before: float, weight_new: float, alpha: float, t0: float) -> float:
    """Return η = (t + t0)^-α, t the rows seen, the new ones included, in batches of the new one's weight.

    Cappé and Moulines (2009, J. R. Stat. Soc. B 71, 593) count batches of equal size; counted by weight, α = 1 and
    t0 = 0 give every row the same influence whatever the sizes. The first batch has η = 1.

    Raises
    ------
    MixtureError
        alpha outside (0.5, 1] or t0 below 0.
    """
    if not 0.5 < alpha <= 1.0:
        msg = f"alpha must lie in (0.5, 1], got {alpha!r}: other steps do not converge"
        raise MixtureError(msg)
    if not t0 >= 0.0:
        msg = f"t0 must not be below 0, got {t0!r}"
        raise MixtureError(msg)
    if weight_before == 0.0:
        return 1.0
    return float((1.0 + weight_before / weight_new + t0) ** -alpha)


def step(
    blocks: RowBlocks,
    current: GaussianParameters,
    before: SufficientStatistics | None,
    survey: Survey,
    *,
    alpha: float,
    t0: float,
) -> SufficientStatistics:
    """Return the running statistics after one batch, scaled to the weight of all rows seen.

    Parameters
    ----------
    blocks
        The batch.
    current
        The mixture of the E-step.
    before
        The statistics so far, or None for the first batch.
    survey
        Of the batch: its weight, and its mean as centre of a first batch.
    alpha, t0
        See `step_size`.
    """
    seen = 0.0 if before is None else before.weight
    eta = step_size(seen, survey.weight, alpha, t0)
    centre = survey.total / survey.weight if before is None else before.centre
    new: SufficientStatistics = blocks.reduce(SufficientStatistics.from_block, current.density(centre))
    if before is None:
        return new
    total = before.weight + new.weight
    return before.scaled((1.0 - eta) * total / before.weight) + new.scaled(eta * total / new.weight)


def merged(
    mine: SufficientStatistics,
    my_parameters: GaussianParameters,
    theirs: SufficientStatistics,
    their_parameters: GaussianParameters,
) -> SufficientStatistics:
    """Return the statistics of two fits together, in the order and about the centre of the first.

    Raises
    ------
    MixtureError
        The two differ in covariance type, number of components or features.
    """
    mine_shape = (mine.covariance_type, mine.n_components, mine.n_features)
    their_shape = (theirs.covariance_type, theirs.n_components, theirs.n_features)
    if mine_shape != their_shape:
        msg = (
            f"Cannot merge mixtures of (covariance type, components, features) {mine_shape} and {their_shape}: "
            "they must be equal"
        )
        raise MixtureError(msg)
    order = match_components(their_parameters, my_parameters).permutation
    aligned = theirs.permuted(order).recentred(mine.centre)
    return mine + replace(aligned, centre=mine.centre)

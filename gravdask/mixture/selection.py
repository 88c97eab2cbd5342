"""How many components, and of which kind: every criterion in one table, and one recommendation with its reason.

Rows of a record follow one another and are not independent, so rows drawn at random do not test a mixture: the test is
whole blocks of time that were held out, with guard gaps between. The other criteria stand beside it. All candidates,
starts and held-out blocks share every pass over the rows (`lockstep`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float, Index, MatrixLike, Seed, VectorLike
from gravdask.mixture.blocks import hold_array, is_lazy, one_blas_thread
from gravdask.mixture.gaussian_mixture import GaussianMixture
from gravdask.mixture.independence import effective_size, time_blocks
from gravdask.mixture.trial import COLUMNS, Trial
from gravdask.mixture.validation import check_settings

__all__ = ["Recommendation", "effective_size", "select", "time_blocks"]


@dataclass(frozen=True)
class Recommendation:
    """The mixture that `select` proposes.

    Attributes
    ----------
    n_components, covariance_type
        The choice.
    criterion
        Column of the table that decided.
    at_limit
        Whether the best value lies at the largest number of components tried, so that more should be tried.
    reason
        The decision in words.
    """

    n_components: int
    covariance_type: str
    criterion: str
    at_limit: bool
    reason: str


def select(
    X: MatrixLike,
    n_components: Iterable[int] = range(1, 11),
    *,
    blocks: VectorLike = None,
    covariance_types: Sequence[str] = ("full",),
    random_state: Seed = None,
    times: VectorLike = None,
    starts: int = 3,
    estimator: GaussianMixture | None = None,
) -> pd.DataFrame:
    """Fit every candidate and return the criteria, one row each.

    Parameters
    ----------
    X
        ndarray or dask array, (n_rows, n_features).
    n_components
        Numbers of components to try.
    blocks
        (n_rows,) labels of blocks of time to hold out in turn, -1 for rows to leave out (see `time_blocks`); None: the
        held-out columns are NaN.
    covariance_types
        Covariance types to try.
    random_state
        Seed of the starts, the same for every candidate.
    times
        (n_rows,) times of the rows, for the effective size; None: `bic_effective` is NaN.
    starts
        Starts of each candidate, of which the likeliest is kept; their labels are compared for `stability` (1: NaN).
    estimator
        Mixture whose other parameters (tol, reg_covar, max_iter, init_params) are used.

    Returns
    -------
    pandas.DataFrame
        Columns: covariance_type, n_components, n_parameters; log_likelihood (per row); bic, aic, icl (bic plus twice
        the entropy of the posteriors); bic_effective = -2 (n_eff / n) log L + p ln n_eff; effective_size (the
        candidate's own; n_eff is the median over candidates, so that their values compare); held_out (log-likelihood
        per row of blocks not fitted) and its standard error over blocks; held_out_loss (against the best) and its
        standard error, block by block; stability (mean adjusted Rand index between
        starts); converged; note (why a fit failed). ``attrs["recommendation"]`` holds the fields of a `Recommendation`
        as a dict, ``attrs["effective_size"]`` n_eff, ``attrs["passes"]`` how often the rows were read.

    Raises
    ------
    MixtureError
        No candidate, labels or times that do not fit X, or no candidate could be fitted.
    """
    candidates = [(kind, int(k)) for kind in covariance_types for k in n_components]
    if not candidates or starts < 1:
        msg = f"select needs at least one candidate and one start, got {len(candidates)} and starts={starts}"
        raise MixtureError(msg)
    template = GaussianMixture() if estimator is None else estimator
    for kind, k in candidates:
        check_settings(template.get_params(deep=False) | {"n_components": k, "covariance_type": kind})
    X = hold_array(X) if is_lazy(X) else np.asarray(X)
    labels = None if blocks is None else _checked_labels(blocks)
    moments = None if times is None else np.asarray(times)
    with one_blas_thread():
        trial = Trial(X, labels, moments, template, check_random_state(random_state), starts)
        trial.run(candidates)
        rows, folds = trial.judge()
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    if table["log_likelihood"].isna().all():
        msg = f"No candidate could be fitted. The first failed with: {table['note'].iloc[0]}"
        raise MixtureError(msg)
    if moments is not None:
        n_effective = float(table["effective_size"].median())
        penalty = table["n_parameters"] * np.log(n_effective)
        table["bic_effective"] = -2.0 * n_effective * table["log_likelihood"] + penalty
        table.attrs["effective_size"] = n_effective
    _set_losses(table, folds)
    table.attrs["passes"] = trial.passes
    table.attrs["recommendation"] = asdict(_recommend(table, folds))
    return table


def _checked_labels(blocks: VectorLike) -> Index:
    """Return block labels as integers, with at least two blocks."""
    labels = np.asarray(blocks)
    if labels.ndim != 1 or labels.dtype.kind not in "iub":
        msg = f"blocks must be integer labels (n_rows,), got shape {labels.shape} of {labels.dtype}"
        raise MixtureError(msg)
    if (labels < -1).any():
        msg = f"blocks holds {labels.min()}: labels are 0, 1, ..., or -1 for a row that no block holds"
        raise MixtureError(msg)
    if len(np.unique(labels[labels >= 0])) < 2:
        msg = (
            "blocks must name at least two blocks (labels 0, 1, ...; -1 is left out): one is held out, the rest fitted"
        )
        raise MixtureError(msg)
    return labels.astype(np.int64)


def _set_losses(table: pd.DataFrame, folds: list[Float]) -> None:
    """Set what each candidate loses against the best held-out score, and its error, block by block."""
    if table["held_out"].isna().all():
        return
    best = folds[int(table["held_out"].argmax())]
    for i, fold in enumerate(folds):
        if len(fold) == len(best):
            difference = best - fold
            table.loc[i, "held_out_loss"] = float(table["held_out"].max() - table["held_out"].iloc[i])
            table.loc[i, "held_out_loss_error"] = float(difference.std(ddof=1) / np.sqrt(len(difference)))


def _recommend(table: pd.DataFrame, folds: list[Float]) -> Recommendation:
    """Choose by held-out blocks where there are any, else by the effective or the plain BIC."""
    held_out = table["held_out"].notna().any()
    if held_out:
        best = int(table["held_out"].argmax())
        chosen, why = _simplest_within_error(table, folds, best)
        criterion = "held_out"
    else:
        criterion = "bic_effective" if table["bic_effective"].notna().any() else "bic"
        best = chosen = int(table[criterion].argmin())
        why = f"lowest {criterion} ({table[criterion].iloc[best]:.6g})"
        if criterion == "bic":
            why += "; rows of a record are not independent and plain BIC then favours too many: give blocks of time"
    largest = int(table["n_components"].max())
    at_limit = bool(table["n_components"].iloc[best] == largest and largest > table["n_components"].min())
    if at_limit:
        why += f"; the best value lies at the largest number tried ({largest}): try more"
    choice = table.iloc[chosen]
    return Recommendation(int(choice["n_components"]), str(choice["covariance_type"]), criterion, at_limit, why)


def _simplest_within_error(table: pd.DataFrame, folds: list[Float], best: int) -> tuple[int, str]:
    """Return the candidate of fewest parameters whose held-out score is within one standard error of the best's.

    The error is that of the difference, block by block: blocks differ more from one another than candidates do.
    """
    usable = [i for i in range(len(table)) if len(folds[i]) == len(folds[best]) and len(folds[i])]
    top = f"{table['covariance_type'].iloc[best]}, {table['n_components'].iloc[best]} components"
    for i in sorted(usable, key=lambda i: (int(table["n_parameters"].iloc[i]), i)):
        if i == best:
            break
        difference = folds[best] - folds[i]
        error = float(difference.std(ddof=1) / np.sqrt(len(difference)))
        if 0.0 <= difference.mean() <= error:
            loss = f"{difference.mean():.4g} ± {error:.2g} per row"
            return i, f"fewest parameters within one standard error of the best held-out score ({top}; loses {loss})"
    return (
        best,
        f"highest held-out log-likelihood ({table['held_out'].iloc[best]:.6g} per row), and none simpler is near",
    )

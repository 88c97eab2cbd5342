"""How many components, and of which kind: every criterion in one table, and one recommendation with its reason.

Rows of a record follow one another and are not independent, so rows drawn at random do not test a mixture: the test is
whole blocks of time that were held out, with guard gaps between. The other criteria stand beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import check_random_state

from gravdask.errors import MixtureError
from gravdask.mixture import kernels
from gravdask.mixture.arrays import Float, Index, MatrixLike, Rows, Seed, VectorLike
from gravdask.mixture.blocks import hold_array, is_lazy, one_blas_thread, row_blocks
from gravdask.mixture.gaussian_mixture import GaussianMixture
from gravdask.mixture.parameters import count_parameters

_COLUMNS = (
    "covariance_type",
    "n_components",
    "n_parameters",
    "log_likelihood",
    "bic",
    "aic",
    "icl",
    "bic_effective",
    "effective_size",
    "held_out",
    "held_out_error",
    "stability",
    "converged",
    "note",
)


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


def time_blocks(times: VectorLike, n_blocks: int, guard: float = 0.0) -> Index:
    """Return labels of consecutive blocks of time, 0 to n_blocks - 1, with -1 for rows in the guard gaps between.

    Parameters
    ----------
    times
        (n_rows,) numbers in any order and unit (frame indices, nanoseconds); stations may share times.
    n_blocks
        Number of blocks, at least 2, of about equal numbers of distinct times.
    guard
        Least time between rows of different blocks, in the unit of `times`; at least the frames' reach.

    Raises
    ------
    MixtureError
        Fewer distinct times than blocks, or a guard that leaves a block empty.
    """
    values = np.asarray(times)
    distinct = np.unique(values)
    if n_blocks < 2 or len(distinct) < n_blocks:
        msg = f"{len(distinct)} distinct times cannot make n_blocks={n_blocks} blocks; give 2 or more, and more times"
        raise MixtureError(msg)
    firsts = distinct[[len(distinct) * k // n_blocks for k in range(n_blocks)]]
    labels = np.searchsorted(firsts, values, side="right") - 1
    # The rows just after each boundary are the gap: what precedes a block may lie as near as one step to it.
    labels[(labels > 0) & (values - firsts[labels] < guard)] = -1
    empty = sorted(set(range(n_blocks)) - set(np.unique(labels).tolist()))
    if empty:
        msg = f"A guard of {guard} leaves no rows in block(s) {empty}: choose a shorter guard or fewer blocks"
        raise MixtureError(msg)
    return labels.astype(np.int64)


def effective_size(scores: VectorLike, times: VectorLike) -> float:
    """Return the effective number of independent times behind a series of scores.

    Scores of one time (several stations) are averaged, so stations never multiply the size. n_eff = m / τ with m the
    number of distinct times and τ = 1 + 2 Σ ρ(lag) up to the first lag where the autocorrelation ρ is not positive
    (gaps are left out of the sums). Times need a common step.

    Parameters
    ----------
    scores
        (n_rows,) log-likelihoods.
    times
        (n_rows,) numbers on a regular grid, gaps allowed.
    """
    distinct, place = np.unique(np.asarray(times), return_inverse=True)
    if len(distinct) < 3:
        return float(len(distinct))
    series = np.bincount(place, weights=np.asarray(scores)) / np.bincount(place)
    series -= series.mean()
    position = np.rint((distinct - distinct[0]) / np.diff(distinct).min()).astype(np.int64)
    width = 2 * (int(position[-1]) + 1)
    values, mask = np.zeros(width), np.zeros(width)
    values[position], mask[position] = series, 1.0
    lags = len(values) // 2
    power = np.fft.irfft(np.abs(np.fft.rfft(values)) ** 2, width)[:lags]
    pairs = np.rint(np.fft.irfft(np.abs(np.fft.rfft(mask)) ** 2, width)[:lags])
    variance = power[0] / pairs[0]
    if variance <= 0.0:
        return float(len(distinct))
    correlation = np.where(pairs > 0, power / np.maximum(pairs, 1.0), 0.0)[1:] / variance
    stop = int(np.argmax(correlation <= 0.0)) if (correlation <= 0.0).any() else len(correlation)
    return float(len(distinct) / max(1.0, 1.0 + 2.0 * correlation[:stop].sum()))


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
        Starts whose labels are compared for `stability`; 1: NaN.
    estimator
        Mixture whose other parameters (tol, reg_covar, max_iter, ...) are used.

    Returns
    -------
    pandas.DataFrame
        Columns: covariance_type, n_components, n_parameters; log_likelihood (per row); bic, aic, icl (bic plus twice
        the entropy of the posteriors); bic_effective = -2 (n_eff / n) log L + p ln n_eff; effective_size (the
        candidate's own; n_eff is the median over candidates, so that their values compare); held_out (log-likelihood
        per row of blocks not fitted) and its standard error over blocks; stability (mean adjusted Rand index between
        starts); converged; note (why a fit failed). ``attrs["recommendation"]`` holds the fields of a `Recommendation`
        as a dict, ``attrs["effective_size"]`` n_eff.

    Raises
    ------
    MixtureError
        No candidate, labels or times that do not fit X, or no candidate could be fitted.
    """
    candidates = [(kind, int(k)) for kind in covariance_types for k in n_components]
    if not candidates or starts < 1:
        msg = f"select needs at least one candidate and one start, got {len(candidates)} and starts={starts}"
        raise MixtureError(msg)
    X = hold_array(X) if is_lazy(X) else np.asarray(X)
    n_rows = sum(row_blocks(X).lengths())
    labels = None if blocks is None else _checked_labels(blocks)
    moments = None if times is None else np.asarray(times)
    for name, given in (("blocks", labels), ("times", moments)):
        if given is not None and given.shape != (n_rows,):
            msg = f"{name} has shape {given.shape}, but X has {n_rows} rows: one value per row is needed"
            raise MixtureError(msg)
    seeds = [int(seed) for seed in check_random_state(random_state).randint(np.iinfo(np.int32).max, size=starts)]
    template = GaussianMixture() if estimator is None else estimator
    rows, folds = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the column `converged` says it
        for kind, k in candidates:
            model = clone(template).set_params(n_components=k, covariance_type=kind)
            row, fold = _evaluate(model, X, labels, moments, seeds)
            rows.append(row)
            folds.append(fold)
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    if table["log_likelihood"].isna().all():
        msg = f"No candidate could be fitted. The first failed with: {table['note'].iloc[0]}"
        raise MixtureError(msg)
    if moments is not None:
        n_effective = float(table["effective_size"].median())
        penalty = table["n_parameters"] * np.log(n_effective)
        table["bic_effective"] = -2.0 * n_effective * table["log_likelihood"] + penalty
        table.attrs["effective_size"] = n_effective
    table.attrs["recommendation"] = asdict(_recommend(table, folds))
    return table


def _checked_labels(blocks: VectorLike) -> Index:
    """Return block labels as integers, with at least two blocks."""
    labels = np.asarray(blocks)
    if labels.ndim != 1 or labels.dtype.kind not in "iub":
        msg = f"blocks must be integer labels (n_rows,), got shape {labels.shape} of {labels.dtype}"
        raise MixtureError(msg)
    if len(np.unique(labels[labels >= 0])) < 2:
        msg = (
            "blocks must name at least two blocks (labels 0, 1, ...; -1 is left out): one is held out, the rest fitted"
        )
        raise MixtureError(msg)
    return labels.astype(np.int64)


def _fit(model: GaussianMixture, X: MatrixLike, seed: int, weights: Float | None = None) -> GaussianMixture:
    """Return a fitted copy of a mixture with another seed."""
    copy: GaussianMixture = clone(model).set_params(random_state=seed)
    return copy.fit(X, sample_weight=weights)


def _sums(rows: Rows, weights: Float | None, density: kernels.Density) -> Float:
    """Return (Σ w log p, Σ w, Σ w entropy of the posteriors) of one block."""
    weight = np.ones(len(rows)) if weights is None else weights
    share = kernels.responsibilities(rows, density)
    entropy = -np.sum(share * np.log(np.where(share > 0.0, share, 1.0)), axis=1)
    return np.array([weight @ kernels.log_likelihoods(rows, density), weight.sum(), weight @ entropy])


def _totals(model: GaussianMixture, X: MatrixLike, weights: Float | None = None) -> Float:
    """Return `_sums` over all rows."""
    with one_blas_thread():
        return row_blocks(X, weights).reduce(_sums, model._parameters().density())


def _evaluate(
    model: GaussianMixture, X: MatrixLike, labels: Index | None, times: VectorLike, seeds: list[int]
) -> tuple[dict[str, Any], Float]:
    """Return a candidate's row of the table, and its held-out log-likelihood per row for each block."""
    kind, k = model.covariance_type, model.n_components
    row: dict[str, Any] = dict.fromkeys(_COLUMNS, np.nan)
    row |= {"covariance_type": kind, "n_components": k, "converged": False, "note": ""}
    row["n_parameters"] = count_parameters(k, X.shape[1], kind)
    fold = np.zeros(0)
    try:
        fitted = _fit(model, X, seeds[0])
        total, n_rows, entropy = _totals(fitted, X)
        bic = -2.0 * total + row["n_parameters"] * np.log(n_rows)
        row |= {
            "log_likelihood": total / n_rows,
            "bic": bic,
            "aic": -2.0 * total + 2.0 * row["n_parameters"],
            "icl": bic + 2.0 * entropy,
            "converged": fitted.converged_,
        }
        if times is not None:
            row["effective_size"] = effective_size(fitted.score_samples(X), times)
        row["stability"] = _stability(fitted, model, X, seeds[1:])
        if labels is not None:
            fold, weight = _held_out(model, X, labels, seeds[0])
            row["held_out"] = float(fold @ weight / weight.sum())
            row["held_out_error"] = float(fold.std(ddof=1) / np.sqrt(len(fold)))
    except MixtureError as error:
        row["note"] = str(error)
    return row, fold


def _stability(fitted: GaussianMixture, model: GaussianMixture, X: MatrixLike, seeds: list[int]) -> float:
    """Return the mean adjusted Rand index between a fit's labels and those of other starts."""
    if not seeds:
        return float("nan")
    mine = np.asarray(fitted.predict(X))
    others = [np.asarray(_fit(model, X, seed).predict(X)) for seed in seeds]
    return float(np.mean([adjusted_rand_score(mine, other) for other in others]))


def _held_out(model: GaussianMixture, X: MatrixLike, labels: Index, seed: int) -> tuple[Float, Float]:
    """Return, for each block, the log-likelihood per row under a fit to the other blocks, and its number of rows."""
    scores, sizes = [], []
    for block in np.unique(labels[labels >= 0]):
        test = labels == block
        fitted = _fit(model, X, seed, ((labels >= 0) & ~test).astype(np.float64))
        total, n_rows, _ = _totals(fitted, X, test.astype(np.float64))
        scores.append(total / n_rows)
        sizes.append(n_rows)
    return np.array(scores), np.array(sizes)


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

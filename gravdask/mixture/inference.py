"""What a fitted mixture answers: labels, posteriors, likelihoods, criteria, samples."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from gravdask.errors import MixtureError
from gravdask.mixture import kernels
from gravdask.mixture.arrays import Float, Index, MatrixLike, Rows, Seed, VectorLike
from gravdask.mixture.blocks import check_lazy, complete_mask, is_lazy, map_rows, one_blas_thread, row_blocks
from gravdask.mixture.kernels import Density
from gravdask.mixture.parameters import GaussianParameters, count_parameters
from gravdask.mixture.statistics import SufficientStatistics
from gravdask.mixture.survey import refuse_bad_rows
from gravdask.mixture.validation import refuse_no_matrix


class FittedMixture(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """The part of `GaussianMixture` that only reads the fitted attributes."""

    covariance_type: str
    missing: str
    random_state: Seed
    n_features_in_: int
    weights_: Float
    means_: Float
    covariances_: Float
    precisions_: Float
    precisions_cholesky_: Float
    statistics_: SufficientStatistics | None
    converged_: bool
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]
    reseeded_: list[tuple[int, int]]
    n_skipped_: int

    @property
    def classes_(self) -> Index:
        """Labels of the components, (n_components,): dask-ml asks for them before it wraps `predict_proba`."""
        check_is_fitted(self)
        return np.arange(len(self.weights_), dtype=np.int64)

    def predict(self, X: MatrixLike) -> VectorLike:
        """Return the most probable component of each row, (n_rows,) int64; a dask array for a dask array.

        Rows with NaN or infinity are refused or, with ``missing="skip"``, get -1.
        """
        return self._per_row(X, kernels.labels, np.int64)

    def predict_proba(self, X: MatrixLike) -> MatrixLike:
        """Return the posterior probability of each component, (n_rows, n_components) float64; lazy for a dask array.

        Rows with NaN or infinity are refused or, with ``missing="skip"``, get NaN.
        """
        return self._per_row(X, kernels.responsibilities, np.float64, width=True)

    def score_samples(self, X: MatrixLike) -> VectorLike:
        """Return the log-likelihood of each row, (n_rows,) float64; a dask array for a dask array.

        Rows with NaN or infinity are refused or, with ``missing="skip"``, get NaN.
        """
        return self._per_row(X, kernels.log_likelihoods, np.float64)

    def score(self, X: MatrixLike, y: VectorLike = None) -> float:
        """Return the mean log-likelihood of the rows, without those that are skipped; `y` is ignored."""
        total, n_rows = self._total_log_likelihood(X)
        return total / n_rows

    def bic(self, X: MatrixLike) -> float:
        """Return the Bayesian information criterion, -2 log L + p ln n (lower is better); n counts no skipped row."""
        total, n_rows = self._total_log_likelihood(X)
        return -2.0 * total + self._n_parameters() * math.log(n_rows)

    def aic(self, X: MatrixLike) -> float:
        """Return Akaike's information criterion, -2 log L + 2 p (lower is better)."""
        return -2.0 * self._total_log_likelihood(X)[0] + 2.0 * self._n_parameters()

    def sample(self, n_samples: int = 1) -> tuple[Float, Index]:
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples
            Number of rows, at least 1.

        Returns
        -------
        rows : (n_samples, n_features) float64
        components : (n_samples,) int64, in ascending order

        Raises
        ------
        MixtureError
            `n_samples` is below 1.
        """
        check_is_fitted(self)
        if n_samples < 1:
            msg = f"Invalid value for n_samples: {n_samples}. The sampling requires at least one sample"
            raise MixtureError(msg)
        generator = check_random_state(self.random_state)
        counts = generator.multinomial(n_samples, self.weights_)
        parts = []
        for k, count in enumerate(counts):
            if self.covariance_type in ("full", "tied"):
                covariance = self.covariances_ if self.covariance_type == "tied" else self.covariances_[k]
                parts.append(generator.multivariate_normal(self.means_[k], covariance, int(count)))
            else:
                noise = generator.standard_normal((int(count), self.n_features_in_))
                parts.append(self.means_[k] + noise * np.sqrt(self.covariances_[k]))
        return np.vstack(parts), np.repeat(np.arange(len(counts), dtype=np.int64), counts)

    # Inside

    def __sklearn_is_fitted__(self) -> bool:
        """Say whether there is a mixture: a fit that failed after looking at X has left none."""
        return hasattr(self, "means_")

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn whether NaN may be among the rows."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._skips()
        return tags

    def _skips(self) -> bool:
        """Return whether rows with NaN or infinity are left out rather than refused."""
        return self.missing == "skip"

    def _checked(self, X: MatrixLike, *, reset: bool) -> MatrixLike:
        """Return X as a two-dimensional array of the features that the mixture knows."""
        if not is_lazy(X):
            least = 2 if reset else 1
            kinds = [np.float64, np.float32]
            X = refuse_no_matrix(X)
            try:
                return validate_data(
                    self, X, reset=reset, dtype=kinds, ensure_all_finite=False, ensure_min_samples=least
                )
            except ValueError as error:
                raise MixtureError(str(error)) from error
        check_lazy(X)
        if reset:
            self.n_features_in_ = X.shape[1]
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        elif X.shape[1] != self.n_features_in_:
            msg = (
                f"X has {X.shape[1]} features, but GaussianMixture is expecting {self.n_features_in_} features as input"
            )
            raise MixtureError(msg)
        return X

    def _adopt(self, parameters: GaussianParameters, statistics: SufficientStatistics | None) -> None:
        """Set the fitted attributes that hold the mixture itself."""
        self.weights_ = parameters.weights
        self.means_ = parameters.means
        self.covariances_ = parameters.covariances
        self.precisions_cholesky_ = parameters.precisions_cholesky
        self.precisions_ = parameters.precisions()
        self.statistics_ = statistics

    def _parameters(self) -> GaussianParameters:
        """Return the fitted mixture as a value."""
        return GaussianParameters(
            self.covariance_type, self.weights_, self.means_, self.covariances_, self.precisions_cholesky_
        )

    def _own_statistics(self, purpose: str) -> SufficientStatistics:
        """Return the sufficient statistics, or say that there are none."""
        if self.statistics_ is None:
            msg = (
                f"{purpose} needs sufficient statistics; this mixture has none (it was fitted with max_iter=0, or made "
                "from another one's components): fit it to rows first"
            )
            raise MixtureError(msg)
        return self.statistics_

    def _n_parameters(self) -> int:
        """Return the number of free parameters."""
        return count_parameters(len(self.weights_), self.n_features_in_, self.covariance_type)

    def _per_row(self, X: MatrixLike, kernel: Callable[..., Rows], dtype: type, *, width: bool = False) -> MatrixLike:
        """Apply a kernel to the rows: at once to an array in memory, lazily to the chunks of a dask array."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        density = self._parameters().density()
        skip = self._skips()
        if not is_lazy(X):
            return _answer(X, kernel, density, skip, dtype)
        return map_rows(
            X, _answer, kernel, density, skip, dtype, dtype=dtype, width=density.n_components if width else None
        )

    def _total_log_likelihood(self, X: MatrixLike) -> tuple[float, int]:
        """Return the sum of the rows' log-likelihoods and their number."""
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        with one_blas_thread():
            total, n_rows = row_blocks(X).reduce(_likelihood_and_rows, self._parameters().density(), self._skips())
        if not n_rows:
            msg = "X has no row without NaN or inf: there is nothing to score"
            raise MixtureError(msg)
        return float(total), int(n_rows)


def _answer(rows: Rows, kernel: Callable[..., Rows], density: Density, skip: bool, dtype: type) -> Rows:
    """Run a kernel on complete rows; others are refused, or answered by -1 or NaN."""
    if not skip:
        refuse_bad_rows(rows)
        return kernel(rows, density)
    mask = complete_mask(rows)
    if mask.all():
        return kernel(rows, density)
    found = kernel(rows[mask], density)
    answer = np.full((len(rows), *found.shape[1:]), -1 if dtype is np.int64 else np.nan, dtype=dtype)
    answer[mask] = found
    return answer


def _likelihood_and_rows(rows: Rows, weights: Float | None, density: Density, skip: bool) -> Float:
    """Return (sum of log-likelihoods, number of rows) of one block, of its complete rows if the others are skipped."""
    if skip:
        rows = rows[complete_mask(rows)]
    else:
        refuse_bad_rows(rows)
    return np.array([kernels.log_likelihoods(rows, density).sum(), float(len(rows))])

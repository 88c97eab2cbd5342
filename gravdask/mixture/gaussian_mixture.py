"""The estimator: scikit-learn's contract over arrays of any size."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from os import PathLike
from typing import Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from gravdask.errors import MixtureError
from gravdask.mixture import incremental, persistence
from gravdask.mixture.arrays import Float, MatrixLike, Seed, StartLike, VectorLike
from gravdask.mixture.blocks import RowBlocks, one_blas_thread, row_blocks
from gravdask.mixture.em import EMRun, EMSettings, run_em
from gravdask.mixture.inference import FittedMixture
from gravdask.mixture.initialise import Start, draw_sample, start_parameters
from gravdask.mixture.matching import ComponentMatch, match_components
from gravdask.mixture.parameters import (
    GaussianParameters,
    check_means,
    check_precisions,
    check_weights,
    covariance_shape,
)
from gravdask.mixture.survey import Survey, survey_block
from gravdask.mixture.validation import check_settings


class GaussianMixture(FittedMixture):
    """Gaussian mixture, fitted by exact EM on arrays in memory or in dask chunks.

    The E-step is one task per block of rows and iteration; what travels is the mixture to the blocks and their sums
    back. From the same start it is scikit-learn's EM to rounding (Dempster, Laird and Rubin 1977).
    The same chunks give the same bits on any scheduler and number of workers; other chunks agree to about 1e-12. A
    component whose count falls below n_features + 1 starts again from the least likely rows.

    Parameters
    ----------
    n_components
        Number of components.
    covariance_type
        "full" (one matrix each), "tied" (one for all), "diag" or "spherical" (one variance each).
    tol
        Converged when the mean log-likelihood changes by less than this.
    reg_covar
        Added to the diagonal of every covariance, in squared units of the features.
    max_iter
        EM iterations at most.
    n_init
        Starts; the one with the largest lower bound is kept.
    init_params
        "kmeans", "k-means++", "random" or "random_from_data", on a seeded sample of at most 65,536 rows.
    weights_init, means_init, precisions_init
        Start values, (n_components,), (n_components, n_features) and shaped as the covariances; None: by `init_params`.
    random_state
        Seed of the start and of `sample`: None, int or numpy RandomState.
    warm_start
        Continue from the last fit instead of starting anew.

    Attributes
    ----------
    weights_ : (n_components,)
    means_ : (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_
        full (n_components, n_features, n_features), tied (n_features, n_features), diag (n_components, n_features),
        spherical (n_components,). The factors are upper triangular, U Uᵀ = precision.
    converged_ : bool
    n_iter_ : int
        Iterations of the best start.
    lower_bound_ : float
        Mean log-likelihood at the last E-step.
    lower_bounds_ : list of float
        The same at every iteration.
    reseeded_ : list of (int, int)
        (iteration, component) of every component that was started again.
    statistics_ : SufficientStatistics or None
        The sums that made the parameters; None where no iteration was done.
    n_features_in_ : int
    feature_names_in_ : (n_features,)
        Only where X had column names.

    Notes
    -----
    Rows with NaN are refused. Sums, parameters and results are float64 for rows of any real type.
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: StartLike = None,
        means_init: StartLike = None,
        precisions_init: StartLike = None,
        random_state: Seed = None,
        warm_start: bool = False,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start

    # Fitting

    def fit(self, X: MatrixLike, y: VectorLike = None, sample_weight: VectorLike = None) -> Self:
        """Estimate the mixture by EM.

        Parameters
        ----------
        X
            ndarray or dask array, (n_rows, n_features), float32, float64 or integer, without NaN. Dask arrays may have
            any chunks, of unknown size or empty; each row chunk is one block.
        y
            Ignored; there for scikit-learn's pipelines.
        sample_weight
            (n_rows,) as ndarray or dask array, a number, or None for ones. A weight of 2 is the row twice.

        Raises
        ------
        MixtureError
            Parameters outside their limits, rows with NaN, fewer rows than components, or an ill-defined covariance.
        """
        check_settings(self.get_params(deep=False))
        X = self._checked(X, reset=True)
        with one_blas_thread():
            blocks, survey, sizes = self._survey(X, sample_weight)
            best = self._best_run(blocks, survey.total / survey.weight, sizes)
        self._adopt(best.parameters, best.statistics)
        self.converged_ = best.converged
        self.n_iter_ = len(best.lower_bounds)
        self.lower_bound_ = best.lower_bound
        self.lower_bounds_ = list(best.lower_bounds)
        self.reseeded_ = list(best.reseeded)
        self._warn(best)
        return self

    def fit_predict(self, X: MatrixLike, y: VectorLike = None, sample_weight: VectorLike = None) -> VectorLike:
        """Fit and return the component of each row: the same as `fit(X).predict(X)`."""
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def partial_fit(
        self,
        X: MatrixLike,
        y: VectorLike = None,
        sample_weight: VectorLike = None,
        *,
        alpha: float = 0.7,
        t0: float = 2.0,
    ) -> Self:
        """Take new rows into the mixture by one step of stepwise EM (Cappé and Moulines 2009).

        The running statistics move by η = (t + t0)^-α towards those of the new rows, and one M-step follows. t counts
        the rows seen, the new ones included, in batches of the present size; α = 1 and t0 = 0 weigh every row equally.
        A mixture that is not fitted yet starts from these rows.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`; X is one batch, whatever its chunks.
        alpha
            Decay of the step, in (0.5, 1].
        t0
            Delay of the step, not below 0.

        Raises
        ------
        MixtureError
            As in `fit`; also where alpha or t0 lie outside their limits, or the mixture has no statistics.
        """
        check_settings(self.get_params(deep=False))
        fitted = hasattr(self, "means_")
        X = self._checked(X, reset=not fitted)
        with one_blas_thread():
            blocks, survey, sizes = self._survey(X, sample_weight, least_rows=1 if fitted else self.n_components)
            if fitted:
                before, current = self._own_statistics("partial_fit"), self._parameters()
            else:
                before, centre = None, survey.total / survey.weight
                current = self._starts(blocks, centre, sizes)(check_random_state(self.random_state))
            statistics = incremental.step(blocks, current, before, survey, alpha=alpha, t0=t0)
        self._adopt(statistics.finalize(self.reg_covar), statistics)
        self.lower_bound_ = statistics.log_likelihood / statistics.weight
        self.lower_bounds_ = [*getattr(self, "lower_bounds_", []), self.lower_bound_]
        self.n_iter_ = getattr(self, "n_iter_", 0) + 1
        self.converged_ = False
        self.reseeded_ = getattr(self, "reseeded_", [])
        return self

    def merge(self, other: GaussianMixture) -> GaussianMixture:
        """Return a new mixture for the rows of two fits, from their statistics alone.

        The other's components are matched to this one's (see `match`), the sums added, and one M-step done. It is exact
        where both statistics come from the same mixture; else it is a start for a warm fit.

        Raises
        ------
        MixtureError
            The two differ in covariance type, components or features, or one has no statistics.
        """
        check_is_fitted(self)
        check_is_fitted(other)
        mine, theirs = self._own_statistics("merge"), other._own_statistics("merge")
        statistics = incremental.merged(mine, self._parameters(), theirs, other._parameters())
        merged = GaussianMixture(**self.get_params(deep=False))
        merged.n_features_in_ = self.n_features_in_
        merged._adopt(statistics.finalize(self.reg_covar), statistics)
        merged.converged_, merged.n_iter_, merged.reseeded_ = False, 0, []
        merged.lower_bound_, merged.lower_bounds_ = statistics.log_likelihood / statistics.weight, []
        return merged

    def match(self, old: GaussianMixture) -> ComponentMatch:
        """Reorder the components in place so that they keep the places of an older mixture's.

        Components are paired by the assignment of least total Bhattacharyya distance; what has no partner comes last.
        `predict` speaks of the new order from then on.

        Parameters
        ----------
        old
            A fitted mixture with the same features.

        Returns
        -------
        ComponentMatch
            The permutation applied (position i holds former component permutation[i]), the old component at each place
            (-1 for none) and the distances.
        """
        check_is_fitted(self)
        check_is_fitted(old)
        found = match_components(self._parameters(), old._parameters())
        statistics = None if self.statistics_ is None else self.statistics_.permuted(found.permutation)
        place = {int(k): i for i, k in enumerate(found.permutation)}
        self.reseeded_ = [(iteration, place[component]) for iteration, component in self.reseeded_]
        self._adopt(self._parameters().permuted(found.permutation), statistics)
        return found

    # Keeping

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted mixture as JSON (no pickle); every float keeps its exact value.

        Raises
        ------
        MixtureError
            A constructor parameter has no JSON form (a RandomState as seed).
        """
        check_is_fitted(self)
        persistence.save(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> GaussianMixture:
        """Read what `save` wrote; the mixture predicts the same bits.

        Raises
        ------
        ModelError
            The file is missing, damaged or of another format.
        """
        return persistence.load(cls(), path)

    # Inside

    def _survey(
        self, X: MatrixLike, sample_weight: VectorLike, least_rows: int | None = None
    ) -> tuple[RowBlocks, Survey, list[int]]:
        """Return the blocks, what is known of all rows, and each block's number of rows."""
        blocks = row_blocks(X, sample_weight)
        parts: list[Survey] = blocks.map(survey_block)
        whole = parts[0]
        for part in parts[1:]:
            whole = whole + part
        whole.check(self.n_components if least_rows is None else least_rows)
        return blocks.hold(whole.rows), whole, [part.rows for part in parts]

    def _starts(
        self, blocks: RowBlocks, centre: Float, sizes: list[int]
    ) -> Callable[[np.random.RandomState], GaussianParameters]:
        """Return a function from the generator to start parameters; the sample is drawn at its first call."""
        k, d, kind = self.n_components, blocks.n_features, self.covariance_type
        start = Start(
            kind,
            k,
            self.init_params,
            self.reg_covar,
            None if self.weights_init is None else check_weights(self.weights_init, k),
            None if self.means_init is None else check_means(self.means_init, k, d),
            None if self.precisions_init is None else check_precisions(self.precisions_init, kind, k, d),
        )
        samples: list[tuple[Float, Float | None]] = []

        def make(generator: np.random.RandomState) -> GaussianParameters:
            if start.is_given:
                return start_parameters(start, None, centre, generator)
            if not samples:
                samples.append(draw_sample(blocks, sizes, generator))
            return start_parameters(start, samples[0], centre, generator)

        return make

    def _best_run(self, blocks: RowBlocks, centre: Float, sizes: list[int]) -> EMRun:
        """Run EM from every start and return the run of the largest lower bound."""
        settings = EMSettings(self.tol, self.reg_covar, self.max_iter)
        if self.warm_start and hasattr(self, "means_"):
            return run_em(blocks, self._warm_parameters(blocks), centre, settings, previous=self.lower_bound_)
        generator = check_random_state(self.random_state)
        starts = self._starts(blocks, centre, sizes)
        best = run_em(blocks, starts(generator), centre, settings)
        for _ in range(1, self.n_init):
            run = run_em(blocks, starts(generator), centre, settings)
            if run.lower_bound > best.lower_bound:
                best = run
        return best

    def _warm_parameters(self, blocks: RowBlocks) -> GaussianParameters:
        """Return the last fit's mixture, or say why it is no start for this one."""
        asked = covariance_shape(self.covariance_type, self.n_components, blocks.n_features)
        if self.means_.shape != (self.n_components, blocks.n_features) or self.covariances_.shape != asked:
            msg = (
                f"warm_start goes on from a fit of {len(self.means_)} components, {self.means_.shape[1]} features and "
                f"covariances {self.covariances_.shape}, but n_components={self.n_components}, X has "
                f"{blocks.n_features} features and {self.covariance_type!r} covariances are {asked}. "
                "Set warm_start=False to start anew"
            )
            raise MixtureError(msg)
        return self._parameters()

    def _warn(self, run: EMRun) -> None:
        """Say what went less than well."""
        if run.reseeded:
            shown = [f"{component} (iteration {iteration})" for iteration, component in run.reseeded[:3]]
            more = len(run.reseeded) - len(shown)
            places = ", ".join(shown) + (f" and {more} more times" if more else "")
            warnings.warn(
                f"Components collapsed below {self.n_features_in_ + 1} rows and were started again from the least "
                f"likely rows: {places}. Fewer components may describe the rows as well",
                ConvergenceWarning,
                stacklevel=3,
            )
        if not run.converged and self.max_iter > 0:
            warnings.warn(
                f"Best performing initialization did not converge in max_iter={self.max_iter} iterations. Try "
                "different init parameters, or increase max_iter, tol, or check for degenerate data.",
                ConvergenceWarning,
                stacklevel=3,
            )

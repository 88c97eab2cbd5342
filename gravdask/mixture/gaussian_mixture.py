"""The estimator: scikit-learn's contract over arrays of any size."""

from __future__ import annotations

import copy
import warnings
from os import PathLike
from typing import Self

from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from gravdask.mixture import incremental, persistence
from gravdask.mixture.arrays import MatrixLike, Seed, StartLike, VectorLike
from gravdask.mixture.blocks import one_blas_thread
from gravdask.mixture.fitting import best_run, explained, prepare, shortcomings, start_labels, starter
from gravdask.mixture.inference import FittedMixture
from gravdask.mixture.matching import ComponentMatch, match_components
from gravdask.mixture.parameters import GaussianParameters
from gravdask.mixture.starts import ModelLike
from gravdask.mixture.statistics import SufficientStatistics
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
    labels_init
        Start from labels: (n_rows,) integers, 0 to n_components - 1 or -1 for no opinion, as ndarray or dask array. One
        M-step over all rows makes the start, each row wholly of its component; `init_params` is then not used.
    model_init
        Start from an earlier mixture: fitted (scikit-learn's too), or the path of a saved one. Of another covariance
        type, its covariances are averaged or cut down as an M-step on its rows would. Start values replace those of
        labels or a model; a `warm_start` goes before all.
    missing
        Rows with NaN or infinity: "error" refuses them; "skip" leaves them out of every sum, and gives them the label
        -1 and NaN as posterior and log-likelihood.

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
    n_skipped_ : int
        Rows with NaN or infinity that were left out, of the last `fit` and every `partial_fit` since.
    n_features_in_ : int
    feature_names_in_ : (n_features,)
        Only where X had column names.

    Notes
    -----
    Sums, parameters and results are float64 for rows of any real type. `clone` keeps a fitted `model_init` fitted.
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
        labels_init: VectorLike = None,
        model_init: ModelLike = None,
        missing: str = "error",
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
        self.labels_init = labels_init
        self.model_init = model_init
        self.missing = missing

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy; the model it starts from stays fitted, unlike an estimator that is to be fitted."""
        twin: Self = super().__sklearn_clone__()
        twin.model_init = copy.deepcopy(self.model_init)
        return twin

    # Fitting

    def fit(
        self,
        X: MatrixLike,
        y: VectorLike = None,
        sample_weight: VectorLike = None,
        groups: VectorLike = None,
    ) -> Self:
        """Estimate the mixture by EM.

        Parameters
        ----------
        X
            ndarray or dask array, (n_rows, n_features), float32, float64 or integer. Dask arrays may have
            any chunks, of unknown size or empty; each row chunk is one block.
        y
            Ignored; there for scikit-learn's pipelines.
        sample_weight
            (n_rows,) as ndarray or dask array, a number, or None for ones. A weight of 2 is the row twice.
        groups
            (n_rows,) strata, say station and month: integers, words or dates, as ndarray or dask array. The sample that
            the start is made from takes the same share of each, whatever the chunks. None: one stratum.

        Raises
        ------
        MixtureError
            Parameters outside their limits, rows with NaN, fewer rows than components, or an ill-defined covariance.
        """
        check_settings(self.get_params(deep=False))
        X = self._checked(X, reset=True)
        warm = self.warm_start and hasattr(self, "means_")
        labels = None if warm else start_labels(self)
        with one_blas_thread():
            prepared = prepare(
                X, sample_weight, least_rows=self.n_components, skip=self._skips(), groups=groups, labels=labels
            )
            best = best_run(self, prepared)
        self._adopt(best.parameters, best.statistics)
        self.n_skipped_ = prepared.survey.bad_rows
        self.converged_ = best.converged
        self.n_iter_ = len(best.lower_bounds)
        self.lower_bound_ = best.lower_bound
        self.lower_bounds_ = list(best.lower_bounds)
        self.reseeded_ = list(best.reseeded)
        for shortcoming in shortcomings(best, self.n_features_in_, self.max_iter):
            warnings.warn(shortcoming, ConvergenceWarning, stacklevel=2)
        return self

    def fit_predict(
        self,
        X: MatrixLike,
        y: VectorLike = None,
        sample_weight: VectorLike = None,
        groups: VectorLike = None,
    ) -> VectorLike:
        """Fit and return the component of each row: the same as `fit(X).predict(X)`."""
        return self.fit(X, sample_weight=sample_weight, groups=groups).predict(X)

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
        labels = None if fitted else start_labels(self)
        before = self._own_statistics("partial_fit") if fitted else None

        with one_blas_thread():
            least = 1 if fitted else self.n_components
            prepared = prepare(X, sample_weight, least_rows=least, skip=self._skips(), labels=labels)

            def step() -> tuple[GaussianParameters, SufficientStatistics]:
                current = (
                    self._parameters() if fitted else starter(self, prepared)(check_random_state(self.random_state))
                )
                found = incremental.step(prepared.blocks, current, before, prepared.survey, alpha=alpha, t0=t0)
                return found.finalize(self.reg_covar), found

            parameters, statistics = step() if fitted else explained(step, self, prepared)
        self._adopt(parameters, statistics)
        self.n_skipped_ = getattr(self, "n_skipped_", 0) + prepared.survey.bad_rows
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
        merged.n_skipped_ = self.n_skipped_ + other.n_skipped_
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
            A constructor parameter has no JSON form (a RandomState as seed, lazy labels as start).
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

"""The mixture as one step among others: scikit-learn's and dask-ml's."""

from __future__ import annotations

import warnings

import dask.array as da
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as Reference
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gravdask.mixture import GaussianMixture

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from dask_ml.preprocessing import StandardScaler as DaskScaler
    from dask_ml.wrappers import Incremental, ParallelPostFit


def test_a_pipeline_of_scikit_learn(clusters: np.ndarray) -> None:
    options = {"random_state": 0, "max_iter": 300, "tol": 1e-6}
    pipeline = make_pipeline(StandardScaler(), PCA(3), GaussianMixture(3, **options)).fit(clusters)
    reference = make_pipeline(StandardScaler(), PCA(3), Reference(3, **options)).fit(clusters)
    np.testing.assert_array_equal(pipeline.predict(clusters), reference.predict(clusters))
    np.testing.assert_allclose(pipeline.predict_proba(clusters), reference.predict_proba(clusters), atol=1e-8)
    np.testing.assert_allclose(pipeline.score_samples(clusters), reference.score_samples(clusters), rtol=1e-8)
    assert pipeline.score(clusters) == pytest.approx(reference.score(clusters), rel=1e-10)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, 2000)
    step = {"gaussianmixture__sample_weight": weights, "gaussianmixture__groups": np.arange(2000) // 500}
    weighted = clone(pipeline).fit(clusters, **step)
    alone = GaussianMixture(3, **options).fit(pipeline[:-1].transform(clusters), sample_weight=weights)
    np.testing.assert_array_equal(weighted[-1].means_, alone.means_)


def test_a_clone_of_a_pipeline_keeps_the_model_it_starts_from(clusters: np.ndarray) -> None:
    scaled = StandardScaler().fit_transform(clusters)
    old = GaussianMixture(3, random_state=0, max_iter=300).fit(scaled)
    pipeline = clone(make_pipeline(StandardScaler(), GaussianMixture(3, model_init=old, max_iter=0)))
    np.testing.assert_array_equal(pipeline.fit(clusters)[-1].means_, old.means_)
    assert pipeline.get_params()["gaussianmixture__model_init__random_state"] == 0


def test_a_search_over_parameters(clusters: np.ndarray) -> None:
    search = GridSearchCV(
        GaussianMixture(random_state=0, max_iter=300), {"n_components": [1, 3], "covariance_type": ["full", "diag"]}
    )
    search.fit(clusters)
    assert search.best_params_ == {"n_components": 3, "covariance_type": "full"}
    assert search.best_estimator_.predict(clusters).shape == (2000,)


def test_a_pipeline_on_lazy_rows(clusters: np.ndarray) -> None:
    X = da.from_array(clusters, chunks=(300, 4))
    options = {"random_state": 0, "max_iter": 300}
    pipeline = make_pipeline(DaskScaler(), GaussianMixture(3, **options)).fit(X)
    eager = make_pipeline(StandardScaler(), GaussianMixture(3, **options)).fit(clusters)
    np.testing.assert_allclose(pipeline[-1].means_, eager[-1].means_, rtol=1e-8, atol=1e-9)
    for method in ("predict", "predict_proba", "score_samples"):
        lazy = getattr(pipeline, method)(X)
        assert isinstance(lazy, da.Array)
        np.testing.assert_allclose(lazy.compute(), getattr(eager, method)(clusters), rtol=1e-7, atol=1e-9)
    assert pipeline.score(X) == pytest.approx(eager.score(clusters), rel=1e-9)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_rows_after_the_fit_by_dask_ml(clusters: np.ndarray) -> None:
    model = GaussianMixture(3, random_state=0, max_iter=300)
    wrapped = ParallelPostFit(estimator=model).fit(clusters)
    X = da.from_array(clusters, chunks=(300, 4))
    for method in ("predict", "predict_proba"):
        lazy = getattr(wrapped, method)(X)
        assert isinstance(lazy, da.Array)
        assert lazy.numblocks[0] == 7
        np.testing.assert_array_equal(lazy.compute(), getattr(wrapped.estimator, method)(X).compute())
    np.testing.assert_array_equal(wrapped.predict(X).compute(), clone(model).fit(clusters).predict(clusters))


def test_batches_by_dask_ml(clusters: np.ndarray) -> None:
    X = da.from_array(clusters, chunks=(500, 4))
    wrapped = Incremental(GaussianMixture(3, random_state=0), shuffle_blocks=False, scoring=None).fit(X)
    expected = GaussianMixture(3, random_state=0)
    for part in np.split(clusters, 4):
        expected.partial_fit(part)
    np.testing.assert_array_equal(wrapped.estimator_.means_, expected.means_)

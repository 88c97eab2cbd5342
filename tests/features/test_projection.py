"""Scaling and principal components against NumPy and scikit-learn."""

from __future__ import annotations

from typing import Any

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from gravdask.errors import ModelError
from gravdask.features.projection import Projection, fit_projection, fit_scaler


@pytest.fixture(autouse=True)
def _synchronous() -> object:
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float64]:
    """Correlated columns of unequal size around unequal means."""
    generator = np.random.default_rng(5)
    mixing = generator.normal(size=(6, 6)) * np.array([5, 3, 2, 1, 0.5, 0.2])[:, None]
    return generator.normal(size=(3000, 6)) @ mixing * np.array([1, 10, 0.1, 3, 1, 50]) + np.arange(6) * 7.0


@pytest.fixture(scope="module")
def fitted(rows: NDArray[np.float64]) -> Projection:
    with dask.config.set(scheduler="synchronous"):
        return fit_projection(da.from_array(rows, chunks=(700, 6)), rows, n_components=4, seed=0)


def test_the_scaler_is_scikit_learns(rows: NDArray[np.float64]) -> None:
    mean, scale = fit_scaler(da.from_array(rows, chunks=(700, 6)))
    oracle = StandardScaler().fit(rows)
    np.testing.assert_allclose(mean, oracle.mean_, rtol=1e-12)
    np.testing.assert_allclose(scale, oracle.scale_, rtol=1e-12)


def test_the_projection_is_scaling_and_pca_up_to_sign(rows: NDArray[np.float64], fitted: Projection) -> None:
    oracle = PCA(n_components=4, svd_solver="full").fit(StandardScaler().fit_transform(rows))
    expected = oracle.transform(StandardScaler().fit_transform(rows))
    found = fitted.transform(rows)
    signs = np.sign(np.sum(found * expected, axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-9)
    np.testing.assert_allclose(fitted.components * signs[:, None], oracle.components_, atol=1e-10)
    np.testing.assert_allclose(fitted.explained, oracle.explained_variance_ratio_, rtol=1e-10)


def test_the_projection_is_the_eigenvectors_of_the_correlation_matrix(
    rows: NDArray[np.float64], fitted: Projection
) -> None:
    values, vectors = np.linalg.eigh(np.corrcoef(rows.T))
    np.testing.assert_allclose(np.abs(fitted.components @ vectors[:, ::-1][:, :4]), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(fitted.explained, values[::-1][:4] / values.sum(), rtol=1e-9)


def test_axes_have_a_sign_of_their_own(fitted: Projection) -> None:
    largest = np.abs(fitted.components).argmax(axis=1)
    assert (fitted.components[np.arange(4), largest] > 0).all()
    np.testing.assert_allclose(fitted.components @ fitted.components.T, np.eye(4), atol=1e-12)
    assert (np.diff(fitted.explained) <= 0).all()


def test_chunks_do_not_change_the_projection(rows: NDArray[np.float64], fitted: Projection) -> None:
    other = fit_projection(da.from_array(rows, chunks=((1, 999, 2000), 6)), rows, n_components=4, seed=0)
    for name in ("mean", "scale", "components", "centre", "explained"):
        np.testing.assert_allclose(getattr(other, name), getattr(fitted, name), rtol=1e-10, atol=1e-12)


def test_the_scaling_is_that_of_all_rows_and_the_axes_those_of_the_sample(rows: NDArray[np.float64]) -> None:
    sample = rows[::10]
    found = fit_projection(da.from_array(rows, chunks=(700, 6)), sample, n_components=3, seed=0)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-12)
    scaled = (sample - rows.mean(axis=0)) / rows.std(axis=0)
    oracle = PCA(n_components=3, svd_solver="full").fit(scaled)
    np.testing.assert_allclose(np.abs(found.components @ oracle.components_.T), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(found.centre, scaled.mean(axis=0), atol=1e-12)
    assert np.abs(found.centre).max() > 0.01
    signs = np.sign(np.sum(found.components * oracle.components_, axis=1))
    np.testing.assert_allclose(found.transform(sample) * signs, oracle.transform(scaled), atol=1e-9)


def test_the_sample_never_travels_to_a_scheduler() -> None:
    sample = np.random.default_rng(4).standard_normal((5000, 6))
    sent: list[int] = []

    def elsewhere(graph: Any, keys: Any, **_: Any) -> Any:
        sent.append(len(cloudpickle.dumps(graph)))
        return dask.get(graph, keys)

    lazily = da.random.default_rng(0).standard_normal((3000, 6), chunks=(700, 6))
    with dask.config.set(scheduler=elsewhere):
        fit_projection(lazily, sample, 3, seed=0, whiten=True)
    assert sent
    assert max(sent) < sample.nbytes / 2


def test_rows_without_features_stay_without(rows: NDArray[np.float64], fitted: Projection) -> None:
    gaps = rows[:10].copy()
    gaps[[2, 5]] = np.nan
    gaps[7, 3] = np.nan
    found = fitted.transform(gaps)
    assert np.isnan(found).any(axis=1).tolist() == [n in {2, 5, 7} for n in range(10)]
    assert np.isnan(found[[2, 5, 7]]).all()
    kept = [n for n in range(10) if n not in {2, 5, 7}]
    np.testing.assert_allclose(found[kept], fitted.transform(rows[kept]), rtol=1e-12, atol=1e-12)


def test_rows_are_projected_one_by_one(rows: NDArray[np.float64], fitted: Projection) -> None:
    whole = fitted.transform(rows[:50])
    np.testing.assert_allclose(
        np.concatenate([fitted.transform(rows[n : n + 1]) for n in range(50)]), whole, atol=1e-11
    )


def test_the_inverse_gives_the_columns_back(rows: NDArray[np.float64], fitted: Projection) -> None:
    full = fit_projection(da.from_array(rows, chunks=(700, 6)), rows, n_components=6, seed=0)
    np.testing.assert_allclose(full.inverse(full.transform(rows)), rows, rtol=1e-9, atol=1e-9)
    features = fitted.transform(rows)
    np.testing.assert_allclose(fitted.transform(fitted.inverse(features)), features, atol=1e-9)


@pytest.mark.parametrize("level", [4.0, 0.0, -1e5, 0.1])
def test_a_column_that_does_not_vary_is_refused(level: float) -> None:
    flat = np.random.default_rng(0).normal(size=(1000, 3))
    flat[:, 1] = level
    with pytest.raises(ModelError, match=r"columns \[1\] do not vary"):
        fit_scaler(da.from_array(flat, chunks=(70, 3)))


def test_a_column_that_varies_little_is_not() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 2)) * np.array([1e-9, 1.0]) + np.array([1.0, 0.0])
    assert fit_scaler(da.from_array(rows, chunks=(50, 2)))[1][0] == pytest.approx(rows[:, 0].std(), rel=1e-6)

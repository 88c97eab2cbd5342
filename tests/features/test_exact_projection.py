"""Exact principal components and whitening against dask-ml, scikit-learn and NumPy."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from gravdask.errors import ModelError
from gravdask.features.moments import Moments
from gravdask.features.projection import (
    WHITENING_FLOOR,
    Projection,
    fit_projection,
    projection_from_moments,
    whitening_scale,
)

Array = NDArray[np.float64]
FIELDS = ("mean", "scale", "components", "centre", "explained")


@pytest.fixture(autouse=True)
def _synchronous() -> object:
    with dask.config.set(scheduler="synchronous"):
        yield


def make_rows(n_rows: int, seed: int = 5) -> Array:
    """Correlated columns of unequal size around unequal means, with variances along axes that differ."""
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(5).normal(size=(6, 6)) * np.array([5, 3, 2, 1, 0.5, 0.2])[:, None]
    return generator.normal(size=(n_rows, 6)) @ mixing * np.array([1, 10, 0.1, 3, 1, 50]) + np.arange(6) * 7.0


def numpy_axes(rows: Array, n: int) -> tuple[Array, Array]:
    """Right singular vectors of the scaled rows, signed by their largest loading, and shares of variance."""
    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    _, values, vectors = np.linalg.svd(scaled, full_matrices=False)
    signs = np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)])
    return (vectors * signs[:, None])[:n], (values**2 / (values**2).sum())[:n]


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("n_components", [1, 4, 6])
def test_both_methods_agree_where_the_sample_is_everything(n_components: int, whiten: bool) -> None:
    rows = make_rows(3000)
    lazy = da.from_array(rows, chunks=(700, 6))
    by_sample = fit_projection(lazy, rows, n_components, 0, whiten=whiten)
    exact = fit_projection(lazy, None, n_components, 0, method="exact", whiten=whiten)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(exact, name), getattr(by_sample, name), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(exact.transform(rows), by_sample.transform(rows), rtol=1e-8, atol=1e-8)
    assert (exact.mixing is None) == (by_sample.mixing is None) == (not whiten)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    offset=st.sampled_from([0.0, 1e5, -1e5]),
    gaps=st.integers(0, 40),
)
def test_exact_components_are_numpys_on_any_chunking(seed: int, cuts: list[int], offset: float, gaps: int) -> None:
    rows = make_rows(200, seed) + offset
    generator = np.random.default_rng(seed)
    rows[generator.choice(200, gaps, replace=False), generator.integers(0, 6, gaps)] = np.nan
    whole = rows[np.isfinite(rows).all(axis=1)]
    edges = [0, *sorted(cuts), 200]
    chunks = tuple(b - a for a, b in pairwise(edges))
    found = fit_projection(da.from_array(rows, chunks=(chunks, 6)), None, 4, 0, method="exact")
    axes, share = numpy_axes(whole, 4)
    np.testing.assert_allclose(found.mean, whole.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.scale, whole.std(axis=0), rtol=1e-8)
    np.testing.assert_allclose(found.explained, share, rtol=1e-8)
    np.testing.assert_allclose(found.components, axes, atol=1e-6)
    assert np.isnan(found.transform(rows)).all(axis=1).sum() == gaps


def test_exact_components_are_scikit_learns() -> None:
    rows = make_rows(5000)
    scaled = StandardScaler().fit_transform(rows)
    oracle = PCA(n_components=4, svd_solver="full", whiten=True).fit(scaled)
    found = projection_from_moments(Moments.from_block(rows), 4, whiten=True)
    expected = oracle.transform(scaled)
    np.testing.assert_allclose(np.abs(found.transform(rows)), np.abs(expected), atol=1e-9)
    np.testing.assert_allclose(found.explained, oracle.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(
        found.inverse(found.transform(rows)),
        oracle.inverse_transform(expected) * rows.std(0) + rows.mean(0),
        rtol=1e-9,
        atol=1e-9,
    )


@pytest.mark.parametrize("closeness", [1e-3, 1e-6, 1e-9, 0.0])
def test_nearly_collinear_columns_leave_the_leading_axes_right(closeness: float) -> None:
    generator = np.random.default_rng(1)
    rows = make_rows(2000) + 1e3
    apart = closeness * generator.normal(size=(2000, 3)) * rows.std(axis=0)[:3]
    rows = np.concatenate([rows, (rows[:, :3] + apart) * np.array([1.0, -2.0, 1e-3])], axis=1)
    found = fit_projection(da.from_array(rows, chunks=(300, 9)), None, 9, 0, method="exact", whiten=True)
    plain = fit_projection(da.from_array(rows, chunks=(300, 9)), None, 9, 0, method="exact")
    np.testing.assert_allclose(plain.components @ plain.components.T, np.eye(9), atol=1e-12)
    axes, share = numpy_axes(rows, 6)
    np.testing.assert_allclose(plain.components[:4], axes[:4], atol=1e-7)
    np.testing.assert_allclose(plain.explained[:6], share, rtol=1e-6, atol=1e-12)
    assert (plain.explained >= 0).all()
    assert plain.explained.sum() == pytest.approx(1, abs=1e-12)
    variance = found.transform(rows).var(axis=0, ddof=1)
    np.testing.assert_allclose(variance[:4], 1.0, rtol=1e-6)
    assert (variance < 1 + 1e-6).all()
    if closeness <= 1e-6:
        assert (variance[-3:] < 1e-3).all()
    np.testing.assert_allclose(found.inverse(found.transform(rows)), rows, rtol=1e-9, atol=1e-9)


# --- whitening --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["sample", "exact"])
def test_whitened_features_have_variance_one_and_no_correlation(method: str) -> None:
    rows = make_rows(3000)
    found = fit_projection(da.from_array(rows, chunks=(700, 6)), rows, 5, 0, method, whiten=True)  # type: ignore[arg-type]
    np.testing.assert_allclose(np.cov(found.transform(rows).T), np.eye(5), atol=1e-9)


@pytest.mark.parametrize("method", ["sample", "exact"])
@pytest.mark.parametrize("n_components", [3, 6])
def test_the_inverse_undoes_whitening(method: str, n_components: int) -> None:
    rows = make_rows(1000)
    lazy = da.from_array(rows, chunks=(700, 6))
    white = fit_projection(lazy, rows, n_components, 0, method, whiten=True)  # type: ignore[arg-type]
    plain = fit_projection(lazy, rows, n_components, 0, method)  # type: ignore[arg-type]
    features = white.transform(rows)
    np.testing.assert_allclose(white.inverse(features), plain.inverse(plain.transform(rows)), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(white.transform(white.inverse(features)), features, atol=1e-9)
    assert (white.explained == plain.explained).all()


def test_the_floor_keeps_directions_without_variance_small() -> None:
    scale = whitening_scale(np.array([4.0, 1.0, 4e-6, 1e-20, 0.0]))
    floor = 2.0 * np.sqrt(WHITENING_FLOOR)
    np.testing.assert_allclose(scale, [2.0, 1.0, floor, floor, floor], rtol=1e-14)


def test_a_projection_of_the_old_five_arrays_still_works() -> None:
    """Models stored before there was a way back of its own have orthonormal components."""
    rows = make_rows(500)
    fitted = fit_projection(da.from_array(rows, chunks=(100, 6)), rows, 6, 0)
    old = Projection(*(getattr(fitted, name) for name in FIELDS))
    assert old.mixing is None
    np.testing.assert_allclose(old.inverse(old.transform(rows)), rows, rtol=1e-9, atol=1e-9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        old.mean = rows[0]  # type: ignore[misc]


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_what_cannot_be_fitted_is_refused() -> None:
    rows = make_rows(5)
    lazy = da.from_array(rows, chunks=(2, 6))
    with pytest.raises(ModelError, match=r"5 principal components .* 5 rows of 6 columns have at most 4"):
        fit_projection(lazy, None, 5, 0, method="exact")
    with pytest.raises(ModelError, match=r"7 principal components"):
        projection_from_moments(Moments.from_block(make_rows(50)), 7)
    with pytest.raises(ModelError, match=r"1 principal components .* have at most 0 \(9 rows with NaN"):
        fit_projection(da.full((9, 6), np.nan, chunks=4), None, 1, 0, method="exact")
    with pytest.raises(ModelError, match="need a sample"):
        fit_projection(lazy, None, 2, 0)
    with pytest.raises(ModelError, match="got 'some'"):
        fit_projection(lazy, rows, 2, 0, method="some")  # type: ignore[arg-type]
    rows[:, 1] = 4.0
    with pytest.raises(ModelError, match=r"columns \[1\] do not vary"):
        fit_projection(da.from_array(rows, chunks=(2, 6)), None, 2, 0, method="exact")

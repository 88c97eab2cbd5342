"""Independent components: known sources come back, deterministically, and the way back is exact."""

from __future__ import annotations

import warnings

import dask
import dask.array as da
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import FastICA

from gravdask.errors import ModelError
from gravdask.features.independent import fit_independent
from gravdask.features.projection import Projection, fit_projection

Array = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _synchronous() -> object:
    with dask.config.set(scheduler="synchronous"):
        yield


def make_sources(n: int = 6000) -> Array:
    """Four independent sources that are not Gaussian."""
    generator = np.random.default_rng(2)
    return np.stack(
        [
            generator.uniform(-1, 1, n),
            generator.laplace(size=n),
            generator.exponential(size=n),
            np.sign(generator.normal(size=n)) + 0.1 * generator.normal(size=n),
        ],
        axis=1,
    )


def project(rows: Array, n: int, whiten: bool = False) -> Projection:
    return fit_projection(da.from_array(rows, chunks=(1000, rows.shape[1])), rows, n, 0, "exact", whiten)


SOURCES = make_sources()
ROWS = SOURCES @ np.random.default_rng(3).normal(size=(4, 7)) * np.arange(1, 8) + 5.0


@pytest.mark.parametrize("whiten", [False, True])
def test_known_sources_come_back(whiten: bool) -> None:
    found, words = fit_independent(project(ROWS, 4, whiten), ROWS, seed=0)
    assert words == ()
    match = np.abs(np.corrcoef(found.transform(ROWS).T, SOURCES.T)[:4, 4:])
    assert (match.max(axis=1) > 0.99).all()
    assert sorted(match.argmax(axis=1)) == [0, 1, 2, 3]


def test_it_is_scikit_learns_fastica_up_to_order_and_sign() -> None:
    base = project(ROWS, 4)
    found, _ = fit_independent(base, ROWS, seed=0, tol=1e-10)
    oracle = FastICA(4, random_state=1, whiten="unit-variance", tol=1e-10, max_iter=500).fit(base.transform(ROWS))
    match = np.abs(np.corrcoef(found.transform(ROWS).T, oracle.transform(base.transform(ROWS)).T)[:4, 4:])
    np.testing.assert_allclose(np.sort(match, axis=1)[:, -1], 1.0, atol=1e-8)


def test_features_are_uncorrelated_of_variance_one() -> None:
    found, _ = fit_independent(project(ROWS, 4), ROWS, seed=0)
    features = found.transform(ROWS)
    np.testing.assert_allclose(np.cov(features.T, ddof=0), np.eye(4), atol=1e-9)
    alone = np.concatenate([found.transform(ROWS[n : n + 1]) for n in range(20)])
    np.testing.assert_allclose(alone, features[:20], atol=1e-10)


def test_the_way_back_is_exact_within_the_axes() -> None:
    for n in (3, 4):
        base = project(ROWS, n)
        found, _ = fit_independent(base, ROWS, seed=0)
        features = found.transform(ROWS)
        np.testing.assert_allclose(found.inverse(features), base.inverse(base.transform(ROWS)), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.transform(found.inverse(features)), features, atol=1e-9)


def test_order_and_sign_do_not_depend_on_seed_or_on_whitening() -> None:
    one, _ = fit_independent(project(ROWS, 4), ROWS, seed=0, tol=1e-12)
    for seed in (1, 2, 3):
        other, words = fit_independent(project(ROWS, 4, whiten=seed == 2), ROWS, seed=seed, tol=1e-12)
        assert words == ()
        np.testing.assert_allclose(other.components, one.components, atol=1e-5)
        np.testing.assert_allclose(other.explained, one.explained, atol=1e-6)
    assert one.mixing is not None
    assert (np.diff(one.explained) <= 0).all()
    assert one.explained.sum() == pytest.approx(project(ROWS, 4).explained.sum(), rel=1e-9)
    assert (one.mixing[np.arange(4), np.abs(one.mixing).argmax(axis=1)] > 0).all()


def test_the_same_seed_gives_the_same_bits() -> None:
    one, other = (fit_independent(project(ROWS, 4), ROWS, seed=7)[0] for _ in range(2))
    np.testing.assert_array_equal(one.components, other.components)
    np.testing.assert_array_equal(one.mixing, other.mixing)


def test_what_does_not_converge_is_told_and_kept() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, words = fit_independent(project(ROWS, 4), ROWS, seed=0, max_iter=1, tol=1e-12)
    assert len(words) == 1
    assert "did not converge in 1 iterations" in words[0]
    np.testing.assert_allclose(np.cov(found.transform(ROWS).T, ddof=0), np.eye(4), atol=1e-9)


def test_a_part_of_the_rows_may_be_the_sample() -> None:
    sample = ROWS[::10]
    found, _ = fit_independent(project(ROWS, 4), sample, seed=0)
    np.testing.assert_allclose(np.cov(found.transform(sample).T, ddof=0), np.eye(4), atol=1e-9)


def test_samples_that_do_not_do_are_refused() -> None:
    base = project(ROWS, 4)
    with pytest.raises(ModelError, match=r"4 features need more rows than that, without NaN; the sample has 4"):
        fit_independent(base, ROWS[:4], seed=0)
    gaps = ROWS.copy()
    gaps[5] = np.nan
    with pytest.raises(ModelError, match="and 1 with NaN"):
        fit_independent(base, gaps, seed=0)
    flat = project(np.concatenate([ROWS, ROWS[:, :1]], axis=1), 6)
    with pytest.raises(ModelError, match="varies in 4 directions, too few for 6"):
        fit_independent(flat, np.concatenate([ROWS, ROWS[:, :1]], axis=1), seed=0)

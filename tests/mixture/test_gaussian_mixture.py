"""The estimator against scikit-learn, and its invariants."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Reference

from gravdask.errors import GravdaskError, MixtureError
from gravdask.mixture import GaussianMixture
from gravdask.mixture import blocks as blocks_module
from gravdask.mixture import initialise as initialise_module

KINDS = ("full", "tied", "diag", "spherical")
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


def start_values(X: np.ndarray, kind: str, n_components: int, seed: int = 0) -> dict[str, Any]:
    """Return a start that needs no random method: rows as means, the pooled precision."""
    generator = np.random.default_rng(seed)
    precision = np.linalg.inv(np.cov(X.T))
    shaped = {
        "full": np.stack([precision] * n_components),
        "tied": precision,
        "diag": np.stack([np.diag(precision)] * n_components),
        "spherical": np.full(n_components, precision.diagonal().mean()),
    }[kind]
    weights = generator.dirichlet(np.full(n_components, 5.0))
    means = X[generator.choice(len(X), n_components, replace=False)]
    return {"weights_init": weights, "means_init": means, "precisions_init": shaped}


def assert_same(mine: Any, other: Any, rtol: float) -> None:
    for name in PARAMETERS:
        expected = getattr(other, name)
        np.testing.assert_allclose(
            getattr(mine, name), expected, rtol=rtol, atol=rtol * np.abs(expected).max(), err_msg=name
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lazy", [False, True])
def test_equals_scikit_learn_from_the_same_start(clusters: np.ndarray, kind: str, lazy: bool) -> None:
    options = dict(covariance_type=kind, tol=1e-5, max_iter=300, **start_values(clusters, kind, 3))
    reference = Reference(3, **options).fit(clusters)
    X = da.from_array(clusters, chunks=(370, 3)) if lazy else clusters
    model = GaussianMixture(3, **options).fit(X)
    assert reference.converged_
    assert model.converged_
    assert model.n_iter_ == reference.n_iter_
    assert_same(model, reference, rtol=1e-9)
    assert model.lower_bound_ == pytest.approx(reference.lower_bound_, rel=1e-12)
    np.testing.assert_allclose(model.lower_bounds_, reference.lower_bounds_, rtol=1e-11)
    np.testing.assert_array_equal(model.predict(X), reference.predict(clusters))
    np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(clusters), atol=1e-9)
    np.testing.assert_allclose(model.score_samples(X), reference.score_samples(clusters), rtol=1e-9)
    assert model.score(X) == pytest.approx(reference.score(clusters), rel=1e-11)
    assert model.bic(X) == pytest.approx(reference.bic(clusters), rel=1e-11)
    assert model.aic(X) == pytest.approx(reference.aic(clusters), rel=1e-11)


@pytest.mark.parametrize(
    ("kind", "method"),
    # From single rows scikit-learn's first tied covariance is none (it divides all squares by n_components).
    [(kind, method) for kind in KINDS for method in ("kmeans", "random")]
    + [(kind, method) for kind in ("full", "diag", "spherical") for method in ("k-means++", "random_from_data")],
)
def test_equals_scikit_learn_from_the_same_seed(clusters: np.ndarray, kind: str, method: str) -> None:
    options: dict[str, Any] = {
        "covariance_type": kind,
        "init_params": method,
        "random_state": 3,
        "max_iter": 400,
        "tol": 1e-4,
    }
    if method != "kmeans":
        options["n_init"] = 2
    reference, model = Reference(3, **options).fit(clusters), GaussianMixture(3, **options).fit(clusters)
    assert model.n_iter_ == reference.n_iter_
    assert_same(model, reference, rtol=1e-7)


def test_float32_rows_are_worked_on_in_float64(clusters: np.ndarray) -> None:
    single = clusters.astype(np.float32)
    options = start_values(clusters, "full", 3)
    model = GaussianMixture(3, **options).fit(single)
    reference = Reference(3, **options).fit(single.astype(np.float64))
    assert model.n_iter_ == reference.n_iter_
    assert_same(model, reference, rtol=1e-9)
    assert model.means_.dtype == np.float64
    assert model.score_samples(single).dtype == np.float64


@pytest.mark.parametrize("kind", KINDS)
def test_an_offset_of_the_data_only_moves_the_means(clusters: np.ndarray, kind: str) -> None:
    options = {"covariance_type": kind, "tol": 1e-5, "max_iter": 300}
    start = start_values(clusters, kind, 3)
    offset = 1e5 * np.array([1.0, -1.0, 2.0, 0.5])
    near = GaussianMixture(3, **options, **start).fit(clusters)
    start["means_init"] = start["means_init"] + offset
    far = GaussianMixture(3, **options, **start).fit(clusters + offset)
    assert far.n_iter_ == near.n_iter_
    # Rounding of the input alone is 1e5 * 1e-16 / 1 = 1e-11; the covariances must not be worse than 1e-8.
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(far.means_ - offset, near.means_, atol=1e-8)
    np.testing.assert_array_equal(far.predict(clusters + offset), near.predict(clusters))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_chunks", [1, 3, 17])
def test_chunks_do_not_matter(clusters: np.ndarray, kind: str, n_chunks: int) -> None:
    options = {"covariance_type": kind, "random_state": 5, "tol": 1e-5, "max_iter": 300}
    whole = GaussianMixture(3, **options).fit(clusters)
    X = da.from_array(clusters, chunks=(-(-len(clusters) // n_chunks), 4))
    assert X.numblocks[0] == n_chunks
    model = GaussianMixture(3, **options).fit(X)
    assert model.n_iter_ == whole.n_iter_
    assert_same(model, whole, rtol=1e-9)
    assert model.lower_bound_ == pytest.approx(whole.lower_bound_, rel=1e-12)
    np.testing.assert_array_equal(model.predict(X).compute(), whole.predict(clusters))


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_chunks_give_one_answer(data: st.DataObject) -> None:
    rows = np.random.default_rng(1).normal(size=(300, 2)) + np.repeat([[0.0, 0.0], [7.0, 1.0], [0.0, 9.0]], 100, axis=0)
    cuts = data.draw(st.lists(st.integers(0, 300), max_size=9).map(sorted))
    edges = [0, *cuts, 300]
    chunks = tuple(int(n) for n in np.diff(edges))  # repeated cuts give empty chunks
    kind = data.draw(st.sampled_from(KINDS))
    options = {"covariance_type": kind, "random_state": 0}
    model = GaussianMixture(3, **options).fit(da.from_array(rows, chunks=(chunks, (1, 1))))
    assert_same(model, GaussianMixture(3, **options).fit(rows), rtol=1e-9)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_row_order_does_not_matter(seed: int) -> None:
    rows = np.random.default_rng(1).normal(size=(300, 3))
    start = start_values(rows, "full", 2)
    shuffled = np.random.default_rng(seed).permutation(rows)
    options = dict(tol=1e-2, **start)
    assert_same(GaussianMixture(2, **options).fit(shuffled), GaussianMixture(2, **options).fit(rows), rtol=1e-9)


def test_unknown_chunk_sizes_and_emptied_chunks(clusters: np.ndarray) -> None:
    X = da.from_array(clusters, chunks=(250, 4))
    keep = np.ones(len(clusters), dtype=bool)
    keep[250:500] = False  # a whole chunk
    keep[1100:1200] = False
    lazy = X[da.from_array(keep, chunks=250)]
    assert np.isnan(lazy.shape[0])
    weights = np.random.default_rng(0).integers(0, 3, keep.sum()).astype(float)
    for weight in (None, weights):
        model = GaussianMixture(3, random_state=0).fit(lazy, sample_weight=weight)
        assert_same(model, GaussianMixture(3, random_state=0).fit(clusters[keep], sample_weight=weight), rtol=1e-9)
    assert model.predict(lazy).compute().shape == (keep.sum(),)
    assert model.predict_proba(lazy).compute().shape == (keep.sum(), 3)
    assert model.bic(lazy) == pytest.approx(model.bic(clusters[keep]), rel=1e-12)


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random", "random_from_data"])
def test_the_sample_of_the_start_does_not_know_the_chunks(
    clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(initialise_module, "SAMPLE_ROWS", 400)
    options = {"init_params": method, "random_state": 3, "max_iter": 300}
    whole = GaussianMixture(3, **options).fit(clusters)
    weights = np.ones(len(clusters))
    for chunks in (2000, 333, (0, 700, 0, 1, 1299)):
        X = da.from_array(clusters, chunks=(chunks, 4))
        assert_same(GaussianMixture(3, **options).fit(X), whole, rtol=1e-8)
    if method != "random_from_data":  # its draw takes the weights as chances
        assert_same(GaussianMixture(3, **options).fit(X, sample_weight=weights), whole, rtol=1e-8)


def test_large_arrays_in_memory_are_cut_into_blocks(clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = GaussianMixture(3, random_state=0).fit(clusters)
    monkeypatch.setattr(blocks_module, "_BLOCK_ROWS", 130)
    assert len(blocks_module.row_blocks(clusters).rows) == 16
    assert_same(GaussianMixture(3, random_state=0).fit(clusters), whole, rtol=1e-9)


def test_an_array_too_large_to_hold_is_read_at_each_iteration(
    clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    def read(block: np.ndarray) -> np.ndarray:
        reads.append(len(block))
        return block

    options = start_values(clusters, "full", 3)
    X = da.from_array(clusters, chunks=(1000, 4)).map_blocks(read, dtype=float, meta=np.empty((0, 0)))
    held = GaussianMixture(3, **options).fit(X)
    assert len(reads) == 2
    monkeypatch.setattr(blocks_module, "_LOCAL_HOLD_BYTES", 10)
    with dask.config.set(scheduler="synchronous"):
        reread = GaussianMixture(3, **options).fit(X)
    assert len(reads) == 2 + 2 * (1 + reread.n_iter_)
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(held, name), getattr(reread, name))


def test_schedulers_give_the_same_bits(clusters: np.ndarray) -> None:
    X = da.from_array(clusters, chunks=(61, 4))  # 33 blocks: a tree of three levels
    fits = []
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            fits.append(GaussianMixture(3, random_state=0).fit(X))
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(fits[0], name), getattr(fits[1], name))


@pytest.mark.parametrize("kind", KINDS)
def test_likelihood_never_falls(clusters: np.ndarray, kind: str) -> None:
    model = GaussianMixture(
        4, covariance_type=kind, reg_covar=0.0, tol=1e-9, max_iter=40, **start_values(clusters, kind, 4)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(clusters)
    assert len(model.lower_bounds_) == model.n_iter_ > 5
    assert (np.diff(model.lower_bounds_) > -1e-10).all()


@pytest.mark.parametrize(("kind", "expected"), [("spherical", 13), ("diag", 21), ("tied", 26), ("full", 41)])
def test_number_of_parameters(kind: str, expected: int) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 5))
    model = GaussianMixture(2, covariance_type=kind, random_state=0, tol=1.0).fit(rows)
    difference = model.bic(rows) - model.aic(rows)
    assert difference == pytest.approx(expected * (np.log(50.0) - 2.0), rel=1e-12)


def test_all_types_are_equal_for_one_component_of_one_feature() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 1)) * 3.0 + 1.0
    bics = [GaussianMixture(1, covariance_type=kind).fit(rows).bic(rows) for kind in KINDS]
    np.testing.assert_allclose(bics, bics[0], rtol=1e-12)


def test_score_is_the_density_of_scipy(clusters: np.ndarray) -> None:
    model = GaussianMixture(3, random_state=0).fit(clusters)
    density = sum(
        w * multivariate_normal(m, c).pdf(clusters)
        for w, m, c in zip(model.weights_, model.means_, model.covariances_, strict=True)
    )
    np.testing.assert_allclose(model.score_samples(clusters), np.log(density), rtol=1e-9)
    np.testing.assert_allclose(model.predict_proba(clusters).sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(model.predict(clusters), model.predict_proba(clusters).argmax(axis=1))
    for k in range(3):
        np.testing.assert_allclose(model.precisions_[k] @ model.covariances_[k], np.eye(4), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_a_repetition(clusters: np.ndarray, kind: str) -> None:
    counts = np.random.default_rng(2).integers(0, 4, len(clusters))
    options = dict(covariance_type=kind, **start_values(clusters, kind, 3))
    repeated = GaussianMixture(3, **options).fit(np.repeat(clusters, counts, axis=0))
    X = da.from_array(clusters, chunks=(700, 4))
    for weights in (counts, da.from_array(counts, chunks=400)):
        model = GaussianMixture(3, **options).fit(X, sample_weight=weights)
        assert model.n_iter_ == repeated.n_iter_
        assert_same(model, repeated, rtol=1e-9)
    assert_same(GaussianMixture(3, **options).fit(clusters, sample_weight=counts), repeated, rtol=1e-9)


def test_weights_of_one_change_nothing(clusters: np.ndarray) -> None:
    plain = GaussianMixture(3, random_state=0).fit(clusters)
    assert_same(GaussianMixture(3, random_state=0).fit(clusters, sample_weight=np.ones(2000)), plain, rtol=1e-12)
    assert_same(GaussianMixture(3, random_state=0).fit(clusters, sample_weight=1.0), plain, rtol=1e-12)


def test_a_known_mixture_is_found() -> None:
    generator = np.random.default_rng(4)
    weights = np.array([0.5, 0.3, 0.2])
    means = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 7.0]])
    covariances = np.array([[[1.0, 0.6], [0.6, 1.0]], [[2.0, 0.0], [0.0, 0.5]], [[0.5, -0.2], [-0.2, 1.5]]])
    truth = generator.choice(3, 20_000, p=weights)
    rows = np.stack([generator.multivariate_normal(means[k], covariances[k]) for k in truth])
    model = GaussianMixture(3, random_state=0).fit(da.from_array(rows, chunks=(3000, 2)))
    order = [int(np.argmin(np.linalg.norm(model.means_ - mean, axis=1))) for mean in means]
    assert sorted(order) == [0, 1, 2]
    # Standard errors: 0.0035 of a weight, 0.022 of a mean at n = 4000 and variance 2, 0.045 of a variance.
    np.testing.assert_allclose(model.weights_[order], weights, atol=0.015)
    np.testing.assert_allclose(model.means_[order], means, atol=0.08)
    np.testing.assert_allclose(model.covariances_[order], covariances, atol=0.15)
    assert adjusted_rand_score(truth, model.predict(rows)) > 0.98


def test_warm_start_goes_on_where_it_stopped(clusters: np.ndarray) -> None:
    start = start_values(clusters, "full", 3)
    once = GaussianMixture(3, tol=0.0, max_iter=6, **start)
    parts = GaussianMixture(3, tol=0.0, max_iter=3, warm_start=True, **start)
    with pytest.warns(ConvergenceWarning, match="did not converge in max_iter=6"):
        once.fit(clusters)
    for _ in range(2):
        with pytest.warns(ConvergenceWarning, match="max_iter=3"):
            parts.fit(clusters)
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(parts, name), getattr(once, name))
    parts.set_params(n_components=2)
    with pytest.raises(MixtureError, match=r"warm_start .* 3 components, .* n_components=2"):
        parts.fit(clusters)


def test_more_starts_never_lower_the_bound(clusters: np.ndarray) -> None:
    one = GaussianMixture(5, init_params="random_from_data", random_state=2, max_iter=200).fit(clusters)
    many = GaussianMixture(5, init_params="random_from_data", random_state=2, n_init=5, max_iter=200).fit(clusters)
    assert many.lower_bound_ > one.lower_bound_


def test_no_iteration_returns_the_start(clusters: np.ndarray) -> None:
    start = start_values(clusters, "full", 3)
    model = GaussianMixture(3, max_iter=0, **start).fit(clusters)
    np.testing.assert_array_equal(model.means_, start["means_init"])
    np.testing.assert_allclose(model.precisions_, start["precisions_init"], rtol=1e-9)
    np.testing.assert_allclose(model.covariances_[0], np.cov(clusters.T), rtol=1e-9)
    assert (model.n_iter_, model.lower_bound_, model.converged_) == (0, -np.inf, False)


def test_a_collapsed_component_starts_again(clusters: np.ndarray) -> None:
    start = start_values(clusters, "full", 3)
    start["means_init"][2] = 1e4  # no row is near
    X = da.from_array(clusters, chunks=(300, 4))
    with pytest.warns(ConvergenceWarning, match="collapsed below 5 rows"):
        model = GaussianMixture(3, max_iter=300, tol=1e-5, **start).fit(X)
    assert model.reseeded_[0] == (1, 2)
    assert model.converged_
    assert (model.weights_ * len(clusters) >= 5).all()
    good = GaussianMixture(3, max_iter=300, tol=1e-5, n_init=3, random_state=0).fit(clusters)
    assert good.reseeded_ == []
    assert model.lower_bound_ == pytest.approx(good.lower_bound_, abs=1e-3)


def test_reseeding_ends_where_rows_are_copies() -> None:
    rows = np.repeat(np.array([[0.0, 0.0], [5.0, 5.0]]), 30, axis=0)
    rows[0] = [1e3, 1e3]
    with pytest.warns(ConvergenceWarning, match="collapsed below 3 rows"):
        model = GaussianMixture(4, random_state=0, init_params="random").fit(rows)
    assert 0 < len(model.reseeded_) <= 12
    assert np.isfinite(model.lower_bound_)


@pytest.mark.parametrize("kind", KINDS)
def test_sample_has_the_moments_of_the_mixture(clusters: np.ndarray, kind: str) -> None:
    model = GaussianMixture(3, covariance_type=kind, random_state=0, max_iter=300).fit(clusters)
    rows, components = model.sample(40_000)
    assert rows.shape == (40_000, 4)
    for k in range(3):
        drawn = rows[components == k]
        covariance = {
            "full": lambda k: model.covariances_[k],
            "tied": lambda k: model.covariances_,
            "diag": lambda k: np.diag(model.covariances_[k]),
            "spherical": lambda k: model.covariances_[k] * np.eye(4),
        }[kind](k)
        deviation = np.sqrt(np.diag(covariance))
        assert len(drawn) / 40_000 == pytest.approx(model.weights_[k], abs=0.015)
        assert (np.abs(drawn.mean(axis=0) - model.means_[k]) < 5.0 * deviation / np.sqrt(len(drawn))).all()
        scale = np.outer(deviation, deviation)
        np.testing.assert_allclose(np.cov(drawn.T) / scale, covariance / scale, atol=7.0 / np.sqrt(len(drawn)))
    again, _ = clone(model).fit(clusters).sample(40_000)
    np.testing.assert_array_equal(again, rows)
    with pytest.raises(MixtureError, match="at least one sample"):
        model.sample(0)


def test_fit_predict_is_fit_then_predict(clusters: np.ndarray) -> None:
    model = GaussianMixture(3, random_state=0)
    found = model.fit_predict(clusters)
    np.testing.assert_array_equal(found, model.predict(clusters))
    assert found.dtype == np.int64


def test_lazy_rows_give_lazy_answers(clusters: np.ndarray) -> None:
    model = GaussianMixture(3, random_state=0).fit(clusters)
    X = da.from_array(clusters, chunks=(900, 2))
    for method in ("predict", "predict_proba", "score_samples"):
        lazy, direct = getattr(model, method)(X), getattr(model, method)(clusters)
        assert isinstance(lazy, da.Array)
        assert (lazy.shape, lazy.dtype, lazy.chunks[0]) == (direct.shape, direct.dtype, (900, 900, 200))
        np.testing.assert_allclose(lazy.compute(), direct, rtol=1e-12, atol=1e-300)


def bad_rows(clusters: np.ndarray) -> np.ndarray:
    rows = clusters.copy()
    rows[700, 1] = np.nan
    rows[1500] = np.inf
    return rows


@pytest.mark.parametrize("chunk", [None, 300])
def test_rows_with_nan_are_refused(clusters: np.ndarray, chunk: int | None) -> None:
    rows = bad_rows(clusters)
    X = rows if chunk is None else da.from_array(rows, chunks=(chunk, 4))
    with pytest.raises(MixtureError, match="NaN or inf in 2 of 2000 rows, first in row 700"):
        GaussianMixture(2).fit(X)
    model = GaussianMixture(2, random_state=0).fit(clusters)
    for method in ("predict", "predict_proba", "score_samples"):
        with pytest.raises(MixtureError, match="NaN or inf"):
            np.asarray(getattr(model, method)(X))
    with pytest.raises(MixtureError, match="NaN or inf"):
        model.score(X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components must be an integer not below 1, got 0"),
        ({"n_components": 2.5}, "n_components must be an integer not below 1, got 2.5"),
        ({"n_components": True}, "n_components must be an integer"),
        ({"tol": -1.0}, "tol must be a finite number not below 0, got -1.0"),
        ({"reg_covar": float("nan")}, "reg_covar must be a finite number"),
        ({"max_iter": -1}, "max_iter must be an integer not below 0"),
        ({"n_init": 0}, "n_init must be an integer not below 1"),
        ({"covariance_type": "round"}, "covariance_type must be one of full, tied, diag, spherical, got 'round'"),
        ({"init_params": "magic"}, "init_params must be one of kmeans, .* got 'magic'"),
        ({"warm_start": "yes"}, "warm_start must be True or False"),
        ({"weights_init": [0.5, 0.6]}, "weights_init should be normalized to a sum of 1, but sums to 1.1"),
        ({"weights_init": [1.5, -0.5]}, r"should lie in \[0, 1\], but has minimum -0.5 and maximum 1.5"),
        ({"weights_init": [1.0]}, r"weights_init should have the shape of \(2,\), but got \(1,\)"),
        ({"means_init": np.zeros((2, 3))}, r"means_init should have the shape of \(2, 4\), but got \(2, 3\)"),
        ({"means_init": np.full((2, 4), np.nan)}, "means_init holds NaN or infinity"),
        ({"precisions_init": np.stack([np.eye(4), -np.eye(4)])}, "positive definite, but matrix 1 is not"),
        ({"precisions_init": np.zeros((2, 4)), "covariance_type": "diag"}, "should be positive, but its minimum is 0"),
    ],
)
def test_wrong_parameters_are_named(clusters: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        GaussianMixture(**{"n_components": 2, **options}).fit(clusters)


def test_wrong_rows_and_weights_are_named(clusters: np.ndarray) -> None:
    model = GaussianMixture(2, random_state=0)
    with pytest.raises(MixtureError, match="n_components = 2, n_samples = 1"):
        model.fit(da.zeros((1, 3)))
    with pytest.raises(MixtureError, match="two-dimensional dask array"):
        model.fit(da.zeros(7))
    with pytest.raises(MixtureError, match="real numbers, got dtype complex128"):
        model.fit(da.zeros((7, 2), dtype=complex))
    with pytest.raises(MixtureError, match="5 values for 2000 rows"):
        model.fit(clusters, sample_weight=np.ones(5))
    with pytest.raises(MixtureError, match=r"must be 1D, \(n_rows,\), but got shape \(2000, 1\)"):
        model.fit(clusters, sample_weight=np.ones((2000, 1)))
    with pytest.raises(MixtureError, match="sample_weight holds 2000 negative"):
        model.fit(clusters, sample_weight=-np.ones(2000))
    with pytest.raises(MixtureError, match="Every sample_weight is zero"):
        model.fit(clusters, sample_weight=np.zeros(2000))
    with pytest.raises(MixtureError, match="with a weight above 0 = 1"):
        model.fit(clusters, sample_weight=np.eye(1, 2000)[0])
    with pytest.raises(NotFittedError):
        model.predict(clusters)
    model.fit(clusters)
    with pytest.raises(MixtureError, match="X has 3 features, but GaussianMixture is expecting 4 features"):
        model.predict(da.zeros((5, 3)))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_spread_are_refused_with_a_cure(kind: str) -> None:
    rows = np.zeros((40, 2))
    start = {"means_init": np.zeros((1, 2)), "weights_init": [1.0]}
    with pytest.raises(MixtureError, match=r"component 0 .* increase reg_covar \(now 0\)") as caught:
        GaussianMixture(1, covariance_type=kind, reg_covar=0.0, **start).fit(rows)
    assert isinstance(caught.value, ValueError | GravdaskError)
    GaussianMixture(1, covariance_type=kind, **start).fit(rows)


def test_scikit_learn_estimator_checks(run_estimator_checks: Callable[[Any], int]) -> None:
    assert run_estimator_checks(GaussianMixture()) >= 40


@pytest.mark.slow
def test_worker_processes_give_the_same_bits(clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks_module, "_BLOCK_ROWS", 61)
    distributed = pytest.importorskip("distributed")
    X = da.from_array(clusters, chunks=(61, 4))
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(clusters))
    with dask.config.set(scheduler="synchronous"):
        alone = GaussianMixture(3, random_state=0).fit(X, sample_weight=weights)
        labels = alone.predict(X).compute()
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        distributed.Client(cluster),
    ):
        together = GaussianMixture(3, random_state=0).fit(X, sample_weight=weights)
        np.testing.assert_array_equal(together.predict(X).compute(), labels)
        sent = GaussianMixture(3, random_state=0).fit(clusters, sample_weight=weights)
        assert not isinstance(blocks_module.row_blocks(clusters).rows[0], np.ndarray)
        with pytest.raises(MixtureError, match="first in row 700"):
            GaussianMixture(2).fit(da.from_array(bad_rows(clusters), chunks=(300, 4)))
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
        np.testing.assert_array_equal(getattr(sent, name), getattr(alone, name))
    assert together.lower_bounds_ == alone.lower_bounds_


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e12])
def test_weights_have_no_size_of_their_own(clusters: np.ndarray, size: float) -> None:
    plain = GaussianMixture(3, random_state=0).fit(clusters, sample_weight=np.ones(len(clusters)))
    scaled = GaussianMixture(3, random_state=0).fit(clusters, sample_weight=np.full(len(clusters), size))
    np.testing.assert_allclose(scaled.means_, plain.means_, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(scaled.weights_, plain.weights_, rtol=1e-9)
    assert scaled.lower_bound_ == pytest.approx(plain.lower_bound_, rel=1e-9)

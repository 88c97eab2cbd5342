"""Rows with NaN or infinity: refused, or left out as if they were not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import MixtureError
from gravdask.mixture import GaussianMixture
from gravdask.mixture import blocks as blocks_module

KINDS = ("full", "tied", "diag", "spherical")
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_cholesky_")


def spoiled(rows: np.ndarray, seed: int = 0, share: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Rows with NaN and infinities here and there, and which of them are complete."""
    generator = np.random.default_rng(seed)
    out = rows.copy()
    bad = generator.uniform(size=len(rows)) < share
    for i in np.flatnonzero(bad):
        out[i, generator.integers(rows.shape[1])] = generator.choice([np.nan, np.inf, -np.inf])
    return out, ~bad


def assert_same(mine: Any, other: Any, rtol: float = 1e-9) -> None:
    for name in PARAMETERS:
        expected = getattr(other, name)
        np.testing.assert_allclose(
            getattr(mine, name), expected, rtol=rtol, atol=rtol * np.abs(expected).max(), err_msg=name
        )
    assert mine.n_iter_ == other.n_iter_
    assert mine.lower_bound_ == pytest.approx(other.lower_bound_, rel=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [None, 2000, 170])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_skipped_row_is_no_row(clusters: np.ndarray, kind: str, chunk: int | None, weighted: bool) -> None:
    rows, good = spoiled(clusters)
    rows[170:340] = np.nan  # a whole chunk
    good[170:340] = False
    weights = np.random.default_rng(1).uniform(0.0, 2.0, len(rows)) if weighted else None
    if weights is not None:
        weights[5::50] = 0.0
    options = {"covariance_type": kind, "random_state": 0, "max_iter": 300}
    kept = None if weights is None else weights[good]
    expected = GaussianMixture(3, **options).fit(clusters[good], sample_weight=kept)
    X = rows if chunk is None else da.from_array(rows, chunks=(chunk, 3))
    model = GaussianMixture(3, missing="skip", **options).fit(X, sample_weight=weights)
    assert_same(model, expected)
    assert model.n_skipped_ == (~good).sum() > 200
    assert expected.n_skipped_ == 0

    labels, shares, scores = (np.asarray(getattr(model, m)(X)) for m in ("predict", "predict_proba", "score_samples"))
    assert (labels.dtype, labels.shape, shares.shape) == (np.int64, (2000,), (2000, 3))
    assert (labels[~good] == -1).all()
    assert np.isnan(shares[~good]).all()
    assert np.isnan(scores[~good]).all()
    np.testing.assert_array_equal(labels[good], model.predict(clusters[good]))
    np.testing.assert_allclose(shares[good], model.predict_proba(clusters[good]), rtol=1e-12)
    np.testing.assert_allclose(scores[good], model.score_samples(clusters[good]), rtol=1e-12)
    for criterion in ("score", "bic", "aic"):
        assert getattr(model, criterion)(X) == pytest.approx(getattr(model, criterion)(clusters[good]), rel=1e-12)


def test_the_same_chunks_without_the_rows_give_the_same_bits(clusters: np.ndarray) -> None:
    rows, good = spoiled(clusters)
    X = da.from_array(rows, chunks=(130, 4))
    kept = X[da.from_array(good, chunks=130)]
    model = GaussianMixture(3, random_state=0, missing="skip").fit(X)
    expected = GaussianMixture(3, random_state=0).fit(kept)
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(model, name), getattr(expected, name))


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_gaps_and_chunks_give_one_answer(data: st.DataObject) -> None:
    rows = np.random.default_rng(1).normal(size=(300, 2)) + np.repeat([[0.0, 0.0], [7.0, 1.0], [0.0, 9.0]], 100, axis=0)
    cuts = data.draw(st.lists(st.integers(0, 300), max_size=6).map(sorted))
    chunks = tuple(int(n) for n in np.diff([0, *cuts, 300]))
    first, length = data.draw(st.integers(0, 250)), data.draw(st.integers(0, 50))
    spoilt, good = spoiled(rows, data.draw(st.integers(0, 99)), 0.05)
    spoilt[first : first + length] = np.nan
    good[first : first + length] = False
    model = GaussianMixture(3, random_state=0, missing="skip").fit(da.from_array(spoilt, chunks=(chunks, (1, 1))))
    assert_same(model, GaussianMixture(3, random_state=0).fit(rows[good]))
    assert model.n_skipped_ == (~good).sum()


def test_unknown_chunks_and_rows_too_large_to_hold(clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, good = spoiled(clusters)
    expected = GaussianMixture(3, random_state=0).fit(clusters[good][: good[:1500].sum()])
    X = da.from_array(rows, chunks=(250, 4))
    lazy = X[da.from_array(np.arange(2000) < 1500, chunks=250)]
    model = GaussianMixture(3, random_state=0, missing="skip")
    assert_same(model.fit(lazy), expected)
    assert model.predict(lazy).compute().shape == (1500,)
    monkeypatch.setattr(blocks_module, "_LOCAL_HOLD_BYTES", 10)
    with dask.config.set(scheduler="synchronous"):
        assert_same(model.fit(X[:1500], sample_weight=da.ones(1500, chunks=100)), expected)
    monkeypatch.setattr(blocks_module, "_BLOCK_ROWS", 130)
    assert_same(model.fit(rows[:1500]), expected)


def test_float32_rows_are_skipped_too(clusters: np.ndarray) -> None:
    rows, good = spoiled(clusters.astype(np.float32))
    model = GaussianMixture(3, random_state=0, missing="skip").fit(rows)
    assert_same(model, GaussianMixture(3, random_state=0).fit(rows[good]))


@pytest.mark.parametrize("lazy", [False, True])
def test_batches_count_what_they_skip(clusters: np.ndarray, lazy: bool) -> None:
    rows, good = spoiled(clusters)
    model, expected = GaussianMixture(3, random_state=0, missing="skip"), GaussianMixture(3, random_state=0)
    for part in (slice(0, 900), slice(900, 1000), slice(1000, 2000)):
        X = da.from_array(rows[part], chunks=(170, 4)) if lazy else rows[part]
        weights = np.linspace(0.5, 2.0, len(rows[part]))
        model.partial_fit(X, sample_weight=weights)
        expected.partial_fit(clusters[part][good[part]], sample_weight=weights[good[part]])
        assert model.n_skipped_ == (~good[: part.stop]).sum()
    assert_same(model, expected)
    other = GaussianMixture(3, random_state=0, missing="skip").fit(rows)
    assert model.merge(other).n_skipped_ == 2 * (~good).sum()
    with pytest.raises(MixtureError, match="in row 0, column 2"):
        model.set_params(missing="error").partial_fit(np.array([[1.0, 2.0, np.nan, 4.0], [1.0, 2.0, 3.0, 4.0]]))
    frame = pd.DataFrame({"a": [1.0, None], "b": [2.0, 3.0], "c": [0.0, 0.0], "d": [1.0, 1.0]}).to_numpy()
    np.testing.assert_array_equal(model.set_params(missing="skip").predict(frame) == -1, [False, True])


def test_the_first_bad_value_is_named(clusters: np.ndarray) -> None:
    rows = clusters.copy()
    rows[700, 1] = np.nan
    rows[1500] = np.inf
    for X in (rows, da.from_array(rows, chunks=(300, 4)), da.from_array(rows, chunks=(2000, 1))):
        with pytest.raises(
            MixtureError, match=r'NaN or inf in 2 of 2000 rows, first in row 700, column 1\..*missing="skip"'
        ):
            GaussianMixture(2).fit(X)


def test_too_little_that_is_complete_is_refused(clusters: np.ndarray) -> None:
    model = GaussianMixture(3, missing="skip")
    for rows in (np.full((40, 2), np.nan), da.full((40, 2), np.nan, chunks=(7, 2))):
        with pytest.raises(MixtureError, match="All 40 rows of X contain NaN or inf: nothing is left"):
            model.fit(rows)
    rows = np.full((40, 2), np.nan)
    rows[:2] = [[1.0, 2.0], [2.0, 1.0]]
    with pytest.raises(MixtureError, match="with a weight above 0 and without NaN = 2"):
        model.fit(rows)
    rows[:20] = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(MixtureError, match="no complete row counts"):
        model.fit(rows, sample_weight=np.isnan(rows[:, 0]).astype(float))
    fitted = GaussianMixture(3, random_state=0, missing="skip").fit(clusters)
    with pytest.raises(MixtureError, match="nothing to score"):
        fitted.score(np.full((3, 4), np.nan))
    np.testing.assert_array_equal(fitted.predict(np.full((3, 4), np.nan)), [-1, -1, -1])


@pytest.mark.parametrize("value", ["drop", None, 1, ["skip"]])
def test_a_wrong_way_with_missing_rows_is_named(clusters: np.ndarray, value: object) -> None:
    with pytest.raises(MixtureError, match="missing must be one of error, skip, got"):
        GaussianMixture(2, missing=value).fit(clusters)  # type: ignore[arg-type]


def test_scikit_learn_estimator_checks_with_skipping(run_estimator_checks: Callable[[Any], int]) -> None:
    assert run_estimator_checks(GaussianMixture(missing="skip")) >= 40

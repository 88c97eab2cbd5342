"""Starts from labels, from earlier models, and from a stratified sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.mixture import GaussianMixture as Reference
from sklearn.utils import check_random_state

from gravdask.errors import MixtureError, ModelError
from gravdask.mixture import GaussianMixture
from gravdask.mixture import initialise as initialise_module
from gravdask.mixture.blocks import cut_vector, row_blocks
from gravdask.mixture.initialise import draw_sample
from gravdask.mixture.strata import allot
from gravdask.mixture.survey import survey_block

KINDS = ("full", "tied", "diag", "spherical")
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_cholesky_")


def labels_of(rows: np.ndarray, n_components: int = 3, seed: int = 0) -> np.ndarray:
    """Labels with some rows left open, that have to do with the rows."""
    generator = np.random.default_rng(seed)
    labels = np.digitize(rows[:, 0], np.quantile(rows[:, 0], np.linspace(0, 1, n_components + 1)[1:-1]))
    labels[generator.uniform(size=len(rows)) < 0.3] = -1
    return labels.astype(np.int64)


def sklearn_m_step(rows: np.ndarray, labels: np.ndarray, kind: str, weights: np.ndarray | None = None) -> Any:
    """scikit-learn's M-step on hard responsibilities, with weights as repetitions."""
    used = labels >= 0
    repeat = np.ones(len(rows), dtype=int) if weights is None else weights.astype(int)
    rows, labels = np.repeat(rows[used], repeat[used], axis=0), np.repeat(labels[used], repeat[used])
    model = Reference(labels.max() + 1, covariance_type=kind)
    model._initialize(rows, np.eye(labels.max() + 1)[labels])
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_labels_start_from_one_m_step_over_all_rows(
    clusters: np.ndarray, kind: str, lazy: bool, weighted: bool
) -> None:
    labels = labels_of(clusters)
    weights = np.random.default_rng(3).integers(0, 4, len(clusters)) if weighted else None
    expected = sklearn_m_step(clusters, labels, kind, weights)
    X = da.from_array(clusters, chunks=(333, 2)) if lazy else clusters
    for asked in (labels, da.from_array(labels, chunks=500), labels.astype(np.int8), labels.tolist()):
        model = GaussianMixture(3, covariance_type=kind, labels_init=asked, max_iter=0).fit(X, sample_weight=weights)
        for name in PARAMETERS:
            target = getattr(expected, name)
            np.testing.assert_allclose(getattr(model, name), target, rtol=1e-9, atol=1e-10 * np.abs(target).max())


def test_labels_start_beyond_the_sample(clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = labels_of(clusters)
    options: dict[str, Any] = {"labels_init": labels, "max_iter": 0}
    whole = GaussianMixture(3, **options).fit(clusters)
    monkeypatch.setattr(initialise_module, "SAMPLE_ROWS", 50)
    np.testing.assert_array_equal(GaussianMixture(3, **options).fit(clusters).means_, whole.means_)


def test_labels_go_with_the_rows_that_stay(clusters: np.ndarray) -> None:
    labels = labels_of(clusters)
    rows = clusters.copy()
    rows[::7, 2] = np.nan
    good = np.isfinite(rows).all(axis=1)
    expected = sklearn_m_step(clusters[good], labels[good], "full")
    unknown = da.from_array(rows, chunks=(300, 4))[da.ones(2000, chunks=300, dtype=bool)]
    for X, asked in (
        (rows, labels),
        (da.from_array(rows, chunks=(300, 4)), labels),
        (da.from_array(rows, chunks=(300, 4)), da.from_array(labels, chunks=450)),
        (unknown, labels),
        (unknown, da.from_array(labels, chunks=300)[da.ones(2000, chunks=300, dtype=bool)]),
    ):
        model = GaussianMixture(3, labels_init=asked, missing="skip", max_iter=0).fit(X)
        np.testing.assert_allclose(model.means_, expected.means_, rtol=1e-9)
        np.testing.assert_allclose(model.covariances_, expected.covariances_, rtol=1e-8, atol=1e-9)


def test_given_values_replace_those_of_labels_and_models(clusters: np.ndarray) -> None:
    means = clusters[:3] * 0.5
    old = GaussianMixture(3, random_state=0, max_iter=300).fit(clusters)
    for start in ({"labels_init": labels_of(clusters)}, {"model_init": old}):
        plain = GaussianMixture(3, max_iter=0, **start).fit(clusters)
        model = GaussianMixture(3, max_iter=0, means_init=means, **start).fit(clusters)
        np.testing.assert_array_equal(model.means_, means)
        np.testing.assert_array_equal(model.covariances_, plain.covariances_)
        precise = GaussianMixture(3, max_iter=0, precisions_init=np.stack([np.eye(4)] * 3), **start).fit(clusters)
        np.testing.assert_array_equal(precise.means_, plain.means_)
        np.testing.assert_allclose(precise.covariances_, np.stack([np.eye(4)] * 3), rtol=1e-14)


@pytest.mark.parametrize("change", [lambda a: a.astype(float), lambda a: a.astype(str), lambda a: a > 0])
@pytest.mark.parametrize("lazy", [False, True])
def test_labels_that_are_no_integers_are_refused(clusters: np.ndarray, change: Any, lazy: bool) -> None:
    labels = change(labels_of(clusters))
    labels = da.from_array(labels, chunks=400) if lazy else labels
    with pytest.raises(MixtureError, match=r"labels_init must hold integers, .* got dtype"):
        GaussianMixture(3, labels_init=labels).fit(clusters)


@pytest.mark.parametrize("lazy", [False, True])
def test_wrong_labels_are_named(clusters: np.ndarray, lazy: bool) -> None:
    X = da.from_array(clusters, chunks=(300, 4)) if lazy else clusters
    labels = labels_of(clusters)

    def refused(labels: Any, message: str, k: int = 3, **options: Any) -> None:
        given = da.from_array(labels, chunks=300) if lazy else labels
        with pytest.raises(MixtureError, match=message):
            GaussianMixture(k, labels_init=given, **options).fit(X)

    out = labels.copy()
    out[1234] = 3
    refused(out, r"holds 3 in row 1234: labels are 0 to n_components - 1 = 2, or -1")
    out[1234] = -2
    refused(out, r"holds -2 in row 1234")
    refused(labels[:1999], "labels_init has 1999 values for 2000 rows")
    refused(labels[:, None] if not lazy else labels.reshape(1000, 2), r"labels_init must be 1D, \(n_rows,\)")
    refused(np.where(labels == 1, -1, labels), r"no row with a weight above 0 to component\(s\) 1: each of the 3")
    refused(np.full(2000, -1), r"component\(s\) 0, 1, 2")
    refused(labels, "two starts", model_init="somewhere")


@pytest.mark.parametrize("kind", KINDS)
def test_an_earlier_model_is_gone_on_from_to_the_bit(clusters: np.ndarray, tmp_path: Path, kind: str) -> None:
    options: dict[str, Any] = {"covariance_type": kind, "tol": 1e-6, "max_iter": 500}
    old = GaussianMixture(3, random_state=0, **options).fit(clusters)
    old.save(tmp_path / "old.json")
    for start in (old, tmp_path / "old.json", str(tmp_path / "old.json")):
        model = GaussianMixture(3, model_init=start, covariance_type=kind, max_iter=0).fit(clusters)
        for name in PARAMETERS:
            np.testing.assert_array_equal(getattr(model, name), getattr(old, name))
    longer = GaussianMixture(3, model_init=old, n_init=5, **options).fit(clusters)
    assert longer.n_iter_ <= 3
    assert longer.lower_bound_ == pytest.approx(old.lower_bound_, abs=1e-5)
    theirs = Reference(3, random_state=0, **options).fit(clusters)
    from_theirs = GaussianMixture(3, model_init=theirs, covariance_type=kind, max_iter=0).fit(clusters)
    np.testing.assert_array_equal(from_theirs.means_, theirs.means_)
    assert from_theirs.score(clusters) == pytest.approx(theirs.score(clusters), rel=1e-12)


@pytest.mark.parametrize("old_kind", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_another_type_keeps_what_the_new_type_can(clusters: np.ndarray, old_kind: str, kind: str) -> None:
    old = GaussianMixture(3, covariance_type=old_kind, random_state=0, max_iter=300).fit(clusters)
    model = GaussianMixture(3, covariance_type=kind, model_init=old, max_iter=0).fit(clusters)
    np.testing.assert_array_equal(model.weights_, old.weights_)
    np.testing.assert_array_equal(model.means_, old.means_)
    matrices = {
        "full": lambda: old.covariances_,
        "tied": lambda: np.stack([old.covariances_] * 3),
        "diag": lambda: np.stack([np.diag(v) for v in old.covariances_]),
        "spherical": lambda: np.stack([v * np.eye(4) for v in old.covariances_]),
    }[old_kind]()
    expected = {
        "full": lambda: matrices,
        "tied": lambda: np.average(matrices, axis=0, weights=old.weights_),
        "diag": lambda: np.stack([np.diag(m) for m in matrices]),
        "spherical": lambda: np.array([np.trace(m) / 4 for m in matrices]),
    }[kind]()
    np.testing.assert_allclose(model.covariances_, expected, rtol=1e-12, atol=1e-13)


def test_a_model_of_another_size_is_refused(clusters: np.ndarray, tmp_path: Path) -> None:
    old = GaussianMixture(3, random_state=0, max_iter=300).fit(clusters)
    with pytest.raises(MixtureError, match="model_init has 3 components of 4 features, but n_components=2"):
        GaussianMixture(2, model_init=old).fit(clusters)
    with pytest.raises(MixtureError, match="X has 2 features: set n_components=3, or give a model of the same"):
        GaussianMixture(3, model_init=old).fit(clusters[:, :2])
    with pytest.raises(MixtureError, match="not fitted yet"):
        GaussianMixture(3, model_init=GaussianMixture(3)).fit(clusters)
    with pytest.raises(MixtureError, match="or the path of a saved one, got dict"):
        GaussianMixture(3, model_init={"means": 1}).fit(clusters)
    with pytest.raises(ModelError, match=r"Cannot read the mixture .*none\.json"):
        GaussianMixture(3, model_init=tmp_path / "none.json").fit(clusters)
    old.set_params(covariance_type="diag")
    with pytest.raises(MixtureError, match="parameters were changed after the fit"):
        GaussianMixture(3, model_init=old).fit(clusters)


def test_clones_keep_their_starts(clusters: np.ndarray) -> None:
    old = GaussianMixture(3, random_state=0, max_iter=300).fit(clusters)
    model = GaussianMixture(3, model_init=old, max_iter=0)
    twin = clone(clone(model))
    assert not hasattr(twin, "means_")
    assert twin.model_init is not old
    np.testing.assert_array_equal(twin.fit(clusters).means_, old.means_)
    assert model.model_init is old
    labels = labels_of(clusters)
    labelled = GaussianMixture(3, labels_init=labels, max_iter=0)
    assert labelled.labels_init is labels
    np.testing.assert_array_equal(clone(labelled).fit(clusters).means_, labelled.fit(clusters).means_)
    lazy = GaussianMixture(3, labels_init=da.from_array(labels, chunks=500), max_iter=0)
    np.testing.assert_allclose(clone(lazy).fit(clusters).means_, labelled.means_, rtol=1e-13)


def test_warm_start_goes_before_all(clusters: np.ndarray) -> None:
    model = GaussianMixture(3, labels_init=labels_of(clusters), warm_start=True, max_iter=300).fit(clusters)
    again = clone(model).set_params(labels_init=None)
    assert model.fit(clusters[:700]).n_iter_ > 0  # the labels would not fit these rows
    with pytest.raises(MixtureError, match="labels_init has 2000 values for 700 rows"):
        clone(model).fit(clusters[:700])
    assert again.labels_init is None


def test_a_first_batch_starts_from_labels_and_models(clusters: np.ndarray) -> None:
    labels = labels_of(clusters)
    model = GaussianMixture(3, labels_init=labels).partial_fit(clusters).partial_fit(clusters[:500])
    start = GaussianMixture(3, labels_init=labels, max_iter=0).fit(clusters)
    other = GaussianMixture(3, model_init=start).partial_fit(clusters).partial_fit(clusters[:500])
    np.testing.assert_allclose(model.means_, other.means_, rtol=1e-12)


# The stratified sample


@given(
    counts=st.lists(st.integers(1, 10**12), min_size=1, max_size=30),
    n_wanted=st.integers(0, 10**6),
)
@settings(max_examples=200, deadline=None)
def test_every_stratum_gets_its_share(counts: list[int], n_wanted: int) -> None:
    n_wanted = min(n_wanted, sum(counts))
    taken = allot(counts, n_wanted)
    assert taken.sum() == n_wanted
    for count, take in zip(counts, taken.tolist(), strict=True):
        assert take <= count
        assert abs(take * sum(counts) - count * n_wanted) < sum(counts)  # less than one row off, in whole numbers


def sample_of(
    rows: Any, groups: Any, seed: int = 0, weights: Any = None
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    blocks = row_blocks(rows, weights)
    parts = blocks.map(survey_block)
    cut = cut_vector(blocks, groups, [part.rows for part in parts], "groups")
    return draw_sample(blocks, [part.rows_with_weight for part in parts], check_random_state(seed), cut)


@pytest.mark.parametrize("names", ["integers", "words", "dates", "objects"])
def test_the_sample_takes_the_same_share_of_each_stratum(monkeypatch: pytest.MonkeyPatch, names: str) -> None:
    monkeypatch.setattr(initialise_module, "SAMPLE_ROWS", 1000)
    generator = np.random.default_rng(0)
    codes = np.sort(generator.choice(5, 20_000, p=[0.5, 0.3, 0.15, 0.04, 0.01]))
    codes[:500] = generator.permutation(codes[:500])
    groups = {
        "integers": codes - 2,
        "words": np.array(["AAK 2021-06", "b", "c", "d", "e"])[codes],
        "dates": np.datetime64("2021-01") + codes.astype("timedelta64[M]"),
        "objects": np.array(["AAK 2021-06", "b", "c", "d", "e"], dtype=object)[codes],
    }[names]
    rows = np.arange(20_000.0)[:, None]
    weights = (generator.uniform(size=20_000) < 0.7).astype(float)
    for weight in (None, weights):
        used = np.ones(20_000, dtype=bool) if weight is None else weights > 0
        drawn, _ = sample_of(rows, groups, weights=weight)
        index = drawn[:, 0].astype(int)
        assert len(index) == 1000
        assert (np.diff(index) > 0).all()
        assert used[index].all()
        share = np.bincount(codes[index]) / np.bincount(codes[used])
        exact = 1000 / used.sum()
        assert (np.abs(share - exact) * np.bincount(codes[used]) < 1.0).all()
        for chunks in (20_000, 1700, (0, 3000, 0, 5, 16_995)):
            for asked in (groups, da.from_array(groups, chunks=777)):
                other, _ = sample_of(da.from_array(rows, chunks=(chunks, 1)), asked, weights=weight)
                np.testing.assert_array_equal(other, drawn)
    assert not np.array_equal(sample_of(rows, groups, seed=1)[0], sample_of(rows, groups)[0])


def test_rows_without_weight_never_enter_the_sample(clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initialise_module, "SAMPLE_ROWS", 300)
    weights = np.zeros(2000)
    weights[::4] = 1.0
    options: dict[str, Any] = {"random_state": 0, "max_iter": 300}
    rows = clusters.copy()
    rows[weights == 0.0] = 1e6  # would ruin a start
    model = GaussianMixture(3, **options).fit(rows, sample_weight=weights)
    only = GaussianMixture(3, **options).fit(rows[::4])
    np.testing.assert_allclose(model.means_, only.means_, rtol=1e-7)
    blocks = row_blocks(da.from_array(rows, chunks=(130, 4)), weights)
    sizes = [part.rows_with_weight for part in blocks.map(survey_block)]
    drawn, kept = draw_sample(blocks, sizes, check_random_state(0))
    assert drawn.shape == (300, 4)
    assert kept is not None
    assert (kept == 1.0).all()
    assert drawn.max() < 1e6


@pytest.mark.parametrize("method", ["kmeans", "k-means++", "random_from_data"])
def test_a_stratified_fit_does_not_know_the_chunks(
    clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(initialise_module, "SAMPLE_ROWS", 400)
    groups = np.array(["x", "y", "z"])[np.arange(2000) * 3 // 2000]
    rows = clusters.copy()
    rows[::9] = np.nan
    options: dict[str, Any] = {"init_params": method, "random_state": 3, "max_iter": 300, "missing": "skip"}
    whole = GaussianMixture(3, **options).fit(rows, groups=groups)
    for chunks in (333, (0, 700, 0, 1, 1299)):
        model = GaussianMixture(3, **options).fit(da.from_array(rows, chunks=(chunks, 4)), groups=groups)
        np.testing.assert_allclose(model.means_, whole.means_, rtol=1e-8)
    other = GaussianMixture(3, **options, warm_start=False).fit(rows)
    assert not np.array_equal(other.lower_bounds_, whole.lower_bounds_)
    np.testing.assert_array_equal(GaussianMixture(3, **options).fit_predict(rows, groups=groups), whole.predict(rows))


def test_wrong_groups_are_named(clusters: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initialise_module, "SAMPLE_ROWS", 400)
    model = GaussianMixture(2, random_state=0)
    with pytest.raises(MixtureError, match="groups has 5 values for 2000 rows"):
        model.fit(clusters, groups=np.zeros(5, dtype=int))
    with pytest.raises(MixtureError, match=r"groups must be 1D, \(n_rows,\), but got shape \(2000, 1\)"):
        model.fit(clusters, groups=np.zeros((2000, 1), dtype=int))
    with pytest.raises(MixtureError, match=r"groups must be integers, words or dates, .* got dtype float64"):
        model.fit(clusters, groups=np.zeros(2000))
    with pytest.raises(MixtureError, match="groups must be labels of one kind"):
        model.fit(clusters, groups=np.array([1, "a"] * 1000, dtype=object))

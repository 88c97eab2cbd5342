"""Saving and loading: the same bits, and files that are not what they claim."""

from __future__ import annotations

import json
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.mixture import GaussianMixture as Reference

from gravdask.errors import MixtureError, ModelError
from gravdask.mixture import GaussianMixture

ARRAYS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_a_loaded_mixture_answers_to_the_bit(clusters: np.ndarray, tmp_path: Path, kind: str) -> None:
    model = GaussianMixture(3, covariance_type=kind, random_state=4, means_init=clusters[:3], max_iter=400).fit(
        clusters
    )
    path = tmp_path / "model.json"
    model.save(path)
    loaded = GaussianMixture.load(path)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))
    np.testing.assert_array_equal(loaded.predict(clusters), model.predict(clusters))
    np.testing.assert_array_equal(loaded.predict_proba(clusters), model.predict_proba(clusters))
    np.testing.assert_array_equal(loaded.score_samples(clusters), model.score_samples(clusters))
    for name in ("converged_", "n_iter_", "lower_bound_", "lower_bounds_", "reseeded_", "n_features_in_"):
        assert getattr(loaded, name) == getattr(model, name)
    assert loaded.get_params()["covariance_type"] == kind
    assert loaded.partial_fit(clusters[:100]).n_iter_ == model.n_iter_ + 1  # the statistics came along
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.json"]


def test_feature_names_and_an_unfinished_fit_are_kept(clusters: np.ndarray, tmp_path: Path) -> None:
    frame = pd.DataFrame(clusters, columns=list("abcd"))
    model = GaussianMixture(2, max_iter=0, random_state=0).fit(frame)
    model.save(tmp_path / "m")
    loaded = GaussianMixture.load(tmp_path / "m")
    assert list(loaded.feature_names_in_) == list("abcd")
    assert (loaded.lower_bound_, loaded.statistics_) == (-np.inf, None)
    np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))
    with pytest.raises(MixtureError, match="partial_fit needs sufficient statistics"):
        loaded.partial_fit(frame)


def test_a_seed_without_json_form_is_refused(clusters: np.ndarray, tmp_path: Path) -> None:
    model = GaussianMixture(2, random_state=np.random.RandomState(0)).fit(clusters)
    with pytest.raises(MixtureError, match=r"random_state=.* cannot be saved"):
        model.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_what_was_skipped_is_kept_and_older_files_have_none(clusters: np.ndarray, tmp_path: Path) -> None:
    rows = clusters.copy()
    rows[3:8, 1] = np.nan
    path = tmp_path / "m.json"
    GaussianMixture(2, random_state=0, missing="skip").fit(rows).save(path)
    loaded = GaussianMixture.load(path)
    assert (loaded.n_skipped_, loaded.missing) == (5, "skip")
    assert (loaded.predict(rows)[:10] == -1).sum() == 5
    old = json.loads(path.read_text())
    del old["fitted"]["n_skipped"]
    for name in ("missing", "labels_init", "model_init"):
        del old["parameters"][name]
    path.write_text(json.dumps(old))
    loaded = GaussianMixture.load(path)
    assert (loaded.n_skipped_, loaded.missing) == (0, "error")
    np.testing.assert_array_equal(loaded.predict(clusters), GaussianMixture.load(path).predict(clusters))


def test_starts_are_saved_or_refused_with_a_reason(clusters: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    labels = np.arange(2000) % 3
    model = GaussianMixture(3, labels_init=labels, max_iter=300, random_state=0).fit(clusters)
    model.save(path)
    loaded = GaussianMixture.load(path)
    assert loaded.labels_init == labels.tolist()
    np.testing.assert_array_equal(clone(loaded).fit(clusters).means_, model.means_)
    lazy = model.set_params(labels_init=da.from_array(labels, chunks=500))
    with pytest.raises(
        MixtureError, match=r"labels_init=dask.array.* cannot be saved as JSON\. Compute the labels first"
    ):
        lazy.save(path)
    lazy.set_params(labels_init=None).save(path)

    old = GaussianMixture.load(path)
    for start in (old, path, str(path)):
        following = GaussianMixture(3, model_init=start, random_state=0, covariance_type="diag").fit(clusters)
        following.save(tmp_path / "next.json")
        again = GaussianMixture.load(tmp_path / "next.json")
        np.testing.assert_array_equal(again.means_, following.means_)
        np.testing.assert_array_equal(clone(again).fit(clusters).means_, following.means_)
        assert isinstance(again.model_init, GaussianMixture if start is old else str)
    following.set_params(model_init=Reference(3, random_state=0).fit(clusters))
    with pytest.raises(
        MixtureError, match=r"model_init=GaussianMixture.* cannot be saved as JSON\. Set model_init to None"
    ):
        following.save(tmp_path / "next.json")
    following.set_params(model_init=GaussianMixture(3))
    with pytest.raises(MixtureError, match="not fitted: a start that is saved must be fitted"):
        following.save(tmp_path / "next.json")


def test_damaged_files_are_named(clusters: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    with pytest.raises(ModelError, match=r"Cannot read the mixture .*model\.json: No such file"):
        GaussianMixture.load(path)
    GaussianMixture(2, random_state=0).fit(clusters).save(path)
    good = json.loads(path.read_text())

    def damaged(change: dict[str, object], message: str) -> None:
        path.write_text(json.dumps(good | change))
        with pytest.raises(ModelError, match=message):
            GaussianMixture.load(path)

    damaged({"format": "other"}, "is not a saved mixture")
    damaged({"version": 99}, "has version 99; this program reads 1")
    damaged({"fitted": {}}, "is damaged: KeyError: 'weights'")
    damaged({"fitted": good["fitted"] | {"covariances": [[1.0]]}}, "covariances have shape")
    damaged({"fitted": good["fitted"] | {"weights": [0.9, 0.9]}}, "weights should be normalized")
    damaged({"fitted": good["fitted"] | {"means": [[1.0, 2.0, 3.0, None]] * 2}}, "is damaged")
    damaged({"parameters": good["parameters"] | {"n_components": 0}}, "n_components must be")
    damaged({"parameters": good["parameters"] | {"surprise": 0}}, "Invalid parameter 'surprise'")
    path.write_text(json.dumps(good)[:-40])
    with pytest.raises(ModelError, match="not JSON"):
        GaussianMixture.load(path)


def test_factors_that_are_not_those_of_the_covariances_are_refused(clusters: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "mixture.json"
    GaussianMixture(2, random_state=0).fit(clusters).save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["fitted"]["precisions_cholesky"][0][0][0] *= -1.0
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="not those of the covariances"):
        GaussianMixture.load(path)
    content["fitted"]["means"] = []
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="damaged"):
        GaussianMixture.load(path)

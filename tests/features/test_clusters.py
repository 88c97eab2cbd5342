"""k-means of a sample: known clusters, scikit-learn's inertia, the same on any number of workers."""

from __future__ import annotations

import dask
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from gravdask.errors import ModelError
from gravdask.features import clusters
from gravdask.features.clusters import KMeansStart, kmeans_start

Array = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _synchronous() -> object:
    with dask.config.set(scheduler="synchronous"):
        yield


def blobs(n: int = 900, k: int = 5, seed: int = 0) -> tuple[Array, NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % k
    return 12.0 * np.random.default_rng(1).normal(size=(k, 4))[labels] + generator.normal(size=(n, 4)), labels


def consistent(rows: Array, found: KMeansStart) -> None:
    """Centres, weights and inertia are those of the labels."""
    k = len(found.centres)
    for number in range(k):
        np.testing.assert_allclose(found.centres[number], rows[found.labels == number].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.weights, np.bincount(found.labels, minlength=k) / len(rows))
    assert found.inertia == pytest.approx(np.square(rows - found.centres[found.labels]).sum(), rel=1e-12)


@pytest.mark.parametrize(("unit", "offset"), [(1.0, 0.0), (1e-9, 0.0), (1e6, 0.0), (1.0, 1e6)])
def test_known_clusters_are_found_in_any_unit(unit: float, offset: float) -> None:
    rows, labels = blobs()
    found = kmeans_start(rows * unit + offset, 5, seed=0)
    assert adjusted_rand_score(labels, found.labels) == 1.0
    consistent(rows * unit + offset, found)
    assert found.notes == ()
    assert found.labels.dtype == np.int64
    assert found.inertia == pytest.approx(KMeans(5, n_init=3, random_state=0).fit(rows).inertia_ * unit**2, rel=1e-5)


def test_single_precision_and_one_cluster() -> None:
    rows, _ = blobs()
    one = kmeans_start(rows.astype(np.float32), 1, seed=0)
    np.testing.assert_allclose(one.centres[0], rows.mean(axis=0), rtol=1e-5)
    assert (one.weights.tolist(), set(one.labels.tolist())) == ([1.0], {0})


def test_noise_is_cut_nearly_as_well_as_by_scikit_learn() -> None:
    rows = np.random.default_rng(0).normal(size=(2000, 3))
    found = kmeans_start(rows, 6, seed=3)
    consistent(rows, found)
    assert found.inertia < 1.05 * KMeans(6, n_init=5, random_state=0).fit(rows).inertia_


def test_seed_decides_and_the_scheduler_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CHUNK_ROWS", 150)
    rows = np.random.default_rng(0).normal(size=(700, 3))
    one = kmeans_start(rows, 5, seed=1)
    with dask.config.set(scheduler="threads", num_workers=4):
        other = kmeans_start(rows, 5, seed=1)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.centres, other.centres)
    assert any(not np.array_equal(kmeans_start(rows, 5, seed=s).labels, one.labels) for s in (2, 3, 4))


@pytest.mark.slow
def test_one_worker_or_two_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "CHUNK_ROWS", 700)
    rows, _ = blobs(4000)
    expected = kmeans_start(rows, 5, seed=1)
    for workers in (1, 2):
        with (
            dask.config.set(scheduler=None),
            distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0"
            ) as cluster,
            distributed.Client(cluster),
        ):
            found = kmeans_start(rows, 5, seed=1)
        np.testing.assert_array_equal(found.centres, expected.centres)
        np.testing.assert_array_equal(found.labels, expected.labels)


@pytest.mark.parametrize("k", [2, 4, 6])
def test_few_distinct_rows(k: int) -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=(6, 3)), 20, axis=0)
    found = kmeans_start(rows, k, seed=0)
    consistent(rows, found)
    assert (found.weights > 0).all()
    if k == 6:
        assert found.inertia == pytest.approx(0, abs=1e-20)


def test_an_empty_cluster_is_filled_and_told_of() -> None:
    rows = np.array([[0.0], [0.1], [5.0], [9.0]])
    labels, notes = clusters._fill_empty(rows, np.array([[0.0], [100.0], [6.0]]))
    assert labels.tolist() == [0, 0, 2, 1]
    assert len(notes) == 1
    assert "cluster 1 without rows" in notes[0]
    labels, notes = clusters._fill_empty(np.zeros((3, 1)), np.array([[0.0], [7.0], [8.0]]))
    assert sorted(labels.tolist()) == [0, 1, 2]
    assert len(notes) == 2


@pytest.mark.parametrize("k", [0, 4])
def test_more_clusters_than_distinct_rows_are_refused(k: int) -> None:
    rows = np.repeat(np.eye(3), 5, axis=0)
    with pytest.raises(ModelError, match=f"k-means of {k} clusters .* got 3 among 15"):
        kmeans_start(rows, k, seed=0)


def test_missing_values_are_refused() -> None:
    rows, _ = blobs()
    rows[[2, 5], 1] = np.nan, np.inf
    with pytest.raises(ModelError, match="2 with NaN or infinity"):
        kmeans_start(rows, 3, seed=0)

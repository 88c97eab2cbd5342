"""Where a mixture may start: k-means of a sample, by dask-ml.

dask-ml's KMeans (k-means||, then Lloyd's iterations) passes over its rows many times and gathers candidates each time,
so it gets a bounded sample, in chunks that follow from the sample alone. Its ``inertia_`` means two things, it leaves
an empty cluster at the origin, and neither its tolerance nor its number of rounds knows the scale of the rows: so they
are brought to variance one before, and labels, centres and inertia are made afresh from its centres.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from gravdask.errors import ModelError

Array = NDArray[np.float64]
CHUNK_ROWS = 1 << 15
"""Rows of a chunk: it bounds the matrix of distances to the candidates."""
TOLERANCE = 1e-4
"""Lloyd's iterations end when the centres move by less, squared and summed, in units of the rows' variance: the default
of scikit-learn, which scales it so."""


@dataclass(frozen=True)
class KMeansStart:
    """Clusters of a sample.

    Attributes
    ----------
    labels
        Cluster of each row of the sample, the nearest, shape (n_sample,).
    centres
        Mean of each cluster's rows, shape (n_components, n_features).
    weights
        Share of the sample in each cluster, shape (n_components,), none of them zero.
    inertia
        Sum of squared distances of rows from the centres of their clusters.
    notes
        What is to be told: clusters that came out empty and were given a row of their own.
    """

    labels: NDArray[np.int64]
    centres: Array
    weights: Array
    inertia: float
    notes: tuple[str, ...] = ()


def kmeans_start(sample: NDArray[np.floating], n_components: int, seed: int, max_iter: int = 300) -> KMeansStart:
    """Cluster a sample by dask-ml's KMeans; the same seed gives the same clusters on any number of workers.

    Parameters
    ----------
    sample
        Rows (n_sample, n_features) of any float type, without NaN. It is sent to the workers: keep it bounded.
    n_components
        Number of clusters.
    seed
        Seed of k-means||.
    max_iter
        Lloyd's iterations, at most.

    Raises
    ------
    ModelError
        If the sample has NaN, or fewer distinct rows than clusters.
    """
    rows = np.asarray(sample, dtype=np.float64)
    finite = np.isfinite(rows).all(axis=1)
    distinct = _distinct(rows[finite], n_components)
    if not finite.all() or not 1 <= n_components <= distinct:
        msg = (
            f"k-means of {n_components} clusters needs at least as many distinct rows without NaN or infinity, got "
            f"{distinct} among {len(rows)}, {int((~finite).sum())} with NaN or infinity; ask for fewer components"
        )
        raise ModelError(msg)
    mean = rows.mean(axis=0)
    centred = rows - mean
    spread = float(np.sqrt(np.mean(np.square(centred)))) or 1.0
    centres = _dask_ml_centres(centred / spread, n_components, seed, max_iter)
    labels, notes = _fill_empty(centred / spread, centres)
    return _from_labels(rows, labels, n_components, notes)


def _dask_ml_centres(rows: Array, n_components: int, seed: int, max_iter: int) -> Array:
    """Centres that dask-ml finds, shape (n_components, n_features)."""
    from dask_ml.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if n_components == 1:
        return np.asarray(rows.mean(axis=0, keepdims=True))
    blocks = da.from_array(rows, chunks=(CHUNK_ROWS, rows.shape[1])).persist()
    model = KMeans(n_components, random_state=seed % 2**32, max_iter=max_iter, tol=TOLERANCE, n_init=10)
    with warnings.catch_warnings():
        # Equal candidates among the distinct rows: the empty cluster that they leave is filled and told of.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Where every row is a candidate, dask-ml divides by distances that sum to zero, and draws none.
        warnings.filterwarnings("ignore", "invalid value encountered in divide", RuntimeWarning)
        model.fit(blocks)
    return np.asarray(model.cluster_centers_, np.float64)


def _distinct(rows: Array, enough: int) -> int:
    """Number of distinct rows, or of those among the first, if they are enough."""
    found = len(np.unique(rows[:CHUNK_ROWS], axis=0))
    return found if found >= enough else len(np.unique(rows, axis=0))


def _nearest(rows: Array, centres: Array) -> tuple[NDArray[np.int64], Array]:
    """Nearest centre of each row and the squared distance to it."""
    labels = np.empty(len(rows), np.int64)
    squares = np.empty(len(rows))
    for start in range(0, len(rows), CHUNK_ROWS):
        part = rows[start : start + CHUNK_ROWS]
        best = np.full(len(part), np.inf)
        for number, centre in enumerate(centres):
            distance = np.square(part - centre).sum(axis=1)
            closer = distance < best
            labels[start : start + CHUNK_ROWS][closer] = number
            best[closer] = distance[closer]
        squares[start : start + CHUNK_ROWS] = best
    return labels, squares


def _fill_empty(rows: Array, centres: Array) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels by the nearest centre; a cluster without rows gets the one that is farthest from its centre."""
    labels, squares = _nearest(rows, centres)
    notes = []
    for empty in np.flatnonzero(np.bincount(labels, minlength=len(centres)) == 0):
        shared = np.bincount(labels, minlength=len(centres))[labels] > 1
        row = int(np.where(shared, squares, -1.0).argmax())
        labels[row] = empty
        notes.append(f"k-means left cluster {empty} without rows: it starts at the row farthest from its own centre")
    return labels, tuple(notes)


def _from_labels(rows: Array, labels: NDArray[np.int64], n_components: int, notes: tuple[str, ...]) -> KMeansStart:
    """Centres, weights and inertia that follow from labels."""
    counts = np.bincount(labels, minlength=n_components)
    centres = np.stack([rows[labels == k].mean(axis=0) for k in range(n_components)])
    inertia = float(np.square(rows - centres[labels]).sum())
    return KMeansStart(labels, centres, counts / len(rows), inertia, notes)

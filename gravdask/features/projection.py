"""Scaling and principal components over Dask arrays, with dask-ml, frozen as plain arrays.

dask-ml's StandardScaler runs over all rows in one pass. Its PCA gathers the rows on one worker, so it is fitted on a
bounded sample of rows; what it finds is kept as plain arrays, and applied block by block with two matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from gravdask.errors import ModelError

Array = NDArray[np.float64]
CONSTANT = 1e-12
"""A column varies if its standard deviation is more than this share of its mean."""


@dataclass(frozen=True)
class Projection:
    """A frozen scaling and rotation.

    Attributes
    ----------
    mean, scale
        Of each column over all rows of the fit, shape (n_columns,).
    components
        Principal axes of the scaled columns, shape (n_components, n_columns).
    centre
        Mean of the sample in scaled columns, shape (n_columns,).
    explained
        Share of the sample's variance along each axis, shape (n_components,).
    """

    mean: Array
    scale: Array
    components: Array
    centre: Array
    explained: Array

    def transform(self, columns: Array) -> Array:
        """Project rows (n, n_columns) to (n, n_components); NaN rows stay NaN."""
        return np.asarray(((columns - self.mean) / self.scale - self.centre) @ self.components.T)

    def inverse(self, features: Array) -> Array:
        """Columns (n, n_columns) that given features (n, n_components) stand for."""
        return np.asarray((features @ self.components + self.centre) * self.scale + self.mean)


def fit_scaler(rows: Any) -> tuple[Array, Array]:  # noqa: ANN401
    """Mean and standard deviation of each column over all rows, by dask-ml's StandardScaler.

    Parameters
    ----------
    rows
        Dask array (n_rows, n_columns) without NaN, of known chunk sizes.

    Raises
    ------
    ModelError
        If a column does not vary at all.
    """
    from dask_ml.preprocessing import StandardScaler

    scaler = StandardScaler().fit(rows)
    mean, scale = np.asarray(scaler.mean_, np.float64), np.asarray(scaler.scale_, np.float64)
    # dask-ml gives a column of variance zero the scale one; in floating point a constant has nearly no variance.
    varies = np.sqrt(np.asarray(scaler.var_, np.float64)) > CONSTANT * np.abs(mean)
    if not varies.all():
        bad = np.flatnonzero(~varies).tolist()
        msg = f"the columns {bad} do not vary over the frames of the fit; are the records constant there?"
        raise ModelError(msg)
    return mean, scale


def fit_projection(rows: Any, sample: Array, n_components: int, seed: int) -> Projection:  # noqa: ANN401
    """Fit scaling on all rows and principal components on a sample of them.

    Parameters
    ----------
    rows
        Dask array (n_rows, n_columns) without NaN, of known chunk sizes.
    sample
        Rows to fit the principal components on, shape (n_sample, n_columns).
    n_components
        Principal components kept.
    seed
        Seed of dask-ml's PCA.
    """
    from dask_ml.decomposition import PCA

    mean, scale = fit_scaler(rows)
    scaled = da.from_array((sample - mean) / scale, chunks=(max(len(sample), 1), sample.shape[1]))
    pca = PCA(n_components=n_components, svd_solver="tsqr", random_state=seed).fit(scaled)
    # A principal axis has no sign of its own: the largest loading is made positive, so that refits can be compared.
    components = np.asarray(pca.components_, np.float64)
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(len(components)), largest])[:, None]
    return Projection(
        mean, scale, components, np.asarray(pca.mean_, np.float64), np.asarray(pca.explained_variance_ratio_)
    )

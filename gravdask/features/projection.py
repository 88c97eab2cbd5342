"""Scaling and principal components over Dask arrays, frozen as plain arrays.

Two ways lead to the same axes. "sample": dask-ml's StandardScaler runs over all rows in one pass, and its PCA, which
gathers the rows on one worker, over a bounded sample of them. "exact": moments of the blocks are merged into the
correlation of all rows, and its eigenvectors are the axes; one pass, no sample. Either may be whitened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import dask
import dask.array as da
import numpy as np
from numpy.typing import NDArray

from gravdask.errors import ModelError
from gravdask.features.moments import CONSTANT, Moments, first_largest_positive, principal_axes, require_variation
from gravdask.features.reduction import sum_blocks

__all__ = ["CONSTANT", "Projection", "fit_projection", "fit_scaler", "projection_from_moments", "whitening_scale"]

Array = NDArray[np.float64]
Method = Literal["sample", "exact"]
WHITENING_FLOOR = 1e-6
"""A direction is never divided by less than the root of this share of the largest variance."""


@dataclass(frozen=True)
class Projection:
    """A frozen scaling and a frozen linear map: (x - mean) / scale - centre, times the components.

    Attributes
    ----------
    mean, scale
        Of each column over all rows of the fit, shape (n_columns,).
    components
        What scaled columns are multiplied with, shape (n_components, n_columns): principal axes, or those divided by
        the deviation along them (whitened), or the unmixing of independent components.
    centre
        Mean of the sample in scaled columns, shape (n_columns,); zero where the axes are those of all rows.
    explained
        Share of the scaled columns' variance along each axis, shape (n_components,).
    mixing
        The way back: what features are multiplied with to give scaled columns, shape (n_components, n_columns). None
        where it is the components themselves, as with principal axes, which are orthonormal.
    """

    mean: Array
    scale: Array
    components: Array
    centre: Array
    explained: Array
    mixing: Array | None = None

    def transform(self, columns: Array) -> Array:
        """Project rows (n, n_columns) to (n, n_components); NaN rows stay NaN."""
        return np.asarray(((columns - self.mean) / self.scale - self.centre) @ self.components.T)

    def inverse(self, features: Array) -> Array:
        """Columns (n, n_columns) that given features (n, n_components) stand for."""
        back = self.components if self.mixing is None else self.mixing
        return np.asarray((features @ back + self.centre) * self.scale + self.mean)


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
    mean = np.asarray(scaler.mean_, np.float64)
    # dask-ml gives a column of variance zero the scale one, so the variance itself is looked at.
    require_variation(mean, np.sqrt(np.asarray(scaler.var_, np.float64)))
    return mean, np.asarray(scaler.scale_, np.float64)


def fit_projection(
    rows: Any,  # noqa: ANN401
    sample: Array | None,
    n_components: int,
    seed: int,
    method: Method = "sample",
    whiten: bool = False,
) -> Projection:
    """Fit scaling on all rows and principal components on a sample of them, or on all.

    Parameters
    ----------
    rows
        Dask array (n_rows, n_columns): without NaN and of known chunk sizes for "sample"; of any chunking, rows with
        NaN left out, for "exact".
    sample
        Rows to fit the principal components on, shape (n_sample, n_columns); "exact" does not look at it.
    n_components
        Principal components kept.
    seed
        Seed of dask-ml's PCA.
    method
        "sample" for dask-ml's PCA on the sample, "exact" for the eigenvectors of the correlation of all rows.
    whiten
        Whether features are divided by their standard deviation, with a floor (`whitening_scale`).

    Raises
    ------
    ModelError
        If a column does not vary, or there are fewer rows or columns than components.
    """
    if method not in get_args(Method):
        msg = f"principal components are fitted on a 'sample' or are 'exact', got {method!r}"
        raise ModelError(msg)
    if method == "exact":
        moments = sum_blocks(rows, Moments.from_block, Moments.zero(rows.shape[1]))
        return projection_from_moments(moments, n_components, whiten)
    if sample is None:
        msg = "principal components of a sample need a sample, got None: give one, or take method='exact'"
        raise ModelError(msg)
    from dask_ml.decomposition import PCA

    mean, scale = fit_scaler(rows)
    scaled = da.from_array((sample - mean) / scale, chunks=(max(len(sample), 1), sample.shape[1]))
    with dask.config.set(scheduler="synchronous"):  # one block that is here already: not sent to a worker
        pca = PCA(n_components=n_components, svd_solver="tsqr", random_state=seed).fit(scaled)
        # The mean is a Dask array still, and would take the whole sample along.
        centre, explained = np.asarray(pca.mean_, np.float64), np.asarray(pca.explained_variance_ratio_)
    components = first_largest_positive(np.asarray(pca.components_, np.float64))
    plain = Projection(mean, scale, components, centre, explained)
    return _whitened(plain, np.asarray(pca.explained_variance_)) if whiten else plain


def projection_from_moments(moments: Moments, n_components: int, whiten: bool = False) -> Projection:
    """Scaling and principal components of all rows, from their merged moments.

    Parameters
    ----------
    moments
        Of the columns, unscaled.
    n_components
        Principal components kept, at most the number of columns and less than the number of rows.
    whiten
        Whether features are divided by their standard deviation, with a floor (`whitening_scale`).

    Raises
    ------
    ModelError
        If a column does not vary, or there are too few rows or columns.
    """
    most = min(moments.n_columns, moments.count - 1)
    if not 1 <= n_components <= most:
        msg = (
            f"{n_components} principal components were asked for, {moments.count} rows of {moments.n_columns} columns "
            f"have at most {max(most, 0)} ({moments.skipped} rows with NaN were left out); ask for fewer features"
        )
        raise ModelError(msg)
    axes, variance = principal_axes(moments.correlation())
    kept = np.ascontiguousarray(axes[:n_components])
    share = variance[:n_components] / variance.sum()
    plain = Projection(moments.mean, moments.deviation(), kept, np.zeros(moments.n_columns), share)
    # Columns are scaled by the deviation over n, variances along axes count n - 1, as scikit-learn has them.
    return _whitened(plain, variance * (moments.count / (moments.count - 1))) if whiten else plain


def whitening_scale(variance: Array) -> Array:
    """What whitening divides by: the root of the variance along each axis, but of no less than the floor.

    A direction without variance keeps its rounding noise small, instead of having it blown up to one.

    Parameters
    ----------
    variance
        Along each axis, shape (n,), the largest first.
    """
    return np.asarray(np.sqrt(np.maximum(variance, WHITENING_FLOOR * variance[0])))


def _whitened(plain: Projection, variance: Array) -> Projection:
    """Divide the features of principal axes by the root of their variance; the inverse multiplies by it."""
    scale = whitening_scale(variance[: len(plain.components)])[:, None]
    return Projection(
        plain.mean, plain.scale, plain.components / scale, plain.centre, plain.explained, plain.components * scale
    )

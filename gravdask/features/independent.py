"""Independent components of a sample, by scikit-learn's FastICA, as one frozen matrix.

FastICA finds the rotation of whitened features under which they are least Gaussian (Hyvärinen & Oja 2000, doi
10.1016/S0893-6080(00)00026-5). Rotation, whitening and principal axes are multiplied into one matrix, so a row is
projected by one product, as before, and the way back is the exact inverse within the space of the axes.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import ModelError
from gravdask.features.moments import Moments, first_largest_positive, principal_axes
from gravdask.features.projection import WHITENING_FLOOR, Projection

Array = NDArray[np.float64]


def fit_independent(
    projection: Projection, sample: Array, seed: int, max_iter: int = 500, tol: float = 1e-4
) -> tuple[Projection, tuple[str, ...]]:
    """Turn the features of a projection into independent components.

    Parameters
    ----------
    projection
        Principal components, whitened or not, or independent ones.
    sample
        Columns of the sample, shape (n_sample, n_columns), without NaN.
    seed
        Seed of FastICA's start.
    max_iter
        Iterations, at most.
    tol
        FastICA ends when no axis turns by more: 1 - |cos| of the angle.

    Returns
    -------
    projection
        Its features have variance one and no correlation on the sample. They are in the order of the variance of the
        scaled columns that they explain, and signed so that the largest entry of what they stand for in scaled columns
        is positive.
    warnings
        What is to be told: that FastICA did not converge, and then the components are as they stood at the end.

    Raises
    ------
    ModelError
        If the sample does not vary in as many directions as there are features.
    """
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    # In orthonormal axes of the scaled columns, whether the features are whitened or not.
    basis = np.linalg.qr(projection.components.T)[0].T
    rows = ((sample - projection.mean) / projection.scale - projection.centre) @ basis.T
    width = rows.shape[1]
    moments = Moments.from_block(rows)
    if moments.skipped or moments.count <= width:
        msg = (
            f"independent components of {width} features need more rows than that, without NaN; the sample has "
            f"{moments.count}, and {moments.skipped} with NaN"
        )
        raise ModelError(msg)
    axes, variance = principal_axes(moments.covariance())
    found = int((variance > WHITENING_FLOOR * variance[0]).sum())
    if found < width:
        msg = f"the sample varies in {found} directions, too few for {width} independent components; ask for fewer"
        raise ModelError(msg)
    deviation = np.sqrt(variance)[:, None]
    whitening = axes / deviation
    ica = FastICA(whiten=False, fun="logcosh", random_state=seed, max_iter=max_iter, tol=tol)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ica.fit((rows - moments.mean) @ whitening.T)
    rotation = np.asarray(ica.components_, np.float64)
    words = [
        f"independent components did not converge in {max_iter} iterations (to {tol:g}); the last ones are kept: they "
        "are uncorrelated, but another seed may give others"
        for w in caught
        if issubclass(w.category, ConvergenceWarning)
    ]
    components, mixing, explained = _arranged(rotation @ whitening @ basis, rotation @ (axes * deviation) @ basis)
    centre = projection.centre
    return Projection(projection.mean, projection.scale, components, centre, explained, mixing), tuple(words)


def _arranged(components: Array, mixing: Array) -> tuple[Array, Array, Array]:
    """Put independent components in a fixed order with fixed signs.

    Parameters
    ----------
    components, mixing
        The way there and the way back, rows alike, shape (n_components, n_columns).

    Returns
    -------
    components, mixing
        Those that explain most first, the largest entry of each row of the mixing positive.
    explained
        Share of the scaled columns' variance that each explains, shape (n_components,).
    """
    # Features have variance one, scaled columns too, so theirs sums to the number of columns.
    explained = np.square(mixing).sum(axis=1) / mixing.shape[1]
    order = np.argsort(-explained, kind="stable")
    signed = first_largest_positive(mixing[order])
    signs = np.where((signed == mixing[order]).all(axis=1), 1.0, -1.0)[:, None]
    return components[order] * signs, signed, explained[order]

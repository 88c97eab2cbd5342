"""The parameters of a mixture: their checks, their number, and the factors of their covariances.

Shapes by covariance type, with K components and d features:

=========  ==================  =====================
type       covariances         free covariance terms
=========  ==================  =====================
full       (K, d, d)           K d (d + 1) / 2
tied       (d, d)              d (d + 1) / 2
diag       (K, d)              K d
spherical  (K,)                K
=========  ==================  =====================

Precisions and their Cholesky factors have the shape of the covariances. A factor U is upper triangular with U Uᵀ = Σ⁻¹.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float, Index, StartLike
from gravdask.mixture.kernels import Density

_ILL_DEFINED = (
    "Fitting the mixture failed: component {component} has an ill-defined covariance (its rows lie in a subspace, are "
    "too few, or are copies of one row). Decrease n_components, increase reg_covar (now {reg_covar:g}), or scale the "
    "features to comparable variance."
)


@dataclass(frozen=True)
class GaussianParameters:
    """One Gaussian mixture, complete and consistent.

    Attributes
    ----------
    covariance_type
        "full", "tied", "diag" or "spherical".
    weights
        (n_components,), non-negative, of sum 1.
    means
        (n_components, n_features).
    covariances, precisions_cholesky
        Shaped as the table at the top of this module says.
    """

    covariance_type: str
    weights: Float
    means: Float
    covariances: Float
    precisions_cholesky: Float

    @classmethod
    def from_covariances(
        cls, covariance_type: str, weights: Float, means: Float, covariances: Float, reg_covar: float = 0.0
    ) -> GaussianParameters:
        """Factor the covariances and return the mixture; `reg_covar` is only named in the error.

        Raises
        ------
        MixtureError
            A covariance is not positive definite.
        """
        factors = precision_cholesky(covariances, covariance_type, reg_covar)
        return cls(covariance_type, weights, means, covariances, factors)

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.means.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.means.shape[1])

    def precisions(self) -> Float:
        """Return the inverse covariances, shaped as the covariances."""
        factor = self.precisions_cholesky
        if self.covariance_type in ("full", "tied"):
            return np.asarray(factor @ np.swapaxes(factor, -1, -2))
        return np.square(factor)

    def covariance_matrices(self) -> Float:
        """Return one covariance matrix per component, (n_components, n_features, n_features), for any type."""
        shape = (self.n_components, self.n_features, self.n_features)
        if self.covariance_type in ("full", "tied"):
            return np.broadcast_to(self.covariances, shape).copy()
        diagonal = self.covariances if self.covariance_type == "diag" else self.covariances[:, None]
        return np.asarray(diagonal[:, :, None] * np.eye(self.n_features))

    def permuted(self, order: Index) -> GaussianParameters:
        """Return the same mixture with its components in another order: position i holds former component order[i]."""
        tied = self.covariance_type == "tied"
        return replace(
            self,
            weights=self.weights[order],
            means=self.means[order],
            covariances=self.covariances if tied else self.covariances[order],
            precisions_cholesky=self.precisions_cholesky if tied else self.precisions_cholesky[order],
        )

    def density(self, centre: Float | None = None) -> Density:
        """Prepare the E-step.

        Parameters
        ----------
        centre
            (n_features,); the mean of the mixture where omitted, which depends on nothing but the parameters.
        """
        n_features, factor, kind = self.n_features, self.precisions_cholesky, self.covariance_type
        origin = self.weights @ self.means if centre is None else centre
        shift = self.means - origin
        if kind == "full":
            whitener = np.swapaxes(factor, 1, 2)
            constants = -np.einsum("kij,kj->ki", whitener, shift)
            projection = np.concatenate([constants[:, :, None], whitener], axis=2).reshape(-1, 1 + n_features)
            offset = np.zeros(0)
            log_det = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        elif kind == "tied":
            projection, offset = np.ascontiguousarray(factor.T), shift @ factor
            log_det = np.log(np.diagonal(factor)).sum()
        else:
            projection, offset = factor, shift
            log_det = np.log(factor).sum(axis=1) if kind == "diag" else n_features * np.log(factor)
        with np.errstate(divide="ignore"):  # a component of weight 0 has log weight -inf and takes no rows
            log_weights = np.log(self.weights)
        constant = log_weights - 0.5 * n_features * math.log(2.0 * math.pi) + log_det
        return Density(kind, np.asarray(origin), np.ascontiguousarray(projection), offset, constant)


def count_parameters(n_components: int, n_features: int, covariance_type: str) -> int:
    """Return the number of free parameters: covariance terms, means, and weights less one."""
    triangle = n_features * (n_features + 1) // 2
    covariance = {
        "full": n_components * triangle,
        "tied": triangle,
        "diag": n_components * n_features,
        "spherical": n_components,
    }[covariance_type]
    return covariance + n_components * n_features + n_components - 1


def precision_cholesky(covariances: Float, covariance_type: str, reg_covar: float = 0.0) -> Float:
    """Return the upper triangular factors U of the precisions, U Uᵀ = Σ⁻¹, shaped as the covariances.

    Raises
    ------
    MixtureError
        A covariance is not positive definite; the message names the component and `reg_covar`.
    """
    if covariance_type in ("diag", "spherical"):
        low = covariances.reshape(len(covariances), -1).min(axis=1)
        if not (low > 0.0).all():
            msg = _ILL_DEFINED.format(component=int(np.argmin(low > 0.0)), reg_covar=reg_covar)
            raise MixtureError(msg)
        return np.asarray(1.0 / np.sqrt(covariances))
    matrices = covariances if covariance_type == "full" else covariances[None]
    factors = np.empty_like(matrices)
    identity = np.eye(matrices.shape[-1])
    for k, matrix in enumerate(matrices):
        try:
            lower = linalg.cholesky(matrix, lower=True)
        except (linalg.LinAlgError, ValueError) as error:
            msg = _ILL_DEFINED.format(component=k, reg_covar=reg_covar)
            raise MixtureError(msg) from error
        factors[k] = linalg.solve_triangular(lower, identity, lower=True).T
    return factors if covariance_type == "full" else factors[0]


def cholesky_of_precisions(precisions: Float, covariance_type: str) -> Float:
    """Return the upper triangular factors U, U Uᵀ = P, of precisions P (positive definite, see `check_precisions`).

    A Cholesky factor of the matrix with rows and columns reversed, reversed back, is upper triangular.
    """
    if covariance_type in ("diag", "spherical"):
        return np.sqrt(precisions)
    reversed_factor = np.linalg.cholesky(precisions[..., ::-1, ::-1])
    return np.ascontiguousarray(reversed_factor[..., ::-1, ::-1])


def covariances_of_factors(factors: Float, covariance_type: str) -> Float:
    """Return the covariances (U Uᵀ)⁻¹ from the precisions' factors."""
    if covariance_type in ("diag", "spherical"):
        return np.asarray(1.0 / np.square(factors))
    matrices = factors if covariance_type == "full" else factors[None]
    identity = np.eye(matrices.shape[-1])
    inverse = np.stack([linalg.solve_triangular(factor, identity, lower=False) for factor in matrices])
    covariances = np.swapaxes(inverse, 1, 2) @ inverse
    return np.asarray(covariances if covariance_type == "full" else covariances[0])


def _as_floats(values: StartLike, name: str, shape: tuple[int, ...]) -> Float:
    """Return an array of finite float64 of exactly this shape."""
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        msg = f"{name} should have the shape of {shape}, but got {array.shape}"
        raise MixtureError(msg)
    if not np.isfinite(array).all():
        msg = f"{name} holds NaN or infinity; every start value must be finite"
        raise MixtureError(msg)
    return array


def check_weights(weights: StartLike, n_components: int, name: str = "weights_init") -> Float:
    """Return start weights as float64, (n_components,), or say what is wrong with them.

    Raises
    ------
    MixtureError
        Wrong shape, a weight outside [0, 1], or a sum that differs from 1 by more than 1e-6.
    """
    array = _as_floats(weights, name, (n_components,))
    if array.min() < 0.0 or array.max() > 1.0:
        msg = f"{name} should lie in [0, 1], but has minimum {array.min():.5g} and maximum {array.max():.5g}"
        raise MixtureError(msg)
    if abs(array.sum() - 1.0) > 1e-6:
        msg = f"{name} should be normalized to a sum of 1, but sums to {array.sum():.7g}; divide it by its sum"
        raise MixtureError(msg)
    return array


def check_means(means: StartLike, n_components: int, n_features: int, name: str = "means_init") -> Float:
    """Return start means as float64, (n_components, n_features).

    Raises
    ------
    MixtureError
        Wrong shape or values that are not finite.
    """
    return _as_floats(means, name, (n_components, n_features))


def covariance_shape(covariance_type: str, n_components: int, n_features: int) -> tuple[int, ...]:
    """Return the shape of covariances, precisions and their factors."""
    shapes: dict[str, tuple[int, ...]] = {
        "full": (n_components, n_features, n_features),
        "tied": (n_features, n_features),
        "diag": (n_components, n_features),
        "spherical": (n_components,),
    }
    return shapes[covariance_type]


def check_precisions(
    precisions: StartLike, covariance_type: str, n_components: int, n_features: int, name: str = "precisions_init"
) -> Float:
    """Return start precisions as float64, shaped as the table at the top of this module says.

    Raises
    ------
    MixtureError
        Wrong shape, or precisions that are not positive (diag, spherical) or not symmetric and positive definite.
    """
    array = _as_floats(precisions, name, covariance_shape(covariance_type, n_components, n_features))
    if covariance_type in ("diag", "spherical"):
        if (array <= 0.0).any():
            msg = f"{name} ({covariance_type}) should be positive, but its minimum is {array.min():.5g}"
            raise MixtureError(msg)
        return array
    for k, matrix in enumerate(array if covariance_type == "full" else array[None]):
        if not (np.allclose(matrix, matrix.T) and np.linalg.eigvalsh(matrix).min() > 0.0):
            msg = f"{name} ({covariance_type}) should be symmetric and positive definite, but matrix {k} is not"
            raise MixtureError(msg)
    return array

"""The sufficient statistics of one EM iteration: a monoid.

`zero` and `+` make a commutative monoid up to rounding; sums in a fixed order have fixed bits. Everything non-linear
(dividing, factoring) happens once, in `finalize`, after the whole data set has been summed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gravdask.errors import MixtureError
from gravdask.mixture import kernels
from gravdask.mixture.arrays import Float, Index, Rows
from gravdask.mixture.kernels import Density
from gravdask.mixture.parameters import GaussianParameters

_EMPTY_COUNT = 10.0 * float(np.finfo(np.float64).eps)
"""Added to every count, as scikit-learn does: a component without rows must not divide by zero."""


_ROUNDING = 32.0 * float(np.finfo(np.float64).eps)
"""Share of the mean square about the centre below which a variance is what rounding left of it."""


def _beyond_rounding(variances: Float, squares: Float) -> Float:
    """Variances, zero where they are no more than the rounding of the mean squares that they are differences of."""
    return np.where(variances > _ROUNDING * squares, variances, 0.0)


@dataclass(frozen=True)
class SufficientStatistics:
    """Weighted sums over rows x with responsibilities r_k, centre c and row weights w.

    Attributes
    ----------
    covariance_type
        "full", "tied", "diag" or "spherical".
    centre
        c, (n_features,), the same in all statistics that are added up.
    counts
        N_k = Σ w r_k, (n_components,).
    first
        F_k = Σ w r_k (x - c), (n_components, n_features).
    second
        Σ w r_k (x - c)(x - c)ᵀ as `kernels.second_shape` lays it out for the covariance type.
    log_likelihood
        Σ w log p(x).
    weight
        Σ w: the number of rows where no weights are given.
    """

    covariance_type: str
    centre: Float
    counts: Float
    first: Float
    second: Float
    log_likelihood: float
    weight: float

    @classmethod
    def zero(cls, covariance_type: str, n_components: int, centre: Float) -> SufficientStatistics:
        """Return the statistics of no rows: the identity of `+`."""
        n_features = len(centre)
        return cls(
            covariance_type=covariance_type,
            centre=centre,
            counts=np.zeros(n_components),
            first=np.zeros((n_components, n_features)),
            second=np.zeros(kernels.second_shape(covariance_type, n_components, n_features)),
            log_likelihood=0.0,
            weight=0.0,
        )

    @classmethod
    def from_block(cls, rows: Rows, weights: Float | None, density: Density) -> SufficientStatistics:
        """Return the statistics of one block of rows, (n_rows, n_features), under a mixture (the E-step)."""
        sums = kernels.accumulate(rows, weights, density)
        return cls(
            density.covariance_type,
            density.centre,
            sums.counts,
            sums.first,
            sums.second,
            sums.log_likelihood,
            sums.weight,
        )

    @classmethod
    def from_responsibilities(
        cls, rows: Rows, responsibilities: Float, covariance_type: str, centre: Float
    ) -> SufficientStatistics:
        """Return the statistics of rows whose responsibilities (n_rows, n_components), weights included, are given."""
        x = np.asarray(rows, dtype=np.float64) - centre
        share = responsibilities
        if covariance_type in ("full", "tied"):
            upper = np.triu_indices(x.shape[1])
            if covariance_type == "full":
                second = np.stack([((x * share[:, [k]]).T @ x)[upper] for k in range(share.shape[1])])
            else:
                second = (x.T @ (x * share.sum(axis=1)[:, None]))[upper]
        else:
            squares = np.square(x)
            second = share.T @ (squares if covariance_type == "diag" else squares.sum(axis=1))
        return cls(covariance_type, centre, share.sum(axis=0), share.T @ x, second, 0.0, float(share.sum()))

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.counts.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.centre.shape[0])

    def __add__(self, other: SufficientStatistics) -> SufficientStatistics:
        """Return the statistics of both sets of rows.

        Raises
        ------
        MixtureError
            The two differ in covariance type, shape or centre.
        """
        if (self.covariance_type, self.first.shape) != (other.covariance_type, other.first.shape):
            msg = (
                f"Cannot add statistics of {self.covariance_type} components {self.first.shape} and of "
                f"{other.covariance_type} components {other.first.shape}: both must have the same type, number of "
                "components and number of features"
            )
            raise MixtureError(msg)
        if not np.array_equal(self.centre, other.centre):
            msg = "Cannot add statistics about different centres: move one with `recentred` first"
            raise MixtureError(msg)
        return SufficientStatistics(
            self.covariance_type,
            self.centre,
            self.counts + other.counts,
            self.first + other.first,
            self.second + other.second,
            self.log_likelihood + other.log_likelihood,
            self.weight + other.weight,
        )

    def scaled(self, factor: float) -> SufficientStatistics:
        """Return the statistics with every row's weight multiplied by a factor."""
        return SufficientStatistics(
            self.covariance_type,
            self.centre,
            self.counts * factor,
            self.first * factor,
            self.second * factor,
            self.log_likelihood * factor,
            self.weight * factor,
        )

    def recentred(self, centre: Float) -> SufficientStatistics:
        """Return the same statistics about another centre: S' = S + F aᵀ + a Fᵀ + N a aᵀ with a = c - c'."""
        a = self.centre - centre
        first = self.first + self.counts[:, None] * a
        kind = self.covariance_type
        if kind in ("full", "tied"):
            i, j = np.triu_indices(self.n_features)
            change = self.first[:, i] * a[j] + self.first[:, j] * a[i] + self.counts[:, None] * (a[i] * a[j])
            second = self.second + (change if kind == "full" else change.sum(axis=0))
        else:
            change = 2.0 * self.first * a + self.counts[:, None] * np.square(a)
            second = self.second + (change if kind == "diag" else change.sum(axis=1))
        return SufficientStatistics(kind, centre, self.counts, first, second, self.log_likelihood, self.weight)

    def permuted(self, order: Index) -> SufficientStatistics:
        """Return the statistics with component order[i] at position i."""
        second = self.second if self.covariance_type == "tied" else self.second[order]
        return SufficientStatistics(
            self.covariance_type,
            self.centre,
            self.counts[order],
            self.first[order],
            second,
            self.log_likelihood,
            self.weight,
        )

    def pooled(self) -> SufficientStatistics:
        """Return the statistics of all components taken as one."""
        tied = self.covariance_type == "tied"
        return SufficientStatistics(
            self.covariance_type,
            self.centre,
            self.counts.sum(keepdims=True),
            self.first.sum(axis=0, keepdims=True),
            self.second if tied else self.second.sum(axis=0, keepdims=True),
            self.log_likelihood,
            self.weight,
        )

    def moments(self, reg_covar: float) -> tuple[Float, Float, Float]:
        """Return weights, means and regularised covariances (the M-step without its factorisation).

        π_k = N_k / Σ N, µ_k = c + F_k / N_k, Σ_k = S_k / N_k - (µ_k - c)(µ_k - c)ᵀ + reg_covar I; "tied" averages
        over the components, "diag" keeps the diagonal, "spherical" its mean.
        """
        # weights may be of any size; those of rows without weights sum to more than 1
        counts = self.counts + _EMPTY_COUNT * min(1.0, self.weight)
        shift = self.first / counts[:, None]
        kind, n_features = self.covariance_type, self.n_features
        if kind in ("full", "tied"):
            i, j = np.triu_indices(n_features)
            outer = shift[:, i] * shift[:, j]
            if kind == "full":
                packed = self.second / counts[:, None] - outer
            else:
                packed = (self.second - counts @ outer) / counts.sum()
            covariances = np.empty((*packed.shape[:-1], n_features, n_features))
            covariances[..., i, j] = packed
            covariances[..., j, i] = packed
            diagonal = np.arange(n_features)
            variances = covariances[..., diagonal, diagonal]
            squares = (self.second if kind == "tied" else self.second / counts[:, None])[..., i == j]
            spread = squares / counts.sum() if kind == "tied" else squares
            covariances[..., diagonal, diagonal] = _beyond_rounding(variances, spread) + reg_covar
        elif kind == "diag":
            squares = self.second / counts[:, None]
            covariances = _beyond_rounding(squares - np.square(shift), squares) + reg_covar
        else:
            squares = self.second / counts
            covariances = _beyond_rounding(squares - np.square(shift).sum(axis=1), squares) / n_features + reg_covar
        return counts / counts.sum(), self.centre + shift, covariances

    def finalize(self, reg_covar: float) -> GaussianParameters:
        """Return the mixture that these statistics stand for (the M-step).

        Raises
        ------
        MixtureError
            A covariance is not positive definite.
        """
        return GaussianParameters.from_covariances(self.covariance_type, *self.moments(reg_covar), reg_covar)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and numbers, exact under JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SufficientStatistics:
        """Rebuild what `to_dict` returned, to the bit.

        Raises
        ------
        MixtureError
            A field is missing or the shapes do not fit each other.
        """
        names = [item.name for item in fields(cls)]
        missing = [name for name in names if name not in values]
        if missing:
            msg = f"Sufficient statistics lack the field(s) {', '.join(missing)}"
            raise MixtureError(msg)
        arrays = {name: np.array(values[name], dtype=np.float64) for name in ("centre", "counts", "first", "second")}
        kind = str(values["covariance_type"])
        if kind not in kernels.COVARIANCE_TYPES:
            msg = f"covariance_type {kind!r} is not one of {', '.join(kernels.COVARIANCE_TYPES)}"
            raise MixtureError(msg)
        expected = cls.zero(kind, len(arrays["counts"]), arrays["centre"])
        for name, array in arrays.items():
            if array.shape != getattr(expected, name).shape:
                msg = f"Sufficient statistics: {name} has shape {array.shape}, expected {getattr(expected, name).shape}"
                raise MixtureError(msg)
        return cls(
            covariance_type=kind,
            log_likelihood=float(values["log_likelihood"]),
            weight=float(values["weight"]),
            **arrays,
        )

"""Means and covariances of all rows from sums over blocks: a monoid, and what follows from it.

Second moments are taken about the mean of the rows that they are of, never about zero, and moved when two are added
(Chan, Golub & LeVeque 1983, doi 10.1080/00031305.1983.10483115). So an offset of the columns, however large, costs no
digits beyond those that the rows themselves have lost to it. The upper triangle is kept packed, row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravdask.errors import ModelError

Array = NDArray[np.float64]
CONSTANT = 1e-12
"""A column varies if its standard deviation is more than this share of its mean."""
SLICE_ROWS = 1 << 14
"""Rows that are summed at a time: it bounds the temporary copies."""


@dataclass(frozen=True)
class Moments:
    """Count, mean and packed second moments of rows.

    Attributes
    ----------
    count
        Rows that entered.
    skipped
        Rows left out because a value in them is NaN or infinite.
    mean
        Mean of each column, shape (n_columns,); zero without rows.
    second
        Σ (x - mean)(x - mean)ᵀ, its upper triangle row by row, shape (n_columns (n_columns + 1) / 2,).
    """

    count: int
    skipped: int
    mean: Array
    second: Array

    @classmethod
    def zero(cls, n_columns: int) -> Moments:
        """Return the moments of no rows: the identity of `+`."""
        return cls(0, 0, np.zeros(n_columns), np.zeros(n_columns * (n_columns + 1) // 2))

    @classmethod
    def from_block(cls, rows: NDArray[np.floating]) -> Moments:
        """Return the moments of a block of rows (n, n_columns) of any float type, those with NaN or inf left out."""
        total = cls.zero(rows.shape[1])
        for start in range(0, len(rows), SLICE_ROWS):
            total = total + cls._of_slice(rows[start : start + SLICE_ROWS])
        return total

    @classmethod
    def _of_slice(cls, rows: NDArray[np.floating]) -> Moments:
        """Return the moments of few rows, in two passes."""
        finite = np.isfinite(rows).all(axis=1)
        x = rows[finite].astype(np.float64)
        skipped = len(rows) - len(x)
        if not len(x):
            return cls(0, skipped, *_nothing(rows.shape[1]))
        mean = x.mean(axis=0)
        x -= mean
        # What rounding has left of the mean, taken off the sums (the corrected two-pass algorithm of the same paper).
        rest = x.mean(axis=0)
        second = x.T @ x - len(x) * np.outer(rest, rest)
        return cls(len(x), skipped, mean + rest, second[np.triu_indices(len(mean))])

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return int(self.mean.size)

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both sets of rows.

        Raises
        ------
        ModelError
            If they have different numbers of columns.
        """
        if self.n_columns != other.n_columns:
            msg = f"moments of {self.n_columns} and of {other.n_columns} columns cannot be added: take the same columns"
            raise ModelError(msg)
        count, skipped = self.count + other.count, self.skipped + other.skipped
        if not (self.count and other.count):
            kept = self if self.count else other
            return Moments(count, skipped, kept.mean, kept.second)
        step = other.mean - self.mean
        upper = np.triu_indices(self.n_columns)
        between = self.count * (other.count / count) * (step[upper[0]] * step[upper[1]])
        mean = self.mean + step * (other.count / count)
        return Moments(count, skipped, mean, self.second + other.second + between)

    def covariance(self, ddof: int = 0) -> Array:
        """Covariance of the columns, shape (n_columns, n_columns), divided by the count less ``ddof``.

        Raises
        ------
        ModelError
            If there are no more than ``ddof`` rows.
        """
        if self.count <= ddof:
            left = f", {self.skipped} were left out because of NaN" if self.skipped else ""
            msg = f"a covariance needs more than {ddof} rows, there are {self.count}{left}"
            raise ModelError(msg)
        full = np.zeros((self.n_columns, self.n_columns))
        upper = np.triu_indices(self.n_columns)
        full[upper] = self.second / (self.count - ddof)
        return full + np.triu(full, 1).T

    def deviation(self, ddof: int = 0) -> Array:
        """Standard deviation of each column, shape (n_columns,)."""
        return np.sqrt(np.diag(self.covariance(ddof)))

    def correlation(self) -> Array:
        """Correlation of the columns, shape (n_columns, n_columns), exactly one on the diagonal.

        Raises
        ------
        ModelError
            If a column does not vary.
        """
        scale = self.deviation()
        require_variation(self.mean, scale)
        found = np.clip(self.covariance() / np.outer(scale, scale), -1.0, 1.0)
        np.fill_diagonal(found, 1.0)
        return found

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return plain arrays to be stored, that `from_arrays` reads."""
        rows = np.array([self.count, self.skipped], dtype=np.int64)
        return {"rows": rows, "mean": self.mean, "second": self.second}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, ArrayLike]) -> Moments:
        """Return the moments that `to_arrays` gave."""
        count, skipped = (int(n) for n in np.asarray(arrays["rows"]))
        return cls(count, skipped, np.asarray(arrays["mean"], np.float64), np.asarray(arrays["second"], np.float64))


def require_variation(mean: Array, deviation: Array) -> None:
    """Refuse columns that do not vary: in floating point a constant has nearly no deviation, rather than none.

    Raises
    ------
    ModelError
        Naming the columns.
    """
    varies = deviation > CONSTANT * np.abs(mean)
    if not varies.all():
        bad = np.flatnonzero(~varies).tolist()
        msg = f"the columns {bad} do not vary over the frames of the fit; are the records constant there?"
        raise ModelError(msg)


def _nothing(n_columns: int) -> tuple[Array, Array]:
    """Mean and second moments of no rows."""
    return np.zeros(n_columns), np.zeros(n_columns * (n_columns + 1) // 2)


def first_largest_positive(axes: Array) -> Array:
    """Turn each axis (row) so that its largest loading is positive, the first one of those equal to rounding.

    An axis has no sign of its own; with one fixed, refits can be compared.
    """
    size = np.abs(axes)
    leading = (size >= size.max(axis=1, keepdims=True) * (1 - 1e-9)).argmax(axis=1)
    signs = np.where(axes[np.arange(len(axes)), leading] < 0, -1.0, 1.0)
    return np.asarray(axes * signs[:, None])


def principal_axes(covariance: Array) -> tuple[Array, Array]:
    """Eigenvectors of a covariance as rows, and their variances, largest first; signs by `first_largest_positive`.

    Variances that rounding has made negative are zero.
    """
    variance, vectors = np.linalg.eigh(covariance)
    return first_largest_positive(np.ascontiguousarray(vectors.T[::-1])), np.maximum(variance[::-1], 0.0)

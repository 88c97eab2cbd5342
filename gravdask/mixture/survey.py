"""What must be known of the rows before the first iteration: their number, mean, and that they are usable.

Pure functions of one block; `Survey` is their monoid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float, Index, Rows
from gravdask.mixture.blocks import RowBlocks, complete_mask

_NO_SPREAD = 1e-13
"""A column whose standard deviation is below this share of its size holds one value as far as float64 can tell."""


@dataclass(frozen=True)
class Survey:
    """Counts and sums of some rows.

    Attributes
    ----------
    rows
        Number of rows, with those that hold NaN or infinity.
    bad_rows, first_bad_row, first_bad_column
        Rows that hold NaN or infinity, the index of the first of them and its first such column (-1 for none).
    bad_weights, first_bad_weight
        Weights that are negative, NaN or infinite, and the row of the first of them (-1 for none).
    rows_with_weight
        Complete rows whose weight is above zero.
    weight
        Sum of the weights of complete rows; their number where there are no weights.
    total
        Weighted sum of the complete rows, (n_features,).
    """

    rows: int
    bad_rows: int
    first_bad_row: int
    first_bad_column: int
    bad_weights: int
    first_bad_weight: int
    rows_with_weight: int
    weight: float
    total: Float

    def __add__(self, other: Survey) -> Survey:
        """Return the survey of these rows followed by the other's."""
        mine = self.first_bad_row >= 0 or other.first_bad_row < 0
        return Survey(
            self.rows + other.rows,
            self.bad_rows + other.bad_rows,
            self.first_bad_row if mine else self.rows + other.first_bad_row,
            self.first_bad_column if mine else other.first_bad_column,
            self.bad_weights + other.bad_weights,
            _first(self.rows, self.first_bad_weight, other.first_bad_weight),
            self.rows_with_weight + other.rows_with_weight,
            self.weight + other.weight,
            self.total + other.total,
        )

    def check(self, n_components: int, *, skip: bool = False) -> None:
        """Refuse rows that no mixture can be fitted to.

        Parameters
        ----------
        n_components
            Rows that are needed at least (never below 2).
        skip
            Whether rows with NaN or infinity are left out rather than refused.

        Raises
        ------
        MixtureError
            NaN or infinite rows, unusable weights, or fewer rows than components.
        """
        if self.bad_rows and not skip:
            msg = (
                f"X contains NaN or inf in {self.bad_rows} of {self.rows} rows, first in row {self.first_bad_row}, "
                f"column {self.first_bad_column}. A mixture needs complete rows: leave out the rows without features "
                'before the fit, or set missing="skip"'
            )
            raise MixtureError(msg)
        if self.bad_weights:
            msg = (
                f"sample_weight holds {self.bad_weights} negative, NaN or infinite value(s), first in row "
                f"{self.first_bad_weight}; weights are counts of repetition, finite and not below 0"
            )
            raise MixtureError(msg)
        if self.bad_rows and self.bad_rows == self.rows:
            msg = f"All {self.rows} rows of X contain NaN or inf: nothing is left to fit"
            raise MixtureError(msg)
        if self.rows and not self.rows_with_weight:
            kind = "complete row" if self.bad_rows else "row"
            msg = f"Every sample_weight is zero: no {kind} counts. At least n_components rows need a weight above 0"
            raise MixtureError(msg)
        if self.rows_with_weight < max(2, n_components):
            count = "n_samples" if self.rows_with_weight == self.rows else "n_samples with a weight above 0"
            if self.bad_rows:
                count += " and without NaN"
            msg = (
                f"Expected n_samples >= n_components and at least 2 but got n_components = {n_components}, "
                f"{count} = {self.rows_with_weight}. Give more rows or fewer components"
            )
            raise MixtureError(msg)


def _first(rows: int, mine: int, other: int) -> int:
    """Return the first of two indices, the other's counted after `rows` rows; -1 stands for none."""
    return mine if mine >= 0 or other < 0 else rows + other


def survey_block(rows: Rows, weights: Float | None) -> Survey:
    """Survey one block, (n_rows, n_features), with its weights (n_rows,) or None for ones.

    Raises
    ------
    MixtureError
        The weights of this block are not as many as its rows.
    """
    finite = complete_mask(rows)
    bad = np.flatnonzero(~finite)
    first, column = -1, -1
    good = rows
    if bad.size:
        first, good = int(bad[0]), rows[finite]
        column = int(np.argmin(np.isfinite(rows[first])))
    total: Float
    if weights is None:
        weight, positive, bad_weights, first_weight = float(len(good)), len(good), 0, -1
        total = good.sum(axis=0, dtype=np.float64)
    else:
        if len(weights) != len(rows):
            msg = f"sample_weight has {len(weights)} values for the {len(rows)} rows of one chunk: chunk both alike"
            raise MixtureError(msg)
        usable = np.isfinite(weights) & (weights >= 0.0)
        bad_weights = int((~usable).sum())
        first_weight = int(np.argmin(usable)) if bad_weights else -1
        kept = np.where(usable, weights, 0.0)[finite]
        weight, positive = float(kept.sum()), int(np.count_nonzero(kept))
        total = kept @ good.astype(np.float64)
    return Survey(len(rows), bad.size, first, column, bad_weights, first_weight, positive, weight, total)


def take_rows(rows: Rows, weights: Float | None, index: Index) -> tuple[Float, Float | None]:
    """Return some rows of a block as float64, and their weights; the index counts rows of a weight above 0 only."""
    if weights is None:
        return np.asarray(rows[index], dtype=np.float64), None
    place = index if (weights > 0.0).all() else np.flatnonzero(weights > 0.0)[index]
    return np.asarray(rows[place], dtype=np.float64), weights[place]


def refuse_bad_rows(rows: Rows) -> None:
    """Refuse a block that holds NaN or infinity.

    Raises
    ------
    MixtureError
        Says how many rows and which is the first, counted from the start of this block.
    """
    finite = complete_mask(rows)
    if not finite.all():
        first = int(np.argmin(finite))
        msg = (
            f"X contains NaN or inf in {int((~finite).sum())} of {len(rows)} rows, first in row {first}, column "
            f"{int(np.argmin(np.isfinite(rows[first])))} of this block. A row without features has no component: "
            'leave such rows out before asking, or set missing="skip"'
        )
        raise MixtureError(msg)


def _scatter(rows: Rows, weights: Float | None, centre: Float) -> Float:
    """Return the weighted sum of (x - c)(x - c)ᵀ of one block, (n_features, n_features)."""
    x = np.asarray(rows, dtype=np.float64) - centre
    return np.asarray(x.T @ (x if weights is None else x * weights[:, None]))


def without_spread(blocks: RowBlocks, survey: Survey, least_own: float) -> tuple[list[int], list[int]]:
    """Return the columns that hold one value, and those that are combinations of the other columns.

    Either kind leaves every full covariance singular. It is one more pass over the rows.

    Parameters
    ----------
    blocks
        Complete rows.
    survey
        Of these rows.
    least_own
        A column of which less than this share of its variance is its own is a combination of others.
    """
    centre = survey.total / survey.weight
    scatter: Float = blocks.reduce(_scatter, centre) / survey.weight
    deviation = np.sqrt(np.diagonal(scatter))
    if not np.isfinite(deviation).all():
        return [], []
    flat = deviation <= _NO_SPREAD * np.abs(centre)
    rest = np.flatnonzero(~flat)
    if len(rest) < 2:
        return np.flatnonzero(flat).tolist(), []
    correlation = scatter[np.ix_(rest, rest)] / np.outer(deviation[rest], deviation[rest])
    own, order = qr(correlation, mode="r", pivoting=True)
    dependent = rest[order[np.abs(np.diagonal(own)) < least_own]]
    return np.flatnonzero(flat).tolist(), sorted(dependent.tolist())

"""What must be known of the rows before the first iteration: their number, mean, and that they are usable.

Pure functions of one block; `Survey` is their monoid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float, Index, Rows


@dataclass(frozen=True)
class Survey:
    """Counts and sums of some rows.

    Attributes
    ----------
    rows
        Number of rows.
    bad_rows, first_bad_row
        Rows that hold NaN or infinity, and the index of the first of them (-1 where there is none).
    bad_weights
        Weights that are negative, NaN or infinite.
    rows_with_weight
        Rows whose weight is above zero.
    weight
        Sum of the weights; the number of rows where there are none.
    total
        Weighted sum of the good rows, (n_features,).
    """

    rows: int
    bad_rows: int
    first_bad_row: int
    bad_weights: int
    rows_with_weight: int
    weight: float
    total: Float

    def __add__(self, other: Survey) -> Survey:
        """Return the survey of these rows followed by the other's."""
        first = self.first_bad_row
        if first < 0 <= other.first_bad_row:
            first = self.rows + other.first_bad_row
        return Survey(
            self.rows + other.rows,
            self.bad_rows + other.bad_rows,
            first,
            self.bad_weights + other.bad_weights,
            self.rows_with_weight + other.rows_with_weight,
            self.weight + other.weight,
            self.total + other.total,
        )

    def check(self, n_components: int) -> None:
        """Refuse rows that no mixture can be fitted to.

        Raises
        ------
        MixtureError
            NaN or infinite rows, unusable weights, or fewer rows than components.
        """
        if self.bad_rows:
            msg = (
                f"X contains NaN or inf in {self.bad_rows} of {self.rows} rows, first in row {self.first_bad_row}. "
                "A mixture needs complete rows: leave out the rows without features before the fit"
            )
            raise MixtureError(msg)
        if self.bad_weights:
            msg = (
                f"sample_weight holds {self.bad_weights} negative, NaN or infinite value(s); "
                "weights are counts of repetition, finite and not below 0"
            )
            raise MixtureError(msg)
        if self.rows and not self.rows_with_weight and not self.bad_weights:
            msg = "Every sample_weight is zero: at least n_components rows need a weight above 0"
            raise MixtureError(msg)
        if self.rows_with_weight < max(2, n_components):
            count = "n_samples" if self.rows_with_weight == self.rows else "n_samples with a weight above 0"
            msg = (
                f"Expected n_samples >= n_components and at least 2 but got n_components = {n_components}, "
                f"{count} = {self.rows_with_weight}. Give more rows or fewer components"
            )
            raise MixtureError(msg)


def survey_block(rows: Rows, weights: Float | None) -> Survey:
    """Survey one block, (n_rows, n_features), with its weights (n_rows,) or None for ones."""
    finite = np.isfinite(rows).all(axis=1)
    bad = np.flatnonzero(~finite)
    total: Float
    if weights is None:
        weight, positive, bad_weights = float(len(rows)), len(rows), 0
        total = (rows[finite] if bad.size else rows).sum(axis=0, dtype=np.float64)
    else:
        usable = np.isfinite(weights) & (weights >= 0.0)
        kept = np.where(usable, weights, 0.0)
        weight, positive, bad_weights = float(kept.sum()), int(np.count_nonzero(kept)), int((~usable).sum())
        total = kept[finite] @ rows[finite].astype(np.float64)
    return Survey(len(rows), bad.size, int(bad[0]) if bad.size else -1, bad_weights, positive, weight, total)


def take_rows(rows: Rows, weights: Float | None, index: Index) -> tuple[Float, Float | None]:
    """Return some rows of a block as float64, and their weights."""
    return np.asarray(rows[index], dtype=np.float64), None if weights is None else weights[index]


def refuse_bad_rows(rows: Rows) -> None:
    """Refuse a block that holds NaN or infinity.

    Raises
    ------
    MixtureError
        Says how many rows and which is the first, counted from the start of this block.
    """
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        msg = (
            f"X contains NaN or inf in {int((~finite).sum())} of {len(rows)} rows, first in row "
            f"{int(np.argmin(finite))} of this block. A row without features has no component: "
            "leave such rows out before asking"
        )
        raise MixtureError(msg)

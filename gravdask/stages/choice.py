"""How many components a mixture gets where the configuration does not say: `mixture.select` on its rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gravdask.config import FitConfig
from gravdask.errors import MixtureError
from gravdask.mixture import GaussianMixture, select, time_blocks

BLOCKS_A_FOLD = 3
"""Stretches of time that are held out together, so that no fold is one season or one sequence of earthquakes."""
ROWS_A_FEATURE = 12
"""Rows for each component and feature, at least."""
SHORT_COMPONENTS = 7
"""Components at most where the record is too short for a choice."""
LEAST_ROWS = 200
"""Rows that a choice needs."""
STARTS = 2
"""Starts of each candidate."""


@dataclass(frozen=True)
class Choice:
    """The mixture to be fitted, and why.

    Attributes
    ----------
    n_components, covariance_type
        The mixture.
    reason
        Why, in words.
    table
        A row for each candidate (`mixture.select`), empty where none was tried.
    """

    n_components: int
    covariance_type: str
    reason: str
    table: list[dict[str, Any]] = field(default_factory=list)

    def provenance(self) -> dict[str, Any]:
        """As plain lists, numbers and words."""
        return {
            "n_components": self.n_components,
            "covariance_type": self.covariance_type,
            "reason": self.reason,
            "table": self.table,
        }


def choose(
    settings: FitConfig,
    n_rows: int,
    n_features: int,
    guard: int,
    draw: Callable[[float], tuple[NDArray[np.float64], NDArray[np.int64]]],
) -> Choice:
    """Choose the number of components and the kind of covariance.

    Parameters
    ----------
    settings
        Section ``[fit]`` of the configuration.
    n_rows, n_features
        Size of the feature matrix.
    guard
        Frames between stretches that are held out and others, at least the reach of a frame.
    draw
        Gives a share of all rows, (n, n_features), and the absolute numbers of their frames, (n,).
    """
    kinds = settings.covariance_types
    if settings.n_components and len(kinds) == 1:
        return Choice(settings.n_components, kinds[0], "given by fit.n_components")
    most = min(settings.max_components, max(n_rows // (ROWS_A_FEATURE * n_features), 2))
    if n_rows < LEAST_ROWS:
        few = f"{n_rows} frames are too few to choose by; {SHORT_COMPONENTS} components, or fewer for so few frames"
        return Choice(settings.n_components or min(most, SHORT_COMPONENTS), kinds[0], few)
    rows, frames = draw(min(1.0, settings.select_rows / n_rows))
    labels, why = _folds(frames, settings.holdout_folds, guard)
    numbers = [settings.n_components] if settings.n_components else range(1, most + 1)
    template = GaussianMixture(tol=1e-3, max_iter=200, reg_covar=1e-4)
    table = select(
        rows,
        numbers,
        blocks=labels,
        covariance_types=kinds,
        times=frames,
        random_state=settings.seed,
        starts=STARTS,
        estimator=template,
    )
    advice = table.attrs["recommendation"]
    reason = f"{advice['reason']} ({len(rows)} of {n_rows} frames, {len(table)} candidates{why})"
    return Choice(int(advice["n_components"]), str(advice["covariance_type"]), reason, _records(table))


def _folds(frames: NDArray[np.int64], folds: int, guard: int) -> tuple[NDArray[np.int64] | None, str]:
    """Label stretches of time by the fold they are held out with; None and why, if the record is too short."""
    for stretches in (BLOCKS_A_FOLD * folds, folds):
        try:
            labels = time_blocks(frames, stretches, guard)
        except MixtureError:
            continue
        return np.where(labels >= 0, labels % folds, -1), f", held out in {folds} folds of {stretches} stretches"
    return None, f"; too short a time to hold out {folds} stretches with {guard} frames between"


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as JSON can hold them."""
    return [{str(key): _plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A number or word; None for what is not a number."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value

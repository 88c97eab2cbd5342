"""Components of a refit keep their numbers."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from gravdask.features.columns import Columns
from gravdask.features.projection import fit_projection
from gravdask.mixture import GaussianMixture
from gravdask.stages.matching import in_words, keep_numbers
from gravdask.stages.model import Medians, Model


def rows_of(seed: int, states: int = 4, n_columns: int = 7) -> np.ndarray:
    """Rows of some states in logarithmic columns."""
    generator = np.random.default_rng(42)
    centres = 4.0 * generator.standard_normal((states, n_columns))
    shape = generator.standard_normal((n_columns, n_columns)) * 0.4
    noise = np.random.default_rng(seed)
    state = noise.integers(0, states, 3000)
    return centres[state] + noise.standard_normal((3000, n_columns)) @ shape


def model_of(rows: np.ndarray, n_features: int, n_components: int, seed: int) -> Model:
    """Scaling, axes and mixture of some rows."""
    columns = Columns(np.arange(rows.shape[1]), np.full(rows.shape[1], -1))
    projection = fit_projection(da.from_array(rows, chunks=(1000, -1)), rows, n_features, 0)
    mixture = GaussianMixture(n_components, random_state=seed, n_init=5).fit(projection.transform(rows))
    medians = {"XX.A": Medians(np.ones(rows.shape[1]), np.zeros(rows.shape[1]))}
    return Model("1Hz", "network", columns, projection, mixture, medians)


@pytest.mark.parametrize("n_features", [4, 6])
def test_a_refit_keeps_the_numbers(n_features: int) -> None:
    old, rows = model_of(rows_of(1), 5, 4, 0), rows_of(2)
    new = model_of(rows, n_features, 4, 7)
    match = keep_numbers(new.mixture, new.projection, new.columns, old)
    mine = new.mixture.predict(new.projection.transform(rows))
    theirs = old.mixture.predict(old.projection.transform(rows))
    assert (mine == theirs).mean() > 0.99
    assert [p["old"] for p in match["components"]] == [0, 1, 2, 3]
    assert "4 are the same" in in_words(match)
    assert old.digest in in_words(match)


def test_a_new_component_comes_last_and_a_lost_one_is_named() -> None:
    old, rows = model_of(rows_of(1), 5, 4, 0), rows_of(2, states=5)
    more = model_of(rows, 5, 5, 3)
    match = keep_numbers(more.mixture, more.projection, more.columns, old)
    assert match["components"][4]["old"] is None
    assert "new: 4" in in_words(match)
    fewer = model_of(rows_of(3), 5, 3, 3)
    match = keep_numbers(fewer.mixture, fewer.projection, fewer.columns, old)
    assert len(match["lost"]) == 1
    assert f"gone: {match['lost'][0]}" in in_words(match)


def test_other_columns_cannot_be_compared() -> None:
    old = model_of(rows_of(1), 5, 4, 0)
    new = model_of(rows_of(2)[:, :6], 5, 4, 0)
    before = new.mixture.means_.copy()
    match = keep_numbers(new.mixture, new.projection, new.columns, old)
    assert "not numbered" in in_words(match)
    np.testing.assert_array_equal(new.mixture.means_, before)

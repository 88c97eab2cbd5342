"""Runs of EM that share their passes."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from gravdask.errors import MixtureError
from gravdask.mixture import GaussianMixture, select, time_blocks
from gravdask.mixture.blocks import row_blocks
from gravdask.mixture.em import EMSettings, EMState, run_em
from gravdask.mixture.initialise import Start, start_parameters
from gravdask.mixture.lockstep import adjusted_rand, as_weights, labels_of, run_together

SETTINGS = EMSettings(1e-6, 1e-6, 300)


def state_of(rows: np.ndarray, kind: str, k: int, seed: int, settings: EMSettings = SETTINGS) -> EMState:
    """A run from a random start."""
    start = Start(kind, k, "random", 1e-6, None, None, None)
    parameters = start_parameters(start, (rows, None), rows.mean(axis=0), np.random.RandomState(seed))
    return EMState(parameters, rows.mean(axis=0), settings)


def test_runs_together_are_the_runs_alone(clusters: np.ndarray) -> None:
    labels = time_blocks(np.arange(len(clusters)), 3, 20)
    asked = [("full", 3, None), ("diag", 2, None), ("tied", 4, 1), ("spherical", 3, 2), ("full", 1, 0)]
    states = [state_of(clusters, kind, k, 3) for kind, k, _ in asked]
    lazy = da.from_array(clusters, chunks=(370, 2))
    passes = run_together(row_blocks(lazy, as_weights(labels)), states, [fold for *_, fold in asked])
    longest = 0
    for state, (kind, k, fold) in zip(states, asked, strict=True):
        rows = clusters if fold is None else clusters[(labels >= 0) & (labels != fold)]
        start = state_of(clusters, kind, k, 3)
        alone = run_em(row_blocks(rows), start.parameters, clusters.mean(axis=0), SETTINGS)
        together = state.result()
        assert together.converged
        assert len(together.lower_bounds) == len(alone.lower_bounds)
        longest = max(longest, len(alone.lower_bounds))
        np.testing.assert_allclose(together.lower_bounds, alone.lower_bounds, rtol=1e-10)
        np.testing.assert_allclose(together.parameters.means, alone.parameters.means, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(together.parameters.covariances, alone.parameters.covariances, rtol=1e-7, atol=1e-9)
    # as many passes as the longest run takes, not as all of them together
    assert passes == longest


def test_a_run_that_fails_does_not_end_the_others(clusters: np.ndarray) -> None:
    flat = np.column_stack([clusters, np.zeros(len(clusters))])
    good = state_of(flat, "full", 2, 0)
    start = state_of(flat, "full", 2, 0).parameters
    bad = EMState(start, flat.mean(axis=0), EMSettings(1e-6, 0.0, 50))
    run_together(row_blocks(flat), [bad, good], [None, None])
    assert isinstance(bad.failure, MixtureError)
    assert "ill-defined" in str(bad.failure)
    assert good.failure is None
    assert good.result().converged


def test_a_collapsed_component_starts_again_in_company(clusters: np.ndarray) -> None:
    given = {
        "weights_init": [0.5, 0.5],
        "means_init": [clusters.mean(axis=0), clusters.mean(axis=0) + 1e3],
        "precisions_init": np.stack([np.eye(clusters.shape[1])] * 2),
    }
    with pytest.warns(ConvergenceWarning, match="started again"):
        far = GaussianMixture(2, tol=1e-6, max_iter=300, **given).fit(clusters)
    start = GaussianMixture(2, max_iter=0, **given).fit(clusters)
    state = EMState(start._parameters(), clusters.mean(axis=0), SETTINGS)
    other = state_of(clusters, "full", 3, 1)
    run_together(row_blocks(clusters), [other, state], [None, None])
    assert list(state.result().reseeded) == far.reseeded_
    np.testing.assert_allclose(state.result().parameters.means, far.means_, rtol=1e-8)


def test_labels_travel_as_weights() -> None:
    labels = np.array([-1, 0, 1, 17])
    assert (as_weights(labels) > 0).all()
    assert labels_of(as_weights(labels)).tolist() == labels.tolist()


@pytest.mark.parametrize("seed", range(8))
def test_the_rand_index_is_scikit_learns(seed: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, 4, 200), generator.integers(0, 1 + seed, 200)
    second = np.where(generator.random(200) < 0.5, first, second)
    table = np.zeros((8, 8))
    np.add.at(table, (first, second), 1.0)
    assert adjusted_rand(table) == pytest.approx(adjusted_rand_score(first, second), abs=1e-12)


def test_a_selection_reads_the_rows_as_often_as_its_longest_fit() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(900, 2)) + np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 300, axis=0)
    rows = rows[generator.permutation(900)]
    table = select(rows, range(1, 5), blocks=time_blocks(np.arange(900), 3), starts=3, random_state=0)
    fits = 4 * (3 + 3)
    assert table["converged"].all()
    assert table.attrs["passes"] < 2 * fits
    assert table.attrs["recommendation"]["n_components"] == 3

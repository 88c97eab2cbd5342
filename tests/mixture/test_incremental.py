"""Adding data: stepwise EM and merging."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from gravdask.errors import MixtureError
from gravdask.mixture import GaussianMixture
from gravdask.mixture.incremental import step_size


def test_step_sizes_are_those_of_cappe_and_moulines() -> None:
    assert step_size(0.0, 10.0, 0.7, 2.0) == 1.0
    for t in (2, 3, 10):
        assert step_size((t - 1) * 10.0, 10.0, 0.7, 2.0) == pytest.approx((t + 2.0) ** -0.7)
        assert step_size((t - 1) * 10.0, 10.0, 1.0, 0.0) == pytest.approx(1.0 / t)
    for alpha in (0.5, 1.1):
        with pytest.raises(MixtureError, match="alpha must lie"):
            step_size(1.0, 1.0, alpha, 0.0)
    with pytest.raises(MixtureError, match="t0 must not be below 0"):
        step_size(1.0, 1.0, 0.7, -1.0)


def test_one_component_in_batches_is_the_fit_of_all(clusters: np.ndarray) -> None:
    """With one component the statistics do not depend on the mixture, so batches of any sizes must be exact."""
    whole = GaussianMixture(1).fit(clusters)
    model = GaussianMixture(1)
    for part in np.split(clusters, [100, 900, 930]):
        model.partial_fit(part, alpha=1.0, t0=0.0)
    np.testing.assert_allclose(model.means_, whole.means_, rtol=1e-10)
    np.testing.assert_allclose(model.covariances_, whole.covariances_, rtol=1e-10)
    assert model.statistics_ is not None
    assert model.statistics_.weight == pytest.approx(2000.0)
    assert model.n_iter_ == 4


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_new_rows_move_a_fit_towards_them(clusters: np.ndarray, kind: str) -> None:
    model = GaussianMixture(3, covariance_type=kind, random_state=0, max_iter=300).fit(clusters[:1000])
    before = model.score(clusters[1000:])
    first = model.predict(clusters)
    for _ in range(3):
        model.partial_fit(da.from_array(clusters[1000:], chunks=(170, 4)))
    assert model.score(clusters[1000:]) > before
    assert np.mean(model.predict(clusters) == first) > 0.9


def test_a_batch_is_one_step_whatever_its_chunks(clusters: np.ndarray) -> None:
    fits = []
    for chunk in (2000, 170):
        model = GaussianMixture(3, random_state=0).fit(clusters[:500])
        fits.append(model.partial_fit(da.from_array(clusters, chunks=(chunk, 4)), sample_weight=np.full(2000, 0.5)))
    np.testing.assert_allclose(fits[0].covariances_, fits[1].covariances_, rtol=1e-10)


def test_parts_of_one_iteration_merge_to_the_whole(clusters: np.ndarray) -> None:
    base = GaussianMixture(3, random_state=0).fit(clusters)
    start = {"weights_init": base.weights_, "means_init": base.means_, "precisions_init": base.precisions_}

    def one_step(rows: np.ndarray) -> GaussianMixture:
        with pytest.warns(ConvergenceWarning, match="max_iter=1"):
            return GaussianMixture(3, max_iter=1, **start).fit(rows)

    whole, a, b = (one_step(rows) for rows in (clusters, clusters[:700], clusters[700:]))
    merged = a.merge(b)
    np.testing.assert_allclose(merged.means_, whole.means_, rtol=1e-10)
    np.testing.assert_allclose(merged.covariances_, whole.covariances_, rtol=1e-9)
    assert merged.lower_bound_ == pytest.approx(whole.lower_bound_, rel=1e-12)
    assert a.statistics_.weight == 700  # neither part has changed


def test_merging_finds_the_partner_of_each_component(clusters: np.ndarray) -> None:
    a = GaussianMixture(3, random_state=0, max_iter=300).fit(clusters[:1000])
    b = GaussianMixture(3, random_state=0, max_iter=300, means_init=a.means_[[1, 2, 0]]).fit(clusters[1000:])
    whole = GaussianMixture(3, random_state=0, max_iter=300).fit(clusters)
    merged = a.merge(b)
    assert np.mean(merged.predict(clusters) == a.predict(clusters)) > 0.97
    assert merged.score(clusters) == pytest.approx(whole.score(clusters), abs=0.02)
    with pytest.raises(MixtureError, match="Cannot merge mixtures"):
        a.merge(GaussianMixture(2, random_state=0).fit(clusters))

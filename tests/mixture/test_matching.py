"""Components keep their meaning between fits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from gravdask.errors import MixtureError
from gravdask.mixture import GaussianMixture
from gravdask.mixture.matching import bhattacharyya_distances
from gravdask.mixture.parameters import GaussianParameters


def line(means: list[float], variances: list[float], weights: list[float] | None = None) -> GaussianParameters:
    share = np.full(len(means), 1.0 / len(means)) if weights is None else np.array(weights)
    return GaussianParameters.from_covariances("spherical", share, np.array(means)[:, None], np.array(variances))


def test_distance_is_the_overlap_integral() -> None:
    a, b = line([0.0, 1.0], [1.0, 4.0]), line([0.5, 9.0], [2.0, 0.3])
    found = bhattacharyya_distances(a, b)
    for i in range(2):
        for j in range(2):
            p = norm(a.means[i, 0], a.covariances[i] ** 0.5)
            q = norm(b.means[j, 0], b.covariances[j] ** 0.5)
            overlap = quad(lambda x, p=p, q=q: np.sqrt(p.pdf(x) * q.pdf(x)), -30, 40, points=[0, 5, 9])[0]
            assert found[i, j] == pytest.approx(-np.log(overlap), rel=1e-7)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_a_refit_takes_the_old_order(clusters: np.ndarray, kind: str) -> None:
    old = GaussianMixture(3, covariance_type=kind, random_state=0, max_iter=300, tol=1e-6).fit(clusters[:1500])
    shuffled = {"means_init": old.means_[[2, 0, 1]], "weights_init": old.weights_[[2, 0, 1]]}
    new = GaussianMixture(3, covariance_type=kind, max_iter=300, random_state=0, **shuffled).fit(clusters)
    before, score = new.predict(clusters), new.score(clusters)
    found = new.match(old)
    np.testing.assert_array_equal(found.permutation, [1, 2, 0])
    np.testing.assert_array_equal(found.old_component, [0, 1, 2])
    assert (found.distances < 0.05).all()
    assert found.unmatched_old == ()
    np.testing.assert_array_equal(found.permutation[new.predict(clusters)], before)
    assert new.score(clusters) == pytest.approx(score, rel=1e-12)
    assert np.mean(new.predict(clusters) == old.predict(clusters)) > 0.97
    np.testing.assert_allclose(new.statistics_.finalize(1e-6).means, new.means_, rtol=1e-9)
    np.testing.assert_allclose(new.precisions_cholesky_, new._parameters().precisions_cholesky)


def test_a_mixture_matches_itself_at_distance_zero(clusters: np.ndarray) -> None:
    model = GaussianMixture(3, random_state=0).fit(clusters)
    found = model.match(model)
    np.testing.assert_array_equal(found.permutation, [0, 1, 2])
    np.testing.assert_allclose(found.distances, 0.0, atol=1e-10)


def test_other_numbers_of_components(clusters: np.ndarray) -> None:
    few = GaussianMixture(2, random_state=0).fit(clusters)
    many = GaussianMixture(4, random_state=0).fit(clusters)
    found = many.match(few)
    np.testing.assert_array_equal(found.old_component, [0, 1, -1, -1])
    assert sorted(found.permutation) == [0, 1, 2, 3]
    assert many.weights_[2] >= many.weights_[3]
    assert np.isnan(found.distances[2:]).all()
    back = few.match(many)
    assert len(back.unmatched_old) == 2
    assert set(back.old_component) | set(back.unmatched_old) == {0, 1, 2, 3}
    other = GaussianMixture(2, random_state=0).fit(clusters[:, :3])
    with pytest.raises(MixtureError, match="4 features to one of 3"):
        few.match(other)

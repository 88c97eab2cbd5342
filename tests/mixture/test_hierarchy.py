"""The tree of components: what a merge keeps, and what it joins first."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import dendrogram, fcluster, is_valid_linkage
from scipy.stats import multivariate_normal
from sklearn.exceptions import NotFittedError

from gravdask.errors import MixtureError
from gravdask.mixture import GaussianMixture, Hierarchy, hierarchy

KINDS = ("full", "tied", "diag", "spherical")


def fitted(weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> GaussianMixture:
    """A mixture of these components, through a start and no iteration."""
    model = GaussianMixture(
        len(weights), weights_init=weights, means_init=means, precisions_init=np.linalg.inv(covariances), max_iter=0
    )
    return model.fit(np.random.default_rng(0).normal(size=(50, means.shape[1])))


def random_mixture(n_components: int, seed: int) -> GaussianMixture:
    generator = np.random.default_rng(seed)
    roots = generator.normal(size=(n_components, 3, 3))
    return fitted(
        generator.dirichlet(np.full(n_components, 3.0)),
        3.0 * generator.normal(size=(n_components, 3)),
        roots @ np.swapaxes(roots, 1, 2) + 0.1 * np.eye(3),
    )


def moments(model: GaussianMixture) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the whole mixture, from the law of total variance about the origin."""
    second = sum(
        w * (c + np.outer(m, m)) for w, m, c in zip(model.weights_, model.means_, model.covariances_, strict=True)
    )
    mean = model.weights_ @ model.means_
    return mean, second - np.outer(mean, mean)


@pytest.mark.parametrize("seed", range(4))
def test_every_cut_keeps_the_moments_of_the_whole(seed: int) -> None:
    model = random_mixture(7, seed)
    tree = hierarchy(model)
    mean, covariance = moments(model)
    for n in range(1, 8):
        merged = tree.merged(n)
        assert merged.means_.shape == (n, 3)
        assert merged.weights_.sum() == pytest.approx(1.0, abs=1e-15)
        assert (np.diff(merged.weights_) <= 0.0).all()
        found = moments(merged)
        np.testing.assert_allclose(found[0], mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found[1], covariance, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(tree.merged(1).means_[0], mean, atol=1e-12)
    np.testing.assert_allclose(tree.merged(1).covariances_[0], covariance, atol=1e-12)


def test_a_full_cut_is_the_mixture_itself() -> None:
    model = random_mixture(6, 1)
    tree = hierarchy(model)
    order = np.argsort(-model.weights_)
    np.testing.assert_array_equal(tree.cut(6)[order], np.arange(6))
    rows = np.random.default_rng(2).normal(size=(200, 3)) * 3.0
    merged = tree.merged(6)
    np.testing.assert_allclose(merged.score_samples(rows), model.score_samples(rows), rtol=1e-10)
    np.testing.assert_array_equal(merged.predict(rows), tree.cut(6)[model.predict(rows)])
    np.testing.assert_array_equal(tree.cut(1), np.zeros(6))


def test_cuts_are_nested_and_agree_with_scipy() -> None:
    tree = hierarchy(random_mixture(9, 5))
    assert is_valid_linkage(tree.table, throw=True)
    for n in range(1, 9):
        fine, coarse = tree.cut(n + 1), tree.cut(n)
        assert sorted(set(coarse.tolist())) == list(range(n))
        assert len({(int(a), int(b)) for a, b in zip(fine, coarse, strict=True)}) == n + 1
        if n == 1 or tree.table[8 - n, 2] > tree.table[8 - n - 1, 2]:  # where heights are equal SciPy cuts elsewhere
            other = fcluster(tree.table, n, criterion="maxclust")
            if len(set(other.tolist())) == n:
                assert len({(int(a), int(b)) for a, b in zip(other, coarse, strict=True)}) == n
    drawn = dendrogram(tree.table, no_plot=True)
    assert sorted(drawn["leaves"]) == list(range(9))
    assert (np.diff(tree.table[:, 2]) >= 0.0).all()
    np.testing.assert_array_equal(tree.table[:, 2], np.maximum.accumulate(tree.cost))
    assert tree.table[-1, 3] == 9


def test_the_cost_is_that_of_runnalls_by_hand() -> None:
    """In one dimension: B = 1/2 [w12 ln s12 - w1 ln s1 - w2 ln s2], s12 = mean variance + variance of the means."""
    model = fitted(np.array([0.25, 0.75]), np.array([[0.0], [4.0]]), np.array([[[1.0]], [[2.0]]]))
    together = 0.25 * 1.0 + 0.75 * 2.0 + 0.25 * 0.75 * 16.0
    expected = 0.5 * (np.log(together) - 0.25 * np.log(1.0) - 0.75 * np.log(2.0))
    tree = hierarchy(model)
    np.testing.assert_allclose(tree.cost, [expected], rtol=1e-12)
    np.testing.assert_allclose(tree.table, [[0.0, 1.0, expected, 2.0]], rtol=1e-12)
    merged = tree.merged(1)
    np.testing.assert_allclose(merged.means_, [[3.0]], rtol=1e-12)
    np.testing.assert_allclose(merged.covariances_, [[[together]]], rtol=1e-12)


def test_the_cost_bounds_the_divergence() -> None:
    """Kullback-Leibler divergence from a mixture to itself with one pair joined, by Monte Carlo."""
    model = random_mixture(4, 8)
    tree = hierarchy(model)
    rows, _ = model.set_params(random_state=0).sample(20_000)
    difference = model.score_samples(rows) - tree.merged(3).score_samples(rows)
    error = difference.std() / np.sqrt(len(rows))
    assert 0.0 - 4 * error < difference.mean() < tree.cost[0] + 4 * error


def test_the_order_of_components_does_not_matter() -> None:
    model = random_mixture(8, 3)
    order = np.random.default_rng(0).permutation(8)
    other = fitted(model.weights_[order], model.means_[order], model.covariances_[order])
    first, second = hierarchy(model), hierarchy(other)
    np.testing.assert_allclose(second.cost, first.cost, rtol=1e-9)
    for n in range(1, 9):
        np.testing.assert_array_equal(second.cut(n), first.cut(n)[order])
        np.testing.assert_allclose(second.merged(n).covariances_, first.merged(n).covariances_, rtol=1e-8, atol=1e-9)


def test_halves_of_clusters_are_joined_again_first() -> None:
    centres = np.array([[0.0, 0.0], [40.0, 0.0], [0.0, 50.0], [60.0, 60.0]])
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    offset = np.array([0.3, -0.2])
    halves = np.concatenate([centres + offset, centres - offset])
    model = fitted(np.tile(weights / 2, 2), halves, np.stack([np.eye(2)] * 8))
    tree = hierarchy(model)
    assert {frozenset(pair) for pair in tree.table[:4, :2].astype(int).tolist()} == {
        frozenset((k, k + 4)) for k in range(4)
    }
    assert tree.cost[3] < 0.1 < tree.cost[4]
    np.testing.assert_array_equal(tree.cut(4), [3, 2, 1, 0] * 2)
    merged = tree.merged(4)
    np.testing.assert_allclose(merged.means_, centres[::-1], atol=1e-12)
    np.testing.assert_allclose(merged.covariances_[0], np.eye(2) + np.outer(offset, offset), rtol=1e-12)
    np.testing.assert_array_equal(merged.predict(centres), [3, 2, 1, 0])
    density = sum(w * multivariate_normal(m, np.eye(2) + np.outer(offset, offset)).pdf(centres) for w, m in
                  zip(weights, centres, strict=True))  # fmt: skip
    np.testing.assert_allclose(merged.score_samples(centres), np.log(density), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_every_covariance_type_has_a_tree(clusters: np.ndarray, kind: str) -> None:
    model = GaussianMixture(3, covariance_type=kind, random_state=0, max_iter=300, missing="skip").fit(clusters)
    tree = hierarchy(model)
    assert isinstance(tree, Hierarchy)
    merged = tree.merged(2)
    assert (merged.covariance_type, merged.n_components, merged.missing) == ("full", 2, "skip")
    assert np.mean(merged.predict(clusters) == tree.cut(2)[model.predict(clusters)]) > 0.9
    with pytest.raises(MixtureError, match=r"partial_fit needs sufficient statistics; .* another one's components"):
        merged.partial_fit(clusters)
    again = merged.set_params(warm_start=True, max_iter=300).fit(clusters)
    assert again.lower_bounds_[0] == pytest.approx(tree.merged(2).score(clusters), rel=1e-10)


def test_a_tree_keeps_what_it_was_made_of(clusters: np.ndarray) -> None:
    model = GaussianMixture(3, random_state=0, max_iter=300, labels_init=np.arange(2000) % 3).fit(clusters)
    tree = hierarchy(model)
    before = tree.cut(2).copy()
    model.set_params(labels_init=None).fit(clusters[:500] * 2.0)
    np.testing.assert_array_equal(tree.cut(2), before)
    assert tree.merged(2).labels_init is None


def test_one_component_is_a_tree_without_merges(clusters: np.ndarray) -> None:
    model = GaussianMixture(1).fit(clusters)
    tree = hierarchy(model)
    assert (tree.table.shape, tree.cost.shape) == ((0, 4), (0,))
    np.testing.assert_allclose(tree.merged(1).means_, model.means_, rtol=1e-12)


def test_a_component_without_weight_costs_nothing() -> None:
    model = fitted(
        np.array([0.0, 0.5, 0.5, 0.0]),
        np.array([[9.0, 9.0], [0.0, 0.0], [8.0, 0.0], [9.0, 9.0]]),
        np.stack([np.eye(2)] * 4),
    )
    tree = hierarchy(model)
    np.testing.assert_allclose(tree.cost[:2], 0.0, atol=1e-12)
    merged = tree.merged(2)
    np.testing.assert_allclose(merged.means_, [[0.0, 0.0], [8.0, 0.0]], atol=1e-12)


@pytest.mark.parametrize("n", [0, 4, 2.0, True, "2"])
def test_wrong_cuts_are_named(clusters: np.ndarray, n: object) -> None:
    tree = hierarchy(GaussianMixture(3, random_state=0, max_iter=300).fit(clusters))
    for method in (tree.cut, tree.merged):
        with pytest.raises(MixtureError, match=r"from 1 to the number of components, 3, got"):
            method(n)  # type: ignore[operator]
    with pytest.raises(NotFittedError):
        hierarchy(GaussianMixture(2))

"""Sufficient statistics: the algebra of a monoid, and the sums themselves against plain formulas."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gravdask.errors import MixtureError
from gravdask.mixture import SufficientStatistics, kernels
from gravdask.mixture.parameters import (
    GaussianParameters,
    check_precisions,
    cholesky_of_precisions,
    covariances_of_factors,
)

KINDS = ("full", "tied", "diag", "spherical")


def some_parameters(kind: str, n_components: int = 3, n_features: int = 4, seed: int = 0) -> GaussianParameters:
    generator = np.random.default_rng(seed)
    roots = generator.normal(size=(n_components, n_features, n_features))
    matrices = roots @ np.swapaxes(roots, 1, 2) + np.eye(n_features)
    diagonals = np.diagonal(matrices, axis1=1, axis2=2).copy()
    covariances = {"full": matrices, "tied": matrices[0], "diag": diagonals, "spherical": diagonals[:, 0].copy()}[kind]
    weights = generator.dirichlet(np.ones(n_components))
    return GaussianParameters.from_covariances(
        kind, weights, generator.normal(size=(n_components, n_features)), covariances
    )


def same(a: SufficientStatistics, b: SufficientStatistics, rtol: float = 1e-12) -> None:
    for name in ("centre", "counts", "first", "second", "log_likelihood", "weight"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_rows", [0, 1, 63, 9001])
def test_sums_are_those_of_the_formulas(kind: str, weighted: bool, n_rows: int) -> None:
    generator = np.random.default_rng(1)
    parameters, centre = some_parameters(kind), generator.normal(size=4)
    rows = generator.normal(size=(n_rows, 4))
    weights = generator.uniform(size=n_rows) if weighted else None
    found = SufficientStatistics.from_block(rows, weights, parameters.density(centre))
    w = np.ones(n_rows) if weights is None else weights
    matrices = parameters.covariance_matrices()
    joint = np.stack(
        [
            np.log(parameters.weights[k]) + multivariate_normal(parameters.means[k], matrices[k]).logpdf(rows)
            for k in range(3)
        ],
        axis=-1,
    ).reshape(n_rows, 3)
    likelihoods = logsumexp(joint, axis=1)
    share = np.exp(joint - likelihoods[:, None]) * w[:, None]
    x = rows - centre
    upper = np.triu_indices(4)
    outer = np.einsum("nk,ni,nj->kij", share, x, x)
    second = {
        "full": outer[:, upper[0], upper[1]],
        "tied": outer.sum(axis=0)[upper],
        "diag": np.diagonal(outer, axis1=1, axis2=2),
        "spherical": np.trace(outer, axis1=1, axis2=2),
    }[kind]
    np.testing.assert_allclose(found.counts, share.sum(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.first, share.T @ x, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.second, second, rtol=1e-8, atol=1e-9)
    assert found.log_likelihood == pytest.approx(w @ likelihoods, rel=1e-11)
    assert found.weight == pytest.approx(w.sum(), rel=1e-12)
    if n_rows:
        same(SufficientStatistics.from_responsibilities(rows, share, kind, centre), replace_likelihood(found), 1e-8)


def replace_likelihood(statistics: SufficientStatistics) -> SufficientStatistics:
    """Sums made from given responsibilities know no likelihood."""
    values = statistics.to_dict() | {"log_likelihood": 0.0}
    return SufficientStatistics.from_dict(values)


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(KINDS), seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 90), min_size=2, max_size=2)
)
def test_statistics_are_a_commutative_monoid(kind: str, seed: int, cuts: tuple[int, int]) -> None:
    rows = np.random.default_rng(seed).normal(size=(90, 4))
    density = some_parameters(kind, seed=seed).density(np.zeros(4))
    low, high = sorted(cuts)
    a, b, c = (
        SufficientStatistics.from_block(part, None, density) for part in (rows[:low], rows[low:high], rows[high:])
    )
    zero = SufficientStatistics.zero(kind, 3, np.zeros(4))
    same((a + b) + c, a + (b + c))
    same(a + b, b + a)
    same(a + b + c, SufficientStatistics.from_block(rows, None, density))
    for name in ("counts", "first", "second"):
        np.testing.assert_array_equal(getattr(a + zero, name), getattr(a, name))


@pytest.mark.parametrize("kind", KINDS)
def test_another_centre_is_the_same_mixture(kind: str) -> None:
    rows = np.random.default_rng(3).normal(size=(200, 4)) + 2.0
    parameters = some_parameters(kind)
    near = SufficientStatistics.from_block(rows, None, parameters.density(rows.mean(axis=0)))
    far = SufficientStatistics.from_block(rows, None, parameters.density(np.full(4, -1.0)))
    same(near.recentred(np.full(4, -1.0)), far, rtol=1e-10)
    np.testing.assert_allclose(near.finalize(1e-6).covariances, far.finalize(1e-6).covariances, rtol=1e-10)


def test_scaling_leaves_the_mixture() -> None:
    rows = np.random.default_rng(3).normal(size=(200, 4))
    statistics = SufficientStatistics.from_block(rows, None, some_parameters("full").density())
    scaled = statistics.scaled(7.0)
    assert scaled.weight == 1400.0
    np.testing.assert_allclose(scaled.finalize(0.0).covariances, statistics.finalize(0.0).covariances, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_json_keeps_every_bit(kind: str) -> None:
    rows = np.random.default_rng(3).normal(size=(50, 4))
    statistics = SufficientStatistics.from_block(rows, None, some_parameters(kind).density())
    back = SufficientStatistics.from_dict(json.loads(json.dumps(statistics.to_dict())))
    for name, value in statistics.to_dict().items():
        assert back.to_dict()[name] == value


def test_what_does_not_fit_is_refused() -> None:
    zero = SufficientStatistics.zero("full", 2, np.zeros(3))
    with pytest.raises(MixtureError, match="Cannot add statistics of full components"):
        _ = zero + SufficientStatistics.zero("diag", 2, np.zeros(3))
    with pytest.raises(MixtureError, match="different centres"):
        _ = zero + SufficientStatistics.zero("full", 2, np.ones(3))
    values = zero.to_dict()
    with pytest.raises(MixtureError, match="second has shape"):
        SufficientStatistics.from_dict(values | {"second": [[0.0]]})
    with pytest.raises(MixtureError, match="lack the field"):
        SufficientStatistics.from_dict({"counts": []})
    with pytest.raises(MixtureError, match="'round' is not one of full, tied"):
        SufficientStatistics.from_dict(values | {"covariance_type": "round"})


@pytest.mark.parametrize("kind", KINDS)
def test_factors_of_precisions_are_upper_triangular_roots(kind: str) -> None:
    parameters = some_parameters(kind)
    precisions = check_precisions(parameters.precisions(), kind, 3, 4)
    factors = cholesky_of_precisions(precisions, kind)
    np.testing.assert_allclose(factors, parameters.precisions_cholesky, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(covariances_of_factors(factors, kind), parameters.covariances, rtol=1e-9)
    if kind in ("full", "tied"):
        np.testing.assert_array_equal(factors, np.triu(factors))


@pytest.mark.parametrize("kind", KINDS)
def test_the_strip_length_does_not_show(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    density = some_parameters(kind).density()
    whole = SufficientStatistics.from_block(rows, None, density)
    answers = [f(rows, density) for f in (kernels.labels, kernels.responsibilities, kernels.log_likelihoods)]
    monkeypatch.setattr(kernels, "strip_rows", lambda *_: 64)
    same(SufficientStatistics.from_block(rows, None, density), whole, rtol=1e-11)
    for f, answer in zip((kernels.labels, kernels.responsibilities, kernels.log_likelihoods), answers, strict=True):
        np.testing.assert_allclose(f(rows, density), answer, rtol=1e-12)


def test_a_component_without_weight_takes_no_rows() -> None:
    parameters = some_parameters("full")
    empty = GaussianParameters(
        "full", np.array([0.0, 0.5, 0.5]), parameters.means, parameters.covariances, parameters.precisions_cholesky
    )
    rows = np.random.default_rng(0).normal(size=(20, 4))
    share = kernels.responsibilities(rows, empty.density())
    np.testing.assert_array_equal(share[:, 0], 0.0)
    np.testing.assert_allclose(share.sum(axis=1), 1.0)

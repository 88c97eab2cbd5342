"""Data for the mixture's tests."""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.utils.estimator_checks import estimator_checks_generator


def make_clusters(n_rows: int, n_features: int, n_clusters: int, seed: int, spread: float = 5.0) -> NDArray[np.float64]:
    """Return shuffled rows of correlated clusters."""
    generator = np.random.default_rng(seed)
    sizes = generator.multinomial(n_rows - 20 * n_clusters, np.full(n_clusters, 1.0 / n_clusters)) + 20
    parts = [
        generator.normal(size=(size, n_features)) @ generator.normal(size=(n_features, n_features))
        + spread * generator.normal(size=n_features)
        for size in sizes
    ]
    rows = np.concatenate(parts)
    generator.shuffle(rows)
    return rows


@pytest.fixture(scope="session")
def clusters() -> NDArray[np.float64]:
    """2000 rows, 4 features, 3 clusters."""
    return make_clusters(2000, 4, 3, seed=7)


@pytest.fixture(scope="session")
def run_estimator_checks() -> Callable[[Any], int]:
    """Run scikit-learn's checks of an estimator, but those that need an environment of their own; count them."""

    def run(estimator: Any) -> int:
        ran = 0
        for checked, check in estimator_checks_generator(estimator):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    check(checked)
                except unittest.SkipTest:
                    continue
            ran += 1
        return ran

    return run

"""Gaussian mixtures of any size: exact EM over blocks of rows, with scikit-learn's contract."""

from __future__ import annotations

from gravdask.mixture.gaussian_mixture import GaussianMixture
from gravdask.mixture.hierarchy import Hierarchy, hierarchy
from gravdask.mixture.matching import ComponentMatch
from gravdask.mixture.selection import Recommendation, effective_size, select, time_blocks
from gravdask.mixture.statistics import SufficientStatistics

__all__ = [
    "ComponentMatch",
    "GaussianMixture",
    "Hierarchy",
    "Recommendation",
    "SufficientStatistics",
    "effective_size",
    "hierarchy",
    "select",
    "time_blocks",
]

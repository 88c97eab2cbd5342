"""The constructor's limits, as data, and their check."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from gravdask.errors import MixtureError
from gravdask.mixture.initialise import INIT_METHODS
from gravdask.mixture.kernels import COVARIANCE_TYPES


@dataclass(frozen=True)
class Limit:
    """What a number may be: an integer or real not below `low`."""

    integer: bool
    low: float

    def admits(self, value: object) -> bool:
        """Return whether a value is such a number (a bool is none)."""
        if isinstance(value, bool) or not isinstance(value, Integral if self.integer else Real):
            return False
        number = float(value)
        return math.isfinite(number) and number >= self.low

    def __str__(self) -> str:
        """Say it in words."""
        return f"{'an integer' if self.integer else 'a finite number'} not below {self.low:g}"


NUMBERS: Mapping[str, Limit] = {
    "n_components": Limit(integer=True, low=1),
    "tol": Limit(integer=False, low=0.0),
    "reg_covar": Limit(integer=False, low=0.0),
    "max_iter": Limit(integer=True, low=0),
    "n_init": Limit(integer=True, low=1),
}
"""Limits of the numeric parameters of `GaussianMixture`."""

CHOICES: Mapping[str, tuple[str, ...]] = {"covariance_type": COVARIANCE_TYPES, "init_params": INIT_METHODS}
"""Allowed words of the textual parameters of `GaussianMixture`."""


def check_settings(parameters: Mapping[str, Any]) -> None:
    """Check the constructor's parameters by name.

    Raises
    ------
    MixtureError
        Names the parameter, its value and what it may be.
    """
    for name, limit in NUMBERS.items():
        if not limit.admits(parameters[name]):
            msg = f"{name} must be {limit}, got {parameters[name]!r}"
            raise MixtureError(msg)
    for name, words in CHOICES.items():
        if parameters[name] not in words:
            msg = f"{name} must be one of {', '.join(words)}, got {parameters[name]!r}"
            raise MixtureError(msg)
    if not isinstance(parameters["warm_start"], bool | np.bool_ | int):
        msg = f"warm_start must be True or False, got {parameters['warm_start']!r}"
        raise MixtureError(msg)

"""The constructor's limits, as data, and their check."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import MatrixLike
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

CHOICES: Mapping[str, tuple[str, ...]] = {
    "covariance_type": COVARIANCE_TYPES,
    "init_params": INIT_METHODS,
    "missing": ("error", "skip"),
}
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
        if not isinstance(parameters[name], str) or parameters[name] not in words:
            msg = f"{name} must be one of {', '.join(words)}, got {parameters[name]!r}"
            raise MixtureError(msg)
    if not isinstance(parameters["warm_start"], bool | np.bool_ | int):
        msg = f"warm_start must be True or False, got {parameters['warm_start']!r}"
        raise MixtureError(msg)


class NotNumbersError(MixtureError, TypeError):
    """X holds objects that no float can be made of."""


def refuse_no_matrix(X: MatrixLike) -> MatrixLike:
    """Refuse an X in memory that holds words, complex numbers or other things that are not real numbers.

    Returns
    -------
    X
        As it was given.

    Raises
    ------
    MixtureError
        Says the type, or what is found in which row and column.
    """
    kinds = _kinds(X)
    if "c" in kinds:
        msg = "Complex data not supported: X holds complex numbers. Give real and imaginary parts as two columns each"
        raise MixtureError(msg)
    if not kinds & set("OUST"):
        return X
    values = np.asarray(X, dtype=object)
    if values.ndim != 2:
        return X  # what comes next says how X should be shaped
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            _refuse_no_number(value, i, j)
    return X


def _kinds(X: MatrixLike) -> set[str]:
    """Return the kinds of numbers in an array, a table or a list; those of sparse arrays are left for others to say."""
    types = getattr(X, "dtypes", None)
    if types is not None:
        return {getattr(kind, "kind", "O") for kind in types}
    if hasattr(X, "dtype"):
        return {getattr(X.dtype, "kind", "")} if hasattr(X, "__array__") else set()
    try:
        return {np.asarray(X).dtype.kind} if isinstance(X, list | tuple) else set()
    except ValueError as error:
        msg = f"X must be a table of numbers, (n_rows, n_features), but its rows differ in length: {error}"
        raise MixtureError(msg) from error


def _refuse_no_number(value: object, row: int, column: int) -> None:
    """Refuse one value that is not a real number."""
    where = f"X holds {value!r} in row {row}, column {column}"
    if isinstance(value, str | bytes):
        msg = f"{where}: real numbers are expected. Convert the words to numbers, or leave the column out"
        raise MixtureError(msg)
    if isinstance(value, complex | np.complexfloating):
        msg = f"Complex data not supported: {where}. Give real and imaginary parts as two columns each"
        raise MixtureError(msg)
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        msg = f"{where}: {error}. Real numbers are expected"
        raise NotNumbersError(msg) from error

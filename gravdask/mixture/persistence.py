"""A fitted mixture as a JSON file: nothing in it executes, and every float comes back to the bit.

Python writes a float as the shortest decimal that reads back as the same float64.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gravdask.errors import GravdaskError, MixtureError, ModelError
from gravdask.mixture.inference import FittedMixture
from gravdask.mixture.parameters import (
    GaussianParameters,
    check_means,
    check_weights,
    covariance_shape,
    precision_cholesky,
)
from gravdask.mixture.statistics import SufficientStatistics
from gravdask.mixture.validation import check_settings

if TYPE_CHECKING:
    from gravdask.mixture.gaussian_mixture import GaussianMixture

FORMAT = "gravdask.mixture.GaussianMixture"
"""Marks the file as one of ours."""

VERSION = 1
"""Raised when the meaning of a field changes."""


def _plain(value: object, name: str) -> object:
    """Return a constructor parameter as JSON can hold it."""
    if name == "model_init" and isinstance(value, FittedMixture):
        if not hasattr(value, "means_"):
            msg = "model_init is a mixture that is not fitted: a start that is saved must be fitted; set it to None"
            raise MixtureError(msg)
        return to_dict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str | list | tuple):
        return value
    cure = {
        "random_state": "Use an integer or None as random_state",
        "labels_init": "Compute the labels first, or set labels_init to None: a fitted mixture no longer needs them",
        "model_init": "Set model_init to None, to a fitted gravdask mixture or to the path of one",
    }.get(name, "Give plain numbers, words or arrays")
    msg = f"{name}={value!r} cannot be saved as JSON. {cure}"
    raise MixtureError(msg)


def to_dict(model: FittedMixture) -> dict[str, Any]:
    """Return a fitted mixture as plain lists, numbers and words.

    Raises
    ------
    MixtureError
        A constructor parameter has no such form.
    """
    names = getattr(model, "feature_names_in_", None)
    fitted = {
        "weights": model.weights_.tolist(),
        "means": model.means_.tolist(),
        "covariances": model.covariances_.tolist(),
        "precisions_cholesky": model.precisions_cholesky_.tolist(),
        "converged": bool(model.converged_),
        "n_iter": int(model.n_iter_),
        "lower_bound": float(model.lower_bound_) if math.isfinite(model.lower_bound_) else None,
        "lower_bounds": [float(value) for value in model.lower_bounds_],
        "reseeded": [list(pair) for pair in model.reseeded_],
        "n_skipped": int(model.n_skipped_),
        "feature_names_in": None if names is None else [str(name) for name in names],
        "statistics": None if model.statistics_ is None else model.statistics_.to_dict(),
    }
    settings = {name: _plain(value, name) for name, value in model.get_params(deep=False).items()}
    return {"format": FORMAT, "version": VERSION, "parameters": settings, "fitted": fitted}


def save(model: GaussianMixture, path: str | os.PathLike[str]) -> None:
    """Write a fitted mixture; a file of that name is replaced in one step, never left half written."""
    text = json.dumps(to_dict(model), indent=1, allow_nan=False)
    target = Path(path)
    partial = target.with_name(target.name + ".part")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(target)


def load(blank: GaussianMixture, path: str | os.PathLike[str]) -> GaussianMixture:
    """Fill a blank mixture from a file.

    Raises
    ------
    ModelError
        The file is missing, not JSON, of another format or version, or its fields contradict each other.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"Cannot read the mixture {os.fspath(path)}: {error.strerror}"
        raise ModelError(msg) from error
    except ValueError as error:
        msg = f"The mixture {os.fspath(path)} is damaged: not JSON ({error})"
        raise ModelError(msg) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        msg = f"{os.fspath(path)} is not a saved mixture: its format is not {FORMAT!r}"
        raise ModelError(msg)
    if content.get("version") != VERSION:
        msg = (
            f"The mixture {os.fspath(path)} has version {content.get('version')!r}; this program reads {VERSION}. "
            "Save it again with the program that wrote it, or fit anew"
        )
        raise ModelError(msg)
    try:
        return _filled(blank, content)
    except (KeyError, IndexError, TypeError, ValueError, GravdaskError) as error:
        msg = f"The mixture {os.fspath(path)} is damaged: {type(error).__name__}: {error}"
        raise ModelError(msg) from error


def _filled(blank: GaussianMixture, content: Mapping[str, Any]) -> GaussianMixture:
    """Set parameters and fitted attributes from the content of a file."""
    settings = dict(content["parameters"])
    if isinstance(settings.get("model_init"), dict):
        settings["model_init"] = _filled(type(blank)(), settings["model_init"])
    blank.set_params(**settings)
    check_settings(blank.get_params(deep=False))
    fitted, kind = content["fitted"], blank.covariance_type
    n_components = len(fitted["weights"])
    n_features = len(fitted["means"][0])
    covariances, factors = (np.array(fitted[name], dtype=np.float64) for name in ("covariances", "precisions_cholesky"))
    shape = covariance_shape(kind, n_components, n_features)
    if covariances.shape != shape or factors.shape != shape:
        msg = f"covariances have shape {covariances.shape}, their factors {factors.shape}, expected {shape}"
        raise MixtureError(msg)
    if not (np.isfinite(covariances).all() and np.isfinite(factors).all()):
        msg = "covariances hold NaN or infinity"
        raise MixtureError(msg)
    if not np.allclose(precision_cholesky(covariances, kind), factors, rtol=1e-6, atol=1e-9 * np.abs(factors).max()):
        msg = "the factors of the precisions are not those of the covariances"
        raise MixtureError(msg)
    statistics = fitted["statistics"]
    parameters = GaussianParameters(
        kind,
        check_weights(fitted["weights"], n_components, "weights"),
        check_means(fitted["means"], n_components, n_features, "means"),
        covariances,
        factors,
    )
    blank.n_features_in_ = n_features
    blank._adopt(parameters, None if statistics is None else SufficientStatistics.from_dict(statistics))
    blank.converged_, blank.n_iter_ = bool(fitted["converged"]), int(fitted["n_iter"])
    blank.lower_bound_ = -math.inf if fitted["lower_bound"] is None else float(fitted["lower_bound"])
    blank.lower_bounds_ = [float(value) for value in fitted["lower_bounds"]]
    blank.n_skipped_ = int(fitted.get("n_skipped", 0))  # files from before rows could be skipped have none
    blank.reseeded_ = [(int(iteration), int(component)) for iteration, component in fitted["reseeded"]]
    if fitted["feature_names_in"] is not None:
        blank.feature_names_in_ = np.array(fitted["feature_names_in"], dtype=object)
    return blank

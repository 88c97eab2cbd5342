"""Components of a refit keep the numbers of the model before, where they are the same states of the network."""

from __future__ import annotations

from typing import Any

import numpy as np

from gravdask.features.columns import Columns
from gravdask.features.projection import Projection
from gravdask.mixture import GaussianMixture
from gravdask.mixture.parameters import GaussianParameters
from gravdask.stages.model import Model

CLOSE = 1.0
"""Bhattacharyya distance up to which two components are called the same: two densities overlap by a third there."""
UNKNOWN = 1e-6
"""Singular value, as a share of the largest, below which the older features do not know an axis of the new ones."""


def keep_numbers(mixture: GaussianMixture, projection: Projection, columns: Columns, old: Model) -> dict[str, Any]:
    """Reorder a new mixture's components after an older model's, in place.

    Both are compared in the new features: the older components are carried there through the logarithmic columns.

    Returns
    -------
    provenance
        ``model`` (digest of the older one) and ``components``: for each place of the new mixture the older component
        (None for none) and the Bhattacharyya distance; or ``why_not``.
    """
    same = np.array_equal(columns.path, old.columns.path) and np.array_equal(columns.parent, old.columns.parent)
    if not same:
        return {"model": old.digest, "why_not": "its columns are others, so the components cannot be compared"}
    found = mixture.match(_carried(mixture, projection, old))
    pairs = [
        {"component": place, "old": int(k) if k >= 0 else None, "distance": float(d) if k >= 0 else None}
        for place, (k, d) in enumerate(zip(found.old_component, found.distances, strict=True))
    ]
    return {"model": old.digest, "components": pairs, "lost": list(found.unmatched_old)}


def in_words(match: dict[str, Any]) -> str:
    """What became of the components of the older model."""
    if "why_not" in match:
        return f"components are not numbered after model {match['model']}: {match['why_not']}"
    kept = [p for p in match["components"] if p["old"] is not None and p["distance"] <= CLOSE]
    far = [p for p in match["components"] if p["old"] is not None and p["distance"] > CLOSE]
    words = f"components are numbered after model {match['model']}: {len(kept)} are the same"
    if far:
        changed = ", ".join(f"{p['component']} (distance {p['distance']:.1f})" for p in far)
        words += f"; hardly alike: {changed}"
    new = [str(p["component"]) for p in match["components"] if p["old"] is None]
    words += f"; new: {', '.join(new)}" if new else ""
    return words + (f"; gone: {', '.join(str(k) for k in match['lost'])}" if match["lost"] else "")


def _carried(mixture: GaussianMixture, projection: Projection, old: Model) -> GaussianMixture:
    """An older model's mixture in new features: Gaussians stay Gaussian under affine maps.

    Along axes that the older features do not know, its components are as wide as the new ones are on average.
    """
    parameters, new = old.mixture._parameters(), mixture._parameters()
    origin = projection.transform(old.projection.inverse(np.zeros((1, parameters.n_features))))
    turn = (projection.transform(old.projection.inverse(np.eye(parameters.n_features))) - origin).T
    covariances = turn @ parameters.covariance_matrices() @ turn.T
    axes, sizes, _ = np.linalg.svd(turn)
    unknown = axes[:, int((sizes > UNKNOWN * sizes[0]).sum()) :]
    within = np.tensordot(new.weights, new.covariance_matrices(), axes=1)
    covariances = covariances + unknown @ (unknown.T @ within @ unknown) @ unknown.T
    carried = GaussianMixture(parameters.n_components)
    means = projection.transform(old.mean_columns())
    carried.n_features_in_ = len(turn)
    carried._adopt(GaussianParameters.from_covariances("full", parameters.weights, means, covariances), None)
    return carried

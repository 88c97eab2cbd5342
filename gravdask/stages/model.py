"""The frozen model of a path set: station medians, scaling, principal components and mixture, kept in the store.

A model is immutable under its digest; ``current`` names, for each network, the one that new frames are classified
with. Nothing in it is executable: arrays are Zarr, the rest is JSON.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from gravdask.errors import MixtureError, ModelError
from gravdask.features.columns import Columns, log_columns, normalise
from gravdask.features.projection import Projection
from gravdask.mixture import GaussianMixture
from gravdask.store.layout import open_root, put_table
from gravdask.store.place import Place

Array = NDArray[np.float64]


_COVARIANCE_DIMENSIONS = {
    "full": ("mixture_component", "feature", "feature_2"),
    "tied": ("feature", "feature_2"),
    "diag": ("mixture_component", "feature"),
    "spherical": ("mixture_component",),
}


@dataclass(frozen=True)
class Medians:
    """Frozen normalisation of one channel.

    Attributes
    ----------
    path
        Median of each scattering path over the frames of the fit, shape (n_paths,).
    column
        Median of each logarithmic column, shape (n_columns,).
    """

    path: Array
    column: Array


@dataclass(frozen=True)
class Model:
    """A fitted model.

    Attributes
    ----------
    rate
        Sampling rate of its channels, as text.
    network
        Digest of the scattering network.
    columns
        Which paths became which columns.
    projection
        Frozen scaling and principal components.
    mixture
        Frozen Gaussian mixture.
    medians
        Normalisation of each channel of the fit, by name.
    added
        Normalisation of channels that came later, frozen beside the model; not part of its digest.
    provenance
        What the model was made from: settings, rows, likelihood.
    """

    rate: str
    network: str
    columns: Columns
    projection: Projection
    mixture: GaussianMixture
    medians: dict[str, Medians]
    added: dict[str, Medians] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of everything that a frame's class follows from."""
        state = hashlib.blake2b(f"{self.rate} {self.network}".encode(), digest_size=8)
        arrays = [self.columns.path, self.columns.parent, self.projection.mean, self.projection.scale]
        arrays += [self.projection.components, self.projection.centre]
        if self.projection.mixing is not None:
            arrays.append(self.projection.mixing)
        arrays += [self.mixture.weights_, self.mixture.means_, self.mixture.covariances_]
        for name in sorted(self.medians):
            state.update(name.encode())
            arrays += [self.medians[name].path, self.medians[name].column]
        for array in arrays:
            state.update(np.ascontiguousarray(array).tobytes())
        return state.hexdigest()

    def medians_of(self, channel: str) -> Medians | None:
        """Normalisation of a channel, None if it has none yet."""
        return self.medians.get(channel) or self.added.get(channel)

    @property
    def n_components(self) -> int:
        """Number of mixture components."""
        return len(self.mixture.weights_)

    def features(self, coefficients: NDArray[np.floating], medians: Medians) -> Array:
        """Rows that the mixture sees, (n_frames, n_features), from coefficients (n_frames, n_paths); NaN rows stay."""
        logarithms = log_columns(coefficients, medians.path, self.columns)
        return self.projection.transform(normalise(logarithms, medians.column))

    def mean_columns(self) -> Array:
        """Each component's mean in logarithmic columns above the stations' medians, (n_components, n_columns)."""
        return self.projection.inverse(np.asarray(self.mixture.means_))


def model_path(rate: str, digest: str) -> str:
    """Group of a model in the store."""
    return f"model/{rate}/{digest}"


def mixture_file(store: Place | Path | str, digest: str) -> Place:
    """File that holds a model's mixture to the bit."""
    return Place.of(store) / "tables" / "models" / f"{digest}.json"


def save_model(store: Place | Path | str, model: Model) -> None:
    """Write a model under its digest and name it the current one of its network."""
    root = open_root(store, write=True)
    path = model_path(model.rate, model.digest)
    group = root.require_group(path)
    tables = {
        "weights": (model.mixture.weights_, ("mixture_component",)),
        "means": (model.mixture.means_, ("mixture_component", "feature")),
        "covariances": (model.mixture.covariances_, _COVARIANCE_DIMENSIONS[model.mixture.covariance_type]),
        "column_path": (model.columns.path, ("column",)),
        "column_parent": (model.columns.parent, ("column",)),
        "scale_mean": (model.projection.mean, ("column",)),
        "scale": (model.projection.scale, ("column",)),
        "pca_components": (model.projection.components, ("feature", "column")),
        "pca_mean": (model.projection.centre, ("column",)),
        "pca_explained": (model.projection.explained, ("feature",)),
    }
    if model.projection.mixing is not None:
        tables["mixing"] = (model.projection.mixing, ("feature", "column"))
    for name, (values, dims) in tables.items():
        put_table(group, name, np.asarray(values), dims)
    for channel, medians in model.medians.items():
        save_medians(group, channel, medians)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "mixture.json")
        model.mixture.save(copy)
        mixture_file(store, model.digest).write(copy.read_bytes())
    group.attrs.put({"rate": model.rate, "network": model.network, "provenance": model.provenance})
    rate_group = root.require_group(f"model/{model.rate}")
    current = dict(rate_group.attrs).get("current", {})
    rate_group.attrs.put({"current": {**current, model.network: model.digest}})  # type: ignore[dict-item]


def save_medians(group: zarr.Group, channel: str, medians: Medians) -> None:
    """Write the frozen normalisation of a channel beside a model."""
    part = group.require_group(f"medians/{channel}")
    put_table(part, "path_median", medians.path, ("path",))
    put_table(part, "column_median", medians.column, ("column",))


def current_digest(root: zarr.Group, rate: str, network: str) -> str:
    """Digest of the model that new frames of a network are classified with, '' if there is none."""
    path = f"model/{rate}"
    if path not in root:
        return ""
    return str(dict(root[path].attrs).get("current", {}).get(network, ""))  # type: ignore[union-attr]


def load_model(store: Place | Path | str, rate: str, digest: str) -> Model:
    """Read a model.

    Raises
    ------
    ModelError
        If it is not there, or its parts are missing, damaged or do not belong together.
    """
    path = model_path(rate, digest)
    group = open_root(store).get(path)
    if not isinstance(group, zarr.Group):
        msg = f"{store}: there is no model {digest} for {rate}; run the fit stage"
        raise ModelError(msg)
    try:
        model = _read_model(group, rate, mixture_file(store, digest))
    except (KeyError, TypeError, ValueError, MixtureError, ModelError, FileNotFoundError) as error:
        msg = f"{store}/{path}: the model is damaged or of another version ({error}). Fit again: --refit"
        raise ModelError(msg) from error
    if model.digest != digest:
        msg = f"{store}/{path}: the model's parts do not give its digest; it was changed or damaged. Fit again: --refit"
        raise ModelError(msg)
    return model


def _mixture(file: Place) -> GaussianMixture:
    """Read a mixture.

    Raises
    ------
    MixtureError, OSError
        If its file is missing or damaged.
    """
    if file.local is not None:
        return GaussianMixture.load(file.local)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, file.name)
        copy.write_bytes(file.read())
        return GaussianMixture.load(copy)


def _read_model(group: zarr.Group, rate: str, mixture: Place) -> Model:
    """Put a model together from its group and its mixture's file."""
    read = {name: np.asarray(array[...]) for name, array in group.arrays()}
    frozen: Any = group["medians"]
    medians = {
        name: Medians(np.asarray(part["path_median"][...]), np.asarray(part["column_median"][...]))
        for name, part in frozen.groups()
    }
    provenance: Any = dict(group.attrs)["provenance"]
    fitted = set(provenance["channels"])
    return Model(
        rate,
        str(group.attrs["network"]),
        Columns(read["column_path"], read["column_parent"]),
        Projection(
            read["scale_mean"],
            read["scale"],
            read["pca_components"],
            read["pca_mean"],
            read["pca_explained"],
            read.get("mixing"),
        ),
        _mixture(mixture),
        {n: m for n, m in medians.items() if n in fitted},
        {n: m for n, m in medians.items() if n not in fitted},
        dict(provenance),
    )

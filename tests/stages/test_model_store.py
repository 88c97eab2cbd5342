"""A model comes back from the store as it was, whatever its features and covariances."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest

from gravdask.errors import ModelError
from gravdask.features.columns import Columns
from gravdask.features.independent import fit_independent
from gravdask.features.projection import fit_projection
from gravdask.mixture import GaussianMixture
from gravdask.stages.model import Medians, Model, load_model, model_path, save_model
from gravdask.store.layout import open_root


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Rows in logarithmic columns."""
    generator = np.random.default_rng(0)
    state = generator.integers(0, 2, 800)
    return generator.standard_normal((800, 5)) @ generator.standard_normal((5, 5)) + 5.0 * state[:, np.newaxis]


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("axes", ["pca", "exact-pca", "whitened", "ica"])
def test_what_was_saved_is_loaded(tmp_path: Path, rows: np.ndarray, axes: str, kind: str) -> None:
    lazy = da.from_array(rows, chunks=(300, -1))
    method = "exact" if axes == "exact-pca" else "sample"
    projection = fit_projection(lazy, rows, 3, 0, method, axes == "whitened")
    if axes == "ica":
        projection, _ = fit_independent(projection, rows, 0)
    features = projection.transform(rows)
    mixture = GaussianMixture(2, covariance_type=kind, random_state=0).fit(features)
    columns = Columns(np.arange(5), np.array([-1, -1, -1, 0, 1]))
    medians = {"XX.A": Medians(np.arange(1.0, 8.0), np.zeros(5))}
    model = Model("1Hz", "net", columns, projection, mixture, medians, {}, {"channels": ["XX.A"], "rows": 800})
    open_root(tmp_path / "store.zarr", create=True)
    save_model(tmp_path / "store.zarr", model)
    back = load_model(tmp_path / "store.zarr", "1Hz", model.digest)
    assert back.digest == model.digest
    np.testing.assert_array_equal(back.projection.transform(rows), features)
    np.testing.assert_array_equal(back.projection.inverse(features), projection.inverse(features))
    np.testing.assert_array_equal(back.mixture.predict_proba(features), mixture.predict_proba(features))


def test_a_way_back_that_was_changed_is_noticed(tmp_path: Path, rows: np.ndarray) -> None:
    store = tmp_path / "store.zarr"
    projection = fit_projection(da.from_array(rows, chunks=(300, -1)), rows, 3, 0, "sample", True)
    mixture = GaussianMixture(2, random_state=0).fit(projection.transform(rows))
    columns = Columns(np.arange(5), np.full(5, -1))
    medians = {"XX.A": Medians(np.ones(5), np.zeros(5))}
    model = Model("1Hz", "net", columns, projection, mixture, medians, {}, {"channels": ["XX.A"], "rows": 800})
    open_root(store, create=True)
    save_model(store, model)
    array = open_root(store, create=True)[f"{model_path('1Hz', model.digest)}/mixing"]
    array[0, 0] = 7.0
    with pytest.raises(ModelError, match="changed or damaged"):
        load_model(store, "1Hz", model.digest)

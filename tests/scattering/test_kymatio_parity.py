"""Equality with kymatio: relative to each path's maximum, and in the logarithm of everything above 1e-6 of it."""

from __future__ import annotations

import numpy as np
import pytest
from kymatio.scattering1d.frontend.numpy_frontend import ScatteringNumPy1D

from gravdask.scattering import ScatteringNetwork

pytestmark = pytest.mark.filterwarnings("ignore:Signal support is too small:UserWarning")


def assert_equal_to_kymatio(
    x: np.ndarray, J: int, Q: int | tuple[int, int], T: int | None, max_order: int = 2, oversampling: int = 0
) -> None:
    """Compare one record with a margin of a hundred below what is promised (1e-4 and 1e-3)."""
    kymatio = ScatteringNumPy1D(J, x.size, Q, T, max_order=max_order, oversampling=oversampling)(x)
    network = ScatteringNetwork(1.0, J, Q, T, max_order=max_order, oversampling=oversampling)
    ours = network.transform(x).astype(np.float64)
    assert ours.shape == kymatio.shape
    assert network.n_paths == kymatio.shape[0]
    largest = np.abs(kymatio).max(axis=1, keepdims=True)
    assert np.max(np.abs(ours - kymatio) / largest) < 1e-6
    loud = kymatio > 1e-6 * largest
    loud[0] = False  # order 0 has a sign
    assert loud[1:].mean() > 0.9
    assert np.max(np.abs(np.log(ours[loud] / kymatio[loud]))) < 1e-4


@pytest.mark.parametrize(
    ("samples", "J", "Q", "T", "max_order", "oversampling"),
    [
        (4096, 8, 8, None, 2, 0),
        (5000, 8, (8, 1), 300, 2, 0),
        (5001, 6, (4, 2), 1000, 2, 2),
        (3001, 3, 1, 64, 2, 1),
        (2048, 8, 8, 16, 2, 0),
        (8192, 5, 8, 4096, 2, 0),
        (700, 6, 8, 7, 2, 9),
        (1024, 5, (3, 1), None, 1, 0),
        (1000, 1, 8, 2, 2, 0),
        (600, 4, (3, 2), 600, 2, 1),
    ],
)
def test_white_noise(
    samples: int, J: int, Q: int | tuple[int, int], T: int | None, max_order: int, oversampling: int, noise: np.ndarray
) -> None:
    assert_equal_to_kymatio(noise[:samples] + 3.0, J, Q, T, max_order, oversampling)


@pytest.mark.real
@pytest.mark.parametrize(
    ("before", "after", "J", "T"),
    [(32_768, 32_768, 8, 4096), (5000, 3000, 8, None), (20_000, 12_345, 10, 1024), (40, 20_000, 6, 300)],
)
def test_great_earthquake(before: int, after: int, J: int, T: int | None, great_earthquake: np.ndarray) -> None:
    peak = int(np.argmax(np.abs(great_earthquake)))
    assert_equal_to_kymatio(great_earthquake[peak - before : peak + after], J, 8, T)


def test_leading_dimensions_are_kept(noise: np.ndarray) -> None:
    network = ScatteringNetwork(1.0, 4, 4)
    records = noise[: 6 * 512].reshape(2, 3, 512)
    together = network.transform(records)
    assert together.shape == (2, 3, network.n_paths, 32)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together[1, 2], network.transform(records[1, 2]))


def test_paths_dataset_states_kymatios_meta() -> None:
    network = ScatteringNetwork(20.0, 6, (4, 2))
    meta = ScatteringNumPy1D(6, 512, (4, 2)).meta()
    table = network.paths
    np.testing.assert_array_equal(table.order, meta["order"])
    for column in (0, 1):
        np.testing.assert_allclose(table[f"frequency_{column + 1}"], meta["xi"][:, column] * 20.0)
        np.testing.assert_allclose(table[f"bandwidth_{column + 1}"], meta["sigma"][:, column] * 20.0)
        np.testing.assert_allclose(table[f"j_{column + 1}"], meta["j"][:, column])

"""Records that the scattering tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def noise() -> np.ndarray:
    """White noise, 2^17 samples."""
    return np.random.default_rng(11).standard_normal(2**17)


@pytest.fixture(scope="session")
def great_earthquake(real_data: Path) -> np.ndarray:
    """Ten days of F-net station NAA around the M9.1 of 2011-03-11, 1 Hz, vertical acceleration [m/s2]."""
    path = real_data / "seismic" / "fnet_lhz_acc_sac" / "NAA.LHZ.03.06.15.sac"
    order = "<" if np.fromfile(path, "<i4", count=1, offset=4 * 76)[0] == 6 else ">"
    samples = np.fromfile(path, f"{order}f4", offset=632).astype(np.float64)
    assert samples.size == 864_000
    assert np.abs(samples).max() > 1e5 * np.median(np.abs(samples))
    return samples

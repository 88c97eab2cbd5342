"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Root of the real records, from the environment variable GRAVDASK_TEST_DATA; skips where it is unset."""
    root = os.environ.get("GRAVDASK_TEST_DATA")
    if not root:
        pytest.skip("GRAVDASK_TEST_DATA is unset: set it to the folder with the real records to run this test")
    path = Path(root)
    if not path.is_dir():
        pytest.fail(f"GRAVDASK_TEST_DATA={root} is not a folder")
    return path


@pytest.fixture(scope="session")
def record_334(real_data: Path) -> SimpleNamespace:
    """Record 334 as its file says it, read without gravdask's own reader.

    Gravity [nm s⁻²], pressure [hPa] and UTC times [ns] on a full one-minute grid, NaN in the gap of one day.
    """
    rows = np.loadtxt(real_data / "gravimeter/gphone_334/20210607_334append.part1.tsf")
    stamps = [f"{y:04d}-{mo:02d}-{d:02d}T{h:02d}:{mi:02d}:{s:02d}" for y, mo, d, h, mi, s in rows[:, :6].astype(int)]
    seconds = np.array(stamps, dtype="datetime64[s]").astype(np.int64) - 8 * 3600
    index = (seconds - seconds[0]) // 60
    gravity, pressure = np.full(index[-1] + 1, np.nan), np.full(index[-1] + 1, np.nan)
    gravity[index], pressure[index] = rows[:, 6] * 1e4, rows[:, 7]
    times = (seconds[0] + 60 * np.arange(gravity.size, dtype=np.int64)) * 10**9
    return SimpleNamespace(
        gravity=gravity, pressure=pressure, times_ns=times, latitude=33.98, longitude=116.79, elevation=160.0
    )

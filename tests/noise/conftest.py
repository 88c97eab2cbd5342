"""Record 334 as its file says it, read without gravdask's own reader."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def record_334(real_data: Path) -> SimpleNamespace:
    """Gravity [nm s⁻²], pressure [hPa] and UTC times [ns] on a full one-minute grid, NaN in the gap of one day."""
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

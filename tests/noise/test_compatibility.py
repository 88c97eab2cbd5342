"""The two modes of Gou's code: its published numbers, and its known constants."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gravdask.errors import NoiseError
from gravdask.noise.compatibility import gou_min, gou_sec
from gravdask.noise.day import day_noise
from gravdask.preprocess.chain import residual


@pytest.mark.real
@pytest.mark.parametrize("tidal_factor", [1.16, 1.0, 0.0])
def test_record_334_to_a_millionth(record_334: SimpleNamespace, real_data: Path, tidal_factor: float) -> None:
    """The reference was computed on 50 days, of which 41 are here: only the long-wave polynomial differs."""
    expected = np.genfromtxt(
        real_data / "reference/snm_gmetrology/daily_snm_part1.csv", delimiter=",", skip_header=1, usecols=4
    )
    r = record_334
    values = residual(
        r.gravity,
        r.times_ns,
        factor=1.0,
        latitude=r.latitude,
        longitude=r.longitude,
        elevation=r.elevation,
        pressure_hpa=r.pressure,
        tidal_factor=tidal_factor,
    ).values
    found = gou_min(values[np.isfinite(values)] / 10)
    assert found.shape == expected.shape == (41,)
    assert np.abs(found - expected).max() < 1e-6


def test_minutes_come_out_too_low_by_a_constant() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 1, 200 * 1440)
    right = [day_noise(10 * day, 1 / 60).snm for day in rows.reshape(-1, 1440)]
    assert np.mean(gou_min(rows) - right) == pytest.approx(-0.579, abs=0.003)


def test_seconds_come_out_too_low_by_a_constant() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(0, 1, 10 * 86400)
    right = [day_noise(10 * day, 1.0).snm for day in rows.reshape(-1, 86400)]
    assert np.mean(gou_sec(rows) - right) == pytest.approx(-0.181, abs=0.006)


def test_days_are_cut_by_rows_and_the_rest_is_left_out() -> None:
    rows = np.random.default_rng(3).normal(0, 1, 3 * 1440 + 700)
    assert gou_min(rows).shape == (3,)


def test_gaps_and_short_records_are_refused() -> None:
    rows = np.zeros(1440)
    rows[3] = np.nan
    with pytest.raises(NoiseError, match="know no gaps, and 1 rows"):
        gou_min(rows)
    with pytest.raises(NoiseError, match="at least one day of 86400 rows"):
        gou_sec(np.zeros(1440))

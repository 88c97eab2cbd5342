"""Trends of noise magnitudes: known slopes, season, coverage, and no trend where none may be read."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from gravdask.noise.day import day_noise
from gravdask.noise.trend import magnitude_trend


def series(days: int, seed: int, slope: float = 0.0, season: float = 0.0, memory: float = 0.0) -> np.ndarray:
    """Daily magnitudes with a trend, a season and noise that remembers its past."""
    rng = np.random.default_rng(seed)
    noise = np.empty(days)
    value = 0.0
    for k, kick in enumerate(rng.normal(0, 0.04, days)):
        noise[k] = value = memory * value + kick
    time = np.arange(days) / 365.25
    return 4.3 + slope * time + season * np.sin(2 * np.pi * time) + noise


def test_slope_is_found_under_a_strong_season() -> None:
    found = magnitude_trend(np.arange(1500), series(1500, 1, slope=0.05, season=0.3))
    assert found.season_removed
    assert found.slope == pytest.approx(0.05, abs=0.01)
    assert found.low < 0.05 < found.high
    assert found.significant
    assert found.days == 1500


def test_without_a_season_short_records_follow_theil_and_sen() -> None:
    days, values = np.arange(100), series(100, 2, slope=1.0)
    found = magnitude_trend(days, values)
    assert found.slope == pytest.approx(365.25 * stats.theilslopes(values, days).slope)
    assert not found.season_removed
    assert not found.significant


def test_gaps_are_left_out_and_the_origin_of_days_does_not_matter() -> None:
    values = series(900, 3, slope=0.1)
    values[100:300] = np.nan
    known = np.isfinite(values)
    first = magnitude_trend(np.arange(900), values)
    second = magnitude_trend(np.arange(900)[known] + 26_000, values[known])
    assert first.slope == pytest.approx(second.slope)
    assert first.days == 700


def test_intervals_cover_the_truth_also_with_memory() -> None:
    covered = 0
    for seed in range(60):
        found = magnitude_trend(np.arange(80), series(80, seed, slope=0.2, memory=0.7))
        covered += found.low <= 0.2 <= found.high
    assert covered >= 50


def test_loud_days_do_not_move_it() -> None:
    values = series(1000, 4)
    calm = magnitude_trend(np.arange(1000), values)
    values[::25] += 2
    loud = magnitude_trend(np.arange(1000), values)
    assert loud.slope == pytest.approx(calm.slope, abs=0.01)
    assert loud.scatter == pytest.approx(0.04, rel=0.2)


def test_few_days_give_a_median_only() -> None:
    found = magnitude_trend(np.arange(10), np.full(10, 4.0))
    assert np.isnan([found.slope, found.low, found.high, found.scatter]).all()
    assert found.median == 4.0
    assert np.isnan(magnitude_trend(np.arange(3), np.full(3, np.nan)).median)


def test_very_long_records_are_thinned() -> None:
    found = magnitude_trend(np.arange(9000), series(9000, 5, slope=0.02, season=0.2))
    assert found.slope == pytest.approx(0.02, abs=0.005)
    assert found.days == 9000


@pytest.mark.real
def test_no_trend_may_be_read_from_record_334(record_334: SimpleNamespace) -> None:
    first = 480  # the first UTC midnight
    values = record_334.gravity[first : first + 41 * 1440].reshape(41, 1440)
    found = magnitude_trend(np.arange(41), np.array([day_noise(day, 1 / 60).snm for day in values]))
    assert not found.significant
    assert found.scatter < 0.05
    assert found.days in {38, 39}

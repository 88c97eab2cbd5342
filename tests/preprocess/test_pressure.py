"""Air pressure: the standard atmosphere, the sign of its effect, and what is bridged and what is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.preprocess.pressure import normal_pressure, pressure_at, pressure_effect, repair_pressure


@pytest.mark.parametrize(("height", "pressure"), [(0, 1013.25), (1000, 898.74), (3000, 701.08), (5000, 540.19)])
def test_normal_pressure_is_the_standard_atmosphere(height: float, pressure: float) -> None:
    assert normal_pressure(height) == pytest.approx(pressure, abs=0.05)


def test_high_pressure_lowers_gravity() -> None:
    effect = pressure_effect(np.array([normal_pressure(160) + 10.0, normal_pressure(160)]), 160)
    np.testing.assert_allclose(effect, [-30.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(pressure_effect(np.array([1023.25]), 0.0, -3.7), [-37.0], atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 8), st.integers(0, 2**32 - 1))
def test_repair_bridges_only_short_inner_gaps(missing: list[bool], max_gap: int, seed: int) -> None:
    truth = np.random.default_rng(seed).normal(1000, 5, len(missing))
    record = np.where(missing, np.nan, truth)
    before = record.copy()
    repaired = repair_pressure(record, max_gap)
    assert np.array_equal(record, before, equal_nan=True)
    present = np.flatnonzero(~np.asarray(missing))
    for k in range(record.size):
        left, right = present[present <= k], present[present >= k]
        if left.size and right.size and right[0] - left[-1] - 1 <= max_gap:
            assert repaired[k] == pytest.approx(np.interp(k, present, truth[present]))
        else:
            assert np.isnan(repaired[k])


def test_repair_treats_infinities_as_missing() -> None:
    np.testing.assert_allclose(repair_pressure(np.array([1000.0, np.inf, 1002.0]), 1), [1000, 1001, 1002])
    assert np.isnan(repair_pressure(np.array([1000.0, -np.inf, 1002.0]), 0)[1])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_pressure_of_another_rate_is_interpolated_within_its_reach(seed: int, max_gap: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = np.cumsum(rng.integers(1, 100, 30))
    values = rng.normal(1000, 5, 30)
    values[rng.random(30) < 0.3] = np.nan
    times = np.arange(-50, nodes[-1] + 50)
    result = pressure_at(times, nodes, values, max_gap)
    good = np.isfinite(values)
    for time, got in zip(times, result, strict=True):
        left, right = nodes[good & (nodes <= time)], nodes[good & (nodes >= time)]
        reachable = left.size and right.size and (right[0] == left[-1] or right[0] - left[-1] <= max_gap)
        if reachable:
            assert got == pytest.approx(np.interp(time, nodes[good], values[good]))
        else:
            assert np.isnan(got)


def test_pressure_without_any_sample_is_missing() -> None:
    assert np.isnan(pressure_at(np.arange(3), np.arange(2), np.full(2, np.nan), 10)).all()

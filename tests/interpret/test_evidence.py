"""Where, when and at which periods components occur."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gravdask.interpret import excess_sums, gap_shares, microseism_correlations, period_excess, station_shares


def test_station_shares_balance_the_lengths_of_records(make_frames: Any) -> None:
    """s0 has 9 valid frames and s1 one; component 1 is a third of s0 and all of s1."""
    frames = make_frames([[1, 1, 1, 0, 0, 0, 0, 0, 0], [-1, -1, 1, -1, -1, -1, -1, -1, -1]])
    table = station_shares(frames)
    mine = table[table["component"] == 1]
    assert mine["channel"].tolist() == ["s0", "s1"]
    assert mine["valid_frames"].tolist() == [9, 1]
    assert mine["share"].tolist() == [0.75, 0.25]
    assert mine["balanced_share"].tolist() == pytest.approx([0.25, 0.75])


def test_station_shares_of_a_component_that_does_not_occur(make_frames: Any) -> None:
    table = station_shares(make_frames([[0, 2], [0, -1]]))
    assert table["component"].tolist() == [0, 0, 1, 1, 2, 2]
    assert table[table["component"] == 1]["share"].isna().all()
    assert station_shares(make_frames([[-1]])).empty


def test_gap_shares(make_frames: Any) -> None:
    """Component 1 touches gaps in 2 of 2 frames, component 0 in 1 of 6; a frame without a component does not count."""
    frames = make_frames([1, 1, 0, 0, 0, 0, 0, 0, -1])
    table = gap_shares(frames, [[0.95, 0.92, 0.99, 1, 1, 1, np.nan, 1, 0.2]])
    assert table["gap_share"].tolist() == [pytest.approx(1 / 6), 1.0]
    assert table["gap_odds"].iloc[1] == pytest.approx((2.5 * 5.5) / (0.5 * 1.5))
    assert table["gap_odds"].iloc[0] == pytest.approx((1.5 * 0.5) / (5.5 * 2.5))
    assert gap_shares(frames, np.ones((1, 9)))["gap_odds"].tolist() == [1.0, 1.0]


def test_period_excess_adds_up_over_blocks() -> None:
    rng = np.random.default_rng(0)
    component = rng.integers(-1, 3, 50)
    values = rng.normal(size=(50, 4))
    values[rng.random((50, 4)) < 0.2] = np.nan
    whole = period_excess(*excess_sums(component, values, 4), [8, 2, 4, 1])
    one, two = excess_sums(component[:20], values[:20], 4), excess_sums(component[20:], values[20:], 4)
    parts = period_excess(one[0] + two[0], one[1] + two[1], [8, 2, 4, 1])
    np.testing.assert_allclose(parts, whole)
    assert whole.columns.tolist() == [1, 2, 4, 8]
    for k in range(3):
        expected = np.nanmean(values[component == k], axis=0)[[3, 1, 2, 0]]
        np.testing.assert_allclose(whole.loc[k], expected)
    assert whole.loc[3].isna().all()


def test_microseism_correlation_against_numpy(make_frames: Any) -> None:
    rng = np.random.default_rng(1)
    storm = np.sin(np.arange(200) / 15)
    level = storm + 0.1 * rng.normal(size=(3, 200)) + np.array([[5.0], [0.0], [-9.0]])
    frames = make_frames((storm + 0.3 * rng.normal(size=(3, 200)) > 0.5).astype(int))
    found = microseism_correlations(frames, level)
    network = np.median(level - np.median(level, axis=1, keepdims=True), axis=0)
    expected = np.corrcoef((frames.component == 1).mean(axis=0), network)[0, 1]
    assert found[1] == pytest.approx(expected)
    assert found[1] > 0.7
    assert found[0] == pytest.approx(-expected)


def test_microseism_correlation_with_gaps_and_constants(make_frames: Any) -> None:
    level = np.array([[1.0, np.nan, 3.0, 4.0], [np.nan, np.nan, 3.0, 4.0]])
    frames = make_frames([[0, 0, 1, 1], [-1, 1, -1, 1]])
    found = microseism_correlations(frames, level)
    # deviations from the stations' medians (3 and 3.5): (-2), (0, -0.5), (1, 0.5), hence medians -2, -0.25 and 0.75
    assert found[1] == pytest.approx(np.corrcoef([0, 1, 1], [-2, -0.25, 0.75])[0, 1])
    assert np.isnan(microseism_correlations(frames, np.zeros((2, 4)))[0])
    assert np.isnan(microseism_correlations(frames, np.full((2, 4), np.nan))[0])

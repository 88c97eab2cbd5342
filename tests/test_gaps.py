"""Gaps: runs, tapers, and the levelling that does not depend on where a record was cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.gaps import level_gaps, taper_weights, valid_runs


def brownian(samples: int, seed: int = 0) -> np.ndarray:
    """Red noise, whose level wanders: what makes gap filling hard."""
    return np.cumsum(np.random.default_rng(seed).standard_normal(samples))


def test_valid_runs_by_hand() -> None:
    valid = np.array([1, 1, 0, 0, 1, 0, 1], dtype=bool)
    assert valid_runs(valid).tolist() == [[0, 2], [4, 5], [6, 7]]
    assert valid_runs(np.zeros(3, dtype=bool)).shape == (0, 2)
    assert valid_runs(np.ones(3, dtype=bool)).tolist() == [[0, 3]]


def test_taper_is_symmetric_about_one_half() -> None:
    weights = taper_weights(8)
    np.testing.assert_allclose(weights + weights[::-1], 1.0)
    assert np.all(np.diff(weights) > 0)
    assert 0 < weights[0] < weights[-1] < 1


def test_level_gaps_keeps_a_whole_record_but_for_its_level() -> None:
    record = 5.9e7 + brownian(1000)
    np.testing.assert_allclose(level_gaps(record, taper=32), record - np.median(record), atol=1e-6)


@pytest.mark.parametrize("samples", [1000, 100_000])
def test_a_wild_sample_does_not_move_the_others(samples: int) -> None:
    record = brownian(samples)
    plain = level_gaps(record, taper=32)
    record[samples // 2 + 1] = 1e36
    wild = level_gaps(record, taper=32)
    np.testing.assert_allclose(np.delete(wild - plain, samples // 2 + 1), 0.0, atol=0.1 * np.ptp(plain))


def test_level_gaps_of_nothing_is_zero() -> None:
    np.testing.assert_array_equal(level_gaps(np.full(10, np.nan), taper=4), 0.0)
    np.testing.assert_array_equal(level_gaps(np.array([np.nan, 7.0, np.nan]), taper=4), 0.0)


def test_short_gaps_are_bridged_by_a_line() -> None:
    line = 2.0 + 0.5 * np.arange(60)
    record = line.copy()
    record[[10, 20, 21, 22, 23, 24, 40]] = np.nan
    np.testing.assert_allclose(level_gaps(record, taper=8), line - line.mean(), atol=1e-12)


def test_a_step_across_a_gap_vanishes() -> None:
    record = np.zeros(200)
    record[100:] = 1e6
    record[90:110] = np.nan
    np.testing.assert_allclose(level_gaps(record, taper=8), 0.0, atol=1e-6)


def test_level_gaps_does_not_change_its_input() -> None:
    record = brownian(100)
    record[30:50] = np.nan
    record.flags.writeable = False
    before = record.copy()
    level_gaps(record, taper=8)
    np.testing.assert_array_equal(record, before)


def test_away_from_gaps_only_a_constant_per_run_is_taken_off() -> None:
    record = brownian(1000)
    gappy = record.copy()
    gappy[400:500] = np.nan
    change = level_gaps(gappy, taper=32) - record
    for run in (slice(0, 368), slice(532, 1000)):
        assert np.ptp(change[run]) < 1e-10


def test_the_level_is_flat_within_a_gap_and_continuous_at_its_edges() -> None:
    gappy = brownian(1000)
    gappy[400:500] = np.nan
    levelled = level_gaps(gappy, taper=32)
    assert np.ptp(levelled[400:500]) == 0
    # the first taper weight is (pi / 128)^2
    typical = np.abs(np.diff(levelled[:368])).mean()
    assert abs(levelled[400] - levelled[399]) < 0.05 * typical
    assert abs(levelled[500] - levelled[499]) < 0.05 * typical


@st.composite
def gaps_and_cut(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int, int]:
    gaps = draw(st.lists(st.tuples(st.integers(0, 990), st.integers(1, 80)), max_size=8))
    return gaps, draw(st.integers(0, 200)), draw(st.integers(700, 1000))


@settings(max_examples=100, deadline=None)
@given(gaps_and_cut())
def test_no_value_depends_on_where_the_record_is_cut(case: tuple[list[tuple[int, int]], int, int]) -> None:
    gaps, start, stop = case
    taper, bridge = 16, 5
    record = brownian(1000, seed=3)
    for at, length in gaps:
        record[at : at + length] = np.nan
    whole, part = level_gaps(record, taper, bridge), level_gaps(record[start:stop], taper, bridge)
    assert np.isfinite(whole).all()
    valid = np.isfinite(record)
    if not valid[start:stop].any():
        return
    # the first and last valid samples of the part, from which on its neighbourhood is whole
    first, last = start + np.flatnonzero(valid[start:stop])[[0, -1]]
    inner = slice(first + 4 * taper + bridge, last + 1 - 4 * taper - bridge)
    difference = whole[inner] - part[inner.start - start : max(inner.stop - start, 0)]
    if difference.size:
        assert np.ptp(difference) < 1e-9


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_infinity_is_a_gap_like_any_other(missing: float) -> None:
    record = brownian(300)
    gappy, other = record.copy(), record.copy()
    gappy[100:150] = missing
    other[100:150] = np.nan
    np.testing.assert_array_equal(level_gaps(gappy, 16), level_gaps(other, 16))

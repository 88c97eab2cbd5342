"""Irregular stamps on the absolute grid: against plain interpolation, closed forms and brute force."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gravdask.archive.irregular import (
    GAP_STEPS,
    OrderedRows,
    Resampling,
    grid_interval_ns,
    interpolation_error,
    order_rows,
    resample,
    usual_step_ns,
)
from gravdask.errors import GridError
from gravdask.grid import DAY_NS, ORIGIN_NS, SECOND_NS

START = 1_600_000_000 * SECOND_NS


def placed(
    times: NDArray[np.int64], interval: int = 30, rule: str = "linear", usual: float | None = None
) -> tuple[Resampling, OrderedRows]:
    step = interval * SECOND_NS
    usual = usual_step_ns(times, step) if usual is None else usual
    ordered = order_rows(times, usual)
    return resample(times, ordered.section, step, usual, rule), ordered


def grid_times(resampling: Resampling) -> NDArray[np.int64]:
    return ORIGIN_NS + resampling.slots * resampling.interval_ns


@st.composite
def jittered(draw: st.DrawFn) -> NDArray[np.int64]:
    """Stamps about 30 s apart, with jitter, gaps and now and then a longer step."""
    count = draw(st.integers(2, 60))
    steps = draw(st.lists(st.sampled_from([26, 28, 29, 30, 31, 32, 44, 46, 61, 1000]), min_size=count, max_size=count))
    start = draw(st.integers(0, 10**6))
    return START + (start + np.concatenate([[0], np.cumsum(steps)])) * SECOND_NS


@settings(max_examples=60, deadline=None)
@given(jittered(), st.sampled_from([10, 30, 60, 90]))
def test_a_straight_line_is_interpolated_exactly(times: NDArray[np.int64], interval: int) -> None:
    result, _ = placed(times, interval, usual=30.0 * SECOND_NS)
    values = 3.0 + 0.25 * (times - times[0]) / SECOND_NS
    margin = interval * SECOND_NS // 100
    grid = np.clip(grid_times(result), times[0], times[-1])
    expected = 3.0 + 0.25 * (grid - times[0]) / SECOND_NS
    assert result.apply(values) == pytest.approx(expected, abs=0.25 * margin / SECOND_NS)
    within = np.abs(result.shift_ns) == 0
    assert result.apply(values)[within] == pytest.approx(expected[within], rel=1e-13)
    assert interpolation_error(result, times, values, np.zeros(times.size, np.int64))[0] >= 0


@settings(max_examples=60, deadline=None)
@given(jittered(), st.randoms(use_true_random=False))
def test_every_sample_is_what_plain_interpolation_gives_and_none_is_missing(
    times: NDArray[np.int64], random: object
) -> None:
    values = np.array([random.uniform(-5, 5) for _ in times])  # type: ignore[attr-defined]
    usual = 30.0 * SECOND_NS
    result, _ = placed(times, 30, usual=usual)
    exact = result.shift_ns == 0
    seconds = (times - times[0]) / SECOND_NS
    expected = np.interp((grid_times(result) - times[0]) / SECOND_NS, seconds, values)
    assert result.apply(values)[exact] == pytest.approx(expected[exact], abs=1e-9)
    wanted = set()
    for first, second in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        if second - first <= GAP_STEPS * usual:
            low, high = Fraction(first - ORIGIN_NS, 30 * SECOND_NS), Fraction(second - ORIGIN_NS, 30 * SECOND_NS)
            wanted |= set(range(math.ceil(low), math.floor(high) + 1))
    assert wanted <= set(result.slots.tolist())
    tolerance = 30 * SECOND_NS // 100
    for slot in set(result.slots.tolist()) - wanted:  # only at the ends of stretches, within 1 %
        assert np.abs(times - (ORIGIN_NS + slot * 30 * SECOND_NS)).min() <= tolerance


@settings(max_examples=60, deadline=None)
@given(jittered(), st.lists(st.sampled_from([1, 5]), min_size=61, max_size=61))
def test_values_stay_between_their_neighbours(times: NDArray[np.int64], levels: list[int]) -> None:
    values = np.array(levels[: times.size], dtype=np.int32)
    result, _ = placed(times)
    left, right, made = values[result.left], values[result.right], result.apply(values)
    assert (made >= np.minimum(left, right)).all()
    assert (made <= np.maximum(left, right)).all()
    assert (made[left == right] == left[left == right]).all()


@settings(max_examples=60, deadline=None)
@given(jittered(), st.sampled_from([10, 30, 60]))
def test_nearest_takes_the_nearest_row_of_all(times: NDArray[np.int64], interval: int) -> None:
    result, _ = placed(times, interval, "nearest", 30.0 * SECOND_NS)
    distance = np.abs(grid_times(result)[:, None] - times[None, :])
    assert (np.abs(result.shift_ns) == distance.min(axis=1)).all()
    assert result.exact
    values = np.arange(times.size, dtype=np.int16)
    assert result.apply(values).dtype == np.int16
    assert np.unique(result.slots).size == result.slots.size


@settings(max_examples=60, deadline=None)
@given(jittered(), st.data(), st.sampled_from(["linear", "nearest"]))
def test_rows_cut_into_two_files_give_the_same_samples(
    times: NDArray[np.int64], data: st.DataObject, rule: str
) -> None:
    cut = data.draw(st.integers(0, times.size))
    usual = 30.0 * SECOND_NS
    whole, _ = placed(times, 30, rule, usual)
    values = np.sin(np.arange(times.size))
    found = dict(zip(whole.slots.tolist(), whole.apply(values).tolist(), strict=True))
    for part in (slice(0, cut), slice(cut, times.size)):
        if times[part].size:
            piece, _ = placed(times[part], 30, rule, usual)
            made = dict(zip(piece.slots.tolist(), piece.apply(values[part]).tolist(), strict=True))
            inner = times[part][0], times[part][-1]
            for slot, value in made.items():
                if inner[0] <= ORIGIN_NS + slot * 30 * SECOND_NS <= inner[1]:
                    assert found[slot] == value


def test_a_sine_stays_within_the_stated_error() -> None:
    rng = np.random.default_rng(3)
    times = START + np.cumsum(rng.integers(85, 93, 4000)) * SECOND_NS
    phase = 2 * np.pi * (times - START) / SECOND_NS / 3600
    result, ordered = placed(times, 90)
    largest, rms = interpolation_error(result, times, np.sin(phase), ordered.section)
    truth = np.sin(2 * np.pi * (grid_times(result) - START) / SECOND_NS / 3600)
    error = np.abs(result.apply(np.sin(phase)) - truth)
    assert error.max() <= 1.02 * largest
    assert 0.5 * rms <= np.sqrt(np.mean(error**2)) <= 1.02 * rms
    # the textbook: at most h^2 / 8 times the curvature
    assert largest <= 1.02 * 92**2 / 8 * (2 * np.pi / 3600) ** 2


def test_the_error_of_two_rows_alone_is_half_their_difference() -> None:
    times = START + np.array([-10, 20]) * SECOND_NS - (START - ORIGIN_NS) % (30 * SECOND_NS)
    result, ordered = placed(times, 30)
    assert interpolation_error(result, times, np.array([1.0, 5.0]), ordered.section) == (2.0, 2.0)


@pytest.mark.parametrize(
    ("steps", "interval"),
    [([87, 87, 88, 87], 90), ([29, 30, 31], 30), ([0.101, 0.1, 0.099], 0.1), ([60] * 3, 60), ([70_000] * 3, 86_400)],
)
def test_the_interval_divides_a_day_and_is_nearest_to_the_usual_step(steps: list[float], interval: float) -> None:
    times = START + np.concatenate([[0], np.cumsum(np.array(steps) * SECOND_NS)]).astype(np.int64)
    assert grid_interval_ns(times) == interval * SECOND_NS
    assert DAY_NS % grid_interval_ns(times) == 0


def test_rows_without_a_usual_step_are_refused() -> None:
    times = START + np.cumsum(10 ** np.arange(12, dtype=np.int64))
    with pytest.raises(GridError, match="no usual step"):
        grid_interval_ns(times)
    with pytest.raises(GridError, match="no second, later row"):
        grid_interval_ns(times[:1])
    even = START + 60 * SECOND_NS * np.arange(500)
    for unsorted in (even[::-1], np.random.default_rng(0).permutation(even)):
        with pytest.raises(GridError, match="sort the rows by their time"):
            grid_interval_ns(unsorted)
    with pytest.raises(GridError, match="no whole number of samples"):
        grid_interval_ns(START + np.arange(3) * SECOND_NS, 7)


def at(*seconds: float) -> NDArray[np.int64]:
    base = START - (START - ORIGIN_NS) % (30 * SECOND_NS)
    return base + (np.array(seconds) * SECOND_NS).astype(np.int64)


def test_a_repeated_stamp_is_left_out() -> None:
    result, ordered = placed(at(0, 30, 30, 30, 60))
    assert ordered.repeated.tolist() == [2, 3]
    assert result.left.tolist() == [0, 1, 4]


def test_where_the_clock_is_set_back_the_later_rows_win() -> None:
    times = at(0, 30, 60, 90, 120, 150, 65, 95, 125, 155, 185)
    result, ordered = placed(times, rule="nearest")
    assert ordered.jumps.tolist() == [6]
    assert ordered.superseded.tolist() == [2, 3, 4, 5]
    assert result.left.tolist() == [0, 1, 6, 7, 8, 9, 10]
    linear, _ = placed(times)
    # 60 lies between rows of two clocks: nothing is made up there
    assert (grid_times(linear) - at(0)).tolist() == [0, 30 * SECOND_NS, *(s * SECOND_NS for s in (90, 120, 150, 180))]


def test_months_in_the_wrong_order_lose_nothing() -> None:
    late, early = at(*range(3000, 6000, 30)), at(*range(0, 3000, 30))
    result, ordered = placed(np.concatenate([late, early]))
    assert not ordered.superseded.size
    assert result.slots.size == 200
    assert result.runs.tolist() == [[0, 200]]
    assert result.left[:100].tolist() == list(range(100, 200))


def test_a_later_row_in_the_middle_of_an_earlier_stretch_wins_there_only() -> None:
    times = np.concatenate([at(*range(0, 300, 30)), at(120, 150)])
    result, ordered = placed(times)
    assert ordered.superseded.tolist() == [4, 5]
    assert result.left.tolist() == [0, 1, 2, 3, 10, 11, 6, 7, 8, 9]


def test_a_clock_that_is_never_right_is_refused() -> None:
    times = np.tile(at(0, 30, 60), 1500) - np.repeat(np.arange(1500), 3) * 1_000 * SECOND_NS
    with pytest.raises(GridError, match="steps back 1499 times"):
        order_rows(times, 30.0 * SECOND_NS)


def test_sections_that_start_for_other_reasons_are_not_joined() -> None:
    times = at(5, 35, 65, 95)
    ordered = order_rows(times, 30.0 * SECOND_NS, np.array([0, 2]))
    result = resample(times, ordered.section, 30 * SECOND_NS, 30.0 * SECOND_NS, "linear")
    assert (grid_times(result) - at(0)).tolist() == [30 * SECOND_NS, 90 * SECOND_NS]


def test_nothing_at_all() -> None:
    result = resample(at(0, 30), np.full(2, -1), 30 * SECOND_NS, 30.0 * SECOND_NS, "linear")
    assert result.slots.size == 0
    assert result.runs.shape == (0, 2)
    assert interpolation_error(result, at(0, 30), np.zeros(2), np.full(2, -1)) == (0.0, 0.0)


def test_what_lies_on_the_grid_stays_as_it_is() -> None:
    values = np.array([1, 2, 2**60 + 1, 4], dtype=np.int64)
    result, _ = placed(at(0, 30, 60, 120))
    assert result.exact
    assert result.apply(values).tolist() == values.tolist()
    assert result.runs.tolist() == [[0, 3], [3, 4]]

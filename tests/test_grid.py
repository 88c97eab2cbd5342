"""The absolute time grid against exact fractions, NumPy's calendar and brute force."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gravdask.errors import GridError
from gravdask.grid import (
    DAY_NS,
    ORIGIN_NS,
    SECOND_NS,
    SPAN_DAYS,
    Blocks,
    Grid,
    Rate,
    day_at,
    day_blocks,
    day_span,
    day_start_ns,
    frame_blocks,
    frame_centre_ns,
    frames_covering,
    record_blocks,
    sample_at,
    unit_days,
    utc_ns,
    utc_text,
)

quick = settings(max_examples=150, deadline=None)

WHOLE = [Rate(1, 1), Rate(100, 1), Rate(20, 1), Rate(40, 1), Rate(250, 1), Rate(1, 10), Rate(1, 60), Rate(1, 3600)]
"""Rates whose interval is a whole number of nanoseconds and whose day is a whole number of samples."""
RATES = [*WHOLE, Rate(2, 3), Rate(3, 2), Rate(3, 1), Rate(7, 5), Rate(300, 1)]
rates = st.sampled_from(RATES)
times = st.integers(
    int(np.datetime64("1950-01-01", "ns").astype(np.int64)), int(np.datetime64("2150-01-01", "ns").astype(np.int64))
)


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


# --- origin and days --------------------------------------------------------------------------------------------------


def test_the_origin_and_span_are_those_of_the_schema() -> None:
    assert ns("1950-01-01") == ORIGIN_NS
    assert SPAN_DAYS % 384 == 0
    assert np.datetime64("1950-01-01") + np.timedelta64(SPAN_DAYS, "D") >= np.datetime64("2151-01-01")
    assert ORIGIN_NS + SPAN_DAYS * DAY_NS < 2**63


@quick
@given(times)
@example(ORIGIN_NS)
@example(-1)
@example(0)
def test_days_are_those_of_numpys_calendar(time_ns: int) -> None:
    calendar = np.datetime64(time_ns, "ns").astype("datetime64[D]")
    day = day_at(time_ns)
    assert day == (calendar - np.datetime64("1950-01-01")).astype(int)
    assert day_start_ns(day) == calendar.astype("datetime64[ns]").astype(np.int64)
    assert day_start_ns(day) <= time_ns < day_start_ns(day + 1)


# --- times as text ----------------------------------------------------------------------------------------------------


@quick
@given(st.datetimes(datetime(1679, 1, 1), datetime(2260, 1, 1)), st.sampled_from("T "), st.sampled_from(["", "Z"]))
def test_times_are_read_as_pythons_calendar_has_them(time: datetime, between: str, zone: str) -> None:
    since = (time.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert utc_ns(time.isoformat(between) + zone) == since * 1000
    whole = time.replace(microsecond=0)
    assert utc_text(utc_ns(whole.isoformat()) or 0) == whole.isoformat()


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("2021", "2021-01-01T00:00:00"),
        ("2021-07", "2021-07-01T00:00:00"),
        ("2021-07-15", "2021-07-15T00:00:00"),
        ("2021-07-15T08", "2021-07-15T08:00:00"),
        ("2021-07-15 08:30Z", "2021-07-15T08:30:00"),
        ("1969-12-31T23:59:59.999999999", "1969-12-31T23:59:59.999999999"),
        ("2000-02-29", "2000-02-29T00:00:00"),
    ],
)
def test_parts_of_a_time_stand_for_their_beginning(text: str, full: str) -> None:
    assert utc_ns(text) == ns(full)


@pytest.mark.parametrize("text", ["0001", "1600-01-01", "2262-01-01", "2599-12-31T23:59:59", "9999-12-31"])
def test_times_that_nanoseconds_do_not_reach(text: str) -> None:
    assert utc_ns(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "Z", "now", "today", "NaT", "1. May 2021", "2021-13-01", "2021-02-29", "2021-07-15T24:00", "20210715",
        "2021-07-15T08:30+08:00", "2021-07-15T08:30:00.1234567891", " 2021", "2021\n", "-2021", "2021-07-15TT08",
        "\u0662\u0660\u0662\u0661",
    ],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="expected an ISO 8601 UTC time, without an offset, such as '2021-05-01'"):
        utc_ns(text)


# --- rates ------------------------------------------------------------------------------------------------------------


def test_rates_are_in_lowest_terms_and_ordered_like_numbers() -> None:
    assert Rate(100, 100) == Rate(1, 1)
    assert hash(Rate(4, 6)) == hash(Rate(2, 3))
    assert (Rate(4, 6).samples, Rate(4, 6).seconds) == (2, 3)


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0), (-1, 1), (1, -60)])
def test_rates_that_cannot_be_are_refused(numbers: tuple[int, int]) -> None:
    with pytest.raises(GridError, match=f"positive samples and seconds, got {numbers[0]} in {numbers[1]} s"):
        Rate(*numbers)


@quick
@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_rate_is_an_exact_fraction_and_survives_its_text(samples: int, seconds: int) -> None:
    rate = Rate(samples, seconds)
    assert rate.interval_ns == Fraction(seconds, samples) * 10**9
    assert rate.hz == pytest.approx(samples / seconds, rel=1e-15)
    assert Rate.parse(str(rate)) == rate


def test_texts_of_rates() -> None:
    assert [str(r) for r in (Rate(100, 1), Rate(1, 1), Rate(1, 60), Rate(3, 2))] == ["100Hz", "1Hz", "60s", "3per2s"]


@pytest.mark.parametrize("text", ["", "Hz", "1.5Hz", "2per", "perper", "60 s x", "0Hz", "-1s"])
def test_texts_that_are_no_rates_are_refused(text: str) -> None:
    with pytest.raises(GridError):
        Rate.parse(text)


@quick
@given(st.integers(1, 1000), st.booleans(), st.floats(-0.9e-4, 0.9e-4))
def test_a_stated_rate_within_the_tolerance_is_snapped(whole: int, slow: bool, deviation: float) -> None:
    nominal = Rate(1, whole) if slow else Rate(whole, 1)
    assert Rate.from_hz(nominal.hz * (1 + deviation)) == nominal


@pytest.mark.parametrize("hz", [1.0002, 99.98, 1 / 60.02, 10.002])
def test_a_stated_rate_beyond_the_tolerance_is_not_snapped(hz: float) -> None:
    rate = Rate.from_hz(hz)
    assert rate.hz == pytest.approx(hz, rel=1e-6)
    assert rate.hz != pytest.approx(round(hz) if hz > 1 else 1 / round(1 / hz), rel=1e-4)


@pytest.mark.parametrize(
    ("hz", "rate"),
    [
        (0.01666667, Rate(1, 60)),
        (0.9999998, Rate(1, 1)),
        (1.5, Rate(3, 2)),
        (2 / 3, Rate(2, 3)),
        (62.5, Rate(125, 2)),
        (99.99999, Rate(100, 1)),
        (1 / 3600, Rate(1, 3600)),
    ],
)
def test_rates_as_headers_state_them(hz: float, rate: Rate) -> None:
    assert Rate.from_hz(hz) == rate


@quick
@given(st.floats(1e-6, 1e6))
def test_any_positive_rate_has_a_rational_within_the_tolerance(hz: float) -> None:
    assert Rate.from_hz(hz).hz == pytest.approx(hz, rel=1.001e-4)


@pytest.mark.parametrize("hz", [0.0, -1.0, math.nan, math.inf, 5e-324])
def test_no_rate_at_all_is_refused(hz: float) -> None:
    with pytest.raises(GridError, match="positive and finite"):
        Rate.from_hz(hz)


def test_samples_of_a_day() -> None:
    assert [r.samples_per_day for r in (Rate(1, 1), Rate(100, 1), Rate(1, 60), Rate(3, 2))] == [
        86_400,
        8_640_000,
        1440,
        129_600,
    ]
    with pytest.raises(GridError, match="7s puts no whole number of samples into a day; resample"):
        _ = Rate(1, 7).samples_per_day


# --- samples ----------------------------------------------------------------------------------------------------------


@quick
@given(rates, times, st.integers(-1000, 10**9))
def test_sample_times_are_exact(rate: Rate, time_ns: int, index: int) -> None:
    grid = Grid.through(rate, time_ns)
    exact = Fraction(ORIGIN_NS + grid.phase_ns) + index * Fraction(rate.seconds * SECOND_NS, rate.samples)
    assert grid.time_ns(index) == math.floor(exact)
    assert isinstance(grid.time_ns(np.int64(index)), int)


@quick
@given(rates, times)
def test_arrays_of_times_equal_single_ones(rate: Rate, time_ns: int) -> None:
    grid = Grid.through(rate, time_ns)
    first, _ = grid.locate(time_ns)
    found = grid.times_ns(first - 5, first + 6)
    assert found.dtype == np.int64
    assert found.tolist() == [grid.time_ns(k) for k in range(first - 5, first + 6)]


@pytest.mark.parametrize("rate", RATES)
def test_times_do_not_overflow_at_the_end_of_the_span(rate: Rate) -> None:
    last = SPAN_DAYS * rate.samples_per_day
    (time,) = Grid(rate).times_ns(last, last + 1)
    assert time == ORIGIN_NS + SPAN_DAYS * DAY_NS


@quick
@given(rates, times)
@example(Rate(300, 1), -3_333_334)
def test_a_grid_goes_through_its_time_with_a_normalised_phase(rate: Rate, time_ns: int) -> None:
    grid = Grid.through(rate, time_ns)
    index, deviation = grid.locate(time_ns)
    rounding = 0 if rate in WHOLE else 1
    assert abs(deviation) <= rounding
    assert abs(grid.time_ns(index) - time_ns) <= rounding
    assert -0.01 * rate.interval_ns - rounding <= grid.phase_ns < 0.99 * rate.interval_ns + rounding


@quick
@given(st.sampled_from(WHOLE), times, st.integers(-(10**6), 10**6))
def test_every_sample_of_a_grid_finds_the_same_grid(rate: Rate, time_ns: int, steps: int) -> None:
    other = time_ns + steps * int(rate.interval_ns)
    assert Grid.through(rate, other) == Grid.through(rate, time_ns)
    grid = Grid.through(rate, time_ns)
    assert grid.locate(other)[0] == grid.locate(time_ns)[0] + steps


@quick
@given(rates, times, st.integers(0, 10**9))
def test_locating_a_sample_time_gives_its_index(rate: Rate, time_ns: int, index: int) -> None:
    grid = Grid.through(rate, time_ns)
    assert grid.locate(grid.time_ns(index)) == (index, 0)


@quick
@given(rates, times, times)
def test_locate_finds_the_nearest_sample(rate: Rate, first_ns: int, time_ns: int) -> None:
    grid = Grid.through(rate, first_ns)
    index, deviation = grid.locate(time_ns)
    assert deviation == time_ns - grid.time_ns(index)
    assert all(abs(deviation) <= abs(time_ns - grid.time_ns(index + step)) + 1 for step in (-1, 1))


def test_times_of_numpy_do_not_overflow() -> None:
    time_ns = 1_300_000_000_123_456_789
    grid = Grid(Rate(100, 1))
    assert grid.locate(np.int64(time_ns)) == grid.locate(time_ns)  # type: ignore[arg-type]


def test_the_phase_is_kept_and_never_snapped_away() -> None:
    start = ns("2014-02-08T00:00:00.069538")
    grid = Grid.through(Rate(1, 1), start)
    assert grid.phase_ns == 69_538_000
    assert grid.time_ns(grid.locate(start)[0]) == start


@pytest.mark.parametrize(("early_ns", "phase"), [(5_000_000, -5_000_000), (10_000_000, -10_000_000)])
def test_a_clock_a_hair_early_stays_in_its_interval(early_ns: int, phase: int) -> None:
    noon = ns("2020-06-01T12:00:00")
    grid = Grid.through(Rate(1, 1), noon - early_ns)
    assert grid.phase_ns == phase
    assert grid.locate(noon - early_ns)[0] == Grid(Rate(1, 1)).locate(noon)[0]


def test_a_clock_further_off_belongs_to_the_interval_before() -> None:
    noon = ns("2020-06-01T12:00:00")
    grid = Grid.through(Rate(1, 1), noon - 10_000_001)
    assert grid.phase_ns == 989_999_999
    assert grid.locate(noon - 10_000_001)[0] == Grid(Rate(1, 1)).locate(noon)[0] - 1


def test_the_tolerance_is_a_hundredth_of_an_interval() -> None:
    assert Grid(Rate(1, 60)).snap_tolerance_ns() == 600_000_000
    assert Grid(Rate(100, 1)).snap_tolerance_ns() == 100_000
    assert Grid(Rate(3, 1)).snap_tolerance_ns() == 3_333_333


@quick
@given(rates, times)
def test_sample_at_is_the_first_interval_that_begins_at_or_after(rate: Rate, time_ns: int) -> None:
    index = sample_at(rate, time_ns)
    assert ORIGIN_NS + index * rate.interval_ns >= time_ns
    assert ORIGIN_NS + (index - 1) * rate.interval_ns < time_ns


@quick
@given(rates, st.integers(0, SPAN_DAYS - 1), st.integers(0, 3000))
def test_the_samples_of_days_lie_in_them(rate: Rate, first: int, days: int) -> None:
    start, stop = day_span(rate, first, first + days)
    grid = Grid(rate)
    assert grid.time_ns(start) == day_start_ns(first)
    assert grid.time_ns(stop) == day_start_ns(first + days)
    if days:
        assert day_at(grid.time_ns(stop - 1)) == first + days - 1


# --- frames -----------------------------------------------------------------------------------------------------------


@quick
@given(st.integers(1, 50), st.integers(-300, 300), st.integers(1, 300))
def test_frames_covering_a_span_by_brute_force(frame_samples: int, start: int, length: int) -> None:
    touched = {math.floor(Fraction(k, frame_samples)) for k in range(start, start + length)}
    first, last = frames_covering(frame_samples, start, start + length)
    assert set(range(first, last)) == touched
    covered = (first * frame_samples, last * frame_samples)
    assert covered[0] <= start
    assert covered[1] >= start + length


@quick
@given(st.sampled_from(WHOLE), st.integers(0, 10**6), st.sampled_from([1, 2, 255, 256, 4096]))
def test_the_centre_of_a_frame_is_the_mean_of_its_times(rate: Rate, frame: int, frame_samples: int) -> None:
    grid = Grid(rate, 12_345)
    start, stop = frame * frame_samples, (frame + 1) * frame_samples
    centre = frame_centre_ns(rate, grid.phase_ns, frame_samples, frame)
    mean = Fraction(grid.time_ns(start) + grid.time_ns(stop - 1), 2)
    assert centre == math.floor(mean)


@quick
@given(rates, st.integers(0, 10**6))
def test_frames_follow_each_other_at_an_even_distance(rate: Rate, frame: int) -> None:
    centres = [frame_centre_ns(rate, 0, 4096, m) for m in range(frame, frame + 3)]
    assert all(abs(b - a - 4096 * rate.interval_ns) <= 1 for a, b in itertools.pairwise(centres))


# --- blocks -----------------------------------------------------------------------------------------------------------


def assert_blocks_are_sound(blocks: Blocks) -> None:
    assert blocks.shard % blocks.chunk == 0
    assert blocks.length % blocks.shard == 0
    units = blocks.length // blocks.shard
    assert blocks.unit_span(0)[0] == 0
    assert blocks.unit_span(units - 1)[1] == blocks.length
    for unit in (0, 1, units - 2):
        assert blocks.unit_span(unit)[1] == blocks.unit_span(unit + 1)[0]


@pytest.mark.parametrize("rate", [*RATES, Rate(500, 1), Rate(1000, 1), Rate(1, 86_400)], ids=str)
def test_record_blocks(rate: Rate) -> None:
    blocks = record_blocks(rate)
    assert_blocks_are_sound(blocks)
    daily = rate.samples_per_day
    assert blocks.length == SPAN_DAYS * daily
    assert blocks.shard % daily == 0
    assert 384 % (blocks.shard // daily) == 0
    assert blocks.chunk % daily == 0 or daily % blocks.chunk == 0
    assert blocks.shard <= max(35_000_000, daily)
    assert blocks.chunk <= 1_000_000 or daily % blocks.chunk == 0


@pytest.mark.parametrize("frame_samples", [1, 32, 256, 1024, 4096, 2**16, 3000])
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_frame_blocks(rate: Rate, frame_samples: int) -> None:
    blocks = frame_blocks(rate, frame_samples, items=300)
    assert_blocks_are_sound(blocks)
    days = unit_days(rate, frame_samples)
    assert blocks.shard * frame_samples == days * rate.samples_per_day
    assert blocks.length * frame_samples >= SPAN_DAYS * rate.samples_per_day
    assert blocks.chunk * 300 <= 200_000
    assert days * rate.samples_per_day >= 4 * record_blocks(rate).shard


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_day_blocks(rate: Rate) -> None:
    blocks = day_blocks(rate)
    assert_blocks_are_sound(blocks)
    assert blocks.length >= SPAN_DAYS
    assert blocks.shard * rate.samples_per_day % record_blocks(rate).shard == 0


def test_figures_of_the_design() -> None:
    one_hz, hundred_hz = record_blocks(Rate(1, 1)), record_blocks(Rate(100, 1))
    assert (one_hz.chunk, one_hz.shard) == (86_400, 384 * 86_400)
    assert one_hz.shard == 33_177_600
    assert unit_days(Rate(1, 1), 4096) in range(3 * 384, 8 * 384)
    assert 3e7 <= hundred_hz.shard <= 3.5e7
    assert 500_000 <= hundred_hz.chunk <= 1_000_000
    assert record_blocks(Rate(1, 60)).shard == 384 * 1440


def test_a_decade_of_records_takes_few_shards() -> None:
    """80 gravity channels and their pressure at 1 Hz for ten years, one object a shard, below 10,000 objects."""
    first, last = day_at(ns("2010-01-01")), day_at(ns("2020-01-01"))
    record = len(record_blocks(Rate(1, 1)).units_covering(*day_span(Rate(1, 1), first, last)))
    frames = frames_covering(4096, *day_span(Rate(1, 1), first, last))
    scattering = len(frame_blocks(Rate(1, 1), 4096, 300).units_covering(*frames))
    noise = len(day_blocks(Rate(1, 1)).units_covering(first, last))
    arrays = 160 * record + 80 * (5 * noise + 5 * scattering)
    assert 160 * 10 <= 160 * record <= 160 * 11
    assert arrays < 6000


@quick
@given(st.integers(1, 20), st.integers(1, 20), st.integers(-50, 500), st.integers(0, 200))
def test_units_covering_by_brute_force(units: int, shard: int, start: int, length: int) -> None:
    blocks = Blocks(units * shard, shard, 1)
    inside = {k // shard for k in range(start, start + length) if 0 <= k < blocks.length}
    assert set(blocks.units_covering(start, start + length)) == inside

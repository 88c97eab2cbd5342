"""The lazy time index against pandas' DatetimeIndex, which holds the same stamps written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import GridError, StoreError
from gravdask.grid import ORIGIN_NS, Grid, Rate, day_start_ns, frame_centre_ns
from gravdask.store.timeindex import TimeIndex
from gravdask.store.timerange import MAX_STAMPS, TimeRange, bounds_ns

RATES = [Rate(1, 1), Rate(100, 1), Rate(3, 1), Rate(1, 60), Rate(2, 3), Rate(40, 1), Rate(7, 9)]
DAY_2011 = (np.datetime64("2011-03-11", "ns").astype(np.int64) - ORIGIN_NS) // (86_400 * 10**9)


@st.composite
def ranges(draw: st.DrawFn, least: int = 0, reverse: bool = False) -> TimeRange:
    """Samples or frames of some rate, phase and start, perhaps every n-th of them."""
    rate = draw(st.sampled_from(RATES))
    phase = draw(st.integers(-5_000_000, 999_999_999))
    second = draw(st.integers(0, 6 * 10**9))
    size = draw(st.integers(least, 60))
    start = second * rate.samples // rate.seconds
    if draw(st.booleans()):
        whole = TimeRange.of_samples(rate, phase, start, start + size)
    else:
        frame = draw(st.sampled_from([2, 256, 4096, 75]))
        whole = TimeRange.of_frames(rate, phase, frame, start // frame, start // frame + size)
    stride = draw(st.sampled_from([1, 1, 2, 7, *([-1, -3] if reverse else [])]))
    part = whole.part(slice(None, None, stride))
    return part if part.size >= least else whole


def stamps(times: TimeRange) -> pd.DatetimeIndex:
    """All stamps by the plain formula in Python integers."""
    values = [times.base + (times.offset + i * times.step) // times.divisor for i in range(times.size)]
    return pd.DatetimeIndex(np.array(values, np.int64).view("datetime64[ns]"), name="time")


def pair(times: TimeRange) -> tuple[xr.DataArray, xr.DataArray]:
    """The same numbered array with the lazy index and with pandas' index."""
    values = np.arange(times.size, dtype=np.float64)
    lazy = xr.DataArray(values, dims="time", coords=TimeIndex.over(times, "time").coordinates())
    return lazy, xr.DataArray(values, dims="time", coords={"time": stamps(times)})


def near(draw: st.DrawFn, times: TimeRange) -> int:
    """A time at, just beside or between the stamps, or outside them all."""
    index = draw(st.integers(-3, times.size + 2))
    return times.time_ns(index) + draw(st.sampled_from([0, 0, 1, -1, abs(times.step) // times.divisor // 2, 1234]))


@settings(deadline=None, max_examples=60)
@given(rate=st.sampled_from(RATES), phase=st.integers(-9, 10**9), start=st.integers(0, 10**8), size=st.integers(0, 40))
def test_samples_stand_where_the_grid_puts_them(rate: Rate, phase: int, start: int, size: int) -> None:
    times = TimeRange.of_samples(rate, phase, start, start + size)
    np.testing.assert_array_equal(
        times.times_ns(np.arange(size)), [Grid(rate, phase).time_ns(k) for k in range(start, start + size)]
    )


@settings(deadline=None, max_examples=60)
@given(
    rate=st.sampled_from(RATES),
    phase=st.integers(-9, 10**9),
    frame=st.integers(2, 5000),
    second=st.integers(0, 6 * 10**9),
    size=st.integers(0, 40),
)
def test_frames_stand_at_their_centres(rate: Rate, phase: int, frame: int, second: int, size: int) -> None:
    start = second * rate.samples // rate.seconds // frame
    times = TimeRange.of_frames(rate, phase, frame, start, start + size)
    expected = [frame_centre_ns(rate, phase, frame, m) for m in range(start, start + size)]
    np.testing.assert_array_equal(times.times_ns(np.arange(size)), expected)


def test_days_stand_at_noon() -> None:
    times = TimeRange.of_days(22_349, 22_352)
    noon = 12 * 3600 * 10**9
    assert [times.time_ns(i) for i in range(3)] == [day_start_ns(d) + noon for d in range(22_349, 22_352)]
    assert str(np.datetime64(times.time_ns(0), "ns")) == "2011-03-11T12:00:00.000000000"


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_isel_agrees_with_pandas(data: st.DataObject) -> None:
    lazy, oracle = pair(data.draw(ranges()))
    size = oracle.size
    ends = st.none() | st.integers(-size - 2, size + 2)
    step = data.draw(st.sampled_from([None, 1, 2, 5, -1, -4]))
    chosen = slice(data.draw(ends), data.draw(ends), step)
    got, expected = lazy.isel(time=chosen), oracle.isel(time=chosen)
    xr.testing.assert_equal(got, expected)
    assert isinstance(got.xindexes["time"], TimeIndex)
    if size:
        many = data.draw(st.lists(st.integers(-size, size - 1), max_size=6))
        xr.testing.assert_identical(lazy.isel(time=many), oracle.isel(time=many))
        one = data.draw(st.integers(-size, size - 1))
        xr.testing.assert_identical(lazy.isel(time=one), oracle.isel(time=one))
        mask = np.arange(size) % 3 == 1
        xr.testing.assert_identical(lazy.isel(time=mask), oracle.isel(time=mask))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_slices_of_times_agree_with_pandas(data: st.DataObject) -> None:
    times = data.draw(ranges(least=1, reverse=True))
    lazy, oracle = pair(times)
    low, high = (np.datetime64(near(data.draw, times), "ns") for _ in range(2))
    for span in (slice(low, high), slice(low, None), slice(None, high), slice(low, high, 2)):
        got = lazy.sel(time=span)
        np.testing.assert_array_equal(got, oracle.sel(time=span))
        np.testing.assert_array_equal(got.time, oracle.sel(time=span).time)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), method=st.sampled_from([None, "nearest", "pad", "backfill"]))
def test_single_times_agree_with_pandas(data: st.DataObject, method: str | None) -> None:
    times = data.draw(ranges(least=1))
    lazy, oracle = pair(times)
    wanted = np.array([near(data.draw, times) for _ in range(3)], np.int64).view("datetime64[ns]")
    for label in (wanted[0], pd.Timestamp(wanted[0]), wanted, xr.DataArray(wanted, dims="event")):
        try:
            expected = oracle.sel(time=label, method=method)
        except KeyError:
            with pytest.raises(KeyError, match=r"no time of|NaT"):
                lazy.sel(time=label, method=method)
            continue
        xr.testing.assert_identical(lazy.sel(time=label, method=method), expected)


@pytest.mark.parametrize("rate", [Rate(1, 1), Rate(1, 60), Rate(100, 1), Rate(1, 3600)], ids=str)
@pytest.mark.parametrize(
    "label",
    ["2011", "2011-03", "March 2011", "2011-03-11", "2011-03-11T05", "2011-03-11T05:46", "2011-03-11 05:46:00"],
)
def test_partial_dates_agree_with_pandas(rate: Rate, label: str) -> None:
    grid = Grid(rate, 0)
    middle = grid.locate(np.datetime64("2011-03-11T05:46", "ns").astype(np.int64))[0]
    times = TimeRange.of_samples(rate, 0, middle - 7000, middle + 9000)
    lazy, oracle = pair(times)
    try:
        expected = oracle.sel(time=label)
    except KeyError:
        with pytest.raises(KeyError, match=label):
            lazy.sel(time=label)
    else:
        xr.testing.assert_equal(lazy.sel(time=label), expected)
    for span in (slice(label, None), slice(None, label), slice(label, "2011-03-11T05:46:10")):
        xr.testing.assert_equal(lazy.sel(time=span), oracle.sel(time=span))


def test_a_partial_date_finds_days_and_their_absence() -> None:
    days = TimeIndex.over(TimeRange.of_days(DAY_2011, DAY_2011 + 40), "day")
    data = xr.DataArray(np.arange(40), dims="day", coords=days.coordinates())
    assert data.sel(time="2011-03-11").values.tolist() == [0]
    assert data.sel(time="2011-03").sizes["day"] == 21
    assert data.sel(time=slice("2011-03-30", "2011-04-02")).values.tolist() == [19, 20, 21, 22]
    assert data.sel(time="2011-04-01T20:00", method="nearest") == 21
    with pytest.raises(KeyError, match="2012"):
        data.sel(time="2012-05")


def test_a_stated_time_zone_is_brought_to_utc() -> None:
    assert bounds_ns("2011-03-11T14:46:00+09:00") == bounds_ns(np.datetime64("2011-03-11T05:46:00"))
    assert bounds_ns("2011-03-11")[1] - bounds_ns("2011-03-11")[0] == 86_400 * 10**9 - 1


@pytest.mark.parametrize("label", [5, 1.5, [1, 2], None])
def test_what_is_not_a_time_is_refused(label: Any) -> None:
    lazy, _ = pair(TimeRange.of_samples(Rate(1, 1), 0, 0, 5))
    with pytest.raises(TypeError, match="is not a time"):
        lazy.sel(time=label)


def test_no_time_at_all_is_never_the_nearest() -> None:
    lazy, _ = pair(TimeRange.of_samples(Rate(1, 1), 0, 0, 5))
    for label in (np.datetime64("NaT", "ns"), pd.NaT, np.array(["NaT"], "datetime64[ns]")):
        with pytest.raises(KeyError, match="NaT"):
            lazy.sel(time=label, method="nearest")


def test_tolerance_limits_the_nearest() -> None:
    lazy, oracle = pair(TimeRange.of_samples(Rate(1, 60), 0, 0, 50))
    label = oracle.time.values[7] + np.timedelta64(5, "s")
    assert lazy.sel(time=label, method="nearest", tolerance=np.timedelta64(5, "s")) == 7
    with pytest.raises(KeyError, match="nearest"):
        lazy.sel(time=label, method="nearest", tolerance="4s")
    with pytest.raises(NotImplementedError, match="slice"):
        lazy.sel(time=slice(label, None), method="nearest")


def test_an_earthquake_is_found_among_two_centuries_of_samples() -> None:
    times = TimeRange.of_samples(Rate(100, 1), 3_000_000, 0, 73_728 * 86_400 * 100)
    data = xr.DataArray(
        np.broadcast_to(0.0, times.size), dims="time", coords=TimeIndex.over(times, "time").coordinates()
    )
    chosen = data.sel(time=slice("2011-03-11T05:46:24", "2011-03-11T05:46:25"))
    assert chosen.sizes["time"] == 200
    assert str(chosen.time.values[0]) == "2011-03-11T05:46:24.003000000"
    assert "2151" in repr(data)
    with pytest.raises(StoreError, match="select a span first"):
        data.time.values  # noqa: B018
    with pytest.raises(StoreError, match="select a span first"):
        data.isel(time=slice(0, MAX_STAMPS + 1)).indexes  # noqa: B018
    with pytest.raises(StoreError, match="select a span first"):
        xr.align(data, data.isel(time=slice(5, None)), join="inner")


@settings(deadline=None, max_examples=40)
@given(data=st.data(), how=st.sampled_from(["inner", "outer", "left", "right", "exact"]))
def test_alignment_agrees_with_pandas(data: st.DataObject, how: Any) -> None:
    whole = data.draw(ranges(least=4))
    cut = sorted(data.draw(st.integers(0, whole.size)) for _ in range(4))
    # Overlapping or touching parts: the union of parts that lie apart also holds what is between them.
    spans = (slice(cut[0], cut[2]), slice(cut[1], cut[3]))
    (lazy, oracle), (other, other_oracle) = (pair(whole.part(s)) for s in spans)
    try:
        expected = xr.align(oracle, other_oracle, join=how)
    except ValueError:
        with pytest.raises(ValueError, match="exact"):
            xr.align(lazy, other, join=how)
        return
    for got, wanted in zip(xr.align(lazy, other, join=how), expected, strict=True):
        xr.testing.assert_equal(got, wanted)
    xr.testing.assert_equal(lazy + other, oracle + other_oracle)


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_concatenation_agrees_with_pandas(data: st.DataObject) -> None:
    whole = data.draw(ranges(least=3))
    first, second = sorted(data.draw(st.integers(1, whole.size - 1)) for _ in range(2))
    lazy, oracle = pair(whole)
    parts = [slice(0, first), slice(first, second), slice(second, None)]
    joined = xr.concat([lazy.isel(time=p) for p in parts if p.start != p.stop], "time")
    xr.testing.assert_equal(joined, oracle)
    assert isinstance(joined.xindexes["time"], TimeIndex)
    swapped = [slice(second, None), slice(0, first)]
    got = xr.concat([lazy.isel(time=p) for p in swapped], "time")
    xr.testing.assert_equal(got, xr.concat([oracle.isel(time=p) for p in swapped], "time"))


def test_different_grids_are_not_aligned_silently() -> None:
    mine, _ = pair(TimeRange.of_samples(Rate(1, 1), 0, 0, 10))
    phase, _ = pair(TimeRange.of_samples(Rate(1, 1), 250_000_000, 0, 10))
    with pytest.raises(GridError, match=r"different grids.*nearest"):
        mine + phase
    brought = phase.sel(time=mine.time, method="nearest")
    np.testing.assert_array_equal(brought, [0, 0, 1, 2, 3, 4, 5, 6, 7, 8][:1] + list(range(1, 10)))


def test_equality_is_of_stamps_along_one_dimension() -> None:
    a = TimeIndex.over(TimeRange.of_samples(Rate(2, 1), 0, 4, 20), "time")
    assert a.equals(TimeIndex.over(TimeRange.of_samples(Rate(4, 1), 0, 8, 40).part(slice(None, None, 2)), "time"))
    assert not a.equals(TimeIndex.over(TimeRange.of_samples(Rate(2, 1), 0, 4, 21), "time"))
    assert not a.equals(TimeIndex.over(TimeRange.of_samples(Rate(2, 1), 1, 4, 20), "time"))
    assert not a.equals(TimeIndex.over(TimeRange.of_samples(Rate(2, 1), 0, 4, 20), "frame"))


def test_what_people_do_with_a_series_works() -> None:
    times = TimeRange.of_samples(Rate(1, 3600), 0, 24 * DAY_2011, 24 * (DAY_2011 + 45))
    lazy, oracle = pair(times)
    xr.testing.assert_equal(lazy.resample(time="1D").mean(), oracle.resample(time="1D").mean())
    xr.testing.assert_equal(lazy.groupby("time.month").sum(), oracle.groupby("time.month").sum())
    xr.testing.assert_equal(lazy.rename(time="t").sel(t="2011-04"), oracle.rename(time="t").sel(t="2011-04"))
    xr.testing.assert_identical(lazy.drop_indexes("time").set_xindex("time"), oracle)
    xr.testing.assert_equal(lazy.where(lazy > 3, drop=True), oracle.where(oracle > 3, drop=True))
    xr.testing.assert_equal(lazy.copy(deep=True), oracle)
    pd.testing.assert_index_equal(lazy.indexes["time"], stamps(times))
    assert lazy.to_series().index[0] == pd.Timestamp("2011-03-11")
    assert "TimeIndex" in repr(lazy)
    assert "3600 s" in repr(lazy.xindexes["time"])


def test_a_range_without_length_or_interval_is_refused() -> None:
    with pytest.raises(GridError, match="at least 1 ns"):
        TimeRange(0, 0, 0, 1, 5)
    with pytest.raises(GridError, match="at least 1 ns"):
        TimeRange.of_samples(Rate(1, 1), 0, 5, 4)

"""Intervals of equal class, and daily shares."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.interpret import FrameTable, class_intervals, daily_shares

HOUR = 3_600 * 10**9
DAY = 24 * HOUR
LABELS = {0: "background", 1: "co-seismic"}


def test_intervals_by_hand(make_frames: Any) -> None:
    frames = make_frames([[0, 0, -1, 0, 1, 1], [-1, -1, -1, -1, -1, 5]])
    posterior = [[0.9, 0.7, np.nan, 1.0, 0.5, 0.7], [0, 0, 0, 0, 0, 0.25]]
    table = class_intervals(frames, LABELS, posterior)
    assert table["channel"].tolist() == ["s0", "s0", "s0", "s1"]
    assert table["start_ns"].tolist() == [1000, 1300, 1400, 1500]
    assert table["end_ns"].tolist() == [1200, 1400, 1600, 1600]
    assert table["component"].tolist() == [0, 0, 1, 5]
    assert table["name"].tolist() == ["background", "background", "co-seismic", "component 5"]
    assert table["frames"].tolist() == [2, 1, 2, 1]
    assert table["posterior"].tolist() == pytest.approx([0.8, 1.0, 0.6, 0.25])
    assert class_intervals(frames, LABELS)["posterior"].isna().all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 2), min_size=6, max_size=6), min_size=1, max_size=3))
def test_intervals_give_every_frame_back(component: list[list[int]]) -> None:
    array = np.array(component, dtype=np.int8)
    frames = FrameTable(tuple(f"s{i}" for i in range(len(array))), 5, Fraction(1000, 3), array, 0)
    back = np.full(array.shape, -1)
    edges = frames.starts_ns(0, 7).tolist()
    table = class_intervals(frames, {})
    for row in table.itertuples():
        span = slice(edges.index(row.start_ns), edges.index(row.end_ns))
        assert (back[int(row.channel[1:]), span] == -1).all()
        back[int(row.channel[1:]), span] = row.component
    np.testing.assert_array_equal(back, array)
    same = table.iloc[1:].reset_index(drop=True)
    joined = (table["channel"][:-1] == same["channel"]) & (table["end_ns"][:-1] == same["start_ns"])
    assert not (joined & (table["component"][:-1] == same["component"])).any()


def test_daily_shares_by_hand() -> None:
    """Frames of 8 h from 20 h on: the first has its centre at 24 h and belongs to the second day."""
    frames = FrameTable(
        ("a", "b"), 20 * HOUR, Fraction(8 * HOUR), np.array([[0, 1, 1, -1], [-1, -1, 0, 1]], np.int8), 0
    )
    table = daily_shares(frames, LABELS)
    assert table["channel"].tolist() == ["a", "a", "b", "b"]
    assert table["day_ns"].tolist() == [DAY, DAY, DAY, 2 * DAY]
    assert table["component"].tolist() == [0, 1, 0, 1]
    assert table["frames"].tolist() == [1, 2, 1, 1]
    assert table["share"].tolist() == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert table["coverage"].tolist() == pytest.approx([1, 1, 1 / 3, 1])
    assert table["dominant"].tolist() == [False, True, True, True]


def test_days_before_1970_and_ties() -> None:
    frames = FrameTable(("a",), -DAY, Fraction(12 * HOUR), np.array([[1, 0, 0, 1]], np.int8), 0)
    table = daily_shares(frames, LABELS)
    assert table["day_ns"].tolist() == [-DAY, -DAY, 0, 0]
    assert table["dominant"].tolist() == [True, False, True, False]


def test_without_frames(make_frames: Any) -> None:
    for frames in (make_frames([[-1, -1]]), make_frames(np.zeros((1, 0)))):
        assert class_intervals(frames, LABELS).empty
        assert daily_shares(frames, LABELS).empty


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=60), st.integers(-3 * DAY, 3 * DAY))
def test_daily_shares_add_up(component: list[int], start: int) -> None:
    frames = FrameTable(("a",), start, Fraction(4096 * 10**9), np.array([component], np.int8), 0)
    table = daily_shares(frames, LABELS)
    assert table["frames"].sum() == sum(1 for k in component if k >= 0)
    sums = table.groupby("day_ns")["share"].sum()
    assert np.allclose(sums, 1)
    assert (table.groupby("day_ns")["dominant"].sum() == 1).all()
    assert (table["coverage"] <= 1).all()

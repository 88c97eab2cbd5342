"""Frames, the windows they overlap, and what counts as before an event."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import GravdaskError
from gravdask.interpret import FrameTable


def overlapping(frames: FrameTable, begin: int, end: int) -> list[int]:
    """Frames that overlap an interval, by the definition, one at a time and in exact arithmetic."""
    starts = [frames.start_ns + m * frames.frame_ns for m in range(frames.n_frames + 1)]
    return [m for m in range(frames.n_frames) if begin < end and starts[m] < end and starts[m + 1] > begin]


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (1100, 1200, [1]),
        (1100, 1201, [1, 2]),
        (1099, 1200, [0, 1]),
        (1150, 1151, [1]),
        (0, 1000, []),
        (0, 1001, [0]),
        (1499, 9999, [4]),
        (1500, 9999, []),
        (0, 9999, [0, 1, 2, 3, 4]),
        (1200, 1200, []),
        (1250, 1250, []),
        (1300, 1200, []),
    ],
)
def test_window_mask_by_hand(make_frames: Any, make_windows: Any, begin: int, end: int, expected: list[int]) -> None:
    frames = make_frames(np.zeros((2, 5)))
    mask = frames.window_mask(make_windows(("s1", "e", begin, end)))
    assert not mask[0].any()
    assert np.flatnonzero(mask[1]).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-500, 4000), st.integers(-500, 4000)), max_size=6),
    st.fractions(1, 400, max_denominator=7),
    st.integers(0, 300),
)
def test_window_mask_by_definition(spans: list[tuple[int, int]], frame_ns: Fraction, margin: int) -> None:
    frames = FrameTable(("a",), 17, frame_ns, np.zeros((1, 9), dtype=np.int8), 0)
    windows = pd.DataFrame(
        {
            "channel": "a",
            "event_id": "e",
            "first_arrival_ns": np.array([min(span) for span in spans], dtype=np.int64),
            "end_ns": np.array([max(span) + 1 for span in spans], dtype=np.int64),
            "predicted_acceleration": 1.0,
            "visible": True,
        },
        index=range(len(spans)),
    )
    expected = {m for s in spans for m in overlapping(frames, min(s) - margin, max(s) + 1 + margin)}
    assert set(np.flatnonzero(frames.window_mask(windows, margin)[0]).tolist()) == expected


def test_invisible_windows_and_other_channels_do_not_count(make_frames: Any, make_windows: Any) -> None:
    frames = make_frames(np.zeros((1, 5)))
    windows = make_windows(("s0", "e", 1100, 1200, 5.0, False), ("elsewhere", "e", 1000, 1500))
    assert not frames.window_mask(windows).any()
    assert not frames.window_mask(make_windows()).any()


def test_times_are_exact_for_frames_that_are_no_whole_nanoseconds() -> None:
    frames = FrameTable(("a",), 10**18, Fraction(10**12, 3), np.zeros((1, 90_000), dtype=np.int8), 0)
    starts = frames.starts_ns(0, frames.n_frames + 1)
    index = [0, 1, 2, 3, 89_999, 90_000]
    assert [int(starts[m]) for m in index] == [10**18 + m * 10**12 // 3 for m in index]
    assert [frames.frame_start_ns(m) for m in index] == [int(starts[m]) for m in index]
    assert frames.position(starts[[3, 90_000]]).tolist() == [3, 90_000]
    assert frames.position(starts[[3, 90_000]] - 1).tolist() == [2, 89_999]
    assert frames.position(starts[[3, 90_000]] - 1, 2, up=True).tolist() == [6, 180_000]


def test_a_frame_whose_reach_touches_a_window_is_not_before_it(make_frames: Any, make_windows: Any) -> None:
    """Frames of 100 with a reach of 250 from their centre are fed from 200 beyond their edges."""
    frames = make_frames(np.zeros((1, 10)))
    assert frames.margin_ns == 200

    def before(arrival: int, lead: int) -> list[int]:
        mask = frames.before_mask(make_windows(("s0", "e", arrival, arrival + 10)), lead)
        return np.flatnonzero(mask[0]).tolist()

    assert before(1700, 10_000) == [0, 1, 2, 3]  # frame 4 ends at 1500 and is fed up to 1700
    assert before(1701, 10_000) == [0, 1, 2, 3, 4]
    assert before(1699, 10_000) == [0, 1, 2, 3]
    assert before(1701, 501) == [2, 3, 4]
    assert before(1701, 500) == [3, 4]
    assert before(1701, 200) == []
    assert before(1050, 10_000) == []
    assert before(9000, 10_000) == list(range(10))


def test_a_frame_near_another_events_window_is_before_none(make_frames: Any, make_windows: Any) -> None:
    frames = make_frames(np.zeros((1, 20)))
    weak = ("s0", "weak", 1000, 3000, 1.0, False)
    windows = make_windows(("s0", "first", 1500, 1600), ("s0", "second", 2600, 2700), weak)
    mask = frames.before_mask(windows, 10_000)
    assert np.flatnonzero(mask[0]).tolist() == [0, 1, 9, 10, 11, 12]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=4), st.integers(0, 600), st.integers(1, 1500))
def test_before_never_touches_a_window(arrivals: list[int], reach: int, lead: int) -> None:
    frames = FrameTable(("a",), 0, Fraction(100), np.zeros((1, 30), dtype=np.int8), reach)
    windows = pd.DataFrame(
        {
            "channel": "a",
            "event_id": [f"e{i}" for i in range(len(arrivals))],
            "first_arrival_ns": arrivals,
            "end_ns": [a + 150 for a in arrivals],
            "predicted_acceleration": 1.0,
            "visible": True,
        }
    )
    for m in np.flatnonzero(frames.before_mask(windows, lead)[0]).tolist():
        fed = (100 * m - max(0, reach - 50), 100 * m + 100 + max(0, reach - 50))
        assert all(fed[1] < a or fed[0] > a + 150 for a in arrivals)
        assert any(100 * m >= a - lead and fed[1] < a for a in arrivals)


def test_what_contradicts_itself_is_refused(make_windows: Any, make_frames: Any) -> None:
    good = np.zeros((1, 3), dtype=np.int8)
    with pytest.raises(GravdaskError, match="one row per channel"):
        FrameTable(("a", "b"), 0, Fraction(1), good, 0)
    with pytest.raises(GravdaskError, match="each channel once"):
        FrameTable(("a", "a"), 0, Fraction(1), np.zeros((2, 3), dtype=np.int8), 0)
    with pytest.raises(GravdaskError, match="length above 0"):
        FrameTable(("a",), 0, Fraction(0), good, 0)
    with pytest.raises(GravdaskError, match="lack the columns visible"):
        make_frames([0, 1]).window_mask(make_windows().drop(columns="visible"))


def test_counts_of_components(make_frames: Any) -> None:
    frames = make_frames([[-1, 3, 0], [-1, -1, 2]])
    assert (frames.n_components, frames.n_frames) == (4, 3)
    assert frames.valid.tolist() == [[False, True, True], [False, False, True]]
    assert make_frames(np.zeros((2, 0))).n_components == 0
    assert make_frames([[-1, -1]]).n_components == 0

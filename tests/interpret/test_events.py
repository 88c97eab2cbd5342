"""Event by event: predicted, seen, and what was before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gravdask.errors import GravdaskError
from gravdask.interpret import before_counts, event_table

LABELS = {0: "background", 1: "co-seismic", 2: "co-seismic 2", 3: "co-seismicity"}


def test_event_table_by_hand(make_frames: Any, make_windows: Any) -> None:
    frames = make_frames([[0, 0, 1, 2, 0, -1, -1, 3], [-1, 0, 0, 0, 0, 0, 0, 0]])
    windows = make_windows(
        ("s0", "seen", 1150, 1900, 500.0),
        ("s1", "seen", 1170, 1900, 400.0),
        ("s0", "over", 1400, 1500, 10.0, False),
        ("s0", "gap", 1500, 1600, 20.0),
        ("s0", "other", 1640, 1800, 30.0),
        ("elsewhere", "seen", 1150, 1900, 500.0),
        ("s0", "later", 9000, 9900, 500.0),
        ("s0", "edge", 1050, 1100, 500.0),
    )
    table = event_table(frames, windows, LABELS, {("seen", "s0"): 1234.5}, first_ns=150)
    assert table["event_id"].tolist() == ["seen", "seen", "over", "gap", "other", "later", "edge"]
    assert table["predicted"].tolist() == [True, True, False, True, True, True, True]
    assert table["seen"].tolist() == [True, False, False, False, False, False, False]
    assert table["component"].tolist() == [1, 0, 0, -1, 3, -1, 0]
    assert table["name"].tolist() == ["co-seismic", "background", "background", "", "co-seismicity", "", "background"]
    assert table["no_data"].tolist() == [False, False, False, True, False, True, False]
    assert table["peak_acceleration"].iloc[0] == 1234.5
    assert table["peak_acceleration"].iloc[1:].isna().all()
    assert (table["first_arrival_ns"] - table["time_ns"]).tolist() == [10] * 7


def test_seen_within_the_hour_only(make_frames: Any, make_windows: Any) -> None:
    hour = 3600 * 10**9
    frames = make_frames([0, 0, 1, 0], start_ns=0, frame_ns=hour, reach_ns=0)

    def seen(arrival: int) -> bool:
        return bool(event_table(frames, make_windows(("s0", "e", arrival, arrival + 1)), LABELS)["seen"].iloc[0])

    assert not seen(hour)
    assert seen(hour + 1)
    assert seen(3 * hour - 1)
    assert not seen(3 * hour)


def test_an_empty_table_keeps_its_columns(make_frames: Any, make_windows: Any) -> None:
    full = event_table(make_frames([0]), make_windows(("s0", "e", 1000, 1100)), LABELS)
    empty = event_table(make_frames([0]), make_windows(), LABELS)
    assert empty.empty
    assert list(empty.columns) == list(full.columns)
    nothing = event_table(make_frames(np.zeros((1, 0))), make_windows(("s0", "e", 1000, 1100)), LABELS)
    assert nothing["no_data"].tolist() == [True]


def test_before_counts_by_hand(make_frames: Any, make_windows: Any) -> None:
    """Frames are fed from 200 beyond their edges; the first arrival lies in frame 15, just after its start."""
    component = [1, 0, 1, 1, 0, 0, 0, 1, 0, -1, 1, 0, 1, 1, 1, 1, 1, 0]
    frames = make_frames([component, [-1] * 18])
    windows = make_windows(
        ("s0", "main", 2501, 2900, 500.0),
        ("s0", "fore", 1300, 1350, 50.0),
        ("s0", "weak", 1700, 1800, 5.0, False),
        ("s1", "main", 2501, 2900, 500.0, False),
    )
    table = before_counts(frames, windows, "main", 1, lead_ns=1501)
    first, second = table.iloc[0], table.iloc[1]
    assert (first["channel"], second["channel"]) == ("s0", "s1")
    assert first["valid_frames"] == 14
    assert first["frames"] == 8  # 0, 2, 3, 7, 10, 12, 13, 14
    assert first["within_reach"] == 2  # 13 is fed up to 2600 and 14 up to 2700; 12, up to 2500, is not within
    assert first["beyond_reach"] == 6
    assert first["near_other_event"] == 3  # 0, 2 and 3 are fed from the window of "fore"
    assert second[["valid_frames", "frames", "within_reach", "beyond_reach"]].tolist() == [0, 0, 0, 0]
    short = before_counts(frames, windows, "main", 1, lead_ns=300).iloc[0]
    assert (short["frames"], short["within_reach"], short["beyond_reach"]) == (2, 2, 0)


def test_before_counts_agree_with_the_mask(make_frames: Any, make_windows: Any) -> None:
    rng = np.random.default_rng(6)
    for _ in range(30):
        frames = make_frames(rng.integers(-1, 3, (2, 40)), reach_ns=int(rng.integers(0, 500)))
        arrivals = rng.integers(500, 5500, 3).tolist()
        rows = [(f"s{i}", f"e{j}", a + 7 * i, a + 7 * i + 300) for j, a in enumerate(arrivals) for i in (0, 1)]
        windows = make_windows(*rows)
        mask = frames.before_mask(windows, 1000)
        union = np.zeros(frames.component.shape, dtype=bool)
        for j in range(3):
            table = before_counts(frames, windows, f"e{j}", 1, lead_ns=1000)
            clean = table["beyond_reach"] - table["near_other_event"]
            one = frames.before_mask(windows[windows["event_id"] == f"e{j}"], 1000)
            union |= one
            carried = (frames.component == 1) & one & mask
            assert clean.tolist() == carried.sum(axis=1).tolist()
        assert not (mask & ~union).any()


def test_an_unknown_event_is_named(make_frames: Any, make_windows: Any) -> None:
    with pytest.raises(GravdaskError, match="event nine is not among the predicted windows of s0"):
        before_counts(make_frames([0]), make_windows(("s0", "e", 1000, 1100)), "nine", 0)

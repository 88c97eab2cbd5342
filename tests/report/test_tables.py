"""CSV tables: what is written is what is read back, times included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.report import write_csv_tables
from gravdask.report.data import EVENT_COLUMNS, QUARANTINE_COLUMNS
from gravdask.report.tables import INTERVAL_COLUMNS, iso_time, parse_iso_time

DAY_NS = 86_400_000_000_000


@settings(max_examples=60, deadline=None)
@given(st.integers(-(10**18), 5 * 10**18))
def test_iso_times_come_back_to_the_nanosecond(time_ns: int) -> None:
    text = iso_time(time_ns)
    assert parse_iso_time(text) == time_ns
    assert pd.Timestamp(text).value == time_ns


def test_all_times_have_a_fraction() -> None:
    """A column in which some have one and some have none is not read by pandas without being told."""
    assert iso_time(1_704_067_200 * 10**9) == "2024-01-01T00:00:00.000Z"
    assert iso_time(1_704_067_200_500_000_000) == "2024-01-01T00:00:00.500Z"


def tables() -> dict[str, object]:
    snm = {
        "B": pd.DataFrame(
            {"day_ns": [DAY_NS, 0], "snm": [3.25, np.nan], "ssnm": [4.5, 4.75], "valid_fraction": [1.0, 0.5]}
        ),
        "A": pd.DataFrame({"day_ns": [0], "snm": [0.1 + 0.2], "ssnm": [1.0], "valid_fraction": [1.0]}),
    }
    intervals = pd.DataFrame(
        {
            "channel": ["A", "A"],
            "start_ns": [0, 4096 * 10**9],
            "end_ns": [4096 * 10**9, 8192 * 10**9],
            "component": [2, -1],
            "label": ['with "quotes", and commas', "µ"],
        }
    )
    events = pd.DataFrame(
        {
            "event_id": ["e1"],
            "time_ns": [1_704_067_200_123_000_000],
            "magnitude": [6.5],
            "place": ["near, somewhere"],
            "channel": ["A"],
            "distance_deg": [33.25],
            "predicted": [True],
            "seen": [None],
            "component": [3.0],
            "peak_acceleration": [1234.5],
        }
    )
    quarantine = pd.DataFrame({"where": ["f"], "line": [7], "what": ["w"], "cure": ["c"]})
    return {"snm": snm, "intervals": intervals, "events": events, "quarantine": quarantine}


def test_round_trip(tmp_path: Path) -> None:
    given_tables = tables()
    paths = write_csv_tables(tmp_path / "new", **given_tables)  # type: ignore[arg-type]
    assert [p.name for p in paths] == ["daily_snm.csv", "class_intervals.csv", "events.csv", "quarantine.csv"]
    daily = pd.read_csv(paths[0])
    assert list(daily.columns) == ["channel", "day", "snm", "ssnm", "valid_fraction"]
    assert list(daily["channel"]) == ["A", "B", "B"]
    assert list(daily["day"]) == ["1970-01-01", "1970-01-01", "1970-01-02"]
    np.testing.assert_array_equal(daily["snm"], [0.1 + 0.2, np.nan, 3.25])
    intervals = pd.read_csv(paths[1])
    assert [parse_iso_time(t) for t in intervals["end"]] == [4096 * 10**9, 8192 * 10**9]
    assert list(intervals["label"]) == ['with "quotes", and commas', "µ"]
    assert list(intervals.columns) == [name.removesuffix("_ns") for name in INTERVAL_COLUMNS]
    events = pd.read_csv(paths[2])
    assert list(events.columns) == [name.removesuffix("_ns") for name in EVENT_COLUMNS]
    assert events.loc[0, "time"] == "2024-01-01T00:00:00.123Z"
    assert events.loc[0, "place"] == "near, somewhere"
    assert pd.isna(events.loc[0, "seen"])
    assert paths[2].read_text(encoding="utf-8").splitlines()[1].endswith(",True,,3,1234.5")
    quarantine = pd.read_csv(paths[3])
    assert quarantine.to_dict("records") == [{"where": "f", "line": 7, "what": "w", "cure": "c"}]


@pytest.mark.parametrize("snm", [{}, {"A": pd.DataFrame({"day_ns": [], "snm": [], "ssnm": [], "valid_fraction": []})}])
def test_empty_tables_keep_their_headings(tmp_path: Path, snm: dict[str, pd.DataFrame]) -> None:
    empty = pd.DataFrame()
    paths = write_csv_tables(tmp_path, snm=snm, intervals=empty, events=empty, quarantine=empty)
    headings = [path.read_text(encoding="utf-8").strip().split(",") for path in paths]
    assert headings[0] == ["channel", "day", "snm", "ssnm", "valid_fraction"]
    assert headings[3] == list(QUARANTINE_COLUMNS)

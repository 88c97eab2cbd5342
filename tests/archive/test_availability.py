"""Spans with samples, against a plain array of what is there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.archive.availability import (
    availability,
    availability_lines,
    channels_in_name,
    clipped,
    coverage,
    date_in_name,
    duration_text,
    intervals,
    merged,
)

SECOND = 10**9
DAY = 86_400 * SECOND

pieces = st.lists(st.tuples(st.integers(0, 80), st.integers(1, 15)), max_size=12)


def as_spans(found: list[tuple[int, int]]) -> np.ndarray:
    return np.array([(a, a + n) for a, n in found], np.int64).reshape(-1, 2)


def filled(spans: np.ndarray) -> np.ndarray:
    there = np.zeros(100, bool)
    for start, stop in spans:
        there[start:stop] = True
    return there


@settings(max_examples=150, deadline=None)
@given(pieces, st.integers(0, 4))
def test_merged_covers_the_same_and_leaves_gaps_wider_than_told(found: list[tuple[int, int]], join: int) -> None:
    spans = as_spans(found)
    joined = merged(spans, join)
    assert (joined[1:, 0] - joined[:-1, 1] > join).all()
    there = filled(spans)
    if join == 0:
        np.testing.assert_array_equal(filled(joined), there)
    else:
        assert not (there & ~filled(joined)).any()
        added = filled(joined) & ~there
        runs = np.diff(np.flatnonzero(np.diff(np.r_[False, added, False]))) if added.any() else np.zeros(0)
        assert (runs[::2] <= join).all()


@settings(max_examples=150, deadline=None)
@given(pieces, pieces)
def test_clipped_is_the_common_part(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    a, b = merged(as_spans(one)), merged(as_spans(other))
    np.testing.assert_array_equal(filled(clipped(a, b)), filled(a) & filled(b))


def traces(*rows: tuple[str, str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(
        [(c, r, int(np.datetime64(t, "ns").astype(np.int64)), n) for c, r, t, n in rows],
        columns=["channel", "rate", "start_ns", "npts"],
    )


def test_intervals_of_several_rates() -> None:
    rows = traces(("A", "60s", "2021-01-01", 1440), ("A", "100Hz", "2021-01-01", 50), ("A", "2per3s", "2021-01-01", 3))
    lengths = np.diff(intervals(rows), axis=1).ravel()
    assert lengths.tolist() == [DAY, SECOND // 2, 4_500_000_000]


def test_coverage_joins_days_and_keeps_a_missing_sample() -> None:
    rows = traces(
        ("A", "1Hz", "2021-01-02", 86_400), ("A", "1Hz", "2021-01-01", 86_400), ("A", "1Hz", "2021-01-03T00:00:01", 10),
        ("B", "60s", "2021-01-01T00:00:00.3", 10), ("B", "60s", "2021-01-01T00:10:00.4", 10),
    )  # fmt: skip
    found = coverage(rows)
    start = int(np.datetime64("2021-01-01", "ns").astype(np.int64))
    assert found["A"].tolist() == [[start, start + 2 * DAY], [start + 2 * DAY + SECOND, start + 2 * DAY + 11 * SECOND]]
    assert len(found["B"]) == 1  # a tenth of a second off is no gap of a minute record
    assert coverage(rows.iloc[:0]) == {}


def test_availability_over_the_turn_of_a_leap_year() -> None:
    t = lambda text: int(np.datetime64(text, "ns").astype(np.int64))  # noqa: E731
    table = availability(
        {
            "A": np.array([[t("2019-12-31"), t("2019-12-31T12:00")], [t("2020-01-02"), t("2021-01-01")]]),
            "B": np.array([[t("2020-07-01"), t("2020-07-11")]]),
            "C": np.zeros((0, 2), np.int64),
        }
    )
    assert table[["channel", "year", "gaps"]].to_numpy().tolist() == [["A", 2019, 1], ["A", 2020, 1], ["B", 2020, 0]]
    np.testing.assert_allclose(table["percent"], [50, 100 * 365 / 366, 100])
    np.testing.assert_allclose(table["days"], [0.5, 365, 10])
    np.testing.assert_allclose(table["longest_gap_s"], [1.5 * 86_400, 1.5 * 86_400, 0])


def test_lines_never_round_a_gap_away() -> None:
    start = int(np.datetime64("2021-01-01", "ns").astype(np.int64))
    spans = {"XX.A.--.UGZ": np.array([[start, start + 100 * DAY], [start + 100 * DAY + SECOND, start + 364 * DAY]])}
    _, heading, line = availability_lines(availability(spans))
    assert heading.split()[:5] == ["channel", "year", "%", "days", "gaps"]
    assert line.split() == ["XX.A.--.UGZ", "2021", "99.99", "364.00", "1", "1", "s"]
    whole = availability_lines(availability({"XX.A.--.UGZ": np.array([[start, start + DAY]])}))[2]
    assert whole.split() == ["XX.A.--.UGZ", "2021", "100.00", "1.00", "0", "-"]
    assert availability_lines(availability({})) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(1, "1 s"), (0.01, "0.01 s"), (90, "1.5 min"), (5400, "1.5 h"), (86_400 * 17, "17.0 days")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("/a/XX.S1..LHZ.D.2000.032", "2000-02-01"),
        ("/a/334_20210607_append.tsf", "2021-06-07"),
        ("/a/2021-06-07T00.ms", "2021-06-07"),
        ("/a/2019/2019.366/x.ms", None),
        ("/a/20200131/day.ms", "2020-01-31"),
        ("s3://b/2020_366_x.ms", "2020-12-31"),
        ("/a/l230406.TXT", None),
        ("/a/20211399.ms", None),
        ("/a/120210607.ms", None),
    ],
)
def test_dates_in_names(name: str, day: str | None) -> None:
    expected = None if day is None else int(np.datetime64(day, "ns").astype(np.int64))
    assert date_in_name(name) == expected


def test_channels_in_names() -> None:
    channels = ["XX.S1.--.LHZ", "XX.S1.--.LDO", "XX.S10.--.LHZ", "XX.334.--.UGZ@60s"]
    assert channels_in_name("/a/S10/XX.S1..LHZ.D.2000.032", channels) == ["XX.S1.--.LHZ"]
    assert channels_in_name("/a/s1_2000.tsf", channels) == ["XX.S1.--.LHZ", "XX.S1.--.LDO"]
    assert channels_in_name("/a/334/20210607.tsf", channels) == ["XX.334.--.UGZ@60s"]
    assert channels_in_name("/a/x.tsf", channels) == []

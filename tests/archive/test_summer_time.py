"""Clocks that keep summer time, against the time zones of the operating system's tables."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import pytest

from gravdask.archive import read_file
from gravdask.archive.summer_time import summer_time_note

MINUTE = 60 * 10**9


def rows(start: str, end: str, step_s: float, zone: str, offset_h: float = 0.0) -> np.ndarray:
    """Stamps of a logger that shows the time of a zone, less a fixed offset."""
    try:
        ZoneInfo(zone)
    except ZoneInfoNotFoundError:
        pytest.skip("no time zones on this machine")
    utc = pd.date_range(start, end, freq=pd.Timedelta(seconds=step_s), tz="UTC", unit="ns")
    shown = utc.tz_convert(zone).tz_localize(None)
    return shown.to_numpy().astype(np.int64) - round(offset_h * 3600e9)


@pytest.mark.parametrize(
    ("zone", "offset", "year"),
    [
        ("Europe/Berlin", 0, 2021),
        ("Europe/Berlin", 1, 2021),
        ("America/New_York", -5, 2005),
        ("America/New_York", 0, 2021),
        ("Asia/Shanghai", 8, 1988),
        ("Pacific/Auckland", 12, 2020),
        ("Asia/Tokyo", 0, 1950),
    ],
)
@pytest.mark.parametrize("step", [60.0, 89.7, 3600.0])
def test_a_year_of_a_clock_with_summer_time(zone: str, offset: float, year: int, step: float) -> None:
    times = rows(f"{year}-01-01", f"{year}-12-30", step, zone, offset)
    note = summer_time_note(times, np.arange(10, 10 + times.size))
    assert note is not None
    assert "it seems to keep summer time" in note.what
    jumps = np.flatnonzero(np.abs(np.diff(times) - np.median(np.diff(times))) > 1800e9)
    for row in jumps:
        assert str(times[row].astype("datetime64[ns]").astype("datetime64[s]")) in note.what
    assert note.line == 11 + jumps[0]
    assert "split the file at the jumps" in note.cure


@pytest.mark.parametrize(("day", "way"), [("2021-03-28", "on"), ("2021-10-31", "back")])
def test_one_jump_alone_may_be_one(day: str, way: str) -> None:
    times = rows(f"{day}T00:00:00", f"{day}T23:59:00", 60, "Europe/Berlin")
    note = summer_time_note(times)
    assert note is not None
    assert f"the clock goes an hour {way} at {day}T0" in note.what
    assert "may keep summer time" in note.what
    assert summer_time_note(rows(f"{day}T00:00:00", f"{day}T23:59:00", 1800, "Europe/Berlin")) is None


def test_other_gaps_and_clocks_say_nothing() -> None:
    even = np.datetime64("2021-03-01", "ns").astype(np.int64) + np.arange(60 * 1440) * MINUTE
    sunday = int(np.datetime64("2021-03-28T02:00", "ns").astype(np.int64))
    assert summer_time_note(even) is None
    assert summer_time_note(even[:0]) is None
    assert summer_time_note(even[:1].repeat(9)) is None

    def without(start: int, minutes: int) -> np.ndarray:
        return even[(even < start) | (even >= start + minutes * MINUTE)]

    assert summer_time_note(without(sunday, 60)) is not None
    assert summer_time_note(without(sunday, 57)) is None
    assert summer_time_note(without(sunday, 120)) is None
    assert summer_time_note(without(sunday + 17 * MINUTE, 60)) is None
    assert summer_time_note(without(sunday + 3 * 1440 * MINUTE, 60)) is None
    assert summer_time_note(rows("2021-01-01", "2021-12-30", 60, "Asia/Kolkata")) is None


def test_many_jumps_are_counted() -> None:
    note = summer_time_note(rows("2010-01-01", "2020-01-01", 300, "Europe/Berlin"))
    assert note is not None
    assert note.what.count("and 6 more") == 2


def test_readers_say_it(tmp_path: Path) -> None:
    times = rows("2021-03-28T00:00:00", "2021-03-28T12:00:00", 60, "Europe/Berlin")
    stamps = times.astype("datetime64[ns]").astype("datetime64[s]").astype(str)
    lines = [f"{re.sub('[-T:]', ' ', stamp)} {n}.5" for n, stamp in enumerate(stamps)]
    (tmp_path / "bare.tsf").write_text("\n".join(lines) + "\n")
    first, _ = read_file(tmp_path / "bare.tsf")
    assert any("may keep summer time" in note.what and note.line == 61 for note in first.notes)

"""Dated rows to traces: what is regular stays exact, what is not follows the rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gravdask.archive import ChannelId, DamagedFileError, ReadOptions, Source, Trace
from gravdask.archive.row_traces import Rows, row_traces
from gravdask.archive.text_rows import ColumnData
from gravdask.grid import ORIGIN_NS, SECOND_NS, Rate

START = ORIGIN_NS + 1_234_567 * 60 * SECOND_NS


def name(rate: Rate) -> list[ChannelId]:
    return [ChannelId("XX", "A", "", f"{rate.seconds}G"), ChannelId("XX", "A", "", "P")]


def rows(seconds: NDArray[np.int64] | list[int], missing: list[int] | None = None, **more: object) -> Rows:
    count = len(seconds)
    gone = np.zeros(count, dtype=bool)
    gone[missing or []] = True
    columns = (
        ColumnData(np.arange(count, dtype=np.int32) * 10, gone, 1, "gravity", "mGal"),
        ColumnData(np.arange(count, dtype=np.float64) + 0.5, np.zeros(count, dtype=bool), 0, "pressure", "hPa"),
    )
    times = START + np.asarray(seconds, dtype=np.int64) * SECOND_NS
    return Rows(times, np.arange(5, 5 + count), columns, **more)  # type: ignore[arg-type]


def traces(data: Rows, rule: str = "linear", head_only: bool = False, **more: object) -> list[Trace]:
    options = ReadOptions(irregular=rule, irregular_interval_s=more.pop("interval", 0.0))  # type: ignore[arg-type]
    return list(row_traces(Source(Path("x"), head_only, options), data, name, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("logger", [False, True])
@pytest.mark.parametrize("rule", ["linear", "nearest", "refuse"])
def test_even_rows_stay_as_they_are_by_every_rule(rule: str, logger: bool) -> None:
    # of another phase after a gap of no whole number of intervals, and with a value missing
    seconds = [7 + 60 * n for n in range(20)] + [5_001 + 60 * n for n in range(20)]
    found = traces(rows(seconds, [3]), rule, logger=logger)
    assert [(t.npts, t.start_ns - START) for t in found] == [
        (n, s * SECOND_NS) for n, s in ((3, 7), (16, 247), (20, 5_001), (20, 7), (20, 5_001))
    ]
    assert {(t.dtype, t.decimals) for t in found} == {("int32", 1), ("float64", 0)}
    assert {t.recipe for t in found} == {""}


def test_one_uneven_row_makes_a_logger_irregular_but_no_other_record() -> None:
    seconds = [30 * n for n in range(30)]
    seconds[7] += 2
    assert traces(rows(seconds), logger=True)[0].recipe == "linear 30s"
    assert [t.recipe for t in traces(rows(seconds))] == [""] * 6


def test_an_interval_that_divides_no_day() -> None:
    found = traces(rows([7 * n for n in range(50)]))
    assert [str(t.rate) for t in found] == ["8s", "8s"]
    assert found[0].values == pytest.approx(np.arange(4, 7 * 49 + 1, 8) / 7)  # the first row is 4 s off the grid
    what = found[0].notes[0].what
    assert what.startswith("the rows are 7s apart, which does not divide a day: brought to a grid of 8s")
    assert [str(t.rate) for t in traces(rows([7 * n for n in range(50)]), "refuse")] == ["7s", "7s"]


def test_what_was_done_is_told_with_lines_and_errors() -> None:
    seconds = np.cumsum(np.resize([29, 30, 31, 30], 40))
    seconds[20:] -= 95
    seconds[31] = seconds[30]
    notes = traces(rows(seconds), logger=True)[0].notes
    assert "estimated error at most 30G 0.0" in notes[0].what
    assert " mGal, P 0.0" in notes[0].what
    assert [(n.what.split(" ")[0], n.what.split(" rows ")[1][:22], n.line) for n in notes[1:4]] == [
        ("1", "repeat the time of the", 36),
        ("1", "step back in time; a s", 25),
        ("3", "were left out because ", 22),
    ]
    (note, *_) = traces(rows(seconds), "nearest", logger=True)[0].notes
    assert "nearest row taken, off by 6 s at most" in note.what


def test_the_tide_is_marked_column_by_column() -> None:
    even, uneven = [60 * n for n in range(9)], np.cumsum(np.resize([57, 60, 63], 30))
    for seconds in (even, uneven):
        found = traces(rows(seconds, tide_applied=(True, False)))
        assert [t.tide_applied for t in found] == [True, False]
    assert len(found[0].notes) >= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(27, 33), min_size=8, max_size=50), st.data(), st.sampled_from(["linear", "nearest"]))
def test_heads_say_the_same_as_whole_traces(steps: list[int], data: st.DataObject, rule: str) -> None:
    missing = data.draw(st.lists(st.integers(0, len(steps) - 1), max_size=5))
    made = rows(np.cumsum(steps), missing)
    whole, heads = traces(made, rule, logger=True), traces(made, rule, True, logger=True)
    assert [(t.channel, t.start_ns, t.npts, t.dtype, t.decimals, t.recipe, t.notes) for t in whole] == [
        (t.channel, t.start_ns, t.npts, t.dtype, t.decimals, t.recipe, t.notes) for t in heads
    ]
    for trace in whole:
        column = made.columns[0 if trace.kind == "gravity" else 1]
        good = ~column.missing
        grid = (trace.start_ns - START) / SECOND_NS + trace.rate.seconds * np.arange(trace.npts)
        low, high = np.cumsum(steps)[good].min(), np.cumsum(steps)[good].max()
        truth = np.interp(grid, np.cumsum(steps)[good], column.values[good] / 10.0**column.decimals)
        inside = (grid >= low) & (grid <= high)
        values = trace.values / 10.0**trace.decimals
        bound = 1e-9 if rule == "linear" else 0.75  # rows rise by one: the nearest is never farther than that
        if not missing:
            assert np.abs(values - truth)[inside].max(initial=0) <= bound


def test_the_wanted_interval() -> None:
    seconds = np.cumsum(np.resize([9, 10, 11], 60))
    assert [str(t.rate) for t in traces(rows(seconds), interval=60.0)] == ["60s", "60s"]
    with pytest.raises(DamagedFileError, match="7 s puts no whole number of samples into a day"):
        traces(rows(seconds), interval=7.0)


def test_nothing_to_read() -> None:
    with pytest.raises(DamagedFileError, match="neither stated nor seen"):
        traces(rows([5]))
    empty = rows([60 * n for n in range(4)], [0, 1, 2, 3])
    with pytest.raises(DamagedFileError, match="every value is missing"):
        traces(Rows(empty.times_ns, empty.lines, (empty.columns[0], empty.columns[0])))

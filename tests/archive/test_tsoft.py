"""TSoft files that a test writes, and what must come back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.archive import DamagedFileError, ReadOptions, read_file
from gravdask.errors import NotThisFormatError, ReadError
from gravdask.grid import SECOND_NS, Rate

START = datetime(2021, 6, 8, 0, 0, 16, tzinfo=UTC)
START_NS = int(START.timestamp()) * SECOND_NS


def row(minute: float, *values: str) -> str:
    return (START + timedelta(minutes=minute)).strftime("%Y %m %d %H %M %S") + "  " + "  ".join(values)


def headed(
    rows: list[str], channels: Sequence[str] = ("S:I:gravity",), units: Sequence[str] = ("nm/s^2",), **tags: str
) -> str:
    tags = {"TIMEFORMAT": "DATETIME", "INCREMENT": "60"} | tags
    lines = ["[TSF-file] v01.0", "", "[UNDETVAL] 9999.999", ""]
    lines += [part for tag, value in tags.items() for part in (f"[{tag}] {value}", "")]
    lines += ["[CHANNELS]", *(f"  {name}" for name in channels), "", "[UNITS]", *(f"  {unit}" for unit in units)]
    return "\r\n".join([*lines, "", "[COMMENT]", "free text", "", "[DATA]", *(f"{line} " for line in rows), ""])


def write(folder: Path, text: str, name: str = "X.tsf") -> Path:
    path = folder / name
    path.write_bytes(text.encode("latin-1"))
    return path


@given(
    values=st.lists(st.integers(-(10**9), 10**9), min_size=2, max_size=40),
    places=st.integers(0, 6),
    keep=st.lists(st.sampled_from(["row", "fill", "gap"]), min_size=40, max_size=40),
    with_header=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_round_trip_of_values_decimals_and_gaps(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], places: int, keep: list[str], with_header: bool
) -> None:
    keep = ["row", "row", *keep[2 : len(values)]]
    words = [f"{Decimal(value).scaleb(-places):f}" for value in values]
    fill = "99999.999" if places == 3 else "9999.999"
    rows = [row(n, fill if k == "fill" else words[n]) for n, k in enumerate(keep) if k != "gap"]
    text = headed(rows) if with_header else "\n".join(rows) + "\n"
    traces = read_file(write(tmp_path_factory.mktemp("t"), text))
    fills = {Decimal("9999.999"), Decimal("99999.999")}
    expected = {n: Decimal(words[n]) for n, k in enumerate(keep) if k == "row" and Decimal(words[n]) not in fills}
    found = {}
    for trace in traces:
        assert trace.rate == Rate(1, 60)
        first, rest = divmod(trace.start_ns - START_NS, 60 * SECOND_NS)
        assert rest == 0
        for n, value in enumerate(trace.values.tolist()):
            assert first + n not in found
            found[first + n] = Decimal(value).scaleb(-trace.decimals)
    assert found == expected
    assert {trace.decimals for trace in traces} == {places}
    slots = sorted(expected)
    assert len(traces) == 1 + sum(b - a > 1 for a, b in itertools.pairwise(slots))


def test_types_units_and_names_of_a_headed_file(tmp_path: Path) -> None:
    rows = [row(n, "1.50e+000", "1013.25", "3000000000", "7") for n in range(3)]
    channels = ("a b:I 1:gravity", "a b:I 1:air pressure", "a b:I 2:residual", "Z:T:temperature")
    traces = read_file(write(tmp_path, headed(rows, channels, ("µGal", "hPa", "nm/s^2", "degC"))))
    assert [str(t.channel) for t in traces] == ["XX.a_b.00.UGZ", "XX.a_b.--.UDO", "XX.a_b.01.UGZ", "XX.Z.--.UYO"]
    assert [t.dtype for t in traces] == ["int32", "int32", "int64", "int32"]
    assert [t.decimals for t in traces] == [1, 2, 0, 0]
    assert [t.unit for t in traces] == ["µGal", "hPa", "nm/s^2", "degC"]
    assert [t.kind for t in traces] == ["gravity", "pressure", "gravity", "other"]
    assert traces[0].notes == ()


def test_units_may_be_absent_and_come_from_the_options(tmp_path: Path) -> None:
    text = headed([row(n, "1", "2") for n in range(3)], ("S:I:gravity", "S:I:pressure"), ())
    traces = read_file(write(tmp_path, text), ReadOptions(unit="mGal"))
    assert [(t.kind, t.unit) for t in traces] == [("gravity", "mGal"), ("pressure", None)]


def test_bare_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "\n".join(row(n, "5882.3353", "0982.7791") for n in range(5)) + "\n", "20210607_334b.tsf")
    options = ReadOptions(clock_offset_s=28800, station_codes=("334", "33"), network="CN")
    gravity, pressure = read_file(path, options)
    assert str(gravity.channel) == "CN.334.--.UGZ"
    assert (gravity.unit, pressure.unit, pressure.kind) == ("mGal", "hPa", "pressure")
    assert gravity.start_ns == START_NS - 28800 * SECOND_NS
    assert pressure.values.tolist() == [9827791] * 5
    assert read_file(path, ReadOptions(unit="uGal"))[0].unit == "uGal"
    (head, _) = read_file(path, head_only=True)
    assert head.values is None
    assert head.npts == 5


def test_fractional_seconds(tmp_path: Path) -> None:
    rows = [f"2021 06 08 00 00 {n * 0.01:06.3f} {n}" for n in range(500)]
    (trace,) = read_file(write(tmp_path, headed(rows, INCREMENT="0.01", TIMEFORMAT="DATETIMEFLT")))
    assert (trace.rate, trace.npts) == (Rate(100, 1), 500)


def test_wrong_increment_is_noted(tmp_path: Path) -> None:
    (trace,) = read_file(write(tmp_path, headed([row(n, "1") for n in range(9)], INCREMENT="10")))
    assert trace.rate == Rate(1, 60)
    assert "stated increment is 10 s" in trace.notes[0].what


def test_row_off_the_grid_duplicate_and_backward_step_start_new_traces(tmp_path: Path) -> None:
    minutes = [0, 1, 2, 3 + 0.02, 4.02, 5.02, 5.02, 6.02, 3, 4]
    text = headed([row(m, str(n)) for n, m in enumerate(minutes)])
    traces = read_file(write(tmp_path, text))
    assert [t.values.tolist() for t in traces] == [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9]]
    notes = [note.what for note in traces[0].notes]
    back = "1 rows step back in time, the first from 2021-06-08T00:06:17 to 2021-06-08T00:03:16"
    assert notes == ["1 rows repeat the time of the row before", back]
    assert traces[0].notes[0].line == text[: text.index(row(5.02, "6"))].count("\n") + 1


def test_slow_drift_of_the_clock_is_cut_at_one_percent(tmp_path: Path) -> None:
    # a second every 400 rows of 60 s; 1 % of the interval is 0.6 s, so each second starts a new trace
    rows = [row(n + (n // 400) / 60, "1") for n in range(1200)]
    assert [t.npts for t in read_file(write(tmp_path, headed(rows)))] == [400, 400, 400]


def test_uneven_rows_are_resampled_or_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = write(tmp_path, headed([row(n + rng.integers(-5, 6) / 60, str(n)) for n in range(1000)]))
    with pytest.raises(ReadError, match=r"not evenly spaced.*set archive.irregular to 'linear'"):
        read_file(path, ReadOptions(irregular="refuse"))
    (trace,) = read_file(path)
    assert (trace.dtype, trace.recipe, trace.start_ns % (60 * SECOND_NS)) == ("float64", "linear 60s", 0)
    assert trace.values == pytest.approx(np.arange(trace.npts) + trace.values[0], abs=10 / 60)
    assert "brought to a grid of 60s, interpolated" in trace.notes[0].what


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2021 06 08 00 0x 16 1.5", "expected a number"),
        ("2021 02 30 00 02 16 1.5", "no date and time"),
        ("2021 06 08 00 61 16 1.5", "no date and time"),
        ("2021 06 08 00 02 16", "found 6 columns, expected 7"),
        ("2021 06 08 00 02 16 1.5 2.5", "found 8 columns, expected 7"),
        ("2021 06 08 00 02 16 1.5.3", "expected a number"),
        ("2021.5 06 08 00 02 16 1.5", "no date and time"),
    ],
)
@pytest.mark.parametrize("with_header", [True, False])
def test_damaged_line_is_named(tmp_path: Path, line: str, reason: str, with_header: bool) -> None:
    rows = [row(0, "1.5"), row(1, "1.5"), line, row(3, "1.5")]
    text = headed(rows) if with_header else "\n".join(rows) + "\n"
    path = write(tmp_path, text)
    with pytest.raises(DamagedFileError, match=reason) as caught:
        read_file(path)
    assert caught.value.line == text[: text.index(line)].count("\n") + 1
    assert str(path) in str(caught.value)
    assert f"line {caught.value.line}" in str(caught.value)


@pytest.mark.parametrize("lost", range(1, 28))
def test_cut_last_line_is_left_out_wherever_it_is_cut(tmp_path: Path, lost: int) -> None:
    text = "\n".join(row(n, "5882.3353") for n in range(5)) + "\n"
    (trace,) = read_file(write(tmp_path, text[:-lost] if lost > 1 else text[:-1]))
    if lost == 1:  # nothing but the line end is missing
        assert (trace.npts, trace.notes) == (5, ())
    else:
        assert trace.npts == 4
        assert (trace.notes[0].line, trace.notes[0].what) == (5, "the last line is cut off and was left out")
    assert set(trace.values.tolist()) == {58823353}


def test_cut_last_line_of_a_headed_file_is_noted_against_the_count(tmp_path: Path) -> None:
    text = headed([row(n, "1.5e+000") for n in range(5)], COUNTINFO="5")
    (trace,) = read_file(write(tmp_path, text[:-7]))
    assert trace.npts == 4
    assert "holds 4 rows, [COUNTINFO] states 5" in [note.what for note in trace.notes]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The gravimeter was moved on Tuesday.\nNothing was recorded.\n", r"expected \[TSF-file\]"),
        ("", "is empty"),
        ("14 01 14  00 00 04  38322\n", r"expected \[TSF-file\]"),
        ("[TSF-file] v01.0\n\n[CHANNELS]\n a:b:c\n", r"ends before the tag \[DATA\]"),
        ("[TSF-file] v01.0\n\n[DATA]\n" + row(0, "1"), "names no channels"),
        (headed([row(0, "1")], ("a:b:c", "d:e:f"), ("mGal",)), "names 2 channels but 1 units"),
        (headed([row(0, "1")], TIMEFORMAT="MJD"), "time format 'MJD'"),
        (headed([row(0, "1")], INCREMENT="minute"), "is not a number"),
        (headed([]), "holds no rows"),
        (headed([row(0, "9999.999")]), "every value is missing"),
        (row(0, "1.5") + "\n", "neither stated nor seen"),
    ],
)
def test_not_a_tsoft_file_or_a_damaged_one(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(DamagedFileError, match=reason):
        read_file(write(tmp_path, text))


def test_rows_of_other_names_must_look_like_samples(tmp_path: Path) -> None:
    events = "2011 03 11 05 46 24 38.297 142.373\n2011 03 11 06 15 34 36.2 141.1\n2011 03 11 06 25 50 38.0 144.6\n"
    with pytest.raises(NotThisFormatError):
        read_file(write(tmp_path, events, "events.txt"))
    with pytest.raises(NotThisFormatError):
        read_file(write(tmp_path, "just some prose\n", "notes.txt"))
    samples = "\n".join(row(n, "1.5") for n in range(9)) + "\n"
    assert read_file(write(tmp_path, samples, "334.dat"))[0].npts == 9


def test_byte_order_mark_and_lower_case_tags(tmp_path: Path) -> None:
    path = tmp_path / "b.tsf"
    path.write_bytes(b"\xef\xbb\xbf" + headed([row(n, "1") for n in range(3)]).replace("[DATA]", "[Data]").encode())
    assert read_file(path)[0].npts == 3

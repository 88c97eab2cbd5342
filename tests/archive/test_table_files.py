"""Plain tables read by a layout: against pandas, and every kind of damage."""

from __future__ import annotations

import csv
import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.archive import DamagedFileError, ReadOptions, Trace, read_file
from gravdask.archive.index import options_digest
from gravdask.archive.number_rows import line_blocks
from gravdask.archive.table_format import TableFormat, table_formats
from gravdask.archive.table_text import split_rows
from gravdask.archive.table_times import table_times
from gravdask.config import build_config, render
from gravdask.config.tables import TableConfig
from gravdask.errors import ConfigError, NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

START = 1_600_000_020
GRAVITY = (("grav", "", "uGal"),)
FIELDS = ("", "1", "-2.5", "3e4", " 7 ", '"8"')


def write(folder: Path, text: str | bytes, name: str = "bh_2020.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path, layout: TableFormat, **known: object) -> list[Trace]:
    return read_file(path, ReadOptions(tables=(layout,), **known))  # type: ignore[arg-type]


def stamp(n: int, pattern: str = "%Y-%m-%dT%H:%M:%S") -> str:
    return (datetime.fromtimestamp(START, UTC) + timedelta(minutes=n)).strftime(pattern)


def table(pattern: str = "%Y-%m-%dT%H:%M:%S", rows: int = 20) -> str:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 50, (rows, 2))
    lines = [f"{stamp(n, pattern)},{g:.3f},{p:.1f}" for n, (g, p) in enumerate(values)]
    return "\n".join(["time,grav,pres", *lines, ""])


def test_a_table_against_pandas(tmp_path: Path) -> None:
    text = table()
    layout = TableFormat("*.csv", time=("time",), channels=(("grav", "00.UGZ", "uGal"), ("3", "", "hPa")))
    gravity, pressure = read(write(tmp_path, text), layout)
    frame = pd.read_csv(StringIO(text))
    assert (str(gravity.channel), str(pressure.channel)) == ("XX.bh.00.UGZ", "XX.bh.--.UDO")
    assert (gravity.rate, gravity.start_ns, gravity.dtype) == (Rate(1, 60), START * SECOND_NS, "int32")
    assert gravity.values / 1000 == pytest.approx(frame["grav"].to_numpy(), abs=1e-12)
    assert pressure.values / 10 == pytest.approx(frame["pres"].to_numpy(), abs=1e-12)
    assert [(t.kind, t.unit) for t in (gravity, pressure)] == [("gravity", "uGal"), ("pressure", "hPa")]
    assert gravity.recipe.startswith("table ")
    heads = read_file(write(tmp_path, text), ReadOptions(tables=(layout,)), head_only=True)
    assert [(h.npts, h.dtype, h.values, h.recipe) for h in heads] == [
        (20, t.dtype, None, t.recipe) for t in (gravity, pressure)
    ]


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (table("%Y-%m-%d %H:%M:%S"), {}),
        (table("%Y-%m-%dT%H:%M:%SZ"), {}),
        (table("%Y%m%dT%H%M%S"), {}),
        (table("%d.%m.%Y %H:%M:%S"), {"time_format": "%d.%m.%Y %H:%M:%S"}),
        (table("%Y-%m-%d,%H:%M:%S").replace("time,", "day,clock,"), {"time": ("day", "clock")}),
        (table("%s"), {"time_format": "unix"}),
        (table("%s.000"), {"time_format": "unix"}),
        (table().replace(",", ";"), {"separator": ";"}),
        (table().replace(",", "\t"), {"separator": "\t"}),
        (table().replace(",", "   "), {"separator": ""}),
        (table().replace(",", ";").replace(".", ","), {"separator": ";", "decimal_comma": True}),
        (table().replace(",", " , "), {}),
        ('"' + table().replace(",", '","').replace("\n", '"\n"')[:-1], {}),
        ("# made by a logger\n\n" + table() + "# end\n", {"header_rows": 3}),
        ("% x\n" + table(), {"header_rows": 2, "comment": "%"}),
        (table().replace("\n", "\n#battery low\n", 5), {"header_rows": 1}),
        (table().replace("\n", "\n\n", 9), {}),
        (table().replace("\n", "\r\n"), {}),
        (table().rstrip(), {}),
        (table().partition("\n")[2], {"header_rows": 0, "time": ("1",), "channels": (("2", "", "uGal"),)}),
        ("#" + table(), {}),
    ],
)
def test_ways_of_writing_the_same(tmp_path: Path, text: str, settings: dict[str, object]) -> None:
    layout = TableFormat(**{"files": "*.csv", "time": ("time",), "channels": GRAVITY, **settings})  # type: ignore[arg-type]
    (trace,) = read(write(tmp_path, text), layout)
    expected = pd.read_csv(StringIO(table()))["grav"].to_numpy()
    assert trace.start_ns == START * SECOND_NS
    assert trace.values / 10.0**trace.decimals == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = table().replace("grav", "Schwere in \u00b5Gal")
    layout = TableFormat("*.csv", time=("time",), channels=(("Schwere in \u00b5Gal", "UGZ", "uGal"),))
    (trace,) = read(write(tmp_path, text.encode(encoding)), layout)
    assert trace.npts == 20


def test_clocks(tmp_path: Path) -> None:
    def start(text: str, known: float = 0.0, **settings: object) -> float:
        layout = TableFormat(**{"files": "*.csv", "time": ("time",), "channels": GRAVITY, **settings})  # type: ignore[arg-type]
        return (read(write(tmp_path, text), layout, clock_offset_s=known)[0].start_ns - START * SECOND_NS) / SECOND_NS

    assert start(table(), 28_800) == -28_800
    assert start(table(), 28_800, clock_offset_s=3600.0) == -3600
    assert start(table("%Y-%m-%dT%H:%M:%SZ"), 28_800) == 0
    assert start(table("%Y-%m-%dT%H:%M:%S+08:00"), 0) == -28_800
    assert start(table("%s"), 28_800, time_format="unix") == 0
    mjd = "time,grav\n" + "".join(f"{59_000 + n / 1440:.9f},{n}\n" for n in range(20))
    assert start(mjd, 0, time_format="mjd") == pytest.approx((59_000 - 40_587) * 86_400 - START)


def test_missing_values_make_gaps(tmp_path: Path) -> None:
    rows = [
        f"{stamp(n)},{value},{n}" for n, value in enumerate(["1.5", "", "2.5", "nan", "Null", "-", "9.5", "-9999", "7"])
    ]
    layout = TableFormat("*.csv", time=("time",), channels=(*GRAVITY, ("n", "X", "")), missing=("NULL", "-", "-9999"))
    traces = read(write(tmp_path, "\n".join(["time,grav,n", *rows, ""])), layout)
    assert [(t.channel.code, t.values.tolist()) for t in traces] == [
        ("UGZ", [15]), ("UGZ", [25]), ("UGZ", [95]), ("UGZ", [70]), ("X", list(range(9))),
    ]  # fmt: skip


def test_several_stations_in_one_table(tmp_path: Path) -> None:
    rows = [f"{stamp(n // 2)},{'AB' if n % 2 else 'C-1'},{n}" for n in range(20)]
    layout = TableFormat("*.csv", time=("t",), station_column="where", channels=(("g", "", "mGal"),))
    traces = read(write(tmp_path, "\n".join(["t,where,g", *rows, ""])), layout)
    assert [(str(t.channel), t.values.tolist()) for t in traces] == [
        ("XX.C-1.--.UGZ", list(range(0, 20, 2))),
        ("XX.AB.--.UGZ", list(range(1, 20, 2))),
    ]
    fixed = TableFormat("*.csv", time=("t",), station="DE", channels=(("g", "G", "mGal"), ("3", "G", "mGal")))
    traces = read(write(tmp_path, "t,where,g\n" + "\n".join(f"{stamp(n)},1,1" for n in range(3))), fixed)
    assert [str(t.channel) for t in traces] == ["XX.DE.00.G", "XX.DE.01.G"]


def test_uneven_rows_follow_the_rule(tmp_path: Path) -> None:
    times = START + np.cumsum(np.resize([9, 10, 11], 60))
    text = "t g\n" + "".join(f"{t} {t - START}\n" for t in times)
    layout = TableFormat("*.csv", "", 1, "#", ("t",), "unix", channels=(("g", "", "uGal"),))
    (trace,) = read(write(tmp_path, text), layout)
    assert trace.rate == Rate(1, 10)
    assert trace.values == pytest.approx(trace.start_ns / SECOND_NS + 10 * np.arange(trace.npts) - START)
    assert trace.recipe.endswith(" linear 10s")
    with pytest.raises(DamagedFileError, match="not evenly spaced"):
        read(write(tmp_path, text), layout, irregular="refuse")


@pytest.mark.parametrize(
    ("change", "line", "reason"),
    [
        (lambda t: t.replace("\n", "@\n", 4).replace("@", "", 3).replace("@", ",8"), 4, "found 4 columns, expected 3"),
        (lambda t: t.replace(stamp(3), "yesterday"), 5, "'yesterday' is no time, expected an ISO 8601 time"),
        (lambda t: t.replace(stamp(3), stamp(3) + "Z"), 2, "is no time"),
        (lambda t: t.replace("time,grav", "zeit,grav"), None, "has no column 'time': its columns are zeit, grav, pres"),
        (lambda t: t.partition("\n")[0], None, "holds no rows"),
        (lambda t: "", None, "holds no rows"),
        (lambda t: "a\0b" + t, None, "is no text"),
        (lambda t: t.replace("-", "\x01", 3), 2, "control characters|no time|no number"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: object, line: int | None, reason: str) -> None:
    layout = TableFormat("*.csv", time=("time",), channels=GRAVITY)
    with pytest.raises(DamagedFileError, match=reason) as caught:
        read(write(tmp_path, change(table())), layout)  # type: ignore[operator]
    assert caught.value.line == line
    assert caught.value.cure


def test_words_where_numbers_should_be(tmp_path: Path) -> None:
    text = "time,grav\n" + "".join(f"{stamp(n)},{'12' if n != 4 else 'ERR'}\n" for n in range(9))
    layout = TableFormat("*.csv", time=("time",), channels=GRAVITY)
    with pytest.raises(DamagedFileError, match=r"found 'ERR'.* expected a number") as caught:
        read(write(tmp_path, text), layout)
    assert caught.value.line == 6
    with pytest.raises(DamagedFileError, match="every value is missing"):
        read(write(tmp_path, text.replace(",12", ",NULL").replace("ERR", "")), layout)


@pytest.mark.parametrize(
    ("channel", "word", "reason"),
    [
        ("pres", "ERR", r"found 'ERR' in column 3 \('pres'\), expected a number; correct"),
        ("3", "ERR", r"found 'ERR' in column 3 \('pres'\), expected a number; correct"),
        ("pres", "980,5", r"found '980,5' in column 3 .*; if numbers are written with a comma, state decimal_comma ="),
        ("pres", "-1,5e3", "state decimal_comma"),
        ("pres", "1,2,3", "expected a number; correct"),
        ("pres", "9" * 400, r"found a word of 400 characters in column 3 \('pres'\), expected a number"),
    ],
)
def test_a_wrong_word_is_named_with_its_column(tmp_path: Path, channel: str, word: str, reason: str) -> None:
    text = "time;grav;pres\n" + "".join(f"{stamp(n)};1.5;{word if n == 4 else '12'}\n" for n in range(9))
    layout = TableFormat("*.csv", separator=";", time=("time",), channels=(("grav", "", "uGal"), (channel, "", "hPa")))
    with pytest.raises(DamagedFileError, match=reason) as caught:
        read(write(tmp_path, text), layout)
    assert caught.value.line == 6


def test_a_wrong_word_of_a_table_without_names(tmp_path: Path) -> None:
    text = "".join(f"{1_600_000_020 + 60 * n};1.5;{'x' if n == 4 else '12'}\n" for n in range(9))
    layout = TableFormat("*.csv", separator=";", header_rows=0, time_format="unix", channels=(("3", "", "hPa"),))
    with pytest.raises(DamagedFileError, match=r"found 'x' in column 3, expected a number"):
        read(write(tmp_path, text), layout)
    with pytest.raises(DamagedFileError, match=r"found '1600000020,5' in column 1, expected a number; if .*decimal_c"):
        read(write(tmp_path, text.replace("0020;", "0020,5;")), layout)


@pytest.mark.parametrize(("step_s", "places"), [(60, 6), (1, 7), (3600, 4)])
def test_stamps_that_are_rounded_keep_every_digit(tmp_path: Path, step_s: int, places: int) -> None:
    moments = [59_000 + Decimal(n * step_s) / 86_400 for n in range(500)]
    text = "".join(f"{moment:.{places}f} {n * 7 % 13}.25\n" for n, moment in enumerate(moments))
    layout = TableFormat("*.dat", separator="", header_rows=0, time_format="mjd", channels=(("2", "", "uGal"),))
    (trace,) = read(write(tmp_path, text, "a.dat"), layout)
    assert (trace.rate, trace.npts, trace.notes) == (Rate(1, step_s), 500, ())
    assert trace.values.tolist() == [n * 7 % 13 * 100 + 25 for n in range(500)]


def test_separators_within_quotation_marks_separate_nothing(tmp_path: Path) -> None:
    lines = [f'{stamp(n)},"Lhasa,3600",7.0,{n}.5' for n in range(9)]
    layout = TableFormat("*.csv", time=("time",), station="A", channels=(("g, raw", "", "uGal"),))
    (trace,) = read(write(tmp_path, "\n".join(['time,site,n,"g, raw"', *lines, ""])), layout)
    assert trace.values.tolist() == [10 * n + 5 for n in range(9)]
    thousands = "\n".join(["time,grav", *(f'{stamp(n)},"980,000.346"' for n in range(9)), ""])
    with pytest.raises(DamagedFileError, match=r"'980,000.346' in column 2 \('grav'\), expected a number"):
        read(write(tmp_path, thousands), TableFormat("*.csv", time=("time",), channels=GRAVITY))


def test_rows_with_more_columns_than_names_are_refused(tmp_path: Path) -> None:
    text = "time,grav\n" + "".join(f"{stamp(n)},12,{n}\n" for n in range(9))
    layout = TableFormat("*.csv", time=("time",), channels=GRAVITY)
    with pytest.raises(DamagedFileError, match=r"3 columns, but the row of names has 2 \(time, grav\).*decimal_comma"):
        read(write(tmp_path, text), layout)
    (trace,) = read(write(tmp_path, "\n".join(f"{line}," for line in table().splitlines()) + "\n"), layout)
    assert not trace.notes
    numbered = TableFormat("*.csv", time=("1",), channels=(("2", "", "uGal"),))
    assert not read(write(tmp_path, text), numbered)[0].notes


def test_a_cut_line_is_left_out(tmp_path: Path) -> None:
    layout = TableFormat("*.csv", time=("time",), channels=GRAVITY)
    for text in (table()[:-3], table()[:-9]):
        (trace,) = read(write(tmp_path, text), layout)
        assert trace.npts == 19
        assert (trace.notes[0].what, trace.notes[0].line) == ("the last line is cut off and was left out", 21)


@pytest.mark.parametrize("size", [40, 97, 1000])
def test_where_a_block_of_text_ends_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    rng = np.random.default_rng(size)
    lines = ["# made by a logger", "who; day; clock; grav; pres"]
    for n in range(60):
        gravity = str(rng.choice(["-", "", f"{rng.normal():.3f}", f"{rng.normal():.2e}", " nan "]))
        lines.append(f"{'AB'[n % 2]};{stamp(n // 2, '%Y-%m-%d')}; {stamp(n // 2, '%H:%M:%S')};{gravity};{n / 8}")
        lines += ["", "# a remark"] if rng.random() < 0.1 else []
    layout = TableFormat(
        "*.csv", separator=";", header_rows=2, time=("day", "clock"), station_column="who",
        channels=(("grav", "", "uGal"), ("5", "", "hPa")),
    )  # fmt: skip
    for end in ("\n", "", "\nA;2020-09-13;12:57:00;1"):
        path = write(tmp_path, "\n".join(lines) + end)
        whole = read(path, layout)
        with monkeypatch.context() as patch:
            patch.setattr(line_blocks, "__defaults__", (None, size))
            parts = read(path, layout)
        assert len(whole) == len(parts) > 4
        for one, other in zip(whole, parts, strict=True):
            assert replace(one, values=None) == replace(other, values=None)
            np.testing.assert_array_equal(one.values, other.values)


def test_stamps_that_state_an_offset_only_from_a_row_on_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{stamp(n)}{'Z' if n > 9 else ''},{n}.5" for n in range(20)]
    layout = TableFormat("*.csv", time=("time",), channels=GRAVITY)
    path = write(tmp_path, "\n".join(["time,grav", *rows, ""]))
    with pytest.raises(DamagedFileError, match="is no time"):
        read(path, layout)
    monkeypatch.setattr(line_blocks, "__defaults__", (None, 20))  # every row is a block of its own
    with pytest.raises(DamagedFileError, match="only some of its times state their offset") as caught:
        read(path, layout)
    assert caught.value.line == 12


def test_files_of_other_names_are_not_touched(tmp_path: Path) -> None:
    layout = TableFormat("*/logger/*.txt", time=("time",), channels=GRAVITY)
    with pytest.raises(NotThisFormatError):
        read(write(tmp_path, table()), layout)
    (tmp_path / "logger").mkdir()
    assert read(write(tmp_path / "logger", table(), "a.txt"), layout)[0].npts == 20


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(-(10**18), 5 * 10**18), min_size=2, max_size=6),
    st.sampled_from(["s", "ms", "us", "ns", "m"]),
    st.sampled_from("T "),
)
def test_iso_times_are_those_of_numpy(moments: list[int], unit: str, between: str) -> None:
    wanted = np.array(moments, dtype="datetime64[ns]").astype(f"datetime64[{unit}]")
    text = "".join(f"{str(t).replace('T', between)},1\n" for t in wanted)
    times, bad, utc = table_times(split_rows(text.encode(), 1, ",", "#")[0], [0], "")
    assert not bad.any()
    assert not utc
    assert times.tolist() == wanted.astype("datetime64[ns]").astype(np.int64).tolist()


@pytest.mark.parametrize(
    "stamps",
    [
        ["2021-06-07T16:00:16", "2021-06-07U16:00:17"],
        ["2021-06-07T16:00:16", "2021-06-07T16.00:17"],
        ["2021-06-07T16:00:16.5", "2021-06-07T16:00:17:5"],
        ["2021-06-07T16:00:16", "2021-06-0a 16:00:17"],
        ["2021-06-07T16:00:16", "2021-0606-T16:00:17"],
    ],
)
def test_what_only_looks_like_an_iso_time_is_none(stamps: list[str]) -> None:
    text = "".join(f"{stamp},1\n" for stamp in stamps)
    assert table_times(split_rows(text.encode(), 1, ",", "#")[0], [0], "")[1].tolist() == [False, True]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.lists(
            st.sampled_from(["", "1", "-2.5", "3e4", " 7 ", '"8"', '"9,1;2"', ' "a, b"', "5'"]), min_size=3, max_size=3
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([",", ";", "\t"]),
)
def test_fields_are_those_that_python_splits(rows: list[list[str]], separator: str) -> None:
    text = "".join(separator.join(row) + "\n" for row in rows)
    tokens = split_rows(text.encode(), 1, separator, "#")[0]
    expected = list(csv.reader(StringIO(text), delimiter=separator, skipinitialspace=True))
    assert [[tokens.word(r, c) for c in range(3)] for r in range(tokens.rows)] == [
        [word.strip(" '") for word in row] for row in expected
    ]
    assert tokens.lines.tolist() == list(range(1, len(rows) + 1))


def test_the_configuration(tmp_path: Path) -> None:
    values = {
        "files": "*.csv", "time": ["date", 2], "channels": ["grav=00.LGZ:uGal", "p=:hPa", "t=TK1"], "clock": "+08:00",
        "station": "column:where",
    }  # fmt: skip
    config = build_config({"archive": {"tables": [values]}})
    (layout,) = table_formats(config.archive.tables)
    assert layout.time == ("date", "2")
    assert layout.channels == (("grav", "00.LGZ", "uGal"), ("p", "", "hPa"), ("t", "TK1", ""))
    assert (layout.clock_offset_s, layout.station, layout.station_column) == (28_800, "", "where")
    assert pickle.loads(pickle.dumps(layout)) == layout
    assert build_config(__import__("tomllib").loads(render(config))) == config
    plain, with_table = ReadOptions(), ReadOptions(tables=(layout,))
    other = ReadOptions(tables=(TableFormat("*.csv"),))
    assert len({options_digest(o) for o in (plain, with_table, other, ReadOptions(irregular="nearest"))}) == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"channels": ["grav"]}, "'grav' is no channel; expected 'column=code:unit'"),
        ({"time": [0]}, "columns are counted from 1"),
        ({"clock": "8"}, "expected a signed offset"),
        ({"decimal_comma": True}, "needs another separator"),
        ({"header_rows": 0}, "leaves no row that names the columns t, grav"),
        ({"channels": []}, "at least 1 item"),
    ],
)
def test_mistakes_in_the_configuration(change: dict[str, object], reason: str) -> None:
    values = {"files": "*.csv", "time": ["t"], "channels": ["grav=LGZ:uGal"], **change}
    with pytest.raises(ConfigError, match=reason):
        build_config({"archive": {"tables": [values]}})
    assert TableConfig(files="*", time=(1,), channels=("2=:mGal",), header_rows=0).channel_columns() == (
        ("2", "", "mGal"),
    )


@pytest.mark.parametrize("interval", [7, 0.7, 1e-10])
def test_an_interval_that_divides_no_day_is_refused(interval: float) -> None:
    with pytest.raises(ConfigError, match="divides a day"):
        build_config({"archive": {"irregular_interval": interval}})

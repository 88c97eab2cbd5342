"""Rows of days: generated ones of every length, and every kind of damage."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from gravdask.archive import DamagedFileError, ReadOptions, read_file
from gravdask.archive.reader import Source, read_with_format
from gravdask.errors import NotThisFormatError
from gravdask.grid import DAY_NS, SECOND_NS, Rate


def write(folder: Path, text: str | bytes, name: str = "20210607.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def row(item: str, date: str, values: list[str], station: str = "51007") -> str:
    return " ".join([station, item, date, *values]) + "\n"


def minutes(seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"{v:.2f}" for v in 1500 + rng.normal(0, 40, 1440)]


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS


def test_a_day_of_seconds_with_null(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    values = [f"{v:.3f}" for v in 1e5 + rng.normal(0, 9, 86_400)]
    for n in (0, 1, 500, *range(80_000, 80_100)):
        values[n] = "NULL"
    path = write(tmp_path, row("2121", "20210607", values))
    name, traces = read_with_format(Source(path, options=ReadOptions(clock_offset_s=28_800, unit="uGal")))
    assert name == "station_rows"
    assert [(t.start_ns - epoch("2021-06-06T16:00:00")) // SECOND_NS for t in traces] == [2, 501, 80_100]
    assert [t.npts for t in traces] == [498, 79_499, 6_300]
    assert {(str(t.channel), t.rate, t.unit, t.kind, t.decimals, t.dtype) for t in traces} == {
        ("XX.51007.--.LGZ", Rate(1, 1), "uGal", "gravity", 3, "int32")
    }
    whole = [v for v in values if v != "NULL"]
    assert [f"{v // 1000}.{v % 1000:03d}" for t in traces for v in t.values.tolist()] == whole


def test_items_days_and_stations(tmp_path: Path) -> None:
    hours = [str(n) for n in range(24)]
    text = row("2121", "20210607", minutes()) + row("2128", "20210607", minutes(1)) + "\n"
    text += (
        row("2121", "2021-06-08", minutes(2)) + row("9130", "2021/06/08", hours) + row("2121", "20210607", hours, "33A")
    )
    traces = read_file(write(tmp_path, text))
    assert [(str(t.channel), t.rate, t.kind, t.unit, t.npts) for t in traces] == [
        ("XX.51007.--.UGZ", Rate(1, 60), "gravity", None, 1440),
        ("XX.51007.--.UDO", Rate(1, 60), "pressure", "hPa", 1440),
        ("XX.51007.--.UGZ", Rate(1, 60), "gravity", None, 1440),
        ("XX.51007.--.9130", Rate(1, 3600), "other", None, 24),
        ("XX.33A.--.RGZ", Rate(1, 3600), "gravity", None, 24),
    ]
    assert traces[2].start_ns - traces[0].start_ns == DAY_NS
    assert traces[3].values.tolist() == list(range(24))
    heads = read_file(write(tmp_path, text), head_only=True)
    assert [(h.start_ns, h.npts, h.dtype) for h in heads] == [(t.start_ns, t.npts, t.dtype) for t in traces]
    assert all(h.values is None for h in heads)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\r\n").encode(),
        lambda t: b"\xef\xbb\xbf" + t.encode(),
        lambda t: ("STATIONID ITEMID STARTDATE OBSVALUE\n" + t).encode(),
        lambda t: t.replace(" ", "\t").encode(),
        lambda t: t.rstrip().encode(),
    ],
)
def test_ways_of_writing_the_same(tmp_path: Path, change: object) -> None:
    values = minutes()
    (trace,) = read_file(write(tmp_path, change(row("2121", "20210607", values))))  # type: ignore[operator]
    assert [f"{v // 100}.{v % 100:02d}" for v in trace.values.tolist()] == values


@pytest.mark.parametrize(
    ("change", "line", "reason"),
    [
        (
            lambda rows: [rows[0], row("2121", "20210608", minutes()[:-1])],
            2,
            "holds 1439 values, expected 86,400, 1,440, 24",
        ),
        (lambda rows: [rows[0], row("2121", "20211308", minutes())], 2, "STARTDATE '20211308' is no date"),
        (
            lambda rows: [rows[0], rows[0], "half a line\n"],
            3,
            "expected STATIONID ITEMID STARTDATE",
        ),
        (
            lambda rows: [row("2121", "20210608", ["1"] * 30 + ["1.x"] + ["2"] * 1409)],
            1,
            "found '1.x' as value 31, expected a",
        ),
        (lambda rows: [row("2121", "20210608", ["NULL"] * 1440)], None, "every value is missing"),
        (lambda rows: [row("2121", "20210608", ["1"] * 1441)], 1, "holds 1441 values"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: object, line: int | None, reason: str) -> None:
    rows = [row("2121", "20210607", minutes())]
    with pytest.raises(DamagedFileError, match=reason) as caught:
        read_file(write(tmp_path, "".join(change(rows))))  # type: ignore[operator]
    assert caught.value.line == line


def test_a_cut_day_is_left_out_with_a_note(tmp_path: Path) -> None:
    whole = row("2121", "20210607", minutes())
    traces = read_file(write(tmp_path, whole + row("2121", "20210608", minutes(1))[:5000]))
    assert [t.npts for t in traces] == [1440]
    assert (traces[0].notes[0].what, traces[0].notes[0].line) == ("the last line is cut off and was left out", 2)
    (trace,) = read_file(write(tmp_path, whole[:-2]))  # a cut number is not taken for a whole one
    assert trace.npts == 1439


@pytest.mark.parametrize("text", ["51007 2121 20210607\n", "51007 2121 20210607 1 2 3\n", "1 2 3 4 5 6\n", "a b c\n"])
def test_other_text_is_another_format(tmp_path: Path, text: str) -> None:
    with pytest.raises(NotThisFormatError):
        read_file(write(tmp_path, text))

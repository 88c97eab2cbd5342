"""The operator's log: what it says, and every way in which it can be wrong, named by its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gravdask.archive.operator_log import read_operator_log
from gravdask.errors import ReadError

HEAD = "channel,start,end,kind,value,unit,remark\n"


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def log(folder: Path, text: str) -> Path:
    path = folder / "log.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_a_log_says(tmp_path: Path) -> None:
    path = log(
        tmp_path,
        "# kept by the operator\n"
        + HEAD
        + '334,2021-07-15T00:30,2021-07-15 08:00:00Z,maintenance,,,"helium, refilled"\n\n'
        + "XX.334.--.UGZ,2021-07-16,,step,-12.5,uGal,\n"
        + "XX.334,2021-07-17,,Step,,,size unknown\n"
        + "XX.*,2021-08-01,,calibration,1.0023,,absolute meter\n"
        + "*,2021-08-02,,note,,,thunderstorm\n",
    )
    rows = read_operator_log(path)
    assert [(r.pattern, r.kind, r.value, r.unit, r.line) for r in rows] == [
        ("334", "maintenance", None, "", 3),
        ("XX.334.--.UGZ", "step", -12.5, "uGal", 5),
        ("XX.334", "step", None, "", 6),
        ("XX.*", "calibration", 1.0023, "", 7),
        ("*", "note", None, "", 8),
    ]
    assert (rows[0].start_ns, rows[0].end_ns) == (ns("2021-07-15T00:30"), ns("2021-07-15T08:00"))
    assert rows[0].remark == "helium, refilled"
    assert rows[1].end_ns is None
    assert str(rows[0]) == "2021-07-15T00:30:00 to 2021-07-15T08:00:00: maintenance: helium, refilled (line 3)"
    assert str(rows[1]) == "2021-07-16T00:00:00: step -12.5 uGal (line 5)"


@pytest.mark.parametrize(
    "text",
    [
        "Station;From;To;Type;Value;Unit;Comment\n334;2021-01-01;2021-01-02;maintenance;;;x\n",
        "\ufeffkind\tstation\tstart\tend\nmaintenance\t334\t2021-01-01\t2021-01-02\n",
        "site|time|until|what\n334|2021-01-01|2021-01-02|repair\n",
    ],
)
def test_dialects(tmp_path: Path, text: str) -> None:
    (row,) = read_operator_log(log(tmp_path, text))
    assert (row.pattern, row.kind, row.start_ns, row.end_ns) == (
        "334", "maintenance", ns("2021-01-01"), ns("2021-01-02"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("334,2021-13-01,,note,,,", r"line 2: start '2021-13-01' is no time; expected an ISO 8601 UTC time"),
        ("334,yesterday,,note,,,", r"line 2: start 'yesterday' is no time"),
        ("334,,,note,,,", r"line 2: start '' is no time"),
        ("334,2021-01-01T00:00+08:00,,note,,,", r"line 2: start .* is no time; .* without an offset"),
        ("334,9999-01-01,,note,,,", r"line 2: start '9999-01-01' lies outside the years 1678 to 2261"),
        ("334,2021-01-02,2021-01-01,maintenance,,,", r"line 2: end 2021-01-01T00:00:00 is not after start 2021-01-02"),
        ("334,2021-01-02,,maintenance,,,", r"line 2: maintenance without an end; state when it was over"),
        ("334,2021-01-02,,holiday,,,", r"line 2: kind 'holiday'; expected one of maintenance, step, calibration, note"),
        ("334,2021-01-02,,step,3,,", r"line 2: a step of 3 without a unit; state one"),
        ("334,2021-01-02,,step,much,uGal,", r"line 2: value 'much' is no number"),
        ('334,2021-01-02,,step,"3,5",uGal,', r"line 2: value '3,5' is no number \(write a decimal point\)"),
        ("334,2021-01-02,,step,nan,uGal,", r"line 2: value 'nan' is no number"),
        ("334,2021-01-02,,calibration,0,,", r"line 2: calibration with a factor of 0; state in value"),
        ("334,2021-01-02,,calibration,,,", r"line 2: calibration with no factor; state in value"),
        (",2021-01-02,,note,,,", r"line 2: channel ''; expected a shell pattern"),
        ("a b,2021-01-02,,note,,,", r"line 2: channel 'a b'"),
        ("XX.334.UGZ,2021-01-02,,note,,,", r"line 2: channel 'XX.334.UGZ'; expected .* NET.STA.LOC.CHA"),
        ("334,2021-01-02", r"line 2: kind ''"),
        ("334,2021-01-02,,note,,," + "x" * 200_000, r"line 2: '334,.* is no row of a table: field larger than"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, row: str, reason: str) -> None:
    path = log(tmp_path, HEAD + row + "\n334,2021-01-01,,note,,,fine\n")
    with pytest.raises(ReadError, match=reason) as caught:
        read_operator_log(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith("correct the operator's log")


def test_all_wrong_lines_are_named_up_to_five(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"line 2: .*line 6: .*\(and 3 more\)"):
        read_operator_log(log(tmp_path, HEAD + "334,never,,note,,,\n" * 8))


def test_all_faults_of_all_lines_are_told_together_in_their_order(tmp_path: Path) -> None:
    def quantity(unit: str) -> str:
        if unit not in {"uGal", "hPa"}:
            msg = f"unknown unit {unit!r}"
            raise ValueError(msg)
        return "acceleration" if unit == "uGal" else "pressure"

    rows = [
        "334,2021-01-01,2021-03-01,calibration,1.1,parsec,",
        "334,2021-02-01,,calibration,1.2,,",
        "a b,soon,,step,x,furlong,",
        "334,2021-01-02,2021-01-01,step,3,hPa,",
    ]
    path = log(tmp_path, HEAD + "\n".join(rows))
    with pytest.raises(ReadError, match=r"and 3 more\)") as caught:
        read_operator_log(path, quantity)
    found = str(caught.value)
    assert "line 2: unknown unit 'parsec'; line 3: calibrates 334 with 1.2" in found
    assert "line 4: channel 'a b'; expected" in found
    assert "line 4: start 'soon' is no time" in found
    path.write_text(HEAD + "\n".join(rows[2:]))
    with pytest.raises(ReadError) as caught:
        read_operator_log(path, quantity)
    found = str(caught.value)
    assert "line 2: value 'x' is no number; line 2: unknown unit 'furlong'; line 3: end 2021-01-01" in found
    assert found.endswith("(and 1 more); correct the operator's log")
    path.write_text(HEAD + rows[3].replace("2021-01-02,2021-01-01", "2021-01-01,"))
    with pytest.raises(ReadError, match=r"log.csv: line 2: a step of gravity in 'hPa'; expected a unit of acceler"):
        read_operator_log(path, quantity)
    assert len(read_operator_log(path)) == 1


def test_calibrations_that_contradict_each_other(tmp_path: Path) -> None:
    text = HEAD + "334,2021-01-01,2021-03-01,calibration,1.1,,\n334,2021-02-01,,calibration,1.2,,\n"
    with pytest.raises(ReadError, match=r"line 3: calibrates 334 with 1.2 at a time for which line 2 says 1.1"):
        read_operator_log(log(tmp_path, text))
    # Without a stated end a calibration holds until the next; the same factor twice is no contradiction.
    assert len(read_operator_log(log(tmp_path, text.replace("2021-03-01", "")))) == 2
    assert len(read_operator_log(log(tmp_path, text.replace("1.2", "1.1")))) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"found nothing where .* the columns channel, start, kind are missing"),
        ("channel,start,end\n334,2021-01-01,\n", r"found line 1 .* the column kind is missing"),
        (
            "334,2021-01-01,,note\n",
            r"the columns channel, start are missing|the columns channel, start, kind are missing",
        ),
    ],
)
def test_missing_columns_are_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ReadError, match=reason):
        read_operator_log(log(tmp_path, text))


def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        ReadError, match=r"absent.csv: the operator's log cannot be read: No such file .*; check the path"
    ):
        read_operator_log(tmp_path / "absent.csv")
    path = log(tmp_path, "")
    path.write_bytes((HEAD + "334,2021-01-01,,note,,,补充液氦\n").encode("gbk"))
    with pytest.raises(ReadError, match="save it as UTF-8"):
        read_operator_log(path)


def test_a_log_of_a_header_only_says_nothing(tmp_path: Path) -> None:
    assert read_operator_log(log(tmp_path, HEAD)) == ()

"""Rows of the LaCoste logger: the real dirty file, read by hand, and files that a test writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from gravdask.archive import DamagedFileError, ReadOptions, read_file
from gravdask.errors import NotThisFormatError
from gravdask.grid import SECOND_NS, Rate


def write(folder: Path, text: str | bytes, name: str = "last.dat") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def row(second: float, counts: object) -> str:
    return (datetime(2014, 1, 14, tzinfo=UTC) + timedelta(seconds=second)).strftime(
        "%y %m %d  %H %M %S"
    ) + f"  {counts}\n"


JITTER = np.cumsum(np.resize([30, 29, 31, 30], 40)).tolist()
TEXT = "".join(row(s, 38_000 + n) for n, s in enumerate(JITTER))


@pytest.mark.real
def test_the_real_file_by_hand(real_data: Path) -> None:
    path = real_data / "gravimeter" / "lacoste_es_dirty" / "last.dat"
    words = [line.split() for line in path.read_text().splitlines()]
    assert len(words) == 21_151
    stamps = [datetime(2000 + int(w[0]), *map(int, w[1:6]), tzinfo=UTC).timestamp() for w in words]  # type: ignore[arg-type]
    seconds, counts = np.array(stamps), np.array([int(w[6]) for w in words])
    traces = read_file(path, ReadOptions(irregular="nearest"))
    grid = np.concatenate([t.start_ns / SECOND_NS + 30 * np.arange(t.npts) for t in traces])
    made = np.concatenate([t.values for t in traces])
    assert {(str(t.channel), t.rate, t.unit, t.dtype) for t in traces} == {
        ("XX.last.--.UGZ", Rate(1, 30), "counts", "int32")
    }
    saturated = np.abs(counts - 32_725) <= 15
    # all but the two clock jumps, saturation and the edges of gaps: the row nearest in time
    clean = np.flatnonzero(np.abs(grid - seconds[20_594]) > 120)
    near = np.abs(np.where(saturated, np.inf, seconds)[None, :] - grid[clean][:, None]).argmin(axis=1)
    assert (made[clean] == counts[near]).all()
    assert np.abs(grid[clean] - seconds[near]).max() <= 15
    assert made.size == pytest.approx(21_151 - 8_068, abs=20)
    # nothing is made up in the gaps of 15, 2 and 10 hours
    for row_before in (20_158, 20_376, 21_009):
        inside = (grid > seconds[row_before] + 15) & (grid < seconds[row_before + 1] - 15)
        assert seconds[row_before + 1] - seconds[row_before] > 6_000
        assert not inside.any()
    notes = [n.what for n in traces[0].notes]
    assert notes[0].startswith("8068 rows in 3 stretches stand at 32725")
    assert "brought to a grid of 30s, nearest row taken" in notes[1]
    assert notes[2].startswith("2 rows step back in time")
    assert notes[3].startswith("1 rows were left out because later rows claim their time again")
    assert traces[0].notes[2].line == 20_595


def test_two_digit_years(tmp_path: Path) -> None:
    assert read_file(write(tmp_path, TEXT))[0].start_ns // SECOND_NS == 1_389_657_630
    old = read_file(write(tmp_path, TEXT.replace("14 01 14", "96 02 29")))[0]
    assert datetime.fromtimestamp(old.start_ns / SECOND_NS, UTC).isoformat() == "1996-02-29T00:00:30+00:00"


def test_interpolated_between_rows(tmp_path: Path) -> None:
    (trace,) = read_file(write(tmp_path, TEXT), ReadOptions(clock_offset_s=3600, unit="mGal"))
    seconds = trace.start_ns / SECOND_NS - 1_389_657_600 + 3600 + 30 * np.arange(trace.npts)
    assert trace.values == pytest.approx(np.interp(seconds, JITTER, 38_000 + np.arange(40)), abs=1e-9)
    assert (trace.unit, trace.kind, trace.recipe) == ("mGal", "gravity", "linear 30s")


def test_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"not evenly spaced: .* set archive.irregular"):
        read_file(write(tmp_path, TEXT), ReadOptions(irregular="refuse"))


def test_passing_through_the_saturated_value_is_no_saturation(tmp_path: Path) -> None:
    counts = [32_600 + 25 * n for n in range(12)] + [32_725] * 9 + [40_000] * 5
    traces = read_file(write(tmp_path, "".join(row(30 * n, c) for n, c in enumerate(counts))))
    assert [t.values.tolist() for t in traces] == [counts]
    counts = [40_000] * 5 + [32_724] * 10 + [40_000] * 5
    traces = read_file(write(tmp_path, "".join(row(30 * n, c) for n, c in enumerate(counts))))
    assert [t.npts for t in traces] == [5, 5]
    assert (traces[0].notes[0].what[:23], traces[0].notes[0].line) == ("10 rows in 1 stretches ", 6)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("14 01 14  00 10 00", "found 6 columns, expected 7"),
        ("14 01 14  00 10 00  38x24", "found '38x24' in column 7, expected a number"),
        ("14 13 14  00 10 00  38324", "'14 13 14 00 10 00' is no date and time"),
        ("4 01 14  00 10 00  38324", "'4 01 14 00 10 00' is no date and time"),
        ("14 01 14  00 10 00  38324  5", "found 8 columns, expected 7"),
    ],
)
def test_damage_is_named(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(DamagedFileError, match=reason) as caught:
        read_file(write(tmp_path, TEXT + line + "\n" + row(2000, 1)))
    assert caught.value.line == 41


def test_a_cut_line_is_left_out(tmp_path: Path) -> None:
    (trace,) = read_file(write(tmp_path, TEXT + "14 01 14  00 2"))
    assert trace.npts == 40
    assert next((n.what, n.line) for n in trace.notes) == ("the last line is cut off and was left out", 41)
    (trace,) = read_file(write(tmp_path, TEXT[:-3]))  # a cut number is not taken for a whole one
    assert trace.npts == 39


def test_line_ends_and_byte_order_marks(tmp_path: Path) -> None:
    plain = read_file(write(tmp_path, TEXT))[0]
    for data in (TEXT.replace("\n", "\r\n").encode(), b"\xef\xbb\xbf" + TEXT.encode(), b"\n" + TEXT.encode()):
        assert read_file(write(tmp_path, data))[0].values.tolist() == plain.values.tolist()


@pytest.mark.parametrize(
    "text",
    [
        row(0, 1) + row(30, 2),
        "".join(row(s, 1) for s in (0, 5, 4000, 90_000, 1e6, 5e6)),
        "".join(row(10 * n, 1) for n in range(9)).replace("14 01", "14 31"),
        "10 20 30 40 50 60 70\n" * 9,
    ],
)
def test_other_rows_are_another_format(tmp_path: Path, text: str) -> None:
    with pytest.raises(NotThisFormatError):
        read_file(write(tmp_path, text))


@pytest.mark.real
@pytest.mark.parametrize("rule", ["linear", "nearest"])
def test_the_real_file_cut_into_days_gives_the_same_samples(real_data: Path, tmp_path: Path, rule: str) -> None:
    lines = (real_data / "gravimeter" / "lacoste_es_dirty" / "last.dat").read_text().splitlines(keepends=True)
    options = ReadOptions(irregular=rule, station_codes=("last",))  # type: ignore[arg-type]

    def samples(text: list[str]) -> dict[int, float]:
        traces = read_file(write(tmp_path, "".join(text)), options)
        return {t.start_ns + 30 * SECOND_NS * n: float(v) for t in traces for n, v in enumerate(t.values)}

    whole = samples(lines)
    days = sorted({line[:8] for line in lines})
    assert len(days) == 9
    parts: dict[int, float] = {}
    for day in days:
        text = [line for line in lines if line.startswith(day)]
        if day == "14 01 16":
            with pytest.raises(DamagedFileError, match="the converter is saturated in every row"):
                samples(text)
        else:
            parts |= samples(text)
    differing = [t for t in whole.keys() | parts.keys() if whole.get(t) != parts.get(t)]
    # between the last row of a day and the first of the next nothing can be interpolated
    midnight = [abs((t // SECOND_NS + 43_200) % 86_400 - 43_200) for t in differing]
    assert len(differing) <= len(days)
    assert all(distance <= 30 for distance in midnight)

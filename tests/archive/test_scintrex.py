"""CG-5 files: a real one against its own words, and files that a test writes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from gravdask.archive import DamagedFileError, ReadOptions, read_file
from gravdask.archive.scintrex_header import Header, read_header_line
from gravdask.errors import NotThisFormatError
from gravdask.grid import ORIGIN_NS, SECOND_NS, Rate

HEADER = """/\tCG-5 SURVEY
/\tSurvey name:   \tx
/\tInstrument S/N:\t{serial}
/\tDate:          \t2023/ 4/ 6
/\tLONG:        \t16.5000000 W
/\tLAT:         \t48.2500000 N
/\tGMT DIFF.:   \t{gmt}

/\tCG-5 OPTIONS
/\tTide Correction:    {tide}

"""
REST = "-----ALT.------GRAV.---SD.--TILTX--TILTY-TEMP---TIDE---DUR-REJ-----TIME----DEC.TIME+DATE--TERRAIN---DATE"
LINES = "/------LINE-----STATION" + REST
PLACES = "/-------LAT--------LONG" + REST


def head(gmt: str = "0.0", tide: str = "YES", titles: str = LINES, serial: str = "77") -> str:
    return HEADER.format(gmt=gmt, tide=tide, serial=serial) + titles + "\n"


def reading(second: int, gravity: str, first: str = "0.0000000", station: str = "5000.0000000") -> str:
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return (
        f"{first} {station}    22.5096   {gravity} 0.006    1.4   -1.5 -1.91 -0.010  60   0 {clock}"
        "     40173.13102    0.0000  2010/01/27\n"
    )


def write(folder: Path, text: str | bytes, name: str = "survey.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS


EVEN = "".join(reading(36_000 + 60 * n, f"3179.{600 + n}") for n in range(10))


@pytest.mark.real
@pytest.mark.parametrize("rule", ["linear", "nearest"])
def test_the_real_file_against_its_own_words(real_data: Path, rule: str) -> None:
    path = real_data / "gravimeter" / "scintrex_cg5" / "l230406.TXT"
    words = [
        line.lstrip("# ").split() for line in path.read_text().splitlines() if line.startswith("#") or "2023/04" in line
    ]
    rows = [w for w in words if len(w) == 15 and w[0] == "48.2197227"]
    assert len(rows) == 3240
    stamps = [f"{w[14].replace('/', '-')}T{w[11]}" for w in rows]
    times = np.array([epoch(s) for s in stamps])
    traces = read_file(path, ReadOptions(irregular=rule))  # type: ignore[arg-type]
    assert [str(t.channel) for t in traces] == [f"XX.CG5_40601.--.U{c}" for c in ("GZ", "YT", "KI", "AX", "AY", "YS")]
    for trace, column in zip(traces, (3, 8, 7, 5, 6, 4), strict=True):
        values = np.array([float(w[column]) for w in rows])
        assert (trace.rate, trace.start_ns) == (Rate(1, 90), -(-times[0] // (90 * SECOND_NS)) * 90 * SECOND_NS)
        grid = trace.start_ns + 90 * SECOND_NS * np.arange(trace.npts)
        assert 0 <= times[-1] - grid[-1] < 90 * SECOND_NS
        got = trace.values / 10.0**trace.decimals
        if rule == "linear":
            expected = np.interp((grid - times[0]) / SECOND_NS, (times - times[0]) / SECOND_NS, values)
            assert got == pytest.approx(expected, abs=1e-9)
        else:
            assert got == pytest.approx(values[np.abs(times[None, :] - grid[:, None]).argmin(axis=1)], abs=1e-12)
    assert [t.tide_applied for t in traces] == [True, *[False] * 5]
    assert (traces[0].latitude, traces[0].longitude, traces[0].elevation) == (48.2197227, 16.3741951, 152.0)
    assert (traces[0].unit, traces[0].kind) == ("mGal", "gravity")
    note = traces[0].notes[0].what
    assert ("interpolated" in note) == (rule == "linear")
    heads = read_file(path, ReadOptions(irregular=rule), head_only=True)  # type: ignore[arg-type]
    assert [(h.start_ns, h.npts, h.dtype, h.decimals, h.notes) for h in heads] == [
        (t.start_ns, t.npts, t.dtype, t.decimals, t.notes) for t in traces
    ]
    assert all(h.values is None for h in heads)


def test_even_readings_stay_exact(tmp_path: Path) -> None:
    traces = read_file(write(tmp_path, head() + EVEN))
    gravity = traces[0]
    assert (str(gravity.channel), gravity.rate, gravity.recipe) == ("XX.CG5_77.--.UGZ", Rate(1, 60), "")
    assert gravity.values.tolist() == [3_179_600 + n for n in range(10)]
    assert (gravity.decimals, gravity.start_ns) == (3, epoch("2010-01-27T10:00:00"))
    assert (gravity.latitude, gravity.longitude, gravity.elevation) == (48.25, -16.5, 22.5096)


@pytest.mark.parametrize(
    ("gmt", "clock", "hours"),
    [
        ("-1.0", 0.0, -1),
        ("5.5", 0.0, 5.5),
        ("5,5", 0.0, 5.5),
        ("-9,5", 0.0, -9.5),
        ("5:30", 0.0, 5.5),
        ("-0:30", 0.0, -0.5),
        ("14", 0.0, 14),
        ("0.0", 28_800.0, 0),
        ("?", 28_800.0, -8),
    ],
)
def test_the_header_states_the_hours_to_utc(tmp_path: Path, gmt: str, clock: float, hours: float) -> None:
    traces = read_file(write(tmp_path, head(gmt) + EVEN), ReadOptions(clock_offset_s=clock))
    assert traces[0].start_ns == epoch("2010-01-27T10:00:00") + hours * 3600 * SECOND_NS
    contradicts = any("the archive a clock of UTC+8 h" in note.what for note in traces[0].notes)
    assert contradicts == (gmt == "0.0")


@pytest.mark.parametrize("gmt", ["99", "-14,5"])
def test_hours_to_utc_that_no_place_has_are_refused(tmp_path: Path, gmt: str) -> None:
    with pytest.raises(DamagedFileError, match=r"found GMT DIFF\. \S+ h, expected between -14 and 14 h") as caught:
        read_file(write(tmp_path, head() + EVEN + head(gmt) + EVEN))
    lines = (head() + EVEN + head(gmt)).splitlines()
    assert caught.value.line == 1 + max(n for n, text in enumerate(lines) if "GMT DIFF" in text)
    assert f"{float(gmt.replace(',', '.')):g} h" in caught.value.what
    assert caught.value.cure == "correct the header"


def test_headers_that_occur_again_change_what_is_said(tmp_path: Path) -> None:
    more = "".join(reading(40_000 + 60 * n, "3180.000") for n in range(5))
    traces = read_file(write(tmp_path, head() + EVEN + head() + more))
    assert [t.npts for t in traces if t.kind == "gravity"] == [10, 5]
    traces = read_file(write(tmp_path, head() + EVEN + "\n" + head(tide="NO") + more))
    assert [(t.npts, t.tide_applied) for t in traces if t.kind == "gravity"] == [(10, True), (5, False)]
    traces = read_file(write(tmp_path, head() + EVEN + head(gmt="-1.0") + more))
    assert [t.start_ns for t in traces if t.kind == "gravity"][1] == epoch("2010-01-27T10:06:40")


def test_latitude_and_longitude_in_place_of_line_and_station(tmp_path: Path) -> None:
    rows = "".join(reading(36_000 + 60 * n, "1.5", "# 48.1000000", "16.2000000") for n in range(4))
    trace = read_file(write(tmp_path, head(titles=PLACES) + rows))[0]
    assert (trace.latitude, trace.longitude, str(trace.channel)) == (48.1, 16.2, "XX.CG5_77.--.UGZ")


def test_survey_points_are_stations_of_their_own(tmp_path: Path) -> None:
    other = "".join(reading(40_000 + 60 * n, "3180.000", "1.0000000N", "7.0000000E") for n in range(5))
    once = reading(50_000, "3181.000", "1.0000000", "8.0000000")
    traces = read_file(write(tmp_path, head() + EVEN + other + once))
    stations = {t.channel.station: t.npts for t in traces if t.kind == "gravity"}
    assert stations == {"CG5_77": 10, "CG5_77_1_7": 5}  # the plain name is that of the place that was read most
    assert [n.what for n in traces[0].notes][:2] == [
        "readings at 3 places: each is a station of its own",
        "1 places were read only once and were left out",
    ]
    with pytest.raises(DamagedFileError, match="no place was read more than once"):
        read_file(write(tmp_path, head() + reading(1, "1.5") + reading(70, "1.5", "2.0")))


def test_fixes_that_scatter_are_one_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    fixes = [f"# {v:.7f}" for v in 48.105 + rng.uniform(-5e-3, 5e-3, 12)]
    rows = "".join(reading(36_000 + 60 * n, "1.5", fix, "16.2000000") for n, fix in enumerate(fixes))
    away = "".join(reading(50_000 + 60 * n, "1.5", "# 48.1500000", "16.2000000") for n in range(4))
    traces = read_file(write(tmp_path, head(titles=PLACES) + rows + away))
    assert [(t.channel.station, t.npts) for t in traces if t.kind == "gravity"] == [
        ("CG5_77", 12),
        ("CG5_77_48p15_16p2", 4),
    ]
    assert traces[0].latitude == pytest.approx(48.105, abs=5e-3)


def test_a_disk_fault_is_named(tmp_path: Path) -> None:
    text = (head() + EVEN).encode()
    with pytest.raises(DamagedFileError, match="control character of code 0") as caught:
        read_file(write(tmp_path, text[:40] + bytes(9) + text[49:]))
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("change", "line", "reason"),
    [
        (lambda t: t.replace(" -1.91 -0.010", " -1.91", 1), 13, "has not the 15 columns"),
        (lambda t: t.replace("3179.603", "3l79.603"), 16, "found '3l79.603' in column 4, expected a number"),
        (lambda t: t.replace("2010/01/27", "2010/13/27", 1), 13, "are no date and time"),
        (lambda t: t[: t.index("0.0000000")], None, "without readings"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: object, line: int | None, reason: str) -> None:
    with pytest.raises(DamagedFileError, match=reason) as caught:
        read_file(write(tmp_path, change(head() + EVEN)))  # type: ignore[operator]
    assert caught.value.line == line
    assert caught.value.cure


def test_a_cut_line_is_left_out_with_a_note(tmp_path: Path) -> None:
    traces = read_file(write(tmp_path, (head() + EVEN)[:-30]))
    assert traces[0].npts == 9
    assert (traces[0].notes[0].what, traces[0].notes[0].line) == ("the last line is cut off and was left out", 22)


@pytest.mark.parametrize("encode", [lambda t: t.replace("\n", "\r\n").encode(), lambda t: b"\xef\xbb\xbf" + t.encode()])
def test_line_ends_and_byte_order_marks(tmp_path: Path, encode: object) -> None:
    text = head().replace("Survey name:   \tx", "Survey name:   \tBohrl\u00f6cher") + EVEN
    traces = read_file(write(tmp_path, encode(text)))  # type: ignore[operator]
    assert traces[0].values.tolist() == [3_179_600 + n for n in range(10)]


def test_lines_that_are_neither_are_counted(tmp_path: Path) -> None:
    traces = read_file(write(tmp_path, head() + "Line\t0.000S\n" + EVEN + "battery low\n", "a.txt"))
    assert [(n.what, n.line) for n in traces[0].notes] == [
        ("1 lines are neither readings nor part of a header and were left out", 24)
    ]


def test_a_file_without_its_header(tmp_path: Path) -> None:
    trace = read_file(write(tmp_path, EVEN))[0]
    assert (trace.channel.station, trace.tide_applied, trace.npts) == ("CG5_unknown", False, 10)


def test_irregular_readings_by_every_rule(tmp_path: Path) -> None:
    rows = "".join(reading(36_000 + 87 * n, f"{3000 + n}.000") for n in range(30))
    path = write(tmp_path, head() + rows)
    linear = read_file(path)[0]
    assert (linear.rate, linear.dtype) == (Rate(1, 90), "float64")
    seconds = (linear.start_ns - epoch("2010-01-27T10:00:00")) / SECOND_NS + 90 * np.arange(linear.npts)
    assert linear.values == pytest.approx(3000 + seconds / 87, rel=1e-12)
    assert (linear.start_ns - ORIGIN_NS) % (90 * SECOND_NS) == 0
    every = read_file(path, ReadOptions(irregular="nearest", irregular_interval_s=60))[0]
    assert (every.rate, every.dtype, every.decimals) == (Rate(1, 60), "int32", 3)
    kept = read_file(path, ReadOptions(irregular="refuse"))[0]
    assert (kept.rate, kept.npts) == (Rate(1, 87), 30)


def test_other_text_is_another_format(tmp_path: Path) -> None:
    with pytest.raises(NotThisFormatError):
        read_file(write(tmp_path, "a CG-5 stood here\n"))
    with pytest.raises(DamagedFileError, match="is empty"):
        read_file(write(tmp_path, b""))


def test_header_lines() -> None:
    assert read_header_line(Header(), "/\tTide Correction:    NO") == Header()
    assert read_header_line(Header(), "/\tLAT:  \t12.5 S") == Header(latitude=-12.5)
    assert read_header_line(Header(), "/\tLONG: \t16,5 W") == Header(longitude=-16.5)
    assert read_header_line(Header(), "/\tLONG: \t0.0000000 E") == Header()
    assert read_header_line(Header(), "battery low") is None

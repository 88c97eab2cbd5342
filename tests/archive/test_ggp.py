"""GGP and IGETS files that a test writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gravdask.archive import DamagedFileError, ReadOptions, read_file
from gravdask.errors import NotThisFormatError
from gravdask.grid import Rate

HEADER = "Filename : x\nStation : Bad Homburg\nN. Latitude (deg)  :  50.2285  0.0001 measured\n"
HEADER += "E. Longitude (deg) :   8.6113\nHeight (m)         :  190.0\n"
END = "C" + "*" * 30 + "\n"


def write(folder: Path, text: str, name: str = "file.ggp") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def block(rows: list[str], offsets: str = "0.0", instrument: str = "SG00   1.0000 1.0000 0.000 0") -> str:
    return "\n".join([instrument, f"77777777 {offsets}", *rows, "99999999", ""])


def test_offsets_are_added_as_integers_and_blocks_start_traces(tmp_path: Path) -> None:
    first = block(["20200101 000000 1.5 1000.1", "20200101    100 2.5 1000.2"], "10 0.25")
    second = block(["20200101    200 3.5 1000.3", "20200101    300 9999.999 1000.4"], "20.5 0")
    traces = read_file(write(tmp_path, HEADER + END + first + second + "88888888\n"))
    gravity = [t for t in traces if t.kind == "gravity"]
    pressure = [t for t in traces if t.kind == "pressure"]
    assert [t.values.tolist() for t in gravity] == [[115, 125], [240]]
    assert {t.decimals for t in gravity} == {1}
    assert [t.values.tolist() for t in pressure] == [[100035, 100045], [100030, 100040]]
    assert {t.rate for t in traces} == {Rate(1, 60)}
    assert {(t.latitude, t.longitude, t.elevation) for t in traces} == {(50.2285, 8.6113, 190.0)}
    assert [t.unit for t in (gravity[0], pressure[0])] == ["nm/s^2", "hPa"]


@pytest.mark.parametrize(
    ("name", "instrument", "options", "station"),
    [
        ("file.ggp", "SG00  1.0 1.0 0.0 0", ReadOptions(), "SG00"),
        ("file.ggp", "GWR C026  1.0 1.0 0.0 0", ReadOptions(), "GWR_C026"),
        ("IGETS-SG-MIN-bh030-1-20150100.ggp", "SG00  1.0 1.0 0.0 0", ReadOptions(), "bh030-1"),
        ("wettzell_201501.ggp", "INSTR  1.0 1.0 0.0 0", ReadOptions(), "wettzell"),
        ("wettzell_201501.ggp", "INSTR  1.0 1.0 0.0 0", ReadOptions(station_codes=("wet", "wettzell")), "wettzell"),
        ("AB-xy.ggp", "SG00  1.0 1.0 0.0 0", ReadOptions(station=r"^(?P<station>[A-Z]+)-"), "AB"),
    ],
)
def test_station(tmp_path: Path, name: str, instrument: str, options: ReadOptions, station: str) -> None:
    rows = ["20200101 000000 1.5", "20200101 000001 1.5"]
    assert read_file(write(tmp_path, END + block(rows, "0", instrument), name), options)[0].channel.station == station


def test_units_stated_in_the_header_and_by_options(tmp_path: Path) -> None:
    rows = ["20200101 000000 1.5 3.5", "20200101 000001 1.5 3.5"]
    volts = "yyyymmdd hhmmss gravity(V) pressure(hPa)\n" + END + block(rows, "0 0")
    assert read_file(write(tmp_path, volts), ReadOptions(unit="uGal"))[0].unit == "V"
    assert read_file(write(tmp_path, END + block(rows, "0 0")), ReadOptions(unit="uGal"))[0].unit == "uGal"


def test_end_without_marks_scale_factor_and_numbers_that_touch(tmp_path: Path) -> None:
    text = END + "SG   2.5000 1.0000 0.0 0\n77777777 .000\n20200101 000000-12345.678\n20200101 000001 -2345.678\n"
    (trace,) = read_file(write(tmp_path, text), ReadOptions(clock_offset_s=-3600))
    assert trace.values.tolist() == [-12345678, -2345678]
    assert trace.start_ns == 1_577_836_800 * 10**9 + 3600 * 10**9
    assert "scale factor" in trace.notes[0].what


@pytest.mark.parametrize(("number", "has"), [("-22.", 0), ("-22895", 0), ("-22.8", 1), ("-22.8951", 4)])
def test_a_number_that_lost_characters_is_remarked_on(tmp_path: Path, number: str, has: int) -> None:
    clean = [f"20200101 {n // 60:04d}{n % 60:02d} {-22.895 + n / 1000:10.3f}" for n in range(300)]
    clean[40] = "20200101 000040  99999.999"
    assert read_file(write(tmp_path, END + block(clean, "0")))[0].notes == ()
    damaged = [*clean[:200], f"20200101 000320 {number}", *clean[201:]]
    trace = read_file(write(tmp_path, END + block(damaged, "0")))[0]
    (note,) = trace.notes
    assert note.what.endswith(
        f"1 numbers have other decimals than the rest of their column, the first {has} where 3 are usual"
    )
    assert note.line == 204
    fewer = [f"20200101 {n // 60:04d}{n % 60:02d} {n / 10:g}" for n in range(300)]  # zeros are left off
    assert read_file(write(tmp_path, END + block(fewer, "0")))[0].notes == ()


def test_cut_last_line(tmp_path: Path) -> None:
    text = END + block(["20200101 000000 1.500", "20200101 000001 1.500", "20200101 000002 1.500"], "0")
    (trace,) = read_file(write(tmp_path, text[: text.rindex("0\n99999999")]))
    assert trace.npts == 2
    assert trace.notes[0].line == 6


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (END + block(["20201301 000000 1.5"], "0"), 4, "no date and time"),
        (END + block(["20200101 000000 1.5", "20200101 000001 x"], "0"), 5, "expected a number"),
        (END + block(["20200101 000000 1.5", "20200101 000001"], "0"), 5, "found 2 columns, expected 3"),
        (END + block(["20200101 000000 1.5 2.5", "20200101 000001 1.5 2.5"], "0"), 3, "expected 2 of each"),
        (END + block(["20200101 000000-1234.567", "20200101 001-1234.567"], "0"), 5, "found 2 columns, expected 3"),
        (END + "SG00 1.0 1.0 0.0 0\n20200101 000000 1.5\n", 4, "no rows after 77777777"),
        ("prose\n", 1, "neither a line"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    with pytest.raises(DamagedFileError, match=reason) as caught:
        read_file(write(tmp_path, text))
    assert caught.value.line == line


def test_prose_of_another_name_is_another_format(tmp_path: Path) -> None:
    with pytest.raises(NotThisFormatError, match="tried table, tsoft, ggp, scintrex"):
        read_file(write(tmp_path, "prose about 77777777\n", "notes.txt"))


LEVEL_1 = """Filename            : IGETS-SG-SEC-su052-20160100.ggp
Station             : Sutherland, South Africa
Instrument          : GWR D052
Time Delay (sec)    :   8.1600 0.0050 measured
N. Latitude (deg)   : -32.3814 0.0001 measured
E. Longitude (deg)  :  20.8109 0.0001 measured
Elevation MSL (m)   : 1755.0000 1.0000 estimated
Gravity Cal (nm.s-2 / V) : -650.1000 0.5 measured
Pressure Cal (hPa / V)   : 1.0 0.1
Author              : nobody

yyyymmdd hhmmss gravity(V) pressure(hPa)
"""


def test_igets_seconds_in_volts(tmp_path: Path) -> None:
    rows = [
        f"20160101 {n // 60:>4d}{n % 60:02d}{-0.123456 - n * 1e-6:10.6f}{1013.25 + n:10.4f}" for n in range(100, 120)
    ]
    rows[5] = rows[5][:15] + "999.999999" + rows[5][25:]
    text = LEVEL_1 + END + "77777777 0.0 0.0\n" + "\n".join(rows) + "\n99999999\n"
    traces = read_file(write(tmp_path, text, "IGETS-SG-SEC-su052-20160100.ggp"))
    assert [(str(t.channel), t.npts, t.unit, t.decimals) for t in traces] == [
        ("XX.su052.--.LGZ", 5, "V", 6),
        ("XX.su052.--.LGZ", 14, "V", 6),
        ("XX.su052.--.LDO", 20, "hPa", 4),
    ]
    assert traces[0].values.tolist() == [-123_556 - n for n in range(5)]
    assert traces[0].start_ns == np.datetime64("2016-01-01T00:01:40", "ns").astype(np.int64)
    assert (traces[0].latitude, traces[0].longitude, traces[0].elevation) == (-32.3814, 20.8109, 1755.0)
    assert [(n.what, n.line, n.cure.split(" under")[0]) for n in traces[0].notes] == [
        (
            "the header states a gravity calibration of -650.1000 0.5 measured; it was not applied",
            8,
            "enter it as scale",
        ),
        ("the header states a pressure calibration of 1.0 0.1; it was not applied", 9, "enter it as scale"),
        ("the header states a time delay of 8.1600 0.0050 measured; it was not applied", 4, "enter it as time_delay_s"),
    ]


def test_igets_residuals_with_the_effects_beside_them(tmp_path: Path) -> None:
    titles = "yyyymmdd hhmmss   res_fil res_nofil     tides  rotation  atm_load     drift     g_fil     p_fil\n"
    values = "8.793     8.793  -241.013    -7.770   -13.137   210.372   -42.755     8.926"
    rows = "".join(f"20160101 {n * 100:6d} {values}\n" for n in range(5))
    traces = read_file(write(tmp_path, titles + "77777777\n" + rows, "IGETS-SG-RESMIN-mo034-1-201601r2.ggp"))
    assert [(str(t.channel), t.kind, t.unit, t.tide_applied) for t in traces] == [
        ("XX.mo034-1.00.UGZ", "gravity", "nm/s^2", True),
        ("XX.mo034-1.01.UGZ", "gravity", "nm/s^2", True),
        ("XX.mo034-1.--.tides", "other", None, False),
        ("XX.mo034-1.--.rotation", "other", None, False),
        ("XX.mo034-1.--.atm_load", "other", None, False),
        ("XX.mo034-1.--.drift", "other", None, False),
        ("XX.mo034-1.02.UGZ", "gravity", "nm/s^2", False),
        ("XX.mo034-1.--.UDO", "pressure", "hPa", False),
    ]
    assert [int(t.values[0]) for t in traces] == [8793, 8793, -241013, -7770, -13137, 210372, -42755, 8926]


def test_auxiliary_channels_are_neither_gravity_nor_pressure(tmp_path: Path) -> None:
    rows = [f"20200101 {n * 100:06d} 21.5 0.25" for n in range(3)]
    traces = read_file(write(tmp_path, END + block(rows, "0 0"), "IGETS-SG-AUX-bh044-20200100.aux"))
    assert [(str(t.channel), t.kind) for t in traces] == [("XX.bh044.00.UYO", "other"), ("XX.bh044.01.UYO", "other")]


def test_blanks_within_times_are_zeros(tmp_path: Path) -> None:
    rows = [f"2020 1 1 {n // 3600:2d}{n // 60 % 60:2d}{n % 60:2d} {n}.5" for n in range(3595, 3610)]
    (trace,) = read_file(write(tmp_path, END + block(rows)))
    assert trace.values.tolist() == [10 * n + 5 for n in range(3595, 3610)]
    assert trace.start_ns == np.datetime64("2020-01-01T00:59:55", "ns").astype(np.int64)


def test_damage_is_not_taken_for_fixed_columns(tmp_path: Path) -> None:
    rows = ["20200101 000000 15 7", "20200101    100 16", "20200101    200 17 9"]
    with pytest.raises(DamagedFileError, match="found 3 columns, expected 4") as caught:
        read_file(write(tmp_path, END + block(rows, "0 0")))
    assert caught.value.line == 5


def test_uneven_rows_are_not_joined_across_blocks(tmp_path: Path) -> None:
    seconds = np.cumsum(np.resize([58, 60, 62], 40))
    rows = [f"20200101 {s // 3600:02d}{s // 60 % 60:02d}{s % 60:02d} {s}.0" for s in seconds]
    path = write(tmp_path, END + block(rows[:20]) + block(rows[20:], "1000"))
    first, second = read_file(path)
    for trace, part, offset in ((first, seconds[:20], 0), (second, seconds[20:], 1000)):
        grid = (trace.start_ns - np.datetime64("2020-01-01", "ns").astype(np.int64)) / 1e9 + 60 * np.arange(trace.npts)
        assert trace.values == pytest.approx(grid + offset)
        assert part[0] - 1 <= grid[0] <= grid[-1] <= part[-1] + 1
    with pytest.raises(DamagedFileError, match="not evenly spaced"):
        read_file(path, ReadOptions(irregular="refuse"))


def test_rows_without_any_block(tmp_path: Path) -> None:
    rows = "19960728   3100  -3.20846  -1.23986\n19960728   3101  -3.20847  -1.23986\n"
    for text in (LEVEL_1 + END + rows, LEVEL_1 + rows, LEVEL_1 + END + rows + "99999999\n"):
        gravity, pressure = read_file(write(tmp_path, text, "IGETS-SG-SEC-su052-20160100.ggp"))
        assert (gravity.values.tolist(), gravity.unit, pressure.unit) == ([-320_846, -320_847], "V", "hPa")


def test_rows_behind_the_end_of_a_block_are_told(tmp_path: Path) -> None:
    text = END + block(["20200101 000000 1.5", "20200101 000001 1.5"]) + "20200101 000002 1.5\n88888888\n"
    (trace,) = read_file(write(tmp_path, text))
    assert trace.npts == 2
    assert (trace.notes[0].what, trace.notes[0].line) == (
        "1 rows stand behind the end of their block and were left out",
        7,
    )

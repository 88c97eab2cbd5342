"""GGP and IGETS files that a test writes."""

from __future__ import annotations

from pathlib import Path

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
        (END + "SG00 1.0 1.0 0.0 0\n20200101 000000 1.5\n", 4, "no rows after 77777777"),
        ("prose\n", 1, "neither a line"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    with pytest.raises(DamagedFileError, match=reason) as caught:
        read_file(write(tmp_path, text))
    assert caught.value.line == line


def test_prose_of_another_name_is_another_format(tmp_path: Path) -> None:
    with pytest.raises(NotThisFormatError, match="tried tsoft, ggp, waveform"):
        read_file(write(tmp_path, "prose about 77777777\n", "notes.txt"))

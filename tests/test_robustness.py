"""Bad input through the command line: the exit code, a message that helps, the good rest done, never a traceback."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import obspy
import pytest
import zarr

import gravdask as gravdask_package
from gravdask.cli import _code
from gravdask.grid import ORIGIN_NS, SECOND_NS
from gravdask.store.layout import channel_names, open_root, read_span, sub_array

START = "2024-01-01"
INTERVAL = 10
FIRST = (int(np.datetime64(START, "ns").astype(np.int64)) - ORIGIN_NS) // (INTERVAL * SECOND_NS)
GOOD = "XX.GOOD.00.VGZ"
BAD = "XX.BAD.00.VGZ"
HOUR = 360
COUNT = 48 * HOUR
FRAME = 256
SMALL = ("--serial", "--set", f"scattering.frame_samples={FRAME}", "--set", "fit.min_days=0.5")
NO_REPORT = ("--stages", "convert,noise,calibrate,scatter,fit,classify,interpret")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    def says(self, *words: str) -> None:
        """Every one of the words is somewhere in what was written, and no traceback is."""
        assert "Traceback" not in self.text
        missing = [w for w in words if w not in self.text]
        assert not missing, f"{missing} not in:\n{self.text}"


class Gravdask(Protocol):
    def __call__(self, *arguments: str | Path) -> Outcome: ...


@pytest.fixture
def gravdask(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gravdask:
    """Run a command in this process, as the entry point does; an exception that it lets through fails the test."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def command(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = _code([str(a) for a in arguments])
        return Outcome(code, *capsys.readouterr())

    return command


def write(
    path: Path, values: Any, start: str = START, name: str = GOOD, rate: float = 1 / INTERVAL, **options: Any
) -> Path:
    n, s, place, c = name.split(".")
    header = {"network": n, "station": s, "location": place, "channel": c, "sampling_rate": rate}
    trace = obspy.Trace(np.ascontiguousarray(values), {**header, "starttime": obspy.UTCDateTime(start)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace.write(str(path), format="MSEED", **options)
    return path


def noise(seed: int = 1, count: int = COUNT) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(count) * 1000).astype(np.int32)


def stored(store: Path, name: str, count: int, offset: int = 0) -> np.ndarray:
    array = sub_array(open_root(store), f"{name}/raw/record")
    return read_span(array, FIRST + offset, FIRST + offset + count)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two days of one good station in two files."""
    folder = tmp_path / "archive"
    values = noise()
    write(folder / "good-1.mseed", values[: len(values) // 2])
    write(folder / "good-2.mseed", values[len(values) // 2 :], "2024-01-02")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "out.zarr"


def good_is_whole(store: Path) -> None:
    assert np.array_equal(stored(store, GOOD, COUNT), noise())


# -------------------------------------------------------------------------------------------------------- bad files


def test_a_good_archive_ends_with_0_and_a_report(gravdask: Gravdask, archive: Path, store: Path) -> None:
    result = gravdask("run", archive, "-o", store, *SMALL)
    assert result.code == 0
    result.says("units done", "report: ", f"{GOOD}: no coordinates", "--stations")
    good_is_whole(store)
    assert store.with_name("out-report").joinpath("report.html").stat().st_size > 10_000


def truncated(path: Path) -> None:
    content = write(path, noise(2), name=BAD, reclen=4096, encoding="STEIM2").read_bytes()
    path.write_bytes(content[: len(content) - 1234])


def one_record_too_short(path: Path) -> None:
    content = write(path, noise(2), name=BAD, reclen=4096).read_bytes()
    path.write_bytes(content[:1000])


def garbled(path: Path) -> None:
    content = bytearray(write(path, noise(2), name=BAD, reclen=512, encoding="STEIM2").read_bytes())
    content[5 * 512 + 64 : 5 * 512 + 400] = b"\xa5" * 336
    path.write_bytes(bytes(content))


def zero_bytes(path: Path) -> None:
    path.write_bytes(b"")


def unreadable_tsf(path: Path) -> None:
    head = "[TSF-file] v01.0\n\n[UNDETVAL] 9999.999\n\n[TIMEFORMAT] DATETIME\n\n[INCREMENT] 60\n\n[CHANNELS]\n"
    rows = "2024 01 01 00 00 00 1.0\n2024 01 01 00 01 00 eleven\n2024 01 01 00 02 00 3.0\n"
    path.write_text(f"{head} S:I:Gravity\n\n[UNITS]\n nm/s^2\n\n[COUNTINFO] 3\n\n[DATA]\n{rows}")


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("cut.mseed", truncated, ("MiniSEED cut off", "bytes", "readable")),
        ("stub.mseed", one_record_too_short, ("MiniSEED cut off", "nothing is readable")),
        ("garbled.mseed", garbled, ()),
        ("empty.mseed", zero_bytes, ("is empty",)),
        ("rows.tsf", unreadable_tsf, ("line 19", "eleven", "expected a number")),
    ],
)
def test_a_damaged_file_is_listed_with_place_and_cure_and_the_rest_is_done(
    gravdask: Gravdask, archive: Path, store: Path, name: str, make: Any, words: tuple[str, ...]
) -> None:
    make(archive / name)
    result = gravdask("run", archive, "-o", store, *SMALL)
    assert result.code == 1, result.text
    result.says("quarantined: ", str(archive / name), *words)
    good_is_whole(store)
    lines = store.with_name("out-report").joinpath("quarantine.csv").read_text().splitlines()
    assert lines[0] == "where,line,what,cure"
    assert sum(str(archive / name) in line for line in lines) == 1
    (archive / name).unlink()
    assert gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT).code == 0


def test_what_to_do_about_a_damaged_file_is_told_with_it(gravdask: Gravdask, archive: Path, store: Path) -> None:
    truncated(archive / "cut.mseed")
    result = gravdask("run", archive, "-o", store, *SMALL)
    (line,) = (text for text in result.err.splitlines() if text.startswith("quarantined: "))
    assert "fetch the file again" in line


def test_a_damaged_file_is_told_of_by_convert_and_by_status(gravdask: Gravdask, archive: Path, store: Path) -> None:
    truncated(archive / "cut.mseed")
    result = gravdask("convert", archive, "-o", store, "--serial")
    status = gravdask("status", "-o", store)
    assert status.code == 0
    assert result.code == 1
    for said in (result, status):
        said.says("quarantined", str(archive / "cut.mseed"))


def test_prose_that_is_named_tsf_is_no_record_and_stops_nothing(gravdask: Gravdask, archive: Path, store: Path) -> None:
    (archive / "letter.tsf").write_text("Dear colleague,\nplease find the records of the meter in the other folder.\n")
    result = gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT)
    result.says()
    assert result.code in {0, 1}
    good_is_whole(store)
    scan = gravdask("scan", archive)
    assert scan.code == 0
    scan.says("letter.tsf")


def test_two_files_of_the_same_content_count_once(gravdask: Gravdask, archive: Path, store: Path) -> None:
    shutil.copy(archive / "good-1.mseed", archive / "copy of good-1.mseed")
    result = gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT)
    assert result.code == 0
    result.says()
    assert "other values" not in result.text
    good_is_whole(store)


def test_a_channel_whose_maker_died_before_it_was_described_is_made_by_the_next(
    gravdask: Gravdask, archive: Path, store: Path
) -> None:
    assert gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT).code == 0
    before = stored(store, GOOD, COUNT)
    about = store / GOOD / "raw" / "zarr.json"
    described = json.loads(about.read_text())
    about.write_text(json.dumps({**described, "attributes": {}}))
    assert gravdask("status", "-o", store).code == 0
    assert gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT).code == 0
    assert json.loads(about.read_text())["attributes"]["channel"] == described["attributes"]["channel"]
    np.testing.assert_array_equal(stored(store, GOOD, COUNT), before)


def test_when_the_earliest_file_is_removed_the_store_begins_where_the_data_do(
    gravdask: Gravdask, archive: Path, store: Path, tmp_path: Path
) -> None:
    early = write(archive / "early.mseed", noise(3), start="2019-06-15")
    assert gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT).code == 0
    early.unlink()
    limited = gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT, "--start", "2023-01-01")
    assert limited.code == 0
    tree = gravdask_package.open(store)
    assert str(tree[GOOD]["raw"].time.values[0])[:10] <= "2019-06-15"
    # What the run was not to touch is still there; the next one takes it out.
    options = json.loads((store / "ledger" / "options.json").read_text())
    assert "start" not in options["archive"]
    assert gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT).code == 0
    fresh = tmp_path / "fresh.zarr"
    assert gravdask("run", archive, "-o", fresh, *SMALL, *NO_REPORT).code == 0
    for stage in ("raw", "scattering"):
        grown, new = (gravdask_package.open(s)[GOOD][stage] for s in (store, fresh))
        np.testing.assert_array_equal(grown.time.values, new.time.values)
    assert gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT).text.count("up to date") > 3


def test_a_folder_named_as_a_file_is_walked_into(gravdask: Gravdask, archive: Path, store: Path) -> None:
    (archive / "x.mseed").mkdir()
    write(archive / "x.mseed" / "y", noise(4, HOUR), name=BAD)
    (archive / "nothing.mseed").mkdir()
    result = gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT)
    assert result.code == 0
    result.says()
    assert np.array_equal(stored(store, BAD, HOUR), noise(4, HOUR))
    good_is_whole(store)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_file_whose_name_is_not_utf8_is_listed(gravdask: Gravdask, archive: Path, store: Path, damaged: bool) -> None:
    """No table can hold the name: the file is set aside with the cure, and the rest goes on."""
    source = truncated(archive / "cut.mseed") if damaged else write(archive / "plain.mseed", noise(5, HOUR), name=BAD)
    os.rename(source or archive / "cut.mseed", os.path.join(os.fsencode(archive), b"Gravit\xe4t \xff.mseed"))
    result = gravdask("run", archive, "-o", store, *SMALL)
    assert result.code == 1
    result.says("quarantined: ", "its name is not UTF-8", "rename it")
    good_is_whole(store)


def test_a_broken_link_is_listed(gravdask: Gravdask, archive: Path, store: Path) -> None:
    (archive / "away.mseed").symlink_to(archive / "gone")
    (archive / "loop").symlink_to(archive)
    result = gravdask("run", archive, "-o", store, *SMALL)
    assert result.code == 1
    result.says("quarantined: ", str(archive / "away.mseed"))
    assert "repair or remove the link" in store.with_name("out-report").joinpath("quarantine.csv").read_text()
    good_is_whole(store)


def test_nothing_is_written_into_the_archive(gravdask: Gravdask, archive: Path, store: Path) -> None:
    """The archive may be read-only; permissions do not bind the superuser, so its content is compared as well."""

    def content() -> dict[str, str]:
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in archive.rglob("*") if p.is_file()}

    before = content()
    for path in (*archive.iterdir(), archive):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert gravdask("run", archive, "-o", store, *SMALL).code == 0
    finally:
        archive.chmod(0o755)
    assert content() == before


# ------------------------------------------------------------------------------------------------ strange but sound


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.array([7], np.int32), id="one sample"),
        pytest.param(np.full(COUNT, 42, np.int32), id="constant"),
        pytest.param(np.zeros(COUNT, np.int32), id="zero"),
        pytest.param(np.full(COUNT, np.nan, np.float32), id="all NaN"),
    ],
)
@pytest.mark.parametrize("units", [(), ("--units", "nm/s2")], ids=["counts", "acceleration"])
def test_a_record_without_any_signal_stops_nothing(
    gravdask: Gravdask, archive: Path, store: Path, values: np.ndarray, units: tuple[str, ...]
) -> None:
    encoding = "FLOAT32" if values.dtype.kind == "f" else "INT32"
    write(archive / "flat.mseed", values, name=BAD, encoding=encoding)
    result = gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT, *units)
    result.says("fit")
    assert result.code == 0
    good_is_whole(store)
    if np.isfinite(values.astype(float)).any():
        assert np.array_equal(stored(store, BAD, len(values)), values)
    classes = sub_array(open_root(store), f"{GOOD}/classes/component")
    component = read_span(classes, FIRST // FRAME - 1, (FIRST + COUNT) // FRAME + 2)
    assert (component >= 0).sum() > 30, "the good station is not classified because of the other one"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.full(COUNT, 42, np.int32), id="flat"),
        pytest.param(np.array([7], np.int32), id="one"),
    ],
)
def test_an_archive_of_nothing_but_a_flat_record_ends_without_a_model(
    gravdask: Gravdask, tmp_path: Path, store: Path, values: np.ndarray
) -> None:
    write(tmp_path / "flat" / "x.mseed", values, name=BAD)
    result = gravdask("run", tmp_path / "flat", "-o", store, *SMALL, "--units", "nm/s2")
    assert result.code == 0
    result.says("no model is fitted", "report: ")


def test_a_spike_of_1e30_is_kept_and_does_not_spoil_the_rest(gravdask: Gravdask, archive: Path, store: Path) -> None:
    values = noise(6).astype(np.float32)
    values[9_000] = 1e30
    write(archive / "spike.mseed", values, name=BAD, encoding="FLOAT32")
    result = gravdask("run", archive, "-o", store, *SMALL, "--units", "nm/s2")
    assert result.code == 0
    result.says("report: ")
    good_is_whole(store)
    assert np.array_equal(stored(store, BAD, len(values)), values)
    first, last = FIRST // FRAME + 1, (FIRST + COUNT) // FRAME
    component = read_span(sub_array(open_root(store), f"{GOOD}/classes/component"), first, last)
    assert (component >= 0).all()


def test_infinite_samples_are_missing(gravdask: Gravdask, archive: Path, store: Path) -> None:
    values = noise(6).astype(np.float64)
    values[100:110] = np.inf
    values[200] = -np.inf
    write(archive / "inf.mseed", values, name=BAD, encoding="FLOAT64")
    result = gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT, "--units", "nm/s2")
    assert result.code == 0
    result.says()
    found = stored(store, BAD, len(values))
    assert np.array_equal(np.isfinite(found), np.isfinite(values))


@pytest.mark.slow
def test_a_gap_of_seventy_years_costs_nothing(gravdask: Gravdask, tmp_path: Path, store: Path) -> None:
    archive = tmp_path / "gap"
    write(archive / "now.mseed", noise())
    write(archive / "then.mseed", noise(3), "1954-05-01")
    result = gravdask("run", archive, "-o", store, *SMALL)
    assert result.code == 0
    result.says("report: ")
    good_is_whole(store)
    assert sum(p.stat().st_size for p in store.rglob("*") if p.is_file()) < 20e6


@pytest.mark.parametrize(
    "year",
    [pytest.param("1949-12-31"), "2149-12-31", pytest.param("2200-01-01")],
)
def test_times_at_and_beyond_the_ends_of_the_grid(gravdask: Gravdask, archive: Path, store: Path, year: str) -> None:
    """What lies outside the years that the store covers is refused with the reason, not lost or wrapped around."""
    write(archive / "far.mseed", noise(7, HOUR), year, name=BAD)
    result = gravdask("run", archive, "-o", store, *SMALL)
    result.says()
    good_is_whole(store)
    if year.startswith("2149"):
        assert result.code == 0
        offset = (int(np.datetime64(year, "ns").astype(np.int64)) - ORIGIN_NS) // (INTERVAL * SECOND_NS) - FIRST
        assert np.array_equal(stored(store, BAD, HOUR, offset), noise(7, HOUR))
    else:
        result.says("far.mseed")
        assert result.code == 1


def test_a_rate_that_does_not_divide_the_day_is_left_out_with_the_reason(
    gravdask: Gravdask, archive: Path, store: Path
) -> None:
    write(archive / "odd.mseed", noise(7, HOUR), name=BAD, rate=1 / 7)
    result = gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT)
    assert result.code in {0, 1}
    result.says(BAD, "left out", "no whole number of samples into a day")
    assert channel_names(open_root(store)) == [GOOD]


def test_only_such_a_rate_is_an_error_that_says_so(gravdask: Gravdask, tmp_path: Path, store: Path) -> None:
    write(tmp_path / "odd" / "odd.mseed", noise(7, HOUR), name=BAD, rate=1 / 7)
    result = gravdask("run", tmp_path / "odd", "-o", store, *SMALL)
    assert channel_names(open_root(store)) == []
    result.says("no whole number of samples into a day")


def test_an_unknown_unit_is_refused_before_anything_is_made(gravdask: Gravdask, archive: Path, store: Path) -> None:
    result = gravdask("run", archive, "-o", store, *SMALL, "--units", "furlong")
    assert result.code == 2
    result.says("archive.units", "furlong", "mGal")
    assert not (store / GOOD).exists()


def test_an_unknown_unit_in_a_file_leaves_its_numbers_as_they_are(
    gravdask: Gravdask, archive: Path, store: Path
) -> None:
    head = "[TSF-file] v01.0\n\n[UNDETVAL] 9999.999\n\n[TIMEFORMAT] DATETIME\n\n[INCREMENT] 60\n\n[CHANNELS]\n"
    rows = "".join(f"2024 01 01 00 {m:02d} 00 {m}.5\n" for m in range(60))
    text = f"{head} S:I:Gravity\n\n[UNITS]\n furlong\n\n[COUNTINFO] 60\n\n[DATA]\n{rows}"
    (archive / "units.tsf").write_text(text)
    result = gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT)
    assert result.code in {0, 1}
    result.says("furlong")
    (name,) = set(channel_names(open_root(store))) - {GOOD}
    array = sub_array(open_root(store), f"{name}/raw/record")
    assert read_span(array, FIRST // 6, FIRST // 6 + 60).tolist() == [10 * m + 5 for m in range(60)]


# ------------------------------------------------------------------------------------- archive, stations, catalogue


def test_an_empty_archive(gravdask: Gravdask, tmp_path: Path, store: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = gravdask("run", tmp_path / "empty", "-o", store, *SMALL)
    assert result.code == 2
    result.says(str(tmp_path / "empty"), "no record", "check the path")


def test_an_archive_that_is_not_there(gravdask: Gravdask, tmp_path: Path, store: Path) -> None:
    result = gravdask("run", tmp_path / "nowhere", "-o", store, *SMALL)
    assert result.code == 2
    result.says(str(tmp_path / "nowhere"), "no such file or folder")
    assert not store.exists()


def test_no_archive_at_all(gravdask: Gravdask, store: Path) -> None:
    result = gravdask("run", "-o", store, *SMALL)
    assert result.code == 2
    result.says("no archive is named", "archive.paths")
    assert not store.exists()


def test_an_archive_of_nothing_but_damage_says_which(gravdask: Gravdask, tmp_path: Path, store: Path) -> None:
    (tmp_path / "bad").mkdir()
    truncated(tmp_path / "bad" / "cut.mseed")
    result = gravdask("run", tmp_path / "bad", "-o", store, *SMALL)
    assert result.code == 2
    result.says("no record", "cut.mseed", "cut off", "check the path")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("station,latitude,longitude\nGOOD,133.98,16.79\n", ("line 2", "latitude 133.98", "-90 to 90", "swapped")),
        ("station,latitude,longitude\nGOOD,north,16.79\n", ("line 2", "latitude 'north' is no number")),
        ("station,latitude,longitude\nGOOD,3,500\n", ("line 2", "longitude 500.0", "-180 to 360")),
        ("a;b;c\n1;2;3\n", ("expected a header", "station, latitude, longitude")),
        ("", ("expected a header",)),
    ],
)
def test_a_wrong_table_of_stations_names_line_and_value(
    gravdask: Gravdask, archive: Path, store: Path, text: str, words: tuple[str, ...]
) -> None:
    table = archive.parent / "stations.csv"
    table.write_text(text)
    result = gravdask("run", archive, "-o", store, *SMALL, "--stations", table)
    assert result.code == 2
    result.says(str(table), *words)
    assert not (store / GOOD).exists()


def test_a_table_of_stations_that_is_not_there(gravdask: Gravdask, archive: Path, store: Path) -> None:
    result = gravdask("run", archive, "-o", store, *SMALL, "--stations", archive / "st.csv")
    assert result.code == 2
    result.says(str(archive / "st.csv"), "check the path")


COMCAT = "time,latitude,longitude,depth,mag,magType,id,place\n"


def test_a_broken_row_of_the_catalogue_is_listed_with_its_line(gravdask: Gravdask, archive: Path, store: Path) -> None:
    catalogue, stations = archive.parent / "cat.csv", archive.parent / "st.csv"
    stations.write_text("station,latitude,longitude,elevation\nGOOD,30,100,500\n")
    rows = [
        "2024-01-01T03:00:00.000Z,30,110,10,7.0,mww,us1,somewhere\n",
        "yesterday,30,110,10,7.0,mww,us2,somewhere\n",
        "2024-01-01T06:00:00.000Z,30,110,10,6.9,mww,us3,somewhere\n",
    ]
    catalogue.write_text(COMCAT + "".join(rows))
    result = gravdask("run", archive, "-o", store, *SMALL, "--catalog", catalogue, "--stations", stations)
    assert result.code == 1
    result.says(f"quarantined: {catalogue}, line 3", "yesterday")
    listed = store.with_name("out-report").joinpath("quarantine.csv").read_text()
    assert "the event is left out" in listed
    events = store.with_name("out-report").joinpath("events.csv").read_text()
    assert "us1" in events
    assert "us3" in events


def test_a_row_of_the_catalogue_that_was_removed_is_no_longer_listed(
    gravdask: Gravdask, archive: Path, store: Path
) -> None:
    catalogue = archive.parent / "cat.csv"
    good = COMCAT + "2024-01-01T03:00:00.000Z,30,110,10,7.0,mww,us1,somewhere\n"
    catalogue.write_text(good + "yesterday,30,110,10,7.0,mww,us2,somewhere\n")
    assert gravdask("run", archive, "-o", store, *SMALL, "--catalog", catalogue).code == 1
    catalogue.write_text(good)
    assert gravdask("run", archive, "-o", store, *SMALL, "--catalog", catalogue).code == 0


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"<html><body>404 not found</body></html>", "no QuakeML"),
        (b"Dear colleague,\nthe catalogue follows.\n", "no earthquake catalogue of a known form"),
        (b"", "is empty"),
        (bytes(range(256)), "no earthquake catalogue of a known form"),
    ],
    ids=["web page", "prose", "empty", "binary"],
)
def test_a_catalogue_that_is_none_is_an_error_that_says_what_is_expected(
    gravdask: Gravdask, archive: Path, store: Path, content: bytes, word: str
) -> None:
    catalogue = archive.parent / "cat.csv"
    catalogue.write_bytes(content)
    result = gravdask("run", archive, "-o", store, *SMALL, "--catalog", catalogue)
    assert result.code == 2
    result.says(str(catalogue), word, "expected USGS ComCat CSV")


def test_a_catalogue_that_is_none_is_found_out_before_the_work(gravdask: Gravdask, archive: Path, store: Path) -> None:
    result = gravdask("run", archive, "-o", store, *SMALL, "--catalog", archive / "no.csv")
    assert result.code == 2
    result.says(str(archive / "no.csv"), "check the path")
    assert not (store / GOOD / "scattering").exists()


def test_a_station_without_coordinates_is_measured_and_classified_but_not_tested(
    gravdask: Gravdask, archive: Path, store: Path
) -> None:
    catalogue = archive.parent / "cat.csv"
    catalogue.write_text(COMCAT + "2024-01-01T03:00:00.000Z,30,110,10,7.0,mww,us1,somewhere\n")
    result = gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT, "--units", "nm/s2", "--catalog", catalogue)
    assert result.code == 0
    result.says(f"{GOOD}: no coordinates", "no component was tested for association", "--stations")
    group: Any = open_root(store)["interpretation/10s"]
    assert not any("co-seismic" in label for label in group.attrs["label"])


# -------------------------------------------------------------------------------------------- configuration and store


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[scattering]\npoling = 'mean'\n", ("unknown key 'scattering.poling'", "did you mean 'pooling'")),
        ("[scatering]\npooling = 'mean'\n", ("unknown key 'scatering'", "did you mean 'scattering'")),
        ("[fit]\nn_components = 'seven'\n", ("fit.n_components = 'seven'", "integer")),
        ("[fit]\nmin_days = -1\n", ("fit.min_days = -1", "greater than 0")),
        ("[scattering]\nframe_samples = 1000\n", ("scattering.frame_samples = 1000", "power of two")),
        ("[archive]\nclock = '+8'\n", ("archive.clock = '+8'", "+08:00")),
        ("[archive]\nstart = 'last week'\n", ("archive.start", "ISO 8601")),
        ("fit = 3\n", ("fit = 3",)),
        ("[fit\n", ("not a TOML file",)),
    ],
)
def test_a_wrong_configuration_names_key_value_and_what_is_allowed(
    gravdask: Gravdask, archive: Path, store: Path, text: str, words: tuple[str, ...]
) -> None:
    file = archive.parent / "gravdask.toml"
    file.write_text(text)
    result = gravdask("run", archive, "-c", file, "-o", store, "--serial")
    assert result.code == 2
    result.says(str(file), *words)
    assert not store.exists()


def test_a_foreign_folder_is_not_written_into(gravdask: Gravdask, archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.txt").write_text("Once upon a time")
    result = gravdask("run", archive, "-o", folder, *SMALL)
    assert result.code == 2
    result.says(str(folder), "not a gravdask store", "name a new folder")
    assert [p.name for p in folder.iterdir()] == ["chapter1.txt"]


def test_another_programs_zarr_store_is_not_written_into(gravdask: Gravdask, archive: Path, store: Path) -> None:
    zarr.open_group(store, mode="w").attrs["title"] = "sea level"
    before = sorted(p.name for p in store.rglob("*"))
    result = gravdask("run", archive, "-o", store, *SMALL)
    assert result.code == 2
    result.says(str(store))
    assert sorted(p.name for p in store.rglob("*")) == before


def test_a_file_in_the_place_of_the_store(gravdask: Gravdask, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = gravdask("run", archive, "-o", tmp_path / "file", *SMALL)
    assert result.code in {2, 3}
    result.says(str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("command", ["run", "status", "plan"])
def test_a_store_of_a_later_schema_is_not_touched(gravdask: Gravdask, archive: Path, store: Path, command: str) -> None:
    zarr.open_group(store, mode="w").attrs["gravdask_schema"] = 99
    arguments = () if command == "status" else (archive,)
    result = gravdask(command, *arguments, "-o", store)
    assert result.code == 2
    result.says(str(store), "99", "newer")
    assert [p.name for p in store.iterdir()] == ["zarr.json"]


def test_status_of_no_store(gravdask: Gravdask, store: Path) -> None:
    result = gravdask("status", "-o", store)
    assert result.code == 2
    result.says(str(store), "no gravdask store is here", "gravdask run")


def hold(store: Path, *, age_s: float = 0.0, pid: int | None = None, host: str | None = None) -> Path:
    """Put a lease of another client on everything into a store."""
    claim = {
        "id": uuid.uuid4().hex,
        "time": time.time() - 3600,
        "host": host or socket.gethostname(),
        "pid": pid or os.getppid(),
        "channels": ["*"],
        "stages": ["convert", "noise"],
        "part": [0, 1],
    }
    path = store / "ledger" / "leases" / f"{claim['id']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(claim))
    os.utime(path, (time.time() - age_s, time.time() - age_s))
    return path


def test_a_second_client_is_refused_and_told_who_works(gravdask: Gravdask, archive: Path, store: Path) -> None:
    assert gravdask("convert", archive, "-o", store, "--serial").code == 0
    lease = hold(store)
    result = gravdask("run", archive, "-o", store, *SMALL)
    assert result.code == 4
    result.says(f"process {os.getppid()}", socket.gethostname(), "since", "UTC", "wait for it")
    assert lease.exists()
    assert not (store / GOOD / "noise").exists()
    # Other stages are free.
    assert gravdask("scatter", "-o", store, *SMALL).code == 0


@pytest.mark.parametrize(
    "dead", [{"age_s": 3600.0, "host": "elsewhere"}, {"pid": 2**22 + 1}], ids=["no heartbeat", "no such process"]
)
def test_a_dead_clients_lease_holds_nobody_up(
    gravdask: Gravdask, archive: Path, store: Path, dead: dict[str, Any]
) -> None:
    assert gravdask("convert", archive, "-o", store, "--serial").code == 0
    lease = hold(store, **dead)
    assert gravdask("run", archive, "-o", store, *SMALL, *NO_REPORT).code == 0
    assert not lease.exists()


def test_a_damaged_lease_of_nobody_does_not_end_in_a_traceback(gravdask: Gravdask, archive: Path, store: Path) -> None:
    assert gravdask("convert", archive, "-o", store, "--serial").code == 0
    (store / "ledger" / "leases" / "broken.json").write_text("{}")
    gravdask("noise", "-o", store, "--serial").says()


@pytest.mark.parametrize("which", [0, 1], ids=["what was begun", "what was done"])
def test_a_damaged_ledger_is_named_set_aside_and_its_units_done_again(
    gravdask: Gravdask, archive: Path, store: Path, which: int
) -> None:
    assert gravdask("convert", archive, "-o", store, "--serial").code == 0
    segment = sorted((store / "ledger" / "convert").glob("*.jsonl"))[which]
    segment.write_bytes(segment.read_bytes()[:-40])
    gravdask("status", "-o", store).says(segment.name, "damaged ledger object")
    result = gravdask("convert", archive, "-o", store, "--serial")
    assert result.code == 0
    result.says(segment.name, "damaged ledger object", "done again", "nothing to do" if which == 0 else "1 units done")
    assert not segment.exists()
    good_is_whole(store)
    assert "damaged" not in gravdask("convert", archive, "-o", store, "--serial").text
    good_is_whole(store)


def test_a_damaged_index_is_made_again(gravdask: Gravdask, archive: Path, store: Path) -> None:
    assert gravdask("convert", archive, "-o", store, "--serial").code == 0
    assert "whole chunks" not in gravdask("status", "-o", store).text
    (store / "ledger" / "index.parquet").write_bytes(b"PAR1 rubbish")
    gravdask("status", "-o", store).says("note: ", "index.parquet", "what is available is told in whole chunks")
    result = gravdask("convert", archive, "-o", store, "--serial")
    assert result.code == 0
    result.says("scanning anew", "nothing to do")


@pytest.mark.parametrize("damage", ["flipped", "cut", "removed"])
def test_a_damaged_chunk_of_the_record_is_an_error_of_that_channel(
    gravdask: Gravdask, archive: Path, store: Path, damage: str
) -> None:
    """A shard that is cut or gone is made again; one that bit-rot changed is a finding of its units, not the end."""
    write(archive / "other.mseed", noise(9), name=BAD)
    options = ("-o", store, *SMALL, "--units", "nm/s2")
    assert gravdask("run", archive, *options, "--stages", "convert").code == 0
    (shard,) = (p for p in (store / BAD / "raw" / "record" / "c").rglob("*") if p.is_file())
    content = shard.read_bytes()
    if damage == "removed":
        shard.unlink()
    else:
        shard.write_bytes(content[:5000] + (bytes(len(content) - 5000) if damage == "flipped" else b""))
    result = gravdask("run", archive, *options)
    result.says("report: ")
    good_is_whole(store)
    if damage == "flipped":
        assert result.code == 1
        result.says("quarantined: ", BAD)
    else:
        assert result.code == 0
        result.says("1 shards are gone from the store, or not as they were written")
        assert shard.read_bytes() == content
    component = sub_array(open_root(store), f"{GOOD}/classes/component")
    assert (read_span(component, FIRST // FRAME, (FIRST + COUNT) // FRAME) >= 0).sum() > 30

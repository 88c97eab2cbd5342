"""Catalogue readers: real files against counts and values taken from them by other means, and broken files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from gravdask.catalog import read_catalog
from gravdask.errors import CatalogError

USGS_HEADER = "time,latitude,longitude,depth,mag,magType,nst,gap,dmin,rms,net,id,updated,place,type\n"
TOHOKU = (
    "2011-03-11T05:46:24.120Z,38.297,142.373,29,9.1,mww,541,9.5,,1.16,official,toh,2022-11-10T01:14:56.446Z,"
    '"Tohoku, Japan",earthquake\n'
)
LATER = "2012-01-01T05:27:55.980Z,31.456,138.072,365.3,6.8,mww,,,,,us,izu,2022-11-10T01:14:56.446Z,Izu,earthquake\n"
ISC_PARTS = (
    "eventID,Agency,year,month,day,hour,minute,second,longitude,latitude,depth,magnitude\n"
    "16461282,ISC-GEM,2011,3,11,5,46,23.15,142.5460,38.2850,20.00,9.09\n"
    "1,ISC-GEM,2011,12,31,23,59,60.00,190.0,-5.5,,6.00\n"
)
ISC_PUBLISHED = (
    "# ISC-GEM Global Instrumental Earthquake Catalogue\n#\n"
    "#     date          ,    lat     ,     lon     , smajax, depth  , unc ,q,  mw  , unc ,q, eventid\n"
    "2011-03-11 05:46:23.15 ,  38.2850 ,   142.5460 , 7.1 ,  20.0, 5.0 ,A, 9.09 , 0.20,A, 16461282\n"
)
TOHOKU_NS = 1_299_822_384_120_000_000
COLUMNS = ["event_id", "time_ns", "latitude", "longitude", "depth_km", "magnitude", "magnitude_type", "place"]


def write(tmp_path: Path, text: str | bytes, name: str = "events.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.real
@pytest.mark.parametrize(
    "name",
    [
        "isc_gem_v3_2009-2012.csv",
        "usgs_eastasia_m4_2018-2023.csv",
        "usgs_global_m5_2013-2023.csv",
        "usgs_global_m6_1900-2023.csv",
        "usgs_japan_to_20110311.csv",
    ],
)
def test_real_tables_are_read_whole(real_data: Path, name: str) -> None:
    path = real_data / "catalogs" / name
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    catalog = read_catalog(path)
    lost = [row for row in rows if not row["depth"].strip()]
    assert len(catalog.events) == len(rows)
    assert len(catalog.problems) == len(lost)
    assert all(problem.cure == "10 km is assumed" for problem in catalog.problems)
    assert list(catalog.events.columns) == COLUMNS
    times = catalog.events["time_ns"].to_numpy()
    assert (np.diff(times) >= 0).all()
    magnitudes = sorted(float(row.get("mag") or row["magnitude"]) for row in rows)
    assert sorted(catalog.events["magnitude"]) == pytest.approx(magnitudes)
    if "time" in rows[0]:
        stamps = sorted(np.datetime64(row["time"].removesuffix("Z"), "ns").astype(np.int64) for row in rows)
        np.testing.assert_array_equal(times, stamps)


@pytest.mark.real
def test_tohoku_is_where_it_was_in_every_catalogue(real_data: Path) -> None:
    folder = real_data / "catalogs"
    for name, magnitude, second in (
        ("usgs_japan_to_20110311.csv", 9.1, 24.12),
        ("usgs_global_m6_1900-2023.csv", 9.1, 24.12),
        ("isc_gem_v3_2009-2012.csv", 9.09, 23.15),
        ("quakeml_tohoku_with_big_aftershocks.xml", 9.1, 23.2),
    ):
        events = read_catalog(folder / name).events
        event = events[(events["magnitude"] > 9) & (abs(events["time_ns"] - TOHOKU_NS) < 10e9)]
        assert len(event) == 1, name
        assert event["time_ns"].iloc[0] == TOHOKU_NS + round((second - 24.12) * 1000) * 10**6
        assert event["magnitude"].iloc[0] == magnitude
        assert abs(event["latitude"].iloc[0] - 38.3) < 0.1
        assert abs(event["longitude"].iloc[0] - 142.45) < 0.1


@pytest.mark.real
def test_missing_depths_are_named_by_line(real_data: Path) -> None:
    path = real_data / "catalogs" / "usgs_global_m6_1900-2023.csv"
    catalog = read_catalog(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(catalog.problems) == 54
    assert all(lines[problem.line - 1].split(",")[3] == "" for problem in catalog.problems if problem.line)


@pytest.mark.real
def test_gcmt_quakeml(real_data: Path) -> None:
    path = real_data / "catalogs" / "gcmt_big_quakeml.xml"
    catalog = read_catalog(path)
    assert len(catalog.events) == path.read_text().count("<event ") == 192
    assert catalog.problems == []
    assert set(catalog.events["magnitude_type"]) == {"Mw"}
    assert catalog.events["magnitude"].min() == 6.9
    assert set(catalog.events["place"].str.len() > 3) == {True}


@pytest.mark.real
@pytest.mark.slow
def test_ndk_gives_the_hypocentre_not_the_centroid(real_data: Path) -> None:
    path = real_data / "catalogs" / "gcmt_2014.ndk"
    events = read_catalog(path).events
    assert len(events) == len(path.read_text().splitlines()) // 5
    iquique = events.loc[events["magnitude"].idxmax()]
    assert iquique["event_id"] == "C201404012346A"
    assert iquique["time_ns"] == np.datetime64("2014-04-01T23:46:47.3", "ns").astype(np.int64)
    assert (iquique["latitude"], iquique["longitude"], iquique["depth_km"]) == (-19.61, -70.77, 25.0)


def test_usgs_row(tmp_path: Path) -> None:
    catalog = read_catalog(write(tmp_path, USGS_HEADER + LATER + TOHOKU))
    assert catalog.problems == []
    assert catalog.events["event_id"].tolist() == ["toh", "izu"]
    first = catalog.events.iloc[0]
    assert first["time_ns"] == TOHOKU_NS
    assert (first["latitude"], first["longitude"], first["depth_km"], first["magnitude"]) == (38.297, 142.373, 29, 9.1)
    assert (first["magnitude_type"], first["place"]) == ("mww", "Tohoku, Japan")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_mark(tmp_path: Path, newline: str, mark: bytes) -> None:
    text = (USGS_HEADER + TOHOKU + LATER).replace("\n", newline)
    catalog = read_catalog(write(tmp_path, mark + text.encode()))
    assert catalog.events["event_id"].tolist() == ["toh", "izu"]
    assert catalog.problems == []


def test_isc_gem_variants_agree(tmp_path: Path) -> None:
    parts = read_catalog(write(tmp_path, ISC_PARTS, "parts.csv"))
    published = read_catalog(write(tmp_path, ISC_PUBLISHED, "published.csv"))
    assert parts.events.iloc[:1].equals(published.events)
    assert published.events["time_ns"].iloc[0] == np.datetime64("2011-03-11T05:46:23.15", "ns").astype(np.int64)
    late = parts.events.iloc[1]
    assert late["time_ns"] == np.datetime64("2012-01-01T00:00:00", "ns").astype(np.int64)
    assert late["longitude"] == -170.0
    assert late["depth_km"] == 10.0
    assert [(problem.line, problem.cure) for problem in parts.problems] == [(3, "10 km is assumed")]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (
            TOHOKU.replace("2011-03-11T05:46:24.120Z", "11/03/2011 05:46", 1),
            "time '11/03/2011 05:46' is not",
        ),
        (TOHOKU.replace("2011-03-11T", "2011-13-11T", 1), "is not of the form"),
        (TOHOKU.replace("2011-03-11T", "0011-03-11T", 1), "year 11 lies outside 1700 to 2260"),
        (TOHOKU.replace("38.297", "98.297"), "latitude 98.297 lies outside -90 to 90 degrees"),
        (TOHOKU.replace("142.373", "x"), "longitude 'x' is not a number"),
        (TOHOKU.replace(",29,", ",29000,"), "depth 29000 lies outside -10 to 800 km"),
        (TOHOKU.replace(",9.1,", ",nan,"), "magnitude nan lies outside"),
        (TOHOKU.replace(",9.1,", ",,"), "event toh has no magnitude"),
        (TOHOKU.replace(",toh,", ", ,"), "no event id in column 'id'"),
        (TOHOKU.replace('"Tohoku, Japan"', "Tohoku, Japan"), "16 values where the header has 15 columns"),
        (TOHOKU.replace('Japan"', "Japan"), "14 values where the header has 15 columns"),
        ("2011-03-11T05:46\n", "1 values where the header has 15 columns"),
    ],
)
def test_a_broken_row_is_listed_and_the_rest_is_read(tmp_path: Path, row: str, what: str) -> None:
    path = write(tmp_path, USGS_HEADER + row + LATER)
    catalog = read_catalog(path)
    assert catalog.events["event_id"].tolist() == ["izu"]
    (problem,) = catalog.problems
    assert (problem.path, problem.line) == (str(path), 2)
    assert what in problem.what
    assert "left out" in problem.cure


def test_repeated_events_headers_and_empty_lines(tmp_path: Path) -> None:
    changed = TOHOKU.replace("9.1", "8.9")
    catalog = read_catalog(write(tmp_path, USGS_HEADER + TOHOKU + "\n" + USGS_HEADER + TOHOKU + changed))
    assert catalog.events["magnitude"].tolist() == [9.1]
    assert [problem.line for problem in catalog.problems] == [6]
    assert "occurs again with other values" in catalog.problems[0].what


def test_digest_depends_on_events_only(tmp_path: Path) -> None:
    one = read_catalog(write(tmp_path, USGS_HEADER + TOHOKU + LATER, "one.csv"))
    two = read_catalog(write(tmp_path, USGS_HEADER + LATER + "broken\n" + TOHOKU, "two.csv"))
    other = read_catalog(write(tmp_path, USGS_HEADER + LATER + TOHOKU.replace("38.297", "38.298"), "three.csv"))
    assert one.digest == two.digest
    assert one.events.equals(two.events)
    assert one.digest != other.digest
    assert len(one.digest) == 64


def test_a_catalogue_without_events_is_one(tmp_path: Path) -> None:
    catalog = read_catalog(write(tmp_path, USGS_HEADER))
    assert catalog.events.empty
    assert list(catalog.events.columns) == COLUMNS
    assert catalog.events["time_ns"].dtype == np.int64


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"name,lat\nx,1\n", "no earthquake catalogue of a known form; its first line is 'name,lat'"),
        (b"# only\n# comments\n", "no earthquake catalogue"),
        (bytes(range(256)), "no earthquake catalogue"),
        (b"<html><body>504 quakeml</body></html>", "markup that is no QuakeML"),
        (b"PDEW 2014/04/01 01:59:44.3 -34.84 -108.71  10.0 0.0 4.7 SOUTHERN\nrubbish\n", "broken or cut off"),
        (b'<q:quakeml xmlns:q="http://quakeml.org/xmlns/quakeml/1.2"><eventParameters', "broken or cut off"),
    ],
)
def test_a_file_of_no_known_form_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(CatalogError) as caught:
        read_catalog(path)
    assert what in str(caught.value)
    assert str(path) in str(caught.value)
    assert "USGS ComCat CSV" in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be opened"):
        read_catalog(tmp_path / "none.csv")


@pytest.mark.real
def test_broken_quakeml_events_are_listed(real_data: Path, tmp_path: Path) -> None:
    text = (real_data / "catalogs" / "quakeml_tohoku_with_big_aftershocks.xml").read_text()
    whole = read_catalog(real_data / "catalogs" / "quakeml_tohoku_with_big_aftershocks.xml")
    assert whole.problems == []
    assert "3279407" in whole.events["event_id"].tolist()
    no_place = text.replace("<value>38.2963</value>", "<value>abc</value>")
    catalog = read_catalog(write(tmp_path, no_place, "a.xml"))
    assert len(catalog.events) == len(whole.events) - 1
    (problem,) = catalog.problems
    assert problem.what == "event 3279407: its origin has no coordinates"
    assert "eventid=3279407" in no_place.splitlines()[(problem.line or 0) - 1]
    no_depth = text.replace("<value>19700.0</value>", "<value></value>")
    catalog = read_catalog(write(tmp_path, no_depth, "b.xml"))
    assert len(catalog.events) == len(whole.events)
    assert catalog.events.set_index("event_id").loc["3279407", "depth_km"] == 10.0
    assert [problem.cure for problem in catalog.problems] == ["10 km is assumed"]

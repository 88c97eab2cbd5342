"""Station tables, their precedence and their errors."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy import UTCDateTime
from obspy.core.inventory import Channel, Inventory, Network, Response, Station
from obspy.core.inventory.response import InstrumentSensitivity

from gravdask.archive import ChannelId, ChannelMetadata, StationTable, Trace
from gravdask.archive.epochs import Ranked, sweep, uncovered
from gravdask.archive.stations import StationEntry, distance_km
from gravdask.errors import StationError
from gravdask.grid import Rate

LHZ = ChannelId("IU", "ANMO", "00", "LHZ")


def csv(folder: Path, text: str) -> Path:
    path = folder / "stations.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "network,station,latitude,longitude,elevation\nIU,ANMO,34.9459,-106.4572,1850\n",
        "Station;Lat;Lon;Height (m)\nIU.ANMO;34.9459;-106.4572;1850\n",
        "# made by hand\nsta\tlat\tlong\televation\nANMO\t34.9459\t253.5428\t1850\n\n# end\n",
        "#Network | Station | Latitude | Longitude | Elevation | Site\nIU|ANMO|34.9459|-106.4572|1850|New Mexico, US\n",
        '\ufeff"STATION","LATITUDE","LONGITUDE","ELEV"\n"ANMO","34.9459","-106.4572","1850"\n',
    ],
)
def test_csv_dialects(tmp_path: Path, text: str) -> None:
    found = StationTable.from_csv(csv(tmp_path, text)).lookup(LHZ)
    assert found is not None
    assert (found.latitude, found.elevation) == (34.9459, 1850.0)
    assert found.longitude == pytest.approx(-106.4572, abs=1e-9)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("A,north,7", r"line 3: latitude 'north' is no number"),
        ('A,"48,1",7', r"line 3: latitude '48,1' is no number \(write a decimal point\)"),
        ("A,116.79,33.98", r"line 3: latitude 116.79 lies outside -90 to 90; latitude and longitude may be swapped"),
        ("A,33,400", r"line 3: longitude 400.0 lies outside"),
        ("A,33", r"line 3: longitude '' is no number"),
        (",33,7", r"line 3: station ''"),
        ("A B,33,7", r"line 3: station 'A B'"),
        ("A,nan,7", r"line 3: latitude 'nan'"),
        ("A" * 200_000 + ",1,2", r"line 3: 'A+' is no row of a table: field larger than"),
        ("A,95,7", r"line 3: latitude 95.0 lies outside -90 to 90; latitude and longitude may be swapped"),
    ],
)
def test_csv_rows_in_error_are_named(tmp_path: Path, row: str, reason: str) -> None:
    path = csv(tmp_path, f"station,latitude,longitude\nGOOD,1,2\n{row}\n")
    with pytest.raises(StationError, match=reason) as caught:
        StationTable.from_csv(path)
    assert str(path) in str(caught.value)


def test_csv_all_wrong_rows_are_named_up_to_five(tmp_path: Path) -> None:
    text = "station,latitude,longitude\n" + "A,x,1\n" * 8
    with pytest.raises(StationError, match=r"line 2: .*line 6: .*and 3 more"):
        StationTable.from_csv(csv(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "found nothing, expected a header"),
        ("ap046 -105.8 32.7\n", "expected a header"),
        ("station,latitude\nA,1\n", "expected a header"),
        ("station,latitude,longitude\n", "holds no stations"),
    ],
)
def test_csv_without_header_or_rows(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StationError, match=reason):
        StationTable.from_csv(csv(tmp_path, text))


def test_csv_missing_or_in_another_code_page(tmp_path: Path) -> None:
    with pytest.raises(StationError, match="cannot be read"):
        StationTable.from_csv(tmp_path / "absent.csv")
    path = csv(tmp_path, "")
    path.write_bytes("station,latitude,longitude,site\nA,1,2,中国".encode("gbk"))
    with pytest.raises(StationError, match="save it as UTF-8"):
        StationTable.from_csv(path)


def entry(network: str | None, location: str | None, code: str | None, latitude: float, **more: object) -> StationEntry:
    return StationEntry(network, "ANMO", location, code, ChannelMetadata(latitude, 0.0, **more))  # type: ignore[arg-type]


def test_most_specific_entry_wins_and_equals_in_order() -> None:
    table = StationTable(
        [
            entry(None, None, None, 1),
            entry("IU", None, None, 2),
            entry("IU", "00", "LHZ", 3),
            entry("IU", "00", "LHZ", 4),
        ]
    )
    assert [
        table.lookup(c).latitude for c in (LHZ, ChannelId("IU", "ANMO", "10", "LHZ"), ChannelId("G", "ANMO", "", "X"))
    ] == [
        3,
        2,
        1,
    ]
    assert table.lookup(ChannelId("IU", "OTHER", "00", "LHZ")) is None
    assert table.codes == ("ANMO",)


def test_another_network_is_no_match_unless_the_record_has_none() -> None:
    table = StationTable([entry("IU", None, None, 1)])
    assert table.lookup(ChannelId("GR", "ANMO", "", "LHZ")) is None
    assert table.lookup(ChannelId("XX", "ANMO", "", "LHZ")).latitude == 1
    apart = table + StationTable([entry("YR", None, None, 9)])
    with pytest.raises(StationError, match=r"exists in the networks IU and YR|exists in the networks YR and IU"):
        apart.lookup(ChannelId("XX", "ANMO", "", "LHZ"))
    assert apart.lookup(LHZ).latitude == 1


def test_epochs() -> None:
    table = StationTable(
        [entry("IU", None, None, 1, start_ns=0, end_ns=10), entry("IU", None, None, 2, start_ns=10, end_ns=None)]
    )
    assert [table.lookup(LHZ, t).latitude for t in (0, 9, 10, 99)] == [1, 1, 2, 2]
    assert table.lookup(LHZ, -1) is None
    assert table.lookup(LHZ).latitude == 2
    assert table.conflicts() == []


def test_coordinates_and_sensitivity_may_come_from_different_entries() -> None:
    gain = StationEntry("IU", "ANMO", None, None, ChannelMetadata(sensitivity=5.0, input_unit="m/s**2"))
    found = StationTable([gain, entry("IU", "00", "LHZ", 3)]).lookup(LHZ)
    assert (found.latitude, found.sensitivity, found.is_acceleration) == (3, 5.0, True)
    assert ChannelMetadata(input_unit="M/S").is_acceleration is False
    assert ChannelMetadata().is_acceleration is None


def test_conflicts_beyond_one_kilometre() -> None:
    near, far = entry("IU", None, None, 1.008), entry("IU", "00", "LHZ", 1.02)
    table = StationTable(
        [entry("IU", None, None, 1.0), near, far, entry("IU", "00", "LH1", 1.02), entry("G", None, None, 50)]
    )
    conflicts = table.conflicts()
    assert [str(c.second) for c in conflicts] == ["IU.ANMO.00.LHZ", "IU.ANMO.00.LHZ"]
    assert conflicts[0].distance_km == pytest.approx(2.22, abs=0.01)
    assert "lie 2.2 km apart" in str(conflicts[0])


@pytest.mark.parametrize(
    ("first", "second", "used"),
    [
        (entry("IU", None, None, 1.0), entry("IU", None, None, 2.0), "former"),
        (entry("IU", None, None, 1.0), entry("IU", "00", "LHZ", 2.0), "latter"),
        (entry("IU", "00", None, 1.0), entry(None, None, None, 2.0), "former"),
        (entry("IU", None, None, 1.0, source="a"), entry("IU", None, None, 2.0, source="b", start_ns=5), "former"),
        (entry("IU", None, None, 1.0, source="a"), entry("IU", None, None, 2.0, source="a", start_ns=5), "latter"),
    ],
)
def test_a_conflict_says_which_is_used(first: StationEntry, second: StationEntry, used: str) -> None:
    table = StationTable([first, second])
    (conflict,) = table.conflicts()
    assert f"km apart; where both fit the {used} is used; correct one of them" in str(conflict)
    assert conflict.used is (first if used == "former" else second)
    (both,) = [s for s in table.places(LHZ) if s.outdone]
    assert both.value is conflict.used.metadata


def test_distance_against_a_published_pair() -> None:
    # Berlin to Tokyo, great circle on the sphere of 6371 km: 8917.5 km (haversine, widely tabulated)
    berlin, tokyo = ChannelMetadata(52.5166, 13.3833), ChannelMetadata(35.6833, 139.7667)
    assert distance_km(berlin, tokyo) == pytest.approx(8917.5, abs=5)


def test_headers_of_files() -> None:
    trace = Trace(LHZ, Rate(1, 1), 0, 1, None, "int32", latitude=1.0, longitude=2.0, elevation=3.0)
    bare = Trace(LHZ, Rate(1, 1), 0, 1, None, "int32")
    table = StationTable.from_traces([bare, trace, trace])
    assert len(table) == 1
    assert table.lookup(LHZ).longitude == 2.0


def test_stationxml_round_trip(tmp_path: Path) -> None:
    gain = InstrumentSensitivity(2.5e9, 1.0, "M/S**2", "COUNTS")
    epoch = {"start_date": UTCDateTime(2010, 1, 1), "end_date": UTCDateTime(2599, 12, 31)}
    channel = Channel("LGZ", "", 1.5, 2.5, 30.0, 0.0, response=Response(instrument_sensitivity=gain), **epoch)
    station = Station("ABC", 1.4, 2.4, 20.0, channels=[channel], creation_date=UTCDateTime(2010, 1, 1), **epoch)
    Inventory([Network("N1", stations=[station])], source="test").write(str(tmp_path / "a[1].xml"), format="STATIONXML")
    table = StationTable.from_stationxml(tmp_path / "a[1].xml")
    found = table.lookup(ChannelId("N1", "ABC", "", "LGZ"), UTCDateTime(2020, 1, 1).ns)
    assert (found.latitude, found.longitude, found.elevation) == (1.5, 2.5, 30.0)
    assert (found.sensitivity, found.input_unit, found.is_acceleration) == (2.5e9, "M/S**2", True)
    assert (found.start_ns, found.end_ns) == (UTCDateTime(2010, 1, 1).ns, None)
    assert table.lookup(ChannelId("N1", "ABC", "", "LDO")).latitude == 1.4
    assert table.lookup(ChannelId("N1", "ABC", "", "LGZ"), UTCDateTime(2000, 1, 1).ns) is None


def test_damaged_stationxml(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    for text in ("", "<FDSNStationXML>", '<?xml version="1.0"?><other/>'):
        path.write_text(text)
        with pytest.raises(StationError, match="cannot be read as StationXML"):
            StationTable.from_stationxml(path)


# --- epochs -----------------------------------------------------------------------------------------------------------


def test_a_table_may_give_epochs(tmp_path: Path) -> None:
    text = (
        "network,station,latitude,longitude,start,end\n"
        "IU,ANMO,1,0,,2000-10-19T16:00:00\nIU,ANMO,2,0,2000-10-19 16:00:00Z,2010\nIU,ANMO,3,0,2010-01-01,2599-12-31\n"
    )
    table = StationTable.from_csv(csv(tmp_path, text))
    times = [UTCDateTime(t).ns for t in ("1990-01-01", "2000-10-19T15:59:59", "2000-10-19T16:00:00", "2020-01-01")]
    assert [table.lookup(LHZ, t).latitude for t in times] == [1, 1, 2, 3]
    assert table.lookup(LHZ).latitude == 3
    assert table.conflicts() == []
    assert [(s.value.latitude, s.end_ns) for s in table.places(LHZ)] == [
        (1, UTCDateTime(2000, 10, 19, 16).ns),
        (2, UTCDateTime(2010, 1, 1).ns),
        (3, 2**63 - 1),
    ]


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ("last year,", "line 2: start 'last year' is no time; expected an ISO 8601 UTC time"),
        ("2020-01-01T00:00+08:00,", "line 2: start .* is no time"),
        ("2020-01-01,2019-01-01", "line 2: start 2020-01-01 is not before end 2019-01-01"),
    ],
)
def test_epochs_in_error_are_named(tmp_path: Path, times: str, reason: str) -> None:
    path = csv(tmp_path, f"station,latitude,longitude,start,end\nA,1,2,{times}\n")
    with pytest.raises(StationError, match=reason):
        StationTable.from_csv(path)


def test_stretches_of_gains_say_what_they_outdo() -> None:
    def gain(value: float, source: str, start: int | None, end: int | None, code: str | None = "LHZ") -> StationEntry:
        about = ChannelMetadata(sensitivity=value, input_unit="M/S", source=source, start_ns=start, end_ns=end)
        return StationEntry("IU", "ANMO", "00", code, about)

    table = StationTable(
        [gain(1, "a", 0, 10), gain(2, "a", 8, 20), gain(3, "b", 0, 30), gain(4, "b", None, None, None)]
    )
    found = [(s.start_ns, s.end_ns, s.value.sensitivity, [o.sensitivity for o in s.outdone]) for s in table.gains(LHZ)]
    first, last = -(2**63), 2**63 - 1
    assert found == [
        (first, 0, 4, []),
        (0, 8, 1, [3, 4]),
        (8, 10, 2, [1, 3, 4]),
        (10, 20, 2, [3, 4]),
        (20, 30, 3, [4]),
        (30, last, 4, []),
    ]


@settings(max_examples=150, deadline=None)
@given(
    spans=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 5)), max_size=8),
)
def test_sweeping_against_every_single_time(spans: list[tuple[int, int, int]]) -> None:
    items = [Ranked(start, end, (rank, -n), n) for n, (start, end, rank) in enumerate(spans)]
    stretches = sweep(items)
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(stretches))
    for time in range(-1, 32):
        order = sorted((i for i in items if i.start_ns <= time < i.end_ns), key=lambda i: i.rank, reverse=True)
        found = [s for s in stretches if s.start_ns <= time < s.end_ns]
        assert [[s.value, *s.outdone] for s in found] == ([[i.value for i in order]] if order else [])
    holes = uncovered([(a, b) for a, b, _ in spans if a < b], 0, 30)
    assert {t for a, b in holes for t in range(a, b)} == {
        t for t in range(30) if not any(a <= t < b for a, b, _ in spans)
    }


def test_files_are_told_apart_by_their_contents(tmp_path: Path) -> None:
    xml = tmp_path / "stations.txt"
    Inventory([Network("N1", stations=[Station("ABC", 1.4, 2.4, 20.0)])], source="x").write(str(xml), "STATIONXML")
    assert StationTable.from_file(xml).lookup(ChannelId("N1", "ABC", "", "LGZ")).latitude == 1.4
    assert StationTable.from_file(csv(tmp_path, "station,latitude,longitude\nABC,5,6\n")).codes == ("ABC",)
    broken = tmp_path / "broken.xml"
    broken.write_text("<html>404 not found</html>")
    with pytest.raises(StationError, match=r"cannot be read as StationXML: .*; fetch it again"):
        StationTable.from_file(broken)


def test_a_latitude_of_95_in_stationxml_is_refused_with_its_value(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    Inventory([Network("N1", stations=[Station("ABC", 85.0, 2.4, 20.0)])], source="x").write(str(path), "STATIONXML")
    path.write_text(path.read_text().replace("85.0", "95.0"))
    with pytest.raises(StationError, match=r"a\.xml: cannot be read as StationXML: .*95"):
        StationTable.from_file(path)

"""Station tables, their precedence and their errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from obspy import UTCDateTime
from obspy.core.inventory import Channel, Inventory, Network, Response, Station
from obspy.core.inventory.response import InstrumentSensitivity

from gravdask.archive import ChannelId, ChannelMetadata, StationTable, Trace
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
        ("A,north,7", r"row 3: latitude 'north' is no number"),
        ('A,"48,1",7', r"row 3: latitude '48,1' is no number \(write a decimal point\)"),
        ("A,116.79,33.98", r"row 3: latitude 116.79 lies outside -90 to 90; latitude and longitude may be swapped"),
        ("A,33,400", r"row 3: longitude 400.0 lies outside"),
        ("A,33", r"row 3: longitude '' is no number"),
        (",33,7", r"row 3: station ''"),
        ("A B,33,7", r"row 3: station 'A B'"),
        ("A,nan,7", r"row 3: latitude 'nan'"),
    ],
)
def test_csv_rows_in_error_are_named(tmp_path: Path, row: str, reason: str) -> None:
    path = csv(tmp_path, f"station,latitude,longitude\nGOOD,1,2\n{row}\n")
    with pytest.raises(StationError, match=reason) as caught:
        StationTable.from_csv(path)
    assert str(path) in str(caught.value)


def test_csv_all_wrong_rows_are_named_up_to_five(tmp_path: Path) -> None:
    text = "station,latitude,longitude\n" + "A,x,1\n" * 8
    with pytest.raises(StationError, match=r"row 2: .*row 6: .*and 3 more"):
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

"""Names that the files leave unsaid."""

from __future__ import annotations

from pathlib import Path

import pytest

from gravdask.archive.naming import (
    band_code,
    kind_of,
    kind_of_code,
    known_station,
    station_from_name,
    station_from_regex,
)
from gravdask.errors import ReadError
from gravdask.grid import Rate


@pytest.mark.parametrize(
    ("name", "station"),
    [
        ("20210607_334append.part1.tsf", "334append"),
        ("CB_20210607.tsf", "CB"),
        ("CB_2021-06-07.tsf", "CB"),
        ("CB-2021-06.tsf", "CB"),
        ("CB_2021.tsf", "CB"),
        ("cb2021158.tsf", "cb"),
        ("AP100100.GGP", "AP"),
        ("123456.tsf", "123456"),
        ("g 12.tsf", "g_12"),
        ("20210607.tsf", "Folder_1"),
        ("2021.tsf", "2021"),
    ],
)
def test_station_from_name(name: str, station: str) -> None:
    assert station_from_name(Path("/data/Folder 1", name)) == station


@pytest.mark.parametrize(
    ("name", "codes", "station"),
    [
        ("20210607_334append.part1.tsf", ("334",), "334"),
        ("20210607_1334append.tsf", ("334",), None),
        ("xABCD1.tsf", ("ABCD",), None),
        ("ABCD1.tsf", ("AB", "ABCD"), "ABCD"),
        ("12_AB-1.tsf", ("AB", "AB-1"), "AB-1"),
        ("ab_2021.tsf", ("AB",), "AB"),
        ("ab_2021.tsf", ("",), None),
    ],
)
def test_known_station_stands_between_changes_of_class(name: str, codes: tuple[str, ...], station: str | None) -> None:
    assert known_station(Path(name), codes) == station


def test_station_pattern() -> None:
    assert station_from_regex(Path("a_GZ12.tsf"), r"_(?P<station>\w+)\.") == "GZ12"
    for pattern, reason in (
        (r"(", "no regular expression"),
        (r"a", "no group"),
        (r"(?P<station>Q+)", "finds no station"),
    ):
        with pytest.raises(ReadError, match=reason):
            station_from_regex(Path("a_GZ12.tsf"), pattern)


def test_bands_and_kinds() -> None:
    rates = [Rate(100, 1), Rate(1, 1), Rate(1, 10), Rate(1, 60), Rate(1, 3600)]
    assert [band_code(rate) for rate in rates] == ["L", "L", "V", "U", "R"]
    assert {kind_of(u) for u in ("nm/s^2", "nm/s2", "uGal", "µGal", "mGal", "Gal", "m/s**2", "m s-2")} == {"gravity"}
    assert {kind_of(u) for u in ("hPa", "mbar", "kPa")} == {"pressure"}
    assert [kind_of("V", "Gravity"), kind_of(None, "Baro-1"), kind_of("degC", "T")] == ["gravity", "pressure", "other"]
    assert [kind_of_code(c) for c in ("LGZ", "LDO", "LHZ", "G")] == ["gravity", "pressure", "seismic", "seismic"]

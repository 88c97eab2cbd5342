"""Units: every spelling met in archives, and a helpful refusal of the rest."""

from __future__ import annotations

import pytest

from gravdask.errors import UnitsError
from gravdask.preprocess.units import Unit, parse_unit


@pytest.mark.parametrize(
    ("text", "kind", "factor"),
    [
        ("m/s2", "acceleration", 1e9),
        ("m/s^2", "acceleration", 1e9),
        ("m/s**2", "acceleration", 1e9),
        ("M/S**2", "acceleration", 1e9),
        ("m s-2", "acceleration", 1e9),
        ("m s⁻²", "acceleration", 1e9),
        ("m/s²", "acceleration", 1e9),
        ("M/S/S", "acceleration", 1e9),
        ("m·s-2", "acceleration", 1e9),
        (" nm/s^2 ", "acceleration", 1.0),
        ("[nm/s**2]", "acceleration", 1.0),
        ("nm/s2", "acceleration", 1.0),
        ("NM/S**2", "acceleration", 1.0),
        ("um/s2", "acceleration", 1e3),
        ("mm/s2", "acceleration", 1e6),
        ("cm/s2", "acceleration", 1e7),
        ("µGal", "acceleration", 10.0),
        ("\u03bcGal", "acceleration", 10.0),
        ("uGal", "acceleration", 10.0),
        ("microgal", "acceleration", 10.0),
        ("microGals", "acceleration", 10.0),
        ("micro Gal", "acceleration", 10.0),
        ("milliGal", "acceleration", 1e4),
        ("nanoGal", "acceleration", 1e-2),
        ("mGal", "acceleration", 1e4),
        ("mGals", "acceleration", 1e4),
        ("GAL", "acceleration", 1e7),
        ("nGal", "acceleration", 1e-2),
        ("m/s", "velocity", 1e9),
        ("M/S", "velocity", 1e9),
        ("nm/s", "velocity", 1.0),
        ("um s-1", "velocity", 1e3),
        ("hPa", "pressure", 1.0),
        ("mbar", "pressure", 1.0),
        ("PA", "pressure", 1e-2),
        ("kPa", "pressure", 10.0),
        ("bar", "pressure", 1e3),
        ("counts", "counts", 1.0),
        ("COUNT", "counts", 1.0),
        ("V", "counts", 1.0),
    ],
)
def test_spellings(text: str, kind: str, factor: float) -> None:
    unit = parse_unit(text)
    assert (unit.kind, unit.factor) == (kind, factor)


@pytest.mark.parametrize(
    "text", ["", "m", "nm", "furlong", "m/s3", "Ts", "gal/s", "degC", "hectopascal?", "megagal", "micro", "km2/s2", "s"]
)
def test_unknown_units_are_refused_with_the_list(text: str) -> None:
    with pytest.raises(UnitsError, match=r"unknown unit.*known are.*µGal.*hPa.*counts"):
        parse_unit(text)


def test_a_gal_is_a_centimetre_per_second_squared() -> None:
    assert parse_unit("Gal").factor == parse_unit("cm/s2").factor
    assert parse_unit("mGal").factor == 10 * parse_unit("um/s2").factor


def test_spellings_of_one_unit_compare_equal() -> None:
    assert parse_unit("uGal") == parse_unit("µgal") == parse_unit("microGal") == Unit("µGal", "acceleration", 10.0)
    assert parse_unit("M/S**2") == parse_unit("m s⁻²") == Unit("m s⁻²", "acceleration", 1e9)

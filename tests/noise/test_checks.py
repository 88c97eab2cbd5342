"""Only an acceleration has a noise magnitude; the refusal says why."""

from __future__ import annotations

import pytest

from gravdask.errors import NotAccelerationError, UnitsError
from gravdask.noise.checks import require_acceleration
from gravdask.preprocess.units import parse_unit


def test_accelerations_pass_with_their_factor() -> None:
    assert require_acceleration("mGal") == 1e4
    assert require_acceleration(parse_unit("m/s^2")) == 1e9


@pytest.mark.parametrize(
    ("unit", "match"),
    [
        ("m/s", "flat sensitivity is not enough.*corner.*full instrument response"),
        ("counts", "IU.ANMO.00.LHZ.*counts.*StationXML"),
        ("hPa", "pressure"),
        (None, "unit is not known"),
    ],
)
def test_all_else_is_refused(unit: str | None, match: str) -> None:
    with pytest.raises(NotAccelerationError, match=match):
        require_acceleration(unit, "IU.ANMO.00.LHZ")


def test_an_unknown_unit_is_another_error() -> None:
    with pytest.raises(UnitsError):
        require_acceleration("furlong")

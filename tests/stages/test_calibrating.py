"""Units that cannot be those of a channel are not used, and who contradicts whom is told."""

from __future__ import annotations

import pytest

from gravdask.archive.stations import ChannelMetadata, StationEntry, StationTable
from gravdask.config.channels import ChannelConfig
from gravdask.grid import Rate
from gravdask.preprocess.units import parse_unit
from gravdask.stages.archive import describe
from gravdask.stages.placement import ChannelPlan, Placement
from gravdask.stages.stated import Stated


def plan_of(code: str, kind: str, unit: str, stated: Stated | None = None) -> ChannelPlan:
    """A day at 1 Hz."""
    return ChannelPlan(
        name=f"XX.A.--.{code}", rate=Rate(1, 1), phases=[(0, 0)], dtype="int32", decimals=0, kind=kind, units=(unit,),
        location=(None, None, None), placements=[Placement("a", "d", 0, 2_000_000_000, 86_400)],
        stated=stated or Stated(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [("LHZ", "seismic", "seismometer"), ("HNE", "seismic", "seismometer"), ("LGZ", "gravity", "gravimeter")],
)
@pytest.mark.parametrize("unit", ["hPa", "mbar"])
def test_a_unit_of_pressure_is_not_that_of_a_seismometer(code: str, kind: str, word: str, unit: str) -> None:
    channel, notes = describe(plan_of(code, kind, unit), StationTable())
    (note,) = [n for n in notes if "unit conflict" in n]
    assert note.startswith(f"XX.A.--.{code}: unit conflict: archive.units (--units) or its files state {unit}, a unit")
    assert f"by its code it is a {word}" in note
    assert (channel.kind, channel.quantity, channel.source_unit) == (kind, "counts", "counts")


def test_the_metadata_are_used_instead() -> None:
    entry = StationEntry("XX", "A", "", "LHZ", ChannelMetadata(sensitivity=1e9, input_unit="M/S", source="a.xml"))
    channel, notes = describe(plan_of("LHZ", "seismic", "hPa"), StationTable([entry]))
    assert channel.quantity == "velocity"
    assert channel.calibrations[0].factor == 1.0
    assert not [n for n in notes if "not used; if they are counts" in n]


@pytest.mark.parametrize(("code", "kind"), [("PRS", "seismic"), ("LDO", "pressure"), ("LYO", "other")])
def test_channels_that_may_be_barometers_take_it(code: str, kind: str) -> None:
    channel, notes = describe(plan_of(code, kind, "hPa"), StationTable())
    assert (channel.kind, channel.quantity) == ("pressure", "pressure")
    assert not [n for n in notes if "unit conflict" in n]


@pytest.mark.parametrize("entry", [{"kind": "pressure"}, {"unit": "hPa"}])
def test_who_states_it_of_the_channel_means_it(entry: dict[str, str]) -> None:
    stated = Stated((ChannelConfig.model_validate({"pattern": "XX.A.--.LHZ", **entry}),))
    channel, notes = describe(plan_of("LHZ", "seismic", "hPa", stated), StationTable())
    assert channel.quantity == "pressure"
    assert not [n for n in notes if "unit conflict" in n]


def test_units_of_motion_are_taken() -> None:
    for unit, quantity in (("mGal", "acceleration"), ("m/s", "velocity"), ("counts", "counts")):
        channel, notes = describe(plan_of("LHZ", "seismic", unit), StationTable())
        assert channel.quantity == quantity
        assert not [n for n in notes if "unit conflict" in n]


@pytest.mark.parametrize(
    ("code", "kind", "files", "person", "words"),
    [
        ("LDO", "pressure", "hPa", "nm/s^2", "its files state hPa, [[archive.channels]] XX.A.--.LDO states nm s⁻²"),
        ("LGZ", "gravity", "mGal", "hPa", "its files or archive.units state mGal, "),
        ("LHZ", "seismic", "m/s", "m/s2", "state m s⁻¹, [[archive.channels]] XX.A.--.LHZ states m s⁻²"),
        ("LGZ", "gravity", "mGal", "uGal", "state mGal, [[archive.channels]] XX.A.--.LGZ states µGal"),
    ],
)
def test_a_person_who_contradicts_the_files_is_believed_and_told(
    code: str, kind: str, files: str, person: str, words: str
) -> None:
    stated = Stated((ChannelConfig.model_validate({"pattern": f"XX.A.--.{code}", "unit": person}),))
    channel, notes = describe(plan_of(code, kind, files, stated), StationTable())
    (note,) = [n for n in notes if "unit conflict" in n]
    assert words in note
    assert "; the latter is taken; " in note
    meant = parse_unit(person)
    assert (channel.quantity, channel.calibrations[0].factor) == (meant.kind, meant.factor)


@pytest.mark.parametrize(
    ("files", "more"),
    [("nm/s2", {}), ("counts", {}), ("mGal", {"end": "2000-01-01"}), ("mGal", {"end": "1990-01-01"})],
)
def test_what_is_the_same_or_of_another_time_is_no_contradiction(files: str, more: dict[str, str]) -> None:
    entry = ChannelConfig.model_validate({"pattern": "XX.A.--.LGZ", "unit": "nm/s^2", **more})
    _, notes = describe(plan_of("LGZ", "gravity", files, Stated((entry,))), StationTable())
    assert not [n for n in notes if "unit conflict" in n]


def test_a_person_who_contradicts_the_metadata_is_told_too() -> None:
    about = ChannelMetadata(sensitivity=1e9, input_unit="M/S", source="x/a.xml")
    stated = Stated((ChannelConfig.model_validate({"pattern": "XX.A.--.LHZ", "unit": "nm/s2"}),))
    table = StationTable([StationEntry("XX", "A", "", "LHZ", about)])
    channel, notes = describe(plan_of("LHZ", "seismic", "", stated), table)
    (note,) = [n for n in notes if "unit conflict" in n]
    assert "its metadata (a.xml) state m s⁻¹, [[archive.channels]] XX.A.--.LHZ states nm s⁻²; the latter" in note
    assert (channel.quantity, channel.calibrations[0].factor) == ("acceleration", 1.0)

"""Which channels a run is about, and which enter the model."""

from __future__ import annotations

import random

import pytest

from gravdask.grid import Rate
from gravdask.stages.channels import Channel
from gravdask.stages.selection import matches, model_channels

NAME = "XX.334.--.UGZ"


def channel(name: str, kind: str = "seismic", rate: Rate | None = None) -> Channel:
    return Channel(
        name=name, rate=rate or Rate(1, 1), phases=((0, 0),), dtype="int32", decimals=0, kind=kind,
        quantity="counts", source_unit="counts", latitude=None, longitude=None, elevation=None, calibrations=(),
        pressure="", extent=(0, 1),
    )  # fmt: skip


@pytest.mark.parametrize(
    "pattern", ["*", "334", "3*", "33?", "XX.334", "XX.*", "*.334", NAME, "*.UGZ", "XX.334.*", "[X]X.*"]
)
def test_patterns_of_all_three_forms_match(pattern: str) -> None:
    assert matches(NAME, [pattern])


@pytest.mark.parametrize("pattern", ["33", "335", "xx.334", "XX", "UGZ", "XX.33", "XX.334.--", "XX.334.--.ugz", ""])
def test_other_patterns_do_not(pattern: str) -> None:
    assert not matches(NAME, [pattern])


def test_any_of_several_patterns_is_enough() -> None:
    assert matches(NAME, ("335", "XX.334"))
    assert not matches(NAME, ())


def test_a_second_rate_is_matched_by_its_station_and_its_own_name() -> None:
    assert matches("XX.334.--.UGZ@60s", ["334"])
    assert matches("XX.334.--.UGZ@60s", ["*@60s"])
    assert not matches("XX.334.--.UGZ@60s", ["XX.334.--.UGZ"])


CHANNELS = [
    channel("AU.A.00.LHZ"),
    channel("AU.A.00.LHN"),
    channel("AU.A.10.LHZ"),
    channel("AU.A.--.LDO", "pressure"),
    channel("AU.B.10.LHE"),
    channel("AU.B.00.LHE"),
    channel("AU.B.20.LHZ"),
    channel("AU.C.10.UGZ", "gravity"),
    channel("AU.C.00.LHZ"),
    channel("AU.D.00.LHN"),
    channel("AU.D.00.LHE"),
    channel("AU.E.00.XYZ", "other"),
    channel("AU.F.00.LHZ@60s", rate=Rate(1, 60)),
    channel("AU.F.00.LHN@60s", rate=Rate(1, 60)),
    channel("AU.F.00.LHZ"),
]


@pytest.mark.parametrize("seed", range(5))
def test_one_channel_a_station_and_rate_whatever_their_order(seed: int) -> None:
    shuffled = random.Random(seed).sample(CHANNELS, len(CHANNELS))
    assert [c.name for c in model_channels(shuffled, "vertical")] == [
        "AU.A.00.LHZ",  # vertical, lowest location
        "AU.B.20.LHZ",  # vertical counts more than the location
        "AU.C.10.UGZ",  # gravity counts more than both
        "AU.D.00.LHE",  # no vertical: the first by name
        "AU.F.00.LHZ",
        "AU.F.00.LHZ@60s",  # a second rate is a model of its own
    ]


def test_all_channels_of_ground_motion() -> None:
    chosen = [c.name for c in model_channels(reversed(CHANNELS), "all")]
    assert chosen == sorted(c.name for c in CHANNELS if c.kind in {"gravity", "seismic"})

"""Records are believed while their shards are there: what is listed, what is asked again, what counts as lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gravdask.store.ledger import Record
from gravdask.store.place import Place
from gravdask.store.presence import WITNESS, Presence

CHANNEL = "XX.A.--.UGZ"
FULL = {
    "convert": Record("convert", CHANNEL, 12, "f", "done", content={"3": "d"}),
    "noise": Record("noise", CHANNEL, 12, "f", "done", info={"days": 3}),
    "scatter": Record("scatter", CHANNEL, 12, "f", "done", info={"frames": 3}),
    "classify": Record("classify", CHANNEL, 12, "f", "done", info={"frames": 3}),
}


def shard(place: Place, stage: str, unit: int = 12) -> Place:
    tail = "/0" if stage == "scatter" else ""
    return place / CHANNEL / WITNESS[stage] / f"c/{unit}{tail}"


@pytest.mark.parametrize("stage", list(FULL))
def test_a_shard_that_is_there_is_not_missed(place: Place, stage: str) -> None:
    shard(place, stage).write(b"values")
    assert not Presence(place).lacks(FULL[stage])


@pytest.mark.parametrize("stage", list(FULL))
def test_a_shard_that_is_gone_is(place: Place, stage: str) -> None:
    shard(place, stage, 1).write(b"values")
    shard(place, stage, 120).write(b"values")
    presence = Presence(place)
    assert presence.lacks(FULL[stage])
    (note,) = presence.notes()
    assert note.startswith("1 shards are gone from the store, or not as they were written, and are made again: ")
    assert note.endswith(f"{CHANNEL}/{WITNESS[stage]} unit 12")
    assert presence.notes() == []


def test_an_empty_file_is_no_shard(place: Place) -> None:
    """What is left of a file that was not on the disk yet when the power failed."""
    shard(place, "convert").write(b"")
    assert Presence(place).lacks(FULL["convert"])


@pytest.mark.parametrize("stage", list(FULL))
def test_a_shard_of_another_size_is_not_the_one_that_was_written(place: Place, stage: str) -> None:
    record = replace(FULL[stage], info=FULL[stage].info | {"bytes": 6})
    shard(place, stage).write(b"val")
    presence = Presence(place)
    assert presence.lacks(record)
    shard(place, stage).write(b"values")
    assert not presence.lacks(record)
    assert not Presence(place).lacks(record)
    assert Presence(place).lacks(replace(record, info=record.info | {"bytes": 7}))
    assert not Presence(place).lacks(replace(record, info=record.info | {"bytes": None}))


def test_a_shard_that_was_written_after_the_listing_counts(place: Place) -> None:
    presence = Presence(place)
    assert presence.lacks(FULL["convert"])
    assert presence.lacks(FULL["scatter"])
    for stage in ("convert", "scatter"):
        shard(place, stage).write(b"values")
        assert not presence.lacks(FULL[stage])


def test_what_holds_nothing_cannot_be_lost(place: Place) -> None:
    presence = Presence(place)
    nothing = [
        replace(FULL["convert"], status="empty", content={}),
        replace(FULL["convert"], content={}),
        replace(FULL["noise"], info={"days": 0}),
        replace(FULL["scatter"], info={}),
        replace(FULL["classify"], status="begun"),
        Record("calibrate", CHANNEL, -1, "f", "done", info={"drift": 1.0}),
        Record("fit", "1Hz", 0, "f", "done"),
    ]
    assert [presence.lacks(r) for r in nothing] == [False] * len(nothing)


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place.of(tmp_path)
    for unit in range(30):
        shard(place, "convert", unit).write(b"values")
    walked = []
    real = Place.walk
    monkeypatch.setattr(Place, "walk", lambda self: walked.append(str(self)) or real(self))
    presence = Presence(place)
    assert not any(presence.lacks(replace(FULL["convert"], unit=unit)) for unit in range(30))
    assert len(walked) == 1


def test_what_was_told_is_not_told_again(place: Place) -> None:
    """A large plan is made twice, and looks twice."""
    presence = Presence(place)
    for unit in (5, 1, 70_000, 5, 3, 2, 1):
        assert presence.lacks(replace(FULL["convert"], unit=unit))
    (note,) = presence.notes()
    assert note.startswith("5 shards are gone")
    assert note.endswith(
        f"{CHANNEL}/raw/record unit 5, {CHANNEL}/raw/record unit 1, {CHANNEL}/raw/record unit 70000 and 2 more"
    )
    assert presence.lacks(replace(FULL["convert"], unit=5))
    assert presence.notes() == []
    assert presence.lacks(replace(FULL["noise"], unit=5))
    assert presence.notes()[0].startswith("1 shards are gone")


@pytest.mark.parametrize("units", [[3, 1, 2], [12], list(range(40, 0, -1))])
def test_every_unit_has_its_own_size(place: Place, units: list[int]) -> None:
    for unit in units:
        shard(place, "convert", unit).write(b"x" * unit)
    shard(place, "scatter", units[0]).write(b"y")
    presence = Presence(place)
    for unit in range(50):
        stated = replace(FULL["convert"], unit=unit, info={"bytes": unit})
        assert presence.lacks(stated) == (unit not in units)

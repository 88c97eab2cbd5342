"""What convert has to do: counted without a ledger as it is made, and small changes touch what they must."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.archive.reader import ReadOptions
from gravdask.config import Config
from gravdask.grid import Rate, record_blocks
from gravdask.progress import Progress
from gravdask.stages import convert
from gravdask.stages.base import Context
from gravdask.stages.placement import ChannelPlan
from gravdask.stages.placements import Placement, Placements
from gravdask.store.ledger import Ledger

RATE = Rate(100, 1)
BLOCKS = record_blocks(RATE)
NAME = "XX.A.--.HHZ"


def channel(placements: list[Placement]) -> ChannelPlan:
    kept = Placements.of(placements)
    return ChannelPlan(NAME, RATE, [(0, 0)], "int32", 0, "seismic", (), (None, None, None), kept)


def context(folder: Path, **archive: str) -> Context:
    return Context(Config.model_validate({"archive": archive}), Ledger(folder), Progress())


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


@settings(max_examples=40, deadline=None)
@given(
    days=st.lists(st.tuples(st.integers(0, 40), st.floats(0.01, 9)), max_size=6),
    span=st.sampled_from([{}, {"start": "1950-01-08"}, {"start": "1950-01-03", "end": "1950-01-20"}]),
)
def test_what_is_counted_is_what_is_made(nowhere: Path, days: list[tuple[int, float]], span: dict[str, str]) -> None:
    daily = RATE.samples_per_day
    placements = [
        Placement("a.ms", f"d{n}", 0, day * daily, int(length * daily)) for n, (day, length) in enumerate(days)
    ]
    plan, empty = channel(placements), context(nowhere, **span)
    made = list(convert._tasks(empty, plan, ReadOptions()))
    extent = convert._count(empty, plan)
    assert extent is not None
    tasks = [task for task in made if task is not None]
    assert extent.units.tolist() == [t.unit for t in tasks]
    assert extent.parts.tolist() == [len(t.stale) for t in tasks]
    assert extent.current == len(made) - len(tasks)
    for task in tasks:
        start, stop = BLOCKS.unit_span(task.unit)
        assert task.payload["placements"] == [p for p in placements if p.start < stop and p.stop > start]
        assert list(map(int, task.cells)) == sorted(map(int, task.cells))


def test_a_channel_that_the_ledger_knows_is_looked_at(tmp_path: Path) -> None:
    plan = channel([Placement("a.ms", "d", 0, 0, 3 * BLOCKS.shard)])
    known = context(tmp_path)
    (first, second, third) = convert._tasks(known, plan, ReadOptions())
    assert first is not None
    assert second is not None
    assert third is not None
    known.ledger.add(second.record("done", info={"settings": second.payload["settings"]}))
    assert convert._count(known, plan) is None
    made = convert.plan(known, [plan], ReadOptions())
    assert [t.unit for t in made.tasks] == [0, 2]
    assert (made.current, made.parts) == (1, 2 * BLOCKS.shard // BLOCKS.chunk)

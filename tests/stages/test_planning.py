"""Plans: what they count, that large ones make their tasks again, and how work is shared among jobs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gravdask.stages import planning
from gravdask.stages.planning import ChannelTasks, Extent, Plan, Task


def task(channel: str, unit: int) -> Task:
    return Task("convert", channel, unit, "f", {"0": "d"}, tuple(range(unit % 3 + 1)), {})


class Channel:
    """Units of which every third is up to date; counts how often it is planned."""

    def __init__(self, name: str, units: int) -> None:
        self.name, self.units, self.made = name, units, 0

    def __call__(self) -> Iterator[Task | None]:
        self.made += 1
        for unit in range(self.units):
            yield None if unit % 3 == 1 else task(self.name, unit)

    @property
    def stale(self) -> list[tuple[str, int]]:
        return [(self.name, unit) for unit in range(self.units) if unit % 3 != 1]


@pytest.fixture
def channels() -> list[Channel]:
    return [Channel("A", 7), Channel("B", 1), Channel("C", 0), Channel("D", 12)]


def plan_of(channels: list[Channel]) -> Plan:
    return Plan.of([ChannelTasks(c.name, c) for c in channels])


def names(tasks: planning.Tasks) -> list[tuple[str, int]]:
    return [(t.channel, t.unit) for t in tasks]


@pytest.mark.parametrize(("most", "times"), [(10_000, [1, 1, 1, 1]), (6, [1, 1, 1, 3]), (0, [3, 3, 1, 3])])
def test_a_large_plan_makes_its_tasks_again_and_a_small_one_does_not(
    channels: list[Channel], monkeypatch: pytest.MonkeyPatch, most: int, times: list[int]
) -> None:
    monkeypatch.setattr(planning, "KEEP_TASKS", most)
    plan = plan_of(channels)
    expected = [name for c in channels for name in c.stale]
    assert names(plan.tasks) == names(plan.tasks) == expected
    assert [c.made for c in channels] == times
    assert (len(plan.tasks), plan.current) == (14, 6)
    assert plan.parts == sum(len(t.stale) for t in plan.tasks if t is not None)
    assert plan.tasks.channels == ["A", "B", "D"]


@pytest.mark.parametrize("most", [10_000, 0])
def test_jobs_share_every_unit_once_and_by_its_name(
    channels: list[Channel], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(planning, "KEEP_TASKS", most)
    plan = plan_of(channels)
    shares = [plan.tasks.share(i, 3) for i in range(3)]
    assert sorted(name for share in shares for name in names(share)) == sorted(names(plan.tasks))
    for i, share in enumerate(shares):
        assert len(share) == len(names(share))
        assert share.parts == sum(len(t.stale) for t in share)
        assert {("ABCD".index(c) + u) % 3 for c, u in names(share)} <= {i}
    assert names(plan.tasks.share(0, 1)) == names(plan.tasks)


@pytest.mark.parametrize(("stations", "units", "jobs"), [(80, 2, 16), (80, 3, 7), (4, 1, 2), (5, 19, 8)])
def test_jobs_have_the_same_number_of_units_or_nearly_so(stations: int, units: int, jobs: int) -> None:
    """Whatever others have finished meanwhile, each job finds the units that are its own."""
    fresh = [Channel(f"GD.S{n:03d}", units) for n in range(stations)]
    whole = Plan.of([ChannelTasks(c.name, lambda c=c: [task(c.name, u) for u in range(units)]) for c in fresh])
    sizes = [len(whole.tasks.share(i, jobs)) for i in range(jobs)]
    assert sum(sizes) == stations * units
    assert max(sizes) - min(sizes) <= units
    later = plan_of(fresh[::-1]).tasks
    for i in range(jobs):
        assert set(names(later.share(i, jobs))) == set(names(whole.tasks.share(i, jobs))) & set(names(later))


def test_what_can_be_counted_is_not_made(channels: list[Channel]) -> None:
    extent = Extent(np.array([0, 2]), np.array([1, 3]), 5)
    plan = Plan.of([ChannelTasks("A", channels[0], lambda: extent), ChannelTasks("D", channels[3])])
    assert (len(plan.tasks), plan.current, plan.parts) == (
        2 + 8,
        5 + 4,
        4 + sum(u % 3 + 1 for _, u in channels[3].stale),
    )
    assert channels[0].made == 0
    assert names(plan.tasks) == [("A", 0), ("A", 2), *channels[3].stale]


@pytest.mark.parametrize(("least", "sizes"), [(1, [5, 1, 8]), (6, [6, 8]), (7, [14]), (100, [14])])
def test_groups_are_whole_channels(channels: list[Channel], least: int, sizes: list[int]) -> None:
    groups = list(plan_of(channels).tasks.groups(least))
    assert [len(group) for group in groups] == sizes
    assert [(t.channel, t.unit) for group in groups for t in group] == names(plan_of(channels).tasks)


def test_notes_may_come_while_channels_are_looked_at() -> None:
    notes: list[str] = []

    def make() -> Iterator[Task | None]:
        notes.append("seen")
        yield task("A", 0)

    plan = Plan.of([ChannelTasks("A", make)], notes)
    assert plan.notes == ["seen"]
    assert not list(Plan.of([]).tasks)
    assert len(Plan.of([]).tasks) == Plan.of([]).parts == 0


def test_a_task_without_some_parts_has_no_fingerprint() -> None:
    whole = Task("convert", "A", 3, "f", {"0": "d", "1": "e"}, (0, 1), {"span": "x"})
    assert whole.without([]) is whole
    less = whole.without([1])
    assert (less.fingerprint, less.cells, less.stale, less.payload) == (
        "",
        {"0": "d", "1": "unread"},
        (0, 1),
        {"span": "x"},
    )

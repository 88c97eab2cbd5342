"""Doing a plan: a unit is begun, then it has arrays, then it runs; nothing of what ran is kept but numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from gravdask.config import Config
from gravdask.errors import ExecutionError
from gravdask.execution import Failure, SerialRunner
from gravdask.progress import Progress
from gravdask.stages import doing, planning
from gravdask.stages.base import Context, Stage
from gravdask.stages.doing import do_plan
from gravdask.stages.planning import ChannelTasks, Plan, Task
from gravdask.store.ledger import Ledger, Record

CHANNELS = ["XX.A.--.UGZ", "XX.B.--.UGZ", "XX.C.--.UGZ"]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Config(), Ledger(tmp_path / "ledger"), Progress())


def tasks_of(channel: str, units: int) -> Iterator[Task | None]:
    for unit in range(units):
        yield Task("noise", channel, unit, "f", {"0": "d"}, tuple(range(unit + 1)), {"span": f"day {unit}"})


def plan(units: int = 3) -> Plan:
    made = [ChannelTasks(name, lambda name=name: tasks_of(name, units)) for name in CHANNELS]  # type: ignore[misc]
    return Plan.of([*made, ChannelTasks("XX.D.--.UGZ", lambda: [None, None])], ["a note"])


def work(task: Task) -> Record:
    return task.record("done", info={"overlapping": task.unit, "other": 1})


@pytest.mark.parametrize("kept", [0, 10_000])
def test_a_unit_is_begun_then_prepared_then_run(
    context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kept: int
) -> None:
    monkeypatch.setattr(doing, "BEGIN_TOGETHER", 4)
    monkeypatch.setattr(planning, "KEEP_TASKS", kept)
    events: list[str] = []

    def on_disk() -> dict[tuple[str, int], str]:
        return {(r.channel, r.unit): r.status for r in Ledger(tmp_path / "ledger").of_stage("noise")}

    def prepare(_: Context, tasks: list[Task]) -> None:
        names = sorted({t.channel for t in tasks})
        assert [on_disk()[t.channel, t.unit] for t in tasks] == ["begun"] * len(tasks)
        assert {t.unit for t in tasks if t.channel == names[-1]} == {0, 1, 2}
        events.append(f"prepare {''.join(n[3] for n in names)}")

    def run(task: Task) -> Record:
        assert on_disk()[task.channel, task.unit] == "begun"
        events.append(f"{task.channel[3]}{task.unit}")
        return work(task)

    do_plan(context, SerialRunner(), Stage("noise", lambda _: plan(), run, prepare), plan(), 0.0)
    # The more parts a unit has, the earlier it starts.
    assert events == ["prepare AB", "A2", "B2", "A1", "B1", "A0", "B0", "prepare C", "C2", "C1", "C0"]
    assert set(on_disk().values()) == {"done"}


def test_what_came_of_it_is_summed_up(context: Context) -> None:
    def run(task: Task) -> Record:
        if task.unit == 1 and task.channel == CHANNELS[1]:
            message = "broken"
            raise ValueError(message)
        return work(task)

    stage = Stage("noise", lambda _: plan(), run, counted=("overlapping", "absent"))
    done = do_plan(context, SerialRunner(), stage, plan(), 0.0)
    expected = {"stage": "noise", "units": 11, "done": 8, "skipped": 2, "quarantined": 1, "parts": 18}
    assert {key: done.row[key] for key in expected} == expected
    assert done.notes == ["a note"]
    assert {r.channel: r.info for r in done.records} == {
        CHANNELS[0]: {"overlapping": 3, "absent": 0},
        CHANNELS[1]: {"overlapping": 2, "absent": 0},
        CHANNELS[2]: {"overlapping": 3, "absent": 0},
    }
    failed = context.ledger.get("noise", CHANNELS[1], 1)
    assert failed is not None
    assert failed.status == "quarantined"
    assert failed.info["problems"][0]["where"] == f"noise {CHANNELS[1]} unit 1 (day 1)"


def test_jobs_that_share_a_plan_do_every_unit_once(context: Context) -> None:
    ran: list[tuple[str, int]] = []

    def run(task: Task) -> Record:
        ran.append((task.channel, task.unit))
        return work(task)

    rows = []
    for i in range(3):
        context.part = (i, 3)
        rows.append(do_plan(context, SerialRunner(), Stage("noise", lambda _: plan(), run), plan(), 0.0).row)
    assert sorted(ran) == [(name, unit) for name in CHANNELS for unit in range(3)]
    assert [sum(row[key] for row in rows) for key in ("done", "parts")] == [9, 18]
    assert {row["units"] for row in rows} == {11}


def test_without_tasks_nothing_is_drawn_or_prepared(context: Context) -> None:
    class Never(SerialRunner):
        def run(self, function: object, tasks: Iterable[object]) -> Iterator[tuple[object, object]]:  # type: ignore[override]
            raise AssertionError

    def prepare(_: Context, tasks: list[Task]) -> None:
        raise AssertionError

    nothing = Plan.of([ChannelTasks("XX.D.--.UGZ", lambda: [None])])
    done = do_plan(context, Never(), Stage("noise", lambda _: nothing, work, prepare), nothing, 0.0)
    assert (done.row["units"], done.row["done"], done.records) == (1, 0, [])


def test_a_full_disk_ends_the_run(context: Context) -> None:
    class Full(SerialRunner):
        def run(self, function: object, tasks: Iterable[Task]) -> Iterator[tuple[Task, Failure]]:  # type: ignore[override]
            for task in tasks:
                yield task, Failure("OSError: No space left on device", hopeless=True)

    with pytest.raises(ExecutionError, match="No space left"):
        do_plan(context, Full(), Stage("noise", lambda _: plan(), work), plan(), 0.0)


def test_a_run_that_stops_in_the_middle_leaves_the_rest_begun(context: Context, tmp_path: Path) -> None:
    def run(task: Task) -> Record:
        if task.unit == 1:
            raise KeyboardInterrupt
        return work(task)

    with pytest.raises(KeyboardInterrupt):
        do_plan(context, SerialRunner(), Stage("noise", lambda _: plan(), run), plan(), 0.0)
    context.ledger.flush()
    found = {(r.channel, r.unit): r.status for r in Ledger(tmp_path / "ledger").of_stage("noise")}
    assert {found[name, 2] for name in CHANNELS} == {"done"}
    assert {found[name, unit] for name in CHANNELS for unit in range(2)} == {"begun"}

"""Jobs that begin beside each other on a new store: what belongs to a channel is made once, whoever comes first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zarr

from gravdask.archive.stations import StationTable
from gravdask.config import Config
from gravdask.grid import Rate
from gravdask.progress import Progress
from gravdask.stages import noise
from gravdask.stages.archive import create_channels
from gravdask.stages.base import Context, Stage, Task
from gravdask.stages.doing import _begun
from gravdask.stages.placement import ChannelPlan
from gravdask.stages.placements import Placements
from gravdask.stages.planning import ChannelTasks, Plan
from gravdask.store.layout import channel_names, open_root
from gravdask.store.lease import Lease
from gravdask.store.ledger import Ledger
from gravdask.store.place import place_of
from gravdask.store.turn import Turns

JOBS = 3
RATE = Rate(1, 60)
NAMES = ("XX.A.--.LGZ", "XX.B.--.LGZ")


def plan_of(name: str) -> ChannelPlan:
    return ChannelPlan(name, RATE, [(0, 0)], "int32", 0, "gravity", ("nm/s2",), (30.0, 100.0, 10.0), Placements.of([]))


@pytest.fixture
def slow_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system on which all jobs have looked whether there is a group before the first of them makes it."""
    together, one = threading.Barrier(JOBS), threading.Lock()

    def require(group: zarr.Group, name: str, **more: Any) -> Any:
        if name in group:
            return group[name]
        with suppress(threading.BrokenBarrierError):
            together.wait(0.3)
        together.reset()
        with one:
            return group.create_group(name, **more)

    monkeypatch.setattr(zarr.Group, "require_group", require)


def contexts(tmp_path: Path) -> list[tuple[Lease, Context]]:
    """Jobs that each hold a share."""
    config = Config.model_validate({"store": {"path": str(tmp_path / "x.zarr")}})
    open_root(place_of(config), create=True)
    found = []
    for n in range(JOBS):
        lease = Lease(place_of(config) / "ledger/leases", ("*",), ("convert", "noise"), (n, JOBS))
        turns = Turns(lease, lambda _: None)
        context = Context(config, Ledger(place_of(config) / "ledger"), Progress(), (n, JOBS), turns=turns)
        context.reload()
        found.append((lease, context))
    return found


def at_once(jobs: list[tuple[Lease, Context]], do: Any) -> list[Any]:
    """Let all jobs do the same at the same time; what one of them raises is raised here."""

    def job(item: tuple[Lease, Context]) -> Any:
        with item[0]:
            return do(item[1])

    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(job, jobs))


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")  # not ignored by threads, where they are
@pytest.mark.usefixtures("slow_look")
def test_jobs_that_describe_the_same_channels(tmp_path: Path) -> None:
    jobs = contexts(tmp_path)
    at_once(jobs, lambda context: create_channels(context, [plan_of(n) for n in NAMES], StationTable([])))
    for _, context in jobs:
        assert sorted(context.channels) == list(NAMES)
    assert channel_names(open_root(tmp_path / "x.zarr")) == list(NAMES)
    assert not (tmp_path / "x.zarr/ledger/leases/making.turn").exists()


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")  # not ignored by threads, where they are
@pytest.mark.usefixtures("slow_look")
def test_jobs_on_other_years_of_the_same_channels_make_their_arrays(tmp_path: Path) -> None:
    jobs = contexts(tmp_path)
    with jobs[0][0]:
        create_channels(jobs[0][1], [plan_of(n) for n in NAMES], StationTable([]))
    jobs = contexts(tmp_path)

    def prepare(context: Context) -> int:
        context.reload()
        unit = context.part[0]
        tasks = [Task("noise", name, unit, "f", {}, (0,), {}) for name in NAMES]
        plan = Plan.of(ChannelTasks(t.channel, lambda t=t: [t]) for t in tasks)  # type: ignore[misc]
        stage = Stage("noise", noise.plan, noise.work, noise.prepare)
        return len(list(_begun(context, stage, plan.tasks)))

    assert at_once(jobs, prepare) == [len(NAMES)] * JOBS
    for name in NAMES:
        group = open_root(tmp_path / "x.zarr")[f"{name}/noise"]
        assert {"psd", "snm", "ssnm", "rms", "valid_fraction", "frequency", "frequency_edge"} <= set(group)  # type: ignore[arg-type]

"""Clusters of every kind: limits that workers get, what is set back when they are gone."""

from __future__ import annotations

from pathlib import Path

import dask
import distributed
import pytest
import requests
from distributed.system import MEMORY_LIMIT

from gravdask.config import ClusterConfig
from gravdask.errors import ExecutionError
from gravdask.execution import DaskRunner


def runner_of(folder: Path, **settings: object) -> DaskRunner:
    return DaskRunner(ClusterConfig(**{"kind": "local", "scratch": str(folder), **settings}), lambda _: None)


@pytest.mark.slow
def test_local_workers_share_the_memory_however_many_cores_there_are(tmp_path: Path) -> None:
    runner = runner_of(tmp_path, workers=1)
    limits = [w["memory_limit"] for w in runner.client().scheduler_info(n_workers=-1)["workers"].values()]
    runner.close()
    assert limits == [pytest.approx(0.9 * MEMORY_LIMIT, rel=1e-6)]


@pytest.mark.slow
def test_dask_is_left_as_it_was_found(tmp_path: Path) -> None:
    before = {key: dask.config.get(f"distributed.{key}") for key in ("scheduler", "nanny", "worker", "comm")}
    runner = runner_of(tmp_path, workers=1, silence=77, retries=5)
    client = runner.client()
    told = client.run_on_scheduler(lambda dask_scheduler: (dask_scheduler.worker_ttl, dask_scheduler.allowed_failures))
    assert told == (77.0, 5)
    runner.close()
    assert {key: dask.config.get(f"distributed.{key}") for key in before} == before


@pytest.mark.slow
def test_workers_look_at_themselves_seldom_enough_to_cost_nothing(tmp_path: Path) -> None:
    def paces(dask_worker: distributed.Worker) -> tuple[float, ...]:
        return tuple(dask_worker.periodic_callbacks[name].callback_time for name in ("tick", "profile"))

    runner = runner_of(tmp_path, workers=1)
    assert list(runner.client().run(paces).values()) == [(500.0, 100.0)]  # [ms]
    runner.close()


@pytest.mark.slow
@pytest.mark.parametrize(("dashboard", "there"), [("", False), (":0", True)])
def test_a_dashboard_is_there_if_it_is_asked_for(tmp_path: Path, dashboard: str, there: bool) -> None:
    said: list[str] = []
    settings = ClusterConfig(kind="local", workers=1, scratch=str(tmp_path), dashboard=dashboard)
    runner = DaskRunner(settings, said.append)
    link = runner.client().dashboard_link
    status = requests.get(link, timeout=20).status_code
    runner.close()
    assert (status == 200) == there
    assert ("dashboard none" not in said[0]) == there, said


def test_a_scheduler_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    runner = runner_of(tmp_path, kind="address", address=str(tmp_path / "scheduler.json"))
    with pytest.raises(ExecutionError, match=r"no scheduler file .*scheduler\.json; start a scheduler with"):
        runner.client()
    runner.close()


def test_ranks_are_for_mpirun(tmp_path: Path) -> None:
    assert distributed.__version__
    runner = runner_of(tmp_path, kind="mpi")
    with pytest.raises(ExecutionError, match="works within 'mpirun -n N gravdask"):
        runner.client()
    runner.close()

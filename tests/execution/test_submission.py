"""Tasks on their way through a real cluster: short ones together, hanging ones twice, the guilty one found."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from gravdask.errors import ExecutionError
from gravdask.execution import Failure, submission
from gravdask.execution.clusters import PATIENT
from gravdask.execution.submission import Submission
from gravdask.execution.units import no_mishaps


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A cluster of two worker processes."""
    with (
        dask.config.set(PATIENT),
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", local_directory=str(tmp_path), memory_limit=0
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def submit(client: Client, function: Callable[[Any], Any], tasks: Any, **more: Any) -> Submission[Any, Any]:
    settings = {"retries": 2, "stop": threading.Event(), "patience": 120.0, "say": lambda _: None, **more}
    return Submission(client, function, tasks, **settings)


def gather(results: Submission[int, Any], found: list[int], act: Callable[[], object]) -> None:
    """Take results, and do something once after the second."""
    for task, _ in results:
        found.append(task)
        if len(found) == 2:
            act()


@pytest.mark.slow
def test_short_units_travel_together_and_long_ones_alone(client: Client) -> None:
    sent: list[int] = []
    real = client.submit

    def counted(function: Any, work: Any, tasks: list[int], **more: Any) -> Any:
        sent.append(len(tasks))
        return real(function, work, tasks, **more)

    client.submit = counted
    assert dict(submit(client, lambda n: n * n, range(5000))) == {n: n * n for n in range(5000)}
    assert sent[:2] == [1, 1]
    assert max(sent) == submission.GROUP_UNITS
    assert sum(sent) == 5000
    assert len(sent) < 60
    sent.clear()

    def slow(n: int) -> int:
        import time

        time.sleep(0.6)
        return n

    assert dict(submit(client, slow, range(6))) == {n: n for n in range(6)}
    assert sent == [1] * 6


@pytest.mark.slow
def test_units_beside_one_that_kills_its_worker_are_not_blamed(client: Client, tmp_path: Path) -> None:
    def killer(n: int) -> int:
        import os
        import signal

        if n in {7, 40}:
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    mishaps = no_mishaps()
    found = dict(submit(client, killer, range(60), mishaps=mishaps))
    assert mishaps["alone"] >= 2
    assert mishaps["workers_gone"] >= 2
    assert mishaps["doubled"] == mishaps["attempts"] == 0
    assert {n for n, result in found.items() if isinstance(result, Failure)} == {7, 40}
    assert len(found) == 60


@pytest.mark.slow
def test_when_every_unit_kills_its_worker_the_run_comes_to_an_end(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "GUILTY_UNITS", 2)

    def killer(n: int) -> int:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
        return n

    client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
    found = dict(submit(client, killer, range(12)))
    assert len(found) == 12
    assert all(isinstance(result, Failure) for result in found.values())


@pytest.mark.slow
def test_a_unit_that_hangs_is_run_elsewhere_and_its_worker_freed(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "STRAGGLER_SECONDS", 1.0)
    said: list[str] = []

    def hangs_once(n: int) -> int:
        import os
        import time

        if n == 3:
            try:
                os.close(os.open(tmp_path / "hung", os.O_CREAT | os.O_EXCL))
                time.sleep(600)
            except FileExistsError:
                pass
        time.sleep(0.05)
        return n

    begun, mishaps = time.monotonic(), no_mishaps()
    found = dict(submit(client, hangs_once, range(20), say=said.append, mishaps=mishaps))
    assert found == {n: n for n in range(20)}
    assert +(mishaps - Counter(workers_gone=1)) == {"doubled": 1}
    assert time.monotonic() - begun < 120
    assert any("is run on another worker too" in line for line in said)
    # The worker that hung is free again: both take work.
    client.wait_for_workers(2, timeout=30)
    assert len(client.run(lambda: 1)) == 2
    assert not any(client.processing().values())


@pytest.mark.slow
def test_without_a_worker_the_run_ends_in_words_after_its_patience(client: Client) -> None:
    def wait(n: int) -> int:
        import time

        time.sleep(0.5)
        return n

    found: list[int] = []
    with pytest.raises(ExecutionError, match=r"no worker is left, and none came in 2 s; start some and run again"):
        gather(submit(client, wait, range(100), patience=2.0), found, lambda: client.cluster.scale(0))
    assert len(found) >= 2


@pytest.mark.slow
def test_a_stop_gives_what_runs_and_starts_nothing_more(client: Client) -> None:
    stop = threading.Event()
    found: list[int] = []

    def wait(n: int) -> int:
        import time

        time.sleep(0.7)
        return n

    with pytest.raises(ExecutionError, match="stopped as asked"):
        gather(submit(client, wait, range(100), stop=stop), found, stop.set)
    assert 1 <= len(found) <= 2 * (submission.TASKS_PER_WORKER + 1)


@pytest.mark.slow
def test_the_scheduler_forgets_what_is_through(client: Client) -> None:
    for done, _ in enumerate(submit(client, lambda n: n, range(20_000)), 1):
        if done % 5000 == 0:
            held = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
            assert held <= 4 * submission.TASKS_PER_WORKER + 4
    assert done == 20_000

"""Runners: the same results everywhere, failures as findings, lost workers survived."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import numpy as np
import pytest

from gravdask.config import ClusterConfig
from gravdask.errors import ExecutionError, GravdaskError, ReadError
from gravdask.execution import (
    DaskRunner,
    Failure,
    SerialRunner,
    dask_runner,
    guarded,
    open_runner,
    runners,
    single_threaded,
    submission,
)


def make_work() -> Callable[[int], int]:
    """Make a function that workers can run without this file: it travels by value."""

    def square(n: int) -> int:
        from gravdask.errors import ReadError

        if n == 3:
            message = "x.ms, line 7: found 'a'; expected a number"
            raise ReadError(message)
        if n == 5:
            return n // 0
        return n * n

    return square


def make_flaky(folder: Path, failures: int) -> Callable[[int], int]:
    """Make a function that raises an OSError the first times that it runs for an odd task."""

    def flaky(n: int) -> int:
        if n % 2:
            marks = len(list(folder.glob(f"{n}-*")))
            if marks < failures:
                (folder / f"{n}-{marks}").touch()
                message = f"stale file handle {n}"
                raise OSError(116, message)
        return 10 * n

    return flaky


def make_killer(folder: Path, always: int = -1) -> Callable[[int], int]:
    """Make a function that kills its process the first time for task 2, and each time for the task ``always``."""

    def killer(n: int) -> int:
        import os
        import signal

        marker = folder / f"killed-{n}"
        if n == always or (n == 2 and not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return n + 100

    return killer


def collect(
    results: Iterator[tuple[int, Any]], found: list[tuple[int, Any]], stop: threading.Event, after: int
) -> None:
    """Take results and ask for a stop after some of them, as a signal would."""
    for pair in results:
        found.append(pair)
        if len(found) == after:
            stop.set()


# --- the quarantine boundary ------------------------------------------------------------------------------------------


def test_results_pass_unchanged() -> None:
    assert guarded(lambda n: n + 1, 1) == 2
    assert guarded(lambda n: None, 1) is None


@pytest.mark.parametrize("error", [ReadError("f, line 3: bad"), GravdaskError("what, where, cure")])
def test_foreseen_errors_are_their_message_alone(error: Exception) -> None:
    def fail(task: int) -> None:
        raise error

    assert guarded(fail, 0) == Failure(str(error), "", transient=False)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (OSError(5, "input/output error"), True),
        (TimeoutError("slow"), True),
        (FileNotFoundError(2, "gone"), True),
        (ZeroDivisionError("by zero"), False),
        (MemoryError("big"), False),
        (KeyError("k"), False),
    ],
)
def test_unforeseen_errors_keep_their_kind_and_trace(error: Exception, transient: bool) -> None:
    def fail_here(task: int) -> None:
        raise error

    found = guarded(fail_here, 0)
    assert isinstance(found, Failure)
    assert found.reason == f"{type(error).__name__}: {error}"
    assert "fail_here" in found.trace
    assert found.transient is transient
    assert (found.host, found.pid, found.tries) == (socket.gethostname(), os.getpid(), 1)


def test_a_failure_tells_how_long_the_unit_took() -> None:
    def slow(task: int) -> None:
        time.sleep(0.05)
        raise ReadError("bad")

    found = guarded(slow, 0)
    assert isinstance(found, Failure)
    assert 0.05 <= found.seconds < 10


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_stopping_the_program_is_no_finding(stop: type[BaseException]) -> None:
    def interrupt(task: int) -> None:
        raise stop

    with pytest.raises(stop):
        guarded(interrupt, 0)


def test_failures_travel() -> None:
    failure = Failure("reason", "trace", transient=True)
    assert pickle.loads(pickle.dumps(failure)) == failure


# --- serial -----------------------------------------------------------------------------------------------------------


def test_serial_runs_every_task_in_order() -> None:
    found = dict(SerialRunner().run(make_work(), range(6)))
    assert [found[n] for n in (0, 1, 2, 4)] == [0, 1, 4, 16]
    assert found[3] == Failure("x.ms, line 7: found 'a'; expected a number")
    assert isinstance(found[5], Failure)
    assert found[5].reason.startswith("ZeroDivisionError")
    assert list(found) == list(range(6))


def test_serial_is_lazy() -> None:
    begun: list[int] = []
    results = SerialRunner().run(begun.append, range(3))
    assert begun == []
    next(iter(results))
    assert begun == [0]


def test_serial_tries_transient_errors_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(runners.time, "sleep", pauses.append)
    runner = SerialRunner(retries=2)
    found = dict(runner.run(make_flaky(tmp_path, 2), range(4)))
    assert found == {n: 10 * n for n in range(4)}
    assert len(pauses) == 4
    assert +runner.mishaps == {"attempts": 4}
    assert pauses[0] < pauses[1]


def test_serial_gives_up_after_its_retries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners.time, "sleep", lambda _: None)
    found = dict(SerialRunner(retries=1).run(make_flaky(tmp_path, 5), [1, 2]))
    assert isinstance(found[1], Failure)
    assert found[1].transient
    assert found[1].tries == 2
    assert "stale file handle 1" in found[1].reason
    assert found[2] == 20
    assert len(list(tmp_path.iterdir())) == 2


def test_serial_does_not_repeat_what_cannot_help() -> None:
    runs: list[int] = []

    def count(n: int) -> None:
        runs.append(n)
        raise ValueError(n)

    list(SerialRunner(retries=5).run(count, [1]))
    assert runs == [1]


def test_serial_stops_between_tasks_and_keeps_what_is_done() -> None:
    stop = threading.Event()
    found: list[tuple[int, Any]] = []
    with pytest.raises(ExecutionError, match="run again to continue"):
        collect(SerialRunner(stop=stop).run(make_work(), range(6)), found, stop, after=2)
    assert found == [(0, 0), (1, 1)]


def test_serial_arrays_are_computed_in_this_process() -> None:
    with SerialRunner().arrays():
        assert dask.config.get("scheduler") == "synchronous"
        assert dask.delayed(os.getpid)().compute() == os.getpid()


def test_the_runner_is_what_the_configuration_says() -> None:
    assert isinstance(open_runner(ClusterConfig(kind="serial"), print), SerialRunner)
    local = open_runner(ClusterConfig(kind="local"), print)
    assert isinstance(local, DaskRunner)
    local.close()


def test_no_workers_are_started_for_no_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = DaskRunner(ClusterConfig(), print)
    monkeypatch.setattr(dask_runner, "connect", lambda *_: pytest.fail("workers were started"))
    assert list(runner.run(make_work(), [])) == []
    runner.close()


def test_single_threaded_means_one_thread() -> None:
    import numcodecs.blosc
    import zarr

    before = numcodecs.blosc.get_nthreads(), dict(os.environ)
    with zarr.config.set({}):
        try:
            single_threaded()
            assert numcodecs.blosc.get_nthreads() == 1
            assert zarr.config.get("threading.max_workers") == 1
            assert os.environ["NUMBA_NUM_THREADS"] == "1"
        finally:
            numcodecs.blosc.set_nthreads(before[0])
            os.environ.clear()
            os.environ.update(before[1])


def test_blas_obeys_whether_it_is_loaded_or_not_yet() -> None:
    program = (
        "import numpy\nfrom gravdask.execution import single_threaded\nsingle_threaded()\n"
        "import scipy.linalg, sklearn.cluster, threadpoolctl\n"
        "print({p['num_threads'] for p in threadpoolctl.threadpool_info()})\n"
    )
    two = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program], env=two, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{1}"


# --- workers ----------------------------------------------------------------------------------------------------------


@contextmanager
def workers(folder: Path, count: int = 2, retries: int = 2) -> Iterator[tuple[DaskRunner, list[str]]]:
    """Local worker processes, with what they said."""
    said: list[str] = []
    settings = ClusterConfig(kind="local", workers=count, retries=retries, scratch=str(folder), memory="0")
    runner = DaskRunner(settings, said.append)
    try:
        yield runner, said
    finally:
        runner.close()


@pytest.mark.slow
def test_workers_give_what_serial_gives(tmp_path: Path) -> None:
    serial = dict(SerialRunner().run(make_work(), range(12)))
    with workers(tmp_path) as (runner, said):
        parallel = dict(runner.run(make_work(), range(12)))
        assert said
        assert said[0].startswith("2 workers; dashboard http")
        again = dict(runner.run(make_work(), [1, 2]))
        assert len(said) == 1
    assert again == {1: 1, 2: 4}
    assert parallel.keys() == serial.keys()
    for n, found in parallel.items():
        expected = serial[n]
        if isinstance(expected, Failure):
            assert isinstance(found, Failure)
            assert (found.reason, found.transient) == (expected.reason, expected.transient)
        else:
            assert found == expected


@pytest.mark.slow
def test_a_worker_is_one_process_with_one_thread(tmp_path: Path) -> None:
    def look(n: int) -> dict[str, Any]:
        import os
        import threading

        import numba
        import numcodecs.blosc
        import zarr

        return {
            "pid": os.getpid(),
            "thread": threading.get_ident(),
            "blosc": numcodecs.blosc.get_nthreads(),
            "zarr": zarr.config.get("threading.max_workers"),
            "numba": numba.get_num_threads(),
            "blas": os.environ.get("OMP_NUM_THREADS"),
        }

    with workers(tmp_path) as (runner, _):
        seen = [result for _, result in runner.run(look, range(20))]
    assert os.getpid() not in {s["pid"] for s in seen}
    assert len({s["pid"] for s in seen}) == 2
    assert len({(s["pid"], s["thread"]) for s in seen}) == 2
    assert {(s["blosc"], s["zarr"], s["numba"], s["blas"]) for s in seen} == {(1, 1, 1, "1")}


@pytest.mark.slow
def test_a_bounded_number_of_tasks_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client must plan three million units in bounded memory."""
    drawn: list[int] = []

    class Tasks(list[int]):
        def __iter__(self) -> Iterator[int]:
            for n in range(len(self)):
                drawn.append(n)
                yield n

    monkeypatch.setattr(submission, "GROUP_UNITS", 5)
    with workers(tmp_path) as (runner, _):
        for done, _ in enumerate(runner.run(make_work(), Tasks(range(200))), 1):
            assert len(drawn) <= done + 5 * (2 * submission.TASKS_PER_WORKER + 1)
    assert len(drawn) == 200


@pytest.mark.slow
def test_workers_try_transient_errors_again(tmp_path: Path) -> None:
    with workers(tmp_path) as (runner, _):
        (tmp_path / "a").mkdir()
        assert dict(runner.run(make_flaky(tmp_path / "a", 2), range(6))) == {n: 10 * n for n in range(6)}
        (tmp_path / "b").mkdir()
        found = dict(runner.run(make_flaky(tmp_path / "b", 9), range(4)))
        assert +runner.mishaps == {"attempts": 3 * 2 + 2 * 2}  # units 1, 3, 5 and then 1 and 3
    assert {n: isinstance(r, Failure) for n, r in found.items()} == {0: False, 1: True, 2: False, 3: True}
    assert {r.tries for r in found.values() if isinstance(r, Failure)} == {3}
    assert len(list((tmp_path / "b").glob("1-*"))) == 3


@pytest.mark.slow
def test_a_task_whose_worker_is_killed_is_run_again(tmp_path: Path) -> None:
    with workers(tmp_path) as (runner, _):
        found = dict(runner.run(make_killer(tmp_path), range(10)))
    assert (tmp_path / "killed-2").exists()
    assert found == {n: n + 100 for n in range(10)}


@pytest.mark.slow
def test_a_local_worker_that_is_slow_to_come_back_is_not_given_up(tmp_path: Path) -> None:
    # Dask's own time is 15 s, which a loaded machine may take to start Python.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1ms"}), workers(tmp_path, 1, 2) as (runner, _):
        found = dict(runner.run(make_killer(tmp_path), range(10)))
        assert found == {n: n + 100 for n in range(10)}
        assert len(runner.client().cluster.workers) == 1, "its nanny was told to end"


class Future:
    """A future that behaves as distributed's does when the worker that held its result has died meanwhile."""

    def __init__(self, status: str, value: Any = None, error: BaseException | None = None) -> None:
        self.status, self._value, self._error = status, value, error

    def exception(self) -> BaseException | None:
        return self._error

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value


def test_results_of_futures() -> None:
    from distributed import CancelledError
    from distributed.scheduler import KilledWorker

    assert submission.result_of(Future("finished", 42)) == 42
    with pytest.raises(ExecutionError, match="run again to continue"):
        submission.result_of(Future("cancelled", error=CancelledError("key")))
    dead = submission.result_of(
        Future("error", error=KilledWorker("task", SimpleNamespace(address="tcp://there:1"), 3))
    )
    assert isinstance(dead, Failure)
    assert dead.reason.startswith("the worker died each time this unit ran (out of memory?): KilledWorker")
    assert dead.host == "there"


@pytest.mark.parametrize("status", ["pending", "lost"])
def test_a_result_that_died_with_its_worker_is_waited_for(status: str) -> None:
    assert submission.result_of(Future(status, 42)) == 42


@pytest.mark.slow
def test_a_task_that_always_kills_its_worker_is_quarantined_and_the_rest_completes(tmp_path: Path) -> None:
    with workers(tmp_path) as (runner, _):
        found = dict(runner.run(make_killer(tmp_path, always=4), range(10)))
        after = dict(runner.run(make_work(), [1, 2]))
    assert isinstance(found[4], Failure)
    assert found[4].reason.startswith("the worker died each time this unit ran (out of memory?): KilledWorker")
    assert {n: r for n, r in found.items() if n != 4} == {n: n + 100 for n in range(10) if n != 4}
    assert after == {1: 1, 2: 4}


@pytest.mark.slow
def test_workers_finish_what_is_under_way_when_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    found: list[tuple[int, Any]] = []
    settings = ClusterConfig(kind="local", workers=2, scratch=str(tmp_path), memory="0")
    runner = DaskRunner(settings, lambda _: None, stop)
    try:
        with pytest.raises(ExecutionError, match="run again to continue"):
            collect(runner.run(make_work(), range(1000)), found, stop, after=1)
    finally:
        runner.close()
    assert len(found) == len({task for task, _ in found})
    assert 1 <= len(found) <= 2 * submission.TASKS_PER_WORKER + 1


@pytest.mark.slow
def test_dask_arrays_are_computed_on_the_workers(tmp_path: Path) -> None:
    import dask.array as da

    with workers(tmp_path) as (runner, _), runner.arrays():
        assert dask.delayed(os.getpid)().compute() != os.getpid()
        assert float(da.ones((40, 4), chunks=(10, 4)).sum().compute()) == 160.0
    assert dask.delayed(np.sum)([1, 2]).compute(scheduler="synchronous") == 3


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    real = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda address, timeout, security: real(address, timeout="1s"))
    runner = DaskRunner(ClusterConfig(kind="address", address="tcp://127.0.0.1:9"), print)
    with pytest.raises(ExecutionError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'.*use --serial"):
        list(runner.run(make_work(), [1]))
    runner.close()


def test_no_worker_is_started_for_a_run_that_is_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        pytest.fail("a cluster is started")

    monkeypatch.setattr(dask_runner, "connect", connect)
    stop = threading.Event()
    stop.set()
    runner = DaskRunner(ClusterConfig(workers=1), lambda _: None, stop)
    with pytest.raises(ExecutionError, match="stopped as asked"):
        list(runner.run(len, ["a"]))
    with pytest.raises(ExecutionError, match="stopped as asked"):
        runner.arrays()
    runner.close()

"""Where work runs: in this process, on local worker processes, or on a Dask scheduler at an address.

All three go through the same code: a runner is given a function and tasks, and gives back results as they complete,
with a bounded number under way. A worker is one process with one thread in fact. The one place where any error of a
unit is caught is `guarded`: there it becomes a finding of that unit, and the run goes on.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, TypeVar

from gravdask.config import ClusterConfig
from gravdask.errors import ExecutionError, GravdaskError, PreflightError

T = TypeVar("T")
R = TypeVar("R")

TASKS_PER_WORKER = 4
"""Tasks under way for each worker: enough to keep it busy, few enough to keep the client's memory flat."""


PLUGIN = "gravdask-one-thread"
PLUGIN_ATTEMPTS = 4
WORKER_SECONDS = 60
"""How long to wait for the first worker."""
HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
STOPPED = "stopped as asked: what was under way is finished and kept; run again to continue"
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    # Dask's own setting gives every freed array back to the system at once, and a transform then spends three times
    # as long on page faults as on its sums. These keep up to a quarter of a gigabyte for the next array.
    "MALLOC_MMAP_THRESHOLD_": str(64 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
}
"""Environment of local workers, set before they start."""


@dataclass(frozen=True)
class Failure:
    """What is left of a unit that failed.

    Attributes
    ----------
    reason
        What went wrong, in words.
    trace
        The end of the traceback, for errors that gravdask did not foresee.
    transient
        Whether trying again may help (input and output, lost workers).
    hopeless
        Whether the same would happen to every unit: the disk is full or has become read-only.
    """

    reason: str
    trace: str = ""
    transient: bool = False
    hopeless: bool = False


def guarded(function: Callable[[T], R], task: T) -> R | Failure:
    """Run a unit; whatever it raises becomes a `Failure`. This is the one quarantine boundary of the program."""
    try:
        return function(task)
    except GravdaskError as error:
        return Failure(str(error))
    except OSError as error:
        hopeless = error.errno in HOPELESS
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc(limit=-3), not hopeless, hopeless)
    except Exception as error:  # noqa: BLE001
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc(limit=-3))


def single_threaded() -> None:
    """Keep this process to one thread in fact: Blosc, Zarr and Numba; BLAS obeys its environment variables."""
    import numcodecs.blosc
    import zarr

    os.environ["NUMBA_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = "1"
    numcodecs.blosc.set_nthreads(1)
    zarr.config.set({"threading.max_workers": 1, "async.concurrency": 1})


class Runner(Protocol):
    """Runs a function over tasks."""

    def run(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[T, R | Failure]]:
        """Give every task with its result or failure, as they complete, in no particular order."""
        ...

    def arrays(self) -> AbstractContextManager[object]:
        """Context in which Dask arrays are computed by this runner."""
        ...

    def close(self) -> None:
        """Give the workers back."""
        ...


class SerialRunner:
    """Runs every task in this process, one after the other."""

    def __init__(self, retries: int = 0, stop: threading.Event | None = None) -> None:
        self._retries = retries
        self._stop = stop or threading.Event()

    def run(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[T, R | Failure]]:
        """Run the tasks in their order."""
        for task in tasks:
            if self._stop.is_set():
                raise ExecutionError(STOPPED)
            result = guarded(function, task)
            for attempt in range(self._retries):
                if not (isinstance(result, Failure) and result.transient):
                    break
                time.sleep(0.1 * 2**attempt)
                result = guarded(function, task)
            yield task, result

    def arrays(self) -> AbstractContextManager[object]:
        """Compute Dask arrays in this process."""
        import dask

        return dask.config.set(scheduler="synchronous")  # type: ignore[no-any-return]

    def close(self) -> None:
        """Nothing to give back."""


class DaskRunner:
    """Runs tasks on a Dask cluster, which is started when the first task comes.

    Parameters
    ----------
    settings
        The ``[cluster]`` section.
    say
        Called with one line when the cluster stands, with its dashboard's address.
    stop
        When set, nothing more is started; what is under way is finished and kept.
    """

    def __init__(
        self, settings: ClusterConfig, say: Callable[[str], None], stop: threading.Event | None = None
    ) -> None:
        self._settings = settings
        self._stop = stop or threading.Event()
        self._say = say
        self._stack = ExitStack()
        self._client: Any = None

    def client(self) -> Any:  # noqa: ANN401
        """Dask client, connected to a cluster that stands.

        Raises
        ------
        ExecutionError
            If no scheduler answers or no local worker starts.
        PreflightError
            If the scheduler has no worker.
        """
        if self._client is None:
            self._stack.enter_context(_without_bare_tracebacks())
            client = self._connect()
            for attempt in range(PLUGIN_ATTEMPTS):
                try:
                    self._wait(client)
                    client.register_plugin(_one_thread_plugin())
                    break
                except OSError:  # a worker died just now; its nanny brings another
                    if attempt + 1 == PLUGIN_ATTEMPTS:
                        raise
                    time.sleep(1.0)
            self._introduce(client)
            self._client = client
        return self._client

    def _wait(self, client: Any) -> None:  # noqa: ANN401
        """Wait for a first worker."""
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            msg = f"the scheduler at {client.scheduler.address} has no worker after {WORKER_SECONDS} s; start some"
            raise PreflightError(msg) from error

    def _introduce(self, client: Any) -> None:  # noqa: ANN401
        """Say who the workers are, and what about them is not as it should be."""
        info = client.scheduler_info(n_workers=-1)
        workers = info["workers"].values()
        board = client.dashboard_link if info.get("services", {}).get("dashboard") else "none"
        self._say(f"{len(workers)} workers; dashboard {board}")
        if self._settings.kind == "address":
            threads = max(w["nthreads"] for w in workers)
            if threads > 1:
                self._say(f"note: workers have up to {threads} threads; start them with --nthreads 1")
            try:
                client.get_versions(check=True)
            except ValueError as error:
                self._say(f"note: the workers' software differs from this one's: {error}")

    def _connect(self) -> Any:  # noqa: ANN401
        """Start a local cluster or connect to a scheduler."""
        from distributed import Client, LocalCluster

        if self._settings.kind == "address":
            try:
                return self._stack.enter_context(Client(self._settings.address, timeout="30s"))
            except OSError as error:
                msg = f"no Dask scheduler answers at {self._settings.address!r} ({error}); start it, or use --serial"
                raise ExecutionError(msg) from error
        import dask

        self._stack.enter_context(dask.config.set({"distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT}))
        workers = self._settings.workers or os.cpu_count() or 1
        scratch = self._settings.scratch or tempfile.gettempdir()
        try:
            cluster = self._stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=self._settings.memory,
                    local_directory=scratch,
                    dashboard_address=":0",
                    host="127.0.0.1",
                )
            )
            return self._stack.enter_context(Client(cluster))
        except (RuntimeError, OSError) as error:
            msg = f"the {workers} local workers did not start ({error}); run again, with fewer --workers, or --serial"
            raise ExecutionError(msg) from error

    def run(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[T, R | Failure]]:
        """Run the tasks on the workers, a bounded number at a time; lost workers' tasks are run again."""
        if not tasks:
            return
        from distributed import as_completed

        client = self.client()
        attempts: dict[Any, int] = {}
        waiting = iter(enumerate(tasks))
        under_way: dict[Any, tuple[int, T]] = {}

        def submit(items: Iterable[tuple[int, T]]) -> list[Any]:
            futures = []
            for number, task in items:
                future = client.submit(guarded, function, task, pure=False)
                under_way[future] = (number, task)
                futures.append(future)
            return futures

        width = TASKS_PER_WORKER * max(len(client.scheduler_info(n_workers=-1)["workers"]), 1)
        completed = as_completed(submit(islice(waiting, width)))
        for future in completed:
            number, task = under_way.pop(future)
            result = _result(future)
            tries = attempts[number] = attempts.get(number, 0) + 1
            if isinstance(result, Failure) and result.transient and tries <= self._settings.retries:
                completed.update(submit([(number, task)]))
                continue
            if not self._stop.is_set():
                completed.update(submit(islice(waiting, 1)))
            yield task, result
        if self._stop.is_set():
            raise ExecutionError(STOPPED)

    def arrays(self) -> AbstractContextManager[object]:
        """Compute Dask arrays on the cluster, which becomes the default scheduler by standing."""
        self.client()
        return nullcontext()

    def close(self) -> None:
        """Stop the workers that were started here; leave others as they were found."""
        if self._client is not None and self._settings.kind == "address" and self._client.status == "running":
            with suppress(OSError, ValueError, RuntimeError):  # the scheduler may go just now
                self._client.unregister_worker_plugin(PLUGIN)
        self._client = None
        self._stack.close()


@contextmanager
def _without_bare_tracebacks() -> Iterator[None]:
    """Keep Dask's client from writing out its own cancelled tasks, which say nothing, when its scheduler is gone."""
    log = logging.getLogger("distributed.client")

    def worth_saying(record: logging.LogRecord) -> bool:
        """Whether a message is more than a traceback."""
        return bool(record.getMessage().strip())

    log.addFilter(worth_saying)
    try:
        yield
    finally:
        log.removeFilter(worth_saying)


def _one_thread_plugin() -> Any:  # noqa: ANN401
    """Make the plugin that keeps a worker to one thread from its start, also when a nanny restarts it."""
    from distributed.diagnostics.plugin import WorkerPlugin

    class OneThread(WorkerPlugin):  # type: ignore[misc]
        """Keeps a worker to one thread."""

        name = PLUGIN

        def setup(self, worker: Any) -> None:  # noqa: ANN401
            single_threaded()

    return OneThread()


def _result(future: Any) -> Any:  # noqa: ANN401
    """Result of a completed future.

    A task whose workers died again and again is a failure. One whose worker died with the finished result is run
    again by Dask while this waits for it.

    Raises
    ------
    ExecutionError
        If the scheduler is gone or the work was cancelled.
    """
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        return Failure(f"the worker died each time this unit ran (out of memory?): KilledWorker: {error}")
    except CancelledError as error:
        msg = "the scheduler is gone or the work was cancelled; run again to continue"
        raise ExecutionError(msg) from error


def open_runner(settings: ClusterConfig, say: Callable[[str], None], stop: threading.Event | None = None) -> Runner:
    """Make the runner that the ``[cluster]`` section asks for; workers start when they are first needed."""
    if settings.kind == "serial":
        return SerialRunner(settings.retries, stop)
    return DaskRunner(settings, say, stop)

"""The runner that hands tasks to a Dask cluster, whatever its workers are."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from http import HTTPStatus
from itertools import chain, islice
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from gravdask.config import ClusterConfig
from gravdask.errors import ExecutionError, PreflightError
from gravdask.execution.clusters import connect
from gravdask.execution.quiet import quiet
from gravdask.execution.submission import Submission
from gravdask.execution.units import STOPPED, Failure, no_mishaps, single_threaded

T = TypeVar("T")
R = TypeVar("R")

PLUGIN = "gravdask-one-thread"
PLUGIN_ATTEMPTS = 4
LOOK_SECONDS = 2.0
SAY_SECONDS = 60.0
"""How often it is told that the first worker is still waited for."""


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
        self._trouble: Callable[[], str] = str
        self._losses: Callable[[], int] = int
        self._mishaps = no_mishaps()

    @property
    def mishaps(self) -> Counter[str]:
        """What happened to workers so far and was made good: see `no_mishaps`."""
        self._mishaps["jobs_lost"] = self._losses()
        return self._mishaps

    def client(self) -> Any:  # noqa: ANN401
        """Dask client, connected to a cluster that stands.

        Raises
        ------
        ExecutionError
            If no scheduler answers, no local worker starts, the batch system takes no job, or the run is to stop.
        PreflightError
            If no worker comes.
        """
        if self._client is None:
            if self._stop.is_set():  # before workers are started that would have nothing to do
                raise ExecutionError(STOPPED)
            # Cancelled tasks when the scheduler is gone, and units whose worker died: both are told in words.
            self._stack.enter_context(quiet("distributed.client", ""))
            self._stack.enter_context(quiet("distributed.batched", "Batched Comm Closed"))
            self._stack.enter_context(quiet("distributed.scheduler", "Task ", inside="marked as failed because"))
            link = connect(self._settings, self._stack, self._say)
            client, self._trouble, self._losses = link.client, link.trouble, link.losses
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
            if self._settings.performance_report:
                from distributed import performance_report

                self._stack.enter_context(performance_report(filename=self._settings.performance_report))
            self._client = client
        return self._client

    def _wait(self, client: Any) -> None:  # noqa: ANN401
        """Wait for a first worker, and tell now and then that this takes long."""
        begun, said = time.monotonic(), 0.0
        while True:
            left = self._settings.patience - (time.monotonic() - begun)
            try:
                client.wait_for_workers(1, timeout=max(min(left, LOOK_SECONDS), 0.01))
                return
            except TimeoutError as error:
                waited = time.monotonic() - begun
                if self._stop.is_set():
                    raise ExecutionError(STOPPED) from error
                if self._trouble():
                    raise PreflightError(self._trouble()) from error
                if waited >= self._settings.patience:
                    cure = (
                        f"see {self._settings.log_folder} for what the jobs say"
                        if self._settings.batch
                        else "start some"
                    )
                    msg = f"the scheduler at {client.scheduler.address} has no worker after {waited:.0f} s; {cure}"
                    raise PreflightError(msg) from error
                if waited - said > SAY_SECONDS:
                    said = waited
                    self._say(f"waiting for a first worker since {waited:.0f} s")

    def _introduce(self, client: Any) -> None:  # noqa: ANN401
        """Say who the workers are, and what about them is not as it should be."""
        info = client.scheduler_info(n_workers=-1)
        workers = info["workers"].values()
        wanted = self._settings.kind == "address" or self._settings.dashboard
        board = client.dashboard_link if wanted and info.get("services", {}).get("dashboard") else "none"
        if board != "none" and not _has_pages(board):
            board = "none"
        self._say(f"{len(workers)} workers; dashboard {board}")
        if self._settings.batch and board != "none":
            at = urlsplit(board)
            self._say(f"from elsewhere: ssh -N -L 8787:{at.hostname}:{at.port} {socket.gethostname()}, then {_HERE}")
        if self._settings.kind not in {"local", "serial"}:
            threads = max((w["nthreads"] for w in workers), default=1)
            if threads > 1:
                self._say(f"note: workers have up to {threads} threads; start them with --nthreads 1")
            try:
                client.get_versions(check=True)
            except ValueError as error:
                self._say(f"note: the workers' software differs from this one's: {error}")

    def run(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R | Failure]]:
        """Run the tasks on the workers, a bounded number at a time; lost workers' tasks are run again."""
        drawn = iter(tasks)
        first = list(islice(drawn, 1))
        if not first:  # nothing to do is no reason to start workers
            return
        settings = self._settings
        yield from Submission(
            self.client(),
            function,
            chain(first, drawn),
            retries=settings.retries,
            stop=self._stop,
            patience=settings.patience,
            trouble=self._trouble,
            say=self._say,
            mishaps=self._mishaps,
        )

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


_HERE = "http://localhost:8787/status"


def _has_pages(address: str) -> bool:
    """Whether a dashboard is there, as far as can be seen from here: every scheduler answers, with pages or without."""
    try:
        with urlopen(address, timeout=LOOK_SECONDS):
            return True
    except HTTPError as error:
        return error.code != HTTPStatus.NOT_FOUND
    except (OSError, ValueError):  # it may be reached from elsewhere
        return True


def _one_thread_plugin() -> Any:  # noqa: ANN401
    """Make the plugin that keeps a worker to one thread and at work from its start, also when a nanny restarts it."""
    from distributed.diagnostics.plugin import WorkerPlugin

    class OneThread(WorkerPlugin):  # type: ignore[misc]
        """Keeps a worker to one thread, and at work when its memory is nearly full.

        Dask lets a worker rest from 80 % of its limit on until memory is free again. What units leave behind is never
        freed (the allocator keeps it for the next), so that rest would last for ever. Above 95 % the nanny starts the
        worker anew all the same.
        """

        name = PLUGIN

        def setup(self, worker: Any) -> None:  # noqa: ANN401
            single_threaded()
            self._rest = worker.memory_manager.memory_pause_fraction
            worker.memory_manager.memory_pause_fraction = 1.0  # not False, which would wake up no worker that rests

        def teardown(self, worker: Any) -> None:  # noqa: ANN401
            worker.memory_manager.memory_pause_fraction = self._rest

    return OneThread()

"""Tasks on their way through a Dask cluster: a bounded number under way, short ones together, lost ones again.

Short units travel several to a Dask task, as many as take about half a second, so that the scheduler's share of the
time stays small whatever the units are. Units whose workers died again and again are suspects, with all that were
beside them: when the others are through, each runs alone, and only the one that kills its worker then is given up.
A task that takes many times as long as any other, while workers are idle, is run a second time elsewhere; whichever
ends first counts (units are pure: both write the same bytes).
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from gravdask.errors import ExecutionError
from gravdask.execution.runners import RETRY_SECONDS
from gravdask.execution.units import STOPPED, Failure, guarded_group, no_mishaps

T = TypeVar("T")
R = TypeVar("R")

TASKS_PER_WORKER = 2
"""Dask tasks under way for each worker: one that runs and one that waits on the spot."""
GROUP_SECONDS = 0.5
"""What the units of one Dask task should take together [s]."""
GROUP_UNITS = 500
"""Most units in one Dask task."""
TICK_SECONDS = 1.0
"""How often the cluster is looked at."""
STRAGGLER_SECONDS = 60.0
STRAGGLER_TIMES = 5.0
"""A task is a straggler that took longer than both: this many seconds, and this many times the longest finished one."""
GUILTY_UNITS = 16
"""Units that killed their workers when they were alone, after which no other suspect is given that much time."""
SAY_SECONDS = 60.0
"""How often it is told that no worker is there."""
GONE = "the scheduler is gone or the work was cancelled; run again to continue"


@dataclass(eq=False)
class _Unit(Generic[T]):
    """A unit and how often it was tried."""

    task: T
    tries: int = 0


@dataclass(eq=False)
class _Group(Generic[T]):
    """Units that travel together.

    Attributes
    ----------
    units
        The units.
    since
        When they were submitted, by the monotonic clock [s].
    alone
        Whether nothing else is under way meanwhile.
    futures
        The Dask task, and its twin if it was a straggler.
    """

    units: list[_Unit[T]]
    since: float
    alone: bool = False
    futures: list[Any] = field(default_factory=list)


class Submission(Generic[T, R]):
    """Runs a function over tasks on a cluster; iterate over it for (task, result).

    Parameters
    ----------
    client
        Dask client.
    function
        What is done with a task.
    tasks
        Drawn as workers become free.
    retries
        Further attempts at units whose failure is transient.
    stop
        When set, nothing more is started; what runs is finished and given, and an `ExecutionError` ends the iteration.
    patience
        Seconds to go on waiting where no worker is left.
    say
        Called with what a person should know meanwhile.
    trouble
        Tells why no worker will come any more, '' while there is hope.
    mishaps
        Counts them: see `no_mishaps`.
    """

    def __init__(
        self,
        client: Any,  # noqa: ANN401
        function: Callable[[T], R],
        tasks: Iterable[T],
        *,
        retries: int,
        stop: threading.Event,
        patience: float,
        say: Callable[[str], None],
        trouble: Callable[[], str] = str,
        mishaps: Counter[str] | None = None,
    ) -> None:
        self._client, self._function = client, function
        self._label = getattr(function, "__module__", "").rpartition(".")[2] or "units"
        self._fresh = (_Unit(task) for task in tasks)
        self._retries, self._stop, self._patience = retries, stop, patience
        self._say, self._trouble = say, trouble
        self._again: list[tuple[float, int, _Unit[T]]] = []
        self._under_way: dict[Any, _Group[T]] = {}
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._mishaps = no_mishaps() if mishaps is None else mishaps
        self._workers = 1
        self._there: frozenset[str] = frozenset()  # addresses of the workers
        self._seconds = 0.0  # of a unit, a running mean
        self._longest = 0.0  # of a group that is through
        self._drained = False
        self._suspects: list[_Unit[T]] = []
        self._guilty = 0
        self._ticked = self._alive = self._said = time.monotonic()

    def __iter__(self) -> Iterator[tuple[T, R | Failure]]:
        """Give every task with its result, as they complete."""
        self._count_workers()
        try:
            self._fill()
            while self._under_way or self._again or self._suspects:
                future = self._wait()
                if future is not None:
                    yield from self._take(future)
                if time.monotonic() - self._ticked >= TICK_SECONDS:
                    self._tick()
                self._fill()
        finally:
            self._give_up(list(self._under_way))
        if self._stop.is_set():
            raise ExecutionError(STOPPED)

    def _wait(self) -> Any:  # noqa: ANN401
        """Give the next Dask task that is through; None when something else is due first."""
        due = self._again[0][0] - time.monotonic() if self._again else TICK_SECONDS
        try:
            return self._finished.get(timeout=min(max(due, 0.01), TICK_SECONDS))
        except queue.Empty:
            return None

    def _fill(self) -> None:
        """Submit until enough is under way."""
        while not self._stop.is_set() and len(self._under_way) < TASKS_PER_WORKER * self._workers:
            units = self._next()
            if units:
                self._submit(_Group(units, time.monotonic()))
                continue
            if self._suspects and not (self._under_way or self._again):
                self._submit(_Group([self._suspects.pop()], time.monotonic(), alone=True))
            return

    def _next(self) -> list[_Unit[T]]:
        """Units of the next Dask task: one that is tried again goes alone."""
        if self._again and self._again[0][0] <= time.monotonic():
            return [heapq.heappop(self._again)[2]]
        wanted = GROUP_SECONDS / self._seconds if self._seconds else 1.0
        units = list(islice(self._fresh, int(min(max(wanted, 1.0), GROUP_UNITS))))
        self._drained = not units
        return units

    def _submit(self, group: _Group[T], workers: list[str] | None = None) -> None:
        """Send a group on its way, to some workers if they are named."""
        future = self._client.submit(
            guarded_group,
            self._function,
            [unit.task for unit in group.units],
            key=f"{self._label}-{uuid.uuid4().hex}",
            pure=False,
            workers=workers,
            allow_other_workers=workers is not None,  # should the named one die meanwhile
        )
        group.futures.append(future)
        self._under_way[future] = group
        future.add_done_callback(self._finished.put)

    def _take(self, future: Any) -> Iterator[tuple[T, R | Failure]]:  # noqa: ANN401
        """Results of a Dask task that is through; what is to be tried again is kept for later."""
        group = self._under_way.pop(future, None)
        if group is None:  # the twin of one that is through, or given up
            return
        group.futures.remove(future)
        outcome = result_of(future)
        if group.futures:
            self._settle(group)
        if isinstance(outcome, Failure):
            yield from self._accuse(group, outcome)
            return
        results, seconds = outcome
        self._longest = max(self._longest, seconds)
        mean = max(seconds / len(group.units), 1e-6)
        self._seconds = mean if not self._seconds else 0.8 * self._seconds + 0.2 * mean
        for unit, result in zip(group.units, results, strict=True):
            unit.tries += 1
            if isinstance(result, Failure) and result.transient and unit.tries <= self._retries:
                self._mishaps["attempts"] += 1
                self._later(unit, RETRY_SECONDS * 2 ** (unit.tries - 1))
            else:
                yield unit.task, replace(result, tries=unit.tries) if isinstance(result, Failure) else result

    def _accuse(self, group: _Group[T], failure: Failure) -> Iterator[tuple[T, Failure]]:
        """Deal with units whose workers died: each is tried alone, unless too many have died alone already."""
        if group.alone:
            self._guilty += 1
        elif self._guilty < GUILTY_UNITS:
            self._mishaps["alone"] += len(group.units)
            self._suspects += group.units
            return
        for unit in group.units:
            yield unit.task, failure

    def _later(self, unit: _Unit[T], seconds: float) -> None:
        """Keep a unit for another attempt, unless nothing more is to be started."""
        if not self._stop.is_set():
            heapq.heappush(self._again, (time.monotonic() + seconds, id(unit), unit))

    def _tick(self) -> None:
        """Look at the cluster: how many workers, whether something hangs, whether to stop."""
        self._ticked = time.monotonic()
        self._count_workers()
        if self._stop.is_set():
            self._again.clear()
            self._suspects.clear()
            running, _ = self._running()
            self._give_up([future for future in self._under_way if future.key not in running])
        elif self._drained and not self._again:  # only now is a worker idle
            self._double_stragglers()

    def _count_workers(self) -> None:
        """Learn how many workers there are, and end when there is none for too long.

        Raises
        ------
        ExecutionError
            If no worker came back, or the scheduler is gone.
        """
        now = time.monotonic()
        try:
            found = frozenset(self._client.nthreads())
        except (OSError, ValueError, RuntimeError) as error:
            raise ExecutionError(GONE) from error
        self._mishaps["workers_gone"] += len(self._there - found)
        self._there = found
        if found:
            self._workers, self._alive = len(found), now
        elif self._trouble():
            raise ExecutionError(self._trouble())
        elif now - self._alive > self._patience:
            msg = f"no worker is left, and none came in {self._patience:.0f} s; start some and run again to continue"
            raise ExecutionError(msg)
        elif now - max(self._said, self._alive) > SAY_SECONDS:
            self._said = now
            self._say(f"note: no worker is left; waiting for one since {now - self._alive:.0f} s")

    def _running(self) -> tuple[dict[str, str], list[str]]:
        """Worker of every Dask task that one has, and the workers that have none."""
        held = self._client.processing()
        at = {str(key): worker for worker, keys in held.items() for key in keys}
        return at, [worker for worker, keys in held.items() if not keys]

    def _double_stragglers(self) -> None:
        """Run what takes far too long a second time, on another worker, if one has nothing to do."""
        limit = max(STRAGGLER_SECONDS, STRAGGLER_TIMES * self._longest)
        now = time.monotonic()
        late = [g for g in self._under_way.values() if len(g.futures) == 1 and now - g.since > limit]
        if not late or not self._longest:
            return
        at, idle = self._running()
        for group in late:
            worker = at.get(str(group.futures[0].key))
            if worker is None or not idle:
                continue
            first = group.units[0].task
            about = f"{getattr(first, 'channel', self._label)} unit {getattr(first, 'unit', '')}".rstrip()
            self._say(
                f"note: {self._label} {about} has taken {now - group.since:.0f} s on {worker}, others at most "
                f"{self._longest:.0f} s; it is run on another worker too"
            )
            self._mishaps["doubled"] += len(group.units)
            self._submit(group, [idle.pop()])

    def _settle(self, group: _Group[T]) -> None:
        """One of two twins is through: the other is not waited for, and the worker that hangs on it is restarted."""
        running, _ = self._running()
        for future in group.futures:
            self._under_way.pop(future, None)
            worker = running.get(future.key)
            future.release()
            if worker is not None:
                with suppress(OSError, ValueError, RuntimeError, TimeoutError):  # a worker without a nanny stays
                    self._client.restart_workers([worker], timeout=10, raise_for_error=False)
        group.futures.clear()

    def _give_up(self, futures: list[Any]) -> None:
        """Forget Dask tasks that nobody waits for any more."""
        for future in futures:
            self._under_way.pop(future, None)
            with suppress(OSError, ValueError, RuntimeError):
                future.release()


def result_of(future: Any) -> Any:  # noqa: ANN401
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
        last = urlsplit(getattr(error.last_worker, "address", "")).hostname or ""
        return Failure(f"the worker died each time this unit ran (out of memory?): KilledWorker: {error}", host=last)
    except CancelledError as error:
        raise ExecutionError(GONE) from error

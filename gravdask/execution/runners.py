"""What a runner is, and the one that needs no workers."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol, TypeVar

from gravdask.errors import ExecutionError
from gravdask.execution.units import STOPPED, Failure, guarded, no_mishaps

T = TypeVar("T")
R = TypeVar("R")

RETRY_SECONDS = 0.1
"""Wait before the first further attempt at a unit; each one after it waits twice as long."""


class Runner(Protocol):
    """Runs a function over tasks."""

    @property
    def mishaps(self) -> Counter[str]:
        """What happened to workers so far and was made good: see `no_mishaps`."""
        ...

    def run(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R | Failure]]:
        """Give every task with its result or failure, as they complete, in no particular order.

        Tasks are drawn as workers become free for them, so they may be made while the run goes on.
        """
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
        self.mishaps = no_mishaps()

    def run(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R | Failure]]:
        """Run the tasks in their order."""
        for task in tasks:
            if self._stop.is_set():
                raise ExecutionError(STOPPED)
            result = guarded(function, task)
            for attempt in range(self._retries):
                if not (isinstance(result, Failure) and result.transient):
                    break
                time.sleep(RETRY_SECONDS * 2**attempt)
                self.mishaps["attempts"] += 1
                result = guarded(function, task)
                if isinstance(result, Failure):
                    result = replace(result, tries=attempt + 2)
            yield task, result

    def arrays(self) -> AbstractContextManager[object]:
        """Compute Dask arrays in this process."""
        import dask

        return dask.config.set(scheduler="synchronous")  # type: ignore[no-any-return]

    def close(self) -> None:
        """Nothing to give back."""

"""Where the time of a unit of work goes: reading, writing, computing; and what memory its process needed.

The few functions that read or write a store or an archive say so by `measuring`, as a decorator or a context. Nobody
listens until a unit is run by `Measured`: then a clock of that thread tells the three apart. Every moment counts once,
for the innermost `measuring` that it lies in: a store's read within a write is reading. Decoding belongs to reading
and encoding to writing, since libraries do both at once; computing is the rest.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import psutil

T = TypeVar("T")
R = TypeVar("R")
Kind = Literal["read", "write"]

SLOWEST = 10
"""Units that are remembered as the slowest."""
_STATUS = Path("/proc/self/status")
_PEAK = b"VmHWM:"


class _Clock:
    """Seconds of one unit so far, by what they were spent on."""

    def __init__(self) -> None:
        self.spent = {"read": 0.0, "write": 0.0, "": 0.0}
        self.kinds = [""]
        self.written = 0
        self.since = time.perf_counter()

    def _turn(self) -> None:
        """Count the time since the last turn for what was going on."""
        now = time.perf_counter()
        self.spent[self.kinds[-1]] += now - self.since
        self.since = now

    def begin(self, kind: str) -> None:
        """From now on time is spent on something else."""
        self._turn()
        self.kinds.append(kind)

    def end(self) -> None:
        """Go back to what was going on before."""
        self._turn()
        self.kinds.pop()

    def stop(self) -> dict[str, float]:
        """Seconds by what they were spent on, '' for computing."""
        self._turn()
        return self.spent


class _Here(threading.local):
    """The clock that runs in this thread, if one does."""

    clock: _Clock | None = None


_HERE = _Here()


class measuring(contextlib.ContextDecorator):  # noqa: N801 - used like a function
    """Context or decorator whose time counts as reading or writing, where a unit is being measured.

    Parameters
    ----------
    kind
        ``"read"`` or ``"write"``.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        """Begin."""
        clock = _HERE.clock
        if clock is not None:
            clock.begin(self._kind)

    def __exit__(self, *error: object) -> None:
        """End."""
        clock = _HERE.clock
        if clock is not None:
            clock.end()


def wrote(size: int | None) -> int | None:
    """Count bytes as written by the unit that is being measured, if one is; gives them back.

    Parameters
    ----------
    size
        None where only the library that wrote knows.
    """
    clock = _HERE.clock
    if clock is not None and size is not None:
        clock.written += size
    return size


@dataclass(frozen=True)
class Usage:
    """What a unit of work needed.

    Attributes
    ----------
    seconds, read, write, compute
        Wall time in all [s], and on what: the three add up to it.
    written
        Bytes written to the store.
    peak_memory
        Most memory that the process of the worker ever held [bytes].
    host, pid
        Where the unit ran.
    started
        When it began, by the worker's clock [s since 1970].
    """

    seconds: float
    read: float
    write: float
    compute: float
    written: int
    peak_memory: int
    host: str
    pid: int
    started: float


class Measured(Generic[T, R]):
    """A function of a unit that gives its result and the `Usage`; it can be pickled if the function can.

    Errors of the function pass through. The ``__module__`` is that of the function, which tasks are named after.

    Parameters
    ----------
    function
        What is done with a unit.
    """

    def __init__(self, function: Callable[[T], R]) -> None:
        self._function = function
        self.__module__ = function.__module__

    def __call__(self, task: T) -> tuple[R, Usage]:
        """Run the unit."""
        started, outer, clock = time.time(), _HERE.clock, _Clock()
        _HERE.clock = clock
        try:
            result = self._function(task)
        finally:
            _HERE.clock = outer
        spent = clock.stop()
        where = socket.gethostname(), os.getpid()
        needed = spent["read"], spent["write"], spent[""], clock.written, peak_memory()
        return result, Usage(sum(spent.values()), *needed, *where, started)


def peak_memory() -> int:
    """Most memory that this process ever held [bytes]; where the system does not tell, what it holds now."""
    # Not getrusage: a process starts there with the peak of the one that started it.
    with contextlib.suppress(OSError):
        _, found, tail = _STATUS.read_bytes().partition(_PEAK)
        if found:
            return int(tail.split(maxsplit=1)[0]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    about: Any = psutil.Process().memory_info()
    return int(getattr(about, "peak_wset", about.rss))


@dataclass
class Tally:
    """Sums of the usage of many units, in memory that does not grow with their number.

    Attributes
    ----------
    units
        Units that were measured.
    seconds, read, write, compute
        Sums over them [s].
    bytes
        Bytes written.
    peak_memory
        Most memory of any worker [bytes].
    slowest
        (seconds, number, about) of the slowest units, as a heap.
    """

    units: int = 0
    seconds: float = 0.0
    read: float = 0.0
    write: float = 0.0
    compute: float = 0.0
    bytes: int = 0
    peak_memory: int = 0
    slowest: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)

    def add(self, usage: Usage, about: Callable[[], dict[str, Any]]) -> None:
        """Add a unit.

        Parameters
        ----------
        about
            Says what is remembered of it if it is one of the slowest.
        """
        self.units += 1
        self.seconds += usage.seconds
        self.read += usage.read
        self.write += usage.write
        self.compute += usage.compute
        self.bytes += usage.written
        self.peak_memory = max(self.peak_memory, usage.peak_memory)
        if len(self.slowest) < SLOWEST:
            heapq.heappush(self.slowest, (usage.seconds, self.units, about()))
        elif usage.seconds > self.slowest[0][0]:
            heapq.heapreplace(self.slowest, (usage.seconds, self.units, about()))

    def figures(self) -> dict[str, Any]:
        """Sums by the names that they have in a run's record."""
        return {
            "worker_seconds": round(self.seconds, 3),
            "read_seconds": round(self.read, 3),
            "compute_seconds": round(self.compute, 3),
            "write_seconds": round(self.write, 3),
            "bytes": self.bytes,
            "peak_memory_bytes": self.peak_memory,
        }


def shares(row: dict[str, Any]) -> str:
    """What the workers' time went to, in words, from figures as `Tally` gives them; '' where nothing was measured."""
    whole = row.get("worker_seconds") or 0.0
    if not whole:
        return ""
    return ", ".join(
        f"{row[f'{kind}_seconds'] / whole:.0%} {word}"
        for kind, word in (("read", "reading"), ("compute", "computing"), ("write", "writing"))
    )

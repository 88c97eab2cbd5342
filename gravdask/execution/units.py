"""One unit of work on a worker: run, caught where it fails, and kept to one thread."""

from __future__ import annotations

import errno
import os
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from gravdask.errors import GravdaskError

T = TypeVar("T")
R = TypeVar("R")

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
"""Environment of workers, set before they start."""
CALM = {"distributed.admin.tick.interval": "500ms", "distributed.worker.profile.interval": "100ms"}
"""Dask's keys for how often it looks at itself: at its own pace, 20 and 10 ms, that is 3 % of every worker's core."""
JOB_ENVIRONMENT = WORKER_ENVIRONMENT | {f"DASK_{k.upper().replace('.', '__')}": every for k, every in CALM.items()}
"""Environment of workers that do not inherit Dask's keys from who starts them, with the keys as Dask reads them."""


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
    host, pid, seconds
        Where the last attempt ran, as far as that is known, and how long it took [s].
    tries
        Attempts in all, as far as they are counted here: Dask repeats what a worker's death ended by itself.
    """

    reason: str
    trace: str = ""
    transient: bool = False
    hopeless: bool = False
    host: str = field(default="", compare=False)
    pid: int = field(default=0, compare=False)
    seconds: float = field(default=0.0, compare=False)
    tries: int = field(default=1, compare=False)


def no_mishaps() -> Counter[str]:
    """Make the count of what happens to workers and is made good, all of it still zero.

    ``attempts``: further ones at units whose input or output failed; ``alone``: units that are tried alone since their
    worker died; ``doubled``: stragglers that were run on a second worker too; ``workers_gone``: died, cut off, or at
    the end of their time; ``jobs_lost``: jobs of a batch system that ended too early.
    """
    return Counter({"attempts": 0, "alone": 0, "doubled": 0, "workers_gone": 0, "jobs_lost": 0})


def guarded(function: Callable[[T], R], task: T) -> R | Failure:
    """Run a unit; whatever it raises becomes a `Failure`. This is the one quarantine boundary of the program."""
    begun = time.monotonic()
    try:
        return function(task)
    except GravdaskError as error:
        failure = Failure(str(error))
    except OSError as error:
        hopeless = error.errno in HOPELESS
        failure = Failure(f"{type(error).__name__}: {error}", traceback.format_exc(limit=-3), not hopeless, hopeless)
    except Exception as error:  # noqa: BLE001
        failure = Failure(f"{type(error).__name__}: {error}", traceback.format_exc(limit=-3))
    return replace(failure, host=socket.gethostname(), pid=os.getpid(), seconds=time.monotonic() - begun)


def guarded_group(function: Callable[[T], R], tasks: Sequence[T]) -> tuple[list[R | Failure], float]:
    """Run several units one after the other; gives their results and the seconds that they took together."""
    begun = time.monotonic()
    results = [guarded(function, task) for task in tasks]
    return results, time.monotonic() - begun


def single_threaded() -> None:
    """Keep this process to one thread in fact: BLAS, Blosc, Zarr and Numba. Sums in more have other last bits."""
    import numcodecs.blosc
    import zarr
    from threadpoolctl import threadpool_limits

    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON"):  # what is loaded later reads these
        os.environ[f"{name}_NUM_THREADS"] = "1"
    threadpool_limits(1)
    numcodecs.blosc.set_nthreads(1)
    zarr.config.set({"threading.max_workers": 1, "async.concurrency": 1})

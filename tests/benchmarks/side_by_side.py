"""Time functions side by side: one thread, in turn, medians."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def one_thread() -> None:
    """Keep BLAS and OpenMP to one thread; call before NumPy is imported."""
    for name in THREADS:
        os.environ[name] = "1"


def medians(functions: dict[str, Callable[[], object]], runs: int = 5) -> dict[str, float]:
    """Median seconds of each function over interleaved runs, after one run that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for run in range(runs + 1):
        for name, function in functions.items():
            begun = time.perf_counter()
            function()
            if run:
                times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in times.items()}

"""What needs processes of its own: the peak memory of a long record, and two workers beside each other."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

BLOCK = 1 << 18
"""Samples that the made-up year is made of at a time."""


class Gains(NamedTuple):
    """What a second process adds, medians over all pairs.

    Attributes
    ----------
    transform
        Speed of two transforming processes over that of one.
    loop
        The same of a plain loop of integers in Python.
    share
        ``transform / loop``, taken pair by pair.
    """

    transform: float
    loop: float
    share: float


def peak_memory(samples: int) -> dict[str, float]:
    """Transform a record of so many samples in a fresh process; memory in MiB, time in seconds."""
    done = subprocess.run([sys.executable, __file__, "memory", str(samples)], check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def gains(pairs: int, seconds: float) -> Gains:
    """Measure one worker and two, transforming and looping in turn."""
    workers = [_start(seed) for seed in range(2)]
    kept: list[Gains] = []
    for _ in range(pairs):
        speeds = {
            (kind, count): sum(_ask(workers[:count], kind, seconds))
            for count in (1, 2)
            for kind in ("transform", "loop")
        }
        transform, loop = (speeds[kind, 2] / speeds[kind, 1] for kind in ("transform", "loop"))
        kept.append(Gains(transform, loop, transform / loop))
    for worker in workers:
        worker.communicate()
    return Gains(*(statistics.median(column) for column in zip(*kept, strict=True)))


def _start(seed: int) -> subprocess.Popen[str]:
    """Start a worker and wait until it is warm."""
    worker = subprocess.Popen(
        [sys.executable, __file__, "work", str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    _answer(worker)
    return worker


def _answer(worker: subprocess.Popen[str]) -> float:
    """Wait for what a worker has found."""
    assert worker.stdout is not None
    return float(worker.stdout.readline())


def _ask(workers: list[subprocess.Popen[str]], kind: str, seconds: float) -> list[float]:
    """Let workers run at once; work done a second by each."""
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(f"{kind} {seconds}\n")
        worker.stdin.flush()
    return [_answer(worker) for worker in workers]


def _status(key: str) -> float:
    """Memory of this process [MiB]: VmRSS now, VmHWM at its highest."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def _memory(samples: int) -> None:
    """Transform noise that is made as it is read, and report the memory that took."""
    import numpy as np

    from gravdask.scattering import ScatteringNetwork

    imported, import_peak = _status("VmRSS"), _status("VmHWM")

    def read(first: int, last: int) -> Any:
        """Samples ``[first, last)``, the same whoever asks."""
        window = np.full(last - first, np.nan)
        for block in range(max(first, 0) // BLOCK, -(-min(last, samples) // BLOCK)):
            begin = block * BLOCK
            low, high = max(begin, first, 0), min(begin + BLOCK, last, samples)
            made = np.random.default_rng([7, block]).standard_normal(BLOCK, dtype=np.float32)
            window[low - first : high - first] = made[low - begin : high - begin]
        return window

    network = ScatteringNetwork.from_preset("gravity-1s")
    begun, frames = time.perf_counter(), 0
    for segment in network.transform_span(read, 0, samples // network.frame_samples):
        frames += int(np.isfinite(segment.coefficients).all(axis=0).sum())
    report = {
        "seconds": time.perf_counter() - begun,
        "frames": frames,
        "imported": imported,
        "import_peak": import_peak,
        "peak": _status("VmHWM"),
    }
    sys.stdout.write(json.dumps(report))


def _work(seed: int) -> None:
    """Do what is asked for on standard input, until it ends; report the work done a second."""
    import numpy as np

    from gravdask.scattering import ScatteringNetwork

    network = ScatteringNetwork.from_preset("gravity-1s")
    window = np.random.default_rng(seed).standard_normal(network.window_samples)

    def transform() -> None:
        network.transform_window(window)

    def loop() -> None:
        total = 0
        for number in range(200_000):
            total += number & 7

    kinds: dict[str, Callable[[], None]] = {"transform": transform, "loop": loop}
    transform()
    sys.stdout.write("0\n")
    sys.stdout.flush()
    for line in sys.stdin:
        kind, seconds = line.split()
        sys.stdout.write(f"{_speed(kinds[kind], float(seconds))}\n")
        sys.stdout.flush()


def _speed(function: Callable[[], None], seconds: float) -> float:
    """Calls a second over at least so many seconds."""
    begun, calls = time.perf_counter(), 0
    while (spent := time.perf_counter() - begun) < seconds:
        function()
        calls += 1
    return calls / spent


if __name__ == "__main__":
    {"memory": _memory, "work": _work}[sys.argv[1]](int(sys.argv[2]))

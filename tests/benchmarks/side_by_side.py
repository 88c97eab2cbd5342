"""Time functions side by side: one thread, in turn, medians; and print what came out."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def one_thread() -> None:
    """Keep BLAS and OpenMP to one thread; call before NumPy is imported."""
    for name in THREADS:
        os.environ[name] = "1"


def timings(functions: dict[str, Callable[[], object]], runs: int = 5) -> dict[str, list[float]]:
    """Seconds of each function in each of the interleaved runs, after one run that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for run in range(runs + 1):
        for name, function in functions.items():
            begun = time.perf_counter()
            function()
            if run:
                times[name].append(time.perf_counter() - begun)
    return times


def medians(functions: dict[str, Callable[[], object]], runs: int = 5) -> dict[str, float]:
    """Median seconds of each function over interleaved runs, after one run that is not counted."""
    return {name: statistics.median(values) for name, values in timings(functions, runs).items()}


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Median, over the runs, of one time by the other's in the same run: a machine that slows down slows both."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def say(text: str = "", end: str = "\n") -> None:
    """Print a line at once, so that a long run shows how far it is."""
    sys.stdout.write(f"{text}{end}")
    sys.stdout.flush()


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table, its first column to the left, the others to the right."""
    cells = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        padded = [c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * w) if n == 0 else ("-" * (w - 1) + ":") for n, w in enumerate(widths)]
    say("\n".join([line(cells[0]), line(rule), *(line(row) for row in cells[1:]), ""]))


def machine(packages: Iterable[str]) -> str:
    """Name the processor, its cores, and the versions of those packages that are installed."""
    versions = [f"Python {platform.python_version()}"]
    for name in packages:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} absent")
    return f"{_processor()}, {os.cpu_count()} cores; {', '.join(versions)}"


def _processor() -> str:
    """Name of the processor, with the widest vectors that it has."""
    described = Path("/proc/cpuinfo")
    if not described.exists():
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in described.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = facts.get("flags", "").split()
    widest = next((name for name in ("avx512f", "avx2", "avx", "sse2") if name in flags), "")
    family = f"family {facts['cpu family']} model {facts['model']}" if "cpu family" in facts else ""
    return " ".join(part for part in (facts.get("model name", platform.machine()), family, widest) if part)

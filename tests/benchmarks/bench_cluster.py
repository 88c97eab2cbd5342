"""What a cluster costs and gains: two workers, empty units, interruptions, sixty-four workers; see README.md."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import side_by_side

side_by_side.one_thread()

import cluster_interrupted  # noqa: E402
from side_by_side import say, table  # noqa: E402

import gravdask  # noqa: E402
from gravdask.config import ClusterConfig, Config, build_config  # noqa: E402
from gravdask.execution import DaskRunner  # noqa: E402
from gravdask.simulate import simulate_network  # noqa: E402

LOOP = 200_000
"""Rounds of the plain loop between two looks at the clock."""


def loop(seconds: float, seed: int, found: Any) -> None:
    """Add integers for so many seconds; gives rounds a second."""
    del seed
    begun, rounds, total = time.perf_counter(), 0, 0
    while time.perf_counter() - begun < seconds:
        for n in range(LOOP):
            total += n & 3
        rounds += LOOP
    found.put(rounds / (time.perf_counter() - begun))


def loop_gain(seconds: float) -> float:
    """What a second process of plain arithmetic adds on this machine just now: speed of two over that of one."""
    speeds = []
    for count in (1, 2):
        found: Any = multiprocessing.Queue()
        processes = [multiprocessing.Process(target=loop, args=(seconds, n, found)) for n in range(count)]
        for process in processes:
            process.start()
        speeds.append(sum(found.get() for _ in processes))
        for process in processes:
            process.join()
    return speeds[1] / speeds[0]


def scatter_seconds(template: Config, folder: Path, workers: int) -> float:
    """Seconds of the whole stage on so many workers that stand already, from a store that holds the records only."""
    store = folder / "copy.zarr"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(template.store_path, store)
    values = template.model_dump()
    values["store"]["path"] = str(store)
    values["cluster"] |= {"kind": "local", "workers": workers, "scratch": str(folder)}
    # The workers start with the noise stage, which is not counted.
    record = gravdask.run(build_config(values), stages=("noise", "scatter"))
    assert record.exit_code == 0, record.quarantine
    row = next(row for row in record.stages if row["stage"] == "scatter")
    return float(row["seconds"])


def efficiency(folder: Path, stations: int, days: int, pairs: int) -> None:
    """Two workers on scatter against two plain processes, in turn."""
    network = simulate_network(folder / "net", stations=stations, days=days, seed=1)
    values = {
        "archive": {"paths": [str(network.archive)], "stations": str(network.station_xml)},
        "store": {"path": str(folder / "template.zarr")},
        "cluster": {"kind": "local", "workers": 2, "scratch": str(folder)},
        "preprocess": {"admittance": -3.5, "tide_factor": 1.16} if False else {},
    }
    config = build_config(values)
    gravdask.run(config, stages=("convert", "calibrate"))
    rows = []
    for _ in range(pairs):
        plain = loop_gain(4.0)
        one, two = (scatter_seconds(config, folder, workers) for workers in (1, 2))
        plain = (plain + loop_gain(4.0)) / 2
        rows.append((one, two, one / two, plain, one / two / plain))
        say(f"  one worker {one:.1f} s, two {two:.1f} s: gain {one / two:.3f}, plain {plain:.3f}")
    middle = [statistics.median(column) for column in zip(*rows, strict=True)]
    table(
        ("scatter, whole stage", "1 worker, s", "2 workers, s", "gain", "gain of a plain loop", "share"),
        [("median", *(f"{v:.1f}" for v in middle[:2]), *(f"{v:.3f}" for v in middle[2:]))],
    )


def nothing(n: int) -> int:
    """Do nothing."""
    return n


def overhead(folder: Path, units: int) -> None:
    """Milliseconds that a unit costs the client, the scheduler and the wire when it does nothing."""
    runner = DaskRunner(ClusterConfig(kind="local", workers=2, scratch=str(folder)), lambda _: None)
    list(runner.run(len, ["warm"] * 8))
    begun = time.perf_counter()
    done = sum(1 for _ in runner.run(len, ("a unit" for _ in range(units))))
    seconds = time.perf_counter() - begun
    runner.close()
    table(("submission and result alone", "units", "ms a unit"), [("", f"{done}", f"{seconds / done * 1e3:.3f}")])


def sleep(seconds: float) -> float:
    """Stand for a unit that takes so long."""
    time.sleep(seconds)
    return seconds


def scaling(folder: Path, counts: list[int], units: int, seconds: float, spread: float) -> None:
    """Sleeping workers: how much of their time is work."""
    generator = random.Random(4)
    # Measured: times of units scatter by a few percent, some stations are shorter.
    times = [seconds * generator.choice([1.0, 1.0, 1.0, 0.6, 0.3]) * generator.gauss(1, spread) for _ in range(units)]
    rows = []
    for count in counts:
        runner = DaskRunner(
            ClusterConfig(kind="local", workers=count, scratch=str(folder), memory="0", dashboard=""), lambda _: None
        )
        runner.client().wait_for_workers(count, timeout=600)
        begun = time.perf_counter()
        done = sum(result for _, result in runner.run(time_sleep(), times) if isinstance(result, float))
        wall = time.perf_counter() - begun
        runner.close()
        rows.append((str(count), f"{units}", f"{wall:.1f}", f"{100 * done / wall / count:.1f}"))
        say(f"  {count} workers: {wall:.1f} s, {100 * done / wall / count:.1f} %")
    table(("workers", "units", "wall, s", "efficiency, %"), rows)


def time_sleep() -> Callable[[float], float]:
    """Give a function that workers can run without this file: it travels by value."""

    def sleeping(seconds: float) -> float:
        import time

        time.sleep(seconds)
        return seconds

    return sleeping


def main() -> None:
    """Measure what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["overhead", "efficiency", "scaling", "interrupted"])
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    options = parser.parse_args()
    side_by_side.say(f"gravdask {gravdask.__version__}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="gravdask-bench-") as name:
        folder = Path(name)
        quick = options.quick
        if "overhead" in options.what:
            overhead(folder, 10_000 if quick else 100_000)
        if "efficiency" in options.what:
            efficiency(folder, 4, 10 if quick else 120, 1 if quick else 5)
        if "scaling" in options.what:
            scaling(folder, [1, 4] if quick else [1, 2, 4, 8, 16, 32, 64], 32 if quick else 2000, 0.2, 0.05)
        if "interrupted" in options.what:
            cluster_interrupted.measure(folder, quick)


if __name__ == "__main__":
    main()

"""What a cluster costs and gains: two workers, empty units, interruptions, sixty-four workers; see README.md."""

from __future__ import annotations

import argparse
import heapq
import importlib
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

YEAR_SECONDS = {
    "convert": (6.0, 384, 2),
    "noise": (8.0, 1536, 1),
    "calibrate": (10.0, 1536, 1),
    "scatter": (18.0, 1536, 1),
    "classify": (1.0, 1536, 1),
}
"""Seconds of a station-year with its air pressure as measured (cluster/README.md), days of a unit, channels."""
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


def overhead(folder: Path, units: int) -> None:
    """Milliseconds that a unit costs the client, the scheduler and the wire when it does nothing."""
    runner = DaskRunner(ClusterConfig(kind="local", workers=2, scratch=str(folder)), lambda _: None)
    list(runner.run(len, ["warm"] * 8))
    begun = time.perf_counter()
    done = sum(1 for _ in runner.run(len, ("a unit" for _ in range(units))))
    seconds = time.perf_counter() - begun
    runner.close()
    table(("submission and result alone", "units", "ms a unit"), [("", f"{done}", f"{seconds / done * 1e3:.3f}")])


def unit_times(stations: int, years: float, spread: float) -> dict[str, list[float]]:
    """Seconds of every unit of a network at 1 Hz, stage by stage, the longest first as the pipeline submits them."""
    generator = random.Random(4)
    found = {}
    for stage, (seconds, days, channels) in YEAR_SECONDS.items():
        shares = []
        for _ in range(stations * channels):
            left = generator.random()  # of the channel's first unit: records begin anywhere in one
            while left < years * 365.25 / days + 1e-9:
                shares.append(1.0)
                left += 1.0
            shares[-1] = max(1.0 - (left - years * 365.25 / days), 0.05)
        times = [seconds / channels * days / 365.25 * share * generator.gauss(1, spread) for share in shares]
        found[stage] = sorted(times, reverse=True)
    return found


def scaling(folder: Path, counts: list[int], stations: int, seconds: float) -> None:
    """Workers that sleep as long as units take, so much faster that each count takes so long: the share of work."""
    measured = unit_times(stations, 10.0, 0.05)
    rows = []
    for count in counts:
        faster = sum(map(sum, measured.values())) / count / seconds
        times = {name: [t / faster for t in found] for name, found in measured.items()}
        runner = DaskRunner(
            ClusterConfig(kind="local", workers=count, scratch=str(folder), memory="0", dashboard=""), lambda _: None
        )
        runner.client().wait_for_workers(count, timeout=600)
        # Two cores here import what every worker of a cluster imports on a core of its own.
        runner.client().run(importlib.import_module, "gravdask.execution.units")
        walls = {}
        for stage, found in times.items():
            begun = time.perf_counter()
            done = sum(isinstance(result, float) for _, result in runner.run(time_sleep(), found))
            walls[stage] = time.perf_counter() - begun
            assert done == len(found)
        runner.close()
        wall = sum(walls.values())
        each = [f"{100 * sum(times[s]) / count / walls[s]:.1f}" for s in times]
        best = 100 * seconds / sum(shortest(found, count) for found in times.values())
        rows.append((str(count), f"{faster:.1f}", f"{wall:.1f}", *each, f"{100 * seconds / wall:.1f}", f"{best:.1f}"))
        say(f"  {count} workers: {wall:.1f} s, {rows[-1][-2]} % of {rows[-1][-1]} %")
    units = ", ".join(f"{name} {len(found)}" for name, found in measured.items())
    say(f"  {stations} stations x 10 years, units: {units}; so many times faster than measured")
    table(("workers", "faster", "wall, s", *(f"{s}, %" for s in measured), "all, %", "attainable, %"), rows)


def shortest(times: list[float], count: int) -> float:
    """Seconds that so many workers need for units of such times, the longest first, if nothing else takes any time."""
    busy = [0.0] * count
    for one in times:
        heapq.heapreplace(busy, busy[0] + one)
    return max(busy)


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
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64], help="numbers of workers that scale")
    parser.add_argument("--seconds", type=float, default=108.0, help="work of every worker, in all stages")
    options = parser.parse_args()
    side_by_side.say(f"gravdask {gravdask.__version__}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="gravdask-bench-") as name:
        folder = Path(name)
        quick = options.quick
        if "overhead" in options.what:
            overhead(folder, 10_000 if quick else 100_000)
        if "efficiency" in options.what:
            efficiency(folder, *((4, 10, 1) if quick else (6, 120, 5)))
        if "scaling" in options.what:
            scaling(folder, [4] if quick else options.workers, 8 if quick else 80, 8.0 if quick else options.seconds)
        if "interrupted" in options.what:
            cluster_interrupted.measure(folder, quick)


if __name__ == "__main__":
    main()

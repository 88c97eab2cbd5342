"""gravdask with every unit's begin and end written to a file, so that work done twice can be counted.

Run as ``python cluster_tally.py FILE ARGUMENTS...``: the arguments are those of ``gravdask``.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

STAGES = ("convert", "noise", "calibrate", "scatter", "classify")


def tally(file: str, stage: str, task: Any) -> Any:
    """Do a unit, and write down when it began and when it ended."""
    work = importlib.import_module(f"gravdask.stages.{stage}").work
    name = f"{stage}/{task.channel}/{task.unit}"
    _write(file, f"begin {name} {os.getpid()} {time.time():.3f}")
    how = "fail"
    try:
        done = work(task)
        how = "end"
        return done
    finally:
        _write(file, f"{how} {name} {os.getpid()} {time.time():.3f}")


def _write(file: str, line: str) -> None:
    """Add a line at once, also beside other processes."""
    at = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(at, f"{line}\n".encode())
    os.close(at)


def work_seconds(file: Path, killed: list[tuple[float, set[int]]]) -> tuple[float, float]:
    """Seconds of all work in a tally, and of what was done for nothing or a second time.

    Parameters
    ----------
    file
        The tally.
    killed
        When processes were ended, and which; an empty set stands for all.
    """
    open_units: dict[tuple[str, int], float] = {}
    finished: set[str] = set()
    total = extra = 0.0
    for line in file.read_text().splitlines():
        what, name, process, when = line.split()
        key = (name, int(process))
        if what == "begin":
            open_units[key] = float(when)
            continue
        seconds = float(when) - open_units.pop(key)
        total += seconds
        extra += seconds * (name in finished or what == "fail")
        if what == "end":
            finished.add(name)
    for (_, process), begun in open_units.items():
        ends = [when for when, processes in killed if when >= begun and (not processes or process in processes)]
        seconds = min(ends, default=begun) - begun
        total, extra = total + seconds, extra + seconds
    return total, extra


def main() -> None:
    """Run gravdask with the work of its stages wrapped."""
    file, arguments = sys.argv[1], sys.argv[2:]
    here = importlib.import_module("cluster_tally")  # workers find the function there, not in __main__
    for stage in STAGES:
        module: Any = importlib.import_module(f"gravdask.stages.{stage}")
        module.work = partial(here.tally, file, stage)
    sys.argv = ["gravdask", *arguments]
    importlib.import_module("gravdask.cli").main()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()

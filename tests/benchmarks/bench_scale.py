"""A network of millions of units in figures: planning, keeping books and running, in seconds and bytes of the client.

The network is made up: channels of 100 Hz, whose units of four days have 36 chunks each, one trace a unit. Nothing is
read or computed; what is measured is the client. Every part runs in a process of its own, whose highest use of memory
is that of the part. Parts: plan (from placed traces), index (from the index of an archive), ledger (written as a run
does), books (a ledger of all units is opened), again (all units planned while they are finished), run (units that do
nothing, in this process), workers (the same on two worker processes).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import side_by_side
from side_by_side import say, table

if __name__ == "__main__":
    side_by_side.one_thread()

from gravdask.archive.index import ArchiveIndex
from gravdask.archive.index_table import FILE_COLUMNS, TRACE_TABLE
from gravdask.archive.reader import ReadOptions
from gravdask.config import Config
from gravdask.execution import SerialRunner, open_runner
from gravdask.grid import DAY_NS, ORIGIN_NS, Rate, record_blocks
from gravdask.progress import Progress
from gravdask.stages import convert
from gravdask.stages.archive import plan_channels
from gravdask.stages.base import Context, Plan, Stage, Task
from gravdask.stages.doing import do_plan
from gravdask.stages.index_file import load_index, problems_only, save_index
from gravdask.stages.placement import ChannelPlan
from gravdask.stages.placements import Placements
from gravdask.stages.planning import ChannelTasks
from gravdask.store.compacted import write_run
from gravdask.store.ledger import Ledger, Record
from gravdask.store.place import Place
from gravdask.store.segments import Row, line_of

RATE = Rate(100, 1)
UNITS = 1000
FIRST = 4600
"""Units of a channel, and the number of the first."""


def name_of(channel: int) -> str:
    """A channel's name."""
    return f"XX.S{channel:04d}.--.HHZ"


def memory_mb() -> float:
    """Highest use of memory of this process so far [MB]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def channel_plans(channels: int) -> list[ChannelPlan]:
    """Traces of four days each, one a unit, as they stand on their grids."""
    size = record_blocks(RATE).shard
    start = (FIRST + np.arange(UNITS, dtype=np.int64)) * size
    npts, rows = np.full(UNITS, size), np.arange(UNITS, dtype=np.int64)
    plans = []
    for channel in range(channels):

        def path(which: Any, name: str = name_of(channel)) -> list[str]:
            return [f"/archive/{name}/{row:06d}.mseed" for row in which.tolist()]

        def digest(which: Any, number: int = channel) -> list[str]:
            return [f"{number:08x}{row:024x}" for row in which.tolist()]

        placed = Placements(start, npts, np.zeros(UNITS, np.int64), rows, path, digest, lambda which: [""] * len(which))
        place = None, None, None
        plans.append(ChannelPlan(name_of(channel), RATE, [(0, 0)], "int32", 0, "seismic", (), place, placed))
    return plans


class Everything:
    """Stands for a store in which every shard is as it was written."""

    def lacks(self, record: Record) -> bool:
        """Nothing is lost."""
        return not record.finished

    def notes(self) -> list[str]:
        """Nothing to say."""
        return []


def context(folder: Path, ledger: Ledger | None = None) -> Context:
    """A run on a store that is whole."""
    config = Config.model_validate({"store": {"path": str(folder / "none.zarr")}})
    return Context(config, ledger or Ledger(folder / "ledger"), Progress(), _presence=Everything())  # type: ignore[arg-type]


def finished(channel: ChannelPlan) -> Iterator[Record]:
    """Records of a channel whose units are all done."""
    with tempfile.TemporaryDirectory() as nowhere:
        for task in convert._tasks(context(Path(nowhere)), channel, ReadOptions()):
            if task is not None:
                yield result(task)


def result(task: Task) -> Record:
    """What a unit would leave if it had done something."""
    content = {cell: mixed(int(cell)) for cell in task.cells}
    info = {"settings": task.payload["settings"], "bytes": 90_000_000, "problems": [], "overlapping": 0, "differing": 0}
    return task.record("done", content=content, info=info, seconds=1.0)


# ---------------------------------------------------------------------------------------------------------- the parts


def plan(channels: int, folder: Path) -> dict[str, Any]:
    """Plan all units while the ledger knows none, and make the tasks of some."""
    plans = channel_plans(channels)
    begun = time.perf_counter()
    planned = convert.plan(context(folder), plans, ReadOptions())
    seconds = time.perf_counter() - begun
    begun, made = time.perf_counter(), 0
    for made, _ in enumerate(planned.tasks, 1):
        if made == 20_000:
            break
    return {"units": len(planned.tasks), "s": seconds, "ms a task": 1e3 * (time.perf_counter() - begun) / made}


def index(channels: int, folder: Path) -> dict[str, Any]:
    """Plan all units from the index of their archive, which another process made."""
    place = Place.of(folder / "index.parquet")
    subprocess.run([sys.executable, __file__, "--make-index", str(channels), "--scratch", str(folder)], check=True)
    begun = time.perf_counter()
    known = load_index(place)
    loaded, held = time.perf_counter(), memory_mb()
    here = context(folder)
    placed = plan_channels(here, known)
    known = problems_only(known)
    on_grid = time.perf_counter()
    planned = convert.plan(here, placed.plans, ReadOptions())
    now = time.perf_counter()
    return {
        "units": len(planned.tasks), "s": now - begun, "s to load": loaded - begun, "MB then": held,
        "s to place": on_grid - loaded, "s to plan": now - on_grid,
    }  # fmt: skip


def make_index(channels: int, folder: Path) -> None:
    """Write the index of an archive of one file a unit."""
    count = channels * UNITS
    number = np.arange(count)
    words = {"root": "/data/archive", "format": "waveform", "rate": "100Hz", "dtype": "int32", "kind": "seismic"}
    start = ORIGIN_NS + (FIRST + number % UNITS) * 4 * DAY_NS
    texts = {
        "path": (f"XX/S{n // UNITS:04d}/HHZ.D/XX.S{n // UNITS:04d}..HHZ.D.{n % UNITS:05d}" for n in range(count)),
        "digest": (f"{n * 0x9E3779B97F4A7C15 % 2**64:032x}" for n in range(count)),
        "channel": (name_of(n // UNITS) for n in range(count)),
    }
    numbers = {"file": number, "start_ns": start, "npts": 4 * 8_640_000, "size": 10**7, "mtime_ns": start}
    floats = {"latitude": np.nan, "longitude": np.nan, "elevation": np.nan, "stated_rate_hz": np.nan}

    def column(name: str, kind: str) -> Any:
        if kind == "str":
            return pd.array(list(texts[name]) if name in texts else [words.get(name, "")] * count, dtype="str")
        return np.broadcast_to(np.asarray(numbers.get(name, floats.get(name, 0)), kind), count)

    made = [pd.DataFrame({n: column(n, k) for n, k in kinds.items()}) for kinds in (FILE_COLUMNS, TRACE_TABLE)]
    save_index(Place.of(folder / "index.parquet"), ArchiveIndex(("/data/archive",), made[0], made[1], (), "options"))


def ledger(channels: int, folder: Path) -> dict[str, Any]:
    """Write the ledger as a run does: a channel begun at once, results one by one."""
    kept = Ledger(folder / "ledger")
    spent = 0.0
    for channel in channel_plans(channels):
        records = list(finished(channel))
        begun = time.perf_counter()
        kept.begin(Record(r.stage, r.channel, r.unit, r.fingerprint, "begun", r.cells) for r in records)
        for record in records:
            kept.add(record)
        spent += time.perf_counter() - begun
    kept.flush()
    found = list((folder / "ledger" / "convert").iterdir())
    size = sum(path.stat().st_size for path in found)
    return {"units": channels * UNITS, "s": spent, "objects": len(found), "bytes a unit": size / channels / UNITS}


class Lines:
    """Lines of units that are all done, made when they are asked for.

    Parameters
    ----------
    plans
        Of the channels.
    exact
        Whether planning must find them up to date.
    """

    def __init__(self, plans: list[ChannelPlan], exact: bool) -> None:
        self._plans, self._exact = {plan.name: plan for plan in plans}, exact

    @property
    def channels(self) -> list[str]:
        """All of them."""
        return list(self._plans)

    def rows(self, channel: str) -> list[Row]:
        """Lines of a channel."""
        if self._exact:
            return [Row(record.unit, 2001, line_of(record)) for record in finished(self._plans[channel])]
        return [Row(FIRST + unit, 2001, self._line(channel, FIRST + unit)) for unit in range(UNITS)]

    def _line(self, channel: str, unit: int) -> str:
        """A line of the same length, without the right digests."""
        mark = mixed(hash(channel) ^ unit)
        chunks = range(36 * unit, 36 * unit + 36)
        cells = ",".join(f'"{chunk}":"{mark}"' for chunk in chunks)
        content = ",".join(f'"{chunk}":"{mixed(chunk)}"' for chunk in chunks)
        return (
            f'{{"stage":"convert","channel":"{channel}","unit":{unit},"fingerprint":"{mark}","status":"done",'
            f'"cells":{{{cells}}},"content":{{{content}}},"info":{{"settings":"0123456789abcdef","bytes":90000000,'
            '"problems":[],"overlapping":0,"differing":0},"seconds":1.0}'
        )


def mixed(number: int) -> str:
    """Sixteen digits that do not compress."""
    return f"{(number + 1) * 0x9E3779B97F4A7C15 * (number | 1) % 2**64:016x}"


def books(channels: int, folder: Path) -> dict[str, Any]:
    """Open the ledger of units that are all done, and look up one."""
    begun = time.perf_counter()
    source = folder / "ledger" / "convert"
    write_run(Place.of(source), 1000, [Lines(channel_plans(channels), exact=False)])
    written = time.perf_counter()
    kept = Ledger(folder / "ledger")
    opened = time.perf_counter()
    kept.get("convert", name_of(channels // 2), FIRST)
    now = time.perf_counter()
    size = sum(path.stat().st_size for path in source.iterdir())
    return {
        "units": channels * UNITS,
        "s": opened - written,
        "s to write": written - begun,
        "ms to look up": 1e3 * (now - opened),
        "objects": len(list(source.iterdir())),
        "bytes a unit": size / channels / UNITS,
    }


def again(channels: int, folder: Path) -> dict[str, Any]:
    """Plan units that are all done."""
    write_run(Place.of(folder / "ledger" / "convert"), 1000, [Lines(channel_plans(channels), exact=True)])
    plans = channel_plans(channels)
    begun = time.perf_counter()
    here = context(folder)
    planned = convert.plan(here, plans, ReadOptions())
    return {"units": planned.current, "s": time.perf_counter() - begun, "stale": len(planned.tasks)}


def nothing(task: Task) -> Record:
    """Do a unit that does nothing."""
    return task.record("done", content=task.cells, info={"settings": "s", "bytes": 1})


def _tasks(channel: int) -> Iterator[Task]:
    """Tasks of a channel with four parts each."""
    for unit in range(UNITS):
        cells = {str(4 * unit + n): f"{channel:08x}{unit:08x}" for n in range(4)}
        yield Task("scatter", name_of(channel), unit, "f" * 16, cells, (0, 1, 2, 3), {"span": "four days"})


def run(channels: int, folder: Path, workers: int = 0) -> dict[str, Any]:
    """Run units that do nothing."""
    here = context(folder)
    made = [ChannelTasks(name_of(n), lambda n=n: _tasks(n)) for n in range(channels)]  # type: ignore[misc]
    planned = Plan.of(made)
    runner: Any = SerialRunner()
    if workers:
        cluster = {"kind": "local", "workers": workers, "memory": "2GiB"}
        runner = open_runner(Config.model_validate({"cluster": cluster}).cluster, lambda _: None)
        list(runner.run(abs, range(-10, 0)))
    before, begun = memory_mb(), time.perf_counter()
    done = do_plan(here, runner, Stage("scatter", lambda _: planned, nothing), planned, 0.0)
    seconds = time.perf_counter() - begun
    runner.close()
    return {"units": done.row["done"], "s": seconds, "ms a unit": 1e3 * seconds / done.row["done"], "MB before": before}


def workers(channels: int, folder: Path) -> dict[str, Any]:
    """Run units that do nothing on two worker processes."""
    return run(channels, folder, 2)


PARTS: dict[str, Callable[[int, Path], dict[str, Any]]] = {
    part.__name__: part for part in (plan, index, ledger, books, again, run, workers)
}


def main() -> None:
    """Run the parts that are asked for, each in a process of its own, and print what they took."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("parts", nargs="*", default=list(PARTS), help=f"any of {', '.join(PARTS)}; PART=CHANNELS")
    asked.add_argument("--scratch", default="", help="folder for what is written")
    asked.add_argument("--only", help=argparse.SUPPRESS)
    asked.add_argument("--make-index", type=int, help=argparse.SUPPRESS)
    asked.add_argument("--channels", type=int, default=3000, help="channels of 1000 units")
    chosen = asked.parse_args()
    if chosen.make_index:
        make_index(chosen.make_index, Path(chosen.scratch))
        return
    if chosen.only:
        found = PARTS[chosen.only](chosen.channels, Path(chosen.scratch))
        say(json.dumps(found | {"MB": memory_mb()}))
        return
    rows = []
    for part in chosen.parts:
        name, _, channels = part.partition("=")
        with tempfile.TemporaryDirectory(dir=chosen.scratch or None) as folder:
            command = [sys.executable, __file__, "--only", name, "--scratch", folder]
            command += ["--channels", channels or str(chosen.channels)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
        found = json.loads(done.stdout.splitlines()[-1])
        units, seconds, memory = (found.pop(key) for key in ("units", "s", "MB"))
        more = ", ".join(f"{key} {value:.4g}" for key, value in found.items())
        rows.append([name, f"{units:,}", f"{seconds:.1f}", f"{memory:.0f}", more])
        say(" ".join(rows[-1]))
    table(["part", "units", "s", "MB", "more"], rows)


if __name__ == "__main__":
    main()

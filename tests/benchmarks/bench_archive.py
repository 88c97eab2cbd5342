"""The archive in figures: MiniSEED beside obspy, text beside pandas, re-scans, objects, bytes, idle runs, memory."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import side_by_side
from side_by_side import say, table

if __name__ == "__main__":
    side_by_side.one_thread()

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    makers = importlib.import_module("archive_makers")

import obspy
import pandas as pd

from gravdask import pipeline
from gravdask.archive import ReadOptions, read_file
from gravdask.archive.index import ArchiveIndex, scan
from gravdask.archive.table_format import table_formats
from gravdask.config import build_config
from gravdask.config.tables import TableConfig
from gravdask.execution import single_threaded
from gravdask.grid import Rate, frame_blocks, record_blocks, unit_days
from gravdask.stages.base import Task
from gravdask.store.layout import open_root, read_span, sub_array
from gravdask.store.ledger import Record


def run(archive: Path, store: Path, *stages: str, **sections: dict[str, Any]) -> pipeline.RunRecord:
    """Run stages, or all, in this process."""
    about = {"paths": [str(archive)], "units": "nm/s2", "tables": [makers.TABLE]}
    settings = {"archive": about, "store": {"path": str(store)}} | sections
    config = build_config({"cluster": {"kind": "serial"}} | settings)
    return pipeline.run(config, **({"stages": stages} if stages else {}))


def convert(archive: Path, store: Path) -> None:
    """Scan and convert an archive into a new store."""
    shutil.rmtree(store, ignore_errors=True)
    run(archive, store, "convert")


def stored_share(store: Path, samples: int) -> float:
    """Bytes of the chunks of a store's records by those of so many int32."""
    return sum(p.stat().st_size for p in store.glob("*/raw/record/c/*")) / (4 * samples)


# --- speed ------------------------------------------------------------------------------------------------------------


def measure_mseed(folder: Path, channels: int, days: int, runs: int) -> None:
    """Day files to a store, beside obspy only reading them."""
    rows = []
    for length in (512, 4096):
        archive, store = folder / f"mseed{length}", folder / "mseed.zarr"
        paths = makers.day_files(archive, channels, days, length)
        times = side_by_side.timings(
            {
                "obspy reads": lambda paths=paths: one_by_one(lambda p: obspy.read(str(p)), paths),
                "gravdask reads": lambda paths=paths: one_by_one(read_file, paths),
                "scan": lambda archive=archive: scan([archive]),
                "scan and convert": lambda archive=archive, store=store: convert(archive, store),
            },
            runs,
        )
        values = obspy.read(str(paths[-1]))[0]
        array = sub_array(open_root(store), f"XX.S{channels - 1:02d}.--.HHZ/raw/record")
        start = (6480 * 4 + days - 1) * makers.DAY
        assert (read_span(array, start, start + makers.DAY) == values.data).all()
        share = stored_share(store, len(paths) * makers.DAY)
        for name, seconds in times.items():
            each = sorted(seconds)[len(seconds) // 2] / len(paths)
            ratio = side_by_side.ratio(seconds, times["obspy reads"])
            note = f"stored {share:.3f} of int32" if name.endswith("convert") else ""
            rows.append([f"{name}, records of {length} bytes", f"{1e3 * each:.0f} ms", f"{ratio:.2f}", note])
        shutil.rmtree(store)
    say(f"MiniSEED, {channels} channels x {days} days at 100 Hz, Steim2, {makers.DAY:.3g} samples a file")
    table(["", "a file", "times obspy's reading", ""], rows)
    makers.month_in_one(folder / "month", 7 * days)
    known = {f"MiniSEED days, records of {n} bytes": folder / f"mseed{n}" for n in (512, 4096)}
    measure_memory(folder, known | {f"{7 * days} days at 100 Hz in one file": folder / "month"})


def one_by_one(read: Callable[[Path], object], paths: list[Path]) -> None:
    """Read files and keep none: the memory of one serves the next, as it does for a program that converts."""
    for path in paths:
        read(path)


def measure_text(folder: Path, rows: int, runs: int) -> None:
    """Seconds of gravity and pressure as text, beside pandas."""
    found = []
    files = makers.month_of_text(folder / "text", rows)
    options = ReadOptions(tables=table_formats([TableConfig(**makers.TABLE)]))
    for name, path in files.items():
        skip = {"GGP": 5, "CSV": 1}.get(name) or path.read_bytes()[:1000].split(b"[DATA]")[0].count(b"\n") + 1
        more = {"sep": ",", "parse_dates": [0]} if name == "CSV" else {"sep": r"\s+"}

        def peer(path: Path = path, skip: int = skip, more: dict[str, Any] = more) -> pd.DataFrame:
            return pd.read_csv(path, header=None, skiprows=skip, nrows=rows, engine="c", **more)

        columns = peer()
        for trace, column in zip(read_file(path, options), columns.columns[-2:], strict=True):
            assert (trace.values == (columns[column].to_numpy() * 1000).round()).all()
        times = side_by_side.timings({"gravdask": lambda path=path: read_file(path, options), "pandas": peer}, runs)
        speed = side_by_side.ratio(times["pandas"], times["gravdask"])
        each = {n: rows / sorted(s)[len(s) // 2] / 1e6 for n, s in times.items()}
        size = f"{path.stat().st_size / 1e6:.0f} MB"
        found.append([name, size, f"{each['gravdask']:.2f}", f"{each['pandas']:.2f}", f"{speed:.2f}"])
    say(f"Text of {rows} rows, one a second")
    table(["", "file", "gravdask, Mrow/s", "pandas, Mrow/s", "times pandas' speed"], found)
    for name, path in files.items():
        (folder / name).mkdir()
        shutil.copy(path, folder / name)
    measure_memory(folder, {f"a {name} file": folder / name for name in files})


def measure_rescan(folder: Path, count: int) -> None:
    """A scan of many files and one in which nothing changed."""
    makers.many_files(folder / "many", count)
    index, first = timed(lambda: scan([folder / "many"]))
    index.save(folder / "many.parquet")
    again, _ = timed(lambda: scan([folder / "many"], previous=index))
    loads = [timed(lambda: ArchiveIndex.load(folder / "many.parquet")) for _ in range(3)]
    scans = [timed(lambda: scan([folder / "many"], previous=loads[0][0]))[1] for _ in range(3)]
    assert len(again.files) == count
    assert again.traces.equals(index.traces)
    load, rescan = (sorted(times)[1] for times in ([seconds for _, seconds in loads], scans))
    say(f"{count} files: first scan {first:.1f} s; unchanged: loading the index {load:.2f} s, scan {rescan:.2f} s\n")


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Result of a call, and its seconds."""
    begun = time.perf_counter()
    return function(), time.perf_counter() - begun


# --- the store --------------------------------------------------------------------------------------------------------


def measure_objects(folder: Path, sizes: tuple[int, ...], years: int) -> None:
    """Objects of whole stores after all stages, and of 80 stations by what each further one adds.

    At one sample a minute, whose arrays have the same shards in days as those of one a second: which is asserted.
    """
    for frame in (256, 1024, 4096):
        second, minute = Rate(1, 1), Rate(1, 60)
        assert unit_days(second, frame) % unit_days(minute, 1) == 0
        assert frame_blocks(second, frame, 50).shard // (unit_days(second, frame) * 86_400 // frame) == 1
    assert record_blocks(Rate(1, 1)).shard // 86_400 == record_blocks(Rate(1, 60)).shard // 1440 == 384
    totals, rows = {}, []
    for stations in sizes:
        archive, store = folder / f"decade{stations}", folder / f"decade{stations}.zarr"
        makers.minutes_of_a_decade(archive, stations, years)
        report = {"folder": str(folder / f"decade{stations}-report")}
        fit = {"n_components": 3, "n_features": 3}
        _, seconds = timed(lambda a=archive, s=store, r=report, f=fit: run(a, s, report=r, fit=f))
        kinds = Counter(kind_of_object(path, store) for path in store.rglob("*") if path.is_file())
        totals[stations] = kinds.total()
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        rows.append([f"{stations} stations", str(kinds.total()), told, f"{seconds:.0f} s"])
    say(f"Objects of a store with gravity and air pressure over {years} years, after all stages")
    table(["", "objects", "of these", "run"], rows)
    one, two = sizes[0], sizes[1]
    each = (totals[two] - totals[one]) / (two - one)
    for stations in (*sizes[2:], 80):
        known = f" (counted: {totals[stations]})" if stations in totals else ""
        say(f"{stations} stations: {totals[one] + each * (stations - one):.0f} objects, {each:.1f} a station{known}")
    say()


def kind_of_object(path: Path, store: Path) -> str:
    """What an object of a store is."""
    parts = path.relative_to(store).parts
    if path.name == "zarr.json":
        return "metadata"
    return parts[1] if len(parts) > 3 else parts[0]


def measure_bytes(folder: Path, days: int) -> None:
    """Bytes stored of a gravimeter's counts."""
    npts = days * 86_400
    for count in (makers.COUNT, 0.1):
        archive = folder / f"counts{count}"
        archive.mkdir()
        values = makers.gravimeter(makers.np.random.default_rng(3), npts) / count
        item = makers.trace(makers.np.rint(values).astype("int32"), "VI", "LGZ", 1.0, "2021-01-01")
        makers.save(archive / "x.ms", item)
        convert(archive, folder / "counts.zarr")
        share = stored_share(folder / "counts.zarr", npts)
        say(f"gravimeter at 1 Hz, counts of {count} nm s-2: stored {share:.3f} of int32")
    say()


def measure_no_change(folder: Path, channels: int, spans: int) -> None:
    """A run over all stages in which nothing changed.

    The units of the later stages are recorded as empty by stand-ins, as their samples would take hours and say nothing
    of how long it takes to see that they are current; all planning is real. There is no model, so that nothing is
    classified.
    """
    archive, store = folder / "short", folder / "short.zarr"
    makers.short_channels(archive, channels, spans)
    _, first = timed(lambda: run(archive, store, "convert"))
    kept = dict(pipeline.UNIT_STAGES)
    stages = ("convert", "noise", "calibrate", "scatter")
    try:
        for name in stages[1:]:
            stage = kept[name]
            pipeline.UNIT_STAGES[name] = type(stage)(name, stage.plan, _as_empty)
        run(archive, store, *stages)
        units, seconds = 0, []
        for _ in range(3):
            record, took = timed(lambda: run(archive, store, *stages))
            units = sum(row["units"] for row in record.stages)
            assert record.units_done == 0
            seconds.append(took)
    finally:
        pipeline.UNIT_STAGES.update(kept)
    say(f"{channels} channels, {units} units, of them {channels * spans} of convert: made in {first:.0f} s, ", end="")
    say(f"run again without a change in {sorted(seconds)[1]:.2f} s\n")


def _as_empty(task: Task) -> Record:
    """Record a unit as done without anything to write."""
    return task.record("empty", info={"settings": task.payload["settings"]})


# --- memory -----------------------------------------------------------------------------------------------------------


def measure_memory(folder: Path, archives: dict[str, Path]) -> None:
    """High-water marks of the one worker process of a local cluster that converts, started from the command line."""
    rows = []
    layout = "\n".join(f"{key} = {value!r}".replace("(", "[") for key, value in makers.TABLE.items())
    (folder / "memory.toml").write_text(f"[[archive.tables]]\n{layout}\n")
    for name, archive in archives.items():
        store = folder / "worker.zarr"
        shutil.rmtree(store, ignore_errors=True)
        words = ["convert", str(archive), "-c", str(folder / "memory.toml"), "-o", str(store), "--workers", "1"]
        with subprocess.Popen(
            [sys.executable, "-m", "gravdask", *words, "--units", "nm/s2"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as client:
            most = _watch(client)
        assert client.returncode == 0, client.returncode
        rows.append([name, f"{max(most.values()) / 1024:.0f} MiB"])
    say("Memory (VmHWM) of a worker process that converts, Dask and all imports included")
    table(["", "most"], rows)


def _watch(client: subprocess.Popen[bytes]) -> dict[int, int]:
    """High-water marks [KiB] of all processes that a process started, by their numbers, until it ends."""
    most: dict[int, int] = {}
    while client.poll() is None:
        parents, marks = {}, {}
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):
                fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
                number = int(fields["Pid"])
                parents[number], marks[number] = int(fields["PPid"]), int(fields.get("VmHWM", "0").split()[0])
        for number, mark in marks.items():
            above = parents.get(number, 0)
            while above not in (0, 1, client.pid):
                above = parents.get(above, 0)
            if above == client.pid:
                most[number] = max(most.get(number, 0), mark)
        time.sleep(0.05)
    return most


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute: does everything run?")
    parser.add_argument("--folder", help="where the archives are made; the system's temporary folder otherwise")
    parser.add_argument("--only", default="", help="names of the measurements, with commas")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    single_threaded()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    packages = ["gravdask", "obspy", "pandas", "zarr", "numcodecs", "numpy", "numba"]
    say(f"{side_by_side.machine(packages)}; on one core\n")
    quick = options.quick
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        steps: dict[str, Callable[[], None]] = {
            "mseed": lambda: measure_mseed(folder, *((1, 2, 1) if quick else (5, 4, 5))),
            "text": lambda: measure_text(folder, 100_000 if quick else 31 * 86_400, 1 if quick else 5),
            "bytes": lambda: measure_bytes(folder, 4 if quick else 31),
            "rescan": lambda: measure_rescan(folder, 2000 if quick else 100_000),
            "unchanged": lambda: measure_no_change(folder, *((20, 5) if quick else (1000, 10))),
            "objects": lambda: measure_objects(folder, (1, 2) if quick else (1, 2, 4), 1 if quick else 10),
        }
        for step in options.only.split(",") if options.only else steps:
            steps[step]()


if __name__ == "__main__":
    main()

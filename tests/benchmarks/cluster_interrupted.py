"""A run that is interrupted five times beside one that is not: how much work is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from cluster_tally import work_seconds
from side_by_side import say, table

from gravdask.execution.units import JOB_ENVIRONMENT
from gravdask.simulate import simulate_network

HERE = Path(__file__).parent
WAIT = 600.0


class Site:
    """A scheduler and two nodes of one worker each, on this machine.

    Parameters
    ----------
    folder
        Where scheduler file, logs and scratch are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "scheduler.json"
        self.scheduler = self.nodes = None
        self.start()

    def _dask(self, *arguments: str) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments, "--no-dashboard", "--host", "127.0.0.1"],
                stdout=log,
                stderr=log,
                env={**os.environ, **JOB_ENVIRONMENT, "PYTHONPATH": path},
                start_new_session=True,
            )

    def start(self) -> None:
        """Start all of it."""
        self.file.unlink(missing_ok=True)
        self.scheduler = self._dask("scheduler", "--port", "0", "--scheduler-file", str(self.file))
        self.nodes = [self.node(), self.node()]

    def node(self) -> subprocess.Popen[bytes]:
        """Start a node."""
        return self._dask(
            "worker", "--scheduler-file", str(self.file), "--nthreads", "1", "--memory-limit", "4GiB",
            "--local-directory", str(self.folder), "--death-timeout", "20",
        )  # fmt: skip

    def stop(self) -> None:
        """End all of it."""
        for process in [*self.nodes, self.scheduler]:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def ended(file: Path) -> int:
    """Units that are through."""
    return sum(line.startswith("end") for line in file.read_text().splitlines()) if file.exists() else 0


def client(config: Path, tally: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a run."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, str(HERE / "cluster_tally.py"), str(tally), "run", "-c", str(config), "--stages",
             "convert,noise,calibrate,scatter"],
            stdout=sink, stderr=sink, start_new_session=True,
        )  # fmt: skip


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own in memory, that can be filled."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def finish(process: subprocess.Popen[bytes], code: int, log: Path) -> None:
    """Wait for a run to end as expected."""
    found = process.wait(WAIT)
    assert found == code, f"exit {found} for {code}: {log.read_text()[-3000:]}"


def measure(folder: Path, quick: bool) -> None:
    """Run once undisturbed, once with five interruptions; count the work."""
    network = simulate_network(folder / "interrupted", stations=4 if quick else 96, days=10 if quick else 50, seed=3)
    with small_disk(folder / "disk", 4096) as disk:
        rows = []
        for name in ("undisturbed", "interrupted"):
            site = Site(folder / f"site-{name}")
            config, tally, log = (folder / f"{name}{end}" for end in (".toml", ".tally", ".log"))
            config.write_text(
                f'[archive]\npaths = ["{network.archive}"]\nstations = "{network.station_xml}"\n'
                f'[store]\npath = "{disk / name}.zarr"\n'
                f'[cluster]\nkind = "address"\naddress = "{site.file}"\nwait = 120\n'
            )
            begun = time.perf_counter()
            killed: list[tuple[float, set[int]]] = []
            try:
                if name == "interrupted":
                    total = rows[0][1]
                    interrupt(site, config, tally, log, disk, killed, int(total))
                finish(client(config, tally, log), 0, log)
            finally:
                site.stop()
            work, extra = work_seconds(tally, killed)
            rows.append((name, ended(tally), time.perf_counter() - begun, work, extra))
            say(f"  {name}: {rows[-1][1]} units through, {work:.1f} s of work, {extra:.1f} s of it twice or lost")
    share = 100 * (rows[1][3] / rows[0][3] - 1)
    lost = 100 * rows[1][4] / (rows[1][3] - rows[1][4])
    table(
        ("run", "units through", "wall, s", "work, s", "twice or lost, s"),
        [(r[0], f"{r[1]}", *(f"{v:.1f}" for v in r[2:])) for r in rows],
    )
    say(f"extra work: {lost:.1f} % by what was done twice or lost, {share:.1f} % by the sums")


def interrupt(
    site: Site, config: Path, tally: Path, log: Path, disk: Path, killed: list[tuple[float, set[int]]], total: int
) -> None:
    """Interrupt a run five times, at even shares of its units."""
    filler = disk / "filler"

    def kill_client(run: subprocess.Popen[bytes]) -> int:
        os.killpg(run.pid, signal.SIGKILL)
        return -signal.SIGKILL

    def kill_scheduler(run: subprocess.Popen[bytes]) -> int:
        del run
        site.scheduler.kill()
        return 3

    def kill_worker(run: subprocess.Popen[bytes]) -> int:
        del run
        worker = next(p for p in psutil.Process(site.nodes[0].pid).children(recursive=True) if "spawn_main" in
                      " ".join(p.cmdline()))  # fmt: skip
        killed.append((time.time(), {worker.pid}))
        worker.kill()
        return 0

    def kill_node(run: subprocess.Popen[bytes]) -> int:
        del run
        killed.append((time.time(), {p.pid for p in psutil.Process(site.nodes[1].pid).children(recursive=True)}))
        os.killpg(site.nodes[1].pid, signal.SIGKILL)
        site.nodes[1] = site.node()
        return 0

    def fill_disk(run: subprocess.Popen[bytes]) -> int:
        del run
        with suppress(OSError), filler.open("wb", buffering=0) as file:  # until there is no room
            while True:
                file.write(bytes(2**20))
        return 3

    acts: list[Callable[[subprocess.Popen[bytes]], int]] = [
        kill_client, kill_worker, kill_scheduler, kill_node, fill_disk,
    ]  # fmt: skip
    run = client(config, tally, log)
    for number, act in enumerate(acts, 1):
        while ended(tally) < total * number // (len(acts) + 1) and run.poll() is None:
            time.sleep(0.02)
        assert run.poll() is None, log.read_text()[-3000:]
        code = act(run)
        say(f"  {act.__name__} after {ended(tally)} of {total} units")
        if not code:
            continue
        finish(run, code, log)
        if act is not kill_client:
            time.sleep(3)
        killed.append((time.time(), set()))
        filler.unlink(missing_ok=True)
        site.stop()
        site.start()
        run = client(config, tally, log)
    finish(run, 0, log)

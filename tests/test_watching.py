"""A run watched from another process: what it is told is true, in the middle, at its end and after its death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest
import xarray as xr

import gravdask
from gravdask.errors import ExecutionError, StoreError
from gravdask.store import journal as journal_module
from gravdask.store.journal import log_lines
from gravdask.store.layout import open_root
from gravdask.store.lease import Lease
from gravdask.store.ledger import Record
from gravdask.store.place import Place
from gravdask.store.runlog import RunLog
from gravdask.usage import Usage
from gravdask.watching import run_lines, run_values

UNITS = 40
SLOW = """
import sys, time
from gravdask.stages import convert
from gravdask.store import journal
journal.FIRST_SECONDS = journal.LOCAL_SECONDS = 0.2
real = convert.work
def slow(task):
    time.sleep(0.1)
    return real(task)
convert.work = slow
from gravdask.cli import main
main(sys.argv[1:])
"""
"""The command line with units that take a while, and a log that does not."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of each of forty stations; the file of one is damaged beyond its header."""
    folder = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(5)
    for number in range(UNITS):
        header = {"network": "XX", "station": f"S{number:03d}", "channel": "VHZ", "sampling_rate": 0.1}
        trace = obspy.Trace(rng.integers(-5000, 5000, 360).astype(np.int32), header)
        trace.stats.starttime = obspy.UTCDateTime("2024-03-01")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trace.write(str(folder / f"S{number:03d}.mseed"), format="MSEED")
    return folder


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def convert(archive: Path, tmp_path: Path) -> Iterator[Start]:
    """Start slow conversions of the archive; they end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(store: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SLOW, "convert", str(archive), "-o", str(store), "--serial"]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path))
        return started[-1]

    yield start
    for one in started:
        if one.poll() is None:
            one.kill()
        one.communicate()


def watched(
    store: Path, enough: Callable[[dict[str, Any]], bool], process: subprocess.Popen[str], lost: int = 0
) -> dict[str, Any]:
    """Look again and again until enough is told of the run that goes on."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        if (store / "zarr.json").exists():
            found = run_values(Place.of(store))
            assert len(found["lost"]) <= lost
            if found["running"] and enough(found["running"][0]):
                return dict(found["running"][0])
        time.sleep(0.05)
    pytest.fail("the run told nothing")


def units_through(least: int) -> Callable[[dict[str, Any]], bool]:
    return lambda state: bool(state["stages"]) and state["stages"][-1]["done"] >= least


def shards(store: Path) -> int:
    return sum(1 for p in store.glob("*/raw/record/c/*") if p.is_file())


@pytest.mark.slow
def test_a_run_is_watched_from_its_middle_to_its_end(convert: Start, tmp_path: Path) -> None:
    store = tmp_path / "x.zarr"
    process = convert(store)
    before = time.time()
    state = watched(store, units_through(5), process)
    written = shards(store)
    (stage,) = state["stages"]
    assert (stage["stage"], stage["state"], stage["units"], stage["skipped"]) == ("convert", "running", UNITS, 0)
    assert 5 <= stage["done"] <= written < UNITS
    assert (state["pid"], state["host"]) == (process.pid, os.uname().nodename)
    assert 0.5 < stage["units_per_second"] < 10
    left = (UNITS - stage["done"]) / stage["units_per_second"]
    assert 0.7 * left < stage["seconds_left"] < 1.01 * left  # less what is under way
    assert state["silent_seconds"] < 10
    assert stage["worker_seconds"] > 0.09 * stage["done"]
    told = subprocess.run(
        [sys.executable, "-m", "gravdask", "status", "-o", str(store), "--runs"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    ).stdout  # fmt: skip
    assert f"running    process {process.pid} on {os.uname().nodename} since " in told or "last run " in told
    assert process.wait(timeout=100) == 0
    found = run_values(Place.of(store))
    assert (found["running"], found["starting"], found["lost"]) == ([], [], [])
    assert found["last"]["state"] == "done"
    assert (found["last"]["stages"][0]["done"], found["last"]["seconds"]) == (
        UNITS, pytest.approx(time.time() - before, abs=60),
    )  # fmt: skip
    lines = [line for line in log_lines(Place.of(store), found["last"]["run"]) if line["event"] == "unit"]
    assert sorted(line["channel"] for line in lines) == [f"XX.S{n:03d}.--.VHZ" for n in range(UNITS)]
    assert all(0.1 < line["seconds"] < 10 for line in lines)
    assert sum(line["bytes"] for line in lines) == sum(p.stat().st_size for p in store.glob("*/raw/record/c/*"))
    assert all(line["read_seconds"] > 0 and line["write_seconds"] > 0 for line in lines)


@pytest.mark.slow
def test_a_run_that_is_killed_is_told_as_such_until_another_goes_on_with_it(
    convert: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "x.zarr"
    process = convert(store)
    seen = watched(store, units_through(3), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = run_values(Place.of(store))
    assert (found["running"], found["starting"], found["last"]) == ([], [], None)
    (lost,) = found["lost"]
    assert (lost["run"], lost["state"], lost["pid"]) == (seen["run"], "lost", process.pid)
    assert seen["stages"][0]["done"] <= lost["stages"][0]["done"] < UNITS
    told = "\n".join(run_lines(Place.of(store)))
    assert f"lost       process {process.pid} on " in told
    assert f"died without a word in convert: {lost['stages'][0]['done']} of {UNITS} units" in told
    assert "run again to continue" in told
    lines = [line for line in log_lines(Place.of(store), lost["run"]) if line["event"] == "unit"]
    assert len(lines) >= lost["stages"][0]["done"]
    again = convert(store)
    watched(store, units_through(1), again, lost=1)  # until it tells that it goes on
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=100) == 3
    found = run_values(Place.of(store))
    assert (found["running"], found["lost"]) == ([], [])
    assert (found["last"]["state"], found["last"]["pid"]) == ("stopped", again.pid)
    assert 1 <= found["last"]["stages"][0]["done"] < UNITS - lost["stages"][0]["done"]
    assert "stopped as asked; run again to continue\n" in "\n".join(run_lines(Place.of(store)))
    capsys.readouterr()
    from gravdask.cli import _code

    assert _code(["status", "-o", str(store), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["last"]["run"] == found["last"]["run"]
    assert len(values["channels"]) == UNITS
    assert values["stages"]["convert"]["done"] >= found["last"]["stages"][0]["done"]


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Place:
    found = Place.of(tmp_path / "x.zarr")
    open_root(found, create=True)
    return found


def unit(number: int, status: str = "done") -> Record:
    return Record("noise", "XX.A.--.UGZ", number, "", status, info={"problems": [{"what": "the file is broken"}]})


def told_until(store: Place, *words: str) -> str:
    deadline = time.monotonic() + 20
    while True:
        told = "\n".join(run_lines(store))
        if all(word in told for word in words):
            return told
        assert time.monotonic() < deadline, told
        time.sleep(0.05)


def test_a_run_in_words(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(journal_module, "LOCAL_SECONDS", 0.05)
    settings = {
        "stages": ["noise"], "channels": ["XX.*"], "task": [1, 8], "start": "2020-01-01", "end": "",
        "cluster": {"kind": "slurm"},
    }  # fmt: skip
    who = f"process {os.getpid()} on {os.uname().nodename}"
    from gravdask.store.lease import machine

    assert run_lines(store) == ["last run   none is known that did anything"]
    with Lease(store / "ledger" / "leases", ("*",), ("noise",)):
        told_until(store, f"running    {who}", "it has told no figures yet")
        about = {"settings": settings, "machine": machine()}
        with RunLog(store, about, said=lambda: "scan: 20 of 400 files") as log, log.stage("noise"):
            told_until(
                store, f"running    {who}", "channels XX.*; from 2020-01-01 to the end; share 1/8; slurm",
                "noise: looking at what there is to do", "it said last: scan: 20 of 400 files",
            )  # fmt: skip
            log.planned("noise", 10, 5)
            log.follow(lambda: {"attempts": 2, "doubled": 0, "workers_gone": 1})
            for number in range(4):
                log.unit(unit(number), Usage(2.0, 0.5, 0.5, 1.0, 10, 2**30, "node7", 9, 0.0))
            log.unit(unit(4, "quarantined"), None)
            told = told_until(store, "noise: 5 of 10 units (5 more were up to date)", " units/s, about ", " left")
            assert "25% reading, 50% computing, 25% writing; peak memory 1024 MiB a worker (1 processes)" in told
            assert "1 units quarantined so far, first: the file is broken" in told
            row = {"stage": "noise", "units": 15, "done": 4, "skipped": 5, "quarantined": 1, "parts": 4}
            log.sums({**row, "seconds": 2.0})
    told = "\n".join(run_lines(store))
    assert "noise      4 units done, 1 quarantined in 2.0 s; 25% reading, 50% computing, 25% writing" in told
    assert "made good: 2 further attempts at units, 1 workers gone\n" in told
    assert "slowest: noise XX.A.--.UGZ unit 0 2 s on node7" in told
    assert "quarantined: noise XX.A.--.UGZ unit 4: the file is broken" in told
    assert "running" not in told


def test_a_run_that_failed_in_words(store: Place) -> None:
    with pytest.raises(ExecutionError), RunLog(store, {"settings": {"task": [0, 1]}}) as log, log.stage("scatter"):  # noqa: PT012
        log.follow(lambda: {"jobs_lost": 8})
        msg = "no worker is left"
        raise ExecutionError(msg)
    told = "\n".join(run_lines(store))
    assert ": failed: no worker is left" in told
    assert "scatter    0 units done in 0.0 s, not finished" in told
    assert "happened: 8 jobs that ended too early" in told
    assert "made good" not in told


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (3, "noise      3 units done in 0.0 s, 2 left to do"),
        (5, "noise      5 units done in 0.0 s, stopped before their results were joined"),
    ],
)
def test_a_stage_that_was_stopped_tells_what_is_left(store: Place, done: int, words: str) -> None:
    with pytest.raises(ExecutionError), RunLog(store, {"settings": {"task": [0, 1]}}) as log, log.stage("noise"):  # noqa: PT012
        log.planned("noise", 5, 7)
        for number in range(done):
            log.unit(unit(number), None)
        msg = "the client was stopped"
        raise ExecutionError(msg)
    assert words in "\n".join(run_lines(store))


def test_silence_is_told(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "FIRST_SECONDS", 0.0)
    from gravdask.store.lease import machine

    with (
        Lease(store / "ledger" / "leases", ("*",), ("noise",)),
        RunLog(store, {"settings": {"task": [0, 1]}, "machine": machine()}),
    ):
        told_until(store, "it has begun no stage yet")
        assert "may hang" not in "\n".join(run_lines(store))
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 45)
        assert "last sign of life 45 s ago: it may hang" in "\n".join(run_lines(store))


def test_no_store_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no gravdask store"):
        run_values(Place.of(tmp_path / "none.zarr"))
    assert list(tmp_path.iterdir()) == []


# --- the log lies beside the channels ---------------------------------------------------------------------------------


def test_readers_of_the_store_do_not_stumble_over_the_log(store: Place) -> None:
    with RunLog(store) as log:
        log.unit(unit(0), None)
    assert store.folders() == ["runs"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(gravdask.open(store).children) == []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tree = xr.open_datatree(Path(store), engine="zarr", consolidated=False)  # type: ignore[arg-type]
    assert list(tree.children) == []
    tree.close()
    assert all("not recognized as a component of a Zarr hierarchy" in str(c.message) for c in caught)

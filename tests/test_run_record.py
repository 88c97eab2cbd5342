"""What a run's record says, here and in the store, and that measuring changes nothing that is kept."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest

from gravdask import pipeline
from gravdask.config import Config, build_config
from gravdask.errors import ExecutionError, PreflightError, ReadError
from gravdask.overview import status_values
from gravdask.pipeline import run
from gravdask.simulate import simulate_network
from gravdask.stages import doing, noise
from gravdask.store import journal
from gravdask.store.journal import log_lines, states
from gravdask.store.ledger import Ledger, Record
from gravdask.store.place import Place
from gravdask.store.runlog import RunLog
from gravdask.watching import run_values

STATIONS = ("ONE", "TWO", "SIX")
STAGES = ("convert", "noise", "scatter")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of three stations, a sample every ten seconds."""
    folder = tmp_path_factory.mktemp("archive")
    for number, station in enumerate(STATIONS):
        values = (np.random.default_rng(number).standard_normal(2 * 8640) * 1000).astype(np.int32)
        header = {"network": "XX", "station": station, "location": "00", "channel": "VGZ", "sampling_rate": 0.1}
        trace = obspy.Trace(values, {**header, "starttime": obspy.UTCDateTime("2024-01-01")})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trace.write(str(folder / f"{station}.mseed"), format="MSEED")
    return folder


def configure(archive: Path, store: Path) -> Config:
    return build_config(
        {
            "archive": {"paths": [str(archive)], "units": "nm/s2"},
            "store": {"path": str(store)},
            "scattering": {"frame_samples": 256},
            "cluster": {"kind": "serial", "retries": 0},
        },
        "a test",
    )


def kept(store: Path) -> dict[str, bytes]:
    """Every file of a store but those of its ledger and its runs."""
    files = [p for p in store.rglob("*") if p.is_file()]
    found = {str(p.relative_to(store)): p.read_bytes() for p in files}
    return {name: content for name, content in found.items() if not name.startswith(("ledger/", "runs/"))}


def records(store: Path) -> list[Record]:
    """What the ledger says of the units, but how long they took."""
    ledger = Ledger(store / "ledger")
    return [dataclasses.replace(r, seconds=0.0) for stage in STAGES for r in ledger.of_stage(stage)]


def test_the_record_is_that_of_the_store_and_a_second_run_leaves_none(archive: Path, tmp_path: Path) -> None:
    config = configure(archive, tmp_path / "x.zarr")
    store = Place.of(config.store_path)
    record = run(config, stages=STAGES)
    ((state, _),) = states(store, 5)
    assert state["state"] == record.figures["state"] == "done"
    for key in ("run", "stages", "slowest", "quarantined", "workers", "settings", "configuration", "version"):
        assert state[key] == record.figures[key], key
    assert [row["stage"] for row in record.stages] == [row["stage"] for row in state["stages"]] == list(STAGES)
    for row, known in zip(record.stages, state["stages"], strict=True):
        assert row.items() <= known.items()
        assert row["done"] == len(STATIONS)
        parts = row["read_seconds"] + row["compute_seconds"] + row["write_seconds"]
        assert row["worker_seconds"] == pytest.approx(parts, abs=0.01)
        assert 0 < row["worker_seconds"] <= row["seconds"] + 0.01
        assert min(row["read_seconds"], row["compute_seconds"], row["write_seconds"], row["bytes"]) > 0
        assert row["units_per_second"] == pytest.approx(len(STATIONS) / row["seconds"], rel=0.02)
    converted = sum(p.stat().st_size for p in config.store_path.glob("*/raw/record/c/*"))
    assert record.stages[0]["bytes"] == converted
    lines = [line for line in log_lines(store, state["run"]) if line["event"] == "unit"]
    assert len(lines) == 3 * len(STATIONS)
    assert sum(line["seconds"] for line in lines) == pytest.approx(
        sum(row["worker_seconds"] for row in record.stages), abs=0.01
    )
    before = sorted(e.name for e in (store / "runs").entries())
    assert len(before) == 2
    again = run(config, stages=STAGES)
    assert (again.units_done, again.units_skipped) == (0, 9)
    assert again.figures["state"] == "done"
    assert sorted(e.name for e in (store / "runs").entries()) == before


def test_measuring_changes_neither_store_nor_ledger(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(archive, tmp_path / "x.zarr")
    run(config, stages=STAGES)
    plain = configure(archive, tmp_path / "plain.zarr")
    monkeypatch.setattr(doing, "Measured", lambda function: lambda task: (function(task), None))
    monkeypatch.setattr(RunLog, "unit", lambda *_: None)
    run(plain, stages=STAGES)
    assert kept(config.store_path) == kept(plain.store_path)
    assert records(config.store_path) == records(plain.store_path)
    assert not any("usage" in r.info for r in records(config.store_path))
    assert run(config, stages=STAGES).units_done == 0


def test_a_unit_that_fails_is_in_the_log_with_its_reason(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(archive, tmp_path / "x.zarr")
    real = noise.work

    def work(task: Any) -> Record:
        if ".TWO." in task.channel:
            msg = f"{task.channel}: nobody foresaw this"
            raise ReadError(msg)
        return real(task)

    broken = dataclasses.replace(run.__globals__["UNIT_STAGES"]["noise"], work=work)
    monkeypatch.setitem(run.__globals__["UNIT_STAGES"], "noise", broken)
    record = run(config, stages=("convert", "noise"))
    assert record.exit_code == 1
    reason = "XX.TWO.00.VGZ: nobody foresaw this"
    assert [(u["stage"], u["channel"], u["reason"]) for u in record.figures["quarantined"]] == [
        ("noise", "XX.TWO.00.VGZ", reason)
    ]
    ((state, _),) = states(Place.of(config.store_path), 5)
    assert (state["state"], state["stages"][1]["quarantined"]) == ("quarantined", 1)
    (line,) = (s for s in log_lines(Place.of(config.store_path), state["run"]) if s.get("status") == "quarantined")
    assert (line["channel"], line["reason"]) == ("XX.TWO.00.VGZ", reason)


def test_a_mistyped_archive_leaves_no_trace_of_a_log_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(journal, "LOCAL_SECONDS", 0.001)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReadError):
        run(configure(tmp_path / "empty", tmp_path / "x.zarr"))
    assert not (tmp_path / "x.zarr").exists()


def test_a_run_that_does_not_come_to_its_end_leaves_a_record(archive: Path, tmp_path: Path) -> None:
    config = configure(archive, tmp_path / "x.zarr")
    run(config, stages=("convert",))
    stop = threading.Event()
    stop.set()
    with pytest.raises(ExecutionError) as caught:
        run(config, stages=("convert", "noise"), stop=stop)
    state, _ = states(Place.of(config.store_path), 5)[0]
    assert (state["state"], state["error"]) == ("stopped", str(caught.value))
    assert [(s["stage"], s["state"], s["done"]) for s in state["stages"]] == [
        ("convert", "done", 0), ("noise", "unfinished", 0),
    ]  # fmt: skip


@pytest.mark.slow
def test_workers_tell_what_they_needed(archive: Path, tmp_path: Path) -> None:
    store = tmp_path / "x.zarr"
    command = [sys.executable, "-m", "gravdask", "convert", str(archive), "-o", str(store), "--workers", "2"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as client:
        said = client.communicate(timeout=200)[1]
    assert client.returncode == 0, said
    assert "% reading, " in said
    ((state, _),) = states(Place.of(store), 5)
    assert state["pid"] == client.pid
    lines = list(log_lines(Place.of(store), state["run"]))
    pids = {line["pid"] for line in lines if line["event"] == "unit"}
    assert client.pid not in pids
    assert state["workers"] == len(pids) in (1, 2)
    assert state["peak_memory_bytes"]["workers"] > 50_000_000
    assert any("2 workers; dashboard" in line["text"] for line in lines if line["event"] == "said")


@pytest.mark.slow
def test_on_s3_a_run_leaves_two_objects_and_one_without_work_none(
    archive: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(journal, "REMOTE_SECONDS", 0.1)
    config = build_config({**configure(archive, Path("x")).model_dump(), "store": {"path": f"{s3}/x.zarr"}}, "a test")
    record = run(config, stages=("convert", "noise"))
    store = Place.of(f"{s3}/x.zarr")
    name = record.figures["run"]
    assert [e.name for e in (store / "runs").entries()] == [f"{name}.0000.jsonl.gz", f"{name}.json"]
    assert sum(line["event"] == "unit" for line in log_lines(store, name)) == 2 * len(STATIONS)
    found = run_values(store)
    assert (found["running"], found["last"]["run"], found["last"]["state"]) == ([], name, "done")
    assert run(config, stages=("convert", "noise")).units_done == 0
    assert len((store / "runs").entries()) == 2


def test_status_counts_the_units_that_a_run_counts(tmp_path: Path) -> None:
    network = simulate_network(tmp_path, stations=2, days=12, rate=0.1)
    config = build_config(
        {
            "archive": {"paths": [str(network.archive)], "stations": str(network.station_xml)},
            "store": {"path": str(tmp_path / "x.zarr")},
            "cluster": {"kind": "serial"},
        }
    )
    record = run(config, stages=("convert", "noise", "calibrate", "scatter"))
    counted = {row["stage"]: row["units"] for row in record.stages}
    told = status_values(config)["stages"]
    assert counted == {stage: sum(told[stage].values()) for stage in counted}
    assert min(counted.values()) >= 2
    whole = [r for r in Ledger(config.store_path / "ledger").of_stage("calibrate") if r.unit < 0]
    assert len(whole) == 2  # the estimate of each gravimeter, which is no unit


def test_a_run_that_gets_no_worker_for_its_scan_leaves_no_store(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        msg = "no worker came"
        raise PreflightError(msg)

    config = configure(archive, tmp_path / "x.zarr")
    monkeypatch.setattr(pipeline.archive_stage, "scan_archive", refused)
    with pytest.raises(PreflightError, match="no worker came"):
        run(config, stages=STAGES)
    assert list(tmp_path.iterdir()) == []

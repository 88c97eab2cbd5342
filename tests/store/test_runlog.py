"""What a run says of itself: true figures while it goes on and in the end, in memory that does not grow."""

from __future__ import annotations

import json
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from gravdask.config import build_config
from gravdask.errors import ExecutionError
from gravdask.store import journal as journal_module
from gravdask.store import runlog as module
from gravdask.store.journal import log_lines, states
from gravdask.store.layout import open_root
from gravdask.store.ledger import Record
from gravdask.store.place import Place
from gravdask.store.runlog import RunLog, about_run
from gravdask.usage import Usage


@pytest.fixture
def store(place: Place) -> Place:
    open_root(place, create=True)
    return place


def done(unit: int, channel: str = "XX.A.--.UGZ", stage: str = "noise") -> Record:
    return Record(stage, channel, unit, "f", "done", info={"bytes": 1})


def failed(unit: int, reason: str = "it is broken", **about: object) -> Record:
    return Record(
        "noise", "XX.A.--.UGZ", unit, "", "quarantined", info={"problems": [{"what": reason}], **about}, seconds=2.5
    )


def needed(seconds: float, pid: int = 7) -> Usage:
    return Usage(seconds, 0.25 * seconds, 0.25 * seconds, 0.5 * seconds, 10, pid * 1000, "node", pid, 1.7e9)


ROW = {"stage": "noise", "units": 5, "done": 3, "skipped": 1, "quarantined": 1, "parts": 9, "seconds": 2.0}


def follow(store: Place, exit_code: int = 1) -> dict[str, Any]:
    with RunLog(store, {"version": "1", "settings": {"task": [0, 1]}}) as log:
        with log.stage("noise"):
            log.follow(lambda: {"attempts": 3, "doubled": 0})
            log.planned("noise", 4, 1)
            for unit in range(3):
                log.unit(done(unit), needed(unit + 1.0, pid=unit % 2))
            log.unit(failed(3, host="node-7", tries=3), None)
            log.telling(lambda _: None)("a worker is lost")
            row = log.sums(ROW)
        figures = log.finish(exit_code)
    assert figures["mishaps"] == {"attempts": 3}
    assert figures["stages"] == [{**row, "state": "done", "started": figures["stages"][0]["started"]}]
    return figures


def test_the_record_of_a_run(store: Place) -> None:
    figures = follow(store)
    ((record, _),) = states(store, 5)
    differs = {key for key in record if record[key] != figures[key]}
    assert differs <= {"updated", "ended", "seconds", "log", "peak_memory_bytes", "seconds_since_unit"}
    assert record["state"] == "quarantined"
    (stage,) = record["stages"]
    assert {k: stage[k] for k in ROW} == ROW
    assert (stage["worker_seconds"], stage["read_seconds"]) == (6.0, 1.5)
    assert (stage["compute_seconds"], stage["write_seconds"], stage["bytes"]) == (3.0, 1.5, 30)
    assert (stage["units_per_second"], stage["peak_memory_bytes"]) == (2.0, 1000)
    assert [u["seconds"] for u in record["slowest"]] == [3.0, 2.0, 1.0]
    assert record["slowest"][0] == {
        "stage": "noise", "channel": "XX.A.--.UGZ", "unit": 2, "seconds": 3.0, "read_seconds": 0.75,
        "write_seconds": 0.75, "host": "node", "pid": 0,
    }  # fmt: skip
    assert record["quarantined"] == [
        {
            "stage": "noise", "channel": "XX.A.--.UGZ", "unit": 3, "reason": "it is broken", "seconds": 2.5,
            "host": "node-7", "tries": 3,
        }
    ]  # fmt: skip
    assert record["workers"] == 2
    assert record["peak_memory_bytes"]["workers"] == 1000
    assert record["peak_memory_bytes"]["client"] > 10_000_000
    assert record["log"] == {"lines": 9, "waiting": 0, "lost": 0, "fault": ""}
    assert record["ended"] >= record["started"] > "2024"


def test_the_lines_of_a_run(store: Place) -> None:
    figures = follow(store)
    lines = list(log_lines(store, figures["run"]))
    assert [line["event"] for line in lines] == [
        "run_start", "stage_start", "unit", "unit", "unit", "unit", "said", "stage_end", "run_end",
    ]  # fmt: skip
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert all(line["time"].endswith("Z") for line in lines)
    assert lines[0]["run"] == figures["run"]
    assert lines[3] == {
        "event": "unit", "time": lines[3]["time"], "stage": "noise", "channel": "XX.A.--.UGZ", "unit": 1,
        "status": "done", "seconds": 2.0, "read_seconds": 0.5, "compute_seconds": 1.0, "write_seconds": 0.5,
        "bytes": 10, "peak_memory_bytes": 1000, "host": "node", "pid": 1, "started": "2023-11-14T22:13:20.000Z",
    }  # fmt: skip
    assert (lines[5]["status"], lines[5]["reason"]) == ("quarantined", "it is broken")
    assert (lines[5]["seconds"], lines[5]["host"], lines[5]["tries"]) == (2.5, "node-7", 3)
    assert lines[6]["text"] == "a worker is lost"
    assert (lines[7]["stage"], lines[7]["state"], lines[7]["done"]) == ("noise", "done", 3)
    assert (lines[8]["state"], lines[8]["error"]) == ("quarantined", "")


def test_a_run_that_had_nothing_to_do_leaves_nothing(store: Place) -> None:
    with RunLog(store) as log, log.stage("noise"):
        log.planned("noise", 0, 5)
        log.sums({**ROW, "done": 0, "quarantined": 0})
    assert (store / "runs").entries() == []


@pytest.mark.parametrize(
    ("error", "stopped", "state"),
    [
        (ExecutionError("no worker is left"), False, "failed"),
        (ExecutionError("stopped as asked"), True, "stopped"),
        (KeyboardInterrupt(), False, "stopped"),
    ],
)
def test_how_a_run_ended_badly(store: Place, error: BaseException, stopped: bool, state: str) -> None:
    stop = threading.Event()
    with pytest.raises(type(error)), RunLog(store, stop=stop) as log, log.stage("convert"):  # noqa: PT012
        if stopped:
            stop.set()
        raise error
    ((record, _),) = states(store, 5)
    assert (record["state"], record["error"]) == (state, str(error) or "KeyboardInterrupt")
    assert record["stages"][0]["state"] == "unfinished"
    assert record["stages"][0]["units"] is None
    *_, end = log_lines(store, record["run"])
    assert (end["event"], end["state"]) == ("run_end", state)


def test_a_store_that_is_to_be_removed_is_told_nothing_more(store: Place) -> None:
    with pytest.raises(ExecutionError), RunLog(store) as log:  # noqa: PT012
        log.unit(done(0), None)
        log.discard()
        store.discard()
        raise ExecutionError
    assert list(store.walk()) == []


class Time:
    """A clock that goes on when it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(module, "time", made)
    return made


def test_the_time_left_follows_the_present_rate(clock: Time) -> None:
    log = RunLog()
    log.planned("noise", 1000, 17)
    with log.stage("noise"):
        assert log.state()["stages"][0]["units"] is None
        log.planned("noise", 1000, 17)
        for unit in range(100):  # one worker: a unit in ten seconds
            clock.now += 10
            log.unit(done(unit), None)
            stage = log.state()["stages"][0]
        assert stage["units"] == 1017
        assert (stage["done"], stage["skipped"]) == (100, 17)
        assert stage["units_per_second"] == pytest.approx(0.1)
        assert stage["seconds_left"] == pytest.approx(9000)
        for unit in range(400):  # ten workers
            clock.now += 1
            log.unit(done(unit), None)
            stage = log.state()["stages"][0]
        assert stage["units_per_second"] == pytest.approx(1.0)
        assert stage["seconds_left"] == pytest.approx(500)
        for _ in range(40):  # all of them hang
            clock.now += 10
            stage = log.state()["stages"][0]
        assert (stage["units_per_second"], stage["seconds_left"]) == (0.0, None)
        assert log.state()["seconds_since_unit"] == 400


def test_waiting_for_the_first_worker_is_no_work(clock: Time) -> None:
    log = RunLog()
    with log.stage("noise"):
        log.planned("noise", 100, 0)
        for _ in range(60):  # in the queue of a cluster
            clock.now += 10
            stage = log.state()["stages"][0]
            assert (stage["units_per_second"], stage["seconds_left"]) == (0.0, None)
        for unit in range(30):
            clock.now += 4
            log.unit(done(unit), needed(4.0))
            stage = log.state()["stages"][0]
            assert stage["units_per_second"] == pytest.approx(0.25)
            assert stage["seconds_left"] == pytest.approx(4 * (99 - unit))


def test_units_under_way_are_taken_to_be_half_done(clock: Time) -> None:
    log = RunLog()
    with log.stage("noise"):
        log.planned("noise", 40, 0)
        for _ in range(4):  # one each for four workers
            log.drawn("noise")
        clock.now += 10
        log.unit(done(0), needed(10.0))
        log.drawn("noise")
        stage = log.state()["stages"][0]
        assert stage["units_per_second"] == pytest.approx(0.1)
        assert stage["seconds_left"] == pytest.approx(37 / 0.3, abs=0.1)  # and not 390
        for unit in range(1, 20):
            clock.now += 2.5
            log.unit(done(unit), needed(10.0))
            log.drawn("noise")
            stage = log.state()["stages"][0]
        assert stage["units_per_second"] == pytest.approx(0.4)
        assert stage["seconds_left"] == pytest.approx((20 - 2) / 0.4, abs=0.1)


def test_memory_does_not_grow_with_the_units() -> None:
    log = RunLog()
    log.planned("noise", 60_000, 0)

    def units(first: int) -> int:
        for unit in range(first, first + 20_000):
            log.unit(done(unit) if unit % 2 else failed(unit), needed(1.0 + unit, pid=unit % 64))
        log.state()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = units(0)
        assert units(20_000) - first < 100_000
    finally:
        tracemalloc.stop()
    assert len(json.dumps(log.state())) < 20_000


def test_what_is_said_of_a_run_holds_no_address_and_no_key() -> None:
    config = build_config(
        {
            "archive": {"paths": ["s3://inner-bucket/x"], "select": ["AB*"], "start": "2024-01-01"},
            "cluster": {"kind": "address", "address": "tcp://10.9.8.7:8786"},
            "store": {"path": "s3://bucket/x.zarr", "endpoint": "https://inner.host"},
        },
        "a test",
    )
    about = about_run(config, ("noise",), ("*",), (1, 8))
    text = json.dumps(about)
    assert not [word for word in ("inner-bucket", "10.9.8.7", "inner.host") if word in text]
    assert about["settings"]["task"] == [1, 8]
    assert about["settings"]["select"] == ["AB*"]
    assert about["settings"]["cluster"]["kind"] == "address"
    assert about["configuration"] != about_run(build_config({}, "a test"), ("noise",), ("*",), (1, 8))["configuration"]


def test_what_texts_hold_of_keys_is_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "wJalrXUtnFEMI-K7MDENG"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)
    store = Place.of(tmp_path / "x.zarr")
    open_root(store, create=True)
    with pytest.raises(ExecutionError), RunLog(store, said=lambda: f"it is {key}") as log:  # noqa: PT012
        log.telling(lambda _: None)(f"the key is {key}")
        log.unit(failed(1, f"refused with {key}"), None)
        raise ExecutionError(f"s3://someone:{key}@bucket refuses")  # noqa: TRY003
    written = [(store / e.name).read().decode() for e in store.walk() if e.name.startswith("runs/")]
    assert len(written) == 2
    assert not any(key in text for text in written)
    assert all(word in "".join(written) for word in ("the key is ***", "refused with ***", "it is ***"))


def test_lines_go_out_while_the_run_goes_on(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "FIRST_SECONDS", 0.2)
    with RunLog(store, {"settings": {"task": [0, 1]}}) as log, log.stage("noise"):
        log.planned("noise", 2, 0)
        log.unit(done(0), needed(1.0))
        deadline = module.time.monotonic() + 20
        while not states(store, 1):
            assert module.time.monotonic() < deadline
        ((state, _),) = states(store, 1)
        assert (state["state"], state["stage"], state["ended"]) == ("running", "noise", "")
        assert [line["unit"] for line in log_lines(store, state["run"]) if line["event"] == "unit"] == [0]
        log.sums(ROW)

"""What a run leaves below ``runs/``: on every kind of place, also where it cannot be written, and never too much."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from gravdask.errors import ExecutionError
from gravdask.store import journal as module
from gravdask.store.journal import Journal, log_lines, prune, run_name, runs_of_process, states
from gravdask.store.layout import channel_names, open_root
from gravdask.store.objects import LocalObjects
from gravdask.store.place import Place

NAME = "20240101T000000Z-node-7-abcd"


@pytest.fixture
def store(place: Place) -> Place:
    open_root(place, create=True)
    return place


@pytest.fixture
def local(tmp_path: Path) -> Place:
    """A store in a folder."""
    found = Place.of(tmp_path / "x.zarr")
    open_root(found, create=True)
    return found


def state() -> dict[str, Any]:
    return {"run": NAME, "state": "running", "stages": []}


def objects(store: Place) -> list[str]:
    return [e.name for e in (store / "runs").entries()]


def until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lines_and_state_come_back(store: Place) -> None:
    journal = Journal(store, NAME, state)
    sent = [{"event": "unit", "unit": n, "reason": 'a "line"\nof two'} for n in range(1000)]
    for line in sent:
        journal.add(line)
    assert objects(store) == []  # a run that is through in a moment writes once
    journal.close(keep=True)
    assert list(log_lines(store, NAME)) == sent
    assert [found for found, _ in states(store, 5)] == [state()]
    assert len(objects(store)) == 2
    assert channel_names(open_root(store)) == []


def test_a_journal_that_is_not_to_be_kept_leaves_nothing(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.0)
    journal = Journal(store, NAME, state)
    journal.add({"event": "run_start"})
    until(lambda: f"{NAME}.json" in objects(store))
    (store / "runs/20240101T000000Z-node-7-beef.json").write(b"{}")
    journal.close(keep=False)
    assert objects(store) == ["20240101T000000Z-node-7-beef.json"]


def test_it_writes_while_the_run_goes_on(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(module, "LOCAL_SECONDS", 0.05)
    monkeypatch.setattr(module, "REMOTE_SECONDS", 0.05)
    journal = Journal(store, NAME, state)
    for number in range(3):
        journal.add({"unit": number})
        until(lambda wanted=number: [line["unit"] for line in log_lines(store, NAME)][-1:] == [wanted])
    journal.close(keep=True)
    assert [line["unit"] for line in log_lines(store, NAME)] == [0, 1, 2]
    assert len(objects(store)) == 2


def test_many_lines_do_not_wait_for_their_time(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(module, "LOCAL_SECONDS", 3600.0)
    journal = Journal(local, NAME, state)
    until(lambda: objects(local))
    for number in range(module.WAITING_LINES):
        journal.add({"unit": number})
    until(lambda: journal.figures()["lines"] == module.WAITING_LINES)
    journal.close(keep=True)


def test_where_objects_are_written_whole_only_the_last_one_is_written_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = Place.of(f"memory://{tmp_path.name}")
    open_root(store, create=True)
    monkeypatch.setattr(module, "SEGMENT_BYTES", 400)
    log, sent = module._Packed(store / "runs", NAME), []
    for number in range(40):
        lines = [{"unit": 3 * number + k, "noise": os.urandom(20).hex()} for k in range(3)]
        log.append([module.json.dumps(line) for line in lines])
        sent += lines
        assert list(log_lines(store, NAME)) == sent
    sizes = [e.size for e in (store / "runs").entries()]
    assert len(sizes) > 5
    assert all(400 <= size < 800 for size in sizes[:-1])


def test_a_line_that_a_crash_cut_off_is_left_out(local: Place) -> None:
    journal = Journal(local, NAME, state)
    journal.add({"unit": 1})
    journal.close(keep=True)
    file = Path(local / "runs" / f"{NAME}.jsonl")
    file.write_bytes(file.read_bytes() + b'{"unit":2,"sta')
    assert list(log_lines(local, NAME)) == [{"unit": 1}]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_store_that_is_gone_is_not_made_again(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(module, "LOCAL_SECONDS", 0.01)
    journal = Journal(local, NAME, state)
    until(lambda: objects(local))
    away = Path(f"{local}.away")
    Path(local).rename(away)
    journal.add({"unit": 1})
    until(lambda: "the store is gone" in journal.figures()["fault"])
    time.sleep(0.1)
    journal.close(keep=True)
    assert not Path(local).exists()
    assert journal.figures()["waiting"] == 1


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ExecutionError("the service failed")])
def test_what_could_not_be_written_is_written_later(
    local: Place, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(module, "LOCAL_SECONDS", 0.01)
    full = True
    real = module._Appended.append

    def append(self: Any, lines: list[str]) -> None:
        if full:
            raise error
        real(self, lines)

    monkeypatch.setattr(module._Appended, "append", append)
    journal = Journal(local, NAME, state)
    for number in range(10):
        journal.add({"unit": number})
    until(lambda: journal.figures()["fault"])
    assert str(error) in journal.figures()["fault"]
    full = False
    until(lambda: journal.figures()["lines"] == 10)
    journal.close(keep=True)
    assert [line["unit"] for line in log_lines(local, NAME)] == list(range(10))


def test_a_disk_that_stays_full_costs_lines_and_no_memory_and_no_run(
    local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: object, path: str, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    def append(self: object, lines: list[str]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalObjects, "write", write)
    monkeypatch.setattr(module._Appended, "append", append)
    monkeypatch.setattr(module, "MOST_LINES", 100)
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.0)
    journal = Journal(local, NAME, state)
    for number in range(250):
        journal.add({"unit": number})
    journal.close(keep=True)
    figures = journal.figures()
    assert figures["waiting"] + figures["lost"] == 250
    assert 100 <= figures["waiting"] <= 200
    assert "No space left" in figures["fault"]


# --- not too much -----------------------------------------------------------------------------------------------------


def leave(local: Place, number: int, age: float, size: int = 10) -> str:
    """A run that wrote for the last time some seconds ago."""
    name = run_name(f"2024-01-01T00:{number // 60:02d}:{number % 60:02d}.000Z", "node", 7)
    for end in ("json", "jsonl"):
        file = Path(local / "runs" / f"{name}.{end}")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x" * size)
        os.utime(file, (time.time() - age, time.time() - age))
    return name


def test_the_last_runs_are_kept_and_those_that_may_go_on(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_RUNS", 4)
    old = [leave(local, n, 10_000.0) for n in range(6)]
    lasting = leave(local, 6, 5.0)
    last = [leave(local, 7 + n, 9_000.0) for n in range(3)]
    prune(local / "runs")
    left = {name.partition(".")[0] for name in objects(local)}
    assert left == {lasting, *last}
    leave(local, 0, 3.0)
    prune(local / "runs")
    assert len(objects(local)) == 2 * 5
    assert not left & set(old)


def test_large_logs_go_before_the_records_do(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 1000)
    runs = [leave(local, n, 10_000.0 - n, size=200) for n in range(5)]
    leave(local, 50, 0.0, size=10)
    prune(local / "runs")
    logs = [name for name in objects(local) if name.endswith(".jsonl")]
    assert [name.partition(".")[0] for name in logs][:-1] == runs[3:]
    assert sum(name.endswith(".json") for name in objects(local)) == 6


def test_a_name_says_when_and_where_and_is_a_name_everywhere() -> None:
    name = run_name("2026-11-23T05:53:51.123Z", "node-1.cluster/é", 12)
    assert name.startswith("20261123T055351123Z-node_1_cluster__-12-")
    assert runs_of_process("node-1.cluster/é", 12) in name
    assert runs_of_process("node-1.cluster/é", 2) not in name
    assert run_name("2026-11-23T05:53:51.123Z", "a", 12) != run_name("2026-11-23T05:53:51.123Z", "a", 12)


def test_states_are_the_latest_and_those_that_are_asked_for(local: Place) -> None:
    for number in range(6):
        name = f"20240101T00000{number}Z-node-{number}-abcd"
        (local / "runs" / f"{name}.json").write(module.json.dumps({**state(), "run": name}).encode())
    (local / "runs/20240101T000009Z-node-9-abcd.json").write(b'{"run": ')
    found = [s["run"][14] for s, _ in states(local, 3, lambda run: "-node-1-" in run)]
    assert found == ["5", "4", "1"]

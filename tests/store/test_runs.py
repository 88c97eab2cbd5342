"""Who works on a store: told from what lies in it, whoever looks, and without touching it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gravdask.store import runs as module
from gravdask.store.claims import Claim
from gravdask.store.journal import run_name
from gravdask.store.layout import open_root
from gravdask.store.lease import Lease, machine
from gravdask.store.place import Place
from gravdask.store.runs import Runs

BASE = 1_700_000_000


@pytest.fixture
def store(tmp_path: Path) -> Place:
    found = Place.of(tmp_path / "x.zarr")
    open_root(found, create=True)
    return found


def dead_process() -> int:
    """Number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def leave(
    store: Place, second: int, state: str = "running", pid: int = 0, task: tuple[int, int] = (0, 1), **more: Any
) -> str:
    """State of a run as it would have been written."""
    host = more.pop("host", socket.gethostname())
    started = f"2024-01-01T00:00:{second:02d}.000Z"
    name = run_name(started, host, pid or os.getpid())
    ended = "" if state == "running" else started
    values = {
        "run": name, "state": state, "stages": [], "started": started, "updated": started, "ended": ended,
        "host": host, "pid": pid or os.getpid(), "machine": more.pop("machine", machine()),
        "settings": {"task": list(task)}, **more,
    }  # fmt: skip
    (store / "runs" / f"{name}.json").write(json.dumps(values).encode())
    return name


def claim(store: Place, pid: int, age: float = 0.0, **more: Any) -> None:
    """Lease of another client, renewed some seconds ago."""
    values: dict[str, Any] = {"host": socket.gethostname(), "machine": machine(), "held": True, **more}
    made = Claim(f"lease{pid}", 1.0, values.pop("host"), pid, ("*",), ("noise",), (0, 1), **values)
    file = store / "ledger" / "leases" / f"{made.id}.json"
    file.write(made.content())
    os.utime(file, (time.time() - age, time.time() - age))


def names(states: list[dict[str, Any]]) -> list[str]:
    return [state["run"] for state in states]


def test_a_store_nobody_worked_on_has_no_runs(store: Place) -> None:
    assert Runs.of(store) == Runs([], [], [], None)


def test_a_run_goes_on_while_its_lease_is_alive(store: Place) -> None:
    with Lease(store / "ledger" / "leases", ("*",), ("noise",)):
        found = Runs.of(store)
        assert [(c["host"], c["pid"]) for c in found.starting] == [(socket.gethostname(), os.getpid())]
        assert "noise" in found.starting[0]["claims"]
        run = leave(store, 1)
        found = Runs.of(store)
        assert (names(found.running), found.starting, found.lost, found.last) == ([run], [], [], None)
        assert 0 <= found.running[0]["silent_seconds"] < 5
    found = Runs.of(store)
    assert (found.running, names(found.lost)) == ([], [run])
    assert found.lost[0]["state"] == "lost"


def test_a_process_that_is_gone_from_this_machine_is_dead_at_once(store: Place) -> None:
    pid = dead_process()
    claim(store, pid)
    run = leave(store, 1, pid=pid)
    assert names(Runs.of(store).lost) == [run]
    claim(store, os.getpid())
    assert Runs.of(store).starting[0]["pid"] == os.getpid()
    assert names(Runs.of(store).lost) == [run]


@pytest.mark.parametrize(("age", "going_on"), [(5.0, True), (45.0, True), (120.0, False)])
def test_elsewhere_the_heartbeat_decides(store: Place, age: float, going_on: bool) -> None:
    claim(store, 77, age, host="far", machine="other")
    run = leave(store, 1, pid=77, host="far", machine="other")
    file = store / "runs" / f"{run}.json"
    os.utime(file, (time.time() - age - 3, time.time() - age - 3))
    found = Runs.of(store)
    assert names(found.running) == ([run] if going_on else [])
    assert names(found.lost) == ([] if going_on else [run])
    assert (found.running + found.lost)[0]["silent_seconds"] == pytest.approx(age, abs=4)


def test_a_clock_that_is_behind_takes_nobody_for_dead(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    claim(store, 77, 2.0, host="far", machine="other")
    run = leave(store, 1, pid=77, host="far", machine="other")
    monkeypatch.setattr(module.time, "time", lambda: BASE)
    found = Runs.of(store)
    assert names(found.running) == [run]
    assert found.running[0]["silent_seconds"] >= 0


def test_who_waits_to_enter_is_not_at_work(store: Place) -> None:
    claim(store, os.getpid(), held=False)
    assert Runs.of(store) == Runs([], [], [], None)


@pytest.mark.parametrize(
    ("lost", "later", "told"),
    [((0, 1), (0, 1), False), ((2, 8), (2, 8), False), ((2, 8), (3, 8), True), ((2, 8), (0, 1), False)],
)
def test_what_a_later_run_went_on_with_is_not_told_any_more(
    store: Place, lost: tuple[int, int], later: tuple[int, int], told: bool
) -> None:
    run = leave(store, 1, pid=dead_process(), task=lost)
    earlier = leave(store, 0, state="done", task=lost)
    assert names(Runs.of(store).lost) == [run]
    last = leave(store, 2, state="done", task=later)
    found = Runs.of(store)
    assert names(found.lost) == ([run] if told else [])
    assert found.last is not None
    assert found.last["run"] == last != earlier


def test_a_run_that_ends_while_one_looks_is_not_dead(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is read while the run goes on, and its lease is gone when leases are looked at after it."""
    lease = Lease(store / "ledger" / "leases", ("*",), ("noise",))
    lease.__enter__()
    run = leave(store, 1)
    real = module.states

    def slow(*arguments: Any) -> Any:
        found = real(*arguments)
        lease.__exit__(None, None, None)
        return found

    monkeypatch.setattr(module, "states", slow)
    assert names(Runs.of(store).running) == [run]


def test_a_run_that_begins_while_one_looks_is_not_dead(store: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.states

    def slow(*arguments: Any) -> Any:
        claim(store, os.getpid())
        leave(store, 1)
        return real(*arguments)

    monkeypatch.setattr(module, "states", slow)
    found = Runs.of(store)
    assert (len(found.running), found.lost) == (1, [])


def test_looking_changes_nothing(store: Place) -> None:
    claim(store, dead_process(), 500.0)
    leave(store, 1)
    before = [(e.name, e.tag) for e in sorted(store.walk())]
    Runs.of(store)
    assert [(e.name, e.tag) for e in sorted(store.walk())] == before


def test_a_run_that_goes_on_for_long_is_seen_behind_many_later_ones(
    store: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LATEST", 3)
    claim(store, os.getpid())
    run = leave(store, 1)
    pid = dead_process()
    for second in range(2, 12):
        leave(store, second, state="done", pid=pid)
    assert names(Runs.of(store).running) == [run]


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b'{"run": 3}', b"\xff\xfe"])
def test_what_is_no_state_is_passed_over(store: Place, content: bytes) -> None:
    (store / "runs" / "20240101T000000Z-a-1-abcd.json").write(content)
    (store / "ledger" / "leases" / "x.json").write(content)
    assert Runs.of(store) == Runs([], [], [], None)

"""Turns: of several clients of one store one at a time makes groups and arrays; a dead one is passed over."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from gravdask.errors import ExecutionError
from gravdask.store.lease import EXPIRY_SECONDS, Lease
from gravdask.store.place import Place
from gravdask.store.turn import NAME, Turns

CLIENTS, ROUNDS = 4, 25


def lease(folder: Place | Path, share: int = 0) -> Lease:
    return Lease(folder, ("*",), ("noise",), (share, 100))


def turns(held: Lease) -> Turns:
    return Turns(held, lambda _: None)


def count(folder: str, share: int) -> None:
    """Add one to a number in a file again and again, each time in a turn, in a way that two at once would spoil."""
    place = Path(folder, "number")
    with lease(Path(folder, "leases"), share) as held:
        mine = turns(held)
        for _ in range(ROUNDS):
            with mine.take() as needed:
                assert needed
                number = int(place.read_text())
                time.sleep(0.001)
                place.write_text(str(number + 1))


def test_of_many_processes_one_at_a_time_has_its_turn(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    context = multiprocessing.get_context("spawn")
    clients = [context.Process(target=count, args=(str(tmp_path), n)) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(100)
    assert [client.exitcode for client in clients] == [0] * CLIENTS
    assert (tmp_path / "number").read_text() == str(CLIENTS * ROUNDS)
    assert list((tmp_path / "leases").iterdir()) == []


def left_by(folder: Path, *, pid: int, host: str | None = None, age: float = 0.0) -> None:
    """Write lease and turn of a client that has not given them up."""
    with lease(folder, 1) as other:
        claim = json.loads((folder / f"{other.id}.json").read_text()) | {"pid": pid}
        name = other.id
    claim |= {} if host is None else {"host": host}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(claim))
    (folder / NAME).write_text(name)
    os.utime(path, (time.time() - age, time.time() - age))


@pytest.mark.parametrize("dead", ["process", "heartbeat", "lease"])
def test_who_died_in_its_turn_is_passed_over(tmp_path: Path, dead: str, dead_pid: int) -> None:
    if dead == "lease":
        tmp_path.joinpath(NAME).write_text("f" * 32)
    elif dead == "process":
        left_by(tmp_path, pid=dead_pid)
    else:
        left_by(tmp_path, pid=1, host="node17.cluster", age=EXPIRY_SECONDS + 5)
    with lease(tmp_path) as held, turns(held).take() as needed:
        assert needed
        assert (tmp_path / NAME).read_text() == held.id
    assert not (tmp_path / NAME).exists()


def test_who_waits_is_told_so_and_may_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gravdask.store.turn.TELL_SECONDS", 0.2)
    left_by(tmp_path, pid=1, host="node17.cluster")
    said: list[str] = []
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    with lease(tmp_path) as held, pytest.raises(ExecutionError, match="run again to continue"):  # noqa: SIM117
        with Turns(held, said.append, stop).take():
            pytest.fail("it was not this client's turn")
    assert len(said) == 1
    assert "waiting for another client" in said[0]
    assert (tmp_path / NAME).exists()


def test_what_another_made_meanwhile_is_not_made_again(place: Place) -> None:
    folder = place / "leases"
    made: list[str] = []
    entered = threading.Event()

    def first() -> None:
        with lease(folder, 1) as held, turns(held).take():
            entered.set()
            time.sleep(0.5)
            made.append("first")

    other = threading.Thread(target=first)
    other.start()
    assert entered.wait(20)
    with lease(folder) as held, turns(held).take(lambda: not made) as needed:
        assert not needed
    other.join()
    assert made == ["first"]
    assert not (folder / NAME).exists()


def test_a_turn_that_fails_is_over(tmp_path: Path) -> None:
    failure = "the work failed"
    with lease(tmp_path) as held:
        with pytest.raises(RuntimeError, match=failure), turns(held).take():
            raise RuntimeError(failure)
        assert not (tmp_path / NAME).exists()


def test_a_turn_whose_answer_was_lost_is_this_clients(tmp_path: Path) -> None:
    with lease(tmp_path) as held:
        (tmp_path / NAME).write_text(held.id)
        with turns(held).take() as needed:
            assert needed


def test_nothing_is_begun_anew_where_the_store_has_gone(tmp_path: Path) -> None:
    store = tmp_path / "x.zarr"
    with lease(store / "ledger/leases") as held:
        shutil.rmtree(store)
        with pytest.raises(ExecutionError, match="the store is gone"), turns(held).take():
            pytest.fail("there is nothing to do")
    assert not store.exists()


def test_who_is_alone_by_its_lease_asks_nobody(tmp_path: Path) -> None:
    with (
        Lease(tmp_path, ("*",), ("noise",)) as held,
        turns(held).take(lambda: pytest.fail("what was seen before stands")) as needed,
    ):
        assert needed
        assert not (tmp_path / NAME).exists()
    for share in ((("A.*",), (0, 1), (None, None)), (("*",), (0, 2), (None, None)), (("*",), (0, 1), (0, None))):
        channels, part, days = share
        assert not Lease(tmp_path, channels, ("noise",), part, days).alone

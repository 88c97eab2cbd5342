"""Objects that only one writer may make: refused to the second by folders, by memory, and by a real S3 service."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gravdask.store.lease import Lease
from gravdask.store.ledger import Ledger, Record
from gravdask.store.place import Place


def test_a_second_writer_is_refused_and_the_first_one_s_object_stays(place: Place) -> None:
    one = place / "ledger/noise/1.jsonl"
    assert one.create(b"first")
    assert not one.create(b"second")
    with pytest.raises(FileExistsError, match="another writer made it"):
        one.write_new(b"second")
    assert one.read() == b"first"
    assert [e.name for e in (place / "ledger/noise").entries()] == ["1.jsonl"]


def test_an_answer_that_was_lost_is_no_second_writer(place: Place) -> None:
    """The service has the object, the client did not hear so, and puts it again."""
    one = place / "ledger/noise/1.jsonl"
    one.write_new(b"mine")
    one.write_new(b"mine")
    assert one.read() == b"mine"


def test_of_many_threads_one_makes_the_object(place: Place) -> None:
    barrier, made = threading.Barrier(8), []

    def make(n: int) -> None:
        barrier.wait()
        if (place / "marker").create(str(n).encode()):
            made.append(n)

    threads = [threading.Thread(target=make, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert (place / "marker").read() == str(made[0]).encode()


MAKE = "import pickle, sys; p, c = pickle.load(sys.stdin.buffer); print([(p / f'm{n}').create(c) for n in range(20)])"


@pytest.mark.slow
@pytest.mark.parametrize("where", ["file", "s3"])
def test_of_several_processes_one_makes_each_object(where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    place = Place.of(tmp_path / "x" if where == "file" else f"{request.getfixturevalue('s3')}/x")
    started = [
        subprocess.Popen([sys.executable, "-c", MAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)
    ]
    for n, process in enumerate(started):
        assert process.stdin is not None
        process.stdin.write(pickle.dumps((place, str(n).encode())))
        process.stdin.flush()
    said = [process.communicate(timeout=120)[0].decode() for process in started]
    results = [[word == "True" for word in text.strip("[]\n ").split(", ")] for text in said]
    assert all(len(result) == 20 for result in results)
    for n in range(20):
        makers = [i for i, result in enumerate(results) if result[n]]
        assert len(makers) == 1
        assert (place / f"m{n}").read() == str(makers[0]).encode()


def test_the_request_to_the_service_is_conditional(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is the service's, not this client's look beforehand: nobody looks between question and answer."""
    from gravdask.store.s3 import S3Objects

    place = Place.of(f"{s3}/x")
    place.write(b"there")
    for looking in ("stat", "read", "entries"):
        monkeypatch.setattr(S3Objects, looking, lambda *_: pytest.fail("it looked first"))
    assert not place.create(b"other")


def test_a_lease_is_not_written_over_another_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease(tmp_path / "leases", ("*",), ("convert",))
    taken: Any = lease._object
    taken.write(b"somebody else's")
    with pytest.raises(FileExistsError), lease:
        pass
    assert taken.read() == b"somebody else's"


def test_segments_of_two_clients_never_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same nanosecond by their clocks."""
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_000)
    ledgers = [Ledger(tmp_path / "ledger") for _ in range(5)]
    for unit, ledger in enumerate(ledgers):
        ledger.add(Record("noise", "A", unit, "f", "done"))
        ledger.flush()
    names = [name for name in os.listdir(tmp_path / "ledger/noise") if name.endswith(".jsonl")]
    assert len(names) == 5
    assert [r.unit for r in Ledger(tmp_path / "ledger").of_stage("noise")] == list(range(5))

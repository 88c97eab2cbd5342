"""Where a unit's time goes: every moment once, nothing outside of a unit, nothing changed in results."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gravdask import usage as usage_module
from gravdask.archive.remote import open_source
from gravdask.execution import Failure, SerialRunner
from gravdask.grid import Blocks
from gravdask.store.layout import create_array, open_root, read_span, sub_array, write_unit
from gravdask.store.place import Place
from gravdask.store.shards import read_shard
from gravdask.usage import SLOWEST, Measured, Tally, Usage, measuring, peak_memory, shares, wrote


class Time:
    """A clock that goes on when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def time(self) -> float:
        return 5.0

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(usage_module, "time", made)
    return made


def seconds(found: Usage) -> tuple[float, float, float, float]:
    return found.seconds, found.read, found.compute, found.write


def test_every_moment_counts_once_for_the_innermost(clock: Time) -> None:
    @measuring("read")
    def read(amount: float) -> float:
        clock.spend(amount)
        return amount

    def work(task: str) -> str:
        clock.spend(1)
        read(2)
        with measuring("write"):
            clock.spend(4)
            read(8)
            with measuring("write"):
                clock.spend(16)
        clock.spend(32)
        return task + "!"

    result, found = Measured(work)("unit")
    assert result == "unit!"
    assert seconds(found) == (63.0, 10.0, 33.0, 20.0)
    assert found.started == 5.0


def test_an_error_within_ends_its_measuring_and_passes_through(clock: Time) -> None:
    def work(task: int) -> int:
        with contextlib.suppress(KeyError), measuring("read"):
            clock.spend(1)
            raise KeyError
        clock.spend(2)
        if task:
            raise ValueError(task)
        return task

    _, found = Measured(work)(0)
    assert seconds(found) == (3.0, 1.0, 2.0, 0.0)
    with pytest.raises(ValueError, match=r"^1$"):
        Measured(work)(1)
    _, found = Measured(work)(0)  # the clock of the one that failed does not run on
    assert seconds(found) == (3.0, 1.0, 2.0, 0.0)


def test_a_unit_within_a_unit_has_its_own_time(clock: Time) -> None:
    def inner(amount: int) -> int:
        with measuring("read"):
            clock.spend(amount)
        return amount

    def outer(amount: int) -> Usage:
        with measuring("write"):
            _, found = Measured(inner)(amount)
        clock.spend(1)
        return found

    within, found = Measured(outer)(7)
    assert seconds(within) == (7.0, 7.0, 0.0, 0.0)
    assert seconds(found) == (8.0, 0.0, 1.0, 7.0)


def test_threads_do_not_count_for_each_other(clock: Time) -> None:
    def beside() -> None:
        with measuring("read"):
            clock.spend(4)
        wrote(1000)

    def work(task: int) -> int:
        other = threading.Thread(target=beside)
        other.start()
        other.join()
        return task

    _, found = Measured(work)(0)
    assert (found.read, found.written) == (0.0, 0)
    assert found.compute == 4.0


def test_outside_of_a_unit_nothing_is_measured() -> None:
    with measuring("read"), measuring("write"):
        assert wrote(10) == 10
    assert wrote(None) is None
    _, found = Measured(abs)(-1)
    assert (found.read, found.write, found.written) == (0.0, 0.0, 0)


def work_of_a_module(task: int) -> int:
    return task + 1


def test_it_travels_and_is_named_after_the_function() -> None:
    sent = pickle.loads(pickle.dumps(Measured(work_of_a_module)))
    assert sent.__module__ == work_of_a_module.__module__
    assert sent(1)[0] == 2
    result, found = sent(1)
    assert pickle.loads(pickle.dumps(found)) == found
    assert (found.host, found.pid) == (usage_module.socket.gethostname(), usage_module.os.getpid())
    assert result == 2


def test_a_runner_sees_failures_as_without_it() -> None:
    def work(task: int) -> int:
        if task:
            raise OSError(5, "input/output error")
        return task

    plain = [result for _, result in SerialRunner(1).run(work, [1])]
    measured = [result for _, result in SerialRunner(1).run(Measured(work), [1])]
    assert isinstance(plain[0], Failure)
    assert isinstance(measured[0], Failure)
    assert (plain[0].reason, plain[0].transient) == (measured[0].reason, measured[0].transient)


# --- memory -----------------------------------------------------------------------------------------------------------


def test_the_peak_of_memory_stays_when_it_is_given_back() -> None:
    before = peak_memory()
    held: Any = np.ones(40_000_000, np.uint8)
    held = np.concatenate([held, held])
    during = peak_memory()
    del held
    assert during >= before
    assert peak_memory() >= during > 80_000_000


def test_a_process_does_not_inherit_the_peak_of_the_one_that_started_it() -> None:
    held = np.ones(400_000_000, np.uint8)
    own = peak_memory()
    code = "from gravdask.usage import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert held.nbytes < own
    assert 1_000_000 < int(done.stdout) < 300_000_000


# --- the functions that read and write --------------------------------------------------------------------------------


@pytest.fixture
def spent() -> Iterator[list[str]]:
    """What the clock of a unit was told, in its order."""
    told: list[str] = []

    class Told(usage_module._Clock):
        def begin(self, kind: str) -> None:
            told.append(kind)
            super().begin(kind)

    real = usage_module._Clock
    usage_module._Clock = Told  # type: ignore[misc]
    yield told
    usage_module._Clock = real  # type: ignore[misc]


def test_store_and_archive_say_what_they_do(tmp_path: Path, spent: list[str]) -> None:
    place = Place.of(tmp_path / "x.zarr")
    group = open_root(place, create=True).require_group("XX.A.--.UGZ/raw")
    array = create_array(group, "record", Blocks(4000, 1000, 100), ("time",), "int32")
    values = np.random.default_rng(0).integers(-1000, 1000, 2000).astype("int32")

    def kinds(function: Any) -> tuple[list[str], Usage]:
        spent.clear()
        _, found = Measured(lambda _: function())(None)
        return list(spent), found

    told, found = kinds(lambda: write_unit(array, 1000, values))
    assert told == ["write"]
    sizes = [p.stat().st_size for p in (tmp_path / "x.zarr/XX.A.--.UGZ/raw/record/c").rglob("*") if p.is_file()]
    assert (len(sizes), found.written) == (2, sum(sizes))
    assert found.write > 0
    assert kinds(lambda: read_span(array, 0, 4000))[0] == ["read"]
    assert kinds(lambda: read_shard(array, 1000))[0] == ["read"]
    assert kinds(lambda: sub_array(open_root(place), "XX.A.--.UGZ/raw/record"))[0] == ["read", "read"]
    (tmp_path / "a.csv").write_text("2024-01-01 00:00:00,1\n2024-01-01 00:00:01,2\n")
    with pytest.raises(Exception, match=r"a\.csv"):
        kinds(lambda: open_source(tmp_path / "a.csv"))
    assert spent == ["read"]


# --- sums -------------------------------------------------------------------------------------------------------------


def needed(value: float, read: float = 0.0) -> Usage:
    return Usage(value, read, 0.5 * (value - read), 0.5 * (value - read), 3, int(value * 100), "node", 7, 0.0)


def test_sums_do_not_grow_and_know_the_slowest() -> None:
    values = np.random.default_rng(3).permutation(500).astype(float)
    tally = Tally()
    made = 0

    def about(value: float) -> dict[str, Any]:
        nonlocal made
        made += 1
        return {"value": value}

    for value in values.tolist():
        tally.add(needed(value, 0.25 * value), lambda value=value: about(value))  # type: ignore[misc]
    assert tally.units == 500
    assert sorted((s, a["value"]) for s, _, a in tally.slowest) == [(v, v) for v in range(500 - SLOWEST, 500)]
    assert made < 100
    assert tally.figures() == {
        "worker_seconds": 124_750.0,
        "read_seconds": 31_187.5,
        "compute_seconds": 46_781.25,
        "write_seconds": 46_781.25,
        "bytes": 1500,
        "peak_memory_bytes": 49_900,
    }
    assert shares(tally.figures()) == "25% reading, 38% computing, 38% writing"


def test_nothing_measured_is_no_share_of_anything() -> None:
    assert shares(Tally().figures()) == shares({}) == ""

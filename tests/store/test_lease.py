"""The lease: two clients never work on the same channels, stages and units; a dead one holds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import LeaseHeldError
from gravdask.stages.selection import matches
from gravdask.store import lease as lease_module
from gravdask.store.lease import EXPIRY_SECONDS, HEARTBEAT_SECONDS, Lease, may_share

ALL = ("*",)
STAGE = ("noise",)


def claims(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))]


def foreign(folder: Path, age: float = 0.0, **values: Any) -> Path:
    """Write the lease of another client: by default one on another host that came earlier."""
    claim = {
        "id": "0" * 32,
        "time": time.time() - 3600 - age,
        "host": "node17.cluster",
        "pid": 4711,
        "channels": ["*"],
        "stages": ["noise", "scatter"],
        "part": [0, 1],
    } | values
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{claim['id']}.json"
    path.write_text(json.dumps(claim))
    stamp = time.time() - age
    os.utime(path, (stamp, stamp))
    return path


def dead_pid() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_lease_is_one_object_that_lists_its_claims_and_goes_with_the_block(tmp_path: Path) -> None:
    with Lease(tmp_path / "leases", ("AU.*",), ("noise", "fit"), (1, 4)):
        (claim,) = claims(tmp_path / "leases")
        assert claim["pid"] == os.getpid()
        assert (claim["channels"], claim["stages"], claim["part"]) == (["AU.*"], ["noise", "fit"], [1, 4])
        assert time.time() - 60 < claim["time"] <= time.time()
    assert claims(tmp_path / "leases") == []


def test_a_lease_is_given_up_when_the_block_fails(tmp_path: Path) -> None:
    failure = "the work failed"
    with pytest.raises(RuntimeError, match=failure), Lease(tmp_path, ALL, STAGE):
        raise RuntimeError(failure)
    with Lease(tmp_path, ALL, STAGE):
        assert len(claims(tmp_path)) == 1


def test_the_second_client_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with Lease(tmp_path, ALL, ("noise", "scatter")):
        with pytest.raises(LeaseHeldError) as caught, Lease(tmp_path, ALL, STAGE):
            pytest.fail("two clients hold the same claim")
        text = str(caught.value)
        assert f"process {os.getpid()} on " in text
        assert time.strftime("since %Y-%m-%d ", time.gmtime()) in text
        assert "stages noise, scatter" in text
        assert "wait for it, stop it, or work on other channels" in text
        assert len(claims(tmp_path)) == 1


def test_the_first_client_is_not_disturbed_by_the_second(tmp_path: Path) -> None:
    with Lease(tmp_path, ALL, STAGE) as first:
        with pytest.raises(LeaseHeldError), Lease(tmp_path, ALL, STAGE):
            pass
        first.check()


def test_another_process_is_refused(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\nfrom gravdask.store.lease import Lease\n"
        "with Lease(pathlib.Path(sys.argv[1]), ('*',), ('noise',)):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LeaseHeldError, match=f"process {holder.pid} "), Lease(tmp_path, ALL, STAGE):
            pass
        holder.kill()
        holder.wait()
        assert len(claims(tmp_path)) == 1
        with Lease(tmp_path, ALL, STAGE) as lease:
            lease.check()
            assert [c["pid"] for c in claims(tmp_path)] == [os.getpid()]
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()


# --- who is dead ------------------------------------------------------------------------------------------------------


def test_a_live_lease_of_another_host_counts(tmp_path: Path) -> None:
    foreign(tmp_path, age=EXPIRY_SECONDS / 2)
    with pytest.raises(LeaseHeldError, match=r"process 4711 on node17\.cluster"), Lease(tmp_path, ALL, STAGE):
        pass


def test_a_lease_whose_heartbeat_stopped_is_taken_over(tmp_path: Path) -> None:
    path = foreign(tmp_path, age=EXPIRY_SECONDS + 5)
    with Lease(tmp_path, ALL, STAGE):
        assert not path.exists()


def test_a_stopped_heartbeat_counts_more_than_a_living_process(tmp_path: Path) -> None:
    path = foreign(tmp_path, age=EXPIRY_SECONDS + 5, host=lease_module.socket.gethostname(), pid=os.getpid())
    with Lease(tmp_path, ALL, STAGE):
        assert not path.exists()


def test_a_lease_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    path = foreign(tmp_path, host=lease_module.socket.gethostname(), pid=dead_pid())
    with Lease(tmp_path, ALL, STAGE):
        assert not path.exists()


def test_a_dead_process_number_of_another_host_says_nothing(tmp_path: Path) -> None:
    foreign(tmp_path, pid=dead_pid())
    with pytest.raises(LeaseHeldError), Lease(tmp_path, ALL, STAGE):
        pass


def test_half_written_and_broken_leases_do_not_stop_the_work(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"id": "')
    (tmp_path / "y.partial").write_text("{}")
    with Lease(tmp_path, ALL, STAGE) as lease:
        lease.check()
        assert len(list(tmp_path.glob("*.json"))) == 2


def test_the_heartbeat_renews_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HEARTBEAT_SECONDS * 3 <= EXPIRY_SECONDS
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.005)
    with Lease(tmp_path, ALL, STAGE):
        (path,) = tmp_path.glob("*.json")
        os.utime(path, (1.0, 1.0))
        waiting = threading.Event()
        for _ in range(2000):
            if path.stat().st_mtime > time.time() - 60:
                break
            waiting.wait(0.005)
        else:
            pytest.fail("the heartbeat did not renew the lease")


def test_the_heartbeat_survives_the_removal_of_its_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A taken-over client must be told by check(), not by a traceback of its thread, nor claim again."""
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.001)
    beats = []
    real = os.utime

    def removed_before(path: Path) -> None:
        Path(path).unlink(missing_ok=True)
        beats.append(path)
        real(path)

    monkeypatch.setattr(lease_module.os, "utime", removed_before)
    with Lease(tmp_path, ALL, STAGE) as lease:
        waiting = threading.Event()
        for _ in range(2000):
            if beats:
                break
            waiting.wait(0.005)
        waiting.wait(0.05)
        assert lease._thread.is_alive()
        assert claims(tmp_path) == []
        with pytest.raises(LeaseHeldError):
            lease.check()


def test_a_client_whose_lease_was_removed_must_not_commit(tmp_path: Path) -> None:
    with Lease(tmp_path, ALL, STAGE) as lease:
        lease.check()
        next(tmp_path.glob("*.json")).unlink()
        with pytest.raises(LeaseHeldError, match=r"taken away as expired; another client may be working\. Run again"):
            lease.check()


# --- races ------------------------------------------------------------------------------------------------------------


def test_of_two_clients_one_goes_on_whatever_the_order_of_making_and_entering(tmp_path: Path) -> None:
    """A client that was made first but enters second must not get past one that works already."""
    early, late = Lease(tmp_path, ALL, STAGE), Lease(tmp_path, ALL, STAGE)
    with late:
        with pytest.raises(LeaseHeldError), early:
            pass
        late.check()


def test_a_client_that_entered_before_a_lower_claim_was_visible_stops_at_the_next_commit(tmp_path: Path) -> None:
    with Lease(tmp_path, ALL, STAGE) as lease:
        lease.check()
        foreign(tmp_path)
        with pytest.raises(LeaseHeldError, match="process 4711"):
            lease.check()


def test_equal_times_are_decided_by_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(lease_module.time, "time", lambda: now)
    lower = foreign(tmp_path, time=now, id="0" * 32)
    with pytest.raises(LeaseHeldError), Lease(tmp_path, ALL, STAGE):
        pass
    lower.unlink()
    foreign(tmp_path, time=now, id="f" * 32 + "f")
    with Lease(tmp_path, ALL, STAGE) as lease:
        lease.check()


def test_of_many_clients_at_once_exactly_one_may_commit(tmp_path: Path) -> None:
    """Threads stand for clients; all have tried to enter before any of them wants to commit."""
    clients = 8
    start, tried, finished = (threading.Barrier(clients, timeout=60) for _ in range(3))
    outcomes: list[str] = []

    def client() -> None:
        start.wait()
        try:
            with Lease(tmp_path, ALL, STAGE) as lease:
                tried.wait()
                try:
                    lease.check()
                    outcomes.append("commits")
                except LeaseHeldError:
                    outcomes.append("stops")
                finished.wait()
        except LeaseHeldError:
            outcomes.append("refused")
            tried.wait()
            finished.wait()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == clients
    assert outcomes.count("commits") == 1


# --- what overlaps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ((ALL, ("noise",), (0, 1)), (ALL, ("scatter",), (0, 1))),
        ((("AU.*",), STAGE, (0, 1)), (("CN.*",), STAGE, (0, 1))),
        ((("AU.A.--.UGZ",), STAGE, (0, 1)), (("AU.B.*", "CN.*"), STAGE, (0, 1))),
        ((("334",), STAGE, (0, 1)), (("XX.335",), STAGE, (0, 1))),
        ((("A?",), STAGE, (0, 1)), (("A",), STAGE, (0, 1))),
        ((ALL, STAGE, (0, 3)), (ALL, STAGE, (2, 3))),
    ],
)
def test_disjoint_claims_coexist(tmp_path: Path, one: tuple[Any, ...], two: tuple[Any, ...]) -> None:
    with Lease(tmp_path, *one) as first, Lease(tmp_path, *two) as second:
        first.check()
        second.check()
        assert len(claims(tmp_path)) == 2


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ((ALL, ("noise", "fit"), (0, 1)), (ALL, ("fit", "report"), (0, 1))),
        ((ALL, STAGE, (0, 1)), (("AU.A.--.UGZ",), STAGE, (0, 1))),
        ((("AU.A.--.UGZ",), STAGE, (0, 1)), (ALL, STAGE, (0, 1))),
        ((("AU.*",), STAGE, (0, 1)), (("*.UGZ",), STAGE, (0, 1))),
        ((("AB*",), STAGE, (0, 1)), (("*Z",), STAGE, (0, 1))),
        ((("334",), STAGE, (0, 1)), (("XX.334",), STAGE, (0, 1))),
        ((("XX.334",), STAGE, (0, 1)), (("XX.334.--.UGZ",), STAGE, (0, 1))),
        ((("[AB]1",), STAGE, (0, 1)), (("A?",), STAGE, (0, 1))),
        ((ALL, STAGE, (0, 3)), (ALL, STAGE, (0, 3))),
        ((ALL, STAGE, (0, 3)), (ALL, STAGE, (1, 2))),
        ((ALL, STAGE, (0, 1)), (ALL, STAGE, (1, 2))),
    ],
)
def test_overlapping_claims_do_not(tmp_path: Path, one: tuple[Any, ...], two: tuple[Any, ...]) -> None:
    with Lease(tmp_path, *one), pytest.raises(LeaseHeldError), Lease(tmp_path, *two):
        pass


NAME = st.tuples(*(st.text("AB@", min_size=1, max_size=2) for _ in range(4))).map(".".join)


@st.composite
def pattern_of(draw: st.DrawFn, name: str) -> str:
    """A shell pattern that the stages take for this channel: any form of its name, characters made wild."""
    network, station, *_ = name.split(".")
    form = draw(st.sampled_from([name, f"{network}.{station}", station]))
    parts = []
    for letter in form:
        parts.append(draw(st.sampled_from([letter, letter, "?", "*", f"[{letter}x]", "[!x]", f"*{letter}"])))
    pattern = "".join(parts)
    cut = draw(st.integers(0, len(pattern)))
    shorter = f"{pattern[:cut]}*"
    return shorter if matches(name, [shorter]) and draw(st.booleans()) else pattern


@settings(max_examples=300, deadline=None)
@given(data=st.data(), name=NAME)
def test_patterns_of_one_channel_share_it(data: st.DataObject, name: str) -> None:
    """The oracle is what the stages use to choose channels: a name that both patterns match is worked on by both."""
    one, two = data.draw(pattern_of(name)), data.draw(pattern_of(name))
    assert matches(name, [one])
    assert matches(name, [two])
    assert may_share(one, two)
    assert may_share(two, one)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), names=st.tuples(NAME, NAME))
def test_patterns_without_wild_characters_share_only_what_they_name(
    data: st.DataObject, names: tuple[str, str]
) -> None:
    forms = [data.draw(st.sampled_from([n, ".".join(n.split(".")[:2]), n.split(".")[1]])) for n in names]
    stations = [f.split(".")[f.count(".") > 0] for f in forms]
    if stations[0] != stations[1]:
        assert not may_share(*forms)

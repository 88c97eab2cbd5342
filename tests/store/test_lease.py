"""The lease: two clients never work on the same channels, stages and units; a dead one holds nothing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import ExecutionError, LeaseHeldError
from gravdask.grid import Rate, day_blocks, frame_blocks, record_blocks, unit_days
from gravdask.stages.selection import matches
from gravdask.store import lease as lease_module
from gravdask.store.claims import Claim, may_share, overlap
from gravdask.store.lease import EXPIRY_SECONDS, HEARTBEAT_SECONDS, Lease, machine
from gravdask.store.place import Place

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


def test_a_lease_of_a_dead_process_is_taken_over_at_once(tmp_path: Path, dead_pid: int) -> None:
    path = foreign(tmp_path, host=lease_module.socket.gethostname(), pid=dead_pid)
    with Lease(tmp_path, ALL, STAGE):
        assert not path.exists()


def test_a_dead_process_number_of_another_host_says_nothing(tmp_path: Path, dead_pid: int) -> None:
    foreign(tmp_path, pid=dead_pid)
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


def test_equal_times_are_decided_by_the_id(tmp_path: Path) -> None:
    with Lease(tmp_path, ALL, STAGE) as lease:
        (mine,) = claims(tmp_path)
        higher = foreign(tmp_path, time=mine["time"], id="f" * 32 + "f")
        lease.check()
        higher.unlink()
        foreign(tmp_path, time=mine["time"], id="0" * 32)
        with pytest.raises(LeaseHeldError):
            lease.check()


@pytest.mark.parametrize("hours", [-5, 5])
def test_the_clock_of_a_host_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """Times are those of the file system: a host whose clock is hours off neither wins nor expires by it."""
    now = time.time()
    with Lease(tmp_path, ALL, STAGE) as first:
        with monkeypatch.context() as patch:
            patch.setattr(lease_module.time, "time", lambda: now + hours * 3600)
            with pytest.raises(LeaseHeldError), Lease(tmp_path, ALL, STAGE):
                pass
            first.check()
            with Lease(tmp_path, ALL, ("scatter",)) as other:
                assert all(abs(c["time"] - now) < 60 for c in claims(tmp_path))
                other.check()
        first.check()


def test_a_claim_that_holds_is_not_overtaken_by_one_that_enters_with_the_same_time(tmp_path: Path) -> None:
    """On S3 times are whole seconds: of two clients of one second the second must not win by its lower id."""
    foreign(tmp_path, time=time.time() + 30, id="f" * 33, held=True)
    with pytest.raises(LeaseHeldError), Lease(tmp_path, ALL, STAGE):
        pass


def test_a_claim_without_a_time_has_that_of_its_object(tmp_path: Path) -> None:
    """Another client has written its claim and does not know yet what time it is there."""
    path = foreign(tmp_path, time=None)
    os.utime(path, (time.time() - 30, time.time() - 30))
    with pytest.raises(LeaseHeldError), Lease(tmp_path, ALL, STAGE):
        pass
    os.utime(path, (time.time() + 30, time.time() + 30))
    with Lease(tmp_path, ALL, STAGE) as lease:
        lease.check()


def test_another_machine_of_the_same_name_is_not_judged_by_its_processes(tmp_path: Path, dead_pid: int) -> None:
    """Containers often share a host name: only a stopped heartbeat tells that such a client is dead."""
    here = lease_module.socket.gethostname()
    path = foreign(tmp_path, host=here, pid=dead_pid, machine="another boot pid:[1]")
    with pytest.raises(LeaseHeldError), Lease(tmp_path, ALL, STAGE):
        pass
    path.unlink()
    path = foreign(tmp_path, host=here, pid=dead_pid, machine=machine())
    with Lease(tmp_path, ALL, STAGE):
        assert not path.exists()


def test_a_store_that_vanished_is_told_from_a_lease_that_was_taken(tmp_path: Path) -> None:
    folder = tmp_path / "x.zarr" / "ledger" / "leases"
    with Lease(folder, ALL, STAGE) as lease:
        lease.check()
        (tmp_path / "x.zarr").rename(tmp_path / "elsewhere")  # as when the disk is unmounted
        with pytest.raises(ExecutionError, match=r"x\.zarr: the store is gone; is its disk still mounted"):
            lease.check()
        (tmp_path / "x.zarr").mkdir()  # the empty mount point
        with pytest.raises(ExecutionError, match="still mounted"):
            lease.check()
    assert not any((tmp_path / "x.zarr").iterdir())


def test_a_heartbeat_that_fails_for_a_while_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.001)
    failed, renewed = [], threading.Event()
    real = Place.renew

    def unreliable(self: Place, content: bytes) -> None:
        if len(failed) < 5:
            failed.append(True)
            message = "the service does not answer"
            raise ExecutionError(message)
        real(self, content)
        renewed.set()

    monkeypatch.setattr(Place, "renew", unreliable)
    with Lease(tmp_path, ALL, STAGE) as lease:
        assert renewed.wait(30)
        lease.check()


@pytest.mark.slow
def test_a_lease_on_s3_refuses_the_second_renews_and_is_given_up(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "HEARTBEAT_SECONDS", 0.2)
    folder = Place.of(f"{s3}/x.zarr/ledger/leases")
    with Lease(folder, ALL, STAGE) as first:
        (before,) = folder.entries()
        for _ in range(3):
            with pytest.raises(LeaseHeldError, match=f"process {os.getpid()} on "), Lease(folder, ALL, STAGE):
                pass
        with Lease(folder, ("AU.*",), ("scatter",)) as other:
            other.check()
        first.check()
        deadline = time.monotonic() + 20
        while folder.entries()[0].time <= before.time:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (folder / before.name).delete()
        time.sleep(0.5)  # some heartbeats: none of them claims again
        assert folder.entries() == []
        with pytest.raises(LeaseHeldError, match="taken away"):
            first.check()
    with Lease(folder, ALL, STAGE) as again:
        again.check()
    assert folder.entries() == []


@pytest.mark.slow
def test_a_dead_clients_lease_on_s3_expires_by_the_clock_of_the_service(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Place.of(f"{s3}/x.zarr/ledger/leases")
    dead = Claim("0" * 32, time.time() - 3600, "node17.cluster", 4711, ALL, STAGE, (0, 1), held=True)
    (folder / f"{dead.id}.json").write(dead.content())
    with pytest.raises(LeaseHeldError, match="process 4711"), Lease(folder, ALL, STAGE):
        pass
    time.sleep(3)
    monkeypatch.setattr(lease_module, "EXPIRY_SECONDS", 1.5)
    with Lease(folder, ALL, STAGE):
        assert [e.name for e in folder.entries()] != [f"{dead.id}.json"]
        assert len(folder.entries()) == 1


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


YEAR = 365


@pytest.mark.parametrize(
    ("stages", "one", "two", "frame_days", "refused"),
    [
        (("convert",), (0, 384), (384, 768), 0, False),
        (("convert",), (0, 385), (384, 768), 0, True),
        (("convert",), (10, 20), (30, 40), 0, True),  # one shard
        (("convert",), (None, 384), (384, None), 0, False),
        (("convert",), (None, None), (384, None), 0, True),
        (("noise",), (0, 384), (384, 768), 0, True),  # one unit of four shards
        (("noise",), (0, 1536), (1536, 1540), 0, False),
        (("scatter",), (0, 1536), (1536, 1540), 1536, False),
        (("scatter",), (0, 1536), (1536, 1540), 1540, True),
        (("scatter",), (0, 1536), (40_000, 40_001), 0, True),  # length of a unit unknown
        (("fit",), (0, 1), (40_000, 40_001), 1536, True),  # looks at the whole network
        (("convert", "noise", "scatter"), (0, 1536), (3072, 4000), 1536, False),
        (("convert", "classify"), (0, 1536), (3072, 4000), 1536, True),
    ],
)
def test_jobs_on_other_years_coexist_where_no_shard_is_common(
    tmp_path: Path, stages: Any, one: Any, two: Any, frame_days: int, refused: bool
) -> None:
    first, second = (Lease(tmp_path, ALL, stages, (0, 1), days, frame_days) for days in (one, two))
    with first:
        if refused:
            with pytest.raises(LeaseHeldError), second:
                pass
            return
        with second:
            first.check()
            second.check()


def test_the_refusal_says_which_span_is_held(tmp_path: Path) -> None:
    day = (np.datetime64("2019-01-01") - np.datetime64("1950-01-01")).astype(int)
    held = Lease(tmp_path, ("AU.*",), ("convert",), (0, 1), (int(day), int(day) + YEAR))
    with held, pytest.raises(LeaseHeldError) as caught, Lease(tmp_path, ALL, ("convert",)):
        pass
    assert "channels AU.*; from 2019-01-01 to 2020-01-01" in str(caught.value)
    assert "work on other channels or years" in str(caught.value)


RATES = [Rate(100, 1), Rate(20, 1), Rate(1, 1), Rate(1, 60), Rate(1, 3600)]
SPAN = st.tuples(st.integers(0, 30_000), st.integers(1, 3000)).map(lambda s: (s[0], s[0] + s[1]))


@settings(max_examples=150, deadline=None)
@given(one=SPAN, two=SPAN, rate=st.sampled_from(RATES), frame=st.sampled_from([256, 1000, 1024, 4096]))
def test_claims_that_do_not_overlap_have_no_shard_in_common(
    one: tuple[int, int], two: tuple[int, int], rate: Rate, frame: int
) -> None:
    """The oracle is the grid that the stages cut their units by."""
    days = unit_days(rate, frame)
    units = {
        "convert": (record_blocks(rate), rate.samples_per_day),
        "noise": (day_blocks(rate), 1),
        "scatter": (frame_blocks(rate, frame, 10), rate.samples_per_day / frame),
    }
    for stage, (blocks, daily) in units.items():
        mine, other = (Claim(n, 0.0, "h", 1, ALL, (stage,), (0, 1), s, days) for n, s in (("a", one), ("b", two)))
        touched = [set(blocks.units_covering(int(a * daily), math.ceil(b * daily))) for a, b in (one, two)]
        if touched[0] & touched[1]:
            assert overlap(mine, other)


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

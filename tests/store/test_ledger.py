"""The ledger: the later record wins, nothing half written counts, nothing recorded is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import StoreError
from gravdask.store import ledger as ledger_module
from gravdask.store.ledger import Ledger, Record
from gravdask.store.place import Place
from gravdask.store.stage_records import StageRecords


def record(unit: int = 0, fingerprint: str = "f", status: str = "done", stage: str = "noise", **more: object) -> Record:
    return Record(stage, "XX.A.--.UGZ", unit, fingerprint, status, **more)  # type: ignore[arg-type]


def fingerprints(folder: Path, stage: str = "noise") -> dict[int, str]:
    """What a new client finds: fingerprint and status of every unit of a stage."""
    return {r.unit: f"{r.fingerprint} {r.status}" for r in Ledger(folder).of_stage(stage)}


def test_an_empty_ledger_knows_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "none")
    assert ledger.get("noise", "XX.A.--.UGZ", 0) is None
    assert list(ledger.of_stage("noise")) == []
    ledger.flush()
    ledger.compact()
    assert not (tmp_path / "none").exists()


def test_a_record_comes_back_whole(tmp_path: Path) -> None:
    full = record(
        7,
        "abc",
        "quarantined",
        cells={"3": "d1", "10": "d2"},
        content={"3": ""},
        info={"problems": [{"where": "µ.tsf", "line": 3}], "admittance": -3.25},
        seconds=1.5,
    )
    ledger = Ledger(tmp_path)
    ledger.add(full)
    assert ledger.get(*full.key) == full
    ledger.flush()
    assert Ledger(tmp_path).get(*full.key) == full


def test_records_of_a_stage_are_in_order_of_channel_and_unit(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for channel, unit in [("B", 2), ("A", 10), ("A", 9), ("B", -1)]:
        ledger.add(Record("noise", channel, unit, "f", "done"))
    ledger.add(record(stage="scatter"))
    assert [(r.channel, r.unit) for r in ledger.of_stage("noise")] == [("A", 9), ("A", 10), ("B", -1), ("B", 2)]


def test_a_digest_tells_how_every_unit_stands_however_it_was_written(tmp_path: Path) -> None:
    first, second = (Ledger(Place.of(tmp_path / name)) for name in "ab")
    units = [replace(record(n), channel=channel) for channel in ("B", "A") for n in range(3)]
    for ledger, order in ((first, units), (second, units[::-1])):
        for one in order:
            ledger.add(one)
            ledger.flush()
    second.compact()
    same = first.digest("noise", "scatter")
    assert Ledger(Place.of(tmp_path / "b")).digest("noise", "scatter") == same
    assert len({same, first.digest("noise"), first.digest("scatter")}) == 2  # nothing is known of the other stage
    seen = {same}
    for change in (
        {"status": "quarantined"},
        {"fingerprint": "g"},
        {"stage": "scatter"},
        {"channel": "C"},
        {"unit": 9},
    ):
        first.add(replace(record(), **{"channel": "A", **change}))  # pending ones count as well
        seen.add(first.digest("noise", "scatter"))
    assert len(seen) == 6


def test_what_is_finished() -> None:
    assert {s: record(status=s).finished for s in ("begun", "done", "empty", "quarantined")} == {
        "begun": False,
        "done": True,
        "empty": True,
        "quarantined": False,
    }


def test_the_later_record_wins(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for n in range(3):
        ledger.add(record(fingerprint=str(n)))
        ledger.flush()
    ledger.add(record(fingerprint="3"))
    ledger.add(record(fingerprint="4"))
    ledger.flush()
    assert fingerprints(tmp_path) == {0: "4 done"}


def test_begun_supersedes_done(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(record(fingerprint="old"))
    ledger.begin([record(fingerprint="new", status="begun")])
    assert ledger.get(*record().key) == record(fingerprint="new", status="begun")
    assert fingerprints(tmp_path) == {0: "new begun"}
    ledger.add(record(fingerprint="new"))
    ledger.flush()
    assert fingerprints(tmp_path) == {0: "new done"}


def test_begin_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    Ledger(tmp_path).begin([record(n, status="begun") for n in range(3)])
    assert fingerprints(tmp_path) == dict.fromkeys(range(3), "f begun")


def test_a_client_that_is_killed_between_begin_and_add_leaves_the_unit_unfinished(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    first.add(record(0, "old"))
    first.add(record(1, "old"))
    first.flush()
    code = f"""
    import os, pathlib, signal
    from gravdask.store.ledger import Ledger, Record
    ledger = Ledger(pathlib.Path({str(tmp_path)!r}))
    ledger.begin([Record("noise", "XX.A.--.UGZ", 0, "new", "begun")])
    ledger.add(Record("noise", "XX.A.--.UGZ", 0, "new", "done"))
    os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert fingerprints(tmp_path) == {0: "new begun", 1: "old done"}


def test_many_results_are_written_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "FLUSH_RECORDS", 5)
    monkeypatch.setattr(ledger_module, "FLUSH_SECONDS", 1e9)
    monkeypatch.setattr(ledger_module, "FLUSH_CREDIT", -1.0)
    ledger = Ledger(tmp_path)
    for n in range(12):
        ledger.add(record(n))
    assert len(fingerprints(tmp_path)) == 10
    monkeypatch.setattr(ledger_module, "FLUSH_SECONDS", -1.0)
    ledger.add(record(12))
    assert len(fingerprints(tmp_path)) == 13


class Clock:
    """Stands in for the module time: a moment that moves when it is told to, and when a segment is written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cost: float) -> None:
        self.now, self.spent = 1000.0, 0.0
        self.time_ns = time.time_ns
        plain = StageRecords.write

        def write(records: StageRecords, stamp: str, lines: list[tuple[str, int, str]]) -> None:
            plain(records, stamp, lines)
            self.now += cost
            self.spent += cost

        monkeypatch.setattr(StageRecords, "write", write)
        monkeypatch.setattr(ledger_module, "time", self)

    def monotonic(self) -> float:
        return self.now


def test_slow_units_are_written_down_at_once_even_several_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, cost=0.005)
    ledger = Ledger(tmp_path)
    for number in range(0, 40, 8):
        clock.now += 5.0  # eight workers are through in the same moment
        for unit in range(number, number + 8):
            ledger.add(record(unit))
            assert len(fingerprints(tmp_path)) == unit + 1


@pytest.mark.parametrize("cost", [0.001, 0.05, 1.0])
@pytest.mark.parametrize("each", [0.0005, 0.1])
def test_writing_down_takes_a_small_share_of_the_time_and_never_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: float, each: float
) -> None:
    clock = Clock(monkeypatch, cost)
    monkeypatch.setattr(ledger_module, "FLUSH_RECORDS", 10**9)
    ledger = Ledger(tmp_path)
    begun, longest = clock.now, 0.0
    for unit in range(1000):
        clock.now += each
        before = clock.spent
        written = clock.now
        ledger.add(record(unit))
        longest = max(longest, written - begun) if clock.spent > before else longest
        begun = clock.now if clock.spent > before else begun
    whole = 1000 * each + clock.spent
    every_three_seconds = cost * whole / (ledger_module.FLUSH_SECONDS + cost)
    allowed = ledger_module.FLUSH_SHARE * whole + ledger_module.FLUSH_CREDIT + every_three_seconds
    assert clock.spent <= allowed + 2 * cost
    assert longest <= ledger_module.FLUSH_SECONDS + each + 1e-9


def test_a_segment_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(record(0))
    ledger.flush()
    ledger.add(record(1))

    def full_disk(source: Path, target: Path) -> None:
        message = f"no space left on device: {source} {target}"
        raise OSError(28, message)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full_disk)
        with pytest.raises(OSError, match="no space left"):
            ledger.flush()
    assert fingerprints(tmp_path) == {0: "f done"}
    ledger.flush()
    assert fingerprints(tmp_path) == {0: "f done", 1: "f done"}


# --- damage -----------------------------------------------------------------------------------------------------------


def damaged_middle(folder: Path, damage: bytes | None) -> Path:
    """Three segments: units 0-2 done; unit 1 begun anew and unit 3 done, which is damaged; unit 2 done again."""
    ledger = Ledger(folder)
    for n in range(3):
        ledger.add(record(n, "old"))
    ledger.add(record(-1, "estimate"))
    ledger.flush()
    ledger.begin([record(3, "old"), record(1, "new", "begun")])
    segment = max((folder / "noise").glob("*.jsonl"))
    ledger.add(record(2, "new"))
    ledger.flush()
    segment.write_bytes(segment.read_bytes()[:-30] if damage is None else damage)
    return segment


@pytest.mark.parametrize("damage", [None, b"", b"not json\n", b"\xff\xfe\x00", b'"text"', b"\n"])
def test_what_a_damaged_segment_may_have_revoked_counts_no_more(tmp_path: Path, damage: bytes | None) -> None:
    """It may have said of any unit that it was begun: only what came after it is certain."""
    segment = damaged_middle(tmp_path, damage)
    if damage == b'"text"':  # whole JSON of another form is no damage: a newer gravdask may have written it
        with pytest.raises(StoreError, match="of another form"):
            Ledger(tmp_path)
        return
    ledger = Ledger(tmp_path)
    found = {r.unit: r for r in ledger.of_stage("noise") if r.unit < 3}
    assert {u for u, r in found.items() if r.finished} == {2, -1}
    assert found[0].cells == {}
    assert found[2].fingerprint == "new"
    assert [str(segment) in text and "done again" in text for text in ledger.damaged] == [True]


def test_damage_is_set_aside_once_its_consequences_are_written_down(tmp_path: Path) -> None:
    segment = damaged_middle(tmp_path, None)
    content = segment.read_bytes()
    ledger = Ledger(tmp_path)
    assert len(ledger.heal()) == 1
    assert ledger.heal() == ledger.damaged == []
    assert not segment.exists()
    assert segment.with_name(segment.name + ".damaged").read_bytes() == content
    again = Ledger(tmp_path)
    assert again.damaged == []
    assert {r.unit for r in again.of_stage("noise") if r.finished} == {2, -1}
    again.add(record(0, "old"))
    again.flush()
    assert {r.unit for r in Ledger(tmp_path).of_stage("noise") if r.finished} == {0, 2, -1}


def test_what_can_be_read_of_a_damaged_segment_stands_when_it_is_set_aside(tmp_path: Path) -> None:
    """It revokes an older record, and must go on doing so: the shard may be half overwritten."""
    ledger = Ledger(tmp_path)
    ledger.add(record(1, "old"))
    ledger.add(record(-1, "old"))
    ledger.flush()
    ledger.begin([record(1, "new", "begun"), record(-1, "new"), record(2, "new", "begun")])
    segment = max((tmp_path / "noise").glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes()[:-30])
    before = fingerprints(tmp_path)
    assert before == {-1: "new done", 1: "new begun"}
    Ledger(tmp_path).heal()
    assert not segment.exists()
    assert fingerprints(tmp_path) == before


def test_a_client_that_dies_while_it_heals_leaves_the_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged_middle(tmp_path, None)

    def die(self: Place) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Place, "delete", die)
        with pytest.raises(KeyboardInterrupt):
            Ledger(tmp_path).heal()
    assert {r.unit for r in Ledger(tmp_path).of_stage("noise") if r.finished} == {2, -1}


def test_a_damaged_compacted_object_leaves_only_what_came_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_SEGMENTS", 1)
    ledger = Ledger(tmp_path)
    ledger.add(record(0))
    ledger.compact()
    ledger.add(record(1))
    ledger.flush()
    (path,) = (tmp_path / "noise").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-9])
    again = Ledger(tmp_path)
    assert [r.unit for r in again.of_stage("noise")] == [1]
    assert path.name in again.damaged[0]
    again.compact()  # does not swallow what it cannot read
    assert path.exists()
    again.heal()
    again.compact()
    assert fingerprints(tmp_path) == {1: "f done"}


def test_damage_of_one_stage_is_none_of_another(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(record(0, stage="scatter"))
    ledger.add(record(0))
    ledger.flush()
    (segment,) = (tmp_path / "noise").glob("*.jsonl")
    segment.write_bytes(b"x")
    again = Ledger(tmp_path)
    assert [r.finished for r in again.of_stage("scatter")] == [True]
    assert list(again.of_stage("noise")) == []


def test_nothing_is_written_where_the_guard_forbids_it(tmp_path: Path) -> None:
    allowed = [True]

    def guard() -> None:
        if not allowed[0]:
            message = "the lease is lost"
            raise RuntimeError(message)

    ledger = Ledger(tmp_path, guard)
    ledger.begin([record(0, status="begun")])
    allowed[0] = False
    ledger.flush()  # nothing is pending: nothing to forbid
    ledger.add(record(0))
    with pytest.raises(RuntimeError, match="lease is lost"):
        ledger.flush()
    assert fingerprints(tmp_path) == {0: "f begun"}


def test_what_was_written_before_a_disk_was_full_is_not_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    for stage in ("a", "b"):
        ledger.add(record(0, stage=stage))
    real = Place.write

    def full(self: Place, content: bytes) -> None:
        if "/b/" in str(self):
            raise OSError(28, "No space left on device")
        real(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Place, "write", full)
        with pytest.raises(OSError, match="No space"):
            ledger.flush()
    ledger.flush()
    assert len(list(tmp_path.rglob("*.jsonl"))) == 2
    assert fingerprints(tmp_path, "b") == {0: "f done"}


def test_records_of_one_channel_are_found_without_the_others(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for channel, unit in [("B", 2), ("A", 10), ("A", 9), ("B", -1)]:
        ledger.add(Record("noise", channel, unit, "f", "done"))
    assert [(r.channel, r.unit) for r in ledger.of_stage("noise", "B")] == [("B", -1), ("B", 2)]
    assert list(ledger.of_stage("noise", "C")) == list(ledger.of_stage("fit", "A")) == []


@pytest.mark.parametrize("line", ['{"stage": "noise"}', '{"other": 1}', "[1, 2]", "3"])
def test_a_record_of_another_form_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "0.jsonl").write_text(line + "\n")
    with pytest.raises(StoreError, match=r"0\.jsonl: "):
        Ledger(tmp_path)


def test_segments_are_lines_of_json_and_nothing_else(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin([record(0, info={"text": "two\nlines"}), record(1)])
    (segment,) = tmp_path.rglob("*.jsonl")
    assert [json.loads(line)["unit"] for line in segment.read_text().splitlines()] == [0, 1]
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [segment]


# --- several clients --------------------------------------------------------------------------------------------------


def test_two_clients_alternate(tmp_path: Path) -> None:
    one, two = Ledger(tmp_path), Ledger(tmp_path)
    for n, client in enumerate([one, two, one, two]):
        client.add(record(0, fingerprint=str(n)))
        client.add(record(n + 1))
        client.flush()
    assert fingerprints(tmp_path) == {0: "3 done", **dict.fromkeys(range(1, 5), "f done")}


def test_a_clock_that_goes_back_does_not_bring_back_older_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 'done' of a fast clock must not vouch for the shard that a later client has begun to overwrite."""
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 3600 * 10**9)
    fast = Ledger(tmp_path)
    fast.add(record(fingerprint="old"))
    fast.flush()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    Ledger(tmp_path).begin([record(fingerprint="new", status="begun")])
    assert fingerprints(tmp_path) == {0: "new begun"}


def test_a_clock_that_stands_still_keeps_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    ledger = Ledger(tmp_path)
    for n in range(12):
        ledger.begin([record(fingerprint=str(n), status="begun")])
    assert fingerprints(tmp_path) == {0: "11 begun"}


# --- compaction -------------------------------------------------------------------------------------------------------


def test_compaction_keeps_everything_in_one_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_SEGMENTS", 3)
    ledger = Ledger(tmp_path)
    for n in range(4):
        ledger.add(record(n, str(n), info={"n": [n, None, "µ"]}, cells={"1": "x"}))
        ledger.add(record(0, f"0{n}"))
        ledger.flush()
    ledger.add(record(stage="scatter"))
    ledger.flush()
    before = [list(Ledger(tmp_path).of_stage(s)) for s in ("noise", "scatter")]
    ledger.compact()
    assert [p.suffix for p in (tmp_path / "noise").iterdir()] == [".parquet"]
    assert len(list((tmp_path / "scatter").glob("*.jsonl"))) == 1
    assert [list(Ledger(tmp_path).of_stage(s)) for s in ("noise", "scatter")] == before
    again = Ledger(tmp_path)
    again.add(record(0, "later"))
    again.compact()
    assert fingerprints(tmp_path)[0] == "later done"


def test_compaction_twice_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_SEGMENTS", 2)
    for first in (0, 2, 4):
        ledger = Ledger(tmp_path)
        for unit in (first, first + 1):
            ledger.add(record(unit))
            ledger.flush()
        ledger.compact()
    assert fingerprints(tmp_path) == dict.fromkeys(range(6), "f done")


def test_compaction_keeps_what_another_client_wrote_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases on other stages or channels let two clients append to one ledger: neither may lose the other's records."""
    monkeypatch.setattr(ledger_module, "COMPACT_SEGMENTS", 2)
    one, two = Ledger(tmp_path), Ledger(tmp_path)
    one.add(record(0, "one"))
    one.flush()
    two.begin([record(1, "two", "begun")])
    two.begin([record(0, "two", "begun")])
    one.compact()
    assert fingerprints(tmp_path) == {0: "two begun", 1: "two begun"}
    two.add(record(1, "two"))
    two.flush()
    assert fingerprints(tmp_path) == {0: "two begun", 1: "two done"}


def test_two_clients_that_compact_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second reads before the first removes, writes a segment in between, and finishes last."""
    monkeypatch.setattr(ledger_module, "COMPACT_SEGMENTS", 2)
    one, two = Ledger(tmp_path), Ledger(tmp_path)
    for n, client in enumerate([one, two, one]):
        client.add(record(n % 2, str(n)))
        client.flush()
    real = os.replace

    def interrupted(source: Path, target: Path) -> None:
        if str(target).endswith(".parquet") and not two_has_run:
            two_has_run.append(True)
            two.add(record(0, "newest"))
            two.compact()
        real(source, target)

    two_has_run: list[bool] = []
    monkeypatch.setattr(os, "replace", interrupted)
    one.compact()
    assert two_has_run
    assert fingerprints(tmp_path) == {0: "newest done", 1: "1 done"}


def test_a_client_opens_while_another_compacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_SEGMENTS", 2)
    writer = Ledger(tmp_path)
    for n in range(3):
        writer.add(record(n))
        writer.flush()
    real, compacted = ledger_module._objects, []

    def listed(folder: Path) -> list[Path]:
        found = real(folder)
        if not compacted:
            compacted.append(True)
            writer.compact()
        return found

    monkeypatch.setattr(ledger_module, "_objects", listed)
    assert fingerprints(tmp_path) == dict.fromkeys(range(3), "f done")
    assert len(list((tmp_path / "noise").iterdir())) == 1


def test_a_crash_in_the_middle_of_compaction_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "COMPACT_SEGMENTS", 2)
    ledger = Ledger(tmp_path)
    for n in range(3):
        ledger.add(record(n % 2, str(n)))
        ledger.flush()
    before = fingerprints(tmp_path)
    killed = "killed"

    def die(self: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt(killed)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            ledger.compact()
    assert len(list((tmp_path / "noise").iterdir())) == 4
    assert fingerprints(tmp_path) == before


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(0, 3), st.sampled_from(["begin", "add", "flush", "compact", "reopen"])
        ),
        max_size=25,
    )
)
def test_whatever_clients_do_the_last_written_record_counts(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, str]]
) -> None:
    """Model: a dictionary that is updated whenever a client's pending records reach the disk."""
    folder = tmp_path_factory.mktemp("ledger")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module, "COMPACT_SEGMENTS", 3)
        patch.setattr(ledger_module, "FLUSH_SECONDS", 1e9)
        patch.setattr(ledger_module, "FLUSH_CREDIT", -1.0)
        clients = [Ledger(folder) for _ in range(3)]
        pending: list[dict[int, str]] = [{} for _ in range(3)]
        written: dict[int, str] = {}
        for number, (who, unit, what) in enumerate(steps):
            if what == "add":
                clients[who].add(record(unit, str(number)))
                pending[who][unit] = f"{number} done"
                continue
            if what == "begin":
                clients[who].begin([record(unit, str(number), "begun")])
                pending[who][unit] = f"{number} begun"
            if what == "flush":
                clients[who].flush()
            if what == "compact":
                clients[who].compact()
            if what == "reopen":
                clients[who] = Ledger(folder)
                pending[who] = {}
            written |= pending[who]
            pending[who] = {}
    assert fingerprints(folder) == written

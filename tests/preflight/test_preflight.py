"""The preflight: each thing that would make a run fail is made so, and found."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import obspy
import psutil
import pytest

from gravdask.cli import _code
from gravdask.config import Config, build_config
from gravdask.execution import Failure
from gravdask.execution.share import worker_memory
from gravdask.grid import Rate
from gravdask.preflight import batch, findings, machine, needs, places
from gravdask.preflight.survey import survey, units_of

SMALL = ("--units", "nm/s2", "--set", "scattering.frame_samples=256", "--set", "fit.min_days=0.5")
DAYS = 3
SAMPLES = 8640 * DAYS


@dataclass(frozen=True)
class Outcome:
    code: int
    text: str

    @property
    def failed(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith("FAIL")]

    @property
    def noted(self) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith("note  ")]


Command = Callable[..., Outcome]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in this process, in a folder of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = _code([str(a) for a in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Outcome(code, said.out + said.err)

    return run


def write_record(folder: Path, station: str, day: str, days: int = DAYS) -> None:
    """Write noise, a sample every ten seconds."""
    values = (np.random.default_rng(len(station)).standard_normal(8640 * days) * 1000).astype(np.int32)
    header = {"network": "XX", "station": station, "location": "00", "channel": "VGZ", "sampling_rate": 0.1}
    trace = obspy.Trace(values, {**header, "starttime": obspy.UTCDateTime(day)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace.write(str(folder / f"XX.{station}.{day}.mseed"), format="MSEED")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for station in ("ONE", "TWO"):
        write_record(folder, station, "2024-01-01")
    return folder


def lines(found: list[findings.Finding], level: str) -> list[str]:
    return [f.line() for f in found if f.level == level]


def cluster(**keys: object) -> Config:
    return build_config({"cluster": keys})


# ----------------------------------------------------------------------------------------------------- all together


def test_all_is_well_here_and_nothing_is_left(command: Command, archive: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = command("preflight", archive, "-o", tmp_path / "x.zarr", *SMALL, "--serial")
    assert (result.code, result.failed) == (0, [])
    assert sorted(tmp_path.rglob("*")) == before
    for words in (
        f"ok    archive: {archive}",
        "(will be made): an object was written, read back and removed",
        "ok    records: 2 files",
        "2 new files; at 10s",
        f"free for {2 * SAMPLES:.3g} new samples x 2.2 B = {2 * SAMPLES * 2.2 / 1000:.0f} kB",
        "ok    workers: none are used (serial)",
    ):
        assert words in result.text


def test_a_store_on_a_disk_that_is_not_mounted_fails(command: Command, archive: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = command("preflight", archive, "-o", tmp_path / "disk/x.zarr", *SMALL, "--serial")
    assert result.code == 5
    assert result.failed == [
        f"FAIL  store: there is no folder {tmp_path / 'disk'}; make it, mount its disk, or name another one"
    ]
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_stated_beside_the_records_is_read(command: Command, archive: Path, tmp_path: Path) -> None:
    given = ("preflight", archive, "-o", tmp_path / "x.zarr", *SMALL, "--serial")
    catalogue, stations = tmp_path / "cat.csv", tmp_path / "stations.csv"
    for option, name in (("--stations", "no.xml"), ("--stations", "no.csv"), ("--catalog", "no.csv")):
        result = command(*given, option, tmp_path / name)
        assert result.code == 5
        (line,) = result.failed
        assert str(tmp_path / name) in line
        assert "check the path" in line
    stations.write_text("station,latitude,longitude\nONE,30,100\nTWO,31,ninety\n")
    (line,) = command(*given, "--stations", stations).failed
    assert "ninety" in line
    stations.write_text("station,latitude,longitude\nONE,30,100\nTWO,31,90\n")
    titles = "time,latitude,longitude,depth,mag,magType,id,place"
    catalogue.write_text(f"{titles}\n2024-01-01T03:00:00.000Z,30,110,10,7.0,mww,us1,x\n")
    result = command(*given, "--stations", stations, "--catalog", catalogue)
    assert (result.code, result.failed) == (0, [])
    assert f"ok    stations: 2 stations in {stations}" in result.text
    assert f"1 earthquakes of magnitude 5.5 or more in {catalogue}" in result.text


def test_findings_are_given_as_json(command: Command, archive: Path, tmp_path: Path) -> None:
    result = command("preflight", tmp_path / "none", "-o", tmp_path / "x.zarr", "--here-only", "--json")
    told = json.loads(result.text)
    assert result.code == 5
    failed = [f for f in told["findings"] if f["level"] == "FAIL"]
    assert told["failed"] == len(failed) == 1
    assert failed[0]["what"] == "archive"
    assert str(tmp_path / "none") in failed[0]["found"]
    assert "archive.paths" in failed[0]["cure"]


def test_a_wrong_configuration_fails_and_what_does_not_need_it_is_checked(command: Command, tmp_path: Path) -> None:
    result = command("preflight", "--set", "cluster.kind=slum", "-o", tmp_path / "x.zarr")
    assert result.code == 5
    assert len(result.failed) == 1
    assert "FAIL  configuration: command line: cluster.kind = 'slum'" in result.failed[0]
    assert "umask: 0" in result.text
    assert "open files: " in result.text


def test_every_check_runs_though_others_fail(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = command(
        "preflight", tmp_path / "none", "-o", tmp_path / "file/x.zarr", "--here-only", "--set", "cluster.memory=450MB",
        "--set", f"cluster.scratch={tmp_path / 'file'}",
    )  # fmt: skip
    assert result.code == 5
    assert [line.split(":")[0] for line in result.failed] == [
        "FAIL  archive",
        "FAIL  store",
        "FAIL  scratch folder",
        "FAIL  memory of a worker",
    ]
    assert "ok    network interface" in result.text


def test_what_the_store_remembers_may_be_damaged(command: Command, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "x.zarr/ledger").mkdir(parents=True)
    (tmp_path / "x.zarr/ledger/options.json").write_text("{")
    result = command("preflight", archive, "-o", tmp_path / "x.zarr", "--here-only")
    assert result.code == 5
    assert "options of earlier runs on this store are damaged" in result.failed[0]
    assert f"ok    archive: {archive}" in result.text


def test_what_hangs_is_left_behind() -> None:
    begun = time.monotonic()
    found = findings.looked_at("disk", lambda: time.sleep(30) or [], "wait", 0.2)  # type: ignore[func-returns-value]
    assert time.monotonic() - begun < 10
    assert lines(found, "FAIL") == ["FAIL  disk: no answer in 0 s; wait"]
    assert isinstance(findings.limited(lambda: 1 // 0, 5), Failure)
    assert findings.limited(lambda: 5, 5) == 5


# -------------------------------------------------------------------------------------------------------- this machine


def test_an_unknown_interface_fails_and_those_there_are_named() -> None:
    for key in ("interface", "scheduler_interface"):
        found = machine.interface_findings(cluster(kind="slurm", **{key: "ib7"}).cluster)
        (line,) = lines(found, "FAIL")
        assert f"cluster.{key} = 'ib7' is not there" in line
        assert "lo 127.0.0.1" in line
    assert lines(machine.interface_findings(cluster(kind="local", interface="ib7").cluster), "FAIL") == []


def test_loopback_is_told_and_the_scheduler_s_own_interface_counts() -> None:
    assert (
        "elsewhere cannot reach" in machine.interface_findings(cluster(kind="slurm", interface="lo").cluster)[0].line()
    )
    both = cluster(kind="slurm", interface="ib7", scheduler_interface="lo").cluster
    assert lines(machine.interface_findings(both), "FAIL") == []


def test_an_interface_without_an_address_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    real = psutil.net_if_addrs()
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: real | {"ib0": []})
    (line,) = lines(machine.interface_findings(cluster(kind="pbs", interface="ib0").cluster), "FAIL")
    assert "ib0 has no address" in line


def test_scratch_is_made_tried_and_removed(tmp_path: Path) -> None:
    (found,) = machine.scratch_findings(str(tmp_path / "a"))
    assert found.level in {"ok", "note"}
    assert "free" in found.found
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    assert machine.scratch_findings(str(tmp_path / "file"))[0].level == "FAIL"
    assert machine.scratch_findings(str(tmp_path / "file/below"))[0].level == "FAIL"


def test_scratch_that_a_server_holds_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "file_system", lambda _: "nfs4")
    (found,) = machine.scratch_findings(str(tmp_path))
    assert found.level == "note"
    assert "over the network" in found.found


def test_kinds_of_file_systems_are_known() -> None:
    with open("/proc/mounts", encoding="utf-8") as mounts:
        known = {line.split()[1]: line.split()[2] for line in mounts}
    assert machine.file_system(Path("/proc/self")) == "proc"
    assert machine.file_system(Path("/no/such/folder")) == known["/"]


@pytest.mark.parametrize(("mask", "words"), [(0o022, "your group cannot"), (0o000, "everybody"), (0o007, "ok")])
def test_permissions_of_new_files_are_told(mask: int, words: str) -> None:
    kept = os.umask(mask)
    try:
        assert words in machine.umask_findings()[0].line()
        assert findings.umask_of_process() == mask
    finally:
        os.umask(kept)


@contextmanager
def file_limit(soft: int) -> Iterator[None]:
    kept = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, kept)


def test_too_few_open_files_fail() -> None:
    with file_limit(400):
        assert machine.file_limit_findings(2)[0].level == "ok"
        assert machine.file_limit_findings(20)[0].level == "note"
        (line,) = lines(machine.file_limit_findings(200), "FAIL")
    assert "at most 400; 200 workers need about 256 + 12 x 200 = 2656; ulimit -n 2656" in line


# ------------------------------------------------------------------------------------------------- archive and store


def test_a_file_in_place_of_the_store_or_of_its_folder_fails(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, words in ((tmp_path / "file", "is a file"), (tmp_path / "file/x.zarr", "cannot be written to")):
        found = places.store_findings(build_config({"store": {"path": str(path)}}))
        assert words in lines(found, "FAIL")[0]
    assert (tmp_path / "file").read_text() == "x"


def test_a_folder_of_somebody_else_fails(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else for a while")
    (tmp_path / "x.zarr").mkdir(mode=0o755)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    for path in (tmp_path / "x.zarr", tmp_path / "y.zarr"):
        os.seteuid(65534)
        try:
            found = places.store_findings(build_config({"store": {"path": str(path)}}))
        finally:
            os.seteuid(0)
        assert lines(found, "FAIL")[0].startswith(f"FAIL  store: {path} cannot be written to (Permission denied)")


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A disk in memory."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_read_only_fails_before_a_run_does(archive: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m,ro"):
        found = places.store_findings(build_config({"store": {"path": str(tmp_path / "disk/x.zarr")}}))
    assert "Read-only file system" in lines(found, "FAIL")[0]


def test_a_full_disk_fails(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=64k"):
        (tmp_path / "disk/large").write_bytes(b"x" * 65536)
        found = places.store_findings(build_config({"store": {"path": str(tmp_path / "disk/x.zarr")}}))
        assert sorted(p.name for p in (tmp_path / "disk").iterdir()) == ["large"]
    assert "No space left" in lines(found, "FAIL")[0]


def test_a_disk_too_small_for_the_archive_fails(command: Command, archive: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=100k"):
        result = command("preflight", archive, "-o", tmp_path / "disk/x.zarr", "--here-only", *SMALL)
    assert result.code == 5
    (line,) = result.failed
    assert line.startswith("FAIL  disk space: 102 kB free for 5.18e+04 new samples x 2.2 B = 114 kB (2 new files)")
    assert "free 11.6 kB" in line


def test_a_disk_of_one_machine_is_told_where_others_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = build_config({"store": {"path": str(tmp_path / "x.zarr")}, "cluster": {"kind": "slurm"}})
    monkeypatch.setattr(places, "file_system", lambda _: "xfs")
    assert places.kind_findings(config)[0].level == "note"
    monkeypatch.setattr(places, "file_system", lambda _: "lustre")
    assert places.kind_findings(config)[0].level == "ok"


def test_clocks_apart_are_told() -> None:
    assert places.clock_finding(0.3).level == "ok"
    assert "-90.0 s" in places.clock_finding(-90.0).line()
    assert places.clock_finding(-90.0).level == "note"


def test_an_archive_on_s3_and_a_store_there_are_reached(command: Command, archive: Path, s3: str) -> None:
    import fsspec

    system = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    system.put(str(archive) + "/", f"{s3.removeprefix('s3://')}/archive/", recursive=True)
    result = command("preflight", f"{s3}/archive", "-o", f"{s3}/x.zarr", "--serial", *SMALL)
    assert (result.code, result.failed) == (0, [])
    assert "2 new files; at 10s" in result.text
    left = [name for name in system.find(s3.removeprefix("s3://")) if "/archive/" not in name]
    assert left == []
    lost = command("preflight", f"{s3}/nothing", "-o", f"{s3}/x.zarr", "--serial")
    assert "FAIL  archive" in lost.failed[0]


def test_a_service_that_refuses_or_is_gone_fails(
    command: Command, archive: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gravdask.store import s3 as service

    service.s3_objects.cache_clear()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-wrong-wrong")
    result = command("preflight", archive, "-o", f"{s3}/x.zarr", "--serial", *SMALL)
    service.s3_objects.cache_clear()
    assert result.code == 5
    assert "FAIL  configuration" in result.failed[0]
    assert "refuses these keys" in result.failed[1]
    assert "wrong-wrong-wrong" not in result.text
    assert f"ok    archive: {archive}" in result.text


# ------------------------------------------------------------------------------------------------------- what is needed


def test_what_will_be_written_is_what_is_written(command: Command, archive: Path, tmp_path: Path) -> None:
    """The estimate against a store that was made."""
    store = tmp_path / "x.zarr"
    config = build_config({"archive": {"paths": [str(archive)], "units": "nm/s2"}, "store": {"path": str(store)}})
    before = survey(config)
    assert {str(r): s.new for r, s in before.rates.items()} == {"10s": 2 * SAMPLES}
    assert command("run", archive, "-o", store, *SMALL, "--serial", "--stages", "convert,scatter").code == 0
    shards = sum(p.stat().st_size for p in store.rglob("c/**/*") if p.is_file())
    estimate, words = needs.bytes_to_write(before)
    assert shards / 2 < estimate < 3 * shards
    assert words.startswith("5.18e+04 new samples x 2.2 B = 114 kB")
    after = survey(config)
    assert (after.files, after.new_files) == (2, 0)
    assert {str(r): (s.samples, s.new) for r, s in after.rates.items()} == {"10s": (2 * SAMPLES, 0.0)}
    assert needs.bytes_to_write(after) == (0.0, "no new samples")


def test_a_large_archive_is_looked_at_here_and_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gravdask.preflight.survey.LOOK_FILES", 4)
    for day in range(1, 11):
        write_record(tmp_path, "ONE", f"2024-01-{day:02d}", days=1)
    config = build_config({"archive": {"paths": [str(tmp_path)], "units": "nm/s2"}})
    found = survey(config)
    assert found.from_what == "estimated from 4 of 10 new files"
    assert found.rates[Rate(1, 10)].new == pytest.approx(10 * 8640, rel=0.05)
    assert found.rates[Rate(1, 10)].days == pytest.approx(10, abs=0.01)


def test_only_what_is_asked_for_counts(archive: Path) -> None:
    chosen = {"paths": [str(archive)], "units": "nm/s2", "select": ["TWO"], "start": "2024-01-02", "end": "2024-01-03"}
    found = survey(build_config({"archive": chosen}))
    assert found.rates[Rate(1, 10)].channels == {"XX.TWO.00.VGZ"}
    assert found.rates[Rate(1, 10)].new == pytest.approx(8640)
    nothing = survey(build_config({"archive": chosen | {"start": "2025-01-01", "end": ""}}))
    assert nothing.rates == {}


def made_up(hz: float, days: float, channels: int = 1) -> object:
    """What an archive of one rate holds."""
    from gravdask.grid import DAY_NS
    from gravdask.preflight.survey import RateShare, Survey

    samples, names = days * 86_400 * hz * channels, {f"X.{n}..A" for n in range(channels)}
    share = RateShare(samples, 0.0, names, 0, int(days * DAY_NS), samples, names)
    return Survey(rates={Rate.from_hz(hz): share})


@pytest.mark.parametrize(
    ("memory", "hz", "level"),
    [("800MB", 1, "FAIL"), ("1GiB", 1, "note"), ("2GiB", 1, "ok"), ("800MB", 1 / 60, "note"), ("0", 100, "ok")],
)
def test_memory_is_compared_with_what_a_unit_needs(memory: str, hz: float, level: str) -> None:
    config = build_config({"cluster": {"kind": "local", "workers": 1, "memory": memory}})
    assert needs.memory_findings(config, made_up(hz, 10))[0].level == level  # type: ignore[arg-type]


def test_amounts_of_memory_are_read_as_dask_reads_them() -> None:
    from dask.utils import parse_bytes

    for text in ("2GiB", "1500MB", "1.5 GB", "640000kB", "1000 MiB", "1234567890", "987654321B", "3Gi"):
        assert worker_memory(cluster(memory=text).cluster) == parse_bytes(text), text
    assert worker_memory(cluster(kind="slurm").cluster) == 2 * 2**30


def test_more_workers_than_the_machine_has_memory_for_are_told() -> None:
    config = build_config({"cluster": {"kind": "local", "workers": 5000, "memory": "2GiB"}})
    found = needs.memory_findings(config, None)
    assert "at most " in lines(found, "note")[0]


@pytest.mark.parametrize(
    ("walltime", "hz", "days", "level"),
    [
        ("00:05:00", 100, 1536, "FAIL"),  # 26 minutes
        ("00:05:00", 100, 30, "ok"),
        ("00:02:00", 1, 2, "note"),  # most of such a life is its start
        ("01:00:00", 100, 1536, "note"),
        ("04:00:00", 100, 1536, "ok"),
        ("00:01:00", 1, 4000, "FAIL"),
        ("01:00:00", 1, 4000, "ok"),
    ],
)
def test_the_time_limit_is_compared_with_the_longest_unit(
    walltime: str, hz: float, days: float, level: str, tmp_path: Path
) -> None:
    keys = {"kind": "slurm", "walltime": walltime}
    config = build_config({"cluster": keys, "store": {"path": str(tmp_path / "x.zarr")}})
    (found,) = needs.time_findings(config, made_up(hz, days))  # type: ignore[arg-type]
    assert found.level == level, found.line()


def test_finished_units_tell_how_long_they_take(tmp_path: Path) -> None:
    from gravdask.store.ledger import Ledger, Record

    ledger = Ledger(tmp_path / "x.zarr/ledger")
    for unit, seconds in enumerate((5.0, 5000.0, 7.0)):
        ledger.add(Record("scatter", "A", unit, "f", "done", seconds=seconds))
    ledger.flush()
    keys = {"kind": "pbs", "walltime": "01:00:00"}
    config = build_config({"cluster": keys, "store": {"path": str(tmp_path / "x.zarr")}})
    (line,) = lines(needs.time_findings(config, None), "FAIL")
    assert "longest unit 5000 s (scatter, the longest of the finished ones): it would never be finished" in line
    assert "cluster.walltime = '02:56:00' or more" in line


def test_more_workers_than_units_are_told(archive: Path) -> None:
    config = build_config({"archive": {"paths": [str(archive)], "units": "nm/s2"}, "cluster": {"workers": 9}})
    found = survey(config)
    assert units_of(found, config) == 2
    assert "some have nothing to do" in lines(needs.unit_findings(config, found), "note")[0]
    network = made_up(1.0, 3 * 1536, channels=4)
    assert units_of(network, config) == 12  # type: ignore[arg-type]
    (share,) = network.rates.values()  # type: ignore[attr-defined]
    share.motion_samples, share.motion = share.samples / 2, {"X.0..A", "X.1..A"}  # the others are barometers
    assert units_of(network, config) == 6  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------- batch systems


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_a_run_without_the_batch_system_is_refused_before_anything_is_made(
    command: Command, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    result = command("run", archive, "-o", tmp_path / "x.zarr", *SMALL, "--set", f"cluster.kind={kind}")
    assert result.code == 5
    assert batch.COMMANDS[kind][0] in result.text
    assert "not found on PATH" in result.text
    assert not (tmp_path / "x.zarr").exists()
    local = command("run", archive, "-o", tmp_path / "x.zarr", *SMALL, "--serial", "--stages", "convert")
    assert local.code == 0


def test_a_run_with_an_unknown_interface_or_a_store_that_cannot_be_is_refused(
    command: Command, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(tmp_path / "bin", "true", "sbatch", "squeue", "scancel")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "file").write_text("x")
    given = ("run", archive, *SMALL, "--set", "cluster.kind=slurm")
    refused = command(*given, "-o", tmp_path / "x.zarr", "--set", "cluster.interface=ib7")
    assert refused.code == 5
    assert "ib7" in refused.text
    assert "lo 127.0.0.1" in refused.text
    assert not (tmp_path / "x.zarr").exists()
    refused = command(*given, "-o", tmp_path / "file/x.zarr")
    assert refused.code in {2, 5}
    assert str(tmp_path / "file/x.zarr") in refused.text


def fake(folder: Path, body: str, *names: str) -> None:
    """Commands that do what a line of shell says."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod((folder / name).stat().st_mode | stat.S_IXUSR)


QUEUE = """Queue: workq
    queue_type = Execution
    total_jobs = 0
    resources_max.walltime = 02:00:00
    enabled = {enabled}
    started = True
"""


@pytest.mark.parametrize(
    ("walltime", "enabled", "words"),
    [("04:00:00", "True", "02:00:00"), ("01:00:00", "False", "not enabled"), ("01:00:00", "True", "")],
)
def test_a_queue_of_pbs_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, walltime: str, enabled: str, words: str
) -> None:
    (tmp_path / "told").write_text(QUEUE.format(enabled=enabled))
    fake(
        tmp_path / "bin",
        f"[ $3 = workq ] && cat {tmp_path / 'told'} || {{ echo qstat: Unknown queue $3 >&2; exit 170; }}",
        "qstat",
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    found = batch.batch_findings(cluster(kind="pbs", queue="workq", walltime=walltime).cluster)
    failed = lines(found, "FAIL")
    assert len(failed) == bool(words)
    assert words in "".join(failed)
    (unknown,) = lines(batch.batch_findings(cluster(kind="pbs", queue="none").cluster), "FAIL")
    assert "Unknown queue none" in unknown


@pytest.mark.parametrize(
    ("states", "level", "words"),
    [
        (["drain", "idle"], "ok", "the default one, up"),
        (["idle*", "mix"], "ok", "the default one, up"),
        (["drain", "idle*"], "note", "none of its nodes answers just now (idle*)"),  # as a node is that was resumed
        (["drain", "down*"], "FAIL", "no node that takes jobs (down*, drain)"),
    ],
)
def test_nodes_of_slurm_that_do_not_answer_just_now_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, states: list[str], level: str, words: str
) -> None:
    (tmp_path / "told").write_text("".join(f"main*|8:00:00|up|{state}|64000|16\n" for state in states))
    fake(tmp_path / "bin", f"cat {tmp_path / 'told'}", "sinfo")
    fake(tmp_path / "bin", "cat > /dev/null", "sbatch")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    found = {f.what: f for f in batch.batch_findings(cluster(kind="slurm", logs=str(tmp_path / "logs")).cluster)}
    assert found["partition"].level == level
    assert words in found["partition"].found
    assert ("job on a node" in found) == (level != "FAIL")


def test_a_batch_system_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path / "bin", "exec sleep 30", "qstat")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(batch, "ASK_SECONDS", 0.3)
    begun = time.monotonic()
    (line,) = lines(batch.batch_findings(cluster(kind="pbs", queue="workq").cluster), "FAIL")
    assert "no answer" in line
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("infinite", float("inf")), ("30", 1800), ("10:00", 600), ("8:00:00", 28_800), ("2-00:00:00", 172_800),
        ("1-12", 129_600), ("n/a", float("inf")),
    ],
)  # fmt: skip
def test_time_limits_are_read_as_slurm_writes_them(text: str, seconds: float) -> None:
    assert batch.slurm_seconds(text) == seconds


# -------------------------------------------------------------------------------------------------------------- workers


@pytest.mark.slow
def test_a_worker_of_this_machine_is_looked_from(command: Command, archive: Path, tmp_path: Path) -> None:
    result = command("preflight", archive, "-o", tmp_path / "x.zarr", *SMALL)
    assert (result.code, result.failed) == (0, [])
    for words in ("ok    versions: python 3.", "written here is read there", "one thread, memory kept", "as here"):
        assert words in result.text
    assert not (tmp_path / "x.zarr").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["here"]


class Scheduler:
    """A Dask scheduler and workers that run already, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
        deadline = time.monotonic() + 60
        while not self.file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def start(
        self, what: str, *options: str, before: tuple[str, ...] = (), environment: dict[str, str] | None = None
    ) -> None:
        order = [*before, sys.executable, "-m", "dask", what, "--scheduler-file", str(self.file), *options]
        around = {**os.environ, **(environment or {})}
        with (self._folder / f"{what}.log").open("wb") as log:
            self._started.append(subprocess.Popen(order, stdout=log, stderr=log, env=around, cwd=self._folder))

    def worker(self, **how: object) -> None:
        self.start("worker", "--host", "127.0.0.1", "--no-nanny", "--no-dashboard", **how)  # type: ignore[arg-type]

    def stop(self) -> None:
        for process in reversed(self._started):
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[Scheduler]:
    (tmp_path / "dask").mkdir()
    running = Scheduler(tmp_path / "dask")
    yield running
    running.stop()


def options(scheduler: Scheduler) -> tuple[str, ...]:
    return (*SMALL, "--set", "cluster.kind=address", "--set", f"cluster.address={scheduler.file}")


@pytest.mark.slow
def test_a_worker_with_another_environment_is_told(
    command: Command, archive: Path, tmp_path: Path, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "other/numpy-9.9.9.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 9.9.9\n")
    loose = {"OMP_NUM_THREADS": "8", "MALLOC_TRIM_THRESHOLD_": "", "PYTHONPATH": str(about.parent)}
    scheduler.start(
        "worker", "--host", "127.0.0.1", "--nthreads", "2", "--memory-limit", "600MB", "--no-dashboard",
        before=("sh", "-c", 'umask 077; exec "$@"', "sh"), environment=loose,
    )  # fmt: skip
    result = command("preflight", archive, "-o", tmp_path / "x.zarr", *options(scheduler))
    assert result.code == 5
    versions, memory = result.failed
    assert f"versions: numpy {np.__version__} here, 9.9.9 there" in versions
    assert memory.startswith("FAIL  memory limit of a worker: 0.56 GiB")
    told = "\n".join(result.noted)
    for words in ("threads of a worker: 2", "OMP_NUM_THREADS=8", "0077, here 0", "MALLOC_TRIM_THRESHOLD_ unset"):
        assert words in told
    assert "written here is read there" in result.text
    monkeypatch.setattr("gravdask.preflight.workers.code_digest", lambda: "another checkout")
    other = command("preflight", archive, "-o", tmp_path / "x.zarr", *options(scheduler))
    assert any("its source is other than here" in line for line in other.failed)


@pytest.mark.slow
def test_a_worker_that_does_not_see_archive_and_store_fails(
    command: Command, archive: Path, tmp_path: Path, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has another disk in the same place, as on a node where the file system is not mounted."""
    hidden = tmp_path / "shared"
    hidden.mkdir()
    for file in archive.iterdir():
        (hidden / file.name).write_bytes(file.read_bytes())
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount of one's own may be made here")
    hide = f'mount -t tmpfs none {hidden} && exec "$@"'
    scheduler.worker(before=("unshare", "--mount", "sh", "-c", hide, "sh"))
    monkeypatch.setattr("gravdask.preflight.workers.SEEN_SECONDS", 1.0)
    result = command("preflight", hidden, "-o", hidden / "x.zarr", *options(scheduler))
    assert result.code == 5
    store, records = result.failed
    assert store.startswith("FAIL  store on ")
    assert records.startswith("FAIL  archive on ")
    assert records.split(": ")[1].startswith(f"{hidden}/XX.ONE.2024-01-01.mseed not there")


@pytest.mark.slow
def test_a_scheduler_without_workers_or_none_at_all_fails(
    command: Command, archive: Path, tmp_path: Path, scheduler: Scheduler
) -> None:
    result = command("preflight", archive, "-o", tmp_path / "x.zarr", *options(scheduler), "--wait", "1")
    assert result.code == 5
    assert "FAIL  worker: none after 1 s" in result.failed[0]
    scheduler.file.unlink()
    result = command("preflight", archive, "-o", tmp_path / "x.zarr", *options(scheduler))
    assert "FAIL  cluster: no scheduler file" in result.failed[0]

"""The whole job on stores in a folder, in memory and on a real S3 service, and what may go wrong with each."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest
from zarr.storage import LocalStore

import gravdask
from gravdask.cli import _code
from gravdask.config import build_config
from gravdask.grid import day_at
from gravdask.pipeline import run
from gravdask.simulate import simulate_network
from gravdask.simulate.network import SimulatedNetwork
from gravdask.store.lease import Lease
from gravdask.store.ledger import Ledger
from gravdask.store.place import Place

NAMES = ("XX.ONE.00.VGZ", "XX.TWO.00.VGZ")
DAYS = 3
SMALL = (
    "--serial", "--units", "nm/s2", "--set", "scattering.frame_samples=256", "--set", "fit.min_days=0.5",
)  # fmt: skip
UNITS = "convert,noise,calibrate,scatter,fit,classify"


@dataclass(frozen=True)
class Outcome:
    code: int
    text: str

    def says(self, *words: str) -> None:
        assert "Traceback" not in self.text
        missing = [w for w in words if w not in self.text]
        assert not missing, f"{missing} not in:\n{self.text}"


Command = Callable[..., Outcome]


@pytest.fixture
def gravdask_command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in this process, as the entry point does."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def command(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = _code([str(a) for a in arguments])
        found = capsys.readouterr()
        return Outcome(code, found.out + found.err)

    return command


def write_record(path: Path, name: str, start: str, seed: int) -> None:
    """Write three days of noise, a sample every ten seconds."""
    network, station, location, channel = name.split(".")
    values = (np.random.default_rng(seed).standard_normal(DAYS * 8640) * 1000).astype(np.int32)
    header = {"network": network, "station": station, "location": location, "channel": channel}
    trace = obspy.Trace(values, {**header, "sampling_rate": 0.1, "starttime": obspy.UTCDateTime(start)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace.write(str(path), format="MSEED")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of two stations, a sample every ten seconds."""
    folder = tmp_path_factory.mktemp("archive")
    for number, name in enumerate(NAMES):
        write_record(folder / f"{name}.mseed", name, "2024-01-01", number)
    return folder


class Client:
    """The command line in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        folder.mkdir()
        self.log = folder / "log"
        with self.log.open("w") as log:
            command = [sys.executable, "-m", "gravdask", *arguments]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)

    def end(self) -> int:
        return self.process.wait(timeout=300)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Callable[..., Client]]:
    started: list[Client] = []

    def start(*arguments: str) -> Client:
        started.append(Client(tmp_path / f"client{len(started)}", *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def contents(where: Place | Path | str) -> dict[str, bytes]:
    """Every object of a store but those of its ledger and its runs, which hold times."""
    place = Place.of(where)
    kept = [e.name for e in place.walk() if not e.name.startswith(("ledger/", "runs/")) and e.size]
    return {name: (place / name).read() for name in kept}


def differing(one: dict[str, bytes], two: dict[str, bytes]) -> list[str]:
    assert len(one) > 20
    return sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name))


@pytest.fixture(scope="module")
def whole(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the archive that nothing disturbed."""
    store = tmp_path_factory.mktemp("whole") / "x.zarr"
    assert _code(["run", str(archive), "-o", str(store), *SMALL, "--stages", UNITS]) == 0
    return store


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    """A copy of it to be disturbed."""
    return Path(shutil.copytree(whole, tmp_path / "x.zarr"))


# ------------------------------------------------------------------------------------------------------- lost shards


@pytest.mark.parametrize("how", ["removed", "emptied", "cut"])
@pytest.mark.parametrize(
    ("shards", "stage"),
    [("raw/record", "convert"), ("scattering/coefficients", "scatter"), ("classes/component", "classify")],
)
def test_a_shard_that_was_lost_is_made_again_and_nothing_else(
    gravdask_command: Command, archive: Path, whole: Path, store: Path, shards: str, stage: str, how: str
) -> None:
    (shard,) = (p for p in (store / NAMES[0] / shards / "c").rglob("*") if p.is_file())
    if how == "removed":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-1] if how == "cut" else b"")
    arguments = (archive, "-o", store, *SMALL)
    planned = gravdask_command("plan", *arguments)
    assert [s for s in UNITS.split(",") if f"{s:<10} 1 units" in planned.text] == [stage]
    result = gravdask_command("run", *arguments, "--stages", UNITS)
    assert result.code == 0
    told = "1 shards are gone from the store, or not as they were written, and are made again"
    result.says(told, f"{NAMES[0]}/{shards} unit", "1 units done")
    assert differing(contents(whole), contents(store)) == []
    gravdask_command("run", *arguments, "--stages", UNITS).says("nothing to do")


@pytest.mark.parametrize("how", ["removed", "cut"])
def test_metadata_of_a_record_that_were_lost_are_made_again(
    gravdask_command: Command, archive: Path, whole: Path, store: Path, how: str
) -> None:
    lost = store / NAMES[0] / "raw/record/zarr.json"
    if how == "removed":
        lost.unlink()
    else:
        lost.write_bytes(lost.read_bytes()[:100])
    arguments = (archive, "-o", store, *SMALL)
    result = gravdask_command("run", *arguments, "--stages", UNITS)
    assert result.code == 0
    result.says(f"{NAMES[0]}: the metadata of its record were damaged or gone and are made again", "nothing to do")
    assert differing(contents(whole), contents(store)) == []


def test_a_root_that_was_lost_is_made_again(gravdask_command: Command, archive: Path, whole: Path, store: Path) -> None:
    (store / "zarr.json").unlink()
    result = gravdask_command("run", archive, "-o", store, *SMALL, "--stages", UNITS)
    assert result.code == 0
    result.says("nothing to do")
    assert differing(contents(whole), contents(store)) == []


# ------------------------------------------------------------------------------------------------ disks and mounts


def refusing(number: int, words: str, after: int) -> Callable[..., Any]:
    """What writes the objects of Zarr, failing from some shard on."""
    real, written = LocalStore.set, []

    async def put(self: LocalStore, key: str, *arguments: Any, **options: Any) -> None:
        if "/c/" in key:
            written.append(key)
            if len(written) > after:
                raise OSError(number, words)
        await real(self, key, *arguments, **options)

    return put


@pytest.mark.parametrize(("number", "after"), [(errno.ENOSPC, 0), (errno.ENOSPC, 5), (errno.EROFS, 11)])
def test_a_full_disk_stops_the_run_which_is_continued(
    gravdask_command: Command, archive: Path, whole: Path, tmp_path: Path, monkeypatch: Any, number: int, after: int
) -> None:
    store = tmp_path / "x.zarr"
    arguments = ("run", archive, "-o", store, *SMALL, "--stages", UNITS)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", refusing(number, os.strerror(number), after))
        result = gravdask_command(*arguments)
    assert result.code == 3
    result.says(str(store), "nothing more can be written", os.strerror(number), "free some space", "run again")
    assert not list(store.rglob("*.partial"))
    assert not list((store / "ledger" / "leases").iterdir())
    assert gravdask_command(*arguments).code == 0
    assert differing(contents(whole), contents(store)) == []


@pytest.mark.parametrize("after", [0, 3, 7, 12])
def test_a_disk_that_is_full_for_the_ledger_stops_the_run_which_is_continued(
    gravdask_command: Command,
    archive: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    store = tmp_path / "x.zarr"
    arguments = ("run", archive, "-o", store, *SMALL, "--stages", UNITS)
    real, count = os.fsync, [0]

    def full(handle: int) -> None:
        count[0] += 1
        if count[0] > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = gravdask_command(*arguments)
    assert result.code == 3
    result.says("No space left", "free some space")
    assert not list(store.rglob("*.partial"))
    assert gravdask_command(*arguments).code == 0
    assert differing(contents(whole), contents(store)) == []


def test_a_store_whose_disk_vanishes_is_not_begun_anew_in_its_place(
    gravdask_command: Command, archive: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, elsewhere = tmp_path / "mount" / "x.zarr", tmp_path / "elsewhere"
    store.parent.mkdir()
    arguments = ("run", archive, "-o", store, *SMALL, "--stages", UNITS)
    real = Ledger.begin

    def unmounted(self: Ledger, records: Any) -> None:
        chosen = list(records)
        real(self, chosen)
        if chosen[0].stage == "scatter" and not elsewhere.exists():
            store.parent.rename(elsewhere)
            store.parent.mkdir()

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "begin", unmounted)
        result = gravdask_command(*arguments)
    assert result.code == 3
    result.says("the store is gone; is its disk still mounted?", "run again")
    assert not any(store.parent.rglob("*"))
    store.parent.rmdir()
    elsewhere.rename(store.parent)
    for own in (store / "ledger" / "leases").iterdir():
        own.unlink()  # this process still lives; that of a client that stopped does not
    again = gravdask_command(*arguments)
    assert again.code == 0
    again.says("convert    up to date (2 units)")
    assert differing(contents(whole), contents(store)) == []


# ------------------------------------------------------------------------------------------------------- jobs by years


def test_a_job_on_other_years_goes_on_beside_one_that_works(
    gravdask_command: Command, archive: Path, store: Path
) -> None:
    def claim(first: str, last: str) -> Lease:
        days = tuple(day_at(int(np.datetime64(t, "ns").astype(np.int64))) for t in (first, last))
        return Lease(store / "ledger" / "leases", ("*",), ("convert", "noise", "scatter"), (0, 1), days, 1536)

    arguments = (archive, "-o", store, *SMALL, "--years", "2024")
    with claim("2005-01-01", "2010-01-01"):
        assert gravdask_command("convert", *arguments).code == 0
        assert gravdask_command("noise", *arguments).code == 0
        assert gravdask_command("scatter", *arguments).code == 0
        assert gravdask_command("convert", archive, "-o", store, *SMALL).code == 4
    with claim("2024-06-01", "2024-07-01"):
        result = gravdask_command("convert", *arguments)
        assert result.code == 4
        result.says("from 2024-06-01 to 2024-07-01", "work on other channels or years")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["file", "s3"])
def test_two_jobs_on_other_years_at_once_make_what_one_makes(
    gravdask_command: Command,
    client: Callable[..., Client],
    tmp_path: Path,
    where: str,
    request: pytest.FixtureRequest,
) -> None:
    """Both begin with a store that does not exist yet, on the same channel."""
    archive = tmp_path / "archive"
    archive.mkdir()
    for year in (2016, 2023):
        write_record(archive / f"{year}.mseed", NAMES[0], f"{year}-03-01", year)
    both = str(tmp_path / "both.zarr") if where == "file" else f"{request.getfixturevalue('s3')}/both.zarr"
    one = str(tmp_path / "one.zarr")
    for stages in ("convert", "noise,scatter"):
        given = [str(archive), *SMALL, "--stages", stages]
        jobs = [client("run", *given, "-o", both, "--years", f"{y}:{y}") for y in (2016, 2023)]
        assert [job.end() for job in jobs] == [0, 0], [job.log.read_text() for job in jobs]
        assert gravdask_command("run", *given, "-o", one).code == 0
    assert differing(contents(one), contents(both)) == []
    records = [
        {(r.stage, r.unit, r.fingerprint, r.status) for s in ("convert", "noise", "scatter") for r in found.of_stage(s)}
        for found in (Ledger(Place.of(p) / "ledger") for p in (one, both))
    ]
    assert records[0] == records[1]
    assert len(records[0]) >= 6


# -------------------------------------------------------------------------------------------------------------- memory


def memory_config(archive: Path, name: str, **cluster: Any) -> Any:
    return build_config(
        {
            "archive": {"paths": [str(archive)], "units": "nm/s2"},
            "store": {"path": f"memory://{name}"},
            "scattering": {"frame_samples": 256},
            "fit": {"min_days": 0.5},
            "cluster": {"kind": "serial", **cluster},
        }
    )


def test_a_store_in_memory_holds_what_one_in_a_folder_does(
    archive: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = memory_config(archive, "whole")
    record = run(config)
    assert record.exit_code == 0
    assert record.report == tmp_path / "whole-report" / "report.html"
    assert record.report.stat().st_size > 10_000
    found = {n: c for n, c in contents("memory://whole").items() if n in contents(whole)}
    assert differing(contents(whole), found) == []
    assert gravdask.network("memory://whole", "classes").sizes["channel"] == 2
    assert run(config).units_done == 0


def test_a_store_in_memory_is_refused_with_worker_processes(gravdask_command: Command, archive: Path) -> None:
    result = gravdask_command("run", archive, "-o", "memory://x", "--workers", "2")
    assert result.code == 2
    result.says("memory://x", "seen by this process only", "--serial")


# ------------------------------------------------------------------------------------------------------------ real S3


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SimulatedNetwork:
    return simulate_network(tmp_path_factory.mktemp("sim"), stations=2, days=3, rate=1.0, seed=0)


@pytest.fixture(scope="module")
def on_disk(network: SimulatedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("local") / "sim.zarr"
    assert _code(["run", *options(network, store), "--serial"]) == 0
    return store


def options(network: SimulatedNetwork, store: Path | str) -> list[str]:
    given = ["--stations", network.station_xml, "--catalog", network.catalogue, "--set", "fit.min_days=2"]
    return [str(a) for a in (network.archive, "-o", store, *given, "--set", "scattering.frame_samples=1024")]


@pytest.mark.slow
def test_a_store_on_s3_made_by_two_workers_is_that_of_a_folder_to_the_byte(
    network: SimulatedNetwork, on_disk: Path, s3: str, client: Callable[..., Client], gravdask_command: Command
) -> None:
    url = f"{s3}/surveys/sim.zarr"
    one = client("run", *options(network, url), "--workers", "2")
    assert one.end() == 0, one.log.read_text()
    assert "2 workers" in one.log.read_text()
    assert differing(contents(on_disk), contents(url)) == []
    report = one.log.parent / "sim-report" / "report.html"
    assert report.stat().st_size > 10_000
    secret = os.environ["AWS_SECRET_ACCESS_KEY"].encode()
    kept = [(Place.of(url) / e.name).read() for e in Place.of(url).walk()]
    written = [report.read_bytes(), one.log.read_bytes(), *kept]
    assert not any(secret in text for text in written)
    here, there = (gravdask.network(p, "raw", "GD.LSA.*.LGZ", physical=True) for p in (on_disk, url))
    np.testing.assert_array_equal(here.record, there.record)
    gravdask_command("status", "-o", url).says(f"store {url}, 4 channels", "convert    4 done", "model      1Hz")
    gravdask_command("plan", *options(network, url)).says("convert    0 units", "4 up to date")
    again = gravdask_command("run", *options(network, url), "--serial", "--stages", UNITS)
    assert again.code == 0
    again.says("nothing to do")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["convert", "scatter"])
def test_a_client_that_is_killed_on_s3_is_continued(
    network: SimulatedNetwork,
    on_disk: Path,
    s3: str,
    client: Callable[..., Client],
    gravdask_command: Command,
    stage: str,
) -> None:
    url = f"{s3}/sim.zarr"
    one = client("run", *options(network, url), "--serial")
    ledger = Place.of(url) / "ledger" / stage
    deadline = time.monotonic() + 200
    while not ledger.entries():
        assert one.process.poll() is None, one.log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    refused = gravdask_command("run", *options(network, url), "--serial", "--stages", UNITS)
    assert refused.code == 4
    refused.says(f"process {one.process.pid} on ", "wait for it")
    one.process.kill()
    assert one.end() == -signal.SIGKILL
    result = gravdask_command("run", *options(network, url), "--serial")  # its dead process holds nobody up
    assert result.code == 0
    assert f"{stage:<10} up to date" not in result.text
    assert differing(contents(on_disk), contents(url)) == []


@pytest.mark.slow
def test_a_shard_that_was_lost_on_s3_is_made_again(
    gravdask_command: Command, archive: Path, whole: Path, s3: str
) -> None:
    url = f"{s3}/x.zarr"
    arguments = ("run", archive, "-o", url, *SMALL, "--stages", UNITS)
    assert gravdask_command(*arguments).code == 0
    (lost,) = (e.name for e in Place.of(url).walk() if e.name.startswith(f"{NAMES[1]}/scattering/coefficients/c/"))
    (Place.of(url) / lost).delete()
    result = gravdask_command(*arguments)
    result.says("1 shards are gone from the store", "scatter    1 units done", "1 units done, ")
    assert differing(contents(whole), contents(url)) == []


@pytest.mark.slow
def test_a_mistyped_archive_leaves_no_trace_on_s3(gravdask_command: Command, tmp_path: Path, s3: str) -> None:
    (tmp_path / "empty").mkdir()
    assert gravdask_command("run", tmp_path / "empty", "-o", f"{s3}/x.zarr", "--serial").code == 2
    assert [e.name for e in Place.of(f"{s3}/x.zarr").walk() if e.size] == []

"""TLS between client, scheduler and workers: with it a run works as without, and who has no right to it is refused."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gravdask.cli import _code
from gravdask.config import build_config
from gravdask.store.place import Place

pytestmark = pytest.mark.slow

SMALL = ("--units", "nm/s2", "--set", "scattering.frame_samples=256", "--stages", "convert,noise,scatter")


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the tests, and what it signs."""

    folder: Path

    @property
    def pem(self) -> Path:
        return self.folder / "ca.pem"

    def sign(self, name: str, *how: str) -> tuple[Path, Path]:
        """Make a certificate and its key."""
        cert, key, request = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        ca = ("-cert", self.pem, "-keyfile", self.folder / "ca.key", "-config", self.folder / "ca.conf")
        openssl("ca", "-batch", "-notext", "-in", request, *ca, "-out", cert, *(how or ("-days", "2")))
        return cert, key


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def authority(folder: Path) -> Authority:
    folder.mkdir()
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out", folder / "ca.pem",
        "-subj", f"/CN=authority of {folder.name}", "-days", "2",
    )  # fmt: skip
    conf = f"[ca]\ndefault_ca=own\n[own]\ndatabase={folder}/index\nserial={folder}/serial\nnew_certs_dir={folder}\n"
    (folder / "ca.conf").write_text(f"{conf}default_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n")
    (folder / "index").touch()
    (folder / "serial").write_text("01")
    return Authority(folder)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return authority(tmp_path_factory.mktemp("tls") / "mine")


@pytest.fixture(scope="module")
def keys(mine: Authority) -> dict[str, Path]:
    cert, key = mine.sign("node")
    return {"tls_ca": mine.pem, "tls_cert": cert, "tls_key": key}


def settings(keys: dict[str, Path], **more: str) -> list[str]:
    """Options of a command line."""
    given = {**{name: str(path) for name, path in keys.items()}, **more}
    return [word for name, value in given.items() for word in ("--set", f'cluster.{name}="{value}"')]


@pytest.fixture(scope="module")
def plain(small_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes of it."""
    store = tmp_path_factory.mktemp("plain") / "x.zarr"
    assert _code(["run", str(small_archive), "-o", str(store), *SMALL, "--serial"]) == 0
    return contents(store)


def contents(store: Path) -> dict[str, bytes]:
    place = Place.of(store)
    return {
        e.name: (place / e.name).read() for e in place.walk() if not e.name.startswith(("ledger/", "runs/")) and e.size
    }


@dataclass(frozen=True)
class Outcome:
    code: int
    text: str
    seconds: float

    def refused(self, *words: str) -> None:
        """One sentence, no traceback, in reasonable time."""
        assert self.code in {3, 5}, self.text
        assert "Traceback" not in self.text
        lines = [line for line in self.text.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("gravdask: ")]
        assert len(told) == 1
        assert len(lines) <= 2, self.text
        for word in words:
            assert word in told[0]
        assert self.seconds < 60


@pytest.fixture
def command(small_archive: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Run a whole run in a process of its own."""

    def run(*options: str) -> Outcome:
        begun = time.monotonic()
        order = [
            sys.executable,
            "-m",
            "gravdask",
            "run",
            str(small_archive),
            "-o",
            str(tmp_path / "x.zarr"),
            *SMALL,
            *options,
        ]
        done = subprocess.run(order, capture_output=True, text=True, timeout=200, cwd=tmp_path, check=False)
        return Outcome(done.returncode, done.stdout + done.stderr, time.monotonic() - begun)

    return run


@pytest.fixture
def scheduler(keys: dict[str, Path], tmp_path: Path) -> Iterator[str]:
    """Address of a scheduler with a worker that speak TLS only."""
    tls = ["--tls-ca-file", keys["tls_ca"], "--tls-cert", keys["tls_cert"], "--tls-key", keys["tls_key"]]
    file = tmp_path / "scheduler.json"
    with contextlib.ExitStack() as stack, (tmp_path / "dask.log").open("wb") as log:

        def start(*words: str | Path) -> None:
            order = [sys.executable, "-m", "dask", *map(str, words), "--scheduler-file", str(file), *map(str, tls)]
            process = subprocess.Popen(
                order, stdout=log, stderr=log, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)

        start("scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline, (tmp_path / "dask.log").read_text()
            time.sleep(0.05)
        start("worker", "--nthreads", "1", "--no-dashboard", "--memory-limit", "2GiB")
        yield str(file)


def test_local_workers_speak_tls(
    command: Callable[..., Outcome], keys: dict[str, Path], plain: dict[str, bytes], tmp_path: Path
) -> None:
    result = command("--workers", "1", *settings(keys))
    assert result.code == 0, result.text
    assert contents(tmp_path / "x.zarr") == plain


def test_a_scheduler_that_speaks_tls_is_worked_with(
    command: Callable[..., Outcome], scheduler: str, keys: dict[str, Path], plain: dict[str, bytes], tmp_path: Path
) -> None:
    result = command(*settings(keys, kind="address", address=scheduler))
    assert result.code == 0, result.text
    assert contents(tmp_path / "x.zarr") == plain


def test_who_has_no_certificate_or_another_s_is_refused(
    command: Callable[..., Outcome],
    scheduler: str,
    keys: dict[str, Path],
    mine: Authority,
    tmp_path: Path,
) -> None:
    at = {"kind": "address", "address": scheduler}
    command(*settings({}, **at)).refused("no Dask scheduler answers", "TLS", "tls_ca")

    other = authority(tmp_path / "other")
    cert, key = other.sign("stranger")
    # One who has all of his own, and two whose files do not fit.
    strange = {"tls_ca": other.pem, "tls_cert": cert, "tls_key": key}
    command(*settings(strange, **at)).refused("no Dask scheduler answers", "TLS", "certificate")
    command(*settings({**strange, "tls_ca": mine.pem}, **at)).refused("cluster.tls_cert", str(cert), "vouches for")
    command(*settings({**keys, "tls_ca": other.pem}, **at)).refused("cluster.tls_cert", str(keys["tls_cert"]))

    old, old_key = mine.sign("old", "-startdate", "20200101000000Z", "-enddate", "20200102000000Z")
    expired = {**keys, "tls_cert": old, "tls_key": old_key}
    command(*settings(expired, **at)).refused("expired", str(old))


def test_the_scheduler_itself_refuses_a_stranger(scheduler: str, mine: Authority, tmp_path: Path) -> None:
    """Whatever this program looks at before: the other side does not let him in."""
    from distributed import Client
    from distributed.security import Security

    cert, key = authority(tmp_path / "other").sign("stranger")
    security = Security(
        tls_ca_file=str(mine.pem), tls_client_cert=str(cert), tls_client_key=str(key), require_encryption=True
    )
    with pytest.raises(OSError, match=r"[Tt]imed out|certificate|SSL|closed"):
        Client(scheduler_file=scheduler, security=security, timeout="5s")


@pytest.mark.parametrize("name", ["tls_ca", "tls_cert", "tls_key"])
def test_a_missing_file_is_named(command: Callable[..., Outcome], keys: dict[str, Path], name: str) -> None:
    absent = {**keys, name: Path("/no/such/file.pem")}
    command("--workers", "1", *settings(absent)).refused(f"cluster.{name}", "/no/such/file.pem", "cannot be read")


def test_files_that_are_no_certificates_or_do_not_belong_together_are_named(
    command: Callable[..., Outcome], keys: dict[str, Path], mine: Authority, tmp_path: Path
) -> None:
    (tmp_path / "text.pem").write_text("nothing of the kind")
    for name in keys:
        wrong = {**keys, name: tmp_path / "text.pem"}
        command("--workers", "1", *settings(wrong)).refused(f"cluster.{name}", "text.pem")
    _, other_key = mine.sign("other")
    command("--workers", "1", *settings({**keys, "tls_key": other_key})).refused("cluster.tls_key", str(other_key))


def test_the_preflight_looks_at_the_files(keys: dict[str, Path]) -> None:
    from gravdask.preflight.machine import certificate_findings

    def found(**other: Path) -> tuple[str, str]:
        section = build_config({"cluster": {name: str(path) for name, path in {**keys, **other}.items()}}).cluster
        (finding,) = certificate_findings(section)
        return finding.level, finding.line()

    keys["tls_key"].chmod(0o600)
    assert found()[0] == "ok"
    assert found(tls_cert=Path("/no/such.pem"))[0] == "FAIL"
    keys["tls_key"].chmod(0o644)
    assert found() == ("note", f"note  TLS: {keys['tls_key']} can be read by others; chmod 600 {keys['tls_key']}")


def test_a_run_goes_no_further_with_an_expired_certificate(
    command: Callable[..., Outcome], keys: dict[str, Path], mine: Authority
) -> None:
    old, old_key = mine.sign("old2", "-startdate", "20200101000000Z", "-enddate", "20200102000000Z")
    result = command("--workers", "1", *settings({**keys, "tls_cert": old, "tls_key": old_key}))
    result.refused("expired", str(old))

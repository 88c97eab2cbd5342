"""Runs as an MPI job, and on a scheduler and workers that an MPI job is."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(590)]

CLUSTER = Path(__file__).parents[2] / "cluster"
QUICK = ["--stages", "convert,noise,calibrate,scatter,fit,classify,interpret"]
GRAVDASK = [sys.executable, "-m", "gravdask"]


@pytest.fixture
def mpirun(tmp_path: Path) -> list[str]:
    """Command that starts ranks on this host, more than it has cores if need be."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed", exc_type=ImportError)
    pytest.importorskip("dask_mpi", reason="dask-mpi is not installed", exc_type=ImportError)
    if shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed (Debian: openmpi-bin)")
    return ["mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "btl", "self,tcp"]


def test_ranks_give_the_values_of_one_process_and_are_quiet(
    network: Any, mpirun: list[str], start: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    config = network.config(store, "mpi", memory="1GiB", interface="lo", scratch=str(tmp_path))
    two = {f"{name}_NUM_THREADS": "2" for name in ("OMP", "OPENBLAS", "MKL")}  # as a site may have it
    client = start([*mpirun, "-n", "4", *GRAVDASK, "run", "-c", str(config), *QUICK], **two)
    assert client.code() == 0
    said = client.said()
    assert "2 workers" in said
    assert said.count(f"{network.units} units done, 0 up to date") == 1
    assert "Traceback" not in said
    assert "distributed" not in said, "Dask's own words"
    network.assert_equal(store)
    again = start([*mpirun, "-n", "4", *GRAVDASK, "run", "-c", str(config), *QUICK], "again")
    assert again.code() == 0
    assert again.said().count(f"nothing to do: all {network.units} units are up to date") == 1


def test_ranks_speak_tls_where_the_configuration_says_so(
    network: Any, mpirun: list[str], start: Any, tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    cert, key = tmp_path / "all.pem", tmp_path / "all.key"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=all", "-days", "2"]
    subprocess.run(["openssl", *words, "-keyout", key, "-out", cert], check=True, capture_output=True)
    tls = {"tls_ca": str(cert), "tls_cert": str(cert), "tls_key": str(key)}
    config = network.config(tmp_path / "store.zarr", "mpi", memory="1GiB", interface="lo", **tls)
    client = start([*mpirun, "-n", "3", *GRAVDASK, "run", "-c", str(config), "--stages", "convert"])
    assert client.code() == 0
    assert "Traceback" not in client.said()


@pytest.mark.parametrize(("ranks", "more", "code"), [(4, ["--stages", "skatter"], 2), (2, [], 2)])
def test_the_exit_code_is_passed_on_and_said_once(
    network: Any, mpirun: list[str], start: Any, tmp_path: Path, ranks: int, more: list[str], code: int
) -> None:
    config = network.config(tmp_path / "store.zarr", "mpi", memory="1GiB", interface="lo")
    client = start([*mpirun, "-n", str(ranks), *GRAVDASK, "run", "-c", str(config), *more])
    assert client.code() == code
    assert "Traceback" not in client.said()
    assert client.said().count("gravdask: ") == 1


def test_a_signal_to_mpirun_ends_the_run_in_order(network: Any, mpirun: list[str], start: Any, tmp_path: Path) -> None:
    config = network.config(tmp_path / "store.zarr", "mpi", memory="1GiB", interface="lo")
    client = start([*mpirun, "-n", "4", *GRAVDASK, "run", "-c", str(config), *QUICK])
    client.wait_for(r"noise +\d+ units done")
    client.process.send_signal(signal.SIGUSR1)
    assert client.code() == 3
    assert client.said().count("stopped as asked") == 1
    assert client.said().count("SIGUSR1: finishing") == 1
    assert "Traceback" not in client.said()


def test_without_mpirun_it_is_said_what_to_do(network: Any, start: Any, tmp_path: Path) -> None:
    pytest.importorskip("mpi4py", reason="mpi4py is not installed", exc_type=ImportError)
    config = network.config(tmp_path / "store.zarr", "mpi", memory="1GiB")
    client = start([*GRAVDASK, "run", "-c", str(config), *QUICK])
    assert client.code(60) == 2
    assert "mpirun" in client.said().splitlines()[-1]


def test_a_scheduler_file_of_dask_mpi(
    network: Any, mpirun: list[str], start: Any, wait_until: Any, tmp_path: Path
) -> None:
    """As the page says for MPI sites where gravdask itself is to run outside of the MPI job."""
    file = tmp_path / "scheduler.json"
    options = ["--scheduler-file", str(file), "--nthreads", "1", "--memory-limit", "1GiB", "--interface", "lo"]
    options += ["--local-directory", str(tmp_path / "scratch"), "--no-dashboard"]
    ranks = start([*mpirun, "-n", "3", str(Path(sys.executable).parent / "dask-mpi"), *options], "ranks")
    wait_until(lambda: file.exists() and file.read_text().rstrip().endswith("}"), "the scheduler's file", 60)
    store = tmp_path / "store.zarr"
    config = network.config(store, "address", address=str(file))
    assert tomllib.loads(config.read_text())["cluster"]["address"] == str(file)
    client = start([*GRAVDASK, "run", "-c", str(config), *QUICK])
    assert client.code() == 0
    network.assert_equal(store)
    assert ranks.process.poll() is None, "the ranks are left alone"

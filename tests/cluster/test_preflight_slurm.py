"""The preflight on a real SLURM: what it would not take, what would not fit, and a job that looks around."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def asking(tmp_path: Path, slurm: Any, network: Any, start: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Make what runs the preflight of a configuration on a cluster and gives its findings by what was looked at."""
    store = tmp_path / "x.zarr"

    def run(*options: str, here: bool = False, code: int = 0, **keys: Any) -> dict[str, Any]:
        settings = {"kind": "slurm", "workers": 2, "interface": "lo", "logs": str(tmp_path / "logs"), **keys}
        path = tmp_path / "gravdask.toml"
        section = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
        path.write_text(f"{network.config(store).read_text()}\n[cluster]\n{section}\n", encoding="utf-8")
        command = [sys.executable, "-m", "gravdask", "preflight", "-c", str(path), "--json", *options]
        client = start([*slurm.inside(command), *(["--here-only"] if here else [])], **slurm.environment)
        assert client.code() == code, client.said()
        said = client.said()
        found = json.loads(said[said.index("{") :])["findings"]
        assert "Traceback" not in said
        return {f["what"]: f for f in found}

    return run


@pytest.fixture
def preflight(tmp_path: Path, slurm: Any, network: Any, start: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Run the preflight on four nodes that are this host."""
    return asking(tmp_path, slurm, network, start)


def test_a_job_looks_around_and_nothing_is_left(slurm: Any, preflight: Callable[..., Any], tmp_path: Path) -> None:
    found = preflight(walltime="00:20:00", memory="1500MB")
    assert not [f for f in found.values() if f["level"] == "FAIL"]
    assert "to start at" in found["job"]["found"]
    assert found["partition"]["found"] == "the default one, up"
    assert found["time limit of the partition"]["found"] == "infinite"
    assert found["memory limit of a worker"]["found"].startswith("1.40 GiB")
    (host,) = {what.removeprefix("store on ") for what in found if what.startswith("store on ")}
    assert "the other way round" in found[f"store on {host}"]["found"]
    assert found[f"archive on {host}"]["level"] == "ok"
    assert found[f"environment on {host}"]["found"] == "one thread, memory kept"
    assert found[f"umask on {host}"]["level"] == "ok"
    assert not (tmp_path / "x.zarr").exists()
    assert slurm.jobs() == []


def test_what_slurm_would_refuse_or_not_have_room_for_fails(slurm: Any, preflight: Callable[..., Any]) -> None:
    slurm.ask("scontrol", "update", "PartitionName=main", "MaxTime=00:10:00")
    found = preflight(here=True, code=5, walltime="01:00:00", workers_per_job=3)
    assert found["time limit of the partition"]["level"] == "FAIL"
    assert "00:10:00; asked for are 01:00:00" in found["time limit of the partition"]["found"]
    assert "cluster.walltime = '00:10:00' or less" in found["time limit of the partition"]["cure"]
    assert found["job on a node"]["level"] == "FAIL"
    assert found["job on a node"]["found"].endswith("the largest node has 5.37 GiB and 2 cores")
    assert found["job"]["level"] == "FAIL"
    absent = preflight(here=True, code=5, queue="nope", walltime="00:05:00")
    assert "nope is not there" in absent["partition"]["found"]
    assert "there are main" in absent["partition"]["cure"]
    assert "invalid partition" in absent["job"]["found"]
    slurm.ask("scontrol", "update", "PartitionName=main", "State=DOWN")
    down = preflight(here=True, code=5, walltime="00:05:00")
    assert "no node that takes jobs (partition down)" in down["partition"]["found"]


def test_an_option_that_slurm_does_not_know_fails(preflight: Callable[..., Any]) -> None:
    found = preflight(here=True, code=5, directives=["--constraint=gold"], account="nobody")
    assert found["job"]["level"] == "FAIL"
    assert found["job"]["found"].startswith("sbatch --test-only: ")
    assert found["partition"]["level"] == "ok"


def test_accounts_are_left_unchecked_where_there_are_none(preflight: Callable[..., Any]) -> None:
    found = preflight(here=True, account="geo", qos="")
    assert found["account and qos"]["level"] == "note"
    assert "not checked" in found["account and qos"]["found"]


def test_a_python_that_is_not_there_is_told_in_the_words_of_the_job(slurm: Any, preflight: Callable[..., Any]) -> None:
    found = preflight(code=5, python="/no/such/python")
    assert found["worker"]["level"] == "FAIL"
    assert "/no/such/python" in found["worker"]["found"]
    assert slurm.jobs() == []


def test_the_prologue_s_umask_and_threads_are_seen(preflight: Callable[..., Any]) -> None:
    found = preflight(prologue=["umask 077", "export OMP_NUM_THREADS=4"])
    (mask,) = (f for what, f in found.items() if what.startswith("umask on"))
    assert mask["level"] == "note"
    assert mask["found"].startswith("0077, here ")
    (threads,) = (f for what, f in found.items() if what.startswith("environment on"))
    assert "OMP_NUM_THREADS=4" in threads["found"]


def test_a_job_that_waits_is_no_failure(
    slurm: Any, preflight: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    for node in slurm.ask("sinfo", "--noheader", "--Node", "--format=%N").split():
        slurm.ask("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    slurm.ask("scontrol", "update", "NodeName=n1", "State=RESUME")
    slurm.ask("sbatch", "--exclusive", "--nodelist=n1", "--wrap=sleep 600", "--output=/dev/null")
    wait_until(lambda: slurm.jobs("R"), "a job that keeps the only node")
    found = preflight("--wait", "5")
    assert found["worker"]["level"] == "note"
    assert "none after 5 s, its job is pending" in found["worker"]["found"]


def test_jobs_speak_tls(preflight: Callable[..., Any], tmp_path: Path) -> None:
    cert, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    order = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=x"]
    subprocess.run([str(word) for word in order], check=True, capture_output=True)
    found = preflight(tls_ca=str(cert), tls_cert=str(cert), tls_key=str(key))
    assert found["TLS"]["level"] == "ok"
    assert any(what.startswith("store on ") and f["level"] == "ok" for what, f in found.items())
    assert not [f for f in found.values() if f["level"] == "FAIL"]


def test_nodes_with_a_network_of_their_own_are_reached_through_the_named_interfaces(
    tmp_path: Path, namespaces: Any, network: Any, start: Callable[..., Any]
) -> None:
    ask = asking(tmp_path, namespaces, network, start)
    found = ask(interface="eth0", scheduler_interface="br0")
    assert not [f for f in found.values() if f["level"] == "FAIL"]
    assert found["network interface"]["found"] == "br0 10.99.0.1"
    assert [f["level"] for what, f in found.items() if what.startswith("store on n")] == ["ok"]
    absent = ask(here=True, code=5, interface="eth0")
    assert "cluster.interface = 'eth0' is not there" in absent["network interface"]["found"]
    assert "br0 10.99.0.1" in absent["network interface"]["cure"]
    wrong = ask("--wait", "15", code=5, interface="ib0", scheduler_interface="br0")
    assert wrong["worker"]["level"] == "FAIL"
    assert "ib0" in wrong["worker"]["found"]

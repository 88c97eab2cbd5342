"""Runs on a real SLURM: what clusters do to jobs, nodes and clients changes no value."""

from __future__ import annotations

import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gravdask.config import ClusterConfig
from gravdask.execution import DaskRunner

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(590)]

RUN = [sys.executable, "-m", "gravdask", "run", "-c"]
QUICK = ["--stages", "convert,noise,calibrate,scatter,fit,classify,interpret"]
HERE = {"workers": 2, "workers_per_job": 1, "memory": "1GiB", "interface": "lo", "wait": 120}
"""What this site, four nodes on one host, wants otherwise than the profile."""
AT_WORK = r"calibrate +\d+ units done"
"""Said when the transform begins, which takes longest."""


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    return {**HERE, "logs": str(folder / "logs"), **more}


def wait_for_both(slurm: Any, wait_until: Any) -> None:
    wait_until(lambda: len(slurm.jobs("R")) == 2, "two jobs that run", 60)


def test_the_shipped_profile_gives_the_values_of_one_process_and_leaves_no_job(
    network: Any, slurm: Any, start: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    config = network.config(store, "slurm", **settings(tmp_path, walltime="00:30:00"))
    client = start([*RUN, str(config)], **slurm.environment)
    client.wait_for(r"convert +\d+ units done")
    jobs = [slurm.ask("scontrol", "--oneliner", "show", "job", number) for number in slurm.jobs()]
    assert len(jobs) == 2
    for job in jobs:
        for part in ("JobName=gravdask ", "NumCPUs=1 ", "MinMemoryNode=1216M ", "TimeLimit=00:30:00 ", "Requeue=0 "):
            assert part in job
        assert f"StdOut={tmp_path / 'logs'}/" in job
    assert client.code() == 0
    assert f"{network.units + 1} units done, 0 up to date" in client.said(), "all, and the report"
    assert slurm.jobs() == []
    network.assert_equal(store)
    assert "Traceback" not in client.said()
    assert "ended" not in client.said(), "no job was lost"


def test_a_cancelled_job_and_a_failed_node_are_replaced(
    network: Any, slurm: Any, start: Any, wait_until: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    config = network.config(store, "slurm", **settings(tmp_path))
    client = start([*RUN, str(config), *QUICK], **slurm.environment)
    client.wait_for(r"2 slurm jobs")
    wait_for_both(slurm, wait_until)
    client.wait_for(r"\d workers; dashboard")
    cancelled = slurm.jobs("R")[0]
    slurm.ask("scancel", cancelled)
    client.wait_for(AT_WORK)
    wait_for_both(slurm, wait_until)
    assert cancelled not in slurm.jobs()
    node = slurm.jobs("R", "%N")[0]
    failed = slurm.ask("squeue", "--noheader", f"--nodelist={node}", "--format=%i").split()
    slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    wait_until(lambda: not set(failed) & set(slurm.jobs("PD,R")), "the end of the node's jobs", 30)
    assert client.process.poll() is None, "this came after the end"
    assert client.code() == 0
    assert cancelled in client.said()
    assert slurm.jobs() == []
    network.assert_equal(store)
    assert f"{network.units} units done" in client.said(), "a unit is missing"


def test_jobs_that_bring_no_worker_end_the_run_with_one_clear_error(
    network: Any, slurm: Any, start: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    prologue = ["echo no such module >&2", "false", "true"]  # a line that fails ends the job, whatever follows
    config = network.config(store, "slurm", **settings(tmp_path, wait=0, prologue=prologue))
    client = start([*RUN, str(config), *QUICK], **slurm.environment)
    assert client.code() == 5
    assert slurm.jobs() == []
    last = client.said().splitlines()[-1]
    assert last.startswith("gravdask: ")
    assert str(tmp_path / "logs") in last
    assert "Traceback" not in client.said()
    assert any("no such module" in text for text in slurm.said().values())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"queue": "nosuch"}, "Invalid partition name"), ({"memory": "900GiB"}, "node configuration is not available")],
    ids=["partition", "memory"],
)
def test_what_slurm_refuses_is_told_in_its_words(
    network: Any, slurm: Any, start: Any, tmp_path: Path, wrong: dict[str, str], words: str
) -> None:
    config = network.config(tmp_path / "store.zarr", "slurm", **settings(tmp_path, **wrong))
    client = start([*RUN, str(config), *QUICK], **slurm.environment)
    assert client.code() == 5
    assert re.search(
        rf"gravdask: slurm takes no job \(.*{words}.*\); see queue, account, qos and directives in \[cluster\]; "
        "'gravdask preflight' looks closer",
        client.said(),
    )
    assert "Traceback" not in client.said()
    assert slurm.jobs() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_a_signal_ends_a_run_that_waits_for_its_jobs(
    network: Any, slurm: Any, start: Any, wait_until: Any, tmp_path: Path, number: signal.Signals
) -> None:
    slurm.ask("scontrol", "update", "nodename=n[1-4]", "state=drain", "reason=test")
    config = network.config(tmp_path / "store.zarr", "slurm", **settings(tmp_path))
    client = start([*RUN, str(config), *QUICK], **slurm.environment)
    wait_until(lambda: len(slurm.jobs("PD")) == 2, "two jobs that wait", 60)
    time.sleep(1.0)
    client.process.send_signal(number)
    assert client.code(60) == 3
    assert "gravdask: stopped" in client.said()
    assert "Traceback" not in client.said()
    wait_until(lambda: slurm.jobs() == [], "the jobs to be taken back", 30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=lambda s: s.name)
def test_a_signal_ends_the_run_in_order_and_the_next_goes_on(
    network: Any, slurm: Any, start: Any, tmp_path: Path, number: signal.Signals
) -> None:
    store = tmp_path / "store.zarr"
    config = network.config(store, "slurm", **settings(tmp_path))
    client = start([*RUN, str(config), *QUICK], **slurm.environment)
    client.wait_for(AT_WORK)
    client.process.send_signal(number)
    assert client.code() == 3
    assert "stopped as asked" in client.said()
    assert slurm.jobs() == []
    again = start([*RUN, str(config), *QUICK], "again", **slurm.environment)
    assert again.code() == 0
    assert slurm.jobs() == []
    done, current = map(int, re.search(r"(\d+) units done, (\d+) up to date", again.said()).groups())
    assert done + current == network.units
    assert current >= network.units // 3, "what was finished is done again"
    network.assert_equal(store)


def test_a_killed_client_leaves_no_job_for_long(
    network: Any, slurm: Any, start: Any, wait_until: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    config = network.config(store, "slurm", **settings(tmp_path))
    client = start([*RUN, str(config), *QUICK], **slurm.environment)
    client.wait_for(r"convert +\d+ units done")
    client.process.kill()
    wait_until(lambda: not slurm.jobs(), "the end of its jobs", 140)


def test_workers_end_before_their_jobs_do_and_new_jobs_follow(
    slurm: Any, wait_until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nap(number: int) -> int:
        time.sleep(0.5)
        return 2 * number

    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    keys = {**settings(tmp_path), "memory": "500MiB", "walltime": "00:01:00"}
    said: list[str] = []
    runner = DaskRunner(ClusterConfig(kind="slurm", **keys), said.append)
    try:
        results = dict(runner.run(nap, range(160)))
    finally:
        runner.close()
    assert results == {number: 2 * number for number in range(160)}
    replaced = [line for line in said if "ended" in line]
    assert replaced, said
    wait_until(lambda: not slurm.jobs(), "the end of the jobs", 30)
    logs = "".join(text for name, text in slurm.said().items() if name.startswith("gravdask-"))
    assert "DUE TO TIME LIMIT" not in logs, "a job was killed with what its worker held"

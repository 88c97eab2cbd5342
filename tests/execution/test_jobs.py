"""Jobs of batch systems: their limits, what is asked of the batch system, and how losses are made good."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gravdask.config import ClusterConfig
from gravdask.execution import jobs
from gravdask.execution.jobs import Watch, cluster_arguments, existing_jobs, job_count, job_script, last_words, lifetime
from gravdask.execution.units import CALM


@given(st.integers(60, 30 * 86_400))
def test_a_worker_ends_before_its_job_whatever_the_stagger(walltime: int) -> None:
    seconds, spread = lifetime(walltime)
    assert seconds - spread > 0
    assert seconds + spread < walltime
    assert seconds - spread >= 0.3 * walltime


def test_a_worker_of_four_hours_ends_some_ten_minutes_early() -> None:
    seconds, spread = lifetime(4 * 3600)
    assert 4 * 3600 - 1200 <= seconds - spread <= seconds + spread <= 4 * 3600 - 300


@pytest.mark.parametrize(("workers", "each", "count"), [(0, 8, 1), (1, 1, 1), (32, 16, 2), (33, 16, 3)])
def test_as_many_jobs_as_hold_the_workers(workers: int, each: int, count: int) -> None:
    assert job_count(ClusterConfig(kind="slurm", workers=workers, workers_per_job=each)) == count


def test_a_job_asks_for_more_memory_than_its_workers_may_take() -> None:
    settings = ClusterConfig(kind="slurm", memory="2GiB", workers_per_job=4)
    asked = cluster_arguments(settings)
    assert asked["memory"] == 4 * 2 * 2**30
    assert int(asked["job_mem"].removesuffix("M")) * 2**20 > asked["memory"]


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_a_job_script_says_what_the_section_says(kind: str, tmp_path: Path) -> None:
    settings = ClusterConfig(
        kind=kind, workers_per_job=3, walltime="02:30:00", queue="long", account="geo42", qos="night",
        directives=("--hint=nomultithread",), prologue=("module load python/3.11",), python="/sw/bin/python",
        interface="ib0", logs=str(tmp_path / "logs"), scratch="/local", memory="1GiB",
    )  # fmt: skip
    lines = job_script(settings).splitlines()
    directives = [line for line in lines if line.startswith({"slurm": "#SBATCH", "pbs": "#PBS"}[kind])]
    told = "\n".join(directives)
    for word in ("long", "geo42", "02:30:00", "--hint=nomultithread", str(tmp_path / "logs")):
        assert word in told, word
    assert ("--qos=night" in told) == (kind == "slurm")
    assert ("ncpus=3" if kind == "pbs" else "--cpus-per-task=3") in told
    command = next(line for line in lines if "dask_worker" in line)
    assert command.startswith("/sw/bin/python -m distributed.cli.dask_worker ")
    for option in ("--nthreads 1", "--nworkers 3", "--memory-limit 1.00GiB", "--local-directory /local", "--nanny"):
        assert option in command, option
    life = re.search(r"--lifetime (\d+)s --lifetime-stagger (\d+)s", command)
    assert life is not None
    assert int(life[1]) + int(life[2]) < 9000
    before = lines[: lines.index(command)]
    assert "module load python/3.11" in before
    assert "export OMP_NUM_THREADS=1" in before
    assert before.index("export OMP_NUM_THREADS=1") < before.index("module load python/3.11")
    assert before[before.index("module load python/3.11") - 1] == "set -e"


def test_dask_reads_its_keys_from_the_lines_of_a_job() -> None:
    lines = [line for line in job_script(ClusterConfig(kind="slurm")).splitlines() if line.startswith("export ")]
    look = f"import json, dask, distributed; print(json.dumps([dask.config.get(k) for k in {list(CALM)}]))"
    order = "\n".join([*lines, f'{sys.executable} -c "{look}"'])
    done = subprocess.run(["bash", "-c", order], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == list(CALM.values())


def tool(folder: Path, name: str, body: str) -> None:
    """Put a command of a batch system into a folder."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("body", "there"),
    [
        ("printf '7\\n8_1\\n'", {"7", "8_1"}),
        ("true", set()),
        ("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", None),
    ],
)
def test_what_squeue_says(body: str, there: set[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "squeue", body)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = existing_jobs("slurm", ["7", "9"])
    assert (None if there is None else found & {"7", "9"} if found is not None else "nothing") == (
        None if there is None else there & {"7", "9"}
    )


QSTAT = """Job id            Name             User              Time Use S Queue
----------------  ---------------- ----------------  -------- - -----
{}
"""


@pytest.mark.parametrize(
    ("rows", "error", "code", "there"),
    [
        ("12.server         gravdask  me  00:00:01 R workq", "", 0, {"12.server.site"}),
        ("12.server         gravdask  me  0 Q workq", "qstat: Unknown Job Id 13.server.site", 153, {"12.server.site"}),
        ("", "qstat: Unknown Job Id 12.server.site", 153, set()),
        ("", "qstat: 12.server.site Job has finished, use -x or -H to obtain historical job information", 35, set()),
        ("", "Connection refused\nqstat: cannot connect to server pbs01 (errno=15010)", 255, None),
    ],
)
def test_what_qstat_says(
    rows: str, error: str, code: int, there: set[str] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_text(QSTAT.format(rows) if rows else "")
    (tmp_path / "err").write_text(error)
    tool(tmp_path, "qstat", f"cat {tmp_path}/out; cat {tmp_path}/err >&2; exit {code}")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert existing_jobs("pbs", ["12.server.site", "13.server.site"]) == there


def test_a_batch_system_that_is_not_there_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert existing_jobs("slurm", ["1"]) is None
    assert existing_jobs("pbs", ["1"]) is None
    assert existing_jobs("pbs", []) == set()


def test_the_last_words_are_those_of_ones_own_jobs(tmp_path: Path) -> None:
    def log(name: str, text: str, age: float) -> None:
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))

    log("gravdask-36.err", "INFO\nError: of another run\n", 0.0)
    log("gravdask-139.err", "Error: of a third\n", 0.0)
    log("gravdask-39.err", "", 1.0)
    assert last_words(tmp_path, ["39", "40"]) == "gravdask-39.err: it is empty"
    log("gravdask-40.err", "a start\nbash: no such module\nError: it ends\n", 5.0)
    assert last_words(tmp_path, ["39", "40"]) == "gravdask-40.err: Error: it ends"
    assert last_words(tmp_path, ["40.server"]) == "gravdask-40.err: Error: it ends"
    assert last_words(tmp_path, []) == last_words(tmp_path, ["41"]) == last_words(tmp_path / "none", ["39"]) == ""


class Cluster:
    """Jobs as dask-jobqueue holds them; what is asked of them is written down."""

    def __init__(self, names: list[str], workers: int) -> None:
        self.workers = {name: SimpleNamespace(job_id=name.removeprefix("job")) for name in names}
        self.worker_spec = {name: {} for name in names}
        self.scheduler_info = {"workers": {n: {} for n in range(workers)}}
        self.scaled: list[int] = []

    def sync(self, function: Any, *arguments: Any) -> None:
        step = function(*arguments)
        with pytest.raises(StopIteration):
            step.send(None)

    def scale(self, jobs: int) -> None:
        self.scaled.append(jobs)


def watch(
    cluster: Cluster, there: set[str] | None, monkeypatch: pytest.MonkeyPatch, count: int = 2
) -> tuple[Watch, list[str]]:
    monkeypatch.setattr(jobs, "existing_jobs", lambda kind, asked: there)
    said: list[str] = []
    return Watch(cluster, ClusterConfig(kind="slurm", workers=count), said.append), said


def test_a_lost_job_is_replaced_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(["job1", "job2"], workers=1)
    looking, said = watch(cluster, {"2"}, monkeypatch)
    looking.look()
    assert list(cluster.workers) == list(cluster.worker_spec) == ["job2"]
    assert cluster.scaled == [2]
    assert said == ["note: 1 jobs ended (1); submitting as many anew"]
    assert looking.losses == 1


def test_a_job_that_dask_gave_up_is_replaced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(["job2"], workers=1)
    looking, said = watch(cluster, {"2"}, monkeypatch)
    looking.look()
    assert cluster.scaled == [2]
    assert said == []


def test_a_job_that_was_refused_twice_is_submitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(["job1", "job2"], workers=1)
    cluster.workers["job2"].job_id = None
    looking, said = watch(cluster, {"1"}, monkeypatch)
    looking.look()
    assert cluster.scaled == []  # it may be on its way
    looking.look()
    assert cluster.scaled == [2]
    assert list(cluster.workers) == ["job1"]
    assert said == []


def test_ctrl_c_stays_what_it_is() -> None:
    code = (
        "import signal; before = signal.getsignal(signal.SIGINT); from gravdask.execution import jobs; "
        "jobs.cluster_class('slurm'); assert signal.getsignal(signal.SIGINT) is before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("there", [{"1", "2"}, None])
def test_nothing_is_done_while_all_is_well_or_nobody_answers(
    there: set[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(["job1", "job2"], workers=2)
    looking, said = watch(cluster, there, monkeypatch)
    looking.look()
    assert cluster.scaled == said == []


def test_jobs_that_end_at_once_are_not_submitted_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gravdask-logs").mkdir()
    (tmp_path / "gravdask-logs" / "gravdask-3a.err").write_text("line 9: module: command not found\n\n")
    looking, said = watch(Cluster([], workers=0), set(), monkeypatch)
    for round_ in range(20):
        looking._cluster = Cluster([f"job{round_}a", f"job{round_}b"], workers=0)
        looking.look()
        if looking._stopped.is_set():
            break
    assert looking.losses == 8
    assert len(said) == 3
    assert looking.trouble.startswith("8 jobs ended without a worker that came, so nothing more is submitted")
    assert looking.trouble.endswith("gravdask-3a.err: line 9: module: command not found")

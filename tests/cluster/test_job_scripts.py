"""Job scripts as the batch systems read them, and the files for Kubernetes and containers by their own schemas."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gravdask.config import ClusterConfig, build_config, load_values
from gravdask.execution.clusters import security_of
from gravdask.execution.jobs import job_script

pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")

CLUSTER = Path(__file__).parents[2] / "cluster"
SCRIPTS = sorted(p for p in CLUSTER.rglob("*.sh"))
SITE: dict[str, Any] = {
    "workers_per_job": 4,
    "walltime": "1-02:30:00",
    "queue": "long",
    "account": "geo42",
    "interface": "ib0",
    "scratch": "/local/$USER",
    "prologue": ("module load python/3.12", "ulimit -n 4096"),
    "python": "/sw/python",
    "memory": "3GiB",
}
SELECT = re.compile(r"select=\d+(:[a-z_]+=\w+)+(\+\d+(:[a-z_]+=\w+)+)*")
"""Grammar of PBS for chunks of resources."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the folder for logs, which dask-jobqueue makes, be made where it is thrown away."""
    monkeypatch.chdir(tmp_path)


def checked(script: str) -> None:
    """Let the shell read a script."""
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def directives(script: str, mark: str) -> list[list[str]]:
    """Options of a job, which must all come before the first command."""
    lines = script.splitlines()
    assert lines[0].startswith("#!/")
    first = next(i for i, line in enumerate(lines) if line.strip() and not line.startswith("#"))
    assert not [line for line in lines[first:] if line.startswith(mark)]
    return [shlex.split(line.removeprefix(mark)) for line in lines[:first] if line.startswith(f"{mark} ")]


def worker(script: str) -> list[str]:
    """Words of the command that starts the workers, which must be the last."""
    last = [line for line in script.splitlines() if line.strip()][-1]
    return shlex.split(last)


def options(words: list[str]) -> dict[str, str]:
    """Options of a command with their values, '' for those without."""
    found = {}
    for i, word in enumerate(words):
        if word.startswith("--"):
            following = words[i + 1] if i + 1 < len(words) else "--"
            found[word] = "" if following.startswith("--") else following
    return found


def test_the_whole_script_for_slurm(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    more = {"qos": "night", "directives": ("--constraint=skylake", "--exclude=n13")}
    script = job_script(ClusterConfig(kind="slurm", logs=str(logs), **SITE, **more))
    checked(script)
    assert directives(script, "#SBATCH") == [
        ["-J", "gravdask"],
        ["-e", f"{logs}/gravdask-%J.err"],
        ["-o", f"{logs}/gravdask-%J.out"],
        ["-p", "long"],
        ["-A", "geo42"],
        ["-n", "1"],
        ["--cpus-per-task=4"],
        [f"--mem={4 * (3072 + 192)}M"],
        ["-t", "1-02:30:00"],
        ["--no-requeue"],
        ["--qos=night"],
        ["--constraint=skylake"],
        ["--exclude=n13"],
    ]


def test_the_whole_script_for_pbs(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    site = {**SITE, "walltime": "26:30:00", "directives": ("-l place=scatter",)}
    script = job_script(ClusterConfig(kind="pbs", logs=str(logs), **site))
    checked(script)
    told = directives(script, "#PBS")
    assert told == [
        ["-N", "gravdask"],
        ["-q", "long"],
        ["-A", "geo42"],
        ["-l", f"select=1:ncpus=4:mem={4 * (3072 + 192)}mb"],
        ["-l", "walltime=26:30:00"],
        ["-e", f"{logs}/"],
        ["-o", f"{logs}/"],
        ["-r", "n"],
        ["-l", "place=scatter"],
    ]
    assert SELECT.fullmatch(told[3][1])


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_what_a_job_runs(kind: str) -> None:
    script = job_script(ClusterConfig(kind=kind, **SITE))
    words, lines = worker(script), script.splitlines()
    assert words[:4] == ["/sw/python", "-m", "distributed.cli.dask_worker", "tcp://SCHEDULER:8786"]
    told = options(words)
    life, spread = (int(told.pop(name).removesuffix("s")) for name in ("--lifetime", "--lifetime-stagger"))
    assert 0 < spread < life
    assert life + spread < 26.5 * 3600 - 60, "the job ends before its workers"
    assert told == {
        "--name": "gravdask",
        "--nthreads": "1",
        "--nworkers": "4",
        "--memory-limit": "3.00GiB",
        "--nanny": "",
        "--death-timeout": "120",
        "--local-directory": "/local/$USER",
        "--no-dashboard": "",
        "--interface": "ib0",
    }
    before = lines[: lines.index(next(line for line in lines if "dask_worker" in line))]
    assert before[-2:] == ["module load python/3.12", "ulimit -n 4096"]
    for name in ("OMP_NUM_THREADS=1", "MALLOC_TRIM_THRESHOLD_=268435456"):
        assert f"export {name}" in before


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_the_temporary_folder_is_the_nodes_own(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A client that is a job itself has a folder in TMPDIR that no other node has."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "of-this-job"))
    script = job_script(ClusterConfig(kind=kind))
    assert str(tmp_path) not in "\n".join(line for line in script.splitlines() if not line.startswith("#"))
    last = [line for line in script.splitlines() if line.strip()][-1]
    folder = re.search(r"--local-directory (\S+)", last)
    assert folder is not None
    for environment, expected in (({"TMPDIR": "/local/7"}, "/local/7"), ({}, "/tmp")):
        echo = ["bash", "-c", f"echo {folder[1]}"]
        said = subprocess.run(echo, env=environment, capture_output=True, text=True, check=True)
        assert said.stdout.strip() == expected


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_a_worker_is_told_of_tls(kind: str, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    files = {"tls_ca": tmp_path / "all.pem", "tls_cert": tmp_path / "all.pem", "tls_key": tmp_path / "all.key"}
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=all", "-days", "2"]
    words += ["-keyout", str(files["tls_key"]), "-out", str(files["tls_ca"])]
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)
    settings = ClusterConfig(kind=kind, **{key: str(path) for key, path in files.items()})
    told = options(worker(job_script(settings, security_of(settings))))
    assert told["--tls-ca-file"] == str(files["tls_ca"])
    assert told["--tls-cert"] == str(files["tls_cert"])
    assert told["--tls-key"] == str(files["tls_key"])


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_the_shipped_profile_asks_for_nothing_that_a_site_may_not_have(kind: str) -> None:
    settings = build_config(load_values(CLUSTER / f"{kind}.toml")).cluster
    script = job_script(settings)
    checked(script)
    mark = {"slurm": "#SBATCH", "pbs": "#PBS"}[kind]
    named = {words[0].partition("=")[0] for words in directives(script, mark)}
    assert named.isdisjoint({"-p", "-q", "-A", "--qos", "--constraint"})
    assert "--interface" not in worker(script)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: str(p.relative_to(CLUSTER)))
def test_the_shell_reads_the_shipped_scripts(path: Path) -> None:
    checked(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted((CLUSTER / "pbs").glob("*.sh")), ids=lambda p: p.name)
def test_pbs_knows_the_options_of_the_shipped_scripts(path: Path) -> None:
    told = directives(path.read_text(encoding="utf-8"), "#PBS")
    assert {words[0] for words in told} <= {"-N", "-l", "-j", "-r", "-q", "-A", "-o", "-e", "-W", "-S"}
    resources = [words[1] for words in told if words[0] == "-l"]
    assert len(resources) == 2
    assert SELECT.fullmatch(resources[0])
    assert re.fullmatch(r"walltime=\d+:\d\d:\d\d", resources[1])


@pytest.mark.parametrize("script", ["allocation.sh", "client.sh"])
def test_a_pbs_job_does_what_it_is_told(script: str, tmp_path: Path) -> None:
    """With the variables that PBS gives, and what it would start written down."""
    (tmp_path / "nodes").write_text("n1\nn1\nn2\n")
    (tmp_path / "gravdask").write_text('#!/bin/sh\necho "gravdask $@ in $PWD" >> said\nexit 3\n')
    (tmp_path / "gravdask").chmod(0o755)
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster/allocation.sh").write_text('echo "$WORKERS by $LAUNCH: $@ in $PWD" > said\nexit 3\n')
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "PBS_O_WORKDIR": str(tmp_path),
        "PBS_NODEFILE": str(tmp_path / "nodes"),
        "ARGUMENTS": "run -c other.toml",
    }
    done = subprocess.run(["bash", CLUSTER / "pbs" / script], env=environment, cwd="/", timeout=20, check=False)
    assert done.returncode == 3
    expected = {
        "allocation.sh": f"3 by mpiexec -n 3: run -c other.toml in {tmp_path}",
        "client.sh": f"gravdask run -c other.toml in {tmp_path}",
    }
    assert (tmp_path / "said").read_text().strip() == expected[script]

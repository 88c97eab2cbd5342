"""The job scripts of `cluster/slurm`, submitted to a real SLURM as the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(590)]

CLUSTER = Path(__file__).parents[2] / "cluster"
STAGES = "convert,noise,calibrate,scatter,fit,classify,interpret"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Folder of a user, which holds the folder with the scripts."""
    shutil.copytree(CLUSTER, tmp_path / "cluster")
    return tmp_path


def submit(slurm: Any, place: Path, *command: str, **more: str) -> list[str]:
    """Run a command that submits jobs; gives the words that it says."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **slurm.environment, "PATH": path, "OMP_NUM_THREADS": "1", **more}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def ended(slurm: Any, job: str) -> list[str]:
    """Exit codes of a job that has ended, or of all jobs of an array, by its number."""
    about = slurm.ask("scontrol", "--oneliner", "show", "job", job)
    return re.findall(r"\bExitCode=(\d+:\d+)", about)


def logs(place: Path) -> str:
    return "\n".join(f"--- {p.name}\n{p.read_text()}" for p in sorted(place.glob("*.log")))


def test_the_client_as_a_small_job(network: Any, slurm: Any, wait_until: Any, place: Path) -> None:
    keys = {"workers": 2, "workers_per_job": 1, "memory": "1GiB", "interface": "lo", "wait": 120}
    config = network.config(place / "store.zarr", "slurm", **keys, logs=str(place / "logs"))
    words = submit(slurm, place, "sbatch", "cluster/slurm/client.sh", "run", "-c", config.name, "--stages", STAGES)
    wait_until(lambda: not slurm.jobs(), "the end of the jobs")
    assert ended(slurm, words[-1]) == ["0:0"], logs(place)
    network.assert_equal(place / "store.zarr")


def test_everything_in_one_allocation_stops_in_order_and_goes_on(
    network: Any, slurm: Any, wait_until: Any, place: Path
) -> None:
    config = network.config(place / "store.zarr")
    more = {"INTERFACE": "lo", "MEMORY": "1GiB", "WAIT": "100"}
    options = ["--ntasks=3", "--ntasks-per-node=2", "--mem-per-cpu=1200M"]
    command = ["sbatch", *options, "cluster/slurm/allocation.sh", "run", "-c", config.name, "--stages", STAGES]
    job = submit(slurm, place, *command, **more)[-1]
    log = place / f"gravdask-{job}.log"
    wait_until(lambda: log.exists() and "convert" in log.read_text(), "the first stage")
    slurm.ask("scancel", "--signal=USR1", "--batch", job)  # what SLURM does before the time is up
    wait_until(lambda: not slurm.jobs(), "the end of the job")
    assert ended(slurm, job) == ["3:0"], logs(place)
    job = submit(slurm, place, *command, **more)[-1]
    wait_until(lambda: not slurm.jobs(), "the end of the job")
    assert ended(slurm, job) == ["0:0"], logs(place)
    assert "0 up to date" not in (place / f"gravdask-{job}.log").read_text().splitlines()[-1]
    said = (place / f"dask-scheduler-{job}.log").read_text()
    assert said.count("Start worker at") == 3
    assert "Scheduler at:" in said
    network.assert_equal(place / "store.zarr")


def test_arrays_into_one_store_and_a_last_job(network: Any, slurm: Any, wait_until: Any, place: Path) -> None:
    config = network.config(place / "store.zarr")
    options = {"SBATCH_OPTIONS": "--cpus-per-task=1 --mem-per-cpu=1500M"}
    words = submit(slurm, place, "bash", "cluster/slurm/chain.sh", "3", "-c", config.name, **options)
    jobs = [words[i + 1].rstrip(";") for i, word in enumerate(words) if word == "job"]
    assert len(jobs) == 4
    wait_until(lambda: not slurm.jobs(), "the end of the jobs", 300)
    for job, count in zip(jobs, (3, 3, 3, 1), strict=True):
        assert ended(slurm, job) == ["0:0"] * count, logs(place)
    last = (place / f"gravdask-{jobs[-1]}_0.log").read_text()
    for stage in ("convert", "noise", "calibrate", "scatter"):
        assert f"{stage:<10} up to date" in last
    shares = [p.read_text() for p in sorted(place.glob(f"gravdask-{jobs[0]}_*.log"))]
    assert len(shares) == 3
    assert (
        sum(int(line.split()[1]) for text in shares for line in text.splitlines() if line.startswith("convert  ")) == 12
    )
    network.assert_equal(place / "store.zarr")

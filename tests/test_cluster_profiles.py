"""The run profiles of `cluster/` validate, and do their work: a real scheduler with workers, and the job script."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import gravdask
from gravdask.config import ClusterConfig, build_config, load_values

CLUSTER = Path(__file__).parents[1] / "cluster"
PROFILES = sorted(CLUSTER.glob("*.toml"))
TIMEOUT_S = 120.0
SETTINGS = """
[archive]
paths = ["archive"]
stations = "stations.xml"
[interpret]
catalog = "catalogue.csv"
[fit]
min_days = 1
n_components = 2
"""


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_a_profile_is_a_cluster_section_that_validates(path: Path) -> None:
    values = load_values(path)
    assert list(values) == ["cluster"]
    assert build_config(values, str(path)).cluster.kind == {"k8s": "address"}.get(path.stem, path.stem)


def test_every_kind_but_serial_has_a_profile() -> None:
    kinds = set(ClusterConfig.model_fields["kind"].annotation.__args__)
    assert {p.stem for p in PROFILES} == kinds - {"serial"} | {"k8s"}


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_a_batch_profile_explains_every_key_that_means_something_to_it(kind: str) -> None:
    path = CLUSTER / f"{kind}.toml"
    (stated,) = load_values(path).values()
    others = {"address"} | ({"qos"} if kind == "pbs" else set())
    assert set(stated) == set(ClusterConfig.model_fields) - others
    lines = path.read_text(encoding="utf-8").splitlines()
    for key in stated:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{key} = "))
        above = next(line for line in reversed(lines[:at]) if " = " not in line)
        assert above.startswith("# ") or key == "kind", key
    usual = ClusterConfig(kind=kind).model_dump(mode="json")
    chosen = {"workers", "workers_per_job", "memory"}
    assert {key for key, value in stated.items() if value != usual[key]} <= chosen


def test_the_local_profile_holds_the_defaults() -> None:
    assert build_config(load_values(CLUSTER / "local.toml")).cluster == ClusterConfig()


def test_the_page_and_the_script_name_keys_kinds_and_files_that_exist() -> None:
    page, script = ((CLUSTER / name).read_text(encoding="utf-8") for name in ("README.md", "allocation.sh"))
    keys = re.findall(r"--set \"?cluster\.(\w+)=", page + script)
    assert {"kind", "address"} <= set(keys) <= set(ClusterConfig.model_fields)
    for name in re.findall(r"\]\(([\w.]+)\)", page):
        assert (CLUSTER / name).is_file(), name
    for kind in re.findall(r"^\| `(\w+)`", page, re.MULTILINE):
        assert ClusterConfig(kind=kind, address="tcp://there:1").kind == kind


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Folder with two stations, three days and the store of a run in this process, and the number of its units."""
    from gravdask.simulate import simulate_network

    folder = tmp_path_factory.mktemp("network")
    simulate_network(folder, stations=2, days=3, events=3)
    values = tomllib.loads(SETTINGS)
    values["archive"] = {"paths": [str(folder / "archive")], "stations": str(folder / "stations.xml")}
    values["interpret"] = {"catalog": str(folder / "catalogue.csv")}
    config = build_config(values | {"store": {"path": str(folder / "serial.zarr")}, "cluster": {"kind": "serial"}})
    record = gravdask.run(config)
    assert record.exit_code == 0
    return folder, record.units_done


def environment() -> dict[str, str]:
    """Environment of child processes: the tools of this environment first, one thread each."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def start(stack: ExitStack, command: list[str], log: Path, **more: str) -> subprocess.Popen[bytes]:
    """Start a process that ends with the stack; what it says goes to a file."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, stdout=sink, stderr=subprocess.STDOUT, cwd=log.parent, env={**environment(), **more}
        )
    stack.callback(stop, process)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait(20)


def wait_until(done: object, what: str) -> None:
    """Wait until a callable gives something true."""
    end = time.monotonic() + TIMEOUT_S
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler with two workers, started with the commands of the page; gives its address and the processes."""
    dask = [sys.executable, "-m", "dask"]
    file = tmp_path / "scheduler.json"
    here = ["--host", "127.0.0.1", "--no-dashboard"]
    with ExitStack() as stack:
        command = [*dask, "scheduler", "--scheduler-file", str(file), "--port", "0", *here]
        processes = [start(stack, command, tmp_path / "scheduler.log")]
        wait_until(lambda: file.exists() and file.read_text().endswith("}"), "the scheduler's file")
        for number in range(2):
            command = [*dask, "worker", "--scheduler-file", str(file), "--nthreads", "1", *here]
            command += ["--memory-limit", "2GiB", "--local-directory", str(tmp_path / f"scratch{number}")]
            processes.append(start(stack, command, tmp_path / f"worker{number}.log"))
        address = json.loads(file.read_text())["address"]
        ask(address, "client.wait_for_workers(2, timeout=60)")
        yield address, processes


def ask(address: str, statement: str) -> str:
    """Run a statement with a client of the scheduler, in a process of its own; gives what it prints."""
    code = f"from distributed import Client\nwith Client({address!r}) as client:\n    {statement}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def configuration(folder: Path, store: Path, cluster: str) -> Path:
    """Write a configuration that is the settings and a profile."""
    text = f'{SETTINGS}\n[store]\npath = "{store}"\n{cluster}'
    for name in ("archive", "stations.xml", "catalogue.csv"):
        text = text.replace(f'"{name}"', f'"{folder / name}"')
    path = store.with_name("gravdask.toml")
    path.write_text(text, encoding="utf-8")
    return path


def gravdask_run(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gravdask", "run", "-c", str(config)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
        check=False,
    )


def assert_same_results(one: Path, other: Path) -> None:
    for stage in ("noise", "scattering", "classes"):
        left, right = gravdask.network(one, stage), gravdask.network(other, stage)
        assert left.sizes["channel"] == 2
        assert left.identical(right), stage


@pytest.mark.slow
def test_a_run_at_an_address_gives_the_same_bits_and_leaves_the_scheduler_alone(
    simulated: tuple[Path, int], tmp_path: Path, scheduler: tuple[str, list[subprocess.Popen[bytes]]]
) -> None:
    address, processes = scheduler
    folder, units = simulated
    profile = (CLUSTER / "address.toml").read_text(encoding="utf-8")
    placeholder = tomllib.loads(profile)["cluster"]["address"]
    store = tmp_path / "address.zarr"
    config = configuration(folder, store, profile.replace(placeholder, address))
    first = gravdask_run(config)
    assert first.returncode == 0, first.stderr
    assert "2 workers" in first.stderr
    assert f"{units} units done, 0 up to date" in first.stderr
    assert_same_results(store, folder / "serial.zarr")
    assert [process.poll() for process in processes] == [None, None, None]
    assert ask(address, "print(len(client.scheduler_info(n_workers=-1)['workers']))") == "2"
    others = "sorted(set(dask_scheduler.clients) - {'fire-and-forget', name})"
    ask_clients = f"print(client.run_on_scheduler(lambda dask_scheduler, name=client.id: {others}))"
    assert ask(address, ask_clients) == "[]", "the run left its client behind"
    assert ask(address, "print(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))") == "0"
    assert ask(address, "print(client.submit(sum, [1, 2]).result())") == "3"
    again = gravdask_run(config)
    assert again.returncode == 0, again.stderr
    assert f"nothing to do: all {units} units are up to date" in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["with the first units", "with the noise done"])
def test_a_killed_scheduler_ends_the_run_and_the_next_goes_on(
    simulated: tuple[Path, int], tmp_path: Path, scheduler: tuple[str, list[subprocess.Popen[bytes]]], moment: str
) -> None:
    address, processes = scheduler
    folder, units = simulated
    store = tmp_path / "killed.zarr"
    config = configuration(folder, store, f'[cluster]\nkind = "address"\naddress = "{address}"\n')
    with ExitStack() as stack:
        client = start(stack, [sys.executable, "-m", "gravdask", "run", "-c", str(config)], tmp_path / "client.log")
        log = tmp_path / "client.log"
        if moment == "with the first units":
            wait_until(lambda: "2 workers" in log.read_text(), "the workers")
        else:
            wait_until(lambda: any(store.glob("ledger/noise/*.jsonl")), "a record of the noise")
        assert client.poll() is None
        processes[0].kill()
        assert client.wait(180) == 3
    said = (tmp_path / "client.log").read_text()
    assert "the scheduler is gone or the work was cancelled; run again to continue" in said
    assert "Traceback" not in said
    config = configuration(folder, store, '[cluster]\nkind = "serial"\n')
    again = gravdask_run(config)
    assert again.returncode == 0, again.stderr
    assert_same_results(store, folder / "serial.zarr")
    assert f"all {units} units are up to date" in gravdask_run(config).stderr


@pytest.fixture
def allocation(simulated: tuple[Path, int], tmp_path: Path) -> tuple[list[str], dict[str, str], Path]:
    """Command, environment and store of the job script; its launcher starts the command twice, as srun would."""
    if sys.platform != "linux":
        pytest.skip("the loopback interface has another name elsewhere")
    launcher = tmp_path / "launcher.sh"
    launcher.write_text('"$@" & one=$!\n"$@" & other=$!\ntrap \'kill $one $other\' TERM\nwait\nwait\n')
    store = tmp_path / "allocation.zarr"
    config = configuration(simulated[0], store, "")
    command = ["bash", str(CLUSTER / "allocation.sh"), "run", "-c", str(config)]
    scratch = tmp_path / "scratch"
    # A word before each command, as a container takes one; here it writes down what it is given.
    within = tmp_path / "within.sh"
    within.write_text(f'echo "$1" >>{tmp_path}/within.txt\nexec "$@"\n')
    settings = {"INTERFACE": "lo", "LAUNCH": f"bash {launcher}", "SCRATCH": str(scratch), "WAIT": "60"}
    settings["PREFIX"] = f"bash {within}"
    return command, settings, store


@pytest.mark.slow
def test_the_job_script_passes_signals_on_and_continues(
    simulated: tuple[Path, int], tmp_path: Path, allocation: tuple[list[str], dict[str, str], Path]
) -> None:
    command, settings, store = allocation
    folder, units = simulated
    with ExitStack() as stack:
        log = tmp_path / "stopped.log"
        job = start(stack, command, log, WORKERS="2", **settings)
        converted = re.compile(rb"^convert +\d+ units done", re.MULTILINE)
        wait_until(lambda: converted.search(log.read_bytes()) or job.poll() is not None, "the first stage")
        job.send_signal(signal.SIGUSR1)
        assert job.wait(TIMEOUT_S) == 3, log.read_text()
        assert "stopped as asked" in log.read_text()
        log = tmp_path / "continued.log"
        job = start(stack, command, log, WORKERS="2", **settings)
        assert job.wait(TIMEOUT_S) == 0, log.read_text()
        done, current = re.search(r"(\d+) units done, (\d+) up to date", log.read_text()).groups()  # type: ignore[union-attr]
        assert int(done) + int(current) == units
        assert int(current) >= 4, "what was finished is done again"
    assert_same_results(store, folder / "serial.zarr")
    assert list(tmp_path.glob("dask-scheduler-*.json")) == []
    assert sorted((tmp_path / "within.txt").read_text().split()) == sorted(
        2 * ["dask", "dask", "dask", "python", "gravdask"]
    )


@pytest.mark.slow
def test_the_job_script_ends_with_5_when_workers_stay_away(
    tmp_path: Path, allocation: tuple[list[str], dict[str, str], Path]
) -> None:
    command, settings, store = allocation
    with ExitStack() as stack:
        log = tmp_path / "alone.log"
        job = start(stack, command, log, WORKERS="3", **{**settings, "WAIT": "15"})
        assert job.wait(TIMEOUT_S) == 5, log.read_text()
    assert "fewer than 3 workers" in log.read_text()
    assert not store.exists()

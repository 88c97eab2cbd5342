"""A simulated archive, and real clusters to work through it: SLURM on this host, and over network namespaces.

Everything is started in the foreground as a child of the tests, with configuration, keys, sockets and logs in the
test's own folder and on ports that are free, and is stopped again whatever happens. What the daemons and the jobs said
is shown with a test that fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import gravdask
from gravdask.config import build_config

PROFILES = Path(__file__).parents[2] / "cluster"
STAGES = ("convert", "noise", "calibrate", "scatter", "fit", "classify", "interpret")
TIMEOUT_S = 240.0
START_S = 30.0
STATIONS, DAYS = 6, 8
MEMORY_MB = 5500
SETTINGS = """
[archive]
paths = ["{folder}/archive"]
stations = "{folder}/stations.xml"
[interpret]
catalog = "{folder}/catalogue.csv"
[fit]
min_days = 1
n_components = 2
[store]
path = "{store}"
"""
SAID = pytest.StashKey[list[Callable[[], dict[str, str]]]]()
"""What tells, for a failed test, what its daemons and jobs said."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> object:
    """Show what was said along with a failure."""
    report = yield
    if report.failed:
        for tell in item.stash.get(SAID, []):
            report.sections += [(f"{name}, its end", text[-4000:]) for name, text in tell().items()]
    return report


def environment(**more: str) -> dict[str, str]:
    """Environment of child processes: the tools of this environment first, one thread each."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **more}


def wait_for(done: Callable[[], object], what: str, seconds: float = TIMEOUT_S) -> None:
    """Wait until a callable gives something true."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Wait until a callable gives something true; give what is waited for, and how many seconds at most."""
    return wait_for


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process, at first politely."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
    if process.poll() is None:
        process.kill()
    process.wait(15)


# ------------------------------------------------------------------------------------------------------- the archive


@dataclass
class Client:
    """A gravdask that runs, and what it says."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: str, seconds: float = TIMEOUT_S) -> None:
        """Wait until it has said something."""
        wait_for(lambda: re.search(pattern, self.said()) or self.process.poll() is not None, f"{pattern!r}", seconds)
        assert re.search(pattern, self.said()), f"ended with {self.process.returncode} before {pattern!r}"

    def code(self, seconds: float = TIMEOUT_S) -> int:
        """Wait for its end; gives its exit code."""
        return self.process.wait(seconds)


@dataclass
class Network:
    """A simulated archive and the store that a run in one process made of it, of all stages but the report."""

    folder: Path
    units: int

    def config(self, store: Path, profile: str = "", **keys: object) -> Path:
        """Write a configuration for the archive, with a shipped profile, of which some keys are given otherwise."""
        text = SETTINGS.format(folder=self.folder, store=store)
        if profile:
            section = (PROFILES / f"{profile}.toml").read_text(encoding="utf-8")
            for key, value in keys.items():
                line = f"{key} = {json.dumps(value)}"  # TOML writes such values like JSON
                section, found = re.subn(rf"^{key} = .*$", lambda _, line=line: line, section, flags=re.MULTILINE)
                assert found == 1, f"{profile}.toml has {found} lines about {key}"
            text += section
        path = store.with_suffix(".toml")
        path.write_text(text, encoding="utf-8")
        return path

    def assert_equal(self, store: Path) -> None:
        """Compare every value of every stage with the run in one process, bit for bit."""
        for stage in ("noise", "scattering", "classes"):
            left, right = gravdask.network(store, stage), gravdask.network(self.folder / "serial.zarr", stage)
            assert right.sizes["channel"] == STATIONS
            assert left.identical(right), f"{stage} is not what one process makes of it"


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Six stations, eight days, and the results of all stages but the report from one process."""
    from gravdask.simulate import simulate_network

    folder = tmp_path_factory.mktemp("network")
    simulate_network(folder, stations=STATIONS, days=DAYS, events=5)
    values = tomllib.loads(SETTINGS.format(folder=folder, store=folder / "serial.zarr"))
    record = gravdask.run(build_config(values | {"cluster": {"kind": "serial"}}), stages=STAGES)
    assert record.exit_code == 0
    return Network(folder, record.units_done)


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Client]]:
    """Start a command that ends with the test at the latest, and whose words are shown if that fails."""
    with contextlib.ExitStack() as stack:

        def go(command: list[str], name: str = "client", **more: str) -> Client:
            log = tmp_path / f"{name}.log"
            request.node.stash.setdefault(SAID, []).append(lambda: {name: log.read_text(errors="replace")})
            with log.open("wb") as sink:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    cwd=tmp_path,
                    env=environment(**more),
                )
            stack.callback(stop, process)
            return Client(process, log)

        yield go


# ------------------------------------------------------------------------------------------------------------- SLURM


@dataclass
class Slurm:
    """A SLURM that runs.

    Attributes
    ----------
    folder
        Its configuration, state and logs.
    environment
        What its commands need.
    inside
        Makes of a command one that runs where the client belongs.
    """

    folder: Path
    inside: Callable[[list[str]], list[str]] = field(default=lambda command: command)

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """Run a command of SLURM; gives what it prints."""
        done = subprocess.run(
            self.inside(list(command)),
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(**self.environment),
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def jobs(self, states: str = "PD,CF,R,CG", form: str = "%i") -> list[str]:
        """Jobs that SLURM has: their numbers, or what else the format says."""
        return self.ask("squeue", "--noheader", f"--states={states}", f"--format={form}").split()

    def processes(self) -> list[int]:
        """Processes of its jobs: they have its configuration in their environment."""
        found, mark = [], f"SLURM_CONF={self.folder / 'slurm.conf'}".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found

    def clear(self) -> None:
        """Take back every job, and end what is left of them."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            for job in self.jobs():
                self.ask("scancel", job)
            wait_for(lambda: not self.jobs(), "the end of the jobs", 15)
        for number in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def said(self) -> dict[str, str]:
        """What the daemons and the jobs wrote."""
        logs = [*self.folder.glob("*.log"), *self.folder.parent.glob("logs/*")]
        return {path.name: path.read_text(errors="replace") for path in sorted(logs) if path.stat().st_size}


def needs(*commands: str) -> None:
    """Skip where a command is missing, or this is no root."""
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed (Debian: slurm-wlm munge iproute2 openmpi-bin)")
    if os.geteuid() != 0:
        pytest.skip("a SLURM of one's own needs root")


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    with contextlib.ExitStack() as held:
        found = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


SLURM_CONF = """
ClusterName=gravdask
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,defer_batch=0
ReturnToService=2
SlurmdTimeout=10
MinJobAge=3600
KillWait=5
DefMemPerCPU=1000
PartitionName=main Nodes=n[1-{nodes}] Default=YES MaxTime=INFINITE State=UP
"""
CORES = f"CPUs=2 Boards=1 SocketsPerBoard=1 CoresPerSocket=2 ThreadsPerCore=1 RealMemory={MEMORY_MB} State=UNKNOWN"


@contextlib.contextmanager
def running(slurm: Slurm, daemons: dict[str, list[str]], nodes: int) -> Iterator[Slurm]:
    """Start munge and the daemons of SLURM; all end with the context."""
    folder = slurm.folder
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    munge = ["munged", "--foreground", "--force", *(f"--{n}={folder}/munge.{n}" for n in ("socket",))]
    munge += [f"--key-file={folder}/munge.key", f"--pid-file={folder}/munge.pid", f"--seed-file={folder}/munge.seed"]
    with contextlib.ExitStack() as stack:
        for name, command in {"munged": munge, **daemons}.items():
            with (folder / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **slurm.environment},
                    start_new_session=True,
                )
            stack.callback(stop, process)
            if name == "munged":
                wait_for((folder / "munge.socket").exists, "munged", START_S)
        stack.callback(slurm.clear)

        def idle() -> bool:
            with contextlib.suppress(AssertionError):
                return slurm.ask("sinfo", "--noheader", "--states=idle", "--format=%D") == str(nodes)
            return False

        wait_for(idle, "idle nodes", START_S)
        yield slurm


@pytest.fixture
def slurm(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Slurm]:
    """Four nodes of two cores each, all on this host."""
    needs("slurmctld", "slurmd", "munged")
    found = Slurm(tmp_path / "slurm")
    found.folder.mkdir()
    request.node.stash.setdefault(SAID, []).append(found.said)
    host = socket.gethostname().partition(".")[0]
    control, *ports = free_ports(5)
    lines = [f"SlurmctldHost={host}(127.0.0.1)", f"SlurmctldPort={control}"]
    lines += [f"NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={p} {CORES}" for i, p in enumerate(ports, 1)]
    conf = "\n".join([*lines, SLURM_CONF.format(folder=found.folder, nodes=len(ports))])
    (found.folder / "slurm.conf").write_text(conf)
    daemons = {"slurmctld": ["slurmctld", "-D", "-c"]}
    daemons |= {f"slurmd-n{i}": ["slurmd", "-D", "-N", f"n{i}"] for i in range(1, len(ports) + 1)}
    with running(found, daemons, len(ports)):
        yield found


@dataclass
class Namespaces(Slurm):
    """A SLURM whose nodes have a network, an address and a host name of their own.

    Attributes
    ----------
    prefix
        Beginning of the names of the namespaces.
    """

    prefix: str = ""

    def cable(self, node: str, state: str) -> None:
        """Set the network link of a node up or down."""
        subprocess.run(
            ["ip", "netns", "exec", f"{self.prefix}{node}", "ip", "link", "set", "eth0", state], check=True, timeout=20
        )


def within(prefix: str, name: str, hosts: Path) -> Callable[[list[str]], list[str]]:
    """Make of a command one that runs in a namespace, with its host name and its table of hosts."""
    script = f'mount --bind {hosts} /etc/hosts && hostname {name} && exec "$@"'
    # Not 'ip netns exec': that hides /sys/fs/cgroup, without which slurmd does not start.
    before = ["nsenter", f"--net=/run/netns/{prefix}{name}", "unshare", "--uts", "--mount", "sh", "-c", script, "sh"]
    return lambda command: [*before, *command]


@pytest.fixture
def namespaces(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Namespaces]:
    """Three nodes in network namespaces of their own, and one for the client, joined by a bridge."""
    needs("slurmctld", "slurmd", "munged", "ip", "nsenter", "unshare")
    prefix, nodes = f"gd{os.getpid()}", ["n1", "n2", "n3"]
    folder = tmp_path / "slurm"
    folder.mkdir()
    hosts = folder / "hosts"
    table = [f"10.99.0.{i} {name}" for i, name in enumerate(["head", *nodes], 1)]
    hosts.write_text("\n".join(["127.0.0.1 localhost", *table, ""]))

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20)

    with contextlib.ExitStack() as stack:
        for name in ("head", *nodes):
            try:
                ip("netns", "add", f"{prefix}{name}")
            except subprocess.CalledProcessError as error:
                pytest.skip(f"network namespaces are not permitted here: {error.stderr.strip()}")
            stack.callback(ip, "netns", "del", f"{prefix}{name}")
            ip("-n", f"{prefix}{name}", "link", "set", "lo", "up")
        head = f"{prefix}head"
        ip("-n", head, "link", "add", "br0", "type", "bridge")
        ip("-n", head, "addr", "add", "10.99.0.1/24", "dev", "br0")
        ip("-n", head, "link", "set", "br0", "up")
        for number, name in enumerate(nodes, 2):
            mine = f"{prefix}{name}"
            ip("link", "add", f"v{name}", "netns", head, "type", "veth", "peer", "name", "eth0", "netns", mine)
            ip("-n", head, "link", "set", f"v{name}", "master", "br0", "up")
            ip("-n", mine, "addr", "add", f"10.99.0.{number}/24", "dev", "eth0")
            ip("-n", mine, "link", "set", "eth0", "up")
        at = {name: within(prefix, name, hosts) for name in ("head", *nodes)}
        found = Namespaces(folder, at["head"], prefix)
        request.node.stash.setdefault(SAID, []).append(found.said)
        lines = ["SlurmctldHost=head", f"NodeName=n[1-{len(nodes)}] {CORES}"]
        conf = "\n".join([*lines, SLURM_CONF.format(folder=folder, nodes=len(nodes))])
        (folder / "slurm.conf").write_text(conf)
        daemons = {"slurmctld": at["head"](["slurmctld", "-D", "-c"])}
        daemons |= {f"slurmd-{name}": at[name](["slurmd", "-D"]) for name in nodes}
        with running(found, daemons, len(nodes)):
            yield found

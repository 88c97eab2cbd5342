"""What the batch system says: its commands, the partition or queue, its limits and nodes, and the job as a whole."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from gravdask.config import ClusterConfig
from gravdask.execution.jobs import INSTALL, NANNY_BYTES, job_count, job_script
from gravdask.execution.share import worker_memory
from gravdask.preflight.findings import Finding, fail, gibibytes, note, ok, time_limit

COMMANDS = {"slurm": ("sbatch", "squeue", "scancel"), "pbs": ("qsub", "qstat", "qdel")}
ASK_SECONDS = 30.0
"""How long the batch system may take to answer."""
DOWN = ("down", "drain", "fail", "maint", "inval", "unk", "boot", "power")
"""How the states of nodes begin that take no job."""


@dataclass(frozen=True)
class Answer:
    """What a command printed.

    Attributes
    ----------
    text, error
        Standard output and error.
    code
        Exit code; None where it did not answer in time, or is not there.
    """

    text: str
    error: str
    code: int | None

    @property
    def words(self) -> str:
        """Why it failed, in its own words."""
        lines = [line.strip() for line in (self.error + "\n" + self.text).splitlines() if line.strip()]
        return lines[0] if lines else f"exit code {self.code}"


def ask(*command: str, text: str | None = None) -> Answer:
    """Run a command of the batch system."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Answer("", f"{command[0]} gave no answer in {ASK_SECONDS:.0f} s", None)
    except OSError as error:
        return Answer("", f"{command[0]}: {error.strerror}", None)
    return Answer(done.stdout, done.stderr, done.returncode)


def command_findings(settings: ClusterConfig) -> list[Finding]:
    """Whether the commands of the batch system are there."""
    if not settings.batch:
        return []
    what = f"{settings.kind} commands"
    missing = [name for name in COMMANDS[settings.kind] if shutil.which(name) is None]
    if missing:
        cure = "run on a login node, load the module that brings them, or choose another cluster.kind"
        return [fail(what, f"{', '.join(missing)} not found on PATH", cure)]
    return [ok(what, ", ".join(str(shutil.which(name)) for name in COMMANDS[settings.kind]))]


def batch_findings(settings: ClusterConfig) -> list[Finding]:
    """Whether the batch system would take the jobs, and give them what they ask for."""
    if settings.kind == "slurm":
        return [*_slurm_partition(settings), *_slurm_job(settings)]
    return _pbs_queue(settings) if settings.kind == "pbs" else []


@dataclass(frozen=True)
class _Nodes:
    """Nodes of a partition that are alike: time limit and availability of the partition, state, memory and cores."""

    partition: str
    limit: str
    up: bool
    state: str
    megabytes: int
    cores: int

    @property
    def usable(self) -> bool:
        """Whether they take jobs, now, when others end or when they answer again."""
        return self.up and not self.state.rstrip("*~#!%$@^-").startswith(DOWN)

    @property
    def silent(self) -> bool:
        """Whether they do not answer just now; they take no job then, and are set down if it lasts."""
        return self.state.endswith("*")


def _nodes(text: str) -> list[_Nodes]:
    """Read what sinfo prints, a line for nodes that are alike."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split("|")]
        if len(parts) == 6 and parts[4].rstrip("+").isdigit() and parts[5].rstrip("+").isdigit():
            memory, cores = (int(part.rstrip("+")) for part in parts[4:])
            found.append(_Nodes(parts[0], parts[1], parts[2] == "up", parts[3], memory, cores))
    return found


def _slurm_partition(settings: ClusterConfig) -> list[Finding]:
    """Look at the partition: there, up, long enough, with nodes that are large enough."""
    what = "partition"
    answer = ask("sinfo", "--noheader", "--exact", "--format=%P|%l|%a|%t|%m|%c")
    if answer.code != 0:
        return [fail(what, f"sinfo: {answer.words}", "look at SLURM_CONF, or ask who looks after the cluster")]
    every = _nodes(answer.text)
    names = settings.queue.split(",") if settings.queue else []
    chosen = [n for n in every if (n.partition.rstrip("*") in names if names else n.partition.endswith("*"))]
    label = settings.queue or "the default one"
    if not chosen:
        there = ", ".join(sorted({n.partition.rstrip("*") for n in every}))
        return [fail(what, f"{label} is not there", f"there are {there}; name one as cluster.queue")]
    usable = [n for n in chosen if n.usable]
    if not usable:
        states = ", ".join(sorted({n.state if n.up else "partition down" for n in chosen}))
        return [fail(what, f"{label} has no node that takes jobs ({states})", "wait for it, or name another")]
    usable = [n for n in usable if not n.silent] or usable
    found = [_answering(label, usable)]
    limits = [slurm_seconds(n.limit) for n in usable]
    if max(limits) < settings.walltime_seconds:
        cure = f"set cluster.walltime = '{time_limit(max(limits))}' or less, or name another partition"
        about = f"{time_limit(max(limits))}; asked for are {settings.walltime}"
        found.append(fail("time limit of the partition", about, cure))
    else:
        found.append(ok("time limit of the partition", usable[limits.index(max(limits))].limit))
    return [*found, _fits(settings, usable)]


def _answering(label: str, usable: list[_Nodes]) -> Finding:
    """The partition itself; that its nodes are silent is told, and no failure: a node just resumed is, for a second."""
    if not all(n.silent for n in usable):
        return ok("partition", f"{label}, up")
    states = ", ".join(sorted({n.state for n in usable}))
    cure = "jobs wait until one does; if that lasts, 'sinfo -R' says why"
    return note("partition", f"{label}, up; none of its nodes answers just now ({states})", cure)


def slurm_seconds(text: str) -> float:
    """Seconds of a time limit as SLURM writes it: ``[days-]hours:minutes:seconds``, ``minutes:seconds``, infinite."""
    days, _, clock = text.rpartition("-")
    if not re.fullmatch(r"\d+(:\d+){0,2}", clock) or not (days or "0").isdigit():
        return float("inf")
    parts = [int(part) for part in clock.split(":")]
    if days:
        parts += [0] * (3 - len(parts))  # days-hours[:minutes[:seconds]]
    seconds = 0
    for part in parts if len(parts) > 1 else [*parts, 0]:
        seconds = 60 * seconds + part
    return int(days or 0) * 86_400 + seconds


def _fits(settings: ClusterConfig, nodes: list[_Nodes]) -> Finding:
    """Whether a job fits on a node."""
    what = "job on a node"
    count = settings.workers_per_job
    limit = worker_memory(settings)
    need = count * (limit + NANNY_BYTES)
    about = f"{count} workers x ({gibibytes(limit)} + {gibibytes(NANNY_BYTES)}) = {gibibytes(need)}, {count} cores"
    fitting = [n for n in nodes if n.megabytes * 2**20 >= need and n.cores >= count]
    largest = max(nodes, key=lambda n: (n.megabytes, n.cores))
    has = f"{gibibytes(largest.megabytes * 2**20)} and {largest.cores} cores"
    if not fitting:
        cure = "lower cluster.workers_per_job or cluster.memory"
        return fail(what, f"{about}; the largest node has {has}", cure)
    return ok(what, f"{about}; the largest node has {has}")


def _slurm_job(settings: ClusterConfig) -> list[Finding]:
    """Have SLURM look at the job itself: account, quality of service and all directives."""
    what = "job"
    try:
        script = job_script(settings)
    except ImportError:
        return [fail(what, "dask-jobqueue is not installed", INSTALL)]
    settings.log_folder.mkdir(parents=True, exist_ok=True)
    answer = ask("sbatch", "--test-only", text=script)
    if answer.code != 0:
        cure = "look at cluster.queue, account, qos, walltime, memory and directives"
        return [fail(what, f"sbatch --test-only: {answer.words}", cure)]
    found = [ok(what, f"sbatch --test-only: {answer.words.removeprefix('sbatch: ')}; {job_count(settings)} of them")]
    if settings.account or settings.qos:
        found.append(_accounting(settings))
    return found


def _accounting(settings: ClusterConfig) -> Finding:
    """Whether account and quality of service are known, where the site keeps accounts."""
    what = "account and qos"
    stated = " ".join(text for text in (settings.account, settings.qos) if text)
    answer = ask(
        "sacctmgr",
        "--noheader",
        "--parsable2",
        "show",
        "associations",
        "format=account,qos,defaultqos",
        "user=" + _user(),
    )
    if answer.code != 0 or not answer.text.strip():
        return note(what, f"{stated}: not checked, this cluster tells nothing of accounts", "")
    rows = [line.split("|") for line in answer.text.splitlines() if line.count("|") >= 1]
    accounts = {row[0] for row in rows}
    qualities = {name for row in rows for field in row[1:] for name in field.split(",") if name}
    wrong = [
        f"{key} {value!r} is not among yours ({', '.join(sorted(known)) or 'none'})"
        for key, value, known in (("account", settings.account, accounts), ("qos", settings.qos, qualities))
        if value and value not in known
    ]
    if wrong:
        return fail(what, "; ".join(wrong), "correct cluster.account and cluster.qos")
    return ok(what, stated)


def _user() -> str:
    """Name of who runs this."""
    import getpass

    return getpass.getuser()


def _pbs_queue(settings: ClusterConfig) -> list[Finding]:
    """Look at the queue: there, taking and starting jobs, long enough."""
    what = "queue"
    if not settings.queue:
        return [note(what, "none is named; the site's default is not looked at", "")]
    answer = ask("qstat", "-Q", "-f", settings.queue)
    if answer.code != 0:
        return [fail(what, f"{settings.queue}: {answer.words}", "name one that is there ('qstat -Q') as cluster.queue")]
    about = {k.strip(): v.strip() for k, _, v in (line.partition("=") for line in answer.text.splitlines())}
    off = [key for key in ("enabled", "started") if about.get(key) == "False"]
    if off:
        return [fail(what, f"{settings.queue} is not {' and not '.join(off)}", "wait for it, or name another")]
    found = [ok(what, f"{settings.queue}, enabled and started")]
    limit = about.get("resources_max.walltime", "")
    if limit and slurm_seconds(limit) < settings.walltime_seconds:
        cure = f"set cluster.walltime = '{time_limit(slurm_seconds(limit))}' or less, or name another queue"
        found.append(fail("time limit of the queue", f"{limit}; asked for are {settings.walltime}", cure))
    return found

"""Workers as jobs of SLURM or PBS, through dask-jobqueue, and jobs that are lost replaced.

A job ends at its time limit, by a node that fails, or by somebody's hand. Nobody replaces it: dask-jobqueue counts a
job that it submitted as there. A watch therefore asks the batch system which jobs exist, and has those submitted anew
that do not. Workers end by themselves a while before the time limit of their job, at moments spread over some
minutes, so that they hand over what they hold and do not all go at once.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gravdask.config import ClusterConfig
from gravdask.errors import ExecutionError, PreflightError
from gravdask.execution.quiet import quiet
from gravdask.execution.share import worker_memory
from gravdask.execution.units import JOB_ENVIRONMENT

WATCH_SECONDS = 5.0
"""How often the batch system is asked for the jobs."""
ASK_SECONDS = 30.0
"""How long it may take to answer."""
DEATH_SECONDS = 120
"""A worker that finds no scheduler ends after this time."""
NODE_FOLDER = "${TMPDIR:-/tmp}"
"""The temporary folder there, by the shell of the job: that of the machine here may be none of the node's."""
NANNY_BYTES = 192 * 2**20
"""What a worker's nanny and its interpreter take beside the limit of the worker itself."""
HOPELESS_LOSSES = 3
"""Losses of all jobs, without a worker ever, after which nothing is submitted any more."""
LOG_LINES = 200
_ERROR = re.compile(r"^[\w.]*(?:Error|Exception): |: not found|command not found|No such file|Permission denied")
"""How the line of a log looks that says what went wrong."""
INSTALL = "pip install 'gravdask[cluster]'"


def job_count(settings: ClusterConfig) -> int:
    """Jobs that hold the workers asked for."""
    return max(-(-settings.workers // settings.workers_per_job), 1)


def lifetime(walltime_seconds: int) -> tuple[int, int]:
    """Seconds that a worker lives, and by how many these are spread: it must end before its job does."""
    margin = min(max(walltime_seconds // 20, 60), 600)
    left = max(walltime_seconds - margin, walltime_seconds // 2)
    return left - min(margin, left // 4) // 2, min(margin, left // 4) // 2


def cluster_arguments(settings: ClusterConfig) -> dict[str, Any]:
    """What dask-jobqueue is told; it knows the limits of its jobs from the same section as everything else."""
    each = worker_memory(settings)
    count = settings.workers_per_job
    whole = count * (each + NANNY_BYTES)
    seconds, spread = lifetime(settings.walltime_seconds)
    arguments: dict[str, Any] = {
        "cores": count,
        "processes": count,
        "memory": count * each,
        "walltime": settings.walltime,
        "queue": settings.queue or None,
        "account": settings.account or None,
        "job_name": "gravdask",
        "interface": settings.interface or None,
        "local_directory": settings.scratch or NODE_FOLDER,
        "log_directory": str(settings.log_folder),
        "python": settings.python or None,
        "death_timeout": DEATH_SECONDS,
        "worker_extra_args": ["--lifetime", f"{seconds}s", "--lifetime-stagger", f"{spread}s", "--no-dashboard"],
        "job_script_prologue": [*_exports(), *(["set -e", *settings.prologue] if settings.prologue else [])],
        "scheduler_options": {"dashboard_address": settings.dashboard or ":0", "dashboard": bool(settings.dashboard)},
    }
    if settings.scheduler_interface:
        arguments["scheduler_options"]["interface"] = settings.scheduler_interface
    if settings.kind == "slurm":
        more = ["--no-requeue", *([f"--qos={settings.qos}"] if settings.qos else [])]
        arguments |= {"job_mem": f"{-(-whole // 2**20)}M"}
    else:
        more = ["-r n"]
        arguments |= {"resource_spec": f"select=1:ncpus={count}:mem={-(-whole // 2**20)}mb"}
    return arguments | {"job_extra_directives": [*more, *settings.directives]}


def _exports() -> list[str]:
    """Lines that give a worker its environment."""
    return [f"export {name}={value}" for name, value in JOB_ENVIRONMENT.items()]


def start_jobs(
    settings: ClusterConfig,
    stack: ExitStack,
    security: Any,  # noqa: ANN401
    say: Callable[[str], None],
) -> tuple[Any, Watch]:
    """Start a scheduler here and submit the jobs of its workers; both end with the stack.

    Gives the cluster, and who watches over its jobs.

    Raises
    ------
    ExecutionError
        If dask-jobqueue is not installed, or the scheduler does not start.
    PreflightError
        If the batch system takes no job.
    """
    count, logs = job_count(settings), settings.log_folder
    try:
        kind = cluster_class(settings.kind)
    except ImportError as error:
        msg = f"cluster.kind = {settings.kind!r} needs dask-jobqueue; {INSTALL}"
        raise ExecutionError(msg) from error
    logs.mkdir(parents=True, exist_ok=True)
    # What the batch system refuses is raised below, or tried again by the watch.
    stack.enter_context(quiet("asyncio", "Task exception was never retrieved"))
    stack.enter_context(quiet("tornado.application", "Exception in callback", inside="_correct_state_internal"))
    try:
        cluster = stack.enter_context(kind(security=security, **cluster_arguments(settings)))
    except (RuntimeError, OSError, ValueError) as error:
        msg = f"no {settings.kind} jobs could be started ({_last_line(error)}); 'gravdask preflight' looks closer"
        raise ExecutionError(msg) from error
    stack.callback(lambda: cluster.sync(_forget_refused, cluster))
    try:
        cluster.sync(_submit, cluster, count)
    except (RuntimeError, OSError, ValueError) as error:
        if not any(job.job_id for job in cluster.workers.values()):  # else a limit of jobs, which others end
            msg = (
                f"{settings.kind} takes no job ({_last_line(error)}); see queue, account, qos and directives in "
                "[cluster]; 'gravdask preflight' looks closer"
            )
            raise PreflightError(msg) from error
        say(f"note: {settings.kind} does not take all jobs ({_last_line(error)}); tried again now and then")
    say(f"{count} {settings.kind} jobs of {settings.workers_per_job} workers; what they print is in {logs}")
    watch = Watch(cluster, settings, say)
    stack.callback(watch.stop)
    watch.start()
    return cluster, watch


def cluster_class(kind: str) -> Any:  # noqa: ANN401
    """Class of dask-jobqueue for a batch system.

    Importing it replaces the handler of Ctrl-C by one that ends the program as if all were well.

    Raises
    ------
    ImportError
        If dask-jobqueue is not installed.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        import dask_jobqueue
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
    return {"slurm": dask_jobqueue.SLURMCluster, "pbs": dask_jobqueue.PBSCluster}[kind]


async def _submit(cluster: Any, count: int) -> None:  # noqa: ANN401
    """Submit jobs, and fail as the batch system's command does."""
    cluster.scale(jobs=count)
    await cluster._correct_state()


async def _forget_refused(cluster: Any) -> None:  # noqa: ANN401
    """Forget jobs that were never submitted, which a cluster that closes takes for a fault."""
    for name in [name for name, job in cluster.workers.items() if not job.job_id]:
        cluster._created.discard(cluster.workers.pop(name))
        cluster.worker_spec.pop(name, None)


def _last_line(error: BaseException) -> str:
    """End of a long message, where the batch system's own words are."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def last_words(logs: Path, jobs: Iterable[str]) -> str:
    """What the newest log of some jobs tells: its first error, of which later ones are consequences, or its last line.

    Logs have the numbers of their jobs in their names; the folder may hold those of other runs.
    """
    numbers = "|".join(re.escape(job.partition(".")[0]) for job in jobs)
    mine = re.compile(rf"(?<!\d)({numbers})(?!\d)")
    try:
        newest = max(
            (p for p in logs.iterdir() if numbers and mine.search(p.name) and p.is_file()),
            key=lambda p: (p.stat().st_size > 0, p.stat().st_mtime),
        )
        lines = newest.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except (OSError, ValueError):
        return ""
    telling = [line.strip() for line in lines if line.strip()]
    errors = [line for line in telling if _ERROR.search(line)]
    return f"{newest.name}: {(errors[:1] or telling[-1:] or ['it is empty'])[0][:300]}"


class Watch:
    """Looks after the jobs of a cluster: what the batch system no longer knows is submitted anew.

    Parameters
    ----------
    cluster
        The dask-jobqueue cluster.
    settings
        The ``[cluster]`` section.
    say
        Called with a line for every loss.
    """

    def __init__(self, cluster: Any, settings: ClusterConfig, say: Callable[[str], None]) -> None:  # noqa: ANN401
        self._cluster, self._settings, self._say = cluster, settings, say
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gravdask-jobs", daemon=True)
        self.losses = 0
        """Jobs that ended too early."""
        self.trouble = ""
        """Why no worker will come any more; '' while there is hope."""
        self._known: set[str] = set()
        self._vain = 0
        self._unsubmitted: set[Any] = set()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking, before the jobs are given back."""
        self._stopped.set()
        self._thread.join(ASK_SECONDS)

    def _watch(self) -> None:
        """Look every few seconds until stopped."""
        while not self._stopped.wait(WATCH_SECONDS):
            self.look()

    def said(self) -> str:
        """Quote what the jobs of this run printed last."""
        self._jobs()
        return last_words(self._settings.log_folder, self._known)

    def _jobs(self) -> dict[Any, str]:
        """Numbers of the jobs that Dask counts on, all of which are remembered."""
        jobs = {name: str(job.job_id) for name, job in dict(self._cluster.workers).items() if job.job_id}
        self._known |= set(jobs.values())
        return jobs

    def look(self) -> None:
        """Compare the jobs with what the batch system has, once."""
        jobs = self._jobs()
        there = existing_jobs(self._settings.kind, sorted(jobs.values()))
        if there is None or self._stopped.is_set():  # the batch system does not answer just now
            return
        lost = {name: job for name, job in jobs.items() if job not in there}
        wanted = job_count(self._settings)
        refused, self._unsubmitted = self._unsubmitted, set(self._cluster.workers) - set(jobs)
        refused &= self._unsubmitted  # for two looks: the batch system did not take them
        if not lost and not refused and len(self._cluster.workers) >= wanted:
            return
        if lost:
            self._vain = 0 if self._cluster.scheduler_info["workers"] else self._vain + len(lost)
            self.losses += len(lost)
            if self._vain > HOPELESS_LOSSES * wanted:
                said = self.said()
                self.trouble = (
                    f"{self._vain} jobs ended without a worker that came, so nothing more is submitted; what they "
                    f"print is in {self._settings.log_folder}{f'; {said}' if said else ''}"
                )
                self._stopped.set()
                return
            self._say(f"note: {len(lost)} jobs ended ({', '.join(sorted(lost.values())[:3])}); submitting as many anew")
        self._cluster.sync(self._replace, [*lost, *refused], wanted)

    async def _replace(self, lost: list[Any], wanted: int) -> None:
        """Forget lost jobs and submit new ones; on the cluster's own loop."""
        for name in lost:
            self._cluster.workers.pop(name, None)
            self._cluster.worker_spec.pop(name, None)
        self._cluster.scale(jobs=wanted)


def existing_jobs(kind: str, jobs: list[str]) -> set[str] | None:
    """Which of some jobs the batch system still has, waiting or running; None if it does not answer."""
    if not jobs:
        return set()
    if kind == "slurm":
        command = ["squeue", "--noheader", "--format=%i", f"--user={os.getuid()}", "--states=PD,R,CF,S,ST,CG,RQ"]
    else:
        command = ["qstat", *jobs]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if kind == "slurm":
        return set(found.stdout.split()) if found.returncode == 0 else None
    # qstat fails where one of the jobs is unknown, and still lists the others; they are named up to their first dot.
    known = {line.split()[0].partition(".")[0] for line in found.stdout.splitlines() if line[:1].isdigit()}
    answered = found.returncode == 0 or bool(known) or "nknown" in found.stderr or "finished" in found.stderr
    return {job for job in jobs if job.partition(".")[0] in known} if answered else None


def job_script(settings: ClusterConfig, security: Any = None) -> str:  # noqa: ANN401
    """Script that a job would be submitted with, for a scheduler whose address is not known yet."""
    kind = cluster_class(settings.kind)
    arguments = cluster_arguments(settings)
    arguments.pop("scheduler_options")
    job = kind.job_cls("tcp://SCHEDULER:8786", name="gravdask", security=security, **arguments)
    return str(job.job_script())

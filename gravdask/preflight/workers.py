"""What a worker says: one is started by the same code as for a run, or asked where some run already, and looked at."""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_hexdigest

from gravdask.config import ClusterConfig, Config
from gravdask.errors import GravdaskError
from gravdask.execution import Failure
from gravdask.execution.clusters import Link, connect
from gravdask.execution.quiet import quiet
from gravdask.execution.share import worker_memory
from gravdask.execution.units import WORKER_ENVIRONMENT
from gravdask.preflight.batch import ask
from gravdask.preflight.findings import Finding, fail, gibibytes, limited, note, ok, umask_of_process
from gravdask.preflight.machine import scratch_findings
from gravdask.preflight.needs import KILLED, PEAK_BYTES, speed_class
from gravdask.preflight.places import CLOCK_SECONDS, token
from gravdask.preflight.survey import Survey, fastest
from gravdask.store.place import Place, in_words, place_of

PACKAGES = ("gravdask", "zarr", "numpy", "numcodecs", "obspy")
"""What must be of one version everywhere, beside Python and Dask."""
ANSWER_SECONDS = 60.0
SEEN_SECONDS = 30.0
"""A network file system may show a new file that late on another machine."""
MOST_HOSTS = 20
"""Of more hosts, so many are asked."""


@dataclass(frozen=True)
class Question:
    """What a worker is to look at.

    Attributes
    ----------
    store
        Object that was written here and is to be read there.
    answer
        Object that is to be written there.
    archive
        Files, folders or addresses of the archive.
    scratch
        Folder for spilling.
    patience
        Seconds in which what was written must be seen.
    """

    store: Place
    answer: Place
    archive: tuple[str, ...]
    scratch: str
    patience: float


def code_digest() -> str:
    """Digest of gravdask's own source: checkouts of one version may differ."""
    folder = Path(__file__).parents[1]
    files = sorted(folder.rglob("*.py"))
    return xxh3_64_hexdigest(b"\0".join(str(f.relative_to(folder)).encode() + f.read_bytes() for f in files))


def look(question: Question) -> dict[str, Any]:
    """Look at everything, on a worker; gives plain values."""
    from gravdask.archive.locations import normal_root
    from gravdask.archive.remote import root_exists

    begun = time.monotonic()
    found: dict[str, Any] = {
        "time": time.time(),
        "host": socket.gethostname(),
        "code": code_digest(),
        "umask": umask_of_process(),
        "threads": {name: os.environ.get(name, "") for name in WORKER_ENVIRONMENT},
        "scratch": [finding.values() for finding in scratch_findings(question.scratch)],
        "lost": [path for path in question.archive if not root_exists(normal_root(path))],
        "read": b"",
        "error": "",
    }
    try:
        with in_words(question.store):
            while True:
                try:
                    found["read"] = question.store.read()
                    break
                except FileNotFoundError:
                    if time.monotonic() - begun > question.patience:
                        raise
                    time.sleep(0.5)
            question.answer.write(found["read"])
    except (OSError, GravdaskError) as error:
        found["error"] = str(error)
    return found


def worker_findings(config: Config, survey: Survey | None, seconds: float, say: Callable[[str], None]) -> list[Finding]:
    """Start one worker, or find those that run, and look at archive, store and environment from there.

    Parameters
    ----------
    config
        Whose ``[cluster]`` section is tried, with one worker.
    survey
        What the archive holds.
    seconds
        How long a worker is waited for.
    say
        Where it is told what is going on.
    """
    settings = config.cluster
    if settings.kind == "serial":
        return [ok("workers", "none are used (serial)")]
    try:
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mismatched versions")  # told in one line of its own
            link = connect(_one(settings), stack, say)
            missing = _wait(link, settings, seconds if settings.batch else min(seconds, settings.patience))
            return missing or _asked(link.client, config, survey)
    except GravdaskError as error:
        return [fail("cluster", str(error), "correct the section [cluster]")]


def _one(settings: ClusterConfig) -> ClusterConfig:
    """Give the same section with a single worker, where workers are started, with the memory that it would have."""
    memory = f"{worker_memory(settings)}B"
    return settings.model_copy(
        update={"workers": 1, "workers_per_job": 1, "memory": memory, "performance_report": "", "dashboard": ":0"}
    )


def _wait(link: Link, settings: ClusterConfig, seconds: float) -> list[Finding]:
    """Wait for a worker; gives findings if none comes."""
    what = "worker"
    begun = time.monotonic()
    while (left := seconds - (time.monotonic() - begun)) > 0:
        try:
            link.client.wait_for_workers(1, timeout=min(left, 2.0))
            return []
        except TimeoutError:
            if trouble := link.trouble():
                return [fail(what, trouble, "look at cluster.python, prologue, interface and scratch")]
        except (OSError, RuntimeError) as error:
            return [fail(what, f"the scheduler is gone ({error})", "start it, or look at what it printed")]
    waited = f"none after {seconds:.0f} s"
    if settings.batch:
        reason = _pending(link.client.cluster, settings.kind)
        cure = "wait longer (--wait SECONDS), or leave the workers out (--here-only)"
        if reason.startswith("pending") and not link.losses():  # else it is one that was submitted anew
            return [note(what, f"{waited}, its job is {reason}", cure)]
        said = link.said()
        about = f"{waited}{f', its job is {reason}' if reason else ''}{f'; {said}' if said else ''}"
        return [fail(what, about, f"see {settings.log_folder}; look at cluster.interface, prologue and scratch")]
    return [fail(what, waited, "start some, or look at what they print")]


def _pending(cluster: Any, kind: str) -> str:  # noqa: ANN401
    """State of the job that is waited for, as the batch system tells it."""
    jobs = [str(job.job_id) for job in cluster.workers.values() if job.job_id]
    if not jobs or kind != "slurm":
        return ""
    return ask("squeue", "--noheader", f"--jobs={','.join(jobs)}", "--format=%T, %r").text.strip().lower()


def _asked(client: Any, config: Config, survey: Survey | None) -> list[Finding]:  # noqa: ANN401
    """Ask one worker of every host."""
    info = client.scheduler_info(n_workers=-1)["workers"]
    hosts = {about["host"]: address for address, about in info.items()}
    addresses = list(hosts.values())[:MOST_HOSTS]
    found = [ok("worker", f"{len(info)} on {len(hosts)} hosts; asked: {', '.join(sorted(hosts)[:3])}")]
    versions = limited(lambda: client.get_versions(packages=list(PACKAGES)), ANSWER_SECONDS)
    found += _versions(versions)
    threads = max(about["nthreads"] for about in info.values())
    if threads > 1:
        found.append(note("threads of a worker", str(threads), "start them with --nthreads 1"))
    limits = [about["memory_limit"] for about in info.values() if about.get("memory_limit")]
    if limits:
        found.append(_memory(min(limits), survey))
    # A folder on which nothing is mounted is there too: one of its files tells.
    example = (survey.example,) if survey is not None and survey.example else ()
    return [*found, *_looks(client, config, (*config.archive.paths, *example), addresses)]


def _versions(versions: Any) -> list[Finding]:  # noqa: ANN401
    """Compare the versions of client, scheduler and workers."""
    what = "versions"
    if isinstance(versions, Failure):
        return [fail(what, versions.reason, "look at what the workers print")]
    here = _of(versions["client"])
    apart: dict[str, set[str]] = {}
    for there in [versions["scheduler"], *versions["workers"].values()]:
        for name, version in _of(there).items():
            if version != here.get(name):
                apart.setdefault(name, set()).add(str(version))
    if not apart:
        return [ok(what, ", ".join(f"{name} {version}" for name, version in here.items()))]
    about = "; ".join(f"{name} {here.get(name)} here, {' and '.join(sorted(v))} there" for name, v in apart.items())
    return [fail(what, about, "use the same environment everywhere (cluster.python, cluster.prologue)")]


def _of(versions: dict[str, Any]) -> dict[str, str | None]:
    """Versions of what must agree."""
    python = str(versions["host"]["python"]).split()[0].rpartition(".final")[0]
    wanted = ("dask", "distributed", *PACKAGES)
    return {"python": python, **{name: versions["packages"].get(name) for name in wanted}}


def _memory(limit: float, survey: Survey | None) -> Finding:
    """Whether workers may take what a unit needs."""
    what = "memory limit of a worker"
    need = PEAK_BYTES["fast" if survey is None or not survey.rates else speed_class(fastest(survey))]
    about = f"{gibibytes(limit)}, a unit needs up to {gibibytes(need)}"
    if limit * KILLED < need:
        return fail(what, about, "start it with more (cluster.memory, or --memory-limit of 'dask worker')")
    return ok(what, about)


def _looks(client: Any, config: Config, archive: tuple[str, ...], addresses: list[str]) -> list[Finding]:  # noqa: ANN401
    """Have workers look at archive, store and their own environment."""
    place = place_of(config)
    found: list[Finding] = []
    for address in addresses:
        text = os.urandom(8).hex().encode()
        with in_words(place), token(place) as mine, token(place) as theirs:
            mine.write(text)
            question = Question(mine, theirs, archive, config.cluster.scratch, SEEN_SECONDS)
            asked = time.time()
            with quiet("distributed.scheduler", "broadcast to"):  # a worker that died is a finding
                answers = limited(partial(client.run, look, question, workers=[address]), ANSWER_SECONDS)
            back = time.time()
            if isinstance(answers, Failure):
                found.append(fail(f"worker {address}", f"gives no answer ({answers.reason})", "look at what it prints"))
                continue
            answer = answers[address]
            found += _answered(answer, text, b"" if answer["error"] else _read(theirs), (asked, back))
    return found


def _read(place: Place) -> bytes:
    """Content of an object that another machine wrote, b'' if it does not appear."""
    begun = time.monotonic()
    while True:
        try:
            return place.read()
        except OSError:
            if time.monotonic() - begun > SEEN_SECONDS:
                return b""
            time.sleep(0.5)


def _answered(answer: dict[str, Any], text: bytes, back: bytes, asked: tuple[float, float]) -> list[Finding]:
    """Findings of what one worker said."""
    host = answer["host"]
    found = [Finding(**scratch) for scratch in answer["scratch"]]
    found = [Finding(f.level, f"{f.what} on {host}", f.found, f.cure) for f in found]
    if answer["code"] != code_digest():
        cure = "install the same gravdask everywhere (cluster.python, cluster.prologue)"
        found.append(fail(f"gravdask on {host}", "its source is other than here", cure))
    where = f"store on {host}"
    if answer["error"]:
        cure = "mount it there under the same path; for S3, give the jobs the environment with its keys"
        found.append(fail(where, f"cannot be used from there ({answer['error']})", cure))
    elif answer["read"] != text or back != text:
        cure = "archive and store must be seen under the same path everywhere"
        found.append(fail(where, "what is written on one side is not seen on the other", cure))
    else:
        found.append(ok(where, "what was written here is read there, and the other way round"))
    lost = answer["lost"]
    cure = "mount it there under the same path; for S3, give the jobs the environment with its keys"
    about = f"{', '.join(lost)} not there"
    found.append(fail(f"archive on {host}", about, cure) if lost else ok(f"archive on {host}", "there"))
    return [*found, *_environment(answer, host, asked)]


def _environment(answer: dict[str, Any], host: str, asked: tuple[float, float]) -> list[Finding]:
    """Compare a worker's environment with what it should be, and with this process's."""
    found = []
    other = {n: v for n, v in answer["threads"].items() if v != WORKER_ENVIRONMENT[n] and n.endswith("THREADS")}
    slow = [n for n, v in answer["threads"].items() if not v and not n.endswith("THREADS")]
    what = f"environment on {host}"
    if other:
        stated = ", ".join(f"{name}={value or 'unset'}" for name, value in other.items())
        found.append(note(what, stated, "start the workers with these set to 1: they fight for cores otherwise"))
    if slow:
        values = " ".join(f"{name}={WORKER_ENVIRONMENT[name]}" for name in slow)
        found.append(note(what, f"{' and '.join(slow)} unset: slower", f"start the workers with {values}"))
    if not other and not slow:
        found.append(ok(what, "one thread, memory kept"))
    mask, mine = answer["umask"], umask_of_process()
    if mask != mine:
        cure = "add the same 'umask' to cluster.prologue, or to the start of the workers"
        found.append(note(f"umask on {host}", f"{mask:04o}, here {mine:04o}", cure))
    else:
        found.append(ok(f"umask on {host}", f"{mask:04o}, as here"))
    offset = answer["time"] - min(max(answer["time"], asked[0]), asked[1])
    about = f"{offset:+.1f} s from this machine's"
    apart = abs(offset) > CLOCK_SECONDS
    cure = "have both set by a time service: times in logs cannot be compared"
    found.append(note(f"clock on {host}", about, cure) if apart else ok(f"clock on {host}", about))
    return found

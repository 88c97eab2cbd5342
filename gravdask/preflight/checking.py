"""All checks in their order, and those that a run on a batch system does by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain

from gravdask.config import Config
from gravdask.errors import PreflightError
from gravdask.execution import Failure, client_rank
from gravdask.execution.mpi import RANKS
from gravdask.execution.share import worker_count
from gravdask.preflight import batch, machine, needs, places
from gravdask.preflight.findings import Check, Finding, fail, limited, looked_at, note, ok
from gravdask.preflight.stated import stated_findings
from gravdask.preflight.survey import Survey, record_findings, survey
from gravdask.preflight.workers import worker_findings

SURVEY_SECONDS = 600.0
"""Listing an archive of millions of files takes minutes."""
LOOK = "look at its cause by hand"


def preflight(
    config: Config, workers: bool = True, wait: float = 300.0, say: Callable[[str], None] = lambda _: None
) -> Iterator[Finding]:
    """Check everything that a run needs; gives findings as they come.

    Parameters
    ----------
    config
        Of the run.
    workers
        Whether to start a worker, or to ask those that run already, and look from there too.
    wait
        How long a worker is waited for [s].
    say
        Where it is told what is going on.
    """
    failed = False
    for what, check in _here(config):
        for finding in looked_at(what, check, LOOK):
            failed = failed or finding.level == "FAIL"
            yield finding
    # Each of its questions has a time limit; and dask-jobqueue can only be imported by the main thread.
    for finding in looked_at("batch system", partial(batch.batch_findings, config.cluster), LOOK, None):
        failed = failed or finding.level == "FAIL"
        yield finding
    found = limited(partial(survey, config), SURVEY_SECONDS)
    known: Survey | None = None
    if isinstance(found, Failure):
        yield note(
            "records", f"the archive could not be looked through ({found.reason})", "see what is said of it above"
        )
    else:
        known = found
        yield from record_findings(found)
    for what, check in _against(config, known):
        yield from looked_at(what, check, LOOK)
    if workers and failed:
        yield note("worker", "none is started", "mend first what failed above")
    elif workers:
        yield from worker_findings(config, known, wait, say)


def _here(config: Config) -> list[tuple[str, Check]]:
    """Checks that need nothing but this machine, archive, store and the batch system."""
    settings = config.cluster
    return [
        ("archive", partial(places.archive_findings, config)),
        ("stations and catalogue", partial(stated_findings, config)),
        ("store", partial(places.store_findings, config)),
        ("store's file system", partial(places.kind_findings, config)),
        ("scratch folder", partial(machine.scratch_findings, settings.scratch)),
        ("network interface", partial(machine.interface_findings, settings)),
        ("TLS", partial(machine.certificate_findings, settings)),
        ("umask", machine.umask_findings),
        ("open files", partial(machine.file_limit_findings, worker_count(settings))),
        ("batch system", partial(batch.command_findings, settings)),
    ]


def _against(config: Config, known: Survey | None) -> list[tuple[str, Check]]:
    """Checks that compare what is there with what the archive needs."""
    return [
        ("disk space", partial(places.space_findings, config, known)),
        ("memory of a worker", partial(needs.memory_findings, config, known)),
        ("time limit of a job", partial(needs.time_findings, config, known)),
        ("workers", partial(needs.unit_findings, config, known)),
    ]


def refuse_hopeless(config: Config) -> None:
    """Refuse a run on a batch system that cannot work; costs nothing, and other kinds are not looked at.

    Raises
    ------
    PreflightError
        If a command of the batch system or the network interface is missing, or the store cannot be written to.
    """
    settings = config.cluster
    if not settings.batch:
        return
    checks: list[tuple[str, Check]] = [
        (f"{settings.kind} commands", partial(batch.command_findings, settings)),
        ("network interface", partial(machine.interface_findings, settings)),
        ("store", partial(places.store_findings, config)),
    ]
    found = chain.from_iterable(looked_at(what, check, LOOK) for what, check in checks)
    lines = [f"{f.what}: {f.found}; {f.cure}" for f in found if f.level == "FAIL"]
    if lines:
        raise PreflightError(" | ".join(lines))


def findings_of(
    config: Config | None, fault: Exception | None, workers: bool, wait: float, say: Callable[[str], None]
) -> Iterator[Finding]:
    """Findings of everything, what is wrong with the configuration first.

    Parameters
    ----------
    config
        As far as it is valid; None where it is not.
    fault
        What is wrong with it, or with what the store remembers of earlier runs.
    workers, wait, say
        As in `preflight`.
    """
    if fault is not None:
        yield fail(
            "configuration",
            str(fault),
            "correct it; 'gravdask init ARCHIVE' in another folder writes one with every key",
        )
    else:
        yield ok("configuration", "valid")
    if config is not None:
        yield from preflight(config, workers, wait, say)
        return
    alone: list[tuple[str, Check]] = [
        ("umask", machine.umask_findings),
        ("open files", partial(machine.file_limit_findings, 1)),
    ]
    for what, check in alone:
        yield from looked_at(what, check, LOOK)


def tell(findings: Iterable[Finding], as_json: bool, write: Callable[[str], None]) -> int:
    """Write findings as they come, or all as JSON; gives how many say that a run would fail."""
    every = []
    for finding in findings:
        every.append(finding)
        if not as_json:
            write(finding.line())
    failed = sum(finding.level == "FAIL" for finding in every)
    if as_json:
        write(json.dumps({"failed": failed, "findings": [finding.values() for finding in every]}, indent=1))
    return failed


def taking_part(config: Config | None) -> AbstractContextManager[bool]:
    """Take this process's part in an MPI job, if it is in one; gives whether it is the one that asks."""
    if config is None or not any(name in os.environ for name in RANKS):
        return nullcontext(True)
    return client_rank(config.cluster)

"""Doing a plan: its units run on a runner, and the ledger is told of each before it starts and when it is through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from gravdask.errors import ExecutionError
from gravdask.execution import Failure, Runner
from gravdask.progress import Counter
from gravdask.stages.base import Context, Plan, Stage, Task
from gravdask.stages.planning import Tasks
from gravdask.stages.start import no_room
from gravdask.store.ledger import Record
from gravdask.usage import Measured, shares

BEGIN_TOGETHER = 1000
"""At least so many tasks are recorded as begun at once, whole channels of them, if there are so many."""


@dataclass(frozen=True)
class Done:
    """What came of a plan.

    Attributes
    ----------
    row
        The stage in numbers: stage, units (known), done, skipped (up to date), quarantined, parts, seconds, and what
        the units needed (`gravdask.usage.Tally.figures`).
    notes
        What a person should know.
    records
        One for each channel that ran, with the sums of the stage's counted findings.
    """

    row: dict[str, Any]
    notes: list[str]
    records: list[Record]


@dataclass
class _Sums:
    """What is kept of the units that ran: their numbers, and sums by channel, however many there are.

    Attributes
    ----------
    counted
        Findings to sum up.
    """

    counted: tuple[str, ...]
    done: int = 0
    failed: int = 0
    parts: int = 0
    channels: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, task: Task, record: Record, failed: bool) -> None:
        """Count a unit that is through."""
        self.done += not failed
        self.failed += failed
        self.parts += len(task.stale)
        found = self.channels.setdefault(record.channel, {})
        for name in self.counted:
            found[name] = found.get(name, 0) + record.info.get(name, 0)

    def records(self, stage: str) -> list[Record]:
        """One record a channel."""
        return [Record(stage, name, 0, "", "done", info=dict(found)) for name, found in self.channels.items()]


def do_plan(context: Context, runner: Runner, stage: Stage, plan: Plan, begun: float) -> Done:
    """Do the tasks of a plan, keep their records, and sum them up.

    Parameters
    ----------
    begun
        When the stage began, by the monotonic clock [s].

    Raises
    ------
    ExecutionError
        If no unit can be written any more, or the run was stopped.
    """
    tasks = plan.tasks.share(*context.part)
    notes = [*plan.notes, *context.presence.notes()]
    sums = _Sums(stage.counted)
    context.log.planned(stage.name, len(tasks), plan.current)
    if len(tasks):
        with context.progress.task(stage.name, len(tasks)) as counter:
            for task, result in runner.run(Measured(stage.work), _drawn(context, stage, tasks, counter)):
                if isinstance(result, Failure) and result.hopeless:
                    raise ExecutionError(no_room(context.store, result.reason))
                failed = isinstance(result, Failure)
                record, usage = (_failed(task, result), None) if isinstance(result, Failure) else result
                context.ledger.add(record)
                context.log.unit(record, usage)
                sums.add(task, record, failed)
                counter.advance()
    context.ledger.flush()
    row = {
        "stage": stage.name,
        "units": plan.current + len(plan.tasks),
        "done": sums.done,
        "skipped": plan.current,
        "quarantined": sums.failed,
        "parts": sums.parts,
        "seconds": time.monotonic() - begun,
    }
    row = context.log.sums(row)
    context.progress.say(stage_line(row))
    return Done(row, notes, sums.records(stage.name))


def _drawn(context: Context, stage: Stage, tasks: Tasks, counter: Counter) -> Iterator[Task]:
    """Give tasks as they are asked for, and count those under way."""
    for task in _begun(context, stage, tasks):
        counter.begin()
        context.log.drawn(stage.name)
        yield task


def _begun(context: Context, stage: Stage, tasks: Tasks) -> Iterator[Task]:
    """Give tasks as they are asked for, each once it is recorded as begun and has arrays to write to.

    All tasks of a channel are begun before its arrays are made: where these replace others, no older record may vouch
    for what lies in them.
    """
    for group in tasks.groups(BEGIN_TOGETHER):
        context.ledger.begin(t.record("begun") for t in group)
        if stage.prepare is not None:
            with context.turn():
                stage.prepare(context, group)
        # The longest first: a long one that starts last would keep all other workers waiting.
        yield from sorted(group, key=lambda task: -len(task.stale))


def _failed(task: Task, failure: Failure) -> Record:
    """Record of a unit that failed: listed, and tried again by the next run."""
    where = f"{task.stage} {task.channel} unit {task.unit} ({task.payload.get('span', 'span of the unit')})"
    problem = {"where": where, "line": 0, "what": failure.reason, "cure": "run again; the rest is not affected"}
    found = {"problems": [problem], "trace": failure.trace, "host": failure.host, "tries": failure.tries}
    return replace(task.record("quarantined", info=found), seconds=failure.seconds)


def stage_line(row: dict[str, Any]) -> str:
    """One line about a stage, from its row as in `Done`."""
    if not row["done"] and not row["quarantined"]:
        return f"{row['stage']:<10} up to date ({row['skipped']} units)"
    failed = f", {row['quarantined']} quarantined" if row["quarantined"] else ""
    spent = f" ({shares(row)})" if shares(row) else ""
    return (
        f"{row['stage']:<10} {row['done']} units done ({row['parts']} parts), {row['skipped']} up to date{failed}, "
        f"{row['seconds']:.1f} s{spent}"
    )

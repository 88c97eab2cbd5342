"""The pipeline: finds what is out of date, does it stage by stage, and keeps the ledger.

The stages that consist of units (convert, noise, calibrate, scatter, classify) are planned from the ledger and run
through one runner. fit, interpret and report look at the whole network and run in the client, with the runner's
workers for their arrays.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from gravdask.archive.index import ArchiveIndex
from gravdask.archive.stations import StationTable
from gravdask.config import STAGES, WHOLE_STAGES, Config, digest
from gravdask.errors import (
    ConfigError,
    ExecutionError,
    GravdaskError,
    PreflightError,
    ReadError,
    StationError,
    StoreError,
)
from gravdask.execution import HOPELESS, Runner, open_runner
from gravdask.preflight import refuse_hopeless
from gravdask.progress import Progress
from gravdask.stages import archive as archive_stage
from gravdask.stages import calibrate, classify, convert, fit, interpret, noise, report, scatter
from gravdask.stages.base import Context, Plan, Stage
from gravdask.stages.doing import do_plan, stage_line
from gravdask.stages.index_file import problems_only
from gravdask.stages.interpret import Events
from gravdask.stages.start import (
    days_of,
    discard_empty,
    find_archive,
    frame_days_of,
    no_room,
    refuse_shared_memory,
)
from gravdask.store.layout import open_root
from gravdask.store.lease import Lease
from gravdask.store.ledger import Ledger, Record
from gravdask.store.options import keep_options, kept_options
from gravdask.store.place import Place, in_words, place_of
from gravdask.store.runlog import RunLog, about_run
from gravdask.store.turn import Turns

UNIT_STAGES = {
    "noise": Stage("noise", noise.plan, noise.work, noise.prepare),
    "calibrate": Stage("calibrate", calibrate.plan, calibrate.work, finish=calibrate.finish),
    "scatter": Stage("scatter", scatter.plan, scatter.work, scatter.prepare, scatter.finish),
    "classify": Stage("classify", classify.plan, classify.work, classify.prepare),
}


LATER = "need all of it and are left to a run without --task, when all shares are done; that does what is missing, too"


@dataclass
class RunRecord:
    """What a run did.

    Attributes
    ----------
    stages
        A row for each stage: stage, units (known), done, skipped (up to date), quarantined, parts, seconds,
        worker_seconds, read_seconds, compute_seconds, write_seconds, bytes (written), peak_memory_bytes (of a
        worker), units_per_second.
    notes
        What a person should know.
    quarantine
        What could not be used: where, line, what, cure.
    report
        The page, if it was written.
    seconds
        Wall time.
    figures
        All figures of the run, as they stand in ``runs/`` of the store; `gravdask.store.runlog.RunLog.state` has the
        keys.
    """

    stages: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    quarantine: pd.DataFrame = field(default_factory=pd.DataFrame)
    report: Path | None = None
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def units_done(self) -> int:
        """Units that this run worked on."""
        return sum(row["done"] for row in self.stages)

    @property
    def units_skipped(self) -> int:
        """Units that were up to date."""
        return sum(row["skipped"] for row in self.stages)

    @property
    def units_quarantined(self) -> int:
        """Units that failed and are listed."""
        return sum(row["quarantined"] for row in self.stages)

    @property
    def exit_code(self) -> int:
        """0 if all is well, 1 if something is quarantined."""
        return 1 if self.units_quarantined or len(self.quarantine) else 0


@dataclass
class _Run:
    """State of one run on the client."""

    context: Context
    runner: Runner
    record: RunRecord
    index: ArchiveIndex | None = None
    table: StationTable = field(default_factory=StationTable)
    events: Events = field(default_factory=Events)
    problems: list[dict[str, Any]] = field(default_factory=list)


def run(
    config: Config,
    *,
    stages: tuple[str, ...] = STAGES,
    channels: tuple[str, ...] = ("*",),
    part: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> RunRecord:
    """Do whatever of the given stages is out of date.

    Parameters
    ----------
    config
        The configuration.
    stages
        Stages to do, in any order; they run in theirs.
    channels
        Shell patterns of the channels to work on.
    part
        Share of the units to work on, as (i, n), 0 <= i < n: independent jobs take different i.
    progress
        Where progress is told; silent if None.
    stop
        When set, nothing more is started, what is under way is finished and kept, and the run ends in an
        `ExecutionError`.

    Raises
    ------
    GravdaskError
        If the run cannot go on as a whole; single files and units that fail are listed in the record instead.
    """
    unknown = set(stages) - set(STAGES)
    if unknown:
        msg = f"unknown stages {sorted(unknown)}; there are {', '.join(STAGES)}"
        raise ConfigError(msg)
    begun = time.monotonic()
    left_out = [s for s in stages if part[1] > 1 and s in WHOLE_STAGES]
    stages = tuple(s for s in stages if s not in left_out)
    place = place_of(config)
    with in_words(place), _opened(config, place, stages, channels, part, progress or Progress(), stop) as state:
        for stage in (s for s in STAGES if s in stages):
            with state.context.log.stage(stage):
                _STEPS[stage](state)
        if part == (0, 1) and channels == ("*",) and days_of(config) == (None, None):
            state.context.ledger.compact()
        state.context.ledger.flush()
        if left_out:
            state.record.notes.append(f"share {part[0]} of {part[1]}: {', '.join(left_out)} {LATER}")
        state.record.quarantine = _quarantine(state)
        state.record.seconds = time.monotonic() - begun
        state.record.figures = state.context.log.finish(state.record.exit_code)
        return state.record


@contextmanager
def _opened(
    config: Config,
    place: Place,
    stages: tuple[str, ...],
    channels: tuple[str, ...],
    part: tuple[int, int],
    progress: Progress,
    stop: threading.Event | None,
) -> Iterator[_Run]:
    """Open store, ledger, lease and runner, and close them whatever happens."""
    # What the user named is read before anything is created or computed: a wrong catalogue must not cost a night.
    events = interpret.load_events(config.interpret) if {"interpret", "report"} & set(stages) else Events()
    converting = "convert" in stages
    if converting:
        find_archive(config)
    refuse_shared_memory(config, place)
    refuse_hopeless(config)
    kept_options(place)  # refuses what is damaged, before anything is made by other options
    root = open_root(place, create=converting)
    patterns = config.archive.select if channels == ("*",) else channels
    span, frame_days = days_of(config), frame_days_of(config, root)
    lease = Lease(place / "ledger" / "leases", tuple(patterns), stages, part, span, frame_days)
    log = RunLog(place, about_run(config, stages, channels, part), stop, lambda: progress.said)
    runner = open_runner(config.cluster, log.telling(progress.say), stop)
    log.follow(lambda: runner.mishaps)
    # One BLAS thread here too: more would change the last bits of a model, and a store's values with them.
    with lease, threadpool_limits(1), log:
        ledger = Ledger(place / "ledger", lease.check)
        turns = Turns(lease, log.telling(progress.say), stop or threading.Event())
        context = Context(config, ledger, progress, part, channels, log=log, turns=turns)
        context.reload()
        state = _Run(context, runner, RunRecord(notes=ledger.heal()), events=events)
        if not converting:
            state.index = archive_stage.known_index(context)
            keep_options(config)
        try:
            yield state
            ledger.flush()
        except BaseException as error:
            # What can still be written down is; what stopped the run is told, not that this fails in turn.
            with suppress(OSError, GravdaskError):
                ledger.flush()
            if isinstance(error, OSError) and error.errno in HOPELESS:
                raise ExecutionError(no_room(place, str(error))) from error
            if isinstance(error, OSError | StoreError):
                lease.check()  # says so if the whole store is gone, or the lease is lost
            raise
        finally:
            runner.close()


def _convert(state: _Run) -> None:
    """Scan the archive and convert what is new."""
    begun = time.monotonic()
    context = state.context
    settings = context.config.archive
    try:
        state.table, notes = archive_stage.station_table(settings)
        state.index, kept = archive_stage.scan_archive(context, state.table, runner=state.runner)
    except (ConfigError, ReadError, StationError, PreflightError):
        if not context.channels and context.part == (0, 1):  # another job may just have begun its share
            context.log.discard()
            discard_empty(context.store)
        raise
    # Only now: what a run cannot work with must not be what the next one goes by.
    keep_options(context.config)
    state.table, more = archive_stage.with_archive_metadata(state.table, state.index.metadata_files)
    placed = archive_stage.plan_channels(context, state.index)
    state.problems += placed.problems
    state.record.notes += [*notes, *kept, *more, *placed.notes, *map(str, state.table.conflicts())]
    state.record.notes += [str(p) for p in state.index.problems if p.severity == "note"]
    state.index = problems_only(state.index)
    state.record.notes += archive_stage.create_channels(context, placed.plans, state.table)
    options = archive_stage.read_options(settings, state.table)
    plan = convert.plan(context, [*placed.plans, *archive_stage.emptied(context, placed.plans)], options)
    records = _do(state, Stage("convert", lambda _: plan, convert.work, counted=convert.COUNTED), plan, begun)
    archive_stage.trim_extents(context, placed.plans)
    state.record.notes += convert.overlap_notes(records)


def _units(name: str) -> Callable[[_Run], None]:
    """Step of a stage that consists of units."""

    def step(state: _Run) -> None:
        begun = time.monotonic()
        stage = UNIT_STAGES[name]
        if name == "classify":
            state.record.notes += classify.add_channels(state.context, state.runner)
        plan = stage.plan(state.context)
        records = _do(state, stage, plan, begun)
        if stage.finish is not None:
            state.record.notes += stage.finish(state.context, records)

    return step


def _do(state: _Run, stage: Stage, plan: Plan, begun: float) -> list[Record]:
    """Do a plan and put what came of it into the run's record; gives what was found of each channel."""
    done = do_plan(state.context, state.runner, stage, plan, begun)
    state.record.notes += done.notes
    state.record.stages.append(done.row)
    return done.records


def _whole(state: _Run, stage: str, done: int, skipped: int, begun: float) -> None:
    """Sum up a stage that looks at the whole network."""
    row = {
        "stage": stage,
        "units": done + skipped,
        "done": done,
        "skipped": skipped,
        "quarantined": 0,
        "parts": done,
        "seconds": time.monotonic() - begun,
    }
    row = state.context.log.sums(row)
    state.record.stages.append(row)
    state.context.progress.say(stage_line(row))


def _fit(state: _Run) -> None:
    """Fit the rates that have no model, or all on request."""
    begun = time.monotonic()
    wanted = fit.needs_fit(state.context)
    current = set(classify.models_of(state.context)) - set(wanted)
    made = 0
    for rate, channels in wanted.items():
        fitted, notes = fit.fit_rate(state.context, rate, channels, state.runner)
        made += fitted
        state.record.notes += notes
    state.context.ledger.flush()
    _whole(state, "fit", made, len(current), begun)


def _interpret(state: _Run) -> None:
    """Test and name the components, if anything that they follow from changed."""
    begun = time.monotonic()
    mark = interpret.fingerprint(state.context, state.events)
    known = state.context.ledger.get("interpret", "*", 0)
    if known is not None and known.finished and known.fingerprint == mark:
        _whole(state, "interpret", 0, 1, begun)
        return
    state.record.notes += interpret.run(state.context, state.runner, state.events)
    _whole(state, "interpret", 1, 0, begun)


def _quarantine(state: _Run) -> pd.DataFrame:
    """Everything that could not be used, as far as this run looked."""
    return report.quarantine_table(state.context, state.index, [*state.problems, *state.events.problems])


def _report(state: _Run) -> None:
    """Write the page and the tables, if anything that they show changed."""
    begun = time.monotonic()
    context = state.context
    quarantine = _quarantine(state)
    state.record.report = context.config.report_folder / "report.html"
    mark = digest(report.fingerprint(context), quarantine.astype(str).to_numpy().tolist())
    known = context.ledger.get("report", "*", 0)
    if known is not None and known.fingerprint == mark and state.record.report.exists():
        _whole(state, "report", 0, 1, begun)
        return
    summary = pd.DataFrame(state.record.stages)
    plan = [stage_line(row) for row in state.record.stages]
    with context.progress.during("report: gathering and drawing"):
        report.run(context, summary, plan, state.record.notes, quarantine)
    context.ledger.add(Record("report", "*", 0, mark, "done", seconds=time.monotonic() - begun))
    _whole(state, "report", 1, 0, begun)


_STEPS: dict[str, Callable[[_Run], None]] = {
    "convert": _convert,
    "noise": _units("noise"),
    "calibrate": _units("calibrate"),
    "scatter": _units("scatter"),
    "fit": _fit,
    "classify": _units("classify"),
    "interpret": _interpret,
    "report": _report,
}

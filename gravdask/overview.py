"""Looking without touching: what an archive holds, what a run would do, what a store has."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from gravdask.archive.availability import (
    availability,
    availability_lines,
    channels_in_name,
    clipped,
    date_in_name,
    merged,
)
from gravdask.archive.index import ArchiveIndex, scan
from gravdask.archive.index_diff import below, diff, stale_lines, stale_spans
from gravdask.archive.locations import as_location, normal_root
from gravdask.archive.lookalikes import told_problems
from gravdask.config import STAGES, Config
from gravdask.errors import ConfigError, ReadError
from gravdask.execution import open_runner
from gravdask.grid import ORIGIN_NS, record_blocks, utc_text
from gravdask.pipeline import UNIT_STAGES
from gravdask.progress import Progress, grouped
from gravdask.stages import archive as archive_stage
from gravdask.stages import convert, fit
from gravdask.stages.base import Context
from gravdask.stages.description import spare_stations
from gravdask.stages.placement import ChannelPlan
from gravdask.stages.placements import Placements
from gravdask.stages.report import quarantine_table
from gravdask.stages.scanning import examples, spread, teller
from gravdask.store.layout import channel_names, open_root
from gravdask.store.ledger import Ledger
from gravdask.store.place import place_of
from gravdask.store.presence import WITNESS
from gravdask.watching import run_lines, run_values

FEW = 20
"""Up to so many lines of one kind are written one by one; more are grouped by their reason."""
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\S*/\S*|[-+]?\d[\d.,:TZe+-]*")
"""What differs between two messages of one reason: names, paths and numbers."""


def survey_archive(
    config: Config, problems: bool = False, progress: Progress | None = None, figure: Path | None = None
) -> list[str]:
    """Channels of an archive with rate, span and samples, one line each.

    Parameters
    ----------
    config
        Whose ``[archive]`` section says where to look.
    problems
        Also tell the availability of each channel in each year, what changed since the store's last scan, which files
        cannot be read, which are there twice, and how many are no records at all.
    progress
        Where the scan's progress is told.
    figure
        Where to draw the availability.

    Raises
    ------
    ConfigError, ReadError
        If no archive is named or it holds no record.
    """
    settings = config.archive
    if not settings.paths:
        msg = "no archive is named: give its folder, or set archive.paths in the configuration"
        raise ConfigError(msg)
    table, notes = archive_stage.station_table(settings)
    options = archive_stage.read_options(settings, table)
    say = (progress or Progress()).say
    with _nowhere(config) as context:
        place = place_of(config)
        previous = archive_stage.known_index(Context(config, context.ledger, context.progress))
        with closing(open_runner(config.cluster, say)) as runner:
            roots = [as_location(normal_root(path)) for path in settings.paths]
            index = scan(roots, options, previous, teller(say), spread(runner), settings.digests)
        table, more = archive_stage.with_archive_metadata(table, index.metadata_files)
        placed = archive_stage.plan_channels(context, index)
    lines, notes = [], [*notes, *more]
    spare = spare_stations(placed.plans, table)
    for plan in placed.plans:
        channel, remarks = archive_stage.describe(plan, table, spare)
        notes += [*plan.notes, *remarks]
        first, last = (utc_text(channel.grid.time_ns(k)) for k in (channel.extent[0], channel.extent[1] - 1))
        samples = int(Placements.of(plan.placements).npts.sum())
        where = f"{channel.latitude:.3f} {channel.longitude:.3f}" if channel.located else "no coordinates"
        lines.append(
            f"{plan.name:<20} {plan.rate!s:>6} {channel.kind:<8} {channel.source_unit:<8} {first} to {last}  "
            f"{samples} samples in {len(plan.placements)} traces  {where}"
        )
    spans = {plan.name: covered(plan) for plan in placed.plans}
    _draw(figure, spans, [p.path for p in told_problems(index) if p.severity == "quarantined"], ", ".join(index.roots))
    told = [f"note: {note}" for note in grouped([*notes, *placed.notes])]
    if not problems:
        return [*lines, *told]
    lines += [*availability_lines(availability(spans)), *told]
    if previous is not None:
        lines += [f"since the last run on {place}:", *change_lines(below(previous, index.roots), index)]
    return [*lines, *_problem_lines(index)]


def covered(plan: ChannelPlan) -> NDArray[np.int64]:
    """Spans with samples of a channel [ns since 1970], shape (spans, 2), from the places of its traces."""
    samples = merged(Placements.of(plan.placements).spans)
    return _times(plan.rate.interval_ns.numerator, plan.rate.interval_ns.denominator, plan.phases, samples)


def _times(step: int, parts: int, phases: list[tuple[int, int]], samples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn sample numbers into times, with the phase of their first sample."""
    phase = np.array([p for _, p in phases], np.int64)[
        np.searchsorted([k for k, _ in phases], samples[:, :1], "right").clip(1) - 1
    ]
    times: NDArray[np.int64] = ORIGIN_NS + phase + samples // parts * step + samples % parts * step // parts
    return times


def change_lines(previous: ArchiveIndex, current: ArchiveIndex) -> list[str]:
    """What changed between two scans, in files, spans and days."""
    change = diff(previous, current)
    if not change:
        return [f"archive    nothing changed in {len(current.files)} files"]
    lines = [f"archive    {change.in_words()}"]
    for word, paths in (("new", change.added), ("changed", change.changed), ("removed", change.removed)):
        if paths:
            lines.append(f"           {word}: {examples([str(p) for p in paths])}")
    if change.moved:
        lines.append(f"           moved: {examples([f'{old} to {new}' for old, new in change.moved])}")
    stale = stale_lines(stale_spans(previous, current))
    if not stale:
        return [*lines, "           no span of any channel is touched by that"]
    more = [f"           stale {len(stale) - FEW} more channels"] if len(stale) > FEW else []
    return [*lines, *(f"           stale {line}" for line in stale[:FEW]), *more]


def _problem_lines(index: ArchiveIndex) -> list[str]:
    """Files that cannot be read, that are there twice, and the number of those that are no records."""
    lines, problems = [], told_problems(index)
    for severity in ("quarantined", "note"):
        rows = [(p.path, p.line, p.what, p.cure) for p in problems if p.severity == severity]
        lines += grouped_lines(severity, rows)
    lines += [f"note: {text}" for text in archive_stage.duplicate_notes(index)]
    ignored = [p for p in problems if p.severity == "ignored"]
    if ignored:
        names = ", ".join(Path(p.path).name for p in ignored[:5])
        lines.append(
            f"{len(ignored)} files are no records and were ignored: {names}{' ...' if len(ignored) > 5 else ''}"
        )
    return lines


def grouped_lines(word: str, rows: list[tuple[str, int, str, str]]) -> list[str]:
    """Write (where, line, what, cure) one by one, or, if they are many, a line for each reason with first examples."""
    if len(rows) <= FEW:
        return [
            f"{word}: {where}{f', line {line}' if line else ''}: {what}{f'; {cure}' if cure else ''}"
            for where, line, what, cure in rows
        ]
    groups: dict[str, list[tuple[str, int, str, str]]] = {}
    for row in rows:
        groups.setdefault(_PARTICULAR.sub("#", row[2]), []).append(row)
    lines = [f"{word}: {len(rows)} in all, by reason:"]
    for members in sorted(groups.values(), key=len, reverse=True):
        _, _, what, cure = members[0]
        lines.append(f"{word}: {len(members)} x {what}{f'; {cure}' if cure else ''}")
        lines.append(f"    in {examples([f'{where}, line {line}' if line else where for where, line, *_ in members])}")
    return lines


@contextmanager
def _nowhere(config: Config) -> Iterator[Context]:
    """Context without a store."""
    with tempfile.TemporaryDirectory() as folder:
        yield Context(config, Ledger(Path(folder)), Progress())


def plan_lines(config: Config, progress: Progress) -> list[str]:
    """What a run would do now, a line for each stage; later stages count what they know before the earlier ones run.

    Raises
    ------
    ConfigError, ReadError
        If no archive is named or it holds no record.
    """
    place = place_of(config)
    if not (place / "zarr.json").exists():
        survey = survey_archive(config, progress=progress)
        return [*survey, f"the store {place} does not exist yet: every stage will run"]
    context = Context(config, Ledger(place / "ledger"), progress)
    context.reload()
    lines, converting = [], False
    if config.archive.paths:
        table, said = archive_stage.station_table(config.archive)
        previous = archive_stage.known_index(context)
        with closing(open_runner(config.cluster, progress.say)) as runner:
            index, notes = archive_stage.scan_archive(context, table, keep=False, runner=runner)
        placed = archive_stage.plan_channels(context, index)
        options = archive_stage.read_options(config.archive, table)
        planned = convert.plan(context, [*placed.plans, *archive_stage.emptied(context, placed.plans)], options)
        lines += change_lines(previous, index) if previous is not None else []
        lines += [f"note: {note}" for note in [*said, *notes]]
        lines.append(
            f"convert    {len(planned.tasks)} units ({planned.parts} chunks) to do, {planned.current} up to date"
        )
        converting = bool(len(planned.tasks))
        if converting:
            lines.append("           and in the stages below what these chunks touch, beside what is counted here")
        for name in sorted(set(planned.tasks.channels) - set(context.channels)):
            lines.append(f"           new channel {name}")
    for name, stage in UNIT_STAGES.items():
        planned = stage.plan(context)
        rest = f"{planned.current} as long as convert finds nothing" if converting else f"{planned.current} up to date"
        lines.append(f"{name:<10} {len(planned.tasks)} units ({planned.parts} parts) to do, {rest}")
    wanted = fit.needs_fit(context)
    lines.append(f"fit        {', '.join(wanted) if wanted else 'no rate'} to fit")
    lines += [f"note: {note}" for note in context.presence.notes()]
    return sorted(lines, key=lambda text: STAGES.index(text.split()[0]) if text.split()[0] in STAGES else 0)


def status_values(config: Config) -> dict[str, Any]:
    """Tell a machine of a store's runs, channels and units.

    Returns
    -------
    values
        ``store``, ``time``, ``running``, ``starting``, ``lost``, ``last``: see `gravdask.watching.run_values`;
        ``channels``: names; ``stages``: for each stage the number of its units by status (done, empty, begun,
        quarantined).

    Raises
    ------
    StoreError
        If there is no store.
    """
    place = place_of(config)
    values = run_values(place)
    ledger = Ledger(place / "ledger")
    stages = {stage: dict(_counts(ledger, stage)) for stage in STAGES}
    return {**values, "channels": channel_names(open_root(place)), "stages": stages}


def status_lines(config: Config, figure: Path | None = None) -> list[str]:
    """What a store holds: runs, channels, finished and lost units, models, availability, and what is quarantined.

    Parameters
    ----------
    config
        Says where the store is.
    figure
        Where to draw the availability.

    Raises
    ------
    StoreError
        If there is no store.
    """
    place = place_of(config)
    root = open_root(place)
    context = Context(config, Ledger(place / "ledger"), Progress())
    context.reload()
    lines = [f"store {place}, {len(context.channels)} channels", *run_lines(place), *context.ledger.damaged]
    for channel in context.channels.values():
        first, last = (utc_text(channel.grid.time_ns(k)) for k in (channel.extent[0], channel.extent[1] - 1))
        measured = channel.source_unit or channel.quantity if channel.kind == "other" else channel.quantity
        lines.append(f"  {channel.name:<20} {channel.rate!s:>6} {measured:<13} {first} to {last}")
    for stage in STAGES:
        counts = _counts(context.ledger, stage)
        parts = [f"{counts[s]} {s}" for s in ("done", "empty", "begun", "quarantined") if counts[s]]
        lines.append(f"{stage:<10} {', '.join(parts) if parts else 'nothing yet'}")
    lines += lost_lines(context)
    models = root.get("model")
    for name, group in models.groups() if isinstance(models, zarr.Group) else ():
        current: Any = dict(group.attrs).get("current", {})
        lines.append(f"model      {name}: {', '.join(map(str, current.values()))}")
    index = archive_stage.known_index(context)
    spans = stored_spans(context, index)
    if index is None and spans:  # the last words are on why it cannot be read
        why = context.progress.said.removeprefix("scanning anew: ") or "the store has no index of its archive"
        lines.append(f"note: {why}; what is available is told in whole chunks of about a day")
    lines += availability_lines(availability(spans))
    found = quarantine_table(context, index, [])
    _draw(figure, spans, [str(where) for where in found["where"]], str(place))
    line_numbers = found["line"].fillna(0).astype(int)
    rows_of = list(zip(found["where"], line_numbers, found["what"], found["cure"], strict=True))
    return [*lines, *grouped_lines("quarantined", rows_of)]


def _counts(ledger: Ledger, stage: str) -> Counter[str]:
    """Units of a stage by their status; records of a whole channel, whose number is negative, are none."""
    return Counter(record.status for record in ledger.of_stage(stage) if record.unit >= 0)


def lost_lines(context: Context) -> list[str]:
    """Shards that the ledger speaks of and the store does not hold as they were written, in words."""
    for stage in WITNESS:
        for record in context.ledger.of_stage(stage):
            context.presence.lacks(record)
    notes = context.presence.notes()
    cure = ["           'gravdask run' makes them again, or the command of each stage, 'gravdask convert' first"]
    return [*(f"damaged    {note}" for note in notes), *(cure if notes else [])]


def stored_spans(context: Context, index: ArchiveIndex | None) -> dict[str, NDArray[np.int64]]:
    """Spans with samples in the store's records [ns since 1970]: what was converted of each trace of the index.

    Where the index does not tell of a channel, whole chunks (about a day each) stand for what they hold.
    """
    plans: dict[str, ChannelPlan] = {}
    if index is not None:
        try:
            plans = {plan.name: plan for plan in archive_stage.plan_channels(context, index).plans}
        except ReadError:  # nothing of the archive is chosen; the chunks tell
            plans = {}
    spans = {}
    for channel in context.chosen():
        blocks = record_blocks(channel.rate)
        chunks = np.array(sorted(context.record_content(channel)), np.int64)
        held = merged(np.stack([chunks, chunks + 1], axis=1) * blocks.chunk)
        if channel.name in plans:
            held = clipped(merged(Placements.of(plans[channel.name].placements).spans), held)
        step = channel.rate.interval_ns
        spans[channel.name] = _times(step.numerator, step.denominator, list(channel.phases), held)
    return spans


def _draw(figure: Path | None, spans: dict[str, NDArray[np.int64]], bad: list[str], title: str) -> None:
    """Draw the availability, with a mark where a file that cannot be used belongs by its name."""
    if figure is None:
        return
    from gravdask.report.availability import availability_figure, save_availability

    times: dict[str, list[int]] = {}
    others: list[int] = []
    for location in bad:
        when = date_in_name(location)
        if when is not None:
            named = channels_in_name(location, list(spans))
            for channel in named:
                times.setdefault(channel, []).append(when)
            others += [] if named else [when]
    drawn = availability_figure(spans, {name: np.array(found) for name, found in times.items()}, others, title)
    if drawn is not None:
        save_availability(figure, drawn)

"""Looking without touching: what an archive holds, what a run would do, what a store has."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import zarr

from gravdask.archive.index import ArchiveIndex, scan
from gravdask.config import STAGES, Config
from gravdask.errors import ConfigError
from gravdask.grid import utc_text
from gravdask.pipeline import UNIT_STAGES
from gravdask.progress import Progress
from gravdask.stages import archive as archive_stage
from gravdask.stages import convert, fit
from gravdask.stages.base import Context
from gravdask.stages.report import quarantine_table
from gravdask.store.layout import open_root
from gravdask.store.ledger import Ledger


def survey_archive(config: Config, problems: bool = False) -> list[str]:
    """Channels of an archive with rate, span and samples, one line each.

    Parameters
    ----------
    config
        Whose ``[archive]`` section says where to look.
    problems
        Also list the files that cannot be read, and how many are no records at all.

    Raises
    ------
    ConfigError, ReadError
        If no archive is named or it holds no record.
    """
    settings = config.archive
    if not settings.paths:
        msg = "no archive is named: give its folder, or set archive.paths in the configuration"
        raise ConfigError(msg)
    table, _ = archive_stage.station_table(settings)
    options = archive_stage.read_options(settings, table)
    index = scan([Path(p).expanduser() for p in settings.paths], options)
    table, notes = archive_stage.station_table(settings, index.metadata_files)
    with _nowhere(config) as context:
        placed = archive_stage.plan_channels(context, index)
    lines = []
    for plan in placed.plans:
        channel, remarks = archive_stage.describe(plan, table)
        notes += [*plan.notes, *remarks]
        first, last = (utc_text(channel.grid.time_ns(k)) for k in (channel.extent[0], channel.extent[1] - 1))
        samples = sum(p.npts for p in plan.placements)
        place = f"{channel.latitude:.3f} {channel.longitude:.3f}" if channel.located else "no coordinates"
        lines.append(
            f"{plan.name:<20} {plan.rate!s:>6} {channel.kind:<8} {channel.source_unit:<8} {first} to {last}  "
            f"{samples} samples in {len(plan.placements)} traces  {place}"
        )
    lines += [f"note: {note}" for note in dict.fromkeys([*notes, *placed.notes])]
    return [*lines, *_problem_lines(index)] if problems else lines


def _problem_lines(index: ArchiveIndex) -> list[str]:
    """Files that cannot be read, and the number of those that are no records."""
    lines = [f"{p.severity}: {p}" for p in index.problems if p.severity != "ignored"]
    ignored = [p for p in index.problems if p.severity == "ignored"]
    if ignored:
        names = ", ".join(Path(p.path).name for p in ignored[:5])
        lines.append(
            f"{len(ignored)} files are no records and were ignored: {names}{' ...' if len(ignored) > 5 else ''}"
        )
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
    if not (config.store_path / "zarr.json").exists():
        return [*survey_archive(config), f"the store {config.store_path} does not exist yet: every stage will run"]
    context = Context(config, Ledger(config.store_path / "ledger"), progress)
    context.reload()
    lines = []
    if config.archive.paths:
        table, _ = archive_stage.station_table(config.archive)
        index, _ = archive_stage.scan_archive(context, table, keep=False)
        placed = archive_stage.plan_channels(context, index)
        options = archive_stage.read_options(config.archive, table)
        planned = convert.plan(context, placed.plans, options)
        lines.append(
            f"convert    {len(planned.tasks)} units ({planned.parts} chunks) to do, {planned.current} up to date"
        )
        if planned.tasks:
            lines.append("           and in the stages below what these chunks touch, which is counted after convert")
        for name in sorted({t.channel for t in planned.tasks} - set(context.channels)):
            lines.append(f"           new channel {name}")
    for name, stage in UNIT_STAGES.items():
        planned = stage.plan(context)
        lines.append(
            f"{name:<10} {len(planned.tasks)} units ({planned.parts} parts) to do, {planned.current} up to date"
        )
    wanted = fit.needs_fit(context)
    lines.append(f"fit        {', '.join(wanted) if wanted else 'no rate'} to fit")
    return sorted(lines, key=lambda text: STAGES.index(text.split()[0]) if text.split()[0] in STAGES else 0)


def status_lines(config: Config) -> list[str]:
    """What a store holds: channels, finished units of each stage, models, and what is quarantined.

    Raises
    ------
    StoreError
        If there is no store.
    """
    root = open_root(config.store_path)
    context = Context(config, Ledger(config.store_path / "ledger"), Progress())
    context.reload()
    lines = [f"store {config.store_path}, {len(context.channels)} channels"]
    for channel in context.channels.values():
        first, last = (utc_text(channel.grid.time_ns(k)) for k in (channel.extent[0], channel.extent[1] - 1))
        lines.append(f"  {channel.name:<20} {channel.rate!s:>6} {channel.quantity:<13} {first} to {last}")
    rows = [(r.stage, r.status) for stage in STAGES for r in context.ledger.of_stage(stage)]
    counts = pd.Series(rows, dtype=object).value_counts()
    for stage in STAGES:
        parts = [f"{counts[stage, s]} {s}" for s in ("done", "empty", "begun", "quarantined") if (stage, s) in counts]
        lines.append(f"{stage:<10} {', '.join(parts) if parts else 'nothing yet'}")
    models = root.get("model")
    for name, group in models.groups() if isinstance(models, zarr.Group) else ():
        current: Any = dict(group.attrs).get("current", {})
        lines.append(f"model      {name}: {', '.join(map(str, current.values()))}")
    index = archive_stage.known_index(context)
    for row in quarantine_table(context, index, []).to_dict("records"):
        lines.append(f"quarantined: {row['where']}: {row['what']}; {row['cure']}")
    return lines

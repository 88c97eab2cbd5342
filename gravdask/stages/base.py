"""What every stage shares: the context of a run, the task that travels to a worker, and how stale parts are found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest

from gravdask.config import Config, digest
from gravdask.preprocess.pressure import NOMINAL_ADMITTANCE
from gravdask.progress import Progress
from gravdask.stages.channels import Channel, RecordReader, feature_channel, load_channels
from gravdask.stages.selection import matches
from gravdask.store.layout import open_root
from gravdask.store.ledger import Ledger, Record
from gravdask.store.place import Place, place_of
from gravdask.store.presence import Presence

VERSIONS = {
    "convert": 1,
    "noise": 1,
    "calibrate": 1,
    "scatter": 2,
    "fit": 1,
    "classify": 1,
    "interpret": 1,
    "report": 2,
}
"""Raised by one when a stage's values change for the same input and configuration; part of every fingerprint."""

UNREAD = "unread"
"""Stands for the digest of inputs that could not be read."""


@dataclass
class Context:
    """What the client knows during a run.

    Attributes
    ----------
    config
        The configuration.
    ledger
        The records of finished units.
    progress
        Where progress is told.
    channels
        Channels of the store that the run is about, by name; filled by `reload`.
    part
        Which share of the units this client works on, as (i, n).
    """

    config: Config
    ledger: Ledger
    progress: Progress
    part: tuple[int, int] = (0, 1)
    patterns: tuple[str, ...] = ("*",)
    channels: dict[str, Channel] = field(default_factory=dict)
    _presence: Presence | None = None

    @cached_property
    def store(self) -> Place:
        """Place of the store."""
        return place_of(self.config)

    @property
    def presence(self) -> Presence:
        """Shards that are really there, as far as they were listed."""
        if self._presence is None:
            self._presence = Presence(self.store)
        return self._presence

    def root(self, create: bool = False) -> zarr.Group:
        """Root group of the store, to be written below where ``create`` says so."""
        return open_root(self.store, write=create)

    def reload(self) -> None:
        """Read the channels' attributes from the store."""
        self.channels = load_channels(self.root())

    def chosen(self) -> list[Channel]:
        """Channels that the run is about: those that match the patterns, sorted by name."""
        patterns = self.config.archive.select
        names = (n for n in self.channels if matches(n, patterns) and matches(n, self.patterns))
        return [self.channels[n] for n in sorted(names)]

    def signals(self) -> list[Channel]:
        """Chosen channels that carry ground motion: everything but air pressure."""
        return [c for c in self.chosen() if c.kind in {"gravity", "seismic"}]

    def features(self) -> list[Channel]:
        """Chosen channels that carry ground motion as their features see them: at the rate of the features."""
        return [feature_channel(c, self.config.preprocess) for c in self.signals()]

    def reader(self, channel: Channel, estimated: bool = True) -> RecordReader:
        """Make the reader of a channel's record with the admittance and the drift that apply to it.

        Parameters
        ----------
        channel
            The channel.
        estimated
            Whether estimates may be used; the noise convention has a fixed admittance, a daily polynomial of its own,
            and looks at every day by itself.
        """
        settings = self.config.preprocess
        admittance = NOMINAL_ADMITTANCE if settings.admittance == "regressed" else settings.admittance
        drift = 0.0
        # Sizes that the log states hold until the calibrate stage has looked at them.
        steps = [(int(when), float(size)) for when, size in channel.log_steps if size is not None]
        record = self.ledger.get("calibrate", channel.name, -1)
        if estimated and record is not None and record.finished:
            steps = [(int(when), float(size)) for when, size in record.info.get("steps", steps)]
            drift = float(record.info.get("drift") or 0.0) if settings.drift else 0.0
            if settings.admittance == "regressed":
                admittance = float(record.info.get("admittance") or NOMINAL_ADMITTANCE)
        pressure = self.channels.get(channel.pressure)
        known = tuple(steps) if estimated else ()
        return RecordReader(self.store, channel, pressure, settings, admittance, drift, seams=estimated, steps=known)

    def record_content(self, channel: Channel) -> dict[int, str]:
        """Digest of every chunk of a channel's record that holds something, by chunk number."""
        return {
            int(chunk): text
            for record in self.ledger.of_stage("convert", channel.name)
            if record.finished
            for chunk, text in record.content.items()
        }


@dataclass(frozen=True)
class Task:
    """One unit of work on its way to a worker.

    Attributes
    ----------
    stage, channel, unit
        The unit.
    fingerprint
        Digest of everything that its values follow from.
    cells
        Digest of the inputs of each part (chunk, day, segment) that has any input.
    stale
        Parts to compute; the others stand in the store already.
    payload
        What the stage's function needs besides: small, plain values.
    """

    stage: str
    channel: str
    unit: int
    fingerprint: str
    cells: dict[str, str]
    stale: tuple[int, ...]
    payload: dict[str, Any]

    def without(self, parts: Iterable[int]) -> Task:
        """Give the task with some parts whose inputs could not be had: a later run finds these parts stale."""
        missed = dict.fromkeys(map(str, parts), UNREAD)
        return replace(self, fingerprint="", cells=self.cells | missed) if missed else self

    def record(self, status: str = "done", **values: Any) -> Record:  # noqa: ANN401
        """Record of this unit as it stands in the ledger."""
        return Record(self.stage, self.channel, self.unit, self.fingerprint, status, cells=self.cells, **values)


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline.

    Attributes
    ----------
    name
        Its name, as on the command line.
    plan
        Gives the tasks that are out of date and how many units are up to date.
    work
        Does one task on a worker.
    prepare
        Called by the client before the tasks start: makes the arrays that they write to.
    finish
        Called by the client when all units are through, with the records of this run; gives notes.
    """

    name: str
    plan: Callable[[Context], Plan]
    work: Callable[[Task], Record]
    prepare: Callable[[Context, list[Task]], None] | None = None
    finish: Callable[[Context, list[Record]], list[str]] | None = None


@dataclass(frozen=True)
class Plan:
    """What a stage has to do.

    Attributes
    ----------
    tasks
        Units out of date.
    current
        Units up to date.
    notes
        What a person should know: refused channels, new phases, overlaps.
    parts
        Parts (chunks, days, segments) that the tasks will compute.
    """

    tasks: list[Task]
    current: int
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, made: Iterable[Task | None], notes: Iterable[str] = ()) -> Plan:
        """Sum up what `make_task` gave for every unit: a task, or None for one that is up to date."""
        units = list(made)
        tasks = [task for task in units if task is not None]
        return cls(tasks, len(units) - len(tasks), list(notes))

    @property
    def parts(self) -> int:
        """Parts (chunks, days, segments) that the tasks will compute."""
        return sum(len(t.stale) for t in self.tasks)


def anywhere(cell: int) -> bool:
    """Every part lies within an open span of time."""
    del cell
    return True


def make_task(
    context: Context,
    stage: str,
    channel: str,
    unit: int,
    cells: dict[str, str],
    settings: str,
    payload: dict[str, Any],
    inside: Callable[[int], bool] = anywhere,
) -> Task | None:
    """Compare a unit with the ledger, and the ledger with the store; None where nothing is to be done.

    Parameters
    ----------
    cells
        Digest of the inputs of each part of the unit.
    settings
        Digest of everything that all parts depend on: configuration, channel, version. When it changes, every part
        is stale.
    payload
        For the stage's function.
    inside
        Whether a part lies in the span of time that the run is about. The others stay as they are in the store; if
        they cannot stay, because all parts are stale, they are done again with the rest.
    """
    record = context.ledger.get(stage, channel, unit)
    finished = record is not None and record.finished and not context.presence.lacks(record)
    kept = record.cells if record is not None else {}
    stays = record is not None and finished and record.info.get("settings") == settings
    asked = {c: d for c, d in cells.items() if inside(int(c)) or (not stays and c in kept)}
    cells = asked | ({c: d for c, d in kept.items() if not inside(int(c))} if stays else {})
    fingerprint = digest(VERSIONS[stage], settings, cells)
    if record is not None and finished and record.fingerprint == fingerprint:
        return None
    if record is None and not cells:
        return None
    old = kept if stays else {}
    changed = {c for c in cells.keys() | old.keys() if cells.get(c) != old.get(c)}
    payload = {**payload, "settings": settings, "fresh": not stays}
    return Task(stage, channel, unit, fingerprint, cells, tuple(sorted(int(c) for c in changed)), payload)


def group_cells(cells: dict[int, str], units: Callable[[int], Iterable[int]]) -> dict[int, dict[str, str]]:
    """Distribute parts over the units that hold them, each unit's parts in order."""
    grouped: dict[int, dict[str, str]] = {}
    for cell in sorted(cells):
        for unit in units(cell):
            grouped.setdefault(unit, {})[str(cell)] = cells[cell]
    return grouped


def unit_of(shard: int, cell: int) -> tuple[int]:
    """Unit that holds a part, where parts do not cross units."""
    return (cell // shard,)


def known_units(context: Context, stage: str, channel: str) -> set[int]:
    """Units of a channel that the ledger knows: they must be looked at even when no input is left."""
    return {r.unit for r in context.ledger.of_stage(stage, channel) if r.unit >= 0}


def content_digest(values: NDArray[Any]) -> str:
    """Short digest of an array's bytes.

    It says whether values changed, and is no safeguard against someone who means to make two contents look alike.
    """
    return xxh3_64_hexdigest(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)

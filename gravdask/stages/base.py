"""What every stage shares: the context of a run, the task that travels to a worker, and how stale parts are found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest

from gravdask.archive.traces import MOTION
from gravdask.config import Config, digest
from gravdask.preprocess.pressure import NOMINAL_ADMITTANCE
from gravdask.progress import Progress
from gravdask.stages.channels import Channel, RecordReader, feature_channel, load_channels
from gravdask.stages.planning import ChannelTasks, Extent, Plan, Task
from gravdask.stages.selection import matches
from gravdask.store.layout import open_root
from gravdask.store.ledger import Ledger, Record
from gravdask.store.place import Place, place_of
from gravdask.store.presence import Presence
from gravdask.store.runlog import RunLog
from gravdask.store.turn import Turns

__all__ = [
    "VERSIONS",
    "ChannelTasks",
    "Context",
    "Extent",
    "Plan",
    "Stage",
    "Task",
    "anywhere",
    "content_digest",
    "group_cells",
    "known_units",
    "make_task",
    "unit_of",
]

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
    log
        Follows the run.
    turns
        Takes turns with other clients of the store; None where there are none.
    """

    config: Config
    ledger: Ledger
    progress: Progress
    part: tuple[int, int] = (0, 1)
    patterns: tuple[str, ...] = ("*",)
    channels: dict[str, Channel] = field(default_factory=dict)
    log: RunLog = field(default_factory=RunLog)
    turns: Turns | None = None
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

    def turn(self, needed: Callable[[], bool] = lambda: True) -> AbstractContextManager[bool]:
        """Make groups, arrays or attributes while no other client does; see `gravdask.store.turn.Turns.take`."""
        return nullcontext(needed()) if self.turns is None else self.turns.take(needed)

    def guard(self) -> None:
        """Make sure that this client may still write, before it does; see `gravdask.store.lease.Lease.check`."""
        if self.turns is not None:
            self.turns.lease.check()

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
        return [c for c in self.chosen() if c.kind in MOTION]

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
        Called by the client before tasks start, with all of a channel at once: makes the arrays that they write to.
    finish
        Called by the client when all units are through, with what this run found, in one record a channel that ran
        (its ``info`` has the sums of the findings named in ``counted``); gives notes.
    counted
        Findings of the units that are summed up for ``finish``.
    """

    name: str
    plan: Callable[[Context], Plan]
    work: Callable[[Task], Record]
    prepare: Callable[[Context, list[Task]], None] | None = None
    finish: Callable[[Context, list[Record]], list[str]] | None = None
    counted: tuple[str, ...] = ()


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
    payload: dict[str, Any] | Callable[[int], dict[str, Any]],
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
        For the stage's function; or what makes it of the unit's number, where it is not the same for all units.
    inside
        Whether a part lies in the span of time that the run is about. The others stay as they are in the store; if
        they cannot stay, because all parts are stale, they are done again with the rest.
    """
    record = context.ledger.get(stage, channel, unit)
    finished = record is not None and record.finished and not context.presence.lacks(record)
    kept = record.cells if record is not None else {}
    stays = record is not None and finished and record.info.get("settings") == settings
    if inside is not anywhere:
        asked = {c: d for c, d in cells.items() if inside(int(c)) or (not stays and c in kept)}
        cells = asked | ({c: d for c, d in kept.items() if not inside(int(c))} if stays else {})
    fingerprint = digest(VERSIONS[stage], settings, cells)
    if record is not None and finished and record.fingerprint == fingerprint:
        return None
    if record is None and not cells:
        return None
    old = kept if stays else {}
    changed = {c for c in cells.keys() | old.keys() if cells.get(c) != old.get(c)}
    needed = payload(unit) if callable(payload) else payload
    needed = {**needed, "settings": settings, "fresh": not stays}
    return Task(stage, channel, unit, fingerprint, cells, tuple(sorted(int(c) for c in changed)), needed)


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

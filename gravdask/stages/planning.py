"""Plans that know how much is to be done, and make the tasks channel by channel when their turn comes.

A task of a fast channel is thousands of bytes, and a network has millions of units: what is kept of a large plan is the
number of each unit and of its parts. A channel is planned again when its tasks are asked for, and gives the same ones:
what the ledger knows of it changes only when they are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.store.ledger import Record

KEEP_TASKS = 10_000
"""Up to so many tasks of a plan are kept as they were made, so that a small plan is made once."""
UNREAD = "unread"
"""Stands for the digest of inputs that could not be read."""


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
        if not missed:
            return self
        cells = self.cells | missed
        return Task(self.stage, self.channel, self.unit, "", cells, self.stale, self.payload)

    def record(self, status: str = "done", **values: Any) -> Record:  # noqa: ANN401
        """Record of this unit as it stands in the ledger."""
        return Record(self.stage, self.channel, self.unit, self.fingerprint, status, cells=self.cells, **values)


@dataclass(frozen=True)
class Extent:
    """How much of a channel is to be done.

    Attributes
    ----------
    units, parts
        Numbers of the units out of date, and how many parts of each are stale, both of shape (tasks,).
    current
        How many units are up to date.
    """

    units: NDArray[np.int64]
    parts: NDArray[np.int64]
    current: int


@dataclass(frozen=True)
class ChannelTasks:
    """How a channel's units are compared with the ledger.

    Attributes
    ----------
    channel
        Its name.
    make
        Gives a task for every unit, or None where it is up to date; may be called again, and gives the same then.
    count
        Tells how much there is to do without making the tasks, where that is possible; None where it is not.
    """

    channel: str
    make: Callable[[], Iterable[Task | None]]
    count: Callable[[], Extent | None] = lambda: None


@dataclass
class _Share:
    """Tasks of one channel: their numbers, and the tasks themselves if they are kept.

    The place is that of the channel's name among all channels of the stage, also those with nothing to do.
    """

    channel: str
    place: int
    extent: Extent
    make: Callable[[], Iterable[Task | None]]
    kept: list[Task] | None = None

    def tasks(self) -> list[Task]:
        """Make the tasks, or give those that are kept."""
        if self.kept is not None:
            return self.kept
        wanted = set(self.extent.units.tolist())
        return [task for task in self.make() if task is not None and task.unit in wanted]


class Tasks:
    """The tasks of a plan in their order, channel by channel; sized, and made anew each time they are gone through."""

    def __init__(self, shares: list[_Share]) -> None:
        self._shares = shares

    def __len__(self) -> int:
        """Number of tasks."""
        return sum(share.extent.units.size for share in self._shares)

    def __iter__(self) -> Iterator[Task]:
        """Go through the tasks with one channel in memory at a time."""
        for share in self._shares:
            yield from share.tasks()

    @property
    def parts(self) -> int:
        """Parts (chunks, days, segments) that the tasks will compute."""
        return sum(int(share.extent.parts.sum()) for share in self._shares)

    @property
    def channels(self) -> list[str]:
        """Channels of the tasks, in their order."""
        return [share.channel for share in self._shares]

    def share(self, i: int, n: int) -> Tasks:
        """Every n-th unit of the stage, as far as it is to be done: what falls to the i-th of n jobs.

        Counted among all units of all channels of the stage, not among those that are to be done: these depend on what
        other jobs have finished. Units of the same span are dealt out one by one, as are those of a channel.
        """
        if n == 1:
            return self
        chosen = []
        for share in self._shares:
            units = share.extent.units
            mine = (units + share.place) % n == i
            extent = Extent(units[mine], share.extent.parts[mine], 0)
            numbers = set(extent.units.tolist())
            kept = None if share.kept is None else [t for t in share.kept if t.unit in numbers]
            if numbers:
                chosen.append(_Share(share.channel, share.place, extent, share.make, kept))
        return Tasks(chosen)

    def groups(self, least: int) -> Iterator[list[Task]]:
        """Go through the tasks in groups of whole channels, each of at least so many but the last."""
        group: list[Task] = []
        for share in self._shares:
            group += share.tasks()
            if len(group) >= least:
                yield group
                group = []
        if group:
            yield group


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
    """

    tasks: Tasks
    current: int
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, channels: Iterable[ChannelTasks], notes: Iterable[str] = ()) -> Plan:
        """Look at every channel once and sum up what is to be done.

        Parameters
        ----------
        channels
            In the order in which they will be done.
        notes
            May be added to while the channels are looked at.
        """
        shares, current, kept, names = [], 0, 0, []
        for channel in channels:
            names.append(channel.channel)
            extent, tasks = channel.count(), None
            if extent is None:
                units = list(channel.make())
                tasks = [task for task in units if task is not None]
                numbers = np.array([t.unit for t in tasks], np.int64)
                sizes = np.array([len(t.stale) for t in tasks], np.int64)
                extent = Extent(numbers, sizes, len(units) - len(tasks))
                kept += len(tasks)
            current += extent.current
            if extent.units.size:
                keeps = tasks if kept <= KEEP_TASKS else None
                shares.append(_Share(channel.channel, 0, extent, channel.make, keeps))
        places = {name: place for place, name in enumerate(sorted(names))}
        shares = [replace(share, place=places[share.channel]) for share in shares]
        return cls(Tasks(shares), current, list(notes))

    @property
    def parts(self) -> int:
        """Parts (chunks, days, segments) that the tasks will compute."""
        return self.tasks.parts

"""What the objects of one stage of the ledger say together, with bounded memory however many there are.

Compacted parts are read again when a channel is asked for. Segments are held as lines until they are compacted; beyond
a bound they are held as parts in a folder of this client's own. Nothing here trusts the order of objects: every line
has its own, so that objects may be compacted in any choice, by several clients at once, while others write.
"""

from __future__ import annotations

from collections.abc import Callable

from xxhash import xxh3_64_hexdigest

from gravdask.errors import StoreError
from gravdask.store.compacted import DamagedError, Files, Part, opened, read_part, run_of, write_run
from gravdask.store.place import Place
from gravdask.store.segments import Row, Segment, fault_of, latest, read_old_parquet, read_segment, stamp_of

READ_ATTEMPTS = 10
READ_TOGETHER = 8
HELD_BYTES = 32 * 2**20
HELD_SEGMENTS = 2000
"""Bytes of lines, and segments, that are held in memory of what other clients left."""
GATHER_SEGMENTS = 40
GATHER_BYTES = 16 * 2**20
"""Segments of this client, and bytes of lines in them, from which on they are compacted while it works."""
RUNS_ALIKE = 8
"""Compacted objects of about one size (within this factor) from which on they are made one."""
RUN_BYTES = 2**20
"""Compacted objects below this size are all alike."""


class StageRecords:
    """Lines of one stage.

    Parameters
    ----------
    folder
        Of the stage.
    names
        Lists the names of its segments and compacted objects, the oldest first.
    scratch
        Gives a folder of this client's own, where lines are kept that would be too many for its memory.

    Attributes
    ----------
    damaged
        Objects that cannot be read, with the reason.
    """

    def __init__(self, folder: Place, names: Callable[[], list[str]], scratch: Callable[[], Place]) -> None:
        self.folder = folder
        self.damaged: dict[str, str] = {}
        self._names, self._scratch = names, scratch
        self._known: set[str] = set()
        self._segments: dict[str, Segment] = {}
        self._parts: dict[str, Part] = {}
        self._spilled: list[Part] = []
        self._spilled_names: set[str] = set()
        self._own_segments: list[str] = []
        self._own_runs: set[str] = set()
        self._files = Files()
        self._by_channel: dict[str, list[Part]] | None = None
        self._limits: dict[str, tuple[int, set[str]]] = {}

    # ------------------------------------------------------------------------------------------------------- reading

    def refresh(self) -> None:
        """Read what is new in the store, and let go of what is gone; also while other clients compact.

        Raises
        ------
        StoreError
            If an object is of another form, or objects go on vanishing while they are read.
        """
        for _ in range(READ_ATTEMPTS):
            names = self._names()
            for gone in self._known.difference(names):
                self._forget(gone)
            if self._read([name for name in names if name not in self._known]):
                return
        msg = f"{self.folder}: its objects vanish while they are read; another client compacts it again and again"
        raise StoreError(msg)

    def _forget(self, name: str) -> None:
        """Let go of an object; what it said is in others."""
        self._known.discard(name)
        self._spilled_names.discard(name)
        self._segments.pop(name, None)
        self._parts.pop(name, None)
        self.damaged.pop(name, None)
        self._changed()

    def _changed(self) -> None:
        """Let go of what was concluded from the objects."""
        self._by_channel = None
        self._limits = {}

    def _read(self, names: list[str]) -> bool:
        """Read objects; tells whether all were still there."""
        for first in range(0, len(names), READ_TOGETHER):
            some = names[first : first + READ_TOGETHER]
            try:
                contents = self.folder.read_many(some)
            except FileNotFoundError:
                return False
            for name, content in zip(some, contents, strict=True):
                self._take(name, content)
        return True

    def _take(self, name: str, content: bytes) -> None:
        """Take an object in, as far as it can be read."""
        place = self.folder / name
        if run_of(name):
            reason = fault_of(name, content)
            if not reason:
                self._parts[name] = read_part(place, content)
        else:
            read = read_segment if name.endswith(".jsonl") else read_old_parquet
            self._segments[name], reason = read(place, content)
        if reason:
            self.damaged[name] = reason
        self._known.add(name)
        self._changed()
        if len(self._segments) > HELD_SEGMENTS or sum(s.size for s in self._segments.values()) > HELD_BYTES:
            self._spill()

    def _spill(self) -> None:
        """Keep the lines of whole segments outside of the memory."""
        names = [name for name in self._segments if name not in self.damaged and name not in self._own_segments]
        if not names:
            return
        runs = {run_of(part.name) for part in self._spilled}
        before = self._spilled if len(runs) >= RUNS_ALIKE else []
        sources = [*opened(before), *(self._segments.pop(name) for name in names)]
        made = write_run(self._scratch(), max(map(stamp_of, names)), sources)
        for part in before:
            part.place.delete()
        self._spilled = [*(part for part in self._spilled if part not in before), *made]
        self._spilled_names.update(names)
        self._changed()

    @property
    def stamp(self) -> int:
        """Stamp of the newest object [ns]."""
        return max(map(stamp_of, self._known), default=0)

    def channels(self) -> set[str]:
        """Channels that any object speaks of."""
        return self._holding().keys() | {c for segment in self._segments.values() for c in segment.channels}

    def knows(self, channel: str) -> bool:
        """Whether any object speaks of a channel."""
        return channel in self._holding() or any(segment.rows(channel) for segment in self._segments.values())

    def _holding(self) -> dict[str, list[Part]]:
        """Parts by the channels that they speak of."""
        if self._by_channel is None:
            self._by_channel = {}
            for part in [*self._parts.values(), *self._spilled]:
                for channel in part.channels:
                    self._by_channel.setdefault(channel, []).append(part)
        return self._by_channel

    def rows(self, channel: str) -> dict[int, Row]:
        """Latest line of each unit of a channel, in the order of the units.

        Raises
        ------
        StoreError
            If an object was damaged after it was first read.
        """
        for _ in range(READ_ATTEMPTS):
            parts = self._holding().get(channel, [])
            try:
                return latest([*opened(parts, self._files), *self._segments.values()], channel)
            except FileNotFoundError:
                self.refresh()
        msg = f"{self.folder}: its objects vanish while they are read; another client compacts it again and again"
        raise StoreError(msg)

    # --------------------------------------------------------------------------------------------------------- damage

    def limit(self, channel: str) -> int:
        """Order below which a line of a channel may have been revoked by one that cannot be read any more.

        A part of a compaction speaks of other channels than the rest of that compaction.
        """
        for name in self.damaged.keys() - self._limits.keys():
            run = run_of(name)
            others = {c for other, part in self._parts.items() if run and run_of(other) == run for c in part.channels}
            self._limits[name] = 2 * stamp_of(name) + (2 if name.endswith(".jsonl") else 1), others
        return max((order for order, others in self._limits.values() if channel not in others), default=0)

    def damaged_rows(self, channel: str) -> set[Row]:
        """Lines about a channel in objects that are damaged elsewhere."""
        held = (self._segments[name].rows(channel) for name in self.damaged if name in self._segments)
        return {row for rows in held for row in rows}

    # -------------------------------------------------------------------------------------------------------- writing

    def write(self, stamp: str, lines: list[tuple[str, int, str]]) -> None:
        """Write a segment, whole or not at all.

        Parameters
        ----------
        stamp
            Beginning of the segment's name.
        lines
            Channel, unit and line of each record.
        """
        content = "".join(f"{line}\n" for _, _, line in lines).encode()
        name = f"{stamp}-{xxh3_64_hexdigest(content)}.jsonl"
        segment = Segment(name, 2 * stamp_of(name) + 1)
        for channel, unit, line in lines:
            segment.add(channel, unit, line)
        (self.folder / name).write(content)
        self._segments[name] = segment
        self._known.add(name)
        self._own_segments.append(name)

    def gather(self) -> None:
        """Compact what this client wrote itself, once it is much: nobody else waits for these objects."""
        held = [self._segments[name] for name in self._own_segments if name in self._segments]
        if len(held) < GATHER_SEGMENTS and sum(segment.size for segment in held) < GATHER_BYTES:
            return
        names = [segment.name for segment in held]
        self._own_runs.add(self._compact(names, []))
        self._own_runs.intersection_update(map(run_of, self._parts))
        for level in self._levels(self._own_runs):
            if len(level) >= RUNS_ALIKE:
                try:
                    self._own_runs.add(self._compact([], level))
                except FileNotFoundError:  # another client was faster
                    self.refresh()
                except DamagedError:
                    return  # who opens the ledger next is told
                self._own_runs.difference_update(level)

    def compact(self, least: int) -> None:
        """Compact the stage, if it has so many segments, or many compacted objects of one size.

        What is compacted is what lies in the store, other clients' segments included, and only what was read is
        removed; a second client that compacts at the same time can therefore lose nothing. A stage with a damaged
        object is left as it is until that is set aside.
        """
        self.refresh()
        if self.damaged:
            return
        loose = [*self._segments, *self._spilled_names]
        runs = {run_of(name) for name in self._parts}
        try:
            if sum(name.endswith(".jsonl") for name in loose) >= least:
                self._compact(loose, self._near(runs, sum(s.size for s in self._segments.values())))
            for level in self._levels({run_of(name) for name in self._parts}):
                if len(level) >= RUNS_ALIKE:
                    self._compact([], level)
        except FileNotFoundError:
            self.refresh()  # another client compacts this stage just now
        except DamagedError:
            return  # who opens the ledger next is told

    def _size(self, run: str) -> int:
        """Bytes of a compaction."""
        return sum(part.size for name, part in self._parts.items() if run_of(name) == run)

    def _near(self, runs: set[str], size: int) -> list[str]:
        """Compactions that are not much larger than what is to be written anyway."""
        chosen = []
        for run in sorted(runs, key=self._size):
            if self._size(run) > max(size, RUN_BYTES):
                break
            size += self._size(run)
            chosen.append(run)
        return chosen

    def _levels(self, runs: set[str]) -> list[list[str]]:
        """Compactions of about one size, the small ones first."""
        levels: dict[int, list[str]] = {}
        for run in runs:
            size, level = self._size(run), 0
            while size > RUN_BYTES * RUNS_ALIKE**level:
                level += 1
            levels.setdefault(level, []).append(run)
        return [levels[level] for level in sorted(levels)]

    def _compact(self, loose: list[str], runs: list[str]) -> str:
        """Put segments and compactions into a new one, and remove them; gives its name."""
        parts = {name: part for name, part in self._parts.items() if run_of(name) in runs}
        held = [self._segments[name] for name in loose if name in self._segments]
        spilled = self._spilled if self._spilled_names.intersection(loose) else []
        names = [*loose, *parts]
        made = write_run(self.folder, max(map(stamp_of, names)), [*opened([*parts.values(), *spilled]), *held])
        for part in made:
            self._parts[part.name] = part
            self._known.add(part.name)
        for name in names:
            (self.folder / name).delete()
            self._forget(name)
        self._own_segments = [name for name in self._own_segments if name in self._segments]
        if spilled:
            self._spilled = []
        self._changed()
        return run_of(made[0].name)

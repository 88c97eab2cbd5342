"""Progress that a person can follow: live bars on a terminal, plain lines in a batch log.

Work announces itself through a `Progress`; nothing else of gravdask writes to the terminal. Lines in a log come at
most every few seconds, so that a night's run leaves a page and not a flood.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

import rich.console
import rich.progress

T = TypeVar("T")

LINE_SECONDS = 10.0
LONG_SECONDS = 10.0
"""Work of one piece that lasts longer is told of."""
MANY_ALIKE = 5
"""Notes of the same words from which on they are told in one line."""
NAMED = 3
"""Names in such a line."""


def grouped(notes: Iterable[str]) -> list[str]:
    """Notes, each once, those that say the same of many channels or files as one line.

    Parameters
    ----------
    notes
        In any number; ``NAME: what`` where they are about one thing.
    """
    unique = list(dict.fromkeys(notes))
    parts = [note.partition(": ") for note in unique]
    about: dict[str, list[str]] = {}
    for name, _, what in parts:
        if " " not in name:
            about.setdefault(what, []).append(name)
    told = []
    for note, (name, _, what) in zip(unique, parts, strict=True):
        names = about.get(what, []) if what and " " not in name else []
        if len(names) < MANY_ALIKE:
            told.append(note)
        elif name == names[0]:
            told.append(f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more: {what}")
    return told


class Progress:
    """Reports to one stream.

    Parameters
    ----------
    stream
        Where to write; None keeps silent.

    Attributes
    ----------
    said
        The last line, whether it was written or not.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.said = ""
        self._stream = stream
        self._live = bool(stream is not None and stream.isatty())
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """Write one line."""
        self.said = text.rstrip()
        if self._stream is not None:
            self._stream.write(text.rstrip() + "\n")
            self._stream.flush()

    @contextmanager
    def during(self, text: str) -> Iterator[None]:
        """Say what is going on, if it goes on for longer than some seconds: work whose end nobody can foresee."""
        self.said = text
        late = threading.Timer(LONG_SECONDS, self.say, (text,))
        late.daemon = True
        late.start()
        try:
            yield
        finally:
            late.cancel()

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Counter]:
        """Follow ``total`` steps of a piece of work; gives a counter to advance."""
        counter = Counter(self, name, total)
        if not self._live:
            yield counter
            return
        columns = (
            rich.progress.TextColumn("{task.description:<10}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
            rich.progress.TimeRemainingColumn(),
        )
        console = rich.console.Console(file=self._stream)
        with rich.progress.Progress(*columns, console=console, transient=True) as bars:
            bar = bars.add_task(name, total=total)
            counter.on_advance = lambda steps: bars.advance(bar, steps)
            yield counter


def time_left(elapsed: float, done: int, under_way: int, total: int) -> float:
    """Time that steps will still take [s]: those under way are taken to be half done, as they are on average.

    Parameters
    ----------
    elapsed
        Since the first of them began [s].
    done, under_way, total
        Numbers of steps.
    """
    through = done + under_way / 2
    return elapsed * max(total - through, 0.0) / through if through else 0.0


class Counter:
    """Counts the steps of one task, begun and finished, and tells of them now and then."""

    def __init__(self, progress: Progress, name: str, total: int) -> None:
        self.done = self.begun = 0
        self.on_advance = self._line
        self._progress, self._name, self._total = progress, name, total
        self._start = self._said = time.monotonic()

    def begin(self) -> None:
        """Count a step that is under way from now on; where none is, one after the other is taken to be done."""
        self.begun += 1

    def advance(self, steps: int = 1) -> None:
        """Count finished steps."""
        self.done += steps
        self.on_advance(steps)

    def _line(self, steps: int) -> None:
        """Write a line if the last one is a while ago."""
        del steps
        now = time.monotonic()
        if now - self._said < LINE_SECONDS:
            return
        self._said = now
        left = time_left(now - self._start, self.done, max(self.begun - self.done, 0), self._total)
        self._progress.say(f"{self._name}: {self.done} of {self._total}, about {left:.0f} s left")


def followed(progress: Progress, name: str, items: Iterable[T], total: int) -> Iterator[T]:
    """Pass items on, and follow how many of them came."""
    with progress.task(name, total) as counter:
        for item in items:
            yield item
            counter.advance()

"""The objects that a run leaves below ``runs/`` in its store: a log of lines, and its state in figures.

``runs/NAME.json`` is the state: small, rewritten every few seconds while the run goes on, and its record in the end.
``runs/NAME.jsonl`` is the log, a JSON object a line. On a file system it is appended to; elsewhere, where an object
is written whole, it is ``NAME.0000.jsonl.gz`` and so on, of which only the last one is written again.

A thread does the writing, so that nothing waits for it. What cannot be written is counted and told, and ends no run:
a run is worth more than its log.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gravdask.errors import GravdaskError
from gravdask.store.objects import Entry
from gravdask.store.place import Place

FOLDER = "runs"
FIRST_SECONDS = 3.0
"""A run that is through before has written nothing until its end."""
LOCAL_SECONDS = 3.0
REMOTE_SECONDS = 15.0
"""How often the lines and the state are written."""
WAITING_LINES = 5000
"""So many lines are written without waiting for their time."""
MOST_LINES = 100_000
"""More than this many waiting lines are dropped, and counted."""
SEGMENT_BYTES = 8 * 2**20
"""Size from which on an object that is written whole is left alone and another one begun."""
KEPT_RUNS = 100
KEPT_BYTES = 4 * 2**30
"""Logs that are older than the last ones of this size together are removed; the records stay."""
YOUNG_SECONDS = 3600.0
"""Runs that wrote something so lately are never removed: they may be going on."""


class _Appended:
    """Lines in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def append(self, lines: list[str]) -> None:
        """Write lines behind the others; those of a crash before are whole but for the last one."""
        self._file.parent.mkdir(exist_ok=True)
        with self._file.open("ab") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())


class _Packed:
    """Lines in objects that are written whole: the last one again each time, until it is large."""

    def __init__(self, folder: Place, name: str) -> None:
        self._folder, self._name = folder, name
        self._number, self._content = 0, b""

    def append(self, lines: list[str]) -> None:
        """Write lines behind the others."""
        content = self._content + gzip.compress("".join(f"{line}\n" for line in lines).encode(), compresslevel=6)
        (self._folder / f"{self._name}.{self._number:04d}.jsonl.gz").write(content)
        self._content = content
        if len(content) >= SEGMENT_BYTES:
            self._number, self._content = self._number + 1, b""


class Journal:
    """Takes the lines of a run and writes them, and the state, every few seconds.

    Parameters
    ----------
    store
        Place of the store.
    name
        Name of the run.
    state
        Gives the state to be written.
    """

    def __init__(self, store: Place, name: str, state: Callable[[], dict[str, Any]]) -> None:
        self._store, self._folder, self._name, self._state = store, store / FOLDER, name, state
        local = self._folder.local
        self._log = _Packed(self._folder, name) if local is None else _Appended(local / f"{name}.jsonl")
        self._seconds = REMOTE_SECONDS if local is None else LOCAL_SECONDS
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._written = False
        self.kept = self.lost = 0
        self.fault = ""
        self._thread = threading.Thread(target=self._follow, name="run-journal", daemon=True)
        self._thread.start()

    def add(self, line: dict[str, Any]) -> None:
        """Take a line."""
        text = json.dumps(line, separators=(",", ":"), default=str)
        with self._lock:
            if len(self._lines) >= MOST_LINES:
                self.lost += 1
                return
            self._lines.append(text)
            many = len(self._lines) >= WAITING_LINES
        if many:
            self._wake.set()

    def figures(self) -> dict[str, Any]:
        """Lines that are written, that wait, that were dropped, and why something could not be written lately."""
        return {"lines": self.kept, "waiting": len(self._lines), "lost": self.lost, "fault": self.fault}

    def close(self, keep: bool) -> None:
        """Write what is left, or remove what was written, and make room for other runs."""
        self._stop.set()
        self._wake.set()
        self._thread.join()
        if keep:
            self._write()
            with contextlib.suppress(OSError, GravdaskError):
                prune(self._folder)
        elif self._written:
            with contextlib.suppress(OSError, GravdaskError):
                for entry in self._folder.entries():
                    if _run_of(entry.name) == self._name:
                        (self._folder / entry.name).delete()

    def _follow(self) -> None:
        """Write now and then until it is over."""
        self._stop.wait(FIRST_SECONDS)
        while not self._stop.is_set():
            self._write()
            self._wake.wait(self._seconds)
            self._wake.clear()

    def _write(self) -> None:
        """Write the lines that wait and the state; what could not be written waits on."""
        with self._lock:
            lines, self._lines = self._lines, []
        try:
            if not (self._store / "zarr.json").exists():
                # Nothing is made where a disk was unmounted, or a store removed.
                raise FileNotFoundError(errno.ENOENT, "the store is gone", str(self._store))
            self._written = True
            if lines:
                self._log.append(lines)
                self.kept += len(lines)
                lines = []
            content = json.dumps(self._state(), indent=1, default=str)
            (self._folder / f"{self._name}.json").write(content.encode())
        except (OSError, GravdaskError) as error:
            self.fault = str(error)
            with self._lock:
                self._lines = lines + self._lines


def _run_of(name: str) -> str:
    """Run that an object belongs to, by its name; '' for others."""
    head, found, _ = name.partition(".")
    return head if found else ""


def prune(folder: Place) -> None:
    """Remove all but the last runs, and logs that are old and large; never those of a run that may be going on."""
    runs: dict[str, list[Entry]] = {}
    for entry in folder.entries():
        runs.setdefault(_run_of(entry.name), []).append(entry)
    newest = max((entry.time for entries in runs.values() for entry in entries), default=0.0)
    size = 0
    for number, run in enumerate(sorted(runs, reverse=True)):
        size += sum(entry.size for entry in runs[run])
        if newest - max(entry.time for entry in runs[run]) <= YOUNG_SECONDS:
            continue
        for entry in runs[run]:
            if number >= KEPT_RUNS or (size > KEPT_BYTES and not entry.name.endswith(".json")):
                (folder / entry.name).delete()


def states(
    store: Place, most: int, wanted: Callable[[str], bool] = lambda _: False
) -> list[tuple[dict[str, Any], float]]:
    """States of runs of a store, the latest begun first, each with the time when it was written [s since 1970].

    Parameters
    ----------
    most
        How many of the latest are read.
    wanted
        Says by a run's name whether it is read in any case.
    """
    folder = store / FOLDER
    entries = sorted((e for e in folder.entries() if e.name.endswith(".json")), reverse=True)
    chosen = [e for n, e in enumerate(entries) if n < most or wanted(_run_of(e.name))]
    found = []
    for entry, content in zip(chosen, contents_of(folder, [e.name for e in chosen]), strict=True):
        with contextlib.suppress(ValueError):
            state = json.loads(content)
            if isinstance(state, dict) and {"run", "state", "stages"} <= state.keys():
                found.append((state, entry.time))
    return found


def contents_of(folder: Place, names: list[str]) -> list[bytes]:
    """Contents of objects, empty for those that are removed just now."""
    with contextlib.suppress(FileNotFoundError):
        return folder.read_many(names)
    found = []
    for name in names:
        try:
            found.append((folder / name).read())
        except FileNotFoundError:
            found.append(b"")
    return found


def log_lines(store: Place, run: str) -> Iterator[dict[str, Any]]:
    """Lines of a run's log, in their order; one that a crash cut off is left out.

    Parameters
    ----------
    run
        Name of the run, as in its state.
    """
    folder = store / FOLDER
    for entry in folder.entries():
        if _run_of(entry.name) != run or ".jsonl" not in entry.name:
            continue
        content = (folder / entry.name).read()
        text = gzip.decompress(content) if entry.name.endswith(".gz") else content
        for line in text.decode(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)


def run_name(started: str, host: str, pid: int) -> str:
    """Name of a run: when and where it began, without anything that names of objects cannot hold."""
    when = "".join(c for c in started[:23] if c.isalnum())
    return f"{when}Z-{_plain(host)}-{pid}-{os.urandom(2).hex()}"


def runs_of_process(host: str, pid: int) -> str:
    """Part that the names of all runs of a process share."""
    return f"-{_plain(host)}-{pid}-"


def _plain(host: str) -> str:
    """A host's name without dots and other signs."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in host)

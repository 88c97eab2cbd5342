"""The index of an archive: one table of files, one of the traces in them, and what is wrong.

A scan reads headers only where the format has them. Given the index of the scan before, it looks into a file again
only if its size, its time of modification or its version mark changed, and then first at its digest: a touched or
copied archive costs a pass of hashing, not of reading. Files that did not change are never more than rows of columns.

What cannot be looked at (a folder without permission, a mount that vanished on the way, a file that grows while it is
read) keeps what was known of it, is listed, and is looked at again by the next scan.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gravdask.archive.carry import carry_over
from gravdask.archive.damage import Problem
from gravdask.archive.index_table import FILE_COLUMNS, INDEX_VERSION, REREAD, TRACE_TABLE, ArchiveIndex, positions
from gravdask.archive.inspect_file import TRACE_COLUMNS, FileReport, FileTask, inspect_file
from gravdask.archive.locations import normal_root
from gravdask.archive.reader import ReadOptions, reader_names
from gravdask.archive.walk import Found, FoundFile, walk
from gravdask.errors import GravdaskError, ReadError

__all__ = ["ArchiveIndex", "MapFunction", "Progress", "options_digest", "scan"]

Progress = Callable[[int, int, str], None]
MapFunction = Callable[[Callable[[FileTask], FileReport], Iterable[FileTask]], Iterable[FileReport]]
CHECKPOINT_SECONDS = 60.0
_FROM_REPORT = ("digest", "format", "error")


def options_digest(options: ReadOptions) -> str:
    """Digest of all that decides what is read from a given file: options, readers and version."""
    text = json.dumps([INDEX_VERSION, astuple(options), list(reader_names())])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def scan(
    roots: Sequence[Path | str],
    options: ReadOptions | None = None,
    previous: ArchiveIndex | None = None,
    report: Progress | None = None,
    map_function: MapFunction = map,
    digests: bool = True,
    checkpoint: Callable[[ArchiveIndex], None] | None = None,
) -> ArchiveIndex:
    """Index the files below some folders.

    Parameters
    ----------
    roots
        Folders (or single files) of the archive, or addresses such as ``s3://bucket/prefix``.
    options
        What its files do not say.
    previous
        Index of the last scan, if there is one: unchanged files are taken from it, unless it was made with other
        options or readers.
    report
        Called after each file that was looked into: files done, files to do, path.
    map_function
        Applies `inspect_file` to the tasks; both can be pickled. The order of its results does not matter.
    digests
        Whether new and changed files are read to their end for a digest of their content. Without, location, size and
        time stand in for it: a touched or moved file counts as changed, and one that is rewritten with its size and
        time kept goes unnoticed.
    checkpoint
        Given what is known so far, every minute and when the scan is stopped: a later scan continues from there.

    Returns
    -------
    index
        The same for the same files, in whatever order they were read; ``previous`` itself if nothing changed.

    Raises
    ------
    ReadError
        If a root is missing, or no record at all was found.
    """
    options = options or ReadOptions()
    mark = options_digest(options)
    absolute = tuple(sorted({normal_root(root) for root in roots}))
    found = walk(roots)
    before = _Before(previous, found, mark)
    pending = np.flatnonzero(~before.same).tolist()
    tasks = [FileTask(found.file(n), options, before.known_digest(n), digests) for n in pending]
    numbers = {task.file: n for task, n in zip(tasks, pending, strict=True)}
    reports: dict[int, FileReport] = {}
    texts: dict[str, str] = {}

    def keep() -> None:
        """Hand out what is known so far; files of the scan before that were not found now are not given up yet."""
        if checkpoint is not None and reports:
            ahead = {n: FileReport(file, transient=True) for file, n in numbers.items() if n not in reports}
            so_far = before.join(absolute, reports | ahead)
            checkpoint(carry_over(so_far, previous, previous.roots if previous is not None else ()))

    kept = time.monotonic()
    try:
        for done, result in enumerate(map_function(inspect_file, tasks), 1):
            number = numbers[result.file]
            reports[number] = _lean(result, found.file(number), texts)
            if report is not None:
                report(done, len(tasks), result.file.location)
            if time.monotonic() - kept > CHECKPOINT_SECONDS:
                keep()
                kept = time.monotonic()
    except (GravdaskError, KeyboardInterrupt):
        keep()
        raise
    index = before.join(absolute, reports)
    if previous is not None:
        index = carry_over(index, previous, found.unseen)
        index = previous if index.equals(previous) else index
    if index.traces.empty:
        raise ReadError(_nothing_found(index))
    return index


def _lean(report: FileReport, file: FoundFile, texts: dict[str, str]) -> FileReport:
    """Give a report with the texts that others hold already: each comes with its own, and there are many."""
    rows = [
        {name: texts.setdefault(v, v) if isinstance(v := row[name], str) else v for name in TRACE_COLUMNS}
        for row in report.traces
    ]
    return replace(report, file=file, format=texts.setdefault(report.format, report.format), traces=rows)


class _Before:
    """What the index of the scan before says of the files that were found.

    Parameters
    ----------
    index
        That index, if there is one.
    found
        The files.
    mark
        Digest of the options of this scan.

    Attributes
    ----------
    same
        Whether nothing about a file changed, shape (files,).
    """

    def __init__(self, index: ArchiveIndex | None, found: Found, mark: str) -> None:
        self._index = index
        self._found = found
        self._mark = mark
        self._usable = index is not None and index.options_digest == mark
        self._locations = found.location
        self._row = np.full(len(found), -1, np.int64)
        self.same = np.zeros(len(found), bool)
        if index is None:
            return
        known = index.locations()
        if known == self._locations:
            self._row = np.arange(len(found))
        elif known and self._locations:
            self._row = np.asarray(pd.Index(known).get_indexer(pd.Index(self._locations)), np.int64)
        self._bounds = np.searchsorted(index.traces["file"].to_numpy(), np.arange(len(index.files) + 1))
        old, row = index.files, self._row
        self._size, self._mtime = old["size"].to_numpy(), old["mtime_ns"].to_numpy()
        self._digest = old["digest"].tolist()
        if self._usable and len(old):
            marks = np.array(found.mark, object) == old["mark"].to_numpy(object)[row]
            told = found.mtime_ns > REREAD
            self.same = (
                (row >= 0) & (self._size[row] == found.size) & (self._mtime[row] == found.mtime_ns) & marks & told
            )

    def known_digest(self, number: int) -> str:
        """Digest that a file had, if its size is still the same and what was read of it still counts."""
        row = int(self._row[number])
        trusted = self._usable and row >= 0 and self._mtime[row] != REREAD
        return str(self._digest[row]) if trusted and self._size[row] == self._found.size[number] else ""

    def join(self, roots: tuple[str, ...], reports: dict[int, FileReport]) -> ArchiveIndex:
        """Make the index of what did not change, and of the reports on the rest by the file's place in the order."""
        old = self._index
        if old is not None and not reports and np.array_equal(self._row, np.arange(len(old.files))):
            problems = self._problems(np.arange(len(self._found)), {})
            return ArchiveIndex(roots, old.files, old.traces, problems, self._mark)
        unread = {n for n, r in reports.items() if r.transient}
        keeps = {n for n, r in reports.items() if r.unchanged or (n in unread and self._was_used(n))}
        taken = np.flatnonzero(self.same | np.isin(np.arange(len(self._found)), list(keeps)))
        files = self._files(taken, reports, unread)
        traces = self._traces(taken, {n: r for n, r in reports.items() if n not in keeps})
        return ArchiveIndex(roots, files, traces, self._problems(taken, reports), self._mark)

    def _was_used(self, number: int) -> bool:
        """Whether anything was read from a file before."""
        row = int(self._row[number])
        return self._index is not None and row >= 0 and bool(self._index.files["format"].iloc[row])

    def _files(self, taken: NDArray[np.intp], reports: dict[int, FileReport], unread: set[int]) -> pd.DataFrame:
        """Table of the files."""
        found, count = self._found, len(self._found)
        columns: dict[str, Any] = {
            "file": np.arange(count),
            "root": found.root,
            "path": found.path,
            "size": found.size.copy(),
            "mtime_ns": found.mtime_ns.copy(),
            "mark": found.mark,
        }
        for name in _FROM_REPORT:
            columns[name] = np.full(count, "", object)
            if self._index is not None:
                columns[name][taken] = self._index.files[name].to_numpy(object)[self._row[taken]]
        for number, result in reports.items():
            if result.unchanged:
                continue
            columns["error"][number] = result.error
            if number not in unread:
                columns["digest"][number], columns["format"][number] = result.digest, result.format
        columns["mtime_ns"][sorted(unread)] = REREAD
        return pd.DataFrame(columns, columns=list(FILE_COLUMNS)).astype(FILE_COLUMNS)

    def _traces(self, taken: NDArray[np.intp], reports: dict[int, FileReport]) -> pd.DataFrame:
        """Table of the traces."""
        rows = [
            (file, number, *(row[name] for name in TRACE_COLUMNS))
            for file, result in reports.items()
            for number, row in enumerate(result.traces)
        ]
        new = pd.DataFrame(rows, columns=list(TRACE_TABLE)).astype(TRACE_TABLE)
        if self._index is None or not len(taken):
            joined = new
        else:
            first, stop = self._bounds[self._row[taken]], self._bounds[self._row[taken] + 1]
            counts = stop - first
            old = self._index.traces.take(np.repeat(first, counts) + positions(counts))
            joined = old.assign(file=np.repeat(taken, counts))
            if len(new):
                joined = pd.concat([joined, new], ignore_index=True)
        order = np.argsort(joined["file"].to_numpy(), kind="stable")
        return joined.take(order).reset_index(drop=True).astype(TRACE_TABLE)

    def _problems(self, taken: NDArray[np.intp], reports: dict[int, FileReport]) -> tuple[Problem, ...]:
        """Everything there is to say: of this walk, of the files taken over, and of those looked into."""
        kept: set[Problem] = set()
        if self._index is not None and self._index.problems:
            locations = {self._locations[n] for n in taken.tolist()}
            errors = self._index.files["error"]
            passing = {errors.iloc[int(self._row[n])] for n, r in reports.items() if r.transient and self._row[n] >= 0}
            kept = {p for p in self._index.problems if p.path in locations and str(p) not in passing}
        return tuple(sorted({*self._found.problems, *kept, *(p for r in reports.values() for p in r.problems)}))


def _nothing_found(index: ArchiveIndex) -> str:
    """Say what was looked for where no record was found."""
    tried = ", ".join(reader_names())
    quarantined = [problem for problem in index.problems if problem.severity == "quarantined"]
    first = f"; the first of {len(quarantined)} damaged files: {quarantined[0]}" if quarantined else ""
    ignored = [problem for problem in index.problems if problem.severity == "ignored"]
    if ignored and not quarantined:
        first = f"; the first: {ignored[0].path}: {ignored[0].what.partition('; tried')[0]}"
    return (
        f"no record in {', '.join(index.roots)}: looked at {len(index.files)} files for the formats {tried}{first}; "
        "check the path"
    )

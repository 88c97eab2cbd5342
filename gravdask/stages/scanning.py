"""Looking into the files of an archive on the workers of a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice, pairwise
from typing import Any

from gravdask.archive.damage import Problem
from gravdask.archive.index import ArchiveIndex, MapFunction, Progress
from gravdask.archive.index_diff import diff
from gravdask.archive.inspect_file import TRACE_COLUMNS, FileReport, FileTask, failed_report, inspect_files
from gravdask.archive.locations import within
from gravdask.archive.walk import FoundFile
from gravdask.execution import Failure, Runner
from gravdask.progress import LINE_SECONDS
from gravdask.store.board import Board

FEW_FILES = 200
FEW_BYTES = 2**30
"""Up to so many files, of so many bytes, are looked into by the client itself: workers take seconds to start."""
EXAMPLES = 3
"""So many names stand for many."""
Look = Callable[[Iterable[FileTask]], Iterable[FileReport]]
"""Looks into some files."""
PIECES = 8
"""A job beside others begins with so many pieces of its share of the files, so that others soon hear of them."""
PIECE_SECONDS = 10.0
"""What a piece should take."""
BATCH_FILES = 64
BATCH_BYTES = 2**28


@dataclass(frozen=True)
class Share:
    """What a job that looks into an archive beside others goes by.

    Attributes
    ----------
    board
        Where it tells the others what it found.
    part
        Which share of the files it begins with, as (i, n).
    """

    board: Board
    part: tuple[int, int]


def spread(runner: Runner | None, share: Share | None = None) -> MapFunction:
    """Make the function that `gravdask.archive.index.scan` looks into files with.

    Many files go to the runner's workers in batches. A batch that fails as a whole (its worker died, a reader broke in
    a way that nobody foresaw) is tried again file by file; what fails then is quarantined, and the scan goes on.

    Parameters
    ----------
    runner
        Where to work; None for this process.
    share
        Of jobs that look into the same archive at the same time.
    """

    def apply(function: Callable[[FileTask], FileReport], tasks: Iterable[FileTask]) -> Iterator[FileReport]:
        tasks = list(tasks)
        few = len(tasks) <= FEW_FILES and sum(t.file.size for t in tasks) <= FEW_BYTES
        look: Look = partial(map, function)
        least = 1
        if runner is not None and not few:
            look, least = partial(_by_workers, runner), 2 * BATCH_FILES
        yield from look(tasks) if share is None else _together(look, tasks, share, least)

    return apply


def _by_workers(runner: Runner, tasks: Iterable[FileTask]) -> Iterator[FileReport]:
    """Look into files on workers, batch by batch."""
    broken: list[FileTask] = []
    for batch, result in runner.run(inspect_files, list(batches(tasks))):
        if isinstance(result, Failure):
            broken += batch
        else:
            yield from result
    for (task,), result in runner.run(inspect_files, [(task,) for task in broken]):
        if isinstance(result, Failure):
            what = f"looking into it failed ({result.reason})"
            yield failed_report(task.file, what, "check the file with another program")
        else:
            yield from result


def _together(look: Look, tasks: list[FileTask], share: Share, least: int) -> Iterator[FileReport]:
    """Look into what no other job has looked into yet, piece by piece, and take the rest from them.

    A job that never comes, or dies, leaves its share to the others; a file that two look into at the same moment is
    the same to both.
    """
    waiting = {task.file: task for task in _in_turn(tasks, *share.part)}
    size = max(-(-len(tasks) // (PIECES * share.part[1])), least)
    while waiting:
        for report in map(_report_of, share.board.fresh()):
            task = None if report is None else waiting.get(report.file)
            if report is None or task is None or (report.unchanged and report.digest != task.known_digest):
                continue
            del waiting[report.file]
            yield report
        begun, found = time.monotonic(), []
        piece = list(islice(waiting.values(), max(min(size, len(waiting) // (2 * share.part[1])), least)))
        for task in piece:
            del waiting[task.file]
        for report in look(piece):
            found.append(report)
            yield report
        # What could not be read now may be readable for another job.
        share.board.put([asdict(report) for report in found if not report.transient])
        spent = time.monotonic() - begun
        size = 2 * size if spent < PIECE_SECONDS / 2 else max(size // 2, least) if spent > 2 * PIECE_SECONDS else size


def _in_turn(tasks: list[FileTask], i: int, n: int) -> list[FileTask]:
    """Tasks in the order of a job: its own share, then those of the jobs after it, which are slow, from their ends."""
    edges = [len(tasks) * k // n for k in range(n + 1)]
    shares = [tasks[a:b] for a, b in pairwise(edges)]
    others = [reversed(shares[(i + k) % n]) for k in range(1, n)]
    return [*shares[i], *chain.from_iterable(others)]


def _report_of(row: Any) -> FileReport | None:  # noqa: ANN401 - whatever lies there
    """Make a report of what another job wrote; None if it is no such thing."""
    try:
        file, problems = FoundFile(**row.pop("file")), [Problem(**problem) for problem in row.pop("problems")]
        traces = [{name: trace[name] for name in TRACE_COLUMNS} for trace in row.pop("traces")]
        return FileReport(file=file, problems=problems, traces=traces, **row)
    except (AttributeError, KeyError, TypeError):
        return None


def batches(tasks: Iterable[FileTask]) -> Iterator[tuple[FileTask, ...]]:
    """Cut tasks into batches of at most `BATCH_FILES` files and about `BATCH_BYTES` bytes."""
    batch: list[FileTask] = []
    size = 0
    for task in tasks:
        if batch and (len(batch) >= BATCH_FILES or size + task.file.size > BATCH_BYTES):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(task)
        size += task.file.size
    if batch:
        yield tuple(batch)


def teller(say: Callable[[str], None]) -> Progress:
    """Make the function that tells of a scan's progress: ten lines at most, none of what takes seconds."""
    said, last = 0, time.monotonic()

    def report(done: int, total: int, path: str) -> None:
        nonlocal said, last
        del path
        now = time.monotonic()
        if done * 10 // total > said and now - last > LINE_SECONDS:
            said, last = done * 10 // total, now
            say(f"scan: {done} of {total} files")

    return report


def removal_notes(previous: ArchiveIndex | None, index: ArchiveIndex) -> list[str]:
    """Say which record files of the last scan are gone, for what came from them leaves the store."""
    gone = [str(path) for path in diff(previous, index).removed] if previous is not None else []
    if not gone:
        return []
    return [f"{len(gone)} files of the last scan are gone, and what came from them leaves the store: {examples(gone)}"]


def absence_notes(index: ArchiveIndex, absent: Sequence[str]) -> list[str]:
    """Say which folders of the archive cannot be reached, and whether their files stand elsewhere in it now."""
    files = index.recording()
    reached = set(files["digest"][~files["root"].isin(absent)])
    notes = []
    for root in absent:
        mine = files["digest"][files["root"] == root]
        if len(mine) and mine.isin(reached).all():
            cure = f"if it was moved, archive.forget = [{json.dumps(root)}] drops the old place"
            what = f"all its {len(mine)} files stand elsewhere in the archive: {cure}"
        else:
            what = "what came from it is kept as it is (drop it for good with archive.forget)"
        notes.append(f"{root}: cannot be reached now; {what}")
    return notes


def duplicate_notes(index: ArchiveIndex, absent: Sequence[str] = ()) -> list[str]:
    """Say which files have the content of another, but for those in folders that cannot be reached."""
    twice = [
        f"{one} = {other}"
        for one, other in index.duplicates()
        if not any(within(path, root) for path in (one, other) for root in absent)
    ]
    return [f"{len(twice)} files have the content of another, each is used once: {examples(twice)}"] if twice else []


def examples(names: list[str]) -> str:
    """First of some names, and how many more there are."""
    more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
    return ", ".join(names[:EXAMPLES]) + more

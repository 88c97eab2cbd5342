"""Looking into the files of an archive on the workers of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gravdask.archive.index import ArchiveIndex, MapFunction, Progress
from gravdask.archive.index_diff import diff
from gravdask.archive.inspect_file import FileReport, FileTask, failed_report, inspect_files
from gravdask.execution import Failure, Runner

FEW_FILES = 200
FEW_BYTES = 2**30
"""Up to so many files, of so many bytes, are looked into by the client itself: workers take seconds to start."""
EXAMPLES = 3
"""So many names stand for many."""
BATCH_FILES = 64
BATCH_BYTES = 2**28


def spread(runner: Runner | None) -> MapFunction:
    """Make the function that `gravdask.archive.index.scan` looks into files with.

    Many files go to the runner's workers in batches. A batch that fails as a whole (its worker died, a reader broke in
    a way that nobody foresaw) is tried again file by file; what fails then is quarantined, and the scan goes on.

    Parameters
    ----------
    runner
        Where to work; None for this process.
    """

    def apply(function: Callable[[FileTask], FileReport], tasks: Iterable[FileTask]) -> Iterator[FileReport]:
        tasks = list(tasks)
        if runner is None or (len(tasks) <= FEW_FILES and sum(t.file.size for t in tasks) <= FEW_BYTES):
            yield from map(function, tasks)
            return
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

    return apply


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
    """Make the function that tells of a scan's progress: ten lines, if it is about many files."""
    said = 0

    def report(done: int, total: int, path: str) -> None:
        nonlocal said
        del path
        if total >= FEW_FILES and done * 10 // total > said:
            said = done * 10 // total
            say(f"scan: {done} of {total} files")

    return report


def removal_notes(previous: ArchiveIndex | None, index: ArchiveIndex) -> list[str]:
    """Say which record files of the last scan are gone, for what came from them leaves the store."""
    gone = [str(path) for path in diff(previous, index).removed] if previous is not None else []
    if not gone:
        return []
    return [f"{len(gone)} files of the last scan are gone, and what came from them leaves the store: {examples(gone)}"]


def duplicate_notes(index: ArchiveIndex) -> list[str]:
    """Say which files have the content of another."""
    twice = [f"{one} = {other}" for one, other in index.duplicates()]
    return [f"{len(twice)} files have the content of another, each is used once: {examples(twice)}"] if twice else []


def examples(names: list[str]) -> str:
    """First of some names, and how many more there are."""
    more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
    return ", ".join(names[:EXAMPLES]) + more

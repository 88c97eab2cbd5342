"""What the index keeps of one file: the part of a scan that runs anywhere, one file at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gravdask.archive.damage import DamagedFileError, Problem
from gravdask.archive.locations import is_url
from gravdask.archive.metadata_formats import metadata_format
from gravdask.archive.reader import ReadOptions, Source, read_head, read_with_format
from gravdask.archive.remote import UnreachableError, local_copy, naming, raise_if_unreadable, still_there, unreachable
from gravdask.archive.traces import Trace
from gravdask.archive.walk import FoundFile
from gravdask.errors import NotThisFormatError, ReadError

DIGEST_BYTES = 16
STAND_IN = "stat-"
"""What the stand-in of a digest begins with."""
STATIONXML_FORMAT = "stationxml"
"""What the index calls a file of metadata: StationXML, RESP or dataless SEED."""
_BLOCK_BYTES = 1 << 22
TRACE_COLUMNS = {
    "channel": "str",
    "rate": "str",
    "start_ns": "int64",
    "npts": "int64",
    "dtype": "str",
    "decimals": "int64",
    "unit": "str",
    "kind": "str",
    "latitude": "float64",
    "longitude": "float64",
    "elevation": "float64",
    "stated_rate_hz": "float64",
    "tide_applied": "bool",
    "recipe": "str",
}
"""Columns of the trace table that come from a trace, with their types."""


@dataclass(frozen=True, slots=True)
class FileTask:
    """A file to look at.

    Attributes
    ----------
    file
        The file.
    options
        What it does not say.
    known_digest
        What is known of its content from the scan before (empty: nothing).
    digests
        Whether to digest its content; without, its location, size and time stand in for it.
    """

    file: FoundFile
    options: ReadOptions
    known_digest: str = ""
    digests: bool = True


@dataclass(frozen=True, slots=True)
class FileReport:
    """What was found in a file.

    Attributes
    ----------
    file
        The file as it was while it was read.
    unchanged
        Its content is what `FileTask.known_digest` says; nothing else is filled in.
    transient
        It could not be read to its end this time, for a reason that is not in its content.
    digest
        BLAKE2b of the content, 32 hexadecimal digits, or ``stat-...`` for what stands in for it; empty for files that
        are no records.
    format
        Name of the reader or of the kind of metadata ("stationxml", "resp", "dataless"), or empty.
    error
        Why nothing of it is used, or empty.
    traces
        One row per trace, with the columns `TRACE_COLUMNS`.
    problems
        All there is to say about it.
    """

    file: FoundFile
    unchanged: bool = False
    transient: bool = False
    digest: str = ""
    format: str = ""
    error: str = ""
    traces: list[dict[str, Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def file_digest(path: Path) -> str:
    """BLAKE2b digest of a file's content, 16 bytes in hexadecimal."""
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            state.update(block)
    return state.hexdigest()


def stand_in(file: FoundFile) -> str:
    """What stands for the content of a file that is not digested: where it is, its size, time and version mark."""
    text = "\0".join([file.location, str(file.size), str(file.mtime_ns), file.mark])
    return STAND_IN + hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def inspect_file(task: FileTask) -> FileReport:
    """Look at one file: its content's digest, its format, its traces. Never raises for what is in the file."""
    where = task.file.location
    try:
        with local_copy(where) as path:
            return _inspect_copy(task, path)
    except UnreachableError as error:
        return failed_report(task.file, error.what, error.cure)


def _inspect_copy(task: FileTask, path: Path) -> FileReport:
    """Look at a file that lies at a path now; what is wrong with it becomes part of the report.

    Raises
    ------
    UnreachableError
        If it cannot be read to its end this time.
    """
    file, where = task.file, task.file.location
    try:
        with naming(where, path):
            return _inspect(task, path)
    except NotThisFormatError as error:
        what = str(error).removeprefix(f"{where}: ")
        return FileReport(file, problems=[Problem(where, 0, what, "", "ignored")])
    except UnreachableError:
        raise
    except DamagedFileError as error:
        return failed_report(file, error.what, error.cure, error.line or 0, _digest_or_nothing(task, path))
    except ReadError as error:
        return failed_report(file, str(error).removeprefix(f"{where}: "), digest=_digest_or_nothing(task, path))


def inspect_files(tasks: Sequence[FileTask]) -> list[FileReport]:
    """Look at several files, one after the other."""
    return [inspect_file(task) for task in tasks]


def failed_report(file: FoundFile, what: str, cure: str = "", line: int = 0, digest: str = "") -> FileReport:
    """Report of a file of which nothing can be used; without a digest, nothing now: the next scan tries again."""
    problem = Problem(file.location, line, what, cure)
    return FileReport(file, transient=not digest, digest=digest, error=str(problem), problems=[problem])


def _inspect(task: FileTask, path: Path) -> FileReport:
    """Look at a file that can be opened at a path.

    Raises
    ------
    ReadError
        As `inspect_file` reports it.
    """
    file = task.file
    try:
        known = "" if task.known_digest.startswith(STAND_IN) else task.known_digest
        if known and known == file_digest(path):
            return FileReport(file, unchanged=True, digest=task.known_digest)
        if metadata_format(path, read_head(path)):
            return FileReport(file, digest=_digest(task, path), format=STATIONXML_FORMAT)
        name, traces = read_with_format(Source(path, head_only=True, options=task.options))
        digest = _digest(task, path)
        _check_still(file)
    except OSError as error:
        raise unreachable(file.location, error) from error
    except DamagedFileError as error:
        raise_if_unreadable(error, file.location, path)
        raise
    where = file.location
    remarks = [Problem(where, note.line, note.what, note.cure, "note") for trace in traces for note in trace.notes]
    return FileReport(file, digest=digest, format=name, traces=[_row(trace) for trace in traces], problems=remarks)


def _digest(task: FileTask, path: Path) -> str:
    """What the content is known by."""
    return file_digest(path) if task.digests else stand_in(task.file)


def _check_still(file: FoundFile) -> None:
    """Raise if a file changed while it was read."""
    where = file.location
    if is_url(where):
        same = still_there(where, file.size, file.mtime_ns, file.mark)
    else:
        status = os.stat(where)
        same = (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)
    if not same:
        raise UnreachableError(where, None, "changed while it was read", "scan again when it is complete")


def _digest_or_nothing(task: FileTask, path: Path) -> str:
    """What the content is known by, empty if it cannot be read."""
    try:
        return _digest(task, path)
    except OSError:
        return ""


def _row(trace: Trace) -> dict[str, Any]:
    """Row of the trace table."""
    row = {name: getattr(trace, name) for name in TRACE_COLUMNS}
    return row | {"channel": str(trace.channel), "rate": str(trace.rate), "unit": trace.unit or ""}

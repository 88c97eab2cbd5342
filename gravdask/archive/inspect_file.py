"""What the index keeps of one file: the part of a scan that runs anywhere, one file at a time."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gravdask.archive.damage import DamagedFileError, Problem
from gravdask.archive.reader import ReadOptions, Source, read_head, read_with_format
from gravdask.archive.traces import Trace
from gravdask.archive.walk import FoundFile
from gravdask.errors import NotThisFormatError, ReadError

DIGEST_BYTES = 16
STATIONXML_FORMAT = "stationxml"
_STATIONXML_MARK = b"FDSNStationXML"
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
}
"""Columns of the trace table that come from a trace, with their types."""


@dataclass(frozen=True)
class FileTask:
    """A file to look at, and what is known of its content from the scan before (empty: nothing)."""

    file: FoundFile
    options: ReadOptions
    known_digest: str = ""


@dataclass(frozen=True)
class FileReport:
    """What was found in a file.

    Attributes
    ----------
    file
        The file as it was while it was read.
    unchanged
        Its content is what `FileTask.known_digest` says; nothing else is filled in.
    digest
        BLAKE2b of the content, 32 hexadecimal digits; empty for files that are no records.
    format
        Name of the reader, "stationxml", or empty.
    error
        Why nothing of it is used, or empty.
    traces
        One row per trace, with the columns `TRACE_COLUMNS`.
    problems
        All there is to say about it.
    """

    file: FoundFile
    unchanged: bool = False
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


def inspect_file(task: FileTask) -> FileReport:
    """Look at one file: its content's digest, its format, its traces. Never raises for what is in the file."""
    file, path = task.file, task.file.absolute
    try:
        if task.known_digest and file_digest(path) == task.known_digest:
            return FileReport(file, unchanged=True, digest=task.known_digest)
        if path.suffix.lower() == ".xml" and _STATIONXML_MARK in read_head(path):
            return FileReport(file, digest=file_digest(path), format=STATIONXML_FORMAT)
        name, traces = read_with_format(Source(path, head_only=True, options=task.options))
        digest = file_digest(path)
        _check_still(file)
    except NotThisFormatError as error:
        what = str(error).removeprefix(f"{path}: ")
        return FileReport(file, problems=[Problem(str(path), 0, what, "", "ignored")])
    except DamagedFileError as error:
        problem = Problem(str(path), error.line or 0, error.what, error.cure)
        return FileReport(file, digest=_digest_or_nothing(path), error=str(problem), problems=[problem])
    except (ReadError, OSError) as error:
        problem = Problem(str(path), 0, str(error).removeprefix(f"{path}: "), "")
        return FileReport(file, digest=_digest_or_nothing(path), error=str(problem), problems=[problem])
    remarks = [Problem(str(path), note.line, note.what, note.cure, "note") for trace in traces for note in trace.notes]
    return FileReport(file, digest=digest, format=name, traces=[_row(trace) for trace in traces], problems=remarks)


def _check_still(file: FoundFile) -> None:
    """Raise if a file changed while it was read."""
    status = os.stat(file.absolute)
    if (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns):
        raise DamagedFileError(file.absolute, None, "changed while it was read", "scan again when it is complete")


def _digest_or_nothing(path: Path) -> str:
    """Digest of a file, empty if it cannot be read."""
    try:
        return file_digest(path)
    except OSError:
        return ""


def _row(trace: Trace) -> dict[str, Any]:
    """Row of the trace table."""
    row = {name: getattr(trace, name) for name in TRACE_COLUMNS}
    return row | {"channel": str(trace.channel), "rate": str(trace.rate), "unit": trace.unit or ""}

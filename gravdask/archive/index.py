"""The index of an archive: one table of files, one of the traces in them, and what is wrong.

A scan reads headers only where the format has them. Given the index of the scan before, it looks into a file again
only if its size or time of modification changed, and then first at its digest: a touched or copied archive costs a
pass of hashing, not of reading.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gravdask.archive.damage import Problem
from gravdask.archive.inspect_file import STATIONXML_FORMAT, TRACE_COLUMNS, FileReport, FileTask, inspect_file
from gravdask.archive.reader import ReadOptions, reader_names
from gravdask.archive.walk import FoundFile, walk
from gravdask.errors import ReadError

INDEX_VERSION = 1
"""Raised when an index of an older version must not be reused."""
FILE_COLUMNS = {
    "file": "int64",
    "root": "str",
    "path": "str",
    "size": "int64",
    "mtime_ns": "int64",
    "digest": "str",
    "format": "str",
    "error": "str",
}
"""Columns of the file table, with their types."""
_TRACE_TABLE = {"file": "int64", "number": "int64", **TRACE_COLUMNS}

Progress = Callable[[int, int, str], None]
MapFunction = Callable[[Callable[[FileTask], FileReport], Iterable[FileTask]], Iterable[FileReport]]


@dataclass(frozen=True, eq=False)
class ArchiveIndex:
    """What an archive holds.

    Attributes
    ----------
    roots
        Folders that were scanned, absolute, sorted.
    files
        One row per record or metadata file and per quarantined or ignored one, sorted by root and path: file (its
        number), root, path (below the root), size [bytes], mtime_ns, digest (of the content; empty if ignored),
        format (name of the reader, "stationxml", or empty), error (why it is quarantined, or empty).
    traces
        One row per trace, sorted by file and number: file, number (position in what `read_file` returns), channel,
        rate, start_ns, npts, dtype, decimals, unit (empty if none is stated), kind, latitude, longitude, elevation
        (nan if not stated), stated_rate_hz.
    problems
        Sorted by path.
    options_digest
        Of the options and readers that it was made with.
    """

    roots: tuple[str, ...]
    files: pd.DataFrame
    traces: pd.DataFrame
    problems: tuple[Problem, ...]
    options_digest: str

    @property
    def metadata_files(self) -> tuple[Path, ...]:
        """StationXML files of the archive."""
        chosen = self.files[self.files["format"] == STATIONXML_FORMAT]
        return tuple(Path(root, path) for root, path in zip(chosen["root"], chosen["path"], strict=True))

    def path_of(self, file: int) -> Path:
        """Where the file of this number is."""
        row = self.files.iloc[int(file)]
        return Path(row["root"], row["path"])

    def save(self, path: Path | str) -> None:
        """Write the index as one Parquet file; a reader sees the old one or the new one, never a part.

        The file has one row per file, with its traces as a nested list; the rest is in the schema's metadata.
        """
        from pyarrow import parquet

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        try:
            parquet.write_table(_to_arrow(self), temporary, compression="zstd")
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path | str) -> ArchiveIndex:
        """Read an index back.

        Raises
        ------
        ReadError
            If the file is missing, damaged, or no index of this version.
        """
        import pyarrow as pa
        from pyarrow import parquet

        try:
            table = parquet.read_table(path)
        except (OSError, pa.ArrowException) as error:
            msg = f"{path}: not an index of an archive: {error}; scan the archive again"
            raise ReadError(msg) from error
        extra = json.loads((table.schema.metadata or {}).get(b"gravdask", b"{}"))
        if extra.get("version") != INDEX_VERSION:
            msg = f"{path}: index of version {extra.get('version')}, expected {INDEX_VERSION}; scan the archive again"
            raise ReadError(msg)
        return _from_arrow(table, extra)


def _to_arrow(index: ArchiveIndex) -> Any:  # noqa: ANN401 - pyarrow is untyped
    """Nest the traces into the files' table."""
    import pyarrow as pa

    counts = np.bincount(index.traces["file"].to_numpy(np.int64), minlength=len(index.files))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    fields = {name: pa.array(index.traces[name].to_numpy(), from_pandas=False) for name in TRACE_COLUMNS}
    nested = pa.ListArray.from_arrays(
        pa.array(offsets), pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    )
    columns = {name: pa.array(index.files[name].to_numpy(), from_pandas=False) for name in FILE_COLUMNS}
    table = pa.table({**columns, "traces": nested})
    extra = {
        "version": INDEX_VERSION,
        "roots": index.roots,
        "options": index.options_digest,
        "problems": [asdict(problem) for problem in index.problems],
    }
    return table.replace_schema_metadata({"gravdask": json.dumps(extra)})


def _from_arrow(table: Any, extra: dict[str, Any]) -> ArchiveIndex:  # noqa: ANN401
    """Undo `_to_arrow`."""
    files = pd.DataFrame({name: table[name].to_pandas() for name in FILE_COLUMNS}).astype(FILE_COLUMNS)
    nested = table["traces"].combine_chunks()
    counts = np.diff(nested.offsets.to_numpy())
    flat = nested.flatten()
    traces = pd.DataFrame({name: flat.field(name).to_pandas() for name in TRACE_COLUMNS})
    traces.insert(0, "number", _positions(counts))
    traces.insert(0, "file", np.repeat(np.arange(len(counts)), counts))
    problems = tuple(Problem(**problem) for problem in extra["problems"])
    return ArchiveIndex(tuple(extra["roots"]), files, traces.astype(_TRACE_TABLE), problems, extra["options"])


def _positions(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... within each of the files that have so many traces."""
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(np.arange(counts.sum()) - starts, dtype=np.int64)


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
) -> ArchiveIndex:
    """Index the files below some folders.

    Parameters
    ----------
    roots
        Folders (or single files) of the archive.
    options
        What its files do not say.
    previous
        Index of the last scan, if there is one: unchanged files are taken from it. It is not used if it was made with
        other options or readers.
    report
        Called after each file that was looked into: files done, files to do, path.
    map_function
        Applies `inspect_file` to the tasks; both can be pickled. The order of its results does not matter.

    Returns
    -------
    index
        The same for the same files, in whatever order they were read.

    Raises
    ------
    ReadError
        If a root is missing, or no record at all was found.
    """
    options = options or ReadOptions()
    digest = options_digest(options)
    found, problems = walk(roots)
    old = _Previous(previous if previous is not None and previous.options_digest == digest else None)
    reports = {file: kept for file in found if (kept := old.unchanged(file))}
    tasks = [FileTask(file, options, old.known_digest(file)) for file in found if file not in reports]
    for done, result in enumerate(map_function(inspect_file, tasks), 1):
        reports[result.file] = old.renewed(result) if result.unchanged else result
        if report is not None:
            report(done, len(tasks), str(result.file.absolute))
    absolute = tuple(sorted({os.path.abspath(root) for root in roots}))
    index = _build(absolute, [reports[file] for file in found], problems, digest)
    if index.traces.empty:
        raise ReadError(_nothing_found(index))
    return index


class _Previous:
    """Rows of an earlier index by file, to be taken over."""

    def __init__(self, index: ArchiveIndex | None) -> None:
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}
        self._traces = pd.DataFrame()
        self._problems: dict[str, list[Problem]] = defaultdict(list)
        if index is None:
            return
        for row in index.files.to_dict("records"):
            self._rows[row["root"], row["path"]] = {str(name): value for name, value in row.items()}
        self._traces = index.traces
        self._bounds = np.searchsorted(index.traces["file"].to_numpy(), np.arange(len(index.files) + 1))
        for problem in index.problems:
            self._problems[problem.path].append(problem)

    def known_digest(self, file: FoundFile) -> str:
        """Digest that the file had, if its size is still the same."""
        row = self._rows.get((file.root, file.path))
        return str(row["digest"]) if row and row["size"] == file.size else ""

    def unchanged(self, file: FoundFile) -> FileReport | None:
        """Report of a file whose size and time of modification are as they were."""
        row = self._rows.get((file.root, file.path))
        if row is None or (row["size"], row["mtime_ns"]) != (file.size, file.mtime_ns):
            return None
        return self._report(file, row)

    def renewed(self, result: FileReport) -> FileReport:
        """Report of a file that was touched but has the same content."""
        return self._report(result.file, self._rows[result.file.root, result.file.path])

    def _report(self, file: FoundFile, row: dict[str, Any]) -> FileReport:
        """Take over the rows of a file."""
        start, stop = self._bounds[row["file"]], self._bounds[row["file"] + 1]
        traces = [
            {str(name): value for name, value in trace.items()}
            for trace in self._traces.iloc[start:stop][list(TRACE_COLUMNS)].to_dict("records")
        ]
        problems = self._problems.get(str(file.absolute), [])
        return FileReport(file, True, row["digest"], row["format"], row["error"], traces, problems)


def _build(roots: tuple[str, ...], reports: list[FileReport], problems: list[Problem], digest: str) -> ArchiveIndex:
    """Make the tables from the reports, which are in the order of the files."""
    files = pd.DataFrame(
        [
            (number, r.file.root, r.file.path, r.file.size, r.file.mtime_ns, r.digest, r.format, r.error)
            for number, r in enumerate(reports)
        ],
        columns=list(FILE_COLUMNS),
    ).astype(FILE_COLUMNS)
    traces = pd.DataFrame(_trace_rows(reports), columns=list(_TRACE_TABLE)).astype(_TRACE_TABLE)
    every = sorted({*problems, *(problem for r in reports for problem in r.problems)})
    return ArchiveIndex(roots, files, traces, tuple(every), digest)


def _trace_rows(reports: list[FileReport]) -> Iterator[tuple[Any, ...]]:
    """Rows of the trace table."""
    for file, result in enumerate(reports):
        for number, row in enumerate(result.traces):
            yield (file, number, *(row[name] for name in TRACE_COLUMNS))


def _nothing_found(index: ArchiveIndex) -> str:
    """Say what was looked for where no record was found."""
    tried = ", ".join(reader_names())
    quarantined = [problem for problem in index.problems if problem.severity == "quarantined"]
    first = f"; the first of {len(quarantined)} damaged files: {quarantined[0]}" if quarantined else ""
    return (
        f"no record in {', '.join(index.roots)}: looked at {len(index.files)} files for the formats {tried}{first}; "
        "check the path"
    )

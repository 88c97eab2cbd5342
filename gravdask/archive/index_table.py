"""The tables of an index, and the Parquet file that they are kept in."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gravdask.archive.damage import Problem
from gravdask.archive.inspect_file import TRACE_COLUMNS
from gravdask.archive.locations import as_location, join, join_all
from gravdask.archive.metadata_formats import DATALESS, RESP, STATIONXML
from gravdask.errors import ReadError

INDEX_VERSION = 2
"""Raised when the rows of an older index must not be taken over."""
REREAD = 1 - 2**63
"""Stands for the time of modification of a file that the next scan must read, whatever the file's time says."""
FILE_COLUMNS = {
    "file": "int64",
    "root": "str",
    "path": "str",
    "size": "int64",
    "mtime_ns": "int64",
    "mark": "str",
    "digest": "str",
    "format": "str",
    "error": "str",
}
"""Columns of the file table, with their types."""
TRACE_TABLE = {"file": "int64", "number": "int64", **TRACE_COLUMNS}
_EMPTY = {"str": "", "int64": 0, "float64": float("nan"), "bool": False}


@dataclass(frozen=True, eq=False)
class ArchiveIndex:
    """What an archive holds.

    Attributes
    ----------
    roots
        Folders and addresses that were scanned, absolute, sorted.
    files
        One row per record or metadata file and per quarantined or ignored one, those found now sorted by root and
        path, then those that are kept from the scan before: file (its number), root, path (below the root), size
        [bytes], mtime_ns (`REREAD` if the next scan must look into it), mark (an object store's ETag), digest (of the
        content, or ``stat-...`` where size and time stand in for it; empty if ignored or never read), format (name of
        the reader or of the kind of metadata, or empty), error (why it is quarantined, or empty).
    traces
        One row per trace, sorted by file and number: file, number (position in what `read_file` returns), and the
        columns `TRACE_COLUMNS`: channel, rate, start_ns, npts, dtype, decimals, unit (empty if none is stated), kind,
        latitude, longitude, elevation (nan if not stated), stated_rate_hz, ...
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
    def metadata_files(self) -> tuple[Path | str, ...]:
        """StationXML, RESP and dataless SEED of the archive: paths, or the texts of addresses."""
        chosen = self.files[self.files["format"].isin([STATIONXML, RESP, DATALESS])]
        return tuple(as_location(join(root, path)) for root, path in zip(chosen["root"], chosen["path"], strict=True))

    def path_of(self, file: int) -> Path | str:
        """Where the file of this number is: a path, or the text of an address."""
        row = self.files.iloc[int(file)]
        return as_location(join(row["root"], row["path"]))

    def locations(self) -> list[str]:
        """Where each file is, in the order of the table."""
        return join_all(self.files["root"].tolist(), self.files["path"].tolist())

    def recording(self) -> pd.DataFrame:
        """Rows of the files that hold records."""
        return self.files[np.isin(self.files["file"].to_numpy(), self.traces["file"].to_numpy())]

    def duplicates(self) -> list[tuple[str, str]]:
        """Files with records that have the content of another, and that other one, which is used instead."""
        rows = self.recording()
        rows = rows[rows["digest"].duplicated(keep=False)]
        where = sorted((d, join(r, p)) for d, r, p in zip(rows["digest"], rows["root"], rows["path"], strict=True))
        first: dict[str, str] = {}
        for digest, location in where:
            first.setdefault(digest, location)
        return sorted((location, first[digest]) for digest, location in where if location != first[digest])

    def equals(self, other: ArchiveIndex) -> bool:
        """Whether another index says exactly the same."""
        return self is other or (
            (self.roots, self.problems, self.options_digest) == (other.roots, other.problems, other.options_digest)
            and self.files.equals(other.files)
            and self.traces.equals(other.traces)
        )

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

        One of an older version comes back with what it holds and no digest of options: what it knows of roots and
        files still counts, but every file is read again.

        Raises
        ------
        ReadError
            If the file is missing, damaged, of a later version, or no index.
        """
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(path) as file:
                extra = json.loads((file.schema_arrow.metadata or {}).get(b"gravdask", b"{}"))
                version = extra.get("version")
                if not isinstance(version, int) or version > INDEX_VERSION:
                    msg = f"{path}: index of version {version}, expected {INDEX_VERSION}; scan the archive again"
                    raise ReadError(msg)
                return _from_parquet(file, extra)
        except (OSError, pa.ArrowException) as error:
            msg = f"{path}: not an index of an archive: {error}; scan the archive again"
            raise ReadError(msg) from error
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            msg = f"{path}: an index that lacks {error}; scan the archive again"
            raise ReadError(msg) from error


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


def _from_parquet(file: Any, extra: dict[str, Any]) -> ArchiveIndex:  # noqa: ANN401
    """Undo `_to_arrow`, column by column: twice the whole would be gigabytes for millions of files.

    Columns that an older index lacks are empty.
    """
    names = set(file.schema_arrow.names)
    nested = file.schema_arrow.field("traces").type.value_type
    known = {nested.field(n).name for n in range(nested.num_fields)}

    def column(name: str) -> Any:  # noqa: ANN401
        """One column of the files."""
        return file.read(columns=[name], use_threads=False)[name].to_pandas()

    def of_traces(name: str) -> Any:  # noqa: ANN401
        """One column of the traces."""
        held = file.read(columns=[f"traces.list.element.{name}"], use_threads=False)["traces"].combine_chunks()
        return held.flatten().field(name).to_pandas()

    some = file.read(columns=[f"traces.list.element.{min(known)}"])["traces"].combine_chunks()
    counts = np.diff(some.offsets.to_numpy())
    del some
    files = _frame(column, FILE_COLUMNS, names, file.metadata.num_rows)
    traces = _frame(of_traces, TRACE_COLUMNS, known, int(counts.sum()))
    traces.insert(0, "number", positions(counts))
    traces.insert(0, "file", np.repeat(np.arange(len(counts)), counts))
    problems = tuple(Problem(**problem) for problem in extra["problems"])
    whole = extra["version"] == INDEX_VERSION and known >= TRACE_COLUMNS.keys() and "mark" in names
    options = extra["options"] if whole else ""
    return ArchiveIndex(tuple(extra["roots"]), files, traces, problems, options)


def _frame(column: Callable[[str], Any], types: dict[str, str], known: set[str], rows: int) -> pd.DataFrame:
    """Table of the columns that there are, with empty ones for the rest."""
    made = {}
    for name, kind in types.items():
        held: Any = column(name) if name in known else pd.Series(np.full(rows, _EMPTY[kind]))
        made[name] = held.astype(kind)
    return pd.DataFrame(made, copy=False)


def positions(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... within each of the groups that have so many members."""
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(np.arange(counts.sum()) - starts, dtype=np.int64)

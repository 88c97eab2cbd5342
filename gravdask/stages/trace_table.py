"""The traces of an index as columns that are small, with texts made for those rows only that are looked at.

A network has millions of traces, of which whole tables cannot be copied: words that repeat are kept as numbers, and
paths and digests stay where the index has them, one for each file.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gravdask.archive.index import ArchiveIndex
from gravdask.archive.locations import join
from gravdask.stages.placements import Texts

WORDS = ("channel", "rate", "dtype", "unit", "kind", "recipe")
"""Columns in which few texts stand again and again."""
TEXTS = ("path", "digest")
"""Columns of which every file has its own text."""
_LEFT_OUT = ("file", "format", "stated_rate_hz")


@dataclass(frozen=True)
class Words:
    """A column of few different texts.

    Attributes
    ----------
    codes
        Number of each row's text, -1 for none.
    texts
        The texts.
    """

    codes: NDArray[np.int32]
    texts: list[str]

    @classmethod
    def of(cls, column: pd.Series[Any]) -> Words:
        """Make one of a table's column."""
        codes, texts = pd.factorize(column)
        return cls(codes.astype(np.int32), [str(text) for text in texts])

    def taken(self, rows: NDArray[np.int64]) -> list[str]:
        """Texts of some rows, '' for none."""
        return [self.texts[code] if code >= 0 else "" for code in self.codes[rows].tolist()]

    def different(self, rows: NDArray[np.int64]) -> set[str]:
        """Texts that any of some rows have."""
        return {self.texts[code] for code in np.unique(self.codes[rows]).tolist() if code >= 0}


def _texts(column: pd.Series[Any]) -> Texts:
    """Keep a column of texts in one piece of memory, from which single rows are taken fast."""
    import pyarrow as pa

    kept = pa.array(column.array, pa.large_string())
    if isinstance(kept, pa.ChunkedArray):
        kept = kept.combine_chunks()
    return lambda rows: kept.take(pa.array(rows)).to_pylist()


def _columns(traces: pd.DataFrame) -> tuple[dict[str, NDArray[Any]], dict[str, Words]]:
    """Columns of numbers and of words."""
    held = [name for name in traces.columns if name not in (*WORDS, *TEXTS, *_LEFT_OUT)]
    return {str(name): traces[name].to_numpy() for name in held}, {name: Words.of(traces[name]) for name in WORDS}


class TraceTable:
    """Traces by row.

    Parameters
    ----------
    numbers
        Columns of numbers: start_ns, npts, number, decimals, latitude, longitude, elevation, and if there is anything
        to say tide_applied, shift_ns, across.
    words
        The columns `WORDS`.
    path, digest
        Give the texts of some rows.
    """

    def __init__(self, numbers: dict[str, NDArray[Any]], words: dict[str, Words], path: Texts, digest: Texts) -> None:
        self.numbers, self.words, self.path, self.digest = numbers, words, path, digest

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.numbers["start_ns"].size)

    @classmethod
    def of(cls, traces: pd.DataFrame) -> TraceTable:
        """Take a table of traces with the paths and digests of their files."""
        return cls(*_columns(traces), _texts(traces["path"]), _texts(traces["digest"]))

    @classmethod
    def of_index(cls, index: ArchiveIndex) -> TraceTable:
        """Take all traces of an index."""
        traces, files = index.traces, index.files
        place = np.full(int(files["file"].max()) + 1 if len(files) else 0, -1, np.int64)
        place[files["file"].to_numpy()] = np.arange(len(files))
        file = place[traces["file"].to_numpy()].astype(np.int32)
        roots, below, digests = Words.of(files["root"]), _texts(files["path"]), _texts(files["digest"])

        def path(rows: NDArray[np.int64]) -> list[str]:
            """Where the files of some rows are."""
            return [join(*parts) for parts in zip(roots.taken(file[rows]), below(file[rows]), strict=True)]

        def digest(rows: NDArray[np.int64]) -> list[str]:
            """Digests of the files of some rows."""
            return digests(file[rows])

        return cls(*_columns(traces), path, digest)

    def groups(self, rows: NDArray[np.int64]) -> dict[tuple[str, str], NDArray[np.int64]]:
        """Rows of every channel and rate among some rows, each in their order."""
        channel, rate = self.words["channel"], self.words["rate"]
        key = channel.codes[rows].astype(np.int64) * len(rate.texts) + rate.codes[rows]
        order = np.argsort(key, kind="stable")
        edges = np.flatnonzero(np.diff(key[order], prepend=-1))
        found = {}
        for first, last in pairwise([*edges.tolist(), len(rows)]):
            code = int(key[order[first]])
            name = channel.texts[code // len(rate.texts)], rate.texts[code % len(rate.texts)]
            found[name] = rows[order[first:last]]
        return found

    def in_order(self, rows: NDArray[np.int64], by: NDArray[np.int64]) -> NDArray[np.intp]:
        """Order some rows by a number of each, their digests, and their numbers within their files."""
        order = np.lexsort((self.numbers["number"][rows], by))
        if not (np.diff(by[order]) == 0).any():
            return order
        keys = list(zip(by.tolist(), self.digest(rows), self.numbers["number"][rows].tolist(), strict=True))
        return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.intp)

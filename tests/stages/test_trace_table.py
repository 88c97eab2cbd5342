"""Traces of an index as columns: the same rows as the joined tables, in groups and in order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gravdask.archive.damage import Problem
from gravdask.archive.index import ArchiveIndex
from gravdask.archive.index_table import FILE_COLUMNS, TRACE_TABLE
from gravdask.archive.locations import join
from gravdask.stages.index_file import problems_only
from gravdask.stages.trace_table import TraceTable


@pytest.fixture
def index() -> ArchiveIndex:
    """Forty files in two roots, one of which is a file itself, with up to three traces each."""
    rng = np.random.default_rng(3)
    empty = {"str": "", "int64": 0, "float64": np.nan, "bool": False}
    files = pd.DataFrame({name: [empty[kind]] * 40 for name, kind in FILE_COLUMNS.items()})
    files["file"] = rng.permutation(40) + 5
    files["root"] = ["/one"] * 20 + ["/two/"] * 19 + ["/three.ms"]
    files["path"] = [*(f"a/{n}.ms" for n in range(39)), ""]
    files["digest"] = [f"d{n % 7}" for n in range(40)]
    held = np.repeat(files["file"], [*rng.integers(0, 4, 39), 2])
    traces = pd.DataFrame({name: [empty[kind]] * len(held) for name, kind in TRACE_TABLE.items()})
    traces["file"] = held.to_numpy()
    traces["number"] = held.groupby(held).cumcount().to_numpy()
    traces["channel"] = rng.choice(["XX.A.--.UGZ", "XX.B.--.UGZ"], len(held))
    traces["rate"] = rng.choice(["1Hz", "60s"], len(held))
    traces["recipe"] = rng.choice(["", "linear"], len(held))
    traces["start_ns"] = rng.integers(0, 5, len(held)) * 10**9
    tables = files.astype(FILE_COLUMNS), traces.astype(TRACE_TABLE)
    return ArchiveIndex(("/one", "/three.ms", "/two"), *tables, (Problem("a", "quarantined", "b", "c"),), "options")


def test_rows_have_the_texts_of_their_files(index: ArchiveIndex) -> None:
    table = TraceTable.of_index(index)
    files = index.files[["file", "root", "path", "digest"]]
    joined = index.traces.merge(files, on="file")
    assert len(table) == len(joined) == len(index.traces)
    rows = np.random.default_rng(0).permutation(len(joined))
    expected = joined.iloc[rows]
    assert table.path(rows) == [join(r, p) for r, p in zip(expected["root"], expected["path"], strict=True)]
    assert table.digest(rows) == expected["digest"].tolist()
    assert table.words["recipe"].taken(rows) == expected["recipe"].tolist()
    assert table.words["channel"].different(rows[:1]) == {expected["channel"].iloc[0]}
    assert table.numbers["start_ns"][rows].tolist() == expected["start_ns"].tolist()
    assert table.path(rows).count("/three.ms") == 2


def test_groups_and_their_order_are_those_of_the_table(index: ArchiveIndex) -> None:
    table = TraceTable.of_index(index)
    joined = index.traces.merge(index.files[["file", "digest"]], on="file")
    rows = np.flatnonzero(joined["start_ns"].to_numpy() > 0)
    groups = table.groups(rows)
    expected = joined.iloc[rows].groupby(["channel", "rate"]).groups
    assert {key: mine.tolist() for key, mine in groups.items()} == {k: list(v) for k, v in expected.items()}
    for mine in groups.values():
        order = table.in_order(mine, table.numbers["start_ns"][mine])
        told = joined.iloc[mine[order]][["start_ns", "digest", "number"]].to_numpy().tolist()
        assert told == sorted(told)


def test_a_joined_table_is_the_same_as_the_index(index: ArchiveIndex) -> None:
    files = index.files[["file", "root", "path", "digest"]].copy()
    files["path"] = [join(r, p) for r, p in zip(files["root"], files["path"], strict=True)]
    joined = TraceTable.of(index.traces.merge(files[["file", "path", "digest"]], on="file"))
    table, rows = TraceTable.of_index(index), np.arange(len(index.traces))
    assert joined.path(rows) == table.path(rows)
    assert joined.digest(rows) == table.digest(rows)
    assert joined.numbers.keys() == table.numbers.keys()
    assert all(joined.words[name].taken(rows) == table.words[name].taken(rows) for name in table.words)


def test_an_index_without_tables_keeps_its_problems(index: ArchiveIndex) -> None:
    less = problems_only(index)
    assert (less.roots, less.problems, less.options_digest) == (index.roots, index.problems, "options")
    assert (len(less.files), len(less.traces)) == (0, 0)
    assert list(less.traces.columns) == list(index.traces.columns)
    assert len(index.traces)

"""What changed between two scans, and what that makes stale."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.archive.index_diff import below, diff, stale_lines, stale_spans
from gravdask.archive.index_table import FILE_COLUMNS, TRACE_TABLE, ArchiveIndex

SECOND = 10**9
DAY = 86_400 * SECOND

Content = tuple[tuple[str, int, int], ...]
"""(channel, first second, seconds) of each trace of a file at 1 Hz."""


def made(files: dict[str, Content], root: str = "/archive", salt: str = "") -> ArchiveIndex:
    """An index of files with these traces; the digest is that of the content."""
    rows, traces = [], []
    for number, path in enumerate(sorted(files)):
        digest = hashlib.blake2b(repr((files[path], salt)).encode(), digest_size=16).hexdigest()
        rows.append((number, root, path, 1, 1, "", digest, "tsoft" if files[path] else "", ""))
        for n, (channel, start, npts) in enumerate(files[path]):
            about = ("int32", 0, "", "gravity", np.nan, np.nan, np.nan, np.nan, False, "")
            traces.append((number, n, channel, "1Hz", start * SECOND, npts, *about))
    table = pd.DataFrame(rows, columns=list(FILE_COLUMNS)).astype(FILE_COLUMNS)
    return ArchiveIndex((root,), table, pd.DataFrame(traces, columns=list(TRACE_TABLE)).astype(TRACE_TABLE), (), "x")


def seconds(spans: dict[str, np.ndarray]) -> dict[str, set[int]]:
    return {c: {s for a, b in found // SECOND for s in range(a, b)} for c, found in spans.items()}


contents = st.lists(
    st.tuples(st.sampled_from(["XX.A.--.UGZ", "XX.B.--.UGZ"]), st.integers(0, 60), st.integers(1, 20)), max_size=3
).map(tuple)
archives = st.dictionaries(st.sampled_from([f"f{n}" for n in range(6)]), contents, max_size=5)


@settings(max_examples=50, deadline=None)
@given(archives, archives)
def test_stale_spans_are_those_of_the_traces_that_differ(before: dict[str, Content], after: dict[str, Content]) -> None:
    found = stale_spans(made(before), made(after))
    known, now = set(before.values()), set(after.values())
    expected: dict[str, set[int]] = {}
    for content in known ^ now:  # a content that is in both, wherever, touches nothing
        for channel, start, npts in content:
            expected.setdefault(channel, set()).update(range(start, start + npts))
    assert seconds(found) == expected
    for spans in found.values():
        assert (spans[:, 1] > spans[:, 0]).all()
        assert (spans[1:, 0] > spans[:-1, 1]).all()


@settings(max_examples=40, deadline=None)
@given(archives, archives)
def test_files_are_sorted_into_new_changed_removed_and_moved(
    before: dict[str, Content], after: dict[str, Content]
) -> None:
    change = diff(made(before), made(after))
    added, removed = {str(p) for p in change.added}, {str(p) for p in change.removed}
    olds, news = {str(a) for a, _ in change.moved}, {str(b) for _, b in change.moved}
    assert added | news == {f"/archive/{p}" for p in after.keys() - before.keys()}
    assert removed | olds == {f"/archive/{p}" for p in before.keys() - after.keys()}
    assert {str(p) for p in change.changed} == {f"/archive/{p}" for p in before if p in after and before[p] != after[p]}
    for old, new in change.moved:
        assert before[Path(old).name] == after[Path(new).name]
    left = [before[Path(p).name] for p in removed]
    assert not [p for p in added if after[Path(p).name] in left]
    assert bool(change) == (before != after)


def test_moving_many_files_takes_no_square_of_their_number() -> None:
    many = {f"{n:05d}": (("XX.A.--.UGZ", n, 1),) for n in range(20_000)}
    change = diff(made(many), made({f"new/{path}": content for path, content in many.items()}))
    assert len(change.moved) == 20_000
    assert change.moved[7] == (Path("/archive/00007"), Path("/archive/new/00007"))
    assert change.in_words() == "0 files new, 0 changed, 0 removed, 20000 moved"


def test_a_corrected_clock_makes_everything_stale() -> None:
    before, after = made({"f": (("XX.A.--.UGZ", 0, 10),)}), made({"f": (("XX.A.--.UGZ", 100, 10),)})
    after.files["digest"] = before.files["digest"]
    assert seconds(stale_spans(before, after)) == {"XX.A.--.UGZ": {*range(10), *range(100, 110)}}
    assert not diff(before, after)


def test_one_index_differs_from_itself_in_nothing() -> None:
    index = made({"f": (("XX.A.--.UGZ", 0, 10),)})
    assert not diff(index, index)
    assert stale_spans(index, index) == {}


def test_files_that_are_no_records_are_no_change_but_damage_is() -> None:
    before = made({"f": (("XX.A.--.UGZ", 0, 10),), "readme": ()})
    before.files.loc[1, "digest"] = ""
    after = made({"f": ()})
    after.files.loc[0, ["digest", "error"]] = ["", "[quarantined] cannot be read now"]
    change = diff(before, after)
    assert (change.changed, change.removed) == ((Path("/archive/f"),), ())


def test_words() -> None:
    spans = {
        "XX.A.--.UGZ": np.array([[0, DAY], [10 * DAY, 12 * DAY]]),
        "XX.B.--.UGZ": np.array([[DAY, DAY + DAY // 4]]),
    }
    assert stale_lines(spans) == [
        "XX.A.--.UGZ          2 spans, 3.00 days, 1970-01-01T00:00:00 to 1970-01-13T00:00:00",
        "XX.B.--.UGZ          1 span, 0.25 days, 1970-01-02T00:00:00 to 1970-01-02T06:00:00",
    ]


@pytest.mark.parametrize("roots", [("/one",), ("/two",), ("/one", "/two"), ()])
def test_part_of_an_index(roots: tuple[str, ...]) -> None:
    one = made({"f": (("XX.A.--.UGZ", 0, 10),), "g": (("XX.A.--.UGZ", 20, 10), ("XX.B.--.UGZ", 0, 5))}, "/one")
    two = made({"h": (("XX.B.--.UGZ", 50, 10),)}, "/two")
    both = ArchiveIndex(
        ("/one", "/two"),
        pd.concat([two.files, one.files.assign(file=one.files["file"] + 1)], ignore_index=True),
        pd.concat([two.traces, one.traces.assign(file=one.traces["file"] + 1)], ignore_index=True),
        (),
        "x",
    )
    part = below(both, roots)
    expected = {p for root, index in (("/one", one), ("/two", two)) if root in roots for p in index.locations()}
    assert set(part.locations()) == expected
    assert part.files["file"].tolist() == list(range(len(part.files)))
    named = {str(part.path_of(n)) for n in part.traces["file"]}
    assert named == expected
    if roots == ("/one",):
        pd.testing.assert_frame_equal(part.traces, one.traces)

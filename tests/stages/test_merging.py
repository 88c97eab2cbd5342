"""convert's merging of traces: lossless, independent of order, overlaps by the farther end, gaps stay gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gravdask.archive.reader import ReadOptions
from gravdask.archive.traces import ChannelId, Trace
from gravdask.errors import ReadError
from gravdask.grid import Rate
from gravdask.stages import convert
from gravdask.stages.base import Task
from gravdask.stages.convert import _merge_files, _Merger, _numbers, overlap_notes
from gravdask.stages.placement import Placement
from gravdask.store.ledger import Record

CHANNEL = ChannelId("XX", "A", "", "UGZ")
MISSING = -(2**31)
SIZE, START = 40, 1000


def trace(values: NDArray[Any], decimals: int = 0) -> Trace:
    return Trace(CHANNEL, Rate(1, 1), 0, len(values), values, values.dtype.name, decimals)


def merger(open_mask: NDArray[np.bool_] | None = None) -> _Merger:
    mask = np.ones(SIZE, bool) if open_mask is None else open_mask
    return _Merger(np.full(SIZE, MISSING, np.int32), mask, START, MISSING)


def merge_archive(
    files: dict[tuple[str, str], list[tuple[int, NDArray[np.int32]]]],
    placements: list[Placement],
    unreadable: tuple[str, ...] = (),
    mask: NDArray[np.bool_] | None = None,
    parts: bool = False,
) -> tuple[_Merger, list[dict[str, Any]], list[str]]:
    """Merge what files hold, keyed by digest and path, as the stage does, without any file.

    With ``parts`` the reader gives of each trace what is asked for and nothing else.
    """
    read: list[str] = []

    def read_file(path: Path, options: ReadOptions, wanted: Mapping[int, tuple[int, int]]) -> list[Trace]:
        del options
        read.append(str(path))
        if str(path) in unreadable:
            message = f"{path}: broken"
            raise ReadError(message)
        found = [trace(values) for key, traces in files.items() if key[1] == str(path) for _, values in traces]
        for number, whole in enumerate(found if parts else ()):
            first, stop = wanted.get(number, (0, 0))
            values = None if whole.values is None or stop == first else whole.values[first:stop]
            found[number] = replace(whole, values=values, part=(first, stop))
        return found

    payload = {"placements": placements, "options": ReadOptions(), "decimals": 0}
    task = Task("convert", str(CHANNEL), 0, "", {}, (), payload)
    target = merger(mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "open_source", read_file)
        problems = _merge_files(task, target)
    return target, problems, read


def placements_of(files: dict[tuple[str, str], list[tuple[int, NDArray[np.int32]]]]) -> list[Placement]:
    return [
        Placement(path, digest, number, start, len(values))
        for (digest, path), traces in files.items()
        for number, (start, values) in enumerate(traces)
    ]


def oracle(files: dict[tuple[str, str], list[tuple[int, NDArray[np.int32]]]]) -> tuple[NDArray[np.int32], int]:
    """Sample by sample: the trace whose nearer end is farthest, then the lower digest, then the lower number."""
    samples = np.full(SIZE, MISSING, np.int32)
    claims = 0
    for k in range(SIZE):
        candidates = []
        for (digest, _), traces in files.items():
            for number, (start, values) in enumerate(traces):
                inside = START + k - start
                if 0 <= inside < len(values) and values[inside] != MISSING:
                    farther = min(inside, len(values) - 1 - inside)
                    candidates.append((-farther, digest, number, int(values[inside])))
        claims += max(len(candidates) - 1, 0)
        if candidates:
            samples[k] = min(candidates)[3]
    return samples, claims


MARK = f"{MISSING}, which stands for a missing sample"


@st.composite
def archives(draw: st.DrawFn) -> dict[tuple[str, str], list[tuple[int, NDArray[np.int32]]]]:
    """Up to five files of one or two traces that overlap one another and the unit's edges; some samples missing."""
    files = {}
    value = iter(range(1, 10_000))
    for n in range(draw(st.integers(1, 5))):
        traces = []
        for _ in range(draw(st.integers(1, 2))):
            length = draw(st.integers(1, 50))
            start = draw(st.integers(START - 45, START + SIZE + 5))
            same = draw(st.booleans())
            values = np.array([(start + k) % 97 + 20_000 if same else next(value) for k in range(length)], np.int32)
            values[draw(st.lists(st.integers(0, length - 1), max_size=3))] = MISSING
            traces.append((start, values))
        files[f"digest{draw(st.integers(0, 10**6)):07d}{n}", f"file{n}.ms"] = traces
    return files


@settings(max_examples=150, deadline=None)
@given(files=archives(), data=st.data())
def test_any_order_gives_what_the_rule_says(
    files: dict[tuple[str, str], list[tuple[int, NDArray[np.int32]]]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(placements_of(files)))
    found, problems, _ = merge_archive(files, shuffled, parts=data.draw(st.booleans()))
    samples, claims = oracle(files)
    np.testing.assert_array_equal(found.samples, samples)
    assert found.overlapping == claims
    assert [p["what"].split(" are ")[1] for p in problems] == [MARK] * len(problems)
    plain, _, _ = merge_archive(files, placements_of(files))
    assert (found.differing, found.overlapping) == (plain.differing, plain.overlapping)


def test_the_filtered_ends_of_traces_are_not_taken() -> None:
    left, right = np.arange(0, 30, dtype=np.int32), np.arange(100, 130, dtype=np.int32)
    target = merger()
    target.merge(Placement("a", "a", 0, START, 30), left)
    target.merge(Placement("b", "b", 0, START + 10, 30), right)
    expected = np.concatenate([left[:20], right[10:]])
    np.testing.assert_array_equal(target.samples, expected)
    assert (target.overlapping, target.differing) == (20, 20)


def test_equal_samples_of_two_files_do_not_differ() -> None:
    values = np.arange(30, dtype=np.int32)
    target = merger()
    target.merge(Placement("a", "a", 0, START, 30), values)
    target.merge(Placement("b", "b", 0, START + 10, 20), values[10:])
    assert (target.overlapping, target.differing) == (20, 0)
    other = values[10:].copy()
    other[[3, 8]] += 1
    target.merge(Placement("c", "c", 0, START + 10, 20), other)
    assert (target.overlapping, target.differing) == (40, 2)


def test_missing_samples_of_a_trace_do_not_erase_another() -> None:
    inner = np.full(40, MISSING, np.int32)
    inner[5] = 7
    target = merger()
    target.merge(Placement("a", "a", 0, START, 3), np.array([1, 2, 3], np.int32))
    target.merge(
        Placement("b", "b", 0, START - 10, 60), np.concatenate([np.full(10, MISSING, np.int32), inner, inner[:10]])
    )
    assert target.samples[[0, 1, 2, 5]].tolist() == [1, 2, 3, 7]
    assert (np.delete(target.samples, [0, 1, 2, 5]) == MISSING).all()
    assert target.overlapping == 0


def test_nan_of_floats_is_missing() -> None:
    target = _Merger(np.full(4, np.nan), np.ones(4, bool), 0, float("nan"))
    target.merge(Placement("a", "a", 0, 0, 4), np.array([1.0, np.nan, 3.0, np.nan]))
    target.merge(Placement("b", "b", 0, 1, 3), np.array([5.0, np.nan, 6.0]))
    np.testing.assert_array_equal(target.samples, [1.0, 5.0, 3.0, 6.0])
    assert (target.overlapping, target.differing) == (0, 0)


def test_only_the_open_part_changes() -> None:
    mask = np.zeros(SIZE, bool)
    mask[10:20] = True
    target = merger(mask)
    target.samples[:] = -1
    target.samples[10:20] = MISSING
    target.merge(Placement("a", "a", 0, START - 5, 100), np.arange(100, dtype=np.int32))
    np.testing.assert_array_equal(target.samples[10:20], np.arange(15, 25))
    assert (np.delete(target.samples, np.s_[10:20]) == -1).all()
    assert target.wants(Placement("b", "b", 0, START + 19, 5))
    for start, npts in [(START + 20, 5), (START, 10), (START - 50, 20), (START + SIZE, 5), (START + SIZE + 9, 3)]:
        assert not target.wants(Placement("b", "b", 0, start, npts))


@pytest.mark.parametrize("parts", [False, True])
def test_redoing_some_chunks_gives_the_same_as_doing_all(parts: bool) -> None:
    """Law 2 and 3: what a late file makes stale ends as if it had been there from the start."""
    generator = np.random.default_rng(3)
    files = {
        (f"d{n}", f"f{n}"): [(START + int(s), generator.integers(0, 99, 25).astype(np.int32))]
        for n, s in enumerate(generator.integers(-20, 35, 6))
    }
    whole, _, _ = merge_archive(files, placements_of(files))
    mask = np.zeros(SIZE, bool)
    mask[8:24] = True
    part, _, read = merge_archive(files, placements_of(files), mask=mask, parts=parts)
    np.testing.assert_array_equal(part.samples[mask], whole.samples[mask])
    needed = {p.path for p in placements_of(files) if p.start < START + 24 and p.stop > START + 8}
    assert set(read) == needed


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_that_lies_in_the_archive_twice_counts_once() -> None:
    values = np.arange(30, dtype=np.int32)
    files = {("d", "a.ms"): [(START, values)], ("d", "copy/a.ms"): [(START, values)]}
    found, problems, read = merge_archive(files, placements_of(files))
    assert (found.overlapping, problems, read) == (0, [], ["a.ms"])
    found, problems, _ = merge_archive(files, placements_of(files), unreadable=("a.ms",))
    np.testing.assert_array_equal(found.samples[:30], values)
    assert [p["where"] for p in problems] == ["a.ms"]


def test_a_file_that_cannot_be_read_is_listed_and_the_rest_is_merged() -> None:
    values = np.arange(10, dtype=np.int32)
    files = {("d0", "bad.ms"): [(START, values)], ("d1", "good.ms"): [(START + 5, values)]}
    found, problems, _ = merge_archive(files, placements_of(files), unreadable=("bad.ms",))
    assert problems == [{"where": "bad.ms", "line": 0, "what": "bad.ms: broken", "cure": f"left out of {CHANNEL}"}]
    np.testing.assert_array_equal(found.samples[5:15], values)
    assert (found.samples[:5] == MISSING).all()


@pytest.mark.parametrize("change", [{"npts": 9}, {"number": 1}])
def test_a_file_that_changed_since_the_scan_is_listed(change: dict[str, int]) -> None:
    files = {("d", "a.ms"): [(START, np.arange(10, dtype=np.int32))]}
    stale = Placement(**({"path": "a.ms", "digest": "d", "number": 0, "start": START, "npts": 10} | change))  # type: ignore[arg-type]
    found, problems, _ = merge_archive(files, [stale])
    assert problems[0]["what"] == "a.ms: the file changed since it was scanned; run again"
    assert (found.samples == MISSING).all()


# --- numbers ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=1, max_size=20),
    own=st.integers(0, 4),
    more=st.integers(0, 5),
)
def test_decimals_are_brought_up_exactly(values: list[int], own: int, more: int) -> None:
    found = _numbers(np.array(values, np.int32), own, np.dtype("int64"), own + more)
    assert found.dtype == np.int64
    assert found.tolist() == [v * 10**more for v in values]


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
def test_numbers_of_the_channels_own_type_stay_as_they_are(dtype: str) -> None:
    values = np.random.default_rng(0).integers(-(10**6), 10**6, 50).astype(dtype)
    copy = values.copy()
    found = _numbers(values, 2 if dtype.startswith("int") else 0, np.dtype(dtype), 2)
    np.testing.assert_array_equal(found, copy)
    assert found is values  # a day of 100 Hz is not copied for nothing


def test_integers_in_a_channel_of_floats_are_the_decimal_text() -> None:
    found = _numbers(np.array([12345, -1], np.int64), 4, np.dtype("float64"), 0)
    np.testing.assert_allclose(found, [1.2345, -0.0001], rtol=1e-15)


def test_samples_that_are_there_twice_are_told_with_what_was_taken() -> None:
    first, again = np.arange(SIZE, dtype=np.int32), np.arange(100, 100 + SIZE, dtype=np.int32)
    placements = [Placement("one.csv", "aa", number, START, SIZE) for number in (0, 1)]
    target, problems, _ = merge_archive({("aa", "one.csv"): [(0, first), (1, again)]}, placements)
    assert problems == []
    assert target.samples.tolist() == first.tolist()

    def told(differing: int) -> str:
        info = {"overlapping": target.overlapping, "differing": differing}
        records = [Record("convert", str(CHANNEL), unit, "", "done", info=info) for unit in (0, 1)]
        (note,) = overlap_notes(records)
        return note

    assert f"{2 * SIZE} samples are there more than once, in several files or twice in one, {2 * SIZE} of" in told(SIZE)
    assert told(SIZE).endswith("between equals that of the file of the lower digest, or the first of a file")
    assert told(0).endswith("0 of them with other values")

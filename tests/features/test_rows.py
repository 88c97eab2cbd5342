"""No permutation of parts, empty part or validity pattern can shift a row."""

from __future__ import annotations

import pickle
import zlib

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gravdask.errors import ModelError
from gravdask.features.columns import sampled
from gravdask.features.rows import RowIndex, RowPart

Mask = NDArray[np.bool_]
Masks = list[tuple[str, int, Mask]]


@st.composite
def masks_of_parts(draw: st.DrawFn) -> Masks:
    """Parts of some channels with random gaps between and within them, empty and invalid ones too, in any order."""
    parts: Masks = []
    for channel in draw(st.lists(st.sampled_from(["A", "B", "C", "D.Z"]), unique=True, max_size=4)):
        start = draw(st.integers(-5, 1000))
        for _ in range(draw(st.integers(0, 4))):
            mask = np.array(draw(st.lists(st.booleans(), max_size=9)), dtype=np.bool_)
            parts.append((channel, start, mask))
            start += mask.size + draw(st.integers(0, 3))
    return draw(st.permutations(parts)) if parts else parts


def tag(channel: str, frame: int) -> float:
    """A number that belongs to one frame of one channel alone."""
    return ord(channel[0]) * 1e6 + frame


def tags(masks: Masks) -> list[NDArray[np.float64]]:
    return [np.array([tag(c, start + n) for n in range(m.size)]) for c, start, m in masks]


def truth(masks: Masks) -> set[tuple[str, int]]:
    return {(c, start + int(n)) for c, start, m in masks for n in np.flatnonzero(m)}


@settings(max_examples=150, deadline=None)
@given(masks=masks_of_parts())
def test_every_row_is_the_frame_that_it_is_located_at(masks: Masks) -> None:
    index = RowIndex.from_masks(masks)
    expected = truth(masks)
    places = [index.locate(row) for row in range(len(index))]
    assert len(places) == len(set(places)) == len(index) == sum(index.counts)
    assert set(places) == expected
    assert [index.row_of(*place) for place in places] == list(range(len(index)))
    assert [(index.channels[c], int(f)) for c, f in zip(index.channel, index.frame, strict=True)] == places
    if masks:
        rows = index.gather(tags(masks))
        assert rows.tolist() == [tag(*place) for place in places]
        parts = [rows[index.rows_of(n)].tolist() for n in range(len(masks))]
        assert parts == [t[m].tolist() for t, (_, _, m) in zip(tags(masks), masks, strict=True)]
    for row in (-1, len(index)):
        with pytest.raises(IndexError, match=f"row {row} "):
            index.locate(row)
    assert index.row_of("nowhere", 3) == -1


@settings(max_examples=150, deadline=None)
@given(masks=masks_of_parts(), order=st.randoms(use_true_random=False))
def test_values_come_back_to_their_frames_whatever_the_order_of_parts(masks: Masks, order: object) -> None:
    index = RowIndex.from_masks(masks)
    values = np.array([tag(*index.locate(row)) for row in range(len(index))])
    expected = truth(masks)
    series = index.scatter_back(values, np.nan)
    assert list(series) == sorted({c for c, _, _ in masks})
    for channel, (frames, found) in series.items():
        own = sorted(start + n for c, start, m in masks if c == channel for n in range(m.size))
        assert frames.tolist() == own
        for frame, value in zip(frames.tolist(), found.tolist(), strict=True):
            assert value == tag(channel, frame) if (channel, frame) in expected else np.isnan(value)
    shuffled = list(masks)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    other = RowIndex.from_masks(shuffled)
    moved = np.array([values[index.row_of(*other.locate(row))] for row in range(len(other))])
    again = other.scatter_back(moved, np.nan)
    for channel, (frames, found) in series.items():
        np.testing.assert_array_equal(again[channel][0], frames)
        np.testing.assert_array_equal(again[channel][1], found)


@settings(max_examples=40, deadline=None)
@given(masks=masks_of_parts(), chunk=st.integers(1, 7))
def test_a_matrix_of_any_chunking_comes_back_to_its_frames(masks: Masks, chunk: int) -> None:
    index = RowIndex.from_masks(masks)
    if not len(index):
        return
    blocks = [da.from_array(t[m][:, None], chunks=-1) for t, (_, _, m) in zip(tags(masks), masks, strict=True)]
    lazy = da.concatenate(blocks)
    assert lazy.chunks[0] == tuple(n for n in index.counts if n)
    with dask.config.set(scheduler="synchronous"):
        values = (2 * lazy.rechunk((chunk, 1))).compute()
    for channel, (frames, found) in index.scatter_back(values, -1.0).items():
        for frame, value in zip(frames.tolist(), found[:, 0].tolist(), strict=True):
            assert value == (2 * tag(channel, frame) if index.row_of(channel, frame) >= 0 else -1.0)


@settings(max_examples=60, deadline=None)
@given(masks=masks_of_parts(), seed=st.integers(0, 99))
def test_restricting_keeps_frames_and_order(masks: Masks, seed: int) -> None:
    index = RowIndex.from_masks(masks)
    keep = np.random.default_rng(seed).uniform(size=len(index)) < 0.5
    less = index.restrict(keep)
    assert [less.locate(r) for r in range(len(less))] == [index.locate(int(r)) for r in np.flatnonzero(keep)]
    assert [p.enters.size for p in less.parts] == [m.size for _, _, m in masks]


@settings(max_examples=60, deadline=None)
@given(masks=masks_of_parts(), seed=st.integers(0, 2**40), share=st.floats(0, 1))
def test_the_sample_of_a_frame_does_not_depend_on_its_part(masks: Masks, seed: int, share: float) -> None:
    some = RowIndex.from_masks(masks).sampled(seed, share)
    chosen = {some.locate(row) for row in range(len(some))}
    halves = [(c, s + a, m[a:b]) for c, s, m in masks for a, b in ((0, m.size // 2), (m.size // 2, m.size))]
    other = RowIndex.from_masks(reversed(halves)).sampled(seed, share)
    assert {other.locate(row) for row in range(len(other))} == chosen


def test_the_sample_is_that_of_the_fit() -> None:
    """The hash of the fit stage: seed in the high bits, the channel's CRC in the low ones."""
    some = RowIndex.from_masks([("XX.A.00.BHZ", 100, np.ones(500, np.bool_))]).sampled(3, 0.3)
    expected = sampled(zlib.crc32(b"XX.A.00.BHZ") + (3 << 32), np.arange(100, 600), 0.3)
    np.testing.assert_array_equal(some.parts[0].enters, expected)


@settings(max_examples=60, deadline=None)
@given(masks=masks_of_parts())
def test_plain_arrays_give_the_same_index_back(masks: Masks) -> None:
    index = RowIndex.from_masks(masks)
    arrays = index.to_arrays()
    assert all(a.dtype.kind in "iuU" for a in arrays.values())
    back = RowIndex.from_arrays(arrays)
    assert back.channels == index.channels
    for one, other in zip(back.parts, index.parts, strict=True):
        assert (one.channel, one.start) == (other.channel, other.start)
        np.testing.assert_array_equal(one.enters, other.enters)


def test_values_of_any_shape_and_type() -> None:
    index = RowIndex.from_masks([("A", 4, np.array([True, False, True])), ("B", 0, np.array([False]))])
    labels = index.scatter_back(np.array([3, 1], np.int8), -1)
    assert labels["A"][1].dtype == np.int8
    assert (labels["A"][1].tolist(), labels["B"][1].tolist()) == ([3, -1, 1], [-1])
    posterior = index.scatter_back(np.array([[0.2, 0.8], [1.0, 0.0]], np.float32), np.nan)
    np.testing.assert_array_equal(posterior["A"][1], np.array([[0.2, 0.8], [np.nan] * 2, [1, 0]], np.float32))
    assert posterior["B"][1].shape == (1, 2)


def test_a_channel_without_frames_gets_an_empty_series() -> None:
    index = RowIndex.from_masks([("A", 4, np.empty(0, np.bool_))])
    frames, values = index.scatter_back(np.empty((0, 3)), np.nan)["A"]
    assert (frames.shape, values.shape, len(index), index.channels) == ((0,), (0, 3), 0, ("A",))
    assert RowIndex(()).scatter_back(np.empty(0), 0.0) == {}


def test_masks_cannot_be_changed_afterwards() -> None:
    mask = np.array([True, False, True])
    index = RowIndex.from_masks([("A", 0, mask)])
    mask[:] = False
    assert index.frame.tolist() == [0, 2]
    with pytest.raises(ValueError, match="read-only"):
        index.parts[0].enters[0] = False
    travelled = pickle.loads(pickle.dumps(index))
    assert travelled.frame.tolist() == [0, 2]


def test_what_would_mix_rows_up_is_refused() -> None:
    four = np.ones(4, np.bool_)
    with pytest.raises(ModelError, match="A: frames 2 to 5 and 5 to 8 are two parts that overlap"):
        RowIndex.from_masks([("A", 5, four), ("B", 3, four), ("A", 2, four)])
    with pytest.raises(ModelError, match="of booleans"):
        RowPart("A", 0, np.array([0, 2]))  # type: ignore[arg-type]
    index = RowIndex.from_masks([("A", 0, np.array([True, False])), ("A", 2, four)])
    for count in (4, 6):
        with pytest.raises(ModelError, match=f"has 5 rows, got {count} values"):
            index.scatter_back(np.zeros(count), 0.0)
        with pytest.raises(ModelError, match="one boolean for each of 5 rows"):
            index.restrict(np.ones(count, np.bool_))
    with pytest.raises(ModelError, match="int64 cannot be filled with nan"):
        index.scatter_back(np.zeros(5, np.int64), np.nan)
    with pytest.raises(ModelError, match="part from frame 2 has 4 frames, got 5"):
        index.gather([np.zeros(2), np.zeros(5)])
    with pytest.raises(ModelError, match="each of 2 parts"):
        index.gather([np.zeros(2)])

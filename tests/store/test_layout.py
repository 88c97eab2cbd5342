"""The store's arrays: whole shards only, fixed length, nothing written for nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.errors import ZarrUserWarning

from gravdask.errors import AlignmentError, StoreError
from gravdask.grid import Blocks, Rate, record_blocks
from gravdask.store.layout import (
    SCHEMA_VERSION,
    channel_names,
    create_array,
    missing_value,
    open_root,
    put_table,
    read_span,
    sub_array,
    write_unit,
)

BLOCKS = Blocks(length=48, shard=8, chunk=4)
MISSING = int(np.iinfo(np.int32).min)


@pytest.fixture
def root(tmp_path: Path) -> zarr.Group:
    return open_root(tmp_path / "net.zarr", create=True)


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder with its time of change and content."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()
    }


def shards(array: zarr.Array[Any], folder: Path) -> list[str]:
    """Names of the shards of an array that exist as files."""
    place = folder / array.path
    return sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file() and p.name != "zarr.json")


# --- the root ---------------------------------------------------------------------------------------------------------


def test_a_new_store_says_what_it_is(tmp_path: Path) -> None:
    open_root(tmp_path / "net.zarr", create=True)
    found = zarr.open_group(tmp_path / "net.zarr", mode="r")
    assert dict(found.attrs)["gravdask_schema"] == SCHEMA_VERSION
    assert dict(found.attrs)["time_origin"] == "1950-01-01T00:00:00"
    assert found.metadata.zarr_format == 3


def test_opening_a_store_again_changes_nothing(tmp_path: Path) -> None:
    open_root(tmp_path / "net.zarr", create=True)
    before = files(tmp_path)
    open_root(tmp_path / "net.zarr", create=True)
    open_root(tmp_path / "net.zarr")
    assert files(tmp_path) == before


def test_an_empty_folder_may_become_a_store(tmp_path: Path) -> None:
    assert dict(open_root(tmp_path, create=True).attrs)["gravdask_schema"] == SCHEMA_VERSION


def test_a_missing_store_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"no gravdask store is here; 'gravdask run ARCHIVE -o .*none\.zarr' makes one"
    ):
        open_root(tmp_path / "none.zarr")
    assert not (tmp_path / "none.zarr").exists()


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    before = files(tmp_path)
    with pytest.raises(StoreError, match="holds something that is not a gravdask store; name a new folder"):
        open_root(tmp_path, create=True)
    assert files(tmp_path) == before


def test_a_zarr_group_of_something_else_is_refused(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "other.zarr", mode="w")
    for create in (True, False):
        with pytest.raises(StoreError, match="schema is None, this gravdask reads up to 1"):
            open_root(tmp_path / "other.zarr", create=create)


@pytest.mark.parametrize("content", [b"\x93\xff\x00 rubbish", b"{", b'{"zarr_format": 3, "node_type": "nothing"}'])
def test_a_damaged_root_is_told_and_made_again(tmp_path: Path, content: bytes) -> None:
    open_root(tmp_path, create=True)
    (tmp_path / "zarr.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"zarr\.json: damaged .*; remove this file, and the next run makes it again"):
        open_root(tmp_path)
    (tmp_path / "zarr.json").unlink()
    assert dict(open_root(tmp_path, create=True).attrs)["gravdask_schema"] == SCHEMA_VERSION


def test_a_store_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    group = open_root(tmp_path / "net.zarr", create=True)
    group.attrs["gravdask_schema"] = SCHEMA_VERSION + 1
    with pytest.raises(
        StoreError, match=rf"schema is {SCHEMA_VERSION + 1}.*use the gravdask that wrote it, or a newer"
    ):
        open_root(tmp_path / "net.zarr")


def test_a_store_opened_to_read_cannot_be_written(tmp_path: Path, root: zarr.Group) -> None:
    create_array(root, "x", BLOCKS, ("time",), np.int32)
    array = sub_array(open_root(tmp_path / "net.zarr"), "x")
    with pytest.raises(ValueError, match="read-only"):
        write_unit(array, 0, np.zeros(8, np.int32))


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_missing_values() -> None:
    assert missing_value(np.int32) == -(2**31)
    assert missing_value("int64") == -(2**63)
    assert np.isnan(missing_value(np.float32))


def test_an_array_is_cut_as_asked_and_all_missing(root: zarr.Group) -> None:
    array = create_array(root, "x", BLOCKS, ("frame", "path"), np.float32, tail=(3,), attributes={"units": "nm s-2"})
    assert (array.shape, array.shards, array.chunks) == ((48, 3), (8, 3), (4, 3))
    assert array.metadata.dimension_names == ("frame", "path")
    assert dict(array.attrs) == {"units": "nm s-2"}
    assert np.isnan(array[...]).all()
    assert create_array(root, "y", BLOCKS, ("frame",), np.int8, fill=-1)[5] == -1


def test_an_array_over_two_centuries_costs_one_file(root: zarr.Group, tmp_path: Path) -> None:
    array = create_array(root, "record", record_blocks(Rate(100, 1)), ("time",), np.int32)
    assert array.shape[0] > 6e11
    assert [p.name for p in (tmp_path / "net.zarr" / "record").iterdir()] == ["zarr.json"]
    assert read_span(array, 10**11, 10**11 + 3).tolist() == [MISSING] * 3


def test_creating_an_array_again_keeps_its_values(root: zarr.Group, tmp_path: Path) -> None:
    array = create_array(root, "x", BLOCKS, ("time",), np.int32, attributes={"a": 1})
    write_unit(array, 8, np.arange(8, dtype=np.int32))
    before = files(tmp_path)
    again = create_array(root, "x", BLOCKS, ("time",), np.int32, attributes={"a": 1})
    assert files(tmp_path) == before
    changed = create_array(root, "x", BLOCKS, ("time",), np.int32, attributes={"a": 2})
    assert dict(changed.attrs) == {"a": 2}
    for found in (again, changed):
        assert read_span(found, 8, 16).tolist() == list(range(8))


@pytest.mark.parametrize(
    ("blocks", "dtype", "tail"),
    [
        (Blocks(96, 8, 4), np.int32, ()),
        (Blocks(48, 16, 4), np.int32, ()),
        (Blocks(48, 8, 2), np.int32, ()),
        (BLOCKS, np.int64, ()),
        (BLOCKS, np.int32, (2,)),
    ],
)
def test_an_array_of_another_form_is_made_anew(
    root: zarr.Group, tmp_path: Path, blocks: Blocks, dtype: Any, tail: tuple[int, ...]
) -> None:
    write_unit(create_array(root, "x", BLOCKS, ("time",), np.int32), 8, np.arange(8, dtype=np.int32))
    dims = ("time", "path")[: 1 + len(tail)]
    array = create_array(root, "x", blocks, dims, dtype, tail=tail)
    assert array.shape == (blocks.length, *tail)
    assert array.dtype == dtype
    assert shards(array, tmp_path / "net.zarr") == []


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "count"), [(0, 4), (4, 8), (4, 4), (1, 8), (0, 9), (8, 12), (40, 16), (48, 8), (-8, 8), (-16, 8)]
)
def test_a_misaligned_write_is_refused_with_cause_and_cure(root: zarr.Group, start: int, count: int) -> None:
    array = create_array(root, "raw", BLOCKS, ("time",), np.int32)
    with pytest.raises(AlignmentError, match=r"raw: a write of \(\d+,\) from item -?\d+ .* whole span of a unit"):
        write_unit(array, start, np.zeros(count, np.int32))
    assert (array[...] == MISSING).all()


def test_a_write_of_another_width_is_refused(root: zarr.Group) -> None:
    array = create_array(root, "s", BLOCKS, ("frame", "path"), np.float32, tail=(3,))
    for shape in [(8,), (8, 2), (8, 1), (8, 3, 1)]:
        with pytest.raises(AlignmentError):
            write_unit(array, 0, np.zeros(shape, np.float32))
    with pytest.raises(AlignmentError):
        write_unit(root.create_array("plain", shape=(8,), chunks=(4,), dtype="i4"), 0, np.zeros(8, np.int32))


def test_alignment_errors_are_store_and_value_errors() -> None:
    assert issubclass(AlignmentError, StoreError)
    assert issubclass(AlignmentError, ValueError)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32, np.float64])
def test_numbers_come_back_as_they_went(root: zarr.Group, dtype: Any) -> None:
    array = create_array(root, "x", BLOCKS, ("time",), dtype)
    values = np.random.default_rng(0).integers(-(2**30), 2**30, 16).astype(dtype)
    values[[3, 9]] = missing_value(dtype)
    write_unit(array, 16, values)
    found = read_span(array, 16, 32)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_a_shard_of_gaps_is_no_file_and_a_rewrite_removes_it(root: zarr.Group, tmp_path: Path, dtype: Any) -> None:
    store = tmp_path / "net.zarr"
    array = create_array(root, "x", BLOCKS, ("time",), dtype)
    gaps = np.full(8, missing_value(dtype), dtype)
    write_unit(array, 0, gaps)
    assert shards(array, store) == []
    write_unit(array, 8, np.ones(8, dtype))
    assert len(shards(array, store)) == 1
    write_unit(array, 8, gaps)
    assert shards(array, store) == []
    np.testing.assert_array_equal(read_span(array, 0, 48), np.full(48, missing_value(dtype), dtype))


def test_several_shards_are_written_whole(root: zarr.Group, tmp_path: Path) -> None:
    array = create_array(root, "x", BLOCKS, ("time",), np.int32)
    write_unit(array, 8, np.arange(24, dtype=np.int32))
    assert len(shards(array, tmp_path / "net.zarr")) == 3
    assert read_span(array, 0, 48).tolist() == [MISSING] * 8 + list(range(24)) + [MISSING] * 16


def test_a_write_touches_its_own_shards_only(root: zarr.Group, tmp_path: Path) -> None:
    array = create_array(root, "x", BLOCKS, ("time",), np.int32)
    for unit in range(3):
        write_unit(array, *(BLOCKS.unit_span(unit)[0], np.full(8, unit, np.int32)))
    before = files(tmp_path)
    write_unit(array, 8, np.full(8, 9, np.int32))
    after = files(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"net.zarr/x/c/1"}


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, zarr.Array[Any]]]:
    root = open_root(tmp_path_factory.mktemp("read") / "net.zarr", create=True)
    line = create_array(root, "line", BLOCKS, ("time",), np.int32)
    plane = create_array(root, "plane", BLOCKS, ("frame", "path"), np.float32, tail=(2,))
    write_unit(line, 0, np.arange(48, dtype=np.int32))
    write_unit(plane, 0, np.arange(96, dtype=np.float32).reshape(48, 2))
    return {"line": line, "plane": plane}


@settings(max_examples=60, deadline=None)
@given(start=st.integers(-60, 110), length=st.integers(0, 120), name=st.sampled_from(["line", "plane"]))
def test_reading_beyond_the_ends_gives_missing_values(
    filled: dict[str, zarr.Array[Any]], start: int, length: int, name: str
) -> None:
    array = filled[name]
    whole = np.asarray(array[...])
    expected = np.full((length, *whole.shape[1:]), array.fill_value, whole.dtype)
    for n, k in enumerate(range(start, start + length)):
        if 0 <= k < 48:
            expected[n] = whole[k]
    found = read_span(array, start, start + length)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        np.arange(5.0),
        np.array([1.0, np.nan, 3.0]),
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.empty((0, 3)),
        np.array([True, False]),
    ],
)
def test_a_table_is_written_once(root: zarr.Group, tmp_path: Path, values: np.ndarray) -> None:
    dims = ("row", "column")[: values.ndim]
    put_table(root, "t", values, dims, units="Hz")
    before = files(tmp_path)
    put_table(root, "t", values.copy(), dims, units="Hz")
    assert files(tmp_path) == before
    array = sub_array(root, "t")
    np.testing.assert_array_equal(array[...], values)
    assert array.metadata.dimension_names == dims
    assert dict(array.attrs) == {"units": "Hz"}


@pytest.mark.parametrize(
    "other", [np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0]), np.array([1, 2, 3]), np.array([1.0, 2.0, np.nan])]
)
def test_a_changed_table_replaces_the_old(root: zarr.Group, other: np.ndarray) -> None:
    put_table(root, "t", np.array([1.0, 2.0, 3.0]), ("row",), units="Hz")
    put_table(root, "t", other, ("row",), units="Hz")
    found = sub_array(root, "t")
    np.testing.assert_array_equal(found[...], other)
    assert found.dtype == other.dtype
    put_table(root, "t", other, ("row",), units="s")
    assert dict(sub_array(root, "t").attrs) == {"units": "s"}


def test_a_renamed_dimension_is_a_change(root: zarr.Group) -> None:
    put_table(root, "t", np.arange(3.0), ("row",))
    put_table(root, "t", np.arange(3.0), ("path",))
    assert sub_array(root, "t").metadata.dimension_names == ("path",)


def test_a_table_may_be_a_view(root: zarr.Group) -> None:
    values = np.arange(12.0).reshape(3, 4).T[::2]
    put_table(root, "t", values, ("a", "b"))
    np.testing.assert_array_equal(sub_array(root, "t")[...], values)


# --- names ------------------------------------------------------------------------------------------------------------


def test_channels_are_the_groups_with_a_record(root: zarr.Group, tmp_path: Path) -> None:
    for name in ("XX.B.--.UGZ", "XX.A.--.UGZ"):
        create_array(root.require_group(f"{name}/raw"), "record", BLOCKS, ("time",), np.int32)
    root.require_group("model/1Hz")
    put_table(root, "loose", np.arange(3), ("row",))
    (tmp_path / "net.zarr" / "ledger").mkdir()
    (tmp_path / "net.zarr" / "ledger" / "index.parquet").write_bytes(b"x")
    assert channel_names(open_root(tmp_path / "net.zarr")) == ["XX.A.--.UGZ", "XX.B.--.UGZ"]


def test_what_lies_beside_the_groups_does_not_warn(root: zarr.Group, tmp_path: Path) -> None:
    (tmp_path / "net.zarr" / "ledger").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ZarrUserWarning)
        assert channel_names(root) == []


def test_an_array_that_is_not_there_says_so(root: zarr.Group) -> None:
    root.require_group("XX.A.--.UGZ/raw")
    for path in ("XX.A.--.UGZ/raw/record", "XX.A.--.UGZ/raw", "nothing/at/all"):
        with pytest.raises(StoreError, match=f"there is no array '{path}'; run the stage that makes it"):
            sub_array(root, path)

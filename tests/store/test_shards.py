"""Shards written and read chunk by chunk: the very bytes and values of Zarr's own pipeline, in every kind of store."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.storage import MemoryStore

from gravdask.errors import StoreError
from gravdask.grid import Blocks
from gravdask.store import shards
from gravdask.store.codecs import PIPELINE
from gravdask.store.layout import create_array, missing_value, open_root, read_span, write_unit
from gravdask.store.place import Place
from gravdask.store.shards import ShardForm, only_fill, read_shard

BLOCKS = Blocks(96, 24, 4)
USED = [
    ("int32", None),
    ("int64", None),
    ("float32", None),
    ("float64", None),
    ("float32", 0.0),
    ("float64", -0.0),
    ("float32", 2.5),
    ("float64", float("inf")),
    ("int8", -1),
    ("int8", 0),
    ("uint8", 0),
    ("int16", None),
    ("uint32", 7),
]
"""Types and fill values: those of the stages, and further ones."""

ODD = {
    "f4": np.array([0x7FC00000, 0x7FC00001, 0xFFC00000, 0x7F800001, 0x80000000, 0, 1, 0x7F800000], "u4").view("f4"),
    "f8": np.array([0x7FF8 << 48, (0x7FF8 << 48) + 1, 0xFFF8 << 48, 1 << 63, 0, 1, 0x7FF0 << 48, 0], "u8").view("f8"),
}
"""NaN of several payloads and signs, the two zeros, the least number, infinity."""


def pair(blocks: Blocks, dtype: str, tail: tuple[int, ...], fill: float | None) -> tuple[Any, Any]:
    """Two arrays alike in memory: one to be written here, one by Zarr."""
    dims = ("time", "path", "more")[: 1 + len(tail)]
    made = []
    for _ in range(2):
        group = zarr.create_group(MemoryStore({}), zarr_format=3)
        made.append(create_array(group, "x", blocks, dims, dtype, tail=tail, fill=fill))
    assert ShardForm.of(made[0]) is not None
    return made[0], made[1]


def objects(array: zarr.Array[Any]) -> dict[str, bytes]:
    """All objects of the memory that an array lies in."""
    store = array.store
    assert isinstance(store, MemoryStore)
    return {key: value.to_bytes() for key, value in store._store_dict.items()}


def same_objects(ours: zarr.Array[Any], theirs: zarr.Array[Any], start: int, values: NDArray[Any]) -> set[str]:
    """Write the same by both; names of the shards that are there then, which must be the same to the byte."""
    write_unit(ours, start, values)
    theirs[start : start + len(values)] = values
    one, two = objects(ours), objects(theirs)
    assert one.keys() == two.keys()
    assert one == two
    for first in range(0, ours.shape[0], ours.shards[0]):
        found = read_shard(ours, first)
        assert found.flags.writeable
        assert found.tobytes() == theirs[first : first + ours.shards[0]].tobytes()
    return {key for key in one if "/c/" in key}


def content(random: np.random.Generator, dtype: str, shape: tuple[int, ...], fill: Any) -> NDArray[Any]:
    """Numbers of all sizes and, among floats, of all kinds; some are the fill value."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = random.normal(size=shape).astype(kind)
        values[random.random(shape) < 0.2] = random.choice(ODD[kind.str[1:]])
    else:
        info = np.iinfo(kind)
        values = random.integers(info.min, info.max, shape, dtype=kind, endpoint=True)
    values[random.random(shape) < 0.2] = fill
    return values


@pytest.mark.parametrize(("dtype", "fill"), USED)
@pytest.mark.parametrize("tail", [(), (3,), (2, 3)])
def test_every_type_is_written_as_zarr_does(dtype: str, fill: float | None, tail: tuple[int, ...]) -> None:
    ours, theirs = pair(BLOCKS, dtype, tail, fill)
    random = np.random.default_rng(len(tail))
    values = content(random, dtype, (72, *tail), ours.fill_value)
    values[4:8] = values[20:24] = values[48:72] = ours.fill_value  # two chunks of the first shard, all of the third
    values[25] += 1
    assert len(same_objects(ours, theirs, 24, values)) == 2
    found = read_span(ours, 24, 96)
    different = found.tobytes() != values.tobytes()
    assert not different or np.isnan(ours.fill_value)  # a chunk of nothing but NaN comes back as NaN of one kind


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_whatever_the_content_the_bytes_are_zarrs(data: st.DataObject) -> None:
    dtype, fill = data.draw(st.sampled_from(USED))
    chunk, chunks = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 9))
    tail = data.draw(st.sampled_from([(), (1,), (3,)]))
    blocks = Blocks(4 * chunk * chunks, chunk * chunks, chunk)
    ours, theirs = pair(blocks, dtype, tail, fill)
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    for _ in range(data.draw(st.integers(1, 3))):  # shards are replaced, deleted and made again
        first = data.draw(st.integers(0, 3))
        values = content(random, dtype, (data.draw(st.integers(1, 4 - first)) * blocks.shard, *tail), ours.fill_value)
        parts = values.reshape(-1, chunk, *tail)
        for number in data.draw(st.sets(st.integers(0, len(parts) - 1))):
            odd = ODD[ours.dtype.str[1:]] if ours.dtype.kind == "f" else [ours.fill_value]
            parts[number] = data.draw(st.sampled_from([ours.fill_value, *odd]))
        same_objects(ours, theirs, first * blocks.shard, values)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_chunks_of_real_size_are_written_as_zarr_does(dtype: str) -> None:
    """Chunks of several Blosc blocks, with a chunk of noise that cannot be compressed and one that is half a gap."""
    ours, theirs = pair(Blocks(3_000_000, 1_500_000, 300_000), dtype, (), None)
    random = np.random.default_rng(2)
    values = random.normal(0, 1500, 3_000_000).astype(dtype)
    values[:300_000] = random.integers(0, 2**32, 300_000, dtype=np.uint32).view(dtype)
    values[600_000:750_000] = values[1_200_000:1_500_000] = missing_value(dtype)
    assert len(same_objects(ours, theirs, 0, values)) == 2


@pytest.mark.parametrize("given_as", ["float64", ">i4", "int16", "strided", "fortran"])
def test_values_of_another_type_or_order_are_written_as_zarr_does(given_as: str) -> None:
    ours, theirs = pair(BLOCKS, "int32", (3,), None)
    values = np.arange(144, dtype=np.int32).reshape(48, 3)
    forms: dict[str, Callable[[], NDArray[Any]]] = {
        "strided": lambda: np.repeat(values, 2, axis=1)[:, ::2],
        "fortran": lambda: np.asfortranarray(values),
    }
    asked = forms[given_as]() if given_as in forms else values.astype(given_as)
    same_objects(ours, theirs, 0, asked)
    assert np.array_equal(read_span(ours, 0, 48), values)


def test_zarr_finds_no_fault_with_a_shard() -> None:
    """Its index's checksum is verified when it is read; one wrong bit is seen."""
    array, _ = pair(BLOCKS, "int32", (), None)
    write_unit(array, 24, np.arange(24, dtype=np.int32))
    assert np.array_equal(read_span(array, 24, 48), np.arange(24))
    store = array.store._store_dict
    raw = bytearray(store["x/c/1"].to_bytes())
    raw[-30] ^= 1
    store["x/c/1"] = type(store["x/c/1"]).from_bytes(bytes(raw))
    with pytest.raises(ValueError, match="checksum"):
        array[24:48]


def pointing(raw: bytes, offset: int, length: int) -> bytes:
    """Shard of six chunks whose first one is said to be somewhere, with the checksum of that."""
    index = np.frombuffer(raw[-100:-4], "<u8").copy()
    index[:2] = offset, length
    return raw[:-100] + index.tobytes() + google_crc32c.value(index.tobytes()).to_bytes(4, "little")


@pytest.mark.parametrize(
    "harm",
    [
        lambda raw: raw[:-1],
        lambda raw: raw[:7],
        lambda raw: b"",
        lambda raw: raw[:-30] + b"x" + raw[-29:],
        lambda raw: pointing(raw, 0, len(raw)),
        lambda raw: pointing(raw, 0, 15),
        lambda raw: pointing(raw, len(raw) - 20, 16),
        lambda raw: pointing(raw, 2**64 - 2, 32),
        lambda raw: b"\x00" * 40 + raw[40:],
        lambda raw: raw[:4] + b"\xff\xff\xff" + raw[7:],
        lambda raw: raw[:12] + b"\xff\xff" + raw[14:],
    ],
)
def test_a_broken_shard_is_never_taken_for_values(harm: Callable[[bytes], bytes]) -> None:
    """Truncated, with an index that is wrong or points outside, with chunks whose heads tell of other lengths."""
    array, _ = pair(BLOCKS, "int32", (), None)
    values = np.arange(24, dtype=np.int32)
    write_unit(array, 0, values)
    content = np.frombuffer(harm(array.store._store_dict["x/c/0"].to_bytes()), np.uint8)
    form = ShardForm.of(array)
    assert form is not None
    assert not form.decode(content, 4, np.empty(24, np.int32))


def test_what_is_broken_is_told_in_zarrs_words() -> None:
    array, _ = pair(BLOCKS, "int32", (), None)
    write_unit(array, 0, np.arange(24, dtype=np.int32))
    store = array.store._store_dict
    raw = bytearray(store["x/c/0"].to_bytes())
    raw[-30] ^= 1
    store["x/c/0"] = type(store["x/c/0"]).from_bytes(bytes(raw))
    with pytest.raises(ValueError, match="checksum"):
        read_shard(array, 0)


@pytest.mark.parametrize("place", [0, 7, 40, 100, -60])
@pytest.mark.parametrize("bit", [0, 5])
def test_a_bit_that_turned_over_is_found(tmp_path: Path, place: int, bit: int) -> None:
    array = create_array(zarr.create_group(tmp_path / "x.zarr", zarr_format=3), "x", BLOCKS, ("time",), "int32")
    write_unit(array, 24, np.arange(24, dtype=np.int32) * 12_345)
    (path,) = (tmp_path / "x.zarr" / "x" / "c").iterdir()
    content = bytearray(path.read_bytes())
    end = len(content) - 6 * 16 - 4  # of the chunks; the index has its own sum
    content[place % end] ^= 1 << bit
    path.write_bytes(content)
    for read in (lambda: read_shard(array, 24), lambda: read_span(array, 24, 48), lambda: np.asarray(array[24:48])):
        with pytest.raises(ValueError, match="checksum"):
            read()


# --- what is not known here is Zarr's -------------------------------------------------------------------------------


def foreign(**changes: Any) -> tuple[zarr.Array[Any], zarr.Array[Any]]:
    """Two arrays that `create_array` of the layout would not make."""
    form: dict[str, Any] = {"shape": (48, 4), "chunks": (4, 4), "shards": (24, 4), "dtype": "int32", "fill_value": 0}
    form |= {"compressors": BloscCodec(cname="zstd", clevel=2, shuffle="bitshuffle")} | changes
    made = [zarr.create_group(MemoryStore({}), zarr_format=3).create_array("x", **form) for _ in range(2)]
    return made[0], made[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"compressors": ZstdCodec(level=3)},
        {"compressors": None},
        {"compressors": [BloscCodec(), ZstdCodec(level=1)]},
        {"chunks": (4, 2)},
        {"shards": (24, 2), "chunks": (4, 2)},
        {"dtype": ">i4"},
        {"dtype": "complex64"},
        {"dtype": "bool"},
        {"config": {"write_empty_chunks": True}},
    ],
)
def test_an_array_of_another_form_is_left_to_zarr(changes: dict[str, Any]) -> None:
    ours, theirs = foreign(**changes)
    assert ShardForm.of(ours) is None
    values = np.arange(96).reshape(24, 4).astype(ours.dtype)
    values[:8] = 0
    shards.write_shards(ours, 24, values)
    theirs[24:48] = values
    assert objects(ours) == objects(theirs)
    assert np.array_equal(read_shard(ours, 24), values)
    assert len(objects(ours)) > 2


@pytest.mark.parametrize("changes", [{"shuffle": "shuffle"}, {"shuffle": "noshuffle"}, {"cname": "lz4", "clevel": 9}])
def test_other_settings_of_blosc_are_taken_from_the_array(changes: dict[str, Any]) -> None:
    settings_ = {"cname": "zstd", "clevel": 2, "shuffle": "bitshuffle"} | changes
    ours, theirs = foreign(compressors=BloscCodec(**settings_))
    assert ShardForm.of(ours) is not None
    same_objects(ours, theirs, 24, np.arange(96, dtype=np.int32).reshape(24, 4))


def test_an_index_at_the_beginning_is_left_to_zarr() -> None:
    array, _ = pair(BLOCKS, "int32", (), None)
    metadata = array.metadata.to_dict()
    metadata["codecs"][0]["configuration"]["index_location"] = "start"
    assert shards._compressor(metadata, (4,), 4) is None


# --- stores -----------------------------------------------------------------------------------------------------------


def test_every_kind_of_store_gets_the_same_objects(place: Place) -> None:
    array = create_array(open_root(place, create=True), "x", BLOCKS, ("time",), "float32")
    _, theirs = pair(BLOCKS, "float32", (), None)
    values = np.random.default_rng(0).normal(size=48).astype(np.float32)
    nothing = np.full(24, np.nan, np.float32)
    write_unit(array, 24, nothing)  # a shard that is not there can be deleted
    assert place.entries() == [] or not (place / "x/c/1").exists()
    write_unit(array, 24, values)
    theirs[24:72] = values
    known = objects(theirs)
    assert {name: (place / f"x/c/{name}").read() for name in ("1", "2")} == {n: known[f"x/c/{n}"] for n in ("1", "2")}
    write_unit(array, 24, nothing)
    assert not (place / "x/c/1").exists()
    assert (place / "x/c/2").exists()
    assert np.isnan(read_span(array, 24, 48)).all()
    assert np.array_equal(read_span(array, 48, 72), values[24:])
    assert np.array_equal(read_shard(array, 48), values[24:])
    assert np.isnan(read_shard(array, 24)).all()


def test_a_shard_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = create_array(open_root(tmp_path / "x.zarr", create=True), "x", BLOCKS, ("time",), "int32")
    write_unit(array, 0, np.arange(24, dtype=np.int32))
    before = {p.name: p.read_bytes() for p in (tmp_path / "x.zarr/x/c").iterdir()}

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_unit(array, 0, np.ones(24, np.int32))
    assert {p.name: p.read_bytes() for p in (tmp_path / "x.zarr/x/c").iterdir()} == before


def test_a_broken_shard_is_written_anew(tmp_path: Path) -> None:
    array = create_array(open_root(tmp_path / "x.zarr", create=True), "x", BLOCKS, ("time",), "int32")
    write_unit(array, 0, np.arange(24, dtype=np.int32))
    (tmp_path / "x.zarr/x/c/0").write_bytes(b"half of it")
    write_unit(array, 0, np.arange(24, dtype=np.int32))
    assert np.array_equal(read_span(array, 0, 24), np.arange(24))


def test_a_store_in_memory_keeps_no_more_than_its_shards() -> None:
    array, _ = pair(Blocks(80_000, 40_000, 10_000), "int32", (), None)
    write_unit(array, 0, np.zeros(40_000, np.int32))
    kept = array.store._store_dict["x/c/0"].as_numpy_array()
    while isinstance(kept.base, np.ndarray):
        kept = kept.base
    assert kept.nbytes == len(array.store._store_dict["x/c/0"]) < 2000


def test_writing_holds_one_encoded_chunk_beside_the_shard(tmp_path: Path) -> None:
    """Memory that NumPy and Python were asked for: one shard's room, and one chunk as Blosc makes it."""
    blocks = Blocks(16_000_000, 8_000_000, 500_000)
    array = create_array(open_root(tmp_path / "x.zarr", create=True), "x", blocks, ("time",), "int32")
    values = np.random.default_rng(0).integers(-(2**31), 2**31, blocks.shard).astype(np.int32)
    write_unit(array, 0, values)
    tracemalloc.start()
    write_unit(array, 0, values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes + 2.2 * 4 * blocks.chunk + 2**20


def test_what_is_installed_does_not_matter(tmp_path: Path) -> None:
    """Arrays opened for a faster pipeline are written by the same code, to the same bytes."""
    pytest.importorskip("zarrs")
    _, theirs = pair(BLOCKS, "int32", (), None)
    values = np.arange(24, dtype=np.int32)
    theirs[:24] = values
    root = open_root(tmp_path / "x.zarr", create=True)
    create_array(root, "x", BLOCKS, ("time",), "int32")
    with zarr.config.set({"codec_pipeline.path": PIPELINE}):
        array = zarr.open_array(str(tmp_path / "x.zarr/x"), mode="r+")
    assert type(array._async_array.codec_pipeline).__name__ == "ZarrsCodecPipeline"
    write_unit(array, 0, values)
    assert (tmp_path / "x.zarr/x/c/0").read_bytes() == objects(theirs)["x/c/0"]


# --- what is nothing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fill", "values", "expected"),
    [
        (np.float32(0.0), [0.0, -0.0], False),
        (np.float32(-0.0), [-0.0, -0.0], True),
        (np.float64("nan"), [float("nan"), -float("nan")], True),
        (np.float64("nan"), [float("nan"), float("inf")], False),
        (np.int8(-1), [-1, -1], True),
        (np.uint8(0), [0, 1], False),
    ],
)
def test_what_counts_as_the_fill_value(fill: np.generic, values: list[float], expected: bool) -> None:
    assert only_fill(np.array(values, fill.dtype), fill) is expected


@pytest.mark.parametrize("where", [0, 4095, 4096, 9_999])
def test_one_sample_anywhere_is_something(where: int) -> None:
    values = np.full(10_000, np.nan)
    assert only_fill(values, np.float64("nan"))
    values[where] = 0
    assert not only_fill(values, np.float64("nan"))


def test_a_refused_write_leaves_nothing() -> None:
    array, _ = pair(BLOCKS, "int32", (), None)
    before = objects(array)
    with pytest.raises(StoreError):
        write_unit(array, 12, np.zeros(24, np.int32))
    assert objects(array) == before

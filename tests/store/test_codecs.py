"""The faster codec pipeline: the same values as Zarr's own, only where it is allowed, never for what is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from zarr.core.codec_pipeline import BatchedCodecPipeline

from gravdask.grid import Rate, frame_blocks, record_blocks
from gravdask.store import codecs
from gravdask.store.layout import create_array, missing_value, open_root, read_span, sub_array, write_unit
from gravdask.store.place import Place

RATE = Rate(1, 60)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A record with a gap, and coefficients with missing rows, each in two shards of many chunks."""
    path = tmp_path / "x.zarr"
    root = open_root(path, create=True)
    random = np.random.default_rng(1)
    blocks = record_blocks(RATE)
    record = create_array(root.require_group("XX.A.--.UGZ/raw"), "record", blocks, ("time",), "int32")
    numbers = random.integers(-(2**20), 2**20, 2 * blocks.shard).astype(np.int32)
    numbers[blocks.chunk - 50 : 3 * blocks.chunk + 7] = missing_value("int32")
    frames = frame_blocks(RATE, 256, 40)
    group = root.require_group("XX.A.--.UGZ/scattering")
    rows = create_array(group, "coefficients", frames, ("frame", "path"), "float32", tail=(40,))
    values = random.lognormal(size=(2 * frames.shard, 40)).astype(np.float32)
    values[10:50] = np.nan
    for array, content, cut in ((record, numbers, blocks), (rows, values, frames)):
        for unit in (3, 4):
            write_unit(array, unit * cut.shard, content[(unit - 3) * cut.shard : (unit - 2) * cut.shard])
    return path


def test_values_are_those_of_zarrs_own_pipeline(store: Path) -> None:
    pytest.importorskip("zarrs")
    fast, plain = open_root(store), open_root(Place.of(store, zarrs="off"))
    for name, cut in (("raw/record", record_blocks(RATE)), ("scattering/coefficients", frame_blocks(RATE, 256, 40))):
        one, two = (sub_array(root, f"XX.A.--.UGZ/{name}") for root in (fast, plain))
        assert type(one._async_array.codec_pipeline).__name__ == "ZarrsCodecPipeline"
        assert isinstance(two._async_array.codec_pipeline, BatchedCodecPipeline)
        edges = [(3 * cut.shard - 5, 5 * cut.shard + 5), (4 * cut.shard - 3, 4 * cut.shard + 3), (0, 10)]
        for start, stop in [*edges, (3 * cut.shard + cut.chunk - 60, 3 * cut.shard + cut.chunk)]:
            assert np.array_equal(read_span(one, start, stop), read_span(two, start, stop), equal_nan=True)


def test_opened_values_are_the_same(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zarrs")
    blocks = record_blocks(RATE)
    found = read_span(sub_array(open_root(store), "XX.A.--.UGZ/raw/record"), 3 * blocks.shard, 5 * blocks.shard)
    monkeypatch.setattr(codecs, "zarrs_installed", lambda: False)
    array = sub_array(open_root(store), "XX.A.--.UGZ/raw/record")
    assert isinstance(array._async_array.codec_pipeline, BatchedCodecPipeline)
    assert np.array_equal(found, read_span(array, 3 * blocks.shard, 5 * blocks.shard))


def test_what_is_written_goes_through_zarrs_own(store: Path) -> None:
    array = sub_array(open_root(store, create=True), "XX.A.--.UGZ/raw/record")
    assert isinstance(array._async_array.codec_pipeline, BatchedCodecPipeline)


def test_memory_is_read_by_zarrs_own(store: Path) -> None:
    root = open_root("memory://codecs", create=True)
    create_array(root.require_group("XX.A.--.UGZ/raw"), "record", record_blocks(RATE), ("time",), "int32")
    array = sub_array(open_root("memory://codecs"), "XX.A.--.UGZ/raw/record")
    assert isinstance(array._async_array.codec_pipeline, BatchedCodecPipeline)

"""What lies in a store is data: whoever may write to it can make a run fail, and never have it execute anything."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numcodecs import Pickle
from pyarrow import parquet

import gravdask
from gravdask.cli import _code
from gravdask.store.place import Place

NAME = "XX.ONE.00.VGZ"
SMALL = ("--serial", "--units", "nm/s2", "--set", "scattering.frame_samples=256", "--set", "fit.min_days=0.5")


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return os.mkdir, (str(self._marker),)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the codec unpickle, as its earlier versions do: it must not even be asked."""
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)


@pytest.fixture
def payload(marker: Path) -> bytes:
    """Pickle that makes the marker; seen to work."""
    content = pickle.dumps(Payload(marker))
    pickle.loads(content)
    assert marker.exists()
    marker.rmdir()
    return content


@pytest.fixture(scope="module")
def whole(small_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("whole") / "x.zarr"
    assert _code(["run", str(small_archive), "-o", str(store), *SMALL]) == 0
    return store


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "x.zarr"))


EXPECTED = (gravdask.errors.GravdaskError, ValueError, KeyError, TypeError, OSError, RuntimeError, NotImplementedError)
"""What reading something damaged may end with, in Zarr's hands or in these."""


def read_all(store: Path) -> None:
    """Read everything that the interface reads, whatever is wrong with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(*EXPECTED):
            for group in gravdask.open(store).subtree:
                with contextlib.suppress(*EXPECTED):
                    group.to_dataset().isel({d: slice(0, 500) for d in group.dims if d != "path"}).load()
        for stage in ("raw", "noise", "scattering", "classes"):
            with contextlib.suppress(*EXPECTED):
                gravdask.network(store, stage).load()


def use(store: Path, small_archive: Path) -> None:
    """Have every command look at the store, and go as far as it can."""
    for command in (
        ("status", "-o", store),
        ("plan", small_archive, "-o", store),
        ("run", small_archive, "-o", store, *SMALL),
    ):
        with warnings.catch_warnings(), contextlib.suppress(*EXPECTED):
            warnings.simplefilter("ignore")
            _code([str(word) for word in command])


V3 = {
    "zarr_format": 3, "node_type": "array", "shape": [1], "fill_value": "",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "attributes": {}, "storage_transformers": [], "dimension_names": ["path"],
}  # fmt: skip
V2 = {
    "zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None, "order": "C", "compressor": None,
    "filters": [{"id": "pickle", "protocol": 5}],
}  # fmt: skip
ARRAYS = [f"{NAME}/raw/record", f"{NAME}/scattering/coefficients", f"{NAME}/scattering/extra", f"{NAME}/noise/snm"]


@pytest.mark.parametrize("data_type", ["string", "variable_length_bytes", "null_terminated_bytes"])
@pytest.mark.parametrize("codec", ["numcodecs.pickle", "pickle", "numcodecs.vlen-array"])
def test_a_codec_that_executes_is_refused(
    store: Path, payload: bytes, marker: Path, codec: str, data_type: str, small_archive: Path,
) -> None:  # fmt: skip
    about = {**V3, "data_type": data_type, "codecs": [{"name": codec, "configuration": {"id": "pickle"}}]}
    for path in ARRAYS:
        shutil.rmtree(store / path, ignore_errors=True)
        (store / path / "c").mkdir(parents=True)
        (store / path / "zarr.json").write_text(json.dumps(about))
        (store / path / "c/0").write_bytes(payload)
    read_all(store)
    if (codec, data_type) == ("numcodecs.pickle", "string"):
        use(store, small_archive)
    assert not marker.exists()


def test_arrays_of_objects_of_the_older_format_are_no_part_of_a_store(
    store: Path, marker: Path, small_archive: Path
) -> None:
    content = Pickle().encode(np.array([Payload(marker)], dtype=object))
    Pickle().decode(content)  # the trap works
    assert marker.exists()
    marker.rmdir()
    for path in ARRAYS:
        shutil.rmtree(store / path, ignore_errors=True)
        (store / path).mkdir(parents=True)
        (store / path / ".zarray").write_text(json.dumps(V2))
        (store / path / ".zattrs").write_text("{}")
        (store / path / "0").write_bytes(content)
    read_all(store)
    use(store, small_archive)
    assert not marker.exists()


def test_a_whole_store_of_the_older_format_is_refused(tmp_path: Path, marker: Path, small_archive: Path) -> None:
    store = tmp_path / "old.zarr"
    for group in ("", NAME, f"{NAME}/raw", f"{NAME}/scattering"):
        (store / group).mkdir(parents=True, exist_ok=True)
        (store / group / ".zgroup").write_text('{"zarr_format": 2}')
        (store / group / ".zattrs").write_text('{"gravdask_schema": 1}')
    for path in ARRAYS[:2]:
        (store / path).mkdir()
        (store / path / ".zarray").write_text(json.dumps(V2))
        (store / path / "0").write_bytes(Pickle().encode(np.array([Payload(marker)], dtype=object)))
    with pytest.raises(gravdask.errors.StoreError, match="no gravdask store"):
        gravdask.open(store)
    for command in (("status",), ("run", small_archive)):
        assert _code([*map(str, command), "-o", str(store)]) == 2
    assert not marker.exists()


def test_an_extension_type_of_a_table_that_executes_is_not_made(
    store: Path, payload: bytes, marker: Path, small_archive: Path
) -> None:
    """Arrow once made a Python object of what a column's metadata held."""
    about = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": payload}
    found = list(store.rglob("*.parquet")) + list((store / "ledger").rglob("*.jsonl"))
    assert any(p.name == "index.parquet" for p in found)
    for path in found:
        old = parquet.read_table(path) if path.suffix == ".parquet" else pa.table({"record": ["{}"]})
        fields = [field.with_metadata(about) for field in old.schema]
        table = pa.table(
            [column.combine_chunks() for column in old.columns], schema=pa.schema(fields, old.schema.metadata)
        )
        target = path.with_suffix(".parquet")
        path.unlink()
        parquet.write_table(table, target)
    use(store, small_archive)
    read_all(store)
    assert not marker.exists()


@pytest.mark.parametrize("form", ["pickle", "base64", "npy"])
def test_no_object_of_a_store_is_ever_unpickled(
    whole: Path, tmp_path: Path, payload: bytes, marker: Path, small_archive: Path, form: str,
) -> None:  # fmt: skip
    """Each object in turn, all of one kind at once, is replaced by one that executes when it is unpickled."""
    npy = tmp_path / "x.npy"
    np.save(npy, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    content = {"pickle": payload, "base64": base64.b64encode(payload), "npy": npy.read_bytes()}[form]
    kinds = {
        "metadata": ("zarr.json",),
        "chunks": ("c",),
        "ledger": (".jsonl", ".parquet"),
        "options": ("options.json",),
        "models": (".json", ".npz", ".npy"),
    }
    names = [e.name for e in Place.of(whole).walk() if e.size]
    assert len(names) > 20
    for kind, ends in kinds.items():
        copy = Path(shutil.copytree(whole, tmp_path / kind))
        chosen = [
            n for n in names
            if ("/c/" in n or n.endswith("/c") if kind == "chunks" else n.endswith(ends))
            and not (kind == "metadata" and "/" not in n)
        ]  # fmt: skip
        assert chosen, kind
        for name in chosen:
            (copy / name).write_bytes(content)
        read_all(copy)
        if form == "pickle":
            use(copy, small_archive)
        assert not marker.exists(), kind

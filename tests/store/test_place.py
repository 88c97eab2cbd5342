"""A place: one set of promises about objects, kept by a folder, by memory and by a real S3 service."""

from __future__ import annotations

import errno
import importlib
import os
import pickle
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from gravdask.config import build_config, render
from gravdask.errors import ConfigError, ExecutionError, StoreError
from gravdask.grid import Rate, record_blocks
from gravdask.store.layout import create_array, open_root, read_span, sub_array, write_unit
from gravdask.store.objects import MemoryObjects
from gravdask.store.options import anchored
from gravdask.store.place import Place, anchored_text, in_words, place_of
from gravdask.store.s3 import translated

# ----------------------------------------------------------------------------------------------------- what it is


@pytest.mark.parametrize(
    ("text", "scheme", "root", "path", "name"),
    [
        ("s3://bucket/a/b.zarr", "s3", "bucket", "a/b.zarr", "b.zarr"),
        ("s3://bucket", "s3", "bucket", "", "bucket"),
        ("S3://bucket/a//b/", "s3", "bucket", "a/b", "b"),
        ("memory://one", "memory", "one", "", "one"),
        ("/a/b.zarr", "file", "/a/b.zarr", "", "b.zarr"),
        ("file:///a/b.zarr", "file", "/a/b.zarr", "", "b.zarr"),
    ],
)
def test_a_text_names_a_place(text: str, scheme: str, root: str, path: str, name: str) -> None:
    place = Place.of(text)
    assert (place.scheme, place.root, place.path, place.name) == (scheme, root, path, name)
    assert (place / "ledger" / "x.json").name == "x.json"
    assert str(place / "ledger/x.json").endswith("/ledger/x.json")


def test_a_local_place_serves_as_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Place.of("x.zarr") == Place.of(tmp_path / "x.zarr") == Place.of(str(tmp_path / "x.zarr"))
    below = Place.of("x.zarr") / "a/b"
    assert Path(below) == below.local == tmp_path / "x.zarr" / "a" / "b"
    assert Place.of(below) is below
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Place.of("~/y").local == tmp_path / "y"


def test_another_place_is_no_path() -> None:
    for text in ("s3://bucket/x", "memory://x"):
        assert Place.of(text).local is None
        with pytest.raises(TypeError, match="not on the local file system"):
            os.fspath(Place.of(text))


@pytest.mark.parametrize(
    "text", ["gs://bucket/x", "http://host/x", "s3://", "s3:///x", "memory://", "s3://bucket/x?key=1"]
)
def test_a_url_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a local folder, s3://bucket/prefix or memory://name"):
        Place.of(text)


def test_keys_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="must not hold keys") as caught:
        Place.of("s3://AKIAXXXX:verysecret@bucket/x.zarr")
    assert "verysecret" not in str(caught.value)


def test_a_place_travels_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    place = Place.of("s3://bucket/x.zarr", endpoint="http://127.0.0.1:1", region="eu", allow_http="true")
    packed = pickle.dumps(place)
    assert b"verysecret" not in packed
    assert pickle.loads(packed) == place
    assert len({place, pickle.loads(packed)}) == 1
    assert (place / "a").option("region") == "eu"


def test_memory_is_refused_in_another_process() -> None:
    place = Place.of("memory://mine")
    place.write(b"x") if place.path else (place / "a").write(b"x")
    code = "import pickle, sys; pickle.loads(sys.stdin.buffer.read()).read()"
    other = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(place / "a"), capture_output=True, check=False
    )
    assert b"lies in the memory of process" in other.stderr
    assert b"--serial" in other.stderr


def test_s3_without_obstore_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> Any:
        if name.startswith("obstore"):
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ConfigError, match=r"needs obstore .* pip install 'gravdask\[s3\]'"):
        open_root(Place.of(f"s3://{uuid.uuid4().hex}/x.zarr"))


def test_the_configuration_says_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = build_config({"store": {"path": "s3://bucket/net.zarr", "endpoint": "https://s3.example.org"}})
    assert place_of(config) == Place.of("s3://bucket/net.zarr", endpoint="https://s3.example.org")
    assert config.report_folder == tmp_path / "net-report"
    with pytest.raises(ConfigError, match="no folder of this machine"):
        _ = config.store_path
    assert place_of(build_config({"store": {"path": "a.zarr"}})).local == tmp_path / "a.zarr"
    assert "secret" not in render(config)


def test_urls_are_not_taken_for_relative_paths(tmp_path: Path) -> None:
    values = {"store": {"path": "s3://bucket/x.zarr"}, "archive": {"paths": ["s3://bucket/archive", "a"]}}
    found = anchored(values, tmp_path / "gravdask.toml")
    assert found["store"]["path"] == "s3://bucket/x.zarr"
    assert found["archive"]["paths"] == ["s3://bucket/archive", str(tmp_path / "a")]
    assert anchored_text("memory://x", tmp_path) == "memory://x"


# ------------------------------------------------------------------------------------------------- what it promises


def test_objects_are_written_read_and_removed(place: Place) -> None:
    one = place / "ledger/noise/1.jsonl"
    assert one.stat() is None
    assert not one.exists()
    with pytest.raises(FileNotFoundError):
        one.read()
    one.write(b"first")
    one.write(b"second \x00\xff")
    assert one.read() == b"second \x00\xff"
    one.delete()
    one.delete()
    assert not one.exists()


def test_lists_hold_names_sizes_and_times(place: Place) -> None:
    before = time.time()
    for name in ("a.json", "b/c.json", "b/d/e", "bb/f"):
        (place / name).write(name.encode())
    assert [(e.name, e.size) for e in place.entries()] == [("a.json", 6)]
    assert place.folders() == ["b", "bb"]
    assert [e.name for e in (place / "b").entries()] == ["c.json"]
    assert (place / "b").folders() == ["d"]
    assert sorted(e.name for e in place.walk()) == ["a.json", "b/c.json", "b/d/e", "bb/f"]
    assert sorted(e.name for e in (place / "b").walk()) == ["c.json", "d/e"]
    assert all(before - 2 <= e.time <= time.time() + 2 for e in place.walk())
    assert (place / "none").entries() == (place / "none").folders() == list((place / "none").walk()) == []
    assert place.read_many(["b/c.json", "a.json", "bb/f"]) == [b"b/c.json", b"a.json", b"bb/f"]
    (place / "b").discard()
    assert [e.name for e in place.walk()] == ["a.json", "bb/f"] or place.folders() == ["bb"]


def test_of_many_creators_exactly_one_succeeds(place: Place) -> None:
    start, outcomes = threading.Barrier(6, timeout=60), []

    def create(number: int) -> None:
        start.wait()
        if (place / "marker").create(str(number).encode()):
            outcomes.append(number)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1
    assert (place / "marker").read() == str(outcomes[0]).encode()
    assert [e.name for e in place.walk()] == ["marker"]


def test_an_object_is_swapped_only_if_nobody_changed_it(place: Place) -> None:
    one = place / "current"
    assert not one.swap(b"x", "some-tag")
    one.write(b"1")
    seen = one.stat()
    assert seen is not None
    assert one.swap(b"22", seen.tag)
    assert one.read() == b"22"
    assert not one.swap(b"333", seen.tag)
    assert one.read() == b"22"


def test_a_renewed_object_is_younger_and_one_that_is_gone_stays_gone(place: Place) -> None:
    one = place / "lease.json"
    with pytest.raises(FileNotFoundError):
        one.renew(b"claim")
    assert not one.exists()
    one.write(b"claim")
    first = one.stat()
    time.sleep(1.1)  # the times of S3 are whole seconds
    one.renew(b"claim")
    second = one.stat()
    assert first is not None
    assert second is not None
    assert second.time > first.time
    assert one.read() == b"claim"


def test_arrays_and_objects_lie_in_one_hierarchy(place: Place) -> None:
    root = open_root(place, create=True)
    blocks = record_blocks(Rate(1, 3600))
    array = create_array(root.require_group("XX.A.--.UGZ/raw"), "record", blocks, ("time",), "int32")
    values = np.arange(blocks.shard, dtype=np.int32)
    write_unit(array, 2 * blocks.shard, values)
    (place / "ledger/options.json").write(b"{}")
    assert place.folders() == ["XX.A.--.UGZ", "ledger"]
    assert (place / "XX.A.--.UGZ/raw/record/c/2").exists()
    assert not (place / "XX.A.--.UGZ/raw/record/c/1").exists()
    again = sub_array(open_root(place), "XX.A.--.UGZ/raw/record")
    assert np.array_equal(read_span(again, 2 * blocks.shard, 3 * blocks.shard), values)
    assert isinstance(open_root(place)["XX.A.--.UGZ"], zarr.Group)


def test_two_clients_may_make_the_same_array(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs on different years of a channel both find it missing, and both make it."""
    group = open_root(place, create=True).require_group("XX.A.--.UGZ/noise")
    blocks = record_blocks(Rate(1, 3600))
    first = create_array(group, "snm", blocks, ("day",), "float32")
    write_unit(first, 0, np.ones(blocks.shard, np.float32))
    with monkeypatch.context() as patch:
        patch.setattr(zarr.Group, "__contains__", lambda self, name: False)
        second = create_array(group, "snm", blocks, ("day",), "float32")
    assert np.array_equal(read_span(second, 0, blocks.shard), np.ones(blocks.shard, np.float32))


def test_what_is_no_store_is_refused(place: Place) -> None:
    with pytest.raises(StoreError, match="no gravdask store is here"):
        open_root(place)
    (place / "letter.txt").write(b"Dear colleague")
    with pytest.raises(StoreError, match="holds something that is not a gravdask store"):
        open_root(place, create=True)


def test_a_later_schema_is_refused_politely(place: Place) -> None:
    root = open_root(place, create=True)
    root.attrs["gravdask_schema"] = 99
    for create in (False, True):
        with pytest.raises(StoreError, match=r"schema is 99, this gravdask reads up to 1; use the gravdask that"):
            open_root(place, create=create)


# ------------------------------------------------------------------------------------------------------- what fails


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_object_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    one = Place.of(tmp_path) / "options.json"
    one.write(b"old")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(OSError, match="No space left"):
            one.write(b"new")
    assert one.read() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["options.json"]


def test_files_that_are_still_written_are_in_no_list(tmp_path: Path) -> None:
    (tmp_path / f"1.jsonl.{uuid.uuid4().hex}.partial").write_bytes(b"half")
    assert Place.of(tmp_path).entries() == list(Place.of(tmp_path).walk()) == []


@pytest.mark.slow
def test_wrong_keys_are_named_as_such_without_them(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "quite-another-secret")
    with pytest.raises(ConfigError, match="refuses these keys") as caught:
        open_root(f"{s3}/x.zarr")
    assert "quite-another-secret" not in str(caught.value)


@pytest.mark.slow
def test_keys_may_stand_in_the_credential_file(s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    keys = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    file.write_text("[survey]\n" + "".join(f"{k} = {os.environ[v]}\n" for k, v in keys.items()))
    for name in keys.values():
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "survey")
    place = Place.of(f"{s3}/x")
    place.write(b"signed")
    assert place.read() == b"signed"
    assert open_root(Place.of(f"{s3}/y.zarr"), create=True).attrs["gravdask_schema"] == 1


@pytest.mark.slow
def test_options_of_the_service_stand_in_the_configuration(
    s3: str, s3_service: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ALLOW_HTTP"):
        monkeypatch.delenv(name)
    store = {"path": f"{s3}/x.zarr", "endpoint": s3_service["AWS_ENDPOINT_URL"], "region": "us-east-1"}
    place = place_of(build_config({"store": {**store, "allow_http": True}}))
    open_root(place, create=True)
    assert [e.name for e in place.walk()] == ["zarr.json"]


def test_a_service_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    from gravdask.store import s3 as s3_module

    monkeypatch.setattr(s3_module, "RETRIES", 0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    place = Place.of(f"s3://{uuid.uuid4().hex}/x.zarr", endpoint="http://127.0.0.1:9", allow_http="true")
    with pytest.raises(ExecutionError, match=r"the S3 service failed .* check AWS_ENDPOINT_URL, .*run again"):
        open_root(place)
    plain = Place.of(f"s3://{uuid.uuid4().hex}/x.zarr", endpoint="http://127.0.0.1:9")
    with pytest.raises((ConfigError, ExecutionError), match="AWS_ALLOW_HTTP=true"), in_words(plain):
        plain.exists()


def test_keys_that_nobody_gave_are_what_is_missing() -> None:
    errors = pytest.importorskip("obstore").exceptions
    asked = "Error performing PUT http://169.254.169.254/latest/api/token in 1s: connection refused"
    with (
        pytest.raises(ConfigError, match=r"^s3://b/x: no keys were found; set AWS_ACCESS_KEY_ID"),
        translated("s3://b/x"),
    ):
        raise errors.GenericError(asked)


def test_a_memory_may_be_listed_while_it_is_written_to() -> None:
    objects = MemoryObjects()

    class Name(str):
        """A name that somebody writes another object beside, the moment it is looked at."""

        def startswith(self, *prefix: object) -> bool:  # type: ignore[override]
            objects.write("another", b"1")
            return True

    objects._contents[Name("one")] = b"1"
    assert "one" in {entry.name for entry in objects.entries("")}

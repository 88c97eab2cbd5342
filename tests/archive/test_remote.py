"""Archives behind an address: the same index and the same values as from a local folder."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import obspy
import pandas as pd
import pytest

from gravdask.archive import ReadOptions, diff, read_file, scan
from gravdask.archive import remote as remote_module
from gravdask.archive.carry import all_roots, carry_over
from gravdask.archive.damage import DamagedFileError
from gravdask.archive.index_table import ArchiveIndex
from gravdask.archive.remote import (
    NO_TIME,
    UnreachableError,
    list_files,
    local_copy,
    modified_ns,
    open_source,
    root_exists,
    root_fault,
    version_mark,
)
from gravdask.archive.walk import walk
from gravdask.errors import NotThisFormatError, ReadError

ROWS = "".join(f"2021 01 01 00 {n:02d} 00 {n}.5 1013.2\n" for n in range(30))


@pytest.fixture
def local(tmp_path: Path) -> Path:
    root = tmp_path / "archive"
    (root / "A").mkdir(parents=True)
    (root / "A" / "A_20210101.tsf").write_text(ROWS)
    (root / "334").mkdir()
    (root / "334" / "20210101.tsf").write_text(ROWS.replace("2021 01", "2021 02"))  # the folder names the station
    header = {"network": "XX", "station": "C", "channel": "LHZ"}
    obspy.Trace(np.arange(100, dtype=np.int32), header).write(str(root / "c.mseed"), "MSEED")
    (root / "README.md").write_text("prose\n")
    (root / "bad.tsf").write_text("prose\n")
    (root / "meta.xml").write_text('<?xml version="1.0"?><FDSNStationXML schemaVersion="1.1"></FDSNStationXML>')
    return root


@pytest.fixture
def memory() -> Iterator[tuple[Any, str]]:
    """File system in memory, and a folder of its own on it."""
    system = fsspec.filesystem("memory")
    name = f"/archive-{uuid.uuid4().hex[:8]}"
    yield system, name
    if system.exists(name):
        system.rm(name, recursive=True)


def upload(system: Any, folder: str, local: Path) -> str:
    for path in sorted(local.rglob("*")):
        if path.is_file():
            system.pipe_file(f"{folder}/{path.relative_to(local).as_posix()}", path.read_bytes())
    return f"memory:/{folder}"


@pytest.fixture
def url(memory: tuple[Any, str], local: Path) -> str:
    return upload(*memory, local)


def test_the_index_is_that_of_a_local_copy(url: str, local: Path) -> None:
    near, far = scan([local]), scan([url])
    pd.testing.assert_frame_equal(near.traces, far.traces)
    columns = ["path", "size", "digest", "format"]
    pd.testing.assert_frame_equal(near.files[columns], far.files[columns])
    assert far.roots == (url,)
    assert [p.path.replace(url, str(local)) for p in far.problems] == [p.path for p in near.problems]
    assert [(p.line, p.severity) for p in far.problems] == [(p.line, p.severity) for p in near.problems]
    assert "XX.334.--.UGZ" in set(far.traces["channel"])


def test_every_message_names_the_address_and_no_scratch(url: str) -> None:
    index = scan([url])
    told = [*map(str, index.problems), *index.files["error"]]
    assert any(f"{url}/bad.tsf, line 1" in text for text in told)
    assert not [text for text in told if tempfile.gettempdir() in text]
    with pytest.raises(DamagedFileError, match=rf"^{url}/bad\.tsf, line 1") as caught:
        open_source(f"{url}/bad.tsf")
    assert pickle.loads(pickle.dumps(caught.value)).path == f"{url}/bad.tsf"
    with pytest.raises(NotThisFormatError, match=rf"^{url}/README\.md: not a record"):
        open_source(f"{url}/README.md")


def test_values_are_those_of_a_local_copy_and_scratch_is_left_empty(
    url: str, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    options = ReadOptions(clock_offset_s=3600)
    for name in ("A/A_20210101.tsf", "334/20210101.tsf", "c.mseed"):
        far, near = open_source(f"{url}/{name}", options), read_file(local / name, options)
        assert [t.channel for t in far] == [t.channel for t in near]
        for one, other in zip(far, near, strict=True):
            np.testing.assert_array_equal(one.values, other.values)
            assert one.start_ns == other.start_ns
    with pytest.raises(DamagedFileError):
        open_source(f"{url}/bad.tsf")
    assert list(scratch.iterdir()) == []
    assert [t.channel for t in open_source(local / "c.mseed")] == [t.channel for t in open_source(f"{url}/c.mseed")]


def test_a_second_scan_fetches_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scan([url])
    monkeypatch.setattr(remote_module, "_fetch", None)
    assert scan([f"{url}/"], previous=first) is first


def test_only_what_changed_is_fetched(memory: tuple[Any, str], url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system, folder = memory
    first = scan([url])
    fetched: list[str] = []
    true_fetch = remote_module._fetch
    monkeypatch.setattr(remote_module, "_fetch", lambda u, s: fetched.append(u) or true_fetch(u, s))
    system.pipe_file(f"{folder}/A/A_20210101.tsf", ROWS.replace("0.5", "0.7").encode())
    system.pipe_file(f"{folder}/c.mseed", system.cat_file(f"{folder}/c.mseed"))  # the same content, written anew
    system.mv(f"{folder}/334/20210101.tsf", f"{folder}/334/other_20210101.tsf")
    second = scan([url], previous=first)
    assert sorted(fetched) == [f"{url}/334/other_20210101.tsf", f"{url}/A/A_20210101.tsf", f"{url}/c.mseed"]
    change = diff(first, second)
    assert change.changed == (f"{url}/A/A_20210101.tsf",)
    assert change.moved == ((f"{url}/334/20210101.tsf", f"{url}/334/other_20210101.tsf"),)
    assert (change.added, change.removed) == ((), ())


def test_a_version_mark_alone_is_a_change_that_is_looked_into(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true_list, mark = remote_module.list_files, "one"
    monkeypatch.setattr("gravdask.archive.walk.list_files", lambda u: [(*row[:3], mark) for row in true_list(u)])
    first = scan([url])
    assert set(first.files["mark"]) == {"one"}
    assert scan([url], previous=first) is first
    mark = "two"
    fetched: list[str] = []
    true_fetch = remote_module._fetch
    monkeypatch.setattr(remote_module, "_fetch", lambda u, s: fetched.append(u) or true_fetch(u, s))
    second = scan([url], previous=first)
    assert len(fetched) == len(first.files)
    assert not diff(first, second)


def test_without_a_time_every_scan_looks_at_the_content(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    true_list = remote_module.list_files
    monkeypatch.setattr(
        "gravdask.archive.walk.list_files", lambda u: [(name, size, NO_TIME, "") for name, size, *_ in true_list(u)]
    )
    monkeypatch.setattr(remote_module, "modified_ns", lambda about: NO_TIME)
    first = scan([url])
    fetched: list[str] = []
    true_fetch = remote_module._fetch
    monkeypatch.setattr(remote_module, "_fetch", lambda u, s: fetched.append(u) or true_fetch(u, s))
    scan([url], previous=first)
    assert len(fetched) == len(first.files)


def test_stores_hidden_files_and_single_files(memory: tuple[Any, str], url: str) -> None:
    system, folder = memory
    clean = walk([url]).location
    for name in ("out.zarr/zarr.json", "out.zarr/a/c/0", "out.zarr/inner/zarr.json", ".hidden/x.tsf", "A/.part"):
        system.pipe_file(f"{folder}/{name}", b"{}")
    found = walk([url])
    assert found.location == clean
    assert [(p.path, p.severity) for p in found.problems] == [(f"{url}/out.zarr", "ignored")]
    assert walk([f"{url}/c.mseed"]).location == [f"{url}/c.mseed"]
    assert scan([f"{url}/c.mseed"]).traces["channel"].tolist() == ["XX.C.--.LHZ"]


def test_the_index_is_kept_and_metadata_are_found(url: str, tmp_path: Path) -> None:
    index = scan([url])
    index.save(tmp_path / "index.parquet")
    kept = ArchiveIndex.load(tmp_path / "index.parquet")
    assert index.equals(kept)
    assert kept.metadata_files == (f"{url}/meta.xml",)
    assert kept.path_of(0) == f"{url}/{kept.files['path'].iloc[0]}"
    with local_copy(f"{url}/meta.xml") as path:
        assert path.name == "meta.xml"
        assert b"FDSNStationXML" in path.read_bytes()
    assert not path.exists()


def test_a_file_that_cannot_be_fetched_is_kept_and_tried_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scan([url])
    true_fetch = remote_module._fetch

    def fail(address: str, scratch: Path) -> Path:
        if address.endswith("c.mseed"):
            raise remote_module.unreachable(address, TimeoutError(110, "Connection timed out"))
        return true_fetch(address, scratch)

    monkeypatch.setattr(remote_module, "_fetch", fail)
    fresh = scan([url])
    assert "XX.C.--.LHZ" not in set(fresh.traces["channel"])
    assert any("c.mseed: cannot be read now: Connection timed out" in str(p) for p in fresh.problems)
    monkeypatch.undo()
    again = scan([url], previous=fresh)
    assert again.equals(first)


def test_a_root_that_cannot_be_reached_keeps_what_is_known(memory: tuple[Any, str], url: str, local: Path) -> None:
    system, folder = memory
    before = scan([url, local])
    system.rm(folder, recursive=True)
    roots, absent = all_roots([local], before)
    assert (roots, absent) == ([local], [url])
    index = carry_over(scan(roots, previous=before), before, absent)
    assert set(index.roots) == {url, str(local)}
    assert len(index.traces) == len(before.traces)
    assert not diff(before, index)


def test_what_is_wrong_with_an_address_is_told(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(ReadError, match=r"not an address that fsspec can open .*expected for example s3://"):
        scan(["nosuch://bucket/a"])
    with pytest.raises(ReadError, match=f"the archive {url}/none does not exist; check the address"):
        scan([f"{url}/none"])
    assert not root_exists(f"{url}/none")
    assert root_exists(url)

    def missing(address: str) -> None:
        msg = "Install s3fs to access S3"
        raise ImportError(msg)

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(ReadError, match=r"another library \(Install s3fs.*pip install 'gravdask\[s3\]'"):
        scan(["s3://bucket/a"])


def test_a_listing_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, memory: tuple[Any, str], url: str) -> None:
    def refuse(*given: Any, **more: Any) -> None:
        raise PermissionError(13, "Access Denied")

    monkeypatch.setattr(type(memory[0]), "find", refuse)
    with pytest.raises(ReadError, match=rf"{url}: cannot be listed \(Access Denied\); check the address, the cred"):
        list_files(url)
    monkeypatch.undo()


def test_an_unreachable_file_is_no_statement_about_its_content(url: str) -> None:
    with pytest.raises(UnreachableError, match=f"{url}/none.tsf: cannot be read now"):
        open_source(f"{url}/none.tsf")


@pytest.mark.parametrize(
    ("about", "time_ns"),
    [
        ({"LastModified": datetime(2024, 5, 1, 12, 30, 0, 123456, UTC)}, 1714566600123456000),
        ({"LastModified": datetime(2024, 5, 1, 12, 30, 0, 123456)}, 1714566600123456000),
        ({"updated": "2024-05-01T12:30:00.123456+00:00"}, 1714566600123456000),
        ({"mtime": 1714566600.25}, 1714566600250000000),
        ({"created": None}, NO_TIME),
        ({"updated": "yesterday"}, NO_TIME),
        ({}, NO_TIME),
    ],
)
def test_times_of_modification(about: dict[str, Any], time_ns: int) -> None:
    assert modified_ns(about) == time_ns


def test_version_marks() -> None:
    assert version_mark({"ETag": '"abc"'}) == "abc"
    assert version_mark({"generation": 17}) == "17"
    assert version_mark({"size": 3}) == ""


@pytest.mark.slow
def test_an_archive_on_a_real_s3_service(s3: str, local: Path, tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    fsspec.filesystem("s3").clear_instance_cache()
    system = fsspec.filesystem("s3", skip_instance_cache=True)
    for path in sorted(local.rglob("*")):
        if path.is_file():
            system.pipe_file(f"{s3}/net/{path.relative_to(local).as_posix()}", path.read_bytes())
    root = f"{s3}/net"
    near, far = scan([local]), scan([root])
    pd.testing.assert_frame_equal(near.traces, far.traces)
    assert near.files["digest"].tolist() == far.files["digest"].tolist()
    assert all(far.files["mark"])
    assert scan([root], previous=far) is far
    system.pipe_file(f"{root}/A/A_20210101.tsf", ROWS.replace("0.5", "0.7").encode())
    later = scan([root], previous=far)
    assert diff(far, later).changed == (f"{root}/A/A_20210101.tsf",)
    np.testing.assert_array_equal(open_source(f"{root}/c.mseed")[0].values, read_file(local / "c.mseed")[0].values)
    with pytest.raises(ReadError, match="does not exist"):
        scan([f"{s3}/elsewhere"])
    shutil.rmtree(tmp_path / "archive")
    assert os.listdir(tmp_path) == []


def test_why_an_archive_on_a_service_cannot_be_read(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.filesystem("s3", skip_instance_cache=True).pipe(f"{s3[5:]}/archive/x.mseed", b"123")
    fsspec.filesystem("s3").clear_instance_cache()
    absent = "there is no such file or folder; the archive must exist"
    assert root_fault(f"{s3}/archive") == root_fault(s3) == root_fault(f"{s3}/archive/x.mseed") == ""
    assert root_fault(f"{s3}/other") == absent
    assert root_fault(f"s3://{uuid.uuid4().hex}/archive") == absent
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    fsspec.filesystem("s3").clear_instance_cache()
    for place in (s3, f"{s3}/archive"):
        assert re.match(
            r"cannot be reached \(.*(signature|Forbidden).*\); check the address, the keys", root_fault(place)
        )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.filesystem("s3").clear_instance_cache()
    assert "Could not connect" in root_fault(f"{s3}/archive")


def test_why_a_folder_cannot_be_read(tmp_path: Path) -> None:
    assert root_fault(str(tmp_path)) == ""
    assert "no such file or folder" in root_fault(str(tmp_path / "none"))

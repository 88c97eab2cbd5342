"""Finding the files of an archive, whatever lies around in it."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gravdask.archive import walk as walk_module
from gravdask.archive.locations import as_location, is_url, join, normal_root, within
from gravdask.archive.walk import Found, FoundFile, walk
from gravdask.errors import ReadError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "archive"
    for name in ("b/2.x", "b/1.x", "a.x", "b/c/3.x", "a/z.x"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def told(found: Found) -> list[tuple[str, str, str]]:
    return [(Path(p.path).name, p.severity, p.what) for p in found.problems]


def test_columns_agree_with_the_file_system(tree: Path) -> None:
    found = walk([tree])
    assert found.path == ["a.x", "a/z.x", "b/1.x", "b/2.x", "b/c/3.x"]
    assert set(found.root) == {str(tree)}
    assert found.location == [str(tree / p) for p in found.path]
    for n, path in enumerate(found.path):
        status = (tree / path).stat()
        assert found.file(n) == FoundFile(str(tree), path, status.st_size, status.st_mtime_ns, "")
        assert found.file(n).absolute == tree / path
    assert (found.problems, found.unseen, len(found)) == ((), (), 5)
    assert found.size.dtype == found.mtime_ns.dtype == np.int64


def test_a_file_costs_one_stat(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    true_stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **more: asked.append(str(path)) or true_stat(path, **more))
    found = walk([tree])
    assert len(found) == 5
    assert not [path for path in asked if path.endswith(".x")]  # the listing's own entry is asked, once


def test_a_slow_file_system_is_asked_for_many_files_at_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        (tree / "b" / f"{number}.y").touch()
    (tree / "b" / "gone.y").symlink_to(tree / "nowhere")
    (tree / "b" / "other.y").symlink_to(tree / "a.x")
    os.mkfifo(tree / "b" / "pipe")
    expected = walk([tree])
    workers: set[int] = set()
    pair, together = threading.Semaphore(2), threading.Barrier(2, timeout=10)
    statuses = walk_module._statuses

    def asked(entries: Any) -> Any:
        if threading.current_thread() is not threading.main_thread() and pair.acquire(blocking=False):
            workers.add(threading.get_ident())
            together.wait()
        return statuses(entries)

    monkeypatch.setattr(walk_module, "_statuses", asked)
    assert walk([tree]).path == expected.path
    assert not workers  # a local file system is quick
    monkeypatch.setattr(walk_module, "SLOW_S", 0.0)
    monkeypatch.setattr(walk_module, "MANY", 20)
    found = walk([tree, tree / "b"])
    assert (found.path, found.problems, found.unseen) == (expected.path, expected.problems, expected.unseen)
    assert (found.size == expected.size).all()
    assert (found.mtime_ns == expected.mtime_ns).all()
    assert len(workers) == 2


def test_roots_are_sorted_and_a_root_within_a_root_is_walked_once(tree: Path) -> None:
    assert walk([tree / "b", tree]).location == walk([tree]).location
    assert [Path(p).name for p in walk([tree / "b", tree / "a"]).location] == ["z.x", "1.x", "2.x", "3.x"]
    assert walk([tree / "a.x"]).location == [str(tree / "a.x")]


def test_loops_and_broken_links(tree: Path) -> None:
    clean = walk([tree]).location
    (tree / "loop").symlink_to(tree)
    (tree / "b" / "up").symlink_to(tree / "b")
    (tree / "ring").symlink_to(tree / "ring")
    (tree / "gone.x").symlink_to(tree / "nowhere")
    found = walk([tree])
    assert found.location == clean
    assert [(name, severity) for name, severity, _ in told(found)] == [
        ("gone.x", "quarantined"),
        ("ring", "quarantined"),
    ]
    assert found.unseen == (str(tree / "gone.x"), str(tree / "ring"))
    assert all("repair or remove the link" in p.cure for p in found.problems)


def test_a_link_to_a_file_elsewhere_is_followed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "day.x").write_text("12345678")
    (tree / "linked.x").symlink_to(tmp_path / "disk" / "day.x")
    found = walk([tree])
    assert found.size[found.path.index("linked.x")] == 8


def test_hidden_things_and_stores_are_passed_over(tree: Path) -> None:
    clean = walk([tree]).location
    shutil.copytree(tree / "b", tree / ".snapshot")
    (tree / ".DS_Store").write_text("x")
    (tree / "out.zarr").mkdir()
    (tree / "out.zarr" / "zarr.json").write_text("{}")
    (tree / "out.zarr" / "c").write_text("{}")
    found = walk([tree])
    assert found.location == clean
    assert told(found) == [("out.zarr", "ignored", "is a Zarr store")]


def test_a_name_that_is_not_utf8_is_told(tree: Path) -> None:
    clean = walk([tree]).location
    try:
        (tree / os.fsdecode(b"caf\xe9.x")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    found = walk([tree])
    assert found.location == clean
    (problem,) = found.problems
    assert "\\udce9" in problem.path
    assert "not UTF-8" in problem.what


class _Refusing:
    """`os.scandir` that fails for one folder."""

    def __init__(self, folder: Path, error: OSError) -> None:
        self._folder, self._error, self._true = str(folder), error, os.scandir

    def __call__(self, folder: str) -> Iterator[Any]:
        if str(folder) == self._folder:
            raise self._error
        return self._true(folder)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(116, "Stale file handle")])
def test_a_folder_that_cannot_be_listed_is_told_and_unseen(
    tree: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    monkeypatch.setattr(os, "scandir", _Refusing(tree / "b", error))
    found = walk([tree])
    assert found.path == ["a.x", "a/z.x"]
    assert found.unseen == (str(tree / "b"),)
    ((name, severity, what),) = told(found)
    assert (name, severity) == ("b", "quarantined")
    assert str(error.strerror) in what


def test_a_folder_that_vanishes_between_two_listings_is_unseen(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_scandir = os.scandir

    def vanish(folder: str) -> Any:
        if str(folder).endswith("/a"):
            shutil.rmtree(tree / "b")
        return true_scandir(folder)

    monkeypatch.setattr(os, "scandir", vanish)
    found = walk([tree])
    assert found.path == ["a.x", "a/z.x"]
    assert found.unseen == (str(tree / "b"),)


def test_a_missing_root_and_none() -> None:
    with pytest.raises(ReadError, match="does not exist; check the path, and whether its file system is mounted"):
        walk(["/nowhere/at/all"])
    with pytest.raises(ReadError, match="name at least one"):
        walk([])


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("s3://bucket/a", True), ("memory://x", True), ("gs://b", True), ("simplecache::s3://b", True),
        ("/data", False), ("data", False), ("C:\\data", False), ("file:///data", False), ("a:b", False),
    ],
)  # fmt: skip
def test_addresses_are_told_from_paths(text: str, url: bool) -> None:
    assert is_url(text) is url
    assert isinstance(as_location(text), str) is url


def test_roots_are_made_absolute_but_addresses_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert normal_root("a/../b") == str(tmp_path / "b")
    assert normal_root("file:///x/y") == "/x/y"
    assert normal_root("s3://bucket/a//") == "s3://bucket/a"
    assert normal_root("memory://") == "memory://"
    assert join("s3://b", "c/d") == "s3://b/c/d"
    assert join("/", "c") == "/c"
    assert join("/a", "") == "/a"


def test_within() -> None:
    assert within("/a/b", "/a")
    assert within("/a", "/a")
    assert within("/a", "/")
    assert not within("/ab", "/a")
    assert within("s3://b/x/y", "s3://b/x")
    assert not within("s3://b/xy", "s3://b/x")

"""Scanning an archive, and scanning it again."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pandas as pd
import pytest

from gravdask.archive import ArchiveIndex, ReadOptions, diff, scan
from gravdask.archive import inspect_file as inspection
from gravdask.errors import ReadError

ROWS = "".join(f"2021 01 01 00 {n:02d} 00 {n}.5 1013.2\n" for n in range(30))


def bare_file(path: Path, shift: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ROWS.replace("2021 01", f"2021 {1 + shift:02d}"))
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    root = tmp_path / "archive"
    for month in range(3):
        bare_file(root / "A" / f"A_20210{1 + month}01.tsf", month)
    bare_file(root / "B" / "B_20210101.tsf")
    obspy.Trace(np.arange(100, dtype=np.int32), {"station": "C", "channel": "LHZ"}).write(
        str(root / "c.mseed"), "MSEED"
    )
    (root / "README.md").write_text("prose\n")
    (root / "bad.tsf").write_text("prose\n")
    return root


def equal(one: ArchiveIndex, two: ArchiveIndex) -> bool:
    pd.testing.assert_frame_equal(one.files, two.files)
    pd.testing.assert_frame_equal(one.traces, two.traces)
    return (one.problems, one.roots, one.options_digest) == (two.problems, two.roots, two.options_digest)


class CountingMap:
    """A map that remembers the files it was given, and works backwards."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, function: Any, tasks: Iterable[Any]) -> Iterator[Any]:
        tasks = list(tasks)
        self.paths = [task.file.path for task in tasks]
        for task in reversed(tasks):
            yield pickle.loads(pickle.dumps(function))(pickle.loads(pickle.dumps(task)))


def test_scan_lists_files_traces_and_problems(archive: Path) -> None:
    index = scan([archive])
    assert index.files["path"].tolist() == sorted(index.files["path"])
    assert dict(zip(index.files["path"], index.files["format"], strict=True)) == {
        "A/A_20210101.tsf": "tsoft",
        "A/A_20210201.tsf": "tsoft",
        "A/A_20210301.tsf": "tsoft",
        "B/B_20210101.tsf": "tsoft",
        "README.md": "",
        "bad.tsf": "",
        "c.mseed": "waveform",
    }
    assert [(Path(p.path).name, p.severity, p.line) for p in index.problems] == [
        ("README.md", "ignored", 0),
        ("bad.tsf", "quarantined", 1),
    ]
    assert index.files.set_index("path").loc["bad.tsf", "error"].startswith("[quarantined]")
    rows = index.traces[index.traces["channel"] == "XX.A.--.UGZ"]
    assert rows["npts"].tolist() == [30, 30, 30]
    assert rows["number"].tolist() == [0, 0, 0]
    assert (rows["decimals"] == 1).all()
    assert set(index.traces["channel"]) == {"XX.A.--.UGZ", "XX.A.--.UDO", "XX.B.--.UGZ", "XX.B.--.UDO", "XX.C.--.LHZ"}
    assert index.path_of(int(rows["file"].iloc[0])) == archive / "A" / "A_20210101.tsf"


def test_scan_does_not_depend_on_the_order_of_work(archive: Path) -> None:
    assert equal(scan([archive]), scan([archive], map_function=CountingMap()))
    assert equal(scan([archive / "A", archive / "B"]), scan([archive / "B", archive / "A"]))


def test_scan_tells_its_progress(archive: Path) -> None:
    said: list[tuple[int, int, str]] = []
    scan([archive], report=lambda *words: said.append(words))
    assert [done for done, _, _ in said] == list(range(1, 8))
    assert {total for _, total, _ in said} == {7}


def test_unchanged_files_are_not_opened_again(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scan([archive])
    monkeypatch.setattr(inspection, "read_head", None)
    monkeypatch.setattr(inspection, "file_digest", None)
    counting = CountingMap()
    assert equal(first, scan([archive], previous=first, map_function=counting))
    assert counting.paths == []


def test_touched_file_is_hashed_but_not_read(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scan([archive])
    touched = archive / "A" / "A_20210101.tsf"
    os.utime(touched, ns=(1, 1))
    monkeypatch.setattr(inspection, "read_with_format", None)
    counting = CountingMap()
    second = scan([archive], previous=first, map_function=counting)
    assert counting.paths == ["A/A_20210101.tsf"]
    pd.testing.assert_frame_equal(first.traces, second.traces)
    assert second.files.set_index("path").loc["A/A_20210101.tsf", "mtime_ns"] == 1
    assert not diff(first, second)


def test_changed_moved_added_and_removed_files(archive: Path) -> None:
    first = scan([archive])
    changed = bare_file(archive / "A" / "A_20210201.tsf", 7)
    (archive / "A" / "A_20210301.tsf").rename(archive / "B" / "moved_A.tsf")
    added = bare_file(archive / "D" / "D.tsf", 5)
    (archive / "c.mseed").unlink()
    (archive / "README.md").unlink()
    second = scan([archive], previous=first)
    assert equal(second, scan([archive]))
    change = diff(first, second)
    assert change.added == (added,)
    assert change.removed == (archive / "c.mseed",)
    assert change.changed == (changed,)
    assert change.moved == ((archive / "A" / "A_20210301.tsf", archive / "B" / "moved_A.tsf"),)
    assert change
    assert not diff(second, second)


def test_repaired_file_is_a_change_and_loses_its_problem(archive: Path) -> None:
    first = scan([archive])
    bare_file(archive / "bad.tsf", 9)
    second = scan([archive], previous=first)
    assert diff(first, second).changed == (archive / "bad.tsf",)
    assert [p.severity for p in second.problems] == ["ignored"]


def test_other_options_make_the_previous_index_useless(archive: Path) -> None:
    first = scan([archive])
    second = scan([archive], ReadOptions(clock_offset_s=3600), previous=first)
    rows = (first.traces["channel"] == "XX.A.--.UGZ").to_numpy()
    assert set((first.traces["start_ns"] - second.traces["start_ns"])[rows]) == {3600 * 10**9}


def test_save_and_load(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = scan([archive])
    path = tmp_path / "deep" / "index.parquet"
    index.save(path)
    assert equal(index, ArchiveIndex.load(path))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        index.save(path)
    assert os.listdir(path.parent) == ["index.parquet"]
    assert equal(index, ArchiveIndex.load(path))
    monkeypatch.undo()
    assert equal(scan([archive], previous=ArchiveIndex.load(path)), index)


def test_load_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("prose")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "b.parquet")
    for name, reason in (("a", "not an index"), ("b", "index of version None"), ("c", "not an index")):
        with pytest.raises(ReadError, match=reason):
            ArchiveIndex.load(tmp_path / f"{name}.parquet")


def test_missing_root_and_empty_archive(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="does not exist; check the path"):
        scan([tmp_path / "absent"])
    with pytest.raises(ReadError, match="name at least one"):
        scan([])
    (tmp_path / "README").write_text("prose")
    with pytest.raises(ReadError, match=r"no record in .*looked at 1 files for the formats tsoft, ggp, waveform"):
        scan([tmp_path])
    (tmp_path / "x.tsf").write_text("prose")
    with pytest.raises(ReadError, match=r"the first of 1 damaged files: .*x\.tsf, line 1"):
        scan([tmp_path])


def test_links_hidden_files_and_stores(archive: Path) -> None:
    clean = scan([archive])
    (archive / "loop").symlink_to(archive)
    shutil.copytree(archive / "A", archive / ".snapshot")
    (archive / "out.zarr").mkdir()
    bare_file(archive / "out.zarr" / "z.tsf")
    (archive / "out.zarr" / "zarr.json").write_text("{}")
    (archive / "gone.tsf").symlink_to(archive / "nowhere")
    index = scan([archive, archive / "A"])
    assert index.traces["channel"].tolist() == clean.traces["channel"].tolist()
    new = [(Path(p.path).name, p.severity) for p in index.problems if p not in clean.problems]
    assert new == [("gone.tsf", "quarantined"), ("out.zarr", "ignored")]


def test_single_file_as_root(archive: Path) -> None:
    index = scan([archive / "c.mseed"])
    assert index.files["path"].tolist() == ["c.mseed"]


def test_stationxml_is_metadata(archive: Path) -> None:
    (archive / "meta.xml").write_text('<?xml version="1.0"?><FDSNStationXML schemaVersion="1.1"></FDSNStationXML>')
    index = scan([archive])
    assert index.metadata_files == (archive / "meta.xml",)
    assert not any(p.path.endswith("meta.xml") for p in index.problems)


def test_file_that_changes_while_it_is_read_is_quarantined(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_digest = inspection.file_digest

    def append_and_digest(path: Path) -> str:
        digest = true_digest(path)
        if path.name == "B_20210101.tsf":
            path.write_text(ROWS + ROWS)
        return digest

    monkeypatch.setattr(inspection, "file_digest", append_and_digest)
    index = scan([archive])
    assert "changed while it was read" in index.files.set_index("path").loc["B/B_20210101.tsf", "error"]
    monkeypatch.undo()
    bare_file(archive / "B" / "B_20210101.tsf")
    assert "XX.B.--.UGZ" in set(scan([archive], previous=index).traces["channel"])


def test_notes_are_kept_over_scans(archive: Path) -> None:
    (archive / "A" / "A_20210101.tsf").write_text(ROWS[:-5])
    first = scan([archive])
    notes = [p for p in first.problems if p.severity == "note"]
    assert [(p.line, Path(p.path).name) for p in notes] == [(30, "A_20210101.tsf")]
    assert equal(first, scan([archive], previous=first))

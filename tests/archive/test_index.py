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
from gravdask.errors import ExecutionError, ReadError

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
    with pytest.raises(ReadError, match=r"no record in .*looked at 1 files for the formats .*tsoft, ggp, .*waveform"):
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


def rows_of(index: ArchiveIndex, name: str) -> pd.DataFrame:
    return index.traces[index.traces["file"] == index.files["path"].tolist().index(name)]


def test_an_unchanged_archive_gives_the_index_itself(archive: Path, tmp_path: Path) -> None:
    first = scan([archive])
    first.save(tmp_path / "i.parquet")
    kept = ArchiveIndex.load(tmp_path / "i.parquet")
    assert scan([archive], previous=kept) is kept
    assert scan([archive / "..", archive][1:], previous=kept) is kept
    (archive / "c.mseed").rename(archive / "d.mseed")
    assert scan([archive], previous=kept) is not kept


def test_rows_are_taken_over_for_any_mixture_of_changes(archive: Path) -> None:
    first = scan([archive])
    for number in range(3):
        bare_file(archive / f"{'ABC'[number]}new" / "n.tsf", number)
    (archive / "A" / "A_20210101.tsf").unlink()
    os.utime(archive / "B" / "B_20210101.tsf", ns=(5, 5))
    bare_file(archive / "A" / "A_20210201.tsf", 8)
    second = scan([archive], previous=first, map_function=CountingMap())
    assert equal(second, scan([archive]))
    assert second.files["file"].tolist() == list(range(len(second.files)))


def failing(monkeypatch: pytest.MonkeyPatch, name: str, error: OSError) -> None:
    """Let reading a file fail as a broken disk does, whoever opens it."""
    true_open = Path.open

    def broken(path: Path, *given: Any, **more: Any) -> Any:
        if path.name == name:
            raise error
        return true_open(path, *given, **more)

    monkeypatch.setattr(Path, "open", broken)


def test_a_file_that_cannot_be_read_now_keeps_what_was_read_before(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scan([archive])
    file = archive / "A" / "A_20210201.tsf"
    os.utime(file, ns=(7, 7))
    failing(monkeypatch, file.name, OSError(5, "Input/output error"))
    second = scan([archive], previous=first)
    pd.testing.assert_frame_equal(first.traces, second.traces)
    row = second.files.set_index("path").loc["A/A_20210201.tsf"]
    assert row["digest"] == first.files.set_index("path").loc["A/A_20210201.tsf", "digest"]
    assert "cannot be read now: Input/output error" in row["error"]
    assert [Path(p.path).name for p in second.problems if "cannot be read now" in p.what] == [file.name]
    third = scan([archive], previous=second)
    assert third is second
    monkeypatch.undo()
    assert equal(scan([archive], previous=third), scan([archive]))


def test_a_file_that_was_never_read_is_tried_again(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "B_20210101.tsf", PermissionError(13, "Permission denied"))
    first = scan([archive])
    assert "XX.B.--.UGZ" not in set(first.traces["channel"])
    assert any("B_20210101.tsf: cannot be read now: Permission denied" in str(p) for p in first.problems)
    monkeypatch.undo()
    second = scan([archive], previous=first)  # neither size nor time changed: permissions do not show there
    assert equal(second, scan([archive]))
    assert "XX.B.--.UGZ" in set(second.traces["channel"])


def test_rows_kept_under_other_options_are_read_again(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scan([archive])
    later = ReadOptions(clock_offset_s=3600)
    failing(monkeypatch, "B_20210101.tsf", OSError(5, "Input/output error"))
    second = scan([archive], later, previous=first)
    assert rows_of(second, "B/B_20210101.tsf")["start_ns"].tolist() == (
        rows_of(first, "B/B_20210101.tsf")["start_ns"].tolist()
    )
    monkeypatch.undo()
    assert equal(scan([archive], later, previous=second), scan([archive], later))


def test_a_folder_that_cannot_be_listed_keeps_what_is_known_of_it(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scan([archive])
    true_scandir = os.scandir

    def stale(folder: str) -> Any:
        if str(folder).endswith("/A"):
            raise OSError(116, "Stale file handle")
        return true_scandir(folder)

    monkeypatch.setattr(os, "scandir", stale)
    second = scan([archive], previous=first)
    assert not diff(first, second)
    key = ["channel", "start_ns", "npts"]
    pd.testing.assert_frame_equal(
        first.traces.sort_values(key)[key].reset_index(drop=True),
        second.traces.sort_values(key)[key].reset_index(drop=True),
    )
    assert any("cannot be listed: Stale file handle; what is known of it is kept" in p.what for p in second.problems)
    assert scan([archive], previous=second) is second
    monkeypatch.undo()
    assert equal(scan([archive], previous=second), first)


def test_a_link_to_a_disk_that_is_gone_keeps_what_is_known(archive: Path, tmp_path: Path) -> None:
    bare_file(tmp_path / "disk" / "L" / "L_20210101.tsf", 3)
    (archive / "linked").symlink_to(tmp_path / "disk")
    first = scan([archive])
    assert "XX.L.--.UGZ" in set(first.traces["channel"])
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    second = scan([archive], previous=first)
    assert not diff(first, second)
    assert any("cannot be opened: No such file or directory" in p.what for p in second.problems)
    (archive / "linked").unlink()  # now it is a person's decision
    third = scan([archive], previous=second)
    assert [Path(p).name for p in diff(first, third).removed] == ["L_20210101.tsf"]


def test_a_file_that_grows_is_taken_up_by_the_next_scan(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = archive / "B" / "B_20210101.tsf"
    first = scan([archive])
    true_digest = inspection.file_digest

    def grow(path: Path) -> str:
        digest = true_digest(path)
        if path == growing:
            path.write_text(path.read_text() + "2021 01 01 01 00 00 1.5 1013.2\n")
        return digest

    os.utime(growing, ns=(3, 3))
    growing.write_text(ROWS + "2021 01 01 00 30 00 1.5 1013.2\n")
    monkeypatch.setattr(inspection, "file_digest", grow)
    second = scan([archive], previous=first)
    assert any("changed while it was read; scan again when it is complete" in str(p) for p in second.problems)
    assert rows_of(second, "B/B_20210101.tsf")["npts"].tolist() == [30, 30]  # what was known before
    monkeypatch.undo()
    third = scan([archive], previous=second)
    assert equal(third, scan([archive]))
    assert rows_of(third, "B/B_20210101.tsf")["npts"].sum() == 2 * 32


def test_without_digests_place_size_and_time_stand_in(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "file_digest", None)
    first = scan([archive], digests=False)
    held = first.files[first.files["format"] != ""]
    assert held["digest"].str.startswith("stat-").all()
    assert held["digest"].is_unique
    assert scan([archive], previous=first, digests=False) is first
    os.utime(archive / "A" / "A_20210101.tsf", ns=(1, 1))
    (archive / "A" / "A_20210301.tsf").rename(archive / "A" / "B_20210301.tsf")
    second = scan([archive], previous=first, digests=False)
    change = diff(first, second)
    assert [Path(p).name for p in change.changed] == ["A_20210101.tsf"]
    assert (len(change.added), len(change.removed), change.moved) == (1, 1, ())


def test_digests_that_are_known_stay_when_the_setting_changes(archive: Path) -> None:
    first = scan([archive])
    assert scan([archive], previous=first, digests=False) is first
    bare = scan([archive], digests=False)
    assert scan([archive], previous=bare, digests=True) is bare


def test_files_of_one_content_are_listed(archive: Path) -> None:
    assert scan([archive]).duplicates() == [(str(archive / "B" / "B_20210101.tsf"), str(archive / "A/A_20210101.tsf"))]
    shutil.copy(archive / "c.mseed", archive / "A" / "copy.mseed")
    shutil.copy(archive / "README.md", archive / "A" / "README.md")
    twice = scan([archive]).duplicates()
    assert (str(archive / "c.mseed"), str(archive / "A" / "copy.mseed")) in twice
    assert len(twice) == 2


def test_an_older_index_keeps_roots_and_files_but_every_file_is_read_again(archive: Path, tmp_path: Path) -> None:
    import json

    import pyarrow as pa
    from pyarrow import parquet

    index = scan([archive])
    path = tmp_path / "i.parquet"
    index.save(path)
    table = parquet.read_table(path)
    extra = json.loads(table.schema.metadata[b"gravdask"])
    nested = table["traces"].combine_chunks()
    lacking = [f.name for f in nested.flatten().type if f.name != "stated_rate_hz"]
    older = pa.ListArray.from_arrays(
        nested.offsets, pa.StructArray.from_arrays([nested.flatten().field(n) for n in lacking], names=lacking)
    )
    table = table.drop_columns(["mark", "traces"]).append_column("traces", older)
    parquet.write_table(table.replace_schema_metadata({"gravdask": json.dumps({**extra, "version": 1})}), path)
    old = ArchiveIndex.load(path)
    assert (old.roots, old.options_digest) == (index.roots, "")
    assert set(old.files["mark"]) == {""}
    assert old.traces["channel"].tolist() == index.traces["channel"].tolist()
    counting = CountingMap()
    assert equal(scan([archive], previous=old, map_function=counting), index)
    assert len(counting.paths) == len(index.files)


@pytest.mark.parametrize("version", [99, None, "2"])
def test_an_index_of_another_kind_is_refused(archive: Path, tmp_path: Path, version: object) -> None:
    import json

    from pyarrow import parquet

    path = tmp_path / "i.parquet"
    scan([archive]).save(path)
    table = parquet.read_table(path)
    extra = json.loads(table.schema.metadata[b"gravdask"]) | {"version": version}
    parquet.write_table(table.replace_schema_metadata({"gravdask": json.dumps(extra)}), path)
    with pytest.raises(ReadError, match=f"index of version {version}, expected .*scan the archive again"):
        ArchiveIndex.load(path)
    parquet.write_table(table.drop_columns(["traces"]), path)
    with pytest.raises(ReadError, match="scan the archive again"):
        ArchiveIndex.load(path)


def test_an_archive_is_never_written_to(archive: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        return [(str(p), p.lstat().st_size, p.lstat().st_mtime_ns) for p in sorted(archive.rglob("*"))]

    before = state()
    index = scan([archive])
    scan([archive], previous=index, digests=False)
    assert state() == before


class Stopping(CountingMap):
    """A map that is stopped after some files."""

    def __init__(self, after: int, error: BaseException) -> None:
        super().__init__()
        self._after, self._error = after, error

    def __call__(self, function: Any, tasks: Iterable[Any]) -> Iterator[Any]:
        for number, result in enumerate(super().__call__(function, tasks)):
            if number == self._after:
                raise self._error
            yield result


@pytest.mark.parametrize("error", [ExecutionError("stopped as asked"), KeyboardInterrupt()])
@pytest.mark.parametrize("known", [False, True])
def test_a_scan_that_is_stopped_is_continued(archive: Path, error: BaseException, known: bool) -> None:
    previous = scan([archive]) if known else None
    for month in range(3):
        bare_file(archive / "A" / f"A_20210{1 + month}01.tsf", month + 6)
    bare_file(archive / "Z" / "new.tsf", 3)
    (archive / "c.mseed").unlink()
    (archive / "bad.tsf").write_text("worse prose\n")
    saved: list[ArchiveIndex] = []
    stopped = Stopping(2, error)
    with pytest.raises(type(error)):
        scan([archive], previous=previous, map_function=stopped, checkpoint=saved.append)
    (partial,) = saved
    assert ("c.mseed" in set(partial.files["path"])) == known
    counting = CountingMap()
    index = scan([archive], previous=partial, map_function=counting)
    assert sorted(counting.paths) == sorted(set(stopped.paths) - set(stopped.paths[-2:]))
    assert equal(index, scan([archive]))
    if known:
        assert [Path(p).name for p in diff(partial, index).removed] == ["c.mseed"]


def test_a_long_scan_is_kept_now_and_then(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gravdask.archive.index.CHECKPOINT_SECONDS", -1.0)
    saved: list[ArchiveIndex] = []
    index = scan([archive], checkpoint=saved.append)
    assert len(saved) == len(index.files)
    assert equal(saved[-1], index)
    for partial in saved:
        assert equal(scan([archive], previous=partial), index)


def test_a_scan_without_anything_new_keeps_nothing(archive: Path) -> None:
    index = scan([archive])
    assert scan([archive], previous=index, checkpoint=lambda _: pytest.fail("nothing was looked into")) is index

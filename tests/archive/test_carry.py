"""Roots that a scan does not see: other folders, and mounts that vanished."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gravdask.archive.carry import all_roots, carry_over, refuse_emptied
from gravdask.archive.index import ArchiveIndex, scan
from gravdask.errors import ReadError


def rows(day: int) -> str:
    return "".join(f"2021 01 {day:02d} 00 {m:02d} 00  980.{m:04d}  1000.{m:04d}\n" for m in range(30))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for number, folder in enumerate(("one", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "STA.tsf").write_text(rows(number + 1))
        (tmp_path / folder / "letter.tsf").write_text("prose")
    return tmp_path


def starts(index: ArchiveIndex) -> set[int]:
    return set(index.traces["start_ns"])


def test_folders_of_earlier_runs_are_scanned_again(archive: Path) -> None:
    before = scan([archive / "one"])
    roots, absent = all_roots([archive / "two"], before)
    assert roots == [archive / "two", archive / "one"]
    assert absent == []
    assert len(starts(scan(roots, previous=before))) == 2


def test_a_folder_within_a_given_one_is_scanned_once(archive: Path) -> None:
    roots, absent = all_roots([archive], scan([archive / "one"]))
    assert (roots, absent) == ([archive], [])


def test_a_vanished_folder_keeps_its_files_traces_and_problems(archive: Path) -> None:
    before = scan([archive / "one", archive / "two"])
    shutil.rmtree(archive / "one")
    roots, absent = all_roots([archive / "two"], before)
    assert absent == [str(archive / "one")]
    index = carry_over(scan(roots, previous=before), before, absent)
    assert starts(index) == starts(before)
    assert {p.path for p in index.problems} == {p.path for p in before.problems}
    assert {str(index.path_of(n)) for n in index.traces["file"]} == {
        str(before.path_of(n)) for n in before.traces["file"]
    }
    index.save(archive / "index.parquet")
    assert starts(ArchiveIndex.load(archive / "index.parquet")) == starts(before)


def test_an_emptied_root_is_taken_for_an_unmounted_disk(archive: Path) -> None:
    before = scan([archive / "one", archive / "two"])
    (archive / "one" / "STA.tsf").unlink()
    now = scan([archive / "one", archive / "two"], previous=before)
    with pytest.raises(
        ReadError, match=r"one: all 1 record files .* is the disk mounted\? .* archive\.forget; .* new store"
    ):
        refuse_emptied(now, before)
    refuse_emptied(before, before)
    refuse_emptied(now, None)

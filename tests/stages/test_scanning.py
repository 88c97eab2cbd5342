"""Looking into many files on workers: the same index, whatever fails on the way."""

from __future__ import annotations

import gzip
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gravdask.archive import scan
from gravdask.archive.index_table import ArchiveIndex
from gravdask.archive.inspect_file import FileReport, FileTask, inspect_file
from gravdask.archive.reader import ReadOptions
from gravdask.archive.walk import FoundFile
from gravdask.config import ClusterConfig, build_config
from gravdask.execution import DaskRunner, Failure, SerialRunner
from gravdask.pipeline import run
from gravdask.stages import scanning
from gravdask.stages.scanning import Share, batches, duplicate_notes, removal_notes, spread, teller
from gravdask.store.board import Board
from gravdask.store.place import Place

FILES = 230


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    for n in range(FILES):
        rows = "".join(f"2021 {1 + n // 28:02d} {1 + n % 28:02d} 00 {m:02d} 00 {n}.5 1013.2\n" for m in range(3))
        (root / f"A_{n:03d}.tsf").write_text(rows)
    (root / "bad.tsf").write_text("prose\n")
    return root


class Backwards:
    """A runner that works backwards, counts, and loses what it is told to."""

    def __init__(self, lose: Callable[[Sequence[FileTask]], bool] = lambda tasks: False) -> None:
        self.sizes: list[int] = []
        self._lose = lose

    def run(self, function: Any, tasks: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        for task in reversed(tasks):
            self.sizes.append(len(task))
            yield task, Failure("the worker died each time") if self._lose(task) else function(task)


def holds(name: str) -> Callable[[Sequence[FileTask]], bool]:
    return lambda tasks: any(t.file.path == name for t in tasks)


def test_many_files_go_to_the_runner_in_batches_and_give_the_same_index(archive: Path) -> None:
    runner = Backwards()
    index = scan([archive], map_function=spread(runner))  # type: ignore[arg-type]
    assert index.equals(scan([archive]))
    assert sorted(runner.sizes) == [231 - 3 * 64, 64, 64, 64]
    assert scan([archive], previous=index, map_function=spread(runner)) is index  # type: ignore[arg-type]
    assert len(runner.sizes) == 4


def test_few_files_stay_in_this_process(archive: Path) -> None:
    runner = Backwards()
    scan([archive / "A_000.tsf"], map_function=spread(runner))  # type: ignore[arg-type]
    assert runner.sizes == []
    assert scan([archive], map_function=spread(None)).equals(scan([archive]))


def test_a_batch_that_fails_is_tried_file_by_file(archive: Path) -> None:
    lost = holds("A_100.tsf")
    index = scan([archive], map_function=spread(Backwards(lambda tasks: len(tasks) > 1 and lost(tasks))))  # type: ignore[arg-type]
    assert index.equals(scan([archive]))


def test_a_file_that_kills_workers_is_quarantined_and_tried_again(archive: Path) -> None:
    index = scan([archive], map_function=spread(Backwards(holds("A_100.tsf"))))  # type: ignore[arg-type]
    row = index.files.set_index("path").loc["A_100.tsf"]
    assert "looking into it failed (the worker died each time)" in row["error"]
    assert len(index.traces) == 2 * (FILES - 1)
    assert scan([archive], previous=index).equals(scan([archive]))


@pytest.mark.parametrize("kind", ["serial", pytest.param("local", marks=pytest.mark.slow)])
def test_real_runners(archive: Path, kind: str) -> None:
    runner = SerialRunner() if kind == "serial" else DaskRunner(ClusterConfig(workers=2), lambda line: None)
    try:
        assert scan([archive], map_function=spread(runner)).equals(scan([archive]))
    finally:
        runner.close()


def task(size: int) -> FileTask:
    return FileTask(FoundFile("/a", f"{size}", size, 0), ReadOptions())


def test_batches_are_bounded_in_files_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "BATCH_FILES", 3)
    monkeypatch.setattr(scanning, "BATCH_BYTES", 100)
    made = [[t.file.size for t in batch] for batch in batches(map(task, [1, 1, 1, 1, 50, 60, 500, 1, 2]))]
    assert made == [[1, 1, 1], [1, 50], [60], [500], [1, 2]]
    assert list(batches([])) == []


def test_progress_is_told_in_ten_lines_of_a_long_scan_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=50.0)
    monkeypatch.setattr(scanning, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def told(seconds_a_file: float) -> list[str]:
        said: list[str] = []
        tell = teller(said.append)
        for n in range(1, 1001):
            clock.now += seconds_a_file
            tell(n, 1000, "x")
        return said

    assert told(1.0) == [f"scan: {n} of 1000 files" for n in range(100, 1001, 100)]
    assert told(0.05) == [f"scan: {n} of 1000 files" for n in (201, 402, 603, 804)]
    assert told(0.009) == []


def test_what_is_gone_and_what_is_twice_is_told(tmp_path: Path) -> None:
    for n in range(5):
        (tmp_path / f"A_{n}.tsf").write_text("2021 01 01 00 00 00 1.5 1013.2\n2021 01 01 00 01 00 1.5 1013.2\n")
    first = scan([tmp_path])
    (note,) = duplicate_notes(first)
    assert note.startswith("4 files have the content of another, each is used once: ")
    assert note.endswith(f"{tmp_path / 'A_3.tsf'} = {tmp_path / 'A_0.tsf'} and 1 more")
    (tmp_path / "A_4.tsf").unlink()
    second = scan([tmp_path], previous=first)
    (note,) = removal_notes(first, second)
    assert (
        note == f"1 files of the last scan are gone, and what came from them leaves the store: {tmp_path / 'A_4.tsf'}"
    )
    assert removal_notes(first, first) == removal_notes(None, first) == []


# ------------------------------------------------------------------------------------------ jobs beside each other


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a file was looked into, by its path."""
    counted: Counter[str] = Counter()

    def inspect(task: FileTask) -> FileReport:
        counted[task.file.path] += 1
        return inspect_file(task)

    monkeypatch.setattr("gravdask.archive.index.inspect_file", inspect)
    return counted


@pytest.fixture
def copy(archive: Path, tmp_path: Path) -> Path:
    """An archive of the test's own."""
    return Path(shutil.copytree(archive, tmp_path / "archive"))


def share(place: Place, i: int, n: int) -> Share:
    return Share(Board(place, "subject"), (i, n))


def test_a_file_is_looked_into_by_one_of_several_jobs(
    archive: Path, tmp_path: Path, looked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "PIECES", 20)
    expected = scan([archive])
    looked.clear()
    ready = threading.Barrier(3)

    def job(i: int) -> ArchiveIndex:
        ready.wait(20)
        return scan([archive], map_function=spread(None, share(Place.of(tmp_path), i, 3)))

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(job, range(3)))
    assert all(index.equals(expected) for index in found)
    assert looked.keys() == {*expected.files["path"]}
    assert looked.total() < 1.5 * FILES  # at the end two may look into the same at the same moment


def test_who_comes_later_looks_into_nothing_but_what_changed(copy: Path, tmp_path: Path, looked: Counter[str]) -> None:
    place = Place.of(tmp_path / "store")
    first = scan([copy], map_function=spread(None, share(place, 0, 2)))
    (copy / "A_007.tsf").write_text("2022 01 01 00 00 00 1.5 1013.2\n")
    (copy / "A_008.tsf").unlink()
    (copy / "B.tsf").write_text("2022 01 01 00 00 00 2.5 1013.2\n")
    looked.clear()
    second = scan([copy], map_function=spread(None, share(place, 1, 2)))
    assert looked == {"A_007.tsf": 1, "B.tsf": 1}
    assert second.equals(scan([copy]))
    assert not second.equals(first)


def test_a_job_that_knew_files_before_believes_what_it_knows(copy: Path, tmp_path: Path, looked: Counter[str]) -> None:
    """What another job found to be as it was counts where it is known to be the same here."""
    place = Place.of(tmp_path / "store")
    before = scan([copy])
    for path in copy.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    first = scan([copy], previous=before, map_function=spread(None, share(place, 0, 2)))
    looked.clear()
    again = scan([copy], previous=before, map_function=spread(None, share(place, 1, 2)))
    assert again.equals(first)
    assert not looked
    new = scan([copy], map_function=spread(None, share(place, 1, 2)))
    assert looked.total() == FILES + 1  # all, and bad.tsf
    assert new.traces.equals(before.traces)


def test_what_is_no_report_is_passed_over(archive: Path, tmp_path: Path) -> None:
    place = Place.of(tmp_path)
    board = Board(place, "subject")
    board.put([7, {"file": 3}, {"file": {"root": "x"}, "problems": [], "traces": []}, {"other": 1}])
    for name, content in (("a", b""), ("b", b"no gzip"), ("c", gzip.compress(b"{")), ("d", gzip.compress(b"7"))):
        (place / "tables/scan/subject" / f"{name}.json.gz").write(content)
    assert scan([archive], map_function=spread(None, share(place, 0, 2))).equals(scan([archive]))


def test_files_go_to_the_workers_piece_by_piece(archive: Path, tmp_path: Path) -> None:
    runner = Backwards()
    index = scan([archive], map_function=spread(runner, share(Place.of(tmp_path), 1, 2)))  # type: ignore[arg-type]
    assert index.equals(scan([archive]))
    assert sorted(runner.sizes) == [231 - 3 * 64, 64, 64, 64]


def test_the_board_is_taken_down_once_the_index_is_whole(small_archive: Path, tmp_path: Path) -> None:
    config = build_config(
        {
            "archive": {"paths": [str(small_archive)]},
            "store": {"path": str(tmp_path / "x.zarr")},
            "cluster": {"kind": "serial"},
        }
    )
    folder = tmp_path / "x.zarr/tables/scan"
    for i in range(2):
        run(config, stages=("convert",), part=(i, 2))
    assert len(list(folder.rglob("*.json.gz"))) == 1
    run(config, stages=("convert",))
    assert not folder.exists()

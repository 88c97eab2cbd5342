"""Looking into many files on workers: the same index, whatever fails on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gravdask.archive import scan
from gravdask.archive.inspect_file import FileTask
from gravdask.archive.reader import ReadOptions
from gravdask.archive.walk import FoundFile
from gravdask.config import ClusterConfig
from gravdask.execution import DaskRunner, Failure, SerialRunner
from gravdask.stages import scanning
from gravdask.stages.scanning import batches, duplicate_notes, removal_notes, spread, teller

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


def test_progress_is_told_in_ten_lines_of_many_files_only() -> None:
    said: list[str] = []
    tell = teller(said.append)
    for n in range(1, 1001):
        tell(n, 1000, "x")
    assert said == [f"scan: {n} of 1000 files" for n in range(100, 1001, 100)]
    few: list[str] = []
    tell = teller(few.append)
    for n in range(1, 100):
        tell(n, 99, "x")
    assert few == []


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

"""Dask's performance report: a page where workers worked, and a plain word where none is to come."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import obspy
import pytest

from gravdask.config import ClusterConfig
from gravdask.outcome import tell_performance_report
from gravdask.progress import Progress


class Told(Progress):
    """What a person is told."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An hour of two stations."""
    folder = tmp_path / "archive"
    folder.mkdir()
    for station in ("ONE", "TWO"):
        values = np.random.default_rng(0).integers(-500, 500, 360).astype(np.int32)
        header = {"network": "XX", "station": station, "channel": "VHZ", "sampling_rate": 0.1}
        trace = obspy.Trace(values, {**header, "starttime": obspy.UTCDateTime("2024-03-01")})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trace.write(str(folder / f"{station}.mseed"), format="MSEED")
    return folder


def convert(archive: Path, folder: Path, *options: str) -> str:
    """Convert the archive in a process of its own; gives what it said."""
    command = [sys.executable, "-m", "gravdask", "convert", str(archive), "-o", str(folder / "x.zarr"), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
def test_workers_leave_a_page_and_a_run_without_work_says_that_there_is_none(archive: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    options = ("--workers", "1", "--performance-report", page.name)  # as seen from where the command is given
    said = convert(archive, tmp_path, *options)
    assert f"performance report: {page}" in said
    text = page.read_text(encoding="utf-8")
    assert text.lstrip().lower().startswith("<!doctype html>")
    assert "guarded_group" in text or "convert" in text
    os.utime(page, (time.time() - 1000, time.time() - 1000))
    said = convert(archive, tmp_path, *options)
    assert "nothing to do" in said
    assert "note: there is no performance report: nothing needed a worker" in said


def test_a_serial_run_says_first_that_there_will_be_none(archive: Path, tmp_path: Path) -> None:
    said = convert(archive, tmp_path, "--serial", "--performance-report", "report.html")
    lines = [n for n, line in enumerate(said.splitlines()) if "there will be no performance report" in line]
    assert lines == [0]
    assert "without Dask" in said
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(("age", "word"), [(10.0, "performance report: "), (500.0, "nothing needed a worker")])
def test_the_report_of_another_run_is_not_taken_for_this_ones(tmp_path: Path, age: float, word: str) -> None:
    page, told = tmp_path / "report.html", Told()
    page.write_text("")
    os.utime(page, (time.time() - age, time.time() - age))
    tell_performance_report(ClusterConfig(performance_report=str(page)), 30.0, told)
    (line,) = told.lines
    assert word in line


def test_nothing_is_said_where_none_was_asked_for() -> None:
    told = Told()
    tell_performance_report(ClusterConfig(), 30.0, told)
    assert told.lines == []

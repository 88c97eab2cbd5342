"""Libraries kept from writing what is said in words elsewhere."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from gravdask.execution.quiet import quiet

LEAVES = """
import multiprocessing, os
from gravdask.execution.quiet import start_quiet_tracker
{start}
lock = multiprocessing.get_context("spawn").Lock()
assert os.environ.get("PYTHONWARNINGS") == {before!r}
os._exit(3)
"""


@pytest.mark.parametrize("before", [None, "default"])
def test_what_a_stopped_process_leaves_is_removed_without_a_word(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    if before is not None:
        monkeypatch.setenv("PYTHONWARNINGS", before)
    said = {}
    for start in ("", "start_quiet_tracker()"):
        command = [sys.executable, "-c", LEAVES.format(start=start, before=before)]
        # the pipe is open until the tracker has ended too
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 3
        said[start] = done.stderr
    assert "leaked semaphore" in said[""]
    assert said["start_quiet_tracker()"] == ""


def test_lines_are_dropped_by_how_they_begin_and_only_within_the_block(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("some.library")
    with quiet("some.library", "Lost", "", inside="x"):
        log.warning("Lost x")
        log.warning("Lost y")
        log.warning("x is Lost")
    log.warning("Lost x again")
    assert caplog.messages == ["Lost y", "x is Lost", "Lost x again"]

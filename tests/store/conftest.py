"""Every kind of place that a store can be in."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from gravdask.store.place import Place


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where nothing is yet: a folder, the memory of this process, a bucket of a real S3 service."""
    if request.param == "file":
        return Place.of(tmp_path / "x.zarr")
    if request.param == "memory":
        return Place.of(f"memory://{uuid.uuid4().hex}")
    return Place.of(f"{request.getfixturevalue('s3')}/below/x.zarr")


@pytest.fixture
def dead_pid() -> int:
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid

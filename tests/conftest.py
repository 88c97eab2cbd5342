"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Root of the real records, from the environment variable GRAVDASK_TEST_DATA; skips where it is unset."""
    root = os.environ.get("GRAVDASK_TEST_DATA")
    if not root:
        pytest.skip("GRAVDASK_TEST_DATA is unset: set it to the folder with the real records to run this test")
    path = Path(root)
    if not path.is_dir():
        pytest.fail(f"GRAVDASK_TEST_DATA={root} is not a folder")
    return path

"""The page of `cluster/`, followed to the letter on a real SLURM by somebody who can only copy and paste."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gravdask

CLUSTER = Path(__file__).parents[2] / "cluster"
PAGE = (CLUSTER / "README.md").read_text(encoding="utf-8")


def blocks() -> list[str]:
    """Commands of the page that are meant for a shell, in their order."""
    return re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(500)
def test_the_trial_of_the_page_works_as_it_stands(slurm: Any, tmp_path: Path) -> None:
    install, trial, run, _ = blocks()
    assert "pip install" in install
    shutil.copytree(CLUSTER, tmp_path / "gravdask/cluster")
    environment = {
        **os.environ,
        **slurm.environment,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    done = subprocess.run(
        ["bash", "-euxc", trial + run],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "2 slurm jobs of 1 workers" in done.stderr
    report = re.search(r"^report: (.*\.html)$", done.stderr, re.MULTILINE)
    assert report is not None
    assert Path(report[1]).is_file()
    assert slurm.jobs() == []
    classes = gravdask.network(tmp_path / "trial/gravdask.zarr", "classes")
    assert classes.sizes["channel"] == 4
    assert bool((classes.component >= 0).any())


def test_the_page_names_files_that_exist() -> None:
    for name in re.findall(r"\]\(([\w./]+)\)", PAGE):
        assert (CLUSTER / name).is_file(), name
    named = set(re.findall(r"cluster/([\w./-]+\.(?:sh|toml|yaml|def))\b", PAGE)) | {"Dockerfile"}
    for name in named:
        assert (CLUSTER / name).is_file(), name
    shipped = {str(p.relative_to(CLUSTER)) for p in CLUSTER.rglob("*") if p.is_file()} - {"README.md"}
    told = {name for name in shipped if name in PAGE}
    assert told == shipped, f"the page says nothing of {shipped - told}"


def test_the_page_leads_to_headings_that_exist() -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(#([\w-]+)\)", PAGE):
        assert target in headings


@pytest.mark.parametrize("option", sorted(set(re.findall(r"gravdask (\w+)[^|`\n]*?(?=--)", PAGE))))
def test_commands_of_the_page_exist(option: str) -> None:
    from gravdask.cli import cli

    assert option in cli.commands


def tables() -> list[list[list[str]]]:
    """Tables of the page: their rows, of cells."""
    found = re.findall(r"(?:^\|.*\|\n)+", PAGE, re.MULTILINE)
    return [[[c.strip() for c in row.strip("|").split(" | ")] for row in text.splitlines()] for text in found]


def test_the_sizes_follow_from_the_measurements() -> None:
    (measured,) = (rows for rows in tables() if rows[0][0].strip("| ") == "a station-year")
    (sizes,) = (rows for rows in tables() if rows[0][0].strip("| ") == "stations x years")
    units = {}
    for row in measured[2:]:
        *parts, whole, store = (float(cell.split()[0]) for cell in row[1:])
        assert whole == pytest.approx(sum(parts), rel=0.02)
        units[row[0]] = whole, store
    for what, rate, core_hours, hours, memory, store in sizes[2:]:
        years = float(np.prod([float(x) for x in what.split(" x ")]))
        seconds, megabytes = units[rate]
        assert float(core_hours) == pytest.approx(years * seconds / 3600, rel=0.05)
        assert float(store.split()[0]) == pytest.approx(years * megabytes / 1000, rel=0.08)
        for pair, each in zip(hours.split("; "), memory.removesuffix(" GiB").split("; "), strict=True):
            workers, took = map(float, pair.split(": "))
            assert took == pytest.approx(float(core_hours) / (0.85 * workers), rel=0.15)
            assert float(each) == 2 * workers

"""The notebooks are stored without results, and run from the first cell to the last."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> Any:
    import nbformat

    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder, and Jupyter's files in it instead of in the user's home."""
    work = tmp_path / "work"
    work.mkdir()
    names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR", "TMPDIR")
    for name in names:
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    # pytest's own back end is without figures; a kernel draws into the notebook
    monkeypatch.delenv("MPLBACKEND", raising=False)
    yield work
    assert list((tmp_path / "tmpdir").glob("gravdask-*")) == []


def test_there_are_notebooks_numbered_from_one() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{n:02d}_" for n in range(1, len(NOTEBOOKS) + 1)]
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_stored_valid_and_without_results(path: Path) -> None:
    import nbformat

    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        assert dict(cell.metadata) == {}, cell.source
        assert cell.source.strip(), "an empty cell"
        if cell.cell_type == "code":
            assert cell.execution_count is None, cell.source
            assert cell.outputs == [], cell.source
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")


def run(path: Path, work: Path) -> Any:
    from nbclient import NotebookClient

    notebook = read(path)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=True)
    return asyncio.run(client.async_execute(cwd=str(work)))


def outputs(notebook: Any, kind: str) -> list[Any]:
    return [
        out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs if out.output_type == kind
    ]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_without_errors_or_warnings(path: Path, own_home: Path) -> None:
    notebook = run(path, own_home)
    errors = [f"{out.ename}: {out.evalue}\n" + "\n".join(out.traceback) for out in outputs(notebook, "error")]
    assert errors == []
    said = [out.text for out in outputs(notebook, "stream") if out.name == "stderr"]
    assert said == []
    pictures = [out for out in outputs(notebook, "display_data") if "image/png" in out.data]
    assert len(pictures) >= 2
    printed = "".join(out.text for out in outputs(notebook, "stream"))
    expected = {
        "01_the_whole_job": [r"^0 units done, [1-9]"],
        "02_scattering_by_hand": ["^chunks of 345600 samples: the same values: True$", "in every frame: True$"],
    }
    for pattern in expected.get(path.stem, []):
        assert re.search(pattern, printed, re.MULTILINE), pattern
    assert "the same values: False" not in printed
    assert list(own_home.iterdir()) == [], "a notebook writes beside itself"

"""Files that no reader knows although they are named like records: damaged from their first bytes on, most likely."""

from __future__ import annotations

import re
from dataclasses import replace

from gravdask.archive.damage import Problem
from gravdask.archive.index_table import ArchiveIndex
from gravdask.archive.locations import within

_NUMBER = re.compile(r"\d+")


def told_problems(index: ArchiveIndex) -> list[Problem]:
    """Problems of an index, where a file without a format that is named like records of the same root is quarantined.

    Names are alike that differ in their numbers only: ``2024/GD.DLN.LGZ.D.2024.004`` beside ``...2024.005``. What an
    archive holds beside its records (logs, scripts, pictures) stays ignored.
    """
    suspects = {p.path: _form(p.path, index.roots) for p in index.problems if p.severity == "ignored"}
    forms = {form for form in suspects.values() if "#" in form}
    alike = forms & _forms_of_records(index, forms) if forms else set()
    return [_quarantined(p) if suspects.get(p.path) in alike else p for p in index.problems]


def _form(path: str, roots: tuple[str, ...]) -> str:
    """Path below its root with every number replaced, '' where it lies below none."""
    root = next((root for root in roots if within(path, root)), None)
    return "" if root is None else _NUMBER.sub("#", path[len(root) :].lstrip("/"))


def _forms_of_records(index: ArchiveIndex, wanted: set[str]) -> set[str]:
    """Which of some forms of names the files with traces have."""
    import pyarrow as pa
    from pyarrow import compute

    rows = index.files["file"].isin(index.traces["file"])
    forms = compute.replace_substring_regex(
        pa.array(index.files["path"][rows].to_numpy(), pa.large_string()), r"\d+", "#"
    )
    return wanted & set(compute.unique(forms).to_pylist())


def _quarantined(problem: Problem) -> Problem:
    """Say of a file that it should have been one."""
    what = f"named like the records beside it, but {problem.what.partition('; tried')[0]}"
    return replace(
        problem, severity="quarantined", what=what, cure="replace it by a copy that is whole, or move it away"
    )

"""What an index keeps of roots that a scan did not see: other folders of the archive, and mounts that vanished.

A store grows from several folders over the years, and a folder that is absent today may be an unmounted disk. Neither
may look like files that were removed on purpose, for what was made from those would be taken out of the store.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from gravdask.archive.index import ArchiveIndex
from gravdask.errors import ReadError


def all_roots(
    given: Sequence[Path | str], previous: ArchiveIndex | None, forgotten: Sequence[str] = ()
) -> tuple[list[Path], list[str]]:
    """Roots to scan, and those of the index before that cannot be reached.

    Parameters
    ----------
    given
        Roots that the user named.
    previous
        Index of the scan before, whose roots still belong to the archive.
    forgotten
        Roots of earlier scans that do not belong to it any more.
    """
    dropped = {os.path.abspath(os.path.expanduser(root)) for root in forgotten}
    roots = [Path(os.path.abspath(root)) for root in given]
    absent = []
    for known in previous.roots if previous is not None else ():
        path = Path(known)
        if known in dropped or any(path == root or root in path.parents for root in roots):
            continue
        if path.exists():
            roots.append(path)
        else:
            absent.append(known)
    return roots, absent


def refuse_emptied(index: ArchiveIndex, previous: ArchiveIndex | None) -> None:
    """Refuse a root that held records and holds none now: an empty mount point, not an emptied archive.

    Raises
    ------
    ReadError
        Naming the root and what to do.
    """
    if previous is None:
        return
    now = _records(index)
    for root, known in _records(previous).items():
        if known and root in index.roots and not now.get(root):
            msg = (
                f"{root}: all {known} record files known from the last scan are gone; is the disk mounted? "
                "If they were removed on purpose, start a new store"
            )
            raise ReadError(msg)


def _records(index: ArchiveIndex) -> dict[str, int]:
    """Number of files with records below each root."""
    holding = index.files[index.files["file"].isin(index.traces["file"].unique())]
    return {str(root): int(count) for root, count in holding["root"].value_counts().items()}


def carry_over(index: ArchiveIndex, previous: ArchiveIndex | None, absent: Sequence[str]) -> ArchiveIndex:
    """Add to an index what an earlier one knows of roots that cannot be reached now."""
    if previous is None or not absent:
        return index
    files = previous.files[previous.files["root"].isin(list(absent))]
    traces = previous.traces[previous.traces["file"].isin(files["file"])]
    renumber = dict(zip(files["file"], range(len(index.files), len(index.files) + len(files)), strict=True))
    files = files.assign(file=files["file"].map(renumber))
    traces = traces.assign(file=traces["file"].map(renumber))
    problems = [p for p in previous.problems if any(Path(root) in Path(p.path).parents for root in absent)]
    return ArchiveIndex(
        tuple(sorted({*index.roots, *absent})),
        pd.concat([index.files, files], ignore_index=True),
        pd.concat([index.traces, traces], ignore_index=True),
        tuple(sorted({*index.problems, *problems})),
        index.options_digest,
    )

"""What an index keeps of what a scan could not see: other folders of the archive, and mounts that vanished.

A store grows from several folders over the years, and a folder that is absent today may be an unmounted disk. Neither
may look like files that were removed on purpose, for what was made from those would be taken out of the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gravdask.archive.index_table import REREAD, ArchiveIndex
from gravdask.archive.locations import as_location, normal_root, within
from gravdask.archive.remote import root_exists
from gravdask.errors import ReadError


def all_roots(
    given: Sequence[Path | str], previous: ArchiveIndex | None, forgotten: Sequence[str] = ()
) -> tuple[list[Path | str], list[str]]:
    """Roots to scan, and those of the index before that cannot be reached.

    Parameters
    ----------
    given
        Roots that the user named: folders, files or addresses.
    previous
        Index of the scan before, whose roots still belong to the archive.
    forgotten
        Roots of earlier scans that do not belong to it any more.
    """
    dropped = {normal_root(root) for root in forgotten}
    roots = [normal_root(root) for root in given]
    absent = []
    for known in previous.roots if previous is not None else ():
        if known in dropped or any(within(known, root) for root in roots):
            continue
        if root_exists(known):
            roots.append(known)
        else:
            absent.append(known)
    return [as_location(root) for root in roots], absent


def refuse_emptied(index: ArchiveIndex, previous: ArchiveIndex | None) -> None:
    """Refuse a root that held records and holds none now: an empty mount point, not an emptied archive.

    Raises
    ------
    ReadError
        Naming the root and what to do.
    """
    if previous is None or index is previous:
        return
    now = _records(index)
    for root, known in _records(previous).items():
        if known and root in index.roots and not now.get(root):
            msg = (
                f"{root}: all {known} record files known from the last scan are gone; is the disk mounted? "
                "If the folder does not belong to the archive any more, name it in archive.forget; "
                "if the files were removed on purpose, start a new store"
            )
            raise ReadError(msg)


def _records(index: ArchiveIndex) -> dict[str, int]:
    """Number of files with records below each root."""
    return {str(root): int(count) for root, count in index.recording()["root"].value_counts().items()}


def carry_over(index: ArchiveIndex, previous: ArchiveIndex | None, absent: Sequence[str]) -> ArchiveIndex:
    """Add to an index what an earlier one knows of places that could not be looked at.

    Parameters
    ----------
    index, previous
        The index of this scan, and that of the scan before.
    absent
        Roots, folders and files that could not be reached or listed.
    """
    if previous is None or not absent:
        return index
    there = set(index.locations())
    places = set(absent)
    wanted = [_below(p, places) and p not in there for p in previous.locations()]
    roots = {*index.roots, *(root for root in previous.roots if root in places)}
    if not any(wanted) and roots == set(index.roots):
        return index
    files = previous.files[np.array(wanted, bool)]
    traces = previous.traces[previous.traces["file"].isin(files["file"])]
    renumber = dict(zip(files["file"], range(len(index.files), len(index.files) + len(files)), strict=True))
    files = files.assign(file=files["file"].map(renumber))
    if previous.options_digest != index.options_digest:
        files = files.assign(mtime_ns=REREAD)
    traces = traces.assign(file=traces["file"].map(renumber))
    told = [p for p in previous.problems if p.severity != "quarantined" or p.path not in places]  # else told anew
    problems = [p for p in told if _below(p.path, places) and p.path not in there]
    return ArchiveIndex(
        tuple(sorted(roots)),
        pd.concat([index.files, files], ignore_index=True),
        pd.concat([index.traces, traces], ignore_index=True),
        tuple(sorted({*index.problems, *problems})),
        index.options_digest,
    )


def _below(location: str, places: set[str]) -> bool:
    """Whether a file lies at or below one of some places."""
    while location:
        if location in places:
            return True
        location = location.rpartition("/")[0]
    return "/" in places

"""What changed in an archive between two scans."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gravdask.archive.index import ArchiveIndex


@dataclass(frozen=True)
class IndexDiff:
    """Record files that differ between two indexes; all paths are absolute and sorted.

    Attributes
    ----------
    added, removed
        Files that are only in the later, only in the earlier index.
    changed
        Files with another content, another format or another error than before. A new time of modification alone is
        no change.
    moved
        Pairs (before, after) of files with the same content that disappeared from one place and appeared at another;
        they are not listed as added or removed.
    """

    added: tuple[Path, ...] = ()
    removed: tuple[Path, ...] = ()
    changed: tuple[Path, ...] = ()
    moved: tuple[tuple[Path, Path], ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.removed or self.changed or self.moved)


def _records(index: ArchiveIndex) -> dict[Path, tuple[str, str, bool]]:
    """Digest, format and whether damaged, of every file that is not ignored."""
    rows = index.files[index.files["digest"] != ""]
    columns = (rows[name] for name in ("root", "path", "digest", "format", "error"))
    return {
        Path(root, path): (digest, form, bool(error)) for root, path, digest, form, error in zip(*columns, strict=True)
    }


def diff(previous: ArchiveIndex, current: ArchiveIndex) -> IndexDiff:
    """Compare two indexes of one archive.

    A moved file is known by its digest; if several files of the same content disappear and appear, they are paired in
    the order of their paths.
    """
    before, after = _records(previous), _records(current)
    removed, added = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    moved = []
    for old in removed.copy():
        new = next((path for path in added if after[path][0] == before[old][0]), None)
        if new is not None:
            moved.append((old, new))
            removed.remove(old)
            added.remove(new)
    changed = sorted(path for path in before.keys() & after.keys() if before[path] != after[path])
    return IndexDiff(tuple(added), tuple(removed), tuple(changed), tuple(moved))

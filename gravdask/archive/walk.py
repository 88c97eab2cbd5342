"""All files below the roots of an archive, in an order that depends on their names alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gravdask.archive.damage import Problem
from gravdask.errors import ReadError

STORE_MARKS = frozenset({"zarr.json", ".zgroup", ".zarray"})
"""Files whose presence says that a folder is a Zarr store, for example gravdask's own output."""


@dataclass(frozen=True, order=True)
class FoundFile:
    """A file of an archive.

    Attributes
    ----------
    root
        Root it was found below, absolute.
    path
        Path below the root, with ``/``.
    size
        Bytes.
    mtime_ns
        Time of last modification [ns since 1970].
    """

    root: str
    path: str
    size: int
    mtime_ns: int

    @property
    def absolute(self) -> Path:
        """Where the file is."""
        return Path(self.root, self.path)


def walk(roots: Sequence[Path | str]) -> tuple[list[FoundFile], list[Problem]]:
    """List the files below the roots.

    Symbolic links are followed; a folder that was already visited (a loop, a root within a root) is not visited
    again. Hidden files and folders (``.snapshot``, ``.DS_Store``) and Zarr stores are passed over.

    Returns
    -------
    files
        Sorted by root and path.
    problems
        Folders that cannot be listed, broken links, stores that were passed over.

    Raises
    ------
    ReadError
        If a root does not exist, or no root is given.
    """
    if not roots:
        msg = "no archive folder is given; name at least one"
        raise ReadError(msg)
    files: list[FoundFile] = []
    problems: list[Problem] = []
    visited: set[tuple[int, int]] = set()
    for root in sorted({os.path.abspath(root) for root in roots}):
        if not os.path.exists(root):
            msg = f"the archive {root} does not exist; check the path, and whether its file system is mounted"
            raise ReadError(msg)
        if os.path.isfile(root):
            folder, name = os.path.split(root)
            _add_file(folder, name, files, problems)
        else:
            _add_folder(root, "", files, problems, visited)
    unique = {(file.root, file.path): file for file in files}
    return sorted(unique.values()), sorted(set(problems))


def _add_folder(
    root: str, below: str, files: list[FoundFile], problems: list[Problem], visited: set[tuple[int, int]]
) -> None:
    """Add the files of a folder and, after them, of its folders."""
    pending = [below]
    while pending:
        below = pending.pop()
        folder = os.path.join(root, below)
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            names = sorted(name for name in os.listdir(folder) if not name.startswith(".") or name in STORE_MARKS)
        except OSError as error:
            problems.append(Problem(folder, 0, f"cannot be listed: {error.strerror}", "check its permissions"))
            continue
        if below and STORE_MARKS & set(names):
            problems.append(Problem(folder, 0, "is a Zarr store", "", "ignored"))
            continue
        folders = []
        for name in names:
            path = f"{below}/{name}" if below else name
            if not _writable(name):
                shown = os.path.join(root, path).encode(errors="backslashreplace").decode()
                cure = "rename it; no table can hold this name"
                problems.append(Problem(shown, 0, "its name is not UTF-8, so nothing of it is used", cure))
            elif os.path.isdir(os.path.join(root, path)):
                folders.append(path)
            else:
                _add_file(root, path, files, problems)
        pending.extend(reversed(folders))


def _writable(name: str) -> bool:
    """Whether a name can be written as UTF-8; on old disks some cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _add_file(root: str, path: str, files: list[FoundFile], problems: list[Problem]) -> None:
    """Add one file, or say why not."""
    full = os.path.join(root, path)
    try:
        status = os.stat(full)
    except OSError as error:
        problems.append(Problem(full, 0, f"cannot be opened: {error.strerror}", "repair or remove the link"))
        return
    if os.path.isfile(full):
        files.append(FoundFile(root, path, status.st_size, status.st_mtime_ns))

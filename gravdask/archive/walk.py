"""All files below the roots of an archive, in an order that depends on their names alone.

A local file costs one `stat`, a remote one a thousandth of a request. Where a `stat` has to ask a server, as on NFS,
many are asked at once. What is found stands in columns: an archive of a million files is compared with the index of the
scan before without a Python object for each.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.damage import Problem
from gravdask.archive.locations import as_location, is_url, join, join_all, normal_root
from gravdask.archive.remote import list_files
from gravdask.errors import ReadError

STORE_MARKS = frozenset({"zarr.json", ".zgroup", ".zarray"})
"""Files whose presence says that a folder is a Zarr store, for example gravdask's own output."""
SLOW_S = 1e-4
"""A file system that needs longer than this for a `stat` [s], on the average, is asked for many at once: a local one
needs a tenth of it, a server on a network ten times as long."""
MANY = 256
"""So many files are asked for at once, and so many must have been before a file system is called slow."""
THREADS = 16


@dataclass(frozen=True, order=True, slots=True)
class FoundFile:
    """A file of an archive.

    Attributes
    ----------
    root
        Root it was found below: an absolute path, or an address.
    path
        Path below the root, with ``/``.
    size
        Bytes.
    mtime_ns
        Time of last modification [ns since 1970]; `remote.NO_TIME` if the store does not tell it.
    mark
        Version mark of an object store (ETag); empty for local files.
    """

    root: str
    path: str
    size: int
    mtime_ns: int
    mark: str = ""

    @property
    def location(self) -> str:
        """Absolute path or address."""
        return join(self.root, self.path)

    @property
    def absolute(self) -> Path | str:
        """Where the file is: a path, or the text of an address."""
        return as_location(self.location)


@dataclass(frozen=True, eq=False)
class Found:
    """The files below the roots, in columns, sorted by root and path.

    Attributes
    ----------
    root, path, size, mtime_ns, mark
        As in `FoundFile`, one entry a file.
    problems
        Folders that cannot be listed, broken links, stores that were passed over; sorted.
    unseen
        Folders and files that are there, or were, but could not be looked at: nothing may be concluded from the
        absence of what is below them.
    """

    root: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    size: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    mtime_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    mark: list[str] = field(default_factory=list)
    problems: tuple[Problem, ...] = ()
    unseen: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the files."""
        return len(self.path)

    @property
    def location(self) -> list[str]:
        """Absolute path or address of each file."""
        return join_all(self.root, self.path)

    def file(self, number: int) -> FoundFile:
        """Give one file by its place in the order."""
        return FoundFile(
            self.root[number],
            self.path[number],
            int(self.size[number]),
            int(self.mtime_ns[number]),
            self.mark[number],
        )


def walk(roots: Sequence[Path | str]) -> Found:
    """List the files below the roots.

    Symbolic links are followed; a folder that was already visited (a loop, a root within a root) is not visited
    again. Hidden files and folders (``.snapshot``, ``.DS_Store``) and Zarr stores are passed over.

    Parameters
    ----------
    roots
        Folders, single files, or addresses such as ``s3://bucket/prefix``.

    Raises
    ------
    ReadError
        If a root does not exist, or no root is given.
    """
    if not roots:
        msg = "no archive folder is given; name at least one"
        raise ReadError(msg)
    with ThreadPoolExecutor(THREADS) as pool:  # no thread starts before there is work for it
        walker = _Walker(pool)
        for root in sorted({normal_root(root) for root in roots}):
            if is_url(root):
                walker.add_remote(root)
            elif not os.path.exists(root):
                msg = f"the archive {root} does not exist; check the path, and whether its file system is mounted"
                raise ReadError(msg)
            elif os.path.isfile(root):
                walker.add_file(*os.path.split(root))
            else:
                walker.add_folder(root)
        return walker.found()


def _statuses(entries: Sequence[os.DirEntry[str]]) -> list[os.stat_result | OSError]:
    """Status of each entry of a folder, or why there is none."""
    found: list[os.stat_result | OSError] = []
    for entry in entries:
        try:
            found.append(entry.stat())
        except OSError as error:
            found.append(error)
    return found


class _Walker:
    """Collects files, and what there is to say about the rest."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._asked = 0
        self._seconds = 0.0
        self._rows: dict[tuple[str, str], tuple[int, int, str]] = {}
        self._problems: set[Problem] = set()
        self._unseen: set[str] = set()
        self._visited: set[tuple[int, int]] = set()

    def found(self) -> Found:
        """Give the columns, sorted."""
        ordered = sorted(self._rows.items())
        size, mtime = (np.fromiter((row[1][n] for row in ordered), np.int64, len(ordered)) for n in (0, 1))
        return Found(
            [root for (root, _), _ in ordered],
            [path for (_, path), _ in ordered],
            size,
            mtime,
            [mark for _, (_, _, mark) in ordered],
            tuple(sorted(self._problems)),
            tuple(sorted(self._unseen)),
        )

    def add_file(self, root: str, path: str) -> None:
        """Add one local file that was named itself, or say why not."""
        full = join(root, path)
        try:
            status = os.stat(full)
        except OSError as error:
            self._not_opened(full, error)
            return
        self._rows[root, path] = (status.st_size, status.st_mtime_ns, "")

    def add_folder(self, root: str) -> None:
        """Add the files of a local folder and, after them, of its folders."""
        self._asked, self._seconds = 0, 0.0  # of this root: another may lie on a quicker disk
        pending = [""]
        while pending:
            below = pending.pop()
            folder = join(root, below)
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in self._visited:
                    continue
                self._visited.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as entries:
                    listed = [e for e in entries if not e.name.startswith(".") or e.name in STORE_MARKS]
            except OSError as error:
                self._unseen.add(folder)
                what = f"cannot be listed: {error.strerror}; what is known of it is kept"
                self._problems.add(Problem(folder, 0, what, "check its permissions, and whether it is mounted"))
                continue
            if below and any(entry.name in STORE_MARKS for entry in listed):
                self._problems.add(Problem(folder, 0, "is a Zarr store", "", "ignored"))
                continue
            folders = self._add_entries(root, below, listed)
            pending.extend(sorted(folders, reverse=True))

    def _add_entries(self, root: str, below: str, entries: list[os.DirEntry[str]]) -> list[str]:
        """Add the files of a folder's listing; gives its folders."""
        folders, files = [], []
        above = f"{below}/" if below else ""
        for entry in entries:
            path = above + entry.name
            if not _writable(entry.name):
                self._unwritable(join(root, path))
                continue
            try:
                if entry.is_dir():
                    folders.append(path)
                else:
                    files.append(entry)
            except OSError as error:
                self._not_opened(join(root, path), error)
        for first in range(0, len(files), MANY):
            some = files[first : first + MANY]
            for entry, status in zip(some, self._asked_for(some), strict=True):
                path = above + entry.name
                if isinstance(status, OSError):
                    self._not_opened(join(root, path), status)
                elif stat.S_ISREG(status.st_mode):
                    self._rows[root, path] = (status.st_size, status.st_mtime_ns, "")
        return folders

    def _asked_for(self, entries: list[os.DirEntry[str]]) -> list[os.stat_result | OSError]:
        """Status of each entry: one after the other, or in shares side by side once that has proved slow."""
        if self._asked >= MANY and self._seconds > SLOW_S * self._asked:
            share = -(-len(entries) // THREADS)
            shares = [entries[first : first + share] for first in range(0, len(entries), share)]
            return [status for found in self._pool.map(_statuses, shares) for status in found]
        begun = time.perf_counter()
        found = _statuses(entries)
        self._seconds += time.perf_counter() - begun
        self._asked += len(entries)
        return found

    def _not_opened(self, full: str, error: OSError) -> None:
        """Keep in mind that something could not be looked at."""
        self._unseen.add(full)
        cure = "repair or remove the link" if os.path.islink(full) else "check permissions and mount, and run again"
        self._problems.add(Problem(full, 0, f"cannot be opened: {error.strerror}", cure))

    def _unwritable(self, full: str) -> None:
        """Say that a name is not UTF-8."""
        shown = full.encode(errors="backslashreplace").decode()
        cure = "rename it; no table can hold this name"
        self._problems.add(Problem(shown, 0, "its name is not UTF-8, so nothing of it is used", cure))

    def add_remote(self, url: str) -> None:
        """Add the files behind an address."""
        listed = list_files(url)
        marked = {name.rpartition("/")[0] for name, *_ in listed if name.rpartition("/")[2] in STORE_MARKS}
        stores = {folder for folder in marked if folder}
        for folder in sorted(stores):
            if not any(parent in stores for parent in _parents(folder)):
                self._problems.add(Problem(join(url, folder), 0, "is a Zarr store", "", "ignored"))
        for name, size, mtime_ns, mark in listed:
            root, path = (url, name) if name else url.rsplit("/", 1)
            hidden = any(part.startswith(".") for part in path.split("/"))
            if hidden or path.endswith("/") or any(parent in stores for parent in _parents(path)):
                continue
            if not _writable(path):
                self._unwritable(join(root, path))
            else:
                self._rows[root, path] = (size, mtime_ns, mark)


def _parents(path: str) -> list[str]:
    """Folders above a path, the nearest last."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _writable(name: str) -> bool:
    """Whether a name can be written as UTF-8; on old disks some cannot."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True

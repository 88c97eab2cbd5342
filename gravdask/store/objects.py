"""Objects on a file system and in memory: written whole or not at all, listed with size and time."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from gravdask.errors import StoreError

PARTIAL = ".partial"
"""End of the name of a file that is still being written; such files are in no list."""


@dataclass(frozen=True, order=True)
class Entry:
    """An object as a list shows it.

    Attributes
    ----------
    name
        Its name, or its path from where the list begins.
    size
        Bytes.
    time
        When it was last written, by the clock of where it is kept [s since 1970].
    tag
        Changes whenever the object does.
    """

    name: str
    size: int
    time: float
    tag: str


class Objects(Protocol):
    """What can be done with objects, by their paths from a root."""

    def zarr_store(self, path: str, fast: bool) -> Any:  # noqa: ANN401
        """Zarr store of the hierarchy at a path; ``fast`` allows a faster codec pipeline where there is one."""
        ...

    def read(self, path: str) -> bytes:
        """Content of an object, or FileNotFoundError."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Write an object whole."""
        ...

    def create(self, path: str, content: bytes) -> bool:
        """Write an object whole if there is none."""
        ...

    def swap(self, path: str, content: bytes, tag: str) -> bool:
        """Replace an object that still has a tag."""
        ...

    def renew(self, path: str, content: bytes) -> None:
        """Give an object the present time, or FileNotFoundError."""
        ...

    def stat(self, path: str) -> Entry | None:
        """Size, time and tag of an object."""
        ...

    def delete(self, path: str) -> None:
        """Remove an object that may be there."""
        ...

    def entries(self, path: str) -> list[Entry]:
        """Objects directly below a path."""
        ...

    def folders(self, path: str) -> list[str]:
        """Folders directly below a path."""
        ...

    def walk(self, path: str) -> Iterator[Entry]:
        """All objects below a path."""
        ...

    def discard(self, path: str) -> None:
        """Remove everything at and below a path."""
        ...


class LocalObjects:
    """Files below a folder. A file is written beside its place and moved there, so that it is whole or absent."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)

    def zarr_store(self, path: str, fast: bool) -> Any:  # noqa: ANN401
        """Zarr's local store."""
        from zarr.storage import LocalStore

        from gravdask.store.codecs import PlainLocalStore

        return (LocalStore if fast else PlainLocalStore)(self._root / path)

    def read(self, path: str) -> bytes:
        """Content of a file."""
        return (self._root / path).read_bytes()

    @contextlib.contextmanager
    def _beside(self, target: Path, content: bytes) -> Iterator[Path]:
        """File with the content beside its place, gone in the end whatever happens."""
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}{PARTIAL}")
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                # Nothing is taken for whole after a power failure that is not on the disk.
                os.fsync(file.fileno())
            yield partial
        finally:
            with contextlib.suppress(OSError):
                os.remove(partial)

    def write(self, path: str, content: bytes) -> None:
        """Write a file whole."""
        target = self._root / path
        with self._beside(target, content) as partial:
            os.replace(partial, target)

    def create(self, path: str, content: bytes) -> bool:
        """Write a file whole if there is none."""
        target = self._root / path
        with self._beside(target, content) as partial:
            try:
                os.link(partial, target)
            except FileExistsError:
                return False
        return True

    def swap(self, path: str, content: bytes, tag: str) -> bool:
        """Replace a file that still has a tag."""
        target = self._root / path
        with self._beside(target, content) as partial:
            now = self.stat(path)
            if now is None or now.tag != tag:
                return False
            os.replace(partial, target)
        return True

    def renew(self, path: str, content: bytes) -> None:
        """Give a file the present time of its file system."""
        del content
        os.utime(self._root / path)

    def stat(self, path: str) -> Entry | None:
        """Size, time and tag of a file."""
        target = self._root / path
        try:
            about = target.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if target.is_dir() else _entry(target.name, about)

    def delete(self, path: str) -> None:
        """Remove a file that may be there."""
        (self._root / path).unlink(missing_ok=True)

    def _scan(self, path: str) -> list[os.DirEntry[str]]:
        """What lies in a folder; nothing if there is none."""
        try:
            with os.scandir(self._root / path) as found:
                return [entry for entry in found if not entry.name.endswith(PARTIAL)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def entries(self, path: str) -> list[Entry]:
        """Files of a folder; those that vanish meanwhile are left out."""
        found = []
        for entry in self._scan(path):
            with contextlib.suppress(FileNotFoundError):
                if not entry.is_dir():
                    found.append(_entry(entry.name, entry.stat()))
        return found

    def folders(self, path: str) -> list[str]:
        """Folders of a folder."""
        return [entry.name for entry in self._scan(path) if entry.is_dir()]

    def walk(self, path: str) -> Iterator[Entry]:
        """All files below a folder."""
        waiting = [""]
        while waiting:
            below = waiting.pop()
            here = f"{path}/{below}".strip("/") if path else below
            for entry in self._scan(here):
                name = f"{below}/{entry.name}".strip("/")
                if entry.is_dir():
                    waiting.append(name)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        yield _entry(name, entry.stat())

    def discard(self, path: str) -> None:
        """Remove a folder and all below it."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._root / path)


def _entry(name: str, about: os.stat_result) -> Entry:
    """A file as a list shows it."""
    return Entry(name, about.st_size, about.st_mtime, f"{about.st_mtime_ns}-{about.st_size}-{about.st_ino}")


class MemoryObjects:
    """Objects in the memory of this process, shared by all that name it; its Zarr store holds the very same ones."""

    def __init__(self) -> None:
        self._contents: dict[str, Any] = {}
        self._times: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    @staticmethod
    def of(name: str, process: int) -> MemoryObjects:
        """Memory of a name.

        Raises
        ------
        StoreError
            In another process than the one that named it: memory is not shared.
        """
        if process != os.getpid():
            msg = (
                f"memory://{name} lies in the memory of process {process}, this is process {os.getpid()}; "
                "work in one process (--serial), or keep the store in a folder or on S3"
            )
            raise StoreError(msg)
        return _memory(name)

    def zarr_store(self, path: str, fast: bool) -> Any:  # noqa: ANN401
        """Zarr's memory store over the same objects.

        Raises
        ------
        StoreError
            Below the root, which this kind of store does not offer.
        """
        from zarr.storage import MemoryStore

        del fast
        if path:
            msg = f"{path}: a store in memory is opened at its root only"
            raise StoreError(msg)
        return MemoryStore(self._contents)

    def read(self, path: str) -> bytes:
        """Content of an object."""
        try:
            return bytes(self._contents[path].to_bytes())
        except KeyError:
            raise FileNotFoundError(path) from None

    def write(self, path: str, content: bytes) -> None:
        """Write an object."""
        with self._lock:
            self._put(path, content)

    def _put(self, path: str, content: bytes) -> None:
        """Keep a content with its time."""
        from zarr.core.buffer import default_buffer_prototype

        self._contents[path] = default_buffer_prototype().buffer.from_bytes(content)
        self._times[path] = (time.time(), self._times.get(path, (0.0, 0))[1] + 1)

    def create(self, path: str, content: bytes) -> bool:
        """Write an object if there is none."""
        with self._lock:
            if path in self._contents:
                return False
            self._put(path, content)
            return True

    def swap(self, path: str, content: bytes, tag: str) -> bool:
        """Replace an object that still has a tag."""
        with self._lock:
            now = self.stat(path)
            if now is None or now.tag != tag:
                return False
            self._put(path, content)
            return True

    def renew(self, path: str, content: bytes) -> None:
        """Give an object the present time."""
        with self._lock:
            if path not in self._contents:
                raise FileNotFoundError(path)
            self._put(path, content)

    def stat(self, path: str) -> Entry | None:
        """Size, time and tag of an object; Zarr's own have no time."""
        found = self._contents.get(path)
        when, count = self._times.get(path, (0.0, 0))
        return None if found is None else Entry(path.rpartition("/")[2], len(found), when, str(count))

    def delete(self, path: str) -> None:
        """Remove an object that may be there."""
        self._contents.pop(path, None)

    def entries(self, path: str) -> list[Entry]:
        """Objects directly below a path."""
        return [e for e in self.walk(path) if "/" not in e.name]

    def folders(self, path: str) -> list[str]:
        """Folders directly below a path."""
        return list({e.name.split("/")[0] for e in self.walk(path) if "/" in e.name})

    def walk(self, path: str) -> Iterator[Entry]:
        """All objects below a path."""
        head = f"{path}/" if path else ""
        # Copied in one step: another thread may add an object meanwhile.
        for key in [k for k in list(self._contents) if k.startswith(head)]:
            found = self.stat(key)
            if found is not None:
                yield Entry(key.removeprefix(head), found.size, found.time, found.tag)

    def discard(self, path: str) -> None:
        """Remove everything below a path."""
        for entry in list(self.walk(path)):
            self.delete(f"{path}/{entry.name}".strip("/"))


@cache
def _memory(name: str) -> MemoryObjects:
    """One memory for each name in this process."""
    del name
    return MemoryObjects()

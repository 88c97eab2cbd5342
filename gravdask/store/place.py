"""Where a store is: a local folder, a bucket of an S3 service, or the memory of this process.

A `Place` is a small value that travels to workers; each process makes its own connection from it. Secrets are never
part of it: they come from the environment or the credential file of the process that connects.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gravdask.errors import ConfigError
from gravdask.secrets import holds_secret
from gravdask.store.objects import Entry, LocalObjects, MemoryObjects, Objects

if TYPE_CHECKING:
    from gravdask.config import Config

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+)://(.*)$")
S3_OPTIONS = ("endpoint", "region", "allow_http")
"""Options of an S3 service that may be stated beside the path; the environment (AWS_...) holds where they are not."""
_NO_KEYS = (
    "a store's URL must not hold keys: give them in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or "
    "in the credential file, and s3://bucket/prefix here"
)
READERS = 8
"""Objects that are fetched at once from a remote place."""


@dataclass(frozen=True)
class Place:
    """A folder or an object of a store, wherever that is.

    Attributes
    ----------
    scheme
        ``file``, ``s3`` or ``memory``.
    root
        Absolute folder, bucket, or name of the memory.
    path
        Path below the root, '' for the root itself.
    options
        (name, value) of what was stated of the S3 service or of the reading, sorted; never a secret.
    process
        Process whose memory it is; 0 for the others.
    """

    scheme: str
    root: str
    path: str = ""
    options: tuple[tuple[str, str], ...] = ()
    process: int = 0

    @classmethod
    def of(cls, where: Place | Path | str, **options: str) -> Place:
        """Make a place of a folder's path or of a URL; a place comes back as it is.

        Parameters
        ----------
        where
            ``folder/x.zarr``, ``s3://bucket/prefix/x.zarr`` or ``memory://name``.
        options
            Of an S3 service: endpoint, region, allow_http ("true"); ``zarrs`` ("auto", "off"). '' counts as unstated.

        Raises
        ------
        ConfigError
            If it is a URL of another kind, or one that holds a secret.
        """
        if isinstance(where, Place):
            return where
        stated = tuple(sorted((k, v) for k, v in options.items() if v))
        url = _URL.match(str(where)) if isinstance(where, str) else None
        if url is not None and holds_secret(str(where)):
            raise ConfigError(_NO_KEYS)
        if url is None or url[1].lower() == "file":
            text = url[2] if url is not None else where
            return cls("file", str(Path(os.path.expanduser(text)).absolute()), "", stated)
        scheme, rest = url[1].lower(), url[2].rstrip("/")
        if scheme == "memory" and rest:
            return cls("memory", rest, "", (), os.getpid())
        bucket, _, prefix = rest.partition("/")
        if "@" in bucket:
            raise ConfigError(_NO_KEYS)
        if scheme != "s3" or not bucket or any(c in rest for c in "?#"):
            msg = f"{where}: not a place for a store; expected a local folder, s3://bucket/prefix or memory://name"
            raise ConfigError(msg)
        return cls("s3", bucket, posixpath.normpath(prefix) if prefix else "", stated)

    @property
    def local(self) -> Path | None:
        """Path on this machine's file system, None where it is elsewhere."""
        return Path(self.root, self.path) if self.scheme == "file" else None

    @property
    def name(self) -> str:
        """Last part of the path."""
        return posixpath.basename(self.path) or os.path.basename(self.root)

    def __str__(self) -> str:
        """Path of a local place, URL of another."""
        if self.scheme == "file":
            return str(self.local)
        return f"{self.scheme}://{self.root}{f'/{self.path}' if self.path else ''}"

    def __fspath__(self) -> str:
        """Path of a local place, so that it serves wherever a path does.

        Raises
        ------
        TypeError
            If it is elsewhere.
        """
        if self.scheme != "file":
            msg = f"{self} is not on the local file system"
            raise TypeError(msg)
        return str(self)

    def __truediv__(self, below: str) -> Place:
        """Place below this one."""
        return replace(self, path=posixpath.join(self.path, below.strip("/")))

    def option(self, name: str) -> str:
        """Value of an option, '' if it is not stated."""
        return dict(self.options).get(name, "")

    def _objects(self) -> Objects:
        """What reads and writes here; made once a process."""
        if self.scheme == "file":
            return LocalObjects(self.root)
        if self.scheme == "memory":
            return MemoryObjects.of(self.root, self.process)
        from gravdask.store.s3 import s3_objects

        return s3_objects(self.root, tuple(o for o in self.options if o[0] in S3_OPTIONS))

    def zarr_store(self) -> Any:  # noqa: ANN401 - zarr's abstract store is generic over what it wraps
        """Zarr store of the hierarchy that begins here."""
        return self._objects().zarr_store(self.path, self.option("zarrs") != "off")

    def read(self) -> bytes:
        """Content of an object.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """
        return self._objects().read(self.path)

    def read_many(self, names: list[str]) -> list[bytes]:
        """Contents of several objects below this place, in their order; those of a remote place at once."""
        if self.scheme != "s3" or len(names) < 2:
            return [(self / name).read() for name in names]
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(lambda name: (self / name).read(), names))

    def write(self, content: bytes) -> None:
        """Write an object whole or not at all, in place of what was there."""
        self._objects().write(self.path, content)

    def create(self, content: bytes) -> bool:
        """Write an object whole if there is none yet; tells whether it was written."""
        return self._objects().create(self.path, content)

    def write_new(self, content: bytes) -> None:
        """Write an object whole where none may be yet, such as one whose name is this writer's own.

        One that holds this very content already is this writer's: the answer to the first attempt was lost on its way.

        Raises
        ------
        FileExistsError
            If there is another.
        """
        if not self.create(content) and self.read() != content:
            msg = f"{self}: there is such an object already, and another writer made it"
            raise FileExistsError(msg)

    def swap(self, content: bytes, tag: str) -> bool:
        """Replace an object whose tag is still this one; tells whether it was replaced.

        One step in memory and on S3; on a file system the tag is compared just before the file is replaced.
        """
        return self._objects().swap(self.path, content, tag)

    def renew(self, content: bytes) -> None:
        """Give an object that holds this content the present time, by the clock of where it is kept.

        Raises
        ------
        FileNotFoundError
            If it is not there any more; it is not made again.
        """
        self._objects().renew(self.path, content)

    def stat(self) -> Entry | None:
        """Size, time and tag of an object, None if there is none."""
        return self._objects().stat(self.path)

    def exists(self) -> bool:
        """Whether there is an object."""
        return self.stat() is not None

    def delete(self) -> None:
        """Remove an object; nothing happens if there is none."""
        self._objects().delete(self.path)

    def entries(self) -> list[Entry]:
        """Objects directly here, sorted by name; empty if there is no such folder."""
        return sorted(self._objects().entries(self.path))

    def folders(self) -> list[str]:
        """Names of the folders directly here, sorted."""
        return sorted(self._objects().folders(self.path))

    def walk(self) -> Iterator[Entry]:
        """All objects here and below, each named by its path from here."""
        return self._objects().walk(self.path)

    def discard(self) -> None:
        """Remove everything here and below."""
        self._objects().discard(self.path)


def place_of(config: Config) -> Place:
    """Place of a configuration's store."""
    store = config.store
    options = {
        "endpoint": store.endpoint,
        "region": store.region,
        "allow_http": "true" if store.allow_http else "",
        "zarrs": "" if store.zarrs == "auto" else store.zarrs,
    }
    return Place.of(store.path, **options)


def anchored_text(text: str, base: Path) -> str:
    """Write a path as absolute, as seen from a folder; a URL stays as it is."""
    return text if _URL.match(text) else os.path.normpath(os.path.join(base, os.path.expanduser(text)))


@contextlib.contextmanager
def in_words(place: Place) -> Iterator[None]:
    """Turn what an S3 client raises inside the block into an error in words; nothing changes for other places."""
    if place.scheme != "s3":
        yield
        return
    from gravdask.store.s3 import translated

    with translated(str(place)):
        yield

"""Archives behind an address (``s3://bucket/prefix`` and whatever else fsspec knows).

A listing costs one request per thousand files. To be read, a file is fetched whole into a folder of its own in the
system's temporary folder (node-local: ``TMPDIR``), read there, and deleted; readers see a local path, and whatever
they say is told of the address. Credentials and endpoints come from where fsspec and its libraries look for them:
environment variables such as ``AWS_ENDPOINT_URL`` and ``AWS_ACCESS_KEY_ID``, or ``~/.config/fsspec``; workers need
the same ones.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.locations import is_url, scheme_of
from gravdask.archive.reader import ReadOptions, read_file
from gravdask.archive.traces import Trace
from gravdask.errors import NotThisFormatError, ReadError, StationError
from gravdask.secrets import masked
from gravdask.usage import measuring

NO_TIME = -(2**63)
"""Stands for the time of modification of a file whose store does not tell it: it is never taken for unchanged."""
EXTRAS = {"s3": "gravdask[s3]", "s3a": "gravdask[s3]", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
"""What to install for addresses that need more than fsspec itself."""
_SECOND_NS = 1_000_000_000
_BLOCK_BYTES = 1 << 22
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "timeModified", "created")
_MARKS = ("ETag", "etag", "generation", "md5Hash", "md5", "checksum")
_FAULTS = ("botocore.exceptions:BotoCoreError", "aiohttp:ClientError")


class UnreachableError(DamagedFileError):
    """A file cannot be read now: nothing is said of its content, and the next scan tries again."""


def open_filesystem(url: str) -> tuple[Any, str]:
    """File system of an address and the path on it.

    Raises
    ------
    ReadError
        If the address is of no known kind, or its library is not installed; names what to install.
    """
    try:
        system, path = import_module("fsspec.core").url_to_fs(url)
    except ImportError as error:
        extra = EXTRAS.get(scheme_of(url), scheme_of(url))
        msg = f"{url}: addresses of this kind need another library ({error}); install it: pip install '{extra}'"
        raise ReadError(msg) from error
    except ValueError as error:
        msg = f"{url}: not an address that fsspec can open ({error}); expected for example s3://bucket/folder"
        raise ReadError(msg) from error
    return system, str(path)


def remote_faults() -> tuple[type[BaseException], ...]:
    """Errors that say that something cannot be reached: those of the system and of the libraries in use."""
    found: list[type[BaseException]] = [OSError]
    for item in _FAULTS:
        module, _, name = item.partition(":")
        try:
            found.append(getattr(import_module(module), name))
        except ImportError:
            continue
    return tuple(found)


def list_files(url: str) -> list[tuple[str, int, int, str]]:
    """Every file below an address: path below it, size [bytes], time of modification [ns since 1970], version mark.

    Raises
    ------
    ReadError
        If it cannot be listed or nothing is there.
    """
    system, path = open_filesystem(url)
    system.invalidate_cache()
    try:
        found: dict[str, dict[str, Any]] = system.find(path, detail=True)
        there = bool(found) or bool(system.exists(path))
    except remote_faults() as error:
        msg = f"{url}: cannot be listed ({_words(error)}); check the address, the credentials and the connection"
        raise ReadError(msg) from error
    if not there:
        msg = f"the archive {url} does not exist; check the address"
        raise ReadError(msg)
    base = path.rstrip("/")
    listed = []
    for name, about in found.items():
        below = name[len(base) :].lstrip("/") if name.startswith(f"{base}/") or not base.strip("/") else ""
        listed.append((below, int(about.get("size") or 0), modified_ns(about), version_mark(about)))
    return sorted(listed)


def modified_ns(about: dict[str, Any]) -> int:
    """Time of modification [ns since 1970] in the details of a file, `NO_TIME` if there is none."""
    stated = next((about[name] for name in _TIMES if about.get(name)), None)
    if isinstance(stated, str):
        try:
            stated = datetime.fromisoformat(stated)
        except ValueError:
            return NO_TIME
    if isinstance(stated, datetime):
        aware = stated if stated.tzinfo is not None else stated.replace(tzinfo=UTC)
        whole = aware - datetime(1970, 1, 1, tzinfo=UTC)
        return (whole.days * 86_400 + whole.seconds) * 1_000_000_000 + whole.microseconds * 1000
    return round(stated * 1e6) * 1000 if isinstance(stated, int | float) else NO_TIME


def version_mark(about: dict[str, Any]) -> str:
    """Mark that the store changes with the content (ETag, generation), empty if it has none."""
    return next((str(about[name]).strip('"') for name in _MARKS if about.get(name)), "")


def still_there(url: str, size: int, mtime_ns: int, mark: str) -> bool:
    """Whether a file is the one that a listing spoke of.

    A listing and a question about one file may tell the time to different digits; marks are compared where there are
    any, else times to the second.

    Raises
    ------
    DamagedFileError
        If it cannot be reached.
    """
    system, path = open_filesystem(url)
    system.invalidate_cache()
    try:
        about = system.info(path)
    except remote_faults() as error:
        raise unreachable(url, error) from error
    if int(about.get("size") or 0) != size:
        return False
    now = version_mark(about)
    return now == mark if now and mark else abs(modified_ns(about) - mtime_ns) < _SECOND_NS


def unreachable(location: str, error: BaseException) -> UnreachableError:
    """Error that says that a file is there, or was, but does not let itself be read now."""
    cure = "check permissions and connection, and run again"
    return UnreachableError(location, None, f"cannot be read now: {_words(error)}", cure)


def raise_if_unreadable(error: DamagedFileError, location: Path | str, path: Path) -> None:
    """Tell a disk that fails from a file that is damaged, where a reader says that it could not read.

    Raises
    ------
    UnreachableError
        If the system gave the error, and the file cannot be read to its end by plain reading either.
    """
    cause = error.__cause__
    if not (isinstance(cause, OSError) and cause.errno):
        return
    try:
        with path.open("rb") as file:
            while file.read(_BLOCK_BYTES):
                pass
    except OSError:
        raise unreachable(str(location), cause) from error


@contextmanager
def local_copy(location: Path | str) -> Iterator[Path]:
    """Give the local path of a file; one behind an address is fetched for as long as the context lasts.

    Parameters
    ----------
    location
        Path or address.

    Raises
    ------
    UnreachableError
        If it cannot be fetched.
    """
    if not is_url(location):
        yield Path(location)
        return
    url = str(location)
    with tempfile.TemporaryDirectory(prefix="gravdask-") as scratch:
        yield _fetch(url, Path(scratch))


def _fetch(url: str, scratch: Path) -> Path:
    """Copy a file into a folder, keeping its name and its folder's, from which readers take the station."""
    system, path = open_filesystem(url)
    *_, parent, name = ["", "", *path.split("/")]
    place = scratch / (parent.strip(".:") or "archive") / name
    place.parent.mkdir()
    try:
        system.get_file(path, str(place))
    except remote_faults() as error:
        raise unreachable(url, error) from error
    return place


@contextmanager
def naming(location: Path | str, local: Path) -> Iterator[None]:
    """Let errors that are about a local copy name where the file really is."""
    if not is_url(location):
        yield
        return
    try:
        yield
    except DamagedFileError as error:
        what = error.what.replace(str(local), str(location))
        raise type(error)(str(location), error.line, what, error.cure) from error
    except NotThisFormatError as error:
        raise NotThisFormatError(str(error).replace(str(local), str(location))) from error
    except StationError as error:
        raise StationError(str(error).replace(str(local), str(location))) from error
    except ReadError as error:
        raise ReadError(str(error).replace(str(local), str(location))) from error


@measuring("read")
def open_source(
    location: Path | str,
    options: ReadOptions | None = None,
    head_only: bool = False,
    wanted: Mapping[int, tuple[int, int]] | None = None,
) -> list[Trace]:
    """Do what `gravdask.archive.reader.read_file` does, for a path or an address.

    Raises
    ------
    NotThisFormatError, ReadError
        As `read_file`, naming the address.
    UnreachableError
        If the file cannot be opened or read to its end: nothing is said of its content.
    """
    with local_copy(location) as path, naming(location, path):
        try:
            return read_file(path, options, head_only, wanted)
        except DamagedFileError as error:
            raise_if_unreadable(error, location, path)
            raise


def _words(error: BaseException) -> str:
    """What an error says, in one line."""
    said = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return masked(" ".join(said.split())) or type(error).__name__


def root_fault(root: str) -> str:
    """Why nothing can be read below a root, local or not; '' if it is there.

    Raises
    ------
    ReadError
        If an address is of no known kind.
    """
    absent = "there is no such file or folder; the archive must exist"
    if not is_url(root):
        return "" if os.path.exists(root) else absent
    system, path = open_filesystem(root)
    system.invalidate_cache()
    try:
        if not system.exists(path):  # which some take for the answer to a refusal, too
            system.ls(path)
    except FileNotFoundError:
        return absent
    except remote_faults() as error:
        return f"cannot be reached ({_words(error)}); check the address, the keys and the connection"
    return ""


def root_exists(root: str) -> bool:
    """Whether a root, local or not, is there now."""
    return not root_fault(root)

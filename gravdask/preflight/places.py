"""What a run reads and writes: the archive, the store, and the space that its results will take."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gravdask.archive.locations import normal_root
from gravdask.archive.remote import root_fault
from gravdask.config import Config
from gravdask.errors import ExecutionError
from gravdask.preflight.findings import Finding, amount, fail, note, ok
from gravdask.preflight.machine import NETWORK_KINDS, existing, file_system
from gravdask.preflight.needs import bytes_to_write
from gravdask.preflight.survey import Survey
from gravdask.store.place import Place, in_words, place_of

CLOCK_SECONDS = 5.0
"""Clocks that differ by more are told of."""
LOCAL_KINDS = frozenset(
    ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "apfs", "hfs", "ufs", "f2fs"]
)
"""File systems that one machine has to itself, unless it shares them by another way."""


def archive_findings(config: Config) -> list[Finding]:
    """Whether every folder, file or address of the archive is there."""
    what = "archive"
    if not config.archive.paths:
        return [fail(what, "none is named", "give its folder, or set archive.paths in the configuration")]
    faults = {path: root_fault(normal_root(path)) for path in config.archive.paths}
    cure = "correct archive.paths, mount its disk, or look at the keys and the address of the service"
    lost = [fail(what, f"{path}: {fault.partition(';')[0]}", cure) for path, fault in faults.items() if fault]
    there = [path for path, fault in faults.items() if not fault]
    return [*lost, *([ok(what, ", ".join(there))] if there else [])]


@contextmanager
def token(place: Place) -> Iterator[Place]:
    """Place of an object that may be written for the time of the block, in the store or beside where it will be.

    Of a store that does not exist, nothing is left but what was there.
    """
    name = f"preflight-{uuid.uuid4().hex}"
    local = place.local
    if (place / "zarr.json").exists() or (local is None and not place.path):
        object_ = place / "ledger" / name
    elif local is not None and local.is_dir() and not os.access(local.parent, os.W_OK):
        object_ = place / name
    elif local is not None:
        # Beside it: whoever makes the store just now takes what is in its place for something that is no store.
        object_ = Place.of(local.with_name(f"{local.name}.{name}"))
    else:
        object_ = Place(place.scheme, place.root, f"{place.path}.{name}", place.options)
    try:
        yield object_
    finally:
        with suppress(OSError):
            object_.delete()


def store_findings(config: Config) -> list[Finding]:
    """Whether the store can be written to: an object is written, read back and removed; and whose clock it goes by."""
    what = "store"
    place = place_of(config)
    local = place.local
    cure = "name a place that can be written to as store.path, or correct its permissions"
    try:
        if local is not None and local.exists() and not local.is_dir():
            return [fail(what, f"{place} is a file", "name another place as store.path, or move the file away")]
        if local is not None and not local.parent.exists():
            return [fail(what, f"there is no folder {local.parent}", "make it, mount its disk, or name another one")]
    except OSError as error:  # in a folder that this user may not look into
        return [fail(what, f"{place} cannot be written to ({_words(error)})", cure)]
    if local is not None and local.is_dir() and not os.access(local, os.W_OK | os.X_OK):
        return [fail(what, f"{place} is a folder that this user cannot write to", cure)]
    text = uuid.uuid4().hex.encode()
    try:
        with in_words(place), token(place) as object_:
            before = time.time()
            object_.write(text)
            after = time.time()
            back = object_.read()
            entry = object_.stat()
    except (OSError, ExecutionError) as error:
        return [fail(what, f"{place} cannot be written to ({_words(error)})", cure)]
    if back != text or entry is None:
        return [fail(what, f"{place} gives back other than what was written", "ask who looks after it")]
    offset = entry.time - min(max(entry.time, before), after)
    state = "there" if (place / "zarr.json").exists() else "will be made"
    return [ok(what, f"{place} ({state}): an object was written, read back and removed"), clock_finding(offset)]


def _words(error: BaseException) -> str:
    """What an error says, without the name of an object that nobody knows."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def clock_finding(offset: float) -> Finding:
    """Whether the clock of the store agrees with that of this machine."""
    about = f"the store's is {offset:+.1f} s from this machine's"
    if abs(offset) > CLOCK_SECONDS:
        return note("clock", about, "have both set by a time service: times in logs and of files cannot be compared")
    return ok("clock", about)


def kind_findings(config: Config) -> list[Finding]:
    """What kind of file system the store lies on, and whether other machines are likely to see it."""
    what = "store's file system"
    place = place_of(config)
    local = place.local
    if local is None:
        return [ok(what, f"none, {place.scheme}")]
    kind = file_system(local)
    many = config.cluster.kind in {"slurm", "pbs", "mpi", "address"}
    if many and kind in LOCAL_KINDS:
        return [
            note(what, f"{kind}: of this machine alone, as it seems", "all workers must see it under the same path")
        ]
    if not many and kind in NETWORK_KINDS:
        return [ok(what, f"{kind}, held by a server")]
    return [ok(what, kind or "of an unknown kind")]


def space_findings(config: Config, survey: Survey | None) -> list[Finding]:
    """Whether the disk of the store has room for what a run will write."""
    what = "disk space"
    place = place_of(config)
    if place.local is None:
        return [ok(what, "a service does not tell how much it has")]
    free = shutil.disk_usage(existing(Path(place.local))).free
    if survey is None:
        return [note(what, f"{amount(free)} free; what is needed is not known", "see what is said of the archive")]
    need, arithmetic = bytes_to_write(survey)
    about = f"{amount(free)} free for {arithmetic}"
    if need > free:
        return [fail(what, about, f"free {amount(need - free)}, or name a place with more room as store.path")]
    if need > 0.8 * free:
        return [
            note(what, about, "little will be left; a run whose disk is full ends, and continues when there is room")
        ]
    return [ok(what, about)]

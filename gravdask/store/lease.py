"""The lease: two clients never work on the same channels, stages and years of one store.

A client writes one small object that lists its claims and renews its heartbeat. Of two clients whose claims overlap
the one with the lower (time, id) goes on and the other is refused with the holder's name. A lease whose holder is
dead, by its process on this host or by a heartbeat that stopped, counts for nothing and is removed.

All times are those that the file system or the S3 service gives to the objects, so that the clocks of the hosts do
not matter.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from gravdask.errors import ExecutionError, GravdaskError, LeaseHeldError
from gravdask.store.claims import FRAME_STAGES, UNIT_DAYS, Claim, overlap
from gravdask.store.objects import Entry
from gravdask.store.place import Place

HEARTBEAT_SECONDS = 10.0
EXPIRY_SECONDS = 60.0


@dataclass(frozen=True)
class _Rival:
    """A live claim that comes before this client's own."""

    claim: Claim
    since: float


class Lease:
    """A claim on channels, stages and a span of time of a store, held while the ``with`` block runs.

    Parameters
    ----------
    folder
        Folder for the leases of the store.
    channels
        Shell patterns of the channels claimed; ``("*",)`` for all.
    stages
        Stages claimed.
    part
        Which share of the units is worked on, as (i, n): jobs on different shares of the same n do not collide.
    days
        First UTC day and last + 1 that are worked on, counted from 1950-01-01, None where open.
    frame_days
        Days of which the units of the stages on frames consist, 0 where that is not known: such a stage is then
        claimed over all time. Whole units are claimed in any case.

    Raises
    ------
    LeaseHeldError
        On entering, if a live client holds an overlapping claim: says who, since when, and what to do.
    """

    def __init__(
        self,
        folder: Place | Path | str,
        channels: tuple[str, ...],
        stages: tuple[str, ...],
        part: tuple[int, int] = (0, 1),
        days: tuple[int | None, int | None] = (None, None),
        frame_days: int = 0,
    ) -> None:
        self._folder = Place.of(folder)
        self._claim = Claim(
            uuid.uuid4().hex, time.time(), socket.gethostname(), os.getpid(), channels, stages, part, days,
            frame_days, machine(),
        )  # fmt: skip
        self._object = self._folder / f"{self._claim.id}.json"
        self._known: dict[str, Claim] = {}
        self._stop = threading.Event()
        self._beaten = time.monotonic()
        self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)

    def __enter__(self) -> Lease:
        """Claim, or refuse."""
        # Written twice: the first time to learn what time it is where the object is kept. The time is that of
        # entering: a client that was made early must not get past one that works already.
        self._write(None, new=True)
        try:
            entry = self._object.stat()
            self._write(time.time() if entry is None else entry.time)
            self._yield_to_rivals(entering=True)
            self._claim = self._claim.holding()
            self._write(self._claim.time)
            self._yield_to_rivals(entering=False)
        except BaseException:
            self._object.delete()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the claim up; one that cannot be reached any more expires by itself."""
        self._stop.set()
        with contextlib.suppress(OSError, GravdaskError):
            self._object.delete()

    @property
    def folder(self) -> Place:
        """Folder of the leases of the store."""
        return self._folder

    @property
    def id(self) -> str:
        """Name of this client among all that work on the store."""
        return self._claim.id

    @property
    def alone(self) -> bool:
        """Whether any other client on one of the same stages is refused: all channels, times and units are claimed."""
        claim = self._claim
        return (claim.channels, claim.part, claim.days) == (("*",), (0, 1), (None, None))

    def stands(self, other: str) -> bool:
        """Whether a client of this id holds a lease and may still be running.

        Raises
        ------
        LeaseHeldError, ExecutionError
            If this client's own lease is not there any more.
        """
        entries = self._standing()
        found = next((e for e in entries if e.name == f"{other}.json"), None)
        claim = None if found is None else self._read(found.name)
        return found is not None and claim is not None and not self._dead(found, claim, self._now(entries))

    def check(self) -> None:
        """Make sure the claim still stands, before a commit.

        Raises
        ------
        LeaseHeldError
            If another client removed it as dead, for instance after this process was suspended, or if a claim that
            comes before this one has become visible since.
        ExecutionError
            If the whole store is not there any more.
        """
        self._yield_to_rivals(entering=False)

    def _write(self, when: float | None, new: bool = False) -> None:
        """Put the claim in its place, whole; with its own time, or without one while it is not known."""
        self._claim = self._claim.at(when)
        (self._object.write_new if new else self._object.write)(self._claim.content())
        self._beaten = time.monotonic()

    def _beat(self) -> None:
        """Renew the claim until it is given up; one that was taken away is not claimed again."""
        while not self._stop.wait(HEARTBEAT_SECONDS):
            # A service that does not answer for a while is asked again; the lease expires after several beats only.
            with contextlib.suppress(OSError, GravdaskError):
                self._object.renew(self._claim.content())
                self._beaten = time.monotonic()

    def _yield_to_rivals(self, entering: bool) -> None:
        """Stop if a live client's overlapping claim comes before this one, saying whose it is."""
        rival = self._rival(self._standing(), entering)
        if rival is not None:
            claim, since = rival.claim, time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(rival.since))
            spans = set(claim.stages) & set(self._claim.stages) <= UNIT_DAYS.keys() | FRAME_STAGES
            msg = (
                f"process {claim.pid} on {claim.host} has worked on this store since {since} UTC "
                f"({claim.in_words()}); wait for it, stop it, or work on other channels{' or years' if spans else ''}"
            )
            raise LeaseHeldError(msg)

    def _standing(self) -> list[Entry]:
        """All leases, this client's own among them.

        Raises
        ------
        LeaseHeldError, ExecutionError
            If it is not.
        """
        entries = [e for e in self._folder.entries() if e.name.endswith(".json")]
        if self._object.name in {e.name for e in entries}:
            return entries
        store = Place.of(os.path.dirname(os.path.dirname(self._folder))) if self._folder.local is not None else None
        if store is not None and not store.folders():
            msg = f"{store}: the store is gone; is its disk still mounted? Nothing more is written: run again then"
            raise ExecutionError(msg)
        msg = "this client's lease was taken away as expired; another client may be working. Run again"
        raise LeaseHeldError(msg)

    def _rival(self, entries: list[Entry], entering: bool) -> _Rival | None:
        """Return the live overlapping claim that comes before this one, if there is one; remove dead ones."""
        mine = next(e for e in entries if e.name == self._object.name)
        now = self._now(entries)
        for entry in entries:
            claim = self._read(entry.name) if entry.name != mine.name else None
            if claim is None:
                continue
            since = entry.time if claim.time is None else claim.time
            if self._dead(entry, claim, now):
                (self._folder / entry.name).delete()
            elif overlap(self._claim, claim) and (
                (entering and claim.held) or (since, claim.id) < (self._claim.time or mine.time, self._claim.id)
            ):
                return _Rival(claim, since)
        return None

    def _now(self, entries: list[Entry]) -> float:
        """Time where the leases are kept: that of this client's last beat, and what has passed since."""
        mine = next(e for e in entries if e.name == self._object.name)
        return max(mine.time + time.monotonic() - self._beaten, mine.time)

    @staticmethod
    def _dead(entry: Entry, claim: Claim, now: float) -> bool:
        """Whether the holder of a lease has died, by its process or by its heartbeat."""
        return now - entry.time > EXPIRY_SECONDS or not alive(claim)

    def _read(self, name: str) -> Claim | None:
        """Claim of an object, None if it is gone or no lease; one that is held does not change any more."""
        if name not in self._known:
            try:
                claim = Claim.parse((self._folder / name).read())
            except FileNotFoundError:
                return None
            if claim is None or not claim.held:
                return claim
            self._known[name] = claim
        return self._known[name]


def machine() -> str:
    """What tells machines, and containers on one machine, apart when their host names are the same."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def alive(claim: Claim) -> bool:
    """Whether the holder of a claim may still be running: unknown on other machines, where the heartbeat decides."""
    here = claim.host == socket.gethostname() and claim.machine in {"", machine()}
    return not here or psutil.pid_exists(claim.pid)

"""The lease: two clients never work on the same channels and stages of one store.

A client writes one small object that lists its claims and renews its heartbeat. Of two clients whose claims overlap
the one with the lower (time, id) goes on and the other is refused with the holder's name. A lease whose holder is
dead, by its process on this host or by a heartbeat that stopped, counts for nothing and is removed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from gravdask.errors import LeaseHeldError

HEARTBEAT_SECONDS = 10.0
EXPIRY_SECONDS = 60.0


class Lease:
    """A claim on channels and stages of a store, held while the ``with`` block runs.

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

    Raises
    ------
    LeaseHeldError
        On entering, if a live client holds an overlapping claim: says who, since when, and what to do.
    """

    def __init__(
        self, folder: Path, channels: tuple[str, ...], stages: tuple[str, ...], part: tuple[int, int] = (0, 1)
    ) -> None:
        self._claim = {
            "id": uuid.uuid4().hex,
            "time": time.time(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "channels": list(channels),
            "stages": list(stages),
            "part": list(part),
        }
        self._folder = folder
        self._path = folder / f"{self._claim['id']}.json"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease-heartbeat", daemon=True)

    def __enter__(self) -> Lease:
        """Claim, or refuse."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # The time is that of entering: a client that was made early must not get past one that works already.
        self._claim["time"] = time.time()
        self._write()
        try:
            self._yield_to_rivals()
        except LeaseHeldError:
            self._path.unlink(missing_ok=True)
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the claim up."""
        self._stop.set()
        self._path.unlink(missing_ok=True)

    def check(self) -> None:
        """Make sure the claim still stands, before a commit.

        Raises
        ------
        LeaseHeldError
            If another client removed it as dead, for instance after this process was suspended, or if a claim that
            comes before this one has become visible since.
        """
        if not self._path.exists():
            msg = "this client's lease was taken away as expired; another client may be working. Run again"
            raise LeaseHeldError(msg)
        self._yield_to_rivals()

    def _yield_to_rivals(self) -> None:
        """Stop if a live client's overlapping claim comes before this one, saying whose it is."""
        holder = self._rival()
        if holder is not None:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(holder["time"]))
            msg = (
                f"process {holder['pid']} on {holder['host']} has worked on this store since {since} UTC "
                f"(stages {', '.join(holder['stages'])}); wait for it, stop it, or work on other channels"
            )
            raise LeaseHeldError(msg)

    def _write(self) -> None:
        """Put the claim in its place, whole."""
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self._claim), encoding="utf-8")
        os.replace(partial, self._path)

    def _beat(self) -> None:
        """Renew the claim until it is given up; one that was taken away is not claimed again."""
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._path)

    def _rival(self) -> dict[str, Any] | None:
        """Return the live overlapping claim that comes before this one, if there is one; remove dead ones."""
        own = (self._claim["time"], self._claim["id"])
        for path in sorted(self._folder.glob("*.json")):
            try:
                claim = json.loads(path.read_text(encoding="utf-8"))
                age = time.time() - path.stat().st_mtime
            except (FileNotFoundError, json.JSONDecodeError):
                continue
            if not (isinstance(claim, dict) and self._claim.keys() <= claim.keys()):
                continue  # no lease of ours, whatever it is
            if claim["id"] == self._claim["id"]:
                continue
            if age > EXPIRY_SECONDS or not _alive(claim):
                path.unlink(missing_ok=True)
            elif self._overlaps(claim) and (claim["time"], claim["id"]) < own:
                return dict(claim)
        return None

    def _overlaps(self, other: dict[str, Any]) -> bool:
        """Whether another claim shares a stage, a channel and a share of the units with this one."""
        mine, theirs = self._claim["part"], other["part"]
        if mine[1] == theirs[1] and mine[0] != theirs[0]:  # type: ignore[index]
            return False
        shared = set(other["stages"]) & set(self._claim["stages"])  # type: ignore[call-overload]
        channels: list[str] = self._claim["channels"]  # type: ignore[assignment]
        return bool(shared) and any(may_share(a, b) for a in channels for b in other["channels"])


_PART = "\0"
_NAME = ".".join([_PART] * 4)
_LONG, _WILD = {"*", _PART}, {"*", "?", _PART}


@functools.cache
def may_share(one: str, two: str) -> bool:
    """Whether some channel ``NET.STA.LOC.CHA`` may match both of two shell patterns.

    A pattern may stand for a station, a network and station, or a whole name. True in doubt: a set of characters in
    brackets counts as any character.
    """
    return any(_meet((_NAME, a, b)) for a in _forms(one) for b in _forms(two))


def _forms(pattern: str) -> tuple[str, str, str]:
    """Patterns of whole names that a pattern stands for; _PART is any text without a dot."""
    plain = re.sub(r"\[!?\]?[^\]]*\]", "?", pattern)
    rest = f".{_PART}.{_PART}"
    return plain, plain + rest, f"{_PART}.{plain}{rest}"


def _meet(patterns: tuple[str, ...]) -> bool:
    """Whether some text matches all patterns, by walking through them at once."""
    waiting: list[tuple[int, ...]] = [(0,) * len(patterns)]
    seen = set(waiting)
    while waiting:
        at = waiting.pop()
        heads = [p[i : i + 1] for p, i in zip(patterns, at, strict=True)]
        if not any(heads):
            return True
        steps = [tuple(i + (m == n) for m, i in enumerate(at)) for n, head in enumerate(heads) if head in _LONG]
        letters = set(heads) - _WILD
        if all(heads) and len(letters) <= 1 and not (_PART in heads and "." in letters):
            steps.append(tuple(i + (head not in _LONG) for i, head in zip(at, heads, strict=True)))
        waiting += [s for s in steps if s not in seen]
        seen.update(steps)
    return False


def _alive(claim: dict[str, Any]) -> bool:
    """Whether the holder of a claim may still be running: unknown on other hosts, where the heartbeat decides."""
    return bool(claim["host"] != socket.gethostname() or psutil.pid_exists(int(claim["pid"])))

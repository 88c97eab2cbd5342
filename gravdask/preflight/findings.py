"""One line of the preflight: what was looked at, what was found, what to do; and how a check is kept from hanging."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, TypeVar

from gravdask.execution import Failure, guarded
from gravdask.secrets import masked

T = TypeVar("T")

CHECK_SECONDS = 60.0
"""How long one check may take; a file system whose server is gone answers never."""

Level = Literal["ok", "note", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    level
        ``ok``; ``note``, which keeps nobody from going on; ``FAIL``, with which a run would fail.
    what
        What was looked at.
    found
        What was found.
    cure
        What to do; '' where nothing is to be done.
    """

    level: Level
    what: str
    found: str
    cure: str = ""

    def line(self) -> str:
        """Write it as a line."""
        cure = f"; {self.cure}" if self.cure else ""
        return masked(f"{self.level:<4}  {self.what}: {self.found}{cure}")

    def values(self) -> dict[str, str]:
        """Give it as plain values, for JSON."""
        return {key: masked(value) for key, value in asdict(self).items()}


def ok(what: str, found: str) -> Finding:
    """All is well."""
    return Finding("ok", what, found)


def note(what: str, found: str, cure: str = "") -> Finding:
    """A person should know."""
    return Finding("note", what, found, cure)


def fail(what: str, found: str, cure: str) -> Finding:
    """A run would fail."""
    return Finding("FAIL", what, found, cure)


Check = Callable[[], list[Finding]]


def limited(function: Callable[[], T], seconds: float) -> T | Failure:
    """Result of a function, or its failure, also where it does not come back in time.

    What does not come back is left behind in a thread of its own: a system call on a server that is gone cannot be
    ended.
    """
    results: list[T | Failure] = []
    thread = threading.Thread(target=lambda: results.append(guarded(_call, function)), daemon=True)
    thread.start()
    thread.join(seconds)
    if results:
        return results[0]
    return Failure(f"no answer in {seconds:.0f} s")


def _call(function: Callable[[], T]) -> T:
    """Call a function that needs nothing."""
    return function()


def looked_at(what: str, check: Check, cure: str, seconds: float | None = CHECK_SECONDS) -> list[Finding]:
    """Findings of a check; one that fails itself, or does not come back, is a finding too.

    Parameters
    ----------
    what, cure
        What is looked at, and what to do where looking fails.
    check
        Gives the findings.
    seconds
        How long it may take; None for a check that has time limits of its own, which then runs in this thread.
    """
    found = guarded(_call, check) if seconds is None else limited(check, seconds)
    return [fail(what, found.reason, cure)] if isinstance(found, Failure) else found


def amount(size: float) -> str:
    """Write a number of bytes as a person would."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if size >= 100 or unit == "B" else f"{size:.1f} {unit}"


def gibibytes(size: float) -> str:
    """Write an amount of memory as limits of it are stated."""
    return f"{size / 2**30:.2f} GiB"


def time_limit(seconds: float) -> str:
    """Write a time limit as the configuration states it."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def umask_of_process() -> int:
    """Permissions that this process takes from every file that it makes."""
    try:
        with open("/proc/self/status", encoding="utf-8") as lines:  # asking the system otherwise means changing it
            return next(int(line.split()[1], 8) for line in lines if line.startswith("Umask"))
    except (OSError, StopIteration):
        found = os.umask(0o022)
        os.umask(found)
        return found

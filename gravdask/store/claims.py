"""What a lease claims, and whether two claims overlap: by stage, channel, share of the units and span of time."""

from __future__ import annotations

import functools
import json
import math
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gravdask.grid import SHARD_DAYS, day_start_ns

UNIT_DAYS = {"convert": SHARD_DAYS, "noise": 4 * SHARD_DAYS}
"""Days of which whole units consist at any rate: those of faster channels are a whole fraction of these."""
FRAME_STAGES = frozenset({"scatter"})
"""Stages whose units are whole frames. All others look at more than a span: at a whole record or network."""
_KEYS = {"id", "time", "host", "pid", "channels", "stages", "part"}


@dataclass(frozen=True)
class Claim:
    """What one client works on.

    Attributes
    ----------
    id
        Of the client.
    time
        When it entered, by the clock of where the lease is kept; None while that is not known.
    host, pid
        Where it runs.
    channels, stages, part
        Patterns, stages and share of the units.
    days
        First UTC day and last + 1, from 1950-01-01; None where open.
    frame_days
        Days of a unit of the stages on frames, 0 if unknown.
    machine
        Tells machines of the same name apart; '' if unknown.
    held
        Whether the client has seen that nobody was before it.
    """

    id: str
    time: float | None
    host: str
    pid: int
    channels: tuple[str, ...]
    stages: tuple[str, ...]
    part: tuple[int, int]
    days: tuple[int | None, int | None] = (None, None)
    frame_days: int = 0
    machine: str = ""
    held: bool = False

    def at(self, when: float | None) -> Claim:
        """Return the same claim with a time."""
        return replace(self, time=when)

    def holding(self) -> Claim:
        """Return the same claim, held."""
        return replace(self, held=True)

    def content(self) -> bytes:
        """Write the claim as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, content: bytes) -> Claim | None:
        """Read what `content` gave; None if it is something else."""
        try:
            values: Any = json.loads(content)
        except ValueError:
            return None
        if not (isinstance(values, dict) and values.keys() >= _KEYS):
            return None
        known = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in cls.__annotations__}
        return cls(**known)  # type: ignore[arg-type]

    def in_words(self) -> str:
        """Stages, channels and years, as a person would say them."""
        words = [f"stages {', '.join(self.stages)}"]
        if self.channels != ("*",):
            words.append(f"channels {', '.join(self.channels)}")
        if self.days != (None, None):
            first, last = (None if d is None else str(np.datetime64(day_start_ns(d), "ns"))[:10] for d in self.days)
            words.append(f"from {first or 'the beginning'} to {last or 'the end'}")
        if self.part[1] > 1:
            words.append(f"share {self.part[0]}/{self.part[1]}")
        return "; ".join(words)


def overlap(one: Claim, two: Claim) -> bool:
    """Whether two claims share a stage, a channel, a share of the units and, in that stage, a unit of time."""
    if one.part[1] == two.part[1] and one.part[0] != two.part[0]:
        return False
    if not any(_share_time(stage, one, two) for stage in set(one.stages) & set(two.stages)):
        return False
    return any(may_share(a, b) for a in one.channels for b in two.channels)


def _share_time(stage: str, one: Claim, two: Claim) -> bool:
    """Whether the units of a stage that two claims touch may be the same ones.

    A unit writes whole shards, so spans are rounded outwards to units; stages that look at the whole network have no
    spans.
    """
    days = math.lcm(one.frame_days, two.frame_days) if stage in FRAME_STAGES else UNIT_DAYS.get(stage, 0)
    if not days:
        return True
    (a, b), (c, d) = _rounded(one.days, days), _rounded(two.days, days)
    return a < d and c < b


def _rounded(span: tuple[int | None, int | None], days: int) -> tuple[float, float]:
    """Span of units that a span of days touches."""
    first = -math.inf if span[0] is None else span[0] // days
    return first, math.inf if span[1] is None else -(-span[1] // days)


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

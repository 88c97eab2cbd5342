"""Stretches of time for which several sources say something, each outdone by those of higher precedence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

Value = TypeVar("Value")
ALWAYS = (-(2**63), 2**63 - 1)
"""The ends of time [ns since 1970]: what an open epoch begins and ends with."""


@dataclass(frozen=True)
class Ranked(Generic[Value]):
    """Something that holds from `start_ns` to before `end_ns`, with a precedence: the greater rank outdoes."""

    start_ns: int
    end_ns: int
    rank: tuple[int, ...]
    value: Value


@dataclass(frozen=True)
class Stretch(Generic[Value]):
    """A stretch of time over which the same sources speak.

    Attributes
    ----------
    start_ns, end_ns
        The stretch [ns since 1970], the end exclusive.
    value
        What holds.
    outdone
        What other sources say of the same time, in the order of their precedence.
    """

    start_ns: int
    end_ns: int
    value: Value
    outdone: tuple[Value, ...] = ()


def sweep(items: Sequence[Ranked[Value]]) -> list[Stretch[Value]]:
    """Cut time wherever an item begins or ends, and say for each stretch which item holds.

    Returns
    -------
    stretches
        In the order of time, disjoint; times that no item covers are left out.
    """
    whole = [item for item in items if item.start_ns < item.end_ns]
    edges = sorted({edge for item in whole for edge in (item.start_ns, item.end_ns)})
    found: list[Stretch[Value]] = []
    for first, last in pairwise(edges):
        covering = sorted(
            (i for i in whole if i.start_ns <= first and i.end_ns >= last), key=lambda i: i.rank, reverse=True
        )
        if not covering:
            continue
        value, *outdone = (item.value for item in covering)
        if found and found[-1].end_ns == first and (found[-1].value, found[-1].outdone) == (value, tuple(outdone)):
            found[-1] = Stretch(found[-1].start_ns, last, value, tuple(outdone))
        else:
            found.append(Stretch(first, last, value, tuple(outdone)))
    return found


def uncovered(spans: Sequence[tuple[int, int]], start_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """Parts of ``[start_ns, end_ns)`` that no span covers, in the order of time."""
    gaps, at = [], start_ns
    for first, last in sorted(spans):
        if first > at and at < end_ns:
            gaps.append((at, min(first, end_ns)))
        at = max(at, last)
    if at < end_ns:
        gaps.append((at, end_ns))
    return gaps

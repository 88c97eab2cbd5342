"""The times that a channel's record covers, and where within them its files have samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gravdask.archive.epochs import ALWAYS
from gravdask.grid import Grid, utc_text
from gravdask.stages.placement import ChannelPlan
from gravdask.stages.placements import Placements


def record_span(plan: ChannelPlan) -> tuple[int, int]:
    """Time of the first sample of a plan, and the time after its last [ns since 1970]."""
    grid = Grid(plan.rate, plan.phases[0][1])
    return grid.time_ns(plan.extent[0]), grid.time_ns(plan.extent[1])


def _index_span(plan: ChannelPlan, start_ns: int, end_ns: int) -> tuple[int, int]:
    """Samples whose times lie within a span, as a range of indices."""
    first, last = record_span(plan)
    grid, step = Grid(plan.rate, plan.phases[0][1]), plan.rate.interval_ns
    low, high = (min(max(edge, first), last) - grid.time_ns(0) for edge in (start_ns, end_ns))
    return math.ceil(low / step), math.ceil(high / step)


def samples_within(plan: ChannelPlan, start_ns: int, end_ns: int) -> tuple[int, int] | None:
    """Times of the first sample within a span and after the last, None if no file has any."""
    low, high = _index_span(plan, start_ns, end_ns)
    placed = Placements.of(plan.placements)
    inside = (placed.start < high) & (placed.stop > low)
    if not inside.any():
        return None
    grid = Grid(plan.rate, plan.phases[0][1])
    first, last = max(int(placed.start[inside].min()), low), min(int(placed.stop[inside].max()), high)
    return grid.time_ns(first), grid.time_ns(last)


def any_sample(plan: ChannelPlan, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether any sample of the record lies in any of some spans."""
    placed = Placements.of(plan.placements)
    ranges = [_index_span(plan, *span) for span in spans]
    return any(bool(((placed.start < high) & (placed.stop > low)).any()) for low, high in ranges)


def time_words(time_ns: int) -> str:
    """Time as a person reads it."""
    return "the beginning" if time_ns == ALWAYS[0] else "now" if time_ns == ALWAYS[1] else utc_text(time_ns)

"""Medians of moduli, sixteen frames at a time.

Numbers that are not negative are ordered as their bits are. So the middle one is found bit by bit from the top, by
counting what lies below: thirty-one passes over numbers that stay in the cache, one instruction for sixteen frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gravdask.scattering.lanes import (
    LANES,
    Singles,
    below,
    compiled,
    interleave,
    larger,
    load,
    pointer,
    smaller,
    splat,
    store,
)

_LARGEST = np.float32(3e38)


@compiled
def _middle(
    values: Singles, length: int, rank: int, bits: NDArray[np.uint32], pivots: Singles, counts: Singles
) -> None:
    """Number ``rank`` (from 0) in order of size of ``length`` vectors, to ``pivots``; ``bits`` is its very memory."""
    source, at, target = pointer(values), pointer(pivots), pointer(counts)
    found = np.zeros(LANES, dtype=np.uint32)
    for bit in range(30, -1, -1):
        for lane in range(LANES):
            bits[lane] = found[lane] | np.uint32(1 << bit)
        pivot = load(at, 0)
        one, other = splat(np.float32(0)), splat(np.float32(0))
        for t in range(0, length - 1, 2):
            one, other = one + below(load(source, t), pivot), other + below(load(source, t + 1), pivot)
        if length % 2:
            one = one + below(load(source, length - 1), pivot)
        store(target, 0, one + other)
        for lane in range(LANES):
            if counts[lane] <= rank:
                found[lane] = bits[lane]
    for lane in range(LANES):
        bits[lane] = found[lane]


@compiled
def _next_larger(values: Singles, length: int, pivots: Singles, counts: Singles, uppers: Singles) -> None:
    """How many of ``length`` vectors exceed ``pivots``, and the smallest that does."""
    source = pointer(values)
    pivot, huge = load(pointer(pivots), 0), splat(_LARGEST)
    count, upper = splat(np.float32(0)), huge
    for t in range(length):
        value = load(source, t)
        above = below(pivot, value)
        count = count + above
        upper = smaller(upper, larger(value, huge - above * huge))
    store(pointer(counts), 0, count)
    store(pointer(uppers), 0, upper)


@compiled
def medians(
    rows: NDArray[np.float32],
    first: int,
    length: int,
    room: Singles,
    bits: NDArray[np.uint32],
    out: NDArray[np.float32],
) -> None:
    """Medians of the stretches ``[first + m length, first + (m + 1) length)`` of each row, for every m of ``out``.

    Numbers must not be negative. ``room`` holds ``length`` + 3 vectors; ``bits`` is the memory of its last one but two.
    """
    flat, width = rows.reshape(-1), rows.shape[1]
    pivots = room[length * LANES : (length + 1) * LANES]
    counts, uppers = room[(length + 1) * LANES : (length + 2) * LANES], room[(length + 2) * LANES :]
    begins = np.zeros(LANES, dtype=np.int64)
    frames = out.shape[1]
    for n in range(out.shape[0]):
        for m in range(0, frames, LANES):
            for lane in range(LANES):
                begins[lane] = n * width + first + min(m + lane, frames - 1) * length
            whole = length // LANES * LANES
            for t in range(0, whole, LANES):
                interleave(pointer(flat), pointer(begins), t, pointer(room), t)
            for t in range(whole, length):
                for lane in range(LANES):
                    room[t * LANES + lane] = flat[begins[lane] + t]
            _middle(room, length, (length - 1) // 2, bits, pivots, counts)
            _next_larger(room, length, pivots, counts, uppers)
            for lane in range(min(LANES, frames - m)):
                value = pivots[lane]
                # of an even number, the mean of the two in the middle, which may be equal
                if length % 2 == 0 and counts[lane] == length // 2:
                    value = np.float32(0.5) * (value + uppers[lane])
                out[n, m + lane] = value

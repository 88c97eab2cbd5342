"""Medians of moduli, sixteen frames at a time.

A median is narrowed down by guesses. Of each guess is counted what lies below it, in a pass over numbers that stay in
the cache, sixteen frames to the instruction; and as the numbers around a median lie nearly evenly, the counts tell the
next guess. After five or six guesses all frames know a bound with at most two numbers between it and the median. One
pass more finds the smallest numbers above the bound in their order, and the median is among them, to the last bit.

Where numbers lie in another way, bisection follows upon the guesses. Numbers that are not negative are ordered as their
bits are, so bisection ends when it has settled all thirty-one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from gravdask.scattering.lanes import (
    LANES,
    VECTOR,
    Pointer,
    Singles,
    Vector,
    compiled,
    inlined,
    interleave,
    larger,
    load,
    pointer,
    smaller,
    splat,
    store,
)

_SLACK = np.float32(2)
"""Numbers that may lie between a bound and the median: two less than `_smallest` finds."""
_AIM = np.float32(1)
"""Numbers that had best lie between them: in the middle of what may."""
_SAMPLES = 32
"""Medians of nine that are averaged for the first guess, about."""
_SPACING = np.float32(1.5)
"""Distance from one number to the next at the median, as a share of the median over their count: that of noise."""
_GUESSES = 8
"""Passes before nothing but bisection follows: noise takes no more, the onset of an earthquake seldom."""
_BEYOND = np.uint32(0x7F800001)
"""What follows upon infinity, as bits."""
_LEAST = np.float32(1e-45)
"""What follows upon zero."""

_BITS = ir.VectorType(ir.IntType(32), LANES)
_ONES = ir.Constant(_BITS, [1] * LANES)
_MAGNITUDE = ir.Constant(_BITS, [0x7FFFFFFF] * LANES)


def _bitwise(operation: Callable[[Any, Any, Any], Any]) -> Any:  # noqa: ANN401
    """Make the intrinsic of an operation on the bits of two vectors, lane by lane."""

    @intrinsic  # type: ignore[untyped-decorator]
    def combined(typing: Any, a: Any, b: Any) -> Any:  # noqa: ANN401
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
            a, b = (builder.bitcast(vector, _BITS) for vector in arguments)
            return builder.bitcast(operation(builder, a, b), arguments[0].type)

        return VECTOR(VECTOR, VECTOR), generate

    return combined


# processors have more units that compare and add bits than units that do so with numbers
_halfway = _bitwise(lambda builder, a, b: builder.lshr(builder.add(a, b), _ONES))
_distance = _bitwise(lambda builder, a, b: builder.sub(builder.and_(a, _MAGNITUDE), b))
_advanced = _bitwise(lambda builder, a, b: builder.add(a, b))
_nearer = _bitwise(lambda builder, a, b: builder.select(builder.icmp_unsigned("<", a, b), a, b))
_farther = _bitwise(lambda builder, a, b: builder.select(builder.icmp_unsigned(">", a, b), a, b))


@intrinsic  # type: ignore[untyped-decorator]
def _choose(typing: Any, a: Any, b: Any, then: Any, otherwise: Any) -> Any:  # noqa: ANN401
    """``then`` in every lane where ``a`` is less than ``b``, else ``otherwise``; not both may be negative.

    They are compared as bits, so that NaN is less than all numbers or larger than all, and `_BEYOND` than infinity.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        a, b = (builder.bitcast(vector, _BITS) for vector in arguments[:2])
        return builder.select(builder.icmp_signed("<", a, b), *arguments[2:])

    return VECTOR(VECTOR, VECTOR, VECTOR, VECTOR), generate


@intrinsic  # type: ignore[untyped-decorator]
def _anywhere(typing: Any, a: Any, b: Any) -> Any:  # noqa: ANN401
    """Whether there is a lane in which the first number is less than the second."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        lanes = builder.bitcast(builder.fcmp_ordered("<", *arguments), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, 0))

    return types.boolean(VECTOR, VECTOR), generate


@intrinsic  # type: ignore[untyped-decorator]
def _tally(typing: Any, count: Any, a: Any, b: Any) -> Any:  # noqa: ANN401
    """Count on in every lane where ``a`` is less than ``b``: one instruction less than to add what `below` gives."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        count, a, b = arguments
        more = builder.fadd(count, ir.Constant(count.type, [1.0] * LANES))
        return builder.select(builder.fcmp_ordered("<", a, b), more, count)

    return VECTOR(VECTOR, VECTOR, VECTOR), generate


@intrinsic  # type: ignore[untyped-decorator]
def _quotient(typing: Any, a: Any, b: Any) -> Any:  # noqa: ANN401
    """Divide lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        return builder.fdiv(*arguments)

    return VECTOR(VECTOR, VECTOR), generate


@inlined
def _median_of_three(a: Vector, b: Vector, c: Vector) -> Vector:
    """The one in the middle."""
    return larger(smaller(a, b), smaller(larger(a, b), c))


@compiled
def _guess(source: Pointer, length: int) -> Vector:
    """About the median of ``length`` vectors: the mean of medians of nine, each of which comes from all over them.

    A mean of the numbers themselves would be far off where a few are large.
    """
    part = length // 9
    if part == 0:
        return load(source, length // 2)
    step = 1 + part // _SAMPLES
    # the sum of large numbers would be infinite
    share = splat(np.float32(1) / np.float32((part + step - 1) // step))
    mean = splat(np.float32(0))
    for t in range(0, part, step):
        a = _median_of_three(load(source, t), load(source, t + 3 * part), load(source, t + 6 * part))
        b = _median_of_three(load(source, t + part), load(source, t + 4 * part), load(source, t + 7 * part))
        c = _median_of_three(load(source, t + 2 * part), load(source, t + 5 * part), load(source, t + 8 * part))
        mean = mean + share * _median_of_three(a, b, c)
    return mean


@compiled
def _count(source: Pointer, length: int, pivot: Vector) -> Vector:
    """How many of ``length`` vectors are less than ``pivot``, in every lane."""
    a, b, c, d = splat(np.float32(0)), splat(np.float32(0)), splat(np.float32(0)), splat(np.float32(0))
    whole = length // 4 * 4
    for t in range(0, whole, 4):
        a, b = _tally(a, load(source, t), pivot), _tally(b, load(source, t + 1), pivot)
        c, d = _tally(c, load(source, t + 2), pivot), _tally(d, load(source, t + 3), pivot)
    for t in range(whole, length):
        a = _tally(a, load(source, t), pivot)
    return (a + b) + (c + d)


@compiled
def _bounds(source: Pointer, length: int, beyond: Vector) -> tuple[Vector, Vector, Vector, Vector]:
    """Two bounds of number ``(length - 1) // 2`` (from 0) in order of size, and how many are less than each.

    The first bound is not larger than that number, the second is larger. Either there are at most `_SLACK` others from
    the first bound on that are smaller, or the second bound follows upon the first, and the number is the first bound.
    ``beyond`` is `_BEYOND`.
    """
    zero, rank = splat(np.float32(0)), np.float32((length - 1) // 2)
    most, target = splat(rank + np.float32(1)), splat(rank - _AIM)
    lower, upper, under, over = zero, beyond, zero, splat(np.float32(length))
    # zero itself would tell nothing: nothing is below
    pivot = larger(_guess(source, length), splat(_LEAST))
    spacing = pivot * splat(_SPACING / np.float32(length))
    middle, passes = _halfway(lower, upper), 0
    while _anywhere(splat(_SLACK), _choose(lower, middle, splat(rank) - under, zero)):
        count = _count(source, length, pivot)
        lower, under = _choose(count, most, pivot, lower), _choose(count, most, count, under)
        upper, over = _choose(count, most, upper, pivot), _choose(count, most, over, count)
        # two bounds tell how far numbers lie apart; as long as one is missing, steps grow until they pass the median
        known = _quotient(upper - lower, over - under)
        guessed = spacing + spacing if passes > 0 else spacing
        spacing = _choose(zero, lower, _choose(upper, beyond, known, guessed), guessed)
        middle = _halfway(lower, upper)
        pivot = pivot + (target - count) * spacing
        pivot = _choose(lower, pivot, _choose(pivot, upper, pivot, middle), middle)
        if passes >= _GUESSES:
            pivot = middle
        passes += 1
    return lower, upper, under, over


@compiled
def _smallest(source: Pointer, length: int, bound: Vector) -> tuple[Vector, Vector, Vector, Vector]:
    """The four smallest of ``length`` vectors that are not less than ``bound``, in order; infinity for want of more.

    What is less lies farther above the bound than anything else, if distances are taken without a sign.
    """
    infinite = splat(np.float32(np.inf))
    a, b, c, d = infinite, infinite, infinite, infinite
    for t in range(length):
        one = _distance(load(source, t), bound)
        a, one = _nearer(a, one), _farther(a, one)
        b, one = _nearer(b, one), _farther(b, one)
        c, one = _nearer(c, one), _farther(c, one)
        d = _nearer(d, one)
    a, b = _nearer(_advanced(bound, a), infinite), _nearer(_advanced(bound, b), infinite)
    c, d = _nearer(_advanced(bound, c), infinite), _nearer(_advanced(bound, d), infinite)
    return a, b, c, d


@compiled
def _median(source: Pointer, length: int, beyond: Vector) -> Vector:
    """Medians of ``length`` vectors, lane by lane; ``beyond`` is `_BEYOND`."""
    lower, upper, under, over = _bounds(source, length, beyond)
    middle, rank = _halfway(lower, upper), np.float32((length - 1) // 2)
    # if all up to the second bound are the first one, and no more than that are needed, the next begins at the second
    bound = _choose(lower, middle, lower, _choose(splat(rank + np.float32(1)), over, lower, upper))
    a, b, c, d = _smallest(source, length, bound)
    left, one, two = splat(rank) - under, splat(np.float32(1)), splat(np.float32(2))
    found = _choose(lower, middle, _choose(left, one, a, _choose(left, two, b, c)), lower)
    if length % 2:
        return found
    following = _choose(lower, middle, _choose(left, one, b, _choose(left, two, c, d)), a)
    # the sum of two that are the same may be too large
    return _choose(found, following, splat(np.float32(0.5)) * (found + following), found)


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

    Numbers must not be negative; NaN counts as infinite. Of an even number of them the median is the mean of the two in
    the middle, whose sum is rounded, and infinite if that is too large. There are fewer than 2^24 numbers to a stretch.
    ``room`` holds ``length`` + 3 vectors and begins on a cache line; ``bits`` is the memory of its last one but two.
    """
    flat, width, frames = rows.reshape(-1), rows.shape[1], out.shape[1]
    begins = room[(length + 1) * LANES :].view(np.int64)
    for lane in range(LANES):
        bits[lane] = _BEYOND
    beyond = load(pointer(room), length)
    for n in range(out.shape[0]):
        for m in range(0, frames, LANES):
            for lane in range(LANES):
                begins[lane] = n * width + first + min(m + lane, frames - 1) * length
            if length < LANES:
                for t in range(length):
                    for lane in range(LANES):
                        room[t * LANES + lane] = flat[begins[lane] + t]
            else:
                for t in range(0, length, LANES):
                    # of the last sixteen, some may be there already
                    at = min(t, length - LANES)
                    interleave(pointer(flat), pointer(begins), at, pointer(room), at)
            # then the frames are not needed any more
            store(pointer(room), 0, _median(pointer(room), length, beyond))
            for lane in range(min(LANES, frames - m)):
                out[n, m + lane] = room[lane]

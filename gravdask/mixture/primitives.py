"""The inner loops of the E- and the M-step, written down as instructions on vectors of rows.

A strip of rows lies features first: row i of feature j is ``x[j, i]``. Loops run over columns (rows of the data) with
`LANES` of them in a vector; tiles of `SIDE` features or more are held in registers, so that one number is loaded for
every two that are multiplied.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from gravdask.mixture.vectors import (
    LANES,
    WIDE,
    Builder,
    Lanes,
    Memory,
    Scalar,
    Word,
    emitted,
    exponential,
    logarithm,
    loop,
    word,
)

SIDE = 4
"""Features of a tile."""
_GROUPS = 4 if WIDE else 2
STEP = _GROUPS * LANES
"""Columns whose distances are computed together."""
_PAIRS = [(i, j) for i in range(SIDE) for j in range(i, SIDE)]
"""Places of the upper triangle of a tile."""


def _zeros(builder: Builder, count: int) -> list[Lanes]:
    """As many vectors of zeros."""
    return [Lanes.constant(builder, 0.0)] * count


# ---- rows into columns


def _gathering(number: Any) -> Any:  # noqa: ANN401
    """Make the primitive that lays `LANES` rows of one type of numbers side by side."""

    @emitted
    def gather(
        builder: Builder, rows: Word, begins: Memory, step: Word, centre: Memory, count: Word,
        x: Memory, stride: Word, at: Word,
    ) -> None:  # fmt: skip
        """x[j, at + lane] = number at ``rows + begins[lane] + j step`` (in bytes) - centre[j]."""
        starts = [builder.add(rows, builder.load(builder.gep(begins.begin, [word(lane)]))) for lane in range(LANES)]
        double = ir.DoubleType()

        def feature(j: Word, _: list[Lanes]) -> list[Lanes]:
            values, offset = Lanes.constant(builder, 0.0).value, builder.mul(j, step)
            for lane, start in enumerate(starts):
                address = builder.inttoptr(builder.add(start, offset), number.as_pointer())
                value = builder.load(address, align=1)
                value = value if number == double else builder.fpext(value, double)
                values = builder.insert_element(values, value, ir.Constant(ir.IntType(32), lane))
            x.store(builder.add(builder.mul(j, stride), at), Lanes(builder, values) - centre.spread(j))
            return []

        loop(builder, count, 1, [], feature)

    return gather


gather_single, gather_double = _gathering(ir.FloatType()), _gathering(ir.DoubleType())


# ---- log joint densities of `STEP` columns


def _columns(builder: Builder, at: Word) -> list[Word]:
    """Where the vectors of `STEP` columns begin."""
    return [builder.add(at, word(group * LANES)) for group in range(_GROUPS)]


def _finish(builder: Builder, constant: Scalar, distance: list[Lanes], out: Memory, place: Word) -> None:
    """Write constant - ½ distance."""
    for column, value in zip(_columns(builder, place), distance, strict=True):
        out.store(column, Lanes.spread(builder, constant) - value * 0.5)


@emitted
def project(
    builder: Builder, x: Memory, stride: Word, at: Word, factor: Memory, tiles: Word,
    constant: Scalar, out: Memory, place: Word,
) -> None:  # fmt: skip
    """out[place:] = constant - ½ |Uᵀx - b|²; U and b as `compiled.pack_factors` lays them out."""
    columns = _columns(builder, at)

    def values(row: Word) -> list[Lanes]:
        begin = builder.mul(row, stride)
        return [x.load(builder.add(begin, column)) for column in columns]

    def tile(t: Word, distance: list[Lanes]) -> list[Lanes]:
        above = builder.mul(t, word(SIDE))
        # t tiles stand before this one, tile s with SIDE s rows above its triangle
        rows_before = builder.mul(builder.mul(t, builder.sub(t, word(1))), word(SIDE * SIDE // 2))
        begin = builder.add(rows_before, builder.mul(t, word(SIDE + len(_PAIRS))))
        whitened = [factor.spread(builder.add(begin, word(j))) for j in range(SIDE) for _ in columns]
        begin = builder.add(begin, word(SIDE))

        def row(i: Word, sums: list[Lanes]) -> list[Lanes]:
            lefts, where = values(i), builder.add(begin, builder.mul(i, word(SIDE)))
            for j in range(SIDE):
                number = factor.spread(builder.add(where, word(j)))
                for group, left in enumerate(lefts):
                    sums[j * _GROUPS + group] += number * left
            return sums

        whitened = loop(builder, above, 1, whitened, row)
        begin, lefts = builder.add(begin, builder.mul(above, word(SIDE))), []
        for n, (i, j) in enumerate(_PAIRS):
            if i == j:
                lefts = values(builder.add(above, word(i)))
            number = factor.spread(builder.add(begin, word(n)))
            for group, left in enumerate(lefts):
                whitened[j * _GROUPS + group] += number * left
        for n, value in enumerate(whitened):
            distance[n % _GROUPS] += value * value
        return distance

    _finish(builder, constant, loop(builder, tiles, 1, _zeros(builder, _GROUPS), tile), out, place)


@emitted
def measure(
    builder: Builder, x: Memory, stride: Word, at: Word, offset: Memory, scale: Memory, count: Word,
    constant: Scalar, out: Memory, place: Word,
) -> None:  # fmt: skip
    """out[place:] = constant - ½ Σ_j (scale_j (x_j - offset_j))²."""

    def feature(j: Word, distance: list[Lanes]) -> list[Lanes]:
        middle, factor, begin = offset.spread(j), scale.spread(j), builder.mul(j, stride)
        for group, column in enumerate(_columns(builder, at)):
            value = (x.load(builder.add(begin, column)) - middle) * factor
            distance[group] += value * value
        return distance

    _finish(builder, constant, loop(builder, count, 1, _zeros(builder, _GROUPS), feature), out, place)


# ---- responsibilities of `LANES` columns


@emitted
def share_out(
    builder: Builder, joint: Memory, stride: Word, at: Word, count: Word, weights: Memory, likelihoods: Memory
) -> None:
    """likelihoods[at:] = ln Σ_k exp(joint_k); joint_k = weights[at:] exp(joint_k) / Σ."""

    def place(k: Word) -> Word:
        return builder.add(at, builder.mul(k, stride))

    def larger(k: Word, found: list[Lanes]) -> list[Lanes]:
        value = joint.load(place(k))
        return [found[0].where_below(value, value, found[0])]

    def density(k: Word, found: list[Lanes]) -> list[Lanes]:
        value = exponential(joint.load(place(k)) - top)
        joint.store(place(k), value)
        return [found[0] + value]

    def scaled(k: Word, _: list[Lanes]) -> list[Lanes]:
        joint.store(place(k), joint.load(place(k)) * scale)
        return []

    (top,) = loop(builder, count, 1, [joint.load(at)], larger)
    (total,) = loop(builder, count, 1, _zeros(builder, 1), density)
    likelihoods.store(at, top + logarithm(total))
    scale = weights.load(at) / total
    loop(builder, count, 1, [], scaled)


# ---- sums


def _weighing(*, squares: bool) -> Any:  # noqa: ANN401
    """Make the primitive that adds Σ r, Σ r x and Σ r x² to sums or, instead of the last, writes r x."""

    @emitted
    def weigh(
        builder: Builder, x: Memory, stride: Word, at: Word, tiles: Word, share: Memory, begin: Word, count: Word,
        weighted: Memory, width: Word, sums: Memory, place: Word,
    ) -> None:  # fmt: skip
        """Sums of count columns, lane by lane: Σ r, then Σ r x of all features, then Σ r x²."""
        features = builder.mul(tiles, word(SIDE))

        def tile(t: Word, _: list[Lanes]) -> list[Lanes]:
            rows = [builder.add(builder.mul(t, word(SIDE)), word(j)) for j in range(SIDE)]

            def column(i: Word, found: list[Lanes]) -> list[Lanes]:
                r = share.load(builder.add(begin, i))
                for j, row in enumerate(rows):
                    value = x.load(builder.add(builder.add(at, builder.mul(row, stride)), i))
                    product = value * r
                    found[j] += product
                    if squares:
                        found[SIDE + j] += product * value
                    else:
                        weighted.store(builder.add(builder.mul(row, width), i), product)
                return found

            found = loop(builder, count, LANES, _zeros(builder, 2 * SIDE if squares else SIDE), column)
            for n, value in enumerate(found):
                row = rows[n] if n < SIDE else builder.add(rows[n - SIDE], features)
                sums.add(builder.add(place, builder.mul(builder.add(row, word(1)), word(LANES))), value)
            return []

        def column(i: Word, found: list[Lanes]) -> list[Lanes]:
            return [found[0] + share.load(builder.add(begin, i))]

        (total,) = loop(builder, count, LANES, _zeros(builder, 1), column)
        sums.add(place, total)
        loop(builder, tiles, 1, [], tile)

    return weigh


weigh, weigh_squares = _weighing(squares=False), _weighing(squares=True)


def _multiplying(rows: int, *, triangle: bool) -> Any:  # noqa: ANN401
    """Make the primitive that adds products of weighted features and `SIDE` others to a tile of sums."""
    pairs = _PAIRS if triangle else [(i, j) for i in range(rows) for j in range(SIDE)]

    @emitted
    def multiply(
        builder: Builder, weighted: Memory, width: Word, row: Word, x: Memory, stride: Word, at: Word, count: Word,
        sums: Memory, place: Word,
    ) -> None:  # fmt: skip
        """sums[place + (SIDE i + j) LANES:] += Σ weighted[row + i] x[j] over count columns, lane by lane."""
        lefts = [builder.mul(builder.add(row, word(i)), width) for i in range(rows)]
        rights = [builder.add(at, builder.mul(stride, word(j))) for j in range(SIDE)]

        def column(n: Word, found: list[Lanes]) -> list[Lanes]:
            one = [weighted.load(builder.add(left, n)) for left in lefts]
            other = [x.load(builder.add(right, n)) for right in rights]
            return [value + one[i] * other[j] for value, (i, j) in zip(found, pairs, strict=True)]

        found = loop(builder, count, LANES, _zeros(builder, len(pairs)), column)
        for value, (i, j) in zip(found, pairs, strict=True):
            sums.add(builder.add(place, word((i * SIDE + j) * LANES)), value)

    return multiply


multiply_triangle, multiply_square = _multiplying(SIDE, triangle=True), _multiplying(SIDE, triangle=False)
multiply_half = _multiplying(SIDE // 2, triangle=False)

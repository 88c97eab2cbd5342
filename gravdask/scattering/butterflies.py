"""Sums of two, four and eight complex vectors: what Fourier transforms are made of."""

from __future__ import annotations

import numpy as np

from gravdask.scattering.lanes import Pointer, Vector, inlined, load, root, splat, store

Pair = tuple[Vector, Vector]
"""Real and imaginary part."""
_HALF_ROOT = np.float32(np.sqrt(0.5))


@inlined
def get(buffer: Pointer, i: int) -> Pair:
    """Read a complex vector."""
    return load(buffer, i), load(buffer, i + 1)


@inlined
def put(buffer: Pointer, i: int, re: Vector, im: Vector) -> None:
    """Write a complex vector."""
    store(buffer, i, re)
    store(buffer, i + 1, im)


@inlined
def get_turned(buffer: Pointer, i: int, factors: Pointer, o: int) -> Pair:
    """Read a complex vector and turn it by a factor."""
    r, q = load(buffer, i), load(buffer, i + 1)
    wr, wi = splat(factors[o]), splat(factors[o + 1])
    return r * wr - q * wi, r * wi + q * wr


@inlined
def put_turned(buffer: Pointer, i: int, re: Vector, im: Vector, factors: Pointer, o: int) -> None:
    """Turn a complex vector by the conjugate of a factor and write it."""
    wr, wi = splat(factors[o]), splat(factors[o + 1])
    store(buffer, i, re * wr + im * wi)
    store(buffer, i + 1, im * wr - re * wi)


@inlined
def sum4(
    a0r: Vector, a0i: Vector, a1r: Vector, a1i: Vector, a2r: Vector, a2i: Vector, a3r: Vector, a3i: Vector
) -> tuple[Pair, Pair, Pair, Pair]:
    """Transform of four numbers with positive exponent; exchanging a1 and a3 gives that with negative exponent."""
    c0r, c0i, c2r, c2i = a0r + a2r, a0i + a2i, a0r - a2r, a0i - a2i
    c1r, c1i, c3r, c3i = a1r + a3r, a1i + a3i, a1r - a3r, a1i - a3i
    return (c0r + c1r, c0i + c1i), (c2r - c3i, c2i + c3r), (c0r - c1r, c0i - c1i), (c2r + c3i, c2i - c3r)


@inlined
def sum8(a0: Pair, a1: Pair, a2: Pair, a3: Pair, a4: Pair, a5: Pair, a6: Pair, a7: Pair) -> tuple[Pair, ...]:
    """Transform of eight numbers with positive exponent; exchanging a1 and a7, a2 and a6, a3 and a5 negates it."""
    e0, e1, e2, e3 = sum4(
        a0[0] + a4[0],
        a0[1] + a4[1],
        a1[0] + a5[0],
        a1[1] + a5[1],
        a2[0] + a6[0],
        a2[1] + a6[1],
        a3[0] + a7[0],
        a3[1] + a7[1],
    )
    b4r, b4i, b5r, b5i = a0[0] - a4[0], a0[1] - a4[1], a1[0] - a5[0], a1[1] - a5[1]
    b6r, b6i, b7r, b7i = a2[0] - a6[0], a2[1] - a6[1], a3[0] - a7[0], a3[1] - a7[1]
    s = splat(_HALF_ROOT)
    t5r, t5i = (b5r - b5i) * s, (b5r + b5i) * s
    t7r, t7i = (b7r + b7i) * s, (b7i - b7r) * s
    d0r, d0i, d2r, d2i = b4r - b6i, b4i + b6r, b4r + b6i, b4i - b6r
    d1r, d1i, d3r, d3i = t5r - t7r, t5i - t7i, t5r + t7r, t5i + t7i
    return (
        e0,
        (d0r + d1r, d0i + d1i),
        e1,
        (d2r - d3i, d2i + d3r),
        e2,
        (d0r - d1r, d0i - d1i),
        e3,
        (d2r + d3i, d2i - d3r),
    )


@inlined
def pair(buffer: Pointer, base: int) -> None:
    """Transform of two bins, either way."""
    ar, ai = get(buffer, 2 * base)
    br, bi = get(buffer, 2 * base + 2)
    put(buffer, 2 * base, ar + br, ai + bi)
    put(buffer, 2 * base + 2, ar - br, ai - bi)


@inlined
def put_modulus(moduli: Pointer, t: int, x: Pair) -> Vector:
    """Write the modulus of a complex vector; give its square."""
    power = x[0] * x[0] + x[1] * x[1]
    store(moduli, t, root(power))
    return power

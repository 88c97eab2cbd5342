"""Fast Fourier transforms of sixteen windows side by side.

A buffer of n complex bins is a flat float32 array of 2 n vectors: real and imaginary part of bin 0, of bin 1, and so
on, sixteen lanes each. Lengths are powers of two. The inverse takes its bins in digit-reversed places and gives samples
in order (decimation in time); the forward one takes samples in order and leaves bins in the same digit-reversed places
(decimation in frequency). Nobody ever sorts them: whoever writes or reads a spectrum looks its places up in `places`.

Both work depth first, so that all but the outermost passes happen in the cache. Radix 8, with 4 where a length asks for
it. The innermost passes, the leaves, turn nothing; `fused.lay` does those of the inverse while it writes the bins, and
`inverse_modulus` the outermost pass together with the modulus. The error is that of any single-precision transform,
about 1e-7 of the rms.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gravdask.scattering.butterflies import Pair, get, get_turned, pair, put, put_modulus, put_turned, sum4, sum8
from gravdask.scattering.lanes import Pointer, Singles, compiled, embedded, inlined, larger, pointer, splat, store

_LEAST_TABLE = 1 << 14
MAX_LOG2 = 24
"""Longest transform, as a power of two."""


def radix(bins: int) -> int:
    """Radix of the outermost pass of a transform of so many bins."""
    return {1: 1, 2: 2, 4: 4, 16: 4}.get(bins, 8)


def leaf(bins: int) -> int:
    """Radix of the innermost pass, for four bins and more."""
    return 8 if (bins.bit_length() - 1) % 3 == 0 else 4


@lru_cache(maxsize=64)
def places(bins: int) -> NDArray[np.int32]:
    """Places of the bins 0, 1, ... of a spectrum in its buffer, shape (bins,).

    With a leaf of radix r, the bins k, k + bins / r, k + 2 bins / r, ... have consecutive places.
    """
    if bins == 1:
        return np.zeros(1, dtype=np.int32)
    r = radix(bins)
    number = np.arange(bins)
    result: NDArray[np.int32] = ((number % r) * (bins // r) + places(bins // r)[number // r]).astype(np.int32)
    result.flags.writeable = False
    return result


@lru_cache(maxsize=8)
def _tables(largest: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Twiddle factors of all passes up to ``largest`` bins, and where those of each power of two begin."""
    begins = np.zeros(MAX_LOG2 + 1, dtype=np.int64)
    parts, at = [np.zeros(0, dtype=np.float32)], 0
    for log2 in range(2, largest.bit_length()):
        r = radix(1 << log2)
        turns = np.outer(np.arange((1 << log2) // r), np.arange(1, r)) / (1 << log2)
        factors = np.exp(2j * np.pi * turns)
        part = np.stack([factors.real, factors.imag], axis=-1).astype(np.float32).ravel()
        begins[log2] = at
        at += part.size
        parts.append(part)
    return np.concatenate(parts), begins


def twiddles(bins: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Factors that the transforms need for up to ``bins`` bins, and where those of each length begin."""
    return _tables(max(bins, _LEAST_TABLE))


@inlined
def _join8(buffer: Pointer, i: int, d: int, factors: Pointer, o: int) -> tuple[Pair, ...]:
    """One sum of eight in the outermost pass of an inverse transform."""
    return sum8(
        get(buffer, i),
        get_turned(buffer, i + d, factors, o),
        get_turned(buffer, i + 2 * d, factors, o + 2),
        get_turned(buffer, i + 3 * d, factors, o + 4),
        get_turned(buffer, i + 4 * d, factors, o + 6),
        get_turned(buffer, i + 5 * d, factors, o + 8),
        get_turned(buffer, i + 6 * d, factors, o + 10),
        get_turned(buffer, i + 7 * d, factors, o + 12),
    )


@inlined
def _join4(buffer: Pointer, i: int, d: int, factors: Pointer, o: int) -> tuple[Pair, Pair, Pair, Pair]:
    """One sum of four in the outermost pass of an inverse transform."""
    a0r, a0i = get(buffer, i)
    a1r, a1i = get_turned(buffer, i + d, factors, o)
    a2r, a2i = get_turned(buffer, i + 2 * d, factors, o + 2)
    a3r, a3i = get_turned(buffer, i + 3 * d, factors, o + 4)
    return sum4(a0r, a0i, a1r, a1i, a2r, a2i, a3r, a3i)


@compiled
def _inverse_pass8(buffer: Pointer, base: int, bins: int, factors: Pointer, o: int) -> None:
    """Join eight transforms of bins // 8 into one."""
    d = bins // 4
    for i in range(2 * base, 2 * base + d, 2):
        x0, x1, x2, x3, x4, x5, x6, x7 = _join8(buffer, i, d, factors, o)
        put(buffer, i, x0[0], x0[1])
        put(buffer, i + d, x1[0], x1[1])
        put(buffer, i + 2 * d, x2[0], x2[1])
        put(buffer, i + 3 * d, x3[0], x3[1])
        put(buffer, i + 4 * d, x4[0], x4[1])
        put(buffer, i + 5 * d, x5[0], x5[1])
        put(buffer, i + 6 * d, x6[0], x6[1])
        put(buffer, i + 7 * d, x7[0], x7[1])
        o += 14


@compiled
def _inverse_pass4(buffer: Pointer, base: int, bins: int, factors: Pointer, o: int) -> None:
    """Join four transforms of bins // 4 into one."""
    d = bins // 2
    for i in range(2 * base, 2 * base + d, 2):
        x0, x1, x2, x3 = _join4(buffer, i, d, factors, o)
        put(buffer, i, x0[0], x0[1])
        put(buffer, i + d, x1[0], x1[1])
        put(buffer, i + 2 * d, x2[0], x2[1])
        put(buffer, i + 3 * d, x3[0], x3[1])
        o += 6


@compiled
def _forward_pass8(buffer: Pointer, base: int, bins: int, factors: Pointer, o: int) -> None:
    """Split one transform into eight of bins // 8."""
    d = bins // 4
    for i in range(2 * base, 2 * base + d, 2):
        a0, a1, a2, a3 = get(buffer, i), get(buffer, i + d), get(buffer, i + 2 * d), get(buffer, i + 3 * d)
        a4, a5, a6, a7 = get(buffer, i + 4 * d), get(buffer, i + 5 * d), get(buffer, i + 6 * d), get(buffer, i + 7 * d)
        x0, x1, x2, x3, x4, x5, x6, x7 = sum8(a0, a7, a6, a5, a4, a3, a2, a1)
        put(buffer, i, x0[0], x0[1])
        put_turned(buffer, i + d, x1[0], x1[1], factors, o)
        put_turned(buffer, i + 2 * d, x2[0], x2[1], factors, o + 2)
        put_turned(buffer, i + 3 * d, x3[0], x3[1], factors, o + 4)
        put_turned(buffer, i + 4 * d, x4[0], x4[1], factors, o + 6)
        put_turned(buffer, i + 5 * d, x5[0], x5[1], factors, o + 8)
        put_turned(buffer, i + 6 * d, x6[0], x6[1], factors, o + 10)
        put_turned(buffer, i + 7 * d, x7[0], x7[1], factors, o + 12)
        o += 14


@compiled
def _forward_pass4(buffer: Pointer, base: int, bins: int, factors: Pointer, o: int) -> None:
    """Split one transform into four of bins // 4."""
    d = bins // 2
    for i in range(2 * base, 2 * base + d, 2):
        a0r, a0i = get(buffer, i)
        a1r, a1i = get(buffer, i + d)
        a2r, a2i = get(buffer, i + 2 * d)
        a3r, a3i = get(buffer, i + 3 * d)
        x0, x1, x2, x3 = sum4(a0r, a0i, a3r, a3i, a2r, a2i, a1r, a1i)
        put(buffer, i, x0[0], x0[1])
        put_turned(buffer, i + d, x1[0], x1[1], factors, o)
        put_turned(buffer, i + 2 * d, x2[0], x2[1], factors, o + 2)
        put_turned(buffer, i + 3 * d, x3[0], x3[1], factors, o + 4)
        o += 6


@inlined
def _log2(bins: int) -> int:
    """Exponent of a power of two."""
    power = 0
    while (1 << power) < bins:
        power += 1
    return power


@inlined
def _next(power: int, whole: int) -> int:
    """Length of the pass around one of length 2^power, both as powers of two, in a transform of 2^whole."""
    return 4 if power == 2 and whole % 3 == 1 else power + 3


@inlined
def _join(buffer: Pointer, base: int, power: int, factors: Pointer, begins: Pointer) -> None:
    """One pass of an inverse transform, over 2^power bins."""
    if power == 4:
        _inverse_pass4(buffer, base, 16, factors, begins[power])
    else:
        _inverse_pass8(buffer, base, 1 << power, factors, begins[power])


@inlined
def _split(buffer: Pointer, base: int, power: int, factors: Pointer, begins: Pointer) -> None:
    """One pass of a forward transform, over 2^power samples."""
    if power == 4:
        _forward_pass4(buffer, base, 16, factors, begins[power])
    else:
        _forward_pass8(buffer, base, 1 << power, factors, begins[power])


@compiled
def _leaves4(buffer: Pointer, base: int, bins: int, forwards: bool) -> None:
    """Innermost passes of radix 4 over ``bins`` bins."""
    for i in range(2 * base, 2 * (base + bins), 8):
        a0r, a0i = get(buffer, i)
        a1r, a1i = get(buffer, i + 2)
        a2r, a2i = get(buffer, i + 4)
        a3r, a3i = get(buffer, i + 6)
        x0, x1, x2, x3 = sum4(a0r, a0i, a1r, a1i, a2r, a2i, a3r, a3i)
        d = 2 if not forwards else 6
        put(buffer, i, x0[0], x0[1])
        put(buffer, i + d, x1[0], x1[1])
        put(buffer, i + 4, x2[0], x2[1])
        put(buffer, i + 8 - d, x3[0], x3[1])


@compiled
def _leaves8(buffer: Pointer, base: int, bins: int, forwards: bool) -> None:
    """Innermost passes of radix 8 over ``bins`` bins."""
    for i in range(2 * base, 2 * (base + bins), 16):
        a0, a1, a2, a3 = get(buffer, i), get(buffer, i + 2), get(buffer, i + 4), get(buffer, i + 6)
        a4, a5, a6, a7 = get(buffer, i + 8), get(buffer, i + 10), get(buffer, i + 12), get(buffer, i + 14)
        x0, x1, x2, x3, x4, x5, x6, x7 = sum8(a0, a1, a2, a3, a4, a5, a6, a7)
        # the other exponent gives the same in reverse order
        at, d = (i, 2) if not forwards else (i + 16, -2)
        put(buffer, i, x0[0], x0[1])
        put(buffer, at + d, x1[0], x1[1])
        put(buffer, at + 2 * d, x2[0], x2[1])
        put(buffer, at + 3 * d, x3[0], x3[1])
        put(buffer, at + 4 * d, x4[0], x4[1])
        put(buffer, at + 5 * d, x5[0], x5[1])
        put(buffer, at + 6 * d, x6[0], x6[1])
        put(buffer, at + 7 * d, x7[0], x7[1])


@inlined
def _leaves(buffer: Pointer, base: int, bins: int, whole: int, forwards: bool) -> None:
    """Innermost passes over ``bins`` bins of a transform of 2^whole."""
    if whole % 3 == 0:
        _leaves8(buffer, base, bins, forwards)
    else:
        _leaves4(buffer, base, bins, forwards)


@inlined
def _inverse(
    buffer: Pointer, base: int, bins: int, factors: Pointer, begins: Pointer, whole: int, leaves: bool
) -> None:
    """Passes of an inverse transform of at least four bins, as a part of one of 2^whole bins, depth first.

    Without ``leaves``, whoever wrote the bins has done the innermost passes already. There is no recursion here, for
    Numba 0.68 loads recursive kernels from its cache that crash.
    """
    least = 3 if whole % 3 == 0 else 2
    first = _next(least, whole)
    if (1 << first) > bins:
        if leaves:
            _leaves(buffer, base, bins, whole, False)
        return
    for at in range(base, base + bins, 1 << first):
        if leaves:
            _leaves(buffer, at, 1 << first, whole, False)
        _join(buffer, at, first, factors, begins)
        done, power = at + (1 << first) - base, _next(first, whole)
        # every pass whose last part is done now
        while (1 << power) <= bins and done & ((1 << power) - 1) == 0:
            _join(buffer, base + done - (1 << power), power, factors, begins)
            power += 3


@compiled
def inverse(buffer: Singles, base: int, bins: int, factors: Singles, begins: NDArray[np.int64]) -> None:
    """Transform bins ``[base, base + bins)`` of a buffer to samples in order, in place, without a factor 1 / bins."""
    if bins > 2:
        _inverse(pointer(buffer), base, bins, pointer(factors), pointer(begins), _log2(bins), True)
    elif bins == 2:
        pair(pointer(buffer), base)


@compiled
def forward(buffer: Singles, base: int, bins: int, factors: Singles, begins: NDArray[np.int64]) -> None:
    """Transform samples ``[base, base + bins)`` of a buffer to bins in digit-reversed places, in place."""
    data = pointer(buffer)
    if bins == 2:
        pair(data, base)
    if bins <= 2:
        return
    whole = _log2(bins)
    first = _next(3 if whole % 3 == 0 else 2, whole)
    if first > whole:
        _leaves(data, base, bins, whole, True)
        return
    for at in range(0, bins, 1 << first):
        # every pass of which this is the first part, the longest one first
        power = whole
        while power >= first:
            if at & ((1 << power) - 1) == 0:
                _split(data, base + at, power, pointer(factors), pointer(begins))
            power -= 3
        _leaves(data, base + at, 1 << first, whole, True)


@embedded
def inverse_modulus(
    buffer: Singles,
    bins: int,
    factors: Singles,
    begins: NDArray[np.int64],
    moduli: Singles,
    energies: Singles,
    peaks: Singles,
    at: int,
) -> None:
    """Transform ``bins`` > 16 bins whose leaves are done to samples, and write their moduli.

    The sum of their squares, and the largest square, go to vector ``at`` of ``energies`` and ``peaks``. The buffer
    holds nothing of use after that.
    """
    m = bins // 8
    data, turns, out = pointer(buffer), pointer(factors), pointer(moduli)
    whole = _log2(bins)
    for q in range(8):
        _inverse(data, q * m, m, turns, pointer(begins), whole, False)
    o = begins[whole]
    total = splat(np.float32(0))
    peak = total
    for k in range(m):
        x0, x1, x2, x3, x4, x5, x6, x7 = _join8(data, 2 * k, 2 * m, turns, o)
        p0, p1 = put_modulus(out, k, x0), put_modulus(out, k + m, x1)
        p2, p3 = put_modulus(out, k + 2 * m, x2), put_modulus(out, k + 3 * m, x3)
        p4, p5 = put_modulus(out, k + 4 * m, x4), put_modulus(out, k + 5 * m, x5)
        p6, p7 = put_modulus(out, k + 6 * m, x6), put_modulus(out, k + 7 * m, x7)
        total = total + (((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7)))
        peak = larger(peak, larger(larger(larger(p0, p1), larger(p2, p3)), larger(larger(p4, p5), larger(p6, p7))))
        o += 14
    store(pointer(energies), at, total)
    store(pointer(peaks), at, peak)

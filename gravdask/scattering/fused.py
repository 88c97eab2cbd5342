"""Compiled kernels between the Fourier transforms: sixteen windows at a time, no allocation, no GIL.

Arrays are flat and addressed in vectors of `lanes.LANES` numbers. A spectrum holds the bins 0, 1, ... of a half
spectrum in order, real and imaginary vector each; a buffer holds complex bins in the places of `fft.places`, or real
samples, one vector each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gravdask.scattering.butterflies import Pair, get, put, sum4, sum8
from gravdask.scattering.lanes import (
    LANES,
    Pointer,
    Singles,
    Vector,
    compiled,
    embedded,
    inlined,
    interleave,
    load,
    pointer,
    separate,
    splat,
    store,
)

Places = NDArray[np.int32]
Begins = NDArray[np.int64]


@inlined
def _scaled(spectrum: Pointer, index: int, factor: float) -> Vector:
    """Vector of a spectrum times a number."""
    return load(spectrum, index) * splat(factor)


@inlined
def _bin(spectrum: Pointer, bins_in: int, start: int, values: Pointer, i: int) -> Pair:
    """Bin number i of a product with a wavelet.

    Bins at negative frequencies, and beyond the end of the half spectrum, are the conjugates of their mirror images.
    """
    k = start + i
    if k < 0:
        return _scaled(spectrum, -2 * k, values[i]), _scaled(spectrum, 1 - 2 * k, -values[i])
    if 2 * k > bins_in:
        return _scaled(spectrum, 2 * (bins_in - k), values[i]), _scaled(spectrum, 2 * (bins_in - k) + 1, -values[i])
    return _scaled(spectrum, 2 * k, values[i]), _scaled(spectrum, 2 * k + 1, values[i])


@inlined
def _aliased(spectrum: Pointer, bins_in: int, start: int, values: Pointer, width: int, i: int, bins: int) -> Pair:
    """Bin number i of a product that is decimated to ``bins`` bins, zero beyond its support."""
    if i >= width:
        return splat(np.float32(0)), splat(np.float32(0))
    re, im = _bin(spectrum, bins_in, start, values, i)
    if i + bins < width:
        more = _bin(spectrum, bins_in, start, values, i + bins)
        return re + more[0], im + more[1]
    return re, im


@embedded
def lay4(
    spectrum: Singles, bins_in: int, start: int, values: Singles, places: Places, bins: int, buffer: Singles
) -> None:
    """Multiply a half spectrum by a wavelet, lay the product into a decimated spectrum, and transform its leaves.

    ``values`` are the transfer function on the bins ``start, start + 1, ...`` of a spectrum of ``bins_in`` bins. The
    lowest comes first: the modulus that follows does not feel the shift in frequency. For lengths whose leaf has
    radix 4; the support is at most twice ``bins`` long.
    """
    d, width = bins // 4, values.size
    source, gains, target = pointer(spectrum), pointer(values), pointer(buffer)
    for k in range(d):
        at = 2 * places[k]
        a0r, a0i = _aliased(source, bins_in, start, gains, width, k, bins)
        if k + d >= width:
            for p in range(4):
                put(target, at + 2 * p, a0r, a0i)
            continue
        a1r, a1i = _aliased(source, bins_in, start, gains, width, k + d, bins)
        if k + 2 * d >= width:
            put(target, at, a0r + a1r, a0i + a1i)
            put(target, at + 2, a0r - a1i, a0i + a1r)
            put(target, at + 4, a0r - a1r, a0i - a1i)
            put(target, at + 6, a0r + a1i, a0i - a1r)
            continue
        a2r, a2i = _aliased(source, bins_in, start, gains, width, k + 2 * d, bins)
        a3r, a3i = _aliased(source, bins_in, start, gains, width, k + 3 * d, bins)
        x0, x1, x2, x3 = sum4(a0r, a0i, a1r, a1i, a2r, a2i, a3r, a3i)
        put(target, at, x0[0], x0[1])
        put(target, at + 2, x1[0], x1[1])
        put(target, at + 4, x2[0], x2[1])
        put(target, at + 6, x3[0], x3[1])


@embedded
def lay8(
    spectrum: Singles, bins_in: int, start: int, values: Singles, places: Places, bins: int, buffer: Singles
) -> None:
    """`lay4` for lengths whose leaf has radix 8."""
    d, width = bins // 8, values.size
    source, gains, target = pointer(spectrum), pointer(values), pointer(buffer)
    none = splat(np.float32(0)), splat(np.float32(0))
    for k in range(d):
        at = 2 * places[k]
        a0 = _aliased(source, bins_in, start, gains, width, k, bins)
        if k + d >= width:
            for p in range(8):
                put(target, at + 2 * p, a0[0], a0[1])
            continue
        a1 = _aliased(source, bins_in, start, gains, width, k + d, bins)
        a2 = _aliased(source, bins_in, start, gains, width, k + 2 * d, bins)
        if k + 3 * d >= width:
            x0, x1, x2, x3, x4, x5, x6, x7 = sum8(a0, a1, a2, none, none, none, none, none)
        else:
            a3 = _aliased(source, bins_in, start, gains, width, k + 3 * d, bins)
            a4 = _aliased(source, bins_in, start, gains, width, k + 4 * d, bins)
            a5 = _aliased(source, bins_in, start, gains, width, k + 5 * d, bins)
            a6 = _aliased(source, bins_in, start, gains, width, k + 6 * d, bins)
            a7 = _aliased(source, bins_in, start, gains, width, k + 7 * d, bins)
            x0, x1, x2, x3, x4, x5, x6, x7 = sum8(a0, a1, a2, a3, a4, a5, a6, a7)
        put(target, at, x0[0], x0[1])
        put(target, at + 2, x1[0], x1[1])
        put(target, at + 4, x2[0], x2[1])
        put(target, at + 6, x3[0], x3[1])
        put(target, at + 8, x4[0], x4[1])
        put(target, at + 10, x5[0], x5[1])
        put(target, at + 12, x6[0], x6[1])
        put(target, at + 14, x7[0], x7[1])


@compiled
def unpack(buffer: Singles, bins_in: int, places: Places, turns: Singles, bins: int, spectrum: Singles) -> None:
    """Half spectrum of real samples, bins ``[0, bins)``, from the transform of their pairs taken as complex numbers.

    X_k = (Z_k + Z*_(M-k)) / 2 + (Z_k - Z*_(M-k)) exp(-2 pi i k / n) / 2i, with n = ``bins_in`` samples and M = n / 2.
    ``turns`` holds cosine and sine of 2 pi k / n.
    """
    source, target = pointer(buffer), pointer(spectrum)
    half = bins_in // 2
    scale = splat(np.float32(0.5))
    for k in range(bins):
        ar, ai = get(source, 2 * places[k % half])
        br, bi = get(source, 2 * places[(half - k) % half])
        er, ei = ar + br, ai - bi
        # (Z_k - Z*) / i
        dr, di = ai + bi, br - ar
        c, s = splat(turns[2 * k]), splat(turns[2 * k + 1])
        put(target, 2 * k, (er + dr * c + di * s) * scale, (ei + di * c - dr * s) * scale)


@compiled
def lay_real(
    spectrum: Singles, response: Singles, places: Places, turns: Singles, bins: int, scratch: Singles, buffer: Singles
) -> None:
    """Filter a half spectrum by a real, even response and lay it out for a real inverse transform of ``bins`` samples.

    What the response lets through beyond half of ``bins`` is added where it aliases to. The inverse of ``bins // 2``
    bins then gives samples in order.
    """
    half = bins // 2
    source, middle, target = pointer(spectrum), pointer(scratch), pointer(buffer)
    for k in range(half + 1):
        v = splat(response[k])
        re, im = get(source, 2 * k)
        re, im = re * v, im * v
        if bins - k < response.size and k > 0:
            v = splat(response[bins - k])
            br, bi = get(source, 2 * (bins - k))
            re, im = re + br * v, im - bi * v
        put(middle, 2 * k, re, im)
    for k in range(half):
        ar, ai = get(middle, 2 * k)
        br, bi = get(middle, 2 * (half - k))
        er, ei, dr, di = ar + br, ai - bi, ar - br, ai + bi
        c, s = splat(turns[2 * k]), splat(turns[2 * k + 1])
        # E + i W D
        put(target, 2 * places[k], er - (di * c + dr * s), ei + (dr * c - di * s))


@compiled
def gather(source: Singles, begins: Begins, samples: int, buffer: Singles) -> None:
    """Lay sixteen windows of a flat array side by side."""
    whole = samples // LANES * LANES
    for t in range(0, whole, LANES):
        interleave(pointer(source), pointer(begins), t, pointer(buffer), t)
    for t in range(whole, samples):
        for lane in range(LANES):
            buffer[t * LANES + lane] = source[begins[lane] + t]


@compiled
def scatter_back(buffer: Singles, first: int, samples: int, begins: Begins, target: Singles) -> None:
    """Write samples ``[first, first + samples)`` of each lane into a flat array, from ``begins[lane]`` on."""
    whole = samples // LANES * LANES
    for t in range(0, whole, LANES):
        separate(pointer(buffer), first + t, 1, pointer(target), pointer(begins), t)
    for lane in range(LANES):
        for t in range(whole, samples):
            target[begins[lane] + t] = buffer[(first + t) * LANES + lane]


@compiled
def energy(samples: Singles, count: int, energies: Singles, at: int) -> None:
    """Sum of the squares of real samples."""
    source, target = pointer(samples), pointer(energies)
    total = splat(np.float32(0))
    for t in range(count):
        v = load(source, t)
        total = total + v * v
    store(target, at, total)

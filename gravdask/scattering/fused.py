"""Compiled kernels between the Fourier transforms: sixteen windows at a time, no allocation, no GIL.

Arrays are flat and addressed in vectors of `lanes.LANES` numbers. A spectrum holds the bins 0, 1, ... of a half
spectrum in order, real and imaginary vector each; a buffer holds complex bins in the places of `fft.places`, or real
samples, one vector each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.scattering.butterflies import Pair, get, put, sum4, sum8
from gravdask.scattering.lanes import (
    LANES,
    Pointer,
    Singles,
    Vector,
    compiled,
    compiled_relaxed,
    inlined,
    interleave,
    larger,
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


@compiled
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


@compiled
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
def pool_sum(samples: Singles, first: int, tiles: int, length: int, out: Singles, at: int, stride: int) -> None:
    """Sum real samples over tiles of ``length`` samples, a power of two; a length of 1 copies them."""
    source, target = pointer(samples), pointer(out)
    for tile in range(tiles):
        total = load(source, first)
        if length >= 4:
            # four sums at once, for each waits for its last addition
            other, third, fourth = load(source, first + 1), load(source, first + 2), load(source, first + 3)
            for t in range(first + 4, first + length, 4):
                total, other = total + load(source, t), other + load(source, t + 1)
                third, fourth = third + load(source, t + 2), fourth + load(source, t + 3)
            total = (total + other) + (third + fourth)
        elif length == 2:
            total = total + load(source, first + 1)
        store(target, at + tile * stride, total)
        first += length


@compiled
def pool_max(samples: Singles, first: int, tiles: int, length: int, out: Singles, at: int, stride: int) -> None:
    """Largest of the real samples of each tile of ``length`` samples."""
    source, target = pointer(samples), pointer(out)
    for tile in range(tiles):
        largest = load(source, first)
        for t in range(first + 1, first + length):
            largest = larger(largest, load(source, t))
        store(target, at + tile * stride, largest)
        first += length


@compiled
def pool_weighted(
    samples: Singles, first: int, tiles: int, weights: NDArray[np.float32], out: Singles, at: int, stride: int
) -> None:
    """Weighted sums of real samples over tiles: one for each row of ``weights`` (n, length), tile after tile.

    Rows come in pairs; the length is a power of two.
    """
    source, target = pointer(samples), pointer(out)
    length = weights.shape[1]
    for _ in range(tiles):
        for row in range(0, weights.shape[0], 2):
            # four sums at once, for each waits for its last addition
            a, b = splat(np.float32(0)), splat(np.float32(0))
            c, d = a, b
            for t in range(0, length - 1, 2):
                u, v = load(source, first + t), load(source, first + t + 1)
                a, b = a + u * splat(weights[row, t]), b + u * splat(weights[row + 1, t])
                c, d = c + v * splat(weights[row, t + 1]), d + v * splat(weights[row + 1, t + 1])
            if length == 1:
                u = load(source, first)
                a, b = u * splat(weights[row, 0]), u * splat(weights[row + 1, 0])
            store(target, at, a + c)
            store(target, at + stride, b + d)
            at += 2 * stride
        first += length


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
def turn(rows: Singles, count: int, vectors: int, begins: Begins, out: Singles) -> None:
    """Transpose (count, vectors x LANES) to (vectors x LANES, count); ``begins`` is room for sixteen numbers."""
    whole = count // LANES * LANES
    for v in range(vectors):
        for lane in range(LANES):
            begins[lane] = (v * LANES + lane) * count
        for t in range(0, whole, LANES):
            separate(pointer(rows), t * vectors + v, vectors, pointer(out), pointer(begins), t)
        for lane in range(LANES):
            for t in range(whole, count):
                out[begins[lane] + t] = rows[(t * vectors + v) * LANES + lane]


@compiled
def energy(samples: Singles, count: int, energies: Singles, at: int) -> None:
    """Sum of the squares of real samples."""
    source, target = pointer(samples), pointer(energies)
    total = splat(np.float32(0))
    for t in range(count):
        v = load(source, t)
        total = total + v * v
    store(target, at, total)


@compiled_relaxed
def combine(moments: NDArray[Any], table: NDArray[Any], first: int, step: int, out: NDArray[Any]) -> None:
    """Low-pass tiles to frames: ``out[n, m] = sum of moments[n, first + m step + i] table[i]``.

    ``moments`` has all moments of a tile side by side; ``first`` and ``step`` count them. What lies outside the array
    counts as zero.
    """
    for n in range(out.shape[0]):
        row = moments[n]
        for m in range(out.shape[1]):
            begin = first + m * step
            low, high = max(-begin, 0), min(row.size - begin, table.size)
            # slices of known length and origin are what LLVM makes vectors of
            here, weight = row[begin + low : begin + high], table[low:high]
            total = np.float32(0)
            for i in range(here.size):
                total += here[i] * weight[i]
            out[n, m] = total


@compiled
def doubt(
    pooled: NDArray[np.float32],
    errors: NDArray[np.float32],
    shares: NDArray[np.float32],
    spans: NDArray[np.int64],
    floor: float,
    rows: NDArray[np.intp],
    parents: NDArray[np.intp],
    gain: float,
    handed: NDArray[np.float32],
    doubtful: NDArray[np.bool_],
) -> None:
    """Mark every ``pooled[n, m]`` that is less than the errors of its windows ask for, or than a floor.

    ``errors`` is (n, windows), ``shares`` (windows, frames) is the share of each window in each frame, and ``spans``
    (2, frames) the first window and the one after the last that have any. To that comes ``gain`` times what came with
    the signal from earlier stages, ``handed[parents[n], m]``. The mark goes to ``doubtful[rows[n], m]``.
    """
    for n in range(pooled.shape[0]):
        for m in range(pooled.shape[1]):
            total = np.float32(gain) * handed[parents[n], m]
            for w in range(spans[0, m], spans[1, m]):
                total += errors[n, w] * shares[w, m]
            # said so that what is not a number is doubtful
            doubtful[rows[n], m] = not (pooled[n, m] >= total and pooled[n, m] >= np.float32(floor))


@compiled
def hand_errors(
    errors: NDArray[np.float32], spans: NDArray[np.int64], rows: NDArray[np.intp], handed: NDArray[np.float32]
) -> None:
    """Raise ``handed[rows[n], m]`` to the largest ``errors[n, w]`` of the windows from which frame m can be reached."""
    for n in range(errors.shape[0]):
        for m in range(handed.shape[1]):
            for w in range(spans[0, m], spans[1, m]):
                handed[rows[n], m] = max(handed[rows[n], m], errors[n, w])


@compiled
def survey(window: NDArray[np.float64], largest: float) -> bool:
    """Whether every sample of a window is a number of at most a magnitude."""
    for value in window:  # noqa: SIM110 (Numba compiles a loop, not a generator)
        if not abs(value) <= largest:
            return False
    return True


@compiled_relaxed
def cut(
    source: NDArray[np.float64],
    begins: Begins,
    fade: NDArray[np.float64],
    rows: NDArray[np.float64],
    levels: NDArray[np.float64],
) -> None:
    """Cut windows out of a flat record, take their means (to ``levels``) off, and fade their ends to zero."""
    samples = rows.shape[1]
    for lane in range(rows.shape[0]):
        window, row = source[begins[lane] : begins[lane] + samples], rows[lane]
        total = 0.0
        for t in range(samples):
            total += window[t]
        level = total / samples
        for t in range(samples):
            row[t] = window[t] - level
        for t in range(fade.size):
            row[t] *= fade[t]
            row[samples - 1 - t] *= fade[t]
        levels[lane] = level

"""Compiled kernels of pooling: moduli over tiles, tiles over frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.scattering.lanes import LANES, Singles, compiled, embedded, larger, load, pointer, separate, splat, store


@embedded
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


@embedded
def pool_max(samples: Singles, first: int, tiles: int, length: int, out: Singles, at: int, stride: int) -> None:
    """Largest of the real samples of each tile of ``length`` samples."""
    source, target = pointer(samples), pointer(out)
    for tile in range(tiles):
        largest = load(source, first)
        for t in range(first + 1, first + length):
            largest = larger(largest, load(source, t))
        store(target, at + tile * stride, largest)
        first += length


@embedded
def pool_weighted(
    samples: Singles, first: int, tiles: int, hop: int, weights: NDArray[np.float32], out: Singles, at: int, stride: int
) -> None:
    """Weighted sums of real samples over tiles, one for each column of ``weights`` (length, n).

    Sums of neighbouring tiles overlap by n - hop; n is a multiple of four.
    """
    source, factors, target = pointer(samples), pointer(weights), pointer(out)
    length, rank = weights.shape
    for tile in range(tiles):
        for row in range(0, rank, 4):
            # four sums at once, for each waits for its last addition
            a = splat(np.float32(0))
            b, c, d = a, a, a
            for t in range(length):
                u, k = load(source, first + t), t * rank + row
                a, b = a + u * splat(factors[k]), b + u * splat(factors[k + 1])
                c, d = c + u * splat(factors[k + 2]), d + u * splat(factors[k + 3])
            here = at + row * stride
            # the tile before has added to all but the last points
            shared = rank - hop - row if tile > 0 else 0
            a = a + load(target, here) if shared > 0 else a
            b = b + load(target, here + stride) if shared > 1 else b
            c = c + load(target, here + 2 * stride) if shared > 2 else c
            d = d + load(target, here + 3 * stride) if shared > 3 else d
            store(target, here, a)
            store(target, here + stride, b)
            store(target, here + 2 * stride, c)
            store(target, here + 3 * stride, d)
        first += length
        at += hop * stride


@compiled
def turn(rows: Singles, count: int, vectors: int, out: Singles) -> None:
    """Transpose (count, vectors x LANES) to (vectors x LANES, count)."""
    whole = count // LANES * LANES
    begins = np.empty(LANES, dtype=np.int64)
    for v in range(vectors):
        for lane in range(LANES):
            begins[lane] = (v * LANES + lane) * count
        for t in range(0, whole, LANES):
            separate(pointer(rows), t * vectors + v, vectors, pointer(out), pointer(begins), t)
        for lane in range(LANES):
            for t in range(whole, count):
                out[begins[lane] + t] = rows[(t * vectors + v) * LANES + lane]


@compiled
def overlap(rows: NDArray[Any], windows: NDArray[np.int64], hop: int, out: NDArray[Any]) -> None:
    """Add rows (n, windows, points) up, each from point ``hop`` times its window's number on.

    Of ``out`` (n, phases, all / phases), phase p holds the points p, p + phases, p + 2 phases, ...
    """
    out[:] = 0
    phases = out.shape[1]
    for n in range(rows.shape[0]):
        for w in range(rows.shape[1]):
            row = rows[n, w]
            for p in range(min(phases, row.size)):
                # rows of later windows begin in other phases
                at = windows[w] * hop + p
                mine = row[p::phases]
                there = out[n, at % phases, at // phases : at // phases + mine.size]
                for t in range(mine.size):
                    there[t] += mine[t]


@compiled
def combine(points: NDArray[Any], table: NDArray[Any], first: int, scale: float, out: NDArray[Any]) -> None:
    """Low-pass points to frames: ``out[n, m] = scale * sum of table[i] * (point number first + m phases + i)``.

    ``points`` is (n, phases, all / phases), see `overlap`. What lies outside counts as zero.
    """
    _, phases, width = points.shape
    for n in range(out.shape[0]):
        row = out[n]
        row[:] = 0
        for i in range(table.size):
            source, shift = points[n, (first + i) % phases], (first + i) // phases
            weight = table[i] * table.dtype.type(scale)
            low, high = max(-shift, 0), min(row.size, width - shift)
            # slices of known length and origin are what LLVM makes vectors of
            here, there = row[low:high], source[low + shift : high + shift]
            for m in range(here.size):
                here[m] += weight * there[m]


@compiled
def pool_points(
    moments: Singles,
    vectors: int,
    turned: Singles,
    signals: int,
    windows: NDArray[np.int64],
    hop: int,
    summed: NDArray[np.float32],
    table: NDArray[np.float32],
    first: int,
    scale: float,
    out: NDArray[np.float32],
) -> None:
    """Pool the sums of windows, (rows, vectors x LANES), over frames: `turn`, `overlap` and `combine` in one."""
    rows = moments.size // (vectors * LANES)
    turn(moments, rows, vectors, turned)
    laid = turned[: signals * windows.size * rows].reshape((signals, windows.size, rows))
    overlap(laid, windows, hop, summed)
    combine(summed, table, first, scale, out)

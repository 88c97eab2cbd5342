"""Compiled kernels on either side of the transforms of the record itself, which are in double precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gravdask.scattering.lanes import LANES, Singles, compiled, compiled_relaxed

Begins = NDArray[np.int64]
SQUEEZED = 2.0
"""Distance from its centre up to which a sample is told from others; the less, the finer."""


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


@compiled
def gather_doubles(rows: NDArray[np.float64], samples: int, buffer: Singles) -> None:
    """Lay sixteen rows of ``samples`` doubles, one behind the other, side by side in single precision."""
    for t in range(samples):
        for lane in range(LANES):
            buffer[t * LANES + lane] = np.float32(rows[lane * samples + t])


@compiled
def fold_record(
    spectra: NDArray[np.complex128], response: NDArray[np.floating], coarse: int, folded: NDArray[np.complex128]
) -> None:
    """Filter half spectra (n, bins) of records and fold them into those of ``coarse`` samples, (n, coarse // 2 + 1)."""
    for n in range(folded.shape[0]):
        row, out = spectra[n], folded[n]
        for k in range(min(out.size, response.size)):
            out[k] = row[k] * response[k]
        # from the first bin that something aliases to
        for k in range(coarse - response.size + 1, out.size):
            out[k] += np.conj(row[coarse - k]) * response[coarse - k]


@compiled
def hand_record(
    decimated: NDArray[np.float64],
    first: int,
    count: int,
    levels: NDArray[np.float64],
    begins: Begins,
    lanes: int,
    sink: NDArray[np.float64],
) -> None:
    """Write samples ``[first, first + count)`` of each row of ``decimated``, its level put back, to ``begins``."""
    for lane in range(lanes):
        row, out = decimated[lane, first : first + count], sink[begins[lane] : begins[lane] + count]
        for t in range(count):
            out[t] = row[t] + levels[lane]


@compiled
def squeeze(
    frames: NDArray[np.float64], centres: NDArray[np.float64], widths: NDArray[np.float64], out: NDArray[np.float32]
) -> None:
    """Samples (n, samples) in units of ``widths`` about ``centres``, from 0 to twice `SQUEEZED`; the order is kept.

    ``out`` may have more columns.
    """
    for n in range(frames.shape[0]):
        row, into, centre, scale = frames[n], out[n], centres[n], 1.0 / widths[n]
        for t in range(row.size):
            into[t] = np.float32(min(max((row[t] - centre) * scale, -SQUEEZED), SQUEEZED) + SQUEEZED)


@compiled_relaxed
def means(frames: NDArray[np.float64], offset: float, out: NDArray[np.float64]) -> None:
    """Mean of each row (n, samples); an ``offset`` is off while they are added, so that a large one costs no digits."""
    for n in range(frames.shape[0]):
        row, total = frames[n], 0.0
        for t in range(row.size):
            total += row[t] - offset
        out[n] = total / row.size + offset

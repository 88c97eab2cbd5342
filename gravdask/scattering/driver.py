"""Does all steps of a group, as `program` has written them down, for all batches of windows in one compiled call."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravdask.scattering.fft import forward, inverse, inverse_modulus
from gravdask.scattering.fused import (
    energy,
    gather,
    lay4,
    lay8,
    lay_real,
    scatter_back,
    unpack,
)
from gravdask.scattering.lanes import LANES, Singles, compiled, embedded
from gravdask.scattering.sums import pool_max, pool_sum, pool_weighted

SUM, MAX, WEIGHTED, KEPT = 0, 1, 2, 3
"""How moduli are pooled over tiles; what is kept is not pooled, but laid in rows, one for each lane."""


KEEP, LOW_PASS, AS_IT_IS = 0, 1, 2
"""Whether a step hands nothing on, its low-passed and decimated moduli, or moduli that are decimated already."""

STEP = np.dtype(
    [
        (name, np.int64)
        for name in (
            # 1 takes windows of moduli in, 0 applies a wavelet
            "take",
            # spectrum that it reads, and bins of that; spectrum that it writes is the next one
            "depth",
            "bins_in",
            # bins after decimation, and its power of two
            "bins",
            "level",
            # the wavelet: its first bin, where its values begin and how many there are
            "start",
            "value",
            "width",
            # where the tables for this length begin, and the radix of its innermost pass
            "place",
            "half_place",
            "turn",
            "leaf",
            # pooling: row of the first sum, and see `tiles.Tiles`; where the weights begin
            "moment",
            "tiles",
            "rank",
            "hop",
            "length",
            "rows",
            "weight",
            # bins of the spectrum of its moduli that anything needs; 0 if nothing does
            "needed",
            # what is handed on, to signals of which order, in which places, through which low-pass
            "hand",
            "order",
            "slot",
            "response",
            "responses",
        )
    ]
)
"""One step; all numbers are int64."""


class Tables(NamedTuple):
    """Numbers that steps point into, one behind the other.

    Attributes
    ----------
    values, responses, weights
        Transfer functions of wavelets and of low-passes, and weights of moduli in moments, (n,).
    places
        Places of bins in buffers; see `fft.places`.
    turns
        Cosines and sines that turn transforms of pairs into transforms of real samples.
    slots
        Numbers of signals in the next stage.
    factors, begins
        Twiddle factors of all lengths, and where those of each begin.
    """

    values: Singles
    responses: Singles
    weights: Singles
    places: NDArray[np.int32]
    turns: Singles
    slots: NDArray[np.int64]
    factors: Singles
    begins: NDArray[np.int64]


class Room(NamedTuple):
    """Memory to work in, all of it flat.

    Attributes
    ----------
    spectra
        Half spectra, one for each depth, each of the stage's samples and two vectors more.
    buffer, moduli, middle
        One batch of complex bins, of moduli, and of a quarter of a spectrum.
    rows
        Sixteen places.
    energies, peaks
        Sum of squares over each window, and largest square: a row of vectors for each step.
    moments
        Moments of all tiles of all steps, a row of vectors for each; or the moduli of each lane, step by step.
    """

    spectra: Singles
    buffer: Singles
    moduli: Singles
    middle: Singles
    rows: NDArray[np.int64]
    energies: Singles
    peaks: Singles
    moments: Singles


class Ends(NamedTuple):
    """Signals of one order, as kernels see them.

    Attributes
    ----------
    flat
        All of them, one behind the other.
    length, halo
        Samples of each, and how many come before its first one.
    waste
        Where samples may be written that nobody wants.
    """

    flat: Singles
    length: int
    halo: int
    waste: int


class Job(NamedTuple):
    """What is to be done.

    Attributes
    ----------
    first, last
        Batches.
    lanes, vectors
        Windows of all signals, and how many batches they fill.
    samples, halo, stride
        Of a window of the stage: its length, its halo, and samples from one to the next.
    pooling
        How moduli are pooled over tiles.
    coarse_place, coarse_turn
        Where the tables for what is handed on begin.
    """

    first: int
    last: int
    lanes: int
    vectors: int
    samples: int
    halo: int
    stride: int
    pooling: int
    coarse_place: int
    coarse_turn: int


@compiled
def find_windows(job: Job, batch: int, windows: NDArray[np.int64], length: int, rows: NDArray[np.int64]) -> None:
    """Where the windows of a batch begin in signals of ``length`` samples.

    Lanes without a window repeat the first one; nobody looks at them.
    """
    for lane in range(LANES):
        number = batch * LANES + lane
        rows[lane] = 0
        if number < job.lanes:
            rows[lane] = number // windows.size * length + windows[number % windows.size] * job.stride


@compiled
def find_places(
    job: Job, batch: int, windows: NDArray[np.int64], slots: NDArray[np.int64], ends: Ends, rows: NDArray[np.int64]
) -> None:
    """Where in the next stage's signals the lanes of a batch are written to; those without a window go to waste."""
    for lane in range(LANES):
        number = batch * LANES + lane
        rows[lane] = ends.waste
        if number < job.lanes:
            at = windows[number % windows.size] * job.stride // 4
            rows[lane] = slots[number // windows.size] * ends.length + at + ends.halo


@embedded
def _pool(step: Any, job: Job, tables: Tables, room: Room, batch: int) -> None:  # noqa: ANN401
    """Pool a batch of moduli over tiles."""
    first, at = job.halo >> step.level, step.moment * job.vectors + batch
    if job.pooling == WEIGHTED:
        weights = tables.weights[step.weight : step.weight + step.rank * step.length]
        pool_weighted(
            room.moduli,
            first,
            step.tiles,
            step.hop,
            weights.reshape((step.length, step.rank)),
            room.moments,
            at,
            job.vectors,
        )
    elif job.pooling == KEPT:
        for lane in range(LANES):
            room.rows[lane] = step.moment * job.vectors * LANES + (batch * LANES + lane) * step.rows
        scatter_back(room.moduli, first, step.rows, room.rows, room.moments)
    elif job.pooling == MAX:
        pool_max(room.moduli, first, step.tiles, step.length, room.moments, at, job.vectors)
    else:
        pool_sum(room.moduli, first, step.tiles, step.length, room.moments, at, job.vectors)


@compiled
def run_batches(
    steps: NDArray[Any],
    tables: Tables,
    room: Room,
    job: Job,
    windows: NDArray[np.int64],
    source: Ends,
    sinks: tuple[Ends, Ends],
) -> None:
    """Do all steps for batches ``[job.first, job.last)``.

    Steps that take windows in read signals of ``source``, and ``sinks`` are the next stage's of first and second order.
    Without such a step, spectra of windows of the record are there already.
    """
    spectrum = (job.samples + 2) * LANES
    coarse = job.samples // 4
    for batch in range(job.first, job.last):
        for number in range(steps.size):
            step = steps[number]
            bins, found = step.bins, number * job.vectors + batch
            if step.take == 1:
                find_windows(job, batch, windows, source.length, room.rows)
                gather(source.flat, room.rows, bins, room.moduli)
                energy(room.moduli, bins, room.energies, found)
            else:
                above = room.spectra[step.depth * spectrum : (step.depth + 1) * spectrum]
                values = tables.values[step.value : step.value + step.width]
                places = tables.places[step.place : step.place + bins]
                if step.leaf == 4:
                    lay4(above, step.bins_in, step.start, values, places, bins, room.buffer)
                else:
                    lay8(above, step.bins_in, step.start, values, places, bins, room.buffer)
                inverse_modulus(
                    room.buffer, bins, tables.factors, tables.begins, room.moduli, room.energies, room.peaks, found
                )
                _pool(step, job, tables, room, batch)
            sink = sinks[0] if step.order == 1 else sinks[1]
            if step.hand != KEEP:
                # a slot for each signal of the group
                slots = tables.slots[step.slot :]
            if step.hand == AS_IT_IS:
                find_places(job, batch, windows, slots, sink, room.rows)
                first = job.halo >> step.level
                scatter_back(room.moduli, first, job.stride >> step.level, room.rows, sink.flat)
            if step.needed > 0:
                half = bins // 2
                below = room.spectra[(step.depth + 1) * spectrum : (step.depth + 2) * spectrum]
                forward(room.moduli, 0, half, tables.factors, tables.begins)
                places = tables.places[step.half_place : step.half_place + half]
                unpack(room.moduli, bins, places, tables.turns[step.turn :], step.needed, below)
            if step.hand == LOW_PASS:
                response = tables.responses[step.response : step.response + step.responses]
                places = tables.places[job.coarse_place : job.coarse_place + coarse // 2]
                lay_real(below, response, places, tables.turns[job.coarse_turn :], coarse, room.middle, room.buffer)
                inverse(room.buffer, 0, coarse // 2, tables.factors, tables.begins)
                find_places(job, batch, windows, slots, sink, room.rows)
                scatter_back(room.buffer, job.halo // 4, job.stride // 4, room.rows, sink.flat)

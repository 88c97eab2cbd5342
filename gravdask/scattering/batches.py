"""One group of signals in one stage, sixteen windows at a time.

For each wavelet: multiply the spectrum by it, folding and shifting on the way; transform back; take the modulus; pool
it over tiles. If longer wavelets follow, transform the modulus and go on with each of them; if they stand in a later
stage, low-pass the modulus, decimate it and hand it on. All of that is in `driver`; windows of the record, whose
spectra ask for double precision, are prepared here.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.special
from numpy.typing import NDArray

from gravdask.scattering import records
from gravdask.scattering.cascade import EDGE_SD, FADE
from gravdask.scattering.driver import KEPT, MAX, SUM, WEIGHTED, Ends, Job, Room, find_windows, run_batches
from gravdask.scattering.lanes import LANES
from gravdask.scattering.program import Program, Reader
from gravdask.scattering.scratch import SCRATCH, Signals
from gravdask.scattering.tiles import Pooler

_POOLINGS = {"lowpass": WEIGHTED, "max": MAX, "median": KEPT}


@lru_cache(maxsize=8)
def _fade() -> NDArray[np.float64]:
    """Rise from 0 to 1, both to within 1e-13, that has nothing to say to any but the longest periods."""
    sd = FADE / 2 / EDGE_SD
    return np.asarray(scipy.special.ndtr((np.arange(FADE) + 0.5 - FADE / 2) / sd))


def _ends(signals: Signals | None) -> Ends:
    """Signals as kernels see them."""
    if signals is None:
        return Ends(SCRATCH.flat("nothing", LANES), 0, 0, 0)
    return Ends(signals.flat, signals.length, signals.halo, signals.waste)


class GroupRun:
    """The transform of all windows of a group.

    Parameters
    ----------
    program
        The steps of the group.
    pooler
        Pools moduli over tiles.
    windows
        Numbers of the windows that are needed.

    Attributes
    ----------
    lanes, vectors
        Windows of all signals, and how many vectors they fill.
    energies, peaks
        Sum of squares over each window, and largest square, shape (steps, lanes of all vectors).
    """

    def __init__(self, program: Program, pooler: Pooler, windows: NDArray[np.intp]) -> None:
        self.program, self.pooler, self.windows = program, pooler, windows
        stage, count = program.stage, program.steps.size
        self.lanes = program.group.signals * windows.size
        self.vectors = -(-self.lanes // LANES)
        self._room = Room(
            SCRATCH.vectors("spectra", program.depths * (stage.samples + 2)),
            SCRATCH.vectors("buffer", 2 * stage.samples),
            SCRATCH.vectors("moduli", stage.samples),
            SCRATCH.vectors("middle", stage.samples // 4 + 2),
            SCRATCH.flat("rows of lanes", LANES, "int64"),
            SCRATCH.vectors("energies", count * self.vectors),
            SCRATCH.vectors("peaks", count * self.vectors),
            SCRATCH.vectors("moments", program.rows * self.vectors),
        )
        self.energies = self._room.energies.reshape(count, -1)
        self.peaks = self._room.peaks.reshape(count, -1)

    def moments(self, reader: Reader) -> NDArray[np.float32]:
        """What tiles add up to at a step, shape (rows of a window, lanes)."""
        step = self.program.steps[reader.step]
        begin = int(step["moment"])
        return self._room.moments.reshape(-1, self.vectors * LANES)[begin : begin + int(step["rows"])]

    def run(self, source: Signals, sinks: dict[int, Signals]) -> None:
        """Transform all windows of all signals; ``sinks`` are signals of the next stage, by order."""
        program, stage = self.program, self.program.stage
        job = Job(
            0,
            self.vectors,
            self.lanes,
            self.vectors,
            stage.samples,
            stage.halo,
            stage.step,
            _POOLINGS.get(self.pooler.kind, SUM),
            program.coarse_place,
            program.coarse_turn,
        )
        ends = _ends(sinks.get(1)), _ends(sinks.get(2))
        if program.group.order:
            run_batches(program.steps, program.tables, self._room, job, self.windows, _ends(source), ends)
            return
        for batch in range(self.vectors):
            self._record(source, sinks, job, batch)
            one = job._replace(first=batch, last=batch + 1)
            run_batches(program.steps, program.tables, self._room, one, self.windows, _ends(None), ends)

    def _record(self, source: Signals, sinks: dict[int, Signals], job: Job, batch: int) -> None:
        """Spectra of windows of the record, computed in double precision; hand the record on."""
        stage, begins = self.program.stage, self._room.rows
        find_windows(job, batch, self.windows, source.length, begins)
        rows = SCRATCH.flat("rows", LANES * stage.samples, "float64").reshape(LANES, stage.samples)
        levels = np.empty(LANES)
        records.cut(source.flat, begins, _fade(), rows, levels)
        spectra = scipy.fft.rfft(rows, axis=-1)
        # single precision rounds every bin in proportion to itself: quiet bands lose nothing
        records.gather_doubles(spectra.view(np.float64).reshape(-1), 2 * spectra.shape[1], self._room.spectra)
        if self.program.group.slots is None:
            return
        coarse = stage.samples // 4
        folded = np.zeros((LANES, coarse // 2 + 1), dtype=np.complex128)
        records.fold_record(spectra, stage.responses[True, 0], coarse, folded)
        decimated = scipy.fft.irfft(folded, coarse, axis=-1, norm="forward")
        used = min(LANES, self.lanes - batch * LANES)
        begins //= 4
        begins += sinks[0].halo
        records.hand_record(decimated, stage.halo // 4, stage.step // 4, levels, begins, used, sinks[0].flat)

"""One group of signals in one stage, sixteen windows at a time.

For each wavelet: multiply the spectrum by it, folding and shifting on the way; transform back; take the modulus; pool
it over tiles. If longer wavelets follow, transform the modulus and go on with each of them; if they stand in a later
stage, low-pass the modulus, decimate it and hand it on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.special
from numpy.typing import NDArray

from gravdask.scattering import fused
from gravdask.scattering.cascade import EDGE_SD, FADE, Group, Node, Stage
from gravdask.scattering.fft import forward, inverse, inverse_modulus, leaf, places, twiddles
from gravdask.scattering.lanes import LANES, Singles
from gravdask.scattering.scratch import SCRATCH, Signals
from gravdask.scattering.tiles import Pooler

LEVELS_A_STAGE = 2
"""Powers of two from one stage's rate to the next."""


@lru_cache(maxsize=32)
def _turns(samples: int) -> NDArray[np.float32]:
    """Cosine and sine of 2 pi k / samples for k up to samples / 2, in pairs."""
    angle = 2.0 * np.pi * np.arange(samples // 2 + 1) / samples
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32).ravel()


@lru_cache(maxsize=8)
def _fade() -> NDArray[np.float64]:
    """Rise from 0 to 1, both to within 1e-13, that has nothing to say to any but the longest periods."""
    sd = FADE / 2 / EDGE_SD
    return np.asarray(scipy.special.ndtr((np.arange(FADE) + 0.5 - FADE / 2) / sd))


@dataclass(frozen=True)
class Lanes:
    """A batch of windows.

    Attributes
    ----------
    batch
        Its number.
    signal, at, places
        Signal, place [samples of the stage], and place at the next stage's rate, of each window in it.
    """

    batch: int
    signal: NDArray[np.intp]
    at: NDArray[np.intp]
    places: NDArray[np.intp]

    def begins(self, slots: NDArray[np.intp], sink: Signals) -> NDArray[np.int64]:
        """Where in the next stage's signals the lanes are written to; lanes without a window go to waste."""
        begins = np.empty(LANES, dtype=np.int64)
        used = self.at.size
        np.multiply(slots[self.signal], sink.length, out=begins[:used])
        begins[:used] += self.places + sink.halo
        begins[used:] = sink.waste
        return begins


@dataclass
class Found:
    """A node at work, and what its batches have found, lane by lane.

    Attributes
    ----------
    node
        The node.
    moments
        Shape (tiles of a window, ranks, lanes).
    energies, peaks
        Sum of squares over each window, and largest square, shape (lanes,).
    lay
        Multiplies spectra by the wavelet and lays the product out.
    places
        Where it lays them.
    pool
        Pools a batch of moduli over tiles, into ``moments``.
    needed
        Bins of the spectrum of the moduli that anything needs; 0 if nothing does.
    children
        The same of the nodes that follow.
    """

    node: Node
    moments: NDArray[np.float32]
    energies: NDArray[np.float32]
    peaks: NDArray[np.float32]
    lay: Callable[..., None]
    places: NDArray[np.int32]
    pool: Callable[[Singles, int], None]
    needed: int
    children: list[Found]


class GroupRun:
    """The transform of all windows of a group.

    Parameters
    ----------
    stage, group
        The stage and its group.
    pooler
        Pools moduli over tiles.
    windows
        Numbers of the windows that are needed.
    sinks
        Signals of the next stage, by order.
    """

    def __init__(
        self, stage: Stage, group: Group, pooler: Pooler, windows: NDArray[np.intp], sinks: dict[int, Signals]
    ) -> None:
        self.stage, self.group, self.pooler, self.windows, self.sinks = stage, group, pooler, windows, sinks
        self.lanes = group.signals * windows.size
        self.vectors = -(-self.lanes // LANES)
        self.buffer = SCRATCH.vectors("buffer", 2 * stage.samples)
        self.moduli = SCRATCH.vectors("moduli", stage.samples)
        self.energies = SCRATCH.vectors("energies", self.vectors)
        self.energies.fill(0.0)
        self.found = [self._room(node) for node in group.nodes]
        self.factors, self.begins = twiddles(stage.samples)

    def _room(self, node: Node) -> Found:
        """Make ready for a node, and make room for its results."""
        tiles, ranks, _, _ = self.pooler.window(self.stage, node.level)
        name = int(node.rows[0])
        moments = SCRATCH.vectors(("moments", name), tiles * ranks * self.vectors).reshape(tiles, ranks, -1)
        energies, peaks = (SCRATCH.vectors((kind, name), self.vectors) for kind in ("energies", "peaks"))
        pool = self.pooler.tile_kernel(self.stage, node.level, moments)
        # at level 2, moduli are at the next stage's rate already
        passed = node.slots if node.level < LEVELS_A_STAGE else None
        bins = self.stage.samples >> node.level
        needed = self._needed(node.children, passed, bins, node.level)
        lay = fused.lay4 if leaf(bins) == 4 else fused.lay8
        children = [self._room(child) for child in node.children]
        return Found(node, moments, energies, peaks, lay, places(bins), pool, needed, children)

    def _needed(self, nodes: tuple[Node, ...], slots: NDArray[np.intp] | None, bins: int, level: int) -> int:
        """Bins of a half spectrum that wavelets, or the low-pass of what is handed on, ask for."""
        reach = [max(1 - n.start, n.start + n.values.size) for n in nodes]
        if slots is not None:
            reach.append(self.stage.responses[False, level].size)
        return min(max(reach, default=0), bins // 2 + 1)

    def run(self, source: Signals) -> None:
        """Transform all windows of all signals."""
        stage = self.stage
        signal, window = np.divmod(np.arange(self.lanes), max(self.windows.size, 1))
        at = self.windows[window] * stage.step
        # lanes without a window repeat the first one; nobody looks at them
        begins = np.zeros(self.vectors * LANES, dtype=np.int64)
        begins[: self.lanes] = signal * source.length + at
        for batch in range(self.vectors):
            part = slice(batch * LANES, min((batch + 1) * LANES, self.lanes))
            lanes = Lanes(batch, signal[part], at[part], at[part] // 4)
            mine = begins[batch * LANES : (batch + 1) * LANES]
            spectrum = self._record(source, mine, lanes) if self.group.order == 0 else self._taken(source, mine, lanes)
            for found in self.found:
                self._node(found, spectrum, stage.samples, lanes, 1)

    def _record(self, source: Signals, begins: NDArray[np.int64], lanes: Lanes) -> NDArray[np.float32]:
        """Spectra of windows of the record, computed in double precision; hand the record on."""
        samples = self.stage.samples
        rows = SCRATCH.flat("rows", LANES * samples, "float64").reshape(LANES, samples)
        levels = np.empty(LANES)
        fused.cut(source.flat, begins, _fade(), rows, levels)
        spectra = scipy.fft.rfft(rows, axis=-1)
        numbers = 2 * spectra.shape[1]
        laid = SCRATCH.vectors("record", numbers)
        # single precision rounds every bin in proportion to itself: quiet bands lose nothing
        fused.gather(
            spectra.astype(np.complex64).view(np.float32).reshape(-1), np.arange(LANES) * numbers, numbers, laid
        )
        if self.group.slots is not None:
            response = self.stage.responses[True, 0]
            coarse = samples // 4
            passed = spectra[:, : response.size] * response
            folded = passed[:, : coarse // 2 + 1].copy()
            # from the first bin that something aliases to
            over = coarse - response.size + 1
            folded[:, over:] += passed[:, coarse - over : coarse // 2 - 1 : -1].conj()
            decimated = scipy.fft.irfft(folded, coarse, axis=-1, norm="forward")
            first, count = self.stage.halo // 4, self.stage.step // 4
            for lane, at in enumerate(lanes.places):
                self.sinks[0].put(0, at, decimated[lane, first : first + count] + levels[lane])
        return laid

    def _taken(self, source: Signals, begins: NDArray[np.int64], lanes: Lanes) -> NDArray[np.float32]:
        """Spectra of windows of moduli that an earlier stage handed on; hand them on once more."""
        samples = self.stage.samples
        fused.gather(source.flat, begins, samples, self.moduli)
        fused.energy(self.moduli, samples, self.energies, lanes.batch)
        spectrum = self._spectrum(samples, self._needed(self.group.nodes, self.group.slots, samples, 0), 0)
        if self.group.slots is not None:
            self._hand_on(spectrum, 0, self.group.slots, lanes, self.sinks[self.group.order])
        return spectrum

    def _node(self, found: Found, spectrum: NDArray[np.float32], bins_in: int, lanes: Lanes, depth: int) -> None:
        """Apply a wavelet to a batch: modulus, pooling, what follows, what is handed on."""
        node, stage = found.node, self.stage
        bins = stage.samples >> node.level
        found.lay(spectrum, bins_in, node.start, node.values, found.places, bins, self.buffer)
        inverse_modulus(
            self.buffer, bins, self.factors, self.begins, self.moduli, found.energies, found.peaks, lanes.batch
        )
        found.pool(self.moduli, lanes.batch)
        if node.slots is not None and node.level == LEVELS_A_STAGE:
            sink = self.sinks[self.group.order + depth]
            rows = lanes.begins(node.slots, sink)
            fused.scatter_back(self.moduli, stage.halo >> node.level, stage.step >> node.level, rows, sink.flat)
        if not found.needed:
            return
        mine = self._spectrum(bins, found.needed, depth)
        for child in found.children:
            self._node(child, mine, bins, lanes, depth + 1)
        if node.slots is not None and node.level < LEVELS_A_STAGE:
            self._hand_on(mine, node.level, node.slots, lanes, self.sinks[self.group.order + depth])

    def _spectrum(self, samples: int, needed: int, depth: int) -> NDArray[np.float32]:
        """Half spectrum of the moduli, which are overwritten."""
        spectrum = SCRATCH.vectors(("spectrum", depth), samples + 2)
        half = samples // 2
        forward(self.moduli, 0, half, self.factors, self.begins)
        fused.unpack(self.moduli, samples, places(half), _turns(samples), needed, spectrum)
        return spectrum

    def _hand_on(
        self, spectrum: NDArray[np.float32], level: int, slots: NDArray[np.intp], lanes: Lanes, sink: Signals
    ) -> None:
        """Low-pass, decimate to a quarter of the stage's rate, and write to the next stage's signals."""
        stage = self.stage
        coarse = stage.samples // 4
        middle = SCRATCH.vectors("middle", coarse + 2)
        response = stage.responses[False, level]
        fused.lay_real(spectrum, response, places(coarse // 2), _turns(coarse), coarse, middle, self.buffer)
        inverse(self.buffer, 0, coarse // 2, self.factors, self.begins)
        fused.scatter_back(self.buffer, stage.halo // 4, stage.step // 4, lanes.begins(slots, sink), sink.flat)

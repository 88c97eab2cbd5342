"""Pooling in two steps: moduli over short tiles within the windows, tiles over frames when all windows are done.

The mean of a frame is a sum of sums. Kymatio's low-pass is a Gaussian much wider than a tile, on which it is a
polynomial to all digits that matter: a tile needs a handful of moments, and every frame is a short sum over the moments
of its neighbourhood. So windows need no halo for the low-pass, and frames know nothing of windows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.special
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from gravdask.scattering import fused
from gravdask.scattering.cascade import Stage
from gravdask.scattering.geometry import low_pass_sd
from gravdask.scattering.lanes import LANES, Singles
from gravdask.scattering.medians import medians
from gravdask.scattering.scratch import SCRATCH

TILE = 256
"""Longest tile, unless decimation asks for longer ones [samples]."""
LOW_PASS_SD = 7.0
"""Standard deviations of the low-pass at which its tails are cut off: 2e-11 of its peak."""
RANK_ERROR = 1e-7
"""Largest error of the polynomials that stand for the low-pass, relative to its value where it is larger."""


@lru_cache(maxsize=64)
def _rank(tile: int, T: int) -> int:
    """Number of Chebyshev polynomials that give the low-pass on any tile, an even one."""
    sd = low_pass_sd(T)
    starts = np.arange(-int(LOW_PASS_SD * sd // tile), int(LOW_PASS_SD * sd // tile) + 1) * tile
    dense = np.linspace(-1.0, 1.0, 65)
    for rank in range(2, 24, 2):
        worst = 0.0
        for start in starts:
            values = np.exp(-0.5 * ((start + (dense + 1.0) * tile / 2.0) / sd) ** 2)
            fitted = chebyshev.chebval(dense, _coefficients(float(start), tile, sd, rank))
            worst = max(worst, float(np.max(np.abs(fitted - values)) / values.max()))
        if worst < RANK_ERROR:
            return rank
    return 24


def _coefficients(start: float, tile: int, sd: float, rank: int) -> NDArray[np.float64]:
    """Chebyshev coefficients of exp(-t^2 / 2 sd^2) on ``[start, start + tile]``."""
    nodes = np.cos(np.pi * (np.arange(rank) + 0.5) / rank)
    values = np.exp(-0.5 * ((start + (nodes + 1.0) * tile / 2.0) / sd) ** 2)
    coefficients = 2.0 / rank * chebyshev.chebvander(nodes, rank - 1).T @ values
    coefficients[0] /= 2.0
    return np.asarray(coefficients, dtype=np.float64)


@lru_cache(maxsize=64)
def weights(tile: int, level: int, rank: int) -> NDArray[np.float64]:
    """Chebyshev polynomials at the samples of a tile that remain at a level, shape (rank, tile >> level)."""
    place = 2.0 * (np.arange(tile >> level) << level) / tile - 1.0
    return np.ascontiguousarray(chebyshev.chebvander(place, rank - 1).T)


@lru_cache(maxsize=64)
def low_pass_table(tile: int, T: int, rank: int, kind: str) -> tuple[int, NDArray[np.floating]]:
    """What the moments of the tiles around a frame weigh in it, gain 1 at frequency zero.

    Returns
    -------
    first
        First tile, counted from the one that begins where the frame is centred.
    table
        All moments of one tile after those of the one before, shape (tiles x rank,), of the dtype asked for.
    """
    sd = low_pass_sd(T)
    count = math.ceil(LOW_PASS_SD * sd / tile)
    norm = np.exp(-0.5 * (np.arange(-math.ceil(12 * sd), math.ceil(12 * sd) + 1) / sd) ** 2).sum()
    rows = [_coefficients(start * tile, tile, sd, rank) for start in range(-count, count)]
    return -count, (np.concatenate(rows) / norm).astype(kind)


@dataclass(frozen=True)
class Pooler:
    """Pools the moduli of one segment.

    Attributes
    ----------
    kind
        "lowpass", "mean", "median" or "max".
    T
        Length of a frame, or scale of the low-pass [samples].
    step
        Samples from one frame to the next.
    frames
        Number of frames.
    halo
        Samples before the first frame and after the last.
    """

    kind: str
    T: int
    step: int
    frames: int
    halo: int

    @property
    def samples(self) -> int:
        """Length of the segment with its halo [samples]."""
        return self.frames * self.step + 2 * self.halo

    @property
    def T_low(self) -> int:
        """Scale of the low-pass [samples]; 0 for the other kinds."""
        return self.T if self.kind == "lowpass" else 0

    @property
    def tile_limit(self) -> int:
        """Largest power of two that divides the frame step [samples]."""
        return self.step & -self.step

    @property
    def tile_wish(self) -> int:
        """Length of tiles that is best for speed [samples]."""
        return TILE

    def rank(self, tile: int) -> int:
        """Moments of a tile."""
        return _rank(tile, self.T) if self.kind == "lowpass" else 1

    def window(self, stage: Stage, level: int) -> tuple[int, int, int, int]:
        """Tiles of a window, moments of a tile, first sample, and samples of a tile at a level of a stage."""
        length = (stage.tile >> stage.log2_step) >> level
        first, count = stage.halo >> level, stage.step >> level
        if self.kind == "median":
            return count, 1, first, 1
        return count // length, self.rank(stage.tile), first, length

    def tile_kernel(self, stage: Stage, level: int, moments: NDArray[np.float32]) -> Callable[[Singles, int], None]:
        """How a batch of moduli is pooled over tiles: a function of the moduli and the number of the batch."""
        tiles, rank, first, length = self.window(stage, level)
        out, stride = moments.reshape(-1), moments.shape[2] // LANES
        if self.kind == "lowpass":
            weigh = _single_weights(stage.tile, stage.log2_step + level, rank)
            return lambda moduli, batch: fused.pool_weighted(moduli, first, tiles, weigh, out, batch, stride)
        kernel = fused.pool_max if self.kind == "max" else fused.pool_sum
        return lambda moduli, batch: kernel(moduli, first, tiles, length, out, batch, stride)

    def frames_of(self, tiled: NDArray[np.floating], tile: int, level: int) -> NDArray[np.floating]:
        """Pool tiles (n, tiles, rank) of a whole segment over its frames; ``level`` is that of what was tiled."""
        if self.kind == "lowpass":
            rank = self.rank(tile)
            first, table = low_pass_table(tile, self.T, rank, tiled.dtype.name)
            out = np.empty((tiled.shape[0], self.frames), dtype=tiled.dtype)
            flat = tiled.reshape(tiled.shape[0], -1)
            fused.combine(flat, table, (self.halo // tile + first) * rank, self.step // tile * rank, out)
            out *= 2.0**level
            return out
        length = tile if self.kind != "median" else 1 << level
        first, count = self.halo // length, self.T // length
        within = tiled[:, first : first + self.frames * count, 0].reshape(-1, self.frames, count)
        if self.kind == "mean":
            return np.asarray(within.sum(axis=-1, dtype=np.float64) / (self.T >> level), dtype=tiled.dtype)
        if self.kind == "max":
            return np.asarray(within.max(axis=-1))
        out = np.empty((tiled.shape[0], self.frames), dtype=np.float32)
        room = SCRATCH.vectors("median", count + 3)
        bits = room[count * LANES : (count + 1) * LANES].view(np.uint32)
        medians(tiled.reshape(tiled.shape[0], -1), first, count, room, bits, out)
        return out

    def frames_from(
        self, stage: Stage, level: int, moments: NDArray[np.float32], signals: int, windows: NDArray[np.intp]
    ) -> NDArray[np.floating]:
        """Pool moments (tiles of a window, rank, lanes) over frames, shape (signals, frames)."""
        tiles, rank, lanes = moments.shape
        every = -(-self.samples // (stage.step << stage.log2_step))
        turned = SCRATCH.flat("turned", lanes * tiles * rank).reshape(lanes, tiles * rank)
        room = np.empty(LANES, dtype=np.int64)
        fused.turn(moments.reshape(-1), tiles * rank, lanes // LANES, room, turned.reshape(-1))
        laid = turned[: signals * windows.size].reshape(signals, windows.size, tiles, rank)
        tiled = laid
        if windows.size < every:
            tiled = np.zeros((signals, every, tiles, rank), dtype=np.float32)
            tiled[:, windows] = laid
        return self.frames_of(tiled.reshape(signals, every * tiles, rank), stage.tile, stage.log2_step + level)

    def records(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pool records themselves, (n, samples), over frames: weighted or plain means, whatever the kind."""
        if self.kind != "lowpass":
            within = rows[:, self.halo : self.halo + self.frames * self.T].reshape(-1, self.frames, self.T)
            return np.asarray(within.mean(axis=-1))
        tile = min(self.tile_limit, self.tile_wish)
        moments = rows.reshape(rows.shape[0], -1, tile) @ weights(tile, 0, self.rank(tile)).T
        return np.asarray(self.frames_of(moments, tile, 0), dtype=np.float64)

    def shares(self, stage: Stage, windows: bytes) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Share of some windows of a stage in each frame.

        Parameters
        ----------
        stage
            The stage.
        windows
            Numbers of the windows, the bytes of an array of integers.

        Returns
        -------
        shares
            Shape (windows, frames).
        spans
            For each frame the first window that has any share in it, and the one after the last, shape (2, frames).
        """
        return _shares(self, stage.step << stage.log2_step, windows)

    def reached(self, stage: Stage, windows: bytes, spread: float) -> NDArray[np.int64]:
        """Windows of a stage, among some, of which something lies within ``spread`` samples of each frame.

        The first one and the one after the last, shape (2, frames).
        """
        return _reached(self, stage.step << stage.log2_step, windows, spread)


@lru_cache(maxsize=64)
def _single_weights(tile: int, level: int, rank: int) -> NDArray[np.float32]:
    """Weights in single precision, kept."""
    return weights(tile, level, rank).astype(np.float32)


@lru_cache(maxsize=64)
def _shares(pooler: Pooler, stride: int, windows: bytes) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Share of each window in each frame; windows are ``stride`` samples of the record long."""
    numbers = np.frombuffer(windows, dtype=np.intp)[:, np.newaxis]
    begin = pooler.halo + np.arange(pooler.frames) * float(pooler.step)

    def below(edges: Any) -> Any:  # noqa: ANN401
        """Share of each frame that lies before an edge."""
        if pooler.kind == "lowpass":
            return scipy.special.ndtr((edges - begin) / low_pass_sd(pooler.T))
        return np.clip((edges - begin) / pooler.T, 0.0, 1.0)

    shares = below((numbers + 1.0) * stride) - below(numbers * float(stride))
    some = shares > 1e-9
    spans = np.stack([some.argmax(axis=0), len(some) - some[::-1].argmax(axis=0)])
    return shares.astype(np.float32), np.where(some.any(axis=0), spans, 0)


@lru_cache(maxsize=64)
def _reached(pooler: Pooler, stride: int, windows: bytes, spread: float) -> NDArray[np.int64]:
    """Windows within reach of each frame."""
    numbers = np.frombuffer(windows, dtype=np.intp)
    begin = pooler.halo + np.arange(pooler.frames) * float(pooler.step)
    low = np.searchsorted((numbers + 1.0) * stride, begin - spread, side="right")
    high = np.searchsorted(numbers * float(stride), begin + (0 if pooler.T_low else pooler.T) + spread, side="left")
    return np.stack([low, high]).astype(np.int64)

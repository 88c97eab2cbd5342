"""Pooling in two steps: moduli over short tiles within the windows, tiles over frames when all windows are done.

The mean of a frame is a sum of sums. Kymatio's low-pass is a Gaussian, and a Gaussian is two narrower ones in a row;
what the first lets through is known from its values at points as far apart as it is wide, so that the second has few of
them to sum. So windows need no halo for the low-pass, and frames know nothing of windows: each tile adds to the points
around it, each window's points to those of its neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import scipy.special
from numpy.typing import NDArray

from gravdask.scattering import sums
from gravdask.scattering.cascade import Stage
from gravdask.scattering.geometry import HALO_SD, low_pass_sd
from gravdask.scattering.lanes import LANES
from gravdask.scattering.medians import medians
from gravdask.scattering.scratch import SCRATCH

TILE = 256
"""Longest tile, unless decimation asks for longer ones [samples]."""
LOW_PASS_SD = 7.0
"""Standard deviations of the low-pass at which its tails are cut off: 2e-11 of its peak."""
POINT_ERROR = 5e-7, 1e-14
"""Largest error of the low-pass that comes of knowing the first Gaussian at points alone, relative to its value.

Of moduli; and of records, which have a sign: what is left of a great earthquake in them is far less than its size.
"""
POINT_SD = 5.0, 8.0
"""Standard deviations of the first Gaussian at which it is cut off, or more; of moduli and of records."""


@dataclass(frozen=True)
class Points:
    """How the low-pass is done in two steps.

    A product of two Gaussians around points ``spacing`` apart, summed over the points, is a Gaussian around their
    distance with the sum of their variances, to within 2 exp(-2 pi^2 s^2 / spacing^2) of itself, where s is the product
    of their standard deviations over that of the sum (Poisson's summation formula).

    Attributes
    ----------
    spacing
        Distance of the points [samples].
    inner, outer
        Standard deviations of the first Gaussian and of the second [samples].
    reach
        Points on each side that a sample adds to, beside those of its own tile.
    """

    spacing: int
    inner: float
    outer: float
    reach: int

    def rank(self, tile: int) -> int:
        """Points that a tile adds to, a multiple of four."""
        return (tile // self.spacing + 2 * self.reach + 4) // 4 * 4


@lru_cache(maxsize=64)
def points(spacing: int, T: int, signed: bool = False) -> Points:
    """Two Gaussians for the low-pass of a scale; ``signed`` for records."""
    sd = low_pass_sd(T)
    least = spacing * math.sqrt(math.log(2.0 / POINT_ERROR[signed]) / (2.0 * math.pi**2))
    if spacing == 1 or sd <= 2.0 * least:
        # every sample is a point of its own
        return Points(1, 0.0, sd, 0)
    inner = math.sqrt((sd**2 - sd * math.sqrt(sd**2 - 4.0 * least**2)) / 2.0)
    return Points(spacing, inner, math.sqrt(sd**2 - inner**2), math.ceil(POINT_SD[signed] * inner / spacing))


@lru_cache(maxsize=64)
def weights(tile: int, level: int, around: Points) -> NDArray[np.float64]:
    """What the samples of a tile that remain at a level add to the points around it, shape (tile >> level, rank)."""
    point = (np.arange(around.rank(tile)) - around.reach) * around.spacing
    distance = (np.arange(tile >> level) << level)[:, np.newaxis] - point
    if around.inner == 0.0:
        return np.asarray(distance == 0, dtype=np.float64)
    return np.asarray(np.exp(-0.5 * (distance / around.inner) ** 2))


@lru_cache(maxsize=64)
def low_pass_table(around: Points, T: int, kind: str) -> tuple[int, NDArray[np.floating]]:
    """What the points around a frame weigh in it, gain 1 at frequency zero.

    Returns
    -------
    first
        First point, counted from the frame's centre.
    table
        Shape (points,), of the dtype asked for.
    """
    sd = low_pass_sd(T)
    count = math.ceil(LOW_PASS_SD * sd / around.spacing)
    norm = np.exp(-0.5 * (np.arange(-math.ceil(12 * sd), math.ceil(12 * sd) + 1) / sd) ** 2).sum()
    if around.inner > 0.0:
        norm *= math.sqrt(2.0 * math.pi) * around.inner * around.outer / (sd * around.spacing)
    distance = np.arange(-count, count + 1) * around.spacing
    return -count, (np.exp(-0.5 * (distance / around.outer) ** 2) / norm).astype(kind)


def _desk(count: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Room for medians of ``count`` numbers."""
    room = SCRATCH.vectors("median", count + 3)
    return room, room[count * LANES : (count + 1) * LANES].view(np.uint32)


def medians_of_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Medians of rows (n, samples) that are not negative."""
    frames, count = rows.shape
    out = np.empty(frames, dtype=np.float32)
    medians(rows.reshape(1, -1), 0, count, *_desk(count), out.reshape(1, -1))
    return out


class Tiles(NamedTuple):
    """How a window is divided.

    Attributes
    ----------
    tiles
        Number of tiles.
    rank, hop
        Points that a tile adds to, and points from one tile to the next; 1 where there are no points.
    length
        Samples of a tile.
    rows
        Sums that a window gives.
    """

    tiles: int
    rank: int
    hop: int
    length: int
    rows: int


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
        # points no further apart than half the scale, and at a power of two
        return min(TILE, 1 << max((self.T // 2).bit_length() - 1, 0)) if self.T_low else TILE

    @cached_property
    def around(self) -> Points:
        """Points of the low-pass."""
        return points(min(self.tile_limit, self.tile_wish), self.T)

    def window(self, stage: Stage, level: int) -> Tiles:
        """How a window is divided at a level of a stage."""
        length = (stage.tile >> stage.log2_step) >> level
        count = stage.step >> level
        if self.kind == "median":
            return Tiles(count, 1, 1, 1, count)
        if self.kind != "lowpass":
            return Tiles(count // length, 1, 1, length, count // length)
        rank, hop = self.around.rank(stage.tile), stage.tile // self.around.spacing
        return Tiles(count // length, rank, hop, length, (count // length - 1) * hop + rank)

    def weights_of(self, stage: Stage, level: int) -> NDArray[np.float32]:
        """What the samples of a tile add to each point, at a level of a stage; empty where they are all the same."""
        if self.kind != "lowpass":
            return np.empty(0, dtype=np.float32)
        return weights(stage.tile, stage.log2_step + level, self.around).astype(np.float32)

    def frames_of(self, tiled: NDArray[np.float32], tile: int, level: int) -> NDArray[np.float32]:
        """Pool tiles (n, tiles) of a whole segment by rank over its frames; ``level`` is that of what was tiled."""
        length = tile if self.kind != "median" else 1 << level
        first, count = self.halo // length, self.T // length
        within = tiled[:, first : first + self.frames * count].reshape(-1, self.frames, count)
        if self.kind == "max":
            return np.asarray(within.max(axis=-1))
        out = np.empty((tiled.shape[0], self.frames), dtype=np.float32)
        medians(tiled, first, count, *_desk(count), out)
        return out

    def frames_from(
        self, stage: Stage, level: int, moments: NDArray[np.float32], signals: int, windows: NDArray[np.intp]
    ) -> NDArray[np.floating]:
        """Pool what windows' tiles add up to, (rows of a window, lanes), over frames, shape (signals, frames).

        The result lives until the next one.
        """
        rows, lanes = moments.shape
        every = -(-self.samples // (stage.step << stage.log2_step))
        turned = SCRATCH.flat("turned", lanes * rows)
        if self.kind in {"lowpass", "mean"}:
            # points of neighbouring windows are the same, tiles are not
            spacing = self.around.spacing if self.T_low else stage.tile
            hop = (stage.step << stage.log2_step) // spacing
            summed = self._room(signals, (every - 1) * hop + rows, spacing, "float32")
            weights = self._weights_of_frames(self.around if self.T_low else stage.tile, "float32")
            out = SCRATCH.flat("pooled", signals * self.frames).reshape(signals, -1)
            into = summed, *weights, 2.0 ** (stage.log2_step + level), out
            sums.pool_points(moments.reshape(-1), lanes // LANES, turned, signals, windows, hop, *into)
            return out
        if self.kind == "median":
            # what is kept lies in rows already
            turned = moments.reshape(-1)
        else:
            sums.turn(moments.reshape(-1), rows, lanes // LANES, turned)
        tiled = turned[: signals * windows.size * rows].reshape(signals, -1)
        if windows.size < every:
            there = np.zeros((signals, every, rows), dtype=np.float32)
            there[:, windows] = tiled.reshape(signals, -1, rows)
            tiled = there.reshape(signals, -1)
        return self.frames_of(tiled, stage.tile, stage.log2_step + level)

    def _weights_of_frames(self, around: Points | int, kind: str) -> tuple[NDArray[np.floating], int]:
        """What points, or tiles of a length, weigh in a frame, and the first of them, counted from the segment's."""
        if isinstance(around, int):
            return np.full(self.T // around, 1.0 / self.T, dtype=kind), self.halo // around
        first, table = low_pass_table(around, self.T, kind)
        return table, self.halo // around.spacing + around.reach + first

    def records(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pool records themselves, (n, samples), over frames: weighted or plain means, whatever the kind."""
        if self.kind != "lowpass":
            within = rows[:, self.halo : self.halo + self.frames * self.T].reshape(-1, self.frames, self.T)
            return np.asarray(within.mean(axis=-1))
        around = points(max(self.around.spacing // 2, 1), self.T, signed=True)
        added = rows.reshape(rows.shape[0], -1, around.spacing) @ weights(around.spacing, 0, around)
        count, rank = added.shape[1:]
        summed = self._room(rows.shape[0], count + rank - 1, around.spacing, "float64")
        sums.overlap(added, np.arange(count), 1, summed)
        out = np.empty((rows.shape[0], self.frames))
        sums.combine(summed, *self._weights_of_frames(around, "float64"), 1.0, out)
        return out

    def _room(self, signals: int, count: int, spacing: int, kind: str) -> NDArray[Any]:
        """Room for points or tiles, shape (signals, phases, count / phases)."""
        phases = self.step // spacing
        each = -(-count // phases)
        return SCRATCH.flat("points", signals * phases * each, kind).reshape(signals, phases, each)

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
        seen
            For each window the first frame in which it has any share, and the one after the last, shape (2, windows).
        """
        return _shares(self, stage.step << stage.log2_step, windows)

    def decay(self, stage: Stage, windows: bytes, sd: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """What is left at each frame of an error in each of some windows of a stage, as longer wavelets spread it.

        Parameters
        ----------
        stage, windows
            See `shares`.
        sd
            Standard deviation of the longest way through the wavelets [samples].

        Returns
        -------
        decay
            Shape (windows, frames), 1 where a frame touches the window.
        seen
            For each window the first frame at which anything is left, and the one after the last, shape (2, windows).
        """
        return _decay(self, stage.step << stage.log2_step, windows, math.hypot(sd, low_pass_sd(self.T_low)))


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
    seen = np.stack([some.argmax(axis=1), pooler.frames - some[:, ::-1].argmax(axis=1)])
    return shares.astype(np.float32), np.where(some.any(axis=1), seen, 0)


@lru_cache(maxsize=64)
def _decay(pooler: Pooler, stride: int, windows: bytes, sd: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What is left of each window's errors at each frame."""
    numbers = np.frombuffer(windows, dtype=np.intp)[:, np.newaxis]
    begin = pooler.halo + np.arange(pooler.frames) * float(pooler.step)
    end = begin + (0 if pooler.T_low else pooler.T)
    distance = np.maximum(np.maximum(begin - (numbers + 1.0) * stride, numbers * float(stride) - end), 0.0)
    some = distance < HALO_SD * sd
    seen = np.stack([some.argmax(axis=1), pooler.frames - some[:, ::-1].argmax(axis=1)])
    left = np.exp(-0.5 * (distance / sd) ** 2).astype(np.float32)
    return left, np.where(some.any(axis=1), seen, 0)

"""How a segment is transformed fast: the plan of the cascade.

A wavelet of scale j says all it has to say at one sample in 2^j, and feels nothing further away than a few of its own
widths. So the work is laid out in stages, each at a quarter of the rate before: stage 0 sees the record, in windows of
a few thousand samples with the short halo of its short wavelets, and hands on what longer wavelets need, the record
and its moduli, low-passed and decimated by four. A stage's windows have the same number of samples whatever its rate,
so that they stay in the cache, and the halo that long wavelets ask for costs as little as that of short ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.special
from numpy.typing import NDArray

from gravdask.scattering.filters import Band, Wavelet, morlet, paths, wavelets
from gravdask.scattering.geometry import HALO_SD
from gravdask.scattering.kernel import Tree

WINDOWS = (1 << 13, 1 << 12, 1 << 11)
"""Samples of a window in the first stage, the second, and all later ones.

Sixteen windows of the first and their spectra just fit the second-level cache. Later stages cost little, and short
windows keep what is loud away from what is quiet.
"""
EDGE_SD = 7.5
"""Standard deviations of a wavelet that count as its band where bands must be kept apart: 6e-13 of its peak."""
FADE = 128
"""Samples at either end of a window of the record over which it is faded to zero, beside the halo.

Where the end of a window meets its beginning there would be a step, and single precision would bury the quiet bands of
a red record in the error of that step.
"""
FAST_CUT = 1e-13
"""Share of a filter's peak below which its bins count as zero here."""


Key = tuple[int, ...]
"""A signal: the numbers of the wavelets that made it."""


@dataclass(frozen=True)
class Node:
    """Signals that are made alike: the same wavelet applied to each signal of a group.

    Attributes
    ----------
    rows, parents
        Path number of each signal, and of what it is made from, shape (n_signals,).
    level
        Decimation, as a power of two relative to the stage's rate.
    start, values
        The wavelet's transfer function on the bins of what it is applied to (`fused.lay`).
    gains
        What kymatio's factors 2^-level make of each signal when it is pooled, shape (n_signals,).
    error_gain
        Factor by which the wavelet changes the errors of what it is applied to: twice its gain for white noise, for
        errors are not quite that.
    slots
        Where each signal is handed to in the next stage's group of this order, or None.
    children
        The wavelets of the next order that follow at this stage.
    """

    rows: NDArray[np.intp]
    parents: NDArray[np.intp]
    level: int
    start: int
    values: NDArray[np.float32]
    gains: NDArray[np.float32]
    error_gain: np.float32
    slots: NDArray[np.intp] | None
    children: tuple[Node, ...]


@dataclass(frozen=True)
class Group:
    """Signals that one stage takes in and treats alike: the record (order 0), or moduli of an earlier stage.

    Attributes
    ----------
    order
        0 for the record, 1 for first-order moduli, 2 for second-order ones.
    signals
        Number of signals.
    rows
        Path number of each, shape (n_signals,).
    nodes
        The wavelets applied to each.
    slots
        Where each signal is handed to in the next stage, or None.
    """

    order: int
    signals: int
    rows: NDArray[np.intp]
    nodes: tuple[Node, ...]
    slots: NDArray[np.intp] | None


@dataclass(frozen=True)
class Stage:
    """One rate of the cascade.

    Attributes
    ----------
    log2_step
        The stage's samples are 2^log2_step samples of the record apart.
    samples, halo, step
        Window length, halo on each side, and stride of the windows [samples of the stage].
    tile
        Moduli are summed over so many samples of the record before they are pooled over frames.
    depth
        Coarsest decimation in this stage, as a power of two relative to its rate.
    groups
        What it takes in.
    responses
        Transfer function of what is handed on, for the order-0 group (True) and the others (False), by the level of
        what it is applied to; see `fused.lay_real`.
    """

    log2_step: int
    samples: int
    halo: int
    step: int
    tile: int
    depth: int
    groups: tuple[Group, ...]
    responses: dict[tuple[bool, int], NDArray[np.floating]]


@dataclass(frozen=True)
class Shape:
    """What the plan depends on beside the network: how moduli are pooled.

    Attributes
    ----------
    tile_limit
        Tiles divide this: the frame step, or its largest power of two [samples].
    tile_wish
        Tiles are not longer than this unless decimation asks for it [samples].
    """

    tile_limit: int
    tile_wish: int


def stage_of(level: int, deepest: int) -> int:
    """Stage that holds the wavelets of a decimation: {0, 1, 2}, {3, 4}, {5, 6}, ..., the last one whatever remains."""
    return min(max(level - 1, 0) // 2, max(deepest // 2, 1) - 1)


@dataclass(frozen=True)
class _Draft:
    """Bookkeeping while a plan is made: which wavelets belong to which stage, and what reaches over which distance."""

    tree: Tree
    banks: tuple[tuple[Wavelet, ...], ...]
    deepest: int

    def stage(self, wavelet: Wavelet) -> int:
        """Stage of a wavelet."""
        return stage_of(self.tree.level(wavelet.j), self.deepest)

    def later(self, order: int, stage: int) -> list[Wavelet]:
        """Wavelets of the orders above ``order`` that stand in stages after ``stage``."""
        return [w for bank in self.banks[order:] for w in bank if self.stage(w) > stage]

    def gain(self, key: tuple[int, ...]) -> float:
        """Kymatio's factors 2^-level of all filters that follow the wavelets of a path."""
        levels = (self.tree.level(bank[n].j) for bank, n in zip(self.banks, key, strict=False))
        return float(2.0 ** -sum(levels)) if self.tree.level_gain else 1.0

    def edges(self, order: int, stage: int) -> tuple[float, float]:
        """Middle and standard deviation of the low-pass that hands signals on [cycles per sample of the stage]."""
        top = max(w.xi + EDGE_SD * w.sigma for w in self.later(order, stage)) * 4.0**stage
        # what aliases must stay above the highest frequency that is still wanted
        return 0.125, max(0.125 - top, 0.0) / EDGE_SD

    def reach(self, stage: int) -> float:
        """Largest standard deviation of what a window of the stage does to its record [samples of the record]."""
        inside = [[w.sd_samples for w in bank if self.stage(w) <= stage] for bank in self.banks]
        widest = math.hypot(*(max(sds, default=0.0) for sds in inside))
        orders = [o for o in range(len(self.banks)) if self.later(o, stage)]
        passes = [1.0 / (2.0 * math.pi * self.edges(o, stage)[1]) * 4.0**stage for o in orders]
        return math.hypot(widest, max(passes, default=0.0))


def _draft(tree: Tree) -> _Draft:
    """Sort the wavelets of a network into stages."""
    banks = wavelets(tree.J, tree.Q)
    return _Draft(tree, banks, max(tree.level(w.j) for bank in banks for w in bank))


@lru_cache(maxsize=64)
def coarsest(tree: Tree) -> int:
    """Largest decimation of the network [samples]."""
    return int(1 << _draft(tree).deepest)


@lru_cache(maxsize=64)
def reach_sd(tree: Tree) -> float:
    """Standard deviation of the longest way through the cascade, without pooling [samples of the record]."""
    draft = _draft(tree)
    widest = math.hypot(*(max(w.sd_samples for w in bank) for bank in draft.banks))
    passes = [
        1.0 / (2.0 * math.pi * draft.edges(o, s)[1]) * 4.0**s
        for s in range(stage_of(draft.deepest, draft.deepest))
        for o in range(len(draft.banks))
        if draft.later(o, s)
    ]
    return math.hypot(widest, *passes)


@lru_cache(maxsize=16)
def plan(tree: Tree, shape: Shape, longest: int) -> tuple[Stage, ...]:
    """Lay out the cascade for segments of up to ``longest`` samples; kept for the life of the process.

    Filters are kymatio's at the stage's own rate: a wavelet of centre xi and width sigma, sampled at a quarter of the
    rate, is the wavelet of 4 xi and 4 sigma.
    """
    draft = _draft(tree)
    numbers = {p.wavelets: n for n, p in enumerate(paths(tree.J, tree.Q, tree.max_order))}
    stages: list[Stage] = []
    incoming: list[list[Key]] = [[()], *([] for _ in draft.banks[1:])]
    for number in range(stage_of(draft.deepest, draft.deepest) + 1):
        stage, incoming = _stage(draft, shape, longest, number, incoming, numbers)
        stages.append(stage)
    return tuple(stages)


@dataclass(frozen=True)
class _Builder:
    """One stage in the making: who goes in, who comes out, and the windows in between.

    Attributes
    ----------
    draft
        The network.
    numbers
        Path number of each signal.
    number, samples
        Number of the stage, and length of its windows.
    outgoing
        What is handed on, by order; filled while nodes are made.
    """

    draft: _Draft
    numbers: dict[Key, int]
    number: int
    samples: int
    outgoing: list[list[Key]]

    def rows(self, keys: list[Key]) -> NDArray[np.intp]:
        """Path numbers of signals."""
        return np.array([self.numbers[key] for key in keys], dtype=np.intp)

    def slots(self, order: int, keys: list[Key]) -> NDArray[np.intp] | None:
        """Places of signals in the next stage, if a wavelet of a later stage follows them."""
        bank = self.draft.banks[order] if order < len(self.draft.banks) else ()
        later = [n for n, w in enumerate(bank) if self.draft.stage(w) > self.number and (*keys[0], n) in self.numbers]
        # what follows a signal follows it directly, or follows what it makes at this stage
        if not later:
            return None
        mine = self.outgoing[order]
        mine.extend(keys)
        return np.arange(len(mine) - len(keys), len(mine))

    def nodes(self, order: int, keys: list[Key], level: int) -> tuple[Node, ...]:
        """Wavelets of an order (counted from 0) applied to signals that stand at a level."""
        bank = self.draft.banks[order] if order < len(self.draft.banks) else ()
        here = [n for n, w in enumerate(bank) if self.draft.stage(w) == self.number and (*keys[0], n) in self.numbers]
        return tuple(self._node(order, [(*key, n) for key in keys], level) for n in here)

    def _node(self, order: int, keys: list[Key], level: int) -> Node:
        """One wavelet applied to signals that stand at a level."""
        wavelet = self.draft.banks[order][keys[0][-1]]
        band = _filter(wavelet, self.samples, self.number, level)
        bins = self.samples >> level
        own = max(self.draft.tree.level(wavelet.j) - 2 * self.number, level)
        return Node(
            rows=self.rows(keys),
            parents=self.rows([key[:-1] for key in keys]),
            level=own,
            start=band.start,
            values=(band.values / bins).astype(np.float32),
            gains=np.array([self.draft.gain(key) for key in keys], dtype=np.float32),
            error_gain=np.float32(min(2.0 * math.sqrt(float(np.sum(band.values**2)) / bins), 1.0)),
            slots=self.slots(order + 1, keys),
            children=self.nodes(order + 1, keys, own),
        )


def _stage(
    draft: _Draft, shape: Shape, longest: int, number: int, incoming: list[list[Key]], numbers: dict[Key, int]
) -> tuple[Stage, list[list[Key]]]:
    """Make one stage, and tell which signals it hands on."""
    levels = [draft.tree.level(w.j) for bank in draft.banks for w in bank if draft.stage(w) == number]
    depth = max(levels, default=2 * number) - 2 * number
    tile = max(min(shape.tile_limit, shape.tile_wish), 1 << (depth + 2 * number))
    grain = max(tile >> (2 * number), 2 << depth, 8)
    reach = draft.reach(number) / 4.0**number
    samples, halo, step = _window(reach, grain, -(-longest >> (2 * number)), WINDOWS[min(number, 2)])
    builder = _Builder(draft, numbers, number, samples, [[] for _ in draft.banks])
    groups = tuple(
        Group(order, len(keys), builder.rows(keys), builder.nodes(order, keys, 0), builder.slots(order, keys))
        for order, keys in enumerate(incoming)
        if keys
    )
    responses = {
        (order == 0, level): _response(draft.edges(order, number), samples, level, order == 0)
        for order in range(min(len(draft.banks), 2))
        if draft.later(order, number)
        for level in (0, 1)
    }
    return Stage(2 * number, samples, halo, step, tile, depth, groups, responses), builder.outgoing


def _window(reach: float, grain: int, longest: int, shortest: int) -> tuple[int, int, int]:
    """Length, halo and stride of a stage's windows [samples of the stage], the stride a multiple of ``grain``."""
    halo = math.ceil(HALO_SD * reach) + FADE
    samples = shortest
    while (step := (samples - 2 * halo) // grain * grain) < samples // 2:
        samples *= 2
    # a segment that fits a shorter window needs no longer one
    while samples > 1024 and (shorter := (samples // 2 - 2 * halo) // grain * grain) >= longest:
        samples, step = samples // 2, shorter
    return samples, (samples - step) // 2, step


@lru_cache(maxsize=2048)
def _filter(wavelet: Wavelet, samples: int, number: int, level: int) -> Band:
    """A wavelet on the bins of a signal at a level of a stage."""
    scale = 4.0**number
    band = morlet(samples, wavelet.xi * scale, wavelet.sigma * scale, FAST_CUT)
    return band if level == 0 else band.folded(samples >> level, FAST_CUT)


def _response(edges: tuple[float, float], samples: int, level: int, double: bool) -> NDArray[np.floating]:
    """Response of the low-pass before decimation to a quarter of the stage's rate, norm included."""
    middle, sd = edges
    top = middle + EDGE_SD * sd
    bins = min(math.ceil(top * samples), (samples >> level) // 2) + 1
    frequency = np.arange(bins) / samples
    response = 0.5 * scipy.special.erfc((frequency - middle) / (math.sqrt(2.0) * sd))
    return np.asarray(response / (samples >> level), dtype=np.float64 if double else np.float32)

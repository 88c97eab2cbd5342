"""The fast transform of one segment: sixteen windows at a time through the cascade, in single precision, certified.

Single precision is an absolute error: about 1e-7 of the rms of whatever passed through one transform. That is nothing
beside noise, and too much in the quiet hours of a window that also holds a great earthquake. So the engine measures the
rms of every signal in every window and says of each coefficient whether it stands clear of that error; those that do
not are doubtful, and whoever calls it lets `kernel` do them in double precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gravdask.gaps import valid_runs
from gravdask.scattering import fused
from gravdask.scattering.batches import Found, GroupRun
from gravdask.scattering.cascade import Node, Shape, Stage, plan, reach_sd
from gravdask.scattering.filters import paths
from gravdask.scattering.geometry import HALO_SD, low_pass_sd
from gravdask.scattering.kernel import Tree
from gravdask.scattering.lanes import LANES
from gravdask.scattering.scratch import Signals
from gravdask.scattering.tiles import Pooler

CLEAR = 4e-3
"""Least pooled modulus, as a share of the rms of its window, that single precision gives to 5e-5 of itself."""
CLEAR_OF_CHANCE = 2e-2
"""What is added to that for a single sample; by chance, errors of more samples cancel as their square root."""
CLEAR_OF_PEAK = 1.5e-3
"""The same as a share of the largest modulus, as far as a frame holds of it: sums are rounded in proportion."""
FLOOR = 1e-17
"""Least pooled modulus, as a share of the largest sample, whose square single precision can hold."""


def scatter_segment(
    record: NDArray[np.float64], tree: Tree, pooler: Pooler, wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Transform one segment in single precision.

    Parameters
    ----------
    record
        Finite samples of the segment and its halo, shape (pooler.samples,).
    tree
        The network.
    pooler
        Pools moduli over the frames of the segment.
    wanted
        Frames that are asked for, shape (frames,); windows that none of them needs are not transformed.

    Returns
    -------
    coefficients
        Shape (n_paths, frames), paths in kymatio's order; row 0 (order 0), and frames not wanted, mean nothing.
    doubtful
        Coefficients that may be further from double precision than 1e-4 of themselves, shape (n_paths, frames).
    """
    result = np.zeros((len(paths(tree.J, tree.Q, tree.max_order)), wanted.size), dtype=np.float32)
    handed, doubtful = np.zeros_like(result), np.zeros(result.shape, dtype=bool)
    largest = float(np.abs(record).max())
    if largest == 0.0:
        return result, doubtful
    # a power of two costs no digit, and squares stay within single precision
    scale = 2.0 ** math.frexp(largest)[1]
    stages = plan(tree, Shape(pooler.tile_limit, pooler.tile_wish), record.size)
    whole = bool(wanted.all())
    signals = _room(stages[0], record.size, 0, True)
    np.divide(record, scale, out=signals[0].rows[0, stages[0].halo : stages[0].halo + record.size])
    for number, stage in enumerate(stages):
        sinks = {} if stage is stages[-1] else _room(stages[number + 1], record.size, stage.step // 4, whole)
        windows = _windows(stage, tree, pooler, wanted)
        for group in stage.groups:
            run = GroupRun(stage, group, pooler, windows, sinks)
            run.run(signals[group.order])
            _collect_group(run, _Into(result, doubtful, handed, 3.0 * reach_sd(tree)))
        signals = sinks
    result *= np.float32(scale)
    return result, doubtful & wanted


def _room(stage: Stage, samples: int, written: int, whole: bool) -> dict[int, Signals]:
    """Make room for what a stage takes in, by order.

    The stage before writes ``written`` samples at once, and if ``whole`` leaves none out.
    """
    longest = -(-samples >> stage.log2_step)
    windows = -(-longest // stage.step)
    # what is written may end behind the last window
    length = max((windows - 1) * stage.step + stage.samples, stage.halo + longest + written)
    return {
        group.order: Signals(
            (stage.log2_step, group.order),
            group.signals,
            stage.halo,
            length,
            written,
            "float64" if group.order == 0 else "float32",
            longest if whole else 0,
        )
        for group in stage.groups
    }


def _windows(stage: Stage, tree: Tree, pooler: Pooler, wanted: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Windows of a stage that the wanted frames need."""
    stride = stage.step << stage.log2_step
    every = -(-pooler.samples // stride)
    needed = np.zeros(every, dtype=bool)
    reach = HALO_SD * (reach_sd(tree) if not pooler.T_low else math.hypot(reach_sd(tree), low_pass_sd(pooler.T_low)))
    for first, last in valid_runs(wanted):
        begin = pooler.halo + int(first) * pooler.step - reach
        end = pooler.halo + int(last - 1) * pooler.step + pooler.T + reach
        needed[max(int(begin // stride), 0) : int(end // stride) + 1] = True
    return np.flatnonzero(needed)


@dataclass(frozen=True)
class _Into:
    """Arrays of all paths and frames, shape (n_paths, frames), and how far errors spread.

    Attributes
    ----------
    result, doubtful
        What `scatter_segment` gives.
    handed
        Errors that signals take with them to later stages.
    spread
        How far from where it stands an error is seen by the wavelets that follow [samples of the record].
    """

    result: NDArray[np.float32]
    doubtful: NDArray[np.bool_]
    handed: NDArray[np.float32]
    spread: float


def _collect_group(run: GroupRun, into: _Into) -> None:
    """Collect what a group has found."""
    taken = np.zeros(run.vectors * LANES, dtype=np.float32)
    if run.group.order:
        # what was handed on is single precision, the record is double
        taken = np.float32(CLEAR) * np.sqrt(run.energies / np.float32(run.stage.samples))
        _hand_errors(run, run.group.rows, taken, into)
    for node, found in zip(run.group.nodes, run.found, strict=True):
        _collect(run, node, found, taken, float(node.error_gain) if run.group.order else 0.0, into)


def _hand_errors(run: GroupRun, rows: NDArray[np.intp], errors: NDArray[np.floating], into: _Into) -> None:
    """Note the errors of windows, shape (lanes,), with the frames that later stages see them in."""
    reached = run.pooler.reached(run.stage, run.windows.tobytes(), into.spread)
    mine = errors[: run.lanes].reshape(rows.size, run.windows.size).astype(np.float32)
    fused.hand_errors(mine, reached, rows, into.handed)


def _collect(
    run: GroupRun, node: Node, found: Found, parent_errors: NDArray[np.floating], gain: float, into: _Into
) -> None:
    """Pool what the batches found of a node and its followers over frames; mark what is too quiet to be sure of.

    ``parent_errors`` are those of the windows that the node was made from, shape (lanes,). Where these do not know what
    happened at an earlier stage, ``gain`` times the errors that were handed on are added.
    """
    stage, signals, count = run.stage, run.group.signals, run.windows.size
    pooled = run.pooler.frames_from(stage, node.level, found.moments, signals, run.windows)
    into.result[node.rows] = pooled * node.gains[:, np.newaxis]
    errors = _clear_of(run, node, found) + node.error_gain * parent_errors
    shares, spans = run.pooler.shares(stage, run.windows.tobytes())
    mine = errors[: run.lanes].reshape(signals, count).astype(np.float32)
    fused.doubt(pooled, mine, shares, spans, FLOOR, node.rows, node.parents, gain, into.handed, into.doubtful)
    if node.slots is not None:
        _hand_errors(run, node.rows, errors, into)
    for child, follower in zip(node.children, found.children, strict=True):
        _collect(run, child, follower, errors, 0.0, into)


def _clear_of(run: GroupRun, node: Node, found: Found) -> NDArray[np.floating]:
    """Least pooled modulus that is to be believed, of each window.

    Beside what is rounded in proportion to the window's rms, there is what is rounded in proportion to its largest
    modulus p: a window of energy E holds no more than E / p^2 samples of that size.
    """
    rms = np.sqrt(found.energies / np.float32(run.stage.samples >> node.level))
    length = (4 if run.pooler.T_low else 1) * run.pooler.T >> (run.stage.log2_step + node.level)
    samples = np.float32(1 if run.pooler.kind == "max" else max(length, 1))
    peak = np.sqrt(found.peaks)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_peak = np.fmin(peak, found.energies / (peak * samples))
    return np.asarray((CLEAR + CLEAR_OF_CHANCE / np.sqrt(samples)) * rms + CLEAR_OF_PEAK * of_peak)

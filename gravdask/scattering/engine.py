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
from gravdask.scattering import certify
from gravdask.scattering.batches import GroupRun
from gravdask.scattering.cascade import Node, Stage, reach_sd
from gravdask.scattering.filters import paths
from gravdask.scattering.geometry import HALO_SD, low_pass_sd
from gravdask.scattering.kernel import Tree
from gravdask.scattering.program import Program, programs
from gravdask.scattering.scratch import SCRATCH, Signals
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
    handed = SCRATCH.flat("handed", result.size).reshape(result.shape)
    handed.fill(0.0)
    doubtful = np.zeros(result.shape, dtype=bool)
    largest = certify.largest(record)
    if largest == 0.0:
        return result, doubtful
    # a power of two costs no digit, and squares stay within single precision
    scale = 2.0 ** math.frexp(largest)[1]
    whole = bool(wanted.all())
    stages = programs(tree, pooler)
    first = stages[0][0].stage
    signals = _room(stages[0], record.size, 0, True)
    np.divide(record, scale, out=signals[0].rows[0, first.halo : first.halo + record.size])
    for number, groups in enumerate(stages):
        stage = groups[0].stage
        sinks = {} if groups is stages[-1] else _room(stages[number + 1], record.size, stage.step // 4, whole)
        windows = _windows(stage, tree, pooler, wanted)
        for program in groups:
            run = GroupRun(program, pooler, windows)
            run.run(signals[program.group.order], sinks)
            _collect(run, _Into(result, doubtful, handed, reach_sd(tree)))
        signals = sinks
    result *= np.float32(scale)
    return result, doubtful & wanted


def _room(groups: tuple[Program, ...], samples: int, written: int, whole: bool) -> dict[int, Signals]:
    """Make room for what a stage takes in, by order.

    The stage before writes ``written`` samples at once, and if ``whole`` leaves none out.
    """
    stage = groups[0].stage
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
        for group in (program.group for program in groups)
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
        Standard deviation of the Gaussian that an error fades with, as wavelets that follow see it [samples of the
        record].
    """

    result: NDArray[np.float32]
    doubtful: NDArray[np.bool_]
    handed: NDArray[np.float32]
    spread: float


def _collect(run: GroupRun, into: _Into) -> None:
    """Pool what a group has found over frames; mark what is too quiet to be sure of."""
    program, pooler, stage = run.program, run.pooler, run.program.stage
    signals, windows = program.group.signals, run.windows
    errors = np.zeros((program.steps.size, run.lanes), dtype=np.float32)
    if program.group.order:
        # what was handed on is single precision, the record is double
        errors[0] = np.float32(CLEAR) * np.sqrt(run.energies[0, : run.lanes] / np.float32(stage.samples))
        _hand_errors(run, program.group.rows, errors[0], into)
    nothing = np.zeros(run.lanes, dtype=np.float32)
    shares, seen = pooler.shares(stage, windows.tobytes())
    for reader in program.readers:
        node, mine = reader.node, errors[reader.step]
        pooled = pooler.frames_from(stage, node.level, run.moments(reader), signals, windows)
        measure = _measure(stage, pooler, node)
        above = nothing if reader.parent < 0 else errors[reader.parent]
        found = run.energies[reader.step], run.peaks[reader.step]
        certify.least_clear(measure, *found, above, mine)
        to = node.rows, node.parents, node.gains, into.handed, into.result, into.doubtful
        certify.judge(measure, pooled, mine.reshape(signals, -1), shares, seen, *to)
        if node.slots is not None:
            _hand_errors(run, node.rows, mine, into)


def _hand_errors(run: GroupRun, rows: NDArray[np.intp], errors: NDArray[np.float32], into: _Into) -> None:
    """Note the errors of windows, shape (lanes,), with the frames that later stages see them in."""
    decay, seen = run.pooler.decay(run.program.stage, run.windows.tobytes(), into.spread)
    certify.hand_errors(errors.reshape(rows.size, run.windows.size), decay, seen, rows, into.handed)


def _measure(stage: Stage, pooler: Pooler, node: Node) -> certify.Measure:
    """What the errors of a node's coefficients are reckoned from."""
    length = (4 if pooler.T_low else 1) * pooler.T >> (stage.log2_step + node.level)
    averaged = 1 if pooler.kind == "max" else max(length, 1)
    return certify.Measure(
        samples=stage.samples >> node.level,
        averaged=averaged,
        of_rms=CLEAR + CLEAR_OF_CHANCE / math.sqrt(averaged),
        of_peak=CLEAR_OF_PEAK,
        gain=float(node.error_gain),
        floor=FLOOR,
    )

"""One segment with its halo and its gaps: the fast transform where it is sure, the careful one where it is not."""

from __future__ import annotations

import math
from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray

from gravdask.gaps import LEVEL_SAMPLES, level_gaps
from gravdask.scattering import certify, records
from gravdask.scattering.cascade import Shape, coarsest, plan, reach_sd
from gravdask.scattering.engine import scatter_segment
from gravdask.scattering.geometry import GAP_MARGIN, HALO_SD, TAPER_SAMPLES, fit_window, least_halo, low_pass_sd
from gravdask.scattering.kernel import Tree, scatter
from gravdask.scattering.lanes import LANES
from gravdask.scattering.pooling import FramePool, LowPassPool
from gravdask.scattering.scratch import SCRATCH
from gravdask.scattering.tiles import Pooler, medians_of_rows

LARGEST_SAMPLE = 1e37
"""Samples of a larger magnitude count as missing: no coefficient exceeds the largest sample, and must fit float32."""
FEW = 64
"""Samples of a frame that tell where its median is, about."""
SEGMENT_SAMPLES = 3 << 18
"""Length of a segment chosen without being asked for [samples], about; its halo is a small part of it."""
MOST_HALO = 0.15
"""Share of a segment that the halos may take where its length is not given."""


@lru_cache(maxsize=64)
def pooler_for(tree: Tree, kind: str, T: int, step: int, frames: int | None) -> Pooler:
    """Lay out segments of ``frames`` frames; None chooses as many as fill whole batches of windows."""
    one = Pooler(kind, T, step, 1, 0)
    grain = max(coarsest(tree), min(one.tile_limit, one.tile_wish))
    sd = math.hypot(reach_sd(tree), low_pass_sd(one.T_low))
    halo = -(-(math.ceil(HALO_SD * sd) + GAP_MARGIN) // grain) * grain
    if frames is None:
        batch = LANES * plan(tree, Shape(one.tile_limit, one.tile_wish), 1 << 62)[0].step
        batches = max(SEGMENT_SAMPLES // batch, 1)
        while batches * batch - 2 * halo < step or 2 * halo > MOST_HALO * batches * batch:
            batches *= 2
        return Pooler(kind, T, step, (batches * batch - 2 * halo) // step, halo)
    return Pooler(kind, T, step, frames, halo)


def transform_segment(
    window: NDArray[np.float64], tree: Tree, pooler: Pooler, n_paths: int, min_valid: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Transform one segment with its halo; see `ScatteringNetwork.transform_window`."""
    if certify.largest(window) <= LARGEST_SAMPLE:
        # nothing is missing: nothing need be looked for
        levelled = window - np.median(window[:: window.size // LEVEL_SAMPLES + 1])
        coefficients = _transform(levelled, tree, pooler, np.ones(pooler.frames, dtype=bool), n_paths)
        coefficients[0] = _order_zero_of_whole(window, pooler)
        return coefficients, np.ones(pooler.frames, dtype=np.float32)
    coefficients = np.full((n_paths, pooler.frames), np.nan, dtype=np.float32)
    valid = np.abs(window) <= LARGEST_SAMPLE
    if not valid.any():
        return coefficients, np.zeros(pooler.frames, dtype=np.float32)
    fraction = np.clip(pooler.records(valid[np.newaxis].astype(np.float64))[0], 0.0, 1.0)
    usable = fraction >= min_valid - 1e-9
    if usable.any():
        levelled = level_gaps(np.where(valid, window, np.nan), TAPER_SAMPLES)
        transformed = _transform(levelled, tree, pooler, usable, n_paths)
        transformed[0, usable] = _order_zero(window, valid, pooler, usable)
        coefficients[:, usable] = transformed[:, usable]
    return coefficients, fraction.astype(np.float32)


def _two_in_the_middle(
    frames: NDArray[np.float64], centres: NDArray[np.float64], widths: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Samples on either side of the median of each frame, (2, n), in units of its width about its centre."""
    count, samples = frames.shape
    # with one sample more, the smallest or the largest of all, there is one in the middle of an even number
    more = 1 - samples % 2
    squeezed = SCRATCH.flat("squeezed", count * (samples + more)).reshape(count, -1)
    records.squeeze(frames, centres, widths, squeezed)
    both = np.empty((2, count))
    for side in (0, 1):
        squeezed[:, samples:] = 2.0 * records.SQUEEZED * side
        both[side] = medians_of_rows(squeezed)
    return both - records.SQUEEZED


def _transform(
    record: NDArray[np.float64], tree: Tree, pooler: Pooler, usable: NDArray[np.bool_], n_paths: int
) -> NDArray[np.float32]:
    """Transform a levelled segment, shape (n_paths, frames); order 0 is left zero."""
    if numba.config.DISABLE_JIT:
        transformed = np.zeros((n_paths, pooler.frames), dtype=np.float32)
        doubtful = np.tile(usable, (n_paths, 1))
    else:
        transformed, doubtful = scatter_segment(record, tree, pooler, usable)
    _make_sure(record, tree, pooler, doubtful, transformed)
    return transformed


def _order_zero_of_whole(window: NDArray[np.float64], pooler: Pooler) -> NDArray[np.float64]:
    """Pool the samples themselves, none of which is missing."""
    offset = window[0]
    if pooler.kind == "lowpass":
        return np.asarray(pooler.records(window[np.newaxis] - offset)[0] + offset)
    frames = window[pooler.halo : pooler.halo + pooler.frames * pooler.T].reshape(pooler.frames, pooler.T)
    if pooler.kind == "mean":
        found = np.empty(pooler.frames)
        records.means(frames, float(offset), found)
        return found
    return _medians(frames) if pooler.kind == "median" else np.asarray(frames.max(axis=-1))


def _medians(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Medians of frames (n, samples) of finite samples, to 1e-6 of the scatter within each.

    The kernel of the moduli is ten times faster than NumPy, and takes single precision that is not negative. About the
    middle of a frame, and in units of its scatter, that is enough; what is far from it is only counted.
    """
    few = frames[:, :: max(frames.shape[1] // FEW, 1)]
    centres = np.median(few, axis=-1)
    widths = np.median(np.abs(few - centres[:, np.newaxis]), axis=-1)
    found = np.empty(frames.shape[0])
    sure = (widths > 0.0) & np.isfinite(1.0 / np.maximum(widths, 1e-300)) & (not numba.config.DISABLE_JIT)
    if sure.any():
        some = frames if sure.all() else frames[sure]
        middle = _two_in_the_middle(some, centres[sure], widths[sure])
        found[sure] = middle.mean(axis=0) * widths[sure] + centres[sure]
        sure[sure] = (np.abs(middle) < 0.99 * records.SQUEEZED).all(axis=0)
    if not sure.all():
        found[~sure] = np.median(frames[~sure], axis=-1)
    return found


def _make_sure(
    record: NDArray[np.float64],
    tree: Tree,
    pooler: Pooler,
    doubtful: NDArray[np.bool_],
    transformed: NDArray[np.float32],
) -> None:
    """Do doubtful coefficients in double precision, in windows of their own."""
    doubtful[0] = False
    if not doubtful.any():
        return
    least = least_halo(tree.J, tree.Q, pooler.T_low)
    grain = max(coarsest(tree), pooler.step if pooler.T_low else 1)
    geometry = fit_window(pooler.step, grain, least, None, 0.5 if pooler.T_low else 0.8)
    level = pooler.step.bit_length() - 1
    first = geometry.halo >> level
    pool: LowPassPool | FramePool = FramePool(pooler.kind, pooler.T, geometry.halo, geometry.frames)
    if pooler.T_low:
        pool = LowPassPool(geometry.samples, pooler.T, level, first, first + geometry.frames)
    padded = np.pad(record, geometry.samples)
    for begin in range(0, pooler.frames, geometry.frames):
        frames = slice(begin, min(begin + geometry.frames, pooler.frames))
        wanted = doubtful[1:, frames].any(axis=1)
        if wanted.any():
            at = geometry.samples + pooler.halo + begin * pooler.step - geometry.halo
            part = padded[at : at + geometry.samples]
            sure = scatter(part, tree, pool, geometry.frames, np.concatenate([[False], wanted]))
            np.copyto(transformed[:, frames], sure[:, : frames.stop - begin], where=doubtful[:, frames])


def _order_zero(
    window: NDArray[np.float64], valid: NDArray[np.bool_], pooler: Pooler, usable: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Pool the valid samples themselves in the usable frames; levelled gaps have no share in it."""
    offset = window[valid].mean()
    if pooler.kind in {"lowpass", "mean"}:
        both = np.stack([np.where(valid, window - offset, 0.0), valid.astype(np.float64)])
        total, weight = pooler.records(both)[:, usable]
        pooled: NDArray[np.float64] = total / weight + offset
        return pooled
    part = slice(pooler.halo, pooler.halo + pooler.frames * pooler.T)
    frames = window[part].reshape(pooler.frames, pooler.T)
    whole = valid[part].reshape(frames.shape).all(axis=1)
    found = np.empty(pooler.frames)
    # those that know NaN are ten times slower
    careful = np.nanmedian if pooler.kind == "median" else np.nanmax
    there = frames[usable & whole]
    found[usable & whole] = _medians(there) if pooler.kind == "median" else there.max(axis=-1)
    gappy = usable & ~whole
    if gappy.any():
        known = valid[part].reshape(frames.shape)[gappy]
        found[gappy] = careful(np.where(known, frames[gappy], np.nan), axis=-1)
    return found[usable]

"""Logarithmic, parent-normalised columns from scattering coefficients: pure kernels.

Two blocks are made, log S1 (how loud) and log(S2 / S1) (what shape), so that they can be used apart. The small number
inside logarithms and quotients is a millionth of the path's median: an absolute one means nothing where a sample may
be 1e-9 or 1e+9. Each channel's median per column is then taken off, so that a class is not a station.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import ModelError

RELATIVE_FLOOR = 1e-6
"""The small number in logarithms and quotients, as a share of the path's median."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Which paths become which columns.

    Attributes
    ----------
    path
        Path of each column, shape (n_columns,).
    parent
        First-order path that a second-order column is divided by; -1 for first-order columns.
    """

    path: NDArray[np.int64]
    parent: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of columns."""
        return int(self.path.size)

    def take(self, keep: NDArray[np.bool_]) -> Columns:
        """Only the columns where ``keep`` is true."""
        return Columns(self.path[keep], self.parent[keep])


def choose_columns(
    order: NDArray[np.int64],
    frequency_1: Array,
    frequency_2: Array,
    frame_seconds: float,
    blocks: Literal["both", "loudness", "shape"] = "both",
) -> Columns:
    """Choose the paths that become columns: orders 1 and 2, periods up to a quarter of a frame.

    Parameters
    ----------
    order, frequency_1, frequency_2
        Of each path; frequencies in Hz, NaN where the order has none; shape (n_paths,).
    frame_seconds
        Length of a frame [s]. Longer periods than a quarter of it would reach too far beyond the frame.
    blocks
        ``loudness`` for log S1, ``shape`` for log(S2 / S1), or both.

    Raises
    ------
    ModelError
        If no path is left.
    """
    least = 4.0 / frame_seconds * (1 - 1e-9)
    first = np.flatnonzero((order == 1) & (frequency_1 >= least))
    second = np.flatnonzero((order == 2) & (frequency_1 >= least) & (frequency_2 >= least))
    parents = np.array([int(np.argmin(abs(frequency_1[first] - frequency_1[p]))) for p in second], dtype=np.int64)
    path, parent = [], []
    if blocks != "shape":
        path.append(first)
        parent.append(np.full(first.size, -1))
    if blocks != "loudness" and second.size:
        path.append(second)
        parent.append(first[parents])
    if not sum(p.size for p in path):
        msg = (
            f"no path of frames of {frame_seconds:g} s has periods up to a quarter of them, for the blocks {blocks!r}; "
            "take longer frames (scattering.frame_samples) or other blocks (fit.blocks)"
        )
        raise ModelError(msg)
    return Columns(np.concatenate(path).astype(np.int64), np.concatenate(parent).astype(np.int64))


def path_medians(coefficients: NDArray[np.floating]) -> Array:
    """Median of each path over its valid frames, NaN for a path without any; coefficients (frame, path)."""
    valid = np.isfinite(coefficients).all(axis=1)
    if not valid.any():
        return np.full(coefficients.shape[1], np.nan)
    return np.asarray(np.median(coefficients[valid].astype(np.float64), axis=0))


def log_columns(coefficients: NDArray[np.floating], medians: Array, columns: Columns) -> Array:
    """Logarithms of the chosen paths, second-order ones divided by their parents.

    Parameters
    ----------
    coefficients
        Scattering coefficients of one channel, shape (n_frames, n_paths), NaN rows where a frame has none.
    medians
        The channel's median per path, shape (n_paths,); a path with a median of zero or NaN has no energy.
    columns
        What to compute.

    Returns
    -------
    logarithms
        Natural logarithms, shape (n_frames, n_columns); NaN where the frame or the path has no energy.
    """
    with np.errstate(invalid="ignore"):
        floor = np.where(medians > 0, RELATIVE_FLOOR * medians, np.nan)
    values = coefficients.astype(np.float64) + floor
    logarithms = np.log(values[:, columns.path])
    second = columns.parent >= 0
    logarithms[:, second] -= np.log(values[:, columns.parent[second]])
    return np.asarray(logarithms)


def column_medians(logarithms: Array) -> Array:
    """Median of each column over its finite rows, NaN for a column without any; shape (n_columns,)."""
    finite: NDArray[np.bool_] = np.isfinite(logarithms)
    return np.array([np.median(c[f]) if f.any() else np.nan for c, f in zip(logarithms.T, finite.T, strict=True)])


def normalise(logarithms: Array, medians: Array) -> Array:
    """Subtract a channel's medians; a column that the channel has no energy in stands at its median, zero.

    Rows of frames without coefficients stay NaN altogether.
    """
    centred = logarithms - medians
    absent = np.isnan(medians)
    if absent.any():
        present = np.asarray(np.isfinite(centred[:, ~absent]).all(axis=1) & ~absent.all())
        centred[:, absent] = np.where(present[:, None], 0.0, np.nan)
    return centred


def sampled(channel_seed: int, frames: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Choose frames by a hash of channel and frame number: any stratum of time is drawn at the same share.

    The choice of one frame does not depend on which others are looked at, hence not on chunks, workers or order.

    Parameters
    ----------
    channel_seed
        Number that stands for seed and channel.
    frames
        Absolute frame numbers.
    share
        Share to choose, 0 to 1.
    """
    # SplitMix64 (Steele, Lea & Flood 2014): a well-mixing bijection of 64-bit integers.
    with np.errstate(over="ignore"):
        z = frames.astype(np.uint64) + np.uint64(channel_seed % 2**64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return np.asarray(z < np.uint64(min(max(share, 0.0), 1.0) * (2**64 - 2**11)))

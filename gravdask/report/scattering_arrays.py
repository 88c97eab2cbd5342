"""Arrays behind the figures of the scattering network: tables of wavelets, images of paths, columns along time."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from gravdask.errors import ScatteringError
from gravdask.scattering.filters import morlet

MAX_COLUMNS = 1200
"""Columns of the picture along time; more frames are drawn several to a column."""


def wavelets_of(paths: xr.Dataset, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Give the wavelets that the paths use in one order, frequency rising.

    Parameters
    ----------
    paths
        `ScatteringNetwork.paths`.
    order
        1, 2 or 3.

    Returns
    -------
    frequency, bandwidth, j
        Centre and spectral standard deviation [Hz], octave; shape (wavelets,), empty if there is no such order.
    """
    if f"frequency_{order}" not in paths:
        return np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64)
    frequency = paths[f"frequency_{order}"].values
    known, rows = np.unique(frequency[np.isfinite(frequency)], return_index=True)
    rows = np.flatnonzero(np.isfinite(frequency))[rows]
    return known, paths[f"bandwidth_{order}"].values[rows], paths[f"j_{order}"].values[rows].astype(np.int64)


def power_gains(
    frequency: ArrayLike, bandwidth: ArrayLike, sampling_rate: float, samples: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evaluate the squared transfer functions of wavelets between frequency zero and half the sampling rate.

    Their sum over the wavelets is the Littlewood-Paley sum of a bank that is analytic: constant where no frequency is
    favoured. (For a real record half of it is the share of energy kept, as half the energy lies below zero.)

    Parameters
    ----------
    frequency, bandwidth
        Centres and spectral standard deviations [Hz], shape (wavelets,).
    sampling_rate
        Samples per second [Hz].
    samples
        Length of the window whose bins are given.

    Returns
    -------
    bins
        Frequencies [Hz], shape (samples // 2,), without zero.
    gains
        Shape (wavelets, samples // 2).
    """
    centres, widths = np.atleast_1d(np.asarray(frequency, float)), np.atleast_1d(np.asarray(bandwidth, float))
    gains = np.zeros((centres.size, samples))
    for row, (xi, sigma) in enumerate(zip(centres / sampling_rate, widths / sampling_rate, strict=True)):
        band = morlet(samples, xi, sigma)
        gains[row, np.arange(band.start, band.start + band.values.size) % samples] = band.values**2
    bins = np.arange(1, samples // 2 + 1)
    return bins * sampling_rate / samples, gains[:, bins]


def parents_of(paths: xr.Dataset) -> NDArray[np.intp]:
    """Give for each path the row of the path without its last wavelet, shape (path,); -1 for the zeroth order."""
    order = paths["order"].values
    names = [name for name in ("frequency_1", "frequency_2", "frequency_3") if name in paths]
    members = np.column_stack([paths[name].values for name in names]).tolist()
    keys = [tuple(row[: int(n)]) for row, n in zip(members, order, strict=True)]
    row_of = {key: row for row, key in enumerate(keys)}
    return np.array([row_of.get(key[:-1], -1) if key else -1 for key in keys], dtype=np.intp)


def over_parents(paths: xr.Dataset, coefficients: ArrayLike) -> NDArray[np.float64]:
    """Divide the second and higher orders by the coefficient they come from: how they swell, no longer how loud.

    Parameters
    ----------
    paths
        `ScatteringNetwork.paths`.
    coefficients
        Shape (path, ...).

    Returns
    -------
    ndarray
        Same shape; NaN where the parent is missing or zero. The zeroth and first order stay as they are.
    """
    values = np.array(coefficients, dtype=np.float64)
    rows, parents = np.flatnonzero(paths["order"].values > 1), parents_of(paths)
    lower = values[parents[rows]]
    usable = (parents[rows] >= 0).reshape(-1, *[1] * (values.ndim - 1)) & (lower > 0)
    result = values.copy()
    result[rows] = np.divide(values[rows], lower, out=np.full_like(lower, np.nan), where=usable)
    return result


def order_image(
    paths: xr.Dataset, values: ArrayLike, order: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], np.ma.MaskedArray]:
    """Arrange the values of the second or third order as an image.

    Parameters
    ----------
    paths
        `ScatteringNetwork.paths`.
    values
        One value a path, shape (path,).
    order
        2 or 3; a cell of the third order holds the largest value over its third wavelets.

    Returns
    -------
    frequency_2, frequency_1, image
        Frequencies of the rows and of the columns [Hz], rising, and the image, masked where there is no path or no
        finite value above zero. Columns are all first wavelets.
    """
    rows = np.flatnonzero(paths["order"].values == order)
    frequency_1, frequency_2 = wavelets_of(paths, 1)[0], np.unique(paths["frequency_2"].values[rows])
    line = np.searchsorted(frequency_2, paths["frequency_2"].values[rows])
    column = np.searchsorted(frequency_1, paths["frequency_1"].values[rows])
    image = np.full((frequency_2.size, frequency_1.size), np.nan)
    np.fmax.at(image, (line, column), np.asarray(values, dtype=np.float64)[rows])
    return frequency_2, frequency_1, positive(image)


def columns_of(
    start_ns: NDArray[np.int64], values: NDArray[np.float64], frame_seconds: float | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Lay frames out as columns without holes: where no frame follows at once, there is a column of NaN.

    Parameters
    ----------
    start_ns
        Starts [ns], rising, shape (frame,).
    values
        Shape (..., frame).
    frame_seconds
        Length of a frame [s]; by default the smallest step.

    Returns
    -------
    edges_ns, values
        Shapes (column + 1,) and (..., column).

    Raises
    ------
    ScatteringError
        If times do not rise, or there is one frame and no length.
    """
    steps = np.diff(start_ns)
    if start_ns.size == 0 or (steps <= 0).any():
        msg = f"figure of frames: {start_ns.size} frame times that do not all rise; expected at least one, rising"
        raise ScatteringError(msg)
    if frame_seconds is None and start_ns.size == 1:
        msg = "figure of frames: one frame and no length; give frame_seconds"
        raise ScatteringError(msg)
    length = int(steps.min()) if frame_seconds is None else round(frame_seconds * 1e9)
    # starts are rounded to whole nanoseconds: a hole is more than a hundredth of a frame
    ends = start_ns + length
    before = np.flatnonzero(steps - length > length // 100)
    edges = np.concatenate([np.insert(start_ns, before + 1, ends[before]), ends[-1:]])
    return edges, np.insert(values, before + 1, np.nan, axis=-1)


def thinned(
    edges: NDArray[np.float64], values: NDArray[np.float64], most: int = MAX_COLUMNS
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Draw several columns as one, the largest of each row, so that there are at most ``most``; also how many."""
    together = -(-values.shape[1] // most)
    firsts = np.arange(0, values.shape[1], together)
    return np.append(edges[:-1][firsts], edges[-1]), np.fmax.reduceat(values, firsts, axis=1), together


def positive(values: NDArray[np.float64]) -> np.ma.MaskedArray:
    """Mask what has no place on a logarithmic scale."""
    return np.ma.MaskedArray(values, mask=~(np.isfinite(values) & (values > 0)))


def cell_edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cell edges halfway between rising frequencies or periods on a logarithmic axis."""
    log = np.log(centres)
    steps = np.diff(log) if log.size > 1 else np.array([math.log(2)])
    middle = log[:-1] + steps[: log.size - 1] / 2
    return np.asarray(np.exp(np.concatenate([[log[0] - steps[0] / 2], middle, [log[-1] + steps[-1] / 2]])))

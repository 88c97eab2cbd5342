"""Compiled kernels that say which coefficients single precision gives, and which it may not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravdask.scattering.lanes import compiled


@compiled
def largest(samples: NDArray[np.float64]) -> float:
    """Largest magnitude among samples, infinite if one of them is not a number."""
    most = 0.0
    for value in samples:
        # said so that what is not a number is noticed
        if not abs(value) <= most:
            most = abs(value)
            if not most < np.inf:
                return np.inf
    return most


class Measure(NamedTuple):
    """What errors are reckoned from.

    Attributes
    ----------
    samples
        Samples of a window, at the level in question.
    averaged
        Samples that a coefficient is made of, about.
    of_rms, of_peak
        Least pooled modulus that is to be believed, as a share of the rms of its window, and of the largest modulus.
    gain
        Factor by which the wavelet changes the errors of what it was applied to.
    floor
        Least pooled modulus that is to be believed at all.
    """

    samples: int
    averaged: int
    of_rms: float
    of_peak: float
    gain: float
    floor: float


@compiled
def least_clear(
    measure: Measure,
    energies: NDArray[np.float32],
    peaks: NDArray[np.float32],
    above: NDArray[np.float32],
    errors: NDArray[np.float32],
) -> None:
    """Least pooled modulus that is to be believed, of each window, to ``errors``; all shape (windows of all signals,).

    A share of the window's rms, and one of its largest modulus p: but a window of energy E holds no more than E / p^2
    samples of that size, which is little in a mean of many. To that come the errors ``above`` of what it was made from.
    """
    for n in range(errors.size):
        peak = np.sqrt(peaks[n])
        most = peak
        # said so that what is not a number stays that
        if peak > 0 and energies[n] < peak * peak * measure.averaged:
            most = energies[n] / (peak * measure.averaged)
        rms = np.sqrt(energies[n] / measure.samples)
        errors[n] = measure.of_rms * rms + measure.of_peak * most + measure.gain * above[n]


@compiled
def judge(
    measure: Measure,
    pooled: NDArray[np.float32],
    errors: NDArray[np.float32],
    shares: NDArray[np.float32],
    seen: NDArray[np.int64],
    rows: NDArray[np.intp],
    parents: NDArray[np.intp],
    gains: NDArray[np.float32],
    handed: NDArray[np.float32],
    result: NDArray[np.float32],
    doubtful: NDArray[np.bool_],
) -> None:
    """Write ``gains[n]`` times ``pooled[n, m]`` to ``result[rows[n], m]``, and to ``doubtful`` whether it may be wrong.

    It may if it is less than the errors of its windows ask for. ``errors`` is (n, windows), ``shares`` (windows,
    frames) is the share of each window in each frame, and ``seen`` (2, windows) the first frame and the one after the
    last in which it has any. To that come the errors that came with the signal from earlier stages,
    ``handed[parents[n], m]``; they go on with what the wavelet makes of it, to ``handed[rows[n], m]``.
    """
    totals = np.empty(pooled.shape[1], dtype=np.float32)
    gain, floor = np.float32(measure.gain), np.float32(measure.floor)
    for n in range(pooled.shape[0]):
        mine, come, marks, into = pooled[n], handed[parents[n]], doubtful[rows[n]], result[rows[n]]
        gone = handed[rows[n]]
        for m in range(mine.size):
            error = gain * come[m]
            gone[m] = max(gone[m], error)
            totals[m] = max(error, floor)
        for w in range(errors.shape[1]):
            error, share = errors[n, w], shares[w]
            for m in range(seen[0, w], seen[1, w]):
                totals[m] += error * share[m]
        for m in range(mine.size):
            # said so that what is not a number is doubtful
            marks[m] = not mine[m] >= totals[m]
            into[m] = mine[m] * gains[n]


@compiled
def hand_errors(
    errors: NDArray[np.float32],
    decay: NDArray[np.float32],
    seen: NDArray[np.int64],
    rows: NDArray[np.intp],
    handed: NDArray[np.float32],
) -> None:
    """Raise ``handed[rows[n], m]`` to the largest ``errors[n, w] * decay[w, m]`` of the windows w.

    ``seen`` (2, windows) holds for each window the first frame at which anything is left of its errors, and the one
    after the last.
    """
    for n in range(errors.shape[0]):
        row = handed[rows[n]]
        for w in range(errors.shape[1]):
            error, left = errors[n, w], decay[w]
            for m in range(seen[0, w], seen[1, w]):
                row[m] = max(row[m], error * left[m])

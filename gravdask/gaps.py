"""Runs of valid samples between gaps, and records made finite for transforms without inventing a signal.

Where a transform needs numbers everywhere, the samples beside a gap are brought smoothly to their own level, the gap is
held there, and what follows is shifted so that no step remains: a band-pass sees none of it. Taking the mean or the
trend of each run off instead would let the result depend on where a window happens to cut the run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVEL_SAMPLES = 4096
"""Samples of a record whose median tells its level."""


def valid_runs(valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Find the contiguous runs of valid samples.

    Parameters
    ----------
    valid
        True where a sample is present, shape (n,).

    Returns
    -------
    runs
        Start and stop (exclusive) of every run, shape (n_runs, 2).
    """
    inner = np.flatnonzero(valid[1:] != valid[:-1]) + 1
    # a run may begin, and another end, with the record
    first, last = np.flatnonzero(valid[:1]), np.flatnonzero(valid[-1:]) + valid.size
    return np.concatenate([first, inner, last]).astype(np.int64).reshape(-1, 2)


def taper_weights(samples: int) -> NDArray[np.float64]:
    """Rising half of a cosine taper, strictly between 0 and 1, shape (samples,)."""
    weights: NDArray[np.float64] = np.sin(0.5 * np.pi * (np.arange(samples) + 0.5) / max(samples, 1)) ** 2
    return weights


def _edge_level(run: NDArray[np.float64], samples: int) -> float:
    """Mean of a run's first samples, weighted so that the one nearest the edge counts most."""
    head = run[:samples]
    weights = taper_weights(head.size)[::-1]
    return float(weights @ head / weights.sum())


def _taper_to_level(run: NDArray[np.float64], width: int, level: float) -> None:
    """Bring the start of a run smoothly to a level, in place."""
    run[:width] = level + (run[:width] - level) * taper_weights(width)


def level_gaps(record: NDArray[np.float64], taper: int, bridge: int = 5) -> NDArray[np.float64]:
    """Make a record finite everywhere by what lies near each gap alone, for transforms that do not see a constant.

    Single missing samples and other short gaps are bridged by a straight line. At a longer gap the samples on either
    side are brought smoothly to their own level there, the gap is held at that level, and all that follows is shifted
    so that no step remains across it. A band-pass sees neither the shift nor the flat stretch.

    Nothing depends on where the record was cut: further than twice the taper from the cut, two cuttings of one record
    differ by a constant only.

    Parameters
    ----------
    record
        Samples with NaN (or infinity) where one is missing, shape (n,).
    taper
        Length of the taper at each edge that adjoins a long gap [samples]; at most half of a run. The ends of the
        record itself are not gaps and stay as they are.
    bridge
        Gaps of at most this many samples are bridged [samples].

    Returns
    -------
    levelled
        A new float64 array of the same shape without NaN, near zero: the median of some of its samples is off.
    """
    levelled = np.array(record, dtype=np.float64)
    valid = np.isfinite(levelled)
    if not valid.any():
        return np.zeros_like(levelled)
    # a large constant offset comes off first, so that it costs no digits below
    levelled -= levelled[int(np.argmax(valid))]
    if not valid.all():
        valid |= _bridge(levelled, valid, bridge)
        _level_runs(levelled, valid_runs(valid), taper)
    # a mean would follow a single wild sample, and the digits of all others with it
    levelled -= np.median(levelled[:: levelled.size // LEVEL_SAMPLES + 1])
    return levelled


def _bridge(record: NDArray[np.float64], valid: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """Draw straight lines over the short gaps of a record in place; tell where."""
    gaps = valid_runs(~valid)
    inner = (gaps[:, 0] > 0) & (gaps[:, 1] < record.size) & (gaps[:, 1] - gaps[:, 0] <= longest)
    if not inner.any():
        return np.zeros(record.size, dtype=bool)
    edges = np.zeros(record.size + 1, dtype=np.int64)
    edges[gaps[inner, 0]] = 1
    edges[gaps[inner, 1]] = -1
    bridged: NDArray[np.bool_] = np.cumsum(edges)[:-1] > 0
    record[bridged] = np.interp(np.flatnonzero(bridged), np.flatnonzero(valid), record[valid])
    return bridged


def _level_runs(record: NDArray[np.float64], runs: NDArray[np.int64], taper: int) -> None:
    """Shift, taper and join the runs of a record, in place."""
    shift, shelf, last = 0.0, 0.0, 0
    for number, (start, stop) in enumerate(runs):
        run = record[start:stop]
        width = min(taper, run.size // 2)
        left, right = _edge_level(run, 2 * taper), _edge_level(run[::-1], 2 * taper)
        if start > 0:
            _taper_to_level(run, width, left)
        if stop < record.size:
            _taper_to_level(run[::-1], width, right)
        shift = left - shelf if number else 0.0
        shelf = shelf if number else left
        run -= shift
        record[last:start] = shelf
        shelf, last = right - shift, int(stop)
    record[last:] = shelf

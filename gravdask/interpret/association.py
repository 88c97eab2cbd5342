"""Whether a component gathers in predicted earthquake windows more than chance would have it.

The odds ratio compares a component's frames in and outside predicted windows with all other valid frames. Its null
distribution moves the windows of the whole network by one lag, wrapped on the common span of the frames, for every lag
of a grid of a part of a frame, zero included: the clustering of earthquakes, the autocorrelation of the components,
the gaps and the neighbourhood of the stations all stay as they are; only their relation in time is undone. Windows are
clipped to the span before they are moved, so the observed case is one member of the group of lags and p is at least
one over their number.

The count of a component's frames in the moved windows, for all lags at once, is a circular cross-correlation, taken by
FFT for each fraction of a frame; the counts come out as whole numbers, so the comparison of statistics is exact.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import fft

from gravdask.errors import GravdaskError
from gravdask.interpret.frames import FrameTable, IntArray, covered, visible_windows

FloatArray = NDArray[np.float64]
Counts = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
TABLE_COLUMNS = (
    "component",
    "frames",
    "frames_in",
    "share_in",
    "share_predicted",
    "odds_ratio",
    "odds_ratio_by_station",
    "lift",
    "p_value",
    "lags",
    "q_value",
    "correlation_time_s",
    "effective_shifts",
    "distinct_events",
)


def associate(
    frames: FrameTable,
    windows: pd.DataFrame,
    *,
    lag_step_frames: float = 0.5,
    n_components: int | None = None,
) -> pd.DataFrame:
    """Test every component for association with the predicted windows.

    Parameters
    ----------
    frames
        Components of all frames. Gaps (-1) take no part. A channel without windows counts as outside throughout.
    windows
        As `gravdask.catalog.predicted_windows` gives them; only visible ones count.
    lag_step_frames
        Step of the lags in frames, one over a whole number: the default is T/2.
    n_components
        Components of the model, if more than occur.

    Returns
    -------
    DataFrame
        One row per component: component, frames, frames_in (its frames in predicted windows), share_in (their share
        of its frames), share_predicted (share of all valid frames in predicted windows), odds_ratio (pooled over
        channels), odds_ratio_by_station (Mantel-Haenszel: channels compared each with itself), lift (share_in over
        share_predicted), p_value (share of lags whose odds ratio is at least the observed), lags (size of the group),
        q_value (Benjamini-Hochberg over these components), correlation_time_s (of the component's indicator),
        effective_shifts (lags over the correlation length of the statistic along them), distinct_events (see
        `hits_per_event`). NaN where there is nothing to compare: no frame of the component, none of another, none in
        a window or none outside.

    Raises
    ------
    GravdaskError
        If the step of the lags is not as described, or the windows lack a column.
    """
    parts = _parts(lag_step_frames)
    number = max(frames.n_components, n_components or 0)
    inside, predicted = lag_counts(frames, windows, number, parts)
    sizes = np.array([np.count_nonzero(frames.component == k) for k in range(number)], dtype=np.float64)
    valid = float(np.count_nonzero(frames.valid))
    hits = hits_per_event(frames, windows)
    events = hits.groupby("component")["event_id"].nunique()
    stratified = _odds_by_station(frames, windows, number)
    rows = []
    for k in range(number):
        statistic = odds_ratio(*_table(inside[k], predicted, sizes[k], valid))
        observed = float(statistic[0])
        testable = not np.isnan(observed)
        ratios = np.where(np.isnan(statistic), 1.0, statistic)
        share = _divide(float(inside[k, 0]), sizes[k])
        row = {
            "component": k,
            "frames": int(sizes[k]),
            "frames_in": int(inside[k, 0]),
            "share_in": share,
            "share_predicted": _divide(float(predicted[0]), valid),
            "odds_ratio": observed,
            "odds_ratio_by_station": stratified[k],
            "lift": _divide(share, _divide(float(predicted[0]), valid)),
            "p_value": float(np.mean(ratios >= observed * (1 - 1e-12))) if testable else np.nan,
            "lags": len(statistic),
            "q_value": np.nan,
            "correlation_time_s": correlation_length(frames.component == k, frames.valid) * frames.frame_s,
            "effective_shifts": len(ratios) / _series_length(ratios) if testable else np.nan,
            "distinct_events": int(events.get(k, 0)),
        }
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(TABLE_COLUMNS))
    table["q_value"] = benjamini_hochberg(table["p_value"].to_numpy(dtype=np.float64))
    return table


def lag_counts(
    frames: FrameTable, windows: pd.DataFrame, n_components: int, parts: int
) -> tuple[FloatArray, FloatArray]:
    """Count frames in predicted windows for every lag of the group.

    Parameters
    ----------
    frames, windows
        As in `associate`.
    n_components
        Components to count.
    parts
        Lags in one frame.

    Returns
    -------
    inside : (n_components, n_lags) frames of each component in the windows moved by each lag (later is positive)
    predicted : (n_lags,) valid frames in them
    """
    size = frames.n_frames
    counts = np.zeros((n_components + 1, size, parts))
    for part in range(parts):
        mask = shifted_mask(frames, windows, part, parts)
        spectrum = np.zeros((n_components + 1, size // 2 + 1), dtype=np.complex128)
        for row in range(len(frames.channels)):
            if not mask[row].any():
                continue
            moved = np.conj(fft.rfft(mask[row].astype(np.float64)))
            spectrum[-1] += fft.rfft(frames.valid[row].astype(np.float64)) * moved
            for k in range(n_components):
                here = frames.component[row] == k
                if here.any():
                    spectrum[k] += fft.rfft(here.astype(np.float64)) * moved
        counts[:, :, part] = np.rint(fft.irfft(spectrum, n=size, axis=-1))
    every = counts.reshape(n_components + 1, size * parts)
    return every[:-1], every[-1]


def shifted_mask(frames: FrameTable, windows: pd.DataFrame, part: int, parts: int) -> NDArray[np.bool_]:
    """Frames that overlap a visible window when all are clipped to the span and moved ``part / parts`` of a frame.

    What is moved beyond the end of the span comes in again at its start.

    Parameters
    ----------
    frames, windows
        As in `associate`.
    part, parts
        The move, at least 0 and less than a frame.
    """
    chosen = visible_windows(frames, windows)
    end = frames.n_frames * parts
    begin_ns = chosen["first_arrival_ns"].to_numpy(dtype=np.int64)
    end_ns = chosen["end_ns"].to_numpy(dtype=np.int64)
    begin = np.clip(frames.position(begin_ns, parts), 0, end)
    stop = np.clip(frames.position(end_ns, parts, up=True), 0, end)
    kept = (stop > begin) & (end_ns > begin_ns)
    rows = frames.rows_of(chosen)[kept]
    first = (begin[kept] + part) // parts
    last = -(-(stop[kept] + part) // parts)
    rows_n = len(frames.channels)
    mask = covered(rows, first, last, (rows_n, frames.n_frames + 1))
    mask[:, 0] |= mask[:, -1]  # less than a frame can have left the span: it is the first frame again
    return mask[:, :-1]


def odds_ratio(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> FloatArray:
    """Odds ratio a d / (b c) of 2 x 2 tables.

    Half a frame is added to every cell (Haldane) only where the denominator would be zero. The ratio is NaN where a
    whole row or column is empty, since then there is nothing to compare.

    Parameters
    ----------
    a, b
        Frames of the component in and outside predicted windows.
    c, d
        All other valid frames in and outside them.
    """
    zero = (b == 0) | (c == 0)
    half = np.where(zero, 0.5, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = ((a + half) * (d + half)) / ((b + half) * (c + half))
    empty = (a + b == 0) | (c + d == 0) | (a + c == 0) | (b + d == 0)
    return np.where(empty, np.nan, ratio)


def benjamini_hochberg(p_values: FloatArray) -> FloatArray:
    """Adjust p-values for the false-discovery rate (Benjamini & Hochberg 1995); NaN are no tests and stay NaN."""
    p_values = np.asarray(p_values, dtype=np.float64)
    result = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested])[::-1]]
    count = len(order)
    scaled = p_values[order] * count / np.arange(count, 0, -1)
    result[order] = np.minimum.accumulate(np.minimum(scaled, 1.0))
    return result


def owners(frames: FrameTable, windows: pd.DataFrame) -> tuple[IntArray, NDArray[np.object_]]:
    """Event to which each frame in a predicted window belongs: where windows overlap, the strongest predicted one.

    Returns
    -------
    owner : (n_channels, n_frames) index into ``events``, -1 outside all windows
    events : (n_events,) event ids
    """
    chosen = visible_windows(frames, windows)
    codes, events = pd.factorize(chosen["event_id"].astype(object))
    begin = chosen["first_arrival_ns"].to_numpy(dtype=np.int64)
    first, last = frames.spans(begin, chosen["end_ns"].to_numpy(dtype=np.int64))
    rows = frames.rows_of(chosen)
    strength = chosen["predicted_acceleration"].to_numpy(dtype=np.float64)
    owner = np.full(frames.component.shape, -1, dtype=np.int64)
    for i in np.lexsort((-begin, strength)):  # weak first, so that the strong ones paint over them
        owner[rows[i], first[i] : last[i]] = codes[i]
    return owner, np.asarray(events, dtype=object)


def hits_per_event(frames: FrameTable, windows: pd.DataFrame) -> pd.DataFrame:
    """Count which events a component's frames in predicted windows belong to.

    A frame belongs to one event at most, the one of the largest predicted acceleration at its channel among those
    whose windows it overlaps: the aftershocks in the two days after a great earthquake do not pass for as many
    independent confirmations.

    Returns
    -------
    DataFrame
        component, event_id, hits (frames), stations (channels with at least one), by component, then falling hits.
    """
    owner, events = owners(frames, windows)
    rows, columns = np.nonzero((owner >= 0) & frames.valid)
    found = pd.DataFrame(
        {
            "component": frames.component[rows, columns].astype(np.int64),
            "event_id": events[owner[rows, columns]],
            "row": rows,
        }
    )
    groups = found.groupby(["component", "event_id"], as_index=False)
    table = groups.agg(hits=("row", "size"), stations=("row", "nunique"))
    return table.sort_values(["component", "hits", "event_id"], ascending=[True, False, True], ignore_index=True)


def correlation_length(indicator: NDArray[np.bool_], valid: NDArray[np.bool_]) -> float:
    """Correlation time of a component's indicator, in frames.

    The integral ``1 + 2 * sum(autocorrelation)`` up to its first value that is not positive, of the indicators less
    each channel's own share, over pairs of valid frames of the same channel: 1 for frames that know nothing of each
    other, about the length of a run for a component that comes in runs. NaN if no channel has it in a part of its
    frames.

    Parameters
    ----------
    indicator, valid
        (n_channels, n_frames): where the component is, and where there is any.
    """
    size = indicator.shape[1]
    length = fft.next_fast_len(2 * size, real=True)
    products, pairs = np.zeros(length), np.zeros(length)
    for here, known in zip(indicator, valid, strict=True):
        if not known.any():
            continue
        centred = np.where(known, here - here[known].mean(), 0.0)
        products += fft.irfft(np.abs(fft.rfft(centred, n=length)) ** 2, n=length)
        pairs += fft.irfft(np.abs(fft.rfft(known.astype(np.float64), n=length)) ** 2, n=length)
    if size == 0 or products[0] <= 1e-9:
        return float("nan")
    covariance = products[:size] / np.maximum(np.rint(pairs[:size]), 1.0)
    return _integral(covariance / covariance[0])


def _series_length(series: FloatArray) -> float:
    """Correlation length of a circular series, in its steps, as in `correlation_length`; 1 if it is constant."""
    centred = series - series.mean()
    power = fft.irfft(np.abs(fft.rfft(centred)) ** 2, n=len(series))
    return _integral(power / power[0]) if power[0] > 1e-12 * max(1.0, float(np.sum(series**2))) else 1.0


def _integral(correlation: FloatArray) -> float:
    """Twice the sum of a correlation function from lag 1 to before its first value that is not positive, plus 1."""
    negative = np.flatnonzero(correlation[1:] <= 0)
    last = int(negative[0]) + 1 if len(negative) else len(correlation)
    return float(1 + 2 * correlation[1:last].sum())


def _table(inside: FloatArray, predicted: FloatArray, size: float, valid: float) -> Counts:
    """Cells of the 2 x 2 tables of one component for all lags, as `odds_ratio` takes them."""
    outside = size - inside
    return inside, outside, predicted - inside, valid - predicted - outside


def _odds_by_station(frames: FrameTable, windows: pd.DataFrame, n_components: int) -> FloatArray:
    """Mantel-Haenszel odds ratio over the channels, NaN where it is undefined."""
    mask = frames.window_mask(windows)
    valid = frames.valid
    total = valid.sum(axis=1).astype(np.float64)
    predicted = (valid & mask).sum(axis=1).astype(np.float64)
    weight = np.where(total > 0, 1.0 / np.maximum(total, 1.0), 0.0)
    result = np.full(n_components, np.nan)
    for k in range(n_components):
        here = frames.component == k
        inside = (here & mask).sum(axis=1).astype(np.float64)
        outside = here.sum(axis=1) - inside
        over = float((weight * inside * (total - predicted - outside)).sum())
        under = float((weight * outside * (predicted - inside)).sum())
        result[k] = _divide(over, under)
    return result


def _divide(over: float, under: float) -> float:
    """Quotient, NaN where the denominator is zero."""
    return over / under if under else float("nan")


def _parts(lag_step_frames: float) -> int:
    """Lags in one frame.

    Raises
    ------
    GravdaskError
        If the step is not one over a whole number from 1 to 16.
    """
    parts = round(1 / lag_step_frames) if lag_step_frames > 0 else 0
    if not 1 <= parts <= 16 or abs(parts * lag_step_frames - 1) > 1e-9:
        msg = f"lag_step_frames={lag_step_frames!r}: expected 1, 1/2, 1/3, ... or 1/16 of a frame"
        raise GravdaskError(msg)
    return parts

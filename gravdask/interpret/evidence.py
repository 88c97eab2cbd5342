"""Where, when and at which periods a component occurs: the evidence that names are given on besides association."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gravdask.interpret.frames import FrameTable

FloatArray = NDArray[np.float64]


def station_shares(frames: FrameTable) -> pd.DataFrame:
    """How the frames of each component spread over the channels.

    The plain share favours channels with long records; the balanced share compares how often the component occurs in
    each channel's own valid frames, as if all records were of one length.

    Returns
    -------
    DataFrame
        One row per component and channel: component, channel, frames, valid_frames (of the channel), share (of the
        component's frames, NaN if it has none), balanced_share.
    """
    valid = frames.valid.sum(axis=1)
    parts = []
    for k in range(frames.n_components):
        count = (frames.component == k).sum(axis=1)
        rate = count / np.maximum(valid, 1)
        part = {
            "component": k,
            "channel": list(frames.channels),
            "frames": count,
            "valid_frames": valid,
            "share": count / count.sum() if count.any() else np.nan,
            "balanced_share": rate / rate.sum() if count.any() else np.nan,
        }
        parts.append(pd.DataFrame(part))
    columns = ["component", "channel", "frames", "valid_frames", "share", "balanced_share"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def gap_shares(frames: FrameTable, valid_fraction: ArrayLike) -> pd.DataFrame:
    """How often each component's frames touch a gap, against all other frames.

    Parameters
    ----------
    frames
        Components of all frames.
    valid_fraction
        (n_channels, n_frames) share of valid samples in each frame; NaN counts as no sample missing.

    Returns
    -------
    DataFrame
        One row per component: component, gap_share (of its frames, those with a valid fraction below 1), gap_odds
        (odds ratio against all other valid frames, half a frame added to every cell; 1 without any gap; NaN if the
        component has no frames).
    """
    touched = np.asarray(valid_fraction, dtype=np.float64) < 1
    valid = frames.valid
    gaps = int((touched & valid).sum())
    rows = []
    for k in range(frames.n_components):
        here = frames.component == k
        inside, size = int((here & touched).sum()), int(here.sum())
        a, b, c = inside + 0.5, size - inside + 0.5, gaps - inside + 0.5
        d = int(valid.sum()) - size - (gaps - inside) + 0.5
        odds = (a * d / (b * c) if gaps else 1.0) if size else np.nan
        rows.append({"component": k, "gap_share": inside / size if size else np.nan, "gap_odds": odds})
    return pd.DataFrame(rows, columns=["component", "gap_share", "gap_odds"])


def excess_sums(component: ArrayLike, log_amplitude: ArrayLike, n_components: int) -> tuple[FloatArray, FloatArray]:
    """Sums and counts of log amplitudes by component; those of several channels or blocks may be added up.

    Parameters
    ----------
    component
        (n_frames,) component of each frame, -1 where there is none.
    log_amplitude
        (n_frames, n_paths) natural log of the first-order coefficients less the channel's own median per path, NaN
        where missing: so the median frame of each station is zero.
    n_components
        Components of the model.

    Returns
    -------
    sums, counts : (n_components, n_paths)
    """
    labels = np.asarray(component, dtype=np.int64)
    values = np.asarray(log_amplitude, dtype=np.float64)
    known = np.isfinite(values)
    member = (labels[None, :] == np.arange(n_components)[:, None]).astype(np.float64)
    return member @ np.where(known, values, 0.0), member @ known.astype(np.float64)


def period_excess(sums: FloatArray, counts: FloatArray, periods_s: ArrayLike) -> pd.DataFrame:
    """Mean excess of each component over the stations' medians by period.

    Parameters
    ----------
    sums, counts
        (n_components, n_paths), as `excess_sums` gives them.
    periods_s
        (n_paths,) centre periods of the first-order paths [s].

    Returns
    -------
    DataFrame
        (n_components, n_paths) mean excess in natural-log units, NaN without frames; index component, columns the
        periods [s], increasing.
    """
    mean = np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)
    table = pd.DataFrame(mean, columns=pd.Index(np.asarray(periods_s, dtype=np.float64), name="period_s"))
    table.index.name = "component"
    return table.sort_index(axis=1)


def microseism_correlations(frames: FrameTable, level: ArrayLike) -> dict[int, float]:
    """Correlation in time of each component's share of the network with the network's microseism level.

    Parameters
    ----------
    frames
        Components of all frames.
    level
        (n_channels, n_frames) log amplitude of the 2 to 20 s paths, NaN where missing. The network's level is the
        median over the channels of each one's deviation from its own median.

    Returns
    -------
    dict
        Component to Pearson's r over the frames in which the network has both; NaN where one of them is constant.
    """
    values = pd.DataFrame(np.asarray(level, dtype=np.float64))
    network = values.sub(values.median(axis=1), axis=0).median(axis=0).to_numpy(dtype=np.float64)
    valid = frames.valid.sum(axis=0)
    known = (valid > 0) & np.isfinite(network)
    result = {}
    for k in range(frames.n_components):
        share = (frames.component[:, known] == k).sum(axis=0) / valid[known]
        spread = share.std() * network[known].std() if known.any() else 0.0
        covariance = np.mean((share - share.mean()) * (network[known] - network[known].mean())) if spread > 0 else 0.0
        result[k] = float(covariance / spread) if spread > 0 else float("nan")
    return result

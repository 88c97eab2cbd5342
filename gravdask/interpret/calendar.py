"""When each class was on: intervals of equal class, and shares per UTC day."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from gravdask.grid import DAY_NS
from gravdask.interpret.frames import FrameTable

INTERVAL_COLUMNS = ("channel", "start_ns", "end_ns", "component", "name", "frames", "posterior")
DAY_COLUMNS = ("channel", "day_ns", "component", "name", "frames", "share", "coverage", "dominant")


def class_name(labels: Mapping[int, str], component: int) -> str:
    """Label of a component, or "component 3" for one that has none."""
    return labels.get(component, f"component {component}")


def class_intervals(frames: FrameTable, labels: Mapping[int, str], posterior: ArrayLike | None = None) -> pd.DataFrame:
    """Merge consecutive frames of one component of a channel into intervals; a gap ends an interval.

    Parameters
    ----------
    frames
        Components of all frames.
    labels
        Component to label.
    posterior
        (n_channels, n_frames) posterior probability of the component that each frame was given.

    Returns
    -------
    DataFrame
        channel, start_ns, end_ns (int64), component, name, frames (merged), posterior (their mean; NaN if not given),
        by channel in the order of the table, then time.
    """
    chance = None if posterior is None else np.asarray(posterior, dtype=np.float64)
    edges_ns = frames.starts_ns(0, frames.n_frames + 1)
    parts = []
    for row, channel in enumerate(frames.channels):
        component = frames.component[row]
        if not component.size:
            continue
        first = np.concatenate([[0], np.flatnonzero(np.diff(component) != 0) + 1])
        last = np.append(first[1:], component.size)
        kept = component[first] >= 0
        mean = np.full(len(first), np.nan) if chance is None else np.add.reduceat(chance[row], first) / (last - first)
        kinds = component[first][kept].astype(np.int64)
        part = {
            "channel": [channel] * int(kept.sum()),
            "start_ns": edges_ns[first][kept],
            "end_ns": edges_ns[last][kept],
            "component": kinds,
            "name": [class_name(labels, int(k)) for k in kinds],
            "frames": (last - first)[kept],
            "posterior": mean[kept],
        }
        parts.append(pd.DataFrame(part, columns=list(INTERVAL_COLUMNS)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(INTERVAL_COLUMNS))


def daily_shares(frames: FrameTable, labels: Mapping[int, str]) -> pd.DataFrame:
    """Share of each class in each UTC day of each channel; a frame belongs to the day of its centre.

    Returns
    -------
    DataFrame
        One row per channel, day and component that occurs in it: channel, day_ns (start of the day), component, name,
        frames, share (of the day's valid frames), coverage (valid frames over all frames of the day), dominant (True
        for the component with most frames; of equals, the lowest).
    """
    size = frames.n_frames
    centres = frames.starts_ns() + int(frames.frame_ns / 2)
    days, day_of = np.unique(centres // DAY_NS, return_inverse=True)
    number = frames.n_components
    every = np.bincount(day_of, minlength=len(days)) if size else np.zeros(0, dtype=np.int64)
    parts = []
    for row, channel in enumerate(frames.channels):
        component = frames.component[row].astype(np.int64)
        valid = component >= 0
        cell = day_of[valid] * number + component[valid]
        counts = np.bincount(cell, minlength=len(days) * number).reshape(len(days), number)
        day, kind = np.nonzero(counts)
        known = counts.sum(axis=1)
        here = counts[day, kind]
        part = {
            "channel": [channel] * len(day),
            "day_ns": days[day] * DAY_NS,
            "component": kind,
            "name": [class_name(labels, int(k)) for k in kind],
            "frames": here,
            "share": here / known[day],
            "coverage": known[day] / every[day],
            "dominant": kind == counts.argmax(axis=1)[day] if number else np.zeros(0, dtype=bool),
        }
        parts.append(pd.DataFrame(part, columns=list(DAY_COLUMNS)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(DAY_COLUMNS))

"""Event by event: was it to be felt, was it seen, and what was there before it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gravdask.errors import GravdaskError
from gravdask.grid import DAY_NS, SECOND_NS
from gravdask.interpret.calendar import class_name
from gravdask.interpret.frames import FrameTable, IntArray, visible_windows
from gravdask.interpret.naming import is_coseismic

FIRST_HOUR_NS = 3600 * SECOND_NS
WINDOW_COLUMNS = ("event_id", "channel", "time_ns", "magnitude", "distance_deg", "first_arrival_ns")
BEFORE_COLUMNS = (
    "event_id",
    "channel",
    "component",
    "valid_frames",
    "frames",
    "within_reach",
    "beyond_reach",
    "near_other_event",
)


def event_table(
    frames: FrameTable,
    windows: pd.DataFrame,
    labels: Mapping[int, str],
    peak_acceleration: Mapping[tuple[str, str], float] | None = None,
    *,
    first_ns: int = FIRST_HOUR_NS,
) -> pd.DataFrame:
    """Say for every event and channel whether it was predicted and whether it was seen.

    Parameters
    ----------
    frames
        Components of all frames.
    windows
        As `gravdask.catalog.predicted_windows` gives them; rows of other channels are left out.
    labels
        Component to label; those called "co-seismic" count as seeing an event.
    peak_acceleration
        (event_id, channel) to the largest acceleration in the window [nm s⁻²].
    first_ns
        Time after the first arrival in which a frame must be co-seismic [ns]; an hour.

    Returns
    -------
    DataFrame
        One row per window, in their order: event_id, channel, time_ns, magnitude, distance_deg, first_arrival_ns,
        predicted (visible by the prediction), predicted_acceleration [nm s⁻²], seen (a frame that overlaps the time
        after the first arrival is co-seismic), component (the first co-seismic one there, else the first of any,
        -1 without data), name, no_data (no frame with a component there, so not seen means nothing),
        peak_acceleration [nm s⁻²], NaN where not given.
    """
    rows = frames.rows_of(windows)
    here = windows[rows >= 0]
    rows = rows[rows >= 0]
    arrival = here["first_arrival_ns"].to_numpy(dtype=np.int64)
    first, last = frames.spans(arrival, arrival + first_ns)
    coseismic = np.isin(frames.component, [k for k, label in labels.items() if is_coseismic(label)])
    any_frame = _next_true(frames.valid)[rows, first]
    seen_frame = _next_true(coseismic)[rows, first]
    no_data, seen = any_frame >= last, seen_frame < last
    chosen = np.where(seen, seen_frame, np.where(no_data, 0, any_frame))
    component = _component_at(frames, rows, chosen, no_data)
    table = here.loc[:, list(WINDOW_COLUMNS)].reset_index(drop=True)
    table["predicted"] = here["visible"].to_numpy(dtype=bool)
    table["predicted_acceleration"] = here["predicted_acceleration"].to_numpy(dtype=np.float64)
    table["seen"] = seen
    table["component"] = component
    table["name"] = ["" if k < 0 else class_name(labels, int(k)) for k in component]
    table["no_data"] = no_data
    peaks = peak_acceleration or {}
    pairs = zip(here["event_id"], here["channel"], strict=True)
    table["peak_acceleration"] = np.array([float(peaks.get(pair, np.nan)) for pair in pairs], dtype=np.float64)
    return table


def before_counts(
    frames: FrameTable, windows: pd.DataFrame, event_id: str, component: int, *, lead_ns: int = DAY_NS
) -> pd.DataFrame:
    """Count the frames before an event that carry a component, and which of them the event itself explains.

    Parameters
    ----------
    frames
        Components of all frames.
    windows
        As `gravdask.catalog.predicted_windows` gives them; must hold the event.
    event_id
        The event.
    component
        The component, usually the one that the event itself was given.
    lead_ns
        How long before the first arrival to look [ns]; a day.

    Returns
    -------
    DataFrame
        One row per channel: event_id, channel, component, valid_frames (with any component, wholly within the lead
        time and ended before the first arrival), frames (those of the component), and of these within_reach (their
        reach touches the event's window, so the earthquake itself may be in them), beyond_reach, and of the latter
        near_other_event (their reach touches the predicted window of another visible event at the channel).

    Raises
    ------
    GravdaskError
        If the windows do not hold the event for a channel of this table.
    """
    rows = frames.rows_of(windows)
    chosen = (windows["event_id"] == event_id).to_numpy(dtype=bool) & (rows >= 0)
    if not chosen.any():
        msg = f"event {event_id} is not among the predicted windows of {', '.join(frames.channels)}; check its id"
        raise GravdaskError(msg)
    mine = windows[chosen]
    arrival = mine["first_arrival_ns"].to_numpy(dtype=np.int64)
    first, last = frames.lead_spans(arrival, lead_ns)
    clear = np.maximum(first, np.minimum(last, frames.position(arrival - frames.margin_ns - 1)))
    seen = visible_windows(frames, windows)
    near = frames.window_mask(seen[seen["event_id"] != event_id], margin_ns=frames.margin_ns + 1)
    result = []
    for i, row in enumerate(rows[chosen]):
        carries = frames.component[row] == component
        beyond = carries[first[i] : clear[i]]
        count = int(carries[first[i] : last[i]].sum())
        values = (
            event_id,
            frames.channels[row],
            component,
            int(frames.valid[row, first[i] : last[i]].sum()),
            count,
            count - int(beyond.sum()),
            int(beyond.sum()),
            int((beyond & near[row, first[i] : clear[i]]).sum()),
        )
        result.append(values)
    return pd.DataFrame(result, columns=list(BEFORE_COLUMNS))


def _next_true(mask: NDArray[np.bool_]) -> IntArray:
    """(n_rows, n_columns + 1): the first column from each one on in which a row is true, a large number if none is."""
    none = np.iinfo(np.int64).max
    columns = np.where(mask, np.arange(mask.shape[1], dtype=np.int64), none)
    closed = np.concatenate([columns, np.full((mask.shape[0], 1), none, dtype=np.int64)], axis=1)
    return np.asarray(np.minimum.accumulate(closed[:, ::-1], axis=1)[:, ::-1])


def _component_at(frames: FrameTable, rows: IntArray, columns: IntArray, missing: NDArray[np.bool_]) -> IntArray:
    """Component of some frames, -1 where ``missing``."""
    if not frames.n_frames:
        return np.full(len(rows), -1, dtype=np.int64)
    return np.where(missing, -1, frames.component[rows, columns].astype(np.int64))

"""The component of every frame of every channel on one time axis, and which frames a set of windows touches.

A frame is the half-open interval ``[start, start + T)``; it lies "in" a window if the two overlap at all. What a frame
holds was also fed by samples beyond its edges, as far as the reach of its paths. A frame within reach of a predicted
window may already hold a part of the earthquake, and never counts as before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gravdask.errors import GravdaskError

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
WINDOW_COLUMNS = ("channel", "event_id", "first_arrival_ns", "end_ns", "predicted_acceleration", "visible")


@dataclass(frozen=True)
class FrameTable:
    """Components of all frames of a network.

    Attributes
    ----------
    channels
        Names of the channels, one per row of ``component``.
    start_ns
        Start of the frame in column 0 [ns since 1970 UTC].
    frame_ns
        Length of a frame [ns], exact.
    component
        (n_channels, n_frames) int8: component of each frame, -1 where there is none (gaps).
    reach_ns
        How far from its centre a frame is fed by samples [ns]: the largest reach of the paths used.

    Raises
    ------
    GravdaskError
        If the shapes contradict each other, a channel occurs twice, or a length is not positive.
    """

    channels: tuple[str, ...]
    start_ns: int
    frame_ns: Fraction
    component: NDArray[np.int8]
    reach_ns: int

    def __post_init__(self) -> None:
        """Check what the methods rely on."""
        shape = self.component.shape
        if len(shape) != 2 or shape[0] != len(self.channels) or len(set(self.channels)) != len(self.channels):
            msg = (
                f"components of shape {shape} do not fit {len(self.channels)} channels {self.channels}; "
                "expected one row per channel, each channel once"
            )
            raise GravdaskError(msg)
        if self.frame_ns <= 0 or self.reach_ns < 0:
            msg = f"a frame needs a length above 0 and a reach of 0 or more, got {self.frame_ns} and {self.reach_ns} ns"
            raise GravdaskError(msg)

    @property
    def n_frames(self) -> int:
        """Frames of each channel, those without a component included."""
        return int(self.component.shape[1])

    @property
    def n_components(self) -> int:
        """One more than the largest component that occurs; 0 if none does."""
        return int(self.component.max(initial=-1)) + 1

    @property
    def valid(self) -> BoolArray:
        """(n_channels, n_frames): where there is a component."""
        return np.asarray(self.component >= 0)

    @property
    def frame_s(self) -> float:
        """Length of a frame [s]."""
        return float(self.frame_ns) / 1e9

    @property
    def margin_ns(self) -> int:
        """How far a frame is fed by samples beyond its own edge [ns]: reach less half a frame, rounded up, or 0."""
        return max(0, self.reach_ns - int(self.frame_ns / 2))

    def starts_ns(self, first: int = 0, last: int | None = None) -> IntArray:
        """Starts of the frames ``[first, last)`` [ns since 1970], rounded down; ``last=n_frames + 1`` adds the end."""
        stop = self.n_frames if last is None else last
        index = np.arange(first, stop, dtype=np.int64)
        whole, rest = divmod(self.frame_ns.numerator, self.frame_ns.denominator)
        return np.asarray(self.start_ns + index * whole + index * rest // self.frame_ns.denominator)

    def frame_start_ns(self, frame: int) -> int:
        """Start of one frame [ns since 1970], rounded down."""
        return self.start_ns + int(frame * self.frame_ns // 1)

    def position(self, times_ns: IntArray, parts: int = 1, *, up: bool = False) -> IntArray:
        """Times in units of a ``1 / parts`` of a frame since the start of column 0, rounded down or up, exact.

        Parameters
        ----------
        times_ns
            Times [ns since 1970].
        parts
            Parts that a frame is divided into.
        up
            Round up instead of down.
        """
        length, scale = self.frame_ns.numerator, self.frame_ns.denominator * parts
        whole, rest = np.divmod(np.asarray(times_ns, dtype=np.int64) - self.start_ns, length)
        return np.asarray(whole * scale + (-(-rest * scale // length) if up else rest * scale // length))

    def rows_of(self, windows: pd.DataFrame) -> IntArray:
        """Row of each window's channel in ``component``; -1 for a channel that is not in this table."""
        rows = pd.Index(self.channels).get_indexer(pd.Index(windows["channel"].astype(str)))
        return np.asarray(rows, dtype=np.int64)

    def spans(self, begin_ns: IntArray, end_ns: IntArray) -> tuple[IntArray, IntArray]:
        """Frames ``[first, last)`` that overlap the intervals ``[begin, end)`` [ns], clipped to the table.

        An interval that is empty or lies outside gives an empty range.
        """
        first = np.clip(self.position(begin_ns), 0, self.n_frames)
        last = np.clip(self.position(end_ns, up=True), 0, self.n_frames)
        last = np.where(np.asarray(end_ns) > np.asarray(begin_ns), last, first)
        return first, np.maximum(first, last)

    def window_mask(self, windows: pd.DataFrame, margin_ns: int = 0) -> BoolArray:
        """Frames that overlap a visible window of their own channel.

        Parameters
        ----------
        windows
            As `gravdask.catalog.predicted_windows` gives them; only rows with ``visible`` count.
        margin_ns
            Widens every window on both sides [ns].

        Returns
        -------
        (n_channels, n_frames) bool
        """
        rows, begin, end = self._visible(windows)
        first, last = self.spans(begin - margin_ns, end + margin_ns)
        return covered(rows, first, last, self.component.shape)

    def before_mask(self, windows: pd.DataFrame, lead_ns: int) -> BoolArray:
        """Frames that count as before a visible event at their channel.

        Such a frame begins no earlier than ``lead_ns`` before a first arrival, ends before it, and keeps its reach out
        of every predicted window of its channel: of that event's own, and of any other's.

        Parameters
        ----------
        windows
            As `gravdask.catalog.predicted_windows` gives them; only rows with ``visible`` count.
        lead_ns
            How long before a first arrival "before" begins [ns].

        Returns
        -------
        (n_channels, n_frames) bool
        """
        rows, begin, _ = self._visible(windows)
        first, last = self.lead_spans(begin, lead_ns)
        within = covered(rows, first, last, self.component.shape)
        return np.asarray(within & ~self.window_mask(windows, margin_ns=self.margin_ns + 1))

    def lead_spans(self, arrival_ns: IntArray, lead_ns: int) -> tuple[IntArray, IntArray]:
        """Frames ``[first, last)`` that lie wholly in ``[arrival - lead, arrival)``, clipped to the table."""
        first = np.clip(self.position(arrival_ns - lead_ns, up=True), 0, self.n_frames)
        last = np.clip(self.position(arrival_ns), 0, self.n_frames)
        return first, np.maximum(first, last)

    def _visible(self, windows: pd.DataFrame) -> tuple[IntArray, IntArray, IntArray]:
        """Rows, begins and ends of the visible windows of channels in this table."""
        chosen = visible_windows(self, windows)
        return (
            self.rows_of(chosen),
            chosen["first_arrival_ns"].to_numpy(dtype=np.int64),
            chosen["end_ns"].to_numpy(dtype=np.int64),
        )


def visible_windows(frames: FrameTable, windows: pd.DataFrame) -> pd.DataFrame:
    """Visible windows of the channels of a table that overlap its span, with the original row labels.

    Raises
    ------
    GravdaskError
        If the windows lack a column.
    """
    missing = [column for column in WINDOW_COLUMNS if column not in windows.columns]
    if missing:
        msg = f"the predicted windows lack the columns {', '.join(missing)}; make them with predicted_windows"
        raise GravdaskError(msg)
    chosen = windows[windows["visible"].to_numpy(dtype=bool)]
    return chosen[frames.rows_of(chosen) >= 0]


def covered(rows: IntArray, first: IntArray, last: IntArray, shape: tuple[int, ...]) -> BoolArray:
    """Mark the ranges ``[first, last)`` of some rows, by the running sum of their begins and ends.

    Parameters
    ----------
    rows, first, last
        (n_ranges,) row, first and one-past-last column of each range; ranges may overlap.
    shape
        (n_rows, n_columns) of the result.
    """
    steps = np.zeros((shape[0], shape[1] + 1), dtype=np.int32)
    np.add.at(steps, (rows, first), 1)
    np.add.at(steps, (rows, last), -1)
    return np.asarray(np.cumsum(steps, axis=1)[:, :-1] > 0)

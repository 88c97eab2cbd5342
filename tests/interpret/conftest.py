"""Small networks and windows made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from gravdask.interpret import FrameTable

MakeFrames = Callable[..., FrameTable]
MakeWindows = Callable[..., pd.DataFrame]


@pytest.fixture
def make_frames() -> MakeFrames:
    """Frames of 100 ns from 1000 ns on, reach 250 ns from the centre, unless said otherwise."""

    def make(
        component: object, *, start_ns: int = 1000, frame_ns: Fraction = Fraction(100), reach_ns: int = 250
    ) -> FrameTable:
        array = np.atleast_2d(np.asarray(component, dtype=np.int8))
        channels = tuple(f"s{i}" for i in range(array.shape[0]))
        return FrameTable(channels, start_ns, frame_ns, array, reach_ns)

    return make


@pytest.fixture
def make_windows() -> MakeWindows:
    """Windows of (channel, event id, first arrival, end[, predicted acceleration[, visible]]) in ns."""

    def make(*rows: Sequence[object]) -> pd.DataFrame:
        full = [(*row, *(1000.0, True)[len(row) - 4 :]) for row in rows]
        columns = ["channel", "event_id", "first_arrival_ns", "end_ns", "predicted_acceleration", "visible"]
        table = pd.DataFrame(full, columns=columns)
        for column in ("first_arrival_ns", "end_ns"):
            table[column] = table[column].astype(np.int64)
        table["predicted_acceleration"] = table["predicted_acceleration"].astype(np.float64)
        table["visible"] = table["visible"].astype(bool)
        table["time_ns"] = table["first_arrival_ns"] - 10
        table["magnitude"] = 6.0
        table["distance_deg"] = 30.0
        return table

    return make

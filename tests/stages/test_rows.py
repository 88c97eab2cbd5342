"""Rows of the feature matrix are those frames that they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import dask
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.features.columns import Columns
from gravdask.stages.model import Medians
from gravdask.stages.rows import FitRows, Part


@dataclass(frozen=True)
class Known(Part):
    """A part whose coefficients are at hand."""

    values: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))

    def coefficients(self) -> np.ndarray:
        """Frames of the part."""
        return self.values


def parts_of(data: st.DataObject) -> list[tuple[Part, np.ndarray, Medians]]:
    """Parts of two channels; a coefficient tells its channel and its frame."""
    found = []
    for number, channel in enumerate(("XX.A", "XX.B")):
        start = data.draw(st.integers(0, 50))
        for _ in range(data.draw(st.integers(1, 3))):
            mask = np.array(data.draw(st.lists(st.booleans(), min_size=1, max_size=12)))
            frames = start + np.arange(mask.size)
            values = np.where(mask, np.exp(frames + 0.25 * number), np.nan)
            part = Known(Path("s"), channel, 0, start, start + mask.size, values[:, np.newaxis])
            found.append((part, part.valid(), Medians(np.array([1e-3]), np.zeros(1))))
            start += mask.size + data.draw(st.integers(0, 5))
    return found


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_row_is_the_frame_that_the_index_says(data: st.DataObject) -> None:
    found = parts_of(data)
    rows = FitRows.of(found, Columns(np.array([0]), np.array([-1])))
    count = sum(int(mask.sum()) for _, mask, _ in found)
    assert len(rows.index) == count
    if not count:
        return
    with dask.config.set(scheduler="synchronous"):
        there = rows.compute()[:, 0]
        lazy = rows.array().compute()[:, 0]
        np.testing.assert_array_equal(lazy, there)
        # logarithm of the frame's own number, and a quarter for the second channel
        expected = rows.index.frame + 0.25 * (np.array(rows.index.channels)[rows.index.channel] == "XX.B")
        np.testing.assert_allclose(there, expected, atol=1e-6)
        sample = rows.sampled(1, 0.5)
        some = sample.compute()[:, 0]
        assert len(some) == len(sample.index)
        expected = sample.index.frame + 0.25 * (np.array(sample.index.channels)[sample.index.channel] == "XX.B")
        np.testing.assert_allclose(some, expected, atol=1e-6)

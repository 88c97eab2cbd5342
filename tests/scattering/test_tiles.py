"""The low-pass in two steps, and medians of samples of either sign."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.scattering.geometry import low_pass_sd
from gravdask.scattering.segment import FEW, _medians
from gravdask.scattering.tiles import Pooler, low_pass_table, points, weights


def response(spacing: int, T: int, tile: int, level: int, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """What samples weigh in the frame at 0, by their distance from it: distances, weights."""
    around = points(spacing, T)
    first, table = low_pass_table(around, T, "float64")
    added = weights(tile, level, around)
    tiles = reach // tile
    place = ((np.arange(tile >> level) << level) + np.arange(-tiles, tiles)[:, np.newaxis] * tile).ravel()
    begin = np.arange(-tiles, tiles) * (tile // spacing) - around.reach
    total = np.zeros((2 * tiles, tile >> level))
    for number, at in enumerate(begin):
        for point in range(added.shape[1]):
            index = at + point - first
            if 0 <= index < table.size:
                total[number] += added[:, point] * table[index]
    return place, total.ravel()


@pytest.mark.parametrize(
    ("spacing", "T", "tile", "level"),
    [(128, 256, 128, 0), (128, 256, 256, 8), (256, 1024, 256, 3), (256, 4096, 1024, 5), (1, 2, 2, 0), (2, 7, 4, 1)],
)
def test_two_narrow_gaussians_are_a_wide_one(spacing: int, T: int, tile: int, level: int) -> None:
    sd = low_pass_sd(T)
    place, found = response(spacing, T, tile, level, tile * int(np.ceil(9 * sd / tile)))
    dense = np.arange(-int(20 * sd), int(20 * sd) + 1)
    expected = np.exp(-0.5 * (place / sd) ** 2) / np.exp(-0.5 * (dense / sd) ** 2).sum()
    assert np.abs(found - expected).max() < 1e-6 * expected.max()
    # beside a great earthquake it is the tail that counts
    far = np.abs(place) < 5 * sd
    assert np.abs(found / expected - 1)[far].max() < 5e-6


@pytest.mark.parametrize(("T", "step"), [(256, 256), (48, 32), (8, 8), (2, 2), (1, 1)])
def test_little_is_left_of_what_swings_about_zero(T: int, step: int) -> None:
    pooler = Pooler("lowpass", T, step, 20, -(-8 * T * 2 // step) * step)
    time = np.arange(pooler.samples)
    record = 1e6 * np.sin(2.0 * np.pi * time / 11.0) * np.exp(-0.5 * ((time - 0.5 * time.size) / (2 * T)) ** 2)
    sd = low_pass_sd(T)
    reach = int(12 * sd)
    low_pass = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sd) ** 2)
    smooth = np.convolve(record, low_pass / low_pass.sum(), mode="same")
    expected = smooth[pooler.halo : pooler.halo + 20 * step : step]
    np.testing.assert_allclose(pooler.records(record[np.newaxis])[0], expected, rtol=0, atol=1e-11 * 1e6)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 400), st.integers(0, 1 << 30), st.data())
def test_medians_of_samples_of_either_sign(rows: int, length: int, seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.standard_normal((rows, length)) * 10.0 ** data.draw(st.integers(-20, 20))
    frames += data.draw(st.sampled_from([0.0, 1.0, -1e9]))
    kind = data.draw(st.sampled_from(["noise", "glitches", "two levels", "constant", "steps"]))
    if kind == "glitches":
        frames[rng.random(frames.shape) < 0.3] = -1e37
    elif kind == "two levels":
        frames = np.where(rng.random(frames.shape) < 0.2, 0.0, 1e6) + 1e-3 * rng.standard_normal(frames.shape)
    elif kind == "constant":
        frames[:] = frames[:, :1]
    elif kind == "steps":
        frames = np.round(frames)
    expected = np.median(frames, axis=-1)
    # as the kernel sees it: of some of the samples
    few = frames[:, :: max(length // FEW, 1)]
    scatter = np.median(np.abs(few - np.median(few, axis=-1, keepdims=True)), axis=-1)
    assert np.all(np.abs(_medians(frames) - expected) <= 1e-6 * scatter + 1e-15 * np.abs(expected))


@pytest.mark.parametrize("length", [20, 256, 2000])
def test_a_median_between_two_levels_is_their_mean(length: int) -> None:
    levels = np.repeat([0.0, 1e6], length // 2)
    frames = levels + 1e-3 * np.random.default_rng(length).standard_normal((5, length))
    frames = np.random.default_rng(0).permuted(frames, axis=1)
    np.testing.assert_allclose(_medians(frames), np.median(frames, axis=-1), atol=1.0)

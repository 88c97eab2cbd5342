"""One segment with its halo: gaps, dead channels, reach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import ScatteringError
from gravdask.scattering import ScatteringNetwork
from gravdask.scattering import segment as segment_module
from gravdask.scattering.geometry import TAPER_SAMPLES

T = 256
POOLINGS = ["mean", "median", "max", "lowpass"]


def make(pooling: str = "mean", **changes: object) -> ScatteringNetwork:
    """A small network: 16 frames a segment."""
    return ScatteringNetwork(1.0, 5, 8, T, pooling=pooling, **({"segment_frames": 16} | changes))


def frame_distance(network: ScatteringNetwork, sample: int) -> np.ndarray:
    """Distance of each frame's centre from a sample of the window [samples]."""
    centre = 0.0 if network.pooling == "lowpass" else T / 2
    return np.abs(network.halo + np.arange(network.segment_frames) * network.frame_samples + centre - sample)


def red(samples: int, seed: int) -> np.ndarray:
    """Noise with more power at long periods, as gravity has."""
    white = np.random.default_rng(seed).standard_normal(samples)
    return white + 0.05 * np.cumsum(white)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_window_without_gaps_is_whole(pooling: str, noise: np.ndarray) -> None:
    network = make(pooling)
    coefficients, fraction = network.transform_window(noise[: network.window_samples])
    assert coefficients.shape == (network.n_paths, 16)
    assert coefficients.dtype == fraction.dtype == np.float32
    assert np.isfinite(coefficients).all()
    np.testing.assert_array_equal(fraction, 1.0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_window_is_the_middle_of_a_long_record(pooling: str, noise: np.ndarray) -> None:
    # a record whose length is a power of two is padded by whole frames, so that kymatio's frames are at multiples of T
    network = make(pooling)
    whole = network.transform(noise[:65536])
    first = 100
    begin = first * T - network.halo
    coefficients, _ = network.transform_window(noise[begin : begin + network.window_samples])
    np.testing.assert_allclose(coefficients[1:], whole[1:, first : first + 16], rtol=1e-5)
    np.testing.assert_allclose(coefficients[0], whole[0, first : first + 16], atol=1e-6)


def test_a_window_of_another_length_is_refused(noise: np.ndarray) -> None:
    network = make()
    with pytest.raises(ScatteringError, match=rf"window shape is \(1000,\); expected \({network.window_samples},\)"):
        network.transform_window(noise[:1000])


def test_an_empty_window_costs_no_transform(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make()

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(segment_module, "scatter", refuse)
    monkeypatch.setattr(segment_module, "scatter_segment", refuse)
    x = np.full(network.window_samples, np.nan)
    for _ in range(2):
        coefficients, fraction = network.transform_window(x)
        assert np.isnan(coefficients).all()
        np.testing.assert_array_equal(fraction, 0.0)
        x[: network.halo] = 1.0  # a halo alone gives no frame either


@pytest.mark.parametrize("pooling", POOLINGS)
def test_valid_fraction_is_the_weighted_share(pooling: str, noise: np.ndarray) -> None:
    network = make(pooling)
    x = noise[: network.window_samples].copy()
    gap = slice(network.halo + 5 * T, network.halo + 5 * T + 30)
    x[gap] = np.nan
    _, fraction = network.transform_window(x)
    if pooling == "lowpass":
        sd = T / (2 * np.pi * 0.1)
        position = np.arange(x.size)
        weight = np.exp(-((position - network.halo - 5 * T) ** 2) / (2 * sd**2))
        assert fraction[5] == pytest.approx(1 - weight[gap].sum() / weight.sum(), abs=1e-6)
        assert np.argmin(fraction) == 5
    else:
        expected = np.ones(16)
        expected[5] = 1 - 30 / T
        np.testing.assert_allclose(fraction, expected, atol=1e-7)


@pytest.mark.parametrize(("missing", "given"), [(25, True), (26, False)])
def test_frames_below_the_least_valid_fraction_are_nan(missing: int, given: bool, noise: np.ndarray) -> None:
    network = make()  # 0.9 of 256 samples are 230.4
    x = noise[: network.window_samples].copy()
    x[network.halo + 5 * T + 100 :][:missing] = np.nan
    coefficients, _ = network.transform_window(x)
    assert np.isfinite(np.delete(coefficients, 5, axis=1)).all()
    assert np.isfinite(coefficients[:, 5]).all() == given
    assert np.isnan(coefficients[:, 5]).all() != given


def test_the_least_valid_fraction_can_be_chosen(noise: np.ndarray) -> None:
    network = make(min_valid=0.5)
    x = noise[: network.window_samples].copy()
    x[network.halo + 5 * T :][:128] = np.nan
    assert np.isfinite(network.transform_window(x)[0]).all()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("length", [1, 4, 10, 200, 1500])
def test_a_gap_does_not_change_frames_beyond_reach(pooling: str, length: int) -> None:
    # a gap alters the samples beside it, too: its edges are tapered; a few samples of another modulus at a frame's edge
    # move its mean by little, its median and maximum by more
    network = make(pooling, segment_frames=32)
    reach = network.paths.reach.values
    at_reach = 1e-3 if pooling in {"mean", "lowpass"} else 2e-2
    for seed in range(3):
        x = 5e4 + red(network.window_samples, seed)
        whole, _ = network.transform_window(x)
        start = network.halo + 16 * T + 37 * seed
        x[start : start + length] = np.nan
        gappy, _ = network.transform_window(x)
        change = np.abs(gappy / whole - 1)
        near = np.minimum(frame_distance(network, start), frame_distance(network, start + length - 1))
        inside = frame_distance(network, start + length // 2) < length / 2
        for distance, most in ((0, at_reach), (TAPER_SAMPLES, 1e-4)):
            beyond = (near[np.newaxis] > reach[:, np.newaxis] + distance) & ~inside
            beyond[0] = False
            assert beyond[1:].any(axis=1).all()
            assert np.max(change[beyond]) < most


def test_one_missing_sample_hardly_changes_its_own_frame(noise: np.ndarray) -> None:
    network = make()
    smooth = np.convolve(noise, np.hanning(9) / 4, mode="same")[: network.window_samples]
    whole, _ = network.transform_window(smooth)
    gappy = smooth.copy()
    gappy[network.halo + 5 * T + 100] = np.nan
    change = network.transform_window(gappy)[0] / whole - 1
    loud = np.flatnonzero((network.paths.order == 1) & (network.paths.frequency_1 < 0.1))
    assert np.isfinite(change[1:]).all()
    assert np.max(np.abs(change[loud])) < 0.02


def test_a_step_of_the_instrument_within_a_gap_is_not_seen(noise: np.ndarray) -> None:
    network = make()
    x = noise[: network.window_samples].copy()
    x[network.halo + 5 * T + 100 :][:20] = np.nan
    plain, _ = network.transform_window(x)
    x[network.halo + 5 * T + 110 :] += 1e6
    stepped, _ = network.transform_window(x)
    np.testing.assert_allclose(stepped[1:], plain[1:], rtol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", ["zero", "constant", "step", "spike", "single", "comb", "infinite"])
def test_unusual_windows_are_finite_or_nan_without_warnings(pooling: str, kind: str) -> None:
    network = make(pooling)
    x = np.zeros(network.window_samples)
    middle = x.size // 2
    if kind == "constant":
        x += 5.9e7
    elif kind == "step":
        x[middle:] = 1e9
    elif kind == "spike":
        x[middle] = 1e300
    elif kind == "single":
        x[:middle] = np.nan
        x[middle + 1 :] = np.nan
    elif kind == "comb":
        x[::2] = np.nan
    elif kind == "infinite":
        x[middle] = np.inf
    coefficients, fraction = network.transform_window(x)
    usable = fraction >= 0.9
    assert usable.any() == (kind not in {"single", "comb"})
    if kind in {"zero", "constant", "infinite"}:
        np.testing.assert_array_equal(coefficients[1:, usable], 0.0)
    if kind == "step":
        assert np.isfinite(coefficients[:, usable]).all()
    assert np.isnan(coefficients[:, ~usable]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_any_number_type_is_taken_and_left_alone(dtype: type, noise: np.ndarray) -> None:
    network = make()
    x = (1000 * noise[: network.window_samples]).astype(dtype)
    before = x.copy()
    x.flags.writeable = False
    coefficients, _ = network.transform_window(x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(coefficients, network.transform_window(before.astype(np.float64))[0])


@pytest.mark.parametrize("pooling", ["mean", "lowpass"])
def test_a_burst_is_not_seen_beyond_reach(pooling: str, noise: np.ndarray) -> None:
    # a burst of ten times the noise in every band at once
    network = make(pooling, segment_frames=32)
    x = noise[: network.window_samples].copy()
    quiet, _ = network.transform_window(x)
    at = network.halo + 16 * T
    x[at] += 100.0
    x[at - 10 : at + 10] += 10.0 * noise[-20:]
    shaken, _ = network.transform_window(x)
    reach = network.paths.reach.values[:, np.newaxis]
    distance = frame_distance(network, at)[np.newaxis]
    change = np.abs(shaken / quiet - 1)[1:]
    assert np.max(change[(distance > reach + 10)[1:]]) < 1e-3
    assert np.min(np.max(change, axis=1)) > 0.01  # every path sees it somewhere


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 16383), st.integers(1, 600)), max_size=12), st.sampled_from(POOLINGS))
def test_random_gaps_leave_usable_frames_finite(gaps: list[tuple[int, int]], pooling: str) -> None:
    network = make(pooling)
    x = red(network.window_samples, 5)
    for start, length in gaps:
        x[start : start + length] = np.nan
    coefficients, fraction = network.transform_window(x)
    usable = fraction >= 0.9
    assert np.isfinite(coefficients[:, usable]).all()
    assert np.isnan(coefficients[:, ~usable]).all()
    assert ((fraction >= 0) & (fraction <= 1)).all()
    if pooling != "lowpass":
        frames = np.isfinite(x)[network.halo : network.halo + 16 * T].reshape(16, T)
        np.testing.assert_allclose(fraction, frames.mean(axis=1), atol=1e-6)

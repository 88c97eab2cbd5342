"""The network as a value: parameters, identity, reach; and closed forms of what it measures."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from kymatio.scattering1d.filter_bank import morlet_1d

from gravdask.errors import ScatteringError
from gravdask.scattering import PRESETS, ScatteringNetwork


def test_equal_parameters_make_equal_networks() -> None:
    one, other = ScatteringNetwork(1, 5, 8), ScatteringNetwork(1.0, 5, (8, 1), 32, pooling="lowpass")
    assert one == other
    assert hash(one) == hash(other)
    assert one.digest == other.digest
    assert one.segment_frames == other.segment_frames


@pytest.mark.parametrize(
    "changed",
    [
        {"sampling_rate": 2.0},
        {"J": 6},
        {"Q": 4},
        {"Q": (8, 2)},
        {"T": 64},
        {"max_order": 1},
        {"oversampling": 1},
        {"pooling": "mean"},
        {"min_valid": 0.5},
        {"segment_frames": 3},
    ],
)
def test_every_parameter_is_part_of_the_identity(changed: dict[str, object]) -> None:
    given = {"sampling_rate": 1.0, "J": 5, "Q": 8, "T": 32, "max_order": 2, "oversampling": 0, "pooling": "lowpass"}
    assert ScatteringNetwork(**given) != ScatteringNetwork(**(given | changed))
    assert ScatteringNetwork(**given).digest != ScatteringNetwork(**(given | changed)).digest


def test_pickles_without_its_filters(noise: np.ndarray) -> None:
    network = ScatteringNetwork(1.0, 5, 8, 256, pooling="mean", segment_frames=16)
    network.transform_window(noise[: network.window_samples])
    text = pickle.dumps(network)
    assert len(text) < 1000
    assert pickle.loads(text) == network


def test_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ScatteringNetwork(1.0, 5, 8).J = 6  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 5, 8), "sampling_rate is 0.0"),
        ((float("nan"), 5, 8), "sampling_rate is nan"),
        ((1.0, 0, 8), "J is 0"),
        ((1.0, 5.5, 8), "J is 5.5"),
        ((1.0, 5, 0), "Q is 0"),
        ((1.0, 5, (8, 1, 1)), r"Q is \(8, 1, 1\)"),
        ((1.0, 5, 8, 1), "T is 1; expected a whole number of at least 2"),
        ((1.0, 5, 8, 32, 4), "max_order is 4; expected 1, 2 or 3"),
        ((1.0, (5, 6, 7), 8), r"J is \(5, 6, 7\); expected one number, or 2"),
        ((1.0, 5, 8, 32, 2, -1), "oversampling is -1"),
        ((1.0, 5, 8, 32, 2, 0, "sum"), "pooling is 'sum'; expected one of lowpass, mean, median, max"),
    ],
)
def test_wrong_parameters_are_named(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ScatteringError, match=message):
        ScatteringNetwork(*arguments)


def test_presets() -> None:
    second, minute = (ScatteringNetwork.from_preset(name) for name in ("gravity-1s", "gravity-1min"))
    assert (second.T, second.J, second.pooling, second.sampling_rate) == (4096, 8, "mean", 1.0)
    assert (minute.T, minute.J, minute.pooling, minute.sampling_rate) == (256, 4, "mean", 1 / 60)
    # METHOD: periods of 2.3 s to 1000 s, and of 2.3 to 62 minutes
    periods = 1 / second.paths.frequency_1.values[second.paths.order.values == 1]
    assert (periods.min(), periods.max()) == (pytest.approx(2.3, abs=0.05), pytest.approx(1000, rel=0.08))
    assert ScatteringNetwork.from_preset("kymatio", 20.0) == ScatteringNetwork(20.0, 8, 8)
    # METHOD: three layers of 4, 6 and 8 octaves with 8, 2 and 1 wavelets an octave; two of 6 with 4 and 1, 40 s
    theirs = ScatteringNetwork.from_preset("seydoux2020")
    assert (theirs.octaves, theirs.Q, theirs.T, theirs.max_order, theirs.pooling) == (
        (4, 6, 8),
        (8, 2, 1),
        1024,
        3,
        "mean",
    )
    later = ScatteringNetwork.from_preset("steinmann2022")
    assert (later.octaves, later.Q, later.T / later.sampling_rate, later.pooling) == ((6, 6), (4, 1), 40.0, "median")
    assert ScatteringNetwork.from_preset("gravity-1s", T=1024) == ScatteringNetwork(1.0, 8, 8, 1024, pooling="mean")
    with pytest.raises(ScatteringError, match=", ".join(sorted(PRESETS))):
        ScatteringNetwork.from_preset("seydoux")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_windows_are_segment_and_two_halos(name: str) -> None:
    network = ScatteringNetwork.from_preset(name)
    assert network.window_samples == network.segment_frames * network.frame_samples + 2 * network.halo
    assert network.segment_samples >= 0.5 * network.window_samples


def test_reach_is_half_a_frame_and_five_sd_of_each_wavelet() -> None:
    network = ScatteringNetwork(0.5, 6, 8, 1024, pooling="mean")
    table = network.paths
    width = sum(1 / (2 * np.pi * table[f"bandwidth_{n}"]).fillna(np.inf) for n in (1, 2))
    np.testing.assert_allclose(table.reach, 1024 + 5 * width)
    low = ScatteringNetwork(0.5, 6, 8, 1024).paths
    np.testing.assert_allclose(low.reach, 2 * 5 * 1024 / (2 * np.pi * 0.1) + 5 * width)


@pytest.mark.parametrize("amplitude", [1e-12, 1.0, 3e4])
def test_a_sine_at_a_centre_frequency_gives_half_its_amplitude(amplitude: float) -> None:
    # wavelets have unit L1 norm, so one far from frequency zero has gain 1 at its centre, and a real sine is half
    # positive frequency
    network = ScatteringNetwork(1.0, 6, 8, 1024, pooling="mean")
    table = network.paths
    for path in (5, 20):
        x = amplitude * np.cos(2 * np.pi * float(table.frequency_1[path]) * np.arange(16 * 1024))
        middle = network.transform(x)[:, 6:10]
        np.testing.assert_allclose(middle[path], amplitude / 2, rtol=1e-4)
        assert np.argmax(middle[1 : (table.order == 1).sum().item(), 0]) == path - 1


def test_a_modulated_sine_gives_its_modulation_in_second_order() -> None:
    # |x * psi1| of A (1 + m cos 2 pi f t) cos 2 pi xi t is A/2 (1 + m g cos 2 pi f t), g the gain of psi1 at xi +- f;
    # its second-order coefficient at f is A m g / 4 times the gain of psi2 there
    network = ScatteringNetwork(1.0, 7, 8, 2048, pooling="mean")
    table = network.paths
    second = np.flatnonzero((table.order == 2) & (table.j_2 == 5))
    path = second[np.argmax(table.frequency_1.values[second])]
    xi, f, sigma = (float(table[n][path]) for n in ("frequency_1", "frequency_2", "bandwidth_1"))
    t = np.arange(16 * 2048)
    x = 3.0 * (1 + 0.4 * np.cos(2 * np.pi * f * t)) * np.cos(2 * np.pi * xi * t)
    gain = np.exp(-(f**2) / (2 * sigma**2))
    spectrum = morlet_1d(t.size, f, float(table.bandwidth_2[path]))
    expected = 3.0 * 0.4 * gain / 4 * np.interp(f, np.arange(t.size) / t.size, spectrum)
    np.testing.assert_allclose(network.transform(x)[path, 6:10], expected, rtol=2e-3)


def test_white_noise_gives_the_mean_of_a_rayleigh_distribution(noise: np.ndarray) -> None:
    # x * psi is complex normal of variance integral |psi|^2 df = sigma sqrt(pi); its modulus has mean sqrt(pi)/2 sd
    network = ScatteringNetwork(1.0, 5, 8, 256, pooling="mean")
    table = network.paths
    measured = network.transform(2.0 * noise).mean(axis=1)
    first = np.flatnonzero((table.order == 1) & (table.frequency_1 > 4 * table.bandwidth_1))
    sd = 2.0 * np.sqrt(table.bandwidth_1.values[first] * np.sqrt(np.pi))
    np.testing.assert_allclose(measured[first], np.sqrt(np.pi) / 2 * sd, rtol=0.03)


@pytest.mark.parametrize("pooling", ["mean", "median", "max"])
def test_pooling_is_that_of_the_moduli(pooling: str, noise: np.ndarray) -> None:
    # T = 125 is odd, so that nothing is decimated: moduli by plain circular convolution are the oracle
    network = ScatteringNetwork(1.0, 3, 2, 125, pooling=pooling)
    x = noise[:2000]
    n = 4 * x.size
    padded = np.pad(x, (1500, n - x.size - 1500), mode="reflect")
    table = network.paths
    reduce = {"mean": np.mean, "median": np.median, "max": np.max}[pooling]
    ours = network.transform(x)
    for path in range(1, network.n_paths):
        moduli = padded
        for order in (1, 2):
            xi, sigma = float(table[f"frequency_{order}"][path]), float(table[f"bandwidth_{order}"][path])
            if np.isfinite(xi):
                moduli = np.abs(np.fft.ifft(np.fft.fft(moduli) * morlet_1d(n, xi, sigma)))
        expected = reduce(moduli[1500:3500].reshape(16, 125), axis=1)
        np.testing.assert_allclose(ours[path], expected, rtol=1e-5)
    np.testing.assert_allclose(ours[0], reduce(x.reshape(16, 125), axis=1), rtol=1e-4, atol=1e-6)


def test_decimation_changes_little(noise: np.ndarray) -> None:
    plain = ScatteringNetwork(1.0, 5, 8, 256, pooling="mean")
    finest = ScatteringNetwork(1.0, 5, 8, 256, oversampling=5, pooling="mean")
    one, other = plain.transform(noise[:65536])[1:], finest.transform(noise[:65536])[1:]
    # a modulus has spectral tails beyond what kymatio's decimation keeps: single frames scatter, no path is biased
    assert np.median(np.abs(one / other - 1)) < 0.003
    assert np.max(np.abs(one.mean(axis=1) / other.mean(axis=1) - 1)) < 0.005


@pytest.mark.parametrize("pooling", ["mean", "lowpass"])
def test_frames_weigh_samples_about_their_centre(pooling: str) -> None:
    network = ScatteringNetwork(1.0, 5, 8, 256, pooling=pooling, segment_frames=9)
    ramp = np.arange(network.window_samples) - network.halo
    order_zero = network.transform_window(ramp)[0][0]
    np.testing.assert_allclose(order_zero, np.arange(9) * network.frame_samples + network.frame_centre, atol=1e-3)


def test_scaling_the_record_scales_the_coefficients(noise: np.ndarray) -> None:
    network = ScatteringNetwork(1.0, 5, 8, 256, pooling="mean")
    one = network.transform(noise[:4096])
    np.testing.assert_allclose(network.transform(1e-12 * noise[:4096]), 1e-12 * one, rtol=1e-6)
    np.testing.assert_allclose(network.transform(noise[:4096] + 5.9e7)[1:], one[1:], rtol=1e-5)


def test_a_record_with_nan_is_nan_and_its_neighbours_are_not(noise: np.ndarray) -> None:
    network = ScatteringNetwork(1.0, 4, 4)
    records = noise[:1024].reshape(2, 512).copy()
    records[0, 100] = np.nan
    result = network.transform(records)
    assert np.isnan(result[0]).all()
    assert np.isfinite(result[1]).all()


@pytest.mark.parametrize("pooling", ["mean", "lowpass"])
def test_a_record_shorter_than_a_frame_is_refused(pooling: str) -> None:
    with pytest.raises(ScatteringError, match="record length is 31; expected at least T = 32"):
        ScatteringNetwork(1.0, 5, 8, pooling=pooling).transform(np.zeros(31))

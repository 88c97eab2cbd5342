"""Orders one to three: against a naive transform at full rate, and against one another; energy and the symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from kymatio.scattering1d.filter_bank import gauss_1d, morlet_1d

from gravdask.scattering import ScatteringNetwork
from gravdask.scattering.filters import wavelets

TINY = [
    ((2, 3, 4), (2, 1, 1), 64),
    ((1, 3, 4), (4, 2, 1), 32),
    ((4, 4, 4), (2, 1, 1), 96),
    ((4, 3, 5), (2, 2, 2), 48),
]


def naive(record: np.ndarray, J: tuple[int, ...], Q: tuple[int, ...]) -> list[np.ndarray]:
    """Moduli of every path at full rate, one circular convolution after another, in kymatio's order of paths."""
    found: list[np.ndarray] = []
    last = [(record, -1)]
    for bank in wavelets(J, Q):
        spectra = [(np.fft.fft(moduli), j) for moduli, j in last]
        last = [
            (np.abs(np.fft.ifft(spectrum * morlet_1d(record.size, wave.xi, wave.sigma))), wave.j)
            for spectrum, j in spectra
            for wave in bank
            if wave.j > j
        ]
        found.extend(moduli for moduli, _ in last)
    return found


@pytest.mark.parametrize(("J", "Q", "T"), TINY)
@pytest.mark.parametrize("pooling", ["mean", "max", "median"])
def test_three_orders_are_those_of_the_naive_transform(
    J: tuple[int, ...], Q: tuple[int, ...], T: int, pooling: str
) -> None:
    # finest sampling, so that nothing but rounding is left between the two
    network = ScatteringNetwork(1.0, J, Q, T, 3, oversampling=9, pooling=pooling, segment_frames=20)
    record = np.random.default_rng(T).standard_normal(network.window_samples)
    coefficients, _ = network.transform_window(record)
    padded = np.pad(record - record.mean(), 2 * network.halo)
    begin = 3 * network.halo
    reduce = {"mean": np.mean, "max": np.max, "median": np.median}[pooling]
    expected = [reduce(m[begin : begin + 20 * T].reshape(20, T), axis=1) for m in naive(padded, J, Q)]
    assert set(network.paths.order.values.tolist()) == {0, 1, 2, 3}
    np.testing.assert_allclose(coefficients[1:], expected, rtol=1e-4)


@pytest.mark.parametrize(("J", "Q", "T"), TINY)
def test_decimation_scatters_frames_but_biases_no_path(J: tuple[int, ...], Q: tuple[int, ...], T: int) -> None:
    network = ScatteringNetwork(1.0, J, Q, T, 3, pooling="mean", segment_frames=400)
    record = np.random.default_rng(T).standard_normal(network.window_samples)
    padded = np.pad(record - record.mean(), 2 * network.halo)
    begin = 3 * network.halo
    expected = np.array([m[begin : begin + 400 * T].reshape(400, T).mean(axis=1) for m in naive(padded, J, Q)])
    found = network.transform_window(record)[0][1:]
    np.testing.assert_allclose(found.mean(axis=1), expected.mean(axis=1), rtol=0.01)


@pytest.mark.parametrize("pooling", ["mean", "median", "max", "lowpass"])
@pytest.mark.parametrize(("J", "Q"), [(5, (8, 1, 1)), ((3, 4, 6), (4, 2, 1))])
def test_a_third_order_leaves_the_others_as_they_are(pooling: str, J: object, Q: tuple[int, ...]) -> None:
    octaves = J[:2] if isinstance(J, tuple) else J
    three = ScatteringNetwork(1.0, J, Q, 64, 3, pooling=pooling, segment_frames=64)
    two = ScatteringNetwork(1.0, octaves, Q[:2], 64, 2, pooling=pooling, segment_frames=64)
    one = ScatteringNetwork(1.0, octaves, Q[:2], 64, 1, pooling=pooling, segment_frames=64)
    record = np.random.default_rng(2).standard_normal(70_000)

    def frames(network: ScatteringNetwork) -> np.ndarray:
        begin = 30_000 - network.halo
        return network.transform_window(record[begin : begin + network.window_samples])[0]

    most = frames(three)
    assert (three.paths.order.values == 3).any()
    np.testing.assert_allclose(most[: two.n_paths], frames(two), rtol=2e-5, atol=1e-7)
    np.testing.assert_allclose(most[: one.n_paths], frames(one), rtol=2e-5, atol=1e-7)


def test_first_order_and_low_pass_hold_no_more_energy_than_the_record() -> None:
    # Littlewood-Paley: |phi|^2 + 1/2 sum (|psi(f)|^2 + |psi(-f)|^2) <= C at every frequency, C from the filters
    J, Q, T, bins = 6, 8, 64, 1 << 15
    (bank, _) = wavelets((J, J), (Q, 1))
    responses = [morlet_1d(bins, w.xi, w.sigma) ** 2 for w in bank]
    both = sum(r + np.roll(r[::-1], 1) for r in responses) / 2
    constant = float(np.max(gauss_1d(bins, 0.1 / T) ** 2 + both))
    assert 0.5 < constant < 20
    network = ScatteringNetwork(1.0, J, (Q, 1), 2, 1, oversampling=9, pooling="max", segment_frames=1 << 14)
    rng = np.random.default_rng(8)
    for colour in (0, 1):
        noise = rng.standard_normal(bins + 2 * network.halo)
        record = np.cumsum(noise) if colour else noise
        record -= record.mean()
        record *= np.sin(np.linspace(0, np.pi, record.size)) ** 2
        # single moduli, two a frame: the maximum of two is not less than their rms
        first = network.transform_window(record)[0][1:].astype(np.float64)
        smooth = np.fft.ifft(np.fft.fft(record) * gauss_1d(record.size, 0.1 / T)).real
        energy = np.sum(record**2)
        lower = 2 * np.sum(np.minimum(first, np.inf) ** 2)
        mean = ScatteringNetwork(1.0, J, (Q, 1), 2, 1, oversampling=9, pooling="mean", segment_frames=1 << 14)
        pairs = 2 * np.sum(mean.transform_window(record)[0][1:].astype(np.float64) ** 2)
        # a mean of two is at most their rms, so these are bounds from below and above of the same sum
        assert pairs <= lower
        assert np.sum(smooth**2) + pairs <= constant * energy


NETWORKS = [
    ScatteringNetwork(1.0, 5, 8, 256, pooling="mean", segment_frames=32),
    ScatteringNetwork(1.0, 5, (4, 2), 200, pooling="median", segment_frames=32),
    ScatteringNetwork(1.0, 4, 4, 96, pooling="max", segment_frames=32),
    ScatteringNetwork(1.0, 5, 8, 256, pooling="lowpass", segment_frames=32),
    ScatteringNetwork(1.0, (3, 4, 5), (4, 2, 1), 64, 3, pooling="mean", segment_frames=64),
]
NAMES = ["mean", "median", "max", "lowpass", "three"]


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_a_record_moved_by_a_frame_moves_its_frames(network: ScatteringNetwork) -> None:
    record = np.random.default_rng(1).standard_normal(network.window_samples + network.frame_samples)
    one, _ = network.transform_window(record[: network.window_samples])
    other, _ = network.transform_window(record[network.frame_samples :])
    late, early = other[1:, :-1], one[1:, 1:]
    assert np.max(np.linalg.norm(late - early, axis=1) / np.linalg.norm(early, axis=1)) < 1e-5
    np.testing.assert_allclose(late, early, rtol=1e-4)


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_the_sign_of_a_record_does_not_matter(network: ScatteringNetwork) -> None:
    record = np.random.default_rng(2).standard_normal(network.window_samples)
    one, other = network.transform_window(record)[0], network.transform_window(-record)[0]
    np.testing.assert_array_equal(one[1:], other[1:])
    if network.pooling in {"mean", "lowpass", "median"}:
        np.testing.assert_allclose(one[0], -other[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("amplitude", [1000.0, 1e-9, 3.7e-20, 1e20])
@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_coefficients_are_as_large_as_the_record(network: ScatteringNetwork, amplitude: float) -> None:
    record = np.random.default_rng(3).standard_normal(network.window_samples)
    one, other = network.transform_window(record)[0], network.transform_window(amplitude * record)[0]
    scaled = other[1:].astype(np.float64) / amplitude
    assert np.max(np.linalg.norm(scaled - one[1:], axis=1) / np.linalg.norm(one[1:], axis=1)) < 3e-6
    np.testing.assert_allclose(scaled, one[1:], rtol=1e-4)
    # a power of two costs not a bit
    np.testing.assert_array_equal(network.transform_window(2.0**40 * record)[0][1:] * 2.0**-40, one[1:])


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_a_record_moved_by_a_whole_segment_is_the_same_to_the_bit(network: ScatteringNetwork) -> None:
    # absolute sample numbers enter nowhere: the same samples give the same segment wherever it stands
    samples = np.random.default_rng(4).standard_normal(3 * network.segment_samples)
    one = network.transform_record(samples, start=0).compute(scheduler="synchronous")
    moved = 7 * network.segment_samples
    other = network.transform_record(samples, start=moved).compute(scheduler="synchronous")
    np.testing.assert_array_equal(other.coefficients, one.coefficients)
    np.testing.assert_array_equal(other.frame, one.frame + 7 * network.segment_frames)
    negative = network.transform_record(samples, start=-moved).compute(scheduler="synchronous")
    np.testing.assert_array_equal(negative.coefficients, one.coefficients)


@pytest.mark.parametrize("network", NETWORKS, ids=NAMES)
def test_the_same_window_twice_is_the_same_to_the_bit(network: ScatteringNetwork) -> None:
    # nothing is left over in the memory that is used again
    rng = np.random.default_rng(5)
    record = rng.standard_normal(network.window_samples)
    once = network.transform_window(record)[0]
    network.transform_window(1e30 * rng.standard_normal(network.window_samples))
    ScatteringNetwork(1.0, 7, 8, 512, pooling="mean", segment_frames=8).transform_window(
        1e9 * rng.standard_normal(ScatteringNetwork(1.0, 7, 8, 512, pooling="mean", segment_frames=8).window_samples)
    )
    np.testing.assert_array_equal(network.transform_window(record)[0], once)


@pytest.mark.parametrize("size", [1e5, 2.0**31])
@pytest.mark.parametrize("name", ["seydoux2020", "kymatio"])
def test_what_a_wild_sample_leaves_in_quiet_frames_is_known(name: str, size: float) -> None:
    # errors that a window hands on reach frames far from it, and go on through every order
    network = ScatteringNetwork.from_preset(name, 1.0)
    rng = np.random.default_rng(3)
    record = np.cumsum(rng.standard_normal(1 << 17)) * 0.01 + rng.standard_normal(1 << 17)
    record[[60_000, 60_200]] = -size
    found = network.transform_record(record).compute(scheduler="synchronous").coefficients.values
    careful = network.transform(record)
    frames = slice(40, min(found.shape[1], careful.shape[1]) - 40)
    mine, theirs = found[1:, frames].astype(float), careful[1:, frames].astype(float)
    # double precision itself is good to 1e-13 of the largest sample
    loud = theirs > 1e-13 * size
    assert loud.mean() > 0.5
    assert np.abs(np.log(mine[loud] / theirs[loud])).max() < 2e-4

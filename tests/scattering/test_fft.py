"""The Fourier transform of sixteen windows side by side, against NumPy's of each in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from gravdask.scattering.fft import forward, inverse, places, twiddles
from gravdask.scattering.lanes import LANES, aligned

LENGTHS = [1 << power for power in range(16)]


def laid(rows: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Complex rows (lanes, bins) as a buffer whose bin k stands in place ``where[k]``."""
    buffer = aligned((2 * rows.shape[1] * LANES,))
    view = buffer.reshape(-1, 2, LANES)
    view[where, 0], view[where, 1] = rows.T.real, rows.T.imag
    return buffer


def taken(buffer: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Complex rows (lanes, bins) out of a buffer whose bin k stands in place ``where[k]``."""
    view = buffer.reshape(-1, 2, LANES).astype(np.float64)
    return (view[where, 0] + 1j * view[where, 1]).T


def to_samples(spectra: np.ndarray) -> np.ndarray:
    """Inverse transform of (lanes, bins), without a factor 1 / bins."""
    bins = spectra.shape[1]
    buffer = laid(spectra, places(bins))
    inverse(buffer, 0, bins, *twiddles(bins))
    return taken(buffer, np.arange(bins))


def to_spectra(samples: np.ndarray) -> np.ndarray:
    """Forward transform of (lanes, samples)."""
    bins = samples.shape[1]
    buffer = laid(samples, np.arange(bins))
    forward(buffer, 0, bins, *twiddles(bins))
    return taken(buffer, places(bins))


def rows(bins: int, seed: int = 0) -> np.ndarray:
    """Random complex lanes that single precision holds exactly, some of them far louder than others."""
    rng = np.random.default_rng([bins, seed])
    values = rng.standard_normal((2, LANES, bins)) * 10.0 ** rng.uniform(-6, 6, (1, LANES, 1))
    return (values[0] + 1j * values[1]).astype(np.complex64).astype(np.complex128)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest error of any lane, as a share of that lane's rms: the lanes know nothing of each other."""
    rms = np.sqrt(np.mean(np.abs(expected) ** 2, axis=1))
    return float(np.max(np.sqrt(np.mean(np.abs(found - expected) ** 2, axis=1)) / rms))


@pytest.mark.parametrize("bins", LENGTHS)
def test_places_are_a_permutation(bins: int) -> None:
    np.testing.assert_array_equal(np.sort(places(bins)), np.arange(bins))


@pytest.mark.parametrize("bins", LENGTHS)
def test_inverse_is_numpys(bins: int) -> None:
    spectra = rows(bins)
    expected = np.fft.ifft(spectra, axis=1, norm="forward")
    found = to_samples(spectra)
    assert error(found, expected) < 3e-7
    # no single sample stands out either
    assert np.max(np.abs(found - expected) / np.sqrt(np.mean(np.abs(expected) ** 2, axis=1, keepdims=True))) < 2e-6


@pytest.mark.parametrize("bins", LENGTHS)
def test_forward_is_numpys(bins: int) -> None:
    samples = rows(bins)
    expected = np.fft.fft(samples, axis=1)
    found = to_spectra(samples)
    assert error(found, expected) < 3e-7
    assert np.max(np.abs(found - expected) / np.sqrt(np.mean(np.abs(expected) ** 2, axis=1, keepdims=True))) < 2e-6


@pytest.mark.parametrize("bins", LENGTHS)
def test_every_bin_is_the_tone_it_should_be(bins: int) -> None:
    # each lane holds one bin: samples are a tone of that frequency, to the rounding of every sample
    tones = np.unique(np.linspace(0, bins - 1, LANES).astype(int))
    spectra = np.zeros((LANES, bins), dtype=complex)
    spectra[np.arange(tones.size), tones] = 1.0
    found = to_samples(spectra)
    phase = np.outer(tones, np.arange(bins)) % bins / bins
    np.testing.assert_allclose(found[: tones.size], np.exp(2j * np.pi * phase), atol=1e-6)
    np.testing.assert_array_equal(found[tones.size :], 0.0)


@pytest.mark.parametrize("bins", LENGTHS)
def test_there_and_back(bins: int) -> None:
    # forward leaves bins where inverse looks for them
    samples = rows(bins)
    buffer = laid(samples, np.arange(bins))
    forward(buffer, 0, bins, *twiddles(bins))
    inverse(buffer, 0, bins, *twiddles(bins))
    assert error(taken(buffer, np.arange(bins)) / bins, samples) < 4e-7


@pytest.mark.parametrize("bins", LENGTHS)
def test_parseval(bins: int) -> None:
    samples = rows(bins)
    energy = np.sum(np.abs(to_spectra(samples)) ** 2, axis=1) / bins
    np.testing.assert_allclose(energy, np.sum(np.abs(samples) ** 2, axis=1), rtol=1e-6)


@pytest.mark.parametrize("bins", [1, 8, 64, 512, 2048, 32768])
def test_linear(bins: int) -> None:
    one, other = rows(bins, 1), rows(bins, 2)
    both = (2.0 * one - 0.5 * other).astype(np.complex64).astype(np.complex128)
    parts = 2.0 * to_samples(one) - 0.5 * to_samples(other)
    scale = np.sqrt(np.mean(np.abs(to_samples(one)) ** 2 + np.abs(to_samples(other)) ** 2, axis=1, keepdims=True))
    assert np.max(np.abs(to_samples(both) - parts) / scale) < 4e-6
    # a power of two costs not a bit
    np.testing.assert_array_equal(to_samples(4.0 * one), 4.0 * to_samples(one))


@pytest.mark.parametrize("transform", [to_samples, to_spectra])
def test_lanes_do_not_see_each_other(transform: object) -> None:
    many = rows(256)
    whole = transform(many)
    for lane in (0, 7, LANES - 1):
        alone = np.zeros_like(many)
        alone[lane] = many[lane]
        one = transform(alone)
        np.testing.assert_array_equal(one[lane], whole[lane])
        np.testing.assert_array_equal(np.delete(one, lane, axis=0), 0.0)


def test_a_part_of_a_buffer_is_transformed_alone() -> None:
    many = rows(64)
    buffer = laid(np.concatenate([many, many, many], axis=1), np.arange(192))
    before = buffer.copy()
    forward(buffer, 64, 64, *twiddles(64))
    view, old = buffer.reshape(3, -1), before.reshape(3, -1)
    np.testing.assert_array_equal(view[[0, 2]], old[[0, 2]])
    assert error(taken(view[1], places(64)), np.fft.fft(many, axis=1)) < 3e-7


def test_a_longer_table_gives_the_same() -> None:
    # the factors of each length stand at their own place, whatever the longest one is
    many = rows(1024)
    short = laid(many, places(1024))
    inverse(short, 0, 1024, *twiddles(1024))
    long = laid(many, places(1024))
    inverse(long, 0, 1024, *twiddles(1 << 16))
    np.testing.assert_array_equal(short, long)

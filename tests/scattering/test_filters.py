"""The adapter to kymatio's filter bank, against kymatio itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from kymatio.scattering1d.filter_bank import morlet_1d, scattering_filter_factory
from kymatio.scattering1d.frontend.numpy_frontend import ScatteringNumPy1D

from gravdask.scattering.filters import Band, filter_bank, low_pass, padding, paths, support, wavelets

pytestmark = pytest.mark.filterwarnings("ignore:Signal support is too small:UserWarning")
PARAMETERS = [(4, (8, 1), 16), (6, (4, 2), 64), (3, (8, 1), 100)]


def spread(band: Band, bins: int) -> np.ndarray:
    """A band as a whole spectrum in FFT order."""
    spectrum = np.zeros(bins)
    spectrum[np.arange(band.start, band.start + band.values.size) % bins] = band.values
    return spectrum


@pytest.mark.parametrize(("J", "Q", "T"), PARAMETERS)
def test_bands_hold_all_of_kymatios_filters(J: int, Q: tuple[int, int], T: int) -> None:
    phi, psi1, psi2 = scattering_filter_factory(2048, J, Q, T)
    first, second = filter_bank(2048, (J, J), Q)
    for band, kymatio in zip((low_pass(2048, T), *first, *second), (phi, *psi1, *psi2), strict=True):
        np.testing.assert_allclose(spread(band, 2048), kymatio["levels"][0], atol=1e-15)


@pytest.mark.parametrize(("J", "Q", "T"), PARAMETERS)
def test_folded_bands_are_kymatios_levels_without_their_factor(J: int, Q: tuple[int, int], T: int) -> None:
    _, _, psi2 = scattering_filter_factory(2048, J, Q, T)
    _, second = filter_bank(2048, (J, J), Q)
    for band, kymatio in zip(second, psi2, strict=True):
        for level, values in enumerate(kymatio["levels"]):
            bins = 2048 >> level
            np.testing.assert_allclose(spread(band.folded(bins), bins), values * 2**level, atol=1e-14)


def test_wavelets_state_the_filters_they_stand_for() -> None:
    J, Q = (3, 5, 6), (8, 2, 1)
    pairs = [
        pair
        for bank, bands in zip(wavelets(J, Q), filter_bank(4096, J, Q), strict=True)
        for pair in zip(bank, bands, strict=True)
    ]
    for wavelet, band in pairs:
        np.testing.assert_allclose(spread(band, 4096), morlet_1d(4096, wavelet.xi, wavelet.sigma), atol=1e-15)


def test_sd_in_time_is_that_of_the_envelope() -> None:
    wavelet = wavelets((5, 5), (8, 1))[0][10]
    envelope = np.abs(np.fft.fftshift(np.fft.ifft(morlet_1d(4096, wavelet.xi, wavelet.sigma))))
    position = np.arange(4096) - 2048
    sd = np.sqrt((envelope * position**2).sum() / envelope.sum())
    assert sd == pytest.approx(wavelet.sd_samples, rel=1e-3)


@pytest.mark.parametrize("max_order", [1, 2])
@pytest.mark.parametrize(("J", "Q", "T"), PARAMETERS)
def test_paths_are_in_kymatios_order(J: int, Q: tuple[int, int], T: int, max_order: int) -> None:
    meta = ScatteringNumPy1D(J, 512, Q, T, max_order=max_order).meta()
    ours = paths((J, J), Q, max_order)
    assert [p.order for p in ours] == meta["order"].tolist()
    assert [p.wavelets for p in ours] == meta["key"]


def test_each_order_has_octaves_and_wavelets_of_its_own() -> None:
    # the bank of one order is that of kymatio's network with the same J and Q, whatever the other orders have
    banks = wavelets((3, 5, 6), (8, 2, 1))
    for bank, J, Q in zip(banks, (3, 5, 6), (8, 2, 1), strict=True):
        meta = ScatteringNumPy1D(J, 512, Q, max_order=1).meta()
        assert [w.xi for w in bank] == meta["xi"][1:, 0].tolist()
        assert [w.sigma for w in bank] == meta["sigma"][1:, 0].tolist()
        assert [w.j for w in bank] == meta["j"][1:, 0].tolist()


def test_every_wavelet_of_a_path_is_slower_than_the_one_before() -> None:
    J, Q = (2, 4, 5), (4, 2, 1)
    banks, found = wavelets(J, Q), paths(J, Q, 3)
    every = [
        key
        for order in range(4)
        for key in itertools.product(*(range(len(bank)) for bank in banks[:order]))
        if all(a < b for a, b in itertools.pairwise(banks[o][n].j for o, n in enumerate(key)))
    ]
    assert [p.wavelets for p in found] == every
    assert {p.order for p in found} == {0, 1, 2, 3}


@pytest.mark.parametrize("samples", [200, 512, 1000, 4096, 5001])
@pytest.mark.parametrize("T", [16, 100, 200])
def test_padding_is_kymatios(samples: int, T: int) -> None:
    kymatio = ScatteringNumPy1D(4, samples, 4, T)
    ours = padding(samples, 4, T, 3)
    assert (ours.samples, ours.left, ours.right) == (kymatio._N_padded, kymatio.pad_left, kymatio.pad_right)
    assert (ours.first, ours.last) == (kymatio.ind_start[3], kymatio.ind_end[3])


def test_support_by_hand() -> None:
    assert support(np.array([0.0, 1.0, 2.0, 0.0, 0.0])).start == 1
    wrapped = support(np.array([3.0, 4.0, 0.0, 0.0, 2.0]))
    assert wrapped.start == -1
    assert wrapped.values.tolist() == [2.0, 3.0, 4.0]
    assert spread(support(np.ones(4)), 4).tolist() == [1.0] * 4


def test_folding_a_band_decimates_it_in_time() -> None:
    band = Band(-5, np.random.default_rng(0).standard_normal(40))
    decimated = np.fft.ifft(spread(band, 64))[::4] * 4
    np.testing.assert_allclose(np.fft.ifft(spread(band.folded(16), 16)), decimated, atol=1e-14)

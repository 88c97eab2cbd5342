"""The adapter to kymatio's filter bank, against kymatio itself."""

from __future__ import annotations

import numpy as np
import pytest
from kymatio.scattering1d.filter_bank import morlet_1d, scattering_filter_factory
from kymatio.scattering1d.frontend.numpy_frontend import ScatteringNumPy1D

from gravdask.scattering.filters import Band, filter_bank, padding, paths, support, wavelets

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
    bank = filter_bank(2048, J, Q, T)
    for band, kymatio in zip((bank.low_pass, *bank.first, *bank.second), (phi, *psi1, *psi2), strict=True):
        np.testing.assert_allclose(spread(band, 2048), kymatio["levels"][0], atol=1e-15)


@pytest.mark.parametrize(("J", "Q", "T"), PARAMETERS)
def test_folded_bands_are_kymatios_levels_without_their_factor(J: int, Q: tuple[int, int], T: int) -> None:
    _, _, psi2 = scattering_filter_factory(2048, J, Q, T)
    bank = filter_bank(2048, J, Q, T)
    for band, kymatio in zip(bank.second, psi2, strict=True):
        for level, values in enumerate(kymatio["levels"]):
            bins = 2048 >> level
            np.testing.assert_allclose(spread(band.folded(bins), bins), values * 2**level, atol=1e-14)


def test_wavelets_state_the_filters_they_stand_for() -> None:
    bank, (first, _) = filter_bank(4096, 5, (8, 1), 32), wavelets(5, (8, 1))
    for wavelet, band in zip(first, bank.first, strict=True):
        np.testing.assert_allclose(spread(band, 4096), morlet_1d(4096, wavelet.xi, wavelet.sigma), atol=1e-15)


def test_sd_in_time_is_that_of_the_envelope() -> None:
    wavelet = wavelets(5, (8, 1))[0][10]
    envelope = np.abs(np.fft.fftshift(np.fft.ifft(morlet_1d(4096, wavelet.xi, wavelet.sigma))))
    position = np.arange(4096) - 2048
    sd = np.sqrt((envelope * position**2).sum() / envelope.sum())
    assert sd == pytest.approx(wavelet.sd_samples, rel=1e-3)


@pytest.mark.parametrize("max_order", [1, 2])
@pytest.mark.parametrize(("J", "Q", "T"), PARAMETERS)
def test_paths_are_in_kymatios_order(J: int, Q: tuple[int, int], T: int, max_order: int) -> None:
    meta = ScatteringNumPy1D(J, 512, Q, T, max_order=max_order).meta()
    ours = paths(J, Q, max_order)
    assert [p.order for p in ours] == meta["order"].tolist()
    assert [tuple(n for n in (p.first, p.second) if n is not None) for p in ours] == meta["key"]


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

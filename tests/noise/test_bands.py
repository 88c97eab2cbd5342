"""Band means: shared edges, an independent loop, empty bands."""

from __future__ import annotations

import numpy as np
import pytest

from gravdask.noise.bands import band_means, octave_bands
from gravdask.noise.spectrum import daily_psd


def test_edges_are_the_same_for_every_rate() -> None:
    fine, coarse, slow = octave_bands(1.0), octave_bands(1 / 60), octave_bands(100.0)
    assert np.array_equal(fine.edges[: coarse.edges.size], coarse.edges)
    assert np.array_equal(slow.edges[: fine.edges.size], fine.edges)
    np.testing.assert_allclose(fine.edges[1:] / fine.edges[:-1], 2 ** (1 / 24))
    assert 1.0 in slow.edges


@pytest.mark.parametrize("rate", [1.0, 1 / 60, 20.0])
def test_bands_reach_from_one_a_day_to_nyquist(rate: float) -> None:
    bands = octave_bands(rate)
    assert bands.edges[0] <= 1 / 86400 < bands.edges[1]
    assert bands.edges[-2] < rate / 2 <= bands.edges[-1]
    assert np.all((bands.centre > bands.edges[:-1]) & (bands.centre < bands.edges[1:]))


def test_means_equal_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    frequency, psd = daily_psd(rng.normal(0, 1, 1440), 1 / 60)
    bands = octave_bands(1 / 60)
    means = band_means(frequency, psd, bands)
    for i, mean in enumerate(means):
        inside = (frequency >= bands.edges[i]) & (frequency < bands.edges[i + 1])
        assert mean == pytest.approx(psd[inside].mean()) if inside.any() else np.isnan(mean)
    assert np.isnan(means).any()
    assert np.isfinite(means[-100:]).all()


def test_a_flat_spectrum_stays_flat_and_missing_stays_missing() -> None:
    frequency = np.arange(43201) / 86400
    bands = octave_bands(1.0)
    means = band_means(frequency, np.full(43201, 4.2), bands)
    np.testing.assert_allclose(means[np.isfinite(means)], 4.2)
    assert np.isnan(band_means(frequency, np.full(43201, np.nan), bands)).all()

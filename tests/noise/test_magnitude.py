"""Noise magnitudes against closed forms, published pairs and the quiet-Earth model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gravdask.errors import NoiseError
from gravdask.noise.magnitude import band_bins, noise_magnitude, tidal_noise_magnitude
from gravdask.noise.models import nlnm
from gravdask.noise.spectrum import daily_psd

FREQUENCY = np.arange(43201) / 86400
UGAL2 = 100.0
"""One µGal² in (nm s⁻²)²."""


@pytest.mark.parametrize(
    ("psd_ugal", "snm"),
    [
        (9.0, 3.454),  # 3 µGal/√Hz, a gPhone's own noise
        (25.0, 3.898),
        (0.982, 2.492),  # published pairs, doi 10.11939/jass.20180068
        (3.938, 3.095),
        (0.640, 2.306),
        (0.977, 2.490),
        (2.0, 2.801),  # white noise of 1 µGal at 1 Hz, one-sided
        (2 / 12, 1.722),  # rounding to 1 µGal at 1 s
        (60 * 2 / 12, 3.500),  # ... and at 1 min
    ],
)
@pytest.mark.parametrize("band", ["SNM", "SSNM"])
def test_flat_spectra(psd_ugal: float, snm: float, band: str) -> None:
    flat = np.full(FREQUENCY.shape, psd_ugal * UGAL2)
    assert noise_magnitude(FREQUENCY, flat, band) == pytest.approx(snm, abs=5.1e-4)  # type: ignore[arg-type]


def test_zero_is_minus_185_decibel() -> None:
    flat = np.full(FREQUENCY.shape, 10 ** (-185 / 10) * 1e18)
    assert noise_magnitude(FREQUENCY, flat) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("duration", "band", "bins"),
    [
        (86400, "SNM", (144, 432)),
        (86400, "SSNM", (4, 24)),
        (86340, "SNM", (144, 431)),
        (86401, "SNM", (145, 432)),
        (3600, "SNM", (6, 18)),
        (30 * 86400, "TNM", (1, 119)),
    ],
)
def test_bins_by_integers(duration: float, band: str, bins: tuple[int, int]) -> None:
    assert band_bins(duration, band) == bins  # type: ignore[arg-type]


@pytest.mark.parametrize("interval", [1, 10, 20, 60])
def test_both_ends_belong_to_the_band_at_every_rate(interval: int) -> None:
    samples = 86400 // interval
    frequency, _ = daily_psd(np.zeros(samples), 1 / interval)
    for spike in (144, 432):
        psd = np.zeros(frequency.shape)
        psd[spike] = 289 * UGAL2
        assert noise_magnitude(frequency, psd) == pytest.approx(2.5, abs=1e-9)
    for outside in (143, 433):
        psd = np.zeros(frequency.shape)
        psd[outside] = 1.0
        assert noise_magnitude(frequency, psd) == -math.inf


def test_the_mean_is_linear() -> None:
    psd = np.where(np.arange(43201) % 2, 2 * UGAL2, 0.0)
    assert noise_magnitude(FREQUENCY, psd) == pytest.approx(math.log10(2 * 144 / 289) + 2.5)


def test_low_noise_model() -> None:
    with np.errstate(divide="ignore"):
        model = np.nan_to_num(nlnm(1 / FREQUENCY))
    assert noise_magnitude(FREQUENCY, model) == pytest.approx(-0.133, abs=2e-3)
    fine = np.linspace(1 / 21600, 1 / 3600, 20001)
    assert math.log10(nlnm(1 / fine).mean()) + 0.5 == pytest.approx(3.675, abs=5e-4)


@pytest.mark.parametrize(("interval", "expected"), [(1, 2.801), (60, 2.801 + math.log10(60))])
def test_white_noise_of_one_microgal(interval: int, expected: float) -> None:
    rng = np.random.default_rng(20)
    mean = 0.0
    days = 30
    for _ in range(days):
        frequency, psd = daily_psd(rng.normal(0, 10, 86400 // interval), 1 / interval)
        mean = mean + psd / days
    # The Hann window correlates neighbouring bins; a day scatters by 0.036.
    assert noise_magnitude(frequency, mean) == pytest.approx(expected, abs=3 * 0.036 / math.sqrt(days))


@pytest.mark.parametrize(("interval", "floor"), [(1, 1.722), (60, 3.50)])
def test_rounding_to_one_microgal_has_its_floor(interval: int, floor: float) -> None:
    rng = np.random.default_rng(21)
    mean = 0.0
    for _ in range(20):
        exact = rng.normal(0, 300, 86400 // interval)
        frequency, psd = daily_psd(np.round(exact / 10) * 10 - exact, 1 / interval)
        mean = mean + psd / 20
    assert noise_magnitude(frequency, mean) == pytest.approx(floor, abs=0.03)


def test_scatter_of_one_day_of_white_noise() -> None:
    rng = np.random.default_rng(22)
    values = [noise_magnitude(*daily_psd(rng.normal(0, 10, 1440), 1 / 60)) for _ in range(400)]
    assert np.std(values) == pytest.approx(0.036, abs=0.004)


def test_tidal_magnitude_of_a_day_is_refused_with_the_reason() -> None:
    with pytest.raises(NoiseError, match=r"30 days or more.*got 1 days.*tidal_noise_magnitude"):
        noise_magnitude(FREQUENCY, np.ones_like(FREQUENCY), "TNM")
    with pytest.raises(NoiseError, match="got 29 days"):
        tidal_noise_magnitude(np.zeros(29 * 24), 1 / 3600)


def test_tidal_magnitude_of_white_noise() -> None:
    rng = np.random.default_rng(23)
    found = tidal_noise_magnitude(1e6 * np.linspace(0, 1, 60 * 1440) + rng.normal(0, 10, 60 * 1440), 1 / 60)
    assert found.longest_period == pytest.approx(60 * 86400)
    assert found.valid_fraction == 1
    assert found.magnitude == pytest.approx(2.801 + math.log10(60), abs=0.15)


def test_tidal_magnitude_needs_valid_samples() -> None:
    record = np.random.default_rng(24).normal(0, 1, 31 * 24)
    record[:100] = np.nan
    found = tidal_noise_magnitude(record, 1 / 3600)
    assert math.isnan(found.magnitude)
    assert found.valid_fraction == pytest.approx(644 / 744)
    assert math.isfinite(tidal_noise_magnitude(record, 1 / 3600, min_valid=0.8).magnitude)


def test_what_the_sampling_does_not_resolve_is_missing() -> None:
    frequency, psd = daily_psd(np.random.default_rng(0).normal(0, 1, 24), 1 / 3600)
    assert math.isnan(noise_magnitude(frequency, psd, "SNM"))
    assert math.isnan(noise_magnitude(frequency, psd, "SSNM"))
    frequency, psd = daily_psd(np.random.default_rng(0).normal(0, 1, 96), 1 / 900)
    assert math.isfinite(noise_magnitude(frequency, psd, "SSNM"))
    assert math.isnan(noise_magnitude(FREQUENCY, np.full(FREQUENCY.shape, np.nan)))


@pytest.mark.parametrize(
    ("frequency", "psd", "band", "match"),
    [
        (FREQUENCY, FREQUENCY, "snm", "expected one of SNM, SSNM, TNM"),
        (FREQUENCY[1:], FREQUENCY[1:], "SNM", "evenly spaced from zero"),
        (2.0 ** np.arange(-10, 0), np.ones(10), "SNM", "evenly spaced from zero"),
        (FREQUENCY, FREQUENCY[:-1], "SNM", "one shape"),
        (np.zeros(5), np.zeros(5), "SNM", "evenly spaced"),
    ],
)
def test_wrong_use_is_refused(frequency: np.ndarray, psd: np.ndarray, band: str, match: str) -> None:
    with pytest.raises(NoiseError, match=match):
        noise_magnitude(frequency, psd, band)  # type: ignore[arg-type]

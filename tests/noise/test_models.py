"""Peterson's models against two independent tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gravdask.noise.models import nhnm, nlnm


def decibel(density: np.ndarray) -> np.ndarray:
    """(nm s⁻²)² Hz⁻¹ as dB relative to (m s⁻²)² Hz⁻¹."""
    return 10 * np.log10(density) - 180


def test_lines_meet_at_the_break_points() -> None:
    for model, breaks in ((nlnm, [0.17, 0.8, 5, 12, 45, 154, 328, 600, 1e4]), (nhnm, [0.22, 0.32, 4.6, 7.9, 354.8])):
        period = np.array(breaks)
        np.testing.assert_allclose(decibel(model(period * 0.99999)), decibel(model(period)), atol=0.07)


def test_outside_its_range_there_is_no_model() -> None:
    assert np.isnan(nlnm(np.array([0.05, 2e5, np.inf, np.nan]))).all()
    assert np.isfinite(nlnm(np.array([0.1, 1e5]))).all()
    assert nhnm(20.0).shape == ()


def test_high_lies_above_low() -> None:
    period = np.geomspace(0.1, 1e5, 500)
    assert np.all(nhnm(period) > nlnm(period))


@pytest.mark.real
@pytest.mark.parametrize(("model", "key"), [(nlnm, "low_noise"), (nhnm, "high_noise")])
def test_obspy_table(real_data: Path, model: object, key: str) -> None:
    with np.load(real_data / "reference/noise_models/obspy_noise_models.npz") as table:
        period, expected = table["model_periods"], table[key]
    np.testing.assert_allclose(decibel(model(period)), expected, atol=0.1)  # type: ignore[operator]


@pytest.mark.real
def test_break_points_of_gmetrology(real_data: Path) -> None:
    table = np.loadtxt(real_data / "reference/noise_models/gMetrology_NLNM.txt")
    np.testing.assert_allclose(decibel(nlnm(table[:, 0])), table[:, 1], atol=0.06)

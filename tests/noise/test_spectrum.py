"""The daily spectrum against SciPy, Parseval's theorem and hand-made gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from gravdask.errors import NoiseError
from gravdask.noise.spectrum import bridge_short_gaps, daily_psd, remove_polynomial, residual_psd


def day(seed: int = 0, samples: int = 1440) -> np.ndarray:
    """A day of gravity with drift, tide-like swing, noise and a dial reading."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, samples)
    return 5.9e7 + 3500 * x + 900 * np.cos(6 * x) + rng.normal(0, 8, samples)


@pytest.mark.parametrize(("samples", "rate"), [(1440, 1 / 60), (86400, 1.0), (1441, 1 / 60), (288, 1 / 300)])
@pytest.mark.parametrize("window", ["hann", "none"])
def test_equals_scipy_periodogram_of_the_detrended_day(samples: int, rate: float, window: str) -> None:
    gravity = day(1, samples)
    position = np.linspace(-1, 1, samples)
    flat = gravity - np.polynomial.Legendre.fit(position, gravity, 9, domain=[-1, 1])(position)
    name = "hann" if window == "hann" else "boxcar"
    expected_f, expected = signal.periodogram(flat, rate, name, detrend=False)
    frequency, psd = daily_psd(gravity, rate, window=window)  # type: ignore[arg-type]
    np.testing.assert_allclose(frequency, expected_f, rtol=1e-12)
    np.testing.assert_allclose(psd, expected, rtol=1e-6, atol=1e-9 * expected.max())


@pytest.mark.parametrize("samples", [1440, 1441])
def test_parseval(samples: int) -> None:
    residual = remove_polynomial(day(2, samples))
    frequency, psd = residual_psd(residual, 1 / 60)
    weights = signal.get_window("hann", samples)
    assert psd.sum() * frequency[1] == pytest.approx(np.sum((residual * weights) ** 2) / np.sum(weights**2), rel=1e-12)


def test_two_sided_halves_all_but_zero_and_nyquist() -> None:
    gravity = day(3)
    _, one = daily_psd(gravity, 1 / 60)
    _, two = daily_psd(gravity, 1 / 60, sided="two")
    np.testing.assert_allclose(one[1:-1], 2 * two[1:-1])
    assert one[0] == two[0]
    assert one[-1] == two[-1]


def test_a_sine_stands_at_its_bin_with_its_power() -> None:
    time = np.arange(86400)
    frequency, psd = daily_psd(7 * np.sin(2 * np.pi * 300 * time / 86400), 1.0)
    assert np.argmax(psd) == 300
    assert psd[298:303].sum() * frequency[1] == pytest.approx(49 / 2, rel=1e-6)


def test_a_polynomial_of_degree_9_leaves_nothing_on_any_offset() -> None:
    position = np.linspace(-1, 1, 1440)
    gravity = 5.9e7 + np.polynomial.legendre.legval(position, np.arange(1, 11) * 100.0)
    assert np.abs(remove_polynomial(gravity)).max() < 1e-6
    with_gap = gravity.copy()
    with_gap[200:500] = np.nan
    residual = remove_polynomial(with_gap)
    assert np.nanmax(np.abs(residual)) < 1e-6
    assert np.array_equal(np.isnan(residual), np.isnan(with_gap))


def test_polynomial_is_fitted_to_valid_samples_only() -> None:
    gravity = day(4)
    gravity[600:750] = np.nan
    valid = np.isfinite(gravity)
    position = np.linspace(-1, 1, 1440)
    fit = np.polynomial.Legendre.fit(position[valid], gravity[valid], 9, domain=[-1, 1])
    np.testing.assert_allclose(remove_polynomial(gravity)[valid], (gravity - fit(position))[valid], atol=1e-5)


def test_a_day_with_only_one_end_valid_is_still_fitted_well() -> None:
    """Legendre polynomials are far from orthogonal on a fifth of their interval; the basis is made so there."""
    gravity = day(5)
    gravity[300:] = np.nan
    residual = remove_polynomial(gravity)
    assert np.nanstd(residual) == pytest.approx(8, rel=0.1)


def test_gaps_count_as_zero_and_the_window_is_restored_over_valid_samples() -> None:
    gravity = day(6)
    gravity[700:900] = np.nan
    residual = remove_polynomial(gravity)
    weights = signal.get_window("hann", 1440)
    present = np.isfinite(residual)
    transform = np.fft.rfft(np.where(present, residual, 0) * weights)
    expected = 2 * np.abs(transform) ** 2 * 60 / np.sum(weights[present] ** 2)
    np.testing.assert_allclose(daily_psd(gravity, 1 / 60)[1][1:-1], expected[1:-1], rtol=1e-9)


def test_short_runs_are_bridged_in_the_residual() -> None:
    gravity = day(7)
    gravity[100:105] = np.nan
    gravity[400] = np.nan
    bridged = bridge_short_gaps(remove_polynomial(gravity))
    assert np.isfinite(bridged).all()
    weights = signal.get_window("hann", 1440)
    expected = 2 * np.abs(np.fft.rfft(bridged * weights)) ** 2 * 60 / np.sum(weights**2)
    np.testing.assert_allclose(daily_psd(gravity, 1 / 60)[1][1:-1], expected[1:-1], rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=50), st.integers(0, 7))
def test_bridging_follows_the_straight_line_and_keeps_long_gaps(missing: list[bool], longest: int) -> None:
    gone = np.asarray(missing)
    record = np.where(gone, np.nan, 3.0 * np.arange(gone.size))
    bridged = bridge_short_gaps(record, longest)
    for k in range(gone.size):
        before = np.flatnonzero(~gone[:k])
        after = np.flatnonzero(~gone[k:])
        run = k + after[0] - before[-1] - 1 if before.size and after.size else gone.size + 9
        if not gone[k] or run <= longest:
            assert bridged[k] == pytest.approx(3.0 * k)
        else:
            assert np.isnan(bridged[k])


def test_too_few_samples_give_nan() -> None:
    gravity = np.full(1440, np.nan)
    gravity[:10] = 1.0
    frequency, psd = daily_psd(gravity, 1 / 60)
    assert frequency.shape == psd.shape == (721,)
    assert np.isnan(psd).all()
    assert np.isnan(daily_psd(np.full(1440, np.nan), 1 / 60)[1]).all()


def test_input_may_be_integers_and_read_only() -> None:
    gravity = np.arange(1440)
    gravity.flags.writeable = False
    assert np.abs(daily_psd(gravity, 1 / 60)[1]).max() < 1e-9


def test_a_rate_stated_with_few_digits_is_snapped() -> None:
    np.testing.assert_array_equal(daily_psd(day(), 0.0166667)[0], daily_psd(day(), 1 / 60)[0])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"gravity": np.zeros((2, 5))}, r"one-dimensional.*\(2, 5\)"),
        ({"gravity": np.zeros(1)}, "2 samples or more"),
        ({"gravity": np.arange(50.0), "sided": "both"}, "expected 'one' or 'two'"),
        ({"gravity": np.arange(50.0), "window": "kaiser"}, "expected 'hann' or 'none'"),
    ],
)
def test_wrong_use_is_refused(arguments: dict[str, object], match: str) -> None:
    with pytest.raises(NoiseError, match=match):
        daily_psd(sampling_rate=1.0, **arguments)  # type: ignore[arg-type]

"""Decimation: what passes, what is stopped, and where the samples stand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal

from gravdask.errors import GridError
from gravdask.grid import Grid, Rate
from gravdask.preprocess.decimate import (
    LARGEST_STAGE,
    MISSING_SHARE,
    PASS,
    Decimation,
    decimate,
    decimate_span,
    decimation,
    factor_between,
    feature_rate,
)

Reader = Callable[..., Callable[[int, int], NDArray[np.float64]]]
FACTORS = [2, 3, 5, 7, 20, 40, 60, 100, 200, 13]


def impulse_response(made: Decimation) -> NDArray[np.float64]:
    """All stages as one filter at the rate of the original, by convolution of the stretched taps."""
    whole, step = np.ones(1), 1
    for stage in made.stages:
        stretched = np.zeros((len(stage.taps) - 1) * step + 1)
        stretched[::step] = stage.taps
        whole = np.convolve(whole, stretched)
        step *= stage.factor
    return whole


# --- filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", FACTORS)
def test_the_promised_ripple_and_attenuation(factor: int) -> None:
    made = decimation(factor)
    taps = impulse_response(made)
    frequency, response = signal.freqz(taps, worN=1 << 19, fs=float(factor))
    size = np.abs(response)
    assert np.max(np.abs(size[frequency <= PASS] - 1)) < 1e-4
    assert np.max(size[frequency >= 1 - PASS]) < 1e-5
    np.testing.assert_allclose(taps, taps[::-1], rtol=0, atol=1e-16)
    assert taps.sum() == pytest.approx(1, abs=1e-12)
    assert taps.size // 2 == made.half
    assert np.prod([stage.factor for stage in made.stages]) == factor
    assert max(stage.factor for stage in made.stages) <= max(LARGEST_STAGE, 13 if factor == 13 else 0)


def test_a_stage_is_a_full_filter_of_which_some_samples_are_kept() -> None:
    """Against SciPy: every stage's whole convolution, then every so many samples of it."""
    made = decimation(100)
    values = np.random.default_rng(0).normal(size=40_000)
    expected = values[made.halo - made.half : values.size - (made.halo - made.half)]
    for stage in made.stages:
        expected = np.convolve(expected, stage.taps, mode="valid")[:: stage.factor]
    np.testing.assert_allclose(decimate(made, values), expected, rtol=0, atol=1e-13)


def test_nothing_is_done_for_a_factor_of_one(reader: Reader) -> None:
    made = decimation(1)
    values = np.random.default_rng(0).normal(size=100)
    np.testing.assert_array_equal(decimate_span(made, reader(values), 10, 90), values[10:90])


@pytest.mark.parametrize(("frequency", "phase"), [(0.001, 0.3), (0.1, 1.0), (0.42, 2.0)])
def test_a_sine_keeps_amplitude_phase_and_place(reader: Reader, frequency: float, phase: float) -> None:
    """Sample k of the decimated record is the sine at sample 100 k of the original."""
    wave = np.cos(2 * np.pi * frequency * np.arange(40_000) / 100 + phase)
    found = decimate_span(decimation(100), reader(wave), 120, 280)
    np.testing.assert_allclose(found, np.cos(2 * np.pi * frequency * np.arange(120, 280) + phase), atol=1e-4)


@pytest.mark.parametrize("frequency", [0.56, 0.9, 1.0, 1.37, 9.95, 10.1, 25.0, 49.9])
def test_what_would_alias_is_gone(reader: Reader, frequency: float) -> None:
    wave = np.cos(2 * np.pi * frequency * np.arange(40_000) / 100)
    assert np.max(np.abs(decimate_span(decimation(100), reader(wave), 120, 280))) < 1e-5


def test_a_large_offset_keeps_its_small_digits(reader: Reader) -> None:
    wave = 9.8e9 + np.sin(2 * np.pi * 0.01 * np.arange(40_000) / 100)
    found = decimate_span(decimation(100), reader(wave), 120, 280) - 9.8e9
    np.testing.assert_allclose(found, np.sin(2 * np.pi * 0.01 * np.arange(120, 280)), atol=2e-4)


# --- gaps and chunks --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    factor=st.sampled_from([2, 5, 20, 100]),
    gaps=st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 9000)), max_size=5),
    spans=st.lists(st.tuples(st.integers(-300, 20_000), st.integers(1, 2000)), min_size=1, max_size=3),
    cut=st.integers(1, 2000),
)
def test_a_sample_does_not_depend_on_the_span_asked_for(
    reader: Reader, factor: int, gaps: list[tuple[int, int]], spans: list[tuple[int, int]], cut: int
) -> None:
    """To the last bit, and from no more of the original than is stated."""
    made = decimation(factor)
    values = np.random.default_rng(1).normal(3e5, 100, 30_500)
    for start, length in gaps:
        values[start : start + length] = np.nan
    whole = decimate_span(made, reader(values), -400, 23_000)
    for start, length in spans:
        stop = start + length
        expected = whole[start + 400 : stop + 400]
        np.testing.assert_array_equal(decimate_span(made, reader(values), start, stop), expected)
        low, high = made.reach(start, stop)
        seen = np.where((np.arange(30_500) >= low) & (np.arange(30_500) < high), values, np.nan)
        np.testing.assert_array_equal(decimate_span(made, reader(seen), start, stop), expected)
        middle = min(start + cut, stop)
        parts = [decimate_span(made, reader(values), *pair) for pair in ((start, middle), (middle, stop))]
        np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_long_records_are_read_in_pieces(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=60_000)
    whole = decimate_span(decimation(20), reader(values), 0, 3000)
    asked: list[int] = []

    def read(start: int, stop: int) -> NDArray[np.float64]:
        asked.append(stop - start)
        return np.asarray(reader(values)(start, stop))

    monkeypatch.setattr("gravdask.preprocess.decimate.PIECE_SAMPLES", 4000)
    np.testing.assert_array_equal(decimate_span(decimation(20), read, 0, 3000), whole)
    assert len(asked) == 15
    assert max(asked) < 4000 + 2 * decimation(20).halo + 20


def test_missing_stays_missing_within_the_filter(reader: Reader) -> None:
    made = decimation(20)
    values = np.random.default_rng(3).normal(size=40_000)
    clean = decimate_span(made, reader(values), 0, 2000)
    values[20_000:24_000] = np.nan
    found = decimate_span(made, reader(values), 0, 2000)
    assert np.isnan(found[1000:1200]).all()
    lost = np.flatnonzero(np.isnan(found[100:1900])) + 100
    assert lost.min() >= 1000 - made.half // 20
    assert lost.max() <= 1200 + made.half // 20
    far = np.abs(np.arange(2000) - 1100) > 100 + made.half // 20 + 1
    np.testing.assert_array_equal(found[far], clean[far])
    assert np.isnan(decimate_span(made, reader(np.full(5000, np.nan)), 0, 200)).all()
    assert 0 < MISSING_SHARE < 0.5


def test_a_few_missing_samples_of_a_fast_record_cost_nothing(reader: Reader) -> None:
    wave = np.cos(2 * np.pi * 0.05 * np.arange(40_000) / 100)
    wave[20_000] = wave[25_003] = np.nan
    wave[30_000:30_004] = np.nan
    found = decimate_span(decimation(100), reader(wave), 120, 380)
    np.testing.assert_allclose(found, np.cos(2 * np.pi * 0.05 * np.arange(120, 380)), atol=1e-4)


# --- rates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "wanted", "expected"),
    [
        (Rate(1, 1), "", Rate(1, 1)), (Rate(2, 1), "", Rate(2, 1)), (Rate(1, 60), "", Rate(1, 60)),
        (Rate(100, 1), "", Rate(1, 1)), (Rate(20, 1), "", Rate(1, 1)), (Rate(5, 2), "", Rate(5, 6)),
        (Rate(100, 1), "20Hz", Rate(20, 1)), (Rate(100, 1), "100Hz", Rate(100, 1)), (Rate(2, 1), "1Hz", Rate(1, 1)),
        (Rate(1, 1), "20s", Rate(1, 20)), (Rate(1, 60), "1Hz", Rate(1, 60)), (Rate(125, 4), "1Hz", Rate(125, 128)),
    ],
)  # fmt: skip
def test_rates_of_features(rate: Rate, wanted: str, expected: Rate) -> None:
    found = feature_rate(rate, wanted)
    assert found == expected
    assert found.samples_per_day * factor_between(rate, found) == rate.samples_per_day
    grid, slow = Grid(rate, 12_345), Grid(found, 12_345)
    assert slow.time_ns(1_000_003) == grid.time_ns(1_000_003 * factor_between(rate, found))


def test_what_is_no_rate_is_refused() -> None:
    with pytest.raises(GridError, match="not a sampling rate"):
        feature_rate(Rate(100, 1), "often")

"""Instrument responses: their values at frequencies, and records freed of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal

from gravdask.errors import UnitsError
from gravdask.preprocess.deconvolution import (
    EDGE_PERIODS,
    MISSING_SHARE,
    band_edges,
    deconvolve,
    design,
    fault,
    filter_span,
    inverse_filter,
    lengths_of,
    reach,
    resolved_band,
    velocity_filter,
)
from gravdask.preprocess.response import DigitalStage, ResponseEpoch, joined

Reader = Callable[..., Callable[[int, int], NDArray[np.float64]]]
ALWAYS = (-(2**62), 2**62)
# A broadband sensor with corners at 120 s and 10 s, as a plain damped pendulum each; counts per m/s.
BROADBAND = ResponseEpoch(
    *ALWAYS,
    sensitivity=6.0e8,
    frequency_hz=0.05,
    input_unit="M/S",
    poles=((-0.03702, 0.03702), (-0.03702, -0.03702), (-20.0, 0.0)),
    zeros=((0.0, 0.0), (0.0, 0.0)),
)
BAND = (0.002, 0.0)
SECOND = 10**9


def times(start: int, stop: int) -> NDArray[np.int64]:
    """One sample a second from 1970 on."""
    return np.arange(start, stop, dtype=np.int64) * SECOND


# --- values of a response ---------------------------------------------------------------------------------------------


def test_poles_and_zeros_as_scipy_evaluates_them() -> None:
    frequency = np.geomspace(1e-4, 10, 200)
    zeros, poles = [complex(*z) for z in BROADBAND.zeros], [complex(*p) for p in BROADBAND.poles]
    _, expected = signal.freqs_zpk(zeros, poles, 3.5e9, worN=2 * np.pi * frequency)
    np.testing.assert_allclose(replace(BROADBAND, gain=3.5e9).at(frequency), expected, rtol=1e-12)


def test_without_a_gain_the_response_has_its_sensitivity() -> None:
    assert abs(BROADBAND.at([0.05])[0]) == pytest.approx(6.0e8, rel=1e-12)
    assert abs(BROADBAND.at([1e-3])[0]) < 0.02 * 6.0e8


def test_digital_stages_as_scipy_evaluates_them() -> None:
    frequency = np.linspace(0, 20, 101)
    numerator, denominator = (0.2, 0.5, 0.3), (1.0, -0.25)
    stage = DigitalStage(40.0, numerator, denominator)
    _, expected = signal.freqz(numerator, denominator, worN=frequency, fs=40.0)
    np.testing.assert_allclose(stage.at(frequency), expected, atol=1e-13)


def test_a_symmetric_filter_whose_delay_is_corrected_shifts_nothing() -> None:
    taps = tuple(signal.firwin(31, 0.8))
    stage = DigitalStage(1.0, taps, correction_s=15.0)
    assert np.max(np.abs(stage.at(np.linspace(0, 0.5, 64)).imag)) < 1e-13
    late = replace(stage, correction_s=14.0)
    np.testing.assert_allclose(np.angle(late.at(np.array([0.01, 0.1]))), [-0.0628318, -0.628318], rtol=1e-5)


def test_counts_per_acceleration_of_a_velocity_sensor() -> None:
    found = BROADBAND.acceleration_at([0.0, 0.05])
    assert found[0] == 0
    assert abs(found[1]) == pytest.approx(6.0e8 / 1e9 / (2 * np.pi * 0.05), rel=1e-12)
    flat = ResponseEpoch(*ALWAYS, 2.0, 1.0, "m/s**2")
    np.testing.assert_allclose(flat.acceleration_at([0.0, 3.0]), 2e-9)
    assert BROADBAND.of_velocity
    assert not flat.of_velocity
    assert BROADBAND.counts_per_unit == pytest.approx(0.6)
    assert replace(flat, sensitivity=0.0, gain=4.0).counts_per_unit == pytest.approx(4e-9)


def test_a_sensitivity_where_the_response_is_nothing_is_refused() -> None:
    with pytest.raises(UnitsError, match=r"sensitivity of 6e\+08 at 0 Hz"):
        replace(BROADBAND, frequency_hz=0.0).at([0.1])


@pytest.mark.parametrize("unit", ["Pa", "counts", "V"])
def test_a_response_from_something_else_gives_no_motion(unit: str) -> None:
    with pytest.raises(UnitsError, match="gives no ground motion"):
        replace(BROADBAND, input_unit=unit).acceleration_at([0.1])
    assert "no ground motion" in fault([replace(BROADBAND, input_unit=unit)], 1.0, BAND)


def test_a_response_survives_json() -> None:
    full = replace(BROADBAND, gain=1.5, stages=(DigitalStage(1.0, (0.5, 0.5), (1.0,), 0.5),))
    assert ResponseEpoch.from_dict(json.loads(json.dumps(full.to_dict()))) == full
    assert ResponseEpoch.from_dict({**BROADBAND.to_dict(), "stages": []}) == BROADBAND
    with pytest.raises(TypeError):
        ResponseEpoch.from_dict({"poles": []})


def test_epochs_of_the_same_response_are_joined() -> None:
    a, b = replace(BROADBAND, start_ns=0, end_ns=10), replace(BROADBAND, start_ns=10, end_ns=20)
    other = replace(BROADBAND, start_ns=20, end_ns=30, sensitivity=1.0)
    assert joined([other, b, a]) == (replace(a, end_ns=20), other)
    assert len(joined([a, replace(b, start_ns=11)])) == 2
    assert joined([]) == ()


# --- the inverse filter -----------------------------------------------------------------------------------------------


def test_the_stated_error_is_that_of_the_filter() -> None:
    """The filter's own spectrum times the response is 1 within the band, to the error it states."""
    made = inverse_filter(BROADBAND, 1.0, BAND)
    assert made.error < 1e-3
    frequency = np.fft.rfftfreq(made.lengths.size)
    inside = (frequency >= 0.002) & (frequency <= 0.4)
    product = made.spectrum[inside] * BROADBAND.acceleration_at(frequency[inside])
    assert np.max(np.abs(product - 1)) <= made.error * 1.01
    assert np.max(np.abs(made.spectrum[frequency < 0.0009])) < made.leak * 1.01 * np.max(np.abs(made.spectrum[inside]))
    assert abs(made.spectrum[0]) < 1e-12


@pytest.mark.parametrize("frequency", [0.0025, 0.01, 0.1, 0.35])
def test_a_sine_comes_back_with_its_amplitude_and_phase(reader: Reader, frequency: float) -> None:
    k = np.arange(60_000)
    truth = 100 * np.cos(2 * np.pi * frequency * k + 0.7)
    counts = np.real(100 * BROADBAND.acceleration_at([frequency])[0] * np.exp(1j * (2 * np.pi * frequency * k + 0.7)))
    found = deconvolve([BROADBAND], reader(counts), times, 1.0, BAND, 20_000, 40_000)
    assert np.max(np.abs(found - truth[20_000:40_000])) < 0.1


def test_an_offset_of_millions_of_counts_gives_nothing(reader: Reader) -> None:
    found = deconvolve([BROADBAND], reader(np.full(40_000, 3.1e7)), times, 1.0, BAND, 10_000, 30_000)
    assert np.max(np.abs(found)) == 0
    drifting = 1e6 + 0.5 * np.arange(60_000.0)
    found = deconvolve([BROADBAND], reader(drifting), times, 1.0, BAND, 20_000, 40_000)
    # A drift is a constant velocity gained: it leaves an offset far below one count, and no more.
    assert np.max(np.abs(found)) < 0.03
    assert np.ptp(found) < 1e-9


def test_velocity_from_acceleration(reader: Reader) -> None:
    k = np.arange(60_000)
    wave = np.cos(2 * np.pi * 0.02 * k)
    found = filter_span(velocity_filter(1.0, BAND), reader(wave), 20_000, 21_000)
    np.testing.assert_allclose(found, np.sin(2 * np.pi * 0.02 * k[20_000:21_000]) / (2 * np.pi * 0.02), atol=0.02)


def test_what_the_sensor_hardly_feels_is_not_amplified() -> None:
    """A geophone behind a high-pass at 500 s: the filter stops at the water level instead of multiplying by 1e5."""
    poles, zeros = ((-4.44, 4.44), (-4.44, -4.44), (-1.0, 0.0)), ((0.0, 0.0),) * 3
    geophone = replace(BROADBAND, poles=poles, zeros=zeros, frequency_hz=5.0)
    made = inverse_filter(geophone, 1.0, BAND)
    frequency = np.fft.rfftfreq(made.lengths.size)
    largest = np.max(np.abs(geophone.acceleration_at(frequency[(frequency > 0.002) & (frequency < 0.4)])))
    assert 0.9e3 / largest < np.max(np.abs(made.spectrum)) < 1.1e3 / largest
    assert 1 / np.abs(geophone.acceleration_at([0.002])[0]) > 1e4 / largest
    low, high = resolved_band(geophone, 1.0, BAND)
    assert 0.003 < low < 0.1
    assert high == pytest.approx(0.4)
    assert resolved_band(BROADBAND, 1.0, BAND) == pytest.approx((0.002, 0.4))


@pytest.mark.parametrize("band", [(0.5, 0.0), (0.1, 0.05), (0.41, 0.0)])
def test_a_band_of_which_nothing_is_left_is_refused(band: tuple[float, float]) -> None:
    with pytest.raises(UnitsError, match="leaves nothing of a record of 1 Hz"):
        band_edges(band, 1.0)
    assert "leaves nothing" in fault([BROADBAND], 1.0, band)


# --- gaps, epochs, chunks ---------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    gaps=st.lists(st.tuples(st.integers(0, 15_000), st.integers(1, 3000)), max_size=4),
    spans=st.lists(st.tuples(st.integers(-500, 16_000), st.integers(1, 9000)), min_size=1, max_size=3),
)
def test_a_sample_does_not_depend_on_the_span_asked_for(
    reader: Reader, seed: int, gaps: list[tuple[int, int]], spans: list[tuple[int, int]]
) -> None:
    """To the last bit, gaps and all."""
    band = (0.02, 0.0)
    counts = np.random.default_rng(seed).normal(-5e4, 300, 15_500)
    for start, length in gaps:
        counts[start : start + length] = np.nan
    whole = deconvolve([BROADBAND], reader(counts), times, 1.0, band, -1000, 26_000)
    for start, length in spans:
        part = deconvolve([BROADBAND], reader(counts), times, 1.0, band, start, start + length)
        np.testing.assert_array_equal(part, whole[start + 1000 : start + length + 1000])
        low, high = reach(1.0, band, start, start + length)
        seen = np.where((np.arange(15_500) >= low) & (np.arange(15_500) < high), counts, np.nan)
        again = deconvolve([BROADBAND], reader(seen), times, 1.0, band, start, start + length)
        np.testing.assert_array_equal(again, part)


def test_blocks_meet_without_a_seam(reader: Reader) -> None:
    """The same record on another absolute grid falls into other blocks: values differ by rounding only."""
    band = (0.02, 0.0)
    counts = np.random.default_rng(4).normal(2e5, 300, 30_000)
    counts[9000:9700] = np.nan
    lengths = lengths_of(1.0, 0.02)
    moved = lengths.block // 3
    one = deconvolve([BROADBAND], reader(counts), times, 1.0, band, 1000, 29_000)
    other = deconvolve([BROADBAND], reader(counts, moved), times, 1.0, band, 1000 + moved, 29_000 + moved)
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    assert np.nanmax(np.abs(one - other)) < 1e-9 * np.nanstd(one)


def test_missing_stays_missing_and_a_gap_reaches_no_farther_than_its_halo(reader: Reader) -> None:
    band = (0.02, 0.0)
    counts = np.random.default_rng(5).normal(0, 300, 20_000)
    clean = deconvolve([BROADBAND], reader(counts), times, 1.0, band, 4000, 16_000)
    holed = counts.copy()
    holed[10_000:10_400] = np.nan
    found = deconvolve([BROADBAND], reader(holed), times, 1.0, band, 4000, 16_000)
    lost = np.flatnonzero(np.isnan(found)) + 4000
    assert np.isnan(found[6000:6400]).all()
    edge = round(EDGE_PERIODS * 50)
    assert lost.min() == pytest.approx(10_000 - edge, abs=5)
    assert lost.max() == pytest.approx(10_400 + edge - 1, abs=5)
    beyond = np.abs(np.arange(4000, 16_000) - 10_200) > 200 + lengths_of(1.0, 0.02).halo
    np.testing.assert_allclose(found[beyond], clean[beyond], rtol=0, atol=1e-9 * np.nanstd(clean))


def test_single_missing_samples_cost_only_themselves(reader: Reader) -> None:
    k = np.arange(20_000)
    frequency = 0.03
    counts = np.real(BROADBAND.acceleration_at([frequency])[0] * np.exp(2j * np.pi * frequency * k))
    counts[[9000, 10_000, 11_000]] = np.nan
    found = deconvolve([BROADBAND], reader(counts), times, 1.0, (0.02, 0.0), 8000, 12_000)
    assert np.flatnonzero(np.isnan(found)).tolist() == [1000, 2000, 3000]
    assert np.nanmax(np.abs(found - np.cos(2 * np.pi * frequency * k[8000:12_000]))) < 0.05
    assert MISSING_SHARE < 0.3


def test_a_change_of_gain_in_the_middle_is_honoured(reader: Reader) -> None:
    edge = 10_000
    first = replace(BROADBAND, end_ns=edge * SECOND)
    second = replace(BROADBAND, start_ns=edge * SECOND, sensitivity=3 * BROADBAND.sensitivity)
    k = np.arange(20_000)
    counts = np.real(BROADBAND.acceleration_at([0.05])[0] * np.exp(2j * np.pi * 0.05 * k))
    counts[edge:] *= 3
    found = deconvolve([second, first], reader(counts), times, 1.0, (0.02, 0.0), 5000, 15_000)
    lost = np.flatnonzero(np.isnan(found)) + 5000
    assert lost.size
    assert np.abs(lost - edge).max() < 50
    truth = np.cos(2 * np.pi * 0.05 * k[5000:15_000])
    assert np.nanmax(np.abs(found - truth)) < 0.3
    away = np.abs(np.arange(5000, 15_000) - edge) > 400
    assert np.max(np.abs(found - truth)[away]) < 1e-3
    # Where nothing is known of the response there are no values.
    assert np.isnan(deconvolve([first], reader(counts), times, 1.0, (0.02, 0.0), edge + 1, edge + 100)).all()
    assert np.isnan(deconvolve([], reader(counts), times, 1.0, (0.02, 0.0), 0, 10)).all()


def test_epochs_without_a_change_leave_no_trace(reader: Reader) -> None:
    counts = np.random.default_rng(6).normal(0, 300, 20_000)
    halves = [replace(BROADBAND, end_ns=10_000 * SECOND), replace(BROADBAND, start_ns=10_000 * SECOND)]
    whole = deconvolve([BROADBAND], reader(counts), times, 1.0, (0.02, 0.0), 8000, 12_000)
    np.testing.assert_array_equal(deconvolve(halves, reader(counts), times, 1.0, (0.02, 0.0), 8000, 12_000), whole)


def test_a_filter_of_nothing_wanted_does_nothing(reader: Reader) -> None:
    made = design(lambda frequency: np.ones(frequency.shape, np.complex128), 1.0, (0.02, 0.4))
    wave = np.cos(2 * np.pi * 0.1 * np.arange(10_000))
    np.testing.assert_allclose(filter_span(made, reader(wave), 4000, 6000), wave[4000:6000], atol=2e-3)


# --- real records -----------------------------------------------------------------------------------------------------


def epoch_of(response: Any) -> ResponseEpoch:
    """Read obspy's response by hand: poles, zeros, gains and FIR coefficients of all stages."""
    zeros, poles, gain, stages = [], [], 1.0, []
    for stage in response.response_stages:
        gain *= stage.stage_gain
        if type(stage).__name__ == "PolesZerosResponseStage":
            zeros += [(complex(z).real, complex(z).imag) for z in stage.zeros]
            poles += [(complex(p).real, complex(p).imag) for p in stage.poles]
            gain *= stage.normalization_factor
            continue
        taps = [float(c) for c in getattr(stage, "numerator", None) or getattr(stage, "coefficients", None) or [1.0]]
        if getattr(stage, "symmetry", "NONE") == "EVEN":
            taps += taps[::-1]
        if getattr(stage, "symmetry", "NONE") == "ODD":
            taps += taps[-2::-1]
        rate, late = stage.decimation_input_sample_rate, stage.decimation_correction or 0.0
        stages.append(DigitalStage(float(rate), tuple(taps), correction_s=float(late)))
    total = response.instrument_sensitivity
    return ResponseEpoch(
        *ALWAYS, total.value, total.frequency, total.input_units, tuple(poles), tuple(zeros), gain, tuple(stages)
    )


@pytest.fixture(scope="module")
def anmo(real_data: Path) -> SimpleNamespace:
    """IU.ANMO 00 LHZ of 2010-001 in counts, with its response by obspy and as plain numbers."""
    obspy = pytest.importorskip("obspy")
    inventory = obspy.read_inventory(str(real_data / "metadata/IU.ANMO_2010/IUANMO.xml"))
    trace = obspy.read(str(real_data / "seismic/sds/2010/IU/ANMO/LHZ.D/IU.ANMO.00.LHZ.D.2010.001"))[0]
    response = inventory[0][0][0].response
    return SimpleNamespace(inventory=inventory, trace=trace, response=response, epoch=epoch_of(response))


@pytest.mark.real
def test_a_full_response_as_evalresp_evaluates_it(anmo: SimpleNamespace) -> None:
    frequency = np.geomspace(1e-4, 0.45, 300)
    expected = anmo.response.get_evalresp_response_for_frequencies(frequency, "ACC") * 1e-9
    # evalresp brings the FIR coefficients, whose sum is 0.9999989, to a sum of 1
    np.testing.assert_allclose(anmo.epoch.acceleration_at(frequency), expected, rtol=2e-6)


@pytest.mark.real
def test_a_day_as_obspy_frees_it_of_its_response(reader: Reader, anmo: SimpleNamespace) -> None:
    counts = anmo.trace.data.astype(np.float64)
    found = deconvolve([anmo.epoch], reader(counts), times, 1.0, (0.001, 0.0), 0, counts.size)
    assert np.isnan(found[:100]).all()
    assert np.isfinite(found[100:-100]).all()
    other = anmo.trace.copy()
    other.data = counts - counts.mean()
    other.remove_response(
        inventory=anmo.inventory, output="ACC", pre_filt=(0.0005, 0.001, 0.4, 0.49), water_level=None,
        taper=True, taper_fraction=0.02,
    )  # fmt: skip
    inner = slice(10_000, -10_000)
    difference = found[inner] - 1e9 * other.data[inner]
    # obspy's cosine edges of the band are not ours: the rest is of 1000 to 2000 s and at Nyquist
    assert np.std(difference) < 0.005 * np.std(found[inner])
    frequency, power = signal.welch(found[inner], 1.0, nperseg=8192)
    _, expected = signal.welch(1e9 * other.data[inner], 1.0, nperseg=8192)
    band = (frequency > 1 / 600) & (frequency < 0.39)
    np.testing.assert_allclose(power[band], expected[band], rtol=5e-3)


@pytest.mark.real
@pytest.mark.parametrize("length", [10, 25, 45, 120, 1200])
def test_what_a_gap_costs_its_neighbourhood(reader: Reader, anmo: SimpleNamespace, length: int) -> None:
    """A day with a gap made in it against the whole day, in all periods and in those of 200 to 600 s."""
    counts = anmo.trace.data.astype(np.float64)
    band = (0.001, 0.0)
    whole = deconvolve([anmo.epoch], reader(counts), times, 1.0, band, 1000, 85_000)
    sos = signal.butter(3, [1 / 600, 1 / 200], "bandpass", fs=1.0, output="sos")
    long_waves = np.std(signal.sosfiltfilt(sos, whole))
    for start in (15_000, 40_000, 66_000):
        holed = counts.copy()
        holed[start : start + length] = np.nan
        found = deconvolve([anmo.epoch], reader(holed), times, 1.0, band, 1000, 85_000)
        difference = found - whole
        lost = np.isnan(difference)
        assert lost.sum() == (length if length <= 30 else length + 200)
        k = np.arange(1000, 85_000)
        distance = np.where(k < start, start - k, k - (start + length - 1))
        far = (distance >= 50) & ~lost
        assert np.sqrt(np.mean(difference[far & (distance < 500)] ** 2)) < 0.003 * np.std(whole)
        slow = signal.sosfiltfilt(sos, np.where(lost, 0, difference))
        assert np.sqrt(np.mean(slow[(distance >= 250) & (distance < 1000)] ** 2)) < 0.08 * long_waves


@pytest.mark.real
def test_the_izu_earthquake_as_another_program_gives_it(reader: Reader, real_data: Path) -> None:
    """2012-001 as asl-sensorloc freed it of its response, to acceleration in m s⁻² (its file does not say so)."""
    obspy = pytest.importorskip("obspy")
    inventory = obspy.read_inventory(str(real_data / "metadata/resp/RESP.IU.ANMO.00.LHZ"))
    when = obspy.UTCDateTime(2012, 1, 1, 12)
    (channel,) = [c for n in inventory for s in n for c in s if c.is_active(time=when)]
    trace = obspy.read(str(real_data / "seismic/sds/2012/IU/ANMO/LHZ.D/IU.ANMO.00.LHZ.D.2012.001"))[0]
    other = obspy.read(str(real_data / "reference/deconvolution/IU.ANMO.00.LHZ.2012.001.deconv_by_asl.mseed"))[0]
    counts = trace.data.astype(np.float64)
    found = deconvolve([epoch_of(channel.response)], reader(counts), times, 1.0, (0.001, 0.0), 0, counts.size)
    inner = slice(10_000, -10_000)
    frequency, ours = signal.welch(found[inner], 1.0, nperseg=8192)
    _, theirs = signal.welch(1e9 * other.data[inner], 1.0, nperseg=8192)
    _, cross = signal.csd(1e9 * other.data[inner], found[inner], 1.0, nperseg=8192)
    short = (frequency > 1 / 30) & (frequency < 0.39)
    # the power is 2.1e-6 too large: the FIR coefficients, whose sum is 0.9999989, were brought to a sum of 1 there
    np.testing.assert_allclose(ours[short] / theirs[short], 1.0000021, atol=2e-6)
    assert np.max(np.abs(np.angle(cross[short]))) < 1e-5
    band = (frequency > 1 / 600) & (frequency < 1 / 200)
    assert np.median(ours[band] / theirs[band]) == pytest.approx(1, abs=0.01)
    assert np.max(np.abs(np.angle(cross[band]))) < 0.03

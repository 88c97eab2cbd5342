"""Flags of possibly clipped samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from gravdask.preprocess.clipping import FLAT_SAMPLES, NEAR_LIMIT, flat_tops, over_limit, spans


def quake(peak: float) -> np.ndarray:
    """A day of noise of unit size with a wave train of a given peak in it."""
    k = np.arange(8000)
    train = peak * np.exp(-(((k - 4000) / 300) ** 2)) * np.sin(2 * np.pi * k / 40)
    return np.round(train + np.random.default_rng(0).normal(0, 3, k.size))


def test_a_clipped_wave_train_has_flat_tops_and_a_whole_one_has_none() -> None:
    assert not flat_tops(quake(1000)).any()
    clipped = np.clip(quake(1000), -600, 600)
    flagged = flat_tops(clipped)
    assert flagged.any()
    assert (np.abs(clipped[flagged]) == 600).all()
    for start, stop in spans(flagged, 100):
        assert stop - start >= FLAT_SAMPLES
        assert (
            np.abs(clipped[start - 100 : stop - 100] == 600).all() or (clipped[start - 100 : stop - 100] == -600).all()
        )


def test_constant_records_and_coarse_ones_are_not_clipped() -> None:
    """Equal samples alone are no sign: a dead channel, and the last digit of a quiet one, are at no limit."""
    assert not flat_tops(np.full(1000, 7.0)).any()
    assert not flat_tops(np.round(np.random.default_rng(1).normal(0, 0.3, 5000))).any()
    staircase = np.repeat(np.arange(200.0), 10)
    assert not flat_tops(staircase)[20:-20].any()
    assert not flat_tops(np.full(1000, np.nan)).any()
    assert not flat_tops(np.empty(0)).any()


def test_saturation_beside_a_gap_counts() -> None:
    values = np.random.default_rng(2).normal(0, 3, 1000)
    values[500:510] = 32_725
    values[510:600] = np.nan
    assert spans(flat_tops(values)) == [(500, 510)]
    values[:10] = -32_768
    assert spans(flat_tops(values), 5) == [(5, 15), (505, 515)]


def test_velocity_near_the_limit() -> None:
    velocity = np.array([0.0, 94.0, -95.0, 96.0, np.nan, -200.0])
    assert over_limit(velocity, 100.0).tolist() == [False, False, True, True, False, True]
    assert NEAR_LIMIT == 0.95


def test_the_limit_shows_where_band_passing_has_rounded_the_flat_tops() -> None:
    clipped = np.clip(quake(1000), -600, 600)
    rounded = signal.sosfiltfilt(signal.butter(4, [0.005, 0.06], "bandpass", fs=1.0, output="sos"), clipped)
    assert not flat_tops(rounded).any()
    assert over_limit(rounded, 600).any()


@pytest.mark.real
def test_a_great_earthquake_is_clipped_only_where_it_was_made_so(real_data: Path) -> None:
    """Tohoku at BFO, 20 Hz: no flag; the same behind a digitizer of half its range: flagged at that level only."""
    obspy = pytest.importorskip("obspy")
    whole = obspy.read(str(real_data / "seismic/events/GR.BFO_BHZ_tohoku.sac"))[0].data.astype(np.float64)
    assert not flat_tops(whole).any()
    half = 0.5 * np.abs(whole).max()
    clipped = np.clip(whole, -half, half)
    flagged = flat_tops(clipped)
    assert (np.abs(clipped[flagged]) == half).all()
    assert flagged.sum() > 0.9 * np.sum(np.abs(whole) > half)


@pytest.mark.real
@pytest.mark.parametrize(
    "name", ["2010/IU/ANMO/LHZ.D/IU.ANMO.00.LHZ.D.2010.001", "2014/IU/COLA/LHZ.D/IU.COLA.10.LHZ.D.2014.039"]
)
def test_quiet_days_are_not_clipped(real_data: Path, name: str) -> None:
    obspy = pytest.importorskip("obspy")
    counts = obspy.read(str(real_data / "seismic/sds" / name))[0].data.astype(np.float64)
    assert not any(flat_tops(counts[k : k + 4096]).any() for k in range(0, counts.size, 4096))


def test_the_turn_of_a_slow_tide_in_coarse_numbers_is_no_flat_top() -> None:
    minutes = np.arange(512)
    tide = np.round(300 * np.cos(2 * np.pi * (minutes - 200) / 745))
    assert (np.diff(tide) == 0).sum() > 20
    assert not flat_tops(tide).any()
    # A converter at its limit cuts a steep wave.
    wave = np.clip(np.round(300 * np.cos(2 * np.pi * minutes / 40)), -200, 200)
    assert flat_tops(wave).sum() > 100

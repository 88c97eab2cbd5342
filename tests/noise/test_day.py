"""One day's noise, quiet days, and record 334 to the published digits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gravdask.errors import NoiseError
from gravdask.noise.bands import band_means, octave_bands
from gravdask.noise.day import day_noise, select_days
from gravdask.noise.magnitude import noise_magnitude
from gravdask.noise.spectrum import daily_psd
from gravdask.preprocess.chain import residual


def test_a_day_is_what_its_parts_say() -> None:
    gravity = np.random.default_rng(1).normal(5e6, 10, 1440)
    found = day_noise(gravity, 1 / 60)
    frequency, psd = daily_psd(gravity, 1 / 60)
    assert found.snm == noise_magnitude(frequency, psd, "SNM")
    assert found.ssnm == noise_magnitude(frequency, psd, "SSNM")
    assert found.rms == pytest.approx(10, rel=0.05)
    assert found.valid_fraction == 1
    np.testing.assert_array_equal(found.psd, band_means(frequency, psd, octave_bands(1 / 60)))


@pytest.mark.parametrize(("missing", "silent"), [(0, False), (144, False), (145, True), (1440, True)])
def test_a_day_needs_nine_tenths_of_its_samples(missing: int, silent: bool) -> None:
    gravity = np.random.default_rng(2).normal(0, 10, 1440)
    gravity[1440 - missing :] = np.nan
    found = day_noise(gravity, 1 / 60)
    assert found.valid_fraction == pytest.approx(1 - missing / 1440)
    assert np.isnan([found.snm, found.ssnm, found.rms]).all() == silent
    assert np.isnan(found.psd).all() == silent
    assert np.isfinite(day_noise(gravity, 1 / 60, min_valid=0.0).snm) == (missing < 1440)


def test_hourly_days_have_no_seismic_magnitude_but_an_rms() -> None:
    found = day_noise(np.random.default_rng(3).normal(0, 10, 24), 1 / 3600)
    assert np.isnan(found.snm)
    assert found.rms > 0


def test_scaling_a_day_tenfold_adds_two() -> None:
    gravity = np.random.default_rng(4).normal(0, 10, 1440)
    assert day_noise(10 * gravity, 1 / 60).snm - day_noise(gravity, 1 / 60).snm == pytest.approx(2)


def test_one_gap_of_a_tenth_hardly_biases() -> None:
    rng = np.random.default_rng(5)
    change = []
    for _ in range(60):
        gravity = rng.normal(0, 10, 1440)
        gappy = gravity.copy()
        first = rng.integers(0, 1440 - 144)
        gappy[first : first + 144] = np.nan
        change.append(day_noise(gappy, 1 / 60).snm - day_noise(gravity, 1 / 60).snm)
    assert abs(np.mean(change)) < 0.006
    assert np.std(change) < 0.03


def test_selection_of_quiet_days() -> None:
    rms = np.array([5.0, np.nan, 1.0, 3.0, 2.0, 2.0, 9.0])
    assert np.array_equal(select_days(rms), np.isfinite(rms))
    assert np.array_equal(np.flatnonzero(select_days(rms, "quietest", count=2)), [2, 4])
    assert select_days(rms, "quietest", count=50).sum() == 6
    assert np.array_equal(np.flatnonzero(select_days(rms, "percentile", percentile=60)), [2, 3, 4, 5])
    assert not select_days(np.full(3, np.nan), "percentile").any()
    with pytest.raises(NoiseError, match="expected 'all', 'quietest' or 'percentile'"):
        select_days(rms, "loudest")  # type: ignore[arg-type]


@pytest.mark.real
class TestRecord334:
    """A month and a half of a spring gravimeter, in UTC days and in local ones."""

    def magnitudes(self, record: SimpleNamespace, offset_hours: int) -> dict[str, float]:
        values = residual(
            record.gravity,
            record.times_ns,
            factor=1.0,
            latitude=record.latitude,
            longitude=record.longitude,
            elevation=record.elevation,
            pressure_hpa=record.pressure,
        ).values
        day = (record.times_ns // 10**9 + offset_hours * 3600) // 86400
        full = [d for d in np.unique(day) if np.isfinite(values[day == d]).sum() == 1440]
        return {str(np.datetime64(int(d), "D")): day_noise(values[day == d], 1 / 60).snm for d in full}

    def test_utc_days(self, record_334: SimpleNamespace) -> None:
        snm = self.magnitudes(record_334, 0)
        assert len(snm) == 39
        assert np.median(list(snm.values())) == pytest.approx(4.303, abs=1e-3)
        assert np.std(list(snm.values())) == pytest.approx(0.037, abs=1e-3)

    def test_one_gap_of_a_tenth_costs_nothing(self, record_334: SimpleNamespace) -> None:
        rng = np.random.default_rng(7)
        change = []
        first = 5 * 1440 + 480  # 00:00:16 UTC on 13 June
        for start in range(first, first + 28 * 1440, 1440):
            day = record_334.gravity[start : start + 1440].copy()
            whole = day_noise(day, 1 / 60).snm
            for gap in rng.integers(0, 1296, 4):
                broken = day.copy()
                broken[gap : gap + 144] = np.nan
                change.append(day_noise(broken, 1 / 60).snm - whole)
        assert abs(np.mean(change)) < 0.006
        assert np.std(change) == pytest.approx(0.017, abs=0.006)

    def test_local_days(self, record_334: SimpleNamespace) -> None:
        snm = self.magnitudes(record_334, 8)
        assert len(snm) == 41
        assert np.median(list(snm.values())) == pytest.approx(4.310, abs=1e-3)
        assert np.std(list(snm.values())) == pytest.approx(0.044, abs=1e-3)
        assert max(snm, key=snm.__getitem__) == "2021-06-23"
        assert max(snm.values()) == pytest.approx(4.403, abs=1e-3)

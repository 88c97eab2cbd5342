"""The chain of steps: what is applied when, and that nothing is lost or invented."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gravdask.preprocess.chain import CHAIN, ChainOptions, Segment, residual, run_chain
from gravdask.preprocess.pressure import normal_pressure
from gravdask.preprocess.tides import tide

TIMES = 1_623_024_016_000_000_000 + np.arange(2880, dtype=np.int64) * 60_000_000_000
SITE = {"latitude": 33.98, "longitude": 116.79, "elevation": 160.0}


def test_a_record_of_tide_and_air_becomes_a_constant() -> None:
    pressure = 1000 + np.sin(np.arange(2880) / 300)
    gravity = 5.9e7 + 1.16 * tide(TIMES, 33.98, 116.79, 160.0) - 3.0 * (pressure - normal_pressure(160))
    values, steps = residual(gravity / 1e4, TIMES, factor=1e4, pressure_hpa=pressure, **SITE)
    assert steps == ("calibrate", "tide", "pressure")
    np.testing.assert_allclose(values, 5.9e7, atol=1e-6)


def test_counts_are_left_as_they_are() -> None:
    counts = np.arange(2880.0)
    values, steps = residual(counts, TIMES, factor=None, pressure_hpa=np.full(2880, 990.0), **SITE)
    assert steps == ()
    assert np.array_equal(values, counts)


def test_velocity_keeps_neither_tide_nor_air_from_being_subtracted() -> None:
    values, steps = residual(
        np.ones(2880), TIMES, factor=2.0, acceleration=False, pressure_hpa=np.full(2880, 990.0), **SITE
    )
    assert steps == ("calibrate",)
    assert np.array_equal(values, np.full(2880, 2.0))


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"latitude": None}, ("calibrate", "pressure")),
        ({"longitude": None}, ("calibrate", "pressure")),
        ({"tide": False}, ("calibrate", "pressure")),
        ({"pressure_hpa": None}, ("calibrate", "tide")),
        ({"elevation": None}, ("calibrate", "tide", "pressure")),
    ],
)
def test_what_is_not_known_is_not_applied(change: dict[str, object], steps: tuple[str, ...]) -> None:
    arguments: dict[str, object] = {"factor": 1.0, "pressure_hpa": np.full(2880, 990.0), **SITE, **change}
    assert residual(np.zeros(2880), TIMES, **arguments).steps == steps  # type: ignore[arg-type]


def test_unknown_elevation_moves_only_a_constant() -> None:
    pressure = 990 + np.sin(np.arange(2880) / 100)
    known = residual(np.zeros(2880), TIMES, factor=1.0, pressure_hpa=pressure, tide=False, **SITE).values
    unknown = residual(np.zeros(2880), TIMES, factor=1.0, pressure_hpa=pressure, tide=False).values
    np.testing.assert_allclose(np.diff(known), np.diff(unknown), atol=1e-11)


def test_gaps_stay_and_the_input_is_not_written_to() -> None:
    gravity = np.full(2880, 5.0)
    gravity[[3, 4, 1000]] = np.nan, np.inf, -np.inf
    gravity.flags.writeable = False
    values = residual(gravity, TIMES, factor=1.0, **SITE).values
    assert np.array_equal(np.flatnonzero(np.isnan(values)), [3, 4, 1000])


def test_missing_pressure_masks_its_samples() -> None:
    pressure = np.full(2880, 990.0)
    pressure[100:200] = np.nan
    values = residual(np.zeros(2880), TIMES, factor=1.0, pressure_hpa=pressure, tide=False).values
    assert np.array_equal(np.isnan(values), np.isnan(pressure))


def test_days_without_pressure_can_go_uncorrected_as_a_whole() -> None:
    day = TIMES // 86_400_000_000_000
    day = day - day[0]
    pressure = np.full(2880, 990.0)
    pressure[(day == 1) & (np.arange(2880) % 3 > 0)] = np.nan  # a third of day 1 left
    pressure[np.flatnonzero(day == 0)[:5]] = np.nan
    values = residual(
        np.zeros(2880), TIMES, factor=1.0, pressure_hpa=pressure, tide=False, missing_pressure="day"
    ).values
    assert np.all(values[day == 1] == 0)
    assert np.isnan(values[day == 0][:5]).all()
    np.testing.assert_allclose(values[day == 0][5:], 3 * (990 - normal_pressure(0)))


def test_factors_are_applied() -> None:
    pressure = np.full(2880, 1000.0)
    plain = residual(np.zeros(2880), TIMES, factor=1.0, pressure_hpa=pressure, **SITE).values
    other = residual(
        np.zeros(2880), TIMES, factor=1.0, pressure_hpa=pressure, tidal_factor=1.2, admittance=-4.0, **SITE
    ).values
    expected = 1.0 * (1000 - normal_pressure(160)) - 0.04 * tide(TIMES, 33.98, 116.79, 160.0)
    np.testing.assert_allclose(other - plain, expected, atol=1e-9)


def test_a_chain_can_be_changed() -> None:
    def double(values: np.ndarray, segment: Segment, options: ChainOptions) -> np.ndarray:
        del segment, options
        return 2 * values

    result = run_chain(Segment(np.ones(2880), TIMES, 3.0), chain=(*CHAIN, ("double", double)))
    assert result.steps == ("calibrate", "double")
    assert np.array_equal(result.values, np.full(2880, 6.0))


@pytest.mark.real
def test_record_334_loses_its_tide(record_334: SimpleNamespace) -> None:
    r = record_334
    raw = residual(r.gravity, r.times_ns, factor=1.0, tide=False)
    clean = residual(
        r.gravity,
        r.times_ns,
        factor=1.0,
        latitude=r.latitude,
        longitude=r.longitude,
        elevation=r.elevation,
        pressure_hpa=r.pressure,
    )
    assert clean.steps == ("calibrate", "tide", "pressure")
    day = slice(14_400, 15_840)
    centred = {n: np.asarray(x.values[day]) for n, x in (("raw", raw), ("clean", clean))}
    line = np.arange(1440)
    left = {n: np.std(x - np.polyval(np.polyfit(line, x, 1), line)) for n, x in centred.items()}
    assert left["raw"] > 300
    assert left["clean"] < 40

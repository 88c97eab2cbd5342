"""Places of Moon and Sun against the worked examples that Meeus prints, which use his full tables."""

from __future__ import annotations

import numpy as np
import pytest

from gravdask.preprocess import ephemeris


def centuries(julian_day: float) -> np.ndarray:
    return np.array([(julian_day - 2451545.0) / 36525])


def test_moon_of_example_47a() -> None:
    longitude, latitude, distance = ephemeris.moon(centuries(2448724.5))  # 1992-04-12, 0 h TD
    assert np.rad2deg(longitude[0]) == pytest.approx(133.162655, abs=2e-6)
    assert np.rad2deg(latitude[0]) == pytest.approx(-3.229126, abs=2e-6)
    assert distance[0] == pytest.approx(368409.7, abs=0.1)


def test_sun_of_example_25a() -> None:
    longitude, distance = ephemeris.sun(centuries(2448908.5))  # 1992-10-13, 0 h TD
    assert np.rad2deg(longitude[0]) == pytest.approx(199.90988, abs=1e-4)
    assert distance[0] / ephemeris.ASTRONOMICAL_UNIT_KM == pytest.approx(0.99766, abs=1e-5)


def test_sidereal_time_of_example_12b() -> None:
    seconds = np.array(["1987-04-10T19:21:00"], dtype="datetime64[s]").astype(np.int64)
    assert np.rad2deg(ephemeris.sidereal_time(seconds)[0]) == pytest.approx(128.7378734, abs=1e-6)


def test_obliquity_of_example_22a() -> None:
    expected = 23 + 26 / 60 + 27.407 / 3600  # 1987-04-10, 0 h TD
    assert np.rad2deg(ephemeris.obliquity(centuries(2446895.5))[0]) == pytest.approx(expected, abs=1e-6)


def test_distances_stay_within_those_of_the_moon_and_sun() -> None:
    t = np.arange(-0.5, 1.5, 1 / 36525)  # 1950 to 2150, daily
    _, latitude, moon_distance = ephemeris.moon(t)
    _, sun_distance = ephemeris.sun(t)
    # Extremes of perigee, apogee, inclination, perihelion and aphelion over centuries.
    assert 356_300 < moon_distance.min() < 357_000
    assert 406_500 < moon_distance.max() < 406_800
    assert np.rad2deg(np.abs(latitude).max()) == pytest.approx(5.3, abs=0.05)
    assert sun_distance.min() == pytest.approx(147.1e6, rel=1e-3)
    assert sun_distance.max() == pytest.approx(152.1e6, rel=1e-3)


def test_equatorial_is_a_rotation() -> None:
    rng = np.random.default_rng(0)
    longitude, latitude = rng.uniform(0, 6, 50), rng.uniform(-1.5, 1.5, 50)
    x, y, z = ephemeris.equatorial(longitude, latitude, np.full(50, 0.41))
    np.testing.assert_allclose(x**2 + y**2 + z**2, 1, rtol=1e-14)
    np.testing.assert_allclose(y * np.cos(0.41) + z * np.sin(0.41), np.cos(latitude) * np.sin(longitude), atol=1e-14)


def test_delta_t_at_years_tabled_by_the_iers() -> None:
    years = np.array([1970.0, 2000.0, 2020.0])
    np.testing.assert_allclose(ephemeris.delta_t((years - 2000) / 100), [40.2, 63.8, 69.4], atol=0.1)

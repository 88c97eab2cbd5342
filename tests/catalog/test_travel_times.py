"""The shipped table of first arrivals against TauPy itself."""

from __future__ import annotations

import numpy as np
import pytest

from gravdask.catalog.travel_times import DEPTHS_KM, DISTANCES_DEG, MODEL, first_arrival_s, first_arrival_table


def first_by_taupy(points: list[tuple[float, float]]) -> list[float]:
    """First arrival among TauPy's own list of basic phases: P to PKiKP, S, SKS, and so on."""
    from obspy.taup import TauPyModel

    model = TauPyModel(MODEL)
    return [min(a.time for a in model.get_travel_times(depth, distance)) for distance, depth in points]


def test_the_table_is_complete() -> None:
    distances, depths, times = first_arrival_table()
    np.testing.assert_array_equal(distances, DISTANCES_DEG)
    np.testing.assert_array_equal(depths, DEPTHS_KM)
    assert times.shape == (len(DISTANCES_DEG), len(DEPTHS_KM))
    assert distances[0] == 0
    assert distances[-1] == 180
    assert (np.diff(times, axis=0) > 0).all()
    assert not times.flags.writeable


def test_against_taupy_at_random_points() -> None:
    rng = np.random.default_rng(20110311)
    points = [(float(d), float(h)) for d, h in zip(rng.uniform(0, 150, 15), rng.uniform(0, 700, 15), strict=True)]
    points += [(float(d), float(h)) for d, h in zip(rng.uniform(0, 8, 8), rng.uniform(0, 60, 8), strict=True)]
    points += [(float(d), 33.0) for d in rng.uniform(160, 180, 4)]
    expected = first_by_taupy(points)
    found = first_arrival_s([p[0] for p in points], [p[1] for p in points])
    np.testing.assert_allclose(found, expected, atol=2.0)


@pytest.mark.slow
def test_against_taupy_at_many_points() -> None:
    rng = np.random.default_rng(5)
    distance = np.concatenate([rng.uniform(0, 150, 70), rng.uniform(0, 10, 40), rng.uniform(160, 180, 20)])
    depth = np.concatenate([rng.uniform(0, 700, 70), rng.uniform(0, 100, 40), rng.uniform(0, 700, 20)])
    expected = first_by_taupy(list(zip(distance.tolist(), depth.tolist(), strict=True)))
    np.testing.assert_allclose(first_arrival_s(distance, depth), expected, atol=2.0)


def test_published_times() -> None:
    """iasp91 tables (Kennett & Engdahl 1991): P at 30, 60 and 90 degrees from a focus at the surface."""
    np.testing.assert_allclose(first_arrival_s([30, 60, 90], 0), [369.5, 608.3, 781.6], atol=1.0)


def test_broadcasting_limits_and_nan() -> None:
    times = first_arrival_s(np.array([[0.0], [90.0]]), np.array([0.0, 33.0, 900.0, -2.0]))
    assert times.shape == (2, 4)
    assert times[0, 0] == times[0, 3] == 0
    assert times[1, 2] == first_arrival_s(90.0, 700.0)
    assert np.isnan(first_arrival_s(np.nan, 10.0))
    assert first_arrival_s(181.0, 10.0) == first_arrival_s(180.0, 10.0)

"""The regression of tide, air and drift: known truth, the laws of a monoid, honest errors, record 334."""

from __future__ import annotations

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.preprocess.admittance import Admittance
from gravdask.preprocess.tides import tide

MINUTE = 60 * 10**9
DAY = 1440 * MINUTE
START = 18_800 * DAY + 16 * 10**9


def record(days: int, seed: int, *, walk: float = 0.0, noise: float = 1.0, step: int = 10) -> dict[str, np.ndarray]:
    """Gravity = 1.158 tide - 2.7 p + 500 per day + an integrated noise, sampled every ``step`` minutes."""
    rng = np.random.default_rng(seed)
    times = START + np.arange(0, days * 1440, step, dtype=np.int64) * MINUTE
    rigid = tide(times, 30.0, 100.0, 500.0)
    pressure = 950 + np.cumsum(rng.normal(0, 0.1, times.size))
    drift = 500 * (times - times[0]) / DAY + np.cumsum(rng.normal(0, walk, times.size))
    gravity = 5.9e7 + 1.158 * rigid - 2.7 * pressure + drift + rng.normal(0, noise, times.size)
    return {"gravity": gravity, "times_ns": times, "tide": rigid, "pressure": pressure}


def cut(data: dict[str, np.ndarray], part: slice) -> dict[str, np.ndarray]:
    return {name: column[part] for name, column in data.items()}


def test_truth_is_found_again() -> None:
    found = Admittance.from_block(**record(40, 1)).finalize()
    assert found.tidal_factor == pytest.approx(1.158, abs=0.001)
    assert found.admittance == pytest.approx(-2.7, abs=0.15)
    assert found.drift == pytest.approx(500, abs=5)
    assert found.days == 40
    assert found.hours == 40 * 22
    for value, error, truth in (
        (found.tidal_factor, found.tidal_factor_error, 1.158),
        (found.admittance, found.admittance_error, -2.7),
    ):
        assert abs(value - truth) < 4 * error


def test_ordinary_least_squares_gives_the_same_slopes() -> None:
    data = record(10, 2, walk=0.5)
    rows = []
    for day in range(10):
        part = cut(data, slice(day * 144, (day + 1) * 144))
        means = np.stack([part[n].reshape(24, 6).mean(1) for n in ("tide", "pressure", "gravity")], axis=1)
        rows.append(np.diff(means, 2, axis=0))
    table = np.concatenate(rows)
    expected = np.linalg.lstsq(table[:, :2], table[:, 2], rcond=None)[0]
    found = Admittance.from_block(**data).finalize()
    np.testing.assert_allclose([found.tidal_factor, found.admittance], expected, rtol=1e-6)
    assert found.residual == pytest.approx(np.std(table[:, 2] - table[:, :2] @ expected), rel=0.05)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(1, 11), max_size=6), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_any_cutting_into_days_merges_to_the_same(cuts: set[int], seed: int, random: object) -> None:
    data = record(12, seed, walk=0.3)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        first = rng.integers(0, 1700)
        data["gravity"][first : first + rng.integers(1, 200)] = np.nan
    edges = [0, *sorted(cuts), 12]
    blocks = [Admittance.from_block(**cut(data, slice(a * 144, b * 144))) for a, b in pairwise(edges)]
    random.shuffle(blocks)  # type: ignore[attr-defined]
    merged = sum(blocks, Admittance.zero())
    whole = Admittance.from_block(**data)
    assert (merged.days, merged.hours) == (whole.days, whole.hours)
    np.testing.assert_allclose(merged.gram, whole.gram, rtol=1e-10)
    np.testing.assert_allclose(merged.finalize().admittance, whole.finalize().admittance, rtol=1e-8)


def test_zero_is_neutral_and_estimates_nothing() -> None:
    some = Admittance.from_block(**record(3, 3))
    assert (some + Admittance.zero()).to_dict() == some.to_dict()
    nothing = Admittance.zero().finalize()
    assert np.isnan([nothing.tidal_factor, nothing.admittance, nothing.drift, nothing.drift_error]).all()
    assert nothing.days == 0


def test_one_day_gives_no_estimate_because_its_error_is_unknown() -> None:
    assert np.isnan(Admittance.from_block(**record(1, 4)).finalize().tidal_factor)


def test_sums_survive_json_exactly() -> None:
    some = Admittance.from_block(**record(5, 5))
    again = Admittance.from_dict(json.loads(json.dumps(some.to_dict())))
    assert again.to_dict() == some.to_dict()
    assert again.finalize() == some.finalize()


def test_without_pressure_only_the_tide_is_estimated() -> None:
    data = record(20, 6)
    data["gravity"] = data["gravity"] + 2.7 * data["pressure"]
    del data["pressure"]
    found = Admittance.from_block(**data).finalize()
    assert found.tidal_factor == pytest.approx(1.158, abs=0.001)
    assert np.isnan(found.admittance)
    assert np.isnan(found.admittance_error)
    assert found.drift == pytest.approx(500, abs=5)


def test_a_step_is_left_out() -> None:
    data = record(20, 7)
    data["gravity"][1000:] += 50_000
    found = Admittance.from_block(**data).finalize()
    assert found.admittance == pytest.approx(-2.7, abs=0.3)
    assert found.drift == pytest.approx(500, abs=10)
    assert found.hours < 20 * 22


def test_hours_with_too_few_samples_are_left_out() -> None:
    data = record(4, 8)
    data["gravity"][6:8] = np.nan  # hour 1 of day 0 keeps four samples of six
    assert Admittance.from_block(**data).finalize().hours == 4 * 22 - 2
    assert Admittance.from_block(**data, min_valid=0.5).finalize().hours == 4 * 22


def test_hourly_records_are_accepted() -> None:
    found = Admittance.from_block(**record(40, 9, step=60)).finalize()
    assert found.tidal_factor == pytest.approx(1.158, abs=0.002)


def test_blocks_without_samples_are_zero() -> None:
    empty = np.empty(0)
    assert Admittance.from_block(empty, np.empty(0, dtype=np.int64), empty, empty).days == 0


def test_errors_cover_the_truth_also_when_neighbouring_hours_depend_on_each_other() -> None:
    scores = []
    for seed in range(40):
        found = Admittance.from_block(**record(25, seed, walk=0.7, noise=3.0, step=30)).finalize()
        scores.append((found.admittance + 2.7) / found.admittance_error)
    assert 0.7 < np.std(scores) < 1.4
    assert abs(np.mean(scores)) < 0.5


@pytest.mark.real
def test_record_334(record_334: SimpleNamespace) -> None:
    r = record_334
    rigid = tide(r.times_ns, r.latitude, r.longitude, r.elevation)
    found = Admittance.from_block(r.gravity, r.times_ns, rigid, r.pressure).finalize()
    assert found.tidal_factor == pytest.approx(1.168, abs=0.002)  # 1.176 x ETERNA's, which is 0.99 of a rigid tide
    assert found.admittance == pytest.approx(-3.7, abs=0.1)
    assert 0.5 < found.admittance_error < 1.5
    assert found.drift == pytest.approx(6950, abs=30)

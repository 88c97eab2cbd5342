"""Steps: taken out where the log has them, measured with an honest error, suspected only where they are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import obspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import PreprocessError
from gravdask.preprocess.chain import residual
from gravdask.preprocess.robust import block_medians
from gravdask.preprocess.steps import BLOCK_NS, HALO_NS, Step, estimate_step, subtract_steps, suspect_steps

MINUTE = 60 * 10**9
DAY = 1440 * MINUTE
START = 18_800 * DAY + 16 * 10**9


def drifting(days: float, seed: int, *, noise: float = 30.0, drift: float = 7000.0) -> tuple[np.ndarray, np.ndarray]:
    """Residual of a spring gravimeter once a minute: drift, its slow change, what is left of the tide, noise."""
    rng = np.random.default_rng(seed)
    times = START + np.arange(round(days * 1440), dtype=np.int64) * MINUTE
    day = (times - times[0]) / DAY
    left = 25 * np.sin(2 * np.pi * day / 0.5175) + np.cumsum(rng.normal(0, 0.3, times.size))
    return drift * day - 40 * day**2 + left + rng.normal(0, noise, times.size), times


def residual_334(record: SimpleNamespace) -> np.ndarray:
    return residual(
        record.gravity,
        record.times_ns,
        factor=1.0,
        latitude=record.latitude,
        longitude=record.longitude,
        elevation=record.elevation,
        pressure_hpa=record.pressure,
        tidal_factor=1.17,
    ).values


# ------------------------------------------------------------------------------------------------- subtract_steps


def test_steps_come_off_from_their_time_on() -> None:
    times = START + np.arange(10, dtype=np.int64) * MINUTE
    steps = [Step(int(times[7]), 5.0), Step(int(times[3]), 100.0)]
    expected = -np.array([0, 0, 0, 100, 100, 100, 100, 105, 105, 105.0])
    values = np.zeros(10)
    assert np.array_equal(subtract_steps(values, times, steps), expected)
    assert np.array_equal(subtract_steps(values, times, [[when, size] for when, size in steps]), expected)
    assert not values.any()
    assert np.array_equal(subtract_steps(values, times, []), values)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 200), st.integers(0, 200))
def test_any_cutting_gives_the_same_bits(seed: int, a: int, b: int) -> None:
    rng = np.random.default_rng(seed)
    times = START + np.arange(200, dtype=np.int64) * MINUTE
    values = np.where(rng.random(200) < 0.1, np.nan, rng.normal(size=200))
    steps = [Step(int(rng.integers(times[0] - MINUTE, times[-1] + MINUTE)), float(rng.normal())) for _ in range(5)]
    part = slice(min(a, b), max(a, b))
    whole = subtract_steps(values, times, steps)
    assert np.array_equal(subtract_steps(values[part], times[part], steps), whole[part], equal_nan=True)
    order = rng.permutation(200)
    assert np.array_equal(subtract_steps(values[order], times[order], steps), whole[order], equal_nan=True)


def test_a_step_without_a_size_is_refused() -> None:
    with pytest.raises(PreprocessError, match=r"2021-06-22T00:00:16 has the size nan.*give a number"):
        subtract_steps(np.zeros(3), np.arange(3, dtype=np.int64), [(START, float("nan"))])


# -------------------------------------------------------------------------------------------------- estimate_step


def test_size_and_error_are_honest() -> None:
    sizes, errors = [], []
    for seed in range(60):
        values, times = drifting(2, seed)
        values[times >= times[1500]] += 300
        found = estimate_step(values, times, int(times[1500]))
        sizes.append(found.size)
        errors.append(found.error)
    pulls = (np.array(sizes) - 300) / errors
    assert abs(np.mean(sizes) - 300) < 4
    assert 0.3 < np.sqrt(np.mean(pulls**2)) < 1.6
    assert np.median(errors) < 40


def test_drift_alone_gives_no_step() -> None:
    values, times = drifting(2, 1, noise=5.0)
    found = estimate_step(values, times, int(times[1500]))
    assert abs(found.size) < 4 * found.error
    assert found.error < 20


def test_a_step_in_a_gap_of_an_hour_is_bridged_with_the_drift() -> None:
    values, times = drifting(2, 2, noise=5.0)
    values[1500:] -= 1000
    values[1480:1540] = np.nan  # the drift of that hour alone is 290
    found = estimate_step(values, times, int(times[1500]))
    assert found.size == pytest.approx(-1000, abs=4 * found.error)
    assert found.error < 60


def test_wild_samples_and_an_earthquake_on_one_side_do_not_move_it() -> None:
    values, times = drifting(2, 3, noise=5.0)
    values[1500:] += 500
    values[[1420, 1510, 1600]] = 1e7
    values[1520:1560] += 1e4 * np.sin(np.arange(40.0) * 2.1)
    found = estimate_step(values, times, int(times[1500]))
    assert found.size == pytest.approx(500, abs=30)


def test_too_little_record_on_one_side_gives_no_size() -> None:
    values, times = drifting(1, 4)
    for when in (times[0] - DAY, times[60], times[-30], times[-1] + DAY):
        assert np.isnan(estimate_step(values, times, int(when)).size)
    assert estimate_step(np.full(values.size, np.nan), times, int(times[700])).significance == 0
    assert np.isnan(estimate_step(np.empty(0), np.empty(0, np.int64), 0).size)


# -------------------------------------------------------------------------------------------------- suspect_steps


@pytest.mark.parametrize("size", [-5000.0, -400.0, 400.0, 5000.0])
def test_a_step_is_suspected_where_it_is_with_its_size(size: float) -> None:
    values, times = drifting(6, 5)
    values[4000:] += size
    (found,) = suspect_steps(values, times)
    assert abs(found.time_ns - times[4000]) <= BLOCK_NS
    assert found.size == pytest.approx(size, abs=6 * found.error)
    assert found.significance > 10


def test_drift_noise_tide_and_earthquakes_are_no_steps() -> None:
    for seed in range(5):
        values, times = drifting(20, seed)
        t = np.arange(600)
        values[9000:9600] += 1e6 * np.exp(-t / 90) * np.sin(t * 2.3)
        values[np.random.default_rng(seed).integers(0, values.size, 30)] = 1e8
        assert suspect_steps(values, times) == []


def test_a_gap_with_drift_is_no_step_and_hides_none_elsewhere() -> None:
    values, times = drifting(6, 6)
    values[3000:4440] = np.nan  # a day: 7000 nm s⁻² of drift
    assert suspect_steps(values, times) == []
    values[5500:] += 800
    (found,) = suspect_steps(values, times)
    assert abs(found.time_ns - times[5500]) <= BLOCK_NS


def test_a_step_that_the_log_names_is_not_suspected_again() -> None:
    values, times = drifting(6, 7)
    values[4000:] += 900
    values[6000:] += 900
    assert len(suspect_steps(values, times)) == 2
    (found,) = suspect_steps(values, times, known_ns=[int(times[4003])])
    assert abs(found.time_ns - times[6000]) <= BLOCK_NS


def test_small_steps_are_left_alone() -> None:
    values, times = drifting(6, 8, noise=2.0)
    values[4000:] += 60
    assert suspect_steps(values, times) == []
    assert len(suspect_steps(values, times, least_size=30)) == 1


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(1000, 7000))
def test_suspicions_inside_do_not_depend_on_the_cutting(seed: int, cut: int) -> None:
    values, times = drifting(6, seed % 97)
    values[4000:] += 700
    whole = suspect_steps(values, times)
    assert len(whole) == 1
    beside = HALO_NS // MINUTE + 1
    halves = []
    for low, high in ((0, cut), (cut, times.size)):
        part = slice(max(low - beside, 0), high + beside)
        begin, end = times[low], times[high] if high < times.size else times[-1] + MINUTE
        halves += [s for s in suspect_steps(values[part], times[part]) if begin <= s.time_ns < end]
    assert halves == whole


def test_nothing_to_look_at() -> None:
    assert suspect_steps(np.empty(0), np.empty(0, np.int64)) == []
    values, times = drifting(0.2, 9)
    assert suspect_steps(values, times) == []


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 400))
def test_block_medians_are_those_of_numpy(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    times = START + np.sort(rng.choice(20_000, n, replace=False)) * 10**9
    values = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    centres, medians = block_medians(values, times, BLOCK_NS, least=2)
    expected = []
    for block in np.unique(times // BLOCK_NS):
        mine = (times // BLOCK_NS == block) & np.isfinite(values)
        if mine.sum() >= 2:
            expected.append((np.mean(times[mine] - START), np.median(values[mine])))
    assert medians.size == len(expected)
    for (centre, median), when, level in zip(expected, centres - START, medians, strict=True):
        assert when == pytest.approx(centre, abs=2)
        assert level == pytest.approx(median, abs=1e-12)


# --------------------------------------------------------------------------------------------------- real records


@pytest.mark.real
class TestRealRecords:
    """Record 334, whose gap must not be taken for a step, and Tohoku."""

    def test_the_gap_of_334_is_neither_suspected_nor_measured(self, record_334: SimpleNamespace) -> None:
        values = residual_334(record_334)
        valid = np.flatnonzero(np.isfinite(values))
        gap = int(valid[np.argmax(np.diff(valid))])
        after = int(valid[valid > gap][0])
        level = values[after : after + 60].mean() - values[gap - 60 : gap].mean()
        assert 6500 < level < 7600  # 0.71 mGal: a day of drift
        assert suspect_steps(values, record_334.times_ns) == []
        middle = int(record_334.times_ns[(gap + after) // 2])
        assert np.isnan(estimate_step(values, record_334.times_ns, middle).size)

    def test_steps_put_into_334_are_found_again(self, record_334: SimpleNamespace) -> None:
        clean, times = residual_334(record_334), record_334.times_ns
        sizes, errors = [], []
        for k in range(2000, 52_000, 2500):
            values = clean.copy()
            values[k:] += 300
            found = estimate_step(values, times, int(times[k]))
            sizes.append(found.size)
            errors.append(found.error)
            near = slice(k - 1500, k + 1500)
            (suspicion,) = suspect_steps(values[near], times[near])
            assert abs(suspicion.time_ns - times[k]) <= 2 * BLOCK_NS
        assert np.mean(sizes) == pytest.approx(300, abs=6)
        assert np.std(sizes) < 15
        assert np.median(errors) < 20

    def test_the_waves_of_tohoku_are_no_steps(self, real_data: Path) -> None:
        for path in sorted((real_data / "seismic" / "fnet_lhz_acc_sac").glob("KNY.LHZ.03.*.sac")):
            trace = obspy.read(str(path))[0]
            values = trace.data.astype(np.float64) * 1e9
            times = trace.stats.starttime.ns + np.arange(values.size, dtype=np.int64) * 10**9
            assert suspect_steps(values, times) == [], path.name
            assert suspect_steps(values[::60], times[::60]) == [], path.name

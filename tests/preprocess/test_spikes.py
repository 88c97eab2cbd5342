"""Isolated wild samples: found where they were put, never in an earthquake, whatever the cutting."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import obspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import PreprocessError
from gravdask.preprocess.spikes import HALO_S, SIDE, halo_samples, mask_spikes

N = 40_000


def quiet(seed: int, n: int = N) -> np.ndarray:
    """Tide, a swelling microseism of 5 s and noise at 1 Hz [nm s⁻²]."""
    t = np.arange(n)
    swell = 100 * (1 + 0.5 * np.sin(t / 1800)) * np.sin(2 * np.pi * t / 5.3 + 3 * np.sin(t / 300))
    return 1e3 * np.sin(2 * np.pi * t / 44_714) + swell + np.random.default_rng(seed).normal(0, 15, n)


def plain(values: np.ndarray, limit: float, reach: int) -> np.ndarray:
    """The rule of the module's docstring, sample by sample in plain Python: an independent slow oracle."""
    place = np.flatnonzero(np.isfinite(values))
    x = values[place]
    departure: dict[int, float] = {}
    aside = {}
    for k in range(2, x.size - 2):
        if place[k] - place[k - 2] <= reach and place[k + 2] - place[k] <= reach:
            before, after = x[k] - 2 * x[k - 1] + x[k - 2], x[k] - 2 * x[k + 1] + x[k + 2]
            departure[k], aside[k] = min(abs(before), abs(after)), before * after > 0
    found = np.zeros(values.size, bool)
    for k, size in departure.items():
        sides = []
        for towards in (-1, 1):
            near = [j for j in range(k + towards, k + towards * (reach + 1), towards) if j in departure]
            sides.append([departure[j] for j in near if abs(place[j] - place[k]) <= reach][:SIDE])
        if not aside[k] or min(map(len, sides)) < SIDE:
            continue
        roughness = max(sorted(side)[-4] for side in sides)
        found[place[k]] = size > limit * roughness and size > 0
    return found


def test_spikes_on_tide_and_microseism_are_found_and_nothing_else() -> None:
    values = quiet(1)
    where = np.random.default_rng(2).choice(np.arange(100, N - 100, 60), 200, replace=False)
    assert not mask_spikes(values, 1.0).any()
    values[where] += np.random.default_rng(3).choice([-1, 1], where.size) * 4000.0
    assert np.array_equal(np.flatnonzero(mask_spikes(values, 1.0)), np.sort(where))


def test_small_spikes_in_a_quiet_record() -> None:
    values = np.random.default_rng(4).normal(0, 1, N)
    where = np.arange(100, N - 100, 200)
    values[where] += 50
    assert np.array_equal(np.flatnonzero(mask_spikes(values, 1.0)), where)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(2, 12), st.sampled_from([1.0, 1 / 60, 0.02]))
def test_the_rule_of_the_docstring(seed: int, limit: float, rate: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.normal(size=400)) * rng.choice([0.0, 1.0]) + rng.standard_t(1.5, 400)
    for _ in range(rng.integers(0, 6)):
        first = rng.integers(0, 400)
        values[first : first + rng.integers(1, 50)] = np.nan
    expected = plain(values, limit, halo_samples(rate) // 2)
    assert np.array_equal(mask_spikes(values, rate, limit=limit), expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 3000), st.integers(1, 2000), st.sampled_from([100.0, 1.0, 1 / 60]))
def test_a_sample_is_judged_alike_in_every_cutting(seed: int, start: int, length: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_t(2, 5000)
    if seed % 2:  # a coarse record, whose least change has a say
        values = np.round(values * 0.4)
    for _ in range(8):
        first = rng.integers(0, 5000)
        values[first : first + rng.integers(1, 90)] = np.nan
    whole = mask_spikes(values, rate, limit=4)
    beside = halo_samples(rate)
    low = max(start - beside, 0)
    part = mask_spikes(values[low : start + length + beside], rate, limit=4)
    assert np.array_equal(part[start - low :][:length], whole[start : start + length])


def test_the_halo_is_no_longer_than_stated() -> None:
    for rate in (100.0, 1.0, 0.1, 1 / 60, 1 / 90):
        assert halo_samples(rate) / rate <= HALO_S
    assert halo_samples(1 / 3600) / 2 < SIDE  # hourly records are not tested


def test_missing_samples_are_neither_marked_nor_in_the_way() -> None:
    values = quiet(5)
    values[::7] = np.nan
    values[3000:3500] = np.inf
    values[1000] = 9999.0
    values[[2000, 2001, 2003, 2004]] = np.nan
    values[2002] = -9999.0  # alone in a gap
    marked = np.flatnonzero(mask_spikes(values, 1.0))
    assert marked.tolist() == [1000, 2002]


def test_steps_pairs_and_wave_trains_are_no_spikes() -> None:
    values = np.random.default_rng(6).normal(0, 1, 3000)
    values[1000:] += 500
    values[2000:2002] += 500  # two in a row stand together
    t = np.arange(900)
    values[2100:] += 1000 * np.sin(t / 1.5) * np.exp(-t / 200)
    assert not mask_spikes(values, 1.0).any()


def test_a_coarse_record_is_not_rough_but_has_no_spikes() -> None:
    """Of a reading to 10 nm s⁻² that drifts slowly, most differences are zero and some are one unit."""
    t = np.arange(20_000)
    noisy = 5.9e7 + 0.8 * t + np.random.default_rng(7).normal(0, 2, t.size)
    values = np.round(noisy / 10) * 10 * 1.000000000000001
    assert not mask_spikes(values, 1 / 60).any()
    assert not mask_spikes(np.zeros(1000), 1.0).any()
    assert not mask_spikes(np.where(np.arange(1000) == 500, 1.0, 0.0), 1.0).any()  # nothing tells its resolution


@pytest.mark.parametrize("n", [0, 1, 2 * SIDE, 2 * SIDE + 5])
def test_short_and_empty_records(n: int) -> None:
    values = np.zeros(n)
    values[n // 2 : n // 2 + 1] = 1e9
    assert not mask_spikes(values, 1.0).any()
    assert mask_spikes(np.full(n, np.nan), 1.0).shape == (n,)


def test_limit_and_least_size() -> None:
    values = np.random.default_rng(8).normal(0, 1, 1000)
    values[500] += 100
    assert np.flatnonzero(mask_spikes(values, 1.0)).tolist() == [500]
    assert not mask_spikes(values, 1.0, least=500).any()
    assert not mask_spikes(values, 1.0, limit=1000).any()
    assert not mask_spikes(values, 1 / 60).any()  # once a minute it may be an earthquake
    values[500] += 5000
    assert np.flatnonzero(mask_spikes(values, 1 / 60)).tolist() == [500]


def test_the_record_is_left_as_it_is() -> None:
    values = quiet(9)
    values[5000] += 1e6
    kept = values.copy()
    mask_spikes(values, 1.0)
    assert np.array_equal(values, kept)


@pytest.mark.parametrize(
    ("values", "rate", "limits"),
    [
        (np.zeros((2, 50)), 1.0, {}),
        (np.zeros(50), 0.0, {}),
        (np.zeros(50), float("nan"), {}),
        (np.zeros(50), 1.0, {"limit": 0.5}),
        (np.zeros(50), 1.0, {"least": -1.0}),
    ],
)
def test_bad_input_is_refused(values: np.ndarray, rate: float, limits: dict[str, Any]) -> None:
    with pytest.raises(PreprocessError, match=r"expected"):
        mask_spikes(values, rate, **limits)


@pytest.mark.real
class TestRealRecords:
    """Nothing is lost of real records that hold no wild sample."""

    def test_no_wave_of_tohoku_is_masked(self, real_data: Path) -> None:
        """M9.1, M7.3 and hundreds of aftershocks at three stations in 40 days, at 1 Hz."""
        files = sorted((real_data / "seismic" / "fnet_lhz_acc_sac").glob("*.sac"))
        assert len(files) == 21
        largest = 0.0
        for path in files:
            values = obspy.read(str(path))[0].data.astype(np.float64) * 1e9
            largest = max(largest, np.abs(values).max())
            assert not mask_spikes(values, 1.0).any(), path.name
        assert largest > 3e6  # the great one is among them

    @pytest.mark.parametrize("interval", [10, 60])
    def test_nor_once_a_minute_where_an_aftershock_is_one_sample(self, real_data: Path, interval: int) -> None:
        for path in sorted((real_data / "seismic" / "fnet_lhz_acc_sac").glob("KNY*.sac")):
            values = obspy.read(str(path))[0].data.astype(np.float64)
            for first in (0, interval // 3, interval // 2):
                assert not mask_spikes(values[first::interval], 1 / interval).any(), path.name
        # with the limit of fast records aftershocks would be lost
        assert mask_spikes(values[::60], 1 / 60, limit=8).any()

    def test_days_of_gsn_stations(self, real_data: Path) -> None:
        for path in sorted((real_data / "seismic" / "sds").rglob("IU.*.D.*")):
            trace = obspy.read(str(path))[0]
            assert not mask_spikes(trace.data.astype(np.float64), trace.stats.sampling_rate).any(), path.name

    def test_record_334(self, record_334: SimpleNamespace) -> None:
        assert not mask_spikes(record_334.gravity, 1 / 60).any()
        wild = record_334.gravity.copy()
        wild[[5000, 12_345, 40_000]] += [1e5, -3e5, 9e6]
        assert np.flatnonzero(mask_spikes(wild, 1 / 60)).tolist() == [5000, 12_345, 40_000]

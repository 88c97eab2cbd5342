"""Tide and air month by month: a monoid of months, and months that differ are told apart from those that do not."""

from __future__ import annotations

import json
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.preprocess.admittance import Admittance
from gravdask.preprocess.monthly import MonthlyAdmittance
from gravdask.preprocess.tides import tide

MINUTE = 60 * 10**9
DAY = 1440 * MINUTE
# 2021-05-20T00:00:16
START = int(np.datetime64("2021-05-20", "ns").astype(np.int64)) + 16 * 10**9
SPAN = 90  # days, to 2021-08-17


def record(seed: int, days: int = SPAN, factor: float = 1.158, scale_of_july: float = 1.0) -> dict[str, np.ndarray]:
    """Gravity every ten minutes; in July the instrument's scale is another."""
    rng = np.random.default_rng(seed)
    times = START + np.arange(days * 144, dtype=np.int64) * 10 * MINUTE
    rigid = tide(times, 30.0, 100.0, 500.0)
    pressure = 950 + np.cumsum(rng.normal(0, 0.1, times.size))
    gravity = factor * rigid - 2.7 * pressure + 500 * (times - times[0]) / DAY + rng.normal(0, 2, times.size)
    july = times.astype("datetime64[ns]").astype("datetime64[M]") == np.datetime64("2021-07")
    gravity[july] *= scale_of_july
    return {"gravity": gravity, "times_ns": times, "tide": rigid, "pressure": pressure}


def cut(data: dict[str, np.ndarray], part: slice) -> dict[str, np.ndarray]:
    return {name: column[part] for name, column in data.items()}


def test_each_month_is_the_regression_of_its_own_days() -> None:
    data = record(1)
    found = MonthlyAdmittance.from_block(**data)
    assert list(found.months) == ["2021-05", "2021-06", "2021-07", "2021-08"]
    assert [s.days for s in found.months.values()] == [12, 30, 31, 17]
    label = np.datetime_as_string(data["times_ns"].astype("datetime64[ns]"), unit="M")
    for month, sums in found.months.items():
        alone = Admittance.from_block(**{n: c[label == month] for n, c in data.items()})
        assert sums.to_dict() == alone.to_dict()
        assert found.finalize()[month].tidal_factor == pytest.approx(1.158, abs=0.001)


def test_the_total_is_that_of_the_whole_record() -> None:
    data = record(2)
    months, whole = MonthlyAdmittance.from_block(**data), Admittance.from_block(**data)
    total = months.total()
    assert (total.days, total.hours) == (whole.days, whole.hours)
    np.testing.assert_allclose(total.gram, whole.gram, rtol=1e-12)
    assert months.total(without="2021-07").days == SPAN - 31


@settings(max_examples=10, deadline=None)
@given(st.sets(st.integers(1, SPAN - 1), max_size=6), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_any_cutting_into_days_merges_to_the_same(cuts: set[int], seed: int, random: object) -> None:
    data = record(seed)
    edges = [0, *sorted(cuts), SPAN]
    blocks = [MonthlyAdmittance.from_block(**cut(data, slice(a * 144, b * 144))) for a, b in pairwise(edges)]
    random.shuffle(blocks)  # type: ignore[attr-defined]
    merged = sum(blocks, MonthlyAdmittance.zero())
    whole = MonthlyAdmittance.from_block(**data)
    assert list(merged.months) == list(whole.months)
    for month in whole.months:
        assert merged.months[month].days == whole.months[month].days
        np.testing.assert_allclose(merged.months[month].gram, whole.months[month].gram, rtol=1e-9, atol=1e-6)


def test_zero_is_neutral_and_finds_nothing() -> None:
    some = MonthlyAdmittance.from_block(**record(3, days=20))
    assert (some + MonthlyAdmittance.zero()).to_dict() == some.to_dict() == (MonthlyAdmittance.zero() + some).to_dict()
    assert MonthlyAdmittance.zero().finalize() == {}
    assert MonthlyAdmittance.zero().departures() == []
    empty = np.empty(0)
    assert MonthlyAdmittance.from_block(empty, np.empty(0, np.int64), empty).months == {}


def test_sums_survive_json_exactly_and_compactly() -> None:
    some = MonthlyAdmittance.from_block(**record(4))
    text = json.dumps(some.to_dict())
    again = MonthlyAdmittance.from_dict(json.loads(text))
    assert again.to_dict() == some.to_dict()
    for month, sums in some.months.items():
        assert np.array_equal(again.months[month].gram_moment, sums.gram_moment)
        assert again.months[month].finalize() == sums.finalize()
    assert len(text) < 1200 * len(some.months)


def test_the_full_matrices_of_earlier_ledgers_are_read() -> None:
    (sums,) = MonthlyAdmittance.from_block(**record(5, days=5)).months.values()
    earlier = {n: getattr(sums, n).tolist() for n in ("gram", "gram_moment", "level", "level_moment")}
    again = Admittance.from_dict({"days": sums.days, "hours": sums.hours, **earlier})
    assert again.to_dict() == sums.to_dict()


def test_a_month_with_another_scale_departs() -> None:
    departures = MonthlyAdmittance.from_block(**record(6, scale_of_july=1.03)).departures()
    tides = [d for d in departures if d.quantity == "tidal_factor"]
    assert [d.month for d in tides] == ["2021-07"]
    assert tides[0].value == pytest.approx(1.158 * 1.03, abs=0.003)
    assert tides[0].others == pytest.approx(1.158, abs=0.002)
    assert tides[0].significance > 10


def test_equal_months_and_small_differences_do_not_depart() -> None:
    for seed in range(4):
        assert MonthlyAdmittance.from_block(**record(seed)).departures() == []
    assert MonthlyAdmittance.from_block(**record(7, scale_of_july=1.004)).departures() == []  # less than a percent


def test_months_with_few_days_are_left_out() -> None:
    found = MonthlyAdmittance.from_block(**record(8, days=45))  # 12 days of May, 30 of June, 3 of July
    assert list(found.finalize()) == ["2021-05", "2021-06"]
    assert list(found.finalize(least_days=2)) == ["2021-05", "2021-06", "2021-07"]
    assert found.departures(least_days=40) == []


def test_without_pressure_the_admittance_is_unknown_and_departs_nowhere() -> None:
    data = record(9)
    data["gravity"] += 2.7 * data.pop("pressure")
    found = MonthlyAdmittance.from_block(**data)
    assert np.isnan(found.finalize()["2021-06"].admittance)
    assert found.departures() == []


@pytest.mark.real
def test_record_334(record_334: SimpleNamespace) -> None:
    """The tide of the "334" record is 1.17 times that of a rigid Earth in June and in July 2021."""
    theory = tide(record_334.times_ns, record_334.latitude, record_334.longitude, record_334.elevation)
    found = MonthlyAdmittance.from_block(record_334.gravity, record_334.times_ns, theory, record_334.pressure)
    estimates = found.finalize()
    assert list(estimates) == ["2021-06", "2021-07"]
    for month, factor, days in (("2021-06", 1.168, 24), ("2021-07", 1.166, 19)):
        assert estimates[month].days == days  # whole days of 24 and 20, one of them missing
        assert estimates[month].tidal_factor == pytest.approx(factor, abs=0.003)
        assert 0.0005 < estimates[month].tidal_factor_error < 0.004
        assert estimates[month].admittance == pytest.approx(-3.7, abs=1.5)
    assert found.departures() == []

"""The choice of the number of components."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Reference

from gravdask.errors import MixtureError
from gravdask.mixture import GaussianMixture, effective_size, select, time_blocks


@pytest.fixture(scope="module")
def record() -> np.ndarray:
    """1200 rows in time order that dwell in three well separated states for 20 rows at a time."""
    generator = np.random.default_rng(0)
    state = np.repeat(generator.integers(0, 3, 60), 20)
    return generator.normal(size=(1200, 2)) + np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])[state]


def test_the_true_number_is_recommended(record: np.ndarray) -> None:
    times = np.arange(1200)
    table = select(record, range(1, 6), blocks=time_blocks(times, 4, 10), times=times, random_state=0)
    advice = table.attrs["recommendation"]
    assert (advice["n_components"], advice["covariance_type"], advice["criterion"]) == (3, "full", "held_out")
    assert advice["at_limit"] is False
    assert table["n_components"].tolist() == [1, 2, 3, 4, 5]
    row = table.set_index("n_components").loc[3]
    assert row["converged"]
    assert row["stability"] == pytest.approx(1.0)
    reference = Reference(3, random_state=0).fit(record)
    assert row["bic"] == pytest.approx(reference.bic(record), rel=1e-6)
    assert row["aic"] == pytest.approx(reference.aic(record), rel=1e-6)
    share = reference.predict_proba(record)
    entropy = -(share * np.log(np.maximum(share, 1e-300))).sum()
    assert row["icl"] == pytest.approx(row["bic"] + 2.0 * entropy, rel=1e-6)
    n_effective = table.attrs["effective_size"]
    expected = -2.0 * n_effective * row["log_likelihood"] + 17 * np.log(n_effective)
    assert row["bic_effective"] == pytest.approx(expected, rel=1e-12)


def test_held_out_scores_are_those_of_fits_without_the_block(record: np.ndarray) -> None:
    labels = time_blocks(np.arange(1200), 3, 10)
    table = select(record, [1], blocks=labels, starts=1)
    scores, sizes = [], []
    for block in range(3):
        model = Reference(1).fit(record[(labels >= 0) & (labels != block)])
        scores.append(model.score(record[labels == block]))
        sizes.append((labels == block).sum())
    assert table["held_out"].iloc[0] == pytest.approx(np.average(scores, weights=sizes), rel=1e-9)
    assert table["held_out_error"].iloc[0] == pytest.approx(np.std(scores, ddof=1) / np.sqrt(3), rel=1e-6)
    assert np.isnan(table["stability"].iloc[0])


def test_lazy_rows_give_the_same_table(record: np.ndarray) -> None:
    options = {"blocks": time_blocks(np.arange(1200), 2, 10), "random_state": 1, "starts": 2}
    plain = select(record, [2, 3], covariance_types=("diag", "full"), **options)
    lazy = select(da.from_array(record, chunks=(500, 1)), [2, 3], covariance_types=("diag", "full"), **options)
    columns = ["bic", "aic", "icl", "held_out", "held_out_error", "stability"]
    np.testing.assert_allclose(lazy[columns], plain[columns], rtol=1e-8)
    assert lazy.attrs["recommendation"]["n_components"] == plain.attrs["recommendation"]["n_components"]


def test_without_blocks_bic_decides_and_says_so(record: np.ndarray) -> None:
    advice = select(record, range(1, 4), random_state=0, starts=1).attrs["recommendation"]
    assert (advice["n_components"], advice["criterion"], advice["at_limit"]) == (3, "bic", True)
    assert "give blocks of time" in advice["reason"]
    assert "try more" in advice["reason"]


def test_a_candidate_that_fails_is_noted(record: np.ndarray) -> None:
    flat = np.column_stack([record, np.zeros(1200)])
    template = GaussianMixture(reg_covar=0.0)
    table = select(flat, [1], covariance_types=("full", "spherical"), starts=1, estimator=template)
    assert "ill-defined covariance" in table["note"].iloc[0]
    assert np.isnan(table["bic"].iloc[0])
    assert table.attrs["recommendation"]["covariance_type"] == "spherical"
    with pytest.raises(MixtureError, match="No candidate could be fitted"):
        select(flat, [1], starts=1, estimator=template)


def test_wrong_questions_are_refused(record: np.ndarray) -> None:
    with pytest.raises(MixtureError, match="at least one candidate"):
        select(record, [])
    with pytest.raises(MixtureError, match="at least two blocks"):
        select(record, [1], blocks=np.zeros(1200, dtype=int))
    with pytest.raises(MixtureError, match="integer labels"):
        select(record, [1], blocks=np.zeros(1200))
    with pytest.raises(MixtureError, match=r"blocks has shape \(7,\), but X has 1200 rows"):
        select(record, [1], blocks=np.arange(7))
    with pytest.raises(MixtureError, match=r"times has shape \(3,\)"):
        select(da.from_array(record, chunks=500), [1], times=[1, 2, 3])


def test_time_blocks_keep_their_guard() -> None:
    generator = np.random.default_rng(0)
    times = generator.permutation(np.repeat(np.arange(0, 4000, 4), 3))  # three stations, shuffled
    labels = time_blocks(times, 5, guard=40)
    assert set(labels) == {-1, 0, 1, 2, 3, 4}
    for k in range(4):
        assert times[labels == k + 1].min() - times[labels == k].max() >= 40
    assert (labels == -1).mean() == pytest.approx(4 * 10 / 1000, abs=0.005)
    assert (time_blocks(times, 5) >= 0).all()
    with pytest.raises(MixtureError, match="leaves no rows in block"):
        time_blocks(times, 5, guard=900)
    with pytest.raises(MixtureError, match="cannot make n_blocks=5"):
        time_blocks([1, 2, 3], 5)


def test_effective_size_of_an_autoregressive_series() -> None:
    """AR(1) with coefficient a has τ = (1 + a) / (1 - a)."""
    generator = np.random.default_rng(1)
    noise = generator.normal(size=40_000)
    series = np.zeros(40_000)
    for i in range(1, 40_000):
        series[i] = 0.8 * series[i - 1] + noise[i]
    times = np.arange(40_000) * 60
    assert effective_size(series, times) == pytest.approx(40_000 / 9.0, rel=0.12)
    assert effective_size(noise, times) == pytest.approx(40_000, rel=0.12)
    keep = (np.arange(40_000) % 1000) > 200  # gaps
    assert effective_size(series[keep], times[keep]) == pytest.approx(keep.sum() / 9.0, rel=0.15)
    doubled = effective_size(np.tile(series, 2), np.tile(times, 2))  # a second station adds nothing
    assert doubled == pytest.approx(effective_size(series, times), rel=1e-9)
    assert effective_size([1.0, 2.0], [0, 1]) == 2.0
    assert effective_size(np.ones(10), np.arange(10)) == 10.0


def test_times_without_a_common_step_are_refused() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(MixtureError, match="no common step"):
        effective_size(generator.normal(size=500), np.cumsum(generator.exponential(size=500)))
    with pytest.raises(MixtureError, match="no common step"):
        effective_size(generator.normal(size=300), np.r_[np.arange(299), 10**12])
    with pytest.raises(MixtureError, match="1 not finite"):
        effective_size([1.0, np.nan, 2.0], [0, 1, 2])
    with pytest.raises(MixtureError, match="one length"):
        effective_size([1.0, 2.0], [0, 1, 2])
    with pytest.raises(MixtureError, match="none missing"):
        time_blocks([0.0, np.nan, 1.0, 2.0], 2)
    with pytest.raises(MixtureError, match="guard"):
        time_blocks(np.arange(10), 2, guard=-1.0)


def test_labels_and_rows_that_select_cannot_use_are_named(record: np.ndarray) -> None:
    labels = time_blocks(np.arange(1200), 3)
    labels[:3] = -5
    with pytest.raises(MixtureError, match="blocks holds -5"):
        select(record, [2], blocks=labels)
    torn = record.copy()
    torn[7, 1] = np.nan
    with pytest.raises(MixtureError, match="first in row 7: leave such rows"):
        select(torn, [2], estimator=GaussianMixture(missing="skip"))

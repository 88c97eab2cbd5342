"""Columns of the mixture from coefficients: closed forms, invariances, the choice of frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import ModelError
from gravdask.features.columns import (
    Columns,
    choose_columns,
    column_medians,
    log_columns,
    normalise,
    path_medians,
    sampled,
)

ORDER = np.array([0, 1, 1, 1, 2, 2, 2])
FREQUENCY_1 = np.array([np.nan, 0.4, 0.1, 0.02, 0.4, 0.4, 0.1])
FREQUENCY_2 = np.array([np.nan, np.nan, np.nan, np.nan, 0.1, 0.02, 0.02])
COLUMNS = choose_columns(ORDER, FREQUENCY_1, FREQUENCY_2, frame_seconds=256.0)


def coefficients(frames: int = 50, seed: int = 0) -> np.ndarray:
    """Positive coefficients of seven paths over many orders of magnitude, float32 as the store has them."""
    scale = 10.0 ** np.array([3, 2, 4, 0, -1, -2, -5])
    return (scale * np.random.default_rng(seed).lognormal(0, 0.7, (frames, 7))).astype(np.float32)


# --- the choice -------------------------------------------------------------------------------------------------------


def test_columns_are_both_orders_with_their_parents() -> None:
    assert COLUMNS.path.tolist() == [1, 2, 3, 4, 5, 6]
    assert COLUMNS.parent.tolist() == [-1, -1, -1, 1, 1, 2]
    assert len(COLUMNS) == 6


@pytest.mark.parametrize(("blocks", "paths"), [("loudness", [1, 2, 3]), ("shape", [4, 5, 6])])
def test_blocks_can_be_used_apart(blocks: str, paths: list[int]) -> None:
    chosen = choose_columns(ORDER, FREQUENCY_1, FREQUENCY_2, 256.0, blocks)  # type: ignore[arg-type]
    assert chosen.path.tolist() == paths
    assert (chosen.parent >= 0).all() == (blocks == "shape")


@pytest.mark.parametrize(
    ("seconds", "paths"), [(200.0, [1, 2, 3, 4, 5, 6]), (199.0, [1, 2, 4]), (40.0, [1, 2, 4]), (39.0, [1]), (10.0, [1])]
)
def test_periods_beyond_a_quarter_of_a_frame_are_left_out(seconds: float, paths: list[int]) -> None:
    assert choose_columns(ORDER, FREQUENCY_1, FREQUENCY_2, seconds).path.tolist() == paths


@pytest.mark.parametrize(("seconds", "blocks"), [(5.0, "both"), (5.0, "loudness"), (5.0, "shape"), (39.0, "shape")])
def test_no_column_at_all_is_an_error_with_a_cure(seconds: float, blocks: str) -> None:
    with pytest.raises(ModelError, match=rf"frames of {seconds:g} s .* longer frames"):
        choose_columns(ORDER, FREQUENCY_1, FREQUENCY_2, seconds, blocks)  # type: ignore[arg-type]


def test_taking_columns() -> None:
    kept = COLUMNS.take(np.array([True, False, False, False, True, False]))
    assert (kept.path.tolist(), kept.parent.tolist()) == ([1, 5], [-1, 1])


# --- logarithms -------------------------------------------------------------------------------------------------------


def test_log_columns_are_the_closed_form() -> None:
    values = coefficients()
    logs = log_columns(values, path_medians(values), COLUMNS)
    exact = np.log(values.astype(np.float64))
    expected = np.column_stack(
        [
            exact[:, 1],
            exact[:, 2],
            exact[:, 3],
            exact[:, 4] - exact[:, 1],
            exact[:, 5] - exact[:, 1],
            exact[:, 6] - exact[:, 2],
        ]
    )
    assert logs.shape == (50, 6)
    np.testing.assert_allclose(logs, expected, atol=3e-5)


def test_the_small_number_is_a_millionth_of_the_median() -> None:
    values = np.array([[0.0, 2.0], [4.0, 1.0]])
    columns = Columns(np.array([0, 1]), np.array([-1, 0]))
    medians = np.array([2.0, 1.5])
    found = log_columns(values, medians, columns)
    np.testing.assert_allclose(found[0], [np.log(2e-6), np.log(2.0 + 1.5e-6) - np.log(2e-6)], rtol=1e-14)
    np.testing.assert_allclose(found[1], [np.log(4.0 + 2e-6), np.log(1.0 + 1.5e-6) - np.log(4.0 + 2e-6)], rtol=1e-14)


def test_parent_normalisation_drops_what_parent_and_child_share() -> None:
    values = coefficients()
    gain = np.random.default_rng(1).lognormal(0, 2, (50, 1))
    shape = choose_columns(ORDER, FREQUENCY_1, FREQUENCY_2, 256.0, "shape")
    plain = log_columns(values, path_medians(values), shape)
    loud = log_columns(values * gain, path_medians(values), shape)
    np.testing.assert_allclose(loud, plain, atol=1e-3)


def test_path_medians_are_those_of_valid_frames() -> None:
    values = coefficients()
    values[[3, 7]] = np.nan
    values[9, 4] = np.nan
    kept = np.delete(values, [3, 7, 9], axis=0).astype(np.float64)
    np.testing.assert_array_equal(path_medians(values), np.median(kept, axis=0))
    assert np.isnan(path_medians(np.full((4, 7), np.nan))).all()
    assert path_medians(np.empty((0, 7))).shape == (7,)


@settings(max_examples=40, deadline=None)
@given(exponent=st.floats(-12, 12), seed=st.integers(0, 99))
def test_a_channels_gain_drops_out(exponent: float, seed: int) -> None:
    """Counts, nm/s2 or volts: a class is not a station."""
    values = coefficients(seed=seed).astype(np.float64)
    values[::7] = np.nan
    rows = []
    for record in (values, values * 10.0**exponent):
        logs = log_columns(record, path_medians(record), COLUMNS)
        rows.append(normalise(logs, column_medians(logs)))
    np.testing.assert_allclose(rows[1], rows[0], atol=1e-9)
    assert np.isnan(rows[0][::7]).all()
    assert np.isfinite(np.delete(rows[0], np.s_[::7], axis=0)).all()


def test_normalised_columns_have_median_zero() -> None:
    values = coefficients(51)
    logs = log_columns(values, path_medians(values), COLUMNS)
    np.testing.assert_allclose(np.median(normalise(logs, column_medians(logs)), axis=0), 0.0, atol=1e-12)


def test_the_input_is_not_changed() -> None:
    values = coefficients()
    copy = values.copy()
    logs = log_columns(values, path_medians(values), COLUMNS)
    logs_copy = logs.copy()
    medians = column_medians(logs)
    medians[2] = np.nan
    normalise(logs, medians)
    np.testing.assert_array_equal(values, copy)
    np.testing.assert_array_equal(logs, logs_copy)


# --- no energy --------------------------------------------------------------------------------------------------------


def test_a_path_without_energy_stands_at_its_median_and_spoils_nothing() -> None:
    values = coefficients()
    values[:, 3] = 0.0
    values[5] = np.nan
    logs = log_columns(values, path_medians(values), COLUMNS)
    medians = column_medians(logs)
    assert np.isnan(medians).tolist() == [False, False, True, False, False, False]
    rows = normalise(logs, medians)
    assert np.isnan(rows[5]).all()
    np.testing.assert_array_equal(np.delete(rows[:, 2], 5), 0.0)
    assert np.isfinite(np.delete(rows, 5, axis=0)).all()


def test_a_parent_without_energy_takes_its_children_with_it() -> None:
    values = coefficients()
    values[:, 1] = 0.0
    logs = log_columns(values, path_medians(values), COLUMNS)
    assert np.isnan(logs).all(axis=0).tolist() == [True, False, False, True, True, False]


def test_a_dead_channel_has_no_rows() -> None:
    values = np.zeros((10, 7), np.float32)
    logs = log_columns(values, path_medians(values), COLUMNS)
    assert np.isnan(normalise(logs, column_medians(logs))).all()


def test_column_medians_of_partly_finite_columns() -> None:
    logs = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan], [np.inf, 7.0, np.nan]])
    np.testing.assert_array_equal(column_medians(logs), [2.0, 6.0, np.nan])


# --- the choice of frames ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**63 + 5, -7])
def test_the_share_chosen_is_the_share_asked_for(share: float, seed: int) -> None:
    frames = np.arange(200_000, 400_000)
    chosen = sampled(seed, frames, share)
    error = 5 * np.sqrt(share * (1 - share) / frames.size)
    assert chosen.mean() == pytest.approx(share, abs=error)
    for stratum in (chosen[:50_000], chosen[150_000:], chosen[::7], chosen[::64]):
        assert stratum.mean() == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / stratum.size))


def test_neighbouring_choices_are_independent() -> None:
    chosen = sampled(3, np.arange(200_000), 0.5).astype(float)
    for lag in (1, 2, 24, 211):
        assert abs(np.corrcoef(chosen[:-lag], chosen[lag:])[0, 1]) < 0.012
    other = sampled(4, np.arange(200_000), 0.5).astype(float)
    assert abs(np.corrcoef(chosen, other)[0, 1]) < 0.012


def test_nothing_and_everything() -> None:
    frames = np.arange(100_000)
    assert not sampled(0, frames, 0.0).any()
    assert not sampled(0, frames, -1.0).any()
    assert sampled(0, frames, 1.0).all()
    assert sampled(0, frames, 2.0).all()
    assert sampled(0, np.empty(0, np.int64), 0.5).shape == (0,)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**64),
    frames=st.lists(st.integers(0, 10**9), min_size=1, max_size=60),
    share=st.floats(0, 1),
    cut=st.integers(0, 60),
)
def test_the_choice_of_a_frame_does_not_depend_on_its_company(
    seed: int, frames: list[int], share: float, cut: int
) -> None:
    numbers = np.array(frames, np.int64)
    whole = sampled(seed, numbers, share)
    parts = np.concatenate([sampled(seed, numbers[:cut], share), sampled(seed, numbers[cut:], share)])
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(sampled(seed, numbers[::-1], share), whole[::-1])
    assert [bool(sampled(seed, numbers[n : n + 1], share)[0]) for n in range(len(frames))] == whole.tolist()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**64), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_larger_share_contains_a_smaller_one(seed: int, low: float, high: float) -> None:
    frames = np.arange(500)
    small, large = sampled(seed, frames, min(low, high)), sampled(seed, frames, max(low, high))
    assert not (small & ~large).any()


def test_the_choice_is_golden() -> None:
    """SplitMix64 in plain Python integers."""

    def mixed(seed: int, frame: int) -> int:
        z = (frame + seed * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    frames = np.arange(1000)
    expected = [mixed(12345, n) < 0.25 * 2**64 for n in range(1000)]
    assert sampled(12345, frames, 0.25).tolist() == expected

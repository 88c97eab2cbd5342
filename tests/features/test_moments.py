"""Merged moments against NumPy, for any chunking, offset and missing rows."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gravdask.errors import ModelError
from gravdask.features.moments import SLICE_ROWS, Moments, first_largest_positive, principal_axes
from gravdask.features.reduction import FAN_IN, add_in_order, sum_blocks

Array = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _synchronous() -> object:
    with dask.config.set(scheduler="synchronous"):
        yield


def correlated(n_rows: int, n_columns: int, seed: int = 0) -> Array:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n_rows, n_columns)) @ generator.normal(size=(n_columns, n_columns))


def cut(rows: Array, cuts: list[int]) -> list[Array]:
    return np.split(rows, sorted(c % (len(rows) + 1) for c in cuts))


def merged(parts: list[Array]) -> Moments:
    return add_in_order(Moments.zero(parts[0].shape[1]), [Moments.from_block(part) for part in parts])


def exact_covariance(rows: Array) -> Array:
    """Covariance in extended precision."""
    x = rows.astype(np.longdouble)
    x -= x.mean(axis=0)
    return np.asarray((x.T @ x) / (len(rows) - 1), np.float64)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    n_rows=st.integers(2, 60),
    cuts=st.lists(st.integers(0, 100), max_size=8),
    offset=st.sampled_from([0.0, 1.0, -1e5, 1e5]),
)
def test_any_chunking_gives_numpys_moments(seed: int, n_rows: int, cuts: list[int], offset: float) -> None:
    rows = correlated(n_rows, 4, seed) + offset
    found = merged(cut(rows, cuts))
    assert (found.count, found.skipped) == (n_rows, 0)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(found.covariance(1), exact_covariance(rows), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.deviation(), rows.std(axis=0), rtol=1e-9)


@pytest.mark.parametrize(("offset", "bound"), [(0.0, 1e-13), (1e5, 1e-11), (1e7, 1e-9)])
def test_an_offset_costs_no_digits_of_the_covariance(offset: float, bound: float) -> None:
    rows = correlated(20_000, 5) + offset
    found = merged(np.array_split(rows, 37))
    assert np.abs(found.covariance(1) - exact_covariance(rows)).max() < bound


@pytest.mark.parametrize("offset", [1e7, 1e9, 1e11])
def test_the_mean_is_exact_and_what_it_lacked_is_taken_off_the_sums(offset: float) -> None:
    """A plain sum of a slice would be off by 4e-8, 5e-6 and 6e-4 here, its covariance by 4e-7 at the last."""
    rows = np.random.default_rng(0).normal(size=(SLICE_ROWS, 3)) + offset
    found = Moments.from_block(rows)
    exact = rows.astype(np.longdouble)
    np.testing.assert_array_equal(found.mean, exact.mean(axis=0).astype(np.float64))
    assert np.abs(found.covariance(1) - exact_covariance(rows)).max() < 1e-12


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), cuts=st.lists(st.integers(0, 100), max_size=6), share=st.floats(0, 1))
def test_rows_with_nan_or_infinity_are_left_out_and_counted(seed: int, cuts: list[int], share: float) -> None:
    generator = np.random.default_rng(seed)
    rows = correlated(50, 3, seed)
    bad = generator.uniform(size=50) < share
    rows[bad, generator.integers(0, 3, bad.sum())] = generator.choice([np.nan, np.inf, -np.inf], bad.sum())
    found = merged(cut(rows, cuts))
    assert (found.count, found.skipped) == (int((~bad).sum()), int(bad.sum()))
    if found.count > 1:
        np.testing.assert_allclose(found.covariance(1), np.cov(rows[~bad].T), rtol=1e-10, atol=1e-12)
    else:
        with pytest.raises(ModelError, match=rf"more than 1 rows, there are {found.count}, {found.skipped} were left"):
            found.covariance(1)


def test_zero_is_the_identity_and_addition_commutes() -> None:
    one, other = Moments.from_block(correlated(30, 3) + 100.0), Moments.from_block(correlated(17, 3, 1))
    zero = Moments.zero(3)
    for found in (one + zero, zero + one):
        assert (found.count, found.skipped) == (30, 0)
        np.testing.assert_array_equal(found.mean, one.mean)
        np.testing.assert_array_equal(found.second, one.second)
    assert (zero + zero).count == 0
    np.testing.assert_allclose((one + other).mean, (other + one).mean, rtol=1e-14)
    np.testing.assert_allclose((one + other).second, (other + one).second, rtol=1e-13)
    skipped = Moments.from_block(np.full((5, 3), np.nan))
    assert (skipped.count, skipped.skipped, (one + skipped).skipped) == (0, 5, 5)
    np.testing.assert_array_equal((skipped + one).second, one.second)


def test_long_blocks_are_summed_in_slices() -> None:
    rows = correlated(2 * SLICE_ROWS + 3, 2).astype(np.float32)
    found = Moments.from_block(rows)
    assert found.count == len(rows)
    np.testing.assert_allclose(found.covariance(1), np.cov(rows.astype(np.float64).T), rtol=1e-12)


def test_the_rows_are_not_changed() -> None:
    rows = correlated(20, 3)
    copy = rows.copy()
    rows.setflags(write=False)
    Moments.from_block(rows)
    np.testing.assert_array_equal(rows, copy)


def test_other_columns_cannot_be_added() -> None:
    with pytest.raises(ModelError, match="3 and of 4 columns"):
        Moments.zero(3) + Moments.zero(4)


def test_correlation_is_numpys_and_exactly_one_with_itself() -> None:
    rows = correlated(500, 5) * np.array([1e-9, 1, 1e9, 5, 2]) + np.array([1e-6, 0, 1e12, -3, 0])
    found = Moments.from_block(rows).correlation()
    np.testing.assert_allclose(found, np.corrcoef(rows.T), atol=1e-11)
    np.testing.assert_array_equal(np.diag(found), 1.0)
    np.testing.assert_array_equal(found, found.T)


def test_a_constant_column_has_no_correlation() -> None:
    rows = correlated(100, 3)
    rows[:, 2] = 0.1
    with pytest.raises(ModelError, match=r"columns \[2\] do not vary"):
        merged(np.array_split(rows, 7)).correlation()


def test_plain_arrays_give_the_same_moments_back() -> None:
    rows = correlated(50, 4)
    rows[3] = np.nan
    moments = Moments.from_block(rows)
    arrays = moments.to_arrays()
    assert all(isinstance(a, np.ndarray) and a.dtype.kind in "fi" for a in arrays.values())
    back = Moments.from_arrays(arrays)
    assert (back.count, back.skipped) == (49, 1)
    np.testing.assert_array_equal(back.second, moments.second)
    np.testing.assert_array_equal(back.mean, moments.mean)


@pytest.mark.parametrize("n_blocks", [1, FAN_IN, FAN_IN + 1, FAN_IN**2 + 3])
def test_blocks_of_a_dask_array_are_summed_in_a_tree(n_blocks: int) -> None:
    rows = correlated(5 * n_blocks, 3) + 7.0
    found = sum_blocks(da.from_array(rows, chunks=(5, 2)), Moments.from_block, Moments.zero(3))
    assert found.count == len(rows)
    np.testing.assert_allclose(found.covariance(1), np.cov(rows.T), rtol=1e-11, atol=1e-12)
    again = sum_blocks(da.from_array(rows, chunks=(5, 2)), Moments.from_block, Moments.zero(3))
    np.testing.assert_array_equal(again.second, found.second)


def test_unknown_and_empty_chunks_and_plain_arrays() -> None:
    rows = correlated(40, 3)
    unknown = da.from_array(rows, chunks=(10, 3))
    unknown = unknown[unknown[:, 0] > -np.inf]
    assert np.isnan(unknown.shape[0])
    gaps = da.from_array(rows, chunks=((0, 25, 0, 15, 0), 3))
    for lazy in (unknown, gaps, rows):
        found = sum_blocks(lazy, Moments.from_block, Moments.zero(3))
        assert found.count == 40
        np.testing.assert_allclose(found.covariance(1), np.cov(rows.T), rtol=1e-12)
    assert sum_blocks(da.empty((0, 3)), Moments.from_block, Moments.zero(3)).count == 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 8))
def test_axes_are_eigenvectors_with_a_sign_of_their_own(seed: int, n: int) -> None:
    covariance = np.cov(correlated(50, n, seed).T).reshape(n, n)
    axes, variance = principal_axes(covariance)
    np.testing.assert_allclose(axes @ axes.T, np.eye(n), atol=1e-12)
    np.testing.assert_allclose((axes.T * variance) @ axes, covariance, atol=1e-10 * np.trace(covariance))
    assert (np.diff(variance) <= 0).all()
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], n)[:, None]
    np.testing.assert_array_equal(first_largest_positive(axes * signs), axes)


def test_equal_loadings_do_not_leave_the_sign_to_rounding() -> None:
    up, down = 1 + 1e-15, 1 - 1e-15
    found = first_largest_positive(np.array([[up, -down], [-down, up], [-up, down], [0.0, 0.0]]))
    np.testing.assert_array_equal(np.sign(found), [[1, -1], [1, -1], [1, -1], [0, 0]])

"""Mergeable histograms: the stated error against numpy.median, exact merging, exact medians in two passes."""

from __future__ import annotations

import weakref
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gravdask.errors import ModelError
from gravdask.features.columns import Columns, column_medians, log_columns, path_medians
from gravdask.features.histogram import LOGARITHM_CELLS, PATH_CELLS, SLICE_ROWS, Cells, MedianHistogram
from gravdask.features.medians import Middle, MiddleValues, channel_medians, medians_of

Array = NDArray[np.float64]
DIVISIONS = {"paths": PATH_CELLS, "logarithms": LOGARITHM_CELLS, "coarse": Cells(-2, 6, 2)}


@pytest.fixture(autouse=True)
def _synchronous() -> object:
    with dask.config.set(scheduler="synchronous"):
        yield


def same(one: MedianHistogram, other: MedianHistogram) -> None:
    assert one.cells == other.cells
    for name in ("missing", "keys", "counts"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


values_in_range = st.one_of(
    st.floats(-900, 900, allow_subnormal=True), st.sampled_from([0.0, -0.0, 1.0, 1e-300, -1e-300, 16.0, -16.0, np.nan])
)
columns_of_values = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=values_in_range
)


# --- cells ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", DIVISIONS.values(), ids=DIVISIONS)
@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.floats(allow_nan=False), min_size=2, max_size=30),
    near=st.lists(st.floats(-15, 15), max_size=30),
)
def test_cells_are_in_the_order_of_values_and_the_middle_is_as_near_as_stated(
    cells: Cells, values: list[float], near: list[float]
) -> None:
    x = np.sort(np.array(values + near))
    cell = cells.index(x)
    assert (np.diff(cell) >= 0).all()
    np.testing.assert_array_equal(cells.index(-x), -cell)
    np.testing.assert_array_equal(cell == 0, x == 0)
    np.testing.assert_array_equal(np.sign(cell), np.sign(x))
    inside = np.abs(cell) < cells.last
    np.testing.assert_array_equal(inside, np.abs(x) + cells.floor < cells.floor * 2.0**cells.octaves)
    middle = cells.middle(cell)
    assert (np.abs(middle[inside] - x[inside]) <= cells.error(x[inside]) * (1 + 1e-9)).all()
    np.testing.assert_array_equal(middle[~inside], np.copysign(np.inf, x[~inside]))
    np.testing.assert_array_equal(cells.index(middle), cell)


def test_the_stated_errors() -> None:
    """A thousandth of a coefficient in any unit; a thousandth of the value that a logarithm stands for."""
    for unit in (1e-25, 1e-9, 1.0, 1e9, 1e25):
        assert PATH_CELLS.error(unit) / unit < 1e-3
    assert LOGARITHM_CELLS.error(49.0) < 1e-3
    assert LOGARITHM_CELLS.error(-49.0) == LOGARITHM_CELLS.error(49.0)


def test_single_precision_falls_into_the_cell_of_its_value() -> None:
    x = np.random.default_rng(0).lognormal(0, 20, 5000).astype(np.float32)
    np.testing.assert_array_equal(PATH_CELLS.index(x), PATH_CELLS.index(x.astype(np.float64)))


@pytest.mark.parametrize("wrong", [(-1023, 4, 9), (0, 0, 9), (0, 1024, 9), (0, 4, 0), (0, 4, 53)])
def test_cells_beyond_float64_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ModelError, match="beyond float64"):
        Cells(*wrong)


# --- medians ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [PATH_CELLS, LOGARITHM_CELLS], ids=["paths", "logarithms"])
@settings(max_examples=60, deadline=None)
@given(rows=columns_of_values)
def test_medians_are_numpys_within_the_stated_error(cells: Cells, rows: Array) -> None:
    found = MedianHistogram.from_block(rows, cells)
    np.testing.assert_array_equal(found.missing, np.isnan(rows).sum(axis=0))
    np.testing.assert_array_equal(found.present, (~np.isnan(rows)).sum(axis=0))
    for median, column in zip(found.medians(), rows.T, strict=True):
        x = np.sort(column[~np.isnan(column)])
        if not x.size:
            assert np.isnan(median)
            continue
        ends = x[[(x.size - 1) // 2, x.size // 2]]
        assert abs(median - np.median(x)) <= cells.error(np.abs(ends).mean()) * (1 + 1e-9) + 1e-300


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e9])
def test_path_medians_are_good_to_a_thousandth_in_any_unit(unit: float) -> None:
    rows = (np.random.default_rng(1).lognormal(0, 1.5, (4001, 20)) * unit).astype(np.float32)
    rows[::9] = np.nan
    np.testing.assert_allclose(medians_of(rows), path_medians(rows), rtol=1e-3)
    halves = medians_of(rows[:4000])
    np.testing.assert_allclose(halves, path_medians(rows[:4000]), rtol=1e-3)


def test_medians_of_logarithms_are_good_to_a_thousandth_of_the_value() -> None:
    rows = np.random.default_rng(1).normal(size=(3001, 30)) * 2 + np.linspace(-45, 45, 30)
    assert np.abs(medians_of(rows, LOGARITHM_CELLS) - column_medians(rows)).max() < 1e-3


def test_zeros_and_values_beyond_the_range() -> None:
    rows = np.array(
        [[0.0, 0.0, 1e40, np.inf, -np.inf, np.nan], [0, 0, 1e40, 1, -1, np.nan], [5, -0.0, 1, np.inf, -np.inf, np.nan]]
    )
    found = MedianHistogram.from_block(rows, PATH_CELLS)
    np.testing.assert_array_equal(found.medians(), [0, 0, np.inf, np.inf, -np.inf, np.nan])
    exact = medians_of(rows, exact=True)
    np.testing.assert_array_equal(exact, [0, 0, 1e40, np.inf, -np.inf, np.nan])
    assert found.missing.tolist() == [0, 0, 0, 0, 0, 3]
    assert np.isnan(MedianHistogram.zero(2, PATH_CELLS).medians()).all()


# --- the monoid -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", DIVISIONS.values(), ids=DIVISIONS)
@settings(max_examples=40, deadline=None)
@given(rows=columns_of_values, cuts=st.lists(st.integers(0, 12), max_size=5), seed=st.integers(0, 99))
def test_parts_merge_to_the_whole_exactly(cells: Cells, rows: Array, cuts: list[int], seed: int) -> None:
    whole = MedianHistogram.from_block(rows, cells)
    parts = [MedianHistogram.from_block(p, cells) for p in np.split(rows, sorted(min(c, len(rows)) for c in cuts))]
    np.random.default_rng(seed).shuffle(parts)  # type: ignore[arg-type]
    total = MedianHistogram.zero(rows.shape[1], cells)
    for part in parts:
        total = total + part
    same(total, whole)
    same(whole + MedianHistogram.zero(rows.shape[1], cells), whole)


def test_long_blocks_are_counted_in_slices() -> None:
    rows = np.random.default_rng(0).lognormal(size=(2 * SLICE_ROWS + 1, 2))
    found = MedianHistogram.from_block(rows, PATH_CELLS)
    assert found.present.tolist() == [len(rows)] * 2
    np.testing.assert_allclose(found.medians(), np.median(rows, axis=0), rtol=1e-3)


def test_memory_does_not_grow_with_the_rows() -> None:
    generator = np.random.default_rng(0)
    coarse = Cells(-10, 20, 3)
    total = MedianHistogram.zero(3, coarse)
    sizes = []
    for _ in range(12):
        total = total + MedianHistogram.from_block(generator.lognormal(0, 3, (2000, 3)), coarse)
        sizes.append(total.keys.size)
    assert total.present.tolist() == [24_000] * 3
    assert max(sizes) <= 3 * (2 * coarse.last + 1)
    assert sizes[-1] - sizes[5] < 0.05 * sizes[-1]


def test_plain_arrays_give_the_same_histogram_back() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 4))
    rows[7] = np.nan
    found = MedianHistogram.from_block(rows, LOGARITHM_CELLS)
    arrays = found.to_arrays()
    assert {a.dtype.kind for a in arrays.values()} == {"i"}
    same(MedianHistogram.from_arrays(arrays), found)


def test_different_histograms_cannot_be_added() -> None:
    one = MedianHistogram.zero(3, PATH_CELLS)
    for other in (MedianHistogram.zero(2, PATH_CELLS), MedianHistogram.zero(3, LOGARITHM_CELLS)):
        with pytest.raises(ModelError, match="histograms of 3 columns"):
            one + other


# --- exact medians ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", DIVISIONS.values(), ids=DIVISIONS)
@settings(max_examples=60, deadline=None)
@given(rows=columns_of_values, cuts=st.lists(st.integers(0, 12), max_size=4))
def test_two_passes_give_numpys_median_to_the_bit(cells: Cells, rows: Array, cuts: list[int]) -> None:
    edges = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    lazy = da.from_array(rows, chunks=(tuple(int(n) for n in np.diff(edges)), rows.shape[1]))
    np.testing.assert_array_equal(medians_of(lazy, cells, exact=True), column_medians(rows))


@pytest.mark.parametrize("n", [999, 1000])
def test_exact_medians_of_single_precision_are_those_of_the_stage(n: int) -> None:
    rows = np.random.default_rng(4).lognormal(0, 0.02, (n, 15)).astype(np.float32) * np.float32(1e-6)
    rows[:, 3] = rows[0, 3]
    rows[:, 4] = 0.0
    rows[5:9] = np.nan
    lazy = da.from_array(rows, chunks=(130, 4))
    np.testing.assert_array_equal(medians_of(lazy, exact=True), path_medians(rows))


def test_the_second_pass_keeps_distinct_values_only() -> None:
    """A constant record of any length costs one number a column."""
    rows = np.full((5000, 2), 3.5)
    middle = Middle.of(MedianHistogram.from_block(rows, PATH_CELLS))
    found = MiddleValues.from_block(rows, middle) + MiddleValues.from_block(rows, middle)
    assert (found.values.tolist(), found.counts.tolist()) == ([3.5, 3.5], [10_000, 10_000])
    spread = np.random.default_rng(0).lognormal(0, 1, (20_000, 1))
    looked = MiddleValues.from_block(spread, Middle.of(MedianHistogram.from_block(spread, PATH_CELLS)))
    assert 0 < looked.values.size < 60


def test_the_two_zeros_are_one_whichever_comes_first() -> None:
    rows = np.array([[0.0], [-0.0], [-0.0]])
    middle = Middle.of(MedianHistogram.from_block(rows, PATH_CELLS))
    for order in ([0, 1, 2], [2, 1, 0]):
        parts = [MiddleValues.from_block(rows[[n]], middle) for n in order]
        total = parts[0] + parts[1] + parts[2]
        assert (total.values.tobytes(), total.counts.tolist()) == (np.zeros(1).tobytes(), [3])


def test_other_rows_in_the_second_pass_are_refused() -> None:
    rows = np.random.default_rng(0).lognormal(size=(101, 2))
    middle = Middle.of(MedianHistogram.from_block(rows, PATH_CELLS))
    for other in (rows * 7, rows[:3]):
        with pytest.raises(ModelError, match="column 0 holds other values"):
            MiddleValues.from_block(other, middle).medians(middle)


@settings(max_examples=30, deadline=None)
@given(rows=columns_of_values, seed=st.integers(0, 99))
def test_collected_values_are_a_monoid(rows: Array, seed: int) -> None:
    middle = Middle.of(MedianHistogram.from_block(rows, DIVISIONS["coarse"]))
    whole = MiddleValues.from_block(rows, middle)
    parts = [MiddleValues.from_block(rows[n : n + 3], middle) for n in range(0, len(rows), 3)]
    np.random.default_rng(seed).shuffle(parts)  # type: ignore[arg-type]
    total = MiddleValues.zero()
    for part in parts:
        total = total + part
    for name in ("columns", "values", "counts"):
        np.testing.assert_array_equal(getattr(total, name), getattr(whole, name))


def test_functions_travel_as_partials() -> None:
    """What the stages hand to workers: a classmethod with its division bound."""
    count = partial(MedianHistogram.from_block, cells=PATH_CELLS)
    rows = np.ones((3, 2))
    same(count(rows), MedianHistogram.from_block(rows, PATH_CELLS))


# --- a channel --------------------------------------------------------------------------------------------------------

COLUMNS = Columns(np.array([0, 1, 2, 3, 4]), np.array([-1, -1, 0, 1, -1]))


def channel_parts(seed: int = 0) -> list[NDArray[np.float32]]:
    """Coefficients over many orders of magnitude, with frames that have none, an empty part and a dead path."""
    generator = np.random.default_rng(seed)
    parts = [(10.0 ** np.arange(-4, 1) * generator.lognormal(0, 1, (n, 5))).astype(np.float32) for n in (40, 0, 7, 54)]
    parts[0][3:9] = np.nan
    parts[3][-1, 2] = np.nan
    for part in parts:
        part[:, 4] *= 0
    return parts


def test_medians_of_a_channel_are_those_of_all_its_frames_to_the_bit() -> None:
    parts = channel_parts()
    found = channel_medians([part.copy for part in parts], COLUMNS)
    together = np.concatenate(parts)
    together = together[np.isfinite(together).all(axis=1)]
    medians = path_medians(together)
    np.testing.assert_array_equal(found.path, medians)
    np.testing.assert_array_equal(found.column, column_medians(log_columns(together, medians, COLUMNS)))
    assert found.rows == (34, 0, 7, 53)
    assert np.isnan(found.column).tolist() == [False] * 4 + [True]


def test_one_pass_medians_of_a_channel_are_good_to_a_thousandth() -> None:
    parts = channel_parts()
    exact = channel_medians([part.copy for part in parts], COLUMNS)
    found = channel_medians([part.copy for part in parts], COLUMNS, exact=False)
    np.testing.assert_allclose(found.path, exact.path, rtol=1e-3)
    np.testing.assert_allclose(found.column, exact.column, atol=1e-3)
    assert found.rows == exact.rows


def test_how_a_channel_is_cut_does_not_matter() -> None:
    together = np.concatenate(channel_parts())
    for exact in (True, False):
        one = channel_medians([together.copy], COLUMNS, exact)
        other = channel_medians([together[n : n + 1].copy for n in reversed(range(len(together)))], COLUMNS, exact)
        np.testing.assert_array_equal(other.path, one.path)
        np.testing.assert_array_equal(other.column, one.column)


def test_one_part_of_a_channel_is_in_memory_at_a_time() -> None:
    held: list[weakref.ref[NDArray[np.float32]]] = []

    def read(part: NDArray[np.float32]) -> NDArray[np.float32]:
        assert all(other() is None for other in held), "the part before is still held"
        fresh = part.copy()
        held.append(weakref.ref(fresh))
        return fresh

    parts = channel_parts()
    channel_medians([partial(read, part) for part in parts], COLUMNS)
    assert len(held) == 4 * len(parts)


def test_a_channel_of_invalid_frames_has_no_medians_and_one_of_no_parts_is_refused() -> None:
    found = channel_medians([np.full((4, 5), np.nan).copy, np.empty((0, 5)).copy], COLUMNS)
    assert np.isnan(found.path).all()
    assert np.isnan(found.column).all()
    assert found.rows == (0, 0)
    with pytest.raises(ModelError, match="at least one part"):
        channel_medians([], COLUMNS)

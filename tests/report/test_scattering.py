"""Figures of the scattering network: what is drawn is the bank, the coefficients and the gaps, and nothing else."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from kymatio.scattering1d.filter_bank import scattering_filter_factory
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from gravdask.errors import ScatteringError
from gravdask.report import scattering, scattering_arrays
from gravdask.report.style import as_dates, png_uri
from gravdask.scattering import ScatteringNetwork

SMALL = ScatteringNetwork(2.0, J=5, Q=4, T=64, pooling="mean")
DEEP = ScatteringNetwork(2.0, J=5, Q=(4, 2, 1), T=64, max_order=3, pooling="mean")
FLAT = ScatteringNetwork(2.0, J=5, Q=4, T=64, max_order=1, pooling="mean")
START = 1_600_000_000 * 10**9
STEP = 32 * 10**9


def frame(network: ScatteringNetwork, seed: int = 0) -> np.ndarray:
    """Coefficients that all differ, a row of the paths each."""
    return np.random.default_rng(seed).permutation(np.geomspace(1e-3, 10.0, network.n_paths))


def frames(network: ScatteringNetwork, count: int) -> np.ndarray:
    return np.column_stack([frame(network, seed) for seed in range(count)])


def meshes(figure: Figure) -> list[tuple[Axes, QuadMesh]]:
    """The images of a figure that have a colour bar."""
    found = [(a, c) for a in figure.axes for c in a.collections if isinstance(c, QuadMesh) and c.colorbar is not None]
    assert all(isinstance(c.norm, LogNorm) for _, c in found)
    return found


def cell(mesh: QuadMesh, x: float, y: float) -> np.ma.MaskedArray:
    """What an image shows at a point, found from the corners of its cells."""
    corners = np.asarray(mesh.get_coordinates())
    column = int(np.searchsorted(corners[0, :, 0], x)) - 1
    row = int(np.searchsorted(corners[:, 0, 1], y)) - 1
    return np.ma.asarray(mesh.get_array()).reshape(corners.shape[0] - 1, -1)[row, column]


def drawn(figure: Figure) -> int:
    """Draw a figure in earnest; the size of the PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return len(buffer.getvalue())


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title, axes._left_title))  # type: ignore[attr-defined]


# --- the bank ---------------------------------------------------------------------------------------------------------


def test_the_sum_drawn_is_that_of_kymatios_own_bank() -> None:
    samples, octaves, quality = 1024, 5, (4, 1)
    figure = scattering.draw_bank(SMALL.paths, 2.0, samples=samples)
    _, *theirs = scattering_filter_factory(samples, octaves, quality, 2**octaves)
    used = {"first": theirs[0], "second": [w for w in theirs[1] if w["j"] > 0]}
    for axes, bank in zip(figure.axes, used.values(), strict=False):
        (line,) = [line for line in axes.lines if line.get_label() == "sum"]
        expected = sum(w["levels"][0][1 : samples // 2 + 1] ** 2 for w in bank)
        np.testing.assert_allclose(np.asarray(line.get_ydata()), expected, atol=1e-12)
        np.testing.assert_allclose(np.asarray(line.get_xdata()), np.arange(1, samples // 2 + 1) * 2.0 / samples)
        assert len(axes.lines) == len(bank) + 1


@pytest.mark.parametrize(("network", "panels"), [(FLAT, 1), (SMALL, 2), (DEEP, 3)])
def test_the_bank_has_a_panel_an_order_and_peaks_at_its_frequencies(network: ScatteringNetwork, panels: int) -> None:
    figure = scattering.draw_bank(network.paths, network.sampling_rate)
    orders = [axes for axes in figure.axes if any(line.get_label() == "sum" for line in axes.lines)]
    assert len(orders) == panels
    for number, axes in enumerate(orders, 1):
        frequency, bandwidth, j = scattering_arrays.wavelets_of(network.paths, number)
        lines = [line for line in axes.lines if line.get_label() != "sum"]
        colour_of = {}
        for line, f, b, octave in zip(lines, frequency, bandwidth, j, strict=True):
            x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
            assert abs(x[y.argmax()] - f) < b / 2
            assert y.max() == pytest.approx(1.0, abs=0.01)
            colour_of.setdefault(int(octave), set()).add(tuple(line.get_color()))
        assert all(len(colours) == 1 for colours in colour_of.values())
        assert len(set(itertools.chain(*colour_of.values()))) == len(colour_of)
        assert "Hz" in orders[-1].get_xlabel()
        assert axes.get_ylabel()
    assert drawn(figure) > 10_000


def test_periods_above_the_bank_are_those_of_the_frequencies_below() -> None:
    figure = scattering.draw_bank(SMALL.paths, 2.0)
    drawn(figure)
    (above,) = figure.axes[0].child_axes
    assert "[s]" in above.get_xlabel()
    low, high = sorted(above.get_xlim())
    periods = [tick for tick in above.get_xticks() if low <= tick <= high]
    assert len(periods) >= 5
    for period in periods:
        place = above.transData.transform((period, 0))[0]
        assert place == pytest.approx(figure.axes[0].transData.transform((1 / period, 0))[0])


# --- one frame --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("relative", [False, True])
def test_every_coefficient_of_the_second_order_lies_in_its_cell(relative: bool) -> None:
    paths, values = SMALL.paths, frame(SMALL)
    ((axes, mesh),) = meshes(scattering.draw_frame(paths, values, relative=relative))
    table = paths.to_dataframe()
    seen = 0
    for row, path in table[table["order"] == 2].iterrows():
        parent = table.index[(table["order"] == 1) & (table["frequency_1"] == path["frequency_1"])]
        expected = values[row] / (values[parent[0]] if relative else 1.0)
        assert cell(mesh, path["frequency_1"], path["frequency_2"]) == pytest.approx(expected)
        seen += 1
    image = np.ma.asarray(mesh.get_array())
    assert seen > 20
    assert image.count() == seen < image.size
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert np.ma.getmaskarray(image)[-1, 0]  # the slowest first wavelet has no faster modulation


def test_the_third_order_shows_the_largest_over_its_last_wavelets() -> None:
    paths, values = DEEP.paths, frame(DEEP)
    (_, mesh) = meshes(scattering.draw_frame(paths, values, relative=False))[1]
    table = paths.to_dataframe().assign(value=values)
    groups = table[table["order"] == 3].groupby(["frequency_1", "frequency_2"])["value"]
    for (one, two), largest in groups.max().items():  # type: ignore[misc]
        assert cell(mesh, one, two) == pytest.approx(largest)
    assert np.ma.asarray(mesh.get_array()).count() == len(groups)
    assert groups.size().max() > 1


def test_parents_are_the_paths_without_their_last_wavelet() -> None:
    paths, values = DEEP.paths, frame(DEEP)
    parents = scattering_arrays.parents_of(paths)
    order = paths["order"].values
    table = np.column_stack([paths[f"frequency_{n}"].values for n in (1, 2, 3)])
    assert parents[0] == -1
    for row in range(1, order.size):
        assert order[parents[row]] == order[row] - 1
        kept = table[row].copy()
        kept[order[row] - 1] = np.nan
        np.testing.assert_array_equal(table[parents[row]], kept)
    # a signal k times as loud swells as before
    both = scattering_arrays.over_parents(paths, np.column_stack([values, 7 * values]))
    np.testing.assert_allclose(both[order > 1, 0], both[order > 1, 1])
    np.testing.assert_allclose(both[order < 2, 1], 7 * values[order < 2])


def test_a_first_order_of_zero_or_nan_leaves_its_second_order_blank() -> None:
    paths, values = SMALL.paths, frame(SMALL)
    order, first = paths["order"].values, paths["frequency_1"].values
    fast = np.flatnonzero(order == 1)[:2]
    values[fast] = 0.0, np.nan
    ((_, mesh),) = meshes(scattering.draw_frame(paths, values))
    image = np.ma.asarray(mesh.get_array())
    assert image.count() == ((order == 2) & ~np.isin(first, first[fast])).sum()
    assert np.ma.getmaskarray(image)[:, -2:].all()


def test_the_spectrum_is_the_first_order_against_frequency() -> None:
    paths, values = SMALL.paths, frame(SMALL)
    figure = scattering.draw_frame(paths, values, title="a frame", units="hPa")
    (line,) = figure.axes[0].lines
    first = np.flatnonzero(paths["order"].values == 1)
    known = dict(zip(paths["frequency_1"].values[first], values[first], strict=True))
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    assert np.all(np.diff(x) > 0)
    assert dict(zip(x, y, strict=True)) == known
    assert "hPa" in figure.axes[0].get_ylabel()
    assert figure.get_suptitle() == "a frame"


@pytest.mark.parametrize("network", [FLAT, SMALL, DEEP])
@pytest.mark.parametrize(("value", "said"), [(np.nan, "no coefficients"), (0.0, "zero")])
def test_an_empty_frame_says_so_in_every_panel(network: ScatteringNetwork, value: float, said: str) -> None:
    figure = scattering.draw_frame(network.paths, np.full(network.n_paths, value))
    assert words(figure).count(said) == network.max_order
    assert drawn(figure) > 5_000
    assert said not in words(scattering.draw_frame(network.paths, frame(network)))


def test_colour_bars_are_labelled() -> None:
    figure = scattering.draw_frame(DEEP.paths, frame(DEEP), units="hPa", relative=False)
    drawn(figure)
    bars = [mesh.colorbar.ax for _, mesh in meshes(figure)]
    assert [bar.get_ylabel() for bar in bars] == ["S2 [hPa]", "S3 [hPa]"]
    for bar in bars:
        low, high = bar.get_ylim()
        assert sum(low <= tick <= high for tick in bar.get_yticks()) >= 2


def test_a_flat_image_still_has_a_scale() -> None:
    figure = scattering.draw_frame(SMALL.paths, np.full(SMALL.n_paths, 3.7e-5), relative=False)
    drawn(figure)
    (bar,) = [mesh.colorbar.ax for _, mesh in meshes(figure)]
    low, high = bar.get_ylim()
    assert low < 3.7e-5 < high
    assert sum(low <= tick <= high for tick in bar.get_yticks()) >= 2
    low, high = figure.axes[0].get_ylim()
    assert any(low <= tick <= high for tick in figure.axes[0].get_yticks())


# --- many frames ------------------------------------------------------------------------------------------------------


def test_every_first_order_coefficient_lies_at_its_time_and_period() -> None:
    paths, values = SMALL.paths, frames(SMALL, 9)
    values[:, 4] = np.nan
    time = START + STEP * np.array([0, 1, 2, 3, 4, 5, 20, 21, 22])
    figure = scattering.draw_frames(paths, values, time)
    ((_, mesh),) = meshes(figure)
    middle = as_dates(time + STEP // 2)
    for row in np.flatnonzero(paths["order"].values == 1):
        for column in range(9):
            shown = cell(mesh, middle[column], 1 / float(paths["frequency_1"].values[row]))
            assert (shown is np.ma.masked) == (column == 4)
            if column != 4:
                assert shown == values[row, column]
    hole = as_dates(time[5] + np.array([1.5, 7, 14]) * STEP)
    assert all(cell(mesh, t, 3.0) is np.ma.masked for t in hole)
    assert drawn(figure) > 10_000


def test_the_line_below_is_the_sum_of_the_second_order_and_gaps_are_hatched_in_both() -> None:
    paths, values = SMALL.paths, frames(SMALL, 6)
    values[:, 2] = np.nan
    time = START + STEP * np.array([0, 1, 2, 3, 6, 7])
    figure = scattering.draw_frames(paths, values, time)
    (axes,) = [a for a in figure.axes if a.get_ylabel().startswith("sum of S2")]
    (steps,) = [p for p in axes.patches if hasattr(p, "get_data")]
    total = [sum(values[r, c] for r in np.flatnonzero(paths["order"].values == 2)) for c in (0, 1, 2, 3, 4, 5)]
    level, edges, _ = steps.get_data()
    np.testing.assert_allclose(level, [*total[:4], np.nan, *total[4:]])
    np.testing.assert_allclose(edges, as_dates(START + STEP * np.array([0, 1, 2, 3, 4, 6, 7, 8])))
    hatched = [c for a in figure.axes for c in a.collections if c.get_hatch()]
    assert len(hatched) == 2
    for collection in hatched:
        spans = [(p.vertices[:, 0].min(), p.vertices[:, 0].max()) for p in collection.get_paths()]
        np.testing.assert_allclose(spans, as_dates(START + STEP * np.array([[2, 3], [4, 6]])))
    assert "gap" in figure.legends[0].get_texts()[0].get_text()


def test_without_a_gap_nothing_is_hatched() -> None:
    figure = scattering.draw_frames(SMALL.paths, frames(SMALL, 4), START + STEP * np.arange(4))
    assert not any(c.get_hatch() for a in figure.axes for c in a.collections)
    assert not figure.legends


@pytest.mark.parametrize("network", [FLAT, SMALL, DEEP])
@pytest.mark.parametrize(("value", "said"), [(np.nan, "no coefficients"), (0.0, "zero")])
def test_frames_without_anything_to_see_say_so(network: ScatteringNetwork, value: float, said: str) -> None:
    figure = scattering.draw_frames(network.paths, np.full((network.n_paths, 5), value), START + STEP * np.arange(5))
    assert said in words(figure)
    assert png_uri(figure).startswith("data:image/png;base64,")


def test_one_frame_needs_its_length() -> None:
    one = frames(SMALL, 1)
    with pytest.raises(ScatteringError, match="frame_seconds"):
        scattering.draw_frames(SMALL.paths, one, [START])
    ((_, mesh),) = meshes(scattering.draw_frames(SMALL.paths, one, [START], frame_seconds=32.0))
    np.testing.assert_allclose(np.asarray(mesh.get_coordinates())[0, :, 0], as_dates(np.array([START, START + STEP])))


@pytest.mark.parametrize(
    ("columns", "time"), [(3, [0, 1]), (2, [1, 0]), (2, [1, 1]), (0, [])], ids=["shape", "falling", "twice", "none"]
)
def test_frames_that_do_not_fit_are_refused(columns: int, time: list[int]) -> None:
    with pytest.raises(ScatteringError):
        scattering.draw_frames(SMALL.paths, np.ones((SMALL.n_paths, columns)), START + STEP * np.array(time, dtype=int))


def test_a_frame_of_another_network_is_refused() -> None:
    with pytest.raises(ScatteringError, match=rf"\({DEEP.n_paths},\).*\({SMALL.n_paths},\)"):
        scattering.draw_frame(SMALL.paths, frame(DEEP))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=60), st.data())
def test_columns_hold_each_frame_once_and_gaps_between(steps: list[int], data: st.DataObject) -> None:
    jitter = data.draw(st.lists(st.integers(-1, 1), min_size=len(steps) + 1, max_size=len(steps) + 1))
    time = START + STEP * np.concatenate([[0], np.cumsum(steps)]) + np.array(jitter)
    values = np.arange(1.0, time.size + 1)[np.newaxis]
    edges, columns = scattering_arrays.columns_of(time, values, 32.0)
    assert np.all(np.diff(edges) > 0)
    assert columns.shape == (1, edges.size - 1)
    np.testing.assert_array_equal(columns[np.isfinite(columns)], values[0])
    assert np.isnan(columns).sum() == sum(step > 1 for step in steps)
    np.testing.assert_array_equal(edges[:-1][np.isfinite(columns[0])], time)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_thinning_frames_keeps_every_peak(count: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.uniform(size=(3, count))
    values[:, rng.uniform(size=count) < 0.3] = np.nan
    edges, thin, together = scattering_arrays.thinned(np.arange(count + 1.0), values, most)
    assert thin.shape[1] == edges.size - 1 <= most
    assert (edges[0], edges[-1]) == (0, count)
    for column, (low, high) in enumerate(itertools.pairwise(edges.astype(int))):
        assert high - low <= together
        part = values[:, low:high]
        known = part[:, np.isfinite(part[0])]
        expected = known.max(axis=1) if known.size else np.full(3, np.nan)
        np.testing.assert_array_equal(thin[:, column], expected)


def test_many_frames_say_how_many_share_a_column() -> None:
    count = 2 * scattering_arrays.MAX_COLUMNS + 1
    values = np.ones((FLAT.n_paths, count))
    values[:, 700] = np.nan
    figure = scattering.draw_frames(FLAT.paths, values, START + STEP * np.arange(count))
    assert "largest of 3 frames" in words(figure)
    (hatched,) = [c for a in figure.axes for c in a.collections if c.get_hatch()]
    (span,) = [np.ptp(p.vertices[:, 0]) for p in hatched.get_paths()]
    assert span == pytest.approx(32 / 86_400, rel=1e-4)


def test_arrays_of_xarray_are_taken_too() -> None:
    paths, values = SMALL.paths, frames(SMALL, 3)
    array = xr.DataArray(values, dims=("path", "frame"))
    ((_, mesh),) = meshes(scattering.draw_frames(paths, array, START + STEP * np.arange(3)))
    ((_, other),) = meshes(scattering.draw_frames(paths, values, START + STEP * np.arange(3)))
    np.testing.assert_array_equal(np.ma.asarray(mesh.get_array()), np.ma.asarray(other.get_array()))

"""What figures are made of: the layout of calendars, shares, coefficients, maps, colours."""

from __future__ import annotations

import itertools
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from gravdask.report import components, maps, style, timelines

DAY_NS = 86_400_000_000_000


def test_a_cell_of_the_calendar_shows_the_frame_that_holds_its_middle() -> None:
    start = np.array([0, 4096 * 10**9, DAY_NS + 7200 * 10**9])
    raster = timelines.hour_raster(start, np.array([1, 2, 3]), 4096.0, 0, 2)
    assert raster.shape == (144, 2)
    for day, row in itertools.product(range(2), range(144)):
        middle = day * DAY_NS + (row * 600 + 300) * 10**9
        holds = [k + 1 for k, s in enumerate(start) if s <= middle < s + 4096 * 10**9]
        assert raster[row, day] == (holds[0] if holds else 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=300), st.integers(1, 900))
def test_shares_fill_each_column_and_lose_no_class(classes: list[int], days: int) -> None:
    component = np.array(classes)
    start = np.linspace(0, (days - 0.01) * DAY_NS, component.size).astype(np.int64)
    position = timelines.component_positions(component, [0, 1, 2, 3])
    raster = timelines.share_raster(start, position, 0, days, 4)
    assert raster.shape[0] == 100
    assert raster.shape[1] <= 460
    width = -(-days // 460)
    column = start // DAY_NS // width
    for index in range(raster.shape[1]):
        inside = position[column == index]
        assert set(np.unique(raster[:, index])) - {0} == set(inside.tolist()) - {0}


def test_positions_follow_the_order_of_the_components() -> None:
    np.testing.assert_array_equal(
        timelines.component_positions(np.array([7, -1, 2, 9]), [2, 7]), np.array([2, 0, 1, 0])
    )


def test_first_order_is_sorted_by_period_and_is_a_factor(synthetic: ModuleType) -> None:
    model = synthetic.make_model(3)
    period, factor = components.first_order(model)
    assert np.all(np.diff(period) > 0)
    longest = np.flatnonzero(model.path_order == 1)[np.argmin(model.path_frequency_1[model.path_order == 1])]
    np.testing.assert_allclose(np.log(factor[:, -1]), model.mean_log[:, longest])


def test_second_order_image_holds_every_path_once(synthetic: ModuleType) -> None:
    model = synthetic.make_model(3)
    period_2, period_1, image = components.second_order(model, 1)
    second = np.flatnonzero(model.path_order == 2)
    assert np.isfinite(image).sum() == second.size
    for path in second[::17]:
        line = np.argmin(np.abs(period_2 - 1 / model.path_frequency_2[path]))
        column = np.argmin(np.abs(period_1 - 1 / model.path_frequency_1[path]))
        assert image[line, column] == model.mean_log[1, path]


def test_thinning_a_record_keeps_its_peaks_and_holes() -> None:
    y = np.zeros(50_000)
    y[31_234] = 9.0
    y[10_000:12_000] = np.nan
    x, thin = components.outline(np.arange(50_000.0), y)
    assert thin.size <= 4100
    assert np.nanmax(thin) == 9.0
    assert np.isnan(thin[(x > 10_050) & (x < 11_950)]).all()
    assert not np.isnan(thin[(x < 9_900) | (x > 12_100)]).any()


@pytest.mark.parametrize(
    ("given_degrees", "expected"),
    [
        ([100.0, 110.0], [100, 110]),
        ([179.0, -178.0], [179, 182]),
        ([-70.0, -75.0], [-70, -75]),
        ([-0.5, 0.5], [-0.5, 0.5]),
    ],
)
def test_longitudes_stay_together_across_the_date_line(given_degrees: list[float], expected: list[float]) -> None:
    shifted = maps.unwrapped(np.array(given_degrees))
    np.testing.assert_allclose(np.ptp(shifted), np.ptp(expected))
    np.testing.assert_allclose((shifted - given_degrees) % 360, 0, atol=1e-9)


@pytest.mark.parametrize(
    ("value", "letters", "text"),
    [(100.0, "EW", "100°E"), (182.0, "EW", "178°W"), (0.0, "NS", "0°"), (-2.5, "NS", "2.5°S")],
)
def test_degrees_in_words(value: float, letters: str, text: str) -> None:
    assert maps.degrees_text(value, letters) == text


@pytest.mark.parametrize(
    ("limit", "length"), [(740.0, 500.0), (1.0, 1.0), (0.05, 0.05), (250.0, 200.0), (199.0, 100.0)]
)
def test_scale_bars_are_round(limit: float, length: float) -> None:
    assert maps.round_length(limit) == pytest.approx(length)


def test_a_map_of_one_station_and_of_none() -> None:
    one = pd.DataFrame({"channel": ["A"], "latitude": [30.0], "longitude": [100.0], "snm_median": [3.5]})
    figure = maps.station_map(one)
    assert figure is not None
    (west, east), (south, north) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    assert west < 100 < east
    assert south < 30 < north
    assert maps.station_map(one.assign(latitude=np.nan)) is None


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    places = pd.DataFrame(
        {"channel": ["A", "B"], "latitude": [30.0, 40.0], "longitude": [100.0, 120.0], "snm_median": [3.5, 4.0]}
    )
    figure = maps.station_map(places)
    assert figure is not None
    axes = figure.axes[0]
    (bar,) = [line for line in axes.lines if line.get_linewidth() == 3]
    label = next(text.get_text() for text in axes.texts if text.get_text().endswith(" km"))
    degrees = float(np.ptp(np.asarray(bar.get_xdata(), dtype=float)))
    assert degrees * 111.195 * np.cos(np.radians(35.0)) == pytest.approx(float(label.removesuffix(" km")), rel=1e-3)


def test_components_of_a_report_have_colours_that_differ() -> None:
    labels = ["background", "background 2", "co-seismic", "co-seismic 2", "microseism", "instrument"]
    labels += ["unattributed disturbance"] * 4
    colours = style.component_colours(labels)
    assert len(set(colours)) == len(labels)
    for a, b in itertools.combinations([*colours, style.NO_DATA], 2):
        assert np.abs(np.subtract(to_rgb(a), to_rgb(b))).max() > 0.1


@pytest.mark.parametrize(
    ("channels", "names"),
    [
        (["GD.LSA.00.LGZ", "GD.KMI.00.LGZ"], ["LSA", "KMI"]),
        (["GD.LSA.00.LGZ", "GD.LSA.00.LDO"], ["LSA.00.LGZ", "LSA.00.LDO"]),
        (["GD.LSA.00.LGZ", "XX.LSA.00.LGZ"], ["GD.LSA.00.LGZ", "XX.LSA.00.LGZ"]),
        (["plain", "XX.334.--.GRV@60s"], ["plain", "334"]),
    ],
)
def test_short_names_stay_unique(channels: list[str], names: list[str]) -> None:
    assert list(style.short_names(channels).values()) == names


def test_years_of_data_are_drawn_as_shares() -> None:
    start = np.arange(0, 1500 * DAY_NS, DAY_NS // 4)
    calendar = {"A": (start, (np.arange(start.size) % 2).astype(np.int8))}
    figure = timelines.calendar_figure(calendar, 4096.0, [0, 1], ["#d6e8f5", "#d55e00"])
    assert figure is not None
    assert figure.axes[0].get_ylim() == (0, 100)
    assert timelines.calendar_figure({}, 4096.0, [0, 1], ["#d6e8f5", "#d55e00"]) is None


def test_the_running_median_is_of_the_fifteen_days_either_side() -> None:
    rng = np.random.default_rng(0)
    days = np.sort(rng.choice(400, 200, replace=False))
    level = np.where(rng.uniform(size=200) < 0.1, np.nan, rng.normal(size=200))
    smooth = timelines.running_median(days * DAY_NS, level)
    for index in range(200):
        near = level[np.abs(days - days[index]) <= 15]
        expected = np.nan if np.isnan(level[index]) else np.nanmedian(near)
        np.testing.assert_equal(smooth[index], expected)


def test_components_of_one_family_never_share_a_colour() -> None:
    labels = [f"background {n}" for n in range(9)] + ["co-seismic"]
    labels += [f"unattributed disturbance {n}" for n in range(14)]
    assert len(set(style.component_colours(labels))) == len(labels)

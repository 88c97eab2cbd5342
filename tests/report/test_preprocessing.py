"""Figures of the preprocessing: what stands on them, in which units, with which marks, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.dates import num2date
from matplotlib.figure import Figure

from gravdask.report.data import ReportData
from gravdask.report.page import build_report
from gravdask.report.preprocessing import (
    MOST_CHANNELS,
    STAGES,
    Curves,
    Monthly,
    Preprocessed,
    before_and_after,
    broken_line,
    monthly_figure,
)
from gravdask.report.style import png_uri

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
START = 1_622_505_600_000_000_000  # 2021-06-01


def curves(days: float, step_hours: float, **spikes: float) -> Curves:
    """Drift, tide, air and noise, taken off one after the other."""
    times = START + (np.arange(0, days * 24, step_hours) * HOUR).astype(np.int64)
    day = (times - START) / DAY
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 5, day.size)
    air, tide = 30 * np.sin(day / 2), 900 * np.sin(2 * np.pi * day / 0.5175)
    stages = {
        "record": 7000 * day + tide + air + noise,
        "drift": tide + air + noise,
        "tide": air + noise,
        "pressure": noise,
    }
    when = np.array([START + int(float(k) * DAY) for k in spikes.values()], np.int64)
    return Curves(times, stages, when, np.full(when.size, 1e8))


def sample(**changes: object) -> Preprocessed:
    """A channel with every mark."""
    words = {name: f"what is left after {name}" for name in STAGES}
    values = {
        "channel": "XX.334.--.UGZ",
        "whole": curves(40, 2, a=12.5),
        "detail": curves(3, 0.05, a=1.2),
        "words": words,
        "masks": ((START + 2 * DAY, START + 3 * DAY, "levelling"),),
        "steps": ((START + DAY, 300.0),),
        "suspected": ((START + 20 * DAY, -900.0),),
    }
    return Preprocessed(**{**values, **changes})  # type: ignore[arg-type]


def texts(figure: Figure) -> list[str]:
    """All words of a figure."""
    figure.canvas.draw()
    labels = [axes.get_title(loc="left") for axes in figure.axes] + [axes.get_ylabel() for axes in figure.axes]
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [*labels, *(axes.get_xlabel() for axes in figure.axes), *legends]


def test_a_row_a_stage_and_two_columns_with_units_and_time() -> None:
    figure = before_and_after(sample())
    assert figure is not None
    assert len(figure.axes) == 8
    words = texts(figure)
    for number, name in enumerate(STAGES, 1):
        assert f"{number}  what is left after {name}" in words
    units = [axes.get_ylabel() for axes in figure.axes]
    assert units == ["µm s⁻²", "µm s⁻²", *["nm s⁻²"] * 6]  # the record spans 280 µm s⁻²
    assert "whole record, UTC" in words
    assert "some days of it, closer, UTC" in words


def test_curves_are_those_given_about_their_median() -> None:
    data = sample()
    figure = before_and_after(data)
    assert figure is not None
    for row, name in enumerate(STAGES):
        for column, part in enumerate((data.whole, data.detail)):
            (line, *_) = figure.axes[2 * row + column].get_lines()
            expected = part.stages[name] - np.median(part.stages[name])
            scale = 1e-3 if name == "record" else 1.0
            np.testing.assert_allclose(line.get_ydata(), expected * scale, rtol=1e-12)
            first = num2date(line.get_xdata()[0])
            assert (first.year, first.month, first.day, first.hour) == (2021, 6, 1, 0)


def test_marks_stand_where_they_belong() -> None:
    figure = before_and_after(sample())
    assert figure is not None
    words = texts(figure)
    for label in ("wild samples, left out", "left out by the operator's log", "step of the log, taken out"):
        assert label in words
    assert "step suspected, not corrected" in words
    whole, closer = figure.axes[0], figure.axes[1]
    vertical = {to_hex(li.get_color()): li.get_xdata()[0] for li in whole.get_lines() if len(set(li.get_xdata())) == 1}
    days = {colour: x - START / DAY for colour, x in vertical.items() if colour != "#c1121f"}
    assert sorted(days.values()) == pytest.approx([1.0, 20.0])
    # the suspected step lies beyond the days that are looked at closely
    assert not [li for li in closer.get_lines() if to_hex(li.get_color()) == "#aa4499"]
    # a spike of 1e8 stands at the edge and does not squeeze the record
    low, high = whole.get_ylim()
    assert high - low < 400
    (spike,) = [li for li in whole.get_lines() if li.get_marker() == "x"]
    assert low < spike.get_ydata()[0] < high


def test_nothing_is_marked_where_nothing_was_done() -> None:
    clean = curves(40, 2)
    figure = before_and_after(sample(whole=clean, detail=curves(3, 0.05), masks=(), steps=(), suspected=()))
    assert figure is not None
    assert not figure.legends
    assert all(len(axes.get_lines()) == 1 for axes in figure.axes)


def test_stages_that_do_not_apply_have_no_row() -> None:
    part = curves(5, 1)
    only = Curves(part.times_ns, {n: part.stages[n] for n in ("record", "tide")})
    figure = before_and_after(sample(whole=only, detail=only))
    assert figure is not None
    assert len(figure.axes) == 4
    assert [a.get_title(loc="left") for a in figure.axes][::2] == [
        "1  what is left after record",
        "2  what is left after tide",
    ]


def test_empty_and_missing_records() -> None:
    empty = Curves(np.empty(0, np.int64), {})
    missing = Curves(curves(5, 1).times_ns, {"record": np.full(120, np.nan)})
    assert before_and_after(sample(whole=empty, detail=empty)) is None
    assert before_and_after(sample(whole=missing, detail=missing)) is None
    figure = before_and_after(sample(detail=missing))
    assert figure is not None
    assert len(figure.axes) == 4  # one column
    part = curves(5, 1)
    half = Curves(part.times_ns, {**part.stages, "tide": np.full(120, np.nan)})
    figure = before_and_after(sample(whole=half, detail=half))
    assert figure is not None
    assert "no values" in [t.get_text() for axes in figure.axes for t in axes.texts]
    constant = Curves(part.times_ns, {"record": np.ones(120)})
    assert before_and_after(sample(whole=constant, detail=constant)) is not None


def test_a_line_is_broken_at_gaps_only() -> None:
    times = np.array([0, 1, 2, 3, 9, 10, 11]) * HOUR
    longer, values = broken_line(times, np.arange(7.0))
    assert np.flatnonzero(np.isnan(values)).tolist() == [4]
    assert longer[4] == 3 * HOUR + 1
    assert np.array_equal(values[~np.isnan(values)], np.arange(7.0))
    for n in (0, 1, 2):
        assert np.array_equal(broken_line(times[:n], np.arange(float(n)))[0], times[:n])


def months(channel: str, factor: np.ndarray, admittance: np.ndarray | None = None) -> Monthly:
    starts = (
        np.arange("2021-01", "2022-01", dtype="datetime64[M]")[: factor.size].astype("datetime64[ns]").astype(np.int64)
    )
    air = np.full(factor.size, -3.0) if admittance is None else admittance
    return Monthly(channel, starts, factor, np.full(factor.size, 0.002), air, np.full(factor.size, 0.5))


def test_months_with_their_errors_about_the_weighted_mean() -> None:
    factor = np.full(12, 1.16)
    factor[7] = 1.25
    figure = monthly_figure([months("XX.LSA.--.UGZ", factor), months("XX.QZH.--.UGZ", np.full(12, 1.17))])
    assert figure is not None
    assert len(figure.axes) == 4
    top = figure.axes[0]
    (container,) = top.containers
    np.testing.assert_allclose(container.lines[0].get_ydata(), factor)
    segments = container.lines[2][0].get_segments()
    assert segments[7][:, 1].tolist() == pytest.approx([1.248, 1.252])
    low, high = top.get_ylim()
    assert low < 1.16 < 1.25 < high
    low, high = figure.axes[2].get_ylim()
    assert high - low == pytest.approx(0.032)  # equal months fill no panel with their noise
    assert [figure.axes[0].get_ylabel(), figure.axes[2].get_ylabel()] == ["LSA", "QZH"]


def test_months_without_pressure_say_so_and_empty_ones_are_left_out() -> None:
    lonely = months("XX.LSA.--.UGZ", np.array([1.16]), np.array([np.nan]))
    figure = monthly_figure([months("XX.A.--.UGZ", np.array([np.nan])), lonely])
    assert figure is not None
    assert len(figure.axes) == 2
    assert [t.get_text() for t in figure.axes[1].texts] == ["no air pressure record"]
    assert monthly_figure([]) is None
    many = [months(f"XX.S{k:02d}.--.UGZ", np.full(3, 1.16)) for k in range(20)]
    figure = monthly_figure(many)
    assert figure is not None
    assert len(figure.axes) == 2 * MOST_CHANNELS


def test_the_page_holds_them(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "report.html"
    data = ReportData("title", START, "0", "s.zarr", preprocessed=[sample()], monthly=[months("A", np.full(3, 1.16))])
    build_report(data, path)
    page = path.read_text(encoding="utf-8")
    section = page.split('<section id="preprocessing">')[1].split("</section>")[0]
    assert section.count("data:image/png;base64,") == 2
    assert "XX.334.--.UGZ" in section
    assert '<a href="#preprocessing">' in page
    build_report(ReportData("title", START, "0", "s.zarr"), path)
    assert "preprocessing" not in path.read_text(encoding="utf-8").split("<main>")[1].split('<section id="noise">')[0]


def test_the_same_figure_is_the_same_image() -> None:
    first, second = before_and_after(sample()), before_and_after(sample())
    assert first is not None
    assert second is not None
    assert png_uri(first) == png_uri(second)

"""The picture of availability: what is drawn is what there is, and no gap is too short to be seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from PIL import Image

from gravdask.report.availability import MAX_ROWS, availability_figure, save_availability

DAY = 86_400 * 10**9
START = 18_000 * DAY


def spans(*days: tuple[float, float]) -> np.ndarray:
    return np.array([[START + round(a * DAY), START + round(b * DAY)] for a, b in days], np.int64)


def bars(figure: Figure) -> list[np.ndarray]:
    """Days of the bars of each row, first and last."""
    found = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    return [np.array([[p.vertices[:, 0].min(), p.vertices[:, 0].max()] for p in c.get_paths()]) - 18_000 for c in found]


def gap_marks(figure: Figure) -> list[np.ndarray]:
    """Days of the ticks that mark gaps, row by row."""
    lines = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    ticks = [c for c in lines if all(s[0, 0] == s[1, 0] for s in c.get_segments())]
    return [np.array([s[0, 0] for s in c.get_segments()]) - 18_000 for c in ticks]


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def test_bars_are_the_spans_and_every_gap_is_marked() -> None:
    found = {
        "XX.A.--.UGZ": spans((0, 10), (12, 40)),
        "XX.B.--.UGZ": spans((5, 30)),
        "XX.C.--.UGZ": spans((0, 20), (20 + 1 / 86_400, 40)),
    }
    figure = availability_figure(found)
    assert figure is not None
    one, two, three = bars(figure)
    np.testing.assert_allclose(one, [[0, 10], [12, 40]])
    np.testing.assert_allclose(two, [[5, 30]])
    np.testing.assert_allclose(three, [[0, 40]])  # a second is no width of a bar; the mark tells of it
    marks = gap_marks(figure)
    assert len(marks) == 1
    np.testing.assert_allclose(marks[0], [20], atol=1e-4)
    lines = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    np.testing.assert_allclose(lines[0].get_segments()[0][:, 0] - 18_000, [10, 12])
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(found)
    sums = [t.get_text().split() for t in figure.axes[0].texts]
    assert sums == [["95.00", "%", "1", "gap"], ["100.00", "%", "0", "gaps"], ["99.99", "%", "1", "gap"]]


def test_a_gap_of_a_second_in_twenty_years_leaves_pixels() -> None:
    whole = {"XX.A.--.UGZ": spans((0, 7300))}
    broken = {"XX.A.--.UGZ": spans((0, 3000), (3000 + 1 / 86_400, 7300))}
    pictures = []
    for found in (whole, broken):
        figure = availability_figure(found)
        assert figure is not None
        for text in figure.axes[0].texts:
            text.set_text("")
        pictures.append(pixels(figure))
    differs = np.abs(pictures[0] - pictures[1]).max(axis=2)
    assert (differs > 60).sum() >= 4


def test_an_hour_in_thirty_years_is_seen() -> None:
    hour = {"XX.A.--.UGZ": spans((5000, 5000 + 1 / 24)), "XX.B.--.UGZ": spans((0, 1), (10_949, 10_950))}
    figure = availability_figure(hour)
    assert figure is not None
    picture = pixels(figure)
    blue = np.abs(picture - np.array([0x0A, 0x5C, 0x8F])).max(axis=2) < 60
    columns = np.flatnonzero(blue[: int(0.75 * len(blue))].sum(axis=0) >= 8)
    assert (np.diff(columns) > 100).sum() >= 2


def wide_runs(mask: np.ndarray, least: int) -> int:
    """Runs of at least so many true values between others."""
    edges = np.flatnonzero(np.diff(mask.astype(int), prepend=0, append=0)).reshape(-1, 2)
    return int((np.diff(edges, axis=1) >= least).sum())


def test_single_days_in_ten_years_are_as_wide_as_can_be_seen() -> None:
    found = {
        "XX.GAPS.--.UGZ": spans((0, 701), (702, 1500), (1501, 1532), (1533, 3650)),
        "XX.DAYS.--.UGZ": spans((0, 1), (900, 901), (2000, 2001), (3000, 3001), (3649, 3650)),
    }
    figure = availability_figure(found)
    assert figure is not None
    picture = pixels(figure)
    blue = np.abs(picture - np.array([0x0A, 0x5C, 0x8F])).max(axis=2) < 60
    rows = np.flatnonzero(blue.sum(axis=1) > 1000)
    line = blue[rows[len(rows) // 2]]
    inside = np.flatnonzero(line)
    assert wide_runs(~line[inside[0] : inside[-1] + 1], 2) == 3
    days = np.flatnonzero(blue[rows[-1] + 8 :].sum(axis=1) > 8) + rows[-1] + 8
    assert wide_runs(blue[days[len(days) // 2]], 2) == 5


def test_samples_that_come_and_go_are_paler() -> None:
    days = np.arange(3650)
    half = np.stack([days, days + np.where(days < 1800, 0.5, 1)], axis=1)
    figure = availability_figure({"XX.A.--.UGZ": spans(*half), "XX.B.--.UGZ": spans((0, 3650))})
    assert figure is not None
    (one, two) = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    pieces, colours = bars(figure)[0], one.get_facecolor()
    np.testing.assert_allclose(pieces[1:, 0], pieces[:-1, 1])
    np.testing.assert_allclose(
        [pieces[0, 0], pieces[0, 1], pieces[-1, 0], pieces[-1, 1]], [0, 1800, 1800, 3650], atol=60
    )
    assert (colours[0, :3] > colours[-1, :3] + 0.1).all()
    assert np.array_equal(colours[-1], two.get_facecolor()[0])


def test_no_line_of_the_grid_looks_like_a_gap() -> None:
    figure = availability_figure({"XX.A.--.UGZ": spans((0, 3650))})
    assert figure is not None
    picture = pixels(figure)
    blue = np.abs(picture - np.array([0x0A, 0x5C, 0x8F])).max(axis=2) < 12
    row = int(np.argmax(blue.sum(axis=1)))
    inside = np.flatnonzero(blue[row])
    assert blue[row, inside[0] : inside[-1] + 1].all()


def test_files_that_cannot_be_used_stand_in_their_row_or_in_one_of_their_own() -> None:
    found = {"XX.A.--.UGZ": spans((0, 10)), "XX.B.--.UGZ": spans((0, 10))}
    bad = {"XX.B.--.UGZ": START + DAY * np.array([3, 3, 7]), "XX.GONE.--.UGZ": [START + 4 * DAY]}
    figure = availability_figure(found, bad, [START + 100 * DAY])
    assert figure is not None
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == [*found, "other files"]
    points = {
        (round(float(x) - 18_000, 6), round(float(y) + 0.06, 6))
        for line in axes.lines
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert points == {(3.0, 1.0), (7.0, 1.0), (4.0, 2.0), (10.0, 2.0)}


def test_nothing_to_draw_and_too_much() -> None:
    assert availability_figure({}) is None
    assert availability_figure({"XX.A.--.UGZ": np.zeros((0, 2), np.int64)}) is None
    many = {f"XX.S{n:03d}.--.UGZ": spans((0, 1)) for n in range(MAX_ROWS + 3)}
    figure = availability_figure(many, title="net")
    assert figure is not None
    assert len(bars(figure)) == MAX_ROWS
    assert figure.axes[0].get_title(loc="left") == "net  (the first 250 channels; 3 more)"


def test_a_hundred_thousand_gaps_are_drawn_as_few_shapes() -> None:
    starts = START + np.arange(100_000, dtype=np.int64) * 7 * 3600 * 10**9
    figure = availability_figure({"XX.A.--.UGZ": np.stack([starts, starts + 6 * 3600 * 10**9], axis=1)})
    assert figure is not None
    assert sum(len(c.get_paths()) for c in figure.axes[0].collections) < 20_000


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.pdf"])
def test_the_picture_is_written_with_names_as_they_are(tmp_path: Path, name: str) -> None:
    figure = availability_figure({"XX.A.--.U$G$Z": spans((0, 3), (4, 9))}, title="/data/$x_1$")
    assert figure is not None
    save_availability(tmp_path / name, figure)
    assert (tmp_path / name).stat().st_size > 2000
    if name == "a.png":
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 1200

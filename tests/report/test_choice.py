"""The figure of a model's choice."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from gravdask.mixture import select, time_blocks
from gravdask.report.choice import hierarchy_figure, selection_figure


def table(**options: Any) -> list[dict[str, Any]]:
    """A small selection."""
    generator = np.random.default_rng(0)
    state = np.repeat(generator.integers(0, 2, 40), 10)
    rows = generator.standard_normal((400, 2)) + 6.0 * state[:, np.newaxis]
    found = select(rows, range(1, 4), random_state=0, starts=2, **options)
    return [{k: None if v != v else v for k, v in row.items()} for row in found.to_dict("records")]


def test_every_criterion_is_drawn() -> None:
    times = np.arange(400)
    rows = table(times=times, blocks=time_blocks(times, 4, 3), covariance_types=("full", "diag"))
    figure = selection_figure(rows, 2)
    assert figure is not None
    figure.savefig(io.BytesIO())
    left, middle, right = figure.axes
    assert len(left.containers) == 2
    # three criteria for each kind, and the mark of the choice
    assert len(middle.lines) == 7
    drawn = left.containers[0].lines[0].get_ydata()
    assert np.max(np.concatenate([c.lines[0].get_ydata() for c in left.containers])) == 0.0
    best = max(row["held_out"] for row in rows)
    np.testing.assert_allclose(drawn, [r["held_out"] - best for r in rows if r["covariance_type"] == "full"])
    assert all(axes.get_title() for axes in (left, middle, right))


def test_what_is_not_known_is_said() -> None:
    rows = table()
    figure = selection_figure(rows, 2)
    assert figure is not None
    figure.savefig(io.BytesIO())
    assert "too short" in figure.axes[0].texts[0].get_text()


def test_one_candidate_makes_no_figure() -> None:
    assert selection_figure(table()[:1], 1) is None
    assert selection_figure([], 1) is None


def test_the_tree_has_every_component_in_its_colour() -> None:
    table = np.array([[0.0, 2.0, 0.04, 2.0], [1.0, 3.0, 0.25, 3.0]])
    figure = hierarchy_figure(table, ["0: a", "1: b", "2: c"], ["#ff0000", "#00ff00", "#0000ff"])
    assert figure is not None
    figure.savefig(io.BytesIO())
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == ["0: a", "1: b", "2: c"]
    # 0 and 2 meet first, at the root of the height
    lines = sorted(axes.lines, key=lambda line: max(line.get_xdata()))
    assert max(lines[0].get_xdata()) == 0.2
    assert max(lines[1].get_xdata()) == 0.5
    colours = axes.collections[0].get_facecolors()
    for name, colour in zip(names, colours, strict=True):
        np.testing.assert_array_equal(colour[:3], np.eye(3)[int(name[0])])
    assert hierarchy_figure(table[:1], ["0", "1"], ["#ff0000", "#00ff00"]) is None

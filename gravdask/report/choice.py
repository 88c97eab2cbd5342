"""Figures of a model's choice: every criterion against the number of components, and which components are akin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.cluster.hierarchy import dendrogram

from gravdask.report.style import ACCENT, GRID, INK, MUTED, dress, new_figure

_MARKERS = {"full": "o", "tied": "s", "diag": "^", "spherical": "v"}
_KINDS = {"full": ACCENT, "tied": "#aa4499", "diag": "#6b5b00", "spherical": "#332288"}
_CRITERIA = (("bic_effective", "BIC, effective size", INK), ("bic", "BIC", "#d55e00"), ("icl", "ICL", "#009e73"))

Values = npt.NDArray[np.float64]


def selection_figure(table: Sequence[dict[str, Any]], chosen: int) -> Figure | None:
    """Draw held-out likelihood, information criteria and stability of every mixture that was tried.

    Parameters
    ----------
    table
        Rows of `gravdask.mixture.select`, None where a criterion is not known.
    chosen
        Number of components that was taken.

    Returns
    -------
    Figure or None
        None if fewer than two numbers of components were tried.
    """
    if len({row["n_components"] for row in table}) < 2:
        return None
    figure = new_figure(10.2, 3.2)
    left, middle, right = figure.subplots(1, 3)
    for axes in (left, middle, right):
        dress(axes)
        axes.axvline(chosen, color=ACCENT, linewidth=6, alpha=0.18)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("components")
    _held_out(left, table)
    _information(middle, table)
    _stability(right, table)
    return figure


def _column(rows: Sequence[dict[str, Any]], name: str) -> Values:
    """Values of a column, NaN where they are not known."""
    return np.array([np.nan if row.get(name) is None else float(row[name]) for row in rows])


def _each_kind(table: Sequence[dict[str, Any]], draw: Callable[[str, list[dict[str, Any]]], None]) -> None:
    """Call a function for each covariance type with its rows, fewest components first."""
    for kind in dict.fromkeys(str(row["covariance_type"]) for row in table):
        rows = [row for row in table if row["covariance_type"] == kind]
        draw(kind, sorted(rows, key=lambda row: int(row["n_components"])))


def _empty(axes: Axes, words: str) -> None:
    """Say that there is nothing to draw."""
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=8.5, color=MUTED)
    axes.set_yticks([])


def _held_out(axes: Axes, table: Sequence[dict[str, Any]]) -> None:
    """Held-out log-likelihood, less that of the best candidate."""
    axes.set_title("held-out time", fontsize=9)
    if not np.isfinite(_column(table, "held_out_loss")).any():
        _empty(axes, "the record is too short\nto hold time out")
        return
    several = len({row["covariance_type"] for row in table}) > 1

    def draw(kind: str, rows: list[dict[str, Any]]) -> None:
        """One covariance type."""
        numbers, loss = _column(rows, "n_components"), _column(rows, "held_out_loss")
        errors = _column(rows, "held_out_loss_error")
        axes.errorbar(
            numbers,
            -loss,
            yerr=errors,
            color=_KINDS[kind],
            marker=_MARKERS[kind],
            markersize=4,
            linewidth=1.2,
            capsize=2,
            label=kind if several else None,
        )

    _each_kind(table, draw)
    axes.axhline(0, color=GRID, linewidth=1)
    axes.set_ylabel("log-likelihood a frame, less the best")
    if several:
        axes.legend(fontsize=7.5, frameon=False)


def _information(axes: Axes, table: Sequence[dict[str, Any]]) -> None:
    """Information criteria, each less its best value and in units of its spread: they have different sizes."""
    axes.set_title("information criteria", fontsize=9)

    def draw(kind: str, rows: list[dict[str, Any]]) -> None:
        """One covariance type."""
        numbers = _column(rows, "n_components")
        for name, _, colour in _CRITERIA:
            values, every = _column(rows, name), _column(table, name)
            if not np.isfinite(every).any():
                continue
            spread = np.nanmax(every) - np.nanmin(every)
            scaled = (values - np.nanmin(every)) / (spread or 1.0)
            axes.plot(numbers, scaled, color=colour, marker=_MARKERS[kind], markersize=4, linewidth=1.2)

    _each_kind(table, draw)
    axes.set_ylabel("from the best (0) to the worst (1)")
    known = [c for c in _CRITERIA if np.isfinite(_column(table, c[0])).any()]
    handles = [Line2D([], [], color=colour, label=label) for _, label, colour in known]
    axes.legend(handles=handles, fontsize=7.5, frameon=False)


def _stability(axes: Axes, table: Sequence[dict[str, Any]]) -> None:
    """Adjusted Rand index between starts."""
    axes.set_title("stability", fontsize=9)
    if not np.isfinite(_column(table, "stability")).any():
        _empty(axes, "one start only")
        return

    def draw(kind: str, rows: list[dict[str, Any]]) -> None:
        """One covariance type."""
        numbers, values = _column(rows, "n_components"), _column(rows, "stability")
        axes.plot(numbers, values, color=_KINDS[kind], marker=_MARKERS[kind], markersize=4, linewidth=1.2)

    _each_kind(table, draw)
    axes.set_ylim(min(0.0, float(np.nanmin(_column(table, "stability")))) - 0.03, 1.03)
    axes.set_ylabel("adjusted Rand index between starts")


def hierarchy_figure(table: npt.NDArray[np.floating], names: Sequence[str], colours: Sequence[str]) -> Figure | None:
    """Draw the tree of merges of a model's components.

    Parameters
    ----------
    table
        SciPy's linkage, (n_components - 1, 4); see `gravdask.mixture.hierarchy`.
    names, colours
        Name and colour of each component, in the model's order.

    Returns
    -------
    Figure or None
        None with fewer than three components.
    """
    if len(table) < 2:
        return None
    # heights of merges differ by orders of magnitude: their roots can be told apart
    drawn = np.array(table, dtype=np.float64)
    drawn[:, 2] = np.sqrt(drawn[:, 2])
    tree = dendrogram(drawn, no_plot=True)
    figure = new_figure(9.2, 0.9 + 0.28 * len(names))
    axes = figure.add_subplot()
    dress(axes)
    for places, heights in zip(tree["icoord"], tree["dcoord"], strict=True):
        axes.plot(heights, places, color=MUTED, linewidth=1.3, solid_joinstyle="miter")
    leaves = [int(leaf) for leaf in tree["leaves"]]
    places = [5.0 + 10.0 * n for n in range(len(leaves))]
    axes.scatter(
        np.zeros(len(leaves)), places, c=[colours[k] for k in leaves], edgecolors=INK, linewidths=0.6, zorder=3
    )
    axes.set_yticks(places, [names[k] for k in leaves])
    axes.set_ylim(0, 10.0 * len(leaves))
    axes.set_xlim(left=-0.02 * float(drawn[:, 2].max()))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("what joining them loses: divergence [nats a frame], its square root drawn")
    return figure

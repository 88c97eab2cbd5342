"""Figures of the scattering network: its filter bank, one frame, and many frames along time.

They take the table `ScatteringNetwork.paths` and arrays of coefficients. Words: the first order S1 says how loud a
record is at each frequency, the second order S2 how much that loudness swells at each slower frequency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from gravdask.errors import ScatteringError
from gravdask.report.scattering_arrays import (
    cell_edges,
    columns_of,
    order_image,
    over_parents,
    positive,
    power_gains,
    thinned,
    wavelets_of,
)
from gravdask.report.style import ACCENT, INK, MUTED, as_dates, date_axis, dress, new_figure

ORDINALS = ("zeroth", "first", "second", "third")
BLANK = "#eceef0"
"""Colour of cells without a path."""
_BINS_A_SD = 16
_QUIETEST_PERCENT = 1.0
_NAMED_ROWS = 3
MANY_DECADES = 1e3
"""Ratio of an axis' ends beyond which only whole decades are labelled."""


def draw_bank(paths: xr.Dataset, sampling_rate: float, *, samples: int | None = None) -> Figure:
    """Draw the filter bank: the wavelets of every order over frequency, and their Littlewood-Paley sum.

    Wavelets of the second and third order that no path uses, those of the smallest scale, are left out.

    Parameters
    ----------
    paths
        `ScatteringNetwork.paths`.
    sampling_rate
        The network's samples per second [Hz].
    samples
        Length of the window whose bins are drawn; by default enough for the narrowest wavelet.

    Returns
    -------
    Figure
        A panel an order; the sum is each panel's line with the label ``sum``.
    """
    banks = [bank for order in (1, 2, 3) if (bank := wavelets_of(paths, order))[0].size]
    narrowest = min(float(bandwidth.min()) for _, bandwidth, _ in banks)
    window = samples or 1 << math.ceil(math.log2(_BINS_A_SD * sampling_rate / narrowest))
    octaves = np.arange(max(int(j.max()) for *_, j in banks) + 1)
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, octaves.size))
    figure = new_figure(9.2, 1.85 * len(banks) + 1.0)
    column = figure.subplots(len(banks), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, ordinal, (frequency, bandwidth, j) in zip(column, ORDINALS[1:], banks, strict=False):
        dress(axes)
        bins, gains = power_gains(frequency, bandwidth, sampling_rate, window)
        for gain, octave in zip(gains, j, strict=True):
            seen = gain > 1e-5
            axes.plot(bins[seen], gain[seen], color=colours[octave], linewidth=0.9)
        axes.plot(bins, gains.sum(axis=0), color=INK, linewidth=1.5, label="sum")
        count = f"{frequency.size} wavelet{'s' if frequency.size > 1 else ''}"
        span = f"periods {_plain(1 / frequency[-1])} s to {_plain(1 / frequency[0])} s"
        _caption(axes, f"{ordinal} order: {count}, {span}")
        axes.set_ylabel("gain of power")
    lowest = min(float(frequency[0]) for frequency, *_ in banks)
    column[0].set_xlim(lowest / 3, sampling_rate / 2)
    column[0].set_ylim(0, None)
    _frequency_axis(column[-1], "frequency [Hz]")
    _period_above(column[0])
    norm = BoundaryNorm([*(octaves - 0.5), octaves[-1] + 0.5], octaves.size)
    shades = mpl.cm.ScalarMappable(norm=norm, cmap=ListedColormap(list(colours)))
    bar = figure.colorbar(shades, ax=list(column), ticks=octaves, pad=0.015, aspect=16 * len(banks))
    bar.set_label("octave j of the wavelet (scale 2^j samples)", size=8.5)
    bar.ax.tick_params(labelsize=8, length=0)
    bar.ax.minorticks_off()
    marks = [Line2D([], [], color=colours[0], linewidth=0.9), Line2D([], [], color=INK, linewidth=1.5)]
    names = ["one wavelet, its transfer function squared", "Littlewood-Paley sum of all wavelets of the order"]
    figure.legend(marks, names, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def draw_frame(
    paths: xr.Dataset,
    coefficients: ArrayLike,
    *,
    title: str = "",
    units: str = "nm s⁻²",
    relative: bool = True,
) -> Figure:
    """Draw one frame: its first order as a spectrum, higher orders as images below on the same frequency axis.

    Parameters
    ----------
    paths
        `ScatteringNetwork.paths`.
    coefficients
        One frame, shape (path,).
    title
        Title of the figure.
    units
        Units of the record, which are those of the coefficients.
    relative
        Whether colours show higher orders divided by the order they come from, S2/S1 and S3/S2, or themselves.

    Returns
    -------
    Figure
        A panel an order; cells without a path stay blank. A frame without coefficients says so.

    Raises
    ------
    ScatteringError
        If there is not one coefficient a path.
    """
    values = np.asarray(coefficients, dtype=np.float64)
    _require_shape(values, (paths.sizes["path"],), "draw_frame")
    orders = [order for order in (2, 3) if (paths["order"].values == order).any()]
    heights = [2.3, *[1.9] * len(orders)]
    figure = new_figure(9.2, sum(heights) + 0.9)
    grid = figure.add_gridspec(len(heights), 2, width_ratios=[60, 1], height_ratios=heights)
    top = figure.add_subplot(grid[0, 0])
    blank = _in_words(values[paths["order"].values > 0])
    _draw_spectrum(top, paths, values, units)
    shown = over_parents(paths, values) if relative else values
    column = [top]
    for row, order in enumerate(orders, 1):
        axes = figure.add_subplot(grid[row, 0], sharex=top)
        column.append(axes)
        name = f"S{order} ÷ S{order - 1}" if relative else f"S{order} [{units}]"
        frequency_2, frequency_1, image = order_image(paths, shown, order)
        _draw_image(axes, grid[row, 1], cell_edges(frequency_1), frequency_2, image, name)
        axes.set_ylabel("modulation, f2 [Hz]")
        what = f"the largest {name} over f3" if order == 3 else name
        ground = "" if blank else "; grey where no path exists"
        _caption(axes, f"{ORDINALS[order]} order: colour is {what}{ground}")
    for axes in column[:-1]:
        axes.tick_params(labelbottom=False)
    edges = cell_edges(wavelets_of(paths, 1)[0])
    top.set_xlim(edges[0], edges[-1])
    _frequency_axis(column[-1], "frequency, f1 [Hz]")
    _period_above(top)
    _say(column, blank)
    if title:
        figure.suptitle(title, size=10)
    return figure


def draw_frames(
    paths: xr.Dataset,
    coefficients: ArrayLike,
    frame_time_ns: ArrayLike,
    *,
    frame_seconds: float | None = None,
    title: str = "",
    units: str = "nm s⁻²",
) -> Figure:
    """Draw many frames along time: the first order against period as a picture, the second order's sum below.

    Parameters
    ----------
    paths
        `ScatteringNetwork.paths`.
    coefficients
        Shape (path, frame), NaN where a frame has none.
    frame_time_ns
        Starts of the frames [ns since 1970 UTC], rising, shape (frame,). Frames may be left out: they are a gap.
    frame_seconds
        Length of a frame [s]; by default the smallest step from one frame to the next.
    title
        Title of the figure.
    units
        Units of the record, which are those of the coefficients.

    Returns
    -------
    Figure
        Gaps are hatched. Beyond 1200 columns each one shows the largest of several frames.

    Raises
    ------
    ScatteringError
        If the shapes do not fit, times do not rise, or one frame is given without its length.
    """
    values, start = np.asarray(coefficients, dtype=np.float64), np.asarray(frame_time_ns, dtype=np.int64)
    _require_shape(values, (paths.sizes["path"], start.size), "draw_frames")
    order = paths["order"].values
    frequency, rows = np.unique(paths["frequency_1"].values[order == 1], return_index=True)
    first = values[np.flatnonzero(order == 1)[rows]]
    has_second = bool((order == 2).any())
    # without a second order the row below is never drawn; it must not look like one of zeros
    second = values[order == 2].sum(axis=0, keepdims=True) if has_second else np.full((1, start.size), np.nan)
    edges_ns, picture = columns_of(start, np.concatenate([first, second]), frame_seconds)
    # hatching follows every frame, also where many share a column
    holes = _holes(edges_ns, np.isnan(picture).all(axis=0))
    edges, picture, together = thinned(as_dates(edges_ns), picture)
    figure = new_figure(9.2, 4.9 if has_second else 3.5)
    heights = [2.2, 1.0] if has_second else [1.0]
    grid = figure.add_gridspec(len(heights), 2, width_ratios=[60, 1], height_ratios=heights)
    top = figure.add_subplot(grid[0, 0])
    image = positive(picture[-2::-1])
    _draw_image(top, grid[0, 1], edges, 1 / frequency[::-1], image, f"S1 [{units}]", _QUIETEST_PERCENT)
    top.set_ylabel("period [s]")
    most = f"; each column the largest of {together} frames" if together > 1 else ""
    _caption(top, f"first order: colour is S1{most}")
    lowest = top
    if has_second:
        lowest = figure.add_subplot(grid[1, 0], sharex=top)
        top.tick_params(labelbottom=False)
        dress(lowest)
        total = positive(picture[-1])
        lowest.stairs(total.filled(np.nan), edges, baseline=None, color=ACCENT, linewidth=1.0)
        _log_axis(lowest, vertical=True)
        lowest.set_ylim(*_limits(total, apart=6.0))
        lowest.set_ylabel(f"sum of S2 [{units}]")
        _caption(lowest, "second order: sum over all its paths")
    _hatch([top, lowest], holes)
    top.set_xlim(edges[0], edges[-1])
    date_axis(lowest, 9)
    lowest.set_xlabel("time, UTC")
    _say([top, lowest], _in_words(picture))
    if title:
        figure.suptitle(title, size=10)
    return figure


def _require_shape(values: NDArray[np.float64], expected: tuple[int, ...], where: str) -> None:
    """Refuse coefficients that do not fit the paths."""
    if values.shape != expected:
        msg = f"{where}: coefficients have the shape {values.shape}; expected {expected}, as the paths and times have"
        raise ScatteringError(msg)


def _in_words(values: NDArray[np.float64]) -> str:
    """Why there is nothing to see, or an empty text if there is something."""
    if not np.isfinite(values).any():
        return "no coefficients: too few samples are valid"
    return "" if np.nanmax(values) > 0 else "all coefficients are zero: the record does not move"


def _say(panels: Sequence[Axes], text: str) -> None:
    """Write a text into the middle of each panel, if there is one."""
    box = {"facecolor": "white", "edgecolor": "none"}
    for axes in dict.fromkeys(panels) if text else ():
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", size=9.5, color=INK, bbox=box)


def _plain(value: float) -> str:
    """Three digits without an exponent."""
    return f"{float(f'{value:.3g}'):.10g}"


def _limits(image: np.ma.MaskedArray, percent: float = 0.0, apart: float = 2.0) -> tuple[float, float]:
    """Ends of a logarithmic scale, at least a factor ``apart``; the lowest ``percent`` of the values lie below it."""
    known = image.compressed()
    if not known.size:
        return 1 / apart, apart
    low, high = float(np.percentile(known, percent)), float(known.max())
    wider = max(1.0, math.sqrt(apart * low / high))
    return low / wider, high * wider


def _holes(edges: NDArray[np.int64], missing: ArrayLike) -> list[tuple[float, float]]:
    """Runs of missing columns as (start, length) in matplotlib's days."""
    turns = np.flatnonzero(np.diff(np.pad(np.asarray(missing, dtype=np.int8), 1)))
    days = as_dates(edges[turns]).reshape(-1, 2)
    return [(float(start), float(stop - start)) for start, stop in days]


def _hatch(panels: Sequence[Axes], holes: Sequence[tuple[float, float]]) -> None:
    """Hatch stretches of time without coefficients, over the whole height, and say below what that means."""
    if not holes:
        return
    for axes in dict.fromkeys(panels):
        across = axes.get_xaxis_transform()
        axes.broken_barh(
            holes, (0, 1), transform=across, facecolor="white", edgecolor=MUTED, hatch="////", linewidth=0, zorder=1.5
        )
    patch = Patch(facecolor="white", edgecolor=MUTED, hatch="////", linewidth=0.5, label="gap: no coefficients")
    figure = panels[0].get_figure(root=True)
    figure.legend(handles=[patch], loc="outside lower right", fontsize=8, frameon=False)  # type: ignore[union-attr]


def _draw_spectrum(axes: Axes, paths: xr.Dataset, values: NDArray[np.float64], units: str) -> None:
    """Draw one frame's first order against frequency."""
    rows = np.flatnonzero(paths["order"].values == 1)
    rows = rows[np.argsort(paths["frequency_1"].values[rows])]
    dress(axes)
    level = positive(values[rows])
    axes.plot(paths["frequency_1"].values[rows], level, color=ACCENT, linewidth=1.4, marker="o", markersize=3)
    _log_axis(axes, vertical=True)
    low, high = _limits(level, apart=6.0)
    axes.set_ylim(low / 1.2, high * 1.2)
    axes.set_ylabel(f"S1 [{units}]")
    _caption(axes, "first order: how loud each frequency is")


def _draw_image(
    axes: Axes,
    beside: SubplotSpec,
    edges: NDArray[np.float64],
    rows: NDArray[np.float64],
    image: np.ma.MaskedArray,
    name: str,
    percent: float = 0.0,
) -> None:
    """Draw cells on grey ground with a colour bar: ``edges`` across, logarithmic cells about ``rows`` upwards."""
    dress(axes, grid=False)
    axes.set_facecolor(BLANK)
    limits, upwards = _limits(image, percent), cell_edges(rows)
    # an empty image is drawn, too, so that its cells and axes stay where they are
    mesh = axes.pcolormesh(edges, upwards, image, cmap="viridis", norm=LogNorm(*limits))
    _log_axis(axes, vertical=True)
    axes.set_ylim(upwards[0], upwards[-1])
    if rows.size <= _NAMED_ROWS:
        # round numbers may all lie outside so few cells
        axes.yaxis.set_major_locator(FixedLocator(list(rows)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))
    if image.mask.all():
        return
    figure = axes.get_figure(root=True)
    below = "min" if image.min() < limits[0] else "neither"
    bar = figure.colorbar(mesh, cax=figure.add_subplot(beside), extend=below)  # type: ignore[union-attr]
    _log_bar(bar, name, limits)


def _caption(axes: Axes, text: str) -> None:
    """Write what a panel shows above its left end."""
    axes.set_title(text, loc="left", size=8.5, color=INK)


class _Ticks(LogLocator):
    """Ticks at 1, 2 and 5 of each decade, or at each decade alone where there are many."""

    def tick_values(self, vmin: float, vmax: float) -> Any:  # noqa: ANN401
        """Give the ticks between two limits."""
        many = vmin > 0 and vmax / vmin > MANY_DECADES
        return LogLocator(10, subs=(1.0,) if many else (1.0, 2.0, 5.0), numticks=20).tick_values(vmin, vmax)


def _log_axis(axes: Axes, *, vertical: bool = False) -> None:
    """Make an axis logarithmic with plain numbers."""
    (axes.set_yscale if vertical else axes.set_xscale)("log")
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(_Ticks(10, numticks=20) if vertical else LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _frequency_axis(axes: Axes, label: str) -> None:
    """Make the horizontal axis one of frequency."""
    _log_axis(axes)
    axes.set_xlabel(label)


def _period_above(axes: Axes) -> None:
    """Write periods above a panel whose horizontal axis is a frequency in Hz."""
    # matplotlib also asks for the period of frequency zero, before the limits are set
    turn = lambda value: 1 / np.maximum(np.asarray(value, dtype=np.float64), 1e-300)  # noqa: E731
    above = axes.secondary_xaxis("top", functions=(turn, turn))
    above.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=20))
    above.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    above.xaxis.set_minor_locator(NullLocator())
    above.set_xlabel("period [s]", size=8.5)
    above.tick_params(colors=INK, labelsize=8, length=3)
    above.spines["top"].set_color(MUTED)


def _log_bar(bar: Colorbar, label: str, limits: tuple[float, float]) -> None:
    """Label a logarithmic colour bar with at least two plain numbers."""
    low, high = limits
    steps = (1.0, 2.0, 5.0) if high / low < 100 else (1.0,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks if len(ticks) > 1 else list(np.geomspace(low, high, 3))))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.set_label(label, size=8.5)
    bar.ax.tick_params(labelsize=8)

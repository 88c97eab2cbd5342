"""Figures of the components: what each one's records look like, and its loudness by period."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from gravdask.report.data import ModelSection, Waveform
from gravdask.report.style import EXCESS_MAP, INK, MUTED, dress, new_figure, short_names

MAX_WAVEFORMS = 6
_PERIOD_STEPS = (1.0, 2.0, 5.0)
_DRAWN_POINTS = 2000


def loudness_figure(model: ModelSection, names: Sequence[str], colours: Sequence[str]) -> Figure | None:
    """Draw the mean first-order coefficients of all components against period, as times the station's usual level.

    Parameters
    ----------
    model
        Paths and ``mean_log``.
    names, colours
        Name and colour per row of ``mean_log``.

    Returns
    -------
    Figure or None
        None if the model has no first-order path.
    """
    first = np.flatnonzero(model.path_order == 1)
    if first.size == 0 or model.mean_log.size == 0:
        return None
    period, factor = first_order(model)
    figure = new_figure(9.2, 3.4)
    axes = figure.add_subplot()
    dress(axes)
    axes.axhline(1, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    for row, (name, colour) in enumerate(zip(names, colours, strict=True)):
        # A pale line vanishes on white: it gets a dark edge.
        axes.plot(period, factor[row], color=INK, linewidth=2.8)
        axes.plot(period, factor[row], color=colour, linewidth=2.0, label=name)
    axes.set_xlim(period[0] / 1.15, period[-1] * 1.15)
    _period_axis(axes)
    _factor_axis(axes)
    axes.set_xlabel("period [s]")
    axes.set_ylabel("amplitude ÷ the station's usual one")
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def first_order(model: ModelSection) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """Return the first-order paths' periods [s], rising, and exp of their mean excess, (K, n_first)."""
    first = np.flatnonzero(model.path_order == 1)
    period = 1 / model.path_frequency_1[first]
    order = np.argsort(period)
    return period[order], np.exp(model.mean_log[:, first[order]])


def second_order(model: ModelSection, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrange one component's second-order excess as an image.

    Returns
    -------
    tuple of ndarray
        Periods of the second wavelet [s] (rows) and of the first (columns), both rising, and the mean natural
        logarithm, NaN where there is no path.
    """
    second = np.flatnonzero(model.path_order == 2)
    period_1, column = np.unique(1 / model.path_frequency_1[second], return_inverse=True)
    period_2, line = np.unique(1 / model.path_frequency_2[second], return_inverse=True)
    image = np.full((period_2.size, period_1.size), np.nan)
    image[line, column] = model.mean_log[row, second]
    return period_2, period_1, image


def component_figure(model: ModelSection, row: int, number: int, colour: str) -> Figure | None:
    """Draw one component: typical records on the left, loudness by period and modulation on the right.

    Parameters
    ----------
    model
        The model section.
    row
        Row of ``mean_log``.
    number
        Component number, the key of ``waveforms``.
    colour
        The component's colour.

    Returns
    -------
    Figure or None
        None if there is neither a record nor a coefficient.
    """
    waveforms = model.waveforms.get(number, [])[:MAX_WAVEFORMS]
    known = model.mean_log.size > 0 and row < model.mean_log.shape[0]
    orders = [order for order in (1, 2) if known and (model.path_order == order).any()]
    if not waveforms and not orders:
        return None
    figure = new_figure(9.2, max(3.3, 0.72 * len(waveforms) + 0.6))
    parts = figure.add_gridspec(1, 2, width_ratios=[1.55, 1.0] if waveforms else [0.001, 1.0])
    if waveforms:
        left = figure.add_subfigure(parts[0]).subplots(len(waveforms), 1, squeeze=False)
        _draw_waveforms(list(left[:, 0]), waveforms, colour)
    if orders:
        axes = figure.add_subfigure(parts[1]).subplots(len(orders), 1, squeeze=False)[:, 0]
        if orders[0] == 1:
            _draw_first(axes[0], model, row, colour)
        if orders[-1] == 2:
            _draw_second(axes[-1], model, row)
    return figure


def _draw_waveforms(axes_column: list[Axes], waveforms: Sequence[Waveform], colour: str) -> None:
    """Draw records one above the other, minutes across, each with its own vertical range."""
    names = short_names(sorted({w.channel for w in waveforms}))
    for axes, wave in zip(axes_column, waveforms, strict=True):
        minutes = np.arange(wave.values.size) * wave.interval_s / 60
        dress(axes)
        axes.plot(*outline(minutes, np.asarray(wave.values, dtype=float)), color=INK, linewidth=0.5)
        axes.axvspan(minutes[0], minutes[-1], color=colour, alpha=0.16, linewidth=0) if minutes.size else None
        start = str(np.datetime64(int(wave.start_ns), "ns").astype("datetime64[m]")).replace("T", " ")
        axes.set_title(f"{names[wave.channel]}  {start} UTC", loc="left", size=7.8, pad=2, color=INK)
        axes.tick_params(labelsize=7, labelbottom=axes is axes_column[-1])
        axes.margins(x=0)
        axes.yaxis.get_offset_text().set_fontsize(7)
    axes_column[-1].set_xlabel("minutes from the start of the frame")
    axes_column[len(axes_column) // 2].set_ylabel(f"[{waveforms[0].unit}]")


def outline(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Thin a long record to the extremes of equal pieces, so that a drawn peak is never lost; NaN stays a hole."""
    if y.size <= 2 * _DRAWN_POINTS:
        return x, y
    step = y.size // _DRAWN_POINTS
    whole = y[: y.size // step * step].reshape(-1, step)
    hole = np.isnan(whole).all(axis=1)
    low = np.where(np.isnan(whole), np.inf, whole).min(axis=1)
    high = np.where(np.isnan(whole), -np.inf, whole).max(axis=1)
    low[hole] = high[hole] = np.nan
    return np.repeat(x[: whole.size : step], 2), np.column_stack([low, high]).ravel()


def _draw_first(axes: Axes, model: ModelSection, row: int, colour: str) -> None:
    """Draw one component's first-order factor, the others' in grey behind it."""
    period, factor = first_order(model)
    dress(axes)
    axes.plot(period, factor.T, color="#d3d7dc", linewidth=0.8)
    axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.plot(period, factor[row], color=INK, linewidth=2.8)
    axes.plot(period, factor[row], color=colour, linewidth=2.0)
    axes.set_xlim(period[0] / 1.15, period[-1] * 1.15)
    _period_axis(axes)
    _factor_axis(axes)
    axes.set_title("amplitude ÷ the station's usual one", loc="left", size=8)
    axes.set_xlabel("period [s]")


def _draw_second(axes: Axes, model: ModelSection, row: int) -> None:
    """Draw one component's second-order factor as an image over both periods."""
    period_2, period_1, image = second_order(model, row)
    second = model.path_order == 2
    size = np.abs(model.mean_log[:, second])
    limit = max(float(size.max(initial=0.0, where=np.isfinite(size))), 0.1)
    dress(axes, grid=False)
    axes.set_facecolor("#eceef0")
    mesh = axes.pcolormesh(
        _edges(period_1), _edges(period_2), image, cmap=EXCESS_MAP, vmin=-limit, vmax=limit, rasterized=True
    )
    _period_axis(axes)
    _period_axis(axes, vertical=True)
    axes.set_xlabel("period [s]")
    axes.set_ylabel("swelling over [s]")
    axes.set_title("modulation ÷ the station's usual one", loc="left", size=8)
    bar = axes.get_figure().colorbar(mesh, ax=axes, aspect=14, pad=0.02)  # type: ignore[union-attr]
    ticks = _factor_ticks(limit)
    bar.ax.yaxis.set_major_locator(FixedLocator([float(np.log(t)) for t in ticks]))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: factor_text(float(np.exp(value)))))
    bar.ax.tick_params(labelsize=7)


def _factor_ticks(limit: float) -> list[float]:
    """Round factors within ±``limit`` in natural logarithm, symmetric about 1."""
    for factor in (100.0, 10.0, 5.0, 3.0, 2.0, 1.5, 1.2, 1.1, 1.05):
        if np.log(factor) <= limit:
            return [1 / factor, 1.0, factor]
    return [1.0]


def factor_text(factor: float) -> str:
    """Write a factor as ``×2``, or ``÷2`` below one."""
    return f"×{factor:.3g}" if factor >= 1 - 1e-9 else f"÷{1 / factor:.3g}"


def _edges(centres: np.ndarray) -> np.ndarray:
    """Return cell edges halfway between periods on a logarithmic axis."""
    log = np.log(centres)
    if log.size == 1:
        edges = np.array([log[0] - 0.3, log[0] + 0.3])
    else:
        middle = (log[1:] + log[:-1]) / 2
        edges = np.concatenate([[2 * log[0] - middle[0]], middle, [2 * log[-1] - middle[-1]]])
    return np.asarray(np.exp(edges))


def _period_axis(axes: Axes, *, vertical: bool = False) -> None:
    """Make an axis logarithmic with plain round numbers."""
    (axes.set_yscale if vertical else axes.set_xscale)("log")
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(LogLocator(10, subs=(1.0,) if vertical else _PERIOD_STEPS, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())


def _factor_axis(axes: Axes) -> None:
    """Make the vertical axis logarithmic with factors such as ×10, at least from ×0.5 to ×2."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.5), max(high, 2.0))
    wide = np.log10(axes.get_ylim()[1] / axes.get_ylim()[0]) > 2
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0,) if wide else _PERIOD_STEPS, numticks=8))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: factor_text(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_locator(NullLocator())

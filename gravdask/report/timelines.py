"""Figures along time: noise magnitudes per station, the calendar of classes, the drift of the likelihood."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from gravdask.report.style import ACCENT, INK, MUTED, NO_DATA, as_dates, date_axis, dress, new_figure, short_names

DAY_NS = 86_400_000_000_000
MAX_PANELS = 90
"""Panels of one figure; the tables hold what is left out."""
HOURLY_DAYS = 400
"""Longest calendar [days] that is drawn hour by hour; longer ones show each column's shares."""
_LIKELIHOOD_NAMED = 8
_DOTTED_DAYS = 120


def panels(count: int, columns: int, height: float, *, share_y: bool) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` panels that share their time axis, ``height`` inches each."""
    rows = max(1, math.ceil(count / columns))
    figure = new_figure(9.2, max(rows * height + 0.45, 2.1))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=share_y)
    flat = list(grid.ravel())
    for axes in flat[count:]:
        axes.set_visible(False)
    for axes in flat[max(0, count - columns) : count]:
        axes.tick_params(labelbottom=True)
    return figure, flat[:count]


def snm_panels(snm: Mapping[str, pd.DataFrame]) -> Figure | None:
    """Draw each channel's daily noise magnitude against time, all on the same axes ranges.

    Parameters
    ----------
    snm
        Per channel a table of day_ns and snm; channels without a finite value are left out.

    Returns
    -------
    Figure or None
        None if there is nothing to draw.
    """
    shown = [name for name in snm if np.isfinite(snm[name]["snm"].to_numpy(dtype=float)).any()][:MAX_PANELS]
    if not shown:
        return None
    columns = 1 if len(shown) == 1 else 2 if len(shown) <= 8 else 3
    figure, axes_list = panels(len(shown), columns, 1.25 if columns > 1 else 2.2, share_y=True)
    values = np.concatenate([snm[name]["snm"].to_numpy(dtype=float) for name in shown])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = max(0.1, 0.08 * (high - low))
    names = short_names(shown)
    for axes, name in zip(axes_list, shown, strict=True):
        table = snm[name].sort_values("day_ns")
        level = table["snm"].to_numpy(dtype=float)
        days = as_dates(table["day_ns"].to_numpy() + DAY_NS // 2)
        median = float(np.nanmedian(level))
        dress(axes)
        axes.axhline(median, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        if level.size <= _DOTTED_DAYS:
            axes.plot(days, level, color=ACCENT, linewidth=0.9, marker="o", markersize=2.6)
        else:
            axes.plot(days, level, color="#a9c4d6", linewidth=0.4)
            axes.plot(
                days, running_median(table["day_ns"].to_numpy(dtype=np.int64), level), color=ACCENT, linewidth=1.4
            )
        axes.set_title(f"{names[name]}   median {median:.2f}", loc="left", size=8.5, color=INK)
        axes.set_ylim(low - margin, high + margin)
        date_axis(axes, 5 if columns > 1 else 9)
    figure.supylabel("SNM of the day", size=8.5)
    return figure


def running_median(day_ns: npt.NDArray[np.int64], level: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Median of the values within 15 days of each day [ns] (rising); NaN where the day itself has none."""
    series = pd.Series(np.asarray(level, dtype=float), index=pd.to_datetime(day_ns, unit="ns"))
    smooth = series.rolling("31D", center=True, min_periods=1).median()
    return smooth.where(series.notna()).to_numpy(dtype=float)


Calendar = Mapping[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.integer]]]


def calendar_figure(
    calendar: Calendar, frame_seconds: float, components: Sequence[int], colours: Sequence[str]
) -> Figure | None:
    """Draw which component each frame belongs to, a panel per channel, a column per day or several days.

    Up to 400 days a panel shows the hours of the day upwards; beyond, each column shows the shares of its frames.

    Parameters
    ----------
    calendar
        Per channel the frames' starts [ns] and their components, -1 where there is none.
    frame_seconds
        Length of a frame [s].
    components, colours
        Component numbers and their colours.

    Returns
    -------
    Figure or None
        None if no channel has a frame.
    """
    shown = [name for name in calendar if calendar[name][0].size][:MAX_PANELS]
    if not shown:
        return None
    first = min(int(calendar[name][0].min()) for name in shown) // DAY_NS
    last = max(int(calendar[name][0].max() + frame_seconds * 1e9 - 1) for name in shown) // DAY_NS + 1
    hourly = last - first <= HOURLY_DAYS
    columns = 1 if len(shown) <= 16 else 2
    figure, axes_list = panels(len(shown), columns, 0.92 if hourly else 0.8, share_y=True)
    colour_map = ListedColormap([NO_DATA, *colours])
    names = short_names(shown)
    for axes, name in zip(axes_list, shown, strict=True):
        position = component_positions(calendar[name][1], components)
        if hourly:
            raster = hour_raster(calendar[name][0], position, frame_seconds, first, last)
        else:
            raster = share_raster(calendar[name][0], position, first, last, len(components))
        extent = (first, last, 0, 24 if hourly else 100)
        axes.imshow(
            raster,
            cmap=colour_map,
            vmin=-0.5,
            vmax=len(colours) + 0.5,
            aspect="auto",
            origin="lower",
            interpolation="nearest",
            extent=extent,
        )
        dress(axes, grid=False)
        axes.set_yticks([0, 12, 24] if hourly else [0, 50, 100])
        axes.set_ylabel(names[name], rotation=0, ha="right", va="center", labelpad=4, color=INK)
        axes.xaxis_date()
        date_axis(axes, 9)
    figure.supylabel("hour of the day, UTC" if hourly else "share of the frames [%]", size=8.5)
    return figure


def component_positions(component: npt.NDArray[np.integer], components: Sequence[int]) -> npt.NDArray[np.intp]:
    """Turn component numbers into colour indices: 0 without a class, else 1 + the place in ``components``."""
    position = np.zeros(component.size, dtype=np.intp)
    for place, number in enumerate(components):
        position[component == number] = place + 1
    return position


def hour_raster(
    start_ns: npt.NDArray[np.int64],
    position: npt.NDArray[np.intp],
    frame_seconds: float,
    first_day: int,
    last_day: int,
) -> npt.NDArray[np.int16]:
    """Lay frames out by ten minutes of the day (rows, 144) and day (columns); 0 where there is no frame.

    A cell takes the frame that holds its middle, so nothing is drawn before a frame begins or after it ends.
    """
    cells = np.zeros((last_day - first_day) * 144, dtype=np.int16)
    cell_ns = DAY_NS // 144
    first_cell = np.ceil((start_ns - first_day * DAY_NS) / cell_ns - 0.5).astype(np.int64)
    stop_cell = np.ceil((start_ns + round(frame_seconds * 1e9) - first_day * DAY_NS) / cell_ns - 0.5).astype(np.int64)
    for begin, end, value in zip(first_cell, stop_cell, position, strict=True):
        cells[max(begin, 0) : max(end, 0)] = value
    return cells.reshape(-1, 144).T


def share_raster(
    start_ns: npt.NDArray[np.int64], position: npt.NDArray[np.intp], first_day: int, last_day: int, count: int
) -> npt.NDArray[np.int16]:
    """Stack the classes of each column's frames from rarest number up to no data; 100 rows, at most 460 columns.

    The rarer classes lie at the bottom with at least one row each, so that none of them disappears.
    """
    width = max(1, math.ceil((last_day - first_day) / 460))
    columns = math.ceil((last_day - first_day) / width)
    column = (start_ns // DAY_NS - first_day) // width
    counts = np.zeros((columns, count + 1), dtype=np.int64)
    np.add.at(counts, (column, position), 1)
    total = counts[:, 1:].sum(axis=0)
    order = [int(k) + 1 for k in np.argsort(total, kind="stable")]
    raster = np.zeros((100, columns), dtype=np.int16)
    for index in range(columns):
        frames = counts[index].sum()
        base = 0
        for place in order:
            if counts[index, place]:
                rows = max(1, round(100 * counts[index, place] / frames))
                raster[base : base + rows, index] = place
                base += rows
    return raster


def likelihood_figure(likelihood: Mapping[str, tuple[npt.NDArray[np.int64], np.ndarray]]) -> Figure | None:
    """Draw the daily median log-likelihood of the frames under the frozen model: a fall means news.

    Parameters
    ----------
    likelihood
        Per channel days [ns] and medians.

    Returns
    -------
    Figure or None
        None if there is nothing to draw.
    """
    shown = {name: pair for name, pair in likelihood.items() if np.isfinite(pair[1]).any()}
    if not shown:
        return None
    figure = new_figure(9.2, 2.7)
    axes = figure.add_subplot()
    dress(axes)
    names = short_names(list(shown))
    named = len(shown) <= _LIKELIHOOD_NAMED
    palette = ["#0a5c8f", "#d55e00", "#009e73", "#aa4499", "#8c7b00", "#2b2b2b", "#56b4e9", "#882255"]
    for index, (name, (days, level)) in enumerate(shown.items()):
        colour = palette[index] if named else "#9aa3ad"
        axes.plot(as_dates(days + DAY_NS // 2), level, color=colour, linewidth=1.1 if named else 0.6, label=names[name])
    if named:
        axes.legend(fontsize=8, ncols=min(8, len(shown)), frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0))
    else:
        joined = pd.DataFrame({name: pd.Series(level, index=days) for name, (days, level) in shown.items()})
        axes.plot(as_dates(joined.index.to_numpy() + DAY_NS // 2), joined.median(axis=1), color=ACCENT, linewidth=1.8)
    axes.set_ylabel("median log-likelihood\nof a day's frames")
    date_axis(axes, 9)
    return figure

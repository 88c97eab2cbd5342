"""Figures of the preprocessing: a gravimeter's record before and after each step, and its calibration by months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gravdask.report.style import ACCENT, INK, MUTED, NO_DATA, as_dates, date_axis, dress, new_figure, short_names

FloatArray = npt.NDArray[np.floating]
Int64Array = npt.NDArray[np.int64]

STAGES = ("record", "drift", "tide", "pressure")
"""What the rows of a figure show: the calibrated record, then what is left when drift and steps, tide, and the effect
of the air are taken off. The last one there is, is residual gravity."""
MOST_CHANNELS = 12
"""Gravimeters that get a figure."""
_STEP = "#d55e00"
_SUSPECTED = "#aa4499"
_SPIKE = "#c1121f"
_MASK = "#f2e2b8"
_GAP_FACTOR = 2.5  # a line is broken where its points lie farther apart than this many times the usual distance
_LARGE = 5000.0  # nm s⁻² from which an axis is in µm s⁻²


@dataclass(frozen=True)
class Curves:
    """A stretch of a record at the stages of the preprocessing.

    Attributes
    ----------
    times_ns
        Times of the points [ns since 1970 UTC], ascending, shape (n,).
    stages
        Values [nm s⁻²] by the names of `STAGES`, NaN where missing, each of shape (n,); a stage that does not apply is
        not there.
    spike_ns, spikes
        Times and values [nm s⁻²] of the wild samples that were left out, shape (m,).
    """

    times_ns: Int64Array
    stages: Mapping[str, FloatArray]
    spike_ns: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    spikes: FloatArray = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class Preprocessed:
    """What was done to one gravimeter's record.

    Attributes
    ----------
    channel
        Its name.
    whole, detail
        All of the record, thinned, and some days of it.
    words
        What each stage took off, by the names of `STAGES`, in words.
    masks
        (start, end [ns], reason) of what the operator's log leaves out.
    steps, suspected
        (time [ns], size [nm s⁻²]) of the steps taken out, and of those only suspected.
    """

    channel: str
    whole: Curves
    detail: Curves
    words: Mapping[str, str]
    masks: Sequence[tuple[int, int, str]] = ()
    steps: Sequence[tuple[int, float]] = ()
    suspected: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True)
class Monthly:
    """A gravimeter's tide and air month by month.

    Attributes
    ----------
    channel
        Its name.
    month_ns
        Start of each month [ns since 1970 UTC], shape (m,).
    tidal_factor, tidal_factor_error, admittance, admittance_error
        Estimates, the admittance in nm s⁻² hPa⁻¹, NaN where unknown, shape (m,).
    """

    channel: str
    month_ns: Int64Array
    tidal_factor: FloatArray
    tidal_factor_error: FloatArray
    admittance: FloatArray
    admittance_error: FloatArray


def before_and_after(data: Preprocessed) -> Figure | None:
    """Draw a record before and after each step: one row a stage; left all of it, right some days.

    Parameters
    ----------
    data
        What to draw; every curve is drawn about its median.

    Returns
    -------
    Figure or None
        None if there is no value to draw.
    """
    columns = [c for c in (data.whole, data.detail) if any(np.isfinite(v).any() for v in c.stages.values())]
    rows = [name for name in STAGES if any(name in c.stages for c in columns)]
    if not rows:
        return None
    figure = new_figure(9.2, 0.9 + 1.45 * len(rows))
    grid = figure.subplots(len(rows), len(columns), squeeze=False, sharex="col")
    for row, name in enumerate(rows):
        for column, curves in enumerate(columns):
            axes = grid[row, column]
            _draw_stage(axes, data, curves, name)
            if column == 0:
                axes.set_title(f"{row + 1}  {data.words.get(name, name)}", loc="left", size=9, color=INK)
    for column, curves in enumerate(columns):
        whole = curves is data.whole
        bottom = grid[-1, column]
        date_axis(bottom, 7 if len(columns) == 1 else 5)
        bottom.set_xlabel(("whole record" if whole else "some days of it, closer") + ", UTC")
    handles = _legend(data, columns)
    if handles:
        figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False, fontsize=8)
    return figure


def _draw_stage(axes: Axes, data: Preprocessed, curves: Curves, name: str) -> None:
    """Draw one stage of one stretch, with the marks that belong to it."""
    dress(axes)
    values = np.asarray(curves.stages.get(name, np.full(curves.times_ns.size, np.nan)), dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", va="center", color=MUTED, size=8)
        axes.set_yticks([])
        return
    median = float(np.median(values[finite]))
    low, high = float(values[finite].min()) - median, float(values[finite].max()) - median
    scale, unit = (1e-3, "µm s⁻²") if high - low > _LARGE else (1.0, "nm s⁻²")
    times, line = broken_line(curves.times_ns, (values - median) * scale)
    axes.plot(as_dates(times), line, color=ACCENT, linewidth=0.8, solid_joinstyle="round")
    margin = 0.08 * max(high - low, 1e-9)
    bottom, top = (low - margin) * scale, (high + margin) * scale
    axes.set_ylim(bottom, top)
    begin, end = as_dates(curves.times_ns[[0, -1]])
    width = max(end - begin, 1e-6)
    axes.set_xlim(begin - 0.01 * width, end + 0.01 * width)
    axes.set_ylabel(unit)
    for start, stop, _ in data.masks:
        left, right = as_dates(np.array([start, stop]))
        # at least as wide as can be seen
        axes.axvspan(left, max(right, left + 0.002 * width), color=_MASK, linewidth=0)
    if name == "record" and curves.spikes.size:
        height = np.clip((curves.spikes - median) * scale, bottom + 0.3 * margin * scale, top - 0.3 * margin * scale)
        axes.plot(as_dates(curves.spike_ns), height, linestyle="", marker="x", markersize=4, color=_SPIKE)
    for marks, colour, dashes in ((data.steps, _STEP, (0, (5, 2))), (data.suspected, _SUSPECTED, (0, (1, 1.5)))):
        for when, _ in marks:
            place = float(as_dates(np.array([when]))[0])
            if begin <= place <= end:
                axes.axvline(place, color=colour, linewidth=1.1, linestyle=dashes)


def broken_line(times_ns: Int64Array, values: FloatArray) -> tuple[Int64Array, FloatArray]:
    """Put a NaN into every gap of a line, so that nothing is drawn across it; times and values of the longer line."""
    if times_ns.size < 3:
        return times_ns, np.asarray(values, dtype=np.float64)
    apart = np.diff(times_ns)
    gaps = np.flatnonzero(apart > _GAP_FACTOR * np.median(apart)) + 1
    return np.insert(times_ns, gaps, times_ns[gaps - 1] + 1), np.insert(values, gaps, np.nan)


def _legend(data: Preprocessed, columns: Sequence[Curves]) -> list[Line2D | Patch]:
    """Handles of the marks that the figure has."""
    handles: list[Line2D | Patch] = []
    if any(c.spikes.size for c in columns):
        handles.append(
            Line2D([], [], linestyle="", marker="x", markersize=4, color=_SPIKE, label="wild samples, left out")
        )
    if data.masks:
        handles.append(Patch(color=_MASK, label="left out by the operator's log"))
    if data.steps:
        handles.append(Line2D([], [], color=_STEP, linestyle=(0, (5, 2)), label="step of the log, taken out"))
    if data.suspected:
        handles.append(Line2D([], [], color=_SUSPECTED, linestyle=(0, (1, 1.5)), label="step suspected, not corrected"))
    return handles


def monthly_figure(monthly: Sequence[Monthly]) -> Figure | None:
    """Draw the tidal factor and the pressure admittance of each month with their standard errors, a row a channel.

    Parameters
    ----------
    monthly
        Channels without a month are left out, and those beyond the twelfth.

    Returns
    -------
    Figure or None
        None if there is no month to draw.
    """
    shown = [m for m in monthly if np.isfinite(m.tidal_factor).any()][:MOST_CHANNELS]
    if not shown:
        return None
    figure = new_figure(9.2, 0.6 + 1.25 * max(len(shown), 1.4))
    grid = figure.subplots(len(shown), 2, squeeze=False, sharex=True)
    names = short_names([m.channel for m in shown])
    middle = np.int64(15 * 86_400_000_000_000)
    for row, data in enumerate(shown):
        days = as_dates(data.month_ns + middle)
        _draw_months(grid[row, 0], days, data.tidal_factor, data.tidal_factor_error, least=0.01)
        _draw_months(grid[row, 1], days, data.admittance, data.admittance_error, least=1.0)
        grid[row, 0].set_ylabel(names[data.channel], color=INK)
    grid[0, 0].set_title("tidal factor: recorded tide over a rigid Earth's", loc="left", size=9, color=INK)
    grid[0, 1].set_title("pressure admittance: effect of the air [nm s⁻² hPa⁻¹]", loc="left", size=9, color=INK)
    for axes in grid[-1]:
        date_axis(axes, 6)
    return figure


def _draw_months(axes: Axes, days: FloatArray, values: FloatArray, errors: FloatArray, least: float) -> None:
    """Draw a quantity by months about its weighted mean, on an axis that is at least so wide on either side."""
    dress(axes)
    known = np.isfinite(values) & np.isfinite(errors) & (errors > 0)
    if not known.any():
        axes.text(0.5, 0.5, "no air pressure record", transform=axes.transAxes, ha="center", color=MUTED, size=8)
        axes.set_yticks([])
        return
    weights = 1 / errors[known] ** 2
    mean = float(np.sum(weights * values[known]) / np.sum(weights))
    axes.axhspan(mean - least, mean + least, color=NO_DATA, alpha=0.25, linewidth=0)
    axes.axhline(mean, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.errorbar(
        days[known], values[known], errors[known], color=ACCENT, marker="o", markersize=3, linewidth=0, elinewidth=1.1
    )
    reach = max(1.6 * least, 1.15 * float(np.max(np.abs(values[known] - mean) + errors[known])))
    axes.set_ylim(mean - reach, mean + reach)
    if np.ptp(days[known]) < 45:
        axes.set_xlim(days[known].min() - 25, days[known].max() + 25)

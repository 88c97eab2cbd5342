"""The map of the stations: a graticule, a scale in kilometres, no picture from elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gravdask.report.style import GRID, INK, MUTED, NOISE_MAP, dress, new_figure, short_names

KM_PER_DEGREE = 6371.0 * math.pi / 180
_SMALLEST_DEGREES = 2.0
_LABELLED = 120
_CROWDED = 40
_OFFSETS = ((7, 3), (7, -9), (-7, 3), (-7, -9), (0, 9), (0, -15), (12, 12), (-12, 12), (12, -18), (-12, -18))


def station_map(stations: pd.DataFrame) -> Figure | None:
    """Draw the stations, coloured by their median noise magnitude, labelled while there is room.

    Parameters
    ----------
    stations
        Columns channel, latitude, longitude [degrees], snm_median; rows without coordinates are left out.

    Returns
    -------
    Figure or None
        None if no station has coordinates.
    """
    known = stations.dropna(subset=["latitude", "longitude"]) if len(stations) else stations
    if len(known) == 0:
        return None
    latitude = known["latitude"].to_numpy(dtype=float)
    longitude = unwrapped(known["longitude"].to_numpy(dtype=float))
    west, east, south, north = _extent(longitude, latitude)
    aspect = 1 / max(math.cos(math.radians((south + north) / 2)), 0.05)
    height = float(np.clip(7.7 * (north - south) * aspect / (east - west), 3.2, 6.2))
    figure = new_figure(9.2, height + 0.5)
    axes = figure.add_subplot()
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.set_aspect(aspect, adjustable="box")
    _graticule(axes)
    level = known["snm_median"].to_numpy(dtype=float)
    loud = np.isfinite(level)
    axes.scatter(longitude[~loud], latitude[~loud], s=70, c="white", edgecolors=INK, marker="s", zorder=3)
    if loud.any():
        low, high = float(level[loud].min()), float(level[loud].max())
        norm = Normalize(low - 0.05, high + 0.05)
        points = axes.scatter(
            longitude[loud],
            latitude[loud],
            c=level[loud],
            cmap=NOISE_MAP,
            norm=norm,
            s=95,
            edgecolors=INK,
            linewidths=0.8,
            zorder=3,
        )
        bar = figure.colorbar(points, ax=axes, shrink=0.75, pad=0.015, aspect=28)
        bar.set_label("median SNM of the days (higher = noisier)", size=8.5)
        bar.ax.tick_params(labelsize=8)
    figure.canvas.draw()
    if len(known) <= _LABELLED:
        names = short_names([str(c) for c in known["channel"]])
        _label(axes, longitude, latitude, [names[str(c)] for c in known["channel"]])
    _scale_bar(axes)
    return figure


def unwrapped(longitude: np.ndarray) -> np.ndarray:
    """Shift longitudes [degrees] by whole turns so that a network across the date line stays together."""
    ordered = np.sort(longitude % 360)
    gaps = np.diff(np.append(ordered, ordered[0] + 360))
    first = ordered[(int(gaps.argmax()) + 1) % ordered.size]
    shifted = (longitude - first) % 360 + first
    return np.asarray(shifted - 360 if shifted.mean() > 180 else shifted)


def _extent(longitude: np.ndarray, latitude: np.ndarray) -> tuple[float, float, float, float]:
    """West, east, south and north [degrees] with a margin, at least two degrees each way."""
    spans = []
    for values in (longitude, latitude):
        middle = (values.min() + values.max()) / 2
        half = max((values.max() - values.min()) * 0.62, _SMALLEST_DEGREES)
        spans += [middle - half, middle + half]
    west, east, south, north = spans[0], spans[1], max(spans[2], -90.0), min(spans[3], 90.0)
    # The page is wide: a tall network gets empty land at its sides rather than a narrow map.
    least = 1.35 * (north - south) / max(math.cos(math.radians((south + north) / 2)), 0.05)
    margin = max(0.0, min(least, 360.0) - (east - west)) / 2
    return west - margin, east + margin, south, north


def _graticule(axes: Axes) -> None:
    """Draw the lines of equal latitude and longitude with degrees at the edge."""
    axes.set_facecolor("#f8fafb")
    dress(axes)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[["top", "right", "left", "bottom"]].set_color(MUTED)
    for axis, letters in ((axes.xaxis, "EW"), (axes.yaxis, "NS")):
        axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _, letters=letters: degrees_text(value, letters)))


def degrees_text(value: float, letters: str) -> str:
    """Write degrees with a letter, ``100°E`` or ``2.5°S``; longitudes beyond 180 are wrapped."""
    if letters == "EW":
        value = (value + 180) % 360 - 180
    value = round(value, 4)
    letter = "" if value == 0 else letters[0] if value > 0 else letters[1]
    return f"{abs(value):g}°{letter}"


def _label(axes: Axes, x: np.ndarray, y: np.ndarray, names: list[str]) -> None:
    """Write names beside points, each at the first place that covers neither a name nor a point."""
    points = axes.transData.transform(np.column_stack([x, y])) * 72 / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    boxes: list[tuple[float, float, float, float]] = [(px - 5, py - 5, px + 5, py + 5) for px, py in points]
    size = 8.5 if len(names) <= _CROWDED else 6.5
    for (px, py), name, lon, lat in zip(points, names, x, y, strict=True):
        wide = 0.64 * size * len(name)
        best, chosen, cost = (0.0, 0.0, 0.0, 0.0), _OFFSETS[0], math.inf
        for dx, dy in _OFFSETS:
            left = px + dx if dx > 0 else px + dx - wide if dx < 0 else px - wide / 2
            box = (left, py + dy, left + wide, py + dy + 9)
            overlap = sum(_overlap(box, other) for other in boxes)
            if overlap < cost:
                best, chosen, cost = box, (dx, dy), overlap
            if overlap == 0:
                break
        boxes.append(best)
        align = "left" if chosen[0] > 0 else "right" if chosen[0] < 0 else "center"
        axes.annotate(
            name,
            (lon, lat),
            chosen,
            textcoords="offset points",
            ha=align,
            va="bottom",
            fontsize=size,
            color=INK,
            zorder=4,
        )


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Area that two boxes (left, bottom, right, top) share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _scale_bar(axes: Axes) -> None:
    """Draw a bar of round length in kilometres, true at the map's middle latitude, into the lower left corner."""
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    per_degree = KM_PER_DEGREE * math.cos(math.radians((south + north) / 2))
    length = round_length(0.25 * (east - west) * per_degree)
    x, y = west + 0.03 * (east - west), south + 0.05 * (north - south)
    axes.plot([x, x + length / per_degree], [y, y], color=INK, linewidth=3, solid_capstyle="butt", zorder=5)
    axes.annotate(f"{length:g} km", (x, y), (0, 4), textcoords="offset points", fontsize=8, color=INK, zorder=5)


def round_length(limit: float) -> float:
    """Largest of 1, 2 and 5 times a power of ten that is at most ``limit``."""
    power = 10.0 ** math.floor(math.log10(limit))
    return next(step * power for step in (5, 2, 1) if step * power <= limit * (1 + 1e-12))

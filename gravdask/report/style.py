"""Colours, fonts and the way from a matplotlib figure to an image inside the page."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.text import Text

INK = "#1a1a1a"
MUTED = "#5b6570"
GRID = "#dfe3e8"
NO_DATA = "#c4c7cb"
"""Colour of time without a class."""
ACCENT = "#0a5c8f"
DPI = 140

_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("background", ("#d6e8f5", "#a9cfe8", "#7ab3d6", "#4d93bd")),
    ("co-seismic", ("#d55e00", "#f0a04b", "#8f3b00", "#ffc78f")),
    ("microseism", ("#009e73", "#66c7ab", "#00593f")),
    ("instrument", ("#2b2b2b", "#6a6a6a", "#8c7b6b")),
    (
        "",
        ("#aa4499", "#f0e442", "#332288", "#e78ac3", "#999933", "#882255", "#b79cff", "#6b5b00", "#ff9aa2", "#5e3c99"),
    ),
)
NOISE_MAP = LinearSegmentedColormap.from_list(
    "noise", ["#352a87", "#0f6fc6", "#1fa2a8", "#a4be55", "#f5c73d", "#d94801"]
)
"""Colours of noise magnitudes, dark and blue for quiet, orange for loud; even in lightness for the colour-blind."""
EXCESS_MAP = LinearSegmentedColormap.from_list("excess", ["#0a5c8f", "#7fb8d6", "#f7f7f7", "#f0a875", "#b34700"])
"""Colours of less and more than usual, white in the middle."""


def component_colours(labels: Sequence[str]) -> list[str]:
    """Give each component a colour, of the family its name belongs to, in the order given.

    Parameters
    ----------
    labels
        Names of components, such as ``background 2`` or ``co-seismic``; an unknown one is of the last family.

    Returns
    -------
    list of str
        Colours in hexadecimal.
    """
    members = [next(f for f, _ in _FAMILIES if label.lower().startswith(f)) for label in labels]
    left = {family: iter(_shades(palette, members.count(family))) for family, palette in _FAMILIES}
    return [next(left[family]) for family in members]


def _shades(palette: tuple[str, ...], count: int) -> list[str]:
    """So many colours of a palette: its own, or evenly spaced ones between them if there are too few."""
    if count <= len(palette):
        return list(palette[:count])
    between = LinearSegmentedColormap.from_list("between", list(palette))
    return [to_hex(between(share)) for share in np.linspace(0, 1, count)]


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure [inches] on the Agg canvas; no state is shared with anything else."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, *, grid: bool = True) -> None:
    """Give axes the house look: no frame above and on the right, quiet grid, dark small text."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.xaxis.label.set_fontsize(8.5)
    axes.yaxis.label.set_fontsize(8.5)
    axes.title.set_fontsize(9)
    if grid:
        axes.grid(visible=True, color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)


def date_axis(axes: Axes, most: int = 7) -> None:
    """Label the horizontal axis with dates, briefly."""
    locator = AutoDateLocator(minticks=2, maxticks=most)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.xaxis.get_offset_text().set_fontsize(7.5)


def as_dates(time_ns: np.ndarray) -> np.ndarray:
    """Turn times [ns since 1970 UTC] into matplotlib's day numbers (days since 1970)."""
    return np.asarray(time_ns, dtype=np.float64) / 86_400e9


def plain_text(figure: Figure) -> None:
    """Have a figure's texts drawn as they are written: a dollar sign starts no formula."""
    for item in figure.findobj(Text):
        item.set_parse_math(False)


def png_uri(figure: Figure) -> str:
    """Draw a figure and return it as a ``data:`` address, the same for the same figure.

    Names are drawn as they are written: a dollar sign starts no formula, and a letter that the font lacks becomes an
    empty box without a warning, for the page's own text shows it.
    """
    plain_text(figure)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from", UserWarning)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def short_names(channels: Sequence[str]) -> dict[str, str]:
    """Shorten channel names to the station code where that stays unique, else to all but the network."""
    stations = [name.split(".")[1] if name.count(".") >= 3 else name for name in channels]
    tails = [name.split(".", 1)[1] if name.count(".") >= 3 else name for name in channels]
    chosen = {}
    for name, station, tail in zip(channels, stations, tails, strict=True):
        if stations.count(station) == 1:
            chosen[name] = station
        else:
            chosen[name] = tail if tails.count(tail) == 1 else name
    return chosen

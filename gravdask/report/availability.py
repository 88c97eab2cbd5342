"""The picture of when there are samples: one row a channel, bars over time, every gap visible."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from gravdask.archive.availability import clipped, merged
from gravdask.errors import ConfigError
from gravdask.report.style import ACCENT, GRID, INK, MUTED, as_dates, date_axis, dress, new_figure, plain_text

FORMATS = (".png", ".svg", ".pdf")
"""Endings of a picture's name."""
MAX_ROWS = 250
"""Channels of one picture; the table holds what is left out."""
GAP = "#d55e00"
BAD = "#1a1a1a"
_WIDTH = 11.0
_ROW = 0.24
_COLUMNS = 4000
"""Columns that time is divided into for drawing: gaps narrower than one are marked, but not cut out of the bar."""
_SHORTEST = 10
"""Length [columns] that the bar of a shorter span is drawn with."""
_OPEN = 10
"""Width [columns] that a gap between two long bars is cut out with if it is narrower."""
_LONG = 30
"""Length [columns] of a long bar, and of the pieces whose share of samples is shown as a shade between short ones."""
_SHADES = 8
_FAINTEST = 0.25
"""Strength of the colour where there is next to nothing."""
_MARK = 1.4
"""Width of the mark of a narrow gap [points]."""
_NARROW = 12
"""Width of a gap [columns] below which it is marked with a line across."""


def availability_figure(
    spans: Mapping[str, NDArray[np.int64]],
    quarantined: Mapping[str, ArrayLike] | None = None,
    others: ArrayLike = (),
    title: str = "",
) -> Figure | None:
    """Draw coverage over time.

    Parameters
    ----------
    spans
        Per channel its spans with samples: sorted, disjoint starts and ends (exclusive) [ns since 1970 UTC], shape
        (n, 2).
    quarantined
        Per channel the times [ns since 1970] of its files that cannot be used, as far as their names tell.
    others
        Times of such files whose channel is not known; they get a row of their own.
    title
        What is shown, for example the archive's folder.

    Returns
    -------
    Figure or None
        None if there is nothing to draw. A row has its channel's name on the left; on the right the percentage of the
        time from its first to its last sample and the number of gaps. Gaps are left open in the bar and marked below
        it at least one line wide, so that none of them is too short to be seen. Where samples come and go too often to
        be drawn apart, the shade says how much of the time has any.
    """
    shown = [name for name, found in spans.items() if len(found)][:MAX_ROWS]
    if not shown:
        return None
    bad = {name: np.asarray(times, np.int64).ravel() for name, times in (quarantined or {}).items()}
    rest = np.concatenate(
        [np.asarray(others, np.int64).ravel(), *(times for name, times in bad.items() if name not in shown)]
    )
    rows = len(shown) + bool(rest.size)
    figure = new_figure(_WIDTH, _ROW * rows + 1.05)
    axes = figure.add_subplot()
    first = min(int(spans[name][0, 0]) for name in shown)
    last = max(int(spans[name][-1, 1]) for name in shown)
    dress(axes, grid=False)
    margin = (last - first) // 200
    axes.set_xlim(*as_dates(np.array([first - margin, last + margin])))
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_axisbelow(True)  # a line of the grid above a bar would look like a gap
    for row, name in enumerate(shown):
        _draw_row(axes, row, spans[name], (last - first) // _COLUMNS)
        _draw_bad(axes, row, bad.get(name, np.zeros(0, np.int64)), (first, last))
    _draw_bad(axes, len(shown), rest, (first, last))
    labels = [*shown, *(["other files"] if rest.size else [])]
    axes.set_yticks(range(rows), labels, fontsize=7, family="monospace", color=INK)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.6)
    date_axis(axes, 12)
    _write_sums(axes, [spans[name] for name in shown])
    left_out = sum(bool(len(found)) for found in spans.values()) - len(shown)
    _explain(axes, title + (f"  (the first {MAX_ROWS} channels; {left_out} more)" if left_out else ""))
    return figure


def check_picture(path: Path) -> None:
    """Refuse a place where no picture can be written.

    Raises
    ------
    ConfigError
        If the ending names no known format, or the folder is not there.
    """
    if path.suffix.lower() not in FORMATS:
        msg = f"{path}: a picture is written as {', '.join(FORMATS)}; end its name with one of them"
        raise ConfigError(msg)
    if not path.absolute().parent.is_dir():
        msg = f"{path}: there is no folder {path.absolute().parent} for the picture; make it first"
        raise ConfigError(msg)


def save_availability(path: Path | str, figure: Figure) -> None:
    """Write the picture; the name's ending says in which format."""
    plain_text(figure)
    figure.savefig(path)


def _draw_row(axes: Axes, row: int, found: NDArray[np.int64], column_ns: int) -> None:
    """Draw the bar of a channel and the marks of its gaps."""
    bars, shares = _bars(found, column_ns)
    # an hour in thirty years must be seen as well; bars that this makes longer hide no gap, which has its own mark
    bars = as_dates(np.stack([bars[:, 0], np.maximum(bars[:, 1], bars[:, 0] + _SHORTEST * column_ns)], axis=1))
    low, high = row - 0.32, row + 0.2
    corners = np.stack(
        [
            np.stack([bars[:, 0], np.full(len(bars), low)], axis=1),
            np.stack([bars[:, 0], np.full(len(bars), high)], axis=1),
            np.stack([bars[:, 1], np.full(len(bars), high)], axis=1),
            np.stack([bars[:, 1], np.full(len(bars), low)], axis=1),
        ],
        axis=1,
    )
    strength = (1 - _FAINTEST) * shares[:, None] + _FAINTEST
    colours = 1 - strength * (1 - np.array(to_rgb(ACCENT)))
    # pieces of one stretch touch, and a smoothed edge between them would look like a gap
    axes.add_collection(PolyCollection(list(corners), facecolors=colours, edgecolors="none", antialiaseds=False))
    gaps = merged(np.stack([found[:-1, 1], found[1:, 0]], axis=1), column_ns)
    if len(gaps):
        axes.hlines(np.full(len(gaps), row + 0.32), *as_dates(gaps).T, color=GAP, linewidth=2.2)
        narrow = gaps[gaps[:, 1] - gaps[:, 0] < _NARROW * column_ns]
        if len(narrow):  # a line of its own, for one column of a line along it is easily overlooked
            axes.vlines(as_dates(narrow.mean(axis=1)), row + 0.24, row + 0.4, color=GAP, linewidth=_MARK)


def _bars(found: NDArray[np.int64], column_ns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bars to draw, and the share of each that holds samples.

    A narrow gap between two long bars is cut out as wide as can be seen. Where bars and gaps are too narrow to be told
    from each other they are drawn together. All is cut into pieces of which each has its share of samples.
    """
    fine = merged(found, column_ns)
    room = fine[1:, 0] - fine[:-1, 1]
    long = fine[:, 1] - fine[:, 0] >= _LONG * column_ns
    narrow = room < _OPEN * column_ns
    opened = np.where(narrow & long[1:] & long[:-1], _OPEN * column_ns - room, 0)
    apart = np.concatenate([[True], ~narrow | (long[1:] & long[:-1])])
    first = np.flatnonzero(apart)
    last = np.append(first[1:], len(fine)) - 1
    bars, shares = [], []
    for one, other in zip(first.tolist(), last.tolist(), strict=True):
        begin = fine[one, 0] + (opened[one - 1] // 2 if one else 0)
        end = fine[other, 1] - (opened[other] // 2 if other < len(opened) else 0)
        length = max(_LONG * column_ns, 1)
        edges = [begin, *range(begin + length, end - length // 2, length), end]
        bars.append(np.stack([edges[:-1], edges[1:]], axis=1))
        shares.append(np.array([_share(found, piece) for piece in bars[-1]]))
    return _equal_joined(np.concatenate(bars), np.rint(np.concatenate(shares) * _SHADES) / _SHADES)


def _share(found: NDArray[np.int64], piece: NDArray[np.int64]) -> float:
    """Share of a piece of time that spans cover."""
    inside = clipped(found, piece[None])
    return float((inside[:, 1] - inside[:, 0]).sum() / (piece[1] - piece[0]))


def _equal_joined(
    bars: NDArray[np.int64], shares: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Join bars that touch and have the same share."""
    joins = (bars[1:, 0] == bars[:-1, 1]) & (shares[1:] == shares[:-1])
    first = np.flatnonzero(np.concatenate([[True], ~joins]))
    return np.stack([bars[first, 0], bars[np.append(first[1:], len(bars)) - 1, 1]], axis=1), shares[first]


def _draw_bad(axes: Axes, row: int, times: NDArray[np.int64], limits: tuple[int, int]) -> None:
    """Mark files that cannot be used; those outside the picture stand at its edge."""
    if times.size:
        inside = as_dates(np.unique(times.clip(*limits)))
        place = np.full(len(inside), row - 0.06)
        axes.plot(inside, place, "x", color=BAD, markersize=4.2, markeredgewidth=2.6, clip_on=False, mec="white")
        axes.plot(inside, place, "x", color=BAD, markersize=4, markeredgewidth=1.2, clip_on=False)


def _write_sums(axes: Axes, found: list[NDArray[np.int64]]) -> None:
    """Write percentage and number of gaps beside each row."""
    for row, spans in enumerate(found):
        whole = float(spans[-1, 1] - spans[0, 0])
        percent = 100.0 if len(spans) == 1 else min(100 * float((spans[:, 1] - spans[:, 0]).sum()) / whole, 99.99)
        gaps = len(spans) - 1
        text = f"{percent:6.2f} %  {gaps} gap{'' if gaps == 1 else 's'}"
        axes.text(
            1.008, row, text, transform=axes.get_yaxis_transform(), va="center", size=7, color=MUTED, family="monospace"
        )


def _explain(axes: Axes, title: str) -> None:
    """Put title and legend above the rows."""
    handles = [
        Patch(color=ACCENT, label="samples (paler: only a part of the time)"),
        Line2D([], [], color=GAP, linewidth=2.2, label="gap"),
        Line2D([], [], color=BAD, marker="x", linestyle="none", markersize=4, label="file that cannot be used"),
    ]
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=3,
        frameon=False,
        fontsize=7.5,
        borderpad=0.2,
    )
    axes.set_title(title, loc="left", size=9, color=INK)

"""What changed in an archive between two scans, and which spans of which channels that makes stale."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gravdask.archive.availability import intervals, merged
from gravdask.archive.index_table import ArchiveIndex
from gravdask.archive.locations import as_location
from gravdask.grid import DAY_NS, utc_text

_SAME_TRACE = ["channel", "digest", "number", "start_ns", "npts", "rate", "dtype", "decimals", "recipe"]
"""What a trace is known by: a file that moved has the same ones."""


@dataclass(frozen=True)
class IndexDiff:
    """Record files that differ between two indexes, sorted; paths, or the texts of addresses.

    Attributes
    ----------
    added, removed
        Files that are only in the later, only in the earlier index.
    changed
        Files with another content, another format or another error than before. A new time of modification alone is
        no change.
    moved
        Pairs (before, after) of files with the same content that disappeared from one place and appeared at another;
        they are not listed as added or removed.
    """

    added: tuple[Path | str, ...] = ()
    removed: tuple[Path | str, ...] = ()
    changed: tuple[Path | str, ...] = ()
    moved: tuple[tuple[Path | str, Path | str], ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.removed or self.changed or self.moved)

    def in_words(self) -> str:
        """Numbers of files, for example ``2 files new, 1 changed, 0 removed, 3 moved``."""
        counts = (len(self.added), len(self.changed), len(self.removed), len(self.moved))
        return "{} files new, {} changed, {} removed, {} moved".format(*counts)


def _records(index: ArchiveIndex) -> pd.DataFrame:
    """Digest, format and whether damaged, of every file that is not ignored, by location."""
    rows = index.files.assign(location=index.locations(), damaged=index.files["error"] != "")
    rows = rows[(rows["digest"] != "") | rows["damaged"]]
    return rows.set_index("location")[["digest", "format", "damaged"]]


def diff(previous: ArchiveIndex, current: ArchiveIndex) -> IndexDiff:
    """Compare two indexes of one archive.

    A moved file is known by its digest; if several files of the same content disappear and appear, they are paired in
    the order of their paths. Without digests of content (``archive.digests = false``) a moved file is a removed one
    and a new one.
    """
    if previous is current:
        return IndexDiff()
    before, after = _records(previous), _records(current)
    place = after.index.get_indexer(before.index)
    arrived_at = np.ones(len(after), bool)
    arrived_at[place[place >= 0]] = False
    gone, come = before[place < 0].sort_index(), after[arrived_at].sort_index()
    places: dict[str, deque[str]] = defaultdict(deque)
    for location, digest in come["digest"].items():
        places[digest].append(str(location))
    moved = [(str(o), places[d].popleft()) for o, d in gone["digest"].items() if d and places[d]]
    both, then, now = before.index[place >= 0], before[place >= 0], after.take(place[place >= 0])
    differs = np.zeros(len(both), bool)
    for name in before.columns:
        differs |= then[name].to_numpy(object) != now[name].to_numpy(object)
    left, arrived = {old for old, _ in moved}, {new for _, new in moved}
    return IndexDiff(
        tuple(as_location(p) for p in come.index if p not in arrived),
        tuple(as_location(p) for p in gone.index if p not in left),
        tuple(as_location(p) for p in sorted(both[differs])),
        tuple((as_location(old), as_location(new)) for old, new in moved),
    )


def stale_spans(previous: ArchiveIndex, current: ArchiveIndex) -> dict[str, NDArray[np.int64]]:
    """UTC spans of each channel that new, changed and removed traces touch; moved files touch none.

    Parameters
    ----------
    previous, current
        Two indexes of one archive.

    Returns
    -------
    spans
        Per channel starts and ends (exclusive) [ns since 1970], merged where they touch, shape (spans, 2); channels
        that nothing touches are left out. What a stage redoes is the chunks and days that hold a part of these.
    """
    if previous is current:
        return {}
    rows = pd.concat([_known(previous).assign(side=0), _known(current).assign(side=1)], ignore_index=True)
    rows = rows.drop_duplicates([*_SAME_TRACE, "side"]).drop_duplicates(_SAME_TRACE, keep=False)
    return {str(channel): merged(intervals(group)) for channel, group in rows.groupby("channel", sort=True)}


def _known(index: ArchiveIndex) -> pd.DataFrame:
    """Traces with the digests of their files."""
    digests = index.files["digest"].to_numpy(object)[index.traces["file"].to_numpy()]
    return index.traces.assign(digest=digests)[_SAME_TRACE]


def stale_lines(spans: dict[str, NDArray[np.int64]]) -> list[str]:
    """Say stale spans in words: one line a channel with how many, how many days in all, from when to when."""
    lines = []
    for channel, found in spans.items():
        days = float((found[:, 1] - found[:, 0]).sum()) / DAY_NS
        count = "1 span" if len(found) == 1 else f"{len(found)} spans"
        between = f"{utc_text(found[0, 0])} to {utc_text(found[-1, 1])}"
        lines.append(f"{channel:<20} {count}, {days:.2f} days, {between}")
    return lines


def below(index: ArchiveIndex, roots: tuple[str, ...]) -> ArchiveIndex:
    """Part of an index that is about some roots only."""
    held = index.files["root"].isin(list(roots)).to_numpy()
    if held.all():
        return index
    files = index.files[held]
    new = pd.Series(np.arange(len(files)), index=files["file"].to_numpy())
    traces = index.traces[index.traces["file"].isin(files["file"])]
    numbered = traces.assign(file=new.reindex(traces["file"]).to_numpy()).reset_index(drop=True)
    kept = files.assign(file=new.to_numpy()).reset_index(drop=True)
    return ArchiveIndex(roots, kept, numbered, index.problems, index.options_digest)

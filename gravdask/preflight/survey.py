"""What an archive holds, told from its list of files, the index of the last scan, and a look into some of the rest."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from gravdask.archive.index_table import ArchiveIndex
from gravdask.archive.inspect_file import FileTask, inspect_file
from gravdask.archive.locations import as_location, normal_root
from gravdask.archive.traces import MOTION
from gravdask.archive.walk import Found, walk
from gravdask.config import Config
from gravdask.errors import ReadError
from gravdask.grid import DAY_NS, SECOND_NS, Rate, unit_days
from gravdask.preflight.findings import Finding, amount, note, ok
from gravdask.preprocess.decimate import feature_rate
from gravdask.stages.archive import read_options, station_table
from gravdask.stages.index_file import load_index
from gravdask.stages.selection import matches
from gravdask.store.place import in_words, place_of

LOOK_FILES = 64
LOOK_SECONDS = 20.0
"""So many new files are looked into, evenly spread, and not for longer; the others are taken to be like them."""


@dataclass
class RateShare:
    """What an archive holds at one sampling rate.

    Attributes
    ----------
    samples, new
        Samples in all, and in files that no run has seen.
    channels
        Names of the channels that are known.
    first_ns, last_ns
        Span of what is known [ns since 1970].
    motion_samples, motion
        Samples, and names, of the channels that carry ground motion.
    """

    samples: float = 0.0
    new: float = 0.0
    channels: set[str] = field(default_factory=set)
    first_ns: int = 2**62
    last_ns: int = -(2**62)
    motion_samples: float = 0.0
    motion: set[str] = field(default_factory=set)

    @property
    def days(self) -> float:
        """Length of the span [days]."""
        return max((self.last_ns - self.first_ns) / DAY_NS, 0.0)


@dataclass
class Survey:
    """What an archive holds.

    Attributes
    ----------
    files, size
        Number of its files, and their bytes.
    new_files, looked
        How many no run has seen, and into how many of these was looked.
    rates
        What it holds at each rate.
    example
        Where one of its files is; '' if it has none.
    """

    files: int = 0
    size: int = 0
    new_files: int = 0
    looked: int = 0
    example: str = ""
    rates: dict[Rate, RateShare] = field(default_factory=dict)

    @property
    def from_what(self) -> str:
        """How the numbers were come by, in words."""
        if self.looked < self.new_files:
            return f"estimated from {self.looked} of {self.new_files} new files"
        return f"{self.new_files} new files" if self.new_files else "no new files"


def survey(config: Config) -> Survey:
    """Look through an archive as far as is needed to know roughly what it holds.

    Raises
    ------
    GravdaskError
        If the archive or what was stated of its stations cannot be read.
    """
    settings = config.archive
    options = read_options(settings, station_table(settings)[0])
    found = walk([as_location(normal_root(path)) for path in settings.paths])
    result = Survey(len(found), int(found.size.sum()), example=found.location[0] if len(found) else "")
    index = _index(config)
    fresh = _new(found, index)
    result.new_files = len(fresh)
    if index is not None:
        old = np.setdiff1d(np.arange(len(found)), fresh)
        wanted = {found.location[n] for n in old}
        numbers = [number for number, place in enumerate(index.locations()) if place in wanted]
        traces = index.traces[index.traces["file"].isin(index.files["file"].iloc[numbers])]
        _count(result, config, traces, 1.0, new=False)
    rows, size, begun = [], 0, time.monotonic()
    for n in fresh[np.unique(np.linspace(0, len(fresh) - 1, LOOK_FILES).astype(int))] if len(fresh) else []:
        if time.monotonic() - begun > LOOK_SECONDS:
            break
        rows += inspect_file(FileTask(found.file(int(n)), options, digests=False)).traces
        size += int(found.size[n])
        result.looked += 1
    if rows and size:
        _count(result, config, pd.DataFrame(rows), float(found.size[fresh].sum()) / size, new=True)
    return result


def _index(config: Config) -> ArchiveIndex | None:
    """Index of the last run, if there is one that can be read."""
    place = place_of(config) / "ledger" / "index.parquet"
    with in_words(place):
        try:
            return load_index(place) if place.exists() else None
        except ReadError:
            return None


def _new(found: Found, index: ArchiveIndex | None) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Numbers of the files that are not as the index knows them."""
    if index is None:
        return np.arange(len(found))
    known = dict(zip(index.locations(), zip(index.files["size"], index.files["mtime_ns"], strict=True), strict=True))
    marks = zip(found.location, found.size.tolist(), found.mtime_ns.tolist(), strict=True)
    return np.array([n for n, (place, *mark) in enumerate(marks) if known.get(place) != tuple(mark)], np.int64)


def _count(result: Survey, config: Config, traces: pd.DataFrame, scale: float, new: bool) -> None:
    """Add traces to what an archive holds, as far as they are chosen and within its span."""
    first, last = config.archive.span_ns()
    columns = (traces[name].tolist() for name in ("channel", "rate", "start_ns", "npts", "kind"))
    for channel, text, start, samples, kind in zip(*columns, strict=True):
        if not matches(channel, config.archive.select):
            continue
        rate = Rate.parse(text)
        length = samples * rate.seconds * SECOND_NS // rate.samples
        begin, end = max(start, first or start), min(start + length, last if last is not None else start + length)
        if end <= begin:
            continue
        share = result.rates.setdefault(rate, RateShare())
        share.channels.add(channel)
        share.first_ns, share.last_ns = min(share.first_ns, begin), max(share.last_ns, end)
        count = samples * (end - begin) / max(length, 1) * scale
        share.samples += count
        share.new += count if new else 0.0
        if kind in MOTION:
            share.motion.add(channel)
            share.motion_samples += count


def units_of(survey: Survey, config: Config) -> int:
    """Units of ``scatter``, which has the fewest and the longest, about."""
    total = 0
    for rate, share in survey.rates.items():
        days = unit_days(feature_rate(rate, config.preprocess.feature_rate))
        total += max(math.ceil(share.motion_samples / rate.hz / 86_400 / days), len(share.motion))
    return total


def fastest(survey: Survey) -> Rate:
    """Give the highest rate of an archive; that of its longest units."""
    return max(survey.rates, key=lambda rate: rate.hz)


def in_words_of(rates: Iterable[Rate]) -> str:
    """Sampling rates, the fastest first."""
    return ", ".join(str(rate) for rate in sorted(rates, key=lambda rate: -rate.hz))


def record_findings(result: Survey) -> list[Finding]:
    """Tell what the archive holds."""
    what = "records"
    about = f"{result.files} files, {amount(result.size)}, {result.from_what}"
    if not result.rates:
        if result.new_files and not result.looked:
            return [note(what, f"{about}, of which none could be looked into in time", "'gravdask scan' looks at all")]
        cure = "'gravdask scan' says what each of them is; look at archive.select, archive.start and archive.end"
        return [note(what, f"{about}; no record that is asked for was found in them", cure)]
    return [ok(what, f"{about}; at {in_words_of(result.rates)}")]

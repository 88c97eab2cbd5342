"""The two nouns of an archive: a channel's name, and one gap-free evenly sampled stretch of its record."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gravdask.errors import GridError, ReadError
from gravdask.grid import SECOND_NS, Rate

Kind = Literal["gravity", "pressure", "seismic", "other"]
MOTION: frozenset[str] = frozenset({"gravity", "seismic"})
"""Kinds of channels that carry ground motion."""
DTYPES = ("int32", "int64", "float32", "float64")
UNKNOWN_NETWORK = "XX"
EMPTY_LOCATION = "--"
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]+")


def sanitise(text: str) -> str:
    """Turn a free text into a code: every run of other characters than A-Z, a-z, 0-9, _ and - becomes one _."""
    return _FORBIDDEN.sub("_", text).strip("_")


@dataclass(frozen=True, order=True)
class ChannelId:
    """Name of a channel, ``NET.STA.LOC.CHA``.

    Parts are sanitised on entry to A-Z, a-z, 0-9, _ and -. An unknown network is ``XX``; an empty location is ``""``
    here and ``--`` in text.

    Raises
    ------
    ReadError
        If station or code are empty.
    """

    network: str
    station: str
    location: str
    code: str

    def __post_init__(self) -> None:
        """Sanitise the parts."""
        for name in ("network", "station", "location", "code"):
            object.__setattr__(self, name, sanitise(getattr(self, name)))
        object.__setattr__(self, "network", self.network or UNKNOWN_NETWORK)
        if not self.location.strip("-"):
            object.__setattr__(self, "location", "")
        if not self.station or not self.code:
            msg = f"a channel needs a station and a channel code, got station {self.station!r}, code {self.code!r}"
            raise ReadError(msg)

    def __str__(self) -> str:
        """Give ``NET.STA.LOC.CHA`` with ``--`` for an empty location."""
        return f"{self.network}.{self.station}.{self.location or EMPTY_LOCATION}.{self.code}"

    @classmethod
    def parse(cls, text: str) -> ChannelId:
        """Read back what ``str`` of a channel gives.

        Raises
        ------
        ReadError
            If the text has not four parts, or a part has characters that a channel cannot have.
        """
        parts = text.split(".")
        if len(parts) != 4 or any(_FORBIDDEN.search(part) for part in parts):
            msg = f"not a channel: {text!r}; expected NET.STA.LOC.CHA, for example XX.334.--.UGZ"
            raise ReadError(msg)
        return cls(*parts)


@dataclass(frozen=True, order=True)
class Note:
    """A remark of a reader on something that it read around.

    Attributes
    ----------
    what
        What was found.
    line
        Line of the file, counted from 1; 0 if the whole file is meant.
    cure
        What to do about it; empty if nothing needs to be done.
    """

    what: str
    line: int = 0
    cure: str = ""


@dataclass(frozen=True)
class Trace:
    """One gap-free stretch of evenly sampled values; the true value is ``values * 10**-decimals``.

    Attributes
    ----------
    channel
        Whose record it is.
    rate
        Nominal sampling rate.
    start_ns
        Time of the first sample, ns since 1970 UTC.
    npts
        Number of samples.
    values
        The source's own numbers, shape (npts,), or None when only headers were read. Floats may be NaN where the
        source wrote NaN.
    dtype
        Type of the values: "int32", "int64", "float32" or "float64".
    decimals
        Decimal places of the integers that decimal text became; 0 for counts and floats.
    unit
        Unit of the true values as the source writes it, or None if it states none.
    kind
        "gravity", "pressure", "seismic" or "other".
    latitude, longitude, elevation
        Degrees north, degrees east and metres if the file itself states them.
    stated_rate_hz
        The sampling rate that the file states, before it was snapped to ``rate``; nan if it states none.
    tide_applied
        Whether the file states that the tide has been taken out of the values.
    recipe
        How the values were made where they are not simply what the file says: rule and grid of irregular rows, digest
        of a table's layout. The same file read with another recipe has other values.
    notes
        What the reader had to say, about this trace or (on a file's first trace) about the file.
    part
        Which samples, from and up to, `values` holds, where only a part was asked for; None for all.
    """

    channel: ChannelId
    rate: Rate
    start_ns: int
    npts: int
    values: NDArray[Any] | None
    dtype: str
    decimals: int = 0
    unit: str | None = None
    kind: Kind = "other"
    latitude: float | None = None
    longitude: float | None = None
    elevation: float | None = None
    stated_rate_hz: float = float("nan")
    tide_applied: bool = False
    recipe: str = ""
    notes: tuple[Note, ...] = ()
    part: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check that what is stated of the values is true of them."""
        if self.npts < 1 or self.dtype not in DTYPES:
            msg = f"a trace needs samples and a type out of {', '.join(DTYPES)}; got {self.npts} of {self.dtype}"
            raise ReadError(msg)
        if not -(2**63) < self.start_ns < 2**63 - 1:
            msg = f"{self.channel}: a trace begins outside the years 1678 to 2262; correct the clock of the file"
            raise ReadError(msg)
        first, stop = self.held
        right = 0 <= first <= stop <= self.npts
        if self.values is not None:
            right &= self.values.shape == (stop - first,) and self.values.dtype.name == self.dtype
        if not right:
            found = "no values" if self.values is None else f"{self.values.shape} {self.values.dtype}"
            part = f"{first} to {stop} of " if self.part else ""
            msg = f"{self.channel}: stated {part}{self.npts} of {self.dtype}, found {found}"
            raise ReadError(msg)

    @property
    def held(self) -> tuple[int, int]:
        """Numbers of the first of its samples that `values` holds, and of the one after the last."""
        return self.part or (0, self.npts)

    @property
    def end_ns(self) -> int:
        """Time of the last sample on the nominal grid [ns since 1970], exact, rounded down to whole nanoseconds."""
        return self.start_ns + (self.npts - 1) * self.rate.seconds * SECOND_NS // self.rate.samples


def grid_pieces(rate: Rate, npts: int, stated_hz: float) -> list[tuple[int, int, int]]:
    """Cut a trace whose clock runs off the nominal grid into pieces that stay within half an interval of it.

    Sample ``k`` was taken ``k / stated_hz`` seconds after the first, says the file; on the nominal grid it belongs to
    the nearest slot. While that slot is ``k`` itself nothing needs to be done; wherever the two drift apart by half an
    interval a new piece starts, one slot later (slow clock: a slot stays empty) or earlier (fast clock: two samples
    claim one slot). All pieces lie on the grid of the first sample, so the channel keeps its phase.

    Parameters
    ----------
    rate
        Nominal rate.
    npts
        Samples of the trace.
    stated_hz
        Stated rate [Hz]; nan means the nominal one.

    Returns
    -------
    pieces
        ``(first sample, stop sample, first slot)`` of each piece; one piece if the trace stays on the grid.

    Raises
    ------
    GridError
        If the clock runs off by more than a sample in twenty: this is another rate.
    """
    ratio = rate.hz / stated_hz if np.isfinite(stated_hz) and stated_hz > 0 else 1.0
    slip = abs(ratio - 1)
    if slip * (npts - 1) <= 0.5:
        return [(0, npts, 0)]
    if slip > 0.05:
        msg = f"a stated rate of {stated_hz} Hz is not the nominal {rate}"
        raise GridError(msg)
    sign = 1 if ratio > 1 else -1
    slips = int(np.floor(slip * (npts - 1) + 0.5))
    bounds = [0, *(int(np.floor((n - 0.5) / slip)) + 1 for n in range(1, slips + 1)), npts]
    edges = itertools.pairwise(bounds)
    return [(start, stop, start + sign * n) for n, (start, stop) in enumerate(edges) if stop > start]

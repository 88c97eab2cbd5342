"""A channel as its attributes in the store describe it: spans, times, calibration and place of what is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import zarr

from gravdask.errors import StoreError
from gravdask.grid import Rate, frames_covering
from gravdask.store.codecs import reading
from gravdask.store.timerange import TimeRange
from gravdask.store.window import Decoding


@dataclass(frozen=True)
class Part:
    """A group of the store with its arrays, read at once.

    Attributes
    ----------
    attributes
        Attributes of the group.
    arrays
        Its arrays by name, in alphabetical order.
    """

    attributes: dict[str, Any]
    arrays: dict[str, zarr.Array[Any]]


def parts_below(group: zarr.Group, depth: int | None = None) -> dict[str, Part]:
    """A group and all groups below it by their path from it, ``""`` for itself; metadata only.

    Parameters
    ----------
    depth
        How far down to look; all the way unless given.
    """
    found = {"": Part(dict(group.attrs), {})}
    with reading(group):
        members = sorted(group.members(max_depth=depth), key=lambda item: item[0])
    for path, member in members:
        if isinstance(member, zarr.Group):
            found[path] = Part(dict(member.attrs), {})
        else:
            above, _, name = path.rpartition("/")
            found[above].arrays[name] = member
    return found


@dataclass(frozen=True)
class StoredChannel:
    """What the attributes of a channel say, as far as opening it needs it.

    Attributes
    ----------
    name
        Group of the channel in the store.
    parts
        Its groups by name.
    about
        Its attributes as they are stored.
    rate
        Sampling rate.
    phases
        (from sample, phase [ns]) of each span of constant phase, in order.
    extent
        First and last sample + 1 that any file of the archive holds.
    """

    name: str
    parts: dict[str, Part]
    about: dict[str, Any]
    rate: Rate
    phases: tuple[tuple[int, int], ...]
    extent: tuple[int, int]

    @classmethod
    def load(cls, root: zarr.Group, name: str, stage: str | None = None) -> StoredChannel:
        """Read the attributes of a channel and of its groups, or of one stage only.

        Raises
        ------
        StoreError
            If they are not of gravdask's form.
        """
        try:
            if stage is None:
                parts = parts_below(root[name])  # type: ignore[arg-type]
            else:
                wanted = [n for n in dict.fromkeys(("raw", "scattering", stage)) if f"{name}/{n}" in root]
                parts = {n: Part(dict(root[f"{name}/{n}"].attrs), {}) for n in wanted}
                if stage in parts:
                    parts[stage] = parts_below(root[f"{name}/{stage}"], 0)[""]  # type: ignore[arg-type]
            about: Any = parts["raw"].attributes["channel"]
            phases = tuple((int(a), int(b)) for a, b in about["phases"])
            start, stop = (int(n) for n in about["extent"])
            return cls(name, parts, dict(about), Rate.parse(about["rate"]), phases, (start, stop))
        except (KeyError, TypeError, ValueError) as error:
            msg = f"channel {name}: its attributes are not gravdask's ({error}); convert the archive again"
            raise StoreError(msg) from error

    def span(self, stage: str) -> tuple[int, int]:
        """Items of a stage that the channel's extent touches."""
        start, stop = self.extent
        if stage == "raw":
            return start, stop
        if stage == "noise":
            return frames_covering(self.rate.samples_per_day, start, stop)
        # A sample of the features is one of every so many of the record.
        rate = self.rate_of(stage)
        factor = self.rate.samples * rate.seconds // (self.rate.seconds * rate.samples)
        return frames_covering(self.frame_samples(stage) * factor, start, stop)

    def rate_of(self, stage: str) -> Rate:
        """Sampling rate that a stage's frames count in: that of the features, which may be less than the record's."""
        for name in (stage, "scattering") if stage not in {"raw", "noise"} else ():
            if name in self.parts and "rate" in self.parts[name].attributes:
                return Rate.parse(str(self.parts[name].attributes["rate"]))
        return self.rate

    def frame_samples(self, stage: str) -> int:
        """Samples of a frame; classes that do not tell lie on the frames of the coefficients.

        Raises
        ------
        StoreError
            If neither tells.
        """
        for name in (stage, "scattering"):
            if name in self.parts and "frame_samples" in self.parts[name].attributes:
                return int(self.parts[name].attributes["frame_samples"])
        msg = f"{self.name}: the length of a frame is not written in the store; run 'gravdask scatter' again"
        raise StoreError(msg)

    def times(self, stage: str, phase_ns: int, span: tuple[int, int]) -> TimeRange:
        """Times of the items of a stage."""
        if stage == "raw":
            return TimeRange.of_samples(self.rate, phase_ns, *span)
        if stage == "noise":
            return TimeRange.of_days(*span)
        return TimeRange.of_frames(self.rate_of(stage), phase_ns, self.frame_samples(stage), *span)

    def decoding(self, physical: bool) -> Decoding:
        """From the stored record to source numbers or physical units."""
        decimals = int(self.about.get("decimals", 0))
        return Decoding(decimals, self._pieces() if physical else None)

    def _pieces(self) -> tuple[tuple[int, int, float, float], ...]:
        """Calibration table in samples; one entry alone holds for the whole record."""
        table = self.about.get("calibrations") or [{"factor": 1.0, "offset": 0.0}]
        start, stop = self.extent
        if len(table) == 1:
            return ((start, stop, float(table[0]["factor"]), float(table[0]["offset"])),)
        pieces = []
        ends = [first for first, _ in self.phases[1:]] + [stop]
        for (first, phase), end in zip(self.phases, ends, strict=True):
            times = TimeRange.of_samples(self.rate, phase, 0, stop)
            for entry in table:
                low = max(times.before(int(entry["start_ns"])), first)
                high = min(times.before(int(entry["end_ns"])), end)
                if low < high:
                    pieces.append((low, high, float(entry["factor"]), float(entry["offset"])))
        return tuple(pieces)

    def unit(self, physical: bool) -> str:
        """Unit of the record as it is given out."""
        table = self.about.get("calibrations") or [{}]
        return str(table[0].get("unit", "counts") if physical else self.about.get("source_unit") or "counts")

    def place(self, name: str) -> float:
        """Latitude, longitude or elevation, NaN where it is unknown."""
        value = self.about.get(name)
        return float("nan") if value is None else float(value)

    def summary(self) -> dict[str, Any]:
        """Attributes in plain values."""
        keys = ("kind", "quantity", "source_unit", "latitude", "longitude", "elevation", "pressure")
        known = {k: self.about[k] for k in keys if self.about.get(k) not in {None, ""}}
        return {"channel": self.name, "rate": str(self.rate), **known}

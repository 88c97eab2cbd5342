"""Opening a store for reading: lazy, trimmed to what was recorded, every sample, frame and day with its time.

`open_store` (`gravdask.open`) gives the hierarchy as it lies in the store, `network` one stage of all channels side by
side. Neither reads anything but attributes and the short axes (frequencies, paths); values are read where they are
computed. A plain ``xarray.open_datatree(path, engine="zarr", consolidated=False)`` opens a store too, with the full
extents from 1950 to 2151 and without times.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from gravdask.errors import StoreError
from gravdask.grid import SECOND_NS, Rate
from gravdask.store.described import Part, StoredChannel, parts_below
from gravdask.store.layout import BESIDE, open_root
from gravdask.store.place import Place
from gravdask.store.timeindex import TimeIndex
from gravdask.store.window import Stack, Window

DIMENSIONS = {"raw": "time", "noise": "day", "scattering": "frame", "classes": "frame"}
"""Groups of a channel that lie along time, with the name of that dimension."""
_COMMANDS = {"raw": "convert", "noise": "noise", "scattering": "scatter", "classes": "classify"}
_ABOUT_TIME = {
    "time": "time of the sample (UTC)",
    "day": "noon of the UTC day",
    "frame": "centre of the frame (UTC)",
}
_STORED_ONLY = {"coordinates", "scale_factor", "missing_value"}


def open_store(
    path: str | Path | Place, channels: str | Iterable[str] | None = None, physical: bool = False
) -> xr.DataTree:
    """Open a store, or some of its channels, lazily.

    Parameters
    ----------
    path
        Folder of the store, ``s3://bucket/prefix`` or ``memory://name``.
    channels
        Names or shell patterns (``"BO.*"``) of the channels to open; all unless given. Only these are looked at.
    physical
        Whether ``raw/record`` is calibrated: float64 in nm s⁻², hPa, nm s⁻¹ or counts, NaN where a sample is missing
        or no calibration holds. Otherwise it holds the source's own numbers with NaN for missing: integers as float64
        (exact below 2^53), floats as they are.

    Returns
    -------
    tree
        ``/NET.STA.LOC.CHA/raw``, ``noise``, ``scattering`` and ``classes`` as far as they were made, trimmed to the
        days and frames that hold a part of the record, each with a coordinate ``time`` (of the sample, the day's noon,
        the frame's centre) that is computed, not stored, and selected as usual: ``.sel(time="2011-03-11")``. Further
        ``/model`` and ``/interpretation``. A channel whose clock changed its phase is given the times of its first
        span; the coordinate's attributes then list the phases.

    Raises
    ------
    StoreError
        If there is no store, or none of its channels fits a name.
    """
    place = Place.of(path)
    root = open_root(place)
    nodes: dict[str, xr.Dataset] = {"/": xr.Dataset(attrs=dict(root.attrs))}
    names = _select(place, channels)
    for name in names:
        channel = StoredChannel.load(root, name)
        nodes[f"/{name}"] = xr.Dataset(attrs=channel.summary())
        further = [p for p in channel.parts if p and p not in DIMENSIONS]
        for stage in (s for s in DIMENSIONS if s in channel.parts):
            nodes[f"/{name}/{stage}"] = _along_time([channel], stage, physical, single=True)
        nodes |= {f"/{name}/{p}": _as_it_lies(channel.parts[p]) for p in further}
    for shared in ("model", "interpretation"):
        if (place / shared / "zarr.json").exists():
            for below, part in parts_below(root[shared]).items():  # type: ignore[arg-type]
                # Of a model's medians only those of the channels that are opened.
                if "/medians/" not in below or below.split("/medians/")[1] in names:
                    nodes[f"/{shared}/{below}".rstrip("/")] = _as_it_lies(part)
    return xr.DataTree.from_dict(nodes, name=Path(place.name).stem)


def network(
    path: str | Path | Place,
    stage: str,
    channels: str | Iterable[str] | None = None,
    *,
    rate: str | float | Rate | None = None,
    physical: bool = False,
) -> xr.Dataset:
    """One stage of all channels of a rate, side by side, lazily.

    Channels are joined by the absolute index of their samples, days or frames, from the first to the last that any of
    them holds; where a channel has nothing its values are missing (NaN; -1 of ``component``).

    Parameters
    ----------
    path
        Folder of the store, ``s3://bucket/prefix`` or ``memory://name``.
    stage
        ``raw``, ``noise``, ``scattering`` or ``classes``.
    channels
        Names or shell patterns; all that have the stage unless given.
    rate
        Sampling rate, ``"1Hz"`` or in Hz; needed where the channels have several.
    physical
        For ``raw``: in physical units, as in `open_store`.

    Returns
    -------
    dataset
        The stage's variables with a first dimension ``channel``; coordinates channel, latitude, longitude, elevation
        (NaN where unknown), kind, and time. Where the channels' clocks differ within an interval, ``time`` is that of
        the whole grid and a coordinate ``phase`` [s] tells how much later each channel's own samples stand.

    Raises
    ------
    StoreError
        If the stage has not run, the rates are several, or the channels were treated by different networks or models.
    """
    stage = {command: name for name, command in _COMMANDS.items()}.get(stage, stage)
    if stage not in DIMENSIONS:
        msg = f"no stage of a store is called {stage!r}; there are {', '.join(DIMENSIONS)}"
        raise StoreError(msg)
    place = Place.of(path)
    root = open_root(place)
    chosen = [StoredChannel.load(root, name, stage) for name in _select(place, channels)]
    return _along_time(_one_rate(chosen, stage, rate, channels), stage, physical)


def _select(place: Place, channels: str | Iterable[str] | None) -> list[str]:
    """Names of the channels in a store that fit any of the patterns, sorted."""
    known = [n for n in place.folders() if n not in BESIDE and (place / n / "raw/zarr.json").exists()]
    if channels is None:
        return known
    patterns = [channels] if isinstance(channels, str) else list(channels)
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            shown = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
            msg = f"{place}: no channel fits {pattern!r}; it holds {shown or 'none: run gravdask convert'}"
            raise StoreError(msg)
    return [n for n in known if any(fnmatch.fnmatchcase(n, p) for p in patterns)]


def _one_rate(
    channels: list[StoredChannel], stage: str, rate: str | float | Rate | None, asked: str | Iterable[str] | None
) -> list[StoredChannel]:
    """Channels that have the stage, all of one rate, or an error that says what to do."""
    command = _COMMANDS[stage]
    present = [c for c in channels if stage in c.parts]
    named = {asked} if isinstance(asked, str) else set(asked or ())
    absent = [c.name for c in channels if c.name in named and c not in present]
    if absent or not present:
        who = ", ".join(absent) or "no channel"
        msg = f"{who}: nothing of {stage} is in the store{'' if absent else ' yet'}; run 'gravdask {command}' first"
        raise StoreError(msg)
    if isinstance(rate, str):
        rate = Rate.parse(rate)
    elif isinstance(rate, int | float):
        rate = Rate.from_hz(rate)
    rates = sorted({c.rate_of(stage) for c in present}, key=lambda r: r.hz)
    texts = ", ".join(repr(str(r)) for r in rates)
    if rate is None and len(rates) > 1:
        msg = f"the channels have several sampling rates ({texts}); choose one, for example rate={str(rates[-1])!r}"
        raise StoreError(msg)
    kept = [c for c in present if rate is None or c.rate_of(stage) == rate]
    if not kept:
        msg = f"no channel with {stage} is sampled at {rate}; there are {texts}"
        raise StoreError(msg)
    return kept


def _along_time(channels: list[StoredChannel], stage: str, physical: bool, single: bool = False) -> xr.Dataset:
    """Dataset of one stage: of a single channel as it is, or of several with a dimension ``channel``."""
    dim, first = DIMENSIONS[stage], channels[0]
    part = first.parts[stage]
    series = {n: _dims(a) for n, a in part.arrays.items() if _dims(a)[:1] == (dim,)}
    _same_treatment(channels, stage, list(series))
    spans = [c.span(stage) for c in channels]
    length = min((a.shape[0] for n, a in part.arrays.items() if n in series), default=0)
    span = (min(s for s, _ in spans), min(max(s for _, s in spans), length))
    tables = {n: a for n, a in part.arrays.items() if n not in series}
    phase, places = _beside(channels, stage, physical, single)
    times = TimeIndex.over(first.times(stage, phase, span), dim).coordinates(**_about_time(channels, stage))
    variables: dict[str, Any] = _variables(tables)
    for name, dims in series.items():
        arrays = [c.parts[stage].arrays[name] for c in channels]
        decodings = [c.decoding(physical) if stage == "raw" else None for c in channels]
        windows = tuple(Window(a, *span, d) for a, d in zip(arrays, decodings, strict=True))
        about = _clean(arrays[0])
        units = {c.unit(physical) for c in channels} if stage == "raw" else {a.attrs.get("units") for a in arrays}
        if units != {None}:
            about["units"] = units.pop() if len(units) == 1 else "see the coordinate unit"
        variables[name] = (dims if single else ("channel", *dims), Stack(windows, single).lazy(), about)
    listed = {w for a in part.arrays.values() for w in str(a.attrs.get("coordinates", "")).split()}
    summary = first.summary() if single and stage == "raw" else {"rate": str(first.rate_of(stage))}
    attributes = {k: v for k, v in part.attributes.items() if k != "channel"} | summary
    dataset = xr.Dataset(variables, times, attributes).set_coords([n for n in tables if n in listed])
    return dataset.assign_coords(places) if places else dataset


def _variables(arrays: dict[str, zarr.Array[Any]]) -> dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]:
    """What does not lie along time: short axes are read, the rest is left lazy."""
    variables: dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]] = {}
    for name, array in arrays.items():
        values = np.asarray(array[...]) if array.ndim < 2 else Stack((Window(array, 0, array.shape[0]),), True).lazy()
        variables[name] = (_dims(array), values, _clean(array))
    return variables


def _beside(
    channels: list[StoredChannel], stage: str, physical: bool, single: bool
) -> tuple[int, dict[str, tuple[str, Any, dict[str, str]]]]:
    """Phase of the common times [ns], and the coordinates along ``channel``."""
    phases = [c.phases[0][1] for c in channels]
    common = phases[0] if len(set(phases)) == 1 else 0
    if single:
        return common, {}
    beside: dict[str, tuple[str, Any, dict[str, str]]] = {
        "channel": ("channel", [c.name for c in channels], {}),
        "latitude": ("channel", [c.place("latitude") for c in channels], {"units": "degrees_north"}),
        "longitude": ("channel", [c.place("longitude") for c in channels], {"units": "degrees_east"}),
        "elevation": ("channel", [c.place("elevation") for c in channels], {"units": "m"}),
        "kind": ("channel", [str(c.about.get("kind", "other")) for c in channels], {}),
        "unit": (
            "channel",
            [c.unit(physical or stage != "raw") for c in channels],
            {"long_name": "unit of the record"},
        ),
    }
    if len(set(phases)) > 1 and stage != "noise":
        about = {"units": "s", "long_name": "how much later than time the channel's own samples stand"}
        beside["phase"] = ("channel", [p / SECOND_NS for p in phases], about)
    return common, beside


def _about_time(channels: list[StoredChannel], stage: str) -> dict[str, Any]:
    """Attributes of the times; of a channel with several phases also those."""
    about: dict[str, Any] = {"long_name": _ABOUT_TIME[DIMENSIONS[stage]]}
    several = {c.name: c.phases for c in channels if len(c.phases) > 1}
    if several and stage != "noise":
        about["note"] = "the clock's phase changed; these are the times of its first span, see phases"
        about["phases"] = [
            f"{n}: {p / SECOND_NS:g} s from sample {k}" for n, spans in several.items() for k, p in spans
        ]
    return about


def _same_treatment(channels: list[StoredChannel], stage: str, series: list[str]) -> None:
    """Refuse channels whose coefficients or classes do not compare, or whose arrays are not the same ones."""
    first = channels[0].parts[stage]
    again = f"run 'gravdask {_COMMANDS[stage]}' for all of them"
    for channel in channels:
        part = channel.parts[stage]
        for key in ("network", "model", "frame_samples"):
            own, others = part.attributes.get(key), first.attributes.get(key)
            if own != others:
                msg = f"{stage} of {channels[0].name} is of {key} {others}, of {channel.name} of {own}; {again}"
                raise StoreError(msg)
        for name in series:
            if name not in part.arrays or part.arrays[name].shape != first.arrays[name].shape:
                msg = f"{channel.name}/{stage}: {name!r} is missing or not shaped as in {channels[0].name}; {again}"
                raise StoreError(msg)


def _as_it_lies(part: Part) -> xr.Dataset:
    """Dataset of a group that does not lie along time."""
    return xr.Dataset(_variables(part.arrays), attrs=part.attributes)


def _dims(array: zarr.Array[Any]) -> tuple[str, ...]:
    """Names of the dimensions of an array."""
    names = getattr(array.metadata, "dimension_names", None)
    return tuple(str(n) for n in names or ())


def _clean(array: zarr.Array[Any]) -> dict[str, Any]:
    """Attributes of an array without those that say how it is stored."""
    return {k: v for k, v in array.attrs.items() if k not in _STORED_ONLY}

"""A channel of the store: what its attributes say, and how its record is read in physical units."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from gravdask.config import PreprocessConfig
from gravdask.errors import StoreError
from gravdask.grid import DAY_NS, ORIGIN_NS, SECOND_NS, Grid, Rate, day_span, record_blocks
from gravdask.preprocess.chain import residual
from gravdask.preprocess.pressure import normal_pressure, pressure_at, repair_pressure
from gravdask.store.layout import channel_names, missing_value, open_root, read_span, sub_array

Array = NDArray[np.float64]
PRESSURE_BRIDGE_NS = 600 * SECOND_NS
"""Gaps in the air pressure up to this long are bridged by straight lines [ns]."""
LEAST_DAILY_PRESSURE = 0.9
"""Least share of a day's pressure with which the day is corrected for it."""
SEAM_SAMPLES = 16
"""Samples left out where corrected days meet uncorrected ones: more than any transform bridges."""
INTERNAL_UNITS = {"acceleration": "nm s-2", "pressure": "hPa", "velocity": "nm s-1"}
"""Unit of each kind of quantity inside gravdask."""


@dataclass(frozen=True)
class Calibration:
    """From a source's numbers to physical units over a stretch of time.

    Attributes
    ----------
    start_ns, end_ns
        The stretch [ns since 1970].
    factor, offset
        physical = factor x number + offset.
    unit
        Unit of the result; ``counts`` where the physical unit is unknown.
    """

    start_ns: int
    end_ns: int
    factor: float
    offset: float
    unit: str


@dataclass(frozen=True)
class Channel:
    """What is known of a channel.

    Attributes
    ----------
    name
        Group of the channel in the store, ``NET.STA.LOC.CHA``.
    rate
        Sampling rate.
    phases
        (from sample, phase [ns]) of each span of constant phase, in order.
    dtype, decimals
        How the numbers are kept: true value = number x 10^-decimals.
    kind
        ``gravity``, ``pressure``, ``seismic`` or ``other``.
    quantity
        ``acceleration``, ``pressure``, ``velocity`` or ``counts``: what the calibrated record is.
    source_unit
        Unit as the file, the metadata or the user states it, '' if none does.
    latitude, longitude, elevation
        Degrees and metres, None where unknown.
    calibrations
        The calibration table.
    pressure
        Channel of the station's air pressure, '' if it has none.
    extent
        First and last sample + 1 that any file of the archive holds.
    """

    name: str
    rate: Rate
    phases: tuple[tuple[int, int], ...]
    dtype: str
    decimals: int
    kind: str
    quantity: str
    source_unit: str
    latitude: float | None
    longitude: float | None
    elevation: float | None
    calibrations: tuple[Calibration, ...]
    pressure: str
    extent: tuple[int, int]

    @property
    def station(self) -> str:
        """Network and station code, ``NET.STA``."""
        return ".".join(self.name.split(".")[:2])

    @property
    def located(self) -> bool:
        """Whether the coordinates are known."""
        return self.latitude is not None and self.longitude is not None

    @property
    def grid(self) -> Grid:
        """Grid of the channel's first span."""
        return Grid(self.rate, self.phases[0][1])

    def times_ns(self, start: int, stop: int) -> NDArray[np.int64]:
        """Times of the samples ``[start, stop)`` [ns since 1970], each with the phase of its span."""
        times = Grid(self.rate, 0).times_ns(start, stop)
        edges = [start, *(min(max(first, start), stop) for first, _ in self.phases[1:]), stop]
        for (_, phase), begin, end in zip(self.phases, edges[:-1], edges[1:], strict=True):
            times[begin - start : end - start] += phase
        return times

    def to_attributes(self) -> dict[str, Any]:
        """Contents as attributes that JSON can hold."""
        values = asdict(self)
        values["rate"] = str(self.rate)
        values["calibrations"] = [asdict(c) for c in self.calibrations]
        del values["name"]
        return values

    @classmethod
    def from_attributes(cls, name: str, values: dict[str, Any]) -> Channel:
        """Read back what `to_attributes` gave.

        Raises
        ------
        StoreError
            If the attributes are not of that form.
        """
        try:
            return cls(
                name=name,
                **{
                    **values,
                    "rate": Rate.parse(values["rate"]),
                    "phases": tuple((int(a), int(b)) for a, b in values["phases"]),
                    "calibrations": tuple(Calibration(**c) for c in values["calibrations"]),
                    "extent": (int(values["extent"][0]), int(values["extent"][1])),
                },
            )
        except (KeyError, TypeError) as error:
            msg = f"channel {name}: its attributes are not gravdask's ({error}); convert the archive again"
            raise StoreError(msg) from error


def load_channels(root: zarr.Group) -> dict[str, Channel]:
    """All channels of a store by name."""
    return {n: Channel.from_attributes(n, dict(root[f"{n}/raw"].attrs)["channel"]) for n in channel_names(root)}  # type: ignore[arg-type]


def physical(channel: Channel, numbers: NDArray[Any], start: int) -> Array:
    """Bring stored numbers to physical units.

    Parameters
    ----------
    channel
        The channel.
    numbers
        Stored numbers, shape (n,).
    start
        Sample index of the first.

    Returns
    -------
    values
        float64, NaN where a sample is missing or where none of several epochs covers it; nm s⁻², hPa, nm s⁻¹ or
        counts by the channel's quantity.
    """
    values = np.array(numbers, np.float64)
    if numbers.dtype.kind == "i":
        values[numbers == missing_value(numbers.dtype)] = np.nan
    if channel.decimals:
        values /= 10.0**channel.decimals
    if len(channel.calibrations) == 1:
        only = channel.calibrations[0]
        return np.asarray(values * only.factor + only.offset)
    if channel.calibrations:
        times = channel.times_ns(start, start + len(values))
        known = np.zeros(len(values), bool)
        for entry in channel.calibrations:
            inside = (times >= entry.start_ns) & (times < entry.end_ns)
            values[inside] = values[inside] * entry.factor + entry.offset
            known |= inside
        values[~known] = np.nan
    return values


@dataclass(frozen=True)
class RecordReader:
    """Reads a channel's record, and the residual gravity made from it.

    Attributes
    ----------
    store
        Folder of the store.
    channel, pressure
        The channel, and its station's air pressure if it has one.
    settings
        The ``[preprocess]`` section.
    admittance
        Pressure admittance [nm s⁻² hPa⁻¹].
    drift
        Straight drift [nm s⁻² per day], as estimated over the whole record.
    seams
        Whether to leave samples out where days with and without a pressure correction meet; not where every day is
        looked at by itself.
    """

    store: Path
    channel: Channel
    pressure: Channel | None
    settings: PreprocessConfig
    admittance: float
    drift: float = 0.0
    seams: bool = True

    def physical(self, start: int, stop: int) -> Array:
        """Samples ``[start, stop)`` in physical units, float64, NaN where missing; beyond the array all missing."""
        array = sub_array(open_root(self.store), f"{self.channel.name}/raw/record")
        return physical(self.channel, read_span(array, start, stop), start)

    def residual(self, start: int, stop: int) -> Array:
        """Residual gravity of the samples ``[start, stop)`` [nm s⁻²], NaN in gaps; channels in counts unchanged."""
        values = self.physical(start, stop)
        if self.channel.quantity != "acceleration" or not np.isfinite(values).any():
            return values
        # A seismometer's record holds neither tide nor air pressure: subtracting them would put them in.
        if self.channel.kind != "gravity":
            return values
        times = self.channel.times_ns(start, stop)
        if self.drift:
            values = values - self.drift * ((times - ORIGIN_NS) / DAY_NS)
        pressure, seams = (
            self._pressure_by_days(times) if self.settings.pressure else (None, np.zeros(len(times), bool))
        )
        cleaned = residual(
            values,
            times,
            factor=1.0,
            latitude=self.channel.latitude,
            longitude=self.channel.longitude,
            elevation=self.channel.elevation,
            pressure_hpa=pressure,
            tidal_factor=self.settings.tidal_factor,
            admittance=self.admittance,
            tide=self.settings.tide,
        ).values
        cleaned[seams] = np.nan
        return cleaned

    def _pressure_by_days(self, times_ns: NDArray[np.int64]) -> tuple[Array | None, NDArray[np.bool_]]:
        """Air pressure [hPa] for a correction that is made for whole UTC days or not at all.

        A day with pressure for less than nine tenths of its gravity goes uncorrected (the standard pressure stands in,
        of no effect). Whole days are judged, whatever part of them is asked for, so that a sample's value depends on
        neither chunk nor halo. Where a corrected day meets an uncorrected one, a few samples are marked to be left
        out: the step between them is no signal.
        """
        seams = np.zeros(len(times_ns), bool)
        if self.pressure is None:
            return None, seams
        first, last = int(times_ns[0]) // DAY_NS, int(times_ns[-1]) // DAY_NS
        beside = 1 if self.seams else 0
        corrected = {day: self._is_corrected(day) for day in range(first - beside, last + 1 + beside)}
        air = self.pressure_at(times_ns)
        if air is None:
            return None, seams
        for day in range(first, last + 1):
            if corrected[day] is False:
                start, stop = np.searchsorted(times_ns, [day * DAY_NS, (day + 1) * DAY_NS])
                air[start:stop] = normal_pressure(self.channel.elevation or 0.0)
        for day in range(first, last + 2) if self.seams else ():
            if {corrected[day - 1], corrected[day]} == {True, False}:
                midnight = int(np.searchsorted(times_ns, day * DAY_NS))
                seams[max(midnight - SEAM_SAMPLES // 2, 0) : midnight + SEAM_SAMPLES // 2] = True
        return air, seams

    def _is_corrected(self, day: int) -> bool | None:
        """Whether a UTC day (counted from 1970) has pressure enough; None if it has no gravity to correct."""
        gravity = self._valid_share(self.channel, day)
        if not gravity or self.pressure is None:
            return None
        return self._valid_share(self.pressure, day) >= LEAST_DAILY_PRESSURE * gravity

    def _valid_share(self, channel: Channel, day: int) -> float:
        """Share of the samples of a UTC day (counted from 1970) that a channel's record holds."""
        start, stop = day_span(channel.rate, day - ORIGIN_NS // DAY_NS, day + 1 - ORIGIN_NS // DAY_NS)
        numbers = read_span(sub_array(open_root(self.store), f"{channel.name}/raw/record"), start, stop)
        present = np.isfinite(numbers) if numbers.dtype.kind == "f" else numbers != missing_value(numbers.dtype)
        return float(present.mean())

    def pressure_at(self, times_ns: NDArray[np.int64]) -> Array | None:
        """Air pressure [hPa] at given times, short gaps bridged, NaN where it is missing; None without a barometer."""
        if self.pressure is None or not len(times_ns):
            return None
        grid = self.pressure.grid
        start, stop = grid.locate(int(times_ns[0]))[0] - 2, grid.locate(int(times_ns[-1]))[0] + 3
        values = replace(self, channel=self.pressure, pressure=None).physical(start, stop)
        bridge = round(PRESSURE_BRIDGE_NS / grid.rate.interval_ns)
        return pressure_at(
            times_ns, self.pressure.times_ns(start, stop), repair_pressure(values, bridge), PRESSURE_BRIDGE_NS
        )


def raw_chunks(channel: Channel, start: int, stop: int) -> range:
    """Chunks of the channel's record that hold the samples ``[start, stop)``."""
    chunk = record_blocks(channel.rate).chunk
    return range(max(start, 0) // chunk, -(-max(stop, 0) // chunk))

"""A channel's record in physical units, and the chain that makes residual gravity of it.

The chain of a record, each step on or off by its key in ``[preprocess]``: calibration table, operator's masks, spikes,
steps, decimation, response, drift, tide, pressure. All but the first three are linear and none but a shift in time
changes with time, so that those that only subtract a function of time (drift, tide, pressure) come last, at the rate
wanted, and the response is taken out after decimation, where its filter is a hundred times shorter. Steps that look at
neighbours state their halo, and `RecordReader.reach` their sum; a value never depends on the span asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from gravdask.config import PreprocessConfig
from gravdask.grid import DAY_NS, ORIGIN_NS, SECOND_NS, day_span, record_blocks
from gravdask.preprocess.chain import residual
from gravdask.preprocess.decimate import decimate_span, decimation, factor_between
from gravdask.preprocess.deconvolution import deconvolve, lengths_of
from gravdask.preprocess.deconvolution import reach as response_reach
from gravdask.preprocess.pressure import normal_pressure, pressure_at, repair_pressure
from gravdask.preprocess.spikes import halo_samples, mask_spikes
from gravdask.preprocess.steps import subtract_steps
from gravdask.stages.channel_attributes import (
    INTERNAL_UNITS,
    Calibration,
    Channel,
    feature_channel,
    removes_response,
    response_fault,
)
from gravdask.store.layout import channel_names, missing_value, open_root, read_span, sub_array

__all__ = [
    "INTERNAL_UNITS",
    "Calibration",
    "Channel",
    "RecordReader",
    "chain_of",
    "chunks_of",
    "feature_channel",
    "load_channels",
    "physical",
    "raw_chunks",
    "reach_of",
    "removes_response",
    "response_fault",
]

Array = NDArray[np.float64]
PRESSURE_BRIDGE_NS = 600 * SECOND_NS
"""Gaps in the air pressure up to this long are bridged by straight lines [ns]."""
LEAST_DAILY_PRESSURE = 0.9
"""Least share of a day's pressure with which the day is corrected for it."""
JUDGED_AT_ONCE = 3_000_000
"""Samples read at once to see how much of each day there is."""
SEAM_SAMPLES = 16
"""Samples left out where corrected days meet uncorrected ones: more than any transform bridges."""


def load_channels(root: zarr.Group) -> dict[str, Channel]:
    """All channels of a store by name.

    One that is not described yet is left out: a client is making it just now, or died while it did. Whoever converts it
    next describes it.
    """
    described: Any = ((name, dict(root[f"{name}/raw"].attrs).get("channel")) for name in channel_names(root))
    return {name: Channel.from_attributes(name, about) for name, about in described if about is not None}


def source_numbers(channel: Channel, numbers: NDArray[Any]) -> Array:
    """Bring stored numbers to those of the source, float64, NaN where missing, shape (n,)."""
    values = np.array(numbers, np.float64)
    if numbers.dtype.kind == "i":
        values[numbers == missing_value(numbers.dtype)] = np.nan
    if channel.decimals:
        values /= 10.0**channel.decimals
    return values


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
    values = source_numbers(channel, numbers)
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


def masks_spikes(channel: Channel, settings: PreprocessConfig) -> bool:
    """Whether wild samples are left out of a channel's features: gravimeters' only."""
    return settings.spikes and channel.kind == "gravity"


def chain_of(channel: Channel, settings: PreprocessConfig, features: bool = True) -> tuple[tuple[str, int], ...]:
    """Name the steps that a channel's record goes through, in their order, each with its halo.

    Returns
    -------
    steps
        Name, and samples on either side, at the rate at which the step works, that a value follows from. The response
        works on whole blocks of the absolute grid and reads at most one more.
    """
    gravity = channel.kind == "gravity" and channel.quantity == "acceleration"
    factor = factor_between(channel.record.rate, channel.rate)
    steps: list[tuple[str, int]] = []
    deconvolves = removes_response(channel, settings)
    if channel.calibrations and not deconvolves:
        steps.append(("calibrate", 0))
    if settings.masks and channel.masks:
        steps.append(("masks", 0))
    if features and masks_spikes(channel, settings):
        steps.append(("spikes", halo_samples(channel.record.rate.hz)))
    if features and settings.steps and gravity and channel.log_steps:
        steps.append(("steps", 0))
    if factor > 1:
        steps.append(("decimate", decimation(factor).halo))
    if deconvolves:
        steps.append(("response", lengths_of(channel.rate.hz, settings.band[0]).halo))
    if gravity:
        applies = {
            "drift": features and settings.drift,
            "tide": settings.tide and channel.located and not channel.tide_applied,
            "pressure": settings.pressure and bool(channel.pressure),
        }
        steps += [(name, 0) for name, applied in applies.items() if applied]
    return tuple(steps)


def reach_of(
    channel: Channel, settings: PreprocessConfig, features: bool = True
) -> Callable[[int, int], tuple[int, int]]:
    """Say which samples of the store the residual of the samples ``[start, stop)`` follows from.

    Parameters
    ----------
    channel
        The channel, or what `feature_channel` makes of it, whose samples are meant.
    settings
        The ``[preprocess]`` section.
    features
        Whether the residual is that of the features, in which spikes are looked for.

    Returns
    -------
    reach
        From a range of the channel's samples to a range of the samples in the store.
    """
    deconvolves = removes_response(channel, settings)
    factor = factor_between(channel.record.rate, channel.rate)
    beside = halo_samples(channel.record.rate.hz) if features and masks_spikes(channel, settings) else 0

    def reach(start: int, stop: int) -> tuple[int, int]:
        """Add up the halos of the steps, from the last one to the first."""
        if deconvolves:
            start, stop = response_reach(channel.rate.hz, settings.band, start, stop)
        if factor > 1:
            start, stop = decimation(factor).reach(start, stop)
        return start - beside, stop + beside

    return reach


@dataclass(frozen=True)
class RecordReader:
    """Reads a channel's record, and the residual gravity made from it.

    Attributes
    ----------
    store
        Place of the store.
    channel, pressure
        The channel, or a view of it (`feature_channel`) whose samples are then meant; its station's air pressure if it
        has one.
    settings
        The ``[preprocess]`` section.
    admittance
        Pressure admittance [nm s⁻² hPa⁻¹].
    drift
        Straight drift [nm s⁻² per day], as estimated over the whole record.
    seams
        True for features, False for noise, which looks at every day by itself and at gravity unrepaired: whether to
        leave samples out where days with and without a pressure correction meet, and spikes.
    steps
        (time [ns since 1970], size [nm s⁻²]) of steps to subtract.
    """

    store: Any
    channel: Channel
    pressure: Channel | None
    settings: PreprocessConfig
    admittance: float
    drift: float = 0.0
    seams: bool = True
    steps: tuple[tuple[int, float], ...] = ()

    def source(self, start: int, stop: int) -> Array:
        """Samples ``[start, stop)`` of the record in the source's own numbers, what the log masks left out."""
        recorded = self.channel.record
        array = sub_array(open_root(self.store), f"{recorded.name}/raw/record")
        return self._masked(source_numbers(recorded, read_span(array, start, stop)), start)

    def physical(self, start: int, stop: int) -> Array:
        """Samples ``[start, stop)`` of the record in physical units, float64, NaN where missing or masked by the log.

        Samples of the record itself, whatever the rate of a view; beyond the array all missing.
        """
        recorded = self.channel.record
        array = sub_array(open_root(self.store), f"{recorded.name}/raw/record")
        return self._masked(physical(recorded, read_span(array, start, stop), start), start)

    def _masked(self, values: Array, start: int) -> Array:
        """Leave out what the operator's log marks, in place."""
        if self.channel.masks and self.settings.masks and values.size:
            times = self.channel.record.times_ns(start, start + values.size)
            for first, last, _ in self.channel.masks:
                values[(times >= first) & (times < last)] = np.nan
        return values

    @property
    def _is_gravity(self) -> bool:
        """Whether tide, air, drift and steps are in the record: a seismometer's holds none of them."""
        return self.channel.kind == "gravity" and self.channel.quantity == "acceleration"

    @property
    def removes_response(self) -> bool:
        """Whether the response is taken out."""
        return removes_response(self.channel, self.settings)

    def reach(self, start: int, stop: int) -> tuple[int, int]:
        """Samples of the store that `residual` of ``[start, stop)`` follows from."""
        return reach_of(self.channel, self.settings, self.seams)(start, stop)

    def residual(self, start: int, stop: int) -> Array:
        """Residual gravity of the samples ``[start, stop)`` [nm s⁻²], NaN in gaps; channels in counts unchanged.

        Seismometers whose response is known are in acceleration within the band of the configuration.
        """
        values = self._ground(start, stop)
        if not self._is_gravity or not np.isfinite(values).any():
            return values
        return self._reduced(values, self.channel.times_ns(start, stop))

    def _ground(self, start: int, stop: int) -> Array:
        """Ground motion at the channel's rate: calibrated, cleaned, decimated, response taken out."""
        factor = factor_between(self.channel.record.rate, self.channel.rate)
        read = self._cleaned if factor == 1 else partial(decimate_span, decimation(factor), self._cleaned)
        if not self.removes_response:
            return read(start, stop)
        channel = self.channel
        return deconvolve(channel.responses, read, channel.times_ns, channel.rate.hz, self.settings.band, start, stop)

    def _cleaned(self, start: int, stop: int) -> Array:
        """Samples of the record calibrated, or in counts for a response to come, without spikes and steps."""
        if self.removes_response:
            return self.source(start, stop)
        if not (self.seams and masks_spikes(self.channel, self.settings)):
            return self._levelled(self.physical(start, stop), start)
        rate = self.channel.record.rate.hz
        beside = halo_samples(rate)
        values = self.physical(start - beside, stop + beside)
        values[mask_spikes(values, rate)] = np.nan
        return self._levelled(values[beside : values.size - beside], start)

    def _levelled(self, values: Array, start: int) -> Array:
        """Subtract the steps from a gravimeter's record."""
        if not (self.steps and self.settings.steps and self._is_gravity):
            return values
        return subtract_steps(values, self.channel.record.times_ns(start, start + values.size), self.steps)

    def _reduced(self, values: Array, times: NDArray[np.int64]) -> Array:
        """Subtract drift, tide and the effect of the air."""
        channel = self.channel
        if self.drift:
            values = values - self.drift * ((times - ORIGIN_NS) / DAY_NS)
        pressure, seams = (
            self._pressure_by_days(times) if self.settings.pressure else (None, np.zeros(len(times), bool))
        )
        reduced = partial(
            residual,
            factor=1.0,
            elevation=channel.elevation,
            pressure_hpa=pressure,
            tidal_factor=self.settings.tidal_factor,
            admittance=self.admittance,
            tide=self.settings.tide and not channel.tide_applied,
            tide_model=self.settings.tide_model,
        )
        cleaned = reduced(values, times, latitude=channel.latitude, longitude=channel.longitude).values
        for first, last, latitude, longitude, _ in channel.places:
            here = (times >= first) & (times < last)
            if here.any() and (latitude, longitude) != (channel.latitude, channel.longitude):
                moved = reduced(values, times, latitude=latitude, longitude=longitude).values
                cleaned[here] = moved[here]
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
        corrected = self._corrected(self.pressure, first - beside, last + beside)
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

    def _corrected(self, pressure: Channel, first: int, last: int) -> dict[int, bool | None]:
        """Whether the UTC days from one to another (counted from 1970) have pressure enough; None without gravity."""
        gravity, air = (self._valid_shares(c, first, last) for c in (self.channel.record, pressure))
        enough = zip(gravity, air, strict=True)
        return {first + n: a >= LEAST_DAILY_PRESSURE * g if g else None for n, (g, a) in enumerate(enough)}

    def _valid_shares(self, channel: Channel, first: int, last: int) -> list[float]:
        """Shares of the samples of UTC days (counted from 1970) that a channel's record holds."""
        daily, origin = channel.rate.samples_per_day, ORIGIN_NS // DAY_NS
        at_once = max(JUDGED_AT_ONCE // daily, 1)
        array = sub_array(open_root(self.store), f"{channel.name}/raw/record")
        shares: list[float] = []
        for day in range(first, last + 1, at_once):
            days = min(at_once, last + 1 - day)
            numbers = read_span(array, *day_span(channel.rate, day - origin, day + days - origin))
            present = np.isfinite(numbers) if numbers.dtype.kind == "f" else numbers != missing_value(numbers.dtype)
            shares += present.reshape(days, daily).mean(axis=1).tolist()
        return shares

    def pressure_at(self, times_ns: NDArray[np.int64]) -> Array | None:
        """Air pressure [hPa] at given times, short gaps bridged, NaN where it is missing; None without a barometer."""
        if self.pressure is None or not len(times_ns):
            return None
        grid = self.pressure.grid
        start, stop = grid.locate(int(times_ns[0]))[0] - 2, grid.locate(int(times_ns[-1]))[0] + 3
        values = replace(self, channel=self.pressure, pressure=None, steps=()).physical(start, stop)
        bridge = round(PRESSURE_BRIDGE_NS / grid.rate.interval_ns)
        return pressure_at(
            times_ns, self.pressure.times_ns(start, stop), repair_pressure(values, bridge), PRESSURE_BRIDGE_NS
        )


def raw_chunks(channel: Channel, start: int, stop: int) -> range:
    """Chunks of the channel's record that hold the samples ``[start, stop)``."""
    return chunks_of(record_blocks(channel.rate).chunk, start, stop)


def chunks_of(chunk: int, start: int, stop: int) -> range:
    """Chunks of a length that hold the samples ``[start, stop)``."""
    return range(start // chunk if start > 0 else 0, -(-stop // chunk) if stop > 0 else 0)

"""noise: daily spectra and noise magnitudes of every channel that is in acceleration.

A unit is one shard of days of one channel; its parts are UTC days. A channel that is not known to be in acceleration
is refused with the reason; its scattering features do not suffer from that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.config import NoiseConfig, PreprocessConfig, digest
from gravdask.errors import NotAccelerationError
from gravdask.grid import SPAN_DAYS, Blocks, day_at, day_blocks, day_span, record_blocks
from gravdask.noise.bands import Bands, octave_bands
from gravdask.noise.checks import require_acceleration
from gravdask.noise.day import day_noise
from gravdask.noise.magnitude import PERIODS
from gravdask.preprocess.deconvolution import resolved_band
from gravdask.preprocess.response import joined
from gravdask.stages.base import (
    VERSIONS,
    ChannelTasks,
    Context,
    Plan,
    Task,
    group_cells,
    known_units,
    make_task,
    unit_of,
)
from gravdask.stages.channels import (
    Channel,
    RecordReader,
    chunks_of,
    feature_channel,
    masks_spikes,
    raw_chunks,
    reach_of,
    removes_response,
    response_fault,
)
from gravdask.stages.scanning import examples
from gravdask.store.layout import create_array, open_root, put_table, read_span, sub_array, write_unit
from gravdask.store.ledger import Record

SERIES = ("snm", "ssnm", "rms", "valid_fraction")
QUANTITY_UNITS = {"acceleration": "nm/s2", "velocity": "nm/s", "pressure": "hPa", "counts": "counts"}
_ABOUT = {
    "snm": {"long_name": "seismic noise magnitude, 200-600 s", "units": "1"},
    "ssnm": {"long_name": "sub-seismic noise magnitude, 1-6 h", "units": "1"},
    "rms": {"long_name": "rms of the daily residual", "units": "nm s-2"},
    "valid_fraction": {"long_name": "share of valid samples in the day", "units": "1"},
}


def measured_channel(channel: Channel, settings: PreprocessConfig) -> Channel:
    """The channel as its noise is measured: a seismometer after removal of its response, others as recorded."""
    whole = channel.record
    return feature_channel(whole, settings) if removes_response(whole, settings) else whole


def refusal(channel: Channel, name: str = "", settings: PreprocessConfig | None = None) -> str:
    """Why a channel has no noise magnitudes, '' if it has; speaks of it by another name if one is given."""
    try:
        quantity = measured_channel(channel, settings or PreprocessConfig()).quantity
        require_acceleration(QUANTITY_UNITS[quantity], name or channel.name)
    except NotAccelerationError as error:
        return str(error)
    return ""


def plan(context: Context) -> Plan:
    """Find the days whose record, pressure or treatment changed."""
    channels: list[ChannelTasks] = []
    refused: dict[str, list[str]] = {}
    before = context.config.preprocess
    for recorded in context.signals():
        if reason := response_fault(recorded, before) or refusal(recorded, "such a channel", before):
            refused.setdefault(reason, []).append(recorded.name)
            continue
        channels.append(ChannelTasks(recorded.name, partial(_tasks, context, measured_channel(recorded, before))))
    return Plan.of(channels, [f"{examples(names)}: {reason}" for reason, names in refused.items()])


def _tasks(context: Context, channel: Channel) -> Iterator[Task | None]:
    """Compare the units of a channel with the ledger."""
    blocks = day_blocks(channel.rate)
    reader = context.reader(channel, estimated=False)
    settings = digest(VERSIONS["noise"], context.config.noise, treatment(reader))
    units = group_cells(day_cells(context, channel), partial(unit_of, blocks.shard))
    payload = {"reader": reader, "blocks": blocks, "noise": context.config.noise}
    inside = span_of_days(context)
    for unit in sorted(units.keys() | known_units(context, "noise", channel.name)):
        yield make_task(context, "noise", channel.name, unit, units.get(unit, {}), settings, payload, inside)


def treatment(reader: RecordReader) -> str:
    """Digest of everything besides the record that a residual follows from.

    What holds for a stretch of time only (masks, responses, steps, places) is in the digests of the parts; see
    `span_cells`. Steps of the chain that do not apply to the channel are left out: to switch them on or off changes
    nothing.
    """
    settings = reader.settings.model_dump(mode="json", include=set(_ALWAYS))
    if reader.seams and masks_spikes(reader.channel, reader.settings):
        settings["spikes"] = True
    if reader.settings.tide_model != "builtin":
        settings["tide_model"] = reader.settings.tide_model
    if reader.removes_response:
        settings["band"] = list(reader.settings.band)
    air = identity(reader.pressure) if reader.pressure is not None else None
    return digest(settings, reader.admittance, reader.drift, identity(reader.channel), air)


ALWAYS_NS = np.iinfo(np.int64).max
"""End of what goes on for ever [ns since 1970]."""
_ALWAYS = ("tide", "tidal_factor", "drift", "pressure", "admittance")
_TIMED = ("extent", "masks", "responses", "log_steps", "places", "velocity_limit")


def identity(channel: Channel) -> dict[str, Any]:
    """Attributes of a channel that change its whole physical record; neither its extent nor what changes with time."""
    values = {k: v for k, v in channel.to_attributes().items() if k not in _TIMED}
    if len(channel.calibrations) > 1:
        del values["calibrations"]
    if channel.recorded is not None:
        values["recorded"] = str(channel.recorded.rate)
    return values


def _timed(context: Context, channel: Channel, features: bool) -> Callable[[int, int], list[Any]]:
    """Say what is known of single times and touches a range of samples of the store; nothing for most channels."""
    settings, recorded = context.config.preprocess, channel.record
    known: list[tuple[int, int, Any]] = []
    if settings.masks:
        known += [(a, b, "mask") for a, b, _ in channel.masks]
    if removes_response(channel, settings):
        known += [(e.start_ns, e.end_ns, replace(e, start_ns=0, end_ns=0).to_dict()) for e in joined(channel.responses)]
    for source in (channel, context.channels.get(channel.pressure)):
        # One calibration alone holds for the whole record, and is a part of the identity.
        table = source.calibrations if source is not None and len(source.calibrations) > 1 else ()
        known += [(c.start_ns, c.end_ns, [c.factor, c.offset, source is channel]) for c in table]
    if settings.tide and channel.kind == "gravity":
        known += [(a, b, place) for a, b, *place in channel.places]
    if features and settings.steps:
        known += [(when, ALWAYS_NS, size) for when, size in context.reader(channel).steps]

    def touching(low: int, high: int) -> list[Any]:
        """Whatever overlaps the samples ``[low, high)``, cut to them: an epoch that ends later changes nothing here."""
        if not known or high <= low:
            return []
        first, last = (int(recorded.times_ns(k, k + 1)[0]) for k in (low, high - 1))
        return [[max(a, first), min(b, last + 1), what] for a, b, what in known if a <= last and b > first]

    return touching


def day_cells(context: Context, channel: Channel) -> dict[int, str]:
    """Digest of the record and pressure of every UTC day that holds a sample."""
    daily = channel.rate.samples_per_day
    return span_cells(context, channel, _days_of(context, channel), lambda day: (day * daily, (day + 1) * daily))


def span_of_days(context: Context) -> Callable[[int], bool]:
    """Whether a UTC day lies in the configured span of time, any part of it."""
    first_ns, last_ns = context.config.archive.span_ns()
    first = -1 if first_ns is None else day_at(first_ns)
    last = SPAN_DAYS if last_ns is None else day_at(last_ns - 1) + 1
    return lambda day: first <= day < last


def _days_of(context: Context, channel: Channel) -> list[int]:
    """UTC days that any finished chunk of the channel's record holds a part of."""
    channel = channel.record
    daily = channel.rate.samples_per_day
    chunk = record_blocks(channel.rate).chunk
    low, high = channel.extent[0] // daily, -(-channel.extent[1] // daily)
    days: set[int] = set()
    for number in context.record_content(channel):
        days.update(range(max(number * chunk // daily, low), min(-(-(number + 1) * chunk // daily), high)))
    return sorted(days)


def span_cells(
    context: Context, channel: Channel, parts: list[int], span: Callable[[int], tuple[int, int]], beside: int = 0
) -> dict[int, str]:
    """Digest, for each part, of the chunks of record and pressure that its samples ``span(part)`` follow from.

    Where there is pressure, whole days are judged by how much of it they have, and so many days beside them. Days
    beside are a matter of the features, whose treatment looks farther.
    """
    recorded, settings = channel.record, context.config.preprocess
    daily = recorded.rate.samples_per_day
    record = context.record_content(channel)
    pressure = context.channels.get(channel.pressure)
    air = context.record_content(pressure) if pressure is not None else {}
    reach, timed = reach_of(channel, settings, beside > 0), _timed(context, channel, beside > 0)
    chunk = record_blocks(recorded.rate).chunk
    cells: dict[int, str] = {}
    before: tuple[Any, ...] = ()
    made = ""
    for part in parts:
        start, stop = reach(*span(part))
        if pressure is not None and beside:
            start, stop = (start // daily - beside) * daily, (-(-stop // daily) + beside) * daily
        mine, near, more = chunks_of(chunk, start, stop), range(0), timed(start, stop)
        if pressure is not None and channel.quantity == "acceleration":
            ratio = pressure.rate.hz / recorded.rate.hz
            near = raw_chunks(pressure, int(start * ratio) - 3, int(stop * ratio) + 4)
        if (mine, near, more) != before:  # a chunk holds many days of slow records
            before = mine, near, more
            made = digest([record.get(c, "") for c in mine] + [air.get(c, "") for c in near] + more)
        cells[part] = made
    return cells


def work(task: Task) -> Record:
    """Measure the stale days of one unit.

    A unit beyond the array is one of another rate, at which the channel was measured before; nothing of it is left.
    """
    begun = time.monotonic()
    reader: RecordReader = task.payload["reader"]
    blocks: Blocks = task.payload["blocks"]
    root = open_root(reader.store, write=True)
    arrays = {n: sub_array(root, f"{task.channel}/noise/{n}") for n in (*SERIES, "psd")}
    start, stop = blocks.unit_span(task.unit)
    if not task.cells and start >= blocks.length:
        return task.record("empty", info={"settings": task.payload["settings"], "days": 0})
    if task.payload["fresh"]:
        values = {n: np.full((blocks.shard, *a.shape[1:]), np.nan, np.float32) for n, a in arrays.items()}
    else:
        values = {n: read_span(a, start, stop) for n, a in arrays.items()}
    for day in task.stale:
        for name, number in _day(reader, day, task.payload["noise"], str(day) in task.cells).items():
            values[name][day - start] = _storable(number)
    sizes = {name: write_unit(array, start, values[name]) for name, array in arrays.items()}
    measured = int(np.isfinite(values["snm"]).sum())
    info = {"settings": task.payload["settings"], "days": measured, "bytes": sizes["snm"]}
    return task.record("done" if task.cells else "empty", info=info, seconds=time.monotonic() - begun)


def _storable(values: Any) -> NDArray[np.float32]:  # noqa: ANN401
    """Values as they are kept; what overflows the kept type, after a spike of 1e30 say, is missing."""
    with np.errstate(over="ignore"):
        kept = np.asarray(values, np.float32)
    return np.where(np.isinf(kept), np.float32(np.nan), kept)


def _day(reader: RecordReader, day: int, settings: NoiseConfig, present: bool) -> dict[str, Any]:
    """Values of one UTC day; all missing where the day holds nothing any more."""
    if not present:
        return dict.fromkeys((*SERIES, "psd"), np.nan)
    start, stop = day_span(reader.channel.rate, day, day + 1)
    bands = octave_bands(reader.channel.rate.hz)
    result = day_noise(
        reader.residual(start, stop),
        reader.channel.rate.hz,
        min_valid=settings.min_valid,
        bands=bands,
        degree=settings.degree,
        sided=settings.sided,
    )
    found = {
        "snm": result.snm,
        "ssnm": result.ssnm,
        "rms": result.rms,
        "valid_fraction": result.valid_fraction,
        "psd": result.psd,
    }
    return _within(found, bands, _resolved(reader, start, stop)) if reader.removes_response else found


def _resolved(reader: RecordReader, start: int, stop: int) -> tuple[float, float]:
    """Frequencies [Hz] that all responses of a stretch of samples resolve."""
    channel = reader.channel
    first, last = (int(t) for t in channel.times_ns(start, stop)[[0, -1]])
    low, high = 0.0, channel.rate.hz
    for epoch in channel.responses:
        if epoch.start_ns <= last and epoch.end_ns > first:
            lower, upper = resolved_band(epoch, channel.rate.hz, reader.settings.band)
            low, high = max(low, lower), min(high, upper)
    return low, high


def _within(found: dict[str, Any], bands: Bands, resolved: tuple[float, float]) -> dict[str, Any]:
    """Leave out what a seismometer does not tell: magnitudes and bands beyond what its response resolves."""
    low, high = resolved
    for name, (shortest, longest) in (("snm", PERIODS["SNM"]), ("ssnm", PERIODS["SSNM"])):
        if low > 1.0001 / longest or high < 1 / shortest:
            found[name] = np.nan
    beyond = (bands.edges[:-1] < low) | (bands.edges[1:] > high)
    return {**found, "psd": np.where(beyond, np.nan, found["psd"])}


def prepare(context: Context, tasks: list[Task]) -> None:
    """Make the arrays of the channels that the tasks write to; by the client, so that workers never race for it."""
    root = context.root(create=True)
    for name in sorted({t.channel for t in tasks}):
        channel = measured_channel(context.channels[name], context.config.preprocess)
        blocks, bands = day_blocks(channel.rate), octave_bands(channel.rate.hz)
        group = root.require_group(f"{name}/noise")
        for series in SERIES:
            create_array(group, series, blocks, ("day",), "float32", attributes=dict(_ABOUT[series]))
        about = {"long_name": "power spectral density, 1/24-octave means", "units": "(nm s-2)2 Hz-1"}
        tail = (len(bands.centre),)
        create_array(group, "psd", blocks, ("day", "frequency"), "float32", tail=tail, attributes=about)
        put_table(group, "frequency", np.asarray(bands.centre, np.float64), ("frequency",), units="Hz")
        put_table(group, "frequency_edge", np.asarray(bands.edges, np.float64), ("frequency_edge",), units="Hz")


def daily_series(context: Context, channel: Channel) -> dict[str, NDArray[Any]]:
    """Day numbers and noise values of a channel from its first to its last measured day; empty without any."""
    units = [r.unit for r in context.ledger.of_stage("noise", channel.name) if r.finished and r.cells]
    if not units:
        return {}
    blocks = day_blocks(measured_channel(channel, context.config.preprocess).rate)
    start, stop = blocks.unit_span(min(units))[0], blocks.unit_span(max(units))[1]
    root = context.root()
    series = {n: read_span(sub_array(root, f"{channel.name}/noise/{n}"), start, stop) for n in SERIES}
    present = np.flatnonzero(np.isfinite(series["valid_fraction"]))
    if not present.size:
        return {}
    part = slice(present[0], present[-1] + 1)
    return {"day": np.arange(start, stop)[part], **{n: v[part] for n, v in series.items()}}

"""noise: daily spectra and noise magnitudes of every channel that is in acceleration.

A unit is one shard of days of one channel; its parts are UTC days. A channel that is not known to be in acceleration
is refused with the reason; its scattering features do not suffer from that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.config import NoiseConfig, digest
from gravdask.errors import NotAccelerationError
from gravdask.grid import SPAN_DAYS, Blocks, Rate, day_at, day_blocks, day_span, record_blocks
from gravdask.noise.bands import octave_bands
from gravdask.noise.checks import require_acceleration
from gravdask.noise.day import day_noise
from gravdask.stages.base import VERSIONS, Context, Plan, Task, group_cells, known_units, make_task, unit_of
from gravdask.stages.channels import Channel, RecordReader, raw_chunks
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


def refusal(channel: Channel, name: str = "") -> str:
    """Why a channel has no noise magnitudes, '' if it has; speaks of it by another name if one is given."""
    try:
        require_acceleration(QUANTITY_UNITS[channel.quantity], name or channel.name)
    except NotAccelerationError as error:
        return str(error)
    return ""


def plan(context: Context) -> Plan:
    """Find the days whose record, pressure or treatment changed."""
    made: list[Task | None] = []
    refused: dict[str, list[str]] = {}
    for channel in context.signals():
        if reason := refusal(channel, "such a channel"):
            refused.setdefault(reason, []).append(channel.name)
            continue
        blocks = day_blocks(channel.rate)
        settings = digest(VERSIONS["noise"], context.config.noise, treatment(context.reader(channel, estimated=False)))
        cells = day_cells(context, channel)
        units = group_cells(cells, partial(unit_of, blocks.shard))
        for unit in sorted(units.keys() | known_units(context, "noise", channel.name)):
            payload = {
                "reader": context.reader(channel, estimated=False),
                "blocks": blocks,
                "noise": context.config.noise,
            }
            mine = units.get(unit, {})
            made.append(make_task(context, "noise", channel.name, unit, mine, settings, payload, span_of_days(context)))
    return Plan.of(made, [f"{_few(names)}: {reason}" for reason, names in refused.items()])


def _few(names: list[str]) -> str:
    """First names of a list, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def treatment(reader: RecordReader) -> str:
    """Digest of everything besides the record that a residual follows from."""
    air = identity(reader.pressure) if reader.pressure is not None else None
    return digest(reader.settings, reader.admittance, reader.drift, identity(reader.channel), air)


def identity(channel: Channel) -> dict[str, Any]:
    """Attributes of a channel that change its physical record; its extent does not."""
    values = channel.to_attributes()
    del values["extent"]
    return values


def day_cells(context: Context, channel: Channel) -> dict[int, str]:
    """Digest of the record and pressure of every UTC day that holds a sample."""
    return span_cells(context, channel, _days_of(context, channel), partial(_one_day, channel.rate))


def span_of_days(context: Context) -> Callable[[int], bool]:
    """Whether a UTC day lies in the configured span of time, any part of it."""
    first_ns, last_ns = context.config.archive.span_ns()
    first = -1 if first_ns is None else day_at(first_ns)
    last = SPAN_DAYS if last_ns is None else day_at(last_ns - 1) + 1
    return lambda day: first <= day < last


def _one_day(rate: Rate, day: int) -> tuple[int, int]:
    """Samples of one day."""
    return day_span(rate, day, day + 1)


def _days_of(context: Context, channel: Channel) -> list[int]:
    """UTC days that any finished chunk of the channel's record holds a part of."""
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

    Where there is pressure, whole days are judged by how much of it they have, and so many days beside them.
    """
    daily = channel.rate.samples_per_day
    record = context.record_content(channel)
    pressure = context.channels.get(channel.pressure)
    air = context.record_content(pressure) if pressure is not None else {}
    cells = {}
    for part in parts:
        start, stop = span(part)
        if pressure is not None and beside:
            start, stop = (start // daily - beside) * daily, (-(-stop // daily) + beside) * daily
        content = [record.get(c, "") for c in raw_chunks(channel, start, stop)]
        if pressure is not None and channel.quantity == "acceleration":
            ratio = pressure.rate.hz / channel.rate.hz
            near = raw_chunks(pressure, int(start * ratio) - 3, int(stop * ratio) + 4)
            content += [air.get(c, "") for c in near]
        cells[part] = digest(content)
    return cells


def work(task: Task) -> Record:
    """Measure the stale days of one unit."""
    begun = time.monotonic()
    reader: RecordReader = task.payload["reader"]
    blocks: Blocks = task.payload["blocks"]
    root = open_root(reader.store, create=True)
    arrays = {n: sub_array(root, f"{task.channel}/noise/{n}") for n in (*SERIES, "psd")}
    start, stop = blocks.unit_span(task.unit)
    if task.payload["fresh"]:
        values = {n: np.full((blocks.shard, *a.shape[1:]), np.nan, np.float32) for n, a in arrays.items()}
    else:
        values = {n: read_span(a, start, stop) for n, a in arrays.items()}
    for day in task.stale:
        for name, number in _day(reader, day, task.payload["noise"], str(day) in task.cells).items():
            values[name][day - start] = _storable(number)
    for name, array in arrays.items():
        write_unit(array, start, values[name])
    measured = int(np.isfinite(values["snm"]).sum())
    info = {"settings": task.payload["settings"], "days": measured}
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
    result = day_noise(
        reader.residual(start, stop),
        reader.channel.rate.hz,
        min_valid=settings.min_valid,
        degree=settings.degree,
        sided=settings.sided,
    )
    return {
        "snm": result.snm,
        "ssnm": result.ssnm,
        "rms": result.rms,
        "valid_fraction": result.valid_fraction,
        "psd": result.psd,
    }


def prepare(context: Context, tasks: list[Task]) -> None:
    """Make the arrays of the channels that the tasks write to; by the client, so that workers never race for it."""
    root = context.root(create=True)
    for name in sorted({t.channel for t in tasks}):
        channel = context.channels[name]
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
    units = [r.unit for r in context.ledger.of_stage("noise") if r.channel == channel.name and r.finished and r.cells]
    if not units:
        return {}
    blocks = day_blocks(channel.rate)
    start, stop = blocks.unit_span(min(units))[0], blocks.unit_span(max(units))[1]
    root = context.root()
    series = {n: read_span(sub_array(root, f"{channel.name}/noise/{n}"), start, stop) for n in SERIES}
    present = np.flatnonzero(np.isfinite(series["valid_fraction"]))
    if not present.size:
        return {}
    part = slice(present[0], present[-1] + 1)
    return {"day": np.arange(start, stop)[part], **{n: v[part] for n, v in series.items()}}

"""What the report shows of the preprocessing: each gravimeter's record at its stages, thinned to what a figure shows.

Memory and time are bounded whatever the length of a record: some days of it are read, spread evenly, and a few
consecutive ones are looked at closely.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gravdask.execution import Failure, guarded
from gravdask.grid import DAY_NS, ORIGIN_NS, day_at, day_span
from gravdask.preprocess.pressure import pressure_effect
from gravdask.preprocess.spikes import halo_samples, mask_spikes
from gravdask.preprocess.steps import subtract_steps
from gravdask.report.preprocessing import MOST_CHANNELS, STAGES, Curves, Monthly, Preprocessed
from gravdask.stages.base import Context
from gravdask.stages.calibrate import MONTHLY, estimate_of, theoretical_tide
from gravdask.stages.channels import Channel, RecordReader

Array = NDArray[np.float64]

DAYS_SHOWN = 150
"""Days of a record that are read for the figure of all of it."""
CELLS = 12
"""Points of each of them."""
MOST_PER_CELL = 7200
"""Samples of a point that are looked through for wild ones, at most: two hours at 1 Hz."""
USED_PER_CELL = 720
"""Samples of them, evenly spaced, of which the median is shown."""
DETAIL_NS = 3 * DAY_NS
"""Length of what is shown closely [ns]."""
MOST_DETAIL = 300_000
"""Samples of it at most."""
POINTS = 1500
"""Points of the close figure."""


def gravimeters(context: Context) -> list[Channel]:
    """The first gravimeters of the run, as many as are shown."""
    found = [c for c in context.signals() if c.kind == "gravity" and c.quantity == "acceleration"]
    return found[:MOST_CHANNELS]


def preprocessed(context: Context) -> list[Preprocessed]:
    """What was done to the gravimeters' records; channels without a sample are left out.

    So is, and told, one whose record cannot be read: its units are quarantined already, and no figure ends a run.
    """
    found = []
    for channel in gravimeters(context):
        made = guarded(partial(_preprocessed, context), channel)
        if isinstance(made, Failure):
            context.progress.say(f"note: {channel.name}: no figure of its preprocessing: {made.reason}")
        elif made is not None:
            found.append(made)
    return found


def monthly(context: Context) -> list[Monthly]:
    """Tidal factor and admittance of the gravimeters month by month, as the ledger holds them."""
    found = []
    for channel in gravimeters(context):
        table = estimate_of(context, channel).get("months", {})
        if table.get("month"):
            starts = np.array(table["month"], "datetime64[M]").astype("datetime64[ns]").astype(np.int64)
            columns = {q: np.array([np.nan if v is None else v for v in table[q]], np.float64) for q in MONTHLY}
            found.append(Monthly(channel.name, starts, **columns))
    return found


def _preprocessed(context: Context, channel: Channel) -> Preprocessed | None:
    """What was done to one gravimeter's record, None if it holds no sample."""
    reader = context.reader(channel)
    known = estimate_of(context, channel)
    whole = _whole(reader)
    if not np.isfinite(whole.stages["record"]).any():
        return None
    suspected = [(int(s[0]), float(s[1])) for s in known.get("suspected_steps", ())]
    middle = _interesting(whole, [*reader.steps, *suspected])
    return Preprocessed(
        channel=channel.name,
        whole=whole,
        detail=_detail(reader, middle),
        words=_words(reader),
        masks=tuple(channel.masks) if reader.settings.masks else (),
        steps=reader.steps,
        suspected=suspected,
    )


def _interesting(whole: Curves, steps: list[tuple[int, float]]) -> int:
    """Time of what is worth a closer look [ns]: the largest step, else wild samples, else the middle of the record."""
    inside = [s for s in steps if whole.times_ns[0] <= s[0] <= whole.times_ns[-1]]
    if inside:
        return max(inside, key=lambda step: abs(step[1]))[0]
    if whole.spike_ns.size:
        return int(whole.spike_ns[whole.spike_ns.size // 2])
    present = whole.times_ns[np.isfinite(list(whole.stages.values())[-1])]
    return int(present[present.size // 2]) if present.size else int(whole.times_ns[whole.times_ns.size // 2])


def _takes_tide(reader: RecordReader) -> bool:
    """Whether the tide is taken off the channel."""
    return reader.settings.tide and not reader.channel.tide_applied and reader.channel.located


def _words(reader: RecordReader) -> dict[str, str]:
    """What is taken off at each stage that applies, in words, in the order of the chain."""
    settings, channel = reader.settings, reader.channel
    words = {"record": "record as calibrated"}
    drifting = [f"a drift of {reader.drift:.0f} nm s⁻² a day"] if reader.drift else []
    if reader.steps:
        drifting.append("one step" if len(reader.steps) == 1 else f"{len(reader.steps)} steps")
    if drifting:
        words["drift"] = f"without {' and '.join(drifting)}"
    if _takes_tide(reader):
        source = ", by pygtide" if settings.tide_model == "pygtide" else ""
        words["tide"] = f"without the tide ({settings.tidal_factor:.3g} times that of a rigid Earth{source})"
    if settings.pressure and reader.pressure is not None:
        words["pressure"] = f"without the effect of the air ({reader.admittance:.2f} nm s⁻² hPa⁻¹)"
    last = list(words)[-1]
    words[last] += ": residual gravity"
    if channel.tide_applied:
        words["record"] += ", its tide taken off already"
    return words


def _whole(reader: RecordReader) -> Curves:
    """All of a record, by medians over two hours of some of its days."""
    channel = reader.channel
    first, last = (day_at(int(channel.times_ns(k, k + 1)[0])) for k in (channel.extent[0], channel.extent[1] - 1))
    days = np.unique(np.linspace(first, last, min(last - first + 1, DAYS_SHOWN)).round().astype(np.int64))
    times, stages, spikes = [], [], []
    for day in days:
        start, stop = day_span(channel.rate, int(day), int(day) + 1)
        day_times, values, wild = _one_day(reader, max(start, channel.extent[0]), min(stop, channel.extent[1]))
        times.append(day_times)
        stages.append(values)
        spikes.append(wild)
    joined = np.concatenate(stages, axis=1)
    curves = {name: joined[STAGES.index(name)] for name in _words(reader)}
    wild_times, wild_values = np.concatenate(spikes, axis=1)
    return Curves(np.concatenate(times), curves, wild_times.astype(np.int64), wild_values)


def _one_day(reader: RecordReader, start: int, stop: int) -> tuple[NDArray[np.int64], Array, Array]:
    """Medians over the cells of a day: times, the four stages, and the wild samples (times and values)."""
    cell = max(reader.channel.rate.samples_per_day // CELLS, 1)
    edges = range(start, stop, cell)
    stride = max(min(cell, MOST_PER_CELL) // USED_PER_CELL, 1)
    if stop - start <= CELLS * MOST_PER_CELL:
        pieces = [_stages(reader, start, stop, stride)]
    else:
        pieces = [_stages(reader, k, min(k + min(cell, MOST_PER_CELL), stop), stride) for k in edges]
    points, times = [], []
    for piece_times, stages, _ in pieces:
        for k in range(0, piece_times.size, cell // stride):
            part, when = stages[:, k : k + cell // stride], piece_times[k : k + cell // stride]
            known = np.isfinite(part).any(axis=1)
            point = np.full(len(STAGES), np.nan)
            point[known] = np.nanmedian(part[known], axis=1)
            points.append(point)
            times.append(int(when[0] + (when[-1] - when[0]) // 2))
    wild = np.concatenate([w for _, _, w in pieces], axis=1)
    return np.array(times, np.int64), np.stack(points, axis=1), wild


def _stages(reader: RecordReader, start: int, stop: int, stride: int) -> tuple[NDArray[np.int64], Array, Array]:
    """Some samples of a stretch, a stride apart: times, the four stages, and all wild samples (times and values)."""
    channel = reader.channel
    record, spikes = _cleaned(reader, start, stop)
    times = channel.times_ns(start, stop)
    wild = np.stack([times[spikes].astype(np.float64), record[spikes]])
    record[spikes] = np.nan
    record, times = record[::stride], times[::stride]
    level = record - reader.drift * ((times - ORIGIN_NS) / DAY_NS)
    if reader.steps:
        level = subtract_steps(level, times, reader.steps)
    tideless = level
    if _takes_tide(reader):
        theory = theoretical_tide(channel, times, reader.settings.tide_model)
        tideless = level - reader.settings.tidal_factor * theory
    airless = tideless
    air = reader.pressure_at(times) if reader.settings.pressure else None
    if air is not None:
        airless = tideless - pressure_effect(air, channel.elevation or 0.0, reader.admittance)
    return times, np.stack([record, level, tideless, airless]), wild


def _cleaned(reader: RecordReader, start: int, stop: int) -> tuple[Array, NDArray[np.bool_]]:
    """Calibrated samples, and which of them are wild."""
    rate = reader.channel.rate.hz
    beside = halo_samples(rate) if reader.settings.spikes else 0
    values = reader.physical(start - beside, stop + beside)
    spikes = mask_spikes(values, rate) if beside else np.zeros(values.size, bool)
    inner = slice(beside, values.size - beside)
    return values[inner], spikes[inner]


def _detail(reader: RecordReader, middle_ns: int) -> Curves:
    """Some days of a record around a time, by the chain itself, thinned by medians."""
    channel = reader.channel
    length = min(int(DETAIL_NS / channel.rate.interval_ns), MOST_DETAIL, channel.extent[1] - channel.extent[0])
    middle = channel.grid.locate(middle_ns)[0]
    start = max(min(middle - length // 2, channel.extent[1] - length), channel.extent[0])
    stop = start + length
    record, spikes = _cleaned(reader, start, stop)
    times = channel.times_ns(start, stop)
    wild_times, wild = times[spikes], record[spikes]
    record[spikes] = np.nan
    readers = _only(reader)
    stages = {name: readers[name].residual(start, stop) if name in readers else record for name in _words(reader)}
    step = max(length // POINTS, 1)
    thin = {name: _thinned(values, step) for name, values in stages.items()}
    return Curves(times[: length // step * step : step] + (times[step - 1] - times[0]) // 2, thin, wild_times, wild)


def _only(reader: RecordReader) -> dict[str, RecordReader]:
    """Readers of which the residual is that of each stage: all that comes after it is left away."""
    airy = reader.settings.model_copy(update={"pressure": False})
    bare = airy.model_copy(update={"tide": False})
    return {"drift": replace(reader, settings=bare), "tide": replace(reader, settings=airy), "pressure": reader}


def _thinned(values: Array, step: int) -> Array:
    """Medians of so many samples each, NaN where more than half of them are missing."""
    rows = values[: values.size // step * step].reshape(-1, step)
    enough = np.isfinite(rows).sum(axis=1) * 2 >= step
    thin = np.full(len(rows), np.nan)
    thin[enough] = np.nanmedian(rows[enough], axis=1)
    return thin

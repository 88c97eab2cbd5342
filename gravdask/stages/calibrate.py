"""calibrate: what is estimated from much data - tidal factor, pressure admittance and drift of each gravimeter.

A unit sums normal equations over one shard of days; the sums of all units merge to one estimate a channel, stored
under ``preprocess`` and in the ledger. The first estimate stays until a refit is asked for: later stages read it, and
a new day must not change what an old frame was made from.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import partial

import numpy as np

from gravdask.config import digest
from gravdask.grid import Blocks, day_blocks, day_span
from gravdask.preprocess.admittance import Admittance
from gravdask.preprocess.tides import tide
from gravdask.stages.base import VERSIONS, Context, Plan, Task, group_cells, known_units, make_task, unit_of
from gravdask.stages.channels import Channel, RecordReader
from gravdask.stages.noise import day_cells, identity, span_of_days
from gravdask.store.layout import open_root
from gravdask.store.ledger import Record

TOTAL = -1
"""Number of the record that holds a channel's estimate, beside those of its units."""
DAYS_AT_ONCE = 32
LEAST_SAMPLES_PER_HOUR = 4
TIDAL_FACTORS = (1.0, 1.35)
"""Amplitude factors that a gravimeter's tide can have."""


def plan(context: Context) -> Plan:
    """Find the units whose record changed, of located gravimeters sampled often enough."""
    made: list[Task | None] = []
    for channel in context.signals():
        if not (channel.kind == "gravity" and channel.quantity == "acceleration" and channel.located):
            continue
        if channel.rate.hz * 3600 < LEAST_SAMPLES_PER_HOUR:
            continue
        blocks = day_blocks(channel.rate)
        settings = digest(VERSIONS["calibrate"], identity(channel))
        units = group_cells(day_cells(context, channel), partial(unit_of, blocks.shard))
        for unit in sorted(units.keys() | known_units(context, "calibrate", channel.name)):
            payload = {"reader": context.reader(channel), "blocks": blocks}
            mine = units.get(unit, {})
            made.append(
                make_task(context, "calibrate", channel.name, unit, mine, settings, payload, span_of_days(context))
            )
    return Plan.of(made)


def work(task: Task) -> Record:
    """Sum the normal equations of one unit's days, in their order."""
    begun = time.monotonic()
    reader: RecordReader = task.payload["reader"]
    blocks: Blocks = task.payload["blocks"]
    first = blocks.unit_span(task.unit)[0]
    days = np.array(sorted(int(d) for d in task.cells), np.int64)
    total = Admittance.zero()
    # Groups on the absolute grid of days, so that the sum has the same order in every run.
    for group in np.unique((days - first) // DAYS_AT_ONCE):
        mine = days[(days - first) // DAYS_AT_ONCE == group]
        total = total + _block(reader, int(mine[0]), int(mine[-1]) + 1)
    info = {"settings": task.payload["settings"], "sums": total.to_dict()}
    return task.record("done" if task.cells else "empty", info=info, seconds=time.monotonic() - begun)


def _block(reader: RecordReader, first_day: int, last_day: int) -> Admittance:
    """Sums over consecutive days."""
    channel = reader.channel
    start, stop = day_span(channel.rate, first_day, last_day)
    gravity = reader.physical(start, stop)
    times = channel.times_ns(start, stop)
    theory = tide(times, float(channel.latitude or 0), float(channel.longitude or 0), channel.elevation or 0.0)
    return Admittance.from_block(gravity, times, theory, reader.pressure_at(times))


def finish(context: Context, records: list[Record]) -> list[str]:
    """Merge the units' sums to one estimate a channel and keep it, unless an earlier one stands.

    Channels with fewer days than the fit asks for wait for more. Gives a note on every gravimeter whose tide has not
    the size that a tide has: its clock, its scale or its coordinates are likely to be wrong.
    """
    del records
    notes = []
    root = open_root(context.store, create=True)
    for name in sorted({r.channel for r in context.ledger.of_stage("calibrate")}):
        frozen = context.ledger.get("calibrate", name, TOTAL)
        if frozen is not None and context.config.fit.refit == "never":
            continue
        total = Admittance.zero()
        units = [r for r in context.ledger.of_stage("calibrate") if r.channel == name and r.unit >= 0 and r.finished]
        for record in units:
            if record.cells:
                total = total + Admittance.from_dict(record.info["sums"])
        result = total.finalize()
        days = sum(len(r.cells) for r in units)
        if result.days < context.config.fit.min_days:
            if days >= context.config.fit.min_days:
                notes.append(
                    f"{name}: on {days - result.days} of {days} days the record moves from hour to hour far more than "
                    "tide and drift can; check its unit and scale"
                )
            continue
        estimate = {k: v if np.isfinite(v) else None for k, v in asdict(result).items()}
        fingerprint = digest([r.fingerprint for r in units])
        group = root.require_group(f"{name}/preprocess")
        group.attrs.put({"estimate": estimate, "fingerprint": fingerprint, "units": "nm s-2, hPa, days"})
        context.ledger.add(Record("calibrate", name, TOTAL, fingerprint, "done", info=estimate))
        if not TIDAL_FACTORS[0] <= result.tidal_factor <= TIDAL_FACTORS[1]:
            notes.append(
                f"{name}: its tide is {result.tidal_factor:.3f} ± {result.tidal_factor_error:.3f} times that of a "
                f"rigid Earth, expected {TIDAL_FACTORS[0]} to {TIDAL_FACTORS[1]}; check clock, unit, sign and "
                "coordinates, or set preprocess.tide = false if the tide was taken off already"
            )
    context.ledger.flush()
    return notes


def estimate_of(context: Context, channel: Channel) -> dict[str, float | None]:
    """Estimate of a channel as the ledger holds it; empty without one."""
    record = context.ledger.get("calibrate", channel.name, TOTAL)
    return dict(record.info) if record is not None else {}

"""calibrate: what is estimated from much data - tidal factor, pressure admittance and drift of each gravimeter.

A unit sums normal equations over one shard of days, month by month; the sums of all units merge to one estimate a
channel, stored under ``preprocess`` and in the ledger. The first estimate stays until a refit is asked for: later
stages read it, and a new day must not change what an old frame was made from. Where the record has outgrown it or
changed underneath it, a note says so.

Beside it stand what does follow every new day, for no frame is made from it: the estimates of each month (a check of
the instrument's calibration) and the steps that the record seems to have; and the sizes of the steps that the
operator's log names, which are subtracted from the record.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gravdask.config import digest
from gravdask.grid import Blocks, Rate, day_blocks, day_span, utc_text
from gravdask.preprocess.admittance import NOMINAL_PRESSURE_ADMITTANCE, NOMINAL_TIDAL_FACTOR
from gravdask.preprocess.eterna import require_pygtide
from gravdask.preprocess.monthly import MonthlyAdmittance
from gravdask.preprocess.pressure import pressure_effect
from gravdask.preprocess.spikes import mask_spikes
from gravdask.preprocess.steps import (
    BLOCK_NS,
    HALO_NS,
    Step,
    Suspicion,
    estimate_step,
    subtract_steps,
    suspect_steps,
)
from gravdask.preprocess.tides import TideModel, tide
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
from gravdask.stages.channels import Channel, RecordReader
from gravdask.stages.estimate_age import age_notes, months_of
from gravdask.stages.noise import day_cells, identity, span_of_days
from gravdask.store.layout import open_root, put_table
from gravdask.store.ledger import Record

Array = NDArray[np.float64]

TOTAL = -1
"""Number of the record that holds a channel's estimate, beside those of its units."""
DAYS_AT_ONCE = 32
MOST_AT_ONCE = 3_000_000
"""Samples read at once, where days hold so many that fewer than DAYS_AT_ONCE must do."""
LEAST_SAMPLES_PER_HOUR = 4
TIDAL_FACTORS = (1.0, 1.35)
"""Amplitude factors that a gravimeter's tide can have."""
STEP_NS = 13 * 3600 * 1_000_000_000
"""Record on either side of a logged step from which its size is estimated [ns]."""
NAMED = 3
"""Suspected steps that a note names; the ledger has all."""


class Stretch(NamedTuple):
    """A stretch of a gravimeter's record and what moves it.

    Attributes
    ----------
    gravity
        Calibrated, spikes left out [nm s⁻²], shape (n,).
    times_ns, tide, pressure
        Of its samples; the tide of a rigid Earth [nm s⁻²], the air [hPa] or None.
    residual
        Gravity without the nominal tide and effect of the air [nm s⁻²], shape (n,).
    """

    gravity: Array
    times_ns: NDArray[np.int64]
    tide: Array
    pressure: Array | None
    residual: Array


def plan(context: Context) -> Plan:
    """Find the units whose record changed, of located gravimeters sampled often enough."""
    if context.config.preprocess.tide_model == "pygtide":
        require_pygtide()
    channels = [c for c in context.signals() if is_calibrated(c)]
    return Plan.of(ChannelTasks(c.name, partial(_tasks, context, c)) for c in channels)


def _tasks(context: Context, channel: Channel) -> Iterator[Task | None]:
    """Compare the units of a channel with the ledger."""
    chosen = context.config.preprocess
    blocks = day_blocks(channel.rate)
    reader = context.reader(channel, estimated=False)
    air = identity(reader.pressure) if reader.pressure is not None else None
    common = VERSIONS["calibrate"], "by month", identity(channel), air, chosen.masks, chosen.spikes, chosen.tide_model
    units = group_cells(day_cells(context, channel), partial(unit_of, blocks.shard))
    payload = {"reader": reader, "blocks": blocks}
    inside = span_of_days(context)
    for unit in sorted(units.keys() | known_units(context, "calibrate", channel.name)):
        settings = digest(*common, _timed(channel, day_span(channel.rate, *blocks.unit_span(unit))))
        yield make_task(context, "calibrate", channel.name, unit, units.get(unit, {}), settings, payload, inside)


def _timed(channel: Channel, bounds: tuple[int, int]) -> list[Any]:
    """Steps of the log, and places of the instrument, that a unit's values follow from."""
    begin, end = _span_ns(channel, bounds)
    steps = [[when, size] for when, size in channel.log_steps if begin - HALO_NS <= when < end + HALO_NS]
    return [steps, [list(place) for place in channel.places if place[0] < end and place[1] > begin]]


def _span_ns(channel: Channel, bounds: tuple[int, int]) -> tuple[int, int]:
    """Times of the first sample of a range and of the first after it [ns since 1970]."""
    begin, end = (int(channel.times_ns(k, k + 1)[0]) for k in bounds)
    return begin, end


def is_calibrated(channel: Channel) -> bool:
    """Whether tide, air and drift are estimated of a channel: a located gravimeter's, sampled often enough."""
    gravimeter = channel.kind == "gravity" and channel.quantity == "acceleration" and channel.located
    return gravimeter and channel.rate.hz * 3600 >= LEAST_SAMPLES_PER_HOUR


def work(task: Task) -> Record:
    """Sum the normal equations of one unit's days, in their order, and look at its steps."""
    begun = time.monotonic()
    reader: RecordReader = task.payload["reader"]
    blocks: Blocks = task.payload["blocks"]
    first, last = blocks.unit_span(task.unit)
    days = np.array(sorted(int(d) for d in task.cells), np.int64)
    info: dict[str, Any] = {"settings": task.payload["settings"]}
    if days.size:
        bounds = day_span(reader.channel.rate, first, last)
        steps = _logged_steps(reader, bounds)
        known = [Step(when, size) for when, size, _ in steps if np.isfinite(size)]
        months, suspected = MonthlyAdmittance.zero(), []
        # Groups on the absolute grid of days, so that the sum has the same order in every run.
        together = _days_at_once(reader.channel.rate)
        for group in np.unique((days - first) // together):
            mine = days[(days - first) // together == group]
            more, found = _block(reader, int(mine[0]), int(mine[-1]) + 1, bounds, known)
            months += more
            suspected += found
        info |= {"months": months.to_dict(), "suspected": [list(s) for s in suspected]}
        info["steps"] = [[when, size if np.isfinite(size) else None, error] for when, size, error in steps]
    return task.record("done" if task.cells else "empty", info=info, seconds=time.monotonic() - begun)


def _days_at_once(rate: Rate) -> int:
    """Days read at once, so that memory stays bounded."""
    return max(1, min(DAYS_AT_ONCE, MOST_AT_ONCE // rate.samples_per_day))


def _stretch(reader: RecordReader, start: int, stop: int) -> Stretch:
    """Read a stretch of the record, with its tide and its air."""
    channel = reader.channel
    gravity = reader.physical(start, stop)
    if reader.settings.spikes:
        gravity[mask_spikes(gravity, channel.rate.hz)] = np.nan
    times = channel.times_ns(start, stop)
    theory = theoretical_tide(channel, times, reader.settings.tide_model)
    pressure = reader.pressure_at(times)
    factor = 0.0 if channel.tide_applied else NOMINAL_TIDAL_FACTOR
    residual = gravity - factor * theory
    if pressure is not None:
        residual = residual - pressure_effect(pressure, channel.elevation or 0.0, NOMINAL_PRESSURE_ADMITTANCE)
    return Stretch(gravity, times, theory, pressure, residual)


def theoretical_tide(channel: Channel, times_ns: NDArray[np.int64], model: TideModel = "builtin") -> Array:
    """Tide of a rigid Earth where the instrument stood at each time [nm s⁻²], shape (n,)."""
    place = float(channel.latitude or 0), float(channel.longitude or 0), channel.elevation or 0.0
    theory = tide(times_ns, *place, model)
    for start_ns, end_ns, latitude, longitude, elevation in channel.places:
        here = (times_ns >= start_ns) & (times_ns < end_ns)
        if here.any() and (latitude, longitude) != (channel.latitude, channel.longitude):
            theory[here] = tide(times_ns[here], latitude, longitude, elevation or 0.0, model)
    return theory


def _block(
    reader: RecordReader, first_day: int, last_day: int, bounds: tuple[int, int], known: list[Step]
) -> tuple[MonthlyAdmittance, list[Suspicion]]:
    """Sums over consecutive days, and the steps suspected in them; no sample outside the unit's bounds is read."""
    rate = reader.channel.rate
    start, stop = day_span(rate, first_day, last_day)
    beside = round(HALO_NS / rate.interval_ns) + 1
    low, high = max(start - beside, bounds[0]), min(stop + beside, bounds[1])
    read = _stretch(reader, low, high)
    inner = slice(start - low, stop - low)
    named = [when for when, _ in reader.channel.log_steps]
    found = suspect_steps(subtract_steps(read.residual, read.times_ns, known), read.times_ns, known_ns=named)
    gravity = subtract_steps(read.gravity, read.times_ns, known)
    # hours in which the record steps say nothing of tide and air
    for when in [s.time_ns for s in found] + named:
        gravity[np.abs(read.times_ns - when) <= BLOCK_NS] = np.nan
    air = None if read.pressure is None else read.pressure[inner]
    sums = MonthlyAdmittance.from_block(gravity[inner], read.times_ns[inner], read.tide[inner], air)
    begin, end = _span_ns(reader.channel, (start, stop))
    return sums, [s for s in found if begin <= s.time_ns < end]


def _logged_steps(reader: RecordReader, bounds: tuple[int, int]) -> list[tuple[int, float, float | None]]:
    """Time, size and error of the steps that the log names within a unit, estimated where the log gives no size."""
    channel = reader.channel
    begin, end = _span_ns(channel, bounds)
    mine = sorted((when, size) for when, size in channel.log_steps if begin <= when < end)
    stated = [Step(when, size) for when, size in mine if size is not None]
    found: list[tuple[int, float, float | None]] = [(when, size, None) for when, size in stated]
    beside = round(STEP_NS / channel.rate.interval_ns)
    for when in (when for when, size in mine if size is None):
        middle = channel.grid.locate(when)[0]
        read = _stretch(reader, max(middle - beside, bounds[0]), min(middle + beside, bounds[1]))
        level = subtract_steps(read.residual, read.times_ns, stated)
        # other steps whose size is not known yet bound the record that this one is estimated from
        others = [other for other, size in mine if size is None and other != when]
        near = np.ones(level.size, bool)
        for other in others:
            near &= (read.times_ns > other) if other < when else (read.times_ns < other)
        step = estimate_step(level[near], read.times_ns[near], when)
        found.append((when, step.size, step.error if np.isfinite(step.error) else None))
    return sorted(found, key=lambda step: step[0])


def finish(context: Context, records: list[Record]) -> list[str]:
    """Merge the units' sums to one estimate a channel and keep it, unless an earlier one stands.

    Channels with fewer days than the fit asks for wait for more. Gives notes on every gravimeter whose tide has not
    the size that a tide has, or not in every month, whose log names steps that the record does not show, or whose
    record has steps that no log names.
    """
    del records
    notes = []
    for name in context.ledger.channels("calibrate"):
        units = [r for r in context.ledger.of_stage("calibrate", name) if r.unit >= 0 and r.finished]
        frozen = context.ledger.get("calibrate", name, TOTAL)
        source = digest([r.fingerprint for r in units])
        stands = frozen is not None and "hours" in frozen.info and context.config.fit.refit == "never"
        if stands and frozen is not None and frozen.info.get("source") == source:
            continue
        notes += _merge(context, name, units, source, frozen if stands else None)
    context.ledger.flush()
    return notes


def _merge(context: Context, name: str, units: list[Record], source: str, frozen: Record | None) -> list[str]:
    """Merge a channel's units, and keep what they tell."""
    months = sum((MonthlyAdmittance.from_dict(r.info.get("months", {})) for r in units), MonthlyAdmittance.zero())
    steps = [step for r in units for step in r.info.get("steps", ())]
    suspected = [step for r in units for step in r.info.get("suspected", ())]
    beside: dict[str, Any] = {
        "source": source,
        "steps": [[when, size] for when, size, _ in steps if size is not None],
        "suspected_steps": suspected,
        "months": monthly_table(months),
        "notes": _step_notes(name, steps, suspected) + _month_notes(name, months),
    }
    notes: list[str] = beside["notes"]
    estimate: dict[str, float | None] = {}
    if frozen is not None:
        beside |= {"made_from": frozen.info["made_from"]} if "made_from" in frozen.info else {}
        estimate = {k: v for k, v in frozen.info.items() if k not in beside}
        notes += age_notes(name, frozen.info, months)
    else:
        result = months.total().finalize()
        days, least = sum(len(r.cells) for r in units), context.config.fit.min_days
        if result.days >= least:
            estimate = {k: v if np.isfinite(v) else None for k, v in asdict(result).items()}
            beside["made_from"] = months_of(months)
        elif days >= least:
            notes.append(
                f"{name}: on {days - result.days} of {days} days the record moves from hour to hour far more than "
                "tide and drift can; check its unit and scale"
            )
    notes += _tide_notes(context, name, estimate)
    if estimate or notes or beside["steps"] or context.ledger.get("calibrate", name, TOTAL) is not None:
        _keep(context, name, source if frozen is None else frozen.fingerprint, estimate, beside)
    return notes


def _tide_notes(context: Context, name: str, estimate: dict[str, float | None]) -> list[str]:
    """Note on a tide that is far too large or too small."""
    factor = estimate.get("tidal_factor")
    applied = name in context.channels and context.channels[name].tide_applied
    if factor is None or applied or TIDAL_FACTORS[0] <= factor <= TIDAL_FACTORS[1]:
        return []
    return [
        f"{name}: its tide is {factor:.3f} ± {estimate['tidal_factor_error'] or np.nan:.3f} times that of a rigid "
        f"Earth, expected {TIDAL_FACTORS[0]} to {TIDAL_FACTORS[1]}; check clock, unit, sign and coordinates, or set "
        "preprocess.tide = false if the tide was taken off already"
    ]


def _keep(
    context: Context, name: str, fingerprint: str, estimate: dict[str, float | None], beside: dict[str, Any]
) -> None:
    """Keep a channel's estimate, its months and its steps in the store and in the ledger, if they changed."""
    info = {**estimate, **beside}
    present = context.ledger.get("calibrate", name, TOTAL)
    if present is not None and present.fingerprint == fingerprint and present.info == info:
        return
    group = open_root(context.store, write=True).require_group(f"{name}/preprocess")
    about = {k: beside[k] for k in ("steps", "suspected_steps")}
    attributes = {"fingerprint": fingerprint, "units": "nm s-2, hPa, days", **about}
    group.attrs.put({"estimate": estimate, **attributes} if estimate else attributes)
    table: dict[str, list[Any]] = beside["months"]
    units = {"admittance": "nm s-2 hPa-1", "admittance_error": "nm s-2 hPa-1"}
    starts = np.array(table["month"], "datetime64[M]").astype("datetime64[D]").astype(np.int64)
    put_table(group, "month", starts, ("month",), units="days since 1970-01-01", standard_name="time")
    for quantity in MONTHLY:
        values = np.array([np.nan if v is None else v for v in table[quantity]], np.float64)
        put_table(group, quantity, values, ("month",), units=units.get(quantity, "1"))
    context.ledger.add(Record("calibrate", name, TOTAL, fingerprint, "done", info=info))


MONTHLY = ("tidal_factor", "tidal_factor_error", "admittance", "admittance_error")
"""What is estimated of each month."""


def monthly_table(months: MonthlyAdmittance) -> dict[str, list[Any]]:
    """Columns ``month`` (YYYY-MM) and `MONTHLY` of the months that have days enough; None where unknown."""
    found = months.finalize()
    columns = {q: [v if np.isfinite(v := getattr(e, q)) else None for e in found.values()] for q in MONTHLY}
    return {"month": list(found), **columns}


def _step_notes(name: str, steps: list[list[Any]], suspected: list[list[Any]]) -> list[str]:
    """Notes on logged steps that could not be measured, and on steps that no log names."""
    notes = [
        f"{name}: the log names a step at {utc_text(when)} without its size, and the record around it does not give "
        "one; it is not subtracted. State the size in the log"
        for when, size, _ in steps
        if size is None
    ]
    if suspected:
        worst = sorted(suspected, key=lambda s: -s[3])[:NAMED]
        named = "; ".join(f"{utc_text(when)} {size:+.0f} ± {error:.0f} nm/s²" for when, size, error, _ in sorted(worst))
        more = f" and {len(suspected) - NAMED} more" if len(suspected) > NAMED else ""
        notes.append(
            f"{name}: the record seems to step at {named}{more}. Nothing was corrected; if the instrument did it, "
            "enter the step in the operator's log"
        )
    return notes


def _month_notes(name: str, months: MonthlyAdmittance) -> list[str]:
    """Notes on months whose tide or air has not the size that it has in the others."""
    words = {"tidal_factor": ("tidal factor", "", ".4f"), "admittance": ("pressure admittance", " nm/s²/hPa", ".2f")}
    notes = []
    for found in months.departures():
        text, unit, form = words[found.quantity]
        notes.append(
            f"{name}: in {found.month} its {text} is {found.value:{form}} ± {found.error:{form}}{unit}, in the other "
            f"months {found.others:{form}} ± {found.others_error:{form}}; check its calibration and its clock there"
        )
    return notes


def remarks(context: Context) -> list[str]:
    """Everything that was noted of the channels of the run when their units were merged last."""
    return [note for channel in context.signals() for note in estimate_of(context, channel).get("notes", ())]


def estimate_of(context: Context, channel: Channel) -> dict[str, Any]:
    """Estimate of a channel as the ledger holds it; empty without one."""
    record = context.ledger.get("calibrate", channel.name, TOTAL)
    return dict(record.info) if record is not None else {}

"""interpret: what each component is, by tests against predicted earthquake arrivals and other evidence.

One unit for the whole network. A component is a statistical class until a test names it; without a catalogue or
without coordinates nothing is tested, and the names say so.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gravdask.catalog.readers import read_catalog
from gravdask.catalog.windows import WindowSettings, predicted_windows
from gravdask.config import InterpretConfig, digest
from gravdask.execution import Failure, Runner
from gravdask.grid import record_blocks
from gravdask.interpret.association import associate
from gravdask.interpret.calendar import class_intervals
from gravdask.interpret.events import before_counts, event_table
from gravdask.interpret.evidence import (
    excess_sums,
    gap_shares,
    microseism_correlations,
    period_excess,
    station_shares,
)
from gravdask.interpret.naming import Evidence, NamingSettings, label_map, name_components
from gravdask.progress import followed
from gravdask.stages.base import VERSIONS, Context
from gravdask.stages.channels import Channel, RecordReader
from gravdask.stages.classify import models_of
from gravdask.stages.frames import MICROSEISM_PERIODS_S, Network, first_order_periods, log_first_order, read_network
from gravdask.stages.model import load_model
from gravdask.stages.noise import daily_series
from gravdask.store.layout import put_table, read_span, sub_array
from gravdask.store.ledger import Record
from gravdask.store.place import Place

RMS_PERIODS_S = (14.0, 28.0)
"""Octave around 20 s in which a station's own rms is taken."""
WINDOW_COLUMNS = ("channel", "event_id", "first_arrival_ns", "end_ns", "predicted_acceleration", "visible")


@dataclass(frozen=True)
class Events:
    """The catalogue of a run.

    Attributes
    ----------
    table
        Events from the least magnitude on.
    problems
        Rows of the quarantine list.
    digest
        Of the events; '' without a catalogue.
    """

    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    problems: list[dict[str, Any]] = field(default_factory=list)
    digest: str = ""


def load_events(settings: InterpretConfig) -> Events:
    """Read the configured catalogue; empty without one.

    Raises
    ------
    CatalogError
        If the file is missing or is no catalogue.
    """
    if not settings.catalog:
        return Events()
    catalog = read_catalog(Path(os.path.expanduser(settings.catalog)))
    problems = [
        {"where": p.path, "line": p.line or 0, "what": p.what, "cure": p.cure} for p in catalog.problems if p.left_out
    ]
    chosen = catalog.events[catalog.events["magnitude"] >= settings.min_magnitude]
    return Events(chosen.reset_index(drop=True), problems, catalog.digest)


def fingerprint(context: Context, events: Events) -> str:
    """Digest of everything that the interpretation follows from."""
    units = context.ledger.digest("classify", "noise")
    places = [(c.name, c.latitude, c.longitude) for c in context.signals()]
    settings = context.config.interpret.model_dump(exclude={"catalog"})
    return digest(VERSIONS["interpret"], units, places, events.digest, settings, models_of(context))


def run(context: Context, runner: Runner, events: Events) -> list[str]:
    """Interpret the classes of every rate and write what was found; gives notes."""
    begun = time.monotonic()
    mark = fingerprint(context, events)
    notes: list[str] = []
    context.ledger.begin([Record("interpret", "*", 0, mark, "begun")])
    rates = {}
    for rate, model_digest in models_of(context).items():
        network = read_network(context, rate, load_model(context.store, rate, model_digest))
        if network is not None:
            notes += _one_rate(context, runner, network, rate, events)
            rates[rate] = model_digest
    info = {"rates": rates, "notes": notes}
    context.ledger.add(Record("interpret", "*", 0, mark, "done", info=info, seconds=time.monotonic() - begun))
    context.ledger.flush()
    return notes


def _one_rate(context: Context, runner: Runner, network: Network, rate: str, events: Events) -> list[str]:
    """Test and name the components of one rate."""
    settings = context.config.interpret
    located = [c for c in network.channels if c.located]
    during = context.progress.during
    with during(f"interpret: predicted windows of {len(events.table)} events at {len(located)} channels"):
        windows, notes = _windows(context, network, located, events)
    with during(f"interpret: {network.model.n_components} components against {len(windows)} windows"):
        table = associate(network.frames, windows, n_components=network.model.n_components)
    evidence, excess = _evidence(context, network)
    naming = NamingSettings(
        coseismic_q=settings.q_limit, coseismic_odds=settings.odds_limit, coseismic_events=settings.min_events
    )
    named = name_components(table, evidence, naming)
    components = table.merge(named, on="component")
    labels = label_map(named)
    peaks = _peaks(context, runner, network, windows)
    with during("interpret: events that were seen, intervals of classes, days before"):
        seen = event_table(network.frames, windows, labels, peaks) if len(windows) else pd.DataFrame()
        if len(seen):
            places = events.table.set_index("event_id")["place"]
            seen["place"] = [str(places.get(e, "")) for e in seen["event_id"]]
        tables = {
            "components": components,
            "events": seen,
            "intervals": class_intervals(network.frames, labels, network.posterior),
            "before": _before(network, windows, seen),
            "windows": windows,
        }
    for name, values in tables.items():
        _save(context.store, rate, name, values)
    _write_group(context, rate, components, excess, network)
    return notes


def _windows(
    context: Context, network: Network, located: list[Channel], events: Events
) -> tuple[pd.DataFrame, list[str]]:
    """Predicted windows of the events that fall into the span of the frames."""
    empty = pd.DataFrame({c: pd.Series(dtype=bool if c == "visible" else "int64") for c in WINDOW_COLUMNS})
    if not events.digest:
        return empty, ["no earthquake catalogue: no component was tested for association (--catalog FILE)"]
    if not located:
        return empty, ["no channel has coordinates: no component was tested for association (--stations FILE)"]
    span = network.frames.starts_ns(0, network.frames.n_frames + 1)
    margin = 4 * 86_400 * 10**9
    table = events.table
    table = table[(table["time_ns"] > span[0] - margin) & (table["time_ns"] < span[-1])]
    places = pd.DataFrame(
        {
            "channel": [c.name for c in located],
            "latitude": [c.latitude for c in located],
            "longitude": [c.longitude for c in located],
        }
    )
    rms = {c.name: station_rms(context, c) for c in located}
    windows = predicted_windows(
        table, places, rms, WindowSettings(visibility_ratio=context.config.interpret.visibility_ratio)
    )
    inside = (windows["end_ns"] > span[0]) & (windows["first_arrival_ns"] < span[-1])
    windows = windows[inside].reset_index(drop=True)
    if windows.empty:
        return empty, ["the catalogue has no event whose predicted arrival falls into the records"]
    assumed = sorted(name for name, value in rms.items() if not np.isfinite(value))
    notes = (
        [f"{', '.join(assumed)}: no noise level in acceleration; an assumed one decides what is visible"]
        if assumed
        else []
    )
    return windows, notes


def station_rms(context: Context, channel: Channel) -> float:
    """A station's own rms around 20 s [nm s⁻²]: the median over its days; NaN if it has no spectra.

    From the stored spectra over the octave of 14 to 28 s; where the sampling does not reach it, the rms of the whole
    daily residual.
    """
    series = daily_series(context, channel)
    if not series:
        return float("nan")
    if channel.rate.hz < 2.0 / RMS_PERIODS_S[0]:
        return float(np.nanmedian(series["rms"]))
    root = context.root()
    frequency = np.asarray(sub_array(root, f"{channel.name}/noise/frequency")[...])
    edges = np.asarray(sub_array(root, f"{channel.name}/noise/frequency_edge")[...])
    day = series["day"]
    psd = read_span(sub_array(root, f"{channel.name}/noise/psd"), int(day[0]), int(day[-1]) + 1)
    band = (frequency >= 1 / RMS_PERIODS_S[1]) & (frequency < 1 / RMS_PERIODS_S[0])
    power = (psd[:, band] * np.diff(edges)[band]).sum(axis=1)
    known = power[np.isfinite(power)]
    return float(np.sqrt(np.median(known))) if known.size else float("nan")


def _evidence(context: Context, network: Network) -> tuple[Evidence, pd.DataFrame]:
    """Evidence besides association: stations, gaps, periods, microseism."""
    count = network.model.n_components
    periods = first_order_periods(network)
    band = (periods >= MICROSEISM_PERIODS_S[0]) & (periods <= MICROSEISM_PERIODS_S[1])
    sums, numbers = np.zeros((count, periods.size)), np.zeros((count, periods.size))
    level = np.full(network.frames.component.shape, np.nan)
    rows = range(len(network.channels))
    for row in followed(context.progress, "interpret: evidence of channels", rows, len(rows)):
        logarithms = log_first_order(context, network, row)
        more, counted = excess_sums(network.frames.component[row], logarithms, count)
        sums, numbers = sums + more, numbers + counted
        if band.any():
            known = np.isfinite(logarithms[:, band]).any(axis=1)
            level[row, known] = np.nanmean(logarithms[known][:, band], axis=1)
    excess = period_excess(sums, numbers, periods)
    microseism = microseism_correlations(network.frames, level) if band.any() else None
    gaps = gap_shares(network.frames, network.valid_fraction)
    return Evidence(station_shares(network.frames), gaps, excess, microseism), excess


def _peaks(
    context: Context, runner: Runner, network: Network, windows: pd.DataFrame
) -> Mapping[tuple[str, str], float]:
    """Largest acceleration [nm s⁻²] in the visible windows of the channels in acceleration."""
    tasks = []
    for channel in network.channels:
        if channel.quantity == "acceleration" and len(windows):
            mine = windows[(windows["channel"] == channel.name) & windows["visible"]]
            spans = list(zip(mine["event_id"], mine["first_arrival_ns"], mine["end_ns"], strict=True))
            tasks.append((context.reader(channel), spans))
    peaks: dict[tuple[str, str], float] = {}
    found = runner.run(window_peaks, tasks)
    for (reader, _), result in followed(context.progress, "interpret: peaks of channels", found, len(tasks)):
        if not isinstance(result, Failure):
            peaks.update({(event, reader.channel.name): value for event, value in result.items()})
    return peaks


def window_peaks(task: tuple[RecordReader, list[tuple[str, int, int]]]) -> dict[str, float]:
    """Largest deviation of the residual from its median in each window; events without a sample are left out."""
    reader, spans = task
    grid = reader.channel.grid
    placed = sorted((grid.locate(int(start))[0], grid.locate(int(end))[0], event) for event, start, end in spans)
    peaks = {}
    for group in _together([w for w in placed if w[1] > w[0]], record_blocks(reader.channel.rate).chunk):
        first = group[0][0]
        stretch = reader.residual(first, max(stop for _, stop, _ in group))
        for start, stop, event in group:
            values = stretch[start - first : stop - first]
            values = values[np.isfinite(values)]
            if values.size:
                peaks[event] = float(np.max(np.abs(values - np.median(values))))
    return peaks


def _together(windows: list[tuple[int, int, str]], chunk: int) -> Iterator[list[tuple[int, int, str]]]:
    """Windows, by their begin, that begin in one chunk of the record: it is read for one of them as for all."""
    yield from (list(group) for _, group in groupby(windows, lambda window: window[0] // chunk))


def _before(network: Network, windows: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """Frames of the day before each event seen that carry its component, within and beyond the reach."""
    if seen.empty:
        return pd.DataFrame()
    events = seen[seen["seen"]].drop_duplicates(["event_id", "component"])
    strongest = events.sort_values("magnitude", ascending=False).head(60)
    pairs = zip(strongest["event_id"].astype(str), strongest["component"].astype(int), strict=True)
    parts = [before_counts(network.frames, windows, event, component) for event, component in pairs]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def table_path(store: Place | Path | str, rate: str, name: str) -> Place:
    """File of one of the tables of the interpretation."""
    return Place.of(store) / "tables" / rate / f"{name}.parquet"


def _save(store: Place, rate: str, name: str, table: pd.DataFrame) -> None:
    """Write a table whole."""
    content = io.BytesIO()
    table.to_parquet(content)
    table_path(store, rate, name).write(content.getvalue())


def load_table(store: Place | Path | str, rate: str, name: str) -> pd.DataFrame:
    """Read one of the tables of the interpretation; empty if there is none."""
    try:
        return pd.read_parquet(io.BytesIO(table_path(store, rate, name).read()))
    except FileNotFoundError:
        return pd.DataFrame()


def _write_group(context: Context, rate: str, components: pd.DataFrame, excess: pd.DataFrame, network: Network) -> None:
    """Write the components as arrays and words into the store."""
    group = context.root(create=True).require_group(f"interpretation/{rate}")
    for name in ("frames", "odds_ratio", "lift", "p_value", "q_value", "distinct_events"):
        put_table(group, name, components[name].to_numpy(np.float64), ("mixture_component",))
    put_table(group, "excess", excess.to_numpy(np.float64), ("mixture_component", "period"))
    put_table(group, "period", excess.columns.to_numpy(np.float64), ("period",), units="s")
    words: dict[str, Any] = {
        "model": network.model.digest,
        "label": components["label"].astype(str).tolist(),
        "evidence": components["evidence"].astype(str).tolist(),
    }
    if dict(group.attrs) != words:
        group.attrs.put(words)

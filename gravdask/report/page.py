"""The page: one self-contained HTML file that opens without a network."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from gravdask.report import components, timelines, wording
from gravdask.report.choice import hierarchy_figure, selection_figure
from gravdask.report.data import ModelSection, ReportData
from gravdask.report.maps import station_map
from gravdask.report.preprocessing import before_and_after, monthly_figure
from gravdask.report.style import NO_DATA, component_colours, png_uri, short_names

MAX_EVENTS = 60
"""Rows of the table of earthquakes; the strongest are kept."""
MAX_EVENT_CHANNELS = 16
"""Columns of marks in that table; with more channels it gives counts."""
_BEFORE_AFTER = (
    "Record as calibrated, without tide, without the effect of the air, and as residual gravity, against time"
)
MAX_ROWS = 500
"""Rows of the quarantine list on the page; the CSV file has all."""


@dataclass(frozen=True)
class Image:
    """A figure inside the page: its ``data:`` address and what it shows, for those who cannot see it."""

    source: str
    alt: str


@dataclass(frozen=True)
class Mark:
    """A cell of the table of earthquakes: a sign, its style class, and what it means."""

    sign: str
    style: str
    meaning: str


def build_report(data: ReportData, path: Path) -> None:
    """Write the report as one HTML page with everything inside.

    Parameters
    ----------
    data
        What to show; empty tables give a page that says what is not there.
    path
        File to write; its folder is created if needed, and the page appears whole or not at all.
    """
    source = files("gravdask.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(source).render(_context(data))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)


def _context(data: ReportData) -> dict[str, Any]:
    """Turn the data into what the template prints: text and images only."""
    return {
        "title": data.title,
        "created": wording.moment(data.created_ns),
        "version": data.version,
        "store": data.store,
        "headline": wording.headline(data),
        "cards": _cards(data),
        "map": _image(station_map(wording.gravity_rows(data.stations)), "Map of the stations, coloured by noise"),
        "stations": [_station(row) for row in data.stations.to_dict("records")],
        "remarked": any(wording.text(note) for note in data.stations["note"]),
        "snm": _image(timelines.snm_panels(data.snm), "Daily seismic noise magnitude of each channel against time"),
        "snm_left_out": max(0, len(data.snm) - timelines.MAX_PANELS),
        "preprocessed": _preprocessed(data),
        "monthly": _image(
            monthly_figure(data.monthly), "Tidal factor and effect of the air of each gravimeter by months"
        ),
        "refused": sorted(data.noise_refused.items()),
        "models": [_model(model, index) for index, model in enumerate(data.models)],
        "no_data_colour": NO_DATA,
        "events": _events(data.events),
        "plan": data.plan,
        "run": [_stage(row) for row in data.run.to_dict("records")],
        "run_seconds": wording.duration(data.run["seconds"].sum()) if len(data.run) else "",
        "quarantine": [
            {name: wording.text(row[name]) for name in ("where", "line", "what", "cure")}
            for row in data.quarantine.head(MAX_ROWS).to_dict("records")
        ],
        "quarantine_left_out": max(0, len(data.quarantine) - MAX_ROWS),
        "notes": data.notes,
        "references": data.references,
    }


def _preprocessed(data: ReportData) -> list[tuple[str, Image]]:
    """Figures of the records before and after preprocessing, by channel."""
    made = ((record.channel, _image(before_and_after(record), _BEFORE_AFTER)) for record in data.preprocessed)
    return [(channel, image) for channel, image in made if image is not None]


def _image(figure: Figure | None, alt: str) -> Image | None:
    """Turn a figure into an image of the page; None stays None."""
    return None if figure is None else Image(png_uri(figure), alt)


def _cards(data: ReportData) -> list[tuple[str, str]]:
    """Return the figures at the head of the page, each with its meaning."""
    frames = sum(int(model.components["frames"].sum()) for model in data.models if len(model.components))
    classes = sum(len(model.components) for model in data.models)
    cards = [(wording.number(len(wording.gravity_rows(data.stations)), 0), "channels, air pressure aside")]
    if data.models:
        cards += [(wording.number(frames, 0), "frames classified"), (str(classes), "components")]
    if len(data.events):
        predicted = data.events[[wording.is_true(v) for v in data.events["predicted"]]]
        seen = predicted[[wording.is_true(v) for v in predicted["seen"]]]
        pair = f"{seen['event_id'].nunique()} of {predicted['event_id'].nunique()}"
        cards.append((pair, "predicted earthquakes seen"))
    cards.append((wording.number(len(data.quarantine), 0), "quarantined"))
    return cards


def _station(row: dict[Any, Any]) -> dict[str, str]:
    """Format one row of the table of channels."""
    return {
        "channel": wording.text(row["channel"]),
        "kind": wording.text(row["kind"]),
        "latitude": wording.number(row["latitude"], 3),
        "longitude": wording.number(row["longitude"], 3),
        "elevation": wording.number(row["elevation"], 0),
        "rate": _rate(row["rate"]),
        "first": wording.day(row["first_ns"]),
        "last": wording.day(row["last_ns"]),
        "valid": wording.percent(row["valid_fraction"]),
        "unit": wording.text(row["unit"]),
        "snm": wording.number(row["snm_median"]),
        "days": wording.number(row["snm_days"], 0),
        "note": wording.text(row["note"]),
    }


def _rate(rate: object) -> str:
    """Write a rate in Hz, or as it stands if it is text already."""
    return f"{rate:.4g}" if isinstance(rate, (int, float)) and not wording.missing(rate) else wording.text(rate)


def _stage(row: dict[Any, Any]) -> dict[str, str]:
    """Format one row of the table of stages."""
    counts = {name: wording.number(row[name], 0) for name in ("units", "done", "skipped", "quarantined")}
    return {"stage": wording.text(row["stage"]), **counts, "seconds": wording.number(row["seconds"], 1)}


def _model(model: ModelSection, index: int) -> dict[str, Any]:
    """Format one model: its components, their figures, calendar and drift."""
    rows = model.components.to_dict("records")
    numbers = [int(row["component"]) for row in rows]
    colours = component_colours([wording.text(row["label"]) for row in rows])
    names = [f"{number}: {wording.text(row['label'])}" for number, row in zip(numbers, rows, strict=True)]
    entries = []
    for place, (row, colour, name) in enumerate(zip(rows, colours, names, strict=True)):
        figure = components.component_figure(model, place, numbers[place], colour)
        entries.append(
            {
                "name": name,
                "anchor": f"model-{index}-component-{numbers[place]}",
                "colour": colour,
                "frames": wording.number(row["frames"], 0),
                "share": wording.percent(row["share"]),
                "odds_ratio": wording.ratio(row["odds_ratio"]),
                "lift": wording.ratio(row["lift"]),
                "p_value": wording.probability(row["p_value"]),
                "q_value": wording.probability(row["q_value"]),
                "distinct_events": wording.number(row["distinct_events"], 0),
                "evidence": wording.text(row["evidence"]),
                "figure": _image(figure, f"Typical records and mean coefficients of component {name}"),
            }
        )
    calendar = timelines.calendar_figure(model.calendar, model.frame_seconds, numbers, colours)
    shown = sum(1 for pair in model.calendar.values() if pair[0].size)
    return {
        "rate": model.rate,
        "digest": model.digest,
        "frame": wording.duration(model.frame_seconds),
        "settings": model.settings,
        "components": entries,
        "window_share": wording.percent(model.window_share),
        "hierarchy": _image(
            hierarchy_figure(model.merges, _by_number(numbers, names), _by_number(numbers, colours)),
            "Tree of the components: which would be joined first",
        ),
        "reason": model.reason,
        "selection": _image(
            selection_figure(model.selection, len(rows)), "Criteria of the mixtures that were tried, by components"
        ),
        "loudness": _image(
            components.loudness_figure(model, names, colours), "Mean amplitude of each component by period"
        ),
        "calendar": _image(calendar, "Which component each frame belongs to, a panel per channel"),
        "calendar_left_out": max(0, shown - timelines.MAX_PANELS),
        "likelihood": _image(
            timelines.likelihood_figure(model.likelihood), "Daily median log-likelihood of each channel"
        ),
    }


def _by_number(numbers: list[int], values: list[str]) -> list[str]:
    """Put what belongs to components into the order of their numbers."""
    return [value for _, value in sorted(zip(numbers, values, strict=True))]


def _events(events: pd.DataFrame) -> dict[str, Any]:
    """Format the strongest earthquakes, in order of time, with a mark per channel or with counts."""
    channels = sorted({str(c) for c in events["channel"]}) if len(events) else []
    strongest = events.drop_duplicates("event_id").sort_values(["magnitude", "time_ns"], ascending=[False, True])
    kept = strongest.head(MAX_EVENTS).sort_values("time_ns")
    grouped = dict(list(events.groupby("event_id", sort=False))) if len(events) else {}
    marked = len(channels) <= MAX_EVENT_CHANNELS
    rows = []
    for event in kept.to_dict("records"):
        part = grouped[event["event_id"]]
        marks = {str(row["channel"]): _mark(row) for row in part.to_dict("records")}
        predicted = [mark for mark in marks.values() if mark.style in ("seen", "unseen")]
        rows.append(
            {
                "time": wording.moment(event["time_ns"]),
                "magnitude": wording.number(event["magnitude"], 1),
                "place": wording.text(event["place"]),
                "nearest": wording.number(part["distance_deg"].astype(float).min(), 0),
                "peak": wording.significant(part["peak_acceleration"].astype(float).max(), 2),
                "seen": f"{sum(m.style == 'seen' for m in predicted)} of {len(predicted)}"
                if predicted
                else wording.DASH,
                "marks": [marks.get(name, _NO_DATA_MARK) for name in channels] if marked else [],
            }
        )
    names = short_names(channels)
    return {
        "rows": rows,
        "channels": [(names[name], name) for name in channels] if marked else [],
        "total": len(strongest),
        "shown": len(kept),
    }


_NO_DATA_MARK = Mark(wording.DASH, "none", "no data")


def _mark(row: dict[Any, Any]) -> Mark:
    """Say whether one channel was expected to see one earthquake, and did."""
    component = wording.text(row["component"]) if not wording.missing(row["component"]) else ""
    suffix = f", component {int(float(component))}" if component.replace(".", "").isdigit() else ""
    if wording.missing(row["seen"]):
        return _NO_DATA_MARK
    if wording.is_true(row["predicted"]):
        if wording.is_true(row["seen"]):
            return Mark("●", "seen", f"predicted and seen{suffix}")
        return Mark("○", "unseen", f"predicted, not seen{suffix}")
    if wording.is_true(row["seen"]):
        return Mark("◆", "surprise", f"seen though not predicted{suffix}")
    return Mark("·", "weak", f"not predicted, not seen{suffix}")

"""Numbers and findings in words, as a reader meets them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from gravdask.report.data import ModelSection, ReportData

DASH = "–"


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with fixed digits and thousands separated by a thin space; a dash where it is missing."""
    if value is None or missing(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{float(value):,.{digits}f}".replace(",", "\u202f")


def significant(value: float | None, digits: int = 3) -> str:
    """Write a number with a few significant digits; a dash where it is missing."""
    if value is None or missing(value):
        return DASH
    value = float(value)
    if value == 0 or math.isinf(value):
        return number(value, 0)
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return number(round(value, places), max(0, places)) if abs(value) < 1e7 else f"{value:.{digits - 1}e}"


def ratio(value: float | None) -> str:
    """Write an odds ratio or a lift: two decimals below ten, one below a hundred, none above."""
    if value is None or missing(value):
        return DASH
    return number(value, 2 if value < 10 else 1 if value < 100 else 0)


def probability(value: float | None) -> str:
    """Write a p or q value: three decimals, ``< 0.001`` below."""
    if value is None or missing(value):
        return DASH
    return "< 0.001" if float(value) < 0.001 else f"{float(value):.3f}"


def percent(value: float | None) -> str:
    """Write a share as a percentage, finer where it is small; all but never 100 % unless it is."""
    if value is None or missing(value):
        return DASH
    share = 100 * float(value)
    if share == 0:
        return "0 %"
    if 0 < share < 0.1:
        return "< 0.1 %"
    if share < 10 or 99 < share < 100:
        return f"{min(share, 99.9) if share < 100 else share:.1f} %"
    return f"{share:.0f} %"


def count(value: float, noun: str, plural: str | None = None) -> str:
    """Write a count with its noun: ``1 station``, ``12 stations``."""
    whole = int(value)
    return f"{number(whole, 0)} {noun if whole == 1 else plural or noun + 's'}"


def moment(time_ns: float | None) -> str:
    """Write a time [ns since 1970 UTC] to the minute; a dash where it is missing."""
    return (
        DASH
        if time_ns is None or missing(time_ns)
        else str(np.datetime64(int(time_ns), "ns").astype("datetime64[m]")).replace("T", " ")
    )


def day(time_ns: float | None) -> str:
    """Write the date of a time [ns since 1970 UTC]; a dash where it is missing."""
    return (
        DASH if time_ns is None or missing(time_ns) else str(np.datetime64(int(time_ns), "ns").astype("datetime64[D]"))
    )


def duration(seconds: float | None) -> str:
    """Write a length of time in the unit that fits."""
    if seconds is None or missing(seconds):
        return DASH
    for limit, size, unit in ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172_800.0, 3600.0, "h")):
        if float(seconds) < limit:
            return f"{float(seconds) / size:.3g} {unit}"
    days = float(seconds) / 86_400
    return f"{days:.3g} days" if days < 1000 else f"{days:.0f} days"


def text(value: object) -> str:
    """Write whatever a cell of a table holds; nothing where it is missing."""
    return "" if missing(value) else str(value)


def missing(value: object) -> bool:
    """Whether a cell is None, NaN, NA or NaT."""
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, (float, np.floating)) and math.isnan(value))
    )


def is_true(value: object) -> bool:
    """Whether a cell is a truth value that is present and true."""
    return not missing(value) and bool(value)


def gravity_rows(stations: pd.DataFrame) -> pd.DataFrame:
    """Rows of the station table that are not air pressure."""
    if len(stations) == 0:
        return stations
    return stations[~stations["kind"].astype(str).str.contains("pressure", case=False)]


def headline(data: ReportData) -> list[str]:
    """Say in a few sentences what the report found."""
    sentences = [_span(data)]
    if noise := _noise(data):
        sentences.append(noise)
    sentences += [_classes(model) for model in data.models]
    if not data.models:
        sentences.append("No model has been fitted yet, so there are no classes to show.")
    sentences.append(_events(data))
    refused = len(data.quarantine)
    if refused:
        sentences.append(f"{count(refused, 'item')} could not be used and {_is(refused)} listed under Quarantine.")
    else:
        sentences.append("Nothing was quarantined: everything offered could be used.")
    return sentences


def _is(items: int) -> str:
    """Agree the verb with a count."""
    return "is" if items == 1 else "are"


def _span(data: ReportData) -> str:
    """Say how many channels there are and which time they cover."""
    if len(data.stations) == 0:
        return "The store holds no channels yet."
    rows = gravity_rows(data.stations)
    others = len(data.stations) - len(rows)
    beside = f" (and {count(others, 'channel')} of air pressure)" if others else ""
    first, last = data.stations["first_ns"].min(), data.stations["last_ns"].max()
    if missing(first) or missing(last):
        return f"{count(len(rows), 'channel')}{beside}, without samples so far."
    length = duration(float(last - first) / 1e9)
    valid = rows["valid_fraction"].astype(float).mean() if len(rows) else math.nan
    share = "" if missing(valid) else f"; on average {percent(valid)} of the samples are present"
    return f"{count(len(rows), 'channel')}{beside} from {day(first)} to {day(last)} ({length}){share}."


def _noise(data: ReportData) -> str:
    """Say which station is the quietest and which the loudest."""
    levels = data.stations.dropna(subset=["snm_median"]) if len(data.stations) else data.stations
    refused = len(data.noise_refused)
    without = f" {count(refused, 'channel')} {_is(refused)} without one, for stated reasons." if refused else ""
    if len(levels) == 0:
        return f"There is no seismic noise magnitude (SNM).{without}"
    ordered = levels.sort_values("snm_median")
    low, high = ordered.iloc[0], ordered.iloc[-1]
    if len(levels) == 1:
        return f"The median seismic noise magnitude (SNM) of {low['channel']} is {number(low['snm_median'])}.{without}"
    return (
        f"Median seismic noise magnitudes (SNM) reach from {number(low['snm_median'])} ({low['channel']}) "
        f"to {number(high['snm_median'])} ({high['channel']}).{without}"
    )


def _classes(model: ModelSection) -> str:
    """Say how the frames of one model divide."""
    parts = [
        f"{row['label']} ({percent(row['share'])})"
        for row in model.components.sort_values("share", ascending=False).to_dict("records")
    ]
    frames = model.components["frames"].sum() if len(model.components) else 0
    return (
        f"At {model.rate}, {count(frames, 'frame')} of {duration(model.frame_seconds)} each were sorted "
        f"into {count(len(parts), 'component')}: {', '.join(parts)}."
    )


def _events(data: ReportData) -> str:
    """Say how many earthquakes were expected and seen."""
    if len(data.events) == 0:
        return "No earthquake of a catalogue falls into the records, so no component can be tied to earthquakes."
    pairs = data.events
    predicted = pairs[[is_true(v) for v in pairs["predicted"]]]
    judged = predicted[[not missing(v) for v in predicted["seen"]]]
    seen = judged[[is_true(v) for v in judged["seen"]]]
    listed = pairs["event_id"].nunique()
    if len(predicted) == 0:
        return f"Of {count(listed, 'earthquake')} in the catalogue, none was predicted to stand out at any channel."
    expected, met = predicted["event_id"].nunique(), seen["event_id"].nunique()
    return (
        f"Of {count(listed, 'earthquake')} in the catalogue, {number(expected, 0)} {_was(expected)} predicted to stand "
        f"out at one channel or more; {number(met, 0)} {_was(met)} seen "
        f"({number(len(seen), 0)} of {count(len(judged), 'pair')} of earthquake and channel with data)."
    )


def _was(items: int) -> str:
    """Agree the verb's past with a count."""
    return "was" if items == 1 else "were"

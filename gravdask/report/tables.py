"""CSV tables beside the report: UTF-8, comma separated, times as ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from gravdask.report.data import EVENT_COLUMNS, QUARANTINE_COLUMNS, SNM_COLUMNS

INTERVAL_COLUMNS = ("channel", "start_ns", "end_ns", "component", "label", "frames", "mean_posterior")


def iso_time(time_ns: int) -> str:
    """Write a time [ns since 1970 UTC] as ``2024-01-31T12:34:56.789Z``, to the nanosecond where it needs it."""
    text = str(np.datetime64(int(time_ns), "ns"))
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction:0<3}Z"


def parse_iso_time(text: str) -> int:
    """Read back what `iso_time` gives [ns since 1970 UTC].

    Raises
    ------
    ValueError
        If the text is not of that form.
    """
    return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))


def write_csv_tables(
    folder: Path,
    *,
    snm: Mapping[str, pd.DataFrame],
    intervals: pd.DataFrame,
    events: pd.DataFrame,
    quarantine: pd.DataFrame,
) -> list[Path]:
    """Write ``daily_snm.csv``, ``class_intervals.csv``, ``events.csv`` and ``quarantine.csv``.

    Parameters
    ----------
    folder
        Where to write; created if needed.
    snm
        Per channel a table of day_ns, snm, ssnm, valid_fraction. The file has the columns channel, day (ISO date,
        UTC), snm, ssnm (µGal convention: log10 of µGal² Hz⁻¹, + 2.5), valid_fraction (share of the day's samples).
    intervals
        Runs of frames of one class: channel, start_ns, end_ns (half open), component, and, where present, label,
        frames, mean_posterior. The file has start and end as ISO times instead of nanoseconds.
    events
        A row per earthquake and channel with the columns of `ReportData.events`; the file has ``time`` instead of
        time_ns; distance_deg in degrees, peak_acceleration in nm s⁻².
    quarantine
        What could not be used: where, line, what, cure.

    Returns
    -------
    list of Path
        The four files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "daily_snm.csv": _daily(snm),
        "class_intervals.csv": _with_iso_times(intervals, INTERVAL_COLUMNS),
        "events.csv": _with_iso_times(events, EVENT_COLUMNS),
        "quarantine.csv": quarantine.reindex(columns=list(QUARANTINE_COLUMNS)),
    }
    paths = []
    for name, table in tables.items():
        table.to_csv(folder / name, index=False, lineterminator="\n", encoding="utf-8")
        paths.append(folder / name)
    return paths


def _daily(snm: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join the tables of all channels, in order of channel and day."""
    columns = ["channel", "day", *SNM_COLUMNS[1:]]
    parts = []
    for channel in sorted(snm):
        part = snm[channel].sort_values("day_ns").reset_index(drop=True)
        days = [iso_time(t)[:10] for t in part["day_ns"]]
        parts.append(part.assign(channel=channel, day=days).reindex(columns=columns))
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _with_iso_times(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Keep the named columns and write those that end in ``_ns`` as ISO times, without that ending."""
    text = table.reindex(columns=list(columns))
    for name in [name for name in columns if name.endswith("_ns")]:
        text[name] = [iso_time(t) for t in text[name]]
    for name in {"component", "frames"} & set(columns):
        text[name] = pd.to_numeric(text[name]).astype("Int64")
    return text.rename(columns={name: name.removesuffix("_ns") for name in columns})

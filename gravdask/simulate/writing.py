"""Write a simulated network as archives are kept: day files of MiniSEED in an SDS tree, StationXML, tables."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from obspy import Stream as ObspyStream
from obspy import Trace, UTCDateTime
from obspy.core.inventory import Channel, Inventory, Network, Response, Site, Station
from obspy.core.inventory.response import InstrumentSensitivity

NETWORK = "GD"
LOCATION = "00"
COUNTS_PER_M_S2 = 5e10
"""Sensitivity of gravity: one count is 0.02 nm s⁻²."""
COUNTS_PER_PA = 10.0
"""Sensitivity of air pressure: one count is 0.1 Pa, or 0.001 hPa."""


@dataclass(frozen=True)
class Gap:
    """Missing samples ``[start, stop)`` of a record, counted from its first sample."""

    start: int
    stop: int


def band_code(rate: float) -> str:
    """Return SEED's first letter of a channel for a sampling rate [Hz] of a broadband sensor."""
    limits = ((80.0, "H"), (10.0, "B"), (1.5, "M"), (0.5, "L"), (0.05, "V"))
    return next((code for limit, code in limits if rate >= limit), "U")


def write_record(
    archive: Path,
    station: str,
    channel: str,
    counts: npt.NDArray[np.int32],
    start_ns: int,
    rate: float,
    gaps: list[Gap],
) -> tuple[int, int]:
    """Write a record as day files ``YEAR/NET/STA/CHA.D/NET.STA.LOC.CHA.D.YEAR.DOY``, Steim2.

    A day without any sample gets no file; a day with a gap holds several traces.

    Parameters
    ----------
    archive
        Root of the SDS tree.
    station, channel
        Codes.
    counts
        Samples, whole days from ``start_ns`` on.
    start_ns
        Time of the first sample, a midnight [ns since 1970 UTC].
    rate
        Sampling rate [Hz].
    gaps
        What is missing.

    Returns
    -------
    tuple of int
        Files and bytes written.
    """
    daily = round(86_400 * rate)
    header = {"network": NETWORK, "station": station, "location": LOCATION, "channel": channel, "sampling_rate": rate}
    files = size = 0
    for day in range(counts.size // daily):
        midnight = UTCDateTime(ns=start_ns + day * 86_400_000_000_000)
        stream = ObspyStream()
        for first, last in _present(day * daily, (day + 1) * daily, gaps):
            starttime = UTCDateTime(ns=midnight.ns + round((first - day * daily) / rate * 1e9))
            stream.append(Trace(data=counts[first:last], header={**header, "starttime": starttime}))
        if not stream:
            continue
        stem = f"{NETWORK}.{station}.{LOCATION}.{channel}.D.{midnight.year}.{midnight.julday:03d}"
        path = archive / str(midnight.year) / NETWORK / station / f"{channel}.D" / stem
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        stream.write(buffer, format="MSEED", encoding="STEIM2", reclen=4096)
        size += path.write_bytes(buffer.getbuffer())
        files += 1
    return files, size


def _present(start: int, stop: int, gaps: list[Gap]) -> list[tuple[int, int]]:
    """Cut ``[start, stop)`` at the gaps and return the spans that have samples."""
    spans, position = [], start
    for gap in sorted(gaps, key=lambda g: g.start):
        if gap.stop <= position or gap.start >= stop:
            continue
        if gap.start > position:
            spans.append((position, gap.start))
        position = gap.stop
    if position < stop:
        spans.append((position, stop))
    return spans


def write_station_xml(path: Path, stations: pd.DataFrame, channels: list[str], rate: float, start_ns: int) -> None:
    """Write StationXML with a flat response: gravity in M/S**2, air pressure in PA.

    Parameters
    ----------
    path
        File to write.
    stations
        Columns station, place, latitude, longitude [degrees], elevation [m].
    channels
        Channel codes of every station; those that end in ``O`` are air pressure.
    rate
        Sampling rate [Hz].
    start_ns
        Start of the record [ns since 1970 UTC], also the file's stated date, so that its bytes depend on nothing else.
    """
    began = UTCDateTime(ns=start_ns)
    members = []
    for row in stations.itertuples():
        place = {"latitude": row.latitude, "longitude": row.longitude, "elevation": row.elevation}
        entries = [
            Channel(
                code,
                LOCATION,
                **place,
                depth=0.0,
                azimuth=0.0,
                dip=-90.0 if code.endswith("Z") else 0.0,
                sample_rate=rate,
                start_date=began,
                response=_flat(code, rate),
            )
            for code in channels
        ]
        members.append(Station(row.station, **place, channels=entries, site=Site(name=row.place), start_date=began))
    network = Network(NETWORK, stations=members, description="simulated network", start_date=began)
    inventory = Inventory(networks=[network], source="gravdask simulate", sender="gravdask", created=began)
    inventory.write(str(path), format="STATIONXML")


def _flat(code: str, rate: float) -> Response:
    """Overall sensitivity of a channel, without stages: gravity, or pressure for codes that end in ``O``."""
    if code.endswith("Z"):
        value, unit, text = COUNTS_PER_M_S2, "M/S**2", "acceleration in metres per second squared"
    else:
        value, unit, text = COUNTS_PER_PA, "PA", "pressure in pascal"
    sensitivity = InstrumentSensitivity(
        value=value,
        frequency=min(0.02, rate / 4),
        input_units=unit,
        output_units="COUNTS",
        input_units_description=text,
        output_units_description="digital counts",
    )
    return Response(instrument_sensitivity=sensitivity)


def iso_time(time_ns: int) -> str:
    """Write a time [ns since 1970 UTC] as ISO 8601 with milliseconds and a Z."""
    return str(np.datetime64(int(time_ns) // 1_000_000, "ms")) + "Z"


def day_ns(text: str) -> int:
    """Return the midnight of an ISO date [ns since 1970 UTC].

    Raises
    ------
    ValueError
        If the text is not a date such as ``2024-01-01``.
    """
    date = dt.date.fromisoformat(text)
    return (date - dt.date(1970, 1, 1)).days * 86_400_000_000_000

"""StationXML to station entries, by obspy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obspy
from obspy.core.util.obspy_types import ObsPyException

from gravdask.archive.reader import READER_FAULTS
from gravdask.archive.stations import ChannelMetadata, StationEntry
from gravdask.errors import StationError

MARK = b"FDSNStationXML"
"""What the first kilobytes of a StationXML file contain."""


_OPEN_NS = 2**63
"""Dates that int64 nanoseconds cannot hold, such as the year 2599, mean that an epoch is open."""


def read_stationxml(path: Path) -> list[StationEntry]:
    """Read a StationXML file, stations first within their channels' order of the file.

    Raises
    ------
    StationError
        If the file is no StationXML or is damaged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with path.open("rb") as file:  # an open file, as obspy takes a path for a pattern
                inventory = obspy.read_inventory(file, format="STATIONXML")
        except (*READER_FAULTS, SyntaxError, ObsPyException) as error:  # lxml's errors are syntax errors
            msg = f"{path}: cannot be read as StationXML: {' '.join(str(error).split())}; fetch it again"
            raise StationError(msg) from error
    return [entry for network in inventory for entry in _entries(network, str(path))]


def _entries(network: Any, source: str) -> Iterator[StationEntry]:  # noqa: ANN401 - obspy's objects are untyped
    """Entries of one network: each station epoch, then its channels."""
    for station in network:
        epoch = _epoch(station)
        place = ChannelMetadata(**_place(station), **epoch, source=source)
        yield StationEntry(network.code, station.code, None, None, place)
        for channel in station:
            metadata = ChannelMetadata(**_place(channel), **(epoch | _epoch(channel)), **_gain(channel), source=source)
            yield StationEntry(network.code, station.code, channel.location_code or "", channel.code, metadata)


def _place(node: Any) -> dict[str, Any]:  # noqa: ANN401
    """Coordinates of a station or channel."""
    values = {name: getattr(node, name) for name in ("latitude", "longitude", "elevation")}
    return {name: None if value is None else float(value) for name, value in values.items()}


def _epoch(node: Any) -> dict[str, Any]:  # noqa: ANN401
    """Start and end of a station or channel, where they are given."""
    dates = {"start_ns": node.start_date, "end_ns": node.end_date}
    return {name: int(date.ns) for name, date in dates.items() if date is not None and date.ns < _OPEN_NS}


def _gain(channel: Any) -> dict[str, Any]:  # noqa: ANN401
    """Overall sensitivity of a channel and the unit that it refers to."""
    response = channel.response
    total = None if response is None else response.instrument_sensitivity
    if total is None or not total.value:
        return {}
    return {"sensitivity": float(total.value), "input_unit": total.input_units}

"""StationXML, RESP and dataless SEED to station entries, by obspy."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obspy
from obspy.core.util.obspy_types import ObsPyException

from gravdask.archive.metadata_formats import DATALESS, RESP, STATIONXML, metadata_format, seed_record_bytes
from gravdask.archive.reader import READER_FAULTS
from gravdask.archive.responses import describe_response, disagreement
from gravdask.archive.stations import ChannelMetadata, StationEntry
from gravdask.errors import StationError

_OPEN_NS = 2**63
"""Dates that int64 nanoseconds cannot hold, such as the year 2599, mean that an epoch is open."""
_OBSPY = {STATIONXML: "STATIONXML", RESP: "RESP", DATALESS: "SEED"}
_SPOKEN = {STATIONXML: "StationXML", RESP: "RESP", DATALESS: "dataless SEED"}
_FIELD = re.compile(r"^B(\d{3})F(\d\d)(?:-\d\d)?\s+(?:[^:]*:\s*)?(.*?)\s*$")
_COUNTS = {("053", "09"), ("053", "14"), ("054", "07"), ("054", "10"), ("061", "08")}
"""Fields of a RESP file that say how many of the following there are."""
_LISTED = {("053", "10"), ("053", "15"), ("054", "08"), ("054", "11"), ("061", "09")}
"""Fields of a RESP file that hold a zero, a pole or a coefficient each."""


def read_stationxml(path: Path) -> list[StationEntry]:
    """Read a StationXML, RESP or dataless SEED file, stations first within their channels' order of the file.

    Raises
    ------
    StationError
        If the file is none of these or is damaged.
    """
    kind = metadata_format(path) or STATIONXML
    if kind == RESP:
        _refuse_cut(path)
    elif kind == DATALESS:
        _refuse_part(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with path.open("rb") as file:  # an open file, as obspy takes a path for a pattern
                inventory = obspy.read_inventory(file, format=_OBSPY[kind])
        except (*READER_FAULTS, SyntaxError, ObsPyException) as error:  # lxml's errors are syntax errors
            msg = f"{path}: cannot be read as {_SPOKEN[kind]}: {' '.join(str(error).split())}; fetch it again"
            raise StationError(msg) from error
        return [entry for network in inventory for entry in _entries(network, str(path), placed=kind != RESP)]


def _refuse_cut(path: Path) -> None:
    """Raise if a RESP file ends before what it announces: obspy would silently give another response."""
    text = path.read_text(encoding="latin-1")
    lines = text.splitlines()
    epoch, stage, closed, announced, found = "", "", True, 0, 0
    for number, line in enumerate(lines, 1):
        match = _FIELD.match(line)
        if match is None:
            continue
        blockette, field, value = match.groups()
        if (blockette, field) == ("052", "22"):
            if announced != found:
                _raise_cut(path, number, epoch, f"{found} of {announced} announced coefficients")
            epoch, closed, announced, found = value, False, 0, 0
        elif (blockette, field) in _COUNTS and value.isdigit():
            announced += int(value)
        elif (blockette, field) in _LISTED:
            found += 1
        elif (blockette, field) == ("058", "03"):
            stage = value
        elif (blockette, field) == ("058", "05") and stage == "0":
            closed = number < len(lines) or text.endswith("\n")
    if announced != found:
        _raise_cut(path, len(lines), epoch, f"{found} of {announced} announced coefficients")
    if not closed or not epoch:
        _raise_cut(path, len(lines), epoch, "no overall sensitivity (stage 0)")


def _refuse_part(path: Path) -> None:
    """Raise if a SEED volume does not end with a whole record."""
    with path.open("rb") as file:
        length = seed_record_bytes(file.read(21))
    size = path.stat().st_size
    if size % length:
        msg = f"{path}: the dataless SEED is cut off: {size} bytes are no whole records of {length}; fetch it again"
        raise StationError(msg)


def _raise_cut(path: Path, line: int, epoch: str, what: str) -> None:
    """Say that a RESP file is not whole."""
    msg = (
        f"{path}: line {line}: the RESP file is cut off or damaged: its epoch from {epoch or '(none)'} has {what}; "
        "fetch it again"
    )
    raise StationError(msg)


def _entries(network: Any, source: str, placed: bool) -> Iterator[StationEntry]:  # noqa: ANN401 - obspy is untyped
    """Entries of one network: each station epoch, then its channels; RESP files place no station."""
    for station in network:
        epoch = _epoch(station)
        if placed:
            place = ChannelMetadata(**_place(station), **epoch, source=source)
            yield StationEntry(network.code, station.code, None, None, place)
        for channel in station:
            where = _place(channel) if placed else {}
            metadata = ChannelMetadata(**where, **(epoch | _epoch(channel)), **_gain(channel), source=source)
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
    """Overall sensitivity of a channel, the unit that it refers to, and its response."""
    if channel.response is None:
        return {}
    try:
        response = describe_response(channel.response)
        remark = disagreement(response) if response is not None else ""
    except (*READER_FAULTS, StationError) as error:
        response, remark = None, f"its response cannot be used: {error}; only its sensitivity is"
    named = f"{channel.code} ({channel.start_date or 'always'}): {remark}" if remark else ""
    total = channel.response.instrument_sensitivity
    if total is not None and total.value:
        output = str(total.output_units or "")
        unit = total.input_units or (response.input_unit if response is not None else None)
        values = {"sensitivity": float(total.value), "input_unit": unit or None, "output_unit": output}
        values["frequency_hz"] = None if total.frequency is None else float(total.frequency)
        return values | {"response": response, "remark": named}
    if total is not None:
        return {"remark": f"{channel.code} ({channel.start_date or 'always'}): its sensitivity is 0 and is not used"}
    if response is None or not response.sensitivity or not response.input_unit:
        return {"remark": named}
    return {"sensitivity": response.sensitivity, "input_unit": response.input_unit, "response": response} | {
        "remark": named
    }

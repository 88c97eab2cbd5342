"""Every waveform format that obspy reads: MiniSEED, SAC, GSE2, AH and others. The only user of obspy's waveforms."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import obspy
from numpy.typing import NDArray
from obspy.core.util.obspy_types import ObsPyException

from gravdask.archive.ah import ah_fault
from gravdask.archive.damage import DamagedFileError
from gravdask.archive.mseed_order import displaced_record, order_notes
from gravdask.archive.mseed_records import (
    Records,
    looks_like_mseed,
    record_bytes,
    record_pieces,
    record_table,
    records_end,
)
from gravdask.archive.mseed_traces import PlainFile, Stretch, letters_fault, plain_file
from gravdask.archive.naming import kind_of_code
from gravdask.archive.reader import READER_FAULTS, Source, read_head
from gravdask.archive.traces import ChannelId, Note, Trace, grid_pieces
from gravdask.errors import GridError, NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

_ENCODINGS = {
    "STEIM1": "int32",
    "STEIM2": "int32",
    "INT16": "int32",
    "INT24": "int32",
    "INT32": "int32",
    "CDSN": "int32",
    "SRO": "int32",
    "DWWSSN": "int32",
    "FLOAT32": "float32",
    "FLOAT64": "float64",
    "GEOSCOPE24": "float32",
    "GEOSCOPE16_3": "float32",
    "GEOSCOPE16_4": "float32",
}
"""Type of the decoded samples by MiniSEED encoding."""
_UNSET = -12345.0
"""What a SAC header holds where nothing was set."""
_WIN_GROUP = "obspy.plugin.waveform.WIN"
_UNDECODED = "Failed to decode"
"""How obspy begins to say that it left out a character of a code, which makes another channel of it."""
_ADVICE = "fetch the file again"


class WaveformReader:
    """Reader of everything that obspy knows; asked last, as its formats are many."""

    def read(self, source: Source) -> Iterator[Trace]:
        """Yield the traces of a waveform file; see `gravdask.archive.Reader`."""
        path = source.path
        head = read_head(path, 4096)
        if not head:
            raise DamagedFileError(path, None, "is empty", _ADVICE)
        mseed = looks_like_mseed(head)
        length = record_bytes(head) if mseed else None
        size = path.stat().st_size
        if length and size < length:
            what = f"MiniSEED cut off: {size} bytes, but its first record has {length} bytes; nothing is readable"
            raise DamagedFileError(path, None, what, _ADVICE)
        plain = plain_file(path, length) if length else None
        found = _from_headers(source, plain) if plain else None
        if found is None:
            stretches, records = _through_obspy(source, length, mseed)
            found = _all_traces(source, stretches, records)
        traces, notes = found
        if not traces:
            reason = notes[0].what if notes else "holds no samples"
            raise DamagedFileError(path, None, reason, "remove it")
        yield from _with_first_notes([trace for trace, _ in traces], notes)


def _all_traces(
    source: Source, stretches: list[Stretch], records: Records | None
) -> tuple[list[tuple[Trace, int]], list[Note]]:
    """Turn stretches into traces, each with the number of its first sample in the file; and what there is to say."""
    notes = order_notes(records) if records is not None else []
    return [pair for item in stretches for pair in _to_traces(source, item, records, notes)], notes


def _from_headers(source: Source, plain: PlainFile) -> tuple[list[tuple[Trace, int]], list[Note]] | None:
    """Traces of a plain file with the samples that are wanted; None if a record turns out not to be sound."""
    traces, notes = _all_traces(source, plain.stretches, plain.records)
    if source.head_only or not traces:
        return traces, notes
    parts = [(0, trace.npts) for trace, _ in traces]
    if source.wanted is not None:
        parts = [source.wanted.get(n, (0, 0)) for n in range(len(traces))]
    spans = [(at + a, at + b) for (_, at), (a, b) in zip(traces, parts, strict=True) if b > a]
    if not spans:
        return traces, notes
    first = min(a for a, _ in spans)
    values = plain.decode(first, max(b for _, b in spans))
    if values is None:
        return None
    filled = []
    for (trace, at), (a, b) in zip(traces, parts, strict=True):
        part = None if source.wanted is None else (a, b)
        filled.append(
            (replace(trace, values=values[at + a - first : at + b - first], part=part) if b > a else trace, at)
        )
    return filled, notes


def _through_obspy(source: Source, length: int | None, mseed: bool) -> tuple[list[Stretch], Records | None]:
    """Read a file with obspy: its traces, and the records of a MiniSEED file if they are all of one length.

    Raises
    ------
    NotThisFormatError
        If obspy knows no format for it.
    DamagedFileError
        If it fails, or leaves out something of a MiniSEED or AH file.
    """
    path = source.path
    if length and (fault := letters_fault(path, length)):
        raise DamagedFileError(path, None, fault, _ADVICE)
    stream, lost = _read_stream(path, head_only=source.head_only, known=mseed)
    if source.head_only and any(_head_dtype(trace) is None for trace in stream):
        stream, lost = _read_stream(path, head_only=False, known=mseed)
    one_length = mseed and {_mseed(trace, "record_length") for trace in stream} == {length}
    end = size = path.stat().st_size
    if length and one_length and size % length:  # obspy states that of a trace's first record only
        end = records_end(path)
        one_length = end != size
    _refuse_damage(path, stream, lost, length if one_length else None, end)
    records = record_table(path.read_bytes(), length) if length and one_length else None
    if records is not None and (fault := displaced_record(records)):
        raise DamagedFileError(path, None, fault, f"{_ADVICE}, or cut that record out")
    return [_stretch(trace, source.head_only) for trace in stream], records


def _stretch(trace: Any, head_only: bool) -> Stretch:  # noqa: ANN401 - obspy is untyped
    """Take over what an obspy trace says."""
    stats = trace.stats
    dtype = _head_dtype(trace) if head_only and not len(trace.data) else None
    values = None if dtype else _native(np.asarray(trace.data))
    dtype = dtype or (values.dtype.name if values is not None else "text")
    return Stretch(
        network=stats.network,
        station=stats.station,
        location=stats.location,
        code=stats.channel,
        start_ns=int(stats.starttime.ns),
        npts=int(stats.npts),
        rate_hz=float(stats.sampling_rate),
        dtype=dtype,
        values=values,
        place=_place(stats),
    )


def _with_first_notes(traces: list[Trace], notes: list[Note]) -> Iterator[Trace]:
    """Attach the notes on the file to its first trace."""
    yield replace(traces[0], notes=(*notes, *traces[0].notes))
    yield from traces[1:]


def _read_stream(path: Path, *, head_only: bool, known: bool) -> tuple[list[Any], list[str]]:
    """Let obspy read a file; masked traces come back split, and with them warnings of records that it left out.

    Raises
    ------
    NotThisFormatError
        If obspy knows no format for it.
    DamagedFileError
        If it fails.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            stream = _read_by_obspy(path, head_only=head_only, known=known)
            stream = stream if head_only else stream.split()
        except (*READER_FAULTS, ObsPyException) as error:
            unknown = isinstance(error, TypeError) and "Unknown format" in str(error)
            if not known and (unknown or (_passes_for_win(path) and not _is_win(path))):
                msg = f"{path}: not a waveform format that obspy knows"
                raise NotThisFormatError(msg) from error
            what = f"cannot be decoded: {' '.join(str(error).split())}"
            raise DamagedFileError(path, None, what, _ADVICE) from error
    if any(trace.stats.get("_format") == "WIN" for trace in stream) and not _is_win(path):
        msg = f"{path}: not a waveform format that obspy knows"
        raise NotThisFormatError(msg)
    told = [(type(w.message).__module__, str(w.message)) for w in caught]
    lost = [text for module, text in told if module.startswith("obspy.io.mseed") or text.startswith(_UNDECODED)]
    return list(stream), lost


def _read_by_obspy(path: Path, *, head_only: bool, known: bool) -> Any:  # noqa: ANN401 - obspy is untyped
    """Let obspy read a file; the bare `Exception` that it raises where a damaged file yields nothing gets a name.

    Raises
    ------
    RuntimeError
        In place of a bare Exception; errors of other classes go through.
    """
    try:
        # escaped, as obspy takes a path for a pattern
        return obspy.read(glob.escape(str(path)), headonly=head_only, check_compression=not known)
    except Exception as error:
        if type(error) is Exception:
            what = str(error).replace(str(path), "it")
            empty = what.startswith("Cannot open file/files")  # what obspy says of a file in which it finds nothing
            raise RuntimeError("it holds no whole record" if empty else what) from error
        raise


def _refuse_damage(path: Path, stream: list[Any], lost: list[str], length: int | None, end: int) -> None:
    """Raise if records of a MiniSEED or AH file are incomplete or were left out, and say what is readable of it.

    Parameters
    ----------
    length
        Bytes of every record of a MiniSEED file; None if they differ.
    end
        Byte at which its whole records end.
    """
    if fault := ah_fault(path, stream):
        raise DamagedFileError(path, None, fault, _ADVICE)
    size = path.stat().st_size
    samples = sum(trace.stats.npts for trace in stream)
    if length and size - end >= length:
        what = f"damaged MiniSEED of {size} bytes: no record begins at byte {end}, where the one before ends"
        raise DamagedFileError(path, None, what, _ADVICE)
    if length and size % length:
        what = (
            f"MiniSEED cut off: {size} bytes end with {size % length} bytes of a record of {length}; "
            f"the first {size // length} records ({samples} samples) are readable"
        )
        raise DamagedFileError(path, None, what, f"{_ADVICE}, or cut it to {size - size % length} bytes")
    if lost:
        what = f"damaged MiniSEED of {size} bytes: {lost[0]} ({samples} samples are readable)"
        raise DamagedFileError(path, None, what, _ADVICE)


def _passes_for_win(path: Path) -> bool:
    """Whether obspy takes a file for WIN, as it does most binary files whose bytes 5 to 10 could be a date."""
    return any(bool(entry.load()(str(path))) for entry in entry_points(group=_WIN_GROUP, name="isFormat"))


def _is_win(path: Path) -> bool:
    """Whether a file is WIN: blocks of a second with their length and, in decimal digits, their time."""
    head, size = read_head(path, 10), path.stat().st_size
    length = int.from_bytes(head[:4], "big")
    if not (len(head) == 10 and head[4:].hex().isdigit() and 10 < length <= size):
        return False
    with path.open("rb") as file:
        file.seek(length)
        following = file.read(10)
    return not following or (len(following) == 10 and following[4:].hex().isdigit())


def _mseed(trace: Any, name: str) -> Any:  # noqa: ANN401 - obspy's headers are untyped
    """Field of a trace's MiniSEED header, None if it has none."""
    return trace.stats.get("mseed", {}).get(name)


def _head_dtype(trace: Any) -> str | None:  # noqa: ANN401
    """Type that the samples will have, known from the header alone; None if it is not."""
    encoding = _mseed(trace, "encoding")
    if encoding is not None:
        return _ENCODINGS.get(encoding, "text" if encoding == "ASCII" else None)
    return "float32" if trace.stats.get("_format") == "SAC" else None


def _native(values: NDArray[Any]) -> NDArray[Any] | None:
    """Samples in a type that a trace has, in this machine's byte order, without loss; None if they are no numbers."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind in "iub":
        return values.astype(np.int32 if size < 4 or (kind == "i" and size == 4) else np.int64, copy=False)
    if kind == "f":
        return values.astype(np.float32 if size <= 4 else np.float64, copy=False)
    return None


def _place(stats: Any) -> tuple[float | None, float | None, float | None]:  # noqa: ANN401
    """Latitude, longitude and elevation that the header of a SAC, AH or K-NET file states."""
    header = stats.get("sac") or stats.get("knet") or stats.get("ah", {}).get("station", {})
    values = [
        next((_shortest(header[key]) for key in keys if key in header), None)
        for keys in (("stla", "latitude"), ("stlo", "longitude"), ("stel", "elevation"))
    ]
    latitude, longitude, elevation = (None if v is None or v == _UNSET or not np.isfinite(v) else v for v in values)
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None, None, None
    return latitude, longitude, elevation


def _shortest(value: Any) -> float:  # noqa: ANN401
    """Give the float64 of the shortest text of a number, so that a float32 34.8738 stays 34.8738."""
    return float(str(np.float32(value))) if np.float32(value) == value else float(value)


def _to_traces(
    source: Source, item: Stretch, records: Records | None, notes: list[Note]
) -> Iterator[tuple[Trace, int]]:
    """Turn a stretch into traces on the nominal grid, each with its first sample in the file; note what is left."""
    name, stated = item.name, item.rate_hz
    if not item.npts or not stated > 0 or item.dtype == "text":
        notes.append(Note(f"{name}: {item.npts} samples of {item.dtype} at {stated} Hz were left out"))
        return
    if not item.station or not item.code:
        notes.append(Note(f"{name!r}: states no station or channel, and was left out", cure="name it in its header"))
        return
    channel = ChannelId(item.network or source.options.network, item.station, item.location, item.code)
    rate = Rate.from_hz(stated)
    pieces = _pieces(source.path, item, rate, records)
    kind = kind_of_code(item.code)
    remarks = _drift_note(name, rate, stated, pieces)
    for number, (first, stop, slot) in enumerate(pieces):
        trace = Trace(
            channel=channel,
            rate=rate,
            start_ns=item.start_ns + slot * rate.seconds * SECOND_NS // rate.samples,
            npts=stop - first,
            values=None if item.values is None or source.head_only else item.values[first:stop],
            dtype=item.dtype,
            unit=None if kind == "pressure" else source.options.unit,
            kind=kind,
            stated_rate_hz=stated,
            notes=remarks if number == 0 else (),
            latitude=item.place[0],
            longitude=item.place[1],
            elevation=item.place[2],
        )
        yield trace, item.first + first


def _pieces(path: Path, item: Stretch, rate: Rate, records: Records | None) -> list[tuple[int, int, int]]:
    """Pieces of a stretch that stay on the grid, by the clock of its records or else by its stated rate."""
    if records is not None:
        name = b"".join(
            text.encode("ascii", "replace").ljust(width)
            for text, width in ((item.station, 5), (item.location, 2), (item.code, 3), (item.network, 2))
        )
        pieces = record_pieces(records, name, item.start_ns, item.npts, rate)
        if pieces:
            return pieces
    try:
        return grid_pieces(rate, item.npts, item.rate_hz)
    except GridError as error:
        raise DamagedFileError(path, None, str(error), "resample the record first") from error


def _drift_note(name: str, rate: Rate, stated_hz: float, pieces: list[tuple[int, int, int]]) -> tuple[Note, ...]:
    """Remark that the clock ran off the grid and the trace was cut."""
    if len(pieces) < 2:
        return ()
    slips = pieces[-1][2] - pieces[-1][0]
    what = f"{name}: its clock (stated rate {stated_hz} Hz) leaves the grid of {rate} by {slips:+d} samples"
    return (Note(f"{what}; cut into {len(pieces)} traces, each within half a sample"),)

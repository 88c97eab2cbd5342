"""Sound MiniSEED files without a gap in their logic, read straight from their records.

Day files of one channel, as networks keep them, are nearly all of an archive. Where every record is whole, of one
channel, rate and encoding, and follows the one before or leaves a gap, the traces follow from the headers alone, and
Steim's compression is decoded here. Whatever is not so plain, or not sound, is left to obspy, which gives the same
traces where this module gives any.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.mseed_records import (
    HEADER_BYTES,
    Records,
    header_table,
    looks_like_mseed,
    start_times,
    stated_rates,
)
from gravdask.grid import SECOND_NS

_STEIM = {10: 1, 11: 2}
"""Level of Steim's compression by MiniSEED encoding."""
_DATA, _CLOCK = (3, 232), (3, 233)
"""Numbers of the blockettes 1000 and 1001, as they are written."""
_HEAD_BYTES = 64
"""Of a record: its header and two blockettes."""
_READ_BYTES = 1 << 22
"""What is read of a file at once to look at its headers."""
_CODES = slice(8, 20)
"""Bytes of a record with the codes of station, location, channel and network."""
_SECOND = 56
"""Byte of a second blockette behind one of these two."""
_ROUNDING_NS = 3_000
"""How far two readers may disagree on where a record ends [ns]: they round to microseconds."""
_LEAP = 0x30
"""Activity flags of a record with a leap second."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of samples as a file has it.

    Attributes
    ----------
    network, station, location, code
        Whose.
    start_ns, npts, rate_hz
        Time of the first sample [ns since 1970], number of samples, stated rate.
    dtype
        Type of the samples; "text" if they are no numbers.
    values
        The samples, shape (npts,), or None when only headers were read.
    place
        Latitude, longitude and elevation, None where not stated.
    first
        Number of its first sample among those of the file.
    """

    network: str
    station: str
    location: str
    code: str
    start_ns: int
    npts: int
    rate_hz: float
    dtype: str
    values: NDArray[Any] | None
    place: tuple[float | None, float | None, float | None] = (None, None, None)
    first: int = 0

    @property
    def name(self) -> str:
        """Name of the channel, ``NET.STA.LOC.CHA``."""
        return f"{self.network}.{self.station}.{self.location}.{self.code}"


@dataclass(frozen=True)
class PlainFile:
    """A plain and sound MiniSEED file, known by its headers.

    Attributes
    ----------
    path, length
        The file, and the bytes of each of its records.
    stretches
        Its traces as obspy would give them, without samples, in the order of the file.
    records
        Its records.
    """

    path: Path
    length: int
    stretches: list[Stretch]
    records: Records
    _data_at: int
    _level: int

    def decode(self, first: int, stop: int) -> NDArray[np.int32] | None:
        """Samples of the file, counted over all its records; only the records that hold them are read.

        Returns
        -------
        samples
            Shape (stop - first,); None if a record is not sound.
        """
        from gravdask.archive import steim  # Numba is slow to import, and a scan does not need it

        at = np.concatenate([[0], np.cumsum(self.records.samples)])
        one, other = int(np.searchsorted(at, first, side="right")) - 1, int(np.searchsorted(at, stop))
        with self.path.open("rb") as file:
            file.seek(one * self.length)
            data = file.read((other - one) * self.length)
        if len(data) < (other - one) * self.length:  # it was cut since
            return None
        words = np.frombuffer(data, dtype=">u4").astype(np.uint32).reshape(-1, self.length // 4)
        values = steim.decode(words, self._data_at // 4, self.records.samples[one:other], self._level)
        return None if values is None else values[first - at[one] : stop - at[one]]


def plain_file(path: Path, length: int) -> PlainFile | None:
    """Look at the headers of a MiniSEED file; None if it is not plain and sound.

    Parameters
    ----------
    path
        The file.
    length
        Bytes of its first record.
    """
    raw = _heads(path, length)
    if raw is None:
        return None
    header = header_table(raw, ">")
    first = header[0]
    level = _level(raw, header, length)
    rates = stated_rates(header)
    rate = float(rates[0])
    if not level or not rate:
        return None
    start = start_times(header) + _microseconds(raw) * 1000
    samples = header["samples"].astype(np.int64)
    cuts = _cuts(start, samples, rate)
    if cuts is None:
        return None
    at = np.concatenate([[0], np.cumsum(samples)])
    words = (first["name"][a:b].decode("ascii").strip() for a, b in ((10, 12), (0, 5), (5, 7), (7, 10)))
    network, station, location, code = words
    stretches = [
        Stretch(
            network,
            station,
            location,
            code,
            start_ns=int(start[one]),
            npts=int(at[other] - at[one]),
            rate_hz=rate,
            dtype="int32",
            values=None,
            first=int(at[one]),
        )
        for one, other in itertools.pairwise([*cuts.tolist(), len(samples)])
    ]
    records = Records(header["name"], start, samples, rates, np.arange(samples.size), length)
    return PlainFile(path, length, stretches, records, int(first["data_at"]), level)


def _heads(path: Path, length: int) -> NDArray[np.uint8] | None:
    """First bytes of all records, shape (records, 64); None unless the file is made of whole records of that length."""
    size = path.stat().st_size
    count = size // length
    if not count or size % length or length < 2 * _HEAD_BYTES:
        return None
    heads = np.empty((count, _HEAD_BYTES), np.uint8)
    at_once = max(1, _READ_BYTES // length)
    with path.open("rb") as file:
        for first in range(0, count, at_once):
            records = min(at_once, count - first)
            data = file.read(records * length)
            if len(data) < records * length:
                return None
            heads[first : first + records] = np.frombuffer(data, np.uint8).reshape(records, length)[:, :_HEAD_BYTES]
    return heads


def letters_fault(path: Path, length: int) -> str:
    """Tell whether a record's codes hold bytes that are no letters: a channel of its own would be made of it.

    libmseed's words about such a record, and thus that its samples are damaged, do not reach obspy.

    Returns
    -------
    fault
        The first such record; '' if there is none, or the file is not made of records of this length.
    """
    raw = _heads(path, length)
    if raw is None:
        return ""
    strange = np.flatnonzero((raw[:, _CODES] >= 0x80).any(axis=1)).tolist()
    # a file with records of several lengths has samples in such places
    first = next((n for n in strange if looks_like_mseed(raw[n].tobytes())), None)
    if first is None:
        return ""
    codes = raw[first, _CODES].tobytes()
    return f"damaged MiniSEED: record {first + 1} (byte {first * length}) states the codes {codes!r}"


def _level(raw: NDArray[np.uint8], header: NDArray[Any], length: int) -> int:
    """Level of Steim's compression of all records; 0 unless they are whole, of one channel, and alike."""
    first = header[0]
    alike = all(
        bool((header[name] == first[name]).all()) for name in ("name", "quality", "factor", "multiplier", "data_at")
    )
    name, letters = first["name"].ljust(12), first["quality"]
    if not alike or letters not in (b"D", b"R", b"Q", b"M") or not name.replace(b" ", b"").isalnum():
        return 0
    if any(b" " in name[a:b].strip() for a, b in ((0, 5), (5, 7), (7, 10), (10, 12))):
        return 0
    if not (name[:5].strip() and name[7:10].strip()):
        return 0
    digits = raw[:, :6]
    good = ((digits >= 48) & (digits <= 57)).all(axis=1) & (raw[:, 7] == 32)
    year = header["year"]
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    good &= (year >= 1900) & (year <= 2100) & (header["day"] >= 1) & (header["day"] <= 365 + leap)
    good &= (header["hour"] < 24) & (header["minute"] < 60) & (header["second"] < 60) & (header["fraction"] < 10_000)
    good &= (header["samples"] > 0) & (header["activity"] & _LEAP == 0)
    good &= _plain_blockettes(raw) & (header["blockette_at"] == HEADER_BYTES)
    good &= header["blockettes"] == 1 + (raw[:, 51] == _SECOND)
    described = np.where((raw[:, 49] == _DATA[1])[:, None], raw[:, 52:55], raw[:, 60:63])
    encoding = int(described[0, 0])
    good &= (described == (encoding, 1, length.bit_length() - 1)).all(axis=1)
    data_at = int(first["data_at"])
    if not good.all() or data_at % 4 or not 64 <= data_at <= length - 64:
        return 0
    return _STEIM.get(encoding, 0)


def _plain_blockettes(raw: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the header is followed by a blockette 1000, and perhaps by a 1001 before or behind it, and by no other."""
    first, second = raw[:, 48:50], raw[:, _SECOND : _SECOND + 2]
    alone = (first == _DATA).all(axis=1) & (raw[:, 50:52] == 0).all(axis=1)
    before = (first == _DATA).all(axis=1) & (second == _CLOCK).all(axis=1)
    behind = (first == _CLOCK).all(axis=1) & (second == _DATA).all(axis=1)
    ends = (raw[:, 50:52] == (0, _SECOND)).all(axis=1) & (raw[:, _SECOND + 2 : _SECOND + 4] == 0).all(axis=1)
    return np.asarray(alone | ((before | behind) & ends))


def _microseconds(raw: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Microseconds that the blockette 1001 adds to the time of each record, 0 without one."""
    second = np.where(raw[:, 51] == _SECOND, raw[:, _SECOND + 5], 0)
    return np.where(raw[:, 49] == _CLOCK[1], raw[:, 53], second).astype(np.uint8).view(np.int8).astype(np.int64)


def _cuts(start: NDArray[np.int64], samples: NDArray[np.int64], rate: float) -> NDArray[np.int64] | None:
    """First record of each trace; None if records overlap, go back, or cannot be judged for certain."""
    interval = SECOND_NS / rate
    gap = np.diff(start) - samples[:-1] * interval
    apart = gap >= interval / 2 + _ROUNDING_NS
    if interval < 10 * _ROUNDING_NS or not (apart | (np.abs(gap) <= interval / 2 - _ROUNDING_NS)).all():
        return None
    return np.concatenate([[0], np.flatnonzero(apart) + 1])

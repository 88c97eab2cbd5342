"""Record headers of a MiniSEED 2 file, as one table: what a merged trace no longer tells.

Readers merge records into traces as long as each continues the one before within half a sample, so a clock that runs a
hair slow goes unseen although its last record lies seconds off the grid. The record headers still know; and they tell
whether the last record is whole. Field positions after the SEED manual 2.4, chapter 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gravdask.grid import DAY_NS, SECOND_NS, Rate

HEADER_BYTES = 48
_CHAIN_BYTES = 512
"""Of a record, in which its blockettes lie."""
_HEADER = (
    ("sequence", "S6"),
    ("quality", "S1"),
    ("reserved", "S1"),
    ("name", "S12"),
    ("year", "u2"),
    ("day", "u2"),
    ("hour", "u1"),
    ("minute", "u1"),
    ("second", "u1"),
    ("unused", "u1"),
    ("fraction", "u2"),
    ("samples", "u2"),
    ("factor", "i2"),
    ("multiplier", "i2"),
    ("activity", "u1"),
    ("io", "u1"),
    ("data_quality", "u1"),
    ("blockettes", "u1"),
    ("correction", "i4"),
    ("data_at", "u2"),
    ("blockette_at", "u2"),
)


@dataclass(frozen=True)
class Records:
    """The data records of a file.

    Attributes
    ----------
    name
        Station, location, channel and network as in the record (12 characters), shape (n,).
    start_ns
        Time of the first sample [ns since 1970], shape (n,).
    samples
        Samples in each record, shape (n,).
    rate_hz
        Samples a second as each record states them, 0 where it states none, shape (n,).
    number
        Number of each record within the file, counted from 0, shape (n,).
    length
        Bytes of a record.
    """

    name: NDArray[np.bytes_]
    start_ns: NDArray[np.int64]
    samples: NDArray[np.int64]
    rate_hz: NDArray[np.float64]
    number: NDArray[np.int64]
    length: int


def looks_like_mseed(head: bytes) -> bool:
    """Whether a file begins with a MiniSEED 2 record: a number of six digits and one of the letters D, R, Q, M."""
    number = head[:6].strip(b" \0")
    return (
        len(head) >= HEADER_BYTES and (number.isdigit() or not number) and head[6:7] in b"DRQM" and head[7:8] in b" \0"
    )


def byte_order(head: bytes) -> Literal[">", "<"]:
    """Byte order of a record, ``>`` or ``<``, by which of them makes a possible year and day; ``>`` if neither does."""
    (year, day), (other_year, other_day) = (np.frombuffer(head[20:24], order).tolist() for order in (">u2", "<u2"))
    big = 1900 <= year <= 2150 and 1 <= day <= 366
    little = 1900 <= other_year <= 2150 and 1 <= other_day <= 366
    return "<" if little and not big else ">"


def record_bytes(head: bytes) -> int | None:
    """Length of the first record in bytes, from its blockette 1000; None if it has none."""
    order = byte_order(head)
    at = int(np.frombuffer(head[46:48], dtype=order + "u2")[0])
    for _ in range(16):
        if not HEADER_BYTES <= at <= len(head) - 8:
            return None
        kind, following = np.frombuffer(head[at : at + 4], dtype=order + "u2").tolist()
        if kind == 1000:
            exponent = head[at + 6]
            return 2**exponent if 7 <= exponent <= 20 else None
        at = following
    return None


def records_end(path: Path) -> int:
    """Byte at which the whole records of a file end, each of the length that it states: its size, if it is sound."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(_CHAIN_BYTES)
            length = record_bytes(head) if looks_like_mseed(head) else None
            if length is None or at + length > size:
                break
            at += length
    return at


def record_table(data: bytes, length: int) -> Records:
    """Read the record headers of a file whose records all have the same length.

    Parameters
    ----------
    data
        The file.
    length
        Bytes of a record.

    Returns
    -------
    records
        Those with samples, in the order of the file; times include blockette 1001 and the time correction.
    """
    count = len(data) // length
    order = byte_order(data)
    raw = np.frombuffer(data[: count * length], dtype=np.uint8).reshape(count, length)
    header = header_table(raw, order)
    start = start_times(header)
    start += _microseconds(raw, header["blockette_at"].astype(np.int64), order) * 1000
    holds = (header["samples"] > 0) & (header["factor"] != 0)
    samples, rate = header["samples"].astype(np.int64), stated_rates(header)
    return Records(header["name"][holds], start[holds], samples[holds], rate[holds], np.flatnonzero(holds), length)


def header_table(raw: NDArray[np.uint8], order: Literal[">", "<"]) -> NDArray[Any]:
    """Fields of the record headers, shape (records,), of records in bytes, shape (records, length)."""
    return np.ascontiguousarray(raw[:, :HEADER_BYTES]).view(np.dtype(list(_HEADER)).newbyteorder(order))[:, 0]


def stated_rates(header: NDArray[Any]) -> NDArray[np.float64]:
    """Samples a second as the two fields of each header say, 0 where they say nothing, shape (records,)."""
    factor, multiplier = (header[name].astype(np.float64) for name in ("factor", "multiplier"))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(factor > 0, factor, -1.0 / factor)
        rate = np.where(multiplier > 0, rate * multiplier, -1.0 * (rate / multiplier))
    return np.where((factor != 0) & (multiplier != 0), rate, 0.0)


def start_times(header: NDArray[Any]) -> NDArray[np.int64]:
    """Time of each record's first sample [ns since 1970] with its time correction, without blockette 1001."""
    year = header["year"].astype(np.int64)
    days = (np.clip(year, 1900, 2150) - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    clock = (header["hour"].astype(np.int64) * 60 + header["minute"]) * 60 + header["second"]
    start: NDArray[np.int64] = (days + header["day"].astype(np.int64) - 1) * DAY_NS + clock * SECOND_NS
    start += header["fraction"].astype(np.int64) * 100_000
    pending = (header["activity"] & 2) == 0  # the time correction has not been applied to the start time yet
    start += np.where(pending, header["correction"].astype(np.int64), 0) * 100_000
    return start


def _microseconds(raw: NDArray[np.uint8], at: NDArray[np.int64], order: str) -> NDArray[np.int64]:
    """Microseconds of blockette 1001 of each record, zero without one; follows at most four blockettes."""
    rows = np.arange(len(raw))
    found = np.zeros(len(raw), dtype=np.int64)
    high, low = (0, 1) if order == ">" else (1, 0)
    for _ in range(4):
        safe = np.where((at >= HEADER_BYTES) & (at <= raw.shape[1] - 8), at, 0)
        kind = raw[rows, safe + high].astype(np.int64) * 256 + raw[rows, safe + low]
        here = (safe > 0) & (kind == 1001)
        found = np.where(here, raw[rows, safe + 5].view(np.int8), found)
        at = np.where(safe > 0, raw[rows, safe + 2 + high].astype(np.int64) * 256 + raw[rows, safe + 2 + low], 0)
    return found


def record_pieces(records: Records, name: bytes, start_ns: int, npts: int, rate: Rate) -> list[tuple[int, int, int]]:
    """Cut a merged trace where its records' own clock is half an interval or more off the grid of its first sample.

    Parameters
    ----------
    records
        Of the whole file.
    name
        Whose records the trace consists of, as in `Records.name`.
    start_ns, npts
        Start and length of the merged trace.
    rate
        Nominal rate.

    Returns
    -------
    pieces
        ``(first sample, stop sample, first slot on the grid)`` of each piece; empty if the records cannot be matched
        with the trace (overlapping records of one channel).
    """
    mine = records.name == name
    order = np.argsort(records.start_ns[mine], kind="stable")
    start, samples = records.start_ns[mine][order], records.samples[mine][order]
    first = int(np.searchsorted(start, start_ns - 1000))
    before = np.concatenate([[0], np.cumsum(samples[first:])])
    last = int(np.searchsorted(before, npts))
    if last >= before.size or before[last] != npts or abs(int(start[first]) - start_ns) > 1000:
        return []
    slot = np.rint((start[first : first + last] - start_ns) / float(rate.interval_ns)).astype(np.int64)
    shift = slot - before[:last]
    cuts = np.flatnonzero(np.diff(shift, prepend=shift[0] - 1))
    bounds = [*before[cuts].tolist(), npts]
    return [(bounds[n], bounds[n + 1], int(slot[cut])) for n, cut in enumerate(cuts.tolist())]

"""Whether the records of a MiniSEED file stand in an order that whole headers give.

A bit that is lost in a record's header makes a sound record of another channel, rate or time out of it, and nothing in
MiniSEED 2 tells. Its neighbours do: they leave the room that it had.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gravdask.archive.mseed_records import Records
from gravdask.archive.traces import Note
from gravdask.grid import DAY_NS, SECOND_NS, utc_text

USUAL = 10
"""Records of a channel from which a single other one is worth a note."""
CURE = "compare it with the same record from elsewhere, or cut it out"


def displaced_record(records: Records) -> str:
    """Tell of a record that states another channel, rate or time than its neighbours leave room for.

    Parameters
    ----------
    records
        Of a whole file, in its order.

    Returns
    -------
    fault
        The first one; '' if there is none.
    """
    if records.start_ns.size < 3 or not (records.rate_hz > 0).all():
        return ""
    kinds, alone = _kinds(records)
    interval = SECOND_NS / records.rate_hz
    end = records.start_ns + np.rint(records.samples * interval).astype(np.int64)
    before, after, one = slice(None, -2), slice(2, None), slice(1, -1)
    near = interval[before] / 2
    misfit = records.start_ns[after] - end[before] - records.samples[one] * interval[before]
    fits = (kinds[before] == kinds[after]) & (np.abs(misfit) < near)
    at_its_time = np.abs(records.start_ns[one] - end[before]) < near
    same = kinds[one] == kinds[before]
    for number in np.flatnonzero(fits & np.where(same, ~at_its_time, at_its_time & alone[one])).tolist():
        expected = int(end[number])
        mine = kinds == kinds[number]
        if not (mine & (np.abs(records.start_ns - expected) < near[number])).any():  # nobody else fills the room
            stated, whose = _described(records, number + 1), _channel(records, number)
            room = f"the records around it leave room for {whose} from {utc_text(expected)}"
            return f"damaged MiniSEED: {_place(records, number + 1)} states {stated}; {room}"
    return ""


def order_notes(records: Records) -> list[Note]:
    """Remarks on records that stand behind later ones, lie days from all others, or are the only one of a channel."""
    if not (records.rate_hz > 0).all() or _in_order(records):
        return []
    kinds, alone = _kinds(records)
    notes = []
    steps = [n for kind in np.unique(kinds) for n in _steps_back(records, np.flatnonzero(kinds == kind))]
    if steps:
        count = f"{len(steps)} records stand" if len(steps) > 1 else "a record stands"
        what = f"{count} behind later ones, the first {_place(records, min(steps))}; they are used as they are dated"
        notes.append(Note(what, cure="fetch the file again if that is not meant"))
    strangers = _strangers(records, kinds, alone)
    for number in strangers if len(strangers) == 1 else ():  # volumes of many channels have several that are meant
        what = f"{_place(records, number)} is the only one of {_channel(records, number)}; it is used as it stands"
        notes.append(Note(what, cure=CURE))
    for kind in np.unique(kinds):
        notes += _days_apart(records, np.flatnonzero(kinds == kind))
    return notes


def _days_apart(records: Records, mine: NDArray[np.intp]) -> list[Note]:
    """Remark on one record of many of a channel that lies more than a day from all others."""
    if mine.size <= USUAL:
        return []
    order = mine[np.argsort(records.start_ns[mine], kind="stable")]
    wide = np.diff(records.start_ns[order]) > DAY_NS
    lone = np.flatnonzero(np.concatenate([[True], wide]) & np.concatenate([wide, [True]]))
    if lone.size != 1:
        return []
    number = int(order[lone[0]])
    what = (
        f"{_place(records, number)} lies days from all others, {_described(records, number)}; it is used as it stands"
    )
    return [Note(what, cure=CURE)]


def _in_order(records: Records) -> bool:
    """Whether there is nothing to remark on: one channel and rate, forward in time, without a gap of a day."""
    steps = np.diff(records.start_ns)
    alike = (records.name[1:] == records.name[:-1]) & (records.rate_hz[1:] == records.rate_hz[:-1])
    return bool((alike & (steps >= 0) & (steps <= DAY_NS)).all())


def _kinds(records: Records) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Number each record's channel and rate; and whether it is the only record of them."""
    about = np.rec.fromarrays([records.name, records.rate_hz])
    _, kinds, counts = np.unique(about, return_inverse=True, return_counts=True)
    return kinds, counts[kinds] == 1


def _steps_back(records: Records, mine: NDArray[np.intp]) -> list[int]:
    """Records of a channel that begin before the one that stands before them does."""
    back = np.diff(records.start_ns[mine]) < -SECOND_NS / records.rate_hz[mine[1:]] / 2
    found: list[int] = mine[1:][back].tolist()
    return found


def _strangers(records: Records, kinds: NDArray[np.intp], alone: NDArray[np.bool_]) -> list[int]:
    """Records whose channel differs by one character, or whose rate differs, from one of many records."""
    letters = np.ascontiguousarray(records.name.astype("S12")).view(np.uint8).reshape(-1, 12)
    usual = [int(np.argmax(kinds == kind)) for kind in np.flatnonzero(np.bincount(kinds) >= USUAL)]
    return [
        number
        for number in np.flatnonzero(alone).tolist()
        if any(int((letters[number] != letters[other]).sum()) <= 1 for other in usual)
    ]


def _place(records: Records, number: int) -> str:
    """Where a record stands in its file."""
    return f"record {int(records.number[number]) + 1} (byte {int(records.number[number]) * records.length})"


def _described(records: Records, number: int) -> str:
    """Channel, rate and time of a record."""
    return f"{_channel(records, number)} from {utc_text(int(records.start_ns[number]))}"


def _channel(records: Records, number: int) -> str:
    """Channel and rate of a record."""
    name = bytes(records.name[number]).ljust(12).decode("ascii", "replace")
    codes = ".".join(name[a:b].strip() for a, b in ((10, 12), (0, 5), (5, 7), (7, 10)))
    return f"{codes} at {records.rate_hz[number]:g} Hz"

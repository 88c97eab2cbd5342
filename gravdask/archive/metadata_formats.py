"""Recognising files that tell of stations and instruments; knows no obspy, as every file of a scan passes here."""

from __future__ import annotations

import re
from pathlib import Path

STATIONXML, RESP, DATALESS = "stationxml", "resp", "dataless"
"""Names of the formats of metadata."""
_STATIONXML_MARK = b"FDSNStationXML"
_RESP_LINE = re.compile(rb"^B05[02]F\d\d\s", re.MULTILINE)
_SEED_HEAD = re.compile(rb"^\d{6}V[ *]01[01]\d{4}")
_HEAD_BYTES = 8192
_MOST_RECORDS = 100_000


def metadata_format(path: Path, head: bytes | None = None) -> str:
    """Format of a file of metadata by its first kilobytes, '' if it is none or cannot be opened.

    Parameters
    ----------
    path
        The file.
    head
        Its first 8192 bytes if they are at hand.
    """
    if head is None:
        try:
            with path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
        except OSError:
            return ""
    if _STATIONXML_MARK in head:
        return STATIONXML
    if _RESP_LINE.search(head):
        return RESP
    if _SEED_HEAD.match(head) and not _holds_data(path, head):
        return DATALESS
    return ""


def seed_record_bytes(head: bytes) -> int:
    """Length of the records of a SEED volume, which its first 21 bytes say."""
    exponent = head[19:21]  # blockette 010: type 3, length 4, version 4, then the exponent of the record length
    return 2 ** int(exponent) if exponent.isdigit() and 8 <= int(exponent) <= 20 else 4096


def _holds_data(path: Path, head: bytes) -> bool:
    """Whether a SEED volume holds data records besides its control headers: then it is a record, no dataless."""
    length = seed_record_bytes(head)
    try:
        with path.open("rb") as file:
            for number in range(_MOST_RECORDS):
                file.seek(number * length)
                start = file.read(7)
                if len(start) < 7:
                    return False
                if start[6:7] in b"DRQM":
                    return True
    except OSError:
        return True
    return True

"""What is on disk: readers of record files, station coordinates, and an index of a whole archive.

`scan` lists every file of an archive and the gap-free traces in it; `diff` compares two such lists; `read_file` reads
one file. Readers are found by entry points (group ``gravdask.readers``), so that another package can add a format.
"""

from __future__ import annotations

from gravdask.archive.damage import DamagedFileError, Problem
from gravdask.archive.index import ArchiveIndex, scan
from gravdask.archive.index_diff import IndexDiff, diff
from gravdask.archive.reader import Reader, ReadOptions, Source, read_file
from gravdask.archive.stations import ChannelMetadata, StationConflict, StationTable
from gravdask.archive.traces import ChannelId, Note, Trace

__all__ = [
    "ArchiveIndex",
    "ChannelId",
    "ChannelMetadata",
    "DamagedFileError",
    "IndexDiff",
    "Note",
    "Problem",
    "ReadOptions",
    "Reader",
    "Source",
    "StationConflict",
    "StationTable",
    "Trace",
    "diff",
    "read_file",
    "scan",
]

"""The index of the archive as the store keeps it, wherever the store is."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from gravdask.archive.index import ArchiveIndex
from gravdask.archive.lookalikes import told_problems
from gravdask.store.place import Place


def load_index(place: Place) -> ArchiveIndex:
    """Read an index.

    Raises
    ------
    ReadError
        If it is damaged or of another version.
    FileNotFoundError
        If it is not there.
    """
    if place.local is not None:
        return ArchiveIndex.load(place.local)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, place.name)
        copy.write_bytes(place.read())
        return ArchiveIndex.load(copy)


def problems_only(index: ArchiveIndex) -> ArchiveIndex:
    """Let go of the tables of an index, a gigabyte for millions of files, once everything is placed."""
    nothing = np.zeros(0, np.int64)
    told = tuple(told_problems(index))
    return replace(index, files=index.files.take(nothing), traces=index.traces.take(nothing), problems=told)


def save_index(place: Place, index: ArchiveIndex) -> None:
    """Write an index; a reader sees the old one or the new one, never a part."""
    if place.local is not None:
        index.save(place.local)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, place.name)
        index.save(copy)
        place.write(copy.read_bytes())

"""A board on which jobs beside each other write down what they found, so that the others need not look for it.

Rows are plain JSON. Each client writes objects of its own and reads those of the others, each once; nothing is changed
and nobody waits. What is on it is of use only while the jobs work: the first client that has everything takes it down.
"""

from __future__ import annotations

import gzip
import json
import uuid
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from gravdask.store.place import Place

FOLDER = "tables/scan"
"""Beside the hierarchy of the store."""


class Board:
    """Rows from and for the other jobs on a store.

    Parameters
    ----------
    store
        Place of the store.
    subject
        What the rows are about: only clients with the same subject see each other's.
    guard
        Called before anything is written: raises where this client must not write any more.
    """

    def __init__(self, store: Place, subject: str, guard: Callable[[], None] = lambda: None) -> None:
        self._guard = guard
        self._folder = store / FOLDER / subject
        self._me = uuid.uuid4().hex
        self._written = 0
        self._seen: set[str] = set()

    def put(self, rows: list[Any]) -> None:
        """Write rows for the others."""
        if not rows:
            return
        self._guard()
        name = f"{self._me}-{self._written:06d}.json.gz"
        (self._folder / name).write(gzip.compress(json.dumps(rows).encode(), 1, mtime=0))
        self._seen.add(name)
        self._written += 1

    def fresh(self) -> Iterator[Any]:
        """Give the rows that others wrote since the last look; what cannot be read is left out."""
        for entry in self._folder.entries():
            if entry.name in self._seen or not entry.name.endswith(".json.gz"):
                continue
            self._seen.add(entry.name)
            try:
                rows = json.loads(gzip.decompress((self._folder / entry.name).read()))
            except (OSError, EOFError, ValueError, zlib.error):
                continue
            yield from rows if isinstance(rows, list) else ()

    @staticmethod
    def take_down(store: Place) -> None:
        """Remove all boards of a store."""
        (store / FOLDER).discard()

"""Which shards are really there: a record of a finished unit is believed only while its shard is as it was written.

Shards that hold nothing are never written by Zarr, so only records that speak of values are held against the store, and
against the size that they state: a copy that broke off or a power cut leaves a part. A folder is listed array by array,
a bucket once as a whole, a thousand objects a request.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gravdask.store.ledger import Record
from gravdask.store.place import Place

WITNESS = {
    "convert": "raw/record",
    "noise": "noise/snm",
    "scatter": "scattering/coefficients",
    "classify": "classes/component",
}
"""Array of each stage whose shard a unit with values must have written."""
EXAMPLES = 3
"""Lost shards that are named."""
_VALUES = {"noise": "days", "scatter": "frames", "classify": "frames"}
_SHARD = re.compile(r"^(?P<array>.+)/c/(?P<unit>\d+)(/\d+)*$")


Sizes = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Numbers of the shards of an array, sorted, and their sizes [bytes]."""


class Presence:
    """Shards of a store, listed when they are first asked for.

    Sizes are kept as numbers side by side, and lost shards as bits: a store has millions of them.

    Parameters
    ----------
    store
        Place of the store.
    """

    def __init__(self, store: Place) -> None:
        self._store = store
        self._sizes: dict[str, Sizes] | None = None if store.local is None else {}
        self._told: dict[str, int] = {}
        self._count = 0
        self._examples: list[str] = []

    def lacks(self, record: Record) -> bool:
        """Whether the shard of a finished unit that holds values is gone or cut; what was found is in the notes."""
        witness = WITNESS.get(record.stage)
        values = record.content if record.stage == "convert" else record.info.get(_VALUES.get(record.stage, ""), 0)
        if witness is None or not values or record.status != "done":
            return False
        path, stated = f"{record.channel}/{witness}", record.info.get("bytes")
        units, sizes = self._listed(path)
        place = int(np.searchsorted(units, record.unit))
        size = int(sizes[place]) if place < units.size and units[place] == record.unit else 0
        if not (size and stated in {None, size}):
            size = self._size(path, record.unit)  # it may have been written since the list was made
        if size and stated in {None, size}:
            return False
        told, bit = self._told.get(path, 0), 1 << record.unit
        if not told & bit:
            self._told[path] = told | bit
            self._count += 1
            if len(self._examples) < EXAMPLES:
                self._examples.append(f"{path} unit {record.unit}")
        return True

    def notes(self) -> list[str]:
        """What was found lost since the last call and not told before, in words."""
        count, named = self._count, ", ".join(self._examples)
        self._count, self._examples = 0, []
        if not count:
            return []
        more = f" and {count - EXAMPLES} more" if count > EXAMPLES else ""
        return [
            f"{count} shards are gone from the store, or not as they were written, and are made again: {named}{more}"
        ]

    def _listed(self, path: str) -> Sizes:
        """Shards of an array with their sizes."""
        if self._sizes is None:
            found: dict[str, array[int]] = {}
            for entry in self._store.walk():
                match = _SHARD.match(entry.name)
                if match:
                    found.setdefault(match["array"], array("q")).extend((int(match["unit"]), entry.size))
            self._sizes = {name: _sorted(numbers) for name, numbers in found.items()}
        if path not in self._sizes and self._store.local is not None:
            entries = ((e.name.split("/")[0], e.size) for e in (self._store / path / "c").walk())
            self._sizes[path] = _sorted(n for name, size in entries if name.isdigit() for n in (int(name), size))
        return self._sizes.get(path, _sorted(()))

    def _size(self, path: str, unit: int) -> int:
        """Size [bytes] of a shard as it is now, 0 if it is not there."""
        place = self._store / path / "c" / str(unit)
        own = place.stat()
        return own.size if own is not None and own.size else max((e.size for e in place.walk()), default=0)


def _sorted(numbers: Iterable[int]) -> Sizes:
    """Sort units with their sizes, given in turn; of a unit that is given twice the last counts."""
    pairs = np.array(numbers if isinstance(numbers, array) else array("q", numbers), np.int64).reshape(-1, 2)[::-1]
    units, first = np.unique(pairs[:, 0], return_index=True)
    return units, pairs[first, 1]

"""Which shards are really there: a record of a finished unit is believed only while its shard exists.

Shards that hold nothing are never written by Zarr, so only records that speak of values are held against the store.
A folder is listed array by array, a bucket once as a whole, a thousand objects a request.
"""

from __future__ import annotations

import re

from gravdask.store.ledger import Record
from gravdask.store.place import Place

WITNESS = {
    "convert": "raw/record",
    "noise": "noise/snm",
    "scatter": "scattering/coefficients",
    "classify": "classes/component",
}
"""Array of each stage whose shard a unit with values must have written."""
_VALUES = {"noise": "days", "scatter": "frames", "classify": "frames"}
_SHARD = re.compile(r"^(?P<array>.+)/c/(?P<unit>\d+)(/\d+)*$")


class Presence:
    """Shards of a store, listed when they are first asked for.

    Parameters
    ----------
    store
        Place of the store.
    """

    def __init__(self, store: Place) -> None:
        self._store = store
        self._units: dict[str, set[int]] | None = None if store.local is None else {}
        self.lost: list[str] = []

    def lacks(self, record: Record) -> bool:
        """Whether the shard of a finished unit that holds values is gone or empty; it is then added to ``lost``."""
        array = WITNESS.get(record.stage)
        values = record.content if record.stage == "convert" else record.info.get(_VALUES.get(record.stage, ""), 0)
        if array is None or not values or record.status != "done":
            return False
        path = f"{record.channel}/{array}"
        # What is not in the list may have been written since it was made.
        if record.unit in self._listed(path) or self._there(path, record.unit):
            return False
        self.lost.append(f"{path} unit {record.unit}")
        return True

    def notes(self) -> list[str]:
        """What was found lost since the last call, in words."""
        lost, self.lost = self.lost, []
        if not lost:
            return []
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        return [f"{len(lost)} shards are gone from the store and are made again: {', '.join(lost[:3])}{more}"]

    def _listed(self, path: str) -> set[int]:
        """Units of an array whose shards hold something."""
        if self._units is None:
            self._units = {}
            for entry in self._store.walk():
                match = _SHARD.match(entry.name) if entry.size else None
                if match:
                    self._units.setdefault(match["array"], set()).add(int(match["unit"]))
        if path not in self._units and self._store.local is not None:
            found = (e.name.split("/")[0] for e in (self._store / path / "c").walk() if e.size)
            self._units[path] = {int(name) for name in found if name.isdigit()}
        return self._units.get(path, set())

    def _there(self, path: str, unit: int) -> bool:
        """Whether a shard holds something now."""
        place = self._store / path / "c" / str(unit)
        own = place.stat()
        return bool(own is not None and own.size) or any(e.size for e in place.walk())

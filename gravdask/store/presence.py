"""Which shards are really there: a record of a finished unit is believed only while its shard is as it was written.

Shards that hold nothing are never written by Zarr, so only records that speak of values are held against the store, and
against the size that they state: a copy that broke off or a power cut leaves a part. A folder is listed array by array,
a bucket once as a whole, a thousand objects a request.
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
        self._sizes: dict[str, dict[int, int]] | None = None if store.local is None else {}
        self.lost: list[str] = []

    def lacks(self, record: Record) -> bool:
        """Whether the shard of a finished unit that holds values is gone or cut; it is then added to ``lost``."""
        array = WITNESS.get(record.stage)
        values = record.content if record.stage == "convert" else record.info.get(_VALUES.get(record.stage, ""), 0)
        if array is None or not values or record.status != "done":
            return False
        path, stated = f"{record.channel}/{array}", record.info.get("bytes")
        size = self._listed(path).get(record.unit, 0)
        if not (size and stated in {None, size}):
            size = self._size(path, record.unit)  # it may have been written since the list was made
        if size and stated in {None, size}:
            return False
        self.lost.append(f"{path} unit {record.unit}")
        return True

    def notes(self) -> list[str]:
        """What was found lost since the last call, in words."""
        lost, self.lost = self.lost, []
        if not lost:
            return []
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        return [
            f"{len(lost)} shards are gone from the store, or not as they were written, and are made again: "
            f"{', '.join(lost[:3])}{more}"
        ]

    def _listed(self, path: str) -> dict[int, int]:
        """Sizes [bytes] of the shards of an array."""
        if self._sizes is None:
            self._sizes = {}
            for entry in self._store.walk():
                match = _SHARD.match(entry.name)
                if match:
                    self._sizes.setdefault(match["array"], {})[int(match["unit"])] = entry.size
        if path not in self._sizes and self._store.local is not None:
            found = ((e.name.split("/")[0], e.size) for e in (self._store / path / "c").walk())
            self._sizes[path] = {int(name): size for name, size in found if name.isdigit()}
        return self._sizes.get(path, {})

    def _size(self, path: str, unit: int) -> int:
        """Size [bytes] of a shard as it is now, 0 if it is not there."""
        place = self._store / path / "c" / str(unit)
        own = place.stat()
        return own.size if own is not None and own.size else max((e.size for e in place.walk()), default=0)

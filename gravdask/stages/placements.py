"""The places of a channel's traces on its grid, kept as columns, and what they touch.

A network has millions of traces. A `Placement` is made of the columns when one is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np
from numpy.typing import NDArray

from gravdask.config import digest

Texts = Callable[[NDArray[np.int64]], list[str]]
"""Gives the texts of some rows of a table."""


@dataclass(frozen=True)
class Placement:
    """A trace's place on its channel's grid.

    Attributes
    ----------
    path, digest, number
        File, digest of its content, and number of the trace within it.
    start, npts
        Sample index of the first sample, and how many there are.
    recipe
        What made the values besides the file, such as a rule of resampling or the layout of a table; '' for nothing.
    """

    path: str
    digest: str
    number: int
    start: int
    npts: int
    recipe: str = ""

    @property
    def stop(self) -> int:
        """Sample index after the last."""
        return self.start + self.npts


class Placements(Sequence[Placement]):
    """Placements of one channel, in the order of their places.

    Parameters
    ----------
    start, npts, number
        As of a `Placement`, shape (traces,).
    rows
        Rows of the table that the texts are taken from, shape (traces,).
    path, digest, recipe
        Give texts by row.
    """

    def __init__(
        self,
        start: NDArray[np.int64],
        npts: NDArray[np.int64],
        number: NDArray[np.int64],
        rows: NDArray[np.int64],
        path: Texts,
        digest: Texts,
        recipe: Texts,
    ) -> None:
        self.start, self.npts, self._number, self._rows = start, npts, number, rows
        self._path, self._digest, self._recipe = path, digest, recipe

    @classmethod
    def of(cls, placements: Iterable[Placement]) -> Placements:
        """Keep placements that were made one by one, in their order; those that are kept as columns come back."""
        if isinstance(placements, Placements):
            return placements
        made = list(placements)

        def column(name: str) -> NDArray[np.int64]:
            return np.array([getattr(p, name) for p in made], np.int64)

        def texts(name: str) -> Texts:
            return lambda rows: [getattr(made[row], name) for row in rows.tolist()]

        start, npts, number = column("start"), column("npts"), column("number")
        rows = np.arange(len(made), dtype=np.int64)
        return cls(start, npts, number, rows, texts("path"), texts("digest"), texts("recipe"))

    @property
    def stop(self) -> NDArray[np.int64]:
        """Sample index after the last of each, shape (traces,)."""
        return self.start + self.npts

    @property
    def spans(self) -> NDArray[np.int64]:
        """First sample of each, and the one after its last, shape (traces, 2)."""
        return np.stack([self.start, self.stop], axis=1)

    def __len__(self) -> int:
        """Number of traces."""
        return self.start.size

    @overload
    def __getitem__(self, item: int) -> Placement: ...
    @overload
    def __getitem__(self, item: slice) -> list[Placement]: ...
    def __getitem__(self, item: int | slice) -> Placement | list[Placement]:
        """One placement, or a list of several."""
        if isinstance(item, slice):
            return self.chosen(np.arange(len(self))[item])
        return self.chosen(np.arange(len(self))[[item]])[0]

    def __iter__(self) -> Iterator[Placement]:
        """Make all of them."""
        return iter(self.chosen(np.arange(len(self))))

    def chosen(self, which: NDArray[np.intp]) -> list[Placement]:
        """Make some of them, by their numbers."""
        rows = self._rows[which]
        numbers = (column[which].tolist() for column in (self._number, self.start, self.npts))
        told = zip(self._path(rows), self._digest(rows), *numbers, self._recipe(rows), strict=True)
        return [Placement(*values) for values in told]

    def within(self, start: int, stop: int) -> list[Placement]:
        """Make those that have samples in a range of indices."""
        return self.chosen(np.flatnonzero((self.start < stop) & (self.stop > start)))

    def chunks(self, size: int) -> NDArray[np.int64]:
        """Numbers of the chunks of so many samples that any trace touches, sorted."""
        first, last = self.start // size, -(-self.stop // size)
        edges = np.unique(np.concatenate([first, last]))
        held = np.searchsorted(np.sort(first), edges, "right") > np.searchsorted(np.sort(last), edges, "right")
        turns = edges[np.flatnonzero(np.diff(held, prepend=False))].reshape(-1, 2).tolist()
        return np.concatenate([np.zeros(0, np.int64), *(np.arange(begin, end) for begin, end in turns)])

    def runs(self, size: int) -> Iterator[tuple[int, int, str]]:
        """Digest of all traces that touch a chunk of so many samples, for every run of chunks where they are the same.

        Gives the first chunk of each run and the one after its last, in their order; chunks without a trace are in
        none.
        """
        begins: dict[int, list[int]] = {}
        ends: dict[int, list[int]] = {}
        for place, (first, last) in enumerate((self.spans // [size, -size] * [1, -1]).tolist()):
            begins.setdefault(first, []).append(place)
            ends.setdefault(last, []).append(place)
        about = zip(
            *(self._digest(self._rows), self._number.tolist(), self.start.tolist(), self.npts.tolist()),
            self._recipe(self._rows),
            strict=True,
        )
        items: list[tuple[str | int, ...]] = [(*told, recipe) if recipe else tuple(told) for *told, recipe in about]
        touching: set[int] = set()
        for edge, following in pairwise(sorted(begins.keys() | ends.keys())):
            touching.difference_update(ends.get(edge, ()))
            touching.update(begins.get(edge, ()))
            if touching:
                yield edge, following, digest(sorted({items[place] for place in touching}))

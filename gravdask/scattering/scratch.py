"""Memory that a thread of the engine uses again and again, and the signals that its stages hand to each other."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravdask.scattering.lanes import LANES, aligned


class Scratch(threading.local):
    """Arrays by name, one set a thread; they grow and are never given back."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[Hashable, str], NDArray[Any]] = {}

    def flat(self, name: Hashable, size: int, dtype: str = "float32") -> NDArray[Any]:
        """Array of ``size`` numbers on a cache line, of unknown content."""
        array = self._arrays.get((name, dtype))
        if array is None or array.size < size:
            array = self._arrays[name, dtype] = aligned((size,), dtype)
        return array[:size]

    def vectors(self, name: Hashable, count: int) -> NDArray[np.float32]:
        """``count`` vectors of single precision."""
        return self.flat(name, count * LANES)


SCRATCH = Scratch()


class Signals:
    """Signals of one order that a stage takes in, each with its halo in front.

    Attributes
    ----------
    rows
        The signals, shape (n_signals, length); zero but for the ``filled`` samples behind the halo.
    flat
        The same, and behind it a place for what nobody wants.
    """

    def __init__(
        self, name: Hashable, signals: int, halo: int, length: int, written: int, dtype: str, filled: int
    ) -> None:
        self.halo, self.length = halo, length
        self.waste = signals * length
        self.flat = SCRATCH.flat(("signals", name), self.waste + written, dtype)
        self.rows = self.flat[: self.waste].reshape(signals, length)
        # what is certain to be written need not be cleared
        self.rows[:, :halo] = 0.0
        self.rows[:, halo + filled :] = 0.0

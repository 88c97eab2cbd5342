"""Records in memory for the tests of what is read by absolute sample numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def reader() -> Callable[..., Callable[[int, int], NDArray[np.float64]]]:
    """Make what reads samples in memory, the first of them at ``origin``; NaN beyond them."""

    def of(values: NDArray[np.float64], origin: int = 0) -> Callable[[int, int], NDArray[np.float64]]:
        def read(start: int, stop: int) -> NDArray[np.float64]:
            window = np.full(stop - start, np.nan)
            low, high = max(start, origin), min(stop, origin + values.size)
            if low < high:
                window[low - start : high - start] = values[low - origin : high - origin]
            return window

        return read

    return of

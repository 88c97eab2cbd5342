"""Names for the kinds of arrays that this package passes around."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float: TypeAlias = NDArray[np.float64]
"""Array of float64."""
Index: TypeAlias = NDArray[np.int64]
"""Array of component or row numbers."""
Rows: TypeAlias = NDArray[Any]
"""Rows of one block in memory, (n_rows, n_features), of any real type."""
MatrixLike: TypeAlias = Any
"""X of the estimator: ndarray, what NumPy makes one of, or dask array, (n_rows, n_features)."""
VectorLike: TypeAlias = Any
"""One value per row, (n_rows,): ndarray, what NumPy makes one of, or dask array; None or a number where allowed."""
StartLike: TypeAlias = Any
"""Start values from the user: None or what NumPy makes an array of."""
Seed: TypeAlias = int | np.random.RandomState | None
"""Seed of the random generator, as in scikit-learn."""
Handle: TypeAlias = Any
"""An array in memory or a Delayed or Future that stands for one."""

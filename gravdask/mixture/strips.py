"""The compiled E-step, strip by strip: the memory that kernels work in, and the models as they like them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gravdask.mixture import compiled
from gravdask.mixture.arrays import Float, Rows
from gravdask.mixture.primitives import SIDE, STEP
from gravdask.mixture.vectors import LANES

if TYPE_CHECKING:
    from gravdask.mixture.kernels import Density

_STRIP_BYTES = 1 << 18
_STRIP_ROWS = (128, 2048)
_LINE = 8
"""Numbers of one cache line."""


def strip_rows(n_components: int, n_features: int) -> int:
    """Return how many rows a strip has: so many that it stays in the second cache, a multiple of 128.

    It must not depend on the machine or the block: it decides the order of the sums and with it their last bits.
    """
    low, high = _STRIP_ROWS
    return int(np.clip(_STRIP_BYTES // (8 * (n_components + n_features)) // low * low, low, high))


def _aligned(*shape: int) -> Float:
    """Zeros that begin on a cache line."""
    size = int(np.prod(shape))
    raw = np.zeros(size + _LINE)
    begin = -raw.ctypes.data // raw.itemsize % _LINE
    return raw[begin : begin + size].reshape(shape)


def _filled_up(n_features: int) -> int:
    """Features with the zeros that fill the last tile."""
    return -(-n_features // SIDE) * SIDE


def pack_factors(projection: Float, n_components: int) -> Float:
    """Lay the factors of full components out in the order in which `compiled.log_joint_full` reads them.

    Tile after tile of `SIDE` columns of U: their -b, the rows above the tile's triangle, the triangle row by row.

    Parameters
    ----------
    projection
        Rows of U_kᵀ with -b_k as first column, (n_components * n_features, 1 + n_features).

    Returns
    -------
    ndarray
        (n_components, numbers of one).
    """
    n_features = projection.shape[1] - 1
    height = _filled_up(n_features)
    rows = np.zeros((n_components, height, 1 + height))
    rows[:, :n_features, : 1 + n_features] = projection.reshape(n_components, n_features, 1 + n_features)
    i, j = np.triu_indices(SIDE)
    parts = []
    for begin in range(0, height, SIDE):
        tile = rows[:, begin : begin + SIDE]
        above = np.swapaxes(tile[:, :, 1 : 1 + begin], 1, 2).reshape(n_components, -1)
        parts += [tile[:, :, 0], above, tile[:, j, 1 + begin + i]]
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _unpacked(second: Float, n_features: int) -> Float:
    """Sum the tiles of `compiled.add_products` over their lanes; return packed triangles, (n_components, packed)."""
    tiles = _filled_up(n_features) // SIDE
    i, j = np.triu_indices(n_features)
    row, column = i // SIDE, j // SIDE
    tile = row * tiles - row * (row - 1) // 2 + column - row
    places = (tile * SIDE + i % SIDE) * SIDE + j % SIDE
    return np.asarray(second.reshape(len(second), -1, LANES)[:, places].sum(axis=2))


class CompiledStrip:
    """The memory of one strip, used again for every strip of a block, and the sums of those that were added.

    Parameters
    ----------
    density
        The mixture.
    width
        Rows of a strip at most.
    """

    def __init__(self, density: Density, width: int) -> None:
        n_components, n_features, kind = density.n_components, density.n_features, density.covariance_type
        height, columns = _filled_up(n_features), -(-width // STEP) * STEP
        tiles = height // SIDE * (height // SIDE + 1) // 2
        # a power of two as the length of rows would send them all to the same places of the cache
        line = columns + _LINE
        self.density, self.n_rows = density, 0
        self._x, self._joint = _aligned(height, line), _aligned(n_components, line)
        self._weights, self._likelihoods = _aligned(1, line), _aligned(line)
        self._begins = np.zeros(LANES, dtype=np.int64)
        self._centre = np.ascontiguousarray(density.centre)
        if kind in ("full", "tied"):
            self._weighted = _aligned(height, compiled.STRIPE + _LINE)
            self._second = _aligned(n_components if kind == "full" else 1, tiles * compiled.TILE)
            self._scatter_low = _aligned(1, (1 + height) * LANES)
        self._low = _aligned(n_components, (1 + (height if kind == "full" else 2 * height)) * LANES)
        if kind == "full":
            self._factors = pack_factors(density.projection, n_components)
        else:
            scale = np.ones(n_components) if kind == "tied" else density.projection
            scale = scale if kind == "diag" else np.repeat(scale[:, None], n_features, axis=1)
            self._scale, self._offset = np.ascontiguousarray(scale), np.ascontiguousarray(density.offset)
            self._base = _aligned(n_features, line) if kind == "tied" else self._x

    def load(self, rows: Rows, weights: Float | None) -> None:
        """Take the next rows, at least one, with their weights."""
        if rows.dtype not in (np.float32, np.float64):
            rows = rows.astype(np.float64)
        self.n_rows = len(rows)
        self._columns = -(-self.n_rows // STEP) * STEP
        row_step, feature_step = rows.strides
        single = bool(rows.dtype == np.float32)
        begin = rows.ctypes.data
        compiled.gather(begin, row_step, feature_step, single, self.n_rows, self._centre, self._begins, self._x)
        self._weights[0, : self.n_rows] = 1.0 if weights is None else weights
        self._weights[0, self.n_rows :] = 0.0

    def log_joint(self) -> Float:
        """Return log π_k + log N(x | µ_k, Σ_k), (n_components, n_rows): a view that the next strip overwrites."""
        density, columns = self.density, self._columns
        if density.covariance_type == "full":
            compiled.log_joint_full(self._x, columns, self._factors, density.log_constant, self._joint)
        else:
            if density.covariance_type == "tied":
                x, base = self._x[: density.n_features, :columns], self._base[:, :columns]
                np.matmul(density.projection, x, out=base)
            model = self._offset, self._scale, density.log_constant
            compiled.log_joint_axes(self._base, columns, *model, self._joint)
        return self._joint[:, : self.n_rows]

    def normalise(self) -> tuple[Float, Float]:
        """Turn `log_joint` into responsibilities times weights; return these (a view) and the log-likelihoods."""
        compiled.normalise(self._joint, self._columns, self._weights[0], self._likelihoods)
        return self._joint[:, : self.n_rows], self._likelihoods[: self.n_rows]

    def add(self) -> None:
        """Add the strip's moments to the sums."""
        x, columns, kind = self._x, self._columns, self.density.covariance_type
        if kind == "full":
            compiled.add_products(x, columns, self._joint, self._weighted, self._low, self._second)
            return
        compiled.add_squares(x, columns, self._joint, self._low)
        if kind == "tied":
            compiled.add_products(x, columns, self._weights, self._weighted, self._scatter_low, self._second)

    def sums(self) -> tuple[Float, Float, Float]:
        """Return counts, first and second moments of all strips that were added."""
        n_components, n_features = self.density.n_components, self.density.n_features
        height, kind = len(self._x), self.density.covariance_type
        low = self._low.reshape(n_components, -1, LANES).sum(axis=2)
        counts, first = low[:, 0].copy(), low[:, 1 : 1 + n_features].copy()
        if kind in ("full", "tied"):
            second = _unpacked(self._second, n_features)
            return counts, first, second if kind == "full" else second[0]
        squares = low[:, 1 + height : 1 + height + n_features]
        return counts, first, squares.copy() if kind == "diag" else squares.sum(axis=1)

"""From an array to an ordered list of blocks on which functions run: the only place where a fit meets Dask.

Rows stay where they are: in this process, behind a lazy graph, or on the workers of a distributed cluster. A function
of one block goes to the rows; its small result comes back, summed along a tree whose shape depends on the number of
blocks only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce as fold
from operator import add
from typing import TYPE_CHECKING, TypeVar, cast

import dask
import dask.array as da
import numpy as np
from dask.base import get_scheduler
from dask.delayed import delayed
from threadpoolctl import threadpool_limits

from gravdask.errors import MixtureError
from gravdask.mixture.arrays import Float, Handle, MatrixLike, Rows, VectorLike

if TYPE_CHECKING:
    import distributed

T = TypeVar("T")

_BLOCK_ROWS = 1 << 16
"""Rows of the blocks that an array in memory is cut into."""

_FAN_IN = 16
"""Statistics that one node of the reduction tree adds up, in block order."""

_LOCAL_HOLD_BYTES = 2 << 30
"""A lazy array up to this size is computed once and kept in this process; a larger one is read anew each iteration."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS and OpenMP of this process to one thread: blocks run side by side, and sums keep their order."""
    with threadpool_limits(limits=1):
        yield


def is_lazy(X: MatrixLike | VectorLike) -> bool:
    """Return whether X is a dask array."""
    return isinstance(X, da.Array)


def _active_client() -> distributed.Client | None:
    """Return the distributed client that would run a computation here, or None."""
    owner = getattr(get_scheduler(), "__self__", None)
    is_client = type(owner).__module__.startswith("distributed.")
    return cast("distributed.Client", owner) if is_client else None


def _call(function: Callable[..., T], rows: Rows, weights: Float | None, *arguments: object) -> T:
    """Run a function of one block on plain arrays."""
    plain = None if weights is None else np.asarray(weights, dtype=np.float64)
    return function(np.asarray(rows), plain, *arguments)


def _add_in_order(parts: Sequence[T]) -> T:
    """Return parts[0] + parts[1] + ... from left to right."""
    return fold(add, parts)


def _count(rows: Rows, weights: Float | None) -> int:
    """Return the number of rows of a block."""
    return len(rows)


@dataclass(frozen=True)
class RowBlocks:
    """An ordered list of blocks of rows with their weights.

    Attributes
    ----------
    rows
        Arrays (n_i, n_features), or handles on them (Delayed, Future).
    weights
        Arrays (n_i,) or handles on them, one a block; None for weights of 1.
    n_features
        Number of features.
    itemsize
        Bytes of one value.
    held
        Whether every block is in memory already, here or on a worker.
    """

    rows: tuple[Handle, ...]
    weights: tuple[Handle, ...] | None
    n_features: int
    itemsize: int
    held: bool

    def _pairs(self) -> list[tuple[Handle, Handle]]:
        return list(zip(self.rows, self.weights or [None] * len(self.rows), strict=True))

    def is_direct(self) -> bool:
        """Return whether there is a single block in this process, not worth a graph."""
        return len(self.rows) == 1 and isinstance(self.rows[0], np.ndarray)

    def map(self, function: Callable[..., T], *shared: object, each: Sequence[object] | None = None) -> list[T]:
        """Return function(rows, weights, *shared[, each[i]]) of every block, in block order."""
        extra = [()] * len(self.rows) if each is None else [(item,) for item in each]
        if self.is_direct():
            rows, weights = self._pairs()[0]
            return [_call(function, rows, weights, *shared, *extra[0])]
        sent = [delayed(item, traverse=False) for item in shared]
        lifted = delayed(_call, pure=False)
        tasks = [lifted(function, *pair, *sent, *item) for pair, item in zip(self._pairs(), extra, strict=True)]
        return list(dask.compute(*tasks))

    def reduce(self, function: Callable[..., T], *shared: object) -> T:
        """Return the sum of function(rows, weights, *shared) over the blocks.

        The tree adds `_FAN_IN` neighbours at a time, in order: the same blocks give the same bits on any scheduler and
        any number of workers. What is `shared` is one node of the graph, however many blocks there are.
        """
        if self.is_direct():
            return self.map(function, *shared)[0]
        sent = [delayed(item, traverse=False) for item in shared]
        lifted, joined = delayed(_call, pure=False), delayed(_add_in_order, pure=False)
        level = [lifted(function, *pair, *sent) for pair in self._pairs()]
        while len(level) > 1:
            level = [joined(level[i : i + _FAN_IN]) for i in range(0, len(level), _FAN_IN)]
        return cast(T, dask.compute(level[0])[0])

    def lengths(self) -> list[int]:
        """Return the number of rows of each block."""
        return [int(n) for n in self.map(_count)]

    def hold(self, n_rows: float) -> RowBlocks:
        """Compute lazy blocks once and keep them: on the workers of a cluster, or here where they are small enough.

        Parameters
        ----------
        n_rows
            Rows of all blocks, NaN where unknown (then nothing is kept here yet).
        """
        fits = n_rows * self.n_features * self.itemsize <= _LOCAL_HOLD_BYTES
        if self.held or not (fits or _active_client() is not None):
            return self
        if self.weights is None:
            return replace(self, rows=tuple(dask.persist(*self.rows)), held=True)
        kept = dask.persist(*self.rows, *self.weights)
        return replace(self, rows=tuple(kept[: len(self.rows)]), weights=tuple(kept[len(self.rows) :]), held=True)


def row_blocks(X: MatrixLike, sample_weight: VectorLike = None) -> RowBlocks:
    """Cut an array into blocks of rows, without computing it.

    Parameters
    ----------
    X
        ndarray or dask array, (n_rows, n_features). A dask array keeps its row chunks (unknown sizes and empty ones
        included); its columns are brought into one chunk.
    sample_weight
        None, a number, or (n_rows,) as ndarray or dask array.

    Raises
    ------
    MixtureError
        X is not two-dimensional or not of real numbers, or the weights do not fit it.
    """
    if is_lazy(X):
        _check_lazy(X)
        array = X.rechunk({1: -1})
        blocks = RowBlocks(tuple(array.to_delayed().ravel()), None, array.shape[1], array.dtype.itemsize, held=False)
        blocks = blocks.hold(float(array.shape[0]))
        return blocks if sample_weight is None else _with_weights(blocks, sample_weight, array.chunks[0])
    sizes = tuple(len(X[i : i + _BLOCK_ROWS]) for i in range(0, len(X), _BLOCK_ROWS))
    rows = _split(X, sizes)
    rows = rows if len(rows) == 1 else _in_place(rows)
    blocks = RowBlocks(rows, None, X.shape[1], X.dtype.itemsize, held=True)
    return blocks if sample_weight is None else _with_weights(blocks, sample_weight, sizes)


def _check_lazy(X: MatrixLike) -> None:
    """Refuse a dask array that is not a matrix of real numbers with a known number of columns."""
    if X.ndim != 2 or np.isnan(X.shape[1]):
        msg = (
            f"Expected a two-dimensional dask array with a known number of columns, got shape {X.shape}. "
            "Reshape your data: one row per frame, one column per feature"
        )
        raise MixtureError(msg)
    if X.dtype.kind not in "fiub":
        msg = f"Expected a dask array of real numbers, got dtype {X.dtype}"
        raise MixtureError(msg)


def _split(values: Rows, sizes: Sequence[int]) -> tuple[Handle, ...]:
    """Cut an array into consecutive views of these lengths."""
    return tuple(np.split(values, np.cumsum(sizes)[:-1])) if sizes else ()


def _in_place(parts: tuple[Handle, ...]) -> tuple[Handle, ...]:
    """Return parts of an array in memory as they are, or, where a cluster is active, sent to it once."""
    client = _active_client()
    return parts if client is None else tuple(client.scatter(list(parts), hash=False))


def _with_weights(blocks: RowBlocks, sample_weight: VectorLike, sizes: Sequence[float]) -> RowBlocks:
    """Attach weights, cut as the rows are."""
    if is_lazy(sample_weight):
        if sample_weight.ndim != 1:
            msg = f"Sample weights must be 1D, (n_rows,), but got shape {sample_weight.shape}"
            raise MixtureError(msg)
        weight = sample_weight
        if not np.isnan([*sizes, *weight.chunks[0]]).any():
            if sum(sizes) != weight.shape[0]:
                msg = f"sample_weight has {weight.shape[0]} values for {sum(sizes)} rows"
                raise MixtureError(msg)
            weight = weight.rechunk((tuple(sizes),))
        elif weight.numblocks[0] != len(blocks.rows):
            msg = (
                f"sample_weight has {weight.numblocks[0]} chunks and X has {len(blocks.rows)}: with unknown chunk "
                "sizes the two must be chunked alike; call compute_chunk_sizes() on both"
            )
            raise MixtureError(msg)
        return replace(blocks, weights=tuple(weight.to_delayed().ravel()), held=False).hold(float(sum(sizes)))
    values = np.array(sample_weight, dtype=np.float64)
    known = [int(n) for n in sizes] if not np.isnan(sizes).any() else blocks.lengths()
    if values.ndim == 0:
        values = np.full(sum(known), float(values))
    if values.ndim != 1:
        msg = f"Sample weights must be 1D, (n_rows,), but got shape {values.shape}"
        raise MixtureError(msg)
    if len(values) != sum(known):
        msg = f"sample_weight has {len(values)} values for {sum(known)} rows"
        raise MixtureError(msg)
    parts = _split(values, known)
    return replace(blocks, weights=parts if blocks.is_direct() else _in_place(parts))


def map_rows(
    X: MatrixLike, function: Callable[..., Rows], *arguments: object, dtype: type, width: int | None
) -> MatrixLike:
    """Return the dask array of function(chunk, *arguments) over the row chunks of a dask array.

    Parameters
    ----------
    X
        Dask array, (n_rows, n_features).
    function
        From (n, n_features) to (n,), or to (n, width).
    dtype
        Type of the result.
    width
        Columns of the result, None for a vector.
    """
    _check_lazy(X)
    array = X.rechunk({1: -1})
    if width is None:
        return array.map_blocks(function, *arguments, dtype=dtype, drop_axis=1, meta=np.empty((0,), dtype=dtype))
    chunks = (array.chunks[0], (width,))
    return array.map_blocks(function, *arguments, dtype=dtype, chunks=chunks, meta=np.empty((0, 0), dtype=dtype))


def hold_array(X: MatrixLike) -> MatrixLike:
    """Compute a dask array once and keep it where many fits follow: on the workers of a cluster, or here if small."""
    _check_lazy(X)
    fits = X.nbytes <= _LOCAL_HOLD_BYTES
    return X.persist() if fits or _active_client() is not None else X

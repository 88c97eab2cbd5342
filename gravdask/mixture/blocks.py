"""From an array to an ordered list of blocks on which functions run: the only place where a fit meets Dask.

Rows stay where they are: in this process, behind a lazy graph, or on the workers of a distributed cluster. A function
of one block goes to the rows; its small result comes back, summed along a tree whose shape depends on the number of
blocks only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import reduce as fold
from operator import add
from typing import TYPE_CHECKING, TypeVar, cast

import dask
import dask.array as da
import numpy as np
from dask.base import get_scheduler
from dask.delayed import delayed
from numpy.typing import NDArray
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

_RESENT_BYTES = 1 << 28
"""An array in memory up to this size survives the loss of a worker; a larger one is on the workers only."""


_HOLD_SHARE = 0.4
"""Share of the workers' memory that rows may take: Dask begins to spill at 0.6, and blocks need room to work."""


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


def _hold_bytes() -> float:
    """Bytes of rows that are kept in memory between iterations: in this process, or on the workers of a cluster.

    Rows beyond that are read anew each time: workers that hold too much write it to their disks and read it back, which
    takes longer, or are stopped.
    """
    client = _active_client()
    if client is None:
        return _LOCAL_HOLD_BYTES
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return _HOLD_SHARE * sum(worker["memory_limit"] or math.inf for worker in workers)


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


def complete_mask(rows: Rows) -> NDArray[np.bool_]:
    """Return which rows hold neither NaN nor infinity, (n_rows,)."""
    return np.asarray(np.isfinite(rows).all(axis=1))


def _complete_rows(rows: Rows) -> Rows:
    """Return the rows that hold neither NaN nor infinity; where that is all of them, the same array."""
    plain = np.asarray(rows)
    mask = complete_mask(plain)
    return plain if mask.all() else plain[mask]


def _complete_values(rows: Rows, values: Rows) -> Rows:
    """Return the values (n_rows,) of the rows that hold neither NaN nor infinity."""
    plain = np.asarray(values)
    mask = complete_mask(np.asarray(rows))
    if len(plain) != len(mask):
        msg = f"A chunk of {len(mask)} rows has {len(plain)} values of weights, groups or labels: chunk all alike"
        raise MixtureError(msg)
    return plain if mask.all() else plain[mask]


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

    def reduce(self, function: Callable[..., T], *shared: object, each: Sequence[object] | None = None) -> T:
        """Return the sum of function(rows, weights, *shared[, each[i]]) over the blocks.

        The tree adds `_FAN_IN` neighbours at a time, in order: the same blocks give the same bits on any scheduler and
        any number of workers. What is `shared` is one node of the graph, however many blocks there are.
        """
        if self.is_direct():
            return self.map(function, *shared, each=each)[0]
        extra = [()] * len(self.rows) if each is None else [(item,) for item in each]
        sent = [delayed(item, traverse=False) for item in shared]
        lifted, joined = delayed(_call, pure=False), delayed(_add_in_order, pure=False)
        level = [lifted(function, *pair, *sent, *item) for pair, item in zip(self._pairs(), extra, strict=True)]
        while len(level) > 1:
            level = [joined(level[i : i + _FAN_IN]) for i in range(0, len(level), _FAN_IN)]
        return cast(T, dask.compute(level[0])[0])

    def lengths(self) -> list[int]:
        """Return the number of rows of each block."""
        return [int(n) for n in self.map(_count)]

    def complete(self) -> RowBlocks:
        """Return the blocks without their rows that hold NaN or infinity, and without the weights of those."""
        weights = None if self.weights is None else self.complete_values(self.weights)
        if self.is_direct():
            return replace(self, rows=(_complete_rows(self.rows[0]),), weights=weights)
        kept = delayed(_complete_rows, pure=False)
        return replace(self, rows=tuple(kept(rows) for rows in self.rows), weights=weights, held=False)

    def complete_values(self, values: Sequence[Handle]) -> tuple[Handle, ...]:
        """Return one value per row, cut as the rows are, without those of rows that hold NaN or infinity."""
        if self.is_direct():
            return (_complete_values(self.rows[0], values[0]),)
        kept = delayed(_complete_values, pure=False)
        return tuple(kept(rows, part) for rows, part in zip(self.rows, values, strict=True))

    def hold(self, n_rows: float) -> RowBlocks:
        """Compute lazy blocks once and keep them: on the workers of a cluster, or here where they are small enough.

        Parameters
        ----------
        n_rows
            Rows of all blocks, NaN where unknown (then nothing is kept here yet).
        """
        if self.held or not n_rows * self.n_features * self.itemsize <= _hold_bytes():
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
        check_lazy(X)
        array = X.rechunk({1: -1})
        blocks = RowBlocks(tuple(array.to_delayed().ravel()), None, array.shape[1], array.dtype.itemsize, held=False)
        blocks = blocks.hold(float(array.shape[0]))
        return blocks if sample_weight is None else _with_weights(blocks, sample_weight, array.chunks[0])
    sizes = tuple(len(X[i : i + _BLOCK_ROWS]) for i in range(0, len(X), _BLOCK_ROWS))
    rows = _split(X, sizes)
    rows = rows if len(rows) == 1 else _in_place(rows)
    blocks = RowBlocks(rows, None, X.shape[1], X.dtype.itemsize, held=True)
    return blocks if sample_weight is None else _with_weights(blocks, sample_weight, sizes)


def check_lazy(X: MatrixLike) -> None:
    """Refuse a dask array that is not a matrix of real numbers with a known number of columns."""
    if X.ndim != 2 or np.isnan(X.shape[1]):
        msg = (
            f"Expected a two-dimensional dask array with a known number of columns, got shape {X.shape}. "
            "Reshape your data: one row per frame, one column per feature"
        )
        raise MixtureError(msg)
    if X.dtype.kind not in "fiub":
        msg = f"Expected a dask array of real numbers, got dtype {X.dtype}: convert it with astype(float)"
        raise MixtureError(msg)


def _split(values: Rows, sizes: Sequence[int]) -> tuple[Handle, ...]:
    """Cut an array into consecutive views of these lengths."""
    return tuple(np.split(values, np.cumsum(sizes)[:-1])) if sizes else ()


def _in_place(parts: tuple[Handle, ...]) -> tuple[Handle, ...]:
    """Return parts of an array in memory as they are, or, where a cluster is active, sent to it once.

    Parts of moderate size stay in the scheduler's graph too, so that a worker that dies does not take them along.
    """
    client = _active_client()
    if client is None:
        return parts
    if sum(part.nbytes for part in parts) > _RESENT_BYTES:
        return tuple(client.scatter(list(parts), hash=False))
    sent = delayed(np.asarray, pure=False)
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": 2 * _RESENT_BYTES}):
        return tuple(dask.persist(*(sent(part) for part in parts)))


def _with_weights(blocks: RowBlocks, sample_weight: VectorLike, sizes: Sequence[float]) -> RowBlocks:
    """Attach weights, cut as the rows are."""
    if is_lazy(sample_weight) and not blocks.is_direct():
        weight = _numbers(sample_weight)
        parts = cut_lazily(weight, len(blocks.rows), sizes, "sample_weight")
        return replace(blocks, weights=parts, held=False).hold(float(sum(sizes)))
    values = _numbers(sample_weight.compute() if is_lazy(sample_weight) else sample_weight)
    known = [int(n) for n in sizes] if not np.isnan(sizes).any() else blocks.lengths()
    if values.ndim == 0:
        values = np.full(sum(known), float(values))
    _check_vector(values, known, "sample_weight")
    parts = _split(values, known)
    return replace(blocks, weights=parts if blocks.is_direct() else _in_place(parts))


def _numbers(sample_weight: VectorLike) -> VectorLike:
    """Return weights as an array of float64, or as they are where they are lazy; refuse what holds no real numbers."""
    weight = sample_weight if is_lazy(sample_weight) else np.asarray(sample_weight)
    if weight.dtype.kind == "O" and not is_lazy(weight):
        with suppress(TypeError, ValueError):
            weight = weight.astype(np.float64)
    if weight.dtype.kind not in "fiub":
        msg = (
            f"sample_weight must hold real numbers, one for each row, got dtype {weight.dtype}: give counts of "
            "repetition or other finite numbers not below 0"
        )
        raise MixtureError(msg)
    return weight if is_lazy(weight) else weight.astype(np.float64)


def _check_vector(values: VectorLike, sizes: Sequence[float], name: str) -> None:
    """Refuse what is not one value for each row."""
    if values.ndim != 1:
        what = "Sample weights" if name == "sample_weight" else name
        msg = f"{what} must be 1D, (n_rows,), but got shape {values.shape}: give one value for each row of X"
        raise MixtureError(msg)
    if not np.isnan([*sizes, values.shape[0]]).any() and values.shape[0] != sum(sizes):
        msg = f"{name} has {values.shape[0]} values for {sum(sizes)} rows: give one value for each row of X"
        raise MixtureError(msg)


def cut_lazily(values: VectorLike, n_blocks: int, sizes: Sequence[float], name: str) -> tuple[Handle, ...]:
    """Return handles on a lazy vector's parts, cut as the rows are.

    Raises
    ------
    MixtureError
        It is not one value for each row, or chunks of unknown size differ in number from those of the rows.
    """
    _check_vector(values, sizes, name)
    vector = values
    if not np.isnan([*sizes, *vector.chunks[0]]).any():
        vector = vector.rechunk((tuple(int(n) for n in sizes),))
    elif vector.numblocks[0] != n_blocks:
        msg = (
            f"{name} has {vector.numblocks[0]} chunks and X has {n_blocks}: with unknown chunk "
            "sizes the two must be chunked alike; call compute_chunk_sizes() on both"
        )
        raise MixtureError(msg)
    return tuple(vector.to_delayed().ravel())


def cut_vector(blocks: RowBlocks, values: VectorLike, sizes: Sequence[int], name: str) -> tuple[Handle, ...]:
    """Return one value per row cut as the rows are, for `map` and `reduce` to hand to each block.

    Parameters
    ----------
    blocks
        The rows.
    values
        (n_rows,) of any type, as ndarray or dask array.
    sizes
        Rows of each block.
    name
        Of the values, for the errors.

    Raises
    ------
    MixtureError
        Not one value for each row.
    """
    if is_lazy(values) and not blocks.is_direct():
        return cut_lazily(values, len(blocks.rows), sizes, name)
    plain = np.asarray(values)
    _check_vector(plain, sizes, name)
    parts = _split(plain, sizes)
    return parts if blocks.is_direct() else _in_place(parts)


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
    check_lazy(X)
    array = X.rechunk({1: -1})
    if width is None:
        return array.map_blocks(function, *arguments, dtype=dtype, drop_axis=1, meta=np.empty((0,), dtype=dtype))
    chunks = (array.chunks[0], (width,))
    return array.map_blocks(function, *arguments, dtype=dtype, chunks=chunks, meta=np.empty((0, 0), dtype=dtype))


def hold_array(X: MatrixLike) -> MatrixLike:
    """Compute a dask array once and keep it where many fits follow: on the workers of a cluster, or here if small."""
    check_lazy(X)
    return X.persist() if X.nbytes <= _hold_bytes() else X

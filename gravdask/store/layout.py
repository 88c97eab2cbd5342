"""The store's groups and arrays: their names, shapes, shards and attributes, and their creation.

Every array of a channel covers the schema's fixed span from 1950-01-01 on and is never resized; shards that hold
nothing are not written, so the length costs nothing. Units of work write whole shards and nothing else.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from zarr.codecs import BloscCodec, BloscShuffle
from zarr.errors import ZarrUserWarning

from gravdask.errors import AlignmentError, StoreError
from gravdask.grid import ORIGIN_NS, Blocks

SCHEMA_VERSION = 1
TIME_ORIGIN = str(np.datetime64(ORIGIN_NS, "ns").astype("datetime64[s]"))


def open_root(path: Path, create: bool = False) -> zarr.Group:
    """Open the root group of a store, or make it.

    Raises
    ------
    StoreError
        If the folder is no gravdask store, or was written by a later schema.
    """
    if (path / "zarr.json").exists():
        root = zarr.open_group(path, mode="r+" if create else "r", use_consolidated=False, zarr_format=3)
    elif create:
        if path.exists() and any(path.iterdir()):
            msg = f"{path}: this folder holds something that is not a gravdask store; name a new folder for the store"
            raise StoreError(msg)
        root = zarr.open_group(path, mode="a", use_consolidated=False, zarr_format=3)
        root.attrs.update({"gravdask_schema": SCHEMA_VERSION, "time_origin": TIME_ORIGIN, "Conventions": "CF-1.11"})
    else:
        msg = f"{path}: no gravdask store is here; 'gravdask run ARCHIVE -o {path}' makes one"
        raise StoreError(msg)
    schema = root.attrs.get("gravdask_schema")
    if not isinstance(schema, int) or schema > SCHEMA_VERSION:
        msg = (
            f"{path}: the store's schema is {schema!r}, this gravdask reads up to {SCHEMA_VERSION}; "
            "use the gravdask that wrote it, or a newer one"
        )
        raise StoreError(msg)
    return root


def missing_value(dtype: DTypeLike) -> int | float:
    """Value that stands for a missing sample: the least integer of the type, or NaN."""
    kind = np.dtype(dtype)
    return int(np.iinfo(kind).min) if kind.kind == "i" else float("nan")


def create_array(
    group: zarr.Group,
    name: str,
    blocks: Blocks,
    dims: tuple[str, ...],
    dtype: DTypeLike,
    *,
    tail: tuple[int, ...] = (),
    fill: float | None = None,
    attributes: dict[str, Any] | None = None,
) -> zarr.Array[Any]:
    """Create an array over the whole span, or return it if it is there with the same shape, shards and type.

    Parameters
    ----------
    group
        Group of the channel's stage.
    name, dims
        Name of the array and of its dimensions.
    blocks
        How the first axis is cut.
    tail
        Lengths of the further axes, each in one chunk.
    fill
        Value of what was never written; missing_value of the type unless given.
    """
    shape = (blocks.length, *tail)
    kind = np.dtype(dtype)
    if name in group:
        array = group[name]
        if (
            isinstance(array, zarr.Array)
            and array.shape == shape
            and array.dtype == kind
            and array.shards == (blocks.shard, *tail)
            and array.chunks == (blocks.chunk, *tail)
        ):
            if attributes and dict(array.attrs) != attributes:
                array.attrs.put(attributes)
            return array
        del group[name]
    # Whole tails in one chunk: a unit always reads and writes all paths of its frames.
    return group.create_array(
        name,
        shape=shape,
        chunks=(blocks.chunk, *tail),
        shards=(blocks.shard, *tail),
        dtype=kind,
        fill_value=missing_value(kind) if fill is None else fill,
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.bitshuffle),
        dimension_names=list(dims),
        attributes=attributes or {},
    )


def put_table(group: zarr.Group, name: str, values: NDArray[Any], dims: tuple[str, ...], **attributes: Any) -> None:  # noqa: ANN401
    """Write a small array whole, in one chunk, in place of what was there.

    An array of the same values is left alone, so that a run that changes nothing writes nothing.
    """
    if name in group:
        present = group[name]
        if isinstance(present, zarr.Array) and present.shape == values.shape and present.dtype == values.dtype:
            equal = np.array_equal(np.asarray(present[...]), values, equal_nan=values.dtype.kind == "f")
            same_dims = getattr(present.metadata, "dimension_names", None) == tuple(dims)
            if equal and same_dims and dict(present.attrs) == attributes:
                return
    group.create_array(
        name,
        data=np.ascontiguousarray(values),
        chunks=values.shape if values.size else "auto",
        dimension_names=list(dims),
        attributes=attributes,
        overwrite=True,
    )


def write_unit(array: zarr.Array[Any], start: int, values: NDArray[Any]) -> None:
    """Write whole shards, and only whole shards.

    Raises
    ------
    AlignmentError
        If the values do not begin and end at shard edges. Two units writing parts of one shard would each rewrite
        all of it, and one of them would lose its data.
    """
    shards = array.shards
    inside = 0 <= start <= start + len(values) <= array.shape[0] and values.shape[1:] == array.shape[1:]
    if shards is None or start % shards[0] or len(values) % shards[0] or not inside:
        msg = (
            f"{array.path}: a write of {values.shape} from item {start} does not cover whole shards of {shards}; "
            "another unit could overwrite it. Write the whole span of a unit (grid.Blocks.unit_span)"
        )
        raise AlignmentError(msg)
    array[start : start + len(values)] = values


def read_span(array: zarr.Array[Any], start: int, stop: int) -> NDArray[Any]:
    """Read ``[start, stop)`` along the first axis; beyond the array's ends its fill value."""
    first, last = max(start, 0), min(stop, array.shape[0])
    values = np.asarray(array[first:last]) if last > first else np.empty((0, *array.shape[1:]), array.dtype)
    if first == start and last == stop:
        return values
    padded = np.full((stop - start, *array.shape[1:]), array.fill_value, array.dtype)
    padded[first - start : first - start + len(values)] = values
    return padded


def channel_names(root: zarr.Group) -> list[str]:
    """Names of the channels in a store, sorted."""
    with warnings.catch_warnings():
        # The ledger and the tables lie beside the groups on purpose and are no part of the hierarchy.
        warnings.simplefilter("ignore", ZarrUserWarning)
        return sorted(name for name, group in root.groups() if "raw" in group)


def sub_array(group: zarr.Group, path: str) -> zarr.Array[Any]:
    """Array at a path below a group.

    Raises
    ------
    StoreError
        If there is none.
    """
    try:
        array = group[path]
    except KeyError:
        array = None
    if not isinstance(array, zarr.Array):
        msg = f"{group.store_path}: there is no array {path!r}; run the stage that makes it"
        raise StoreError(msg)
    return array

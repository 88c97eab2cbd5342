"""The store's groups and arrays: their names, shapes, shards and attributes, and their creation.

Every array of a channel covers the schema's fixed span from 1950-01-01 on and is never resized; shards that hold
nothing are not written, so the length costs nothing. Units of work write whole shards and nothing else.
"""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.errors import ContainsArrayError, ContainsGroupError, ZarrUserWarning

from gravdask.errors import AlignmentError, StoreError
from gravdask.grid import ORIGIN_NS, Blocks
from gravdask.store.codecs import reading
from gravdask.store.place import Place, in_words
from gravdask.store.shards import write_shards
from gravdask.usage import measuring, wrote

SCHEMA_VERSION = 1
BESIDE = frozenset({"ledger", "model", "interpretation", "tables", "runs"})
"""What lies beside the channels in a store."""
TIME_ORIGIN = str(np.datetime64(ORIGIN_NS, "ns").astype("datetime64[s]"))


@measuring("read")
def open_root(where: Place | Path | str, create: bool = False, write: bool = False) -> zarr.Group:
    """Open the root group of a store, or make it.

    Parameters
    ----------
    where
        Place of the store.
    create
        Open it for writing, and make it if there is none. For the start of a run only: what works on a store must
        not make an empty one where a disk was unmounted.
    write
        Open it for writing.

    Raises
    ------
    StoreError
        If the place holds no gravdask store, or one of a later schema.
    """
    place = Place.of(where)
    with in_words(place):
        if create and not (place / "zarr.json").exists():
            _make_root(place)
        if not (place / "zarr.json").exists():
            msg = f"{place}: no gravdask store is here; 'gravdask run ARCHIVE -o {place}' makes one"
            raise StoreError(msg)
        mode: Literal["r", "r+"] = "r+" if create or write else "r"
        try:
            root = zarr.open_group(place.zarr_store(), mode=mode, use_consolidated=False, zarr_format=3)
        except ValueError as error:  # no text, no JSON, or of another form
            first = str(error).split("\n")[0]
            msg = f"{place}/zarr.json: damaged ({first}); remove this file, and the next run makes it again"
            raise StoreError(msg) from error
        schema = root.attrs.get("gravdask_schema")
    if not isinstance(schema, int) or schema > SCHEMA_VERSION:
        msg = (
            f"{place}: the store's schema is {schema!r}, this gravdask reads up to {SCHEMA_VERSION}; "
            "use the gravdask that wrote it, or a newer one"
        )
        raise StoreError(msg)
    return root


def _make_root(place: Place) -> None:
    """Make the root group of a store, in one step, so that of two clients at once neither sees half of it.

    Raises
    ------
    StoreError
        If the place holds something else, or lies in a folder that does not exist: made silently, it would fill the
        disk on which another one is usually mounted.
    """
    if place.local is not None and not place.local.parent.is_dir():
        msg = f"{place}: there is no folder {place.local.parent}; make it, mount its disk, or name another one"
        raise StoreError(msg)
    # The root says nothing that is not the same in every store: what was one is made one again.
    other = (place.entries() or place.folders()) and not (place / "ledger" / "options.json").exists()
    if other and not (place / "zarr.json").exists():
        msg = f"{place}: this holds something that is not a gravdask store; name a new folder for the store"
        raise StoreError(msg)
    about = {"gravdask_schema": SCHEMA_VERSION, "time_origin": TIME_ORIGIN, "Conventions": "CF-1.11"}
    with contextlib.suppress(ContainsGroupError):  # another client was a moment faster
        zarr.create_group(place.zarr_store(), attributes=about, zarr_format=3)


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

    def fits(found: object) -> bool:
        """Whether what is there is the array asked for."""
        return (
            isinstance(found, zarr.Array)
            and (found.shape, found.dtype) == (shape, kind)
            and (found.shards, found.chunks) == ((blocks.shard, *tail), (blocks.chunk, *tail))
        )

    if name in group:
        array = group[name]
        if isinstance(array, zarr.Array) and fits(array):
            if attributes and dict(array.attrs) != attributes:
                array.attrs.put(attributes)
            return array
        del group[name]
    try:
        # Whole tails in one chunk: a unit always reads and writes all paths of its frames.
        return group.create_array(
            name,
            shape=shape,
            chunks=(blocks.chunk, *tail),
            shards=(blocks.shard, *tail),
            dtype=kind,
            fill_value=missing_value(kind) if fill is None else fill,
            # Larger blocks than Blosc's own at a lower level: half the time, and less space on counts.
            # A bit that a disk turned over in ten years is found by whoever reads the chunk.
            compressors=[
                BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", blocksize=1 << 20),
                Crc32cCodec(),
            ],
            dimension_names=list(dims),
            attributes=attributes or {},
        )
    except ContainsArrayError:
        # A client that works on other years of the channel was a moment faster.
        array = group[name]
        if isinstance(array, zarr.Array) and fits(array):
            return array
        raise


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


@measuring("write")
def write_unit(array: zarr.Array[Any], start: int, values: NDArray[Any]) -> int | None:
    """Write whole shards, and only whole shards; gives the bytes that they take, None if only Zarr knows.

    Raises
    ------
    AlignmentError
        If the values do not begin and end at shard edges. Two units writing parts of one shard would each rewrite
        all of it, and one of them would lose its data.
    ValueError
        If the store was opened to be read only.
    """
    shards = array.shards
    inside = 0 <= start <= start + len(values) <= array.shape[0] and values.shape[1:] == array.shape[1:]
    if shards is None or start % shards[0] or len(values) % shards[0] or not inside:
        msg = (
            f"{array.path}: a write of {values.shape} from item {start} does not cover whole shards of {shards}; "
            "another unit could overwrite it. Write the whole span of a unit (grid.Blocks.unit_span)"
        )
        raise AlignmentError(msg)
    if array.read_only:  # a faster codec pipeline would not look at that
        msg = f"{array.path}: the store was opened to be read; it is read-only here"
        raise ValueError(msg)
    return wrote(write_shards(array, start, values))


@measuring("read")
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
        # The ledger, the runs and the tables lie beside the groups on purpose and are no part of the hierarchy.
        warnings.simplefilter("ignore", ZarrUserWarning)
        return sorted(name for name, group in root.groups() if name not in BESIDE and "raw" in group)


@measuring("read")
def sub_array(group: zarr.Group, path: str) -> zarr.Array[Any]:
    """Array at a path below a group.

    Raises
    ------
    StoreError
        If there is none.
    """
    try:
        with reading(group):
            array = group[path]
    except KeyError:
        array = None
    if not isinstance(array, zarr.Array):
        msg = f"{group.store_path}: there is no array {path!r}; run the stage that makes it"
        raise StoreError(msg)
    return array

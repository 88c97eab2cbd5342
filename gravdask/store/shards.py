"""Whole shards, encoded and decoded chunk by chunk: byte for byte those of Zarr's own sharding codec, in less memory.

A shard of the Zarr v3 codec ``sharding_indexed`` is its encoded chunks in order and then an index: offset and length
of every chunk as little-endian uint64, all bits set for a chunk that is left out, and the CRC32C of these numbers.
A chunk's own CRC32C stands behind it, where the array's codecs say so.
To write, Zarr's pipeline reads the old shard, holds every encoded chunk and joins them in the end, and to read, it
holds the samples twice; here there are the samples, the shard and, while it is written, one encoded chunk.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numcodecs.blosc import MAX_OVERHEAD, Blosc
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore, StorePath

from gravdask.usage import measuring

LEFT_OUT = 2**64 - 1
"""Offset and length of a chunk that is not in its shard."""
CHECKSUM_BYTES = 4

_SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}
_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_LOOK = 4096
"""Items of a chunk that are looked at first: nearly always they tell already that it holds something."""


@dataclass(frozen=True)
class ShardForm:
    """How the shards of an array are encoded, as far as this module knows how to do that.

    Attributes
    ----------
    blosc
        Settings of the compressor, as numcodecs names them.
    checked
        Whether the CRC32C of a chunk stands behind it.
    fill
        Value of a chunk that is left out.
    """

    blosc: dict[str, Any]
    checked: bool
    fill: np.generic

    @classmethod
    def of(cls, array: zarr.Array[Any]) -> ShardForm | None:
        """Read the form off an array's metadata; None where Zarr has to write it."""
        shards, chunks, dtype = array.shards, array.chunks, array.dtype
        little = sys.byteorder == "little" and dtype.isnative and dtype.kind in "iuf"
        # With the further axes whole in each chunk there is only one order that chunks can stand in.
        if shards is None or not little or shards[1:] != chunks[1:] or shards[1:] != array.shape[1:]:
            return None
        # The earliest Zarr that will do tells only what new arrays are opened with.
        config = getattr(array, "config", None)
        if zarr.config.get("array.write_empty_chunks") if config is None else config.write_empty_chunks:
            return None
        found = _compressor(array.metadata.to_dict(), chunks, dtype.itemsize)
        return None if found is None else cls(*found, dtype.type(array.fill_value))

    def encode(self, samples: NDArray[Any], chunk: int) -> NDArray[np.uint8] | None:
        """Encode the samples of a whole shard; None if all of them are the fill value.

        Parameters
        ----------
        samples
            Of the fill value's type or one that can be cast to it.
        chunk
            Items of a chunk along the first axis.
        """
        compressor = Blosc(**self.blosc)
        index = np.full((len(samples) // chunk, 2), LEFT_OUT, "<u8")
        room = samples.size * self.fill.itemsize + len(index) * (MAX_OVERHEAD + CHECKSUM_BYTES) + index.nbytes
        room += CHECKSUM_BYTES
        # Memory that was never touched is not there yet, and NumPy asks for it in large pages.
        shard, size = np.empty(room, np.uint8), 0
        for number in range(len(index)):
            part = samples[number * chunk : (number + 1) * chunk]
            plain = np.ascontiguousarray(part, self.fill.dtype).reshape(-1)
            if not only_fill(plain, self.fill):
                encoded = compressor.encode(plain.view(np.uint8))
                begin, size = size, _append(shard, size, encoded)
                if self.checked:
                    size = _append(shard, size, _checksum(encoded))
                index[number] = begin, size - begin
        if not size:
            return None
        numbers = index.tobytes()
        size = _append(shard, size, numbers)
        size = _append(shard, size, _checksum(numbers))
        return shard[:size]

    def decode(self, shard: NDArray[np.uint8], chunk: int, out: NDArray[Any]) -> bool:
        """Decode a whole shard.

        Parameters
        ----------
        shard
            Its bytes.
        chunk
            Items of a chunk along the first axis.
        out
            Where the samples go, contiguous and of the fill value's type.

        Returns
        -------
        bool
            False if these bytes are no shard of this form; what is in ``out`` then means nothing.
        """
        compressor = Blosc(**self.blosc)
        parts = out.reshape(-1, chunk, *out.shape[1:])
        size = len(shard) - 16 * len(parts) - CHECKSUM_BYTES
        numbers = shard[max(size, 0) : -CHECKSUM_BYTES].tobytes()
        if size < 0 or _checksum(numbers) != shard[-CHECKSUM_BYTES:].tobytes():
            return False
        for part, (offset, length) in zip(parts, np.frombuffer(numbers, "<u8").reshape(-1, 2).tolist(), strict=True):
            if offset == LEFT_OUT == length:
                part[...] = self.fill
                continue
            encoded = shard[offset : offset + length]
            if self.checked:
                length -= CHECKSUM_BYTES
                if length < 0 or encoded[length:].tobytes() != _checksum(encoded[:length].data):
                    return False
                encoded = encoded[:length]
            # Blosc believes what the head of a buffer says of its lengths, decoded at 4 and encoded at 12.
            if offset + length > size or length < MAX_OVERHEAD:
                return False
            if np.frombuffer(encoded[4:16].tobytes(), "<u4")[[0, 2]].tolist() != [part.nbytes, length]:
                return False
            compressor.decode(encoded, out=part.reshape(-1).view(np.uint8))
        return True


def _checksum(content: bytes | memoryview) -> bytes:
    """CRC32C as it is written."""
    value: int = google_crc32c.value(bytes(content))
    return value.to_bytes(CHECKSUM_BYTES, "little")


def _append(shard: NDArray[np.uint8], size: int, content: bytes) -> int:
    """Put bytes after the first ``size`` ones of a shard; give how many it has then."""
    shard[size : size + len(content)] = np.frombuffer(content, np.uint8)
    return size + len(content)


def _compressor(metadata: dict[str, Any], chunks: tuple[int, ...], itemsize: int) -> tuple[dict[str, Any], bool] | None:
    """Settings of the Blosc codec within an array's shards, and whether a checksum follows; None for other forms."""
    codecs = [_plain(codec) for codec in metadata.get("codecs", ())]
    if len(codecs) != 1 or codecs[0].get("name") != "sharding_indexed":
        return None
    sharding = codecs[0]["configuration"]
    plain: dict[str, Any] = {"name": "bytes"} | ({"configuration": {"endian": "little"}} if itemsize > 1 else {})
    inner = sharding.pop("codecs")
    known = {"chunk_shape": list(chunks), "index_codecs": _INDEX_CODECS, "index_location": "end"}
    checked = inner[2:] == [{"name": "crc32c"}]
    if sharding != known or len(inner) != 2 + checked or inner[0] != plain or inner[1].get("name") != "blosc":
        return None
    settings: dict[str, Any] = inner[1]["configuration"]
    if settings.keys() != {"typesize", "cname", "clevel", "shuffle", "blocksize"}:
        return None
    return settings | {"shuffle": _SHUFFLES[settings["shuffle"]]}, checked


def _plain(value: Any) -> Any:  # noqa: ANN401
    """JSON as it is written: lists for tuples, in copies throughout."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def only_fill(values: NDArray[Any], fill: np.generic) -> bool:
    """Whether all values are the fill value as Zarr sees it: any NaN is NaN, the two zeros differ.

    Parameters
    ----------
    values
        Shape (n,), contiguous, of the fill value's type.
    """
    return all(bool(part.all()) for part in _alike(values, fill))


def _alike(values: NDArray[Any], fill: np.generic) -> Iterator[NDArray[np.bool_]]:
    """Where values are the fill value: of the first few, and of the rest."""
    for part in (values[:_LOOK], values[_LOOK:]):
        if fill.dtype.kind != "f":
            yield part == fill
        elif np.isnan(fill):
            yield np.isnan(part)
        elif fill == 0:
            bits = np.dtype(f"u{fill.dtype.itemsize}")
            yield part.view(bits) == np.asarray(fill).view(bits)
        else:
            yield part == fill


def write_shards(array: zarr.Array[Any], start: int, values: NDArray[Any]) -> int | None:
    """Write whole shards of an array through its own store, each in one step; one that holds nothing is deleted.

    Parameters
    ----------
    array
        Opened for writing.
    start
        First item; it and the length of the values are multiples of a shard.
    values
        Shape (n, *tail).

    Returns
    -------
    size
        Bytes written; None where Zarr wrote them.
    """
    form = ShardForm.of(array)
    if form is None or array.shards is None:
        array[start : start + len(values)] = values
        return None
    length, buffer, size = array.shards[0], default_buffer_prototype().buffer, 0
    for offset in range(0, len(values), length):
        target = _place(array, (start + offset) // length)
        shard = form.encode(values[offset : offset + length], array.chunks[0])
        if shard is not None and isinstance(array.store, MemoryStore):
            shard = shard.copy()  # it keeps what it is given, and need not keep the room around it
        # The loop that runs this is Zarr's own: a notebook has another one in the calling thread already.
        sync(target.delete() if shard is None else target.set(buffer.from_array_like(shard)))
        size += 0 if shard is None else shard.size
    return size


@measuring("read")
def read_shard(array: zarr.Array[Any], start: int) -> NDArray[Any]:
    """Read one whole shard, the samples of which can be changed then.

    Parameters
    ----------
    array
        Array with shards.
    start
        First item, a multiple of a shard.

    Raises
    ------
    ValueError, RuntimeError
        Whatever Zarr says to a shard that is broken.
    """
    form, shards = ShardForm.of(array), array.shards
    if form is not None and shards is not None:
        samples = np.empty(shards, array.dtype)
        content = sync(_place(array, start // shards[0]).get(default_buffer_prototype()))
        if content is None:
            samples[...] = form.fill
            return samples
        if form.decode(content.as_numpy_array(), array.chunks[0], samples):
            return samples
    length = array.chunks[0] if shards is None else shards[0]
    return np.asarray(array[start : start + length])


def _place(array: zarr.Array[Any], number: int) -> StorePath:
    """Where a shard of an array lies."""
    key = array.metadata.encode_chunk_key((number, *(0 for _ in array.shape[1:])))
    return array.store_path / key

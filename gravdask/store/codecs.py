"""The codec pipeline of local reads: zarrs where it is installed (the extra ``zarrs``), Zarr's own otherwise.

zarrs decodes sharded arrays several times faster and gives the same values. Arrays that are written are never opened
with it, and their shards are Zarr's own to the byte (`gravdask.store.shards`), so that a store does not depend on what
is installed.
"""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import zarr
from zarr.storage import LocalStore

PIPELINE = "zarrs.ZarrsCodecPipeline"


class PlainLocalStore(LocalStore):
    """Local store that is read by Zarr's own pipeline whatever is installed: `[store] zarrs = "off"`."""


@cache
def zarrs_installed() -> bool:
    """Whether zarrs can be imported."""
    return importlib.util.find_spec("zarrs") is not None


def reading(group: zarr.Group) -> AbstractContextManager[object]:
    """Context in which arrays of a group are opened: with zarrs if the group is local and is only read."""
    plain = not isinstance(group.store, LocalStore) or isinstance(group.store, PlainLocalStore)
    if plain or not group.read_only or not zarrs_installed():
        return nullcontext()
    pipeline: AbstractContextManager[object] = zarr.config.set({"codec_pipeline.path": PIPELINE})
    return pipeline

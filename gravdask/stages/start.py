"""What a run looks at before it starts: archive, place and span of time; and what it says when it cannot go on."""

from __future__ import annotations

import math

import zarr

from gravdask.archive.locations import normal_root
from gravdask.archive.remote import root_fault
from gravdask.config import Config
from gravdask.errors import ConfigError
from gravdask.grid import day_at, unit_days
from gravdask.stages.channels import load_channels
from gravdask.stages.scatter import network_for
from gravdask.store.place import Place


def days_of(config: Config) -> tuple[int | None, int | None]:
    """First UTC day of the configured span and last + 1, from 1950-01-01; None where it is open."""
    first_ns, last_ns = config.archive.span_ns()
    first = None if first_ns is None else day_at(first_ns)
    return first, None if last_ns is None else day_at(last_ns - 1) + 1


def frame_days_of(config: Config, root: zarr.Group) -> int:
    """Days that hold whole units of frames of every channel of a store; 0 for a store without channels.

    Only asked where a span is configured: without one it does not matter.
    """
    if days_of(config) == (None, None):
        return 0
    rates = {channel.rate for channel in load_channels(root).values()}
    days = [unit_days(rate, network_for(rate, config.scattering).frame_samples) for rate in rates]
    return math.lcm(*days) if days else 0


def refuse_shared_memory(config: Config, place: Place) -> None:
    """Refuse worker processes on a store in memory.

    Raises
    ------
    ConfigError
        Where the store is in memory and the work is not.
    """
    if place.scheme == "memory" and config.cluster.kind != "serial":
        msg = f"{place}: a store in memory is seen by this process only; work in it alone (--serial, cluster.kind)"
        raise ConfigError(msg)


def no_room(place: Place, reason: str) -> str:
    """What to tell of a disk that is full or has become read-only."""
    return (
        f"{place}: nothing more can be written ({reason}); free some space there. What was finished is kept: run again "
        "to continue"
    )


def find_archive(config: Config) -> None:
    """Refuse a run without an archive before anything is created.

    Raises
    ------
    ConfigError
        If no archive is named, or one of its roots does not exist or cannot be reached.
    """
    if not config.archive.paths:
        msg = "no archive is named: give its folder, or set archive.paths in the configuration"
        raise ConfigError(msg)
    for path in config.archive.paths:
        if fault := root_fault(normal_root(path)):
            msg = f"{path}: {fault}"
            raise ConfigError(msg)


def discard_empty(store: Place) -> None:
    """Remove a store that was just created and holds nothing, so that a mistyped archive leaves no trace."""
    if all(entry.name.endswith(".json") for entry in store.walk() if entry.size):
        store.discard()

"""Which channels a run is about, and which of them enter the model."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from gravdask.archive.traces import MOTION
from gravdask.stages.channels import Channel


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a channel's name matches any of the shell patterns STA, NET.STA or NET.STA.LOC.CHA."""
    network, station, *_ = name.split(".")
    forms = (name, f"{network}.{station}", station)
    return any(fnmatch.fnmatchcase(form, pattern) for pattern in patterns for form in forms)


def model_channels(channels: Iterable[Channel], choice: str) -> list[Channel]:
    """Channels that enter model and tests.

    Parameters
    ----------
    channels
        Candidates.
    choice
        ``vertical``: one channel a station and rate, the vertical one of the lowest location code; ``all``: all.
    """
    candidates = [c for c in channels if c.kind in MOTION]
    if choice == "all":
        return sorted(candidates, key=lambda c: c.name)
    best: dict[tuple[str, str], Channel] = {}
    for channel in candidates:
        key = (channel.station, str(channel.rate))
        if key not in best or _rank(channel) < _rank(best[key]):
            best[key] = channel
    return sorted(best.values(), key=lambda c: c.name)


def _rank(channel: Channel) -> tuple[bool, bool, str, str]:
    """Order of preference within a station: gravity, then vertical, then the lowest location code."""
    _, _, location, code = channel.name.split(".")
    return channel.kind != "gravity", code.split("@")[0][-1:] != "Z", location, code

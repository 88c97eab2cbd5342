"""What a person knows of single channels and neither files nor metadata say: ``[[archive.channels]]``."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gravdask.config.section import Section
from gravdask.grid import utc_ns

CLOCK = re.compile(r"^([+-])(\d{1,2}):(\d{2})$")
"""A clock as an offset from UTC: sign, hours, minutes."""
TIMED = ("scale", "offset", "unit", "clock", "time_delay_s", "latitude", "longitude", "elevation")
"""Keys that may hold for a part of the record only, by ``start`` and ``end``."""
_PATTERN = re.compile(r"^[A-Za-z0-9_\-*?\[\]!@]+(\.[A-Za-z0-9_\-*?\[\]!@]+){0,3}$")


def clock_seconds(text: str) -> int:
    """Offset of a clock such as ``+08:00`` from UTC [s].

    Raises
    ------
    ValueError
        If it is not a signed offset of at most 14 hours.
    """
    match = CLOCK.match(text)
    if not match or int(match[2]) > 14 or int(match[3]) > 59:
        msg = "expected a signed offset from UTC such as '+08:00'"
        raise ValueError(msg)
    return (-1 if match[1] == "-" else 1) * (int(match[2]) * 3600 + int(match[3]) * 60)


def time_ns(text: str) -> int | None:
    """ISO 8601 time in UTC [ns since 1970], None for ''.

    Raises
    ------
    ValueError
        If it is neither, or before 1678 or after 2261.
    """
    if not text:
        return None
    time = utc_ns(text)
    if time is None:
        msg = "expected a time of the years 1678 to 2261; leave the key out for an open beginning or end"
        raise ValueError(msg)
    return time


class ChannelConfig(Section):
    """What is known of some channels; of several matching entries the first that states a key wins, key by key."""

    pattern: str = Field(description="shell pattern of the channels: STA, NET.STA or NET.STA.LOC.CHA")
    start: str = Field("", description="the entry holds from this UTC time on; '' for the beginning")
    end: str = Field("", description="the entry holds up to this UTC time (exclusive); '' for the end")
    scale: float | None = Field(
        None,
        description="value = scale x number + offset, in unit (or what files and metadata say)",
    )
    offset: float | None = Field(None, description="added after the scale, in the same unit")
    unit: str | None = Field(None, description="unit of the values, e.g. 'mGal', 'nm/s2', 'm/s', 'hPa', 'counts'")
    clock: str | None = Field(
        None, description="clock of the files, e.g. '+08:00', instead of archive.clock; waveforms too"
    )
    time_delay_s: float | None = Field(
        None, description="delay of the instrument [s], subtracted from the time stamps", ge=-3600, le=3600
    )
    tide_applied: bool | None = Field(None, description="whether the record has had its tide subtracted already")
    kind: Literal["gravity", "pressure", "seismic", "other"] | None = Field(
        None, description="what the channel is: 'gravity', 'pressure', 'seismic' or 'other'"
    )
    latitude: float | None = Field(None, description="degrees north, stated with longitude", ge=-90, le=90)
    longitude: float | None = Field(None, description="degrees east, stated with latitude", ge=-180, le=360)
    elevation: float | None = Field(None, description="metres above sea level", ge=-12_000, le=9_000)
    velocity_limit: float | None = Field(
        None, description="ground velocity [m/s] from which samples may be clipped", gt=0
    )
    pressure: str | None = Field(
        None, description="channel of the air pressure to use, NET.STA.LOC.CHA; '' for none at all"
    )

    @field_validator("pattern")
    @classmethod
    def _pattern_is_of_channels(cls, value: str) -> str:
        """Refuse a pattern that no channel can fit."""
        if not _PATTERN.match(value):
            msg = "expected a shell pattern STA, NET.STA or NET.STA.LOC.CHA, for example 'XX.334' or '*.*.*.LGZ'"
            raise ValueError(msg)
        if value.count(".") == 2:
            msg = "expected one (STA), two (NET.STA) or four parts (NET.STA.LOC.CHA, '--' for an empty LOC), not three"
            raise ValueError(msg)
        return value

    @field_validator("clock")
    @classmethod
    def _clock_is_an_offset(cls, value: str | None) -> str | None:
        """Refuse a clock that is not written as a signed offset of at most 14 hours."""
        if value is not None:
            clock_seconds(value)
        return value

    @field_validator("start", "end")
    @classmethod
    def _time_is_iso(cls, value: str) -> str:
        """Refuse a time that is not ISO 8601."""
        time_ns(value)
        return value

    @field_validator("scale")
    @classmethod
    def _scale_is_not_zero(cls, value: float | None) -> float | None:
        """Refuse a scale that would make every sample the same."""
        if value == 0:
            msg = "a scale of 0 would make every value the offset; leave the key out, or give the factor"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _entry_makes_sense(self) -> ChannelConfig:
        """Refuse half a place, an empty span, and keys that cannot change with time."""
        if (self.latitude is None) != (self.longitude is None):
            msg = f"{self.pattern}: latitude and longitude must be stated together"
            raise ValueError(msg)
        first, last = self.span_ns()
        if first is not None and last is not None and first >= last:
            msg = f"{self.pattern}: start {self.start} must be before end {self.end}"
            raise ValueError(msg)
        stated = [k for k in type(self).model_fields if getattr(self, k) is not None and k not in _FRAME]
        if not stated:
            msg = f"{self.pattern}: the entry states nothing; give one of {', '.join(_SAYING)}"
            raise ValueError(msg)
        whole = [k for k in stated if k not in TIMED]
        if (self.start or self.end) and whole:
            msg = (
                f"{self.pattern}: {', '.join(whole)} can only hold for the whole record; state them in an entry "
                "without start and end"
            )
            raise ValueError(msg)
        return self

    def span_ns(self) -> tuple[int | None, int | None]:
        """Start and end of the entry [ns since 1970], None where it is open."""
        return time_ns(self.start), time_ns(self.end)


_FRAME = ("pattern", "start", "end")
_SAYING = tuple(k for k in ChannelConfig.model_fields if k not in _FRAME)

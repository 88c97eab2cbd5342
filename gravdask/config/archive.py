"""The sections that say where the data are, what their files do not tell, and where results are kept."""

from __future__ import annotations

import re

import numpy as np
from pydantic import Field, field_validator, model_validator

from gravdask.config.section import Section

_CLOCK = re.compile(r"^([+-])(\d{1,2}):(\d{2})$")


class ArchiveConfig(Section):
    """What is read, and what the files themselves do not say."""

    paths: tuple[str, ...] = Field((), description="folders or files of the archive")
    forget: tuple[str, ...] = Field(
        (), description="folders of earlier runs that do not belong to the archive any more; others are kept in mind"
    )
    stations: str = Field(
        "", description="CSV (network,station,latitude,longitude,elevation) or StationXML; '' for none"
    )
    units: str = Field(
        "", description="unit of channels whose files state none: 'm/s2', 'mGal', 'uGal', 'nm/s2', 'counts'"
    )
    clock: str = Field(
        "+00:00", description="clock of text files relative to UTC, e.g. '+08:00' for China Standard Time"
    )
    network: str = Field("XX", description="network code of files that state none", pattern=r"^[A-Za-z0-9]{1,8}$")
    station_pattern: str = Field(
        "",
        description="regular expression with a group 'station' for file names without a station; '' finds one itself",
    )
    start: str = Field("", description="process from this UTC time on, e.g. '2021-05-01'; '' for all")
    end: str = Field("", description="process up to this UTC time (exclusive); '' for all")
    select: tuple[str, ...] = Field(("*",), description="shell patterns of stations: STA, NET.STA or NET.STA.LOC.CHA")

    @field_validator("clock")
    @classmethod
    def _clock_is_an_offset(cls, value: str) -> str:
        """Refuse a clock that is not written as a signed offset of at most 14 hours."""
        match = _CLOCK.match(value)
        if not match or int(match[2]) > 14 or int(match[3]) > 59:
            msg = "expected a signed offset from UTC such as '+08:00'"
            raise ValueError(msg)
        return value

    @field_validator("start", "end")
    @classmethod
    def _time_is_iso(cls, value: str) -> str:
        """Refuse a time that is not ISO 8601."""
        if value:
            try:
                np.datetime64(value.removesuffix("Z"), "ns")
            except ValueError as error:
                msg = "expected an ISO 8601 UTC time such as '2021-05-01' or '2021-05-01T12:00:00'"
                raise ValueError(msg) from error
        return value

    @field_validator("station_pattern")
    @classmethod
    def _pattern_has_group(cls, value: str) -> str:
        """Refuse a pattern that cannot yield a station."""
        if value:
            try:
                groups = re.compile(value).groupindex
            except re.error as error:
                msg = f"not a regular expression: {error}"
                raise ValueError(msg) from error
            if "station" not in groups:
                msg = "expected a regular expression with a group (?P<station>...)"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _start_is_before_end(self) -> ArchiveConfig:
        """Refuse a span of time that ends before it starts."""
        first, last = self.span_ns()
        if first is not None and last is not None and first >= last:
            msg = f"start {self.start} must be before end {self.end}"
            raise ValueError(msg)
        return self

    @property
    def clock_offset_s(self) -> int:
        """The file clock minus UTC [s]."""
        sign, hours, minutes = _CLOCK.match(self.clock).groups()  # type: ignore[union-attr]
        return (-1 if sign == "-" else 1) * (int(hours) * 3600 + int(minutes) * 60)

    def span_ns(self) -> tuple[int | None, int | None]:
        """Start and end of what is processed [ns since 1970], None where it is open."""
        first, last = (
            int(np.datetime64(t.removesuffix("Z"), "ns").astype(np.int64)) if t else None
            for t in (self.start, self.end)
        )
        return first, last


class StoreConfig(Section):
    """Where the results are kept."""

    path: str = Field("gravdask.zarr", description="folder of the Zarr store", min_length=1)

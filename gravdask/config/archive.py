"""The sections that say where the data are, what their files do not tell, and where results are kept."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gravdask.config.channels import ChannelConfig, clock_seconds, time_ns
from gravdask.config.section import Section
from gravdask.config.tables import TableConfig


class ArchiveConfig(Section):
    """What is read, and what the files themselves do not say."""

    paths: tuple[str, ...] = Field(
        (), description="folders or files of the archive, or addresses that fsspec knows, such as 's3://bucket/prefix'"
    )
    digests: bool = Field(
        True,
        description="tell files apart by a digest of all their content; false: by place, size and time (quick, unsure)",
    )
    forget: tuple[str, ...] = Field(
        (), description="folders of earlier runs that do not belong to the archive any more; others are kept in mind"
    )
    stations: str | tuple[str, ...] = Field(
        "",
        description="coordinates, responses: CSV, StationXML, RESP, dataless SEED, a folder or a list; '' for none",
    )
    log: str = Field(
        "",
        description="the operator's log, CSV (channel,start,end,kind,value,unit,remark); '' for none",
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
    irregular: Literal["linear", "nearest", "refuse"] = Field(
        "linear",
        description="unevenly spaced rows: 'linear' interpolates, 'nearest' shifts in time, 'refuse' omits the file",
    )
    irregular_interval: float = Field(
        0.0, ge=0, le=86_400, description="their grid [s], dividing a day; 0 for the one nearest to the usual step"
    )
    start: str = Field("", description="process from this UTC time on, e.g. '2021-05-01'; '' for all")
    end: str = Field("", description="process up to this UTC time (exclusive); '' for all")
    select: tuple[str, ...] = Field(("*",), description="shell patterns of stations: STA, NET.STA or NET.STA.LOC.CHA")
    channels: tuple[ChannelConfig, ...] = Field(
        (), description="what a person knows of single channels; the first matching entry wins, key by key"
    )

    tables: tuple[TableConfig, ...] = Field((), description="how plain tables (CSV and the like) are read")

    @field_validator("clock")
    @classmethod
    def _clock_is_an_offset(cls, value: str) -> str:
        """Refuse a clock that is not written as a signed offset of at most 14 hours."""
        clock_seconds(value)
        return value

    @field_validator("start", "end")
    @classmethod
    def _time_is_iso(cls, value: str) -> str:
        """Refuse a time that is not ISO 8601."""
        time_ns(value)
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

    @field_validator("irregular_interval")
    @classmethod
    def _interval_divides_a_day(cls, value: float) -> float:
        """Refuse an interval that puts no whole number of samples into a day."""
        nanoseconds = round(value * 1e9)
        if value and (nanoseconds < 1 or 86_400 * 10**9 % nanoseconds):
            msg = "expected a number of seconds that divides a day, such as 30, 60 or 90"
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
    def station_files(self) -> tuple[str, ...]:
        """The files and folders that `stations` names, in the order of their precedence."""
        named = (self.stations,) if isinstance(self.stations, str) else self.stations
        return tuple(name for name in named if name)

    @property
    def clock_offset_s(self) -> int:
        """The file clock minus UTC [s]."""
        return clock_seconds(self.clock)

    def span_ns(self) -> tuple[int | None, int | None]:
        """Start and end of what is processed [ns since 1970], None where it is open."""
        return time_ns(self.start), time_ns(self.end)


class StoreConfig(Section):
    """Where the results are kept."""

    path: str = Field(
        "gravdask.zarr", description="the Zarr store: a folder, s3://bucket/prefix, or memory://name", min_length=1
    )
    endpoint: str = Field(
        "", description="URL of the S3 service, '' as AWS_ENDPOINT_URL says; keys come from the environment only"
    )
    region: str = Field("", description="region of the bucket; '' as AWS_REGION says")
    allow_http: bool = Field(False, description="let the S3 service be reached without encryption")
    zarrs: Literal["auto", "off"] = Field(
        "auto", description="read local stores with the faster zarrs where it is installed, or never"
    )

    @property
    def remote(self) -> bool:
        """Whether the store is no folder of the local file system."""
        return "://" in self.path and not self.path.lower().startswith("file://")

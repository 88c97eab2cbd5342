"""How plain tables of numbers are read: ``[[archive.tables]]``."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from gravdask.config.channels import clock_seconds
from gravdask.config.section import Section

_CHANNEL = re.compile(r"^(?P<column>[^=]+)=(?P<code>[A-Za-z0-9_.-]*)(?::(?P<unit>.*))?$")


class TableConfig(Section):
    """How the files of one layout are read: text, one row a sample, a time and values in columns."""

    files: str = Field(description="shell pattern of file names such as '*.csv', or of paths such as '*/logger/*.txt'")
    separator: str = Field(",", description="one character, '\\t' for tabulators, '' for any blanks", max_length=1)
    header_rows: int = Field(
        1,
        ge=0,
        le=10_000,
        description="rows before the first sample, comments and empty ones too; the last names the columns",
    )
    comment: str = Field("#", description="rows that begin so are left out; '' for none")
    time: tuple[int | str, ...] = Field(
        description="columns of the time, by name or number from 1; several are joined by blanks", min_length=1
    )
    time_format: str = Field(
        "", description="'' for ISO 8601, 'unix' (s), 'mjd' (days), or such as '%d.%m.%Y %H:%M:%S'"
    )
    clock: str = Field("", description="relative to UTC, e.g. '+08:00'; '' for archive.clock (UTC if times are 'unix')")
    station: str = Field(
        "", description="its code, or 'column:' and the column that holds it; '' to go by the file name"
    )
    channels: tuple[str, ...] = Field(
        description="columns to read, as 'column=code:unit' such as 'grav=LGZ:uGal'; 'grav=:uGal' makes a code",
        min_length=1,
    )
    missing: tuple[str, ...] = Field(
        ("NaN", "NA", "NULL", "-"), description="words that stand for a missing value, besides an empty field"
    )
    decimal_comma: bool = Field(False, description="numbers are written 1,5 instead of 1.5")

    @field_validator("clock")
    @classmethod
    def _clock_is_an_offset(cls, value: str) -> str:
        """Refuse a clock that is not written as a signed offset of at most 14 hours."""
        if value:
            clock_seconds(value)
        return value

    @field_validator("time")
    @classmethod
    def _time_columns_count_from_one(cls, value: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """Refuse column 0 and less."""
        if any(isinstance(column, int) and column < 1 for column in value):
            msg = "columns are counted from 1"
            raise ValueError(msg)
        return value

    @field_validator("channels")
    @classmethod
    def _channels_are_columns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse an entry that names no column."""
        for entry in value:
            if not _CHANNEL.match(entry):
                msg = f"{entry!r} is no channel; expected 'column=code:unit', for example 'grav=LGZ:uGal' or '3=:hPa'"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _numbers_can_be_told_apart(self) -> TableConfig:
        """Refuse a decimal comma between columns that are separated by commas, and names without a header."""
        if self.decimal_comma and self.separator == ",":
            msg = "decimal_comma = true needs another separator than ',', for example ';'"
            raise ValueError(msg)
        station = self.station.removeprefix("column:") if self.station.startswith("column:") else "1"
        named = [*(str(c) for c in self.time), *(c for c, _, _ in self.channel_columns()), station]
        if self.header_rows == 0 and (words := [name for name in named if not name.isdecimal()]):
            msg = f"header_rows = 0 leaves no row that names the columns {', '.join(words)}; give their numbers, from 1"
            raise ValueError(msg)
        return self

    def channel_columns(self) -> tuple[tuple[str, str, str], ...]:
        """Column, code and unit ('' where not stated) of every channel."""
        matches = [_CHANNEL.match(entry) for entry in self.channels]
        return tuple((m["column"].strip(), m["code"], (m["unit"] or "").strip()) for m in matches if m)

"""How the rows of a plain table are laid out, as the person who owns it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from gravdask.config.channels import clock_seconds
from gravdask.config.tables import TableConfig


@dataclass(frozen=True)
class TableFormat:
    """Layout of the files that match a pattern; columns are names of the header or numbers from 1.

    Attributes
    ----------
    files
        Shell pattern of file names, or of paths if it has a ``/``.
    separator
        One character, or empty for any blanks.
    header_rows
        Rows before the first sample; the last one names the columns.
    comment
        Rows that begin so are left out; empty for none.
    time
        Columns of the time, joined by blanks.
    time_format
        Empty for ISO 8601, "unix", "mjd", or a pattern of `strptime`.
    clock_offset_s
        Clock of the file minus UTC [s], None for that of the archive.
    station
        Station code, or empty.
    station_column
        Column that holds the station, or empty.
    channels
        Column, code and unit of every channel, empty where not stated.
    missing
        Words that stand for a missing value.
    decimal_comma
        Whether numbers are written with a comma.
    """

    files: str
    separator: str = ","
    header_rows: int = 1
    comment: str = "#"
    time: tuple[str, ...] = ("1",)
    time_format: str = ""
    clock_offset_s: float | None = None
    station: str = ""
    station_column: str = ""
    channels: tuple[tuple[str, str, str], ...] = ()
    missing: tuple[str, ...] = ("NaN", "NA", "NULL", "-")
    decimal_comma: bool = False

    def fits(self, path: Path) -> bool:
        """Whether a file is of this layout, going by its name."""
        return fnmatchcase(path.as_posix() if "/" in self.files else path.name, self.files)


def table_formats(settings: Iterable[TableConfig]) -> tuple[TableFormat, ...]:
    """Layouts that a configuration states, in its order."""
    return tuple(
        TableFormat(
            files=table.files,
            separator=table.separator,
            header_rows=table.header_rows,
            comment=table.comment,
            time=tuple(str(column) for column in table.time),
            time_format=table.time_format,
            clock_offset_s=clock_seconds(table.clock) if table.clock else None,
            station="" if table.station.startswith("column:") else table.station,
            station_column=table.station.removeprefix("column:") if table.station.startswith("column:") else "",
            channels=table.channel_columns(),
            missing=table.missing,
            decimal_comma=table.decimal_comma,
        )
        for table in settings
    )

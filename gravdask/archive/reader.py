"""The protocol of a reader, and the registry that finds the right one for a file.

A reader is any class without required arguments that has `Reader.read`. Other packages register theirs under the
entry-point group ``gravdask.readers``; they are asked before the readers of this package, so they may also replace one.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.table_format import TableFormat
from gravdask.archive.traces import UNKNOWN_NETWORK, Trace
from gravdask.archive.unknown import seems_to_be
from gravdask.errors import NotThisFormatError, ReadError

GROUP = "gravdask.readers"
BUILT_IN = (
    ("table", "gravdask.archive.table_files:TableReader"),
    ("tsoft", "gravdask.archive.tsoft:TsoftReader"),
    ("ggp", "gravdask.archive.ggp:GgpReader"),
    ("scintrex", "gravdask.archive.scintrex:ScintrexReader"),
    ("lacoste", "gravdask.archive.lacoste:LacosteReader"),
    ("station_rows", "gravdask.archive.station_rows:StationRowsReader"),
    ("waveform", "gravdask.archive.waveform:WaveformReader"),
)
"""Readers of this package in the order in which they are asked: the most particular first, obspy last."""
READER_FAULTS = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    EOFError,
    OSError,
    RuntimeError,
    struct.error,
)
"""What a reader may raise on a damaged file besides `ReadError`; it becomes one."""


@dataclass(frozen=True)
class ReadOptions:
    """What the person who owns an archive knows and its files do not say.

    Attributes
    ----------
    clock_offset_s
        Clock of the files minus UTC [s], for example 28800 for UTC+8. Applies to text formats that do not state their
        clock themselves (as CG-5 files do); waveform formats are in UTC by definition.
    unit
        Unit of the channels that state none, air pressure excepted.
    station_codes
        Known station codes, for example from a stations file; looked for in file names.
    station
        Regular expression with a group ``station`` that is applied to file names.
    network
        Network of records that state none.
    irregular
        What is done about rows that are not evenly spaced: "linear", "nearest" or "refuse".
    irregular_interval_s
        Interval of their grid [s], dividing a day; 0 for the one nearest to the usual step.
    tables
        Layouts of plain tables; the first that fits a file's name is taken.
    """

    clock_offset_s: float = 0.0
    unit: str | None = None
    station_codes: tuple[str, ...] = ()
    station: str | None = None
    network: str = UNKNOWN_NETWORK
    irregular: Literal["linear", "nearest", "refuse"] = "linear"
    irregular_interval_s: float = 0.0
    tables: tuple[TableFormat, ...] = ()


@dataclass(frozen=True)
class Source:
    """A file to read.

    Attributes
    ----------
    path
        The file.
    head_only
        Leave the values out of the traces; all else must be the same as with values.
    options
        What the file does not say.
    wanted
        Samples that are wanted, from and up to, by number of the trace; None for all. A reader may leave out the values
        of others, and says in `Trace.part` what it gives.
    """

    path: Path
    head_only: bool = False
    options: ReadOptions = field(default_factory=ReadOptions)
    wanted: Mapping[int, tuple[int, int]] | None = None


class Reader(Protocol):
    """Something that reads the files of one format."""

    def read(self, source: Source) -> Iterator[Trace]:
        """Yield the traces of a file, in an order that depends on the file alone.

        Raises
        ------
        NotThisFormatError
            If the file is of another format; must be found out cheaply, before anything is yielded.
        ReadError
            If the file claims to be of this format but is damaged; names file, line and cure.
        """
        ...


@cache
def registered() -> tuple[EntryPoint, ...]:
    """Entry points of all readers, in the order in which they are asked."""
    own = {value for _, value in BUILT_IN}
    found = [entry for entry in entry_points(group=GROUP) if entry.value not in own]
    built_in = [EntryPoint(name, value, GROUP) for name, value in BUILT_IN]
    return (*sorted(found, key=lambda entry: (entry.name, entry.value)), *built_in)


def reader_names() -> tuple[str, ...]:
    """Names of all readers, in the order in which they are asked."""
    return tuple(entry.name for entry in registered())


@cache
def load_reader(entry: EntryPoint) -> Reader:
    """Make the reader that an entry point names; only then its libraries are imported.

    Raises
    ------
    ReadError
        If it cannot be loaded.
    """
    module, _, name = entry.value.partition(":")
    try:
        reader: Reader = getattr(import_quietly(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        msg = f"the reader {entry.name!r} ({entry.value}) cannot be loaded: {error}; repair or uninstall its package"
        raise ReadError(msg) from error
    return reader


def import_quietly(module: str) -> ModuleType:
    """Import a module whose libraries warn when they are imported, as obspy does of its own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(module)


def read_file(
    path: Path | str,
    options: ReadOptions | None = None,
    head_only: bool = False,
    wanted: Mapping[int, tuple[int, int]] | None = None,
) -> list[Trace]:
    """Read a file with the first reader that knows its format.

    Parameters
    ----------
    path
        The file.
    options
        What the file does not say.
    head_only
        Leave the values out.
    wanted
        Samples that are wanted, from and up to, by number of the trace, where others may be left out; None for all.

    Returns
    -------
    traces
        At least one, in the order of the file.

    Raises
    ------
    NotThisFormatError
        If no reader knows the format; names the formats that were tried.
    ReadError
        If the file is damaged or cannot be opened.
    """
    return read_with_format(Source(Path(path), head_only, options or ReadOptions(), wanted))[1]


def read_with_format(source: Source) -> tuple[str, list[Trace]]:
    """Do what `read_file` does, and say which reader it was."""
    for entry in registered():
        name, reader = entry.name, load_reader(entry)
        try:
            traces = list(reader.read(source))
        except NotThisFormatError:
            continue
        except ReadError:
            raise
        except OSError as error:
            raise DamagedFileError(source.path, None, f"cannot be read: {error}", "check the file system") from error
        except READER_FAULTS as error:
            what = f"the reader {name!r} failed on it ({type(error).__name__}: {error})"
            raise DamagedFileError(source.path, None, what, "check the file with another program") from error
        if not traces:
            raise DamagedFileError(source.path, None, f"{name} file without samples", "remove it or fetch it again")
        return name, traces
    seems = seems_to_be(read_head(source.path))
    tried = ", ".join(reader_names())
    msg = f"{source.path}: not a record of a known format{f' ({seems})' if seems else ''}; tried {tried}"
    raise NotThisFormatError(msg)


def read_head(path: Path, length: int = 8192) -> bytes:
    """First bytes of a file, for readers to recognise their format by.

    Raises
    ------
    DamagedFileError
        If the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError as error:
        raise DamagedFileError(path, None, f"cannot be opened: {error}", "check its permissions") from error

"""The registry of readers."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gravdask.archive import ChannelId, Source, Trace, read_file, reader
from gravdask.errors import NotThisFormatError, ReadError
from gravdask.grid import Rate

OWN = ("table", "tsoft", "ggp", "scintrex", "lacoste", "station_rows", "waveform")


class SampleReader:
    """Reads files that begin with HELLO, and fails on some."""

    def read(self, source: Source) -> Iterator[Trace]:
        text = source.path.read_text()
        if not text.startswith("HELLO"):
            raise NotThisFormatError(str(source.path))
        if "bug" in text:
            raise KeyError("sensor")
        if "empty" not in text:
            yield Trace(ChannelId("", "A", "", "LGZ"), Rate(1, 1), 0, 1, None, "int32")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.SimpleNamespace]:
    """Register `entries` as if other packages had."""
    module = types.ModuleType("someones_reader")
    module.SampleReader = SampleReader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "someones_reader", module)
    state = types.SimpleNamespace(entries=[EntryPoint("hello", "someones_reader:SampleReader", reader.GROUP)])
    monkeypatch.setattr(reader, "entry_points", lambda group: state.entries)
    reader.registered.cache_clear()
    yield state
    reader.registered.cache_clear()


def test_other_packages_come_first(tmp_path: Path, install: types.SimpleNamespace) -> None:
    path = tmp_path / "prose.tsf"
    path.write_text("HELLO")
    assert reader.reader_names() == ("hello", *OWN)
    assert str(read_file(path)[0].channel) == "XX.A.--.LGZ"


def test_built_in_readers_work_without_metadata(tmp_path: Path, install: types.SimpleNamespace) -> None:
    install.entries = []
    path = tmp_path / "a.tsf"
    path.write_text("2021 01 01 00 00 00 1.5\n2021 01 01 00 00 01 1.5\n")
    assert reader.reader_names() == OWN
    assert read_file(path)[0].npts == 2


def test_own_entry_points_are_not_asked_twice() -> None:
    assert reader.reader_names()[-len(OWN) :] == OWN
    assert len(set(reader.reader_names())) == len(reader.reader_names())


def test_faults_of_a_reader_become_read_errors(tmp_path: Path, install: types.SimpleNamespace) -> None:
    path = tmp_path / "a.txt"
    path.write_text("HELLO bug")
    with pytest.raises(ReadError, match=r"the reader 'hello' failed on it .KeyError: 'sensor'"):
        read_file(path)
    path.write_text("HELLO empty")
    with pytest.raises(ReadError, match="hello file without samples"):
        read_file(path)


def test_a_reader_that_cannot_be_loaded_is_named(tmp_path: Path, install: types.SimpleNamespace) -> None:
    install.entries = [EntryPoint("gone", "no_such_module:Reader", reader.GROUP)]
    path = tmp_path / "a.txt"
    path.write_text("x")
    with pytest.raises(ReadError, match=r"the reader 'gone' .* cannot be loaded"):
        read_file(path)

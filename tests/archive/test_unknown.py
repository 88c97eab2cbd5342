"""What is said of files that are no records."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from gravdask.archive.reader import read_file
from gravdask.archive.unknown import seems_to_be
from gravdask.errors import NotThisFormatError


def numpy_bytes() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(9))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"2021 01 01 00 00 00 1.0 2.0\n" * 99, mtime=0), "gzip"),
        (numpy_bytes(), "NumPy"),
        (b"", "empty"),
        (b"\0" * 4096, "zeros"),
        (b"%PDF-1.7 ...", "PDF"),
        (b'{"a": 1}', "JSON"),
        (b"<?xml version='1.0'?><a/>", "XML"),
        (b"<?xml version='1.0'?><q:quakeml xmlns:q='http://quakeml.org'>", "--catalog"),
        (b"time,latitude,longitude,depth,mag\n2021-01-01,1,2,3,5.5\n", "--catalog"),
        (b"a,b\n1,2\n3,4\n5,6\n", "[[archive.tables]]"),
        (b"Dear colleague,\nthe meter of 2021 is broken.\n", "text, but no record"),
    ],
)
def test_a_file_is_named_by_what_it_is(content: bytes, words: str) -> None:
    assert words in seems_to_be(content)


def test_of_other_bytes_nothing_is_said() -> None:
    assert seems_to_be(bytes(range(1, 256)) + b"\0" + bytes(range(255))) == ""


@pytest.mark.real
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("catalogs/gcmt_2014.ndk", "--catalog"),
        ("catalogs/gcmt_big_quakeml.xml", "--catalog"),
        ("catalogs/isc_gem_v3_2009-2012.csv", "--catalog"),
        ("catalogs/usgs_japan_to_20110311.csv", "--catalog"),
        ("reference/ppsd/BW.KW1._.EHZ.D.2011.090_downsampled.asc.gz", "unpack"),
        ("reference/ppsd/ppsd_times_processed.npy", "NumPy"),
        ("reference/tides/etgtab/YorkU.csv", "[[archive.tables]]"),
        ("reference/tides/etgtab/YorkU_TidePars.json", "JSON"),
        ("README.md", "text, but no record"),
    ],
)
def test_real_files_that_are_no_records_are_refused_for_what_they_are(real_data: Path, path: str, words: str) -> None:
    with pytest.raises(NotThisFormatError) as refused:
        read_file(real_data / path)
    assert words in str(refused.value)

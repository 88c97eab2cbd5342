"""AH files that were cut or spliced: their headers tell how long they have to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import obspy
import pytest

from gravdask.archive.reader import read_file
from gravdask.errors import NotThisFormatError, ReadError

TRACES, COUNT = 3, 400


@pytest.fixture(params=[np.float32, np.float64], ids=["floats", "doubles"])
def written(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, np.ndarray]:
    """An AH file of version 1 with three traces as obspy writes it, and its samples, shape (traces, samples)."""
    values = np.random.default_rng(2).standard_normal((TRACES, COUNT)).astype(request.param)
    path = tmp_path / "whole.ah"
    start = obspy.UTCDateTime("1994-06-09")
    obspy.Stream(
        [
            obspy.Trace(row, {"station": "ALE", "channel": f"VH{'ZNE'[k]}", "delta": 10.0, "starttime": start})
            for k, row in enumerate(values)
        ]
    ).write(str(path), format="AH")
    return path, values


def second_version() -> Path:
    """An AH file of version 2; nothing writes them, and obspy brings one for its own tests."""
    path = Path(obspy.__file__).parent / "io" / "ah" / "tests" / "data" / "ah2.f"
    if not path.is_file():
        pytest.skip("this obspy brings no AH file of version 2")
    return path


def test_a_whole_file_is_read(written: tuple[Path, np.ndarray]) -> None:
    path, values = written
    traces = list(read_file(path))
    assert [t.channel.code for t in traces] == ["VHZ", "VHN", "VHE"]
    for trace, row in zip(traces, values, strict=True):
        np.testing.assert_array_equal(trace.values, row)


def test_a_whole_file_of_the_second_version_is_read() -> None:
    path = second_version()
    traces, expected = list(read_file(path)), obspy.read(str(path))
    assert len(traces) == len(expected) == 4
    for trace, other in zip(traces, expected, strict=True):
        np.testing.assert_array_equal(trace.values, other.data.astype(np.float32))


def check_refused(path: Path, folder: Path) -> None:
    """Cut the file anywhere, or splice a piece of itself in anywhere: always refused, or no file of AH at all."""
    rng, whole = np.random.default_rng(7), path.read_bytes()
    damaged = folder / "damaged.ah"
    for _ in range(40):
        a, b = sorted(int(n) for n in rng.integers(1, len(whole), 2))
        for content in (whole[:b], whole[:b] + whole[a:b] + whole[b:], whole[:a] + whole[b:]):
            if content in (whole, b""):
                continue
            damaged.write_bytes(content)
            with pytest.raises((ReadError, NotThisFormatError)) as caught:
                list(read_file(damaged))
            assert str(damaged) in str(caught.value)


def test_no_trace_is_lost_and_no_sample_made_of_other_bytes(written: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, _ = written
    check_refused(path, tmp_path)


def test_nor_in_the_second_version(tmp_path: Path) -> None:
    path = second_version()
    check_refused(path, tmp_path)


def test_the_refusal_tells_both_sizes(written: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, _ = written
    whole = path.read_bytes()
    damaged = tmp_path / "spliced.ah"
    damaged.write_bytes(whole[:-30] + whole[-50:-30] + whole[-30:])
    with pytest.raises(
        ReadError, match=rf"state {len(whole)} bytes in 3 records, the file has {len(whole) + 20} bytes"
    ):
        list(read_file(damaged))

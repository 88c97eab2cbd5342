"""Waveform files that obspy writes, and damage done to them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import obspy
import pytest
from obspy.io.sac import SACTrace

from gravdask.archive import DamagedFileError, ReadOptions, Trace, read_file
from gravdask.archive.mseed_records import looks_like_mseed, record_bytes, record_table
from gravdask.errors import NotThisFormatError
from gravdask.grid import SECOND_NS, Rate

START = obspy.UTCDateTime(2014, 2, 8, 0, 0, 0, 69538)


def wave(values: np.ndarray, code: str = "LHZ", start: obspy.UTCDateTime = START, rate: float = 1.0) -> obspy.Trace:
    header = {"network": "IU", "station": "ABCD", "location": "00", "channel": code, "starttime": start}
    return obspy.Trace(values, header | {"sampling_rate": rate})


def save(folder: Path, *traces: obspy.Trace, name: str = "x.mseed", **options: object) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        obspy.Stream(list(traces)).write(str(folder / name), **({"format": "MSEED"} | options))
    return folder / name


def same_but_values(full: list[Trace], heads: list[Trace]) -> bool:
    def stated(trace: Trace) -> tuple[object, ...]:
        return tuple(
            getattr(trace, n) for n in ("channel", "rate", "start_ns", "npts", "dtype", "unit", "kind", "notes")
        )

    return [stated(t) for t in full] == [stated(t) for t in heads] and all(t.values is None for t in heads)


@pytest.mark.parametrize("dtype", ["int32", "float32", "float64"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_miniseed_is_lossless_and_precise(tmp_path: Path, dtype: str, byteorder: str) -> None:
    values = np.random.default_rng(0).integers(-(2**26), 2**26, 5000).astype(dtype)
    path = save(tmp_path, wave(values, rate=20.0), byteorder=byteorder, reclen=512)
    (trace,) = read_file(path)
    np.testing.assert_array_equal(trace.values, values)
    assert trace.values.dtype == np.dtype(dtype)
    assert (trace.start_ns, trace.rate, trace.kind) == (START.ns, Rate(20, 1), "seismic")
    assert same_but_values([trace], read_file(path, head_only=True))


def test_gaps_and_masks_make_traces(tmp_path: Path) -> None:
    values = np.arange(1000, dtype=np.int32)
    path = save(tmp_path, wave(values), wave(values, start=START + 1500), wave(values, "LGZ"), wave(values, "LDO"))
    traces = read_file(path, ReadOptions(unit="nm/s^2"))
    assert [(t.channel.code, (t.start_ns - START.ns) // SECOND_NS) for t in traces] == [
        ("LHZ", 0),
        ("LHZ", 1500),
        ("LGZ", 0),
        ("LDO", 0),
    ]
    assert [t.kind for t in traces] == ["seismic", "seismic", "gravity", "pressure"]
    assert [t.unit for t in traces] == ["nm/s^2"] * 3 + [None]


def test_clock_of_the_records_is_believed(tmp_path: Path) -> None:
    # every hundred samples take 10 ms too long; obspy joins the records to one trace that ends 1.5 s early
    blocks = [wave(np.arange(n * 100, n * 100 + 100, dtype=np.int32), start=START + n * 100.01) for n in range(160)]
    path = save(tmp_path, *blocks, reclen=512)
    assert len(obspy.read(str(path))) == 1
    traces = read_file(path)
    np.testing.assert_array_equal(np.concatenate([t.values for t in traces]), np.arange(16_000))
    assert len(traces) == 3
    for trace in traces:
        assert (trace.start_ns - START.ns) % SECOND_NS == 0  # one grid: the channel keeps its phase
        for sample in (trace.values[0], trace.values[-1]):
            stated = START.ns + (int(sample) // 100 * 10_001 + int(sample) % 100 * 100) * 10_000_000
            held = trace.start_ns + (int(sample) - int(trace.values[0])) * SECOND_NS
            assert abs(stated - held) <= SECOND_NS // 2
    assert "leaves the grid of 1Hz by +2 samples; cut into 3 traces" in traces[0].notes[0].what
    assert same_but_values(traces, read_file(path, head_only=True))


def test_stated_rate_off_nominal_is_cut(tmp_path: Path) -> None:
    values = np.arange(20_000, dtype=np.float32)
    path = save(tmp_path, wave(values, rate=1 / 1.00005), name="x.sac", format="SAC")
    traces = read_file(path)
    assert {t.rate for t in traces} == {Rate(1, 1)}
    stays = int(0.5 / (1 / traces[0].stated_rate_hz - 1)) + 1
    assert [t.npts for t in traces] == [stays, 20_000 - stays]
    assert traces[1].start_ns - traces[0].start_ns == (stays + 1) * SECOND_NS
    assert traces[0].stated_rate_hz == pytest.approx(1 / 1.00005, abs=1e-7)


@pytest.mark.parametrize("left", [100, 411])
@pytest.mark.parametrize("head_only", [True, False])
def test_cut_miniseed_is_refused_with_its_bytes(tmp_path: Path, left: int, head_only: bool) -> None:
    values = np.random.default_rng(0).integers(-(2**20), 2**20, 5000).astype(np.int32)
    path = save(tmp_path, wave(values), reclen=512)
    size = path.stat().st_size - 512 + left
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DamagedFileError) as caught:
        read_file(path, head_only=head_only)
    text = str(caught.value)
    assert f"{size} bytes" in text
    assert f"with {left} bytes of a record of 512" in text
    assert f"the first {size // 512} records" in text


def test_bytes_between_the_records_are_not_told_as_a_cut_end(tmp_path: Path) -> None:
    path = save(tmp_path, wave(np.random.default_rng(0).integers(-(2**20), 2**20, 5000).astype(np.int32)), reclen=512)
    whole = path.read_bytes()
    path.write_bytes(whole[:1536] + bytes(100) + whole[1536:])
    with pytest.raises(DamagedFileError, match="no record begins at byte 1536"):
        read_file(path)


@pytest.mark.parametrize("size", [0, 60, 300])
def test_no_whole_record(tmp_path: Path, size: int) -> None:
    path = save(tmp_path, wave(np.arange(5000, dtype=np.int32)), reclen=512)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises((DamagedFileError, NotThisFormatError), match=f"{size} bytes|is empty|cannot be decoded"):
        read_file(path)


@pytest.mark.parametrize("head_only", [True, False])
@pytest.mark.parametrize("at", [8, 13, 15, 19])  # station, location, channel, network
def test_a_record_with_a_letter_that_is_none_makes_no_channel_of_its_own(
    tmp_path: Path, at: int, head_only: bool
) -> None:
    path = save(tmp_path, wave(np.random.default_rng(0).integers(-(2**20), 2**20, 5000).astype(np.int32)), reclen=512)
    data = bytearray(path.read_bytes())
    data[1024 + at] |= 0x80
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"record 3 \(byte 1024\) states the codes b'"):
        read_file(path, head_only=head_only)


@pytest.mark.parametrize("lengths", [(512, 4096), (4096, 512)])
def test_such_a_record_is_found_among_records_of_several_lengths(tmp_path: Path, lengths: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(-(2**20), 2**20, 900).astype(np.int32)
    first = save(tmp_path, wave(values), name="a", reclen=lengths[0]).read_bytes()
    second = save(tmp_path, wave(values, start=START + 900), name="b", reclen=lengths[1]).read_bytes()
    sound, damaged = tmp_path / "c", tmp_path / "d"
    sound.write_bytes(first + second)
    traces = read_file(sound)
    np.testing.assert_array_equal(np.concatenate([trace.values for trace in traces]), [*values, *values])
    sound.write_bytes((first + second)[:-100])
    with pytest.raises(DamagedFileError, match="MiniSEED"):
        read_file(sound)
    damaged.write_bytes(first + second[:19] + b"\xd5" + second[20:])
    with pytest.raises(DamagedFileError, match=r"states the codes|Failed to decode network code"):
        read_file(damaged)


def test_damaged_samples_are_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-(2**20), 2**20, 5000).astype(np.int32)
    path = save(tmp_path, wave(values), reclen=512, encoding="STEIM2")
    data = bytearray(path.read_bytes())
    data[1024 + 64 : 1536] = np.random.default_rng(1).bytes(448)
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match="cannot be decoded"):
        read_file(path)


def test_sac_keeps_nanoseconds_coordinates_and_float32(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    sac = SACTrace.from_obspy_trace(wave(values, rate=100.0))
    sac.stla, sac.stlo, sac.stel = 34.8738, 138.0628, 260.0
    sac.write(str(tmp_path / "a[1]*.sac"))
    (trace,) = read_file(tmp_path / "a[1]*.sac")
    assert (trace.latitude, trace.longitude, trace.elevation) == (34.8738, 138.0628, 260.0)
    assert (trace.start_ns, trace.rate, trace.dtype) == (START.ns, Rate(100, 1), "float32")
    np.testing.assert_array_equal(trace.values, values)
    assert same_but_values([trace], read_file(tmp_path / "a[1]*.sac", head_only=True))


def test_sac_without_coordinates_and_network(tmp_path: Path) -> None:
    trace = wave(np.zeros(10, np.float32))
    trace.stats.network = ""
    (back,) = read_file(save(tmp_path, trace, name="x.sac", format="SAC"), ReadOptions(network="CN"))
    assert (back.latitude, back.channel.network) == (None, "CN")


def test_other_formats_give_their_type_from_headers_alone(tmp_path: Path) -> None:
    path = save(tmp_path, wave(np.arange(100, dtype=np.int32)), name="x.gse", format="GSE2")
    full = read_file(path)
    assert full[0].dtype == "int32"
    assert same_but_values(full, read_file(path, head_only=True))


def test_other_files(tmp_path: Path) -> None:
    for name, content in {
        "a.csv": b"station,latitude\nA,1\n",
        "b.bin": bytes(range(256)) * 9,
        "c.md": b"# C\n",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(NotThisFormatError, match=r"tried table, tsoft, ggp, .*, waveform"):
            read_file(tmp_path / name)
    with pytest.raises(DamagedFileError, match="cannot be opened"):
        read_file(tmp_path / "absent.mseed")


def test_record_table_agrees_with_obspy(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    traces = [
        wave(rng.integers(-1000, 1000, 3000).astype(np.int32), start=START + 4000 * n + 0.000_037 * n) for n in range(4)
    ]
    data = save(tmp_path, *traces, reclen=256, byteorder="<").read_bytes()
    assert looks_like_mseed(data)
    assert record_bytes(data) == 256
    records = record_table(data, 256)
    assert int(records.samples.sum()) == 12_000
    assert set(records.name.tolist()) == {b"ABCD 00LHZIU"}
    starts = set(records.start_ns.tolist())
    assert all(any(abs(trace.stats.starttime.ns - start) <= 1000 for start in starts) for trace in traces)

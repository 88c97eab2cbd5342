"""Plain MiniSEED files read from their records: whatever is read so is what obspy reads, damage included."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import obspy
import pytest
from numpy.typing import NDArray

from gravdask.archive import read_file, steim
from gravdask.archive.mseed_records import Records, looks_like_mseed, record_bytes
from gravdask.archive.mseed_traces import Stretch, plain_file
from gravdask.archive.reader import Source
from gravdask.archive.waveform import _through_obspy

GAPS = [0, 0, 0, 0.3, 0.49, 0.51, 5, 1000, -0.3, -3]
"""Intervals that are missing between two stretches: within half of one they continue each other."""


def write(path: Path, *traces: obspy.Trace, **options: object) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        obspy.Stream(list(traces)).write(str(path), **({"format": "MSEED", "encoding": "STEIM2"} | options))
    return path.read_bytes()


def wave(values: NDArray[np.int32], start: obspy.UTCDateTime, rate: float = 100.0, location: str = "") -> obspy.Trace:
    header = {"network": "XX", "station": "ABC", "location": location, "channel": "HHZ"}
    return obspy.Trace(values, header | {"starttime": start, "sampling_rate": rate})


def noise(generator: np.random.Generator, npts: int) -> NDArray[np.int32]:
    """Sums of steps of any size up to what 30 bits hold."""
    steps = np.cumsum(generator.normal(0, 10 ** generator.uniform(0, 5), npts))
    return np.clip(steps, -(2**28), 2**28).astype(np.int32)


def random_file(path: Path, generator: np.random.Generator) -> bytes:
    rate = float(generator.choice([200, 100, 40, 1, 0.1, 50.00001]))
    year = int(generator.choice([1969, 2000, 2012, 2020, 2021]))
    start = obspy.UTCDateTime(year, 12, 31) + float(generator.integers(0, 86_400 * 10**6)) / 1e6
    location = str(generator.choice(["", "00"]))
    traces = []
    for _ in range(generator.integers(1, 5)):
        traces.append(wave(noise(generator, int(generator.integers(1, 3000))), start, rate, location))
        start = traces[-1].stats.endtime + (1 + float(generator.choice(GAPS))) / rate
    encoding = str(generator.choice(["STEIM1", "STEIM2"]))
    length, order = int(generator.choice([256, 512, 4096])), str(generator.choice([">", ">", ">", "<"]))
    return write(path, *traces, encoding=encoding, reclen=length, byteorder=order)


def stated(stretches: list[Stretch]) -> list[Stretch]:
    return [replace(s, values=None, place=(None, None, None), first=0) for s in stretches]


def sound_traces(path: Path, length: int, head_only: bool) -> tuple[list[Stretch], Records] | None:
    plain = plain_file(path, length)
    if plain is None or head_only:
        return (plain.stretches, plain.records) if plain else None
    values = plain.decode(0, sum(stretch.npts for stretch in plain.stretches))
    if values is None:
        return None
    return [replace(s, values=values[s.first : s.first + s.npts]) for s in plain.stretches], plain.records


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("damage", [False, True])
def test_plain_files_are_read_as_obspy_reads_them(tmp_path: Path, seed: int, damage: bool) -> None:
    generator = np.random.default_rng([seed, damage])
    path, plain, whole = tmp_path / "x.mseed", 0, 0
    for _ in range(25):
        data = bytearray(random_file(path, generator))
        for _ in range(generator.integers(1, 4) if damage else 0):
            place = int(generator.integers(len(data)))
            place = place if generator.random() < 0.5 else place // 256 * 256 + int(generator.integers(64))
            data[place] = int(generator.integers(256))
        path.write_bytes(data)
        length = record_bytes(bytes(data[:4096])) if looks_like_mseed(bytes(data[:4096])) else None
        for head_only in (False, True):
            found = sound_traces(path, length, head_only) if length else None
            if found is None:
                continue
            plain += 1
            stretches, records = found
            expected, table = _through_obspy(Source(path, head_only), length, True)  # and no damage to be refused
            assert stated(stretches) == stated(expected)
            assert table is not None
            np.testing.assert_array_equal(records.name, table.name)
            np.testing.assert_array_equal(records.start_ns, table.start_ns)
            np.testing.assert_array_equal(records.samples, table.samples)
            for stretch, other in zip(stretches, expected, strict=True):
                whole += stretch.values is not None
                if not head_only:
                    np.testing.assert_array_equal(stretch.values, other.values)
                    assert stretch.values is not None
                    assert stretch.values.dtype == np.int32
    assert plain > (1 if damage else 10)
    assert damage or whole > 3


def test_a_day_of_several_parts_is_read_plainly(tmp_path: Path) -> None:
    generator, start = np.random.default_rng(5), obspy.UTCDateTime(2020, 2, 29, 0, 0, 0, 1234)
    parts = [noise(generator, n) for n in (5000, 1, 777)]
    path = tmp_path / "x.mseed"
    write(path, *(wave(v, start + 100 * n) for n, v in enumerate(parts)), reclen=512, byteorder=">")
    found = sound_traces(path, 512, head_only=False)
    assert found is not None
    assert [s.npts for s in found[0]] == [5000, 1, 777]
    assert [s.start_ns - found[0][0].start_ns for s in found[0]] == [0, 100 * 10**9, 200 * 10**9]
    for stretch, values in zip(found[0], parts, strict=True):
        np.testing.assert_array_equal(stretch.values, values)
    assert found[0][0].name == "XX.ABC..HHZ"


@pytest.mark.parametrize("encoding", ["INT32", "FLOAT32"])
def test_other_encodings_are_left_to_obspy(tmp_path: Path, encoding: str) -> None:
    values = np.arange(500, dtype=np.int32).astype("float32" if encoding == "FLOAT32" else "int32")
    path = tmp_path / "x.mseed"
    write(path, wave(values, obspy.UTCDateTime(2020, 1, 1)), encoding=encoding, reclen=512)
    assert plain_file(path, 512) is None


def test_two_channels_and_a_cut_file_are_left_to_obspy(tmp_path: Path) -> None:
    values, start = np.arange(500, dtype=np.int32), obspy.UTCDateTime(2020, 1, 1)
    two, alone, cut = (tmp_path / name for name in ("x.mseed", "y.mseed", "z.mseed"))
    write(two, wave(values, start), wave(values, start, location="10"), reclen=512)
    assert plain_file(two, 512) is None
    cut.write_bytes(write(alone, wave(values, start), reclen=512)[:-64])
    assert plain_file(alone, 512) is not None
    assert plain_file(cut, 512) is None


@pytest.mark.parametrize("seed", range(4))
def test_parts_of_traces_are_those_of_the_whole(tmp_path: Path, seed: int) -> None:
    generator, path = np.random.default_rng(seed), tmp_path / "x.mseed"
    for _ in range(20):
        random_file(path, generator)
        whole = read_file(path)
        wanted = {}
        for number, trace in enumerate(whole):
            if generator.random() < 0.8:
                first = int(generator.integers(trace.npts))
                wanted[number] = (first, int(generator.integers(first, trace.npts)) + 1)
        parts = read_file(path, wanted=wanted)
        assert [replace(t, values=None, part=None) for t in parts] == [replace(t, values=None) for t in whole]
        for number, (trace, part) in enumerate(zip(whole, parts, strict=True)):
            first, stop = part.held
            if part.values is None:
                assert number not in wanted
                continue
            assert trace.values is not None
            np.testing.assert_array_equal(part.values, trace.values[first:stop])
            low, high = wanted.get(number, (first, first))
            assert first <= low
            assert high <= stop


def test_only_the_records_that_hold_a_part_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "x.mseed"
    values = noise(np.random.default_rng(3), 200_000)
    data = bytearray(write(path, wave(values, obspy.UTCDateTime(2020, 1, 1)), reclen=512, byteorder=">"))
    data[-512 + 64 + 11] ^= 1  # the last sample that the last record states
    path.write_bytes(data)
    plain = plain_file(path, 512)
    assert plain is not None
    assert plain.decode(0, 200_000) is None
    found = plain.decode(50_000, 50_010)
    assert found is not None
    np.testing.assert_array_equal(found, values[50_000:50_010])
    (trace,) = read_file(path, wanted={0: (50_000, 50_010)})
    assert (trace.part, trace.npts) == ((50_000, 50_010), 200_000)
    path.write_bytes(data[: len(data) // 1024 * 512])
    assert plain.decode(199_000, 199_010) is None  # cut after the headers were read


# --- Steim ------------------------------------------------------------------------------------------------------------

WIDTHS = {1: [(1, 4, 8), (2, 2, 16), (3, 1, 32)], 2: [(1, 4, 8), (2, 1, 30), (2, 2, 15), (2, 3, 10)]}
WIDTHS[2] += [(3, 5, 6), (3, 6, 5), (3, 7, 4)]
OWN_BITS = {(2, 30): 1, (2, 15): 2, (2, 10): 3, (3, 6): 0, (3, 5): 1, (3, 4): 2}


@pytest.mark.parametrize("level", [1, 2])
def test_every_kind_of_word_at_its_limits(level: int) -> None:
    """Words packed by hand: the least and the greatest difference of each width, in each of its places."""
    marks, words, differences = [], [], []
    for mark, count, bits in WIDTHS[level]:
        for turn in range(count):
            own = [-(2 ** (bits - 1)) if n == turn else 2 ** (bits - 1) - 1 for n in range(count)]
            word = OWN_BITS.get((mark, bits), 0) << 30 if level == 2 else 0
            for n, value in enumerate(own):
                word |= (value & (2**bits - 1)) << (bits * (count - 1 - n))
            marks.append(mark)
            words.append(word)
            differences += own
    samples = (np.cumsum(differences) + 12345).astype(np.int64).astype(np.uint32).view(np.int32)
    record = np.zeros(16 * (len(words) // 13 + 2), np.uint32)
    slots = [n for n in range(3, record.size) if n % 16]
    for slot, mark, word in zip(slots, marks, words, strict=False):
        record[slot] = word
        record[slot // 16 * 16] |= np.uint32(mark << (30 - 2 * (slot % 16)))
    record[1], record[2] = samples[:1].view(np.uint32)[0], samples[-1:].view(np.uint32)[0]
    out = steim.decode(np.stack([record, record]), 0, np.array([samples.size] * 2), level)
    assert out is not None
    np.testing.assert_array_equal(out, np.concatenate([samples, samples]))
    record[2] += np.uint32(1)
    assert steim.decode(record[None], 0, np.array([samples.size]), level) is None


@pytest.mark.parametrize("word", [0x00000001, 0xC0000001])
def test_a_word_that_does_not_exist_is_no_number(word: int) -> None:
    record = np.zeros(16, np.uint32)
    record[0], record[3] = (2 if word >> 30 == 0 else 3) << 24, word
    assert steim.decode(record[None], 0, np.array([1]), 2) is None


def test_too_few_samples_are_found_out() -> None:
    record = np.zeros(16, np.uint32)
    record[0] = 1 << 24  # one word of four differences, all zero
    assert steim.decode(record[None], 0, np.array([4]), 2) is not None
    assert steim.decode(record[None], 0, np.array([5]), 2) is None

"""MiniSEED headers that lost a bit: no sound record of another channel, rate or time is made of them unseen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from gravdask.archive.damage import DamagedFileError
from gravdask.archive.reader import import_quietly, read_file
from gravdask.errors import ReadError
from gravdask.grid import SECOND_NS

obspy = import_quietly("obspy")
START = obspy.UTCDateTime("2024-01-01T00:00:00")
VALUES = np.random.default_rng(0).integers(-(2**20), 2**20, 5000).astype(np.int32)
LENGTH = 512


def save(folder: Path, *pieces: tuple[int, str], name: str = "x.mseed", values: np.ndarray = VALUES) -> Path:
    """Pieces of one sample a second from a second on, each of a channel, in this order."""
    path = folder / name
    whole = b""
    for number, (second, code) in enumerate(pieces):
        header = {"network": "GD", "station": "LSA", "location": "00", "channel": code, "starttime": START + second}
        part = folder / f"part{number}"
        obspy.Trace(values, header).write(str(part), format="MSEED", reclen=LENGTH, encoding="STEIM2")
        whole += part.read_bytes()
        part.unlink()
    path.write_bytes(whole)
    return path


def records_of(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[at : at + LENGTH] for at in range(0, len(data), LENGTH)]


def samples(path: Path) -> tuple[dict[tuple[str, int], int], list[str]]:
    """Values by channel and time, and what was remarked."""
    found, notes = {}, []
    for trace in read_file(path):
        step = trace.rate.interval_ns
        notes += [note.what for note in trace.notes]
        for k, value in enumerate(np.asarray(trace.values).tolist()):
            found[f"{trace.channel}@{trace.rate}", round((trace.start_ns + k * step) / SECOND_NS)] = value
    return found, notes


@pytest.mark.parametrize(
    ("record", "some"),
    [
        (3, range(8, 40)),  # codes, time, samples, rate, flags
        (0, [*range(8, 22), *range(30, 36)]),  # at the ends a time that is off by less than a day is only a gap
        (-1, [*range(8, 22), *range(30, 36)]),
    ],
    ids=["inner", "first", "last"],
)
def test_no_bit_that_a_header_lost_moves_samples_unseen(tmp_path: Path, record: int, some: Iterable[int]) -> None:
    whole, notes = samples(save(tmp_path, (0, "LGZ")))
    assert notes == []
    records = records_of(tmp_path / "x.mseed")
    path, seen = tmp_path / "damaged.mseed", 0
    for bit in (8 * byte + bit for byte in some for bit in range(8)):
        damaged = bytearray(records[record])
        damaged[bit // 8] ^= 1 << bit % 8
        changed = list(records)
        changed[record] = bytes(damaged)
        path.write_bytes(b"".join(changed))
        try:
            found, notes = samples(path)
        except ReadError:
            seen += 1
            continue
        assert found == whole or notes, f"byte {bit // 8}, bit {bit % 8}"
        seen += found != whole
    assert seen > 50


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (10, b"_", r"record 4 \(byte 1536\) states GD.LS_.00.LGZ at 1 Hz .* leave room for GD.LSA.00.LGZ at 1 Hz from"),
        (21, b"\xe9", "record 4 .* states GD.LSA.00.LGZ at 1 Hz from 2025-01-01T"),  # the year
        (23, b"\x81", "record 4 .* states GD.LSA.00.LGZ at 1 Hz from 2024-05-08T"),  # the day
        (33, b"\x03", "record 4 .* states GD.LSA.00.LGZ at 3 Hz from 2024-01-01T"),
    ],
)
def test_a_damaged_header_between_whole_ones_is_named(tmp_path: Path, at: int, value: bytes, words: str) -> None:
    records = records_of(save(tmp_path, (0, "LGZ")))
    records[3] = records[3][:at] + value + records[3][at + 1 :]
    (tmp_path / "x.mseed").write_bytes(b"".join(records))
    with pytest.raises(DamagedFileError, match=words):
        read_file(tmp_path / "x.mseed")


def test_records_in_any_order_are_used_with_a_remark(tmp_path: Path) -> None:
    """Uncompressed, so that every record has as many samples and fits where any other is missing."""
    whole, _ = samples(save(tmp_path, (0, "LGZ")))
    records = records_of(tmp_path / "x.mseed")
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(records))
        (tmp_path / "x.mseed").write_bytes(b"".join(records[k] for k in order))
        found, notes = samples(tmp_path / "x.mseed")
        assert found == whole
        assert any("behind later ones" in note for note in notes)
    doubled = [*records[:4], *records[3:]]
    (tmp_path / "x.mseed").write_bytes(b"".join(doubled))
    assert samples(tmp_path / "x.mseed")[0] == whole


def test_channels_beside_each_other_and_gaps_are_nothing_to_remark_on(tmp_path: Path) -> None:
    short = VALUES[:60]
    pieces = [(60 * k, code) for k in range(12) if k != 5 for code in ("LGZ", "LGN", "LGE")]
    found, notes = samples(save(tmp_path, *pieces, (0, "LMZ"), (0, "LMN"), (0, "VM1"), values=short))
    assert len(found) == (3 * 11 + 3) * 60
    assert notes == []
    days = [(86_400 * k, "LGZ") for k in range(12)]
    assert samples(save(tmp_path, *days, values=short))[1] == []


def test_one_record_far_from_all_others_is_remarked_on(tmp_path: Path) -> None:
    pieces = [(60 * k, "LGZ") for k in range(12)]
    _, notes = samples(save(tmp_path, *pieces, (5 * 86_400, "LGZ"), values=VALUES[:60]))
    assert [note.partition(",")[0] for note in notes] == [f"record 13 (byte {12 * LENGTH}) lies days from all others"]

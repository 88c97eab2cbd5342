"""Damaged files by the thousand: no crash, and no value that the damaged file does not itself hold.

Real files are truncated, bit-flipped, shuffled, emptied and renamed at random. Whatever comes of one is counted:
refused as damaged, ignored as no record, read with the values of the whole file, or read with values that differ. The
last is allowed only where another reader (obspy for waveforms, a few lines of split() for text) finds the same number
at the same time in the same damaged bytes: a flipped bit may make another digit, which nobody can see, but never may a
reader of ours make one.
"""

from __future__ import annotations

import glob
import re
import warnings
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from pathlib import Path

import numpy as np
import obspy
import pytest

from gravdask.archive.reader import ReadOptions, read_file
from gravdask.errors import NotThisFormatError, ReadError

KINDS = ("truncated", "flipped", "swapped", "emptied", "renamed", "zeroed", "doubled")
Samples = dict[tuple[str, int], float]
"""(channel, time [ns]) to the value."""


@dataclass(frozen=True)
class Victim:
    """A real file, how much of it is taken, who else reads it, and how far a sample may stand from its stamp [s]."""

    path: str
    lines: int
    told_by: Callable[[Path], list[tuple[int, set[float]]]] | None
    slack_s: int = 0

    def bytes(self, root: Path) -> bytes:
        content = (root / self.path).read_bytes()
        return b"".join(content.splitlines(keepends=True)[: self.lines]) if self.lines else content


def rows_of_text(path: Path) -> list[tuple[int, set[float]]]:
    """Time [ns] and all numbers of each line that begins with six whole numbers, or with date and time in one piece."""
    rows = []
    for line in path.read_bytes().decode("latin-1").splitlines():
        tokens = line.split()
        stamp = None
        try:
            if len(tokens) >= 7 and len(tokens[0]) <= 4:
                y, mo, d, h, mi = (int(t) for t in tokens[:5])
                y += 2000 * (len(tokens[0]) == 2)
                stamp = datetime(y, mo, d) + timedelta(hours=h, minutes=mi, seconds=float(tokens[5]))
                rest = tokens[6:]
            elif len(tokens) >= 3 and len(tokens[0]) == 8:
                clock = tokens[1].zfill(6)
                stamp = datetime(int(tokens[0][:4]), int(tokens[0][4:6]), int(tokens[0][6:]))
                stamp += timedelta(hours=int(clock[:2]), minutes=int(clock[2:4]), seconds=int(clock[4:]))
                rest = tokens[2:]
        except (ValueError, OverflowError):
            continue
        if stamp is None:
            continue
        rows.append((nanoseconds(stamp), numbers_among(rest)))
    return rows


def nanoseconds(stamp: datetime) -> int:
    """Since 1970."""
    return (stamp - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1000


def numbers_among(tokens: list[str]) -> set[float]:
    """The words that are numbers."""
    return {float(t) for t in tokens if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", t)}


def rows_of_scintrex(path: Path) -> list[tuple[int, set[float]]]:
    """Time and numbers of each line with a date and a time of day, by every offset from GMT that the file states."""
    text = path.read_bytes().decode("latin-1")
    stated = {float(f) for f in re.findall(r"GMT DIFF\.?:?\s*([-+]?\d+\.?\d*)", text)} | {0.0}
    rows = []
    for line in text.splitlines():
        day, clock = re.search(r"(\d{4}/\d\d/\d\d)", line), re.search(r"(\d\d:\d\d:\d\d)", line)
        if not (day and clock):
            continue
        try:
            stamp = datetime.strptime(f"{day[1]} {clock[1]}", "%Y/%m/%d %H:%M:%S")
        except ValueError:
            continue
        numbers = numbers_among(line.replace("#", " ").split())
        rows += [(nanoseconds(stamp + timedelta(hours=h)), numbers) for h in stated]
    return rows


VICTIMS = (
    Victim("seismic/scedc_s3/CIFOX2_LHZ___2022002.ms", 0, None),
    Victim("seismic/scedc_s3/BKTHIS_LHZ00_2022002.ms", 0, None),
    Victim("seismic/overlap_pair/IU.ANMO.00.LHZ.20140204T0630.mseed", 0, None),
    Victim("seismic/events/GR.BFO_BHZ_tohoku.sac", 0, None),
    Victim("seismic/ah/ALE_VHZ_19940609_bolivia.ah", 0, None),
    Victim("gravimeter/ggp/ap046.ggp", 0, rows_of_text),
    Victim("format_fixtures_not_real_values/readggp_data.ggp", 0, rows_of_text),
    Victim("format_fixtures_not_real_values/tsf_data.tsf", 0, rows_of_text),
    Victim("gravimeter/gphone_334/20210607_334append.part1.tsf", 400, rows_of_text),
    Victim("gravimeter/tsoft_tsf/l230406.TSF", 400, rows_of_text),
    Victim("gravimeter/scintrex_cg5/l230406.TXT", 300, rows_of_scintrex, 60),
    Victim("gravimeter/lacoste_es_dirty/last.dat", 1000, rows_of_text, 20),
)


def damage(kind: str, content: bytes, rng: np.random.Generator) -> bytes:
    """The content with one kind of damage."""
    size = len(content)
    if kind == "truncated":
        return content[: int(rng.integers(1, size))]
    if kind == "emptied":
        return b"" if rng.random() < 0.3 else b"\0" * int(rng.integers(1, size))
    changed = bytearray(content)
    if kind == "flipped":
        for place in rng.integers(0, size, rng.integers(1, 9)):
            changed[place] ^= 1 << int(rng.integers(8))
    elif kind == "swapped":
        length = int(rng.integers(1, size // 4))
        a, b = sorted(int(n) for n in rng.integers(0, size - length, 2))
        changed[a : a + length], changed[b : b + length] = content[b : b + length], content[a : a + length]
    elif kind == "zeroed":
        a, b = sorted(int(n) for n in rng.integers(0, size, 2))
        changed[a:b] = bytes(b - a)
    elif kind == "doubled":
        a, b = sorted(int(n) for n in rng.integers(0, size, 2))
        changed[b:b] = content[a:b]
    return bytes(changed)


def samples_of(path: Path) -> Samples:
    """All samples that gravdask reads, finite ones only."""
    found: Samples = {}
    # the nearest rule leaves every value as it stands in the file, so that it can be looked up there
    for trace in read_file(path, ReadOptions(station="(?P<station>STA)", irregular="nearest")):
        assert trace.values is not None
        step = trace.rate.interval_ns
        for k, value in enumerate(trace.values.tolist()):
            if np.isfinite(value):
                # divided, as 1234 / 10^3 is the double nearest to 1.234
                true = value / 10.0**trace.decimals if trace.decimals else float(value)
                found[str(trace.channel), trace.start_ns + int(k * step)] = true
    return found


def told_by_obspy(path: Path) -> set[tuple[str, float]] | None:
    """(channel code, value) of all samples that obspy reads without any warning; None if it warns or fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            stream = obspy.read(glob.escape(str(path)))
        except Exception:  # noqa: BLE001 - anything that obspy raises means that it does not read the file
            return None
    return {(t.stats.station, float(v)) for t in stream for v in np.ma.compressed(np.ma.masked_invalid(t.data))}


def made_up(read: Samples, whole: Samples, victim: Victim, path: Path) -> list[tuple[str, int, float]]:
    """Samples that are neither those of the whole file nor in the damaged one."""
    strange = [(c, t, v) for (c, t), v in read.items() if whole.get((c, t)) != v]
    if not strange:
        return []
    if victim.told_by is None:
        told = told_by_obspy(path)
        return strange if told is None else [s for s in strange if (s[0].split(".")[1], s[2]) not in told]
    rows = sorted(victim.told_by(path), key=itemgetter(0))
    times = [time for time, _ in rows]
    offsets, slack = offsets_of(path), victim.slack_s * 10**9

    def near(time: int) -> set[float]:
        first, last = bisect_left(times, time - slack), bisect_right(times, time + slack)
        return set().union(*(numbers for _, numbers in rows[first:last]))

    return [(c, t, v) for c, t, v in strange if not is_stated(v, near(t), offsets)]


def offsets_of(path: Path) -> set[float]:
    """Block offsets of a GGP file, nought among them."""
    found = {0.0}
    for line in path.read_bytes().decode("latin-1").splitlines():
        if line.strip().startswith("77777777"):
            found |= {float(t) for t in line.split()[1:] if re.fullmatch(r"[-+]?\d+\.?\d*", t)}
    return found


def is_stated(value: float, numbers: set[float], offsets: set[float]) -> bool:
    """Whether a value is one of the numbers of its line, with or without the offset of a block."""
    return any(abs(value - n - o) <= 1e-9 * max(1.0, abs(n)) for n in numbers for o in offsets)


def attack(victim: Victim, root: Path, folder: Path, rng: np.random.Generator) -> tuple[str, str]:
    """Damage a file once and read it; the kind of damage and what came of it."""
    kind = KINDS[int(rng.integers(len(KINDS)))]
    content = victim.bytes(root)
    suffix = Path(victim.path).suffix
    whole_path = folder / f"STA{suffix}"
    whole_path.write_bytes(content)
    whole = samples_of(whole_path)
    if kind == "renamed":
        suffix = (".tsf", ".ggp", ".mseed", ".sac", ".txt", ".dat", ".csv", "")[int(rng.integers(8))]
    path = folder / f"STA_{kind}{suffix}"
    path.write_bytes(damage(kind, content, rng))
    try:
        read = samples_of(path)
    except NotThisFormatError:
        return kind, "ignored"
    except ReadError as error:
        return kind, "refused" if str(path) in str(error) else f"refused without its name: {error}"
    strange = made_up(read, whole, victim, path)
    assert not strange, (victim.path, kind, strange[:3], len(strange))
    if read == whole:
        return kind, "whole"
    return kind, "part" if all(whole.get(k) == v for k, v in read.items()) else "as the bytes say"


@pytest.mark.real
@pytest.mark.parametrize("victim", VICTIMS, ids=lambda v: Path(v.path).name)
@pytest.mark.parametrize("count", [12, pytest.param(60, marks=pytest.mark.slow)])
def test_no_damage_makes_a_value_up(
    real_data: Path, tmp_path: Path, victim: Victim, count: int, record_property: Callable[[str, object], None]
) -> None:
    rng = np.random.default_rng(count + sum(victim.path.encode()))
    outcomes = Counter(attack(victim, real_data, tmp_path, rng) for _ in range(count))
    record_property("outcomes", {f"{kind}: {what}": n for (kind, what), n in sorted(outcomes.items())})
    assert {what for _, what in outcomes} <= {"ignored", "refused", "whole", "part", "as the bytes say"}
    # The damage is real: not everything may pass as the whole file.
    assert any(what != "whole" for _, what in outcomes)


@pytest.mark.real
@pytest.mark.parametrize("wrong", ["furlong", "hPa", "m/s^2", "%$&", "9.81"])
@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("gravimeter/tsoft_tsf/l230406.TSF", "nm/s^2"),
        ("format_fixtures_not_real_values/tsf_data.tsf", "units2"),
    ],
)
def test_a_wrong_unit_changes_no_number_and_is_passed_on_as_written(
    real_data: Path, tmp_path: Path, path: str, unit: str, wrong: str
) -> None:
    """What a unit means is judged where channels are described; a reader neither converts by it nor drops it."""
    content = (real_data / path).read_bytes()
    assert unit.encode() in content
    damaged = tmp_path / Path(path).name
    damaged.write_bytes(content.replace(unit.encode(), wrong.encode()))
    for before, after in zip(read_file(real_data / path), read_file(damaged), strict=True):
        np.testing.assert_array_equal(before.values, after.values)
        assert (before.start_ns, before.rate, before.decimals) == (after.start_ns, after.rate, after.decimals)
        assert after.unit == (wrong if before.unit == unit else before.unit)

"""The whole pipeline on small simulated networks: lossless, resumable, independent of order and workers, frozen."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pandas as pd
import psutil
import pytest
import zarr

from gravdask import pipeline
from gravdask.config import STAGES, Config, build_config, render
from gravdask.errors import ConfigError, ModelError, ReadError
from gravdask.grid import ORIGIN_NS, SECOND_NS, day_at
from gravdask.pipeline import RunRecord, run
from gravdask.progress import Progress
from gravdask.simulate import simulate_network
from gravdask.simulate.network import SimulatedNetwork
from gravdask.stages.base import Context
from gravdask.stages.calibrate import TOTAL
from gravdask.stages.channels import Channel
from gravdask.stages.classify import models_of
from gravdask.stages.interpret import load_table
from gravdask.stages.model import load_model
from gravdask.store.layout import channel_names, missing_value, open_root, read_span, sub_array
from gravdask.store.ledger import Ledger

T = 1024
FIRST_DAY, DAYS = "2024-01-01", 5
FIRST = day_at(int(np.datetime64(FIRST_DAY, "ns").astype(np.int64)))
LSA, QZH = "GD.LSA.00.LGZ", "GD.QZH.00.LGZ"
UNITS = ("convert", "noise", "calibrate", "scatter", "fit", "classify")
DAILY = 86_400
Arrays = dict[str, np.ndarray]


# ---------------------------------------------------------------------------------------------------------- helpers


def configure(archive: Path, store: Path, network: SimulatedNetwork | None = None, /, **sections: Any) -> Config:
    values: dict[str, Any] = {
        "archive": {"paths": [str(archive)]},
        "store": {"path": str(store)},
        "scattering": {"frame_samples": T},
        "fit": {"min_days": 3},
        "interpret": {},
        "cluster": {"kind": "serial"},
    }
    if network is not None:
        values["archive"]["stations"] = str(network.station_xml)
        values["interpret"]["catalog"] = str(network.catalogue)
    for section, keys in sections.items():
        values.setdefault(section, {}).update(keys)
    return build_config(values)


def with_keys(config: Config, section: str, **keys: Any) -> Config:
    values = config.model_dump()
    values[section].update(keys)
    return build_config(values)


def context_of(config: Config) -> Context:
    context = Context(config, Ledger(config.store_path / "ledger"), Progress())
    context.reload()
    return context


def row(record: RunRecord, stage: str) -> dict[str, Any]:
    return next(r for r in record.stages if r["stage"] == stage)


def done(record: RunRecord) -> dict[str, tuple[int, int]]:
    """Units done and parts (chunks, days, segments) computed, for the stages that did anything."""
    return {r["stage"]: (r["done"], r["parts"]) for r in record.stages if r["done"] or r["parts"]}


def stored(store: Path, first_day: int = FIRST - 2, days: int = DAYS + 4, frame: int = T) -> Arrays:
    """Every array along time of every channel at 1 Hz over a fixed span, whatever the channel's own extent is."""
    root = open_root(store)
    lengths = {"raw": DAILY, "noise": 1, "scattering": DAILY / frame, "classes": DAILY / frame}
    found = {}
    for name in channel_names(root):
        for group, per_day in lengths.items():
            if f"{name}/{group}" not in root:
                continue
            for array in sub_group(root, f"{name}/{group}"):
                if array.shape[0] > 10_000:
                    start, stop = int(first_day * per_day), int((first_day + days) * per_day)
                    found[f"{name}/{group}/{array.basename}"] = read_span(array, start, stop)
    return found


def sub_group(root: zarr.Group, path: str) -> Iterator[zarr.Array[Any]]:
    group = root[path]
    assert isinstance(group, zarr.Group)
    for _, array in sorted(group.arrays()):
        yield array


def differing(a: Arrays, b: Arrays, *parts: str) -> list[str]:
    """Names of the arrays that are not the same to the bit; empty also asserts that there is something to compare."""
    chosen = {n for n in a | b if not parts or n.split("/")[1] in parts}
    assert chosen, f"nothing of {parts} to compare"
    return sorted(n for n in chosen if n not in a or n not in b or a[n].tobytes() != b[n].tobytes())


def digests(config: Config, stage: str = "convert") -> dict[tuple[str, int], dict[str, str]]:
    return {(r.channel, r.unit): r.content for r in Ledger(config.store_path / "ledger").of_stage(stage)}


def files_of(folder: Path) -> dict[str, tuple[int, str]]:
    """Modification time and digest of every file of a store but its leases."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, hashlib.blake2b(p.read_bytes()).hexdigest())
        for p in sorted(folder.rglob("*"))
        if p.is_file() and "leases" not in p.parts
    }


def model_digest(config: Config) -> str:
    return models_of(context_of(config))["1Hz"]


def day_file(archive: Path, station: str, day: int, code: str = "LGZ") -> Path:
    """File of the n-th day (from 0) of a simulated station."""
    return archive / "2024" / "GD" / station / f"{code}.D" / f"GD.{station}.00.{code}.D.2024.{day + 1:03d}"


def copy(network: SimulatedNetwork, target: Path) -> Path:
    return Path(shutil.copytree(network.archive, target))


def write(path: Path, values: Any, start: str, rate: float = 1.0, code: str = "XX.AAA.00.LGZ", **options: Any) -> Path:
    """Write one MiniSEED file of one trace."""
    n, s, place, c = code.split(".")
    header = {"network": n, "station": s, "location": place, "channel": c, "sampling_rate": rate}
    trace = obspy.Trace(np.ascontiguousarray(values), {**header, "starttime": obspy.UTCDateTime(start)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace.write(str(path), format="MSEED", **options)
    return path


def converted(archive: Path, store: Path, /, **sections: Any) -> tuple[RunRecord, dict[str, Channel]]:
    config = configure(archive, store, **sections)
    return run(config, stages=("convert",)), context_of(config).channels


def samples(store: Path, channel: Channel, start_ns: int, count: int) -> np.ndarray:
    """Stored numbers of a channel from the sample at a time on, found without the package's own arithmetic."""
    first, rest = divmod(start_ns - ORIGIN_NS - channel.phases[0][1], int(channel.rate.interval_ns))
    assert rest == 0
    return read_span(sub_array(open_root(store), f"{channel.name}/raw/record"), first, first + count)


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


# --------------------------------------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SimulatedNetwork:
    """Two stations, five days at 1 Hz; the second station misses its second day."""
    made = simulate_network(tmp_path_factory.mktemp("sim"), 2, DAYS, 1.0, seed=1, start=FIRST_DAY, pressure=False)
    assert not day_file(made.archive, "QZH", 1).exists()
    return made


@pytest.fixture(scope="module")
def whole(network: SimulatedNetwork, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, RunRecord]:
    """A whole run in one go. Tests read it and run again over it, but never change its archive or settings."""
    config = configure(network.archive, tmp_path_factory.mktemp("whole") / "whole.zarr", network)
    return config, run(config)


@pytest.fixture(scope="module")
def bits(whole: tuple[Config, RunRecord]) -> Arrays:
    return stored(whole[0].store_path)


@pytest.fixture
def branch(whole: tuple[Config, RunRecord], tmp_path: Path) -> Callable[..., Config]:
    """Copy of the finished store to go on from."""

    def make() -> Config:
        config = whole[0]
        target = tmp_path / "branch.zarr"
        shutil.copytree(config.store_path, target)
        return with_keys(config, "store", path=str(target))

    return make


# --------------------------------------------------------------------------------------------------------- one run


def test_a_run_ends_at_a_report_with_its_tables(whole: tuple[Config, RunRecord]) -> None:
    config, record = whole
    assert [r["stage"] for r in record.stages] == list(STAGES)
    assert record.exit_code == 0
    assert record.report == config.report_folder / "report.html"
    names = {p.name for p in config.report_folder.iterdir()}
    assert {"report.html", "daily_snm.csv", "class_intervals.csv", "events.csv", "quarantine.csv"} <= names
    snm = pd.read_csv(config.report_folder / "daily_snm.csv")
    # 5 days and 4 days, of which those with a gap of more than a tenth have no magnitude.
    assert snm.groupby("channel")["day"].count().to_dict() == {LSA: 5, QZH: 5}
    assert snm[snm["channel"] == QZH].set_index("day")["snm"].isna().to_dict()["2024-01-02"]
    intervals = pd.read_csv(config.report_folder / "class_intervals.csv")
    component = stored(config.store_path)[f"{LSA}/classes/component"]
    assert intervals[intervals["channel"] == LSA]["frames"].sum() == (component >= 0).sum() > 300
    assert pd.read_csv(config.report_folder / "quarantine.csv").empty


@pytest.mark.parametrize("station", ["LSA", "QZH"])
def test_the_record_is_what_obspy_reads_and_gaps_are_missing(
    whole: tuple[Config, RunRecord], network: SimulatedNetwork, station: str
) -> None:
    config, _ = whole
    name = f"GD.{station}.00.LGZ"
    missing = np.iinfo(np.int32).min
    expected = np.full(DAYS * DAILY, missing, np.int32)
    start = obspy.UTCDateTime(FIRST_DAY)
    for path in sorted(network.archive.rglob(f"*.{station}.*")):
        if path.is_file():
            for trace in obspy.read(str(path)):
                at = round(trace.stats.starttime - start)
                expected[at : at + trace.stats.npts] = trace.data
    channel = context_of(config).channels[name]
    assert channel.dtype == "int32"
    assert np.array_equal(samples(config.store_path, channel, ns(FIRST_DAY), DAYS * DAILY), expected)
    assert 0 < (expected == missing).sum() < DAYS * DAILY / 2
    inside = np.flatnonzero(expected != missing)
    assert channel.extent == (FIRST * DAILY + int(inside[0]), FIRST * DAILY + int(inside[-1]) + 1)
    # nothing stands outside what the files hold
    outside = read_span(
        sub_array(open_root(config.store_path), f"{name}/raw/record"), (FIRST - 300) * DAILY, FIRST * DAILY
    )
    assert (outside == missing).all()


def test_frames_without_enough_samples_have_neither_coefficients_nor_class(bits: Arrays) -> None:
    for name in (LSA, QZH):
        valid = bits[f"{name}/scattering/valid_fraction"]
        features = np.isfinite(bits[f"{name}/scattering/coefficients"])
        component = bits[f"{name}/classes/component"]
        raw = bits[f"{name}/raw/record"]
        whole_frames = len(raw) // T * T
        # Frames lie on the absolute grid; the span read here begins inside one.
        offset = -((FIRST - 2) * DAILY) % T
        present = (raw[offset : offset + whole_frames - T] != missing_value("int32")).reshape(-1, T).mean(axis=1)
        first = -(-(FIRST - 2) * DAILY // T) - int((FIRST - 2) * DAILY / T)
        assert np.allclose(valid[first : first + len(present)], present, atol=1e-6)
        assert np.array_equal(features.all(axis=1), valid >= 0.9)
        assert np.array_equal(features.any(axis=1), valid >= 0.9)
        assert np.array_equal(component >= 0, valid >= 0.9)
        assert 0 < (valid < 0.9).sum() < len(valid)


# ------------------------------------------------------------------------------------------------ nothing has changed


def test_a_second_run_works_on_no_unit_and_changes_no_file(whole: tuple[Config, RunRecord]) -> None:
    config, first = whole
    before = files_of(config.store_path)
    page = files_of(config.report_folder)
    record = run(config)
    assert record.units_done == 0
    assert record.units_skipped == first.units_done
    after = files_of(config.store_path)
    # The index is written again, with the same content.
    assert [n for n in before | after if before.get(n, (0, ""))[1] != after.get(n, (0, ""))[1]] == []
    assert {n for n in before if before[n] != after[n]} <= {"ledger/index.parquet"}
    assert files_of(config.report_folder) == page


def test_a_new_modification_time_alone_redoes_nothing(network: SimulatedNetwork, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    copy(network, archive)
    config = configure(archive, tmp_path / "s.zarr", network)
    stages = ("convert", "noise", "calibrate")
    run(config, stages=stages)
    for path in archive.rglob("*"):
        os.utime(path, (1.7e9, 1.7e9))
    before = files_of(config.store_path)
    record = run(config, stages=stages)
    assert record.units_done == 0
    after = files_of(config.store_path)
    assert {n for n in before | after if before.get(n) != after.get(n)} <= {"ledger/index.parquet"}


def test_the_ledger_does_not_vouch_for_a_unit_that_was_begun(branch: Callable[..., Config], bits: Arrays) -> None:
    """A client that dies while a shard is written leaves the unit as begun, and the next run does all of it."""
    config = branch()
    ledger = Ledger(config.store_path / "ledger")
    ledger.begin([dataclasses.replace(next(ledger.of_stage("scatter")), status="begun")])
    array = sub_array(open_root(config.store_path, create=True), f"{LSA}/scattering/coefficients")
    array[int(FIRST * DAILY / T) + 20] = 1.0
    record = run(config, stages=UNITS)
    assert row(record, "scatter")["done"] == 1
    assert differing(bits, stored(config.store_path)) == []


# ------------------------------------------------------------------------------------- late, removed, corrected files


@pytest.fixture(scope="module")
def late(
    network: SimulatedNetwork, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Config, RunRecord, Arrays, str]]:
    """One station's fourth day withheld, then there, then removed, then corrected; store and model after each run."""
    folder = tmp_path_factory.mktemp("late")
    archive = copy(network, folder / "archive")
    path = day_file(archive, "LSA", 3)
    content = path.read_bytes()
    trace = obspy.read(str(path))[0]
    trace.data[40_000:40_500] += 7
    config = configure(archive, folder / "late.zarr", network)
    found = {}
    for name in ("withheld", "added", "removed", "corrected"):
        if name in {"withheld", "removed"}:
            path.unlink()
        elif name == "corrected":
            trace.write(str(path), format="MSEED", encoding="STEIM2", reclen=4096)
        else:
            path.write_bytes(content)
        record = run(config, stages=UNITS)
        found[name] = (config, record, stored(config.store_path), model_digest(config))
    return found


def test_a_late_day_redoes_its_chunk_its_day_and_the_segments_it_touches(
    late: dict[str, tuple[Config, RunRecord, Arrays, str]], bits: Arrays
) -> None:
    _, record, after, _ = late["added"]
    before = late["withheld"][2]
    assert done(record)["convert"] == (1, 1)
    assert done(record)["noise"] == (1, 1)
    assert row(record, "fit")["done"] == 0
    assert row(record, "classify")["done"] == 1
    segments = done(record)["scatter"][1]
    everything = row(late["withheld"][1], "scatter")["parts"]
    assert 0 < segments < everything
    # Coefficients of frames far from the day are the same, those of the day are there now. Frames of one segment share
    # its offset, whose rounding may change their last digits.
    name = f"{LSA}/scattering/coefficients"
    changed = np.flatnonzero(~np.isclose(before[name], after[name], rtol=1e-5, atol=1e-6, equal_nan=True).all(axis=1))
    at = (np.array([changed.min(), changed.max() + 1]) * T + int((FIRST - 2) * DAILY / T) * T) / DAILY - FIRST
    assert 3 - 0.3 < at[0] <= 3 + T / DAILY
    assert 4 - T / DAILY <= at[1] < 4 + 0.3
    assert {n for n in differing(before, after) if not n.startswith(LSA)} == set()
    assert differing(bits, after, "raw", "noise") == []


def test_removing_the_file_again_takes_its_samples_out(
    late: dict[str, tuple[Config, RunRecord, Arrays, str]],
) -> None:
    _, record, after, _ = late["removed"]
    assert done(record)["convert"] == (1, 1)
    assert done(record)["noise"] == (1, 1)
    assert differing(late["withheld"][2], after) == []


def test_a_corrected_file_brings_its_own_values_and_no_others(
    late: dict[str, tuple[Config, RunRecord, Arrays, str]],
) -> None:
    _, record, after, _ = late["corrected"]
    assert done(record)["convert"] == (1, 1)
    assert done(record)["noise"] == (1, 1)
    before = late["added"][2]
    changed = np.flatnonzero(after[f"{LSA}/raw/record"] != before[f"{LSA}/raw/record"])
    assert np.array_equal(changed, (2 + 3) * DAILY + np.arange(40_000, 40_500))
    for series in ("snm", "rms"):
        a, b = before[f"{LSA}/noise/{series}"], after[f"{LSA}/noise/{series}"]
        assert np.flatnonzero((a != b) & ~(np.isnan(a) & np.isnan(b))).tolist() == [5]


def test_the_model_is_not_made_stale_by_data(late: dict[str, tuple[Config, RunRecord, Arrays, str]]) -> None:
    assert len({digest for *_, digest in late.values()}) == 1


def test_earlier_and_later_stretches_leave_what_is_there_alone(network: SimulatedNetwork, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    for day in (2, 3):
        target = day_file(archive, "LSA", day)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(day_file(network.archive, "LSA", day), target)
    config = configure(archive, tmp_path / "s.zarr", network)
    stages = ("convert", "noise")
    run(config, stages=stages)
    known = stored(config.store_path)
    for day in (0, 4):
        shutil.copy(day_file(network.archive, "LSA", day), day_file(archive, "LSA", day))
        record = run(config, stages=stages)
        assert done(record) == {"convert": (1, 1), "noise": (1, 1)}
    after = stored(config.store_path)
    middle = slice((2 + 2) * DAILY, (2 + 4) * DAILY)
    name = f"{LSA}/raw/record"
    assert np.array_equal(known[name][middle], after[name][middle])
    for series in ("snm", "ssnm", "rms", "psd"):
        series = f"{LSA}/noise/{series}"
        assert known[series][4:6].tobytes() == after[series][4:6].tobytes()
    assert context_of(config).channels[LSA].extent == (FIRST * DAILY, (FIRST + 5) * DAILY)


def test_a_year_more_leaves_the_shards_of_other_years_untouched(tmp_path: Path) -> None:
    archive, store = tmp_path / "archive", tmp_path / "s.zarr"
    rng = np.random.default_rng(2)
    years = {y: rng.integers(-1000, 1000, 1440 * 2).astype(np.int32) for y in (2015, 2017, 2019)}
    for year in (2017, 2019, 2015):
        write(archive / f"{year}.mseed", years[year], f"{year}-06-15", 1 / 60, "XX.AAA.00.UGZ")
        before = files_of(store) if store.exists() else {}
        record, channels = converted(archive, store)
        assert done(record) == {"convert": (1, 1)}
        shards = {n: v for n, v in before.items() if "/raw/record/c/" in n}
        assert {n: v for n, v in files_of(store).items() if n in shards} == shards
    for year, values in years.items():
        assert np.array_equal(samples(store, channels["XX.AAA.00.UGZ"], ns(f"{year}-06-15"), 2880), values)


def test_a_channel_whose_last_file_went_away_is_emptied(network: SimulatedNetwork, tmp_path: Path) -> None:
    archive = copy(network, tmp_path / "archive")
    config = configure(archive, tmp_path / "s.zarr", network)
    run(config, stages=("convert", "noise"))
    for path in (archive / "2024" / "GD" / "QZH").rglob("*"):
        if path.is_file():
            path.unlink()
    record = run(config, stages=("convert", "noise"))
    after = stored(config.store_path)
    assert (after[f"{LSA}/raw/record"] != missing_value("int32")).any()
    assert (after[f"{QZH}/raw/record"] == missing_value("int32")).all()
    assert np.isnan(after[f"{QZH}/noise/rms"]).all()
    assert done(record) == {"convert": (1, 4), "noise": (1, 4)}


def test_what_came_from_a_folder_that_is_away_stays(network: SimulatedNetwork, tmp_path: Path) -> None:
    """A disk that is not mounted looks like an absent folder, and not one sample is lost for it."""
    one, two = tmp_path / "one", tmp_path / "two"
    shutil.copytree(network.archive / "2024" / "GD" / "LSA", one / "LSA")
    shutil.copytree(network.archive / "2024" / "GD" / "QZH", two / "QZH")
    config = configure(one, tmp_path / "s.zarr", network)
    run(config, stages=("convert",))
    config = with_keys(config, "archive", paths=[str(two)])
    record = run(config, stages=("convert",))
    assert done(record) == {"convert": (1, 4)}
    full = stored(config.store_path)
    assert set(full) == {f"{LSA}/raw/record", f"{QZH}/raw/record"}
    one.rename(tmp_path / "unmounted")
    record = run(config, stages=("convert",))
    assert record.units_done == 0
    assert any(n.startswith(f"{one}: cannot be reached now") for n in record.notes)
    shutil.copytree(tmp_path / "unmounted", two / "moved")
    record = run(config, stages=("convert",))
    assert record.units_done == 0
    (note,) = [n for n in record.notes if "cannot be reached now" in n]
    assert note.endswith(f'elsewhere in the archive: if it was moved, archive.forget = ["{one}"] drops the old place')
    assert not any("content of another" in n for n in record.notes)
    forgetful = with_keys(config, "archive", paths=[str(two)], forget=[str(one)])
    assert not any("cannot be reached" in n for n in run(forgetful, stages=("convert",)).notes)
    assert differing(full, stored(config.store_path)) == []


def test_a_mount_point_without_its_disk_is_refused(network: SimulatedNetwork, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    shutil.copytree(network.archive / "2024" / "GD" / "LSA", one / "LSA")
    shutil.copytree(network.archive / "2024" / "GD" / "QZH", two / "QZH")
    config = with_keys(configure(one, tmp_path / "s.zarr", network), "archive", paths=[str(one), str(two)])
    run(config, stages=("convert",))
    full = stored(config.store_path)
    shutil.rmtree(one)
    one.mkdir()
    with pytest.raises(ReadError, match=r"all 5 record files .* is the disk mounted"):
        run(config, stages=("convert",))
    assert differing(full, stored(config.store_path)) == []


# ------------------------------------------------------------------------------------------------------------- order


def test_paths_names_and_order_of_the_files_do_not_matter(
    whole: tuple[Config, RunRecord], network: SimulatedNetwork, bits: Arrays, tmp_path: Path
) -> None:
    archive = tmp_path / "elsewhere"
    archive.mkdir()
    files = sorted(p for p in network.archive.rglob("*") if p.is_file())
    rng = np.random.default_rng(5)
    for number, place in enumerate(rng.permutation(len(files))):
        target = archive / f"{'ab'[number % 2]}" / f"{place:04d}.dat"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(files[number], target)
        os.utime(target, (1.5e9 + float(place), 1.5e9 + float(place)))
    config = configure(archive, tmp_path / "s.zarr", network)
    run(config, stages=("convert", "noise"))
    assert digests(config) == digests(whole[0])
    assert differing(bits, stored(config.store_path), "raw", "noise") == []


def test_overlaps_are_resolved_alike_in_whatever_order_the_files_come(tmp_path: Path) -> None:
    """Three files that overlap and differ, in six orders of arrival: the same record each time."""
    rng = np.random.default_rng(8)
    spans = {"a": (0, 5000), "b": (3000, 9000), "c": (4000, 7000)}
    values = {n: rng.standard_normal(b - a).astype(np.float32) for n, (a, b) in spans.items()}
    expected = np.full(9000, np.nan, np.float32)
    edge = np.full(9000, -1)
    for name, (start, stop) in spans.items():
        for k in range(start, stop):  # plain words of the rule: the trace whose nearer end is farther away
            distance = min(k - start, stop - 1 - k)
            if distance > edge[k]:
                edge[k], expected[k] = distance, values[name][k - start]
    ties = np.array(
        [sum(min(k - a, b - 1 - k) == edge[k] for a, b in spans.values() if a <= k < b) for k in range(9000)]
    )
    results = []
    start, name = obspy.UTCDateTime("2020-03-01T22:00:00"), "XX.AAA.00.VGZ"
    for number, order in enumerate(["abc", "acb", "bac", "bca", "cab", "cba"]):
        archive, store = tmp_path / f"{number}", tmp_path / f"{number}.zarr"
        for place, letter in enumerate(order):
            write(archive / f"{place}.mseed", values[letter], str(start + 10 * spans[letter][0]), 0.1, name)
            if number < 3:
                converted(archive, store)  # file by file
        record, channels = converted(archive, store)
        results.append(samples(store, channels[name], ns("2020-03-01T22:00:00"), 9000))
        clear = ties == 1
        assert clear.sum() > 8900
        assert np.array_equal(results[-1][clear], expected[clear])
        assert np.isin(results[-1], np.concatenate(list(values.values()))).all()
    assert all(r.tobytes() == results[0].tobytes() for r in results)
    (note,) = [n for n in record.notes if "there more than once" in n]
    assert note.startswith(f"{name}: 5000 samples are there more than once, in several files or twice in one, 5000 of")
    assert "the one farther from the ends of its unbroken stretch was taken" in note


def test_a_record_that_is_there_twice_with_the_same_values_is_told(tmp_path: Path) -> None:
    values = np.arange(9000, dtype=np.int32)
    path = write(tmp_path / "archive/a.mseed", values, "2020-03-01T22:00:00", 1.0, reclen=512)
    content = path.read_bytes()
    path.write_bytes(content[:1024] + content[512:])
    record, channels = converted(tmp_path / "archive", tmp_path / "a.zarr")
    assert record.exit_code == 0
    (note,) = [n for n in record.notes if "there more than once" in n]
    assert note.endswith("several files or twice in one, 0 of them with other values")
    found = samples(tmp_path / "a.zarr", channels["XX.AAA.00.LGZ"], ns("2020-03-01T22:00:00"), 9000)
    assert np.array_equal(found, values)


# ----------------------------------------------------------------------------------------- spans, channels and shares


def test_a_chosen_span_is_all_that_is_done(network: SimulatedNetwork, bits: Arrays, tmp_path: Path) -> None:
    part = configure(
        network.archive, tmp_path / "s.zarr", network, archive={"start": "2024-01-02", "end": "2024-01-04"}
    )
    record = run(part, stages=("convert", "noise", "scatter"))
    assert row(record, "convert")["parts"] == 2 + 1  # QZH misses 2 January
    found = stored(part.store_path)
    inside = slice((2 + 1) * DAILY, (2 + 3) * DAILY)
    name = f"{LSA}/raw/record"
    assert np.array_equal(found[name][inside], bits[name][inside])
    assert (np.delete(found[name], np.r_[inside]) == missing_value("int32")).all()
    assert np.flatnonzero(np.isfinite(found[f"{LSA}/noise/rms"])).tolist() == [3, 4]


def test_a_second_span_leaves_the_first_as_it_is(network: SimulatedNetwork, bits: Arrays, tmp_path: Path) -> None:
    config = configure(network.archive, tmp_path / "s.zarr", network)
    stages = ("convert", "noise")
    run(with_keys(config, "archive", end="2024-01-04"), stages=stages)
    run(with_keys(config, "archive", start="2024-01-04"), stages=stages)
    assert differing(bits, stored(config.store_path), "raw") == []
    assert differing(bits, stored(config.store_path), "noise") == []


def test_a_span_that_cuts_a_chunk_does_not_lose_its_other_side(tmp_path: Path) -> None:
    """At one sample a minute a chunk holds many days; a later run over a part of them keeps the others."""
    archive, store = tmp_path / "archive", tmp_path / "s.zarr"
    values = np.random.default_rng(4).integers(-99, 99, (10, 1440)).astype(np.int32)
    for day in range(10):
        write(archive / f"{day}.mseed", values[day], f"2024-01-{day + 1:02d}", 1 / 60, "XX.AAA.00.UGZ")
    _, channels = converted(archive, store)
    whole_record = samples(store, channels["XX.AAA.00.UGZ"], ns("2024-01-01"), 14_400)
    assert np.array_equal(whole_record, values.ravel())
    converted(archive, store, archive={"start": "2024-01-06", "end": "2024-01-08"})
    assert np.array_equal(samples(store, channels["XX.AAA.00.UGZ"], ns("2024-01-01"), 14_400), whole_record)


@pytest.mark.parametrize("pattern", ["LSA", "GD.LSA", "GD.LSA.00.LGZ", "GD.L*"])
def test_stations_are_chosen_by_pattern(network: SimulatedNetwork, tmp_path: Path, pattern: str) -> None:
    record, channels = converted(network.archive, tmp_path / "s.zarr", archive={"select": [pattern]})
    assert list(channels) == [LSA]
    assert row(record, "convert")["done"] == 1


def test_a_pattern_that_fits_nothing_says_so(network: SimulatedNetwork, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no record of the stations NOWHERE"):
        converted(network.archive, tmp_path / "s.zarr", archive={"select": ["NOWHERE"]})


def test_channels_limit_a_run_and_the_rest_follows_later(
    network: SimulatedNetwork, bits: Arrays, tmp_path: Path
) -> None:
    config = configure(network.archive, tmp_path / "s.zarr", network)
    stages = ("convert", "noise")
    assert row(run(config, stages=stages, channels=("QZH",)), "noise")["done"] == 1
    record = run(config, stages=stages)
    assert done(record) == {"convert": (1, 5), "noise": (1, 5)}
    assert differing(bits, stored(config.store_path), "raw", "noise") == []


def test_shares_of_a_stage_add_up_to_the_whole(network: SimulatedNetwork, bits: Arrays, tmp_path: Path) -> None:
    """Two jobs of ``--task 0/2`` and ``1/2``, one after the other, do what one run does."""
    config = configure(network.archive, tmp_path / "s.zarr", network)
    for stage in ("convert", "noise"):
        for i in range(2):
            run(config, stages=(stage,), part=(i, 2))
    assert differing(bits, stored(config.store_path), "raw", "noise") == []


def test_a_share_leaves_out_the_stages_that_need_all(network: SimulatedNetwork, tmp_path: Path) -> None:
    config = configure(network.archive, tmp_path / "s.zarr", network)
    record = run(config, stages=("convert", "fit", "interpret", "report"), part=(1, 2))
    assert [row["stage"] for row in record.stages] == ["convert"]
    assert any(n.startswith("share 1 of 2: fit, interpret, report need all of it") for n in record.notes)
    assert record.report is None


def test_unknown_stages_are_refused(whole: tuple[Config, RunRecord]) -> None:
    with pytest.raises(ConfigError, match="unknown stages \\['skatter'\\]; there are convert, noise"):
        run(whole[0], stages=("skatter",))


# ------------------------------------------------------------------------------------------------------ configuration


@pytest.mark.slow
def test_a_key_of_scattering_redoes_scattering_and_what_follows_only(branch: Callable[..., Config]) -> None:
    config = branch()
    old = model_digest(config)
    changed = with_keys(config, "scattering", wavelets_per_octave=4)
    record = run(changed, stages=UNITS)
    assert [r["done"] for r in record.stages] == [0, 0, 0, 2, 1, 2]
    assert model_digest(changed) != old
    # Going back redoes the coefficients, but the model of that network is still there.
    record = run(config, stages=UNITS)
    assert [r["done"] for r in record.stages] == [0, 0, 0, 2, 0, 2]
    assert model_digest(config) == old


def test_a_key_of_noise_redoes_noise_only(branch: Callable[..., Config]) -> None:
    record = run(with_keys(branch(), "noise", sided="two"), stages=UNITS)
    assert [r["done"] for r in record.stages] == [0, 2, 0, 0, 0, 0]


@pytest.mark.slow
def test_another_catalogue_redoes_interpretation_and_report_only(
    branch: Callable[..., Config], network: SimulatedNetwork, tmp_path: Path
) -> None:
    config = branch()
    catalogue = tmp_path / "fewer.csv"
    lines = network.catalogue.read_text().splitlines(keepends=True)
    catalogue.write_text("".join(lines[:-1]))
    record = run(with_keys(config, "interpret", catalog=str(catalogue)))
    assert [r["stage"] for r in record.stages if r["done"]] == ["interpret", "report"]
    assert record.units_skipped == 2 * 5 + 1


def test_a_refit_of_the_same_frames_is_the_same_model(branch: Callable[..., Config], bits: Arrays) -> None:
    config = branch()
    digest = model_digest(config)
    record = run(with_keys(config, "fit", refit="always"), stages=UNITS)
    assert row(record, "classify")["done"] == 0
    assert model_digest(config) == digest
    assert differing(bits, stored(config.store_path), "classes") == []


@pytest.mark.slow
def test_a_refit_makes_a_damaged_model_anew(branch: Callable[..., Config], bits: Arrays) -> None:
    config = branch()
    (file,) = (config.store_path / "tables/models").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    with pytest.raises(ModelError, match=r"is damaged: not JSON .* Fit again: --refit"):
        load_model(config.store_path, "1Hz", model_digest(config))
    record = run(with_keys(config, "fit", refit="always"), stages=UNITS)
    assert any("the components are numbered anew, without regard to the model before" in note for note in record.notes)
    assert file.read_bytes() == whole
    assert differing(bits, stored(config.store_path), "classes") == []


@pytest.mark.slow
def test_a_refit_with_another_seed_is_a_new_model_that_classifies_everything(branch: Callable[..., Config]) -> None:
    config = branch()
    digest = model_digest(config)
    changed = with_keys(config, "fit", seed=7, n_components=3)
    assert run(changed, stages=UNITS).units_done == 0  # a setting of the fit alone does not replace a frozen model
    record = run(with_keys(changed, "fit", refit="always"), stages=UNITS)
    assert (row(record, "fit")["done"], row(record, "classify")["done"]) == (1, 2)
    assert model_digest(config) != digest
    component = stored(config.store_path)[f"{LSA}/classes/component"]
    assert set(np.unique(component)) <= {-1, 0, 1, 2}
    # The earlier model stays beside it.
    assert {digest, model_digest(config)} <= set(open_root(config.store_path)["model/1Hz"])  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ frozen models


@pytest.mark.slow
def test_a_station_that_comes_later_is_classified_with_the_model_there_is(
    network: SimulatedNetwork, tmp_path: Path
) -> None:
    archive = copy(network, tmp_path / "archive")
    shutil.move(archive / "2024" / "GD" / "QZH", tmp_path / "QZH")
    config = configure(archive, tmp_path / "s.zarr", network)
    run(config, stages=UNITS)
    digest, before = model_digest(config), stored(config.store_path)
    shutil.move(tmp_path / "QZH", archive / "2024" / "GD" / "QZH")
    record = run(config, stages=UNITS)
    assert [r["done"] for r in record.stages] == [1, 1, 1, 1, 0, 1]
    assert any(n.startswith(f"{QZH}: not in the fit; classified with medians of its own") for n in record.notes)
    assert model_digest(config) == digest
    after = stored(config.store_path)
    assert [n for n in differing(before, after) if n.startswith(LSA)] == []
    # Its own normalisation: its median frame is no stranger to the model, as it would be with the other's medians.
    component = after[f"{QZH}/classes/component"]
    assert (component >= 0).sum() > 200
    model = load_model(config.store_path, "1Hz", digest)
    assert set(model.medians) == {LSA}
    medians = model.medians_of(QZH)
    assert medians is not None
    frames = after[f"{QZH}/scattering/coefficients"]
    own = np.median(frames[np.isfinite(frames).all(axis=1)].astype(np.float64), axis=0)
    assert np.array_equal(medians.path, own)
    files = files_of(config.store_path)
    assert run(config, stages=UNITS).units_done == 0
    assert {n for n, v in files_of(config.store_path).items() if files.get(n) != v} <= {"ledger/index.parquet"}


def test_estimates_are_frozen_with_the_model(late: dict[str, tuple[Config, RunRecord, Arrays, str]]) -> None:
    """A later day changes neither drift nor admittance, so that old frames keep what they were made from."""
    config = late["corrected"][0]
    ledger = Ledger(config.store_path / "ledger")
    record = ledger.get("calibrate", LSA, TOTAL)
    assert record is not None
    assert record.info["days"] == pytest.approx(4, abs=0.1)  # of the first run, the day withheld
    attributes: Any = open_root(config.store_path)[f"{LSA}/preprocess"].attrs["estimate"]
    assert attributes["drift"] == record.info["drift"] != 0


def test_a_run_stopped_before_the_estimates_were_merged_makes_them_up(
    network: SimulatedNetwork, bits: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All units of calibrate are in the ledger, but the client died before it merged them."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    config = configure(network.archive, tmp_path / "s.zarr", network)
    stages = ("convert", "calibrate", "scatter")
    with monkeypatch.context() as patch:
        stopped = dataclasses.replace(pipeline.UNIT_STAGES["calibrate"], finish=die)
        patch.setitem(pipeline.UNIT_STAGES, "calibrate", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(config, stages=stages)
    run(config, stages=stages)
    assert Ledger(config.store_path / "ledger").get("calibrate", LSA, TOTAL) is not None
    assert differing(bits, stored(config.store_path), "raw", "scattering") == []


# -------------------------------------------------------------------------------------------------------- quarantine


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param(("convert", "noise", "report"), id="whole"),
        pytest.param(
            ("convert",),
            id="convert",
        ),
    ],
)
def test_a_cut_off_file_is_listed_and_the_rest_finishes(
    network: SimulatedNetwork, bits: Arrays, tmp_path: Path, stages: tuple[str, ...]
) -> None:
    archive = copy(network, tmp_path / "archive")
    config = configure(archive, tmp_path / "s.zarr", network)
    path = day_file(archive, "LSA", 2)
    content = path.read_bytes()
    path.write_bytes(content[:-1000])
    record = run(config, stages=stages)
    assert record.exit_code == 1
    assert record.quarantine["where"].tolist() == [str(path)]
    assert "MiniSEED cut off" in record.quarantine["what"][0]
    assert "fetch the file again" in record.quarantine["cure"][0]
    found, day = stored(config.store_path), slice((2 + 2) * DAILY, (2 + 3) * DAILY)
    name = f"{LSA}/raw/record"
    assert (found[name][day] == missing_value("int32")).all()
    assert np.array_equal(np.delete(found[name], np.r_[day]), np.delete(bits[name], np.r_[day]))
    if "report" in stages:
        assert str(path) in (config.report_folder / "quarantine.csv").read_text()
    path.write_bytes(content)
    record = run(config, stages=stages)
    assert record.exit_code == 0
    assert done(record)["convert"] == (1, 1)
    assert differing(bits, stored(config.store_path), *("raw", "noise")[: len(stages)]) == []


def test_a_unit_that_fails_is_listed_and_tried_again(
    network: SimulatedNetwork, bits: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(network.archive, tmp_path / "s.zarr", network)
    stages = ("convert", "noise", "report")
    real = pipeline.UNIT_STAGES["noise"]

    def work(task: Any) -> Any:
        if task.channel == QZH:
            msg = "a fault that nobody foresaw"
            raise ArithmeticError(msg)
        return real.work(task)

    with monkeypatch.context() as patch:
        patch.setitem(pipeline.UNIT_STAGES, "noise", dataclasses.replace(real, work=work))
        record = run(config, stages=stages)
    assert record.exit_code == 1
    assert row(record, "noise")["quarantined"] == 1
    assert len(record.quarantine) == 1
    assert record.quarantine["where"][0].startswith(f"noise {QZH} unit")
    assert "a fault that nobody foresaw" in record.quarantine["what"][0]
    assert np.isfinite(stored(config.store_path)[f"{LSA}/noise/rms"]).sum() == 5
    record = run(config, stages=stages)
    assert record.exit_code == 0
    assert row(record, "noise")["done"] == 1
    assert differing(bits, stored(config.store_path), "noise") == []


# ---------------------------------------------------------------------------------------- numbers, rates and phases


def test_wider_numbers_write_the_whole_channel_again_without_loss(tmp_path: Path) -> None:
    archive, store = tmp_path / "archive", tmp_path / "s.zarr"
    rng = np.random.default_rng(3)
    counts = rng.integers(-(2**31) + 1, 2**31, 50_000).astype(np.int32)
    decimal = rng.standard_normal(40_000)
    write(archive / "1.mseed", counts, "2020-01-01", encoding="INT32")
    _, channels = converted(archive, store)
    assert channels["XX.AAA.00.LGZ"].dtype == "int32"
    write(archive / "2.mseed", decimal, "2020-01-02", encoding="FLOAT64")
    record, channels = converted(archive, store)
    assert any("wider numbers (float64" in n for n in record.notes)
    assert done(record) == {"convert": (1, 2)}
    channel = channels["XX.AAA.00.LGZ"]
    assert channel.dtype == "float64"
    assert np.array_equal(samples(store, channel, ns("2020-01-01"), 50_000), counts.astype(np.float64))
    assert np.isnan(samples(store, channel, ns("2020-01-01T20:00:00"), 14_400)).all()
    assert np.array_equal(samples(store, channel, ns("2020-01-02"), 40_000), decimal)


def test_the_least_integer_is_left_out_and_listed(tmp_path: Path) -> None:
    """-2^31 marks a missing sample in an int32 array, as it does for many digitisers; it is never lost in silence."""
    counts = np.array([0, -(2**31), 2**31 - 1, 5], np.int32)
    write(tmp_path / "archive" / "1.mseed", counts, "2020-01-01", encoding="INT32")
    record, channels = converted(tmp_path / "archive", tmp_path / "s.zarr")
    channel = channels["XX.AAA.00.LGZ"]
    found = samples(tmp_path / "s.zarr", channel, ns("2020-01-01"), 4)
    assert found.astype(np.int64).tolist() == counts.tolist()
    assert record.exit_code == 1
    assert "1 samples of XX.AAA.00.LGZ are -2147483648" in record.quarantine["what"][0]


def test_decimal_text_beside_floats_keeps_the_doubles_of_the_source(tmp_path: Path) -> None:
    """Text that is kept as floats becomes the double nearest to what it says, as float() reads it."""
    archive, store = tmp_path / "archive", tmp_path / "s.zarr"
    archive.mkdir()
    texts = [f"{k / 10:.1f}" for k in range(1, 41)]
    lines = [f"2020 01 01 00 {m:02d} 00 {t} 1000.0" for m, t in enumerate(texts)]
    (archive / "AAA.tsf").write_text("\n".join(lines) + "\n")
    options = {"archive": {"units": "nm/s2"}}
    _, channels = converted(archive, store, **options)
    (name,) = (n for n, c in channels.items() if c.kind == "gravity")
    assert channels[name].dtype == "int32"
    write(archive / "x.mseed", np.array([0.25, 0.5]), "2020-01-01T01:00:00", 1 / 60, name.replace("--", ""))
    _, channels = converted(archive, store, **options)
    assert channels[name].dtype == "float64"
    assert samples(store, channels[name], ns("2020-01-01"), 40).tolist() == [float(t) for t in texts]


def test_a_second_sampling_is_a_channel_of_its_own(tmp_path: Path) -> None:
    archive, store = tmp_path / "archive", tmp_path / "s.zarr"
    rng = np.random.default_rng(6)
    fast, slow = rng.integers(-9, 9, 7200).astype(np.int32), rng.integers(-9, 9, 720).astype(np.int32)
    write(archive / "b.mseed", fast, "2020-01-01")
    write(archive / "a.mseed", slow, "2020-01-01T01:00:00", 0.1)
    _, channels = converted(archive, store)
    assert {n: str(c.rate) for n, c in channels.items()} == {"XX.AAA.00.LGZ": "1Hz", "XX.AAA.00.LGZ@10s": "10s"}
    assert np.array_equal(samples(store, channels["XX.AAA.00.LGZ"], ns("2020-01-01"), 7200), fast)
    found = samples(store, channels["XX.AAA.00.LGZ@10s"], ns("2020-01-01T01:00:00"), 720)
    assert np.array_equal(found, slow)
    # An earlier file of the slow sampling does not rename the channels that the store has.
    write(archive / "c.mseed", slow, "2019-12-01", 0.1)
    record, channels = converted(archive, store)
    assert {n: str(c.rate) for n, c in channels.items()} == {"XX.AAA.00.LGZ": "1Hz", "XX.AAA.00.LGZ@10s": "10s"}
    assert done(record) == {"convert": (1, 1)}


def test_a_phase_is_kept_and_another_one_begins_a_reported_span(tmp_path: Path) -> None:
    archive, store = tmp_path / "archive", tmp_path / "s.zarr"
    values = np.arange(10_800, dtype=np.int32)
    write(archive / "1.mseed", values[:3600], "2020-01-01T00:00:00.069538")
    write(archive / "2.mseed", values[3600:7200], "2020-01-01T01:00:00.419538")
    write(archive / "3.mseed", values[7200:], "2020-01-01T02:00:00.425538")  # 6 ms off: within 1 %, snapped
    record, channels = converted(archive, store)
    channel = channels["XX.AAA.00.LGZ"]
    hour = (ns("2020-01-01T01:00:00") - ORIGIN_NS) // SECOND_NS
    assert channel.phases == ((0, 69_538_000), (hour, 419_538_000))
    assert any("from 2020-01-01T01:00:00 the samples stand +0.419538 s off whole intervals" in n for n in record.notes)
    assert any("1 traces snapped to the channel's grid, by 0.006000 s at most" in n for n in record.notes)
    first = (ns("2020-01-01") - ORIGIN_NS) // SECOND_NS
    array = sub_array(open_root(store), "XX.AAA.00.LGZ/raw/record")
    assert np.array_equal(read_span(array, first, first + 10_800), values)
    times = channel.times_ns(first, first + 10_800)
    assert times[0] == ns("2020-01-01T00:00:00.069538")
    assert times[3600] == ns("2020-01-01T01:00:00.419538")


# --------------------------------------------------------------------------------------------------------- pressure


def test_air_pressure_is_linked_and_its_effect_taken_off(tmp_path: Path) -> None:
    made = simulate_network(tmp_path, 1, 4, 1 / 10, seed=3, start=FIRST_DAY, gaps=False, events=0, disturbances=0)
    config = configure(made.archive, tmp_path / "s.zarr", made)
    run(config, stages=("convert", "calibrate"))
    context = context_of(config)
    (gravity,) = [c for c in context.channels.values() if c.kind == "gravity"]
    assert gravity.pressure == gravity.name.replace("GZ", "DO")
    assert (gravity.quantity, gravity.rate.hz) == ("acceleration", 0.1)
    start, stop = FIRST * 8640, (FIRST + 4) * 8640

    air = np.concatenate(
        [obspy.read(str(p))[0].data / 1000.0 for p in sorted(made.archive.rglob("*DO.D.2024.*"))]  # 0.001 hPa a count
    )
    normal = 1013.25 * (1 - 0.0065 * made.stations["elevation"].iloc[0] / 288.15) ** 5.2559
    corrected = context.reader(gravity).residual(start, stop)
    without = with_keys(config, "preprocess", pressure=False)
    uncorrected = context_of(without).reader(gravity).residual(start, stop)
    present = np.isfinite(corrected)
    assert present[10:-10].all()  # a few samples at the seam to a day without pressure are left out
    assert np.allclose((corrected - uncorrected)[present], 3.0 * (air - normal)[present], rtol=0, atol=1e-6)
    assert np.abs(air - normal).max() > 1


def test_a_new_pressure_file_redoes_the_days_it_corrects(tmp_path: Path) -> None:
    made = simulate_network(tmp_path, 1, 4, 1.0, seed=3, start=FIRST_DAY, gaps=False, events=0, disturbances=0)
    path = day_file(made.archive, "LSA", 2, "LDO")
    content = path.read_bytes()
    path.unlink()
    config = configure(made.archive, tmp_path / "s.zarr", made)
    run(config, stages=("convert", "noise"))
    before = stored(config.store_path)
    path.write_bytes(content)
    record = run(config, stages=("convert", "noise"))
    assert done(record)["convert"] == (1, 1)
    assert 1 <= done(record)["noise"][1] <= 3  # the day, and its neighbours, which look across midnight
    after = stored(config.store_path)
    assert before[f"{LSA}/noise/rms"][4] != after[f"{LSA}/noise/rms"][4]


# ------------------------------------------------------------------------------------------------- events and truth


@pytest.mark.slow
def test_the_simulated_earthquakes_are_seen_and_disturbances_are_not_taken_for_them(
    tmp_path: Path,
) -> None:
    made = simulate_network(tmp_path, 4, 20, 1.0, seed=0, start=FIRST_DAY, pressure=False)
    config = configure(made.archive, tmp_path / "s.zarr", made, scattering={"frame_samples": 0}, fit={"min_days": 7})
    run(config, stages=(*UNITS, "interpret"))
    events = load_table(config.store_path, "1Hz", "events")
    truth = made.truth
    strong = truth[(truth["kind"] == "earthquake") & (truth["acceleration"] > 3000)]
    pairs = set(zip(strong["event_id"], strong["channel"], strict=True))
    visible = events[events["predicted"] & ~events["no_data"]]
    assert len(visible) > 20
    assert visible["seen"].mean() >= 0.8
    chosen = visible[[(e, c) in pairs for e, c in zip(visible["event_id"], visible["channel"], strict=True)]]
    assert chosen["seen"].mean() >= 0.9
    intervals = load_table(config.store_path, "1Hz", "intervals")
    total = coseismic = 0
    for burst in truth[truth["kind"] == "disturbance"].itertuples():
        inside = intervals[
            (intervals["channel"] == burst.channel)
            & (intervals["start_ns"] < burst.end_ns)
            & (intervals["end_ns"] > burst.start_ns)
        ]
        for part in inside.itertuples():
            length = min(part.end_ns, burst.end_ns) - max(part.start_ns, burst.start_ns)
            total += length
            coseismic += length * str(part.name).startswith("co-seismic")
    assert total > 86_400e9
    assert coseismic / total < 0.4


# --------------------------------------------------------------------------------------- processes that work and die

BIG_STATIONS, BIG_DAYS = 4, 16


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> SimulatedNetwork:
    """Four stations over 16 days: enough work to be caught in the middle of it."""
    return simulate_network(
        tmp_path_factory.mktemp("big"), BIG_STATIONS, BIG_DAYS, 1.0, seed=2, start=FIRST_DAY, pressure=False
    )


def big_config(network: SimulatedNetwork, store: Path) -> Config:
    sections = {"scattering": {"frame_samples": 0}, "fit": {"min_days": 7}}
    return configure(network.archive, store, network, **sections)


def big_bits(config: Config) -> tuple[Arrays, str]:
    return stored(config.store_path, days=BIG_DAYS + 4, frame=4096), model_digest(config)


@pytest.fixture(scope="module")
def undisturbed(big: SimulatedNetwork, tmp_path_factory: pytest.TempPathFactory) -> tuple[Arrays, str]:
    config = big_config(big, tmp_path_factory.mktemp("serial") / "s.zarr")
    run(config, stages=(*UNITS, "interpret"))
    return big_bits(config)


class Client:
    """The command line in a process of its own, with what it writes, and the end of everything it started."""

    def __init__(self, config: Config, *options: str) -> None:
        self.store = config.store_path
        file = self.store.with_suffix(".toml")
        file.write_text(render(config))
        self.log = self.store.with_suffix(".log")
        command = [sys.executable, "-m", "gravdask", "run", "-c", str(file), *options]
        command += ["--stages", ",".join((*UNITS, "interpret"))]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, cwd=self.store.parent)
        self.family: dict[int, psutil.Process] = {}

    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.family |= {c.pid: c for c in children}
        return [c for c in children if "spawn_main" in " ".join(c.cmdline())]

    def wait_for(self, stage: str) -> None:
        """Until the units of a stage are begun, and a little longer, so that they are worked on."""
        deadline = time.monotonic() + 200
        while not list((self.store / "ledger" / stage).glob("*.jsonl")):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        while stage == "scatter" and len(list(self.store.glob("*/scattering/reach/zarr.json"))) < BIG_STATIONS:
            assert time.monotonic() < deadline, self.log.read_text()  # the arrays are made before anything is sent off
            time.sleep(0.02)
        time.sleep(0.4)
        self.workers()
        done = [line for line in self.log.read_text().splitlines() if line.startswith(f"{stage} ")]
        assert not done, f"too late: {done}"

    def end(self) -> int:
        return self.process.wait(timeout=300)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for process in self.family.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    started: list[Client] = []

    def start(config: Config, *options: str) -> Client:
        started.append(Client(config, *options))
        return started[-1]

    yield start
    for one in started:
        one.close()


def same_bits(config: Config, expected: tuple[Arrays, str]) -> None:
    found = big_bits(config)
    assert differing(expected[0], found[0]) == []
    assert found[1] == expected[1]


@pytest.mark.slow
def test_two_workers_give_the_bits_of_one_process(
    big: SimulatedNetwork, undisturbed: tuple[Arrays, str], client: Callable[..., Client], tmp_path: Path
) -> None:
    config = with_keys(big_config(big, tmp_path / "s.zarr"), "cluster", kind="local", workers=2)
    one = client(config)
    assert one.end() == 0, one.log.read_text()
    assert "2 workers" in one.log.read_text()
    same_bits(config, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["convert", "scatter"])
def test_a_worker_that_is_killed_changes_nothing(
    big: SimulatedNetwork, undisturbed: tuple[Arrays, str], client: Callable[..., Client], tmp_path: Path, stage: str
) -> None:
    config = with_keys(big_config(big, tmp_path / "s.zarr"), "cluster", kind="local", workers=2)
    one = client(config)
    one.wait_for(stage)
    while "2 workers" not in one.log.read_text():  # before that the cluster is still starting
        assert one.process.poll() is None, one.log.read_text()
        time.sleep(0.02)
    one.workers()[0].kill()
    assert one.end() == 0, one.log.read_text()
    assert f"\n{stage} " in "\n" + one.log.read_text()
    same_bits(config, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stage", ["convert", "scatter"])
def test_a_client_that_is_killed_is_continued(
    big: SimulatedNetwork,
    undisturbed: tuple[Arrays, str],
    client: Callable[..., Client],
    tmp_path: Path,
    stage: str,
    workers: int,
) -> None:
    config = big_config(big, tmp_path / "s.zarr")
    one = client(with_keys(config, "cluster", kind="local", workers=workers) if workers else config)
    one.wait_for(stage)
    one.process.kill()
    assert one.end() == -signal.SIGKILL
    record = run(config, stages=(*UNITS, "interpret"))  # at once: the dead client's lease holds nobody up
    assert record.exit_code == 0
    assert row(record, stage)["done"] >= 1
    if stage == "scatter":
        assert [row(record, s)["done"] for s in ("convert", "noise", "calibrate")] == [0, 0, 0]
    same_bits(config, undisturbed)
    assert run(config, stages=(*UNITS, "interpret")).units_done == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_client_that_is_told_to_stop_commits_and_is_continued(
    big: SimulatedNetwork, undisturbed: tuple[Arrays, str], client: Callable[..., Client], tmp_path: Path, workers: int
) -> None:
    config = big_config(big, tmp_path / "s.zarr")
    one = client(with_keys(config, "cluster", kind="local", workers=workers) if workers else config)
    one.wait_for("scatter")
    one.process.send_signal(signal.SIGTERM)
    assert one.end() == 3, one.log.read_text()
    assert "Traceback" not in one.log.read_text()
    assert "run again to continue" in one.log.read_text()
    assert not list((config.store_path / "ledger" / "leases").glob("*.json"))
    begun = [r for r in Ledger(config.store_path / "ledger").of_stage("scatter") if r.status == "begun"]
    finished = [r for r in Ledger(config.store_path / "ledger").of_stage("scatter") if r.finished]
    assert finished, "what was under way was not committed"
    record = run(config, stages=(*UNITS, "interpret"))
    assert row(record, "scatter")["done"] == len(begun)
    assert row(record, "scatter")["skipped"] == len(finished)
    same_bits(config, undisturbed)

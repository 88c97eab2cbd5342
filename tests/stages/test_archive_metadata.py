"""Epochs, responses, what a person states and the operator's log, from files to physical values."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy import UTCDateTime
from obspy.core.inventory import Channel, Inventory, Network, Station
from obspy.core.inventory.response import (
    InstrumentSensitivity,
    PolesZerosResponseStage,
    Response,
    ResponseStage,
)

import gravdask
from gravdask.archive.operator_log import LogRow
from gravdask.archive.stations import ChannelMetadata, StationEntry, StationTable
from gravdask.config import Config, build_config
from gravdask.errors import ConfigError, ReadError, StationError
from gravdask.grid import SECOND_NS, Grid, Rate
from gravdask.overview import survey_archive
from gravdask.pipeline import RunRecord, run
from gravdask.progress import Progress
from gravdask.stages.archive import (
    describe,
    known_index,
    link_pressure,
    plan_channels,
    station_table,
    trim_extents,
    with_archive_metadata,
)
from gravdask.stages.base import Context
from gravdask.stages.channels import Channel as StoreChannel
from gravdask.stages.description import spare_stations
from gravdask.stages.placement import ChannelPlan, Placement
from gravdask.stages.stated import Stated
from gravdask.store.layout import open_root
from gravdask.store.ledger import Ledger

NAME = "GD.LSA.00.LGZ"
DAY = 86_400


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def write(folder: Path, start: str, values: Any, name: str = NAME) -> Path:
    """Integer counts at 1 Hz as MiniSEED."""
    network, station, location, code = name.split(".")
    header = {"network": network, "station": station, "location": location, "channel": code, "sampling_rate": 1.0}
    trace = obspy.Trace(np.asarray(values, np.int32), header | {"starttime": UTCDateTime(start)})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{start.replace(':', '')}.mseed"
    trace.write(str(path), format="MSEED")
    return path


def epoch(
    start: str | None, end: str | None, gain: float, unit: str = "M/S**2", code: str = "LGZ", **more: Any
) -> Channel:
    """Channel epoch of a StationXML."""
    total = InstrumentSensitivity(gain, 0.02, unit, more.pop("output", "COUNTS"))
    stages = more.pop("stages", [])
    return Channel(
        code, "00", more.pop("latitude", 29.6), more.pop("longitude", 91.1), 3650.0, 0.0,
        response=Response(instrument_sensitivity=total, response_stages=stages),
        start_date=UTCDateTime(start) if start else None, end_date=UTCDateTime(end) if end else None,
    )  # fmt: skip


def stationxml(path: Path, *channels: Channel) -> Path:
    station = Station("LSA", 29.6, 91.1, 3650.0, channels=list(channels), creation_date=UTCDateTime(2000, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    Inventory([Network("GD", stations=[station])], source="test").write(str(path), format="STATIONXML")
    return path


def broadband(gain: float) -> list[Any]:
    """Stages of a sensor with a corner at 120 s, in counts per m/s."""
    w = 2 * np.pi / 120
    pole = w * (-np.sqrt(0.5) + 1j * np.sqrt(0.5))
    sensor = PolesZerosResponseStage(
        1, gain / 1e6, 1.0, "M/S", "V", pz_transfer_function_type="LAPLACE (RADIANS/SECOND)",
        normalization_frequency=1.0, zeros=[0, 0], poles=[pole, pole.conjugate()], normalization_factor=1.0,
    )  # fmt: skip
    return [sensor, ResponseStage(2, 1e6, 1.0, "V", "COUNTS")]


def configured(archive: Path, store: Path, **keys: Any) -> Config:
    return build_config(
        {
            "archive": {"paths": [str(archive)], **keys},
            "store": {"path": str(store)},
            "cluster": {"kind": "serial"},
        }
    )


def converted(archive: Path, store: Path, **keys: Any) -> tuple[RunRecord, Config]:
    config = configured(archive, store, **keys)
    return run(config, stages=("convert",)), config


def context_of(config: Config) -> Context:
    context = Context(config, Ledger(config.store_path / "ledger"), Progress())
    context.reload()
    return context


def both(config: Config, name: str, start: str, count: int) -> np.ndarray:
    """Physical values through `gravdask.open` and through the reader, which must be the same."""
    first = ns(start)
    opened = gravdask.open(config.store_path, physical=True)[f"{name}/raw"].ds["record"]
    stop = np.datetime64(first + (count - 1) * SECOND_NS, "ns")
    by_open = opened.sel(time=slice(np.datetime64(first, "ns"), stop)).values
    context = context_of(config)
    channel = context.channels[name]
    k = channel.grid.locate(first)[0]
    by_reader = context.reader(channel).physical(k, k + count)
    np.testing.assert_array_equal(by_open, by_reader)
    return by_reader


def plan_of(
    units: tuple[str, ...] = (), *, kind: str = "gravity", stated: Stated | None = None, **more: Any
) -> ChannelPlan:
    """A day of 2021-07-01 at 1 Hz."""
    start = Grid(Rate(1, 1)).locate(ns(more.pop("start", "2021-07-01")))[0]
    return ChannelPlan(
        name=more.pop("name", NAME), rate=Rate(1, 1), phases=[(0, 0)], dtype="int32", decimals=0, kind=kind,
        units=units, location=more.pop("location", (None, None, None)),
        placements=[Placement("a", "d", 0, start, more.pop("npts", DAY))], stated=stated or Stated(), **more,
    )  # fmt: skip


def known(gain: float = 2e9, unit: str = "M/S**2", source: str = "a.xml", **more: Any) -> StationEntry:
    times = {k: ns(more.pop(k)) for k in ("start_ns", "end_ns") if k in more}
    about = ChannelMetadata(sensitivity=gain, input_unit=unit, source=source, **times, **more)
    return StationEntry("GD", "LSA", "00", "LGZ", about)


# --- a gain that changes in the middle of a year ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "quantity", "written"), [("M/S**2", "acceleration", "nm s-2"), ("M/S", "velocity", "nm s-1")]
)
def test_a_gain_change_within_a_file_is_exact_on_both_sides(
    tmp_path: Path, unit: str, quantity: str, written: str
) -> None:
    counts = np.arange(-1800, 1800, dtype=np.int32) * 7
    write(tmp_path / "archive", "2021-07-01T11:30:00", counts)
    change = "2021-07-01T12:00:00"
    stationxml(
        tmp_path / "archive" / "GD.xml", epoch("2020-01-01", change, 2e9, unit), epoch(change, None, 3.2e9, unit)
    )
    _, config = converted(tmp_path / "archive", tmp_path / "s.zarr")
    channel = context_of(config).channels[NAME]
    assert channel.quantity == quantity
    assert [(c.start_ns, c.end_ns, c.factor, c.unit) for c in channel.calibrations] == [
        (ns("2020-01-01"), ns(change), 1e9 / 2e9, written),
        (ns(change), 2**63 - 1, 1e9 / 3.2e9, written),
    ]
    found = both(config, NAME, "2021-07-01T11:30:00", 3600)
    np.testing.assert_array_equal(found, counts * np.where(np.arange(3600) < 1800, 1e9 / 2e9, 1e9 / 3.2e9))
    assert gravdask.open(config.store_path, physical=True)[f"{NAME}/raw"].ds["record"].attrs["units"] == written


@pytest.mark.parametrize(("change", "later_from"), [("12:00:00.069538", 1800), ("12:00:00.069539", 1801)])
def test_the_edge_of_an_epoch_is_exact_to_the_sample_whatever_the_phase(
    tmp_path: Path, change: str, later_from: int
) -> None:
    """A GSN-like first sample at .069538 s; the sample at the very time of the change belongs to the later epoch."""
    write(tmp_path / "archive", "2021-07-01T11:30:00.069538", np.full(3600, 10))
    at = f"2021-07-01T{change}"
    stationxml(tmp_path / "archive" / "GD.xml", epoch("2020-01-01", at, 2e9), epoch(at, None, 4e9))
    _, config = converted(tmp_path / "archive", tmp_path / "s.zarr")
    found = both(config, NAME, "2021-07-01T11:30:00.069538", 3600)
    np.testing.assert_array_equal(found, np.where(np.arange(3600) < later_from, 5.0, 2.5))


def test_metadata_that_come_later_convert_nothing_and_give_noise(tmp_path: Path) -> None:
    write(tmp_path / "archive", "2021-07-01", np.random.default_rng(0).integers(-100, 100, DAY))
    config = configured(tmp_path / "archive", tmp_path / "s.zarr")
    first = run(config, stages=("convert", "noise"))
    assert any("has no noise magnitude" in n for n in first.notes)
    stationxml(tmp_path / "archive" / "GD.xml", epoch("2020-01-01", None, 2e9))
    rows = {row["stage"]: row for row in run(config, stages=("convert", "noise")).stages}
    assert (rows["convert"]["done"], rows["convert"]["skipped"], rows["noise"]["done"]) == (0, 1, 1)
    assert context_of(config).channels[NAME].quantity == "acceleration"


def test_a_gap_between_epochs_has_no_physical_value_and_is_named(tmp_path: Path) -> None:
    write(tmp_path / "archive", "2021-07-01T11:30:00", np.full(3600, 10))
    stationxml(
        tmp_path / "archive" / "GD.xml",
        epoch("2020-01-01", "2021-07-01T11:40:00", 2e9),
        epoch("2021-07-01T12:00:00", None, 4e9),
    )
    record, config = converted(tmp_path / "archive", tmp_path / "s.zarr")
    found = both(config, NAME, "2021-07-01T11:30:00", 3600)
    np.testing.assert_array_equal(found, np.repeat([5.0, np.nan, 2.5], [600, 1200, 1800]))
    (note,) = [n for n in record.notes if "no calibration" in n]
    assert "from" not in note.split("for ")[0]
    assert "2021-07-01T11:40:00 to 2021-07-01T12:00:00" in note


@pytest.mark.parametrize(("start", "end"), [("2021-07-01T12:00:00", None), ("2020-01-01", "2021-07-01T12:00:00")])
def test_one_epoch_does_not_hold_beyond_its_ends(tmp_path: Path, start: str, end: str | None) -> None:
    write(tmp_path / "archive", "2021-07-01T11:30:00", np.full(3600, 10))
    stationxml(tmp_path / "archive" / "GD.xml", epoch(start, end, 2e9))
    record, config = converted(tmp_path / "archive", tmp_path / "s.zarr")
    covered = np.arange(3600) >= 1800 if end is None else np.arange(3600) < 1800
    np.testing.assert_array_equal(both(config, NAME, "2021-07-01T11:30:00", 3600), np.where(covered, 5.0, np.nan))
    assert any("no calibration is known" in n for n in record.notes)


def test_metadata_of_another_time_leave_the_record_in_counts(tmp_path: Path) -> None:
    write(tmp_path / "archive", "2021-07-01T11:30:00", np.full(3600, 10))
    stationxml(tmp_path / "archive" / "GD.xml", epoch("2010-01-01", "2012-01-01", 2e9))
    record, config = converted(tmp_path / "archive", tmp_path / "s.zarr")
    assert context_of(config).channels[NAME].quantity == "counts"
    assert (both(config, NAME, "2021-07-01T11:30:00", 3600) == 10).all()
    assert any("2010-01-01T00:00:00 to 2012-01-01T00:00:00 only" in n for n in record.notes)


def test_a_changed_gain_redoes_noise_of_its_channel_and_converts_nothing(tmp_path: Path) -> None:
    other = "GD.QZH.00.LGZ"
    rng = np.random.default_rng(0)
    for name in (NAME, other):
        write(tmp_path / "archive", "2021-07-01", rng.integers(-100, 100, DAY), name)
    xml = stationxml(tmp_path / "archive" / "GD.xml", epoch(None, None, 2e9))
    config = configured(
        tmp_path / "archive", tmp_path / "s.zarr", channels=[{"pattern": other, "unit": "nm/s2", "scale": 0.5}]
    )
    run(config, stages=("convert", "noise"))
    again = run(config, stages=("convert", "noise"))
    assert [row["done"] for row in again.stages] == [0, 0]
    stationxml(xml, epoch(None, None, 4e9))
    changed = {row["stage"]: row for row in run(config, stages=("convert", "noise")).stages}
    assert (changed["convert"]["done"], changed["noise"]["done"], changed["noise"]["skipped"]) == (0, 1, 1)
    (ratio,) = {context_of(config).channels[NAME].calibrations[0].factor / 0.5}
    assert ratio == 0.5


# --- no coordinates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([], "no coordinates, so"),
        ([("AA", "LSA", None, None)], "no coordinates (the station table has the station only for network AA), so"),
        (
            [("GD", "LSA", "10", None), ("GD", "LSA", "", "BHZ"), ("GD", "LSA", "", "BHZ")],
            "(the station table has the station only for location 10 or only for location --, channel BHZ), so",
        ),
        (
            [("GD", "LSA1", None, None), ("GD", "KMI", None, None)],
            "(the station table has no LSA; it has LSA1, without records), so",
        ),
        ([("GD", "LSB", None, None)], "(the station table has no LSA; it has LSB, without records), so"),
        ([("GD", "KMI", None, None), ("GD", "LSC", None, None)], "no coordinates, so"),
    ],
)
def test_a_channel_without_coordinates_is_told_what_the_table_has_instead(
    entries: list[tuple[str, str, str | None, str | None]], words: str
) -> None:
    place = ChannelMetadata(30.0, 100.0, source="stations.csv")
    table = StationTable(StationEntry(*entry, place) for entry in entries)
    plan, other = plan_of(("nm/s2",)), plan_of(name="GD.LSC.00.LGZ")
    channel, notes = describe(plan, table, spare_stations([plan, other], table))
    assert not channel.located
    assert [words in note for note in notes] == [True]


# --- what a person states ---------------------------------------------------------------------------------------------


def stated(*entries: dict[str, Any], settings: dict[str, Any] | None = None, name: str = NAME) -> Stated:
    config = build_config({"archive": {"channels": list(entries), **(settings or {})}})
    return Stated.of(name, config.archive, ())


def test_the_first_matching_entry_wins_key_by_key() -> None:
    found = stated(
        {"pattern": "GD.QZH", "kind": "other"},
        {"pattern": NAME, "scale": 2.0, "tide_applied": True},
        {"pattern": "LSA", "scale": 3.0, "unit": "uGal", "latitude": 1.0, "longitude": 2.0},
        {"pattern": "*", "tide_applied": False, "velocity_limit": 0.013, "elevation": 9.0},
    )
    channel, _ = describe(plan_of(stated=found), StationTable())
    assert [(c.factor, c.unit) for c in channel.calibrations] == [(20.0, "nm s-2")]
    assert (channel.quantity, channel.kind, channel.tide_applied) == ("acceleration", "gravity", True)
    assert (channel.latitude, channel.longitude, channel.elevation) == (1.0, 2.0, 9.0)
    assert channel.velocity_limit == pytest.approx(0.013e9)


def test_scales_with_times_make_epochs_over_the_metadata() -> None:
    found = stated(
        {
            "pattern": NAME,
            "scale": 5.0,
            "offset": 1.0,
            "unit": "uGal",
            "start": "2021-07-01T06:00:00",
            "end": "2021-07-02",
        }
    )
    channel, _ = describe(plan_of(stated=found), StationTable([known(2e9)]))
    assert [(c.start_ns, c.end_ns, c.factor, c.offset) for c in channel.calibrations] == [
        (-(2**63), ns("2021-07-01T06:00:00"), 0.5, 0.0),
        (ns("2021-07-01T06:00:00"), ns("2021-07-02"), 50.0, 10.0),
        (ns("2021-07-02"), 2**63 - 1, 0.5, 0.0),
    ]


TIMES = [f"2021-07-01T0{h}:00:00" for h in range(10)]
SPANS = st.tuples(st.integers(0, 8), st.integers(1, 9)).filter(lambda s: s[0] < s[1])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_mixture_of_entries_log_and_metadata_by_every_hour(data: st.DataObject) -> None:
    """The calibration table against a walk through the rules for one time after the other."""
    numbers = st.integers(1, 9).map(float)
    entries = []
    for _ in range(data.draw(st.integers(0, 3))):
        entry: dict[str, Any] = {"pattern": NAME}
        if data.draw(st.booleans()):
            first, last = data.draw(SPANS)
            entry |= {"start": TIMES[first], "end": TIMES[last]}
        for key, values in (("scale", numbers), ("offset", numbers), ("unit", st.sampled_from(["nm/s2", "uGal"]))):
            if data.draw(st.booleans()):
                entry[key] = data.draw(values)
        if set(entry) & {"scale", "offset", "unit"}:
            entries.append(entry)
    hours = data.draw(st.lists(st.integers(0, 9), unique=True, max_size=2).map(sorted))
    rows = tuple(
        LogRow(
            NAME,
            ns(TIMES[h]),
            None,
            "calibration",
            data.draw(numbers),
            data.draw(st.sampled_from(["", "uGal"])),
            "",
            n,
            "l",
        )
        for n, h in enumerate(hours)
    )
    epochs = []
    for n in range(data.draw(st.integers(0, 3))):
        first, last = data.draw(SPANS)
        epochs.append((TIMES[first], TIMES[last], data.draw(numbers) * 1e9, f"{n}.xml"))
    table = StationTable([known(gain, source=s, start_ns=a, end_ns=b) for a, b, gain, s in epochs])
    chosen = build_config({"archive": {"channels": entries}}).archive.channels
    channel, _ = describe(plan_of(npts=10 * 3600, stated=Stated(chosen, rows)), table)
    factors = {"nm/s2": 1.0, "uGal": 10.0}
    expected: list[tuple[float, float] | None] = []
    for time in TIMES:
        now = [e for e in entries if e.get("start", TIMES[0]) <= time < e.get("end", "9999")]
        scale, offset, unit = (next((e[k] for e in now if k in e), None) for k in ("scale", "offset", "unit"))
        row = next((r for r in reversed(rows) if r.start_ns <= ns(time)), None)
        if scale is None and row is not None:
            scale, unit = row.value, unit or row.unit
        gain = next((g for a, b, g, _ in epochs if a <= time < b), None)
        base = factors[unit] if unit else 1e9 / gain if gain else None
        worth = factors[unit] if unit else 1e9
        expected.append(None if base is None else (base * (scale or 1.0), worth * (offset or 0.0)))
    if not any(expected):
        assert channel.quantity == "counts"
        return
    for time, value in zip(TIMES, expected, strict=True):
        held = [(c.factor, c.offset) for c in channel.calibrations if c.start_ns <= ns(time) < c.end_ns]
        assert held == ([] if value is None else [pytest.approx(value)])


def test_a_scale_without_a_unit_multiplies_what_files_or_metadata_give() -> None:
    found = stated({"pattern": NAME, "scale": 1.01})
    of_file, _ = describe(plan_of(("mGal",), stated=found), StationTable())
    of_metadata, _ = describe(plan_of(stated=found), StationTable([known(2e9)]))
    assert [c.factor for c in of_file.calibrations] == [1.01e4]
    assert [c.factor for c in of_metadata.calibrations] == [pytest.approx(0.505)]
    neither, notes = describe(plan_of(stated=found), StationTable())
    assert neither.quantity == "counts"
    assert any("[[archive.channels]] states a scale, but neither it nor files nor metadata" in n for n in notes)


def test_a_scale_for_a_station_does_not_make_gravity_of_its_barometer() -> None:
    found = stated({"pattern": "LSA", "scale": 2.0, "unit": "nm/s2"}, name="GD.LSA.00.LDO")
    channel, _ = describe(plan_of(("hPa",), kind="pressure", name="GD.LSA.00.LDO", stated=found), StationTable())
    assert (channel.quantity, channel.calibrations[0].factor) == ("pressure", 1.0)
    found = stated({"pattern": "LSA", "unit": "mGal"}, name="GD.LSA.00.LK1")
    channel, _ = describe(plan_of(kind="other", name="GD.LSA.00.LK1", stated=found), StationTable())
    assert (channel.quantity, channel.kind) == ("counts", "other")
    found = stated({"pattern": "GD.LSA.00.LK1", "unit": "mGal"}, name="GD.LSA.00.LK1")
    channel, _ = describe(plan_of(kind="other", name="GD.LSA.00.LK1", stated=found), StationTable())
    assert (channel.quantity, channel.kind, channel.calibrations[0].factor) == ("acceleration", "gravity", 1e4)
    found = stated({"pattern": "LSA", "scale": 0.1, "unit": "hPa"})
    channel, _ = describe(plan_of(("nm/s2",), stated=found), StationTable())
    assert (channel.quantity, channel.calibrations[0].factor) == ("acceleration", 1.0)


def test_the_pressure_that_a_person_names_is_used() -> None:
    def channel(name: str, kind: str, quantity: str) -> StoreChannel:
        return StoreChannel(
            name=name, rate=Rate(1, 1), phases=((0, 0),), dtype="int32", decimals=0, kind=kind, quantity=quantity,
            source_unit="", latitude=None, longitude=None, elevation=None, calibrations=(), pressure="", extent=(0, 1),
        )  # fmt: skip

    channels = {
        c.name: c
        for c in (
            channel(NAME, "gravity", "acceleration"),
            channel("GD.LSA.00.LDO", "pressure", "pressure"),
            channel("GD.ROOF.00.LDO", "pressure", "pressure"),
        )
    }
    assert link_pressure(channels)[NAME].pressure == "GD.LSA.00.LDO"
    assert link_pressure(channels, {NAME: "GD.ROOF.00.LDO"})[NAME].pressure == "GD.ROOF.00.LDO"
    assert link_pressure(channels, {NAME: ""})[NAME].pressure == ""
    notes: list[str] = []
    assert link_pressure(channels, {NAME: "GD.CELLAR.00.LDO"}, notes)[NAME].pressure == "GD.LSA.00.LDO"
    assert "GD.CELLAR.00.LDO, which the store does not hold; GD.LSA.00.LDO is used" in notes[0]


def test_unknown_units_of_a_person_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    write(tmp_path / "archive", "2021-07-01", np.arange(100))
    with pytest.raises(ConfigError, match=r"archive.channels, entry 2 \(LSA\): unknown unit 'furlongs'"):
        converted(
            tmp_path / "archive", tmp_path / "s.zarr",
            channels=[{"pattern": "QZH", "unit": "mGal"}, {"pattern": "LSA", "unit": "furlongs"}],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"pattern": "A", "latitude": 95.0, "longitude": 1.0}, r"latitude = 95.0: .*less than or equal to 90"),
        ({"pattern": "A", "latitude": 5.0}, "latitude and longitude must be stated together"),
        ({"pattern": "A", "scale": 0.0}, "a scale of 0"),
        ({"pattern": "A", "clock": "8"}, r"clock = '8': expected a signed offset"),
        ({"pattern": "A", "scale": 1.0, "start": "2021-02-30"}, "expected an ISO 8601 UTC time"),
        ({"pattern": "A", "scale": 1.0, "start": "2021-02-03T00:00+08:00"}, "expected an ISO 8601 UTC time"),
        ({"pattern": "A", "scale": 1.0, "start": "2022", "end": "2021"}, "start 2022 must be before end 2021"),
        ({"pattern": "A", "kind": "gravity", "start": "2021"}, "kind can only hold for the whole record"),
        ({"pattern": "A"}, "the entry states nothing; give one of scale, offset"),
        ({"pattern": "A.B.LGZ", "scale": 1.0}, r"or four parts .*, not three"),
        ({"pattern": "A", "kind": "gravitiy"}, "'gravity', 'pressure', 'seismic' or 'other'"),
        ({"pattern": "A", "scael": 1.0}, r"unknown key .*did you mean 'scale'"),
    ],
)
def test_entries_that_make_no_sense_are_refused(entry: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        build_config({"archive": {"channels": [entry]}})


def test_patterns_that_fit_nothing_are_told(tmp_path: Path) -> None:
    write(tmp_path / "archive", "2021-07-01", np.arange(100))
    log = tmp_path / "log.csv"
    log.write_text("channel,start,end,kind\nGD.LAS,2021-07-01,,note\nGD.LSA,2021-07-01,,note\n")
    record, _ = converted(
        tmp_path / "archive",
        tmp_path / "s.zarr",
        log=str(log),
        channels=[{"pattern": "LAS", "scale": 2.0, "unit": "uGal"}],
    )
    idle = [n for n in record.notes if "fits no channel" in n]
    assert len(idle) == 2
    assert "[[archive.channels]] 'LAS' fits no channel (did you mean 'LSA'?)" in idle[0]
    assert "line 2 of" in idle[1]


# --- clocks and delays ------------------------------------------------------------------------------------------------


def test_a_clock_moves_exactly_the_samples_of_its_channel_and_redoes_only_those(tmp_path: Path) -> None:
    other = "GD.QZH.00.LGZ"
    counts = np.arange(3600)
    for name in (NAME, other):
        write(tmp_path / "archive", "2021-07-01T12:00:00", counts, name)
    record, config = converted(tmp_path / "archive", tmp_path / "s.zarr", units="nm/s2")
    assert record.stages[0]["done"] == 2
    entry = {"pattern": NAME, "clock": "+08:00"}
    record, config = converted(tmp_path / "archive", tmp_path / "s.zarr", units="nm/s2", channels=[entry])
    assert (record.stages[0]["done"], record.stages[0]["skipped"]) == (1, 1)
    np.testing.assert_array_equal(both(config, NAME, "2021-07-01T04:00:00", 3600), counts)
    np.testing.assert_array_equal(both(config, other, "2021-07-01T12:00:00", 3600), counts)
    context = context_of(config)
    channel = context.channels[NAME]
    start = channel.grid.locate(ns("2021-07-01T12:00:00"))[0]
    assert np.isnan(context.reader(channel).physical(start, start + 3600)).all()
    again, _ = converted(tmp_path / "archive", tmp_path / "s.zarr", units="nm/s2", channels=[entry])
    assert again.stages[0]["done"] == 0
    # and back
    record, config = converted(tmp_path / "archive", tmp_path / "s.zarr", units="nm/s2", channels=[])
    assert record.stages[0]["done"] == 1
    np.testing.assert_array_equal(both(config, NAME, "2021-07-01T12:00:00", 3600), counts)


def test_a_delay_that_is_no_whole_sample_gives_the_phase_of_a_new_store(tmp_path: Path) -> None:
    counts = np.arange(600)
    write(tmp_path / "archive", "2021-07-01T12:00:00", counts)
    converted(tmp_path / "archive", tmp_path / "old.zarr", units="nm/s2")
    entry = {"pattern": "GD.LSA", "time_delay_s": 8.25}
    found = []
    for store in ("old.zarr", "new.zarr"):
        _, config = converted(tmp_path / "archive", tmp_path / store, units="nm/s2", channels=[entry])
        channel = context_of(config).channels[NAME]
        assert channel.phases == ((0, 750_000_000),)
        found.append(both(config, NAME, "2021-07-01T11:59:51.750", 600))
    np.testing.assert_array_equal(found[0], counts)
    np.testing.assert_array_equal(found[1], counts)


# --- the operator's log -----------------------------------------------------------------------------------------------


def test_the_log_masks_calibrates_names_steps_and_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "archive", "2021-07-01", np.full(7200, 100))
    log = tmp_path / "log.csv"
    log.write_text(
        "channel,start,end,kind,value,unit,remark\n"
        "LSA,2021-07-01T00:10,2021-07-01T00:20,maintenance,,,refill\n"
        "LSA,2021-07-01T01:00,,calibration,1.5,,absolute meter\n"
        "GD.LSA.00.LGZ,2021-07-01T00:30,,step,-2,uGal,\n"
        "LSA,2021-07-01T00:40,,step,,,\n"
        "QZH,2021-07-01T00:40,2021-07-02,maintenance,,,elsewhere\n"
    )
    keys = {"log": str(log), "units": "nm/s2"}
    _, config = converted(tmp_path / "archive", tmp_path / "s.zarr", **keys)
    channel = context_of(config).channels[NAME]
    assert channel.masks == ((ns("2021-07-01T00:10"), ns("2021-07-01T00:20"), "refill"),)
    assert channel.log_steps == ((ns("2021-07-01T00:30"), -20.0), (ns("2021-07-01T00:40"), None))
    factors = [(c.start_ns, c.factor) for c in channel.calibrations]
    assert factors == [(-(2**63), 1.0), (ns("2021-07-01T01:00"), 1.5)]
    context = context_of(config)
    start = channel.grid.locate(ns("2021-07-01"))[0]
    found = context.reader(channel).physical(start, start + 7200)
    expected = np.where(np.arange(7200) < 3600, 100.0, 150.0)
    expected[600:1200] = np.nan
    np.testing.assert_array_equal(found, expected)
    attributes = dict(open_root(config.store_path)[f"{NAME}/raw"].attrs)
    assert attributes["operator_log"][0] == ("2021-07-01T00:10:00 to 2021-07-01T00:20:00: maintenance: refill (line 2)")
    assert len(attributes["operator_log"]) == 4
    assert (config.store_path / "tables" / "operator_log.csv").read_bytes() == log.read_bytes()


def test_what_was_stated_is_kept_and_changes_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "archive", "2021-07-01", np.arange(100))
    entry = {"pattern": NAME, "time_delay_s": 8.0, "unit": "nm/s2"}
    _, config = converted(tmp_path / "archive", tmp_path / "s.zarr", channels=[entry])
    raw = open_root(config.store_path)[f"{NAME}/raw"]
    (kept,) = dict(raw.attrs)["stated"]
    assert json.loads(kept) == entry | {"start": "", "end": ""}
    _, config = converted(tmp_path / "archive", tmp_path / "s.zarr", channels=[])
    assert "stated" not in dict(open_root(config.store_path)[f"{NAME}/raw"].attrs)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("LSA,2021-07-01,,step,3,hPa,", r"line 2: a step of gravity in 'hPa'; expected a unit of acceleration"),
        ("LSA,2021-07-01,,calibration,3,parsec,", r"line 2: unknown unit 'parsec'"),
        ("LSA,soon,,note,,,", r"line 2: start 'soon' is no time"),
    ],
)
def test_a_wrong_log_stops_the_run_with_its_line(tmp_path: Path, row: str, reason: str) -> None:
    write(tmp_path / "archive", "2021-07-01", np.arange(100))
    log = tmp_path / "log.csv"
    log.write_text(f"channel,start,end,kind,value,unit,remark\n{row}\n")
    with pytest.raises(ReadError, match=reason):
        converted(tmp_path / "archive", tmp_path / "s.zarr", log=str(log))


# --- conflicts --------------------------------------------------------------------------------------------------------


def test_gains_that_contradict_each_other_are_told_with_sources_and_span() -> None:
    table = StationTable([known(2e9, source="a/RESP.x"), known(2.1e9, source="b/net.xml", start_ns="2021-07-01T12:00")])
    channel, notes = describe(plan_of(), table)
    (note,) = [n for n in notes if "gain conflict" in n]
    assert "2e+09 per M/S**2 (RESP.x) against 2.1e+09 per M/S**2 (net.xml), 5 % apart" in note
    assert "from 2021-07-01T12:00:00 to 2021-07-02T00:00:00; the former is used; correct one of them" in note
    assert [c.factor for c in channel.calibrations] == [0.5]
    # Gains in other units are the same gain; what contradicts itself at another time is of no interest here.
    same = StationTable(
        [known(2e9), known(2.0, "NM/S**2", source="b.xml"), known(9e9, end_ns="2020-01-01", source="c")]
    )
    assert [n for n in describe(plan_of(), same)[1] if "conflict" in n] == []


def test_overlapping_epochs_of_one_file_are_told_and_the_later_one_holds() -> None:
    table = StationTable(
        [known(2e9, start_ns="2020-01-01", end_ns="2021-07-01T18:00"), known(4e9, start_ns="2021-07-01T06:00")]
    )
    channel, notes = describe(plan_of(), table)
    assert [(c.start_ns, c.factor) for c in channel.calibrations] == [
        (ns("2020-01-01"), 0.5), (ns("2021-07-01T06:00"), 0.25),
    ]  # fmt: skip
    (note,) = [n for n in notes if "conflict" in n]
    assert "from 2021-07-01T06:00:00 to 2021-07-01T18:00:00" in note
    assert "its epochs overlap: correct the file" in note


def test_units_that_contradict_each_other() -> None:
    table = StationTable([known(2e9, source="a.xml"), known(2e9, "M/S", source="b.xml")])
    channel, notes = describe(plan_of(), table)
    assert channel.quantity == "acceleration"
    assert any("unit conflict: 2e+09 per M/S**2 (a.xml) against 2e+09 per M/S (b.xml)" in n for n in notes)
    changing = StationTable([known(2e9, end_ns="2021-07-01T12:00"), known(2e9, "M/S", start_ns="2021-07-01T12:00")])
    channel, notes = describe(plan_of(), changing)
    assert channel.quantity == "counts"
    assert any("one channel cannot be several quantities" in n for n in notes)
    channel, notes = describe(plan_of(("mGal", "uGal")), StationTable())
    assert any("unit conflict: its files state several units (mGal, uGal); mGal is taken" in n for n in notes)


def test_a_units_of_the_archive_that_the_metadata_contradict() -> None:
    channel, notes = describe(plan_of(("nm/s2",), kind="seismic"), StationTable([known(2e9, "M/S")]))
    assert (channel.quantity, channel.calibrations[0].factor) == ("acceleration", 1.0)
    assert any("unit conflict: its numbers are taken for" in n and "per M/S in a.xml is not used" in n for n in notes)
    _, notes = describe(plan_of(("nm/s2",)), StationTable([known(2e9)]))
    assert not any("conflict" in n for n in notes)


def test_a_sensitivity_in_volts_is_not_one_in_counts() -> None:
    channel, notes = describe(plan_of(), StationTable([known(750.0, "M/S", output_unit="V")]))
    assert channel.quantity == "counts"
    assert any("gives volts, the record is in counts" in n for n in notes)


def test_displacement_stays_in_counts_and_is_told() -> None:
    channel, notes = describe(plan_of(kind="seismic"), StationTable([known(1000.0, "M")]))
    assert (channel.kind, channel.quantity) == ("seismic", "counts")
    assert any("its metadata state M, which is no unit of velocity" in n for n in notes)


@pytest.mark.parametrize("unit", ["CELSIUS", "MRAD"])
def test_a_thermometer_is_no_seismometer(unit: str) -> None:
    channel, notes = describe(plan_of(kind="seismic"), StationTable([known(1000.0, unit)]))
    assert (channel.kind, channel.quantity) == ("other", "counts")
    assert any(f"its metadata state {unit}, which is no unit of velocity" in n for n in notes)


def test_a_sensitivity_of_zero_is_told_and_not_used(tmp_path: Path) -> None:
    path = stationxml(tmp_path / "GD.xml", epoch(None, None, 0.0))
    channel, notes = describe(plan_of(), StationTable.from_file(path))
    assert channel.quantity == "counts"
    assert any("its sensitivity is 0 and is not used" in n for n in notes)


# --- places -----------------------------------------------------------------------------------------------------------


def test_places_have_epochs_and_the_channel_stands_where_its_record_ends() -> None:
    table = StationTable(
        [
            known(latitude=29.0, longitude=91.0, start_ns="2021-01-01", end_ns="2021-07-01T12:00"),
            known(latitude=29.5, longitude=91.0, elevation=10.0, start_ns="2021-07-01T12:00", end_ns="2022-01-01"),
            known(latitude=29.9, longitude=91.0, start_ns="2022-02-01"),
        ]
    )
    channel, _ = describe(plan_of(), table)
    assert channel.places == (
        (-(2**63), ns("2021-07-01T12:00"), 29.0, 91.0, None),
        (ns("2021-07-01T12:00"), ns("2022-02-01"), 29.5, 91.0, 10.0),
        (ns("2022-02-01"), 2**63 - 1, 29.9, 91.0, None),
    )
    assert (channel.latitude, channel.elevation) == (29.5, 10.0)
    before, _ = describe(plan_of(start="2019-01-01"), table)
    assert before.latitude == 29.0
    single, _ = describe(plan_of(), StationTable([known(latitude=29.0, longitude=91.0)]))
    assert (single.places, single.latitude) == ((), 29.0)


def test_a_place_stated_for_a_time_makes_epochs() -> None:
    found = stated({"pattern": NAME, "latitude": 10.0, "longitude": 270.0, "start": "2021-07-01T12:00"})
    channel, notes = describe(plan_of(stated=found), StationTable([known(latitude=29.0, longitude=91.0)]))
    assert [p[:4] for p in channel.places] == [
        (-(2**63), ns("2021-07-01T12:00"), 29.0, 91.0),
        (ns("2021-07-01T12:00"), 2**63 - 1, 10.0, -90.0),
    ]
    assert any("[[archive.channels]] GD.LSA.00.LGZ" in n and "km apart" in n for n in notes)


def test_a_header_that_contradicts_the_table_is_told_with_the_distance() -> None:
    table = StationTable([known(latitude=29.0, longitude=91.0, source="x/stations.csv")])
    channel, notes = describe(plan_of(location=(30.0, 91.0, 5.0)), table)
    assert (channel.latitude, channel.elevation) == (29.0, 5.0)
    (note,) = [n for n in notes if "km apart" in n]
    # One degree of latitude on a sphere of 6371 km.
    assert "29.0, 91.0 (stations.csv) and 30.0, 91.0 (the headers of its files) lie 111.2 km apart" in note
    _, notes = describe(plan_of(location=(29.001, 91.0, None)), table)
    assert not any("km apart" in n for n in notes)


def test_several_station_files_and_the_archives_own(tmp_path: Path) -> None:
    write(tmp_path / "archive", "2021-07-01", np.arange(100))
    xml = stationxml(tmp_path / "archive" / "GD.xml", epoch(None, None, 2e9))
    csv = tmp_path / "stations.csv"
    csv.write_text("network,station,location,channel,latitude,longitude,elevation\nGD,LSA,00,LGZ,29.61,91.1,1\n")
    settings = build_config({"archive": {"stations": [str(csv), str(xml)]}}).archive
    table, notes = station_table(settings)
    table, more = with_archive_metadata(table, (xml,))
    assert notes == more == []
    assert len(table) == 3  # the file that was named is not read twice
    channel, _ = describe(plan_of(), table)
    assert (channel.latitude, channel.calibrations[0].factor) == (29.61, 0.5)
    settings = build_config({"archive": {"stations": str(tmp_path / "none.csv")}}).archive
    with pytest.raises(StationError, match="there is no such file"):
        station_table(settings)


def test_the_files_of_a_person_are_read_once_by_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "archive", "2021-07-01", np.arange(100))
    own = stationxml(tmp_path / "archive" / "own.xml", epoch(None, None, 2e9))
    other = stationxml(tmp_path / "archive" / "other.xml", epoch(None, None, 3e9))
    read: list[str] = []
    from_file = StationTable.from_file
    monkeypatch.setattr(StationTable, "from_file", lambda path: [read.append(Path(path).name), from_file(path)][1])
    _, config = converted(tmp_path / "archive", tmp_path / "s.zarr", stations=str(own))
    assert sorted(read) == [other.name, own.name]
    assert context_of(config).channels[NAME].calibrations[0].factor == 0.5
    read.clear()
    survey_archive(config)
    assert sorted(read) == [other.name, own.name]


def test_extents_that_are_right_open_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    early = write(tmp_path / "archive", "2021-07-01", np.arange(100))
    write(tmp_path / "archive", "2021-07-03", np.arange(100))
    _, config = converted(tmp_path / "archive", tmp_path / "s.zarr")
    context = context_of(config)
    start, stop = context.channels[NAME].extent
    early.unlink()
    converted(tmp_path / "archive", tmp_path / "s.zarr")
    assert context_of(config).channels[NAME].extent == (start + 2 * DAY, stop)
    context = context_of(config)
    plans = plan_channels(context, known_index(context)).plans
    opened: list[bool] = []
    root = Context.root
    monkeypatch.setattr(Context, "root", lambda self, create=False: [opened.append(create), root(self, create)][1])
    trim_extents(context, plans)
    assert opened == []
    context.channels[NAME] = replace(context.channels[NAME], extent=(start, stop))
    trim_extents(context, plans)
    assert opened == [True, False]  # to write, and to read the channels again


def test_a_folder_of_station_files(tmp_path: Path) -> None:
    folder = tmp_path / "metadata"
    (folder / "old").mkdir(parents=True)
    stationxml(folder / "GD.xml", epoch(None, None, 2e9))
    (folder / "places.txt").write_text("# by hand\nnetwork,station,latitude,longitude\nGD,LSA,29.61,91.1\n")
    (folder / "log.csv").write_text("channel,start,kind\nLSA,2021-01-01,note\n")
    (folder / ".hidden.csv").write_text("station,latitude,longitude\nLSA,1,2\n")
    (folder / "empty").touch()
    settings = build_config({"archive": {"stations": str(folder)}}).archive
    table, notes = station_table(settings)
    assert sorted({Path(e.metadata.source).name for e in table.entries}) == ["GD.xml", "places.txt"]
    assert notes == [f"{folder}: left out are files that tell of no stations: empty, log.csv"]
    assert with_archive_metadata(table, (folder / "GD.xml",))[0].entries == table.entries
    # What is recognised and wrong is told with its fault, beside what is right.
    (folder / "places.txt").write_text("network,station,latitude,longitude\nGD,LSA,north,91.1\n")
    (folder / "cut.xml").write_bytes((folder / "GD.xml").read_bytes()[:400])
    table, notes = station_table(settings)
    assert {Path(e.metadata.source).name for e in table.entries} == {"GD.xml"}
    assert [n for n in notes if "cut.xml: cannot be read as StationXML: " in n and n.endswith(" is left out")]
    assert [n for n in notes if "places.txt: line 2: latitude 'north' is no number" in n and " is left out" in n]
    assert len(notes) == 3
    (folder / "GD.xml").unlink()
    with pytest.raises(StationError, match=r"none of the files .* can be used: .*cut.xml: cannot.*latitude 'north'"):
        station_table(settings)
    with pytest.raises(StationError, match="cannot be read as StationXML"):  # a file that is named itself
        station_table(build_config({"archive": {"stations": str(folder / "cut.xml")}}).archive)
    settings = build_config({"archive": {"stations": str(folder / "old")}}).archive
    with pytest.raises(StationError, match=r"old: none of the 0 files .* tells of stations; expected StationXML, RESP"):
        station_table(settings)


# --- seismometers -----------------------------------------------------------------------------------------------------


def test_a_seismometer_with_its_response_becomes_velocity_and_has_noise(tmp_path: Path) -> None:
    """White counts, whole days: with poles and zeros in the metadata they are measured, without only told."""
    name = "GD.LSA.00.LHZ"
    rng = np.random.default_rng(1)
    write(tmp_path / "archive", "2021-07-01", rng.integers(-5000, 5000, 2 * DAY), name)
    xml = tmp_path / "archive" / "GD.xml"
    stationxml(xml, epoch(None, None, 1.5e9, "M/S", "LHZ", stages=broadband(1.5e9)))
    config = configured(tmp_path / "archive", tmp_path / "s.zarr")
    run(config, stages=("convert", "noise"))
    channel = context_of(config).channels[name]
    assert (channel.quantity, channel.kind, channel.calibrations[0].factor) == ("velocity", "seismic", 1e9 / 1.5e9)
    (response,) = channel.responses
    assert len(response.poles) == 2
    with xml.open("rb") as file:
        oracle = obspy.read_inventory(file)[0][0][0].response
    f = np.geomspace(0.001, 0.4, 20)
    np.testing.assert_allclose(response.at(f), oracle.get_evalresp_response_for_frequencies(f, output="DEF"), rtol=1e-5)
    assert np.isfinite(gravdask.network(config.store_path, "noise")["snm"].values).any()


def test_a_seismometer_of_which_only_the_gain_is_known_says_so() -> None:
    channel, notes = describe(plan_of(kind="seismic"), StationTable([known(2e9, "M/S", source="a.xml")]))
    assert (channel.quantity, channel.responses) == ("velocity", ())
    assert any("only the sensitivity of the sensor is known (a.xml), not its poles and zeros" in n for n in notes)


# --- real -------------------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_real_epochs_of_anmo_from_three_kinds_of_metadata(real_data: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    for year in ("2010", "2012"):
        shutil.copy(real_data / f"seismic/sds/{year}/IU/ANMO/LHZ.D/IU.ANMO.00.LHZ.D.{year}.001", archive)
    for file in ("IU.ANMO_2010/IUANMO.xml", "IU.ANMO_2010/IUANMO.dataless", "resp/RESP.IU.ANMO.00.LHZ"):
        shutil.copy(real_data / "metadata" / file, archive)
    record, config = converted(archive, tmp_path / "s.zarr")
    name = "IU.ANMO.00.LHZ"
    channel = context_of(config).channels[name]
    assert channel.quantity == "velocity"
    assert not any("conflict" in n or "no calibration" in n for n in record.notes)
    gains = {c.start_ns: 1e9 / c.factor for c in channel.calibrations}
    assert gains == {
        ns("1998-10-26T20:00:00"): pytest.approx(3458900000.0, rel=1e-9),
        ns("2002-11-19T21:07:00"): pytest.approx(3698000000.0, rel=1e-9),
        ns("2008-06-30T00:00:00"): pytest.approx(3275080000.0, rel=1e-9),
    }
    assert len(channel.responses) >= 4
    for year in ("2010", "2012"):
        trace = obspy.read(str(archive / f"IU.ANMO.00.LHZ.D.{year}.001"))[0]
        context = context_of(config)
        start = channel.grid.locate(int(trace.stats.starttime.ns))[0]
        found = context.reader(channel).physical(start, start + trace.stats.npts)
        np.testing.assert_allclose(found, trace.data / 3275080000.0 * 1e9, rtol=1e-12)


@pytest.mark.real
def test_a_real_station_that_moved_and_two_that_share_a_code(real_data: Path) -> None:
    table = StationTable.from_file(real_data / "metadata" / "stations_latlon_subset.xml")
    plan = plan_of(name="IU.ANMO.00.LHZ", kind="seismic", start="2001-01-01")
    channel, _ = describe(plan, table)
    assert (channel.latitude, channel.longitude) == (34.9502, -106.4602)
    assert len(channel.places) == 3
    assert [p[2] for p in channel.places] == [34.9459, 34.9502, 34.94591]
    ale, _ = describe(plan_of(name="YR.ALE.--.BHZ", kind="seismic", start="2001-01-01"), table)
    assert (ale.latitude, ale.elevation) == (9.42136, 2026.0)
    _, notes = describe(plan_of(name="XX.ALE.--.VHZ", kind="seismic"), table)
    assert any("state the network of these records" in n for n in notes)


@pytest.mark.real
def test_a_real_headerless_record_by_a_clock_of_its_own(real_data: Path, tmp_path: Path) -> None:
    """Record 334 in China Standard Time: stated for the archive or for the station, it is the same record."""
    archive = real_data / "gravimeter" / "gphone_334"
    name, values = "XX.334append.--.UGZ", []
    entries = [
        {"pattern": "334append", "clock": "+08:00", "latitude": 33.98, "longitude": 116.79, "elevation": 160.0},
        {"pattern": "*.*.*.UGZ", "unit": "mGal", "scale": 1.0},
    ]
    for store, keys in (("a", {"clock": "+08:00", "units": "mGal"}), ("b", {"clock": "+09:30", "channels": entries})):
        _, config = converted(archive, tmp_path / f"{store}.zarr", **keys)
        record = gravdask.open(config.store_path, physical=True)[f"{name}/raw"].ds["record"]
        values.append((record.values, record["time"].values[[0, -1]].tolist(), record.attrs["units"]))
    np.testing.assert_array_equal(values[0][0], values[1][0])
    assert values[0][1:] == values[1][1:]
    assert values[0][1][0] == ns("2021-06-07T16:00:16")
    rows = np.loadtxt(archive / "20210607_334append.part1.tsf", usecols=6)
    found = values[1][0]
    np.testing.assert_allclose(found[np.isfinite(found)], rows * 1e4, rtol=1e-12)
    assert context_of(config).channels[name].latitude == 33.98


@pytest.mark.parametrize(("unit", "code"), [("M/S**2", "LGZ"), ("M/S", "LHZ")])
def test_a_new_epoch_redoes_only_the_days_that_it_touches(tmp_path: Path, unit: str, code: str) -> None:
    name = f"GD.LSA.00.{code}"
    archive = tmp_path / "archive"
    write(archive, "2021-07-01", np.random.default_rng(0).integers(-100, 100, 4 * DAY), name)

    def stages(gain: float) -> Any:
        return broadband(gain) if unit == "M/S" else []

    old = epoch("2020-01-01", None, 2e9, unit, code, stages=stages(2e9))
    metadata = stationxml(archive / "GD.xml", old)
    grown, fresh = configured(archive, tmp_path / "grown.zarr"), configured(archive, tmp_path / "fresh.zarr")
    run(grown, stages=("convert", "noise"))
    first = epoch("2020-01-01", "2021-07-03", 2e9, unit, code, stages=stages(2e9))
    stationxml(metadata, first, epoch("2021-07-03", None, 4e9, unit, code, stages=stages(4e9)))
    record = run(grown, stages=("convert", "noise"))
    run(fresh, stages=("convert", "noise"))
    assert record.stages[0]["done"] == 0
    assert 0 < record.stages[1]["parts"] < 4
    left, right = (gravdask.network(c.store_path, "noise")["snm"].values for c in (grown, fresh))
    np.testing.assert_array_equal(left, right)

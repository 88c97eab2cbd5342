"""Simulated networks: the archive is readable, the truth is true, the bytes depend on the arguments alone."""

from __future__ import annotations

import csv
import hashlib
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from obspy import UTCDateTime, read, read_inventory
from obspy.taup import TauPyModel
from scipy.signal import butter, sosfiltfilt, welch

from gravdask.errors import ConfigError
from gravdask.simulate import SimulatedNetwork, earthquakes, signals, simulate_network

DAY_NS = 86_400_000_000_000


def digest(folder: Path) -> str:
    sha = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sha.update(str(path.relative_to(folder)).encode())
        sha.update(path.read_bytes())
    return sha.hexdigest()


def gravity(network: SimulatedNetwork, station: str) -> tuple[np.ndarray, int]:
    """Whole record of a station [nm s⁻²] with NaN where samples are missing, and its first time [ns]."""
    paths = sorted(str(p) for p in network.archive.rglob(f"GD.{station}.00.LGZ.D.*"))
    stream = read(paths[0])
    for path in paths[1:]:
        stream += read(path)
    stream.merge(method=0)
    (trace,) = stream
    return np.ma.filled(trace.data.astype(float), np.nan) * 0.02, trace.stats.starttime.ns


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SimulatedNetwork:
    return simulate_network(tmp_path_factory.mktemp("net"), stations=4, days=6, seed=3, start="2023-12-29")


def test_same_arguments_give_the_same_bytes_and_another_seed_gives_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate_network(tmp_path / name, stations=2, days=2, seed=seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a") != digest(tmp_path / "c")
    simulate_network(tmp_path / "a", stations=2, days=2, seed=1)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_a_station_more_changes_no_other_station(tmp_path: Path) -> None:
    few = simulate_network(tmp_path / "few", stations=1, days=2, disturbances=0)
    many = simulate_network(tmp_path / "many", stations=2, days=2, disturbances=0)
    np.testing.assert_array_equal(gravity(few, "LSA")[0], gravity(many, "LSA")[0])


def test_day_files_lie_in_an_sds_tree_and_are_steim2_integers(network: SimulatedNetwork) -> None:
    path = network.archive / "2024" / "GD" / "LSA" / "LGZ.D" / "GD.LSA.00.LGZ.D.2024.002"
    (trace,) = read(path)
    assert trace.id == "GD.LSA.00.LGZ"
    assert trace.data.dtype == np.int32
    assert trace.stats.mseed.encoding == "STEIM2"
    assert trace.stats.sampling_rate == 1.0
    assert trace.stats.starttime == UTCDateTime(2024, 1, 2)
    assert trace.stats.npts == 86_400
    assert network.files == sum(1 for p in network.archive.rglob("*") if p.is_file())
    assert network.size == sum(p.stat().st_size for p in network.archive.rglob("*") if p.is_file())


def test_stationxml_gives_places_and_units(network: SimulatedNetwork) -> None:
    inventory = read_inventory(network.station_xml)
    where = inventory.get_coordinates("GD.QZH.00.LGZ", UTCDateTime(2024, 1, 1))
    assert (where["latitude"], where["longitude"], where["elevation"]) == (24.94, 118.59, 22.0)
    units = {
        code: inventory.get_response(f"GD.QZH.00.{code}", UTCDateTime(2024, 1, 1)).instrument_sensitivity
        for code in ("LGZ", "LDO")
    }
    assert (units["LGZ"].input_units, units["LGZ"].value) == ("M/S**2", 5e10)
    assert (units["LDO"].input_units, units["LDO"].value) == ("PA", 10.0)


def test_catalogue_is_comcat_csv(network: SimulatedNetwork) -> None:
    with network.catalogue.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(network.events) == 5
    for row, event in zip(rows, network.events.to_dict("records"), strict=True):
        assert UTCDateTime(row["time"]).ns == event["time_ns"]
        assert float(row["mag"]) == event["magnitude"]
        assert row["type"] == "earthquake"
        assert row["id"] == event["event_id"]
    assert len(rows[0]) == 22


def test_truth_lists_exactly_the_missing_samples(network: SimulatedNetwork) -> None:
    gaps = network.truth[network.truth["kind"] == "gap"]
    assert (gaps["end_ns"] - gaps["start_ns"]).max() >= DAY_NS
    for station in network.stations["station"]:
        record, start_ns = gravity(network, station)
        expected = np.zeros(record.size, dtype=bool)
        for row in gaps[gaps["channel"] == f"GD.{station}.00.LGZ"].to_dict("records"):
            first, stop = ((row[key] - start_ns) // 10**9 for key in ("start_ns", "end_ns"))
            expected[first:stop] = True
        assert expected.any()
        np.testing.assert_array_equal(np.isnan(record), expected)


def test_earthquakes_stand_out_in_their_intervals_and_not_before(tmp_path: Path) -> None:
    quiet = simulate_network(
        tmp_path / "quiet", stations=1, days=4, events=0, gaps=False, disturbances=0, pressure=False
    )
    loud = simulate_network(tmp_path / "loud", stations=1, days=4, events=4, gaps=False, disturbances=0, pressure=False)
    without, start_ns = gravity(quiet, "LSA")
    with_events, _ = gravity(loud, "LSA")
    band = butter(2, [1 / 25, 1 / 16], "band", fs=1.0, output="sos")
    noise = sosfiltfilt(band, without).std()
    difference = np.abs(with_events - without)
    covered = np.zeros(difference.size, dtype=bool)
    assert len(loud.truth) == 4
    for row in loud.truth.to_dict("records"):
        first = math.ceil((row["start_ns"] - start_ns) / 1e9)
        stop = math.ceil((row["end_ns"] - start_ns) / 1e9)
        covered[first:stop] = True
        peak = np.abs(sosfiltfilt(band, with_events[first:stop])).max()
        assert peak > 3 * noise
        assert 0.4 < peak / row["acceleration"] < 2.5
    assert difference[~covered].max() == 0.0


def test_instrument_noise_and_disturbance_have_the_stated_levels(tmp_path: Path) -> None:
    network = simulate_network(tmp_path, stations=2, days=10, events=0, gaps=False, disturbances=1, pressure=False)
    (burst,) = network.truth[network.truth["kind"] == "disturbance"].to_dict("records")
    for station in network.stations.to_dict("records"):
        record, start_ns = gravity(network, station["station"])
        record -= signals.solid_tide(start_ns / 1e9, record.size, 1.0, station["latitude"], station["longitude"])
        calm = record
        if burst["channel"].split(".")[1] == station["station"]:
            first, stop = ((burst[key] - start_ns) // 10**9 for key in ("start_ns", "end_ns"))
            middle = slice(first + (stop - first) // 8, stop - (stop - first) // 8)
            band = sosfiltfilt(butter(2, [1 / 600, 1 / 20], "band", fs=1.0, output="sos"), record)
            assert band[middle].std() == pytest.approx(burst["acceleration"], rel=0.25)
            calm = max(record[:first], record[stop:], key=len)
        frequency, density = welch(calm, fs=1.0, nperseg=21_600, detrend="linear")
        mean = density[(frequency >= 1 / 600) & (frequency <= 1 / 200)].mean()
        assert np.log10(mean) + 0.5 == pytest.approx(station["snm"], abs=0.1)


def test_the_coast_is_louder_than_the_interior() -> None:
    from gravdask.simulate.sites import site_table

    table = site_table(60, seed=5)
    assert table["snm"][table["coast"]].min() > table["snm"][~table["coast"]].max()
    assert table["station"].is_unique


def test_pressure_acts_on_gravity_with_the_stated_admittance(tmp_path: Path) -> None:
    network = simulate_network(tmp_path, stations=1, days=12, events=0, gaps=False, disturbances=0)
    record, start_ns = gravity(network, "LSA")
    paths = sorted(network.archive.rglob("GD.LSA.00.LDO.D.*"))
    air = np.concatenate([read(str(p))[0].data for p in paths]) / 1000.0
    days = np.arange(record.size) / 86_400
    tide = signals.solid_tide(start_ns / 1e9, record.size, 1.0, 29.65, 91.13)
    design = np.column_stack([air - air.mean(), np.ones_like(days), days, 1 - np.exp(-days / 10)])
    slope = np.linalg.lstsq(design[::60], (record - tide)[::60], rcond=None)[0]
    assert slope[0] == pytest.approx(-3.0, abs=0.5)
    assert air.mean() == pytest.approx(signals.normal_pressure(3650.0), abs=25)


def test_travel_times_agree_with_taup() -> None:
    model = TauPyModel("iasp91")
    for distance in (15.0, 35.0, 75.0):
        arrivals = model.get_travel_times(15, distance, phase_list=["P", "S"])
        first = min(a.time for a in arrivals)
        shear = min(a.time for a in arrivals if a.name == "S")
        assert earthquakes.first_arrival(distance) == pytest.approx(first, rel=0.03)
        assert earthquakes.shear_arrival(distance) == pytest.approx(shear, rel=0.03)


def test_surface_wave_amplitude_inverts_the_magnitude_formula() -> None:
    acceleration = earthquakes.surface_wave_acceleration(60.0, 7.0)
    amplitude_um = acceleration / (2 * math.pi / 20) ** 2 / 1e3
    assert math.log10(amplitude_um / 20) + 1.66 * math.log10(60) + 3.3 == pytest.approx(7.0)


def test_long_periods_arrive_first() -> None:
    train = earthquakes.wave_train(np.random.default_rng(1), 80.0, 6.9, 1.0, 6000.0)

    def peak_time(period: float) -> float:
        band = butter(2, [0.9 / period, 1.1 / period], "band", fs=1.0, output="sos")
        part = np.abs(sosfiltfilt(band, train))
        part[: int(earthquakes.shear_arrival(80.0)) + 400] = 0
        return float(part.argmax())

    assert peak_time(100.0) < peak_time(40.0) < peak_time(18.0)
    assert np.all(train[: int(earthquakes.first_arrival(80.0))] == 0)


@pytest.mark.parametrize(("latitude_2", "longitude_2", "degrees"), [(0.0, 90.0, 90.0), (-30.0, -10.0, 180.0)])
def test_distance_on_the_sphere(latitude_2: float, longitude_2: float, degrees: float) -> None:
    start = (0.0, 0.0) if degrees == 90 else (30.0, 170.0)
    assert earthquakes.distance_degrees(*start, latitude_2, longitude_2) == pytest.approx(degrees)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stations": 0}, "stations = 0: expected a whole number from 1 to 999"),
        ({"stations": 2.5}, "stations = 2.5: expected a whole number"),
        ({"days": -1}, "days = -1"),
        ({"rate": float("nan")}, "rate = nan"),
        ({"rate": 0.71234}, "whole number of samples a day"),
        ({"seed": -3}, "seed = -3"),
        ({"events": -1}, "events = -1"),
        ({"start": "yesterday"}, "start = 'yesterday' is not a date"),
        ({"start": "1800-01-01"}, "outside 1950 to 2140"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_written(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        simulate_network(tmp_path / "new", **change)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_two_simulations_are_not_mixed(tmp_path: Path) -> None:
    simulate_network(tmp_path, stations=1, days=2, events=0)
    with pytest.raises(ConfigError, match="give an empty folder"):
        simulate_network(tmp_path, stations=1, days=1, events=0)


@pytest.mark.parametrize(("rate", "code"), [(1 / 60, "UGZ"), (0.5, "LGZ"), (2.0, "MGZ")])
def test_other_rates(tmp_path: Path, rate: float, code: str) -> None:
    network = simulate_network(tmp_path, stations=1, days=1, rate=rate, events=1, gaps=False)
    (trace,) = read(str(next(network.archive.rglob(f"*.{code}.D.2024.001"))))
    assert trace.stats.npts == round(86_400 * rate)
    assert trace.stats.sampling_rate == pytest.approx(rate)


def test_no_events_and_an_empty_truth_are_still_tables(tmp_path: Path) -> None:
    network = simulate_network(tmp_path, stations=1, days=1, events=0, disturbances=0, gaps=False, pressure=False)
    assert network.catalogue.read_text().count("\n") == 1
    table = pd.read_csv(network.truth_table)
    assert table.empty
    assert list(table.columns)[:4] == ["channel", "start", "end", "kind"]


@pytest.mark.real
def test_tide_agrees_with_eterna(real_data: Path) -> None:
    reference = pd.read_csv(real_data / "reference/tides/pygtide_334_first7days_600s.csv")
    times = pd.to_datetime(reference["UTC"])
    tide = signals.solid_tide(times.iloc[0].timestamp(), len(times), 1 / 600, 33.98, 116.79) / 1.16
    expected = reference["Tide [nm/s**2]"].to_numpy()
    residual = tide - expected
    assert (residual - residual.mean()).std() < 0.02 * expected.std()

"""Simulate a network of gravimeters: stations, earthquakes, disturbances, faults, and the truth about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from gravdask.errors import ConfigError
from gravdask.grid import DAY_NS, SECOND_NS
from gravdask.simulate import earthquakes, signals, writing
from gravdask.simulate.limits import check_numbers, first_day_ns
from gravdask.simulate.sites import site_table
from gravdask.simulate.writing import Gap

FloatArray = npt.NDArray[np.float64]

FULL_SCALE = 5e6
"""Range of the instrument on either side [nm s⁻²]; what exceeds it is clipped."""
DISTURBANCE_PERIODS_S = (50.0, 300.0)
TRUTH_COLUMNS = ("channel", "start_ns", "end_ns", "kind", "event_id", "magnitude", "distance_deg", "acceleration")


@dataclass(frozen=True)
class SimulatedNetwork:
    """Where a simulated network lies, and the truth about it.

    Attributes
    ----------
    archive
        Root of the SDS tree of MiniSEED day files.
    station_xml, catalogue
        StationXML file; earthquake catalogue as a ComCat CSV file.
    truth_table, station_table
        CSV files that hold ``truth`` and ``stations`` with times as ISO text.
    stations
        A row per station: station, place, latitude, longitude, elevation, coast, white [nm s⁻² Hz^-1/2], corner [Hz],
        microseism (mean rms) [nm s⁻²], drift [nm s⁻² per day], and snm, the seismic noise magnitude of the
        instrument noise alone.
    events
        A row per earthquake: event_id, time_ns, latitude, longitude, depth, magnitude, place.
    truth
        A row per channel and interval that is not background: channel, start_ns, end_ns, kind (earthquake,
        disturbance, gap, step, clipped), event_id, magnitude, distance_deg, acceleration (predicted, or the rms of
        a disturbance, or the size of a step) [nm s⁻²].
    files, size
        Number of day files and their bytes.
    """

    archive: Path
    station_xml: Path
    catalogue: Path
    truth_table: Path
    station_table: Path
    stations: pd.DataFrame
    events: pd.DataFrame
    truth: pd.DataFrame
    files: int
    size: int


@dataclass(frozen=True)
class _Plan:
    """What does not depend on the station: the time axis, the earthquakes, the sea, the disturbed intervals."""

    seed: int
    rate: float
    days: int
    samples: int
    start_ns: int
    events: pd.DataFrame
    sea: FloatArray
    bursts: list[tuple[int, int, int]]
    gravity: str
    pressure: str | None
    gaps: bool

    def generator(self, station: int, purpose: int) -> np.random.Generator:
        """Give randomness of its own to each station and purpose, so that one more signal moves no other."""
        return np.random.default_rng([self.seed, station, purpose])

    def time_ns(self, sample: int) -> int:
        """Time of a sample [ns since 1970 UTC]."""
        return self.start_ns + round(sample / self.rate * SECOND_NS)


def simulate_network(
    folder: str | Path,
    stations: int = 6,
    days: int = 20,
    rate: float = 1.0,
    seed: int = 0,
    start: str = "2024-01-01",
    *,
    events: int | None = None,
    disturbances: int | None = None,
    pressure: bool = True,
    gaps: bool = True,
) -> SimulatedNetwork:
    """Write a network of gravimeters with known truth, the same to the byte for the same arguments.

    The folder gets ``archive/`` (MiniSEED day files), ``stations.xml``, ``catalogue.csv``, ``truth.csv`` and
    ``truth_stations.csv``. Gravity holds the solid tide, drift, the effect of air pressure, instrument noise (louder
    at the coast), microseism (common level over the network), earthquakes, disturbances of 50 to 300 s without a
    cause in the catalogue, gaps, and a step. Memory is about 80 bytes per sample of one station.

    Parameters
    ----------
    folder
        Where to write; created if needed. It may hold the same simulation already, or an interrupted one.
    stations
        Number of stations, 1 to 999; the first sixteen stand in real places of China.
    days
        Length of the record, 1 to 3660 days.
    rate
        Sampling rate [Hz], 1/60 to 20, with a whole number of samples a day.
    seed
        Seed of all randomness.
    start
        First day, as an ISO date.
    events
        Number of earthquakes; four in five days if None.
    disturbances
        Number of disturbed station intervals; one in ten station days up to a quarter of the days if None.
    pressure
        Whether every station also records air pressure.
    gaps
        Whether samples are missing: hours at every second station, a whole day at one, air pressure at another.

    Raises
    ------
    ConfigError
        If a parameter is outside its limits, or the folder's archive holds files of something else.
    """
    start_ns = first_day_ns(start)
    nominal = check_numbers(
        stations=stations, days=days, rate=rate, seed=seed, events=events, disturbances=disturbances
    )
    samples = nominal.samples_per_day * days
    count = math.ceil(0.8 * days) if events is None else events
    table = site_table(stations, seed)
    code = writing.band_code(nominal.hz)
    plan = _Plan(
        seed=seed,
        rate=nominal.hz,
        days=days,
        samples=samples,
        start_ns=start_ns,
        events=earthquakes.draw_events(_shared(seed, 0), count, start_ns, days),
        sea=signals.slow_level(_shared(seed, 1), samples, nominal.hz, 0.5),
        bursts=_bursts(_shared(seed, 2), stations, days, samples, disturbances),
        gravity=f"{code}GZ",
        pressure=f"{code}DO" if pressure else None,
        gaps=gaps,
    )
    return _write(Path(folder), plan, table)


def _shared(seed: int, purpose: int) -> np.random.Generator:
    """Give randomness for what all stations share, so that one more earthquake changes neither sea nor bursts."""
    return np.random.default_rng([seed, 0xFFFF, purpose])


def _write(folder: Path, plan: _Plan, table: pd.DataFrame) -> SimulatedNetwork:
    """Write every station's records, then the tables; the truth comes last, when all else is there."""
    archive = folder / "archive"
    channels = [plan.gravity] + ([plan.pressure] if plan.pressure else [])
    _refuse_strangers(archive, plan, set(table["station"]), set(channels))
    archive.mkdir(parents=True, exist_ok=True)
    truth: list[tuple[object, ...]] = []
    files = size = 0
    for index in range(len(table)):
        for code, counts, missing, rows in _records(plan, index, table.iloc[index]):
            written = writing.write_record(
                archive, table["station"].iloc[index], code, counts, plan.start_ns, plan.rate, missing
            )
            files, size = files + written[0], size + written[1]
            truth += rows
    frame = pd.DataFrame(truth, columns=list(TRUTH_COLUMNS)).astype({"start_ns": np.int64, "end_ns": np.int64})
    frame = frame.sort_values(["channel", "start_ns", "kind"], ignore_index=True)
    writing.write_station_xml(folder / "stations.xml", table, channels, plan.rate, plan.start_ns)
    earthquakes.as_catalogue(plan.events).to_csv(folder / "catalogue.csv", index=False, lineterminator="\n")
    table.to_csv(folder / "truth_stations.csv", index=False, lineterminator="\n")
    text = frame.assign(
        start=[writing.iso_time(t) for t in frame["start_ns"]], end=[writing.iso_time(t) for t in frame["end_ns"]]
    )
    columns = ["channel", "start", "end", "kind", "event_id", "magnitude", "distance_deg", "acceleration"]
    text[columns].to_csv(folder / "truth.csv", index=False, lineterminator="\n")
    return SimulatedNetwork(
        archive=archive,
        station_xml=folder / "stations.xml",
        catalogue=folder / "catalogue.csv",
        truth_table=folder / "truth.csv",
        station_table=folder / "truth_stations.csv",
        stations=table,
        events=plan.events,
        truth=frame,
        files=files,
        size=size,
    )


_Record = tuple[str, npt.NDArray[np.int32], list[Gap], list[tuple[object, ...]]]


def _records(plan: _Plan, index: int, station: pd.Series) -> list[_Record]:
    """Make one station's records as counts, with what is missing and the rows of truth."""
    n, rate = plan.samples, plan.rate
    name = f"{writing.NETWORK}.{station['station']}.{writing.LOCATION}."
    air = signals.air_pressure(plan.generator(index, 1), n, rate, station["elevation"])
    gravity = signals.solid_tide(plan.start_ns / SECOND_NS, n, rate, station["latitude"], station["longitude"])
    gravity += signals.drift(n, rate, station["drift"], 5 * station["drift"])
    gravity += signals.ADMITTANCE * (air - signals.normal_pressure(station["elevation"]))
    white, corner = station["white"], station["corner"]
    gravity += signals.coloured_noise(
        plan.generator(index, 2), n, rate, lambda f: signals.instrument_density(f, white, corner)
    )
    sea = signals.coloured_noise(plan.generator(index, 3), n, rate, signals.microseism_density)
    gravity += station["microseism"] * plan.sea * sea
    rows = _add_earthquakes(plan, index, station, gravity, name + plan.gravity)
    rows += _add_bursts(plan, index, station, gravity, name + plan.gravity)
    rows += _add_step(plan, index, gravity, name + plan.gravity)
    rows += _clip(plan, gravity, name + plan.gravity)
    missing, missing_air = _gaps(plan, index)
    gap_rows = [(name + plan.gravity, plan.time_ns(g.start), plan.time_ns(g.stop), "gap") for g in missing]
    rows += [(*row, "", math.nan, math.nan, math.nan) for row in gap_rows]
    records: list[_Record] = [(plan.gravity, _counts(gravity, writing.COUNTS_PER_M_S2 * 1e-9), missing, rows)]
    if plan.pressure:
        gap_rows = [(name + plan.pressure, plan.time_ns(g.start), plan.time_ns(g.stop), "gap") for g in missing_air]
        rows = [(*row, "", math.nan, math.nan, math.nan) for row in gap_rows]
        records.append((plan.pressure, _counts(air, writing.COUNTS_PER_PA * 100), missing_air, rows))
    return records


def _counts(values: FloatArray, per_unit: float) -> npt.NDArray[np.int32]:
    """Round a record to the digitiser's whole numbers."""
    return np.rint(values * per_unit).astype(np.int32)


def _add_earthquakes(
    plan: _Plan, index: int, station: pd.Series, gravity: FloatArray, channel: str
) -> list[tuple[object, ...]]:
    """Add every earthquake to a record in place; return the truth, intervals cut at the record's end."""
    rows: list[tuple[object, ...]] = []
    for number, event in enumerate(plan.events.to_dict("records")):
        magnitude, origin_ns = float(event["magnitude"]), int(event["time_ns"])
        distance = earthquakes.distance_degrees(
            station["latitude"], station["longitude"], event["latitude"], event["longitude"]
        )
        seconds = earthquakes.window_end(distance, magnitude)
        first = math.ceil((origin_ns - plan.start_ns) / SECOND_NS * plan.rate)
        train = earthquakes.wave_train(plan.generator(index, 1000 + number), distance, magnitude, plan.rate, seconds)
        stop = min(first + train.size, plan.samples)
        if first >= stop:
            continue
        gravity[first:stop] += train[: stop - first]
        begin = origin_ns + round(earthquakes.first_arrival(distance) * SECOND_NS)
        end = min(origin_ns + round(seconds * SECOND_NS), plan.time_ns(plan.samples))
        size = round(earthquakes.surface_wave_acceleration(distance, magnitude), 2)
        if begin < end:
            event_id = event["event_id"]
            rows.append((channel, begin, end, "earthquake", event_id, magnitude, round(distance, 3), size))
    return rows


def _add_bursts(
    plan: _Plan, index: int, station: pd.Series, gravity: FloatArray, channel: str
) -> list[tuple[object, ...]]:
    """Add the disturbances of one station to its record in place; return the truth."""
    rows: list[tuple[object, ...]] = []
    for number, (where, first, stop) in enumerate(plan.bursts):
        if where != index:
            continue
        low, high = 1 / DISTURBANCE_PERIODS_S[1], 1 / DISTURBANCE_PERIODS_S[0]
        power = station["white"] ** 2 * (high - low) * (1 + station["corner"] ** 2 / (low * high))
        rms = 8 * math.sqrt(power)
        rng = plan.generator(index, 5000 + number)
        gravity[first:stop] += signals.tapered_burst(rng, stop - first, plan.rate, rms, DISTURBANCE_PERIODS_S)
        span = plan.time_ns(first), plan.time_ns(stop)
        rows.append((channel, *span, "disturbance", "", math.nan, math.nan, round(rms, 2)))
    return rows


def _add_step(plan: _Plan, index: int, gravity: FloatArray, channel: str) -> list[tuple[object, ...]]:
    """Add a step of 50 µGal to every third station's record in place; return the truth (one interval long)."""
    if index % 3 != 2:
        return []
    at = int(plan.generator(index, 4).uniform(0.3, 0.7) * plan.samples)
    gravity[at:] += 500.0
    return [(channel, plan.time_ns(at), plan.time_ns(at + 1), "step", "", math.nan, math.nan, 500.0)]


def _clip(plan: _Plan, gravity: FloatArray, channel: str) -> list[tuple[object, ...]]:
    """Limit a record to the instrument's range in place; return the truth, one row from first to last clip."""
    over = np.flatnonzero(np.abs(gravity) > FULL_SCALE)
    if over.size == 0:
        return []
    np.clip(gravity, -FULL_SCALE, FULL_SCALE, out=gravity)
    splits = np.flatnonzero(np.diff(over) > 3600 * plan.rate) + 1
    runs = np.split(over, splits)
    spans = [(plan.time_ns(int(run[0])), plan.time_ns(int(run[-1]) + 1)) for run in runs]
    return [(channel, *span, "clipped", "", math.nan, math.nan, FULL_SCALE) for span in spans]


def _gaps(plan: _Plan, index: int) -> tuple[list[Gap], list[Gap]]:
    """Draw what is missing of a station's gravity and air pressure: hours, seconds, and a whole day at one station."""
    if not plan.gaps:
        return [], []
    rng = plan.generator(index, 5)
    daily = plan.samples // plan.days
    both: list[Gap] = []
    if index % 2 == 0:
        length = int(rng.uniform(0.5, 6) * 3600 * plan.rate)
        begin = int(rng.uniform(0.1, 0.9) * (plan.samples - length))
        both.append(Gap(begin, begin + max(length, 1)))
    if index == 1 and plan.days >= 3:
        day = int(rng.integers(1, plan.days - 1))
        both.append(Gap(day * daily, (day + 1) * daily))
    gravity, air = list(both), list(both)
    if index % 2 == 1:
        begin = int(rng.uniform(0.05, 0.95) * plan.samples)
        gravity.append(Gap(begin, begin + max(round(3 * plan.rate), 1)))
    if index % 4 == 3:
        begin = int(rng.uniform(0.1, 0.8) * plan.samples)
        air.append(Gap(begin, begin + round(7200 * plan.rate)))
    return _merged(gravity, plan.samples), _merged(air, plan.samples)


def _merged(gaps: list[Gap], samples: int) -> list[Gap]:
    """Join gaps that touch, and cut them at the record's end."""
    joined: list[Gap] = []
    for gap in sorted(gaps, key=lambda g: g.start):
        stop = min(gap.stop, samples)
        if joined and gap.start <= joined[-1].stop:
            joined[-1] = Gap(joined[-1].start, max(stop, joined[-1].stop))
        else:
            joined.append(Gap(gap.start, stop))
    return joined


def _bursts(
    rng: np.random.Generator, stations: int, days: int, samples: int, wanted: int | None
) -> list[tuple[int, int, int]]:
    """Draw the disturbed intervals as (station, first sample, stop sample): half a day to one and a half each."""
    disturbed = max(1, stations // 2)
    count = math.ceil(0.1 * min(days, 40) * disturbed) if wanted is None else wanted
    order = rng.permutation(stations)[:disturbed]
    per_day = samples / days
    spans = []
    for number in range(count):
        length = int(min(rng.uniform(0.5, 1.5), 0.4 * days) * per_day)
        rounds = -(-count // disturbed)
        slot = (number // disturbed + rng.uniform(0.1, 0.9)) / rounds
        first = int(slot * (samples - length))
        spans.append((int(order[number % disturbed]), first, first + length))
    return spans


def _refuse_strangers(archive: Path, plan: _Plan, stations: set[str], channels: set[str]) -> None:
    """Refuse to mix two simulations in one tree: every file there must be one that will be written again.

    Raises
    ------
    ConfigError
        If the tree holds a file of another network, station, channel or day.
    """
    if not archive.is_dir():
        return
    names = set()
    for day in range(plan.days):
        date = np.datetime64((plan.start_ns + day * DAY_NS) // SECOND_NS, "s").astype("datetime64[D]")
        number = int((date - date.astype("datetime64[Y]").astype("datetime64[D]")).astype(int)) + 1
        names.add(f"D.{date.astype('datetime64[Y]')}.{number:03d}")
    for path in archive.rglob("*"):
        parts = path.name.split(".", 4)
        known = len(parts) == 5 and parts[1] in stations and parts[3] in channels and parts[4] in names
        if path.is_file() and not known:
            msg = f"{archive} already holds {path.name}, which is not of this simulation; give an empty folder"
            raise ConfigError(msg)

"""Archives to measure with, made from seeds: a seismometer's day files, months of gravimeter text, many small files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import obspy
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from gravdask.preprocess.tides import tide

DAY = 8_640_000
"""Samples of a day at 100 Hz."""
EPOCH = np.datetime64("2021-01-01T00:00:00", "ns")
COUNT = 0.005
"""Of the gravimeter [nm s-2]."""


def save(path: Path, *traces: obspy.Trace, **options: object) -> None:
    """Write MiniSEED, Steim2 unless the options say otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        obspy.Stream(list(traces)).write(str(path), **({"format": "MSEED", "encoding": "STEIM2"} | options))


def trace(values: NDArray[np.int32], station: str, code: str, rate: float, start: str) -> obspy.Trace:
    """A trace of network XX."""
    header = {"network": "XX", "station": station, "channel": code, "sampling_rate": rate}
    return obspy.Trace(values, header | {"starttime": obspy.UTCDateTime(start)})


def seismometer(generator: np.random.Generator, npts: int) -> NDArray[np.int32]:
    """Counts of a broadband seismometer at 100 Hz: microseism (0.1 to 0.3 Hz) and noise of 30 counts."""
    sos = butter(2, [0.1, 0.3], "bandpass", fs=100.0, output="sos")
    microseism = sosfilt(sos, generator.normal(0, 3e4, npts))
    return np.rint(microseism + generator.normal(0, 30, npts) + 2000).astype(np.int32)


def gravimeter(generator: np.random.Generator, npts: int) -> NDArray[np.float64]:
    """Gravity at 1 Hz [nm s-2]: tide, drift, microseism of 6 s and noise of 1.3 nm s-2."""
    seconds = np.arange(npts)
    hourly = np.arange(0, npts + 7200, 600)
    earth = tide(EPOCH.astype(np.int64) + hourly * 10**9, 48.2, 16.4, 190.0)
    sea = 5 * np.sin(2 * np.pi * seconds / 6.3) * np.sin(seconds / 300)
    noise = np.convolve(generator.normal(0, 3, npts), np.ones(5) / 5, "same")
    return np.interp(seconds, hourly, earth) + 1e-5 * seconds + sea + noise


def day_files(folder: Path, channels: int, days: int, length: int) -> list[Path]:
    """MiniSEED day files at 100 Hz, from a day on that begins a shard."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(length)
    first = np.datetime64("1950-01-01") + np.timedelta64(6480 * 4, "D")
    paths = []
    for channel in range(channels):
        for day in range(days):
            path = folder / f"XX.S{channel:02d}..HHZ.{day:03d}.mseed"
            values = seismometer(generator, DAY)
            save(path, trace(values, f"S{channel:02d}", "HHZ", 100.0, f"{first + day}"), reclen=length)
            paths.append(path)
    return paths


def month_in_one(folder: Path, days: int) -> None:
    """One MiniSEED file of many days at 100 Hz: day after day, as their files joined."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(1)
    values = seismometer(generator, DAY)
    first = np.datetime64("1950-01-01") + np.timedelta64(6480 * 4, "D")
    with (folder / "XX.S00..HHZ.mseed").open("wb") as file:
        for day in range(days):
            save(folder / "day", trace(values, "S00", "HHZ", 100.0, f"{first + day}"), reclen=4096)
            file.write((folder / "day").read_bytes())
    (folder / "day").unlink()


def month_of_text(folder: Path, rows: int) -> dict[str, Path]:
    """The same seconds of gravity and air pressure as a GGP, a TSoft and a CSV file."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    gravity = gravimeter(generator, rows)
    pressure = 980 + 5 * np.sin(np.arange(rows) / 50_000) + generator.normal(0, 0.02, rows)
    stamps = (EPOCH + np.arange(rows).astype("timedelta64[s]")).astype("datetime64[s]").astype(str).tolist()
    pairs = list(zip(stamps, gravity.tolist(), pressure.tolist(), strict=True))
    body = [f"{s[:4]}{s[5:7]}{s[8:10]} {s[11:13]}{s[14:16]}{s[17:19]} {g:10.3f}{p:10.3f}\n" for s, g, p in pairs]
    ggp, tsoft = folder / "vi210100.ggp", folder / "VI-2101.tsf"
    head = "Station : Vienna\nyyyymmdd hhmmss gravity(nm/s^2) pressure(hPa)\nC****************\nSG 1.0 1.0 0.0 3\n"
    ggp.write_text(f"{head}77777777 0.0 0.0\n{''.join(body)}99999999\n88888888\n")
    body = [f"{s.translate(str.maketrans('-T:', '   '))} {g:12.3f} {p:10.3f}\n" for s, g, p in pairs]
    head = "[TSF-file] v01.0\n[UNDETVAL] 9999.999\n[TIMEFORMAT] DATETIME\n[INCREMENT] 1\n[CHANNELS]\n  VI:SG:gravity\n"
    tsoft.write_text(f"{head}  VI:SG:pressure\n[UNITS]\n  nm/s^2\n  hPa\n[DATA]\n{''.join(body)}")
    table = folder / "vienna.csv"
    table.write_text("time,gravity,pressure\n" + "".join(f"{s},{g:.3f},{p:.3f}\n" for s, g, p in pairs))
    return {"GGP": ggp, "TSoft": tsoft, "CSV": table}


TABLE = {"files": "*.csv", "time": ["time"], "channels": ["gravity=LGZ:nm/s2", "pressure=LDO:hPa"]}
"""Layout of that CSV file, as it stands under [[archive.tables]]."""


def many_files(folder: Path, count: int) -> None:
    """Files of one record each, a thousand to a folder."""
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).integers(-50, 50, 100).astype(np.int32)
    save(folder / "one", trace(values, "S0000", "LHZ", 1.0, "2021-01-01"), reclen=512)
    record = bytearray((folder / "one").read_bytes())
    (folder / "one").unlink()
    for number in range(count):
        record[8:13] = b"S%04d" % (number // 1000)
        record[22:24] = int(number % 360 + 1).to_bytes(2, "big")
        record[24], record[25] = number % 1000 // 360, number // 360 % 60
        below = folder / f"{number // 1000:03d}"
        below.mkdir(exist_ok=True)
        (below / f"{number:06d}.ms").write_bytes(record)


def short_channels(folder: Path, channels: int, spans: int) -> None:
    """One file of a few rows a minute for every span of 384 days (a shard) of many channels."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(1)
    for channel in range(channels):
        for span in range(spans):
            values = np.cumsum(generator.integers(-50, 50, 200)).astype(np.int32)
            start = np.datetime64("2001-01-01") + np.timedelta64(384 * span, "D")
            save(folder / f"S{channel:04d}.{span:02d}.ms", trace(values, f"S{channel:04d}", "UGZ", 1 / 60, str(start)))


def minutes_of_a_decade(folder: Path, stations: int, years: int) -> None:
    """Gravity and air pressure of some stations at one sample a minute, a file a year."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(2)
    for station in range(stations):
        for year in range(years):
            npts = 366 * 1440
            gravity = np.cumsum(generator.normal(0, 20, npts)) + generator.normal(0, 100, npts)
            for code, values in (("UGZ", gravity), ("UDO", 98_000 + np.cumsum(generator.normal(0, 1, npts)))):
                item = trace(np.rint(values).astype(np.int32), f"S{station:02d}", code, 1 / 60, f"{2011 + year}-01-01")
                item.data = item.data[: (365 + (year % 4 == 1)) * 1440]
                save(folder / f"S{station:02d}.{code}.{2011 + year}.ms", item)

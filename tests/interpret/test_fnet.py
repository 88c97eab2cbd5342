"""Catalogue to names on the three F-net stations of March and April 2011, with loudness in place of a mixture."""

from __future__ import annotations

import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gravdask.catalog import predicted_windows, read_catalog
from gravdask.grid import ORIGIN_NS
from gravdask.interpret import (
    Evidence,
    FrameTable,
    associate,
    before_counts,
    event_table,
    label_map,
    name_components,
    station_shares,
)

FRAME_S = 4096
FRAME_NS = FRAME_S * 10**9
STATIONS = ("KNY", "KZS", "NAA")


def read_station(folder: Path, station: str, first: int, count: int) -> tuple[np.ndarray, float, float]:
    """Root mean square of each frame [nm s⁻²], NaN where the record does not fill it; latitude and longitude."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from obspy import read

        traces = [read(str(path))[0] for path in sorted(folder.glob(f"{station}.LHZ.*.sac"))]
    record = np.full(count * FRAME_S, np.nan)
    start = ORIGIN_NS + first * FRAME_NS
    for trace in traces:
        offset = (int(trace.stats.starttime.ns) - start) // 10**9
        begin, end = max(0, offset), min(len(record), offset + trace.stats.npts)
        if begin < end:
            record[begin:end] = trace.data[begin - offset : end - offset] * 1e9
    header = traces[0].stats.sac
    return np.sqrt(np.mean(record.reshape(count, FRAME_S) ** 2, axis=1)), float(header.stla), float(header.stlo)


@pytest.fixture(scope="module")
def network(real_data: Path) -> tuple[FrameTable, pd.DataFrame]:
    """Frames with component 1 where a station is three times as loud as usual, and the windows of ISC-GEM."""
    folder = real_data / "seismic" / "fnet_lhz_acc_sac"
    begin, end = (np.datetime64(day, "ns").astype(np.int64) for day in ("2011-03-01", "2011-05-01"))
    first = int(begin - ORIGIN_NS) // FRAME_NS
    count = int(end - ORIGIN_NS) // FRAME_NS - first
    found = [read_station(folder, station, first, count) for station in STATIONS]
    loudness = np.stack([rms for rms, _, _ in found])
    usual = np.nanmedian(loudness, axis=1)
    component = np.where(np.isnan(loudness), -1, loudness > 3 * usual[:, None]).astype(np.int8)
    frames = FrameTable(STATIONS, ORIGIN_NS + first * FRAME_NS, Fraction(FRAME_NS), component, 3 * FRAME_NS // 2)
    rows = [(name, latitude, longitude) for name, (_, latitude, longitude) in zip(STATIONS, found, strict=True)]
    channels = pd.DataFrame(rows, columns=["channel", "latitude", "longitude"])
    catalog = read_catalog(real_data / "catalogs" / "isc_gem_v3_2009-2012.csv")
    return frames, predicted_windows(catalog.events, channels, dict(zip(STATIONS, usual.tolist(), strict=True)))


@pytest.mark.real
def test_loud_frames_are_coseismic(network: tuple[FrameTable, pd.DataFrame]) -> None:
    frames, windows = network
    table = associate(frames, windows)
    named = name_components(table, Evidence(stations=station_shares(frames)))
    assert named["label"].tolist() == ["background", "co-seismic"]
    assert table["lags"].iloc[1] == 2 * frames.n_frames
    assert table["p_value"].iloc[1] < 0.01
    assert table["odds_ratio"].iloc[1] > 5
    assert table["share_predicted"].iloc[1] == pytest.approx(0.19, abs=0.03)
    seen = event_table(frames, windows, label_map(named))
    great = seen[(seen["magnitude"] > 6.9) & (seen["time_ns"] > frames.start_ns) & ~seen["no_data"]]
    honshu = great[great["distance_deg"] < 12]
    assert len(honshu) >= 9
    assert honshu["predicted"].all()
    assert honshu["seen"].all()


@pytest.mark.real
def test_what_stood_before_the_great_earthquake_is_counted_by_its_cause(
    network: tuple[FrameTable, pd.DataFrame],
) -> None:
    """The day before the M9.1 is full of foreshocks: nearly all its loud frames lie within reach of their windows."""
    frames, windows = network
    great = str(windows.loc[windows["magnitude"].idxmax(), "event_id"])
    counts = before_counts(frames, windows, great, 1)
    assert (counts["valid_frames"] >= 20).all()
    assert (counts["frames"] >= 3).all()
    assert (counts["frames"] == counts["within_reach"] + counts["beyond_reach"]).all()
    assert (counts["near_other_event"] >= 3).all()

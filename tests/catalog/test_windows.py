"""Predicted windows: distances against obspy, the Ms formula by hand, ends and visibility by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy.geodetics import locations2degrees

from gravdask.catalog import WindowSettings, distance_deg, first_arrival_s, predicted_acceleration, predicted_windows
from gravdask.errors import CatalogError, StationError

S = 1_000_000_000
LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 360)


def make_events(magnitudes: list[float], longitudes: list[float], depth_km: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "event_id": [f"e{i}" for i in range(len(magnitudes))],
            "time_ns": [10**18 + i * 10**12 for i in range(len(magnitudes))],
            "latitude": 0.0,
            "longitude": longitudes,
            "depth_km": depth_km,
            "magnitude": magnitudes,
        }
    )


def make_channels(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"channel": list(names), "latitude": 0.0, "longitude": 0.0})


@settings(max_examples=200, deadline=None)
@given(LATITUDES, LONGITUDES, LATITUDES, LONGITUDES)
def test_distance_against_obspy(lat_1: float, lon_1: float, lat_2: float, lon_2: float) -> None:
    found = float(distance_deg(lat_1, lon_1, lat_2, lon_2))
    assert found == pytest.approx(float(locations2degrees(lat_1, lon_1, lat_2, lon_2)), abs=1e-6)
    assert found == pytest.approx(float(distance_deg(lat_2, lon_2, lat_1, lon_1)), abs=1e-9)


def test_distance_by_hand() -> None:
    np.testing.assert_allclose(distance_deg(0, 0, [0, 90, 0, 0], [180, 17, 1e-9, -90]), [180, 90, 1e-9, 90], atol=1e-13)


def test_acceleration_by_hand() -> None:
    """Ms 6.62 at 100 degrees: log10(A/T) = 6.62 - 3.32 - 3.3 = 0, so A = 20 µm at 20 s and A (2π/20)² = 1974 nm s⁻²."""
    assert predicted_acceleration(6.62, 100.0) == pytest.approx(20_000 * (math.pi / 10) ** 2)
    assert predicted_acceleration(7.62, 100.0) == pytest.approx(10 * predicted_acceleration(6.62, 100.0))
    assert predicted_acceleration(6.0, 10.0) == pytest.approx(10**1.66 * predicted_acceleration(6.0, 100.0))
    assert predicted_acceleration(6.0, 0.0) == predicted_acceleration(6.0, 2.0)


def test_ends_by_hand() -> None:
    """At 90 degrees the 2.5 km/s wave takes 90 * 111.195 / 2.5 = 4003 s; at 10 degrees half an hour is longer."""
    events = make_events([6.99, 7.0, 8.49, 8.5, 6.0], [90, 90, 90, 90, 10])
    windows = predicted_windows(events, make_channels("a"))
    end = (windows["end_ns"] - windows["time_ns"]) / S
    group = 90 * math.pi * 6371 / 180 / 2.5
    near = float(first_arrival_s(10, 0)) + 1800
    assert near > 10 * 111.195 / 2.5
    np.testing.assert_allclose(
        end, [group + 1800, group + 21600, group + 21600, group + 172800, near + 1800], atol=1e-6
    )
    first = (windows["first_arrival_ns"] - windows["time_ns"]) / S
    np.testing.assert_allclose(first, first_arrival_s([90, 90, 90, 90, 10], 0), atol=1e-6)


def test_visibility_is_against_the_stations_own_noise() -> None:
    level = float(predicted_acceleration(6.62, 100.0)) / 3
    events = make_events([6.62, 6.5], [100.0, 100.0])
    noise = {"at": level, "above": level * 1.001, "counts": math.nan}
    windows = predicted_windows(events, make_channels("at", "above", "counts", "unknown"), noise)
    assert windows["visible"].tolist() == [True, False, False, False, True, True, True, True]
    assert windows["rms_assumed"].tolist() == [False] * 4 + [True] * 4
    assert windows["channel"].tolist() == ["at"] * 2 + ["above"] * 2 + ["counts"] * 2 + ["unknown"] * 2
    assert windows["event_id"].tolist() == ["e0", "e1"] * 4
    quiet = predicted_windows(events, make_channels("x"), None, WindowSettings(visibility_ratio=10.0))
    assert not quiet["visible"].any()


def test_columns_and_types_hold_without_events() -> None:
    windows = predicted_windows(make_events([], []), make_channels("a"))
    assert list(windows.columns) == [
        "channel",
        "event_id",
        "time_ns",
        "magnitude",
        "distance_deg",
        "first_arrival_ns",
        "end_ns",
        "predicted_acceleration",
        "visible",
        "rms_assumed",
    ]
    assert windows.empty
    assert windows["end_ns"].dtype == np.int64
    assert windows["visible"].dtype == bool


def test_what_is_missing_is_named() -> None:
    channels = make_channels("a", "b")
    channels.loc[1, "latitude"] = math.nan
    with pytest.raises(StationError, match="no coordinates for b"):
        predicted_windows(make_events([6], [10]), channels)
    with pytest.raises(StationError, match="lacks the columns longitude"):
        predicted_windows(make_events([6], [10]), channels[["channel", "latitude"]])
    with pytest.raises(CatalogError, match="lacks the columns depth_km"):
        predicted_windows(make_events([6], [10]).drop(columns="depth_km"), make_channels("a"))

"""Earthquakes: catalogue readers, travel times, and the windows in which a station can expect to feel an event."""

from __future__ import annotations

from gravdask.catalog.model import Catalog, Problem
from gravdask.catalog.readers import read_catalog
from gravdask.catalog.travel_times import first_arrival_s
from gravdask.catalog.windows import WindowSettings, distance_deg, predicted_acceleration, predicted_windows

__all__ = [
    "Catalog",
    "Problem",
    "WindowSettings",
    "distance_deg",
    "first_arrival_s",
    "predicted_acceleration",
    "predicted_windows",
    "read_catalog",
]

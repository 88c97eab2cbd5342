"""What a class means: association with predicted earthquake windows, names with their evidence, calendars, events."""

from __future__ import annotations

from gravdask.interpret.association import associate, benjamini_hochberg, hits_per_event
from gravdask.interpret.calendar import class_intervals, daily_shares
from gravdask.interpret.events import before_counts, event_table
from gravdask.interpret.evidence import (
    excess_sums,
    gap_shares,
    microseism_correlations,
    period_excess,
    station_shares,
)
from gravdask.interpret.frames import FrameTable
from gravdask.interpret.naming import Evidence, NamingSettings, is_coseismic, label_map, name_components

__all__ = [
    "Evidence",
    "FrameTable",
    "NamingSettings",
    "associate",
    "before_counts",
    "benjamini_hochberg",
    "class_intervals",
    "daily_shares",
    "event_table",
    "excess_sums",
    "gap_shares",
    "hits_per_event",
    "is_coseismic",
    "label_map",
    "microseism_correlations",
    "name_components",
    "period_excess",
    "station_shares",
]

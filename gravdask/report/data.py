"""What a report is made of: plain arrays and tables. The report knows nothing of the store.

Times are int64 nanoseconds since 1970-01-01 UTC. A table with the columns stated here and no rows is an empty state,
never an error; columns beyond those stated are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gravdask.report.preprocessing import Monthly, Preprocessed

FloatArray = npt.NDArray[np.floating]
Int64Array = npt.NDArray[np.int64]

STATION_COLUMNS = (
    "channel",
    "latitude",
    "longitude",
    "elevation",
    "rate",
    "first_ns",
    "last_ns",
    "valid_fraction",
    "unit",
    "kind",
    "snm_median",
    "snm_days",
    "note",
)
SNM_COLUMNS = ("day_ns", "snm", "ssnm", "valid_fraction")
EVENT_COLUMNS = (
    "event_id",
    "time_ns",
    "magnitude",
    "place",
    "channel",
    "distance_deg",
    "predicted",
    "seen",
    "component",
    "peak_acceleration",
)
RUN_COLUMNS = ("stage", "units", "done", "skipped", "quarantined", "seconds")
QUARANTINE_COLUMNS = ("where", "line", "what", "cure")
COMPONENT_COLUMNS = (
    "component",
    "label",
    "frames",
    "share",
    "odds_ratio",
    "lift",
    "p_value",
    "q_value",
    "distinct_events",
    "evidence",
)


@dataclass(frozen=True)
class Waveform:
    """One frame's record, as an example of its component.

    Attributes
    ----------
    channel
        Channel name.
    start_ns
        Time of the first sample [ns since 1970 UTC].
    interval_s
        Time between two samples [s].
    values
        Samples, NaN where missing.
    unit
        Their unit, such as ``nm s⁻²``.
    """

    channel: str
    start_ns: int
    interval_s: float
    values: FloatArray
    unit: str


@dataclass(frozen=True)
class ModelSection:
    """One frozen model (there is one per sampling rate) and what it says about every channel.

    Attributes
    ----------
    rate
        Sampling rate as text, such as ``1Hz`` or ``60s``.
    digest
        The model's digest.
    frame_seconds
        Length of a frame [s].
    settings
        Names and values to print.
    components
        Columns `COMPONENT_COLUMNS`; a row per component in the order of ``mean_log``.
    path_order, path_frequency_1, path_frequency_2
        Order (1 or 2), first and second centre frequency [Hz] of each path, (n_paths,).
    mean_log
        Mean logarithm (natural) of the coefficients per component above the station medians, (K, n_paths).
    waveforms
        Typical records of each component number.
    calendar
        Per channel: start of each frame [ns] and its component, -1 where there is none; both (n_frames,).
    likelihood
        Per channel: day [ns] and median log-likelihood of its frames; both (n_days,).
    window_share
        Share of the valid frames that lie in predicted earthquake windows, NaN without a catalogue.
    selection, reason
        A row for each mixture that was tried (`gravdask.mixture.select`), and why this one was chosen.
    merges
        Which components are joined first, as SciPy's linkage (`gravdask.mixture.hierarchy`), (K - 1, 4).
    """

    rate: str
    digest: str
    frame_seconds: float
    settings: dict[str, str]
    components: pd.DataFrame
    path_order: npt.NDArray[np.integer]
    path_frequency_1: FloatArray
    path_frequency_2: FloatArray
    mean_log: FloatArray
    waveforms: dict[int, list[Waveform]]
    calendar: dict[str, tuple[Int64Array, npt.NDArray[np.integer]]]
    likelihood: dict[str, tuple[Int64Array, FloatArray]]
    window_share: float
    selection: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    merges: FloatArray = field(default_factory=lambda: np.zeros((0, 4)))


def _table(*columns: str) -> pd.DataFrame:
    """Return a table with these columns and no rows."""
    return pd.DataFrame({name: [] for name in columns})


@dataclass(frozen=True)
class ReportData:
    """Everything that one report shows.

    Attributes
    ----------
    title
        Heading of the page.
    created_ns
        When the report was made [ns since 1970 UTC].
    version
        Version of the program.
    store
        Name of the store.
    stations
        Columns `STATION_COLUMNS`; a row per channel. Degrees, metres, Hz, ns, shares; text.
    snm
        Per channel a table of `SNM_COLUMNS`.
    noise_refused
        Channels without noise magnitudes, and why.
    preprocessed
        Records of gravimeters before and after each step of the preprocessing.
    monthly
        Tidal factor and pressure admittance of gravimeters month by month.
    models
        One section per model; empty before the first fit.
    events
        Columns `EVENT_COLUMNS`; a row per earthquake and channel. ``predicted`` is a truth value, ``seen`` one or
        missing (no data then), ``component`` an integer or missing, ``peak_acceleration`` in nm s⁻².
    run
        Columns `RUN_COLUMNS`; a row per stage.
    plan
        Lines of the plan.
    quarantine
        Columns `QUARANTINE_COLUMNS`; what could not be used.
    notes
        Remarks in words.
    references
        Sources in words.
    """

    title: str
    created_ns: int
    version: str
    store: str
    stations: pd.DataFrame = field(default_factory=lambda: _table(*STATION_COLUMNS))
    snm: dict[str, pd.DataFrame] = field(default_factory=dict)
    noise_refused: dict[str, str] = field(default_factory=dict)
    preprocessed: list[Preprocessed] = field(default_factory=list)
    monthly: list[Monthly] = field(default_factory=list)
    models: list[ModelSection] = field(default_factory=list)
    events: pd.DataFrame = field(default_factory=lambda: _table(*EVENT_COLUMNS))
    run: pd.DataFrame = field(default_factory=lambda: _table(*RUN_COLUMNS))
    plan: list[str] = field(default_factory=list)
    quarantine: pd.DataFrame = field(default_factory=lambda: _table(*QUARANTINE_COLUMNS))
    notes: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)

"""Names for components, each with its evidence in words; until a test names it, a component is just a number.

In this order: co-seismic (significantly associated with predicted arrivals of several events), instrument (at one
station, or beside gaps), microseism (excess at 2 to 20 s only, rising and falling with the network's level),
background (the largest that remains without association), and "unattributed disturbance" for everything else.
Of several components of one kind the one with most frames has the bare name, the next is "... 2", and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gravdask.errors import GravdaskError

CO_SEISMIC = "co-seismic"
INSTRUMENT = "instrument"
MICROSEISM = "microseism"
BACKGROUND = "background"
UNATTRIBUTED = "unattributed disturbance"
NO_FRAMES = "no frames"
FEW_SHIFTS = 100
"""Effective number of shifts below which the evidence says how many there were: q < 0.01 cannot be trusted then."""
ASSOCIATION_COLUMNS = ("component", "frames", "share_in", "odds_ratio", "q_value", "distinct_events")


@dataclass(frozen=True)
class NamingSettings:
    """Thresholds of the names.

    Attributes
    ----------
    coseismic_q, coseismic_odds, coseismic_events
        Co-seismic: q below, odds ratio and number of distinct events at least.
    instrument_share
        Instrument: share of the frames at one station above, plain and balanced for the lengths of the records.
    gap_odds, gap_share
        Instrument: odds ratio of lying beside a gap, and share of its frames that do, both at least.
    microseism_band_s
        Shortest and longest period of the band [s].
    microseism_share, microseism_excess, microseism_correlation
        Microseism: share of the positive excess inside the band, largest excess there (natural log), and correlation
        with the network's level, all at least.
    background_odds
        Background: odds ratio at most.
    disturbance_excess, disturbance_share
        Not background for all that: mean excess at any period (natural log) at least, and share of all frames at
        most. What is rare and stands out needs no earthquake to be a disturbance.
    """

    coseismic_q: float = 0.01
    coseismic_odds: float = 5.0
    coseismic_events: int = 3
    instrument_share: float = 0.8
    gap_odds: float = 5.0
    gap_share: float = 0.2
    microseism_band_s: tuple[float, float] = (2.0, 20.0)
    microseism_share: float = 0.8
    microseism_excess: float = 0.2
    microseism_correlation: float = 0.3
    background_odds: float = 1.5
    disturbance_excess: float = 1.0986
    disturbance_share: float = 0.1


@dataclass(frozen=True)
class Evidence:
    """What is known of the components besides their association; None where it was not looked at.

    Attributes
    ----------
    stations
        As `gravdask.interpret.evidence.station_shares` gives it.
    gaps
        As `gravdask.interpret.evidence.gap_shares` gives it.
    excess
        As `gravdask.interpret.evidence.period_excess` gives it.
    microseism
        As `gravdask.interpret.evidence.microseism_correlations` gives it.
    """

    stations: pd.DataFrame | None = None
    gaps: pd.DataFrame | None = None
    excess: pd.DataFrame | None = None
    microseism: Mapping[int, float] | None = None


def name_components(
    table: pd.DataFrame, evidence: Evidence | None = None, settings: NamingSettings | None = None
) -> pd.DataFrame:
    """Name every component of an association table.

    Parameters
    ----------
    table
        As `gravdask.interpret.association.associate` gives it.
    evidence
        Further evidence; without it no component becomes "instrument" or "microseism".
    settings
        Thresholds.

    Returns
    -------
    DataFrame
        One row per component in the order of the table: component, label, kind (the label without its number),
        evidence (in words).

    Raises
    ------
    GravdaskError
        If the table lacks a column.
    """
    missing = [column for column in ASSOCIATION_COLUMNS if column not in table.columns]
    if missing:
        msg = f"the association table lacks the columns {', '.join(missing)}; make it with associate"
        raise GravdaskError(msg)
    evidence, settings = evidence or Evidence(), settings or NamingSettings()
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    total = sum(int(row["frames"]) for row in rows)
    named = {int(row["component"]): _name(row, total, evidence, settings) for row in rows}
    order = sorted(rows, key=lambda row: (-int(row["frames"]), int(row["component"])))
    labels: dict[int, str] = {}
    seen: dict[str, int] = {}
    for row in order:
        component = int(row["component"])
        kind = named[component][0]
        seen[kind] = seen.get(kind, 0) + 1
        labels[component] = kind if seen[kind] == 1 or kind == NO_FRAMES else f"{kind} {seen[kind]}"
    result = [(k, labels[k], kind, words) for k, (kind, words) in named.items()]
    return pd.DataFrame(result, columns=["component", "label", "kind", "evidence"])


def label_map(named: pd.DataFrame) -> dict[int, str]:
    """Component to label, from what `name_components` returns."""
    return {int(k): str(label) for k, label in zip(named["component"], named["label"], strict=True)}


def is_coseismic(label: str) -> bool:
    """Whether a label is "co-seismic" or one of its numbered companions."""
    return label == CO_SEISMIC or label.startswith(CO_SEISMIC + " ")


def _name(row: dict[str, Any], total: int, evidence: Evidence, settings: NamingSettings) -> tuple[str, str]:
    """Kind of one component and its evidence in words."""
    if not row["frames"]:
        return NO_FRAMES, "no frame carries this component"
    association = _association_words(row)
    short = _coseismic_shortfall(row, settings)
    if not short:
        return CO_SEISMIC, association
    component = int(row["component"])
    for kind, words in (
        (INSTRUMENT, _station_words(component, evidence, settings)),
        (INSTRUMENT, _gap_words(component, evidence, settings)),
        (MICROSEISM, _microseism_words(component, evidence, settings)),
    ):
        if words:
            return kind, f"{words}; {association}"
    share = f"{100 * row['frames'] / total:.0f} % of all frames"
    words = _excess_words(component, evidence, settings)
    if words and row["frames"] <= settings.disturbance_share * total:
        return UNATTRIBUTED, f"{share}; {words}; {association}; not co-seismic: {', '.join(short)}"
    if not row["odds_ratio"] > settings.background_odds:  # also where nothing could be compared
        return BACKGROUND, f"{share}; no association with predicted windows: {association}"
    return UNATTRIBUTED, f"{share}; {association}; not co-seismic: {', '.join(short)}"


def _association_words(row: dict[str, Any]) -> str:
    """Say what the association test found."""
    if np.isnan(row["odds_ratio"]):
        return "association not testable, as all or none of the frames compared lie in predicted windows"
    events = int(row["distinct_events"])
    sources = f"{events} event" if events == 1 else f"{events} events"
    shifts = float(row.get("effective_shifts", np.nan))
    caution = f", q rests on about {shifts:.0f} independent shifts" if shifts < FEW_SHIFTS else ""
    return (
        f"odds ratio {row['odds_ratio']:.3g} (q={row['q_value']:.2g}), hits from {sources}, "
        f"{100 * row['share_in']:.0f} % of its frames lie in predicted windows{caution}"
    )


def _coseismic_shortfall(row: dict[str, Any], settings: NamingSettings) -> list[str]:
    """What is lacking for "co-seismic", in words; nothing if nothing is."""
    short = []
    if not row["q_value"] < settings.coseismic_q:
        short.append(f"q is not below {settings.coseismic_q:g}")
    if not row["odds_ratio"] >= settings.coseismic_odds:
        short.append(f"the odds ratio is below {settings.coseismic_odds:g}")
    if not row["distinct_events"] >= settings.coseismic_events:
        short.append(f"hits from fewer than {settings.coseismic_events} events")
    return short


def _station_words(component: int, evidence: Evidence, settings: NamingSettings) -> str:
    """Say at which single station the component occurs; empty if at several, or if the network has but one."""
    if evidence.stations is None:
        return ""
    mine = evidence.stations[evidence.stations["component"] == component]
    if np.count_nonzero(mine["valid_frames"] > 0) < 2:
        return ""
    least = mine[["share", "balanced_share"]].min(axis=1)
    top = int(least.to_numpy().argmax())
    if not least.iloc[top] > settings.instrument_share:
        return ""
    return f"{100 * mine['share'].iloc[top]:.0f} % of its frames at {mine['channel'].iloc[top]} alone"


def _gap_words(component: int, evidence: Evidence, settings: NamingSettings) -> str:
    """Say how the component keeps to gaps; empty if it does not."""
    if evidence.gaps is None:
        return ""
    mine = evidence.gaps[evidence.gaps["component"] == component]
    if mine.empty:
        return ""
    share, odds = float(mine["gap_share"].iloc[0]), float(mine["gap_odds"].iloc[0])
    if not (odds >= settings.gap_odds and share >= settings.gap_share):
        return ""
    return f"{100 * share:.0f} % of its frames touch a gap (odds ratio {odds:.3g} against other frames)"


def _excess_words(component: int, evidence: Evidence, settings: NamingSettings) -> str:
    """Say at which period the component stands out most above the stations' medians; empty if it does not."""
    if evidence.excess is None or component not in evidence.excess.index:
        return ""
    excess = np.nan_to_num(evidence.excess.loc[component].to_numpy(dtype=np.float64), nan=-np.inf)
    top = int(excess.argmax())
    if not excess[top] >= settings.disturbance_excess:
        return ""
    return f"{np.exp(excess[top]):.2g} times the usual amplitude at {evidence.excess.columns[top]:.3g} s"


def _microseism_words(component: int, evidence: Evidence, settings: NamingSettings) -> str:
    """Say how the component's excess keeps to the microseism band; empty if it does not or does not follow it."""
    if evidence.excess is None or evidence.microseism is None or component not in evidence.excess.index:
        return ""
    low, high = settings.microseism_band_s
    periods = evidence.excess.columns.to_numpy(dtype=np.float64)
    excess = np.maximum(np.nan_to_num(evidence.excess.loc[component].to_numpy(dtype=np.float64)), 0.0)
    band = (periods >= low) & (periods <= high)
    largest = float(excess[band].max(initial=0.0))
    share = float(excess[band].sum() / excess.sum()) if excess.any() else 0.0
    r = float(evidence.microseism.get(component, np.nan))
    if not (
        largest >= settings.microseism_excess
        and share >= settings.microseism_share
        and r >= settings.microseism_correlation
    ):
        return ""
    return (
        f"{100 * share:.0f} % of its excess lies at {low:g} to {high:g} s (up to a factor {np.exp(largest):.2g}) and "
        f"its share of the network follows the microseism level (r={r:.2f})"
    )

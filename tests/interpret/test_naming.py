"""The rules of the names, case by case."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gravdask.errors import GravdaskError
from gravdask.interpret import Evidence, NamingSettings, is_coseismic, label_map, name_components


def make_table(*rows: dict[str, Any]) -> pd.DataFrame:
    usual = {"frames": 100, "share_in": 0.1, "odds_ratio": 1.0, "q_value": 0.9, "distinct_events": 0}
    return pd.DataFrame([{"component": k, **usual, **row} for k, row in enumerate(rows)])


ASSOCIATED = {"odds_ratio": 12.3, "q_value": 0.002, "distinct_events": 9, "share_in": 0.71}
STORMY = pd.DataFrame([[1.0, 0.8, 0.0], [1.0, 0.8, 1.2]], columns=[3.0, 10.0, 60.0])


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "co-seismic"),
        ({"odds_ratio": 5.0}, "co-seismic"),
        ({"distinct_events": 3}, "co-seismic"),
        ({"q_value": 0.01}, "unattributed disturbance"),
        ({"q_value": math.nan}, "unattributed disturbance"),
        ({"odds_ratio": 4.99}, "unattributed disturbance"),
        ({"distinct_events": 2}, "unattributed disturbance"),
        ({"odds_ratio": 1.51}, "unattributed disturbance"),
        ({"odds_ratio": 1.5}, "background"),
        ({"odds_ratio": math.nan, "q_value": math.nan}, "background"),
        ({"frames": 0, "odds_ratio": math.nan, "q_value": math.nan, "share_in": math.nan}, "no frames"),
    ],
)
def test_kind_by_association(change: dict[str, float], kind: str) -> None:
    named = name_components(make_table({**ASSOCIATED, **change}, {}))
    assert named["kind"].iloc[0] == kind


def test_evidence_in_words() -> None:
    table = make_table(ASSOCIATED, {}, {**ASSOCIATED, "distinct_events": 1, "frames": 200})
    named = name_components(table)
    words = "odds ratio 12.3 (q=0.002), hits from 9 events, 71 % of its frames lie in predicted windows"
    assert named["evidence"].iloc[0] == words
    assert "odds ratio 1 (q=0.9)" in named["evidence"].iloc[1]
    assert named["evidence"].iloc[2].endswith("not co-seismic: hits from fewer than 3 events")
    assert "hits from 1 event," in named["evidence"].iloc[2]
    assert named["evidence"].iloc[2].startswith("50 % of all frames")


def test_few_independent_shifts_are_said() -> None:
    table = make_table(ASSOCIATED, ASSOCIATED).assign(effective_shifts=[10.6, 100.0])
    first, second = name_components(table)["evidence"]
    assert first.endswith("lie in predicted windows, q rests on about 11 independent shifts")
    assert second.endswith("lie in predicted windows")


def test_numbers_follow_the_size() -> None:
    rising = {"odds_ratio": 3.0}
    table = make_table(
        {"frames": 5}, {"frames": 900}, {**ASSOCIATED, "frames": 10}, {**ASSOCIATED, "frames": 20}, rising
    )
    named = name_components(table)
    labels = ["background 2", "background", "co-seismic 2", "co-seismic", "unattributed disturbance"]
    assert named["label"].tolist() == labels
    assert label_map(named) == dict(enumerate(labels))
    assert [is_coseismic(label) for label in labels] == [False, False, True, True, False]


def station_table(*counts: tuple[int, int]) -> pd.DataFrame:
    """Component 0 with (frames, valid frames) at each station."""
    rates = [count / valid if valid else 0 for count, valid in counts]
    return pd.DataFrame(
        {
            "component": 0,
            "channel": [f"s{i}" for i in range(len(counts))],
            "frames": [count for count, _ in counts],
            "valid_frames": [valid for _, valid in counts],
            "share": [count / sum(c for c, _ in counts) for count, _ in counts],
            "balanced_share": [rate / sum(rates) for rate in rates],
        }
    )


@pytest.mark.parametrize(
    ("counts", "kind"),
    [
        ([(81, 1000), (19, 1000)], "instrument"),
        ([(80, 1000), (20, 1000)], "background"),
        ([(100, 1000), (0, 1000)], "instrument"),
        ([(100, 1000)], "background"),  # a network of one station
        ([(100, 1000), (0, 0)], "background"),  # of two, one of which recorded nothing
        ([(900, 1000), (90, 100)], "background"),  # common everywhere, but one record is ten times longer
        ([(10, 1000), (1, 1)], "background"),  # one frame of a station with one frame
    ],
)
def test_instrument_by_station(counts: list[tuple[int, int]], kind: str) -> None:
    named = name_components(make_table({}), Evidence(stations=station_table(*counts)))
    assert named["kind"].tolist() == [kind]


def test_instrument_by_gaps_and_what_it_says() -> None:
    gaps = pd.DataFrame({"component": [0, 1, 2], "gap_share": [0.5, 0.1, 0.9], "gap_odds": [9.0, 9.0, 4.0]})
    named = name_components(make_table({}, {}, {}), Evidence(gaps=gaps))
    assert named["kind"].tolist() == ["instrument", "background", "background"]
    assert named["evidence"].iloc[0].startswith("50 % of its frames touch a gap (odds ratio 9 against other frames)")
    words = name_components(make_table({}), Evidence(stations=station_table((95, 100), (5, 100))))["evidence"].iloc[0]
    assert words.startswith("95 % of its frames at s0 alone; odds ratio 1")


@pytest.mark.parametrize(
    ("excess", "r", "kind"),
    [
        ([1.0, 0.8, 0.0], 0.6, "microseism"),
        ([1.0, 0.8, -5.0], 0.6, "microseism"),
        ([1.0, np.nan, 0.2], 0.6, "microseism"),
        ([1.0, 0.8, 0.6], 0.6, "background"),  # a quarter of the excess outside the band
        ([0.1, 0.1, 0.0], 0.6, "background"),  # hardly any excess
        ([-1.0, -0.8, -0.5], 0.6, "background"),
        ([1.0, 0.8, 0.0], 0.2, "background"),
        ([1.0, 0.8, 0.0], math.nan, "background"),
    ],
)
def test_microseism(excess: list[float], r: float, kind: str) -> None:
    evidence = Evidence(excess=pd.DataFrame([excess], columns=[3.0, 10.0, 60.0]), microseism={0: r})
    named = name_components(make_table({}), evidence)
    assert named["kind"].tolist() == [kind]
    if kind == "microseism":
        assert "(r=0.60)" in named["evidence"].iloc[0]
        assert "2 to 20 s (up to a factor 2.7)" in named["evidence"].iloc[0]


def test_order_of_the_rules() -> None:
    """Co-seismic goes before instrument, instrument before microseism, microseism before background."""
    evidence = Evidence(
        stations=station_table((100, 100), (0, 100)),
        excess=STORMY,
        microseism={0: 0.9, 1: 0.9},
    )
    assert name_components(make_table(ASSOCIATED, {}), evidence)["kind"].tolist() == ["co-seismic", "background"]
    assert name_components(make_table({}, {}), evidence)["kind"].tolist() == ["instrument", "background"]


def test_settings_are_used() -> None:
    lax = NamingSettings(coseismic_events=1, coseismic_odds=2.0, coseismic_q=0.5, background_odds=0.5)
    table = make_table({"odds_ratio": 2.0, "q_value": 0.3, "distinct_events": 1}, {})
    assert name_components(table, None, lax)["kind"].tolist() == ["co-seismic", "unattributed disturbance"]


def test_an_incomplete_table_is_refused() -> None:
    with pytest.raises(GravdaskError, match="lacks the columns q_value"):
        name_components(make_table({}).drop(columns="q_value"))


def test_no_label_claims_more_than_was_tested() -> None:
    """No name or evidence speaks of anything that comes before an earthquake."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "odds_ratio": float(rng.choice([0.1, 2.0, 20.0, math.nan])),
            "q_value": float(rng.choice([0.001, 0.5])),
            "distinct_events": int(rng.integers(0, 6)),
        }
        for _ in range(40)
    ]
    named = name_components(make_table(*rows))
    text = " ".join([*named["label"], *named["evidence"]]).lower()
    assert not any(word in text for word in ("precurs", "pre-earthquake", "candidate", "forecast", "predicts"))

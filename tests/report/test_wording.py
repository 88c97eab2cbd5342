"""Numbers and findings in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gravdask.report import wording
from gravdask.report.data import ReportData


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.0004, "< 0.1 %"),
        (0.047, "4.7 %"),
        (0.72, "72 %"),
        (0.9999, "99.9 %"),
        (1.0, "100 %"),
        (np.nan, "–"),
    ],
)
def test_shares_are_never_rounded_to_all_or_nothing(share: float, text: str) -> None:
    assert wording.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0009, "< 0.001"), (0.001, "0.001"), (0.0494, "0.049"), (1.0, "1.000"), (None, "–")]
)
def test_probabilities(value: float | None, text: str) -> None:
    assert wording.probability(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4, "0.40"), (48.24, "48.2"), (1234.0, "1\u202f234"), (float("inf"), "∞"), (float("nan"), "–")],
)
def test_ratios(value: float, text: str) -> None:
    assert wording.ratio(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(12345.0, "12\u202f300"), (0.001234, "0.00123"), (0.0, "0"), (3.2e9, "3.20e+09")]
)
def test_significant_digits(value: float, text: str) -> None:
    assert wording.significant(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(30.0, "30 s"), (4096.0, "68.3 min"), (86_400.0, "24 h"), (1_728_000.0, "20 days")]
)
def test_durations(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize("value", [None, float("nan"), np.float64("nan"), np.float32("nan"), pd.NA, pd.NaT])
def test_missing_values_of_every_kind(value: object) -> None:
    assert wording.missing(value)
    assert not wording.is_true(value)
    assert wording.text(value) == ""


def test_one_of_each_is_in_the_singular() -> None:
    events = pd.DataFrame(
        {
            "event_id": ["a"],
            "time_ns": [0],
            "magnitude": [7.0],
            "place": ["x"],
            "channel": ["A"],
            "distance_deg": [10.0],
            "predicted": [True],
            "seen": [True],
            "component": [1],
            "peak_acceleration": [1.0],
        }
    )
    sentences = wording.headline(ReportData(title="t", created_ns=0, version="1", store="s", events=events))
    assert (
        "Of 1 earthquake in the catalogue, 1 was predicted to stand out at one channel or more; 1 was seen "
        "(1 of 1 pair of earthquake and channel with data)." in sentences
    )

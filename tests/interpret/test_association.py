"""Association: the null of circular shifts by its definition, planted and absent associations, closed forms."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gravdask.errors import GravdaskError
from gravdask.interpret import FrameTable, associate, benjamini_hochberg, hits_per_event
from gravdask.interpret.association import correlation_length, lag_counts, odds_ratio

T = 100


def network_windows(frames: FrameTable, arrivals: np.ndarray, length: int) -> pd.DataFrame:
    """Windows of one length after the same arrivals at all channels."""
    parts = []
    for channel in frames.channels:
        part = {
            "channel": channel,
            "event_id": [f"e{i}" for i in range(len(arrivals))],
            "first_arrival_ns": arrivals.astype(np.int64),
            "end_ns": arrivals.astype(np.int64) + length,
            "predicted_acceleration": np.arange(len(arrivals), dtype=np.float64) + 1,
            "visible": True,
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def brute_counts(frames: FrameTable, windows: pd.DataFrame, component: int | None, parts: int) -> list[int]:
    """Frames of a component (None: valid frames) in the windows moved by every lag, straight from the definition."""
    span = frames.n_frames * frames.frame_ns
    counts = []
    for lag in range(frames.n_frames * parts):
        move = lag * frames.frame_ns / parts
        count = 0
        for row, channel in enumerate(frames.channels):
            hit = set()
            for window in windows[(windows["channel"] == channel) & windows["visible"]].itertuples():
                begin = max(Fraction(int(window.first_arrival_ns) - frames.start_ns), Fraction(0))
                end = min(Fraction(int(window.end_ns) - frames.start_ns), span)
                if begin >= end:
                    continue
                for wrapped in (0, span):
                    for m in range(frames.n_frames):
                        start = m * frames.frame_ns
                        if start < end + move - wrapped and start + frames.frame_ns > begin + move - wrapped:
                            hit.add(m)
            labels = frames.component[row]
            count += sum(1 for m in hit if (labels[m] >= 0 if component is None else labels[m] == component))
        counts.append(count)
    return counts


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(-1, 2), min_size=7, max_size=7), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.integers(-200, 900), st.integers(1, 900)), max_size=5),
    st.sampled_from([Fraction(100), Fraction(250, 3)]),
    st.sampled_from([1, 2, 3]),
)
def test_counts_of_all_lags_by_definition(
    component: list[list[int]], spans: list[tuple[int, int, int]], frame_ns: Fraction, parts: int
) -> None:
    """Covers windows that wrap, that begin or end outside the span, that are longer than it, and that lie outside."""
    array = np.array(component, dtype=np.int8)
    frames = FrameTable(tuple(f"s{i}" for i in range(len(array))), 50, frame_ns, array, 0)
    windows = pd.DataFrame(
        {
            "channel": [f"s{row}" for row, _, _ in spans],
            "event_id": [f"e{i}" for i in range(len(spans))],
            "first_arrival_ns": np.array([begin for _, begin, _ in spans], dtype=np.int64),
            "end_ns": np.array([begin + length for _, begin, length in spans], dtype=np.int64),
            "predicted_acceleration": 1.0,
            "visible": True,
        },
        index=range(len(spans)),
    )
    inside, predicted = lag_counts(frames, windows, 3, parts)
    assert predicted.tolist() == brute_counts(frames, windows, None, parts)
    for k in range(3):
        assert inside[k].tolist() == brute_counts(frames, windows, k, parts)
    mask = frames.window_mask(windows) & frames.valid
    assert predicted[0] == mask.sum()


def test_closed_form(make_frames: Any, make_windows: Any) -> None:
    """One channel of 10 frames, 4 in windows: component 1 has 3 in and 1 out, component 0 has 1 in and 4 out."""
    frames = make_frames([1, 1, 1, 0, 0, 0, 0, 0, 1, -1])
    table = associate(frames, make_windows(("s0", "a", 1000, 1200), ("s0", "b", 1200, 1400)))
    first, second = table.iloc[0], table.iloc[1]
    assert (second["frames"], second["frames_in"], second["share_in"]) == (4, 3, 0.75)
    assert second["odds_ratio"] == pytest.approx(3 * 4 / (1 * 1))
    assert first["odds_ratio"] == pytest.approx(1 * 1 / (3 * 4))
    assert second["share_predicted"] == pytest.approx(4 / 9)
    assert second["lift"] == pytest.approx(0.75 / (4 / 9))
    assert second["odds_ratio_by_station"] == pytest.approx(12)
    assert (second["distinct_events"], first["distinct_events"]) == (2, 1)
    assert second["lags"] == 20


def test_stratified_odds_ratio_is_not_fooled_by_a_station(make_frames: Any, make_windows: Any) -> None:
    """A component that fills half of one station, and a station with many windows, with no relation in time at all."""
    many, few = [1, 0] * 10, [0] * 19 + [1]
    frames = make_frames([many, few])
    windows = make_windows(("s0", "a", 1000, 2000), ("s1", "a", 1000, 1100))
    table = associate(frames, windows)
    assert table["odds_ratio"].iloc[1] > 2
    assert table["odds_ratio_by_station"].iloc[1] < 1.1


def test_odds_ratio_cells() -> None:
    a = np.array([3.0, 3.0, 0.0, 3.0, 0.0, 2.0, 0.0, 3.0])
    b = np.array([1.0, 0.0, 2.0, 2.0, 0.0, 0.0, 2.0, 1.0])
    c = np.array([2.0, 2.0, 2.0, 0.0, 2.0, 2.0, 0.0, 0.0])
    d = np.array([8.0, 8.0, 8.0, 8.0, 8.0, 0.0, 8.0, 0.0])
    expected = [12.0, 3.5 * 8.5 / (0.5 * 2.5), 0.0, 3.5 * 8.5 / (2.5 * 0.5), np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(odds_ratio(a, b, c, d), expected)


def test_odds_ratio_against_scipy() -> None:
    rng = np.random.default_rng(2)
    tables = rng.integers(1, 50, (20, 2, 2))
    expected = [stats.contingency.odds_ratio(table, kind="sample").statistic for table in tables]
    cells = tables.reshape(20, 4).T.astype(float)
    np.testing.assert_allclose(odds_ratio(*cells), expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_against_scipy(p: list[float]) -> None:
    expected = stats.false_discovery_control(p)
    np.testing.assert_allclose(benjamini_hochberg(np.array(p)), expected, rtol=1e-12)
    holed = np.array([np.nan, *p, np.nan])
    np.testing.assert_allclose(benjamini_hochberg(holed), [np.nan, *expected, np.nan], rtol=1e-12)


def test_a_planted_association_is_found(make_frames: Any) -> None:
    rng = np.random.default_rng(11)
    size = 1300
    frames = make_frames(rng.integers(0, 4, (3, size)))
    arrivals = 1000 + np.sort(rng.integers(0, size * T, 60))
    windows = network_windows(frames, arrivals, 150)
    component = frames.component.copy()
    component[frames.window_mask(windows) & (rng.random((3, size)) < 0.6)] = 4
    component[rng.random((3, size)) < 0.01] = 4
    table = associate(make_frames(component), windows).set_index("component")
    assert table.loc[4, "q_value"] < 0.01
    assert table.loc[4, "odds_ratio"] > 5
    assert table.loc[4, "distinct_events"] > 20
    assert table.loc[4, "lags"] == 2 * size
    assert (table.loc[[0, 1, 2, 3], "odds_ratio"] < 1.1).all()


def test_p_is_uniform_without_association(make_frames: Any) -> None:
    """Components placed anyhow, clustered windows: p of seeded trials against the uniform distribution."""
    rng = np.random.default_rng(4)
    p_values = []
    for _ in range(300):
        frames = make_frames((rng.random((3, 500)) < 0.3).astype(int))
        centres = rng.integers(0, 500 * T, 20)
        arrivals = 1000 + np.concatenate([centre + rng.integers(0, 800, 3) for centre in centres])
        table = associate(frames, network_windows(frames, arrivals, 200))
        p_values.append(float(table["p_value"].iloc[1]))
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    for level in (0.02, 0.05, 0.1, 0.3):  # ties can only make p larger, so it never promises too much
        assert stats.binomtest(int(np.sum(np.array(p_values) <= level)), 300, level, "greater").pvalue > 0.01


def test_a_component_in_long_runs_is_not_significant(make_frames: Any) -> None:
    """Runs of 60 frames against swarms of windows: a test of independent frames would call a third significant."""
    rng = np.random.default_rng(8)
    shifted, independent = [], []
    for _ in range(60):
        runs = np.repeat(rng.random(15) < 0.3, 60)
        component = np.roll(runs, int(rng.integers(900))).astype(int)
        if not 0 < component.sum() < 900:
            continue
        frames = make_frames(np.stack([component, component]))
        swarm = int(rng.integers(0, 700 * T))
        arrivals = 1000 + swarm + rng.integers(0, 150 * T, 40)
        row = associate(frames, network_windows(frames, arrivals, 150)).set_index("component").loc[1]
        shifted.append(row["p_value"])
        mask, here = frames.window_mask(network_windows(frames, arrivals, 150)), frames.component == 1
        cells = [[(here & mask).sum(), (here & ~mask).sum()], [(~here & mask).sum(), (~here & ~mask).sum()]]
        independent.append(stats.fisher_exact(cells, alternative="greater").pvalue)
        assert row["correlation_time_s"] * 1e9 / T > 20
        assert row["effective_shifts"] < 60
    assert np.mean(np.array(shifted) < 0.01) <= 0.05
    assert np.mean(np.array(independent) < 0.01) > 0.15


def test_p_is_at_least_one_over_the_lags(make_frames: Any, make_windows: Any) -> None:
    frames = make_frames(np.r_[np.zeros(20), np.ones(3), np.zeros(17)])
    table = associate(frames, make_windows(("s0", "e", 3000, 3300))).set_index("component")
    assert table.loc[1, "lags"] == 80
    assert table.loc[1, "p_value"] == 1 / 80
    coarse = associate(frames, make_windows(("s0", "e", 3000, 3300)), lag_step_frames=1.0).set_index("component")
    assert coarse.loc[1, "p_value"] == 1 / 40
    assert table.loc[1, "odds_ratio"] == coarse.loc[1, "odds_ratio"] == 3.5 * 37.5 / 0.25


@pytest.mark.parametrize(
    "rows", [[], [("s0", "e", 0, 90_000)], [("s0", "e", 90_000, 91_000)], [("s9", "e", 1000, 1200)]]
)
def test_nothing_to_compare(make_frames: Any, make_windows: Any, rows: list[Any]) -> None:
    table = associate(make_frames([0, 1, 1, -1, 0]), make_windows(*rows), n_components=4)
    assert len(table) == 4
    assert table["frames"].tolist() == [2, 2, 0, 0]
    assert table[["odds_ratio", "p_value", "q_value", "odds_ratio_by_station"]].isna().all(axis=None)


def test_components_that_do_not_occur_are_no_tests(make_frames: Any, make_windows: Any) -> None:
    frames = make_frames([0, 1, 1, -1, 0, 0])
    windows = make_windows(("s0", "e", 1100, 1200))
    few, many = associate(frames, windows), associate(frames, windows, n_components=30)
    assert many["q_value"].iloc[:2].tolist() == few["q_value"].tolist()
    assert many["p_value"].iloc[2:].isna().all()
    assert associate(make_frames(np.full((1, 5), -1)), windows).empty


@pytest.mark.parametrize("step", [0.0, -0.5, 0.3, 2.0, 0.01])
def test_a_step_that_makes_no_group_is_refused(make_frames: Any, make_windows: Any, step: float) -> None:
    with pytest.raises(GravdaskError, match="lag_step_frames"):
        associate(make_frames([0, 1]), make_windows(), lag_step_frames=step)


def test_aftershocks_do_not_count_as_events_of_their_own(make_frames: Any, make_windows: Any) -> None:
    frames = make_frames([[0, 1, 1, 1, 1, 1, 1, 0, 1, 0], [0, 1, 1, -1, 0, 0, 0, 0, 0, 0]])
    windows = make_windows(
        ("s0", "main", 1100, 1600, 900.0),
        ("s0", "aftershock", 1300, 1400, 20.0),
        ("s0", "late", 1550, 1700, 30.0),
        ("s0", "unseen", 1800, 1900, 1.0, False),
        ("s1", "main", 1100, 1400, 800.0),
    )
    hits = hits_per_event(frames, windows)
    ours = hits[hits["component"] == 1]
    assert ours["event_id"].tolist() == ["main", "late"]
    assert ours["hits"].tolist() == [7, 1]
    assert ours["stations"].tolist() == [2, 1]
    assert associate(frames, windows)["distinct_events"].tolist() == [0, 2]
    assert hits_per_event(frames, make_windows()).empty


def test_correlation_length() -> None:
    rng = np.random.default_rng(3)
    valid = np.ones((2, 20_000), dtype=bool)
    assert correlation_length(rng.random((2, 20_000)) < 0.3, valid) == pytest.approx(1, abs=0.1)
    runs = np.stack([np.roll(np.repeat(rng.random(1000) < 0.3, 20), int(rng.integers(20))) for _ in range(2)])
    assert correlation_length(runs, valid) == pytest.approx(20, rel=0.15)
    holes = rng.random(valid.shape) < 0.7
    assert correlation_length(runs & holes, holes) == pytest.approx(20, rel=0.2)
    assert np.isnan(correlation_length(valid, valid))
    assert np.isnan(correlation_length(valid & False, valid & False))


def test_the_answer_does_not_depend_on_order_or_start(make_frames: Any) -> None:
    rng = np.random.default_rng(9)
    component = rng.integers(-1, 3, (3, 200))
    frames = make_frames(component)
    windows = network_windows(frames, 1000 + rng.integers(0, 200 * T, 20), 130)
    table = associate(frames, windows)
    moved = windows.assign(first_arrival_ns=windows["first_arrival_ns"] + 10**18, end_ns=windows["end_ns"] + 10**18)
    again = associate(make_frames(component, start_ns=10**18 + 1000), moved.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(table, again)


def test_lags_that_move_all_windows_into_gaps_do_not_count_as_association(make_frames: Any, make_windows: Any) -> None:
    frames = make_frames([1, 1, 0, 0, -1, -1, -1, -1, -1, -1])
    table = associate(frames, make_windows(("s0", "e", 1000, 1200)), lag_step_frames=1.0).set_index("component")
    assert table.loc[1, "odds_ratio"] == 2.5 * 2.5 / 0.25
    assert table.loc[1, "p_value"] == 1 / 10

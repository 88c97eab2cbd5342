"""How the fit stage chooses its mixture."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from gravdask.config import FitConfig
from gravdask.stages.choice import choose

Draw = Callable[[float], tuple[np.ndarray, np.ndarray]]


def drawer(n_frames: int, shares: list[float], seed: int = 0, stations: int = 2) -> Draw:
    """Three states that last for some frames each, at every station alike; notes the shares asked for."""
    generator = np.random.default_rng(seed)
    state = np.repeat(generator.integers(0, 3, n_frames // 10 + 1), 10)[:n_frames]
    centres = np.array([[0.0, 0.0], [7.0, 0.0], [0.0, 7.0]])
    rows = np.concatenate([centres[state] + generator.standard_normal((n_frames, 2)) for _ in range(stations)])
    frames = np.tile(1000 + np.arange(n_frames), stations)

    def draw(share: float) -> tuple[np.ndarray, np.ndarray]:
        shares.append(share)
        taken = generator.random(len(rows)) < share
        return rows[taken], frames[taken]

    return draw


def test_the_number_of_states_is_found() -> None:
    shares: list[float] = []
    found = choose(FitConfig(max_components=6), 4000, 2, 3, drawer(2000, shares))
    assert (found.n_components, found.covariance_type) == (3, "full")
    assert shares == [1.0]
    assert [row["n_components"] for row in found.table] == [1, 2, 3, 4, 5, 6]
    assert "held out in 4 folds of 12 stretches" in found.reason
    json.dumps(found.provenance(), allow_nan=False)


def test_many_frames_are_drawn_from() -> None:
    shares: list[float] = []
    found = choose(FitConfig(max_components=4, select_rows=1000), 4000, 2, 3, drawer(2000, shares))
    assert shares == [0.25]
    assert found.n_components == 3


def test_several_kinds_are_compared() -> None:
    found = choose(FitConfig(max_components=4, covariance_types=("full", "spherical")), 4000, 2, 3, drawer(2000, []))
    # the states are round
    assert (found.n_components, found.covariance_type) == (3, "spherical")
    assert {row["covariance_type"] for row in found.table} == {"full", "spherical"}


def test_a_given_number_is_taken_without_looking() -> None:
    def refuse(share: float) -> tuple[np.ndarray, np.ndarray]:
        pytest.fail("rows were drawn")

    found = choose(FitConfig(n_components=4), 4000, 2, 3, refuse)
    assert (found.n_components, found.table) == (4, [])
    few = choose(FitConfig(), 100, 2, 3, refuse)
    assert few.n_components == 4
    assert "too few" in few.reason


def test_a_short_time_is_not_held_out() -> None:
    found = choose(FitConfig(max_components=3), 400, 2, 60, drawer(200, []))
    assert "too short a time" in found.reason
    assert all(row["held_out"] is None for row in found.table)
    assert found.n_components <= 3

"""Traces on their channels' grids: phases, snapping, second rates, independence of order and paths."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.archive.reader import ReadOptions
from gravdask.archive.table_format import TableFormat
from gravdask.config import build_config
from gravdask.grid import DAY_NS, SECOND_NS, Grid, Rate, record_blocks
from gravdask.stages.channels import Channel
from gravdask.stages.placement import Placement, assign_names, place, span_text, whole_archive, widest
from gravdask.stages.placements import Placements
from gravdask.stages.stated import Stated, applied_clock_s, corrected, shift_ns

NAME = "XX.334.--.UGZ"
NOON = int(np.datetime64("2021-06-07T12:00:00", "ns").astype(np.int64))


def row(start_ns: int = NOON, npts: int = 100, **values: Any) -> dict[str, Any]:
    return {
        "channel": NAME, "rate": "1Hz", "path": "a.ms", "digest": "d0", "number": 0, "start_ns": start_ns, "npts": npts,
        "dtype": "int32", "decimals": 0, "kind": "gravity", "unit": None, "latitude": np.nan, "longitude": np.nan,
        "elevation": np.nan, "recipe": "",
    } | values  # fmt: skip


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([r | ({"digest": f"d{n}"} if r["digest"] == "d0" else {}) for n, r in enumerate(rows)])


def known(phase_ns: int = 0, rate: Rate | None = None, dtype: str = "int32", decimals: int = 0) -> Channel:
    return Channel(
        name=NAME, rate=rate or Rate(1, 1), phases=((0, phase_ns),), dtype=dtype, decimals=decimals, kind="gravity",
        quantity="counts", source_unit="", latitude=None, longitude=None, elevation=None, calibrations=(), pressure="",
        extent=(0, 1),
    )  # fmt: skip


# --- places -----------------------------------------------------------------------------------------------------------


def test_a_trace_stands_where_its_time_says() -> None:
    plan = place(NAME, Rate(1, 1), table(row(NOON + 69_538_000)), None)
    (placement,) = plan.placements
    grid = Grid(Rate(1, 1), 69_538_000)
    assert plan.phases == [(0, 69_538_000)]
    assert grid.time_ns(placement.start) == NOON + 69_538_000
    assert placement.stop - placement.start == placement.npts == 100
    assert plan.notes == []


def test_the_phase_is_that_of_the_earliest_trace() -> None:
    plan = place(NAME, Rate(1, 1), table(row(NOON + 5 * SECOND_NS + 300_000), row(NOON + 200_000)), None)
    assert plan.phases == [(0, 200_000)]


def test_the_phase_of_the_store_is_kept() -> None:
    plan = place(NAME, Rate(1, 1), table(row(NOON + 3_000_000)), known(phase_ns=1_000_000))
    assert plan.phases == [(0, 1_000_000)]
    assert plan.notes == [f"{NAME}: 1 traces snapped to the channel's grid, by 0.002000 s at most"]


@pytest.mark.parametrize("rate", [Rate(1, 1), Rate(100, 1), Rate(1, 60)], ids=str)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_hundredth_of_an_interval_is_snapped_and_no_more(rate: Rate, sign: int) -> None:
    interval = int(rate.interval_ns)
    step = 1000 * interval
    base = NOON + 4 * interval // 10
    near = place(NAME, rate, table(row(base), row(base + step + sign * interval // 100)), None)
    first, second = near.placements
    assert (near.phases, second.start - first.start) == ([(0, 4 * interval // 10)], 1000)
    assert near.notes == [f"{NAME}: 1 traces snapped to the channel's grid, by {interval / 100 * 1e-9:.6f} s at most"]
    far = place(NAME, rate, table(row(base), row(base + step + sign * (interval // 100 + 1))), None)
    first, second = far.placements
    assert far.phases == [(0, 4 * interval // 10), (second.start, 4 * interval // 10 + sign * (interval // 100 + 1))]
    assert second.start - first.start == 1000
    assert len(far.notes) == 1
    assert "the samples stand" in far.notes[0]


def test_a_change_of_phase_is_reported_with_its_time() -> None:
    later = NOON + DAY_NS + 250_000_000
    plan = place(NAME, Rate(1, 1), table(row(NOON), row(later)), None)
    (note,) = plan.notes
    assert note.startswith(f"{NAME}: from 2021-06-08T12:00:00")
    assert note.endswith(" the samples stand +0.250000 s off whole intervals")
    assert plan.phases == [(0, 0), (plan.placements[1].start, 250_000_000)]
    assert Grid(Rate(1, 1), 250_000_000).time_ns(plan.placements[1].start) == later


def test_a_phase_that_comes_back_is_a_span_of_its_own() -> None:
    starts = [NOON, NOON + DAY_NS + 300_000_000, NOON + 2 * DAY_NS + 300_000_000, NOON + 3 * DAY_NS]
    plan = place(NAME, Rate(1, 1), table(*(row(s) for s in starts)), None)
    assert [phase for _, phase in plan.phases] == [0, 300_000_000, 0]
    assert [first for first, _ in plan.phases[1:]] == [plan.placements[1].start, plan.placements[3].start]


def test_a_slow_drift_is_followed_by_new_phases_not_by_accumulated_snapping() -> None:
    """No sample may end farther than a hundredth of an interval from its true time."""
    starts = [NOON + n * DAY_NS + n * 3_000_000 for n in range(30)]
    plan = place(NAME, Rate(1, 1), table(*(row(s) for s in starts)), None)
    for start, placement in zip(starts, plan.placements, strict=True):
        phase = [p for first, p in plan.phases if first <= placement.start][-1]
        assert abs(Grid(Rate(1, 1), phase).time_ns(placement.start) - start) <= 10_000_000
    assert 5 <= len(plan.phases) <= 10


# --- second rates -----------------------------------------------------------------------------------------------------


def test_a_second_rate_is_a_channel_of_its_own() -> None:
    traces = table(row(NOON), row(NOON + DAY_NS, rate="60s"), row(NOON + 2 * DAY_NS))
    plans = whole_archive(traces, {})
    assert {p.name: (str(p.rate), len(p.placements)) for p in plans} == {
        NAME: ("1Hz", 2),
        f"{NAME}@60s": ("60s", 1),
    }


def test_the_plain_name_belongs_to_the_rate_of_the_store() -> None:
    traces = table(row(NOON), row(NOON + DAY_NS, rate="60s"))
    assert assign_names(traces, {}) == {(NAME, "1Hz"): NAME, (NAME, "60s"): f"{NAME}@60s"}
    stored = {NAME: known(rate=Rate(1, 60))}
    assert assign_names(traces, stored) == {(NAME, "1Hz"): f"{NAME}@1Hz", (NAME, "60s"): NAME}
    assert assign_names(traces[traces["rate"] == "1Hz"], stored) == {(NAME, "1Hz"): f"{NAME}@1Hz"}


# --- order and paths do not matter ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_order_of_the_scan_and_the_paths_do_not_matter(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    rows = [
        row(
            NOON + data.draw(st.integers(0, 20)) * SECOND_NS + data.draw(st.sampled_from([0, 10**6, 4 * 10**8])),
            data.draw(st.integers(1, 30)),
            digest=f"digest{n}",
            number=data.draw(st.integers(0, 3)),
            rate=data.draw(st.sampled_from(["1Hz", "60s"])),
            dtype=data.draw(st.sampled_from(["int32", "int64", "float32"])),
            unit=data.draw(st.sampled_from([None, "mGal", "m/s2"])),
            kind=data.draw(st.sampled_from(["gravity", "seismic"])),
            latitude=data.draw(st.sampled_from([np.nan, 33.5, 34.5])),
        )
        for n in range(count)
    ]
    shuffled = [r | {"path": f"elsewhere/{n}.ms"} for n, r in enumerate(data.draw(st.permutations(rows)))]
    first, second = whole_archive(pd.DataFrame(rows), {}), whole_archive(pd.DataFrame(shuffled), {})
    for plan in (*first, *second):
        plan.placements = [replace(p, path="") for p in plan.placements]
    assert first == second


def test_traces_of_one_start_are_ordered_by_digest() -> None:
    rows = [row(digest=f"d{n}") for n in range(6)]
    random.Random(1).shuffle(rows)
    plan = place(NAME, Rate(1, 1), pd.DataFrame(rows), None)
    assert [p.digest for p in plan.placements] == sorted(r["digest"] for r in rows)


# --- how numbers are kept ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "found"),
    [
        ([("int32", 0)], ("int32", 0)),
        ([("int32", 3), ("int32", 3)], ("int32", 3)),
        ([("int32", 3), ("int32", 4)], ("int64", 4)),
        ([("int32", 0), ("int64", 0)], ("int64", 0)),
        ([("int64", 2)], ("int64", 2)),
        ([("float32", 0)], ("float32", 0)),
        ([("float32", 0), ("float64", 0)], ("float64", 0)),
        ([("int32", 0), ("float32", 0)], ("float64", 0)),
        ([("int32", 4), ("float64", 0)], ("float64", 0)),
    ],
)
def test_the_widest_type_holds_all(types: list[tuple[str, int]], found: tuple[str, int]) -> None:
    assert widest(types) == found
    assert widest(reversed(types)) == found


def test_a_store_that_is_wider_stays_wider() -> None:
    plan = place(NAME, Rate(1, 1), table(row(decimals=2)), known(dtype="int64", decimals=2))
    assert (plan.dtype, plan.decimals) == ("int64", 2)
    plan = place(NAME, Rate(1, 1), table(row(decimals=3)), known(dtype="int32", decimals=2))
    assert (plan.dtype, plan.decimals) == ("int32", 3)


def test_what_files_state() -> None:
    traces = table(
        row(unit="mGal", latitude=33.0, longitude=116.0),
        row(unit="mGal", latitude=33.2),
        row(unit=None, latitude=40.0),
        row(unit="", elevation=160.0),
    )
    plan = place(NAME, Rate(1, 1), traces, None)
    assert plan.units == ("mGal",)
    assert plan.location == (33.2, 116.0, 160.0)
    assert place(NAME, Rate(1, 1), table(row()), None).location == (None, None, None)


def test_the_text_of_a_span() -> None:
    start, _ = Grid(Rate(1, 60)).locate(NOON)
    assert span_text(Rate(1, 60), start, start + 1440) == "2021-06-07T12:00:00 to 2021-06-08T12:00:00"


def test_a_placement_ends_after_its_samples() -> None:
    assert Placement("p", "d", 0, 10, 5).stop == 15


def test_of_traces_of_one_start_the_lowest_digest_decides() -> None:
    """Whichever file the scan finds first: what two files contradict each other in must not depend on it."""
    rows = [row(digest="a", kind="gravity"), row(digest="b", kind="seismic")]
    kinds = [place(NAME, Rate(1, 1), pd.DataFrame(order), None).kind for order in (rows, rows[::-1])]
    assert kinds == ["gravity", "gravity"]


# --- clocks and delays that a person states ---------------------------------------------------------------------------


def said(*entries: dict[str, Any]) -> dict[str, Stated]:
    settings = build_config({"archive": {"channels": list(entries)}}).archive
    return {NAME: Stated.of(NAME, settings, ())}


def moved(traces: pd.DataFrame, stated: dict[str, Stated], clock_s: float = 0.0, reader: str = "tsoft") -> list[int]:
    before = traces["start_ns"].to_numpy(np.int64)
    after = corrected(traces.assign(format=reader), stated, ReadOptions(clock_offset_s=clock_s))
    return [int(n) for n in after["start_ns"].to_numpy(np.int64) - before]


HOUR_NS = 3600 * SECOND_NS


def test_a_stated_clock_takes_the_place_of_the_archives() -> None:
    own = said({"pattern": "334", "clock": "+08:00"})
    assert moved(table(row(), row(NOON + DAY_NS)), own) == [-8 * HOUR_NS] * 2
    # The reader has taken the archive's clock off already; from UTC+9 to UTC+8 an hour is given back.
    assert moved(table(row()), own, clock_s=9 * 3600.0) == [HOUR_NS]
    assert moved(table(row()), own, clock_s=8 * 3600.0) == [0]
    # MiniSEED is in UTC whatever the archive's text files are in; only a clock that is stated for it moves it.
    assert moved(table(row()), own, clock_s=9 * 3600.0, reader="waveform") == [-8 * HOUR_NS]
    assert moved(table(row()), {NAME: Stated()}, clock_s=9 * 3600.0) == [0]
    assert moved(table(row(channel="XX.335.--.UGZ")), own) == [0]


def test_a_delay_is_subtracted_from_every_format() -> None:
    late = said({"pattern": NAME, "time_delay_s": 17.18}, {"pattern": "*", "time_delay_s": 99.0, "clock": "-01:30"})
    expected = -17_180_000_000 + 90 * 60 * SECOND_NS
    for reader in ("tsoft", "waveform"):
        assert moved(table(row()), late, reader=reader) == [expected]


def test_a_clock_for_a_time_moves_the_traces_whose_corrected_start_lies_in_it() -> None:
    start = "2021-06-07T04:00:00"  # noon of UTC+8
    own = said({"pattern": NAME, "clock": "+08:00", "start": start})
    shifts = moved(table(row(NOON - SECOND_NS), row(NOON), row(NOON + DAY_NS)), own)
    assert shifts == [0, -8 * HOUR_NS, -8 * HOUR_NS]
    until = said({"pattern": NAME, "clock": "+08:00", "end": start})
    assert moved(table(row(NOON - SECOND_NS), row(NOON)), until) == [-8 * HOUR_NS, 0]


def test_moved_stamps_are_told_and_so_are_files_across_a_change() -> None:
    own = said({"pattern": NAME, "clock": "+08:00", "start": "2021-06-07T04:01:00"})
    traces = table(row(NOON - HOUR_NS), row(NOON + 60 * SECOND_NS)).assign(format="tsoft")
    plan = place(NAME, Rate(1, 1), corrected(traces, own, ReadOptions()), None)
    assert plan.notes == [f"{NAME}: the stamps of 1 of 2 traces are moved by -28800 s, as [[archive.channels]] states"]
    across = said({"pattern": NAME, "time_delay_s": 1.0, "end": "2021-06-07T12:00:30"})
    plan = place(NAME, Rate(1, 1), corrected(table(row()).assign(format="tsoft"), across, ReadOptions()), None)
    assert any(
        "begins or ends within 1 traces (the first is of a.ms); each was placed as a whole" in n for n in plan.notes
    )


def test_the_clock_of_a_table_is_that_of_its_layout() -> None:
    own = said({"pattern": NAME, "clock": "+08:00"})[NAME]
    layouts = (
        TableFormat("*.cst", clock_offset_s=28800.0),
        TableFormat("*.unix", time_format="unix"),
        TableFormat("*"),
    )
    options = ReadOptions(clock_offset_s=3600.0, tables=layouts)
    applied = [applied_clock_s("table", f"a/x.{end}", options) for end in ("cst", "unix", "csv")]
    assert applied == [28800.0, 0.0, 3600.0]
    assert [shift_ns(own, NOON, a) // HOUR_NS for a in applied] == [0, -8, -7]
    assert applied_clock_s("scintrex", "a.txt", options) == 0.0


@settings(max_examples=40, deadline=None)
@given(
    hours=st.integers(-14, 14),
    delay=st.integers(0, 3600),
    starts=st.lists(st.integers(0, 10**6), min_size=1, max_size=6, unique=True),
)
def test_whole_seconds_move_every_placement_by_so_many_samples(hours: int, delay: int, starts: list[int]) -> None:
    traces = table(*(row(NOON + n * SECOND_NS, 1) for n in starts)).assign(format="waveform")
    stated = said({"pattern": NAME, "clock": f"{hours:+03d}:00", "time_delay_s": float(delay)})
    plain = whole_archive(traces, {})[0]
    plan = whole_archive(corrected(traces, stated, ReadOptions()), {}, stated)[0]
    shift = -(hours * 3600 + delay)
    assert [p.start for p in plan.placements] == [p.start + shift for p in plain.placements]
    assert plan.phases == plain.phases
    assert plan.stated == stated[NAME]


def test_a_phase_that_no_trace_stands_on_any_more_is_given_up() -> None:
    traces = table(row(NOON + 750_000_000), row(NOON + DAY_NS + 750_000_000))
    assert place(NAME, Rate(1, 1), traces, known(phase_ns=0)).phases == [(0, 750_000_000)]
    mixed = table(row(NOON + 750_000_000), row(NOON + DAY_NS))
    assert [phase for _, phase in place(NAME, Rate(1, 1), mixed, known(phase_ns=0)).phases] == [0, 750_000_000, 0]


def test_files_that_state_that_their_tide_is_gone() -> None:
    assert place(NAME, Rate(1, 1), table(row(tide_applied=True)), None).tide_applied
    assert not place(NAME, Rate(1, 1), table(row()), None).tide_applied
    plan = place(NAME, Rate(1, 1), table(row(tide_applied=True), row(NOON + DAY_NS, 300, tide_applied=False)), None)
    assert not plan.tide_applied
    assert any("of 400 samples 100 are in files whose tide has been taken out; none are" in n for n in plan.notes)


def test_another_recipe_for_the_same_file_makes_the_chunks_stale() -> None:
    rate = Rate(1, 1)
    plain, linear, nearest = (
        list(
            Placements.of(place(NAME, rate, table(row(recipe=recipe)), None).placements).runs(record_blocks(rate).chunk)
        )
        for recipe in ("", "linear 90s", "nearest 90s")
    )
    assert len(plain) == 1
    assert len({made for _, _, made in [*plain, *linear, *nearest]}) == 3

"""A channel's attributes, its times, and its numbers in physical units."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.config import PreprocessConfig
from gravdask.errors import StoreError
from gravdask.grid import Grid, Rate, record_blocks
from gravdask.preprocess.response import DigitalStage, ResponseEpoch
from gravdask.stages.channels import Calibration, Channel, chain_of, feature_channel, physical, raw_chunks
from gravdask.store.layout import missing_value

ALWAYS = (-(2**63), 2**63 - 1)
PLAIN = Channel(
    name="XX.334.--.UGZ", rate=Rate(1, 60), phases=((0, 0),), dtype="int32", decimals=3, kind="gravity",
    quantity="acceleration", source_unit="mGal", latitude=33.98, longitude=116.79, elevation=None,
    calibrations=(Calibration(*ALWAYS, 1e4, 0.0, "nm s-2"),), pressure="XX.334.--.UDO", extent=(10, 20),
)  # fmt: skip


# --- attributes -------------------------------------------------------------------------------------------------------


def test_a_channel_survives_its_attributes_as_json() -> None:
    full = replace(
        PLAIN, rate=Rate(2, 3), phases=((0, 5), (100, -7)), calibrations=(*PLAIN.calibrations, PLAIN.calibrations[0])
    )
    attributes = json.loads(json.dumps(full.to_attributes()))
    assert Channel.from_attributes(full.name, attributes) == full
    assert "name" not in attributes


def test_what_is_known_of_single_times_survives_as_json() -> None:
    stage = DigitalStage(40.0, (0.25, 0.5, 0.25), (1.0,), 0.025)
    epoch = ResponseEpoch(0, 9, 6e8, 0.02, "M/S", ((-1.0, 2.0),), ((0.0, 0.0),), 3.5, (stage,))
    full = replace(
        PLAIN,
        tide_applied=True,
        places=((0, 5, 30.0, 110.0, 20.0), (5, 9, 31.0, 111.0, None)),
        responses=(epoch, replace(epoch, start_ns=9, end_ns=20, gain=None, stages=())),
        masks=((3, 4, "maintenance"),),
        log_steps=((4, 120.5), (6, None)),
        velocity_limit=1.3e7,
    )
    attributes = json.loads(json.dumps(full.to_attributes()))
    assert Channel.from_attributes(full.name, attributes) == full
    assert hash(full) == hash(Channel.from_attributes(full.name, attributes))


def test_attributes_of_an_earlier_version_are_read() -> None:
    """A store made before a channel could have masks and responses; a channel without them is still written so."""
    attributes = PLAIN.to_attributes()
    assert not {"tide_applied", "places", "responses", "masks", "log_steps", "velocity_limit"} & set(attributes)
    found = Channel.from_attributes(PLAIN.name, attributes)
    assert (found.tide_applied, found.places, found.responses, found.masks) == (False, (), (), ())
    assert (found.log_steps, found.velocity_limit, found.recorded) == ((), None, None)


@pytest.mark.parametrize(
    "broken",
    [{"masks": [[1, 2]]}, {"responses": [{"poles": []}]}, {"places": [[0, 1, "north", 2, 3]]}, {"log_steps": 5}],
)
def test_damaged_attributes_are_refused(broken: dict[str, object]) -> None:
    with pytest.raises(StoreError, match="its attributes are not gravdask's"):
        Channel.from_attributes(PLAIN.name, PLAIN.to_attributes() | broken)


@pytest.mark.parametrize("broken", [{}, {"rate": "1Hz"}, {"phases": 3}, {"extra": 1}])
def test_attributes_of_something_else_are_refused(broken: dict[str, object]) -> None:
    attributes = PLAIN.to_attributes() | broken if broken else {}
    if "rate" in broken:
        del attributes["extent"]
    with pytest.raises(StoreError, match=r"channel XX\.334\.--\.UGZ: its attributes are not gravdask's"):
        Channel.from_attributes(PLAIN.name, attributes)


def test_names_and_places() -> None:
    assert PLAIN.station == "XX.334"
    assert PLAIN.located
    assert not replace(PLAIN, latitude=None).located
    assert PLAIN.grid == Grid(Rate(1, 60), 0)


# --- times ------------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    rate=st.sampled_from([Rate(1, 1), Rate(100, 1), Rate(1, 60), Rate(3, 1)]),
    firsts=st.lists(st.integers(1, 60), unique=True, max_size=4).map(sorted),
    phases=st.lists(st.integers(-(10**7), 10**9), min_size=5, max_size=5),
    start=st.integers(-5, 70),
    length=st.integers(0, 70),
)
def test_times_with_several_phases_by_brute_force(
    rate: Rate, firsts: list[int], phases: list[int], start: int, length: int
) -> None:
    spans = ((0, phases[0]), *zip(firsts, phases[1:], strict=False))
    channel = replace(PLAIN, rate=rate, phases=spans)
    expected = []
    for k in range(start, start + length):
        phase = spans[0][1]
        for first, value in spans[1:]:
            if k >= first:
                phase = value
        expected.append(Grid(rate, 0).time_ns(k) + phase)
    found = channel.times_ns(start, start + length)
    assert found.dtype == np.int64
    assert found.tolist() == expected


# --- physical units ---------------------------------------------------------------------------------------------------


def test_decimals_and_factor_give_physical_units() -> None:
    numbers = np.array([1234, -5, 0, 2**31 - 1], np.int32)
    np.testing.assert_allclose(physical(PLAIN, numbers, 0), numbers * 10.0, rtol=1e-15)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_the_least_integer_is_missing_and_no_other(dtype: str) -> None:
    least = int(missing_value(dtype))
    numbers = np.array([least, least + 1, 0], dtype)
    found = physical(replace(PLAIN, dtype=dtype), numbers, 0)
    assert np.isnan(found).tolist() == [True, False, False]
    assert found[1] == pytest.approx((least + 1) * 10.0)


def test_missing_floats_stay_missing() -> None:
    numbers = np.array([1.0, np.nan, 3.0], np.float32)
    found = physical(replace(PLAIN, dtype="float32", decimals=0), numbers, 0)
    np.testing.assert_array_equal(found, [1e4, np.nan, 3e4])
    assert found.dtype == np.float64


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
def test_the_callers_numbers_stay(dtype: str) -> None:
    numbers = np.array([1, 7, -3], dtype)
    copy = numbers.copy()
    physical(PLAIN, numbers, 0)
    np.testing.assert_array_equal(numbers, copy)


def test_a_large_constant_offset_keeps_its_small_digits() -> None:
    """9.8e9 nm s-2 with a tenth of one: float32 would lose it, float64 must not."""
    channel = replace(PLAIN, dtype="int64", decimals=1, calibrations=(Calibration(*ALWAYS, 1.0, 0.0, "nm s-2"),))
    numbers = np.array([98_000_000_001, 98_000_000_002], np.int64)
    assert np.diff(physical(channel, numbers, 0))[0] == pytest.approx(0.1, rel=1e-4)


def test_a_channel_without_calibration_keeps_its_numbers() -> None:
    found = physical(replace(PLAIN, calibrations=(), decimals=1), np.array([15, -5], np.int32), 0)
    np.testing.assert_allclose(found, [1.5, -0.5])


def test_offsets_are_added_after_the_factor() -> None:
    channel = replace(PLAIN, decimals=0, calibrations=(Calibration(*ALWAYS, 2.0, -3.0, "hPa"),))
    np.testing.assert_array_equal(physical(channel, np.array([10, 20], np.int32), 0), [17.0, 37.0])


def test_each_epoch_has_its_own_calibration() -> None:
    """The edge belongs to the later epoch; times are those of the samples, phase and all."""
    channel = replace(PLAIN, rate=Rate(1, 1), phases=((0, 250_000_000),), decimals=0)
    edge = channel.grid.time_ns(103)
    early = Calibration(ALWAYS[0], edge, 2.0, 0.0, "nm s-2")
    late = Calibration(edge, ALWAYS[1], 3.0, 1.0, "nm s-2")
    found = physical(replace(channel, calibrations=(early, late)), np.full(6, 10, np.int32), 100)
    np.testing.assert_array_equal(found, [20, 20, 20, 31, 31, 31])
    moved = replace(late, start_ns=edge + 1), replace(early, end_ns=edge + 1)
    found = physical(replace(channel, calibrations=moved), np.full(6, 10, np.int32), 100)
    np.testing.assert_array_equal(found, [20, 20, 20, 20, 31, 31])


def test_a_record_is_calibrated_the_same_however_it_is_cut() -> None:
    edge = PLAIN.grid.time_ns(50)
    epochs = (Calibration(ALWAYS[0], edge, 2.0, 1.0, "nm s-2"), Calibration(edge, ALWAYS[1], 3.0, 0.0, "nm s-2"))
    channel = replace(PLAIN, calibrations=epochs)
    numbers = np.random.default_rng(0).integers(-1000, 1000, 100).astype(np.int32)
    whole = physical(channel, numbers, 0)
    for cut in (1, 49, 50, 51):
        parts = [physical(channel, numbers[:cut], 0), physical(channel, numbers[cut:], cut)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_samples_outside_every_epoch_have_no_physical_value() -> None:
    edges = [PLAIN.grid.time_ns(k) for k in (2, 4)]
    epochs = (
        Calibration(ALWAYS[0], edges[0], 2.0, 0.0, "nm s-2"),
        Calibration(edges[1], ALWAYS[1], 3.0, 0.0, "nm s-2"),
    )
    found = physical(replace(PLAIN, decimals=0, calibrations=epochs), np.full(6, 10, np.int32), 0)
    np.testing.assert_array_equal(found, [20, 20, np.nan, np.nan, 30, 30])


# --- chunks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (69_119, 69_121), (-100, 5), (-100, -5), (69_120, 138_240)])
def test_chunks_that_hold_a_span(start: int, stop: int) -> None:
    chunk = record_blocks(PLAIN.rate).chunk
    assert chunk == 69_120
    touched = {k // chunk for k in range(start, stop) if k >= 0}
    assert set(raw_chunks(PLAIN, start, stop)) == touched


# --- the chain --------------------------------------------------------------------------------------------------------


def test_the_steps_that_a_record_goes_through() -> None:
    fixed = PreprocessConfig()
    assert [name for name, _ in chain_of(PLAIN, fixed)] == ["calibrate", "spikes", "drift", "tide", "pressure"]
    assert [name for name, _ in chain_of(PLAIN, fixed, features=False)] == ["calibrate", "tide", "pressure"]
    noted = replace(PLAIN, masks=((0, 1, "x"),), log_steps=((5, 1.0),), tide_applied=True, pressure="")
    names = ["calibrate", "masks", "spikes", "steps", "drift"]
    assert [name for name, _ in chain_of(noted, fixed)] == names
    off = PreprocessConfig(masks=False, spikes=False, steps=False, drift=False)
    assert [name for name, _ in chain_of(noted, off)] == ["calibrate"]
    epoch = ResponseEpoch(*ALWAYS, 6e8, 1.0, "M/S", poles=((-1.0, 0.0),), zeros=((0.0, 0.0),))
    fast = replace(PLAIN, rate=Rate(100, 1), kind="seismic", quantity="counts", responses=(epoch,))
    chain = chain_of(feature_channel(fast, fixed), fixed)
    assert [name for name, _ in chain] == ["decimate", "response"]
    assert all(halo > 1000 for _, halo in chain)

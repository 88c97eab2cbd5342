"""What is taken as a record, and what is refused."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from gravdask.errors import ScatteringError
from gravdask.scattering import ScatteringNetwork

NETWORK = ScatteringNetwork(1.0, 4, 4, 64, pooling="mean", segment_frames=20)
RECORD = np.random.default_rng(0).standard_normal(3000)


def values(record: Any, **options: Any) -> np.ndarray:
    """Coefficients of a record."""
    found = NETWORK.transform_record(record, **options).compute(scheduler="synchronous")
    return np.asarray(found.coefficients.values)


def test_what_a_mask_hides_is_missing() -> None:
    hidden = np.zeros(3000, dtype=bool)
    hidden[1000:1400] = True
    plain = np.where(hidden, np.nan, RECORD)
    expected = values(plain)
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(values(np.ma.array(RECORD, mask=hidden)), expected)
    counts = np.round(1000 * RECORD).astype(np.int32)
    masked = np.ma.array(np.where(hidden, -(2**31), counts).astype(np.int32), mask=hidden)
    expected = values(np.where(hidden, np.nan, counts.astype(float)))
    np.testing.assert_array_equal(values(masked), expected)
    np.testing.assert_array_equal(values(da.from_array(masked, chunks=700)), expected)
    window = np.zeros(NETWORK.window_samples)
    window[:3000] = RECORD[: window.size]
    mask = np.zeros(window.size, dtype=bool)
    mask[200:400] = True
    one, _ = NETWORK.transform_window(np.ma.array(window, mask=mask))
    np.testing.assert_array_equal(one, NETWORK.transform_window(np.where(mask, np.nan, window))[0])
    assert np.isnan(NETWORK.transform(np.ma.array(window, mask=mask))).all()


def test_time_may_be_named_anywhere() -> None:
    three = np.random.default_rng(1).standard_normal((3, 3000))
    names = {"component": ["Z", "N", "E"]}
    times = np.datetime64("2011-03-11T05:46:00", "ns") + np.arange(3000) * np.timedelta64(1, "s")
    upright = xr.DataArray(three, dims=("component", "time"), coords=names | {"time": times})
    found = NETWORK.transform_record(upright).compute(scheduler="synchronous")
    turned = NETWORK.transform_record(upright.transpose()).compute(scheduler="synchronous")
    xr.testing.assert_identical(found, turned)
    assert found.coefficients.dims == ("component", "path", "frame")
    assert found.component.values.tolist() == ["Z", "N", "E"]
    np.testing.assert_array_equal(found.time.values, times[: 64 * found.frame.size : 64])
    np.testing.assert_array_equal(found.coefficients.values[1], values(three[1]))


def test_frames_have_the_times_of_their_samples() -> None:
    times = np.datetime64("2020-01-01", "ns") + np.arange(3000) * np.timedelta64(1, "s")
    record = xr.DataArray(RECORD, dims=("time",), coords={"time": times}, attrs={"start": 100})
    found = NETWORK.transform_record(record)
    # frame 1 begins 36 samples before the record
    assert found.frame.values[0] == 1
    assert found.time.values[0] == times[0] - np.timedelta64(36, "s")
    assert "time" not in NETWORK.transform_record(RECORD).coords


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (np.ones((3000, 3)), "more channels than samples"),
        (RECORD[:, np.newaxis], "more channels than samples"),
        (np.ones((2, 3, 4)), "got shape"),
        (np.ones(0), "got shape"),
        (RECORD + 1j, "complex128"),
        (np.array(["1.0", "2.0"]), "<U3"),
        (np.arange(10).astype("datetime64[s]"), "datetime64"),
        (None, "NoneType"),
        ("abc", "got str"),
        (xr.Dataset(), "Dataset"),
        (np.array([1.0, "x"], dtype=object), "no array of numbers"),
        (da.from_array(RECORD, chunks=500)[da.from_array(RECORD, chunks=500) > -9], "unknown sizes"),
        (7.0, "got float"),
    ],
)
def test_what_is_no_record_is_refused(record: Any, words: str) -> None:
    with pytest.raises(ScatteringError, match="transform_record takes a record") as caught:
        NETWORK.transform_record(record)
    assert words in str(caught.value)


@pytest.mark.parametrize("start", [5.9, "5", np.nan, np.datetime64("2020-01-01"), 2**70])
def test_a_start_is_a_whole_number(start: Any) -> None:
    with pytest.raises(ScatteringError, match="start is"):
        NETWORK.transform_record(RECORD, start)


def test_lists_and_objects_of_numbers_are_taken() -> None:
    expected = values(RECORD)
    np.testing.assert_array_equal(values(RECORD.tolist()), expected)
    np.testing.assert_array_equal(values(RECORD.astype(object)), expected)
    np.testing.assert_array_equal(values(RECORD, start=np.int32(0)), expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("1", 5, 4), "sampling_rate"),
        ((None, 5, 4), "sampling_rate"),
        ((True, 5, 4), "sampling_rate"),
        ((1.0, 20, 4), "J is 20; expected at most 16"),
        ((1.0, 5, 4, 2**40), "T is"),
        ((1.0, 5, 4, 64, True), "max_order"),
    ],
)
def test_networks_that_no_memory_holds_are_refused(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ScatteringError, match="scattering network") as caught:
        ScatteringNetwork(*arguments)
    assert words in str(caught.value)

"""Whole records: the same values whatever the segments, the chunks and the record's beginning."""

from __future__ import annotations

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import ScatteringError
from gravdask.scattering import (
    ScatteringNetwork,
    segment_window,
    segments_covering,
    transform_record,
    transform_span,
)
from gravdask.scattering.blocks import reader_of

T = 256


def make(pooling: str = "mean", **changes: object) -> ScatteringNetwork:
    """A small network."""
    return ScatteringNetwork(1.0, 5, 8, T, pooling=pooling, **changes)


def compute(network: ScatteringNetwork, record: object, start: int | None = None) -> xr.Dataset:
    """Transform a record in this thread."""
    return transform_record(network, record, start).compute(scheduler="synchronous")


def largest_change(one: np.ndarray, other: np.ndarray) -> float:
    """Largest |change of log S| in orders 1 and 2; both must be missing in the same places."""
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    given = np.isfinite(one[1:])
    return float(np.max(np.abs(np.log(one[1:][given].astype(float) / other[1:][given].astype(float)))))


@pytest.fixture(scope="module")
def gappy(noise: np.ndarray) -> np.ndarray:
    """Red noise with a drift, an offset and gaps of every kind, 40,000 samples."""
    white = noise[:40_000]
    record = 5.9e7 + 1e-4 * np.arange(white.size) + white + 0.02 * np.cumsum(white)
    for start, length in [(0, 100), (3000, 1), (5000, 4), (9000, 20), (12_345, 1000), (16_383, 2), (30_000, 24)]:
        record[start : start + length] = np.nan
    return record


def test_the_frames_are_those_the_record_touches(noise: np.ndarray) -> None:
    result = compute(make(), noise[:1000], start=5 * T - 10)
    assert result.coefficients.dims == ("path", "frame")
    assert result.frame.values.tolist() == [4, 5, 6, 7, 8]
    np.testing.assert_allclose(result.valid_fraction, np.array([10, 256, 256, 256, 222]) / T)
    assert np.isnan(result.coefficients.values[:, [0, 4]]).all()
    assert np.isfinite(result.coefficients.values[:, 1:4]).all()


def test_paths_and_identity_are_attached(noise: np.ndarray) -> None:
    network = make()
    result = transform_record(network, noise[:1000])
    for name in ("order", "frequency_1", "frequency_2", "reach"):
        np.testing.assert_array_equal(result[name], network.paths[name])
        assert result[name].dims == ("path",)
    assert result.attrs["network"] == network.digest
    assert isinstance(result.coefficients.data, dask.array.Array)
    assert result.coefficients.dtype == result.valid_fraction.dtype == np.float32


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    def refuse() -> np.ndarray:
        raise AssertionError

    lazy = dask.array.from_delayed(dask.delayed(refuse)(), (10_000_000,), dtype=np.float64)
    assert transform_record(make(), lazy).coefficients.shape[1] == -(-10_000_000 // T)


def test_the_start_comes_from_the_record_unless_told(noise: np.ndarray) -> None:
    record = xr.DataArray(noise[:2000], dims="time", attrs={"start": 512})
    assert compute(make(), record).frame.values[0] == 2
    assert compute(make(), record, start=0).frame.values[0] == 0
    assert make().transform_record(record).frame.values[0] == 2


def test_components_of_a_station_are_transformed_like_single_records(noise: np.ndarray) -> None:
    samples = noise[: 3 * 20_000].reshape(3, 20_000).copy()
    samples[1, 5000:6000] = np.nan
    record = xr.DataArray(
        dask.array.from_array(samples, chunks=(2, 7000)),
        dims=("component", "time"),
        coords={"component": ["Z", "N", "E"]},
        attrs={"start": 777},
    )
    together = compute(make(), record)
    assert together.coefficients.dims == ("component", "path", "frame")
    for number, name in enumerate("ZNE"):
        alone = compute(make(), samples[number], start=777)
        xr.testing.assert_identical(together.sel(component=name, drop=True), alone)
    assert compute(make(), samples).coefficients.dims == ("channel", "path", "frame")


@pytest.mark.parametrize("record", [np.zeros((2, 3, 1000)), np.zeros(0), np.zeros((3, 0)), np.float64(1.0)])
def test_a_record_of_another_shape_is_refused(record: np.ndarray) -> None:
    with pytest.raises(ScatteringError, match="at least one sample"):
        transform_record(make(), record)


@pytest.mark.parametrize("pooling", ["mean", "median", "max", "lowpass"])
def test_the_middle_of_a_record_is_that_of_the_plain_transform(pooling: str, noise: np.ndarray) -> None:
    network = make(pooling)
    record, plain = compute(network, noise[:65536]), network.transform(noise[:65536])
    inner = slice(20, 236)
    assert largest_change(record.coefficients.values[:, inner], plain[:, inner]) < 1e-5


@pytest.mark.parametrize("chunks", [40_000, 7777, 1000, (1, 39_999), (12_345, 5, 27_650)])
def test_chunks_change_not_a_bit(chunks: object, gappy: np.ndarray) -> None:
    network = make()
    chunked = compute(network, dask.array.from_array(gappy, chunks=(chunks,)))
    xr.testing.assert_identical(chunked, compute(network, xr.DataArray(gappy, dims="time")))


@pytest.mark.parametrize("pooling", ["mean", "median", "max", "lowpass"])
def test_segments_change_nothing(pooling: str, gappy: np.ndarray) -> None:
    reference = compute(make(pooling), gappy, start=100)
    assert np.isfinite(reference.coefficients).any()
    for frames in (1, 3, 8, 40):
        other = compute(make(pooling, segment_frames=frames), gappy, start=100)
        assert largest_change(other.coefficients.values, reference.coefficients.values) < 1e-4
        np.testing.assert_allclose(other.valid_fraction, reference.valid_fraction, atol=1e-6)
        np.testing.assert_allclose(other.coefficients[0], reference.coefficients[0], rtol=1e-6)


def test_a_record_moved_by_whole_frames_moves_its_frames(gappy: np.ndarray) -> None:
    network = make()
    one, other = compute(network, gappy), compute(network, gappy, start=7 * T)
    assert (other.frame.values == one.frame.values + 7).all()
    assert largest_change(one.coefficients.values, other.coefficients.values) < 1e-4


def test_a_record_in_two_parts_is_the_whole_away_from_the_cut(gappy: np.ndarray) -> None:
    network = make()
    whole = compute(network, gappy)
    cut = 20_000
    late = compute(network, gappy[cut:], start=cut)
    reach = int(np.ceil(network.halo / T)) + 1
    beyond = late.frame.values[reach:]
    one, other = (d.coefficients.sel(frame=beyond).values for d in (whole, late))
    assert largest_change(one, other) < 1e-4


@settings(max_examples=15, deadline=None)
@given(
    gaps=st.lists(st.tuples(st.integers(0, 19_999), st.integers(1, 400)), max_size=10),
    frames=st.integers(1, 60),
    start=st.integers(-5000, 5000),
    chunks=st.lists(st.integers(1, 9000), min_size=1, max_size=3),
)
def test_random_gaps_segments_and_chunks(
    gaps: list[tuple[int, int]], frames: int, start: int, chunks: list[int]
) -> None:
    white = np.random.default_rng(1).standard_normal(20_000)
    record = white + 0.02 * np.cumsum(white)
    for at, length in gaps:
        record[at : at + length] = np.nan
    cuts = (*chunks, 20_000 - sum(chunks)) if sum(chunks) < 20_000 else (20_000,)
    one = compute(make(), record, start)
    other = compute(make(segment_frames=frames), dask.array.from_array(record, chunks=(cuts,)), start)
    if np.isfinite(one.coefficients).any():
        assert largest_change(one.coefficients.values, other.coefficients.values) < 1e-4


def test_a_span_is_yielded_segment_by_segment_on_absolute_boundaries(noise: np.ndarray) -> None:
    network = make(segment_frames=8)
    asked = []

    def read(first: int, last: int) -> np.ndarray:
        asked.append((first, last))
        return reader_of(noise, 0)(first, last)

    parts = list(transform_span(network, read, 5, 21))
    assert [(p.first_frame, p.coefficients.shape[1]) for p in parts] == [(5, 3), (8, 8), (16, 5)]
    assert asked == [segment_window(network, s) for s in segments_covering(network, 5, 21)]
    assert asked[1] == (8 * T - network.halo, 16 * T + network.halo)
    whole = compute(network, noise)
    joined = np.concatenate([p.coefficients for p in parts], axis=1)
    np.testing.assert_array_equal(joined, whole.coefficients.values[:, 5:21])


def test_the_reader_gives_nan_outside_the_record() -> None:
    read = reader_of(np.arange(5), start=10)
    np.testing.assert_array_equal(read(8, 12), [np.nan, np.nan, 0, 1])
    np.testing.assert_array_equal(read(13, 17), [3, 4, np.nan, np.nan])
    assert np.isnan(read(-5, 3)).all()


def test_many_tasks_make_one_record(noise: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make(segment_frames=64)
    one = compute(network, noise, start=-3000)
    monkeypatch.setattr("gravdask.scattering.blocks.TASK_SAMPLES", 1)
    lazy = transform_record(network, noise, start=-3000)
    assert lazy.coefficients.data.npartitions > 5
    xr.testing.assert_identical(lazy.compute(scheduler="synchronous"), one)


@pytest.mark.real
@pytest.mark.parametrize("pooling", ["mean", "lowpass"])
@pytest.mark.parametrize("place", [2, 128, 250])
def test_a_block_edge_beside_a_great_earthquake_changes_nothing(
    pooling: str, place: int, great_earthquake: np.ndarray
) -> None:
    # the record is laid so that the peak of the M9.1 is this many samples into frame 840: an edge of segments of 1, 2,
    # 3, 5, 7, 8 and 20 frames alike
    start = 840 * T + place - int(np.argmax(np.abs(great_earthquake)))
    read = reader_of(great_earthquake, start)

    def around(frames: int) -> np.ndarray:
        network = make(pooling, segment_frames=frames)
        return np.concatenate([s.coefficients for s in transform_span(network, read, 800, 880)], axis=1)

    reference = around(48)  # 816 to 864
    for frames in (1, 3, 5, 8, 20):
        assert largest_change(around(frames), reference) < 1e-4


@pytest.mark.real
@pytest.mark.slow
def test_the_default_network_beside_a_great_earthquake(great_earthquake: np.ndarray) -> None:
    start = 210 * 4096 + 50 - int(np.argmax(np.abs(great_earthquake)))
    read = reader_of(great_earthquake, start)

    def around(frames: int | None) -> np.ndarray:
        network = ScatteringNetwork.from_preset("gravity-1s", segment_frames=frames)
        return np.concatenate([s.coefficients for s in transform_span(network, read, 200, 220)], axis=1)

    reference = around(None)
    for frames in (1, 2, 3, 5, 7, 10, 21):
        assert largest_change(around(frames), reference) < 1e-4

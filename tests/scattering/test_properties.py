"""Any network, record, gaps, chunks and types: finite or NaN as the valid fraction says, and nothing is written to."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from gravdask.errors import ScatteringError
from gravdask.scattering import ScatteringNetwork

NETWORKS = st.builds(
    lambda J, Q, T, pooling, order, frames: ScatteringNetwork(
        1.0, J, Q, T, order, pooling=pooling, segment_frames=frames
    ),
    st.one_of(st.integers(1, 4), st.tuples(st.integers(1, 4), st.integers(1, 4))),
    st.sampled_from([1, 2, 4, (3, 2)]),
    st.sampled_from([4, 8, 15, 25, 32, 50, 64, 77, 100, 128]),
    st.sampled_from(["mean", "median", "max", "lowpass"]),
    st.sampled_from([1, 2]),
    st.integers(1, 40),
)
DTYPES = st.sampled_from([np.int16, np.int32, np.float32, np.float64])


def compute(network: ScatteringNetwork, record: object, start: int = 0) -> xr.Dataset:
    """Transform a record in this thread."""
    return network.transform_record(record, start).compute(scheduler="synchronous")


def assert_sane(result: xr.Dataset, network: ScatteringNetwork) -> None:
    """Coefficients are finite and not negative exactly where the valid fraction is large enough, NaN elsewhere."""
    fraction, values = result.valid_fraction.values, result.coefficients.values
    assert ((fraction >= 0) & (fraction <= 1)).all()
    clear = np.abs(fraction - network.min_valid) > 1e-6
    usable = fraction >= network.min_valid
    assert np.isfinite(values[:, usable & clear]).all()
    assert np.isnan(values[:, ~usable & clear]).all()
    if network.pooling != "lowpass":
        assert (values[1:, usable & clear] >= 0).all()


@settings(max_examples=40, deadline=None)
@given(
    network=NETWORKS,
    samples=st.integers(1, 3000),
    start=st.integers(-3000, 3000),
    gaps=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 300)), max_size=6),
    chunk=st.integers(50, 3000),
    seed=st.integers(0, 2**31),
)
def test_any_network_any_gaps_any_chunks(
    network: ScatteringNetwork, samples: int, start: int, gaps: list[tuple[int, int]], chunk: int, seed: int
) -> None:
    record = np.random.default_rng(seed).standard_normal(samples)
    for at, length in gaps:
        record[at : at + length] = np.nan
    before = record.copy()
    whole = compute(network, record, start)
    np.testing.assert_array_equal(record, before)
    assert_sane(whole, network)
    chunked = compute(network, dask.array.from_array(record, chunks=chunk), start)
    np.testing.assert_array_equal(chunked.coefficients, whole.coefficients)
    np.testing.assert_array_equal(chunked.valid_fraction, whole.valid_fraction)
    step = network.frame_samples
    assert whole.frame.values.tolist() == list(range(start // step, -(-(start + samples) // step)))


@settings(max_examples=25, deadline=None)
@given(network=NETWORKS, dtype=DTYPES, stride=st.sampled_from([1, 2, -1]), offset=st.integers(-3000, 3000))
def test_any_type_of_number_however_it_lies_in_memory(
    network: ScatteringNetwork, dtype: type, stride: int, offset: int
) -> None:
    values = np.random.default_rng(1).standard_normal(1500 * abs(stride)) * 4000 + offset
    samples = values.astype(dtype)[::stride]
    before = samples.copy()
    samples.flags.writeable = False
    found = compute(network, samples)
    np.testing.assert_array_equal(samples, before)
    np.testing.assert_array_equal(found.coefficients, compute(network, before.astype(np.float64)).coefficients)
    assert_sane(found, network)
    swapped = before.astype(before.dtype.newbyteorder(">"))
    np.testing.assert_array_equal(found.coefficients, compute(network, swapped).coefficients)


@settings(max_examples=25, deadline=None)
@given(network=NETWORKS, samples=st.integers(1, 400))
def test_transform_takes_records_of_any_length_from_a_frame_on(network: ScatteringNetwork, samples: int) -> None:
    record = np.random.default_rng(samples).standard_normal(samples)
    if samples < network.T:
        with pytest.raises(ScatteringError, match=f"record length is {samples}"):
            network.transform(record)
        return
    found = network.transform(record)
    assert found.shape[0] == network.n_paths
    assert found.shape[1] >= 1
    assert np.isfinite(found).all()


@pytest.mark.parametrize("pooling", ["mean", "lowpass"])
@pytest.mark.parametrize("T", [2, 3, 4, 5])
def test_the_shortest_frames(T: int, pooling: str) -> None:
    network = ScatteringNetwork(1.0, 2, 2, T, pooling=pooling, segment_frames=50)
    assert_sane(compute(network, np.random.default_rng(0).standard_normal(500)), network)


@pytest.mark.parametrize("pooling", ["mean", "median", "max", "lowpass"])
def test_wavelets_far_longer_than_the_record(pooling: str) -> None:
    # what lies outside the record is a gap: whole frames are given, and long wavelets see a flat continuation
    network = ScatteringNetwork(1.0, 9, 2, 64, pooling=pooling, segment_frames=20)
    result = compute(network, np.random.default_rng(0).standard_normal(640))
    assert_sane(result, network)
    assert np.isfinite(result.coefficients).all(axis=0).any()
    assert float(np.nanmax(np.abs(result.coefficients))) < 10.0


@pytest.mark.parametrize("pooling", ["mean", "median", "max", "lowpass"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38])
def test_a_record_of_nothing_but_bad_samples_is_nan(bad: float, pooling: str) -> None:
    network = ScatteringNetwork(1.0, 3, 2, 32, pooling=pooling, segment_frames=8)
    result = compute(network, np.full(500, bad))
    assert np.isnan(result.coefficients).all()
    assert (result.valid_fraction == 0).all()
    assert np.isnan(network.transform(np.full(500, bad))).all()


@pytest.mark.parametrize("bad", [np.inf, -np.inf, 1e38, -1e300])
def test_infinite_samples_are_missing_ones(bad: float) -> None:
    network = ScatteringNetwork(1.0, 3, 2, 32, pooling="mean", segment_frames=8)
    record = np.random.default_rng(0).standard_normal(1000)
    record[[100, 500, 501]] = bad
    missing = np.where(np.abs(record) > 100, np.nan, record)
    xr.testing.assert_identical(compute(network, record), compute(network, missing))


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_sampling_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ScatteringError, match="sampling_rate is"):
        ScatteringNetwork(rate, 5, 8)


@pytest.mark.parametrize(
    ("J", "Q", "order", "message"),
    [
        ((5, 5, 5), 8, 2, "J is"),
        ((5,), 8, 2, "J is"),
        ((5, 6), 8, 3, "J is"),
        ((5, 0), 8, 2, "J is 0"),
        ((5, 2.5), 8, 2, "J is 2.5"),
        (5, (), 2, "Q is"),
        (5, (8, 1, 1, 1), 3, "Q is"),
        (5, (8, 0), 2, "Q is 0"),
        (True, 8, 2, "J is True"),
        (5, 8, 0, "max_order is 0"),
    ],
)
def test_octaves_and_wavelets_that_do_not_fit_the_orders_are_named(
    J: object, Q: object, order: int, message: str
) -> None:
    with pytest.raises(ScatteringError, match=message):
        ScatteringNetwork(1.0, J, Q, 32, order)


def test_one_number_is_the_same_as_one_an_order() -> None:
    assert ScatteringNetwork(1.0, (5, 5), 8) == ScatteringNetwork(1.0, 5, 8)
    assert ScatteringNetwork(1.0, (5, 5, 5), (8, 1, 1), max_order=3) == ScatteringNetwork(1.0, 5, 8, max_order=3)
    assert ScatteringNetwork(1.0, (4, 6), 8).T == 64
    assert ScatteringNetwork(1.0, (4, 6), 8).digest != ScatteringNetwork(1.0, (6, 4), 8).digest


@pytest.mark.parametrize("pooling", ["mean", "median", "max", "lowpass"])
@pytest.mark.parametrize("kind", ["constant", "zero", "step", "clipped", "dead", "counts"])
def test_faults_of_instruments_give_sane_numbers(kind: str, pooling: str) -> None:
    network = ScatteringNetwork(1.0, 5, 4, 64, pooling=pooling, segment_frames=64)
    noise = np.random.default_rng(0).standard_normal(8000)
    record = {
        "constant": np.full(8000, 5.9e7),
        "zero": np.zeros(8000),
        "step": noise + 1e6 * (np.arange(8000) > 4000),
        "clipped": np.clip(noise * np.where(abs(np.arange(8000) - 4000) < 500, 100.0, 1.0), -20, 20),
        "dead": np.where(abs(np.arange(8000) - 4000) < 2000, 7.0, noise),
        "counts": np.round(noise),
    }[kind]
    result = compute(network, record)
    assert_sane(result, network)
    values = result.coefficients.values[1:, result.valid_fraction.values >= 0.9]
    assert values.size
    # wavelets have unit L1 norm: no coefficient exceeds the largest sample about the mean
    assert values.max() <= np.ptp(record) + 1e-30
    if kind in {"constant", "zero"}:
        np.testing.assert_array_equal(values, 0.0)
    if kind == "dead":
        inside = result.coefficients.sel(frame=slice(60, 64)).values[1:]
        assert inside.max() < 0.2 * np.median(values.max(axis=0))


def gap_change(network: ScatteringNetwork, record: np.ndarray, gap: slice) -> float:
    """Largest relative change of what lies beyond reach of a gap and of its tapered edges."""
    whole = compute(network, record).coefficients.values
    gappy = record.copy()
    gappy[gap] = np.nan
    other = compute(network, gappy).coefficients.values
    centre = np.arange(whole.shape[1]) * network.frame_samples + network.frame_centre
    distance = np.maximum(gap.start - 32 - centre, centre - gap.stop - 32)
    beyond = distance[np.newaxis] > (network.paths.reach.values * network.sampling_rate)[:, np.newaxis]
    beyond[0] = False
    beyond &= np.isfinite(whole)
    assert beyond[1:].any(axis=1).all()
    assert np.isfinite(other[beyond]).all()
    return float(np.max(np.abs(other[beyond] / whole[beyond] - 1)))


@pytest.mark.real
@pytest.mark.parametrize("pooling", ["mean", "lowpass"])
@pytest.mark.parametrize("length", [3, 100, 5000])
def test_a_gap_in_a_record_of_an_earthquake_is_not_seen_beyond_reach(
    pooling: str, length: int, great_earthquake: np.ndarray
) -> None:
    network = ScatteringNetwork(1.0, 5, 4, 256, pooling=pooling, segment_frames=128)
    peak = int(np.argmax(np.abs(great_earthquake)))
    record = great_earthquake[peak - 60_000 : peak - 5000]
    assert gap_change(network, record, slice(30_000, 30_000 + length)) < 1e-3


@pytest.mark.real
@pytest.mark.parametrize("length", [3, 30, 300])
def test_a_gap_in_a_gravimeters_record_is_not_seen_beyond_reach(length: int, record_334: object) -> None:
    network = ScatteringNetwork.from_preset("gravity-1min", segment_frames=64)
    gravity = record_334.gravity
    first = int(np.flatnonzero(np.isfinite(gravity))[0])
    record = gravity[first : first + 30_000]
    assert np.isfinite(record).all()
    assert gap_change(network, record, slice(15_000, 15_000 + length)) < 1e-3

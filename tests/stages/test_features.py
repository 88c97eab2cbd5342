"""The chain of a record as its readers see it: responses, decimation, masks, steps, places, clipping flags."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal

from gravdask.config import Config, PreprocessConfig, build_config
from gravdask.errors import ConfigError
from gravdask.grid import ORIGIN_NS, SECOND_NS, Rate, record_blocks
from gravdask.pipeline import run
from gravdask.preprocess.response import DigitalStage, ResponseEpoch
from gravdask.preprocess.tides import tide
from gravdask.progress import Progress
from gravdask.stages import noise, scatter
from gravdask.stages.base import Context
from gravdask.stages.channels import Calibration, Channel, RecordReader, feature_channel, reach_of
from gravdask.stages.clipped import FLAT_TOP, OVER_LIMIT, clipped_frames, limit_note
from gravdask.stages.noise import daily_series, identity, refusal, span_cells, treatment
from gravdask.stages.report import noise_refused
from gravdask.stages.scatter import network_for
from gravdask.store.layout import create_array, missing_value, open_root, read_span, sub_array
from gravdask.store.ledger import Ledger

ALWAYS = (-(2**62), 2**62)
NAME = "XX.AAA.--.LHZ"
FIRST = 1_000_000
COUNT = 30_000
RESPONSE = ResponseEpoch(
    *ALWAYS, sensitivity=6e8, frequency_hz=0.05, input_unit="m/s",
    poles=((-0.037, 0.037), (-0.037, -0.037)), zeros=((0.0, 0.0), (0.0, 0.0)),
)  # fmt: skip


def channel_of(rate: Rate, **changes: Any) -> Channel:
    plain = Channel(
        name=NAME, rate=rate, phases=((0, 69_500_000),), dtype="int32", decimals=0, kind="seismic",
        quantity="velocity", source_unit="counts", latitude=30.0, longitude=110.0, elevation=50.0,
        calibrations=(Calibration(*ALWAYS, 1 / 0.6, 0.0, "nm s-1"),), pressure="", extent=(FIRST, FIRST + COUNT),
    )  # fmt: skip
    return replace(plain, **changes)


def reader_of(store: Path, channel: Channel, numbers: NDArray[np.int32], **keys: Any) -> RecordReader:
    """Write numbers into a store from sample FIRST on, and read them as a channel."""
    root = open_root(store, create=True)
    array = create_array(root.require_group(f"{NAME}/raw"), "record", record_blocks(channel.rate), ("time",), "int32")
    array[FIRST : FIRST + numbers.size] = numbers
    chosen = PreprocessConfig(**keys)
    return RecordReader(store, feature_channel(channel, chosen), None, chosen, -3.0)


@pytest.fixture(scope="module")
def counts() -> NDArray[np.int32]:
    """Noise in counts with two gaps."""
    values = np.random.default_rng(0).normal(-40_000, 2000, COUNT).astype(np.int32)
    values[8000:8900] = values[20_000] = missing_value("int32")
    return values


# --- views of channels ------------------------------------------------------------------------------------------------


def test_a_channel_used_as_recorded_is_its_own_view() -> None:
    chosen = PreprocessConfig()
    for rate in (Rate(1, 1), Rate(1, 60), Rate(2, 1)):
        plain = channel_of(rate)
        assert feature_channel(plain, chosen) is plain
        assert reach_of(plain, chosen)(5, 9) == (5, 9)
    gravity = channel_of(Rate(1, 1), kind="gravity", quantity="acceleration", responses=(RESPONSE,))
    assert feature_channel(gravity, chosen) is gravity


def test_the_view_of_a_fast_channel_keeps_its_times() -> None:
    fast = channel_of(Rate(20, 1), phases=((0, 5), (1_000_010, -7)))
    view = feature_channel(fast, PreprocessConfig())
    assert (view.rate, view.recorded, view.record, view.quantity) == (Rate(1, 1), fast, fast, "velocity")
    assert view.phases == ((0, 5), (50_001, -7))
    assert view.extent == (FIRST // 20, (FIRST + COUNT) // 20)
    k = np.arange(49_990, 50_010)
    expected = [int(fast.times_ns(int(20 * n), int(20 * n) + 1)[0]) for n in k]
    assert view.times_ns(49_990, 50_010).tolist() == expected
    assert feature_channel(view, PreprocessConfig()) == view
    assert "recorded" not in view.to_attributes()


def test_a_seismometer_with_a_response_is_seen_in_acceleration() -> None:
    plain = channel_of(Rate(1, 1), quantity="counts", calibrations=(), responses=(RESPONSE,))
    assert feature_channel(plain, PreprocessConfig()).quantity == "acceleration"
    assert refusal(plain) == ""
    off = PreprocessConfig(response=False)
    assert feature_channel(plain, off) is plain
    assert "counts" in refusal(plain, settings=off)
    broken = replace(plain, responses=(replace(RESPONSE, input_unit="V"),))
    assert feature_channel(broken, PreprocessConfig()) is broken


# --- the chain --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "response"), [(1, True), (20, False), (20, True), (1, False)])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=st.lists(st.tuples(st.integers(-500, 31_000), st.integers(1, 6000)), min_size=1, max_size=3))
def test_residuals_do_not_depend_on_the_span_asked_for(
    tmp_path: Path, counts: NDArray[np.int32], rate: int, response: bool, spans: list[tuple[int, int]]
) -> None:
    channel = channel_of(Rate(rate, 1), responses=(RESPONSE,) if response else (), masks=((0, 1, "elsewhere"),))
    reader = reader_of(tmp_path / f"{rate}{response}", channel, counts, band=(0.02, 0.0))
    origin, length = FIRST // rate, COUNT // rate
    whole = reader.residual(origin - 600, origin + length + 600)
    assert np.isfinite(whole).mean() > 0.3
    for start, size in spans:
        first = start // rate
        last = min(first + size, length + 600)
        if first < last:
            part = reader.residual(origin + first, origin + last)
            np.testing.assert_array_equal(part, whole[600 + first : 600 + last])


def test_a_residual_follows_from_what_its_reach_says(tmp_path: Path, counts: NDArray[np.int32]) -> None:
    """Whatever lies beyond the reach may change without a trace; what lies just within may not."""
    channel = channel_of(Rate(20, 1), responses=(RESPONSE,))
    reader = reader_of(tmp_path / "one", channel, counts, band=(0.02, 0.0))
    span = (FIRST // 20 + 500, FIRST // 20 + 600)
    low, high = reader.reach(*span)
    assert low < FIRST + 10_000 < FIRST + 12_000 < high
    other = np.random.default_rng(1).integers(-9, 9, COUNT).astype(np.int32)
    inside = np.arange(FIRST, FIRST + COUNT)
    other = np.where((inside >= low) & (inside < high), counts, other)
    same = reader_of(tmp_path / "two", channel, other, band=(0.02, 0.0))
    np.testing.assert_array_equal(reader.residual(*span), same.residual(*span))


def test_a_decimated_channel_is_the_decimation_of_its_record(tmp_path: Path) -> None:
    """A slow sine among fast ones, in counts: what is left is the sine, in nm/s, at the times of the view."""
    k = np.arange(COUNT)
    slow = 1000 * np.cos(2 * np.pi * 0.03 * k / 20)
    numbers = (slow + 5000 * np.cos(2 * np.pi * 3.0 * k / 20)).round().astype(np.int32)
    reader = reader_of(tmp_path, channel_of(Rate(20, 1)), numbers)
    found = reader.residual(FIRST // 20, FIRST // 20 + COUNT // 20)
    inner = slice(100, -100)
    np.testing.assert_allclose(found[inner], slow[::20][inner] / 0.6, atol=0.5)


def test_the_response_comes_out_alike_at_either_rate(tmp_path: Path) -> None:
    """Decimated and then deconvolved as deconvolved and then thinned: both are linear."""
    numbers = np.random.default_rng(3).normal(0, 5000, COUNT).astype(np.int32)
    k = np.arange(COUNT) / 20
    numbers += (4e5 * np.sin(2 * np.pi * 0.05 * k)).astype(np.int32)
    channel = channel_of(Rate(20, 1), responses=(RESPONSE,))
    fast = reader_of(tmp_path, channel, numbers, band=(0.02, 0.4), feature_rate="20Hz")
    slow = reader_of(tmp_path, channel, numbers, band=(0.02, 0.4))
    thick = fast.residual(FIRST, FIRST + COUNT)
    sos = signal.butter(8, 0.3, fs=20.0, output="sos")
    thin = signal.sosfiltfilt(sos, np.nan_to_num(thick))[::20][300:-300]
    other = signal.sosfiltfilt(
        signal.butter(8, 0.3, fs=1.0, output="sos"), np.nan_to_num(slow.residual(FIRST // 20, (FIRST + COUNT) // 20))
    )[300:-300]
    assert np.std(thin - other) < 0.01 * np.std(thin)


def test_the_operators_masks_are_gaps(tmp_path: Path, counts: NDArray[np.int32]) -> None:
    channel = channel_of(Rate(1, 1))
    edges = [int(channel.times_ns(FIRST + k, FIRST + k + 1)[0]) for k in (100, 150)]
    masked = replace(channel, masks=((*edges, "maintenance"),))
    reader = reader_of(tmp_path, masked, counts)
    lost = np.flatnonzero(np.isnan(reader.residual(FIRST, FIRST + 1000)))
    assert lost.tolist() == list(range(100, 150))
    kept = replace(reader, settings=PreprocessConfig(masks=False))
    assert np.isfinite(kept.residual(FIRST, FIRST + 1000)).all()
    assert np.isnan(reader.physical(FIRST + 149, FIRST + 151)).tolist() == [True, False]


def test_steps_spikes_and_tide_of_a_gravimeter(tmp_path: Path) -> None:
    gravity = channel_of(
        Rate(1, 1), kind="gravity", quantity="acceleration", calibrations=(Calibration(*ALWAYS, 1.0, 0.0, "nm s-2"),)
    )
    times = gravity.times_ns(FIRST, FIRST + 4000)
    earth = 1.16 * tide(times, 30.0, 110.0, 50.0)
    noise = np.random.default_rng(0).normal(0, 20, 4000)
    numbers = (1e6 + earth + noise).round()
    numbers[2000:] += 5000
    numbers[1000] += 4000
    reader = reader_of(tmp_path, gravity, numbers.astype(np.int32))
    reader = replace(reader, steps=((int(times[2000]), 5000.0),))
    clean = reader.residual(FIRST, FIRST + 4000)
    assert np.flatnonzero(np.isnan(clean)).tolist() == [1000]
    assert np.nanmax(np.abs(clean - 1e6 - noise)) < 0.51
    # Noise is measured on gravity unrepaired.
    bare = replace(reader, seams=False, steps=()).residual(FIRST, FIRST + 4000)
    assert np.isfinite(bare).all()
    assert np.median(bare[2000:]) - np.median(bare[:2000]) == pytest.approx(5000, abs=5)
    off = replace(reader, settings=PreprocessConfig(spikes=False, steps=False))
    np.testing.assert_array_equal(off.residual(FIRST, FIRST + 4000), bare)
    taken = replace(reader, channel=replace(gravity, tide_applied=True), steps=())
    np.testing.assert_allclose(taken.residual(FIRST + 10, FIRST + 20), numbers[10:20])


def test_each_place_has_its_own_tide(tmp_path: Path) -> None:
    gravity = channel_of(
        Rate(1, 60), kind="gravity", quantity="acceleration", calibrations=(Calibration(*ALWAYS, 1.0, 0.0, "nm s-2"),)
    )
    times = gravity.times_ns(FIRST, FIRST + 2000)
    edge = int(times[1200])
    moved = replace(gravity, places=((ALWAYS[0], edge, 30.0, 110.0, 50.0), (edge, ALWAYS[1], -20.0, 30.0, None)))
    reader = reader_of(tmp_path, moved, np.zeros(2000, np.int32))
    found = reader.residual(FIRST, FIRST + 2000)
    np.testing.assert_allclose(found[:1200], -1.16 * tide(times[:1200], 30.0, 110.0, 50.0), atol=1e-9)
    np.testing.assert_allclose(found[1200:], -1.16 * tide(times[1200:], -20.0, 30.0, 50.0), atol=1e-9)
    np.testing.assert_array_equal(reader.residual(FIRST + 1190, FIRST + 1210), found[1190:1210])


# --- fingerprints -----------------------------------------------------------------------------------------------------


def context_of(config: Config) -> Context:
    context = Context(config, Ledger(config.store_path / "ledger"), Progress())
    context.reload()
    return context


def test_what_does_not_apply_to_a_channel_changes_no_digest() -> None:
    plain = channel_of(Rate(1, 1))
    bare = RecordReader("", plain, None, PreprocessConfig(), -3.0)
    before = treatment(bare)
    for other in (
        replace(bare, settings=PreprocessConfig(band=(0.01, 0.1), response=False, spikes=False, masks=False)),
        replace(bare, channel=replace(plain, masks=((0, 1, "x"),), log_steps=((5, 1.0),), velocity_limit=1.0)),
    ):
        assert treatment(other) == before
    assert treatment(replace(bare, settings=PreprocessConfig(tide=False))) != before
    sensed = replace(plain, responses=(RESPONSE,))
    bands = [PreprocessConfig(), PreprocessConfig(band=(0.01, 0.1)), PreprocessConfig(response=False)]
    found = [treatment(replace(bare, channel=feature_channel(sensed, s), settings=s)) for s in bands]
    assert len(set(found)) == 3
    assert identity(feature_channel(replace(plain, rate=Rate(20, 1)), PreprocessConfig()))["recorded"] == "20Hz"


def test_a_mask_changes_the_digests_of_the_parts_that_it_touches(tmp_path: Path) -> None:
    config = build_config({"store": {"path": str(tmp_path / "x.zarr")}})
    context = Context(config, Ledger(config.store_path / "ledger"), Progress())
    plain = channel_of(Rate(1, 1))
    days = [200, 201, 202]
    start = ORIGIN_NS + 201 * 86_400 * SECOND_NS

    def cells(**changes: Any) -> dict[int, str]:
        changed = feature_channel(replace(plain, **changes), config.preprocess)
        return span_cells(context, changed, days, lambda day: (day * 86_400, (day + 1) * 86_400), beside=1)

    def stale(kind: str = "seismic", **changes: Any) -> list[int]:
        before, after = cells(kind=kind), cells(kind=kind, **changes)
        return [day for day in days if before[day] != after[day]]

    assert stale(masks=((start + 10, start + 20 * SECOND_NS, "log"),)) == [201]
    assert stale(masks=((start - 86_400 * 3 * SECOND_NS, start - 86_400 * 2 * SECOND_NS, "before"),)) == []
    assert stale(log_steps=((start + 5 * 10**13, 30.0),)) == [201, 202]
    noon = start + 43_200 * SECOND_NS
    assert stale(kind="gravity", places=((noon, noon + 1, 1.0, 2.0, None),)) == [201]


# --- clipping flags ---------------------------------------------------------------------------------------------------


def test_frames_with_clipped_samples_are_flagged(tmp_path: Path) -> None:
    k = np.arange(COUNT)
    wave = 20 * np.random.default_rng(0).normal(size=COUNT)
    wave[10_000:11_000] += 30_000 * np.sin(2 * np.pi * k[:1000] / 100)
    wave[20_000:21_000] += 8000 * np.sin(2 * np.pi * k[:1000] / 100)
    numbers = np.clip(wave, -25_000, 25_000).round().astype(np.int32) - 70_000
    first = FIRST // 256 + 1
    share = np.ones(100, np.float32)
    for fast in (1, 4):
        channel = channel_of(Rate(fast, 1), velocity_limit=8000 / 0.6)
        reader = reader_of(tmp_path / str(fast), channel, numbers, feature_rate="1Hz")
        flags = clipped_frames(reader, 256 // fast, first, first + 100, share)
        place = (np.arange(100) + first) * 256 - FIRST
        flat = (place + 255 >= 10_020) & (place < 10_980)
        over = flat | ((place + 255 >= 20_025) & (place < 20_975))
        np.testing.assert_array_equal((flags & FLAT_TOP) > 0, flat)
        np.testing.assert_array_equal((flags & OVER_LIMIT) > 0, over)
    off = replace(reader, settings=PreprocessConfig(clipping=False))
    assert not clipped_frames(off, 64, first, first + 100, share).any()
    empty = clipped_frames(reader, 64, first, first + 100, np.zeros(100, np.float32))
    assert not empty.any()


@pytest.mark.parametrize("what", ["response", "acceleration", "counts"])
def test_the_velocity_limit_whatever_the_record_holds(tmp_path: Path, what: str) -> None:
    """1 mm/s at 0.05 Hz: by its sensitivity in counts, or integrated from an acceleration."""
    k = np.arange(COUNT)
    speed = 1e6 * np.cos(2 * np.pi * 0.05 * k) * (np.abs(k - 15_000) < 3000)
    numbers = {"response": speed * 0.6, "acceleration": np.gradient(speed), "counts": speed}[what]
    quantity = "acceleration" if what == "acceleration" else "counts"
    unit = (Calibration(*ALWAYS, 1.0, 0.0, "nm s-2"),) if what == "acceleration" else ()
    responses = (RESPONSE,) if what == "response" else ()
    channel = channel_of(Rate(1, 1), quantity=quantity, calibrations=unit, responses=responses, velocity_limit=1e6)
    reader = reader_of(tmp_path, channel, numbers.round().astype(np.int32), band=(0.01, 0.0))
    flags = clipped_frames(reader, 500, FIRST // 500, FIRST // 500 + 60, np.ones(60, np.float32))
    expected = [] if what == "counts" else list(range(24, 36))
    assert set(np.flatnonzero(flags & OVER_LIMIT)) >= set(expected)
    assert set(np.flatnonzero(flags & OVER_LIMIT)) <= {e + d for e in expected for d in (-1, 0, 1)}


def test_a_limit_that_is_not_looked_at_is_told(tmp_path: Path) -> None:
    settings = PreprocessConfig()
    counts = channel_of(Rate(1, 1), quantity="counts", calibrations=(), velocity_limit=1e6)
    note = limit_note(counts, settings)
    assert note.startswith(f"{NAME}: its velocity_limit is not looked at: its record is in counts")
    assert "give its metadata, or state unit and scale" in note
    config = build_config({"store": {"path": str(tmp_path / "x.zarr")}})
    context = Context(config, Ledger(config.store_path / "ledger"), Progress())
    context.channels = {NAME: counts}
    assert note in scatter.plan(context).notes
    off = limit_note(channel_of(Rate(1, 1), velocity_limit=1e6), PreprocessConfig(clipping=False))
    assert off.endswith("preprocess.clipping is off")
    for used in (
        replace(counts, velocity_limit=None),
        replace(counts, responses=(RESPONSE,)),
        channel_of(Rate(1, 1), velocity_limit=1e6),
        replace(counts, quantity="acceleration"),
    ):
        assert limit_note(feature_channel(used, settings), settings) == ""


@pytest.mark.parametrize(
    ("keys", "reason"),
    [({}, ""), ({"response": False}, "is in velocity"), ({"band": [0.6, 0.0]}, "band")],
)
def test_the_report_refuses_noise_for_the_reason_of_the_stage(
    tmp_path: Path, keys: dict[str, Any], reason: str
) -> None:
    config = build_config({"store": {"path": str(tmp_path / "x.zarr")}, "preprocess": keys})
    context = Context(config, Ledger(config.store_path / "ledger"), Progress())
    context.channels = {NAME: channel_of(Rate(1, 1), responses=(RESPONSE,))}
    told = noise.plan(context).notes
    found = noise_refused(context)
    assert len(told) == len(found) == bool(reason)
    for text in (*told, *found.values()):
        assert reason in text


# --- through the stages -----------------------------------------------------------------------------------------------


def write_days(archive: Path, values: NDArray[np.int32], rate: float, days: range) -> None:
    """One MiniSEED file a day, from 2020-01-01 on."""
    obspy = pytest.importorskip("obspy")
    archive.mkdir(exist_ok=True)
    daily = int(86_400 * rate)
    for day in days:
        header = {"network": "XX", "station": "FAST", "channel": "BHZ", "sampling_rate": rate}
        trace = obspy.Trace(values[day * daily : (day + 1) * daily].astype(np.int32), header=header)
        trace.stats.starttime = obspy.UTCDateTime(2020, 1, 1) + 86_400 * day
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trace.write(str(archive / f"XX.FAST..BHZ.{day}.mseed"), format="MSEED")


def test_a_fast_channel_goes_through_all_stages_at_the_rate_of_its_features(tmp_path: Path) -> None:
    rate, days = 4.0, 3
    rng = np.random.default_rng(0)
    size = int(86_400 * rate) * days
    values = (np.cumsum(rng.normal(size=size)) + rng.normal(0, 200, size)).astype(np.int32)
    values[200_000:200_040] = 32_000
    write_days(tmp_path / "archive", values, rate, range(2))
    config = build_config(
        {
            "archive": {"paths": [str(tmp_path / "archive")]},
            "store": {"path": str(tmp_path / "fast.zarr")},
            "scattering": {"frame_samples": 1024},
            "fit": {"min_days": 1, "n_components": 2, "n_features": 2},
            "cluster": {"kind": "serial"},
        }
    )
    record = run(config)
    assert record.exit_code == 0
    context, root = context_of(config), open_root(config.store_path)
    (view,) = context.features()
    assert str(view.rate) == "1Hz"
    attributes = dict(root[f"{view.name}/scattering"].attrs)
    assert (attributes["rate"], attributes["frame_samples"]) == ("1Hz", 1024)

    # The coefficients of an independent decimation: one long FIR filter of SciPy's, every fourth sample.
    taps = signal.firwin(1001, 0.5, fs=rate, window=("kaiser", 10.0))
    thin = signal.oaconvolve(values[: size * 2 // 3].astype(float), taps, mode="same")[::4]
    network = network_for(view.rate, config.scattering)
    first = view.extent[0] // 1024 + 20
    offset = first * 1024 - view.extent[0]
    window = thin[offset - network.halo : offset - network.halo + network.window_samples]
    window = np.pad(window, (0, network.window_samples - window.size), constant_values=np.nan)
    expected, _ = network.transform_window(window)
    array = sub_array(root, f"{view.name}/scattering/coefficients")
    found = read_span(array, first, first + 100)
    slow = np.asarray(network.paths["frequency_1"].values) < 0.3
    np.testing.assert_allclose(found[:, slow], expected.T[:100][:, slow], rtol=0.02)

    component = read_span(sub_array(root, f"{view.name}/classes/component"), first, first + 120)
    assert set(component) == {0, 1}
    clipped = read_span(sub_array(root, f"{view.name}/scattering/clipped"), first - 20, first + 120)
    assert np.flatnonzero(clipped).tolist() == [(view.extent[0] + 200_000 // 4) // 1024 - first + 20]
    assert any("1 of 168 frames hold possibly clipped samples" in note for note in record.notes)
    again = run(config)
    assert not any(stage["done"] for stage in again.stages)
    # One more day: the segments that it reaches, and no others.
    write_days(tmp_path / "archive", values, rate, range(2, 3))
    more = run(config, stages=("convert", "scatter"))
    assert {s["stage"]: s["done"] > 0 for s in more.stages} == {"convert": True, "scatter": True}

    # Another rate makes all of it anew; what was at a place that is no more does not hinder it, there and back.
    other = build_config(config.model_dump() | {"preprocess": {"feature_rate": "4Hz"}})
    for changed, text, samples in ((other, "4Hz", 4096), (config, "1Hz", 1024)):
        changed = build_config(changed.model_dump() | {"scattering": {"frame_samples": samples}})
        assert run(changed, stages=("scatter", "fit", "classify")).exit_code == 0
        (view,) = context_of(changed).features()
        assert str(view.rate) == text
        assert dict(open_root(config.store_path)[f"{view.name}/classes"].attrs)["rate"] == text
        first, last = view.extent[0] // samples, view.extent[1] // samples
        component = read_span(sub_array(open_root(config.store_path), f"{view.name}/classes/component"), first, last)
        assert (component >= 0).mean() > 0.9


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("band", (0.0, 0.1), r"expected \[lowest, highest\]"),
        ("band", (0.1, 0.01), r"expected \[lowest, highest\]"),
        ("band", (0.1, -1.0), r"expected \[lowest, highest\]"),
        ("feature_rate", "often", "expected '1Hz'"),
        ("feature_rate", "7s", "a whole number of samples a day"),
        ("feature_rate", "0Hz", "expected '1Hz'"),
    ],
)
def test_impossible_settings_are_refused(key: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_config({"preprocess": {key: value}})


# --- noise of seismometers --------------------------------------------------------------------------------------------


def snm_by_hand(acceleration: NDArray[np.float64]) -> float:
    """Noise magnitude of a day at 1 Hz, step by step as it is defined; m s⁻² in."""
    x = np.linspace(-1, 1, acceleration.size)
    flat = acceleration - np.polynomial.legendre.legval(x, np.polynomial.legendre.legfit(x, acceleration, 9))
    weights = signal.get_window("hann", flat.size)
    power = 2 * np.abs(np.fft.rfft(flat * weights)) ** 2 / np.sum(weights**2)
    frequency = np.fft.rfftfreq(flat.size)
    band = (frequency >= 1 / 600 - 1e-9) & (frequency <= 1 / 200 + 1e-9)
    return float(np.log10(power[band].mean()) + 18.5)


@pytest.mark.real
def test_the_noise_magnitude_of_a_seismometer(real_data: Path, tmp_path: Path) -> None:
    """IU.ANMO 2010-001 through the store, against obspy's removal of the response and a magnitude by hand."""
    obspy = pytest.importorskip("obspy")
    inventory = obspy.read_inventory(str(real_data / "metadata/IU.ANMO_2010/IUANMO.xml"))
    path = real_data / "seismic/sds/2010/IU/ANMO/LHZ.D/IU.ANMO.00.LHZ.D.2010.001"
    trace = obspy.read(str(path))[0]
    trace.data = trace.data - trace.data.mean()
    trace.remove_response(
        inventory=inventory, output="ACC", pre_filt=(0.0005, 0.001, 0.4, 0.49), water_level=None,
        taper=True, taper_fraction=0.01,
    )  # fmt: skip
    expected = snm_by_hand(trace.data)

    stages = inventory[0][0][0].response.response_stages
    gain = np.prod([s.stage_gain for s in stages]) * stages[0].normalization_factor
    epoch = ResponseEpoch(
        *ALWAYS, 3.27508e9, 0.02, "M/S",
        tuple((complex(p).real, complex(p).imag) for p in stages[0].poles),
        tuple((complex(z).real, complex(z).imag) for z in stages[0].zeros),
        float(gain), (DigitalStage(1.0, tuple(float(c) for c in stages[2].numerator), correction_s=15.93),),
    )  # fmt: skip
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / path.name).write_bytes(path.read_bytes())
    config = build_config(
        {
            "archive": {"paths": [str(tmp_path / "archive")]},
            "store": {"path": str(tmp_path / "anmo.zarr")},
            "cluster": {"kind": "serial"},
        }
    )
    assert run(config, stages=("convert",)).exit_code == 0
    name = "IU.ANMO.00.LHZ"
    root = open_root(config.store_path, create=True)
    channel = replace(context_of(config).channels[name], kind="seismic", responses=(epoch,))
    root[f"{name}/raw"].attrs.update({"channel": channel.to_attributes()})
    assert run(config, stages=("noise",)).exit_code == 0
    series = daily_series(context_of(config), channel)
    assert series["snm"][0] == pytest.approx(expected, abs=0.002)
    # Hours are beyond the band that is kept of a seismometer.
    assert np.isnan(series["ssnm"][0])
    assert series["valid_fraction"][0] == pytest.approx(1 - 200 / 86_400, abs=1e-6)

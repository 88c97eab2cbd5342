"""Opening a store: what is read, what times things have, how channels stand beside each other."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from zarr.storage import LocalStore

import gravdask
from gravdask.errors import StoreError
from gravdask.grid import Grid, Rate, day_at, day_blocks, frame_blocks, frame_centre_ns, record_blocks
from gravdask.stages.channels import Calibration, Channel
from gravdask.stages.channels import physical as physical_by_stages
from gravdask.store import codecs
from gravdask.store.layout import create_array, missing_value, open_root, put_table, write_unit
from gravdask.store.opening import network, open_store
from gravdask.store.place import Place
from gravdask.store.timeindex import TimeIndex
from gravdask.store.window import Decoding

MINUTE = Rate(1, 60)
START_NS = int(np.datetime64("2011-03-09T07:30", "ns").astype(np.int64))
ALWAYS = (-(2**63), 2**63 - 1)
FRAME = 256
LEAST = missing_value("int32")


def attributes(extent: tuple[int, int], **changes: Any) -> dict[str, Any]:
    """Attributes of a channel as the store holds them."""
    entry = {"start_ns": ALWAYS[0], "end_ns": ALWAYS[1], "factor": 10.0, "offset": 5.0, "unit": "nm s-2"}
    return {
        "rate": "60s",
        "phases": [[0, 0]],
        "dtype": "int32",
        "decimals": 3,
        "kind": "gravity",
        "quantity": "acceleration",
        "source_unit": "uGal",
        "latitude": 34.5,
        "longitude": 138.0,
        "elevation": None,
        "calibrations": [entry],
        "pressure": "",
        "extent": list(extent),
    } | changes


def write_from(array: zarr.Array[Any], first: int, values: NDArray[Any]) -> None:
    """Write values from an item on, whole shards around them."""
    assert array.shards is not None
    shard = array.shards[0]
    begin, end = first // shard * shard, -(-(first + len(values)) // shard) * shard
    padded = np.full((end - begin, *array.shape[1:]), array.fill_value, array.dtype)
    padded[first - begin : first - begin + len(values)] = values
    for start in range(begin, end, shard):
        write_unit(array, start, padded[start - begin : start - begin + shard])


def add_channel(path: Path, name: str, numbers: NDArray[Any], first: int, **changes: Any) -> dict[str, Any]:
    """Write a channel's record from a sample on."""
    about = attributes((first, first + len(numbers)), dtype=str(numbers.dtype), **changes)
    raw = open_root(path, create=True).require_group(f"{name}/raw")
    decoding = {"scale_factor": 10.0 ** -about["decimals"], "missing_value": LEAST} if numbers.dtype.kind == "i" else {}
    words = {"long_name": "record", "units": about["source_unit"], "coordinates": "", **decoding}
    rate = Rate.parse(about["rate"])
    array = create_array(raw, "record", record_blocks(rate), ("time",), numbers.dtype, attributes=words)
    raw.attrs.put({"channel": about})
    write_from(array, first, numbers)
    return about


def add_stages(path: Path, name: str, first: int, count: int, model: str = "m1", rate: Rate = MINUTE) -> None:
    """Write noise, coefficients and classes whose values tell which day or frame they are of."""
    root = open_root(path, create=True)
    noise = root.require_group(f"{name}/noise")
    days = np.arange(first // rate.samples_per_day, -(-(first + count) // rate.samples_per_day))
    write_from(create_array(noise, "snm", day_blocks(rate), ("day",), "float32"), int(days[0]), days.astype("f4"))
    psd = create_array(noise, "psd", day_blocks(rate), ("day", "frequency"), "float32", tail=(3,))
    write_from(psd, int(days[0]), np.repeat(days[:, None], 3, axis=1).astype("f4"))
    put_table(noise, "frequency", np.array([0.1, 0.2, 0.4]), ("frequency",), units="Hz")
    scattering, classes = root.require_group(f"{name}/scattering"), root.require_group(f"{name}/classes")
    scattering.attrs.put({"network": "n1", "frame_samples": FRAME, "rate": str(rate)})
    classes.attrs.put({"model": model, "rate": str(rate)})
    frames = np.arange(first // FRAME, -(-(first + count) // FRAME))
    blocks, about = frame_blocks(rate, FRAME, 2), {"units": "nm s-2", "coordinates": "order"}
    tail: dict[str, Any] = {"tail": (2,), "attributes": about}
    coefficients = create_array(scattering, "coefficients", blocks, ("frame", "path"), "float32", **tail)
    write_from(coefficients, int(frames[0]), np.repeat(frames[:, None], 2, axis=1).astype("f4"))
    put_table(scattering, "order", np.array([0, 1], np.int8), ("path",), units="1")
    component = create_array(classes, "component", blocks, ("frame",), "int8", fill=-1)
    write_from(component, int(frames[0]), (frames % 7).astype(np.int8))


def add_shared(path: Path) -> None:
    """Write a model, an interpretation, and the folders that are no part of the hierarchy."""
    root = open_root(path, create=True)
    model = root.require_group("model/60s/abc")
    put_table(model, "weights", np.array([0.25, 0.75]), ("mixture_component",))
    put_table(model, "means", np.eye(2), ("mixture_component", "feature"))
    for name in ("XX.A.--.G", "XX.B.--.G"):
        put_table(root.require_group(f"model/60s/abc/medians/{name}"), "path", np.zeros(2), ("path",))
    group = root.require_group("interpretation/60s")
    group.attrs.put({"label": ["background", "co-seismic"]})
    put_table(group, "lift", np.array([0.5, 2.0]), ("mixture_component",))
    for folder in ("ledger", "tables"):
        (path / folder).mkdir()
        (path / folder / "something.parquet").write_bytes(b"not Zarr")


FIRST = Grid(MINUTE).locate(START_NS)[0]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two gravimeters and a barometer over five days, the second beginning a day later."""
    path = tmp_path / "net.zarr"
    numbers = np.arange(7200, dtype=np.int32)
    numbers[100:110] = LEAST
    add_channel(path, "XX.A.--.G", numbers, FIRST)
    add_channel(path, "XX.B.--.G", numbers + 1, FIRST + 1440, latitude=None, longitude=None)
    add_channel(path, "XX.A.--.P", np.full(7200, 1013.25), FIRST, kind="pressure", quantity="pressure", decimals=0)
    add_stages(path, "XX.A.--.G", FIRST, 7200)
    add_stages(path, "XX.B.--.G", FIRST + 1440, 7200)
    add_shared(path)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of all chunks and shards that are read from here on."""
    seen: list[str] = []
    original: Callable[..., Any] = LocalStore.get

    async def counted(self: LocalStore, key: str, *arguments: Any, **options: Any) -> Any:
        if "/c/" in key:
            seen.append(key)
        return await original(self, key, *arguments, **options)

    monkeypatch.setattr(LocalStore, "get", counted)
    monkeypatch.setattr(codecs, "zarrs_installed", lambda: False)  # zarrs reads past Zarr's store
    return seen


def test_the_tree_is_the_store_trimmed_to_the_record(store: Path) -> None:
    tree = gravdask.open(store)
    assert set(tree.children) == {"XX.A.--.G", "XX.A.--.P", "XX.B.--.G", "model", "interpretation"}
    assert list(tree["XX.A.--.G"].children) == ["raw", "noise", "scattering", "classes"]
    assert list(tree["XX.A.--.P"].children) == ["raw"]
    assert tree["XX.A.--.G/raw"].sizes["time"] == 7200
    assert tree["XX.A.--.G/noise"].sizes["day"] == 6
    first, last = FIRST // FRAME, -(-(FIRST + 7200) // FRAME)
    assert tree["XX.A.--.G/scattering"].sizes["frame"] == last - first
    np.testing.assert_array_equal(tree["XX.A.--.G/scattering/coefficients"][:, 1], np.arange(first, last))
    np.testing.assert_array_equal(tree["XX.A.--.G/classes/component"], np.arange(first, last) % 7)
    assert set(tree["XX.A.--.G/scattering"].coords) == {"order", "time"}
    assert tree["XX.A.--.G"].attrs["latitude"] == 34.5
    assert "elevation" not in tree["XX.A.--.G"].attrs
    assert tree["model/60s/abc/weights"].values.tolist() == [0.25, 0.75]
    assert tree["model/60s/abc/means"].values.tolist() == [[1, 0], [0, 1]]
    assert tree["interpretation/60s"].attrs["label"] == ["background", "co-seismic"]


def test_times_are_those_of_the_grid(store: Path) -> None:
    node = open_store(store, "XX.A.--.G")["XX.A.--.G"]
    grid = Grid(MINUTE)
    np.testing.assert_array_equal(
        node["raw/time"].values.astype(np.int64), [grid.time_ns(k) for k in range(FIRST, FIRST + 7200)]
    )
    frames = range(FIRST // FRAME, -(-(FIRST + 7200) // FRAME))
    for stage in ("scattering", "classes"):
        times = node[f"{stage}/time"].values.astype(np.int64)
        np.testing.assert_array_equal(times, [frame_centre_ns(MINUTE, 0, FRAME, m) for m in frames])
    noon = np.datetime64("2011-03-09T12:00", "ns") + np.arange(6) * np.timedelta64(1, "D")
    np.testing.assert_array_equal(node["noise/time"], noon)
    # What is stored under a day's number stands at that day's time.
    one = node["noise"].to_dataset().sel(time="2011-03-11").snm.values
    assert one.tolist() == [day_at(int(np.datetime64("2011-03-11T01:00", "ns").astype(np.int64)))]


def test_source_numbers_are_the_decimals_of_the_source(store: Path) -> None:
    record = open_store(store)["XX.A.--.G/raw/record"]
    assert record.dtype == np.float64
    assert record.attrs["units"] == "uGal"
    expected = np.array([float(f"{n / 1000:.3f}") for n in range(7200)])
    expected[100:110] = np.nan
    np.testing.assert_array_equal(record, expected)


def test_physical_is_calibrated_and_agrees_with_the_stages(store: Path) -> None:
    record = open_store(store, physical=True)["XX.A.--.G/raw/record"]
    assert record.attrs["units"] == "nm s-2"
    stored = open_root(store)["XX.A.--.G/raw/record"]
    about = dict(open_root(store)["XX.A.--.G/raw"].attrs)["channel"]
    channel = Channel.from_attributes("XX.A.--.G", about)  # type: ignore[arg-type]
    expected = physical_by_stages(channel, np.asarray(stored[FIRST : FIRST + 7200]), FIRST)  # type: ignore[index]
    np.testing.assert_allclose(record, expected, rtol=1e-15)
    assert np.isnan(record[100:110]).all()
    assert float(record[7]) == pytest.approx(0.007 * 10 + 5)


def test_calibration_epochs_meet_at_the_exact_sample_of_each_phase(tmp_path: Path) -> None:
    times = Grid(Rate(1, 1)).time_ns
    first = 1_930_000_000
    phases = [[0, 100_000_000], [first + 50, 600_000_000]]
    # The first epoch ends just at a sample's time, the second begins there; the third begins between two samples.
    cut, late = times(first + 20) + 100_000_000, times(first + 80) + 600_000_001
    epochs = [(ALWAYS[0], cut, 2.0), (cut, times(first + 70), 3.0), (late, ALWAYS[1], 4.0)]
    table = [{"start_ns": a, "end_ns": b, "factor": f, "offset": 1.0, "unit": "nm s-2"} for a, b, f in epochs]
    numbers = np.arange(100, dtype=np.float32)
    about = add_channel(
        tmp_path / "s.zarr", "XX.A.--.G", numbers, first, rate="1Hz", decimals=0, phases=phases, calibrations=table
    )
    node = open_store(tmp_path / "s.zarr", physical=True)["XX.A.--.G/raw"]
    factor = np.full(100, np.nan)
    channel = Channel.from_attributes("XX.A.--.G", about)
    for index, time in enumerate(channel.times_ns(first, first + 100)):
        for entry in (Calibration(**c) for c in table):
            if entry.start_ns <= time < entry.end_ns:
                factor[index] = entry.factor
    assert np.isnan(factor).any()
    np.testing.assert_array_equal(node["record"], numbers.astype(float) * factor + 1.0)
    assert "first span" in node["time"].attrs["note"]
    assert len(node["time"].attrs["phases"]) == 2
    assert int(node["time"][0].astype(np.int64)) == times(first) + 100_000_000


def test_opening_reads_no_chunk_of_a_record(store: Path, reads: list[str]) -> None:
    tree = open_store(store)
    repr(tree)
    for stage in ("raw", "noise", "scattering", "classes"):
        repr(network(store, stage, rate="60s"))
    assert {key.split("/c/")[0].split("/")[-1] for key in reads} <= {"frequency", "order", "weights", "lift", "path"}


def test_a_day_of_a_decade_costs_about_a_day(tmp_path: Path, reads: list[str]) -> None:
    path, second = tmp_path / "long.zarr", Rate(1, 1)
    first = Grid(second).locate(START_NS)[0]
    add_channel(path, "XX.A.--.G", np.zeros(86_400, np.float32), first, rate="1Hz", decimals=0)
    raw = path / "XX.A.--.G" / "raw" / "zarr.json"
    words = json.loads(raw.read_text())
    words["attributes"]["channel"]["extent"] = [first - 10 * 365 * 86_400, first + 86_400]
    raw.write_text(json.dumps(words))
    for dataset in (open_store(path)["XX.A.--.G/raw"].to_dataset(), network(path, "raw").isel(channel=0)):
        reads.clear()
        day = dataset.record.sel(time="2011-03-09")
        assert day.sizes["time"] == 86_400
        assert sum(day.data.chunks[0]) / 86_400 == 1
        assert np.isfinite(day.compute()).sum() == 86_400 - 27_000
        # One shard of 384 days holds the day: one read of its index, one of each chunk of a Dask chunk or two.
        assert 0 < len(reads) <= 10
        assert len({key.split("/c/")[1] for key in reads}) == 1
        assert max(dataset.record.data.chunks[0]) == 4 * 86_400


def test_chunks_lie_on_the_absolute_grid(store: Path) -> None:
    stored = open_root(store)["XX.A.--.G/raw/record"]
    assert isinstance(stored, zarr.Array)
    pieces = open_store(store)["XX.A.--.G/raw/record"].data.chunks[0]
    edges = FIRST + np.cumsum(pieces)[:-1]
    assert not (edges % stored.chunks[0]).any()


def test_only_the_channels_asked_for_are_opened(store: Path) -> None:
    # A channel whose attributes are broken does not matter to those who open another.
    broken = store / "XX.B.--.G" / "raw" / "zarr.json"
    words = json.loads(broken.read_text())
    del words["attributes"]["channel"]["extent"]
    broken.write_text(json.dumps(words))
    tree = open_store(store, ["XX.A*"])
    assert [c for c in tree.children if c.startswith("XX")] == ["XX.A.--.G", "XX.A.--.P"]
    assert list(tree["model/60s/abc/medians"].children) == ["XX.A.--.G"]
    with pytest.raises(StoreError, match=r"XX.B.--.G: its attributes are not gravdask's.*convert the archive again"):
        open_store(store, "XX.B.--.G")


def test_an_unknown_channel_is_refused_with_those_there_are(store: Path) -> None:
    with pytest.raises(StoreError, match=r"no channel fits 'XX.C.\*'; it holds XX.A.--.G, XX.A.--.P, XX.B.--.G"):
        open_store(store, ["XX.A.*", "XX.C.*"])
    with pytest.raises(StoreError, match="no gravdask store is here"):
        open_store(store / "XX.A.--.G" / "nothing")


def test_channels_stand_beside_each_other_by_absolute_index(store: Path) -> None:
    noise = gravdask.network(store, "noise")
    assert noise.snm.dims == ("channel", "day")
    assert noise.sizes["day"] == 7
    assert np.isnan(noise.latitude.sel(channel="XX.B.--.G"))
    assert float(noise.latitude.sel(channel="XX.A.--.G")) == 34.5
    assert np.isnan(noise.elevation).all()
    day = day_at(START_NS)
    np.testing.assert_array_equal(noise.snm[0], [*range(day, day + 6), np.nan])
    np.testing.assert_array_equal(noise.snm[1], [np.nan, *range(day + 1, day + 7)])
    classes = network(store, "classes")
    first, last = FIRST // FRAME, -(-(FIRST + 7200 + 1440) // FRAME)
    assert classes.sizes["frame"] == last - first
    assert classes.component.dtype == np.int8
    late = (FIRST + 1440) // FRAME - first
    assert (classes.component.values[1, :late] == -1).all()
    assert (classes.component.values[1, late:] == np.arange(first + late, last) % 7).all()
    coefficients = network(store, "scatter").coefficients.sel(time="2011-03-11")
    np.testing.assert_array_equal(coefficients[0], coefficients[1])
    assert isinstance(classes.xindexes["time"], TimeIndex)


def test_a_network_of_records_knows_missing_and_units(store: Path) -> None:
    raw = network(store, "raw", physical=True)
    assert raw.record.dims == ("channel", "time")
    assert raw.record.attrs["units"] == "nm s-2"
    values = raw.record.values
    for row, name in enumerate(raw.channel.values):
        own = open_store(store, str(name), physical=True)[f"{name}/raw/record"]
        np.testing.assert_array_equal(raw.record.sel(channel=name, time=own.time.values), own)
        assert np.isfinite(values[row]).sum() == int(np.isfinite(own).sum())
    assert (raw.unit == "nm s-2").all()


def test_slices_of_a_network_are_those_of_its_values(store: Path) -> None:
    record = network(store, "raw").record
    whole = record.values

    @settings(deadline=None, max_examples=25)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        ends = st.integers(0, whole.shape[1])
        items = slice(data.draw(ends), data.draw(ends), data.draw(st.sampled_from([None, 1, 7, 1000])))
        rows = data.draw(st.sampled_from([slice(None), slice(1, 3), 2, [2, 0]]))
        np.testing.assert_array_equal(record[rows, items], whole[rows, items])

    check()


def test_phases_that_differ_keep_the_common_grid(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"
    for name, phase in (("XX.A.--.G", 0), ("XX.B.--.G", 7_500_000_000)):
        add_channel(path, name, np.zeros(1440, np.float32), FIRST, phases=[[0, phase]], decimals=0)
    raw = network(path, "raw")
    assert raw.phase.values.tolist() == [0.0, 7.5]
    assert raw.time.values[0] == np.datetime64(START_NS, "ns")
    assert "phase" not in network(path, "raw", "XX.B*").coords
    assert network(path, "raw", "XX.B*").time.values[0] == np.datetime64(START_NS + 7_500_000_000, "ns")


def test_what_does_not_compare_is_refused(store: Path) -> None:
    add_channel(store, "XX.C.--.G", np.zeros(86_400, np.float32), FIRST * 60, rate="1Hz", decimals=0)
    with pytest.raises(StoreError, match=r"several sampling rates \('60s', '1Hz'\); choose one, for example rate="):
        network(store, "raw")
    assert network(store, "raw", rate=1.0).channel.values.tolist() == ["XX.C.--.G"]
    assert network(store, "raw", rate="60s").sizes["channel"] == 3
    with pytest.raises(StoreError, match=r"no channel with raw is sampled at 100Hz; there are"):
        network(store, "raw", rate=Rate(100, 1))
    with pytest.raises(StoreError, match=r"no stage of a store is called 'spectra'; there are raw, noise"):
        network(store, "spectra")
    with pytest.raises(StoreError, match=r"XX.A.--.P: nothing of noise is in the store; run 'gravdask noise' first"):
        network(store, "noise", "XX.A.--.P")
    with pytest.raises(
        StoreError, match=r"no channel: nothing of classes is in the store yet; run 'gravdask classify'"
    ):
        network(store, "classes", "*.P")
    add_stages(store, "XX.B.--.G", FIRST + 1440, 7200, model="m2")
    with pytest.raises(
        StoreError, match=r"classes of XX.A.--.G is of model m1, of XX.B.--.G of m2; run 'gravdask classify'"
    ):
        network(store, "classes")
    open_root(store, create=True)["XX.A.--.G/scattering"].attrs.put({})
    with pytest.raises(StoreError, match=r"length of a frame is not written"):
        network(store, "scattering", "XX.A*")


def test_plain_xarray_opens_the_store_and_decodes_it(store: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tree = xr.open_datatree(store, engine="zarr", consolidated=False)
    # Of what is said, only that the ledger and the tables are no Zarr groups is expected.
    assert {"ledger", "tables"} >= {w for c in caught for w in str(c.message).split() if w in {"ledger", "tables"}}
    assert all("not recognized as a component of a Zarr hierarchy" in str(c.message) for c in caught)
    record = tree["XX.A.--.G/raw/record"]
    assert record.sizes["time"] == record_blocks(MINUTE).length
    mine = open_store(store)["XX.A.--.G/raw/record"]
    np.testing.assert_allclose(record[FIRST : FIRST + 7200], mine, rtol=1e-15)
    assert np.isnan(record[FIRST - 5 : FIRST]).all()
    assert "order" in tree["XX.A.--.G/scattering"].coords
    tree.close()


def test_what_is_opened_travels_to_workers(store: Path) -> None:
    record = network(store, "raw", "XX.A.--.G").record
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(record)), record)


def test_a_selection_can_be_saved(store: Path, tmp_path: Path) -> None:
    day = network(store, "classes").sel(time="2011-03-11")
    day.to_zarr(tmp_path / "day.zarr", zarr_format=2, consolidated=False)
    with xr.open_zarr(tmp_path / "day.zarr", consolidated=False) as saved:
        np.testing.assert_array_equal(saved.time, day.time)
        np.testing.assert_array_equal(saved.component, day.component)


def test_frames_become_an_ordinary_time_axis(store: Path) -> None:
    component = network(store, "classes").component
    daily = component.drop_indexes("time").swap_dims(frame="time").resample(time="1D").max()
    assert daily.sizes == {"channel": 2, "time": 7}
    one = component.sel(time="2011-03-11").max("frame")
    np.testing.assert_array_equal(daily.sel(time="2011-03-11"), one)


def test_numbers_are_decoded_over_pieces_of_any_cut() -> None:
    decoding = Decoding(2, ((10, 20, 2.0, 1.0), (20, 25, 3.0, 0.0), (30, 40, 1.0, 0.0)))
    numbers = np.arange(100, 150, dtype=np.int32)
    numbers[12] = LEAST
    whole = decoding.apply(numbers, 5, LEAST)
    assert whole[5] == 1.05 * 2 + 1
    assert np.isnan(whole[[0, 4, 12, 22, 40]]).all()
    for cut in (1, 7, 20, 49):
        parts = [decoding.apply(numbers[:cut], 5, LEAST), decoding.apply(numbers[cut:], 5 + cut, LEAST)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert Decoding(-2).apply(np.array([3], np.int64), 0, None).tolist() == [300.0]


# ------------------------------------------------------------------------------------------- what users do with two


def pair(store: Path) -> tuple[xr.Dataset, xr.Dataset]:
    """Two channels, the second of which begins a day later."""
    tree = open_store(store)
    return tree["XX.A.--.G/raw"].to_dataset(), tree["XX.B.--.G/raw"].to_dataset()


def ordinary(dataset: xr.Dataset) -> xr.Dataset:
    """The same in memory with an ordinary index: what xarray does with it is the oracle."""
    return xr.Dataset({"record": ("time", dataset.record.values)}, {"time": dataset.time.values})


@pytest.mark.parametrize("how", ["inner", "outer", "left", "right"])
def test_two_channels_are_aligned_as_ordinary_ones_are(store: Path, how: Any) -> None:
    one, two = pair(store)
    for got, wanted in zip(xr.align(one, two, join=how), xr.align(ordinary(one), ordinary(two), join=how), strict=True):
        assert isinstance(got.xindexes["time"], TimeIndex)
        np.testing.assert_array_equal(got.time, wanted.time)
        np.testing.assert_array_equal(got.record, wanted.record)


def test_two_channels_are_subtracted_merged_and_stacked_by_their_times(store: Path) -> None:
    one, two = pair(store)
    plain_one, plain_two = ordinary(one), ordinary(two)
    np.testing.assert_array_equal(one.record - two.record, plain_one.record - plain_two.record)
    merged = xr.merge([one.record.rename("a"), two.record.rename("b")], join="outer")
    assert isinstance(merged.xindexes["time"], TimeIndex)
    assert merged.sizes["time"] == 7200 + 1440
    stacked = xr.concat([one[["record"]], two[["record"]]], "channel", join="outer")
    expected = xr.concat([plain_one, plain_two], "channel", join="outer")
    assert isinstance(stacked.xindexes["time"], TimeIndex)
    np.testing.assert_array_equal(stacked.record, expected.record)


def test_years_are_joined_end_to_end_and_across_a_gap(store: Path) -> None:
    one, _ = pair(store)
    whole = xr.concat([one.sel(time="2011-03-09"), one.sel(time="2011-03-10")], "time")
    assert isinstance(whole.xindexes["time"], TimeIndex)
    xr.testing.assert_equal(whole, one.sel(time=slice("2011-03-09", "2011-03-10")))
    gap = xr.concat([one.sel(time="2011-03-09"), one.sel(time="2011-03-11")], "time")
    np.testing.assert_array_equal(np.unique(np.diff(gap.time.values).astype(int)), [60 * 10**9, 86_460 * 10**9])
    np.testing.assert_array_equal(gap.sel(time="2011-03-11").record, one.sel(time="2011-03-11").record)


# ------------------------------------------------------------------------------------------------- stores elsewhere


def carried(store: Path, place: Place) -> Place:
    """Copy of a store, object by object."""
    for entry in Place.of(store).walk():
        (place / entry.name).write((Place.of(store) / entry.name).read())
    return place


@pytest.mark.parametrize("where", ["memory", pytest.param("s3", marks=pytest.mark.slow)])
def test_a_store_elsewhere_opens_as_a_folder_does(store: Path, where: str, request: pytest.FixtureRequest) -> None:
    url = "memory://net" if where == "memory" else f"{request.getfixturevalue('s3')}/surveys/net.zarr"
    carried(store, Place.of(url))
    here, there = (open_store(p, physical=True) for p in (store, url))
    assert there.name == "net"
    assert [n.path for n in here.subtree] == [n.path for n in there.subtree]
    for node in here.subtree:
        xr.testing.assert_identical(node.to_dataset(), there[node.path].to_dataset())
    xr.testing.assert_identical(network(store, "classes"), network(url, "classes"))
    with pytest.raises(StoreError, match="no channel fits"):
        open_store(url, "YY.*")


@pytest.mark.slow
def test_what_is_opened_on_s3_travels_to_workers_without_keys(store: Path, s3: str) -> None:
    place = carried(store, Place.of(f"{s3}/net.zarr"))
    record = network(place, "raw", "XX.A.--.G").record
    packed = pickle.dumps(record)
    np.testing.assert_array_equal(pickle.loads(packed), network(store, "raw", "XX.A.--.G").record)
    assert os.environ["AWS_SECRET_ACCESS_KEY"].encode() not in packed


@pytest.mark.slow
def test_plain_xarray_opens_a_store_on_s3(store: Path, s3: str) -> None:
    place = carried(store, Place.of(f"{s3}/net.zarr"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the folders that are no part of the hierarchy
        tree = xr.open_datatree(place.zarr_store(), engine="zarr", consolidated=False)
    assert tree.attrs["Conventions"].startswith("CF-")
    assert tree.attrs["gravdask_schema"] == 1
    assert tree["XX.A.--.G/raw"].record.attrs["units"] == "uGal"
    assert "order" in tree["XX.A.--.G/scattering"].coords

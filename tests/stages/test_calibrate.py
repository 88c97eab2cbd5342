"""The stage calibrate over a made record of two months: months, steps, suspicions, and what is rewritten."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from gravdask.cli import make_config
from gravdask.config import Config
from gravdask.errors import PreprocessError
from gravdask.pipeline import run
from gravdask.preprocess.tides import tide
from gravdask.stages import calibrate
from gravdask.stages.base import Context
from gravdask.stages.calibrate import TOTAL, remarks, theoretical_tide
from gravdask.stages.channels import load_channels
from gravdask.stages.preprocessing import monthly, preprocessed
from gravdask.store.layout import open_root
from gravdask.store.ledger import Ledger

MINUTE = 60 * 10**9
DAY_NS = 1440 * MINUTE
START = int(np.datetime64("2021-06-05", "ns").astype(np.int64))
DAYS = 40
PLACE = (34.0, 117.0, 100.0)
LOGGED = START + 20 * DAY_NS + 37 * MINUTE
UNLOGGED = START + 30 * DAY_NS + 15 * MINUTE
SPIKE = START + 10 * DAY_NS


@dataclass
class Made:
    """A store of one gravimeter."""

    config: Config
    name: str
    truth: np.ndarray
    times_ns: np.ndarray

    def info(self) -> dict[str, Any]:
        """What the ledger holds of the channel."""
        record = Ledger(self.config.store_path / "ledger").get("calibrate", self.name, TOTAL)
        return {} if record is None else record.info

    def log(self, *steps: tuple[int, float | None]) -> None:
        """Enter steps into the channel's log."""
        group = open_root(self.config.store_path, create=True)[f"{self.name}/raw"]
        channel = replace(load_channels(open_root(self.config.store_path))[self.name], log_steps=steps)
        group.attrs["channel"] = channel.to_attributes()

    def files(self) -> dict[str, int]:
        """Every object of the store and when it was written."""
        return {str(p): p.stat().st_mtime_ns for p in self.config.store_path.rglob("*") if p.is_file()}


def gravity() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, gravity with a step of 700 and one of -1500, and pressure, once a minute."""
    rng = np.random.default_rng(1)
    times = START + np.arange(DAYS * 1440, dtype=np.int64) * MINUTE
    pressure = 980 + np.cumsum(rng.normal(0, 0.02, times.size))
    values = (
        1.165 * tide(times, *PLACE) - 3.2 * pressure + 900 * (times - START) / DAY_NS + rng.normal(0, 15, times.size)
    )
    values += 700.0 * (times >= LOGGED) - 1500.0 * (times >= UNLOGGED) + 4e5 * (times == SPIKE)
    return times, values + 5e6, pressure


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], Made]:
    """Convert the record to a store."""

    def made() -> Made:
        times, values, pressure = gravity()
        archive = tmp_path / "archive"
        archive.mkdir()
        clock = np.datetime_as_string(times.astype("datetime64[ns]"), unit="s")
        lines = [
            f"{t[:4]} {t[5:7]} {t[8:10]} {t[11:13]} {t[14:16]} {t[17:19]} {g * 1e-4:.5f} {p:.4f}\n"
            for t, g, p in zip(clock, values, pressure, strict=True)
        ]
        (archive / "20210605_777append.tsf").write_text("".join(lines))
        stations = tmp_path / "stations.csv"
        stations.write_text("station,latitude,longitude,elevation\n777,34,117,100\n")
        flags = {
            "stations": str(stations),
            "clock": "+00:00",
            "output": str(tmp_path / "s.zarr"),
            "serial": True,
            "assignments": ("archive.units=mGal",),
        }
        config = make_config((str(archive),), flags)
        run(config, stages=("convert",))
        (name,) = [n for n, c in load_channels(open_root(config.store_path)).items() if c.kind == "gravity"]
        return Made(config, name, values, times)

    return made


def context_of(made: Made) -> Context:
    """The context of a run."""
    from gravdask.progress import Progress

    context = Context(made.config, Ledger(made.config.store_path / "ledger"), Progress())
    context.reload()
    return context


def test_months_are_in_store_and_ledger(make: Callable[[], Made]) -> None:
    made = make()
    run(made.config, stages=("calibrate",))
    table = made.info()["months"]
    assert table["month"] == ["2021-06", "2021-07"]
    assert table["tidal_factor"] == pytest.approx([1.165, 1.165], abs=0.002)
    pulls = (np.array(table["admittance"]) + 3.2) / table["admittance_error"]
    assert np.abs(pulls).max() < 3
    with xr.open_zarr(made.config.store_path, group=f"{made.name}/preprocess", consolidated=False) as found:
        assert found["month"].values.astype("datetime64[M]").astype(str).tolist() == table["month"]
        for quantity in ("tidal_factor", "tidal_factor_error", "admittance", "admittance_error"):
            assert found[quantity].values.tolist() == table[quantity]
        assert found["admittance"].attrs["units"] == "nm s-2 hPa-1"
    (shown,) = monthly(context_of(made))
    assert shown.tidal_factor.tolist() == table["tidal_factor"]


def test_unlogged_steps_are_suspected_and_not_corrected(make: Callable[[], Made]) -> None:
    made = make()
    record = run(made.config, stages=("calibrate",))
    info = made.info()
    assert info["steps"] == []
    assert [round(s[1] / 100) for s in info["suspected_steps"]] == [7, -15]
    assert [abs(s[0] - t) <= 15 * MINUTE for s, t in zip(info["suspected_steps"], (LOGGED, UNLOGGED), strict=True)]
    (note,) = [n for n in record.notes if "seems to step" in n]
    assert "2021-07-05T00:" in note
    assert "Nothing was corrected" in note
    assert context_of(made).reader(load_channels(open_root(made.config.store_path))[made.name]).steps == ()


def test_a_logged_step_without_size_is_measured_and_taken_out(make: Callable[[], Made]) -> None:
    made = make()
    made.log((LOGGED, None))
    run(made.config, stages=("calibrate",))
    ((when, size),) = made.info()["steps"]
    assert when == LOGGED
    assert size == pytest.approx(700, abs=30)
    assert [round(s[1] / 100) for s in made.info()["suspected_steps"]] == [-15]
    context = context_of(made)
    reader = context.reader(context.channels[made.name])
    assert reader.steps == ((LOGGED, size),)
    start, stop = context.channels[made.name].extent
    cleaned = reader.residual(start, stop)
    step = int((LOGGED - START) // MINUTE)
    assert abs(np.nanmedian(cleaned[step : step + 120]) - np.nanmedian(cleaned[step - 120 : step])) < 60
    assert np.isnan(cleaned[int((SPIKE - START) // MINUTE)])


def test_a_stated_size_is_kept_and_a_step_without_record_is_named(make: Callable[[], Made]) -> None:
    made = make()
    made.log((LOGGED, 650.0), (START + 5 * MINUTE, None))
    record = run(made.config, stages=("calibrate",))
    assert made.info()["steps"] == [[LOGGED, 650.0]]
    (note,) = [n for n in record.notes if "without its size" in n]
    assert "2021-06-05T00:05:00" in note
    assert "State the size" in note


def test_a_frozen_estimate_stays_while_steps_follow_the_log(make: Callable[[], Made]) -> None:
    made = make()
    run(made.config, stages=("calibrate",))
    before, files = made.info(), made.files()
    assert run(made.config, stages=("calibrate",)).units_done == 0
    changed = {p for p, t in made.files().items() if files.get(p) != t}
    assert all("ledger" in p for p in changed)
    made.log((UNLOGGED, None))
    run(made.config, stages=("calibrate",))
    after = made.info()
    assert [s[0] for s in after["steps"]] == [UNLOGGED]
    assert {k: after[k] for k in ("tidal_factor", "drift", "days")} == {
        k: before[k] for k in ("tidal_factor", "drift", "days")
    }
    made.log()
    run(made.config, stages=("calibrate",))
    assert made.info()["steps"] == []
    assert len(made.info()["suspected_steps"]) == 2


def test_what_the_report_shows_is_what_the_chain_gives(make: Callable[[], Made]) -> None:
    made = make()
    made.log((LOGGED, None))
    run(made.config, stages=("calibrate",))
    context = context_of(made)
    (shown,) = preprocessed(context)
    assert shown.steps[0][0] == LOGGED
    assert len(shown.suspected) == 1
    assert list(shown.words) == ["record", "drift", "tide", "pressure"]
    assert shown.whole.spike_ns.tolist() == pytest.approx([SPIKE], abs=1000)
    reader, channel = context.reader(context.channels[made.name]), context.channels[made.name]
    whole = reader.residual(*channel.extent)
    cells = np.nanmedian(whole.reshape(-1, 120), axis=1)
    np.testing.assert_allclose(shown.whole.stages["pressure"], cells, atol=1e-5)
    record = np.nanmedian(np.where(made.times_ns == SPIKE, np.nan, made.truth).reshape(-1, 120), axis=1)
    np.testing.assert_allclose(shown.whole.stages["record"], record, atol=0.1)  # the file holds 0.1 nm s⁻²
    # three days about the largest step, by medians of two minutes
    first = int((shown.detail.times_ns[0] - START) // MINUTE)
    assert first < (UNLOGGED - START) // MINUTE < first + 3 * 1440
    rows = np.nanmedian(whole[first:][: 2 * shown.detail.times_ns.size].reshape(-1, 2), axis=1)
    np.testing.assert_allclose(shown.detail.stages["pressure"], rows, atol=1e-5)


def test_the_tide_is_that_of_where_the_instrument_stood(make: Callable[[], Made]) -> None:
    made = make()
    channel = load_channels(open_root(made.config.store_path))[made.name]
    times = START + np.arange(100, dtype=np.int64) * DAY_NS // 10
    moved = replace(channel, places=((START, START + DAY_NS, 50.0, 10.0, 0.0), (START + DAY_NS, 2**62, *PLACE)))
    found = theoretical_tide(moved, times)
    assert np.array_equal(found[:10], tide(times[:10], 50.0, 10.0, 0.0))
    assert np.array_equal(found[10:], tide(times[10:], *PLACE))


def test_a_wrong_scale_and_a_bad_month_are_noted_and_remembered(make: Callable[[], Made]) -> None:
    made = make()
    channel = load_channels(open_root(made.config.store_path))[made.name]
    july = int(np.datetime64("2021-07", "ns").astype(np.int64))
    only = channel.calibrations[0]
    wrong = (replace(only, end_ns=july, factor=2 * only.factor), replace(only, start_ns=july, factor=2.1 * only.factor))
    group = open_root(made.config.store_path, create=True)[f"{made.name}/raw"]
    group.attrs["channel"] = replace(channel, calibrations=wrong, log_steps=((LOGGED, 1400.0),)).to_attributes()
    record = run(made.config, stages=("calibrate",))
    (tide_note,) = [n for n in record.notes if "its tide is" in n]
    assert "expected 1.0 to 1.35" in tide_note
    (month_note,) = [n for n in record.notes if "tidal factor is" in n]
    assert "check its calibration and its clock there" in month_note
    assert remarks(context_of(made)) == record.notes


def with_model(made: Made, model: str) -> Made:
    """The same store with another theoretical tide."""
    settings = made.config.preprocess.model_copy(update={"tide_model": model})
    return replace(made, config=made.config.model_copy(update={"preprocess": settings}))


def test_pygtide_missing_is_said_before_anything_is_done(
    make: Callable[[], Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pygtide", None)
    with pytest.raises(PreprocessError, match=r"gravdask\[tides\]"):
        calibrate.plan(context_of(with_model(make(), "pygtide")))


def test_pygtide_in_the_whole_chain(make: Callable[[], Made]) -> None:
    pytest.importorskip("pygtide")
    made = make()
    run(made.config, stages=("calibrate",))
    built_in, channel = made.info(), load_channels(open_root(made.config.store_path))[made.name]
    other = with_model(made, "pygtide")
    assert len(calibrate.plan(context_of(other)).tasks) == 2
    first, second = (context_of(m).reader(channel).residual(*channel.extent) for m in (made, other))
    difference = second - first
    assert 2 < np.nanstd(difference) < 12  # K1 above all
    (shown,) = preprocessed(context_of(other))
    assert "by pygtide" in shown.words["tide"]
    assert built_in["tidal_factor"] == pytest.approx(1.165, abs=0.002)

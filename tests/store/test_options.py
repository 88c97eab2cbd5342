"""Options of earlier runs: remembered, filled in, overruled."""

from __future__ import annotations

from pathlib import Path

from gravdask.config import build_config
from gravdask.store.options import anchored, fill_in, keep_options, kept_options


def kept(tmp_path: Path, **archive: object) -> Path:
    store = tmp_path / "s.zarr"
    keep_options(build_config({"archive": archive, "store": {"path": str(store)}}))
    return store


def test_what_differs_from_the_defaults_is_remembered(tmp_path: Path) -> None:
    store = kept(tmp_path, units="mGal", clock="+08:00", start="2021-01-01", select=["A*"])
    assert kept_options(store)["archive"] == {"units": "mGal", "clock": "+08:00"}


def test_what_a_run_does_not_state_is_filled_in_and_told(tmp_path: Path) -> None:
    store = kept(tmp_path, units="mGal", clock="+08:00")
    values = {"archive": {"clock": "+00:00"}}
    assert fill_in(values, store) == ['archive.units = "mGal"']
    assert values["archive"] == {"clock": "+00:00", "units": "mGal"}


def test_a_later_run_overrules_for_good(tmp_path: Path) -> None:
    kept(tmp_path, units="mGal")
    assert kept_options(kept(tmp_path, units="uGal"))["archive"] == {"units": "uGal"}
    assert kept_options(kept(tmp_path))["archive"] == {}


def test_a_new_store_and_a_damaged_memory_remember_nothing(tmp_path: Path) -> None:
    assert kept_options(tmp_path) == {}
    store = kept(tmp_path, units="mGal")
    (store / "ledger" / "options.json").write_text("{")
    assert kept_options(store) == {}
    values: dict[str, object] = {}
    assert fill_in(values, store) == []


def test_paths_of_a_file_are_relative_to_it(tmp_path: Path) -> None:
    values = {
        "archive": {"paths": ["a", "/b", "../c"], "stations": ""},
        "store": {"path": "x.zarr"},
        "fit": {"seed": 1},
    }
    found = anchored(values, tmp_path / "g.toml")
    assert found["archive"]["paths"] == [str(tmp_path / "a"), "/b", str(tmp_path.parent / "c")]
    assert found["archive"]["stations"] == ""
    assert found["store"]["path"] == str(tmp_path / "x.zarr")

"""Options of earlier runs: remembered, filled in, overruled."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gravdask.config import Config, build_config, render
from gravdask.errors import StoreError
from gravdask.store.options import anchored, beside, differences, fill_in, keep_options, kept_options, unknown_options


def kept(tmp_path: Path, **archive: object) -> Path:
    store = tmp_path / "s.zarr"
    keep_options(build_config({"archive": archive, "store": {"path": str(store)}}))
    return store


def remembered(store: Path) -> Any:
    found = kept_options(store)
    assert found is not None
    return found["archive"]


def stating(store: Path, **archive: object) -> Config:
    return build_config({"archive": archive, "store": {"path": str(store)}})


def test_what_differs_from_the_defaults_is_remembered(tmp_path: Path) -> None:
    store = kept(tmp_path, units="mGal", clock="+08:00", start="2021-01-01", select=["A*"])
    assert remembered(store) == {"units": "mGal", "clock": "+08:00"}


def test_what_a_run_does_not_state_is_filled_in_and_told(tmp_path: Path) -> None:
    store = kept(tmp_path, units="mGal", clock="+08:00")
    values = {"archive": {"clock": "+00:00"}}
    assert fill_in(values, store) == ['archive.units = "mGal"']
    assert values["archive"] == {"clock": "+00:00", "units": "mGal"}


def test_a_later_run_overrules_for_good(tmp_path: Path) -> None:
    kept(tmp_path, units="mGal")
    assert remembered(kept(tmp_path, units="uGal")) == {"units": "uGal"}
    assert remembered(kept(tmp_path)) == {}


def test_a_new_store_remembers_nothing(tmp_path: Path) -> None:
    assert kept_options(tmp_path) is None
    values: dict[str, Any] = {}
    assert fill_in(values, tmp_path) == []
    assert values == {}
    assert unknown_options(tmp_path) == ""
    assert differences(stating(tmp_path, clock="+08:00")) == []


@pytest.mark.parametrize(
    "content", ["", "{", "null", "[]", "{}", '{"archive": 3}', '{"archive": {"clock": "+08', "\0\0"]
)
def test_a_damaged_memory_is_refused(tmp_path: Path, content: str) -> None:
    store = kept(tmp_path, units="mGal")
    file = store / "ledger" / "options.json"
    file.write_text(content)
    with pytest.raises(
        StoreError, match=r"options.json: .* damaged .*; remove the file, and state .* --clock, --units"
    ):
        fill_in({}, store)
    with pytest.raises(StoreError, match="damaged"):
        keep_options(stating(store))
    assert file.read_text() == content


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    store = kept(tmp_path)
    (store / "ledger" / "options.json").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(StoreError, match="damaged"):
        kept_options(store)


def test_a_memory_that_is_gone_is_told_where_there_are_channels(tmp_path: Path) -> None:
    store = kept(tmp_path, clock="+08:00")
    (store / "XX.A.--.UGZ" / "raw").mkdir(parents=True)
    (store / "XX.A.--.UGZ" / "raw" / "zarr.json").write_text("{}")
    assert unknown_options(store) == ""
    (store / "ledger" / "options.json").unlink()
    told = unknown_options(store)
    assert "options.json is gone" in told
    assert "--clock, --units, --stations" in told


def test_another_value_is_told_with_both(tmp_path: Path) -> None:
    store = kept(tmp_path, clock="+08:00")
    assert differences(stating(store, clock="+00:00", units="mGal")) == [
        "archive.clock was '+08:00' in earlier runs on this store and is '+00:00' now: "
        "what follows from it is made again",
        "archive.units was '' in earlier runs on this store and is 'mGal' now: what follows from it is made again",
    ]


def test_a_model_that_exists_stays(tmp_path: Path) -> None:
    store = kept(tmp_path)
    config = build_config({"fit": {"seed": 1, "refit": "always"}, "store": {"path": str(store)}})
    assert differences(config) == [
        "fit.seed was 0 in earlier runs on this store and is 1 now: a model that exists stays until --refit"
    ]


def test_the_same_again_and_more_of_the_archive_are_no_difference(tmp_path: Path) -> None:
    store = kept(tmp_path, clock="+08:00", stations="/s.csv", paths=["/a"], select=["A*"])
    again: dict[str, Any] = {"clock": "+08:00", "stations": ["/s.csv"], "paths": ["/b"], "start": "2021-01-01"}
    assert differences(stating(store, **again)) == []
    assert differences(stating(store, **again, forget=["/a"])) == []
    config = stating(store, **again, irregular="nearest")
    keep_options(config)
    assert differences(config) == []


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


@pytest.mark.parametrize("text", ["a", "a b/c", "~", "~x/y", "memory:", "s3:", "s3:/x", ".", "..", "../a", "/a", "..b"])
def test_paths_written_beside_a_file_are_read_as_they_were(tmp_path: Path, text: str) -> None:
    path = os.path.normpath(os.path.join(tmp_path, text))
    keys = {"archive": {"paths": [path, "s3://b/x", "/other"], "stations": path}, "store": {"path": path}}
    config = build_config(keys)
    near = beside(config, tmp_path / "g.toml")
    again = build_config(anchored(tomllib.loads(render(near)), tmp_path / "g.toml"))
    assert again == config
    inside = Path(path).is_relative_to(tmp_path)
    absolute = os.path.isabs(near.store.path)
    assert absolute == (not inside or text.startswith("~"))
    assert near.archive.paths[1:] == ("s3://b/x", "/other")

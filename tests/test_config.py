"""The configuration: documented, validated, written and read back, digested."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gravdask.config import (
    STAGES,
    Config,
    NoiseConfig,
    build_config,
    digest,
    load_values,
    render,
    set_value,
)
from gravdask.errors import ConfigError

SECTIONS = list(Config.model_fields)
KEYS = [(s, k) for s in SECTIONS for k in type(getattr(Config(), s)).model_fields]


def test_stages_are_those_of_the_design() -> None:
    assert STAGES == ("convert", "noise", "calibrate", "scatter", "fit", "classify", "interpret", "report")


# --- the file that init writes ----------------------------------------------------------------------------------------


def test_every_key_is_documented_in_the_file() -> None:
    lines = render(Config()).splitlines()
    section, documented = "", {}
    for before, line in itertools.pairwise(lines):
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            documented[section, line.partition(" = ")[0]] = before
    lists = {(name, key) for name, key in KEYS if f"# [[{name}.{key}]]" in lines}
    assert lists == {("archive", "channels"), ("archive", "tables")}
    assert set(documented) | lists == set(KEYS)
    for (name, key), comment in documented.items():
        field = type(getattr(Config(), name)).model_fields[key]
        assert comment == f"# {field.description}"
        assert len(field.description or "") > 8


def test_every_section_says_what_it_is() -> None:
    text = render(Config())
    for name in SECTIONS:
        about = (type(getattr(Config(), name)).__doc__ or "").strip()
        assert f"[{name}]\n# {about}\n" in text
        assert about.endswith(".")


def test_lines_are_not_too_long_to_read() -> None:
    assert max(len(line) for line in render(Config()).splitlines()) <= 120


def test_what_was_found_stands_at_the_head() -> None:
    text = render(Config(), ["XX.334.--.UGZ 60s", "second line"])
    assert text.index("# Found in the archive:") < text.index("#   XX.334.--.UGZ 60s") < text.index("[archive]")
    assert build_config(tomllib.loads(text)) == Config()


def test_the_rendered_defaults_are_the_defaults() -> None:
    assert build_config(tomllib.loads(render(Config()))) == Config()


PRINTABLE = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x7f"), max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    paths=st.lists(PRINTABLE, max_size=3),
    title=PRINTABLE,
    admittance=st.floats(-1e9, 1e9) | st.just("regressed"),
    tide=st.booleans(),
    min_valid=st.floats(1e-300, 1.0),
    frame=st.sampled_from([0, 32, 256, 4096, 2**20]),
    seed=st.integers(0, 2**63 - 1),
)
def test_any_configuration_survives_its_file(
    paths: list[str], title: str, admittance: float | str, tide: bool, min_valid: float, frame: int, seed: int
) -> None:
    config = build_config(
        {
            "archive": {"paths": paths},
            "report": {"title": title},
            "preprocess": {"admittance": admittance, "tide": tide},
            "noise": {"min_valid": min_valid},
            "scattering": {"frame_samples": frame},
            "fit": {"seed": seed},
        }
    )
    assert build_config(tomllib.loads(render(config))) == config


def test_a_control_character_survives_the_file() -> None:
    config = build_config({"report": {"title": "a\x7fb"}})
    assert build_config(tomllib.loads(render(config))) == config


@pytest.mark.parametrize(("section", "key"), [("preprocess", "admittance"), ("interpret", "visibility_ratio")])
def test_infinite_numbers_are_refused_or_survive(section: str, key: str) -> None:
    try:
        config = build_config({section: {key: float("inf")}})
    except ConfigError:
        return
    assert build_config(tomllib.loads(render(config))) == config


# --- validation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scattering": {"frame_sample": 1}}, "unknown key 'scattering.frame_sample' (did you mean 'frame_samples'?)"),
        ({"scatering": {}}, "unknown key 'scatering' (did you mean 'scattering'?)"),
        ({"fit": {"components": 3}}, "unknown key 'fit.components' (did you mean 'n_components'?)"),
        ({"store": {"zzzz": 1}}, "unknown key 'store.zzzz' (known here: path, endpoint, region, allow_http, zarrs)"),
    ],
)
def test_an_unknown_key_names_the_nearest(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(values, "my.toml")
    assert str(caught.value) == f"my.toml: {message}"


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({"noise": {"degree": 21, "sided": "three"}, "cluster": {"werkers": 1}})
    text = str(caught.value)
    assert "noise.degree = 21" in text
    assert "less than or equal to 20" in text
    assert "noise.sided = 'three'" in text
    assert "'one' or 'two'" in text
    assert "did you mean 'workers'?" in text


def test_errors_of_configuration_are_value_errors() -> None:
    with pytest.raises(ValueError, match=r"fit\.starts = 0: .*greater than or equal to 1"):
        build_config({"fit": {"starts": 0}})


LIMITS = [
    ("preprocess", "tidal_factor", [0.5, 1.16, 2.0], [0.49, 2.01, "x"]),
    ("preprocess", "admittance", [-3, 0.0, "regressed"], ["fitted", None]),
    ("noise", "min_valid", [1e-6, 1.0], [0.0, 1.01]),
    ("noise", "degree", [0, 20], [-1, 21, 1.5]),
    ("scattering", "frame_samples", [0, 32, 4096, 2**20], [16, 33, 4095, -1, 2**21]),
    ("scattering", "octaves", [0, 20], [-1, 21]),
    ("scattering", "wavelets_per_octave", [1, 32], [0, 33]),
    ("scattering", "pooling", ["mean", "median", "max", "lowpass"], ["sum", ""]),
    ("fit", "n_components", [0, 64], [-1, 65]),
    ("fit", "min_days", [0.01], [0.0, -1]),
    ("fit", "refit", ["never", "always"], ["sometimes", True]),
    ("interpret", "q_limit", [0.05], [0.0, 1.0]),
    ("interpret", "odds_limit", [1.01], [1.0]),
    ("cluster", "kind", ["local", "serial", "slurm", "pbs", "mpi"], ["slurmm"]),
    ("cluster", "walltime", ["04:00:00", "2-00:00:00", "100:00:00"], ["", "4h", "04:00", "04:60:00"]),
    ("cluster", "memory", ["auto", "2GiB", "1500MB", "1.5 GiB", "0", "420MB"], ["", "much", "-1GiB", "100MB", "2"]),
    ("cluster", "silence", [5.0, 120.0], [0.0, 4.9]),
    ("cluster", "workers_per_job", [1, 128], [0, 2000]),
    ("cluster", "retries", [0, 20], [-1, 21]),
    ("archive", "clock", ["+08:00", "-05:30", "+14:59", "+8:00"], ["8", "+15:00", "+08:60", "UTC", "+0800"]),
    ("archive", "network", ["XX", "8B"], ["", "A.B", "ABCDEFGHI", "X*"]),
    (
        "archive",
        "start",
        ["", "2021-05-01", "2021-05-01T12:00:00Z", "2021"],
        ["1. May 2021", "2021-13-01", "now", "9999"],
    ),
    ("archive", "station_pattern", ["", r"(?P<station>\d+)_"], ["(", r"(\d+)", r"(?P<name>\d+)"]),
    ("store", "path", ["x.zarr"], [""]),
]


@pytest.mark.parametrize(("section", "key", "good", "bad"), LIMITS, ids=[f"{s}.{k}" for s, k, *_ in LIMITS])
def test_limits(section: str, key: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert getattr(getattr(build_config({section: {key: value}}), section), key) == value
    for value in bad:
        with pytest.raises(ConfigError, match=rf"{section}\.{key}"):
            build_config({section: {key: value}})


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:8786", "node7:8786", "tls://node7.example:8786", "s.json", "gateway:0a1b"]
)
def test_kind_address_takes_the_address_of_a_scheduler(address: str) -> None:
    assert build_config({"cluster": {"kind": "address", "address": address}}).cluster.address == address


@pytest.mark.parametrize("address", ["", "foo bar", "scheduler.jsn", "tcp://10.0.0.1", "gateway:"])
def test_kind_address_without_one_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="kind 'address' needs the address of a scheduler"):
        build_config({"cluster": {"kind": "address", "address": address}})


@pytest.mark.parametrize(
    ("walltime", "seconds"), [("00:00:30", 30), ("04:00:00", 14_400), ("2-01:00:00", 176_400), ("100:00:01", 360_001)]
)
def test_a_walltime_in_seconds(walltime: str, seconds: int) -> None:
    assert build_config({"cluster": {"walltime": walltime}}).cluster.walltime_seconds == seconds


def test_a_walltime_needs_no_quotes() -> None:
    values: dict[str, Any] = {}
    set_value(values, "cluster.walltime=04:00:00")
    assert build_config(values).cluster.walltime == "04:00:00"


@pytest.mark.parametrize(("kind", "wait", "seconds"), [("local", 0, 60), ("slurm", 0, 86_400), ("pbs", 7, 7)])
def test_how_long_workers_are_waited_for(kind: str, wait: float, seconds: float) -> None:
    assert build_config({"cluster": {"kind": kind, "wait": wait}}).cluster.patience == seconds


@pytest.mark.parametrize("given", [["tls_ca"], ["tls_cert", "tls_key"]])
def test_tls_is_given_whole(given: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({"cluster": dict.fromkeys(given, "x.pem")}, "g.toml")
    words = f"g.toml: cluster: TLS needs tls_ca, tls_cert and tls_key; only {' and '.join(given)} is given"
    assert str(caught.value) == words  # and not the whole section


def test_a_list_that_is_none_is_told_what_one_looks_like() -> None:
    with pytest.raises(ConfigError, match=r"archive.paths = '/a': expected a list, for example \["):
        build_config({"archive": {"paths": "/a"}})


@pytest.mark.parametrize("key", ["prologue", "directives"])
def test_a_line_of_a_job_script_is_one(key: str) -> None:
    with pytest.raises(ConfigError, match=f"cluster.{key}.*line break"):
        build_config({"cluster": {key: ["module load x\nrm y"]}})


def test_the_configuration_is_immutable() -> None:
    with pytest.raises(ValidationError):
        Config().fit.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("clock", "seconds"), [("+08:00", 28_800), ("-05:30", -19_800), ("+00:00", 0), ("-00:30", -1800)]
)
def test_the_clock_in_seconds(clock: str, seconds: int) -> None:
    assert build_config({"archive": {"clock": clock}}).archive.clock_offset_s == seconds


def test_the_span_in_nanoseconds() -> None:
    span = build_config({"archive": {"start": "1969-12-31T23:59:59", "end": "1970-01-02Z"}}).archive.span_ns()
    assert span == (-(10**9), 86_400 * 10**9)
    assert Config().archive.span_ns() == (None, None)


# --- paths ------------------------------------------------------------------------------------------------------------


def test_the_report_lies_beside_the_store_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Config().store_path == tmp_path / "gravdask.zarr"
    assert Config().report_folder == tmp_path / "gravdask-report"
    assert build_config({"store": {"path": "/a/b/net.zarr"}}).report_folder == Path("/a/b/net-report")
    assert build_config({"store": {"path": "/a/b/net"}}).report_folder == Path("/a/b/net-report")
    assert build_config({"report": {"folder": "page"}}).report_folder == tmp_path / "page"


def test_the_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert build_config({"store": {"path": "~/x.zarr"}}).store_path == Path("/somewhere/x.zarr")


# --- reading and setting ----------------------------------------------------------------------------------------------


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml: there is no such file; 'gravdask init ARCHIVE' writes one"):
        load_values(tmp_path / "no.toml")


@pytest.mark.parametrize("content", [b"[fit\nseed = 1", b"seed = ", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.toml: not a TOML file"):
        load_values(path)
    with pytest.raises(ConfigError, match="not a TOML file"):
        load_values(tmp_path)


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("fit.seed=7", 7),
        ("fit.seed = 7", 7),
        ("noise.min_valid=0.5", 0.5),
        ("preprocess.tide=false", False),
        ("scattering.pooling=max", "max"),
        ('scattering.pooling="max"', "max"),
        ('archive.select=["A*", "B"]', ["A*", "B"]),
        ("report.title=a=b", "a=b"),
        ("report.title=", ""),
        ("report.folder=C:\\new", "C:\\new"),
    ],
)
def test_values_set_on_the_command_line(assignment: str, value: Any) -> None:
    section, _, key = assignment.partition("=")[0].strip().partition(".")
    values: dict[str, Any] = {section: {"other": 1}, "store": {"path": "x"}}
    set_value(values, assignment)
    assert values[section] == {"other": 1, key: value}
    assert values["store"].get("path") == "x"


@pytest.mark.parametrize("assignment", ["seed=7", "fit.seed", "fit.=7", "", "=3"])
def test_assignments_of_another_form_are_refused(assignment: str) -> None:
    with pytest.raises(ConfigError, match=r"expected SECTION\.KEY=VALUE"):
        set_value({}, assignment)


def test_a_section_that_is_no_table_is_refused() -> None:
    with pytest.raises(ConfigError, match="fit = 3"):
        build_config({"fit": 3})


def test_setting_a_key_of_what_is_no_table_is_refused() -> None:
    with pytest.raises(ConfigError):
        set_value({"fit": 3}, "fit.seed=1")


# --- digests ----------------------------------------------------------------------------------------------------------


def test_digests_are_golden() -> None:
    """A change of these makes every unit of every store stale."""
    assert digest(1, "a", [1.5, None]) == "3b40d1fb6269e458"
    assert digest(NoiseConfig()) == digest({"min_valid": 0.9, "degree": 9, "sided": "one"})


def test_digests_do_not_depend_on_order_of_keys_or_kind_of_sequence() -> None:
    assert digest({"a": 1, "b": (1, 2)}) == digest({"b": [1, 2], "a": 1})
    assert digest(np.int64(3), np.float64(0.1)) == digest(3, 0.1)
    assert digest(1, 2) != digest([1, 2])
    assert digest("1") != digest(1)


def test_digests_are_the_same_in_another_process() -> None:
    code = "from gravdask.config import Config, digest; print(digest(Config(), {'b', 'a'} and 'x'))"
    found = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert found == [digest(Config(), "x")] * 2


@pytest.mark.parametrize(("section", "key", "good", "bad"), LIMITS, ids=[f"{s}.{k}" for s, k, *_ in LIMITS])
def test_a_changed_key_changes_the_digest_of_its_section_alone(
    section: str, key: str, good: list[Any], bad: list[Any]
) -> None:
    default = getattr(getattr(Config(), section), key)
    changed = build_config({section: {key: next(v for v in good if v != default)}})
    assert {s for s in SECTIONS if digest(getattr(changed, s)) != digest(getattr(Config(), s))} == {section}


def test_what_cannot_be_digested_is_an_error() -> None:
    with pytest.raises(TypeError, match="cannot make a digest of set"):
        digest({1, 2})


def test_sections_are_models_with_closed_sets_of_keys() -> None:
    for name in SECTIONS:
        section = getattr(Config(), name)
        assert isinstance(section, BaseModel)
        assert type(section).model_config["extra"] == "forbid"
        assert type(section).model_config["frozen"] is True

"""The command line: exit codes, messages that help, nothing done where something is wrong."""

from __future__ import annotations

import shutil
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gravdask
from gravdask import cli as cli_module
from gravdask.archive.reader import import_quietly
from gravdask.arguments import share_of_units
from gravdask.cli import _code, make_config
from gravdask.config import STAGES, Config, build_config
from gravdask.errors import (
    CatalogError,
    ConfigError,
    ExecutionError,
    LeaseHeldError,
    MixtureError,
    ModelError,
    PreflightError,
    ReadError,
    StationError,
    StoreError,
    UnitsError,
)
from gravdask.store.options import anchored

COMMANDS = ("run", *STAGES, "init", "scan", "plan", "preflight", "status", "simulate", "demo")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stations, an hour at 1 Hz each, as MiniSEED, and a file that is no record."""
    obspy = import_quietly("obspy")
    folder = tmp_path_factory.mktemp("archive")
    generator = np.random.default_rng(0)
    for station in ("AAA", "BBB"):
        header = {"network": "XX", "station": station, "channel": "LHZ", "starttime": obspy.UTCDateTime(2021, 5, 1)}
        values = generator.integers(-1000, 1000, 3600).astype(np.int32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            obspy.Stream([obspy.Trace(values, header)]).write(str(folder / f"{station}.mseed"), format="MSEED")
    (folder / "readme.md").write_text("about this archive")
    return folder


@dataclass
class Outcome:
    """What a command gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> Outcome:
        code = _code(list(arguments))
        return Outcome(code, *capsys.readouterr())

    return call


# --- help -------------------------------------------------------------------------------------------------------------


def test_help_lists_all_commands(run: Any) -> None:
    found = run("--help")
    assert (found.code, found.err) == (0, "")
    listed = {line.split()[0] for line in found.out.split("Commands:")[1].splitlines() if line.strip()}
    assert listed == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Any, command: str) -> None:
    found = run(command, "-h")
    assert (found.code, found.err) == (0, "")
    assert f"Usage: gravdask {command} " in found.out
    about = found.out.split("\n\n")[1].strip()
    assert len(about) > 15
    assert about.endswith(".")


def test_the_version_is_that_of_the_package(run: Any) -> None:
    assert run("--version").out.strip().endswith(gravdask.__version__)


def test_the_help_names_all_that_is_read_of_stations(run: Any) -> None:
    told = " ".join(run("run", "--help").out.split())
    assert "CSV, StationXML, RESP, dataless SEED, or a folder of them" in told
    assert "Estimate tide, air pressure and drift anew" in told
    assert "s3://bucket/prefix" in told
    for command in ("scan", "plan", "status"):
        assert "--task" not in run(command, "--help").out


# --- wrong usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "No such command 'fly'"),
        (["run", "--fast"], "No such option '--fast'"),
        (["run", "--workers", "many"], "'many' is not a valid integer"),
        (["init"], "Missing argument 'ARCHIVE...'"),
        (["simulate"], "Missing argument 'FOLDER'"),
        (["run"], "no archive is named: give its folder, or set archive.paths in the configuration"),
        (["scan"], "no archive is named"),
        (["run", "nowhere"], "nowhere: there is no such file or folder; the archive must exist"),
        (["run", "-c", "none.toml"], "none.toml: there is no such file; 'gravdask init ARCHIVE' writes one"),
        (["run", ".", "--clock", "8"], "archive.clock = '8': expected a signed offset from UTC such as '+08:00'"),
        (["run", ".", "--start", "May"], "archive.start = 'May': expected an ISO 8601 UTC time"),
        (["run", ".", "--years", "last"], "--years 'last': expected Y1:Y2, for example 2019:2021"),
        (["run", ".", "--years", "2021:2019"], "--years '2021:2019': expected two years from 1950 to 2150"),
        (["run", ".", "--years", "1900"], "expected two years from 1950 to 2150"),
        (["run", ".", "--task", "8/8"], "--task '8/8': expected I/N with 0 <= I < N, for example 0/8"),
        (["run", ".", "--task", "x"], "--task 'x': expected I/N"),
        (["run", ".", "--set", "seed=3"], "--set 'seed=3': expected SECTION.KEY=VALUE"),
        (["run", ".", "--set", "fit.sead=3"], "unknown key 'fit.sead' (did you mean 'seed'?)"),
        (["run", ".", "--set", "noise.degree=99"], "noise.degree = 99: Input should be less than or equal to 20"),
        (["run", ".", "--workers", "-1"], "cluster.workers = -1"),
        (["run", ".", "--stages", "convert,fitt"], "unknown stages ['fitt']; there are convert, noise"),
        (["noise", "-o", "none.zarr"], "none.zarr: no gravdask store is here; 'gravdask run ARCHIVE -o"),
        (["status", "-o", "none.zarr"], "none.zarr: no gravdask store is here"),
        (["run", ".", "-o", "disk/x.zarr"], "disk; make it, mount its disk, or name another one"),
        (["run", "-c", "."], ".: this is a folder, and no configuration file; an archive is named without -c"),
        (["run", ".", "--stages", ""], "unknown stages ['']; there are convert, noise"),
        (["scan", ".", "--figure", "x.doc"], "x.doc: a picture is written as .png, .svg, .pdf; end its name with one"),
        (["status", "--figure", "none/x.png"], "none/x.png: there is no folder"),
        (
            ["run", ".", "--years", "2020", "--start", "2020-05-01"],
            "--years '2020' and --start or --end both state the time",
        ),
        (["status", "--refit"], "No such option '--refit'"),
        (["scan", "--channels", "XX.*"], "No such option '--channels'"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_a_message(
    run: Any, tmp_path: Path, arguments: list[str], message: str
) -> None:
    found = run(*arguments)
    assert found.code == 2
    assert message in found.err
    assert "Traceback" not in found.err
    assert found.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_store_should_be_is_wrong_usage(run: Any, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    found = run("run", str(archive), "--serial", "-o", "notes.txt")
    assert found.code == 2
    assert "notes.txt" in found.err
    assert found.err.strip().endswith("name a folder that can be written to")


def test_an_empty_folder_is_no_archive(run: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (["scan", "empty"], ["init", "empty"], ["run", "empty", "--serial"]):
        found = run(*arguments)
        assert found.code == 2, arguments
        assert "empty" in found.err
    assert not (tmp_path / "gravdask.toml").exists()


def test_an_unknown_key_of_the_file_is_named_with_the_file(run: Any, tmp_path: Path) -> None:
    (tmp_path / "gravdask.toml").write_text("[scattering]\nframes = 3\n")
    found = run("status")
    assert found.code == 2
    assert "gravdask.toml: unknown key 'scattering.frames' (did you mean 'frame_samples'?)" in found.err


def test_a_file_that_is_not_toml_is_named(run: Any, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[archive\n")
    found = run("plan", "-c", "my.toml")
    assert (found.code, "my.toml: not a TOML file" in found.err) == (2, True)


def test_stations_that_are_not_there_are_named(run: Any, archive: Path) -> None:
    found = run("scan", str(archive), "--stations", "none.csv")
    assert found.code == 2
    assert "none.csv" in found.err


def test_a_selection_without_any_record_is_told(run: Any, archive: Path) -> None:
    found = run("scan", str(archive), "--station", "ZZZ")
    assert found.code == 2
    assert "no record of the stations ZZZ" in found.err


# --- exit codes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (ReadError("x"), 2),
        (StationError("x"), 2),
        (CatalogError("x"), 2),
        (UnitsError("x"), 2),
        (StoreError("x"), 2),
        (ExecutionError("x"), 3),
        (ModelError("x"), 3),
        (MixtureError("x"), 3),
        (OSError(28, "no space left on device"), 3),
        (KeyboardInterrupt(), 3),
        (LeaseHeldError("x"), 4),
        (PreflightError("x"), 5),
    ],
)
def test_errors_have_their_exit_codes(
    run: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*arguments: object) -> int:
        raise error

    monkeypatch.setattr(cli_module, "_execute", fail)
    found = run("run", ".")
    assert found.code == code
    assert found.err.lstrip().startswith("gravdask: ")
    assert "Traceback" not in found.err
    if code == 3 and not isinstance(error, ExecutionError | ModelError | MixtureError):
        assert "run again to continue" in found.err


@pytest.mark.parametrize("code", [0, 1])
def test_the_exit_code_of_a_run_is_that_of_its_record(run: Any, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(cli_module, "_execute", lambda *arguments: code)
    assert run("run", ".").code == code


def test_main_exits_with_the_code() -> None:
    with pytest.raises(SystemExit) as caught:
        cli_module.main(["status"])
    assert caught.value.code == 2


def test_what_nobody_foresaw_is_no_end_that_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> int:
        failure = "a corner of the world"
        raise RuntimeError(failure)

    monkeypatch.setattr(cli_module, "_execute", fail)
    with pytest.raises(SystemExit) as caught:
        cli_module.main(["run", "."])
    assert caught.value.code == 3
    said = capsys.readouterr().err
    assert "RuntimeError: a corner of the world" in said
    assert said.splitlines()[-1].startswith("gravdask: ")


# --- from options to configuration ------------------------------------------------------------------------------------


def captured(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[Config, tuple[str, ...], dict[str, Any]]:
    """What a command would do, without doing it."""
    seen: list[Any] = []

    def note(*given: Any) -> int:
        seen.extend(given)
        return 0

    monkeypatch.setattr(cli_module, "_execute", note)
    assert _code(list(arguments)) == 0
    return seen[0], seen[1], seen[2]


def test_options_become_the_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config, stages, flags = captured(
        monkeypatch,
        *("run", "a", "b", "-o", "net.zarr", "--catalog", "c.csv", "--stations", "s.csv", "--units", "mGal"),
        *("--clock", "+08:00", "--years", "2019:2020", "--station", "A*", "--station", "XX.B", "--serial"),
        *("--workers", "3", "--refit", "--task", "1/4", "--channels", "*.UGZ", "--set", "fit.seed=7"),
    )
    assert config == build_config(
        {
            "archive": {
                "paths": [str(tmp_path / "a"), str(tmp_path / "b")], "stations": str(tmp_path / "s.csv"),
                "units": "mGal", "clock": "+08:00", "start": "2019-01-01", "end": "2021-01-01",
                "select": ["A*", "XX.B"],
            },
            "store": {"path": str(tmp_path / "net.zarr")},
            "interpret": {"catalog": str(tmp_path / "c.csv")},
            "cluster": {"kind": "serial", "workers": 3},
            "fit": {"refit": "always", "seed": 7},
        }
    )  # fmt: skip
    assert stages == STAGES
    assert share_of_units(flags["task"]) == (1, 4)
    assert flags["channels"] == ("*.UGZ",)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_command_does_its_stage_alone(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    assert captured(monkeypatch, stage, "a")[1] == (stage,)


def test_stages_can_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert captured(monkeypatch, "run", "a", "--stages", "noise, convert")[1] == ("noise", "convert")


def test_the_file_of_the_folder_is_used_and_options_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gravdask.toml").write_text('[archive]\npaths = ["x"]\n[fit]\nseed = 3\n[noise]\ndegree = 5\n')
    config, _, _ = captured(monkeypatch, "run", "--set", "fit.seed=4")
    assert (config.archive.paths, config.fit.seed, config.noise.degree) == ((str(tmp_path / "x"),), 4, 5)
    assert captured(monkeypatch, "run", "y")[0].fit.seed == 0
    assert captured(monkeypatch, "run", "y", "-c", "gravdask.toml")[0].fit.seed == 3


def test_one_year_is_a_span_of_one_year() -> None:
    config = make_config(("a",), {"years": "2020"})
    assert (config.archive.start, config.archive.end) == ("2020-01-01", "2021-01-01")


# --- init, scan, plan -------------------------------------------------------------------------------------------------


def test_init_writes_a_documented_file_that_is_read_again(run: Any, archive: Path, tmp_path: Path) -> None:
    found = run("init", str(archive), "--clock", "+08:00", "-o", "net.zarr")
    assert found.code == 0, found.err
    assert "XX.AAA.--.LHZ" in found.out
    assert f"wrote {tmp_path / 'gravdask.toml'}; now: gravdask run -c gravdask.toml" in found.out
    text = (tmp_path / "gravdask.toml").read_text()
    assert "#   XX.AAA.--.LHZ" in text
    assert "3600 samples in 1 traces" in text
    config = build_config(anchored(tomllib.loads(text), tmp_path / "gravdask.toml"))
    assert config.archive.paths == (str(archive),)
    assert (config.archive.clock, config.store_path) == ("+08:00", tmp_path / "net.zarr")
    assert make_config((), {}) == config
    assert [p.name for p in tmp_path.iterdir()] == ["gravdask.toml"]


def test_a_folder_with_its_configuration_may_move(run: Any, archive: Path, tmp_path: Path) -> None:
    shutil.copytree(archive, tmp_path / "mine")
    assert run("init", "mine", str(archive), "-o", "net.zarr").code == 0
    values = tomllib.loads((tmp_path / "gravdask.toml").read_text())
    assert values["archive"]["paths"] == ["mine", str(archive)]
    assert values["store"]["path"] == "net.zarr"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "gravdask.toml").rename(tmp_path / "elsewhere/gravdask.toml")
    config = make_config((), {"config_file": "elsewhere/gravdask.toml"})
    assert config.archive.paths == (str(tmp_path / "elsewhere/mine"), str(archive))
    assert config.store_path == tmp_path / "elsewhere/net.zarr"


def test_init_does_not_overwrite_unless_forced(run: Any, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "gravdask.toml").write_text("[fit]\nseed = 3\n")
    found = run("init", str(archive))
    assert found.code == 2
    assert f"{tmp_path / 'gravdask.toml'} exists; remove it, or give --force to replace it" in found.err
    assert (tmp_path / "gravdask.toml").read_text() == "[fit]\nseed = 3\n"
    assert run("init", str(archive), "--force").code == 0
    assert "seed = 0" in (tmp_path / "gravdask.toml").read_text()


def test_scan_lists_channels_and_what_is_no_record(run: Any, archive: Path, tmp_path: Path) -> None:
    found = run("scan", str(archive))
    assert found.code == 0
    lines = found.out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["XX.AAA.--.LHZ", "XX.BBB.--.LHZ"]
    assert "1Hz" in lines[0]
    assert "2021-05-01T00:00:00 to 2021-05-01T0" in lines[0]
    assert "3600 samples in 1 traces" in lines[0]
    assert lines[-1] == "1 files are no records and were ignored: readme.md"
    assert list(tmp_path.iterdir()) == []


def test_scan_of_chosen_stations(run: Any, archive: Path) -> None:
    found = run("scan", str(archive), "--station", "XX.B*")
    assert "XX.BBB.--.LHZ" in found.out
    assert "XX.AAA.--.LHZ" not in found.out


def test_plan_without_a_store_says_that_everything_will_run(run: Any, archive: Path, tmp_path: Path) -> None:
    found = run("plan", str(archive))
    assert found.code == 0
    assert f"the store {tmp_path / 'gravdask.zarr'} does not exist yet: every stage will run" in found.out
    assert list(tmp_path.iterdir()) == []


# --- a short run ------------------------------------------------------------------------------------------------------


def test_convert_twice_then_plan_and_status(run: Any, archive: Path, tmp_path: Path) -> None:
    first = run("convert", str(archive), "--serial")
    assert first.code == 0, first.err
    assert "2 units done, 0 up to date" in first.err
    assert first.out == ""
    second = run("convert", str(archive), "--serial")
    assert second.code == 0
    assert "nothing to do: all 2 units are up to date" in second.err
    planned = run("plan", str(archive))
    assert planned.code == 0
    assert "convert    0 units (0 chunks) to do, 2 up to date" in planned.out
    status = run("status")
    assert status.code == 0
    assert "2 channels" in status.out
    assert "XX.AAA.--.LHZ" in status.out
    assert "convert    2 done" in status.out
    assert "scatter    nothing yet" in status.out
    assert status.err == ""  # what a run would do otherwise than the last one is no matter of who only looks
    assert [p.name for p in tmp_path.iterdir()] == ["gravdask.zarr"]


def share_of(run: Any, archive: Path, share: str, store: str) -> set[str]:
    """Channels that a job with this share of the units converts."""
    from gravdask.store.ledger import Ledger

    found = run("convert", str(archive), "--serial", "--task", share, "-o", store)
    assert found.code == 0
    assert f"share {share} of the units; store " in found.err
    return {r.channel for r in Ledger(Path(store) / "ledger").of_stage("convert")}


def test_channels_that_the_store_does_not_hold_are_told(run: Any, archive: Path) -> None:
    assert run("convert", str(archive), "--serial").code == 0
    found = run("noise", "--serial", "--channels", "ZZ.*")
    assert "nothing to do: there is nothing to work on for these stages, channels and times" in found.err
    assert "'gravdask status'" in found.err


def test_shares_do_not_depend_on_what_other_jobs_have_done(run: Any, archive: Path) -> None:
    alone = share_of(run, archive, "1/2", "alone.zarr")
    first = share_of(run, archive, "0/2", "both.zarr")
    second = share_of(run, archive, "1/2", "both.zarr") - first
    assert second == alone
    assert first | second == {"XX.AAA.--.LHZ", "XX.BBB.--.LHZ"}


def test_a_file_that_is_damaged_is_quarantined_with_exit_code_1(run: Any, archive: Path, tmp_path: Path) -> None:
    copy = tmp_path / "archive"
    copy.mkdir()
    content = (archive / "AAA.mseed").read_bytes()
    (copy / "AAA.mseed").write_bytes(content)
    (copy / "BBB.mseed").write_bytes((archive / "BBB.mseed").read_bytes()[:700])
    found = run("run", str(copy), "--serial", "--stages", "convert,report")
    assert found.code == 1, found.err
    assert "quarantined: " in found.err
    assert "BBB.mseed" in found.err


def test_a_store_in_use_is_exit_code_4(run: Any, archive: Path, tmp_path: Path) -> None:
    from gravdask.store.lease import Lease

    assert run("convert", str(archive), "--serial").code == 0
    with Lease(tmp_path / "gravdask.zarr" / "ledger" / "leases", ("*",), ("convert",)):
        found = run("convert", str(archive), "--serial")
        assert found.code == 4
        assert "has worked on this store since" in found.err
        assert run("status").code == 0
        assert run("noise", "--serial").code == 0


def test_a_folder_with_other_things_is_left_alone(run: Any, archive: Path, tmp_path: Path) -> None:
    (tmp_path / "gravdask.zarr").mkdir()
    (tmp_path / "gravdask.zarr" / "thesis.txt").write_text("years of work")
    found = run("convert", str(archive), "--serial")
    assert found.code == 2
    assert "holds something that is not a gravdask store" in found.err
    assert [p.name for p in (tmp_path / "gravdask.zarr").iterdir()] == ["thesis.txt"]


# --- what changed, what is there, what is quarantined -----------------------------------------------------------------


def day_file(path: Path, station: str, day: int, seed: int = 0) -> Path:
    """A day of a minute record as MiniSEED."""
    obspy = import_quietly("obspy")
    header = {
        "network": "XX", "station": station, "channel": "UGZ", "sampling_rate": 1 / 60,
        "starttime": obspy.UTCDateTime(2021, 5, day),
    }  # fmt: skip
    values = np.random.default_rng(100 * seed + day).integers(-1000, 1000, 1440).astype(np.int32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        obspy.Stream([obspy.Trace(values, header)]).write(str(path), format="MSEED")
    return path


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    """Two stations, five days each, of which one is missing."""
    folder = tmp_path / "net"
    for station in ("AAA", "BBB"):
        for day in (1, 2, 4, 5, 6):
            day_file(folder / station / f"{station}_2021050{day}.mseed", station, day, seed=station == "BBB")
    return folder


def test_plan_says_what_changed_in_files_spans_and_days(run: Any, growing: Path) -> None:
    assert run("convert", str(growing), "--serial").code == 0
    idle = run("plan", "--serial")
    assert "archive    nothing changed in 10 files" in idle.out
    day_file(growing / "AAA" / "AAA_20210503.mseed", "AAA", 3)
    day_file(growing / "AAA" / "AAA_20210505.mseed", "AAA", 5, seed=7)
    (growing / "BBB" / "BBB_20210506.mseed").unlink()
    (growing / "BBB" / "BBB_20210501.mseed").rename(growing / "first.mseed")
    planned = run("plan", "--serial")
    assert planned.code == 0, planned.err
    lines = planned.out.splitlines()
    at = lines.index("archive    1 files new, 1 changed, 1 removed, 1 moved")
    assert lines[at + 1 : at + 5] == [
        f"           new: {growing / 'AAA' / 'AAA_20210503.mseed'}",
        f"           changed: {growing / 'AAA' / 'AAA_20210505.mseed'}",
        f"           removed: {growing / 'BBB' / 'BBB_20210506.mseed'}",
        f"           moved: {growing / 'BBB' / 'BBB_20210501.mseed'} to {growing / 'first.mseed'}",
    ]
    assert lines[at + 5 : at + 7] == [
        "           stale XX.AAA.--.UGZ        2 spans, 2.00 days, 2021-05-03T00:00:00 to 2021-05-06T00:00:00",
        "           stale XX.BBB.--.UGZ        1 span, 1.00 days, 2021-05-06T00:00:00 to 2021-05-07T00:00:00",
    ]
    assert any(line.startswith("note: 1 files of the last scan are gone") for line in lines)
    assert any(line.startswith("convert    2 units") for line in lines)
    looked = run("scan", str(growing))
    assert "since the last run on " in looked.out
    assert "archive    1 files new, 1 changed, 1 removed, 1 moved" in looked.out
    done = run("convert", str(growing), "--serial")
    assert done.code == 0
    assert "leaves the store: " in done.err
    assert "archive    nothing changed in 10 files" in run("plan", "--serial").out


def test_a_moved_file_makes_nothing_stale(run: Any, growing: Path) -> None:
    assert run("convert", str(growing), "--serial").code == 0
    (growing / "AAA").rename(growing / "renamed")
    planned = run("plan", "--serial")
    assert "archive    0 files new, 0 changed, 0 removed, 5 moved" in planned.out
    assert "no span of any channel is touched by that" in planned.out
    assert "convert    0 units (0 chunks) to do, 2 up to date" in planned.out


def test_scan_and_status_tell_availability_and_draw_it(run: Any, growing: Path, tmp_path: Path) -> None:
    (growing / "BBB" / "BBB_20210503.mseed").write_bytes(b"0" * 600)
    scanned = run("scan", str(growing), "--figure", "scan.png")
    assert scanned.code == 0, scanned.err
    wanted = ["XX.AAA.--.UGZ", "2021", "83.33", "5.00", "1", "1.0", "days"]
    assert wanted in [line.split() for line in scanned.out.splitlines()]
    assert (tmp_path / "scan.png").read_bytes().startswith(b"\x89PNG")
    run("convert", str(growing), "--serial")
    told = run("status", "--figure", "status.svg")
    assert told.code == 0
    assert wanted in [line.split() for line in told.out.splitlines()]
    assert "XX.AAA.--.UGZ" in (tmp_path / "status.svg").read_text() or (tmp_path / "status.svg").stat().st_size > 5000


def test_status_tells_what_the_store_holds_and_not_what_the_archive_has_now(run: Any, growing: Path) -> None:
    run("convert", str(growing), "--serial", "--channels", "XX.AAA*")
    rows = [line.split()[0] for line in run("status").out.splitlines() if " 2021 " in line]
    assert rows == ["XX.AAA.--.UGZ"]


def test_many_damaged_files_are_grouped_by_their_reason(run: Any, growing: Path) -> None:
    for n in range(30):
        (growing / f"letter_{n:02d}.tsf").write_text(f"dear colleague {n}\n")
    for n in range(2):
        (growing / f"short_{n}.mseed").write_bytes((growing / "AAA" / "AAA_20210501.mseed").read_bytes()[:700])
    scanned = run("scan", str(growing))
    lines = [line for line in scanned.out.splitlines() if line.startswith(("quarantined:", "    in "))]
    assert lines[0] == "quarantined: 32 in all, by reason:"
    assert lines[1].startswith("quarantined: 30 x named .tsf but is no TSoft file")
    assert lines[2].startswith(f"    in {growing / 'letter_00.tsf'}, line 1, ")
    assert lines[2].endswith("and 27 more")
    assert lines[3].startswith("quarantined: 2 x ")
    assert len(lines) == 5
    run("convert", str(growing), "--serial")
    assert "quarantined: 30 x named .tsf but is no TSoft file" in run("status").out


def test_copies_are_told_and_used_once(run: Any, growing: Path) -> None:
    copy = growing / "copy_of_AAA_20210501.mseed"
    copy.write_bytes((growing / "AAA" / "AAA_20210501.mseed").read_bytes())
    note = f"1 files have the content of another, each is used once: {copy} = {growing / 'AAA' / 'AAA_20210501.mseed'}"
    assert f"note: {note}" in run("scan", str(growing)).out
    converted = run("convert", str(growing), "--serial")
    assert f"note: {note}" in converted.err
    assert "there more than once" not in converted.err


def test_an_unchanged_index_is_not_written_again(run: Any, growing: Path, tmp_path: Path) -> None:
    assert run("convert", str(growing), "--serial").code == 0
    index = tmp_path / "gravdask.zarr" / "ledger" / "index.parquet"
    before = index.stat()
    assert run("convert", str(growing), "--serial").code == 0
    after = index.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_without_digests_the_values_are_the_same(run: Any, growing: Path) -> None:
    assert run("convert", str(growing), "--serial", "-o", "one.zarr").code == 0
    assert run("convert", str(growing), "--serial", "-o", "two.zarr", "--set", "archive.digests=false").code == 0
    one, two = gravdask.open("one.zarr"), gravdask.open("two.zarr")
    for name in ("XX.AAA.--.UGZ", "XX.BBB.--.UGZ"):
        np.testing.assert_array_equal(one[name]["raw"]["record"].values, two[name]["raw"]["record"].values)


def test_an_archive_behind_an_address_gives_the_same_store(run: Any, growing: Path) -> None:
    import fsspec

    system = fsspec.filesystem("memory")
    for path in growing.rglob("*.mseed"):
        system.pipe_file(f"/cli-net/{path.relative_to(growing).as_posix()}", path.read_bytes())
    system.pipe_file("/cli-net/bad_20210503.tsf", b"prose\n")
    try:
        scanned = run("scan", "memory://cli-net")
        assert scanned.code == 0, scanned.err
        assert "quarantined: memory://cli-net/bad_20210503.tsf, line 1: " in scanned.out
        found = run("convert", "memory://cli-net", "--serial", "-o", "far.zarr")
        assert found.code == 1, found.err
        assert "quarantined: memory://cli-net/bad_20210503.tsf" in found.err
        assert run("convert", str(growing), "--serial", "-o", "near.zarr").code == 0
        far, near = gravdask.open("far.zarr"), gravdask.open("near.zarr")
        for name in ("XX.AAA.--.UGZ", "XX.BBB.--.UGZ"):
            np.testing.assert_array_equal(far[name]["raw"]["record"].values, near[name]["raw"]["record"].values)
        again = run("convert", "--serial", "-o", "far.zarr")
        assert "nothing to do: all 2 units are up to date" in again.err
    finally:
        system.rm("/cli-net", recursive=True)


def test_an_address_that_is_not_there_is_told(run: Any) -> None:
    found = run("run", "memory://cli-nowhere", "--serial")
    assert found.code == 2
    assert "memory://cli-nowhere: there is no such file or folder; the archive must exist" in found.err
    found = run("scan", "nosuch://x")
    assert found.code == 2
    assert "not an address that fsspec can open" in found.err


def test_a_disk_that_fails_while_converting_loses_nothing(
    run: Any, growing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gravdask.stages import convert

    assert run("convert", str(growing), "--serial").code == 0
    before = gravdask.open("gravdask.zarr")["XX.AAA.--.UGZ"]["raw"]["record"].values
    corrected = day_file(growing / "AAA" / "AAA_20210501.mseed", "AAA", 1, seed=9)
    day_file(growing / "AAA" / "AAA_20210503.mseed", "AAA", 3)
    true_open = Path.open

    def fails(path: Path, *given: Any, **more: Any) -> Any:
        if path == corrected:
            raise OSError(5, "Input/output error")
        return true_open(path, *given, **more)

    def open_source(path: str, *given: Any, **more: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", fails)
            return true_source(path, *given, **more)

    true_source = convert.open_source
    with monkeypatch.context() as patch:
        patch.setattr(convert, "open_source", open_source)
        found = run("convert", "--serial")
    assert found.code == 1
    assert f"quarantined: {corrected}: cannot be read now: Input/output error; its days of XX.AAA" in found.err
    after = gravdask.open("gravdask.zarr")["XX.AAA.--.UGZ"]["raw"]["record"].values
    np.testing.assert_array_equal(after, before)  # a minute record's chunk holds all of these days
    again = run("convert", "--serial")
    assert again.code == 0, again.err
    assert "1 units done, 1 up to date" in again.err
    assert run("convert", str(growing), "--serial", "-o", "fresh.zarr").code == 0
    healed, fresh = (gravdask.open(p)["XX.AAA.--.UGZ"]["raw"]["record"].values for p in ("gravdask.zarr", "fresh.zarr"))
    np.testing.assert_array_equal(healed, fresh)


def test_an_option_that_stops_a_run_is_not_remembered(run: Any, archive: Path, tmp_path: Path) -> None:
    for wrong in (("--units", "mgall"), ("--stations", "none.csv")):
        assert run("convert", str(archive), "--serial", *wrong).code == 2
        assert not (tmp_path / "gravdask.zarr").exists()
    assert run("convert", str(archive), "--serial").code == 0
    assert run("convert", str(archive), "--serial", "--stations", "none.csv").code == 2
    again = run("convert", str(archive), "--serial")
    assert again.code == 0
    assert "none.csv" not in again.err


@pytest.mark.parametrize("command", [("convert", "--serial"), ("run", "--serial", "--stages", "convert"), ("plan",)])
def test_a_file_of_the_folder_that_contradicts_the_store_is_told(
    run: Any, archive: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    assert run("convert", str(archive), "--serial", "--clock", "+08:00", "-o", "x.zarr").code == 0
    same = run(*command, "-o", "x.zarr")
    assert same.code == 0
    assert "configuration:" not in same.err
    assert "was '" not in same.err
    (tmp_path / "gravdask.toml").write_text(f"[archive]\npaths = ['{archive}']\nclock = '+00:00'\n")
    found = run(*command, "-o", "x.zarr")
    assert found.code == 0
    lines = found.err.splitlines()
    assert lines[0] == "configuration: gravdask.toml"
    unused = run(command[0], str(archive), *command[1:], "-o", "y.zarr").err
    assert "note: gravdask.toml is here and not used, since an archive is named; -c gravdask.toml uses both\n" in unused
    told = (
        "archive.clock was '+08:00' in earlier runs on this store and is '+00:00' now: "
        "what follows from it is made again"
    )
    assert lines.count(told) == 1
    named = run(*command, "-o", "x.zarr", "-c", "gravdask.toml")
    assert "configuration:" not in named.err
    assert (told in named.err) == (command == ("plan",))  # a run is the earlier one by now, a plan did nothing


@pytest.mark.parametrize("command", [("convert", "--serial"), ("plan",), ("noise", "--serial")])
def test_a_damaged_memory_of_options_is_exit_code_2(
    run: Any, archive: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    assert run("convert", str(archive), "--serial", "--clock", "+08:00").code == 0
    file = tmp_path / "gravdask.zarr" / "ledger" / "options.json"
    file.write_text("")
    found = run(*command)
    assert found.code == 2
    assert f"{file}: the options of earlier runs on this store are damaged" in found.err
    assert "remove the file, and state the options of the first run again, such as --clock" in found.err
    assert file.read_text() == ""
    file.unlink()
    found = run("convert", str(archive), "--serial", "--clock", "+08:00")
    assert found.code == 0
    assert f"note: {file} is gone, so the options of earlier runs on this store are not known" in found.err
    assert "nothing to do: all 2 units are up to date" in found.err
    assert "is gone" not in run("convert", "--serial").err


def test_status_names_lost_shards(run: Any, archive: Path, tmp_path: Path) -> None:
    assert run("convert", str(archive), "--serial").code == 0
    assert "damaged" not in run("status").out
    lost, cut = ((tmp_path / "gravdask.zarr" / f"XX.{s}.--.LHZ" / "raw/record/c").glob("*") for s in ("AAA", "BBB"))
    for shard in lost:
        shard.unlink()
    for shard in cut:
        shard.write_bytes(shard.read_bytes()[:-9])
    found = run("status")
    assert found.code == 0
    (line,) = (line for line in found.out.splitlines() if line.startswith("damaged"))
    assert "2 shards are gone from the store, or not as they were written" in line
    assert "XX.AAA.--.LHZ/raw/record unit " in line
    assert "XX.BBB.--.LHZ/raw/record unit " in line
    assert "'gravdask run' makes them again" in found.out
    assert run("convert", "--serial").code == 0
    assert "damaged" not in run("status").out


def test_status_tells_the_unit_of_channels_of_another_kind(run: Any, tmp_path: Path) -> None:
    head = "[TSF-file] v01.0\n[UNDETVAL] 9999.999\n[TIMEFORMAT] DATETIME\n[INCREMENT] 60\n[CHANNELS]\n"
    head += "AAA:SG:Temperature\n[UNITS]\ndegC\n[DATA]\n"
    rows = "".join(f"2021 05 01 {k // 60:02d} {k % 60:02d} 00 {20 + k % 7 / 100:.3f}\n" for k in range(180))
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "AAA.tsf").write_text(head + rows)
    converted = run("convert", "net", "--serial")
    assert converted.code == 0, converted.err
    (line,) = (line for line in run("status").out.splitlines() if line.startswith("  XX."))
    assert "degC" in line
    assert "counts" not in line


def test_channels_that_nothing_fits_are_named(run: Any, archive: Path) -> None:
    found = run("convert", str(archive), "--serial", "--channels", "ZZ.*")
    assert found.code == 2
    assert "no record of the stations * and the channels ZZ.*" in found.err


@pytest.mark.slow
def test_an_archive_on_s3_read_by_workers_gives_the_same_store(run: Any, growing: Path, s3: str) -> None:
    pytest.importorskip("s3fs")
    import fsspec

    system = fsspec.filesystem("s3", skip_instance_cache=True)
    for path in growing.rglob("*.mseed"):
        system.pipe_file(f"{s3}/net/{path.relative_to(growing).as_posix()}", path.read_bytes())
    found = run("convert", f"{s3}/net", "--workers", "2", "-o", "far.zarr")
    assert found.code == 0, found.err
    assert run("convert", str(growing), "--serial", "-o", "near.zarr").code == 0
    far, near = gravdask.open("far.zarr"), gravdask.open("near.zarr")
    for name in ("XX.AAA.--.UGZ", "XX.BBB.--.UGZ"):
        np.testing.assert_array_equal(far[name]["raw"]["record"].values, near[name]["raw"]["record"].values)
    system.pipe_file(f"{s3}/net/AAA/AAA_20210503.mseed", day_file(growing / "x.mseed", "AAA", 3).read_bytes())
    planned = run("plan", "--serial", "-o", "far.zarr")
    assert "archive    1 files new, 0 changed, 0 removed, 0 moved" in planned.out
    assert f"           new: {s3}/net/AAA/AAA_20210503.mseed" in planned.out

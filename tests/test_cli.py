"""The command line: exit codes, messages that help, nothing done where something is wrong."""

from __future__ import annotations

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

COMMANDS = ("run", *STAGES, "init", "scan", "plan", "status", "simulate", "demo")


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
    assert cli_module._part(flags["task"]) == (1, 4)
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
    config = build_config(tomllib.loads(text))
    assert config.archive.paths == (str(archive),)
    assert (config.archive.clock, config.store_path) == ("+08:00", tmp_path / "net.zarr")
    assert make_config((), {}) == config
    assert [p.name for p in tmp_path.iterdir()] == ["gravdask.toml"]


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
    assert [p.name for p in tmp_path.iterdir()] == ["gravdask.zarr"]


def share_of(run: Any, archive: Path, share: str, store: str) -> set[str]:
    """Channels that a job with this share of the units converts."""
    from gravdask.store.ledger import Ledger

    assert run("convert", str(archive), "--serial", "--task", share, "-o", store).code == 0
    return {r.channel for r in Ledger(Path(store) / "ledger").of_stage("convert")}


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

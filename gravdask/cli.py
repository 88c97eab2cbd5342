"""The command line: one command a stage, plus init, demo, simulate, scan, plan, preflight, status and run."""

from __future__ import annotations

import errno
import json
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial, reduce
from pathlib import Path
from typing import Any, TypeVar

import click

import gravdask
from gravdask.arguments import CONFIG_FILE, config_of, share_of_units, stated_values, write_config
from gravdask.config import STAGES, Config, build_config
from gravdask.errors import ConfigError, GravdaskError, LeaseHeldError, PreflightError
from gravdask.progress import Progress
from gravdask.store.place import place_of

F = TypeVar("F", bound=Callable[..., Any])
UNFORESEEN = "nobody foresaw this error; please report it with the lines above. What was finished is kept"
EXIT_USAGE, EXIT_FAILED, EXIT_LEASE, EXIT_PREFLIGHT = 2, 3, 4, 5


def _options(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """Make one decorator of several options, in their order."""
    return lambda function: reduce(lambda done, decorate: decorate(done), reversed(decorators), function)


def _checked_picture(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a picture that cannot be written before the archive is looked through for it."""
    del context, parameter
    if path is not None:
        from gravdask.report.availability import check_picture

        check_picture(path)
    return path


_archive_options = _options(
    click.option("--catalog", type=click.Path(), help="Earthquake catalogue: USGS CSV, ISC-GEM CSV, QuakeML or NDK."),
    click.option(
        "--stations",
        type=click.Path(),
        help="Coordinates, responses: CSV, StationXML, RESP, dataless SEED, or a folder of them.",
    ),
    click.option("--units", help="Unit of gravimeters, seismometers whose files state none: m/s2, mGal, counts ..."),
    click.option("--clock", help="Clock of text files relative to UTC, e.g. +08:00."),
    click.option("--start", help="Process from this UTC time on."),
    click.option("--end", help="Process up to this UTC time."),
    click.option("--station", "select", multiple=True, help="Shell pattern of stations (STA or NET.STA); repeatable."),
)
_store_options = _options(
    click.option(
        "-c", "--config", "config_file", type=click.Path(), help=f"Configuration file [default: {CONFIG_FILE}]."
    ),
    click.option("-o", "--output", type=click.Path(), help="The store: a folder or s3://bucket/prefix."),
    click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Set any key, e.g. fit.seed=1."),
)
_effort_options = _options(
    click.option("--years", metavar="Y1:Y2", help="Work on these years only, both included."),
    click.option("--serial", is_flag=True, help="Work in this process, without Dask workers."),
    click.option("--workers", type=int, help="Worker processes [default: one a core]."),
    click.option("--performance-report", type=click.Path(), help="File for Dask's performance report (HTML)."),
)
_refit_option = click.option(
    "--refit", is_flag=True, help="Estimate tide, air pressure and drift anew, and fit the models anew."
)
_run_options = _options(
    _store_options,
    click.option("--channels", multiple=True, metavar="GLOB", help="Work on these channels only."),
    click.option("--task", metavar="I/N", help="Do share I of N of the units, counted from 0."),
    _effort_options,
    _refit_option,
)
_figure_option = click.option(
    "--figure",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_checked_picture,
    help="Draw the availability, as .png, .svg or .pdf.",
)


def make_config(archive: tuple[str, ...], flags: dict[str, Any], comparing: bool = True) -> Config:
    """Join the configuration file with the command line; see `gravdask.arguments.config_of`."""
    from gravdask.execution import silent_rank

    say = (lambda _: None) if silent_rank() else partial(click.echo, err=True)
    return config_of(archive, flags, say, comparing)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(gravdask.__version__, prog_name="gravdask")
def cli() -> None:
    """Classify and map years of continuous gravity and seismic records."""


def _execute(config: Config, stages: tuple[str, ...], flags: dict[str, Any]) -> int:
    """Run stages and tell how it went; gives the exit code. Of MPI ranks, only the client's does."""
    from gravdask.execution import client_rank
    from gravdask.outcome import NO_DASK, tell_outcome, tell_performance_report
    from gravdask.pipeline import run

    progress = Progress(sys.stderr)
    channels = tuple(flags.get("channels") or ("*",))
    share = share_of_units(flags.get("task"))
    stop = threading.Event()
    with client_rank(config.cluster) as mine, _stopping(stop, progress):
        if not mine:
            return 0
        if config.cluster.performance_report and config.cluster.kind == "serial":
            progress.say(NO_DASK)
        if share[1] > 1:  # of many logs of the same job
            where = f"store {config.store.path}; on {socket.gethostname()}"
            progress.say(f"share {share[0]}/{share[1]} of the units; {where}")
        record = run(
            config,
            stages=stages,
            channels=channels,
            part=share,
            progress=progress,
            stop=stop,
        )
    tell_outcome(record, progress)
    tell_performance_report(config.cluster, record.seconds, progress)
    return record.exit_code


@contextmanager
def _stopping(stop: threading.Event, progress: Progress) -> Iterator[None]:
    """Let SIGTERM and SIGUSR1, which schedulers send before a job's end, finish what is under way.

    A second signal ends the run at once; what was finished is kept all the same.
    """

    def ask(number: int, frame: object) -> None:
        del frame
        if stop.is_set():
            raise KeyboardInterrupt
        progress.say(f"{signal.Signals(number).name}: finishing what is under way")
        stop.set()

    wanted = [signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]
    earlier = {number: signal.signal(number, ask) for number in wanted}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@cli.command()
@click.argument("archive", nargs=-1, type=click.Path())
@_archive_options
@_run_options
@click.option("--stages", help=f"Only these, comma separated: {', '.join(STAGES)}.")
def run(archive: tuple[str, ...], stages: str | None, **flags: Any) -> int:  # noqa: ANN401
    """Do whatever is out of date, from the archive's files to the report."""
    chosen = tuple(s.strip() for s in stages.split(",")) if stages is not None else STAGES
    return _execute(make_config(archive, flags), chosen, flags)


def _stage_command(stage: str, about: str) -> None:
    """Make the command of one stage."""

    @cli.command(stage, help=about)
    @click.argument("archive", nargs=-1, type=click.Path())
    @_archive_options
    @_run_options
    def command(archive: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401
        return _execute(make_config(archive, flags), (stage,), flags)


for _stage, _about in {
    "convert": "Convert new and changed files of the archive into the store.",
    "noise": "Measure daily spectra and noise magnitudes.",
    "calibrate": "Estimate tidal factor, pressure admittance and drift of gravimeters, once (anew with --refit).",
    "scatter": "Transform the records into scattering coefficients.",
    "fit": "Fit a model to rates that have none (anew with --refit).",
    "classify": "Classify new frames with the model that exists.",
    "interpret": "Test the components against earthquakes and name them.",
    "report": "Write the report and its tables.",
}.items():
    _stage_command(_stage, _about)


@cli.command()
@click.argument("archive", nargs=-1, required=True, type=click.Path())
@_archive_options
@click.option("-o", "--output", type=click.Path(), help="Folder of the store [default: ./gravdask.zarr].")
@click.option("--force", is_flag=True, help=f"Replace a {CONFIG_FILE} that exists.")
def init(archive: tuple[str, ...], force: bool, **flags: Any) -> int:  # noqa: ANN401
    """Look through an archive and write gravdask.toml, every key documented."""
    from gravdask.overview import survey_archive

    target = Path(CONFIG_FILE)
    if target.exists() and not force:
        msg = f"{target.absolute()} exists; remove it, or give --force to replace it"
        raise ConfigError(msg)
    config = make_config(archive, {"config_file": None, **flags})
    lines = survey_archive(config)
    write_config(config, target, lines)
    click.echo("\n".join(lines))
    click.echo(f"wrote {target.absolute()}; now: gravdask run -c {target}")
    return 0


@cli.command()
@click.argument("archive", nargs=-1, type=click.Path())
@_archive_options
@_store_options
@_effort_options
@_figure_option
def scan(archive: tuple[str, ...], figure: Path | None, **flags: Any) -> int:  # noqa: ANN401
    """List the channels of an archive, their availability, and the files that cannot be read."""
    from gravdask.overview import survey_archive

    progress = Progress(sys.stderr)
    lines = survey_archive(make_config(archive, flags), problems=True, progress=progress, figure=figure)
    click.echo("\n".join(lines))
    return 0


@cli.command()
@click.argument("archive", nargs=-1, type=click.Path())
@_archive_options
@_store_options
@_effort_options
@_refit_option
def plan(archive: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401
    """Say what a run would do, without doing it."""
    from gravdask.overview import plan_lines

    click.echo("\n".join(plan_lines(make_config(archive, flags), Progress(sys.stderr))))
    return 0


@cli.command()
@click.argument("archive", nargs=-1, type=click.Path())
@_archive_options
@_store_options
@_effort_options
@click.option("--here-only", is_flag=True, help="Look from this machine only, and start no worker.")
@click.option("--wait", default=300.0, show_default=True, help="Seconds to wait for a worker.")
@click.option("--json", "as_json", is_flag=True, help="Write the findings as JSON.")
def preflight(archive: tuple[str, ...], here_only: bool, wait: float, as_json: bool, **flags: Any) -> int:  # noqa: ANN401
    """Check what a run needs: archive, store, disk, this machine, the batch system, a worker."""
    from gravdask.preflight import findings_of, taking_part, tell

    fault: Exception | None = None
    config: Config | None = None
    try:
        config = make_config(archive, flags)
    except (GravdaskError, OSError) as error:
        fault = error
        with suppress(GravdaskError, OSError):  # what is wrong may be the store, which the other checks look at
            config = build_config(*stated_values(archive, flags, lambda _: None))
    with taking_part(config) as mine:
        if not mine:
            return 0
        say = Progress(sys.stderr).say
        return EXIT_PREFLIGHT if tell(findings_of(config, fault, not here_only, wait, say), as_json, click.echo) else 0


@cli.command()
@_store_options
@_figure_option
@click.option("--runs", is_flag=True, help="Only who works on the store, how far, and how the last run ended.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def status(figure: Path | None, runs: bool, as_json: bool, **flags: Any) -> int:  # noqa: ANN401
    """Say who works on the store and how far, what it holds, its availability, what is finished and quarantined.

    Works during a run, from any machine that sees the store; nothing is written. The keys with --json: store, time;
    running, lost (died without a word): lists of runs; last (the run that ended last), starting (clients that hold a
    lease and told nothing yet); without --runs channels and stages (units by status). A run has run (its name),
    state, started, updated, ended, seconds, host, pid, version, settings, stage, stages (units, done, skipped,
    quarantined, seconds, worker_seconds, read_seconds, compute_seconds, write_seconds, bytes, peak_memory_bytes,
    units_per_second, seconds_left), slowest, quarantined (reasons), workers, peak_memory_bytes, error, and while it
    goes on silent_seconds. Times are UTC.
    """
    config = make_config((), flags, comparing=False)
    if runs:  # asked every few seconds, it must not import what the rest needs
        from gravdask.watching import run_lines, run_values

        told: Any = run_values(place_of(config)) if as_json else run_lines(place_of(config))
    else:
        from gravdask.overview import status_lines, status_values

        told = status_values(config) if as_json else status_lines(config, figure)
    click.echo(json.dumps(told, indent=1, default=str) if as_json else "\n".join(told))
    return 0


@cli.command()
@click.argument("folder", type=click.Path())
@click.option("--stations", default=6, show_default=True, help="Stations.")
@click.option("--days", default=20, show_default=True, help="Days.")
@click.option("--rate", default=1.0, show_default=True, help="Sampling rate [Hz].")
@click.option("--seed", default=0, show_default=True, help="Seed of everything random.")
def simulate(folder: str, **settings: Any) -> int:  # noqa: ANN401
    """Write the archive of a simulated network: MiniSEED, StationXML, catalogue and truth."""
    from gravdask.simulate import simulate_network

    network = simulate_network(Path(folder), **settings)
    for name in ("archive", "station_xml", "catalogue", "truth_table"):
        click.echo(f"{name:<12} {getattr(network, name)}")
    return 0


@cli.command()
@click.argument("folder", type=click.Path())
@click.option("--stations", default=6, show_default=True, help="Stations.")
@click.option("--days", default=20, show_default=True, help="Days.")
@click.option("--seed", default=0, show_default=True, help="Seed of everything random.")
@click.option("--serial", is_flag=True, help="Work in this process, without Dask workers.")
@click.option("--workers", type=int, help="Worker processes [default: one a core].")
def demo(folder: str, stations: int, days: int, seed: int, serial: bool, workers: int | None) -> int:
    """Simulate a network in FOLDER and run the whole job on it."""
    from gravdask.simulate import simulate_network

    begun = time.monotonic()
    progress = Progress(sys.stderr)
    place = Path(folder)
    progress.say(f"simulating {stations} stations x {days} days at 1 Hz in {place / 'archive'}")
    network = simulate_network(place, stations=stations, days=days, rate=1.0, seed=seed)
    progress.say(f"simulate   {time.monotonic() - begun:.1f} s")
    flags = {
        "output": str(place / "demo.zarr"),
        "catalog": str(network.catalogue),
        "stations": str(network.station_xml),
        "serial": serial,
        "workers": workers,
    }
    flags["assignments"] = (f'report.folder="{place.absolute() / "report"}"',)
    config = make_config((str(network.archive),), flags)
    write_config(config, place / CONFIG_FILE)
    return _execute(config, STAGES, flags)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run a command and turn errors into messages and exit codes.

    0 done; 1 finished with something quarantined; 2 wrong usage or configuration; 3 failed or stopped, run again to
    continue; 4 another client holds the store; 5 a check before the start failed.
    """
    try:
        code = _code(arguments)
    except Exception:  # noqa: BLE001
        # Python's own exit code of such an end is 1, which a batch system would take for "done".
        traceback.print_exc()
        click.echo(f"gravdask: {UNFORESEEN}", err=True)
        raise SystemExit(EXIT_FAILED) from None
    sys.exit(code)


def _code(arguments: list[str] | None) -> int:
    """Exit code of a command."""
    try:
        return int(cli.main(args=arguments, prog_name="gravdask", standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        return int(stop.exit_code)
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except (ConfigError, GravdaskError) as error:
        click.echo(f"gravdask: {error}", err=True)
        if isinstance(error, LeaseHeldError):
            return EXIT_LEASE
        if isinstance(error, PreflightError):
            return EXIT_PREFLIGHT
        return EXIT_USAGE if _is_usage(error) else EXIT_FAILED
    except (KeyboardInterrupt, click.Abort):
        click.echo("gravdask: stopped; what was finished is kept, run again to continue", err=True)
        return EXIT_FAILED
    except OSError as error:
        cure = _CURES.get(error.errno or 0, "what was finished is kept, run again to continue")
        click.echo(f"gravdask: {error}; {cure}", err=True)
        return EXIT_USAGE if error.errno in _WRONG_PLACE else EXIT_FAILED


_WRONG_PLACE = {errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.EEXIST}
_CURES = {
    **dict.fromkeys(_WRONG_PLACE, "name a folder that can be written to"),
    errno.ENOSPC: "free some space on that disk and run again to continue",
}


def _is_usage(error: GravdaskError) -> bool:
    """Whether an error is about what the user gave: configuration, archive, stations, catalogue, store."""
    from gravdask.errors import CatalogError, ReadError, StationError, StoreError, UnitsError

    return isinstance(error, ConfigError | ReadError | StationError | CatalogError | UnitsError | StoreError)

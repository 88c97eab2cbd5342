"""What the words of a command line mean: the configuration that they make, spans of years, shares of the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gravdask.config import Config, build_config, load_values, render, set_value
from gravdask.errors import ConfigError
from gravdask.store.options import anchored, beside, differences, fill_in, unknown_options
from gravdask.store.place import anchored_text, place_of

CONFIG_FILE = "gravdask.toml"
"""Configuration file that is used where none is named."""
_FLAGS = {
    "catalog": ("interpret", "catalog"),
    "stations": ("archive", "stations"),
    "units": ("archive", "units"),
    "clock": ("archive", "clock"),
    "start": ("archive", "start"),
    "end": ("archive", "end"),
    "workers": ("cluster", "workers"),
    "performance_report": ("cluster", "performance_report"),
    "output": ("store", "path"),
}


def config_of(
    archive: tuple[str, ...], flags: dict[str, Any], say: Callable[[str], None], comparing: bool = True
) -> Config:
    """Join the configuration file, if there is one, with what the command line says.

    Parameters
    ----------
    archive
        Folders or addresses of the archive.
    flags
        Options by name; those that are not there are not given.
    say
        Where it is told which file is used that nobody named, and which options of earlier runs hold on or do not.
    comparing
        Whether the latter is told: not to who only looks.

    Raises
    ------
    ConfigError
        If the file or a value is wrong.
    StoreError
        If what the store remembers of earlier runs is damaged.
    """
    return _as_before(*stated_values(archive, flags, say), say, comparing)


def stated_values(
    archive: tuple[str, ...], flags: dict[str, Any], say: Callable[[str], None]
) -> tuple[dict[str, Any], str]:
    """Join the configuration file, if there is one, with the command line, without looking at the store.

    Returns
    -------
    values, where
        As they are stated, not validated; and the file that they are from, or that they are from the command line.

    Raises
    ------
    ConfigError
        If the file, or a value that is looked at here, is wrong.
    """
    file = flags.get("config_file")
    if file is None and Path(CONFIG_FILE).exists():
        if archive:
            say(f"note: {CONFIG_FILE} is here and not used, since an archive is named; -c {CONFIG_FILE} uses both")
        else:
            file = CONFIG_FILE
            say(f"configuration: {CONFIG_FILE}")
    if file and Path(file).is_dir():
        msg = f"{file}: this is a folder, and no configuration file; an archive is named without -c"
        raise ConfigError(msg)
    values = anchored(load_values(Path(file)), Path(file)) if file else {}
    for name, (section, key) in _FLAGS.items():
        if flags.get(name) is not None:
            is_path = name in {"catalog", "stations", "output", "performance_report"} and flags[name]
            values.setdefault(section, {})[key] = anchored_text(flags[name], Path.cwd()) if is_path else flags[name]
    if archive:
        values.setdefault("archive", {})["paths"] = [anchored_text(p, Path.cwd()) for p in archive]
    if flags.get("select"):
        values.setdefault("archive", {})["select"] = list(flags["select"])
    if flags.get("years"):
        values.setdefault("archive", {}).update(
            years_span(flags["years"], alone=flags.get("start") is flags.get("end") is None)
        )
    if flags.get("serial"):
        values.setdefault("cluster", {})["kind"] = "serial"
    if flags.get("refit"):
        values.setdefault("fit", {})["refit"] = "always"
    for assignment in flags.get("assignments", ()):
        set_value(values, assignment)
    where = str(file) if file else "command line"
    return values, f"{where} with --set" if file and flags.get("assignments") else where


def _as_before(values: dict[str, Any], where: str, say: Callable[[str], None], comparing: bool) -> Config:
    """Join what a run states with what its store remembers, and tell, if asked to, what holds on and what is other."""
    place = place_of(build_config(values, where))
    filled = fill_in(values, place)
    config = build_config(values, where)
    if filled and comparing:
        say(f"as in earlier runs on this store: {', '.join(filled)}")
    unknown = unknown_options(place)
    if unknown:
        say(unknown)
    elif comparing:
        for line in differences(config):
            say(line)
    return config


def write_config(config: Config, file: Path, found: list[str] | None = None) -> None:
    """Write a configuration with every key documented, and lines about the archive for its head.

    Paths in the folder of the file are written as relative to it.
    """
    file.write_text(render(beside(config, file), found), encoding="utf-8")


def years_span(text: str, alone: bool = True) -> dict[str, str]:
    """Span of years ``Y1:Y2`` as start and end.

    Raises
    ------
    ConfigError
        If the text is not of that form, or not alone in stating the time.
    """
    if not alone:
        msg = f"--years {text!r} and --start or --end both state the time; give one of them"
        raise ConfigError(msg)
    first, colon, last = text.partition(":")
    try:
        years = int(first), int(last if colon else first)
    except ValueError:
        msg = f"--years {text!r}: expected Y1:Y2, for example 2019:2021"
        raise ConfigError(msg) from None
    if not 1950 <= years[0] <= years[1] <= 2150:
        msg = f"--years {text!r}: expected two years from 1950 to 2150, the earlier first"
        raise ConfigError(msg)
    return {"start": f"{years[0]}-01-01", "end": f"{years[1] + 1}-01-01"}


def share_of_units(text: str | None) -> tuple[int, int]:
    """Share of the units ``I/N``.

    Raises
    ------
    ConfigError
        If the text is not of that form.
    """
    if not text:
        return 0, 1
    first, _, last = text.partition("/")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        msg = f"--task {text!r}: expected I/N with 0 <= I < N, for example 0/8"
        raise ConfigError(msg)
    return int(first), int(last)

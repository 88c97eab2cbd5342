"""Where a run's options come from besides the command line: a file, and what the store remembers.

A run that names no unit, clock, station table or catalogue means those of the runs before: leaving one out must not
turn a calibrated store into counts, or shift it by eight hours. What a run states wins, and is remembered in turn.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gravdask.config import Config
from gravdask.errors import StoreError
from gravdask.store.place import Place, anchored_text, place_of

PATH_KEYS = (
    ("archive", "paths"),
    ("archive", "forget"),
    ("archive", "stations"),
    ("archive", "log"),
    ("store", "path"),
    ("interpret", "catalog"),
    ("report", "folder"),
    ("cluster", "logs"),
    ("cluster", "performance_report"),
    ("cluster", "tls_ca"),
    ("cluster", "tls_cert"),
    ("cluster", "tls_key"),
)
"""Keys that hold paths."""
SECTIONS = ("archive", "preprocess", "noise", "scattering", "fit", "interpret")
PASSING = {"archive": {"start", "end", "select"}, "fit": {"refit"}}
"""Keys that are about one run only."""
GROWING = {"archive": {"paths", "forget"}}
"""Keys that grow with the archive: another value is no contradiction to the runs before."""


def anchored(values: dict[str, Any], file: Path) -> dict[str, Any]:
    """Take relative paths of a configuration file as relative to the file, wherever it is used from; URLs stay."""
    base = file.absolute().parent
    for section, key in PATH_KEYS:
        part = values.get(section)
        if not isinstance(part, dict) or not part.get(key):
            continue
        stated = part[key]
        if isinstance(stated, str):
            part[key] = anchored_text(stated, base)
        elif isinstance(stated, list) and all(isinstance(item, str) for item in stated):
            part[key] = [anchored_text(item, base) for item in stated]
    cluster = values.get("cluster")
    if isinstance(cluster, dict) and str(cluster.get("address", "")).endswith(".json"):  # a scheduler file
        cluster["address"] = anchored_text(cluster["address"], base)
    return values


def beside(config: Config, file: Path) -> Config:
    """Take paths in the folder of a configuration file as relative to it, so that the folder may move; others stay."""
    base = file.absolute().parent
    sections = {name: getattr(config, name) for name, _ in PATH_KEYS}
    for name, key in PATH_KEYS:
        stated = getattr(sections[name], key)
        if stated:
            near = _near(stated, base) if isinstance(stated, str) else tuple(_near(item, base) for item in stated)
            sections[name] = sections[name].model_copy(update={key: near})
    return config.model_copy(update=sections)


def _near(text: str, base: Path) -> str:
    """Write an absolute path in a folder as relative to it, where reading it back gives the same."""
    path = Path(text)
    if not path.is_absolute() or not path.is_relative_to(base):
        return text
    near = str(path.relative_to(base))
    # "~x" may be somebody's home on another machine, and "s3:" at the beginning an address
    return near if not near.startswith("~") and anchored_text(near, base) == str(path) else text


def _file(store: Place) -> Place:
    """File of the store that holds the options."""
    return store / "ledger/options.json"


def kept_options(store: Place | Path | str) -> dict[str, dict[str, Any]] | None:
    """Options of earlier runs that differ from the defaults, by section; None where nothing was ever kept.

    Raises
    ------
    StoreError
        If what was kept is damaged: going by the defaults instead could shift a record by hours.
    """
    file = _file(Place.of(store))
    try:
        content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    known = {s: found[s] for s in SECTIONS if s in found} if isinstance(found, dict) else {}
    if not known or not all(isinstance(keys, dict) for keys in known.values()):
        msg = (
            f"{file}: the options of earlier runs on this store are damaged ({len(content)} bytes that are no such "
            "options); remove the file, and state the options of the first run again, such as --clock, --units, "
            "--stations"
        )
        raise StoreError(msg)
    return known


def unknown_options(store: Place | Path | str) -> str:
    """What to say where a store holds channels and nothing of the options that they were made with; else ''."""
    place = Place.of(store)
    if kept_options(place) is not None:
        return ""
    if not any((place / name / "raw/zarr.json").exists() for name in place.folders()):
        return ""
    return (
        f"note: {_file(place)} is gone, so the options of earlier runs on this store are not known; what is not stated "
        "now (--clock, --units, --stations ...) is taken as the default"
    )


def keep_options(config: Config) -> None:
    """Remember what a configuration says other than the defaults.

    Raises
    ------
    StoreError
        If what earlier runs said is damaged: it must not be replaced without a word.
    """
    default = Config()
    kept = {}
    for section in SECTIONS:
        stated = getattr(config, section).model_dump(mode="json")
        usual = getattr(default, section).model_dump(mode="json")
        passing = PASSING.get(section, set())
        kept[section] = {k: v for k, v in stated.items() if v != usual[k] and k not in passing}
    place = place_of(config)
    if kept_options(place) != kept:
        _file(place).write(json.dumps(kept, indent=1).encode())


def fill_in(values: dict[str, Any], store: Place | Path | str) -> list[str]:
    """Fill the keys that a run does not state with those remembered, in place; gives them in words.

    Raises
    ------
    StoreError
        If what is remembered is damaged.
    """
    filled = []
    for section, keys in (kept_options(store) or {}).items():
        stated = values.setdefault(section, {})
        if not isinstance(stated, dict):
            continue
        for key, value in keys.items():
            if key not in stated:
                stated[key] = value
                filled.append(f"{section}.{key} = {json.dumps(value, ensure_ascii=False)}")
    return filled


def differences(config: Config) -> list[str]:
    """What a configuration says other than earlier runs on its store did, in words; empty for a new store.

    Raises
    ------
    StoreError
        If what is remembered is damaged.
    """
    kept = kept_options(place_of(config))
    if kept is None:
        return []
    default, told = Config(), []
    for section in SECTIONS:
        now = getattr(config, section).model_dump(mode="json")
        before = getattr(default, section).model_dump(mode="json") | kept.get(section, {})
        apart = PASSING.get(section, set()) | GROWING.get(section, set())
        # A frozen model is not fitted anew by itself; everything else that follows from a key is.
        effect = "a model that exists stays until --refit" if section == "fit" else "what follows from it is made again"
        for key in sorted(now.keys() - apart):
            if _alone(now[key]) != _alone(before[key]):
                was = f"{section}.{key} was {_text(before[key])} in earlier runs on this store"
                told.append(f"{was} and is {_text(now[key])} now: {effect}")
    return told


def _alone(value: Any) -> Any:  # noqa: ANN401 - whatever a key may hold
    """Give a list of one for what it holds: a key that takes both means the same by them."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _text(value: Any) -> str:  # noqa: ANN401 - whatever a key may hold
    """Write a value as a person would state it."""
    return f"'{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

"""Where a run's options come from besides the command line: a file, and what the store remembers.

A run that names no unit, clock, station table or catalogue means those of the runs before: leaving one out must not
turn a calibrated store into counts, or shift it by eight hours. What a run states wins, and is remembered in turn.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gravdask.config import Config
from gravdask.store.place import Place, anchored_text, place_of

PATH_KEYS = (
    ("archive", "paths"),
    ("archive", "forget"),
    ("archive", "stations"),
    ("archive", "log"),
    ("store", "path"),
    ("interpret", "catalog"),
    ("report", "folder"),
)
"""Keys that hold paths."""
SECTIONS = ("archive", "preprocess", "noise", "scattering", "fit", "interpret")
PASSING = {"archive": {"start", "end", "select"}, "fit": {"refit"}}
"""Keys that are about one run only."""


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
    return values


def _file(store: Place) -> Place:
    """File of the store that holds the options."""
    return store / "ledger/options.json"


def kept_options(store: Place | Path | str) -> dict[str, dict[str, Any]]:
    """Options of earlier runs that differ from the defaults, by section; empty for a new store."""
    try:
        found = json.loads(_file(Place.of(store)).read())
    except (OSError, ValueError):
        return {}
    return {s: dict(found[s]) for s in SECTIONS if isinstance(found.get(s), dict)}


def keep_options(config: Config) -> None:
    """Remember what a configuration says other than the defaults."""
    default = Config()
    kept = {}
    for section in SECTIONS:
        stated = getattr(config, section).model_dump(mode="json")
        usual = getattr(default, section).model_dump(mode="json")
        passing = PASSING.get(section, set())
        kept[section] = {k: v for k, v in stated.items() if v != usual[k] and k not in passing}
    file, content = _file(place_of(config)), json.dumps(kept, indent=1).encode()
    if not file.exists() or file.read() != content:
        file.write(content)


def fill_in(values: dict[str, Any], store: Place | Path | str) -> list[str]:
    """Fill the keys that a run does not state with those remembered, in place; gives them in words."""
    filled = []
    for section, keys in kept_options(store).items():
        stated = values.setdefault(section, {})
        if not isinstance(stated, dict):
            continue
        for key, value in keys.items():
            if key not in stated:
                stated[key] = value
                filled.append(f"{section}.{key} = {json.dumps(value, ensure_ascii=False)}")
    return filled

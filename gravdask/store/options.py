"""Where a run's options come from besides the command line: a file, and what the store remembers.

A run that names no unit, clock, station table or catalogue means those of the runs before: leaving one out must not
turn a calibrated store into counts, or shift it by eight hours. What a run states wins, and is remembered in turn.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from gravdask.config import Config

PATH_KEYS = (
    ("archive", "paths"),
    ("archive", "forget"),
    ("archive", "stations"),
    ("store", "path"),
    ("interpret", "catalog"),
    ("report", "folder"),
)
"""Keys that hold paths."""
SECTIONS = ("archive", "preprocess", "noise", "scattering", "fit", "interpret")
PASSING = {"archive": {"start", "end", "select"}, "fit": {"refit"}}
"""Keys that are about one run only."""


def anchored(values: dict[str, Any], file: Path) -> dict[str, Any]:
    """Take relative paths of a configuration file as relative to the file, wherever it is used from."""
    base = file.absolute().parent
    for section, key in PATH_KEYS:
        part = values.get(section)
        if not isinstance(part, dict) or not part.get(key):
            continue
        stated = part[key]
        if isinstance(stated, str):
            part[key] = os.path.normpath(base / Path(stated).expanduser())
        elif isinstance(stated, list) and all(isinstance(item, str) for item in stated):
            part[key] = [os.path.normpath(base / Path(item).expanduser()) for item in stated]
    return values


def _file(store: Path) -> Path:
    """File of the store that holds the options."""
    return store / "ledger" / "options.json"


def kept_options(store: Path) -> dict[str, dict[str, Any]]:
    """Options of earlier runs that differ from the defaults, by section; empty for a new store."""
    try:
        found = json.loads(_file(store).read_text(encoding="utf-8"))
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
    path = _file(config.store_path)
    text = json.dumps(kept, indent=1)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{uuid.uuid4().hex}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def fill_in(values: dict[str, Any], store: Path) -> list[str]:
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

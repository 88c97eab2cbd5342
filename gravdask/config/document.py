"""The whole configuration, how it is read from TOML with every fault in words, and how it is written."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ValidationError

from gravdask.config.archive import ArchiveConfig, StoreConfig
from gravdask.config.processing import FitConfig, InterpretConfig, NoiseConfig, PreprocessConfig, ScatteringConfig
from gravdask.config.section import Section
from gravdask.config.work import ClusterConfig, ReportConfig
from gravdask.errors import ConfigError
from gravdask.secrets import masked


class Config(Section):
    """The whole configuration, section by section."""

    archive: ArchiveConfig = ArchiveConfig()
    store: StoreConfig = StoreConfig()
    preprocess: PreprocessConfig = PreprocessConfig()
    noise: NoiseConfig = NoiseConfig()
    scattering: ScatteringConfig = ScatteringConfig()
    fit: FitConfig = FitConfig()
    interpret: InterpretConfig = InterpretConfig()
    report: ReportConfig = ReportConfig()
    cluster: ClusterConfig = ClusterConfig()

    @property
    def store_path(self) -> Path:
        """Folder of the store, absolute.

        Raises
        ------
        ConfigError
            If the store is no folder; `gravdask.store.place.place_of` gives its place wherever it is.
        """
        if self.store.remote:
            msg = f"store.path = {self.store.path!r} is no folder of this machine"
            raise ConfigError(msg)
        return Path(os.path.expanduser(self.store.path.removeprefix("file://"))).absolute()

    @property
    def report_folder(self) -> Path:
        """Folder of the report, absolute: beside the store, and in the current folder for a store elsewhere."""
        if self.report.folder:
            return Path(os.path.expanduser(self.report.folder)).absolute()
        name = self.store.path.rstrip("/").rpartition("/")[2] if self.store.remote else self.store_path.name
        folder = Path.cwd() if self.store.remote else self.store_path.parent
        return folder / f"{name.removesuffix('.zarr')}-report"


def _explain(error: ValidationError, where: str) -> str:
    """Put every fault of a validation into words, each with its key, value and what is allowed."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"unknown key '{key}'{_suggestion(tuple(str(p) for p in fault['loc']))}")
        elif isinstance(fault["input"], dict | BaseModel):  # a fault of several keys together names them itself
            lines.append(f"{key}: {fault['msg'].removeprefix('Value error, ')}")
        elif fault["type"] == "tuple_type":
            lines.append(f'{key} = {masked(repr(fault["input"]))}: expected a list, for example ["..."]')
        else:
            lines.append(f"{key} = {masked(repr(fault['input']))}: {fault['msg'].removeprefix('Value error, ')}")
    return f"{where}: " + "; ".join(lines)


def _suggestion(location: tuple[str, ...]) -> str:
    """Name the keys that exist where an unknown one was found, the nearest first if one is near."""
    model: type[BaseModel] = Config
    for part in location[:-1]:
        field = model.model_fields.get(part)
        model = _section_of(field.annotation) or model if field is not None else model
    names = list(model.model_fields)
    near = difflib.get_close_matches(location[-1], names, n=1)
    return f" (did you mean '{near[0]}'?)" if near else f" (known here: {', '.join(names)})"


def _section_of(annotation: object) -> type[BaseModel] | None:
    """Section that a field holds, itself or as a list of tables; None for plain values."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def build_config(values: dict[str, Any], where: str = "configuration") -> Config:
    """Validate nested values.

    Raises
    ------
    ConfigError
        With every unknown key, wrong type and value outside its limits, and what is allowed.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, where)) from None


def load_values(path: Path) -> dict[str, Any]:
    """Read a TOML file without validating it.

    Raises
    ------
    ConfigError
        If the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{path}: there is no such file; 'gravdask init ARCHIVE' writes one"
        raise ConfigError(msg) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        msg = f"{path}: not a TOML file: {error}"
        raise ConfigError(msg) from error


def set_value(values: dict[str, Any], assignment: str) -> None:
    """Apply ``section.key=value`` (a TOML value; bare words are strings) to nested values, in place.

    Raises
    ------
    ConfigError
        If the assignment is not of that form.
    """
    key, equals, text = assignment.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (equals and dot and name):
        msg = f"--set {assignment!r}: expected SECTION.KEY=VALUE, for example scattering.frame_samples=1024"
        raise ConfigError(msg)
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    if not isinstance(values.setdefault(section, {}), dict):
        msg = f"--set {assignment!r}: '{section}' is a section of the configuration, but the file gives it a value"
        raise ConfigError(msg)
    values[section][name] = value


def _toml(value: Any) -> str:  # noqa: ANN401
    """Write a value as TOML: as JSON, but for the one control character that TOML alone forbids in strings."""
    text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")


Comment = Annotated[str, "one line without the leading '# '"]


def render(config: Config, found: list[Comment] | None = None) -> str:
    """Write a configuration as TOML with every key documented.

    Parameters
    ----------
    config
        The values to write.
    found
        Lines about the archive for the head of the file.
    """
    lines = [
        "# gravdask configuration; 'gravdask run -c THIS_FILE' does whatever is out of date.",
        "# Relative paths are relative to this file.",
        "",
    ]
    if found:
        lines += ["# Found in the archive:", *(f"#   {line}" for line in found), ""]
    for name in Config.model_fields:
        section = getattr(config, name)
        title = (type(section).__doc__ or "").strip()
        lines += [f"[{name}]", f"# {title}"]
        listed: list[str] = []
        for key, about in type(section).model_fields.items():
            kind = _section_of(about.annotation)
            if kind is None:
                lines += [f"# {about.description}", f"{key} = {_toml(getattr(section, key))}"]
            else:
                listed += _tables(f"{name}.{key}", str(about.description), kind, getattr(section, key))
        lines += [*listed, ""]
    return "\n".join(lines)


def _tables(name: str, description: str, kind: type[BaseModel], entries: tuple[BaseModel, ...]) -> list[str]:
    """Write a list of tables; where there is none, what one may look like, as comments."""
    lines = ["", f"# {description}"]
    for entry in entries:
        lines.append(f"[[{name}]]")
        for key, about in kind.model_fields.items():
            value = getattr(entry, key)
            # TOML has no value for "not stated": such keys are left out.
            written = f"{key} = {_toml(value)}" if value is not None else f"# {key} ="
            lines += [f"# {about.description}", written]
    if not entries:
        lines += [f"# [[{name}]]"]
        lines += [f"# {key} = ...  {about.description}" for key, about in kind.model_fields.items()]
    return lines

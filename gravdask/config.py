"""The configuration: ``gravdask.toml`` read into validated, immutable models, and written out documented.

Limits and defaults live here and nowhere else; the command line, the file that ``gravdask init`` writes and the
error messages all read them from these models. A digest of the part that a stage uses enters the fingerprints of its
units, so that changing a key redoes exactly the stages that read it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gravdask.errors import ConfigError

STAGES = ("convert", "noise", "calibrate", "scatter", "fit", "classify", "interpret", "report")
"""The stages in their order."""

_ADDRESS = re.compile(r"^([a-z]+://)?[^\s:/]+:\d+$")
_CLOCK = re.compile(r"^([+-])(\d{1,2}):(\d{2})$")


class _Section(BaseModel):
    """A section of the file: immutable, and a key that does not exist is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class ArchiveConfig(_Section):
    """What is read, and what the files themselves do not say."""

    paths: tuple[str, ...] = Field((), description="folders or files of the archive")
    forget: tuple[str, ...] = Field(
        (), description="folders of earlier runs that do not belong to the archive any more; others are kept in mind"
    )
    stations: str = Field(
        "", description="CSV (network,station,latitude,longitude,elevation) or StationXML; '' for none"
    )
    units: str = Field(
        "", description="unit of channels whose files state none: 'm/s2', 'mGal', 'uGal', 'nm/s2', 'counts'"
    )
    clock: str = Field(
        "+00:00", description="clock of text files relative to UTC, e.g. '+08:00' for China Standard Time"
    )
    network: str = Field("XX", description="network code of files that state none", pattern=r"^[A-Za-z0-9]{1,8}$")
    station_pattern: str = Field(
        "",
        description="regular expression with a group 'station' for file names without a station; '' finds one itself",
    )
    start: str = Field("", description="process from this UTC time on, e.g. '2021-05-01'; '' for all")
    end: str = Field("", description="process up to this UTC time (exclusive); '' for all")
    select: tuple[str, ...] = Field(("*",), description="shell patterns of stations: STA, NET.STA or NET.STA.LOC.CHA")

    @field_validator("clock")
    @classmethod
    def _clock_is_an_offset(cls, value: str) -> str:
        """Refuse a clock that is not written as a signed offset of at most 14 hours."""
        match = _CLOCK.match(value)
        if not match or int(match[2]) > 14 or int(match[3]) > 59:
            msg = "expected a signed offset from UTC such as '+08:00'"
            raise ValueError(msg)
        return value

    @field_validator("start", "end")
    @classmethod
    def _time_is_iso(cls, value: str) -> str:
        """Refuse a time that is not ISO 8601."""
        if value:
            try:
                np.datetime64(value.removesuffix("Z"), "ns")
            except ValueError as error:
                msg = "expected an ISO 8601 UTC time such as '2021-05-01' or '2021-05-01T12:00:00'"
                raise ValueError(msg) from error
        return value

    @field_validator("station_pattern")
    @classmethod
    def _pattern_has_group(cls, value: str) -> str:
        """Refuse a pattern that cannot yield a station."""
        if value:
            try:
                groups = re.compile(value).groupindex
            except re.error as error:
                msg = f"not a regular expression: {error}"
                raise ValueError(msg) from error
            if "station" not in groups:
                msg = "expected a regular expression with a group (?P<station>...)"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _start_is_before_end(self) -> ArchiveConfig:
        """Refuse a span of time that ends before it starts."""
        first, last = self.span_ns()
        if first is not None and last is not None and first >= last:
            msg = f"start {self.start} must be before end {self.end}"
            raise ValueError(msg)
        return self

    @property
    def clock_offset_s(self) -> int:
        """The file clock minus UTC [s]."""
        sign, hours, minutes = _CLOCK.match(self.clock).groups()  # type: ignore[union-attr]
        return (-1 if sign == "-" else 1) * (int(hours) * 3600 + int(minutes) * 60)

    def span_ns(self) -> tuple[int | None, int | None]:
        """Start and end of what is processed [ns since 1970], None where it is open."""
        first, last = (
            int(np.datetime64(t.removesuffix("Z"), "ns").astype(np.int64)) if t else None
            for t in (self.start, self.end)
        )
        return first, last


class StoreConfig(_Section):
    """Where the results are kept."""

    path: str = Field("gravdask.zarr", description="folder of the Zarr store", min_length=1)


class PreprocessConfig(_Section):
    """From the source's numbers to residual gravity."""

    tide: bool = Field(True, description="subtract the theoretical tide where coordinates are known")
    tidal_factor: float = Field(1.16, description="amplitude factor on the rigid-Earth tide", ge=0.5, le=2.0)
    drift: bool = Field(True, description="subtract the straight drift that the calibrate stage found")
    pressure: bool = Field(True, description="subtract the effect of air pressure where a station records it")
    admittance: float | Literal["regressed"] = Field(
        -3.0, description="pressure admittance [nm/s2 per hPa], or 'regressed': what the calibrate stage finds"
    )


class NoiseConfig(_Section):
    """Daily spectra and noise magnitudes."""

    min_valid: float = Field(0.9, description="least share of valid samples in a day with a magnitude", gt=0, le=1)
    degree: int = Field(9, description="degree of the polynomial removed from each day", ge=0, le=20)
    sided: Literal["one", "two"] = Field("one", description="one- or two-sided spectra (0.301 in SNM)")


class ScatteringConfig(_Section):
    """The scattering transform."""

    frame_samples: int = Field(
        0, description="samples T of a frame, a power of two; 0: 4096 at 1 Hz, 256 at one a minute", ge=0, le=2**20
    )
    octaves: int = Field(0, description="octaves J of wavelets; 0: log2(T) - 4", ge=0, le=20)
    wavelets_per_octave: int = Field(8, description="first-order wavelets an octave, Q", ge=1, le=32)
    pooling: Literal["mean", "median", "max", "lowpass"] = Field("mean", description="pooling of a frame")
    min_valid: float = Field(0.9, description="least share of valid samples in a frame with coefficients", gt=0, le=1)

    @field_validator("frame_samples")
    @classmethod
    def _frame_is_power_of_two(cls, value: int) -> int:
        """Refuse frames that would not tile the shards."""
        if value and (value < 32 or value & (value - 1)):
            msg = "expected 0 or a power of two from 32 on"
            raise ValueError(msg)
        return value


class FitConfig(_Section):
    """Features and the mixture model."""

    n_components: int = Field(0, description="components of the mixture; 0: chosen from the data", ge=0, le=64)
    max_components: int = Field(12, description="largest number of components tried where it is chosen", ge=2, le=64)
    covariance_types: tuple[Literal["full", "tied", "diag", "spherical"], ...] = Field(
        ("full",), description="covariances of the components; of several, one is chosen from the data", min_length=1
    )
    holdout_folds: int = Field(4, description="parts in which time is held out to choose", ge=2, le=20)
    select_rows: int = Field(200_000, description="frames that the choice is made on, at most", ge=1000, le=10_000_000)
    n_features: int = Field(0, description="principal components kept; 0: 10, fewer for short records", ge=0, le=64)
    axes: Literal["pca", "exact-pca", "ica"] = Field(
        "pca", description="features: principal components of a sample or of all frames, or independent components"
    )
    whiten: bool = Field(False, description="divide principal components by their standard deviation")
    start: Literal["kmeans", "dask-kmeans"] = Field(
        "kmeans", description="where the mixture starts: k-means of scikit-learn or dask-ml, on a sample"
    )
    blocks: Literal["both", "loudness", "shape"] = Field(
        "both", description="log S1 (loudness), log S2/S1 (shape) or both"
    )
    channels: Literal["vertical", "all"] = Field(
        "vertical", description="one channel a station (vertical, lowest location code) or all"
    )
    min_days: float = Field(7.0, description="least days of valid frames of a channel that enters the fit", gt=0)
    sample_megabytes: int = Field(200, description="largest sample on which the PCA is fitted", ge=1, le=10_000)
    starts: int = Field(3, description="starts of the mixture, of which the best is kept", ge=1, le=50)
    seed: int = Field(0, description="seed of all random choices", ge=0)
    refit: Literal["never", "always"] = Field(
        "never", description="classify new data with the model there is, or refit"
    )


class InterpretConfig(_Section):
    """Earthquakes and what a component may be called."""

    catalog: str = Field("", description="earthquake catalogue: USGS CSV, ISC-GEM CSV or QuakeML; '' for none")
    min_magnitude: float = Field(5.5, description="least magnitude of the events used", ge=0, le=10)
    visibility_ratio: float = Field(
        3.0,
        description="an event counts where its predicted 20 s acceleration is this many times the station's rms",
        ge=0,
    )
    q_limit: float = Field(0.01, description="largest q-value of a co-seismic component", gt=0, lt=1)
    odds_limit: float = Field(5.0, description="least odds ratio of a co-seismic component", gt=1)
    min_events: int = Field(3, description="least distinct events of a co-seismic component", ge=1)


class ReportConfig(_Section):
    """The page and its tables."""

    folder: str = Field("", description="folder of the report; '': beside the store, NAME-report")
    title: str = Field("", description="title of the page; '': made from the stations")


class ClusterConfig(_Section):
    """Where work runs."""

    kind: Literal["local", "serial", "address"] = Field(
        "local", description="local processes, this process, or a scheduler"
    )
    workers: int = Field(0, description="worker processes, one thread each; 0: one a core", ge=0, le=10_000)
    address: str = Field("", description="address of a running Dask scheduler, for kind 'address'")
    memory: str = Field("auto", description="memory limit of a worker, e.g. '2GiB'")
    scratch: str = Field("", description="node-local folder for spilling; '': the system's temporary folder")
    retries: int = Field(2, description="attempts after the first before a unit is quarantined", ge=0, le=20)

    @model_validator(mode="after")
    def _address_is_one(self) -> ClusterConfig:
        """Refuse kind 'address' without an address."""
        if self.kind == "address" and not _ADDRESS.match(self.address):
            msg = f"kind 'address' needs the address of a scheduler such as 'tcp://10.0.0.1:8786', got {self.address!r}"
            raise ValueError(msg)
        return self


class Config(_Section):
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
        """Folder of the store, absolute."""
        return Path(self.store.path).expanduser().absolute()

    @property
    def report_folder(self) -> Path:
        """Folder of the report, absolute."""
        if self.report.folder:
            return Path(self.report.folder).expanduser().absolute()
        return self.store_path.with_name(f"{self.store_path.name.removesuffix('.zarr')}-report")


def _explain(error: ValidationError, where: str) -> str:
    """Put every fault of a validation into words, each with its key, value and what is allowed."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"unknown key '{key}'{_suggestion(tuple(str(p) for p in fault['loc']))}")
        else:
            lines.append(f"{key} = {fault['input']!r}: {fault['msg'].removeprefix('Value error, ')}")
    return f"{where}: " + "; ".join(lines)


def _suggestion(location: tuple[str, ...]) -> str:
    """Name the keys that exist where an unknown one was found, the nearest first if one is near."""
    names = list(Config.model_fields)
    if len(location) > 1 and location[0] in Config.model_fields:
        section = Config.model_fields[location[0]].annotation
        names = list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else names
    near = difflib.get_close_matches(location[-1], names, n=1)
    return f" (did you mean '{near[0]}'?)" if near else f" (known here: {', '.join(names)})"


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


def digest(*parts: Any) -> str:  # noqa: ANN401
    """Short stable digest (16 hex digits) of values that JSON can hold; models count by their contents."""
    plain = json.dumps(parts, sort_keys=True, default=_plain, separators=(",", ":"))
    return hashlib.blake2b(plain.encode(), digest_size=8).hexdigest()


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Turn a model, tuple-like or NumPy scalar into what JSON can hold."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, np.generic):
        return value.item()
    msg = f"cannot make a digest of {type(value).__name__}"
    raise TypeError(msg)


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
        for key, about in type(section).model_fields.items():
            lines += [f"# {about.description}", f"{key} = {_toml(getattr(section, key))}"]
        lines.append("")
    return "\n".join(lines)

"""The sections of the report and of the workers."""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from gravdask.config.section import Section

_WALLTIME = re.compile(r"^(\d+-)?\d+:[0-5]\d:[0-5]\d$")
_MEMORY = re.compile(r"^(?:auto|(?P<number>\d+(?:\.\d+)?)\s*(?:(?P<prefix>[kMGT])(?P<binary>i?))?B?)$")
LEAST_MEMORY = 400 * 2**20
"""Of a worker [bytes]: below, it ends before it has done anything."""
_GATEWAY = re.compile(r"^gateway:[^\s:/]+$")
_ADDRESS = re.compile(r"^([a-z]+://)?[^\s:/]+:\d+$")


class ReportConfig(Section):
    """The page and its tables."""

    folder: str = Field(
        "", description="folder of the report; '': NAME-report beside the store, or here if that is on S3"
    )
    title: str = Field("", description="title of the page; '': made from the stations")


class ClusterConfig(Section):
    """Where work runs; the keys are the same for every kind, and each kind reads those that mean something to it."""

    kind: Literal["local", "serial", "address", "slurm", "pbs", "mpi"] = Field(
        "local",
        description="local processes; serial (this process); jobs of slurm or pbs; ranks of mpi; a scheduler's address",
    )
    workers: int = Field(
        0,
        description="worker processes, one thread each; 0: one a core, on slurm and pbs one job of them",
        ge=0,
        le=10_000,
    )
    address: str = Field(
        "",
        description="for kind 'address': a Dask scheduler's, its scheduler file (NAME.json), or gateway:NAME",
    )
    memory: str = Field("auto", description="memory limit of a worker, e.g. '2GiB'; 'auto' on slurm and pbs: 2GiB")
    scratch: str = Field("", description="node-local folder for spilling; '': the system's temporary folder")
    retries: int = Field(2, description="attempts after the first before a unit is quarantined", ge=0, le=20)
    workers_per_job: int = Field(1, description="worker processes in one job of slurm or pbs", ge=1, le=1024)
    walltime: str = Field("04:00:00", description="time limit of one job, [days-]hours:minutes:seconds")
    queue: str = Field("", description="partition (slurm) or queue (pbs); '': the site's default")
    account: str = Field("", description="account that the jobs are charged to")
    qos: str = Field("", description="quality of service of the jobs (slurm)")
    directives: tuple[str, ...] = Field((), description="further options of the jobs, e.g. ['--constraint=skylake']")
    prologue: tuple[str, ...] = Field(
        (), description="lines of the job script before the worker, e.g. ['module load python']"
    )
    python: str = Field("", description="Python of the workers, e.g. in a container; '': the one that runs gravdask")
    logs: str = Field("", description="folder for what the jobs print, seen by all nodes; '': gravdask-logs, here")
    interface: str = Field("", description="network interface of the workers, e.g. 'ib0'; '': the default one")
    scheduler_interface: str = Field("", description="network interface of the scheduler; '': like the workers'")
    silence: float = Field(
        120.0, description="seconds after which a worker that says nothing is given up", ge=5, le=86_400
    )
    wait: float = Field(
        0.0, description="seconds to wait for a first worker; 0: a minute, on slurm and pbs a day", ge=0, le=2_592_000
    )
    dashboard: str = Field(":0", description="address of Dask's dashboard, e.g. ':8787'; ':0': any port; '': none")
    performance_report: str = Field("", description="file for Dask's performance report of the run (HTML); '': none")
    tls_ca: str = Field(
        "", description="certificate authority (PEM) that workers, scheduler and client trust; '': no TLS"
    )
    tls_cert: str = Field("", description="their certificate (PEM)")
    tls_key: str = Field("", description="its private key (PEM)")

    @property
    def batch(self) -> bool:
        """Whether the workers are jobs of a batch system."""
        return self.kind in {"slurm", "pbs"}

    @property
    def memory_bytes(self) -> int | None:
        """Memory limit of a worker as stated [bytes], 0 for none; None where that is left to gravdask."""
        return None if self.memory == "auto" else _bytes_of(self.memory)

    @property
    def log_folder(self) -> Path:
        """Folder for what the jobs print, absolute."""
        return Path(os.path.expanduser(self.logs or "gravdask-logs")).absolute()

    @property
    def walltime_seconds(self) -> int:
        """Time limit of one job [s]."""
        days, _, clock = self.walltime.rpartition("-")
        hours, minutes, seconds = map(int, clock.split(":"))
        return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds

    @property
    def patience(self) -> float:
        """Seconds to wait where there is no worker."""
        return self.wait or (86_400.0 if self.batch else 60.0)

    @field_validator("walltime", mode="before")
    @classmethod
    def _is_a_clock(cls, value: Any) -> Any:  # noqa: ANN401
        """Take 04:00:00 without quotes, which TOML reads as a time of day; refuse bare numbers."""
        if isinstance(value, int | float):
            msg = f"{value} is no time limit; expected [days-]hours:minutes:seconds, e.g. '04:00:00' or '2-00:00:00'"
            raise ValueError(msg)  # noqa: TRY004 (what pydantic turns into the key's message)
        return value.isoformat() if isinstance(value, datetime.time) else value

    @field_validator("walltime")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        """Refuse what is no time limit."""
        if not _WALLTIME.match(text):
            msg = f"{text!r} is no time limit; expected [days-]hours:minutes:seconds, e.g. '04:00:00' or '2-00:00:00'"
            raise ValueError(msg)
        return text

    @field_validator("memory")
    @classmethod
    def _is_an_amount(cls, text: str) -> str:
        """Refuse what is no amount of memory."""
        if not _MEMORY.match(text):
            msg = f"{text!r} is no amount of memory; expected for example '2GiB', '1500MB', 'auto', or '0' for no limit"
            raise ValueError(msg)
        if 0 < _bytes_of(text) < LEAST_MEMORY:
            msg = f"{text!r} is too little: the program alone takes a worker 300 MiB; expected '1GiB' or more"
            raise ValueError(msg)
        return text

    @field_validator("directives", "prologue")
    @classmethod
    def _are_single_lines(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse lines that are several."""
        for line in lines:
            if "\n" in line or "\r" in line:
                msg = f"{line!r} holds a line break; give one line an entry"
                raise ValueError(msg)
        return lines

    @model_validator(mode="after")
    def _address_is_one(self) -> ClusterConfig:
        """Refuse kind 'address' without an address."""
        known = _ADDRESS.match(self.address) or _GATEWAY.match(self.address) or self.address.endswith(".json")
        if self.kind == "address" and not known:
            msg = (
                "kind 'address' needs the address of a scheduler such as 'tcp://10.0.0.1:8786', or its scheduler file "
                f"such as 'scheduler.json', or 'gateway:NAME' for a cluster of dask-gateway; got {self.address!r}"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> ClusterConfig:
        """Refuse a part of what TLS needs."""
        given = [name for name in ("tls_ca", "tls_cert", "tls_key") if getattr(self, name)]
        if len(given) not in {0, 3}:
            msg = f"TLS needs tls_ca, tls_cert and tls_key; only {' and '.join(given)} is given"
            raise ValueError(msg)
        return self


def _bytes_of(text: str) -> int:
    """Amount of memory [bytes] of a text such as '2GiB' or '1.5 GB', as Dask reads it; 0 for 'auto'."""
    found = _MEMORY.match(text)
    if found is None or found["number"] is None:
        return 0
    exponent = "kMGT".index(found["prefix"]) + 1 if found["prefix"] else 0
    return int(float(found["number"]) * (1024 if found["binary"] else 1000) ** exponent)

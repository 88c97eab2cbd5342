"""The sections of the report and of the workers."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from gravdask.config.section import Section

_ADDRESS = re.compile(r"^([a-z]+://)?[^\s:/]+:\d+$")


class ReportConfig(Section):
    """The page and its tables."""

    folder: str = Field(
        "", description="folder of the report; '': NAME-report beside the store, or here if that is on S3"
    )
    title: str = Field("", description="title of the page; '': made from the stations")


class ClusterConfig(Section):
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

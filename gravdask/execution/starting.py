"""The runner that the configuration asks for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gravdask.config import ClusterConfig
from gravdask.execution.dask_runner import DaskRunner
from gravdask.execution.runners import Runner, SerialRunner


def open_runner(settings: ClusterConfig, say: Callable[[str], None], stop: threading.Event | None = None) -> Runner:
    """Make the runner that the ``[cluster]`` section asks for; workers start when they are first needed."""
    if settings.kind == "serial":
        return SerialRunner(settings.retries, stop)
    return DaskRunner(settings, say, stop)

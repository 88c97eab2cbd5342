"""What local workers load first: a Ctrl-C is the client's to answer.

A terminal sends the signal to every process of the job. The client ends its workers in order; workers that answered as
well, or told that the client goes away, would write tracebacks between its words.
"""

from __future__ import annotations

import logging
import signal
from typing import Any

from gravdask.execution.quiet import worth_saying

_PARTING = {
    "distributed.worker": "Failed to communicate with scheduler during heartbeat",
    "distributed.worker.state_machine": "Async instruction for",
}
"""Loggers, and how the lines begin that workers write when their client ends them in the middle of a unit."""


def dask_setup(worker: Any) -> None:  # noqa: ANN401 - Dask calls this by its name when it preloads the module
    """Leave SIGINT to the client, and say nothing at the end."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for logger, beginning in _PARTING.items():
        logging.getLogger(logger).addFilter(worth_saying(beginning))

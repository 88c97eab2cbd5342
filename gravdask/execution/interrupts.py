"""What local workers load first: signals that ask a run to stop are the client's to answer.

A terminal sends Ctrl-C to every process of the job, a batch system SIGTERM or SIGUSR1 to every process of a step. The
client ends its workers in order, or lets them finish what is under way; workers that answered as well would lose their
units, or write tracebacks between its words. Whom the client or its nanny ends, they end by SIGKILL at the latest.
"""

from __future__ import annotations

import logging
import signal
from typing import Any

from gravdask.execution.quiet import worth_saying

SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")
"""Those that the machine knows are ignored."""
_PARTING = {
    "distributed.worker": "Failed to communicate with scheduler during heartbeat",
    "distributed.worker.state_machine": "Async instruction for",
}
"""Loggers, and how the lines begin that workers write when their client ends them in the middle of a unit."""


def dask_setup(worker: Any) -> None:  # noqa: ANN401 - Dask calls this by its name when it preloads the module
    """Leave the signals to the client, and say nothing at the end."""
    del worker
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    for logger, beginning in _PARTING.items():
        logging.getLogger(logger).addFilter(worth_saying(beginning))

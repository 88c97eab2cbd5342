"""MPI ranks as a Dask cluster: rank 0 schedules, rank 1 is the client, all others work.

Every rank starts the same command; the client alone goes on into it. A rank that dies takes the whole MPI job with
it, which is MPI's way; the next run continues.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gravdask.config import ClusterConfig
from gravdask.errors import ConfigError, ExecutionError
from gravdask.execution.clusters import ROLES, dask_keys, security_of
from gravdask.execution.units import single_threaded

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")
"""Where MPI launchers tell a process its rank."""
CLIENT_RANK = 1
FEWEST_RANKS = 3


def silent_rank() -> bool:
    """Whether this process is a rank of an MPI job other than the client's, which says nothing of its own."""
    told = [os.environ[name] for name in RANKS if name in os.environ]
    return bool(told) and told[0] != str(CLIENT_RANK)


def _rank_keys(settings: ClusterConfig) -> dict[str, Any]:
    """Dask's own keys for every rank: dask-mpi hands its scheduler and workers nothing else of the kind."""
    keys = dask_keys(settings)
    if security_of(settings) is not None:
        keys |= {"distributed.comm.require-encryption": True, "distributed.comm.tls.ca-file": settings.tls_ca}
        for role in ROLES:
            keys[f"distributed.comm.tls.{role}.cert"] = settings.tls_cert
            keys[f"distributed.comm.tls.{role}.key"] = settings.tls_key
    return keys


@contextmanager
def client_rank(settings: ClusterConfig) -> Iterator[bool]:
    """Take this process's part in the MPI job that kind 'mpi' means; gives whether it is the client's.

    For other kinds, every process is. Other ranks come here when the client's block has ended.

    Raises
    ------
    ConfigError
        If there are fewer than three ranks.
    ExecutionError
        If dask-mpi is not installed.
    """
    if settings.kind != "mpi":
        yield True
        return
    import dask

    try:
        from dask_mpi import initialize
        from dask_mpi.exceptions import WorldTooSmallException
        from dask_mpi.execute import send_close_signal
        from mpi4py import MPI
    except ImportError as error:
        msg = "cluster.kind = 'mpi' needs dask-mpi and mpi4py; pip install 'gravdask[mpi]'"
        raise ExecutionError(msg) from error
    if silent_rank() and hasattr(signal, "SIGUSR1"):
        # mpirun passes signals on to every rank; only the client's finishes and keeps what is under way.
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    single_threaded()
    # Every rank would tell each connection that ends, as all do in the end, with a traceback.
    logging.getLogger("distributed").setLevel(logging.ERROR)
    with dask.config.set(_rank_keys(settings)):  # to the end: the signal that ends the ranks is sent by them too
        try:
            mine = initialize(
                interface=settings.interface or None,
                nthreads=1,
                memory_limit=settings.memory,
                local_directory=settings.scratch or tempfile.gettempdir(),
                dashboard=bool(settings.dashboard),
                dashboard_address=settings.dashboard or ":0",
                protocol="tls" if settings.tls_ca else None,
                worker_options={"dashboard": False},
                exit=False,
            )
        except WorldTooSmallException as error:
            if silent_rank() and MPI.COMM_WORLD.Get_size() > 1:  # the client's rank says it
                yield False
                return
            msg = f"cluster.kind = 'mpi' needs at least {FEWEST_RANKS} ranks, 'mpirun -n {FEWEST_RANKS} gravdask ...'"
            raise ConfigError(msg) from error
        try:
            yield bool(mine)
        finally:
            if mine:
                send_close_signal()

"""Dask clusters of every kind, each started or found by the same section of the configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gravdask.config import ClusterConfig
from gravdask.errors import ExecutionError
from gravdask.execution import interrupts
from gravdask.execution.certificates import check_certificates, no_answer
from gravdask.execution.jobs import start_jobs
from gravdask.execution.quiet import quiet, start_quiet_tracker
from gravdask.execution.share import worker_count, worker_memory
from gravdask.execution.units import CALM, WORKER_ENVIRONMENT

CONNECT_SECONDS = "30s"
GATEWAY = "gateway:"
"""How the address of a cluster of dask-gateway begins; its name follows."""


@dataclass(frozen=True)
class Link:
    """A client whose cluster stands.

    Attributes
    ----------
    client
        Dask client.
    trouble
        Tells why no worker will come any more, '' while there is hope.
    losses
        Tells how many jobs ended too early.
    said
        Quotes what the jobs printed last.
    """

    client: Any
    trouble: Callable[[], str] = str
    losses: Callable[[], int] = int
    said: Callable[[], str] = str


def connect(settings: ClusterConfig, stack: ExitStack, say: Callable[[str], None]) -> Link:
    """Start or find the cluster; what is started ends with the stack.

    Raises
    ------
    ExecutionError
        If it does not start or does not answer: says what, and what to do.
    """
    import dask
    import distributed  # noqa: F401  (its defaults must be there before a value is set, or all go when that is unset)

    stack.enter_context(dask.config.set(dask_keys(settings)))
    return {"local": _local, "address": _found, "mpi": _ranks, "slurm": _jobs, "pbs": _jobs}[settings.kind](
        settings, stack, say
    )


def dask_keys(settings: ClusterConfig) -> dict[str, Any]:
    """Dask's own keys that a scheduler of gravdask and its workers are started with."""
    return CALM | {
        "distributed.scheduler.worker-ttl": f"{settings.silence:.0f}s",
        # A unit whose worker died as often as it is tried is given up, not run for ever.
        "distributed.scheduler.allowed-failures": settings.retries,
    }


def security_of(settings: ClusterConfig) -> Any:  # noqa: ANN401
    """TLS as the configuration states it, None where it does not.

    Raises
    ------
    ExecutionError
        If one of the files cannot be read or used.
    """
    if not settings.tls_ca:
        return None
    from distributed.security import Security

    check_certificates(settings)
    roles = {f"tls_{role}_{part}": getattr(settings, f"tls_{part}") for role in ROLES for part in ("cert", "key")}
    return Security(tls_ca_file=settings.tls_ca, require_encryption=True, **roles)


ROLES = ("client", "scheduler", "worker")
PATIENT = {"distributed.deploy.lost-worker-timeout": "10000 days"}
"""Local workers are started anew by their nannies. Dask would give one up for good that is not back after 15 s, as on a
loaded machine, or has died again at that moment."""


def _local(settings: ClusterConfig, stack: ExitStack, say: Callable[[str], None]) -> Link:
    """Worker processes on this machine."""
    import dask
    from distributed import Client, LocalCluster

    del say
    first = [*dask.config.get("distributed.worker.preload"), interrupts.__name__]
    keys = {"distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT, "distributed.worker.preload": first, **PATIENT}
    stack.enter_context(dask.config.set(keys))
    # On a loaded machine that is how a run ends well.
    stack.enter_context(quiet("distributed.nanny", "Worker process still alive after"))
    start_quiet_tracker()
    workers = worker_count(settings)
    security = security_of(settings)
    try:
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=worker_memory(settings),
                local_directory=settings.scratch or tempfile.gettempdir(),
                dashboard_address=settings.dashboard or ":0",  # its server is there in any case
                scheduler_kwargs={"dashboard": bool(settings.dashboard)},
                host="127.0.0.1",
                security=security,
                protocol="tls://" if security else None,
            )
        )
        return Link(stack.enter_context(Client(cluster, security=security)))
    except (RuntimeError, OSError) as error:
        msg = f"the {workers} local workers did not start ({error}); run again, with fewer --workers, or --serial"
        raise ExecutionError(msg) from error


def _found(settings: ClusterConfig, stack: ExitStack, say: Callable[[str], None]) -> Link:
    """Find the scheduler that runs already."""
    from distributed import Client

    if settings.address.startswith(GATEWAY):
        return _gateway(settings, stack, say)
    file = settings.address.endswith(".json")
    if file and not Path(settings.address).is_file():
        msg = (
            f"no scheduler file {settings.address}; start a scheduler with --scheduler-file, in a folder seen from here"
        )
        raise ExecutionError(msg)
    where: dict[str, Any] = {"scheduler_file": settings.address} if file else {"address": settings.address}
    try:
        return Link(stack.enter_context(Client(**where, timeout=CONNECT_SECONDS, security=security_of(settings))))
    except (OSError, ValueError, TypeError) as error:  # no answer, no JSON, TLS on one side only
        why = no_answer(settings, error)
        msg = f"no Dask scheduler answers at {settings.address!r} ({why}); start it, or use --serial"
        raise ExecutionError(msg) from error


def _gateway(settings: ClusterConfig, stack: ExitStack, say: Callable[[str], None]) -> Link:
    """Find a cluster of dask-gateway, whose server and login stand in Dask's own configuration."""
    try:
        from dask_gateway import Gateway, GatewayClusterError, GatewayServerError
    except ImportError as error:
        msg = f"cluster.address = {settings.address!r} needs dask-gateway; pip install 'gravdask[gateway]'"
        raise ExecutionError(msg) from error
    del say
    name = settings.address.removeprefix(GATEWAY)
    try:
        gateway = stack.enter_context(Gateway())
        cluster = stack.enter_context(gateway.connect(name))
        return Link(stack.enter_context(cluster.get_client()))
    except (OSError, ValueError, GatewayClusterError, GatewayServerError) as error:
        msg = (
            f"no cluster {name!r} of dask-gateway answers ({error}); 'dask_gateway.Gateway().list_clusters()' names "
            "those that run, and Dask's configuration (gateway.address, gateway.auth) where they are looked for"
        )
        raise ExecutionError(msg) from error


def _ranks(settings: ClusterConfig, stack: ExitStack, say: Callable[[str], None]) -> Link:
    """Find the scheduler among the ranks of this MPI job."""
    import dask
    from distributed import Client

    del say
    address = dask.config.get("scheduler_address", None)
    if not address:
        msg = (
            "cluster.kind = 'mpi' works within 'mpirun -n N gravdask ...' only, N = workers + 2; use that, or --serial"
        )
        raise ExecutionError(msg)
    return Link(stack.enter_context(Client(address, timeout=CONNECT_SECONDS, security=security_of(settings))))


def _jobs(settings: ClusterConfig, stack: ExitStack, say: Callable[[str], None]) -> Link:
    """Workers in jobs of a batch system, the scheduler in this process."""
    from distributed import Client

    security = security_of(settings)
    cluster, watch = start_jobs(settings, stack, security, say)
    client = stack.enter_context(Client(cluster, security=security))
    return Link(client, lambda: watch.trouble, lambda: watch.losses, watch.said)

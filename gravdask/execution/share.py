"""How many workers a run starts and how much memory each may take: one rule for who starts and who foresees them."""

from __future__ import annotations

from gravdask.config import ClusterConfig

MEMORY_SHARE = 0.9
"""Of the memory that this process may use, for all local workers together."""
JOB_BYTES = 2 * 2**30
"""Of a worker in a job of a batch system, which must be told some limit [bytes]."""


def worker_count(settings: ClusterConfig) -> int:
    """Workers that a run will start; 0 where they are there already.

    Left to gravdask, there is one for every core that this process may use, by affinity and control group.
    """
    from dask.system import CPU_COUNT

    if settings.batch:
        return settings.workers or settings.workers_per_job
    return {"serial": 1, "local": settings.workers or CPU_COUNT}.get(settings.kind, 0)


def worker_memory(settings: ClusterConfig) -> int:
    """Memory limit of each worker that is started here [bytes], 0 for none.

    Left to gravdask, local workers share what this process may use; Dask's own share is by cores, however few work.
    """
    stated = settings.memory_bytes
    if settings.batch:
        return stated or JOB_BYTES
    if stated is not None:
        return stated
    from distributed.system import MEMORY_LIMIT

    return int(MEMORY_SHARE * MEMORY_LIMIT / max(worker_count(settings), 1))

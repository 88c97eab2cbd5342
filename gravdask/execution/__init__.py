"""Where work runs: in this process, on local worker processes, in jobs of SLURM or PBS, on MPI ranks, at an address.

All of them go through the same code: a runner is given a function and tasks, and gives back results as they complete,
with a bounded number under way. A worker is one process with one thread in fact. The one place where any error of a
unit is caught is `guarded`: there it becomes a finding of that unit, and the run goes on.
"""

from gravdask.execution.dask_runner import DaskRunner
from gravdask.execution.mpi import client_rank, silent_rank
from gravdask.execution.runners import Runner, SerialRunner
from gravdask.execution.starting import open_runner
from gravdask.execution.units import HOPELESS, STOPPED, Failure, guarded, single_threaded

__all__ = [
    "HOPELESS",
    "STOPPED",
    "DaskRunner",
    "Failure",
    "Runner",
    "SerialRunner",
    "client_rank",
    "guarded",
    "open_runner",
    "silent_rank",
    "single_threaded",
]

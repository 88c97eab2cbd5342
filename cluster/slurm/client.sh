#!/usr/bin/env bash
# gravdask itself as a small job; it submits the jobs of its workers (kind = "slurm") and takes them back at the end.
# From the folder of gravdask.toml, in the environment in which gravdask is installed:
#
#   sbatch cluster/slurm/client.sh run -c gravdask.toml
#
# Where the login node may run programs for days, this does the same:  nohup gravdask run -c gravdask.toml &> run.log &
#SBATCH --job-name=gravdask-client
#SBATCH --ntasks=1 --cpus-per-task=1 --mem=4G
# As long as the queueing and the work of all workers may take; a job that ends before continues when submitted again.
#SBATCH --time=2-00:00:00
# Five minutes before its time is up, gravdask is told to finish what is under way (exit code 3).
#SBATCH --signal=B:USR1@300
#SBATCH --output=gravdask-%j.log
set -uo pipefail
# This job's own limits are none of its workers'.
unset SLURM_MEM_PER_NODE SLURM_MEM_PER_CPU SLURM_CPUS_PER_TASK SLURM_NTASKS SLURM_NPROCS

# In place of this shell, to which SLURM sends its signal.
exec gravdask "$@"

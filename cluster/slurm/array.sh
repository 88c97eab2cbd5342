#!/usr/bin/env bash
# A share of a stage's units in each job of an array, without any Dask between the jobs: they meet in the store alone.
# chain.sh submits the arrays of all stages, one after the other; by hand, for one stage:
#
#   sbatch --array=0-7 cluster/slurm/array.sh --stages convert -c gravdask.toml
#
#SBATCH --job-name=gravdask-array
#SBATCH --ntasks=1 --cpus-per-task=4 --mem-per-cpu=2500M
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --output=gravdask-%A_%a.log
set -uo pipefail
share=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN))/$SLURM_ARRAY_TASK_COUNT
workers=${SLURM_CPUS_PER_TASK:-1}
each=${SLURM_MEM_PER_CPU:-$((${SLURM_MEM_PER_NODE:-$((2240 * workers))} / workers))} # MB of the job for each worker
export OMP_NUM_THREADS=1

# In place of this shell, to which SLURM sends its signal.
exec gravdask run "$@" --task "$share" --set cluster.kind=local --set "cluster.workers=$workers" \
  --set "cluster.memory=$((each - 192))MiB"

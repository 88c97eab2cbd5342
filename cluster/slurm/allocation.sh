#!/usr/bin/env bash
# Everything in one allocation: scheduler, workers and gravdask itself. For sites where jobs may submit no jobs, or
# where one large job waits less than many small ones. From the folder of gravdask.toml, which holds this cluster/:
#
#   sbatch --nodes=2 --ntasks-per-node=16 cluster/slurm/allocation.sh run -c gravdask.toml
#
#SBATCH --job-name=gravdask
#SBATCH --ntasks-per-node=16 --cpus-per-task=1 --mem-per-cpu=2500M
#SBATCH --time=04:00:00
# Five minutes before its time is up, gravdask is told to finish what is under way (exit code 3); submit again to go on.
#SBATCH --signal=B:USR1@300
#SBATCH --output=gravdask-%j.log
# The worker of a node that fails is lost, the others go on.
#SBATCH --no-kill
export WORKERS=$SLURM_NTASKS LAUNCH="${LAUNCH:-srun --no-kill --kill-on-bad-exit=0}"
exec bash "${CLUSTER:-$SLURM_SUBMIT_DIR/cluster}/allocation.sh" "$@"

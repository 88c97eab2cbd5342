#!/usr/bin/env bash
# Everything in one allocation: scheduler, workers and gravdask itself. From the folder of gravdask.toml, which holds
# this cluster/, in the environment in which gravdask is installed:
#
#   qsub -v PATH cluster/pbs/allocation.sh                          (does: gravdask run -c gravdask.toml)
#   qsub -v PATH,ARGUMENTS="run -c other.toml" -l select=4:ncpus=16:mpiprocs=16:mem=40gb cluster/pbs/allocation.sh
#
# The allocation needs mpiprocs equal to ncpus: PBS_NODEFILE then has a line for each worker.
#PBS -N gravdask
#PBS -l select=2:ncpus=16:mpiprocs=16:mem=40gb
#PBS -l walltime=04:00:00
#PBS -j oe
#PBS -r n
cd "$PBS_O_WORKDIR" || exit 2
read -ra arguments <<<"${ARGUMENTS:-run -c gravdask.toml}"
WORKERS=$(wc -l <"$PBS_NODEFILE")
export WORKERS LAUNCH="${LAUNCH:-mpiexec -n $WORKERS}"
exec bash "${CLUSTER:-$PBS_O_WORKDIR/cluster}/allocation.sh" "${arguments[@]}"

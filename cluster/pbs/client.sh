#!/usr/bin/env bash
# gravdask itself as a small job; it submits the jobs of its workers (kind = "pbs") and takes them back at the end.
# From the folder of gravdask.toml, in the environment in which gravdask is installed:
#
#   qsub -v PATH cluster/pbs/client.sh                          (does: gravdask run -c gravdask.toml)
#   qsub -v PATH,ARGUMENTS="run -c other.toml" cluster/pbs/client.sh
#
#PBS -N gravdask-client
#PBS -l select=1:ncpus=1:mem=4gb
#PBS -l walltime=48:00:00
#PBS -j oe
#PBS -r n
set -uo pipefail
cd "$PBS_O_WORKDIR" || exit 2
read -ra arguments <<<"${ARGUMENTS:-run -c gravdask.toml}"

# PBS sends SIGTERM shortly before it kills; gravdask then finishes what is under way (exit code 3). Submit again to go on.
exec gravdask "${arguments[@]}"

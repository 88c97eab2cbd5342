#!/usr/bin/env bash
# Submits the whole work as job arrays into one store, and a last job for the stages that need all of it.
# From the folder of gravdask.toml, which holds this cluster/:
#
#   bash cluster/slurm/chain.sh 8 -c gravdask.toml      (8 jobs an array)
#
# SBATCH_OPTIONS  options for every sbatch, e.g. "--partition=long --account=geo"
# A stage begins when all jobs of the one before have ended, however they ended: the last job does what is missing.
set -euo pipefail
count=${1:?number of jobs in an array, for example 8}
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
read -ra options <<<"${SBATCH_OPTIONS:-}"

submit() { # dependency, other options of sbatch, script, arguments
  local after=$1
  shift
  sbatch --parsable ${options[@]+"${options[@]}"} ${after:+"--dependency=afterany:$after"} "$@"
}

after=
for stages in convert noise,calibrate scatter; do
  after=$(submit "$after" --array="0-$((count - 1))" "$here/array.sh" --stages "$stages" "$@")
  after=${after%%;*} # 'job;cluster' where there are several clusters
  echo "$stages: array job $after"
done
last=$(submit "$after" --array=0-0 "$here/array.sh" "$@")
echo "all that is left, fit, classes, interpretation, report: job ${last%%;*}; its log: gravdask-${last%%;*}_0.log"

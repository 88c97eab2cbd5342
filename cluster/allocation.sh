#!/usr/bin/env bash
# Inside an allocation: starts a Dask scheduler and workers, waits for them, runs gravdask on them, stops them.
#
#   WORKERS=32 LAUNCH=srun bash cluster/allocation.sh run -c gravdask.toml
#
# WORKERS    number of workers that LAUNCH starts (required)
# LAUNCH     command that starts another command once for each worker: srun, mpiexec, ...; empty: here, WORKERS times
# PREFIX     what comes before every command of the environment, e.g. "apptainer exec gravdask.sif"; empty: nothing
# MEMORY     memory limit of a worker [2GiB]
# SCRATCH    node-local folder for spilling [TMPDIR or /tmp]
# INTERFACE  network interface, e.g. ib0; empty: the default one
# WAIT       seconds to wait for all workers [600]
# SIGTERM and SIGUSR1 (what batch systems send before the end) reach gravdask, which finishes what is under way.
# The exit code is gravdask's, 5 if the workers did not come. What Dask says goes to dask-scheduler-JOB.log.
set -euo pipefail
: "${WORKERS:?number of workers, for example WORKERS=32}"

# One thread a worker, and an allocator that keeps its pages: it halves the time of the transform.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
export MALLOC_MMAP_THRESHOLD_=67108864 MALLOC_TRIM_THRESHOLD_=268435456
# Dask looks at itself less often: 3 % of every core.
export DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL=500ms DASK_DISTRIBUTED__WORKER__PROFILE__INTERVAL=100ms

read -ra within <<<"${PREFIX:-env}"
file=$PWD/dask-scheduler-${SLURM_JOB_ID:-${PBS_JOBID:-$$}}.json # in a folder that all nodes see
log=${file%.json}.log
rm -f "$file" "$log"
network=(${INTERFACE:+--interface "$INTERFACE"})
started=()
finish() { # workers first: without their scheduler they end slowly
  local at
  for ((at = ${#started[@]} - 1; at >= 0; at--)); do
    kill "${started[at]}" 2>/dev/null || true
    wait "${started[at]}" 2>/dev/null || true
  done
  rm -f "$file"
}
trap finish EXIT

"${within[@]}" dask scheduler --scheduler-file "$file" --port 0 --no-dashboard ${network[@]+"${network[@]}"} >>"$log" 2>&1 &
started+=($!)
worker=("${within[@]}" dask worker --scheduler-file "$file" --nthreads 1 --memory-limit "${MEMORY:-2GiB}" --no-dashboard
  --local-directory "${SCRATCH:-${TMPDIR:-/tmp}}" --death-timeout 120 ${network[@]+"${network[@]}"})
if [ -n "${LAUNCH:-}" ]; then
  $LAUNCH "${worker[@]}" >>"$log" 2>&1 &
else
  "${worker[@]}" --nworkers "$WORKERS" >>"$log" 2>&1 &
fi
started+=($!)

address=$(
  "${within[@]}" python - "$file" "$WORKERS" "${WAIT:-600}" <<'PYTHON'
import sys

from distributed import Client

file, workers, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
try:
    with Client(scheduler_file=file, timeout=seconds) as client:
        client.wait_for_workers(workers, timeout=seconds)
        print(client.scheduler.address)
except OSError as error:  # time-outs are among them
    sys.exit(f"allocation.sh: {error}")
PYTHON
) || {
  echo "allocation.sh: fewer than $WORKERS workers came in ${WAIT:-600} s; see $log" >&2
  exit 5
}

"${within[@]}" gravdask "$@" --set cluster.kind=address --set "cluster.address=$address" &
run=$!
trap 'kill -TERM "$run" 2>/dev/null || true' TERM USR1 INT
code=0
wait "$run" || code=$?
while kill -0 "$run" 2>/dev/null; do # a signal ends wait, not gravdask
  code=0
  wait "$run" || code=$?
done
exit "$code"

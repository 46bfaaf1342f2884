#!/bin/bash
# How a job with several ranks ends: exit codes, one message, and never a hang.
# Usage: failures.sh FAILING_JOB_PROGRAM MPIRUN
program=$1
mpirun=$2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failures=0

# expect CODE COUNT TEXT COMMAND...: the command ends within 30 s with CODE, and TEXT stands on COUNT lines
expect() {
    local code=$1 count=$2 text=$3
    shift 3
    timeout 30 "$@" >"$log" 2>&1
    local got=$? lines
    lines=$(grep -cF -- "$text" "$log")
    if [ "$got" -ne "$code" ] || [ "$lines" -ne "$count" ]; then
        echo "FAILED: $*"
        echo "  exit code $got (expected $code), \"$text\" on $lines lines (expected $count)"
        sed 's/^/  | /' "$log"
        failures=$((failures + 1))
    fi
}

run="$mpirun -n 4 $program"
expect 0 1 "ranks: 4" $run
expect 85 1 "ranks: 4" $run --requeue
# All ranks alike: one message without a rank, the exit code, no abort.
expect 2 1 "ladle: too many ranks" $run --rank all --kind config
expect 2 0 "MPI_ABORT" $run --rank all --kind config
expect 2 1 "did you mean \"run.seed\"" $run --run.sed 1
expect 2 1 "did you mean \"run.seed\"" "$program" --run.sed 1
# All ranks, each with its own message: each is printed, with its rank.
expect 3 1 "rank 2/4] cannot read shard: rank 2 says so" $run --rank all --kind data
# One rank: its message, its exit code, everybody ends.
expect 3 1 "rank 2/4] cannot read shard: rank 2 says so" $run --rank 2 --kind data
expect 2 1 "rank 0/4] too many ranks" $run --rank 0 --kind config
expect 70 1 "rank 1/4] unexpected error: not one of ours" $run --rank 1 --kind foreign
expect 70 1 "ladle: unexpected error: not one of ours" "$program" --rank all --kind foreign
# A rank that hangs: the watchdogs end the job.
expect 75 1 "no progress for 1 s after step 17" "$program" --stall --run.watchdog_seconds 1
timeout 30 $run --stall --run.watchdog_seconds 1 >"$log" 2>&1
if [ $? -ne 75 ] || ! grep -q "no progress for 1 s after step 17" "$log"; then
    echo "FAILED: the watchdog did not end four ranks with 75"
    failures=$((failures + 1))
fi
# Singletons where the launcher says that there are more; help works everywhere.
expect 4 1 "srun --mpi=pmix" env SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 "$program"
expect 4 0 "ladle:" env SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=1 "$program"
expect 4 1 "PMI_SIZE says that 2 were started" env PMI_SIZE=2 "$program"
expect 0 1 "ranks: 1" env SLURM_STEP_NUM_TASKS=1 "$program"
expect 0 1 "Usage: ladle failing" "$program" --help
# A job of one process refuses to be started several times.
expect 2 1 "was started 4 times at once" $run --alone
expect 0 1 "ranks: 1" "$program" --alone

echo "$failures failures"
[ "$failures" -eq 0 ]

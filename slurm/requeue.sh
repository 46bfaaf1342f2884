# What every batch job of ladle does around its program; sourced by train.sbatch and sweep.sbatch.
# shellcheck shell=bash

site=${LADLE_SLURM_DIR:-${SLURM_SUBMIT_DIR:-.}/slurm}/site.conf
# shellcheck source=slurm/site.conf
[ ! -r "$site" ] || source "$site"

# run_and_requeue COMMAND...: runs it, passes signals on, puts the job back into the queue if it ended with exit code
# 85 (stopped with at least one more step done and the state safe), and ends the script.
run_and_requeue() {
    local step code job=$SLURM_JOB_ID restarts=${SLURM_RESTART_COUNT:-0}
    [ -z "${SLURM_ARRAY_JOB_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
    export OMP_NUM_THREADS=1 # ladle has its own threads
    # In the background: bash handles signals only between commands. srun, mpirun and `ladle sweep` pass USR1 on.
    "$@" &
    step=$!
    trap 'kill -USR1 "$step" 2>/dev/null' USR1 TERM
    # A signal ends `wait` early; once the process is gone, `wait` tells its exit code.
    while kill -0 "$step" 2>/dev/null; do
        wait "$step"
    done
    wait "$step"
    code=$?
    echo "job $job: ladle ended with exit code $code (restart $restarts, ${SLURM_JOB_NODELIST:-})"
    case $code in
        85)
            if [ "${LADLE_REQUEUE:-yes}" = no ]; then
                echo "job $job: not requeued (LADLE_REQUEUE=no): the same command goes on from here"
            elif [ "$restarts" -ge "${LADLE_RESTARTS:-20}" ]; then
                echo "job $job: not requeued: it was restarted $restarts times (LADLE_RESTARTS)"
            elif scontrol requeue "$job"; then
                sleep 60 # Slurm ends this script; leaving before that would count as a failure
            fi
            ;;
        4 | 75) echo "job $job: if this happens again on $SLURM_JOB_NODELIST, submit with --exclude" ;;
    esac
    exit "$code"
}

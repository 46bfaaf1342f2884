#!/bin/bash
# `ladle sweep` on this machine: bad input, failing runs, interruptions, a full disk.
# Usage: see common.sh.
source "$(dirname "$0")/common.sh"
unset LADLE LADLE_LAUNCH
tiny_model model
tiny_shards shards model
base=(--model.path model --data.dir shards --train.batch 16 --train.max_steps 30)
grid=("${base[@]}" --optim.lr 1e-3,3e-3 --run.seed 0..1)

# refused CODE TEXT WORDS...: ladle sweep WORDS ends with the code and one message that holds the text
refused() {
    local code=$1 text=$2
    shift 2
    timeout 60 "$ladle" sweep "$@" >log 2>&1
    local result=$?
    [ $result -eq "$code" ] || fail "exit code $result instead of $code: ladle sweep $*"
    { grep -q -- "$text" log && [ "$(grep -c '^ladle: ' log)" -eq 1 ]; } || fail "\"$text\" is not said once: $*"
}
sweep() { timeout 120 "$ladle" sweep "$@" >log 2>&1; }
ids() { sed -n 's/.*"id": "\([0-9a-f]*\)".*/\1/p' "$1/sweep.json"; }

refused 2 'did you mean "optim.lr"' s "${base[@]}" --optim.lrr 1e-3
printf '[optim]\nlrr = 1e-3, 2e-3\n' >bad.cfg
refused 2 'the sweep lists an unknown option "optim.lrr"' s "${base[@]}" --config bad.cfg
refused 2 'the sweep has no runs: optim.lr' s "${base[@]}" --optim.lr ''
refused 2 'the sweep has no runs: run.seed' s "${base[@]}" --run.seed 4..2
refused 2 'run.dir cannot be set in a sweep' s "${base[@]}" --run.dir r
refused 2 'ladle sweep needs one directory' "${base[@]}"
refused 2 '--model.path is missing' s --data.dir shards
refused 3 'there is no sweep in s' status s
refused 3 'no_such_shards' s "${base[@]:0:2}" --data.dir no_such_shards
refused 2 'unknown job\|adapter.kind' s "${base[@]}" --adapter.kind adamixx
refused 2 '--format xml is unknown' collect s --format xml
[ ! -e s ] || fail "a refused sweep left a directory"

sweep s "${grid[@]}" --dry-run || fail "dry run"
{ grep -q '^4 runs, 120 steps' log && [ ! -e s ]; } || fail "the dry run does not show the runs, or writes"
# Runs side by side have sizes of their own: the launcher of batch jobs is not for them.
LADLE_LAUNCH=/no/such/launcher sweep s "${grid[@]}" || fail "the sweep"
sweep s "${grid[@]}" || fail "the same command again"
grep -q 'nothing to start' log || fail "finished runs are not skipped"
refused 2 'belongs to another sweep' s "${base[@]}" --optim.lr 5e-3
PATH=/nowhere "$ladle" sweep t "${grid[@]}" --slurm >log 2>&1
code=$?
{ [ $code -eq 2 ] && grep -q -- '--slurm needs sbatch: there is no such program in PATH' log; } ||
    fail "exit code $code without sbatch"
timeout 60 "$ladle" train "${base[@]}" --optim.lr 3e-3 --run.seed 1 --run.dir single >log 2>&1 || fail "a single run"
same_results single "s/runs/$(ids s | tail -1)" || fail "a run of a sweep differs from the same run alone"

# A run that fails does not keep the others from ending; retry starts it alone.
mkdir -p f/runs
touch "f/runs/$(ids s | head -1)"
sweep f "${grid[@]}"
code=$?
[ $code -eq 74 ] || fail "exit code $code instead of that of the failed run, 74"
grep -q '^1 run failed' log || fail "failures are not listed at the end"
sweep status f && grep -q '1 failed, 3 finished' log || fail "the states after a failure"
sweep collect f && grep -q 'not finished: optim.lr=1e-3, seed 0: failed with exit code 74' log || fail "why a seed is missing"
rm "f/runs/$(ids s | head -1)"
sweep f
grep -q 'nothing to start' log || fail "a failed run was started again without retry"
{ sweep retry f && grep -q '^1 of 4 runs to go' log; } || fail "retry"
for id in $(ids s); do
    same_results "s/runs/$id" "f/runs/$id" || fail "bytes of run $id after a retry"
done

# Stopped and killed, then the same command.
long=(--model.path model --data.dir shards --train.batch 16 --train.max_steps 400 --checkpoint.every_steps 20
    --run.seed 0..1)
sweep whole "${long[@]}" || fail "the long sweep"
for signal in INT KILL; do
    # One rank each: the process of a claim is then the run itself, not an mpirun whose ranks outlive it.
    "$ladle" sweep "$signal" "${long[@]}" --parallel 2 --ranks 1 >log 2>&1 &
    sweeper=$!
    for ((i = 0; i < 300; i++)); do
        [ "$(cat "$signal"/runs/*/metrics.jsonl 2>/dev/null | wc -l)" -lt 40 ] || break
        sleep 0.1
    done
    kill -$signal $sweeper
    wait $sweeper
    code=$?
    if [ $signal = INT ]; then
        [ $code -eq 85 ] || fail "exit code $code instead of 85 after an interruption"
    else
        # The runs outlive their sweeper and still count as held; they must end before others take over.
        sweep status $signal && grep -q 'running' log || fail "orphaned runs do not show as running"
        for claim in $signal/claims/*; do
            kill -KILL "$(sed -n 's/.*"child":"\([0-9]*\) .*/\1/p' "$claim")"
        done
        for ((i = 0; i < 100; i++)); do
            sweep status $signal && grep -q 'running' log || break
            sleep 0.1
        done
        [ $i -lt 100 ] || fail "killed runs still show as running"
    fi
    sweep "$signal" || fail "going on after $signal"
    for id in $(ids whole); do
        same_results "whole/runs/$id" "$signal/runs/$id" || fail "bytes of run $id after $signal"
    done
done

# Two sweepers in one directory: no run is started twice.
"$ladle" sweep two "${grid[@]}" >first 2>&1 &
first=$!
sweep two "${grid[@]}" || fail "a second sweeper"
wait $first || { cat first; fail "the first of two sweepers"; }
sweep status two && grep -q '4 finished' log || fail "the states after two sweepers"
[ "$(cat two/attempts/* | grep -c start)" -eq 4 ] || fail "a run was started twice"

mkdir disk
if ! mount -t tmpfs -o size=48k none disk 2>/dev/null; then
    echo "SKIPPED: a full disk, which needs the right to mount; the rest was tested"
    finish || exit 1
    exit 77
fi
trap 'umount disk; rm -rf "$work"' EXIT
refused 74 'cannot write disk\|the disk is full\|No space left' disk/s "${base[@]}" --run.seed 0..99
finish

#!/bin/bash
# Runs that are stopped or killed and go on with another number of ranks end with the bytes of an undisturbed run.
# Usage: see common.sh
source "$(dirname "$0")/common.sh"
tiny_model model
tiny_shards shards model

options=(train --model.path model --data.dir shards --train.max_steps 80 --train.batch 16 --optim.lr 1e-2
    --train.consistency 1 --checkpoint.every_steps 3)
on_ranks 1 "${options[@]}" --run.dir whole || fail "the undisturbed run"

# steps RUN: training steps in its metrics
steps() { cat "$1/metrics.jsonl" 2>/dev/null | grep -c '"kind":"step"'; }

# start RANKS RUN: in the background, until some steps are done; sets job, and rank_pid to the process of its last rank
start() {
    local launcher=()
    [ "$1" -eq 1 ] || launcher=("$mpirun" -n "$1")
    local before
    before=$(steps "$2")
    rm -f pid
    # Every rank notes its process; the last to do so is as good as any.
    timeout 60 "${launcher[@]}" sh -c 'echo $$ >pid; exec "$0" "$@"' "$ladle" "${options[@]}" --run.dir "$2" >log 2>&1 &
    job=$!
    while kill -0 $job 2>/dev/null && [ "$(steps "$2")" -lt $((before + 4)) ]; do sleep 0.02; done
    rank_pid=$(cat pid)
}

# resumed RUN RANKS
resumed() {
    on_ranks "$2" "${options[@]}" --run.dir "$1" || fail "$1: exit code $? after a resume"
    grep -q "resumed at step" log || fail "$1 did not resume"
    same_results whole "$1" || fail "$1 differs from the undisturbed run"
    [ "$(steps "$1")" -eq 80 ] || fail "$1: $(steps "$1") steps in metrics.jsonl instead of 80"
}

mkdir stop && touch stop/STOP
on_ranks 2 "${options[@]}" --run.dir stop
[ $? -eq 85 ] || fail "STOP: not 85"
[ -e stop/STOP ] && fail "the STOP file is still there"
[ -e stop/checkpoints/step-1.h5 ] || fail "STOP: not at the next step"
"$ladle" inspect stop | grep -q "^state = stopped on request at step 1;" || fail "STOP: inspect does not show it"
resumed stop 1

# Other kernels are another machine (where there are others).
if grep -q avx512f /proc/cpuinfo; then
    mkdir moved && touch moved/STOP
    on_ranks 1 "${options[@]}" --run.dir moved
    on_ranks 1 "${options[@]}" --run.dir moved --cpu.isa avx2
    { [ $? -eq 2 ] && grep -q "kernels: .* then, .* now" log; } || fail "another machine is not refused"
    on_ranks 1 "${options[@]}" --run.dir moved --cpu.isa avx2 --allow-new-hardware || fail "another machine: exit code $?"
    tr -d ' \n' <moved/manifest.json | grep -q '"machine_changes":\[{"step":1,' || fail "another machine: its step"
fi

start 1 term
"$ladle" inspect term >seen || fail "a running run cannot be inspected"
grep -q "^state = running: held by host " seen || fail "a running run is not recognised"
kill -TERM "$rank_pid"
wait $job
[ $? -eq 85 ] || fail "SIGTERM: not 85"
resumed term 2

start 2 term2
kill -TERM "$rank_pid"
wait $job
[ $? -eq 85 ] || fail "SIGTERM to one of two ranks: not 85"
resumed term2 4

for ranks in 2 1 2; do
    start $ranks killed
    kill -KILL "$rank_pid"
    wait $job
    code=$?
    { [ $code -ne 0 ] && [ $code -ne 124 ]; } || fail "SIGKILL on $ranks ranks: exit code $code"
done
resumed killed 1

# The newest checkpoint is damaged: the one before it serves.
cp -r whole damaged
rm damaged/soup.h5
newest=damaged/checkpoints/$(cat damaged/checkpoints/last)
truncate -s -100 "$newest"
resumed damaged 1
grep -q "not resumed from" log || fail "the refused checkpoint is not named"

# A finished run started again changes nothing.
digests whole >before
on_ranks 2 "${options[@]}" --run.dir whole || fail "a finished run started again: exit code $?"
digests whole | diff before - || fail "a finished run started again changed files"

# Nor does one that early stopping has ended between two checkpoints: its last step has one.
early=(train --model.path model --data.dir shards --run.dir early --train.batch 16 --optim.lr 1e-12 --train.epochs 20
    --train.patience 2 --checkpoint.every_steps 11)
on_ranks 2 "${early[@]}" || fail "early stopping: exit code $?"
grep -q '"stopped_early": true' early/results.json || fail "early stopping: it did not stop"
last=$(sed -n 's/.*"steps_done": \([0-9]*\).*/\1/p' early/results.json)
[ $((last % 11)) -ne 0 ] || fail "early stopping: a checkpoint was due anyway"
[ "$(cat early/checkpoints/last)" = "step-$last.h5" ] || fail "early stopping: no checkpoint of step $last"
digests early >before
on_ranks 1 "${early[@]}" || fail "a run stopped early, started again: exit code $?"
grep -q "resumed at step $last " log || fail "a run stopped early, started again, does steps"
digests early | diff before - || fail "a run stopped early, started again, changed files"
finish

#!/bin/bash
# The same bytes on any number of ranks and threads, with dropout and consistency loss, for one precision.
# Usage: see common.sh; the precision (fp32 or bf16) comes last. Exit code 77: this processor lacks it.
source "$(dirname "$0")/common.sh"
precision=$5
tiny_model model
tiny_shards shards model

# train RUN RANKS WORDS...
train() {
    local run=$1 ranks=$2
    shift 2
    on_ranks "$ranks" train --model.path model --data.dir shards --run.dir "$run" --model.precision "$precision" \
        --train.max_steps 6 --train.batch 24 --train.consistency 1 --optim.lr 1e-2 --adapter.size 8 "$@" ||
        fail "$run: exit code $?"
}

on_ranks 1 train --model.path model --data.dir shards --run.dir none --model.precision "$precision" --dry-run
if [ $? -eq 4 ] && grep -q "bf16" log; then
    echo "SKIPPED: $(head -n 1 log)"
    exit 77
fi
for accumulate in 1 2; do
    train "one-$accumulate" 1 --train.accumulate $accumulate
    for layout in "2 1" "4 1" "1 2" "2 2"; do
        read -r ranks threads <<<"$layout"
        run="ranks$ranks-threads$threads-$accumulate"
        train "$run" "$ranks" --cpu.threads "$threads" --train.accumulate $accumulate
        same_results "one-$accumulate" "$run" || fail "$run differs from one rank with one thread"
    done
done
# The comparison can fail: another seed, another window.
train seed 1 --run.seed 1
same_results one-1 seed >log 2>&1 && fail "another seed gives the same bytes"
same_results one-1 one-2 >log 2>&1 && fail "accumulation changes nothing"
[ $failures -eq 0 ] || exit 1

#!/bin/bash
# Training learns a rule that a few words decide: the loss falls, the dev score rises, and events are written.
# Usage: see common.sh
source "$(dirname "$0")/common.sh"

# rows SEED COUNT: sentences of six words, of which one or the other of two decides the label
rows() {
    awk -v seed="$1" -v count="$2" 'BEGIN {
        srand(seed); split("node disk queue link fan rack port core", word, " ")
        print "sentence,label"
        for (i = 0; i < count; i++) {
            label = int(2 * rand()); place = 1 + int(6 * rand()); text = ""
            for (k = 1; k <= 6; k++) text = text " " (k == place ? (label ? "broken" : "fine") : word[1 + int(8 * rand())])
            print substr(text, 2) "," (label ? "problem" : "no_problem")
        }
    }'
}
rows 1 256 >train.csv
rows 2 128 >dev.csv
"$make_tiny" model whole train.csv || exit 1
"$ladle" prepare --data.task sample --train-file train.csv --validation-file dev.csv --model.path model \
    --data.dir shards >log || fail "prepare"
on_ranks 2 train --model.path model --data.dir shards --run.dir run --train.epochs 20 --train.batch 32 --optim.lr 1e-2 \
    --eval.every 20 || fail "train: exit code $?"
sed -n 's/.*"kind":"step".*"task_loss":\([0-9.e-]*\),.*/\1/p' run/metrics.jsonl >losses
first=$(head -n 10 losses | awk '{s += $1} END {print s / NR}')
last=$(tail -n 10 losses | awk '{s += $1} END {print s / NR}')
echo "mean loss of the first 10 steps $first, of the last 10 steps $last; $(grep '^soup' log)"
awk -v first="$first" -v last="$last" 'BEGIN { exit !(last < 0.7 * first) }' || fail "the loss hardly fell"
awk '$1 == "soup" { exit !($2 > 0.75) }' log || fail "the dev score is hardly above chance"

# Epochs count from 1 everywhere.
head -n 1 run/metrics.jsonl | grep -q '"step":1,"epoch":1,' || fail "the first step is not in epoch 1"
tail -n 1 run/metrics.jsonl | grep -q '"step":160,"epoch":20,' || fail "the last step is not in epoch 20"
grep -q '^step 160, epoch 20: ' log || fail "the console counts other epochs"
tr -d ' \n' <run/results.json | grep -q '"step":160,"epoch":20}.*"epochs_done":20,' || fail "results.json counts other epochs"
[ -s run/events.out.tfevents.ladle ] || fail "no TensorBoard events"
finish

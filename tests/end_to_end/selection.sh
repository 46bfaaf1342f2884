#!/bin/bash
# eval.select: rows held out of train decide the best step, dev only reports, and every table says which it was.
# Usage: see common.sh
source "$(dirname "$0")/common.sh"
tiny_model model
tiny_shards shards model

# run NAME WORDS...
run() {
    local name=$1
    shift
    on_ranks 2 train --model.path model --data.dir shards --run.dir "$name" --train.epochs 3 --train.batch 20 \
        --optim.lr 1e-2 --adapter.size 8 "$@" || fail "$name: exit code $?"
}

run dev
grep -q "chosen on dev" log || fail "the table of a run that chose on dev does not say so"
grep -q '"split":"held_out"' dev/metrics.jsonl && fail "rows are held out where dev chooses"
run split --eval.select split:0.2
grep -q "eval.select = split:0.2" log || fail "the table does not say what chose the best"
grep -q "^adamix on sample: 296 training samples" log || fail "the held-out rows are trained on"
[ "$(grep -c '"split":"held_out"' split/metrics.jsonl)" -eq 3 ] || fail "not one score of held-out rows per epoch"
[ "$(grep -c '"split":"validation"' split/metrics.jsonl)" -eq 3 ] || fail "dev does not report"
tr -d ' \n' <split/results.json | grep -q '"split":"held_out","select":"split:0.2"' || fail "results.json does not say"
best=$(sed -n 's/.*"split":"held_out","scores":{"accuracy":\([0-9.]*\),.*"best":true.*/\1/p' split/metrics.jsonl | tail -1)
tr -d ' \n' <split/results.json | grep -q "\"select\":\"split:0.2\",\"score\":$best," || fail "$best is not the best score"
run rows --eval.select split:0.2 --eval.select_seed 5
cmp split/soup.h5 rows/soup.h5 >/dev/null && fail "eval.select_seed changes nothing"

# The identity: another choice is another run.
on_ranks 1 train --model.path model --data.dir shards --run.dir dev --train.epochs 3 --train.batch 20 --optim.lr 1e-2 \
    --adapter.size 8 --eval.select split:0.2 && fail "a run goes on under another eval.select"
grep -q "eval.select: dev then, split:0.2 now" log || fail "the difference is not named"
finish

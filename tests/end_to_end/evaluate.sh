#!/bin/bash
# ladle evaluate: the scores of the training run again, files for every split, and what has no meaning is refused.
# Usage: see common.sh
source "$(dirname "$0")/common.sh"
tiny_model model
tiny_model with_head with_head
tiny_shards shards model
on_ranks 1 train --model.path model --data.dir shards --run.dir run --train.max_steps 12 --optim.lr 1e-2 || fail "train"
sed -n '/^model/,$p' log | awk '$1 != "base"' | awk '{$NF = $NF; print $1, $2, $3, $4, $5}' >table
data=(--model.path model --data.dir shards)

# row NAME: scores of one line of the last table
row() { sed -n "s/^$1  *//p" log | tr -s ' '; }

on_ranks 2 evaluate run/best.h5 "${data[@]}" --expert all --output all || fail "evaluate --expert all"
cp log all.log
for model in "expert 0" "expert 3" soup; do
    expected=$(sed -n "s/^$model //p" table | sed 's/ *$//')
    [[ "$(row "$model")" == "$expected "* ]] || fail "$model: $(row "$model") instead of $expected"
done
merged=$(row soup)
on_ranks 1 evaluate run/soup.h5 "${data[@]}" || fail "evaluate soup.h5"
[ "$(row soup)" = "$merged" ] || fail "soup.h5: $(row soup), experts merged on the way: $merged"
on_ranks 1 evaluate run/best.h5 "${data[@]}" --expert 3 --eval.batch 7 || fail "evaluate --expert 3"
[ "$(row "expert 3")" = "$(cp all.log log && row "expert 3")" ] || fail "expert 3 alone"

# The checkpoint of the best step is the same model as best.h5, for every kind of adapter.
on_ranks 1 evaluate run/best.h5 "${data[@]}" --logits best.safetensors || fail "evaluate best.h5"
on_ranks 2 evaluate run/checkpoints/step-12.h5 "${data[@]}" --logits step.safetensors || fail "evaluate a checkpoint"
cmp best.safetensors step.safetensors || fail "the checkpoint of the best step differs from best.h5"
on_ranks 1 evaluate run/checkpoints/step-12.h5 "${data[@]}" --expert 3 || fail "evaluate a checkpoint's expert"
[ "$(row "expert 3")" = "$(cp all.log log && row "expert 3")" ] || fail "expert 3 of the checkpoint"
for kind in houlsby bias head; do
    on_ranks 1 train "${data[@]}" --run.dir $kind --adapter.kind $kind --train.max_steps 2 || fail "train $kind"
    on_ranks 1 evaluate $kind/best.h5 "${data[@]}" --logits best.safetensors || fail "evaluate $kind"
    on_ranks 1 evaluate $kind/checkpoints/step-2.h5 "${data[@]}" --logits step.safetensors || fail "checkpoint of $kind"
    cmp best.safetensors step.safetensors || fail "the checkpoint of $kind differs from its best.h5"
done

# Files.
on_ranks 1 evaluate run/soup.h5 "${data[@]}" --split validation,train --output out --logits one.safetensors ||
    fail "evaluate two splits"
[ "$(ls out | tr '\n' ' ')" = "results.json sample.train.tsv sample.validation.tsv " ] || fail "files: $(ls out)"
[ "$(wc -l <out/sample.validation.tsv)" -eq "$(wc -l <"$sample/dev.tsv")" ] || fail "rows of the predictions"
on_ranks 2 evaluate run/soup.h5 "${data[@]}" --split validation,train --logits two.safetensors --eval.batch 5 ||
    fail "evaluate on two ranks"
cmp one.safetensors two.safetensors || fail "logits depend on the ranks"

# A directory's own head, and hidden labels.
on_ranks 1 evaluate --model.path with_head --data.dir shards --data.task sample || fail "evaluate a pretrained head"
grep -q '^head  *0\.[0-9]' log || fail "no scores of the head"
printf 'sentence\nno label here\nnor here\n' >test.csv
"$ladle" prepare --data.task sample --train-file "$sample/train.tsv" --test-file test.csv --model.path model \
    --data.dir hidden >log || fail "prepare"
on_ranks 1 evaluate run/soup.h5 --model.path model --data.dir hidden --split test --output hidden_out || fail "hidden labels"
grep -q '^soup  *n/a  *n/a' log || fail "hidden labels have scores"
grep -q 'the labels of test are hidden' log || fail "hidden labels: not said"
grep -q '^written: hidden_out/sample.test.tsv' log || fail "hidden labels: does not say what was written"
grep -q '"accuracy": null' hidden_out/results.json || fail "hidden labels have scores in results.json"

# A score that is never defined (correlation with a constant): the last step counts, and nothing is a number.
printf 'text,label\nnode disk,1.5\nfan rack,0.5\nport core,2\n' >numbers.csv
printf 'text,label\nnode disk,1.5\nfan rack,1.5\nport core,1.5\n' >constant.csv
"$ladle" prepare --data.task numbers --regression --train-file numbers.csv --validation-file constant.csv \
    --model.path model --data.dir numbers >log || fail "prepare"
on_ranks 2 train --model.path model --data.dir numbers --run.dir undefined --train.max_steps 2 || fail "train without a score"
grep -q "pearson was never defined" log || fail "undefined score: not said"
grep -q '^soup  *n/a  *n/a' log || fail "undefined score: shown"
grep -q '"score": null' undefined/results.json || fail "undefined score: in results.json"
[ -s undefined/soup.h5 ] || fail "undefined score: no soup"

# refused TEXT WORDS...
refused() {
    local text=$1
    shift
    on_ranks 1 evaluate "$@"
    [ $? -eq 2 ] || fail "$*: not exit code 2"
    grep -qF -- "$text" log || fail "$*: does not say \"$text\""
}
refused "merged into one" run/soup.h5 "${data[@]}" --eval.level 1
refused "merged into one" run/soup.h5 "${data[@]}" --expert 0
refused "4 experts" run/best.h5 "${data[@]}" --expert 4
refused "leave one of them out" run/best.h5 "${data[@]}" --expert 0 --eval.level 0
refused "named twice" run/best.h5 "${data[@]}" --split validation,validation
refused "--data.task is missing" "${data[@]}"
on_ranks 1 evaluate "${data[@]}" --data.task sample
[ $? -eq 3 ] || fail "no head: not exit code 3"
grep -q "no classification head with 2 outputs" log || fail "no head: not said"

tiny_model other_weights other_weights
on_ranks 1 evaluate run/checkpoints/step-12.h5 --model.path other_weights --data.dir shards
{ [ $? -eq 3 ] && grep -q "trained on other weights" log; } || fail "a checkpoint on another backbone"

# Two ranks that read different soups.
timeout 60 "$mpirun" -n 1 "$ladle" evaluate run/soup.h5 "${data[@]}" : -n 1 "$ladle" evaluate run/best.h5 "${data[@]}" >log 2>&1
[ $? -eq 3 ] || fail "different soups: not exit code 3"
grep -q "the input of this evaluation differs on 1 of 2 ranks" log || fail "different soups: not said"
finish

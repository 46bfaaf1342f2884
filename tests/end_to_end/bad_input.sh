#!/bin/bash
# Bad input to train and evaluate: exit code, one error line with its fix, and no file made or changed.
# Usage: see common.sh; the directory of the golden files comes last. Bad text files: tests/cli/prepare.sh.
source "$(dirname "$0")/common.sh"
fixtures=$5
tiny_model model
tiny_shards shards model
for kind in missing surplus misshapen other_weights other_words few_positions narrow; do
    tiny_model $kind $kind
done

files() { find . -type f ! -name log ! -name before -exec sha256sum {} + | sort -k 2; }

# expect CODE TEXT RANKS WORDS...: ladle WORDS on so many ranks exits with CODE, says TEXT once, and touches no file
expect() {
    local code=$1 text=$2 ranks=$3
    shift 3
    files >before
    on_ranks "$ranks" "$@"
    local got=$?
    [ $got -eq "$code" ] || fail "$*: exit code $got, expected $code"
    [ "$(grep -cF -- "$text" log)" -eq 1 ] || fail "$*: \"$text\" is not said once"
    [ "$(grep -c '^ladle: .*: ' log)" -eq 1 ] || fail "$*: not one line of error"
    grep -A 1 '^ladle: ' log | grep -q '^  fix: ' || fail "$*: does not say how to mend it"
    files | diff before - || fail "$*: files were made or changed"
}

# bad_train CODE TEXT RANKS WORDS...: later words override the good ones
bad_train() {
    local code=$1 text=$2 ranks=$3
    shift 3
    expect "$code" "$text" "$ranks" train --config good.cfg "$@"
}
printf '[model]\npath = model\n[data]\ndir = shards\n[run]\ndir = run\n[train]\nmax_steps = 4\nbatch = 8\n' >good.cfg

# The model directory.
bad_train 3 "encoder.layer.1.output.dense.weight" 1 --model.path missing
bad_train 3 "encoder.layer.7.output.dense.weight" 1 --model.path surplus
bad_train 3 "encoder.layer.1.output.dense.weight" 1 --model.path misshapen
bad_train 3 "encoder.layer.1.output.dense.weight" 2 --model.path missing
bad_train 3 "no_such/config.json" 2 --model.path no_such
mkdir cut && cp model/* cut && truncate -s -4 cut/model.safetensors
bad_train 3 "cut/model.safetensors" 1 --model.path cut
mkdir empty && cp model/* empty && : >empty/config.json
bad_train 3 "empty" 1 --model.path empty

# The shards.
bad_train 3 "another tokenizer than that of other_words" 2 --model.path other_words
bad_train 3 "positions for 16" 1 --model.path few_positions
bad_train 3 "it holds the task sample, not mrpc" 1 --data.task mrpc
bad_train 3 "nowhere/train.h5" 1 --data.dir nowhere
for damage in cut empty foreign soup; do
    cp -r shards "shards_$damage"
done
truncate -s -100 shards_cut/train.h5
: >shards_empty/train.h5
cp "$(find "$fixtures" -name '*.h5' | head -n 1)" shards_foreign/train.h5
on_ranks 1 train --config good.cfg || fail "the good run"
cp log good.log
cp run/soup.h5 shards_soup/train.h5
for damage in cut empty foreign soup; do
    bad_train 3 "shards_$damage/train.h5" 2 --data.dir "shards_$damage" --run.dir other
done
printf 'sentence,label\nsome words,problem\nmore words,no_problem\n' >two.csv
"$ladle" prepare --data.task sample --train-file two.csv --validation-file "$sample/dev.tsv" --test-file two.csv \
    --model.path model --data.dir shards_two >log || fail "prepare"
bad_train 2 "data.train: " 1 --data.dir shards_two
cp -r shards_two shards_more
cp shards_two/test.h5 shards_two/train.h5
bad_train 3 "it holds the split test, not train" 1 --data.dir shards_two

# One rank that sees something else, or fails alone: all end.
expect_mixed() {
    local code=$1 text=$2
    files >before
    timeout 60 "$mpirun" -n 1 "$ladle" train --config good.cfg --run.dir other : \
        -n 1 "$ladle" train --config good.cfg --run.dir other "${@:3}" >log 2>&1
    local got=$?
    [ $got -eq "$code" ] || fail "one rank with ${*:3}: exit code $got, expected $code"
    [ "$(grep -cF -- "$text" log)" -eq 1 ] || fail "one rank with ${*:3}: \"$text\" is not said once"
    files | diff before - || fail "one rank with ${*:3}: files were made or changed"
}
expect_mixed 3 "data.train (shards_more/train.h5) is" --data.dir shards_more
expect_mixed 3 "backbone model.safetensors (other_weights/model.safetensors) is" --model.path other_weights
expect_mixed 3 "optim.lr is 0.5 on rank 1" --optim.lr 0.5
if grep -q avx512 good.log; then
    expect_mixed 4 "kernels is cpu avx2" --cpu.isa avx2
fi
expect_mixed 3 "rank 1/2] cannot read nowhere/train.h5" --data.dir nowhere

# The launch and the run directory.
bad_train 2 'unknown option --optim.lrr' 2 --optim.lrr 1
bad_train 2 "4 ranks are too many" 4 --run.dir other
bad_train 2 "unknown score 'f3'" 2 --run.dir other --eval.metric f3
bad_train 2 "neither dev nor split:F" 2 --run.dir other --eval.select split:1.5
bad_train 2 "leaves no rows" 2 --run.dir other --eval.select split:0.00001
bad_train 2 "run.seed: 0 then, 1 now" 2 --run.seed 1
bad_train 2 "run.seed: 0 then, 1 now" 2 --run.seed 1 --dry-run
: >file
bad_train 74 "file: it is a file" 1 --run.dir file/run --dry-run
bad_train 3 "cannot resume other: it holds no checkpoint" 1 --run.dir other --resume required --dry-run

# Adapters that cannot be built.
bad_adapter() { bad_train 2 "$1" "$2" --run.dir other "${@:3}"; }
bad_adapter "known kinds are adamix, houlsby, pfeiffer, adakron, madakron, lora, adamix-lora" 2 --adapter.kind adamixlora
bad_lora() { bad_adapter "$1" "$2" --adapter.kind lora "${@:3}"; }
bad_lora 'there is no projection "valve"' 2 --adapter.targets query,valve
bad_lora "query is there twice" 1 --adapter.targets query,value,query
bad_lora "it names no projection" 1 --adapter.targets ""
bad_lora 'there is no projection ""' 1 --adapter.targets query,
bad_lora 'there is no projection " value"' 1 --adapter.targets "query, value"
bad_lora "adapter.alpha must be above 0" 2 --adapter.alpha 0
bad_lora "adapter.dropout must be from 0 to 0.999" 1 --adapter.dropout 1
bad_lora "adapter.start must be one of same, apart" 1 --adapter.start equal
bad_adapter "adapter.size = 14: it is the product of AdaKron's factors, and one of them is 4 wide" 2 \
    --adapter.kind adakron --adapter.size 14
bad_adapter "adapter.size = 16: it is the product of AdaKron's factors, and one of them is 5 wide" 1 \
    --adapter.kind madakron --adapter.factor 5
bad_adapter 'did you mean "small"?' 1 --adapter.kind madakron --adapter.factor_experts smal
bad_adapter "adapter.factor_order must be one of small_outer, large_outer" 1 --adapter.kind adakron \
    --adapter.factor_order small

# plans TEXT WORDS...: a dry run says TEXT and touches no file
plans() {
    files >before
    on_ranks 2 train --config good.cfg --dry-run "${@:2}" || fail "--dry-run ${*:2}: exit code $?"
    grep -qF -- "$1" log || fail "--dry-run ${*:2}: does not say \"$1\""
    files | diff before - || fail "--dry-run ${*:2}: files were made or changed"
}
plans "runs/new: a new run would start here" --run.dir runs/new
plans "run: this run would go on at step 4 of 4, its last"
cp -r run stale && rm stale/checkpoints/*
plans "stale: this run has no checkpoint yet" --run.dir stale
mkdir shape && cp model/config.json shape
plans "without weights it cannot be told" --model.path shape
OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 expect 4 "OMPI_COMM_WORLD_SIZE says that 2 were started" 1 \
    train --config good.cfg --run.dir other

# Soups that do not belong to backbone or data.
good=(evaluate run/soup.h5 --data.dir shards --output out --logits logits.safetensors)
expect 3 "trained on other weights" 1 "${good[@]}" --model.path other_weights
expect 3 "another tokenizer" 2 "${good[@]}" --model.path other_words
expect 3 "2 layers of width 32, model.path holds bert with 2 of 16" 1 "${good[@]}" --model.path narrow
for kind in lora madakron; do
    on_ranks 1 train --config good.cfg --run.dir $kind --adapter.kind $kind || fail "the run with $kind"
    for file in soup best; do
        expect 3 "2 layers of width 32, model.path holds bert with 2 of 16" 2 \
            evaluate $kind/$file.h5 --data.dir shards --model.path narrow
    done
done
expect 3 "shards/train.h5" 1 evaluate shards/train.h5 --model.path model --data.dir shards
finish

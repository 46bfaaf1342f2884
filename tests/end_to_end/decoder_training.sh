#!/bin/bash
# ladle train on a tiny random decoder: experts learn, any number of ranks gives the same bytes, a stopped run goes on
# to the same bytes, adapters are used and converted, answers are scored, and what does not fit is refused.
# Usage: see common.sh; then MAKE_TINY_DECODER and a file with a tokenizer
source "$(dirname "$0")/common.sh"
"$5" model "$6" 512 && "$5" short "$6" 64 || exit 1

# items SEED COUNT: questions with a one-word answer that most often is the same
items() {
    awk -v seed="$1" -v count="$2" 'BEGIN {
        srand(seed)
        for (i = 0; i < count; i++) {
            a = int(9 * rand()); b = int(9 * rand())
            answer = a + b > 2 ? "yes" : "no"
            print "{\"instruction\": \"Is " a " + " b " more than 2?\", \"output\": \"\\n" answer "\"}"
        }
    }'
}
items 1 36 >train.jsonl
items 2 8 >dev.jsonl

data=(--model.path model --data.train train.jsonl --data.dev dev.jsonl --optim.lr 1e-2)
# train_system RANKS RUN SYSTEM WORDS...
train_system() {
    local ranks=$1 run=$2 system=$3
    shift 3
    on_ranks "$ranks" train "${data[@]}" --moa.system "$system" --run.dir "$run" "$@"
}

# same_run A B: all that two runs of a decoder promise
same_run() {
    local last
    last=$(cat "$1/checkpoints/last")
    local file
    for file in best.h5 results.json checkpoints/last "checkpoints/$last"; do
        cmp "$1/$file" "$2/$file" || return 1
    done
}

# Seen padding makes samples long: those systems run for a few steps only.
for system in soft-moa sparse-moa unipelt adamole top-k-lora; do
    words=(--train.max_steps 3 --train.accumulate 2)
    train_system 1 "one-$system" "$system" "${words[@]}" || fail "$system: exit code $?"
    for ranks in 2 4; do
        train_system $ranks "$ranks-$system" "$system" "${words[@]}" || fail "$system on $ranks ranks: exit code $?"
        same_run "one-$system" "$ranks-$system" || fail "$system: $ranks ranks give other bytes than one"
    done
    train_system 1 "threads-$system" "$system" "${words[@]}" --cpu.threads 2 || fail "$system, threads: exit code $?"
    same_run "one-$system" "threads-$system" || fail "$system: two threads give other bytes than one"
done
grep -q '"balance_loss":' one-adamole/metrics.jsonl || fail "AdaMoLE reports no balance loss"
grep -q '"balance_loss":' one-soft-moa/metrics.jsonl && fail "Soft MoA reports a balance loss"

# Activations that are computed again change no byte, and a run may begin and go on either way.
for system in soft-moa adamole; do
    train_system 2 "again-$system" "$system" --train.max_steps 3 --train.accumulate 2 --train.recompute true ||
        fail "$system, recompute: exit code $?"
    same_run "one-$system" "again-$system" || fail "$system: recomputation gives other bytes"
done

# The published recipe follows from the system: two epochs of one window of four batches of eight, and the first
# learning rate is 0.
train_system 1 recipe lora || fail "recipe: exit code $?"
grep -q '^lora on instructions: 36 training samples, 2 steps of 32 samples$' log || fail "the recipe is another one"
head -n 1 recipe/metrics.jsonl | grep -q '"learning_rate":0.0,' || fail "the first learning rate is not 0"

# Experts learn: the perplexity on dev falls far below that of the decoder alone.
long=(--train.epochs 20 --train.accumulate 1 --optim.schedule constant --optim.warmup_ratio 0.1)
train_system 2 learned soft-moa "${long[@]}" --eval.every 5 || fail "learned: exit code $?"
grep -E '^(base|trained) ' log
awk '$1 == "base" { base = $2 } $1 == "trained" { exit !($2 < 0.5 * base) }' log || fail "the perplexity hardly fell"

"$ladle" inspect learned >log 2>&1 || fail "inspect: exit code $?"
grep -q '^moa.system = soft-moa$' log && grep -qE '^best = perplexity [0-9.]+ at step ' log || fail "the run is not described"
"$ladle" report learned >log 2>&1 || fail "report: exit code $?"
grep -q 'soft-moa on instructions' report.html || fail "the report is of something else"

# Stopped at a step, resumed on another number of ranks: the same bytes.
train_system 1 whole soft-moa --train.max_steps 6 --checkpoint.every_steps 1 || fail "whole: exit code $?"
LADLE_CRASH_AT=step_done@3 train_system 2 stopped soft-moa --train.max_steps 6 --checkpoint.every_steps 1
[ -e stopped/checkpoints/step-2.h5 ] || fail "no checkpoint was left behind"
train_system 4 stopped soft-moa --train.max_steps 6 --checkpoint.every_steps 1 --train.recompute true ||
    fail "resumed: exit code $?"
grep -q '^resumed at step 2 ' log || fail "it was not resumed"
same_run whole stopped || fail "a resumed run has other bytes"
train_system 1 stopped soft-moa --train.max_steps 6 --moa.lora_rank 4
[ $? -eq 2 ] || fail "a run of another rank of LoRA was resumed"
grep -q 'moa.lora_rank: 8 then, 4 now' log || fail "it does not say what differs"

# Rows of train can decide in place of a dev file.
on_ranks 1 train --model.path model --data.train train.jsonl --moa.system lora --run.dir held --train.max_steps 1 \
    --train.accumulate 1 --eval.select split:0.2 || fail "held out: exit code $?"
grep -q '"split": "held_out"' held/results.json || fail "held-out rows do not decide"

# What was learned is used: the adapter's answer differs from the model's, and is the same alone and in a batch.
printf 'a\nIs 4 + 4 more than 2?\n' >prompts.txt
# answers NAME WORDS...
answers() {
    local name=$1
    shift
    timeout 120 "$ladle" generate --model.path model --prompts prompts.txt --max-new-tokens 8 \
        --output "$name.jsonl" "$@" >out 2>log || fail "generate $*"
}
answers plain
for run in learned one-unipelt one-sparse-moa one-adamole; do
    answers "$run" --adapter "$run/best.h5"
    answers "$run-alone" --adapter "$run/best.h5" --eval.batch 1
    cmp "$run.jsonl" "$run-alone.jsonl" || fail "$run: the size of the batch changes the text"
done
cmp -s plain.jsonl learned.jsonl && fail "the adapter changes nothing"
"$5" other "$6" 256 || exit 1
timeout 60 "$ladle" generate --model.path other --adapter learned/best.h5 --prompt a >out 2>log
[ $? -eq 3 ] || fail "an adapter of another model: not exit code 3"
grep -q "trained on other weights" log || fail "it does not say that the weights are others"
cp -r model renamed && sed -i 's/<|end|>/<|the_end|>/g' renamed/tokenizer.json renamed/tokenizer_config.json
cmp -s model/tokenizer.json renamed/tokenizer.json && fail "the tokenizer was not changed"
timeout 60 "$ladle" generate --model.path renamed --adapter learned/best.h5 --prompt a >out 2>log
[ $? -eq 3 ] || fail "an adapter of another tokenizer: not exit code 3"
grep -q "another tokenizer" log || fail "it does not say that the tokenizer is another"
timeout 60 "$ladle" generate --model.path model --adapter model/config.json --prompt a >out 2>log
[ $? -eq 3 ] || fail "no adapter file: not exit code 3"

# To the published files and back: the same tensors, and the same texts.
for system in soft-moa sparse-moa unipelt adamole top-k-lora; do
    "$ladle" convert "one-$system/best.h5" --to moa "export-$system" --verify >log 2>&1 || fail "$system: to moa"
    grep -q 'read back and equal' log || fail "$system: was not read back"
    [ -e "export-$system/adapter.pth" ] && [ -e "export-$system/adapter_params.json" ] || fail "$system: no files"
    "$ladle" convert "export-$system" --to adapter "back-$system.h5" --moa.system "$system" --model.path model \
        --verify >log 2>&1 || fail "$system: from moa"
done
answers back --adapter back-unipelt.h5
cmp one-unipelt.jsonl back.jsonl || fail "an adapter has other texts after it was converted"
"$ladle" convert export-soft-moa --to adapter wrong.h5 --moa.system unipelt --model.path model >out 2>log
[ $? -eq 3 ] || fail "another system: not exit code 3"
"$ladle" convert export-soft-moa --to adapter wrong.h5 --model.path model >out 2>log
[ $? -eq 2 ] || fail "no system: not exit code 2"
"$ladle" convert one-soft-moa/best.h5 --to moa wrong --merged-as one >out 2>log
[ $? -eq 2 ] || fail "a switch of soups: not exit code 2"
"$ladle" convert export-soft-moa --to adapter wrong.h5 --moa.system soft-moa --moa.lora_rank 4 --model.path model >out 2>log
[ $? -eq 2 ] || fail "an option that the files decide: not exit code 2"

# Plain LoRA becomes a directory of PEFT, other experts safetensors; from both come the bytes of the adapter file.
"$ladle" convert recipe/best.h5 lora-peft --verify >log 2>&1 || fail "to peft"
grep -q ': peft, lora, .* read back and equal$' log || fail "auto is not peft for LoRA"
"$ladle" convert lora-peft --to adapter lora-back.h5 >log 2>&1 || fail "from peft"
cmp recipe/best.h5 lora-back.h5 || fail "another adapter comes back from PEFT"
"$ladle" convert one-unipelt/best.h5 --to peft no-peft >out 2>log
[ $? -eq 2 ] || fail "unipelt to peft: not exit code 2"
grep -q "unipelt needs the router of each block" log || fail "it does not say what PEFT lacks"
"$ladle" convert one-unipelt/best.h5 unipelt.safetensors --verify >log 2>&1 || fail "to safetensors"
"$ladle" convert unipelt.safetensors --to adapter unipelt-back.h5 >log 2>&1 || fail "from safetensors"
cmp one-unipelt/best.h5 unipelt-back.h5 || fail "another adapter comes back from safetensors"

# What a training program of MoA left behind goes straight into any format.
tiny=$(dirname "$(dirname "$6")")/moa/meta_tiny
for to in safetensors adapter moa; do
    "$ladle" convert "$tiny/checkpoint-1.pth" --to $to "tiny-$to" --moa.system soft-moa --model.path "$tiny" --verify \
        >log 2>&1 || fail "a training checkpoint to $to"
done
"$ladle" convert tiny-adapter --to moa again --model.path "$tiny" >log 2>&1
[ $? -eq 2 ] || fail "a model that is not looked at: not exit code 2"

# Answers are scored by the published rules; items that were trained on are named.
sed 's/}$/, "answer": "7"}/' dev.jsonl >questions.jsonl
"$ladle" generate --model.path model --adapter learned/best.h5 --instructions questions.jsonl --max-new-tokens 4 \
    --output answers.jsonl >out 2>log || fail "generate --instructions"
[ "$(grep -c '^{"generate":"' answers.jsonl)" -eq 8 ] || fail "answers of another form"
"$ladle" score answers.jsonl --train dev.jsonl >log 2>&1 || fail "score: exit code $?"
grep -qE '^answers.jsonl +8 +0 +0.0000$' log || fail "another score"
grep -q '^warning: 8 of the 8 items of answers.jsonl stand in dev.jsonl' log || fail "no warning"
sed 's/^{"generate":".*","output":/{"generate":"it is 3, no: 7.","output":/' answers.jsonl >right.jsonl
"$ladle" score right.jsonl answers.jsonl >log 2>&1 || fail "score: exit code $?"
grep -qE '^mean +0.5000$' log || fail "another mean"
"$ladle" score dev.jsonl >out 2>log
[ $? -eq 3 ] || fail "no answers: not exit code 3"

# refused CODE TEXT WORDS...
refused() {
    local code=$1 text=$2
    shift 2
    on_ranks 1 train --run.dir refused "$@"
    local got=$?
    [ $got -eq "$code" ] || fail "$*: exit code $got, expected $code"
    grep -qF -- "$text" log || fail "$*: does not say \"$text\""
    [ -e refused ] && fail "$*: a run directory was made"
}
refused 2 "data.train is missing" --model.path model --moa.system lora
refused 2 "data.dev is missing" --model.path model --data.train train.jsonl --moa.system lora
refused 2 "unknown system 'loar'" "${data[@]}" --moa.system loar
refused 2 "the model has 2 layers" "${data[@]}" --moa.system lora --moa.lora_layers 0-3
refused 2 "unknown score 'accuracy'" "${data[@]}" --moa.system lora --eval.metric accuracy
refused 2 "data.task = mrpc" "${data[@]}" --moa.system lora --data.task mrpc
refused 2 "adapter.size = 4" "${data[@]}" --moa.system lora --adapter.size 4
refused 2 "no step would be left" "${data[@]}" --moa.system lora --train.batch 16
refused 3 "no room for a token" "${data[@]}" --moa.system lora --data.max_length 20
refused 2 "train.loss_group = 2 and moa.system = adamole" "${data[@]}" --moa.system adamole --train.loss_group 2
refused 2 "train.recompute = true" --model.path model --data.dir shards --train.recompute true
refused 3 "absent.json" --moa.system lora --model.path model --data.train train.jsonl --data.dev absent.json
refused 3 "positions for 64" --moa.system lora --model.path short --data.train train.jsonl --data.dev dev.jsonl

# Dev items that are learned, too.
head -5 train.jsonl >seen.jsonl
on_ranks 1 train --model.path model --data.train train.jsonl --data.dev seen.jsonl --moa.system lora --run.dir seen \
    --dry-run || fail "a dry run"
grep -qF 'warning: 5 of the 5 items of seen.jsonl stand in train.jsonl, too' log || fail "shared items are not named"

# Sweeps: the published rate, a value in quotes that holds commas; a run is the one that train alone makes, and the
# sweep goes on from any directory.
files=(--model.path model --data.train train.jsonl --data.dev dev.jsonl)
sweep=(s "${files[@]}" --moa.system lora,sparse-moa --moa.lora_targets '"Q,V"' --run.seed 0..1 --train.max_steps 3)
timeout 120 "$ladle" sweep "${sweep[@]}" --dry-run >log 2>&1 && grep -q '^4 runs, 12 steps' log && [ ! -e s ] ||
    fail "the dry run of a sweep"
timeout 120 "$ladle" sweep "${sweep[@]}" >log 2>&1 || fail "a sweep of decoders"
on_ranks 1 train "${files[@]}" --moa.system sparse-moa --moa.lora_targets Q,V --run.seed 1 --train.max_steps 3 \
    --run.dir single || fail "a single run"
last=$(sed -n 's/.*"id": "\([0-9a-f]*\)".*/\1/p' s/sweep.json | tail -1)
same_run single "s/runs/$last" || fail "a run of a sweep differs from the same run alone"
rm -r "s/runs/$last"
(cd / && timeout 120 "$ladle" sweep "$work/s") >log 2>&1 || fail "going on with a sweep from another directory"
same_run single "s/runs/$last" || fail "a run of a sweep differs when made from another directory"
"$ladle" sweep collect s >log 2>&1 && grep -q 'sparse-moa.*perplexity' log || fail "the scores of a sweep of decoders"
"$ladle" report s --output s.html >log 2>&1 && grep -q 'sparse-moa' s.html || fail "the report of a sweep of decoders"
timeout 60 "$ladle" sweep t "${files[@]}" --moa.system lora,softmoa >log 2>&1
[ $? -eq 2 ] && grep -q "soft-moa" log && [ ! -e t ] || fail "an unknown system in a sweep"
timeout 60 "$ladle" sweep t --model.path model --moa.system lora >log 2>&1
[ $? -eq 2 ] && grep -q -- '--data.train is missing' log && [ ! -e t ] || fail "a sweep without data.train"
timeout 60 "$ladle" sweep t "${files[@]:0:4}" --moa.system lora >log 2>&1
[ $? -eq 2 ] && grep -q -- 'data.dev is missing' log && [ ! -e t ] || fail "a sweep without data.dev"
finish

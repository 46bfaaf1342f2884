#!/bin/bash
# The published numbers of parameters, from a bare config.json or params.json: what `ladle train --dry-run` counts for
# BERT-base, RoBERTa-large and LLaMA 3 8B, and what the latter takes of a GPU. Sources: the AdaMix, AdaKron and MoA
# repositories, their modules built with these sizes and counted.
# Usage: parameter_counts.sh LADLE_PROGRAM FIXTURES
ladle=$1
fixtures=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

fail() {
    echo "FAILED: $1"
    sed 's/^/  | /' log | head -20
    failures=$((failures + 1))
}

# Directories that hold a config.json alone, and the same with tokenizer files to prepare data with.
mkdir bert roberta bert_words roberta_words
cat >bert/config.json <<'JSON'
{"model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
 "intermediate_size": 3072, "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2,
 "pad_token_id": 0}
JSON
cat >roberta/config.json <<'JSON'
{"model_type": "roberta", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
 "intermediate_size": 4096, "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1,
 "pad_token_id": 1}
JSON
for model in bert roberta; do
    cp $model/config.json ${model}_words
done
cp "$fixtures/tokens/bert_uncased_vocab.txt" bert_words/vocab.txt
# Byte-level BPE without merges: the special words and one character for each byte.
python3 - roberta_words <<'PYTHON' || exit 1
import json
import pathlib
import sys

directory = pathlib.Path(sys.argv[1])
own = [*range(33, 127), *range(161, 173), *range(174, 256)]
characters = [chr(code) for code in own + list(range(256, 512 - len(own)))]
words = ["<s>", "<pad>", "</s>", "<unk>", *characters, "<mask>"]
(directory / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
(directory / "merges.txt").write_text("#version: 0.2\n")
PYTHON

# Tasks with heads of one, two and three outputs.
printf 'text,label\none,0.5\ntwo,1.5\n' >1.csv
printf 'text,label\none,a\ntwo,b\n' >2.csv
printf 'text,label\none,a\ntwo,b\nthree,c\n' >3.csv
for model in bert roberta; do
    for outputs in 1 2 3; do
        kind=()
        [ $outputs -eq 1 ] && kind=(--regression)
        "$ladle" prepare --data.task mine --train-file $outputs.csv --validation-file $outputs.csv "${kind[@]}" \
            --model.path ${model}_words --data.dir $model-$outputs >log 2>&1 || fail "prepare $model-$outputs"
    done
done

# counts MODEL OUTPUTS ADAPTERS HEAD FROZEN WORDS...: a run with these words would have so many of each
counts() {
    local model=$1 outputs=$2 expected="adapters $3 head $4 frozen $5"
    shift 5
    timeout 120 "$ladle" train --dry-run --model.path "$model" --data.dir "$model-$outputs" --run.dir run "$@" \
        >log 2>&1 || fail "$model $*: exit code $?"
    local found
    found=$(tr -d , <log | awk '$1 ~ /^(adapters|head|frozen)$/ && $2 ~ /^[0-9]+$/ {printf "%s%s %s", space, $1, $2; space = " "}')
    [ "$found" = "$expected" ] || fail "$model $*: $found, expected $expected"
    grep -q '^shapes only' log || fail "$model $*: not from shapes alone"
}
bert=109482240
roberta=354310144

# AdaMix, four experts that share the up projection; the merged adapter; the heads.
counts bert 3 2223360 2307 $bert --adapter.size 48
counts bert 2 894528 1538 $bert --adapter.size 48 --adapter.kind houlsby
counts bert 1 2223360 769 $bert --adapter.size 48
counts roberta 3 1992192 1052675 $roberta --adapter.size 16
counts roberta 2 811392 1051650 $roberta --adapter.size 16 --adapter.kind houlsby
counts roberta 1 1992192 1050625 $roberta --adapter.size 16
grep -q '^trainable *3,042,817 ' log || fail "adapters and head are not added up"

# AdaKron, and its mixture with experts in both factors.
counts bert 2 599232 1538 $bert --adapter.size 48 --adapter.kind adakron
counts bert 2 230496 1538 $bert --adapter.size 16 --adapter.kind adakron
counts bert 2 746880 1538 $bert --adapter.size 48 --adapter.kind madakron --adapter.num_experts 2
counts bert 2 1042176 1538 $bert --adapter.size 48 --adapter.kind madakron --adapter.num_experts 4
counts roberta 2 614592 1051650 $roberta --adapter.size 16 --adapter.kind adakron

# GPT-2 medium has RoBERTa-large's width and number of layers, so their adapters have one size: AdaKron's with experts
# in the small factor, and AdaMix's mixture of LoRA on query and value with a shared B, then merged.
partial=(--adapter.size 8 --adapter.kind madakron --adapter.factor_experts small)
counts roberta 2 368784 1051650 $roberta "${partial[@]}" --adapter.num_experts 1
counts roberta 2 663984 1051650 $roberta "${partial[@]}" --adapter.num_experts 4
counts roberta 2 1057584 1051650 $roberta "${partial[@]}" --adapter.num_experts 8
counts roberta 2 1769472 1051650 $roberta --adapter.size 4 --adapter.kind adamix-lora --adapter.num_experts 8
counts roberta 2 393216 1051650 $roberta --adapter.size 4 --adapter.kind lora

# MoA's systems on LLaMA 3 8B; its description alone, without weights and without a tokenizer.
mkdir llama
cat >llama/params.json <<'JSON'
{"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "multiple_of": 1024,
 "ffn_dim_multiplier": 1.3, "norm_eps": 1e-05, "rope_theta": 500000.0, "use_scaled_rope": true}
JSON
for i in $(seq 40); do
    echo "{\"instruction\": \"What is $i + 1?\", \"output\": \"$((i + 1))\"}"
done >items.jsonl

# decoder_plan WORDS...: a dry run on the shapes of LLaMA 3 8B
decoder_plan() {
    timeout 120 "$ladle" train --dry-run --model.path llama --data.train items.jsonl --eval.select split:0.2 \
        --train.device cuda --run.dir run "$@" >log 2>&1 || fail "$*: exit code $?"
    grep -q '^shapes only' log || fail "$*: not from shapes alone"
    grep -q '^lengths assumed.* 300 tokens$' log || fail "$*: does not say which lengths are assumed"
}
# decoder_counts TRAINABLE WORDS...
decoder_counts() {
    local expected="$1 8030261248"
    shift
    decoder_plan "$@"
    local found
    found=$(tr -d , <log | awk '$1 == "trainable" && !n {n = $2} $1 == "frozen" && !f {f = $2} END {print n, f}')
    [ "$found" = "$expected" ] || fail "$*: $found, expected $expected"
}
decoder_counts 11534336 --moa.system lora
decoder_counts 4325888 --moa.system parallel-adapter
decoder_counts 1311744 --moa.system prompt
decoder_counts 24520288 --moa.system soft-moa
decoder_counts 24520288 --moa.system instance-moa
decoder_counts 18089696 --moa.system soft-moa --moa.router_expansion 0
decoder_counts 22289120 --moa.system sparse-moa
decoder_counts 24651392 --moa.system sparse-moa --moa.prompt_layers 0-32
decoder_counts 17565280 --moa.system unipelt
decoder_counts 17170432 --moa.system hydralora --moa.num_experts 2
decoder_counts 21823488 --moa.system hydralora --moa.num_experts 3
decoder_counts 26476544 --moa.system hydralora --moa.num_experts 4
decoder_counts 45088768 --moa.system hydralora --moa.num_experts 8
decoder_counts 25034752 --moa.system molora --moa.num_experts 2
decoder_counts 50069504 --moa.system molora --moa.num_experts 4
decoder_counts 100139008 --moa.system molora --moa.num_experts 8
decoder_counts 26018272 --moa.system adamole --moa.num_experts 2
decoder_counts 51053344 --moa.system adamole --moa.num_experts 4
decoder_counts 101123488 --moa.system adamole --moa.num_experts 8
decoder_counts 25035072 --moa.system top-k-lora --moa.num_experts 2
decoder_counts 50070144 --moa.system top-k-lora --moa.num_experts 4
decoder_counts 100140288 --moa.system top-k-lora --moa.num_experts 8

# The published recipe fits a GPU of 24 GB if activations are computed again, and only then.
gigabytes_on_gpu() {
    awk '/^on the GPU/ && $5 == "GiB" {print $4 * 1.073741824}' log
}
recipe=(--config "$fixtures/../../configs/moa/soft-moa.cfg")
decoder_plan "${recipe[@]}" --train.recompute true
sed -n '/memory per rank/,/^$/p' log
awk -v bytes="$(gigabytes_on_gpu)" 'BEGIN {exit !(bytes > 0 && bytes < 24)}' || fail "more than 24 GB"
decoder_plan "${recipe[@]}"
awk -v bytes="$(gigabytes_on_gpu)" 'BEGIN {exit !(bytes > 24)}' || fail "less than 24 GB without recomputation"

[ -e run ] && fail "a dry run has written"
echo "$failures failures"
[ $failures -eq 0 ]

#!/bin/bash
# ladle bench as a user runs it: one line of JSON per record, and mistakes answered with a sentence.
# Usage: bench.sh LADLE_PROGRAM
ladle=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $1"
    sed 's/^/  | /' out err | head -20
    failures=$((failures + 1))
}

# expect CODE TEXT WORDS...: ladle bench WORDS exits with CODE and says TEXT
expect() {
    local code=$1 text=$2
    shift 2
    timeout 60 "$ladle" bench "$@" >out 2>err
    local got=$?
    [ $got -eq "$code" ] || fail "ladle bench $*: exit code $got, expected $code"
    cat out err | grep -qF -- "$text" || fail "ladle bench $*: does not say \"$text\""
    [ "$code" -eq 0 ] || [ "$(wc -l <err)" -le 2 ] || fail "ladle bench $*: more than two lines"
}

cat >config.json <<'JSON'
{"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
 "vocab_size": 60, "max_position_embeddings": 40, "type_vocab_size": 2, "hidden_act": "gelu", "pad_token_id": 0}
JSON
printf '5 9 12 3\n7 7 2 1\n' >lengths
printf '5 9\n7 41\n' >long
printf '5 nine\n' >words

tiny=(--dims config.json --lengths lengths --steps 2 --repetitions 1)
expect 0 '"bench":"step"' step "${tiny[@]}"
[ "$(wc -l <out)" -eq 2 ] || fail "step: not two lines"
grep -qv '^{.*}$' out && fail "step: a line is not one JSON object"
grep -q '"dims":"config.json".*"batch":4,"passes":2,' out || fail "step: batch and passes are not the defaults"
expect 0 '"passes":1' step "${tiny[@]}" --passes 1
expect 0 '"bench":"eval"' eval "${tiny[@]}"
expect 0 '"product":"adapter_down"' gemm --dims config.json --rows 8 --repetitions 1
expect 0 '"kernel":"gelu_backward"' kernels --dims "$work" --rows 8 --repetitions 1


cat >decoder.json <<'JSON'
{"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
 "intermediate_size": 48, "vocab_size": 60, "max_position_embeddings": 40, "rms_norm_eps": 1e-5, "rope_theta": 10000,
 "hidden_act": "silu", "tie_word_embeddings": true}
JSON
decoder=(--dims decoder.json --lengths lengths --steps 2 --repetitions 1)
expect 0 '"system":"soft-moa"' step "${decoder[@]}" --moa.system soft-moa
[ "$(wc -l <out)" -eq 2 ] || fail "step of a decoder: not two lines"
expect 0 '"recompute":true' step "${decoder[@]}" --moa.system soft-moa --train.recompute true
expect 0 '"computed_pairs":0.0,' step "${decoder[@]}" --moa.system sparse-moa --selected 0
short=(--dims decoder.json --repetitions 1 --prompt-tokens 3 --new-tokens 4)
expect 0 '"bench":"decode"' generate "${short[@]}"
[ "$(wc -l <out)" -eq 4 ] || fail "generate: not two lines for each of two batches"
expect 0 '"batch":3,' generate "${short[@]}" --eval.batch 3 --moa.system soft-moa

expect 2 'only Sparse MoA compares' step "${decoder[@]}" --moa.system soft-moa --selected 0.5
expect 2 '--selected has no effect' step "${tiny[@]}" --selected 0.5
expect 2 '--passes has no effect' step "${decoder[@]}" --moa.system soft-moa --passes 1
expect 2 '--lengths has no effect' generate "${short[@]}" --lengths lengths
expect 2 '--dims and model.path' generate "${short[@]}" --model.path decoder.json
expect 2 '--selected 1.5 cannot be used' step "${decoder[@]}" --moa.system sparse-moa --selected 1.5
expect 2 'only step and generate measure decoders' eval "${tiny[@]}" --moa.system soft-moa
expect 2 'unknown dimensions of a decoder "minilm"' generate --dims minilm
expect 2 'name one of step, eval, generate, gemm, kernels'
expect 2 'did you mean "step"?' steps
expect 2 'takes one measurement: 2 are given' step eval
expect 2 'only step, eval and generate measure GPUs' gemm --dims config.json --train.device cuda
expect 2 'only step, eval and generate measure GPUs' kernels --dims config.json --train.device cuda
expect 2 'unknown dimensions "minilmm": they are minilm, bert-base, roberta-large' step --dims minilmm --lengths lengths
expect 2 '--lengths is missing' step
expect 2 '--steps 0 cannot be used' step "${tiny[@]:0:4}" --steps 0
expect 2 'not a whole number of 1 to 2' step "${tiny[@]}" --passes 3
expect 2 '3 steps of 4 samples need 12' step --dims config.json --lengths lengths --steps 3
expect 3 'line 2: "41" is not a token count of 1 to 40' step --dims config.json --lengths long --steps 1
expect 3 'line 1: "nine"' step --dims config.json --lengths words --steps 1
expect 3 'cannot read absent' step --dims config.json --lengths absent
expect 3 'cannot read words' gemm --dims words

echo "$failures failures"
[ $failures -eq 0 ]

#!/bin/bash
# ladle generate on a tiny random decoder: the same text twice, alone and in batches, by seed; and what is refused.
# Usage: see common.sh; then MAKE_TINY_DECODER and a file with a tokenizer
source "$(dirname "$0")/common.sh"
make_decoder=$5
tokens=$6
"$make_decoder" model "$tokens" || exit 1

most=12
# made NAME WORDS...: ladle generate with these words; NAME.jsonl and NAME.txt receive its results
made() {
    local name=$1
    shift
    timeout 120 "$ladle" generate --model.path model --max-new-tokens "$most" --output "$name.jsonl" "$@" \
        >"$name.txt" 2>log || fail "generate $*"
}

printf 'a\nThe harbour of the small town\n42 and more\nwhat is this\n' >prompts.txt
made first --prompts prompts.txt
grep -q '^weights [0-9.]* [KM]iB, keys and values [0-9.]* [KM]iB$' log || fail "no bytes are named"
grep -q '^[0-9]* tokens for 4 prompts in [0-9.]* s, [0-9.]* tokens/s$' log || fail "no speed is named"
[ "$(wc -l <first.jsonl)" -eq 4 ] || fail "not one line per prompt"
[ "$(grep -cE '^\{"prompt":".*","text":".*","tokens":\[[0-9,]*\],"stop":"(end|length)"\}$' first.jsonl)" -eq 4 ] ||
    fail "lines of another form: $(cat first.jsonl)"
grep -qF '[2] The harbour of the small town' first.txt || fail "prompts are not shown"
made second --prompts prompts.txt
cmp first.jsonl second.jsonl || fail "two runs differ"
cmp first.txt second.txt || fail "what two runs show differs"
made threes --prompts prompts.txt --eval.batch 3
cmp first.jsonl threes.jsonl || fail "the size of the batch changes the text"
while read -r line; do
    made single --prompt "$line"
    cat single.jsonl >>singles.jsonl
done <prompts.txt
cmp first.jsonl singles.jsonl || fail "prompts one by one have other texts than together"
sed 's/.*/{"prompt": "&"}/' prompts.txt >prompts.jsonl
made objects --prompts prompts.jsonl
cmp first.jsonl objects.jsonl || fail "JSON lines have other texts than lines"

sampled=(--prompts prompts.txt --temperature 2 --top-p 0.95)
made seed_1 "${sampled[@]}" --run.seed 1
made seed_1_again "${sampled[@]}" --run.seed 1 --eval.batch 2
made seed_2 "${sampled[@]}" --run.seed 2
cmp seed_1.jsonl seed_1_again.jsonl || fail "one seed gives two texts"
cmp -s seed_1.jsonl seed_2.jsonl && fail "two seeds give one text"
cmp -s seed_1.jsonl first.jsonl && fail "a sampled text is the most likely one"

# Where positions end, so does the text.
most=1000
made long --prompts prompts.txt
grep -q '"stop":"positions"' long.jsonl || fail "no text reaches the model's last position"
grep -q '"stop":"length"' long.jsonl && fail "a text is longer than the model's positions"

# refused CODE TEXT WORDS...: exit code, two lines at most, no output
refused() {
    local code=$1 text=$2
    shift 2
    timeout 60 "$ladle" generate --output "$output" "$@" >out 2>log
    local got=$?
    [ $got -eq "$code" ] || fail "$*: exit code $got, expected $code"
    grep -qF -- "$text" log || fail "$*: does not say \"$text\""
    [ "$(wc -l <log)" -le 2 ] || fail "$*: more than two lines"
    [ -s out ] && fail "$*: an error on standard output"
    [ -e "$output" ] && fail "$*: a file was written"
}
output=no.jsonl
some=(--model.path model --prompt a)
refused 2 "model.path" --prompt a
refused 2 "none is given" --model.path model
refused 2 "more than one is given" "${some[@]}" --prompts prompts.txt
refused 2 "it is empty" --model.path model --prompt ""
refused 2 "--max-new-tokens 0" "${some[@]}" --max-new-tokens 0
refused 2 "from 1 to 1000000" "${some[@]}" --max-new-tokens 1000001
refused 2 "--temperature -1" "${some[@]}" --temperature=-1
refused 2 "--top-p 1.5" "${some[@]}" --temperature 1 --top-p 1.5
refused 2 "without a temperature" "${some[@]}" --top-p 0.5
output=nowhere/no.jsonl
refused 74 "nowhere" "${some[@]}"
output=no.jsonl
printf 'a\n\nb\n' >gap.txt
refused 3 "gap.txt, line 2: the prompt is empty" --model.path model --prompts gap.txt
refused 3 "absent.txt" --model.path model --prompts absent.txt
{ echo a; printf 'a b c d e f g h i j %.0s' {1..10}; } >long.txt
refused 3 "cannot continue prompt 2: it has" --model.path model --prompts long.txt
refused 3 "absent" --model.path absent --prompt a
tiny_model bert
tiny_shards shards bert
mkdir meta && : >meta/params.json
: >model.gguf
for decoder in model meta model.gguf; do
    on_ranks 1 train --model.path $decoder --data.dir shards --run.dir run
    [ $? -eq 3 ] || fail "train on a decoder: not exit code 3"
    grep -q "LLaMA decoder\|model_type 'llama'" log || fail "train on the decoder $decoder: does not say what it is"
done
refused 3 "bert" --model.path bert --prompt a
cp -r model more && sed -i 's/"added_tokens":\[/&{"content":"<|more|>","id":422},/' more/tokenizer.json
refused 3 "its tokenizer has 423 tokens and the model 422" --model.path more --prompt a
cp -r model no_tokenizer && rm no_tokenizer/tokenizer.json
refused 3 "no_tokenizer/tokenizer.json" --model.path no_tokenizer --prompt a
cp -r model cut && truncate -s -4 cut/model.safetensors
refused 3 "cut/model.safetensors" --model.path cut --prompt a
finish

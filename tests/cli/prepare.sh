#!/bin/bash
# ladle prepare from the command line: what it prints, and for bad input its exit code, message and that nothing is left.
# Usage: prepare.sh LADLE_PROGRAM FIXTURES
ladle=$1
fixtures=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

mkdir model task broken
cp "$fixtures/tokens/bert_uncased_vocab.txt" model/vocab.txt
echo '{"model_type": "bert"}' >model/config.json
printf 'index\tsentence1\tsentence2\tlabel\n0\tOne text.\tAnother text.\tentailment\n1\ttoo few\n' >task/train.tsv

fail() {
    echo "FAILED: $1"
    sed 's/^/  | /' out err | head -20
    failures=$((failures + 1))
}

# expect CODE TEXT WORDS...: ladle prepare WORDS exits with CODE and says TEXT; an error has two lines and leaves no file
expect() {
    local code=$1 text=$2
    shift 2
    timeout 60 "$ladle" prepare --model.path model --data.dir shards "$@" >out 2>err
    local got=$?
    [ $got -eq "$code" ] || fail "$*: exit code $got, expected $code"
    cat out err | grep -qF -- "$text" || fail "$*: does not say \"$text\""
    if [ "$code" -ne 0 ]; then
        { [ "$(wc -l <err)" -eq 2 ] && grep -q '^  fix: ' err; } || fail "$*: not one line and its fix"
        [ -e shards ] && fail "$*: shards were left"
    fi
    rm -rf shards
}

expect 0 "skipped task/train.tsv, line 3: 2 fields instead of 4" --data.task rte --data.source task
expect 0 "not in the source directory: dev.tsv, test.tsv" --data.task rte --data.source task
expect 3 "malformed row in task/train.tsv, line 3" --data.task rte --data.source task --strict
expect 3 "no column '#1 String'" --data.task mrpc --data.source task
expect 3 "holds none of train.tsv, dev.tsv, test.tsv" --data.task rte --data.source broken
expect 3 "holds none of train.tsv, dev.tsv, test.tsv" --data.task rte --data.source absent
expect 2 "data.source" --data.task rte
expect 2 "a GLUE task has its own labels" --data.task rte --data.source task --labels a,b
expect 2 '--threads = "2x"' --data.task rte --data.source task --threads 2x
expect 2 "none of .tsv, .csv and .jsonl" --data.task mine --train-file task/train.txt
expect 3 "cannot read absent.csv" --data.task mine --train-file absent.csv

printf 'text,label\nx,red\ny,blue\n' >own.csv
expect 0 "labels (sorted): blue, red" --data.task mine --train-file own.csv
expect 0 "labels (as given): red, blue" --data.task mine --train-file own.csv --labels red,blue
expect 3 "'blue' is none of red green" --data.task mine --train-file own.csv --labels red,green
expect 2 "only one of them can be read" --data.task mine --train-file own.csv --data.source task
"$ladle" prepare --model.path model --data.task mine --train-file own.csv --data.dir own.csv >out 2>err
[ $? -eq 2 ] && grep -q "own.csv: it is a file" err || fail "data.dir is a file"
: >empty.csv
expect 3 "it is empty" --data.task mine --train-file empty.csv

# Repeating gives the same bytes.
for name in one two; do
    "$ladle" prepare --model.path model --data.task mine --train-file own.csv --data.dir $name >out 2>err || fail "repeat"
done
cmp one/train.h5 two/train.h5 || fail "two preparations differ"

# A tokenizer that cannot be used, and a foreign file where a shard should go.
sed -i '$d' model/vocab.txt && echo '[PAD]' >>model/vocab.txt
expect 3 "token '[PAD]' occurs twice" --data.task mine --train-file own.csv
cp "$fixtures/tokens/bert_uncased_vocab.txt" model/vocab.txt
echo '{"model_type": "llama"}' >model/config.json
expect 3 "model_type llama" --data.task mine --train-file own.csv
echo '{"model_type": "bert"}' >model/config.json
mkdir taken && echo "no shard" >taken/train.h5
"$ladle" prepare --model.path model --data.task mine --train-file own.csv --data.dir taken >out 2>err
[ $? -eq 3 ] || fail "a foreign file: exit code"
[ "$(cat taken/train.h5)" = "no shard" ] || fail "a foreign file was overwritten"

echo "$failures failures"
[ $failures -eq 0 ]

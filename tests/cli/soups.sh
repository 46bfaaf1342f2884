#!/bin/bash
# ladle soup, convert and inspect on the files of a small run: what comes back is the same, what cannot be is refused.
# Usage: soups.sh LADLE_PROGRAM SOURCE_DIRECTORY
ladle=$1
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

fail() {
    echo "FAILED: $1"
    sed 's/^/  | /' out err | head -20
    failures=$((failures + 1))
}

# expect CODE TEXT WORDS...: ladle WORDS exits with CODE and says TEXT; errors have at most two lines
expect() {
    local code=$1 text=$2
    shift 2
    timeout 120 "$ladle" "$@" >out 2>err
    local got=$?
    [ $got -eq "$code" ] || fail "ladle $*: exit code $got, expected $code"
    cat out err | grep -qF -- "$text" || fail "ladle $*: does not say \"$text\""
    [ "$(wc -l <err)" -le 2 ] || fail "ladle $*: more than two lines"
}

# same FILE FILE
same() {
    cmp -s "$1" "$2" || fail "$1 and $2 differ"
}

"$source/jobs/make_tiny_encoder.py" encoder "$source/data/sample/train.tsv" || exit 1
expect 0 "train" prepare --data.task sample --data.source "$source/data/sample" --model.path encoder --data.dir data
expect 0 "soup" train --model.path encoder --data.dir data --data.task sample --run.dir run --adapter.size 13 \
    --train.epochs 2 --train.batch 16 --optim.lr 0.01

# Every format and back: byte for byte the soup of the run.
for format in soup adamix safetensors adapters; do
    expect 0 "read back and equal" convert run/soup.h5 --to $format merged.$format --verify
    expect 0 "soup" convert merged.$format --to soup back.h5
    same back.h5 run/soup.h5
    expect 0 "identical" inspect --diff back.h5 run/soup.h5
done
expect 0 "read back and equal" convert run/soup.h5 --to adamix one.bin --merged-as one --verify
expect 0 "soup" convert one.bin --to soup back.h5
same back.h5 run/soup.h5
for format in adamix safetensors; do
    expect 0 "read back and equal" convert run/best.h5 --to $format experts.$format --verify
    expect 0 "soup" convert experts.$format --to soup back.h5 --from $format
    same back.h5 run/best.h5
done
expect 0 "read back and equal" convert run/best.h5 --to adapters experts --experts --verify
expect 0 "soup" convert experts --to soup back.h5
same back.h5 run/best.h5

# Without --to: what fits best, and why.
expect 0 "auto: adapters (the library adapters computes exactly this), kind adamix" convert run/soup.h5 auto
expect 0 "experts.auto: safetensors (not adapters: it holds 4 experts" convert run/best.h5 experts.auto
[ -e experts.auto.README.md ] && [ -e auto/README.md ] || fail "a README is missing"

# Other kinds: LoRA and AdaKron, each format and back; logits of what was written.
with=(--model.path encoder --verify)
equal="differ by at most 0 (0 allowed)"
for kind in adamix-lora madakron bias head; do
    expect 0 "soup" train --model.path encoder --data.dir data --data.task sample --run.dir $kind --adapter.size 8 \
        --adapter.kind $kind --adapter.targets query,attention_output,output --train.max_steps 6 --train.batch 16 \
        --optim.lr 0.01
    expect 0 "$equal" convert $kind/soup.h5 --to safetensors $kind.safetensors "${with[@]}"
    expect 0 "soup" convert $kind.safetensors --to soup back.h5
    same back.h5 $kind/soup.h5
    expect 0 "sequences differ by at most" convert $kind/soup.h5 --to model $kind.model "${with[@]}"
    [ $kind = adamix-lora ] || grep -qF "$equal" out || fail "the model of $kind"
    expect 2 "name a new or empty directory" convert $kind/soup.h5 --to model $kind.model "${with[@]}"
done
for soup in run/soup.h5 run/best.h5 adamix-lora/best.h5; do
    expect 0 "$equal" convert $soup --to model "model.${soup//\//.}" "${with[@]}"
    expect 0 "soup" convert "model.${soup//\//.}" --to soup back.h5
    same back.h5 $soup
done
expect 3 "has no ladle_soup" convert adamix-lora.model --to soup none.h5
expect 0 "accuracy" evaluate --model.path adamix-lora.model --data.dir data --data.task sample
expect 0 "peft (PEFT computes exactly this), kind adamix-lora" convert adamix-lora/soup.h5 lora.peft "${with[@]}"
expect 0 "PEFT directory" inspect lora.peft
expect 0 "soup" convert lora.peft --to soup back.h5
same back.h5 adamix-lora/soup.h5
expect 0 "$equal" convert madakron/soup.h5 --to adamix kron.bin "${with[@]}"
expect 0 "soup" convert kron.bin --to soup back.h5
same back.h5 madakron/soup.h5
cp kron.bin published.bin
expect 0 "soup, kind adakron" convert published.bin --to soup back.h5
rm published.bin

# An AdaMix file without ladle's description beside it.
cp experts.adamix published.bin
expect 0 "tensors_sha256" convert published.bin --to soup published.h5 --data.task mrpc
expect 0 "task.label_names = not_equivalent, equivalent" inspect published.h5
mkdir glue
printf 'Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tone\ttwo\n0\t3\t4\tthree\tfour\n' >glue/dev.tsv
expect 0 "validation" prepare --data.task mrpc --data.source glue --model.path encoder --data.dir mrpc
expect 0 "does not say which backbone" evaluate published.h5 --model.path encoder --data.dir mrpc
expect 0 "tensors_sha256" convert published.bin --to soup mine.h5 --data.task mine --labels bad,good
expect 0 "task.label_names = bad, good" inspect mine.h5
expect 0 "tensors_sha256" convert published.bin --to soup bare.h5
expect 0 "does not name its labels" evaluate bare.h5 --model.path encoder --data.dir data
expect 3 "its labels are bad, good, those of sample are no_problem, problem" \
    evaluate mine.h5 --data.task sample --model.path encoder --data.dir data
expect 3 "its head has 2 outputs, the task 3" convert published.bin --to soup none.h5 --data.task mine --labels a,b,c
expect 2 "has its own labels" convert published.bin --to soup none.h5 --data.task mrpc --labels a,b
expect 2 "given twice" convert published.bin --to soup none.h5 --data.task mine --labels a,a
expect 3 "it says that it is of task sample" convert run/soup.h5 --to soup none.h5 --data.task mrpc
expect 3 "it says that it is of task sample" convert run/soup.h5 --to soup none.h5 --labels a,b
expect 3 "its head has 2 outputs, the task 3" convert published.bin --to soup none.h5 --data.task mnli

# Pairs that cannot be.
expect 2 "it holds 4 experts, the directory one adapter" convert run/best.h5 --to adapters none
expect 2 "leave --experts out" convert run/soup.h5 --to adapters none --experts
expect 2 "known formats are" convert run/soup.h5 --to onnx none
expect 2 "--merged-as" convert run/soup.h5 --to adamix none --merged-as two
expect 2 "needs INPUT" convert run/soup.h5 --to adamix
expect 2 "give the backbone of the training run as --model.path" convert run/soup.h5 --to model none
expect 2 "no bottleneck adapters" convert run/soup.h5 --to peft none
expect 2 "none of the other 3" convert madakron/best.h5 --to adamix none
expect 2 "convert to peft" convert adamix-lora/soup.h5 --to adapters none
expect 3 "it was trained on other weights" convert run/soup.h5 --to model none --model.path adamix-lora.model
expect 3 "another format" convert run/soup.h5 --from adamix --to safetensors none
expect 3 "ladle.ckpt" convert "run/checkpoints/$(ls run/checkpoints | grep h5 | head -1)" --to safetensors none
expect 3 "No such file" convert absent.h5 --to safetensors none
expect 74 "Not a directory" convert run/soup.h5 --to safetensors run/soup.h5/none
[ -e none ] || [ -e none.h5 ] && fail "a refused conversion left something"
[ -n "$(find . -name '*.ladle-tmp')" ] && fail "a temporary file is left"

# Averages.
expect 0 "4 experts averaged" soup run/best.h5 --output mean.h5
same mean.h5 run/soup.h5
expect 0 "1 soups averaged" soup run/soup.h5 --weights 1 --output mean.h5
same mean.h5 run/soup.h5
expect 0 "4 experts averaged" soup run/best.h5 --weights 1,0,0,0 --output first.h5
expect 1 "values differ, first [" inspect --diff first.h5 run/soup.h5
expect 0 "2 soups averaged" soup first.h5 merged.safetensors --weights 0.5,0.5 --output mean.h5
expect 2 "there are 4" soup run/best.h5 --weights 0.5,0.5 --output none
expect 2 "their sum is 2" soup run/best.h5 --weights 0.5,0.5,0.5,0.5 --output none
expect 2 "is not a number" soup run/best.h5 --weights 0.5,x --output none
expect 2 "different models" soup run/best.h5 run/soup.h5 --output none
expect 2 "--output is missing" soup run/best.h5

# Chosen weights: of the experts of one run, and of runs that held out the same rows.
search=(--model.path encoder --data.dir data)
for seed in 1 2; do
    expect 0 "eval.select = split:0.2" train "${search[@]}" --data.task sample --run.dir held$seed --adapter.size 13 \
        --train.epochs 2 --train.batch 16 --optim.lr 0.01 --eval.select split:0.2 --run.seed $seed
done
for method in greedy learned; do
    expect 0 "held out of train (eval.select = split:0.2)" soup held1/best.h5 --method $method "${search[@]}" \
        --output $method.h5
    expect 0 "$method" soup held1/best.h5 --method $method "${search[@]}" --output again.h5
    same $method.h5 again.h5
    expect 0 "method = $method" inspect $method.h5
    expect 0 "accuracy" evaluate $method.h5 "${search[@]}"
    expect 0 "held2/soup.h5" soup held1/soup.h5 held2/soup.h5 --method $method "${search[@]}" --output seeds.h5
done
expect 0 "on dev (eval.select = dev): dev scores are optimistic" soup run/best.h5 --method greedy "${search[@]}" \
    --output greedy.h5
expect 0 "on dev (eval.select = dev)" soup held1/best.h5 --method greedy "${search[@]}" --eval.select dev --output greedy.h5
expect 2 "they have seen some of these rows" soup run/best.h5 --method greedy "${search[@]}" --eval.select split:0.2 \
    --output none
expect 2 "eval.select is dev in run/soup.h5 and split:0.2 in held1/soup.h5" soup run/soup.h5 held1/soup.h5 \
    --method greedy "${search[@]}" --output none
expect 2 "nothing to choose from" soup held1/soup.h5 --method greedy "${search[@]}" --output none
expect 2 "--data.dir is missing" soup held1/best.h5 --method greedy --model.path encoder --output none
expect 2 "unknown --method best" soup held1/best.h5 --method best --output none
expect 0 "on dev (eval.select = dev)" soup merged.safetensors greedy.h5 --method greedy "${search[@]}" \
    --eval.select dev --output imported.h5
expect 2 "both decide the weights" soup held1/best.h5 --method greedy --weights 1,0,0,0 --output none
expect 2 "--epochs 0 is not understood" soup held1/best.h5 --method learned "${search[@]}" --epochs 0 --output none

# Everything a run reads and writes can be looked at, also through a pipe that closes early.
for file in data/train.h5 run/checkpoints/*.h5 run/best.h5 run/soup.h5 merged.adamix merged.safetensors merged.adapters \
    experts encoder; do
    expect 0 "tensors, " inspect "$file"
done
expect 0 "state = finished at step " inspect run
grep -qE '^soup +[01]\.[0-9]{4}' out || fail "no scores of the run"
grep -qE '^checkpoints/step-[0-9]+\.h5 +[0-9.]+ KiB' out || fail "no files of the run"
sed -i 's/"reason": "finished"/"note": ""/' run/manifest.json
expect 0 "state = crashed or was killed; the same command goes on from checkpoints/step-" inspect run
mkdir broken && echo '{"starts": []}' >broken/manifest.json
expect 3 "cannot read the files of the run broken" inspect broken
echo '{"starts": [' >broken/manifest.json
expect 3 "cannot read broken/manifest.json" inspect broken
expect 0 "validation/accuracy" inspect run/events.out.tfevents.ladle
expect 0 "best.metric = accuracy" inspect run/results.json
expect 0 "scores.experts.3.validation.f1 = " inspect run/results.json
expect 0 "eval validation  scores.accuracy" inspect run/metrics.jsonl
head -c -5 run/metrics.jsonl >cut.jsonl
expect 0 "after them = a line that was cut off" inspect cut.jsonl
expect 1 "step, loss: only" inspect --diff cut.jsonl encoder/config.json
expect 0 "identical" inspect --diff run/metrics.jsonl run/metrics.jsonl
printf '{"a":1}\nx\n{"a":2}\n' >damaged.jsonl
expect 3 "line 2" inspect damaged.jsonl
printf '{"a":1,\n"b"}\n' >damaged.json
expect 3 "not valid JSON" inspect damaged.json
echo text >file.txt
expect 3 "not a kind of file that ladle inspects" inspect file.txt
[ "$("$ladle" inspect run/best.h5 run/soup.h5 data/train.h5 2>err | head -n 1)" = "run/best.h5: ladle.soup 1.1" ] ||
    fail "inspect in a pipe"
[ -s err ] && fail "inspect in a pipe complains"
head -c 3000 run/soup.h5 >cut.h5
expect 3 "truncated, damaged or was edited" inspect cut.h5
expect 3 "not an HDF5 file" evaluate merged.safetensors --model.path encoder --data.dir data
expect 2 "--diff compares two files" inspect --diff run/soup.h5

echo "$failures failures"
[ $failures -eq 0 ]

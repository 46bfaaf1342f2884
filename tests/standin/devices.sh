#!/bin/bash
# Launch errors of a GPU run: exit code 4 within seconds on every rank, one message of two lines that names what is
# missing and what to do, and no run directory. What a run lacks later it can be given: it resumes.
# Usage: see tests/end_to_end/common.sh
source "$(dirname "$0")/../end_to_end/common.sh"
tiny_model model
mkdir few
cp "$sample/train.tsv" few
head -n 13 "$sample/dev.tsv" >few/dev.tsv
sample=$work/few
tiny_shards shards model
export LADLE_STANDIN_QUIET=1 LADLE_STANDIN_DEVICES=2
# Known by its path, so that processes left behind are found.
cp "$ladle" program
options=("$work/program" train --model.path model --data.dir shards --train.device cuda --train.batch 8 --train.leaf 2
    --train.max_steps 2 --eval.every 9)

# launch CASE COMMAND...: output in log; sets code; after 30 s it is ended with code 124
launch() {
    name=$1
    shift
    timeout 30 "$@" >log 2>&1
    code=$?
    [ -z "$(find /proc/[0-9]*/exe -lname "$work/program" 2>/dev/null)" ] || fail "$name: processes are left"
}

# refused RUN WHAT WHY FIX: the last launch said so, once, in two lines
refused() {
    [ "$code" -eq 4 ] || fail "$name: exit code $code"
    [ "$(grep -c '^ladle: ' log)" -eq 1 ] || fail "$name: not one message"
    grep -A 1 '^ladle: ' log | tr '\n' '\r' | grep -Eq "^ladle: (\[[^]]* rank [0-9]/[0-9]\] )?$2: $3"$'\r'"  fix: .*$4" ||
        fail "$name: not the message"
    [ ! -e "$1" ] || fail "$name: it left $(find "$1" | tr '\n' ' ')"
}

LADLE_STANDIN_NO_DRIVER=1 launch "no driver" "${options[@]}" --run.dir none
refused none "cannot use train.device = cuda" "this machine has no NVIDIA driver" "train.device = cpu"
LADLE_STANDIN_NO_DRIVER=1 launch "no driver, two ranks" "$mpirun" -n 2 "${options[@]}" --run.dir none
refused none "cannot use train.device = cuda" "this machine has no NVIDIA driver" "train.device = cpu"
LADLE_STANDIN_DEVICES=0 launch "no GPU" "${options[@]}" --run.dir none
refused none "cannot use train.device = cuda" "no GPU is visible to this process" "CUDA_VISIBLE_DEVICES"

# With a single GPU a launcher may have given each rank its own, so their buses are compared.
LADLE_STANDIN_DEVICES=1 launch "one GPU for two ranks" "$mpirun" -n 2 "${options[@]}" --run.dir none
refused none "ranks 0 and 1 of this node use the same GPU" "both were shown the GPU at PCI bus 0000:01:00.0" \
    "a GPU of its own .*or start fewer ranks per node"
launch "two GPUs for three ranks" "$mpirun" -n 3 "${options[@]}" --run.dir none
refused none "no GPU is left for rank 2 of this node" "the node runs 3 ranks and shows 2 GPUs, .*" "start 2 ranks per node"

no_room() { refused none "no room for [0-9.]+ MiB on the GPU" "[0-9]+ of its [0-9]+ MiB are free" "lower train.leaf"; }
# Less than the workspace of products, and little more than that.
for bytes in 100000 35000000; do
    LADLE_STANDIN_MEMORY_BYTES=$bytes launch "$bytes bytes" "${options[@]}" --run.dir none
    no_room
done
LADLE_STANDIN_MEMORY_BYTES=35000000 launch "little memory on two ranks" "$mpirun" -n 2 "${options[@]}" --run.dir none
no_room
for lacking in 0 1; do
    memory=(64000000 64000000)
    memory[lacking]=35000000
    launch "little memory on rank $lacking" \
        "$mpirun" -n 1 -x LADLE_STANDIN_MEMORY_BYTES="${memory[0]}" "${options[@]}" --run.dir none : \
        -n 1 -x LADLE_STANDIN_MEMORY_BYTES="${memory[1]}" "${options[@]}" --run.dir none
    no_room
    grep -q "^ladle: \[.* rank $lacking/2\]" log || fail "$name: the rank is not named"
done

# The least memory with which a run ends well; with a little less, what it has written is whole.
LADLE_STANDIN_MEMORY_BYTES=64000000 launch "enough" "${options[@]}" --run.dir whole
[ "$code" -eq 0 ] || fail "enough memory: exit code $code"
low=35000000 high=64000000
while [ $((high - low)) -gt 50000 ]; do
    rm -rf tried
    LADLE_STANDIN_MEMORY_BYTES=$(((low + high) / 2)) launch "search" "${options[@]}" --run.dir tried
    if [ "$code" -eq 0 ]; then
        high=$(((low + high) / 2))
    else
        low=$(((low + high) / 2))
        [ "$code" -eq 4 ] || fail "$low bytes: exit code $code"
        rm -rf begun
        [ ! -e tried ] || mv tried begun
    fi
done
echo "a run of the tiny model needs $high bytes"
# Whether it had begun or not: the same command with more memory ends it.
launch "resumed" "${options[@]}" --run.dir begun
[ "$code" -eq 0 ] || fail "with more memory: exit code $code"
same_results whole begun || fail "with more memory: other results"
finish

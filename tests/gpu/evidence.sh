#!/usr/bin/env bash
# Runs what only a machine with a GPU can show, piece by piece, and writes a dated Markdown file of it.
# Usage: tests/gpu/evidence.sh BUILD_OR_BUNDLE OUTPUT.md [PIECE[=SECONDS]...]
#   BUILD_OR_BUNDLE  a build with LADLE_GPU=cuda, or what tests/gpu_bundle.sh packed
#   OUTPUT.md        beside it OUTPUT.log receives what the commands said, and OUTPUT.jsonl the figures
#   PIECE            device, sanitizer, kernels, oracle, same, follow, bench, torch, profile; without any all of them,
#                    in this order. SECONDS is a piece's time limit. A failure does not stop the pieces after it.
# Environment: LADLE_EVIDENCE_MODEL and LADLE_EVIDENCE_DATA (default: model and data/mrpc of the bundle; without either
#   a tiny model and the sample task), LADLE_EVIDENCE_TASK (default: the name of the data directory),
#   LADLE_EVIDENCE_STEPS (of the piece follow, default 500), LADLE_EVIDENCE_BENCH_STEPS (8), LADLE_EVIDENCE_SAMPLES (of
#   the piece torch, 1024), LADLE_EVIDENCE_DIMS ("minilm bert-base roberta-large"), LADLE_EVIDENCE_PYTHON (one with
#   PyTorch), LADLE_EVIDENCE_DEVICE=cpu (a rehearsal of this script without a GPU; the file says so).
# Exit code: 0, 1 after a failure, 77 where there is no GPU.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ $# -lt 2 ] || [ ! -x "$1/ladle" ]; then
    sed -n '2,15s/^# //p' "$0" >&2
    exit 2
fi
build=$(cd "$1" && pwd)
output=$(realpath -m "$2")
shift 2
device=${LADLE_EVIDENCE_DEVICE:-cuda}
python=${LADLE_EVIDENCE_PYTHON:-python3}
steps=${LADLE_EVIDENCE_STEPS:-500}
read -ra dims <<<"${LADLE_EVIDENCE_DIMS:-minilm bert-base roberta-large}"
if [ "$device" = cuda ] && ! nvidia-smi -L >/dev/null 2>&1; then
    echo "SKIPPED: no NVIDIA GPU can be used on this machine (nvidia-smi -L finds none)"
    exit 77
fi

declare -A limits=([device]=30 [sanitizer]=150 [kernels]=120 [oracle]=120 [same]=90 [follow]=150 [bench]=200 [torch]=300
    [profile]=90)
order=(device sanitizer kernels oracle same follow bench torch profile)
pieces=()
for word in "$@"; do
    if [ -z "${limits[${word%%=*}]:-}" ]; then
        echo "unknown piece ${word%%=*}; the pieces are ${order[*]}" >&2
        exit 2
    fi
    [[ $word == *=* ]] && limits[${word%%=*}]=${word#*=}
    pieces+=("${word%%=*}")
done
[ ${#pieces[@]} -eq 0 ] && pieces=("${order[@]}")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=${output%.md}.log
rows=${output%.md}.jsonl
mkdir -p "$(dirname "$output")"
: >"$log"
: >"$rows"

# ---- Libraries: the bundle's own, then CUDA's of this machine, from the toolkit and from Python packages. The bundle's
# C++ runtime serves only where the machine has none, because an older one would break the machine's own programs.
libraries=''
add_libraries() { if [ -d "$1" ]; then libraries+="${libraries:+:}$1"; fi; }
add_libraries "$build/lib"
if [ -d "$build/lib/runtime" ]; then
    mkdir "$work/runtime"
    for library in "$build"/lib/runtime/*; do
        ldconfig -p | grep -qF "$(basename "$library") " || ln -s "$library" "$work/runtime/"
    done
    add_libraries "$work/runtime"
fi
for directory in "${CUDA_HOME:-/usr/local/cuda}/lib64" "${CUDA_HOME:-/usr/local/cuda}/targets/x86_64-linux/lib"; do
    add_libraries "$directory"
done
while IFS= read -r directory; do
    add_libraries "$directory"
done < <("$python" - <<'PYTHON' 2>/dev/null
import glob, os, sys
for path in sys.path:
    for directory in sorted(glob.glob(os.path.join(path, "nvidia", "*", "lib"))):
        print(directory)
PYTHON
)
export LADLE_FIXTURES_ROOT=$root/tests/fixtures

# ---- Running and writing.
# run NAME COMMAND...: within what is left of the piece's limit; output to $work/NAME and the log. Writes a line of exit
# code, seconds and command, and counts failures.
run() {
    local name=$1 begin code left
    shift
    left=$((deadline - SECONDS))
    if [ $left -le 0 ]; then
        commands+=$(printf '%9s %8s  %s' 'no time' - "$(shown "$@")")$'\n'
        failures=$((failures + 1))
        return 124
    fi
    begin=$(date +%s.%N)
    # In a subshell, whose word about a killed program is not wanted.
    (
        LD_LIBRARY_PATH=${run_libraries-$libraries} timeout --kill-after 5 "$left" "$@" \
            >"$work/$name" 2>"$work/$name.err" </dev/null
        exit $?
    ) 2>/dev/null
    code=$?
    { echo "==== $piece: $*"; cat "$work/$name" "$work/$name.err"; echo "==== exit code $code"; } >>"$log"
    local said=$code
    [ $code -eq 124 ] && said='too long'
    commands+=$(printf '%9s %8s  %s' "$said" "$(seconds_since "$begin")" "$(shown "$@")")$'\n'
    if [ $code -ne "${expected:-0}" ]; then
        failures=$((failures + 1))
        # Its last words, without this machine's paths.
        commands+=$(tail -q -n 3 "$work/$name.err" "$work/$name" | cut -c1-200 |
            sed "s|$work|WORK|g; s|$build|BUILD|g; s/^/          | /")$'\n'
    fi
    return $code
}
# share_time N: what runs until the next call may take one part in N of what is left of the piece's limit
share_time() { deadline=$((SECONDS + (piece_deadline - SECONDS) / $1)); }
# free_run NAME COMMAND...: the same as run, for programs of the machine, which get its own libraries.
free_run() {
    local run_libraries=${LD_LIBRARY_PATH:-}
    run "$@"
}
seconds_since() { awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }'; }
# shown COMMAND...: as one line without this machine's paths
shown() {
    local line="$*"
    line=${line//$libraries/LIBRARIES}
    line=${line//$build/BUILD}
    line=${line//$work/WORK}
    line=${line//$root\//}
    line=${line//$model/MODEL}
    line=${line//$data/DATA}
    [[ $python == */* ]] && line=${line//$python/PYTHON}
    [[ $line =~ --run_test=([^ ]{60,}) ]] && line=${line/"${BASH_REMATCH[1]}"/...}
    echo "$line"
}
say() { printf '%s\n' "$*" >>"$work/figures"; }
# block TITLE FILE: text as it is
block() {
    say ""
    say "$1"
    say '```'
    sed "s|$work/||g" "$2" >>"$work/figures"
    say '```'
}
figures() { "$python" "$here/figures.py" "$@"; }

summary='' bodies='' all_failures=0
write_output() {
    local title="GPU evidence, $today"
    [ "$device" = cuda ] || title="REHEARSAL WITHOUT A GPU ($device), $today: no evidence"
    {
        echo "# $title"
        echo
        cat "$work/header"
        echo
        echo "| piece | result | time (s) |"
        echo "|---|---|---:|"
        printf '%s' "$summary"
        printf '%s' "$bodies"
    } >"$output"
}

# ---- What is trained.
model=${LADLE_EVIDENCE_MODEL:-$build/model}
data=${LADLE_EVIDENCE_DATA:-$build/data/mrpc}
task=${LADLE_EVIDENCE_TASK:-$(basename "$data")}
make_workload() {
    [ -e "$model/config.json" ] && [ -e "$data/train.h5" ] && return
    model=$work/model data=$work/data task=sample
    local words=("$root/data/sample/train.tsv" "$root/data/sample/dev.tsv")
    { "$build/tests/end_to_end/make_tiny_model" "$model" whole "${words[@]}" &&
        LD_LIBRARY_PATH=$libraries "$build/ladle" prepare --data.task sample --train-file "${words[0]}" \
            --validation-file "${words[1]}" --model.path "$model" --data.dir "$data"; } >>"$log" 2>&1
}
batch=32
# training NAME DEVICE PRECISION STEPS WORDS...: one run, in $work/runs/NAME
training() {
    local name=$1 on=$2 precision=$3 count=$4
    shift 4
    run "train-$name" "$build/ladle" train --config "$root/configs/minilm.cfg" --config "$root/configs/$task.cfg" \
        --model.path "$model" --data.dir "$data" --run.dir "$work/runs/$name" --run.seed 1 --train.device "$on" \
        --model.precision "$precision" --train.batch $batch --train.max_steps "$count" \
        --train.patience 0 --cpu.threads "$(($(nproc) > 16 ? 16 : $(nproc)))" "$@"
}
about_workload() {
    say "Model \`$(basename "$model")\`, task $task, AdaMix, batch $batch, two passes, seed 1$1."
}

# ---- The pieces.
piece_device() {
    if [ "$device" = cuda ]; then
        free_run smi nvidia-smi \
            --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit,ecc.mode.current \
            --format=csv && block "nvidia-smi:" "$work/smi"
    fi
    run version "$build/ladle" --version && block "ladle --version:" "$work/version"
    run libraries "$python" "$here/figures.py" versions && block "Libraries as loaded:" "$work/libraries"
}

boost_tests() {  # boost_tests NAME PROGRAM WORDS...
    local name=$1 program=$2
    shift 2
    if [ ! -x "$program" ]; then
        say "$(basename "$program") is not in this build."
        failures=$((failures + 1))
        return
    fi
    run "$name" env LADLE_TEST_BACKEND="$device" "$program" --color_output=no --report_level=short "$@"
    { grep -E 'SKIPPED|digest of results|test cases? out of|assertions? out of' "$work/$name" "$work/$name.err" -h
        grep -hE 'error: in|fatal error' "$work/$name" "$work/$name.err" | head -n 20; } >"$work/$name.short"
    block "$(basename "$program"):" "$work/$name.short"
}
piece_kernels() {
    boost_tests kernels "$build/tests/test_kernels"
    boost_tests kernels-again "$build/tests/test_kernels"
    local first again
    first=$(sed -n 's/.*digest of results: //p' "$work/kernels")
    again=$(sed -n 's/.*digest of results: //p' "$work/kernels-again")
    if [ -n "$first" ] && [ "$first" = "$again" ]; then
        say "Both runs of test_kernels gave the same bits."
    else
        say "**The two runs of test_kernels gave different bits, or none were reported.**"
        failures=$((failures + 1))
    fi
    for program in "$build"/tests/test_cuda "$build"/tests/test_device; do
        [ -x "$program" ] && boost_tests "$(basename "$program")" "$program"
    done
}
piece_oracle() {
    local words=()
    [ "$device" = cuda ] && words=(--run_test='kernels_under_test*')
    boost_tests oracle "$build/tests/test_oracle" "${words[@]}"
}

piece_sanitizer() {
    local tool sanitizer cases wanted present=() errors last tools_left=4
    sanitizer=$(command -v compute-sanitizer || ls "${CUDA_HOME:-/usr/local/cuda}"/bin/compute-sanitizer 2>/dev/null)
    if [ -z "$sanitizer" ]; then
        say "No compute-sanitizer on this machine."
        failures=$((failures + 1))
        return
    fi
    # One case per kernel file, small ones.
    wanted="dropout_masks_are_the_random_words_of_the_host norms_equal_double_loops embedding_adds_three_rows
        rows_are_gathered_and_scattered column_sums_add weight_gradients_add_in_order_of_rows
        gelu_backward_keeps_its_stated_error fixed_point_sums_round_to_nearest_even sum_of_squares_is_in_double adamw_follows_the_published_update
        losses_equal_double packing_again_replaces_the_weight attention_survives_large_scores
        attention_of_a_segment_does_not_depend_on_the_others feed_forward_backward_equals_its_parts
        columns_are_added_and_taken outer_products_of_rows experts_are_selected rows_are_weighted_and_multiplied
        softmax_over_few_columns rows_of_segments_are_summed rms_norm_and_its_gradient_equal_double_loops
        rotary_turns_neighbouring_pairs silu_product_and_its_gradient_equal_double_loops
        token_cross_entropy_equals_double_loops_and_leaves_ignored_tokens_alone
        causal_attention_of_a_segment_does_not_depend_on_the_others products_of_one_x_are_those_of_their_rows"
    cases=$(LD_LIBRARY_PATH=$libraries "$build/tests/test_kernels" --list_content 2>&1)
    for name in $wanted; do
        grep -q "^ *$name\*\?\$" <<<"$cases" && present+=("$name")
    done
    say "Of test_kernels: ${present[*]}."
    say ""
    say "| tool | errors | its last line |"
    say "|---|---:|---|"
    local joined
    joined=$(IFS=,; echo "${present[*]}")
    for tool in memcheck racecheck initcheck synccheck; do
        share_time $tools_left
        tools_left=$((tools_left - 1))
        free_run "$tool" "$sanitizer" --tool "$tool" --print-limit 20 --target-processes all \
            env LD_LIBRARY_PATH="$libraries" LADLE_TEST_BACKEND="$device" "$build/tests/test_kernels" \
            --color_output=no --run_test="$joined"
        errors=$(sed -n 's/.*ERROR SUMMARY: \([0-9]*\) error.*/\1/p; s/.*RACECHECK SUMMARY: \([0-9]*\) hazard.*/\1/p' \
            "$work/$tool" "$work/$tool.err" | tail -n 1)
        [ "${errors:-none}" = 0 ] || failures=$((failures + 1))
        last=$(grep -h '=====' "$work/$tool" "$work/$tool.err" | tail -n 1 | tr -d '|')
        say "| $tool | ${errors:-no summary} | $last |"
    done
}

piece_same() {
    local precision other file ended
    make_workload
    about_workload ", 60 steps, a checkpoint every 20; the third run is killed after step 30 and resumed from step 20"
    for precision in fp32 bf16; do
        local words=(--checkpoint.every_steps 20)
        training "first-$precision" "$device" $precision 60 "${words[@]}" || continue
        training "second-$precision" "$device" $precision 60 "${words[@]}"
        expected=137 LADLE_CRASH_AT=step_done@30 training "killed-$precision" "$device" $precision 60 "${words[@]}"
        training "killed-$precision" "$device" $precision 60 "${words[@]}" --resume required
        ended=$(cat "$work/runs/first-$precision/checkpoints/last")
        for other in second killed; do
            for file in soup.h5 best.h5 predictions.h5 results.json "checkpoints/$ended"; do
                if cmp "$work/runs/first-$precision/$file" "$work/runs/$other-$precision/$file" >>"$log" 2>&1; then
                    echo "$precision  $other  $file  same bytes"
                else
                    echo "$precision  $other  $file  DIFFERENT"
                fi
            done
        done >"$work/compared"
        failures=$((failures + $(grep -c DIFFERENT "$work/compared")))
        column -t "$work/compared" 2>/dev/null >"$work/aligned" || cp "$work/compared" "$work/aligned"
        block "Against the first run:" "$work/aligned"
        run "digest-$precision" "$build/ladle" inspect --digest "$work"/runs/*-$precision/soup.h5 &&
            block "Digests:" "$work/digest-$precision"
    done
}

piece_follow() {
    make_workload
    about_workload ", $steps steps"
    # The processor and the GPU work at the same time.
    local before=$failures
    (training cpu-fp32 cpu fp32 "$steps"; printf '%s' "$commands" >"$work/cpu-commands"; exit $((failures - before))) &
    local aside=$!
    training gpu-fp32 "$device" fp32 "$steps"
    training gpu-bf16 "$device" bf16 "$steps"
    wait $aside || failures=$((failures + 1))
    commands+=$(tail -n 1 "$work/cpu-commands")$'\n'
    # For information only: not every processor has bf16.
    local failures_before=$failures
    if ! training cpu-bf16 cpu bf16 "$steps"; then
        failures=$failures_before
        say "The run in bf16 on the processor is not whole (see its line below)."
    fi
    local runs=$work/runs
    figures follow "processor and GPU, fp32=$runs/cpu-fp32,$runs/gpu-fp32" \
        "processor and GPU, bf16=$runs/cpu-bf16,$runs/gpu-bf16" "GPU, fp32 and bf16=$runs/gpu-fp32,$runs/gpu-bf16" \
        "processor, fp32 and bf16=$runs/cpu-fp32,$runs/cpu-bf16" >"$work/followed" 2>>"$log" ||
        failures=$((failures + 1))
    block "Loss per step, from metrics.jsonl:" "$work/followed"
}

lengths_file() {
    local file
    for file in "$build/lengths/$task.txt" "$data/train.h5"; do
        [ -e "$file" ] && { echo "$file"; return; }
    done
}
piece_bench() {
    local size kind name precision lengths record count=${LADLE_EVIDENCE_BENCH_STEPS:-8}
    make_workload
    [ "$task" = sample ] && count=4 # it has 370 rows
    lengths=$(lengths_file)
    for size in 64 32; do
        for name in "${dims[@]}"; do
            for precision in bf16 fp32; do
                for kind in step eval; do
                    record=bench-$(basename "$name")-$kind-$precision-$size
                    run "$record" "$build/ladle" bench $kind --dims "$name" \
                        --lengths "$lengths" --model.precision $precision --train.device "$device" \
                        --train.batch $size --eval.batch $size --steps "$count" \
                        --repetitions 5 && cat "$work/$record" >>"$rows"
                done
            done
        done
    done
    figures bench "$rows" >"$work/benched" 2>>"$log" || failures=$((failures + 1))
    block "Two passes per sample in step, one in eval (of the soup); lengths of $task, training set:" \
        "$work/benched"
}

piece_torch() {
    local name compared=$work/compared.jsonl lengths left=$((2 * ${#dims[@]}))
    make_workload
    lengths=$(lengths_file)
    : >"$compared"
    # compare.py gives ladle its libraries; PyTorch keeps its own.
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s/ladle" "$@"\n' "$libraries" "$build" >"$work/ladle"
    chmod +x "$work/ladle"
    figures lengths "$lengths" >"$work/lengths.txt" 2>>"$log"
    # The second line, of fewer forms, takes as much time for all dimensions as the first for each.
    for words in "bf16 --peers published strongest" "fp32 --peers published"; do
        for name in "${dims[@]}"; do
            share_time $((left > ${#dims[@]} ? left - ${#dims[@]} + 1 : left))
            left=$((left - 1))
            # shellcheck disable=SC2086
            free_run "torch-$name-${words%% *}" "$python" "$root/tests/bench/compare.py" --ladle "$work/ladle" \
                --python "$python" --device "$device" --dims "$name" --tasks "$task=$work/lengths.txt" --batch 64 \
                --samples "${LADLE_EVIDENCE_SAMPLES:-1024}" --form-limit 60 --output "$compared" --precision $words
            grep -h ' left out: ' "$work/torch-$name-${words%% *}.err" >>"$work/left-out"
        done
    done
    cat "$compared" >>"$rows"
    figures torch "$compared" >"$work/torch-table" 2>>"$log" || failures=$((failures + 1))
    block "In turn over the same samples, medians of 3 rounds; ratio: ladle over PyTorch in samples per second:" \
        "$work/torch-table"
    [ -s "$work/left-out" ] && block "Forms of PyTorch that did not work here:" "$work/left-out"
}

piece_profile() {
    local words lengths
    make_workload
    lengths=$(lengths_file)
    words=(bench step --dims "${dims[0]}" --lengths "$lengths" --model.precision bf16 --train.device "$device"
        --train.batch 64 --steps 1 --repetitions 1)
    if command -v nsys >/dev/null; then
        free_run nsys nsys profile --trace cuda --force-overwrite true --output "$work/nsys" \
            env LD_LIBRARY_PATH="$libraries" "$build/ladle" "${words[@]}" &&
            free_run kernels-by-time nsys stats --report cuda_gpu_kern_sum --format csv "$work/nsys.nsys-rep" &&
            figures profile "$work/kernels-by-time" >"$work/profiled" 2>>"$log" &&
            block "Kernels of two steps and of setting up, by nsys:" "$work/profiled" && return
    fi
    if command -v ncu >/dev/null; then
        # The card's clocks stay as they are.
        free_run ncu ncu --clock-control none --target-processes all --metrics gpu__time_duration.sum --csv \
            env LD_LIBRARY_PATH="$libraries" "$build/ladle" "${words[@]}" &&
            figures profile "$work/ncu" >"$work/profiled" 2>>"$log" &&
            block "Kernels of two steps and of setting up, by ncu:" "$work/profiled" && return
    fi
    say "No profiler gave times here."
    failures=$((failures + 1))
}

# ---- All of it. In a function, so that bash has read the whole file before anything runs.
main() {
    today=$(date -u +%Y-%m-%d)
    {
        echo "| | |"
        echo "|---|---|"
        echo "| commit | $(cat "$build/commit" 2>/dev/null || git -C "$root" describe --always --dirty --abbrev=12) |"
        echo "| date | $(date -u '+%Y-%m-%d %H:%M') UTC |"
        [ "$device" = cuda ] && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader |
            awk -F', ' '{ print "| GPU | " $1 ", " $3 " |"; print "| driver | " $2 " |" }'
        LD_LIBRARY_PATH=$libraries "$python" "$here/figures.py" versions | awk '{ print "| " $1 " | " $2 " |" }'
        echo "| processor | $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores visible |"
    } >"$work/header"

    for piece in "${pieces[@]}"; do
        echo "$(date -u +%H:%M:%S) $piece (at most ${limits[$piece]} s)"
        piece_deadline=$((SECONDS + limits[$piece])) failures=0 commands=
        deadline=$piece_deadline
        begin=$(date +%s.%N)
        : >"$work/figures"
        "piece_$piece"
        result=passed
        [ $failures -eq 0 ] || result="**$failures failures**"
        summary+="| $piece | $result | $(seconds_since "$begin") |"$'\n'
        bodies+=$'\n'"## $piece: $result"$'\n\n'"$(cat "$work/figures")"$'\n\n'
        bodies+='```'$'\n'"exit code time (s)  command"$'\n'"$commands"'```'$'\n'
        all_failures=$((all_failures + failures))
        write_output
        echo "         $result after $(seconds_since "$begin") s"
    done
    printf '%s' "$summary"
    echo "written: $output"
    [ $all_failures -eq 0 ]
}
main

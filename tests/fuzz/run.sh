#!/usr/bin/env bash
# Replays the corpus of fuzzing targets and then lets libFuzzer look for more; fails on any finding.
# Usage: tests/fuzz/run.sh [--build DIR] [--seconds N | --runs N] [--jobs N] [TARGET...]
#   --build DIR  where the targets were built (default build/fuzz/tests/fuzz)
#   --seconds N  time for each target after the replay (default 15)
#   --runs N     number of inputs for each target instead of a time
#   --jobs N     targets at a time (default 2)
# Without TARGET all of them run. What was found lies in DIR/findings/TARGET; README.md says what to do with it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$here/../../build/fuzz/tests/fuzz
limit=-max_total_time=15 jobs=2 targets=()
while [ $# -gt 0 ]; do
    case $1 in
        --build) build=$2; shift ;;
        --seconds) limit=-max_total_time=$2; shift ;;
        --runs) limit=-runs=$2; shift ;;
        --jobs) jobs=$2; shift ;;
        -*) sed -n '3,8s/^# //p' "$0" >&2; exit 2 ;;
        *) targets+=("$1") ;;
    esac
    shift
done
if [ ${#targets[@]} -eq 0 ]; then
    for source in "$here"/*.cpp; do
        targets+=("$(basename "$source" .cpp)")
    done
fi
# An allocation that is refused is what the parsers must prevent, so it is a finding; exceptions are how they refuse.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=0:handle_abort=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
# A slow input is ended by its target after a second of processor time; this limit is for waiting.
limits=(-timeout=20 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 -verbosity=1)

# Whether a finding lies in the HDF5 library: the stack leads there before it leads to us. See README.md.
is_of_library() {
    awk '/^ *#[0-9]+ / { if (/libhdf5/) found = 1; if (/ in ladle::/ || / in LLVMFuzzer/) exit } END { exit !found }' "$1"
}

# The library crashes and loops on some inputs; the target goes on behind them, and each is then looked at alone.
run_hdf5() {
    local target=$1 findings=$2 own=0 library=0 finding
    "$build/fuzz_$target" "${limits[@]}" -fork=1 -ignore_crashes=1 -ignore_timeouts=1 -ignore_ooms=1 \
        -artifact_prefix="$findings/" "$limit" "$build/corpus/$target" "$here/corpus/$target" \
        >"$build/$target.log" 2>&1 || { tail -n 40 "$build/$target.log"; return 1; }
    for finding in "$findings"/*; do
        [ -e "$finding" ] || continue
        if "$build/fuzz_$target" "${limits[@]}" "$finding" >"$build/$target.finding.log" 2>&1; then
            continue
        elif is_of_library "$build/$target.finding.log"; then
            library=$((library + 1))
        else
            own=$((own + 1))
            echo "$target: finding in $finding"
            grep -m 1 -A 12 'ERROR:\|runtime error\|check failed' "$build/$target.finding.log"
        fi
    done
    echo "$target: $(grep -o '^#[0-9]*' "$build/$target.log" | tail -n 1) inputs, $library crashed the library, $own are ours"
    [ $own -eq 0 ]
}

run_target() {
    local target=$1 findings=$build/findings/$1
    rm -rf "$findings" "$build/corpus/$target"
    mkdir -p "$findings" "$build/corpus/$target"
    if ! "$build/fuzz_$target" "${limits[@]}" -artifact_prefix="$findings/" -runs=0 "$here/corpus/$target" \
        >"$build/$target.log" 2>&1; then
        echo "$target: a file of the corpus fails"
        tail -n 40 "$build/$target.log"
        return 1
    fi
    if [ "$target" = hdf5 ]; then
        run_hdf5 "$target" "$findings"
        return
    fi
    if ! "$build/fuzz_$target" "${limits[@]}" -artifact_prefix="$findings/" "$limit" "$build/corpus/$target" \
        "$here/corpus/$target" >"$build/$target.log" 2>&1; then
        echo "$target: finding in $(ls "$findings"/*)"
        grep -m 1 -A 12 'ERROR:\|runtime error\|check failed' "$build/$target.log"
        return 1
    fi
    echo "$target: $(awk '/number_of_executed_units/ { print $2 }' "$build/$target.log") inputs, $(awk \
        '/peak_rss_mb/ { print $2 }' "$build/$target.log") MiB, nothing found"
}

failed=0 running=0
for target in "${targets[@]}"; do
    if [ $running -ge "$jobs" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    run_target "$target" &
    running=$((running + 1))
done
while [ $running -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
exit $failed

#!/usr/bin/env bash
# The long version of the tests that continuous integration runs with small counts: same bytes, and nothing lost.
# Usage: tests/soak.sh [BUILD_DIRECTORY]   (default build/release; as root, for mounts and emulated hosts)
# Environment: LADLE_KILLS (default 1000), LADLE_PAIRS (25), LADLE_ROUNDS (10), LADLE_FUZZ_INPUTS (1000000).
# Prints one line per part: how it ended, its time, and its figures. Put them with the date into CONTRIBUTING.md.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "${1:-$root/build/release}" && pwd) || exit 2
mpirun=$(command -v mpirun) || { echo "error: no mpirun" >&2; exit 2; }
programs=("$build/ladle" "$mpirun" "$build/tests/end_to_end/make_tiny_model" "$root/data/sample")
output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=0

# part NAME COMMAND...: code 77 means that something was left out
part() {
    local name=$1 start=$SECONDS code
    shift
    "$@" >"$output" 2>&1
    code=$?
    case $code in
        0) echo "passed   $name, $((SECONDS - start)) s" ;;
        77) echo "in part  $name, $((SECONDS - start)) s" ;;
        *) echo "FAILED   $name, exit code $code, $((SECONDS - start)) s"; failed=1 ;;
    esac
    grep -vE '^(0 failures|Running )|^$' "$output" | sed 's/^/           /' | tail -n 40
}

faults() {
    local script=$1
    shift
    python3 "$root/tests/faults/$script" "${programs[@]}" "$@"
}

echo "soak run of $("$build/ladle" --version | sed -n 's/^commit = //p') on $(date -u +%F), $(nproc) cores"
part "same bytes, fp32" faults same.py --precision fp32 --pairs "${LADLE_PAIRS:-25}" --seed 11
part "same bytes, bf16" faults same.py --precision bf16 --pairs "${LADLE_PAIRS:-25}" --seed 12
part "kills and crash points" faults kill.py --kills "${LADLE_KILLS:-1000}" --passes 0 --seed 13
part "deaths, hangs, signals, faulty memory" faults death.py --rounds "${LADLE_ROUNDS:-10}" --seed 14
part "cut link" faults hosts.py
part "full and read-only disk, damaged checkpoints" faults disk.py
part "damaged files" env LADLE_SOAK=1 "$build/tests/test_damage" --log_level=message --color_output=no
if [ -d "$root/build/fuzz/tests/fuzz" ]; then
    part "fuzzing" "$root/tests/fuzz/run.sh" --runs "${LADLE_FUZZ_INPUTS:-1000000}"
else
    echo "left out fuzzing: build it first (tests/fuzz/README.md)"
fi
exit $failed

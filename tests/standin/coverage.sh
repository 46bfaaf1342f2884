#!/bin/bash
# Line coverage of every .cu file by test_cuda and test_kernels on the stand-in; fails if a file is below 90 %.
# Usage: coverage.sh BUILD_DIRECTORY [-v]; a build with LADLE_GPU=standin. -v names the lines that did not run.
set -euo pipefail
least=90
build=$(cd "$1" && pwd)
verbose=${2:-}
cmake --build "$build" --target test_cuda_coverage test_kernels_coverage >/dev/null

# Counters would add up over runs.
counts=$(mktemp -d)
trap 'rm -rf "$counts"' EXIT
export GCOV_PREFIX=$counts LADLE_TEST_BACKEND=cuda LADLE_STANDIN_QUIET=1
"$build/tests/standin/instrumented/test_cuda_coverage" >"$counts/log" 2>&1 || { cat "$counts/log"; exit 1; }
"$build/tests/standin/instrumented/test_kernels_coverage" >"$counts/log" 2>&1 ||
    { cat "$counts/log"; exit 1; }
# gcov wants the notes of the compiler beside the counters.
find "$counts" -name '*.gcda' | while read -r counters; do
    note=${counters#"$counts"}
    cp "${note%.gcda}.gcno" "${counters%.gcda}.gcno"
done
python3 - "$counts" $least "$verbose" <<'PYTHON'
import collections, json, pathlib, subprocess, sys

counts, least, verbose = pathlib.Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
lines = collections.defaultdict(lambda: collections.defaultdict(int))
for counters in counts.rglob("*.gcda"):
    text = subprocess.run(["gcov", "--json-format", "--stdout", counters], check=True, capture_output=True).stdout
    for file in json.loads(text)["files"]:
        if "/backends/cuda/" in file["file"]:
            for line in file["lines"]:
                lines[pathlib.Path(file["file"]).name][line["line_number"]] += line["count"]
kernels = sorted(name for name in lines if name.endswith(".cu"))
low = [] if kernels else ["no .cu file at all"]
print(f"{'file':<24}{'lines':>7}{'run':>7}{'share':>9}")
for name in [*kernels, *sorted(set(lines) - set(kernels))]:
    run = sum(count > 0 for count in lines[name].values())
    share = 100 * run / len(lines[name])
    print(f"{name:<24}{len(lines[name]):>7}{run:>7}{share:>8.1f}%")
    if name in kernels and share < least:
        low.append(name)
    if verbose and share < 100:
        print("  not run:", *sorted(number for number, count in lines[name].items() if count == 0))
if low:
    sys.exit(f"below {least:.0f} %: {', '.join(low)}")
PYTHON

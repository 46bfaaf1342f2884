#!/bin/bash
# ladle doctor alone and on two ranks: findings, JSON, exit codes, and a directory left as it was.
# Usage: doctor.sh LADLE_PROGRAM MPIRUN
ladle=$1
mpirun=$2
work=$(mktemp -d)
log="$work.log"
trap 'rm -rf "$work" "$log"' EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $1"
    sed "s/^/  | /" "$log" | head -20
    failures=$((failures + 1))
}

timeout 60 "$ladle" doctor >"$log" 2>&1 || fail "alone: exit code $?"
grep -q "^note     PMIx: one rank, started without a launcher -> mpirun -n N" "$log" || fail "the launcher is not told"
[ "$(grep -cE '^(ok|note|warning|failure) ' "$log")" -eq "$(($(wc -l <"$log") - 1))" ] || fail "a finding has more lines"
timeout 60 "$mpirun" -n 2 "$ladle" doctor --cpu.threads 4000 >"$log" 2>&1 || fail "two ranks: exit code $?"
grep -q "MPI: .*2 ranks, a sum over them is right" "$log" || fail "two ranks are not seen"
grep -q "directory: all ranks see ." "$log" || fail "the directory is not tried"
grep -q "^warning  binding: .*2 ranks with 4000 threads each .*: more threads than cores -> " "$log" ||
    fail "too many threads are not noticed"
timeout 60 "$ladle" doctor --json >"$log" 2>&1 || fail "JSON: exit code $?"
python3 -c 'import json, sys; assert len(json.load(sys.stdin)["findings"]) > 8' <"$log" || fail "no JSON"
timeout 60 "$ladle" doctor --run.dir nowhere >"$log" 2>&1
[ $? -eq 4 ] || fail "a directory that is not there is no failure"
grep -q "^failure  files: .*nowhere.* -> choose" "$log" || fail "the directory is not named"
[ -z "$(ls -A)" ] || fail "something is left: $(ls -A)"
echo "$failures failures"
[ $failures -eq 0 ]

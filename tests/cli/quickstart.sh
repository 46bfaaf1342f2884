#!/usr/bin/env bash
# The quick start from preparation to export, offline with a tiny random encoder.
# Usage: quickstart.sh REPOSITORY LADLE_PROGRAM
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

LADLE_OFFLINE=1 LADLE=$2 LADLE_WORK=$work "$1/jobs/quickstart.sh" | tee "$work/out"

for file in data/train.h5 run/config.cfg run/manifest.json run/metrics.jsonl run/results.json run/best.h5 run/soup.h5 \
    run/pytorch/adapter_config.json run/report.html; do
    [ -s "$work/$file" ] || { echo "FAILED: $file is missing or empty"; exit 1; }
done
if grep -q $'\r' "$work/out"; then
    echo "FAILED: a progress bar in a pipe"
    exit 1
fi
for row in base 'expert 3' soup; do
    grep -qE "^$row +[01]\.[0-9]{4}" "$work/out" || { echo "FAILED: no score of $row"; exit 1; }
done
commands=$(sed -n '/^Try next/,$p' "$work/out" | tail -n +2)
while read -r line; do
    echo "\$ $line"
    (cd "$1" && bash -c "$line") || { echo "FAILED: the quick start names a command that does not work: $line"; exit 1; }
done <<<"$commands"

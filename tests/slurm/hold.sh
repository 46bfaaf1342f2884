#!/bin/bash
# Stands before `ladle train ... --run.dir DIR` in a job: freezes the run once, after its first 20 steps, until a signal
# comes. So a test decides when a run is interrupted, without guessing at its speed and without using the processor.
# Usage: hold.sh COMMAND...
directory=
for ((i = 1; i < $#; i++)); do
    [ "${!i}" != --run.dir ] || { next=$((i + 1)) directory=${!next}; }
done
[ ! -e "$directory.held" ] || exec "$@"

steps() { grep -c '"kind":"step"' "$directory/metrics.jsonl" 2>/dev/null; }

"$@" &
program=$!
trap 'kill -CONT $program; kill -USR1 $program' USR1 TERM
until [ "$(steps)" ] && [ "$(steps)" -ge 20 ]; do
    kill -0 $program 2>/dev/null || break
    sleep 0.1
done
kill -STOP $program
touch "$directory.held"
while kill -0 $program 2>/dev/null; do
    wait $program
done
wait $program

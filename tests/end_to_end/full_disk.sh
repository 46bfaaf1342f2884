#!/bin/bash
# A disk that is full during training: exit 74, nothing half-written, and with space again the same end.
# Usage: see common.sh. Exit code 77: no small file system can be mounted here.
source "$(dirname "$0")/common.sh"
mkdir disk
if ! mount -t tmpfs -o size=160k none disk 2>log; then
    echo "SKIPPED: $(head -n 1 log)"
    exit 77
fi
trap 'umount disk; rm -rf "$work"' EXIT
tiny_model model
tiny_shards shards model
options=(train --model.path model --data.dir shards --train.max_steps 12 --train.batch 16 --checkpoint.every_steps 2)

on_ranks 2 "${options[@]}" --run.dir disk/run
code=$?
[ $code -eq 74 ] || fail "exit code $code instead of 74"
[ "$(grep -c '^ladle: .*cannot write disk/run' log)" -eq 1 ] || fail "the error is not said once"
[ -z "$(find disk -name '*.ladle-tmp')" ] || fail "a temporary file was left: $(find disk -name '*.ladle-tmp')"
mount -o remount,size=16m disk
on_ranks 1 "${options[@]}" --run.dir disk/run || fail "exit code $? once there was space"
{ grep -q "resumed at step" log && ! grep -q "not resumed from" log; } || fail "a damaged checkpoint was left"
on_ranks 1 "${options[@]}" --run.dir whole || fail "the undisturbed run"
same_results whole disk/run || fail "the bytes differ from those of an undisturbed run"
finish

#!/bin/bash
# A sanitizer must report a planted mistake. Usage: expect_report.sh PROGRAM CASE PATTERN...
# Every pattern (extended regular expression) must be in the output and the program must fail; with the case "clean" it
# must end well and report nothing.
program=$1
name=$2
shift 2
export TSAN_OPTIONS="exitcode=66 $TSAN_OPTIONS" UBSAN_OPTIONS="print_stacktrace=1 halt_on_error=1 $UBSAN_OPTIONS"
output=$("$program" "$name" 2>&1)
code=$?
if [[ $name == clean ]]; then
    if ((code != 0)) || grep -qE 'Sanitizer|runtime error|\[standin\]' <<<"$output"; then
        echo "$output"
        echo "the clean program ended with $code and must report nothing"
        exit 1
    fi
    exit 0
fi
if ((code == 0)); then
    echo "$output"
    echo "$name was not reported"
    exit 1
fi
for pattern in "$@"; do
    if ! grep -qE "$pattern" <<<"$output"; then
        echo "$output"
        echo "the report of $name does not say: $pattern"
        exit 1
    fi
done

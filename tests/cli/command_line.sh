#!/bin/bash
# Command lines, right and wrong: exit codes and messages of the program and of every job that it lists.
# Usage: command_line.sh LADLE_PROGRAM
ladle=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $1"
    sed 's/^/  | /' "$work/out" "$work/err" | head -20
    failures=$((failures + 1))
}

# expect CODE TEXT WORDS...: ladle WORDS exits with CODE and says TEXT; errors have at most two lines
expect() {
    local code=$1 text=$2
    shift 2
    timeout 60 "$ladle" "$@" >"$work/out" 2>"$work/err"
    local got=$?
    [ $got -eq "$code" ] || fail "ladle $*: exit code $got, expected $code"
    cat "$work/out" "$work/err" | grep -qF -- "$text" || fail "ladle $*: does not say \"$text\""
    if [ "$code" -ne 0 ] && [ $# -gt 0 ]; then
        [ "$(wc -l <"$work/err")" -le 2 ] || fail "ladle $*: more than two lines"
        [ -s "$work/out" ] && fail "ladle $*: an error on standard output"
    fi
}

expect 0 "Exit codes:" --help
expect 0 "oneDNN" --version
expect 2 "Usage: ladle JOB"
expect 2 'unknown job "no-such-job"' no-such-job
expect 0 "complete -o default -F _ladle ladle" completion
cp out completion
bash -n completion || fail "the completion script has a syntax error"

jobs=$("$ladle" --help | sed -n '/^Jobs:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$jobs" ] || fail "no jobs are listed"
printf '[optim]\nlrr = 1\n' >misspelt.cfg
printf '[optim]\nlr = 1\nlr = 2\n' >twice.cfg
printf '[optim]\nlr = nan\n' >nan.cfg
printf '\x89HDF\r\n\x1a\n\0\0\0' >binary.cfg
for job in $jobs; do
    expect 0 "Usage: ladle $job" "$job" --help
    [ "$(sed -n '/^Examples:/,$p' out | grep -c "^  .*ladle $job")" -ge 2 ] || fail "$job: fewer than two examples"
    # Every line of an option starts a sentence.
    grep -E '^  --' out | grep -vE '^  --[^ ]+( [^ ]+)?( {2,}[A-Z].*)?$' >bad && fail "$job: $(cat bad)"
    grep -E 'epoches|batchs' out && fail "$job: a plural of the help is wrong"
    awk 'length > 120' out | grep -q . && fail "$job: help lines beyond 120 columns"
    expect 2 'unknown option --no-such-option' "$job" --no-such-option 1
    expect 2 'did you mean "print-config"?' "$job" --print-confg
    expect 2 'unexpected word "-x"' "$job" -x
    expect 2 'did you mean "optim.lr"?' "$job" --config misspelt.cfg
    expect 2 'misspelt.cfg' "$job" --config misspelt.cfg
    expect 2 'optim.lr is set twice' "$job" --config twice.cfg
    expect 2 'optim.lr = "nan" in the file nan.cfg' "$job" --config nan.cfg
    expect 2 'binary.cfg' "$job" --config binary.cfg
    expect 2 'cannot read config file absent.cfg' "$job" --config absent.cfg
    expect 2 'cannot read config file .' "$job" --config .
    # The printed config, fed back, gives the same values.
    expect 0 "" "$job" --print-config
    sed 's/ *#.*//' out >printed.cfg
    expect 0 "" "$job" --config printed.cfg --print-config
    sed 's/ *#.*//' out | diff printed.cfg - >/dev/null || fail "$job: the printed config does not read back"
    # Nothing was written by all this.
    [ "$(ls | sort | tr '\n' ' ')" = "bad binary.cfg completion err misspelt.cfg nan.cfg out printed.cfg twice.cfg " ] ||
        fail "$job: files were left: $(ls)"
    # Completion offers the job's options and the words of those that have them.
    offered=$(bash -c 'source completion; COMP_WORDS=(ladle '"$job"' --h); COMP_CWORD=2; _ladle; echo "${COMPREPLY[@]}"')
    [ "$offered" = "--help" ] || fail "$job: completion offers \"$offered\""
done

echo "$failures failures"
[ $failures -eq 0 ]

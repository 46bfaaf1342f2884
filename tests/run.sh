#!/usr/bin/env bash
# Installs what is missing, configures, builds and runs every test this machine can run; ends with ctest's summary.
# Usage: tests/run.sh [--pytorch] [--slurm] [--browser] [--werror]
#        [--sanitize | --standin | --fuzz | --lint | --cuda | --gpu]
#        [-- ctest arguments, or with --gpu pieces of tests/gpu/evidence.sh]
#   --pytorch   also the round trips through PyTorch and the Python libraries adapters and peft (several GB of packages)
#   --slurm     also a Slurm cluster of four nodes on this machine (as root; two to four minutes)
#   --browser   also reports in a real browser (installs chromium; where it is there already, they run anyway)
#   --sanitize  a build with address and undefined-behaviour sanitizers; unit, gradient, kernel and stand-in tests only
#   --standin   a build of the CUDA code for the processor; the tests of that code only. Needs the headers of the CUDA
#               Toolkit with NVTX, cuDNN and NCCL (in /usr/local/cuda or CUDAToolkit_ROOT), no GPU
#   --fuzz      a build with clang; the corpus of every parser is replayed, then each is fuzzed for 15 s
#   --lint      formatting of all files and clang-tidy over the sources; nothing is built or run
#   --cuda      ladle with CUDA, built by nvcc and linked with its libraries; what its kernels take of a GPU against
#               tests/cuda/registers.txt. Needs the CUDA Toolkit and NCCL, no GPU; nothing runs on one
#   --gpu       a build with CUDA; what only a GPU can show is run and written to tests/evidence/DATE-GPU.md (ten to
#               twenty minutes; --pytorch installs PyTorch to be compared with). Without a GPU: exit code 77
#   --werror    warnings of the compiler are errors
# Environment: LADLE_GLUE_DIR (default ../shared/data/glue), LADLE_MATH_DIR (default ../shared/data/math),
# LADLE_SMOLLM2_GGUF, LADLE_FIXTURES, LADLE_TOKENS, LADLE_JOBS (default: cores).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=jobs/packages.sh
source jobs/packages.sh

pytorch=no slurm=no browser=no sanitize=no standin=no fuzz=no lint=no cuda=no gpu=no werror=OFF
while [ $# -gt 0 ]; do
    case $1 in
        --pytorch) pytorch=yes ;;
        --slurm) slurm=yes ;;
        --browser) browser=yes ;;
        --sanitize) sanitize=yes ;;
        --standin) standin=yes ;;
        --fuzz) fuzz=yes ;;
        --lint) lint=yes ;;
        --cuda) cuda=yes ;;
        --gpu) gpu=yes ;;
        --werror) werror=ON ;;
        --) shift; break ;;
        *) sed -n '3,20s/^# //p' "$0" >&2; exit 2 ;;
    esac
    shift
done
jobs=${LADLE_JOBS:-$(nproc)}

# make_venv DIRECTORY CHECK PACKAGE...: a virtual environment in which the Python line CHECK passes; kept between runs.
make_venv() {
    local directory=$1 check=$2
    shift 2
    "$directory/bin/python" -c "$check" 2>/dev/null && return 0
    echo "making $directory: $*"
    [ -x "$directory/bin/python" ] || python3 -m venv "$directory" || return 1
    if [ -n "${borrowed:-}" ]; then
        # torch is big: this environment takes what it lacks from the first one.
        echo "$borrowed" >"$("$directory/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth"
    fi
    "$directory/bin/python" -m pip install --quiet "$@" && "$directory/bin/python" -c "$check"
}

# make_venvs: the Python environments: base (torch, transformers), adapters and peft (what they lack comes from base).
make_venvs() {
    borrowed='' make_venv build/venv-base \
        'import torch, safetensors, h5py, scipy, tokenizers, transformers; assert transformers.__version__ == "5.23.0"' \
        torch transformers==5.23.0 safetensors h5py scipy tokenizers || return 1
    local borrowed
    borrowed=$(build/venv-base/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') || return 1
    make_venv build/venv-adapters \
        'import adapters, transformers; assert transformers.__version__ == "4.57.6"' \
        adapters==1.3.0 transformers==4.57.6 || return 1
    make_venv build/venv-peft \
        'import peft, transformers; assert (peft.__version__, transformers.__version__) == ("0.21.2", "5.23.0")' \
        peft==0.21.2
}

if [ $fuzz = yes ]; then
    install_missing "${program_packages[@]}" "${test_packages[@]}" "${fuzz_packages[@]}"
    cmake --preset fuzz "-DLADLE_WERROR=$werror"
    cmake --build --preset fuzz --parallel "$jobs"
    exec ctest --preset fuzz "$@"
fi

if [ $lint = yes ]; then
    install_missing "${program_packages[@]}" "${test_packages[@]}" "${lint_packages[@]}"
    cmake --preset release -DLADLE_TESTS=ON
    cmake --build --preset release --target ladle_commit
    exec tests/lint.sh build/release
fi

# find_nvcc: puts it into PATH; fails where there is none.
find_nvcc() {
    export PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
    command -v nvcc >/dev/null
}

# build_for_gpus: see --cuda
build_for_gpus() {
    if ! find_nvcc; then
        echo "SKIPPED: no nvcc here (set CUDA_HOME), so nothing was built for GPUs"
        exit 77
    fi
    install_missing "${program_packages[@]}"
    local directory=build/cuda-check
    cmake --preset cuda -B $directory -DLADLE_TESTS=OFF "-DLADLE_WERROR=$werror" -DCMAKE_CUDA_FLAGS=-Xptxas=-v
    # Only what is compiled says what it takes.
    find $directory -name '*.cu.o' -delete
    if ! cmake --build $directory --target ladle --parallel "$jobs" >$directory/ptxas.log 2>&1; then
        tail -n 60 $directory/ptxas.log >&2
        exit 1
    fi
    tests/cuda/registers.py $directory/ptxas.log
    local libraries
    libraries=$(ldd $directory/ladle)
    if ! grep -q 'libnccl.* => /' <<<"$libraries"; then
        echo "error: $directory/ladle is not linked with NCCL" >&2
        echo "  fix: install it, or set NCCL_ROOT to the folder with its lib and include" >&2
        exit 1
    fi
    if nvidia-smi -L >/dev/null 2>&1; then
        echo "SKIPPED: what ladle says without a driver; there is one here"
    else
        must_refuse_gpus $directory
    fi
}

# must_refuse_gpus BUILD: without a driver the program starts, says what is missing and ends with exit code 4.
must_refuse_gpus() {
    local code=0 answer
    echo 8 8 8 8 8 8 8 8 >"$1/lengths.txt"
    answer=$("$1/ladle" bench step --train.device cuda --dims minilm --steps 2 --train.batch 4 \
            --lengths "$1/lengths.txt" 2>&1) || code=$?
    if [ $code -ne 4 ] || ! grep -q "no NVIDIA driver" <<<"$answer"; then
        echo "error: without a driver, ladle ended with $code instead of 4: $answer" >&2
        exit 1
    fi
    echo "without a driver ladle starts and says: ${answer%%$'\n'*}"
}
if [ $cuda = yes ]; then
    build_for_gpus
    exit 0
fi

# run_evidence PIECE...: see --gpu
run_evidence() {
    if ! nvidia-smi -L >/dev/null 2>&1; then
        echo "SKIPPED: no NVIDIA GPU can be used here (nvidia-smi -L finds none), so nothing was built or run"
        exit 77
    fi
    if ! find_nvcc; then
        echo "error: a GPU, but no nvcc: install NVIDIA's CUDA Toolkit with cuBLAS and NCCL, or set CUDA_HOME" >&2
        exit 2
    fi
    install_missing "${program_packages[@]}" "${model_packages[@]}" "${test_packages[@]}"
    cmake --preset cuda -DLADLE_TESTS=ON "-DLADLE_WERROR=$werror"
    cmake --build --preset cuda --parallel "$jobs"
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

    local glue=${LADLE_GLUE_DIR:-$root/../shared/data/glue} work=build/evidence output
    mkdir -p $work tests/evidence
    output=$work/$(date -u +%Y-%m-%d)-GPU.md
    if [ -z "${LADLE_EVIDENCE_DATA:-}" ] && LADLE_EVIDENCE_MODEL=$(jobs/fetch_minilm.sh "$root/build/cache"); then
        export LADLE_EVIDENCE_MODEL
        if [ -d "$glue/MRPC" ]; then
            export LADLE_EVIDENCE_DATA=$work/mrpc
            build/cuda/ladle prepare --data.task mrpc --data.source "$glue/MRPC" --model.path "$LADLE_EVIDENCE_MODEL" \
                --data.dir $work/mrpc
        else
            export LADLE_EVIDENCE_DATA=$work/sample
            build/cuda/ladle prepare --data.task sample --train-file data/sample/train.tsv \
                --validation-file data/sample/dev.tsv --model.path "$LADLE_EVIDENCE_MODEL" --data.dir $work/sample
        fi
    fi
    [ $pytorch = yes ] && make_venvs
    if [ -z "${LADLE_EVIDENCE_PYTHON:-}" ] && [ -x build/venv-base/bin/python ]; then
        export LADLE_EVIDENCE_PYTHON=$root/build/venv-base/bin/python
    fi
    local code=0
    tests/gpu/evidence.sh build/cuda "$output" "$@" || code=$?
    cp "$output" tests/evidence/
    echo "to be committed: tests/evidence/$(basename "$output")"
    exit $code
}
if [ $gpu = yes ]; then
    run_evidence "$@"
fi

packages=("${program_packages[@]}" "${model_packages[@]}" "${test_packages[@]}")
[ $pytorch = yes ] && packages+=("${pytorch_packages[@]}")
[ $slurm = yes ] && packages+=("${slurm_packages[@]}")
[ $browser = yes ] && packages+=("${browser_packages[@]}")
install_missing "${packages[@]}"

preset=release
[ $sanitize = yes ] && preset=asan
[ $standin = yes ] && preset=standin
options=(-DLADLE_TESTS=ON "-DLADLE_WERROR=$werror")

skipped=() failed=0
if [ $sanitize = yes ] || [ $standin = yes ]; then
    toolkit=${CUDAToolkit_ROOT:-/usr/local/cuda}/include
    if [ -e "$toolkit/cuda_runtime.h" ] && [ -e "$toolkit/nvtx3/nvToolsExt.h" ]; then
        options+=(-DLADLE_GPU=standin)
    elif [ $standin = yes ]; then
        echo "SKIPPED: no headers of the CUDA Toolkit here (set CUDAToolkit_ROOT), so nothing was built or run"
        exit 77
    else
        options+=(-DLADLE_GPU=off)
        skipped+=("the CUDA code on the processor: no headers of the CUDA Toolkit (set CUDAToolkit_ROOT)")
    fi
fi
if [ $slurm = yes ]; then
    options+=(-DLADLE_SLURM_TESTS=ON)
    [ "$(id -u)" -eq 0 ] || skipped+=("a Slurm cluster on this machine: needs root")
else
    skipped+=("a Slurm cluster on this machine: only with --slurm")
fi
if [ $pytorch = yes ]; then
    if make_venvs; then
        options+=("-DLADLE_PYTHON=$root/build/venv-base/bin/python"
            "-DLADLE_PYTHON_ADAPTERS=$root/build/venv-adapters/bin/python"
            "-DLADLE_PYTHON_PEFT=$root/build/venv-peft/bin/python")
    else
        skipped+=("round trips through PyTorch: their Python packages could not be installed; the result is a failure")
        failed=1
    fi
else
    skipped+=("round trips through PyTorch: only with --pytorch")
fi
command -v chromium >/dev/null || skipped+=("reports in a browser: no chromium; --browser installs it")

targets=()
if [ $standin = yes ]; then
    targets=(--target ladle make_tiny_model ladle_range_log test_cuda test_kernels test_oracle tests/standin/all
        tests/standin/instrumented/all)
fi
cmake --preset $preset "${options[@]}"
cmake --build --preset $preset --parallel "$jobs" "${targets[@]}"

# What the tests find in their environment.
export LADLE_GLUE_DIR=${LADLE_GLUE_DIR:-$root/../shared/data/glue}
[ -d "$LADLE_GLUE_DIR" ] || skipped+=("tests on real GLUE files: no $LADLE_GLUE_DIR (set LADLE_GLUE_DIR)")
export LADLE_MATH_DIR=${LADLE_MATH_DIR:-$root/../shared/data/math}
[ -d "$LADLE_MATH_DIR" ] || skipped+=("a test on published math files: no $LADLE_MATH_DIR (set LADLE_MATH_DIR)")
if [ $pytorch = yes ] && [ -z "${LADLE_SMOLLM2_GGUF:-}" ]; then
    LADLE_SMOLLM2_GGUF=$(jobs/fetch_smollm2.sh "$root/build/cache") || LADLE_SMOLLM2_GGUF=
fi
if [ -n "${LADLE_SMOLLM2_GGUF:-}" ]; then
    export LADLE_SMOLLM2_GGUF
else
    unset LADLE_SMOLLM2_GGUF
    skipped+=("SmolLM2 and its tokenizer: --pytorch fetches it (93 MB), or set LADLE_SMOLLM2_GGUF to its GGUF file")
fi
if LADLE_MINILM_DIR=$(jobs/fetch_minilm.sh "$root/build/cache"); then
    export LADLE_MINILM_DIR
else
    unset LADLE_MINILM_DIR
    skipped+=("tests on the pretrained MiniLM: it could not be fetched (message above)")
fi
command -v nvidia-smi >/dev/null && skipped+=("what only a GPU can show: only with --gpu")
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1

selection=()
if [ $sanitize = yes ]; then
    # The libraries underneath keep memory until the end; errors in our own use of memory are what is looked for.
    export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    # Whole trainings on the stand-in take too long with sanitizers.
    selection=(-L 'unit|gradient|kernel|standin' -E 'standin_(training|devices)|kernels_cuda_orders')
    skipped+=("with sanitizers only tests labelled unit, gradient, kernel or standin run, and no trainings")
elif [ $standin = yes ]; then
    selection=(-L standin)
fi
for line in "${skipped[@]}"; do
    echo "not run: $line"
done
ctest --preset $preset --parallel "$jobs" "${selection[@]}" "$@" || failed=1
exit $failed

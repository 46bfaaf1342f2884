#!/usr/bin/env bash
# Packs a build with LADLE_GPU=cuda and LADLE_MPI=off with all that tests/gpu/evidence.sh needs on a bare machine with a
# GPU: programs, the libraries they load, fixtures, scripts, configs, a backbone and prepared shards.
# Usage: tests/gpu_bundle.sh BUILD_DIR OUTPUT_DIR [MODEL_DIR DATA_DIR...]
#   OUTPUT_DIR  receives ladle-gpu.tar.xz (below 57 MiB, or the script fails) and the tree it was made from
#   MODEL_DIR   a backbone with model.safetensors; its fp32 tensors are stored as fp16
#   DATA_DIR    shards prepared for it, named as their task; several, of which the first is trained on
# The machine needs NVIDIA's driver, CUDA's runtime, cuBLASLt, cuDNN and NCCL (from the toolkit or from Python
# packages), python3, and a glibc at least as new as this machine's. There:
#   python3 -m tarfile -e ladle-gpu.tar.xz . && ladle-gpu/tests/gpu/evidence.sh ladle-gpu evidence.md
# The archive holds the data given: whose licence forbids passing it on, keep the archive to yourself.
# Environment: LADLE_EVIDENCE_PYTHON (a Python with numpy, for fp16, and with h5py, for lengths; default python3).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ $# -lt 2 ] || [ $# -eq 3 ] || [ ! -x "$1/ladle" ]; then
    sed -n '2,12s/^# //p' "$0" >&2
    exit 2
fi
build=$(cd "$1" && pwd)
mkdir -p "$2"
output=$(cd "$2" && pwd)
shift 2
python=${LADLE_EVIDENCE_PYTHON:-python3}
limit_bytes=$((57 * 1024 * 1024))
bundle=$output/ladle-gpu
rm -rf "$bundle"
mkdir -p "$bundle/tests/end_to_end" "$bundle/lib/runtime"

if ldd "$build/ladle" | grep -q libmpi; then
    echo "note: this build uses MPI, whose libraries need more than is packed here; configure with -DLADLE_MPI=OFF" >&2
fi
ldd "$build/ladle" | grep -q libcudart ||
    echo "note: this build has no CUDA (LADLE_GPU is not cuda): good for trying this script, not for a GPU" >&2

# ---- Programs.
programs=(ladle)
for program in test_kernels test_oracle test_cuda test_device end_to_end/make_tiny_model; do
    [ -x "$build/tests/$program" ] && programs+=("tests/$program")
done
for program in "${programs[@]}"; do
    cp "$build/$program" "$bundle/$program"
    strip "$bundle/$program"
done

# ---- Libraries: the closure without glibc, the driver and CUDA. The C++ runtime goes apart: evidence.sh uses it only
# where the machine has none of its own.
of_machine='/lib(c|m|dl|rt|pthread|resolv|util|nsl|anl|BrokenLocale|thread_db|mvec)\.so|/ld-linux|linux-vdso'
of_cuda='/lib(cuda|cudart|cublas|cublasLt|cudnn[a-z_]*|nccl|nvrtc|nvJitLink|nvidia-ml|nvToolsExt)\.so'
of_runtime='/lib(stdc\+\+|gcc_s|gomp|atomic|quadmath)\.so'
for program in "${programs[@]}"; do
    ldd "$build/$program"
done >"$output/ldd"
if grep -E 'not found' "$output/ldd" | grep -vE 'lib(cuda|cublas|cudnn|nccl)'; then
    echo "error: libraries of this build are not found here (above)" >&2
    exit 1
fi
sed -n 's/.*=> \(\/[^ ]*\) (.*/\1/p' "$output/ldd" | sort -u | grep -vE "$of_machine" | grep -vE "$of_cuda" |
    while IFS= read -r library; do
        if [[ $library =~ $of_runtime ]]; then
            cp -L "$library" "$bundle/lib/runtime/"
        else
            cp -L "$library" "$bundle/lib/"
        fi
    done
rm "$output/ldd"
chmod u+w "$bundle"/lib/*.so* "$bundle"/lib/runtime/*
strip --strip-unneeded "$bundle"/lib/*.so* 2>/dev/null || true

# ---- Scripts, fixtures, configs, the sample task.
git -C "$root" describe --always --dirty --abbrev=12 >"$bundle/commit"
(cd "$root" && tar -cf - --exclude=__pycache__ --exclude=meta_tiny tests/gpu tests/bench tests/fixtures/{adamix,adakron,lora,moa} configs data/sample) | tar -xf - -C "$bundle"

# ---- Backbone and shards.
if [ $# -ge 2 ]; then
    model=$1
    shift
    mkdir -p "$bundle/model" "$bundle/data" "$bundle/lengths"
    cp "$model/config.json" "$bundle/model/"
    for file in vocab.txt vocab.json merges.txt; do
        [ -e "$model/$file" ] && cp "$model/$file" "$bundle/model/"
    done
    "$python" "$root/tests/gpu/to_fp16.py" "$model/model.safetensors" "$bundle/model/model.safetensors"
    for data in "$@"; do
        task=$(basename "$data")
        mkdir "$bundle/data/$task"
        cp "$data/train.h5" "$data/validation.h5" "$bundle/data/$task/"
        "$python" "$root/tests/gpu/figures.py" lengths "$data/train.h5" >"$bundle/lengths/$task.txt" 2>/dev/null || {
            rm "$bundle/lengths/$task.txt"
            echo "note: no lengths of $task as text, $python has no h5py; the piece torch needs it there" >&2
        }
    done
    if [ ! -e "$bundle/data/mrpc" ]; then
        echo "note: there LADLE_EVIDENCE_DATA=ladle-gpu/data/$(basename "$1") names the data to train on" >&2
    fi
fi

archive=$output/ladle-gpu.tar.xz
# Programs share much of their code, so they come together under a large dictionary; weights have no repetitions, only a
# pattern of two bytes. Both parts are streams of one file.
pack() { tar -C "$output" --owner=0 --group=0 --numeric-owner --blocking-factor=1 --no-recursion -cf - "$@"; }
mapfile -t files < <(cd "$output" && find ladle-gpu -path ladle-gpu/model -prune -o -print | LC_ALL=C sort |
    awk -F/ '{ print ($2 == "lib" ? 2 : $2 == "data" ? 3 : 1) "\t" $0 }' | sort -s -n -k 1,1 | cut -f 2)
weights=()
[ -d "$bundle/model" ] && mapfile -t weights < <(cd "$output" && find ladle-gpu/model | LC_ALL=C sort)
end_blocks=1024 # of an archive
first_bytes=$(($(pack "${files[@]}" | wc -c) - end_blocks))
{
    pack "${files[@]}" | { head -c "$first_bytes"; cat >/dev/null; } | xz -T1 --x86 --lzma2=preset=6,dict=32MiB
    pack "${files[@]}" "${weights[@]}" | tail -c "+$((first_bytes + 1))" | xz -T1 --lzma2=preset=6,lc=0,lp=1,pb=1
} >"$archive"
bytes=$(stat -c %s "$archive")
du -sb --apparent-size "$bundle"/* | awk '{ n = split($2, p, "/"); printf "%-10s %7.1f MiB\n", p[n], $1 / 1048576 }'
awk -v b="$bytes" -v f="$archive" 'BEGIN { printf "%s: %.1f MiB\n", f, b / 1048576 }'
if [ "$bytes" -gt $limit_bytes ]; then
    echo "error: the archive is larger than $((limit_bytes / 1048576)) MiB" >&2
    exit 1
fi

#!/bin/bash
# An include may only point downward (CONTRIBUTING.md, layers). Usage: layering.sh REPOSITORY
cd "$1" || exit 1

# folder -> folders that it may include, besides itself
declare -A below=(
    [core]=""
    [config]="core"
    [comm]="core"
    [text]="core"
    [tasks]="core"
    [backends]="core"
    [routers]="backends core"
    [layers]="backends core"
    [adapters]="routers layers backends core"
    [models]="adapters routers layers backends core"
    [optim]="backends core"
    [io]="adapters routers layers backends core"
    [data]="io text tasks core"
)
below[train]="models adapters routers layers backends tasks optim io data text comm config core"
below[bench]="train ${below[train]}"
below[research]="train ${below[train]}"
below[jobs]="research bench train ${below[train]}"

# library header -> folders that may include it
declare -A homes=(
    [mpi.h]="src/comm"
    [hdf5.h]="src/io src/data include/ladle/io include/ladle/data"
    ["oneapi/dnnl"]="src/backends"
    [dnnl]="src/backends"
    [cuda]="src/backends/cuda src/comm/nccl.cpp"
    [cublas]="src/backends/cuda"
    [cudnn]="src/backends/cuda"
    [nccl]="src/comm/nccl.cpp"
    [nvtx3]="src/backends/cuda"
)

failures=0
fail() {
    echo "$1"
    failures=$((failures + 1))
}

while IFS=: read -r file line text; do
    folder=${file#src/}
    folder=${folder#include/ladle/}
    folder=${folder%%/*}
    target=$(sed -E 's/^ *# *include *["<]([^">]*)[">].*/\1/' <<<"$text")
    case $target in
        ladle/*)
            target=${target#ladle/}
            target=${target%%/*}
            if [ -z "${below[$folder]+known}" ]; then
                fail "$file:$line: the folder $folder has no place in the layers"
            elif [ "$target" != "$folder" ] && ! grep -qw -- "$target" <<<"${below[$folder]}"; then
                fail "$file:$line: $folder includes $target, which is not below it"
            fi
            ;;
        *../*) fail "$file:$line: include $target by its path below include/ instead" ;;
        *)
            for header in "${!homes[@]}"; do
                [[ $target == "$header"* ]] || continue
                allowed=0
                for home in ${homes[$header]}; do
                    [[ $file == "$home"* ]] && allowed=1
                done
                [ $allowed -eq 1 ] || fail "$file:$line: only ${homes[$header]} may include <$target>"
            done
            ;;
    esac
done < <(grep -rnE '^ *# *include' src include/ladle jobs --include='*.cpp' --include='*.hpp' --include='*.cu')

# Library code neither prints nor exits; the training loop and the watchdog do, and the child process of run_limited.
while IFS= read -r hit; do
    fail "$hit: library code does not print or exit"
done < <(grep -rnE 'std::c(out|err)|\b(printf|fprintf|puts|fputs|fmt::print|std::exit|_exit|abort)\(' src \
    --include='*.cpp' --include='*.hpp' --include='*.cu' | grep -vE '^src/((train|comm)/|io/run_limited.cpp)' | grep -vE ':[0-9]+: *//' | cut -d: -f1,2)

# Kernels are started by launch() alone, which the stand-in needs (src/backends/cuda/launch.hpp).
while IFS= read -r hit; do
    fail "$hit: kernels are started by launch()"
done < <(grep -rnE '<<<|asm( volatile)? *\(' src --include='*.cu' --include='*.cuh' | cut -d: -f1,2)

[ $failures -eq 0 ] && echo "all includes point downward"
[ $failures -eq 0 ]

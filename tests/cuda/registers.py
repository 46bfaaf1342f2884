#!/usr/bin/env python3
"""What every CUDA kernel takes of a multiprocessor, against a budget.

    tests/cuda/registers.py LOG [--table tests/cuda/registers.txt] [--write]

LOG is the output of a build with `-Xptxas=-v` (`tests/run.sh --cuda` makes one). The table has a line per kernel: the
most registers of a thread, named barriers and bytes of static shared memory over all architectures and instances of a
template. More than the table says, a kernel that it lacks, one that is gone and an architecture that was not built are
errors; --write makes the table anew. Another release of nvcc counts otherwise, so it is named in the table.
"""

import argparse
import collections
import pathlib
import re
import subprocess
import sys

ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\w+)'")
USED = re.compile(r"Used (\d+) registers(?:, used (\d+) barriers)?")
SHARED = re.compile(r"(\d+) bytes smem")
HEADER = """\
# Of every CUDA kernel, over all architectures and instances: registers per thread, named barriers, bytes of static
# shared memory. tests/run.sh --cuda fails where a kernel takes more; tests/cuda/registers.py --write makes it anew.
"""
COLUMNS = ("registers", "barriers", "shared")


def kernel_names(mangled):
    """Names without namespaces, template arguments and parameters."""
    text = subprocess.run(["c++filt"], input="\n".join(mangled), check=True, capture_output=True, text=True).stdout
    names = {}
    for symbol, name in zip(mangled, text.splitlines()):
        found = re.search(r"kernels::(?:\(anonymous namespace\)::)?(\w+)", name)
        if not found:
            sys.exit(f"error: kernel {name} is not in the namespace kernels")
        names[symbol] = found.group(1)
    return names


def measured(log):
    """kernel -> (registers, barriers, shared bytes), and the architectures seen in words."""
    usage = []
    entry = None
    for line in log.splitlines():
        if match := ENTRY.search(line):
            entry = match.groups()
        elif (match := USED.search(line)) and entry:
            shared = SHARED.search(line)
            usage.append((*entry, int(match[1]), int(match[2] or 0), int(shared[1]) if shared else 0))
            entry = None
    if not usage:
        sys.exit("error: the log has no lines of `ptxas -v`: build everything with -DCMAKE_CUDA_FLAGS=-Xptxas=-v")
    names = kernel_names(sorted({symbol for symbol, *_ in usage}))
    most = collections.defaultdict(lambda: (0, 0, 0))
    for symbol, _, *numbers in usage:
        most[names[symbol]] = tuple(map(max, most[names[symbol]], numbers))
    numbers = sorted({int(architecture) for _, architecture, *_ in usage})
    return dict(most), " ".join(f"sm_{number}" for number in numbers)


def nvcc_release():
    text = subprocess.run(["nvcc", "--version"], check=True, capture_output=True, text=True).stdout
    return re.search(r"release ([\d.]+)", text)[1]


def read_table(path):
    """The table, and the nvcc and the architectures that it was made with."""
    text = path.read_text()
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    made = re.search(r"^# Made by nvcc (\S+) for (.*)\.$", text, re.MULTILINE)
    return {name: tuple(map(int, numbers)) for name, *numbers in lines[1:]}, made[1], made[2]


def write_table(path, kernels, release, architectures):
    width = max(map(len, kernels))
    rows = [("kernel", *COLUMNS), *((name, *kernels[name]) for name in sorted(kernels))]
    lines = [f"{name:<{width}} {a:>9} {b:>8} {c:>6}\n" for name, a, b, c in rows]
    path.write_text(HEADER + f"# Made by nvcc {release} for {architectures}.\n" + "".join(lines))


def findings(kernels, budget):
    for name in sorted(kernels.keys() | budget.keys()):
        if name not in budget:
            yield f"{name}: not in the table"
        elif name not in kernels:
            yield f"{name}: in the table, but there is no such kernel"
        else:
            for what, used, most in zip(COLUMNS, kernels[name], budget[name]):
                if used > most:
                    yield f"{name}: {what} {used}, the table has {most}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=pathlib.Path)
    parser.add_argument("--table", type=pathlib.Path, default=pathlib.Path(__file__).with_name("registers.txt"))
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    kernels, architectures = measured(arguments.log.read_text())
    release = nvcc_release()
    if arguments.write:
        write_table(arguments.table, kernels, release, architectures)
        return
    budget, table_release, table_architectures = read_table(arguments.table)
    found = list(findings(kernels, budget))
    if architectures != table_architectures:
        found.append(f"built for {architectures}, the table is for {table_architectures}")
    for line in found:
        print(f"error: {line}", file=sys.stderr)
    if found and release != table_release:
        print(f"this is nvcc {release}, the table was made with {table_release}", file=sys.stderr)
    if found:
        sys.exit("fix: let the kernel take less, or accept it: tests/cuda/registers.py LOG --write")
    print(f"{len(kernels)} kernels for {architectures}: no more registers, barriers or shared memory "
          "than their table says")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Where the processor time of training steps goes, by kind of work (needs Linux perf).

    tests/bench/step_profile.py [words of `ladle bench step`, e.g. --lengths data/rte/train.h5 --model.precision bf16]

Runs the step under perf's clock sampling and sums samples by function. Setting up and measuring the machine's peak are
left out. Code that oneDNN generates has no names: it is the products of frozen and adapter weights.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

LADLE = os.environ.get("LADLE", str(pathlib.Path(__file__).resolve().parents[2] / "build" / "release" / "ladle"))

# The first group whose pattern is found in "<library> <function>" takes the sample.
LEFT_OUT = r"peak|random_|philox4x32|Sums::|read_|parse|Digest|sha256|SHA256|_dl_|ld-linux|NamedTensors|Tensor::"
GROUPS = [
    ("products of frozen and adapter weights", r"^\[JIT\]|libdnnl|dnnl|matmul|::Products|BlockProduct|block_product"),
    ("GELU", r"gelu"),
    ("conversion to bf16", r"to_bfloat16"),
    ("norm, dropout, residual", r"residual_norm|norm_row|dropout|embed"),
    ("adapter weight gradients", r"add_weight_gradient|add_column_sums|product_rows<[^>]*Exact|small_product<[^>]*Exact"),
    ("attention", r"attention|attend|softmax|block_factors|product_rows|small_product|copy_transposed"),
    ("exact sums, update", r"fixed_point|sum_of_squares|adamw|AdamW|all_reduce"),
    ("additions and copies of rows", r"avx\w*::add\b|::add\b|scatter|gather|memmove|memset|memcpy"),
    ("system: page faults, scheduling", r"^\[kernel"),
]


def functions(data):
    """(samples, "<library> <function>") of a perf file."""
    report = subprocess.run(
        ["perf", "report", "-i", data, "--stdio", "--no-children", "-F", "sample,dso,symbol", "-t", ";"],
        check=True, capture_output=True, text=True).stdout
    for line in report.splitlines():
        fields = [field.strip() for field in line.split(";")]
        if len(fields) >= 3 and fields[0].isdigit():
            symbol = fields[2].removeprefix("[.] ").removeprefix("[k] ")
            yield int(fields[0]), f"{fields[1]} {symbol}"


def main():
    with tempfile.TemporaryDirectory() as directory:
        data = os.path.join(directory, "perf.data")
        subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "-o", data, LADLE, "bench", "step",
                        *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL)
        sums = {name: 0 for name, _ in GROUPS}
        sums["the rest"] = 0
        rest = []
        for samples, function in functions(data):
            if re.search(LEFT_OUT, function):
                continue
            name = next((name for name, pattern in GROUPS if re.search(pattern, function)), "the rest")
            sums[name] += samples
            if name == "the rest":
                rest.append((samples, function))
    total = sum(sums.values())
    for name, samples in sorted(sums.items(), key=lambda item: -item[1]):
        print(f"{name:<42}{100 * samples / total:6.1f} %")
    print("largest of the rest:", ", ".join(f"{function} {100 * samples / total:.1f} %" for samples, function in rest[:3]))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What evidence.sh makes of records and logs: aligned tables on standard output. Only the standard library is needed.

    figures.py versions                        CUDA's libraries as this process finds them
    figures.py follow LABEL=RUN,RUN ...        loss per step of pairs of run directories
    figures.py bench ROWS.jsonl                records of `ladle bench`
    figures.py torch ROWS.jsonl                rows of tests/bench/compare.py
    figures.py lengths SHARD.h5|FILE.txt       token counts, as text
    figures.py profile FILE.csv                time by kernel, from nsys (cuda_gpu_kern_sum) or ncu (gpu__time_duration)
"""

import csv
import ctypes
import json
import math
import pathlib
import re
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
import compare  # noqa: E402


def print_table(lines, text_columns=1):
    """Cells in columns of equal width: the first columns to the left, the others to the right."""
    cells = [[str(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for line in cells:
        print("  ".join(cell.ljust(width) if i < text_columns else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip())


def json_lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def load(names):
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def dotted(number, major, minor):
    return f"{number // major}.{number % major // minor}.{number % minor}"


def versions():
    def from_pointer(library, function):
        number = ctypes.c_int()
        return number.value if getattr(library, function)(ctypes.byref(number)) == 0 else 0

    def show(name, library, read):
        try:
            print(name, read(library) if library else "not-found")
        except (AttributeError, OSError) as error:
            print(name, type(error).__name__)

    runtime = load(["libcudart.so.13", "libcudart.so.12"])
    show("CUDA-runtime", runtime, lambda l: dotted(from_pointer(l, "cudaRuntimeGetVersion"), 1000, 10)[:-2])
    show("CUDA-of-driver", runtime, lambda l: dotted(from_pointer(l, "cudaDriverGetVersion"), 1000, 10)[:-2])

    def whole(library, function):
        getattr(library, function).restype = ctypes.c_size_t
        return getattr(library, function)()

    show("cuBLASLt", load(["libcublasLt.so.13", "libcublasLt.so.12"]),
         lambda l: dotted(whole(l, "cublasLtGetVersion"), 10000, 100))
    show("cuDNN", load(["libcudnn.so.9"]), lambda l: dotted(whole(l, "cudnnGetVersion"), 10000, 100))
    show("NCCL", load(["libnccl.so.2"]), lambda l: dotted(from_pointer(l, "ncclGetVersion"), 10000, 100))


def losses(run):
    path = pathlib.Path(run) / "metrics.jsonl"
    if not path.exists():
        return {}
    return {row["step"]: row for row in json_lines(path) if row["kind"] == "step"}


def last_score(run):
    path = pathlib.Path(run) / "metrics.jsonl"
    rows = [row for row in json_lines(path) if row["kind"] == "eval"] if path.exists() else []
    return ", ".join(f"{name} {value:.4f}" for name, value in rows[-1]["scores"].items()) if rows else "none"


def follow(pairs):
    """Differences of the loss, and of the gradient's norm in relation to it. Fails if those of the first pair differ in
    the first step by more than rounding explains; later steps of two correct runs drift apart."""
    failed = True
    lines = [("pair", "steps", "largest", "at step", "mean", "mean of last 50", "loss at first", "at last",
              "gradient norm, largest relative", "same routes")]
    for pair in pairs:
        label, _, runs = pair.rpartition("=")
        first, second = (losses(run) for run in runs.split(","))
        common = sorted(first.keys() & second.keys())
        if not common:
            lines.append((label, 0, *["-"] * 8))
            continue
        differences = {s: abs(first[s]["loss"] - second[s]["loss"]) for s in common}
        if any(map(math.isnan, differences.values())):
            lines.append((label, len(common), "NaN", *["-"] * 7))
            continue
        if pair == pairs[0]:
            failed = differences[common[0]] > 1e-4
        worst = max(common, key=differences.get)
        norms = [abs(first[s]["grad_norm"] - second[s]["grad_norm"]) / max(first[s]["grad_norm"], 1e-12)
                 for s in common]
        routes = all(first[s]["routing_counts"] == second[s]["routing_counts"] for s in common)
        lines.append((label, len(common), f"{differences[worst]:.2e}", worst,
                      f"{statistics.mean(differences.values()):.2e}",
                      f"{statistics.mean([differences[s] for s in common[-50:]]):.2e}",
                      f"{first[common[0]]['loss']:.5f} {second[common[0]]['loss']:.5f}",
                      f"{first[common[-1]]['loss']:.5f} {second[common[-1]]['loss']:.5f}",
                      f"{max(norms):.2e}", "yes" if routes else "NO"))
    print_table(lines)
    print()
    speeds = [("run", "samples/s, median step", "last dev scores")]
    for run in dict.fromkeys(run for pair in pairs for run in pair.rpartition("=")[2].split(",")):
        rates = [row["samples_per_second"] for row in losses(run).values()]
        if rates:
            speeds.append((pathlib.Path(run).name, f"{statistics.median(rates):.0f}", last_score(run)))
    print_table(speeds)
    return 1 if failed else 0


def bench(path):
    lines = [("dims", "what", "precision", "batch", "samples/s", "tokens/s", "ms/step", "useful TFLOP/s",
              "peak TFLOP/s", "share of peak", "GPU memory GiB", "spread")]
    rows = [row for row in json_lines(path) if row.get("bench") in ("step", "eval")]
    for row in rows:
        peak = row.get("peak_gflops")
        lines.append((row["dims"], row["bench"], row["precision"], row["batch"], f"{row['samples_per_second']:.0f}",
                      f"{row['tokens_per_second']:.0f}", f"{1e3 * row['seconds_per_step']:.2f}",
                      f"{1e-3 * row['useful_gflops']:.1f}", f"{1e-3 * peak:.0f}" if peak else "-",
                      f"{100 * row['share_of_peak']:.1f} %" if row.get("share_of_peak") else "-",
                      f"{row['gpu_bytes'] / 2**30:.2f}" if "gpu_bytes" in row else "-",
                      f"{100 * row.get('wall_spread', row.get('core_spread', 0)):.0f} %"))
    print_table(lines, text_columns=3)
    sums = [row for row in json_lines(path) if row.get("bench") == "reduction"]
    if sums:
        worst = max(sums, key=lambda row: row["extra_share_of_step"])
        print(f"\nExact sums take at most {100 * worst['extra_share_of_step']:.2f} % of a step more than plain ones "
              f"({worst['dims']}, {worst['precision']}, batch {worst['batch']}).")
    return 0 if rows else 1


def torch(path):
    rows = json_lines(path)
    if not rows:
        print("no rows")
        return 1
    compare.print_table(rows, compare.GPU_COLUMNS)
    print(f"\nPyTorch {rows[0]['torch']}, transformers {rows[0]['transformers']}; {rows[0]['samples']} samples of "
          f"training, {rows[0]['rounds']} rounds.")
    return 0


def lengths(path):
    print(" ".join(map(str, compare.read_lengths(path))))
    return 0


def profile(path):
    text = pathlib.Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    start = next((i for i, line in enumerate(text) if "Kernel Name" in line or "Total Time (ns)" in line), None)
    if start is None:
        print("no kernels in the profiler's output")
        return 1
    times, calls = {}, {}
    scale = {"ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3, "msecond": 1e3, "s": 1e6, "second": 1e6}
    for row in csv.DictReader(text[start:]):
        try:
            if "Kernel Name" in row:
                name, count = row["Kernel Name"], 1
                time = float(row["Metric Value"].replace(",", "")) * scale[row["Metric Unit"]]
            else:
                name, count, time = row["Name"], int(row["Instances"]), float(row["Total Time (ns)"]) * 1e-3
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        name = re.sub(r"^void |\(anonymous namespace\)::|<unnamed>::", "", name)
        name = re.sub(r"\(.*", "", name)[:90]
        times[name] = times.get(name, 0) + time
        calls[name] = calls.get(name, 0) + count
    total = sum(times.values())
    lines = [("kernel", "calls", "time us", "share")]
    for name, time in sorted(times.items(), key=lambda item: -item[1])[:25]:
        lines.append((name, calls[name], f"{time:.0f}", f"{100 * time / total:.1f} %"))
    lines.append((f"all {len(times)} kernels", sum(calls.values()), f"{total:.0f}", "100 %"))
    print_table(lines)
    return 0


def main():
    words = sys.argv[1:]
    jobs = {"versions": (0, lambda: versions()), "follow": (None, lambda *pairs: follow(pairs)), "bench": (1, bench),
            "torch": (1, torch), "lengths": (1, lengths), "profile": (1, profile)}
    if not words or words[0] not in jobs or jobs[words[0]][0] not in (None, len(words) - 1):
        print(__doc__, file=sys.stderr)
        return 2
    return jobs[words[0]][1](*words[1:]) or 0


if __name__ == "__main__":
    sys.exit(main())

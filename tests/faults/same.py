#!/usr/bin/env python3
"""The same bytes on any number of ranks and threads, with any all-reduce, and across stops on other numbers of ranks.

Usage: see harness.py; --precision fp32|bf16, --pairs N (runs that are stopped and resumed), --seed N
"""
import pathlib
import random
import shutil

import harness

RANKS = [2, 3, 4, 5, 8, 16]
# Of Open MPI's tuned component: linear, nonoverlapping, recursive doubling, ring, segmented ring, Rabenseifner.
ALGORITHMS = [1, 2, 3, 4, 5, 6]
STEPS = 24

bench = harness.Bench(("--precision", "fp32"), ("--pairs", 4), ("--seed", 1))
precision = bench.options.precision
random.seed(bench.options.seed)
bench.tiny_model()
bench.tiny_shards()


def words(run, *more):
    # 16 leaves for 16 ranks; dropout is in the model; windows of two batches, epochs that end inside a window.
    return ["train", "--model.path", "model", "--data.dir", "shards", "--run.dir", run, "--model.precision", precision,
            "--train.batch", 32, "--train.leaf", 2, "--train.max_steps", STEPS, "--train.accumulate", 2,
            "--train.consistency", 1, "--optim.lr", "1e-2", "--adapter.size", 8, "--checkpoint.every_steps", 1,
            "--checkpoint.keep", 100, *more]


def train(run, ranks, *more, environment=None):
    code, text = bench.run(ranks, words(run, *more), environment)
    bench.expect(code == 0, f"{run}: exit code {code}")
    return text


def same(expected, run):
    """Every checkpoint and result of a run is that of the expected one; it is removed if so."""
    left, right = harness.digests(expected), harness.digests(run)
    different = [name for name in {"soup.h5", *right} if left.get(name) != right.get(name)]
    if bench.expect(not different, f"{run} differs from {expected}: {sorted(different)[:4]}"):
        shutil.rmtree(run)


def ranks_and_threads():
    for ranks in RANKS:
        train(f"ranks-{ranks}", ranks)
        same("one", f"ranks-{ranks}")
    for ranks, threads in [(1, 2), (1, 4), (2, 2), (3, 4)]:
        train(f"ranks-{ranks}-threads-{threads}", ranks, "--cpu.threads", threads)
        same("one", f"ranks-{ranks}-threads-{threads}")


def algorithms():
    for algorithm in ALGORITHMS:
        train(f"algorithm-{algorithm}", 4, environment={
            "OMPI_MCA_coll_tuned_use_dynamic_rules": "1",
            "OMPI_MCA_coll_tuned_allreduce_algorithm": str(algorithm)})
        same("one", f"algorithm-{algorithm}")


def instruction_set():
    code, text = bench.run(1, words("avx2", "--cpu.isa", "avx2"))
    if code == 4:
        return bench.skip(text.strip().splitlines()[0])
    bench.expect(code == 0, f"cpu.isa avx2: exit code {code}")
    for ranks, threads in [(2, 1), (5, 1), (1, 4), (2, 2)]:
        train(f"avx2-{ranks}-{threads}", ranks, "--cpu.isa", "avx2", "--cpu.threads", threads)
        same("avx2", f"avx2-{ranks}-{threads}")
    code, text = bench.run(2, words("one", "--cpu.isa", "avx2"))
    bench.expect(code == 2 and "kernels: " in text or code == 0 and "avx512" not in text,
                 f"another instruction set on the same run: exit code {code}")


def stopped_runs():
    """Stops after a few steps, again and again, each time going on with another number of ranks."""
    stops = 0
    for pair in range(bench.options.pairs):
        run, last, code = f"stopped-{pair}", 0, harness.STOPPED
        metrics = pathlib.Path(run, "metrics.jsonl")
        while code == harness.STOPPED:
            ranks = random.choice([r for r in [1, *RANKS[:-1]] if r != last])
            target = random.randint(1, STEPS // 2) + (metrics.read_text().count('"kind":"step"') if last else 0)
            process = bench.start(ranks, words(run))
            harness.wait_until(lambda: process.poll() is not None or metrics.exists()
                               and metrics.read_text().count('"kind":"step"') >= target, 60)
            if process.poll() is None:
                pathlib.Path(run, "STOP").touch()
            code = process.wait(60)
            stops += code == harness.STOPPED
            text = harness.log()
            bench.expect(code in (0, harness.STOPPED), f"{run} on {ranks} ranks: exit code {code}")
            bench.expect(last == 0 or "resumed at step" in text or "starting at step 0" in text, f"{run}: no resume")
            last = ranks
            pathlib.Path(run, "STOP").unlink(missing_ok=True)
        same("one", run)
    print(f"{bench.options.pairs} runs were stopped {stops} times and went on with other numbers of ranks")


text = bench.run(1, words("none", "--dry-run"))
if text[0] == 4 and "bf16" in text[1]:
    bench.skip(text[1].strip().splitlines()[0])
    bench.finish()
train("one", 1)
ranks_and_threads()
if precision == "fp32":
    algorithms()
    instruction_set()
stopped_runs()
# The comparison can fail.
for number, other in enumerate([("--run.seed", 1), ("--optim.max_grad_norm", "0.5")]):
    train(f"other-{number}", 1, *other)
    bench.expect(len(harness.differing("one", f"other-{number}")) > STEPS, f"{other} changes nothing")
bench.finish()

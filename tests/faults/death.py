#!/usr/bin/env python3
"""Ranks that die, hang, lag or compute nonsense: the job ends, says why, leaves nothing running and loses nothing.

Usage: see harness.py; --rounds N (how often each case is tried), --seed N, --case NAME (that one alone)
"""
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import time

import harness

STEPS = 250

bench = harness.Bench(("--rounds", 1), ("--seed", 1), ("--case", ""))
random.seed(bench.options.seed)
bench.tiny_model()
bench.tiny_shards()


def words(run, *more, steps=STEPS, lr="1e-2"):
    return ["train", "--model.path", "model", "--data.dir", "shards", "--run.dir", run, "--train.max_steps", steps,
            "--train.batch", 64, "--optim.lr", lr, "--train.consistency", 1, "--checkpoint.every_steps", 5,
            "--checkpoint.keep", 1000, *more]


def begun(ranks, run, *more, steps=STEPS, lr="1e-2"):
    """A job that has passed its first checkpoint."""
    shutil.rmtree(run, ignore_errors=True)
    process = bench.start(ranks, words(run, *more, steps=steps, lr=lr))
    if not harness.wait_until(lambda: process.poll() is not None or harness.announced(harness.log()) > 0, 60):
        bench.expect(False, f"{run}: no checkpoint")
    time.sleep(random.uniform(0, 0.2))
    return process


def pid_of(rank):
    return next(pid for pid, found in bench.processes().items() if found == rank)


def ended(process, what, codes, seconds):
    """The job ends in time with one of the codes, and no process of it is left."""
    start = time.monotonic()
    harness.wait_until(lambda: process.poll() is not None, seconds)
    took = time.monotonic() - start
    if not bench.expect(process.poll() is not None, f"{what}: no end within {seconds} s"):
        bench.kill_all(process)
    bench.expect(process.returncode in codes, f"{what}: exit code {process.returncode}, expected one of {codes}")
    bench.expect(bench.nothing_left(max(1, seconds - took)), f"{what}: processes are left")
    return took


def checkpoints_are_right(run, what):
    expected, got = harness.digests("whole"), harness.digests(run)
    wrong = [name for name, digest in got.items() if "step-" in name and expected.get(name) not in (None, digest)]
    bench.expect(not wrong, f"{what}: {wrong} differ from the undisturbed run's")


def goes_on(run, what, ranks=2):
    code, text = bench.run(ranks, words(run))
    bench.expect(code == 0 and "resumed at step" in text, f"{what}: exit code {code} after the resume")
    wrong = harness.differing("whole", run, everything=False)
    bench.expect(not wrong, f"{what}: {wrong} differ from the undisturbed run's")
    checkpoints_are_right(run, what)


def killed_rank():
    for rank in (0, 2):
        process = begun(3, "killed")
        os.kill(pid_of(rank), signal.SIGKILL)
        took = ended(process, f"SIGKILL of rank {rank}", [137], 10)
        print(f"SIGKILL of rank {rank}: over in {took:.1f} s", flush=True)
    goes_on("killed", "SIGKILL of a rank")


def hanging_rank():
    process = begun(3, "hanging", "--run.watchdog_seconds", 3)
    rank = random.choice([0, 1, 2])
    os.kill(pid_of(rank), signal.SIGSTOP)
    took = ended(process, f"SIGSTOP of rank {rank}", [75], 15)
    bench.expect("no progress for 3 s after step" in harness.log(), "SIGSTOP: the watchdog does not say why")
    print(f"SIGSTOP of rank {rank}: ended by the watchdog after {took:.1f} s", flush=True)
    goes_on("hanging", "SIGSTOP of a rank")


def asked_to_stop():
    process = begun(2, "asked")
    os.kill(process.pid, signal.SIGUSR1)
    ended(process, "SIGUSR1 to mpirun", [harness.STOPPED], 10)
    last = pathlib.Path("asked/checkpoints/last").read_text().strip()
    bench.expect(f"stopped on request at step {last[5:-3]};" in harness.log(), "SIGUSR1: the state is not safe")
    # mpirun waits a second or two after SIGTERM and hides the exit code: the state must be safe all the same.
    shutil.rmtree("terminated", ignore_errors=True)
    shutil.copytree("asked", "terminated")
    process = bench.start(2, words("terminated"))
    harness.wait_until(lambda: process.poll() is not None or harness.announced(harness.log()) > 0, 60)
    os.kill(process.pid, signal.SIGTERM)
    harness.wait_until(lambda: process.poll() is not None, 20)
    bench.expect(process.poll() is not None and bench.nothing_left(), "SIGTERM to mpirun: no end")
    goes_on("terminated", "SIGTERM to mpirun", 1)
    process = begun(1, "asked")
    os.kill(process.pid, signal.SIGTERM)
    ended(process, "SIGTERM", [harness.STOPPED], 10)
    goes_on("asked", "SIGTERM")


def time_limit():
    for directory in ("timed", "limited"):
        shutil.rmtree(directory, ignore_errors=True)
    start = time.monotonic()
    code, _ = bench.run(2, words("timed"))
    bench.expect(code == 0, f"an undisturbed run: exit code {code}")
    limit = 0.6 * (time.monotonic() - start) / 60  # minutes; no machine is so fast that this does not interrupt the run
    code, starts = harness.STOPPED, 0
    while code == harness.STOPPED and starts < 50:
        start = time.monotonic()
        code, _ = bench.run(2, words("limited", "--run.time_limit_minutes", limit))
        starts += 1
        bench.expect(code != harness.STOPPED or time.monotonic() - start < 10, "the time limit was not kept")
    bench.expect(code == 0 and starts > 1, f"time limit: exit code {code} after {starts} starts")
    wrong = harness.differing("whole", "limited", everything=False)
    bench.expect(not wrong, f"time limit: {wrong} differ from the undisturbed run's")


def slow_rank():
    # Ever new stops, shorter than the watchdog's limit, until the job is over.
    shutil.rmtree("slow", ignore_errors=True)
    process = bench.start(2, words("slow", "--run.progress_seconds", 2, "--run.watchdog_seconds", 5))
    harness.wait_until(lambda: harness.announced(harness.log()) > 0, 60)
    while process.poll() is None and "rank 1 on" not in harness.log():
        try:
            victim = pid_of(1)
            os.kill(victim, signal.SIGSTOP)
            time.sleep(0.3)
            os.kill(victim, signal.SIGCONT)
        except (StopIteration, ProcessLookupError):
            break
        time.sleep(0.01)
    ended(process, "a slow rank", [0], 60)
    bench.expect("rank 1 on" in harness.log() and "is slow: it computed" in harness.log(), "the slow rank is not named")
    wrong = harness.differing("whole", "slow", everything=False)
    bench.expect(not wrong, f"a slow rank: {wrong} differ from the undisturbed run's")


def parameter_bytes():
    """The first values of the first down projection, as every rank holds them while the learning rate is 0."""
    code, text = bench.run(1, words("still", steps=1, lr="0"))
    bench.expect(code == 0, f"a run of one step: exit code {code}")
    code, text = bench.run(1, ["convert", "still/best.h5", "--to", "safetensors", "still.safetensors"])
    bench.expect(code == 0, f"convert: exit code {code}")
    content = pathlib.Path("still.safetensors").read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + length])
    name = next(n for n in sorted(header) if n.endswith("weight") and "MoA_A" in n)
    begin = 8 + length + header[name]["data_offsets"][0]
    return name, content[begin:begin + 64]


def poke(pid, pattern, change):
    """Writes into the memory of a rank wherever a pattern stands."""
    places = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for line in maps:
            span, rights, *rest = line.split()
            if "rw" not in rights or (len(rest) > 3 and rest[3].startswith(("/", "[v"))):
                continue
            begin, end = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(begin)
                content = memory.read(end - begin)
            except OSError:
                continue
            at = content.find(pattern)
            while at >= 0:
                memory.seek(begin + at)
                memory.write(change(pattern[:4]))
                places += 1
                at = content.find(pattern, at + 1)
    return places


def settled(run):
    """The run's files once the ranks that wait for a stopped one have written what they had."""
    before = None
    while (now := harness.digests(run)) != before:
        before = now
        time.sleep(0.3)
    return now


def poked(run, rank, change, what, code, *more):
    """Runs with learning rate 0 until one rank's parameters change by themselves. Returns the tensor's name, or None."""
    name, pattern = parameter_bytes()
    process = begun(3, run, *more, steps=100000, lr="0")
    victim = pid_of(rank)
    os.kill(victim, signal.SIGSTOP)
    before = settled(run)
    try:
        places = poke(victim, pattern, change)
    except OSError as error:
        bench.kill_all(process)
        return bench.skip(f"{what}: this process may not write into the memory of another ({error})")
    os.kill(victim, signal.SIGCONT)
    bench.expect(places > 0, f"{what}: the parameters were not found in memory")
    ended(process, what, [code], 30)
    after = harness.digests(run)
    bench.expect(all(after.get(n) == d for n, d in before.items() if "step-" in n), f"{what}: checkpoints changed")
    # One may follow: the damage may have come between the comparison of a step and its checkpoint.
    later = [n for n in after if "step-" in n and n not in before]
    bench.expect(len(later) <= 1, f"{what}: {len(later)} checkpoints were written after it")
    return name


def flipped_bit():
    # Not in rank 0: there the pattern is also in what is just being written to a checkpoint, which notices by itself.
    name = poked("flipped", 1, lambda v: bytes([v[0] ^ 1]) + v[1:], "a flipped bit", 4, "--comm.check_every", 3)
    text = harness.log()
    bench.expect(name is None or "1 of 3 ranks hold other parameters than rank 0 after step" in text and f"{name} is " in text,
                 "a flipped bit: ranks and tensor are not named")


def not_finite():
    name = poked("nan", 2, lambda v: struct.pack("<f", float("nan")), "NaN on one rank", 76, "--comm.check_every", 0)
    text = harness.log()
    bench.expect(name is None or "is not finite or too large" in text, "NaN on one rank: the reason is not named")


def two_jobs():
    process = begun(2, "shared")
    for pid in bench.processes():
        os.kill(pid, signal.SIGSTOP)  # it would be over before a second job began on a fast machine
    shutil.copy("log", "first")
    code, text = bench.run(1, words("shared"))
    bench.expect(code == 2 and "shared is in use: it is held by host" in text, f"a second job: exit code {code}")
    shutil.copy("first", "log")
    os.kill(process.pid, signal.SIGKILL)
    bench.kill_all(process)
    bench.expect(pathlib.Path("shared/.ladle-lock").read_text() != "", "the killed job's name is not in its lock")
    goes_on("shared", "a lock of a killed job")


def run_cases():
    cases = (killed_rank, hanging_rank, asked_to_stop, time_limit, slow_rank, flipped_bit, not_finite, two_jobs)
    for case in cases:
        if bench.options.case not in ("", case.__name__):
            continue
        start = time.monotonic()
        case()
        print(f"{case.__name__}: {time.monotonic() - start:.1f} s", flush=True)


code, _ = bench.run(2, words("whole"))
bench.expect(code == 0, f"the undisturbed run: exit code {code}")
for _ in range(bench.options.rounds):
    run_cases()
bench.finish()

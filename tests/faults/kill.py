#!/usr/bin/env python3
"""SIGKILL at random moments and at every named crash point: what was called safe is there, and the end is the same.

Usage: see harness.py; --kills N, --passes N (crash points: at the 1st, ... N-th pass; 0: at every pass), --seed N
"""
import os
import pathlib
import random
import re
import shutil
import signal

import harness

STEPS = 120
SHORT_STEPS = 6

bench = harness.Bench(("--kills", 50), ("--passes", 3), ("--seed", 1))
random.seed(bench.options.seed)
bench.tiny_model()
bench.tiny_shards()


def words(run, steps, keep):
    # Much state and little work, so that most kills meet a write; evaluations on the way, so that some meet best.h5.
    return ["train", "--model.path", "model", "--data.dir", "shards", "--run.dir", run, "--train.max_steps", steps,
            "--train.batch", 8, "--train.leaf", 1, "--adapter.size", 64, "--optim.lr", "1e-2", "--checkpoint.every_steps", 1,
            "--checkpoint.keep", keep]


def reference(run, steps):
    code, text = bench.run(1, words(run, steps, 100000))
    if code != 0:
        raise SystemExit(f"FAILED: the undisturbed run: exit code {code}\n{text}")
    return harness.digests(run)


def check_checkpoints(run, expected, safe, what):
    """Every complete file is the one of the undisturbed run; the newest is not older than what was called safe."""
    files = {path.name: path for path in pathlib.Path(run, "checkpoints").glob("step-*.h5")}
    got = harness.digests(run)
    for name in files:
        bench.expect(got[f"checkpoints/{name}"] == expected.get(f"checkpoints/{name}"), f"{what}: {name} differs")
    newest = max((int(re.findall(r"\d+", name)[0]) for name in files), default=0)
    bench.expect(newest >= safe, f"{what}: step {safe} was called safe, but the newest checkpoint is of step {newest}")
    return files


def finished(run, expected, what):
    got = harness.digests(run)
    for name, digest in expected.items():
        if name.startswith("checkpoints/step") and name not in got:
            continue  # pruned
        bench.expect(got.get(name) == digest, f"{what}: {name} differs from the undisturbed run's")


def random_kills(count):
    expected = reference("whole", STEPS)
    shutil.rmtree("run", ignore_errors=True)
    kills = half_written = lives = ends = launcher_hangs = 0
    safe = 0
    keep_all = True
    while kills < count:
        ranks = random.choice([1, 1, 1, 2, 2, 3, 4])
        keep = random.choice([2, 100000])
        keep_all = keep_all and keep != 2
        process = bench.start(ranks, words("run", STEPS, keep))
        lives += 1
        # Most kills shall meet a write; some the start.
        if random.random() < 0.8:
            harness.wait_until(lambda: process.poll() is not None or harness.announced(harness.log()) > safe, 30)
        delay = random.uniform(0, 0.25)
        try:
            process.wait(delay)
        except Exception:  # still running: the usual case
            pass
        victims = bench.processes()
        struck = process.poll() is None and bool(victims)
        if struck:
            kills += 1
            if kills % 100 == 0:
                print(f"{kills} kills, {len(bench.failures)} failures so far", flush=True)
            whole_job = random.random() < 0.7
            chosen = [*victims, process.pid] if whole_job else [random.choice(list(victims))]
            for pid in chosen:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if not harness.wait_until(lambda: process.poll() is not None, 60):
            left = bench.processes()
            # Open MPI's launcher can hang by itself when a rank dies while it connects to it (PMIX ERROR: UNREACHABLE).
            if left or launcher_hangs > count // 50:
                bench.expect(False, f"life {lives} with {ranks} ranks does not end: {len(left)} ranks are left")
            launcher_hangs += not left
            bench.kill_all(process)
        elif not struck and process.returncode != 0:
            # One that always fails would never live long enough to be killed.
            raise SystemExit(f"FAILED: life {lives} ended by itself: exit code {process.returncode}\n{harness.log()}")
        code = process.returncode
        bench.expect(bench.nothing_left(), f"life {lives}: processes were left")
        text = harness.log()
        safe = max(safe, harness.announced(text))
        half_written += any(pathlib.Path("run").rglob("*.ladle-tmp"))
        files = check_checkpoints("run", expected, safe, f"life {lives}")
        if keep_all:
            missing = [n for n in range(1, safe + 1) if f"step-{n}.h5" not in files]
            bench.expect(not missing, f"life {lives}: steps {missing} were called safe and are gone")
        bench.expect("not resumed from" not in text, f"life {lives}: a checkpoint was refused")
        if code == 0:
            finished("run", expected, f"life {lives}")
            ends += 1
            safe, keep_all = 0, True
            shutil.rmtree("run")
    if pathlib.Path("run").exists():
        code, _ = bench.run(2, words("run", STEPS, 2))
        bench.expect(code == 0, f"the last resume: exit code {code}")
        finished("run", expected, "the last resume")
        ends += 1
    print(f"{kills} kills in {lives} lives ({half_written} left a half-written file), {ends} runs ended with the bytes "
          f"of the undisturbed run; mpiexec hung without ranks {launcher_hangs} times", flush=True)


def crash_points():
    source = pathlib.Path(__file__).resolve().parents[2] / "src"
    names = sorted({name for path in source.rglob("*.cpp")
                    for name in re.findall(r'crash_point\("(\w+)"\)', path.read_text())})
    expected = reference("short", SHORT_STEPS)
    crashes = 0
    for name in names:
        reached = 0
        while bench.options.passes == 0 or reached < bench.options.passes:
            point = f"{name}@{reached + 1}"
            shutil.rmtree("run", ignore_errors=True)
            code, text = bench.run(2 if reached == 1 else 1, words("run", SHORT_STEPS, 2), {"LADLE_CRASH_AT": point})
            if code == 0:
                break  # it has no more passes
            reached += 1
            crashes += 1
            bench.expect(code in (-9, 137) and f"killed at {name}" in text, f"{point}: exit code {code}")
            check_checkpoints("run", expected, harness.announced(text), point)
            code, text = bench.run(random.choice([1, 2]), words("run", SHORT_STEPS, 2))
            bench.expect(code == 0 and "not resumed from" not in text, f"{point}: exit code {code} after it")
            finished("run", expected, point)
        bench.expect(reached > 0, f"the crash point {name} is never passed")
    print(f"{crashes} crashes at {len(names)} named points", flush=True)


crash_points()
random_kills(bench.options.kills)
bench.finish()

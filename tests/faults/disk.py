#!/usr/bin/env python3
"""A full disk, a read-only file system and a damaged newest checkpoint: a named error, and later the same end.

Usage: see harness.py. What needs a mount is left out, visibly, where mounting is not permitted.
"""
import pathlib
import shutil
import subprocess

import harness

bench = harness.Bench()
bench.tiny_model()
bench.tiny_shards()


def words(run):
    return ["train", "--model.path", "model", "--data.dir", "shards", "--run.dir", run, "--train.max_steps", 12,
            "--train.batch", 16, "--checkpoint.every_steps", 2]


def mounted(options, directory="disk"):
    pathlib.Path(directory).mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", options, "-t", "tmpfs", "none", directory], capture_output=True, text=True)
    if done.returncode != 0:
        bench.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    return done.returncode == 0


def refused(ranks, what):
    """Exit 74 with one line of error that names a file of the run; nothing half-written stays."""
    code, text = bench.run(ranks, words("disk/run"))
    bench.expect(code == 74, f"{what}: exit code {code} instead of 74")
    errors = [line for line in text.splitlines() if line.startswith("ladle: ")]
    bench.expect(len(errors) == 1 and "disk/run" in errors[0], f"{what}: the error is not said once")
    bench.expect(not list(pathlib.Path("disk").rglob("*.ladle-tmp")), f"{what}: a temporary file was left")
    return text


def goes_on(ranks, what, resumed=True):
    code, text = bench.run(ranks, words("disk/run"))
    bench.expect(code == 0, f"{what}: exit code {code} afterwards")
    bench.expect(("resumed at step" in text) == resumed and "not resumed from" not in text, f"{what}: the resume")
    different = [n for n in harness.differing("whole", "disk/run")]
    bench.expect(not different, f"{what}: {different} differ from the undisturbed run's")


def full_disk():
    # Sizes at which the disk is full in the first checkpoint, in later ones and in the results.
    for size, resumed in [(100, False), (160, True), (230, True), (300, True)]:
        if not mounted(f"size={size}k"):
            return
        text = refused(1 + resumed, f"disk of {size} KiB")
        bench.expect("No space left" in text, f"disk of {size} KiB: the reason is not named")
        safe = harness.announced(text)
        subprocess.run(["mount", "-o", "remount,size=16m", "disk"], check=True)
        if resumed:
            bench.expect(pathlib.Path(f"disk/run/checkpoints/step-{safe}.h5").exists(), f"step {safe} is gone")
        goes_on(1, f"disk of {size} KiB", resumed and safe > 0)
        subprocess.run(["umount", "disk"], check=True)


def read_only():
    if not mounted("size=16m"):
        return
    shutil.copytree("half", "disk/run")
    subprocess.run(["mount", "-o", "remount,ro", "disk"], check=True)
    for ranks in (1, 2):
        bench.expect("Read-only" in refused(ranks, f"read-only, {ranks} ranks"), "read-only: the reason is not named")
    subprocess.run(["mount", "-o", "remount,rw", "disk"], check=True)
    goes_on(2, "read-only")
    subprocess.run(["umount", "disk"], check=True)


def damaged_checkpoints():
    """The newest checkpoint is damaged in every way: it is named, and the one before it serves."""
    newest = pathlib.Path("half/checkpoints/" + pathlib.Path("half/checkpoints/last").read_text().strip())
    whole = newest.read_bytes()
    middle = len(whole) // 2
    for name, content in {
            "truncated": whole[:-100], "empty": b"", "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:],
            "zeroed": whole[:4096] + bytes(4096) + whole[8192:], "no HDF5": b"hello" * 1000,
            "another schema": pathlib.Path("whole/soup.h5").read_bytes(),
            "another step": next(p for p in newest.parent.glob("step-*.h5") if p != newest).read_bytes()}.items():
        shutil.copytree("half", "damaged")
        pathlib.Path("damaged/checkpoints", newest.name).write_bytes(content)
        code, text = bench.run(1, words("damaged"))
        refusals = [line for line in text.splitlines() if line.startswith("not resumed from") and newest.name in line]
        bench.expect(code == 0 and len(refusals) == 1, f"{name}: exit code {code}, {len(refusals)} refusals")
        bench.expect("resumed at step" in text, f"{name}: the older checkpoint was not taken")
        bench.expect(not harness.differing("whole", "damaged"), f"{name}: other bytes than the undisturbed run")
        shutil.rmtree("damaged")
    # Nothing left to resume from.
    shutil.copytree("half", "damaged")
    for path in pathlib.Path("damaged/checkpoints").glob("step-*.h5"):
        path.write_bytes(path.read_bytes()[:500])
    code, text = bench.run(2, [*words("damaged"), "--resume", "required"])
    bench.expect(code == 3 and text.count("not resumed from") == 2, f"--resume required: exit code {code}")
    # New checkpoints stay although the damaged ones have later steps.
    code, text = bench.run(1, words("damaged"), {"LADLE_CRASH_AT": "step_done@4"})
    bench.expect(code == -9 and "starting at step 0" in text, f"all damaged: exit code {code}")
    code, text = bench.run(1, [*words("damaged"), "--resume", "required"])
    bench.expect(code == 0 and "resumed at step" in text, f"interrupted after all were damaged: exit code {code}")
    bench.expect(not harness.differing("whole", "damaged"), "all damaged: other bytes than the undisturbed run")


code, _ = bench.run(1, words("whole"))
bench.expect(code == 0, f"the undisturbed run: exit code {code}")
code, _ = bench.run(1, words("half"), {"LADLE_CRASH_AT": "checkpoint_pruned@2"})
bench.expect(code == -9, f"the half run: exit code {code}")
try:
    full_disk()
    read_only()
finally:
    subprocess.run(["umount", "-q", "disk"], check=False)
damaged_checkpoints()
bench.finish()

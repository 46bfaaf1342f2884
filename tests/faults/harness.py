"""Shared by the scripts of this folder: a scratch directory with a tiny model and shards, and runs of ladle in it.

Usage of every script: SCRIPT LADLE MPIRUN MAKE_TINY_MODEL SAMPLE_DIRECTORY [options]
Exit code 77: something this machine does not permit was left out, and nothing else failed.
"""
import argparse
import atexit
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

STOPPED, SKIPPED = 85, 77
MOST_FAILURES = 5


class Bench:
    """A scratch directory, the current one of this process, and what a script found."""

    def __init__(self, *options):
        parser = argparse.ArgumentParser()
        for name in ("ladle", "mpirun", "make_tiny", "sample"):
            parser.add_argument(name)
        for flag, default in options:
            parser.add_argument(flag, type=type(default), default=default)
        self.options = parser.parse_args()
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="ladle-test-"))
        atexit.register(shutil.rmtree, self.work, ignore_errors=True)
        os.chdir(self.work)
        # A build that goes on beside a long test must not change the program under it.
        self.ladle = str(shutil.copy(self.options.ladle, self.work / "ladle"))
        self.failures, self.skips = [], []
        self.environment = dict(os.environ)
        for name in ("shm", "mpi"):
            (self.work / name).mkdir()
        # Killed ranks leave their shared memory behind: here it goes with the scratch directory.
        # More ranks than cores, and as root, as continuous integration runs them.
        for name in ("ALLOW_RUN_AS_ROOT", "ALLOW_RUN_AS_ROOT_CONFIRM", "MCA_mpi_yield_when_idle",
                     "MCA_rmaps_base_oversubscribe"):
            self.environment["OMPI_" + name] = "1"
        self.environment.update(OMPI_MCA_btl_vader_backing_directory=str(self.work / "shm"),
                                OMPI_MCA_orte_tmpdir_base=str(self.work / "mpi"))

    def tiny_model(self, directory="model", kind="whole"):
        sample = pathlib.Path(self.options.sample)
        subprocess.run([self.options.make_tiny, directory, kind, sample / "train.tsv", sample / "dev.tsv"], check=True)

    def tiny_shards(self, directory="shards", model="model", train=None):
        sample = pathlib.Path(self.options.sample)
        subprocess.run([self.ladle, "prepare", "--data.task", "sample", "--train-file", train or sample / "train.tsv",
                        "--validation-file", sample / "dev.tsv", "--model.path", model, "--data.dir", directory],
                       check=True, stdout=subprocess.DEVNULL)

    def command(self, ranks, words):
        launcher = [] if ranks == 1 else [self.options.mpirun, "-n", str(ranks)]
        return launcher + [self.ladle] + [str(word) for word in words]

    def start(self, ranks, words, environment=None):
        """In the background, in a process group of its own; its output goes to the file `log`."""
        with open("log", "wb") as log:
            return subprocess.Popen(self.command(ranks, words), stdout=log, stderr=subprocess.STDOUT,
                                    stdin=subprocess.DEVNULL, start_new_session=True,
                                    env={**self.environment, **(environment or {})})

    def run(self, ranks, words, environment=None, seconds=120):
        """Exit code and output; a run that takes too long is a failure and ends the script."""
        process = self.start(ranks, words, environment)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill_all(process)
            sys.exit(f"FAILED: no end within {seconds} s: {words}\n{log()}")
        return code, log()

    def processes(self):
        """Living processes of the program under test, by id: rank in MPI_COMM_WORLD (0 without MPI)."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "exe") == self.ladle:
                    state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                    environment = (entry / "environ").read_bytes().split(b"\0")
                    ranks = [int(e.split(b"=")[1]) for e in environment if e.startswith(b"OMPI_COMM_WORLD_RANK=")]
                    if state not in "ZX":
                        found[int(entry.name)] = ranks[0] if ranks else 0
            except (OSError, IndexError):
                continue  # it ended while we looked
        return found

    def kill_all(self, process):
        """SIGKILL to the launcher and all ranks."""
        for pid in [process.pid, *self.processes()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()

    def nothing_left(self, seconds=10):
        """True once no process of the program lives."""
        return wait_until(lambda: not self.processes(), seconds)

    def expect(self, condition, text):
        if not condition:
            self.failures.append(text)
            print(f"FAILED: {text}", flush=True)
            print("".join(f"  | {line}\n" for line in log().splitlines()[-12:]), flush=True)
            if len(self.failures) >= MOST_FAILURES:
                sys.exit("FAILED: too many failures")
        return condition

    def skip(self, text):
        self.skips.append(text)
        print(f"SKIPPED: {text}", flush=True)

    def finish(self):
        print(f"{len(self.failures)} failures")
        sys.exit(1 if self.failures else SKIPPED if self.skips else 0)


def log():
    try:
        return pathlib.Path("log").read_text(errors="replace")
    except FileNotFoundError:
        return ""


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def announced(text):
    """The last step that the program called safe; 0: none."""
    steps = [int(line.split()[1]) for line in text.splitlines() if line.startswith("step ") and line.endswith(" is safe")]
    return max(steps, default=0)


def digests(run, everything=True):
    """SHA-256 of the files of a run whose bytes are promised; without `everything` only of its results."""
    names = ["best.h5", "soup.h5", "predictions.h5", "results.json"]
    names += [f"checkpoints/{path.name}" for path in pathlib.Path(run, "checkpoints").glob("*") if everything]
    return {name: hashlib.sha256(pathlib.Path(run, name).read_bytes()).hexdigest()
            for name in sorted(names) if pathlib.Path(run, name).exists() and not name.startswith("checkpoints/.")}


def differing(a, b, everything=True):
    """Names of the promised files that two finished runs do not have alike."""
    left, right = digests(a, everything), digests(b, everything)
    return sorted(name for name in {"soup.h5", *left, *right} if left.get(name) is None or left.get(name) != right.get(name))

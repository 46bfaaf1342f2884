#!/usr/bin/env python3
"""ladle and PyTorch in turn over the same samples: samples per second of processor time and of wall time, and ratios.

    tests/bench/compare.py --ladle build/release/ladle --python VENV/bin/python \\
        --tasks rte=data/rte/train.h5 cola=lengths_cola.txt --dims minilm bert-base --output rows.jsonl

A task is a name and its lengths: a prepared shard (.h5) or a text file of token counts; by default every lengths_*.txt
of --lengths. All lengths of a task are sorted into batches of 32, of which evenly spaced ones make up the measured
samples, so PyTorch's batches are as even as those of a whole epoch re-batched by length; ladle gets the same samples in
random order. Peers:
  published  padded to 128 tokens, fp32, fused attention (the way of the published code; its cost per sample does not
             depend on the lengths, so a part of the samples is enough)
  strongest  bf16 with frozen weights stored as bf16, batches of like lengths, batch 16 or 32, eager or fused attention:
             whichever is fastest here
With --device cuda both sides use the same GPU and the published form is timed with and without TF32. The strongest form
has ladle's batch (evaluation: or four of them), fused attention, and is plain, compiled (torch.compile), captured in
CUDA graphs or both, whichever is fastest; what does not work within --form-limit seconds is named and left out. Its ratios
are of wall time only.

Training is two passes per sample, evaluation is of the soup. Every round runs ladle, then each peer; the first round of
each is preceded by a warm-up. Ratios are medians of the rounds' ratios. With --ranks 2 both sides use two processes.
"""

import argparse
import json
import os
import pathlib
import random
import select
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LENGTHS = HERE.parents[2] / "shared" / "prototypes" / "cpu-step"
PAIR = 32  # samples of the larger batch that the strongest form tries
MPI_SETTINGS = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}


def read_lengths(path):
    if str(path).endswith(".h5"):
        import h5py  # only needed for shards

        with h5py.File(path) as file:
            offsets = file["examples/offsets"][:]
        return [int(b - a) for a, b in zip(offsets, offsets[1:])]
    return [int(word) for word in pathlib.Path(path).read_text().split()]


def measured_batches(lengths, samples):
    """Evenly spaced batches of the lengths sorted, in random order."""
    ordered = sorted(lengths)
    batches = [ordered[i:i + PAIR] for i in range(0, len(ordered) - PAIR + 1, PAIR)]
    count = min(len(batches), max(1, samples // PAIR))
    chosen = [batches[int((i + 0.5) * len(batches) / count)] for i in range(count)]
    random.Random(1).shuffle(chosen)
    return chosen


class TorchPeer:
    """The processes of torch_peer.py."""

    def __init__(self, python, dims, ranks, device, form_limit):
        self.python, self.dims, self.ranks, self.device = python, dims, ranks, device
        self.form_limit = form_limit  # seconds of a form that may fail
        self.start()

    def start(self):
        self.directory = tempfile.TemporaryDirectory()
        self.processes = []
        for rank in range(self.ranks):
            command = [self.python, str(HERE / "torch_peer.py"), "--dims", self.dims, "--processes", str(self.ranks),
                       "--device", self.device, "--rendezvous", os.path.join(self.directory.name, "meeting")]
            environment = dict(os.environ, RANK=str(rank), OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
            self.processes.append(subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment))
        self.versions = [json.loads(process.stdout.readline()) for process in self.processes][0]

    def run(self, mode, form, batches):
        """Seconds and processor seconds per sample. `form`: bf16, attention, width, batch; tf32, compile, graphs."""
        batch = form["batch"]
        cut = [b[i:i + batch] for b in batches for i in range(0, len(b), batch)]
        steps = len(cut) // self.ranks
        for rank, process in enumerate(self.processes):
            mine = cut[rank * steps:(rank + 1) * steps] if self.ranks > 1 else cut
            command = {"mode": mode, "batches": mine, **form}
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
        answers = [self.answer(process, form) for process in self.processes]
        if any("error" in a for a in answers):
            # What failed on a GPU may have spoilt the process.
            self.kill()
            self.start()
            return answers[0]
        samples = sum(len(b) for b in cut[:steps * self.ranks])
        return {"seconds": max(a["seconds"] for a in answers) / samples,
                "core_seconds": sum(a["core_seconds"] for a in answers) / samples}

    def answer(self, process, form):
        if form.get("may_fail") and not select.select([process.stdout], [], [], self.form_limit)[0]:
            return {"error": f"not done within {self.form_limit} s"}
        line = process.stdout.readline()
        if not line and form.get("may_fail"):
            return {"error": "the process died"}
        return json.loads(line)

    def kill(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.directory.cleanup()

    def close(self):
        for process in self.processes:
            process.stdin.close()
            process.wait()
        self.directory.cleanup()


def published_form(batch, tf32=False):
    return {"bf16": False, "attention": "sdpa", "width": 128, "batch": batch, "tf32": tf32}


def candidates_on_cpu():
    return [{"bf16": True, "attention": attention, "width": 0, "batch": batch}
            for attention in ("eager", "sdpa") for batch in (PAIR, PAIR // 2)]


def candidates_on_gpu(mode, batch):
    """The plain form first: it always works."""
    large = 4 * batch if mode == "eval" else batch
    kinds = [(False, False, batch), (False, False, large), (False, True, batch), (False, True, large),
             (True, False, large), (True, True, large)]
    forms = [{"bf16": True, "attention": "sdpa", "width": 0, "batch": size, "compile": compiled, "graphs": graphs}
             for compiled, graphs, size in dict.fromkeys(kinds)]
    return [form if not (form["compile"] or form["graphs"]) else {**form, "may_fail": True} for form in forms]


def describe(form):
    words = ["bf16" if form["bf16"] else "tf32" if form.get("tf32") else "fp32", form["attention"],
             f"batch {form['batch']}"]
    return " ".join(words + [name for name in ("compile", "graphs") if form.get(name)])


def strongest_form(peer, mode, batches, candidates):
    """The fastest of the candidates per second of processor time (on a GPU: of wall time), each run twice over a part
    of the samples. Ends with a run over all of them, so that no shape is new to the timed ones."""
    key = "seconds" if peer.device == "cuda" else "core_seconds"
    part = batches[:max(peer.ranks, len(batches) // 2)]
    tried = []
    for form in candidates:
        answers = [peer.run(mode, form, part)]
        if "error" not in answers[0]:
            answers.append(peer.run(mode, form, part))
        failed = [a["error"] for a in answers if "error" in a]
        if failed:
            print(f"{peer.dims} {mode}: {describe(form)} left out: {failed[0]}", file=sys.stderr, flush=True)
            continue
        tried.append((min(a[key] for a in answers), form))
        print(f"{peer.dims} {mode}: {describe(form)}: {1 / tried[-1][0]:.1f} samples/s", file=sys.stderr, flush=True)
    for _, form in sorted(tried, key=lambda item: item[0]):
        if "error" not in peer.run(mode, form, batches):
            # From here on it must work.
            return {name: value for name, value in form.items() if name != "may_fail"}
    raise RuntimeError("no form of PyTorch works here")


def run_ladle(arguments, dims, mode, lengths_file, samples):
    """One repetition after a warm-up of the same samples; seconds and processor seconds per sample."""
    batch = min(arguments.batch, samples)
    command = [arguments.ladle, "bench", "step" if mode == "train" else "eval", "--dims", dims,
               "--lengths", lengths_file, "--train.batch", str(batch), "--steps", str(samples // batch),
               "--repetitions", "1", "--model.precision", arguments.precision]
    if arguments.device == "cuda":
        command[-4:-2] = ["--repetitions", "3"]
        command += ["--train.device", "cuda", "--eval.batch", str(batch)]
    if arguments.ranks > 1:
        command = ["mpirun", "-n", str(arguments.ranks)] + command
    out = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **MPI_SETTINGS}).stdout
    record = json.loads(out.splitlines()[0])
    return {"seconds": 1 / record["samples_per_second"], "core_seconds": 1 / record["samples_per_core_second"],
            "record": record}


def compare(arguments, peer, dims, task, path, mode):
    """Rows of one task: one per peer."""
    lengths = read_lengths(path)
    # An evaluation is several times faster and has costs of its own per call: it gets twice the samples.
    batches = measured_batches(lengths, arguments.samples * (2 if mode == "eval" else 1))
    flat = [length for batch in batches for length in batch]
    random.Random(2).shuffle(flat)
    peers = {}
    on_gpu = arguments.device == "cuda"
    if "published" in arguments.peers and on_gpu:
        peers["published"] = (published_form(arguments.batch), [flat])
        peers["published, TF32"] = (published_form(arguments.batch, tf32=True), [flat])
    elif "published" in arguments.peers:
        form = published_form(min(PAIR, arguments.padded_samples))
        count = max(arguments.padded_samples, form["batch"] * arguments.ranks)
        peers["published"] = (form, [flat[:count]])
    if "strongest" in arguments.peers and on_gpu:
        whole = [sorted(flat)]  # cut into batches of like lengths, whatever their size
        peers["strongest"] = (strongest_form(peer, mode, whole, candidates_on_gpu(mode, arguments.batch)), whole)
    elif "strongest" in arguments.peers:
        peers["strongest"] = (strongest_form(peer, mode, batches, candidates_on_cpu()), batches)
    times = {name: [] for name in ("ladle", *peers)}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(" ".join(map(str, flat)) + "\n")
        file.flush()
        for _ in range(arguments.rounds):
            times["ladle"].append(run_ladle(arguments, dims, mode, file.name, len(flat)))
            for name, (form, its_batches) in peers.items():
                times[name].append(peer.run(mode, form, its_batches))

    def rate(name, key):
        return 1 / statistics.median(t[key] for t in times[name])

    def ratio(name, key):
        return statistics.median(theirs[key] / ours[key] for ours, theirs in zip(times["ladle"], times[name]))

    shares = [t["record"]["share_of_peak"] or 0 for t in times["ladle"]]
    for name, (form, its_batches) in peers.items():
        yield {
            "dims": dims, "task": task, "mode": mode, "peer": name, "ranks": arguments.ranks,
            "precision": arguments.precision, "samples": len(flat), "mean_tokens": round(statistics.mean(flat), 1),
            "mean_tokens_of_all": round(statistics.mean(lengths), 1), "rounds": arguments.rounds,
            "ladle_samples_per_core_second": round(rate("ladle", "core_seconds"), 2),
            "torch_samples_per_core_second": round(rate(name, "core_seconds"), 2),
            "ratio_per_core_second": round(ratio(name, "core_seconds"), 2),
            "ladle_samples_per_second": round(rate("ladle", "seconds"), 2),
            "torch_samples_per_second": round(rate(name, "seconds"), 2),
            "ratio_wall": round(ratio(name, "seconds"), 2),
            "ladle_share_of_peak": round(statistics.median(shares), 3),
            "torch_form": describe(form), "batch": min(arguments.batch, len(flat)),
            "torch_samples": sum(len(b) for b in its_batches), **peer.versions,
            "kernels": times["ladle"][0]["record"]["kernels"]}


COLUMNS = [("dims", "dims"), ("task", "task"), ("mode", "mode"), ("peer", "peer"), ("tokens", "mean_tokens"),
           ("ladle /core-s", "ladle_samples_per_core_second"), ("torch /core-s", "torch_samples_per_core_second"),
           ("ratio", "ratio_per_core_second"), ("ratio wall", "ratio_wall"), ("peak share", "ladle_share_of_peak"),
           ("torch form", "torch_form")]


GPU_COLUMNS = [("dims", "dims"), ("task", "task"), ("mode", "mode"), ("peer", "peer"), ("batch", "batch"),
               ("tokens", "mean_tokens"), ("ladle", "precision"), ("ladle samples/s", "ladle_samples_per_second"),
               ("torch samples/s", "torch_samples_per_second"), ("ratio", "ratio_wall"),
               ("peak share", "ladle_share_of_peak"), ("torch form", "torch_form")]


def print_table(rows, columns):
    cells = [[title for title, _ in columns]] + [[str(row[key]) for _, key in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for line in cells:
        print("  ".join(cell.ljust(width) if i < 4 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ladle", default=str(HERE.parents[1] / "build" / "release" / "ladle"))
    parser.add_argument("--python", default=sys.executable, help="a Python with torch and transformers")
    parser.add_argument("--lengths", default=str(LENGTHS), help="directory of lengths_<task>.txt files")
    parser.add_argument("--tasks", nargs="*", metavar="NAME[=FILE]")
    parser.add_argument("--dims", nargs="*", default=["minilm"], choices=["minilm", "bert-base", "roberta-large"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="of both sides")
    parser.add_argument("--form-limit", type=int, default=90, help="seconds of a compiled or captured form")
    parser.add_argument("--modes", nargs="*", default=["train", "eval"], choices=["train", "eval"])
    parser.add_argument("--peers", nargs="*", default=["published", "strongest"], choices=["published", "strongest"])
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"], help="of ladle")
    parser.add_argument("--ranks", type=int, default=1, help="processes on both sides")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=256, help="of training; evaluation takes twice as many")
    parser.add_argument("--padded-samples", type=int, default=32, help="of the published form")
    parser.add_argument("--batch", type=int, default=64, help="ladle's global batch")
    parser.add_argument("--output", help="rows are appended here as JSON lines")
    arguments = parser.parse_args()
    tasks = arguments.tasks or sorted(p.stem.removeprefix("lengths_")
                                      for p in pathlib.Path(arguments.lengths).glob("lengths_*.txt"))
    arguments.tasks = {}
    for task in tasks:
        name, _, path = task.partition("=")
        arguments.tasks[name] = path or str(pathlib.Path(arguments.lengths) / f"lengths_{name}.txt")
    if not arguments.tasks:
        parser.error(f"no lengths_*.txt in {arguments.lengths}: give --lengths or --tasks NAME=FILE")
    return arguments


def main():
    arguments = parse_arguments()
    rows = []
    for dims in arguments.dims:
        peer = TorchPeer(arguments.python, dims, arguments.ranks, arguments.device, arguments.form_limit)
        for task, path in arguments.tasks.items():
            for mode in arguments.modes:
                for row in compare(arguments, peer, dims, task, path, mode):
                    rows.append(row)
                    print(json.dumps(row), file=sys.stderr, flush=True)
                    if arguments.output:
                        with open(arguments.output, "a", encoding="utf-8") as file:
                            file.write(json.dumps(row) + "\n")
        peer.close()
    print_table(rows, GPU_COLUMNS if arguments.device == "cuda" else COLUMNS)


if __name__ == "__main__":
    main()

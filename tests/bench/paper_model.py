#!/usr/bin/env python3
"""A step on a GPU on paper: memory of a rank, time of a step from arithmetic, traffic and launches, scaling to 16 GPUs.

Counts what the kernels called by src/models/encoder_block.cpp read and write, one row per kernel, and gives each the
larger of its arithmetic at peak and its bytes at full bandwidth. Nothing is measured here: figures of real GPUs stand
beside it in CONTRIBUTING.md. Standard library only. Usage: tests/bench/paper_model.py [--kernels]
  --kernels  also the rows of one layer, kernel by kernel
"""
import argparse
from collections import namedtuple

Model = namedtuple("Model", "name hidden layers heads vocabulary positions types bottleneck pooler")
MODELS = [
    Model("MiniLM-L6", 384, 6, 12, 30522, 512, 2, 16, True),
    Model("BERT-base", 768, 12, 12, 30522, 512, 2, 48, True),
    Model("RoBERTa-large", 1024, 24, 16, 50265, 514, 1, 16, False),
]
EXPERTS = 4  # of the down projection; the up projection is shared
OUTPUTS = 2
PASSES = 2
DOWN_CALLS = 1.75  # two passes draw the same of four experts once in four times, and then share calls

# FLOP/s of bf16 products, of fp32, bytes/s: NVIDIA's data sheets, dense.
Gpu = namedtuple("Gpu", "name bf16 fp32 bandwidth")
GPUS = [Gpu("H100", 989e12, 67e12, 3.35e12), Gpu("H200", 989e12, 67e12, 4.8e12)]
LAUNCH_SECONDS = 4e-6
NVLINK = 450e9  # bytes/s and direction within a node
NETWORK = 50e9  # bytes/s and GPU between nodes
NODE = 8

# MRPC, the 512 samples of tests/gpu/evidence.sh: mean length, mean square, longest of a batch of 64 rounded up to 8.
TOKENS, SQUARES, LONGEST = 27266 / 512, 1536276 / 512, 80
MEASURED_LONGEST = 4715  # tokens of the 64 longest of them, for which memory is planned
MIB = 1 << 20

# Bytes and FLOP of a kernel per token: coefficients of H (width), P (H, padded to the longest), Q (scores of a token,
# padded), b (bottleneck), then FLOP in units of H*H, of H*Q (all heads, one product) and of H*b. kind: bf16, fp32 or ""
# (precision of the run). calls: launches. all_rows: computed for all tokens in the last layer, too.
Kernel = namedtuple("Kernel", "name H P Q b HH A Hb kind calls all_rows")


def kernel(name, H=0.0, P=0.0, Q=0.0, b=0.0, HH=0.0, A=0.0, Hb=0.0, kind="", calls=1.0, all_rows=False):
    return Kernel(name, H, P, Q, b, HH, A, Hb, kind, calls, all_rows)


def forward_kernels(e):
    """e: bytes of an operand of a product."""
    rounded = 6 if e == 2 else 0  # reads fp32, writes bf16
    return [
        kernel("operands rounded", H=5 * rounded, b=rounded, calls=(5 + DOWN_CALLS) * (e == 2)),
        kernel("query", H=e + 4, HH=2),
        kernel("key and value", H=e + 8, HH=4, all_rows=True),
        kernel("heads copied", H=12, P=3 * e, calls=3),
        kernel("scores", P=2 * e, Q=4, A=2),
        kernel("softmax and dropout", Q=4 + e),
        kernel("context", P=e + 4, Q=e, A=2),
        kernel("heads copied back", H=8),
        kernel("attention output", H=e + 4, HH=2),
        kernel("dropout, residual, norm", H=16),
        kernel("inner", H=e + 16, HH=8),
        kernel("GELU", H=16 + 4 * e),
        kernel("outer", H=4 * e + 4, HH=8),
        kernel("adapter down", H=e, b=4, Hb=2, calls=DOWN_CALLS),
        kernel("adapter GELU", b=8),
        kernel("adapter up", H=4, b=e, Hb=2),
        kernel("addition", H=12),
        kernel("dropout, residual, norm", H=16),
    ]


def adapter_gradient_kernels(chunk_bytes):
    """What the lowest layer computes of its backward. chunk_bytes: of one weight's partial sums, per token over H."""
    return [
        kernel("norm", H=16),
        kernel("adapter up, weight", H=4 + chunk_bytes, b=4, Hb=2, kind="fp32", calls=2),
        kernel("adapter up, bias", H=4, calls=2),
        kernel("adapter GELU", b=12),
        kernel("adapter down, weight", H=4 + chunk_bytes, b=4, Hb=2, kind="fp32", calls=2 * DOWN_CALLS),
        kernel("adapter down, bias", b=4, calls=2 * DOWN_CALLS),
    ]


def backward_kernels(e):
    rounded = 6 if e == 2 else 0
    return [
        kernel("operands rounded", H=6 * rounded, b=rounded, calls=(5 + DOWN_CALLS) * (e == 2)),
        kernel("adapter up", H=e, b=4, Hb=2),
        kernel("adapter down", H=4, b=e, Hb=2, calls=DOWN_CALLS),
        kernel("addition", H=12),
        kernel("outer", H=e + 16, HH=8),
        kernel("GELU", H=32 + 4 * e),
        kernel("inner", H=4 * e + 4, HH=8),
        kernel("addition", H=12),
        kernel("norm, residual, dropout", H=16),
        kernel("attention output", H=e + 4, HH=2),
        kernel("heads copied", H=16, P=4 * e, calls=4),
        kernel("scores again", P=2 * e, Q=4, A=2),
        kernel("of probabilities", P=2 * e, Q=4, A=2),
        kernel("of softmax and dropout", Q=8 + 2 * e),
        kernel("of query, key, value", P=3 * e + 12, Q=3 * e, A=6, calls=3),
        kernel("heads copied back", H=24, calls=3),
        kernel("key and value", H=2 * e + 4, HH=4, all_rows=True),
        kernel("query", H=e + 4, HH=2),
        kernel("additions", H=24, calls=2),
    ]


class Workload:
    def __init__(self, model, precision, batch):
        self.model, self.precision, self.batch = model, precision, batch
        self.e = 2 if precision == "bf16" else 4
        self.rows = batch * PASSES * TOKENS
        self.padding = LONGEST / TOKENS
        self.scores = model.heads * LONGEST * self.padding
        weight = model.hidden * model.bottleneck
        chunk = 64 if weight <= 32768 else 128
        self.adapter_gradients = adapter_gradient_kernels(8 * model.bottleneck / chunk)
        self.forward, self.backward = forward_kernels(self.e), backward_kernels(self.e)

    def bytes_per_token(self, k):
        h = self.model.hidden
        return k.H * h + k.P * h * self.padding + k.Q * self.scores + k.b * self.model.bottleneck

    def flop_per_token(self, k):
        h = self.model.hidden
        attention = h * LONGEST * self.padding
        return k.HH * h * h + k.A * attention + k.Hb * h * self.model.bottleneck

    def seconds(self, k, gpu):
        """One call over all rows: the larger of arithmetic and traffic, weights read once."""
        h = self.model.hidden
        weights = self.e * (k.HH / 2 * h * h + k.Hb / 2 * h * self.model.bottleneck * (k.kind == ""))
        traffic = self.rows * self.bytes_per_token(k) + weights
        peak = gpu.bf16 if self.precision == "bf16" and k.kind == "" else gpu.fp32
        return max(self.rows * self.flop_per_token(k) / peak, traffic / gpu.bandwidth)

    def groups(self, backward):
        """The groups of segments that attention takes (src/backends/cuda/attention.cpp)."""
        h, q = self.model.hidden, self.model.heads * LONGEST
        e, f = self.e, self.precision == "bf16"
        segment = LONGEST * (h * (3 * e + 4) + q * (4 + e * f))
        if backward:
            segment += LONGEST * (h * (e + 8) + q * (4 + e * f))
        return -(-self.batch * PASSES // int(256 * MIB // segment)), segment

    def layers(self):
        """Kernels and in how many layers they run over all tokens, forward and backward."""
        n = self.model.layers
        every = [(k, n if k.all_rows else n - 1) for k in self.forward]
        every += [(k, n - 1) for k in self.adapter_gradients]
        every += [(k, n - 1 if k.all_rows else n - 2) for k in self.backward]
        return every

    def launches(self):
        n = self.model.layers
        attention = ("heads", "scores", "softmax", "context", "of ")
        count = 0.0
        for kernels, layers, groups in ((self.forward, n, self.groups(False)[0]), (self.adapter_gradients, n, 1),
                                        (self.backward, n - 1, self.groups(True)[0])):
            count += layers * sum(k.calls * (groups if k.name.startswith(attention) else 1) for k in kernels)
        weights = n * (DOWN_CALLS + 1)
        return count + weights + 60  # about: embeddings, head, losses, sums, norm, update, copies of the batch

    def traffic_bytes(self):
        return self.rows * (sum(n * self.bytes_per_token(k) for k, n in self.layers()) + 36 * self.model.hidden) \
            + 100 * parameters(self.model)

    def gpu_seconds(self, gpu):
        outside = (self.rows * 36 * self.model.hidden + 100 * parameters(self.model)) / gpu.bandwidth
        return sum(n * self.seconds(k, gpu) for k, n in self.layers()) + outside

    def host_seconds(self):
        return self.launches() * LAUNCH_SECONDS

    def executed_flop(self):
        return self.rows * sum(n * self.flop_per_token(k) for k, n in self.layers())

    def step_seconds(self, gpu):
        return max(self.gpu_seconds(gpu), self.host_seconds())


def useful_flop(model):
    """Per sample, as src/bench/flops.cpp counts them."""
    h, n = model.hidden, model.layers
    frozen, attention, adapter = 2 * TOKENS * 12 * h * h, 4 * SQUARES * h, 4 * TOKENS * h * model.bottleneck
    head = 2 * h * h + 2 * h * OUTPUTS
    forward = n * (frozen + attention + adapter) + head
    backward = (n - 1) * (frozen + 2 * attention + adapter) + adapter / 2 + n * adapter
    backward += (2 if model.pooler else 4) * h * h + 4 * h * OUTPUTS
    return PASSES * (forward + backward)


def parameters(model):
    h, b = model.hidden, model.bottleneck
    head = OUTPUTS * (h + 1) + (0 if model.pooler else h * (h + 1))
    return model.layers * (EXPERTS * (h * b + b) + b * h + h) + head


def tensors(model):
    return model.layers * 2 * (EXPERTS + 1) + (2 if model.pooler else 4)


def print_table(title, heads, rows):
    print(f"\n{title}")
    rows = [heads] + [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    for row in rows:
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))))


def mebibytes(number):
    return f"{number / MIB:,.1f}"


def memory_rows(model, precision, leaf, tokens):
    """Bytes of a rank whose largest leaf has `leaf` samples of `tokens` tokens."""
    e, h, n = (2 if precision == "bf16" else 4), model.hidden, model.layers
    rows = leaf * PASSES * tokens
    matrices = n * 12 * h * h * e + (4 * h * h if model.pooler else 0)
    vectors = 4 * (n * 13 * h + 2 * h + (h if model.pooler else 0))
    tables = 4 * h * (model.vocabulary + model.positions + model.types)
    trained = parameters(model)
    saved = 44 * h + 4 * model.heads + 8 + 8 * model.bottleneck
    segment = tokens * (h * (4 * e + 12) + model.heads * tokens * (12 if precision == "bf16" else 8))
    return {
        "frozen weights": matrices + vectors + tables,
        "trained: values, moments, gradient": 16 * trained,
        "trained: int64 sums, own and over ranks": 16 * (trained + 2 * tensors(model)),
        "adapters as operands, and their mean": n * h * model.bottleneck * ((EXPERTS + 1) * e + 2 * (e + 4)),
        "saved for backward": rows * ((n - 1) * saved + 8 * h + 16 * h),
        "working rows of a block": rows * 32 * h,
        "attention": min(leaf * PASSES * segment, max(segment, 256 * MIB)),
        "products: operand and wide rows": rows * 4 * h * ((e if e == 2 else 0) + 4),
        "cuBLASLt workspace": 32 * MIB,
    }


def print_memory():
    heads, columns = ["MiB per rank"], []
    for model in MODELS[1:]:
        for precision in ("bf16", "fp32"):
            heads.append(f"{model.name} {precision}")
            columns.append(memory_rows(model, precision, 32, 128))
    rows = [[name] + [mebibytes(column[name]) for column in columns] for name in columns[0]]
    rows.append(["total"] + [mebibytes(sum(column.values())) for column in columns])
    print_table("Memory, largest leaf 32 samples of 128 tokens, two passes", heads, rows)
    measured = memory_rows(MODELS[1], "bf16", 64, MEASURED_LONGEST / 64)
    print(f"BERT-base bf16 with the 64 longest MRPC samples in a leaf: {mebibytes(sum(measured.values()))} MiB")


def print_steps():
    heads = ["batch 64, one leaf", "useful GFLOP", "TFLOP done", "GB moved", "launches", "arithmetic (ms)",
             "traffic (ms)", "GPU (ms)", "host (ms)", "step (ms)", "useful TFLOP/s"]
    rows = []
    for model in MODELS:
        for precision in ("bf16", "fp32"):
            for gpu in GPUS:
                work = Workload(model, precision, 64)
                peak = gpu.bf16 if precision == "bf16" else gpu.fp32
                step = work.step_seconds(gpu)
                rows.append([f"{model.name} {precision} {gpu.name}", f"{useful_flop(model) / 1e9:.2f}",
                             f"{work.executed_flop() / 1e12:.2f}", f"{work.traffic_bytes() / 1e9:.1f}",
                             f"{work.launches():.0f}", f"{work.executed_flop() / peak * 1e3:.2f}",
                             f"{work.traffic_bytes() / gpu.bandwidth * 1e3:.2f}", f"{work.gpu_seconds(gpu) * 1e3:.2f}",
                             f"{work.host_seconds() * 1e3:.2f}", f"{step * 1e3:.2f}",
                             f"{64 * useful_flop(model) / step / 1e12:.0f}"])
    print_table(f"A step on one GPU, two passes, {TOKENS:.1f} tokens per sample, padded to {LONGEST} in attention",
                heads, rows)


def reduce_seconds(model, ranks, bytes_per_value):
    if ranks == 1:
        return 0.0
    volume = bytes_per_value * (parameters(model) + 2 * tensors(model))
    return 2 * (ranks - 1) / ranks * volume / (NVLINK if ranks <= NODE else NETWORK)


def print_scaling(gpu, per_gpu):
    heads = [f"{gpu.name} bf16, " + ("64 samples per GPU" if per_gpu else "64 samples in all"), "GPUs", "leaf",
             "GPU (ms)", "host (ms)", "sums exact (ms)", "fast (ms)", "step (ms)", "samples/s", "speed-up", "bound by"]
    rows = []
    for model in MODELS[1:]:
        for ranks in (1, 2, 4, 8, 16):
            leaf = 64 if per_gpu else 64 // ranks
            work = Workload(model, "bf16", leaf)
            parts = {"GPU": work.gpu_seconds(gpu), "launches": work.host_seconds(),
                     "sums": reduce_seconds(model, ranks, 8)}
            step = work.step_seconds(gpu) + parts["sums"]
            speed = leaf * ranks / step
            first = speed if ranks == 1 else first
            rows.append([model.name, ranks, leaf, f"{parts['GPU'] * 1e3:.2f}", f"{parts['launches'] * 1e3:.2f}",
                         f"{parts['sums'] * 1e3:.3f}", f"{reduce_seconds(model, ranks, 4) * 1e3:.3f}",
                         f"{step * 1e3:.2f}", f"{speed:,.0f}", f"{speed / first:.2f}", max(parts, key=parts.get)])
    print_table("Scaling: step = larger of GPU and host, then the sums", heads, rows)


def print_kernels(model, precision, gpu):
    work = Workload(model, precision, 64)
    rows = []
    for title, kernels in (("forward", work.forward), ("lowest too", work.adapter_gradients),
                           ("backward", work.backward)):
        for k in kernels:
            if k.calls == 0:
                continue
            rows.append([f"{title}: {k.name}", f"{k.H:g}", f"{k.P:g}", f"{k.Q:g}", f"{k.b:g}", f"{k.calls:g}",
                         f"{work.bytes_per_token(k):,.0f}", f"{work.flop_per_token(k) / 1e6:.3f}",
                         f"{work.seconds(k, gpu) * 1e6:.1f}"])
    print_table(f"One layer of {model.name} {precision}, bytes per token in units of H, P = H padded, Q scores, b; "
                f"time on {gpu.name} at batch 64", ["kernel", "H", "P", "Q", "b", "launches", "bytes", "MFLOP", "us"],
                rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", action="store_true", help="also one layer, kernel by kernel")
    options = parser.parse_args()
    if options.kernels:
        print_kernels(MODELS[1], "bf16", GPUS[1])
    print_memory()
    print_steps()
    for per_gpu in (False, True):
        print_scaling(GPUS[0], per_gpu)


if __name__ == "__main__":
    main()

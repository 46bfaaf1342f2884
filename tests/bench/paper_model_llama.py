#!/usr/bin/env python3
"""A training step of LLaMA-3.1-8B with MoA experts on one GPU, on paper: bytes of a rank, time of a step.

Counts what src/models/decoder.cpp, src/models/decoder_block.cpp and src/adapters/moa call on a GPU, one row per kernel,
and gives each the larger of its arithmetic at peak and its bytes at full bandwidth, as paper_model.py does. Nothing is
measured here. Standard library only. Usage: tests/bench/paper_model_llama.py [--kernels]
  --kernels  also the rows of one block, kernel by kernel
"""
import argparse
from collections import namedtuple

from paper_model import GPUS, Gpu, LAUNCH_SECONDS, MIB, print_table

# LLaMA-3.1-8B, and the published experts: LoRA of rank 8 on Q, K, V, O and FFN_DOWN, adapters of 16, prompts of 10.
D, LAYERS, HEADS, KV_HEADS, HEAD_DIM, F, V = 4096, 32, 32, 8, 128, 14336, 128256
Q, KV = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
RANK, ADAPTER, PROMPT, EXPANSION = 8, 16, 10, 4
LORA = {"Q": (D, Q), "K": (D, KV), "V": (D, KV), "O": (Q, D), "DOWN": (F, D)}

# The published recipe: micro-batches of 8 samples of up to 300 tokens. Half of the tokens are to be predicted.
BATCH, TOKENS, TARGETS = 8, 300, 150
PADDED, PROMPT_PADDED = 304, 16  # lengths in attention's arrays: multiples of 8
LOGIT_ROWS = 256

# RTX 4090 as the 24 GB card: NVIDIA's data sheet, dense, bf16 with fp32 sums. Its usable memory is about 23.5 GiB.
CARDS = [(Gpu("RTX 4090", 165.2e12, 82.6e12, 1.008e12), 24), (GPUS[0], 80), (GPUS[1], 141)]
SYNC_SECONDS = 20e-6  # assumed: the host reads a router's choice and queues work again

# Per token of a micro-batch: bytes moved and FLOP; once per micro-batch: bytes of weights and launches.
# tensor: whether the FLOP are bf16 products.
Kernel = namedtuple("Kernel", "name bytes flop weights launches tensor")


def move(name, size, launches=1.0):
    return Kernel(name, size, 0.0, 0.0, launches, False)


def rounded(name, width, share=1.0):
    return move(f"{name}: rounded", 6 * width * share)


def product(name, inputs, outputs, adds=False, share=1.0):
    return Kernel(name, share * (2 * inputs + (8 if adds else 4) * outputs), share * 2 * inputs * outputs,
                  2 * inputs * outputs, 1, True)


def weight_gradient(name, outputs, inputs, share=1.0):
    """fp32 sums of chunks of 64 or 128 tokens, written and read."""
    chunk = 64 if outputs * inputs <= 32768 else 128
    size = 4 * (outputs + inputs) + 8 * outputs * inputs / chunk
    return Kernel(f"{name}: weight gradient", share * size, share * 2 * outputs * inputs, 0, 2, False)


class Step:
    """share: of the pairs of a token and an expert that Sparse MoA computes; None: Soft MoA."""

    def __init__(self, share, samples=BATCH):
        self.sparse, self.share, self.samples = share is not None, 1.0 if share is None else share, samples
        self.rows = samples * TOKENS
        self.types = 6 if self.sparse else 7
        self.width = EXPANSION * self.types

    def lora_forward(self, site):
        inputs, outputs = LORA[site]
        name, s = f"LoRA {site}", self.share
        rows = [rounded(name, inputs, s), product(f"{name} A", inputs, RANK, share=s),
                move(f"{name}: weighted, rounded", 14 * RANK * s, 2), product(f"{name} B", RANK, outputs, share=s)]
        return self.gathered(name, inputs, outputs) + rows + [move(f"{name}: added", 12 * outputs)]

    def gathered(self, name, inputs, outputs):
        if not self.sparse:
            return []
        return [move(f"{name}: gathered", 8 * inputs * self.share, 2),
                move(f"{name}: scattered", 4 * outputs + 12 * outputs * self.share, 2)]

    def lora_backward(self, site):
        inputs, outputs = LORA[site]
        name, s = f"LoRA {site}", self.share
        rows = [move(f"{name}: columns", 8 * outputs), weight_gradient(f"{name} B", outputs, RANK, s),
                rounded(name, outputs, s), product(f"{name} B", outputs, RANK, share=s),
                move(f"{name}: weights of experts, rounded", 30 * RANK * s, 3),
                weight_gradient(f"{name} A", RANK, inputs, s),
                product(f"{name} A", RANK, inputs, adds=not self.sparse, share=s)]
        return rows + self.gathered_backward(name, inputs, outputs)

    def gathered_backward(self, name, inputs, outputs):
        if not self.sparse:
            return []
        return [move(f"{name}: gathered", 8 * outputs * self.share, 2),
                move(f"{name}: scattered", 12 * inputs * self.share, 2)]

    def router_forward(self):
        w, n = self.width, self.types
        rows = [rounded("router", D), product("router w1", D, w), product("router w3", D, w),
                move("router: silu, rounded, weights", 18 * w + 20 * n, 4), product("router w2", w, n)]
        return rows + ([rounded("threshold", D), product("threshold", D, 1)] if self.sparse else [])

    def router_backward(self):
        w, n = self.width, self.types
        return [move("router: weights, silu", 24 * n + 26 * w, 4), weight_gradient("router w2", n, w),
                product("router w2", n, w), weight_gradient("router w3", w, D), weight_gradient("router w1", w, D),
                move("router: rounded", 12 * w, 2), product("router w3", w, D, adds=True),
                product("router w1", w, D, adds=True)]

    def attention_forward(self, keys, name="attention", causal=True):
        scores = HEADS * keys
        copied = 6 * (Q + (2 * KV if causal else 0))
        return [move(f"{name}: heads copied", copied),
                Kernel(f"{name}: scores", 2 * Q + 4 * scores, 2 * Q * keys, 0, 1, True),
                move(f"{name}: softmax", 6 * scores),
                Kernel(f"{name}: context", 2 * scores + 4 * Q, 2 * Q * keys, 0, 1, True),
                move(f"{name}: heads copied back", 8 * Q)]

    def attention_backward(self, keys, name="attention", causal=True):
        scores = HEADS * keys
        of_keys = 4 * Q if causal else 0
        return [move(f"{name}: heads copied", 6 * (2 * Q + (2 * KV if causal else 0))),
                Kernel(f"{name}: scores again, of probabilities", 4 * Q + 8 * scores, 4 * Q * keys, 0, 2, True),
                move(f"{name}: of softmax", 12 * scores),
                Kernel(f"{name}: of query, key, value", 6 * scores + 4 * Q + 4 * Q + 2 * of_keys, 6 * Q * keys, 0, 3,
                       True),
                move(f"{name}: heads copied back", 8 * Q + (2 * (4 * Q + 4 * KV) if causal else 0))]

    def prompt_forward(self):
        if self.sparse:
            return []
        keys = [Kernel("prompt: keys and values", 0, 0, 2 * D * 2 * KV, 4, True)]
        return keys + self.attention_forward(PROMPT_PADDED, "prompt", False) + \
            [move("prompt: gates, weighted, added", 20 * Q + 20 * HEADS, 4)]

    def prompt_backward(self):
        if self.sparse:
            return []
        return [move("prompt: gates, weights", 16 * Q + 48 * HEADS, 6)] + \
            self.attention_backward(PROMPT_PADDED, "prompt", False) + \
            [move("prompt: added", 12 * Q), Kernel("prompt: of keys and values", 0, 0, 2 * D * 2 * KV, 4, True)]

    def adapter_forward(self):
        s, gathered = self.share, self.gathered("adapter", D, D)
        return gathered + [rounded("adapter", D, s), product("adapter down", D, ADAPTER, share=s),
                           move("adapter: silu, rounded", 14 * ADAPTER * s, 2),
                           product("adapter up", ADAPTER, D, share=s), move("adapter: weighted", 8 * D * s),
                           move("adapter: added", 12 * D)]

    def adapter_backward(self):
        s = self.share
        rows = [move("adapter: columns, weight", 8 * D + 16 * D * s, 3), weight_gradient("adapter up", D, ADAPTER, s),
                rounded("adapter", D, s), product("adapter up", D, ADAPTER, share=s),
                move("adapter: silu, rounded", 18 * ADAPTER * s, 2), weight_gradient("adapter down", ADAPTER, D, s),
                product("adapter down", ADAPTER, D, adds=not self.sparse, share=s)]
        return rows + self.gathered_backward("adapter", D, D)

    def block_forward(self):
        rows = self.router_forward() + [move("norm", 8 * D), rounded("query, key, value", D), product("query", D, Q),
                                        product("key and value", D, 2 * KV)]
        for site in ("Q", "K", "V"):
            rows += self.lora_forward(site)
        rows += [move("rotations", 8 * (Q + KV), 2)] + self.attention_forward(PADDED) + self.prompt_forward()
        rows += [rounded("output", Q), product("output", Q, D)] + self.lora_forward("O")
        rows += [move("residual", 12 * D), move("norm", 8 * D), rounded("gate, up", D), product("gate", D, F),
                 product("up", D, F), move("silu", 12 * F), rounded("down", F), product("down", F, D)]
        return rows + self.lora_forward("DOWN") + self.adapter_forward() + [move("residual", 12 * D)]

    def block_backward(self):
        rows = [rounded("down", D), product("down", D, F)] + self.lora_backward("DOWN")
        rows += [move("silu", 20 * F), rounded("gate", F), product("gate", F, D), rounded("up", F),
                 product("up", F, D, adds=True)] + self.adapter_backward() + [move("norm, residual", 16 * D)]
        rows += [rounded("output", D), product("output", D, Q)] + self.lora_backward("O")
        rows += self.attention_backward(PADDED) + self.prompt_backward() + [move("zeros", 4 * D)]
        rows += [move("rotations", 8 * (Q + KV), 2), rounded("query", Q), product("query", Q, D, adds=True),
                 rounded("key and value", 2 * KV), product("key and value", 2 * KV, D, adds=True)]
        for site in ("V", "K", "Q"):
            rows += self.lora_backward(site)
        return rows + [move("norm, residual", 16 * D)] + self.router_backward()

    def logits(self):
        """Per token to be predicted; weights are read once per LOGIT_ROWS."""
        return [move("gathered, norm, rounded", 8 * D + 8 * D + 6 * D, 3), product("logits", D, V),
                move("cross entropy", 8 * V), rounded("logits", V), product("logits", V, D),
                move("norm, scattered", 12 * D + 8 * D, 2)]

    def parts(self, recompute):
        """(kernels, rows, times)"""
        targets = self.samples * TARGETS
        chunks = -(-targets // LOGIT_ROWS)
        forwards = LAYERS * (2 if recompute else 1)
        return [(self.block_forward(), self.rows, forwards), (self.block_backward(), self.rows, LAYERS),
                (self.logits(), targets / chunks, chunks), ([move("embedding", 8 * D)], self.rows, 1)]

    def syncs(self, recompute):
        return LAYERS * self.types * (2 if recompute else 1) if self.sparse else 0

    def update_bytes(self):
        return 100 * trained(self.sparse)

    def seconds(self, gpu, recompute):
        def of_kernel(k, rows):
            peak = gpu.bf16 if k.tensor else gpu.fp32
            return max(rows * k.flop / peak, (rows * k.bytes + k.weights) / gpu.bandwidth)
        kernels = sum(times * sum(of_kernel(k, rows) for k in part) for part, rows, times in self.parts(recompute))
        return kernels + self.update_bytes() / gpu.bandwidth

    def totals(self, recompute):
        flop, moved, launches = 0, self.update_bytes(), 0
        for part, rows, times in self.parts(recompute):
            flop += times * rows * sum(k.flop for k in part)
            moved += times * sum(rows * k.bytes + k.weights for k in part)
            launches += times * sum(k.launches for k in part)
        return flop, moved, launches

    def useful_flop(self):
        """As src/bench/decoder_work.cpp counts them: attention's real pairs, the lowest block down to its inputs."""
        pairs, tokens = self.rows * (TOKENS + 1) / 2, self.rows
        inputs = 2 * tokens * D * (Q + 2 * KV)
        frozen = inputs + 2 * tokens * (Q * D + 3 * D * F)
        attention = 4 * pairs * Q
        places = RANK * sum(sum(shape) for shape in LORA.values()) + 2 * ADAPTER * D
        experts = 2 * tokens * (self.share * places + self.width * (2 * D + self.types))
        threshold = 2 * tokens * D if self.sparse else 0
        prompts = 0 if self.sparse else 4 * tokens * PROMPT * Q
        keys = 0 if self.sparse else 2 * PROMPT * D * 2 * KV
        block = 2 * frozen + 3 * attention + 3 * (experts + prompts) + threshold + 2 * keys
        return LAYERS * block - inputs + 4 * self.samples * TARGETS * D * V

    def saved_floats(self):
        """Per token and block: what backward reads, the block's output included."""
        common = 5 * D + Q + 2 * KV + 3 * F + HEADS + 2 + 3 * self.width + 2 * self.types
        if self.sparse:
            gathered = sum(inputs + 2 * RANK for inputs, _ in LORA.values()) + D + 2 * ADAPTER + D
            return common + self.types + 1 + 2 * 6 + self.share * gathered
        return common + len(LORA) * 2 * RANK + 2 * ADAPTER + D + Q + 2 * HEADS + self.types

    def scratch_floats(self):
        """Most rows at work at once: backward of FFN_DOWN's LoRA."""
        own = self.share * D if self.sparse else 0
        return 2 * D + D + 2 * F + D + D + F + own

    def memory(self, recompute):
        matrices = LAYERS * (D * Q + 2 * D * KV + Q * D + 3 * D * F) + V * D
        attention = self.samples * (2 * (2 * PADDED * Q + 2 * PADDED * KV) + 12 * HEADS * PADDED * PADDED
                                    + 12 * PADDED * Q)
        blocks = (LAYERS * D + self.saved_floats()) if recompute else LAYERS * self.saved_floats() + D
        return {
            "matrices, bf16": 2 * matrices,
            "embedding table, fp32, and norms": 4 * (V * D + (2 * LAYERS + 1) * D),
            "trained: values, moments, gradient": 16 * trained(self.sparse),
            "trained: int64 sums, own and over ranks": 16 * trained(self.sparse),
            "experts as operands": 2 * trained(self.sparse),
            "saved for backward": 4 * self.rows * blocks,
            "working rows of a block": 4 * self.rows * self.scratch_floats(),
            "logits": 4 * LOGIT_ROWS * (V + 2 * D) + 2 * LOGIT_ROWS * V,
            "attention": min(attention, 256 * MIB),
            "operands of products": 2 * self.rows * F,
            "cuBLASLt workspace": 32 * MIB,
        }


def trained(sparse):
    types = 6 if sparse else 7
    width = EXPANSION * types
    lora = RANK * sum(sum(shape) for shape in LORA.values())
    adapter = 2 * ADAPTER * D + ADAPTER + D
    router = 2 * (D * width + width) + width * types + types
    return LAYERS * (lora + adapter + router + (D + 1 if sparse else PROMPT * D + HEADS))


SYSTEMS = [("Soft MoA", None), ("Sparse MoA, all pairs", 1.0), ("Sparse MoA, half", 0.5)]


def gibibytes(number):
    return f"{number / 2**30:.2f}"


def print_memory():
    heads, columns = ["GiB"], []
    for name, share in (SYSTEMS[0], SYSTEMS[1]):
        for samples in (8, 1):
            for recompute in (False, True):
                heads.append(f"{name}, {samples} samples" + (", inputs kept" if recompute else ""))
                columns.append(Step(share, samples).memory(recompute))
    rows = [[name] + [gibibytes(column[name]) for column in columns] for name in columns[0]]
    rows.append(["total"] + [gibibytes(sum(column.values())) for column in columns])
    print_table(f"Memory of a rank, LLaMA-3.1-8B, samples of {TOKENS} tokens", heads, rows)


def print_steps():
    heads = [f"{BATCH} samples of {TOKENS} tokens", "GiB", "fits", "useful TFLOP", "TFLOP done", "GB moved", "launches",
             "arithmetic (ms)", "traffic (ms)", "GPU (ms)", "host (ms)", "step (ms)", "tokens/s", "share of peak"]
    rows = []
    for gpu, size in CARDS:
        for name, share in SYSTEMS:
            for samples, recompute in ((8, False), (8, True), (1, False)):
                step, times = Step(share, samples), BATCH // samples
                flop, moved, launches = (times * total for total in step.totals(recompute))
                memory = sum(step.memory(recompute).values())
                work = times * step.seconds(gpu, recompute)
                host = launches * LAUNCH_SECONDS + times * step.syncs(recompute) * SYNC_SECONDS
                seconds = max(work, host)
                useful = times * step.useful_flop()
                label = f"{gpu.name} {size} GB, {name}" + (", inputs kept" if recompute else "") + \
                    (", one by one" if samples == 1 else "")
                rows.append([label, f"{memory / 2**30:.1f}", "yes" if memory < 0.98 * size * 2**30 else "no",
                             f"{useful / 1e12:.1f}", f"{flop / 1e12:.1f}", f"{moved / 1e9:.0f}", f"{launches:.0f}",
                             f"{flop / gpu.bf16 * 1e3:.0f}", f"{moved / gpu.bandwidth * 1e3:.0f}", f"{work * 1e3:.0f}",
                             f"{host * 1e3:.0f}", f"{seconds * 1e3:.0f}", f"{BATCH * TOKENS / seconds:,.0f}",
                             f"{useful / seconds / gpu.bf16:.2f}"])
    print_table("A global batch on one GPU, forward, backward and update", heads, rows)


def print_experts(gpu):
    """What the experts add, and how much of it follows the share that is computed."""
    rows = []
    for share in (1.0, 0.75, 0.5, 0.25, 0.0):
        step = Step(share)
        flop, moved, _ = step.totals(False)
        rows.append([f"{share:.2f}", f"{step.useful_flop() / 1e12:.2f}", f"{flop / 1e12:.2f}", f"{moved / 1e9:.0f}",
                     f"{step.seconds(gpu, False) * 1e3:.1f}"])
    print_table(f"Sparse MoA on {gpu.name} by the share of pairs computed",
                ["share", "useful TFLOP", "TFLOP done", "GB moved", "GPU (ms)"], rows)


def print_generation():
    """Decoding reads every weight once per step, and each sequence's keys and values in fp32."""
    weights = 2 * (LAYERS * (D * Q + 2 * D * KV + Q * D + 3 * D * F) + V * D)
    cache = TOKENS * LAYERS * 2 * KV * 4
    rows = []
    for gpu, size in CARDS:
        for batch in (1, 32):
            seconds = (weights + batch * cache) / gpu.bandwidth
            rows.append([f"{gpu.name} {size} GB", batch, f"{weights / 1e9:.1f}", f"{batch * cache / 1e9:.2f}",
                         f"{seconds * 1e3:.1f}", f"{batch / seconds:,.0f}"])
    print_table(f"Decoding at {TOKENS} tokens of context, bound by bandwidth",
                ["GPU", "batch", "weights (GB)", "cache (GB)", "step (ms)", "tokens/s"], rows)


def print_kernels(gpu):
    step = Step(None)
    rows = []
    for title, part in (("forward", step.block_forward()), ("backward", step.block_backward())):
        for k in part:
            seconds = max(step.rows * k.flop / (gpu.bf16 if k.tensor else gpu.fp32),
                          (step.rows * k.bytes + k.weights) / gpu.bandwidth)
            rows.append([f"{title}: {k.name}", f"{k.bytes:,.0f}", f"{k.flop / 1e6:.3f}", f"{k.weights / 1e6:.1f}",
                         f"{k.launches:g}", f"{seconds * 1e6:.1f}"])
    print_table(f"One block of Soft MoA, per token; time on {gpu.name} for {step.rows} tokens",
                ["kernel", "bytes", "MFLOP", "weights (MB)", "launches", "us"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", action="store_true", help="also one block, kernel by kernel")
    options = parser.parse_args()
    if options.kernels:
        print_kernels(GPUS[0])
    print_memory()
    print_steps()
    print_experts(GPUS[0])
    print_generation()


if __name__ == "__main__":
    main()

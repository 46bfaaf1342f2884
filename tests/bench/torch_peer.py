"""AdaMix training and soup evaluation in PyTorch on a CPU, for compare.py: the published form and the strongest one.

Reads one JSON command per line from standard input and answers each with one line: the seconds and the processor
seconds of the timed batches. The model stays loaded between commands and the process sleeps while it waits.
With --processes above 1 (environment RANK, and a common --rendezvous file) the processes train data-parallel: their
gradients are averaged in one call per step.

The model is a BERT classifier with random weights. As in the published code each feed-forward output passes through a
mixture: dense, a bottleneck of random experts with its own residual, dropout, block input, layer norm. A step is two
stochastic passes, cross entropy of the first, symmetric KL between both with detached targets, clipping at 1, AdamW.
"""

import argparse
import json
import os
import random
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
import transformers

DIMENSIONS = {  # hidden size, layers, heads, bottleneck
    "minilm": (384, 6, 12, 16),
    "bert-base": (768, 12, 12, 48),
}
EXPERTS = 4


class Bank(nn.Module):
    """Experts of one projection: a random one while training, else their mean."""

    def __init__(self, inputs, outputs, experts):
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(inputs, outputs) for _ in range(experts)])
        self.merged = None  # computed once per evaluation; the published code computes it at every call

    def merge(self):
        with torch.no_grad():
            weight = sum(e.weight for e in self.experts) / len(self.experts)
            bias = sum(e.bias for e in self.experts) / len(self.experts)
            self.merged = (weight.clone(), bias.clone())

    def forward(self, x):
        if self.training:
            return self.experts[random.randrange(len(self.experts))](x)
        return F.linear(x, *self.merged)


class MixtureOutput(nn.Module):
    """Stands in for the feed-forward output block of a BERT layer."""

    def __init__(self, block, hidden, bottleneck):
        super().__init__()
        self.dense, self.dropout, self.LayerNorm = block.dense, block.dropout, block.LayerNorm
        self.down = Bank(hidden, bottleneck, EXPERTS)
        self.up = Bank(bottleneck, hidden, 1)

    def forward(self, x, residual):
        h = self.dense(x)
        h = h + self.up(F.gelu(self.down(h)))
        return self.LayerNorm(self.dropout(h) + residual)


def build_model(dims):
    hidden, layers, heads, bottleneck = DIMENSIONS[dims]
    config = transformers.BertConfig(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * hidden,
        num_labels=2, vocab_size=30522)
    model = transformers.BertForSequenceClassification(config)
    for layer in model.bert.encoder.layer:
        layer.output = MixtureOutput(layer.output, hidden, bottleneck)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = ".down." in name or ".up." in name or name.startswith("classifier")
    return model


def make_batch(lengths, width):
    """Random ids of these lengths. Where no sample is padded there is no mask, which is the faster way."""
    ids = torch.randint(1000, 30000, (len(lengths), width))
    mask = (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).long()
    batch = {"input_ids": ids * mask}
    if min(lengths) < width:
        batch["attention_mask"] = mask
    return batch, torch.arange(len(lengths)) % 2


class Peer:
    def __init__(self, dims, processes):
        self.model = build_model(dims)
        self.processes = processes
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=3e-4, weight_decay=0.1)
        self.warm = set()
        # Autocast would round frozen weights again at every call; stored once as bf16 they cost nothing.
        frozen = [m for m in self.model.modules() if isinstance(m, nn.Linear) and not m.weight.requires_grad]
        self.stored = [(p, p.data, p.data.bfloat16()) for m in frozen for p in (m.weight, m.bias)]

    def store_frozen(self, bf16):
        for parameter, full, half in self.stored:
            parameter.data = half if bf16 else full

    def loss(self, batch, labels):
        first = self.model(**batch).logits.float()
        second = self.model(**batch).logits.float()
        p, q = F.log_softmax(first, -1), F.log_softmax(second, -1)
        consistency = F.kl_div(p, q.detach().exp(), reduction="batchmean") + F.kl_div(
            q, p.detach().exp(), reduction="batchmean")
        return F.cross_entropy(first, labels) + 0.5 * consistency

    def average_gradients(self):
        # An expert that this process did not draw has no gradient here.
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in self.trained])
        torch.distributed.all_reduce(flat)
        flat /= self.processes
        begin = 0
        for p in self.trained:
            p.grad = flat[begin:begin + p.numel()].view_as(p).clone()
            begin += p.numel()

    def train_step(self, batch, labels, bf16):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = self.loss(batch, labels)
        self.optimizer.zero_grad()
        loss.backward()
        if self.processes > 1:
            self.average_gradients()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()

    def evaluate(self, batch, bf16):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16), torch.inference_mode():
            self.model(**batch).logits.float().sum().item()

    def run(self, command):
        """command: mode (train | eval), bf16, attention (eager | sdpa), width (0: the batch's longest), batches."""
        train, bf16 = command["mode"] == "train", command["bf16"]
        self.model.set_attn_implementation(command["attention"])
        self.model.train(train)
        self.store_frozen(bf16)
        batches = [make_batch(lengths, command["width"] or max(lengths)) for lengths in command["batches"]]

        def work(some):
            if not train:
                for module in self.model.modules():
                    if isinstance(module, Bank):
                        module.merge()
            for batch, labels in some:
                if train:
                    self.train_step(batch, labels, bf16)
                else:
                    self.evaluate(batch, bf16)

        key = (train, bf16, command["attention"])
        if key not in self.warm:
            self.warm.add(key)
            work(batches[:1])
        if self.processes > 1:
            torch.distributed.barrier()
        wall, core = time.perf_counter(), time.process_time()
        work(batches)
        return {"seconds": time.perf_counter() - wall, "core_seconds": time.process_time() - core}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dims", choices=sorted(DIMENSIONS), required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--rendezvous")
    arguments = parser.parse_args()
    rank = int(os.environ.get("RANK", "0"))
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    torch.manual_seed(rank)
    random.seed(rank)
    if arguments.processes > 1:
        torch.distributed.init_process_group(
            "gloo", init_method="file://" + arguments.rendezvous, rank=rank, world_size=arguments.processes)
    peer = Peer(arguments.dims, arguments.processes)
    print(json.dumps({"torch": torch.__version__, "transformers": transformers.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(peer.run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

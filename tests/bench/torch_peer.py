"""AdaMix training and soup evaluation in PyTorch, for compare.py: the published form and the strongest one.

Reads one JSON command per line from standard input and answers each with one line: the seconds and the processor
seconds of the timed batches. The model stays loaded between commands and the process sleeps while it waits.
With --processes above 1 (environment RANK, and a common --rendezvous file) the processes train data-parallel: their
gradients are averaged in one call per step. With --device cuda the work is on the first GPU, the batches are there
beforehand, and the times are taken around work that is done.

The model is a BERT or RoBERTa classifier with random weights. As in the published code each feed-forward output passes
through a mixture: dense, a bottleneck of random experts with its own residual, dropout, block input, layer norm. A step is two
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
    "roberta-large": (1024, 24, 16, 16),
}
EXPERTS = 4


class Bank(nn.Module):
    """Experts of one projection: a random one while training, else their mean."""

    def __init__(self, inputs, outputs, experts):
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(inputs, outputs) for _ in range(experts)])
        self.merged = None  # computed once per evaluation; the published code computes it at every call
        self.choice = None  # [1] the expert of this pass as a tensor, for compiled code and graphs; None: drawn here

    def merge(self):
        with torch.no_grad():
            weight = sum(e.weight for e in self.experts) / len(self.experts)
            bias = sum(e.bias for e in self.experts) / len(self.experts)
            if self.merged is None:
                self.merged = (weight.clone(), bias.clone())
            else:  # in place: a graph reads from there
                self.merged[0].copy_(weight)
                self.merged[1].copy_(bias)

    def forward(self, x):
        if self.training and len(self.experts) == 1:
            return self.experts[0](x)
        if self.training and self.choice is not None:
            weight = torch.stack([e.weight for e in self.experts]).index_select(0, self.choice)[0]
            bias = torch.stack([e.bias for e in self.experts]).index_select(0, self.choice)[0]
            return F.linear(x, weight, bias)
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
    settings = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
                "intermediate_size": 4 * hidden, "num_labels": 2}
    if dims.startswith("roberta"):
        model = transformers.RobertaForSequenceClassification(transformers.RobertaConfig(
            vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, **settings))
    else:
        model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=30522, **settings))
    for layer in model.base_model.encoder.layer:
        layer.output = MixtureOutput(layer.output, hidden, bottleneck)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = ".down." in name or ".up." in name or name.startswith("classifier")
    return model


def make_batch(lengths, width, always_masked=False):
    """Random ids of these lengths. Where no sample is padded there is no mask, which is the faster way; but the model
    then looks at ids on the host, which a graph cannot."""
    ids = torch.randint(1000, 30000, (len(lengths), width))
    mask = (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).long()
    batch = {"input_ids": ids * mask}
    if always_masked or min(lengths) < width:
        batch["attention_mask"] = mask
    return batch, torch.arange(len(lengths)) % 2


class StepGraph:
    """A training step or evaluation of one shape as a CUDA graph; the batch is copied to where the graph reads it."""

    def __init__(self, peer, train, batch, labels, bf16):
        self.inputs = [*(v.clone() for v in batch.values()), labels.clone()]
        own = dict(zip(batch, self.inputs))
        body = peer.train_step if train else peer.evaluate
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                body(own, self.inputs[-1], bf16)
        torch.cuda.current_stream().wait_stream(stream)
        peer.optimizer.zero_grad()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=peer.pool):
            body(own, self.inputs[-1], bf16)
        peer.optimizer.zero_grad()

    def run(self, batch, labels):
        for own, value in zip(self.inputs, [*batch.values(), labels]):
            own.copy_(value)
        self.graph.replay()


class Peer:
    def __init__(self, dims, processes, device):
        self.device = device
        self.model = build_model(dims).to(device)
        self.processes = processes
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        fast = {"fused": True, "capturable": True} if device == "cuda" else {}
        self.optimizer = torch.optim.AdamW(self.trained, lr=3e-4, weight_decay=0.1, **fast)
        self.banks = [m for m in self.model.modules() if isinstance(m, Bank)]
        self.picks = torch.zeros(2, len(self.banks), 1, dtype=torch.long, device=device)
        self.total = torch.zeros((), device=device)  # what evaluations compute, so that nothing is left out
        self.graphs = {}
        self.compiled = {}
        self.pool = torch.cuda.graph_pool_handle() if device == "cuda" else None
        self.warm = set()
        # Autocast would round frozen weights again at every call; stored once as bf16 they cost nothing.
        frozen = [m for m in self.model.modules() if isinstance(m, nn.Linear) and not m.weight.requires_grad]
        self.stored = [(p, p.data, p.data.bfloat16()) for m in frozen for p in (m.weight, m.bias)]

    def store_frozen(self, bf16):
        for parameter, full, half in self.stored:
            parameter.data = half if bf16 else full

    def forward(self, batch, number):
        for bank, choice in zip(self.banks, self.picks[number]):
            bank.choice = choice if self.picks_are_drawn else None
        return self.model(**batch).logits.float()

    def draw_picks(self):
        if self.picks_are_drawn:
            self.picks.copy_(torch.randint(EXPERTS, self.picks.shape))

    def loss(self, batch, labels):
        first = self.forward(batch, 0)
        second = self.forward(batch, 1)
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

    def autocast(self, bf16):
        # A graph would keep what the cache holds.
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=bf16, cache_enabled=not self.in_graphs)

    def train_step(self, batch, labels, bf16):
        with self.autocast(bf16):
            loss = self.loss(batch, labels)
        self.optimizer.zero_grad()
        loss.backward()
        if self.processes > 1:
            self.average_gradients()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()

    def evaluate(self, batch, _labels, bf16):
        with self.autocast(bf16), torch.no_grad() if self.in_graphs else torch.inference_mode():
            self.total += self.model(**batch).logits.float().sum()

    def compile_layers(self, wanted):
        """Attention, feed-forward and adapter of every layer compiled together, or none."""
        for layer in self.model.base_model.encoder.layer:
            if wanted and layer not in self.compiled:
                layer.compile(dynamic=True)
                self.compiled[layer] = layer._compiled_call_impl  # what nn.Module.compile sets
            layer._compiled_call_impl = self.compiled[layer] if wanted else None

    def step(self, train, batch, labels, bf16):
        if train:
            self.draw_picks()
        if not self.in_graphs:
            (self.train_step if train else self.evaluate)(batch, labels, bf16)
            return
        key = (train, bf16, self.form, tuple(batch), batch["input_ids"].shape)
        if key not in self.graphs:
            self.graphs[key] = StepGraph(self, train, batch, labels, bf16)
        self.graphs[key].run(batch, labels)

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def run(self, command):
        """command: mode (train | eval), bf16, attention (eager | sdpa), width (0: the batch's longest), batches; on a
        GPU also tf32, compile and graphs (a graph per shape, so widths are multiples of 8)."""
        train, bf16 = command["mode"] == "train", command["bf16"]
        compiled, self.in_graphs = command.get("compile", False), command.get("graphs", False)
        self.picks_are_drawn = compiled or self.in_graphs
        self.form = (command["attention"], compiled, command.get("tf32", False))
        if self.device == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = command.get("tf32", False)
        self.model.set_attn_implementation(command["attention"])
        self.compile_layers(compiled)
        self.model.train(train)
        self.store_frozen(bf16)
        step = 8 if self.in_graphs else 1
        batches = []
        for lengths in command["batches"]:
            width = command["width"] or -(-max(lengths) // step) * step
            batch, labels = make_batch(lengths, width, self.in_graphs)
            batches.append(({k: v.to(self.device) for k, v in batch.items()}, labels.to(self.device)))

        def work(some):
            if not train:
                for bank in self.banks:
                    bank.merge()
            for batch, labels in some:
                self.step(train, batch, labels, bf16)
            self.total.item()
            self.wait()

        key = (train, bf16, self.in_graphs, self.form)
        if key not in self.warm:
            self.warm.add(key)
            # Graphs and compiled code are made for every shape before anything is timed.
            work(batches if self.picks_are_drawn else batches[:1])
        if self.processes > 1:
            torch.distributed.barrier()
        wall, core = time.perf_counter(), time.process_time()
        work(batches)
        return {"seconds": time.perf_counter() - wall, "core_seconds": time.process_time() - core}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dims", choices=sorted(DIMENSIONS), required=True)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--rendezvous")
    arguments = parser.parse_args()
    rank = int(os.environ.get("RANK", "0"))
    if arguments.device == "cpu":
        torch.set_num_threads(1)
        torch.set_num_interop_threads(1)
    torch.manual_seed(rank)
    random.seed(rank)
    if arguments.processes > 1:
        torch.distributed.init_process_group(
            "gloo", init_method="file://" + arguments.rendezvous, rank=rank, world_size=arguments.processes)
    peer = Peer(arguments.dims, arguments.processes, arguments.device)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    if arguments.device == "cuda":
        versions["gpu"] = torch.cuda.get_device_name()
    print(json.dumps(versions), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = peer.run(command)
        except Exception as error:  # a form that does not work here is an answer, too: compare.py then tries others
            if not command.get("may_fail"):
                raise
            answer = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

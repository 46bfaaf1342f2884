"""Soup files of every kind, written by hand, and what they compute: plain torch on named tensors.

Written from the formulas of the README of src/python and the layout of soup files; imports nothing of ladle_soup.
"""

import dataclasses
import hashlib
import json
import math

import torch
from safetensors.torch import save_file
from torch.nn import functional

HIDDEN, INNER, LAYERS, HEADS, SIZE, SMALL, EXPERTS = 24, 40, 2, 3, 12, 3, 3
LABELS = ["entailment", "neutral", "contradiction"]
PATHS = {"query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
         "attention_output": "attention.output.dense", "intermediate": "intermediate.dense", "output": "output.dense"}


@dataclasses.dataclass
class Soup:
    description: dict
    tensors: dict

    def write(self, path):
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            for text in (name, str(list(tensor.shape))):
                digest.update(len(text).to_bytes(8, "little") + text.encode())
            digest.update(tensor.numpy().tobytes())
        save_file(self.tensors, path, {"ladle.soup": json.dumps(self.description), "ladle.sha256": digest.hexdigest()})
        return path


def describe(architecture, kind, **fields):
    mixture = kind in ("adamix", "madakron", "adamix-lora")
    lora, factors = "lora" in kind, "kron" in kind
    return {
        "format": "ladle.soup 1", "architecture": architecture, "hidden_size": HIDDEN, "num_layers": LAYERS,
        "intermediate_size": INNER, "backbone_sha256": "0" * 64, "tokenizer_sha256": "", "adapter_kind": kind,
        "adapter_size": 0 if kind in ("bias", "head") else SIZE, "num_experts": EXPERTS if mixture else 1,
        "share_down": False, "share_up": False, "activation": "gelu", "merged": False, "weights": [],
        "lora_targets": ["query", "value"] if lora else [], "lora_alpha": 30.0 if lora else 0.0,
        "factor_size": SMALL if factors else 0, "factor_order": "small_outer" if factors else "",
        "factor_experts": ("small" if mixture else "none") if factors else "", "task": "mnli", "label_names": LABELS,
        "regression": False, "max_length": 128, "config": "", "machine": "", "seed": 1, "step": 7, "score": 0.5,
        "metric": "accuracy", "sources": [], "method": "", "selected_on": "", **fields}


def banks(d):
    """Name in each layer, merged or not, inputs, outputs, experts, and whether there is a bias."""
    n = d["num_experts"]
    down, up = (1 if d["share_down"] else n), (1 if d["share_up"] else n)
    if "lora" in d["adapter_kind"]:
        for target in d["lora_targets"]:
            inputs, outputs = (INNER if target == "output" else HIDDEN), (INNER if target == "intermediate" else HIDDEN)
            yield f"{PATHS[target]}.experts_lora_A", f"{PATHS[target]}.lora_A", inputs, SIZE, down, False
            yield f"{PATHS[target]}.experts_lora_B", f"{PATHS[target]}.lora_B", SIZE, outputs, up, False
    elif d["adapter_kind"] not in ("bias", "head"):
        long = "output.ExpertSoup.{}.deepspeed_experts"
        if "kron" in d["adapter_kind"]:
            several = d["factor_experts"]
            yield (long.format("MoA_A1"), "output.soup.down_large", HIDDEN, SIZE // SMALL,
                   n if several in ("large", "both") else 1, True)
            yield (long.format("MoA_A2"), "output.soup.down_small", HIDDEN, SMALL,
                   n if several in ("small", "both") else 1, True)
        else:
            yield long.format("MoA_A"), "output.soup.down", HIDDEN, SIZE, down, True
        yield long.format("MoA_B"), "output.soup.up", SIZE, HIDDEN, up, True


def make_soup(model, architecture, kind, **fields):
    """A soup of random tensors; `model` names the biases of the bias kind."""
    description = describe(architecture, kind, **fields)
    outputs = 1 if description["regression"] else len(description["label_names"])
    shapes = {}
    for layer in range(LAYERS):
        for name, merged_name, inputs, width, experts, bias in banks(description):
            prefix = f"{architecture}.encoder.layer.{layer}."
            names = [prefix + merged_name] if description["merged"] else [f"{prefix}{name}.{k}" for k in range(experts)]
            for full in names:
                shapes[f"{full}.weight"] = (width, inputs)
                if bias:
                    shapes[f"{full}.bias"] = (width,)
    if kind == "bias":
        shapes |= {name: tuple(value.shape) for name, value in model.state_dict().items()
                   if name.endswith(".bias") and not name.startswith("classifier.")}
    if architecture == "bert":
        shapes |= {"classifier.weight": (outputs, HIDDEN), "classifier.bias": (outputs,)}
    else:
        shapes |= {"classifier.dense.weight": (HIDDEN, HIDDEN), "classifier.dense.bias": (HIDDEN,),
                   "classifier.out_proj.weight": (outputs, HIDDEN), "classifier.out_proj.bias": (outputs,)}
    generator = torch.Generator().manual_seed(5)
    return Soup(description, {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()})


def average(tensors, weights):
    """In index order, each term scaled first, in the type of the tensors."""
    total = weights[0] * tensors[0]
    for weight, tensor in zip(weights[1:], tensors[1:]):
        total = total + weight * tensor
    return total


@dataclasses.dataclass
class Choice:
    """How experts are combined: weights, or draws per "sample" or "token" from a generator."""

    weights: list
    draw: str = ""
    generator: torch.Generator | None = None


class Reference:
    """Logits of a classifier with a soup, in double."""

    def __init__(self, model, soup, choice):
        self.soup, self.choice, self.d = soup, choice, soup.description
        self.base, self.config = self.d["architecture"], model.config
        self.weights = {name: value.detach().double() for name, value in model.state_dict().items()}
        if self.d["adapter_kind"] == "bias":
            self.weights |= {name: value.double() for name, value in soup.tensors.items()}

    def linear(self, name, x):
        return functional.linear(x, self.weights[name + ".weight"], self.weights[name + ".bias"])

    def norm(self, name, x):
        return functional.layer_norm(x, x.shape[-1:], self.weights[name + ".weight"], self.weights[name + ".bias"],
                                     self.config.layer_norm_eps)

    def bank(self, layer, name, x):
        """One bank's projection; `name` is unmerged, a merged soup is looked up by its place in banks()."""
        prefix = f"{self.base}.encoder.layer.{layer}."
        for unmerged, merged, _, _, experts, has_bias in banks(self.d):
            if unmerged == name:
                names = [prefix + merged] if self.d["merged"] else [f"{prefix}{name}.{k}" for k in range(experts)]
                break
        weights = [self.soup.tensors[full + ".weight"] for full in names]
        biases = [self.soup.tensors[full + ".bias"] if has_bias else torch.zeros(len(weights[0])) for full in names]
        if len(names) == 1:
            return functional.linear(x, weights[0].double(), biases[0].double())
        if not self.choice.draw:
            return functional.linear(x, average(weights, self.choice.weights).double(),
                                     average(biases, self.choice.weights).double())
        shape = (x.shape[0], 1, 1) if self.choice.draw == "sample" else (*x.shape[:2], 1)
        chosen = torch.randint(len(names), shape, generator=self.choice.generator)
        return sum((chosen == k) * functional.linear(x, weights[k].double(), biases[k].double())
                   for k in range(len(names)))

    def project(self, layer, target, x):
        path = PATHS[target]
        y = self.linear(f"{self.base}.encoder.layer.{layer}.{path}", x)
        if target in self.d["lora_targets"]:
            z = self.bank(layer, path + ".experts_lora_A", x)
            y = y + self.d["lora_alpha"] / SIZE * self.bank(layer, path + ".experts_lora_B", z)
        return y

    def adapter(self, layer, h):
        """What the adapter adds to h."""
        long = "output.ExpertSoup.{}.deepspeed_experts"
        if "kron" not in self.d["adapter_kind"]:
            inner = self.bank(layer, long.format("MoA_A"), h)
        else:
            large, small = (self.bank(layer, long.format(name), h) for name in ("MoA_A1", "MoA_A2"))
            order = "...i,...j->...ij" if self.d["factor_order"] == "small_outer" else "...i,...j->...ji"
            inner = torch.einsum(order, small, large).reshape(*h.shape[:2], SIZE)
        gelu = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        return self.bank(layer, long.format("MoA_B"), gelu)

    def attention(self, layer, x, mask):
        split = (*x.shape[:2], HEADS, HIDDEN // HEADS)
        q, k, v = (self.project(layer, name, x).view(split).transpose(1, 2) for name in ("query", "key", "value"))
        scores = q @ k.transpose(2, 3) / math.sqrt(HIDDEN // HEADS)
        scores = scores.masked_fill(mask[:, None, None] == 0, -math.inf)
        return (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape)

    def layer(self, layer, x, mask):
        name = f"{self.base}.encoder.layer.{layer}."
        a = self.project(layer, "attention_output", self.attention(layer, x, mask))
        a = self.norm(name + "attention.output.LayerNorm", a + x)
        h = self.project(layer, "output", functional.gelu(self.project(layer, "intermediate", a)))
        if self.d["adapter_kind"] in ("adamix", "houlsby", "adakron", "madakron"):
            h = h + self.adapter(layer, h)
        elif self.d["adapter_kind"] == "pfeiffer":
            h = h + self.adapter(layer, self.norm(name + "output.LayerNorm", h + a))
        return self.norm(name + "output.LayerNorm", h + a)

    def hidden(self, ids, mask, types):
        positions = torch.arange(ids.shape[1]).expand_as(ids)
        if self.base == "roberta":
            real = (ids != self.config.pad_token_id).long()
            positions = real.cumsum(1) * real + self.config.pad_token_id
        x = sum(self.weights[f"{self.base}.embeddings.{table}.weight"][index] for table, index in (
            ("word_embeddings", ids), ("position_embeddings", positions), ("token_type_embeddings", types)))
        x = self.norm(f"{self.base}.embeddings.LayerNorm", x)
        for layer in range(LAYERS):
            x = self.layer(layer, x, mask)
        return x

    def logits(self, ids, mask, types):
        head = {name: value.double() for name, value in self.soup.tensors.items() if name.startswith("classifier.")}
        first = self.hidden(ids, mask, types)[:, 0]
        if self.base == "bert":
            pooled = self.linear("bert.pooler.dense", first).tanh()
            return functional.linear(pooled, head["classifier.weight"], head["classifier.bias"])
        dense = functional.linear(first, head["classifier.dense.weight"], head["classifier.dense.bias"]).tanh()
        return functional.linear(dense, head["classifier.out_proj.weight"], head["classifier.out_proj.bias"])

"""Adapters of ladle's soups as PyTorch modules on the BERT and RoBERTa of the transformers library.

Needs torch only. The modules stand where their tensors' names in a soup file say, so a model's state dict holds a
soup under the names of the file. A description is a dictionary with the fields of a file's "ladle.soup".
"""

import collections
import functools
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

BOTTLENECK_KINDS = ("adamix", "houlsby", "pfeiffer")
FACTOR_KINDS = ("adakron", "madakron")
LORA_KINDS = ("lora", "adamix-lora")
MIXTURE_KINDS = ("adamix", "madakron", "adamix-lora")
LORA_PATHS = {"query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
              "attention_output": "attention.output.dense", "intermediate": "intermediate.dense",
              "output": "output.dense"}
ROUTINGS = ("soup", "sample", "token")


class BankSpec(NamedTuple):
    """One projection of an adapter: module `name` below `owner`, which is a module of each encoder layer."""

    owner: str
    name: str
    inputs: int
    outputs: int
    experts: int | None  # None: merged
    bias: bool


def bank_specs(description: dict) -> list[BankSpec]:
    """The banks of one layer in the order of their use, down before up; none for kinds without adapters."""
    kind = description["adapter_kind"]
    if kind in LORA_KINDS:
        return [spec for target in description["lora_targets"] for spec in _lora_specs(description, target)]
    if kind not in BOTTLENECK_KINDS + FACTOR_KINDS:
        return []
    size, hidden, merged = (description[field] for field in ("adapter_size", "hidden_size", "merged"))
    rows = [*_down_rows(description), ("up", "MoA_B", size, hidden, not description["share_up"])]
    return [BankSpec("output", f"soup.{side}" if merged else f"ExpertSoup.{bank}.deepspeed_experts", inputs, outputs,
                     _experts(description, several), True)
            for side, bank, inputs, outputs, several in rows]


def _down_rows(description):
    """Name when merged, name otherwise, inputs, outputs, and whether there are several experts."""
    size, hidden = description["adapter_size"], description["hidden_size"]
    if description["adapter_kind"] in BOTTLENECK_KINDS:
        return [("down", "MoA_A", hidden, size, not description["share_down"])]
    small, experts = description["factor_size"], description["factor_experts"]
    return [("down_large", "MoA_A1", hidden, size // small, experts in ("large", "both")),
            ("down_small", "MoA_A2", hidden, small, experts in ("small", "both"))]


def _lora_specs(description, target):
    size, hidden, inner = (description[field] for field in ("adapter_size", "hidden_size", "intermediate_size"))
    inputs = inner if target == "output" else hidden
    outputs = inner if target == "intermediate" else hidden
    prefix = "lora_" if description["merged"] else "experts_lora_"
    return [BankSpec(LORA_PATHS[target], prefix + "A", inputs, size,
                     _experts(description, not description["share_down"]), False),
            BankSpec(LORA_PATHS[target], prefix + "B", size, outputs,
                     _experts(description, not description["share_up"]), False)]


def _experts(description, several):
    if description["merged"]:
        return None
    return description["num_experts"] if several and description["adapter_kind"] in MIXTURE_KINDS else 1


def weighted_sum(tensors: list[torch.Tensor], weights: list[float] | None = None) -> torch.Tensor:
    """Sum in the given order, each term scaled first; without weights the mean."""
    weights = weights or [1 / len(tensors)] * len(tensors)
    return functools.reduce(torch.add, [weight * tensor for weight, tensor in zip(weights, tensors, strict=True)])


class Experts(nn.ModuleList):
    """The experts of one bank, linear layers of one shape.

    `routing` says what forward applies: "soup" the mean of all, "sample" and "token" one expert drawn for each sample
    or token, uniformly from `generator` (torch's own if None): AdaMix's inference levels 3, 1 and 0.
    """

    routing = "soup"
    generator = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [batch, tokens, in] -> [batch, tokens, out]."""
        if len(self) == 1:
            return self[0](x)
        if self.routing == "soup":
            bias = None if self[0].bias is None else weighted_sum([expert.bias for expert in self])
            return functional.linear(x, weighted_sum([expert.weight for expert in self]), bias)
        drawn_for = (x.shape[0], 1, 1) if self.routing == "sample" else (*x.shape[:2], 1)
        device = x.device if self.generator is None else self.generator.device
        chosen = torch.randint(len(self), drawn_for, generator=self.generator, device=device).to(x.device)
        y = self[0](x)
        for k in range(1, len(self)):
            y = torch.where(chosen == k, self[k](x), y)
        return y


class Bottleneck(nn.Module):
    """U gelu(D h + d) + u; with two factors D h + d is the outer product of both projections (AdaKron)."""

    def __init__(self, specs: list[BankSpec], factor_order: str, like: torch.Tensor):
        super().__init__()
        self.factor_order = factor_order
        for spec in specs:
            name, *below = spec.name.split(".")[1:]
            bank = _new_bank(spec, like)
            self.add_module(name, nn.Sequential(collections.OrderedDict({below[0]: bank})) if below else bank)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """h [batch, tokens, hidden] -> what is added to it."""
        *down, up = self.children()
        factors = [bank(h) for bank in down]
        if self.factor_order == "small_outer":
            factors.reverse()
        return up(functional.gelu(functools.reduce(_outer_product, factors)))

    def add_to(self, _dense: nn.Module, _inputs: tuple, h: torch.Tensor) -> torch.Tensor:
        """Forward hook of output.dense."""
        return h + self(h)

    def add_after_norm(self, norm: nn.Module, inputs: tuple, normed: torch.Tensor) -> torch.Tensor:
        """Forward hook of output.LayerNorm: the adapter reads the normed sum and adds to the sum, normed again."""
        return functional.layer_norm(inputs[0] + self(normed), norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _outer_product(outer, inner):
    """[..., m], [..., n] -> [..., m * n]"""
    return (outer[..., :, None] * inner[..., None, :]).flatten(-2)


def _add_low_rank(names, scaling, linear, inputs, y):
    """Forward hook of a projection: y + scaling * B A x."""
    down, up = (getattr(linear, name) for name in names)
    return y + scaling * up(down(inputs[0]))


def _new_bank(spec, like):
    """Linear layers of zeros with the type and the device of `like`; draws no random numbers."""

    def linear():
        made = nn.utils.skip_init(nn.Linear, spec.inputs, spec.outputs, bias=spec.bias, device=like.device,
                                  dtype=like.dtype)
        for parameter in made.parameters():
            nn.init.zeros_(parameter)
        return made

    return linear() if spec.experts is None else Experts(linear() for _ in range(spec.experts))


# Hooks are bound methods and partial objects, so that copies of a model call their own adapters.
def attach_adapters(encoder: nn.Module, description: dict) -> list:
    """Adds the described adapters, all zero, to each of encoder.layer; returns the handles of their hooks."""
    handles, specs = [], bank_specs(description)
    for layer in encoder.layer:
        if description["adapter_kind"] in LORA_KINDS:
            handles += [_attach_low_rank(layer, pair, description["lora_alpha"] / description["adapter_size"])
                        for pair in zip(specs[::2], specs[1::2])]
        elif specs:
            handles.append(_attach_bottleneck(layer.output, specs, description))
    return handles


def _attach_low_rank(layer, pair, scaling):
    linear = layer.get_submodule(pair[0].owner)
    for spec in pair:
        linear.add_module(spec.name, _new_bank(spec, linear.weight))
    return linear.register_forward_hook(functools.partial(_add_low_rank, [spec.name for spec in pair], scaling))


def _attach_bottleneck(output, specs, description):
    adapter = Bottleneck(specs, description["factor_order"], output.dense.weight)
    output.add_module(specs[0].name.split(".")[0], adapter)
    if description["adapter_kind"] == "pfeiffer":
        return output.LayerNorm.register_forward_hook(adapter.add_after_norm)
    return output.dense.register_forward_hook(adapter.add_to)


def detach_adapters(encoder: nn.Module, description: dict, handles: list) -> None:
    """Removes what attach_adapters added."""
    for handle in handles:
        handle.remove()
    for layer in encoder.layer:
        for owner, name in {(spec.owner, spec.name.split(".")[0]) for spec in bank_specs(description)}:
            delattr(layer.get_submodule(owner), name)


def set_routing(encoder: nn.Module, routing: str, generator: torch.Generator | None = None) -> None:
    """Sets Experts.routing and its generator in every bank that holds experts."""
    for module in encoder.modules():
        if isinstance(module, Experts):
            module.routing, module.generator = routing, generator

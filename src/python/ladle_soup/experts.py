"""Experts of the MoA family as PyTorch modules on the LLaMA of the transformers library.

Needs torch only. Below each decoder layer stands a module whose parameters have the names of the published files, in
their order: rows of queries and keys interleaved, where transformers has them half-split. A description is a dictionary
with the fields of a file's "ladle.adapter".
"""

import functools
import re

import torch
from torch import nn
from torch.nn import functional

MODULE = "ladle_experts"  # the name below a decoder layer
TARGETS = {"Q": ("attention", "self_attn.q_proj"), "K": ("attention", "self_attn.k_proj"),
           "V": ("attention", "self_attn.v_proj"), "O": ("attention", "self_attn.o_proj"),
           "FFN_UP": ("feed_forward", "mlp.up_proj"), "FFN_GATE": ("feed_forward", "mlp.gate_proj"),
           "FFN_DOWN": ("feed_forward", "mlp.down_proj")}
ROUTERS = ("none", "token", "threshold", "instance", "gates")
RULES = ("softmax", "top_k", "adaptive")


def parse_layers(text: str) -> list[tuple[int, int]]:
    """Half-open ranges from "0-8,24-32"; ValueError for anything else."""
    if not re.fullmatch(r"[0-9]{1,6}-[0-9]{1,6}(,[0-9]{1,6}-[0-9]{1,6})*", text):
        raise ValueError(f"{text!r} is no list of layers")
    return [tuple(int(number) for number in word.split("-")) for word in text.split(",")]


def in_layers(text: str, layer: int) -> bool:
    """Whether the ranges of parse_layers contain a layer."""
    return any(first <= layer < end for first, end in parse_layers(text))


def targets_in(description: dict, layer: int) -> list[str]:
    """The projections that have LoRA in this layer, in the order of the block."""
    chosen = description["lora_targets"].split(",") if in_layers(description["lora_layers"], layer) else []
    return [target for target in TARGETS if target in chosen]


def kinds_in(description: dict, layer: int) -> list[str]:
    """The kinds of experts of a layer in the order of its router's weights: targets, "prompt" before O, "adapter"."""
    lora = targets_in(description, layer)
    before_output = [target for target in lora if target in ("Q", "K", "V")]
    prompt = ["prompt"] if in_layers(description["prompt_layers"], layer) else []
    adapter = ["adapter"] if in_layers(description["adapter_layers"], layer) else []
    return before_output + prompt + lora[len(before_output):] + adapter


def _softmax(scores):
    return torch.softmax(scores, -1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(scores.dtype)


def _new(kind, *sizes, like, **options):
    """A module of zeros with the type and the device of `like`; draws no random numbers."""
    made = nn.utils.skip_init(kind, *sizes, device=like.device, dtype=like.dtype, **options)
    for parameter in made.parameters():
        if not parameter.is_meta:
            nn.init.zeros_(parameter)
    return made


class Place(nn.Module):
    """The experts of one kind at one place, with the router that weighs them against each other.

    Sparse experts, too, compute all rows: a row that does not select an expert has weight 0 there.
    """

    def __init__(self, description: dict, inputs: int, outputs: int, is_adapter: bool, like: torch.Tensor):
        super().__init__()
        self.rule, self.count, self.top_k = (description[field] for field in ("rule", "num_experts", "top_k"))
        size = description["adapter_size" if is_adapter else "lora_rank"]
        self.scale = 1.0 if is_adapter else description["lora_alpha"] / size
        self.names = ("down_proj", "up_proj") if is_adapter else ("lora_A", "lora_B")
        self.activation = functional.silu if is_adapter else nn.Identity()
        linear = functools.partial(_new, nn.Linear, like=like)
        if self.rule == "softmax":
            shares_down = description["share_down" if is_adapter else "share_lora_a"]
            for name, sizes, shared in zip(self.names, ((inputs, size), (size, outputs)), (shares_down, False)):
                make = functools.partial(linear, *sizes, bias=is_adapter)
                if self.count == 1 or shared:
                    self.add_module(name, make())
                else:
                    self.add_module(name + "_l", nn.ModuleList(make() for _ in range(self.count)))
        else:
            self.experts = nn.ModuleList(
                nn.ModuleDict({"lora_A": linear(inputs, size, bias=False), "lora_B": linear(size, outputs, bias=False)})
                for _ in range(self.count))
        if self.rule == "top_k":
            self.router = nn.ModuleDict({"topkroute_linear": linear(inputs, self.count)})
        elif self.rule == "adaptive" or self.count > 1:
            self.router = linear(inputs, self.count, bias=is_adapter or self.rule == "adaptive")
        if self.rule == "adaptive":
            self.threshold_fn = linear(inputs, 1)

    def forward(self, x: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        """x [batch, tokens, in] -> what is added, times weight [batch, tokens or 1, 1] if there is one."""
        own = self.own_weights(x)
        y = 0
        for e, (down, up) in enumerate(self._pairs()):
            output = up(self.activation(down(x)))
            y = y + (output if own is None else own[..., e:e + 1] * output)
        y = self.scale * y
        return y if weight is None else weight * y

    def own_weights(self, x: torch.Tensor) -> torch.Tensor | None:
        """Weights of the experts [..., E]; None for a single one without a router."""
        if not hasattr(self, "router"):
            return None
        if self.rule == "softmax":
            return _softmax(self.router(x))
        if self.rule == "top_k":
            shares = _softmax(self.router["topkroute_linear"](x))
            chosen = torch.zeros_like(shares).scatter(-1, shares.topk(self.top_k, -1).indices, 1.0)
            kept = shares * chosen
            return kept / kept.sum(-1, keepdim=True)
        above = _softmax(self.router(x)) - torch.sigmoid(self.threshold_fn(x)) / self.count
        kept = above.clamp(min=0)
        total = kept.sum(-1, keepdim=True)
        return kept / torch.where(total == 0, torch.ones_like(total), total)

    def _pairs(self):
        """Down and up projection of each expert."""
        if self.rule != "softmax":
            return [(pair["lora_A"], pair["lora_B"]) for pair in self.experts]
        sides = [list(getattr(self, name + "_l")) if hasattr(self, name + "_l") else [getattr(self, name)] * self.count
                 for name in self.names]
        return list(zip(*sides))


class SwiGlu(nn.Module):
    """w2 (silu(w1 x) * w3 x), with biases."""

    def __init__(self, inputs: int, width: int, outputs: int, like: torch.Tensor):
        super().__init__()
        self.w1, self.w3 = (_new(nn.Linear, inputs, width, like=like) for _ in range(2))
        self.w2 = _new(nn.Linear, width, outputs, like=like)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [..., in] -> scores [..., out]."""
        return self.w2(functional.silu(self.w1(x)) * self.w3(x))


class Pass:
    """What the layers of one forward pass share."""

    mask = None  # attention_mask [batch, tokens], if the model was given one

    def note_mask(self, _model: nn.Module, args: tuple, kwargs: dict) -> None:
        """Forward pre-hook of the model."""
        self.mask = kwargs.get("attention_mask", args[1] if len(args) > 1 else None)


class LayerExperts(nn.Module):
    """The experts of one decoder layer; its methods are hooks of the layer's parts."""

    def __init__(self, description: dict, layer: int, shared: Pass, like: torch.Tensor):
        super().__init__()
        self.description, self.layer, self.shared = description, layer, shared
        self.kinds = kinds_in(description, layer)
        self.state = {}  # of the forward pass that is going on
        self.attention, self.feed_forward = nn.Module(), nn.Module()
        dim, heads, ffn = (description[field] for field in ("dim", "heads", "ffn"))
        queries, keys = (description[field] * description["head_dim"] for field in ("heads", "kv_heads"))
        sizes = {"Q": (dim, queries), "K": (dim, keys), "V": (dim, keys), "O": (queries, dim), "FFN_UP": (dim, ffn),
                 "FFN_GATE": (dim, ffn), "FFN_DOWN": (ffn, dim)}
        for target in targets_in(description, layer):
            owner = getattr(self, TARGETS[target][0])
            owner.add_module(_lora_name(target), Place(description, *sizes[target], False, like))
        count = description["num_experts"]
        if "prompt" in self.kinds:
            self.attention.prompt = _new(nn.Embedding, count * description["prompt_length"], dim, like=like)
            self.attention.prompt_gate = nn.Parameter(torch.zeros(1, heads, 1, 1, device=like.device, dtype=like.dtype))
            if count > 1:
                self.attention.prompt_router = _new(nn.Linear, dim, count, like=like)
        if "adapter" in self.kinds:
            self.p_adapter = Place(description, dim, dim, True, like)
        self._add_type_router(dim, like)

    def _add_type_router(self, dim, like):
        router, types = self.description["router"], len(self.kinds)
        if router == "gates":
            self.lora_gate, self.prompt_gate, self.p_adapter_gate = (_new(nn.Linear, dim, 1, like=like)
                                                                     for _ in range(3))
        elif router != "none":
            width = self.description["router_expansion"] * types
            self.adapter_type_router = (SwiGlu(dim, width, types, like) if width
                                        else _new(nn.Linear, dim, types, like=like))
        if router == "threshold" and not self.description["constant_threshold"]:
            self.adapter_threshold_fn = _new(nn.Linear, dim, 1, like=like)

    def type_weights(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of each kind [batch, tokens or 1, 1], from the router's input x [batch, tokens, dim]."""
        router = self.description["router"]
        if router == "none":
            return {}
        if router == "gates":
            # The published code weighs the adapter with the gate of the prompt.
            of_adapter = self.p_adapter_gate if self.description["own_adapter_gate"] else self.prompt_gate
            gates = {"prompt": self.prompt_gate, "adapter": of_adapter}
            return {kind: torch.sigmoid(gates.get(kind, self.lora_gate)(x)) for kind in self.kinds}
        weights = torch.sigmoid(self.adapter_type_router(x))
        if router == "threshold":
            most = self.description["max_threshold"]
            threshold = (most if self.description["constant_threshold"]
                         else most * torch.sigmoid(self.adapter_threshold_fn(x)))
            values = weights - threshold if self.description["trained_threshold"] else weights
            weights = torch.where(weights >= threshold, values, torch.zeros_like(weights))
        return dict(zip(self.kinds, weights.split(1, -1)))

    def begin(self, layer: nn.Module, args: tuple, kwargs: dict) -> None:
        """Forward pre-hook of the layer: the weights of this pass."""
        # Of a decoder split over devices, inputs still lie where the layer before computed them.
        x = (args[0] if args else kwargs["hidden_states"]).to(next(self.parameters()).device)
        if self.description["normed_router"]:
            x = layer.input_layernorm(x)
        if self.description["router"] not in ("instance", "gates"):
            self.state["weights"] = self.type_weights(x)
            return
        cache = kwargs.get("past_key_values")
        if cache is not None and int(cache.get_seq_length(self.layer)) > 0:
            # Beside the keys of the prompt are the weights that it was given.
            self.state["weights"] = cache.ladle_weights[self.layer]
            return
        weights = self.type_weights(self._sample_means(x))
        if cache is not None:
            if not hasattr(cache, "ladle_weights"):
                cache.ladle_weights = {}
            cache.ladle_weights[self.layer] = {kind: weight.detach() for kind, weight in weights.items()}
        self.state["weights"] = weights

    def _sample_means(self, x):
        """[batch, 1, dim]: over the tokens that the attention mask shows; without one over all."""
        mask = self.shared.mask
        if mask is None:
            return x.mean(1, keepdim=True)
        if mask.shape != x.shape[:2]:
            raise ValueError(f"the means of samples need an attention_mask {list(x.shape[:2])}, not {list(mask.shape)}")
        shown = mask[:, :, None].to(x)
        return (x * shown).sum(1, keepdim=True) / shown.sum(1, keepdim=True)

    def end(self, _layer: nn.Module, _args: tuple, output):
        """Forward hook of the layer."""
        self.state.clear()
        return output

    def add_lora(self, target: str, _linear: nn.Module, args: tuple, y: torch.Tensor) -> torch.Tensor:
        """Forward hook of a projection."""
        owner, name = TARGETS[target][0], _lora_name(target)
        place = getattr(getattr(self, owner), name)
        delta = place(args[0], self.state["weights"].get(target))
        return y + (_half_split(delta, self.description["head_dim"]) if target in ("Q", "K") else delta)

    def note_positions(self, _attention: nn.Module, _args: tuple, kwargs: dict) -> None:
        """Forward pre-hook of attention."""
        self.state["positions"] = kwargs["position_embeddings"]

    def note_query(self, _linear: nn.Module, args: tuple, y: torch.Tensor) -> None:
        """Forward hook of q_proj, after LoRA's."""
        self.state["normed"], self.state["query"] = args[0], y

    def add_prompt(self, attention: nn.Module, _output: nn.Module, args: tuple) -> tuple:
        """Forward pre-hook of o_proj: its input [batch, tokens, heads * head_dim] and what the prompt gives."""
        groups = (self.description["kv_heads"], -1, self.description["head_dim"])
        query = _turned(self.state["query"].unflatten(-1, (-1, groups[2])), *self.state["positions"])
        query = query.flatten(-2).unflatten(-1, groups)
        # forward itself: the experts of keys and values do not act on prompts.
        keys, values = (projection.forward(self.attention.prompt.weight).unflatten(-1, (groups[0], groups[2]))
                        for projection in (attention.k_proj, attention.v_proj))
        shares = _softmax(torch.einsum("btkgd,pkd->btkgp", query, keys) * attention.scaling)
        if self.description["num_experts"] > 1:
            own = _softmax(self.attention.prompt_router(self.state["normed"]))
            shares = shares * own.repeat_interleave(self.description["prompt_length"], -1)[:, :, None, None, :]
        gates = self.attention.prompt_gate.view(groups[0], -1, 1)
        prompted = (gates * torch.einsum("btkgp,pkd->btkgd", shares, values)).flatten(-3)
        weight = self.state["weights"].get("prompt")
        return (args[0] + (prompted if weight is None else weight * prompted), *args[1:])

    def add_adapter(self, _mlp: nn.Module, args: tuple, y: torch.Tensor) -> torch.Tensor:
        """Forward hook of the feed-forward part."""
        return y + self.p_adapter(args[0], self.state["weights"].get("adapter"))


def _lora_name(target):
    return "lora_" + target.removeprefix("FFN_")


def _half_split(x, head_dim):
    """From pairs side by side to pairs half a head apart, [..., heads * head_dim]."""
    return x.unflatten(-1, (-1, head_dim // 2, 2)).transpose(-1, -2).flatten(-3)


def _turned(x, cos, sin):
    """Rotary positions on [batch, tokens, heads, head_dim], half-split; cos and sin [batch, tokens, head_dim]."""
    first, second = x.chunk(2, -1)
    return x * cos[:, :, None] + torch.cat((-second, first), -1) * sin[:, :, None]


# Hooks are bound methods and partial objects, so that copies of a model call their own experts.
def attach_experts(decoder: nn.Module, description: dict) -> list:
    """Adds the described experts, all zero, to each of decoder.layers that has some; returns their hooks' handles."""
    shared = Pass()
    handles = [decoder.register_forward_pre_hook(shared.note_mask, with_kwargs=True)]
    for number, layer in enumerate(decoder.layers):
        if kinds_in(description, number):
            experts = LayerExperts(description, number, shared, layer.input_layernorm.weight)
            layer.add_module(MODULE, experts)
            handles += _hook(layer, experts)
    return handles


def _hook(layer, experts):
    attention = layer.self_attn
    handles = [layer.register_forward_pre_hook(experts.begin, with_kwargs=True)]
    for target in targets_in(experts.description, experts.layer):
        projection = layer.get_submodule(TARGETS[target][1])
        handles.append(projection.register_forward_hook(functools.partial(experts.add_lora, target)))
    if "prompt" in experts.kinds:
        handles += [attention.register_forward_pre_hook(experts.note_positions, with_kwargs=True),
                    attention.q_proj.register_forward_hook(experts.note_query),
                    attention.o_proj.register_forward_pre_hook(functools.partial(experts.add_prompt, attention))]
    if "adapter" in experts.kinds:
        handles.append(layer.mlp.register_forward_hook(experts.add_adapter))
    return [*handles, layer.register_forward_hook(experts.end)]


def detach_experts(decoder: nn.Module, handles: list) -> None:
    """Removes what attach_experts added."""
    for handle in handles:
        handle.remove()
    for layer in decoder.layers:
        if hasattr(layer, MODULE):
            delattr(layer, MODULE)


def expert_shapes(description: dict) -> dict[str, list[int]]:
    """Names and shapes of all tensors of a file, in model order."""
    like = torch.empty(0, device="meta")
    layers = (LayerExperts(description, layer, Pass(), like) for layer in range(description["layers"])
              if kinds_in(description, layer))
    return {f"layers.{experts.layer}.{name}": list(parameter.shape)
            for experts in layers for name, parameter in experts.named_parameters()}

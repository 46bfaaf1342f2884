"""A LLaMA decoder with the experts of Soft MoA, Sparse MoA or LoRA in PyTorch, written from the formulas of the
published code: what ladle's training is compared with. Modules are named so that the keys of adapter.pth fit.

Shapes: B samples, T tokens, D hidden, H heads, K heads of keys and values, P prompt vectors.
"""
import math

import torch
from torch import nn

# The order of a router's columns; kinds that a model lacks have none.
SLOTS = ["Q", "K", "V", "PROMPT", "O", "FFN_DOWN", "ADAPTER"]


def layers_of(ranges):
    """The layers of a list such as 0-8,24-32; ends are not included."""
    return {layer for part in ranges.split(",") for layer in range(*map(int, part.split("-")))}


class Experts:
    """What adapter_params.json and the keys of adapter.pth say of one layer."""

    def __init__(self, params, keys, layer):
        prefix = f"llama.layers.{layer}."
        self.rank, self.scale = params["lora_rank"], params["lora_alpha"] / params["lora_rank"]
        self.adapter_size, self.prompt_length = params["p_adapter_size"], params["prompt_len"]
        self.expansion, self.max_threshold = params.get("swi_x"), params.get("max_threshold")
        kinds = set(params["lora_targets"].split(",")) if layer in layers_of(params["lora_layers"]) else set()
        kinds |= {"PROMPT"} if layer in layers_of(params["prompt_layers"]) else set()
        kinds |= {"ADAPTER"} if layer in layers_of(params["p_adapter_layers"]) else set()
        self.slots = [slot for slot in SLOTS if slot in kinds]
        assert len(self.slots) == len(kinds), f"kinds without a formula here: {kinds}"
        self.has_router = any(key.startswith(prefix + "adapter_type_router.") for key in keys)
        self.has_threshold = prefix + "adapter_threshold_fn.weight" in keys


class LowRank(nn.Module):
    def __init__(self, experts, inputs, outputs):
        super().__init__()
        self.scale = experts.scale
        self.lora_A = nn.Linear(inputs, experts.rank, bias=False)
        self.lora_B = nn.Linear(experts.rank, outputs, bias=False)

    def forward(self, x):
        return self.scale * self.lora_B(self.lora_A(x))


class ParallelAdapter(nn.Module):
    def __init__(self, width, size):
        super().__init__()
        self.down_proj, self.up_proj = nn.Linear(width, size), nn.Linear(size, width)

    def forward(self, x):
        return self.up_proj(nn.functional.silu(self.down_proj(x)))


class TypeRouter(nn.Module):
    """Scores [B, T, kinds] of the block's input, which is not normed."""

    def __init__(self, width, kinds, expansion):
        super().__init__()
        self.w1, self.w3 = nn.Linear(width, expansion * kinds), nn.Linear(width, expansion * kinds)
        self.w2 = nn.Linear(expansion * kinds, kinds)

    def forward(self, x):
        return self.w2(nn.functional.silu(self.w1(x)) * self.w3(x))


class Norm(nn.Module):
    def __init__(self, width, epsilon):
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(width)), epsilon

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon))


def weighted(expert, x, weight):
    """weight [B, T] times expert(x); tokens of weight 0 are not computed, and an expert without any has no gradient."""
    if weight is None:
        return expert(x)
    selected = weight != 0
    if not selected.any():
        return 0
    output = expert(x[selected]) * weight[selected].unsqueeze(-1)
    return output.new_zeros(*weight.shape, output.shape[-1]).index_put((selected,), output)


def add_low_rank(module, experts, names, inputs, outputs):
    """LoRA under its published name, where the layer has it."""
    for slot, name in names.items():
        if slot in experts.slots:
            setattr(module, name, LowRank(experts, inputs, outputs[slot]))


def projected(module, linear, name, x, weight):
    y = linear(x)
    return y + weighted(getattr(module, name), x, weight) if hasattr(module, name) else y


def rotate(x, turns):
    """RoPE over neighbouring pairs; x [B, T, heads, head_dim], turns [T, head_dim / 2] complex."""
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns.unsqueeze(1)).flatten(-2)


class Attention(nn.Module):
    def __init__(self, config, experts):
        super().__init__()
        self.heads, self.kv_heads = config["heads"], config["kv_heads"]
        width, kv_width = config["dim"], config["dim"] // self.heads * self.kv_heads
        self.wq, self.wo = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.wk, self.wv = nn.Linear(width, kv_width, bias=False), nn.Linear(width, kv_width, bias=False)
        add_low_rank(self, experts, {"Q": "lora_Q", "K": "lora_K", "V": "lora_V", "O": "lora_O"}, width,
                     {"Q": width, "K": kv_width, "V": kv_width, "O": width})
        if "PROMPT" in experts.slots:
            self.prompt = nn.Embedding(experts.prompt_length, width)
            self.prompt_gate = nn.Parameter(torch.zeros(1, self.heads, 1, 1))

    def per_head(self, x):
        """[B, T, heads, head_dim] of [B, T, heads * head_dim]"""
        return x.unflatten(-1, (-1, self.wq.in_features // self.heads))

    def grouped(self, x):
        """Keys or values for every head of queries, heads first: [B, H, T, head_dim]."""
        return x.transpose(1, 2).repeat_interleave(self.heads // self.kv_heads, dim=1)

    def prompt_output(self, q):
        """Attention to the prompt alone: its rows have no norm, no LoRA and no rotation. q [B, H, T, head_dim]"""
        keys = self.grouped(self.per_head(self.wk(self.prompt.weight).unsqueeze(0)))
        values = self.grouped(self.per_head(self.wv(self.prompt.weight).unsqueeze(0)))
        shares = torch.softmax(q @ keys.transpose(2, 3) / math.sqrt(q.shape[-1]), dim=-1)
        return (self.prompt_gate * shares) @ values

    def forward(self, n, turns, weights):
        q = rotate(self.per_head(projected(self, self.wq, "lora_Q", n, weights["Q"])), turns).transpose(1, 2)
        k = self.grouped(rotate(self.per_head(projected(self, self.wk, "lora_K", n, weights["K"])), turns))
        v = self.grouped(self.per_head(projected(self, self.wv, "lora_V", n, weights["V"])))
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        output = torch.softmax(scores.masked_fill(later, -math.inf), dim=-1) @ v
        if hasattr(self, "prompt"):
            weight = 1 if weights["PROMPT"] is None else weights["PROMPT"][:, None, :, None]
            output = output + weight * self.prompt_output(q)
        return projected(self, self.wo, "lora_O", output.transpose(1, 2).flatten(2), weights["O"])


class FeedForward(nn.Module):
    def __init__(self, config, experts):
        super().__init__()
        width, inner = config["dim"], config["ffn"]
        self.w1, self.w3 = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.w2 = nn.Linear(inner, width, bias=False)
        add_low_rank(self, experts, {"FFN_DOWN": "lora_DOWN"}, inner, {"FFN_DOWN": width})

    def forward(self, m, weights):
        return projected(self, self.w2, "lora_DOWN", nn.functional.silu(self.w1(m)) * self.w3(m), weights["FFN_DOWN"])


class Block(nn.Module):
    def __init__(self, config, experts):
        super().__init__()
        self.experts = experts
        self.attention, self.feed_forward = Attention(config, experts), FeedForward(config, experts)
        self.attention_norm = Norm(config["dim"], config["epsilon"])
        self.ffn_norm = Norm(config["dim"], config["epsilon"])
        if "ADAPTER" in experts.slots:
            self.p_adapter = ParallelAdapter(config["dim"], experts.adapter_size)
        if experts.has_router:
            self.adapter_type_router = TypeRouter(config["dim"], len(experts.slots), experts.expansion)
        if experts.has_threshold:
            self.adapter_threshold_fn = nn.Linear(config["dim"], 1)

    def weights(self, x):
        """[B, T] of each kind of expert; None: no router, so weight 1."""
        weights = dict.fromkeys(SLOTS)
        if self.experts.has_router:
            shares = torch.sigmoid(self.adapter_type_router(x))
            if self.experts.has_threshold:
                threshold = self.experts.max_threshold * torch.sigmoid(self.adapter_threshold_fn(x))
                shares = torch.where(shares - threshold >= 0, shares, 0)
            weights.update(zip(self.experts.slots, shares.unbind(-1)))
        return weights

    def forward(self, x, turns):
        weights = self.weights(x)
        h = x + self.attention(self.attention_norm(x), turns, weights)
        m = self.ffn_norm(h)
        output = h + self.feed_forward(m, weights)
        return output + weighted(self.p_adapter, m, weights["ADAPTER"]) if hasattr(self, "p_adapter") else output


class Decoder(nn.Module):
    """config: dim, layers, heads, kv_heads, ffn, vocab, epsilon, theta. The output is tied to the embeddings."""

    def __init__(self, config, params, keys):
        super().__init__()
        self.tok_embeddings = nn.Embedding(config["vocab"], config["dim"])
        self.layers = nn.ModuleList(Block(config, Experts(params, keys, i)) for i in range(config["layers"]))
        self.norm = Norm(config["dim"], config["epsilon"])
        self.config = config

    def turns(self, tokens):
        width = self.config["dim"] // self.config["heads"]
        rates = self.config["theta"] ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
        return torch.polar(torch.ones(()), torch.outer(torch.arange(tokens, dtype=torch.float32), rates))

    def forward(self, ids):
        """Logits [B, T, V] of ids [B, T]."""
        x, turns = self.tok_embeddings(ids), self.turns(ids.shape[1])
        for layer in self.layers:
            x = layer(x, turns)
        return nn.functional.linear(self.norm(x), self.tok_embeddings.weight)


def attach(config, base, params, adapter):
    """A decoder of the frozen tensors `base` and of an adapter as published (adapter.pth, adapter_params.json), which
    trains."""
    with torch.device("meta"):
        model = Decoder(config, params, adapter.keys())
    state = base | {name.removeprefix("llama."): value.clone() for name, value in adapter.items()}
    model.load_state_dict(state, assign=True)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in base)
    return model


def instruction_loss(model, ids, labels):
    """The mean over all labels that are not 0; ids and labels [B, T] are padded with 0 on the right, and pads are
    tokens like others, behind all that count."""
    logits = model(ids)[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=0)


def make_optimizer(model, weight_decay):
    """AdamW as published: biases and what has one dimension do not decay."""
    trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    decays = lambda name, value: value.ndim > 1 and not name.endswith(".bias")
    return torch.optim.AdamW(
        [{"params": [value for name, value in trained if decays(name, value)], "weight_decay": weight_decay},
         {"params": [value for name, value in trained if not decays(name, value)], "weight_decay": 0.0}],
        lr=0.0, betas=(0.9, 0.95), eps=1e-8)


def half_cosine(peak, epoch, warmup_epochs, epochs):
    """The learning rate after this many epochs, fractions included."""
    if epoch < warmup_epochs:
        return peak * epoch / warmup_epochs
    return peak * 0.5 * (1 + math.cos(math.pi * (epoch - warmup_epochs) / (epochs - warmup_epochs)))

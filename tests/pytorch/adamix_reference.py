"""AdaMix in PyTorch, on the BERT and RoBERTa of the transformers library: what ladle is compared with.

Written from the published formulas: e = Up(gelu(Down(h))) + h behind the feed-forward output h, before its dropout.
Used by all scripts in this folder; tensor names are those of the AdaMix repository.
"""

import contextlib

import torch
import transformers
from torch import nn
from torch.nn import functional


class Bank(nn.Module):
    """The experts of one projection; `route` says which of them a forward call applies.

    None: the mean of all (inference level 3). An int: that expert (training). A tensor [B] or [B, S]: one expert per
    sample or per token (levels 1 and 0).
    """

    def __init__(self, experts, inputs, outputs):
        super().__init__()
        self.expert_score_weight = nn.Parameter(torch.zeros(experts), requires_grad=False)
        self.deepspeed_experts = nn.ModuleList(nn.Linear(inputs, outputs) for _ in range(experts))
        self.route = None

    def soup(self):
        """Weight and bias of the averaged experts, summed in index order, each term scaled first."""
        shares = functional.softmax(self.expert_score_weight, 0)
        weight = sum(share * expert.weight for share, expert in zip(shares, self.deepspeed_experts))
        bias = sum(share * expert.bias for share, expert in zip(shares, self.deepspeed_experts))
        return weight, bias

    def forward(self, x):
        if self.route is None:
            return functional.linear(x, *self.soup())
        if isinstance(self.route, int):
            return self.deepspeed_experts[self.route](x)
        chosen = self.route if self.route.dim() == 2 else self.route[:, None].expand(x.shape[:2])
        outputs = torch.stack([expert(x) for expert in self.deepspeed_experts])
        return outputs.gather(0, chosen[None, :, :, None].expand(1, *outputs.shape[1:])).squeeze(0)


class ExpertSoup(nn.Module):
    """The adapter of one layer."""

    def __init__(self, hidden, size, down_experts, up_experts):
        super().__init__()
        self.MoA_A = Bank(down_experts, hidden, size)
        self.MoA_B = Bank(up_experts, size, hidden)

    def forward(self, h):
        return self.MoA_B(functional.gelu(self.MoA_A(h))) + h


def encoder_of(model):
    return model.base_model.encoder


def attach(model, size, down_experts, up_experts):
    """Adds an adapter behind every layer's feed-forward output and freezes everything else but the head."""
    for layer in encoder_of(model).layer:
        soup = ExpertSoup(model.config.hidden_size, size, down_experts, up_experts)
        layer.output.ExpertSoup = soup
        layer.output.dense.register_forward_hook(lambda _module, _inputs, h, soup=soup: soup(h))
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("classifier.") or ".deepspeed_experts." in name
    return model


def attach_tensors(model, tensors):
    """Adds adapters of the dimensions that these tensors have and fills them and the head; none may be left over."""
    first = [name for name in tensors if ".layer.0.output.ExpertSoup." in name and name.endswith(".weight")]
    down = [name for name in first if ".MoA_A." in name]
    attach(model, len(tensors[down[0]]), len(down), len(first) - len(down))
    result = model.load_state_dict(tensors, strict=False)
    missing = [name for name in result.missing_keys if "deepspeed_experts" in name or name.startswith("classifier.")]
    assert not missing and not result.unexpected_keys, (missing, result.unexpected_keys)
    return model


def set_routes(model, routes):
    """routes[layer][0 down, 1 up], or None for the soup everywhere."""
    for index, layer in enumerate(encoder_of(model).layer):
        for place, bank in enumerate((layer.output.ExpertSoup.MoA_A, layer.output.ExpertSoup.MoA_B)):
            route = None if routes is None else routes[index][place]
            bank.route = route if route is None or torch.is_tensor(route) and route.dim() > 0 else int(route)


def make_classifier(architecture, **config):
    """A classifier with random weights: architecture bert or roberta, config as in config.json."""
    config_class, model_class = {
        "bert": (transformers.BertConfig, transformers.BertForSequenceClassification),
        "roberta": (transformers.RobertaConfig, transformers.RobertaForSequenceClassification),
    }[architecture]
    return model_class._from_config(config_class(**config), attn_implementation="eager").eval()


def randomize(model, deviation, seed):
    """Weights with a large spread, so that every part of the model moves the logits; norms stay near one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if "expert_score_weight" not in name:
                noise = torch.randn(parameter.shape, generator=generator)
                centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
                parameter.copy_(centre + deviation * noise)
    return model


@contextlib.contextmanager
def dropout_by_masks(masks):
    """Every dropout multiplies by the next mask (0 or 1 / (1 - p)) instead; all masks must be used up."""
    original, rest = functional.dropout, list(masks)

    def apply(x, *_arguments, **_named):
        mask = rest.pop(0)
        assert mask.shape == x.shape, f"a mask has shape {tuple(mask.shape)} where {tuple(x.shape)} is needed"
        return x * mask

    functional.dropout = apply
    try:
        yield
    finally:
        functional.dropout = original
    assert not rest, f"{len(rest)} masks were not used"


def task_loss(logits, labels):
    """Mean cross entropy, or the mean squared error of one output."""
    if logits.shape[1] == 1:
        return functional.mse_loss(logits.flatten(), labels)
    return functional.cross_entropy(logits, labels)


def consistency_loss(first, second):
    """Half the sum of both KL divergences, batch mean, targets detached (AdaMix, modeling_roberta.py)."""

    def divergence(prediction, target):
        shares = functional.softmax(target, -1).detach()
        return functional.kl_div(functional.log_softmax(prediction, -1), shares, reduction="batchmean")

    return 0.5 * (divergence(first, second) + divergence(second, first))


class PublishedAdamW:
    """AdamW of transformers 4.4.2: epsilon beside the uncorrected root, decay on the updated weight, own counters."""

    def __init__(self, named, weight_decay, betas=(0.9, 0.999), epsilon=1e-8):
        self.named, self.weight_decay, self.betas, self.epsilon = list(named), weight_decay, betas, epsilon
        self.steps = {name: 0 for name, _ in self.named}
        self.first = {name: torch.zeros_like(weight) for name, weight in self.named}
        self.second = {name: torch.zeros_like(weight) for name, weight in self.named}

    @torch.no_grad()
    def step(self, learning_rate):
        beta1, beta2 = self.betas
        for name, weight in self.named:
            if weight.grad is None:
                continue
            self.steps[name] += 1
            self.first[name].mul_(beta1).add_(weight.grad, alpha=1 - beta1)
            self.second[name].mul_(beta2).addcmul_(weight.grad, weight.grad, value=1 - beta2)
            correction = (1 - beta2 ** self.steps[name]) ** 0.5 / (1 - beta1 ** self.steps[name])
            root = self.second[name].sqrt().add_(self.epsilon)
            weight.addcdiv_(self.first[name], root, value=-learning_rate * correction)
            if "bias" not in name:
                weight.add_(weight, alpha=-learning_rate * self.weight_decay)

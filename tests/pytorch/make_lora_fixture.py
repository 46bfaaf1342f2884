#!/usr/bin/env python3
"""Writes golden LoRA files in the layout of tests/fixtures/lora/README.md: plain LoRA by peft, mixtures by torch.

Usage: make_lora_fixture.py DIRECTORY
Needs torch, transformers, h5py and peft. Computed in double from weights that fp32 holds exactly, stored as fp32.
What the mixtures give with all experts is compared with peft before it is written.
"""

import json
import pathlib
import sys

import h5py
import numpy as np
import peft
import torch
from torch import nn
from torch.nn import functional

import adamix_reference as reference

PATHS = {"query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
         "attention_output": "attention.output.dense", "intermediate": "intermediate.dense", "output": "output.dense"}
BERT = {"architecture": "bert", "layer_norm_eps": 1e-12, "pad_token_id": 0, "type_vocab_size": 2}
ROBERTA = {"architecture": "roberta", "layer_norm_eps": 1e-5, "pad_token_id": 1, "type_vocab_size": 1}
CASES = {
    "lora_query_value": {
        **BERT, "kind": "lora", "hidden": 32, "layers": 2, "heads": 4, "intermediate": 64, "vocab": 60,
        "max_position": 24, "num_labels": 3, "r": 4, "lora_alpha": 8.0, "lora_targets": ["query", "value"],
        "num_experts": 1, "share_down": False, "share_up": False, "seed": 41},
    "lora_all": {
        **ROBERTA, "kind": "lora", "hidden": 24, "layers": 3, "heads": 3, "intermediate": 40, "vocab": 50,
        "max_position": 26, "num_labels": 1, "r": 3, "lora_alpha": 4.0, "lora_targets": list(PATHS),
        "num_experts": 1, "share_down": False, "share_up": False, "seed": 42},
    "adamix_lora_all": {
        **BERT, "kind": "adamix-lora", "hidden": 24, "layers": 2, "heads": 2, "intermediate": 44, "vocab": 50,
        "max_position": 24, "num_labels": 3, "r": 5, "lora_alpha": 7.0, "lora_targets": list(PATHS),
        "num_experts": 3, "share_down": False, "share_up": False, "seed": 43},
    "adamix_lora_shareup": {
        **ROBERTA, "kind": "adamix-lora", "hidden": 32, "layers": 2, "heads": 4, "intermediate": 64, "vocab": 60,
        "max_position": 26, "num_labels": 2, "r": 4, "lora_alpha": 32.0, "lora_targets": ["query", "value"],
        "num_experts": 4, "share_down": False, "share_up": True, "seed": 44},
}
LENGTHS = (12, 7, 1, 9, 3)
PASSES = 2
# double on both sides: the same products in another order
AGREEMENT = 1e-12


class LoraMixture(nn.Module):
    """Low-rank experts beside one frozen projection: y += alpha / r * B_j A_i x, i and j chosen apart."""

    def __init__(self, case, base):
        super().__init__()
        self.scaling = case["lora_alpha"] / case["r"]
        counts = [1 if case[shared] else case["num_experts"] for shared in ("share_down", "share_up")]
        self.experts_lora_A = nn.ModuleList(
            nn.Linear(base.in_features, case["r"], bias=False) for _ in range(counts[0]))
        self.experts_lora_B = nn.ModuleList(
            nn.Linear(case["r"], base.out_features, bias=False) for _ in range(counts[1]))
        self.route = None

    def merged(self):
        """Mean A and mean B."""
        return [torch.stack([expert.weight for expert in experts]).mean(0)
                for experts in (self.experts_lora_A, self.experts_lora_B)]

    def expert(self, index):
        """A and B of one expert; a shared side has one only."""
        return [experts[min(index, len(experts) - 1)].weight for experts in (self.experts_lora_A, self.experts_lora_B)]

    def forward(self, x):
        if self.route is None:
            down, up = self.merged()
        else:
            down, up = self.experts_lora_A[self.route[0]].weight, self.experts_lora_B[self.route[1]].weight
        return self.scaling * functional.linear(functional.linear(x, down), up)


def classifier(case):
    return reference.make_classifier(
        case["architecture"], hidden_size=case["hidden"], num_hidden_layers=case["layers"],
        num_attention_heads=case["heads"], intermediate_size=case["intermediate"], vocab_size=case["vocab"],
        max_position_embeddings=case["max_position"], type_vocab_size=case["type_vocab_size"],
        pad_token_id=case["pad_token_id"], layer_norm_eps=case["layer_norm_eps"], num_labels=case["num_labels"],
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def target_names(case):
    """Names of the projections that carry LoRA, layer by layer."""
    return [f"{case['architecture']}.encoder.layer.{layer}.{PATHS[target]}"
            for layer in range(case["layers"]) for target in case["lora_targets"]]


def mixture_model(case):
    """A classifier whose target projections carry a LoraMixture; they and the head are trainable."""
    model = classifier(case)
    for name in target_names(case):
        base = model.get_submodule(name)
        base.mixture = LoraMixture(case, base)
        base.register_forward_hook(lambda module, inputs, y: y + module.mixture(inputs[0]))
    reference.randomize(model, 0.3, case["seed"]).double()
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("classifier.") or ".mixture." in name
    return model


def stored_name(name):
    return name.replace(".mixture.", ".")


def peft_model(case, source, rank, factors):
    """peft's LoRA on the base and head of `source`; factors(mixture) gives A [rank, in] and B [out, rank]."""
    base = classifier(case).double()
    weights = {name: value for name, value in source.state_dict().items() if ".mixture." not in name}
    base.load_state_dict(weights)
    paths = "|".join(PATHS[target].replace(".", r"\.") for target in case["lora_targets"])
    config = peft.LoraConfig(r=rank, lora_alpha=case["lora_alpha"], lora_dropout=0.0, bias="none",
                             target_modules=rf".*\.layer\.\d+\.({paths})")
    model = peft.get_peft_model(base, config).double()
    for name in target_names(case):
        layer, mixture = base.get_submodule(name), source.get_submodule(name + ".mixture")
        with torch.no_grad():
            for linear, value in zip((layer.lora_A["default"], layer.lora_B["default"]), factors(mixture)):
                assert linear.weight.shape == value.shape, name
                linear.weight.copy_(value)
    base.classifier.requires_grad_(True)
    return model.eval()


def peft_name(name):
    """The stored name of a trainable tensor of a peft model."""
    name = name.removeprefix("base_model.model.")
    return name.replace(".lora_A.default.", ".experts_lora_A.0.").replace(".lora_B.default.", ".experts_lora_B.0.")


def make_inputs(case):
    draw = np.random.default_rng(case["seed"])
    shape = (len(LENGTHS), max(LENGTHS))
    places = np.arange(shape[1])[None]
    mask = (places < np.array(LENGTHS)[:, None]).astype(np.int32)
    ids = np.where(mask == 1, draw.integers(5, case["vocab"], shape), case["pad_token_id"])
    labels = draw.integers(0, case["num_labels"], shape[0]) if case["num_labels"] > 1 else draw.uniform(0, 5, shape[0])
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": mask * (places >= 3) * (
        case["type_vocab_size"] - 1), "labels": labels}
    if case["kind"] == "adamix-lora":
        banks = [1 if case[shared] else case["num_experts"] for shared in ("share_down", "share_up")]
        routes = np.stack([draw.integers(0, count, (PASSES, case["layers"], 1)) for count in banks], -1)
        # All targets of a layer take the same experts.
        inputs["routing"] = np.tile(routes, (1, 1, len(case["lora_targets"]), 1)).reshape(PASSES, case["layers"], -1)
    return {name: value.astype(np.float32 if value.dtype.kind == "f" else np.int32) for name, value in inputs.items()}


def call(model, inputs):
    names = ("input_ids", "attention_mask", "token_type_ids")
    return model(**{name: torch.from_numpy(inputs[name]).long() for name in names}).logits


def labels_of(case, inputs):
    labels = torch.from_numpy(inputs["labels"])
    return labels.long() if case["num_labels"] > 1 else labels.double()


def set_route(model, case, routes):
    """routes[layer][2 * target + (0 A, 1 B)], or None for the soup."""
    for i, name in enumerate(target_names(case)):
        layer, target = divmod(i, len(case["lora_targets"]))
        model.get_submodule(name + ".mixture").route = (
            None if routes is None else routes[layer][2 * target:2 * target + 2].tolist())


def plain_outputs(case, source, inputs):
    """Logits, losses and gradients of plain LoRA, all by peft."""
    model = peft_model(case, source, case["r"], LoraMixture.merged)
    logits = call(model, inputs)
    loss = reference.task_loss(logits, labels_of(case, inputs))
    loss.backward()
    zero = torch.zeros(())
    outputs = {"logits_pass0": logits, "eval_logits": logits, "loss_ce": loss, "loss_consistency": zero, "loss": loss}
    return outputs, {peft_name(name): p for name, p in model.named_parameters() if p.requires_grad}


def mixture_outputs(case, model, inputs):
    """Logits and losses of both passes and gradients, and the two averages as peft computes them."""
    logits = []
    for routes in inputs["routing"]:
        set_route(model, case, routes)
        logits.append(call(model, inputs))
    task = reference.task_loss(logits[0], labels_of(case, inputs))
    consistency = reference.consistency_loss(*logits)
    (task + consistency).backward()
    set_route(model, case, None)

    def of_all_experts(mixture):
        experts = [mixture.expert(k) for k in range(case["num_experts"])]
        return torch.cat([down for down, _ in experts]), torch.cat([up for _, up in experts], 1)

    with torch.no_grad():
        soup = call(model, inputs)
        assert (soup - call(peft_model(case, model, case["r"], LoraMixture.merged), inputs)).abs().max() < AGREEMENT
        averaged = call(peft_model(case, model, case["num_experts"] * case["r"], of_all_experts), inputs)
    same = (averaged - soup).abs().max().item()
    assert (same < AGREEMENT) == (case["share_up"] or case["share_down"]), f"output averaging differs by {same}"
    outputs = {"logits_pass0": logits[0], "logits_pass1": logits[1], "eval_logits": soup,
               "eval_logits_output_averaging": averaged, "loss_ce": task, "loss_consistency": consistency,
               "loss": task + consistency}
    return outputs, {stored_name(name): p for name, p in model.named_parameters() if p.requires_grad}


def check_worth(case, outputs, trained):
    """Every part must move the numbers, or the file would test nothing."""
    present = [name for name, p in trained.items() if p.grad is not None]
    assert all(trained[name].grad.abs().max() > 1e-4 for name in present)
    assert len(present) > len(trained) // 2
    if case["kind"] == "adamix-lora":
        assert (outputs["logits_pass0"] - outputs["logits_pass1"]).abs().max() > 0.05
        assert outputs["loss_consistency"] > 1e-3


def write_file(path, case):
    inputs, source = make_inputs(case), mixture_model(case)
    compute = mixture_outputs if case["kind"] == "adamix-lora" else plain_outputs
    outputs, trained = compute(case, source, inputs)
    check_worth(case, outputs, trained)
    groups = {
        "weights": {stored_name(name): p for name, p in source.named_parameters()},
        "outputs": outputs,
        "grads": {name: p.grad for name, p in trained.items() if p.grad is not None},
        "soup": {f"{name}.lora_{side}.weight": value for name in target_names(case)
                 for side, value in zip("AB", source.get_submodule(name + ".mixture").merged())}}
    with h5py.File(path, "w") as file:
        order = [f"{target}.{side}" for target in case["lora_targets"] for side in "AB"]
        file.attrs["config"] = json.dumps({**case, "module_order": order})
        file.attrs["no_grad_keys"] = json.dumps([name for name, p in trained.items() if p.grad is None])
        file.attrs["trainable_params"] = sum(p.numel() for p in trained.values())
        for name, value in inputs.items():
            file[f"inputs/{name}"] = value
        for group, tensors in groups.items():
            for name, tensor in tensors.items():
                file[f"{group}/{name}"] = tensor.detach().float().numpy()


def main():
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in CASES.items():
        write_file(folder / f"{name}.h5", case)


if __name__ == "__main__":
    main()

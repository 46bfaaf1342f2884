#!/usr/bin/env python3
"""Writes golden AdaMix files in the layout of tests/fixtures/adamix/README.md, computed by adamix_reference.py.

Usage: make_adamix_fixture.py DIRECTORY
Computed in double from weights that fp32 holds exactly, stored as fp32. The sizes differ from those of the committed files: three experts, odd widths, other depths and lengths. Put the
directory into LADLE_FIXTURES and test_oracle compares ladle with them too.
"""

import pathlib
import sys

import h5py
import numpy as np
import torch

import adamix_reference as reference

STEPS, TOTAL_STEPS, WARMUP_STEPS = 5, 100, 6
LEARNING_RATE, WEIGHT_DECAY, MAX_NORM = 3e-4, 0.1, 1.0
CASES = {
    "bert_three_experts": {
        "arch": 0, "hidden_size": 45, "num_layers": 3, "num_heads": 5, "intermediate_size": 70, "vocab_size": 61,
        "max_position_embeddings": 33, "pad_token_id": 0, "layer_norm_eps": 1e-12, "num_labels": 4, "num_experts": 3,
        "adapter_size": 5, "sharing_down": 0, "sharing_up": 0, "use_consistency_loss": 1},
    "roberta_seven_experts": {
        "arch": 1, "hidden_size": 56, "num_layers": 1, "num_heads": 7, "intermediate_size": 33, "vocab_size": 50,
        "max_position_embeddings": 40, "pad_token_id": 1, "layer_norm_eps": 1e-5, "num_labels": 1, "num_experts": 7,
        "adapter_size": 9, "sharing_down": 0, "sharing_up": 1, "use_consistency_loss": 1},
    "roberta_one_expert": {
        "arch": 1, "hidden_size": 24, "num_layers": 4, "num_heads": 2, "intermediate_size": 100, "vocab_size": 40,
        "max_position_embeddings": 30, "pad_token_id": 1, "layer_norm_eps": 1e-5, "num_labels": 3, "num_experts": 1,
        "adapter_size": 1, "sharing_down": 1, "sharing_up": 1, "use_consistency_loss": 0},
}
LENGTHS = (1, 21, 9, 2, 17, 13, 5)


def build(case):
    config = {name: case[name] for name in ("hidden_size", "intermediate_size", "vocab_size", "pad_token_id",
                                            "max_position_embeddings", "layer_norm_eps", "num_labels")}
    model = reference.make_classifier("roberta" if case["arch"] else "bert", num_hidden_layers=case["num_layers"],
                                      num_attention_heads=case["num_heads"], type_vocab_size=2, **config)
    experts = case["num_experts"]
    reference.attach(model, case["adapter_size"], 1 if case["sharing_down"] else experts,
                     1 if case["sharing_up"] else experts)
    return reference.randomize(model, 0.3, seed=11).double()


def make_inputs(case):
    draw = np.random.default_rng(7)
    shape = (len(LENGTHS), max(LENGTHS))
    mask = (np.arange(shape[1])[None] < np.array(LENGTHS)[:, None]).astype(np.int64)
    ids = np.where(mask == 1, draw.integers(5, case["vocab_size"], shape), case["pad_token_id"])
    types = mask * (np.arange(shape[1])[None] >= 4) * (1 - case["arch"])
    labels = draw.integers(0, case["num_labels"], shape[0]) if case["num_labels"] > 1 else (
        draw.uniform(0, 5, shape[0]).astype(np.float32))
    counts = [1 if case["sharing_down"] else case["num_experts"], 1 if case["sharing_up"] else case["num_experts"]]

    def draws(*extents):
        """[..., 2]: the last place is the projection, with its own number of experts."""
        return np.stack([draw.integers(0, count, extents) for count in counts], -1)

    layers = case["num_layers"]
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "labels": labels,
            "picks": draws(STEPS, 2, layers), "level0_masks": np.moveaxis(draws(layers, *shape), -1, 1),
            "level1_masks": np.moveaxis(draws(layers, shape[0]), -1, 1)}


class Run:
    """One model on one batch."""

    def __init__(self, case, inputs):
        self.case, self.inputs, self.model = case, inputs, build(case)
        self.batch = {name: torch.from_numpy(inputs[name]) for name in ("input_ids", "attention_mask",
                                                                        "token_type_ids")}
        labels = torch.from_numpy(inputs["labels"])
        self.labels = labels.double() if case["num_labels"] == 1 else labels
        self.trainable = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]

    def forward(self, routes):
        reference.set_routes(self.model, routes)
        return self.model(**self.batch, output_hidden_states=True)

    def losses(self, step):
        """Task and consistency loss, gradients left in the parameters."""
        picks = self.inputs["picks"][step].tolist()
        first = self.forward(picks[0]).logits
        task, consistency = reference.task_loss(first, self.labels), torch.zeros(())
        if self.case["use_consistency_loss"]:
            consistency = reference.consistency_loss(first, self.forward(picks[1]).logits)
        (task + consistency).backward()
        return task.item(), consistency.item()

    def clip(self):
        present = [p for _, p in self.trainable if p.grad is not None]
        return torch.nn.utils.clip_grad_norm_(present, MAX_NORM).item()


def write_all(group, tensors):
    for name, tensor in tensors.items():
        group[name] = tensor.detach().float().numpy() if torch.is_tensor(tensor) else tensor


def write_forward(group, run):
    masks = {level: torch.from_numpy(run.inputs[f"level{level}_masks"]) for level in (0, 1)}
    picks = run.inputs["picks"][0].tolist()
    with torch.no_grad():
        found = {"pass0": run.forward(picks[0]), "pass1": run.forward(picks[1]), "level0": run.forward(masks[0]),
                 "level1": run.forward(masks[1]), "level3": run.forward(None)}
    write_all(group, {"logits_" + name: result.logits for name, result in found.items()})
    for name in ("pass0", "level3"):
        write_all(group, {f"hidden_{name}/{i}": state for i, state in enumerate(found[name].hidden_states)})
    if run.case["arch"] and run.case["num_labels"] == 1:
        write_all(group, {"logits_level3_clipped": found["level3"].logits.clamp(min=0)})
    for name, module in run.model.named_modules():
        if isinstance(module, reference.Bank):
            weight, bias = module.soup()
            write_all(group, {f"soup/{name}.weight": weight, f"soup/{name}.bias": bias})


def write_trajectory(outputs, name, run, set_to_none):
    optimizer = reference.PublishedAdamW(run.trainable, WEIGHT_DECAY)
    group, curves = outputs.create_group(name), {}
    for step in range(STEPS):
        rate = LEARNING_RATE * step / WARMUP_STEPS
        task, consistency = run.losses(step)
        if name == "traj" and step == 0:
            write_all(outputs, {"task_loss": np.float32(task), "consistency_loss": np.float32(consistency),
                                "total_loss": np.float32(task + consistency)})
            for tensor, p in run.trainable:
                write_all(outputs, {"grads/" + tensor: torch.zeros_like(p) if p.grad is None else p.grad,
                                    "grad_defined/" + tensor: np.int64(p.grad is not None)})
        norm = run.clip()
        optimizer.step(rate)
        if name == "traj" and step == 0:
            outputs["grad_norm"] = np.float32(norm)
            write_all(outputs, {"exp_avg_step1/" + tensor: value for tensor, value in optimizer.first.items()})
        for key, value in (("task_loss", task), ("consistency_loss", consistency), ("total_loss", task + consistency),
                           ("grad_norm", norm), ("lr", rate)):
            curves.setdefault(key, []).append(value)
        if step in (0, 1, STEPS - 1):
            write_all(group, {f"params_step{step + 1}/{tensor}": p for tensor, p in run.trainable})
        run.model.zero_grad(set_to_none=set_to_none)
    for key, values in curves.items():
        group[key] = np.array(values, np.float64 if key == "lr" else np.float32)
    write_all(group, {"adam_steps/" + tensor: np.int64(count) for tensor, count in optimizer.steps.items()})
    with torch.no_grad():
        write_all(group, {"logits_level3_after5": run.forward(None).logits})


def write_file(path, case):
    inputs = make_inputs(case)
    with h5py.File(path, "w") as file:
        settings = {"learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY, "adam_beta1": 0.9,
                    "adam_beta2": 0.999, "adam_eps": 1e-8, "warmup_ratio": 0.06, "max_grad_norm": MAX_NORM}
        numbers = {"warmup_steps": WARMUP_STEPS, "total_steps": TOTAL_STEPS, "type_vocab_size": 2}
        for name, value in {**case, **settings, **numbers}.items():
            file["config/" + name] = np.float64(value) if isinstance(value, float) else np.int64(value)
        write_all(file.create_group("inputs"), inputs)
        run = Run(case, inputs)
        write_all(file.create_group("weights"), dict(run.model.named_parameters()))
        outputs = file.create_group("outputs")
        write_forward(outputs, run)
        write_trajectory(outputs, "traj", run, False)
        write_trajectory(outputs, "traj_setnone", Run(case, inputs), True)


def main():
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in CASES.items():
        write_file(folder / f"{name}.h5", case)


if __name__ == "__main__":
    main()

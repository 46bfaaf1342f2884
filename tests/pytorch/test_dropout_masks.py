#!/usr/bin/env python3
"""Repeats a training step of ladle with dropout in PyTorch: the masks come from ladle's counters, the rest must agree.

Usage: test_dropout_masks.py --build DIR [--ladle FILE]
"""

import argparse
import pathlib
import subprocess
import tempfile

import h5py
import numpy as np
import torch

import adamix_reference as reference

# PyTorch computes in double, because its own fp32 gradients are off by up to 3e-5 of a tensor's largest entry here.
# The reference kernels compute in double and store gradients as fp32; the CPU kernels compute in fp32 and are allowed
# some 50 roundings of 2^-24, relative to a tensor's largest entry.
TOLERANCE = {"reference": 1e-6, "cpu": 1e-5}


def build_model(file, architecture):
    inputs = file["inputs"]
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
             "max_position_embeddings", "type_vocab_size", "pad_token_id", "num_labels")
    config = {name: int(inputs.attrs[name]) for name in names}
    model = reference.make_classifier(architecture, layer_norm_eps=float(inputs.attrs["layer_norm_eps"]), **config)
    reference.attach(model, int(inputs.attrs["adapter_size"]), int(inputs.attrs["num_experts"]), 1)
    tensors = {architecture + "." + name: torch.from_numpy(values[()]) for name, values in file["backbone"].items()}
    tensors.update((name, torch.from_numpy(values[()])) for name, values in file["outputs/cpu/trainable"].items())
    result = model.load_state_dict(tensors, strict=False)
    assert not result.unexpected_keys, result.unexpected_keys
    assert all("expert_score_weight" in name or "position_ids" in name for name in result.missing_keys), result
    return model.double()


def padded(file, pad):
    offsets = file["inputs/offsets"][()]
    lengths = np.diff(offsets)
    shape = (len(lengths), lengths.max())
    ids, types, mask = np.full(shape, pad), np.zeros(shape, int), np.zeros(shape, int)
    for sample, length in enumerate(lengths):
        rows = slice(offsets[sample], offsets[sample + 1])
        ids[sample, :length] = file["inputs/input_ids"][rows]
        types[sample, :length] = file["inputs/token_type_ids"][rows]
        mask[sample, :length] = 1
    return {"input_ids": torch.from_numpy(ids), "token_type_ids": torch.from_numpy(types),
            "attention_mask": torch.from_numpy(mask)}


def masks_of(file, architecture, number):
    """The masks of one pass in the order in which the model meets its dropouts."""
    masks = {name: torch.from_numpy(values[number]) for name, values in file["masks"].items()}
    yield masks["embeddings"][0]
    for layer in range(len(masks["attention_output"])):
        yield masks["attention_probabilities"][layer]
        yield masks["attention_output"][layer]
        yield masks["feed_forward_output"][layer]
    if architecture == "roberta":
        yield masks["head_input"][0][:, 0]
    yield masks["head_inner"][0][:, 0]


def check_masks(file, expected):
    """Shares of dropped elements near the probability, so that the masks are not empty."""
    for name, values in file["masks"].items():
        values = values[()]
        if name in ("embeddings", "attention_output", "feed_forward_output"):
            values = values[:, :, 2, :4]  # sample 2 has four tokens
        elif name == "attention_probabilities":
            values = values[:, :, 2, :, :4, :4]
        share = (values == 0).mean()
        # Five standard deviations of a share over so many elements.
        assert abs(share - expected[name]) < 5 * (expected[name] / values.size) ** 0.5, (name, share)


def torch_step(file, architecture):
    model = build_model(file, architecture)
    if architecture == "roberta":
        pad = int(file["inputs"].attrs["pad_token_id"])
    else:
        pad = 0
    batch = padded(file, pad)
    picks = file["inputs/picks"][()].tolist()
    model.train()
    logits = []
    for number in range(2):
        reference.set_routes(model, picks[number])
        with reference.dropout_by_masks(masks_of(file, architecture, number)):
            logits.append(model(**batch).logits)
    regression = model.config.num_labels == 1
    labels = torch.from_numpy(file["inputs/values" if regression else "inputs/labels"][()])
    task = reference.task_loss(logits[0], labels.double() if regression else labels.long())
    consistency = reference.consistency_loss(*logits)
    (task + consistency).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    return torch.cat(logits).detach().numpy(), task.item(), consistency.item(), gradients


def compare(file, architecture, label):
    logits, task, consistency, gradients = torch_step(file, architecture)
    failures, worst = [], {}

    def record(kernels, quantity, difference):
        key = f"{kernels} {quantity}"
        worst[key] = max(worst.get(key, 0.0), float(difference))
        if not difference <= TOLERANCE[kernels]:
            failures.append(f"{label}: {key} differs by {difference:.3g}")

    for kernels, outputs in file["outputs"].items():
        record(kernels, "logits", np.abs(outputs["logits"][()].reshape(logits.shape) - logits).max())
        record(kernels, "task loss", abs(outputs["task_loss"][()].sum() - task))
        record(kernels, "consistency loss", abs(outputs["consistency_loss"][()].sum() - consistency))
        assert set(outputs["gradients"]) == set(gradients), set(outputs["gradients"]) ^ set(gradients)
        for name, found in outputs["gradients"].items():
            found = found[()]
            if gradients[name] is None:
                record(kernels, "gradient of what was not used", np.abs(found).max())
                continue
            expected = gradients[name].numpy()
            scale = np.abs(expected).max()
            record(kernels, "relative gradient", np.abs(found - expected).max() / (scale if scale > 0 else 1.0))
    for key, difference in worst.items():
        print(f"{label}: {key}: largest difference {difference:.2e}")
    return failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--ladle")
    arguments = parser.parse_args()
    program = arguments.build / "tests" / "pytorch" / "export_step"
    torch.set_num_threads(1)
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        for architecture in ("bert", "roberta"):
            for outputs in (3, 1):
                path = f"{folder}/{architecture}_{outputs}.h5"
                subprocess.run([program, path, architecture, str(outputs)], check=True)
                with h5py.File(path) as file:
                    check_masks(file, {name: 0.1 if name == "attention_probabilities" else 0.2
                                       for name in file["masks"]})
                    failures += compare(file, architecture, f"{architecture}, {outputs} outputs")
    for failure in failures:
        print("FAILED", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())

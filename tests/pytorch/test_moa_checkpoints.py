#!/usr/bin/env python3
"""Training checkpoints of MoA that torch writes: ladle reads their experts and arguments, and executes nothing.

Usage: test_moa_checkpoints.py --ladle FILE [--build DIR]; the latter is not used
"""

import argparse
import json
import pathlib
import tempfile

import torch

import soup_support as support

TINY = support.ROOT / "tests" / "fixtures" / "moa" / "meta_tiny"
# What else the published programs are given.
OTHERS = {"llama_path": "x", "batch_size": 8, "lr": None, "blr": 6e-3, "betas": [0.9, 0.95],
          "output_dir": pathlib.Path("x"), "distributed": False, "world_size": -1}


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def save(folder, tensors, arguments, **more):
    path = folder / "checkpoint-1.pth"
    optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-3}]}
    torch.save({"model": tensors, "optimizer": optimizer, "epoch": 1, "scaler": {"scale": 65536.0},
                "args": argparse.Namespace(**OTHERS, **arguments), **more}, path)
    return path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ladle", required=True)
    parser.add_argument("--build")
    ladle = parser.parse_args().ladle
    options = ("--moa.system", "soft-moa", "--model.path", TINY)
    experts = torch.load(TINY / "adapter.pth", weights_only=True)
    frozen = {f"llama.{name}": tensor
              for name, tensor in torch.load(TINY / "consolidated.00.pth", weights_only=True).items()}
    arguments = json.loads((TINY / "adapter_params.json").read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        trap = folder / "trap"
        for what, tensors in (("experts alone", experts), ("all tensors", {**frozen, **experts})):
            path = save(folder, tensors, arguments, more=Trap(trap))
            support.run(ladle, "convert", path, "--to", "moa", folder / "out", *options, "--verify")
            found = torch.load(folder / "out" / "adapter.pth", weights_only=True)
            support.check(found.keys() == experts.keys() and
                          all(torch.equal(found[key], experts[key]) for key in experts), f"{what}: other tensors")
            said = json.loads((folder / "out" / "adapter_params.json").read_text())
            support.check(said == arguments, f"{what}: other arguments: {said}")
        support.check(not trap.exists(), "something was executed")
        torch.load(path, weights_only=False)
        support.check(trap.exists(), "the trap works")

        def refused(why, tensors, **changed):
            path = save(folder, tensors, {**arguments, **changed})
            support.check_refused(why, ladle, "convert", path, "--to", "adapter", folder / "no.h5", *options)

        gate = "llama.layers.0.attention.prompt_gate"
        refused("fewer than its experts have", {key: value for key, value in experts.items() if key != gate})
        refused("more than its experts have", {**experts, "llama.lora": experts[gate]})
        refused("layers.0.x is surplus", {**experts, "layers.0.x": experts[gate]})
        refused("norms and biases", experts, w_bias=True)
        refused("lora_rank is []", experts, lora_rank=[4])
        refused("lora_A", experts, lora_rank=3)
        support.check_refused("moa.system", ladle, "convert", path, "--to", "adapter", folder / "no.h5")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Soups through torch, safetensors and h5py: what ladle writes gives ladle's logits, what they write ladle reads."""

import json

import h5py
import torch
from safetensors.torch import load_file, save_file

import soup_support as support


def layer_names(tensors, family):
    count = len({name.split(".")[3] for name in tensors if name.startswith(f"{family}.encoder.layer.")})
    return [f"{family}.encoder.layer.{layer}.output." for layer in range(count)]


def merged_from_adamix(tensors, family):
    """AdaMix's merge: each bank becomes the mean of its experts, weighted by the softmax of their scores."""
    layers = []
    for prefix in layer_names(tensors, family):
        parts = {}
        for side, bank in (("down", "MoA_A"), ("up", "MoA_B")):
            scores = torch.softmax(tensors[f"{prefix}ExpertSoup.{bank}.expert_score_weight"], 0)
            for part in ("weight", "bias"):
                parts[side, part] = sum(
                    scores[k] * tensors[f"{prefix}ExpertSoup.{bank}.deepspeed_experts.{k}.{part}"]
                    for k in range(len(scores)))
        layers.append(parts)
    return layers


def merged_from_soup(tensors, family):
    return [{(side, part): tensors[f"{prefix}soup.{side}.{part}"] for side in ("down", "up")
             for part in ("weight", "bias")} for prefix in layer_names(tensors, family)]


def logits_with(case, tensors, layers):
    """The AdaMix formula after the feed-forward part of every layer, and the soup's head."""
    def adapter(parts):
        def add(hidden):
            inner = torch.nn.functional.gelu(
                torch.nn.functional.linear(hidden, parts["down", "weight"], parts["down", "bias"]))
            return hidden + torch.nn.functional.linear(inner, parts["up", "weight"], parts["up", "bias"])
        return add

    return support.logits_with_adapters(case, tensors, [adapter(parts) for parts in layers])


def check_written_by_ladle(ladle, case, folder):
    def convert(soup, name, *words):
        support.run(ladle, "convert", soup, *words, folder / name, "--verify")
        return folder / name

    for words in ([], ["--merged-as", "one"]):
        file = convert(case.soup, "merged.bin", "--to", "adamix", *words)
        for options in ({"weights_only": True}, {"weights_only": False}, {"weights_only": True, "mmap": True}):
            tensors = torch.load(file, **options)
        support.check(type(tensors) is dict and tensors, "AdaMix files hold a plain dictionary")
        support.check_close(f"merged .bin {' '.join(words)}",
                            logits_with(case, tensors, merged_from_adamix(tensors, case.family)), case)
    tensors = load_file(convert(case.soup, "merged.safetensors", "--to", "safetensors"))
    support.check_close("merged safetensors", logits_with(case, tensors, merged_from_soup(tensors, case.family)), case)
    nothing = [{key: torch.zeros_like(value) for key, value in parts.items()}
               for parts in merged_from_soup(tensors, case.family)]
    without = (logits_with(case, tensors, nothing) - case.logits).abs().max().item()
    support.check(without > 100 * support.TOLERANCE, f"the adapters matter: without them {without}")
    if case.experts:
        tensors = torch.load(convert(case.experts, "experts.bin", "--to", "adamix"), weights_only=True)
        support.check_close("all experts .bin",
                            logits_with(case, tensors, merged_from_adamix(tensors, case.family)), case)
        same = load_file(convert(case.experts, "experts.safetensors", "--to", "safetensors"))
        support.check(all(torch.equal(value, tensors[name]) for name, value in same.items()),
                      "experts agree between .bin and safetensors")


def check_read_by_ladle(ladle, case, folder):
    """Files that torch and safetensors wrote come back with the digest of the soup."""
    expected = support.digest(ladle, case.experts)
    tensors = torch.load(folder / "experts.bin", weights_only=True)
    strange = {}
    for i, (name, value) in enumerate(reversed(tensors.items())):
        strange[name] = (torch.nn.Parameter(value), value.t().clone().t() if value.dim() == 2 else value,
                         torch.cat([value, value])[len(value):])[i % 3]
    torch.save(strange, folder / "strange.bin")
    ordered = torch.nn.Module().state_dict()
    ordered.update(tensors)
    torch.save(ordered, folder / "ordered.bin")
    save_file({name: value for name, value in tensors.items() if "expert_score_weight" not in name},
              folder / "python.safetensors")
    for name in ("strange.bin", "ordered.bin", "python.safetensors"):
        support.run(ladle, "convert", folder / name, "--to", "soup", folder / "back.h5")
        support.check(support.digest(ladle, folder / "back.h5") == expected, f"{name} comes back unchanged")


def check_evaluated(ladle, case, folder):
    """A merged soup that went through another format gives the very same logits."""
    for name in ("merged.bin", "merged.safetensors"):
        back = folder / f"{name}.h5"
        support.run(ladle, "convert", folder / name, "--to", "soup", back)
        found = support.ladle_logits(ladle, back, case.backbone, case.shard)
        support.check(torch.equal(found, case.logits), f"{name} gives ladle's own logits after the way back")


def check_hdf5(case):
    """h5py shows texts, numbers and booleans as Python's own."""
    with h5py.File(case.soup) as file:
        support.check(file.attrs["schema"] == "ladle.soup" and list(file.attrs["schema_version"]) == [1, 1], "schema")
        support.check(isinstance(file["model"].attrs["architecture"], str), "texts are str")
        support.check(file["adapter"].attrs["merged"].dtype == bool, "booleans are bool")
        support.check(list(file)[:2] == ["model", "adapter"], "groups are listed in the order of writing")
        support.check(file["adapter/layer_00/down/weight"].dtype == "float32", "weights are float32")


def test(ladle, case, folder):
    """Checks one case."""
    check_hdf5(case)
    check_written_by_ladle(ladle, case, folder)
    if case.experts:
        check_read_by_ladle(ladle, case, folder)
        check_evaluated(ladle, case, folder)
    metadata = json.loads(support.run(ladle, "inspect", folder / "merged.safetensors").partition("soup.score = ")[2]
                          .splitlines()[0])
    support.check(isinstance(metadata, float), "the score travels along")


if __name__ == "__main__":
    support.main(test)

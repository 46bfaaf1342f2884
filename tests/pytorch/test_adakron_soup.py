#!/usr/bin/env python3
"""AdaKron's .bin files: the names and shapes that its code looks for, and ladle's logits by its formula in PyTorch."""

import torch
from torch.nn.functional import gelu, linear

import soup_support as support

SIZE, FACTOR = 12, 4
BANKS = {"MoA_A1": SIZE // FACTOR, "MoA_A2": FACTOR, "MoA_B": None}
SHAPE = ["--adapter.size", SIZE, "--adapter.factor", FACTOR, "--adapter.factor_order", "small_outer"]


def cases(ladle, work):
    for family, regression in (("bert", False), ("roberta", True)):
        setting = support.make_setting(ladle, work, family, regression)
        yield support.make_case(ladle, setting, "adakron", "--adapter.kind", "adakron", *SHAPE)
        yield support.make_case(ladle, setting, "madakron", "--adapter.kind", "madakron", *SHAPE,
                                "--adapter.num_experts", 3, "--adapter.share_up", "false")


def expected_shapes(case):
    """Every name of the file."""
    hidden, shapes = case.config["hidden_size"], {}
    for layer in range(case.config["num_hidden_layers"]):
        for bank, width in BANKS.items():
            prefix = f"{case.family}.encoder.layer.{layer}.output.ExpertSoup.{bank}."
            shapes[prefix + "expert_score_weight"] = (1,)
            shapes[prefix + "deepspeed_experts.0.weight"] = (width, hidden) if width else (hidden, SIZE)
            shapes[prefix + "deepspeed_experts.0.bias"] = (width or hidden,)
    outputs = case.logits.shape[1]
    if case.family == "roberta":
        shapes |= {"classifier.dense.weight": (hidden, hidden), "classifier.dense.bias": (hidden,),
                   "classifier.out_proj.weight": (outputs, hidden), "classifier.out_proj.bias": (outputs,)}
    else:
        shapes |= {"classifier.weight": (outputs, hidden), "classifier.bias": (outputs,)}
    return shapes


def adapter(tensors, prefix):
    """The published formula: the projection of width FACTOR is the outer one of the product."""
    def project(bank, x):
        expert = f"{prefix}.{bank}.deepspeed_experts.0."
        return linear(x, tensors[expert + "weight"], tensors[expert + "bias"])

    def add(hidden):
        product = project("MoA_A2", hidden)[..., :, None] * project("MoA_A1", hidden)[..., None, :]
        return hidden + project("MoA_B", gelu(product.flatten(-2)))

    return add


def check_file(file, case):
    tensors = torch.load(file, weights_only=True)
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    expected = expected_shapes(case)
    support.check(found == expected, f"{case.name}: names and shapes differ: {found.items() ^ expected.items()}")
    support.check(type(tensors) is dict and all(value.dtype == torch.float32 for value in tensors.values()),
                  "a plain dictionary of float32")
    scores = [value for name, value in tensors.items() if name.endswith("expert_score_weight")]
    support.check(not any(score.any() for score in scores), "scores are zero")
    adapters = [adapter(tensors, f"{case.family}.encoder.layer.{layer}.output.ExpertSoup")
                for layer in range(case.config["num_hidden_layers"])]
    support.check_close(file.name, support.logits_with_adapters(case, tensors, adapters), case)
    without = support.logits_with_adapters(case, tensors, [lambda hidden: hidden] * len(adapters))
    support.check((without - case.logits).abs().max() > 100 * support.TOLERANCE, "the adapters matter")


def check_way_back(ladle, file, case):
    """The file as PyTorch saves it again is the same soup, with and without what ladle noted down beside it."""
    torch.save(torch.load(file, weights_only=True), file)
    support.check(support.digest(ladle, file) == support.digest(ladle, case.soup), f"{file.name} has the soup's bits")
    file.with_name(file.name + ".json").unlink()
    support.run(ladle, "convert", file, "--to", "soup", file.with_suffix(".h5"))
    found = support.ladle_logits(ladle, file.with_suffix(".h5"), case.backbone, case.shard)
    support.check(torch.equal(found, case.logits), f"{file.name} has ladle's own logits")


def test(ladle, case, folder):
    """Checks one case."""
    file = folder / "soup.bin"
    support.run(ladle, "convert", case.soup, "--to", "adamix", file, "--verify")
    check_file(file, case)
    check_way_back(ladle, file, case)
    if case.name.endswith("-madakron"):
        support.check_refused("uses expert 0 of every bank and none of the other 2", ladle, "convert", case.experts,
                              "--to", "adamix", folder / "experts.bin")


if __name__ == "__main__":
    support.main(test, cases)

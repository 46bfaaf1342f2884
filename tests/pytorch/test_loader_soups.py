#!/usr/bin/env python3
"""Soups of every kind, trained and exported by ladle, in the Python package ladle_soup: its logits are ladle's."""

import copy
import itertools
import sys

import torch
import transformers

import soup_support as support

sys.path.insert(0, str(support.ROOT / "src" / "python"))

import ladle_soup  # noqa: E402

ALL_TARGETS = "query,key,value,attention_output,intermediate,output"
# Factors of different widths, scales other than 1, three experts: their shares in the mean are no exact numbers.
FACTORS = ["--adapter.size", 12, "--adapter.factor", 3]
LOW_RANK = ["--adapter.size", 5, "--adapter.alpha", 7]
THREE = ["--adapter.num_experts", 3]
KINDS = {
    "houlsby": ["--adapter.kind", "houlsby", "--adapter.size", 13],
    "pfeiffer": ["--adapter.kind", "pfeiffer", "--adapter.size", 13],
    "adakron": ["--adapter.kind", "adakron", *FACTORS],
    "adakron-large-outer": ["--adapter.kind", "adakron", *FACTORS, "--adapter.factor_order", "large_outer"],
    "madakron": ["--adapter.kind", "madakron", *FACTORS, *THREE, "--adapter.share_up", "false"],
    "madakron-small": ["--adapter.kind", "madakron", *FACTORS, *THREE, "--adapter.factor_experts", "small",
                       "--adapter.factor_order", "large_outer"],
    "madakron-large": ["--adapter.kind", "madakron", *FACTORS, *THREE, "--adapter.factor_experts", "large"],
    "lora": ["--adapter.kind", "lora", *LOW_RANK],
    "lora-all": ["--adapter.kind", "lora", *LOW_RANK, "--adapter.targets", ALL_TARGETS, "--adapter.dropout", 0.1],
    "adamix-lora": ["--adapter.kind", "adamix-lora", *LOW_RANK, *THREE],
    "adamix-lora-all": ["--adapter.kind", "adamix-lora", *LOW_RANK, *THREE, "--adapter.targets", ALL_TARGETS,
                        "--adapter.share_up", "false", "--adapter.start", "apart"],
    "adamix-lora-one-a": ["--adapter.kind", "adamix-lora", *LOW_RANK, *THREE, "--adapter.share_up", "false",
                          "--adapter.share_down", "true"],
    "bias": ["--adapter.kind", "bias"],
    "head": ["--adapter.kind", "head"],
}


def cases(ladle, work):
    """The mixtures of AdaMix, then all other kinds on BERT with classes and on RoBERTa with a regression."""
    yield from support.adamix_cases(ladle, work)
    work = work / "kinds"
    work.mkdir()
    settings = [support.make_setting(ladle, work, "bert", False), support.make_setting(ladle, work, "roberta", True)]
    for (name, adapter), setting in itertools.product(KINDS.items(), settings):
        yield support.make_case(ladle, setting, name, *adapter)


def test(ladle, case, folder):
    """Checks one case: merged, all experts, each alone, and the way back through save_soup."""
    model = support.plain_model(case, transformers)
    plain = support.model_logits(model, case)
    for soup in filter(None, (case.soup, case.experts)):
        path = folder / f"{soup.stem}.safetensors"
        support.run(ladle, "convert", soup, "--to", "safetensors", path)
        ladle_soup.load_soup(model, path)
        check_logits(f"load_soup, {soup.name}", model, case, case.logits)
        check_way_back(ladle, model, case.soup, folder)
        check_adapters_matter(model, case)
        ladle_soup.unload(model)
        support.check(torch.equal(support.model_logits(model, case), plain), "without its soup the model is as before")
    if case.experts and ladle_soup.read_description(path)["num_experts"] > 1:
        check_single_experts(ladle, model, case, path)
        check_drawn_experts(ladle, model, case, path)


def check_logits(name, model, case, expected):
    """Equal but for rounding, of which some soups, products of two projections above all, make more than others: so
    much is allowed as four times what PyTorch's own logits change by in double."""
    found = support.model_logits(model, case)
    rounding = (found - support.model_logits(copy.deepcopy(model).double(), case)).abs().max().item()
    support.check_close(name, found, case, expected, max(support.TOLERANCE, 4 * rounding))


def check_way_back(ladle, model, expected, folder):
    """What the model holds is read by ladle and has the digest of the expected soup."""
    ladle_soup.save_soup(model, folder / "saved.safetensors")
    support.run(ladle, "convert", folder / "saved.safetensors", "--to", "soup", folder / "back.h5")
    support.check(support.digest(ladle, folder / "back.h5") == support.digest(ladle, expected),
                  f"what was loaded and saved has the bits of {expected}")


def check_adapters_matter(model, case):
    """With zeros for all but the head the logits are others; leaves the model so."""
    others = [parameter for name, parameter in ladle_soup.trainable_parameters(model)
              if not name.startswith("classifier.")]
    with torch.no_grad():
        for parameter in others:
            parameter.zero_()
    if others:
        check_differs(model, case, "a soup of zeros")


def check_differs(model, case, name):
    difference = (support.model_logits(model, case) - case.logits).abs().max().item()
    support.check(difference > 100 * support.TOLERANCE, f"{case.name}: {name} differs from the soup by {difference} only")


def check_single_experts(ladle, model, case, path):
    """Expert k of every bank: the logits and the bits that ladle has for it, and not those of the soup."""
    experts = ladle_soup.read_description(path)["num_experts"]
    for k in range(experts):
        ladle_soup.load_soup(model, path, expert=k)
        expected = support.ladle_logits(ladle, case.experts, case.backbone, case.shard, "--expert", k)
        check_logits(f"expert {k}", model, case, expected)
        check_differs(model, case, f"expert {k}")
        alone = path.with_name("expert.h5")
        support.run(ladle, "soup", case.experts, "--weights", ",".join(str(int(k == i)) for i in range(experts)),
                    "--output", alone)
        check_way_back(ladle, model, alone, path.parent)
        ladle_soup.unload(model)


def check_drawn_experts(ladle, model, case, path):
    """Random experts differ from the soup; all of them come back."""
    for routing in ("sample", "token"):
        ladle_soup.load_soup(model, path, routing=routing, generator=torch.Generator().manual_seed(1))
        check_differs(model, case, f"routing {routing}")
        check_way_back(ladle, model, case.experts, path.parent)
        ladle_soup.unload(model)


if __name__ == "__main__":
    support.main(test, cases)

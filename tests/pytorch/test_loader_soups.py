#!/usr/bin/env python3
"""Soups that ladle trained and exported, in the Python package ladle_soup: its logits are ladle's."""

import sys

import torch
import transformers

import soup_support as support

sys.path.insert(0, str(support.ROOT / "src" / "python"))

import ladle_soup  # noqa: E402


def test(ladle, case, folder):
    """Checks one case: merged, all experts, and the way back through save_soup."""
    files = {"merged": case.soup, "all experts": case.experts}
    for name, soup in files.items():
        if soup is None:
            continue
        path = folder / f"{name}.safetensors"
        support.run(ladle, "convert", soup, "--to", "safetensors", path)
        model = support.plain_model(case, transformers)
        ladle_soup.load_soup(model, path)
        support.check_close(f"load_soup, {name}", support.model_logits(model, case), case)
        ladle_soup.save_soup(model, folder / "saved.safetensors")
        support.run(ladle, "convert", folder / "saved.safetensors", "--to", "soup", folder / "back.h5")
        support.check(support.digest(ladle, folder / "back.h5") == support.digest(ladle, case.soup),
                      "the mean of the experts has the bits of ladle's soup, and ladle reads it")
        ladle_soup.unload(model)
        without = (support.model_logits(model, case) - case.logits).abs().max().item()
        support.check(without > 100 * support.TOLERANCE, f"the soup matters: without it {without}")
    if case.experts:
        check_experts(model, case, folder / "all experts.safetensors")


def check_experts(model, case, path):
    """Single experts and drawn ones differ from the soup."""
    for options in ({"expert": 1}, {"routing": "sample"}, {"routing": "token"}):
        ladle_soup.load_soup(model, path, generator=torch.Generator().manual_seed(1), **options)
        found = support.model_logits(model, case)
        support.check(not torch.equal(found, case.logits), f"{options} is not the soup")
        ladle_soup.unload(model)


if __name__ == "__main__":
    support.main(test)

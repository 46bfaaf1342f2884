#!/usr/bin/env python3
"""Mends of the MoA family that no published program has: ladle_soup computes what ladle does.

Usage: test_expert_mends.py --ladle FILE --build DIR
"""

import json

from safetensors import safe_open
from safetensors.torch import load_file

import decoder_support
import soup_support as support
from tiny_decoder import check_equal, difference, main

from ladle_soup import load_experts

KINDS = {"lora_layers": "0-2", "lora_targets": "Q,K,V,O,FFN_DOWN", "adapter_layers": "0-2", "prompt_layers": "0-2",
         "router_expansion": 2}
CASES = {
    "trained_threshold": {"system": "sparse-moa", "router": "threshold", "max_threshold": 0.9},
    "own_adapter_gate": {"system": "unipelt", "router": "gates"},
    "normed_router": {"system": "soft-moa", "router": "token"},
}


def without(mend, written):
    """The same experts described without the mend."""
    with safe_open(written, framework="pt") as file:
        description = {**json.loads(file.metadata()["ladle.adapter"]), mend: False}
    return decoder_support.write_safetensors(written.with_name("without.safetensors"), description, load_file(written))


def check_mend(ladle, decoder, mend, fields):
    adapter, written = decoder.random_experts(ladle, mend, **{**KINDS, **fields, mend: True})
    check_equal(decoder, load_experts(decoder.model(), written), adapter, mend)
    published = difference(load_experts(decoder.model(), without(mend, written)), decoder, adapter)
    support.check(published > 100 * support.TOLERANCE, f"{mend} changes logits by {published} only")
    support.check_refused("has no argument for one of their options", ladle, "convert", adapter, "--to", "moa",
                          decoder.folder / "published")


def test(ladle, decoder):
    for mend, fields in CASES.items():
        check_mend(ladle, decoder, mend, fields)


if __name__ == "__main__":
    main(test)

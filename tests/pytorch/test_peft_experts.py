#!/usr/bin/env python3
"""LoRA of decoders through PEFT: its models give ladle's logits, and what it saves ladle reads back.

Usage: test_peft_experts.py --ladle FILE --build DIR
"""

import json

import peft
import torch
import transformers
from safetensors.torch import load_file

import soup_support as support
from tiny_decoder import check_equal, difference, main

from ladle_soup import load_experts

# A scale of 7/5, which is not PEFT's default. Some places in some layers: PEFT must find no others.
EVERYWHERE = {"lora_layers": "0-2", "lora_targets": "Q,K,V,O,FFN_UP,FFN_GATE,FFN_DOWN", "lora_rank": 5,
              "lora_alpha": 7.0}
SOMEWHERE = {"lora_layers": "1-2", "lora_targets": "K,FFN_DOWN", "lora_rank": 3, "lora_alpha": 3.0}


def tensors_of(ladle, decoder, adapter):
    output = decoder.folder / "tensors.safetensors"
    support.run(ladle, "convert", adapter, "--to", "safetensors", output, "--verify")
    return load_file(output)


def check_round_trip(ladle, decoder, name, fields):
    adapter, written = decoder.random_experts(ladle, name, **fields)
    check_equal(decoder, load_experts(decoder.model(), written), adapter, f"{name}, ladle_soup")
    support.check(difference(decoder.model(), decoder, adapter) > 100 * support.TOLERANCE, f"{name} changes nothing")
    directory = decoder.folder / f"{name}-peft"
    said = support.run(ladle, "convert", adapter, directory, "--verify")
    support.check(": peft, lora, " in said, f"auto is not peft: {said}")
    model = peft.PeftModel.from_pretrained(decoder.model(), directory).eval()
    check_equal(decoder, model, adapter, f"{name}, PEFT")

    # What PEFT saves again does not say that it was ladle's.
    saved = decoder.folder / f"{name}-saved"
    model.save_pretrained(saved)
    support.check("ladle" not in json.loads((saved / "adapter_config.json").read_text()), "PEFT keeps the key ladle")
    back = decoder.folder / f"{name}-back.h5"
    support.run(ladle, "convert", saved, "--to", "adapter", back, "--model.path", decoder.path, "--verify")
    expected, found = tensors_of(ladle, decoder, adapter), tensors_of(ladle, decoder, back)
    support.check(expected.keys() == found.keys() and all(torch.equal(expected[key], found[key]) for key in expected),
                  f"{name}: other tensors after PEFT")
    check_equal(decoder, model, back, f"{name}, back from PEFT")
    support.check_refused("--model.path", ladle, "convert", saved, "--to", "adapter", decoder.folder / "no.h5")


def check_foreign(ladle, decoder):
    """LoRA that PEFT made, and settings that ladle does not compute."""
    def save(name, **settings):
        torch.manual_seed(1)
        config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, **settings)
        model = peft.get_peft_model(decoder.model(), config).eval()
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter, std=0.3)
        model.save_pretrained(decoder.folder / name)
        return model, decoder.folder / name

    def convert(directory):
        adapter = decoder.folder / "foreign.h5"
        support.run(ladle, "convert", directory, "--to", "adapter", adapter, "--model.path", decoder.path)
        return adapter

    model, directory = save("own", target_modules=["q_proj", "k_proj", "gate_proj"], lora_alpha=6)
    check_equal(decoder, model, convert(directory), "LoRA of PEFT")
    model, directory = save("layer", target_modules=["k_proj"], layers_to_transform=1, lora_alpha=6)
    check_equal(decoder, model, convert(directory), "LoRA of PEFT in one layer")
    for name, why, settings in (("rslora", "use_rslora", {"use_rslora": True}),
                                ("dora", "use_dora", {"use_dora": True}), ("bias", "bias is", {"bias": "lora_only"}),
                                ("patterns", "rank_pattern", {"rank_pattern": {"q_proj": 2}}),
                                ("saved", "modules_to_save", {"modules_to_save": ["lm_head"]})):
        _, directory = save(name, target_modules=["q_proj", "v_proj"], **settings)
        support.check_refused(why, ladle, "convert", directory, "--to", "adapter", decoder.folder / "no.h5",
                              "--model.path", decoder.path)


def check_other_systems(ladle, decoder):
    for name, why, fields in (
            ("soft-moa", "needs the router of each block", {"router": "token"}),
            ("molora", "needs the router of each place", {"num_experts": 2}),
            ("parallel-adapter", "needs adapters parallel", {"adapter_layers": "0-2"}),
            ("prompt", "needs gated attention", {"prompt_layers": "0-1"})):
        adapter, _ = decoder.random_experts(ladle, name, **{**EVERYWHERE, "system": name, **fields})
        support.check_refused(f"{name} {why}", ladle, "convert", adapter, "--to", "peft", decoder.folder / "no")
        said = support.run(ladle, "convert", adapter, decoder.folder / "auto.safetensors")
        support.check(": safetensors, " in said, f"auto is not safetensors: {said}")


def test(ladle, decoder):
    check_round_trip(ladle, decoder, "everywhere", EVERYWHERE)
    check_round_trip(ladle, decoder, "somewhere", SOMEWHERE)
    check_foreign(ladle, decoder)
    check_other_systems(ladle, decoder)


if __name__ == "__main__":
    main(test)

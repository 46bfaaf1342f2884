#!/usr/bin/env python3
"""LoRA of decoders through PEFT: its models give ladle's logits, and what it saves ladle reads back.

Usage: test_peft_experts.py --ladle FILE --build DIR
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import peft
import torch
import transformers
from safetensors.torch import load_file

import decoder_support
import soup_support as support

from ladle_soup import experts, load_experts

TOKENS = support.ROOT / "tests" / "fixtures" / "tokens" / "decoder_smollm.json"
SEQUENCES = ([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], [7], list(range(20, 60)))
# A scale of 7/5, which is not PEFT's default. Some places in some layers: PEFT must find no others.
EVERYWHERE = {"lora_layers": "0-2", "lora_targets": "Q,K,V,O,FFN_UP,FFN_GATE,FFN_DOWN", "lora_rank": 5,
              "lora_alpha": 7.0}
SOMEWHERE = {"lora_layers": "1-2", "lora_targets": "K,FFN_DOWN", "lora_rank": 3, "lora_alpha": 3.0}
FIELDS = {"format": "ladle.adapter 1", "backbone_sha256": "", "tokenizer_sha256": "", "system": "lora",
          "router": "none", "rule": "softmax", "router_expansion": 4, "max_threshold": 0.5,
          "constant_threshold": False, "num_experts": 1, "top_k": 1, "share_lora_a": False, "share_down": False, "adapter_layers": "0-0", "adapter_size": 16,
          "prompt_layers": "0-0", "prompt_length": 10, "task": "instructions", "max_length": 300, "labels": "published",
          "config": "", "machine": "", "seed": 1, "step": 2, "score": 1.5, "metric": "perplexity", "selected_on": "dev"}


class Decoder:
    """A tiny random LLaMA in Hugging Face's layout, and ladle's logits on it."""

    def __init__(self, build, folder):
        self.path, self.build, self.folder = folder / "model", build, folder
        subprocess.run([build / "tests" / "end_to_end" / "make_tiny_decoder", self.path, TOKENS], check=True)
        config = json.loads((self.path / "config.json").read_text())
        self.sizes = {"dim": config["hidden_size"], "heads": config["num_attention_heads"],
                      "kv_heads": config["num_key_value_heads"], "head_dim": config["head_dim"],
                      "ffn": config["intermediate_size"], "layers": config["num_hidden_layers"]}

    def model(self):
        return transformers.LlamaForCausalLM.from_pretrained(self.path).eval()

    def ladle_logits(self, adapter, ids):
        output = self.folder / "logits.safetensors"
        subprocess.run([self.build / "tests" / "pytorch" / "decoder_logits", output, self.path, adapter,
                        *map(str, ids)], check=True)
        return load_file(output)["logits"]

    def random_experts(self, ladle, name, **fields):
        """An adapter file of ladle's, and the safetensors that it was made of."""
        description = {**FIELDS, **self.sizes, **fields}
        generator = torch.Generator().manual_seed(5)
        tensors = {name: 0.3 * torch.randn(shape, generator=generator)
                   for name, shape in experts.expert_shapes(description).items()}
        written = decoder_support.write_safetensors(self.folder / f"{name}.safetensors", description, tensors)
        adapter = self.folder / f"{name}.h5"
        support.run(ladle, "convert", written, "--to", "adapter", adapter, "--verify")
        return adapter, written


def difference(model, decoder, adapter):
    """The largest one of logits in units of the largest logit; model and ladle on all sequences."""
    def of_sequence(ids):
        expected = decoder.ladle_logits(adapter, ids)
        with torch.no_grad():
            found = model(torch.tensor([ids])).logits[0]
        return ((found - expected).abs().max() / expected.abs().max()).item()

    return max(map(of_sequence, SEQUENCES))


def check_equal(decoder, model, adapter, what):
    found = difference(model, decoder, adapter)
    print(f"{what}: logits differ by at most {found:.3g} of the largest")
    support.check(found < support.TOLERANCE, f"{what}: logits differ by {found}")


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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ladle", required=True)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        decoder = Decoder(arguments.build, pathlib.Path(folder))
        check_round_trip(arguments.ladle, decoder, "everywhere", EVERYWHERE)
        check_round_trip(arguments.ladle, decoder, "somewhere", SOMEWHERE)
        check_foreign(arguments.ladle, decoder)
        check_other_systems(arguments.ladle, decoder)


if __name__ == "__main__":
    main()

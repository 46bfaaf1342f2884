"""A tiny random decoder with random experts, and ladle's logits on it."""

import argparse
import json
import pathlib
import subprocess
import tempfile

import torch
import transformers
from safetensors.torch import load_file

import decoder_support
import soup_support as support

from ladle_soup import experts

TOKENS = support.ROOT / "tests" / "fixtures" / "tokens" / "decoder_smollm.json"
SEQUENCES = ([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], [7], list(range(20, 60)))
# What ladle writes of plain LoRA; callers say what differs.
FIELDS = {"format": "ladle.adapter 1", "backbone_sha256": "", "tokenizer_sha256": "", "system": "lora",
          "router": "none", "rule": "softmax", "router_expansion": 4, "max_threshold": 0.5,
          "constant_threshold": False, "trained_threshold": False, "own_adapter_gate": False, "normed_router": False,
          "num_experts": 1, "top_k": 1, "share_lora_a": False, "share_down": False, "lora_layers": "0-0",
          "lora_targets": "", "lora_rank": 3, "lora_alpha": 3.0, "adapter_layers": "0-0", "adapter_size": 16,
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


def main(test):
    """Calls test(program, decoder) with the program and the build of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ladle", required=True)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        test(arguments.ladle, Decoder(arguments.build, pathlib.Path(folder)))

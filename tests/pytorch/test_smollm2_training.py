#!/usr/bin/env python3
"""SmolLM2 trained by ladle and by PyTorch from one exported initial state: the same losses for 20 steps.

Usage: test_smollm2_training.py --ladle FILE [--build DIR]; LADLE_SMOLLM2_GGUF names the model (tests/run.sh --pytorch
fetches it), without it the test is skipped.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

import torch

import moa_reference
import soup_support as support
from gguf_file import read_gguf
from smollm2_tokenizer import make_tokenizer

SYSTEMS = ["soft-moa", "sparse-moa", "lora"]
# One batch an epoch, so that every step sees the same samples; of different lengths, so that PyTorch pads.
ITEMS = [("What is 17 + 25?", "\nA: 17 + 25 = 42. The answer is 42."),
         ("Tom has 3 red pens and twice as many blue ones. How many pens does he have?",
          "\nA: He has 3 x 2 = 6 blue pens. 3 + 6 = 9. The answer is 9.")]
STEPS, WARMUP_STEPS, WEIGHT_DECAY, BASE_RATE = 20, 10, 0.02, 0.0128
PEAK_RATE = BASE_RATE * len(ITEMS) / 256  # 1e-4
TEMPLATE = ("Below is an instruction that describes a task. Write a response that appropriately completes the request."
            "\n\n### Instruction:\n{}\n\n### Response:")
# At this rate PyTorch's float32 losses are up to 1.5e-5 off its float64 ones; ten times that, because rounding may move
# a token across a threshold of Sparse MoA. Larger rates amplify it: at 2e-4 to 1e-3 there, at 5e-4 to 1e-2 in Soft MoA.
TOLERANCE = 1.5e-4


def words(system, gguf, items):
    """Options of ladle train; alpha is not the rank, so that the scale of LoRA is not 1."""
    return ["--moa.system", system, "--moa.lora_alpha", 16, "--model.path", gguf, "--data.train", items, "--data.dev",
            items, "--train.batch", len(ITEMS), "--train.accumulate", 1, "--optim.base_lr", BASE_RATE,
            "--optim.warmup_ratio", WARMUP_STEPS / STEPS, "--optim.weight_decay", WEIGHT_DECAY, "--eval.every", STEPS]


def export_start(ladle, work, options):
    """(adapter_params.json, adapter.pth) of a run whose only step has a rate of 0."""
    support.run(ladle, "train", *options, "--train.max_steps", 1, "--run.dir", work / "start")
    support.run(ladle, "convert", work / "start/best.h5", "--to", "moa", work / "export", "--verify")
    return (json.loads((work / "export/adapter_params.json").read_text()), torch.load(work / "export/adapter.pth"))


def ladle_losses(ladle, work, options):
    """Before each step, and after the last one."""
    support.run(ladle, "train", *options, "--train.epochs", STEPS, "--run.dir", work / "run")
    lines = [json.loads(line) for line in (work / "run/metrics.jsonl").read_text().splitlines()]
    return ([line["loss"] for line in lines if line["kind"] == "step"] +
            [line["scores"]["loss"] for line in lines if line["kind"] == "eval"])


def read_model(gguf):
    """(sizes, tensors under the names of the published code, tokenizer, ids of the begin and the end of a text)"""
    keys, tensor = read_gguf(gguf)
    config = {"dim": keys["llama.embedding_length"], "layers": keys["llama.block_count"],
              "heads": keys["llama.attention.head_count"], "kv_heads": keys["llama.attention.head_count_kv"],
              "ffn": keys["llama.feed_forward_length"], "vocab": keys["llama.vocab_size"],
              "epsilon": keys["llama.attention.layer_norm_rms_epsilon"], "theta": keys["llama.rope.freq_base"]}
    names = {"attention.wq": "attn_q", "attention.wk": "attn_k", "attention.wv": "attn_v",
             "attention.wo": "attn_output", "feed_forward.w1": "ffn_gate", "feed_forward.w2": "ffn_down",
             "feed_forward.w3": "ffn_up", "attention_norm": "attn_norm", "ffn_norm": "ffn_norm"}
    base = {"tok_embeddings.weight": tensor("token_embd.weight"), "norm.weight": tensor("output_norm.weight")}
    for layer in range(config["layers"]):
        for name, stored in names.items():
            base[f"layers.{layer}.{name}.weight"] = tensor(f"blk.{layer}.{stored}.weight")
    base = {name: torch.tensor(value) for name, value in base.items()}
    ends = keys["tokenizer.ggml.bos_token_id"], keys["tokenizer.ggml.eos_token_id"]
    return config, base, make_tokenizer(keys), ends


def padded_batch(tokenizer, ends):
    """ids and labels [B, T]: prompt and output are encoded as one text; labels of the prompt's tokens are 0."""
    encode = lambda text: [ends[0]] + tokenizer.encode(text, add_special_tokens=False).ids
    ids, labels = [], []
    for instruction, output in ITEMS:
        prompt = TEMPLATE.format(instruction)
        ids.append(torch.tensor(encode(prompt + output) + [ends[1]]))
        labels.append(ids[-1].clone())
        labels[-1][:len(encode(prompt))] = 0
    return [torch.nn.utils.rnn.pad_sequence(rows, batch_first=True) for rows in (ids, labels)]


def torch_losses(model, ids, labels):
    optimizer = moa_reference.make_optimizer(model, WEIGHT_DECAY)
    losses = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = moa_reference.half_cosine(PEAK_RATE, step, WARMUP_STEPS, STEPS)
        optimizer.zero_grad()
        loss = moa_reference.instruction_loss(model, ids, labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        return losses + [moa_reference.instruction_loss(model, ids, labels).item()]


def check_losses(system, ladle, reference):
    assert len(ladle) == len(reference) == STEPS + 1, (len(ladle), len(reference))
    differences = [abs(ours - theirs) / theirs for ours, theirs in zip(ladle, reference)]
    print(f"{system}: loss {ladle[0]:.6f} -> {ladle[-1]:.6f}, relative differences up to {max(differences):.1e}",
          flush=True)
    assert max(differences) < TOLERANCE, f"{system}: {list(zip(ladle, reference))}"
    assert reference[-1] < 0.8 * reference[0], f"{system}: nothing is learned that could differ"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ladle", required=True)
    parser.add_argument("--build")
    ladle, gguf = parser.parse_args().ladle, os.environ.get("LADLE_SMOLLM2_GGUF")
    if not gguf:
        print("SKIPPED: LADLE_SMOLLM2_GGUF names no file")
        sys.exit(77)
    config, base, tokenizer, ends = read_model(gguf)
    ids, labels = padded_batch(tokenizer, ends)
    with tempfile.TemporaryDirectory() as folder:
        items = pathlib.Path(folder) / "items.json"
        items.write_text(json.dumps([{"instruction": instruction, "output": output} for instruction, output in ITEMS]))
        for system in SYSTEMS:
            work = pathlib.Path(folder) / system
            options = words(system, gguf, items)
            params, adapter = export_start(ladle, work, options)
            model = moa_reference.attach(config, base, params, adapter)
            check_losses(system, ladle_losses(ladle, work, options), torch_losses(model, ids, labels))


if __name__ == "__main__":
    main()

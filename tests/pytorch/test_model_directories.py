#!/usr/bin/env python3
"""From text to logits: random BERT and RoBERTa directories made by transformers, read by ladle, compared with PyTorch.

Usage: test_model_directories.py --ladle FILE [--build DIR]
Both read the same texts with the directory's own tokenizer; ladle's evaluation uses the directory's own head, or a
soup that it trained on a directory of the bare encoder.
"""

import argparse
import pathlib
import tempfile

import torch

import adamix_reference as reference
import model_directories as directories

# fp32 on both sides, logits of order 1 to 10.
TOLERANCE = 1e-5
ROWS = 150


def difference(name, found, expected, failures):
    largest = (found - expected).abs().max().item() if found.shape == expected.shape else float("inf")
    print(f"{name}: logits of size {expected.abs().max():.2f}, spread {expected.std(0).min():.2f}, "
          f"largest difference {largest:.2e}")
    if not largest <= TOLERANCE:
        failures.append(name)
    # Logits that are all alike would agree whatever the texts were.
    assert expected.std(0).min() > 0.05, name


def own_head(ladle, folder, architecture, regression, weights, failures):
    rows, texts = directories.sample_rows(ROWS, regression)
    make_tokenizer = directories.roberta_tokenizer if architecture == "roberta" else directories.bert_tokenizer
    tokenizer = make_tokenizer(texts)
    model = directories.make_model(architecture, tokenizer, 1 if regression else len(directories.LABELS), seed=3)
    directories.save_directory(folder / "model", model, tokenizer, weights)
    data = directories.prepare(ladle, folder / "model", folder / "data", rows, regression)
    found = directories.ladle_logits(ladle, folder / "model", data)
    difference(f"{architecture}, own head, {weights}, {found.shape[1]} outputs", found,
               directories.torch_logits(model, tokenizer, rows), failures)


def bare_encoder(ladle, folder, weights, failures):
    """A BERT whose tensors have no prefix and that has no head; ladle trains experts and a head for it."""
    rows, texts = directories.sample_rows(ROWS, False)
    tokenizer = directories.bert_tokenizer(texts)
    model = directories.make_model("bert", tokenizer, len(directories.LABELS), seed=4)
    directories.save_directory(folder / "model", model.bert, tokenizer, weights)
    data = directories.prepare(ladle, folder / "model", folder / "data", rows, False)
    trained = directories.train(ladle, folder / "model", data, folder / "run")
    for name in ("best.h5", "soup.h5"):
        fresh = directories.make_model("bert", tokenizer, len(directories.LABELS), seed=4)
        reference.attach_tensors(fresh, directories.read_soup(trained / name))
        found = directories.ladle_logits(ladle, folder / "model", data, trained / name)
        difference(f"bert, bare encoder, {weights}, {name}", found,
                   directories.torch_logits(fresh, tokenizer, rows), failures)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ladle", required=True, type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path)
    ladle = parser.parse_args().ladle.resolve()
    torch.set_num_threads(1)
    failures = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        own_head(ladle, folder / "a", "roberta", False, "model.safetensors", failures)
        own_head(ladle, folder / "b", "roberta", True, "pytorch_model.bin", failures)
        own_head(ladle, folder / "c", "bert", False, "pytorch_model.bin", failures)
        own_head(ladle, folder / "d", "bert", True, "model.safetensors", failures)
        bare_encoder(ladle, folder / "e", "model.safetensors", failures)
        bare_encoder(ladle, folder / "f", "pytorch_model.bin", failures)
    for name in failures:
        print("FAILED", name)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())

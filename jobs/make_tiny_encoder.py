#!/usr/bin/env python3
"""Writes a tiny random BERT in Hugging Face layout, with a vocabulary made from text files; standard library only.

For the quick start without network and for tests: it knows nothing, but its random features carry the words.
Usage: make_tiny_encoder.py DIRECTORY TEXT_FILE...
"""
import array
import collections
import json
import pathlib
import random
import re
import struct
import sys

HIDDEN, LAYERS, HEADS, INTERMEDIATE, POSITIONS = 64, 2, 4, 128, 128


def vocabulary(texts):
    """Special tokens, single characters (also as word continuations) and every word seen twice."""
    words = collections.Counter(re.findall(r"[a-z0-9]+|[^\sa-z0-9]", " ".join(texts).lower()))
    characters = sorted({character for word in words for character in word})
    frequent = sorted(word for word, count in words.items() if count > 1 and len(word) > 1)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return special + characters + ["##" + character for character in characters] + frequent


def tensors(vocab_size):
    """Names, shapes and standard deviations; None stands for ones, 0 for zeros."""
    yield "embeddings.word_embeddings.weight", [vocab_size, HIDDEN], 1.0
    yield "embeddings.position_embeddings.weight", [POSITIONS, HIDDEN], 0.02
    yield "embeddings.token_type_embeddings.weight", [2, HIDDEN], 0.02
    yield from norm("embeddings.LayerNorm")
    for layer in range(LAYERS):
        block = f"encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            yield from linear(block + "attention.self." + name, HIDDEN, HIDDEN)
        yield from linear(block + "attention.output.dense", HIDDEN, HIDDEN)
        yield from norm(block + "attention.output.LayerNorm")
        yield from linear(block + "intermediate.dense", INTERMEDIATE, HIDDEN)
        yield from linear(block + "output.dense", HIDDEN, INTERMEDIATE)
        yield from norm(block + "output.LayerNorm")
    yield from linear("pooler.dense", HIDDEN, HIDDEN)


def linear(name, outputs, inputs):
    yield name + ".weight", [outputs, inputs], inputs**-0.5
    yield name + ".bias", [outputs], 0.0


def norm(name):
    yield name + ".weight", [HIDDEN], None
    yield name + ".bias", [HIDDEN], 0.0


def write_safetensors(path, named):
    """File layout: length of the header, JSON header with offsets, little-endian float32 data."""
    generator = random.Random(1)
    header, data = {"__metadata__": {"format": "pt"}}, bytearray()
    for name, shape, deviation in named:
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = array.array("f", (1.0 if deviation is None else generator.gauss(0, deviation) for _ in range(count)))
        if sys.byteorder == "big":
            values.byteswap()
        start = len(data)
        data += values.tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    words = vocabulary([pathlib.Path(name).read_text(encoding="utf-8") for name in sys.argv[2:]])
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": len(words),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INTERMEDIATE,
        "hidden_act": "gelu",
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": 0,
    }
    tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": POSITIONS}
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2) + "\n")
    (directory / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    write_safetensors(directory / "model.safetensors", tensors(len(words)))


if __name__ == "__main__":
    main()

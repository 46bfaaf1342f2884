#!/usr/bin/env python3
"""Writes the seed corpus of the fuzzing targets that cannot be typed: files as PyTorch, safetensors and h5py make them.

Usage: make_seeds.py LADLE CORPUS   (the program, which turns one soup into its other formats; the directory to fill)
Needs torch, safetensors, h5py and numpy. Everything in the corpus was made by this script or by hand.
"""
import argparse
import base64
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile

import h5py
import numpy
import torch
from safetensors.torch import save_file

ladle, corpus = sys.argv[1], pathlib.Path(sys.argv[2])


def place(target, name):
    directory = corpus / target
    directory.mkdir(parents=True, exist_ok=True)
    return directory / name


def safetensors_seeds():
    save_file({"a": torch.ones(2, 3)}, place("safetensors", "one"))
    types = [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool]
    save_file({str(i): torch.zeros(i, 2, dtype=t) for i, t in enumerate(types)}, place("safetensors", "types"),
              metadata={"format": "pt", "k": "v"})


def torch_seeds():
    torch.manual_seed(0)
    base = torch.arange(6, dtype=torch.float32)
    states = {
        "one": {"a": base},
        "views": {"t": base.reshape(2, 3).t(), "tail": base[4:], "scalar": base[5], "empty": base[:0]},
        "types": {str(t): torch.zeros(2, dtype=t) for t in (torch.float16, torch.bfloat16, torch.int64, torch.bool)},
        "module": torch.nn.Linear(2, 2).state_dict(),
        "parameter": {"p": torch.nn.Parameter(base)},
    }
    for name, state in states.items():
        path = place("torch", name)
        torch.save(state, path)
        with zipfile.ZipFile(path) as archive:
            pickle = next(n for n in archive.namelist() if n.endswith("data.pkl"))
            place("pickle", name).write_bytes(archive.read(pickle))


def hdf5_seeds():
    for name, version in (("old", "earliest"), ("new", "v110")):
        with h5py.File(place("hdf5", name), "w", libver=(version, "v110")) as file:
            file.attrs["schema"] = "x"
            file.attrs["numbers"] = numpy.arange(3, dtype="int32")
            group = file.create_group("g")
            group.create_dataset("plain", data=numpy.ones((2, 2), "float32"))
            group.create_dataset("packed", data=numpy.zeros(64, "int64"), chunks=(16,), compression="gzip",
                                 shuffle=True, fletcher32=True)
            file.create_dataset("words", data=["ab", "", "c"], dtype=h5py.string_dtype())
            file.attrs["texts"] = numpy.array(["no", "yes"], dtype=h5py.string_dtype())
            file.attrs["on"] = True
    with h5py.File(place("hdf5", "links"), "w", libver=("v110", "v110")) as file:
        file["soft"] = h5py.SoftLink("/nowhere")
        file["external"] = h5py.ExternalLink("other.h5", "/x")
        file.create_dataset("fixed", data=numpy.array([b"ab"], dtype="S2"))
        file.create_dataset("pair", data=numpy.zeros(1, dtype=[("a", "i4"), ("b", "f8")]))


def number(value):
    return struct.pack("<Q", value)


def text(value):
    encoded = value.encode()
    return number(len(encoded)) + encoded


def texts(values):
    return number(len(values)) + b"".join(text(value) for value in values)


def numbers(values, kind):
    return number(len(values)) + struct.pack(f"<{len(values)}{kind}", *values)


def packed_attribute(name, value):
    array = numpy.asarray(value, dtype=object if isinstance(value, str) else None)
    flat = array.reshape(-1).tolist()
    kind = {"O": "string", "b": "bool"}.get(array.dtype.kind, array.dtype.name)
    is_text, is_real = kind == "string", array.dtype.kind == "f"
    return (text(name) + text(kind) + numbers(array.shape, "q") + texts(flat if is_text else []) +
            numbers([] if is_text or is_real else [int(v) for v in flat], "q") + numbers(flat if is_real else [], "d"))


def pack(path):
    """The text in which a child process sends a file: src/io/hdf5_isolated.cpp."""
    dtypes = ["float32", "float16", "bfloat16", "float64", "int64", "int32", "uint16", "uint8", "bool"]
    objects = []

    def visit(name, item):
        group = isinstance(item, h5py.Group)
        words = not group and item.dtype.kind == "O"
        flags = 1 if group else 2 if words else 4
        values = b"" if group or words else item[()].tobytes()
        objects.append(
            text(name) + bytes([flags, dtypes.index(item.dtype.name) if flags == 4 else 0]) +
            numbers([] if group else item.shape, "q") + number(len(values)) + values +
            texts([w.decode() for w in item[()].reshape(-1)] if words else []) + number(len(item.attrs)) +
            b"".join(packed_attribute(key, value) for key, value in item.attrs.items()))

    with h5py.File(path) as file:
        visit("/", file["/"])
        file.visititems(lambda name, item: visit("/" + name, item))
    return text("") + number(len(objects)) + b"".join(objects)


def shard_seeds():
    with tempfile.TemporaryDirectory() as scratch:
        base = pathlib.Path(scratch)
        (base / "config.json").write_text('{"model_type": "bert"}')
        (base / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
        (base / "train.tsv").write_text("sentence\tlabel\na b\tno\nb\tyes\n")
        for name, extra in (("shard", ["--labels", "no,yes"]), ("shard_of_numbers", ["--regression"])):
            if extra == ["--regression"]:
                (base / "train.tsv").write_text("sentence\tlabel\na b\t1.5\nb\t-2\n")
            subprocess.run([ladle, "prepare", "--data.task", "t", "--data.source", scratch, "--model.path", scratch,
                            "--data.dir", base / name, "--data.max_length", "8"] + extra, check=True,
                           stdout=subprocess.DEVNULL)
            place("schemas", name).write_bytes(pack(base / name / "train.h5"))


def soup_seeds():
    tensors = {"classifier.weight": torch.ones(2, 4), "classifier.bias": torch.zeros(2)}
    for part, up, shape in (("MoA_A", False, (2, 4)), ("MoA_B", True, (4, 2))):
        for k in range(1 if up else 2):
            stem = f"bert.encoder.layer.0.output.ExpertSoup.{part}.deepspeed_experts.{k}."
            tensors[stem + "weight"] = torch.full(shape, 0.5)
            tensors[stem + "bias"] = torch.zeros(shape[0])
    foreign = place("soup_tensors", "foreign")
    save_file(tensors, foreign)
    with tempfile.TemporaryDirectory() as scratch:
        def convert(target):
            out = pathlib.Path(scratch) / target
            subprocess.run([ladle, "convert", foreign, "--to", target, out], check=True, stdout=subprocess.DEVNULL)
            return out.read_bytes()
        own = convert("safetensors")
        place("soup_tensors", "own").write_bytes(own)
        header = json.loads(own[8:8 + int.from_bytes(own[:8], "little")])
        place("soup_description", "own").write_text(header["__metadata__"]["ladle.soup"])
        soup = convert("soup")
        place("hdf5", "soup").write_bytes(soup[:-84])  # the target adds the checksum line
        place("schemas", "soup").write_bytes(pack(pathlib.Path(scratch) / "soup"))
        place("torch", "adamix").write_bytes(convert("adamix"))


def gguf_value(value):
    """Type and bytes of a value of the metadata."""
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    items = [gguf_value(item) for item in value]
    return struct.pack("<I", 9) + items[0][:4] + number(len(items)) + b"".join(item[4:] for item in items)


def gguf(pairs, tensors):
    """tensors: name -> (extents, type, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    for key, value in pairs.items():
        head += text(key) + gguf_value(value)
    data = b""
    for name, (extents, kind, content) in tensors.items():
        data += bytes(-len(data) % 32)
        head += text(name) + struct.pack("<I", len(extents)) + struct.pack(f"<{len(extents)}Q", *extents)
        head += struct.pack("<IQ", kind, len(data))
        data += content
    return head + bytes(-len(head) % 32) + data


def gguf_seeds():
    block4, block8 = bytes([0, 60, 0, 0]) + bytes(range(16)), bytes([0, 60]) + bytes(range(32))
    place("gguf", "types").write_bytes(gguf(
        {"a": 1, "b": 0.5, "c": True, "d": "x", "e": ["p", "q"], "f": [1, 2], "general.alignment": 32},
        {"f32": ([3], 0, struct.pack("<3f", 1, 2, 3)), "f16": ([2], 1, bytes(4)), "bf16": ([1, 2], 30, bytes(4)),
         "q4": ([32, 2], 3, block4 * 2), "q8": ([32], 8, block8)}))
    alphabet = [chr(c) for c in list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))]
    alphabet += [chr(c) for c in range(256, 324)]
    tokens = ["<s>", "</s>"] + alphabet + ["ab", "aba"]
    shapes = {"attn_q": [2, 2], "attn_k": [2, 2], "attn_v": [2, 2], "attn_output": [2, 2], "ffn_gate": [2, 2],
              "ffn_down": [2, 2], "ffn_up": [2, 2], "attn_norm": [2], "ffn_norm": [2]}
    tensors = {f"blk.0.{name}.weight": (shape, 0, bytes(4 * 2 ** len(shape))) for name, shape in shapes.items()}
    tensors["token_embd.weight"] = ([2, len(tokens)], 0, bytes(8 * len(tokens)))
    tensors["output_norm.weight"] = ([2], 0, bytes(8))
    place("gguf", "decoder").write_bytes(gguf({
        "general.architecture": "llama", "llama.embedding_length": 2, "llama.block_count": 1,
        "llama.attention.head_count": 1, "llama.feed_forward_length": 2, "llama.context_length": 8,
        "llama.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [3, 3] + [1] * (len(tokens) - 2),
        "tokenizer.ggml.merges": ["a b", "ab a"], "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 1,
    }, tensors))


def decoder_seeds():
    ranks = [bytes([b]) for b in range(256)] + [b"ab", b"aba", b" 1", b"\r\n", b"'s"]
    place("rank_tokenizer", "small").write_text(
        "".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(ranks)))
    vocabulary = {token: i for i, token in enumerate(["<s>", "</s>", "a", "b", "\u0120", "1", "ab", "\u0120a"])}
    llama3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
              r"\s*[\r\n]+|\s+(?!\S)|\s+")
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    steps = {"llama3": {"type": "Split", "pattern": {"Regex": llama3}, "behavior": "Isolated", "invert": False},
             "smollm": {"type": "Digits", "individual_digits": True}}
    for name, step in steps.items():
        splitter = {"type": "Sequence", "pretokenizers": [step, level | {"use_regex": name == "smollm"}]}
        added = [{"id": i, "content": token, "special": True} for i, token in enumerate(["<s>", "</s>"])]
        model = {"type": "BPE", "ignore_merges": True, "vocab": vocabulary, "merges": [["a", "b"], "\u0120 a"]}
        place("decoder_tokenizer", name).write_text(
            json.dumps({"added_tokens": added, "normalizer": None, "pre_tokenizer": splitter, "model": model}))
    params = {"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "vocab_size": -1, "multiple_of": 32,
              "ffn_dim_multiplier": 0.75, "norm_eps": 1e-5, "rope_theta": 500000.0, "use_scaled_rope": True}
    config = {"model_type": "llama", "hidden_act": "silu", "attention_bias": False, "hidden_size": 64,
              "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 9,
              "max_position_embeddings": 8, "rms_norm_eps": 1e-5, "rope_scaling": None, "tie_word_embeddings": True}
    rope = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}
    metadata = {"general.architecture": "llama", "llama.embedding_length": 64, "llama.block_count": 2,
                "llama.attention.head_count": 4, "llama.feed_forward_length": 128, "llama.vocab_size": 9,
                "llama.context_length": 8, "llama.attention.layer_norm_rms_epsilon": 1e-5}
    for name, first, description in (("params", "0", params), ("config", "1", config),
                                     ("config_5", "1", config | {"rope_parameters": rope}), ("metadata", "2", metadata)):
        place("decoder_config", name).write_text(first + json.dumps(description))


def adapter_seeds():
    model = {"dim": 4, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "vocab_size": 512, "multiple_of": 2,
             "norm_eps": 1e-5, "rope_theta": 1e4}
    shapes = {"tok_embeddings": (512, 4), "output": (512, 4), "norm": (4,), "layers.0.attention_norm": (4,),
              "layers.0.ffn_norm": (4,), "layers.0.attention.wq": (4, 4), "layers.0.attention.wk": (2, 4),
              "layers.0.attention.wv": (2, 4), "layers.0.attention.wo": (4, 4), "layers.0.feed_forward.w1": (10, 4),
              "layers.0.feed_forward.w2": (4, 10), "layers.0.feed_forward.w3": (10, 4)}
    with tempfile.TemporaryDirectory() as scratch:
        base = pathlib.Path(scratch)
        (base / "params.json").write_text(json.dumps(model))
        (base / "tokenizer.model").write_text(
            "".join(f"{base64.b64encode(bytes([b])).decode()} {b}\n" for b in range(256)))
        torch.save({f"{name}.weight": torch.ones(shape) for name, shape in shapes.items()},
                   base / "consolidated.00.pth")
        (base / "items.json").write_text('[{"instruction": "a", "output": "b"}]')
        for system in ("soft-moa", "adamole"):
            run = base / system
            subprocess.run([ladle, "train", "--model.path", scratch, "--data.train", base / "items.json", "--data.dev",
                            base / "items.json", "--moa.system", system, "--moa.lora_rank", "1", "--moa.adapter_size",
                            "1", "--moa.prompt_length", "1", "--train.batch", "1", "--train.accumulate", "1",
                            "--train.max_steps", "1", "--run.dir", run], check=True, stdout=subprocess.DEVNULL)
            place("schemas", f"adapter_{system}").write_bytes(pack(run / "best.h5"))


def instruction_seeds():
    items = [{"instruction": "What is 3 + 4?", "input": "", "output": "\nA: 7", "answer": "7"},
             {"instruction": "caf\u00e9", "output": "no"}]
    place("instructions", "array").write_text("0" + json.dumps(items))
    place("instructions", "lines").write_text("1" + "".join(json.dumps(item) + "\n" for item in items))


def checkpoint_seeds():
    base = torch.arange(6, dtype=torch.float32)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    states = {"plain": {"model": {"w": base}, "args": argparse.Namespace(lr=0.5, seed=None), "epoch": 1},
              "trained": {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scaler": {"scale": 2.0}}}
    for name, state in states.items():
        with tempfile.NamedTemporaryFile() as file:
            torch.save(state, file.name)
            with zipfile.ZipFile(file.name) as archive:
                pickle = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                place("pickle_entry", name).write_bytes(archive.read(pickle))


gguf_seeds()
decoder_seeds()
instruction_seeds()
checkpoint_seeds()
adapter_seeds()
safetensors_seeds()
torch_seeds()
hdf5_seeds()
soup_seeds()
shard_seeds()

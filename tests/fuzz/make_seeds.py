#!/usr/bin/env python3
"""Writes the seed corpus of the fuzzing targets that cannot be typed: files as PyTorch, safetensors and h5py make them.

Usage: make_seeds.py LADLE CORPUS   (the program, which turns one soup into its other formats; the directory to fill)
Needs torch, safetensors, h5py and numpy. Everything in the corpus was made by this script or by hand.
"""
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


safetensors_seeds()
torch_seeds()
hdf5_seeds()
soup_seeds()
shard_seeds()

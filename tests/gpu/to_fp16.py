#!/usr/bin/env python3
"""Stores the fp32 tensors of a safetensors file as fp16: to_fp16.py FROM TO. Needs numpy.

The format: the header's length (8 bytes, little endian), the header (JSON: name -> dtype, shape, data_offsets), data.
"""

import json
import struct
import sys

import numpy


def main():
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    converted, parts, begin = {}, [], 0
    for name, entry in sorted(header.items()):
        if name == "__metadata__":
            converted[name] = entry
            continue
        first, last = entry["data_offsets"]
        raw, dtype = data[first:last], entry["dtype"]
        if dtype == "F32":
            values = numpy.frombuffer(raw, "<f4")
            half = values.astype("<f2")
            if not numpy.isfinite(half).all():
                sys.exit(f"{name} has values that fp16 cannot hold")
            raw, dtype = half.tobytes(), "F16"
        converted[name] = {"dtype": dtype, "shape": entry["shape"], "data_offsets": [begin, begin + len(raw)]}
        parts.append(raw)
        begin += len(raw)
    text = json.dumps(converted, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for raw in parts:
            file.write(raw)
    print(f"{target}: {len(parts)} tensors, {begin / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()

"""Reading of a GGUF file in NumPy: its keys and tensors of types F32, Q8_0 and Q4_1 (ggml repository, docs/gguf.md).
Independent of ladle's reader, which is compared with it."""
import math
import pathlib
import struct

import numpy

KINDS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, LIST = 8, 9


class Cursor:
    def __init__(self, data, place):
        self.data, self.place = data, place

    def take(self, kind):
        value = struct.unpack_from("<" + kind, self.data, self.place)[0]
        self.place += struct.calcsize("<" + kind)
        return value

    def text(self):
        length = self.take("Q")
        self.place += length
        return self.data[self.place - length:self.place].decode()

    def value(self, kind):
        if kind == TEXT:
            return self.text()
        if kind == LIST:
            inner, count = self.take("I"), self.take("Q")
            return [self.value(inner) for _ in range(count)]
        return self.take(KINDS[kind])


def half(column):
    return column.copy().view(numpy.float16).astype(numpy.float32)


def q8_0(data, count, offset):
    """Blocks of 32: a scale, then signed bytes."""
    blocks = numpy.frombuffer(data, numpy.uint8, count // 32 * 34, offset).reshape(-1, 34)
    return half(blocks[:, :2]) * blocks[:, 2:].view(numpy.int8).astype(numpy.float32)


def q4_1(data, count, offset):
    """Blocks of 32: scale and least value, then nibbles; the low ones are the first half."""
    blocks = numpy.frombuffer(data, numpy.uint8, count // 32 * 20, offset).reshape(-1, 20)
    nibbles = numpy.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1).astype(numpy.float32)
    return half(blocks[:, :2]) * nibbles + half(blocks[:, 2:4])


TYPES = {0: lambda data, count, offset: numpy.frombuffer(data, numpy.float32, count, offset), 3: q4_1, 8: q8_0}


def read_gguf(path):
    """Returns (keys, tensors): a dictionary, and a function from a tensor's name to its float32 array."""
    data = pathlib.Path(path).read_bytes()
    cursor = Cursor(data, 8)
    tensor_count, key_count = cursor.take("Q"), cursor.take("Q")
    keys = {}
    for _ in range(key_count):
        key = cursor.text()
        keys[key] = cursor.value(cursor.take("I"))
    entries = {}
    for _ in range(tensor_count):
        name = cursor.text()
        extents = [cursor.take("Q") for _ in range(cursor.take("I"))]
        entries[name] = (extents[::-1], cursor.take("I"), cursor.take("Q"))
    alignment = keys.get("general.alignment", 32)
    begin = math.ceil(cursor.place / alignment) * alignment

    def tensor(name):
        shape, kind, offset = entries[name]
        return TYPES[kind](data, math.prod(shape), begin + offset).reshape(shape)

    return keys, tensor

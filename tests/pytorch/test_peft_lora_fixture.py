#!/usr/bin/env python3
"""The golden LoRA files: made again with peft, they have the same content as those of the repository.

Usage: test_peft_lora_fixture.py [--ladle FILE] [--build DIR]; neither is used
"""

import pathlib
import sys
import tempfile
import unittest

import h5py
import numpy as np
import torch

import make_lora_fixture

STORED = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "lora"
# Another processor or version of torch adds in another order: in double before the files' float32.
TOLERANCE = 1e-6


def content(path):
    """All data sets by name, and the attributes."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        return found, dict(file.attrs)


class LoraFixture(unittest.TestCase):
    """Every file, every data set."""

    def test_content(self):
        for name, case in make_lora_fixture.CASES.items():
            with self.subTest(name=name), tempfile.TemporaryDirectory() as folder:
                made = pathlib.Path(folder) / "made.h5"
                make_lora_fixture.write_file(made, case)
                (found, attributes), (stored, expected) = content(made), content(STORED / f"{name}.h5")
                self.assertEqual(attributes, expected)
                self.assertEqual(list(found), list(stored))
                for data_set, values in stored.items():
                    np.testing.assert_allclose(found[data_set], values, rtol=TOLERANCE, atol=TOLERANCE,
                                               err_msg=data_set)


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main(argv=sys.argv[:1])
